/* SPDX-License-Identifier: ISC */
/* server_session.c - the server session's life, its input and output, its clock. What
 * the octets mean is decided elsewhere: server_commands.c for lines, server_content.c for content.
 */
#include <stdlib.h>
#include <string.h>

#include <smtp/address.h>

#include "libsmtp/core/middleware.h"
#include "libsmtp/core/server_session_private.h"

/* --- life ----------------------------------------------------------------------------------- */

char *server_text_copy(struct smtp_span text)
{
	char *copy = malloc(text.n + 1);

	if (!copy)
		return NULL;
	if (text.n > 0)
		memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	return copy;
}

static int session_init(struct smtp_server_session *s,
			const struct smtp_server_session_options *options)
{
	struct smtp_span hostname;
	int err = server_options_copy(&s->options, options);

	if (err)
		return err;
	hostname = smtp_span_of(s->options.hostname);
	if (!smtp_domain_is_valid(hostname) && !smtp_address_literal_is_valid(hostname))
		return SMTP_EINVAL;
	s->hostname = server_text_copy(hostname);
	if (!s->hostname)
		return SMTP_ENOMEM;
	s->options.hostname = s->hostname;
	if (s->options.lmtp) /* RFC 2033, 5 */
		s->options.extensions |= SMTP_SERVER_PIPELINING | SMTP_SERVER_ENHANCEDSTATUSCODES;
	err = server_auth_init(s);
	if (err)
		return err;
	s->tls = s->options.tls_active;
	smtp_line_init(&s->line, SMTP_AUTH_LINE_MAX);
	smtp_buf_init(&s->out, SERVER_OUTPUT_MAX);
	smtp_buf_init(&s->run.reply.text, SERVER_REPLY_TEXT_MAX);
	smtp_buf_init(&s->args.held, SERVER_CONTENT_RUN_MAX);
	smtp_buf_init(&s->content.refusal.text, SERVER_REPLY_TEXT_MAX);
	smtp_buf_init(&s->auth.answer.text, SERVER_REPLY_TEXT_MAX);
	smtp_buf_init(&s->closing.reply.text, SERVER_REPLY_TEXT_MAX);
	return 0;
}

int smtp_server_session_new(struct smtp_server_session **out,
			    const struct smtp_server_session_options *options,
			    const struct smtp_server_session_handler *handler, void *user)
{
	struct smtp_server_session *s = calloc(1, sizeof(*s));
	struct smtp_middleware last = smtp_middleware_of(NULL, handler, user);
	int err;

	if (!s)
		return SMTP_ENOMEM;
	err = session_init(s, options);
	if (!err && handler)
		err = smtp_server_session_use(s, &last);
	if (err) {
		smtp_server_session_free(s);
		return err;
	}
	*out = s;
	return 0;
}

int smtp_server_session_use(struct smtp_server_session *s,
			    const struct smtp_middleware *middleware)
{
	struct smtp_middleware m;
	struct server_handler *grown;

	if (smtp_middleware_copy(&m, middleware) != 0)
		return SMTP_EINVAL;
	if (s->state != SERVER_NEW)
		return SMTP_ESTATE;
	if (s->handler_count == SERVER_HANDLERS_MAX)
		return SMTP_ETOOLONG;
	grown = realloc(s->handlers, (s->handler_count + 1) * sizeof(*grown));
	if (!grown)
		return SMTP_ENOMEM;
	s->handlers = grown;
	s->handlers[s->handler_count++] = (struct server_handler){
		.functions = m.handler,
		.user = m.user,
		.blocking = m.blocking,
	};
	return 0;
}

void server_session_set_state(struct smtp_server_session *s, enum server_state next)
{
	enum { FROM_ANY_BUT_CLOSED = (1 << SERVER_CLOSED) - 1 };
	static const unsigned may_follow[SERVER_STATES] = { /* the states before it */
		[SERVER_CONNECT] = 1 << SERVER_NEW | 1 << SERVER_GREETED | 1 << SERVER_READY,
		[SERVER_GREETED] = 1 << SERVER_CONNECT | 1 << SERVER_TLS | 1 << SERVER_CHUNK,
		[SERVER_READY] = 1 << SERVER_GREETED | 1 << SERVER_MAIL | 1 << SERVER_RCPT |
				 1 << SERVER_AUTH | 1 << SERVER_CONTENT | 1 << SERVER_BDAT |
				 1 << SERVER_CHUNK,
		[SERVER_MAIL] = 1 << SERVER_READY | 1 << SERVER_CHUNK,
		[SERVER_RCPT] = 1 << SERVER_MAIL | 1 << SERVER_CHUNK,
		[SERVER_AUTH] = 1 << SERVER_READY,
		[SERVER_CONTENT] = 1 << SERVER_RCPT,
		[SERVER_BDAT] = 1 << SERVER_CHUNK,
		[SERVER_CHUNK] = 1 << SERVER_GREETED | 1 << SERVER_READY | 1 << SERVER_MAIL |
				 1 << SERVER_RCPT | 1 << SERVER_BDAT,
		[SERVER_TLS] = 1 << SERVER_READY | 1 << SERVER_MAIL | 1 << SERVER_RCPT,
		[SERVER_CLOSED] = FROM_ANY_BUT_CLOSED,
	};

	if (s->state == next || s->state == SERVER_CLOSED)
		return;
	if (may_follow[next] & 1u << s->state)
		s->state = next;
	else
		server_session_fail(s, SMTP_ESTATE);
}

/* The peer may act from now on, so its time begins anew. */
static void release(struct smtp_server_session *s)
{
	if (s->hold_until_ms == 0)
		return;
	s->hold_until_ms = 0;
	s->wait_since_ms = s->now_ms;
}

static bool is_held(const struct smtp_server_session *s)
{
	return s->hold_until_ms != 0;
}

/* Nobody is made to wait who is leaving, or has to. */
void server_session_hold(struct smtp_server_session *s, uint32_t delay_ms)
{
	if (delay_ms > 0 && !s->eof && !s->closing.wanted)
		s->hold_until_ms = s->now_ms + delay_ms;
}

void server_session_shut(struct smtp_server_session *s, enum smtp_disconnect_reason reason,
			 const struct smtp_reply *reply)
{
	bool began = s->state != SERVER_NEW;

	if (reply && (s->state == SERVER_NEW || s->state == SERVER_CONNECT))
		server_reply_send_plain(s, reply);
	else if (reply)
		server_reply_send(s, reply);
	if (s->state == SERVER_CLOSED)
		return;
	server_session_set_state(s, SERVER_CLOSED);
	s->wait_since_ms = s->now_ms;
	server_phase_abandon(s);
	server_auth_wipe(s);
	smtp_line_wipe(&s->line);
	server_content_release(s);
	server_transaction_forget(s);
	server_held_reply_release(&s->closing.reply);
	if (began)
		server_hooks_disconnect(s, reason);
}

void server_session_fail(struct smtp_server_session *s, int error)
{
	if (!s->error)
		s->error = error;
	server_session_shut(s, SMTP_DISCONNECT_IO, NULL);
}

void server_session_forget_client(struct smtp_server_session *s)
{
	free(s->helo_name);
	s->helo_name = NULL;
	free(s->account);
	s->account = NULL;
	s->extended = false;
	server_transaction_end(s, false);
}

void smtp_server_session_free(struct smtp_server_session *s)
{
	if (!s)
		return;
	server_session_shut(s, s->closing.wanted ? s->closing.reason : SMTP_DISCONNECT_IO, NULL);
	free(s->hostname);
	free(s->helo_name);
	free(s->account);
	free(s->tls_description);
	free(s->peer_name);
	server_xclient_release(s);
	server_auth_release(s);
	free(s->handlers);
	smtp_line_release(&s->line);
	smtp_buf_release(&s->out);
	free(s);
}

/* --- closing -------------------------------------------------------------------------------- */

static void hold_closing(struct smtp_server_session *s, enum smtp_disconnect_reason reason,
			 const struct smtp_reply *reply)
{
	if (s->closing.wanted)
		return;
	s->closing.wanted = true;
	s->closing.reason = reason;
	if (reply)
		server_hold_reply(&s->closing.reply, reply);
}

/* In content the client hears nothing before its end: the reply has to wait until then. */
static void run_closing(struct smtp_server_session *s)
{
	struct smtp_reply reply = server_held_reply_view(&s->closing.reply);

	if ((s->state == SERVER_CONTENT || s->state == SERVER_CHUNK) && reply.code) {
		s->content.close_after = true;
		s->content.close_reason = s->closing.reason;
		server_content_refuse(s, &reply);
	} else if (s->state == SERVER_TLS || !reply.code) {
		server_session_shut(s, s->closing.reason, NULL);
	} else {
		server_session_shut(s, s->closing.reason, &reply);
	}
}

/* What had to wait until no handler is asked. Ends each call that lets time or octets in. */
static void settle(struct smtp_server_session *s)
{
	struct smtp_reply lost = smtp_reply_of(451, "4.3.0", "the chunk is not complete");

	if (s->run.waiting || s->run.calling || s->in_hook || s->state == SERVER_CLOSED)
		return;
	if (s->closing.wanted && !s->content.close_after)
		run_closing(s);
	if (s->eof && s->state != SERVER_CLOSED)
		server_session_shut(s, SMTP_DISCONNECT_PEER_CLOSED,
				    s->state == SERVER_CHUNK ? &lost : NULL);
}

void smtp_server_session_close(struct smtp_server_session *s, enum smtp_disconnect_reason reason,
			       const struct smtp_reply *reply)
{
	release(s); /* the last reply may be what is held back */
	if (s->state == SERVER_CLOSED)
		return;
	hold_closing(s, reason, reply);
	settle(s);
}

void smtp_server_session_peer_closed(struct smtp_server_session *s)
{
	s->eof = true;
	release(s);
	settle(s);
}

/* --- input ---------------------------------------------------------------------------------- */

static bool is_busy(const struct smtp_server_session *s)
{
	return s->run.calling || s->in_hook;
}

static bool takes_input(const struct smtp_server_session *s)
{
	return !s->run.waiting && !is_held(s) && s->out.n < SERVER_OUTPUT_PAUSE && s->state != SERVER_NEW &&
	       s->state != SERVER_CONNECT && s->state != SERVER_TLS && s->state != SERVER_CLOSED;
}

/* Only AUTH may send lines of that length; which one it is shows in the first octets. */
static void bound_line(struct smtp_server_session *s, struct smtp_span input)
{
	struct smtp_span head;

	for (size_t i = 0; i < input.n && s->line_head_n < sizeof(s->line_head); i++)
		s->line_head[s->line_head_n++] = input.p[i];
	head = smtp_span_make(s->line_head, s->line_head_n);
	s->line.max = s->state == SERVER_AUTH || smtp_span_is_nocase(head, "AUTH ") ?
			      SMTP_AUTH_LINE_MAX :
			      SMTP_COMMAND_LINE_MAX_EXTENDED;
	s->line.buf.max = s->line.max;
}

static void run_line(struct smtp_server_session *s, struct smtp_span line)
{
	if (s->state == SERVER_AUTH)
		server_auth_line(s, line);
	else
		server_command_run(s, line);
}

static size_t take_line(struct smtp_server_session *s, struct smtp_span input)
{
	struct smtp_span line;
	size_t used = 0;
	enum smtp_line_result result;

	bound_line(s, input);
	result = smtp_line_feed(&s->line, input, &used, &line);
	if (result == SMTP_LINE_MORE)
		return used;
	s->wait_since_ms = s->now_ms;
	if (result == SMTP_LINE_READY)
		run_line(s, line);
	else if (result == SMTP_LINE_ENOMEM)
		server_session_fail(s, SMTP_ENOMEM);
	else if (s->state == SERVER_AUTH)
		server_auth_line_too_long(s);
	else
		server_command_too_long(s);
	s->line_head_n = 0;
	/* gives memory back while the session is idle, and may hold a password */
	smtp_line_wipe(&s->line);
	return used;
}

static size_t take_some(struct smtp_server_session *s, struct smtp_span input)
{
	size_t used;

	if (s->state != SERVER_CONTENT && s->state != SERVER_CHUNK)
		return take_line(s, input);
	used = s->state == SERVER_CHUNK ? server_chunk_take(s, input) :
					  server_content_take(s, input);
	if (used > 0)
		s->content.octet_ms = s->now_ms;
	return used;
}

/* Time went by: perhaps while the session waited for others than the client, perhaps enough to let go
 * what is held back. */
static void set_now(struct smtp_server_session *s, uint64_t now_ms)
{
	if (s->run.waiting && !s->rearm)
		return; /* so that now_ms is when the waiting began */
	if (s->rearm) {
		s->content.started_ms += now_ms - s->now_ms;
		s->content.octet_ms = now_ms;
		s->wait_since_ms = now_ms;
		if (is_held(s))
			s->hold_until_ms += now_ms - s->now_ms;
		s->rearm = false;
	}
	s->now_ms = now_ms;
	if (now_ms >= s->hold_until_ms)
		release(s);
}

/* A verdict has come, and with it the time. */
static void take_time(struct smtp_server_session *s, uint64_t now_ms)
{
	s->rearm = true;
	set_now(s, now_ms);
	settle(s);
}

int smtp_server_session_feed(struct smtp_server_session *s, const void *octets, size_t n,
			     uint64_t now_ms, size_t *taken)
{
	struct smtp_span input = smtp_span_make(octets, n);

	*taken = 0;
	if (s->error)
		return s->error;
	if (s->state == SERVER_NEW || is_busy(s))
		return SMTP_ESTATE;
	set_now(s, now_ms);
	while (*taken < n && takes_input(s)) {
		*taken += take_some(s, smtp_span_slice(input, *taken, n - *taken));
		settle(s);
	}
	if (s->state == SERVER_TLS && *taken < n) {
		/* sent before the handshake, so anybody may have put it there */
		*taken = n;
		s->error = SMTP_EPROTO;
		server_session_shut(s, SMTP_DISCONNECT_PROTOCOL, NULL);
	}
	return s->error;
}

int smtp_server_session_start(struct smtp_server_session *s, uint64_t now_ms)
{
	if (s->state != SERVER_NEW)
		return SMTP_ESTATE;
	s->now_ms = now_ms;
	s->wait_since_ms = now_ms;
	server_xclient_init(s);
	server_session_set_state(s, SERVER_CONNECT);
	server_phase_begin(s, SERVER_PHASE_CONNECT);
	settle(s);
	return s->error;
}

int smtp_server_session_reply(struct smtp_server_session *s, const struct smtp_reply *reply)
{
	bool calling = s->run.calling;
	int err;

	if (s->in_hook || (!calling && (!s->run.waiting || s->run.call != SERVER_CALL_NONE)))
		return SMTP_ESTATE;
	err = server_phase_reply(s, reply);
	if (err || calling)
		return err;
	s->rearm = true;
	settle(s);
	return 0;
}

int smtp_server_session_call(struct smtp_server_session *s)
{
	if (s->run.call != SERVER_CALL_DUE || is_busy(s))
		return SMTP_ESTATE;
	server_phase_call(s);
	return 0;
}

int smtp_server_session_called(struct smtp_server_session *s, uint64_t now_ms)
{
	if (s->run.call != SERVER_CALL_MADE || is_busy(s))
		return SMTP_ESTATE;
	server_phase_called(s);
	take_time(s, now_ms);
	return 0;
}

int smtp_server_session_tls_started(struct smtp_server_session *s, const char *description)
{
	struct smtp_span text = smtp_span_of(description);
	char *copy;

	if ((s->state != SERVER_TLS && s->state != SERVER_NEW) || is_busy(s))
		return SMTP_ESTATE;
	copy = server_text_copy(smtp_span_slice(text, 0, SERVER_TLS_DESCRIPTION_MAX));
	if (!copy)
		return SMTP_ENOMEM;
	free(s->tls_description);
	s->tls_description = copy;
	s->tls = true;
	if (s->state == SERVER_NEW)
		return 0;
	server_session_forget_client(s);
	server_session_set_state(s, SERVER_GREETED);
	s->rearm = true;
	settle(s);
	return s->error;
}

/* --- output --------------------------------------------------------------------------------- */

unsigned smtp_server_session_wants(const struct smtp_server_session *s)
{
	unsigned write = s->out.n > 0 ? SMTP_WANTS_WRITE : 0;

	if (is_held(s))
		return 0;
	if (s->state == SERVER_CLOSED)
		return write | SMTP_WANTS_CLOSE;
	if (s->run.call == SERVER_CALL_DUE)
		return write | SMTP_WANTS_CALL;
	if (s->run.waiting)
		return write | SMTP_WANTS_VERDICT;
	if (s->state == SERVER_TLS)
		return write ? write : SMTP_WANTS_TLS;
	return write | (takes_input(s) ? SMTP_WANTS_READ : 0);
}

struct smtp_span smtp_server_session_output(const struct smtp_server_session *s)
{
	return is_held(s) ? smtp_span_make(NULL, 0) : smtp_buf_span(&s->out);
}

void smtp_server_session_sent(struct smtp_server_session *s, size_t n)
{
	smtp_buf_drop(&s->out, n);
	if (s->out.n == 0)
		smtp_buf_release(&s->out);
}

/* --- time ----------------------------------------------------------------------------------- */

static uint64_t after(uint64_t since_ms, uint32_t timeout_ms)
{
	return timeout_ms ? since_ms + timeout_ms : UINT64_MAX;
}

uint64_t smtp_server_session_deadline(const struct smtp_server_session *s)
{
	uint64_t deadline, slowest;

	if (is_held(s))
		return s->rearm ? s->now_ms : s->hold_until_ms;
	if (s->state == SERVER_CLOSED)
		return s->out.n > 0 ? after(s->wait_since_ms, SERVER_LINGER_MS) : UINT64_MAX;
	if (s->state == SERVER_NEW || s->run.call != SERVER_CALL_NONE)
		return UINT64_MAX;
	if (s->rearm)
		return s->now_ms;
	if (s->run.waiting)
		return after(s->now_ms, s->options.verdict_timeout_ms);
	if (s->state == SERVER_CONTENT || s->state == SERVER_CHUNK)
		return server_content_deadline(s);
	deadline = after(s->wait_since_ms, s->options.command_timeout_ms);
	slowest = s->state == SERVER_BDAT ? server_content_slowest(s) : UINT64_MAX;
	return slowest < deadline ? slowest : deadline;
}

void smtp_server_session_tick(struct smtp_server_session *s, uint64_t now_ms)
{
	struct smtp_reply reply = smtp_reply_of(421, "4.4.2", "timed out, closing");

	if (is_busy(s))
		return;
	set_now(s, now_ms);
	if (now_ms < smtp_server_session_deadline(s))
		return;
	if (s->run.waiting) {
		server_phase_overdue(s);
		take_time(s, now_ms);
		return;
	}
	if (s->state == SERVER_CLOSED)
		smtp_buf_release(&s->out); /* the peer does not read it */
	else
		server_session_shut(s, SMTP_DISCONNECT_TIMEOUT,
				    s->state == SERVER_TLS ? NULL : &reply);
}
