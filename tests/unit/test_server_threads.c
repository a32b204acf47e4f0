/* SPDX-License-Identifier: ISC */
/* Two hundred clients at once, and all that goes on in threads beside them: blocking functions, verdicts
 * from elsewhere, TLS, proxies, certificates and options that change, a shutdown in the midst. Meant for
 * the thread sanitizer, and short enough for every day.
 */
#include <pthread.h>
#include <signal.h>
#include <smtp/middleware.h>
#include <smtp/server.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/unit/certificate.h"
#include "tests/unit/server_client.h"
#include "tests/unit/testing.h"

enum { CLIENTS = 200, MESSAGES = 3, TICKETS = 1024 };

static struct smtp_server *server;
static struct smtp_listener_options listener;
static struct certificate_files files;
static uint16_t port, proxy_port;
static atomic_int attempts, accepted, connects, disconnects, slow_calls;
static atomic_bool clients_are_done;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t some = PTHREAD_COND_INITIALIZER;
static struct smtp_ticket tickets[TICKETS];
static size_t ticket_count;
static bool ending;

/* --- the application --------------------------------------------------------------------------- */

static void *answer_tickets(void *user)
{
	struct smtp_reply reply = smtp_reply_of(250, "2.0.0", "answered elsewhere");

	(void)user;
	(void)pthread_mutex_lock(&lock);
	while (!ending || ticket_count > 0) {
		if (ticket_count == 0) {
			(void)pthread_cond_wait(&some, &lock);
			continue;
		}
		struct smtp_ticket ticket = tickets[--ticket_count];

		(void)pthread_mutex_unlock(&lock);
		(void)smtp_server_answer(ticket, &reply);
		(void)smtp_server_answer(ticket, &reply); /* hits nothing */
		(void)pthread_mutex_lock(&lock);
	}
	(void)pthread_mutex_unlock(&lock);
	return NULL;
}

static enum smtp_verdict pend(struct smtp_server_session *s)
{
	struct smtp_ticket ticket = smtp_server_ticket(s);

	(void)pthread_mutex_lock(&lock);
	if (ticket_count < TICKETS)
		tickets[ticket_count++] = ticket;
	(void)pthread_cond_signal(&some);
	(void)pthread_mutex_unlock(&lock);
	return SMTP_PENDING;
}

static enum smtp_verdict on_connect(struct smtp_server_session *s, void *user)
{
	(void)s;
	(void)user;
	atomic_fetch_add(&connects, 1);
	return SMTP_ACCEPT;
}

static enum smtp_verdict on_rcpt(struct smtp_server_session *s,
				 const struct smtp_rcpt_request *request, void *user)
{
	(void)user;
	return request->forward_path->mailbox.local_part[0] == 'p' ? pend(s) : SMTP_ACCEPT;
}

static enum smtp_verdict on_end(struct smtp_server_session *s, void *user)
{
	(void)user;
	atomic_fetch_add(&accepted, 1);
	return pend(s);
}

static void on_disconnect(struct smtp_server_session *s, enum smtp_disconnect_reason reason,
			  void *user)
{
	(void)s;
	(void)reason;
	(void)user;
	atomic_fetch_add(&disconnects, 1);
}

static const struct smtp_server_session_handler handler = { .size = sizeof(handler),
							    .connect = on_connect,
							    .rcpt = on_rcpt,
							    .end = on_end,
							    .disconnect = on_disconnect };

/* Runs on workers; what it knows of the session is its own slot. */
static enum smtp_verdict slow_mail(struct smtp_server_session *s,
				   const struct smtp_mail_request *request, void *user)
{
	void **slot = smtp_server_session_slot(s, user);

	(void)request;
	atomic_fetch_add(&slow_calls, 1);
	*slot = (char *)*slot + 1;
	ck_assert_str_eq(smtp_server_session_helo_name(s), "client.example");
	if ((uintptr_t)*slot % 2)
		return SMTP_ACCEPT;
	return pend(s);
}

static struct smtp_server_session_handler slow = { .size = sizeof(slow), .mail = slow_mail };

/* --- the clients ------------------------------------------------------------------------------- */

static bool talk(struct client *c, const char *command)
{
	char line[CLIENT_LINE_MAX];

	if (command) {
		size_t n = strlen(command);
		ssize_t sent = c->ssl ? SSL_write(c->ssl, command, (int)n) :
					send(c->fd, command, n, MSG_NOSIGNAL);

		if (sent != (ssize_t)n)
			return false;
	}
	do {
		if (!client_line(c, line))
			return false;
	} while (line[3] == '-');
	return line[0] == '2' || line[0] == '3';
}

static bool greet(struct client *c, size_t number)
{
	static const char header[] = "PROXY TCP4 192.0.2.1 198.51.100.1 1 25\r\n";
	bool proxied = number % 5 == 0;

	client_connect_to(c, "127.0.0.1", proxied ? proxy_port : port);
	atomic_fetch_add(&attempts, 1);
	if (proxied && send(c->fd, header, sizeof(header) - 1, MSG_NOSIGNAL) < 0)
		return false;
	c->may_be_cut = true;
	if (!talk(c, NULL) || !talk(c, "EHLO client.example\r\n"))
		return false;
	if (number % 20 != 1)
		return true;
	return talk(c, "STARTTLS\r\n") && client_start_tls(c) && talk(c, "EHLO client.example\r\n");
}

static void *be_client(void *user)
{
	const size_t *number = user;
	bool good;
	struct client c;

	good = greet(&c, *number);
	for (int i = 0; i < MESSAGES && good; i++)
		good = talk(&c, "MAIL FROM:<>\r\n") &&
		       talk(&c, i % 2 ? "RCPT TO:<p@example.com>\r\n" : "RCPT TO:<x@example.com>\r\n") &&
		       talk(&c, "DATA\r\n") && talk(&c, "hello\r\n.\r\n");
	if (*number % 3 == 0)
		good = good && talk(&c, "QUIT\r\n");
	ck_assert(good);
	client_close(&c);
	return NULL;
}

/* Some of these are in the midst of something when the server stops. */
static void *be_cut_off(void *user)
{
	const size_t *number = user;
	struct client c;

	if (greet(&c, *number) && talk(&c, "MAIL FROM:<>\r\n"))
		while (talk(&c, "RCPT TO:<p@example.com>\r\n"))
			;
	client_close(&c);
	return NULL;
}

static void start_clients(pthread_t *threads, size_t *numbers, size_t n, void *(*run)(void *))
{
	for (size_t i = 0; i < n; i++) {
		numbers[i] = i;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, run, &numbers[i]), 0);
	}
}

static void join_clients(const pthread_t *threads, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}

/* --- and what changes meanwhile ---------------------------------------------------------------- */

static void *change_things(void *user)
{
	struct smtp_server_session_options options = listener.session;

	(void)user;
	while (!atomic_load(&clients_are_done)) {
		options.max_recipients++;
		ck_assert_int_eq(smtp_server_set_session_options(server, 0, &options), 0);
		ck_assert_int_eq(smtp_server_reload_tls(server, NULL, 0), 0);
		(void)smtp_server_session_count(server);
	}
	return NULL;
}

static void set_up(void)
{
	struct smtp_server_options options = SMTP_SERVER_OPTIONS_INIT;
	struct smtp_middleware m = smtp_middleware_of("slow", &slow, &slow);

	certificate_make(&files, "DNS:localhost", NULL);
	ck_assert(signal(SIGPIPE, SIG_IGN) != SIG_ERR); /* for SSL_write() of the clients */
	options.loops = 3;
	options.workers = 3;
	options.max_connections_per_ip = 0;
	m.blocking = true;
	listener = (struct smtp_listener_options)SMTP_LISTENER_OPTIONS_INIT;
	listener.address = "127.0.0.1:0";
	listener.session.hostname = "mail.example.com";
	listener.handler = &handler;
	listener.certificate_file = files.certificate;
	listener.key_file = files.key;
	ck_assert_int_eq(smtp_server_new(&server, &options), 0);
	ck_assert_int_eq(smtp_server_use(server, &m), 0);
	ck_assert_int_eq(smtp_server_listen(server, &listener, &port), 0);
	listener.proxy_networks = "127.0.0.1";
	ck_assert_int_eq(smtp_server_listen(server, &listener, &proxy_port), 0);
	ck_assert_int_eq(smtp_server_start(server), 0);
}

static void tear_down(void)
{
	smtp_server_free(server);
	certificate_remove(&files);
}

START_TEST(two_hundred_clients)
{
	static pthread_t clients[CLIENTS];
	static size_t numbers[CLIENTS];
	pthread_t answers, changes;

	ck_assert_int_eq(pthread_create(&answers, NULL, answer_tickets, NULL), 0);
	ck_assert_int_eq(pthread_create(&changes, NULL, change_things, NULL), 0);
	start_clients(clients, numbers, CLIENTS, be_client);
	join_clients(clients, CLIENTS);
	ck_assert_int_eq(atomic_load(&accepted), CLIENTS * MESSAGES);

	start_clients(clients, numbers, CLIENTS / 4, be_cut_off);
	while (atomic_load(&attempts) < CLIENTS + CLIENTS / 4)
		(void)usleep(1000);
	smtp_server_shutdown(server, 20);
	ck_assert_int_eq(smtp_server_wait(server), 0);
	atomic_store(&clients_are_done, true);
	join_clients(&changes, 1);
	(void)pthread_mutex_lock(&lock);
	ending = true;
	(void)pthread_cond_broadcast(&some);
	(void)pthread_mutex_unlock(&lock);
	join_clients(&answers, 1);
	smtp_server_free(server); /* closes what is still in a backlog */
	server = NULL;
	join_clients(clients, CLIENTS / 4);
	ck_assert_int_eq(atomic_load(&connects), atomic_load(&disconnects));
	ck_assert_int_ge(atomic_load(&slow_calls), CLIENTS * MESSAGES);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("server_threads");
	TCase *tc = tcase_create("server_threads");

	tcase_set_timeout(tc, 240);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, two_hundred_clients);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
