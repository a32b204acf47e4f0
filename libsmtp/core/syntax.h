/* SPDX-License-Identifier: ISC */
/* syntax.h - the character classes of RFC 5321, 5322 and 3461 as one table of bit masks. */
#ifndef SMTP_CORE_SYNTAX_H
#define SMTP_CORE_SYNTAX_H

#include <smtp/base.h>

enum smtp_char_class {
	SMTP_CC_ALPHA = 1 << 0,
	SMTP_CC_DIGIT = 1 << 1,
	SMTP_CC_ATEXT = 1 << 2,  /* atom text, without UTF-8 */
	SMTP_CC_QTEXT = 1 << 3,  /* %d32-33 / 35-91 / 93-126 */
	SMTP_CC_DCONTENT = 1 << 4, /* %d33-90 / 94-126 */
	SMTP_CC_ESMTP_VALUE = 1 << 5, /* %d33-60 / 62-126 */
	SMTP_CC_XCHAR = 1 << 6,  /* xtext without escapes: %d33-42 / 44-60 / 62-126 */
	SMTP_CC_HEX = 1 << 7,    /* 0-9 A-F a-f */
	SMTP_CC_BASE64 = 1 << 8, /* alphabet without '=' */
	SMTP_CC_CONTROL = 1 << 9, /* %d0-31 / 127 */
	SMTP_CC_UTF8 = 1 << 10,  /* %d128-255 */
	SMTP_CC_HYPHEN = 1 << 11,
	SMTP_CC_BLANK = 1 << 12, /* SP / HTAB */
	SMTP_CC_FTEXT = 1 << 13, /* header field name: %d33-57 / 59-126 */
	SMTP_CC_LET_DIG = SMTP_CC_ALPHA | SMTP_CC_DIGIT
};

/** Is the octet in any of the classes of `mask`? */
bool smtp_is(uint8_t c, unsigned mask);
/** Is the whole span well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms)? */
bool smtp_utf8_is_valid(struct smtp_span text);
/** Does the span hold any of the classes? */
bool smtp_span_has(struct smtp_span text, unsigned mask);
/** Is the span empty or made of these classes only? */
bool smtp_span_all(struct smtp_span text, unsigned mask);
/** Octets (1 to 4) of the well-formed UTF-8 sequence at the head of `text`; 0 if there is none. */
size_t smtp_utf8_sequence(struct smtp_span text);
/** Makes text of a peer, a callback or a database safe to send, log and show: octets of control
 *  characters (C0, DEL, and C1 in UTF-8) and of what is no UTF-8 become '?', a tab a blank. */
void smtp_text_make_safe(uint8_t *text, size_t n);

#endif
