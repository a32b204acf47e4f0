/* SPDX-License-Identifier: ISC */
/* tls.h - the adapter of OpenSSL: contexts and streams. Nothing else knows its types. TLS 1.2 and up.
 * Buffers of idle connections are given back (SSL_MODE_RELEASE_BUFFERS).
 */
#ifndef SMTP_NET_TLS_H
#define SMTP_NET_TLS_H

#include <smtp/base.h>
#include <smtp/sasl.h>

/** Certificate and key, or trust. Immutable and counted: shared by threads, each stream holds one. */
struct smtp_tls_context;

enum { SMTP_TLS_PROBLEM_MAX = 256, SMTP_TLS_DESCRIPTION_MAX = 80, SMTP_TLS_IDENTITY_MAX = 256 };

/** Server end from PEM files. `passphrase` may be NULL. `problem` receives one line on failure, such as
 *  "key.pem: does not match cert.pem". SMTP_EACCESS, SMTP_ETLS, SMTP_EINVAL, SMTP_ENOMEM. */
SMTP_MUST_USE int smtp_tls_server_context_new(struct smtp_tls_context **out,
					      const char *certificate_file, const char *key_file,
					      const char *passphrase,
					      char problem[SMTP_TLS_PROBLEM_MAX]);
/** PEM in a file, or as text in memory. */
struct smtp_tls_pem {
	const char *file;
	const char *text; /* if there is no file */
};

struct smtp_tls_pair {
	struct smtp_tls_pem certificate; /* with its chain */
	struct smtp_tls_pem key;
	const char *passphrase; /* NULL: none */
};

struct smtp_tls_server {
	const struct smtp_tls_pair *pairs; /* the first is for clients that ask for no name, or another */
	size_t count;
	struct smtp_tls_pem client_ca; /* with it, clients are asked for certificates */
	bool require_client_certificate;
};

/** The same with all that a server may have. */
SMTP_MUST_USE int smtp_tls_server_context_make(struct smtp_tls_context **out,
					       const struct smtp_tls_server *,
					       char problem[SMTP_TLS_PROBLEM_MAX]);
/** Client end. `ca_file` NULL: the system's certificates. verify false: any certificate will do. */
SMTP_MUST_USE int smtp_tls_client_context_new(struct smtp_tls_context **out, bool verify,
					      const char *ca_file,
					      char problem[SMTP_TLS_PROBLEM_MAX]);
/** More about a client context, before its first use: a certificate to show, PEM files as above ... */
SMTP_MUST_USE int smtp_tls_client_context_set_certificate(struct smtp_tls_context *,
							  const char *certificate_file,
							  const char *key_file, const char *passphrase,
							  char problem[SMTP_TLS_PROBLEM_MAX]);
/** ... and the only key that a server may have, whatever its certificate says besides: the SHA-256 of
 *  its SubjectPublicKeyInfo (RFC 7469, 2.4). */
enum { SMTP_TLS_PIN_SIZE = 32 };
void smtp_tls_client_context_set_pin(struct smtp_tls_context *,
				     const uint8_t pin[SMTP_TLS_PIN_SIZE]);
/** A pin from text: 64 hexadecimal digits, with or without colons, or base64; "sha256//" may stand
 *  before it. SMTP_ESYNTAX. */
SMTP_MUST_USE int smtp_tls_pin_parse(uint8_t out[SMTP_TLS_PIN_SIZE], const char *text);
struct smtp_tls_context *smtp_tls_context_ref(struct smtp_tls_context *);
void smtp_tls_context_unref(struct smtp_tls_context *);

/** One connection; works on a non-blocking socket that stays the caller's. */
struct smtp_tls_stream;

enum smtp_tls_result { SMTP_TLS_DONE, SMTP_TLS_WANTS_READ, SMTP_TLS_WANTS_WRITE, SMTP_TLS_CLOSED,
		       SMTP_TLS_FAILED };

/** `name` (client): for SNI and, when the context verifies, the name or IP the certificate must bear;
 *  NULL on the server. */
SMTP_MUST_USE int smtp_tls_stream_new(struct smtp_tls_stream **out, struct smtp_tls_context *, int fd,
				      const char *name);
void smtp_tls_stream_free(struct smtp_tls_stream *);
enum smtp_tls_result smtp_tls_handshake(struct smtp_tls_stream *);
/** DONE: *n octets were moved, at least 1. */
enum smtp_tls_result smtp_tls_read(struct smtp_tls_stream *, void *out, size_t cap, size_t *n);
enum smtp_tls_result smtp_tls_write(struct smtp_tls_stream *, const void *octets, size_t count,
				    size_t *n);
/** Sends close_notify if that goes without waiting. */
void smtp_tls_shutdown(struct smtp_tls_stream *);
/** Octets that were decrypted and are not yet read: readiness of the socket does not tell of them. */
bool smtp_tls_has_pending(const struct smtp_tls_stream *);
/** "TLSv1.3 TLS_AES_256_GCM_SHA384" into a buffer of SMTP_TLS_DESCRIPTION_MAX. */
void smtp_tls_describe(const struct smtp_tls_stream *, char out[SMTP_TLS_DESCRIPTION_MAX]);
enum { SMTP_TLS_SUBJECT_MAX = 512, SMTP_TLS_FINGERPRINT_MAX = 65, SMTP_TLS_NAME_MAX = 256 };

/** About a connection of a server; texts are "" when there is nothing. */
struct smtp_tls_details {
	const char *version; /* static, as is `cipher` */
	const char *cipher;
	bool client_is_verified; /* its certificate comes from an authority of the server */
	char server_name[SMTP_TLS_NAME_MAX];              /* that the client asked for */
	char client_subject[SMTP_TLS_SUBJECT_MAX];        /* RFC 2253; cut if longer */
	char client_fingerprint[SMTP_TLS_FINGERPRINT_MAX]; /* SHA-256, 64 hexadecimal digits */
};
void smtp_tls_details(const struct smtp_tls_stream *stream, struct smtp_tls_details *out);
/** What SASL can bind to and whom the client's verified certificate names (SMTP_TLS_IDENTITY_MAX; server
 *  end). Spans point into `store`; what is not there is empty. After the handshake. */
struct smtp_tls_channel_store {
	uint8_t exporter[32];
	uint8_t end_point[64];
	char identity[SMTP_TLS_IDENTITY_MAX];
};
void smtp_tls_channel(const struct smtp_tls_stream *, struct smtp_tls_channel_store *store,
		      struct smtp_tls_channel *out);
/** Why the last call failed, one line; with the reason of a refused certificate. */
const char *smtp_tls_problem(const struct smtp_tls_stream *);

#endif
