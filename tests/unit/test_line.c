/* SPDX-License-Identifier: ISC */
/* Lines out of pieces: the same lines however the input is cut, nothing kept over the bound. */
#include "libsmtp/core/line.h"
#include "libsmtp/core/span.h"

#include "tests/unit/testing.h"

enum { MAX = 10 };

/* Lines come out as text with "|" behind each; "!" is a line that was too long. */
static const struct {
	const char *name, *in, *out;
} rows[] = {
	{ "nothing", "", "" },
	{ "one", "NOOP\r\n", "NOOP|" },
	{ "empty line", "\r\n", "|" },
	{ "two", "A\r\nB\r\n", "A|B|" },
	{ "begun", "A\r\nB", "A|" },
	{ "no LF yet", "A\r", "" },
	{ "bare LF", "A\nB\r\n", "A\nB|" },
	{ "bare CR", "A\rB\r\n", "A\rB|" },
	{ "CR CRLF", "A\r\r\n", "A\r|" },
	{ "LF first", "\nA\r\n", "\nA|" },
	{ "LF behind a line", "A\r\n\nB\r\n", "A|\nB|" },
	{ "LF behind a long line", "1234567890\r\n\nB\r\n", "!\nB|" },
	{ "LF only", "A\nB\nC\n", "" },
	{ "at the bound", "12345678\r\n", "12345678|" },
	{ "one over", "123456789\r\n", "!" },
	{ "far over", "12345678901234567890\r\nA\r\n", "!A|" },
	{ "over with bare LF", "1234567890\n1234\nx\r\nA\r\n", "!A|" },
	{ "over, CR at the bound", "123456789\r\r\nA\r\n", "!A|" },
	{ "twice over", "1234567890\r\n1234567890\r\nA\r\n", "!!A|" },
};

struct feeding {
	struct smtp_line ln;
	char out[64];
	size_t n;
	int row;
};

static void add(struct feeding *f, const void *p, size_t n)
{
	ck_assert_uint_lt(f->n + n, sizeof(f->out));
	if (n > 0)
		memcpy(f->out + f->n, p, n);
	f->n += n;
}

static void feeding_begin(void *user)
{
	struct feeding *f = user;

	smtp_line_init(&f->ln, MAX);
	f->n = 0;
}

static void feeding_feed(void *user, const uint8_t *piece, size_t n)
{
	struct feeding *f = user;

	for (size_t at = 0; at < n;) {
		struct smtp_span line;
		size_t taken;

		switch (smtp_line_feed(&f->ln, smtp_span_make(piece + at, n - at), &taken, &line)) {
		case SMTP_LINE_READY:
			add(f, line.p, line.n);
			add(f, "|", 1);
			break;
		case SMTP_LINE_TOO_LONG:
			add(f, "!", 1);
			break;
		case SMTP_LINE_MORE:
			ck_assert_uint_eq(taken, n - at);
			break;
		default:
			ck_abort_msg("no memory");
		}
		ck_assert_uint_gt(taken, 0);
		ck_assert_uint_le(f->ln.buf.cap, MAX);
		at += taken;
	}
}

static void feeding_end(void *user)
{
	struct feeding *f = user;

	f->out[f->n] = '\0';
	ck_assert_msg(strcmp(f->out, rows[f->row].out) == 0, "%s: %s", rows[f->row].name, f->out);
	smtp_line_release(&f->ln);
}

START_TEST(line_rows)
{
	static const struct split_feed feed = { feeding_begin, feeding_feed, feeding_end };
	struct feeding f = { .row = _i };

	split_feed_run(&feed, &f, rows[_i].in, strlen(rows[_i].in));
}
END_TEST

START_TEST(nul_is_kept)
{
	struct smtp_line ln;
	struct smtp_span line;
	size_t taken;

	smtp_line_init(&ln, MAX);
	ck_assert_int_eq(smtp_line_feed(&ln, smtp_span_make("a\0b\r\nc", 6), &taken, &line),
			 SMTP_LINE_READY);
	ck_assert_uint_eq(taken, 5);
	ck_assert(smtp_span_equal(line, smtp_span_make("a\0b", 3)));
	smtp_line_release(&ln);
}
END_TEST

START_TEST(whole_line_is_not_copied)
{
	static const char in[] = "NOOP\r\n";
	struct smtp_line ln;
	struct smtp_span line;
	size_t taken;

	smtp_line_init(&ln, MAX);
	ck_assert_int_eq(smtp_line_feed(&ln, smtp_span_of(in), &taken, &line), SMTP_LINE_READY);
	ck_assert_ptr_eq(line.p, in);
	ck_assert_ptr_null(ln.buf.p);
	ck_assert_int_eq(smtp_line_feed(&ln, smtp_span_of(""), &taken, &line), SMTP_LINE_MORE);
	ck_assert_uint_eq(taken, 0);
	smtp_line_release(&ln);
}
END_TEST

START_TEST(wipe)
{
	struct smtp_line ln;
	struct smtp_span line;
	size_t taken;

	smtp_line_init(&ln, MAX);
	ck_assert_int_eq(smtp_line_feed(&ln, smtp_span_of("secret\r"), &taken, &line),
			 SMTP_LINE_MORE);
	smtp_line_wipe(&ln);
	ck_assert_ptr_null(ln.buf.p);
	ck_assert_int_eq(smtp_line_feed(&ln, smtp_span_of("\nA\r\n"), &taken, &line),
			 SMTP_LINE_READY);
	ck_assert(smtp_span_is(line, "\nA"));
	smtp_line_release(&ln);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("line");
	TCase *tc = tcase_create("line");

	tcase_add_loop_test(tc, line_rows, 0, ROWS(rows));
	tcase_add_test(tc, nul_is_kept);
	tcase_add_test(tc, whole_line_is_not_copied);
	tcase_add_test(tc, wipe);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
