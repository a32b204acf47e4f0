/* SPDX-License-Identifier: ISC */
/* server_content.c - content on its way in, from 354 to the reply after the end of data: size, line
 * ends, speed, and what the handlers say about it. Content that will not be accepted is read off
 * within a bound, so that the session stays in step.
 */
#include "libsmtp/core/server_session_private.h"

void server_content_begin(struct smtp_server_session *s, bool chunked)
{
	struct server_content *c = &s->content;
	bool repair = s->options.bare_newline == SMTP_BARE_NEWLINE_REPAIR;

	server_content_release(s);
	if (chunked)
		smtp_data_decoder_init_chunked(&c->decoder, s->options.max_line_bytes, repair);
	else
		smtp_data_decoder_init(&c->decoder, s->options.max_line_bytes, repair);
	c->chunked = chunked;
	c->binary = s->txn.binary;
	c->results.recipients = s->txn.recipients;
	c->started_ms = s->now_ms;
	c->octet_ms = s->now_ms;
}

void server_content_release(struct smtp_server_session *s)
{
	server_held_reply_release(&s->content.refusal);
	server_results_clear(&s->content.results);
	s->content = (struct server_content){ .refusal = { .code = 0 } };
	smtp_buf_init(&s->content.refusal.text, SERVER_REPLY_TEXT_MAX);
}

/* --- time ----------------------------------------------------------------------------------- */

/* Silence is bounded, and so is the whole: at the lowest rate allowed, n octets take n / rate
 * seconds, and one silence more is granted. */
uint64_t server_content_slowest(const struct smtp_server_session *s)
{
	const struct server_content *c = &s->content;
	uint64_t silence = s->options.content_timeout_ms;

	if (s->options.min_content_rate == 0 || c->decoder.octets > UINT64_MAX / 2000)
		return UINT64_MAX;
	return c->started_ms + (silence ? silence : SERVER_LINGER_MS) +
	       c->decoder.octets * 1000 / s->options.min_content_rate;
}

uint64_t server_content_deadline(const struct smtp_server_session *s)
{
	uint64_t silence = s->options.content_timeout_ms;
	uint64_t deadline = silence ? s->content.octet_ms + silence : UINT64_MAX;
	uint64_t slowest = server_content_slowest(s);

	return slowest < deadline ? slowest : deadline;
}

/* --- refusal -------------------------------------------------------------------------------- */

static bool is_oversized(const struct smtp_server_session *s)
{
	uint64_t max = s->options.max_message_bytes;

	return max > 0 && s->content.decoder.octets > max;
}

static bool has_bare_newline(const struct smtp_server_session *s)
{
	return s->content.decoder.bare_newline &&
	       s->options.bare_newline == SMTP_BARE_NEWLINE_REFUSE;
}

bool server_content_is_unacceptable(const struct smtp_server_session *s)
{
	return is_oversized(s) || has_bare_newline(s) || s->content.decoder.line_too_long;
}

void server_content_stop(struct smtp_server_session *s)
{
	if (s->content.refused)
		return;
	s->content.refused = true;
	s->content.refused_at = s->content.decoder.octets;
	server_transaction_forget(s);
}

void server_content_refuse(struct smtp_server_session *s, const struct smtp_reply *reply)
{
	server_hold_reply(&s->content.refusal, reply);
	server_content_stop(s);
}

/* The order is fixed, and does not depend on which fault came first or in which pieces. */
struct smtp_reply server_content_refusal(const struct smtp_server_session *s)
{
	if (s->content.refusal.code)
		return server_held_reply_view(&s->content.refusal);
	if (is_oversized(s))
		return smtp_reply_of(552, "5.3.4", "the message is larger than allowed");
	if (has_bare_newline(s))
		return smtp_reply_of(554, "5.6.0", "bare CR or LF in the message");
	return smtp_reply_of(554, "5.6.0", "a line of the message is too long");
}

/* Octets from which on reading off is counted. */
static uint64_t swallow_begin(const struct smtp_server_session *s)
{
	uint64_t max = s->options.max_message_bytes;

	if (max > 0)
		return max;
	return s->content.refused ? s->content.refused_at : s->content.decoder.octets;
}

/* Has more been read off than anybody in good faith would send? */
static bool is_past_swallowing(const struct smtp_server_session *s)
{
	uint64_t from = swallow_begin(s);

	return s->content.refused && s->content.decoder.octets > from &&
	       s->content.decoder.octets - from > s->options.max_swallow_bytes;
}

uint64_t server_content_swallow_left(const struct smtp_server_session *s)
{
	uint64_t from = swallow_begin(s), more = s->options.max_swallow_bytes;
	uint64_t bound = more > UINT64_MAX - from ? UINT64_MAX : from + more;
	uint64_t octets = s->content.decoder.octets;

	return bound > octets ? bound - octets : 0;
}

/* --- the end -------------------------------------------------------------------------------- */

static struct server_results take_results(struct smtp_server_session *s)
{
	struct server_results results = s->content.results;

	s->content.results = (struct server_results){ 0, NULL };
	return results;
}

static void finish_refused(struct smtp_server_session *s)
{
	struct server_results results = take_results(s);
	struct smtp_reply refusal = server_content_refusal(s);
	bool close_after = s->content.close_after || refusal.code == 421;
	enum smtp_disconnect_reason reason =
		s->content.close_after ? s->content.close_reason : SMTP_DISCONNECT_REFUSED;

	server_results_answer(s, &results, &refusal);
	if (close_after)
		server_session_shut(s, reason, NULL);
	server_transaction_end(s, false);
}

void server_content_finish(struct smtp_server_session *s)
{
	if (s->content.refused) {
		finish_refused(s);
		return;
	}
	s->args.span = smtp_span_make(NULL, 0);
	server_phase_begin(s, SERVER_PHASE_END);
}

void server_end_proceed(struct smtp_server_session *s, bool accepted,
			const struct smtp_reply *given)
{
	struct smtp_reply usual = smtp_reply_of(250, "2.0.0", "message accepted");
	struct server_results results = take_results(s);

	if (!accepted)
		server_results_clear(&results);
	server_transaction_end(s, accepted);
	server_results_answer(s, &results, given ? given : &usual);
	if (!accepted && given->code == 421)
		server_session_shut(s, SMTP_DISCONNECT_REFUSED, NULL);
}

/* --- the way in ----------------------------------------------------------------------------- */

static void finish_part(struct smtp_server_session *s)
{
	if (s->content.chunked)
		server_chunk_end(s);
	else
		server_content_finish(s);
}

void server_content_proceed(struct smtp_server_session *s, bool accepted,
			    const struct smtp_reply *given)
{
	if (!accepted)
		server_content_refuse(s, given);
	if (s->content.ended)
		finish_part(s);
}

void server_content_run(struct smtp_server_session *s, struct smtp_span run)
{
	struct smtp_reply refusal;

	if (server_content_is_unacceptable(s))
		server_content_stop(s);
	if (is_past_swallowing(s)) {
		refusal = server_content_refusal(s);
		server_session_shut(s, SMTP_DISCONNECT_PROTOCOL, &refusal);
	} else if (!s->content.refused && run.n > 0) {
		s->args.span = run;
		server_phase_begin(s, SERVER_PHASE_CONTENT);
	} else if (s->content.ended) {
		finish_part(s);
	}
}

size_t server_content_take(struct smtp_server_session *s, struct smtp_span input)
{
	struct server_content *c = &s->content;
	struct smtp_span piece = smtp_span_slice(input, 0, SERVER_CONTENT_RUN_MAX);
	struct smtp_span run;
	size_t used;

	c->ended = smtp_data_decoder_feed(&c->decoder, piece, &used, &run) == SMTP_DATA_END;
	server_content_run(s, run);
	return used;
}
