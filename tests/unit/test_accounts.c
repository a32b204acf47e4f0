/* SPDX-License-Identifier: ISC */
/* The account store: who gets mail for what, what an administrator may change, files that are
 * damaged, newer, or someone else's.
 */
#include <smtp/accounts.h>

#include "storage/sys.h"
#include "tests/unit/storage_fixture.h"
#include "tests/unit/testing.h"

#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct smtp_accounts *store;

static const char hash_text[] =
	"$argon2id$v=19$m=65536,t=2,p=1$bm9ib2R5aXNhdGhvbWUhIQ"
	"$c29tZXN1bXRoYXRub3Bhc3N3b3JkaGFzZm9yc3VyZSE";

static void ok(int err)
{
	ck_assert_msg(err == 0, "%s: %s", smtp_error_str(err), smtp_accounts_problem(store));
}

static void alias(const char *from, const char *to)
{
	ok(smtp_accounts_alias_add(store, from, &to, 1));
}

static void account(const char *address)
{
	ok(smtp_accounts_account_add(store, address, NULL, hash_text));
}

static void setup(void)
{
	static const char *const team[] = { "bob@example.test", "out@elsewhere.example",
					    "carol@example.test" };

	fixture_enter();
	ok(smtp_accounts_open(&store, fixture_path("accounts.db"), SMTP_ACCOUNTS_CREATE));
	ok(smtp_accounts_domain_add(store, "Example.TEST"));
	ok(smtp_accounts_domain_add(store, "second.test"));
	account("postmaster@example.test");
	account("Bob@Example.test");
	account("carol@example.test");
	account("dis@example.test");
	account("bob@second.test");
	account("\"odd one\"@example.test");
	ok(smtp_accounts_account_set_disabled(store, "DIS@example.test", true));
	ok(smtp_accounts_alias_add(store, "Team@example.test", team, 3));
	alias("all@example.test", "team@example.test");
	alias("all@example.test", "bob@EXAMPLE.test");
	alias("out@example.test", "Some.One@Elsewhere.Example");
	alias("off@example.test", "dis@example.test");
	alias("void@example.test", "nobody@example.test");
	alias("tagged@example.test", "bob+x@example.test");
	alias("any+plus@example.test", "carol@example.test");
	ok(smtp_accounts_domain_set_catch_all(store, "second.test", "carol@example.test"));
}

static void teardown(void)
{
	smtp_accounts_close(store);
	fixture_leave();
}

/* ---- Resolving ---- */

static const struct {
	const char *address;
	enum smtp_resolve_kind kind;
	const char *targets; /* with blanks between */
} ways[] = {
	{ "bob@example.test", SMTP_RESOLVE_LOCAL, "bob@example.test" },
	{ "BOB@EXAMPLE.TEST", SMTP_RESOLVE_LOCAL, "bob@example.test" },
	{ "\"bob\"@example.test", SMTP_RESOLVE_LOCAL, "bob@example.test" },
	{ "\"odd one\"@example.test", SMTP_RESOLVE_LOCAL, "\"odd one\"@example.test" },
	{ "bob+tag@example.test", SMTP_RESOLVE_LOCAL, "bob@example.test" },
	{ "bob+@example.test", SMTP_RESOLVE_LOCAL, "bob@example.test" },
	{ "bob+a+b@example.test", SMTP_RESOLVE_LOCAL, "bob@example.test" },
	{ "+bob@example.test", SMTP_RESOLVE_UNKNOWN, "" },
	{ "nobody@example.test", SMTP_RESOLVE_UNKNOWN, "" },
	{ "nobody+x@example.test", SMTP_RESOLVE_UNKNOWN, "" },
	{ "bob@elsewhere.example", SMTP_RESOLVE_FOREIGN, "" },
	{ "postmaster@elsewhere.example", SMTP_RESOLVE_FOREIGN, "" },
	{ "bob@sub.example.test", SMTP_RESOLVE_FOREIGN, "" },
	{ "bob@[127.0.0.1]", SMTP_RESOLVE_FOREIGN, "" },
	{ "dis@example.test", SMTP_RESOLVE_DISABLED, "" },
	{ "dis+x@example.test", SMTP_RESOLVE_DISABLED, "" },
	{ "off@example.test", SMTP_RESOLVE_DISABLED, "" },
	{ "void@example.test", SMTP_RESOLVE_UNKNOWN, "" },
	{ "team@example.test", SMTP_RESOLVE_LOCAL,
	  "bob@example.test carol@example.test out@elsewhere.example" },
	{ "team+x@example.test", SMTP_RESOLVE_LOCAL,
	  "bob@example.test carol@example.test out@elsewhere.example" },
	{ "all@example.test", SMTP_RESOLVE_LOCAL,
	  "bob@example.test carol@example.test out@elsewhere.example" },
	{ "out@example.test", SMTP_RESOLVE_LOCAL, "Some.One@elsewhere.example" },
	{ "tagged@example.test", SMTP_RESOLVE_LOCAL, "bob@example.test" },
	{ "any+plus@example.test", SMTP_RESOLVE_LOCAL, "carol@example.test" },
	{ "any+other@example.test", SMTP_RESOLVE_UNKNOWN, "" },
	{ "bob@second.test", SMTP_RESOLVE_LOCAL, "bob@second.test" },
	{ "bob+x@second.test", SMTP_RESOLVE_LOCAL, "bob@second.test" },
	{ "whoever@second.test", SMTP_RESOLVE_LOCAL, "carol@example.test" },
	{ "postmaster@example.test", SMTP_RESOLVE_LOCAL, "postmaster@example.test" },
	{ "PostMaster@second.test", SMTP_RESOLVE_LOCAL, "carol@example.test" },
	{ "' OR 1=1 --@example.test", SMTP_RESOLVE_UNKNOWN, NULL },
};

static void join(const struct smtp_resolve *r, char *out, size_t cap)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < r->target_count; i++)
		n += (size_t)snprintf(out + n, cap - n, "%s%s", i ? " " : "", r->targets[i]);
}

static void expect(const char *address, enum smtp_resolve_kind kind, const char *targets)
{
	struct smtp_resolve r = { 0 };
	struct smtp_mailbox mailbox;
	char got[2000];

	if (smtp_mailbox_parse(&mailbox, smtp_span_of(address), 0) != 0) {
		(void)snprintf(mailbox.local_part, sizeof mailbox.local_part, "' OR 1=1 --");
		(void)snprintf(mailbox.domain, sizeof mailbox.domain, "example.test");
	}
	ok(smtp_accounts_resolve(store, &mailbox, &r));
	join(&r, got, sizeof got);
	ck_assert_msg(r.kind == kind, "%s: kind %d", address, r.kind);
	if (targets)
		ck_assert_msg(strcmp(got, targets) == 0, "%s: %s", address, got);
	smtp_resolve_release(&r);
}

START_TEST(mail_finds_its_way)
{
	expect(ways[_i].address, ways[_i].kind, ways[_i].targets);
}
END_TEST

START_TEST(bare_postmaster_is_of_the_primary_domain)
{
	const struct smtp_mailbox bare = { .local_part = "postmaster" };
	struct smtp_resolve r = { 0 };

	ok(smtp_accounts_resolve(store, &bare, &r));
	ck_assert_uint_eq(r.target_count, 1);
	ck_assert_str_eq(r.targets[0], "postmaster@example.test");
	smtp_resolve_release(&r);
}
END_TEST

START_TEST(postmaster_of_every_domain_is_reached)
{
	ok(smtp_accounts_domain_set_catch_all(store, "second.test", NULL));
	expect("postmaster@second.test", SMTP_RESOLVE_LOCAL, "postmaster@example.test");
	expect("whoever@second.test", SMTP_RESOLVE_UNKNOWN, "");
	ok(smtp_accounts_account_set_disabled(store, "postmaster@example.test", true));
	expect("postmaster@second.test", SMTP_RESOLVE_LOCAL, "bob@example.test");
	expect("postmaster@example.test", SMTP_RESOLVE_LOCAL, "bob@example.test");
}
END_TEST

START_TEST(only_who_is_reached_may_send)
{
	static const struct {
		const char *address, *account;
		bool reaches;
	} rows[] = {
		{ "bob@example.test", "bob@example.test", true },
		{ "Bob+x@example.test", "BOB@Example.Test", true },
		{ "team@example.test", "carol@example.test", true },
		{ "team@example.test", "dis@example.test", false },
		{ "carol@example.test", "bob@example.test", false },
		{ "bob@second.test", "bob@example.test", false },
		{ "bob@elsewhere.example", "bob@example.test", false },
		{ "any@second.test", "carol@example.test", true },
	};

	for (int i = 0; i < ROWS(rows); i++) {
		struct smtp_mailbox mailbox;
		bool reaches = !rows[i].reaches;

		ok(smtp_mailbox_parse(&mailbox, smtp_span_of(rows[i].address), 0));
		ok(smtp_accounts_reaches(store, &mailbox, rows[i].account, &reaches));
		ck_assert_msg(reaches == rows[i].reaches, "%s", rows[i].address);
	}
}
END_TEST

START_TEST(domain_is_hosted)
{
	bool hosted;

	ok(smtp_accounts_domain_is_hosted(store, "EXAMPLE.test", &hosted));
	ck_assert(hosted);
	ok(smtp_accounts_domain_is_hosted(store, "elsewhere.example", &hosted));
	ck_assert(!hosted);
	ok(smtp_accounts_domain_is_hosted(store, "", &hosted));
	ck_assert(!hosted);
	ok(smtp_accounts_domain_is_hosted(store, "x' OR '1'='1", &hosted));
	ck_assert(!hosted);
}
END_TEST

/* ---- Loops ---- */

START_TEST(loops_are_refused)
{
	static const char *const itself[] = { "loop1@example.test" };
	static const char *const tag[] = { "loop1+x@example.test" };
	static const char *const back[] = { "loop1@example.test" };

	ck_assert_int_eq(smtp_accounts_alias_add(store, "loop1@example.test", itself, 1),
			 SMTP_EINVAL);
	ck_assert_int_eq(smtp_accounts_alias_add(store, "loop1@example.test", tag, 1), SMTP_EINVAL);
	expect("loop1@example.test", SMTP_RESOLVE_UNKNOWN, "");
	alias("loop1@example.test", "loop2@example.test");
	alias("loop2@example.test", "loop3@example.test");
	ck_assert_int_eq(smtp_accounts_alias_add(store, "loop3@example.test", back, 1),
			 SMTP_EINVAL);
	expect("loop1@example.test", SMTP_RESOLVE_UNKNOWN, "");
	alias("loop3@example.test", "bob@example.test");
	expect("loop1@example.test", SMTP_RESOLVE_LOCAL, "bob@example.test");
}
END_TEST

START_TEST(chain_is_bounded)
{
	char from[64], to[64];
	const char *target = to;
	int i;

	for (i = 0; i < 2 * SMTP_ALIAS_DEPTH_MAX; i++) {
		(void)snprintf(from, sizeof from, "a%d@example.test", i + 1);
		(void)snprintf(to, sizeof to, "a%d@example.test", i);
		if (i == 0)
			(void)snprintf(to, sizeof to, "bob@example.test");
		if (smtp_accounts_alias_add(store, from, &target, 1) != 0)
			break;
		expect(from, SMTP_RESOLVE_LOCAL, "bob@example.test");
	}
	ck_assert_int_eq(i, SMTP_ALIAS_DEPTH_MAX);
}
END_TEST

static void raw(const char *sql)
{
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(fixture_path("accounts.db"), &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

/* What another program wrote into the table ends too. */
START_TEST(loops_in_the_table_end)
{
	raw("INSERT INTO alias SELECT id, 'x', 'y@example.test', 0 FROM domain WHERE is_primary;"
	    "INSERT INTO alias SELECT id, 'y', 'x@example.test', 0 FROM domain WHERE is_primary;"
	    "INSERT INTO alias SELECT id, 'y', 'bob@example.test', 0 FROM domain WHERE is_primary;"
	    "UPDATE domain SET catch_all = 'nobody@second.test' WHERE name = 'second.test'");
	expect("x@example.test", SMTP_RESOLVE_LOCAL, "bob@example.test");
	expect("who@second.test", SMTP_RESOLVE_UNKNOWN, "");
}
END_TEST

/* Nine levels of thirty aliases, each with all of the next level: 30 to the power of 9 ways, 270 of
 * them worth going. */
START_TEST(each_alias_is_followed_once)
{
	raw("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 29),"
	    " level(l) AS (SELECT 0 UNION ALL SELECT l + 1 FROM level WHERE l < 8)"
	    " INSERT INTO alias SELECT domain.id, format('w%d-%d', l, n.i),"
	    " format('w%d-%d@example.test', l + 1, m.i), 0"
	    " FROM domain, level, n, n AS m WHERE is_primary;"
	    "INSERT INTO alias SELECT id, 'w9-29', 'bob@example.test', 0 FROM domain"
	    " WHERE is_primary");
	expect("w0-0@example.test", SMTP_RESOLVE_LOCAL, "bob@example.test");
}
END_TEST

START_TEST(alias_is_bounded)
{
	static char names[SMTP_ALIAS_TARGETS_MAX + 1][32];
	const char *targets[SMTP_ALIAS_TARGETS_MAX + 1];

	for (int i = 0; i <= SMTP_ALIAS_TARGETS_MAX; i++) {
		(void)snprintf(names[i], sizeof names[i], "t%d@elsewhere.example", i);
		targets[i] = names[i];
	}
	ck_assert_int_eq(smtp_accounts_alias_add(store, "big@example.test", targets,
						 SMTP_ALIAS_TARGETS_MAX + 1),
			 SMTP_ETOOLONG);
	expect("big@example.test", SMTP_RESOLVE_UNKNOWN, "");
	ok(smtp_accounts_alias_add(store, "big@example.test", targets, SMTP_ALIAS_TARGETS_MAX));
}
END_TEST

/* ---- Logins ---- */

START_TEST(login_is_found)
{
	struct smtp_login login;

	ok(smtp_accounts_login(store, smtp_span_of("BOB@example.TEST"), &login));
	ck_assert_str_eq(login.account, "bob@example.test");
	ck_assert_str_eq(login.password_hash, hash_text);
	ck_assert(!login.disabled);
	ok(smtp_accounts_login(store, smtp_span_of("dis@example.test"), &login));
	ck_assert(login.disabled);
	raw("UPDATE account SET state = 'frozen' WHERE local_part = 'carol'");
	ok(smtp_accounts_login(store, smtp_span_of("carol@example.test"), &login));
	ck_assert(login.disabled);
	expect("carol@example.test", SMTP_RESOLVE_LOCAL, "carol@example.test");
}
END_TEST

START_TEST(login_is_not_found)
{
	static const char *const names[] = { "bob", "", "team@example.test", "bob+x@example.test",
					     "bob@elsewhere.example", "x@second.test", "bob@",
					     "' OR '1'='1", "bob@example.test' --" };
	struct smtp_login login;

	for (int i = 0; i < ROWS(names); i++)
		ck_assert_msg(smtp_accounts_login(store, smtp_span_of(names[i]), &login) ==
				      SMTP_ENOTFOUND,
			      "%s", names[i]);
}
END_TEST

/* ---- Administration ---- */

START_TEST(account_is_changed)
{
	struct smtp_login login;

	ok(smtp_accounts_account_set_password(store, "Bob@example.test", ""));
	ok(smtp_accounts_login(store, smtp_span_of("bob@example.test"), &login));
	ck_assert_str_eq(login.password_hash, "");
	ok(smtp_accounts_account_set_password(store, "bob@example.test", hash_text));
	ok(smtp_accounts_account_set_disabled(store, "bob@example.test", true));
	expect("bob@example.test", SMTP_RESOLVE_DISABLED, "");
	ok(smtp_accounts_account_set_disabled(store, "bob@example.test", false));
	expect("bob@example.test", SMTP_RESOLVE_LOCAL, "bob@example.test");
	ok(smtp_accounts_account_remove(store, "BOB@example.test"));
	expect("bob@example.test", SMTP_RESOLVE_UNKNOWN, "");
	ok(smtp_accounts_alias_remove(store, "TEAM@example.test", "Carol@example.test"));
	expect("team@example.test", SMTP_RESOLVE_LOCAL, "out@elsewhere.example");
	ok(smtp_accounts_alias_remove(store, "team@example.test", NULL));
	expect("team@example.test", SMTP_RESOLVE_UNKNOWN, "");
}
END_TEST

static int refused_account_add(const char *address)
{
	return smtp_accounts_account_add(store, address, "", "");
}

static int refused_hash(const char *hash)
{
	return smtp_accounts_account_add(store, "new@example.test", "", hash);
}

static int refused_name(const char *name)
{
	return smtp_accounts_account_add(store, "new@example.test", name, "");
}

static int refused_password(const char *address)
{
	return smtp_accounts_account_set_password(store, address, hash_text);
}

static int refused_disable(const char *address)
{
	return smtp_accounts_account_set_disabled(store, address, true);
}

static int refused_account_remove(const char *address)
{
	return smtp_accounts_account_remove(store, address);
}

static int refused_domain_add(const char *domain)
{
	return smtp_accounts_domain_add(store, domain);
}

static int refused_domain_remove(const char *domain)
{
	return smtp_accounts_domain_remove(store, domain);
}

static int refused_catch_all(const char *address)
{
	return smtp_accounts_domain_set_catch_all(store, "second.test", address);
}

static int refused_catch_all_domain(const char *domain)
{
	return smtp_accounts_domain_set_catch_all(store, domain, "bob@example.test");
}

static int refused_alias(const char *address)
{
	const char *const target = "bob@example.test";

	return smtp_accounts_alias_add(store, address, &target, 1);
}

static int refused_target(const char *target)
{
	return smtp_accounts_alias_add(store, "all@example.test", &target, 1);
}

static int refused_alias_remove(const char *address)
{
	return smtp_accounts_alias_remove(store, address, NULL);
}

static int refused_target_remove(const char *target)
{
	return smtp_accounts_alias_remove(store, "all@example.test", target);
}

static char too_long[300];
static const struct {
	const char *name;
	int (*change)(const char *argument);
	const char *argument;
	int err;
} refused[] = {
	{ "account twice", refused_account_add, "BOB@example.test", SMTP_EEXISTS },
	{ "account that is an alias", refused_account_add, "team@example.test", SMTP_EEXISTS },
	{ "account elsewhere", refused_account_add, "x@elsewhere.example", SMTP_ENOTFOUND },
	{ "account without @", refused_account_add, "bob", SMTP_EINVAL },
	{ "account NULL", refused_account_add, NULL, SMTP_EINVAL },
	{ "account with controls", refused_account_add, "a\nb@example.test", SMTP_EINVAL },
	{ "password in the clear", refused_hash, "secret", SMTP_EINVAL },
	{ "other hash", refused_hash, "$2b$12$abc", SMTP_EINVAL },
	{ "endless hash", refused_hash, too_long, SMTP_EINVAL },
	{ "endless name", refused_name, too_long, SMTP_EINVAL },
	{ "name with line break", refused_name, "a\r\nb", SMTP_EINVAL },
	{ "name that is no UTF-8", refused_name, "\xff", SMTP_EINVAL },
	{ "password of nobody", refused_password, "x@example.test", SMTP_ENOTFOUND },
	{ "password elsewhere", refused_password, "x@elsewhere.example", SMTP_ENOTFOUND },
	{ "disable nobody", refused_disable, "x@example.test", SMTP_ENOTFOUND },
	{ "remove nobody", refused_account_remove, "x@example.test", SMTP_ENOTFOUND },
	{ "remove an alias", refused_account_remove, "team@example.test", SMTP_ENOTFOUND },
	{ "remove the postmaster", refused_account_remove, "postmaster@example.test", SMTP_EBUSY },
	{ "domain twice", refused_domain_add, "SECOND.test", SMTP_EEXISTS },
	{ "no domain", refused_domain_add, "a b", SMTP_EINVAL },
	{ "domain NULL", refused_domain_add, NULL, SMTP_EINVAL },
	{ "domain literal", refused_domain_add, "[127.0.0.1]", SMTP_EINVAL },
	{ "remove the primary domain", refused_domain_remove, "example.test", SMTP_EBUSY },
	{ "remove a domain in use", refused_domain_remove, "second.test", SMTP_EBUSY },
	{ "remove no domain", refused_domain_remove, "third.test", SMTP_ENOTFOUND },
	{ "remove the unnamed domain", refused_domain_remove, "", SMTP_ENOTFOUND },
	{ "catch-all of no address", refused_catch_all, "bob", SMTP_EINVAL },
	{ "catch-all elsewhere", refused_catch_all_domain, "third.test", SMTP_ENOTFOUND },
	{ "alias that is an account", refused_alias, "bob@example.test", SMTP_EEXISTS },
	{ "alias elsewhere", refused_alias, "x@elsewhere.example", SMTP_ENOTFOUND },
	{ "alias of a domain", refused_alias, "@example.test", SMTP_EINVAL },
	{ "target twice", refused_target, "BOB@example.test", SMTP_EEXISTS },
	{ "target of no address", refused_target, "|/bin/sh", SMTP_EINVAL },
	{ "target NULL", refused_target, NULL, SMTP_EINVAL },
	{ "remove no alias", refused_alias_remove, "x@example.test", SMTP_ENOTFOUND },
	{ "remove an account as alias", refused_alias_remove, "bob@example.test", SMTP_ENOTFOUND },
	{ "remove no target", refused_target_remove, "x@example.test", SMTP_ENOTFOUND },
};

static long long checksum(void)
{
	sqlite3_stmt *stmt;
	long long rows;
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(fixture_path("accounts.db"), &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_prepare_v2(db,
					    "SELECT (SELECT count(*) FROM domain) * 1000000"
					    " + (SELECT count(*) FROM account) * 10000"
					    " + (SELECT count(*) FROM alias) * 100"
					    " + (SELECT count(*) FROM dkim_key)",
					    -1, &stmt, NULL),
			 SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(stmt), SQLITE_ROW);
	rows = sqlite3_column_int64(stmt, 0);
	(void)sqlite3_finalize(stmt);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	return rows;
}

START_TEST(change_is_refused)
{
	long long before = checksum();
	int err;

	memset(too_long, 'a', sizeof too_long - 1);
	memcpy(too_long, "$argon2id$", 10);
	err = refused[_i].change(refused[_i].argument);
	ck_assert_msg(err == refused[_i].err, "%s: %s", refused[_i].name, smtp_error_str(err));
	ck_assert_int_eq(checksum(), before);
	account("still@example.test"); /* no transaction is left open */
}
END_TEST

START_TEST(empty_domain_is_removed)
{
	struct smtp_dkim_key key = { .domain = "second.test", .selector = "s", .algorithm = "rsa",
				     .private_pem = (char *)(uintptr_t)"pem",
				     .public_base64 = (char *)(uintptr_t)"pub", .active = true };

	ok(smtp_accounts_dkim_key_add(store, &key));
	ok(smtp_accounts_account_remove(store, "bob@second.test"));
	ok(smtp_accounts_domain_remove(store, "Second.test"));
	expect("bob@second.test", SMTP_RESOLVE_FOREIGN, "");
}
END_TEST

/* Names that would mean something in SQL are names. */
START_TEST(names_are_not_sql)
{
	static const char *const names[] = {
		"o'brien@example.test", "\"x'; DROP TABLE account; --\"@example.test",
		"%@example.test", "\"a\\\"b\"@example.test", "_@example.test",
	};

	for (int i = 0; i < ROWS(names); i++) {
		struct smtp_login login;

		ok(smtp_accounts_account_add(store, names[i], "Robert'); DROP TABLE alias; --",
					     hash_text));
		ok(smtp_accounts_login(store, smtp_span_of(names[i]), &login));
		expect(names[i], SMTP_RESOLVE_LOCAL, NULL);
	}
	expect("x@example.test", SMTP_RESOLVE_UNKNOWN, ""); /* % and _ stand for themselves */
}
END_TEST

/* ---- Keys ---- */

static int add_key(const char *domain, const char *selector, bool active)
{
	struct smtp_dkim_key key = { .active = active,
				     .private_pem = (char *)(uintptr_t)"pem",
				     .public_base64 = (char *)(uintptr_t)"pub" };

	(void)snprintf(key.domain, sizeof key.domain, "%s", domain);
	(void)snprintf(key.selector, sizeof key.selector, "%s", selector);
	(void)snprintf(key.algorithm, sizeof key.algorithm, "rsa");
	return smtp_accounts_dkim_key_add(store, &key);
}

START_TEST(one_key_is_active)
{
	struct smtp_dkim_key key = { 0 };

	ck_assert_int_eq(smtp_accounts_dkim_key(store, "example.test", &key), SMTP_ENOTFOUND);
	ok(add_key("example.test", "old", true));
	ok(add_key("Example.test", "new", true));
	ok(add_key("example.test", "later", false));
	ok(smtp_accounts_dkim_key(store, "EXAMPLE.test", &key));
	ck_assert_str_eq(key.domain, "example.test");
	ck_assert_str_eq(key.selector, "new");
	ck_assert_str_eq(key.algorithm, "rsa");
	ck_assert_str_eq(key.private_pem, "pem");
	ck_assert_str_eq(key.public_base64, "pub");
	ck_assert(key.active);
	smtp_dkim_key_release(&key);
	ck_assert_ptr_null(key.private_pem);
	ck_assert_int_eq(smtp_accounts_dkim_key(store, "", &key), SMTP_ENOTFOUND);
	ck_assert_int_eq(add_key("example.test", "new", false), SMTP_EEXISTS);
	ck_assert_int_eq(add_key("third.test", "new", false), SMTP_ENOTFOUND);
	ck_assert_int_eq(add_key("example.test", "a b", false), SMTP_EINVAL);
	ck_assert_int_eq(add_key("example.test", "", false), SMTP_EINVAL);
	ok(smtp_accounts_dkim_key(store, "example.test", &key)); /* a refused one retires nothing */
	smtp_dkim_key_release(&key);
}
END_TEST

/* ---- Lists ---- */

static char listed[2000];

static void note(const char *a, const char *b, int n)
{
	size_t at = strlen(listed);

	(void)snprintf(listed + at, sizeof listed - at, "%s,%s,%d ", a, b, n);
}

static int note_domain(const struct smtp_domain_row *row, void *user)
{
	note(row->domain, row->catch_all, row->primary * 100 + (int)row->accounts);
	return *(int *)user;
}

static int note_account(const struct smtp_account_row *row, void *user)
{
	ck_assert_int_gt(row->created_s, 1600000000);
	note(row->address, row->display_name, row->disabled);
	return *(int *)user;
}

static int note_alias(const struct smtp_alias_row *row, void *user)
{
	bool hosted;

	ok(smtp_accounts_domain_is_hosted(store, "example.test", &hosted)); /* may be asked here */
	note(row->alias, row->target, 0);
	return *(int *)user;
}

static int note_key(const struct smtp_dkim_row *row, void *user)
{
	note(row->domain, row->selector, row->active);
	return *(int *)user;
}

START_TEST(lists_are_in_order)
{
	int go_on = 0, stop = 7;

	ok(add_key("second.test", "s2", true));
	ok(add_key("example.test", "s1", false));
	ok(smtp_accounts_domains(store, note_domain, &go_on));
	ck_assert_str_eq(listed, "example.test,,105 second.test,carol@example.test,1 ");
	listed[0] = '\0';
	ok(smtp_accounts_accounts(store, "Example.test", note_account, &go_on));
	ck_assert_str_eq(listed, "bob@example.test,,0 carol@example.test,,0 dis@example.test,,1 "
				 "\"odd one\"@example.test,,0 postmaster@example.test,,0 ");
	listed[0] = '\0';
	ck_assert_int_eq(smtp_accounts_accounts(store, NULL, note_account, &stop), 7);
	ck_assert_str_eq(listed, "bob@example.test,,0 ");
	listed[0] = '\0';
	ok(smtp_accounts_aliases(store, "second.test", note_alias, &go_on));
	ck_assert_str_eq(listed, "");
	ck_assert_int_eq(smtp_accounts_aliases(store, NULL, note_alias, &stop), 7);
	ck_assert_str_eq(listed, "all@example.test,bob@example.test,0 ");
	listed[0] = '\0';
	ok(smtp_accounts_dkim_keys(store, NULL, note_key, &go_on));
	ck_assert_str_eq(listed, "example.test,s1,0 second.test,s2,1 ");
}
END_TEST

/* ---- The file ---- */

static int reopen(enum smtp_accounts_open mode)
{
	smtp_accounts_close(store);
	store = NULL;
	return smtp_accounts_open(&store, fixture_path("accounts.db"), mode);
}

START_TEST(store_is_kept)
{
	struct stat st;

	ok(reopen(SMTP_ACCOUNTS_CREATE)); /* makes nothing anew */
	expect("bob@example.test", SMTP_RESOLVE_LOCAL, "bob@example.test");
	ck_assert_int_eq(stat(fixture_path("accounts.db"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ok(reopen(SMTP_ACCOUNTS_READ));
	expect("bob@example.test", SMTP_RESOLVE_LOCAL, "bob@example.test");
	ck_assert_int_eq(smtp_accounts_domain_add(store, "third.test"), SMTP_EACCESS);
}
END_TEST

START_TEST(missing_file)
{
	struct smtp_accounts *none = NULL;

	ck_assert_int_eq(smtp_accounts_open(&none, fixture_path("no"), SMTP_ACCOUNTS_WRITE),
			 SMTP_ENOTFOUND);
	ck_assert_int_eq(smtp_accounts_open(&none, fixture_path("no"), SMTP_ACCOUNTS_READ),
			 SMTP_ENOTFOUND);
	ck_assert_int_eq(smtp_accounts_open(&none, fixture_path("no/x"), SMTP_ACCOUNTS_CREATE),
			 SMTP_ENOTFOUND);
	ck_assert(!fixture_exists(fixture_path("no")));
	ck_assert_ptr_null(none);
	smtp_accounts_close(NULL);
}
END_TEST

START_TEST(newer_store_is_left_alone)
{
	uint8_t *before, *after;
	size_t n, m;

	raw("PRAGMA user_version = 1000; PRAGMA wal_checkpoint(TRUNCATE)");
	smtp_accounts_close(store);
	store = NULL;
	before = fixture_read(fixture_path("accounts.db"), &n);
	for (int mode = SMTP_ACCOUNTS_READ; mode <= SMTP_ACCOUNTS_CREATE; mode++)
		ck_assert_int_eq(reopen((enum smtp_accounts_open)mode), SMTP_EVERSION);
	after = fixture_read(fixture_path("accounts.db"), &m);
	ck_assert_uint_eq(n, m);
	ck_assert_mem_eq(before, after, n);
	free(before);
	free(after);
}
END_TEST

static const struct {
	const char *name;
	size_t from, n; /* octets that are overwritten */
} damages[] = {
	{ "head", 0, 100 },
	{ "magic", 0, 16 },
	{ "schema", 100, 3996 },
	{ "everything", 0, 1 << 20 },
};

START_TEST(damaged_store_is_not_opened)
{
	uint8_t *bytes;
	size_t n;

	smtp_accounts_close(store);
	store = NULL;
	bytes = fixture_read(fixture_path("accounts.db"), &n);
	for (size_t i = damages[_i].from; i < n && i < damages[_i].from + damages[_i].n; i++)
		bytes[i] = (uint8_t)(0xa5 + i * 7);
	fixture_write(fixture_path("accounts.db"), bytes, n);
	for (int mode = SMTP_ACCOUNTS_READ; mode <= SMTP_ACCOUNTS_CREATE; mode++)
		ck_assert_msg(reopen((enum smtp_accounts_open)mode) == SMTP_ECORRUPT, "%s",
			      damages[_i].name);
	free(bytes);
}
END_TEST

START_TEST(damage_inside_is_reported)
{
	struct smtp_login login;
	uint8_t *bytes;
	size_t n;
	int err;

	smtp_accounts_close(store);
	store = NULL;
	bytes = fixture_read(fixture_path("accounts.db"), &n);
	memset(bytes + 4096, 0xa5, n - 4096);
	fixture_write(fixture_path("accounts.db"), bytes, n);
	err = reopen(SMTP_ACCOUNTS_READ);
	if (!err)
		err = smtp_accounts_login(store, smtp_span_of("bob@example.test"), &login);
	ck_assert_int_eq(err, SMTP_ECORRUPT);
	free(bytes);
}
END_TEST

START_TEST(someone_elses_database)
{
	struct smtp_accounts *other;
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(fixture_path("other.db"), &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, "CREATE TABLE t (x)", NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	ck_assert_int_eq(smtp_accounts_open(&other, fixture_path("other.db"), SMTP_ACCOUNTS_CREATE),
			 SMTP_ECORRUPT);
}
END_TEST

START_TEST(unwritable_store)
{
	enum { NOBODY = 65534 };

	if (geteuid() != 0) {
		printf("ok 1 # SKIP unwritable_store: needs root\n");
		return;
	}
	smtp_accounts_close(store);
	store = NULL;
	ck_assert_int_eq(chmod(fixture_path("."), 0755), 0);
	ck_assert_int_eq(seteuid(NOBODY), 0);
	ck_assert_int_eq(reopen(SMTP_ACCOUNTS_READ), SMTP_EACCESS);
	ck_assert_int_eq(reopen(SMTP_ACCOUNTS_WRITE), SMTP_EACCESS);
	ck_assert_int_eq(smtp_accounts_open(&store, fixture_path("new.db"), SMTP_ACCOUNTS_CREATE),
			 SMTP_EACCESS);
	ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(files_belong_to_the_owner_of_the_folder)
{
	static const char *const names[] = { "d/a.db", "d/a.db-wal", "d/a.db-shm" };
	enum { NOBODY = 65534 };
	struct smtp_accounts *other;
	struct stat st;

	if (geteuid() != 0) {
		printf("ok 1 # SKIP files_belong_to_the_owner_of_the_folder: needs root\n");
		return;
	}
	ck_assert_int_eq(mkdir(fixture_path("d"), 0755), 0);
	ck_assert_int_eq(chown(fixture_path("d"), NOBODY, NOBODY), 0);
	ck_assert_int_eq(smtp_accounts_open(&other, fixture_path("d/a.db"), SMTP_ACCOUNTS_CREATE),
			 0);
	ck_assert_int_eq(smtp_accounts_domain_add(other, "example.test"), 0);
	for (int i = 0; i < ROWS(names); i++) {
		ck_assert_int_eq(stat(fixture_path("%s", names[i]), &st), 0);
		ck_assert_msg(st.st_uid == NOBODY && st.st_gid == NOBODY, "%s", names[i]);
		ck_assert_msg((st.st_mode & 0777) == 0600, "%s", names[i]);
	}
	smtp_accounts_close(other);
}
END_TEST

/* ---- Two at a time ---- */

static int write_fifty(void *user)
{
	struct smtp_accounts *mine;
	char address[64];
	int err = smtp_accounts_open(&mine, fixture_path("accounts.db"), SMTP_ACCOUNTS_WRITE);

	for (int i = 0; i < 50 && !err; i++) {
		(void)snprintf(address, sizeof address, "%s%d@example.test", (char *)user, i);
		err = smtp_accounts_account_add(mine, address, "", "");
	}
	if (!err)
		smtp_accounts_close(mine);
	return err ? 1 : 0;
}

static int write_both(void *unused)
{
	static char a[] = "a", b[] = "b";
	pid_t pid = fork();
	int status = 1;

	(void)unused;
	if (pid == 0)
		_exit(write_fifty(a));
	if (pid < 0 || write_fifty(b) != 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	return status;
}

static int count_account(const struct smtp_account_row *row, void *user)
{
	(void)row;
	++*(int *)user;
	return 0;
}

START_TEST(two_writers_take_turns)
{
	int n = 0, before = 0;

	ok(smtp_accounts_accounts(store, NULL, count_account, &before));
	smtp_accounts_close(store); /* not to be used across a fork */
	store = NULL;
	ck_assert_int_eq(fixture_child(write_both, NULL), 0);
	ck_assert_int_eq(reopen(SMTP_ACCOUNTS_READ), 0);
	ok(smtp_accounts_accounts(store, NULL, count_account, &n));
	ck_assert_int_eq(n, before + 100);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("accounts");
	TCase *tc = tcase_create("accounts");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, mail_finds_its_way, 0, ROWS(ways));
	tcase_add_test(tc, bare_postmaster_is_of_the_primary_domain);
	tcase_add_test(tc, postmaster_of_every_domain_is_reached);
	tcase_add_test(tc, only_who_is_reached_may_send);
	tcase_add_test(tc, domain_is_hosted);
	tcase_add_test(tc, loops_are_refused);
	tcase_add_test(tc, chain_is_bounded);
	tcase_add_test(tc, loops_in_the_table_end);
	tcase_add_test(tc, each_alias_is_followed_once);
	tcase_add_test(tc, alias_is_bounded);
	tcase_add_test(tc, login_is_found);
	tcase_add_test(tc, login_is_not_found);
	tcase_add_test(tc, account_is_changed);
	tcase_add_loop_test(tc, change_is_refused, 0, ROWS(refused));
	tcase_add_test(tc, empty_domain_is_removed);
	tcase_add_test(tc, names_are_not_sql);
	tcase_add_test(tc, one_key_is_active);
	tcase_add_test(tc, lists_are_in_order);
	tcase_add_test(tc, store_is_kept);
	tcase_add_test(tc, missing_file);
	tcase_add_test(tc, newer_store_is_left_alone);
	tcase_add_loop_test(tc, damaged_store_is_not_opened, 0, ROWS(damages));
	tcase_add_test(tc, damage_inside_is_reported);
	tcase_add_test(tc, someone_elses_database);
	tcase_add_test(tc, unwritable_store);
	tcase_add_test(tc, files_belong_to_the_owner_of_the_folder);
	tcase_add_test(tc, two_writers_take_turns);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
