/* SPDX-License-Identifier: ISC */
/* base64.c - strict base64, both ways. Judges the whole text before it writes the first octet, so
 * that no part of a secret is left behind by a fault.
 */
#include "libsmtp/core/base64.h"

#include "libsmtp/core/syntax.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static unsigned sextet(uint8_t c)
{
	if (smtp_is(c, SMTP_CC_DIGIT))
		return 52u + c - '0';
	if (c == '+' || c == '/')
		return c == '+' ? 62 : 63;
	return c >= 'a' ? 26u + c - 'a' : (unsigned)(c - 'A');
}

/* The alphabet, then at most two '='; the bits that padding leaves over are zero. */
static bool is_strict(struct smtp_span text, size_t padding)
{
	struct smtp_span digits = { text.p, text.n - padding };
	unsigned loose_bits = padding == 2 ? 0xf : padding == 1 ? 0x3 : 0;

	if (text.n % 4 != 0)
		return false;
	for (size_t i = 0; i < digits.n; i++)
		if (!smtp_is(digits.p[i], SMTP_CC_BASE64))
			return false;
	return digits.n == 0 || (sextet(digits.p[digits.n - 1]) & loose_bits) == 0;
}

static size_t count_padding(struct smtp_span text)
{
	if (text.n < 4 || text.p[text.n - 1] != '=')
		return 0;
	return text.p[text.n - 2] == '=' ? 2 : 1;
}

int smtp_base64_decode(struct smtp_buf *out, struct smtp_span text)
{
	size_t padding = count_padding(text);
	uint32_t bits = 0;
	int err;

	if (!is_strict(text, padding))
		return SMTP_ESYNTAX;
	err = smtp_buf_reserve(out, text.n / 4 * 3 - padding);
	if (err)
		return err;
	for (size_t i = 0; i < text.n - padding; i++) {
		bits = bits << 6 | sextet(text.p[i]);
		if (i % 4 > 0)
			out->p[out->n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	return 0;
}

static void encode_group(uint8_t *out, const uint8_t *in, size_t n)
{
	uint32_t bits = (uint32_t)in[0] << 16 | (n > 1 ? (uint32_t)in[1] << 8 : 0) |
			(n > 2 ? in[2] : 0);

	out[0] = (uint8_t)alphabet[bits >> 18];
	out[1] = (uint8_t)alphabet[bits >> 12 & 63];
	out[2] = (uint8_t)(n > 1 ? alphabet[bits >> 6 & 63] : '=');
	out[3] = (uint8_t)(n > 2 ? alphabet[bits & 63] : '=');
}

int smtp_base64_encode(struct smtp_buf *out, struct smtp_span octets)
{
	size_t groups = octets.n / 3 + (octets.n % 3 != 0);
	int err = groups > SIZE_MAX / 4 ? SMTP_ETOOLONG : smtp_buf_reserve(out, groups * 4);

	if (err)
		return err;
	for (size_t i = 0; i < octets.n; i += 3) {
		encode_group(out->p + out->n, octets.p + i, octets.n - i);
		out->n += 4;
	}
	return 0;
}
