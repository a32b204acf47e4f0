/* SPDX-License-Identifier: ISC */
/* Content in chunks, and smuggling. However content is cut into chunks and pieces it comes to the same,
 * and leaves the session in step; what was accepted and goes out again by DATA has one end of data in
 * the eyes of the most lenient reader. DATA ends where a plain search says, and nowhere else.
 */
#include "fuzz/fuzz.h"

#include <smtp/server_session.h>

#include "libsmtp/core/buf.h"
#include "libsmtp/core/chunk.h"
#include "libsmtp/core/data.h"

enum { LINE_MAX_OCTETS = 100, INPUT_MAX = 2048 };

/* --- the decoder ---------------------------------------------------------------------------- */

struct decoded {
	struct smtp_buf content;
	struct smtp_data_decoder dd;
};

static void decode(struct decoded *d, struct smtp_span input, uint8_t pace, bool repair)
{
	smtp_buf_init(&d->content, 2 * input.n + 2);
	smtp_data_decoder_init_chunked(&d->dd, LINE_MAX_OCTETS, repair);
	for (size_t at = 0; at < input.n;) {
		size_t n = next_piece(at, input.n - at, pace), taken;
		struct smtp_span content;

		need(smtp_data_decoder_feed(&d->dd, smtp_span_slice(input, at, n), &taken,
					    &content) == SMTP_DATA_MORE);
		need(taken <= n && (taken > 0 || content.n > 0));
		need(smtp_buf_append_span(&d->content, content) == 0);
		at += taken;
	}
	need(smtp_buf_append_span(&d->content, smtp_data_decoder_finish(&d->dd)) == 0);
	need(smtp_data_decoder_finish(&d->dd).n == 0);
	need(d->dd.octets == d->content.n);
}

static void check_decoder(struct smtp_span input, uint8_t pace, bool repair)
{
	struct decoded whole, pieces;

	decode(&whole, input, 0, repair);
	decode(&pieces, input, pace, repair);
	need(smtp_span_equal(smtp_buf_span(&whole.content), smtp_buf_span(&pieces.content)));
	need(whole.dd.bare_newline == pieces.dd.bare_newline);
	need(whole.dd.line_too_long == pieces.dd.line_too_long);
	need(whole.dd.bare_newline == !has_only_crlf(input.p, input.n));
	if (repair)
		need(has_only_crlf(whole.content.p, whole.content.n));
	else
		need(smtp_span_equal(smtp_buf_span(&whole.content), input));
	smtp_buf_release(&whole.content);
	smtp_buf_release(&pieces.content);
}

/* --- the end of DATA ------------------------------------------------------------------------ */

/* Octets up to the end of the first CRLF.CRLF; a CRLF stands before the input. 0: there is none. */
static size_t end_of_data(struct smtp_span input)
{
	if (input.n >= 3 && memcmp(input.p, ".\r\n", 3) == 0)
		return 3;
	for (size_t i = 0; i + 5 <= input.n; i++)
		if (memcmp(input.p + i, "\r\n.\r\n", 5) == 0)
			return i + 5;
	return 0;
}

static void check_end_of_data(struct smtp_span input, uint8_t pace, bool repair)
{
	struct smtp_data_decoder dd;
	bool end = false;
	size_t at = 0;

	smtp_data_decoder_init(&dd, 0, repair);
	while (at < input.n && !end) {
		size_t n = next_piece(at, input.n - at, pace), taken;
		struct smtp_span content;

		end = smtp_data_decoder_feed(&dd, smtp_span_slice(input, at, n), &taken, &content) ==
		      SMTP_DATA_END;
		at += taken;
	}
	need(end ? at == end_of_data(input) : end_of_data(input) == 0);
}

/* --- a session ------------------------------------------------------------------------------ */

struct told {
	struct smtp_buf content;
	unsigned messages, resets;
};

static enum smtp_verdict on_rcpt(struct smtp_server_session *s,
				 const struct smtp_rcpt_request *request, void *user)
{
	(void)s;
	(void)request;
	(void)user;
	return SMTP_ACCEPT;
}

static enum smtp_verdict on_content(struct smtp_server_session *s, struct smtp_span octets,
				    void *user)
{
	struct told *told = user;

	need(octets.n > 0);
	need(smtp_buf_append_span(&told->content, octets) == 0);
	need(told->content.n == smtp_server_session_content_bytes(s));
	return SMTP_ACCEPT;
}

static enum smtp_verdict on_end(struct smtp_server_session *s, void *user)
{
	struct told *told = user;

	(void)s;
	told->messages++;
	return SMTP_ACCEPT;
}

static void on_reset(struct smtp_server_session *s, void *user)
{
	struct told *told = user;

	(void)s;
	told->resets++;
}

static const struct smtp_server_session_handler handler = {
	.size = sizeof(handler), .rcpt = on_rcpt, .content = on_content, .end = on_end,
	.reset = on_reset,
};

static void add_chunk(struct smtp_buf *wire, struct smtp_span octets, bool last)
{
	need(smtp_buf_append_text(wire, "BDAT ") == 0 && smtp_buf_append_uint(wire, octets.n) == 0);
	need(smtp_buf_append_text(wire, last ? " LAST\r\n" : "\r\n") == 0);
	need(smtp_buf_append_span(wire, octets) == 0);
}

static void make_wire(struct smtp_buf *wire, struct smtp_span input, uint8_t chunks)
{
	smtp_buf_init(wire, SIZE_MAX / 2);
	need(smtp_buf_append_text(wire, "EHLO a.example\r\nMAIL FROM:<a@b.example>\r\n"
					"RCPT TO:<c@d.example>\r\n") == 0);
	for (size_t at = 0; chunks > 0 && at < input.n;) {
		size_t n = next_piece(at, input.n - at, chunks);

		add_chunk(wire, smtp_span_slice(input, at, n), false);
		at += n;
	}
	add_chunk(wire, chunks > 0 ? smtp_span_make(NULL, 0) : input, true);
	need(smtp_buf_append_text(wire, "NOOP still in step\r\nQUIT\r\n") == 0);
}

/* Replies drained as they come; the last two have to be those to NOOP and QUIT. */
static void play(struct told *told, struct smtp_span wire, uint8_t pace, bool repair)
{
	static const char end[] = "250 2.0.0 ok\r\n221 2.0.0 bye\r\n";
	struct smtp_server_session_options options = SMTP_SERVER_SESSION_OPTIONS_INIT;
	struct smtp_server_session *s = NULL;
	struct smtp_buf out;

	smtp_buf_init(&out, SIZE_MAX / 2);
	smtp_buf_init(&told->content, SIZE_MAX / 2);
	told->messages = told->resets = 0;
	options.hostname = "mx.example.org";
	options.extensions |= SMTP_SERVER_CHUNKING;
	options.max_line_bytes = LINE_MAX_OCTETS;
	options.bare_newline = repair ? SMTP_BARE_NEWLINE_REPAIR : SMTP_BARE_NEWLINE_REFUSE;
	need(smtp_server_session_new(&s, &options, &handler, told) == 0);
	need(smtp_server_session_start(s, 0) == 0);
	for (size_t at = 0; at < wire.n;) {
		size_t n = next_piece(at, wire.n - at, pace), taken;

		need(smtp_server_session_feed(s, wire.p + at, n, 0, &taken) == 0 && taken > 0);
		at += taken;
		need(smtp_buf_append_span(&out, smtp_server_session_output(s)) == 0);
		smtp_server_session_sent(s, smtp_server_session_output(s).n);
	}
	need(out.n > sizeof(end) && memcmp(out.p + out.n - (sizeof(end) - 1), end,
					   sizeof(end) - 1) == 0);
	smtp_server_session_free(s);
	smtp_buf_release(&out);
	need(told->messages + told->resets == 1);
}

/* --- what a relay makes of it --------------------------------------------------------------- */

static bool is_newline(uint8_t c)
{
	return c == '\r' || c == '\n';
}

/* For a reader that takes any CR or LF for a line end, too, the message ends at its end alone. */
static void check_relayed(struct smtp_span content)
{
	struct smtp_data_encoder de;
	struct smtp_buf wire;
	size_t taken;

	smtp_buf_init(&wire, SIZE_MAX / 2);
	smtp_data_encoder_init(&de);
	need(smtp_buf_reserve(&wire, 2 * content.n + 16) == 0);
	wire.n = smtp_data_encoder_feed(&de, content, &taken, wire.p, 2 * content.n + 8);
	need(taken == content.n && !de.repaired);
	wire.n += smtp_data_encoder_end(&de, wire.p + wire.n, 8);
	for (size_t i = 0; i + 3 < wire.n; i++)
		need(wire.p[i] != '.' || (i > 0 && !is_newline(wire.p[i - 1])) ||
		     !is_newline(wire.p[i + 1]));
	smtp_buf_release(&wire);
}

static void check_session(struct smtp_span input, uint8_t chunks, uint8_t pace, bool repair)
{
	struct told one, many;
	struct smtp_buf wire;

	make_wire(&wire, input, 0);
	play(&one, smtp_buf_span(&wire), 0, repair);
	smtp_buf_release(&wire);
	make_wire(&wire, input, chunks);
	play(&many, smtp_buf_span(&wire), pace, repair);
	smtp_buf_release(&wire);
	need(one.messages == many.messages);
	if (one.messages == 1) {
		need(smtp_span_equal(smtp_buf_span(&one.content), smtp_buf_span(&many.content)));
		check_relayed(smtp_buf_span(&one.content));
	}
	smtp_buf_release(&one.content);
	smtp_buf_release(&many.content);
}

static void check_argument(struct smtp_span input)
{
	struct smtp_chunk chunk;
	int err = smtp_chunk_parse(&chunk, input);

	need(err == 0 || err == SMTP_EPROTO || err == SMTP_ESYNTAX);
	need(err == 0 || !chunk.last);
	need(err == SMTP_EPROTO || (input.n > 0 && input.p[0] >= '0' && input.p[0] <= '9'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_span input = { data, size };
	uint8_t pace = take_choice(&input);
	uint8_t chunks = take_choice(&input);

	if (input.n > INPUT_MAX)
		return 0;
	check_argument(input);
	for (int repair = 0; repair < 2; repair++) {
		check_decoder(input, pace, repair == 1);
		check_end_of_data(input, pace, repair == 1);
		check_session(input, chunks, pace, repair == 1);
	}
	return 0;
}
