/* SPDX-License-Identifier: ISC */
/* A connection from accept to the beginning of its session: whether it is let in, who is at its ends,
 * its name in logs, and who is told when there will be no session. What follows is server_conn.c.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "libsmtp/net/server_conn_private.h"

/* --- those that are turned away ---------------------------------------------------------------- */

static void tell_refused(const struct server_listener *listener, const struct server_end *remote,
			 enum smtp_refusal reason, const char *detail)
{
	const struct smtp_server_options *options = &listener->server->options;
	struct smtp_server_refusal refusal = {
		.reason = reason,
		.listener = listener->index,
		.peer_address = remote->address,
		.peer_port = remote->port,
		.detail = detail,
	};

	if (options->refused)
		options->refused(&refusal, options->refused_user);
}

void server_conn_refused(const struct server_conn *c, enum smtp_refusal reason, const char *detail)
{
	tell_refused(c->listener, &c->remote, reason, detail);
}

const char *smtp_refusal_str(enum smtp_refusal reason)
{
	static const char *const names[] = {
		[SMTP_REFUSAL_CONNECTIONS] = "connections",
		[SMTP_REFUSAL_CONNECTIONS_PER_IP] = "connections-per-ip",
		[SMTP_REFUSAL_TLS] = "tls",
		[SMTP_REFUSAL_PROXY] = "proxy",
		[SMTP_REFUSAL_TIMEOUT] = "timeout",
		[SMTP_REFUSAL_MEMORY] = "memory",
	};

	return (size_t)reason < sizeof names / sizeof *names ? names[reason] : "unknown";
}

/* The line goes into an empty socket buffer, so it needs no waiting. Before TLS nothing can be said. */
void server_refuse_full(struct server_listener *listener, int fd, const struct server_end *remote,
			enum server_admission why)
{
	struct server_settings *settings = server_listener_settings(listener);
	char text[SMTP_DOMAIN_MAX + 64];
	char line[SMTP_REPLY_LINE_MAX];
	struct smtp_reply reply;
	size_t n;

	(void)snprintf(text, sizeof text, "%s %s", settings->hostname,
		       why == SERVER_FULL ? "too many connections, try again later" :
					    "too many connections from your network");
	reply = smtp_reply_of(421, why == SERVER_FULL ? "4.3.2" : "4.7.0", text);
	n = smtp_reply_format(&reply, true, line, sizeof line);
	if (!listener->implicit_tls && n < sizeof line &&
	    send(fd, line, n, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		(void)shutdown(fd, SHUT_WR);
	(void)close(fd);
	server_settings_unref(settings);
	tell_refused(listener, remote,
		     why == SERVER_FULL ? SMTP_REFUSAL_CONNECTIONS :
					  SMTP_REFUSAL_CONNECTIONS_PER_IP,
		     "");
}

/* --- those that are let in --------------------------------------------------------------------- */

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

void server_end_note(struct server_end *end, const struct smtp_socket_address *address)
{
	const struct in6_addr *v6 = &address->u.in6.sin6_addr;

	*end = (struct server_end){ .port = 0 };
	if (address->u.any.sa_family == AF_INET) {
		end->port = ntohs(address->u.in.sin_port);
		(void)inet_ntop(AF_INET, &address->u.in.sin_addr, end->address, sizeof end->address);
	} else if (address->u.any.sa_family == AF_INET6) {
		end->port = ntohs(address->u.in6.sin6_port);
		if (IN6_IS_ADDR_V4MAPPED(v6))
			(void)inet_ntop(AF_INET, v6->s6_addr + 12, end->address,
					sizeof end->address);
		else
			(void)inet_ntop(AF_INET6, v6, end->address, sizeof end->address);
	}
}

static void note_local(struct server_conn *c, int fd)
{
	struct smtp_socket_address local = { .length = sizeof local.u };

	if (getsockname(fd, &local.u.any, &local.length) == 0)
		server_end_note(&c->local, &local);
}

static struct server_conn *conn_new(struct server_socket *sock, struct server_peer_key key)
{
	struct server_conn *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->loop = sock->loop;
	c->listener = sock->listener;
	c->peer = key;
	c->counted = true;
	c->id = ++c->loop->last_id;
	if (smtp_timer_new(&c->timer, c->loop->loop, server_conn_on_timer, c) != 0) {
		free(c);
		return NULL;
	}
	server_conn_add(c);
	c->settings = server_listener_settings(c->listener);
	c->lost_reason = SMTP_DISCONNECT_IO;
	c->work.run = server_conn_work;
	c->work.done = server_conn_worked;
	c->work.loop = c->loop->loop;
	make_trace_id(c);
	return c;
}

void server_conn_open(struct server_conn *c, int fd)
{
	if (smtp_conn_new(&c->conn, c->loop->loop, fd, &server_conn_events, c) != 0) {
		(void)close(fd);
		server_conn_refused(c, SMTP_REFUSAL_MEMORY, "");
		server_conn_free(c);
		return;
	}
	if (!c->listener->implicit_tls) {
		server_conn_begin(c, NULL);
		return;
	}
	c->state = CONN_TLS_FIRST;
	server_conn_set_timer(c, c->loop->server->options.handshake_timeout_ms);
	if (smtp_conn_start_tls(c->conn, c->settings->tls, true, NULL) != 0) {
		server_conn_refused(c, SMTP_REFUSAL_MEMORY, "");
		server_conn_free(c);
	}
}

void server_conn_accepted(void *user, int fd, const struct smtp_socket_address *peer)
{
	struct server_socket *sock = user;
	struct server_listener *listener = sock->listener;
	struct server_limits *limits = listener->server->limits;
	bool proxied = server_listener_trusts(listener, peer);
	/* A proxy does not count, but those it speaks for. */
	struct server_peer_key key = { 0 };
	enum server_admission admission;
	struct server_end remote;
	struct server_conn *c;

	server_end_note(&remote, peer);
	if (!proxied)
		key = server_peer_key_of(peer);
	admission = server_limits_enter(limits, key);
	if (admission != SERVER_ADMITTED) {
		server_refuse_full(listener, fd, &remote, admission);
		return;
	}
	c = conn_new(sock, key);
	if (!c) {
		server_limits_leave(limits, key);
		(void)close(fd);
		tell_refused(listener, &remote, SMTP_REFUSAL_MEMORY, "");
		return;
	}
	c->remote = remote;
	note_local(c, fd);
	if (proxied)
		server_proxy_begin(c, fd);
	else
		server_conn_open(c, fd);
}
