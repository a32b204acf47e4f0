/* SPDX-License-Identifier: ISC */
/* A server that answers by a script: a thread for each connection, on a loopback address. For the tests
 * of what sends mail. Lines that no row of the script begins like get a friendly answer.
 */
#ifndef TESTS_UNIT_QUEUE_SERVER_H
#define TESTS_UNIT_QUEUE_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>

#include "tests/unit/testing.h"

enum { SERVER_THREADS_MAX = 1024, SERVER_LOG_MAX = 400000 };

/* `reply` is what is sent, CRLF put behind. "CLOSE" closes; "WAIT" waits for server_release(), then
 * gives the friendly answer. `from` counts lines with that prefix on a connection: the row holds from
 * there on (0: always). "." is the end of data, "" the greeting. */
struct script_row {
	const char *prefix, *reply;
	unsigned from;
};

struct server {
	const struct script_row *script; /* ends with prefix NULL */
	int fd;
	unsigned port;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t released;
	bool is_released, stopping;
	pthread_t threads[SERVER_THREADS_MAX];
	int fds[SERVER_THREADS_MAX];
	size_t connections, messages, waiting;
	char log[SERVER_LOG_MAX]; /* all lines, LF behind each */
	size_t log_bytes;
};

/* A test may have something to say to each thread of the server. */
#ifndef SERVER_THREAD_BEGINS
#define SERVER_THREAD_BEGINS ((void)0)
#endif

struct server_session {
	struct server *server;
	int fd;
	char in[8192];
	size_t n;
	unsigned counts[16];
};

static inline void server_log(struct server *s, const char *line)
{
	(void)pthread_mutex_lock(&s->lock);
	s->log_bytes += (size_t)snprintf(s->log + s->log_bytes, sizeof s->log - s->log_bytes, "%s\n", line);
	if (s->log_bytes >= sizeof s->log)
		s->log_bytes = sizeof s->log - 1;
	(void)pthread_mutex_unlock(&s->lock);
}

static inline bool server_line(struct server_session *c, char *line, size_t cap)
{
	for (;;) {
		char *end = memchr(c->in, '\n', c->n);
		ssize_t got;

		if (end) {
			size_t n = (size_t)(end - c->in);

			(void)snprintf(line, cap, "%.*s", (int)(n > 0 && end[-1] == '\r' ? n - 1 : n), c->in);
			memmove(c->in, end + 1, c->n - n - 1);
			c->n -= n + 1;
			return true;
		}
		if (c->n == sizeof c->in)
			return false;
		got = read(c->fd, c->in + c->n, sizeof c->in - c->n);
		if (got <= 0)
			return false;
		c->n += (size_t)got;
	}
}

static inline const char *server_friendly(const char *line)
{
	static const struct { const char *prefix, *reply; } friendly[] = {
		{ "EHLO", "250-scripted\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES" },
		{ "DATA", "354 go on" }, { "QUIT", "221 2.0.0 bye" }, { ".", "250 2.0.0 taken" },
	};

	if (!line[0])
		return "220 scripted";
	for (size_t i = 0; i < sizeof friendly / sizeof *friendly; i++)
		if (strncmp(line, friendly[i].prefix, strlen(friendly[i].prefix)) == 0)
			return friendly[i].reply;
	return "250 2.1.0 fine";
}

static inline void server_wait(struct server *s)
{
	(void)pthread_mutex_lock(&s->lock);
	s->waiting++;
	while (!s->is_released)
		(void)pthread_cond_wait(&s->released, &s->lock);
	(void)pthread_mutex_unlock(&s->lock);
}

static inline const char *server_reply(struct server_session *c, const char *line)
{
	const struct script_row *row = c->server->script;

	for (size_t i = 0; row && row[i].prefix; i++) {
		size_t n = strlen(row[i].prefix);

		if (n == 0 ? line[0] != '\0' : strncmp(line, row[i].prefix, n) != 0)
			continue;
		if (++c->counts[i] < row[i].from)
			continue;
		if (strcmp(row[i].reply, "WAIT") != 0)
			return row[i].reply;
		server_wait(c->server);
	}
	return server_friendly(line);
}

static inline bool server_say(struct server_session *c, const char *line)
{
	char out[1024];
	const char *reply = server_reply(c, line);
	int n;

	if (strcmp(reply, "CLOSE") == 0)
		return false;
	n = snprintf(out, sizeof out, "%s\r\n", reply);
	return send(c->fd, out, (size_t)n, MSG_NOSIGNAL) == n && strncmp(reply, "221", 3) != 0 &&
	       strncmp(reply, "421", 3) != 0;
}

static inline bool server_content(struct server_session *c)
{
	char line[8192];

	while (server_line(c, line, sizeof line)) {
		server_log(c->server, line);
		if (strcmp(line, ".") == 0) {
			(void)pthread_mutex_lock(&c->server->lock);
			c->server->messages++;
			(void)pthread_mutex_unlock(&c->server->lock);
			return server_say(c, ".");
		}
	}
	return false;
}

static inline void *server_serve(void *user)
{
	struct server_session *c = user;
	char line[8192] = "";
	bool goes_on;

	SERVER_THREAD_BEGINS;
	goes_on = server_say(c, "");
	while (goes_on && server_line(c, line, sizeof line)) {
		bool is_data = strcmp(line, "DATA") == 0;

		server_log(c->server, line);
		if (is_data && strncmp(server_reply(c, "DATA"), "354", 3) == 0) {
			goes_on = send(c->fd, "354 go on\r\n", 11, MSG_NOSIGNAL) == 11 && server_content(c);
			continue;
		}
		goes_on = server_say(c, line);
	}
	(void)shutdown(c->fd, SHUT_WR);
	while (read(c->fd, line, sizeof line) > 0)
		;
	free(c);
	return NULL;
}

static inline void *server_accept(void *user)
{
	struct server *s = user;
	int fd;

	SERVER_THREAD_BEGINS;
	while ((fd = accept(s->fd, NULL, NULL)) >= 0) {
		struct server_session *c = calloc(1, sizeof *c);
		size_t i = s->connections;

		ck_assert_ptr_nonnull(c);
		ck_assert_uint_lt(i, SERVER_THREADS_MAX);
		c->server = s;
		c->fd = fd;
		(void)pthread_mutex_lock(&s->lock);
		s->fds[i] = fd;
		ck_assert_int_eq(pthread_create(&s->threads[i], NULL, server_serve, c), 0);
		s->connections++;
		(void)pthread_mutex_unlock(&s->lock);
	}
	return NULL;
}

/* -1: the port that was asked for is taken. */
static inline int server_listen(const char *address, unsigned port, unsigned *got)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	socklen_t n = sizeof in;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(inet_pton(AF_INET, address, &in.sin_addr), 1);
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
	if (bind(fd, (struct sockaddr *)&in, sizeof in) != 0) {
		ck_assert_uint_ne(port, 0);
		(void)close(fd);
		return -1;
	}
	ck_assert_int_eq(listen(fd, 128), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&in, &n), 0);
	*got = ntohs(in.sin_port);
	return fd;
}

/* `port` 0: any; else NULL if another test has it. */
static inline struct server *server_start(const char *address, unsigned port,
					  const struct script_row *script)
{
	struct server *s = calloc(1, sizeof *s);

	ck_assert_ptr_nonnull(s);
	s->script = script;
	s->fd = server_listen(address, port, &s->port);
	if (s->fd < 0) {
		free(s);
		return NULL;
	}
	ck_assert_int_eq(pthread_mutex_init(&s->lock, NULL), 0);
	ck_assert_int_eq(pthread_cond_init(&s->released, NULL), 0);
	ck_assert_int_eq(pthread_create(&s->thread, NULL, server_accept, s), 0);
	return s;
}

static inline void server_release(struct server *s)
{
	(void)pthread_mutex_lock(&s->lock);
	s->is_released = true;
	(void)pthread_cond_broadcast(&s->released);
	(void)pthread_mutex_unlock(&s->lock);
}

static inline size_t server_count(struct server *s, const size_t *what)
{
	size_t n;

	(void)pthread_mutex_lock(&s->lock);
	n = *what;
	(void)pthread_mutex_unlock(&s->lock);
	return n;
}

/* All lines so far; good until the next call. */
static inline const char *server_text(struct server *s)
{
	static char text[SERVER_LOG_MAX];

	(void)pthread_mutex_lock(&s->lock);
	memcpy(text, s->log, s->log_bytes + 1);
	(void)pthread_mutex_unlock(&s->lock);
	return text;
}

static inline void server_stop(struct server *s)
{
	if (!s)
		return;
	(void)shutdown(s->fd, SHUT_RDWR);
	(void)pthread_join(s->thread, NULL);
	server_release(s);
	for (size_t i = 0; i < s->connections; i++) {
		(void)shutdown(s->fds[i], SHUT_RDWR);
		(void)pthread_join(s->threads[i], NULL);
		(void)close(s->fds[i]);
	}
	(void)close(s->fd);
	free(s);
}

#endif
