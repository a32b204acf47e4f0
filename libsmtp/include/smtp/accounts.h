/* SPDX-License-Identifier: ISC */
/* accounts.h - who has mail here: domains, accounts, aliases and DKIM keys in one SQLite file.
 * Threads:   one struct smtp_accounts, one thread at a time; open more for more threads. Passwords are
 *            hashed and compared by the functions of password.h, which need no store.
 * Blocking:  waits for the disk, and up to 5 s for another writer: then SMTP_EBUSY.
 * Addresses: any case; the local part is folded to lower case, the domain too. Texts are UTF-8.
 * Errors:    SMTP_EINVAL for what is no address, SMTP_ENOTFOUND, SMTP_EEXISTS, SMTP_EBUSY, SMTP_EIO,
 *            SMTP_ECORRUPT, SMTP_EVERSION, SMTP_EACCESS; smtp_accounts_problem() says more in one line.
 */
#ifndef SMTP_ACCOUNTS_H
#define SMTP_ACCOUNTS_H

#include <smtp/address.h>
#include <smtp/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct smtp_accounts;

enum {
	SMTP_PASSWORD_HASH_MAX = 128, /* as crypto_pwhash_str writes it, with NUL */
	SMTP_PASSWORD_MAX = 1024,
	SMTP_ALIAS_TARGETS_MAX = 100,   /* of one alias */
	SMTP_RESOLVE_TARGETS_MAX = 150, /* of one address, aliases of aliases opened */
	SMTP_ALIAS_DEPTH_MAX = 10
};

enum smtp_accounts_open { SMTP_ACCOUNTS_READ, SMTP_ACCOUNTS_WRITE, SMTP_ACCOUNTS_CREATE };

/** Opens the store; older schemas are migrated unless READ. SMTP_EVERSION: made by a newer program. */
SMTP_API SMTP_MUST_USE int smtp_accounts_open(struct smtp_accounts **out, const char *file,
					      enum smtp_accounts_open mode);
SMTP_API void smtp_accounts_close(struct smtp_accounts *);
/** One line about the last error of this object; "" if none. Borrowed until the next call. */
SMTP_API const char *smtp_accounts_problem(const struct smtp_accounts *);

/* ---- Look-ups of the running server ---- */

enum smtp_resolve_kind {
	SMTP_RESOLVE_LOCAL,   /* targets hold local accounts and perhaps outside addresses */
	SMTP_RESOLVE_UNKNOWN, /* hosted domain, nobody of that name: 550 5.1.1 */
	SMTP_RESOLVE_FOREIGN, /* the domain is not hosted here */
	SMTP_RESOLVE_DISABLED /* an account that takes no mail now: 550 5.2.1 */
};

struct smtp_resolve {
	enum smtp_resolve_kind kind;
	char (*targets)[SMTP_MAILBOX_TEXT_MAX + 1]; /* owned; final addresses after aliases */
	size_t target_count;
	size_t target_cap;
};

/** Finds who gets mail for an address: exact account, exact alias, plus form of either, catch-all;
 *  postmaster of every hosted domain reaches the primary domain's postmaster at the last. An address
 *  without domain (postmaster) means the primary domain. Init `out` to zero, release it after use.
 *  SMTP_ETOOLONG: it leads to more than SMTP_RESOLVE_TARGETS_MAX addresses. */
SMTP_API SMTP_MUST_USE int smtp_accounts_resolve(struct smtp_accounts *, const struct smtp_mailbox *,
						 struct smtp_resolve *out);
SMTP_API void smtp_resolve_release(struct smtp_resolve *);
/** Does mail to `address` reach `account`? It decides who may send as whom. */
SMTP_API SMTP_MUST_USE int smtp_accounts_reaches(struct smtp_accounts *,
						 const struct smtp_mailbox *address,
						 const char *account, bool *out);
SMTP_API SMTP_MUST_USE int smtp_accounts_domain_is_hosted(struct smtp_accounts *, const char *domain,
							  bool *out);

struct smtp_login {
	char account[SMTP_MAILBOX_TEXT_MAX + 1];     /* canonical address */
	char password_hash[SMTP_PASSWORD_HASH_MAX];  /* "" if he can't log in; wipe after use */
	bool disabled;
};
/** What a login by that name needs: account address in any case. SMTP_ENOTFOUND if there is none. */
SMTP_API SMTP_MUST_USE int smtp_accounts_login(struct smtp_accounts *, struct smtp_span name,
					       struct smtp_login *out);

struct smtp_dkim_key {
	char domain[SMTP_DOMAIN_MAX + 1];
	char selector[64];
	char algorithm[16];    /* "rsa" */
	char *private_pem;     /* owned; wiped when released */
	char *public_base64;   /* owned */
	bool active;
};
/** The active key of a domain. SMTP_ENOTFOUND. */
SMTP_API SMTP_MUST_USE int smtp_accounts_dkim_key(struct smtp_accounts *, const char *domain,
						  struct smtp_dkim_key *out);
SMTP_API void smtp_dkim_key_release(struct smtp_dkim_key *);

/* ---- Administration: each call is one transaction ---- */

SMTP_API SMTP_MUST_USE int smtp_accounts_domain_add(struct smtp_accounts *, const char *domain);
/** Refuses with SMTP_EBUSY while accounts or aliases exist, and for the primary domain. */
SMTP_API SMTP_MUST_USE int smtp_accounts_domain_remove(struct smtp_accounts *, const char *domain);
/** `address` NULL: no catch-all. */
SMTP_API SMTP_MUST_USE int smtp_accounts_domain_set_catch_all(struct smtp_accounts *,
							      const char *domain,
							      const char *address);
/** `password_hash` from smtp_password_hash(). The first domain added is the primary one. */
SMTP_API SMTP_MUST_USE int smtp_accounts_account_add(struct smtp_accounts *, const char *address,
						     const char *display_name,
						     const char *password_hash);
SMTP_API SMTP_MUST_USE int smtp_accounts_account_set_password(struct smtp_accounts *,
							      const char *address,
							      const char *password_hash);
SMTP_API SMTP_MUST_USE int smtp_accounts_account_set_disabled(struct smtp_accounts *,
							      const char *address, bool disabled);
SMTP_API SMTP_MUST_USE int smtp_accounts_account_remove(struct smtp_accounts *, const char *address);
/** Adds a target; loops are SMTP_EINVAL, a target that is there SMTP_EEXISTS. "@domain" is no alias. */
SMTP_API SMTP_MUST_USE int smtp_accounts_alias_add(struct smtp_accounts *, const char *alias,
						   const char *const *targets, size_t count);
/** `target` NULL: the whole alias. */
SMTP_API SMTP_MUST_USE int smtp_accounts_alias_remove(struct smtp_accounts *, const char *alias,
						      const char *target);
SMTP_API SMTP_MUST_USE int smtp_accounts_dkim_key_add(struct smtp_accounts *,
						      const struct smtp_dkim_key *key);

/* ---- Lists: `each` gets rows in order of their names until it returns non-zero ---- */

struct smtp_domain_row {
	const char *domain, *catch_all; /* catch_all "" if none */
	bool primary;
	uint64_t accounts;
};
struct smtp_account_row {
	const char *address, *display_name;
	bool disabled;
	int64_t created_s;
};
struct smtp_alias_row {
	const char *alias, *target;
};
struct smtp_dkim_row {
	const char *domain, *selector, *algorithm, *public_base64;
	bool active;
	int64_t created_s;
};
SMTP_API SMTP_MUST_USE int smtp_accounts_domains(struct smtp_accounts *,
						 int (*each)(const struct smtp_domain_row *, void *user),
						 void *user);
/** `domain` NULL: all. */
SMTP_API SMTP_MUST_USE int
smtp_accounts_accounts(struct smtp_accounts *, const char *domain,
		       int (*each)(const struct smtp_account_row *, void *user), void *user);
SMTP_API SMTP_MUST_USE int smtp_accounts_aliases(struct smtp_accounts *, const char *domain,
						 int (*each)(const struct smtp_alias_row *, void *user),
						 void *user);
SMTP_API SMTP_MUST_USE int smtp_accounts_dkim_keys(struct smtp_accounts *, const char *domain,
						   int (*each)(const struct smtp_dkim_row *, void *user),
						   void *user);

/* ---- Passwords (argon2id by libsodium; about 50 ms and 64 MiB each) ---- */

/** Hashes a password; `out` wiped on error. SMTP_ENOMEM. */
SMTP_API SMTP_MUST_USE int smtp_password_hash(struct smtp_span password,
					      char out[SMTP_PASSWORD_HASH_MAX]);
/** Is it the password of that hash? A NULL or empty hash takes the same time and is false. */
SMTP_API bool smtp_password_matches(struct smtp_span password, const char *hash);

#ifdef __cplusplus
}
#endif
#endif
