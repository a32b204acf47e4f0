/* SPDX-License-Identifier: ISC */
/* crypto.c - the table of cryptography that SASL needs (smtp/sasl.h), filled by OpenSSL. Nothing of it is
 * known elsewhere.
 */
#include <smtp/sasl.h>

#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

/* OpenSSL wants a pointer even to nothing. */
static const uint8_t *octets_of(struct smtp_span span)
{
	static const uint8_t none[1] = { 0 };

	return span.n > 0 ? span.p : none;
}

static int result_of(bool good, int error)
{
	ERR_clear_error();
	return good ? 0 : error;
}

static int fill_random(void *user, uint8_t *out, size_t n)
{
	(void)user;
	if (n > INT_MAX)
		return SMTP_EINVAL;
	return result_of(RAND_bytes(out, (int)n) == 1, SMTP_EIO);
}

static int sha256(void *user, struct smtp_span data, uint8_t out[32])
{
	(void)user;
	return result_of(EVP_Digest(octets_of(data), data.n, out, NULL, EVP_sha256(), NULL) == 1,
			 SMTP_ENOMEM);
}

static int hmac(const EVP_MD *md, struct smtp_span key, struct smtp_span data, uint8_t *out)
{
	if (key.n > INT_MAX)
		return SMTP_EINVAL;
	return result_of(HMAC(md, octets_of(key), (int)key.n, octets_of(data), data.n, out, NULL),
			 SMTP_ENOTSUP);
}

static int hmac_sha256(void *user, struct smtp_span key, struct smtp_span data, uint8_t out[32])
{
	(void)user;
	return hmac(EVP_sha256(), key, data, out);
}

static int hmac_md5(void *user, struct smtp_span key, struct smtp_span data, uint8_t out[16])
{
	(void)user;
	return hmac(EVP_md5(), key, data, out);
}

static int pbkdf2_sha256(void *user, struct smtp_span password, struct smtp_span salt,
			 uint32_t iterations, uint8_t out[32])
{
	union {
		const uint8_t *octets;
		const char *text;
	} p = { .octets = octets_of(password) };

	(void)user;
	if (password.n > INT_MAX || salt.n > INT_MAX || iterations == 0 || iterations > INT_MAX)
		return SMTP_EINVAL;
	return result_of(PKCS5_PBKDF2_HMAC(p.text, (int)password.n, octets_of(salt), (int)salt.n,
					   (int)iterations, EVP_sha256(), 32, out) == 1,
			 SMTP_ENOMEM);
}

const struct smtp_crypto *smtp_crypto_openssl(void)
{
	static const struct smtp_crypto table = {
		.size = sizeof(table),
		.random = fill_random,
		.sha256 = sha256,
		.hmac_sha256 = hmac_sha256,
		.pbkdf2_sha256 = pbkdf2_sha256,
		.hmac_md5 = hmac_md5,
	};

	return &table;
}
