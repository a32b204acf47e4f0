/* SPDX-License-Identifier: ISC */
/* The client's side of a dialogue over a real socket, clear or TLS, one blocking step after another. */
#include "tests/unit/server_client.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include "tests/unit/testing.h"

uint64_t now_ms(void)
{
	struct timespec ts;

	ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Looks until it is so; the limit is only there for a test that fails. */
void wait_for(bool (*is_so)(void))
{
	uint64_t end = now_ms() + CLIENT_WAIT_S * 1000;

	while (!is_so()) {
		ck_assert_uint_lt(now_ms(), end);
		(void)poll(NULL, 0, 1);
	}
}

static socklen_t address_of(const char *host, uint16_t port, struct sockaddr_storage *out)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	bool v4 = inet_pton(AF_INET, host, &in.sin_addr) == 1;

	ck_assert(v4 || inet_pton(AF_INET6, host, &in6.sin6_addr) == 1);
	memcpy(out, v4 ? (void *)&in : (void *)&in6, v4 ? sizeof in : sizeof in6);
	return v4 ? sizeof in : sizeof in6;
}

void client_connect_from(struct client *c, const char *from, const char *host, uint16_t port)
{
	struct timeval limit = { .tv_sec = CLIENT_WAIT_S };
	int on = 1; /* what is said goes out now, not with the next acknowledgement */
	struct sockaddr_storage address;
	socklen_t n = address_of(host, port, &address);

	*c = (struct client){ 0 };
	c->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(c->fd, 0);
	ck_assert_int_eq(setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
	ck_assert_int_eq(setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit), 0);
	ck_assert_int_eq(setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
	if (from) {
		n = address_of(from, 0, &address);
		ck_assert_int_eq(bind(c->fd, (struct sockaddr *)&address, n), 0);
		n = address_of(host, port, &address);
	}
	ck_assert_int_eq(connect(c->fd, (struct sockaddr *)&address, n), 0);
}

void client_connect_to(struct client *c, const char *host, uint16_t port)
{
	client_connect_from(c, NULL, host, port);
}

void client_close(struct client *c)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->context);
	ck_assert_int_eq(close(c->fd), 0);
}

bool client_start_tls(struct client *c)
{
	c->context = SSL_CTX_new(TLS_client_method());
	ck_assert_ptr_nonnull(c->context);
	c->ssl = SSL_new(c->context);
	ck_assert_ptr_nonnull(c->ssl);
	ck_assert_int_eq(SSL_set_fd(c->ssl, c->fd), 1);
	return SSL_connect(c->ssl) == 1;
}

void client_write(struct client *c, const char *text, size_t n)
{
	while (n > 0) {
		ssize_t sent = c->ssl ? SSL_write(c->ssl, text, (int)n) :
					send(c->fd, text, n, MSG_NOSIGNAL);

		ck_assert_msg(sent > 0, "%s", strerror(errno));
		text += sent;
		n -= (size_t)sent;
	}
}

void client_say(struct client *c, const char *text)
{
	client_write(c, text, strlen(text));
}

/* One read. 0: the server has closed. */
size_t client_fill(struct client *c)
{
	ssize_t n = c->ssl ? SSL_read(c->ssl, c->in + c->in_n, (int)(sizeof c->in - c->in_n)) :
			     recv(c->fd, c->in + c->in_n, sizeof c->in - c->in_n, 0);

	if ((c->ssl || c->may_be_cut) && n < 0)
		n = 0;
	ck_assert_msg(n >= 0, "%s", strerror(errno));
	c->in_n += (size_t)n;
	return (size_t)n;
}

/* The next line without CRLF; false at the end of the connection. */
bool client_line(struct client *c, char line[CLIENT_LINE_MAX])
{
	const char *end;
	size_t n;

	while ((end = memchr(c->in, '\n', c->in_n)) == NULL)
		if (client_fill(c) == 0)
			return false;
	n = (size_t)(end - c->in);
	ck_assert(n > 0 && c->in[n - 1] == '\r');
	memcpy(line, c->in, n - 1);
	line[n - 1] = '\0';
	c->in_n -= n + 1;
	memmove(c->in, end + 1, c->in_n);
	return true;
}

/* The last line of the next reply begins so. */
void client_expect(struct client *c, const char *begin)
{
	char line[CLIENT_LINE_MAX];

	do {
		ck_assert_msg(client_line(c, line), "closed instead of %s", begin);
	} while (line[3] == '-');
	ck_assert_msg(strncmp(line, begin, strlen(begin)) == 0, "'%s' instead of '%s'", line,
		      begin);
}

void client_expect_end(struct client *c)
{
	char line[CLIENT_LINE_MAX];

	ck_assert_msg(!client_line(c, line), "'%s' instead of the end", line);
}

void client_talk(struct client *c, const char *command, const char *begin)
{
	client_say(c, command);
	client_expect(c, begin);
}
