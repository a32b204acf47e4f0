/* SPDX-License-Identifier: ISC */
/* main.c - smtpctl's table of commands. */
#include <sodium.h>
#include <stddef.h>

#include "smtpctl/smtpctl.h"

static const struct cli_option options[] = {
	{ "config", 'c', CLI_TEXT, offsetof(struct smtpctl, config_file), "FILE",
	  "configuration (default " CONFIG_DEFAULT_FILE ")" },
	{ "json", 0, CLI_FLAG, offsetof(struct smtpctl, json), NULL, "print JSON" },
	{ NULL, 0, CLI_FLAG, 0, NULL, NULL },
};

static const struct cli_command commands[] = {
	{ "setup", "DOMAIN", "everything for a first start of a domain",
	  "smtpctl setup example.com --hostname mail.example.com", ctl_setup_options, ctl_setup },
	{ "domain add", "DOMAIN", "host mail for a domain", "smtpctl domain add example.net",
	  ctl_domain_add_options, ctl_domain_add },
	{ "domain list", "", "all domains", NULL, NULL, ctl_domain_list },
	{ "domain show", "DOMAIN", "one domain and its DNS records", NULL, NULL,
	  ctl_domain_show },
	{ "domain remove", "DOMAIN", "no longer host a domain without accounts", NULL, NULL,
	  ctl_domain_remove },
	{ "account add", "ADDRESS", "make an account; asks for its password",
	  "smtpctl account add alice@example.com --name 'Alice Example'",
	  ctl_account_add_options, ctl_account_add },
	{ "account passwd", "ADDRESS", "change the password of an account", NULL,
	  ctl_account_passwd_options, ctl_account_passwd },
	{ "account list", "[DOMAIN]", "all accounts", NULL, NULL, ctl_account_list },
	{ "account show", "ADDRESS", "one account, its aliases, its mailbox", NULL, NULL,
	  ctl_account_show },
	{ "account disable", "ADDRESS", "no logins and no mail for an account", NULL, NULL,
	  ctl_account_disable },
	{ "account enable", "ADDRESS", "take that back", NULL, NULL, ctl_account_enable },
	{ "account remove", "ADDRESS", "remove an account; its mail stays on the disk", NULL, NULL,
	  ctl_account_remove },
	{ "alias add", "ALIAS TARGET...", "another address that reaches these",
	  "smtpctl alias add sales@example.com alice@example.com bob@example.com", NULL,
	  ctl_alias_add },
	{ "alias list", "[DOMAIN]", "all aliases", NULL, NULL, ctl_alias_list },
	{ "alias remove", "ALIAS [TARGET]", "remove an alias, or one target of it", NULL, NULL,
	  ctl_alias_remove },
	{ "dkim add", "DOMAIN", "make a key that signs the mail of a domain",
	  "smtpctl dkim add example.com --selector s2026", ctl_dkim_add_options, ctl_dkim_add },
	{ "dkim list", "[DOMAIN]", "all keys", NULL, NULL, ctl_dkim_list },
	{ "dkim show", "DOMAIN", "the DNS record of a domain's key", NULL, NULL, ctl_dkim_show },
	{ "queue list", "", "messages on their way, and reports nobody took", NULL, NULL,
	  ctl_queue_list },
	{ "queue show", "ID", "one message: recipients, attempts, last replies", NULL, NULL,
	  ctl_queue_show },
	{ "queue cat", "ID", "one message as it goes out", NULL, NULL, ctl_queue_cat },
	{ "queue retry", "[ID]", "try one message now, or --all", "smtpctl queue retry --all",
	  ctl_queue_retry_options, ctl_queue_retry },
	{ "queue remove", "ID", "throw a message away without a report", NULL, NULL,
	  ctl_queue_remove },
	{ "status", "", "is smtpd running, and what is it doing?", NULL, NULL, ctl_status },
	{ "reload", "", "read configuration and certificates again", NULL, NULL, ctl_reload },
	{ "stop", "", "end what is under way, then stop", NULL, NULL, ctl_stop },
};

static const struct cli_program program = {
	.name = "smtpctl",
	.summary = "administers smtpd: domains, accounts, aliases, keys, queue",
	.notes = "Passwords come from the terminal or by --password-stdin, never from the command "
		 "line.",
	.options = options,
	.commands = commands,
	.command_count = sizeof commands / sizeof *commands,
};

int main(int argc, char **argv)
{
	struct smtpctl ctl = { NULL, false };

	if (sodium_init() < 0) {
		cli_error("libsodium does not start");
		return CLI_REFUSED;
	}
	return cli_main(&program, argc, argv, &ctl, &ctl);
}
