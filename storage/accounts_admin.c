/* SPDX-License-Identifier: ISC */
/* What an administrator changes: domains, accounts, aliases, keys. One call is one transaction; a
 * refused one changes nothing and says why in smtp_accounts_problem().
 */
#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"
#include "storage/accounts_internal.h"

#include <string.h>

enum { DISPLAY_NAME_MAX = 200, SELECTOR_MAX = 63, KEY_TEXT_MAX = 16384 };

/* Wording for what SQLite would call a failed constraint. */
static int exists_already(struct smtp_accounts *a, int err, const char *what)
{
	return err == SMTP_EEXISTS ? accounts_problem(a, err, "%.200s exists already", what) : err;
}

static int must_touch(struct smtp_accounts *a, int changes, const char *what)
{
	return changes > 0 ? 0 : accounts_problem(a, SMTP_ENOTFOUND, "no %.200s here", what);
}

static int count(struct smtp_accounts *a, const char *sql, int64_t id, const char *text,
		 int64_t *out)
{
	sqlite3_stmt *stmt;
	int err = text ? accounts_query(a, &stmt, sql, "it", id, text)
		       : accounts_query(a, &stmt, sql, "i", id);

	if (!err)
		err = accounts_step(a, stmt);
	if (err > 0)
		*out = sqlite3_column_int64(stmt, 0);
	accounts_end(a, stmt);
	return err > 0 ? 0 : err;
}

/* ---- Domains ---- */

static int domain_add(struct smtp_accounts *a, const char *domain)
{
	if (!domain || !smtp_domain_is_valid(smtp_span_of(domain)))
		return accounts_problem(a, SMTP_EINVAL, "'%.200s' is no domain",
					domain ? domain : "");
	return exists_already(a,
			      accounts_execute(a, NULL,
					       "INSERT INTO domain (name, is_primary, created_s)"
					       " SELECT lower(?1), NOT EXISTS"
					       " (SELECT 1 FROM domain WHERE is_primary = 1), ?2",
					       "ti", domain, accounts_now_s()),
			      domain);
}

int smtp_accounts_domain_add(struct smtp_accounts *a, const char *domain)
{
	int err = accounts_begin(a);

	return err ? err : accounts_finish(a, domain_add(a, domain));
}

static int domain_remove(struct smtp_accounts *a, const char *name)
{
	struct accounts_domain domain;
	int64_t users = 0;
	int err = name && *name ? accounts_domain(a, name, &domain) : SMTP_ENOTFOUND;

	if (err)
		return err;
	if (domain.is_primary)
		return accounts_problem(a, SMTP_EBUSY, "%s is the primary domain", domain.name);
	err = count(a,
		    "SELECT (SELECT count(*) FROM account WHERE domain_id = ?1)"
		    " + (SELECT count(*) FROM alias WHERE domain_id = ?1)",
		    domain.id, NULL, &users);
	if (!err && users > 0)
		err = accounts_problem(a, SMTP_EBUSY, "%s still has accounts or aliases",
				       domain.name);
	return err ? err
		   : accounts_execute(a, NULL, "DELETE FROM domain WHERE id = ?1", "i", domain.id);
}

int smtp_accounts_domain_remove(struct smtp_accounts *a, const char *domain)
{
	int err = accounts_begin(a);

	return err ? err : accounts_finish(a, domain_remove(a, domain));
}

static int domain_set_catch_all(struct smtp_accounts *a, const char *name, const char *address)
{
	char target[SMTP_MAILBOX_TEXT_MAX + 1];
	struct accounts_domain domain;
	int err = name && *name ? accounts_domain(a, name, &domain) : SMTP_ENOTFOUND;

	if (!err && address)
		err = accounts_target(a, address, target);
	return err ? err
		   : accounts_execute(a, NULL, "UPDATE domain SET catch_all = ?2 WHERE id = ?1", "it",
				      domain.id, address ? target : NULL);
}

int smtp_accounts_domain_set_catch_all(struct smtp_accounts *a, const char *domain,
				       const char *address)
{
	int err = accounts_begin(a);

	return err ? err : accounts_finish(a, domain_set_catch_all(a, domain, address));
}

/* ---- Accounts ---- */

static int check_display_name(struct smtp_accounts *a, const char *name)
{
	struct smtp_span text = smtp_span_of(name);

	if (text.n > DISPLAY_NAME_MAX || !smtp_utf8_is_valid(text) ||
	    smtp_span_has(text, SMTP_CC_CONTROL))
		return accounts_problem(a, SMTP_EINVAL, "the name is too long or no plain text");
	return 0;
}

static int check_hash(struct smtp_accounts *a, const char *hash)
{
	static const char prefix[] = "$argon2id$";

	if (!hash || !*hash || (strlen(hash) < SMTP_PASSWORD_HASH_MAX &&
				strncmp(hash, prefix, sizeof prefix - 1) == 0))
		return 0;
	return accounts_problem(a, SMTP_EINVAL, "not a password hash of argon2id");
}

static int account_add(struct smtp_accounts *a, const char *address, const char *display_name,
		       const char *password_hash)
{
	struct accounts_domain domain;
	struct smtp_mailbox mailbox;
	int err;

	if ((err = check_display_name(a, display_name)) || (err = check_hash(a, password_hash)) ||
	    (err = accounts_hosted(a, address, &mailbox, &domain)))
		return err;
	err = accounts_execute(a, NULL,
			       "INSERT INTO account (domain_id, local_part, display_name,"
			       " password_hash, created_s) VALUES (?1, ?2, ?3, ?4, ?5)",
			       "ittti", domain.id, mailbox.local_part,
			       display_name ? display_name : "", password_hash ? password_hash : "",
			       accounts_now_s());
	return exists_already(a, err, address);
}

int smtp_accounts_account_add(struct smtp_accounts *a, const char *address,
			      const char *display_name, const char *password_hash)
{
	int err = accounts_begin(a);

	if (!err)
		err = accounts_finish(a, account_add(a, address, display_name, password_hash));
	return err;
}

/* Sets one column of an account; `sql` has ?3 for its value. */
static int account_set(struct smtp_accounts *a, const char *address, const char *sql,
		       const char *value)
{
	struct accounts_domain domain;
	struct smtp_mailbox mailbox;
	int changes = 0, err = accounts_hosted(a, address, &mailbox, &domain);

	if (!err)
		err = accounts_execute(a, &changes, sql, "itt", domain.id, mailbox.local_part,
				       value);
	return err ? err : must_touch(a, changes, address);
}

int smtp_accounts_account_set_password(struct smtp_accounts *a, const char *address,
				       const char *password_hash)
{
	static const char sql[] = "UPDATE account SET password_hash = ?3"
				  " WHERE domain_id = ?1 AND local_part = ?2";
	int err = accounts_begin(a);

	if (err)
		return err;
	err = check_hash(a, password_hash);
	if (!err)
		err = account_set(a, address, sql, password_hash ? password_hash : "");
	return accounts_finish(a, err);
}

int smtp_accounts_account_set_disabled(struct smtp_accounts *a, const char *address, bool disabled)
{
	static const char sql[] = "UPDATE account SET state = ?3"
				  " WHERE domain_id = ?1 AND local_part = ?2";
	int err = accounts_begin(a);

	if (err)
		return err;
	return accounts_finish(a, account_set(a, address, sql, disabled ? "disabled" : "active"));
}

static int account_remove(struct smtp_accounts *a, const char *address)
{
	struct accounts_domain domain;
	struct smtp_mailbox mailbox;
	int changes = 0, err = accounts_hosted(a, address, &mailbox, &domain);

	if (err)
		return err;
	if (domain.is_primary && strcmp(mailbox.local_part, "postmaster") == 0)
		return accounts_problem(a, SMTP_EBUSY, "the primary domain needs its postmaster");
	err = accounts_execute(a, &changes,
			       "DELETE FROM account WHERE domain_id = ?1 AND local_part = ?2", "it",
			       domain.id, mailbox.local_part);
	return err ? err : must_touch(a, changes, address);
}

int smtp_accounts_account_remove(struct smtp_accounts *a, const char *address)
{
	int err = accounts_begin(a);

	return err ? err : accounts_finish(a, account_remove(a, address));
}

/* ---- Aliases ---- */

static int add_target(struct smtp_accounts *a, const struct accounts_domain *domain,
		      const struct smtp_mailbox *alias, const char *target)
{
	char text[SMTP_MAILBOX_TEXT_MAX + 1];
	bool loops = false;
	int err = accounts_target(a, target, text);

	if (!err)
		err = accounts_execute(a, NULL,
				       "INSERT INTO alias (domain_id, local_part, target, created_s)"
				       " VALUES (?1, ?2, ?3, ?4)",
				       "itti", domain->id, alias->local_part, text,
				       accounts_now_s());
	if (err == SMTP_EEXISTS)
		return accounts_problem(a, err, "%.64s@%.120s leads to %.200s already",
					alias->local_part, alias->domain, text);
	if (err)
		return err;
	err = accounts_loops(a, text, alias, &loops);
	if (!err && loops)
		err = accounts_problem(a, SMTP_EINVAL, "%.200s leads back or too far", text);
	return err;
}

static int alias_add(struct smtp_accounts *a, const char *alias, const char *const *targets,
		     size_t n)
{
	struct accounts_domain domain;
	struct smtp_mailbox mailbox;
	int64_t all = 0;
	int err = accounts_hosted(a, alias, &mailbox, &domain);

	if (!err && n == 0)
		err = accounts_problem(a, SMTP_EINVAL, "an alias needs a target");
	for (size_t i = 0; i < n && !err; i++)
		err = add_target(a, &domain, &mailbox, targets[i]);
	if (!err)
		err = count(a,
			    "SELECT count(*) FROM alias WHERE domain_id = ?1 AND local_part = ?2",
			    domain.id, mailbox.local_part, &all);
	if (!err && all > SMTP_ALIAS_TARGETS_MAX)
		err = accounts_problem(a, SMTP_ETOOLONG, "an alias has at most %d targets",
				       SMTP_ALIAS_TARGETS_MAX);
	return err;
}

int smtp_accounts_alias_add(struct smtp_accounts *a, const char *alias, const char *const *targets,
			    size_t n)
{
	int err = accounts_begin(a);

	return err ? err : accounts_finish(a, alias_add(a, alias, targets, n));
}

static int alias_remove(struct smtp_accounts *a, const char *alias, const char *target)
{
	char text[SMTP_MAILBOX_TEXT_MAX + 1];
	struct accounts_domain domain;
	struct smtp_mailbox mailbox;
	int changes = 0, err = accounts_hosted(a, alias, &mailbox, &domain);

	if (!err && target)
		err = accounts_target(a, target, text);
	if (!err)
		err = accounts_execute(a, &changes,
				       "DELETE FROM alias WHERE domain_id = ?1 AND local_part = ?2"
				       " AND target = ifnull(?3, target)",
				       "itt", domain.id, mailbox.local_part, target ? text : NULL);
	return err ? err : must_touch(a, changes, target ? target : alias);
}

int smtp_accounts_alias_remove(struct smtp_accounts *a, const char *alias, const char *target)
{
	int err = accounts_begin(a);

	return err ? err : accounts_finish(a, alias_remove(a, alias, target));
}

/* ---- DKIM keys ---- */

static int check_key(struct smtp_accounts *a, const struct smtp_dkim_key *key)
{
	struct smtp_span selector = smtp_span_of(key->selector);

	if (selector.n > SELECTOR_MAX || !smtp_domain_is_valid(selector))
		return accounts_problem(a, SMTP_EINVAL, "'%.63s' is no selector", key->selector);
	if (strcmp(key->algorithm, "rsa") != 0 && strcmp(key->algorithm, "ed25519") != 0)
		return accounts_problem(a, SMTP_EINVAL, "'%.15s' is no algorithm", key->algorithm);
	if (!key->private_pem || !key->public_base64 || !*key->private_pem ||
	    strlen(key->private_pem) > KEY_TEXT_MAX || strlen(key->public_base64) > KEY_TEXT_MAX)
		return accounts_problem(a, SMTP_EINVAL, "the key is missing or too long");
	return 0;
}

/* A domain signs with one key: a new active one takes the place of the old. */
static int dkim_key_add(struct smtp_accounts *a, const struct smtp_dkim_key *key)
{
	struct accounts_domain domain;
	int err = check_key(a, key);

	if (!err)
		err = *key->domain ? accounts_domain(a, key->domain, &domain) : SMTP_ENOTFOUND;
	if (!err && key->active)
		err = accounts_execute(a, NULL,
				       "UPDATE dkim_key SET is_active = 0 WHERE domain_id = ?1", "i",
				       domain.id);
	if (err)
		return err;
	err = accounts_execute(a, NULL,
			       "INSERT INTO dkim_key (domain_id, selector, algorithm, private_pem,"
			       " public_base64, is_active, created_s)"
			       " VALUES (?1, lower(?2), ?3, ?4, ?5, ?6, ?7)",
			       "ittttii", domain.id, key->selector, key->algorithm,
			       key->private_pem, key->public_base64, (int64_t)key->active,
			       accounts_now_s());
	return err == SMTP_EEXISTS ?
		       accounts_problem(a, err, "%.200s has a key %.63s already; choose another selector",
					key->domain, key->selector) :
		       err;
}

int smtp_accounts_dkim_key_add(struct smtp_accounts *a, const struct smtp_dkim_key *key)
{
	int err = accounts_begin(a);

	return err ? err : accounts_finish(a, dkim_key_add(a, key));
}
