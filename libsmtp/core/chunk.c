/* SPDX-License-Identifier: ISC */
/* chunk.c - the argument of BDAT: the size of the chunk and its mark. */
#include "libsmtp/core/chunk.h"

#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

/* bdat-cmd   = "BDAT" SP chunk-size [ SP end-marker ] CRLF
 * chunk-size = 1*DIGIT
 * end-marker = "LAST"                                            (RFC 3030, 2) */
int smtp_chunk_parse(struct smtp_chunk *out, struct smtp_span argument)
{
	struct smtp_reader rd;
	struct smtp_span digits;

	*out = (struct smtp_chunk){ .size = 0 };
	smtp_reader_init(&rd, argument);
	digits = smtp_rd_while(&rd, SMTP_CC_DIGIT);
	if (smtp_span_uint(digits, &out->size) != 0)
		return SMTP_EPROTO;
	if (smtp_rd_end(&rd))
		return 0;
	if (!smtp_is(rd.rest.p[0], SMTP_CC_BLANK | SMTP_CC_CONTROL))
		return SMTP_EPROTO; /* as "5x" or "5.0": no number at all */
	while (smtp_rd_char(&rd, ' '))
		;
	out->last = smtp_span_is_nocase(rd.rest, "LAST");
	return out->last ? 0 : SMTP_ESYNTAX;
}
