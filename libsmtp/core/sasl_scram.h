/* SPDX-License-Identifier: ISC */
/* sasl_scram.h - the messages of SCRAM-SHA-256 (RFC 5802, 7677) on both ends: made, read and checked.
 * Nonces come as arguments, so that the messages of the RFCs can be reproduced.
 */
#ifndef SMTP_CORE_SASL_SCRAM_H
#define SMTP_CORE_SASL_SCRAM_H

#include <smtp/sasl.h>

#include "libsmtp/core/buf.h"

enum {
	SMTP_SCRAM_HASH = 32,
	SMTP_SCRAM_NONCE_BYTES = 18, /* 24 characters of base64 */
	SMTP_SCRAM_NONCE_MAX = 256,  /* of both ends together, and of the client's alone */
	SMTP_SCRAM_BINDING_MAX = 64
};

/** What there is to bind to. Borrowed. */
struct smtp_scram_channel {
	struct smtp_span exporter;
	struct smtp_span server_end_point;
	bool plus_offered; /* the server announced -PLUS */
};

/** One exchange, on either end. */
struct smtp_scram {
	struct smtp_buf binding;      /* gs2-header and the data of the channel: the c= to come */
	struct smtp_buf nonce;
	struct smtp_buf auth_message; /* grows with the messages */
	uint8_t server_signature[SMTP_SCRAM_HASH];
};

void smtp_scram_init(struct smtp_scram *x);
void smtp_scram_wipe(struct smtp_scram *x);

/** Reads client-first-message; the names are appended, decoded. `plus`: the mechanism is -PLUS.
 *  SMTP_ESYNTAX, SMTP_EAUTH (a binding that can't be right, or a downgrade), SMTP_ENOMEM. */
SMTP_MUST_USE int smtp_scram_server_first(struct smtp_scram *x, bool plus,
					  const struct smtp_scram_channel *channel,
					  struct smtp_span message, struct smtp_buf *authentication_id,
					  struct smtp_buf *authorization_id);
/** Appends server-first-message. */
SMTP_MUST_USE int smtp_scram_server_challenge(struct smtp_scram *x, const struct smtp_scram_keys *keys,
					      struct smtp_span nonce, struct smtp_buf *out);
/** Checks client-final-message. 0: it was made with the password. SMTP_ESYNTAX, SMTP_EAUTH (wrong
 *  proof, nonce or binding), or an error of `crypto`. */
SMTP_MUST_USE int smtp_scram_server_check(struct smtp_scram *x, const struct smtp_crypto *crypto,
					  const struct smtp_scram_keys *keys,
					  struct smtp_span message);
/** Appends server-final-message, after a check that went well. */
SMTP_MUST_USE int smtp_scram_server_final(const struct smtp_scram *x, struct smtp_buf *out);

/** Appends client-first-message. SMTP_EINVAL: names that are not UTF-8 or hold control characters;
 *  SMTP_ENOTSUP: -PLUS without a channel. */
SMTP_MUST_USE int smtp_scram_client_first(struct smtp_scram *x, bool plus,
					  const struct smtp_scram_channel *channel,
					  struct smtp_span authentication_id,
					  struct smtp_span authorization_id, struct smtp_span nonce,
					  struct smtp_buf *out);
/** Reads server-first-message and appends client-final-message. SMTP_EPROTO: the message is wrong, its
 *  nonce not ours, or its iterations are out of bounds; SMTP_EINVAL: the password, as above. */
SMTP_MUST_USE int smtp_scram_client_final(struct smtp_scram *x, const struct smtp_crypto *crypto,
					  struct smtp_span password, struct smtp_span message,
					  struct smtp_buf *out);
/** Checks server-final-message. SMTP_EAUTH: the server does not know the password's keys. */
SMTP_MUST_USE int smtp_scram_client_check(const struct smtp_scram *x, struct smtp_span message);

/** saslname (RFC 5802, 7): "=2C" is a comma, "=3D" is "=", no other "=" may stand there. Appends to an
 *  empty buffer. SMTP_ESYNTAX: empty, too long, or not fit for a name. */
SMTP_MUST_USE int smtp_saslname_decode(struct smtp_buf *out, struct smtp_span name);
SMTP_MUST_USE int smtp_saslname_encode(struct smtp_buf *out, struct smtp_span name);
/** Compares in a time that tells nothing of where they differ. */
bool smtp_octets_equal(const uint8_t *a, const uint8_t *b, size_t n);
/** A text as SCRAM takes names and passwords: UTF-8 without control characters, not empty. */
bool smtp_scram_is_prepared(struct smtp_span text);

#endif
