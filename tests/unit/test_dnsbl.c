/* SPDX-License-Identifier: ISC */
/* Block lists: names and answers, sessions with a made-up look-up, and DNS itself on loopback. */
#include <stdio.h>

#include "libsmtp/middleware/dnsbl.h"
#include "tests/unit/dns_responder.h"
#include "tests/unit/server_probe.h"

/* --- names and answers ------------------------------------------------------------------------ */

static const struct {
	const char *address, *name;
} name_rows[] = {
	{ "127.0.0.2", "2.0.0.127.bl.example" },
	{ "192.0.2.99", "99.2.0.192.bl.example" },
	{ "::ffff:192.0.2.99", "99.2.0.192.bl.example" },
	{ "2001:db8:1:2:3:4:567:89ab",
	  "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.example" },
};

START_TEST(names)
{
	struct smtp_network peer;
	char name[DNSBL_NAME_MAX];

	ck_assert_int_eq(smtp_network_parse(&peer, name_rows[_i].address), 0);
	dnsbl_name(&peer, "bl.example", name);
	ck_assert_str_eq(name, name_rows[_i].name);
}
END_TEST

static const struct {
	uint8_t address[4];
	bool listing;
} answer_rows[] = {
	{ { 127, 0, 0, 2 }, true },    { { 127, 0, 0, 1 }, true },     { { 127, 1, 2, 3 }, true },
	{ { 127, 255, 255, 254 }, false }, /* asked through a public resolver */
	{ { 192, 0, 2, 1 }, false },       /* a provider that answers every name */
	{ { 0, 0, 0, 0 }, false },
};

START_TEST(answers)
{
	ck_assert(dnsbl_is_listing(answer_rows[_i].address) == answer_rows[_i].listing);
}
END_TEST

/* --- sessions --------------------------------------------------------------------------------- */

static char asked[1000]; /* names, each with a blank behind it */

static int look_up(void *user, const char *name, struct smtp_dnsbl_listing *out)
{
	(void)strncat(asked, name, sizeof asked - strlen(asked) - 1);
	(void)strncat(asked, " ", sizeof asked - strlen(asked) - 1);
	if (strstr(name, "broken.example"))
		return SMTP_ERESOLVE;
	if (strcmp(name, user) != 0)
		return SMTP_ENOTFOUND;
	memcpy(out->address, (const uint8_t[4]){ 127, 0, 0, 2 }, 4);
	(void)snprintf(out->text, sizeof out->text, "see https://bl.example/\r\n250 ok");
	return 0;
}

static const char *const zones[] = { "broken.example", "a.example", "b.example", NULL };

static const struct {
	const char *peer, *listed, *rcpt;
	const char *reply; /* how it begins */
	const char *asked;
} session_rows[] = {
	{ "192.0.2.1", "1.2.0.192.a.example", "bob@d.example",
	  "554 5.7.1 192.0.2.1 is listed by a.example: see https://bl.example/",
	  "1.2.0.192.broken.example 1.2.0.192.a.example " },
	{ "192.0.2.1", "1.2.0.192.b.example", "bob@d.example", "554 5.7.1 192.0.2.1 is listed by b",
	  "1.2.0.192.broken.example 1.2.0.192.a.example 1.2.0.192.b.example " },
	{ "192.0.2.1", "", "bob@d.example", "250",
	  "1.2.0.192.broken.example 1.2.0.192.a.example 1.2.0.192.b.example " },
	{ "192.0.2.1", "1.2.0.192.a.example", "Postmaster@d.example", "250", "" },
	{ "192.0.2.1", "1.2.0.192.a.example", "postmaster", "250", "" },
	{ "", "1.2.0.192.a.example", "bob@d.example", "250", "" },
};

static struct smtp_middleware list_of(const char *const *list, void *user)
{
	struct smtp_dnsbl_options options = SMTP_DNSBL_OPTIONS_INIT;
	struct smtp_middleware m;

	options.zones = list;
	options.lookup = look_up;
	options.user = user;
	ck_assert_int_eq(smtp_middleware_dnsbl(&m, &options), 0);
	ck_assert(m.blocking);
	m.blocking = false; /* the test has one thread */
	return m;
}

static struct smtp_server_session *behind(const struct smtp_middleware *m, const char *peer,
					  struct probe *last)
{
	struct smtp_server_session_options options = options_of_tests();
	struct smtp_middleware tail = smtp_middleware_of("probe", &last->functions, last);
	struct smtp_server_session *s = NULL;

	asked[0] = '\0';
	events[0] = '\0';
	ck_assert_int_eq(smtp_server_session_new(&s, &options, NULL, NULL), 0);
	if (*peer)
		ck_assert_int_eq(smtp_server_session_set_peer(s, peer, 1), 0);
	ck_assert_int_eq(smtp_server_session_use(s, m), 0);
	ck_assert_int_eq(smtp_server_session_use(s, &tail), 0);
	ck_assert_int_eq(smtp_server_session_start(s, 1000), 0);
	(void)output(s);
	return s;
}

START_TEST(sessions)
{
	struct probe a = probe_of('a');
	char line[200], listed[100];
	struct smtp_middleware m;
	struct smtp_server_session *s;
	const char *reply;

	(void)snprintf(listed, sizeof listed, "%s", session_rows[_i].listed);
	m = list_of(zones, listed);
	s = behind(&m, session_rows[_i].peer, &a);
	say(s, EHLO "MAIL FROM:<>\r\n", "250 250");
	(void)snprintf(line, sizeof line, "RCPT TO:<%s>\r\n", session_rows[_i].rcpt);
	for (int i = 0; i < 2; i++) { /* asked once a session */
		ck_assert_uint_eq(feed(s, line), strlen(line));
		reply = output(s);
		ck_assert_msg(strncmp(reply, session_rows[_i].reply,
				      strlen(session_rows[_i].reply)) == 0, "%s", reply);
		ck_assert_ptr_null(strstr(reply, "\n250 ok"));
	}
	ck_assert_str_eq(asked, session_rows[_i].asked);
	smtp_server_session_free(s);
	smtp_middleware_release(&m);
}
END_TEST

START_TEST(a_login_passes)
{
	struct probe a = probe_of('a');
	char listed[] = "1.2.0.192.a.example";
	struct smtp_middleware m = list_of(zones, listed);
	struct smtp_server_session *s = behind(&m, "192.0.2.1", &a);

	say(s, EHLO PLAIN ENVELOPE, "250 235 250 250");
	ck_assert_str_eq(asked, "");
	smtp_server_session_free(s);
	smtp_middleware_release(&m);
}
END_TEST

static const struct {
	const char *zone, *server;
	int err;
} option_rows[] = {
	{ "bl.example", NULL, 0 },
	{ "bl.example", "127.0.0.1", 0 },
	{ "bl.example", "127.0.0.1@5353", 0 },
	{ "", NULL, SMTP_EINVAL },
	{ "a b", NULL, SMTP_EINVAL },
	{ "bl.example", "localhost", SMTP_EINVAL },
	{ "bl.example", "127.0.0.1@0", SMTP_EINVAL },
	{ "bl.example", "127.0.0.1@65536", SMTP_EINVAL },
	{ "bl.example", "::1", SMTP_EINVAL },
};

START_TEST(option_values)
{
	const char *list[] = { option_rows[_i].zone, NULL };
	struct smtp_dnsbl_options options;
	struct smtp_middleware m;
	int err;

	smtp_dnsbl_options_init(&options);
	options.zones = list;
	options.server = option_rows[_i].server;
	err = smtp_middleware_dnsbl(&m, &options);
	ck_assert_int_eq(err, option_rows[_i].err);
	if (!err)
		smtp_middleware_release(&m);
	ck_assert_int_eq(smtp_middleware_dnsbl(&m, NULL), SMTP_EINVAL);
}
END_TEST

/* --- DNS -------------------------------------------------------------------------------------- */

enum { A = 1, TXT = 16 };

#define FIFTY "0123456789012345678901234567890123456789abcdefghij"

static const struct dns_record records[] = {
	{ "1.2.0.192.bl.example", A, 0, "127.0.0.4" },
	{ "1.2.0.192.bl.example", TXT, 0, "listed, see https://bl.example/" },
	{ "2.2.0.192.bl.example", A, 0, "127.0.0.9" },
	{ "3.2.0.192.bl.example", A, 0, "127.0.0.2" },
	{ "3.2.0.192.bl.example", TXT, 0, FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY },
	{ "4.2.0.192.bl.example", TXT, 0, "text alone" },
	{ "5.2.0.192.bl.example", 0, 0, DNS_SERVFAIL },
	{ "6.2.0.192.bl.example", 0, 0, DNS_GARBAGE },
	{ NULL, 0, 0, NULL },
};

static const struct {
	const char *name;
	int err;
	uint8_t last; /* octet of the address */
	const char *text;
	size_t text_n; /* 0: that of text */
} dns_rows[] = {
	{ "1.2.0.192.bl.example", 0, 4, "listed, see https://bl.example/", 0 },
	{ "2.2.0.192.bl.example", 0, 9, "", 0 },
	{ "3.2.0.192.bl.example", 0, 2, FIFTY FIFTY, 255 },
	{ "4.2.0.192.bl.example", SMTP_ENOTFOUND, 0, "", 0 },
	{ "5.2.0.192.bl.example", SMTP_ERESOLVE, 0, "", 0 },
	{ "6.2.0.192.bl.example", SMTP_ERESOLVE, 0, "", 0 },
	{ "7.2.0.192.bl.example", SMTP_ENOTFOUND, 0, "", 0 },
};

START_TEST(dns)
{
	struct dns_responder *responder = dns_responder_start(records);
	struct smtp_dnsbl_listing listing = { .text = "" };
	char server[64];
	size_t n = strlen(dns_rows[_i].text);
	int err;

	(void)snprintf(server, sizeof server, "%s", dns_responder_server(responder));
	err = dnsbl_lookup(server, dns_rows[_i].name, &listing);
	ck_assert_msg(dns_rows[_i].err == SMTP_ERESOLVE ? err != 0 : err == dns_rows[_i].err, "%d", err);
	ck_assert_uint_eq(listing.address[3], dns_rows[_i].last);
	ck_assert_int_eq(strncmp(listing.text, dns_rows[_i].text, n), 0);
	ck_assert_uint_eq(strlen(listing.text), dns_rows[_i].text_n ? dns_rows[_i].text_n : n);
	dns_responder_stop(responder);
}
END_TEST

#define add_rows(tc, test, table)                                                                  \
	tcase_add_loop_test(tc, test, 0, (int)(sizeof(table) / sizeof *(table)))

int main(void)
{
	Suite *s = suite_create("dnsbl");
	TCase *tc = tcase_create("all");

	tcase_set_timeout(tc, 60);
	add_rows(tc, names, name_rows);
	add_rows(tc, answers, answer_rows);
	add_rows(tc, sessions, session_rows);
	tcase_add_test(tc, a_login_passes);
	add_rows(tc, option_values, option_rows);
	add_rows(tc, dns, dns_rows);
	suite_add_tcase(s, tc);
	return tests_run(s);
}
