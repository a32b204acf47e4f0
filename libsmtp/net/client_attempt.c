/* SPDX-License-Identifier: ISC */
/* client_attempt.c - drives a client session over sockets: one address after the other until one greets
 * well, TLS, octets both ways, deadlines. What the session says is in the core, the socket itself in
 * conn.c, attempts at other hosts and retries are the caller's.
 */
#include "libsmtp/net/client_conn_private.h"
#include "libsmtp/net/client_login.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	LAST_WORDS_MS = 2000,  /* after a failed write: what the server may still have to say */
	WRITES_IN_A_ROW = 16   /* then others on the loop have their turn */
};

/* --- session events -------------------------------------------------------------------------- */

static void on_ready(struct smtp_client_session *s, void *user)
{
	struct smtp_client_conn *c = user;

	if (!c->free_asked && c->handler->ready)
		c->handler->ready(s, c->user);
}

static void on_reply(struct smtp_client_session *s, enum smtp_client_step step, size_t index,
		     const struct smtp_reply *reply, void *user)
{
	struct smtp_client_conn *c = user;

	if (!c->free_asked && c->handler->reply)
		c->handler->reply(s, step, index, reply, c->user);
}

static void on_recipient(struct smtp_client_session *s, enum smtp_client_step step, size_t index,
			 const struct smtp_reply *reply, void *user)
{
	struct smtp_client_conn *c = user;

	if (!c->free_asked && c->handler->recipient_done)
		c->handler->recipient_done(s, step, index, reply, c->user);
}

static void on_transaction_done(struct smtp_client_session *s, enum smtp_client_step step,
				const struct smtp_reply *final, void *user)
{
	struct smtp_client_conn *c = user;

	if (!c->free_asked && c->handler->transaction_done)
		c->handler->transaction_done(s, step, final, c->user);
}

/* Told when the session has returned: then it may be freed, and the next address tried. */
static void on_failed(struct smtp_client_session *s, int error, enum smtp_client_step step,
		      const struct smtp_reply *reply, void *user)
{
	struct smtp_client_conn *c = user;

	(void)s;
	if (c->phase == PHASE_CONNECT)
		step = SMTP_STEP_CONNECT;
	smtp_client_failure_set(&c->ended, error, step, reply);
}

static void on_finished(struct smtp_client_session *s, void *user)
{
	struct smtp_client_conn *c = user;

	if (!c->free_asked && c->handler->finished)
		c->handler->finished(s, c->user);
}

static void on_trace(struct smtp_client_session *s, bool from_server, struct smtp_span line,
		     void *user)
{
	struct smtp_client_conn *c = user;

	if (!c->free_asked && c->handler->trace)
		c->handler->trace(s, from_server, line, c->user);
}

const struct smtp_client_session_handler smtp_client_attempt_events = {
	.size = sizeof smtp_client_attempt_events,
	.ready = on_ready,
	.reply = on_reply,
	.transaction_done = on_transaction_done,
	.failed = on_failed,
	.finished = on_finished,
	.trace = on_trace,
	.recipient_done = on_recipient,
};

/* --- one attempt ----------------------------------------------------------------------------- */

void smtp_client_attempt_release(struct smtp_client_conn *c)
{
	smtp_io_free(c->io);
	c->io = NULL;
	if (c->fd >= 0)
		(void)close(c->fd); /* nothing was written */
	c->fd = -1;
	smtp_conn_free(c->conn);
	c->conn = NULL;
	smtp_client_session_free(c->session);
	c->session = NULL;
	c->write_error = 0;
	c->goes_on = false;
	smtp_timer_set(c->timer, UINT64_MAX);
}

/* The driver's part failed: the session is told, and so it ends. */
static void fail(struct smtp_client_conn *c, int error, const char *problem)
{
	(void)snprintf(c->problem, sizeof c->problem, "%s", problem);
	smtp_client_session_fail(c->session, error);
}

static uint64_t in_ms(const struct smtp_client_conn *c, uint32_t ms)
{
	return smtp_loop_now_ms(c->loop) + ms;
}

static void start_tls(struct smtp_client_conn *c)
{
	int err = c->tls ? smtp_conn_start_tls(c->conn, c->tls, false, c->tls_name) : SMTP_ENOTSUP;

	c->phase = PHASE_TLS;
	smtp_timer_set(c->timer, in_ms(c, c->handshake_timeout_ms));
	if (err)
		fail(c, err == SMTP_EPROTO ? err : SMTP_ETLS, err == SMTP_EPROTO ?
		     "octets in clear behind the start of TLS" : smtp_error_str(err));
}

/* Writes until the socket is full or nothing is left. */
static void write_out(struct smtp_client_conn *c)
{
	c->goes_on = false;
	for (int i = 0; i < WRITES_IN_A_ROW; i++) {
		uint64_t now = smtp_loop_now_ms(c->loop);
		struct smtp_span span;
		size_t n = 0;

		if (!(smtp_client_session_wants(c->session) & SMTP_WANTS_WRITE))
			return;
		span = smtp_client_session_output(c->session, now);
		if (span.n == 0)
			return;
		c->write_error = smtp_conn_write(c->conn, span.p, span.n, &n);
		smtp_client_session_sent(c->session, n, now);
		if (c->write_error)
			c->last_words_ms = now + LAST_WORDS_MS;
		if (c->write_error || n < span.n)
			return;
	}
	c->goes_on = true;
}

static void arm_timer(struct smtp_client_conn *c)
{
	uint64_t at = smtp_client_session_deadline(c->session);

	if (c->write_error && c->last_words_ms < at)
		at = c->last_words_ms;
	if (c->goes_on)
		at = smtp_loop_now_ms(c->loop);
	smtp_timer_set(c->timer, at);
}

/* Whatever the session wants now. */
static void attend(struct smtp_client_conn *c)
{
	if (c->phase != PHASE_TALK)
		return;
	if (!c->write_error)
		write_out(c);
	if (smtp_client_session_wants(c->session) & SMTP_WANTS_TLS)
		start_tls(c);
	else if (c->phase == PHASE_TALK)
		arm_timer(c);
}

/* --- entries and leaving --------------------------------------------------------------------- */

static void try_address(struct smtp_client_conn *c);

static void enter(struct smtp_client_conn *c)
{
	c->depth++;
}

static void describe(struct smtp_client_conn *c)
{
	smtp_client_failure_describe(&c->ended, c->peer, c->problem);
	memcpy(c->problem, c->ended.problem, sizeof c->problem);
}

/* The first one that is not permanent is what counts of earlier addresses: the host refuses for good
 * only when every address says so. */
static void next_address(struct smtp_client_conn *c)
{
	describe(c);
	if (!smtp_client_failure_is_permanent(&c->ended) && !c->first_transient.known) {
		c->first_transient = c->ended;
		c->ended = (struct smtp_client_failure){ .known = false };
	}
	smtp_client_failure_release(&c->ended);
	smtp_client_attempt_release(c);
	try_address(c);
}

static void report_failure(struct smtp_client_conn *c)
{
	struct smtp_client_failure *f = &c->ended;

	describe(c);
	c->phase = PHASE_OVER;
	smtp_timer_set(c->timer, UINT64_MAX);
	if (smtp_client_failure_is_of_address(f) && smtp_client_failure_is_permanent(f) &&
	    c->first_transient.known) {
		f = &c->first_transient;
		memcpy(c->problem, f->problem, sizeof c->problem);
		memcpy(c->peer, f->peer, sizeof c->peer);
	}
	if (!c->free_asked && c->handler->failed)
		c->handler->failed(c->session, f->error, f->step,
				   f->has_reply ? &f->reply : NULL, c->user);
}

/* Returns true when the conn is gone. Every entry from the loop or the caller ends here, where the
 * session is not on the stack any more. */
static bool leave(struct smtp_client_conn *c)
{
	if (c->depth > 1) {
		c->depth--;
		return false;
	}
	while (!c->free_asked && c->phase != PHASE_OVER) {
		attend(c); /* a failed session may have a QUIT to say */
		if (!c->ended.known)
			break;
		if (smtp_client_failure_is_of_address(&c->ended) && c->next < c->address_count)
			next_address(c);
		else
			report_failure(c);
	}
	c->depth--;
	if (!c->free_asked)
		return false;
	smtp_client_conn_destroy(c);
	return true;
}

/* --- socket events --------------------------------------------------------------------------- */

static size_t on_received(void *user, const uint8_t *octets, size_t n)
{
	struct smtp_client_conn *c = user;
	size_t taken = 0;

	enter(c);
	/* What is an error here was told by `failed`; all is taken in any case. */
	if (smtp_client_session_feed(c->session, octets, n, smtp_loop_now_ms(c->loop), &taken) != 0)
		taken = n;
	(void)leave(c);
	return taken;
}

static void on_drained(void *user)
{
	struct smtp_client_conn *c = user;

	enter(c);
	(void)leave(c);
}

static void begin_talk(struct smtp_client_conn *c)
{
	c->phase = PHASE_TALK;
	smtp_client_session_start(c->session, smtp_loop_now_ms(c->loop));
}

static void on_tls_started(void *user, const char *description)
{
	struct smtp_client_conn *c = user;
	bool implicit = c->options.tls == SMTP_CLIENT_TLS_IMPLICIT;
	int err;

	enter(c);
	(void)snprintf(c->tls_description, sizeof c->tls_description, "%s", description);
	err = smtp_client_login_tls_started(c->session, c->conn, description,
					    smtp_loop_now_ms(c->loop));
	if (err)
		fail(c, err, smtp_error_str(err));
	else if (implicit)
		begin_talk(c);
	c->phase = PHASE_TALK;
	(void)leave(c);
}

static void on_peer_closed(void *user)
{
	struct smtp_client_conn *c = user;

	enter(c);
	if (c->phase == PHASE_TLS)
		fail(c, SMTP_ETLS, "the connection was closed in the TLS handshake");
	else
		smtp_client_session_peer_closed(c->session);
	(void)leave(c);
}

static void on_conn_failed(void *user, int error, const char *problem)
{
	struct smtp_client_conn *c = user;

	enter(c);
	fail(c, error, problem);
	(void)leave(c);
}

static const struct smtp_conn_events conn_events = {
	.received = on_received,
	.drained = on_drained,
	.tls_started = on_tls_started,
	.peer_closed = on_peer_closed,
	.failed = on_conn_failed,
};

/* --- connecting ------------------------------------------------------------------------------ */

static void connect_failed(struct smtp_client_conn *c, int number)
{
	char text[SMTP_SOCKET_PROBLEM_MAX];

	smtp_socket_problem(number, text);
	fail(c, number == ETIMEDOUT ? SMTP_ETIMEDOUT : SMTP_ECONNECT, text);
}

static void connected(struct smtp_client_conn *c)
{
	int err;

	smtp_io_free(c->io);
	c->io = NULL;
	err = smtp_conn_new(&c->conn, c->loop, c->fd, &conn_events, c);
	if (err) {
		fail(c, err, smtp_error_str(err));
		return;
	}
	c->fd = -1;
	if (c->options.tls == SMTP_CLIENT_TLS_IMPLICIT)
		start_tls(c);
	else
		begin_talk(c);
}

static void on_writable(void *user, unsigned events)
{
	struct smtp_client_conn *c = user;
	int number = 0;
	socklen_t n = sizeof number;

	(void)events;
	enter(c);
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &number, &n) != 0)
		number = errno;
	if (number != 0)
		connect_failed(c, number);
	else
		connected(c);
	(void)leave(c);
}

/* The socket that was given stands for the one address. */
static void use_given(struct smtp_client_conn *c)
{
	struct smtp_socket_address peer = { .length = sizeof peer.u };
	int flags = fcntl(c->given_fd, F_GETFL);

	c->fd = c->given_fd;
	c->given_fd = -1;
	if (getpeername(c->fd, &peer.u.any, &peer.length) == 0)
		smtp_socket_address_format(&peer, c->peer);
	if (flags < 0 || fcntl(c->fd, F_SETFL, flags | O_NONBLOCK) != 0)
		connect_failed(c, errno);
	else
		connected(c);
}

static void try_address(struct smtp_client_conn *c)
{
	const struct smtp_socket_address *a = &c->addresses[c->next++];
	int err, number;

	c->phase = PHASE_CONNECT;
	c->problem[0] = c->tls_description[0] = c->peer[0] = '\0';
	err = smtp_client_session_new(&c->session, &c->options, &smtp_client_attempt_events, c);
	if (err) {
		smtp_client_failure_set(&c->ended, err, SMTP_STEP_CONNECT, NULL);
		c->next = c->address_count;
		return;
	}
	if (c->given_fd >= 0) {
		use_given(c);
		return;
	}
	smtp_socket_address_format(a, c->peer);
	number = smtp_socket_connect(a, &c->fd);
	if (number != 0) {
		connect_failed(c, number);
		return;
	}
	smtp_timer_set(c->timer, in_ms(c, c->connect_timeout_ms));
	err = smtp_io_new(&c->io, c->loop, c->fd, on_writable, c);
	if (!err)
		err = smtp_io_watch(c->io, SMTP_IO_WRITE);
	if (err)
		fail(c, err, smtp_error_str(err));
}

void smtp_client_attempt_timer(void *user)
{
	struct smtp_client_conn *c = user;
	uint64_t now = smtp_loop_now_ms(c->loop);

	enter(c);
	switch (c->phase) {
	case PHASE_BEGIN:
		try_address(c);
		break;
	case PHASE_CONNECT:
		fail(c, SMTP_ETIMEDOUT, "connection timed out");
		break;
	case PHASE_TLS:
		fail(c, SMTP_ETLS, "the TLS handshake timed out");
		break;
	case PHASE_TALK:
		if (c->write_error)
			smtp_client_session_fail(c->session, c->write_error);
		else
			smtp_client_session_tick(c->session, now);
		break;
	case PHASE_OVER:
		break;
	}
	(void)leave(c);
}

void smtp_client_attempt_push(struct smtp_client_conn *c)
{
	enter(c);
	(void)leave(c);
}
