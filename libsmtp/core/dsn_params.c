/* SPDX-License-Identifier: ISC */
/* dsn_params.c - the values of RET, ENVID, NOTIFY and ORCPT (RFC 3461, 4; RFC 6533, 3). Where they may
 * stand, and what becomes of them, is decided elsewhere.
 */
#include "libsmtp/core/dsn_params.h"

#include <string.h>

#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"
#include "libsmtp/core/xtext.h"

int smtp_dsn_return_parse(enum smtp_dsn_return *out, struct smtp_span value)
{
	if (smtp_span_is_nocase(value, "FULL"))
		*out = SMTP_DSN_RETURN_FULL;
	else if (smtp_span_is_nocase(value, "HDRS"))
		*out = SMTP_DSN_RETURN_HEADERS;
	else
		return SMTP_ESYNTAX;
	return 0;
}

/* notify-esmtp-value = "NEVER" / 1#notify-list-element */
int smtp_dsn_notify_parse(unsigned *out, struct smtp_span value)
{
	static const struct {
		const char *name;
		unsigned bit;
	} names[] = {
		{ "NEVER", SMTP_DSN_NOTIFY_NEVER },
		{ "SUCCESS", SMTP_DSN_NOTIFY_SUCCESS },
		{ "FAILURE", SMTP_DSN_NOTIFY_FAILURE },
		{ "DELAY", SMTP_DSN_NOTIFY_DELAY },
	};
	unsigned set = 0;
	struct smtp_reader rd;

	smtp_reader_init(&rd, value);
	do {
		struct smtp_span word = smtp_rd_while(&rd, SMTP_CC_ALPHA);
		unsigned bit = 0;

		for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
			if (smtp_span_is_nocase(word, names[i].name))
				bit = names[i].bit;
		if (bit == 0 || (set & bit))
			return SMTP_ESYNTAX;
		set |= bit;
	} while (smtp_rd_char(&rd, ','));
	if (!smtp_rd_end(&rd) ||
	    ((set & SMTP_DSN_NOTIFY_NEVER) && set != SMTP_DSN_NOTIFY_NEVER))
		return SMTP_ESYNTAX;
	*out = set;
	return 0;
}

/* Before it was encoded it had to be printable US-ASCII, the blank included (RFC 3461, 4.2, 4.4). */
static int decode_printable(struct smtp_buf *out, struct smtp_span value)
{
	size_t start = out->n;
	int err = smtp_xtext_decode(out, value);

	if (err)
		return err;
	if (out->n > start &&
	    !smtp_span_has(smtp_span_slice(smtp_buf_span(out), start, SIZE_MAX),
			   SMTP_CC_CONTROL | SMTP_CC_UTF8))
		return 0;
	out->n = start;
	return SMTP_ESYNTAX;
}

int smtp_dsn_envid_decode(struct smtp_buf *out, struct smtp_span value)
{
	if (value.n > SMTP_ENVID_MAX)
		return SMTP_ETOOLONG;
	return decode_printable(out, value);
}

/* --- utf-8 addresses (RFC 6533, 3) ---------------------------------------------------------- */

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = smtp_ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Which code points may be escaped: all beyond ASCII but surrogates, and of ASCII those that may not
 * stand for themselves. Controls, which the grammar has too, are none that an address holds. */
static bool may_be_escaped(unsigned long point)
{
	if (point < 0x80)
		return point == ' ' || point == '+' || point == '=' || point == '\\';
	return point >= 0xa0 && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
}

static void put_code_point(struct smtp_buf *out, unsigned long point)
{
	uint8_t *p = out->p + out->n;

	if (point < 0x80) {
		p[0] = (uint8_t)point;
		out->n += 1;
	} else if (point < 0x800) {
		p[0] = (uint8_t)(0xc0 | point >> 6);
		p[1] = (uint8_t)(0x80 | (point & 0x3f));
		out->n += 2;
	} else if (point < 0x10000) {
		p[0] = (uint8_t)(0xe0 | point >> 12);
		p[1] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
		p[2] = (uint8_t)(0x80 | (point & 0x3f));
		out->n += 3;
	} else {
		p[0] = (uint8_t)(0xf0 | point >> 18);
		p[1] = (uint8_t)(0x80 | (point >> 12 & 0x3f));
		p[2] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
		p[3] = (uint8_t)(0x80 | (point & 0x3f));
		out->n += 4;
	}
}

/* Behind the backslash. EmbeddedUnicodeChar = "\x{" HEXPOINT "}", 2 to 6 digits, no leading zeros. */
static bool read_escape(struct smtp_reader *rd, struct smtp_buf *out)
{
	struct smtp_span digits;
	unsigned long point = 0;

	if (smtp_rd_next(rd) != 'x' || !smtp_rd_char(rd, '{'))
		return false;
	digits = smtp_rd_while(rd, SMTP_CC_HEX);
	if (digits.n < 2 || digits.n > 6 || digits.p[0] == '0' || !smtp_rd_char(rd, '}'))
		return false;
	for (size_t i = 0; i < digits.n; i++)
		point = point << 4 | (unsigned long)hex_value(digits.p[i]);
	if (!may_be_escaped(point))
		return false;
	put_code_point(out, point);
	return true;
}

/* utf-8-enc-addr = 1*( QCHAR / EmbeddedUnicodeChar ), with `utf8` also 1*( QUCHAR / ... ):
 * QCHAR is printable ASCII without blank, "+", "=" and "\". An escape is longer than what it stands
 * for, so there is room for all of it. */
static int decode_utf8_address(struct smtp_buf *out, struct smtp_span text, bool utf8)
{
	struct smtp_reader rd;
	size_t start = out->n;
	int err = smtp_buf_reserve(out, text.n);

	if (err)
		return err;
	smtp_reader_init(&rd, text);
	while (!smtp_rd_end(&rd)) {
		int c = smtp_rd_next(&rd);
		unsigned allowed = SMTP_CC_XCHAR | (utf8 ? SMTP_CC_UTF8 : 0);

		if (c == '\\' ? read_escape(&rd, out) : smtp_is((uint8_t)c, allowed)) {
			if (c != '\\')
				out->p[out->n++] = (uint8_t)c;
			continue;
		}
		out->n = start;
		return SMTP_ESYNTAX;
	}
	if (out->n > start &&
	    smtp_utf8_is_valid(smtp_span_slice(smtp_buf_span(out), start, SIZE_MAX)))
		return 0;
	out->n = start;
	return SMTP_ESYNTAX;
}

/* orcpt-parameter = "ORCPT=" original-recipient-address;
 * original-recipient-address = addr-type ";" xtext; addr-type = atom */
int smtp_dsn_orcpt_decode(struct smtp_buf *out, struct smtp_span value, bool utf8, size_t *type_n)
{
	struct smtp_reader rd;
	struct smtp_span type;
	size_t start = out->n;
	int err;

	if (value.n > SMTP_ORCPT_MAX)
		return SMTP_ETOOLONG;
	smtp_reader_init(&rd, value);
	type = smtp_rd_while(&rd, SMTP_CC_ATEXT);
	if (type.n == 0 || !smtp_rd_char(&rd, ';'))
		return SMTP_ESYNTAX;
	err = smtp_buf_append_span(out, type);
	if (err)
		return err;
	if (smtp_span_is_nocase(type, "utf-8"))
		err = decode_utf8_address(out, rd.rest, utf8);
	else
		err = decode_printable(out, rd.rest);
	if (err)
		out->n = start;
	else
		*type_n = type.n;
	return err;
}
