/* SPDX-License-Identifier: ISC */
/* What a listener can do with certificates: files, a passphrase, memory, several by name, those of
 * clients; and what handlers are told of it.
 */
#include <openssl/x509v3.h>
#include <pthread.h>
#include <sched.h>
#include <smtp/server.h>
#include <stdatomic.h>
#include <stdio.h>
#include "libsmtp/net/server_internal.h"
#include "tests/unit/certificate.h"
#include "tests/unit/server_client.h"
#include "tests/unit/testing.h"

enum { PEM_MAX = 8192 };

static struct smtp_server *server;
static struct smtp_listener_options listener;
static struct certificate_files files, other, client_files;
static uint16_t port;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char told[2048]; /* by the last session at EHLO */

static enum smtp_verdict on_helo(struct smtp_server_session *s, struct smtp_span name, bool extended,
				 void *user)
{
	struct smtp_session_tls tls = { .size = sizeof(tls) };
	int err = smtp_server_session_tls(s, &tls);

	(void)name;
	(void)extended;
	(void)user;
	(void)pthread_mutex_lock(&lock);
	if (err)
		snprintf(told, sizeof(told), "%s", smtp_error_str(err));
	else
		snprintf(told, sizeof(told), "%s sni=%s subject=%s identity=%s %s %zu", tls.version,
			 tls.server_name, tls.client_subject,
			 smtp_server_session_client_identity(s),
			 tls.client_is_verified ? "verified" : "unverified",
			 strlen(tls.client_fingerprint));
	if (!err)
		ck_assert_ptr_nonnull(strstr(smtp_server_session_tls_description(s), tls.cipher));
	(void)pthread_mutex_unlock(&lock);
	return SMTP_ACCEPT;
}

static const struct smtp_server_session_handler handler = { .size = sizeof(handler),
							    .helo = on_helo };

static const char *what_was_told(void)
{
	static char copy[sizeof(told)];

	(void)pthread_mutex_lock(&lock);
	memcpy(copy, told, sizeof(copy));
	(void)pthread_mutex_unlock(&lock);
	return copy;
}

static void set_up(void)
{
	struct smtp_server_options options = SMTP_SERVER_OPTIONS_INIT;

	options.loops = 2;
	listener = (struct smtp_listener_options)SMTP_LISTENER_OPTIONS_INIT;
	listener.address = "127.0.0.1:0";
	listener.session.hostname = "mail.example.com";
	listener.handler = &handler;
	listener.implicit_tls = true;
	certificate_make(&files, "DNS:mail.example.com", NULL);
	certificate_make(&other, "DNS:*.example.org,DNS:example.org", "secret");
	certificate_make(&client_files, "email:alice@example.com", NULL);
	listener.certificate_file = files.certificate;
	listener.key_file = files.key;
	ck_assert_int_eq(smtp_server_new(&server, &options), 0);
}

static void tear_down(void)
{
	smtp_server_free(server);
	certificate_remove(&files);
	certificate_remove(&other);
	certificate_remove(&client_files);
}

static int try_listen(void)
{
	return smtp_server_listen(server, &listener, &port);
}

static void serve(void)
{
	ck_assert_msg(try_listen() == 0, "%s", smtp_server_problem(server));
	ck_assert_int_eq(smtp_server_start(server), 0);
}

/* `name`: to ask for; `show`: with the client's certificate. False: no handshake. */
static bool connect_tls(struct client *c, const char *name, bool show)
{
	char host[256];

	client_connect_to(c, "127.0.0.1", port);
	c->context = SSL_CTX_new(TLS_client_method());
	ck_assert_ptr_nonnull(c->context);
	if (show) {
		ck_assert_int_eq(SSL_CTX_use_certificate_file(c->context, client_files.certificate,
							      SSL_FILETYPE_PEM), 1);
		ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(c->context, client_files.key,
							     SSL_FILETYPE_PEM), 1);
	}
	c->ssl = SSL_new(c->context);
	ck_assert_ptr_nonnull(c->ssl);
	ck_assert_int_eq(SSL_set_fd(c->ssl, c->fd), 1);
	(void)snprintf(host, sizeof(host), "%s", name ? name : "");
	if (name) /* the macro casts const away */
		ck_assert_int_eq(SSL_set_tlsext_host_name(c->ssl, host), 1);
	return SSL_connect(c->ssl) == 1;
}

static void greet(struct client *c)
{
	client_expect(c, "220");
	client_talk(c, "EHLO client.example\r\n", "250");
}

static bool server_is(const struct client *c, const char *name)
{
	X509 *certificate = SSL_get0_peer_certificate(c->ssl);

	ck_assert_ptr_nonnull(certificate);
	return X509_check_host(certificate, name, 0, 0, NULL) == 1;
}

static void read_pem(const char *file, char out[PEM_MAX])
{
	FILE *fp = fopen(file, "re");
	size_t n;

	ck_assert_ptr_nonnull(fp);
	n = fread(out, 1, PEM_MAX - 1, fp);
	out[n] = '\0';
	ck_assert_int_eq(fclose(fp), 0);
}

START_TEST(from_memory)
{
	char certificate[PEM_MAX], key[PEM_MAX];
	struct client c;

	read_pem(_i ? other.certificate : files.certificate, certificate);
	read_pem(_i ? other.key : files.key, key);
	listener.certificate_file = listener.key_file = NULL;
	listener.certificate_pem = certificate;
	listener.key_pem = key;
	listener.key_passphrase = _i ? "secret" : NULL;
	serve();
	memset(certificate, 'x', sizeof(certificate)); /* the server has its own copies */
	memset(key, 'x', sizeof(key));
	ck_assert_int_eq(smtp_server_reload_tls(server, NULL, 0), 0);
	ck_assert(connect_tls(&c, NULL, false));
	ck_assert(server_is(&c, _i ? "example.org" : "mail.example.com"));
	greet(&c);
	client_close(&c);
}
END_TEST

static atomic_uint reloads;
static atomic_bool reloading;

static void *reload_often(void *user)
{
	(void)user;
	while (atomic_load(&reloading)) {
		ck_assert_int_eq(smtp_server_reload_tls(server, NULL, 0), 0);
		(void)atomic_fetch_add(&reloads, 1);
	}
	return NULL;
}

/* Both make new settings of the old ones: neither may bring back what the other has replaced. */
START_TEST(reloads_keep_options)
{
	struct smtp_server_session_options options = listener.session;
	pthread_t thread;

	serve();
	atomic_store(&reloading, true);
	ck_assert_int_eq(pthread_create(&thread, NULL, reload_often, NULL), 0);
	for (uint32_t i = 0; i < 100; i++) {
		unsigned before;
		struct server_settings *now;

		options.max_recipients = 1000 + i;
		ck_assert_int_eq(smtp_server_set_session_options(server, 0, &options), 0);
		before = atomic_load(&reloads);
		while (atomic_load(&reloads) < before + 2)
			(void)sched_yield();
		now = server_listener_settings(server->listeners);
		ck_assert_uint_eq(now->session.max_recipients, 1000 + i);
		server_settings_unref(now);
	}
	atomic_store(&reloading, false);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

static const struct {
	const char *certificate, *key, *passphrase;
	const char *problem;
} wrong[] = {
	{ "junk", "junk", NULL, "the certificate: holds no PEM certificate" },
	{ "", "", NULL, "the certificate: holds no PEM certificate" },
	{ "mail", "junk", NULL, "the key: holds no PEM private key" },
	{ "mail", NULL, NULL, "a certificate and its key are needed" },
	{ "mail", "other", "secret", "the key: does not match the certificate" },
	{ "other", "other", NULL, "the key: needs a passphrase" },
	{ "other", "other", "wrong", "the key: wrong passphrase" },
};

static const char *pem_of(const char *what, const char *mail_file, const char *other_file,
			  char out[PEM_MAX])
{
	if (!what)
		return NULL;
	if (strcmp(what, "mail") == 0 || strcmp(what, "other") == 0)
		read_pem(strcmp(what, "mail") == 0 ? mail_file : other_file, out);
	else
		snprintf(out, PEM_MAX, "%s", what);
	return out;
}

START_TEST(wrong_in_memory)
{
	char certificate[PEM_MAX], key[PEM_MAX];

	listener.certificate_file = listener.key_file = NULL;
	listener.certificate_pem = pem_of(wrong[_i].certificate, files.certificate,
					  other.certificate, certificate);
	listener.key_pem = pem_of(wrong[_i].key, files.key, other.key, key);
	listener.key_passphrase = wrong[_i].passphrase;
	ck_assert_int_lt(try_listen(), 0);
	ck_assert_str_eq(smtp_server_problem(server), wrong[_i].problem);
}
END_TEST

static const struct {
	const char *asked, *shown;
} names[] = {
	{ NULL, "mail.example.com" },
	{ "mail.example.com", "mail.example.com" },
	{ "example.org", "example.org" },
	{ "smtp.example.org", "example.org" },
	{ "a.b.example.org", "mail.example.com" },
	{ "elsewhere.example", "mail.example.com" },
};

/* What is asked of clients is the same whichever is chosen. */
START_TEST(chosen_by_name)
{
	const struct smtp_certificate more = { .certificate_file = other.certificate,
					       .key_file = other.key,
					       .key_passphrase = "secret" };
	char expected[128];
	struct client c;

	listener.certificates = &more;
	listener.certificate_count = 1;
	listener.client_ca_file = client_files.certificate;
	serve();
	ck_assert(connect_tls(&c, names[_i].asked, true));
	ck_assert(server_is(&c, names[_i].shown));
	greet(&c);
	snprintf(expected, sizeof(expected), "TLSv1.3 sni=%s subject=CN=test identity=alice@example.com "
					     "verified 64", names[_i].asked ? names[_i].asked : "");
	ck_assert_str_eq(what_was_told(), expected);
	client_close(&c);
}
END_TEST

START_TEST(only_the_further_ones)
{
	const struct smtp_certificate more = { .certificate_file = other.certificate,
					       .key_file = other.key,
					       .key_passphrase = "secret" };
	struct client c;

	listener.certificate_file = listener.key_file = NULL;
	listener.certificates = &more;
	listener.certificate_count = 1;
	serve();
	ck_assert(connect_tls(&c, NULL, false));
	ck_assert(server_is(&c, "example.org"));
	client_close(&c);
}
END_TEST

static const struct {
	bool required, show, trusted;
	bool good;
	const char *told;
} clients[] = {
	{ false, false, true, true, "TLSv1.3 sni= subject= identity= unverified 0" },
	{ false, true, true, true,
	  "TLSv1.3 sni= subject=CN=test identity=alice@example.com verified 64" },
	{ false, true, false, true, "TLSv1.3 sni= subject=CN=test identity= unverified 64" },
	{ true, false, true, false, "" },
	{ true, true, true, true,
	  "TLSv1.3 sni= subject=CN=test identity=alice@example.com verified 64" },
	{ true, true, false, false, "" },
};

START_TEST(certificates_of_clients)
{
	char pem[PEM_MAX];
	struct client c;
	char line[CLIENT_LINE_MAX];

	read_pem(clients[_i].trusted ? client_files.certificate : files.certificate, pem);
	listener.client_ca_pem = pem;
	listener.require_client_certificate = clients[_i].required;
	serve();
	/* with TLS 1.3 a client learns of the refusal at its first read */
	if (!connect_tls(&c, NULL, clients[_i].show) || !clients[_i].good) {
		ck_assert(!clients[_i].good);
		ck_assert(SSL_is_init_finished(c.ssl) == 0 || !client_line(&c, line));
		ck_assert_str_eq(what_was_told(), "");
	} else {
		greet(&c);
		ck_assert_str_eq(what_was_told(), clients[_i].told);
	}
	client_close(&c);
}
END_TEST

START_TEST(authorities_that_are_none)
{
	listener.client_ca_file = files.key;
	ck_assert_int_eq(try_listen(), SMTP_ETLS);
	ck_assert_ptr_nonnull(strstr(smtp_server_problem(server), "holds no PEM certificates"));
	listener.client_ca_file = "/no/such/file";
	ck_assert_int_eq(try_listen(), SMTP_EACCESS);
	listener.client_ca_file = NULL;
	listener.require_client_certificate = true; /* by whom? */
	ck_assert_int_eq(try_listen(), SMTP_EINVAL);
}
END_TEST

START_TEST(no_tls_is_no_tls)
{
	struct client c;

	listener.implicit_tls = false;
	serve();
	client_connect_to(&c, "127.0.0.1", port);
	greet(&c);
	ck_assert_str_eq(what_was_told(), smtp_error_str(SMTP_ESTATE));
	client_talk(&c, "STARTTLS\r\n", "220");
	ck_assert(client_start_tls(&c));
	client_talk(&c, "EHLO client.example\r\n", "250");
	ck_assert_str_eq(what_was_told(), "TLSv1.3 sni= subject= identity= unverified 0");
	client_close(&c);
}
END_TEST

START_TEST(too_many)
{
	static struct smtp_certificate many[64];

	listener.certificates = many;
	listener.certificate_count = 64; /* and the first */
	ck_assert_int_eq(try_listen(), SMTP_ETOOLONG);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("server_tls");
	TCase *tc = tcase_create("server_tls");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, from_memory, 0, 2);
	tcase_add_test(tc, reloads_keep_options);
	tcase_add_loop_test(tc, wrong_in_memory, 0, ROWS(wrong));
	tcase_add_loop_test(tc, chosen_by_name, 0, ROWS(names));
	tcase_add_test(tc, only_the_further_ones);
	tcase_add_loop_test(tc, certificates_of_clients, 0, ROWS(clients));
	tcase_add_test(tc, authorities_that_are_none);
	tcase_add_test(tc, no_tls_is_no_tls);
	tcase_add_test(tc, too_many);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
