/* SPDX-License-Identifier: ISC */
/* account.c - smtpctl account: add, passwd, list, show, disable, enable, remove. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sodium.h>

#include "cli/output.h"
#include "cli/secret.h"
#include "libsmtp/core/span.h"
#include "smtpctl/smtpctl.h"

struct account_values {
	const char *name;
	bool password_stdin;
};

#define PASSWORD_OPTION                                                                            \
	{ "password-stdin", 0, CLI_FLAG, offsetof(struct account_values, password_stdin), NULL,    \
	  "read the password from standard input" }

const struct cli_option ctl_account_add_options[] = {
	{ "name", 0, CLI_TEXT, offsetof(struct account_values, name), "NAME",
	  "name of the person, for display" },
	PASSWORD_OPTION,
	{ NULL, 0, CLI_FLAG, 0, NULL, NULL },
};

const struct cli_option ctl_account_passwd_options[] = {
	PASSWORD_OPTION,
	{ NULL, 0, CLI_FLAG, 0, NULL, NULL },
};

/* ---- Passwords ---- */

static int hash_password(struct smtp_span password, char hash[SMTP_PASSWORD_HASH_MAX])
{
	if (password.n == 0 || password.n > SMTP_PASSWORD_MAX)
		return SMTP_EINVAL;
	return smtp_password_hash(password, hash);
}

int ctl_account_store(struct smtp_accounts *accounts, const char *address, const char *name,
		      struct smtp_span password)
{
	char hash[SMTP_PASSWORD_HASH_MAX];
	int err = hash_password(password, hash);

	if (err == 0)
		err = smtp_accounts_account_add(accounts, address, name, hash);
	sodium_memzero(hash, sizeof hash);
	return err;
}

static int store_password(struct smtp_accounts *accounts, const char *address, const char *name,
			  struct smtp_span password)
{
	char hash[SMTP_PASSWORD_HASH_MAX];
	int err = hash_password(password, hash);

	(void)name;
	if (err == 0)
		err = smtp_accounts_account_set_password(accounts, address, hash);
	sodium_memzero(hash, sizeof hash);
	return err;
}

static int read_password(struct cli_secret *out, const char *address, bool from_stdin)
{
	char prompt[SMTP_MAILBOX_TEXT_MAX + 32];
	const struct cli_secret_source source = {
		.from_stdin = from_stdin,
		.prompt = prompt,
		.confirm = true,
		.hint = "use --password-stdin",
	};

	(void)snprintf(prompt, sizeof prompt, "New password of %.320s: ", address);
	return cli_secret_read(out, &source);
}

/* ---- Adding and changing ---- */

/** Wrong addresses are told before somebody types a password. */
static bool check_address(const char *address)
{
	struct smtp_mailbox mailbox;

	if (smtp_mailbox_parse(&mailbox, smtp_span_of(address), 0) == 0)
		return true;
	cli_error("%s: is not an address such as alice@example.com", address);
	return false;
}

/** Both commands that take a password: reads their arguments and it, then stores. */
static int with_password(const struct cli_command *self, int argc, char **argv, void *user,
			 int (*store)(struct smtp_accounts *, const char *address,
				      const char *name, struct smtp_span password))
{
	struct account_values v = { NULL, false };
	struct cli_secret secret;
	struct smtp_accounts *accounts;
	int first = cli_options_read(self, argc, argv, &v), status = CLI_REFUSED;

	if (first < 0)
		return CLI_USAGE;
	if (argc - first != 1)
		return cli_usage_error(self, "one address is wanted");
	if (!check_address(argv[first]))
		return CLI_REFUSED;
	accounts = ctl_accounts(user, SMTP_ACCOUNTS_WRITE);
	if (accounts == NULL)
		return CLI_REFUSED;
	if (read_password(&secret, argv[first], v.password_stdin) == 0)
		status = ctl_result(accounts, argv[first],
				    store(accounts, argv[first], v.name != NULL ? v.name : "",
					  smtp_span_make(secret.text, secret.n)));
	cli_secret_wipe(&secret);
	smtp_accounts_close(accounts);
	return status;
}

int ctl_account_add(const struct cli_command *self, int argc, char **argv, void *user)
{
	return with_password(self, argc, argv, user, ctl_account_store);
}

int ctl_account_passwd(const struct cli_command *self, int argc, char **argv, void *user)
{
	return with_password(self, argc, argv, user, store_password);
}

static int change(const struct cli_command *self, int argc, char **argv, void *user,
		  int (*apply)(struct smtp_accounts *, const char *address))
{
	struct smtp_accounts *accounts;
	int first = cli_options_read(self, argc, argv, NULL), status;

	if (first < 0)
		return CLI_USAGE;
	if (argc - first != 1)
		return cli_usage_error(self, "one address is wanted");
	accounts = ctl_accounts(user, SMTP_ACCOUNTS_WRITE);
	if (accounts == NULL)
		return CLI_REFUSED;
	status = ctl_result(accounts, argv[first], apply(accounts, argv[first]));
	smtp_accounts_close(accounts);
	return status;
}

static int disable(struct smtp_accounts *accounts, const char *address)
{
	return smtp_accounts_account_set_disabled(accounts, address, true);
}

static int enable(struct smtp_accounts *accounts, const char *address)
{
	return smtp_accounts_account_set_disabled(accounts, address, false);
}

int ctl_account_disable(const struct cli_command *self, int argc, char **argv, void *user)
{
	return change(self, argc, argv, user, disable);
}

int ctl_account_enable(const struct cli_command *self, int argc, char **argv, void *user)
{
	return change(self, argc, argv, user, enable);
}

int ctl_account_remove(const struct cli_command *self, int argc, char **argv, void *user)
{
	return change(self, argc, argv, user, smtp_accounts_account_remove);
}

/* ---- Lists ---- */

static const struct cli_column columns[] = {
	{ "ACCOUNT", "account", false },
	{ "NAME", "name", false },
	{ "STATE", "state", false },
	{ "CREATED", "created", false },
};

struct listing {
	struct cli_table *table;
	const char *only; /* NULL: all */
	bool json;
};

static int add_row(const struct smtp_account_row *row, void *user)
{
	struct listing *l = user;
	char created[CTL_TIME_MAX];
	const char *const cells[] = { row->address, row->display_name,
				      row->disabled ? "disabled" : "active", created };

	ctl_time(row->created_s, l->json, created);
	if (l->only == NULL || strcasecmp(l->only, row->address) == 0)
		cli_table_row(l->table, cells);
	return 0;
}

static int list(struct smtp_accounts *accounts, const char *domain, const char *only, bool json)
{
	struct listing l = { cli_table_new(columns, sizeof columns / sizeof *columns), only,
			     json };
	int err = smtp_accounts_accounts(accounts, domain, add_row, &l);
	int status = ctl_result(accounts, "account list", err);

	if (status == CLI_DONE && only != NULL && cli_table_count(l.table) == 0)
		status = ctl_result(NULL, only, SMTP_ENOTFOUND);
	if (status == CLI_DONE && cli_table_print(l.table, stdout, json) != 0)
		status = CLI_REFUSED;
	cli_table_free(l.table);
	return status;
}

int ctl_account_list(const struct cli_command *self, int argc, char **argv, void *user)
{
	struct smtp_accounts *accounts;
	int first = cli_options_read(self, argc, argv, NULL), status;

	if (first < 0)
		return CLI_USAGE;
	if (argc - first > 1)
		return cli_usage_error(self, "at most one domain is wanted");
	accounts = ctl_accounts(user, SMTP_ACCOUNTS_READ);
	if (accounts == NULL)
		return CLI_REFUSED;
	status = list(accounts, argc > first ? argv[first] : NULL, NULL,
		      ((struct smtpctl *)user)->json);
	smtp_accounts_close(accounts);
	return cli_finish_output(status);
}

struct alias_search {
	const char *target;
	bool found;
};

static int print_alias(const struct smtp_alias_row *row, void *user)
{
	struct alias_search *s = user;

	if (strcasecmp(row->target, s->target) != 0)
		return 0;
	(void)printf("%s", s->found ? ", " : "aliases: ");
	cli_print_safe(stdout, smtp_span_of(row->alias));
	s->found = true;
	return 0;
}

static void print_mailbox(const struct smtpctl *ctl, const char *address)
{
	struct config *config = ctl_config(ctl);
	char lower[SMTP_MAILBOX_TEXT_MAX + 1];
	char *path = NULL;
	size_t i;

	if (config == NULL)
		return;
	(void)snprintf(lower, sizeof lower, "%s", address);
	for (i = 0; lower[i] != '\0'; i++)
		lower[i] = (char)smtp_ascii_lower((uint8_t)lower[i]);
	if (config_maildir(config, lower, &path) == 0)
		(void)printf("mailbox: %s\n", path);
	free(path);
	config_free(config);
}

int ctl_account_show(const struct cli_command *self, int argc, char **argv, void *user)
{
	const struct smtpctl *ctl = user;
	struct smtp_accounts *accounts;
	struct alias_search search = { NULL, false };
	int first = cli_options_read(self, argc, argv, NULL), status;

	if (first < 0)
		return CLI_USAGE;
	if (argc - first != 1)
		return cli_usage_error(self, "one address is wanted");
	accounts = ctl_accounts(user, SMTP_ACCOUNTS_READ);
	if (accounts == NULL)
		return CLI_REFUSED;
	status = list(accounts, NULL, argv[first], ctl->json);
	search.target = argv[first];
	if (status == CLI_DONE && !ctl->json) {
		status = ctl_result(accounts, argv[first],
				    smtp_accounts_aliases(accounts, NULL, print_alias, &search));
		(void)printf("%s", search.found ? "\n" : "");
		print_mailbox(ctl, argv[first]);
	}
	smtp_accounts_close(accounts);
	return cli_finish_output(status);
}
