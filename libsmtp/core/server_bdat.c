/* SPDX-License-Identifier: ISC */
/* server_bdat.c - BDAT (RFC 3030): chunks of a message, and those that are refused. Octets of a chunk
 * follow its command whatever is said to it, so a refused one is read off before the reply, and the
 * session stays in step. What content has to be like is decided in server_content.c.
 */
#include "libsmtp/core/server_session_private.h"
#include "libsmtp/core/syntax.h"

/* --- replies -------------------------------------------------------------------------------- */

static void answer_chunk(struct smtp_server_session *s)
{
	struct smtp_reply reply = smtp_reply_of(250, "2.0.0", "");
	struct smtp_buf text;
	int err;

	smtp_buf_init(&text, 64);
	err = smtp_buf_append_uint(&text, s->content.chunk.head.size);
	if (!err)
		err = smtp_buf_append_text(&text, " octets received");
	reply.text = smtp_buf_span(&text);
	if (err)
		server_session_fail(s, err);
	else
		server_reply_send(s, &reply);
	smtp_buf_release(&text);
}

/* --- a chunk that is not wanted ------------------------------------------------------------- */

static void enter_chunk(struct smtp_server_session *s)
{
	server_session_set_state(s, SERVER_CHUNK);
	s->content.octet_ms = s->now_ms;
	if (s->content.chunk.left == 0)
		server_chunk_end(s);
}

/* What is said to it is held in content.refusal. */
static void skip_chunk(struct smtp_server_session *s)
{
	struct smtp_reply refusal = server_content_refusal(s);

	s->content.chunk.skipped = true;
	if (s->content.chunk.left > server_content_swallow_left(s))
		server_session_shut(s, SMTP_DISCONNECT_PROTOCOL, &refusal);
	else
		enter_chunk(s);
}

/* The command had no business here; the transaction, if there is one, is not concerned. */
static void refuse_command(struct smtp_server_session *s, const struct smtp_reply *reply, bool fault)
{
	s->content.chunk.fault = fault;
	s->content.refused = true;
	server_hold_reply(&s->content.refusal, reply);
	skip_chunk(s);
}

/* The message can't be had any more: all its later chunks get the same reply. */
static void refuse_message(struct smtp_server_session *s, const struct smtp_reply *reply, bool fault)
{
	s->content.chunk.back = SERVER_BDAT;
	s->content.chunk.fault = fault;
	server_content_refuse(s, reply);
	skip_chunk(s);
}

static void end_refused(struct smtp_server_session *s)
{
	struct smtp_reply refusal = server_content_refusal(s);
	enum server_state back = s->content.chunk.back;
	bool fault = s->content.chunk.fault;

	if (s->content.close_after || refusal.code == 421 ||
	    (back == SERVER_BDAT && s->content.chunk.head.last)) {
		server_content_finish(s);
	} else {
		server_session_set_state(s, back);
		server_reply_send(s, &refusal);
		if (back != SERVER_BDAT)
			server_content_release(s);
		else if (!s->content.refusal.code && s->state == SERVER_BDAT) /* not closed by then */
			server_hold_reply(&s->content.refusal, &refusal);
	}
	if (fault)
		server_error_count(s);
}

/* --- the end of a chunk --------------------------------------------------------------------- */

/* All octets of the message have come; what the decoder still owes goes to the handlers first. */
static void end_last(struct smtp_server_session *s)
{
	struct smtp_span tail = { NULL, 0 };

	if (!s->content.binary)
		tail = smtp_data_decoder_finish(&s->content.decoder);
	if (tail.n > 0 || server_content_is_unacceptable(s))
		server_content_run(s, tail);
	else
		server_content_finish(s);
}

void server_chunk_end(struct smtp_server_session *s)
{
	s->wait_since_ms = s->now_ms;
	if (s->content.refused) {
		end_refused(s);
	} else if (s->content.chunk.head.last) {
		end_last(s);
	} else {
		server_session_set_state(s, SERVER_BDAT);
		answer_chunk(s);
	}
}

size_t server_chunk_take(struct smtp_server_session *s, struct smtp_span input)
{
	struct server_content *c = &s->content;
	size_t most = c->chunk.left < SERVER_CONTENT_RUN_MAX ? (size_t)c->chunk.left :
							       SERVER_CONTENT_RUN_MAX;
	struct smtp_span piece = smtp_span_slice(input, 0, most);
	struct smtp_span run = c->chunk.skipped ? smtp_span_make(NULL, 0) : piece;
	size_t used = piece.n;

	if (c->chunk.skipped || c->binary)
		c->decoder.octets += used;
	else
		(void)smtp_data_decoder_feed(&c->decoder, piece, &used, &run);
	c->chunk.left -= used;
	c->ended = c->chunk.left == 0;
	server_content_run(s, run);
	return used;
}

/* --- the command ---------------------------------------------------------------------------- */

void server_bdat_proceed(struct smtp_server_session *s, bool accepted,
			 const struct smtp_reply *given)
{
	if (accepted)
		enter_chunk(s);
	else
		refuse_message(s, given, false);
}

static bool is_too_large(const struct smtp_server_session *s)
{
	uint64_t max = s->options.max_message_bytes;
	const struct server_content *c = &s->content;

	if (c->received > UINT64_MAX - c->chunk.head.size)
		return true;
	return max > 0 && c->received + c->chunk.head.size > max;
}

static void begin_chunk(struct smtp_server_session *s)
{
	struct smtp_reply large = smtp_reply_of(552, "5.3.4", "the message is larger than allowed");
	bool first = s->state == SERVER_RCPT;

	if (s->content.refused) {
		skip_chunk(s);
		return;
	}
	if (is_too_large(s)) {
		refuse_message(s, &large, false);
		return;
	}
	s->content.received += s->content.chunk.head.size;
	s->content.chunk.back = SERVER_BDAT;
	if (first)
		server_phase_begin(s, SERVER_PHASE_BDAT);
	else
		enter_chunk(s);
}

/* Not an error with recipients that were all refused: a pipelining client can't know. */
static void refuse_without_recipients(struct smtp_server_session *s)
{
	struct smtp_reply refused = smtp_reply_of(554, "5.5.1", "no valid recipients");
	struct smtp_reply none = smtp_reply_of(503, "5.5.1", "send RCPT first");

	if (s->txn.recipient_refused)
		refuse_command(s, &refused, false);
	else
		refuse_command(s, &none, true);
}

static void take_mark_fault(struct smtp_server_session *s)
{
	struct smtp_reply mark = smtp_reply_of(501, "5.5.4", "syntax: BDAT size [LAST]");

	if (s->state == SERVER_RCPT || s->state == SERVER_BDAT)
		refuse_message(s, &mark, true);
	else
		refuse_command(s, &mark, true);
}

void server_bdat_run(struct smtp_server_session *s, struct smtp_span argument,
		     const struct smtp_reply *refusal)
{
	struct smtp_reply lost =
		smtp_reply_of(501, "5.5.4", "the size of the chunk can't be read, closing");
	struct smtp_reply extended = smtp_reply_of(503, "5.5.1", "send EHLO first");
	struct server_chunk chunk = { .back = s->state };
	int err = smtp_chunk_parse(&chunk.head, argument);

	if (err == SMTP_EPROTO) {
		server_session_shut(s, SMTP_DISCONNECT_PROTOCOL, &lost);
		return;
	}
	chunk.left = chunk.head.size;
	if (s->state != SERVER_BDAT)
		server_content_begin(s, true);
	s->content.chunk = chunk;
	s->content.ended = chunk.left == 0;
	if (err && !s->content.refused)
		take_mark_fault(s);
	else if (refusal->code)
		refuse_command(s, refusal, true);
	else if (!s->extended)
		refuse_command(s, &extended, true);
	else if (s->state == SERVER_MAIL)
		refuse_without_recipients(s);
	else
		begin_chunk(s);
}

bool server_bdat_is_lost(struct smtp_server_session *s, struct smtp_span head, const char *text)
{
	struct smtp_reply reply = smtp_reply_of(500, "5.5.2", text);

	if (!(s->options.extensions & SMTP_SERVER_CHUNKING) ||
	    !smtp_span_is_nocase(smtp_span_slice(head, 0, 4), "BDAT") ||
	    (head.n > 4 && smtp_is(head.p[4], SMTP_CC_ALPHA)))
		return false;
	server_session_shut(s, SMTP_DISCONNECT_PROTOCOL, &reply);
	return true;
}
