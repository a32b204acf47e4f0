/* SPDX-License-Identifier: ISC */
/* test_server_session_delay.c - replies to repeated errors are held back: how long, what is withheld
 * meanwhile, and what ends it early. How it looks on the wire is in tests/transcripts.
 */
#include "libsmtp/core/server_session_private.h"
#include "tests/unit/server_probe.h"

enum { START_MS = 1000, ALWAYS = 100 };

static struct smtp_server_session *session_that_waits(struct probe *a, uint32_t max_ms)
{
	struct smtp_server_session_options options = options_of_tests();
	struct smtp_server_session *s = NULL;

	options.error_delay_max_ms = max_ms;
	options.max_errors = ALWAYS;
	options.max_auth_failures = ALWAYS;
	events[0] = '\0';
	ck_assert_int_eq(smtp_server_session_new(&s, &options, &a->functions, a), 0);
	ck_assert_int_eq(smtp_server_session_start(s, START_MS), 0);
	feed(s, EHLO);
	output(s);
	return s;
}

static size_t feed_at(struct smtp_server_session *s, const char *text, uint64_t now_ms)
{
	size_t taken = 0;

	ck_assert_int_eq(smtp_server_session_feed(s, text, strlen(text), now_ms, &taken), 0);
	return taken;
}

static void must_be_held(struct smtp_server_session *s)
{
	size_t taken = 1;

	ck_assert_uint_eq(smtp_server_session_wants(s), 0);
	ck_assert_uint_eq(smtp_server_session_output(s).n, 0);
	ck_assert_int_eq(smtp_server_session_feed(s, "NOOP\r\n", 6, s->now_ms, &taken), 0);
	ck_assert_uint_eq(taken, 0);
}

/* Two errors: the second one's reply is held for 100 ms. */
static struct smtp_server_session *held_session(struct probe *a)
{
	struct smtp_server_session *s = session_that_waits(a, 5000);

	say(s, "FOO\r\n", "500");
	feed(s, "FOO\r\n");
	must_be_held(s);
	ck_assert_uint_eq(smtp_server_session_deadline(s), START_MS + 100);
	return s;
}

/* --- how long --------------------------------------------------------------------------------- */

static const uint32_t growth[] = { 0, 100, 250, 500, 1000, 2000, 5000, 5000, 5000, 5000, 5000 };

static const struct {
	const char *name;
	const char *line;
	uint32_t max_ms;
	unsigned code; /* of the login */
	const char *reply;
	bool delays;
} faults[] = {
	{ "errors", "FOO\r\n", 5000, 0, "500", true },
	{ "errors, 700 ms at most", "FOO\r\n", 700, 0, "500", true },
	{ "errors, 1 ms at most", "FOO\r\n", 1, 0, "500", true },
	{ "errors, more than there is", "FOO\r\n", UINT32_MAX, 0, "500", true },
	{ "errors, off", "FOO\r\n", 0, 0, "500", false },
	{ "bad argument of EHLO", "EHLO ()\r\n", 5000, 0, "501", true },
	{ "logins", PLAIN, 5000, 535, "535", true },
	{ "logins, 700 ms at most", PLAIN, 700, 535, "535", true },
	{ "logins, off", PLAIN, 0, 535, "535", false },
	{ "logins that can't be checked", PLAIN, 5000, 454, "454", false },
	{ "refused recipients", "RCPT TO:<bob@example.org>\r\n", 5000, 0, "550", false },
};

START_TEST(grows_to_the_limit)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = session_that_waits(&a, faults[_i].max_ms);
	uint64_t now_ms = START_MS;

	a.code[AUTH] = faults[_i].code;
	a.code[RCPT] = 550;
	if (strncmp(faults[_i].line, "RCPT", 4) == 0)
		say(s, "MAIL FROM:<alice@example.com>\r\n", "250");
	for (size_t i = 0; i < sizeof(growth) / sizeof(*growth); i++) {
		uint32_t ms = growth[i] < faults[_i].max_ms ? growth[i] : faults[_i].max_ms;

		ck_assert_uint_gt(feed_at(s, faults[_i].line, now_ms), 0);
		if (faults[_i].delays && ms > 0) {
			must_be_held(s);
			ck_assert_uint_eq(smtp_server_session_deadline(s), now_ms + ms);
			smtp_server_session_tick(s, now_ms + ms - 1);
			must_be_held(s);
			now_ms += ms;
			smtp_server_session_tick(s, now_ms);
		}
		ck_assert_str_eq(codes(output(s)), faults[_i].reply);
		ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_READ);
		ck_assert_uint_eq(smtp_server_session_deadline(s), now_ms + 300000);
		now_ms += 10;
		smtp_server_session_tick(s, now_ms);
	}
	smtp_server_session_free(s);
}
END_TEST

START_TEST(logins_are_counted_apart)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = session_that_waits(&a, 5000);

	a.code[AUTH] = 535;
	say(s, "FOO\r\n", "500");
	say(s, PLAIN, "535");
	feed(s, PLAIN);
	ck_assert_uint_eq(smtp_server_session_deadline(s), START_MS + 100);
	smtp_server_session_free(s);
}
END_TEST

/* --- what is withheld ------------------------------------------------------------------------- */

/* What was answered before the error leaves with it; what was sent behind it is run afterwards. */
START_TEST(pipelined_input_waits)
{
	static const char behind[] = "RSET\r\nFOO\r\nNOOP\r\n";
	struct probe a = probe_of('A');
	struct smtp_server_session *s = session_that_waits(&a, 5000);

	feed(s, "FOO\r\n");
	ck_assert_uint_eq(feed(s, "NOOP\r\nFOO\r\nRSET\r\nFOO\r\nNOOP\r\n"), 11);
	must_be_held(s);
	smtp_server_session_tick(s, START_MS + 100);
	ck_assert_str_eq(codes(output(s)), "500 250 500");
	ck_assert_uint_eq(feed_at(s, behind, START_MS + 100), 11);
	must_be_held(s);
	ck_assert_uint_eq(smtp_server_session_deadline(s), START_MS + 350);
	ck_assert_uint_eq(feed_at(s, behind + 11, START_MS + 349), 0);
	ck_assert_uint_eq(feed_at(s, behind + 11, START_MS + 350), 6);
	ck_assert_str_eq(codes(output(s)), "250 500 250");
	smtp_server_session_free(s);
}
END_TEST

START_TEST(feed_releases)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = held_session(&a);

	ck_assert_uint_eq(feed_at(s, "", START_MS + 99), 0);
	must_be_held(s);
	ck_assert_uint_eq(feed_at(s, "", START_MS + 100), 0);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_WRITE | SMTP_WANTS_READ);
	ck_assert_str_eq(codes(output(s)), "500");
	smtp_server_session_free(s);
}
END_TEST

/* However late the driver comes, the client had no chance to speak before. */
START_TEST(a_late_tick_does_not_time_out)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = held_session(&a);

	smtp_server_session_tick(s, START_MS + 1000000);
	ck_assert_str_eq(codes(output(s)), "500");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_READ);
	ck_assert_uint_eq(smtp_server_session_deadline(s), START_MS + 1300000);
	smtp_server_session_tick(s, START_MS + 1300000);
	ck_assert_str_eq(codes(output(s)), "421");
	smtp_server_session_free(s);
}
END_TEST

/* reply() brings no time: the delay begins when the session hears of it. */
START_TEST(after_a_late_verdict)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = session_that_waits(&a, 5000);

	a.verdict[AUTH] = SMTP_PENDING;
	feed(s, PLAIN);
	answer(s, 535);
	ck_assert_str_eq(codes(output(s)), "535");
	feed(s, PLAIN);
	answer(s, 535);
	must_be_held(s);
	smtp_server_session_free(s);

	s = session_that_waits(&a, 5000);
	feed(s, PLAIN);
	answer(s, 535);
	feed(s, PLAIN);
	answer(s, 535);
	ck_assert_uint_eq(smtp_server_session_wants(s), 0);
	ck_assert_uint_eq(smtp_server_session_deadline(s), START_MS); /* at once, to hear it */
	smtp_server_session_tick(s, START_MS + 7000);
	must_be_held(s);
	ck_assert_uint_eq(smtp_server_session_deadline(s), START_MS + 7100);
	smtp_server_session_tick(s, START_MS + 7100);
	ck_assert_str_eq(codes(output(s)), "535 535");
	smtp_server_session_free(s);
}
END_TEST

/* --- the end ---------------------------------------------------------------------------------- */

/* The last error holds the 421 back too; then the peer has its time to read it. */
START_TEST(the_last_reply_waits)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = session_that_waits(&a, 5000);

	s->options.max_errors = 2;
	feed(s, "FOO\r\nFOO\r\nNOOP\r\n");
	ck_assert_int_eq(a.reason, SMTP_DISCONNECT_ERRORS);
	must_be_held(s);
	smtp_server_session_tick(s, START_MS + 100);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_WRITE | SMTP_WANTS_CLOSE);
	ck_assert_uint_eq(smtp_server_session_deadline(s), START_MS + 100 + SERVER_LINGER_MS);
	ck_assert_str_eq(codes(output(s)), "500 500 421");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	smtp_server_session_free(s);
}
END_TEST

static void shut_down(struct smtp_server_session *s)
{
	struct smtp_reply reply = smtp_reply_of(421, "4.3.2", "shutting down");

	smtp_server_session_close(s, SMTP_DISCONNECT_SHUTDOWN, &reply);
}

static void shut_silently(struct smtp_server_session *s)
{
	smtp_server_session_close(s, SMTP_DISCONNECT_IO, NULL);
}

static const struct {
	const char *name;
	void (*end)(struct smtp_server_session *s);
	bool over; /* the session had ended with 421 already */
	const char *replies;
	enum smtp_disconnect_reason reason;
} ends[] = {
	{ "peer closes", smtp_server_session_peer_closed, false, "500", SMTP_DISCONNECT_PEER_CLOSED },
	{ "shutdown", shut_down, false, "500 421", SMTP_DISCONNECT_SHUTDOWN },
	{ "close without a reply", shut_silently, false, "500", SMTP_DISCONNECT_IO },
	{ "peer closes, over", smtp_server_session_peer_closed, true, "500 421",
	  SMTP_DISCONNECT_ERRORS },
	{ "shutdown, over", shut_down, true, "500 421", SMTP_DISCONNECT_ERRORS },
};

START_TEST(ended_while_held)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = session_that_waits(&a, 5000);

	s->options.max_errors = ends[_i].over ? 2 : ALWAYS;
	say(s, "FOO\r\n", "500");
	feed(s, "FOO\r\n");
	must_be_held(s);
	ends[_i].end(s);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_WRITE | SMTP_WANTS_CLOSE);
	ck_assert_str_eq(codes(output(s)), ends[_i].replies);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	ck_assert_int_eq(a.reason, ends[_i].reason);
	smtp_server_session_free(s);
}
END_TEST

/* Who said before that it leaves, or has to, does not wait for the error either. */
START_TEST(no_delay_when_it_ends_anyway)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = session_that_waits(&a, 5000);

	a.verdict[AUTH] = SMTP_PENDING;
	s->options.max_auth_failures = _i < 2 ? 2 : ALWAYS;
	feed(s, PLAIN);
	answer(s, 535);
	feed(s, PLAIN);
	if (_i % 2)
		shut_down(s);
	else
		smtp_server_session_peer_closed(s);
	answer(s, 535);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_WRITE | SMTP_WANTS_CLOSE);
	ck_assert_str_eq(codes(output(s)), _i == 2 ? "535 535" : "535 535 421");
	smtp_server_session_free(s);
}
END_TEST

START_TEST(freed_while_held)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = held_session(&a);

	forget_events();
	smtp_server_session_free(s);
	ck_assert_str_eq(events, "A.disconnect");
}
END_TEST

START_TEST(on_by_default)
{
	struct smtp_server_session_options options = SMTP_SERVER_SESSION_OPTIONS_INIT;
	struct smtp_server_session *s = NULL;

	ck_assert_uint_eq(options.error_delay_max_ms, 5000);
	options.hostname = "mx.example.org";
	options.size = offsetof(struct smtp_server_session_options, error_delay_max_ms);
	options.error_delay_max_ms = 1;
	ck_assert_int_eq(smtp_server_session_new(&s, &options, NULL, NULL), 0);
	ck_assert_uint_eq(s->options.error_delay_max_ms, 5000);
	smtp_server_session_free(s);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("server_session_delay");
	TCase *tc = tcase_create("delay");

	tcase_add_loop_test(tc, grows_to_the_limit, 0, (int)(sizeof(faults) / sizeof(*faults)));
	tcase_add_test(tc, logins_are_counted_apart);
	tcase_add_test(tc, pipelined_input_waits);
	tcase_add_test(tc, feed_releases);
	tcase_add_test(tc, a_late_tick_does_not_time_out);
	tcase_add_test(tc, after_a_late_verdict);
	tcase_add_test(tc, the_last_reply_waits);
	tcase_add_loop_test(tc, ended_while_held, 0, (int)(sizeof(ends) / sizeof(*ends)));
	tcase_add_loop_test(tc, no_delay_when_it_ends_anyway, 0, 4);
	tcase_add_test(tc, freed_while_held);
	tcase_add_test(tc, on_by_default);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
