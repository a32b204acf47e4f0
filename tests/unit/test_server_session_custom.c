/* SPDX-License-Identifier: ISC */
/* Verbs of custom extensions, and who is at the other end: what the driver says, and XCLIENT where a
 * transcript can't show it.
 */
#include "tests/unit/server_probe.h"

#include "libsmtp/core/span.h"

/* --- verbs ------------------------------------------------------------------------------------ */

static const char *const verbs[] = { "XPING", "xecho", NULL };
static const struct smtp_custom_extension own = { .size = sizeof(own), .keyword = "X-OWN",
						  .verbs = verbs };
static const struct smtp_custom_extension *const customs[] = { &own };

static char asked[256];

static enum smtp_verdict on_command(struct smtp_server_session *s,
				    const struct smtp_command_request *request, void *user)
{
	struct smtp_reply reply = smtp_reply_of(250, "2.0.0", "");
	size_t n = strlen(asked);

	snprintf(asked + n, sizeof(asked) - n, "%s(%.*s)", request->verb, (int)request->argument.n,
		 (const char *)request->argument.p);
	if (smtp_span_is(request->argument, "later"))
		return SMTP_PENDING;
	if (strcmp(request->verb, "XPING") == 0)
		return user && smtp_span_is(request->argument, "next") ? SMTP_NEXT : SMTP_ACCEPT;
	if (smtp_span_is(request->argument, "refuse"))
		reply = smtp_reply_of(550, "5.7.1", "no");
	else
		reply.text = request->argument;
	ck_assert_int_eq(smtp_server_session_reply(s, &reply), 0);
	return SMTP_REPLIED;
}

static const struct smtp_server_session_handler with_command = { .size = sizeof(with_command),
								 .command = on_command };
static const struct smtp_server_session_handler without_command = { .size = sizeof(size_t) };

static struct smtp_server_session *
session_of(const struct smtp_server_session_handler *handler, bool require_auth)
{
	struct smtp_server_session_options options = options_of_tests();
	struct smtp_server_session *s = NULL;

	options.custom_extensions = customs;
	options.custom_extension_count = 1;
	options.require_auth = require_auth;
	asked[0] = '\0';
	ck_assert_int_eq(smtp_server_session_new(&s, &options, handler, &asked), 0);
	ck_assert_int_eq(smtp_server_session_start(s, 1000), 0);
	return s;
}

START_TEST(verbs_run)
{
	struct smtp_server_session *s = session_of(&with_command, false);

	say(s, "XPING\r\n", "220 503");
	ck_assert_str_eq(asked, "");
	say(s, EHLO, "250");
	say(s, "xping\r\nXPING  a  b \r\nXECHO refuse\r\nXECHOO\r\n", "250 250 550 500");
	ck_assert_str_eq(asked, "XPING()XPING(a  b)xecho(refuse)");
	(void)feed(s, "XEcho \xc3\xb6 there\r\n");
	ck_assert_str_eq(output(s), "250 2.0.0 \xc3\xb6 there\r\n");
	say(s, "XPING a\tb\r\n", "501");
	say(s, "MAIL FROM:<a@x.example>\r\nXPING\r\nRSET\r\n", "250 250 250");
	smtp_server_session_free(s);
}
END_TEST

START_TEST(verbs_wait)
{
	struct smtp_server_session *s = session_of(&with_command, false);

	say(s, EHLO, "220 250");
	ck_assert_uint_eq(feed(s, "XECHO later\r\nNOOP\r\n"), strlen("XECHO later\r\n"));
	answer(s, 451);
	ck_assert_str_eq(codes(output(s)), "451");
	say(s, "NOOP\r\n", "250");
	smtp_server_session_free(s);
}
END_TEST

START_TEST(verbs_that_nobody_runs)
{
	struct smtp_server_session *s = session_of(&without_command, false);

	say(s, EHLO "XPING\r\n", "220 250 502");
	smtp_server_session_free(s);
	s = session_of(&with_command, false);
	say(s, EHLO "XPING next\r\n", "220 250 502");
	smtp_server_session_free(s);
}
END_TEST

START_TEST(verbs_need_what_mail_needs)
{
	struct smtp_server_session *s = session_of(&with_command, true);

	say(s, EHLO "XPING\r\n", "220 250 530");
	ck_assert_str_eq(asked, "");
	(void)feed(s, "HELP\r\n");
	ck_assert_ptr_null(strstr(output(s), "XPING"));
	smtp_server_session_free(s);
	s = session_of(&with_command, false);
	say(s, EHLO, "220 250");
	(void)feed(s, "HELP\r\n");
	ck_assert_ptr_nonnull(strstr(output(s), "STARTTLS XPING xecho\r\n"));
	smtp_server_session_free(s);
}
END_TEST

static const char *const built_in[] = { "mail", NULL };
static const char *const xclient[] = { "XCLIENT", NULL };
static const char *const digits[] = { "X1", NULL };
static const char *const twice[] = { "XA", "xa", NULL };

static const struct {
	const char *name;
	const char *const *verbs;
	int err;
} verb_rows[] = {
	{ "good", verbs, 0 },
	{ "built in", built_in, SMTP_EINVAL },
	{ "built in, and off", xclient, SMTP_EINVAL },
	{ "not of letters", digits, SMTP_EINVAL },
	{ "twice", twice, SMTP_EINVAL },
};

START_TEST(names_of_verbs)
{
	const struct smtp_custom_extension e = { .size = sizeof(e), .verbs = verb_rows[_i].verbs };
	const struct smtp_custom_extension *const list[] = { &e };
	struct smtp_server_session_options options = options_of_tests();
	struct smtp_server_session *s = NULL;

	options.custom_extensions = list;
	options.custom_extension_count = 1;
	ck_assert_msg(smtp_server_session_new(&s, &options, NULL, NULL) == verb_rows[_i].err, "%s",
		      verb_rows[_i].name);
	smtp_server_session_free(s);
}
END_TEST

/* --- the peer --------------------------------------------------------------------------------- */

START_TEST(peers)
{
	struct smtp_server_session *s = session_with(NULL, NULL);
	char name[300];

	ck_assert_str_eq(smtp_server_session_peer_address(s), "");
	ck_assert_uint_eq(smtp_server_session_peer_port(s), 0);
	ck_assert_str_eq(smtp_server_session_peer_name(s), "");
	ck_assert_int_eq(smtp_server_session_set_peer(s, "::ffff:192.0.2.1", 4711), 0);
	ck_assert_int_eq(smtp_server_session_set_local(s, "2001:DB8::0:1", 25), 0);
	ck_assert_int_eq(smtp_server_session_set_peer(s, "192.0.2.0/24", 1), SMTP_EINVAL);
	ck_assert_int_eq(smtp_server_session_set_peer(s, "host.example", 1), SMTP_EINVAL);
	ck_assert_int_eq(smtp_server_session_set_local(s, NULL, 1), SMTP_EINVAL);
	ck_assert_str_eq(smtp_server_session_peer_address(s), "192.0.2.1");
	ck_assert_uint_eq(smtp_server_session_peer_port(s), 4711);
	ck_assert_str_eq(smtp_server_session_local_address(s), "2001:db8::1");
	ck_assert_uint_eq(smtp_server_session_local_port(s), 25);
	ck_assert_int_eq(smtp_server_session_set_peer_name(s, "a\r\nb\xff"), 0);
	ck_assert_str_eq(smtp_server_session_peer_name(s), "a??b?");
	memset(name, 'a', sizeof(name));
	name[256] = '\0';
	ck_assert_int_eq(smtp_server_session_set_peer_name(s, name), SMTP_ETOOLONG);
	ck_assert_str_eq(smtp_server_session_peer_name(s), "a??b?");
	name[255] = '\0';
	ck_assert_int_eq(smtp_server_session_set_peer_name(s, name), 0);
	ck_assert_int_eq(smtp_server_session_set_peer_name(s, NULL), 0);
	ck_assert_str_eq(smtp_server_session_peer_name(s), "");
	ck_assert_int_eq(smtp_server_session_start(s, 1000), 0);
	ck_assert_int_eq(smtp_server_session_set_peer(s, "192.0.2.1", 1), SMTP_ESTATE);
	ck_assert_int_eq(smtp_server_session_set_local(s, "192.0.2.1", 1), SMTP_ESTATE);
	ck_assert_int_eq(smtp_server_session_set_peer_name(s, "a.example"), 0);
	smtp_server_session_free(s);
}
END_TEST

/* Refuses one address at connect, so that it is the client of XCLIENT that is turned away. */
static unsigned connects, disconnects;

static enum smtp_verdict judge_peer(struct smtp_server_session *s, void *user)
{
	struct smtp_reply no = smtp_reply_of(554, NULL, "not you");

	(void)user;
	connects++;
	if (strcmp(smtp_server_session_peer_address(s), "192.0.2.66") != 0)
		return SMTP_ACCEPT;
	ck_assert_int_eq(smtp_server_session_reply(s, &no), 0);
	return SMTP_REPLIED;
}

static void count_disconnect(struct smtp_server_session *s, enum smtp_disconnect_reason reason,
			     void *user)
{
	(void)s;
	(void)reason;
	(void)user;
	disconnects++;
}

START_TEST(xclient_of_a_refused_client)
{
	static const struct smtp_server_session_handler judge = {
		.size = sizeof(judge), .connect = judge_peer, .disconnect = count_disconnect };
	struct smtp_server_session_options options = options_of_tests();
	struct smtp_network trusted;
	struct smtp_server_session *s = NULL;

	ck_assert_int_eq(smtp_network_parse(&trusted, "10.0.0.0/8"), 0);
	options.xclient_networks = &trusted;
	options.xclient_network_count = 1;
	ck_assert_int_eq(smtp_server_session_new(&s, &options, &judge, NULL), 0);
	ck_assert_int_eq(smtp_server_session_set_peer(s, "10.1.2.3", 1), 0);
	ck_assert_int_eq(smtp_server_session_start(s, 1000), 0);
	say(s, EHLO "XCLIENT ADDR=192.0.2.65\r\n", "220 250 220");
	ck_assert_str_eq(smtp_server_session_helo_name(s), "");
	(void)feed(s, "XCLIENT ADDR=192.0.2.66\r\n");
	ck_assert_str_eq(output(s), "554 not you\r\n");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	smtp_server_session_free(s);
	ck_assert_uint_eq(connects, 3);
	ck_assert_uint_eq(disconnects, 1);
}
END_TEST

/* A peer without an address is in no network. */
START_TEST(xclient_over_a_unix_socket)
{
	struct smtp_server_session_options options = options_of_tests();
	struct smtp_network all;
	struct smtp_server_session *s = NULL;

	ck_assert_int_eq(smtp_network_parse(&all, "::/0"), 0);
	options.xclient_networks = &all;
	options.xclient_network_count = 1;
	ck_assert_int_eq(smtp_server_session_new(&s, &options, NULL, NULL), 0);
	ck_assert_int_eq(smtp_server_session_start(s, 1000), 0);
	say(s, "XCLIENT ADDR=192.0.2.1\r\n", "220 550");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	smtp_server_session_free(s);
	options.xclient_networks = NULL;
	ck_assert_int_eq(smtp_server_session_new(&s, &options, NULL, NULL), SMTP_EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("server_session_custom");
	TCase *tc = tcase_create("custom");

	tcase_add_test(tc, verbs_run);
	tcase_add_test(tc, verbs_wait);
	tcase_add_test(tc, verbs_that_nobody_runs);
	tcase_add_test(tc, verbs_need_what_mail_needs);
	tcase_add_loop_test(tc, names_of_verbs, 0, ROWS(verb_rows));
	tcase_add_test(tc, peers);
	tcase_add_test(tc, xclient_of_a_refused_client);
	tcase_add_test(tc, xclient_over_a_unix_socket);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
