/* SPDX-License-Identifier: ISC */
/* A connection from accept to the beginning of its session: whether it is let in, who it is from, its
 * name in logs. What follows is server_conn.c.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "libsmtp/net/server_conn_private.h"

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
	if (smtp_timer_new(&c->timer, c->loop->loop, server_conn_on_timer, c) != 0 ||
	    smtp_conn_new(&c->conn, c->loop->loop, fd, &server_conn_events, c) != 0) {
		smtp_timer_free(c->timer);
		(void)close(fd);
		free(c);
		return NULL;
	}
	server_conn_add(c);
	c->settings = server_listener_settings(c->listener);
	c->lost_reason = SMTP_DISCONNECT_IO;
	c->work.run = server_conn_work;
	c->work.done = server_conn_worked;
	c->work.loop = c->loop->loop;
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
		server_conn_begin(c, NULL);
		return;
	}
	c->state = CONN_TLS_FIRST;
	server_conn_set_timer(c, server->options.handshake_timeout_ms);
	if (smtp_conn_start_tls(c->conn, c->settings->tls, true, NULL) != 0)
		server_conn_free(c);
}
