/* SPDX-License-Identifier: ISC */
/* A server session in somebody else's event loop, here poll(2): foreign_loop [PORT] takes mail on loopback
 * and prints a line for each. The library opens no socket, reads no clock and starts no thread; for TLS,
 * run the handshake of your own library when SMTP_WANTS_TLS is there, then smtp_server_session_tls_started().
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <smtp/smtp.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "common.h"

enum { CONNECTIONS_MAX = 64, THINKING_MS = 20 };

struct connection {
	int fd;
	struct smtp_server_session *session;
	unsigned char input[4096]; /* what the session has not taken yet */
	size_t input_n;
	uint64_t answer_at_ms; /* of a verdict that is pending; 0: none is */
};

static struct connection *connections[CONNECTIONS_MAX];
static size_t connection_count;

static uint64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* --- what the application decides -------------------------------------------------------------- */

/* Some decisions take a while. This one is made by the loop, a little later. */
static enum smtp_verdict on_rcpt(struct smtp_server_session *session,
				 const struct smtp_rcpt_request *request, void *user)
{
	struct connection *c = user;

	(void)session;
	(void)request;
	c->answer_at_ms = now_ms() + THINKING_MS;
	return SMTP_PENDING;
}

static enum smtp_verdict on_end(struct smtp_server_session *session, void *user)
{
	(void)user;
	printf("%llu octets for %zu recipients from %s\n",
	       (unsigned long long)smtp_server_session_content_bytes(session),
	       smtp_server_session_recipient_count(session),
	       smtp_server_session_helo_name(session));
	(void)fflush(stdout);
	return SMTP_ACCEPT;
}

static const struct smtp_server_session_handler handler = { .size = sizeof handler,
							    .rcpt = on_rcpt,
							    .end = on_end };

/* --- one connection ---------------------------------------------------------------------------- */

static void close_connection(size_t i)
{
	struct connection *c = connections[i];

	smtp_server_session_free(c->session);
	(void)close(c->fd);
	free(c);
	connections[i] = connections[--connection_count]; /* the last one takes its place ... */
}

static void open_connection(int fd)
{
	struct smtp_server_session_options options = SMTP_SERVER_SESSION_OPTIONS_INIT;
	struct connection *c = calloc(1, sizeof *c);

	options.hostname = "localhost";
	if (!c) {
		(void)close(fd);
		return;
	}
	c->fd = fd;
	connections[connection_count] = c;
	if (smtp_server_session_new(&c->session, &options, &handler, c) == 0 &&
	    smtp_server_session_start(c->session, now_ms()) == 0) {
		connection_count++;
		return;
	}
	smtp_server_session_free(c->session);
	(void)close(fd);
	free(c);
}

/* Gives the session what there is and sends what it says. 0: the connection is over. */
static int drive(struct connection *c)
{
	for (;;) {
		size_t taken = 0;
		struct smtp_span out;
		unsigned wants;
		ssize_t sent;

		if (smtp_server_session_feed(c->session, c->input, c->input_n, now_ms(), &taken))
			c->input_n = 0; /* it wants to be closed */
		else
			c->input_n -= taken;
		memmove(c->input, c->input + taken, c->input_n);
		wants = smtp_server_session_wants(c->session);
		if (!(wants & SMTP_WANTS_WRITE))
			return !(wants & SMTP_WANTS_CLOSE);
		out = smtp_server_session_output(c->session);
		sent = send(c->fd, out.p, out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0)
			return errno == EAGAIN || errno == EINTR;
		smtp_server_session_sent(c->session, (size_t)sent);
	}
}

static int read_and_drive(struct connection *c)
{
	ssize_t n = recv(c->fd, c->input + c->input_n, sizeof c->input - c->input_n, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		smtp_server_session_peer_closed(c->session);
	c->input_n += (size_t)n;
	return drive(c);
}

/* --- the loop ---------------------------------------------------------------------------------- */

static short events_of(const struct connection *c)
{
	unsigned wants = smtp_server_session_wants(c->session);

	return (short)((wants & SMTP_WANTS_WRITE ? POLLOUT : 0) |
		       ((wants & SMTP_WANTS_READ) && c->input_n < sizeof c->input ? POLLIN : 0));
}

static uint64_t deadline_of(const struct connection *c)
{
	uint64_t at_ms = smtp_server_session_deadline(c->session);

	return c->answer_at_ms && c->answer_at_ms < at_ms ? c->answer_at_ms : at_ms;
}

static int run_timers(struct connection *c)
{
	if (deadline_of(c) > now_ms())
		return 1;
	if (c->answer_at_ms && c->answer_at_ms <= now_ms()) {
		c->answer_at_ms = 0;
		(void)smtp_server_session_reply(c->session, NULL); /* accepts */
	}
	smtp_server_session_tick(c->session, now_ms());
	return drive(c);
}

/* Fills in what to wait for; returns for how long. */
static int prepare(struct pollfd *fds, int listening)
{
	uint64_t first_ms = UINT64_MAX;
	uint64_t now = now_ms();

	fds[0] = (struct pollfd){ .fd = connection_count < CONNECTIONS_MAX ? listening : -1,
				  .events = POLLIN };
	for (size_t i = 0; i < connection_count; i++) {
		short events = events_of(connections[i]);

		fds[i + 1] = (struct pollfd){ .fd = events ? connections[i]->fd : -1,
					      .events = events };
		if (deadline_of(connections[i]) < first_ms)
			first_ms = deadline_of(connections[i]);
	}
	if (first_ms <= now)
		return 0;
	return first_ms - now < 60000 ? (int)(first_ms - now) : 60000;
}

static void serve(int listening, const sigset_t *signals)
{
	struct pollfd fds[CONNECTIONS_MAX + 1];

	for (;;) {
		int wait_ms = prepare(fds, listening);
		struct timespec wait = { wait_ms / 1000, wait_ms % 1000 * 1000000L };

		if (ppoll(fds, connection_count + 1, &wait, signals) < 0)
			return; /* a signal; it comes nowhere else */
		/* From the last to the first: ... so that none is left out when one is closed. */
		for (size_t i = connection_count; i-- > 0;) {
			struct connection *c = connections[i];
			int goes_on = 1;

			if (fds[i + 1].revents && (fds[i + 1].events & POLLOUT))
				goes_on = drive(c);
			if (goes_on && fds[i + 1].revents && (fds[i + 1].events & POLLIN))
				goes_on = read_and_drive(c);
			if (!goes_on || !run_timers(c))
				close_connection(i);
		}
		if (fds[0].revents & POLLIN) {
			int fd = accept(listening, NULL, NULL);

			if (fd >= 0)
				open_connection(fd);
		}
	}
}

static void on_signal(int number)
{
	(void)number;
}

/* SIGTERM and SIGINT end ppoll(), and are blocked besides. */
static sigset_t set_signals(void)
{
	const struct sigaction action = { .sa_handler = on_signal };
	sigset_t both, before;

	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigemptyset(&both);
	(void)sigaddset(&both, SIGTERM);
	(void)sigaddset(&both, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &both, &before);
	return before;
}

int main(int argc, char **argv)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)(argc > 1 ? atol(argv[1]) : 2525)),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof in;
	sigset_t signals = set_signals();
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (argc > 2) {
		fprintf(stderr, "usage: foreign_loop [PORT]\n");
		return 2;
	}
	if (fd < 0 || bind(fd, (struct sockaddr *)&in, n) != 0 || listen(fd, 16) != 0 ||
	    getsockname(fd, (struct sockaddr *)&in, &n) != 0) {
		perror("foreign_loop");
		return 1;
	}
	printf("port %d\n", ntohs(in.sin_port));
	(void)fflush(stdout);
	serve(fd, &signals);
	while (connection_count > 0)
		close_connection(0);
	(void)close(fd);
	return 0;
}
