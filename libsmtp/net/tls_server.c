/* SPDX-License-Identifier: ISC */
/* The server end of TLS: one context for each certificate, the fitting one chosen by the name the client
 * asks for (SNI, RFC 6066, 3), and certificates of clients. Part of the adapter of OpenSSL.
 */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "libsmtp/net/tls_private.h"

/* The first of all has its own certificate too: it is used when no other one fits better. */
static int choose_certificate(SSL *ssl, int *alert, void *user)
{
	const struct smtp_tls_context *first = user;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert;
	if (!name)
		return SSL_TLSEXT_ERR_NOACK;
	for (const struct smtp_tls_context *c = first; c; c = c->next) {
		X509 *certificate = SSL_CTX_get0_certificate(c->ssl);

		if (!certificate || X509_check_host(certificate, name, 0,
						    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) != 1)
			continue;
		if (c != first && !SSL_set_SSL_CTX(ssl, c->ssl))
			return SSL_TLSEXT_ERR_ALERT_FATAL;
		return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_NOACK;
}

/* Where a certificate is asked for and not required, a bad one is as none; the verdict stays with the
 * connection, and only a good one names anybody. */
static int accept_any(int good, X509_STORE_CTX *store)
{
	(void)good;
	(void)store;
	return 1;
}

static int ask_clients(struct smtp_tls_context *context, const struct smtp_tls_server *server,
		       char problem[SMTP_TLS_PROBLEM_MAX])
{
	if (!server->client_ca.file && !server->client_ca.text)
		return server->require_client_certificate ? SMTP_EINVAL : 0;
	context->verify = true;
	if (server->require_client_certificate)
		SSL_CTX_set_verify(context->ssl,
				   SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	else
		SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER, accept_any);
	return smtp_tls_load_trust(context->ssl, &server->client_ca, true, problem);
}

static int one_new(struct smtp_tls_context **out, const struct smtp_tls_server *server,
		   const struct smtp_tls_pair *pair, char problem[SMTP_TLS_PROBLEM_MAX])
{
	static const unsigned char session_context[] = "smtp";
	struct smtp_tls_context *context = NULL;
	int err;

	if ((!pair->certificate.file && !pair->certificate.text) ||
	    (!pair->key.file && !pair->key.text)) {
		smtp_tls_say(problem, "", "a certificate and its key are needed");
		return SMTP_EINVAL;
	}
	err = smtp_tls_context_new(&context, TLS_server_method());
	if (!err)
		err = smtp_tls_load_pair(context->ssl, pair, problem);
	if (!err)
		err = ask_clients(context, server, problem);
	if (!err && (SSL_CTX_set_dh_auto(context->ssl, 1) != 1 ||
		     SSL_CTX_set_session_id_context(context->ssl, session_context,
						    sizeof session_context - 1) != 1 ||
		     SSL_CTX_set_num_tickets(context->ssl, 1) != 1))
		err = SMTP_ENOMEM;
	if (err) {
		smtp_tls_context_unref(context);
		return err;
	}
	*out = context;
	return 0;
}

int smtp_tls_server_context_make(struct smtp_tls_context **out, const struct smtp_tls_server *server,
				 char problem[SMTP_TLS_PROBLEM_MAX])
{
	struct smtp_tls_context *first = NULL;
	struct smtp_tls_context **last = &first;
	int err = server->count > 0 ? 0 : SMTP_EINVAL;

	*problem = '\0';
	for (size_t i = 0; i < server->count && !err; i++) {
		err = one_new(last, server, &server->pairs[i], problem);
		if (!err)
			last = &(*last)->next;
	}
	ERR_clear_error();
	if (err) {
		if (!*problem)
			smtp_tls_say(problem, "", smtp_error_str(err));
		smtp_tls_context_unref(first);
		return err;
	}
	if (first->next) {
		(void)SSL_CTX_set_tlsext_servername_callback(first->ssl, choose_certificate);
		(void)SSL_CTX_set_tlsext_servername_arg(first->ssl, first);
	}
	*out = first;
	return 0;
}

int smtp_tls_server_context_new(struct smtp_tls_context **out, const char *certificate_file,
				const char *key_file, const char *passphrase,
				char problem[SMTP_TLS_PROBLEM_MAX])
{
	const struct smtp_tls_pair pair = {
		.certificate.file = certificate_file,
		.key.file = key_file,
		.passphrase = passphrase,
	};
	const struct smtp_tls_server server = { .pairs = &pair, .count = 1 };

	return smtp_tls_server_context_make(out, &server, problem);
}

/* --- about a connection ------------------------------------------------------------------------ */

static void print_subject(X509 *certificate, char out[SMTP_TLS_SUBJECT_MAX])
{
	BIO *bio = BIO_new(BIO_s_mem());
	int n = 0;

	if (bio && X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0,
				      XN_FLAG_RFC2253) >= 0)
		n = BIO_read(bio, out, SMTP_TLS_SUBJECT_MAX - 1);
	out[n > 0 ? n : 0] = '\0';
	(void)BIO_free(bio);
}

static void print_fingerprint(X509 *certificate, char out[SMTP_TLS_FINGERPRINT_MAX])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t hash[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (X509_digest(certificate, EVP_sha256(), hash, &n) != 1 || n != 32)
		n = 0;
	for (unsigned i = 0; i < n; i++) {
		out[2 * i] = digits[hash[i] >> 4];
		out[2 * i + 1] = digits[hash[i] & 15];
	}
	out[2 * (size_t)n] = '\0';
}

void smtp_tls_details(const struct smtp_tls_stream *stream, struct smtp_tls_details *out)
{
	X509 *client = SSL_get0_peer_certificate(stream->ssl);
	const char *name = SSL_get_servername(stream->ssl, TLSEXT_NAMETYPE_host_name);

	*out = (struct smtp_tls_details){
		.version = SSL_get_version(stream->ssl),
		.cipher = SSL_get_cipher_name(stream->ssl),
	};
	if (name && strlen(name) < sizeof out->server_name)
		memcpy(out->server_name, name, strlen(name) + 1);
	if (client) {
		out->client_is_verified = stream->context->verify &&
					  SSL_get_verify_result(stream->ssl) == X509_V_OK;
		print_subject(client, out->client_subject);
		print_fingerprint(client, out->client_fingerprint);
	}
	ERR_clear_error();
}
