/* SPDX-License-Identifier: ISC */
/* alias.c - smtpctl alias: add, list, remove. */
#include <stdio.h>

#include "cli/output.h"
#include "smtpctl/smtpctl.h"

int ctl_warn_of_unknown(struct smtp_accounts *accounts, const char *target)
{
	struct smtp_resolve found = { .target_count = 0 };
	struct smtp_mailbox mailbox;
	int err = smtp_mailbox_parse(&mailbox, smtp_span_of(target), 0);

	if (err == 0)
		err = smtp_accounts_resolve(accounts, &mailbox, &found);
	if (err == 0 && found.kind == SMTP_RESOLVE_UNKNOWN)
		cli_error("warning: nobody has the address %s yet; mail to it is refused", target);
	smtp_resolve_release(&found);
	return err;
}

int ctl_alias_add(const struct cli_command *self, int argc, char **argv, void *user)
{
	struct smtp_accounts *accounts;
	int first = cli_options_read(self, argc, argv, NULL), status, i;

	if (first < 0)
		return CLI_USAGE;
	if (argc - first < 2)
		return cli_usage_error(self, "an alias and at least one target are wanted");
	accounts = ctl_accounts(user, SMTP_ACCOUNTS_WRITE);
	if (accounts == NULL)
		return CLI_REFUSED;
	status = ctl_result(accounts, argv[first],
			    smtp_accounts_alias_add(accounts, argv[first],
						    (const char *const *)&argv[first + 1],
						    (size_t)(argc - first - 1)));
	for (i = first + 1; i < argc && status == CLI_DONE; i++)
		status = ctl_result(accounts, argv[i], ctl_warn_of_unknown(accounts, argv[i]));
	smtp_accounts_close(accounts);
	return status;
}

int ctl_alias_remove(const struct cli_command *self, int argc, char **argv, void *user)
{
	struct smtp_accounts *accounts;
	int first = cli_options_read(self, argc, argv, NULL), status;

	if (first < 0)
		return CLI_USAGE;
	if (argc - first < 1 || argc - first > 2)
		return cli_usage_error(self, "an alias is wanted, and perhaps one target");
	accounts = ctl_accounts(user, SMTP_ACCOUNTS_WRITE);
	if (accounts == NULL)
		return CLI_REFUSED;
	status = ctl_result(accounts, argv[first],
			    smtp_accounts_alias_remove(accounts, argv[first],
						       argc - first == 2 ? argv[first + 1] :
									   NULL));
	smtp_accounts_close(accounts);
	return status;
}

static const struct cli_column columns[] = {
	{ "ALIAS", "alias", false },
	{ "TARGET", "target", false },
};

static int add_row(const struct smtp_alias_row *row, void *user)
{
	const char *const cells[] = { row->alias, row->target };

	cli_table_row(user, cells);
	return 0;
}

int ctl_alias_list(const struct cli_command *self, int argc, char **argv, void *user)
{
	struct smtp_accounts *accounts;
	struct cli_table *table;
	int first = cli_options_read(self, argc, argv, NULL), status;

	if (first < 0)
		return CLI_USAGE;
	if (argc - first > 1)
		return cli_usage_error(self, "at most one domain is wanted");
	accounts = ctl_accounts(user, SMTP_ACCOUNTS_READ);
	if (accounts == NULL)
		return CLI_REFUSED;
	table = cli_table_new(columns, sizeof columns / sizeof *columns);
	status = ctl_result(accounts, "alias list",
			    smtp_accounts_aliases(accounts, argc > first ? argv[first] : NULL,
						  add_row, table));
	if (status == CLI_DONE &&
	    cli_table_print(table, stdout, ((struct smtpctl *)user)->json) != 0)
		status = CLI_REFUSED;
	cli_table_free(table);
	smtp_accounts_close(accounts);
	return cli_finish_output(status);
}
