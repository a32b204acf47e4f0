/* SPDX-License-Identifier: ISC */
/* What handlers that only look on need of a session: SMTP_NEXT, fields added to a message, the time. */
#include "tests/unit/server_probe.h"

/* --- SMTP_NEXT -------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	enum smtp_verdict first, second;
	bool has_second;
	const char *codes; /* of RCPT */
} next_rows[] = {
	{ "nobody accepts", SMTP_NEXT, SMTP_NEXT, true, "550" },
	{ "alone", SMTP_NEXT, SMTP_ACCEPT, false, "550" },
	{ "the second accepts", SMTP_NEXT, SMTP_ACCEPT, true, "250" },
	{ "the first accepts", SMTP_ACCEPT, SMTP_NEXT, true, "250" },
	{ "the second is pending", SMTP_NEXT, SMTP_PENDING, true, "" },
};

START_TEST(next)
{
	struct probe a = probe_of('a'), b = probe_of('b');
	struct smtp_server_session *s;

	a.verdict[RCPT] = next_rows[_i].first;
	b.verdict[RCPT] = next_rows[_i].second;
	s = started(&a, next_rows[_i].has_second ? &b : NULL);
	(void)output(s);
	say(s, EHLO "MAIL FROM:<a@b.example>\r\n", "250 250");
	say(s, "RCPT TO:<c@d.example>\r\n", next_rows[_i].codes);
	if (next_rows[_i].second == SMTP_PENDING) {
		answer(s, 0);
		ck_assert_str_eq(codes(output(s)), "250");
	}
	smtp_server_session_free(s);
}
END_TEST

START_TEST(next_in_other_phases)
{
	struct probe a = probe_of('a'), b = probe_of('b');
	struct smtp_server_session *s;

	for (int i = 0; i < PHASES; i++)
		a.verdict[i] = SMTP_NEXT;
	s = started(&a, &b);
	ck_assert_str_eq(codes(output(s)), "220");
	say(s, EHLO PLAIN ENVELOPE "DATA\r\n", "250 235 250 250 354");
	say(s, "x\r\n.\r\nVRFY a\r\nHELP\r\n", "250 252 214");
	smtp_server_session_free(s);
}
END_TEST

/* --- fields ----------------------------------------------------------------------------------- */

static const struct {
	const char *field;
	int err;
} field_rows[] = {
	{ "X: y\r\n", 0 },
	{ "X-A_b!: \r\n", 0 },
	{ "X:\r\n", 0 },
	{ "X: y\r\n\tz\r\n z\r\n", 0 },
	{ "X: \xc3\xa9\r\n", 0 },
	{ "", SMTP_ESYNTAX },
	{ "X: y", SMTP_ESYNTAX },
	{ "X: y\r", SMTP_ESYNTAX },
	{ "X: y\n", SMTP_ESYNTAX },
	{ "X: y\rz\r\n", SMTP_ESYNTAX },
	{ "X: y\nz\r\n", SMTP_ESYNTAX },
	{ "X: y\r\nZ: z\r\n", SMTP_ESYNTAX },
	{ "X: y\r\n\r\n", SMTP_ESYNTAX },
	{ "X : y\r\n", SMTP_ESYNTAX },
	{ ": y\r\n", SMTP_ESYNTAX },
	{ "y\r\n", SMTP_ESYNTAX },
};

static const char *given_field;
static int given_result;

static void add_given(struct smtp_server_session *s, struct probe *probe)
{
	if (probe->result++ == 2) /* connect, helo, mail */
		given_result = smtp_server_session_add_field(s, smtp_span_of(given_field));
}

START_TEST(field_syntax)
{
	struct probe a = probe_of('a');
	struct smtp_server_session *s;
	struct smtp_span fields;
	const char *expected = field_rows[_i].err ? "" : field_rows[_i].field;

	given_field = field_rows[_i].field;
	a.within = add_given;
	s = started(&a, NULL);
	ck_assert_int_eq(smtp_server_session_add_field(s, smtp_span_of("X: y\r\n")), SMTP_ESTATE);
	(void)output(s);
	say(s, EHLO "MAIL FROM:<a@b.example>\r\n", "250 250");
	ck_assert_int_eq(given_result, field_rows[_i].err);
	fields = smtp_server_session_fields(s);
	ck_assert_uint_eq(fields.n, strlen(expected));
	ck_assert(fields.n == 0 || memcmp(fields.p, expected, fields.n) == 0);
	smtp_server_session_free(s);
}
END_TEST

static void expect_fields(const struct smtp_server_session *s, const char *expected)
{
	struct smtp_span fields = smtp_server_session_fields(s);

	ck_assert_uint_eq(fields.n, strlen(expected));
	if (fields.n > 0)
		ck_assert_mem_eq(fields.p, expected, fields.n);
}

START_TEST(field_life)
{
	static char large[65536];
	struct probe a = probe_of('a');
	struct smtp_server_session *s = started(&a, NULL);

	(void)output(s);
	say(s, EHLO ENVELOPE, "250 250 250");
	ck_assert_int_eq(smtp_server_session_add_field(s, smtp_span_of("A: 1\r\n")), 0);
	ck_assert_int_eq(smtp_server_session_add_field(s, smtp_span_of("B: 2\r\n")), 0);
	expect_fields(s, "B: 2\r\nA: 1\r\n");
	memset(large, 'x', sizeof large);
	memcpy(large, "C: ", 3);
	memcpy(large + sizeof large - 3, "\r\n", 3);
	ck_assert_int_eq(smtp_server_session_add_field(s, smtp_span_of(large)), SMTP_ETOOLONG);
	say(s, "RSET\r\n", "250");
	expect_fields(s, "");
	ck_assert_int_eq(smtp_server_session_add_field(s, smtp_span_of("A: 1\r\n")), SMTP_ESTATE);
	say(s, ENVELOPE "DATA\r\n", "250 250 354");
	ck_assert_int_eq(smtp_server_session_add_field(s, smtp_span_of("A: 1\r\n")), 0);
	a.verdict[END] = SMTP_PENDING;
	say(s, "x\r\n.\r\n", "");
	ck_assert_int_eq(smtp_server_session_add_field(s, smtp_span_of("B: 2\r\n")), 0);
	expect_fields(s, "B: 2\r\nA: 1\r\n");
	answer(s, 0);
	expect_fields(s, "");
	smtp_server_session_free(s);
}
END_TEST

START_TEST(time_is_told)
{
	struct probe a = probe_of('a');
	struct smtp_server_session *s = started(&a, NULL);

	ck_assert_uint_eq(smtp_server_session_now_ms(s), 1000);
	smtp_server_session_tick(s, 1500);
	ck_assert_uint_eq(smtp_server_session_now_ms(s), 1500);
	smtp_server_session_free(s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("server session: looking on");
	TCase *tc = tcase_create("all");

	tcase_add_loop_test(tc, next, 0, (int)(sizeof next_rows / sizeof *next_rows));
	tcase_add_test(tc, next_in_other_phases);
	tcase_add_loop_test(tc, field_syntax, 0, (int)(sizeof field_rows / sizeof *field_rows));
	tcase_add_test(tc, field_life);
	tcase_add_test(tc, time_is_told);
	suite_add_tcase(s, tc);
	return tests_run(s);
}
