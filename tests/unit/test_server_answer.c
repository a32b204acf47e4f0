/* SPDX-License-Identifier: ISC */
/* Verdicts that come later: in time, late, twice, in another thread, without memory. The handler keeps
 * the ticket of every RCPT that is to wait and the test answers it.
 */
#include <pthread.h>
#include <smtp/server.h>
#include <stdio.h>
#include "tests/unit/failing_malloc.h"
#include "tests/unit/server_client.h"
#include "tests/unit/server_probe.h"

/* --- the session: a verdict that does not come ------------------------------------------------- */

START_TEST(verdict_is_overdue)
{
	struct probe a = probe_of('A'), b = probe_of('B');
	struct smtp_server_session *s = started(&a, &b);
	/* no enhanced code before EHLO was accepted */
	const char *expected = steps[_i].phase == AUTH ? "454 4.7.0" :
			       steps[_i].phase == HELO ? "451 " :
							 "451 4.3.0";
	uint64_t question;
	const char *rest = steps[_i].line;

	feed(s, steps[_i].before);
	output(s);
	a.verdict[steps[_i].phase] = SMTP_PENDING;
	rest += feed(s, rest);
	question = smtp_server_session_question(s);
	ck_assert_uint_eq(smtp_server_session_deadline(s), 301000);
	smtp_server_session_tick(s, 300999);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_VERDICT);
	smtp_server_session_tick(s, 301000);
	ck_assert_int_eq(smtp_server_session_reply(s, NULL), SMTP_ESTATE);
	feed(s, rest);
	ck_assert_msg(strncmp(output(s), expected, strlen(expected)) == 0, "%s", steps[_i].name);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_READ);
	ck_assert_uint_gt(smtp_server_session_deadline(s), 301000);
	a.verdict[steps[_i].phase] = SMTP_ACCEPT;
	say(s, "RSET\r\nVRFY x\r\n", "250 252");
	ck_assert_uint_gt(smtp_server_session_question(s), question);
	smtp_server_session_free(s);
}
END_TEST

START_TEST(connect_is_overdue)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.verdict[CONNECT] = SMTP_PENDING;
	s = started(&a, NULL);
	smtp_server_session_tick(s, 301000);
	ck_assert_str_eq(codes(output(s)), "421");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	smtp_server_session_free(s);
}
END_TEST

/* The second handler has its whole time, from when it was asked. */
START_TEST(each_question_has_its_time)
{
	struct probe a = probe_of('A'), b = probe_of('B');
	struct smtp_server_session *s = started(&a, &b);

	feed(s, EHLO);
	a.verdict[VRFY] = b.verdict[VRFY] = SMTP_PENDING;
	feed(s, "VRFY x\r\n");
	answer(s, 0);
	ck_assert_uint_eq(smtp_server_session_deadline(s), 1000); /* the time was not given */
	smtp_server_session_tick(s, 200000);
	ck_assert_uint_eq(smtp_server_session_deadline(s), 500000);
	smtp_server_session_tick(s, 500000);
	ck_assert_str_eq(codes(output(s)), "220 250 451");
	smtp_server_session_free(s);
}
END_TEST

/* --- the server ------------------------------------------------------------------------------- */

enum { TICKETS = 400 };

static struct smtp_server *server;
static uint16_t port;
static pthread_t server_thread;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct smtp_ticket tickets[TICKETS];
static size_t ticket_count;
static bool lack; /* no memory for the next ticket */

static enum smtp_verdict keep_ticket(struct smtp_server_session *s,
				     const struct smtp_rcpt_request *request, void *user)
{
	const char *name = request->forward_path->mailbox.local_part;
	struct smtp_ticket ticket;

	(void)user;
	malloc_fails = lack;
	ticket = smtp_server_ticket(s);
	malloc_fails = false;
	(void)pthread_mutex_lock(&lock);
	ck_assert_uint_lt(ticket_count, TICKETS);
	tickets[ticket_count++] = ticket;
	(void)pthread_cond_broadcast(&changed);
	(void)pthread_mutex_unlock(&lock);
	if (strcmp(name, "unused") == 0) /* answered, and decided at once */
		ck_assert_int_eq(smtp_server_answer(ticket, NULL), 0);
	return strcmp(name, "unused") == 0 ? SMTP_ACCEPT : SMTP_PENDING;
}

static const struct smtp_server_session_handler handler = { .size = sizeof(handler),
							    .rcpt = keep_ticket };

static void *run_server(void *user)
{
	(void)user;
	ck_assert_int_eq(smtp_server_run(server), 0);
	return NULL;
}

static void serve(uint32_t verdict_timeout_ms)
{
	struct smtp_server_options options = SMTP_SERVER_OPTIONS_INIT;
	struct smtp_listener_options listener = SMTP_LISTENER_OPTIONS_INIT;

	options.loops = 2;
	options.max_connections_per_ip = 0;
	listener.address = "127.0.0.1:0";
	listener.session.hostname = "mail.example.com";
	listener.session.verdict_timeout_ms = verdict_timeout_ms;
	listener.handler = &handler;
	ck_assert_int_eq(smtp_server_new(&server, &options), 0);
	ck_assert_int_eq(smtp_server_listen(server, &listener, &port), 0);
	ck_assert_int_eq(pthread_create(&server_thread, NULL, run_server, NULL), 0);
}

static void tear_down(void)
{
	if (!server)
		return;
	smtp_server_shutdown(server, 0);
	ck_assert_int_eq(pthread_join(server_thread, NULL), 0);
	for (size_t i = 0; i < ticket_count; i++) /* nobody is there any more */
		(void)smtp_server_answer(tickets[i], NULL);
	smtp_server_free(server);
}

static void client_begin(struct client *c)
{
	client_connect_to(c, "127.0.0.1", port);
	client_expect(c, "220");
	client_talk(c, "EHLO client.example\r\n", "250");
	client_talk(c, "MAIL FROM:<a@client.example>\r\n", "250");
}

/* The n-th ticket, counted from 0. */
static struct smtp_ticket ticket_of(size_t n)
{
	struct smtp_ticket ticket;

	(void)pthread_mutex_lock(&lock);
	while (ticket_count <= n)
		(void)pthread_cond_wait(&changed, &lock);
	ticket = tickets[n];
	(void)pthread_mutex_unlock(&lock);
	return ticket;
}

static void answer_it(size_t n, unsigned code, const char *text)
{
	struct smtp_reply reply = smtp_reply_of(code, code == 250 ? "2.1.5" : "5.1.1", text);
	struct smtp_ticket ticket = ticket_of(n);
	int err;

	malloc_fails = lack;
	err = smtp_server_answer(ticket, &reply);
	malloc_fails = false;
	ck_assert_int_eq(err, 0);
}

START_TEST(a_second_answer_hits_nothing)
{
	struct client c;

	serve(0);
	client_begin(&c);
	client_say(&c, "RCPT TO:<one@example.com>\r\n");
	answer_it(0, 250, "first");
	client_expect(&c, "250 2.1.5 first");
	client_say(&c, "RCPT TO:<two@example.com>\r\n");
	(void)ticket_of(1);
	for (int i = 0; i < 100; i++)
		answer_it(0, 550, "again");
	answer_it(1, 250, "second");
	client_expect(&c, "250 2.1.5 second");
	answer_it(1, 550, "again");
	client_talk(&c, "NOOP\r\n", "250");
	client_close(&c);
}
END_TEST

START_TEST(a_late_answer_hits_nothing)
{
	struct client c;

	serve(20);
	client_begin(&c);
	client_talk(&c, "RCPT TO:<one@example.com>\r\n", "451 4.3.0");
	answer_it(0, 250, "too late");
	client_talk(&c, "NOOP\r\n", "250");
	client_say(&c, "RCPT TO:<two@example.com>\r\n");
	(void)ticket_of(1);
	answer_it(0, 250, "far too late");
	client_expect(&c, "451 4.3.0");
	client_close(&c);
}
END_TEST

/* An answer to a function that decided itself does not reach what is asked next. */
START_TEST(an_answer_that_was_not_waited_for)
{
	struct client c;

	serve(0);
	client_begin(&c);
	client_say(&c, "RCPT TO:<unused@example.com>\r\nRCPT TO:<two@example.com>\r\n");
	(void)ticket_of(1);
	answer_it(1, 550, "the right one");
	client_expect(&c, "250 2.1.5");
	client_expect(&c, "550 5.1.1 the right one");
	client_close(&c);
}
END_TEST

START_TEST(codes_that_are_no_verdict)
{
	struct smtp_reply reply = smtp_reply_of(354, NULL, "no verdict");
	struct smtp_reply large = smtp_reply_of(250, NULL, "x");
	struct smtp_ticket nobody = { 0 };
	struct smtp_ticket wrong;
	struct client c;

	serve(0);
	client_begin(&c);
	client_say(&c, "RCPT TO:<one@example.com>\r\n");
	ck_assert_int_eq(smtp_server_answer(ticket_of(0), &reply), SMTP_EINVAL);
	large.text.n = 65537;
	ck_assert_int_eq(smtp_server_answer(ticket_of(0), &large), SMTP_EINVAL);
	ck_assert_int_eq(smtp_server_answer(nobody, NULL), SMTP_EINVAL);
	wrong = ticket_of(0);
	wrong.loop = 2;
	ck_assert_int_eq(smtp_server_answer(wrong, NULL), SMTP_EINVAL);
	answer_it(0, 250, "at last");
	client_expect(&c, "250 2.1.5 at last");
	client_close(&c);
}
END_TEST

/* More sessions wait at once than there are slots in the first chunk of a loop. */
START_TEST(many_wait_at_once)
{
	enum { MANY = 300 };
	struct client *clients = calloc(MANY, sizeof(*clients));
	char text[32];
	char line[64];

	ck_assert_ptr_nonnull(clients);
	serve(0);
	for (size_t i = 0; i < MANY; i++) {
		client_begin(&clients[i]);
		client_say(&clients[i], "RCPT TO:<one@example.com>\r\n");
		(void)ticket_of(i);
	}
	for (size_t i = MANY; i-- > 0;) {
		snprintf(text, sizeof(text), "number %zu.", i);
		answer_it(i, 250, text);
	}
	for (size_t i = 0; i < MANY; i++) {
		snprintf(line, sizeof(line), "250 2.1.5 number %zu.", i);
		client_expect(&clients[i], line);
		client_close(&clients[i]);
	}
	free(clients);
}
END_TEST

#if HAS_FAILING_MALLOC
START_TEST(no_memory_for_a_ticket)
{
	struct client c;

	lack = true;
	serve(0);
	client_begin(&c);
	client_talk(&c, "RCPT TO:<one@example.com>\r\n", "451 4.3.0");
	ck_assert_int_eq(smtp_server_answer(ticket_of(0), NULL), SMTP_ENOMEM);
	client_talk(&c, "NOOP\r\n", "250");
	client_close(&c);
}
END_TEST

START_TEST(no_memory_for_a_long_text)
{
	char text[1024];
	struct client c;
	char line[CLIENT_LINE_MAX];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	serve(0);
	client_begin(&c);
	client_say(&c, "RCPT TO:<one@example.com>\r\n");
	(void)ticket_of(0);
	lack = _i == 1;
	answer_it(0, 250, text);
	ck_assert(client_line(&c, line));
	ck_assert_int_eq(line[3], _i ? ' ' : '-');
	if (_i == 1)
		ck_assert_uint_eq(strlen(line), strlen("250 2.1.5 ") + 128);
	client_close(&c);
}
END_TEST
#endif

int main(void)
{
	Suite *suite = suite_create("server_answer");
	TCase *session = tcase_create("session");
	TCase *net = tcase_create("server");

	tcase_add_loop_test(session, verdict_is_overdue, 0,
			    (int)(sizeof(steps) / sizeof(*steps)));
	tcase_add_test(session, connect_is_overdue);
	tcase_add_test(session, each_question_has_its_time);
	suite_add_tcase(suite, session);

	tcase_set_timeout(net, 60);
	tcase_add_checked_fixture(net, NULL, tear_down);
	tcase_add_test(net, a_second_answer_hits_nothing);
	tcase_add_test(net, a_late_answer_hits_nothing);
	tcase_add_test(net, an_answer_that_was_not_waited_for);
	tcase_add_test(net, codes_that_are_no_verdict);
	tcase_add_test(net, many_wait_at_once);
#if HAS_FAILING_MALLOC
	tcase_add_test(net, no_memory_for_a_ticket);
	tcase_add_loop_test(net, no_memory_for_a_long_text, 0, 2);
#endif
	suite_add_tcase(suite, net);
	return tests_run(suite);
}
