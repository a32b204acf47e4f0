/* SPDX-License-Identifier: ISC */
/* Mailboxes, paths, domains and address literals: what is taken, what is refused, and that the text
 * of a mailbox reads back as the same mailbox.
 */
#include <smtp/address.h>

#include "libsmtp/core/span.h"

#include "tests/unit/testing.h"

#define A10 "aaaaaaaaaa"
#define A60 A10 A10 A10 A10 A10 A10
#define L50 "." A10 A10 A10 A10 "aaaaaaaaa" /* a dot and 49 octets */
#define D255 A10 A10 "aaaaa" L50 L50 L50 L50 ".aaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
	const char *name, *in;
	int err;
	const char *local, *domain;
	const char *left; /* behind the path */
} paths[] = {
	{ "null", "<>", 0, "", "", "" },
	{ "plain", "<bob@example.org>", 0, "bob", "example.org", "" },
	{ "domain keeps its case", "<Bob@Example.ORG>", 0, "Bob", "Example.ORG", "" },
	{ "parameters are left", "<b@x.org> SIZE=1", 0, "b", "x.org", " SIZE=1" },
	{ "one label", "<b@localhost>", 0, "b", "localhost", "" },
	{ "all of atext", "<!#$%&'*+-/=?^_`{|}~09azAZ@x>", 0,
	  "!#$%&'*+-/=?^_`{|}~09azAZ", "x", "" },
	{ "dots", "<a.b.c@x.org>", 0, "a.b.c", "x.org", "" },
	{ "quoted for nothing", "<\"bob\"@x.org>", 0, "bob", "x.org", "" },
	{ "quoted blank", "<\"a b\"@x.org>", 0, "a b", "x.org", "" },
	{ "quoted at and bracket", "<\"a@b>c\"@x.org>", 0, "a@b>c", "x.org", "" },
	{ "quoted pairs", "<\"a\\\"b\\\\c\\d\"@x.org>", 0, "a\"b\\cd", "x.org", "" },
	{ "quoted empty", "<\"\"@x.org>", 0, "", "x.org", "" },
	{ "quoted dots", "<\".a..\"@x.org>", 0, ".a..", "x.org", "" },
	{ "postmaster", "<postmaster>", 0, "postmaster", "", "" },
	{ "postmaster in any case", "<PostMaster> X=1", 0, "postmaster", "", " X=1" },
	{ "postmaster with domain", "<Postmaster@x.org>", 0, "Postmaster", "x.org", "" },
	{ "source route", "<@a.org:b@x.org>", 0, "b", "x.org", "" },
	{ "long source route", "<@a.org,@b.org,@c:b@x.org>", 0, "b", "x.org", "" },
	{ "IPv4 literal", "<b@[192.0.2.1]>", 0, "b", "[192.0.2.1]", "" },
	{ "IPv6 literal", "<b@[IPv6:2001:db8::1]>", 0, "b", "[IPv6:2001:db8::1]", "" },
	{ "hyphens", "<b@a-b.x--y.org>", 0, "b", "a-b.x--y.org", "" },
	{ "digits", "<1@2.3>", 0, "1", "2.3", "" },
	{ "local part of 64", "<" A60 "aaaa@x>", 0, A60 "aaaa", "x", "" },
	{ "quoted local part of 64", "<\"" A60 "a\\ab\\\"\"@x>", 0, A60 "aab\"", "x", "" },
	{ "domain of 255", "<b@" D255 ">", 0, "b", D255, "" },

	{ "nothing", "", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "no brackets", "bob@x.org", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "not closed", "<bob@x.org", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "not closed null", "<", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "only closed", ">", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "blank before", "< b@x.org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "blank behind", "<b@x.org >", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "blank only", "< >", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "blank in local", "<a b@x.org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "no domain", "<bob>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "longer than postmaster", "<postmasters>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "quoted postmaster", "<\"postmaster\">", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "empty domain", "<bob@>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "empty local", "<@x.org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "two at", "<a@b@x.org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "first dot", "<.a@x.org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "last dot", "<a.@x.org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "two dots", "<a..b@x.org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "open quote", "<\"bob@x.org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "quote within", "<b\"o\"b@x.org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "text behind quote", "<\"bob\"b@x.org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "quoted backslash at end", "<\"bob\\", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "quoted control", "<\"a\001b\"@x.org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "quoted pair of control", "<\"a\\\tb\"@x.org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "comment", "<bob(x)@x.org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "comment in domain", "<bob@x.org(x)>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "display name", "Bob <bob@x.org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "two brackets", "<<bob@x.org>>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "domain ends with dot", "<bob@x.org.>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "domain begins with dot", "<bob@.x.org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "domain with two dots", "<bob@x..org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "label begins with hyphen", "<bob@-x.org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "label ends with hyphen", "<bob@x-.org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "underscore", "<bob@x_y.org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "UTF-8 in local", "<b\303\266b@x.org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "UTF-8 in domain", "<bob@x\303\266.org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "open literal", "<bob@[192.0.2.1>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "bad literal", "<bob@[192.0.2]>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "text behind literal", "<bob@[192.0.2.1]x>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "route without colon", "<@a.org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "route without mailbox", "<@a.org:>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "route without at", "<@a.org,b.org:b@x.org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "route with blank", "<@a.org, @b.org:b@x.org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "route with bad domain", "<@-:b@x.org>", SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "local part of 65", "<" A60 "aaaaa@x>", SMTP_ETOOLONG, NULL, NULL, NULL },
	{ "quoted local part of 65", "<\"" A60 "aaa a\"@x>", SMTP_ETOOLONG, NULL, NULL, NULL },
	{ "domain of 256", "<b@" D255 "a>", SMTP_ETOOLONG, NULL, NULL, NULL },
	{ "label of 64", "<b@" A60 "aaaa>", SMTP_ETOOLONG, NULL, NULL, NULL },
};

/* Parses in guarded memory; `used` may be NULL for a mailbox. */
static int parse(struct smtp_path *out, const char *text, size_t n, unsigned flags, size_t *used)
{
	uint8_t *copy = guarded(text, n);
	int err = used ? smtp_path_parse(out, smtp_span_make(copy, n), flags, used)
		       : smtp_mailbox_parse(&out->mailbox, smtp_span_make(copy, n), flags);

	guarded_free(copy, n);
	return err;
}

static void check_format(const struct smtp_mailbox *mailbox)
{
	char text[SMTP_MAILBOX_TEXT_MAX + 1];
	struct smtp_path again;
	size_t n = smtp_mailbox_format(mailbox, text, sizeof(text));

	ck_assert_uint_eq(n, strlen(text));
	ck_assert_int_eq(parse(&again, text, n, SMTP_ADDRESS_UTF8, NULL), 0);
	ck_assert_str_eq(again.mailbox.local_part, mailbox->local_part);
	ck_assert_str_eq(again.mailbox.domain, mailbox->domain);
	ck_assert(smtp_mailbox_equal(&again.mailbox, mailbox));
}

START_TEST(path_rows)
{
	size_t n = strlen(paths[_i].in), used = 99;
	struct smtp_path path;
	struct smtp_path untouched;

	memset(&path, 7, sizeof(path));
	memset(&untouched, 7, sizeof(untouched));
	ck_assert_msg(parse(&path, paths[_i].in, n, 0, &used) == paths[_i].err, "%s",
		      paths[_i].name);
	if (paths[_i].err) {
		ck_assert_mem_eq(&path, &untouched, sizeof(path));
		return;
	}
	ck_assert_str_eq(path.mailbox.local_part, paths[_i].local);
	ck_assert_str_eq(path.mailbox.domain, paths[_i].domain);
	ck_assert_str_eq(paths[_i].in + used, paths[_i].left);
	ck_assert(smtp_path_is_null(&path) == (paths[_i].in[1] == '>'));
	if (paths[_i].domain[0] != '\0')
		check_format(&path.mailbox);
}
END_TEST

/* No shorter text of a path is a path: each row is cut at every place. */
START_TEST(path_cut)
{
	size_t n = strlen(paths[_i].in);
	size_t used;
	struct smtp_path path;

	if (paths[_i].err)
		return;
	n -= strlen(paths[_i].left);
	for (size_t cut = 0; cut < n; cut++)
		ck_assert_int_lt(parse(&path, paths[_i].in, cut, 0, &used), 0);
}
END_TEST

static const struct {
	const char *name, *in;
	unsigned flags;
	int err;
} mailboxes[] = {
	{ "plain", "bob@x.org", 0, 0 },
	{ "text behind", "bob@x.org ", 0, SMTP_ESYNTAX },
	{ "text before", " bob@x.org", 0, SMTP_ESYNTAX },
	{ "bracket behind", "bob@x.org>", 0, SMTP_ESYNTAX },
	{ "literal and text", "bob@[192.0.2.1].org", 0, SMTP_ESYNTAX },
	{ "postmaster", "postmaster", 0, SMTP_ESYNTAX },
	{ "two of them", "a@x.org,b@x.org", 0, SMTP_ESYNTAX },
	{ "empty", "", 0, SMTP_ESYNTAX },
	{ "UTF-8 refused", "b\303\266b@x.org", 0, SMTP_ESYNTAX },
	{ "UTF-8 allowed", "b\303\266b@x\303\266.org", SMTP_ADDRESS_UTF8, 0 },
	{ "quoted UTF-8", "\"b \303\266\"@x.org", SMTP_ADDRESS_UTF8, 0 },
	{ "cut UTF-8 in local", "b\303@x.org", SMTP_ADDRESS_UTF8, SMTP_ESYNTAX },
	{ "cut UTF-8 in domain", "b@x\303.org", SMTP_ADDRESS_UTF8, SMTP_ESYNTAX },
	{ "surrogate", "b\355\240\200@x.org", SMTP_ADDRESS_UTF8, SMTP_ESYNTAX },
};

START_TEST(mailbox_rows)
{
	size_t n = strlen(mailboxes[_i].in);
	struct smtp_path path;

	ck_assert_msg(parse(&path, mailboxes[_i].in, n, mailboxes[_i].flags, NULL) ==
			      mailboxes[_i].err, "%s", mailboxes[_i].name);
	if (!mailboxes[_i].err)
		check_format(&path.mailbox);
}
END_TEST

START_TEST(nul_is_refused)
{
	struct smtp_path path;
	size_t used;

	ck_assert_int_eq(parse(&path, "<b\0b@x>", 7, 0, &used), SMTP_ESYNTAX);
	ck_assert_int_eq(parse(&path, "<\"\0\"@x>", 7, 0, &used), SMTP_ESYNTAX);
	ck_assert_int_eq(parse(&path, "<\"\\\0\"@x>", 8, 0, &used), SMTP_ESYNTAX);
	ck_assert_int_eq(parse(&path, "<b@x\0>", 6, 0, &used), SMTP_ESYNTAX);
}
END_TEST

static const struct {
	const char *in;
	bool valid;
} literals[] = {
	{ "[192.0.2.1]", true }, { "[0.0.0.0]", true }, { "[255.255.255.255]", true },
	{ "[256.0.0.1]", false }, { "[1.2.3]", false }, { "[1.2.3.4.5]", false },
	{ "[01.2.3.4]", false }, { "[1.2.3.4", false }, { "1.2.3.4", false }, { "[]", false },
	{ "[1.2.3.4 ]", false }, { "[1.2.3.45", false }, { "x1.2.3.4]", false },
	{ "[1..3.4]", false }, { "[1.2.3.]", false }, { "[1.2.3.1000]", false },
	{ "[IPv6:::]", true }, { "[IPv6:::1]", true }, { "[ipv6:1::]", true },
	{ "[IPv6:1:2:3:4:5:6:7:8]", true }, { "[IPv6:1:2:3:4:5:6:7:8:9]", false },
	{ "[IPv6:1:2:3:4:5:6:7]", false }, { "[IPv6:1:2:3:4:5:6:7::]", true },
	{ "[IPv6:1:2:3:4:5:6:7:8::]", false }, { "[IPv6:1::2::3]", false },
	{ "[IPv6:1:::2]", false }, { "[IPv6::1]", false }, { "[IPv6:1:]", false },
	{ "[IPv6:12345::]", false }, { "[IPv6:g::]", false }, { "[IPv6:]", false },
	{ "[IPv6:::ffff:192.0.2.1]", true }, { "[IPv6:1:2:3:4:5:6:192.0.2.1]", true },
	{ "[IPv6:1:2:3:4:5:6:7:192.0.2.1]", false }, { "[IPv6:::192.0.2.1:1]", false },
	{ "[IPv6:192.0.2.1::]", false }, { "[IPv6:2001:db8::1%eth0]", false },
	{ "[2001:db8::1]", false }, { "[IPv6:2001:db8::1] ", false }, { "[x400:abc]", false },
	{ "[", false }, { "]", false }, { "", false },
};

START_TEST(literal_rows)
{
	size_t n = strlen(literals[_i].in);
	uint8_t *copy = guarded(literals[_i].in, n);

	ck_assert_msg(smtp_address_literal_is_valid(smtp_span_make(copy, n)) == literals[_i].valid,
		      "%s", literals[_i].in);
	guarded_free(copy, n);
}
END_TEST

static const struct {
	const char *in;
	bool valid;
} domains[] = {
	{ "example.org", true }, { "x", true }, { "1.2.3.4", true }, { D255, true },
	{ D255 "a", false }, { "", false }, { ".", false }, { "a.", false }, { "a b", false },
	{ "[192.0.2.1]", false }, { "x\303\266.org", false }, { "a_b", false }, { "a\n", false },
	{ "a-", false }, { "-a", false }, { "a-.b", false }, { A60 "aaa", true },
	{ A60 "aaaa", false },
};

START_TEST(domain_rows)
{
	size_t n = strlen(domains[_i].in);
	uint8_t *copy = guarded(domains[_i].in, n);

	ck_assert_msg(smtp_domain_is_valid(smtp_span_make(copy, n)) == domains[_i].valid, "%s",
		      domains[_i].in);
	guarded_free(copy, n);
}
END_TEST

static const struct {
	struct smtp_mailbox mailbox;
	const char *text;
} formats[] = {
	{ { "", "" }, "" },
	{ { "postmaster", "" }, "postmaster" },
	{ { "bob", "x.org" }, "bob@x.org" },
	{ { "", "x.org" }, "\"\"@x.org" },
	{ { "a b", "x.org" }, "\"a b\"@x.org" },
	{ { "a\"\\", "x.org" }, "\"a\\\"\\\\\"@x.org" },
	{ { ".a", "x.org" }, "\".a\"@x.org" },
	{ { "a..b", "x.org" }, "\"a..b\"@x.org" },
	{ { "b", "[192.0.2.1]" }, "b@[192.0.2.1]" },
};

START_TEST(format_rows)
{
	size_t n = strlen(formats[_i].text);
	char out[SMTP_MAILBOX_TEXT_MAX + 1];

	ck_assert_uint_eq(smtp_mailbox_format(&formats[_i].mailbox, out, sizeof(out)), n);
	ck_assert_str_eq(out, formats[_i].text);
	ck_assert_uint_eq(smtp_mailbox_format(&formats[_i].mailbox, out, n + 1), n);
	ck_assert_str_eq(out, formats[_i].text);
	memset(out, 'x', sizeof(out));
	ck_assert_uint_eq(smtp_mailbox_format(&formats[_i].mailbox, out, n), n);
	ck_assert_int_eq(out[0], n > 0 ? '\0' : 'x');
	ck_assert_int_eq(out[1], 'x');
}
END_TEST

START_TEST(longest_format)
{
	struct smtp_mailbox mailbox = { .domain = D255 };
	char out[SMTP_MAILBOX_TEXT_MAX + 1];

	memset(mailbox.local_part, '"', SMTP_LOCAL_PART_MAX);
	ck_assert_uint_eq(smtp_mailbox_format(&mailbox, out, sizeof(out)), SMTP_MAILBOX_TEXT_MAX);
	check_format(&mailbox);
}
END_TEST

START_TEST(equality)
{
	struct smtp_mailbox a = { "bob", "x.org" }, b = { "bob", "X.ORG" };
	struct smtp_mailbox c = { "Bob", "x.org" }, d = { "bob", "y.org" };
	struct smtp_path bare = { { "postmaster", "" } }, full = { { "postmaster", "x" } };

	ck_assert(smtp_mailbox_equal(&a, &b));
	ck_assert(!smtp_mailbox_equal(&a, &c));
	ck_assert(!smtp_mailbox_equal(&a, &d));
	ck_assert(smtp_path_is_bare_postmaster(&bare));
	ck_assert(!smtp_path_is_bare_postmaster(&full));
	ck_assert(!smtp_path_is_null(&bare));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("address");
	TCase *tc = tcase_create("address");

	tcase_add_loop_test(tc, path_rows, 0, ROWS(paths));
	tcase_add_loop_test(tc, path_cut, 0, ROWS(paths));
	tcase_add_loop_test(tc, mailbox_rows, 0, ROWS(mailboxes));
	tcase_add_test(tc, nul_is_refused);
	tcase_add_loop_test(tc, literal_rows, 0, ROWS(literals));
	tcase_add_loop_test(tc, domain_rows, 0, ROWS(domains));
	tcase_add_loop_test(tc, format_rows, 0, ROWS(formats));
	tcase_add_test(tc, longest_format);
	tcase_add_test(tc, equality);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
