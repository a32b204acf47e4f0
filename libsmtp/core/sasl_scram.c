/* SPDX-License-Identifier: ISC */
/* sasl_scram.c - the messages of SCRAM-SHA-256 (RFC 5802, section 7) on both ends. Which comes when is
 * in sasl_scram_exchange.c; hashing comes from the caller's table.
 */
#include "libsmtp/core/sasl_scram.h"

#include <string.h>

#include "libsmtp/core/base64.h"
#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

enum { MESSAGE_MAX = 16384, FIELD_MAX = 1024, SERVER_PART_MIN = 1 };

void smtp_scram_init(struct smtp_scram *x)
{
	smtp_buf_init(&x->binding, MESSAGE_MAX);
	smtp_buf_init(&x->nonce, SMTP_SCRAM_NONCE_MAX);
	smtp_buf_init(&x->auth_message, MESSAGE_MAX);
}

void smtp_scram_wipe(struct smtp_scram *x)
{
	smtp_buf_wipe(&x->binding);
	smtp_buf_wipe(&x->nonce);
	smtp_buf_wipe(&x->auth_message);
	explicit_bzero(x->server_signature, sizeof(x->server_signature));
}

bool smtp_octets_equal(const uint8_t *a, const uint8_t *b, size_t n)
{
	volatile uint8_t differs = 0;

	for (size_t i = 0; i < n; i++)
		differs = (uint8_t)(differs | (a[i] ^ b[i]));
	return differs == 0;
}

/* SASLprep leaves ASCII as it is and forbids control characters; normalisation beyond ASCII is the
 * caller's (see smtp_scram_keys_make()). */
bool smtp_scram_is_prepared(struct smtp_span text)
{
	return text.n > 0 && smtp_utf8_is_valid(text) && !smtp_span_has(text, SMTP_CC_CONTROL);
}

/* --- small pieces ---------------------------------------------------------------------------- */

static struct smtp_span hash_span(const uint8_t hash[SMTP_SCRAM_HASH])
{
	return smtp_span_make(hash, SMTP_SCRAM_HASH);
}

static int hmac(const struct smtp_crypto *crypto, struct smtp_span key, struct smtp_span data,
		uint8_t out[SMTP_SCRAM_HASH])
{
	return crypto->hmac_sha256(crypto->user, key, data, out);
}

/* Octets up to a comma, which stays. */
static struct smtp_span take_value(struct smtp_reader *rd)
{
	struct smtp_span value = { rd->rest.p, 0 };

	while (value.n < rd->rest.n && rd->rest.p[value.n] != ',')
		value.n++;
	rd->rest = smtp_span_slice(rd->rest, value.n, SIZE_MAX);
	return value;
}

/* attr-val of this attribute: "r=..."; its value may be empty. */
static bool take_attribute(struct smtp_reader *rd, char name, struct smtp_span *value)
{
	if (smtp_rd_peek(rd) != name)
		return false;
	(void)smtp_rd_next(rd);
	if (!smtp_rd_char(rd, '='))
		return false;
	*value = take_value(rd);
	return true;
}

/* *("," attr-val): extensions that nobody must understand; mandatory ones begin with m=, elsewhere. */
static bool are_extensions(struct smtp_reader *rd)
{
	while (!smtp_rd_end(rd)) {
		struct smtp_span value = { 0 };
		int name;

		if (!smtp_rd_char(rd, ',') || smtp_rd_end(rd))
			return false;
		name = smtp_rd_peek(rd);
		if (!smtp_is((uint8_t)name, SMTP_CC_ALPHA) || !take_attribute(rd, (char)name, &value) ||
		    value.n == 0)
			return false;
	}
	return true;
}

/* printable = %x21-2B / %x2D-7E */
static bool is_nonce(struct smtp_span nonce)
{
	for (size_t i = 0; i < nonce.n; i++)
		if (nonce.p[i] < 0x21 || nonce.p[i] > 0x7e || nonce.p[i] == ',')
			return false;
	return nonce.n > 0 && nonce.n <= SMTP_SCRAM_NONCE_MAX;
}

int smtp_saslname_decode(struct smtp_buf *out, struct smtp_span name)
{
	struct smtp_reader rd;
	int err = 0;

	smtp_reader_init(&rd, name);
	while (!smtp_rd_end(&rd) && !err) {
		if (smtp_rd_literal(&rd, "=2C")) {
			err = smtp_buf_append(out, ",", 1);
		} else if (smtp_rd_literal(&rd, "=3D")) {
			err = smtp_buf_append(out, "=", 1);
		} else {
			uint8_t c = (uint8_t)smtp_rd_next(&rd);

			err = c == '=' ? SMTP_ESYNTAX : smtp_buf_append(out, &c, 1);
		}
	}
	if (err == SMTP_ETOOLONG)
		return SMTP_ESYNTAX;
	return !err && !smtp_scram_is_prepared(smtp_buf_span(out)) ? SMTP_ESYNTAX : err;
}

int smtp_saslname_encode(struct smtp_buf *out, struct smtp_span name)
{
	int err = 0;

	for (size_t i = 0; i < name.n && !err; i++) {
		if (name.p[i] == ',')
			err = smtp_buf_append_text(out, "=2C");
		else if (name.p[i] == '=')
			err = smtp_buf_append_text(out, "=3D");
		else
			err = smtp_buf_append(out, &name.p[i], 1);
	}
	return err;
}

static const char exporter_name[] = "tls-exporter";
static const char end_point_name[] = "tls-server-end-point";

static struct smtp_span binding_data(const struct smtp_scram_channel *channel, struct smtp_span name)
{
	if (smtp_span_is(name, exporter_name))
		return channel->exporter;
	if (smtp_span_is(name, end_point_name))
		return channel->server_end_point;
	return smtp_span_make(NULL, 0);
}

/* The text between its comma and what went before. */
static int append_joined(struct smtp_buf *out, struct smtp_span text)
{
	int err = smtp_buf_append_text(out, ",");

	return err ? err : smtp_buf_append_span(out, text);
}

/* --- server: client-first-message ------------------------------------------------------------ */

/* gs2-cbind-flag: "p=" name / "n" / "y". *data: what c= must end with. */
static int take_flag(struct smtp_reader *rd, bool plus, const struct smtp_scram_channel *channel,
		     struct smtp_span *data)
{
	struct smtp_span name = { 0 };

	*data = smtp_span_make(NULL, 0);
	if (take_attribute(rd, 'p', &name)) {
		*data = binding_data(channel, name);
		return plus && data->n > 0 ? 0 : SMTP_EAUTH;
	}
	if (smtp_rd_peek(rd) != 'n' && smtp_rd_peek(rd) != 'y')
		return SMTP_ESYNTAX;
	/* "y": the client could bind but saw no offer. If we made one, somebody took it out. */
	if (plus || (smtp_rd_next(rd) == 'y' && channel->plus_offered))
		return SMTP_EAUTH;
	return 0;
}

/* gs2-header = gs2-cbind-flag "," [authzid] "," */
static int take_header(struct smtp_scram *x, struct smtp_reader *rd, bool plus,
		       const struct smtp_scram_channel *channel, struct smtp_buf *authorization_id)
{
	struct smtp_span whole = rd->rest;
	struct smtp_span other = { 0 };
	struct smtp_span data;
	int err = take_flag(rd, plus, channel, &data);

	if (!err && !smtp_rd_char(rd, ','))
		err = SMTP_ESYNTAX;
	if (!err && take_attribute(rd, 'a', &other))
		err = smtp_saslname_decode(authorization_id, other);
	if (!err && !smtp_rd_char(rd, ','))
		err = SMTP_ESYNTAX;
	if (!err)
		err = smtp_buf_append(&x->binding, whole.p, whole.n - rd->rest.n);
	return err ? err : smtp_buf_append_span(&x->binding, data);
}

int smtp_scram_server_first(struct smtp_scram *x, bool plus,
			    const struct smtp_scram_channel *channel, struct smtp_span message,
			    struct smtp_buf *authentication_id, struct smtp_buf *authorization_id)
{
	struct smtp_reader rd;
	struct smtp_span bare;
	struct smtp_span name = { 0 };
	struct smtp_span nonce = { 0 };
	int err;

	smtp_reader_init(&rd, message);
	err = take_header(x, &rd, plus, channel, authorization_id);
	if (err)
		return err;
	bare = rd.rest;
	if (!take_attribute(&rd, 'n', &name) || name.n > FIELD_MAX || !smtp_rd_char(&rd, ',') ||
	    !take_attribute(&rd, 'r', &nonce) || !is_nonce(nonce) || !are_extensions(&rd))
		return SMTP_ESYNTAX;
	err = smtp_saslname_decode(authentication_id, name);
	if (!err)
		err = smtp_buf_append_span(&x->nonce, nonce);
	if (!err)
		err = smtp_buf_append_span(&x->auth_message, bare);
	return err == SMTP_ETOOLONG ? SMTP_ESYNTAX : err;
}

/* --- server: the other messages -------------------------------------------------------------- */

int smtp_scram_server_challenge(struct smtp_scram *x, const struct smtp_scram_keys *keys,
				struct smtp_span nonce, struct smtp_buf *out)
{
	size_t start = out->n;
	int err;

	if ((err = smtp_buf_append_span(&x->nonce, nonce)) ||
	    (err = smtp_buf_append_text(out, "r=")) ||
	    (err = smtp_buf_append_span(out, smtp_buf_span(&x->nonce))) ||
	    (err = smtp_buf_append_text(out, ",s=")) ||
	    (err = smtp_base64_encode(out, smtp_span_make(keys->salt, keys->salt_n))) ||
	    (err = smtp_buf_append_text(out, ",i=")) ||
	    (err = smtp_buf_append_uint(out, keys->iterations)))
		return err;
	return append_joined(&x->auth_message, smtp_span_slice(smtp_buf_span(out), start, SIZE_MAX));
}

/* Is it the base64 of exactly these octets? */
static int check_binding(const struct smtp_scram *x, struct smtp_span base64)
{
	struct smtp_buf expected;
	int err;

	smtp_buf_init(&expected, 2 * MESSAGE_MAX);
	err = smtp_base64_encode(&expected, smtp_buf_span(&x->binding));
	if (!err && !smtp_span_equal(base64, smtp_buf_span(&expected)))
		err = SMTP_EAUTH;
	smtp_buf_wipe(&expected);
	return err;
}

static int decode_hash(uint8_t out[SMTP_SCRAM_HASH], struct smtp_span base64)
{
	struct smtp_buf octets;
	int err;

	smtp_buf_init(&octets, SMTP_SCRAM_HASH);
	err = smtp_base64_decode(&octets, base64);
	if (!err && octets.n != SMTP_SCRAM_HASH)
		err = SMTP_ESYNTAX;
	if (!err)
		memcpy(out, octets.p, SMTP_SCRAM_HASH);
	smtp_buf_wipe(&octets);
	return err == SMTP_ETOOLONG ? SMTP_ESYNTAX : err;
}

/* client-final-message = channel-binding "," nonce ["," extensions] "," proof: *without is what stands
 * before the proof. */
static int read_final(struct smtp_span message, struct smtp_span *binding, struct smtp_span *nonce,
		      struct smtp_span *without, uint8_t proof[SMTP_SCRAM_HASH])
{
	struct smtp_reader rd;
	struct smtp_span base64 = { 0 };
	size_t end = message.n;

	while (end > 0 && message.p[end - 1] != ',')
		end--;
	if (end == 0)
		return SMTP_ESYNTAX;
	*without = smtp_span_slice(message, 0, end - 1);
	smtp_reader_init(&rd, smtp_span_slice(message, end, SIZE_MAX));
	if (!take_attribute(&rd, 'p', &base64))
		return SMTP_ESYNTAX;
	smtp_reader_init(&rd, *without);
	if (!take_attribute(&rd, 'c', binding) || !smtp_rd_char(&rd, ',') ||
	    !take_attribute(&rd, 'r', nonce) || !are_extensions(&rd))
		return SMTP_ESYNTAX;
	return decode_hash(proof, base64);
}

/* ClientKey = proof XOR HMAC(StoredKey, AuthMessage); its hash is StoredKey, or the proof is wrong. */
static int check_proof(const struct smtp_scram *x, const struct smtp_crypto *crypto,
		       const struct smtp_scram_keys *keys, const uint8_t proof[SMTP_SCRAM_HASH])
{
	uint8_t key[SMTP_SCRAM_HASH];
	uint8_t hash[SMTP_SCRAM_HASH];
	int err = hmac(crypto, hash_span(keys->stored_key), smtp_buf_span(&x->auth_message), key);

	for (size_t i = 0; i < SMTP_SCRAM_HASH && !err; i++)
		key[i] ^= proof[i];
	if (!err)
		err = crypto->sha256(crypto->user, hash_span(key), hash);
	if (!err && !smtp_octets_equal(hash, keys->stored_key, SMTP_SCRAM_HASH))
		err = SMTP_EAUTH;
	explicit_bzero(key, sizeof(key));
	return err;
}

int smtp_scram_server_check(struct smtp_scram *x, const struct smtp_crypto *crypto,
			    const struct smtp_scram_keys *keys, struct smtp_span message)
{
	struct smtp_span binding = { 0 }, nonce = { 0 }, without = { 0 };
	uint8_t proof[SMTP_SCRAM_HASH];
	int err = read_final(message, &binding, &nonce, &without, proof);

	if (!err)
		err = check_binding(x, binding);
	if (!err && !smtp_span_equal(nonce, smtp_buf_span(&x->nonce)))
		err = SMTP_EAUTH;
	if (!err)
		err = append_joined(&x->auth_message, without);
	if (!err)
		err = check_proof(x, crypto, keys, proof);
	if (!err)
		err = hmac(crypto, hash_span(keys->server_key), smtp_buf_span(&x->auth_message),
			   x->server_signature);
	explicit_bzero(proof, sizeof(proof));
	return err;
}

int smtp_scram_server_final(const struct smtp_scram *x, struct smtp_buf *out)
{
	int err = smtp_buf_append_text(out, "v=");

	return err ? err : smtp_base64_encode(out, hash_span(x->server_signature));
}

/* --- client: its messages -------------------------------------------------------------------- */

/* The flag tells what we can do: "y" lets the server see that its offer of -PLUS got lost. */
static int append_flag(struct smtp_buf *out, bool plus, const struct smtp_scram_channel *channel,
		       struct smtp_span *data)
{
	bool exporter = channel->exporter.n > 0;
	int err;

	*data = exporter ? channel->exporter : channel->server_end_point;
	if (plus && data->n == 0)
		return SMTP_ENOTSUP;
	if (plus) {
		err = smtp_buf_append_text(out, "p=");
		return err ? err : smtp_buf_append_text(out, exporter ? exporter_name : end_point_name);
	}
	err = smtp_buf_append_text(out, data->n > 0 && !channel->plus_offered ? "y" : "n");
	*data = smtp_span_make(NULL, 0);
	return err;
}

static int append_header(struct smtp_scram *x, bool plus, const struct smtp_scram_channel *channel,
			 struct smtp_span other, struct smtp_buf *out)
{
	struct smtp_span data = { 0 };
	int err = append_flag(&x->binding, plus, channel, &data);

	if (!err)
		err = smtp_buf_append_text(&x->binding, other.n > 0 ? ",a=" : ",");
	if (!err)
		err = smtp_saslname_encode(&x->binding, other);
	if (!err)
		err = smtp_buf_append_text(&x->binding, ",");
	if (!err)
		err = smtp_buf_append_span(out, smtp_buf_span(&x->binding));
	return err ? err : smtp_buf_append_span(&x->binding, data);
}

int smtp_scram_client_first(struct smtp_scram *x, bool plus,
			    const struct smtp_scram_channel *channel, struct smtp_span name,
			    struct smtp_span other, struct smtp_span nonce, struct smtp_buf *out)
{
	size_t start;
	int err;

	if (!smtp_scram_is_prepared(name) || (other.n > 0 && !smtp_scram_is_prepared(other)))
		return SMTP_EINVAL;
	if ((err = append_header(x, plus, channel, other, out)))
		return err;
	start = out->n;
	if ((err = smtp_buf_append_span(&x->nonce, nonce)) ||
	    (err = smtp_buf_append_text(out, "n=")) || (err = smtp_saslname_encode(out, name)) ||
	    (err = smtp_buf_append_text(out, ",r=")) || (err = smtp_buf_append_span(out, nonce)))
		return err;
	return smtp_buf_append_span(&x->auth_message,
				    smtp_span_slice(smtp_buf_span(out), start, SIZE_MAX));
}

struct server_first {
	struct smtp_span nonce;
	struct smtp_span salt; /* base64 */
	uint64_t iterations;
};

/* server-first-message = nonce "," salt "," iteration-count ["," extensions] */
static bool read_server_first(struct server_first *out, struct smtp_span message)
{
	struct smtp_span count = { 0 };
	struct smtp_reader rd;

	smtp_reader_init(&rd, message);
	return take_attribute(&rd, 'r', &out->nonce) && is_nonce(out->nonce) &&
	       smtp_rd_char(&rd, ',') && take_attribute(&rd, 's', &out->salt) && out->salt.n > 0 &&
	       smtp_rd_char(&rd, ',') && take_attribute(&rd, 'i', &count) &&
	       smtp_span_uint(count, &out->iterations) == 0 && are_extensions(&rd);
}

/* Is it ours with something added? */
static bool extends_nonce(struct smtp_span whole, struct smtp_span ours)
{
	return whole.n >= ours.n + SERVER_PART_MIN &&
	       smtp_span_equal(smtp_span_slice(whole, 0, ours.n), ours);
}

static int salt_password(const struct smtp_crypto *crypto, struct smtp_span password,
			 const struct server_first *first, uint8_t salted[SMTP_SCRAM_HASH])
{
	struct smtp_buf salt;
	int err;

	smtp_buf_init(&salt, FIELD_MAX);
	err = smtp_base64_decode(&salt, first->salt);
	if (err == SMTP_ESYNTAX || err == SMTP_ETOOLONG)
		err = SMTP_EPROTO;
	if (!err)
		err = crypto->pbkdf2_sha256(crypto->user, password, smtp_buf_span(&salt),
					    (uint32_t)first->iterations, salted);
	smtp_buf_release(&salt);
	return err;
}

/* proof = ClientKey XOR HMAC(H(ClientKey), AuthMessage); keeps what the server must answer. */
static int make_proof(struct smtp_scram *x, const struct smtp_crypto *crypto,
		      const uint8_t salted[SMTP_SCRAM_HASH], uint8_t proof[SMTP_SCRAM_HASH])
{
	struct smtp_span message = smtp_buf_span(&x->auth_message);
	uint8_t key[SMTP_SCRAM_HASH] = { 0 };
	uint8_t hash[SMTP_SCRAM_HASH];
	int err = hmac(crypto, hash_span(salted), smtp_span_of("Client Key"), key);

	if (!err)
		err = crypto->sha256(crypto->user, hash_span(key), hash);
	if (!err)
		err = hmac(crypto, hash_span(hash), message, proof);
	for (size_t i = 0; i < SMTP_SCRAM_HASH && !err; i++)
		proof[i] ^= key[i];
	if (!err)
		err = hmac(crypto, hash_span(salted), smtp_span_of("Server Key"), key);
	if (!err)
		err = hmac(crypto, hash_span(key), message, x->server_signature);
	explicit_bzero(key, sizeof(key));
	explicit_bzero(hash, sizeof(hash));
	return err;
}

/* client-final-message-without-proof */
static int append_without_proof(struct smtp_scram *x, struct smtp_span nonce, struct smtp_buf *out)
{
	size_t start = out->n;
	int err;

	if ((err = smtp_buf_append_text(out, "c=")) ||
	    (err = smtp_base64_encode(out, smtp_buf_span(&x->binding))) ||
	    (err = smtp_buf_append_text(out, ",r=")) || (err = smtp_buf_append_span(out, nonce)))
		return err;
	return append_joined(&x->auth_message, smtp_span_slice(smtp_buf_span(out), start, SIZE_MAX));
}

int smtp_scram_client_final(struct smtp_scram *x, const struct smtp_crypto *crypto,
			    struct smtp_span password, struct smtp_span message,
			    struct smtp_buf *out)
{
	struct server_first first = { .iterations = 0 };
	uint8_t salted[SMTP_SCRAM_HASH] = { 0 };
	uint8_t proof[SMTP_SCRAM_HASH] = { 0 };
	int err;

	if (!smtp_scram_is_prepared(password))
		return SMTP_EINVAL;
	if (!read_server_first(&first, message) ||
	    !extends_nonce(first.nonce, smtp_buf_span(&x->nonce)) ||
	    first.iterations < SMTP_SCRAM_ITERATIONS_MIN ||
	    first.iterations > SMTP_SCRAM_ITERATIONS_MAX)
		return SMTP_EPROTO;
	err = append_joined(&x->auth_message, message);
	if (!err)
		err = append_without_proof(x, first.nonce, out);
	if (!err)
		err = salt_password(crypto, password, &first, salted);
	if (!err)
		err = make_proof(x, crypto, salted, proof);
	if (!err)
		err = smtp_buf_append_text(out, ",p=");
	if (!err)
		err = smtp_base64_encode(out, hash_span(proof));
	explicit_bzero(salted, sizeof(salted));
	explicit_bzero(proof, sizeof(proof));
	return err;
}

/* server-final-message = (server-error / verifier) ["," extensions] */
int smtp_scram_client_check(const struct smtp_scram *x, struct smtp_span message)
{
	struct smtp_reader rd;
	struct smtp_span base64 = { 0 };
	uint8_t signature[SMTP_SCRAM_HASH];
	int err;

	smtp_reader_init(&rd, message);
	if (!take_attribute(&rd, 'v', &base64) || !are_extensions(&rd))
		return SMTP_EAUTH;
	err = decode_hash(signature, base64);
	if (err)
		return err == SMTP_ESYNTAX ? SMTP_EAUTH : err;
	return smtp_octets_equal(signature, x->server_signature, SMTP_SCRAM_HASH) ? 0 : SMTP_EAUTH;
}
