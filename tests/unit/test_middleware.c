/* SPDX-License-Identifier: ISC */
/* The ready-made middleware in sessions in memory, with addresses and times that the test makes up. */
#include <smtp/middleware.h>
#include <smtp/server_session.h>

#include <stdio.h>

#include "libsmtp/middleware/domain_name.h"
#include "tests/unit/server_probe.h"

/* --- a session behind a middleware ------------------------------------------------------------ */

static uint64_t now = 1000000;

static struct smtp_server_session *session_behind(const struct smtp_middleware *m, const char *peer,
						  struct probe *last)
{
	struct smtp_server_session_options options = options_of_tests();
	struct smtp_server_session *s = NULL;
	struct smtp_middleware tail;

	options.extensions |= SMTP_SERVER_SMTPUTF8;
	events[0] = '\0';
	ck_assert_int_eq(smtp_server_session_new(&s, &options, NULL, NULL), 0);
	if (peer)
		ck_assert_int_eq(smtp_server_session_set_peer(s, peer, 4567), 0);
	ck_assert_int_eq(smtp_server_session_use(s, m), 0);
	if (last) {
		tail = smtp_middleware_of("probe", &last->functions, last);
		ck_assert_int_eq(smtp_server_session_use(s, &tail), 0);
	}
	ck_assert_int_eq(smtp_server_session_start(s, now), 0);
	return s;
}

/* Says some lines at `now`; the codes of the answers. */
static const char *told(struct smtp_server_session *s, const char *text)
{
	size_t taken = 0;

	ck_assert_int_eq(smtp_server_session_feed(s, text, strlen(text), now, &taken), 0);
	ck_assert_uint_eq(taken, strlen(text));
	return codes(output(s));
}

/* --- require TLS, require AUTH ---------------------------------------------------------------- */

typedef int require(struct smtp_middleware *out, enum smtp_middleware_place at);

static const struct {
	require *make;
	enum smtp_middleware_place at;
	bool tls, auth;
	const char *codes; /* of MAIL RCPT DATA and, after 354, of the end */
} require_rows[] = {
	{ smtp_middleware_require_tls, SMTP_AT_MAIL, false, true, "530 503 503" },
	{ smtp_middleware_require_tls, SMTP_AT_MAIL, true, false, "250 250 354" },
	{ smtp_middleware_require_tls, SMTP_AT_RCPT, false, true, "250 530 554" },
	{ smtp_middleware_require_tls, SMTP_AT_RCPT, true, false, "250 250 354" },
	{ smtp_middleware_require_tls, SMTP_AT_DATA, false, true, "250 250 530" },
	{ smtp_middleware_require_tls, SMTP_AT_DATA, true, false, "250 250 354" },
	{ smtp_middleware_require_auth, SMTP_AT_MAIL, true, false, "530 503 503" },
	{ smtp_middleware_require_auth, SMTP_AT_MAIL, false, true, "250 250 354" },
	{ smtp_middleware_require_auth, SMTP_AT_RCPT, true, false, "250 530 554" },
	{ smtp_middleware_require_auth, SMTP_AT_RCPT, false, true, "250 250 354" },
	{ smtp_middleware_require_auth, SMTP_AT_DATA, true, false, "250 250 530" },
	{ smtp_middleware_require_auth, SMTP_AT_DATA, false, true, "250 250 354" },
};

START_TEST(requires)
{
	struct smtp_middleware m;
	struct probe a = probe_of('a');
	struct smtp_server_session *s;

	ck_assert_int_eq(require_rows[_i].make(&m, require_rows[_i].at), 0);
	s = session_behind(&m, NULL, &a);
	(void)output(s);
	if (require_rows[_i].tls) {
		ck_assert_str_eq(told(s, EHLO "STARTTLS\r\n"), "250 220");
		ck_assert_int_eq(smtp_server_session_tls_started(s, "TLSv1.3"), 0);
	}
	ck_assert_str_eq(told(s, EHLO), "250");
	if (require_rows[_i].auth)
		ck_assert_str_eq(told(s, PLAIN), "235");
	ck_assert_str_eq(told(s, ENVELOPE "DATA\r\n"), require_rows[_i].codes);
	smtp_server_session_free(s);
	smtp_middleware_release(&m);
}
END_TEST

START_TEST(requires_in_words)
{
	struct smtp_middleware m;
	struct probe a = probe_of('a');
	struct smtp_server_session *s;

	ck_assert_int_eq(smtp_middleware_require_tls(&m, SMTP_AT_MAIL), 0);
	s = session_behind(&m, NULL, &a);
	ck_assert_str_eq(told(s, EHLO), "220 250");
	ck_assert_uint_eq(feed(s, "MAIL FROM:<>\r\n"), 14);
	ck_assert(strncmp(output(s), "530 5.7.0 ", 10) == 0);
	smtp_server_session_free(s);
	ck_assert_int_eq(smtp_middleware_require_tls(&m, SMTP_AT_CONNECT), SMTP_EINVAL);
	ck_assert_int_eq(smtp_middleware_require_tls(&m, (enum smtp_middleware_place)9), SMTP_EINVAL);
	ck_assert_int_eq(smtp_middleware_require_auth(&m, SMTP_AT_CONNECT), SMTP_EINVAL);
	ck_assert_int_eq(smtp_middleware_require_auth(NULL, SMTP_AT_MAIL), SMTP_EINVAL);
}
END_TEST

/* A check at RCPT must not make an open relay of a program without a rcpt function. */
START_TEST(no_open_relay)
{
	struct smtp_middleware m;
	struct smtp_rate_limit_options options = SMTP_RATE_LIMIT_OPTIONS_INIT;
	struct smtp_server_session *s;

	options.at = SMTP_AT_RCPT;
	if (_i == 0)
		ck_assert_int_eq(smtp_middleware_received(&m, "mx.example.org"), 0);
	else if (_i == 1)
		ck_assert_int_eq(smtp_middleware_require_auth(&m, SMTP_AT_RCPT), 0);
	else
		ck_assert_int_eq(smtp_middleware_rate_limit(&m, &options), 0);
	s = session_behind(&m, "192.0.2.1", NULL);
	(void)output(s);
	ck_assert_str_eq(told(s, EHLO "MAIL FROM:<>\r\n"), "250 250");
	ck_assert_str_eq(told(s, "RCPT TO:<bob@example.org>\r\n"), _i == 1 ? "530" : "550");
	smtp_server_session_free(s);
	smtp_middleware_release(&m);
}
END_TEST

/* --- rate limit ------------------------------------------------------------------------------- */

static struct smtp_middleware rate_limit(uint32_t per_minute, uint32_t burst,
					 enum smtp_middleware_place at)
{
	struct smtp_rate_limit_options options = SMTP_RATE_LIMIT_OPTIONS_INIT;
	struct smtp_middleware m;

	options.per_minute = per_minute;
	options.burst = burst;
	options.at = at;
	ck_assert_int_eq(smtp_middleware_rate_limit(&m, &options), 0);
	return m;
}

#define MAIL_RSET "MAIL FROM:<>\r\nRSET\r\n"

static const struct {
	uint64_t after_ms; /* since the row before */
	const char *peer;
	const char *codes; /* of MAIL RSET, said twice */
} rate_rows[] = { /* 6 a minute, 3 at once */
	{ 0, "192.0.2.1", "250 250 250 250" },
	{ 0, "192.0.2.1", "250 250 450 250" },
	{ 0, "192.0.2.2", "250 250 250 250" },       /* another address */
	{ 9999, "192.0.2.1", "450 250 450 250" },
	{ 1, "192.0.2.1", "250 250 450 250" },       /* one token is back */
	{ 0, "::ffff:192.0.2.1", "450 250 450 250" }, /* the same peer */
	{ 30000, "192.0.2.1", "250 250 250 250" },
	{ 0, "192.0.2.1", "250 250 450 250" },
	{ 3600000, "192.0.2.1", "250 250 250 250" }, /* no more than three however long */
	{ 0, "192.0.2.1", "250 250 450 250" },
	{ 0, "2001:db8:0:1::1", "250 250 250 250" },
	{ 0, "2001:db8:0:1:ffff::2", "250 250 450 250" }, /* the same /64 */
	{ 0, "2001:db8:0:2::1", "250 250 250 250" },
	{ 0, NULL, "250 250 250 250" }, /* a unix socket */
	{ 0, NULL, "250 250 250 250" },
	{ 0, NULL, "250 250 250 250" },
};

START_TEST(rate_in_time)
{
	struct smtp_middleware m = rate_limit(6, 3, SMTP_AT_MAIL);

	for (size_t i = 0; i < sizeof rate_rows / sizeof *rate_rows; i++) {
		struct smtp_server_session *s;

		now += rate_rows[i].after_ms;
		s = session_behind(&m, rate_rows[i].peer, NULL);
		ck_assert_str_eq(told(s, EHLO), "220 250");
		ck_assert_msg(strcmp(told(s, MAIL_RSET MAIL_RSET), rate_rows[i].codes) == 0,
			      "row %zu", i);
		smtp_server_session_free(s);
	}
	smtp_middleware_release(&m);
}
END_TEST

static const struct {
	enum smtp_middleware_place at;
	const char *first, *second; /* codes of two sessions, a single token */
} place_rows[] = {
	{ SMTP_AT_CONNECT, "220 250 250 250 550 354", "421" },
	{ SMTP_AT_MAIL, "220 250 250 250 550 354", "220 250 450 503 503 503" },
	{ SMTP_AT_RCPT, "220 250 250 250 450 354", "220 250 250 450 450 554" },
	{ SMTP_AT_DATA, "220 250 250 250 550 354", "220 250 250 250 550 450" },
};

START_TEST(rate_at_places)
{
	static const char *const domains[] = { "example.org", NULL };
	struct smtp_recipient_domains_options list = SMTP_RECIPIENT_DOMAINS_OPTIONS_INIT;
	struct smtp_middleware m = rate_limit(1, 1, place_rows[_i].at), domain;

	list.domains = domains;
	ck_assert_int_eq(smtp_middleware_recipient_domains(&domain, &list), 0);
	for (int i = 0; i < 2; i++) {
		struct smtp_server_session_options options = options_of_tests();
		struct smtp_server_session *s = NULL;
		const char *text = EHLO ENVELOPE "RCPT TO:<c@example.net>\r\nDATA\r\n";
		size_t taken = 0;

		ck_assert_int_eq(smtp_server_session_new(&s, &options, NULL, NULL), 0);
		ck_assert_int_eq(smtp_server_session_set_peer(s, "192.0.2.1", 1), 0);
		ck_assert_int_eq(smtp_server_session_use(s, &m), 0);
		ck_assert_int_eq(smtp_server_session_use(s, &domain), 0);
		ck_assert_int_eq(smtp_server_session_start(s, now), 0);
		ck_assert_int_eq(smtp_server_session_feed(s, text, strlen(text), now, &taken), 0);
		ck_assert_str_eq(codes(output(s)), i ? place_rows[_i].second : place_rows[_i].first);
		smtp_server_session_free(s);
	}
	smtp_middleware_release(&m);
	smtp_middleware_release(&domain);
}
END_TEST

static const struct smtp_rate_limit_options bad_rates[] = {
	{ .size = sizeof *bad_rates, .per_minute = 0, .burst = 1, .max_peers = 1, .at = SMTP_AT_MAIL },
	{ .size = sizeof *bad_rates, .per_minute = 1, .burst = 0, .max_peers = 1, .at = SMTP_AT_MAIL },
	{ .size = sizeof *bad_rates, .per_minute = 1, .burst = 1, .max_peers = 0, .at = SMTP_AT_MAIL },
	{ .size = sizeof *bad_rates, .per_minute = 1, .burst = 1, .max_peers = 1u << 25,
	  .at = SMTP_AT_MAIL },
	{ .size = sizeof *bad_rates, .per_minute = 60000001, .burst = 1, .max_peers = 1,
	  .at = SMTP_AT_MAIL },
	{ .size = sizeof *bad_rates, .per_minute = 1, .burst = 1, .max_peers = 1,
	  .at = (enum smtp_middleware_place)4 },
	{ .size = 1, .per_minute = 1, .burst = 1, .max_peers = 1, .at = SMTP_AT_MAIL },
};

START_TEST(rate_bad_options)
{
	struct smtp_middleware m;

	ck_assert_int_eq(smtp_middleware_rate_limit(&m, &bad_rates[_i]), SMTP_EINVAL);
}
END_TEST

/* Options of a later version of the library are good as long as what we do not know is zero; those of an
 * earlier one get the defaults for what they do not have. */
START_TEST(options_of_other_versions)
{
	struct {
		struct smtp_rate_limit_options known;
		uint64_t unknown;
	} later = { .known = SMTP_RATE_LIMIT_OPTIONS_INIT };
	struct smtp_rate_limit_options earlier = SMTP_RATE_LIMIT_OPTIONS_INIT;
	struct smtp_middleware m;

	later.known.size = sizeof later;
	ck_assert_int_eq(smtp_middleware_rate_limit(&m, &later.known), 0);
	smtp_middleware_release(&m);
	later.unknown = 1;
	ck_assert_int_eq(smtp_middleware_rate_limit(&m, &later.known), SMTP_EINVAL);
	earlier.size = offsetof(struct smtp_rate_limit_options, burst);
	earlier.burst = 0; /* not looked at */
	ck_assert_int_eq(smtp_middleware_rate_limit(&m, &earlier), 0);
	smtp_middleware_release(&m);
	ck_assert_int_eq(smtp_middleware_rate_limit(NULL, &earlier), SMTP_EINVAL);
}
END_TEST

START_TEST(rate_defaults)
{
	struct smtp_rate_limit_options options;
	struct smtp_middleware m;

	smtp_rate_limit_options_init(&options);
	ck_assert_uint_eq(options.per_minute, 60);
	ck_assert_int_eq(smtp_middleware_rate_limit(&m, NULL), 0);
	smtp_middleware_release(&m);
	smtp_middleware_release(&m); /* again: nothing */
}
END_TEST

/* --- connection check ------------------------------------------------------------------------- */

static const struct {
	const char *const *allow, *const *deny;
	const char *peer;
	bool passes;
} connection_rows[] = {
#define LIST(...) (const char *const[]){ __VA_ARGS__, NULL }
	{ NULL, NULL, "192.0.2.1", true },
	{ NULL, LIST("192.0.2.0/24"), "192.0.2.1", false },
	{ NULL, LIST("192.0.2.0/24"), "192.0.3.1", true },
	{ NULL, LIST("192.0.2.0/24"), NULL, true },
	{ LIST("192.0.2.0/24"), NULL, "192.0.2.1", true },
	{ LIST("192.0.2.0/24"), NULL, "192.0.3.1", false },
	{ LIST("192.0.2.0/24"), NULL, NULL, true },
	{ LIST("192.0.2.0/24"), NULL, "2001:db8::1", false },
	{ LIST("192.0.2.0/24", "2001:db8::/32"), NULL, "2001:db8::1", true },
	{ LIST("192.0.2.0/24"), LIST("192.0.2.7"), "192.0.2.7", false },
	{ LIST("192.0.2.0/24"), LIST("192.0.2.7"), "192.0.2.8", true },
	{ LIST("192.0.2.7"), LIST("192.0.2.0/24"), "192.0.2.7", true },
	{ LIST("192.0.2.7"), LIST("192.0.2.0/24"), "192.0.2.8", false },
	{ LIST("192.0.2.7"), LIST("192.0.2.7"), "192.0.2.7", false },
	{ (const char *const[]){ NULL }, NULL, "192.0.2.1", false },
};

START_TEST(connections)
{
	struct smtp_connection_check_options options = SMTP_CONNECTION_CHECK_OPTIONS_INIT;
	struct smtp_middleware m;
	struct smtp_server_session *s;

	options.allow = connection_rows[_i].allow;
	options.deny = connection_rows[_i].deny;
	options.text = "go away";
	ck_assert_int_eq(smtp_middleware_connection_check(&m, &options), 0);
	s = session_behind(&m, connection_rows[_i].peer, NULL);
	if (connection_rows[_i].passes)
		ck_assert_str_eq(codes(output(s)), "220");
	else
		ck_assert_str_eq(output(s), "554 go away\r\n");
	ck_assert((smtp_server_session_wants(s) & SMTP_WANTS_CLOSE) == 0 ||
		  !connection_rows[_i].passes);
	smtp_server_session_free(s);
	smtp_middleware_release(&m);
}
END_TEST

START_TEST(connection_bad_options)
{
	struct smtp_connection_check_options options;
	struct smtp_middleware m;

	smtp_connection_check_options_init(&options);
	options.deny = LIST("192.0.2.0/24", "nonsense");
	ck_assert_int_eq(smtp_middleware_connection_check(&m, &options), SMTP_EINVAL);
	ck_assert_int_eq(smtp_middleware_connection_check(&m, NULL), SMTP_EINVAL);
	options.size = 3;
	ck_assert_int_eq(smtp_middleware_connection_check(&m, &options), SMTP_EINVAL);
}
END_TEST

/* --- recipient domains ------------------------------------------------------------------------ */

static const char *const domains[] = { "Example.ORG", ".sub.example", "b\xc3\xbc" "cher.example",
				       "[192.0.2.9]", "xn--fa-hia.example", NULL };

static const struct {
	const char *recipient;
	const char *reply; /* how it begins */
} domain_rows[] = {
	{ "bob@example.org", "250" },
	{ "bob@EXAMPLE.org", "250" },
	{ "bob@mx.example.org", "550 5.7.1" },
	{ "bob@example.org.evil", "550 5.7.1" },
	{ "bob@sub.example", "550 5.7.1" },
	{ "bob@a.sub.example", "250" },
	{ "bob@a.B.Sub.Example", "250" },
	{ "bob@asub.example", "550 5.7.1" },
	{ "bob@xn--bcher-kva.example", "250" },
	{ "bob@XN--BCHER-KVA.example", "250" },
	{ "bob@[192.0.2.9]", "250" },
	{ "bob@[192.0.2.8]", "550 5.7.1" },
	{ "postmaster", "250" },
	{ "postmaster@other.example", "550 5.7.1" },
	{ "bob@b\xc3\xbc" "cher.example", "250" },
	{ "bob@B\xc3\x9c" "CHER.example", "250" },
	{ "bob@\xe4\xbe\x8b.example", "550 5.7.1" },
	{ "bob@\xcc\x88x.example", "550 5.1.2" }, /* begins with a combining mark */
};

static const struct {
	const char *domain;
	int err;
	const char *folded;
} fold_rows[] = {
	{ "Example.ORG", 0, "example.org" },
	{ "[IPv6:2001:DB8::1]", 0, "[ipv6:2001:db8::1]" },
	{ "b\xc3\xbc" "cher.example", 0, "xn--bcher-kva.example" },
	{ "B\xc3\x9c" "CHER.Example", 0, "xn--bcher-kva.example" },
	{ "bu\xcc\x88" "cher.example", 0, "xn--bcher-kva.example" }, /* u, combining diaeresis */
	{ "fa\xc3\x9f.example", 0, "xn--fa-hia.example" },
	{ "\xe4\xbe\x8b.example", 0, "xn--fsq.example" },
	{ "\xe2\x98\x83\xcc\x88-.example", SMTP_EINVAL, "" },
	{ "\xff.example", SMTP_EINVAL, "" },
};

START_TEST(domains_fold)
{
	char out[SMTP_DOMAIN_MAX + 1] = "";

	ck_assert_int_eq(domain_name_fold(out, fold_rows[_i].domain), fold_rows[_i].err);
	ck_assert_str_eq(out, fold_rows[_i].folded);
}
END_TEST

static struct smtp_middleware domain_list(bool accounts_may_relay)
{
	struct smtp_recipient_domains_options options = SMTP_RECIPIENT_DOMAINS_OPTIONS_INIT;
	struct smtp_middleware m;

	options.domains = domains;
	options.accounts_may_relay = accounts_may_relay;
	ck_assert_int_eq(smtp_middleware_recipient_domains(&m, &options), 0);
	return m;
}

START_TEST(recipients)
{
	struct smtp_middleware m = domain_list(false);
	struct smtp_server_session *s = session_behind(&m, NULL, NULL);
	char line[300];
	const char *reply;

	ck_assert_str_eq(told(s, EHLO "MAIL FROM:<> SMTPUTF8\r\n"), "220 250 250");
	(void)snprintf(line, sizeof line, "RCPT TO:<%s>\r\n", domain_rows[_i].recipient);
	ck_assert_uint_eq(feed(s, line), strlen(line));
	reply = output(s);
	ck_assert_msg(strncmp(reply, domain_rows[_i].reply, strlen(domain_rows[_i].reply)) == 0,
		      "%s: %s", domain_rows[_i].recipient, reply);
	smtp_server_session_free(s);
	smtp_middleware_release(&m);
}
END_TEST

START_TEST(accounts_relay)
{
	struct smtp_middleware m = domain_list(_i == 1);
	struct probe a = probe_of('a');
	struct smtp_server_session *s = session_behind(&m, NULL, &a);

	ck_assert_str_eq(told(s, EHLO PLAIN "MAIL FROM:<>\r\n"), "220 250 235 250");
	ck_assert_str_eq(told(s, "RCPT TO:<a@b.example>\r\n"), _i == 1 ? "250" : "550");
	a.code[RCPT] = 550; /* the handler behind has the last word */
	ck_assert_str_eq(told(s, "RCPT TO:<bob@example.org>\r\n"), "550");
	smtp_server_session_free(s);
	smtp_middleware_release(&m);
}
END_TEST

static const char *const bad_domains[] = { "", ".", "a..b", "-a.example", "[1.2.3]", ".[192.0.2.1]",
					   "a b", "\xe2\x98\x83\xcc\x88-.example", "\xff.example" };

START_TEST(domain_bad_options)
{
	struct smtp_recipient_domains_options options;
	struct smtp_middleware m;
	const char *list[] = { "example.org", bad_domains[_i], NULL };

	smtp_recipient_domains_options_init(&options);
	options.domains = list;
	ck_assert_int_eq(smtp_middleware_recipient_domains(&m, &options), SMTP_EINVAL);
	ck_assert_int_eq(smtp_middleware_recipient_domains(&m, NULL), SMTP_EINVAL);
}
END_TEST

START_TEST(no_domains)
{
	struct smtp_recipient_domains_options options = SMTP_RECIPIENT_DOMAINS_OPTIONS_INIT;
	struct smtp_middleware m;
	struct smtp_server_session *s;

	ck_assert_int_eq(smtp_middleware_recipient_domains(&m, &options), 0);
	s = session_behind(&m, NULL, NULL);
	ck_assert_str_eq(told(s, EHLO "MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\n"), "220 250 250 550");
	smtp_server_session_free(s);
	smtp_middleware_release(&m);
}
END_TEST

/* --- Received --------------------------------------------------------------------------------- */

static const struct {
	const char *peer;
	const char *rcpts;
	bool refuse_first; /* by the handler behind */
	const char *has, *has_not;
} received_rows[] = {
	{ "192.0.2.1", "RCPT TO:<bob@example.org>\r\n", false,
	  "Received: from client.example.com ([192.0.2.1])\r\n\tby mx.example.org with ESMTP id",
	  "TLS" },
	{ "2001:db8::1", "RCPT TO:<bob@example.org>\r\n", false, "([IPv6:2001:db8::1])", "TLS" },
	{ NULL, "RCPT TO:<bob@example.org>\r\n", false, "from client.example.com\r\n", "([" },
	{ NULL, "RCPT TO:<bob@example.org>\r\n", false, "for <bob@example.org>", "?" },
	{ NULL, "RCPT TO:<bob@example.org>\r\nRCPT TO:<eve@example.org>\r\n", false, "by mx", " for" },
	{ NULL, "RCPT TO:<bob@example.org>\r\nRCPT TO:<eve@example.org>\r\n", true,
	  "for <eve@example.org>", "bob" },
	{ NULL, "RCPT TO:<postmaster>\r\n", false, "by mx.example.org", " for" },
};

static void refuse_once(struct smtp_server_session *s, struct probe *probe)
{
	(void)s;
	if (probe->result++ > 0)
		probe->code[RCPT] = 0;
}

START_TEST(received)
{
	struct smtp_middleware m;
	struct probe a = probe_of('a');
	struct smtp_server_session *s;
	struct smtp_span fields;
	char text[2000];

	ck_assert_int_eq(smtp_middleware_received(&m, "mx.example.org"), 0);
	s = session_behind(&m, received_rows[_i].peer, &a);
	ck_assert_str_eq(told(s, EHLO "MAIL FROM:<>\r\n"), "220 250 250");
	if (received_rows[_i].refuse_first) {
		a.code[RCPT] = 550;
		a.within = refuse_once;
	}
	(void)told(s, received_rows[_i].rcpts);
	ck_assert_uint_eq(smtp_server_session_fields(s).n, 0);
	ck_assert_str_eq(told(s, "DATA\r\n"), "354");
	fields = smtp_server_session_fields(s);
	(void)snprintf(text, sizeof text, "%.*s", (int)fields.n, (const char *)fields.p);
	ck_assert_msg(strstr(text, received_rows[_i].has) != NULL, "%s", text);
	ck_assert_msg(strstr(text, received_rows[_i].has_not) == NULL, "%s", text);
	ck_assert_str_eq(told(s, "x\r\n.\r\n"), "250");
	ck_assert_uint_eq(smtp_server_session_fields(s).n, 0);
	smtp_server_session_free(s);
	smtp_middleware_release(&m);
}
END_TEST

START_TEST(received_bad_arguments)
{
	struct smtp_middleware m;

	ck_assert_int_eq(smtp_middleware_received(&m, NULL), SMTP_EINVAL);
	ck_assert_int_eq(smtp_middleware_received(&m, ""), SMTP_EINVAL);
	ck_assert_int_eq(smtp_middleware_received(NULL, "a"), SMTP_EINVAL);
}
END_TEST

/* --- a function for one phase ----------------------------------------------------------------- */

static int make_connect(struct smtp_middleware *m, void *user)
{
	return smtp_middleware_connect(m, user ? on_connect : NULL, user);
}

static int make_helo(struct smtp_middleware *m, void *user)
{
	return smtp_middleware_helo(m, user ? on_helo : NULL, user);
}

static int make_auth(struct smtp_middleware *m, void *user)
{
	return smtp_middleware_auth(m, user ? on_auth : NULL, user);
}

static int make_mail(struct smtp_middleware *m, void *user)
{
	return smtp_middleware_mail(m, user ? on_mail : NULL, user);
}

static int make_rcpt(struct smtp_middleware *m, void *user)
{
	return smtp_middleware_rcpt(m, user ? on_rcpt : NULL, user);
}

static int make_data(struct smtp_middleware *m, void *user)
{
	return smtp_middleware_data(m, user ? on_data : NULL, user);
}

static int make_end(struct smtp_middleware *m, void *user)
{
	return smtp_middleware_end(m, user ? on_end : NULL, user);
}

static const struct {
	int (*make)(struct smtp_middleware *m, void *user);
	int phase;
	const char *event;
	const char *refused; /* codes when it says 550; 554 at connect */
} adapter_rows[] = {
	{ make_connect, CONNECT, "a.connect", "554" },
	{ make_helo, HELO, "a.ehlo:client.example.com", "220 550 503 503 503 503" },
	{ make_auth, AUTH, "a.PLAIN:alice", "220 250 550 250 250 354 250" },
	{ make_mail, MAIL, "a.mail", "220 250 235 550 503 503" },
	{ make_rcpt, RCPT, "a.rcpt:bob", "220 250 235 250 550 554" },
	{ make_data, DATA, "a.data", "220 250 235 250 250 550" },
	{ make_end, END, "a.end", "220 250 235 250 250 354 550" },
};

START_TEST(adapters)
{
	struct probe a = probe_of('a'), b = probe_of('b');
	struct smtp_middleware m;

	ck_assert_int_eq(adapter_rows[_i].make(&m, NULL), SMTP_EINVAL);
	ck_assert_int_eq(adapter_rows[_i].make(&m, &a), 0);
	for (int refuse = 0; refuse < 2; refuse++) {
		const char *text = EHLO PLAIN ENVELOPE "DATA\r\n";
		struct smtp_server_session *s;
		char got[1100];
		size_t taken = 0;

		a.code[adapter_rows[_i].phase] = refuse ? (_i == 0 ? 554 : 550) : 0;
		s = session_behind(&m, NULL, &b);
		ck_assert_int_eq(smtp_server_session_feed(s, text, strlen(text), now, &taken), 0);
		(void)snprintf(got, sizeof got, "%s", codes(output(s)));
		if (strstr(got, "354")) {
			(void)strncat(got, " ", sizeof got - strlen(got) - 1);
			(void)strncat(got, told(s, "x\r\n.\r\n"), sizeof got - strlen(got) - 1);
		}
		ck_assert_str_eq(got, refuse ? adapter_rows[_i].refused :
					       "220 250 235 250 250 354 250");
		ck_assert_msg(strstr(events, adapter_rows[_i].event) != NULL, "%s", events);
		smtp_server_session_free(s);
	}
	smtp_middleware_release(&m);
}
END_TEST

#define add_rows(tc, test, table)                                                                   \
	tcase_add_loop_test(tc, test, 0, (int)(sizeof(table) / sizeof *(table)))

int main(void)
{
	Suite *s = suite_create("middleware");
	TCase *tc = tcase_create("all");

	add_rows(tc, requires, require_rows);
	tcase_add_test(tc, requires_in_words);
	tcase_add_loop_test(tc, no_open_relay, 0, 3);
	tcase_add_test(tc, rate_in_time);
	add_rows(tc, rate_at_places, place_rows);
	add_rows(tc, rate_bad_options, bad_rates);
	tcase_add_test(tc, options_of_other_versions);
	tcase_add_test(tc, rate_defaults);
	add_rows(tc, connections, connection_rows);
	tcase_add_test(tc, connection_bad_options);
	add_rows(tc, domains_fold, fold_rows);
	add_rows(tc, recipients, domain_rows);
	tcase_add_loop_test(tc, accounts_relay, 0, 2);
	add_rows(tc, domain_bad_options, bad_domains);
	tcase_add_test(tc, no_domains);
	add_rows(tc, received, received_rows);
	tcase_add_test(tc, received_bad_arguments);
	add_rows(tc, adapters, adapter_rows);
	suite_add_tcase(s, tc);
	return tests_run(s);
}
