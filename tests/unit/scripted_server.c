/* SPDX-License-Identifier: ISC */
/* Plays scripts to the client under test, over a socket of 127.0.0.1, in a thread of the test. */
#include "tests/unit/scripted_server.h"

#include <arpa/inet.h>
#include <check.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LINE_MAX_TEXT = 4096, CONTENT_MAX = 1 << 21, SAY_MAX = 16384 };

struct scripted_server {
	const char *const *scripts;
	SSL_CTX *ctx;
	pthread_t thread;
	bool joined;
	int listener;
	uint16_t port;
	char path[108];
	bool saw_certificate;
	char problem[2 * LINE_MAX_TEXT];
	char content[CONTENT_MAX];
	size_t content_n;
	/* The connection at hand. */
	int fd;
	SSL *ssl;
	char in[LINE_MAX_TEXT];
	size_t in_n;
	char out[SAY_MAX];
	size_t out_n;
};

static ssize_t get(struct scripted_server *s, void *out, size_t n)
{
	if (s->ssl)
		return SSL_read(s->ssl, out, (int)n);
	return recv(s->fd, out, n, 0);
}

/* The client may be gone: that is for it to judge. */
static void flush_out(struct scripted_server *s)
{
	size_t at = 0;

	while (at < s->out_n) {
		ssize_t n = s->ssl ? SSL_write(s->ssl, s->out + at, (int)(s->out_n - at)) :
				     send(s->fd, s->out + at, s->out_n - at, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		at += (size_t)n;
	}
	s->out_n = 0;
}

/* A line without CRLF; false at the end of the input. */
static bool read_line(struct scripted_server *s, char *line)
{
	for (;;) {
		char *lf = memchr(s->in, '\n', s->in_n);
		ssize_t n;

		if (lf) {
			size_t length = (size_t)(lf - s->in);

			memcpy(line, s->in, length);
			line[length > 0 && line[length - 1] == '\r' ? length - 1 : length] = '\0';
			s->in_n -= length + 1;
			memmove(s->in, lf + 1, s->in_n);
			return true;
		}
		if (s->in_n == sizeof s->in)
			return false;
		n = get(s, s->in + s->in_n, sizeof s->in - s->in_n);
		if (n <= 0)
			return false;
		s->in_n += (size_t)n;
	}
}

static bool expect(struct scripted_server *s, const char *text)
{
	char line[LINE_MAX_TEXT] = "the end";

	if (read_line(s, line) && strncmp(line, text, strlen(text)) == 0)
		return true;
	snprintf(s->problem, sizeof s->problem, "expected \"%s\", got \"%s\"", text, line);
	return false;
}

static bool take_content(struct scripted_server *s)
{
	char line[LINE_MAX_TEXT];

	s->content_n = 0;
	while (read_line(s, line)) {
		size_t n = strlen(line);

		if (strcmp(line, ".") == 0)
			return true;
		ck_assert_uint_lt(s->content_n + n + 3, sizeof s->content);
		s->content_n += (size_t)snprintf(s->content + s->content_n, n + 3, "%s\r\n", line);
	}
	snprintf(s->problem, sizeof s->problem, "content ends without its dot");
	return false;
}

static bool start_tls(struct scripted_server *s)
{
	s->in_n = 0;
	s->ssl = SSL_new(s->ctx);
	ck_assert_ptr_nonnull(s->ssl);
	ck_assert_int_eq(SSL_set_fd(s->ssl, s->fd), 1);
	if (SSL_accept(s->ssl) != 1)
		return false;
	s->saw_certificate = SSL_get0_peer_certificate(s->ssl) != NULL;
	return true;
}

/* Whose it is does not matter here. */
static int take_certificate(int good, X509_STORE_CTX *context)
{
	(void)good;
	(void)context;
	return 1;
}

static void wait_for_close(struct scripted_server *s)
{
	char line[LINE_MAX_TEXT];

	while (read_line(s, line))
		continue;
}

/* False ends the connection. */
static bool play_line(struct scripted_server *s, const char *line, size_t n)
{
	char text[LINE_MAX_TEXT];

	snprintf(text, sizeof text, "%.*s", n > 2 ? (int)(n - 2) : 0, line + 2);
	if (line[0] == 'S') {
		s->out_n += (size_t)snprintf(s->out + s->out_n, sizeof s->out - s->out_n, "%s\r\n",
					     text);
		return true;
	}
	flush_out(s);
	switch (line[0]) {
	case 'C':
		return expect(s, text);
	case 'D':
		return take_content(s);
	case 'T':
		return start_tls(s);
	case 'H':
		return get(s, text, sizeof text) > 0;
	case 'W':
		wait_for_close(s);
		return true;
	}
	ck_abort_msg("unknown line in a script: %s", line);
	return false;
}

static void play(struct scripted_server *s, const char *script)
{
	while (*script) {
		size_t n = strcspn(script, "\n");

		if (!play_line(s, script, n))
			break;
		script += n + (script[n] == '\n');
	}
	flush_out(s);
	if (s->ssl)
		(void)SSL_shutdown(s->ssl);
	SSL_free(s->ssl);
	s->ssl = NULL;
	/* Without a reset: what was said last is to arrive. */
	(void)shutdown(s->fd, SHUT_WR);
	s->in_n = 0;
	wait_for_close(s);
	close(s->fd);
}

static void *serve(void *user)
{
	struct scripted_server *s = user;

	for (size_t i = 0; s->scripts[i]; i++) {
		s->fd = accept(s->listener, NULL, NULL);
		if (s->fd < 0) {
			snprintf(s->problem, sizeof s->problem, "only %zu connections came", i);
			break;
		}
		s->in_n = s->out_n = 0;
		play(s, s->scripts[i]);
	}
	return NULL;
}

static struct scripted_server *make(const char *const *scripts)
{
	struct scripted_server *s = calloc(1, sizeof *s);

	ck_assert_ptr_nonnull(s);
	s->scripts = scripts;
	ck_assert(signal(SIGPIPE, SIG_IGN) != SIG_ERR); /* SSL_write() to a client that is gone */
	return s;
}

static void begin(struct scripted_server *s, const struct sockaddr *address, socklen_t n)
{
	s->listener = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(s->listener, 0);
	ck_assert_int_eq(bind(s->listener, address, n), 0);
	ck_assert_int_eq(listen(s->listener, 16), 0);
	ck_assert_int_eq(pthread_create(&s->thread, NULL, serve, s), 0);
}

struct scripted_server *scripted_server_start_unix(const char *const *scripts, const char *path)
{
	struct scripted_server *s = make(scripts);
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(s->path, sizeof s->path, "%s", path);
	memcpy(a.sun_path, s->path, sizeof a.sun_path);
	begin(s, (struct sockaddr *)&a, sizeof a);
	return s;
}

struct scripted_server *scripted_server_start(const char *const *scripts, const char *certificate,
					      const char *key)
{
	struct scripted_server *s = make(scripts);
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof a;

	if (certificate) {
		s->ctx = SSL_CTX_new(TLS_server_method());
		SSL_CTX_set_verify(s->ctx, SSL_VERIFY_PEER, take_certificate);
		ck_assert_int_eq(SSL_CTX_use_certificate_file(s->ctx, certificate,
							      SSL_FILETYPE_PEM), 1);
		ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(s->ctx, key, SSL_FILETYPE_PEM), 1);
	}
	begin(s, (struct sockaddr *)&a, sizeof a);
	ck_assert_int_eq(getsockname(s->listener, (struct sockaddr *)&a, &n), 0);
	s->port = ntohs(a.sin_port);
	return s;
}

bool scripted_server_saw_certificate(const struct scripted_server *s)
{
	return s->saw_certificate;
}

uint16_t scripted_server_port(const struct scripted_server *s)
{
	return s->port;
}

/* Connections that have not come by now do not come: accept() is told so. */
const char *scripted_server_end(struct scripted_server *s)
{
	if (!s->joined) {
		(void)shutdown(s->listener, SHUT_RD);
		ck_assert_int_eq(pthread_join(s->thread, NULL), 0);
	}
	s->joined = true;
	return s->problem;
}

const char *scripted_server_content(const struct scripted_server *s)
{
	return s->content;
}

void scripted_server_free(struct scripted_server *s)
{
	(void)scripted_server_end(s);
	close(s->listener);
	if (s->path[0] != '\0')
		(void)unlink(s->path);
	SSL_CTX_free(s->ctx);
	free(s);
}
