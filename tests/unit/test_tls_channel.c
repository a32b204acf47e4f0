/* SPDX-License-Identifier: ISC */
/* What SASL is given of TLS: bindings that both ends see alike, in TLS 1.2 and 1.3; the hash by the
 * signature of the certificate; whom a certificate names.
 */
#include "libsmtp/net/tls.h"
#include "libsmtp/net/tls_certificate.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include "tests/unit/certificate.h"
#include "tests/unit/testing.h"

/* --- certificates ------------------------------------------------------------------------------ */

static X509 *make_certificate(EVP_PKEY *key, const char *name, int name_n, const char *alternatives,
			      const EVP_MD *md)
{
	X509 *x = X509_new();
	X509_NAME *subject = X509_NAME_new();
	X509_EXTENSION *extension = NULL;

	ck_assert_int_eq(X509_set_version(x, X509_VERSION_3), 1);
	ck_assert_int_eq(ASN1_INTEGER_set(X509_get_serialNumber(x), 1), 1);
	ck_assert_ptr_nonnull(X509_gmtime_adj(X509_getm_notBefore(x), 0));
	ck_assert_ptr_nonnull(X509_gmtime_adj(X509_getm_notAfter(x), 86400));
	if (name)
		ck_assert_int_eq(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
							    (const unsigned char *)name, name_n, -1, 0),
				 1);
	ck_assert_int_eq(X509_set_subject_name(x, subject), 1);
	ck_assert_int_eq(X509_set_issuer_name(x, subject), 1);
	ck_assert_int_eq(X509_set_pubkey(x, key), 1);
	if (alternatives) {
		extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alternatives);
		ck_assert_int_eq(X509_add_ext(x, extension, -1), 1);
	}
	ck_assert_int_gt(X509_sign(x, key, md), 0);
	X509_EXTENSION_free(extension);
	X509_NAME_free(subject);
	return x;
}

static const struct {
	const char *signature, *hash; /* NULL: none is defined */
} hashes[] = {
	{ "SHA1", "SHA256" }, { "SHA256", "SHA256" }, { "SHA384", "SHA384" }, { "SHA512", "SHA512" },
	{ NULL, NULL },
};

START_TEST(hash_rows)
{
	const char *signature = hashes[_i].signature;
	EVP_PKEY *key = signature ? EVP_EC_gen("P-256") : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	X509 *x = make_certificate(key, "x", -1, NULL, signature ? EVP_get_digestbyname(signature) : NULL);
	uint8_t expected[EVP_MAX_MD_SIZE], hash[64];
	unsigned n = 0;

	if (hashes[_i].hash)
		ck_assert_int_eq(X509_digest(x, EVP_get_digestbyname(hashes[_i].hash), expected, &n), 1);
	ck_assert_uint_eq(smtp_tls_certificate_hash(x, hash), n);
	ck_assert_int_eq(memcmp(hash, expected, n), 0);
	X509_free(x);
	EVP_PKEY_free(key);
}
END_TEST

static const struct {
	const char *title, *name;
	int name_n;
	const char *alternatives, *identity;
} names[] = {
	{ "mail address", "Joe", -1, "email:joe@example.com", "joe@example.com" },
	{ "first of several", "Joe", -1, "DNS:x.example,email:a@x.example,email:b@x.example", "a@x.example" },
	{ "common name", "joe", -1, NULL, "joe" },
	{ "no mail address", "joe", -1, "DNS:joe.example", "joe" },
	{ "UTF-8", "j\xc3\xb6", -1, NULL, "j\xc3\xb6" },
	{ "NUL", "joe\0.evil", 9, NULL, "" },
	{ "control character", "joe\x01", -1, NULL, "" },
	{ "line end", "joe\r\nx", -1, NULL, "" },
	{ "nobody", NULL, 0, NULL, "" },
	{ "nobody but a host", NULL, 0, "DNS:joe.example", "" },
};

START_TEST(name_rows)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = make_certificate(key, names[_i].name, names[_i].name_n, names[_i].alternatives,
				   EVP_sha256());
	char identity[SMTP_TLS_IDENTITY_MAX] = "?";
	char little[4] = "?";

	smtp_tls_certificate_identity(x, identity, sizeof(identity));
	ck_assert_msg(strcmp(identity, names[_i].identity) == 0, "%s: %s", names[_i].title, identity);
	smtp_tls_certificate_identity(x, little, sizeof(little));
	ck_assert_str_eq(little, strlen(names[_i].identity) < sizeof(little) ? names[_i].identity : "");
	X509_free(x);
	EVP_PKEY_free(key);
}
END_TEST

/* --- connections ------------------------------------------------------------------------------- */

static struct certificate_files files;
static struct smtp_tls_context *contexts[2];
static int fds[2];

static void set_up(void)
{
	char problem[SMTP_TLS_PROBLEM_MAX];

	certificate_make(&files, "DNS:localhost", NULL);
	ck_assert_int_eq(smtp_tls_client_context_new(&contexts[1], true, files.certificate, problem), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
}

static void tear_down(void)
{
	close(fds[0]);
	close(fds[1]);
	smtp_tls_context_unref(contexts[0]);
	smtp_tls_context_unref(contexts[1]);
	certificate_remove(&files);
}

static struct smtp_tls_stream *server_stream(void)
{
	char problem[SMTP_TLS_PROBLEM_MAX];
	struct smtp_tls_stream *stream;

	ck_assert_int_eq(smtp_tls_server_context_new(&contexts[0], files.certificate, files.key, NULL,
						     problem), 0);
	ck_assert_int_eq(smtp_tls_stream_new(&stream, contexts[0], fds[0], NULL), 0);
	return stream;
}

/* Both ends are ours. */
START_TEST(both_ends_see_the_same)
{
	struct smtp_tls_channel_store stores[2];
	struct smtp_tls_channel channels[2];
	struct smtp_tls_stream *server = server_stream(), *client;
	bool server_done = false, client_done = false;

	ck_assert_int_eq(smtp_tls_stream_new(&client, contexts[1], fds[1], "localhost"), 0);
	for (int i = 0; i < 100 && !(server_done && client_done); i++) {
		client_done = client_done || smtp_tls_handshake(client) == SMTP_TLS_DONE;
		server_done = server_done || smtp_tls_handshake(server) == SMTP_TLS_DONE;
	}
	ck_assert(server_done && client_done);
	smtp_tls_channel(server, &stores[0], &channels[0]);
	smtp_tls_channel(client, &stores[1], &channels[1]);
	ck_assert_uint_eq(channels[0].exporter.n, 32);
	ck_assert_uint_eq(channels[1].exporter.n, 32);
	ck_assert_int_eq(memcmp(stores[0].exporter, stores[1].exporter, 32), 0);
	ck_assert_uint_eq(channels[0].server_end_point.n, 32);
	ck_assert_uint_eq(channels[1].server_end_point.n, 32);
	ck_assert_int_eq(memcmp(stores[0].end_point, stores[1].end_point, 32), 0);
	ck_assert_ptr_null(channels[0].client_identity);
	ck_assert_ptr_null(channels[1].client_identity);
	smtp_tls_stream_free(client);
	smtp_tls_stream_free(server);
}
END_TEST

/* The client is OpenSSL itself; version 1.2 has no exporter that could be used. */
START_TEST(as_openssl_sees_it)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	static const char label[] = "EXPORTER-Channel-Binding";
	struct smtp_tls_stream *server = server_stream();
	struct smtp_tls_channel_store store;
	struct smtp_tls_channel channel;
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL *client = SSL_new(context);
	uint8_t exported[32], hash[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	bool server_done = false, client_done = false;

	ck_assert_int_eq(SSL_set_min_proto_version(client, versions[_i]), 1);
	ck_assert_int_eq(SSL_set_max_proto_version(client, versions[_i]), 1);
	ck_assert_int_eq(SSL_set_fd(client, fds[1]), 1);
	for (int i = 0; i < 100 && !(server_done && client_done); i++) {
		client_done = client_done || SSL_connect(client) == 1;
		server_done = server_done || smtp_tls_handshake(server) == SMTP_TLS_DONE;
	}
	ck_assert(server_done && client_done);
	smtp_tls_channel(server, &store, &channel);
	ck_assert_int_eq(X509_digest(SSL_get0_peer_certificate(client), EVP_sha256(), hash, &n), 1);
	ck_assert_uint_eq(channel.server_end_point.n, n);
	ck_assert_int_eq(memcmp(store.end_point, hash, n), 0);
	ck_assert_uint_eq(channel.exporter.n, versions[_i] == TLS1_3_VERSION ? 32 : 0);
	ck_assert_int_eq(SSL_export_keying_material(client, exported, sizeof(exported), label,
						    sizeof(label) - 1, NULL, 0, 1), 1);
	ck_assert_int_eq(memcmp(store.exporter, exported, channel.exporter.n), 0);
	SSL_free(client);
	SSL_CTX_free(context);
	smtp_tls_stream_free(server);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tls_channel");
	TCase *tc = tcase_create("certificates");

	tcase_add_loop_test(tc, hash_rows, 0, ROWS(hashes));
	tcase_add_loop_test(tc, name_rows, 0, ROWS(names));
	suite_add_tcase(suite, tc);
	tc = tcase_create("connections");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, both_ends_see_the_same);
	tcase_add_loop_test(tc, as_openssl_sees_it, 0, 2);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
