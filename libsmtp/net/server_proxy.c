/* SPDX-License-Identifier: ISC */
/* A connection of a trusted proxy until its PROXY header is there: nothing is said, the octets behind the
 * header stay in the socket (TLS may begin with them), and the client it names takes the proxy's place.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "libsmtp/core/proxy_header.h"
#include "libsmtp/net/server_conn_private.h"

struct server_proxy {
	struct smtp_io *io;
	int fd; /* -1: the conn has it */
	struct smtp_proxy_header header;
};

void server_proxy_free(struct server_proxy *proxy)
{
	if (!proxy)
		return;
	smtp_io_free(proxy->io);
	if (proxy->fd >= 0)
		(void)close(proxy->fd);
	free(proxy);
}

static void refuse(struct server_conn *c, enum smtp_refusal reason, const char *detail)
{
	server_conn_refused(c, reason, detail);
	server_conn_free(c);
}

static struct smtp_socket_address socket_address_of(const struct smtp_network *ip, uint16_t port)
{
	struct smtp_socket_address address;

	if (smtp_network_is_ipv4(ip))
		smtp_socket_address_set(&address, AF_INET, ip->octets + 12);
	else
		smtp_socket_address_set(&address, AF_INET6, ip->octets);
	smtp_socket_address_set_port(&address, port);
	return address;
}

/* Until now the connection counted for nobody. */
static enum server_admission replace_peer(struct server_conn *c, const struct smtp_proxy_header *h)
{
	struct smtp_socket_address peer = socket_address_of(&h->source, h->source_port);
	struct smtp_socket_address local = socket_address_of(&h->destination, h->destination_port);
	enum server_admission admission;

	server_end_note(&c->remote, &peer);
	server_end_note(&c->local, &local);
	server_limits_leave(c->loop->server->limits, c->peer);
	c->peer = server_peer_key_of(&peer);
	admission = server_limits_enter(c->loop->server->limits, c->peer);
	c->counted = admission == SERVER_ADMITTED;
	return admission;
}

static void go_on(struct server_conn *c)
{
	struct server_proxy *proxy = c->proxy;
	enum server_admission admission = SERVER_ADMITTED;
	int fd = proxy->fd;

	if (proxy->header.has_addresses)
		admission = replace_peer(c, &proxy->header);
	c->begun = true; /* what follows is the client's, whatever it is */
	proxy->fd = -1;
	server_proxy_free(proxy);
	c->proxy = NULL;
	smtp_timer_set(c->timer, UINT64_MAX);
	if (admission == SERVER_ADMITTED) {
		server_conn_open(c, fd);
		return;
	}
	server_refuse_full(c->listener, fd, &c->remote, admission);
	server_conn_free(c);
}

/* Looks at what is there, then takes what belongs to the header and no more. */
static void on_readable(void *user, unsigned events)
{
	struct server_conn *c = user;
	struct server_proxy *proxy = c->proxy;
	uint8_t octets[256];
	ssize_t n = recv(proxy->fd, octets, sizeof octets, MSG_PEEK | MSG_DONTWAIT);
	enum smtp_proxy_result result;
	size_t used;

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n <= 0) {
		refuse(c, SMTP_REFUSAL_PROXY, n == 0 ? "closed before its header" :
						       strerrordesc_np(errno));
		return;
	}
	result = smtp_proxy_header_feed(&proxy->header,
					(struct smtp_span){ octets, (size_t)n }, &used);
	if (recv(proxy->fd, octets, used, MSG_DONTWAIT) != (ssize_t)used)
		result = SMTP_PROXY_INVALID;
	if (result == SMTP_PROXY_INVALID)
		refuse(c, SMTP_REFUSAL_PROXY, "no valid PROXY header");
	else if (result == SMTP_PROXY_DONE)
		go_on(c);
}

void server_proxy_begin(struct server_conn *c, int fd)
{
	struct server_proxy *proxy = calloc(1, sizeof *proxy);

	c->state = CONN_PROXY;
	c->proxy = proxy;
	if (!proxy) {
		(void)close(fd);
		refuse(c, SMTP_REFUSAL_MEMORY, "");
		return;
	}
	proxy->fd = fd;
	smtp_proxy_header_init(&proxy->header);
	server_conn_set_timer(c, c->loop->server->options.handshake_timeout_ms);
	if (smtp_io_new(&proxy->io, c->loop->loop, fd, on_readable, c) != 0 ||
	    smtp_io_watch(proxy->io, SMTP_IO_READ) != 0)
		refuse(c, SMTP_REFUSAL_MEMORY, "");
}
