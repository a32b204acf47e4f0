/* SPDX-License-Identifier: ISC */
/* accounts_internal.h - what the parts of the account store share: statements, transactions,
 * addresses in the form that is stored. sqlite3.h is known to these files only.
 */
#ifndef SMTP_STORAGE_ACCOUNTS_INTERNAL_H
#define SMTP_STORAGE_ACCOUNTS_INTERNAL_H

#include <smtp/accounts.h>

#include <sqlite3.h>

enum accounts_statement {
	ACCOUNTS_DOMAIN,
	ACCOUNTS_PRIMARY,
	ACCOUNTS_ACCOUNT,
	ACCOUNTS_FIRST_ACCOUNT,
	ACCOUNTS_TARGETS,
	ACCOUNTS_DKIM_KEY,
	ACCOUNTS_STATEMENTS
};

struct smtp_accounts {
	sqlite3 *db;
	sqlite3_stmt *kept[ACCOUNTS_STATEMENTS]; /* of the look-ups; prepared at their first use */
	char problem[256];
};

/* ---- Statements ---- */

/** Prepares a look-up that is kept, or `sql` of an administrator, and binds values: `types` has a
 *  letter for each, t for a text (NULL is NULL) and i for an int64_t. */
SMTP_MUST_USE int accounts_look_up(struct smtp_accounts *a, sqlite3_stmt **out,
				   enum accounts_statement which, const char *types, ...);
SMTP_MUST_USE int accounts_query(struct smtp_accounts *a, sqlite3_stmt **out, const char *sql,
				 const char *types, ...);
/** 1 for a row, 0 at the end, else an error. */
SMTP_MUST_USE int accounts_step(struct smtp_accounts *a, sqlite3_stmt *stmt);
/** Ends a statement: those that are kept are reset, others freed. NULL is fine. */
void accounts_end(struct smtp_accounts *a, sqlite3_stmt *stmt);
/** Runs a statement without rows; *changes (may be NULL) says how many rows it touched. */
SMTP_MUST_USE int accounts_execute(struct smtp_accounts *a, int *changes, const char *sql,
				   const char *types, ...);
/** A text column, "" for NULL; valid until the next step. */
const char *accounts_column(sqlite3_stmt *stmt, int column);

/** A transaction for writing; finish() commits if `err` is 0, else undoes, and says how it ended. */
SMTP_MUST_USE int accounts_begin(struct smtp_accounts *a);
SMTP_MUST_USE int accounts_finish(struct smtp_accounts *a, int err);

/** Puts down one line about an error and returns the error. */
int accounts_problem(struct smtp_accounts *a, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int64_t accounts_now_s(void);

/* ---- Addresses ---- */

/** Parses an address; the domain is folded to lower case. */
SMTP_MUST_USE int accounts_address(struct smtp_accounts *a, const char *text,
				   struct smtp_mailbox *out);
void accounts_fold_local_part(struct smtp_mailbox *mailbox);
/** The form in which an address is stored as target: text, local part folded if it is hosted. */
SMTP_MUST_USE int accounts_target(struct smtp_accounts *a, const char *text,
				  char out[SMTP_MAILBOX_TEXT_MAX + 1]);

struct accounts_domain {
	int64_t id;
	bool is_primary;
	char name[SMTP_DOMAIN_MAX + 1];
	char catch_all[SMTP_MAILBOX_TEXT_MAX + 1]; /* "" if none */
};
/** SMTP_ENOTFOUND: not hosted. `name` NULL or "": the primary domain. */
SMTP_MUST_USE int accounts_domain(struct smtp_accounts *a, const char *name,
				  struct accounts_domain *out);
/** Parses an address that has to be in a hosted domain and folds it. */
SMTP_MUST_USE int accounts_hosted(struct smtp_accounts *a, const char *text,
				  struct smtp_mailbox *mailbox, struct accounts_domain *domain);

/** Would mail to `target` come by the alias `alias` (folded), or pass too many aliases? */
SMTP_MUST_USE int accounts_loops(struct smtp_accounts *a, const char *target,
				 const struct smtp_mailbox *alias, bool *out);

#endif
