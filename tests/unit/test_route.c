/* SPDX-License-Identifier: ISC */
/* Rules of the configuration and answers of the DNS, and what outcomes make of replies. */
#include "smtpd/queue/route.h"
#include "tests/unit/testing.h"

#include <stdio.h>

static char net[] = "example.net", sub[] = "lists.example.org";
static char relay_url[] = "smtp://10.0.0.5:2525", mx_url[] = "mx://mail.example.com";
static char login_url[] = "smtp+starttls://user@relay.example.org:587", mx_word[] = "mx";

static const struct { const char *name, *domain; char *def; const char *want; } rules[] = {
	{ "a route", "example.net", mx_word, relay_url },
	{ "in any case", "Example.NET", mx_word, relay_url },
	{ "another", "lists.example.org", mx_word, mx_url },
	{ "no subdomains", "a.example.net", mx_word, "mx" },
	{ "default URL", "example.com", login_url, login_url },
	{ "no default", "example.com", NULL, "mx" },
};

START_TEST(rule)
{
	struct config config = { .relay_default = rules[_i].def, .route_count = 2,
				 .routes = { { net, relay_url }, { sub, mx_url } } };

	ck_assert_msg(strcmp(route_rule(&config, rules[_i].domain), rules[_i].want) == 0, "%s",
		      rules[_i].name);
}
END_TEST

static const struct {
	const char *name, *rule, *domain;
	int err;
	bool is_mx;
	const char *key, *host, *user;
	unsigned port;
} parses[] = {
	{ "mx", "mx", "Example.ORG", 0, true, "mx:example.org", "Example.ORG", "", 25 },
	{ "mx of another", "mx://mail.example.com", "a.org", 0, true, "mx://mail.example.com",
	  "mail.example.com", "", 25 },
	{ "host", "smtp://10.0.0.5:2525", "a.org", 0, false, "smtp://10.0.0.5:2525", "10.0.0.5", "", 2525 },
	{ "login", "smtp+starttls://user@relay.example.org", "a.org", 0, false,
	  "smtp+starttls://user@relay.example.org", "relay.example.org", "user", 587 },
	{ "lmtp", "lmtp+unix:/run/lmtp", "a.org", SMTP_ENOTSUP, false, NULL, NULL, NULL, 0 },
	{ "nonsense", "http://a.org", "a.org", SMTP_ENOTSUP, false, NULL, NULL, NULL, 0 },
};

START_TEST(parse)
{
	struct route route;
	int err = route_parse(&route, parses[_i].rule, parses[_i].domain);

	ck_assert_msg(err == parses[_i].err, "%s: %d", parses[_i].name, err);
	if (err != 0)
		return;
	ck_assert_msg(route.is_mx == parses[_i].is_mx, "%s", parses[_i].name);
	ck_assert_msg(route.is_given == (strchr(parses[_i].rule, '/') != NULL), "%s", parses[_i].name);
	ck_assert_str_eq(route.key, parses[_i].key);
	ck_assert_str_eq(route.url.host, parses[_i].host);
	ck_assert_str_eq(route.url.user, parses[_i].user);
	ck_assert_uint_eq(route.url.port, parses[_i].port);
}
END_TEST

#define MX(n, h) { .preference = (n), .name = h }

static const struct {
	const char *name;
	enum smtp_dns_status status;
	struct smtp_mx_host hosts[4];
	const char *want; /* hosts with a blank behind each */
	bool implicit;
	enum outcome_kind kind;
	const char *text; /* begins so */
} answers[] = {
	{ "in order", SMTP_DNS_OK, { MX(10, "a.net"), MX(20, "b.net") }, "a.net b.net ", false, 0, NULL },
	{ "implicit", SMTP_DNS_NO_DATA, { MX(0, "") }, "dest.net ", true, 0, NULL },
	{ "ok but empty", SMTP_DNS_OK, { MX(0, "") }, "dest.net ", true, 0, NULL },
	{ "own name cuts", SMTP_DNS_OK, { MX(10, "a.net"), MX(20, "Own.net."), MX(30, "c.net") }, "a.net ",
	  false, 0, NULL },
	{ "equal to own cuts", SMTP_DNS_OK, { MX(10, "a.net"), MX(20, "b.net"), MX(20, "own.net") },
	  "a.net ", false, 0, NULL },
	{ "own is best", SMTP_DNS_OK, { MX(10, "own.net"), MX(20, "b.net") }, "", false, OUTCOME_PERMANENT,
	  "5.4.6 " },
	{ "null MX", SMTP_DNS_NULL_MX, { MX(0, "") }, "", false, OUTCOME_PERMANENT, "5.1.10 " },
	{ "no domain", SMTP_DNS_NO_NAME, { MX(0, "") }, "", false, OUTCOME_PERMANENT, "5.1.2 " },
	{ "dead DNS", SMTP_DNS_TEMPORARY, { MX(0, "") }, "", false, OUTCOME_TRANSIENT, "4.4.3 " },
};

START_TEST(hosts_from_mx)
{
	struct smtp_mx_answer mx = { .status = answers[_i].status, .problem = "SERVFAIL" };
	static struct route_hosts hosts;
	struct outcome why = { 0 };
	char got[600] = "";
	bool some;

	for (size_t i = 0; i < 4 && answers[_i].hosts[i].name[0]; i++)
		mx.hosts[mx.count++] = answers[_i].hosts[i];
	some = route_hosts_from_mx(&hosts, &mx, "dest.net", "own.net", &why);
	for (size_t i = 0; i < hosts.count; i++)
		(void)snprintf(got + strlen(got), sizeof got - strlen(got), "%s ", hosts.names[i]);
	ck_assert_msg(strcmp(got, answers[_i].want) == 0, "%s: %s", answers[_i].name, got);
	ck_assert_msg(some == (hosts.count > 0), "%s", answers[_i].name);
	ck_assert_msg(hosts.implicit == answers[_i].implicit, "%s", answers[_i].name);
	ck_assert_msg(why.kind == answers[_i].kind, "%s", answers[_i].name);
	if (answers[_i].text)
		ck_assert_msg(strncmp(outcome_reply(&why), answers[_i].text, strlen(answers[_i].text)) == 0,
			      "%s: %s", answers[_i].name, outcome_reply(&why));
	outcome_release(&why);
}
END_TEST

static const struct {
	const char *name;
	enum smtp_dns_status status;
	bool is_mx, implicit;
	enum outcome_kind kind;
	const char *text;
} no_address[] = {
	{ "implicit, gone", SMTP_DNS_NO_NAME, true, true, OUTCOME_PERMANENT, "5.1.2 " },
	{ "implicit, no address", SMTP_DNS_NO_DATA, true, true, OUTCOME_PERMANENT, "5.4.4 " },
	{ "MX host gone", SMTP_DNS_NO_NAME, true, false, OUTCOME_PERMANENT, "5.4.4 " },
	{ "URL host gone", SMTP_DNS_NO_NAME, false, true, OUTCOME_TRANSIENT, "4.4.4 " },
	{ "URL host, no address", SMTP_DNS_NO_DATA, false, true, OUTCOME_TRANSIENT, "4.4.4 " },
	{ "dead DNS", SMTP_DNS_TEMPORARY, true, true, OUTCOME_TRANSIENT, "4.4.3 " },
};

START_TEST(host_without_address)
{
	struct smtp_host_answer answer = { .status = no_address[_i].status, .problem = "" };
	struct outcome why = { 0 };

	route_host_problem(&why, &answer, "h.net", no_address[_i].is_mx, no_address[_i].implicit);
	ck_assert_msg(why.kind == no_address[_i].kind, "%s", no_address[_i].name);
	ck_assert_msg(strncmp(outcome_reply(&why), no_address[_i].text, 6) == 0, "%s: %s",
		      no_address[_i].name, outcome_reply(&why));
	outcome_release(&why);
}
END_TEST

static const struct {
	const char *name;
	unsigned code;
	const char *enhanced, *text;
	enum outcome_kind kind;
	const char *want, *status;
} replies[] = {
	{ "accepted", 250, "2.0.0", "queued", OUTCOME_DELIVERED, "250 2.0.0 queued", "5.0.0" },
	{ "permanent", 550, "5.1.1", "no such user", OUTCOME_PERMANENT, "550 5.1.1 no such user", "5.1.1" },
	{ "bare", 554, NULL, "go away", OUTCOME_PERMANENT, "554 go away", "5.0.0" },
	{ "transient", 451, "4.7.1", "later", OUTCOME_TRANSIENT, "451 4.7.1 later", "4.7.1" },
	{ "neither", 354, NULL, "go on", OUTCOME_TRANSIENT, "354 go on", "5.0.0" },
	{ "no text", 421, NULL, "", OUTCOME_TRANSIENT, "421", "5.0.0" },
	{ "lines and controls", 550, "5.7.1", "a\nb\rc\033\177", OUTCOME_PERMANENT,
	  "550 5.7.1 a b?c??", "5.7.1" },
};

START_TEST(outcome_of_reply)
{
	struct smtp_reply reply = smtp_reply_of(replies[_i].code, replies[_i].enhanced, replies[_i].text);
	struct outcome o = { 0 };
	char status[OUTCOME_STATUS_MAX];

	outcome_set_reply(&o, "mx.net", &reply);
	ck_assert_msg(o.kind == replies[_i].kind, "%s", replies[_i].name);
	ck_assert_str_eq(outcome_reply(&o), replies[_i].want);
	ck_assert_str_eq(o.host, "mx.net");
	ck_assert(outcome_text_is_reply(outcome_reply(&o)));
	outcome_status(outcome_reply(&o), true, status);
	ck_assert_str_eq(status, replies[_i].status);
	outcome_release(&o);
}
END_TEST

START_TEST(texts_of_our_own)
{
	char status[OUTCOME_STATUS_MAX];

	ck_assert(!outcome_text_is_reply("5.1.2 no such domain"));
	ck_assert(!outcome_text_is_reply(""));
	ck_assert(!outcome_text_is_reply("25"));
	outcome_status("5.1.2 no such domain", true, status);
	ck_assert_str_eq(status, "5.1.2");
	outcome_status("", false, status);
	ck_assert_str_eq(status, "4.0.0");
}
END_TEST

START_TEST(worse_of_two)
{
	static const enum outcome_kind order[] = { OUTCOME_DELIVERED, OUTCOME_PERMANENT, OUTCOME_TRANSIENT,
						   OUTCOME_NONE };

	for (size_t i = 0; i < 4; i++) {
		for (size_t j = 0; j < 4; j++) {
			struct outcome a = { .kind = order[i] }, b = { .kind = order[j] };

			ck_assert_int_eq(outcome_worse(&a, &b)->kind, order[i > j ? i : j]);
		}
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("route");
	TCase *tc = tcase_create("route");

	tcase_add_loop_test(tc, rule, 0, ROWS(rules));
	tcase_add_loop_test(tc, parse, 0, ROWS(parses));
	tcase_add_loop_test(tc, hosts_from_mx, 0, ROWS(answers));
	tcase_add_loop_test(tc, host_without_address, 0, ROWS(no_address));
	suite_add_tcase(suite, tc);
	tc = tcase_create("outcome");
	tcase_add_loop_test(tc, outcome_of_reply, 0, ROWS(replies));
	tcase_add_test(tc, texts_of_our_own);
	tcase_add_test(tc, worse_of_two);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
