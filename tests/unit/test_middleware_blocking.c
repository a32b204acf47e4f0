/* SPDX-License-Identifier: ISC */
/* Middleware whose functions may block: how the session without I/O offers the call to its driver in
 * each phase, and how the server runs it on workers while its loops go on.
 */
#include <pthread.h>
#include <smtp/server.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include "tests/unit/server_client.h"
#include "tests/unit/server_probe.h"

/* --- the session ------------------------------------------------------------------------------ */

static struct smtp_server_session *session_of(struct probe *blocking, struct probe *next)
{
	struct smtp_middleware m = smtp_middleware_of("slow", &blocking->functions, blocking);
	struct smtp_server_session *s = session_with(NULL, NULL);

	m.blocking = true;
	ck_assert_int_eq(smtp_server_session_use(s, &m), 0);
	ck_assert_int_eq(use(s, next), 0);
	return s;
}

static void make_call(struct smtp_server_session *s)
{
	ck_assert_uint_eq(smtp_server_session_wants(s) & ~(unsigned)SMTP_WANTS_WRITE,
			  SMTP_WANTS_CALL);
	ck_assert_int_eq(smtp_server_session_reply(s, NULL), SMTP_ESTATE);
	ck_assert_int_eq(smtp_server_session_called(s, 1000), SMTP_ESTATE);
	ck_assert_int_eq(smtp_server_session_call(s), 0);
	ck_assert_int_eq(smtp_server_session_call(s), SMTP_ESTATE);
	ck_assert_int_eq(smtp_server_session_reply(s, NULL), SMTP_ESTATE);
	ck_assert_int_eq(smtp_server_session_called(s, 1000), 0);
}

static void make_calls(struct smtp_server_session *s)
{
	while (smtp_server_session_wants(s) & SMTP_WANTS_CALL)
		make_call(s);
}

/* Feeds all of it, with every call made at once. */
static void feed_calling(struct smtp_server_session *s, const char *text)
{
	do {
		text += feed(s, text);
		make_calls(s);
	} while (*text);
}

/* A session right before step _i. */
static struct smtp_server_session *before_step(struct probe *a, struct probe *b, int i)
{
	struct smtp_server_session *s = session_of(a, b);

	ck_assert_int_eq(smtp_server_session_start(s, 1000), 0);
	make_calls(s);
	feed_calling(s, steps[i].before);
	(void)output(s);
	forget_events();
	return s;
}

/* The arguments are those of a call made at once, though the input is gone. */
START_TEST(call_is_offered_in_each_phase)
{
	struct probe a = probe_of('A'), b = probe_of('B'), c = probe_of('A'), d = probe_of('B');
	struct smtp_server_session *s = before_step(&a, &b, _i);
	struct smtp_server_session *plain;
	char expected[sizeof(events)];

	feed_calling(s, steps[_i].line);
	ck_assert_str_eq(codes(output(s)), steps[_i].usual);
	memcpy(expected, events, sizeof(events));
	smtp_server_session_free(s);

	plain = started(&c, &d);
	feed(plain, steps[_i].before);
	forget_events();
	feed(plain, steps[_i].line);
	ck_assert_str_eq(events, expected);
	smtp_server_session_free(plain);
}
END_TEST

START_TEST(nothing_is_taken_while_a_call_is_due)
{
	struct probe a = probe_of('A'), b = probe_of('B');
	struct smtp_server_session *s = before_step(&a, &b, _i);
	size_t n = feed(s, steps[_i].line);

	ck_assert_str_eq(events, "");
	ck_assert_uint_eq(feed(s, "NOOP\r\n"), 0);
	make_calls(s);
	feed_calling(s, steps[_i].line + n);
	ck_assert_str_eq(codes(output(s)), steps[_i].usual);
	smtp_server_session_free(s);
}
END_TEST

START_TEST(refusal_of_a_call_ends_the_phase)
{
	struct probe a = probe_of('A'), b = probe_of('B');
	struct smtp_server_session *s = before_step(&a, &b, _i);

	a.code[steps[_i].phase] = 452;
	a.verdict[steps[_i].phase] = SMTP_REPLIED;
	feed_calling(s, steps[_i].line);
	ck_assert_str_eq(codes(output(s)), "452");
	ck_assert_ptr_null(strstr(events, "B.rcpt"));
	ck_assert_ptr_null(strstr(events, "B.end"));
	smtp_server_session_free(s);
}
END_TEST

START_TEST(call_may_say_pending)
{
	struct probe a = probe_of('A'), b = probe_of('B');
	struct smtp_server_session *s = before_step(&a, &b, _i);
	const char *rest = steps[_i].line;

	a.verdict[steps[_i].phase] = SMTP_PENDING;
	while (!(smtp_server_session_wants(s) & SMTP_WANTS_VERDICT)) {
		rest += feed(s, rest);
		make_calls(s);
	}
	a.verdict[steps[_i].phase] = SMTP_ACCEPT;
	answer(s, 0);
	feed_calling(s, rest);
	ck_assert_str_eq(codes(output(s)), steps[_i].usual);
	smtp_server_session_free(s);
}
END_TEST

/* Said but nothing given: 451, as from a function that is called at once. */
START_TEST(call_that_forgets_its_reply)
{
	struct probe a = probe_of('A'), b = probe_of('B');
	struct smtp_server_session *s = before_step(&a, &b, _i);

	a.verdict[steps[_i].phase] = SMTP_REPLIED;
	feed_calling(s, steps[_i].line);
	ck_assert_str_eq(codes(output(s)), "451");
	smtp_server_session_free(s);
}
END_TEST

static void close_within(struct smtp_server_session *s, struct probe *probe)
{
	struct smtp_reply reply = smtp_reply_of(421, "4.3.0", "the end");

	(void)probe;
	smtp_server_session_close(s, SMTP_DISCONNECT_REFUSED, &reply);
}

START_TEST(call_may_end_the_session)
{
	struct probe a = probe_of('A'), b = probe_of('B');
	struct smtp_server_session *s = before_step(&a, &b, _i);

	a.within = close_within;
	feed_calling(s, steps[_i].line);
	if (steps[_i].phase == DATA) /* told after the content that the client was asked for */
		feed_calling(s, "x\r\n.\r\n");
	ck_assert_ptr_nonnull(strstr(output(s), "421 4.3.0 the end\r\n"));
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	ck_assert_int_eq((int)a.reason, SMTP_DISCONNECT_REFUSED);
	smtp_server_session_free(s);
}
END_TEST

/* Freed with a call that is due, or made: each hears of the end once. */
START_TEST(freed_around_a_call)
{
	struct probe a = probe_of('A'), b = probe_of('B');
	struct smtp_server_session *s = before_step(&a, &b, _i / 2);

	feed(s, steps[_i / 2].line);
	if (_i % 2)
		ck_assert_int_eq(smtp_server_session_call(s), 0);
	forget_events();
	smtp_server_session_free(s);
	ck_assert_ptr_nonnull(strstr(events, "A.disconnect B.disconnect"));
}
END_TEST

START_TEST(middleware_is_checked)
{
	struct probe a = probe_of('A');
	struct smtp_middleware m = smtp_middleware_of("a", &a.functions, &a);
	struct {
		struct smtp_middleware known;
		char unknown[8];
	} longer = { m, { 0 } };
	struct smtp_server_session *s = session_with(NULL, NULL);

	ck_assert_int_eq(smtp_server_session_use(s, NULL), SMTP_EINVAL);
	m.size = sizeof(m.size);
	ck_assert_int_eq(smtp_server_session_use(s, &m), SMTP_EINVAL);
	m = smtp_middleware_of("a", NULL, &a);
	ck_assert_int_eq(smtp_server_session_use(s, &m), SMTP_EINVAL);
	longer.known.size = sizeof(longer);
	ck_assert_int_eq(smtp_server_session_use(s, &longer.known), 0);
	longer.unknown[3] = 1;
	ck_assert_int_eq(smtp_server_session_use(s, &longer.known), SMTP_EINVAL);
	smtp_server_session_free(s);
}
END_TEST

/* --- the server ------------------------------------------------------------------------------- */

enum { CLIENTS = 12, WORKERS = 3 };

static struct smtp_server *server;
static uint16_t port;
static pthread_t server_thread;

/* The middleware: each rcpt and content waits here until let_go(). */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool is_open;
static unsigned waiting, most_waiting;
static atomic_int releases, disconnects, ends, resets;
static atomic_int answers_first; /* the function answers itself by its ticket, then says PENDING */

static void wait_here(void)
{
	(void)pthread_mutex_lock(&lock);
	waiting++;
	if (waiting > most_waiting)
		most_waiting = waiting;
	(void)pthread_cond_broadcast(&changed);
	while (!is_open)
		(void)pthread_cond_wait(&changed, &lock);
	waiting--;
	(void)pthread_mutex_unlock(&lock);
}

static void let_go(bool open)
{
	(void)pthread_mutex_lock(&lock);
	is_open = open;
	(void)pthread_cond_broadcast(&changed);
	(void)pthread_mutex_unlock(&lock);
}

static void wait_until_waiting(unsigned n)
{
	(void)pthread_mutex_lock(&lock);
	while (waiting < n)
		(void)pthread_cond_wait(&changed, &lock);
	(void)pthread_mutex_unlock(&lock);
}

static enum smtp_verdict slow_rcpt(struct smtp_server_session *s,
				   const struct smtp_rcpt_request *request, void *user)
{
	struct smtp_reply reply = smtp_reply_of(250, "2.1.5", "after long thought");
	struct smtp_reply late = smtp_reply_of(250, "2.1.5", "by ticket");

	(void)user;
	wait_here();
	ck_assert_str_eq(smtp_server_session_helo_name(s), "client.example");
	if (strcmp(request->forward_path->mailbox.local_part, "no") == 0)
		reply = smtp_reply_of(550, "5.1.1", "no such user");
	if (atomic_load(&answers_first)) {
		ck_assert_int_eq(smtp_server_answer(smtp_server_ticket(s), &late), 0);
		return SMTP_PENDING;
	}
	ck_assert_int_eq(smtp_server_session_reply(s, &reply), 0);
	return SMTP_REPLIED;
}

static enum smtp_verdict slow_content(struct smtp_server_session *s, struct smtp_span octets,
				      void *user)
{
	void **slot = smtp_server_session_slot(s, user);
	const uint8_t *x = memchr(octets.p, 'x', octets.n);

	wait_here();
	ck_assert_ptr_nonnull(slot);
	*slot = (char *)*slot + (x ? 1 : 0);
	return SMTP_ACCEPT;
}

static enum smtp_verdict slow_end(struct smtp_server_session *s, void *user)
{
	void **slot = smtp_server_session_slot(s, user);

	ck_assert_uint_gt((uintptr_t)*slot, 0);
	*slot = NULL;
	atomic_fetch_add(&ends, 1);
	return SMTP_ACCEPT;
}

static void on_slow_reset(struct smtp_server_session *s, void *user)
{
	(void)s;
	(void)user;
	atomic_fetch_add(&resets, 1);
}

static void on_slow_disconnect(struct smtp_server_session *s, enum smtp_disconnect_reason reason,
			       void *user)
{
	(void)s;
	(void)reason;
	(void)user;
	atomic_fetch_add(&disconnects, 1);
}

static struct smtp_server_session_handler slow = {
	.size = sizeof(slow),
	.rcpt = slow_rcpt,
	.content = slow_content,
	.end = slow_end,
	.reset = on_slow_reset,
	.disconnect = on_slow_disconnect,
};

static void on_release(void *user)
{
	ck_assert_ptr_eq(user, &slow);
	atomic_fetch_add(&releases, 1);
}

static void *run_server(void *user)
{
	(void)user;
	ck_assert_int_eq(smtp_server_run(server), 0);
	return NULL;
}

static void set_up(void)
{
	struct smtp_server_options options = SMTP_SERVER_OPTIONS_INIT;
	struct smtp_listener_options listener = SMTP_LISTENER_OPTIONS_INIT;
	struct smtp_middleware m = smtp_middleware_of("slow", &slow, &slow);

	options.loops = 2;
	options.workers = WORKERS;
	m.blocking = true;
	m.release = on_release;
	listener.address = "127.0.0.1:0";
	listener.session.hostname = "mail.example.com";
	ck_assert_int_eq(smtp_server_new(&server, &options), 0);
	ck_assert_int_eq(smtp_server_use(server, &m), 0);
	ck_assert_int_eq(smtp_server_listen(server, &listener, &port), 0);
	ck_assert_int_eq(pthread_create(&server_thread, NULL, run_server, NULL), 0);
}

static void stop(uint32_t deadline_ms)
{
	smtp_server_shutdown(server, deadline_ms);
	ck_assert_int_eq(pthread_join(server_thread, NULL), 0);
	ck_assert_uint_eq(smtp_server_session_count(server), 0);
	smtp_server_free(server);
	server = NULL;
	ck_assert_int_eq(atomic_load(&releases), 1);
}

static void tear_down(void)
{
	let_go(true);
	if (server)
		stop(0);
}

static void client_begin(struct client *c)
{
	client_connect_to(c, "127.0.0.1", port);
	client_expect(c, "220");
	client_talk(c, "EHLO client.example\r\n", "250");
	client_talk(c, "MAIL FROM:<a@client.example>\r\n", "250");
}

START_TEST(loops_go_on_while_workers_wait)
{
	struct client slow_ones[CLIENTS];
	struct client other;

	for (int i = 0; i < CLIENTS; i++) {
		client_begin(&slow_ones[i]);
		client_say(&slow_ones[i], "RCPT TO:<x@example.com>\r\nDATA\r\n");
	}
	wait_until_waiting(WORKERS);
	client_begin(&other);
	client_talk(&other, "NOOP\r\n", "250");
	let_go(true);
	for (int i = 0; i < CLIENTS; i++) {
		client_expect(&slow_ones[i], "250 2.1.5 after long thought");
		client_expect(&slow_ones[i], "354");
		client_talk(&slow_ones[i], "Subject: x\r\n\r\nhello\r\n.\r\n", "250");
		client_talk(&slow_ones[i], "QUIT\r\n", "221");
		client_close(&slow_ones[i]);
	}
	client_close(&other);
	ck_assert_uint_le(most_waiting, WORKERS);
	ck_assert_int_eq(atomic_load(&ends), CLIENTS);
}
END_TEST

START_TEST(answer_by_ticket_out_of_a_blocking_function)
{
	struct client c;

	let_go(true);
	atomic_store(&answers_first, 1);
	client_begin(&c);
	for (int i = 0; i < 50; i++)
		client_talk(&c, "RCPT TO:<x@example.com>\r\n", "250 2.1.5 by ticket");
	client_close(&c);
}
END_TEST

/* They come to a session that nobody may touch, and have to wait. */
START_TEST(octets_come_meanwhile)
{
	struct client c, other;

	client_begin(&c);
	client_say(&c, "RCPT TO:<x@example.com>\r\n");
	wait_until_waiting(1);
	client_say(&c, "NOOP\r\n");
	for (int i = 0; i < 8; i++) { /* by then each loop has gone round */
		client_begin(&other);
		client_close(&other);
	}
	let_go(true);
	client_expect(&c, "250 2.1.5 after long thought");
	client_expect(&c, "250 2.0.0");
	client_close(&c);
}
END_TEST

static bool all_sessions_are_over(void)
{
	return smtp_server_session_count(server) == 0;
}

/* The peer goes while a worker has its session: it half-closes, closes, resets. */
START_TEST(peer_goes_meanwhile)
{
	struct linger hard = { .l_onoff = 1, .l_linger = 0 };
	struct client c;

	client_begin(&c);
	client_say(&c, "RCPT TO:<x@example.com>\r\n");
	wait_until_waiting(1);
	if (_i == 0)
		ck_assert_int_eq(shutdown(c.fd, SHUT_WR), 0);
	if (_i == 2)
		ck_assert_int_eq(setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
	if (_i > 0)
		client_close(&c);
	ck_assert_uint_eq(smtp_server_session_count(server), 1);
	let_go(true);
	if (_i == 0) {
		client_expect(&c, "250 2.1.5 after long thought");
		client_expect_end(&c);
		client_close(&c);
	}
	wait_for(all_sessions_are_over);
	ck_assert_int_eq(atomic_load(&resets), 1);
	ck_assert_int_eq(atomic_load(&disconnects), 1);
}
END_TEST

static void *let_go_later(void *user)
{
	struct client *c = user;

	client_expect_end(c); /* it was closed at the deadline */
	ck_assert_int_eq(atomic_load(&disconnects), 0);
	let_go(true);
	return NULL;
}

/* The deadline closes the connection; run() returns when the function does. */
START_TEST(shutdown_waits_for_the_function)
{
	struct client c;
	pthread_t thread;

	client_begin(&c);
	client_say(&c, "RCPT TO:<x@example.com>\r\n");
	wait_until_waiting(1);
	ck_assert_int_eq(pthread_create(&thread, NULL, let_go_later, &c), 0);
	stop(_i ? 50 : 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(atomic_load(&disconnects), 1);
	client_close(&c);
}
END_TEST

static void *let_go_soon(void *user)
{
	(void)user;
	let_go(true);
	return NULL;
}

START_TEST(shutdown_lets_the_transaction_end)
{
	struct client c;
	pthread_t thread;

	client_begin(&c);
	client_say(&c, "RCPT TO:<x@example.com>\r\n");
	wait_until_waiting(1);
	smtp_server_shutdown(server, CLIENT_WAIT_S * 1000);
	ck_assert_int_eq(pthread_create(&thread, NULL, let_go_soon, NULL), 0);
	client_expect(&c, "250 2.1.5");
	client_talk(&c, "DATA\r\n", "354");
	client_talk(&c, "Subject: x\r\n\r\nhello\r\n.\r\n", "250");
	client_expect(&c, "421 4.3.2");
	client_expect_end(&c);
	client_close(&c);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	stop(CLIENT_WAIT_S * 1000);
	ck_assert_int_eq(atomic_load(&ends), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("middleware_blocking");
	TCase *session = tcase_create("session");
	TCase *net = tcase_create("server");
	const int n = (int)(sizeof(steps) / sizeof(*steps));

	tcase_add_loop_test(session, call_is_offered_in_each_phase, 0, n);
	tcase_add_loop_test(session, nothing_is_taken_while_a_call_is_due, 0, n);
	tcase_add_loop_test(session, refusal_of_a_call_ends_the_phase, 0, n);
	tcase_add_loop_test(session, call_may_say_pending, 0, n);
	tcase_add_loop_test(session, call_that_forgets_its_reply, 0, n);
	tcase_add_loop_test(session, call_may_end_the_session, 0, n);
	tcase_add_loop_test(session, freed_around_a_call, 0, 2 * n);
	tcase_add_test(session, middleware_is_checked);
	suite_add_tcase(suite, session);

	tcase_set_timeout(net, 60);
	tcase_add_checked_fixture(net, set_up, tear_down);
	tcase_add_test(net, loops_go_on_while_workers_wait);
	tcase_add_test(net, answer_by_ticket_out_of_a_blocking_function);
	tcase_add_test(net, octets_come_meanwhile);
	tcase_add_loop_test(net, peer_goes_meanwhile, 0, 3);
	tcase_add_loop_test(net, shutdown_waits_for_the_function, 0, 2);
	tcase_add_test(net, shutdown_lets_the_transaction_end);
	suite_add_tcase(suite, net);
	return tests_run(suite);
}
