/* SPDX-License-Identifier: ISC */
/* server_content.c - content on its way in, from 354 to the reply after the end of data: size, line
 * ends, speed, and what the handlers say about it. Content that will not be accepted is read off
 * within a bound, so that the session stays in step.
 */
#include "libsmtp/core/server_session_private.h"

void server_content_begin(struct smtp_server_session *s)
{
	struct server_content *c = &s->content;
	bool repair = s->options.bare_newline == SMTP_BARE_NEWLINE_REPAIR;

	server_session_set_state(s, SERVER_CONTENT);
	server_content_release(s);
	smtp_data_decoder_init(&c->decoder, s->options.max_line_bytes, repair);
	c->started_ms = s->now_ms;
	c->octet_ms = s->now_ms;
}

void server_content_release(struct smtp_server_session *s)
{
	server_held_reply_release(&s->content.refusal);
	s->content = (struct server_content){ .refusal = { .code = 0 } };
	smtp_buf_init(&s->content.refusal.text, SERVER_REPLY_TEXT_MAX);
}

/* --- time ----------------------------------------------------------------------------------- */

/* Silence is bounded, and so is the whole: at the lowest rate allowed, n octets take n / rate
 * seconds, and one silence more is granted. */
uint64_t server_content_deadline(const struct smtp_server_session *s)
{
	const struct server_content *c = &s->content;
	uint64_t silence = s->options.content_timeout_ms;
	uint64_t deadline = silence ? c->octet_ms + silence : UINT64_MAX;
	uint64_t slowest;

	if (s->options.min_content_rate == 0 || c->decoder.octets > UINT64_MAX / 2000)
		return deadline;
	slowest = c->started_ms + (silence ? silence : SERVER_LINGER_MS) +
		  c->decoder.octets * 1000 / s->options.min_content_rate;
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

static bool is_unacceptable(const struct smtp_server_session *s)
{
	return is_oversized(s) || has_bare_newline(s) || s->content.decoder.line_too_long;
}

static void stop_handing_on(struct smtp_server_session *s)
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
	stop_handing_on(s);
}

/* The order is fixed, and does not depend on which fault came first or in which pieces. */
static struct smtp_reply refusal_of(const struct smtp_server_session *s)
{
	if (s->content.refusal.code)
		return server_held_reply_view(&s->content.refusal);
	if (is_oversized(s))
		return smtp_reply_of(552, "5.3.4", "the message is larger than allowed");
	if (has_bare_newline(s))
		return smtp_reply_of(554, "5.6.0", "bare CR or LF in the message");
	return smtp_reply_of(554, "5.6.0", "a line of the message is too long");
}

/* Has more been read off than anybody in good faith would send? */
static bool is_past_swallowing(const struct smtp_server_session *s)
{
	uint64_t max = s->options.max_message_bytes;
	uint64_t from = max ? max : s->content.refused_at;

	return s->content.refused && s->content.decoder.octets > from &&
	       s->content.decoder.octets - from > s->options.max_swallow_bytes;
}

/* --- the end -------------------------------------------------------------------------------- */

static void finish_refused(struct smtp_server_session *s)
{
	enum smtp_disconnect_reason reason = SMTP_DISCONNECT_REFUSED;
	struct smtp_reply refusal = refusal_of(s);
	bool close_after = s->content.close_after || refusal.code == 421;

	if (s->content.close_after)
		reason = s->content.close_reason;
	if (close_after) {
		server_session_shut(s, reason, &refusal);
		return;
	}
	server_reply_send(s, &refusal);
	server_transaction_end(s, false);
}

static void finish(struct smtp_server_session *s)
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
	server_transaction_end(s, accepted);
	server_phase_answer(s, accepted, given, 250, "2.0.0", "message accepted");
}

/* --- the way in ----------------------------------------------------------------------------- */

void server_content_proceed(struct smtp_server_session *s, bool accepted,
			    const struct smtp_reply *given)
{
	if (!accepted)
		server_content_refuse(s, given);
	if (s->content.ended)
		finish(s);
}

static void take_run(struct smtp_server_session *s, struct smtp_span run)
{
	struct smtp_reply refusal;

	if (is_unacceptable(s))
		stop_handing_on(s);
	if (is_past_swallowing(s)) {
		refusal = refusal_of(s);
		server_session_shut(s, SMTP_DISCONNECT_PROTOCOL, &refusal);
	} else if (!s->content.refused && run.n > 0) {
		s->args.span = run;
		server_phase_begin(s, SERVER_PHASE_CONTENT);
	} else if (s->content.ended) {
		finish(s);
	}
}

size_t server_content_take(struct smtp_server_session *s, struct smtp_span input)
{
	struct server_content *c = &s->content;
	struct smtp_span piece = smtp_span_slice(input, 0, SERVER_CONTENT_RUN_MAX);
	struct smtp_span run;
	size_t used;

	c->ended = smtp_data_decoder_feed(&c->decoder, piece, &used, &run) == SMTP_DATA_END;
	take_run(s, run);
	return used;
}
