/* SPDX-License-Identifier: ISC */
/* Address fields: what is read out of them, and what is refused because somebody might read it
 * otherwise.
 */
#include "libsmtp/core/address_list.h"
#include "libsmtp/core/span.h"

#include "tests/unit/testing.h"

enum { ADDRESSES_MAX = 4 };

#define X16 "xxxxxxxxxxxxxxxx"
#define X64 X16 X16 X16 X16
#define X256 X64 X64 X64 X64
#define OPEN8 "(((((((("
#define CLOSE8 "))))))))"

/* Mailboxes come out as "local@domain" each, divided by blanks. */
static const struct {
	const char *name, *in;
	int err;
	const char *out;
} rows[] = {
	{ "addr-spec", "bob@x.org", 0, "bob@x.org" },
	{ "angle-addr", "<bob@x.org>", 0, "bob@x.org" },
	{ "blanks", " \t <bob@x.org> \t", 0, "bob@x.org" },
	{ "display name", "Bob <bob@x.org>", 0, "bob@x.org" },
	{ "two words", "Bob Builder <bob@x.org>", 0, "bob@x.org" },
	{ "no blank before <", "Bob<bob@x.org>", 0, "bob@x.org" },
	{ "quoted name", "\"Bob, the Builder\" <bob@x.org>", 0, "bob@x.org" },
	{ "empty quoted name", "\"\" <bob@x.org>", 0, "bob@x.org" },
	{ "dots in name", "Bob B. Builder <bob@x.org>", 0, "bob@x.org" },
	{ "dots in a row in name", "Bob... B <bob@x.org>", 0, "bob@x.org" },
	{ "mixed name", "Bob \"the\".Builder <bob@x.org>", 0, "bob@x.org" },
	{ "UTF-8 name", "B\303\266b <bob@x.org>", 0, "bob@x.org" },
	{ "long name", X256 X256 " <bob@x.org>", 0, "bob@x.org" },
	{ "address in quoted name", "\"eve@y.org\" <bob@x.org>", 0, "bob@x.org" },
	{ "angle in quoted name", "\"<eve@y.org>\" <bob@x.org>", 0, "bob@x.org" },
	{ "quote in quoted name", "\"a\\\" <eve@y.org>, \\\\\" <bob@x.org>", 0, "bob@x.org" },
	{ "encoded name", "=?utf-8?q?eve=40y.org?= <bob@x.org>", 0, "bob@x.org" },
	{ "two", "bob@x.org, eve@y.org", 0, "bob@x.org eve@y.org" },
	{ "two named", "Bob <bob@x.org>,\"Eve, E\" <eve@y.org>", 0, "bob@x.org eve@y.org" },
	{ "four", "a@x,b@x,c@x,d@x", 0, "a@x b@x c@x d@x" },
	{ "five", "a@x,b@x,c@x,d@x,e@x", SMTP_ETOOLONG, NULL },
	{ "five in groups", "g:a@x,b@x;,h:c@x,d@x,e@x;", SMTP_ETOOLONG, NULL },

	{ "group", "All: bob@x.org, Eve <eve@y.org>;", 0, "bob@x.org eve@y.org" },
	{ "empty group", "Nobody:;", 0, "" },
	{ "empty group with comment", "Nobody : (here) ; ", 0, "" },
	{ "group and mailbox", "A: a@x;, b@x, \"C d\": c@x;", 0, "a@x b@x c@x" },
	{ "group not closed", "A: a@x", SMTP_ESYNTAX, NULL },
	{ "group in group", "A: B: a@x;;", SMTP_ESYNTAX, NULL },
	{ "group without name", ": a@x;", SMTP_ESYNTAX, NULL },
	{ "group closed twice", "A: a@x;;", SMTP_ESYNTAX, NULL },
	{ "semicolon alone", "a@x;", SMTP_ESYNTAX, NULL },
	{ "text behind group", "A: a@x; b@x", SMTP_ESYNTAX, NULL },
	{ "address as group", "eve@y.org: a@x;", SMTP_ESYNTAX, NULL },
	{ "empty place in group", "A: a@x,;", SMTP_ESYNTAX, NULL },

	{ "comment behind", "bob@x.org (Bob)", 0, "bob@x.org" },
	{ "comment before", "(Bob) bob@x.org", 0, "bob@x.org" },
	{ "comments all over", "(a)B(b)<(c)bob(d)@(e)x.org(f)>(g)", 0, "bob@x.org" },
	{ "address in comment", "bob@x.org (<eve@y.org>, eve@y.org)", 0, "bob@x.org" },
	{ "comment in local part", "bob(eve@y.org,)@x.org", 0, "bob@x.org" },
	{ "nested comment", "(a(b(c))d) bob@x.org", 0, "bob@x.org" },
	{ "pairs in comment", "(\\(\\)\\\\\\\") bob@x.org", 0, "bob@x.org" },
	{ "quote in comment", "(\") bob@x.org (\")", 0, "bob@x.org" },
	{ "UTF-8 comment", "(\303\266) bob@x.org", 0, "bob@x.org" },
	{ "sixteen deep", OPEN8 OPEN8 CLOSE8 CLOSE8 "bob@x.org", 0, "bob@x.org" },
	{ "seventeen deep", OPEN8 OPEN8 "()" CLOSE8 CLOSE8 "bob@x.org", SMTP_ETOOLONG, NULL },
	{ "many side by side", "()()()()()()()()()()()()()()()()()() bob@x.org", 0, "bob@x.org" },
	{ "comment not closed", "bob@x.org (Bob", SMTP_ESYNTAX, NULL },
	{ "comment not closed by pair", "bob@x.org (Bob\\)", SMTP_ESYNTAX, NULL },
	{ "comment closed twice", "(Bob)) bob@x.org", SMTP_ESYNTAX, NULL },
	{ "control in comment", "(\001) bob@x.org", SMTP_ESYNTAX, NULL },
	{ "control in pair", "(\\\001) bob@x.org", SMTP_ESYNTAX, NULL },
	{ "UTF-8 in pair", "(\\\303\266) bob@x.org", SMTP_ESYNTAX, NULL },
	{ "comment in quotes is none", "\"(\" <bob@x.org> (\")", 0, "bob@x.org" },
	{ "quotes in comment are none", "bob@x.org (\") <eve@y.org> \")", SMTP_ESYNTAX, NULL },

	{ "folded", "Bob\r\n <bob@x.org>,\r\n\teve@y.org", 0, "bob@x.org eve@y.org" },
	{ "folded first", "\r\n bob@x.org", 0, "bob@x.org" },
	{ "folded twice", "Bob\r\n B\r\n <bob@x.org>", 0, "bob@x.org" },
	{ "fold in comment", "(a\r\n b) bob@x.org", SMTP_ESYNTAX, NULL },
	{ "fold in nested comment", "(a (\r\n b)) bob@x.org", SMTP_ESYNTAX, NULL },
	{ "tab in comment", "(a\tb) bob@x.org", 0, "bob@x.org" },
	{ "fold in quoted name", "\"a \r\n b\r\n\tc\" <bob@x.org>", 0, "bob@x.org" },
	{ "fold behind address in quoted name", "\"eve@y.org\r\n \" <bob@x.org>", SMTP_ESYNTAX, NULL },
	{ "fold before address in quoted name", "\"a\r\n <eve@y.org>\" <bob@x.org>", SMTP_ESYNTAX, NULL },
	{ "fold in one name, address in the next", "\"a\r\n b\" \"<eve@y.org>\" <bob@x.org>",
	  SMTP_ESYNTAX, NULL },
	{ "fold in name, address in comment", "\"a\r\n b\" <bob@x.org> (eve@y.org)", SMTP_ESYNTAX, NULL },
	{ "fold in name of a group", "\"a\r\n b\": \"<eve@y.org>\" <bob@x.org>;", SMTP_ESYNTAX, NULL },
	{ "folds in quotes, two addresses", "\"a\r\n b\" <bob@x.org>, \"c\r\n d\" <eve@y.org>", 0,
	  "bob@x.org eve@y.org" },
	{ "fold between name with address and it", "\"eve@y.org\"\r\n <bob@x.org>", 0, "bob@x.org" },
	{ "fold in quoted local part", "\"a\r\n  b\"@x.org", 0, "\"a  b\"@x.org" },
	{ "tab in quoted local part", "\"a\r\n\tb\"@x.org", SMTP_ESYNTAX, NULL },
	{ "fold of blanks only", "Bob\r\n \r\n <bob@x.org>", SMTP_ESYNTAX, NULL },
	{ "fold of blanks in comment", "(\r\n \r\n )bob@x.org", SMTP_ESYNTAX, NULL },
	{ "fold of blanks in quotes", "\"\r\n \r\n \" <bob@x.org>", SMTP_ESYNTAX, NULL },
	{ "fold of blanks at the end", "bob@x.org\r\n ", SMTP_ESYNTAX, NULL },
	{ "line end without blank", "Bob\r\n<bob@x.org>", SMTP_ESYNTAX, NULL },
	{ "line end last", "bob@x.org\r\n", SMTP_ESYNTAX, NULL },
	{ "bare LF", "Bob\n <bob@x.org>", SMTP_ESYNTAX, NULL },
	{ "bare CR", "Bob\r <bob@x.org>", SMTP_ESYNTAX, NULL },
	{ "bare CR in quotes", "\"Bob\r \" <bob@x.org>", SMTP_ESYNTAX, NULL },
	{ "bare CR in comment", "(Bob\r ) <bob@x.org>", SMTP_ESYNTAX, NULL },
	{ "bare CR behind blank in comment", "(Bob \r) <bob@x.org>", SMTP_ESYNTAX, NULL },
	{ "CR last", "bob@x.org\r", SMTP_ESYNTAX, NULL },

	{ "quoted local part", "\"b ob\"@x.org", 0, "\"b ob\"@x.org" },
	{ "needless quotes", "\"bob\"@x.org", 0, "bob@x.org" },
	{ "at in quoted local part", "\"eve@y.org\"@x.org", SMTP_ESYNTAX, NULL },
	{ "at in a pair", "\"eve\\@y.org\"@x.org", SMTP_ESYNTAX, NULL },
	{ "angle in quoted local part", "\"bob<eve\"@x.org", SMTP_ESYNTAX, NULL },
	{ "closed angle in quoted local part", "\"bob>eve\"@x.org", SMTP_ESYNTAX, NULL },
	{ "words as local part", "\"a\".b.\"c\"@x.org", 0, "a.b.c@x.org" },
	{ "blanks around dots", "a . b @ x . org", 0, "a.b@x.org" },
	{ "comments around dots", "a(1).(2)b(3)@(4)x(5).(6)org(7)", 0, "a.b@x.org" },
	{ "folds around dots", "a\r\n .b@x\r\n .org", 0, "a.b@x.org" },
	{ "blanks in angles", "< a . b @ x . org >", 0, "a.b@x.org" },
	{ "UTF-8 address", "b\303\266b@x\303\266.org", 0, "b\303\266b@x\303\266.org" },
	{ "two words as local part", "a b@x.org", SMTP_ESYNTAX, NULL },
	{ "two words in angles", "<a b@x.org>", SMTP_ESYNTAX, NULL },
	{ "atom and quotes", "a\"b\"@x.org", SMTP_ESYNTAX, NULL },
	{ "two dots", "a..b@x.org", SMTP_ESYNTAX, NULL },
	{ "dot first", ".a@x.org", SMTP_ESYNTAX, NULL },
	{ "dot last", "a.@x.org", SMTP_ESYNTAX, NULL },
	{ "dot first in name", ". a <bob@x.org>", SMTP_ESYNTAX, NULL },
	{ "encoded local part", "=?utf-8?q?eve=40y.org?=@x.org", SMTP_ESYNTAX, NULL },
	{ "encoded quoted local part", "\"=?utf-8?q?eve?=\"@x.org", SMTP_ESYNTAX, NULL },
	{ "encoded word alone", "=?utf-8?q?eve=40y.org?=", SMTP_ESYNTAX, NULL },
	{ "64 octets of local part", X64 "@x.org", 0, X64 "@x.org" },
	{ "65 octets of local part", X64 "x@x.org", SMTP_ETOOLONG, NULL },
	{ "600 octets of local part", X256 X256 X64 "@x.org", SMTP_ETOOLONG, NULL },
	{ "label too long", "a@" X64 ".org", SMTP_ETOOLONG, NULL },
	{ "domain too long", "a@" X256 X256, SMTP_ETOOLONG, NULL },

	{ "literal", "bob@[192.0.2.1]", 0, "bob@[192.0.2.1]" },
	{ "IPv6 literal", "<bob@ [IPv6:2001:db8::1] (x)>", 0, "bob@[IPv6:2001:db8::1]" },
	{ "blank in literal", "bob@[ 192.0.2.1]", SMTP_ESYNTAX, NULL },
	{ "literal not closed", "bob@[192.0.2.1", SMTP_ESYNTAX, NULL },
	{ "junk in literal", "bob@[x.org]", SMTP_ESYNTAX, NULL },
	{ "text behind literal", "bob@[192.0.2.1]x", SMTP_ESYNTAX, NULL },
	{ "quoted domain", "bob@\"x.org\"", SMTP_ESYNTAX, NULL },
	{ "underscore in domain", "bob@x_y.org", SMTP_ESYNTAX, NULL },
	{ "dot behind domain", "bob@x.org.", SMTP_ESYNTAX, NULL },
	{ "no domain", "bob@", SMTP_ESYNTAX, NULL },
	{ "no local part", "@x.org", SMTP_ESYNTAX, NULL },
	{ "name only", "bob", SMTP_ESYNTAX, NULL },
	{ "name in angles", "<bob>", SMTP_ESYNTAX, NULL },
	{ "two domains", "bob@x.org@y.org", SMTP_ESYNTAX, NULL },

	{ "route", "<@a.org:bob@x.org>", SMTP_ESYNTAX, NULL },
	{ "long route", "Bob < @a.org , @b.org (x) : bob@x.org>", SMTP_ESYNTAX, NULL },
	{ "route with address", "<eve@y.org:bob@x.org>", SMTP_ESYNTAX, NULL },
	{ "route without angles", "@a.org:bob@x.org", SMTP_ESYNTAX, NULL },

	{ "nothing", "", SMTP_ESYNTAX, NULL },
	{ "blanks only", " \t", SMTP_ESYNTAX, NULL },
	{ "comment only", "(bob@x.org)", SMTP_ESYNTAX, NULL },
	{ "null path", "<>", SMTP_ESYNTAX, NULL },
	{ "comma first", ",bob@x.org", SMTP_ESYNTAX, NULL },
	{ "comma last", "bob@x.org,", SMTP_ESYNTAX, NULL },
	{ "two commas", "bob@x.org,,eve@y.org", SMTP_ESYNTAX, NULL },
	{ "semicolon divides nothing", "bob@x.org; eve@y.org", SMTP_ESYNTAX, NULL },
	{ "blank divides nothing", "bob@x.org eve@y.org", SMTP_ESYNTAX, NULL },
	{ "address as name", "eve@y.org <bob@x.org>", SMTP_ESYNTAX, NULL },
	{ "address behind angles", "<bob@x.org> eve@y.org", SMTP_ESYNTAX, NULL },
	{ "name behind angles", "<bob@x.org> Bob", SMTP_ESYNTAX, NULL },
	{ "two angles", "<eve@y.org> <bob@x.org>", SMTP_ESYNTAX, NULL },
	{ "angles in angles", "<<bob@x.org>>", SMTP_ESYNTAX, NULL },
	{ "angle not closed", "<bob@x.org", SMTP_ESYNTAX, NULL },
	{ "angle not opened", "bob@x.org>", SMTP_ESYNTAX, NULL },
	{ "angle closed by comment", "<bob@x.org(>)", SMTP_ESYNTAX, NULL },
	{ "two in angles", "<bob@x.org, eve@y.org>", SMTP_ESYNTAX, NULL },
	{ "quote not closed", "\"Bob <bob@x.org>", SMTP_ESYNTAX, NULL },
	{ "backslash last", "\"Bob\\", SMTP_ESYNTAX, NULL },
	{ "backslash outside", "Bob\\ <bob@x.org>", SMTP_ESYNTAX, NULL },
	{ "brackets in name", "Bob [x] <bob@x.org>", SMTP_ESYNTAX, NULL },
	{ "control in name", "Bob\001 <bob@x.org>", SMTP_ESYNTAX, NULL },
	{ "control in quotes", "\"Bob\033\" <bob@x.org>", SMTP_ESYNTAX, NULL },
	{ "Latin-1 in name", "B\366b <bob@x.org>", SMTP_ESYNTAX, NULL },
	{ "Latin-1 in quotes", "\"B\366b\" <bob@x.org>", SMTP_ESYNTAX, NULL },
};

static void print(char *text, size_t cap, const struct smtp_mailbox *list, size_t count)
{
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			text[n++] = ' ';
		n += smtp_mailbox_format(&list[i], text + n, cap - n);
	}
}

static void check_row(const char *name, struct smtp_span in, int err, const char *out)
{
	struct smtp_mailbox list[ADDRESSES_MAX];
	char text[ADDRESSES_MAX * (SMTP_MAILBOX_TEXT_MAX + 2)];
	uint8_t *copy = guarded(in.p, in.n);
	size_t count = 77;
	int got = smtp_address_list_parse(smtp_span_make(copy, in.n), list, ADDRESSES_MAX, &count);

	ck_assert_msg(got == err, "%s: %s", name, smtp_error_str(got));
	guarded_free(copy, in.n);
	if (err != 0) {
		ck_assert_uint_eq(count, 77);
		return;
	}
	print(text, sizeof text, list, count);
	ck_assert_msg(strcmp(text, out) == 0, "%s: %s", name, text);
}

START_TEST(read_rows)
{
	check_row(rows[_i].name, smtp_span_of(rows[_i].in), rows[_i].err, rows[_i].out);
}
END_TEST

/* Each row broken off at each octet is read without a step past its end. */
START_TEST(read_prefixes)
{
	struct smtp_span in = smtp_span_of(rows[_i].in);
	struct smtp_mailbox list[ADDRESSES_MAX];
	size_t count;

	for (size_t n = 0; n < in.n; n++) {
		uint8_t *copy = guarded(in.p, n);

		count = 0;
		if (smtp_address_list_parse(smtp_span_make(copy, n), list, ADDRESSES_MAX, &count) == 0)
			ck_assert_uint_le(count, ADDRESSES_MAX);
		guarded_free(copy, n);
	}
}
END_TEST

START_TEST(refuses_nul_everywhere)
{
	static const char text[] = "\"Bob\" (x) <bob@x.org>";

	for (size_t i = 0; i < sizeof text - 1; i++) {
		char with[sizeof text];

		memcpy(with, text, i);
		with[i] = '\0';
		memcpy(with + i + 1, text + i, sizeof text - 1 - i);
		check_row("NUL", smtp_span_make(with, sizeof with), SMTP_ESYNTAX, NULL);
	}
}
END_TEST

START_TEST(room_for_none)
{
	size_t count = 0;

	ck_assert_int_eq(smtp_address_list_parse(smtp_span_of("a@x"), NULL, 0, &count),
			 SMTP_ETOOLONG);
	ck_assert_int_eq(smtp_address_list_parse(smtp_span_of("g:;"), NULL, 0, &count), 0);
	ck_assert_uint_eq(count, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("address_list");
	TCase *tc = tcase_create("address_list");

	tcase_add_loop_test(tc, read_rows, 0, ROWS(rows));
	tcase_add_loop_test(tc, read_prefixes, 0, ROWS(rows));
	tcase_add_test(tc, refuses_nul_everywhere);
	tcase_add_test(tc, room_for_none);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
