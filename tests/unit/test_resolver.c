/* SPDX-License-Identifier: ISC */
/* The resolver against a DNS server of the test: MX sets, aliases, what is not there, failures,
 * silence, answers that are too large.
 */
#include "tests/unit/testing.h"

#include "libsmtp/net/mx.h"
#include "libsmtp/net/resolver.h"
#include "tests/unit/dns_responder.h"

#include <arpa/inet.h>
#include <stdio.h>

enum { A = 1, CNAME = 5, MX = 15, AAAA = 28 };

static const struct dns_record records[] = {
	{ "two.test", MX, 20, "b.two.test" },
	{ "two.test", MX, 10, "a.two.test" },
	{ "null.test", MX, 0, "" },
	{ "nullplus.test", MX, 0, "" },
	{ "nullplus.test", MX, 5, "a.two.test" },
	{ "alias.test", CNAME, 0, "two.test" },
	{ "dangling.test", CNAME, 0, "nowhere.test" },
	{ "nodata.test", A, 0, "127.0.0.9" },
	{ "toempty.test", CNAME, 0, "nodata.test" },
	{ "badnames.test", MX, 5, "a_b.two.test" },
	{ "badnames.test", MX, 10, "ok.two.test" },
	{ "badnames.test", MX, 1, "127.0.0.1" },
	{ "onlybad.test", MX, 1, "127.0.0.1" },
	{ "silent.test", 0, 0, DNS_SILENCE },
	{ "servfail.test", 0, 0, DNS_SERVFAIL },
	{ "garbage.test", 0, 0, DNS_GARBAGE },
	{ "both.test", A, 0, "127.0.0.1" },
	{ "both.test", AAAA, 0, "::1" },
	{ "pair.test", A, 0, "127.0.0.2" },
	{ "pair.test", A, 0, "127.0.0.3" },
	{ "four.test", A, 0, "127.0.0.4" },
	{ "six.test", AAAA, 0, "2001:db8::6" },
	{ "hostalias.test", CNAME, 0, "both.test" },
	{ "x.localhost", A, 0, "127.0.0.7" },
	{ "mail.invalid", A, 0, "127.0.0.8" },
	{ NULL, 0, 0, NULL },
};

struct answer {
	struct smtp_loop *loop;
	unsigned left; /* answers to come */
	unsigned status;
	char text[4096];
	bool in_call;
};

static void finish(struct answer *a, enum smtp_dns_status status)
{
	ck_assert_msg(!a->in_call, "the callback came from within the call");
	a->status = status;
	if (--a->left == 0)
		smtp_loop_stop(a->loop);
}

static void got_mx(void *user, const struct smtp_mx_answer *mx)
{
	struct answer *a = user;
	size_t used = 0;

	for (size_t i = 0; i < mx->count; i++)
		used += (size_t)snprintf(a->text + used, sizeof a->text - used, "%u %s;",
					 mx->hosts[i].preference, mx->hosts[i].name);
	ck_assert(mx->status != SMTP_DNS_OK || mx->count > 0);
	ck_assert_msg((mx->status == SMTP_DNS_TEMPORARY) == (mx->problem[0] != '\0'), "%s",
		      mx->problem);
	if (mx->problem[0] != '\0')
		snprintf(a->text, sizeof a->text, "%s", mx->problem);
	finish(a, mx->status);
}

static void got_host(void *user, const struct smtp_host_answer *host)
{
	struct answer *a = user;
	char text[SMTP_SOCKET_ADDRESS_TEXT_MAX];
	size_t used = 0;

	for (size_t i = 0; i < host->count; i++) {
		smtp_socket_address_format(&host->addresses[i], text);
		used += (size_t)snprintf(a->text + used, sizeof a->text - used, "%s;", text);
	}
	ck_assert((host->status == SMTP_DNS_OK) == (host->count > 0));
	ck_assert_msg((host->status == SMTP_DNS_TEMPORARY) == (host->problem[0] != '\0'), "%s",
		      host->problem);
	if (host->problem[0] != '\0')
		snprintf(a->text, sizeof a->text, "%s", host->problem);
	finish(a, host->status);
}

static struct dns_responder *responder;
static struct smtp_loop *loop;
static struct smtp_resolver *resolver;

static void start_with(const struct dns_record *list, uint32_t timeout_ms)
{
	char problem[SMTP_RESOLVER_PROBLEM_MAX];
	struct smtp_resolver_options options = { .timeout_ms = timeout_ms };
	int err;

	responder = dns_responder_start(list);
	options.server = dns_responder_server(responder);
	ck_assert_int_eq(smtp_loop_new(&loop), 0);
	err = smtp_resolver_new(&resolver, loop, &options, problem);
	ck_assert_msg(err == 0, "%s", problem);
}

static void start(void)
{
	start_with(records, 10000);
}

static void stop(void)
{
	smtp_resolver_free(resolver);
	smtp_loop_free(loop);
	dns_responder_stop(responder);
}

static struct answer ask_mx(const char *domain)
{
	struct answer a = { .loop = loop, .left = 1, .in_call = true };
	struct smtp_dns_query *query;

	ck_assert_int_eq(smtp_resolver_mx(resolver, domain, got_mx, &a, &query), 0);
	a.in_call = false;
	ck_assert_int_eq(smtp_loop_run(loop), 0);
	return a;
}

static struct answer ask_host(const char *host)
{
	struct answer a = { .loop = loop, .left = 1, .in_call = true };
	struct smtp_dns_query *query;

	ck_assert_int_eq(smtp_resolver_host(resolver, host, got_host, &a, &query), 0);
	a.in_call = false;
	ck_assert_int_eq(smtp_loop_run(loop), 0);
	return a;
}

/* --- MX --- */

static const struct {
	const char *domain;
	enum smtp_dns_status status;
	const char *text; /* hosts; part of the problem when TEMPORARY */
} mx_rows[] = {
	{ "two.test", SMTP_DNS_OK, "10 a.two.test;20 b.two.test;" },
	{ "TWO.test", SMTP_DNS_OK, "10 a.two.test;20 b.two.test;" },
	{ "alias.test", SMTP_DNS_OK, "10 a.two.test;20 b.two.test;" },
	{ "null.test", SMTP_DNS_NULL_MX, "" },
	{ "nullplus.test", SMTP_DNS_OK, "5 a.two.test;" },
	{ "nowhere.test", SMTP_DNS_NO_NAME, "" },
	{ "dangling.test", SMTP_DNS_NO_NAME, "" },
	{ "nodata.test", SMTP_DNS_NO_DATA, "" },
	{ "toempty.test", SMTP_DNS_NO_DATA, "" },
	{ "badnames.test", SMTP_DNS_OK, "10 ok.two.test;" },
	{ "onlybad.test", SMTP_DNS_TEMPORARY, "onlybad.test: no MX record names a valid host" },
	{ "servfail.test", SMTP_DNS_TEMPORARY, "DNS, servfail.test MX: the server failed (SERVFAIL)" },
	{ "garbage.test", SMTP_DNS_TEMPORARY, "DNS, garbage.test MX: " },
	{ "a..test", SMTP_DNS_NO_NAME, "" },
	{ "an-label-of-more-than-sixty-three-octets-which-is-one-too-many-x.test",
	  SMTP_DNS_NO_NAME, "" },
	{ "[127.0.0.1]", SMTP_DNS_OK, "0 [127.0.0.1];" },
	{ "[IPv6:::1]", SMTP_DNS_OK, "0 [IPv6:::1];" },
};

START_TEST(mx_answers)
{
	struct answer a = ask_mx(mx_rows[_i].domain);

	ck_assert_msg(a.status == mx_rows[_i].status, "%s: %u %s", mx_rows[_i].domain, a.status,
		      a.text);
	if (a.status == SMTP_DNS_TEMPORARY)
		ck_assert_msg(strstr(a.text, mx_rows[_i].text), "%s", a.text);
	else
		ck_assert_str_eq(a.text, mx_rows[_i].text);
}
END_TEST

/* --- hosts --- */

static const struct {
	const char *host;
	enum smtp_dns_status status;
	const char *text;
} host_rows[] = {
	{ "both.test", SMTP_DNS_OK, "[::1]:0;127.0.0.1:0;" },
	{ "hostalias.test", SMTP_DNS_OK, "[::1]:0;127.0.0.1:0;" },
	{ "four.test", SMTP_DNS_OK, "127.0.0.4:0;" },
	{ "six.test", SMTP_DNS_OK, "[2001:db8::6]:0;" },
	{ "two.test", SMTP_DNS_NO_DATA, "" },
	{ "nowhere.test", SMTP_DNS_NO_NAME, "" },
	{ "servfail.test", SMTP_DNS_TEMPORARY, "the server failed" },
	{ "127.0.0.1", SMTP_DNS_OK, "127.0.0.1:0;" },
	{ "[127.0.0.1]", SMTP_DNS_OK, "127.0.0.1:0;" },
	{ "[IPv6:2001:db8::1]", SMTP_DNS_OK, "[2001:db8::1]:0;" },
	{ "::1", SMTP_DNS_OK, "[::1]:0;" },
	{ "localhost", SMTP_DNS_OK, "[::1]:0;127.0.0.1:0;" },
	{ "x.localhost", SMTP_DNS_OK, "127.0.0.7:0;" },
	{ "mail.invalid", SMTP_DNS_OK, "127.0.0.8:0;" },
};

START_TEST(host_answers)
{
	struct answer a = ask_host(host_rows[_i].host);

	ck_assert_msg(a.status == host_rows[_i].status, "%s: %u %s", host_rows[_i].host, a.status,
		      a.text);
	if (a.status == SMTP_DNS_TEMPORARY)
		ck_assert_msg(strstr(a.text, host_rows[_i].text), "%s", a.text);
	else
		ck_assert_msg(strcmp(a.text, host_rows[_i].text) == 0, "%s: %s",
			      host_rows[_i].host, a.text);
}
END_TEST

START_TEST(all_addresses)
{
	struct answer a = ask_host("pair.test"); /* in any order: libunbound turns them */

	ck_assert_uint_eq(strlen(a.text), 2 * strlen("127.0.0.2:0;"));
	ck_assert_ptr_nonnull(strstr(a.text, "127.0.0.2:0;"));
	ck_assert_ptr_nonnull(strstr(a.text, "127.0.0.3:0;"));
}
END_TEST

/* --- time, many, cancelling --- */

START_TEST(silence_has_a_deadline)
{
	struct answer a;
	uint64_t begin;

	start_with(records, 300);
	begin = smtp_loop_now_ms(loop);
	a = ask_mx("silent.test");
	ck_assert_uint_eq(a.status, SMTP_DNS_TEMPORARY);
	ck_assert_ptr_nonnull(strstr(a.text, "no answer in time"));
	a = ask_host("silent.test");
	ck_assert_uint_eq(a.status, SMTP_DNS_TEMPORARY);
	ck_assert_uint_ge(smtp_loop_now_ms(loop) - begin, 300);
	/* It goes on with others. */
	a = ask_mx("two.test");
	ck_assert_uint_eq(a.status, SMTP_DNS_OK);
	stop();
}
END_TEST

START_TEST(second_answer_is_cached)
{
	struct answer a = ask_mx("two.test");
	unsigned asked = dns_responder_asked(responder);

	ck_assert_uint_eq(a.status, SMTP_DNS_OK);
	a = ask_mx("two.test");
	ck_assert_str_eq(a.text, "10 a.two.test;20 b.two.test;");
	ck_assert_uint_eq(dns_responder_asked(responder), asked);
}
END_TEST

static void must_not_come(void *user, const struct smtp_mx_answer *answer)
{
	(void)user;
	(void)answer;
	ck_abort_msg("a cancelled look-up was answered");
}

START_TEST(cancelled)
{
	struct smtp_dns_query *query, *cached, *address;
	struct answer a = ask_mx("two.test");

	ck_assert_uint_eq(a.status, SMTP_DNS_OK);
	ck_assert_int_eq(smtp_resolver_mx(resolver, "alias.test", must_not_come, NULL, &query), 0);
	ck_assert_int_eq(smtp_resolver_mx(resolver, "two.test", must_not_come, NULL, &cached), 0);
	ck_assert_int_eq(smtp_resolver_mx(resolver, "[::1]", must_not_come, NULL, &address), 0);
	smtp_dns_query_cancel(query);
	smtp_dns_query_cancel(cached);
	smtp_dns_query_cancel(address);
	a = ask_mx("alias.test");
	ck_assert_uint_eq(a.status, SMTP_DNS_OK);
	/* And what is under way when the resolver goes. */
	ck_assert_int_eq(smtp_resolver_mx(resolver, "silent.test", must_not_come, NULL, &query), 0);
	ck_assert_int_eq(smtp_resolver_mx(resolver, "two.test", must_not_come, NULL, &cached), 0);
}
END_TEST

START_TEST(many_at_once)
{
	enum { COUNT = 200 };
	struct answer all = { .loop = loop, .left = COUNT };
	struct smtp_dns_query *query;
	char name[64];

	for (int i = 0; i < COUNT; i++) {
		snprintf(name, sizeof name, "n%d.nowhere.test", i);
		ck_assert_int_eq(smtp_resolver_mx(resolver, name, got_mx, &all, &query), 0);
	}
	ck_assert_int_eq(smtp_loop_run(loop), 0);
	ck_assert_uint_eq(all.left, 0);
	ck_assert_uint_eq(all.status, SMTP_DNS_NO_NAME);
}
END_TEST

START_TEST(huge_answer_is_bounded)
{
	enum { COUNT = 300 };
	static struct dns_record list[COUNT + 1];
	static char names[COUNT][64];
	struct answer a;
	char expected[4096];
	size_t used = 0;

	for (int i = 0; i < COUNT; i++) {
		snprintf(names[i], sizeof names[i], "host-%03d.with-a-long-name.test", i);
		list[i] = (struct dns_record){ "huge.test", MX, (uint16_t)(COUNT - i), names[i] };
	}
	for (int i = 0; i < SMTP_MX_MAX; i++)
		used += (size_t)snprintf(expected + used, sizeof expected - used, "%d %s;", i + 1,
					 names[COUNT - 1 - i]);
	start_with(list, 10000);
	a = ask_mx("huge.test");
	ck_assert_uint_eq(a.status, SMTP_DNS_OK);
	ck_assert_str_eq(a.text, expected);
	stop();
}
END_TEST

/* --- set-up --- */

static const struct {
	const char *server, *anchor;
	int err;
	const char *problem;
} option_rows[] = {
	{ "system", NULL, 0, "" },
	{ "recursive", NULL, 0, "" },
	{ "127.0.0.1", NULL, 0, "" },
	{ "::1@5353", NULL, 0, "" },
	{ "dns.example.org", NULL, SMTP_EINVAL, "DNS server \"dns.example.org\"" },
	{ "127.0.0.1:53", NULL, SMTP_EINVAL, "neither \"system\"" },
	{ "127.0.0.1", "/nonexistent/root.key", SMTP_EACCESS, "/nonexistent/root.key: No such" },
	{ "127.0.0.1", "/dev/null", 0, "" },
};

START_TEST(options)
{
	struct smtp_resolver_options o = { .server = option_rows[_i].server,
					   .trust_anchor = option_rows[_i].anchor };
	struct smtp_resolver *r = NULL;
	char problem[SMTP_RESOLVER_PROBLEM_MAX];
	int err;

	ck_assert_int_eq(smtp_loop_new(&loop), 0);
	err = smtp_resolver_new(&r, loop, &o, problem);
	ck_assert_msg(err == option_rows[_i].err, "%s: %d %s", o.server, err, problem);
	ck_assert_msg(strstr(problem, option_rows[_i].problem), "%s", problem);
	ck_assert_int_eq(err == 0, problem[0] == '\0');
	smtp_resolver_free(r);
	smtp_loop_free(loop);
}
END_TEST

/* --- the list of hosts --- */

START_TEST(equal_preferences_take_turns)
{
	bool first[3] = { false };
	struct smtp_mx_answer mx;

	for (int i = 0; i < 200; i++) {
		mx = (struct smtp_mx_answer){ .count = 0 };
		smtp_mx_keep(&mx, 20, "z.test");
		smtp_mx_keep(&mx, 10, "0.test");
		smtp_mx_keep(&mx, 10, "1.test");
		smtp_mx_keep(&mx, 10, "2.test");
		smtp_mx_keep(&mx, 5, "a.test");
		smtp_mx_shuffle_equal(&mx);
		ck_assert_uint_eq(mx.count, 5);
		ck_assert_str_eq(mx.hosts[0].name, "a.test");
		ck_assert_str_eq(mx.hosts[4].name, "z.test");
		ck_assert_uint_eq(mx.hosts[1].preference, 10);
		first[mx.hosts[1].name[0] - '0'] = true;
	}
	ck_assert(first[0] && first[1] && first[2]);
}
END_TEST

static const struct {
	const char *name;
	bool valid;
} name_rows[] = {
	{ "a.test", true }, { "a-1.test", true }, { "localhost", true }, { "3com", true },
	{ "", false }, { "a_b.test", false }, { "192.0.2.1", false }, { "a.test.7", false },
	{ "-a.test", false }, { "a..test", false }, { "a\\046.test", false },
};

START_TEST(host_names)
{
	ck_assert_msg(smtp_mx_host_is_valid(name_rows[_i].name) == name_rows[_i].valid, "%s",
		      name_rows[_i].name);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("resolver");
	TCase *asked = tcase_create("asked"), *alone = tcase_create("alone");

	tcase_add_checked_fixture(asked, start, stop);
	tcase_set_timeout(asked, 30);
	tcase_add_loop_test(asked, mx_answers, 0, ROWS(mx_rows));
	tcase_add_loop_test(asked, host_answers, 0, ROWS(host_rows));
	tcase_add_test(asked, all_addresses);
	tcase_add_test(asked, second_answer_is_cached);
	tcase_add_test(asked, cancelled);
	tcase_add_test(asked, many_at_once);
	suite_add_tcase(suite, asked);
	tcase_set_timeout(alone, 30);
	tcase_add_test(alone, silence_has_a_deadline);
	tcase_add_test(alone, huge_answer_is_bounded);
	tcase_add_loop_test(alone, options, 0, ROWS(option_rows));
	tcase_add_test(alone, equal_preferences_take_turns);
	tcase_add_loop_test(alone, host_names, 0, ROWS(name_rows));
	suite_add_tcase(suite, alone);
	return tests_run(suite);
}
