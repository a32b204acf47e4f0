/* SPDX-License-Identifier: ISC */
/* Command lines, parameters, the argument of MAIL and RCPT, xtext. */
#include "libsmtp/core/command.h"
#include "libsmtp/core/span.h"
#include "libsmtp/core/xtext.h"

#include "tests/unit/testing.h"

static const struct {
	const char *name, *in;
	int err;
	const char *verb, *argument;
} commands[] = {
	{ "alone", "NOOP", 0, "NOOP", "" },
	{ "argument", "EHLO x.org", 0, "EHLO", "x.org" },
	{ "blanks around", "EHLO   x y \t ", 0, "EHLO", "x y" },
	{ "blank behind", "QUIT ", 0, "QUIT", "" },
	{ "lower case", "mail FROM:<>", 0, "mail", "FROM:<>" },
	{ "empty", "", SMTP_ESYNTAX, NULL, NULL },
	{ "blank first", " NOOP", SMTP_ESYNTAX, NULL, NULL },
	{ "digits", "123", SMTP_ESYNTAX, NULL, NULL },
	{ "letters, then others", "MAIL:x", SMTP_ESYNTAX, NULL, NULL },
	{ "UTF-8", "M\303\204IL", SMTP_ESYNTAX, NULL, NULL },
	{ "bare CR", "NOOP\rRSET", SMTP_ESYNTAX, NULL, NULL },
	{ "bare LF", "NOOP\nRSET", SMTP_ESYNTAX, NULL, NULL },
	{ "bare CR at the end", "NOOP \r", SMTP_ESYNTAX, NULL, NULL },
	{ "bare CR in argument", "NOOP a\rb", SMTP_ESYNTAX, NULL, NULL },
	{ "ESC", "VRFY a\033[2J", SMTP_EINVAL, "VRFY", "a\033[2J" },
	{ "DEL", "VRFY a\177", SMTP_EINVAL, "VRFY", "a\177" },
	{ "tab within", "VRFY a\tb", SMTP_EINVAL, "VRFY", "a\tb" },
	{ "control behind verb", "NOOP\001", SMTP_EINVAL, "NOOP", "\001" },
	{ "eight-bit argument", "VRFY \344", 0, "VRFY", "\344" },
};

START_TEST(command_rows)
{
	size_t n = strlen(commands[_i].in);
	uint8_t *copy = guarded(commands[_i].in, n);
	struct smtp_command c;

	ck_assert_msg(smtp_command_parse(&c, smtp_span_make(copy, n)) == commands[_i].err, "%s",
		      commands[_i].name);
	if (commands[_i].verb) {
		ck_assert(smtp_span_is(c.verb, commands[_i].verb));
		ck_assert(smtp_span_is(c.argument, commands[_i].argument));
	}
	guarded_free(copy, n);
}
END_TEST

START_TEST(nul_in_command)
{
	struct smtp_command c;

	ck_assert_int_eq(smtp_command_parse(&c, smtp_span_make("VRFY a\0b", 8)), SMTP_EINVAL);
	ck_assert_uint_eq(c.argument.n, 3);
	ck_assert_int_eq(smtp_command_parse(&c, smtp_span_make("\0NOOP", 5)), SMTP_ESYNTAX);
	ck_assert_int_eq(smtp_command_parse(&c, smtp_span_make(NULL, 0)), SMTP_ESYNTAX);
}
END_TEST

/* What was read comes out as "KEYWORD=value;" or "KEYWORD;" each. */
static const struct {
	const char *name, *in;
	int err;
	const char *out;
} params[] = {
	{ "none", "", 0, "" },
	{ "blanks", "   ", 0, "" },
	{ "flag", "SMTPUTF8", 0, "SMTPUTF8;" },
	{ "value", "SIZE=1000", 0, "SIZE=1000;" },
	{ "two", "SIZE=1000 BODY=8BITMIME", 0, "SIZE=1000;BODY=8BITMIME;" },
	{ "more blanks", "  A=1   B  ", 0, "A=1;B;" },
	{ "keyword with digit and hyphen", "8a-b=x", 0, "8a-b=x;" },
	{ "all of a value", "A=!~<>()[]:;,\"\\+@", 0, "A=!~<>()[]:;,\"\\+@;" },
	{ "empty value", "SIZE=", SMTP_ESYNTAX, NULL },
	{ "two equals", "A=b=c", SMTP_ESYNTAX, NULL },
	{ "no keyword", "=x", SMTP_ESYNTAX, NULL },
	{ "hyphen first", "-A=x", SMTP_ESYNTAX, NULL },
	{ "bad keyword", "A_B=x", SMTP_ESYNTAX, NULL },
	{ "twice", "A=1 B=1 a=2", SMTP_ESYNTAX, NULL },
	{ "the second one twice", "A B b", SMTP_ESYNTAX, NULL },
	{ "tab", "A=1\tB=1", SMTP_ESYNTAX, NULL },
	{ "control in value", "A=\001", SMTP_ESYNTAX, NULL },
	{ "eight-bit value", "A=\303\244", SMTP_ESYNTAX, NULL },
	{ "sixteen", "a b c d e f g h i j k l m n o p", 0, "a;b;c;d;e;f;g;h;i;j;k;l;m;n;o;p;" },
	{ "seventeen", "a b c d e f g h i j k l m n o p q", SMTP_ETOOLONG, NULL },
};

static size_t show(const struct smtp_params *p, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < p->count; i++) {
		memcpy(out + n, p->items[i].keyword.p, p->items[i].keyword.n);
		n += p->items[i].keyword.n;
		if (p->items[i].value.p) {
			out[n++] = '=';
			memcpy(out + n, p->items[i].value.p, p->items[i].value.n);
			n += p->items[i].value.n;
		}
		out[n++] = ';';
	}
	out[n] = '\0';
	return n;
}

START_TEST(params_rows)
{
	size_t n = strlen(params[_i].in);
	uint8_t *copy = guarded(params[_i].in, n);
	struct smtp_params p;
	char out[128];

	ck_assert_msg(smtp_params_parse(&p, smtp_span_make(copy, n), false) == params[_i].err, "%s",
		      params[_i].name);
	if (!params[_i].err) {
		show(&p, out);
		ck_assert_str_eq(out, params[_i].out);
	}
	guarded_free(copy, n);
}
END_TEST

START_TEST(params_find)
{
	struct smtp_params p;

	ck_assert_int_eq(smtp_params_parse(&p, smtp_span_of("SIZE=7 BODY=x FLAG"), false), 0);
	ck_assert(smtp_span_is(smtp_params_find(&p, "body")->value, "x"));
	ck_assert_ptr_null(smtp_params_find(&p, "FLAG")->value.p);
	ck_assert_ptr_null(smtp_params_find(&p, "SIZ"));
}
END_TEST

static const struct {
	const char *name, *in, *prefix;
	int err;
	const char *local, *rest;
} arguments[] = {
	{ "plain", "FROM:<a@b>", "FROM:", 0, "a", "" },
	{ "any case", "from:<a@b>", "FROM:", 0, "a", "" },
	{ "one blank", "TO: <a@b>", "TO:", 0, "a", "" },
	{ "two blanks", "TO:  <a@b>", "TO:", SMTP_ESYNTAX, NULL, NULL },
	{ "blank before colon", "TO :<a@b>", "TO:", SMTP_EPROTO, NULL, NULL },
	{ "other prefix", "TO:<a@b>", "FROM:", SMTP_EPROTO, NULL, NULL },
	{ "none", "", "FROM:", SMTP_EPROTO, NULL, NULL },
	{ "no path", "FROM:", "FROM:", SMTP_ESYNTAX, NULL, NULL },
	{ "params", "FROM:<a@b> SIZE=1 X", "FROM:", 0, "a", "SIZE=1 X" },
	{ "params far off", "FROM:<a@b>   X", "FROM:", 0, "a", "X" },
	{ "text behind path", "FROM:<a@b>SIZE=1", "FROM:", SMTP_ESYNTAX, NULL, NULL },
	{ "bracket behind path", "FROM:<a@b>>", "FROM:", SMTP_ESYNTAX, NULL, NULL },
	{ "second path", "FROM:<a@b>,<c@d>", "FROM:", SMTP_ESYNTAX, NULL, NULL },
	{ "null", "FROM:<> BODY=7BIT", "FROM:", 0, "", "BODY=7BIT" },
	{ "bracket in a parameter", "FROM:<a@b> X=<y>", "FROM:", 0, "a", "X=<y>" },
	{ "postmaster", "TO:<PostMaster>", "TO:", 0, "postmaster", "" },
};

START_TEST(argument_rows)
{
	size_t n = strlen(arguments[_i].in);
	uint8_t *copy = guarded(arguments[_i].in, n);
	struct smtp_path path;
	struct smtp_span rest;

	ck_assert_msg(smtp_path_argument_parse(&path, smtp_span_make(copy, n), arguments[_i].prefix,
					       0, &rest) == arguments[_i].err,
		      "%s", arguments[_i].name);
	if (!arguments[_i].err) {
		ck_assert_str_eq(path.mailbox.local_part, arguments[_i].local);
		ck_assert(smtp_span_is(rest, arguments[_i].rest));
	}
	guarded_free(copy, n);
}
END_TEST

static const struct {
	const char *in;
	int err;
	const char *out;
} xtexts[] = {
	{ "", 0, "" }, { "abc", 0, "abc" }, { "a+2Bb+3D", 0, "a+b=" }, { "+0A", 0, "\n" },
	{ "+2b", SMTP_ESYNTAX, NULL }, { "+2", SMTP_ESYNTAX, NULL }, { "+", SMTP_ESYNTAX, NULL },
	{ "+G0", SMTP_ESYNTAX, NULL }, { "a=b", SMTP_ESYNTAX, NULL }, { "a b", SMTP_ESYNTAX, NULL },
	{ "\303", SMTP_ESYNTAX, NULL }, { "+C3+A4", 0, "\303\244" },
};

START_TEST(xtext_rows)
{
	size_t n = strlen(xtexts[_i].in);
	uint8_t *copy = guarded(xtexts[_i].in, n);
	struct smtp_buf out;

	smtp_buf_init(&out, 64);
	ck_assert_int_eq(smtp_buf_append_text(&out, ">"), 0);
	ck_assert_msg(smtp_xtext_decode(&out, smtp_span_make(copy, n)) == xtexts[_i].err, "%s",
		      xtexts[_i].in);
	ck_assert(smtp_span_is(smtp_span_slice(smtp_buf_span(&out), 1, 64),
			       xtexts[_i].err ? "" : xtexts[_i].out));
	guarded_free(copy, n);
	smtp_buf_release(&out);
}
END_TEST

START_TEST(xtext_round_trip)
{
	struct smtp_buf text, back;
	uint8_t all[256];

	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)i;
	smtp_buf_init(&text, 1024);
	smtp_buf_init(&back, 1024);
	ck_assert_int_eq(smtp_xtext_encode(&text, smtp_span_make(all, sizeof(all))), 0);
	ck_assert_int_eq(smtp_xtext_decode(&back, smtp_buf_span(&text)), 0);
	ck_assert(smtp_span_equal(smtp_buf_span(&back), smtp_span_make(all, sizeof(all))));
	ck_assert_int_eq(smtp_xtext_encode(&text, smtp_span_make(all, sizeof(all))), SMTP_ETOOLONG);
	smtp_buf_release(&text);
	smtp_buf_release(&back);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("command");
	TCase *tc = tcase_create("command");

	tcase_add_loop_test(tc, command_rows, 0, ROWS(commands));
	tcase_add_test(tc, nul_in_command);
	tcase_add_loop_test(tc, params_rows, 0, ROWS(params));
	tcase_add_test(tc, params_find);
	tcase_add_loop_test(tc, argument_rows, 0, ROWS(arguments));
	tcase_add_loop_test(tc, xtext_rows, 0, ROWS(xtexts));
	tcase_add_test(tc, xtext_round_trip);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
