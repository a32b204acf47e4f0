/* SPDX-License-Identifier: ISC */
/* sasl_scram_exchange.c - SCRAM-SHA-256 and -PLUS as exchanges: which message comes when, on both ends,
 * and the keys that a server stores. The messages themselves are in sasl_scram.c.
 */
#include <string.h>

#include "libsmtp/core/base64.h"
#include "libsmtp/core/sasl.h"
#include "libsmtp/core/span.h"

enum { SALT_BYTES = 16 };

/* A new nonce as text; `text` holds the base64 of SMTP_SCRAM_NONCE_BYTES. */
static int make_nonce(const struct smtp_crypto *crypto, struct smtp_buf *text)
{
	uint8_t octets[SMTP_SCRAM_NONCE_BYTES];
	int err = crypto->random(crypto->user, octets, sizeof(octets));

	return err ? err : smtp_base64_encode(text, smtp_span_make(octets, sizeof(octets)));
}

/* --- keys ------------------------------------------------------------------------------------ */

static int derive_keys(struct smtp_scram_keys *keys, const struct smtp_crypto *crypto,
		       const uint8_t salted[SMTP_SCRAM_HASH])
{
	struct smtp_span from = smtp_span_make(salted, SMTP_SCRAM_HASH);
	uint8_t key[SMTP_SCRAM_HASH];
	int err = crypto->hmac_sha256(crypto->user, from, smtp_span_of("Client Key"), key);

	if (!err)
		err = crypto->sha256(crypto->user, smtp_span_make(key, sizeof(key)),
				     keys->stored_key);
	if (!err)
		err = crypto->hmac_sha256(crypto->user, from, smtp_span_of("Server Key"),
					  keys->server_key);
	explicit_bzero(key, sizeof(key));
	return err;
}

int smtp_scram_keys_make(struct smtp_scram_keys *out, const struct smtp_crypto *crypto,
			 struct smtp_span password, uint32_t iterations)
{
	struct smtp_scram_keys keys = { .salt_n = SALT_BYTES, .iterations = iterations };
	uint8_t salted[SMTP_SCRAM_HASH] = { 0 };
	int err;

	if (keys.iterations == 0)
		keys.iterations = SMTP_SCRAM_ITERATIONS_DEFAULT;
	if (!out || !smtp_crypto_is_complete(crypto, false) || !smtp_scram_is_prepared(password) ||
	    keys.iterations < SMTP_SCRAM_ITERATIONS_MIN ||
	    keys.iterations > SMTP_SCRAM_ITERATIONS_MAX)
		return SMTP_EINVAL;
	err = crypto->random(crypto->user, keys.salt, keys.salt_n);
	if (!err)
		err = crypto->pbkdf2_sha256(crypto->user, password,
					    smtp_span_make(keys.salt, keys.salt_n),
					    keys.iterations, salted);
	if (!err)
		err = derive_keys(&keys, crypto, salted);
	if (!err)
		*out = keys;
	explicit_bzero(salted, sizeof(salted));
	explicit_bzero(&keys, sizeof(keys));
	return err;
}

/* Who has no keys is shown a salt that is always the same for that name, and fails at the end. */
static int make_fake_keys(struct smtp_sasl_server *x)
{
	struct smtp_span key = smtp_span_make(x->fake_key, SMTP_SCRAM_HASH);
	uint8_t hash[SMTP_SCRAM_HASH];
	int err = x->crypto->hmac_sha256(x->crypto->user, key, x->login.authentication_id, hash);

	if (err)
		return err;
	memcpy(x->keys.salt, hash, SALT_BYTES);
	x->keys.salt_n = SALT_BYTES;
	x->keys.iterations = x->fake_iterations;
	return x->crypto->random(x->crypto->user, x->keys.stored_key, sizeof(x->keys.stored_key));
}

/* --- server ---------------------------------------------------------------------------------- */

static int outcome_of(int err, int next)
{
	if (err == SMTP_ESYNTAX)
		return SMTP_SASL_MALFORMED;
	if (err == SMTP_EAUTH)
		return SMTP_SASL_WRONG;
	return err ? err : next;
}

static int read_first(struct smtp_sasl_server *x, struct smtp_span message)
{
	bool plus = x->rules->mechanism == SMTP_MECHANISM_SCRAM_SHA_256_PLUS;
	int err = smtp_scram_server_first(&x->scram, plus, &x->channel, message, &x->first,
					  &x->second);

	x->login.authentication_id = smtp_buf_span(&x->first);
	x->login.authorization_id = smtp_buf_span(&x->second);
	return outcome_of(err, SMTP_SASL_LOOKUP);
}

int smtp_scram_looked_up(struct smtp_sasl_server *x)
{
	struct smtp_buf nonce;
	int err = x->keys_known ? 0 : make_fake_keys(x);

	smtp_buf_clear(&x->challenge);
	smtp_buf_init(&nonce, SMTP_SCRAM_NONCE_MAX);
	if (!err)
		err = make_nonce(x->crypto, &nonce);
	if (!err)
		err = smtp_scram_server_challenge(&x->scram, &x->keys, smtp_buf_span(&nonce),
						  &x->challenge);
	smtp_buf_release(&nonce);
	return err == SMTP_ETOOLONG ? SMTP_SASL_MALFORMED : err ? err : SMTP_SASL_CHALLENGE;
}

static int read_final(struct smtp_sasl_server *x, struct smtp_span message)
{
	int err = smtp_scram_server_check(&x->scram, x->crypto, &x->keys, message);

	/* It can't be right against keys that nobody has a password for; said once more to be sure. */
	if (!err && !x->keys_known)
		err = SMTP_EAUTH;
	return outcome_of(err, SMTP_SASL_DECIDE);
}

int smtp_scram_decided(struct smtp_sasl_server *x, bool accepted)
{
	int err;

	if (!accepted)
		return SMTP_SASL_WRONG;
	smtp_buf_clear(&x->challenge);
	err = smtp_scram_server_final(&x->scram, &x->challenge);
	return err ? err : SMTP_SASL_CHALLENGE;
}

int smtp_scram_step(struct smtp_sasl_server *x, struct smtp_span message)
{
	if (!message.p)
		return SMTP_SASL_CHALLENGE;
	switch (x->round++) {
	case 0:
		return read_first(x, message);
	case 1:
		return read_final(x, message);
	default: /* the client has seen our signature */
		return message.n == 0 ? SMTP_SASL_DONE : SMTP_SASL_MALFORMED;
	}
}

/* --- client ---------------------------------------------------------------------------------- */

static int respond_first(struct smtp_sasl_client *x, struct smtp_buf *out)
{
	bool plus = x->rules->mechanism == SMTP_MECHANISM_SCRAM_SHA_256_PLUS;
	struct smtp_buf nonce;
	int err;

	smtp_buf_init(&nonce, SMTP_SCRAM_NONCE_MAX);
	err = make_nonce(x->crypto, &nonce);
	if (!err)
		err = smtp_scram_client_first(&x->scram, plus, &x->channel,
					      x->login.authentication_id,
					      x->login.authorization_id, smtp_buf_span(&nonce), out);
	smtp_buf_release(&nonce);
	return err;
}

int smtp_scram_respond(struct smtp_sasl_client *x, struct smtp_span challenge, struct smtp_buf *out)
{
	int err;

	switch (x->round) {
	case 0:
		x->unproven = true;
		return respond_first(x, out);
	case 1:
		return smtp_scram_client_final(&x->scram, x->crypto, x->login.password, challenge,
					       out);
	case 2:
		err = smtp_scram_client_check(&x->scram, challenge);
		x->unproven = err != 0;
		return err;
	default:
		return SMTP_EPROTO;
	}
}
