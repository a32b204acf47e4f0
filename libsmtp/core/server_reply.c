/* SPDX-License-Identifier: ISC */
/* server_reply.c - replies of the server session on their way out: enhanced codes (RFC 2034), the
 * count of protocol errors and the delay it brings, replies kept for later, and the trace of what
 * goes over the wire.
 */
#include "libsmtp/core/server_session_private.h"

/* --- trace ---------------------------------------------------------------------------------- */

void server_trace(struct smtp_server_session *s, bool from_client, struct smtp_span line)
{
	size_t member = offsetof(struct smtp_server_session_handler, trace);

	if (s->in_hook)
		return;
	s->in_hook = true;
	for (size_t i = 0; i < s->handler_count; i++) {
		const struct server_handler *h = &s->handlers[i];
		size_t current = s->current;

		if (!server_handler_has(h->functions, member))
			continue;
		s->current = i;
		h->functions->trace(s, from_client, line, h->user);
		s->current = current;
	}
	s->in_hook = false;
}

static void trace_lines(struct smtp_server_session *s, struct smtp_span text)
{
	size_t start = 0;

	for (size_t i = 0; i + 1 < text.n; i++) {
		if (text.p[i] != '\r' || text.p[i + 1] != '\n')
			continue;
		server_trace(s, false, smtp_span_slice(text, start, i - start));
		start = i + 2;
	}
}

/* --- sending -------------------------------------------------------------------------------- */

/* Octets that the wire text of a reply takes at most: each line has up to 17 before its text and
 * CRLF behind it, and none that was wrapped is shorter than 200. */
static size_t room_for(struct smtp_span text)
{
	size_t lines = 1 + text.n / 200;

	for (size_t i = 0; i < text.n; i++)
		lines += text.p[i] == '\n';
	return text.n + lines * 20;
}

static struct smtp_span bounded_text(struct smtp_span text)
{
	size_t lines = 1;

	text = smtp_span_slice(text, 0, SERVER_REPLY_TEXT_MAX);
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] == '\n' && ++lines > SERVER_REPLY_LINES_MAX)
			return smtp_span_slice(text, 0, i);
	return text;
}

static void send_formatted(struct smtp_server_session *s, const struct smtp_reply *reply,
			   bool with_enhanced)
{
	struct smtp_reply bounded = *reply;
	size_t start = s->out.n;
	size_t room, n;
	int err;

	if (s->state == SERVER_CLOSED)
		return;
	bounded.text = bounded_text(reply->text);
	room = room_for(bounded.text);
	err = smtp_buf_reserve(&s->out, room);
	n = err ? 0 : smtp_reply_format(&bounded, with_enhanced, (char *)s->out.p + start, room);
	if (n == 0) {
		server_session_fail(s, err ? err : SMTP_ETOOLONG);
		return;
	}
	s->out.n = start + n;
	trace_lines(s, smtp_span_slice(smtp_buf_span(&s->out), start, n));
}

void server_reply_send_plain(struct smtp_server_session *s, const struct smtp_reply *reply)
{
	send_formatted(s, reply, false);
}

/* RFC 2034: on every 2yz, 4yz and 5yz, of the class of the code. A client that said HELO has not
 * been told of them. */
void server_reply_send(struct smtp_server_session *s, const struct smtp_reply *reply)
{
	struct smtp_reply complete = *reply;
	bool with = (s->options.extensions & SMTP_SERVER_ENHANCEDSTATUSCODES) != 0 &&
		    (s->extended || !s->helo_name) && reply->code / 100 != 3;

	complete.enhanced.class_ = (uint8_t)(reply->code / 100);
	send_formatted(s, &complete, with);
}

void server_reply(struct smtp_server_session *s, unsigned code, const char *enhanced,
		  const char *text)
{
	struct smtp_reply reply = smtp_reply_of(code, enhanced, text);

	server_reply_send(s, &reply);
}

/* The first costs nothing: people mistype, and clients try what a server may not have. */
void server_error_delay(struct smtp_server_session *s, uint32_t nth)
{
	static const uint32_t delays_ms[] = { 0, 100, 250, 500, 1000, 2000, 5000 };
	uint32_t last = sizeof(delays_ms) / sizeof(*delays_ms) - 1;
	uint32_t delay_ms = delays_ms[nth <= last ? nth - 1 : last];
	uint32_t max_ms = s->options.error_delay_max_ms;

	server_session_hold(s, delay_ms < max_ms ? delay_ms : max_ms);
}

void server_error_count(struct smtp_server_session *s)
{
	struct smtp_reply bye = smtp_reply_of(421, "4.7.0", "too many errors, closing");

	if (s->state == SERVER_CLOSED)
		return;
	if (++s->errors >= s->options.max_errors)
		server_session_shut(s, SMTP_DISCONNECT_ERRORS, &bye);
	server_error_delay(s, s->errors);
}

void server_reply_error(struct smtp_server_session *s, unsigned code, const char *enhanced,
			const char *text)
{
	server_reply(s, code, enhanced, text);
	server_error_count(s);
}

/* --- replies kept for later ----------------------------------------------------------------- */

/* A verdict must not get lost because memory is short: then it goes without its text. */
void server_hold_reply(struct server_held_reply *held, const struct smtp_reply *reply)
{
	struct smtp_span text = smtp_span_slice(reply->text, 0, SERVER_REPLY_TEXT_MAX);

	held->code = reply->code;
	held->enhanced = reply->enhanced;
	smtp_buf_clear(&held->text);
	if (smtp_buf_append_span(&held->text, text) != 0)
		smtp_buf_clear(&held->text);
}

struct smtp_reply server_held_reply_view(const struct server_held_reply *held)
{
	return (struct smtp_reply){ held->code, held->enhanced, smtp_buf_span(&held->text) };
}

void server_held_reply_release(struct server_held_reply *held)
{
	held->code = 0;
	held->enhanced = (struct smtp_enhanced_code){ 0, 0, 0 };
	smtp_buf_release(&held->text);
}
