/* SPDX-License-Identifier: ISC */
/* TLS contexts and streams: what is wrong with files, which certificates a client takes, that nothing
 * waits and no signal comes. Both ends run in one thread over a socket pair.
 */
#include "tests/unit/testing.h"
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "libsmtp/net/tls.h"
#include "tests/unit/certificate.h"

static struct certificate_files files;
static struct smtp_tls_context *server_context;
static struct smtp_tls_context *client_context;
static struct smtp_tls_stream *server;
static struct smtp_tls_stream *client;
static int pair[2];
static char problem[SMTP_TLS_PROBLEM_MAX];

static void set_up(void)
{
	certificate_make(&files, "DNS:mail.example.com,DNS:*.example.org,IP:192.0.2.1,IP:2001:db8::1",
			 NULL);
	ck_assert_int_eq(smtp_tls_server_context_new(&server_context, files.certificate, files.key,
						     NULL, problem),
			 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
}

static void tear_down(void)
{
	smtp_tls_stream_free(server);
	smtp_tls_stream_free(client);
	smtp_tls_context_unref(server_context);
	smtp_tls_context_unref(client_context);
	certificate_remove(&files);
	(void)close(pair[0]);
	if (pair[1] >= 0)
		(void)close(pair[1]);
	ck_assert_uint_eq(ERR_peek_error(), 0); /* nothing is left behind for others */
}

/* The results of both ends after as many turns as a handshake can need. */
static void shake_hands(bool verify, const char *ca_file, const char *name,
			enum smtp_tls_result *at_server, enum smtp_tls_result *at_client)
{
	ck_assert_int_eq(smtp_tls_client_context_new(&client_context, verify, ca_file, problem), 0);
	ck_assert_int_eq(smtp_tls_stream_new(&server, server_context, pair[0], NULL), 0);
	ck_assert_int_eq(smtp_tls_stream_new(&client, client_context, pair[1], name), 0);
	*at_server = *at_client = SMTP_TLS_WANTS_READ;
	for (int i = 0; i < 8; i++) {
		if (*at_client != SMTP_TLS_DONE && *at_client != SMTP_TLS_FAILED)
			*at_client = smtp_tls_handshake(client);
		if (*at_server != SMTP_TLS_DONE && *at_server != SMTP_TLS_FAILED)
			*at_server = smtp_tls_handshake(server);
	}
}

/* --- which certificates are taken ------------------------------------------------------------- */

static const struct {
	const char *name;
	bool verify, trusted;
	const char *peer;
	const char *problem; /* NULL: it goes well */
} checks[] = {
	{ "name", true, true, "mail.example.com", NULL },
	{ "name in capitals", true, true, "MAIL.Example.Com", NULL },
	{ "name with its final dot", true, true, "mail.example.com.", NULL },
	{ "wildcard", true, true, "mx.example.org", NULL },
	{ "wildcard for two labels", true, true, "a.mx.example.org",
	  "certificate refused: hostname mismatch" },
	{ "IPv4", true, true, "192.0.2.1", NULL },
	{ "IPv6", true, true, "2001:db8:0::1", NULL },
	{ "IPv6 as a literal", true, true, "[IPv6:2001:db8::1]", NULL },
	{ "other name", true, true, "other.example.com", "certificate refused: hostname mismatch" },
	{ "other IPv4", true, true, "192.0.2.2", "certificate refused: IP address mismatch" },
	{ "untrusted", true, false, "mail.example.com",
	  "certificate refused: self-signed certificate" },
	{ "untrusted, not checked", false, false, "mail.example.com", NULL },
	{ "other name, not checked", false, false, "other.example.com", NULL },
	{ "no name, not checked", false, false, NULL, NULL },
};

START_TEST(certificate_is_checked)
{
	enum smtp_tls_result at_server;
	enum smtp_tls_result at_client;
	char description[SMTP_TLS_DESCRIPTION_MAX];

	shake_hands(checks[_i].verify, checks[_i].trusted ? files.certificate : NULL,
		    checks[_i].peer, &at_server, &at_client);
	if (checks[_i].problem) {
		ck_assert_int_eq(at_client, SMTP_TLS_FAILED);
		ck_assert_str_eq(smtp_tls_problem(client), checks[_i].problem);
		return;
	}
	ck_assert_msg(at_client == SMTP_TLS_DONE && at_server == SMTP_TLS_DONE, "%s: %s",
		      checks[_i].name, smtp_tls_problem(client));
	smtp_tls_describe(client, description);
	ck_assert_str_eq(description, "TLSv1.3 TLS_AES_256_GCM_SHA384");
}
END_TEST

START_TEST(checking_needs_a_name)
{
	ck_assert_int_eq(smtp_tls_client_context_new(&client_context, true, files.certificate,
						     problem),
			 0);
	ck_assert_int_eq(smtp_tls_stream_new(&client, client_context, pair[1], NULL), SMTP_EINVAL);
	ck_assert_ptr_null(client);
}
END_TEST

/* --- what is wrong with files ----------------------------------------------------------------- */

enum damage { NONE, MISSING, DIRECTORY, EMPTY, NO_PEM, OTHER_KEY, OTHER_KIND, ENCRYPTED, CUT };

static const struct {
	const char *name;
	enum damage certificate, key;
	const char *passphrase;
	int error;
	const char *problem; /* its end; NULL: it goes well */
} pairs[] = {
	{ "right", NONE, NONE, NULL, 0, NULL },
	{ "passphrase that is not needed", NONE, NONE, "secret", 0, NULL },
	{ "right passphrase", NONE, ENCRYPTED, "secret", 0, NULL },
	{ "wrong passphrase", NONE, ENCRYPTED, "wrong", SMTP_ETLS, "key.pem: wrong passphrase" },
	{ "no passphrase", NONE, ENCRYPTED, NULL, SMTP_ETLS, "key.pem: needs a passphrase" },
	{ "no certificate", MISSING, NONE, NULL, SMTP_EACCESS,
	  "cert.pem: No such file or directory" },
	{ "no key", NONE, MISSING, NULL, SMTP_EACCESS, "key.pem: No such file or directory" },
	{ "empty certificate", EMPTY, NONE, NULL, SMTP_ETLS, "cert.pem: holds no PEM certificate" },
	{ "nonsense", NO_PEM, NONE, NULL, SMTP_ETLS, "cert.pem: holds no PEM certificate" },
	{ "empty key", NONE, EMPTY, NULL, SMTP_ETLS, "key.pem: holds no PEM private key" },
	{ "nonsense as key", NONE, NO_PEM, NULL, SMTP_ETLS, "key.pem: holds no PEM private key" },
	{ "directory as key", NONE, DIRECTORY, NULL, SMTP_ETLS,
	  "key.pem: holds no PEM private key" },
	{ "damaged key", NONE, CUT, NULL, SMTP_ETLS, "key.pem: is damaged" },
	{ "key of another certificate", NONE, OTHER_KEY, NULL, SMTP_ETLS, "/cert.pem" },
	{ "key of another kind", NONE, OTHER_KIND, NULL, SMTP_ETLS, "/cert.pem" },
};

static void overwrite(const char *path, const char *text)
{
	FILE *fp = fopen(path, "we");

	ck_assert_ptr_nonnull(fp);
	ck_assert_int_ge(fputs(text, fp), 0);
	ck_assert_int_eq(fclose(fp), 0);
}

static void write_rsa_key(const char *path)
{
	EVP_PKEY *key = EVP_RSA_gen(2048);
	FILE *fp = fopen(path, "we");

	ck_assert(key && fp);
	ck_assert_int_eq(PEM_write_PrivateKey(fp, key, NULL, NULL, 0, NULL, NULL), 1);
	ck_assert_int_eq(fclose(fp), 0);
	EVP_PKEY_free(key);
}

static void damage(const char *path, enum damage how)
{
	struct certificate_files other;

	switch (how) {
	case NONE:
		break;
	case MISSING:
		ck_assert_int_eq(unlink(path), 0);
		break;
	case DIRECTORY:
		ck_assert_int_eq(unlink(path), 0);
		ck_assert_int_eq(mkdir(path, 0700), 0);
		break;
	case EMPTY:
		overwrite(path, "");
		break;
	case NO_PEM:
		overwrite(path, "this is no certificate\n");
		break;
	case CUT:
		overwrite(path, "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n");
		break;
	case ENCRYPTED:
		certificate_renew(&files, "DNS:x.example", "secret");
		break;
	case OTHER_KIND:
		write_rsa_key(path);
		break;
	case OTHER_KEY:
		certificate_make(&other, "DNS:x.example", NULL);
		ck_assert_int_eq(rename(other.key, path), 0);
		certificate_remove(&other);
		break;
	}
}

START_TEST(problems_with_files_are_named)
{
	struct smtp_tls_context *context = NULL;
	int err;
	size_t n;

	damage(files.certificate, pairs[_i].certificate);
	damage(files.key, pairs[_i].key);
	err = smtp_tls_server_context_new(&context, files.certificate, files.key,
					  pairs[_i].passphrase, problem);
	ck_assert_msg(err == pairs[_i].error, "%s: %d %s", pairs[_i].name, err, problem);
	if (!pairs[_i].problem) {
		smtp_tls_context_unref(context);
		return;
	}
	n = strlen(problem) - strlen(pairs[_i].problem);
	ck_assert_msg(strlen(problem) >= strlen(pairs[_i].problem) &&
			      strcmp(problem + n, pairs[_i].problem) == 0,
		      "%s: '%s'", pairs[_i].name, problem);
	ck_assert_ptr_null(context);
	if (pairs[_i].key == OTHER_KEY || pairs[_i].key == OTHER_KIND)
		ck_assert_ptr_nonnull(strstr(problem, "does not match"));
	(void)rmdir(files.key);
}
END_TEST

START_TEST(trust_from_a_wrong_file)
{
	ck_assert_int_eq(smtp_tls_client_context_new(&client_context, true, "/nowhere", problem),
			 SMTP_EACCESS);
	ck_assert_str_eq(problem, "/nowhere: No such file or directory");
	ck_assert_int_eq(smtp_tls_client_context_new(&client_context, true, files.key, problem),
			 SMTP_ETLS);
	ck_assert_ptr_nonnull(strstr(problem, "holds no PEM certificates"));
	ck_assert_int_eq(smtp_tls_server_context_new(&client_context, NULL, NULL, NULL, problem),
			 SMTP_EINVAL);
}
END_TEST

/* --- streams ---------------------------------------------------------------------------------- */

static void connect_both(void)
{
	enum smtp_tls_result at_server;
	enum smtp_tls_result at_client;

	shake_hands(false, NULL, "x.example", &at_server, &at_client);
	ck_assert_int_eq(at_client, SMTP_TLS_DONE);
	ck_assert_int_eq(at_server, SMTP_TLS_DONE);
}

START_TEST(nothing_waits)
{
	char got[8];
	size_t n;

	connect_both();
	ck_assert_int_eq(smtp_tls_read(server, got, sizeof got, &n), SMTP_TLS_WANTS_READ);
	ck_assert_int_eq(smtp_tls_write(client, "0123456789", 10, &n), SMTP_TLS_DONE);
	ck_assert_uint_eq(n, 10);
	ck_assert_int_eq(smtp_tls_read(server, got, sizeof got, &n), SMTP_TLS_DONE);
	ck_assert_uint_eq(n, 8);
	ck_assert(smtp_tls_has_pending(server));
	ck_assert_int_eq(smtp_tls_read(server, got, sizeof got, &n), SMTP_TLS_DONE);
	ck_assert_uint_eq(n, 2);
	ck_assert(!smtp_tls_has_pending(server));
}
END_TEST

START_TEST(write_stops_when_the_socket_is_full)
{
	static const char big[1 << 20];
	enum smtp_tls_result result;
	size_t total = 0;
	size_t n;

	connect_both();
	while ((result = smtp_tls_write(server, big, sizeof big, &n)) == SMTP_TLS_DONE) {
		total += n;
		ck_assert_uint_lt(total, 64 << 20);
	}
	ck_assert_int_eq(result, SMTP_TLS_WANTS_WRITE);
}
END_TEST

START_TEST(ends_of_a_stream)
{
	char got[8];
	size_t n;

	connect_both();
	if (_i == 0)
		smtp_tls_shutdown(client); /* close_notify */
	else
		ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0); /* none, as many do it */
	ck_assert_int_eq(smtp_tls_read(server, got, sizeof got, &n), SMTP_TLS_CLOSED);
}
END_TEST

START_TEST(write_to_a_closed_peer_raises_no_signal)
{
	size_t n;

	ck_assert(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
	connect_both();
	ck_assert_int_eq(close(pair[1]), 0);
	pair[1] = -1;
	ck_assert_int_eq(smtp_tls_write(server, "x", 1, &n), SMTP_TLS_FAILED);
	ck_assert_str_eq(smtp_tls_problem(server), "Broken pipe");
}
END_TEST

/* A peer that knows TLS 1.1 at most, or 1.2. */
START_TEST(versions_of_the_protocol)
{
	static const struct {
		int max;
		enum smtp_tls_result result;
	} rows[] = { { TLS1_1_VERSION, SMTP_TLS_FAILED }, { TLS1_2_VERSION, SMTP_TLS_DONE } };
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL *ssl;
	enum smtp_tls_result result = SMTP_TLS_WANTS_READ;
	char description[SMTP_TLS_DESCRIPTION_MAX];

	ck_assert_ptr_nonnull(context);
	SSL_CTX_set_security_level(context, 0);
	ck_assert_int_eq(SSL_CTX_set_max_proto_version(context, rows[_i].max), 1);
	ssl = SSL_new(context);
	ck_assert_ptr_nonnull(ssl);
	ck_assert_int_eq(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_eq(SSL_set_fd(ssl, pair[1]), 1);
	ck_assert_int_eq(smtp_tls_stream_new(&server, server_context, pair[0], NULL), 0);
	for (int i = 0; i < 8; i++) {
		(void)SSL_connect(ssl);
		if (result != SMTP_TLS_DONE && result != SMTP_TLS_FAILED)
			result = smtp_tls_handshake(server);
	}
	ck_assert_int_eq(result, rows[_i].result);
	if (result == SMTP_TLS_DONE) {
		smtp_tls_describe(server, description);
		ck_assert_str_eq(description, "TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384");
	} else {
		ck_assert_str_eq(smtp_tls_problem(server), "unsupported protocol");
	}
	SSL_free(ssl);
	SSL_CTX_free(context);
	ERR_clear_error();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tls");
	TCase *tc = tcase_create("tls");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, certificate_is_checked, 0, ROWS(checks));
	tcase_add_test(tc, checking_needs_a_name);
	tcase_add_loop_test(tc, problems_with_files_are_named, 0, ROWS(pairs));
	tcase_add_test(tc, trust_from_a_wrong_file);
	tcase_add_test(tc, nothing_waits);
	tcase_add_test(tc, write_stops_when_the_socket_is_full);
	tcase_add_loop_test(tc, ends_of_a_stream, 0, 2);
	tcase_add_test(tc, write_to_a_closed_peer_raises_no_signal);
	tcase_add_loop_test(tc, versions_of_the_protocol, 0, 2);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
