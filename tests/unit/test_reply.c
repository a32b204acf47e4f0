/* SPDX-License-Identifier: ISC */
/* Replies: enhanced codes, wire text (wrapped, harmless), and the reader of replies however the
 * input is cut.
 */
#include <smtp/reply.h>

#include "libsmtp/core/reply_parser.h"
#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

#include "tests/unit/testing.h"

/* --- enhanced codes --------------------------------------------------------------------------- */

static const struct {
	const char *in;
	int err;
	unsigned class_, subject, detail, used;
} codes[] = {
	{ "2.0.0", 0, 2, 0, 0, 5 },
	{ "5.1.1 no", 0, 5, 1, 1, 5 },
	{ "4.123.456 x", 0, 4, 123, 456, 9 },
	{ "5.7.1\tx", 0, 5, 7, 1, 5 },
	{ "", SMTP_ESYNTAX, 0, 0, 0, 0 },
	{ "3.0.0", SMTP_ESYNTAX, 0, 0, 0, 0 },
	{ "5.1", SMTP_ESYNTAX, 0, 0, 0, 0 },
	{ "5.1.", SMTP_ESYNTAX, 0, 0, 0, 0 },
	{ "5..1", SMTP_ESYNTAX, 0, 0, 0, 0 },
	{ "5.1.1000", SMTP_ESYNTAX, 0, 0, 0, 0 },
	{ "5.1.1.1", SMTP_ESYNTAX, 0, 0, 0, 0 },
	{ "5.1.1x", SMTP_ESYNTAX, 0, 0, 0, 0 },
	{ "55.1.1", SMTP_ESYNTAX, 0, 0, 0, 0 },
	{ " 5.1.1", SMTP_ESYNTAX, 0, 0, 0, 0 },
};

START_TEST(code_rows)
{
	size_t n = strlen(codes[_i].in), used = 9;
	uint8_t *copy = guarded(codes[_i].in, n);
	struct smtp_enhanced_code code = { 0 };

	ck_assert_msg(smtp_enhanced_code_parse(&code, smtp_span_make(copy, n), &used) ==
			      codes[_i].err, "%s", codes[_i].in);
	ck_assert_uint_eq(code.class_, codes[_i].class_);
	ck_assert_uint_eq(code.subject, codes[_i].subject);
	ck_assert_uint_eq(code.detail, codes[_i].detail);
	ck_assert_uint_eq(used, codes[_i].used);
	guarded_free(copy, n);
}
END_TEST

START_TEST(reply_of)
{
	struct smtp_reply reply = smtp_reply_of(550, "5.1.1", "no such user");

	ck_assert_uint_eq(reply.code, 550);
	ck_assert_uint_eq(reply.enhanced.subject, 1);
	ck_assert(smtp_span_is(reply.text, "no such user"));
	ck_assert(smtp_reply_is_permanent(&reply) && !smtp_reply_is_positive(&reply) &&
		  !smtp_reply_is_transient(&reply));
	reply = smtp_reply_of(451, NULL, NULL);
	ck_assert_uint_eq(reply.enhanced.class_, 0);
	ck_assert(smtp_reply_is_transient(&reply));
	reply = smtp_reply_of(250, "2.1.0 x", "ok");
	ck_assert_uint_eq(reply.enhanced.class_, 0);
	ck_assert(smtp_reply_is_positive(&reply));
	reply = smtp_reply_of(354, "5.1", "go");
	ck_assert_uint_eq(reply.enhanced.class_, 0);
	ck_assert(!smtp_reply_is_positive(&reply) && !smtp_reply_is_permanent(&reply));
}
END_TEST

/* --- wire text -------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	unsigned code;
	const char *enhanced, *text;
	bool with;
	const char *out;
} formats[] = {
	{ "plain", 250, "2.0.0", "ok", true, "250 2.0.0 ok\r\n" },
	{ "without the code", 250, "2.0.0", "ok", false, "250 ok\r\n" },
	{ "none there", 250, NULL, "ok", true, "250 ok\r\n" },
	{ "class does not fit", 354, "2.0.0", "go on", true, "354 go on\r\n" },
	{ "lines", 250, "2.1.5", "a\nb\nc", true, "250-2.1.5 a\r\n250-2.1.5 b\r\n250 2.1.5 c\r\n" },
	{ "lines without code", 250, NULL, "x.org\nSIZE 10\nHELP", false,
	  "250-x.org\r\n250-SIZE 10\r\n250 HELP\r\n" },
	{ "no text", 250, "2.0.0", "", true, "250 2.0.0\r\n" },
	{ "no text and no code", 250, NULL, "", true, "250 \r\n" },
	{ "empty line within", 250, "2.0.0", "a\n\nb", true,
	  "250-2.0.0 a\r\n250-2.0.0\r\n250 2.0.0 b\r\n" },
	{ "CR can't begin a line", 550, "5.1.1", "a\r\n250 ok", true,
	  "550-5.1.1 a?\r\n550 5.1.1 250 ok\r\n" },
	{ "controls", 550, "5.1.1", "a\033[2J\177\tb\001", true, "550 5.1.1 a?[2J? b?\r\n" },
	{ "UTF-8 stays", 550, "5.1.1", "b\303\266b", true, "550 5.1.1 b\303\266b\r\n" },
	{ "broken UTF-8", 550, "5.1.1", "b\303b\266\377", true, "550 5.1.1 b?b??\r\n" },
	{ "C1 in UTF-8", 550, "5.1.1", "a\302\233b", true, "550 5.1.1 a??b\r\n" },
	{ "smallest code", 200, NULL, "x", true, "200 x\r\n" },
	{ "largest code", 599, NULL, "x", true, "599 x\r\n" },
	{ "code too small", 199, NULL, "x", true, "" },
	{ "code too large", 600, NULL, "x", true, "" },
};

START_TEST(format_rows)
{
	struct smtp_reply reply = smtp_reply_of(formats[_i].code, formats[_i].enhanced, NULL);
	size_t text_n = strlen(formats[_i].text), n = strlen(formats[_i].out);
	uint8_t *text = guarded(formats[_i].text, text_n);
	char out[128];

	reply.text = smtp_span_make(text, text_n);
	ck_assert_msg(smtp_reply_format(&reply, formats[_i].with, out, sizeof(out)) == n, "%s",
		      formats[_i].name);
	ck_assert_msg(memcmp(out, formats[_i].out, n) == 0, "%s: %.*s", formats[_i].name, (int)n,
		      out);
	for (size_t cap = 0; cap <= n; cap++) {
		char *room = guarded(out, cap);

		ck_assert_uint_eq(smtp_reply_format(&reply, formats[_i].with, room, cap),
				  cap == n ? n : 0);
		guarded_free(room, cap);
	}
	guarded_free(text, text_n);
}
END_TEST

START_TEST(largest_enhanced_code)
{
	struct smtp_reply reply = smtp_reply_of(250, "2.0.0", "x");
	char out[64];

	reply.enhanced.subject = UINT16_MAX;
	reply.enhanced.detail = UINT16_MAX;
	ck_assert_uint_eq(smtp_reply_format(&reply, true, out, sizeof(out)), 21);
	ck_assert(memcmp(out, "250 2.65535.65535 x\r\n", 21) == 0);
}
END_TEST

/* Each line has at most 512 octets and the same head; together they hold the text. */
static void check_wrapped(const char *wire, size_t n, struct smtp_span text, bool blanks)
{
	size_t at = 0, seen = 0;

	while (at < n) {
		const char *end = memchr(wire + at, '\n', n - at);
		size_t line = (size_t)(end - (wire + at)) + 1;
		bool last = at + line == n;

		ck_assert_uint_le(line, SMTP_REPLY_LINE_MAX);
		ck_assert(memcmp(wire + at, last ? "550 5.1.1 " : "550-5.1.1 ", 10) == 0);
		ck_assert(memcmp(wire + at + 10, text.p + seen, line - 12) == 0);
		ck_assert(smtp_utf8_is_valid(smtp_span_make(wire + at, line)));
		seen += line - 12;
		if (seen < text.n && text.p[seen] == ' ')
			seen++;
		else
			ck_assert(last || !blanks);
		at += line;
	}
	ck_assert_uint_eq(seen, text.n);
}

static const struct {
	const char *name, *unit;
	bool blanks;
} wrapped[] = {
	{ "words", "abc defghi ", true },
	{ "no blank", "x", false },
	{ "UTF-8 of two", "\303\266", false },
	{ "UTF-8 of four", "\360\237\230\200", false },
	{ "one letter, then three octets", "a\342\202\254\342\202\254", false },
};

START_TEST(wrap_rows)
{
	size_t unit = strlen(wrapped[_i].unit);
	char text[3000], wire[4096];

	for (size_t length = 480; length < sizeof(text); length += length < 540 ? 1 : 97) {
		size_t n = length / unit * unit;
		struct smtp_reply reply = smtp_reply_of(550, "5.1.1", NULL);
		size_t written;

		for (size_t i = 0; i < n; i++)
			text[i] = wrapped[_i].unit[i % unit];
		if (text[n - 1] == ' ')
			n--;
		reply.text = smtp_span_make(guarded(text, n), n);
		written = smtp_reply_format(&reply, true, wire, sizeof(wire));
		ck_assert_uint_gt(written, n);
		check_wrapped(wire, written, smtp_span_make(text, n), wrapped[_i].blanks);
		guarded_free((void *)(uintptr_t)reply.text.p, n);
	}
}
END_TEST

/* --- reader ----------------------------------------------------------------------------------- */

/* A reply comes out as "code class.subject.detail [text]"; "P" stands for SMTP_EPROTO. */
static const struct {
	const char *name, *in, *out;
} replies[] = {
	{ "plain", "250 ok\r\n", "250 0.0.0 [ok]" },
	{ "enhanced", "250 2.1.0 ok\r\n", "250 2.1.0 [ok]" },
	{ "enhanced alone", "250 2.1.0\r\n", "250 2.1.0 []" },
	{ "class does not fit", "250 5.1.0 ok\r\n", "250 0.0.0 [5.1.0 ok]" },
	{ "lines", "250-a\r\n250-b\r\n250 c\r\n", "250 0.0.0 [a\nb\nc]" },
	{ "enhanced lines", "550-5.1.1 a\r\n550 5.1.1 b\r\n", "550 5.1.1 [a\nb]" },
	{ "the first code counts", "550-a\r\n550-5.1.1 b\r\n550 5.7.1 c\r\n",
	  "550 5.1.1 [a\nb\nc]" },
	{ "code alone", "250\r\n", "250 0.0.0 []" },
	{ "code and blank", "250 \r\n", "250 0.0.0 []" },
	{ "code alone at the end", "250-a\r\n250\r\n", "250 0.0.0 [a\n]" },
	{ "empty line within", "250-a\r\n250-\r\n250 b\r\n", "250 0.0.0 [a\n\nb]" },
	{ "two replies", "250 a\r\n354 b\r\n", "250 0.0.0 [a]354 0.0.0 [b]" },
	{ "bare LF", "250-a\n250 b\n", "250 0.0.0 [a\nb]" },
	{ "bare LF behind code", "250\n", "250 0.0.0 []" },
	{ "CR CR LF", "250 a\r\r\n", "250 0.0.0 [a]" },
	{ "bare CR", "250 a\rb\r\n", "250 0.0.0 [a?b]" },
	{ "controls", "250 a\033\tb\r\n", "250 0.0.0 [a? b]" },
	{ "UTF-8", "250 \303\266\303\r\n", "250 0.0.0 [\303\266?]" },
	{ "unfinished", "250-a\r\n250 b\r", "" },
	{ "unfinished code", "25", "" },
	{ "other code within", "250-a\r\n251 b\r\n", "P" },
	{ "small code", "150 a\r\n", "P" },
	{ "large code", "650 a\r\n", "P" },
	{ "letters", "abc\r\n", "P" },
	{ "two digits", "25 a\r\n", "P" },
	{ "letter within the code", "2x0 a\r\n", "P" },
	{ "letter at the end of it", "25x a\r\n", "P" },
	{ "four digits", "2500 a\r\n", "P" },
	{ "text behind code", "250a\r\n", "P" },
	{ "empty line", "\r\n", "P" },
	{ "blank first", " 250 a\r\n", "P" },
	{ "line without code", "250-a\r\nb\r\n", "P" },
	{ "empty line at the end", "250-a\r\n\r\n", "P" },
};

struct reading {
	struct smtp_reply_parser rp;
	char out[128];
	size_t n;
	bool broken;
	int row;
};

static void add(struct reading *r, const void *p, size_t n)
{
	ck_assert_uint_lt(r->n + n, sizeof(r->out));
	if (n > 0)
		memcpy(r->out + r->n, p, n);
	r->n += n;
}

static void show(struct reading *r, const struct smtp_reply *reply)
{
	const char head[] = { (char)('0' + reply->code / 100), (char)('0' + reply->code / 10 % 10),
			      (char)('0' + reply->code % 10), ' ',
			      (char)('0' + reply->enhanced.class_), '.',
			      (char)('0' + reply->enhanced.subject), '.',
			      (char)('0' + reply->enhanced.detail), ' ', '[' };

	add(r, head, sizeof(head));
	add(r, reply->text.p, reply->text.n);
	add(r, "]", 1);
}

static void reading_begin(void *user)
{
	struct reading *r = user;

	smtp_reply_parser_init(&r->rp);
	r->n = 0;
	r->broken = false;
}

static void reading_feed(void *user, const uint8_t *piece, size_t n)
{
	struct reading *r = user;

	for (size_t at = 0; at < n && !r->broken;) {
		struct smtp_reply reply;
		size_t taken;
		int result = smtp_reply_parser_feed(&r->rp, smtp_span_make(piece + at, n - at),
						    &taken, &reply);

		at += taken;
		if (result == 1)
			show(r, &reply);
		else if (result == 0)
			ck_assert_uint_eq(at, n);
		else
			r->broken = true;
		if (r->broken)
			add(r, result == SMTP_EPROTO ? "P" : "?", 1);
	}
}

static void reading_end(void *user)
{
	struct reading *r = user;

	r->out[r->n] = '\0';
	ck_assert_msg(strcmp(r->out, replies[r->row].out) == 0, "%s: %s", replies[r->row].name,
		      r->out);
	smtp_reply_parser_release(&r->rp);
}

START_TEST(parser_rows)
{
	static const struct split_feed feed = { reading_begin, reading_feed, reading_end };
	struct reading r = { .row = _i };

	split_feed_run(&feed, &r, replies[_i].in, strlen(replies[_i].in));
}
END_TEST

/* --- bounds of the reader --------------------------------------------------------------------- */

/* Feeds `line` `count` times, then `last`. */
static int feed_many(struct smtp_reply_parser *rp, const char *line, size_t count, const char *last,
		     struct smtp_reply *reply)
{
	size_t taken;
	int result = 0;

	for (size_t i = 0; i < count && result == 0; i++)
		result = smtp_reply_parser_feed(rp, smtp_span_of(line), &taken, reply);
	if (result == 0)
		result = smtp_reply_parser_feed(rp, smtp_span_of(last), &taken, reply);
	return result;
}

START_TEST(many_lines)
{
	struct smtp_reply_parser rp;
	struct smtp_reply reply;
	size_t newlines = 0;

	smtp_reply_parser_init(&rp);
	ck_assert_int_eq(feed_many(&rp, "250-a\r\n", 11999, "250 b\r\n", &reply), 1);
	for (size_t i = 0; i < reply.text.n; i++)
		newlines += reply.text.p[i] == '\n';
	ck_assert_uint_eq(newlines, SMTP_REPLY_LINES_MAX - 1);
	ck_assert_uint_eq(reply.text.n, 2 * SMTP_REPLY_LINES_MAX - 1);
	ck_assert_int_eq(feed_many(&rp, "250-a\r\n", 12000, "250 b\r\n", &reply), SMTP_EPROTO);
	smtp_reply_parser_release(&rp);
}
END_TEST

START_TEST(long_line)
{
	struct smtp_reply_parser rp;
	struct smtp_reply reply;
	size_t taken;

	smtp_reply_parser_init(&rp);
	ck_assert_int_eq(smtp_reply_parser_feed(&rp, smtp_span_of("250-"), &taken, &reply), 0);
	ck_assert_int_eq(feed_many(&rp, "0123456789", 5000, "\r\n250 b\r\n", &reply), 1);
	ck_assert_uint_eq(reply.text.n, SMTP_REPLY_OCTETS_MAX);
	ck_assert_uint_le(rp.text.cap, SMTP_REPLY_OCTETS_MAX);
	ck_assert_int_eq(feed_many(&rp, "250 c\r\n", 1, "", &reply), 1);
	ck_assert(smtp_span_is(reply.text, "c"));
	ck_assert_int_eq(smtp_reply_parser_feed(&rp, smtp_span_of("250-"), &taken, &reply), 0);
	ck_assert_int_eq(feed_many(&rp, "0123456789", 500000, "", &reply), SMTP_EPROTO);
	smtp_reply_parser_release(&rp);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reply");
	TCase *tc = tcase_create("reply");

	tcase_add_loop_test(tc, code_rows, 0, ROWS(codes));
	tcase_add_test(tc, reply_of);
	tcase_add_loop_test(tc, format_rows, 0, ROWS(formats));
	tcase_add_test(tc, largest_enhanced_code);
	tcase_add_loop_test(tc, wrap_rows, 0, ROWS(wrapped));
	tcase_add_loop_test(tc, parser_rows, 0, ROWS(replies));
	tcase_add_test(tc, many_lines);
	tcase_add_test(tc, long_line);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
