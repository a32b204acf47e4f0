/* SPDX-License-Identifier: ISC */
/* The recorder: over real sockets, plain, with STARTTLS and with TLS, LMTP; its rules, its helpers; and as
 * middleware before another server.
 */
#include <smtp/recorder.h>
#include <smtp/server.h>

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/testing.h"

enum { WAIT_MS = 20000 };

static struct smtp_recorder *recorder(const struct smtp_recorder_options *options)
{
	struct smtp_recorder *r = NULL;

	ck_assert_int_eq(smtp_recorder_new(&r, options), 0);
	ck_assert_msg(smtp_recorder_start(r) == 0, "%s", smtp_recorder_problem(r));
	return r;
}

static void send_to(struct smtp_recorder *r, const char *to, int expected)
{
	int err = smtp_recorder_send(r, "alice@a.example", to, "Subject: x\r\n\r\n.dot\r\n");

	ck_assert_msg(err == expected, "%s: %d %s", to, err, smtp_recorder_problem(r));
}

static const char *trace_of(struct smtp_recorder *r)
{
	static char text[65536];

	ck_assert_uint_lt(smtp_recorder_trace(r, text, sizeof text), sizeof text);
	return text;
}

static int connect_to(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_ge(fd, 0);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

static bool has_ipv6(void)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	bool has = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;

	if (fd >= 0)
		(void)close(fd);
	return has;
}

/* --- what it keeps ---------------------------------------------------------------------------- */

static const struct {
	enum smtp_recorder_tls tls;
	const char *address;
	const char *scheme, *host, *protocol;
} server_rows[] = {
	{ SMTP_RECORDER_PLAIN, NULL, "smtp://127.0.0.1:", "127.0.0.1", "ESMTP" },
	{ SMTP_RECORDER_STARTTLS, NULL, "smtp+starttls://127.0.0.1:", "127.0.0.1", "ESMTPS" },
	{ SMTP_RECORDER_TLS, NULL, "smtps://127.0.0.1:", "127.0.0.1", "ESMTPS" },
	{ SMTP_RECORDER_PLAIN, "127.0.0.3:0", "smtp://127.0.0.3:", "127.0.0.3", "ESMTP" },
	{ SMTP_RECORDER_TLS, "[::1]:0", "smtps://[::1]:", "::1", "ESMTPS" },
};

START_TEST(keeps_a_message)
{
	struct smtp_recorder_options options;
	const struct smtp_recorded_message *m;
	struct smtp_recorder *r = NULL;
	bool tls = server_rows[_i].tls != SMTP_RECORDER_PLAIN;

	smtp_recorder_options_init(&options);
	options.tls = server_rows[_i].tls;
	options.address = server_rows[_i].address;
	ck_assert_int_eq(smtp_recorder_new(&r, &options), 0);
	ck_assert_uint_eq(smtp_recorder_port(r), 0);
	ck_assert((strstr(smtp_recorder_ca_pem(r), "BEGIN CERTIFICATE") != NULL) == tls);
	if (server_rows[_i].address && strchr(server_rows[_i].address, '[') && !has_ipv6()) {
		smtp_recorder_free(r);
		return;
	}
	ck_assert_msg(smtp_recorder_start(r) == 0, "%s", smtp_recorder_problem(r));
	ck_assert_int_eq(smtp_recorder_start(r), SMTP_ESTATE);
	ck_assert_str_eq(smtp_recorder_host(r), server_rows[_i].host);
	ck_assert_uint_ne(smtp_recorder_port(r), 0);
	ck_assert_int_eq(strncmp(smtp_recorder_url(r), server_rows[_i].scheme,
				 strlen(server_rows[_i].scheme)), 0);
	send_to(r, "bob@b.example", 0);
	ck_assert_int_eq(smtp_recorder_wait(r, 1, WAIT_MS), 0);
	m = smtp_recorder_message(r, 0);
	ck_assert_str_eq(m->reverse_path.mailbox.local_part, "alice");
	ck_assert_uint_eq(m->forward_path_count, 1);
	ck_assert_str_eq(m->forward_paths[0].mailbox.domain, "b.example");
	ck_assert_int_eq(strncmp(m->mail_command, "MAIL FROM:<alice@a.example>", 27), 0);
	ck_assert_str_eq(m->rcpt_commands[0], "RCPT TO:<bob@b.example>");
	ck_assert_uint_eq(m->content.n, 20);
	ck_assert_mem_eq(m->content.p, "Subject: x\r\n\r\n.dot\r\n", 20);
	ck_assert_str_eq(m->helo_name, "client.test");
	ck_assert_str_eq(m->protocol, server_rows[_i].protocol);
	ck_assert(tls == (strncmp(m->tls, "TLSv1.", 6) == 0));
	ck_assert_str_eq(m->account, "");
	ck_assert_str_eq(m->peer_address, strchr(server_rows[_i].host, ':') ? "::1" : "127.0.0.1");
	ck_assert_uint_ne(m->peer_port, 0);
	ck_assert_ptr_null(smtp_recorder_message(r, 1));
	smtp_recorder_free(r);
}
END_TEST

static bool exists(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

START_TEST(removes_its_certificate)
{
	struct smtp_recorder_options options;
	struct smtp_recorder *r = NULL;
	char path[4096];

	smtp_recorder_options_init(&options);
	options.tls = SMTP_RECORDER_TLS;
	ck_assert_int_eq(smtp_recorder_new(&r, &options), 0);
	(void)snprintf(path, sizeof path, "%s", smtp_recorder_ca_file(r));
	ck_assert(exists(path));
	smtp_recorder_free(r);
	ck_assert(!exists(path));
}
END_TEST

START_TEST(another_certificate)
{
	struct smtp_recorder_options options;
	struct smtp_recorder *first = NULL, *r;
	char key[4096];

	smtp_recorder_options_init(&options);
	options.tls = SMTP_RECORDER_STARTTLS;
	ck_assert_int_eq(smtp_recorder_new(&first, &options), 0);
	options.certificate_file = smtp_recorder_ca_file(first);
	ck_assert_int_eq(smtp_recorder_new(&r, &options), SMTP_EINVAL); /* no key */
	(void)snprintf(key, sizeof key, "%.*skey.pem",
		       (int)(strrchr(options.certificate_file, '/') - options.certificate_file + 1),
		       options.certificate_file);
	options.key_file = key;
	r = recorder(&options);
	ck_assert_str_eq(smtp_recorder_ca_pem(r), smtp_recorder_ca_pem(first));
	send_to(r, "bob@b.example", 0);
	smtp_recorder_free(r);
	ck_assert(exists(key));
	smtp_recorder_free(first);
}
END_TEST

START_TEST(certificate_that_is_not_there)
{
	struct smtp_recorder_options options;
	struct smtp_recorder *r = NULL;

	smtp_recorder_options_init(&options);
	options.tls = SMTP_RECORDER_TLS;
	options.certificate_file = "/nonexistent/certificate.pem";
	options.key_file = "/nonexistent/key.pem";
	ck_assert_int_eq(smtp_recorder_new(&r, &options), SMTP_EIO);
	ck_assert_ptr_null(r);
}
END_TEST

START_TEST(login)
{
	struct smtp_recorder_options options;
	struct smtp_recorder *r;
	struct smtp_client *client = NULL;
	struct smtp_client_options wrong = SMTP_CLIENT_OPTIONS_INIT;

	smtp_recorder_options_init(&options);
	options.user = "alice";
	options.password = "s3cret-word";
	r = recorder(&options);
	send_to(r, "bob@b.example", 0);
	ck_assert_str_eq(smtp_recorder_message(r, 0)->account, "alice");
	ck_assert_ptr_null(strstr(trace_of(r), "s3cret"));
	wrong.user = "alice";
	wrong.password = "other";
	wrong.auth_without_tls = true;
	ck_assert_int_eq(smtp_client_connect(&client, smtp_recorder_url(r), &wrong), SMTP_EAUTH);
	ck_assert_uint_eq(smtp_client_last_reply(client).code, 535);
	smtp_client_free(client);
	smtp_recorder_free(r);
}
END_TEST

START_TEST(trace_and_reset)
{
	struct smtp_recorder *r = recorder(NULL);
	char small[8];

	send_to(r, "bob@b.example", 0);
	ck_assert_ptr_nonnull(strstr(trace_of(r), "C: RCPT TO:<bob@b.example>\nS: 250 "));
	ck_assert_uint_gt(smtp_recorder_trace(r, small, sizeof small), 100);
	ck_assert_str_eq(small, "S: 220 ");
	ck_assert_uint_gt(smtp_recorder_trace(r, NULL, 0), 100);
	smtp_recorder_reset(r);
	ck_assert_uint_eq(smtp_recorder_count(r), 0);
	send_to(r, "eve@b.example", 0);
	ck_assert_str_eq(smtp_recorder_message(r, 0)->forward_paths[0].mailbox.local_part, "eve");
	ck_assert_ptr_null(strstr(trace_of(r), "bob"));
	ck_assert_int_eq(smtp_recorder_wait(r, 2, 1), SMTP_ETIMEDOUT);
	smtp_recorder_free(r);
}
END_TEST

START_TEST(no_more_than)
{
	struct smtp_recorder_options options;
	struct smtp_recorder *r;

	smtp_recorder_options_init(&options);
	options.max_messages = 1;
	r = recorder(&options);
	send_to(r, "bob@b.example", 0);
	send_to(r, "bob@b.example", SMTP_EREFUSED);
	ck_assert_int_eq(strncmp(smtp_recorder_problem(r), "452 ", 4), 0);
	ck_assert_uint_eq(smtp_recorder_count(r), 1);
	smtp_recorder_free(r);
}
END_TEST

/* --- rules ------------------------------------------------------------------------------------ */

static void rule(struct smtp_recorder *r, enum smtp_recorder_phase phase, unsigned code,
		 uint32_t skip, uint32_t times, const char *address)
{
	struct smtp_recorder_rule rule = SMTP_RECORDER_RULE_INIT;

	rule.phase = phase;
	rule.code = code;
	rule.enhanced = code >= 400 ? (code >= 500 ? "5.7.1" : "4.7.1") : NULL;
	rule.text = "by a rule";
	rule.skip = skip;
	rule.times = times;
	rule.address = address;
	ck_assert_int_eq(smtp_recorder_add_rule(r, &rule), 0);
}

static const struct {
	enum smtp_recorder_phase phase;
	unsigned code;
	int err;
	const char *problem; /* how it begins; NULL: in any way */
} refusal_rows[] = {
	{ SMTP_RECORDER_CONNECT, 554, SMTP_EREFUSED, NULL },
	{ SMTP_RECORDER_HELO, 550, 0, "" }, /* the client goes on with HELO */
	{ SMTP_RECORDER_MAIL, 451, SMTP_EREFUSED, "451 by a rule" },
	{ SMTP_RECORDER_RCPT, 550, SMTP_EREFUSED, "550 by a rule" },
	{ SMTP_RECORDER_DATA, 554, SMTP_EREFUSED, "554 by a rule" },
	{ SMTP_RECORDER_CONTENT, 552, SMTP_EREFUSED, "552 by a rule" },
	{ SMTP_RECORDER_END, 452, SMTP_EREFUSED, "452 by a rule" },
	{ SMTP_RECORDER_RCPT, 421, SMTP_EREFUSED, NULL },
	{ SMTP_RECORDER_MAIL, 250, 0, "" },
	{ SMTP_RECORDER_END, 252, 0, "" },
};

START_TEST(answers_as_told)
{
	struct smtp_recorder *r = recorder(NULL);
	const char *begin = refusal_rows[_i].problem;
	char line[32];
	int err;

	rule(r, refusal_rows[_i].phase, refusal_rows[_i].code, 0, 1, NULL);
	err = smtp_recorder_send(r, "alice@a.example", "bob@b.example", "x\r\n");
	ck_assert_msg(err == refusal_rows[_i].err, "%d %s", err, smtp_recorder_problem(r));
	ck_assert(!begin || strncmp(smtp_recorder_problem(r), begin, strlen(begin)) == 0);
	(void)snprintf(line, sizeof line, "S: %u ", refusal_rows[_i].code);
	ck_assert_msg(strstr(trace_of(r), line) != NULL, "%s", trace_of(r));
	ck_assert_uint_eq(smtp_recorder_count(r), err ? 0 : 1);
	send_to(r, "bob@b.example", 0); /* it was for once */
	smtp_recorder_free(r);
}
END_TEST

START_TEST(rules_count)
{
	struct smtp_recorder *r = recorder(NULL);

	rule(r, SMTP_RECORDER_RCPT, 450, 1, 2, NULL);
	rule(r, SMTP_RECORDER_RCPT, 550, 0, 0, "eve@b.example");
	send_to(r, "bob@b.example", 0);
	send_to(r, "bob@b.example", SMTP_EREFUSED);
	send_to(r, "eve@b.example", SMTP_EREFUSED);
	ck_assert_int_eq(strncmp(smtp_recorder_problem(r), "450", 3), 0);
	send_to(r, "eve@b.example", SMTP_EREFUSED);
	ck_assert_int_eq(strncmp(smtp_recorder_problem(r), "550", 3), 0);
	send_to(r, "bob@b.example", 0);
	send_to(r, "eve@b.example", SMTP_EREFUSED);
	smtp_recorder_reset(r);
	send_to(r, "eve@b.example", 0);
	smtp_recorder_free(r);
}
END_TEST

static const enum smtp_recorder_phase cut_rows[] = {
	SMTP_RECORDER_CONNECT, SMTP_RECORDER_HELO, SMTP_RECORDER_MAIL, SMTP_RECORDER_RCPT,
	SMTP_RECORDER_DATA,    SMTP_RECORDER_CONTENT, SMTP_RECORDER_END,
};

START_TEST(cuts)
{
	struct smtp_recorder *r = recorder(NULL);
	struct smtp_recorder_rule cut = SMTP_RECORDER_RULE_INIT;
	int err;

	cut.phase = cut_rows[_i];
	cut.cut = true;
	cut.times = 1;
	cut.delay_ms = _i % 2 ? 20 : 0;
	ck_assert_int_eq(smtp_recorder_add_rule(r, &cut), 0);
	err = smtp_recorder_send(r, "alice@a.example", "bob@b.example", "x\r\n");
	ck_assert_msg(err == SMTP_ECLOSED || err == SMTP_EIO, "%d %s", err,
		      smtp_recorder_problem(r));
	ck_assert_uint_eq(smtp_recorder_count(r), 0);
	send_to(r, "bob@b.example", 0);
	smtp_recorder_free(r);
}
END_TEST

static char large[300001];

START_TEST(cuts_within_content)
{
	struct smtp_recorder *r = recorder(NULL);
	struct smtp_recorder_rule cut = SMTP_RECORDER_RULE_INIT;
	int err;

	cut.phase = SMTP_RECORDER_CONTENT;
	cut.cut = true;
	cut.after_bytes = 200000;
	ck_assert_int_eq(smtp_recorder_add_rule(r, &cut), 0);
	for (size_t i = 0; i < sizeof large - 1; i++)
		large[i] = i % 50 == 48 ? '\r' : i % 50 == 49 ? '\n' : 'x';
	err = smtp_recorder_send(r, "a@b.example", "c@d.example", large + 150000);
	ck_assert_msg(err == 0, "%d %s", err, smtp_recorder_problem(r));
	err = smtp_recorder_send(r, "a@b.example", "c@d.example", large);
	ck_assert_msg(err == SMTP_ECLOSED || err == SMTP_EIO, "%d", err);
	ck_assert_uint_eq(smtp_recorder_count(r), 1);
	ck_assert_uint_eq(smtp_recorder_message(r, 0)->content.n, 150000);
	smtp_recorder_free(r);
}
END_TEST

START_TEST(delays)
{
	struct smtp_recorder *r = recorder(NULL);
	struct smtp_recorder_rule wait = SMTP_RECORDER_RULE_INIT;
	struct timespec begin, end;

	wait.phase = SMTP_RECORDER_CONTENT;
	wait.delay_ms = 100;
	ck_assert_int_eq(smtp_recorder_add_rule(r, &wait), 0);
	(void)clock_gettime(CLOCK_MONOTONIC, &begin);
	send_to(r, "bob@b.example", 0);
	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	ck_assert_int_ge((end.tv_sec - begin.tv_sec) * 1000 +
				 (end.tv_nsec - begin.tv_nsec) / 1000000, 99);
	smtp_recorder_free(r);
}
END_TEST

static void *send_one(void *user)
{
	int err = smtp_recorder_send(user, "a@b.example", "c@d.example", "x\r\n");

	ck_assert_int_ne(err, 0);
	return NULL;
}

/* A delay of an hour does not hold up the end. */
START_TEST(stop_ends_delays)
{
	struct smtp_recorder *r = recorder(NULL);
	struct smtp_recorder_rule wait = SMTP_RECORDER_RULE_INIT;
	pthread_t thread;

	wait.phase = SMTP_RECORDER_END;
	wait.delay_ms = 3600000;
	wait.code = 451;
	ck_assert_int_eq(smtp_recorder_add_rule(r, &wait), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, send_one, r), 0);
	while (!strstr(trace_of(r), "C: BDAT"))
		(void)usleep(1000);
	ck_assert_int_eq(smtp_recorder_stop(r, 10000), 0);
	ck_assert_int_eq(smtp_recorder_stop(r, 10000), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_uint_eq(smtp_recorder_count(r), 0);
	smtp_recorder_free(r);
}
END_TEST

static const struct smtp_recorder_rule bad_rules[] = {
	{ .size = sizeof *bad_rules, .phase = (enum smtp_recorder_phase)8 },
	{ .size = sizeof *bad_rules, .code = 354 },
	{ .size = sizeof *bad_rules, .code = 99 },
	{ .size = sizeof *bad_rules, .code = 600 },
	{ .size = sizeof *bad_rules, .phase = SMTP_RECORDER_CONTENT, .code = 250 },
	{ .size = 2 },
};

START_TEST(rules_that_cannot_be)
{
	struct smtp_recorder *r = NULL;

	ck_assert_int_eq(smtp_recorder_new(&r, NULL), 0);
	ck_assert_int_eq(smtp_recorder_add_rule(r, &bad_rules[_i]), SMTP_EINVAL);
	smtp_recorder_free(r);
}
END_TEST

/* --- LMTP ------------------------------------------------------------------------------------- */

/* Says all of it at once to the recorder, reads to the end. */
static void converse(struct smtp_recorder *r, const char *text, char *out, size_t cap)
{
	int fd = connect_to(smtp_recorder_port(r));
	size_t n = 0;
	ssize_t got;

	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	while (n < cap - 1 && (got = read(fd, out + n, cap - 1 - n)) > 0)
		n += (size_t)got;
	out[n] = '\0';
	(void)close(fd);
}

START_TEST(lmtp)
{
	struct smtp_recorder_options options;
	struct smtp_recorder *r;
	char out[4096];

	smtp_recorder_options_init(&options);
	options.session.lmtp = true;
	r = recorder(&options);
	ck_assert_int_eq(strncmp(smtp_recorder_url(r), "lmtp://127.0.0.1:", 17), 0);
	rule(r, SMTP_RECORDER_END, 450, 0, 0, "eve@b.example");
	converse(r, "LHLO c.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<bob@b.example>\r\n"
		    "RCPT TO:<eve@b.example>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n", out, sizeof out);
	ck_assert_msg(strstr(out, "\r\n250 2") && strstr(out, "\r\n450 4.7.1 by a rule\r\n221 "), "%s",
		      out);
	ck_assert_uint_eq(smtp_recorder_count(r), 1);
	ck_assert_uint_eq(smtp_recorder_message(r, 0)->forward_path_count, 2);
	ck_assert_str_eq(smtp_recorder_message(r, 0)->protocol, "LMTP");
	smtp_recorder_reset(r);
	send_to(r, "bob@b.example", 0);
	ck_assert_uint_eq(smtp_recorder_count(r), 1);
	smtp_recorder_free(r);
}
END_TEST

/* --- helpers ---------------------------------------------------------------------------------- */

static const struct {
	const char *line;
	unsigned code;
	int err;
} command_rows[] = {
	{ "NOOP", 250, 0 },
	{ "NOOP", 251, SMTP_EREFUSED },
	{ "MAIL FROM:<a@b.example>", 250, 0 },
	{ "RCPT TO:<a@b.example>", 503, 0 },
	{ "XYZZY", 500, 0 },
	{ "no\nverb", 250, SMTP_EINVAL },
};

START_TEST(commands)
{
	struct smtp_recorder *r = recorder(NULL);
	int err = smtp_recorder_command(r, command_rows[_i].line, command_rows[_i].code);

	ck_assert_msg(err == command_rows[_i].err, "%d %s", err, smtp_recorder_problem(r));
	smtp_recorder_free(r);
}
END_TEST

START_TEST(arguments)
{
	struct smtp_recorder_options options;
	struct smtp_recorder *r = NULL, *other = NULL;
	char address[64];

	smtp_recorder_options_init(&options);
	options.user = "alice"; /* without a password */
	ck_assert_int_eq(smtp_recorder_new(&r, &options), SMTP_EINVAL);
	smtp_recorder_options_init(&options);
	options.size = 4;
	ck_assert_int_eq(smtp_recorder_new(&r, &options), SMTP_EINVAL);
	smtp_recorder_options_init(&options);
	options.address = "localhost:0";
	ck_assert_int_eq(smtp_recorder_new(&r, &options), 0);
	ck_assert_int_eq(smtp_recorder_start(r), SMTP_EINVAL);
	ck_assert_str_eq(smtp_recorder_problem(r), "localhost:0: no IP address and port");
	smtp_recorder_free(r);
	r = recorder(NULL);
	ck_assert_int_eq(smtp_recorder_send(r, "nobody", "a@b.example", ""), SMTP_EINVAL);
	(void)snprintf(address, sizeof address, "127.0.0.1:%u", smtp_recorder_port(r));
	options.address = address;
	ck_assert_int_eq(smtp_recorder_new(&other, &options), 0);
	ck_assert_int_eq(smtp_recorder_start(other), SMTP_EBUSY);
	ck_assert_str_ne(smtp_recorder_problem(other), "");
	smtp_recorder_free(other);
	smtp_recorder_free(r);
	smtp_recorder_free(NULL);
}
END_TEST

/* --- several at once -------------------------------------------------------------------------- */

enum { SENDERS = 8, EACH = 10 };

static void *send_many(void *user)
{
	struct smtp_client_options options = SMTP_CLIENT_OPTIONS_INIT;
	struct smtp_client *client = NULL;

	options.helo_name = "many.test";
	ck_assert_int_eq(smtp_client_connect(&client, smtp_recorder_url(user), &options), 0);
	for (int i = 0; i < EACH; i++) {
		struct smtp_reply reply;

		ck_assert_int_eq(smtp_client_command(client, "MAIL FROM:<>", &reply), 0);
		ck_assert_int_eq(smtp_client_command(client, "RSET", &reply), 0);
		(void)smtp_recorder_count(user);
	}
	smtp_client_free(client);
	return NULL;
}

START_TEST(threads)
{
	struct smtp_recorder *r = recorder(NULL);
	pthread_t ids[SENDERS];

	for (int i = 0; i < SENDERS; i++)
		ck_assert_int_eq(pthread_create(&ids[i], NULL, send_many, r), 0);
	for (int i = 0; i < SENDERS; i++) {
		send_to(r, "bob@b.example", 0);
		ck_assert_int_eq(pthread_join(ids[i], NULL), 0);
	}
	ck_assert_int_eq(smtp_recorder_wait(r, SENDERS, WAIT_MS), 0);
	smtp_recorder_free(r);
}
END_TEST

/* --- as middleware ---------------------------------------------------------------------------- */

static void *run_server(void *user)
{
	ck_assert_int_eq(smtp_server_run(user), 0);
	return NULL;
}

static enum smtp_verdict only_bob(struct smtp_server_session *s, const struct smtp_rcpt_request *request,
				  void *user)
{
	struct smtp_reply reply = smtp_reply_of(550, "5.1.1", "not bob");

	(void)user;
	if (strcmp(request->forward_path->mailbox.local_part, "bob") == 0)
		return SMTP_ACCEPT;
	return smtp_server_session_reply(s, &reply) == 0 ? SMTP_REPLIED : SMTP_ACCEPT;
}

START_TEST(before_another_server)
{
	static const struct smtp_server_session_handler handler = { .size = sizeof handler,
								    .rcpt = only_bob };
	struct smtp_listener_options listener = SMTP_LISTENER_OPTIONS_INIT;
	struct smtp_recorder *r = NULL;
	struct smtp_middleware m;
	struct smtp_server *server = NULL;
	const struct smtp_recorded_message *message;
	uint16_t port = 0;
	pthread_t thread;
	int fd;
	char out[4096];
	ssize_t n;

	ck_assert_int_eq(smtp_recorder_new(&r, NULL), 0);
	m = smtp_recorder_middleware(r);
	ck_assert_int_eq(smtp_server_new(&server, NULL), 0);
	ck_assert_int_eq(smtp_server_use(server, &m), 0);
	listener.address = "127.0.0.1:0";
	listener.session.hostname = "mx.example.org";
	listener.handler = &handler;
	ck_assert_int_eq(smtp_server_listen(server, &listener, &port), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, run_server, server), 0);
	fd = connect_to(port);
	ck_assert_int_gt(dprintf(fd, "EHLO c.example\r\nMAIL FROM:<a@a.example>\r\n"
				     "RCPT TO:<eve@b.example>\r\nRCPT TO:<bob@b.example>\r\n"
				     "RCPT TO:<mallory@b.example>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n"), 0);
	while ((n = read(fd, out, sizeof out)) > 0)
		;
	(void)close(fd);
	ck_assert_int_eq(smtp_recorder_wait(r, 1, WAIT_MS), 0);
	message = smtp_recorder_message(r, 0);
	ck_assert_uint_eq(message->forward_path_count, 1);
	ck_assert_str_eq(message->rcpt_commands[0], "RCPT TO:<bob@b.example>");
	smtp_server_shutdown(server, 1000);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	smtp_server_free(server);
	smtp_recorder_free(r);
}
END_TEST

/* In a session that has no server, a cut is an end after the answer. */
START_TEST(cuts_without_a_server)
{
	struct smtp_server_session_options options = SMTP_SERVER_SESSION_OPTIONS_INIT;
	struct smtp_recorder_rule cut = SMTP_RECORDER_RULE_INIT;
	struct smtp_server_session *s = NULL;
	struct smtp_recorder *r = NULL;
	struct smtp_middleware m;
	size_t taken = 0;

	ck_assert_int_eq(smtp_recorder_new(&r, NULL), 0);
	cut.phase = SMTP_RECORDER_HELO;
	cut.cut = true;
	ck_assert_int_eq(smtp_recorder_add_rule(r, &cut), 0);
	m = smtp_recorder_middleware(r);
	m.blocking = false;
	options.hostname = "mx.example.org";
	ck_assert_int_eq(smtp_server_session_new(&s, &options, NULL, NULL), 0);
	ck_assert_int_eq(smtp_server_session_use(s, &m), 0);
	ck_assert_int_eq(smtp_server_session_start(s, 1), 0);
	ck_assert_int_eq(smtp_server_session_feed(s, "EHLO c.example\r\n", 16, 2, &taken), 0);
	ck_assert_uint_ne(smtp_server_session_wants(s) & SMTP_WANTS_CLOSE, 0);
	smtp_server_session_free(s);
	smtp_recorder_free(r);
}
END_TEST

START_TEST(behind_middleware)
{
	static const char *const domains[] = { "example.org", NULL };
	struct smtp_recipient_domains_options options = SMTP_RECIPIENT_DOMAINS_OPTIONS_INIT;
	struct smtp_recorder *r = NULL;
	struct smtp_middleware m;

	ck_assert_int_eq(smtp_recorder_new(&r, NULL), 0);
	options.domains = domains;
	ck_assert_int_eq(smtp_middleware_recipient_domains(&m, &options), 0);
	ck_assert_int_eq(smtp_recorder_use(r, &m), 0);
	ck_assert_int_eq(smtp_middleware_received(&m, "mx.example.org"), 0);
	ck_assert_int_eq(smtp_recorder_use(r, &m), 0);
	ck_assert_int_eq(smtp_recorder_start(r), 0);
	ck_assert_int_eq(smtp_middleware_received(&m, "mx.example.org"), 0);
	send_to(r, "bob@example.net", SMTP_EREFUSED);
	send_to(r, "bob@example.org", 0);
	ck_assert_int_eq(strncmp((const char *)smtp_recorder_message(r, 0)->fields.p,
				 "Received: from client.test ([127.0.0.1])\r\n", 42), 0);
	ck_assert_int_eq(smtp_recorder_stop(r, 1000), 0);
	ck_assert_int_eq(smtp_recorder_use(r, &m), SMTP_ECLOSED);
	smtp_middleware_release(&m);
	smtp_recorder_free(r);
}
END_TEST

#define add_rows(tc, test, table)                                                                  \
	tcase_add_loop_test(tc, test, 0, (int)(sizeof(table) / sizeof *(table)))

int main(void)
{
	Suite *s = suite_create("recorder");
	TCase *tc = tcase_create("all");

	add_rows(tc, keeps_a_message, server_rows);
	tcase_add_test(tc, removes_its_certificate);
	tcase_add_test(tc, another_certificate);
	tcase_add_test(tc, certificate_that_is_not_there);
	tcase_add_test(tc, login);
	tcase_add_test(tc, trace_and_reset);
	tcase_add_test(tc, no_more_than);
	add_rows(tc, answers_as_told, refusal_rows);
	tcase_add_test(tc, rules_count);
	add_rows(tc, cuts, cut_rows);
	tcase_add_test(tc, cuts_within_content);
	tcase_add_test(tc, delays);
	tcase_add_test(tc, stop_ends_delays);
	add_rows(tc, rules_that_cannot_be, bad_rules);
	tcase_add_test(tc, lmtp);
	add_rows(tc, commands, command_rows);
	tcase_add_test(tc, arguments);
	tcase_add_test(tc, threads);
	tcase_add_test(tc, before_another_server);
	tcase_add_test(tc, cuts_without_a_server);
	tcase_add_test(tc, behind_middleware);
	suite_add_tcase(s, tc);
	return tests_run(s);
}
