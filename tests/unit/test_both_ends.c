/* SPDX-License-Identifier: ISC */
/* The blocking client against the recorder, that is our client against our server over real sockets: with
 * each set of extensions, kind of TLS and mechanism, content of every shape arrives as it was.
 */
#include <smtp/recorder.h>
#include <smtp/sasl.h>

#include <stdio.h>

#include "tests/unit/testing.h"

/* --- content ---------------------------------------------------------------------------------- */

static char long_line[5000], many_lines[61 * 5000 + 1];

static const struct {
	const char *sent, *arrives; /* NULL: as it was sent */
} contents[] = {
	{ "Subject: x\r\n\r\nhello\r\n", NULL },
	{ "", NULL },
	{ "\r\n", NULL },
	{ ".\r\n", NULL },
	{ "..\r\n.\r\n.x\r\n\r\n.\r\n", NULL },
	{ "no end of line", "no end of line\r\n" },
	{ "unix\nlines\n.\nend\n", "unix\r\nlines\r\n.\r\nend\r\n" },
	{ "QUIT\r\n.\r\nMAIL FROM:<a@b.example>\r\n", NULL },
	{ "a\r\n.\r\r\n", "a\r\n.\r\n\r\n" },
	{ "8 bit: gr\xc3\xbc\xc3\x9f\xff\r\n", NULL },
	{ long_line, NULL },
	{ many_lines, NULL },
};

static void make_contents(void)
{
	memset(long_line, 'y', sizeof long_line - 1);
	memcpy(long_line + sizeof long_line - 3, "\r\n", 3);
	for (size_t i = 0; i < sizeof many_lines - 1; i++)
		many_lines[i] = i % 61 == 59 ? '\r' : i % 61 == 60 ? '\n' : i % 61 == 0 ? '.' : 'z';
}

struct source {
	const char *rest;
	size_t step; /* at most so much at a time */
};

static int read_source(void *user, uint8_t *out, size_t cap, size_t *n)
{
	struct source *source = user;

	*n = strnlen(source->rest, cap < source->step ? cap : source->step);
	memcpy(out, source->rest, *n);
	source->rest += *n;
	return 0;
}

/* --- the matrix ------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	enum smtp_recorder_tls tls;
	unsigned without; /* extensions */
	bool lmtp;
} servers[] = {
	{ "everything", SMTP_RECORDER_PLAIN, 0, false },
	{ "STARTTLS", SMTP_RECORDER_STARTTLS, 0, false },
	{ "TLS", SMTP_RECORDER_TLS, 0, false },
	{ "no CHUNKING", SMTP_RECORDER_PLAIN, SMTP_SERVER_CHUNKING, false },
	{ "no PIPELINING", SMTP_RECORDER_PLAIN, SMTP_SERVER_PIPELINING, false },
	{ "neither", SMTP_RECORDER_TLS, SMTP_SERVER_CHUNKING | SMTP_SERVER_PIPELINING, false },
	{ "no SIZE", SMTP_RECORDER_PLAIN, SMTP_SERVER_SIZE | SMTP_SERVER_CHUNKING, false },
	{ "no 8BITMIME", SMTP_RECORDER_PLAIN, SMTP_SERVER_8BITMIME | SMTP_SERVER_BINARYMIME, false },
	{ "nothing", SMTP_RECORDER_PLAIN, ~0u, false },
	{ "LMTP", SMTP_RECORDER_PLAIN, 0, true },
	{ "LMTP, no CHUNKING", SMTP_RECORDER_PLAIN, SMTP_SERVER_CHUNKING, true },
};

static struct smtp_recorder *start(const struct smtp_recorder_options *options)
{
	struct smtp_recorder *r = NULL;

	ck_assert_int_eq(smtp_recorder_new(&r, options), 0);
	ck_assert_msg(smtp_recorder_start(r) == 0, "%s", smtp_recorder_problem(r));
	return r;
}

static void send_content(struct smtp_client *client, const char *content, size_t step)
{
	struct smtp_client_transaction txn = SMTP_CLIENT_TRANSACTION_INIT;
	struct smtp_client_result results[2] = { { .accepted = false } };
	struct source source = { content, step };
	struct smtp_path from = { 0 }, to[2] = { { { "bob", "b.example" } }, { { "x y", "b.example" } } };
	int err;

	txn.reverse_path = &from;
	txn.forward_paths = to;
	txn.forward_path_count = 2;
	txn.body = SMTP_BODY_8BITMIME;
	txn.content.read = read_source;
	txn.content.user = &source;
	err = smtp_client_send(client, &txn, results);
	ck_assert_msg(err == 0, "%s", smtp_client_problem(client));
	ck_assert(results[0].accepted && results[1].accepted);
}

START_TEST(content_arrives)
{
	struct smtp_recorder_options options;
	struct smtp_recorder *r;
	struct smtp_client *client;
	size_t count = sizeof contents / sizeof *contents;

	smtp_recorder_options_init(&options);
	options.tls = servers[_i].tls;
	options.session.lmtp = servers[_i].lmtp;
	options.session.extensions &= ~servers[_i].without;
	r = start(&options);
	ck_assert_msg(smtp_recorder_connect(r, &client) == 0, "%s", smtp_recorder_problem(r));
	for (size_t i = 0; i < count; i++)
		send_content(client, contents[i].sent, i % 2 ? 997 : 100000);
	ck_assert_int_eq(smtp_recorder_wait(r, count, 20000), 0);
	for (size_t i = 0; i < count; i++) {
		const struct smtp_recorded_message *m = smtp_recorder_message(r, i);
		const char *expected = contents[i].arrives ? contents[i].arrives : contents[i].sent;

		ck_assert_msg(m->content.n == strlen(expected) &&
				      (m->content.n == 0 ||
				       memcmp(m->content.p, expected, m->content.n) == 0),
			      "%s: content %zu: %.*s", servers[_i].name, i,
			      m->content.n < 80 ? (int)m->content.n : 80,
			      (const char *)m->content.p);
		ck_assert_uint_eq(m->forward_path_count, 2);
		ck_assert_str_eq(m->forward_paths[1].mailbox.local_part, "x y");
	}
	smtp_client_free(client);
	smtp_recorder_free(r);
}
END_TEST

/* --- logins ----------------------------------------------------------------------------------- */

static const struct {
	unsigned mechanism;
	enum smtp_recorder_tls tls;
	bool token;
} logins[] = {
	{ SMTP_MECHANISM_PLAIN, SMTP_RECORDER_TLS, false },
	{ SMTP_MECHANISM_LOGIN, SMTP_RECORDER_STARTTLS, false },
	{ SMTP_MECHANISM_CRAM_MD5, SMTP_RECORDER_PLAIN, false },
	{ SMTP_MECHANISM_SCRAM_SHA_256, SMTP_RECORDER_PLAIN, false },
	{ SMTP_MECHANISM_SCRAM_SHA_256_PLUS, SMTP_RECORDER_TLS, false },
	{ SMTP_MECHANISM_SCRAM_SHA_256_PLUS, SMTP_RECORDER_STARTTLS, false },
	{ SMTP_MECHANISM_XOAUTH2, SMTP_RECORDER_TLS, true },
	{ SMTP_MECHANISM_OAUTHBEARER, SMTP_RECORDER_TLS, true },
	{ 0, SMTP_RECORDER_TLS, false },
};

/* The n-th login, with the right secret and with a wrong one. */
static int log_in(struct smtp_recorder *r, int i, const char *secret, unsigned *code)
{
	struct smtp_client_options options = SMTP_CLIENT_OPTIONS_INIT;
	struct smtp_client *client = NULL;
	int err;

	options.helo_name = "client.test";
	options.user = "alice";
	options.mechanism = logins[i].mechanism;
	options.ca_file = smtp_recorder_ca_file(r)[0] ? smtp_recorder_ca_file(r) : NULL;
	if (logins[i].token)
		options.token = secret;
	else
		options.password = secret;
	err = smtp_client_connect(&client, smtp_recorder_url(r), &options);
	*code = smtp_client_last_reply(client).code;
	if (!err)
		send_content(client, "x\r\n", 100);
	smtp_client_free(client);
	return err;
}

START_TEST(login)
{
	struct smtp_recorder_options options;
	struct smtp_recorder *r;
	static char trace[65536];
	unsigned code = 0;
	const char *name = smtp_mechanism_name(logins[_i].mechanism);

	smtp_recorder_options_init(&options);
	options.tls = logins[_i].tls;
	options.user = "alice";
	options.password = "s3cret-word";
	r = start(&options);
	ck_assert_int_eq(log_in(r, _i, "s3cret-word", &code), 0);
	ck_assert_str_eq(smtp_recorder_message(r, 0)->account, "alice");
	ck_assert_int_eq(log_in(r, _i, "s3cret-wor", &code), SMTP_EAUTH);
	ck_assert_uint_eq(code, 535);
	ck_assert_uint_eq(smtp_recorder_count(r), 1);
	ck_assert_uint_lt(smtp_recorder_trace(r, trace, sizeof trace), sizeof trace);
	ck_assert_ptr_null(strstr(trace, "s3cret"));
	ck_assert(!name || strstr(trace, name) != NULL);
	ck_assert(name || strstr(trace, "AUTH SCRAM-SHA-256-PLUS") != NULL);
	smtp_recorder_free(r);
}
END_TEST

/* --- what goes wrong -------------------------------------------------------------------------- */

/* The certificate is looked at: another recorder's is not trusted. */
START_TEST(certificate_of_somebody_else)
{
	struct smtp_recorder_options options;
	struct smtp_client_options client_options = SMTP_CLIENT_OPTIONS_INIT;
	struct smtp_recorder *r, *other;
	struct smtp_client *client = NULL;

	smtp_recorder_options_init(&options);
	options.tls = _i ? SMTP_RECORDER_TLS : SMTP_RECORDER_STARTTLS;
	r = start(&options);
	other = start(&options);
	client_options.ca_file = smtp_recorder_ca_file(other);
	ck_assert_int_eq(smtp_client_connect(&client, smtp_recorder_url(r), &client_options),
			 SMTP_ETLS);
	smtp_client_free(client);
	smtp_recorder_free(other);
	smtp_recorder_free(r);
}
END_TEST

#define add_rows(tc, test, table)                                                                  \
	tcase_add_loop_test(tc, test, 0, (int)(sizeof(table) / sizeof *(table)))

int main(void)
{
	Suite *s = suite_create("both ends");
	TCase *tc = tcase_create("all");

	make_contents();
	add_rows(tc, content_arrives, servers);
	add_rows(tc, login, logins);
	tcase_add_loop_test(tc, certificate_of_somebody_else, 0, 2);
	suite_add_tcase(s, tc);
	return tests_run(s);
}
