/* SPDX-License-Identifier: ISC */
/* The blocking client: every way to connect, trust by certificate and by pinned key, content of every
 * kind, cancelling, STARTTLS on demand, LMTP. Plain sending and failures are in test_client.c.
 */
#include "tests/unit/testing.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <smtp/client.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsmtp/core/span.h"
#include "tests/unit/certificate.h"
#include "tests/unit/dns_responder.h"
#include "tests/unit/scripted_server.h"

#define HELLO "S 220 hi\nC EHLO\nS 250-hi\n"
#define PLAIN_HELLO HELLO "S 250 PIPELINING\n"
#define LMTP_HELLO "S 220 hi\nC LHLO\nS 250-hi\nS 250 PIPELINING\n"
#define TAKES_ONE "C MAIL FROM:<a@from.test>\nC RCPT TO:<b@to.test>\nC DATA\nS 250 ok\nS 250 ok\n" \
		  "S 354 go\nD\nS 250 2.0.0 queued\n"
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

static struct smtp_client_options some_options(void)
{
	struct smtp_client_options options = SMTP_CLIENT_OPTIONS_INIT;

	options.helo_name = "client.test";
	return options;
}

static struct smtp_client *new_client(const struct smtp_client_options *options)
{
	struct smtp_client *client = NULL;

	ck_assert_int_eq(smtp_client_new(&client, options), 0);
	return client;
}

static void expect_end(struct scripted_server *server)
{
	const char *problem = scripted_server_end(server);

	ck_assert_msg(problem[0] == '\0', "server: %s", problem);
	scripted_server_free(server);
}

static void expect(struct smtp_client *client, int err, int expected)
{
	ck_assert_msg(err == expected, "%d, not %d: %s", err, expected,
		      smtp_client_problem(client));
}

static const char *const to_one[] = { "b@to.test" };

static void send_hello(struct smtp_client *client)
{
	struct smtp_client_result result;

	expect(client, smtp_client_send_text(client, "a@from.test", to_one, 1, "Subject: x\n\n.\nx\n",
					     &result), 0);
	ck_assert(result.accepted);
	ck_assert_uint_eq(result.reply.code, 250);
}

/* --- ways to connect ------------------------------------------------------------------------- */

static int socket_to(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	return fd;
}

static int open_by_host(struct smtp_client *c, uint16_t port)
{
	return smtp_client_open_host(c, "127.0.0.1", port);
}

static int open_by_address(struct smtp_client *c, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	return smtp_client_open_address(c, (struct sockaddr *)&a, sizeof a);
}

static int open_by_fd(struct smtp_client *c, uint16_t port)
{
	return smtp_client_open_fd(c, socket_to(port));
}

static int open_by_url(struct smtp_client *c, uint16_t port)
{
	char url[64];

	snprintf(url, sizeof url, "smtp://127.0.0.1:%u", port);
	return smtp_client_open(c, url);
}

static int (*const ways[])(struct smtp_client *c, uint16_t port) = {
	open_by_host, open_by_address, open_by_fd, open_by_url,
};

/* Twice with one client: it can be opened again. */
START_TEST(way)
{
	const char *const scripts[] = { PLAIN_HELLO TAKES_ONE BYE, PLAIN_HELLO TAKES_ONE BYE, NULL };
	struct scripted_server *server = scripted_server_start(scripts, NULL, NULL);
	struct smtp_client_options options = some_options();
	struct smtp_client *client = new_client(&options);
	uint16_t port = scripted_server_port(server);

	for (int i = 0; i < 2; i++) {
		struct smtp_reply reply;

		expect(client, smtp_client_noop(client, NULL, &reply), SMTP_ECLOSED);
		expect(client, ways[_i](client, port), 0);
		ck_assert_ptr_nonnull(strstr(smtp_client_peer(client), "127.0.0.1:"));
		expect(client, smtp_client_open_host(client, "127.0.0.1", port), SMTP_ESTATE);
		send_hello(client);
		smtp_client_quit(client);
	}
	smtp_client_free(client);
	ck_assert_str_eq(scripted_server_end(server), "");
	ck_assert_str_eq(scripted_server_content(server), "Subject: x\r\n\r\n..\r\nx\r\n");
	expect_end(server);
}
END_TEST

START_TEST(lmtp_over_a_unix_socket)
{
	const char *const script = LMTP_HELLO
		"C MAIL FROM:<>\nC RCPT TO:<b@to.test>\nC RCPT TO:<c@to.test>\nC RCPT TO:<d@to.test>\n"
		"S 250 ok\nS 250 ok\nS 550 5.1.1 no\nS 250 ok\nC DATA\nS 354 go\nD\n"
		"S 250 2.1.5 b\nS 452 4.2.2 d\n" BYE;
	const char *const scripts[] = { script, script, NULL };
	const char *const to[] = { "b@to.test", "c@to.test", "d@to.test" };
	struct smtp_client_options options = some_options();
	struct smtp_client_result results[3];
	struct scripted_server *server;
	char path[TEST_PATH_MAX + 8], url[TEST_PATH_MAX + 32];
	struct smtp_client *client;

	snprintf(path, sizeof path, "%s/lmtp", files.directory);
	snprintf(url, sizeof url, "lmtp+unix:%s", path);
	server = scripted_server_start_unix(scripts, path);
	options.lmtp = true;
	client = new_client(&options);
	for (int i = 0; i < 2; i++) {
		expect(client, i == 0 ? smtp_client_open(client, url) :
					smtp_client_open_unix(client, path), 0);
		ck_assert_str_eq(smtp_client_peer(client), path);
		expect(client, smtp_client_send_text(client, "<>", to, 3, "x", results), 0);
		ck_assert(results[0].accepted && !results[1].accepted && !results[2].accepted);
		ck_assert_uint_eq(results[0].reply.code, 250);
		ck_assert_mem_eq(results[0].reply.text.p, "b", 1);
		ck_assert_int_eq(results[1].step, SMTP_STEP_RCPT);
		ck_assert_uint_eq(results[1].reply.code, 550);
		ck_assert_int_eq(results[2].step, SMTP_STEP_END);
		ck_assert_uint_eq(results[2].reply.code, 452);
		smtp_client_quit(client);
	}
	smtp_client_free(client);
	expect_end(server);
}
END_TEST

static const struct dns_record records[] = {
	{ "to.test", ns_t_mx, 20, "good.test" }, { "to.test", ns_t_mx, 10, "nobody.test" },
	{ "good.test", ns_t_a, 0, "127.0.0.1" },
	{ "self.test", ns_t_a, 0, "127.0.0.1" },
	{ "null.test", ns_t_mx, 0, "" },
	{ "dead.test", ns_t_mx, 10, "nobody.test" },
	{ "fail.test", 0, 0, DNS_SERVFAIL },
	{ NULL, 0, 0, NULL },
};

static const struct {
	const char *domain;
	int err;
	const char *problem;
} mx_rows[] = {
	{ "to.test", 0, "" },
	{ "self.test", 0, "" },
	{ "null.test", SMTP_EREFUSED, "takes no mail" },
	{ "gone.test", SMTP_ERESOLVE, "no domain of that name" },
	{ "dead.test", SMTP_ERESOLVE, "no address" },
	{ "fail.test", SMTP_ERESOLVE, "fail.test: " },
	{ "a b", SMTP_EINVAL, "no domain" },
};

START_TEST(by_domain)
{
	const char *const scripts[] = { PLAIN_HELLO TAKES_ONE BYE, NULL };
	struct dns_responder *dns = dns_responder_start(records);
	struct smtp_client_options options = some_options();
	struct scripted_server *server = NULL;
	struct smtp_client *client;
	uint16_t port = 1;

	if (mx_rows[_i].err == 0) {
		server = scripted_server_start(scripts, NULL, NULL);
		port = scripted_server_port(server);
	}
	options.resolver = dns_responder_server(dns);
	client = new_client(&options);
	expect(client, smtp_client_open_mx(client, mx_rows[_i].domain, port), mx_rows[_i].err);
	ck_assert_msg(strstr(smtp_client_problem(client), mx_rows[_i].problem), "%s",
		      smtp_client_problem(client));
	if (server) {
		send_hello(client);
		smtp_client_free(client);
		expect_end(server);
	} else {
		smtp_client_free(client);
	}
	options.user = "joe";
	options.password = "x";
	client = new_client(&options);
	expect(client, smtp_client_open(client, "mx://to.test"), SMTP_EINVAL);
	ck_assert_ptr_nonnull(strstr(smtp_client_problem(client), "no login"));
	smtp_client_free(client);
	dns_responder_stop(dns);
}
END_TEST

START_TEST(wrong_way)
{
	struct smtp_client_options options = some_options();
	struct smtp_client *client = new_client(&options);
	char path[200];

	memset(path, 'x', sizeof path - 1);
	path[0] = '/';
	path[sizeof path - 1] = '\0';
	expect(client, smtp_client_open_unix(client, path), SMTP_ETOOLONG);
	expect(client, smtp_client_open_host(client, "", 25), SMTP_EINVAL);
	expect(client, smtp_client_open_host(client, "127.0.0.1", 0), SMTP_EINVAL);
	expect(client, smtp_client_open_fd(client, -1), SMTP_EINVAL);
	expect(client, smtp_client_open(client, NULL), SMTP_EINVAL);
	smtp_client_free(client);
	options.size = sizeof options + 1;
	client = NULL;
	options.size = 4;
	ck_assert_int_eq(smtp_client_new(&client, &options), SMTP_EINVAL);
	ck_assert_ptr_null(client);
}
END_TEST

/* --- trust ----------------------------------------------------------------------------------- */

static void key_digest(char hex[65], char base64[64], const char *certificate_file)
{
	unsigned char digest[32], *key = NULL;
	FILE *fp = fopen(certificate_file, "r");
	X509 *certificate;
	int n;

	ck_assert_ptr_nonnull(fp);
	certificate = PEM_read_X509(fp, NULL, NULL, NULL);
	fclose(fp);
	ck_assert_ptr_nonnull(certificate);
	n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &key);
	ck_assert_int_eq(EVP_Digest(key, (size_t)n, digest, NULL, EVP_sha256(), NULL), 1);
	for (int i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02X", digest[i]);
	(void)EVP_EncodeBlock((unsigned char *)base64, digest, 32);
	OPENSSL_free(key);
	X509_free(certificate);
}

#define TLS_HELLO HELLO "S 250 STARTTLS\nC STARTTLS\nS 220 go\nT\n"
#define AFTER_TLS "C EHLO\nS 250 hi\n"

static const struct {
	const char *name;
	enum smtp_client_tls tls;
	const char *pin; /* "hex", "base64", "sha256", or what it is */
	bool ca_file, insecure;
	const char *server_name;
	int err;
	const char *problem;
	const char *script;
} trust_rows[] = {
	{ "not known", SMTP_CLIENT_TLS_IMPLICIT, NULL, false, false, NULL, SMTP_ETLS, "certificate",
	  "T\n" },
	{ "CA file", SMTP_CLIENT_TLS_IMPLICIT, NULL, true, false, NULL, 0, "", "T\n" PLAIN_HELLO BYE },
	{ "required", SMTP_CLIENT_TLS_REQUIRED, NULL, true, false, NULL, 0, "",
	  TLS_HELLO AFTER_TLS BYE },
	{ "another name", SMTP_CLIENT_TLS_IMPLICIT, NULL, true, false, "other.test", SMTP_ETLS,
	  "mismatch", "T\n" },
	{ "the name that it has", SMTP_CLIENT_TLS_IMPLICIT, NULL, true, false, "localhost", 0, "",
	  "T\n" PLAIN_HELLO BYE },
	{ "pinned", SMTP_CLIENT_TLS_IMPLICIT, "hex", false, false, "other.test", 0, "",
	  "T\n" PLAIN_HELLO BYE },
	{ "pinned, base64", SMTP_CLIENT_TLS_IMPLICIT, "base64", false, false, NULL, 0, "",
	  "T\n" PLAIN_HELLO BYE },
	{ "pinned, as curl has it", SMTP_CLIENT_TLS_REQUIRED, "sha256", false, false, NULL, 0, "",
	  TLS_HELLO AFTER_TLS BYE },
	{ "pinned means TLS", SMTP_CLIENT_TLS_OPPORTUNISTIC, "hex", false, false, NULL, SMTP_ETLS,
	  "does not offer STARTTLS", PLAIN_HELLO "C QUIT\n" },
	{ "another key", SMTP_CLIENT_TLS_IMPLICIT,
	  "0000000000000000000000000000000000000000000000000000000000000000", false, false, NULL,
	  SMTP_ETLS, "not the pinned one", "T\nW\n" },
	{ "another key, insecure", SMTP_CLIENT_TLS_IMPLICIT,
	  "0000000000000000000000000000000000000000000000000000000000000000", false, true, NULL,
	  SMTP_ETLS, "not the pinned one", "T\nW\n" },
	{ "pinned and a CA file", SMTP_CLIENT_TLS_IMPLICIT, "hex", true, false, "other.test",
	  SMTP_ETLS, "mismatch", "T\n" },
	{ "no pin at all", SMTP_CLIENT_TLS_IMPLICIT, "00", false, false, NULL, SMTP_EINVAL,
	  "no SHA-256", NULL },
};

START_TEST(trust)
{
	const char *const scripts[] = { trust_rows[_i].script, NULL };
	struct scripted_server *server = scripted_server_start(scripts, files.certificate, files.key);
	struct smtp_client_options options = some_options();
	char hex[65], base64[64], curl[80];
	const char *pin = trust_rows[_i].pin;
	struct smtp_client *client;

	key_digest(hex, base64, files.certificate);
	snprintf(curl, sizeof curl, "sha256//%s", base64);
	options.pinned_key = !pin ? NULL : strcmp(pin, "hex") == 0 ? hex :
			     strcmp(pin, "base64") == 0 ? base64 :
			     strcmp(pin, "sha256") == 0 ? curl : pin;
	options.tls = trust_rows[_i].tls;
	options.insecure = trust_rows[_i].insecure;
	options.ca_file = trust_rows[_i].ca_file ? files.certificate : NULL;
	options.server_name = trust_rows[_i].server_name;
	client = new_client(&options);
	expect(client, smtp_client_open_host(client, "127.0.0.1", scripted_server_port(server)),
	       trust_rows[_i].err);
	ck_assert_msg(strstr(smtp_client_problem(client), trust_rows[_i].problem), "%s: %s",
		      trust_rows[_i].name, smtp_client_problem(client));
	smtp_client_free(client);
	ck_assert_str_eq(scripted_server_end(server), "");
	ck_assert(!scripted_server_saw_certificate(server));
	scripted_server_free(server);
}
END_TEST

START_TEST(own_certificate)
{
	const char *const scripts[] = { "T\n" PLAIN_HELLO BYE, NULL };
	struct smtp_client_options options = some_options();
	struct certificate_files own;
	struct scripted_server *server;
	struct smtp_client *client;
	uint16_t port;

	certificate_make(&own, "DNS:client.test", "open sesame");
	server = scripted_server_start(scripts, files.certificate, files.key);
	port = scripted_server_port(server);
	options.tls = SMTP_CLIENT_TLS_IMPLICIT;
	options.insecure = true;
	options.certificate_file = own.certificate;
	client = new_client(&options);
	expect(client, smtp_client_open_host(client, "127.0.0.1", port), SMTP_EINVAL);
	smtp_client_free(client);
	options.key_file = own.key;
	options.key_passphrase = "wrong";
	client = new_client(&options);
	expect(client, smtp_client_open_host(client, "127.0.0.1", port), SMTP_ETLS);
	ck_assert_ptr_nonnull(strstr(smtp_client_problem(client), "wrong passphrase"));
	smtp_client_free(client);
	options.key_passphrase = "open sesame";
	client = new_client(&options);
	expect(client, smtp_client_open_host(client, "127.0.0.1", port), 0);
	smtp_client_free(client);
	ck_assert_str_eq(scripted_server_end(server), "");
	ck_assert(scripted_server_saw_certificate(server));
	scripted_server_free(server);
	certificate_remove(&own);
}
END_TEST

START_TEST(starttls_on_demand)
{
	const char *const scripts[] = {
		HELLO "S 250 STARTTLS\nC STARTTLS\nS 454 4.7.0 not now\nC STARTTLS\nS 220 go\nT\n"
		AFTER_TLS "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nD\nS 250 ok\n" BYE,
		HELLO "S 250 STARTTLS\nC STARTTLS\nS 220 go\nH\nS no TLS\n", NULL };
	struct scripted_server *server = scripted_server_start(scripts, files.certificate, files.key);
	struct smtp_client_options options = some_options();
	struct smtp_client *client;
	struct smtp_reply reply;

	options.tls = SMTP_CLIENT_TLS_NONE;
	options.ca_file = files.certificate;
	client = new_client(&options);
	expect(client, open_by_host(client, scripted_server_port(server)), 0);
	ck_assert(smtp_client_has_extension(client, "starttls", NULL));
	expect(client, smtp_client_starttls(client, &reply), 0);
	ck_assert_uint_eq(reply.code, 454);
	expect(client, smtp_client_starttls(client, &reply), 0);
	ck_assert_str_ne(smtp_client_tls_description(client), "");
	ck_assert(!smtp_client_extensions(client)->starttls);
	expect(client, smtp_client_starttls(client, &reply), SMTP_ESTATE);
	send_hello(client);
	smtp_client_quit(client);
	expect(client, open_by_host(client, scripted_server_port(server)), 0);
	expect(client, smtp_client_starttls(client, &reply), SMTP_ETLS);
	expect(client, smtp_client_noop(client, NULL, &reply), SMTP_ECLOSED);
	smtp_client_free(client);
	expect_end(server);
}
END_TEST

START_TEST(login_on_demand)
{
	const char *const scripts[] = {
		HELLO "S 250 STARTTLS\nC STARTTLS\nS 220 go\nT\nC EHLO\nS 250-hi\nS 250 AUTH PLAIN\n"
		"C AUTH PLAIN AGpvZQBzM2NyZXQ=\nS 235 ok\nC NOOP\nS 250 ok\n" BYE,
		HELLO "S 250 AUTH PLAIN\nC QUIT\n",
		"T\n" HELLO "S 250 AUTH LOGIN\nC AUTH LOGIN\nS 334 x\nC am9l\nS 334 y\nC czNjcmV0\n"
		"S 535 5.7.8 no\nC QUIT\n", NULL };
	struct scripted_server *server = scripted_server_start(scripts, files.certificate, files.key);
	struct smtp_client_options options = some_options();
	struct smtp_client *client;
	struct smtp_reply reply;
	uint16_t port = scripted_server_port(server);

	options.tls = SMTP_CLIENT_TLS_NONE;
	options.ca_file = files.certificate;
	client = new_client(&options);
	expect(client, smtp_client_authenticate(client, "joe", "s3cret"), SMTP_ECLOSED);
	expect(client, open_by_host(client, port), 0);
	expect(client, smtp_client_starttls(client, &reply), 0);
	expect(client, smtp_client_authenticate(client, "", "s3cret"), SMTP_EINVAL);
	expect(client, smtp_client_authenticate(client, "joe", NULL), SMTP_EINVAL);
	expect(client, smtp_client_authenticate(client, "joe", "s3cret"), 0);
	expect(client, smtp_client_noop(client, NULL, &reply), 0);
	smtp_client_quit(client);
	expect(client, open_by_host(client, port), 0);
	expect(client, smtp_client_authenticate(client, "joe", "s3cret"), SMTP_ETLS);
	expect(client, smtp_client_noop(client, NULL, &reply), SMTP_ECLOSED);
	smtp_client_free(client);
	options.tls = SMTP_CLIENT_TLS_IMPLICIT;
	options.insecure = true;
	client = new_client(&options);
	expect(client, open_by_host(client, port), 0);
	expect(client, smtp_client_authenticate(client, "joe", "s3cret"), SMTP_EAUTH);
	ck_assert_uint_eq(smtp_client_last_reply(client).code, 535);
	smtp_client_free(client);
	expect_end(server);
}
END_TEST

/* Without a user TLS is taken as it comes; a password that is given later is not for anybody. */
START_TEST(no_login_where_nothing_was_checked)
{
	const char *const scripts[] = {
		HELLO "S 250 STARTTLS\nC STARTTLS\nS 220 go\nT\nC EHLO\nS 250-hi\nS 250 AUTH PLAIN\n"
		"C NOOP\nS 250 ok\n" BYE, NULL };
	struct scripted_server *server = scripted_server_start(scripts, files.certificate, files.key);
	struct smtp_client_options options = some_options();
	struct smtp_client *client = new_client(&options);
	struct smtp_reply reply;

	expect(client, open_by_url(client, scripted_server_port(server)), 0);
	ck_assert_str_ne(smtp_client_tls_description(client), "");
	expect(client, smtp_client_authenticate(client, "joe", "s3cret"), SMTP_ETLS);
	ck_assert_ptr_nonnull(strstr(smtp_client_problem(client), "was not checked"));
	expect(client, smtp_client_noop(client, NULL, &reply), 0);
	smtp_client_free(client);
	expect_end(server);
}
END_TEST

/* --- content --------------------------------------------------------------------------------- */

static void note_progress(uint64_t octets, void *user)
{
	uint64_t *last = user;

	ck_assert_uint_ge(octets, *last);
	*last = octets;
}

static void fill_transaction(struct smtp_client_transaction *txn, struct smtp_path *from,
			     struct smtp_path *to)
{
	*txn = (struct smtp_client_transaction)SMTP_CLIENT_TRANSACTION_INIT;
	ck_assert_int_eq(smtp_mailbox_parse(&from->mailbox, smtp_span_of("a@from.test"), 0), 0);
	ck_assert_int_eq(smtp_mailbox_parse(&to->mailbox, smtp_span_of("b@to.test"), 0), 0);
	txn->reverse_path = from;
	txn->forward_paths = to;
	txn->forward_path_count = 1;
}

/* SIZE and BODY are found out; what comes of a pipe can't be. */
START_TEST(content_from_a_descriptor)
{
	static const char text[] = "passed over\nSubject: x\n\nb\xc3\xa4r\n";
	const char *const scripts[] = {
		HELLO "S 250-8BITMIME\nS 250-PIPELINING\nS 250 SIZE\n"
		"C MAIL FROM:<a@from.test> SIZE=20 BODY=8BITMIME\nC RCPT\nC DATA\nS 250 ok\nS 250 ok\n"
		"S 354 go\nD\nS 250 ok\n"
		"C MAIL FROM:<a@from.test>\nC RCPT\nC DATA\nS 250 ok\nS 250 ok\n"
		"S 354 go\nD\nS 250 ok\n" BYE, NULL };
	struct scripted_server *server = scripted_server_start(scripts, NULL, NULL);
	struct smtp_client_options options = some_options();
	struct smtp_client_transaction txn;
	struct smtp_client_result result;
	struct smtp_fd_content content;
	struct smtp_client *client;
	struct smtp_path from, to;
	uint64_t progress = 0;
	FILE *file = tmpfile();
	int pipes[2];

	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(pipe(pipes), 0);
	ck_assert_uint_eq(fwrite(text, 1, sizeof text - 1, file), sizeof text - 1);
	ck_assert_int_eq(fflush(file), 0);
	ck_assert_int_eq(lseek(fileno(file), 12, SEEK_SET), 12);
	ck_assert_int_eq(write(pipes[1], "Subject: y\n\ny\n", 14), 14);
	close(pipes[1]);
	options.progress = note_progress;
	options.progress_user = &progress;
	client = new_client(&options);
	expect(client, open_by_host(client, scripted_server_port(server)), 0);
	fill_transaction(&txn, &from, &to);
	txn.content = smtp_client_content_of_fd(&content, fileno(file));
	expect(client, smtp_client_send(client, &txn, &result), 0);
	ck_assert(result.accepted);
	ck_assert_uint_eq(progress, sizeof text - 1 - 12);
	progress = 0;
	txn.content = smtp_client_content_of_fd(&content, pipes[0]);
	ck_assert_ptr_null(txn.content.rewind);
	expect(client, smtp_client_send(client, &txn, &result), 0);
	ck_assert(result.accepted);
	ck_assert_uint_eq(progress, 14);
	smtp_client_free(client);
	ck_assert_str_eq(scripted_server_end(server), "");
	ck_assert_str_eq(scripted_server_content(server), "Subject: y\r\n\r\ny\r\n");
	expect_end(server);
	fclose(file);
	close(pipes[0]);
}
END_TEST

/* In memory it is known before anything is sent; of a pipe the connection is cut in the midst. */
START_TEST(bare_newlines_refused)
{
	const char *const scripts[] = {
		PLAIN_HELLO "C NOOP\nS 250 ok\nC MAIL\nC RCPT\nC DATA\nS 250 ok\nS 250 ok\nS 354 go\nW\n",
		NULL };
	struct scripted_server *server = scripted_server_start(scripts, NULL, NULL);
	struct smtp_client_options options = some_options();
	struct smtp_client *client = new_client(&options);
	struct smtp_client_transaction txn;
	struct smtp_memory_content memory;
	struct smtp_client_result result;
	struct smtp_fd_content content;
	struct smtp_path from, to;
	struct smtp_reply reply;
	int pipes[2];

	expect(client, open_by_host(client, scripted_server_port(server)), 0);
	fill_transaction(&txn, &from, &to);
	txn.refuse_bare_newlines = true;
	txn.content = smtp_client_content_of(&memory, smtp_span_of("a\r\nb\n"));
	expect(client, smtp_client_send(client, &txn, &result), SMTP_ESYNTAX);
	expect(client, smtp_client_noop(client, NULL, &reply), 0);
	ck_assert_int_eq(pipe(pipes), 0);
	ck_assert_int_eq(write(pipes[1], "a\r\nb\n", 5), 5);
	close(pipes[1]);
	txn.content = smtp_client_content_of_fd(&content, pipes[0]);
	expect(client, smtp_client_send(client, &txn, &result), SMTP_ESYNTAX);
	ck_assert(!result.accepted);
	smtp_client_free(client);
	expect_end(server);
	close(pipes[0]);
}
END_TEST

START_TEST(more_recipients_than_taken_at_once)
{
	const char *const scripts[] = {
		HELLO "S 250-PIPELINING\nS 250 LIMITS RCPTMAX=2\n"
		"C MAIL\nC RCPT TO:<r0@to.test>\nC RCPT TO:<r1@to.test>\nC DATA\n"
		"S 250 ok\nS 250 ok\nS 550 no\nS 354 go\nD\nS 250 first\n"
		"C MAIL\nC RCPT TO:<r2@to.test>\nC RCPT TO:<r3@to.test>\nC DATA\n"
		"S 250 ok\nS 250 ok\nS 250 ok\nS 354 go\nD\nS 250 second\n"
		"C MAIL\nC RCPT TO:<r4@to.test>\nC DATA\nS 451 no\nS 503 no\nS 503 no\n" BYE, NULL };
	const char *const to[] = { "r0@to.test", "r1@to.test", "r2@to.test", "r3@to.test",
				   "r4@to.test" };
	static const unsigned codes[] = { 250, 550, 250, 250, 451 };
	struct scripted_server *server = scripted_server_start(scripts, NULL, NULL);
	struct smtp_client_options options = some_options();
	struct smtp_client *client = new_client(&options);
	struct smtp_client_result results[5];

	expect(client, open_by_host(client, scripted_server_port(server)), 0);
	expect(client, smtp_client_send_text(client, "a@b.org", to, 5, "x\n", results), 0);
	for (size_t i = 0; i < 5; i++) {
		ck_assert_uint_eq(results[i].reply.code, codes[i]);
		ck_assert_int_eq(results[i].accepted, codes[i] == 250);
	}
	ck_assert_mem_eq(results[3].reply.text.p, "second", 6);
	smtp_client_free(client);
	expect_end(server);
}
END_TEST

START_TEST(utf8)
{
	const char *const scripts[] = {
		HELLO "S 250-PIPELINING\nS 250 SMTPUTF8\n"
		"C VRFY j\xc3\xb6 SMTPUTF8\nS 252 ok\nC EXPN joe\nS 550 no\nC RSET\nS 250 ok\n"
		"C NOOP hello\nS 250 ok\n"
		"C MAIL FROM:<a@xn--bcher-kva.test>\nC RCPT TO:<b@to.test>\nC DATA\nS 250 ok\nS 250 ok\n"
		"S 354 go\nD\nS 250 ok\n" BYE,
		PLAIN_HELLO "C MAIL FROM:<a@xn--bcher-kva.test>\nC RCPT TO:<b@to.test>\nC DATA\nS 250 ok\n"
		"S 250 ok\nS 354 go\nD\nS 250 ok\n" BYE, NULL };
	const char *const to[] = { "b@to.test", "j\xc3\xb6@to.test" };
	struct scripted_server *server = scripted_server_start(scripts, NULL, NULL);
	struct smtp_client_options options = some_options();
	struct smtp_client *client = new_client(&options);
	struct smtp_client_result results[2];
	struct smtp_reply reply;

	expect(client, open_by_host(client, scripted_server_port(server)), 0);
	expect(client, smtp_client_verify(client, "j\xc3\xb6", &reply), 0);
	expect(client, smtp_client_expand(client, "joe", &reply), 0);
	ck_assert_uint_eq(reply.code, 550);
	expect(client, smtp_client_reset(client, &reply), 0);
	expect(client, smtp_client_noop(client, "hello", &reply), 0);
	expect(client, smtp_client_send_text(client, "a@b\xc3\xbc" "cher.test", to, 1, "x", results), 0);
	ck_assert(results[0].accepted);
	smtp_client_quit(client);
	expect(client, open_by_host(client, scripted_server_port(server)), 0);
	expect(client, smtp_client_verify(client, "j\xc3\xb6", &reply), SMTP_ENOTSUP);
	expect(client, smtp_client_send_text(client, "a@b\xc3\xbc" "cher.test", to, 2, "x", results), 0);
	ck_assert(results[0].accepted && !results[1].accepted);
	ck_assert_uint_eq(results[1].reply.code, 553);
	expect(client, smtp_client_send_text(client, "a b", to, 1, "x", results), SMTP_ESYNTAX);
	smtp_client_free(client);
	expect_end(server);
}
END_TEST

/* --- cancelling ------------------------------------------------------------------------------ */

static void *cancel_it(void *user)
{
	smtp_client_cancel(user);
	return NULL;
}

/* Cuts the call short from another thread, as soon as the session waits for its reply. */
static void cancel_at(bool from_server, struct smtp_span line, void *user)
{
	struct smtp_client **client = user;
	pthread_t thread;

	if (from_server || !smtp_span_is(line, "NOOP"))
		return;
	ck_assert_int_eq(pthread_create(&thread, NULL, cancel_it, *client), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

START_TEST(cancelled)
{
	const char *const scripts[] = { PLAIN_HELLO "C NOOP\nW\n", NULL };
	struct scripted_server *server = scripted_server_start(scripts, NULL, NULL);
	struct smtp_client_options options = some_options();
	struct smtp_client *client = NULL;
	struct smtp_reply reply;

	options.trace = cancel_at;
	options.trace_user = &client;
	client = new_client(&options);
	expect(client, open_by_host(client, scripted_server_port(server)), 0);
	expect(client, smtp_client_noop(client, NULL, &reply), SMTP_ECANCELED);
	ck_assert_ptr_nonnull(strstr(smtp_client_problem(client), "cancelled"));
	expect(client, smtp_client_noop(client, NULL, &reply), SMTP_ECLOSED);
	expect(client, open_by_host(client, scripted_server_port(server)), SMTP_ECANCELED);
	smtp_client_free(client);
	expect_end(server);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client_ways");
	TCase *tc = tcase_create("ways");

	tcase_set_timeout(tc, 60);
	tcase_add_unchecked_fixture(tc, make_certificate, remove_certificate);
	tcase_add_loop_test(tc, way, 0, ROWS(ways));
	tcase_add_test(tc, lmtp_over_a_unix_socket);
	tcase_add_loop_test(tc, by_domain, 0, ROWS(mx_rows));
	tcase_add_test(tc, wrong_way);
	tcase_add_loop_test(tc, trust, 0, ROWS(trust_rows));
	tcase_add_test(tc, own_certificate);
	tcase_add_test(tc, starttls_on_demand);
	tcase_add_test(tc, login_on_demand);
	tcase_add_test(tc, no_login_where_nothing_was_checked);
	tcase_add_test(tc, content_from_a_descriptor);
	tcase_add_test(tc, bare_newlines_refused);
	tcase_add_test(tc, more_recipients_than_taken_at_once);
	tcase_add_test(tc, utf8);
	tcase_add_test(tc, cancelled);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
