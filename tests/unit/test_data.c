/* SPDX-License-Identifier: ISC */
/* The content of DATA: every short sequence of the octets that matter, cut at every position,
 * against a decoder written in the plainest way; the encoder against its rules.
 */
#include "libsmtp/core/data.h"
#include "libsmtp/core/span.h"

#include "tests/unit/testing.h"

enum { SHORT = 8, ROOM = 8 * SHORT };

/* What decoding comes to. */
struct outcome {
	uint8_t content[ROOM];
	size_t n;
	size_t taken;
	bool end, bare, too_long;
};

/* Tests that run millions of times: a ck_assert writes to a pipe each time. */
static void need(bool truth, const char *what)
{
	if (!truth)
		ck_abort_msg("%s", what);
}

static void put(struct outcome *o, const void *p, size_t n)
{
	need(o->n + n <= sizeof(o->content), "too much content");
	if (n > 0)
		memcpy(o->content + o->n, p, n);
	o->n += n;
}

/* --- the reference: whole input at hand, looked at line by line ------------------------------- */

/* Length of the line at `in` with its end; *end gets the length of that. 0: it is incomplete. */
static size_t next_line(const char *in, size_t n, bool repair, size_t *end)
{
	for (size_t i = 0; i < n; i++) {
		bool crlf = in[i] == '\r' && i + 1 < n && in[i + 1] == '\n';

		if (in[i] == '\r' && i + 1 == n)
			return 0; /* not known yet what it is */
		if (!crlf && !(repair && (in[i] == '\r' || in[i] == '\n')))
			continue;
		*end = crlf ? 2 : 1;
		return i + *end;
	}
	return 0;
}

static void reference_text(struct outcome *o, const char *in, size_t n)
{
	for (size_t i = 0; i < n; i++)
		o->bare |= in[i] == '\r' || in[i] == '\n';
	put(o, in, n);
}

static struct outcome reference(const char *in, size_t n, bool repair)
{
	struct outcome o = { .n = 0 };
	bool true_begin = true;
	size_t end, line;

	while ((line = next_line(in + o.taken, n - o.taken, repair, &end)) > 0) {
		const char *text = in + o.taken;
		bool dot = text[0] == '.';

		o.taken += line;
		if (true_begin && end == 2 && line == 3 && dot) {
			o.end = true;
			return o;
		}
		reference_text(&o, text + dot, line - end - dot);
		o.bare |= end == 1;
		put(&o, "\r\n", 2);
		true_begin = end == 2;
	}
	return o; /* what is behind the last line end is not compared */
}

/* --- the decoder, fed in pieces --------------------------------------------------------------- */

static void decode_piece(struct smtp_data_decoder *dd, struct outcome *o, const void *p, size_t n)
{
	uint8_t *copy = guarded(p, n);
	size_t at = 0;

	while (at < n && !o->end) {
		struct smtp_span content;
		size_t taken;

		o->end = smtp_data_decoder_feed(dd, smtp_span_make(copy + at, n - at), &taken,
						&content) == SMTP_DATA_END;
		ck_assert(taken > 0 || content.n > 0);
		put(o, content.p, content.n);
		at += taken;
		o->taken += taken;
	}
	guarded_free(copy, n);
}

/* Without guard pages, for the many short sequences. */
static struct outcome decode(const char *in, size_t n, size_t cut, bool repair)
{
	struct outcome o = { .n = 0 };
	struct smtp_data_decoder dd;

	smtp_data_decoder_init(&dd, 0, repair);
	for (size_t at = 0; at < n && !o.end;) {
		size_t end = cut == 0 ? at + 1 : at < cut ? cut : n;
		struct smtp_span content;
		size_t taken;

		o.end = smtp_data_decoder_feed(&dd, smtp_span_make(in + at, end - at), &taken,
					       &content) == SMTP_DATA_END;
		put(&o, content.p, content.n);
		at += taken;
		o.taken = at;
	}
	o.bare = dd.bare_newline;
	need(dd.octets == o.n, "octets are what was passed on");
	return o;
}

static void compare(const struct outcome *want, const struct outcome *got, const char *in, size_t n)
{
	char shown[ROOM];
	bool same = want->n <= got->n && memcmp(want->content, got->content, want->n) == 0;

	if (want->end)
		same = same && want->taken == got->taken && want->n == got->n &&
		       want->bare == got->bare;
	if (same && want->end == got->end)
		return;
	for (size_t i = 0; i < n; i++)
		shown[i] = in[i] == '\r' ? 'R' : in[i] == '\n' ? 'N' : in[i];
	ck_abort_msg("%.*s: end %d %d, taken %zu %zu, length %zu %zu, bare %d %d", (int)n, shown,
		     want->end, got->end, want->taken, got->taken, want->n, got->n, want->bare,
		     got->bare);
}

/* `in` of n octets behind a prefix: all cuts, and octet by octet (cut 0). */
static void check_sequence(const char *in, size_t n, bool repair)
{
	struct outcome want = reference(in, n, repair);

	for (size_t cut = 0; cut <= n; cut++) {
		struct outcome got = decode(in, n, cut, repair);

		compare(&want, &got, in, n);
	}
}

/* 4^8 sequences, the same followed by what ends any content, in both modes. */
START_TEST(every_short_sequence)
{
	static const char octets[] = { '\r', '\n', '.', 'a' };
	char in[SHORT + 5];

	for (size_t n = 0; n <= SHORT; n++) {
		for (unsigned long number = 0; number < 1ul << (2 * n); number++) {
			for (size_t i = 0; i < n; i++)
				in[i] = octets[number >> (2 * i) & 3];
			check_sequence(in, n, _i == 1);
			if (n > SHORT - 2)
				continue;
			memcpy(in + n, "\r\n.\r\n", 5);
			check_sequence(in, n + 5, _i == 1);
		}
	}
}
END_TEST

/* --- rows ------------------------------------------------------------------------------------- */

static const struct {
	const char *name, *in, *content;
	bool end, bare;
	const char *left;
} rows[] = {
	{ "empty content", ".\r\n", "", true, false, "" },
	{ "one line", "a\r\n.\r\n", "a\r\n", true, false, "" },
	{ "what follows is left", "a\r\n.\r\nQUIT\r\n", "a\r\n", true, false, "QUIT\r\n" },
	{ "stuffed dot", "..a\r\n.\r\n", ".a\r\n", true, false, "" },
	{ "stuffed lone dot", "..\r\n.\r\n", ".\r\n", true, false, "" },
	{ "unstuffed dot", ".a\r\n.\r\n", "a\r\n", true, false, "" },
	{ "dot within a line", "a.\r\n.\r\n", "a.\r\n", true, false, "" },
	{ "LF dot LF", "a\n.\nb\r\n.\r\n", "a\n.\nb\r\n", true, true, "" },
	{ "LF dot CRLF", "a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n", true, true, "" },
	{ "CR dot CR", "a\r.\rb\r\n.\r\n", "a\r.\rb\r\n", true, true, "" },
	{ "CRLF dot LF", "a\r\n.\nb\r\n.\r\n", "a\r\n\nb\r\n", true, true, "" },
	{ "CRLF dot CR", "a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", true, true, "" },
	{ "CR CRLF dot CRLF ends", "a\r\r\n.\r\n", "a\r\r\n", true, true, "" },
	{ "CRLF dot CR CRLF ends not", "a\r\n.\r\r\n.\r\n", "a\r\n\r\r\n", true, true, "" },
	{ "no end without the last LF", "a\r\n.\r", "a\r\n", false, false, "" },
	{ "controls pass", "\1\2\3\r\n.\r\n", "\1\2\3\r\n", true, false, "" },
};

struct feeding {
	struct smtp_data_decoder dd;
	struct outcome o;
	int row;
	bool repair;
};

static void feeding_begin(void *user)
{
	struct feeding *f = user;

	smtp_data_decoder_init(&f->dd, 0, f->repair);
	f->o = (struct outcome){ .n = 0 };
}

static void feeding_feed(void *user, const uint8_t *piece, size_t n)
{
	struct feeding *f = user;

	decode_piece(&f->dd, &f->o, piece, n);
}

static void feeding_end(void *user)
{
	struct feeding *f = user;
	const char *name = rows[f->row].name;
	size_t n = strlen(rows[f->row].content);

	ck_assert_msg(f->o.end == rows[f->row].end, "%s: end", name);
	ck_assert_msg(f->dd.bare_newline == rows[f->row].bare, "%s: bare newline", name);
	ck_assert_msg(f->o.n == n && memcmp(f->o.content, rows[f->row].content, n) == 0,
		      "%s: content", name);
	ck_assert_msg(strlen(rows[f->row].in) - f->o.taken == strlen(rows[f->row].left),
		      "%s: what is left", name);
}

START_TEST(decoder_rows)
{
	static const struct split_feed feed = { feeding_begin, feeding_feed, feeding_end };
	struct feeding f = { .row = _i };

	split_feed_run(&feed, &f, rows[_i].in, strlen(rows[_i].in));
}
END_TEST

/* Behind a repaired newline a dot is a stuffed one, and never the end of data. */
START_TEST(repair)
{
	static const char in[] = "a\n.\r\n..b\r.\rc\r\r\n.\nd\n.\r\n\r\n.\r\n";
	static const char want[] = "a\r\n\r\n.b\r\n\r\nc\r\n\r\n\r\nd\r\n\r\n\r\n";
	struct outcome whole = decode(in, strlen(in), strlen(in), true);

	ck_assert(whole.end);
	ck_assert(whole.bare);
	ck_assert_uint_eq(whole.n, strlen(want));
	ck_assert_mem_eq(whole.content, want, whole.n);
	check_sequence(in, strlen(in), true);
}
END_TEST

static const struct {
	const char *name, *in;
	uint32_t max;
	bool too_long;
} lengths[] = {
	{ "no limit", "aaaaaaaaa\r\n.\r\n", 0, false },
	{ "at the limit", "aaa\r\n.\r\n", 3, false },
	{ "over it", "aaaa\r\n.\r\n", 3, true },
	{ "over it in a later line", "a\r\naaaa\r\na\r\n.\r\n", 3, true },
	{ "a stuffed dot counts once", "..aa\r\n.\r\n", 3, false },
	{ "sum of lines is no line", "aaa\r\naaa\r\naaa\r\n.\r\n", 3, false },
};

START_TEST(line_length)
{
	size_t n = strlen(lengths[_i].in);

	for (size_t cut = 1; cut <= n; cut++) {
		struct smtp_data_decoder dd;
		struct outcome o = { .n = 0 };

		smtp_data_decoder_init(&dd, lengths[_i].max, false);
		decode_piece(&dd, &o, lengths[_i].in, cut);
		decode_piece(&dd, &o, lengths[_i].in + cut, n - cut);
		ck_assert_msg(o.end, "%s", lengths[_i].name);
		ck_assert_msg(dd.line_too_long == lengths[_i].too_long, "%s", lengths[_i].name);
	}
}
END_TEST

/* Line ends at every place of the eight octets that are looked at at once. */
START_TEST(long_lines)
{
	uint8_t in[200];

	for (size_t n = 0; n < 100; n++) {
		struct smtp_data_decoder dd;
		struct smtp_span content;
		size_t taken;
		uint8_t *copy;

		memset(in, (int)(n % 2 ? 0x8d : 0x0b), n);
		memcpy(in + n, "\r\nb", 3);
		copy = guarded(in, n + 3);
		smtp_data_decoder_init(&dd, 0, false);
		ck_assert_int_eq(smtp_data_decoder_feed(&dd, smtp_span_make(copy, n + 3), &taken,
							&content), SMTP_DATA_MORE);
		ck_assert_uint_eq(taken, n + 3);
		ck_assert_uint_eq(content.n, n + 3);
		ck_assert_ptr_eq(content.p, copy);
		ck_assert_uint_eq(dd.line, 1);
		ck_assert(!dd.bare_newline);
		guarded_free(copy, n + 3);
	}
}
END_TEST

/* --- encoder ---------------------------------------------------------------------------------- */

struct encoded {
	uint8_t p[2 * ROOM];
	size_t n;
	bool repaired;
};

static struct encoded encode(const char *in, size_t n, size_t cut, size_t cap)
{
	struct encoded e = { .n = 0 };
	struct smtp_data_encoder de;

	smtp_data_encoder_init(&de);
	for (size_t at = 0; at < n;) {
		size_t end = cut == 0 ? at + 1 : at < cut ? cut : n;
		size_t taken;
		size_t put = smtp_data_encoder_feed(&de, smtp_span_make(in + at, end - at), &taken,
						    e.p + e.n, cap);

		need(put <= cap && (put > 0 || taken > 0), "no progress");
		e.n += put;
		at += taken;
	}
	e.n += smtp_data_encoder_end(&de, e.p + e.n, 8);
	e.repaired = de.repaired;
	return e;
}

/* Every CR and LF is in a CRLF, and the only line that is a lone dot is the last one. */
static bool is_clean(const struct encoded *e)
{
	for (size_t i = 0; i < e->n; i++) {
		bool lf_next = i + 1 < e->n && e->p[i + 1] == '\n';
		bool cr_before = i > 0 && e->p[i - 1] == '\r';

		if ((e->p[i] == '\r' && !lf_next) || (e->p[i] == '\n' && !cr_before))
			return false;
		if (i + 3 < e->n && memcmp(e->p + i, "\r\n.\r", 4) == 0 && i + 5 < e->n)
			return false;
	}
	return e->n >= 3 && memcmp(e->p + e->n - 3, ".\r\n", 3) == 0 &&
	       (e->n == 3 || memcmp(e->p, ".\r", 2) != 0);
}

static bool has_bare(const char *in, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((in[i] == '\r' && !(i + 1 < n && in[i + 1] == '\n')) ||
		    (in[i] == '\n' && !(i > 0 && in[i - 1] == '\r')))
			return true;
	return false;
}

/* The content comes back, with a CRLF at its end. */
static void check_round_trip(const struct encoded *e, const char *in, size_t n)
{
	struct outcome back = { .n = 0 };
	struct smtp_data_decoder dd;
	bool closed = n == 0 || in[n - 1] == '\n';

	smtp_data_decoder_init(&dd, 0, false);
	for (size_t at = 0; at < e->n;) {
		struct smtp_span content;
		size_t taken;

		back.end = smtp_data_decoder_feed(&dd, smtp_span_make(e->p + at, e->n - at), &taken,
						  &content) == SMTP_DATA_END;
		put(&back, content.p, content.n);
		at += taken;
		need(!back.end || at == e->n, "the end is the end");
	}
	need(back.end && !dd.bare_newline, "end");
	need(back.n == n + (closed ? 0 : 2) && memcmp(back.content, in, n) == 0, "round trip");
}

START_TEST(encode_every_short_sequence)
{
	static const char octets[] = { '\r', '\n', '.', 'a' };
	char in[SHORT];
	size_t length = SHORT - 1;

	for (size_t n = 0; n <= length; n++) {
		for (unsigned long number = 0; number < 1ul << (2 * n); number++) {
			struct encoded whole;

			for (size_t i = 0; i < n; i++)
				in[i] = octets[number >> (2 * i) & 3];
			whole = encode(in, n, n, sizeof(whole.p) - 8);
			need(is_clean(&whole), "clean");
			need(whole.repaired == has_bare(in, n), "repaired");
			if (!whole.repaired)
				check_round_trip(&whole, in, n);
			for (size_t cut = 0; cut <= n; cut++) {
				struct encoded e = encode(in, n, cut, 2 + cut % 3);

				need(e.n == whole.n && memcmp(e.p, whole.p, e.n) == 0, "cut");
			}
		}
	}
}
END_TEST

START_TEST(encoder_end_needs_room)
{
	struct smtp_data_encoder de;
	uint8_t out[8];

	smtp_data_encoder_init(&de);
	ck_assert_uint_eq(smtp_data_encoder_end(&de, out, 7), 0);
	ck_assert_uint_eq(smtp_data_encoder_end(&de, out, 8), 3);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("data");
	TCase *tc = tcase_create("data");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, every_short_sequence, 0, 2);
	tcase_add_loop_test(tc, decoder_rows, 0, ROWS(rows));
	tcase_add_test(tc, repair);
	tcase_add_loop_test(tc, line_length, 0, ROWS(lengths));
	tcase_add_test(tc, long_lines);
	tcase_add_test(tc, encode_every_short_sequence);
	tcase_add_test(tc, encoder_end_needs_room);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
