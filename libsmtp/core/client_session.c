/* SPDX-License-Identifier: ISC */
/* client_session.c - the client end of a session: its life, octets in and out, time, and the loop that
 * moves the two cursors over the steps. What a step says and what its answer means is in
 * client_steps.c, client_transaction.c and client_auth.c.
 */
#include "libsmtp/core/client_session_private.h"

#include <stdlib.h>
#include <string.h>

#include "libsmtp/core/command.h"
#include "libsmtp/core/sized.h"
#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

/* --- life ------------------------------------------------------------------------------------ */

void smtp_client_session_options_init(struct smtp_client_session_options *options)
{
	*options = (struct smtp_client_session_options)SMTP_CLIENT_SESSION_OPTIONS_INIT;
}

static int copy_helo_name(struct smtp_client_session *s, const char *name)
{
	struct smtp_span text = smtp_span_of(name);

	if (!smtp_domain_is_valid(text) && !smtp_address_literal_is_valid(text))
		return SMTP_EINVAL;
	return smtp_span_copy(text, s->helo_name, sizeof(s->helo_name)) ? SMTP_EINVAL : 0;
}

static bool is_empty(const char *text)
{
	return text && *text == '\0';
}

static int check_options(const struct smtp_client_session_options *o)
{
	bool has_proof = o->password || o->token || o->auth_external ||
			 o->mechanism == SMTP_MECHANISM_EXTERNAL;

	if (o->tls > SMTP_CLIENT_TLS_REQUIRED || (o->mechanism && !smtp_mechanism_name(o->mechanism)))
		return SMTP_EINVAL;
	if (is_empty(o->user) || is_empty(o->token) || (o->user && !has_proof))
		return SMTP_EINVAL;
	if (o->crypto && !smtp_crypto_is_complete(o->crypto, false))
		return SMTP_EINVAL;
	return 0;
}

static int session_init(struct smtp_client_session *s,
			const struct smtp_client_session_options *options,
			const struct smtp_client_session_handler *handler, void *user)
{
	int err;

	smtp_client_session_options_init(&s->options);
	smtp_buf_init(&s->out, CLIENT_OUTPUT_MAX);
	smtp_buf_init(&s->command, SMTP_COMMAND_LINE_MAX_EXTENDED);
	smtp_buf_init(&s->ehlo_text, SMTP_REPLY_OCTETS_MAX);
	smtp_reply_parser_init(&s->parser);
	s->user = user;
	if ((err = smtp_sized_copy(&s->options, sizeof(s->options), options, 0)) ||
	    (err = smtp_sized_copy(&s->handler, sizeof(s->handler), handler, 0)) ||
	    (err = check_options(&s->options)) ||
	    (err = copy_helo_name(s, s->options.helo_name)) ||
	    (err = smtp_client_login_init(&s->login, &s->options)))
		return err;
	s->options.helo_name = s->options.user = s->options.password = NULL;
	s->options.token = s->options.authorization_id = NULL;
	return 0;
}

int smtp_client_session_new(struct smtp_client_session **out,
			    const struct smtp_client_session_options *options,
			    const struct smtp_client_session_handler *handler, void *user)
{
	struct smtp_client_session *s;
	int err;

	if (!out || !options || !handler)
		return SMTP_EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return SMTP_ENOMEM;
	err = session_init(s, options, handler, user);
	if (err)
		smtp_client_session_free(s);
	else
		*out = s;
	return err;
}

void smtp_client_session_free(struct smtp_client_session *s)
{
	if (!s)
		return;
	smtp_buf_wipe(&s->out);
	smtp_buf_wipe(&s->command);
	smtp_client_login_wipe(&s->login);
	smtp_client_transaction_release(&s->txn);
	smtp_buf_release(&s->ehlo_text);
	smtp_reply_parser_release(&s->parser);
	free(s);
}

/* --- state ----------------------------------------------------------------------------------- */

bool smtp_client_is_over(const struct smtp_client_session *s)
{
	return s->state == CLIENT_FAILED || s->state == CLIENT_FINISHED;
}

void smtp_client_go_to(struct smtp_client_session *s, enum smtp_client_step step)
{
	s->state = CLIENT_BUSY;
	s->send_at = s->reply_at = (struct client_cursor){ .step = step };
}

void smtp_client_become_idle(struct smtp_client_session *s)
{
	s->state = CLIENT_IDLE;
	s->job = CLIENT_JOB_NONE;
	s->timer_runs = false;
	smtp_buf_wipe(&s->out);
	smtp_buf_wipe(&s->command);
}

/* What the next reply belongs to: the last chunk is the end of data, and with LMTP that has an answer
 * for each accepted recipient. */
static struct client_cursor answered(const struct smtp_client_session *s)
{
	struct client_cursor at = s->reply_at;

	if (at.step == SMTP_STEP_BDAT && s->txn.complete && at.index == s->txn.last_chunk)
		at = (struct client_cursor){ .step = SMTP_STEP_END };
	if (at.step == SMTP_STEP_END && s->options.lmtp && !s->txn.outcome.known)
		at.index = smtp_client_recipient_find(&s->txn, 0, CLIENT_RECIPIENT_ACCEPTED);
	return at;
}

/* Where an error happens, if one happens now. */
static enum smtp_client_step current_step(const struct smtp_client_session *s)
{
	switch (s->state) {
	case CLIENT_NEW:
		return s->options.tls == SMTP_CLIENT_TLS_IMPLICIT && !s->has_tls ?
			       SMTP_STEP_TLS : SMTP_STEP_CONNECT;
	case CLIENT_TLS_WANTED:
		return SMTP_STEP_TLS;
	case CLIENT_IDLE:
		return s->job == CLIENT_JOB_MAIL ? SMTP_STEP_MAIL : SMTP_STEP_COMMAND;
	default:
		return s->txn.sending ? SMTP_STEP_CONTENT : answered(s).step;
	}
}

/* After QUIT nothing is lost any more, whatever happens. */
static bool is_quitting(const struct smtp_client_session *s)
{
	if (s->state == CLIENT_BUSY)
		return s->reply_at.step == SMTP_STEP_QUIT;
	return s->state == CLIENT_IDLE && s->job == CLIENT_JOB_NONE && s->quit_asked;
}

static void forget_work(struct smtp_client_session *s)
{
	smtp_buf_wipe(&s->out);
	smtp_buf_wipe(&s->command);
	smtp_client_login_wipe(&s->login);
	s->outstanding = s->flushed = 0;
}

void smtp_client_finish(struct smtp_client_session *s)
{
	if (smtp_client_is_over(s))
		return;
	s->state = CLIENT_FINISHED;
	forget_work(s);
	if (s->handler.finished)
		s->handler.finished(s, s->user);
}

/* A transaction whose outcome is known already gets it, whatever broke behind it. */
static void end_with(struct smtp_client_session *s, int error, enum smtp_client_step step,
		     const struct smtp_reply *reply)
{
	s->error = error;
	if (s->job == CLIENT_JOB_MAIL && s->txn.outcome.known)
		smtp_client_transaction_report(s);
	smtp_client_transaction_release(&s->txn);
	if (s->handler.failed)
		s->handler.failed(s, error, step, reply, s->user);
}

void smtp_client_end(struct smtp_client_session *s, int error, enum smtp_client_step step,
		     const struct smtp_reply *reply)
{
	if (smtp_client_is_over(s))
		return;
	s->state = CLIENT_FAILED;
	forget_work(s);
	end_with(s, error, step, reply);
}

static void put_quit(struct smtp_client_session *s)
{
	struct smtp_span quit = smtp_span_of("QUIT");

	/* Politeness only: without memory it is left out. */
	if (smtp_client_put(s, &quit, 1, NULL))
		smtp_buf_release(&s->out);
}

void smtp_client_give_up(struct smtp_client_session *s, int error, enum smtp_client_step step,
			 const struct smtp_reply *reply)
{
	if (smtp_client_is_over(s))
		return;
	s->state = CLIENT_FAILED;
	forget_work(s);
	put_quit(s);
	end_with(s, error, step, reply);
}

/* --- output ---------------------------------------------------------------------------------- */

int smtp_client_put(struct smtp_client_session *s, const struct smtp_span *parts, size_t count,
		    const char *shown)
{
	size_t begin = s->out.n;
	struct smtp_span line;
	int err = 0;

	for (size_t i = 0; i < count && !err; i++)
		err = smtp_buf_append_span(&s->out, parts[i]);
	if (!err)
		err = smtp_buf_append_text(&s->out, "\r\n");
	if (err) {
		s->out.n = begin;
		return err;
	}
	s->outstanding++;
	line = smtp_span_slice(smtp_buf_span(&s->out), begin, s->out.n - begin - 2);
	smtp_client_trace_sent(s, shown ? smtp_span_of(shown) : line);
	return 0;
}

static bool has_work(const struct smtp_client_session *s)
{
	return s->state == CLIENT_IDLE && (s->job != CLIENT_JOB_NONE || s->quit_asked);
}

/* May the send cursor move? With nothing outstanding it is level with the reply cursor; it runs ahead
 * only inside a group of pipelined commands, and no further than the output has room. */
static bool may_send(const struct smtp_client_session *s)
{
	bool is_chunk = s->send_at.step == SMTP_STEP_BDAT;

	if (s->state != CLIENT_BUSY || s->out.n >= CLIENT_OUTPUT_FULL)
		return false;
	if (is_chunk && (s->out.n > 0 || s->txn.complete))
		return false;
	if (s->outstanding == 0)
		return true;
	if (!s->options.pipelining || !s->extensions.pipelining || s->txn.outcome.known)
		return false;
	if (s->options.lmtp && s->send_at.step == SMTP_STEP_DATA)
		return false; /* a 354 that nobody will get could not be answered (RFC 2033, 4.2) */
	return is_chunk ? smtp_client_chunk_joins_group(s, s->send_at.index) :
			  smtp_client_step_of(s->send_at.step)->joins_group;
}

static void begin_work(struct smtp_client_session *s)
{
	if (s->job == CLIENT_JOB_MAIL)
		smtp_client_transaction_begin(s);
	else if (s->job == CLIENT_JOB_COMMAND)
		smtp_client_go_to(s, SMTP_STEP_COMMAND);
	else if (s->job == CLIENT_JOB_AUTH)
		smtp_client_auth_on_demand(s);
	else if (s->job == CLIENT_JOB_STARTTLS)
		smtp_client_go_to(s, SMTP_STEP_STARTTLS);
	else
		smtp_client_go_to(s, SMTP_STEP_QUIT);
}

static void send_step(struct smtp_client_session *s)
{
	struct client_cursor at = s->send_at;
	int err;

	s->send_at = smtp_client_cursor_next(s, at);
	err = smtp_client_step_of(at.step)->send(s, at.index);
	if (err)
		smtp_client_end(s, err, at.step, NULL);
}

static void pull_content(struct smtp_client_session *s)
{
	int err;

	if (!s->txn.sending || s->txn.chunked || s->txn.complete || s->out.n > 0)
		return;
	err = smtp_client_content_pull(s);
	if (smtp_client_is_over(s))
		return;
	if (err)
		smtp_client_end(s, err, SMTP_STEP_CONTENT, NULL);
	else if (s->txn.complete)
		smtp_client_trace_sent(s, smtp_span_of("."));
}

struct smtp_span smtp_client_session_output(struct smtp_client_session *s, uint64_t now_ms)
{
	while (has_work(s) || may_send(s)) {
		if (s->state == CLIENT_IDLE)
			begin_work(s);
		else
			send_step(s);
	}
	pull_content(s);
	if (!s->timer_runs && s->outstanding > 0) {
		s->timer_runs = true;
		s->timer_from_ms = now_ms;
	}
	return smtp_buf_span(&s->out);
}

/* Each command is one line, so the line ends that leave count the commands. */
static size_t count_line_ends(const uint8_t *p, size_t n)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += p[i] == '\n';
	return count;
}

void smtp_client_session_sent(struct smtp_client_session *s, size_t n, uint64_t now_ms)
{
	if (n > s->out.n)
		n = s->out.n;
	if (n == 0)
		return;
	s->timer_from_ms = now_ms;
	if (!s->txn.sending)
		s->flushed += count_line_ends(s->out.p, n);
	smtp_buf_drop(&s->out, n);
	if (s->txn.sending && s->out.n == 0 && (s->txn.complete || s->txn.chunked)) {
		s->txn.sending = false;
		s->flushed++;
	}
	if (smtp_client_is_over(s) && s->out.n == 0)
		smtp_buf_release(&s->out);
}

unsigned smtp_client_session_wants(const struct smtp_client_session *s)
{
	unsigned wants = SMTP_WANTS_READ;

	if (s->state == CLIENT_NEW)
		return 0;
	if (s->state == CLIENT_TLS_WANTED)
		return SMTP_WANTS_TLS;
	if (smtp_client_is_over(s))
		wants = SMTP_WANTS_CLOSE;
	if (s->out.n > 0 || s->txn.sending || has_work(s) || may_send(s))
		wants |= SMTP_WANTS_WRITE;
	return wants;
}

/* --- input ----------------------------------------------------------------------------------- */

static void notify_reply(struct smtp_client_session *s, struct client_cursor at,
			 const struct smtp_reply *reply)
{
	if (s->handler.reply && !smtp_client_transaction_is_echo(s, at.step))
		s->handler.reply(s, at.step, at.index, reply, s->user);
}

/* The server speaks although nothing that was sent is unanswered, or says that it closes. */
static bool ends_session(struct smtp_client_session *s, const struct smtp_reply *reply)
{
	enum smtp_client_step step = current_step(s);

	if (reply->code != 421 && s->flushed > 0)
		return false;
	if (s->flushed > 0)
		notify_reply(s, answered(s), reply);
	smtp_client_end(s, reply->code == 421 ? SMTP_EREFUSED : SMTP_EPROTO, step, reply);
	return true;
}

static void answer(struct smtp_client_session *s, const struct smtp_reply *reply)
{
	struct client_cursor at = answered(s);

	if (!smtp_client_end_has_more(s, at, reply)) {
		s->reply_at = smtp_client_cursor_next(s, s->reply_at);
		s->outstanding--;
		s->flushed--;
	}
	if (at.step == SMTP_STEP_COMMAND) {
		smtp_client_become_idle(s); /* so that `reply` may give the next one */
		s->challenged = reply->code == 334;
	}
	notify_reply(s, at, reply);
	if (smtp_client_is_over(s))
		return;
	smtp_client_step_of(at.step)->reply(s, at.index, reply);
	smtp_client_transaction_check(s);
}

static void take_reply(struct smtp_client_session *s, struct smtp_reply *reply, uint64_t now_ms)
{
	s->timer_from_ms = now_ms;
	if (s->state == CLIENT_BUSY)
		smtp_client_auth_mask(s, reply);
	smtp_client_trace_reply(s, reply);
	if (smtp_client_is_over(s))
		return;
	if (is_quitting(s)) {
		if (s->flushed > 0)
			notify_reply(s, s->reply_at, reply);
		smtp_client_finish(s);
	} else if (!ends_session(s, reply)) {
		answer(s, reply);
	}
}

/* One reply, or what is left of the input. */
static void feed_part(struct smtp_client_session *s, struct smtp_span *input, uint64_t now_ms)
{
	struct smtp_reply reply;
	size_t used = 0;
	int got;

	if (s->state == CLIENT_TLS_WANTED) {
		/* It came in clear text behind the 220: anybody may have put it there. */
		smtp_client_end(s, SMTP_EPROTO, SMTP_STEP_STARTTLS, NULL);
		return;
	}
	got = smtp_reply_parser_feed(&s->parser, *input, &used, &reply);
	*input = smtp_span_slice(*input, used, input->n);
	if (got < 0)
		smtp_client_end(s, got, current_step(s), NULL);
	else if (got > 0)
		take_reply(s, &reply, now_ms);
	else
		input->n = 0;
}

int smtp_client_session_feed(struct smtp_client_session *s, const void *octets, size_t n,
			     uint64_t now_ms, size_t *taken)
{
	struct smtp_span input = smtp_span_make(octets, n);

	*taken = 0;
	if (s->state == CLIENT_NEW)
		return SMTP_ESTATE;
	while (input.n > 0 && !smtp_client_is_over(s))
		feed_part(s, &input, now_ms);
	*taken = n;
	return s->error == SMTP_EPROTO || s->error == SMTP_ENOMEM ? s->error : 0;
}

void smtp_client_session_peer_closed(struct smtp_client_session *s)
{
	if (is_quitting(s))
		smtp_client_finish(s);
	else
		smtp_client_end(s, SMTP_ECLOSED, current_step(s), NULL);
	smtp_buf_wipe(&s->out);
}

void smtp_client_session_fail(struct smtp_client_session *s, int error)
{
	if (is_quitting(s))
		smtp_client_finish(s);
	else
		smtp_client_end(s, error < 0 ? error : SMTP_EIO, current_step(s), NULL);
	smtp_buf_wipe(&s->out);
}

/* --- time, TLS ------------------------------------------------------------------------------- */

void smtp_client_session_start(struct smtp_client_session *s, uint64_t now_ms)
{
	if (s->state != CLIENT_NEW)
		return;
	if (s->options.tls == SMTP_CLIENT_TLS_IMPLICIT && !s->has_tls) {
		smtp_client_end(s, SMTP_ETLS, SMTP_STEP_TLS, NULL);
		return;
	}
	smtp_client_go_to(s, SMTP_STEP_GREETING);
	s->outstanding = s->flushed = 1;
	s->timer_runs = true;
	s->timer_from_ms = now_ms;
}

static uint32_t timeout_ms(const struct smtp_client_session *s)
{
	if (s->state == CLIENT_FAILED)
		return s->options.quit_timeout_ms;
	if (s->state == CLIENT_TLS_WANTED)
		return s->options.command_timeout_ms;
	switch (s->reply_at.step) {
	case SMTP_STEP_GREETING:
		return s->options.greeting_timeout_ms;
	case SMTP_STEP_DATA:
		return s->options.data_timeout_ms;
	case SMTP_STEP_BDAT:
	case SMTP_STEP_END:
		return s->txn.sending ? s->options.block_timeout_ms : s->options.end_timeout_ms;
	case SMTP_STEP_QUIT:
		return s->options.quit_timeout_ms;
	default:
		return s->options.command_timeout_ms;
	}
}

uint64_t smtp_client_session_deadline(const struct smtp_client_session *s)
{
	uint32_t timeout = timeout_ms(s);

	if (!s->timer_runs || timeout == 0 || s->state == CLIENT_FINISHED ||
	    (s->state == CLIENT_FAILED && s->out.n == 0))
		return UINT64_MAX;
	return s->timer_from_ms > UINT64_MAX - timeout ? UINT64_MAX : s->timer_from_ms + timeout;
}

void smtp_client_session_tick(struct smtp_client_session *s, uint64_t now_ms)
{
	uint64_t deadline = smtp_client_session_deadline(s);

	if (deadline == UINT64_MAX || now_ms < deadline)
		return;
	if (is_quitting(s))
		smtp_client_finish(s);
	else
		smtp_client_end(s, SMTP_ETIMEDOUT, current_step(s), NULL);
	smtp_buf_wipe(&s->out); /* also the polite QUIT of a failed session */
}

int smtp_client_session_set_tls_channel(struct smtp_client_session *s,
					const struct smtp_tls_channel *channel)
{
	if (s->state != CLIENT_NEW && s->state != CLIENT_TLS_WANTED)
		return SMTP_ESTATE;
	return smtp_channel_copy(&s->channel, channel);
}

int smtp_client_session_tls_started(struct smtp_client_session *s, const char *description,
				    uint64_t now_ms)
{
	(void)description; /* of use to whoever ran the handshake only */
	if (s->has_tls || (s->state != CLIENT_NEW && s->state != CLIENT_TLS_WANTED))
		return SMTP_ESTATE;
	s->has_tls = true;
	if (s->state == CLIENT_NEW)
		return 0;
	s->extensions = (struct smtp_extensions){ 0 };
	smtp_buf_clear(&s->ehlo_text);
	smtp_reply_parser_release(&s->parser);
	smtp_reply_parser_init(&s->parser);
	s->timer_from_ms = now_ms;
	smtp_client_go_to(s, SMTP_STEP_EHLO);
	return 0;
}
