/* SPDX-License-Identifier: ISC */
/* Replies: the same however they arrive; what is read is harmless, is written within the bounds of
 * a line, and reads back as the same.
 */
#include "fuzz/fuzz.h"

#include <smtp/reply.h>

#include "libsmtp/core/extension.h"
#include "libsmtp/core/reply_parser.h"
#include "libsmtp/core/syntax.h"

enum { WIRE_MAX = 1 << 17, COMPARED_MAX = 8000, UNWRAPPED_MAX = 480 };

/* No line end but CRLF, each line within its bound and with the same code. */
static void check_wire(const uint8_t *wire, size_t n)
{
	size_t start = 0;

	need(n >= 5 && has_only_crlf(wire, n) && wire[n - 1] == '\n' && wire[3] != '\r');
	for (size_t i = 0; i < n; i++) {
		need(!smtp_is(wire[i], SMTP_CC_CONTROL) || wire[i] == '\r' || wire[i] == '\n');
		if (wire[i] != '\n')
			continue;
		need(i + 1 - start <= SMTP_REPLY_LINE_MAX);
		need(memcmp(wire, wire + start, 3) == 0);
		need(wire[start + 3] == (i + 1 == n ? ' ' : '-'));
		start = i + 1;
	}
}

static bool is_wrapped(struct smtp_span text)
{
	size_t line = 0;

	for (size_t i = 0; i < text.n; i++) {
		line = text.p[i] == '\n' ? 0 : line + 1;
		if (line > UNWRAPPED_MAX)
			return true;
	}
	return text.n > COMPARED_MAX;
}

static void check_reply(const struct smtp_reply *reply)
{
	static char wire[WIRE_MAX];
	struct smtp_reply_parser rp;
	struct smtp_reply again;
	size_t taken, n = smtp_reply_format(reply, true, wire, sizeof(wire));

	check_wire((const uint8_t *)wire, n);
	smtp_reply_parser_init(&rp);
	need(smtp_reply_parser_feed(&rp, smtp_span_make(wire, n), &taken, &again) == 1);
	need(taken == n && again.code == reply->code);
	/* The rest of a wrapped line may happen to begin with what looks like an enhanced code. */
	if (!is_wrapped(reply->text)) {
		need(again.enhanced.class_ == reply->enhanced.class_);
		need(again.enhanced.subject == reply->enhanced.subject);
		need(again.enhanced.detail == reply->enhanced.detail);
		need(smtp_span_equal(again.text, reply->text));
	}
	smtp_reply_parser_release(&rp);
}

static void keep(struct smtp_buf *out, const struct smtp_reply *reply)
{
	struct smtp_extensions extensions;

	need(reply->text.n <= SMTP_REPLY_OCTETS_MAX && smtp_utf8_is_valid(reply->text));
	need(smtp_buf_append_uint(out, reply->code) == 0);
	need(smtp_buf_append_uint(out, reply->enhanced.class_) == 0);
	need(smtp_buf_append_uint(out, reply->enhanced.subject) == 0);
	need(smtp_buf_append_uint(out, reply->enhanced.detail) == 0);
	need(smtp_buf_append_span(out, reply->text) == 0);
	check_reply(reply);
	smtp_extensions_parse(&extensions, reply->text);
}

/* All replies of the input; "?" where reading ended with an error. */
static void read_all(struct smtp_buf *out, struct smtp_span input, uint8_t pace)
{
	struct smtp_reply_parser rp;
	struct smtp_reply reply;
	int result = 0;

	smtp_reply_parser_init(&rp);
	for (size_t at = 0; at < input.n && result >= 0;) {
		size_t taken, n = next_piece(at, input.n - at, pace);

		result = smtp_reply_parser_feed(&rp, smtp_span_slice(input, at, n), &taken, &reply);
		need(taken <= n && (result != 0 || taken == n));
		need(rp.text.cap <= SMTP_REPLY_OCTETS_MAX);
		if (result == 1)
			keep(out, &reply);
		else if (result < 0)
			need(result == SMTP_EPROTO && smtp_buf_append_text(out, "?") == 0);
		at += taken;
	}
	smtp_reply_parser_release(&rp);
}

/* Text of a callback: any octets at all. */
static void check_text(struct smtp_span text)
{
	static char wire[WIRE_MAX];
	struct smtp_reply reply = smtp_reply_of(550, "5.7.1", NULL);
	size_t n;

	reply.text = text;
	n = smtp_reply_format(&reply, true, wire, sizeof(wire));
	need(n > 0 || text.n > WIRE_MAX / 16);
	if (n > 0)
		check_wire((const uint8_t *)wire, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_span input = { data, size };
	uint8_t pace = take_choice(&input);
	struct smtp_buf whole, pieces;

	smtp_buf_init(&whole, 16 * size + 64);
	smtp_buf_init(&pieces, 16 * size + 64);
	read_all(&whole, input, 0);
	read_all(&pieces, input, pace);
	need(smtp_span_equal(smtp_buf_span(&whole), smtp_buf_span(&pieces)));
	smtp_buf_release(&whole);
	smtp_buf_release(&pieces);
	check_text(input);
	return 0;
}
