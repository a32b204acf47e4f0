/* SPDX-License-Identifier: ISC */
/* domain.c - smtpctl domain: add, list, show, remove. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "cli/output.h"
#include "smtpctl/smtpctl.h"

struct add_values {
	const char *catch_all;
};

const struct cli_option ctl_domain_add_options[] = {
	{ "catch-all", 0, CLI_TEXT, offsetof(struct add_values, catch_all), "ADDRESS",
	  "who gets mail for names that nobody has" },
	{ NULL, 0, CLI_FLAG, 0, NULL, NULL },
};

/** The domain was just made: without its catch-all it is taken back. */
static int set_catch_all(struct smtp_accounts *accounts, const char *domain, const char *catch_all)
{
	int err = smtp_accounts_domain_set_catch_all(accounts, domain, catch_all);
	int status = ctl_result(accounts, domain, err);

	if (err == 0)
		return ctl_result(accounts, catch_all, ctl_warn_of_unknown(accounts, catch_all));
	(void)ctl_result(accounts, domain, smtp_accounts_domain_remove(accounts, domain));
	return status;
}

int ctl_domain_add(const struct cli_command *self, int argc, char **argv, void *user)
{
	struct add_values v = { NULL };
	struct smtp_accounts *accounts;
	int first = cli_options_read(self, argc, argv, &v), status;

	if (first < 0)
		return CLI_USAGE;
	if (argc - first != 1)
		return cli_usage_error(self, "one domain is wanted");
	accounts = ctl_accounts(user, SMTP_ACCOUNTS_WRITE);
	if (accounts == NULL)
		return CLI_REFUSED;
	status = ctl_result(accounts, argv[first], smtp_accounts_domain_add(accounts, argv[first]));
	if (status == CLI_DONE && v.catch_all != NULL)
		status = set_catch_all(accounts, argv[first], v.catch_all);
	smtp_accounts_close(accounts);
	if (status == CLI_DONE && !((struct smtpctl *)user)->json)
		(void)printf("%s is hosted. Its mail is signed after: smtpctl dkim add %s\n",
			     argv[first], argv[first]);
	return cli_finish_output(status);
}

int ctl_domain_remove(const struct cli_command *self, int argc, char **argv, void *user)
{
	struct smtp_accounts *accounts;
	int first = cli_options_read(self, argc, argv, NULL), status;

	if (first < 0)
		return CLI_USAGE;
	if (argc - first != 1)
		return cli_usage_error(self, "one domain is wanted");
	accounts = ctl_accounts(user, SMTP_ACCOUNTS_WRITE);
	if (accounts == NULL)
		return CLI_REFUSED;
	status = ctl_result(accounts, argv[first],
			    smtp_accounts_domain_remove(accounts, argv[first]));
	smtp_accounts_close(accounts);
	return status;
}

/* ---- Lists ---- */

static const struct cli_column columns[] = {
	{ "DOMAIN", "domain", false },
	{ "ACCOUNTS", "accounts", true },
	{ "CATCH-ALL", "catch_all", false },
	{ "PRIMARY", "primary", false },
};

struct listing {
	struct cli_table *table;
	const char *only; /* NULL: all */
};

static int add_row(const struct smtp_domain_row *row, void *user)
{
	struct listing *l = user;
	char count[24];
	const char *const cells[] = { row->domain, count, row->catch_all,
				      row->primary ? "yes" : "" };

	(void)snprintf(count, sizeof count, "%llu", (unsigned long long)row->accounts);
	if (l->only == NULL || strcasecmp(l->only, row->domain) == 0)
		cli_table_row(l->table, cells);
	return 0;
}

static int list(struct smtp_accounts *accounts, const char *only, bool json)
{
	struct listing l = { cli_table_new(columns, sizeof columns / sizeof *columns), only };
	int err = smtp_accounts_domains(accounts, add_row, &l);
	int status = ctl_result(accounts, "domain list", err);

	if (status == CLI_DONE && only != NULL && cli_table_count(l.table) == 0)
		status = ctl_result(NULL, only, SMTP_ENOTFOUND);
	if (status == CLI_DONE && cli_table_print(l.table, stdout, json) != 0)
		status = CLI_REFUSED;
	cli_table_free(l.table);
	return status;
}

int ctl_domain_list(const struct cli_command *self, int argc, char **argv, void *user)
{
	struct smtp_accounts *accounts;
	int first = cli_options_read(self, argc, argv, NULL), status;

	if (first < 0)
		return CLI_USAGE;
	if (argc != first)
		return cli_usage_error(self, "no argument is wanted");
	accounts = ctl_accounts(user, SMTP_ACCOUNTS_READ);
	if (accounts == NULL)
		return CLI_REFUSED;
	status = list(accounts, NULL, ((struct smtpctl *)user)->json);
	smtp_accounts_close(accounts);
	return cli_finish_output(status);
}

/* ---- DNS ---- */

static int print_key(const struct smtp_dkim_row *row, void *user)
{
	(void)user;
	return row->active ? ctl_dkim_print(row->domain, row->selector, row->algorithm,
					    row->public_base64) :
			     0;
}

int ctl_print_records(struct smtp_accounts *accounts, const char *domain, const char *hostname)
{
	(void)printf("%s. IN MX 10 %s.\n"
		     "%s. IN TXT ( \"v=spf1 mx -all\" )\n"
		     "_dmarc.%s. IN TXT ( \"v=DMARC1; p=quarantine; rua=mailto:postmaster@%s\" )\n",
		     domain, hostname, domain, domain, domain);
	return ctl_result(accounts, domain,
			  smtp_accounts_dkim_keys(accounts, domain, print_key, NULL));
}

static int show_records(const struct smtpctl *ctl, struct smtp_accounts *accounts,
			const char *domain)
{
	struct config *config = ctl_config(ctl);
	int status = CLI_REFUSED;

	if (config != NULL) {
		(void)printf("\n");
		status = ctl_print_records(accounts, domain, config->hostname);
	}
	config_free(config);
	return status;
}

int ctl_domain_show(const struct cli_command *self, int argc, char **argv, void *user)
{
	const struct smtpctl *ctl = user;
	struct smtp_accounts *accounts;
	int first = cli_options_read(self, argc, argv, NULL), status;

	if (first < 0)
		return CLI_USAGE;
	if (argc - first != 1)
		return cli_usage_error(self, "one domain is wanted");
	accounts = ctl_accounts(user, SMTP_ACCOUNTS_READ);
	if (accounts == NULL)
		return CLI_REFUSED;
	status = list(accounts, argv[first], ctl->json);
	if (status == CLI_DONE && !ctl->json)
		status = show_records(ctl, accounts, argv[first]);
	smtp_accounts_close(accounts);
	return cli_finish_output(status);
}
