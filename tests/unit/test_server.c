/* SPDX-License-Identifier: ISC */
/* The server over real sockets on loopback: many clients, verdicts from other threads, limits, times,
 * TLS both ways, hostile peers, shutdown. Handlers act by the local part of the recipient.
 */
#include "tests/unit/testing.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include "libsmtp/net/server_private.h"
#include "tests/unit/certificate.h"
#include "tests/unit/server_client.h"

enum { ANSWER_THREADS = 2, TICKETS_MAX = 4096 };

/* --- the application -------------------------------------------------------------------------- */

struct application {
	atomic_int connects;
	atomic_int disconnects;
	atomic_int accepted;
	atomic_int resets;
	atomic_int last_reason;
	atomic_llong octets;
	pthread_mutex_t lock;
	pthread_cond_t some;
	struct smtp_ticket tickets[TICKETS_MAX];
	size_t ticket_count;
	bool answers_are_held; /* until this is taken away, or the application ends */
	bool ending;
	pthread_t threads[ANSWER_THREADS];
	char trace_ids[8][32];
	atomic_int trace_id_count;
	atomic_uint loops; /* a bit for each that had a session */
	char peer_address[64];
	char tls[128];
};

static struct application app;

/* Answers every ticket: accepts, or refuses what was held when the session is gone anyway. */
static void *answer_tickets(void *user)
{
	struct smtp_reply reply = smtp_reply_of(250, "2.1.5", "answered elsewhere");

	(void)user;
	(void)pthread_mutex_lock(&app.lock);
	while (!app.ending || app.ticket_count > 0) {
		if (app.ticket_count > 0 && (!app.answers_are_held || app.ending)) {
			struct smtp_ticket ticket = app.tickets[--app.ticket_count];

			(void)pthread_mutex_unlock(&app.lock);
			ck_assert_int_eq(smtp_server_answer(ticket, &reply), 0);
			(void)pthread_mutex_lock(&app.lock);
			continue;
		}
		(void)pthread_cond_wait(&app.some, &app.lock);
	}
	(void)pthread_mutex_unlock(&app.lock);
	return NULL;
}

static enum smtp_verdict pend(struct smtp_server_session *session)
{
	struct smtp_ticket ticket = smtp_server_ticket(session);

	(void)pthread_mutex_lock(&app.lock);
	ck_assert_uint_lt(app.ticket_count, TICKETS_MAX);
	app.tickets[app.ticket_count++] = ticket;
	(void)pthread_cond_signal(&app.some);
	(void)pthread_mutex_unlock(&app.lock);
	return SMTP_PENDING;
}

static size_t tickets_held(void)
{
	size_t n;

	(void)pthread_mutex_lock(&app.lock);
	n = app.ticket_count;
	(void)pthread_mutex_unlock(&app.lock);
	return n;
}

static void hold_answers(bool hold)
{
	(void)pthread_mutex_lock(&app.lock);
	app.answers_are_held = hold;
	(void)pthread_cond_broadcast(&app.some);
	(void)pthread_mutex_unlock(&app.lock);
}

static enum smtp_verdict on_connect(struct smtp_server_session *session, void *user)
{
	int i = atomic_fetch_add(&app.trace_id_count, 1);

	(void)user;
	atomic_fetch_add(&app.connects, 1);
	if (i < 8)
		(void)snprintf(app.trace_ids[i], sizeof app.trace_ids[i], "%s",
			       smtp_server_session_trace_id(session));
	if (i == 0) {
		(void)snprintf(app.peer_address, sizeof app.peer_address, "%s",
			       smtp_server_session_peer_address(session));
		ck_assert_uint_ne(smtp_server_session_peer_port(session), 0);
	}
	ck_assert_uint_lt(smtp_server_session_loop(session), 2);
	atomic_fetch_or(&app.loops, 1u << smtp_server_session_loop(session));
	return SMTP_ACCEPT;
}

static enum smtp_verdict on_helo(struct smtp_server_session *session, struct smtp_span name,
				 bool extended, void *user)
{
	(void)name;
	(void)extended;
	(void)user;
	if (smtp_server_session_has_tls(session)) {
		(void)pthread_mutex_lock(&app.lock);
		(void)snprintf(app.tls, sizeof app.tls, "%s",
			       smtp_server_session_tls_description(session));
		(void)pthread_mutex_unlock(&app.lock);
	}
	return SMTP_ACCEPT;
}

static enum smtp_verdict on_rcpt(struct smtp_server_session *session,
				 const struct smtp_rcpt_request *request, void *user)
{
	struct smtp_reply reply = smtp_reply_of(250, "2.1.5", "answered at once");
	struct smtp_reply no = smtp_reply_of(550, "5.1.1", "no such user");
	const char *name = request->forward_path->mailbox.local_part;

	(void)user;
	if (strcmp(name, "pend") == 0)
		return pend(session);
	if (strcmp(name, "inside") == 0) { /* answered before it is pending */
		ck_assert_int_eq(smtp_server_answer(smtp_server_ticket(session), &reply), 0);
		return SMTP_PENDING;
	}
	if (strcmp(name, "stop") == 0)
		smtp_server_shutdown(smtp_server_ticket(session).server, 0);
	if (strcmp(name, "no") == 0)
		return smtp_server_session_reply(session, &no) == 0 ? SMTP_REPLIED : SMTP_ACCEPT;
	return SMTP_ACCEPT;
}

static enum smtp_verdict on_content(struct smtp_server_session *session, struct smtp_span octets,
				    void *user)
{
	(void)session;
	(void)user;
	atomic_fetch_add(&app.octets, (long long)octets.n);
	return SMTP_ACCEPT;
}

static enum smtp_verdict on_end(struct smtp_server_session *session, void *user)
{
	(void)user;
	atomic_fetch_add(&app.accepted, 1);
	return pend(session);
}

static void on_reset(struct smtp_server_session *session, void *user)
{
	(void)session;
	(void)user;
	atomic_fetch_add(&app.resets, 1);
}

static void on_disconnect(struct smtp_server_session *session, enum smtp_disconnect_reason reason,
			  void *user)
{
	(void)user;
	ck_assert_uint_eq(strlen(smtp_server_session_trace_id(session)), 12);
	atomic_store(&app.last_reason, (int)reason);
	atomic_fetch_add(&app.disconnects, 1);
}

static const struct smtp_server_session_handler handler = {
	.size = sizeof handler,
	.connect = on_connect,
	.helo = on_helo,
	.rcpt = on_rcpt,
	.content = on_content,
	.end = on_end,
	.reset = on_reset,
	.disconnect = on_disconnect,
};

/* --- the server ------------------------------------------------------------------------------- */

static struct smtp_server *server;
static struct smtp_server_options options;
static struct smtp_listener_options listener;
static struct certificate_files files;
static pthread_t server_thread;
static bool is_running;
static uint16_t port;

static void *run_server(void *user)
{
	int err = smtp_server_run(server);

	(void)user;
	ck_assert(err == 0 || err == SMTP_ECLOSED); /* shut down before it began */
	return NULL;
}

static void set_up(void)
{
	smtp_server_options_init(&options);
	options.loops = 2;
	options.handshake_timeout_ms = 5000;
	listener = (struct smtp_listener_options)SMTP_LISTENER_OPTIONS_INIT;
	listener.address = "127.0.0.1:0";
	listener.session.hostname = "mail.example.com";
	listener.handler = &handler;
	certificate_make(&files, "DNS:localhost,IP:127.0.0.1", NULL);
	ck_assert_int_eq(pthread_mutex_init(&app.lock, NULL), 0);
	ck_assert_int_eq(pthread_cond_init(&app.some, NULL), 0);
	for (int i = 0; i < ANSWER_THREADS; i++)
		ck_assert_int_eq(pthread_create(&app.threads[i], NULL, answer_tickets, NULL), 0);
}

static void make_server(void)
{
	ck_assert_int_eq(smtp_server_new(&server, &options), 0);
}

static void listen_here(void)
{
	ck_assert_msg(smtp_server_listen(server, &listener, &port) == 0, "%s",
		      smtp_server_problem(server));
	ck_assert_uint_ne(port, 0);
}

static void run(void)
{
	ck_assert_int_eq(pthread_create(&server_thread, NULL, run_server, NULL), 0);
	is_running = true;
}

static void start(void)
{
	make_server();
	listen_here();
	run();
}

static void use_tls(void)
{
	listener.certificate_file = files.certificate;
	listener.key_file = files.key;
}

static void join(void)
{
	ck_assert_int_eq(pthread_join(server_thread, NULL), 0);
	is_running = false;
}

static void tear_down(void)
{
	if (is_running) {
		smtp_server_shutdown(server, 0);
		join();
	}
	(void)pthread_mutex_lock(&app.lock);
	app.ending = true;
	(void)pthread_cond_broadcast(&app.some);
	(void)pthread_mutex_unlock(&app.lock);
	for (int i = 0; i < ANSWER_THREADS; i++)
		ck_assert_int_eq(pthread_join(app.threads[i], NULL), 0);
	smtp_server_free(server);
	ck_assert_int_eq(atomic_load(&app.connects), atomic_load(&app.disconnects));
	certificate_remove(&files);
}

static bool no_session_is_left(void)
{
	return smtp_server_session_count(server) == 0;
}

static bool one_session_is_left(void)
{
	return smtp_server_session_count(server) == 1;
}

static bool a_ticket_is_held(void)
{
	return tickets_held() > 0;
}

/* --- clients ---------------------------------------------------------------------------------- */

static void client_connect(struct client *c)
{
	client_connect_to(c, "127.0.0.1", port);
}

static void client_greet(struct client *c)
{
	client_connect(c);
	client_expect(c, "220 mail.example.com");
	client_talk(c, "EHLO client.example\r\n", "250 ");
}

static void client_send_message(struct client *c, const char *to)
{
	char command[256];

	client_talk(c, "MAIL FROM:<a@client.example>\r\n", "250");
	(void)snprintf(command, sizeof command, "RCPT TO:<%s@example.com>\r\n", to);
	client_talk(c, command, "250");
	client_talk(c, "DATA\r\n", "354");
	client_talk(c, "Subject: x\r\n\r\nhello\r\n.\r\n", "250");
}

/* --- sessions --------------------------------------------------------------------------------- */

START_TEST(one_message)
{
	struct client c;

	start();
	client_greet(&c);
	ck_assert_uint_eq(smtp_server_session_count(server), 1);
	client_send_message(&c, "pend");
	client_talk(&c, "QUIT\r\n", "221");
	client_expect_end(&c);
	client_close(&c);
	wait_for(no_session_is_left);
	ck_assert_int_eq(atomic_load(&app.accepted), 1);
	ck_assert_int_eq(atomic_load(&app.last_reason), SMTP_DISCONNECT_QUIT);
	ck_assert_str_eq(app.peer_address, "127.0.0.1");
}
END_TEST

enum { CLIENT_THREADS = 8, MESSAGES = 40 };

static void *send_messages(void *user)
{
	struct client c;

	(void)user;
	client_greet(&c);
	for (int i = 0; i < MESSAGES; i++)
		client_send_message(&c, i % 2 ? "pend" : "x");
	client_talk(&c, "QUIT\r\n", "221");
	client_close(&c);
	return NULL;
}

START_TEST(many_clients_at_once)
{
	pthread_t threads[CLIENT_THREADS];

	start();
	for (int i = 0; i < CLIENT_THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, send_messages, NULL), 0);
	for (int i = 0; i < CLIENT_THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	wait_for(no_session_is_left);
	ck_assert_int_eq(atomic_load(&app.accepted), CLIENT_THREADS * MESSAGES);
	for (int i = 0; i < 8; i++)
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(app.trace_ids[i], app.trace_ids[j]);
}
END_TEST

/* Replies of one batch come with one segment, also when a verdict came from elsewhere. */
START_TEST(pipelined_batch_is_answered_in_one_write)
{
	static const char *const batches[] = {
		"MAIL FROM:<>\r\nRCPT TO:<x@example.com>\r\nRCPT TO:<no@example.com>\r\nDATA\r\n",
		"MAIL FROM:<>\r\nRCPT TO:<pend@example.com>\r\nRCPT TO:<no@example.com>\r\nDATA\r\n",
		"MAIL FROM:<>\r\nRCPT TO:<inside@example.com>\r\nRCPT TO:<no@example.com>\r\nDATA\r\n",
	};
	struct client c;

	start();
	client_greet(&c);
	client_say(&c, batches[_i]);
	(void)client_fill(&c);
	ck_assert_uint_gt(c.in_n, 4);
	ck_assert_ptr_nonnull(memmem(c.in, c.in_n, "\r\n354", 5));
	client_expect(&c, "250 2.1.0");
	client_expect(&c, "250 2.1.5");
	client_expect(&c, "550 5.1.1");
	client_expect(&c, "354");
	client_talk(&c, "hello\r\n.\r\n", "250");
	client_close(&c);
	wait_for(no_session_is_left);
	ck_assert_int_eq(atomic_load(&app.last_reason), SMTP_DISCONNECT_PEER_CLOSED);
}
END_TEST

START_TEST(session_is_gone_before_the_answer)
{
	struct client c;

	start();
	hold_answers(true);
	client_greet(&c);
	client_talk(&c, "MAIL FROM:<>\r\n", "250");
	client_say(&c, "RCPT TO:<pend@example.com>\r\n");
	wait_for(a_ticket_is_held);
	smtp_server_shutdown(server, 0);
	client_expect_end(&c);
	client_close(&c);
	join();
	ck_assert_uint_eq(smtp_server_session_count(server), 0);
	hold_answers(false); /* it comes to a loop that has ended */
}
END_TEST

static void reset_connection(struct client *c)
{
	struct linger reset = { .l_onoff = 1 };

	ck_assert_int_eq(setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
	client_close(c);
}

START_TEST(session_is_gone_before_the_answer_while_the_server_runs)
{
	struct client c;

	start();
	hold_answers(true);
	client_greet(&c);
	client_talk(&c, "MAIL FROM:<>\r\n", "250");
	client_say(&c, "RCPT TO:<pend@example.com>\r\n");
	wait_for(a_ticket_is_held);
	reset_connection(&c);
	wait_for(no_session_is_left);
	hold_answers(false);
	client_greet(&c);
	client_send_message(&c, "pend");
	client_close(&c);
}
END_TEST

static bool is_readable(const struct client *c)
{
	struct pollfd waiting = { .fd = c->fd, .events = POLLIN };

	return poll(&waiting, 1, 0) == 1;
}

/* Enough sessions that one stands at the same place of the table as the one that is gone. */
START_TEST(late_answer_goes_to_nobody_else)
{
	enum { OTHERS = 64 };
	static struct client others[OTHERS];
	struct smtp_reply reply = smtp_reply_of(250, "2.1.5", "late");
	struct client gone;

	options.loops = 1;
	options.max_connections_per_ip = 0;
	start();
	hold_answers(true);
	client_greet(&gone);
	client_talk(&gone, "MAIL FROM:<>\r\n", "250");
	client_say(&gone, "RCPT TO:<pend@example.com>\r\n");
	wait_for(a_ticket_is_held);
	reset_connection(&gone);
	wait_for(no_session_is_left);
	for (int i = 0; i < OTHERS; i++) {
		client_greet(&others[i]);
		client_talk(&others[i], "MAIL FROM:<>\r\n", "250");
		client_say(&others[i], "RCPT TO:<pend@example.com>\r\n");
		while (tickets_held() < (size_t)i + 2)
			(void)poll(NULL, 0, 1);
	}
	ck_assert_int_eq(smtp_server_answer(app.tickets[0], &reply), 0);
	ck_assert_int_eq(smtp_server_answer(app.tickets[1], &reply), 0);
	client_expect(&others[0], "250 2.1.5 late");
	for (int i = 1; i < OTHERS; i++)
		ck_assert(!is_readable(&others[i]));
	hold_answers(false);
	for (int i = 1; i < OTHERS; i++)
		client_expect(&others[i], "250 2.1.5 answered elsewhere");
	for (int i = 0; i < OTHERS; i++)
		client_close(&others[i]);
}
END_TEST

START_TEST(each_loop_takes_connections)
{
	static struct client clients[40];

	start();
	for (int i = 0; i < 40; i++)
		client_greet(&clients[i]);
	ck_assert_uint_eq(atomic_load(&app.loops), 3);
	for (int i = 0; i < 40; i++)
		client_close(&clients[i]);
}
END_TEST

START_TEST(half_closed_client_is_answered)
{
	struct client c;

	start();
	client_greet(&c);
	client_talk(&c, "MAIL FROM:<>\r\n", "250");
	client_talk(&c, "RCPT TO:<x@example.com>\r\n", "250");
	client_talk(&c, "DATA\r\n", "354");
	hold_answers(true);
	client_say(&c, "hello\r\n.\r\n");
	ck_assert_int_eq(shutdown(c.fd, SHUT_WR), 0);
	wait_for(a_ticket_is_held);
	hold_answers(false);
	client_expect(&c, "250");
	client_expect_end(&c);
	client_close(&c);
	wait_for(no_session_is_left);
	ck_assert_int_eq(atomic_load(&app.last_reason), SMTP_DISCONNECT_PEER_CLOSED);
}
END_TEST

/* Memory stays bounded: the server stops reading, so that the client can't send any more either. */
START_TEST(client_that_never_reads)
{
	char commands[6000];
	size_t total = 0;
	ssize_t n;
	struct client c;
	struct client other;

	for (size_t i = 0; i < sizeof commands; i += 6)
		memcpy(commands + i, "HELP\r\n", 6);
	start();
	client_greet(&c);
	ck_assert_int_eq(fcntl(c.fd, F_SETFL, O_NONBLOCK), 0);
	for (;;) {
		struct pollfd waiting = { .fd = c.fd, .events = POLLOUT };

		n = send(c.fd, commands, sizeof commands, MSG_NOSIGNAL);
		if (n > 0)
			total += (size_t)n;
		else if (poll(&waiting, 1, 500) == 0)
			break; /* it takes nothing more */
		ck_assert_uint_lt(total, 64 << 20);
	}
	client_greet(&other); /* others are served */
	client_close(&other);
	ck_assert_int_eq(fcntl(c.fd, F_SETFL, 0), 0);
	for (size_t i = 0; i < total / 6; i++)
		client_expect(&c, "214"); /* nothing was lost */
	client_close(&c);
}
END_TEST

/* --- limits and times ------------------------------------------------------------------------- */

static const struct {
	const char *name;
	uint32_t all, per_ip;
	const char *reply;
} limits[] = {
	{ "all connections", 2, 0, "421 4.3.2" },
	{ "connections of one address", 100, 2, "421 4.7.0" },
};

START_TEST(connections_over_the_limit_are_refused)
{
	struct client a;
	struct client b;
	struct client c;

	options.max_connections = limits[_i].all;
	options.max_connections_per_ip = limits[_i].per_ip;
	start();
	client_greet(&a);
	client_greet(&b);
	client_connect(&c);
	client_expect(&c, limits[_i].reply);
	client_expect_end(&c);
	client_close(&c);
	if (limits[_i].per_ip) { /* another address has its own count */
		struct client other = { 0 };
		struct sockaddr_in from = { .sin_family = AF_INET };
		struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };

		other.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		ck_assert_int_eq(inet_pton(AF_INET, "127.0.0.2", &from.sin_addr), 1);
		ck_assert_int_eq(inet_pton(AF_INET, "127.0.0.1", &to.sin_addr), 1);
		ck_assert_int_eq(bind(other.fd, (struct sockaddr *)&from, sizeof from), 0);
		ck_assert_int_eq(connect(other.fd, (struct sockaddr *)&to, sizeof to), 0);
		client_expect(&other, "220");
		client_close(&other);
	}
	client_close(&a);
	client_close(&b);
	wait_for(no_session_is_left);
	client_greet(&c); /* there is room again */
	client_close(&c);
}
END_TEST

static uint64_t cpu_ms(void)
{
	struct timespec ts;

	ck_assert_int_eq(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts), 0);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Without a descriptor to accept with, the server waits, and does not spin meanwhile. */
START_TEST(descriptors_run_out)
{
	struct rlimit few = { .rlim_cur = 128, .rlim_max = 128 };
	struct pollfd greeting = { .events = POLLIN };
	int copies[128];
	int count = 0;
	uint64_t cpu;
	struct client c;

	start();
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	while ((copies[count] = dup(0)) >= 0)
		count++;
	ck_assert_int_eq(close(copies[--count]), 0);
	client_connect(&c); /* takes the last one; the kernel answers for the server */
	greeting.fd = c.fd;
	cpu = cpu_ms();
	ck_assert_int_eq(poll(&greeting, 1, 300), 0);
	ck_assert_uint_lt(cpu_ms() - cpu, 100);
	while (count > 0)
		ck_assert_int_eq(close(copies[--count]), 0);
	client_expect(&c, "220");
	client_close(&c);
}
END_TEST

START_TEST(silent_client_times_out)
{
	struct client c;

	listener.session.command_timeout_ms = 50;
	start();
	client_greet(&c);
	client_expect(&c, "421 4.4.2");
	client_expect_end(&c);
	client_close(&c);
	wait_for(no_session_is_left);
	ck_assert_int_eq(atomic_load(&app.last_reason), SMTP_DISCONNECT_TIMEOUT);
}
END_TEST

START_TEST(silent_handshake_times_out)
{
	struct client c;

	use_tls();
	listener.implicit_tls = _i == 1;
	options.handshake_timeout_ms = 50;
	start();
	if (_i == 0) {
		client_greet(&c);
		client_talk(&c, "STARTTLS\r\n", "220");
	} else {
		client_connect(&c);
	}
	client_expect_end(&c);
	client_close(&c);
	wait_for(no_session_is_left);
	ck_assert(_i == 1 || atomic_load(&app.last_reason) == SMTP_DISCONNECT_TLS);
}
END_TEST

/* The last reply arrives although the client goes on sending: no reset takes it away. */
START_TEST(last_reply_is_not_lost)
{
	static char noise[1 << 20];
	struct client c;

	for (size_t i = 0; i < sizeof noise; i++)
		noise[i] = "NOOP\r\n\r\n"[i % 8];
	listener.session.max_errors = 1;
	start();
	client_greet(&c);
	client_say(&c, "NONSENSE\r\n");
	client_write(&c, noise, sizeof noise);
	client_expect(&c, "500");
	client_expect(&c, "421 4.7.0");
	client_expect_end(&c);
	client_close(&c);
}
END_TEST

/* --- delays for errors ------------------------------------------------------------------------ */

/* Everything sent is answered, also what came behind an error, and although no more will come. */
START_TEST(errors_are_answered_later)
{
	uint64_t began;
	struct client c;

	if (_i)
		use_tls();
	start();
	client_greet(&c);
	if (_i) {
		client_talk(&c, "STARTTLS\r\n", "220");
		ck_assert(client_start_tls(&c));
		client_talk(&c, "EHLO client.example\r\n", "250");
	}
	began = now_ms();
	client_say(&c, "FOO\r\nFOO\r\nNOOP\r\nFOO\r\nQUIT\r\n");
	if (!_i)
		ck_assert_int_eq(shutdown(c.fd, SHUT_WR), 0);
	client_expect(&c, "500");
	client_expect(&c, "500");
	ck_assert_uint_ge(now_ms(), began + 99); /* the loop's clock may be cut to whole ones */
	client_expect(&c, "250");
	client_expect(&c, "500");
	client_expect(&c, "221");
	ck_assert_uint_ge(now_ms(), began + 348);
	client_expect_end(&c);
	client_close(&c);
	wait_for(no_session_is_left);
	ck_assert_int_eq(atomic_load(&app.last_reason), SMTP_DISCONNECT_QUIT);
}
END_TEST

/* Ten errors take 24 s; others on the same loop do not notice, and a shutdown does not wait. */
START_TEST(delays_hold_only_their_session)
{
	uint64_t began = now_ms();
	char line[CLIENT_LINE_MAX];
	char last[CLIENT_LINE_MAX] = "";
	struct client slow;
	struct client other;

	options.loops = 1;
	listener.session.max_errors = 100;
	start();
	client_greet(&slow);
	for (int i = 0; i < 10; i++)
		client_say(&slow, "FOO\r\n");
	client_expect(&slow, "500");
	client_greet(&other);
	client_send_message(&other, "pend");
	client_talk(&other, "QUIT\r\n", "221");
	client_close(&other);
	wait_for(one_session_is_left);
	smtp_server_shutdown(server, CLIENT_WAIT_S * 1000);
	while (client_line(&slow, line))
		memcpy(last, line, sizeof last);
	ck_assert_msg(strncmp(last, "421 4.3.2", 9) == 0, "%s", last);
	ck_assert_uint_lt(now_ms() - began, 10000);
	client_close(&slow);
	join();
	ck_assert_int_eq(atomic_load(&app.last_reason), SMTP_DISCONNECT_SHUTDOWN);
}
END_TEST

/* --- TLS -------------------------------------------------------------------------------------- */

START_TEST(starttls)
{
	struct client c;

	use_tls();
	start();
	client_greet(&c);
	client_talk(&c, "STARTTLS\r\n", "220");
	ck_assert(client_start_tls(&c));
	client_talk(&c, "MAIL FROM:<>\r\n", "503");
	client_talk(&c, "EHLO client.example\r\n", "250");
	ck_assert_str_eq(app.tls, "TLSv1.3 TLS_AES_256_GCM_SHA384");
	client_send_message(&c, "pend");
	client_talk(&c, "STARTTLS\r\n", "503");
	client_talk(&c, "QUIT\r\n", "221");
	client_expect_end(&c);
	client_close(&c);
	wait_for(no_session_is_left);
	ck_assert_int_eq(atomic_load(&app.last_reason), SMTP_DISCONNECT_QUIT);
}
END_TEST

START_TEST(implicit_tls)
{
	struct client c;

	use_tls();
	listener.implicit_tls = true;
	start();
	client_connect(&c);
	ck_assert(client_start_tls(&c));
	client_expect(&c, "220");
	client_talk(&c, "EHLO client.example\r\n", "250");
	ck_assert_str_eq(app.tls, "TLSv1.3 TLS_AES_256_GCM_SHA384");
	client_send_message(&c, "pend");
	client_talk(&c, "STARTTLS\r\n", "503");
	client_close(&c);
}
END_TEST

START_TEST(octets_injected_behind_starttls_end_the_session)
{
	struct client c;
	char line[CLIENT_LINE_MAX];

	use_tls();
	start();
	client_greet(&c);
	client_say(&c, "STARTTLS\r\nMAIL FROM:<evil@example.org>\r\n");
	while (client_line(&c, line))
		ck_assert_msg(strncmp(line, "250", 3) != 0, "'%s'", line);
	client_close(&c);
	wait_for(no_session_is_left);
	ck_assert_int_eq(atomic_load(&app.last_reason), SMTP_DISCONNECT_PROTOCOL);
}
END_TEST

START_TEST(nonsense_instead_of_a_handshake)
{
	struct client c;
	char line[CLIENT_LINE_MAX];

	use_tls();
	start();
	client_greet(&c);
	client_talk(&c, "STARTTLS\r\n", "220");
	client_say(&c, "MAIL FROM:<evil@example.org>\r\n");
	/* An alert may come, which is no line. */
	while (c.in_n < sizeof c.in && recv(c.fd, line, sizeof line, 0) > 0)
		;
	client_close(&c);
	wait_for(no_session_is_left);
	ck_assert_int_eq(atomic_load(&app.last_reason), SMTP_DISCONNECT_TLS);
}
END_TEST

static long serial_of_server(struct client *c)
{
	X509 *certificate = SSL_get1_peer_certificate(c->ssl);
	unsigned char digest[32];
	unsigned n = 0;
	long value = 0;

	ck_assert_ptr_nonnull(certificate);
	ck_assert_int_eq(X509_digest(certificate, EVP_sha256(), digest, &n), 1);
	X509_free(certificate);
	memcpy(&value, digest, sizeof value);
	return value;
}

START_TEST(certificate_is_reloaded)
{
	char problem[256] = "";
	struct client before;
	struct client after;

	use_tls();
	listener.implicit_tls = true;
	start();
	client_connect(&before);
	ck_assert(client_start_tls(&before));
	certificate_renew(&files, "DNS:new.example", NULL);
	ck_assert_int_eq(smtp_server_reload_tls(server, problem, sizeof problem), 0);
	client_connect(&after);
	ck_assert(client_start_tls(&after));
	ck_assert_int_ne(serial_of_server(&before), serial_of_server(&after));
	client_expect(&before, "220");
	client_expect(&after, "220");
	client_close(&before);
	client_close(&after);

	ck_assert_int_eq(truncate(files.key, 0), 0);
	ck_assert_int_eq(smtp_server_reload_tls(server, problem, sizeof problem), SMTP_ETLS);
	ck_assert_ptr_nonnull(strstr(problem, "key.pem: holds no PEM private key"));
	client_connect(&after);
	ck_assert(client_start_tls(&after)); /* with the old one */
	client_close(&after);
}
END_TEST

START_TEST(certificate_in_other_files)
{
	char problem[256] = "", certificate[600], key[600];
	struct client before;
	struct client after;

	use_tls();
	listener.implicit_tls = true;
	start();
	client_connect(&before);
	ck_assert(client_start_tls(&before));
	(void)snprintf(certificate, sizeof certificate, "%s.other", files.certificate);
	(void)snprintf(key, sizeof key, "%s.other", files.key);
	ck_assert_int_eq(rename(files.key, key), 0);
	ck_assert_int_eq(rename(files.certificate, certificate), 0);
	ck_assert_int_ne(smtp_server_set_certificate(server, "/nosuch", key, NULL, problem,
						     sizeof problem),
			 0);
	ck_assert_ptr_nonnull(strstr(problem, "/nosuch"));
	ck_assert_int_eq(smtp_server_set_certificate(server, certificate, key, NULL, problem,
						     sizeof problem),
			 0);
	certificate_renew(&files, "DNS:new.example", NULL); /* the first files, no longer looked at */
	ck_assert_int_eq(smtp_server_reload_tls(server, problem, sizeof problem), 0);
	client_connect(&after);
	ck_assert(client_start_tls(&after));
	ck_assert_int_eq(serial_of_server(&before), serial_of_server(&after));
	client_close(&before);
	client_close(&after);
	(void)unlink(certificate);
	(void)unlink(key);
}
END_TEST

/* --- shutdown --------------------------------------------------------------------------------- */

START_TEST(shutdown_before_run)
{
	make_server();
	listen_here();
	smtp_server_shutdown(server, 1000);
	ck_assert_int_eq(smtp_server_run(server), SMTP_ECLOSED);
	ck_assert_int_eq(smtp_server_run(server), SMTP_ECLOSED);
}
END_TEST

START_TEST(shutdown_lets_a_transaction_end)
{
	struct client idle;
	struct client busy;

	start();
	client_greet(&idle);
	client_greet(&busy);
	client_talk(&busy, "MAIL FROM:<>\r\n", "250");
	smtp_server_shutdown(server, CLIENT_WAIT_S * 1000);
	client_expect(&idle, "421 4.3.2");
	client_expect_end(&idle);
	client_close(&idle);
	client_talk(&busy, "RCPT TO:<pend@example.com>\r\n", "250");
	client_talk(&busy, "DATA\r\n", "354");
	client_talk(&busy, "hello\r\n.\r\n", "250");
	client_expect(&busy, "421 4.3.2");
	client_expect_end(&busy);
	client_close(&busy);
	join();
	ck_assert_int_eq(atomic_load(&app.accepted), 1);
	ck_assert_int_eq(atomic_load(&app.last_reason), SMTP_DISCONNECT_SHUTDOWN);
}
END_TEST

START_TEST(shutdown_ends_a_transaction_at_the_deadline)
{
	struct client c;

	start();
	client_greet(&c);
	client_talk(&c, "MAIL FROM:<>\r\n", "250");
	smtp_server_shutdown(server, 50);
	client_expect(&c, "421 4.3.2");
	client_expect_end(&c);
	client_close(&c);
	join();
	ck_assert_int_eq(atomic_load(&app.resets), 1);
	ck_assert_int_eq(atomic_load(&app.last_reason), SMTP_DISCONNECT_SHUTDOWN);
}
END_TEST

START_TEST(second_shutdown_shortens_the_first)
{
	struct client c;

	start();
	client_greet(&c);
	client_talk(&c, "MAIL FROM:<>\r\n", "250");
	smtp_server_shutdown(server, 3600000);
	smtp_server_shutdown(server, 0);
	client_expect(&c, "421 4.3.2");
	client_close(&c);
	join();
}
END_TEST

START_TEST(shutdown_from_a_handler)
{
	struct client c;

	start();
	client_greet(&c);
	client_talk(&c, "MAIL FROM:<>\r\n", "250");
	client_say(&c, "RCPT TO:<stop@example.com>\r\n");
	client_expect(&c, "250");
	client_expect(&c, "421 4.3.2");
	client_close(&c);
	join();
}
END_TEST

/* --- listening -------------------------------------------------------------------------------- */

START_TEST(both_families)
{
	struct client c;
	int probe = socket(AF_INET6, SOCK_STREAM, 0);
	struct sockaddr_in6 loopback = { .sin6_family = AF_INET6,
					 .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	bool has_v6 = probe >= 0 &&
		      bind(probe, (struct sockaddr *)&loopback, sizeof loopback) == 0;

	if (probe >= 0)
		ck_assert_int_eq(close(probe), 0);
	listener.address = "*:0";
	start();
	client_connect_to(&c, "127.0.0.1", port);
	client_expect(&c, "220");
	client_close(&c);
	if (has_v6) {
		client_connect_to(&c, "::1", port);
		client_expect(&c, "220");
		client_close(&c);
	}
}
END_TEST

static int listening_fd(uint16_t at)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(at),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof in;
	int on = 1;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&in, &n), 0);
	port = ntohs(in.sin_port);
	return fd;
}

/* Fewer descriptors than loops, as many, more. */
START_TEST(descriptors_of_others)
{
	int fds[3];
	uint16_t told = 0;
	struct client c[8];

	port = 0;
	for (int i = 0; i <= _i; i++)
		fds[i] = listening_fd(port);
	make_server();
	listener.address = NULL;
	listener.fds = fds;
	listener.fd_count = (size_t)_i + 1;
	ck_assert_int_eq(smtp_server_listen(server, &listener, &told), 0);
	ck_assert_uint_eq(told, port);
	run();
	for (int i = 0; i < 8; i++)
		client_greet(&c[i]);
	for (int i = 0; i < 8; i++)
		client_close(&c[i]);
}
END_TEST

START_TEST(what_can_not_listen)
{
	static const char *const addresses[] = { "127.0.0.1", "example.com:25", "127.0.0.1:x",
						 "127.0.0.1:65536", "::1:25", "", ":25",
						 "[::1:25", "*:" };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct smtp_server *second;
	char address[64];

	make_server();
	for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
		listener.address = addresses[i];
		ck_assert_msg(smtp_server_listen(server, &listener, NULL) == SMTP_EINVAL, "%s",
			      addresses[i]);
		ck_assert_ptr_nonnull(strstr(smtp_server_problem(server), "not ADDRESS:PORT"));
	}
	listener.address = "127.0.0.1:0";
	listen_here();
	(void)snprintf(address, sizeof address, "127.0.0.1:%u", port);
	listener.address = address;
	ck_assert_int_eq(smtp_server_new(&second, &options), 0);
	ck_assert_int_eq(smtp_server_listen(second, &listener, NULL), SMTP_EBUSY);
	ck_assert_ptr_nonnull(strstr(smtp_server_problem(second), "Address already in use"));
	smtp_server_free(second);

	listener.address = "127.0.0.1:0";
	listener.implicit_tls = true;
	ck_assert_int_eq(smtp_server_listen(server, &listener, NULL), SMTP_EINVAL);
	listener.implicit_tls = false;
	listener.certificate_file = files.certificate;
	listener.key_file = "/nowhere/key.pem";
	ck_assert_int_eq(smtp_server_listen(server, &listener, NULL), SMTP_EACCESS);
	ck_assert_str_eq(smtp_server_problem(server),
			 "/nowhere/key.pem: No such file or directory");
	listener.certificate_file = NULL;
	listener.session.hostname = "not a host";
	ck_assert_int_eq(smtp_server_listen(server, &listener, NULL), SMTP_EINVAL);
	listener.session.hostname = "mail.example.com";
	listener.address = NULL;
	listener.fds = &fd;
	listener.fd_count = 1;
	ck_assert_int_eq(smtp_server_listen(server, &listener, NULL), SMTP_EINVAL);
	ck_assert_int_eq(close(fd), 0); /* still ours */
}
END_TEST

START_TEST(session_options_change_while_it_runs)
{
	struct smtp_server_session_options changed = listener.session;
	struct client before;
	struct client after;

	start();
	client_greet(&before);
	changed.hostname = "new.example.com";
	ck_assert_int_eq(smtp_server_set_session_options(server, 0, &changed), 0);
	ck_assert_int_eq(smtp_server_set_session_options(server, 1, &changed), SMTP_EINVAL);
	client_connect(&after);
	client_expect(&after, "220 new.example.com");
	client_talk(&before, "NOOP\r\n", "250");
	client_close(&before);
	client_close(&after);
}
END_TEST

static enum smtp_verdict refuse_rcpt(struct smtp_server_session *session,
				     const struct smtp_rcpt_request *request, void *user)
{
	struct smtp_reply no = smtp_reply_of(450, "4.7.1", user);

	(void)request;
	return smtp_server_session_reply(session, &no) == 0 ? SMTP_REPLIED : SMTP_ACCEPT;
}

START_TEST(handlers_of_the_server_come_first)
{
	static const struct smtp_server_session_handler first = { .size = sizeof first,
								  .rcpt = refuse_rcpt };
	char text[] = "not now";
	struct smtp_middleware not_now = smtp_middleware_of("not_now", &first, text);
	struct client c;

	make_server();
	ck_assert_int_eq(smtp_server_use(server, &not_now), 0);
	listen_here();
	run();
	client_greet(&c);
	client_talk(&c, "MAIL FROM:<>\r\n", "250");
	client_talk(&c, "RCPT TO:<x@example.com>\r\n", "450 4.7.1 not now");
	client_close(&c);
}
END_TEST

START_TEST(loops_can_be_shared)
{
	make_server();
	ck_assert_uint_eq(smtp_server_loop_count(server), 2);
	ck_assert_ptr_nonnull(smtp_server_loop(server, 0));
	ck_assert_ptr_nonnull(smtp_server_loop(server, 1));
	ck_assert_ptr_null(smtp_server_loop(server, 2));
}
END_TEST

static void add_cases(TCase *tc)
{
	tcase_add_test(tc, one_message);
	tcase_add_test(tc, many_clients_at_once);
	tcase_add_loop_test(tc, pipelined_batch_is_answered_in_one_write, 0, 3);
	tcase_add_test(tc, session_is_gone_before_the_answer);
	tcase_add_test(tc, session_is_gone_before_the_answer_while_the_server_runs);
	tcase_add_test(tc, late_answer_goes_to_nobody_else);
	tcase_add_test(tc, each_loop_takes_connections);
	tcase_add_test(tc, half_closed_client_is_answered);
	tcase_add_test(tc, client_that_never_reads);
	tcase_add_loop_test(tc, connections_over_the_limit_are_refused, 0, ROWS(limits));
	tcase_add_test(tc, descriptors_run_out);
	tcase_add_test(tc, silent_client_times_out);
	tcase_add_loop_test(tc, silent_handshake_times_out, 0, 2);
	tcase_add_test(tc, last_reply_is_not_lost);
	tcase_add_loop_test(tc, errors_are_answered_later, 0, 2);
	tcase_add_test(tc, delays_hold_only_their_session);
	tcase_add_test(tc, starttls);
	tcase_add_test(tc, implicit_tls);
	tcase_add_test(tc, octets_injected_behind_starttls_end_the_session);
	tcase_add_test(tc, nonsense_instead_of_a_handshake);
	tcase_add_test(tc, certificate_is_reloaded);
	tcase_add_test(tc, certificate_in_other_files);
	tcase_add_test(tc, shutdown_before_run);
	tcase_add_test(tc, shutdown_lets_a_transaction_end);
	tcase_add_test(tc, shutdown_ends_a_transaction_at_the_deadline);
	tcase_add_test(tc, second_shutdown_shortens_the_first);
	tcase_add_test(tc, shutdown_from_a_handler);
	tcase_add_test(tc, both_families);
	tcase_add_loop_test(tc, descriptors_of_others, 0, 3);
	tcase_add_test(tc, what_can_not_listen);
	tcase_add_test(tc, session_options_change_while_it_runs);
	tcase_add_test(tc, handlers_of_the_server_come_first);
	tcase_add_test(tc, loops_can_be_shared);
}

int main(void)
{
	Suite *suite = suite_create("server");
	TCase *tc = tcase_create("server");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 120);
	add_cases(tc);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
