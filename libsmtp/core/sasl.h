/* SPDX-License-Identifier: ISC */
/* sasl.h - SASL mechanisms (RFC 4422) as exchanges of messages on both ends, without base64, without
 * I/O, without cryptography of their own. One table names them; each family has its file. What is
 * right is decided by the handlers of the session, but for a proof, which is checked here first.
 */
#ifndef SMTP_CORE_SASL_H
#define SMTP_CORE_SASL_H

#include <smtp/sasl.h>

#include "libsmtp/core/buf.h"
#include "libsmtp/core/sasl_scram.h"

enum {
	SMTP_SASL_FIELD_MAX = 1024,
	SMTP_SASL_TOKEN_MAX = 8192,  /* so that it fits into a line of AUTH */
	SMTP_SASL_MESSAGE_MAX = 9216 /* a line of AUTH, decoded */
};

/** What a login consists of. Every span borrows from the exchange that made it. */
struct smtp_sasl_login {
	struct smtp_span authorization_id; /* empty: same as authentication_id */
	struct smtp_span authentication_id;
	struct smtp_span password;
	struct smtp_span token;
};

/** Splits the message of PLAIN at its exactly two NULs; empty authentication id: SMTP_ESYNTAX. A
 *  field over SMTP_SASL_FIELD_MAX: SMTP_ETOOLONG. */
SMTP_MUST_USE int smtp_sasl_plain_parse(struct smtp_sasl_login *out, struct smtp_span message);
/** Appends the message. SMTP_EINVAL: a NUL in a field, or no authentication id. */
SMTP_MUST_USE int smtp_sasl_plain_format(struct smtp_buf *out, const struct smtp_sasl_login *login);

/* --- mechanisms ------------------------------------------------------------------------------ */

enum smtp_sasl_trait {
	SMTP_SASL_CLEAR_TEXT = 1 << 0,     /* shows the secret to the peer */
	SMTP_SASL_SERVER_FIRST = 1 << 1,   /* a client sends no initial response */
	SMTP_SASL_NEEDS_CRYPTO = 1 << 2,
	SMTP_SASL_NEEDS_MD5 = 1 << 3,
	SMTP_SASL_NEEDS_LOOKUP = 1 << 4,   /* of what is stored about the user */
	SMTP_SASL_NEEDS_BINDING = 1 << 5,  /* to the TLS channel */
	SMTP_SASL_NEEDS_IDENTITY = 1 << 6, /* of a client certificate */
	SMTP_SASL_NEEDS_PASSWORD = 1 << 7, /* on the client */
	SMTP_SASL_NEEDS_TOKEN = 1 << 8,    /* on the client */
	SMTP_SASL_LENIENT = 1 << 9         /* what challenges say does not matter, nor an early response */
};

struct smtp_sasl_server;
struct smtp_sasl_client;

/** What an exchange on the server wants next; or a negative enum smtp_error: ours, not the client's. */
enum smtp_sasl_next {
	SMTP_SASL_CHALLENGE, /* `challenge` goes out, the response into step() */
	SMTP_SASL_LOOKUP,    /* keys or shared secret of login.authentication_id, then looked_up() */
	SMTP_SASL_DECIDE,    /* what the application says of `login`, then decided() */
	SMTP_SASL_DONE,      /* logged in */
	SMTP_SASL_WRONG,     /* no right proof, or refused */
	SMTP_SASL_MALFORMED
};

struct smtp_sasl_rules {
	unsigned mechanism;
	const char *name;
	unsigned traits;
	/* One message of the client, or none before the first challenge (p is NULL). */
	int (*step)(struct smtp_sasl_server *x, struct smtp_span message);
	int (*looked_up)(struct smtp_sasl_server *x); /* NULL: never wanted */
	int (*decided)(struct smtp_sasl_server *x, bool accepted); /* NULL: that is the end */
	/* Appends the response to a challenge; the initial response in round 0. */
	int (*respond)(struct smtp_sasl_client *x, struct smtp_span challenge, struct smtp_buf *out);
};

/** Strongest first; NULL behind the last. */
const struct smtp_sasl_rules *smtp_sasl_rules_at(size_t index);
/** NULL: no such mechanism. */
const struct smtp_sasl_rules *smtp_sasl_rules_of(unsigned mechanism);
/** May SCRAM, or all that needs hmac_md5, be done with this table (which may be NULL)? */
bool smtp_crypto_is_complete(const struct smtp_crypto *crypto, bool md5);

/** A copy of what TLS gives to SASL, without the identity. */
struct smtp_channel {
	uint8_t exporter[SMTP_SCRAM_BINDING_MAX];
	size_t exporter_n;
	uint8_t end_point[SMTP_SCRAM_BINDING_MAX];
	size_t end_point_n;
};

/** SMTP_EINVAL: too long, or no struct that is known. */
SMTP_MUST_USE int smtp_channel_copy(struct smtp_channel *out, const struct smtp_tls_channel *in);

/* --- server ---------------------------------------------------------------------------------- */

/** One exchange. Who makes it fills the first part. */
struct smtp_sasl_server {
	const struct smtp_sasl_rules *rules;
	const struct smtp_crypto *crypto;
	struct smtp_scram_channel channel; /* plus_offered: is -PLUS offered in this session? */
	struct smtp_span identity;  /* of the client's certificate */
	const char *hostname;
	const uint8_t *fake_key;    /* 32 octets, for salts of unknown users */
	uint32_t fake_iterations;

	unsigned round;             /* messages of the client taken */
	struct smtp_sasl_login login;
	struct smtp_buf first;      /* where the fields of `login` lie */
	struct smtp_buf second;
	struct smtp_buf challenge;
	bool keys_known;            /* for looked_up() */
	struct smtp_scram_keys keys;
	bool secret_known;
	struct smtp_buf secret;     /* shared with the user */
	struct smtp_buf token_error; /* JSON; empty: the usual */
	struct smtp_scram scram;
	bool refused; /* by decided(): only the reason is still told */
};

void smtp_sasl_server_init(struct smtp_sasl_server *x);
/** Wipes and releases. */
void smtp_sasl_server_wipe(struct smtp_sasl_server *x);
/** A message of the client, p NULL if it sent none; each returns an enum smtp_sasl_next or an error. */
SMTP_MUST_USE int smtp_sasl_server_step(struct smtp_sasl_server *x, struct smtp_span message);
SMTP_MUST_USE int smtp_sasl_server_looked_up(struct smtp_sasl_server *x);
SMTP_MUST_USE int smtp_sasl_server_decided(struct smtp_sasl_server *x, bool accepted);

/* --- client ---------------------------------------------------------------------------------- */

/** One exchange. All spans borrow from whoever made it. */
struct smtp_sasl_client {
	const struct smtp_sasl_rules *rules;
	const struct smtp_crypto *crypto;
	struct smtp_scram_channel channel; /* plus_offered: did the server offer -PLUS? */
	struct smtp_sasl_login login;

	unsigned round;         /* responses made */
	bool unproven;          /* the server has still to show that it knows the password */
	struct smtp_scram scram;
};

void smtp_sasl_client_init(struct smtp_sasl_client *x);
void smtp_sasl_client_wipe(struct smtp_sasl_client *x);
/** The initial response, or the response to a challenge, appended to `out`. SMTP_EPROTO, SMTP_EAUTH: the
 *  challenge is wrong, so cancel; other errors are ours. Past the last response: SMTP_EPROTO. */
SMTP_MUST_USE int smtp_sasl_client_respond(struct smtp_sasl_client *x, struct smtp_span challenge,
					   struct smtp_buf *out);

/* --- steps of the families, for the table ---------------------------------------------------- */

int smtp_scram_step(struct smtp_sasl_server *x, struct smtp_span message);
int smtp_scram_looked_up(struct smtp_sasl_server *x);
int smtp_scram_decided(struct smtp_sasl_server *x, bool accepted);
int smtp_scram_respond(struct smtp_sasl_client *x, struct smtp_span challenge, struct smtp_buf *out);
int smtp_cram_md5_step(struct smtp_sasl_server *x, struct smtp_span message);
int smtp_cram_md5_looked_up(struct smtp_sasl_server *x);
int smtp_cram_md5_respond(struct smtp_sasl_client *x, struct smtp_span challenge,
			  struct smtp_buf *out);
int smtp_xoauth2_step(struct smtp_sasl_server *x, struct smtp_span message);
int smtp_xoauth2_respond(struct smtp_sasl_client *x, struct smtp_span challenge,
			 struct smtp_buf *out);
int smtp_oauthbearer_step(struct smtp_sasl_server *x, struct smtp_span message);
int smtp_oauthbearer_respond(struct smtp_sasl_client *x, struct smtp_span challenge,
			     struct smtp_buf *out);
int smtp_oauth_decided(struct smtp_sasl_server *x, bool accepted);
int smtp_external_step(struct smtp_sasl_server *x, struct smtp_span message);
int smtp_external_respond(struct smtp_sasl_client *x, struct smtp_span challenge,
			  struct smtp_buf *out);
int smtp_plain_step(struct smtp_sasl_server *x, struct smtp_span message);
int smtp_plain_respond(struct smtp_sasl_client *x, struct smtp_span challenge, struct smtp_buf *out);
int smtp_login_step(struct smtp_sasl_server *x, struct smtp_span message);
int smtp_login_respond(struct smtp_sasl_client *x, struct smtp_span challenge, struct smtp_buf *out);

#endif
