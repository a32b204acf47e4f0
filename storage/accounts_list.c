/* SPDX-License-Identifier: ISC */
/* Lists for the administrator, in order of names. Each has a statement of its own, so that the
 * function called for a row may ask the store again.
 */
#include "storage/accounts_internal.h"

#include <stdio.h>

/* Runs a list: `row` turns the columns into one call of the caller's function. */
static int list(struct smtp_accounts *a, const char *sql, const char *domain,
		int (*row)(sqlite3_stmt *stmt, void *context), void *context)
{
	sqlite3_stmt *stmt;
	int err = accounts_query(a, &stmt, sql, "t", domain), stop = 0;

	while (!err && !stop && (err = accounts_step(a, stmt)) > 0) {
		err = 0;
		stop = row(stmt, context);
	}
	accounts_end(a, stmt);
	return err ? err : stop;
}

/* local-part@domain of two columns, quoted where it has to be. */
static void format_address(sqlite3_stmt *stmt, int column, char out[SMTP_MAILBOX_TEXT_MAX + 1])
{
	struct smtp_mailbox mailbox;

	(void)snprintf(mailbox.local_part, sizeof mailbox.local_part, "%s",
		       accounts_column(stmt, column));
	(void)snprintf(mailbox.domain, sizeof mailbox.domain, "%s",
		       accounts_column(stmt, column + 1));
	(void)smtp_mailbox_format(&mailbox, out, SMTP_MAILBOX_TEXT_MAX + 1);
}

struct domains {
	int (*each)(const struct smtp_domain_row *, void *user);
	void *user;
};

static int domain_row(sqlite3_stmt *stmt, void *context)
{
	const struct domains *c = context;
	struct smtp_domain_row row = {
		.domain = accounts_column(stmt, 0),
		.catch_all = accounts_column(stmt, 1),
		.primary = sqlite3_column_int(stmt, 2) != 0,
		.accounts = (uint64_t)sqlite3_column_int64(stmt, 3),
	};

	return c->each(&row, c->user);
}

int smtp_accounts_domains(struct smtp_accounts *a,
			  int (*each)(const struct smtp_domain_row *, void *user), void *user)
{
	struct domains c = { each, user };

	return list(a,
		    "SELECT name, catch_all, is_primary,"
		    " (SELECT count(*) FROM account WHERE domain_id = domain.id)"
		    " FROM domain WHERE ?1 IS NULL ORDER BY name",
		    NULL, domain_row, &c);
}

struct accounts {
	int (*each)(const struct smtp_account_row *, void *user);
	void *user;
};

static int account_row(sqlite3_stmt *stmt, void *context)
{
	const struct accounts *c = context;
	char address[SMTP_MAILBOX_TEXT_MAX + 1];
	struct smtp_account_row row = {
		.address = address,
		.display_name = accounts_column(stmt, 2),
		.disabled = sqlite3_column_int(stmt, 3) != 0,
		.created_s = sqlite3_column_int64(stmt, 4),
	};

	format_address(stmt, 0, address);
	return c->each(&row, c->user);
}

int smtp_accounts_accounts(struct smtp_accounts *a, const char *domain,
			   int (*each)(const struct smtp_account_row *, void *user), void *user)
{
	struct accounts c = { each, user };

	return list(a,
		    "SELECT local_part, name, display_name, state <> 'active', account.created_s"
		    " FROM account JOIN domain ON domain.id = domain_id"
		    " WHERE name = ifnull(lower(?1), name) ORDER BY name, local_part",
		    domain, account_row, &c);
}

struct aliases {
	int (*each)(const struct smtp_alias_row *, void *user);
	void *user;
};

static int alias_row(sqlite3_stmt *stmt, void *context)
{
	const struct aliases *c = context;
	char address[SMTP_MAILBOX_TEXT_MAX + 1];
	struct smtp_alias_row row = { .alias = address, .target = accounts_column(stmt, 2) };

	format_address(stmt, 0, address);
	return c->each(&row, c->user);
}

int smtp_accounts_aliases(struct smtp_accounts *a, const char *domain,
			  int (*each)(const struct smtp_alias_row *, void *user), void *user)
{
	struct aliases c = { each, user };

	return list(a,
		    "SELECT local_part, name, target FROM alias"
		    " JOIN domain ON domain.id = domain_id"
		    " WHERE name = ifnull(lower(?1), name) ORDER BY name, local_part, target",
		    domain, alias_row, &c);
}

struct dkim_keys {
	int (*each)(const struct smtp_dkim_row *, void *user);
	void *user;
};

static int dkim_row(sqlite3_stmt *stmt, void *context)
{
	const struct dkim_keys *c = context;
	struct smtp_dkim_row row = {
		.domain = accounts_column(stmt, 0),
		.selector = accounts_column(stmt, 1),
		.algorithm = accounts_column(stmt, 2),
		.public_base64 = accounts_column(stmt, 3),
		.active = sqlite3_column_int(stmt, 4) != 0,
		.created_s = sqlite3_column_int64(stmt, 5),
	};

	return c->each(&row, c->user);
}

int smtp_accounts_dkim_keys(struct smtp_accounts *a, const char *domain,
			    int (*each)(const struct smtp_dkim_row *, void *user), void *user)
{
	struct dkim_keys c = { each, user };

	return list(a,
		    "SELECT name, selector, algorithm, public_base64, is_active,"
		    " dkim_key.created_s FROM dkim_key JOIN domain ON domain.id = domain_id"
		    " WHERE name = ifnull(lower(?1), name) ORDER BY name, selector",
		    domain, dkim_row, &c);
}
