/* SPDX-License-Identifier: ISC */
/* tls_pin.c - pinned keys: their text, and the comparison with that of a certificate. */
#include "libsmtp/net/tls_pin.h"
#include "libsmtp/core/base64.h"
#include "libsmtp/core/buf.h"
#include "libsmtp/core/span.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = smtp_ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 64 digits; colons may stand between two pairs, as other programs print them. */
static int parse_hex(uint8_t out[SMTP_TLS_PIN_SIZE], struct smtp_span text)
{
	size_t digits = 0;

	for (size_t i = 0; i < text.n; i++) {
		int value = hex_value(text.p[i]);

		if (text.p[i] == ':' && digits > 0 && digits % 2 == 0)
			continue;
		if (value < 0 || digits == 2 * SMTP_TLS_PIN_SIZE)
			return SMTP_ESYNTAX;
		out[digits / 2] = (uint8_t)(digits % 2 ? out[digits / 2] << 4 | value : value);
		digits++;
	}
	return digits == 2 * SMTP_TLS_PIN_SIZE ? 0 : SMTP_ESYNTAX;
}

static int parse_base64(uint8_t out[SMTP_TLS_PIN_SIZE], struct smtp_span text)
{
	struct smtp_buf octets;
	int err;

	smtp_buf_init(&octets, text.n + 1);
	err = smtp_base64_decode(&octets, text);
	if (!err && octets.n != SMTP_TLS_PIN_SIZE)
		err = SMTP_ESYNTAX;
	if (!err)
		memcpy(out, octets.p, SMTP_TLS_PIN_SIZE);
	smtp_buf_release(&octets);
	return err == SMTP_ENOMEM ? err : err ? SMTP_ESYNTAX : 0;
}

int smtp_tls_pin_parse(uint8_t out[SMTP_TLS_PIN_SIZE], const char *text)
{
	struct smtp_span span = smtp_span_of(text);
	uint8_t pin[SMTP_TLS_PIN_SIZE];
	int err;

	if (smtp_span_is_nocase(smtp_span_slice(span, 0, 8), "sha256//"))
		span = smtp_span_slice(span, 8, SIZE_MAX);
	err = parse_hex(pin, span);
	if (err)
		err = parse_base64(pin, span);
	if (!err)
		memcpy(out, pin, sizeof pin);
	return err;
}

bool smtp_tls_pin_matches(const uint8_t pin[SMTP_TLS_PIN_SIZE], X509 *certificate)
{
	unsigned char *key = NULL;
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned size = 0;
	int n = certificate ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &key) : -1;
	bool same = n > 0 && EVP_Digest(key, (size_t)n, digest, &size, EVP_sha256(), NULL) == 1 &&
		    size == SMTP_TLS_PIN_SIZE && CRYPTO_memcmp(digest, pin, size) == 0;

	OPENSSL_free(key);
	ERR_clear_error();
	return same;
}
