/* SPDX-License-Identifier: ISC */
/* LMTP through a listening server: what is said of each recipient comes from another thread, or from a
 * handler that may block, after DATA and after chunks.
 */
#include <pthread.h>
#include <smtp/server.h>
#include "tests/unit/failing_malloc.h"
#include "tests/unit/server_client.h"
#include "tests/unit/testing.h"

static struct smtp_server *server;
static uint16_t port;
static pthread_t server_thread;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct smtp_ticket kept;
static bool is_kept;

static enum smtp_verdict take_recipient(struct smtp_server_session *s,
					const struct smtp_rcpt_request *request, void *user)
{
	(void)s;
	(void)request;
	(void)user;
	return SMTP_ACCEPT;
}

static enum smtp_verdict keep_ticket(struct smtp_server_session *s, void *user)
{
	(void)user;
	(void)pthread_mutex_lock(&lock);
	kept = smtp_server_ticket(s);
	is_kept = true;
	(void)pthread_cond_broadcast(&changed);
	(void)pthread_mutex_unlock(&lock);
	return SMTP_PENDING;
}

static enum smtp_verdict refuse_second(struct smtp_server_session *s, void *user)
{
	struct smtp_reply full = smtp_reply_of(452, "4.2.2", "mailbox full");

	(void)user;
	return smtp_server_session_recipient_reply(s, 1, &full) == 0 ? SMTP_ACCEPT : SMTP_PENDING;
}

static const struct smtp_server_session_handler later = {
	.size = sizeof(later), .rcpt = take_recipient, .end = keep_ticket,
};

static const struct smtp_server_session_handler blocking = {
	.size = sizeof(blocking), .rcpt = take_recipient, .end = refuse_second,
};

static struct smtp_ticket ticket(void)
{
	struct smtp_ticket t;

	(void)pthread_mutex_lock(&lock);
	while (!is_kept)
		(void)pthread_cond_wait(&changed, &lock);
	t = kept;
	is_kept = false;
	(void)pthread_mutex_unlock(&lock);
	return t;
}

static void *run_server(void *user)
{
	(void)user;
	ck_assert_int_eq(smtp_server_run(server), 0);
	return NULL;
}

static void serve(const struct smtp_server_session_handler *handler, bool lmtp, bool may_block)
{
	struct smtp_server_options options = SMTP_SERVER_OPTIONS_INIT;
	struct smtp_listener_options listener = SMTP_LISTENER_OPTIONS_INIT;

	options.loops = 1;
	listener.address = "127.0.0.1:0";
	listener.session.hostname = "mail.example.com";
	listener.session.lmtp = lmtp;
	listener.session.extensions |= SMTP_SERVER_CHUNKING;
	listener.handler = handler;
	listener.blocking = may_block;
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
	smtp_server_free(server);
}

static void begin(struct client *c, bool lmtp)
{
	client_connect_to(c, "127.0.0.1", port);
	client_expect(c, lmtp ? "220 mail.example.com LMTP" : "220 mail.example.com ESMTP");
	client_talk(c, lmtp ? "LHLO a.example\r\n" : "EHLO a.example\r\n", "250");
}

/* Three recipients and a message, in one write; the replies up to the end of data are taken. */
static void send_message(struct client *c, bool chunks)
{
	client_say(c, "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<e@d.example>\r\n"
		      "RCPT TO:<f@d.example>\r\n");
	for (int i = 0; i < 4; i++)
		client_expect(c, "250 2.1.");
	if (!chunks)
		client_talk(c, "DATA\r\n", "354");
	client_say(c, chunks ? "BDAT 3 LAST\r\nx\r\n" : "x\r\n.\r\n");
}

static const struct smtp_reply results[] = {
	{ 250, { 2, 1, 5 }, { (const uint8_t *)"delivered", 9 } },
	{ 0, { 0, 0, 0 }, { NULL, 0 } },
	{ 550, { 5, 2, 0 }, { (const uint8_t *)"gone\naway", 9 } },
	{ 550, { 5, 2, 0 }, { (const uint8_t *)"nobody", 6 } }, /* there is no fourth */
};

START_TEST(from_another_thread)
{
	struct client c;

	serve(&later, true, false);
	begin(&c, true);
	for (int chunks = 0; chunks < 2; chunks++) {
		send_message(&c, chunks == 1);
		ck_assert_int_eq(smtp_server_answer_recipients(ticket(), results, ROWS(results)), 0);
		client_expect(&c, "250 2.1.5 delivered");
		client_expect(&c, "250 2.0.0 message accepted");
		client_expect(&c, "550 5.2.0 gone");
		client_talk(&c, "NOOP\r\n", "250 2.0.0 ok");
	}
	client_close(&c);
}
END_TEST

START_TEST(to_smtp)
{
	struct client c;

	serve(&later, false, false);
	begin(&c, false);
	send_message(&c, false);
	ck_assert_int_eq(smtp_server_answer_recipients(ticket(), results, ROWS(results)), 0);
	client_expect(&c, "250 2.0.0 message accepted");
	client_talk(&c, "NOOP\r\n", "250 2.0.0 ok");
	client_close(&c);
}
END_TEST

START_TEST(wrong_answers)
{
	static const unsigned codes[] = { 1, 199, 354, 421, 600 };
	struct smtp_reply reply = results[0];
	struct smtp_ticket nobody = { 0 }, t;
	struct client c;

	serve(&later, true, false);
	begin(&c, true);
	send_message(&c, false);
	t = ticket();
	for (int i = 0; i < ROWS(codes); i++) {
		reply.code = codes[i];
		ck_assert_int_eq(smtp_server_answer_recipients(t, &reply, 1), SMTP_EINVAL);
	}
	ck_assert_int_eq(smtp_server_answer_recipients(t, &reply, SIZE_MAX), SMTP_EINVAL);
	ck_assert_int_eq(smtp_server_answer_recipients(nobody, results, 1), SMTP_EINVAL);
	ck_assert_int_eq(smtp_server_answer_recipients(t, NULL, 0), 0);
	for (int i = 0; i < 3; i++)
		client_expect(&c, "250 2.0.0 message accepted");
	ck_assert_int_eq(smtp_server_answer_recipients(t, results, 3), 0); /* nobody waits */
	client_talk(&c, "NOOP\r\n", "250 2.0.0 ok");
	client_close(&c);
}
END_TEST

START_TEST(from_a_blocking_handler)
{
	struct client c;

	serve(&blocking, true, true);
	begin(&c, true);
	send_message(&c, _i == 1);
	client_expect(&c, "250 2.0.0 message accepted");
	client_expect(&c, "452 4.2.2 mailbox full");
	client_expect(&c, "250 2.0.0 message accepted");
	client_close(&c);
}
END_TEST

#if HAS_FAILING_MALLOC
START_TEST(no_memory_for_the_answers)
{
	struct smtp_ticket t;
	struct client c;
	int err;

	serve(&later, true, false);
	begin(&c, true);
	send_message(&c, false);
	t = ticket();
	malloc_fails = true;
	err = smtp_server_answer_recipients(t, results, 3);
	malloc_fails = false;
	ck_assert_int_eq(err, SMTP_ENOMEM);
	ck_assert_int_eq(smtp_server_answer_recipients(t, results, 3), 0);
	client_expect(&c, "250 2.1.5 delivered");
	client_close(&c);
}
END_TEST
#endif

int main(void)
{
	Suite *suite = suite_create("server_lmtp");
	TCase *tc = tcase_create("server_lmtp");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, NULL, tear_down);
	tcase_add_test(tc, from_another_thread);
	tcase_add_test(tc, to_smtp);
	tcase_add_test(tc, wrong_answers);
	tcase_add_loop_test(tc, from_a_blocking_handler, 0, 2);
#if HAS_FAILING_MALLOC
	tcase_add_test(tc, no_memory_for_the_answers);
#endif
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
