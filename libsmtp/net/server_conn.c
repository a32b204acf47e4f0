/* SPDX-License-Identifier: ISC */
/* One connection of the server: drives its session over its conn, from accept to the end of lingering.
 * Whatever happens ends in advance(), which writes what there is, then does what the session wants.
 * All of it runs in the loop's thread, without locks.
 */
#include <sodium.h>
#include <stdlib.h>
#include "libsmtp/net/server_conn_private.h"

enum { LINGER_MS = 2000 }; /* for the peer to close too, after us */

static void advance(struct server_conn *);
static void go_on(struct server_conn *);

static struct server_conn *conn_of_work(struct smtp_work *work)
{
	return (struct server_conn *)(void *)((char *)work - offsetof(struct server_conn, work));
}

/* --- the loop's connections ------------------------------------------------------------------- */

void server_conn_add(struct server_conn *c)
{
	struct server_loop *loop = c->loop;

	c->next = loop->conns;
	c->prev = &loop->conns;
	if (c->next)
		c->next->prev = &c->next;
	loop->conns = c;
	loop->conn_count++;
}

static void take_from_loop(struct server_conn *c)
{
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->loop->conn_count--;
}

struct server_conn *server_conn_next(const struct server_conn *c)
{
	return c->next;
}

/* --- the end ---------------------------------------------------------------------------------- */

static void free_session(struct server_conn *c)
{
	struct smtp_server_session *session = c->session;

	if (!session)
		return;
	smtp_server_session_free(session); /* its handlers may still ask about c */
	server_slot_release(c);
	c->session = NULL;
	(void)atomic_fetch_sub_explicit(&c->loop->server->sessions, 1, memory_order_relaxed);
}

void server_conn_free(struct server_conn *c)
{
	struct server_loop *loop = c->loop;

	free_session(c);
	take_from_loop(c);
	if (c->counted)
		server_limits_leave(loop->server->limits, c->peer);
	smtp_timer_free(c->timer);
	server_proxy_free(c->proxy);
	smtp_conn_free(c->conn);
	free(c->tls);
	server_settings_unref(c->settings);
	free(c);
	server_loop_check_end(loop);
}

static void abandon(struct server_conn *c, enum smtp_disconnect_reason reason)
{
	if (c->session)
		smtp_server_session_close(c->session, reason, NULL);
	server_conn_free(c);
}

/* As abandon(), but when a worker has the session it waits for that. */
static void lose(struct server_conn *c, enum smtp_disconnect_reason reason)
{
	if (!c->working) {
		abandon(c, reason);
		return;
	}
	smtp_conn_free(c->conn);
	c->conn = NULL;
	c->lost = true;
	c->lost_reason = reason;
}

void server_conn_set_timer(struct server_conn *c, uint32_t ms)
{
	smtp_timer_set(c->timer, smtp_loop_now_ms(c->loop->loop) + ms);
}

/* The session is over and all of it is written. */
static void linger(struct server_conn *c)
{
	free_session(c);
	c->state = CONN_LINGERING;
	server_conn_set_timer(c, LINGER_MS);
	smtp_conn_shutdown(c->conn);
}

/* --- going on --------------------------------------------------------------------------------- */

/* Writes what there is. While a handler thinks, the replies before its own wait for that, so that
 * those of one batch leave together. False: the connection is lost. */
static bool flush(struct server_conn *c)
{
	const unsigned thinks = SMTP_WANTS_VERDICT | SMTP_WANTS_CALL;
	struct smtp_span out;
	size_t n;

	if (c->blocked || (smtp_server_session_wants(c->session) & thinks))
		return true;
	out = smtp_server_session_output(c->session);
	if (out.n == 0)
		return true;
	if (smtp_conn_write(c->conn, out.p, out.n, &n) != 0)
		return false;
	c->blocked = n < out.n;
	smtp_server_session_sent(c->session, n);
	return true;
}

/* Answers and handshakes reach the session without the time; an error shows in what it wants. */
static void give_time(struct server_conn *c)
{
	size_t taken;
	int err = smtp_server_session_feed(c->session, NULL, 0,
					   smtp_loop_now_ms(c->loop->loop), &taken);

	(void)err;
}

static void start_tls(struct server_conn *c)
{
	c->state = CONN_STARTTLS;
	server_conn_set_timer(c, c->loop->server->options.handshake_timeout_ms);
	if (smtp_conn_start_tls(c->conn, c->settings->tls, true, NULL) != 0)
		abandon(c, SMTP_DISCONNECT_TLS);
}

/* A verdict that nobody could give, as it could not be asked for in a way to be answered. */
static void answer_for_lack_of_memory(struct server_conn *c)
{
	struct smtp_reply reply = smtp_reply_of(451, "4.3.0", "out of memory, try again later");

	while ((smtp_server_session_wants(c->session) & SMTP_WANTS_VERDICT) &&
	       c->unanswerable == smtp_server_session_question(c->session) &&
	       smtp_server_session_reply(c->session, &reply) == 0)
		give_time(c);
}

static void start_work(struct server_conn *c)
{
	/* Without a slot its function can't answer later, but all else. */
	(void)server_slot_reserve(c);
	c->working = true;
	smtp_timer_set(c->timer, UINT64_MAX);
	smtp_workers_submit(c->loop->server->workers, &c->work);
}

void server_conn_work(struct smtp_work *work)
{
	struct server_conn *c = conn_of_work(work);
	int err = smtp_server_session_call(c->session);

	(void)err; /* it was due */
}

void server_conn_worked(struct smtp_work *work)
{
	struct server_conn *c = conn_of_work(work);

	c->working = false;
	if (c->kept_call)
		smtp_loop_post(c->loop->loop, c->kept_call);
	c->kept_call = NULL;
	if (c->lost || smtp_server_session_called(c->session,
						  smtp_loop_now_ms(c->loop->loop)) != 0) {
		abandon(c, c->lost_reason);
		return;
	}
	if (c->peer_closed)
		smtp_server_session_peer_closed(c->session);
	go_on(c);
}

static void stop_if_due(struct server_conn *c)
{
	struct smtp_reply reply = smtp_reply_of(421, "4.3.2", "the server is stopping, try again later");

	if (!c->loop->stopping || c->closing || smtp_server_session_in_transaction(c->session))
		return;
	c->closing = true;
	smtp_server_session_close(c->session, SMTP_DISCONNECT_SHUTDOWN, &reply);
}

static void advance(struct server_conn *c)
{
	unsigned wants;

	if (c->working)
		return;
	answer_for_lack_of_memory(c);
	stop_if_due(c);
	if (!flush(c)) {
		abandon(c, SMTP_DISCONNECT_IO);
		return;
	}
	wants = smtp_server_session_wants(c->session);
	if (wants & SMTP_WANTS_CALL) {
		start_work(c);
		return;
	}
	if (wants & SMTP_WANTS_WRITE) {
		/* The rest follows when the peer reads, or when the verdict is there. */
	} else if (wants & SMTP_WANTS_CLOSE) {
		linger(c);
		return;
	} else if (wants & SMTP_WANTS_TLS) {
		start_tls(c);
		return;
	}
	smtp_timer_set(c->timer, smtp_server_session_deadline(c->session));
	if (c->starved && !c->blocked && (wants & SMTP_WANTS_READ)) {
		c->starved = false;
		smtp_conn_resume(c->conn);
	}
}

/* After a verdict: the octets that had to wait come first. */
static void go_on(struct server_conn *c)
{
	if (c->starved && !c->blocked &&
	    (smtp_server_session_wants(c->session) & SMTP_WANTS_READ)) {
		c->starved = false;
		smtp_conn_resume(c->conn); /* leads to advance() */
		return;
	}
	advance(c);
}

/* --- events of the conn ----------------------------------------------------------------------- */

/* A PROXY header of version 2 from one that is not trusted with it: told by its first octet where others
 * send such headers, else by octets that no client of SMTP begins with. That of version 1 is a command,
 * and the session ends with it. */
static bool is_foreign_proxy(struct server_conn *c, const uint8_t *octets, size_t n)
{
	static const uint8_t head[] = { '\r', '\n', '\r', '\n', '\0' };
	bool first = !c->begun;
	size_t same = 0;

	c->begun = true;
	while (same < n && same < sizeof(head) && octets[same] == head[same])
		same++;
	return first && (same == sizeof(head) || (same > 0 && c->listener->proxy_count > 0));
}

static size_t on_received(void *user, const uint8_t *octets, size_t n)
{
	struct server_conn *c = user;
	size_t taken = 0;

	if (is_foreign_proxy(c, octets, n)) {
		abandon(c, SMTP_DISCONNECT_PROTOCOL);
		return n;
	}
	/* A peer that sends and does not read: its replies go first. */
	if (!c->blocked && !c->working) {
		uint64_t now_ms = smtp_loop_now_ms(c->loop->loop);
		int err = smtp_server_session_feed(c->session, octets, n, now_ms, &taken);

		if (err) /* the session wants to be closed now */
			taken = n;
	}
	c->starved = taken < n;
	advance(c);
	return taken;
}

static void on_drained(void *user)
{
	struct server_conn *c = user;

	c->blocked = false;
	advance(c);
}

/* What AUTH may want of the TLS connection, and whom a certificate names; nobody pays for it where there
 * is neither. */
static int tell_tls(struct server_conn *c, const char *description)
{
	const struct server_certificates *certificates = &c->listener->certificates;
	struct smtp_tls_channel_store store;
	struct smtp_tls_channel channel;
	int err = 0;

	c->tls = malloc(sizeof *c->tls);
	if (!c->tls)
		return SMTP_ENOMEM;
	smtp_conn_tls_details(c->conn, c->tls);
	if (c->settings->session.auth_enabled || certificates->client_ca_file ||
	    certificates->client_ca_pem) {
		smtp_conn_tls_channel(c->conn, &store, &channel);
		err = smtp_server_session_set_tls_channel(c->session, &channel);
		sodium_memzero(&store, sizeof store);
	}
	return err ? err : smtp_server_session_tls_started(c->session, description);
}

static void on_tls_started(void *user, const char *description)
{
	struct server_conn *c = user;

	if (c->state == CONN_TLS_FIRST) {
		server_conn_begin(c, description);
		return;
	}
	c->state = CONN_SESSION;
	if (tell_tls(c, description) != 0) {
		abandon(c, SMTP_DISCONNECT_IO);
		return;
	}
	give_time(c);
	advance(c);
}

static void on_peer_closed(void *user)
{
	struct server_conn *c = user;

	if (c->state == CONN_LINGERING) {
		server_conn_free(c);
		return;
	}
	if (c->working) {
		c->peer_closed = true;
		return;
	}
	smtp_server_session_peer_closed(c->session);
	advance(c);
}

static void on_failed(void *user, int error, const char *problem)
{
	struct server_conn *c = user;

	(void)error;
	if (c->state == CONN_TLS_FIRST)
		server_conn_refused(c, SMTP_REFUSAL_TLS, problem);
	lose(c, c->state == CONN_STARTTLS ? SMTP_DISCONNECT_TLS : SMTP_DISCONNECT_IO);
}

const struct smtp_conn_events server_conn_events = {
	.received = on_received,
	.drained = on_drained,
	.tls_started = on_tls_started,
	.peer_closed = on_peer_closed,
	.failed = on_failed,
};

void server_conn_on_timer(void *user)
{
	struct server_conn *c = user;

	switch (c->state) {
	case CONN_PROXY:
	case CONN_TLS_FIRST:
		server_conn_refused(c, SMTP_REFUSAL_TIMEOUT,
				    c->state == CONN_PROXY ? "no PROXY header" : "no TLS handshake");
		server_conn_free(c);
		break;
	case CONN_LINGERING:
		server_conn_free(c);
		break;
	case CONN_STARTTLS:
		abandon(c, SMTP_DISCONNECT_TLS);
		break;
	case CONN_SESSION:
		smtp_server_session_tick(c->session, smtp_loop_now_ms(c->loop->loop));
		advance(c);
		break;
	}
}

/* --- the beginning ---------------------------------------------------------------------------- */

static int make_session(struct server_conn *c, const char *tls)
{
	const struct smtp_server *server = c->loop->server;
	int err = smtp_server_session_new(&c->session, &c->settings->session, NULL, NULL);

	if (err)
		return err;
	(void)atomic_fetch_add_explicit(&c->loop->server->sessions, 1, memory_order_relaxed);
	smtp_server_session_set_driver(c->session, c);
	err = smtp_server_session_set_peer(c->session, c->remote.address, c->remote.port);
	if (!err)
		err = smtp_server_session_set_local(c->session, c->local.address, c->local.port);
	for (size_t i = 0; i < server->use_count && !err; i++)
		err = smtp_server_session_use(c->session, &server->uses[i]);
	if (!err && c->listener->last.handler)
		err = smtp_server_session_use(c->session, &c->listener->last);
	if (!err && tls)
		err = tell_tls(c, tls);
	return err;
}

void server_conn_begin(struct server_conn *c, const char *tls)
{
	c->state = CONN_SESSION;
	if (make_session(c, tls) != 0 ||
	    smtp_server_session_start(c->session, smtp_loop_now_ms(c->loop->loop)) != 0) {
		abandon(c, SMTP_DISCONNECT_IO);
		return;
	}
	advance(c);
}

/* --- from other files ------------------------------------------------------------------------- */

void server_conn_answer(struct server_conn *c, uint64_t question, const struct smtp_reply *reply)
{
	if (c->state != CONN_SESSION || smtp_server_session_question(c->session) != question ||
	    smtp_server_session_reply(c->session, reply) != 0)
		return;
	give_time(c);
	go_on(c);
}

/* A message that some recipients have may be refused when memory is short: then they get it twice, which
 * is better than to say of the others that they have it. */
void server_conn_answer_each(struct server_conn *c, uint64_t question, const struct smtp_reply *each,
			     size_t count)
{
	struct smtp_reply trouble = smtp_reply_of(451, "4.3.0", "out of memory, try again later");
	struct smtp_server_session *s = c->session;
	int err = 0;

	if (c->state != CONN_SESSION || smtp_server_session_question(s) != question)
		return;
	if (count > smtp_server_session_recipient_count(s))
		count = smtp_server_session_recipient_count(s);
	for (size_t i = 0; !err && i < count; i++)
		if (each[i].code != 0)
			err = smtp_server_session_recipient_reply(s, i, &each[i]);
	server_conn_answer(c, question, err == SMTP_ENOMEM ? &trouble : NULL);
}

bool server_conn_keeps(struct server_conn *c, struct smtp_loop_call *call)
{
	if (!c->working)
		return false;
	c->kept_call = call;
	return true;
}

void server_conn_drop(struct server_conn *c)
{
	lose(c, SMTP_DISCONNECT_REFUSED);
}

void server_conn_stop(struct server_conn *c)
{
	switch (c->state) {
	case CONN_PROXY:
	case CONN_TLS_FIRST:
		server_conn_free(c);
		break;
	case CONN_STARTTLS:
		abandon(c, SMTP_DISCONNECT_SHUTDOWN);
		break;
	case CONN_SESSION:
		advance(c);
		break;
	case CONN_LINGERING:
		break;
	}
}

void server_conn_abort(struct server_conn *c)
{
	struct smtp_reply reply = smtp_reply_of(421, "4.3.2", "the server is stopping, try again later");
	struct smtp_span out;
	size_t n;

	if (c->lost)
		return; /* it ends when the worker is done */
	if (c->state != CONN_SESSION || c->working) {
		lose(c, SMTP_DISCONNECT_SHUTDOWN);
		return;
	}
	smtp_server_session_close(c->session, SMTP_DISCONNECT_SHUTDOWN, &reply);
	out = smtp_server_session_output(c->session);
	/* What the socket does not take now is lost. */
	if (!c->blocked && out.n > 0 && smtp_conn_write(c->conn, out.p, out.n, &n) == 0)
		smtp_server_session_sent(c->session, n);
	server_conn_free(c);
}
