/* SPDX-License-Identifier: ISC */
/* xtext.c - xtext of RFC 3461, both ways. */
#include "libsmtp/core/xtext.h"

#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

/* Two upper case hexadecimal digits; -1: they are none. */
static int read_hex_octet(struct smtp_reader *rd)
{
	int value = 0;

	for (int i = 0; i < 2; i++) {
		int c = smtp_rd_next(rd);

		if (c >= '0' && c <= '9')
			value = value * 16 + c - '0';
		else if (c >= 'A' && c <= 'F')
			value = value * 16 + c - 'A' + 10;
		else
			return -1;
	}
	return value;
}

/* xtext = *( xchar / hexchar ); hexchar = "+" 2HEXDIG */
int smtp_xtext_decode(struct smtp_buf *out, struct smtp_span text)
{
	struct smtp_reader rd;
	size_t n = 0;
	int err = smtp_buf_reserve(out, text.n);

	if (err)
		return err;
	smtp_reader_init(&rd, text);
	while (!smtp_rd_end(&rd)) {
		int c = smtp_rd_next(&rd);

		if (c == '+')
			c = read_hex_octet(&rd);
		else if (!smtp_is((uint8_t)c, SMTP_CC_XCHAR))
			c = -1;
		if (c < 0)
			return SMTP_ESYNTAX;
		out->p[out->n + n++] = (uint8_t)c;
	}
	out->n += n;
	return 0;
}

int smtp_xtext_encode(struct smtp_buf *out, struct smtp_span octets)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t n = octets.n;
	int err;

	for (size_t i = 0; i < octets.n; i++)
		n += smtp_is(octets.p[i], SMTP_CC_XCHAR) ? 0 : 2;
	err = smtp_buf_reserve(out, n);
	if (err)
		return err;
	for (size_t i = 0; i < octets.n; i++) {
		uint8_t c = octets.p[i];

		if (!smtp_is(c, SMTP_CC_XCHAR)) {
			out->p[out->n++] = '+';
			out->p[out->n++] = (uint8_t)digits[c >> 4];
			c = (uint8_t)digits[c & 15];
		}
		out->p[out->n++] = c;
	}
	return 0;
}
