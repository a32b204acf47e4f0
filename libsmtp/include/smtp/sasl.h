/* SPDX-License-Identifier: ISC */
/* sasl.h - what AUTH (RFC 4954) stands on, for both ends of a session: names of mechanisms, the
 * cryptography they need, stored keys of SCRAM, and what TLS gives to them.
 * Threads: everything here is pure; call it from any thread.
 * Errors:  0 or a negative enum smtp_error.
 */
#ifndef SMTP_SASL_H
#define SMTP_SASL_H

#include <smtp/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** SASL mechanisms; also as a set. */
enum smtp_mechanism {
	SMTP_MECHANISM_PLAIN = 1 << 0,              /* RFC 4616: password in clear */
	SMTP_MECHANISM_LOGIN = 1 << 1,              /* the same, older */
	SMTP_MECHANISM_CRAM_MD5 = 1 << 2,           /* RFC 2195: weak; needs the password stored in clear */
	SMTP_MECHANISM_SCRAM_SHA_256 = 1 << 3,      /* RFC 5802, 7677: proof on both ends */
	SMTP_MECHANISM_SCRAM_SHA_256_PLUS = 1 << 4, /* the same, bound to the TLS connection */
	SMTP_MECHANISM_XOAUTH2 = 1 << 5,            /* a token, as Google defines it */
	SMTP_MECHANISM_OAUTHBEARER = 1 << 6,        /* RFC 7628: a token */
	SMTP_MECHANISM_EXTERNAL = 1 << 7,           /* RFC 4422, A: the TLS client certificate */
	SMTP_MECHANISMS_ALL = (1 << 8) - 1,
	/* What a server offers unless told otherwise: the password, in clear under TLS or proven. */
	SMTP_MECHANISMS_DEFAULT = SMTP_MECHANISM_PLAIN | SMTP_MECHANISM_LOGIN |
				  SMTP_MECHANISM_SCRAM_SHA_256 | SMTP_MECHANISM_SCRAM_SHA_256_PLUS
};

/** The mechanism of a name such as "SCRAM-SHA-256", in any case; 0 if it is not known. */
SMTP_API unsigned smtp_mechanism_of(struct smtp_span name);
/** Its name, static; NULL for what is not exactly one mechanism. */
SMTP_API const char *smtp_mechanism_name(unsigned mechanism);

/** Cryptography for SCRAM and CRAM-MD5, so that sessions need no library of their own. Each function
 *  returns 0 or a negative enum smtp_error, may be called from any thread, and must not keep what it is
 *  given. All but hmac_md5 are needed; without that one there is no CRAM-MD5. */
struct smtp_crypto {
	size_t size; /* sizeof(struct smtp_crypto) */
	void *user;
	int (*random)(void *user, uint8_t *out, size_t n);
	int (*sha256)(void *user, struct smtp_span data, uint8_t out[32]);
	int (*hmac_sha256)(void *user, struct smtp_span key, struct smtp_span data, uint8_t out[32]);
	int (*pbkdf2_sha256)(void *user, struct smtp_span password, struct smtp_span salt,
			     uint32_t iterations, uint8_t out[32]);
	int (*hmac_md5)(void *user, struct smtp_span key, struct smtp_span data, uint8_t out[16]);
};

/** The table filled by OpenSSL; static. smtp_server and smtp_client use it by themselves. Where
 *  OpenSSL runs without MD5, hmac_md5 answers SMTP_ENOTSUP. */
SMTP_API const struct smtp_crypto *smtp_crypto_openssl(void);

enum {
	SMTP_SCRAM_SALT_MAX = 64,
	SMTP_SCRAM_ITERATIONS_MIN = 4096,    /* RFC 7677, 4; fewer are refused by the client */
	SMTP_SCRAM_ITERATIONS_MAX = 10000000, /* more are refused by the client: it would be busy for long */
	SMTP_SCRAM_ITERATIONS_DEFAULT = 100000
};

/** What a server stores of a password for SCRAM-SHA-256 (RFC 5802, 3): it can check a proof with it, not
 *  give one. Whoever steals it can still try passwords, and play the server to this user: keep it as
 *  secret as a password hash. */
struct smtp_scram_keys {
	uint8_t salt[SMTP_SCRAM_SALT_MAX];
	size_t salt_n;
	uint32_t iterations;
	uint8_t stored_key[32];
	uint8_t server_key[32];
};

/** Makes the keys of a password with a new salt of 16 octets. iterations 0: the default; the time it
 *  takes grows with it (100,000: some 30 ms). The password is UTF-8 without control characters (else
 *  SMTP_EINVAL). SASLprep (RFC 4013) leaves ASCII as it is, and so do we all else: who lets people choose
 *  passwords beyond ASCII brings them into form NFKC first, here and in the client.
 *  SMTP_EINVAL, or an error of `crypto`. */
SMTP_API SMTP_MUST_USE int smtp_scram_keys_make(struct smtp_scram_keys *out,
						const struct smtp_crypto *crypto,
						struct smtp_span password, uint32_t iterations);

/** What one TLS connection gives to SASL: told to a session by its driver. smtp_server and smtp_client do
 *  that by themselves. */
struct smtp_tls_channel {
	size_t size; /* sizeof(struct smtp_tls_channel) */
	/* 32 octets of exported keying material (RFC 9266); empty: there are none. TLS 1.3. */
	struct smtp_span exporter;
	/* The hash of the server's certificate (RFC 5929, 4), at most 64 octets; empty: there is none. */
	struct smtp_span server_end_point;
	/* On the server: whom the verified certificate of the client names; NULL: there is none. */
	const char *client_identity;
};

#ifdef __cplusplus
}
#endif
#endif
