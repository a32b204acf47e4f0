/* SPDX-License-Identifier: ISC */
/* tls_private.h - what the files of the adapter of OpenSSL share. tls.c: contexts and streams. tls_pem.c:
 * certificates, keys and trust from PEM. tls_server.c: what a server end has besides.
 */
#ifndef SMTP_NET_TLS_PRIVATE_H
#define SMTP_NET_TLS_PRIVATE_H

#include <openssl/ssl.h>
#include <stdatomic.h>
#include "libsmtp/net/tls.h"

struct smtp_tls_context {
	atomic_uint refs;
	SSL_CTX *ssl;
	BIO_METHOD *socket_method;
	struct smtp_tls_context *next; /* further certificates of a server; the first one has them */
	bool verify;
	bool pinned;
	uint8_t pin[SMTP_TLS_PIN_SIZE];
};

struct smtp_tls_stream {
	struct smtp_tls_context *context;
	SSL *ssl;
	int fd;
	int socket_errno; /* of the last system call that failed */
	char problem[SMTP_TLS_PROBLEM_MAX];
};

int smtp_tls_context_new(struct smtp_tls_context **out, const SSL_METHOD *method);
/** The oldest error of OpenSSL's queue, which is the cause of the others; empties the queue. */
const char *smtp_tls_error_reason(void);
void smtp_tls_say(char problem[SMTP_TLS_PROBLEM_MAX], const char *where, const char *what);

/** Certificate with its chain, and its key. SMTP_EACCESS, SMTP_ETLS, SMTP_ENOMEM. */
SMTP_MUST_USE int smtp_tls_load_pair(SSL_CTX *ssl, const struct smtp_tls_pair *pair,
				     char problem[SMTP_TLS_PROBLEM_MAX]);
/** Adds the certificates of authorities; those of a server are also named to its clients. */
SMTP_MUST_USE int smtp_tls_load_trust(SSL_CTX *ssl, const struct smtp_tls_pem *pem, bool name_them,
				      char problem[SMTP_TLS_PROBLEM_MAX]);

#endif
