/* SPDX-License-Identifier: ISC */
/* dkim.c - smtpctl dkim: add, list, show. */
#include <sodium.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <smtp/dkim.h>
#include "cli/output.h"
#include "libsmtp/core/span.h"
#include "smtpctl/smtpctl.h"

enum { TXT_PART = 200 }; /* a string of a TXT record holds 255 octets at most */

struct dkim_values {
	const char *selector, *algorithm;
};

const struct cli_option ctl_dkim_add_options[] = {
	{ "selector", 0, CLI_TEXT, offsetof(struct dkim_values, selector), "S",
	  "name of the key in DNS (default s1)" },
	{ "algorithm", 0, CLI_TEXT, offsetof(struct dkim_values, algorithm), "ALG",
	  "rsa (default)" },
	{ NULL, 0, CLI_FLAG, 0, NULL, NULL },
};

int ctl_dkim_make(struct smtp_accounts *accounts, const char *domain, const char *selector)
{
	struct smtp_dkim_key key = { .algorithm = "rsa", .active = true };
	int err = smtp_span_copy(smtp_span_of(domain), key.domain, sizeof key.domain);

	if (err == 0)
		err = smtp_span_copy(smtp_span_of(selector), key.selector, sizeof key.selector);
	if (err == 0)
		err = smtp_dkim_key_make("rsa", &key.private_pem, &key.public_base64);
	if (err == 0)
		err = smtp_accounts_dkim_key_add(accounts, &key);
	smtp_dkim_key_release(&key);
	return err;
}

int ctl_dkim_print(const char *domain, const char *selector, const char *algorithm,
		   const char *public_base64)
{
	char *text = NULL;
	size_t n, i;
	int err = smtp_dkim_record(algorithm, public_base64, &text);

	if (err != 0)
		return err;
	(void)printf("%s._domainkey.%s. IN TXT (", selector, domain);
	n = strlen(text);
	for (i = 0; i < n; i += TXT_PART)
		(void)printf(" \"%.*s\"", TXT_PART, text + i);
	(void)printf(" )\n");
	free(text);
	return 0;
}

/** A selector is made of labels, as a domain is. */
static bool is_selector(const char *text)
{
	struct smtp_span s = smtp_span_of(text);

	return s.n < 64 && smtp_domain_is_valid(s);
}

int ctl_dkim_add(const struct cli_command *self, int argc, char **argv, void *user)
{
	struct dkim_values v = { NULL, NULL };
	struct smtp_accounts *accounts;
	int first = cli_options_read(self, argc, argv, &v), status;

	if (first < 0)
		return CLI_USAGE;
	if (argc - first != 1)
		return cli_usage_error(self, "one domain is wanted");
	if (v.selector == NULL)
		v.selector = "s1";
	if (v.algorithm != NULL && strcmp(v.algorithm, "rsa") != 0)
		return cli_usage_error(self, "%s: the only algorithm is rsa", v.algorithm);
	if (!is_selector(v.selector))
		return cli_usage_error(self, "%s: is no selector; letters, digits and hyphens",
				       v.selector);
	accounts = ctl_accounts(user, SMTP_ACCOUNTS_WRITE);
	if (accounts == NULL)
		return CLI_REFUSED;
	status = ctl_result(accounts, argv[first],
			    ctl_dkim_make(accounts, argv[first], v.selector));
	smtp_accounts_close(accounts);
	if (status == CLI_DONE && !((struct smtpctl *)user)->json)
		(void)printf("Mail of %s is signed from now on; put into DNS what this prints:\n"
			     "  smtpctl dkim show %s\n",
			     argv[first], argv[first]);
	return cli_finish_output(status);
}

/* ---- Lists ---- */

static const struct cli_column columns[] = {
	{ "DOMAIN", "domain", false },	 { "SELECTOR", "selector", false },
	{ "ALGORITHM", "algorithm", false }, { "ACTIVE", "active", false },
	{ "CREATED", "created", false },
};

static const struct cli_column record_columns[] = {
	{ "NAME", "name", false },
	{ "TXT", "txt", false },
};

struct listing {
	struct cli_table *table;
	bool json;
};

static int add_row(const struct smtp_dkim_row *row, void *user)
{
	struct listing *l = user;
	char created[CTL_TIME_MAX];
	const char *const cells[] = { row->domain, row->selector, row->algorithm,
				      row->active ? "yes" : "no", created };

	ctl_time(row->created_s, l->json, created);
	cli_table_row(l->table, cells);
	return 0;
}

/** Lists keys: `argument` of dkim list is optional, that of dkim show is not. */
static int list(const struct cli_command *self, int argc, char **argv, const struct smtpctl *ctl,
		const struct cli_column *cols, size_t col_count,
		int (*each)(const struct smtp_dkim_row *, void *), bool domain_wanted)
{
	struct smtp_accounts *accounts;
	struct listing l = { NULL, ctl->json };
	int first = cli_options_read(self, argc, argv, NULL), status;

	if (first < 0)
		return CLI_USAGE;
	if (argc - first > 1 || (domain_wanted && argc == first))
		return cli_usage_error(self, "one domain is wanted");
	accounts = ctl_accounts(ctl, SMTP_ACCOUNTS_READ);
	if (accounts == NULL)
		return CLI_REFUSED;
	l.table = cli_table_new(cols, col_count);
	status = ctl_result(accounts, self->name,
			    smtp_accounts_dkim_keys(accounts, argc > first ? argv[first] : NULL,
						    each, &l));
	if (status == CLI_DONE && domain_wanted && cli_table_count(l.table) == 0) {
		cli_error("%s: has no key (smtpctl dkim add %s makes one)", argv[first],
			  argv[first]);
		status = CLI_REFUSED;
	} else if (status == CLI_DONE && (ctl->json || !domain_wanted) &&
		   cli_table_print(l.table, stdout, ctl->json) != 0) {
		status = CLI_REFUSED;
	}
	cli_table_free(l.table);
	smtp_accounts_close(accounts);
	return cli_finish_output(status);
}

int ctl_dkim_list(const struct cli_command *self, int argc, char **argv, void *user)
{
	return list(self, argc, argv, user, columns, sizeof columns / sizeof *columns, add_row,
		    false);
}

static int add_record(const struct smtp_dkim_row *row, void *user)
{
	char name[SMTP_DOMAIN_MAX + 96];
	char *text = NULL;
	const char *cells[2] = { name, NULL };
	int err = smtp_dkim_record(row->algorithm, row->public_base64, &text);

	if (err != 0)
		return err;
	(void)snprintf(name, sizeof name, "%s._domainkey.%s", row->selector, row->domain);
	cells[1] = text;
	cli_table_row(((struct listing *)user)->table, cells);
	free(text);
	return 0;
}

/** For people a record is one line of a zone file, however long. */
static int print_record(const struct smtp_dkim_row *row, void *user)
{
	int err = add_record(row, user);

	return err == 0 ? ctl_dkim_print(row->domain, row->selector, row->algorithm,
					 row->public_base64) :
			  err;
}

int ctl_dkim_show(const struct cli_command *self, int argc, char **argv, void *user)
{
	const struct smtpctl *ctl = user;

	return list(self, argc, argv, ctl, record_columns,
		    sizeof record_columns / sizeof *record_columns,
		    ctl->json ? add_record : print_record, true);
}
