/* SPDX-License-Identifier: ISC */
/* test_server_session.c - the server session and its handlers: verdicts at once and late in each
 * phase, the chain, reset and disconnect, what may be called when. What is said on the wire is in
 * tests/transcripts.
 */
#include "libsmtp/core/server_session_private.h"
#include "tests/unit/server_probe.h"

/* --- verdicts --------------------------------------------------------------------------------- */

START_TEST(accepted_at_once)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);

	feed(s, steps[_i].before);
	output(s);
	say(s, steps[_i].line, steps[_i].usual);
	smtp_server_session_free(s);
}
END_TEST

START_TEST(refused_at_once)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.code[steps[_i].phase] = 450;
	a.verdict[steps[_i].phase] = SMTP_REPLIED;
	s = started(&a, NULL);
	feed(s, steps[_i].before);
	output(s);
	say(s, steps[_i].line, "450");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_READ);
	smtp_server_session_free(s);
}
END_TEST

/* A verdict of the handler that contradicts its reply() counts for less than the reply. */
START_TEST(reply_outweighs_the_verdict)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.code[steps[_i].phase] = 550;
	a.verdict[steps[_i].phase] = _i % 2 ? SMTP_ACCEPT : SMTP_PENDING;
	s = started(&a, NULL);
	feed(s, steps[_i].before);
	output(s);
	say(s, steps[_i].line, "550");
	smtp_server_session_free(s);
}
END_TEST

START_TEST(accepted_late)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;
	char line[256];

	a.verdict[steps[_i].phase] = SMTP_PENDING;
	s = started(&a, NULL);
	feed(s, steps[_i].before);
	output(s);
	snprintf(line, sizeof(line), "%sNOOP\r\n", steps[_i].line);
	ck_assert_uint_le(feed(s, line), strlen(line) - 6);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_VERDICT);
	ck_assert_uint_eq(smtp_server_session_deadline(s), 301000);
	ck_assert_uint_eq(feed(s, "NOOP\r\n"), 0);
	answer(s, 0);
	if (steps[_i].phase == CONTENT) {
		feed(s, ".\r\n");
		while (smtp_server_session_wants(s) & SMTP_WANTS_VERDICT)
			answer(s, 0);
	}
	ck_assert_str_eq(codes(output(s)), steps[_i].usual);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_READ);
	smtp_server_session_free(s);
}
END_TEST

START_TEST(refused_late)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.verdict[steps[_i].phase] = SMTP_PENDING;
	s = started(&a, NULL);
	feed(s, steps[_i].before);
	output(s);
	feed(s, steps[_i].line);
	answer(s, 550);
	if (steps[_i].phase == CONTENT)
		feed(s, ".\r\n");
	ck_assert_str_eq(codes(output(s)), "550");
	smtp_server_session_free(s);
}
END_TEST

START_TEST(ended_by_421)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.verdict[steps[_i].phase] = SMTP_REPLIED;
	a.code[steps[_i].phase] = 421;
	s = started(&a, NULL);
	feed(s, steps[_i].before);
	output(s);
	feed(s, steps[_i].line);
	ck_assert_str_eq(codes(output(s)), "421");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	ck_assert_int_eq(a.reason, SMTP_DISCONNECT_REFUSED);
	ck_assert_uint_eq(feed(s, "NOOP\r\n"), 0);
	smtp_server_session_free(s);
}
END_TEST

/* Replied without a reply is a fault of the handler, and must not let anything in. */
START_TEST(replied_without_reply)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.verdict[steps[_i].phase] = _i % 2 ? SMTP_REPLIED : (enum smtp_verdict)77;
	s = started(&a, NULL);
	feed(s, steps[_i].before);
	output(s);
	say(s, steps[_i].line, "451");
	smtp_server_session_free(s);
}
END_TEST

START_TEST(connect_verdicts)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.verdict[CONNECT] = SMTP_PENDING;
	s = started(&a, NULL);
	ck_assert_uint_eq(feed(s, EHLO), 0);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_VERDICT);
	answer(s, 554);
	ck_assert_str_eq(output(s), "554 said late\r\n");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	ck_assert_str_eq(events, "A.connect A.disconnect");
	smtp_server_session_free(s);
	ck_assert_str_eq(events, "A.connect A.disconnect");
}
END_TEST

START_TEST(reply_misused)
{
	struct probe a = probe_of('A');
	struct smtp_reply ok = smtp_reply_of(250, NULL, "x");
	struct smtp_reply odd = smtp_reply_of(354, NULL, "x");
	struct smtp_server_session *s;

	a.verdict[MAIL] = SMTP_PENDING;
	s = started(&a, NULL);
	ck_assert_int_eq(smtp_server_session_reply(s, &ok), SMTP_ESTATE);
	feed(s, EHLO "MAIL FROM:<alice@example.com>\r\n");
	ck_assert_int_eq(smtp_server_session_reply(s, &odd), SMTP_EINVAL);
	odd.code = 600;
	ck_assert_int_eq(smtp_server_session_reply(s, &odd), SMTP_EINVAL);
	ck_assert_uint_ne(smtp_server_session_wants(s) & SMTP_WANTS_VERDICT, 0);
	ck_assert_int_eq(smtp_server_session_reply(s, &ok), 0);
	ck_assert_int_eq(smtp_server_session_reply(s, &ok), SMTP_ESTATE);
	smtp_server_session_free(s);
}
END_TEST

static void reply_twice(struct smtp_server_session *s, struct probe *probe)
{
	struct smtp_reply refuse = smtp_reply_of(550, NULL, "no");
	struct smtp_reply accept = smtp_reply_of(250, NULL, "yes");

	if (smtp_server_session_reply(s, &refuse) == 0)
		probe->result = smtp_server_session_reply(s, &accept);
}

START_TEST(the_first_reply_counts)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);

	feed(s, EHLO);
	output(s);
	a.within = reply_twice;
	say(s, "MAIL FROM:<alice@example.com>\r\n", "550");
	ck_assert_int_eq(a.result, SMTP_ESTATE);
	smtp_server_session_free(s);
}
END_TEST

static void feed_within(struct smtp_server_session *s, struct probe *probe)
{
	size_t taken;

	probe->result = smtp_server_session_feed(s, "QUIT\r\n", 6, 1000, &taken);
	smtp_server_session_tick(s, UINT64_MAX - 1);
}

START_TEST(no_feed_from_within)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);

	a.within = feed_within;
	say(s, EHLO, "220 250");
	ck_assert_int_eq(a.result, SMTP_ESTATE);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_READ);
	smtp_server_session_free(s);
}
END_TEST

/* --- the chain -------------------------------------------------------------------------------- */

START_TEST(chain_in_order)
{
	struct probe a = probe_of('A'), b = probe_of('B');
	struct smtp_server_session *s = started(&a, &b);

	say(s, EHLO ENVELOPE "DATA\r\nhi\r\n.\r\nQUIT\r\n", "220 250 250 250 354 250 221");
	smtp_server_session_free(s);
	ck_assert_str_eq(events, "A.connect B.connect A.ehlo:client.example.com "
				 "B.ehlo:client.example.com A.mail:alice A.param B.mail:alice B.param "
				 "A.rcpt:bob B.rcpt:bob A.data B.data A.content:hi\r\n "
				 "B.content:hi\r\n A.end B.end A.disconnect B.disconnect");
}
END_TEST

/* While the first is pending the input is gone; the second must be asked about the same. */
START_TEST(chain_pending_keeps_arguments)
{
	struct probe a = probe_of('A'), b = probe_of('B');
	static const char input[] = EHLO "VRFY one\r\nHELP two\r\n" PLAIN
		"MAIL FROM:<alice@example.com> BODY=8BITMIME AUTH=x+2By@example.com\r\n"
		"RCPT TO:<bob@example.org>\r\nDATA\r\nhello\r\n.\r\n";
	struct smtp_server_session *s;
	size_t done = 0;

	for (int i = 0; i < PHASES; i++)
		a.verdict[i] = b.verdict[i] = SMTP_PENDING;
	s = started(&a, &b);
	do {
		while (smtp_server_session_wants(s) & SMTP_WANTS_VERDICT)
			answer(s, 0);
		done += feed(s, input + done);
	} while (done < strlen(input));
	while (smtp_server_session_wants(s) & SMTP_WANTS_VERDICT)
		answer(s, 0);
	ck_assert_str_eq(codes(output(s)), "220 250 252 214 235 250 250 354 250");
	smtp_server_session_free(s);
	ck_assert_str_eq(events,
			 "A.connect B.connect A.ehlo:client.example.com B.ehlo:client.example.com "
			 "A.vrfy:one B.vrfy:one A.help:two B.help:two A.PLAIN:alice A.password:secret "
			 "B.PLAIN:alice B.password:secret A.mail8:alice A.param:x+y@example.com "
			 "B.mail8:alice B.param:x+y@example.com A.rcpt:bob B.rcpt:bob A.data B.data "
			 "A.content:hello\r\n B.content:hello\r\n A.end B.end A.disconnect "
			 "B.disconnect");
}
END_TEST

START_TEST(chain_first_refusal_ends_it)
{
	struct probe a = probe_of('A'), b = probe_of('B');
	struct smtp_server_session *s;

	a.verdict[steps[_i].phase] = SMTP_PENDING;
	s = started(&a, &b);
	feed(s, steps[_i].before);
	output(s);
	forget_events();
	feed(s, steps[_i].line);
	answer(s, 550);
	ck_assert_ptr_null(strstr(events, steps[_i].phase == AUTH ? "B.PLAIN" : "B.ehlo"));
	ck_assert_ptr_null(strstr(events, "B.mail"));
	ck_assert_ptr_null(strstr(events, "B.rcpt"));
	ck_assert_ptr_null(strstr(events, "B.data"));
	ck_assert_ptr_null(strstr(events, "B.end"));
	if (steps[_i].phase == CONTENT)
		ck_assert_ptr_null(strstr(events, "B.content"));
	smtp_server_session_free(s);
}
END_TEST

/* A has accepted MAIL, B refuses it: A has to be told, B has nothing to forget. */
START_TEST(chain_reset_where_due)
{
	struct probe a = probe_of('A'), b = probe_of('B');
	struct smtp_server_session *s = started(&a, &b);

	b.code[MAIL] = 550;
	feed(s, EHLO);
	output(s);
	forget_events();
	say(s, "MAIL FROM:<alice@example.com>\r\n", "550");
	ck_assert_str_eq(events, "A.mail:alice A.param B.mail:alice B.param A.reset");
	say(s, "RSET\r\n", "250");
	ck_assert_str_eq(events, "A.mail:alice A.param B.mail:alice B.param A.reset");
	b.code[MAIL] = 0;
	forget_events();
	say(s, "MAIL FROM:<alice@example.com>\r\nRSET\r\nRSET\r\n", "250 250 250");
	ck_assert_str_eq(events, "A.mail:alice A.param B.mail:alice B.param A.reset B.reset");
	smtp_server_session_free(s);
}
END_TEST

/* Nothing of a MAIL shows in the next one, be it refused or forgotten. */
START_TEST(parameters_end_with_the_command)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);

	feed(s, EHLO "MAIL FROM:<one@example.com> AUTH=x@y.example SIZE=bad\r\n");
	feed(s, "MAIL FROM:<two@example.com> AUTH=<> BODY=8BITMIME\r\nRSET\r\n");
	output(s);
	forget_events();
	say(s, "MAIL FROM:<three@example.com>\r\nRSET\r\nMAIL FROM:<four@example.com> AUTH=<>\r\n",
	    "250 250 250");
	ck_assert_str_eq(events, "A.mail:three A.param A.reset A.mail:four A.param:<>");
	smtp_server_session_free(s);
}
END_TEST

/* What will not be accepted is not kept until its end comes. */
START_TEST(reset_comes_with_the_refusal)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);

	feed(s, EHLO ENVELOPE "DATA\r\n");
	forget_events();
	feed(s, "a\nb\r\n");
	ck_assert_str_eq(events, "A.reset");
	feed(s, "c\r\n");
	ck_assert_str_eq(events, "A.reset");
	smtp_server_session_free(s);
}
END_TEST

START_TEST(chain_last_text_is_said)
{
	struct probe a = probe_of('A'), b = probe_of('B');
	struct smtp_server_session *s = started(&a, &b);

	feed(s, EHLO "MAIL FROM:<alice@example.com>\r\n");
	output(s);
	a.code[RCPT] = 251;
	feed(s, "RCPT TO:<bob@example.org>\r\n");
	ck_assert_str_eq(output(s), "251 2.0.0 said so\r\n");
	smtp_server_session_free(s);
}
END_TEST

/* --- reset, disconnect ------------------------------------------------------------------------ */

START_TEST(free_tells_reset_and_disconnect)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);

	feed(s, EHLO ENVELOPE "DATA\r\nx");
	forget_events();
	smtp_server_session_free(s);
	ck_assert_str_eq(events, "A.reset A.disconnect");
	ck_assert_int_eq(a.reason, SMTP_DISCONNECT_IO);
}
END_TEST

START_TEST(free_while_pending)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.verdict[steps[_i].phase] = SMTP_PENDING;
	s = started(&a, NULL);
	feed(s, steps[_i].before);
	feed(s, steps[_i].line);
	forget_events();
	smtp_server_session_free(s);
	ck_assert_ptr_nonnull(strstr(events, "A.disconnect"));
	if (steps[_i].phase >= RCPT && steps[_i].phase <= END)
		ck_assert_str_eq(events, "A.reset A.disconnect");
}
END_TEST

START_TEST(peer_closed_while_pending)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.verdict[END] = SMTP_PENDING;
	s = started(&a, NULL);
	feed(s, EHLO ENVELOPE "DATA\r\nx\r\n.\r\n");
	output(s);
	smtp_server_session_peer_closed(s);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_VERDICT);
	answer(s, 250);
	ck_assert_str_eq(codes(output(s)), "250");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	ck_assert_int_eq(a.reason, SMTP_DISCONNECT_PEER_CLOSED);
	smtp_server_session_free(s);
	ck_assert_ptr_null(strstr(events, "reset"));
}
END_TEST

/* --- getters ---------------------------------------------------------------------------------- */

static void set_account(struct smtp_server_session *s, struct probe *probe)
{
	probe->result = smtp_server_session_set_account(s, "alice@example.org");
}

START_TEST(getters)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);
	int connection;

	ck_assert_ptr_null(smtp_server_session_driver(s));
	smtp_server_session_set_driver(s, &connection);
	ck_assert_ptr_eq(smtp_server_session_driver(s), &connection);
	ck_assert_str_eq(smtp_server_session_helo_name(s), "");
	ck_assert_str_eq(smtp_server_session_protocol(s), "SMTP");
	ck_assert_str_eq(smtp_server_session_tls_description(s), "");
	ck_assert_ptr_null(smtp_server_session_account(s));
	feed(s, EHLO);
	ck_assert_str_eq(smtp_server_session_helo_name(s), "client.example.com");
	ck_assert_str_eq(smtp_server_session_protocol(s), "ESMTP");
	ck_assert_int_eq(smtp_server_session_set_account(s, "x"), SMTP_ESTATE);
	a.within = set_account;
	feed(s, PLAIN);
	ck_assert_int_eq(a.result, 0);
	a.within = NULL;
	ck_assert_str_eq(smtp_server_session_account(s), "alice@example.org");
	ck_assert_str_eq(smtp_server_session_protocol(s), "ESMTPA");
	feed(s, ENVELOPE "RCPT TO:<carol@example.org>\r\nDATA\r\n..x\r\ny");
	ck_assert_uint_eq(smtp_server_session_recipient_count(s), 2);
	ck_assert_uint_eq(smtp_server_session_content_bytes(s), 5);
	feed(s, "\r\n.\r\n");
	ck_assert_uint_eq(smtp_server_session_recipient_count(s), 0);
	smtp_server_session_free(s);
}
END_TEST

START_TEST(account_while_pending)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.verdict[AUTH] = SMTP_PENDING;
	s = started(&a, NULL);
	feed(s, EHLO PLAIN);
	ck_assert_int_eq(smtp_server_session_set_account(s, ""), SMTP_EINVAL);
	ck_assert_int_eq(smtp_server_session_set_account(s, "one"), 0);
	ck_assert_int_eq(smtp_server_session_set_account(s, "two"), 0);
	ck_assert_ptr_null(smtp_server_session_account(s));
	answer(s, 535);
	ck_assert_ptr_null(smtp_server_session_account(s));
	feed(s, PLAIN);
	answer(s, 0);
	ck_assert_str_eq(smtp_server_session_account(s), "alice");
	smtp_server_session_free(s);
}
END_TEST

static void count_in_slot(struct smtp_server_session *s, struct probe *probe)
{
	void **slot = smtp_server_session_slot(s, &probe->functions);

	ck_assert_ptr_nonnull(slot);
	*slot = (char *)*slot + (probe->name == 'A' ? 1 : 100);
}

START_TEST(slots)
{
	struct probe a = probe_of('A'), b = probe_of('B'), other = probe_of('C');
	struct smtp_server_session *s;

	a.within = b.within = count_in_slot;
	s = started(&a, &b);
	feed(s, EHLO);
	ck_assert_uint_eq((uintptr_t)*smtp_server_session_slot(s, &a.functions), 2);
	ck_assert_uint_eq((uintptr_t)*smtp_server_session_slot(s, &b.functions), 200);
	ck_assert_ptr_null(smtp_server_session_slot(s, &other.functions));
	smtp_server_session_free(s);
}
END_TEST

START_TEST(reasons_have_names)
{
	for (int i = SMTP_DISCONNECT_QUIT; i <= SMTP_DISCONNECT_IO; i++)
		ck_assert_str_ne(smtp_disconnect_reason_str((enum smtp_disconnect_reason)i), "unknown");
	ck_assert_str_eq(smtp_disconnect_reason_str((enum smtp_disconnect_reason)99), "unknown");
}
END_TEST

/* A handler may go too far with its text. */
START_TEST(reply_text_is_bounded)
{
	struct probe a = probe_of('A');
	static char text[20000];
	struct smtp_reply reply;
	struct smtp_server_session *s;
	const char *out;

	memset(text, _i ? '\n' : 'x', sizeof(text) - 1);
	reply = smtp_reply_of(250, NULL, text);
	a.verdict[VRFY] = SMTP_PENDING;
	s = started(&a, NULL);
	feed(s, EHLO "VRFY x\r\n");
	output(s);
	ck_assert_int_eq(smtp_server_session_reply(s, &reply), 0);
	out = output(s);
	ck_assert_str_eq(codes(out), "250");
	ck_assert_uint_lt(strlen(out), 6000);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_READ);
	smtp_server_session_free(s);
}
END_TEST

/* --- trace ------------------------------------------------------------------------------------ */

static void on_trace(struct smtp_server_session *s, bool from_client, struct smtp_span line,
		     void *user)
{
	struct smtp_reply reply = smtp_reply_of(250, NULL, "x");

	(void)user;
	ck_assert_int_eq(smtp_server_session_reply(s, &reply), SMTP_ESTATE);
	snprintf(events + strlen(events), sizeof(events) - strlen(events), "%c %.*s\n",
		 from_client ? 'C' : 'S', (int)line.n, (const char *)line.p);
}

START_TEST(trace)
{
	struct smtp_server_session_handler functions = { .size = sizeof(functions),
							 .auth = on_auth,
							 .trace = on_trace };
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.functions = functions;
	s = started(&a, NULL);
	feed(s, "HELO x\r\nEHLO x\r\nAUTH LOGIN\r\n");
	ck_assert_str_eq(events, "S 220 mx.example.org ESMTP\nC HELO x\nS 250 mx.example.org\n"
				 "C EHLO x\nS 250-mx.example.org\nS 250-PIPELINING\n"
				 "S 250-SIZE 52428800\nS 250-8BITMIME\nS 250-ENHANCEDSTATUSCODES\n"
				 "S 250-STARTTLS\nS 250 AUTH PLAIN LOGIN\nC AUTH LOGIN ***\n"
				 "S 334 VXNlcm5hbWU6\n");
	forget_events();
	feed(s, "YWxpY2U=\r\n*\r\nNOOP\r\n");
	ck_assert_str_eq(events, "C ***\nS 334 UGFzc3dvcmQ6\nC ***\n"
				 "S 501 5.7.0 authentication cancelled\nC NOOP\nS 250 2.0.0 ok\n");
	smtp_server_session_free(s);
}
END_TEST

/* --- the suite -------------------------------------------------------------------------------- */

static void add_all(TCase *tc)
{
	tcase_add_loop_test(tc, accepted_at_once, 0, ROWS(steps));
	tcase_add_loop_test(tc, refused_at_once, 0, ROWS(steps));
	tcase_add_loop_test(tc, reply_outweighs_the_verdict, 0, ROWS(steps));
	tcase_add_loop_test(tc, accepted_late, 0, ROWS(steps));
	tcase_add_loop_test(tc, refused_late, 0, ROWS(steps));
	tcase_add_loop_test(tc, ended_by_421, 0, ROWS(steps));
	tcase_add_loop_test(tc, replied_without_reply, 0, ROWS(steps));
	tcase_add_test(tc, connect_verdicts);
	tcase_add_test(tc, reply_misused);
	tcase_add_test(tc, the_first_reply_counts);
	tcase_add_test(tc, no_feed_from_within);
	tcase_add_test(tc, chain_in_order);
	tcase_add_test(tc, chain_pending_keeps_arguments);
	tcase_add_loop_test(tc, chain_first_refusal_ends_it, 0, ROWS(steps));
	tcase_add_test(tc, chain_reset_where_due);
	tcase_add_test(tc, parameters_end_with_the_command);
	tcase_add_test(tc, reset_comes_with_the_refusal);
	tcase_add_test(tc, chain_last_text_is_said);
	tcase_add_test(tc, free_tells_reset_and_disconnect);
	tcase_add_loop_test(tc, free_while_pending, 0, ROWS(steps));
	tcase_add_test(tc, peer_closed_while_pending);
	tcase_add_test(tc, getters);
	tcase_add_test(tc, account_while_pending);
	tcase_add_test(tc, slots);
	tcase_add_test(tc, reasons_have_names);
	tcase_add_loop_test(tc, reply_text_is_bounded, 0, 2);
	tcase_add_test(tc, trace);
}

int main(void)
{
	Suite *suite = suite_create("server_session");
	TCase *tc = tcase_create("server_session");

	add_all(tc);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
