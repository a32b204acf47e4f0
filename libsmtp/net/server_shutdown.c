/* SPDX-License-Identifier: ISC */
/* The end of a server: each loop is told by a posted call, closes its sockets, lets sessions end their
 * transactions until the deadline, and ends with its last connection.
 */
#include <stdlib.h>
#include "libsmtp/net/server_internal.h"

void server_loop_close_sockets(struct server_loop *loop)
{
	while (loop->sockets) {
		struct server_socket *sock = loop->sockets;

		loop->sockets = sock->next;
		smtp_listener_free(sock->accepting);
		free(sock);
	}
}

static void stop_all(struct server_loop *loop)
{
	struct server_conn *next;

	for (struct server_conn *c = loop->conns; c; c = next) {
		next = server_conn_next(c); /* stopping one frees none but itself */
		server_conn_stop(c);
	}
}

void server_loop_abort_all(struct server_loop *loop)
{
	struct server_conn *next;

	for (struct server_conn *c = loop->conns; c; c = next) {
		next = server_conn_next(c);
		server_conn_abort(c);
	}
}

void server_loop_check_end(struct server_loop *loop)
{
	if (loop->stopping && loop->conn_count == 0)
		smtp_loop_stop(loop->loop);
}

static struct server_loop *loop_of(struct smtp_loop_call *call)
{
	return (struct server_loop *)(void *)((char *)call -
					      offsetof(struct server_loop, stop_call));
}

void server_loop_on_stop(struct smtp_loop_call *call)
{
	struct server_loop *loop = loop_of(call);
	uint32_t wait_ms;

	/* From here on the call may be posted again: with another deadline, it counts. */
	atomic_store(&loop->stop_posted, false);
	if (loop->freed)
		return;
	wait_ms = atomic_load(&loop->server->stop_after_ms);
	loop->stopping = true;
	server_loop_close_sockets(loop);
	stop_all(loop);
	smtp_timer_set(loop->deadline, smtp_loop_now_ms(loop->loop) + wait_ms);
	server_loop_check_end(loop);
}

void smtp_server_shutdown(struct smtp_server *server, uint32_t deadline_ms)
{
	atomic_store(&server->closed, true);
	atomic_store(&server->stop_after_ms, deadline_ms);
	for (unsigned i = 0; i < server->loop_count; i++) {
		struct server_loop *loop = &server->loops[i];

		if (!atomic_exchange(&loop->stop_posted, true))
			smtp_loop_post(loop->loop, &loop->stop_call);
	}
}
