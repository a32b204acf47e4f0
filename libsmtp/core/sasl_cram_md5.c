/* SPDX-License-Identifier: ISC */
/* sasl_cram_md5.c - CRAM-MD5 (RFC 2195) on both ends: a challenge that nobody can foresee, answered with
 * the user name and the HMAC-MD5 of the challenge under the password. Weak; never offered unasked.
 */
#include <string.h>

#include "libsmtp/core/sasl.h"
#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

enum { NONCE_BYTES = 16, DIGEST_BYTES = 16, DIGEST_DIGITS = 2 * DIGEST_BYTES };

static int append_hex(struct smtp_buf *out, const uint8_t *octets, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		const char pair[2] = { digits[octets[i] >> 4], digits[octets[i] & 15] };

		err = smtp_buf_append(out, pair, sizeof(pair));
	}
	return err;
}

static int append_digest(const struct smtp_crypto *crypto, struct smtp_span secret,
			 struct smtp_span challenge, struct smtp_buf *out)
{
	uint8_t digest[DIGEST_BYTES];
	int err = crypto->hmac_md5(crypto->user, secret, challenge, digest);

	if (!err)
		err = append_hex(out, digest, sizeof(digest));
	explicit_bzero(digest, sizeof(digest));
	return err;
}

/* --- server ---------------------------------------------------------------------------------- */

/* "<nonce@host>": the form of a message id, as clients may insist on. */
static int make_challenge(struct smtp_sasl_server *x)
{
	uint8_t nonce[NONCE_BYTES];
	int err = x->crypto->random(x->crypto->user, nonce, sizeof(nonce));

	if (!err)
		err = smtp_buf_append_text(&x->challenge, "<");
	if (!err)
		err = append_hex(&x->challenge, nonce, sizeof(nonce));
	if (!err)
		err = smtp_buf_append_text(&x->challenge, "@");
	if (!err)
		err = smtp_buf_append_text(&x->challenge, x->hostname);
	if (!err)
		err = smtp_buf_append_text(&x->challenge, ">");
	return err ? err : SMTP_SASL_CHALLENGE;
}

/* response = user-name SP digest; a name may hold blanks. */
static int read_response(struct smtp_sasl_server *x, struct smtp_span message)
{
	size_t at = message.n > DIGEST_DIGITS ? message.n - DIGEST_DIGITS - 1 : 0;
	struct smtp_span digest = smtp_span_slice(message, at + 1, SIZE_MAX);
	int err;

	if (at > SMTP_SASL_FIELD_MAX || !smtp_scram_is_prepared(smtp_span_slice(message, 0, at)) ||
	    message.p[at] != ' ' || !smtp_span_all(digest, SMTP_CC_HEX))
		return SMTP_SASL_MALFORMED;
	err = smtp_buf_append(&x->first, message.p, at);
	if (!err)
		err = smtp_buf_append_span(&x->second, digest);
	x->login.authentication_id = smtp_buf_span(&x->first);
	return err ? err : SMTP_SASL_LOOKUP;
}

int smtp_cram_md5_step(struct smtp_sasl_server *x, struct smtp_span message)
{
	if (!message.p)
		return make_challenge(x);
	x->round++;
	return read_response(x, message);
}

/* Who has no secret is checked against a random one, so that it takes the same time. */
static int choose_secret(struct smtp_sasl_server *x)
{
	uint8_t random[DIGEST_BYTES];
	int err;

	if (x->secret_known)
		return 0;
	err = x->crypto->random(x->crypto->user, random, sizeof(random));
	return err ? err : smtp_buf_append(&x->secret, random, sizeof(random));
}

int smtp_cram_md5_looked_up(struct smtp_sasl_server *x)
{
	struct smtp_buf expected;
	bool right = false;
	int err = choose_secret(x);

	smtp_buf_init(&expected, DIGEST_DIGITS);
	if (!err)
		err = append_digest(x->crypto, smtp_buf_span(&x->secret),
				    smtp_buf_span(&x->challenge), &expected);
	for (size_t i = 0; i < x->second.n; i++)
		x->second.p[i] = smtp_ascii_lower(x->second.p[i]);
	if (!err)
		right = smtp_octets_equal(expected.p, x->second.p, DIGEST_DIGITS) && x->secret_known;
	smtp_buf_wipe(&expected);
	smtp_buf_wipe(&x->secret);
	return err ? err : right ? SMTP_SASL_DECIDE : SMTP_SASL_WRONG;
}

/* --- client ---------------------------------------------------------------------------------- */

int smtp_cram_md5_respond(struct smtp_sasl_client *x, struct smtp_span challenge,
			  struct smtp_buf *out)
{
	int err;

	if (x->round == 0)
		return 0;
	if (x->round > 1 || challenge.n == 0)
		return SMTP_EPROTO;
	err = smtp_buf_append_span(out, x->login.authentication_id);
	if (!err)
		err = smtp_buf_append_text(out, " ");
	return err ? err : append_digest(x->crypto, x->login.password, challenge, out);
}
