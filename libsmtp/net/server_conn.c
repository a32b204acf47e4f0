/* SPDX-License-Identifier: ISC */
/* One connection of the server: drives its session over its conn, from accept to the end of lingering.
 * Whatever happens ends in advance(), which writes what there is, then does what the session wants.
 * All of it runs in the loop's thread, without locks.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "libsmtp/net/server_internal.h"

enum { LINGER_MS = 2000 }; /* for the peer to close too, after us */

enum conn_state {
	CONN_TLS_FIRST, /* the handshake before the greeting; no session yet */
	CONN_SESSION,
	CONN_STARTTLS,  /* the handshake within a session */
	CONN_LINGERING  /* the session is over; the peer may still read */
};

struct server_conn {
	struct server_loop *loop;
	struct server_listener *listener;
	struct server_settings *settings;
	struct smtp_conn *conn;
	struct smtp_server_session *session;
	struct smtp_timer *timer;
	struct server_conn *next; /* in the loop's list */
	struct server_conn **prev;
	struct server_conn *chain; /* in the loop's table */
	uint64_t id;
	struct server_peer_key peer;
	enum conn_state state;
	bool blocked;  /* the socket takes no more for now */
	bool starved;  /* the session left octets with the conn */
	bool closing;  /* it was told to end because the server stops */
	uint16_t peer_port;
	char peer_address[INET6_ADDRSTRLEN];
	char trace_id[SERVER_TRACE_ID_BYTES + 1];
};

static void advance(struct server_conn *);

/* --- the loop's connections ------------------------------------------------------------------- */

static struct server_conn **bucket_of(const struct server_loop *loop, uint64_t id)
{
	return &loop->table[id & (loop->table_size - 1)];
}

/* Ids are counted up, so the low bits spread them evenly. */
static bool grow_table(struct server_loop *loop)
{
	size_t size = loop->table_size ? loop->table_size * 2 : 64;
	struct server_conn **table = calloc(size, sizeof(struct server_conn *));

	if (!table)
		return loop->table_size > 0; /* longer chains will do */
	free(loop->table);
	loop->table = table;
	loop->table_size = size;
	for (struct server_conn *c = loop->conns; c; c = c->next) {
		struct server_conn **bucket = bucket_of(loop, c->id);

		c->chain = *bucket;
		*bucket = c;
	}
	return true;
}

static bool add_to_loop(struct server_conn *c)
{
	struct server_loop *loop = c->loop;
	struct server_conn **bucket;

	if (loop->conn_count >= loop->table_size && !grow_table(loop))
		return false;
	bucket = bucket_of(loop, c->id);
	c->chain = *bucket;
	*bucket = c;
	c->next = loop->conns;
	c->prev = &loop->conns;
	if (c->next)
		c->next->prev = &c->next;
	loop->conns = c;
	loop->conn_count++;
	return true;
}

static void take_from_loop(struct server_conn *c)
{
	struct server_conn **place = bucket_of(c->loop, c->id);

	while (*place != c)
		place = &(*place)->chain;
	*place = c->chain;
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->loop->conn_count--;
}

struct server_conn *server_conn_find(struct server_loop *loop, uint64_t id)
{
	struct server_conn *c = loop->table_size ? *bucket_of(loop, id) : NULL;

	while (c && c->id != id)
		c = c->chain;
	return c;
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
	c->session = NULL;
	(void)atomic_fetch_sub_explicit(&c->loop->server->sessions, 1, memory_order_relaxed);
}

static void conn_free(struct server_conn *c)
{
	struct server_loop *loop = c->loop;

	free_session(c);
	take_from_loop(c);
	server_limits_leave(loop->server->limits, c->peer);
	smtp_timer_free(c->timer);
	smtp_conn_free(c->conn);
	server_settings_unref(c->settings);
	free(c);
	server_loop_check_end(loop);
}

static void abandon(struct server_conn *c, enum smtp_disconnect_reason reason)
{
	if (c->session)
		smtp_server_session_close(c->session, reason, NULL);
	conn_free(c);
}

static void set_timer(struct server_conn *c, uint32_t ms)
{
	smtp_timer_set(c->timer, smtp_loop_now_ms(c->loop->loop) + ms);
}

/* The session is over and all of it is written. */
static void linger(struct server_conn *c)
{
	free_session(c);
	c->state = CONN_LINGERING;
	set_timer(c, LINGER_MS);
	smtp_conn_shutdown(c->conn);
}

/* --- going on --------------------------------------------------------------------------------- */

/* Writes what there is. While a handler thinks, the replies before its own wait for that, so that
 * those of one batch leave together. False: the connection is lost. */
static bool flush(struct server_conn *c)
{
	struct smtp_span out;
	size_t n;

	if (c->blocked || (smtp_server_session_wants(c->session) & SMTP_WANTS_VERDICT))
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
	set_timer(c, c->loop->server->options.handshake_timeout_ms);
	if (smtp_conn_start_tls(c->conn, c->settings->tls, true, NULL) != 0)
		abandon(c, SMTP_DISCONNECT_TLS);
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

	stop_if_due(c);
	if (!flush(c)) {
		abandon(c, SMTP_DISCONNECT_IO);
		return;
	}
	wants = smtp_server_session_wants(c->session);
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

/* --- events of the conn ----------------------------------------------------------------------- */

static size_t on_received(void *user, const uint8_t *octets, size_t n)
{
	struct server_conn *c = user;
	size_t taken = 0;

	/* A peer that sends and does not read: its replies go first. */
	if (!c->blocked) {
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

static void begin_session(struct server_conn *c, const char *tls);

static void on_tls_started(void *user, const char *description)
{
	struct server_conn *c = user;

	if (c->state == CONN_TLS_FIRST) {
		begin_session(c, description);
		return;
	}
	c->state = CONN_SESSION;
	if (smtp_server_session_tls_started(c->session, description) != 0) {
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
		conn_free(c);
		return;
	}
	smtp_server_session_peer_closed(c->session);
	advance(c);
}

static void on_failed(void *user, int error, const char *problem)
{
	struct server_conn *c = user;

	(void)error;
	(void)problem;
	abandon(c, c->state == CONN_STARTTLS ? SMTP_DISCONNECT_TLS : SMTP_DISCONNECT_IO);
}

static const struct smtp_conn_events events = {
	.received = on_received,
	.drained = on_drained,
	.tls_started = on_tls_started,
	.peer_closed = on_peer_closed,
	.failed = on_failed,
};

static void on_timer(void *user)
{
	struct server_conn *c = user;

	switch (c->state) {
	case CONN_TLS_FIRST:
	case CONN_LINGERING:
		conn_free(c);
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
	err = smtp_server_session_set_peer(c->session, c->peer_address, c->peer_port);
	for (size_t i = 0; i < server->use_count && !err; i++)
		err = smtp_server_session_use(c->session, server->uses[i].handler,
					      server->uses[i].user);
	if (!err && c->listener->handler)
		err = smtp_server_session_use(c->session, c->listener->handler, c->listener->user);
	if (!err && tls)
		err = smtp_server_session_tls_started(c->session, tls);
	return err;
}

static void begin_session(struct server_conn *c, const char *tls)
{
	c->state = CONN_SESSION;
	if (make_session(c, tls) != 0 ||
	    smtp_server_session_start(c->session, smtp_loop_now_ms(c->loop->loop)) != 0) {
		abandon(c, SMTP_DISCONNECT_IO);
		return;
	}
	advance(c);
}

/* Twelve of 32 signs: 60 bits. The multiplication goes through all of them without a repetition. */
static void make_trace_id(struct server_conn *c)
{
	static const char signs[] = "0123456789abcdefghjkmnpqrstvwxyz";
	const struct smtp_server *server = c->loop->server;
	uint64_t number = c->id * server->loop_count + c->loop->index;

	number = server->id_seed + number * UINT64_C(0x9e3779b97f4a7c15);
	for (size_t i = 0; i < SERVER_TRACE_ID_BYTES; i++)
		c->trace_id[i] = signs[number >> (5 * i) & 31];
}

static void note_peer(struct server_conn *c, const struct smtp_socket_address *peer)
{
	const struct in6_addr *v6 = &peer->u.in6.sin6_addr;

	if (peer->u.any.sa_family == AF_INET) {
		c->peer_port = ntohs(peer->u.in.sin_port);
		(void)inet_ntop(AF_INET, &peer->u.in.sin_addr, c->peer_address,
				sizeof c->peer_address);
	} else if (peer->u.any.sa_family == AF_INET6) {
		c->peer_port = ntohs(peer->u.in6.sin6_port);
		if (IN6_IS_ADDR_V4MAPPED(v6))
			(void)inet_ntop(AF_INET, v6->s6_addr + 12, c->peer_address,
					sizeof c->peer_address);
		else
			(void)inet_ntop(AF_INET6, v6, c->peer_address, sizeof c->peer_address);
	}
}

static struct server_conn *conn_new(struct server_socket *sock, int fd,
				    const struct smtp_socket_address *peer,
				    struct server_peer_key key)
{
	struct server_conn *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->loop = sock->loop;
	c->listener = sock->listener;
	c->peer = key;
	c->id = ++c->loop->last_id;
	if (smtp_timer_new(&c->timer, c->loop->loop, on_timer, c) != 0 ||
	    smtp_conn_new(&c->conn, c->loop->loop, fd, &events, c) != 0 || !add_to_loop(c)) {
		smtp_timer_free(c->timer);
		if (c->conn)
			smtp_conn_free(c->conn);
		else
			(void)close(fd);
		free(c);
		return NULL;
	}
	c->settings = server_listener_settings(c->listener);
	note_peer(c, peer);
	make_trace_id(c);
	return c;
}

/* The line goes into an empty socket buffer, so it needs no waiting. Before TLS nothing can be said. */
static void refuse(struct server_listener *listener, int fd, enum server_admission why)
{
	struct smtp_reply reply = why == SERVER_FULL ?
		smtp_reply_of(421, "4.3.2", "too many connections, try again later") :
		smtp_reply_of(421, "4.7.0", "too many connections from your network");
	char line[SMTP_REPLY_LINE_MAX];
	size_t n = smtp_reply_format(&reply, true, line, sizeof line);

	if (!listener->implicit_tls && send(fd, line, n, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		(void)shutdown(fd, SHUT_WR);
	(void)close(fd);
}

void server_conn_accepted(void *user, int fd, const struct smtp_socket_address *peer)
{
	struct server_socket *sock = user;
	struct smtp_server *server = sock->loop->server;
	struct server_peer_key key = server_peer_key_of(peer);
	enum server_admission admission = server_limits_enter(server->limits, key);
	struct server_conn *c;

	if (admission != SERVER_ADMITTED) {
		refuse(sock->listener, fd, admission);
		return;
	}
	c = conn_new(sock, fd, peer, key);
	if (!c) {
		server_limits_leave(server->limits, key);
		return;
	}
	if (!c->listener->implicit_tls) {
		begin_session(c, NULL);
		return;
	}
	c->state = CONN_TLS_FIRST;
	set_timer(c, server->options.handshake_timeout_ms);
	if (smtp_conn_start_tls(c->conn, c->settings->tls, true, NULL) != 0)
		conn_free(c);
}

/* --- from other files ------------------------------------------------------------------------- */

void server_conn_answer(struct server_conn *c, const struct smtp_reply *reply)
{
	if (c->state != CONN_SESSION || smtp_server_session_reply(c->session, reply) != 0)
		return;
	give_time(c);
	if (c->starved && !c->blocked &&
	    (smtp_server_session_wants(c->session) & SMTP_WANTS_READ)) {
		c->starved = false;
		smtp_conn_resume(c->conn); /* leads to advance() */
		return;
	}
	advance(c);
}

void server_conn_stop(struct server_conn *c)
{
	switch (c->state) {
	case CONN_TLS_FIRST:
		conn_free(c);
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

	if (c->state != CONN_SESSION) {
		abandon(c, SMTP_DISCONNECT_SHUTDOWN);
		return;
	}
	smtp_server_session_close(c->session, SMTP_DISCONNECT_SHUTDOWN, &reply);
	out = smtp_server_session_output(c->session);
	/* What the socket does not take now is lost. */
	if (!c->blocked && out.n > 0 && smtp_conn_write(c->conn, out.p, out.n, &n) == 0)
		smtp_server_session_sent(c->session, n);
	conn_free(c);
}

/* --- about a session -------------------------------------------------------------------------- */

static const struct server_conn *conn_of(const struct smtp_server_session *session)
{
	return smtp_server_session_driver(session);
}

const char *smtp_server_session_trace_id(const struct smtp_server_session *session)
{
	const struct server_conn *c = conn_of(session);

	return c ? c->trace_id : "";
}

unsigned smtp_server_session_loop(const struct smtp_server_session *session)
{
	const struct server_conn *c = conn_of(session);

	return c ? c->loop->index : 0;
}

struct smtp_ticket smtp_server_ticket(struct smtp_server_session *session)
{
	const struct server_conn *c = conn_of(session);
	struct smtp_ticket ticket = { 0 };

	if (c) {
		ticket.server = c->loop->server;
		ticket.session = c->id;
		ticket.loop = c->loop->index;
	}
	return ticket;
}
