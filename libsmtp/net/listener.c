/* SPDX-License-Identifier: ISC */
/* Sockets that listen: from an address as text to descriptors, and accepting on a loop. Who may
 * connect, and what is said to whom, is decided elsewhere.
 */
#include "libsmtp/net/listener.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "libsmtp/core/span.h"

enum {
	BACKLOG = 4096,     /* the kernel cuts it to net.core.somaxconn */
	BURST_MAX = 32,
	PAUSE_MS = 100,
	PORT_TRIES_MAX = 16 /* for one that is free in both families */
};

/* --- opening --------------------------------------------------------------------------------- */

struct opening {
	int *fds;
	size_t cap;
	size_t count;
	unsigned each;
	uint16_t port;
	char *problem;
};

static int fail_errno(char *problem, const struct smtp_socket_address *address, int number)
{
	char text[SMTP_SOCKET_ADDRESS_TEXT_MAX];

	smtp_socket_address_format(address, text);
	(void)snprintf(problem, SMTP_LISTENER_PROBLEM_MAX, "%s: %s", text,
		       strerrordesc_np(number));
	switch (number) {
	case EACCES:
	case EPERM:
		return SMTP_EACCESS;
	case EADDRINUSE:
		return SMTP_EBUSY;
	case EADDRNOTAVAIL:
	case EINVAL:
		return SMTP_EINVAL;
	case ENOMEM:
	case ENOBUFS:
		return SMTP_ENOMEM;
	default:
		return SMTP_EIO;
	}
}

/* Returns the descriptor, or -1 and errno. */
static int bind_one(const struct smtp_socket_address *address, bool share)
{
	int fd = socket(address->u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;
	int number;

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
	    (!share || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0) &&
	    (address->u.any.sa_family != AF_INET6 ||
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0) &&
	    bind(fd, &address->u.any, address->length) == 0)
		return fd;
	number = errno;
	(void)close(fd);
	errno = number;
	return -1;
}

/* Sockets that share a port can't tell whether somebody else of the same user is there already; one
 * that does not share can. */
static bool is_free(const struct smtp_socket_address *address)
{
	int fd = bind_one(address, false);

	if (fd < 0)
		return false;
	(void)close(fd);
	return true;
}

static bool port_of(int fd, uint16_t *port)
{
	struct smtp_socket_address bound = { .length = sizeof bound.u };

	if (getsockname(fd, &bound.u.any, &bound.length) != 0)
		return false;
	*port = ntohs(bound.u.any.sa_family == AF_INET6 ? bound.u.in6.sin6_port :
							  bound.u.in.sin_port);
	return true;
}

static int open_one(struct opening *o, const struct smtp_socket_address *address)
{
	int fd;

	if (o->count == o->cap)
		return SMTP_EINVAL;
	fd = bind_one(address, true);
	if (fd < 0)
		return fail_errno(o->problem, address, errno);
	o->fds[o->count++] = fd; /* closed by close_all() on failure */
	if (listen(fd, BACKLOG) != 0)
		return fail_errno(o->problem, address, errno);
	if (o->port == 0 && !port_of(fd, &o->port))
		return fail_errno(o->problem, address, errno);
	return 0;
}

static int open_family(struct opening *o, struct smtp_socket_address address)
{
	smtp_socket_address_set_port(&address, o->port);
	if (o->port != 0 && !is_free(&address))
		return fail_errno(o->problem, &address, errno);
	for (unsigned i = 0; i < o->each; i++) {
		int err = open_one(o, &address);

		if (err)
			return err;
		smtp_socket_address_set_port(&address, o->port);
	}
	return 0;
}

static void close_all(struct opening *o)
{
	while (o->count > 0)
		(void)close(o->fds[--o->count]);
}

static bool has_ipv6(void)
{
	struct smtp_socket_address any;

	smtp_socket_address_set(&any, AF_INET6, &in6addr_any);
	return is_free(&any);
}

static int open_both(struct opening *o)
{
	const struct in_addr any = { .s_addr = htonl(INADDR_ANY) };
	uint16_t port = o->port;
	struct smtp_socket_address v4;
	struct smtp_socket_address v6;
	int err = SMTP_EBUSY;

	smtp_socket_address_set(&v4, AF_INET, &any);
	smtp_socket_address_set(&v6, AF_INET6, &in6addr_any);
	for (int i = 0; i < (port == 0 ? PORT_TRIES_MAX : 1); i++) {
		o->port = port;
		err = open_family(o, v4);
		if (!err && has_ipv6())
			err = open_family(o, v6);
		if (err != SMTP_EBUSY)
			return err;
		close_all(o);
	}
	return err;
}

/* Divides at the last colon; what stands before it is an address or "*". */
static bool parse(const char *text, struct smtp_socket_address *address, bool *both, uint16_t *port)
{
	const char *colon = strrchr(text, ':');
	char host[SMTP_SOCKET_ADDRESS_TEXT_MAX];
	uint64_t number;

	if (!colon || smtp_span_uint(smtp_span_of(colon + 1), &number) != 0 || number > 65535 ||
	    smtp_span_copy(smtp_span_make(text, (size_t)(colon - text)), host, sizeof host) != 0)
		return false;
	*port = (uint16_t)number;
	*both = strcmp(host, "*") == 0;
	if (*both)
		return true;
	/* An IPv6 address without brackets could have any of its colons before the port. */
	return (host[0] == '[' || !strchr(host, ':')) && smtp_socket_address_parse(address, host);
}

int smtp_listener_open(const char *address, unsigned each, int *fds, size_t *count, uint16_t *port,
		       char problem[SMTP_LISTENER_PROBLEM_MAX])
{
	struct opening o = { .fds = fds, .cap = *count, .each = each, .problem = problem };
	struct smtp_socket_address parsed;
	bool both;
	int err;

	*problem = '\0';
	if (!parse(address, &parsed, &both, &o.port)) {
		(void)snprintf(problem, SMTP_LISTENER_PROBLEM_MAX,
			       "%.100s: not ADDRESS:PORT, [ADDRESS]:PORT or *:PORT", address);
		return SMTP_EINVAL;
	}
	err = both ? open_both(&o) : open_family(&o, parsed);
	if (err) {
		close_all(&o);
		return err;
	}
	*count = o.count;
	if (port)
		*port = o.port;
	return 0;
}

/* --- accepting ------------------------------------------------------------------------------- */

struct smtp_listener {
	struct smtp_loop *loop;
	struct smtp_io *io;
	struct smtp_timer *pause;
	void (*accepted)(void *user, int fd, const struct smtp_socket_address *peer);
	void *user;
	int fd;
};

/* The peer gave up, or the network did, before the connection was taken: the next one may be fine. */
static bool concerns_one_peer(int number)
{
	return number == ECONNABORTED || number == EINTR || number == EPROTO || number == EPERM ||
	       number == ENETDOWN || number == ENOPROTOOPT || number == EHOSTDOWN ||
	       number == ENONET || number == EHOSTUNREACH || number == EOPNOTSUPP ||
	       number == ENETUNREACH;
}

/* Without descriptors or memory the socket stays readable: looking again at once would only spin. */
static void pause_accepting(struct smtp_listener *listener)
{
	smtp_timer_set(listener->pause, smtp_loop_now_ms(listener->loop) + PAUSE_MS);
	if (smtp_io_watch(listener->io, 0) != 0)
		smtp_timer_set(listener->pause, UINT64_MAX); /* it is still watched */
}

static void on_pause_over(void *user)
{
	struct smtp_listener *listener = user;

	if (smtp_io_watch(listener->io, SMTP_IO_READ) != 0)
		smtp_timer_set(listener->pause, smtp_loop_now_ms(listener->loop) + PAUSE_MS);
}

static void on_acceptable(void *user, unsigned events)
{
	struct smtp_listener *listener = user;

	(void)events;
	for (int i = 0; i < BURST_MAX; i++) {
		struct smtp_socket_address peer = { .length = sizeof peer.u };
		int fd = accept4(listener->fd, &peer.u.any, &peer.length,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			listener->accepted(listener->user, fd, &peer);
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			return;
		} else if (!concerns_one_peer(errno)) {
			pause_accepting(listener);
			return;
		}
	}
}

int smtp_listener_new(struct smtp_listener **out, struct smtp_loop *loop, int fd,
		      void (*accepted)(void *user, int fd, const struct smtp_socket_address *peer),
		      void *user)
{
	struct smtp_listener *listener = calloc(1, sizeof *listener);
	int err;

	if (!listener)
		return SMTP_ENOMEM;
	listener->loop = loop;
	listener->accepted = accepted;
	listener->user = user;
	listener->fd = -1;
	err = smtp_timer_new(&listener->pause, loop, on_pause_over, listener);
	if (!err)
		err = smtp_io_new(&listener->io, loop, fd, on_acceptable, listener);
	if (!err)
		err = smtp_io_watch(listener->io, SMTP_IO_READ);
	if (err) {
		smtp_listener_free(listener);
		return err;
	}
	listener->fd = fd;
	*out = listener;
	return 0;
}

void smtp_listener_free(struct smtp_listener *listener)
{
	if (!listener)
		return;
	smtp_io_free(listener->io);
	smtp_timer_free(listener->pause);
	if (listener->fd >= 0)
		(void)close(listener->fd);
	free(listener);
}
