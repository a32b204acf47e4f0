/* SPDX-License-Identifier: ISC */
/* The n-th allocation fails in the ready-made middleware, for each n until all of it is made and a message
 * has passed: a clean error or a 4yz reply, and nothing leaks. Left out under sanitizers, which bring a
 * malloc of their own.
 */
#include <smtp/middleware.h>
#include <smtp/recorder.h>
#include <smtp/server_session.h>

#define FAILING_MALLOC_IS_ALL
#include "tests/unit/failing_malloc.h"
#include "tests/unit/testing.h"

#if HAS_FAILING_MALLOC

/* --- all of the middleware -------------------------------------------------------------------- */

static enum smtp_verdict on_connect(struct smtp_server_session *s, void *user)
{
	(void)s;
	(void)user;
	return SMTP_NEXT;
}

static int look_up(void *user, const char *name, struct smtp_dnsbl_listing *out)
{
	(void)user;
	(void)name;
	(void)out;
	return SMTP_ENOTFOUND;
}

static int make(struct smtp_middleware *m, unsigned which)
{
	static const char *const networks[] = { "192.0.2.0/24", "2001:db8::/32", NULL };
	static const char *const domains[] = { "b\xc3\xbc" "cher.example", ".example", "example.org",
					       NULL };
	struct smtp_connection_check_options connections = SMTP_CONNECTION_CHECK_OPTIONS_INIT;
	struct smtp_recipient_domains_options recipients = SMTP_RECIPIENT_DOMAINS_OPTIONS_INIT;
	struct smtp_greylist_options greylist = SMTP_GREYLIST_OPTIONS_INIT;
	struct smtp_dnsbl_options dnsbl = SMTP_DNSBL_OPTIONS_INIT;

	connections.allow = networks;
	connections.deny = networks + 1;
	recipients.domains = domains;
	switch (which) {
	case 0:
		return smtp_middleware_connect(m, on_connect, NULL);
	case 1:
		return smtp_middleware_connection_check(m, &connections);
	case 2:
		return smtp_middleware_rate_limit(m, NULL);
	case 3:
		return smtp_middleware_recipient_domains(m, &recipients);
	case 4:
		return smtp_middleware_received(m, "mx.example.org");
	case 5:
		greylist.file = "/nonexistent/list";
		return smtp_middleware_greylist(m, &greylist);
	case 6:
		dnsbl.zones = domains + 2;
		dnsbl.server = "127.0.0.1@5353";
		dnsbl.lookup = look_up;
		return smtp_middleware_dnsbl(m, &dnsbl);
	default:
		return smtp_middleware_require_tls(m, SMTP_AT_CONNECT);
	}
}

enum { MADE = 7 };

/* Greeting, EHLO, MAIL, RCPT, DATA: each answer good or 4yz. */
static void talk(struct smtp_server_session *s)
{
	static const char text[] = "EHLO c.example\r\nMAIL FROM:<a@b.example>\r\n"
				   "RCPT TO:<bob@xn--bcher-kva.example>\r\nRSET\r\n"
				   "MAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n";
	size_t taken = 0;
	struct smtp_span out;
	bool line = true;

	if (smtp_server_session_start(s, 1000) != 0)
		return;
	if (smtp_server_session_feed(s, text, sizeof text - 1, 1000, &taken) != 0)
		return;
	out = smtp_server_session_output(s);
	for (size_t i = 0; i < out.n; i++) {
		/* The greylist puts off the recipient: DATA is then 554, after a refused MAIL all is 503. */
		if (line && out.n - i >= 3)
			MUST((out.p[i] >= '2' && out.p[i] <= '4') || malloc_failed ||
			     memcmp(out.p + i, "554", 3) == 0);
		line = out.p[i] == '\n';
	}
	smtp_server_session_sent(s, out.n);
}

static void session_behind(const struct smtp_middleware *m, unsigned n)
{
	struct smtp_server_session_options options = SMTP_SERVER_SESSION_OPTIONS_INIT;
	struct smtp_server_session *s = NULL;
	int err;

	options.hostname = "mx.example.org";
	err = smtp_server_session_new(&s, &options, NULL, NULL);
	if (!err)
		err = smtp_server_session_set_peer(s, "192.0.2.1", 25);
	for (unsigned i = 0; !err && i < n; i++) {
		struct smtp_middleware here = m[i];

		here.blocking = false; /* one thread, and nothing that would wait */
		err = smtp_server_session_use(s, &here);
	}
	if (!err)
		talk(s);
	smtp_server_session_free(s);
}

/* Makes all of it and has a session pass. */
static void run(void)
{
	struct smtp_middleware m[MADE];
	unsigned made = 0;
	int err = 0;

	while (made < MADE && !err) {
		memset(&m[made], 0x55, sizeof *m);
		err = make(&m[made], made);
		made += !err;
	}
	if (err)
		MUST(err == SMTP_ENOMEM && malloc_failed && m[made].size == 0x5555555555555555);
	if (!err) {
		session_behind(m, MADE - 2); /* a message passes */
		session_behind(m, made);     /* the greylist puts it off */
	}
	while (made > 0)
		smtp_middleware_release(&m[--made]);
}

/* --- the recorder, as an onlooker ------------------------------------------------------------- */

static enum smtp_verdict accept_rcpt(struct smtp_server_session *s,
				     const struct smtp_rcpt_request *request, void *user)
{
	(void)s;
	(void)request;
	(void)user;
	return SMTP_ACCEPT;
}

/* A message; an answer of 5yz to the end of it would make a sender give up. */
static void talk_whole(struct smtp_server_session *s)
{
	static const char *const texts[] = {
		"EHLO c.example\r\n", "MAIL FROM:<a@b.example>\r\n", "RCPT TO:<bob@b.example>\r\n",
		"RCPT TO:<eve@b.example>\r\n", "DATA\r\n", "x\r\n.\r\n",
	};
	bool went_well = smtp_server_session_start(s, 1000) == 0;

	for (size_t i = 0; went_well && i < sizeof texts / sizeof *texts; i++) {
		size_t taken = 0;
		struct smtp_span out = smtp_server_session_output(s);

		smtp_server_session_sent(s, out.n);
		went_well = smtp_server_session_feed(s, texts[i], strlen(texts[i]), 1000,
						     &taken) == 0;
		out = smtp_server_session_output(s);
		MUST(out.n == 0 || out.p[0] == '2' || out.p[0] == '3' ||
		     (malloc_failed && out.p[0] == '4'));
		went_well = went_well && out.n > 0 && out.p[0] != '4';
		smtp_server_session_sent(s, out.n);
	}
}

static void record_one(struct smtp_recorder *r)
{
	static const struct smtp_server_session_handler handler = { .size = sizeof handler,
								    .rcpt = accept_rcpt };
	struct smtp_server_session_options options = SMTP_SERVER_SESSION_OPTIONS_INIT;
	struct smtp_middleware m = smtp_recorder_middleware(r), last;
	struct smtp_server_session *s = NULL;
	int err;

	m.blocking = false;
	last = smtp_middleware_of("last", &handler, NULL);
	options.hostname = "mx.example.org";
	err = smtp_server_session_new(&s, &options, NULL, NULL);
	if (!err)
		err = smtp_server_session_use(s, &m);
	if (!err)
		err = smtp_server_session_use(s, &last);
	if (!err)
		talk_whole(s);
	smtp_server_session_free(s);
	MUST(smtp_recorder_count(r) == 1 || malloc_failed);
	for (size_t i = 0; i < smtp_recorder_count(r); i++)
		MUST(smtp_recorder_message(r, i)->content.n == 3);
}

static void run_recorder(void)
{
	struct smtp_recorder_rule rule = SMTP_RECORDER_RULE_INIT;
	struct smtp_recorder *r = NULL;
	int err = smtp_recorder_new(&r, NULL);

	if (err) {
		MUST(malloc_failed && !r);
		return;
	}
	rule.phase = SMTP_RECORDER_END;
	rule.address = "nobody@b.example";
	rule.code = 451;
	err = smtp_recorder_add_rule(r, &rule);
	MUST(!err || (malloc_failed && err == SMTP_ENOMEM));
	record_one(r);
	smtp_recorder_free(r);
}

/* --- tests ------------------------------------------------------------------------------------ */

static unsigned fail_each(void (*run_once)(void))
{
	unsigned n = 0;
	long live;

	run_once(); /* what libraries keep for good */
	do {
		malloc_watch(++n);
		run_once();
		live = malloc_unwatch();
		ck_assert_msg(live == 0, "%ld blocks left at %u", live, n);
	} while (malloc_failed);
	return n;
}

START_TEST(every_allocation_of_the_recorder)
{
	ck_assert_uint_gt(fail_each(run_recorder), 30);
}
END_TEST

START_TEST(every_allocation)
{
	ck_assert_uint_gt(fail_each(run), 20);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("middleware_memory");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, every_allocation);
	tcase_add_test(tc, every_allocation_of_the_recorder);
	suite_add_tcase(s, tc);
	return tests_run(s);
}

#endif
