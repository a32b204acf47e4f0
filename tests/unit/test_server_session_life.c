/* SPDX-License-Identifier: ISC */
/* test_server_session_life.c - the server session's life: options of other versions, closing from
 * everywhere, TLS, back-pressure, memory at rest, timers.
 */
#include "libsmtp/core/server_session_private.h"
#include "tests/unit/server_probe.h"

/* --- creating --------------------------------------------------------------------------------- */

START_TEST(options_size)
{
	struct {
		struct smtp_server_session_options known;
		char unknown[16];
	} longer = { .known = options_of_tests() };
	struct smtp_server_session *s = NULL;

	longer.known.size = sizeof(longer);
	ck_assert_int_eq(smtp_server_session_new(&s, &longer.known, NULL, NULL), 0);
	smtp_server_session_free(s);
	s = NULL;
	longer.unknown[15] = 1;
	ck_assert_int_eq(smtp_server_session_new(&s, &longer.known, NULL, NULL), SMTP_EINVAL);
	longer.known.size = 0;
	ck_assert_int_eq(smtp_server_session_new(&s, &longer.known, NULL, NULL), SMTP_EINVAL);
	longer.known.size = sizeof(size_t);
	ck_assert_int_eq(smtp_server_session_new(&s, &longer.known, NULL, NULL), SMTP_EINVAL);
	ck_assert_ptr_null(s);
}
END_TEST

START_TEST(options_of_an_older_version)
{
	struct smtp_server_session_options options = options_of_tests();
	struct smtp_server_session *s = NULL;

	options.size = offsetof(struct smtp_server_session_options, max_message_bytes);
	options.max_message_bytes = 1;
	options.max_errors = 0;
	ck_assert_int_eq(smtp_server_session_new(&s, &options, NULL, NULL), 0);
	ck_assert_uint_eq(s->options.max_message_bytes, UINT64_C(50) << 20);
	ck_assert_uint_eq(s->options.max_errors, 10);
	ck_assert(s->options.offer_starttls);
	smtp_server_session_free(s);
}
END_TEST

START_TEST(options_defaults)
{
	struct smtp_server_session_options macro = SMTP_SERVER_SESSION_OPTIONS_INIT;
	struct smtp_server_session_options function;

	smtp_server_session_options_init(&function);
	ck_assert_uint_eq(function.size, macro.size);
	ck_assert_uint_eq(function.max_message_bytes, macro.max_message_bytes);
	ck_assert_uint_eq(function.max_recipients, 1000);
	ck_assert_uint_eq(function.command_timeout_ms, 300000);
	ck_assert(function.auth_needs_tls);
}
END_TEST

/* What a later version keeps there would not be done here. */
START_TEST(options_reserved)
{
	struct smtp_server_session_options options = options_of_tests();
	struct smtp_server_session *s = NULL;

	options.reserved[sizeof(options.reserved) / sizeof(*options.reserved) - 1] = 1;
	ck_assert_int_eq(smtp_server_session_new(&s, &options, NULL, NULL), SMTP_EINVAL);
}
END_TEST

START_TEST(options_at_least_100_recipients)
{
	struct smtp_server_session_options options = options_of_tests();
	struct smtp_server_session *s = NULL;

	options.max_recipients = 5;
	ck_assert_int_eq(smtp_server_session_new(&s, &options, NULL, NULL), 0);
	ck_assert_uint_eq(s->options.max_recipients, 100);
	smtp_server_session_free(s);
}
END_TEST

static const struct {
	const char *hostname;
	int err;
} hostnames[] = {
	{ "mx.example.org", 0 }, { "[192.0.2.1]", 0 }, { "localhost", 0 },
	{ NULL, SMTP_EINVAL },	 { "", SMTP_EINVAL },  { "a b", SMTP_EINVAL },
	{ "mx\r\nQUIT", SMTP_EINVAL },
};

START_TEST(hostname)
{
	struct smtp_server_session_options options = options_of_tests();
	struct smtp_server_session *s = NULL;

	options.hostname = hostnames[_i].hostname;
	ck_assert_int_eq(smtp_server_session_new(&s, &options, NULL, NULL), hostnames[_i].err);
	smtp_server_session_free(s);
}
END_TEST

START_TEST(handler_size)
{
	struct probe a = probe_of('A');
	struct smtp_server_session_options options = options_of_tests();
	struct smtp_server_session *s = NULL;

	a.functions.size = 1;
	ck_assert_int_eq(smtp_server_session_new(&s, &options, &a.functions, &a), SMTP_EINVAL);
	a.functions.size = sizeof(a.functions) + 8;
	memset(a.verdict, 0xff, sizeof(a.verdict));
	/* of an older version, which ends with `helo` */
	a.functions.size = offsetof(struct smtp_server_session_handler, auth);
	memset(a.verdict, 0, sizeof(a.verdict));
	s = started(&a, NULL);
	say(s, EHLO ENVELOPE, "220 250 250 550");
	smtp_server_session_free(s);
	ck_assert_str_eq(events, "A.connect A.ehlo:client.example.com");
}
END_TEST

START_TEST(no_handler_is_no_open_relay)
{
	struct smtp_server_session *s = started(NULL, NULL);

	say(s, EHLO ENVELOPE "DATA\r\nVRFY bob\r\nHELP\r\n" PLAIN, "220 250 250 550 554 252 214 503");
	smtp_server_session_free(s);
}
END_TEST

START_TEST(sixteen_handlers)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = session_with(&a, NULL);

	for (int i = 1; i < 16; i++)
		ck_assert_int_eq(use(s, &a), 0);
	ck_assert_int_eq(use(s, &a), SMTP_ETOOLONG);
	ck_assert_int_eq(smtp_server_session_start(s, 0), 0);
	ck_assert_int_eq(use(s, &a), SMTP_ESTATE);
	ck_assert_int_eq(smtp_server_session_start(s, 0), SMTP_ESTATE);
	ck_assert_uint_eq(strlen(events), 16 * strlen("A.connect ") - 1);
	forget_events();
	smtp_server_session_free(s);
	ck_assert_uint_eq(strlen(events), 16 * strlen("A.disconnect ") - 1);
}
END_TEST

START_TEST(free_is_silent_before_start)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = session_with(&a, NULL);
	size_t taken;

	ck_assert_uint_eq(smtp_server_session_wants(s), 0);
	ck_assert_uint_eq(smtp_server_session_deadline(s), UINT64_MAX);
	ck_assert_int_eq(smtp_server_session_feed(s, "x", 1, 0, &taken), SMTP_ESTATE);
	smtp_server_session_free(s);
	smtp_server_session_free(NULL);
	ck_assert_str_eq(events, "");
}
END_TEST

/* --- close() ---------------------------------------------------------------------------------- */

static void close_now(struct smtp_server_session *s)
{
	struct smtp_reply reply = smtp_reply_of(421, "4.3.2", "shutting down");

	smtp_server_session_close(s, SMTP_DISCONNECT_SHUTDOWN, &reply);
}

START_TEST(close_idle)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);

	feed(s, EHLO ENVELOPE);
	output(s);
	forget_events();
	close_now(s);
	close_now(s);
	ck_assert_str_eq(output(s), "421 4.3.2 shutting down\r\n");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	ck_assert_int_eq(a.reason, SMTP_DISCONNECT_SHUTDOWN);
	smtp_server_session_free(s);
	ck_assert_str_eq(events, "A.reset A.disconnect");
}
END_TEST

START_TEST(close_without_reply)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);

	feed(s, EHLO ENVELOPE "DATA\r\nx");
	output(s);
	smtp_server_session_close(s, SMTP_DISCONNECT_IO, NULL);
	ck_assert_str_eq(output(s), "");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	ck_assert_int_eq(a.reason, SMTP_DISCONNECT_IO);
	smtp_server_session_free(s);
}
END_TEST

START_TEST(close_before_start)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = session_with(&a, NULL);

	close_now(s);
	ck_assert_str_eq(output(s), "421 shutting down\r\n");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	ck_assert_int_eq(smtp_server_session_start(s, 0), SMTP_ESTATE);
	smtp_server_session_free(s);
	ck_assert_str_eq(events, "");
}
END_TEST

/* The verdict that is awaited may be about a message that is stored already: it is still said. */
START_TEST(close_while_pending)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.verdict[END] = SMTP_PENDING;
	s = started(&a, NULL);
	feed(s, EHLO ENVELOPE "DATA\r\nx\r\n.\r\n");
	output(s);
	close_now(s);
	smtp_server_session_close(s, SMTP_DISCONNECT_IO, NULL); /* the first one counts */
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_VERDICT);
	answer(s, 0);
	ck_assert_str_eq(codes(output(s)), "250 421");
	ck_assert_int_eq(a.reason, SMTP_DISCONNECT_SHUTDOWN);
	smtp_server_session_free(s);
}
END_TEST

START_TEST(close_in_content)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);

	feed(s, EHLO ENVELOPE "DATA\r\nx\r\n");
	output(s);
	forget_events();
	close_now(s);
	ck_assert_str_eq(output(s), "");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_READ);
	feed(s, "y\r\n.\r\nQUIT\r\n");
	ck_assert_str_eq(codes(output(s)), "421");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	ck_assert_int_eq(a.reason, SMTP_DISCONNECT_SHUTDOWN);
	ck_assert_str_eq(events, "A.reset A.disconnect");
	smtp_server_session_free(s);
}
END_TEST

static void close_within(struct smtp_server_session *s, struct probe *probe)
{
	(void)probe;
	close_now(s);
}

START_TEST(close_from_within)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);

	feed(s, steps[_i].before);
	output(s);
	a.within = close_within;
	feed(s, steps[_i].line);
	ck_assert_msg(strstr(output(s), "421 ") != NULL || steps[_i].phase == DATA, "%s",
		      steps[_i].name);
	feed(s, "x\r\n.\r\n"); /* after 354 the end of data has to come first */
	output(s);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	ck_assert_int_eq(a.reason, SMTP_DISCONNECT_SHUTDOWN);
	smtp_server_session_free(s);
}
END_TEST

START_TEST(close_in_connect)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.within = close_within;
	s = started(&a, NULL);
	ck_assert_str_eq(output(s), "421 shutting down\r\n");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	smtp_server_session_free(s);
	ck_assert_str_eq(events, "A.connect A.disconnect");
}
END_TEST

START_TEST(close_in_tls)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);
	struct smtp_reply reply = smtp_reply_of(421, NULL, "x");

	feed(s, EHLO "STARTTLS\r\n");
	output(s);
	smtp_server_session_close(s, SMTP_DISCONNECT_TLS, &reply);
	ck_assert_str_eq(output(s), "");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	ck_assert_int_eq(a.reason, SMTP_DISCONNECT_TLS);
	smtp_server_session_free(s);
}
END_TEST

/* --- TLS -------------------------------------------------------------------------------------- */

START_TEST(tls_wanted_when_flushed)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);
	char longer[200];

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	feed(s, EHLO);
	ck_assert_int_eq(smtp_server_session_tls_started(s, "x"), SMTP_ESTATE);
	feed(s, "STARTTLS\r\n");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_WRITE);
	output(s);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_TLS);
	ck_assert_int_eq(smtp_server_session_tls_started(s, longer), 0);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_READ);
	ck_assert_uint_eq(strlen(smtp_server_session_tls_description(s)), 80);
	ck_assert_str_eq(smtp_server_session_helo_name(s), "");
	ck_assert_str_eq(smtp_server_session_protocol(s), "SMTP");
	ck_assert(smtp_server_session_has_tls(s));
	smtp_server_session_free(s);
}
END_TEST

START_TEST(tls_error_stays)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);
	size_t taken = 0;

	feed(s, EHLO);
	ck_assert_int_eq(smtp_server_session_feed(s, "STARTTLS\r\nNOOP\r\n", 16, 1000, &taken),
			 SMTP_EPROTO);
	ck_assert_uint_eq(taken, 16);
	ck_assert_int_eq(smtp_server_session_feed(s, "x", 1, 1000, &taken), SMTP_EPROTO);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_WRITE | SMTP_WANTS_CLOSE);
	ck_assert_int_eq(smtp_server_session_tls_started(s, "x"), SMTP_ESTATE);
	ck_assert_int_eq(a.reason, SMTP_DISCONNECT_PROTOCOL);
	smtp_server_session_free(s);
}
END_TEST

START_TEST(tls_before_the_greeting)
{
	struct smtp_server_session *s = session_with(NULL, NULL);

	ck_assert_int_eq(smtp_server_session_tls_started(s, "TLSv1.3"), 0);
	ck_assert_int_eq(smtp_server_session_start(s, 0), 0);
	say(s, EHLO, "220 250");
	ck_assert_str_eq(smtp_server_session_protocol(s), "ESMTPS");
	ck_assert_str_eq(smtp_server_session_tls_description(s), "TLSv1.3");
	smtp_server_session_free(s);
}
END_TEST

/* --- back-pressure, memory -------------------------------------------------------------------- */

/* The peer sends and never reads. */
START_TEST(output_is_bounded)
{
	struct smtp_server_session *s = started(NULL, NULL);
	size_t taken = 1, sent = 0;

	for (int i = 0; i < 100000 && taken > 0; i++)
		taken = feed(s, "NOOP\r\n");
	ck_assert_uint_eq(taken, 0);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_WRITE);
	ck_assert_uint_le(s->out.cap, SERVER_OUTPUT_MAX);
	while (smtp_server_session_output(s).n > 0) {
		smtp_server_session_sent(s, 1000);
		sent++;
	}
	ck_assert_uint_ge(sent, 30);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_READ);
	ck_assert_uint_eq(feed(s, "NOOP\r\n"), 6);
	smtp_server_session_free(s);
}
END_TEST

/* Only AUTH may fill a line of 12 KiB. */
START_TEST(lines_are_bounded)
{
	struct smtp_server_session *s = started(NULL, NULL);

	feed(s, _i ? "AUTH " : "NOOP ");
	for (int i = 0; i < 20000; i++)
		feed(s, "x");
	ck_assert_uint_le(s->line.buf.cap, _i ? SMTP_AUTH_LINE_MAX : SMTP_COMMAND_LINE_MAX_EXTENDED);
	say(s, "\r\nNOOP\r\n", "220 500 250");
	smtp_server_session_free(s);
}
END_TEST

static void no_buffers(const struct smtp_server_session *s)
{
	ck_assert_uint_eq(s->out.cap + s->line.buf.cap + s->args.held.cap + s->run.reply.text.cap +
				  s->content.refusal.text.cap + s->closing.reply.text.cap,
			  0);
	ck_assert_ptr_null(s->auth.exchange);
}

START_TEST(idle_holds_no_buffers)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	for (int i = 0; i < PHASES; i++)
		a.verdict[i] = SMTP_PENDING;
	s = started(&a, NULL);
	ck_assert_uint_lt(sizeof(*s) + 16 * sizeof(*s->handlers), 3072);
	answer(s, 0);
	output(s);
	no_buffers(s);
	for (size_t i = 0; i < sizeof(EHLO) - 1; i++)
		feed(s, (char[]){ EHLO[i], '\0' });
	answer(s, 0);
	output(s);
	no_buffers(s);
	feed(s, "MAIL FROM:<alice@example.com> AUTH=a@b.example SIZE=x\r\n");
	output(s);
	no_buffers(s);
	feed(s, PLAIN);
	answer(s, 454);
	feed(s, "MAIL FROM:<alice@example.com> AUTH=<>\r\n");
	answer(s, 0);
	feed(s, "RCPT TO:<bob@example.org>\r\n");
	answer(s, 0);
	output(s);
	no_buffers(s);
	smtp_server_session_free(s);
}
END_TEST

/* --- time ------------------------------------------------------------------------------------- */

START_TEST(timer_rests_while_pending)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;
	size_t taken;

	a.verdict[VRFY] = SMTP_PENDING;
	s = started(&a, NULL);
	s->options.verdict_timeout_ms = 0;
	ck_assert_uint_eq(smtp_server_session_deadline(s), 301000);
	feed(s, EHLO "VRFY x\r\n");
	ck_assert_uint_eq(smtp_server_session_deadline(s), UINT64_MAX);
	smtp_server_session_tick(s, 900000);
	answer(s, 0);
	ck_assert_uint_le(smtp_server_session_deadline(s), 900000);
	smtp_server_session_tick(s, 900000);
	ck_assert_uint_eq(smtp_server_session_deadline(s), 1200000);
	feed(s, "");
	ck_assert_int_eq(smtp_server_session_feed(s, "NOOP\r\n", 6, 950000, &taken), 0);
	ck_assert_uint_eq(smtp_server_session_deadline(s), 1250000);
	output(s);
	smtp_server_session_tick(s, 1250000);
	ck_assert_str_eq(codes(output(s)), "421");
	ck_assert_int_eq(a.reason, SMTP_DISCONNECT_TIMEOUT);
	smtp_server_session_free(s);
}
END_TEST

/* What the handler takes is not the client's slowness. */
START_TEST(content_time_rests_while_pending)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;
	size_t taken;

	a.verdict[CONTENT] = SMTP_PENDING;
	s = started(&a, NULL);
	s->options.verdict_timeout_ms = 0;
	feed(s, EHLO ENVELOPE "DATA\r\n");
	ck_assert_int_eq(smtp_server_session_feed(s, "x\r\n", 3, 2000, &taken), 0);
	ck_assert_int_eq(smtp_server_session_feed(s, "y", 1, 3002000, &taken), 0);
	ck_assert_uint_eq(taken, 0);
	smtp_server_session_tick(s, 4002000);
	answer(s, 0);
	ck_assert_int_eq(smtp_server_session_feed(s, "", 0, 5002000, &taken), 0);
	ck_assert_uint_ge(smtp_server_session_deadline(s), 5002000 + 599000);
	ck_assert_uint_le(smtp_server_session_deadline(s), 5002000 + 600000);
	smtp_server_session_free(s);
}
END_TEST

/* Closed, and the peer does not read the last reply: in the end it is dropped. */
START_TEST(linger_is_bounded)
{
	struct smtp_server_session *s = started(NULL, NULL);

	feed(s, "QUIT\r\n");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_WRITE | SMTP_WANTS_CLOSE);
	ck_assert_uint_eq(smtp_server_session_deadline(s), 31000);
	smtp_server_session_tick(s, 31000);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	ck_assert_uint_eq(smtp_server_session_deadline(s), UINT64_MAX);
	smtp_server_session_free(s);
}
END_TEST

/* --- the suite -------------------------------------------------------------------------------- */

static void add_all(TCase *tc)
{
	tcase_add_test(tc, options_size);
	tcase_add_test(tc, options_of_an_older_version);
	tcase_add_test(tc, options_defaults);
	tcase_add_test(tc, options_reserved);
	tcase_add_test(tc, options_at_least_100_recipients);
	tcase_add_loop_test(tc, hostname, 0, ROWS(hostnames));
	tcase_add_test(tc, handler_size);
	tcase_add_test(tc, no_handler_is_no_open_relay);
	tcase_add_test(tc, sixteen_handlers);
	tcase_add_test(tc, free_is_silent_before_start);
	tcase_add_test(tc, close_idle);
	tcase_add_test(tc, close_without_reply);
	tcase_add_test(tc, close_before_start);
	tcase_add_test(tc, close_while_pending);
	tcase_add_test(tc, close_in_content);
	tcase_add_loop_test(tc, close_from_within, 0, ROWS(steps));
	tcase_add_test(tc, close_in_connect);
	tcase_add_test(tc, close_in_tls);
	tcase_add_test(tc, tls_wanted_when_flushed);
	tcase_add_test(tc, tls_error_stays);
	tcase_add_test(tc, tls_before_the_greeting);
	tcase_add_test(tc, output_is_bounded);
	tcase_add_loop_test(tc, lines_are_bounded, 0, 2);
	tcase_add_test(tc, idle_holds_no_buffers);
	tcase_add_test(tc, timer_rests_while_pending);
	tcase_add_test(tc, content_time_rests_while_pending);
	tcase_add_test(tc, linger_is_bounded);
}

int main(void)
{
	Suite *suite = suite_create("server_session_life");
	TCase *tc = tcase_create("server_session_life");

	add_all(tc);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
