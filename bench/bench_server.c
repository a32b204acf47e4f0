/* SPDX-License-Identifier: ISC */
/* The server over loopback, beside the least that could do the same: requests and answers a second on 100
 * connections beside a bare epoll loop that echoes, and full TLS handshakes a second beside `openssl
 * s_server`, asked by the same clients. What counts is the ratio. Not a test.
 */
#include <smtp/server.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libsmtp/net/tls_self_signed.h"

enum { CONNECTIONS = 100, ROUNDS = 3, ROUND_MS = 1000, S_TIME_S = 2, S_TIMES = 4, LINE_MAX_HERE = 4096 };

static double now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

/* --- the bare loop ---------------------------------------------------------------------------- */

struct echo {
	int listener, epoll;
	uint16_t port;
	atomic_bool ending;
};

static int listen_on_any(uint16_t *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t n = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(fd >= 0 && bind(fd, (struct sockaddr *)&address, n) == 0 && listen(fd, 1024) == 0 &&
		     getsockname(fd, (struct sockaddr *)&address, &n) == 0, "listen");
	*port = ntohs(address.sin_port);
	return fd;
}

static void watch(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll");
}

static void no_delay(int fd)
{
	int one = 1;

	must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0, "no delay");
}

static void echo_one(const struct echo *echo, int fd)
{
	char octets[LINE_MAX_HERE];
	ssize_t n;

	if (fd == echo->listener) {
		fd = accept(echo->listener, NULL, NULL);
		must(fd >= 0, "accept");
		no_delay(fd);
		must(write(fd, "220 \r\n", 6) == 6, "greeting");
		watch(echo->epoll, fd);
		return;
	}
	n = read(fd, octets, sizeof octets);
	if (n <= 0 || write(fd, octets, (size_t)n) != n)
		(void)close(fd);
}

static void *run_echo(void *user)
{
	struct echo *echo = user;
	struct epoll_event events[64];

	while (!atomic_load(&echo->ending)) {
		int n = epoll_wait(echo->epoll, events, 64, 100);

		for (int i = 0; i < n; i++)
			echo_one(echo, events[i].data.fd);
	}
	return NULL;
}

/* --- the client of both ----------------------------------------------------------------------- */

static int connect_to(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	char octets[LINE_MAX_HERE];
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0, "connect");
	no_delay(fd);
	must(read(fd, octets, sizeof octets) > 0, "greeting");
	return fd;
}

/* Each connection asks anew as soon as it has its answer. */
static double requests_a_second(uint16_t port)
{
	static const char request[] = "NOOP\r\n";
	struct epoll_event events[CONNECTIONS];
	int fds[CONNECTIONS], epoll = epoll_create1(0);
	double begin, end;
	long answers = 0;

	must(epoll >= 0, "epoll");
	for (int i = 0; i < CONNECTIONS; i++) {
		fds[i] = connect_to(port);
		watch(epoll, fds[i]);
		must(write(fds[i], request, 6) == 6, "request");
	}
	begin = now();
	do {
		int n = epoll_wait(epoll, events, CONNECTIONS, 1000);

		must(n > 0, "no answer");
		for (int i = 0; i < n; i++) {
			char octets[LINE_MAX_HERE];

			must(read(events[i].data.fd, octets, sizeof octets) > 0, "answer");
			must(write(events[i].data.fd, request, 6) == 6, "request");
		}
		answers += n;
		end = now();
	} while (end - begin < ROUND_MS / 1e3);
	for (int i = 0; i < CONNECTIONS; i++)
		(void)close(fds[i]);
	(void)close(epoll);
	return (double)answers / (end - begin);
}

/* --- our server ------------------------------------------------------------------------------- */

static void *run_server(void *user)
{
	must(smtp_server_run(user) == 0, "run");
	return NULL;
}

static struct smtp_server *server_on(uint16_t *port, const char *certificate, const char *key,
				     pthread_t *thread)
{
	struct smtp_server_options options = SMTP_SERVER_OPTIONS_INIT;
	struct smtp_listener_options listener = SMTP_LISTENER_OPTIONS_INIT;
	struct smtp_server *server = NULL;

	options.loops = 1;
	options.max_connections_per_ip = 0;
	listener.address = "127.0.0.1:0";
	listener.session.hostname = "mx.example.org";
	listener.certificate_file = certificate;
	listener.key_file = key;
	listener.implicit_tls = certificate != NULL;
	must(smtp_server_new(&server, &options) == 0 &&
		     smtp_server_listen(server, &listener, port) == 0 &&
		     pthread_create(thread, NULL, run_server, server) == 0, "server");
	return server;
}

static void end_server(struct smtp_server *server, pthread_t thread)
{
	smtp_server_shutdown(server, 0);
	(void)pthread_join(thread, NULL);
	smtp_server_free(server);
}

static void measure_requests(void)
{
	struct echo echo = { .epoll = epoll_create1(0) };
	pthread_t echo_thread, thread;
	uint16_t port;
	struct smtp_server *server = server_on(&port, NULL, NULL, &thread);
	double ours = 0, bare = 0;

	echo.listener = listen_on_any(&echo.port);
	watch(echo.epoll, echo.listener);
	must(pthread_create(&echo_thread, NULL, run_echo, &echo) == 0, "thread");
	for (int i = 0; i < ROUNDS; i++) {
		double rate = requests_a_second(port);

		ours = rate > ours ? rate : ours;
		rate = requests_a_second(echo.port);
		bare = rate > bare ? rate : bare;
	}
	atomic_store(&echo.ending, true);
	(void)pthread_join(echo_thread, NULL);
	end_server(server, thread);
	printf("server: 100 connections           %8.0f requests a second, bare echo %8.0f, ratio %.2f\n",
	       ours, bare, ours / bare);
}

/* --- handshakes ------------------------------------------------------------------------------- */

/* Each of the clients says how many it made. */
static double handshakes_a_second(uint16_t port)
{
	char command[256], line[LINE_MAX_HERE];
	FILE *out[S_TIMES];
	double sum = 0;

	(void)snprintf(command, sizeof command,
		       "exec openssl s_time -connect 127.0.0.1:%u -new -time %d 2>/dev/null", port,
		       S_TIME_S);
	for (int i = 0; i < S_TIMES; i++) {
		out[i] = popen(command, "r");
		must(out[i] != NULL, "openssl s_time");
	}
	for (int i = 0; i < S_TIMES; i++) {
		long made;
		int seconds;

		while (fgets(line, sizeof line, out[i]))
			if (strstr(line, " real seconds") &&
			    sscanf(line, "%ld connections in %d", &made, &seconds) == 2 && seconds > 0)
				sum += (double)made / seconds;
		(void)pclose(out[i]);
	}
	return sum;
}

static pid_t start_s_server(uint16_t port, const char *certificate, const char *key)
{
	char accept_on[32];
	pid_t pid = fork();

	must(pid >= 0, "fork");
	if (pid > 0)
		return pid;
	(void)snprintf(accept_on, sizeof accept_on, "127.0.0.1:%u", port);
	if (freopen("/dev/null", "w", stdout) && freopen("/dev/null", "w", stderr))
		(void)execlp("openssl", "openssl", "s_server", "-accept", accept_on, "-cert",
			     certificate, "-key", key, "-quiet", (char *)NULL);
	_exit(127);
}

static void wait_until_it_listens(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int rc = -1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 0; i < 500 && rc != 0; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		rc = connect(fd, (struct sockaddr *)&address, sizeof address);
		(void)close(fd);
		(void)usleep(10000);
	}
	must(rc == 0, "openssl s_server");
}

static void measure_handshakes(void)
{
	char folder[] = "/tmp/bench-server-XXXXXX", certificate[64], key[64];
	char problem[SMTP_TLS_PROBLEM_MAX];
	struct smtp_server *server;
	pthread_t thread;
	uint16_t port, other;
	double ours, theirs;
	pid_t pid;

	must(mkdtemp(folder) != NULL, folder);
	(void)snprintf(certificate, sizeof certificate, "%s/certificate.pem", folder);
	(void)snprintf(key, sizeof key, "%s/key.pem", folder);
	must(smtp_tls_self_signed_make("localhost", true, certificate, key, problem) == 0, folder);
	(void)close(listen_on_any(&other));
	pid = start_s_server(other, certificate, key);
	wait_until_it_listens(other);
	server = server_on(&port, certificate, key, &thread);
	theirs = handshakes_a_second(other);
	ours = handshakes_a_second(port);
	end_server(server, thread);
	(void)kill(pid, SIGTERM);
	(void)waitpid(pid, NULL, 0);
	(void)unlink(certificate);
	(void)unlink(key);
	(void)rmdir(folder);
	printf("server: full TLS handshakes       %8.0f a second, openssl s_server %8.0f, ratio %.2f\n",
	       ours, theirs, theirs > 0 ? ours / theirs : 0);
}

int main(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	measure_requests();
	measure_handshakes();
	return EXIT_SUCCESS;
}
