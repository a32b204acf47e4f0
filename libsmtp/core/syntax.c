/* SPDX-License-Identifier: ISC */
/* syntax.c - the character classes as one table, and UTF-8 (RFC 3629): well-formedness, and making
 * foreign text harmless. No grammar of SMTP lives here.
 */
#include "libsmtp/core/syntax.h"

#include <string.h>

/* Sets that octets have in common; the name tells which octets. */
#define VISIBLE (SMTP_CC_ESMTP_VALUE | SMTP_CC_XCHAR | SMTP_CC_FTEXT)
#define TEXT (VISIBLE | SMTP_CC_QTEXT | SMTP_CC_DCONTENT)
#define CTL SMTP_CC_CONTROL
#define TAB (SMTP_CC_CONTROL | SMTP_CC_BLANK)
#define SPC (SMTP_CC_QTEXT | SMTP_CC_BLANK)
#define ATM (TEXT | SMTP_CC_ATEXT)
#define SPE TEXT
#define DQT (VISIBLE | SMTP_CC_DCONTENT)
#define BSL VISIBLE
#define BRA (VISIBLE | SMTP_CC_QTEXT)
#define COL (TEXT & ~(unsigned)SMTP_CC_FTEXT)
#define EQU (SMTP_CC_ATEXT | SMTP_CC_QTEXT | SMTP_CC_DCONTENT | SMTP_CC_FTEXT)
#define PLU ((ATM & ~(unsigned)SMTP_CC_XCHAR) | SMTP_CC_BASE64)
#define SLA (ATM | SMTP_CC_BASE64)
#define HYP (ATM | SMTP_CC_HYPHEN)
#define DIG (ATM | SMTP_CC_DIGIT | SMTP_CC_HEX | SMTP_CC_BASE64)
#define LET (ATM | SMTP_CC_ALPHA | SMTP_CC_BASE64)
#define HEX (LET | SMTP_CC_HEX)
#define OCT SMTP_CC_UTF8

/* clang-format off */
static const uint16_t classes[256] = {
	CTL, CTL, CTL, CTL, CTL, CTL, CTL, CTL, /* 00  ........ */
	CTL, TAB, CTL, CTL, CTL, CTL, CTL, CTL, /* 08  ........ */
	CTL, CTL, CTL, CTL, CTL, CTL, CTL, CTL, /* 10  ........ */
	CTL, CTL, CTL, CTL, CTL, CTL, CTL, CTL, /* 18  ........ */
	SPC, ATM, DQT, ATM, ATM, ATM, ATM, ATM, /* 20  .!"#$%&' */
	SPE, SPE, ATM, PLU, SPE, HYP, SPE, SLA, /* 28  ()*+,-./ */
	DIG, DIG, DIG, DIG, DIG, DIG, DIG, DIG, /* 30  01234567 */
	DIG, DIG, COL, SPE, SPE, EQU, SPE, ATM, /* 38  89:;<=>? */
	SPE, HEX, HEX, HEX, HEX, HEX, HEX, LET, /* 40  @ABCDEFG */
	LET, LET, LET, LET, LET, LET, LET, LET, /* 48  HIJKLMNO */
	LET, LET, LET, LET, LET, LET, LET, LET, /* 50  PQRSTUVW */
	LET, LET, LET, BRA, BSL, BRA, ATM, ATM, /* 58  XYZ[\]^_ */
	ATM, HEX, HEX, HEX, HEX, HEX, HEX, LET, /* 60  `abcdefg */
	LET, LET, LET, LET, LET, LET, LET, LET, /* 68  hijklmno */
	LET, LET, LET, LET, LET, LET, LET, LET, /* 70  pqrstuvw */
	LET, LET, LET, ATM, ATM, ATM, ATM, CTL, /* 78  xyz{|}~. */
	OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT,
	OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT,
	OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT,
	OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT,
	OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT,
	OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT,
	OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT,
	OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT, OCT,
};
/* clang-format on */

bool smtp_is(uint8_t c, unsigned mask)
{
	return (classes[c] & mask) != 0;
}

bool smtp_span_has(struct smtp_span text, unsigned mask)
{
	for (size_t i = 0; i < text.n; i++)
		if (smtp_is(text.p[i], mask))
			return true;
	return false;
}

bool smtp_span_all(struct smtp_span text, unsigned mask)
{
	for (size_t i = 0; i < text.n; i++)
		if (!smtp_is(text.p[i], mask))
			return false;
	return true;
}

/* The range of the second octet carries what RFC 3629 forbids: overlong forms (E0, F0), surrogates
 * (ED) and code points over 10FFFF (F4). */
static const struct utf8_head {
	uint8_t first, last;       /* of the first octet */
	uint8_t second, second_to; /* of the second one; the others are 80 to BF */
	uint8_t octets;
} heads[] = {
	{ 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
	{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 },
	{ 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
	{ 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
};

static bool tail_is_valid(const struct utf8_head *head, struct smtp_span text)
{
	if (text.n < head->octets || text.p[1] < head->second || text.p[1] > head->second_to)
		return false;
	for (size_t i = 2; i < head->octets; i++)
		if ((text.p[i] & 0xc0) != 0x80)
			return false;
	return true;
}

size_t smtp_utf8_sequence(struct smtp_span text)
{
	if (text.n == 0)
		return 0;
	if (text.p[0] < 0x80)
		return 1;
	for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++)
		if (text.p[0] >= heads[i].first && text.p[0] <= heads[i].last)
			return tail_is_valid(&heads[i], text) ? heads[i].octets : 0;
	return 0;
}

bool smtp_utf8_is_valid(struct smtp_span text)
{
	while (text.n > 0) {
		size_t n = smtp_utf8_sequence(text);

		if (n == 0)
			return false;
		text.p += n;
		text.n -= n;
	}
	return true;
}

static bool is_control_character(const uint8_t *p, size_t n)
{
	return n == 1 ? smtp_is(p[0], SMTP_CC_CONTROL)
		      : n == 2 && p[0] == 0xc2 && p[1] < 0xa0; /* U+0080 to U+009F */
}

void smtp_text_make_safe(uint8_t *text, size_t n)
{
	size_t at = 0;

	while (at < n) {
		size_t octets = smtp_utf8_sequence((struct smtp_span){ text + at, n - at });

		if (text[at] == '\t')
			text[at] = ' ';
		else if (octets == 0 || is_control_character(text + at, octets))
			memset(text + at, '?', octets ? octets : 1);
		at += octets ? octets : 1;
	}
}
