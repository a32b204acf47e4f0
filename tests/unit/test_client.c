/* SPDX-License-Identifier: ISC */
/* The blocking client, and with it the connection that drives a client session, against scripted
 * servers: set-up, TLS, login, results of recipients, several addresses, failures in words.
 */
#include "tests/unit/testing.h"

#include <smtp/client.h>
#include <stdio.h>

#include "libsmtp/net/client_conn.h"
#include "tests/unit/certificate.h"
#include "tests/unit/scripted_server.h"

#define HELLO "S 220 hi\nC EHLO \nS 250-hi\n"
#define PLAIN_HELLO HELLO "S 250 PIPELINING\n"
#define BYE "C QUIT\nS 221 bye\n"

static struct certificate_files files;

static void make_certificate(void)
{
	certificate_make(&files, "DNS:localhost,IP:127.0.0.1", NULL);
}

static void remove_certificate(void)
{
	certificate_remove(&files);
}

/* A transaction of some recipients; its content comes from a text. */
struct mail {
	struct smtp_path from, to[4];
	struct smtp_client_transaction txn;
	const char *content;
	size_t at;
};

static int read_content(void *user, uint8_t *out, size_t cap, size_t *n)
{
	struct mail *m = user;

	*n = strlen(m->content + m->at);
	*n = *n < cap ? *n : cap;
	memcpy(out, m->content + m->at, *n);
	m->at += *n;
	return 0;
}

static void set_path(struct smtp_path *path, const char *address)
{
	ck_assert_int_eq(smtp_mailbox_parse(&path->mailbox, smtp_span_of(address), 0), 0);
}

static void mail_init(struct mail *m, size_t recipients, const char *content)
{
	memset(m, 0, sizeof *m);
	m->content = content;
	set_path(&m->from, "a@from.test");
	for (size_t i = 0; i < recipients; i++) {
		char address[] = "b0@to.test";

		address[1] = (char)('0' + i);
		set_path(&m->to[i], address);
	}
	m->txn = (struct smtp_client_transaction)SMTP_CLIENT_TRANSACTION_INIT;
	m->txn.reverse_path = &m->from;
	m->txn.forward_paths = m->to;
	m->txn.forward_path_count = recipients;
	m->txn.content.read = read_content;
	m->txn.content.user = m;
}

static char *url_of(const struct scripted_server *server, const char *scheme, const char *host)
{
	static char url[256];

	snprintf(url, sizeof url, "%s://%s:%u", scheme, host, scripted_server_port(server));
	return url;
}

static struct smtp_client_options some_options(void)
{
	struct smtp_client_options options = SMTP_CLIENT_OPTIONS_INIT;

	options.helo_name = "client.test";
	options.ca_file = files.certificate[0] != '\0' ? files.certificate : NULL;
	return options;
}

static void expect_end(struct scripted_server *server)
{
	const char *problem = scripted_server_end(server);

	ck_assert_msg(problem[0] == '\0', "server: %s", problem);
	scripted_server_free(server);
}

/* --- sending --- */

static const struct {
	const char *name, *script;
	size_t recipients;
	int err;
	const char *results; /* "CODE step+" or "CODE step-" for each recipient */
} send_rows[] = {
	{ "one", PLAIN_HELLO "C MAIL FROM:<a@from.test>\nC RCPT TO:<b0@to.test>\nC DATA\n"
		 "S 250 ok\nS 250 ok\nS 354 go\nD\nS 250 2.0.0 queued\n" BYE,
	  1, 0, "250 end of data+;" },
	{ "without pipelining", HELLO "S 250 SIZE\nC MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\n"
		 "S 354 go\nD\nS 250 ok\n" BYE, 1, 0, "250 end of data+;" },
	{ "HELO only", "S 220 hi\nC EHLO\nS 502 no\nC HELO client.test\nS 250 hi\nC MAIL\nS 250 ok\n"
		 "C RCPT\nS 250 ok\nC DATA\nS 354 go\nD\nS 250 ok\n" BYE,
	  1, 0, "250 end of data+;" },
	{ "some refused", PLAIN_HELLO "C MAIL\nC RCPT\nC RCPT\nC RCPT\nC DATA\nS 250 ok\n"
		 "S 550 5.1.1 no\nS 250 ok\nS 451 4.2.0 later\nS 354 go\nD\nS 250 ok\n" BYE,
	  3, 0, "550 RCPT-;250 end of data+;451 RCPT-;" },
	{ "all refused", PLAIN_HELLO "C MAIL\nC RCPT\nC RCPT\nC DATA\nS 250 ok\nS 550 no\nS 551 no\n"
		 "S 503 none\nC RSET\nS 250 ok\n" BYE, 2, 0, "550 RCPT-;551 RCPT-;" },
	{ "refused at the end", PLAIN_HELLO "C MAIL\nC RCPT\nC RCPT\nC DATA\nS 250 ok\nS 250 ok\n"
		 "S 550 no\nS 354 go\nD\nS 552 5.3.4 too large\n" BYE,
	  2, 0, "552 end of data-;550 RCPT-;" },
	{ "sender refused", PLAIN_HELLO "C MAIL\nC RCPT\nC DATA\nS 550 5.7.1 no\nS 503 no\nS 503 no\n"
		 BYE, 1, 0, "550 MAIL-;" },
	{ "closed behind the answer", PLAIN_HELLO "C MAIL\nC RCPT\nC DATA\nS 250 ok\nS 250 ok\n"
		 "S 354 go\nD\nS 250 ok", 1, 0, "250 end of data+;" },
	{ "cut after the dot", PLAIN_HELLO "C MAIL\nC RCPT\nC RCPT\nC DATA\nS 250 ok\nS 250 ok\n"
		 "S 550 no\nS 354 go\nD", 2, SMTP_ECLOSED, "0 end of data-;550 RCPT-;" },
	{ "421 in between", PLAIN_HELLO "C MAIL\nC RCPT\nC DATA\nS 250 ok\nS 421 4.3.2 going down",
	  1, SMTP_EREFUSED, "421 RCPT-;" },
};

static void describe_results(const struct smtp_client_result *results, size_t count, char *out,
			     size_t cap)
{
	size_t used = 0;

	for (size_t i = 0; i < count; i++)
		used += (size_t)snprintf(out + used, cap - used, "%u %s%c;", results[i].reply.code,
					 smtp_client_step_str(results[i].step),
					 results[i].accepted ? '+' : '-');
}

START_TEST(sending)
{
	const char *const scripts[] = { send_rows[_i].script, NULL };
	struct scripted_server *server = scripted_server_start(scripts, NULL, NULL);
	struct smtp_client_options options = some_options();
	struct smtp_client_result results[4];
	struct smtp_client *client = NULL;
	struct mail m;
	char text[512] = "";
	int err;

	mail_init(&m, send_rows[_i].recipients, "Subject: x\n\n.dot\nlast");
	err = smtp_client_connect(&client, url_of(server, "smtp", "127.0.0.1"), &options);
	ck_assert_msg(err == 0, "%s", smtp_client_problem(client));
	ck_assert_str_eq(smtp_client_tls_description(client), "");
	ck_assert_uint_eq(smtp_client_greeting(client).code, 220);
	err = smtp_client_send(client, &m.txn, results);
	ck_assert_msg(err == send_rows[_i].err, "%s: %d %s", send_rows[_i].name, err,
		      smtp_client_problem(client));
	ck_assert_int_eq(err != 0, smtp_client_problem(client)[0] != '\0');
	describe_results(results, send_rows[_i].recipients, text, sizeof text);
	ck_assert_msg(strcmp(text, send_rows[_i].results) == 0, "%s: %s", send_rows[_i].name, text);
	smtp_client_free(client);
	ck_assert_str_eq(scripted_server_end(server), "");
	if (strchr(text, '+'))
		ck_assert_str_eq(scripted_server_content(server),
				 "Subject: x\r\n\r\n..dot\r\nlast\r\n");
	expect_end(server);
}
END_TEST

START_TEST(large_content)
{
	enum { LINES = 20000 };
	static char content[LINES * 50 + 1], wire[LINES * 51 + 1];
	const char *const scripts[] = { PLAIN_HELLO "C MAIL\nC RCPT\nC DATA\nS 250 ok\nS 250 ok\n"
					"S 354 go\nD\nS 250 ok\n" BYE, NULL };
	struct scripted_server *server = scripted_server_start(scripts, NULL, NULL);
	struct smtp_client_options options = some_options();
	struct smtp_client_result result;
	struct smtp_client *client = NULL;
	struct mail m;

	for (int i = 0; i < LINES; i++) {
		snprintf(content + i * 50, 51, "%049d\n", i);
		snprintf(wire + i * 51, 52, "%049d\r\n", i);
	}
	mail_init(&m, 1, content);
	ck_assert_int_eq(smtp_client_connect(&client, url_of(server, "smtp", "127.0.0.1"),
					     &options), 0);
	ck_assert_int_eq(smtp_client_send(client, &m.txn, &result), 0);
	ck_assert(result.accepted);
	smtp_client_free(client);
	ck_assert_str_eq(scripted_server_end(server), "");
	ck_assert(strcmp(scripted_server_content(server), wire) == 0);
	expect_end(server);
}
END_TEST

START_TEST(several_calls)
{
	const char *const scripts[] = { PLAIN_HELLO
		"C VRFY bob\nS 252-one\nS 252 two\nC EXPN list\nS 550 no\nC HELP\nS 214 help\n"
		"C HELP MAIL\nS 214 mail\nC NOOP\nS 250 ok\n"
		"C MAIL\nC RCPT\nC DATA\nS 250 ok\nS 250 ok\nS 354 go\nD\nS 250 first\n"
		"C MAIL\nC RCPT\nC DATA\nS 250 ok\nS 250 ok\nS 354 go\nD\nS 250 second\n" BYE, NULL };
	struct scripted_server *server = scripted_server_start(scripts, NULL, NULL);
	struct smtp_client_options options = some_options();
	struct smtp_client_result result;
	struct smtp_client *c = NULL;
	struct smtp_reply reply;
	struct mail m;

	ck_assert_int_eq(smtp_client_connect(&c, url_of(server, "smtp", "127.0.0.1"), &options), 0);
	ck_assert(smtp_client_extensions(c)->pipelining);
	ck_assert_int_eq(smtp_client_verify(c, "bob", &reply), 0);
	ck_assert_uint_eq(reply.code, 252);
	ck_assert_uint_eq(reply.text.n, 7);
	ck_assert_mem_eq(reply.text.p, "one\ntwo", 7);
	ck_assert_int_eq(smtp_client_expand(c, "list", &reply), 0);
	ck_assert_uint_eq(reply.code, 550);
	ck_assert_int_eq(smtp_client_help(c, NULL, &reply), 0);
	ck_assert_int_eq(smtp_client_help(c, "MAIL", &reply), 0);
	ck_assert_int_eq(smtp_client_command(c, "NOO\rP", &reply), SMTP_EINVAL);
	ck_assert_str_ne(smtp_client_problem(c), "");
	ck_assert_int_eq(smtp_client_command(c, "NOOP", &reply), 0);
	ck_assert_uint_eq(smtp_client_last_reply(c).code, 250);
	for (int i = 0; i < 2; i++) {
		mail_init(&m, 1, "x\n");
		ck_assert_int_eq(smtp_client_send(c, &m.txn, &result), 0);
		ck_assert(result.accepted);
	}
	ck_assert_mem_eq(result.reply.text.p, "second", 6);
	smtp_client_free(c);
	expect_end(server);
}
END_TEST

START_TEST(call_after_the_end)
{
	const char *const scripts[] = { PLAIN_HELLO "C QUIT\nS 221 bye\n", NULL };
	struct scripted_server *server = scripted_server_start(scripts, NULL, NULL);
	struct smtp_client_options options = some_options();
	struct smtp_client *c = NULL;
	struct smtp_reply reply;

	ck_assert_int_eq(smtp_client_connect(&c, url_of(server, "smtp", "127.0.0.1"), &options), 0);
	ck_assert_int_eq(smtp_client_command(c, "QUIT", &reply), 0);
	ck_assert_uint_eq(reply.code, 221);
	ck_assert_int_eq(smtp_client_command(c, "NOOP", &reply), SMTP_ECLOSED);
	ck_assert_ptr_nonnull(strstr(smtp_client_problem(c), "the connection is over"));
	smtp_client_free(c);
	expect_end(server);
}
END_TEST

/* --- setting up --- */

#define TLS_HELLO HELLO "S 250 STARTTLS\nC STARTTLS\nS 220 go\nT\n"
#define AFTER_TLS "C EHLO\nS 250-hi\nS 250 AUTH PLAIN LOGIN\n"

static const struct {
	const char *name, *scheme, *host, *user;
	bool insecure, no_trust;
	int err;
	const char *problem; /* part of it */
	bool tls;
	const char *scripts[3];
} connect_rows[] = {
	{ "smtp", "smtp", "127.0.0.1", NULL, false, false, 0, "", false, { PLAIN_HELLO BYE } },
	{ "by name", "smtp", "localhost", NULL, false, false, 0, "", false, { PLAIN_HELLO BYE } },
	{ "smtps", "smtps", "127.0.0.1", NULL, false, false, 0, "", true,
	  { "T\n" PLAIN_HELLO BYE } },
	{ "smtps, name", "smtps", "localhost", NULL, false, false, 0, "", true,
	  { "T\n" PLAIN_HELLO BYE } },
	{ "starttls", "smtp+starttls", "localhost", NULL, false, false, 0, "", true,
	  { TLS_HELLO AFTER_TLS BYE } },
	{ "smtp upgrades", "smtp", "localhost", NULL, false, true, 0, "", true,
	  { TLS_HELLO AFTER_TLS BYE } },
	{ "untrusted", "smtps", "localhost", NULL, false, true, SMTP_ETLS,
	  "certificate", false, { "T\n" } },
	{ "untrusted, insecure", "smtps", "localhost", NULL, true, true, 0, "", true,
	  { "T\n" PLAIN_HELLO BYE } },
	{ "wrong name", "smtps", "127.1", NULL, false, false, SMTP_ETLS, "mismatch", false,
	  { "T\n" } },
	{ "untrusted starttls", "smtp+starttls", "localhost", NULL, false, true, SMTP_ETLS,
	  "certificate", false, { TLS_HELLO } },
	{ "starttls not offered", "smtp+starttls", "localhost", NULL, false, false, SMTP_ETLS,
	  "the server does not offer STARTTLS", false, { PLAIN_HELLO "C QUIT\n" } },
	{ "opportunistic fails, in clear again", "smtp", "127.0.0.1", NULL, false, false, 0, "",
	  false, { HELLO "S 250 STARTTLS\nC STARTTLS\nS 220 go\nH\nS no TLS at all\n",
		   PLAIN_HELLO BYE } },
	{ "not with a user", "smtp", "127.0.0.1", "bob", false, false, SMTP_ETLS, "", false,
	  { HELLO "S 250 STARTTLS\nC STARTTLS\nS 220 go\nH\nS no TLS at all\n" } },
	{ "user, certificate checked", "smtp", "localhost", "bob", false, true, SMTP_ETLS,
	  "certificate", false, { TLS_HELLO } },
	{ "login", "smtp+starttls", "localhost", "bob", false, false, 0, "", true,
	  { TLS_HELLO AFTER_TLS "C AUTH PLAIN AGJvYgBzM2NyZXQ=\nS 235 2.7.0 ok\n" BYE } },
	{ "login refused", "smtps", "localhost", "bob", false, false, SMTP_EAUTH,
	  "AUTH was answered 535 5.7.8 no?", true,
	  { "T\nS 220 hi\n" AFTER_TLS "C AUTH PLAIN\nS 535 5.7.8 no\a\nC QUIT\n" } },
	{ "login in clear", "smtp", "127.0.0.1", "bob", false, false, SMTP_ETLS,
	  "no password is sent without TLS", false, { HELLO "S 250 AUTH PLAIN\nC QUIT\n" } },
	{ "no AUTH", "smtps", "localhost", "bob", false, false, SMTP_ENOTSUP, "log in", true,
	  { "T\n" PLAIN_HELLO "C QUIT\n" } },
	{ "greeting refuses", "smtp", "127.0.0.1", NULL, false, false, SMTP_EREFUSED,
	  "greeting was answered 554 5.3.2 not here", false, { "S 554 5.3.2 not here\nC QUIT\n" } },
	{ "not SMTP", "smtp", "127.0.0.1", NULL, false, false, SMTP_EPROTO,
	  "the greeting is not that of an SMTP server", false, { "S SSH-2.0-x\n" } },
	{ "closes at once", "smtp", "127.0.0.1", NULL, false, false, SMTP_ECLOSED,
	  "the connection was closed (at greeting)", false, { "" } },
	{ "TLS to a plain server", "smtps", "127.0.0.1", NULL, false, false, SMTP_ETLS, "", false,
	  { "S 220 hi\nW\n" } },
};

START_TEST(connecting)
{
	struct scripted_server *server = scripted_server_start(connect_rows[_i].scripts,
							       files.certificate, files.key);
	struct smtp_client_options options = some_options();
	struct smtp_client *c = NULL;
	const char *problem;
	int err;

	options.user = connect_rows[_i].user;
	options.password = "s3cret";
	options.insecure = connect_rows[_i].insecure;
	if (connect_rows[_i].no_trust)
		options.ca_file = NULL;
	err = smtp_client_connect(&c, url_of(server, connect_rows[_i].scheme,
					     connect_rows[_i].host), &options);
	problem = smtp_client_problem(c);
	ck_assert_msg(err == connect_rows[_i].err, "%s: %d %s", connect_rows[_i].name, err, problem);
	ck_assert_msg(strstr(problem, connect_rows[_i].problem), "%s: %s", connect_rows[_i].name,
		      problem);
	ck_assert_int_eq(err != 0, problem[0] != '\0');
	if (err)
		ck_assert_msg(strncmp(problem, connect_rows[_i].host,
				      strlen(connect_rows[_i].host)) == 0, "%s", problem);
	ck_assert_msg((strncmp(smtp_client_tls_description(c), "TLSv1.", 6) == 0) ==
		      connect_rows[_i].tls, "%s: %s", connect_rows[_i].name,
		      smtp_client_tls_description(c));
	smtp_client_free(c);
	expect_end(server);
}
END_TEST

static const struct {
	const char *url;
	int err;
	const char *problem;
} url_rows[] = {
	{ "http://example.org", SMTP_ENOTSUP, "http://example.org: " },
	{ "smtp://", SMTP_ESYNTAX, "smtp://: " },
	{ "lmtp+unix:/run/none/lmtp", SMTP_ECONNECT, "/run/none/lmtp: no such file or directory" },
	{ "mx://bob@example.org", SMTP_ESYNTAX, "mx:// takes no user" },
	{ "smtp://bob@127.0.0.1", SMTP_EINVAL, "the user bob needs a password" },
	{ "smtp://127.0.0.1:1", SMTP_ECONNECT, "127.0.0.1:1: connection refused" },
	{ "smtp://[::1]:1", SMTP_ECONNECT, "[::1]:1: " },
	{ "smtp://name.invalid", SMTP_ERESOLVE, "name.invalid:25: " },
};

START_TEST(wrong_url)
{
	struct smtp_client_options options = SMTP_CLIENT_OPTIONS_INIT;
	struct smtp_client *c = NULL;
	int err = smtp_client_connect(&c, url_rows[_i].url, &options);

	ck_assert_ptr_nonnull(c);
	ck_assert_msg(err == url_rows[_i].err, "%s: %d %s", url_rows[_i].url, err,
		      smtp_client_problem(c));
	ck_assert_msg(strstr(smtp_client_problem(c), url_rows[_i].problem), "%s",
		      smtp_client_problem(c));
	smtp_client_free(c);
}
END_TEST

START_TEST(whole_call_has_a_deadline)
{
	const char *const scripts[] = { "W\n", NULL };
	struct scripted_server *server = scripted_server_start(scripts, NULL, NULL);
	struct smtp_client_options options = some_options();
	struct smtp_client *c = NULL;

	options.timeout_ms = 200;
	ck_assert_int_eq(smtp_client_connect(&c, url_of(server, "smtp", "127.0.0.1"), &options),
			 SMTP_ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(smtp_client_problem(c), "not done after 200 ms"));
	smtp_client_free(c);
	expect_end(server);
}
END_TEST

START_TEST(default_name)
{
	const char *const scripts[] = { PLAIN_HELLO BYE, NULL };
	struct scripted_server *server = scripted_server_start(scripts, NULL, NULL);
	struct smtp_client *c = NULL;

	ck_assert_int_eq(smtp_client_connect(&c, url_of(server, "smtp", "127.0.0.1"), NULL), 0);
	ck_assert_ptr_nonnull(strstr(smtp_client_peer(c), "127.0.0.1:"));
	smtp_client_free(c);
	expect_end(server);
}
END_TEST

/* --- several addresses --- */

struct attempt {
	struct smtp_loop *loop;
	struct smtp_client_conn *conn;
	bool ready;
	int error;
	unsigned code;
	char problem[SMTP_TLS_PROBLEM_MAX];
	char peer[SMTP_SOCKET_ADDRESS_TEXT_MAX];
};

static void attempt_ready(struct smtp_client_session *s, void *user)
{
	struct attempt *a = user;

	a->ready = true;
	smtp_client_session_quit(s);
}

static void attempt_end(struct attempt *a)
{
	snprintf(a->problem, sizeof a->problem, "%s", smtp_client_conn_problem(a->conn));
	snprintf(a->peer, sizeof a->peer, "%s", smtp_client_conn_peer(a->conn));
	smtp_client_conn_free(a->conn); /* from within an event */
	a->conn = NULL;
	smtp_loop_stop(a->loop);
}

static void attempt_failed(struct smtp_client_session *s, int error, enum smtp_client_step step,
			   const struct smtp_reply *reply, void *user)
{
	struct attempt *a = user;

	(void)s;
	(void)step;
	a->error = error;
	a->code = reply ? reply->code : 0;
	attempt_end(a);
}

static void attempt_finished(struct smtp_client_session *s, void *user)
{
	(void)s;
	attempt_end(user);
}

static const struct smtp_client_session_handler attempt_events = {
	.size = sizeof attempt_events,
	.ready = attempt_ready,
	.failed = attempt_failed,
	.finished = attempt_finished,
};

/* Scripts for each address, "" is a port that nobody listens on. */
static const struct {
	const char *name, *scripts[3];
	int error;
	unsigned code;
	size_t peer; /* which address it was in the end */
} address_rows[] = {
	{ "first", { PLAIN_HELLO BYE, NULL, NULL }, 0, 0, 0 },
	{ "second, first refused", { "", PLAIN_HELLO BYE, NULL }, 0, 0, 1 },
	{ "third, greeting refuses", { "", "S 554 no\nC QUIT\n", PLAIN_HELLO BYE }, 0, 0, 2 },
	{ "EHLO refused", { "S 220 x\nC EHLO\nS 421 no\n", PLAIN_HELLO BYE, NULL }, 0, 0, 1 },
	{ "none listens", { "", "", NULL }, SMTP_ECONNECT, 0, 1 },
	{ "all refuse for good", { "S 554 no\nC QUIT\n", "S 521 no\nC QUIT\n", NULL },
	  SMTP_EREFUSED, 521, 1 },
	{ "one is only away", { "", "S 554 no\nC QUIT\n", NULL }, SMTP_ECONNECT, 0, 0 },
	{ "later refusal is transient", { "S 554 no\nC QUIT\n", "S 450 no\nC QUIT\n", NULL },
	  SMTP_EREFUSED, 450, 1 },
	{ "earlier refusal is transient", { "S 450 no\nC QUIT\n", "S 554 no\nC QUIT\n", NULL },
	  SMTP_EREFUSED, 450, 0 },
};

START_TEST(addresses)
{
	struct smtp_client_conn_options o = { .connect_timeout_ms = 5000 };
	struct smtp_socket_address list[3];
	struct scripted_server *servers[3] = { NULL };
	const char *scripts[3][2] = { { NULL } };
	char peer[SMTP_SOCKET_ADDRESS_TEXT_MAX];
	struct attempt a = { .error = 0 };

	for (size_t i = 0; i < 3 && address_rows[_i].scripts[i]; i++) {
		const char *script = address_rows[_i].scripts[i];
		uint16_t port = 1;

		if (script[0] != '\0') {
			scripts[i][0] = script;
			servers[i] = scripted_server_start(scripts[i], NULL, NULL);
			port = scripted_server_port(servers[i]);
		}
		ck_assert(smtp_socket_address_parse(&list[i], "127.0.0.1"));
		smtp_socket_address_set_port(&list[i], port);
		o.address_count++;
	}
	o.addresses = list;
	smtp_client_session_options_init(&o.session);
	o.session.helo_name = "client.test";
	ck_assert_int_eq(smtp_loop_new(&a.loop), 0);
	ck_assert_int_eq(smtp_client_conn_new(&a.conn, a.loop, &o, &attempt_events, &a), 0);
	ck_assert_int_eq(smtp_loop_run(a.loop), 0);
	ck_assert_msg(a.error == address_rows[_i].error, "%s: %d %s", address_rows[_i].name,
		      a.error, a.problem);
	ck_assert_uint_eq(a.code, address_rows[_i].code);
	ck_assert_int_eq(a.ready, a.error == 0);
	ck_assert_int_eq(a.error != 0, a.problem[0] != '\0');
	smtp_socket_address_format(&list[address_rows[_i].peer], peer);
	ck_assert_str_eq(a.peer, peer);
	smtp_loop_free(a.loop);
	for (size_t i = 0; i < 3; i++)
		if (servers[i])
			expect_end(servers[i]);
}
END_TEST

/* --- the trace --- */

static void trace(bool from_server, struct smtp_span line, void *user)
{
	char *out = user;
	size_t n = strlen(out);

	snprintf(out + n, 2048 - n, "%c %.*s\n", from_server ? '<' : '>', (int)line.n,
		 (const char *)line.p);
}

START_TEST(trace_hides_secrets)
{
	const char *const scripts[] = { "T\nS 220 hi\nC EHLO\nS 250-hi\nS 250 AUTH LOGIN\n"
					"C AUTH LOGIN\nS 334 VXNlcm5hbWU6\nC Ym9i\n"
					"S 334 UGFzc3dvcmQ6\nC czNjcmV0\nS 235 ok\n" BYE, NULL };
	struct scripted_server *server = scripted_server_start(scripts, files.certificate,
							       files.key);
	struct smtp_client_options options = some_options();
	struct smtp_client *c = NULL;
	char text[2048] = "";

	options.user = "bob";
	options.password = "s3cret";
	options.trace = trace;
	options.trace_user = text;
	ck_assert_int_eq(smtp_client_connect(&c, url_of(server, "smtps", "localhost"), &options), 0);
	smtp_client_free(c);
	expect_end(server);
	ck_assert_ptr_nonnull(strstr(text, "< 220 hi\n> EHLO client.test\n"));
	ck_assert_ptr_nonnull(strstr(text, "***"));
	ck_assert_ptr_null(strstr(text, "czNjcmV0"));
	ck_assert_ptr_nonnull(strstr(text, "> QUIT\n"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client");
	TCase *plain = tcase_create("plain"), *tls = tcase_create("tls");

	tcase_set_timeout(plain, 30);
	tcase_add_loop_test(plain, sending, 0, ROWS(send_rows));
	tcase_add_test(plain, large_content);
	tcase_add_test(plain, several_calls);
	tcase_add_test(plain, call_after_the_end);
	tcase_add_loop_test(plain, wrong_url, 0, ROWS(url_rows));
	tcase_add_test(plain, whole_call_has_a_deadline);
	tcase_add_test(plain, default_name);
	tcase_add_loop_test(plain, addresses, 0, ROWS(address_rows));
	suite_add_tcase(suite, plain);
	tcase_set_timeout(tls, 30);
	tcase_add_unchecked_fixture(tls, make_certificate, remove_certificate);
	tcase_add_loop_test(tls, connecting, 0, ROWS(connect_rows));
	tcase_add_test(tls, trace_hides_secrets);
	suite_add_tcase(suite, tls);
	return tests_run(suite);
}
