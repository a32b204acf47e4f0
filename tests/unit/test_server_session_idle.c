/* SPDX-License-Identifier: ISC */
/* What an idle server session costs in memory: thousands of clients may hold one each and say nothing. */
#include <smtp/server_session.h>

#include <malloc.h>

#include "tests/unit/server_probe.h"

enum { SESSIONS = 200, IDLE_MAX = 8192 };

static const struct {
	const char *name;
	const char *said;
} rows[] = {
	{ "after the greeting", "" },
	{ "after EHLO", EHLO },
	{ "after a login", EHLO PLAIN },
	{ "in a transaction", EHLO ENVELOPE },
	{ "half a command", EHLO "MAIL FROM:<somebody@" },
};

static const char message[] = EHLO ENVELOPE "DATA\r\n";

START_TEST(idle)
{
	static struct smtp_server_session *sessions[SESSIONS];
	static struct probe probe;
	static char content[200000];
	size_t before, after;

	probe = probe_of('a');
	memset(content, 'x', sizeof content - 1);
	for (size_t i = 78; i + 80 < sizeof content; i += 80)
		memcpy(content + i, "\r\n", 2);
	memcpy(content + sizeof content - 6, "\r\n.\r\n", 6);
	before = mallinfo2().uordblks;
	for (size_t i = 0; i < SESSIONS; i++) {
		sessions[i] = started(&probe, NULL);
		if (i % 2) { /* what a large message took is given back */
			ck_assert_uint_eq(feed(sessions[i], message), strlen(message));
			(void)output(sessions[i]);
			ck_assert_uint_eq(feed(sessions[i], content), strlen(content));
			(void)output(sessions[i]);
			ck_assert_uint_eq(feed(sessions[i], "RSET\r\n"), 6);
		}
		(void)output(sessions[i]);
		ck_assert_uint_eq(feed(sessions[i], rows[_i].said), strlen(rows[_i].said));
		(void)output(sessions[i]);
		forget_events();
	}
	after = mallinfo2().uordblks;
	/* Under a sanitizer malloc tells nothing. */
	ck_assert_msg(after <= before || (after - before) / SESSIONS < IDLE_MAX,
		      "%s: %zu octets each", rows[_i].name, (after - before) / SESSIONS);
	for (size_t i = 0; i < SESSIONS; i++)
		smtp_server_session_free(sessions[i]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("server session: idle");
	TCase *tc = tcase_create("all");

	tcase_add_loop_test(tc, idle, 0, (int)(sizeof rows / sizeof *rows));
	suite_add_tcase(s, tc);
	return tests_run(s);
}
