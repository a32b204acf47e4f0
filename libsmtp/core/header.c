/* SPDX-License-Identifier: ISC */
/* header.c - walks the header section field by field. It cuts at line ends that no blank follows,
 * decodes nothing and judges no value.
 */
#include "libsmtp/core/header.h"

#include <string.h>

#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

/* Octets of the first line with its CRLF, or of all that is left. A bare LF ends no line. */
static size_t line_length(struct smtp_span text, size_t from)
{
	while (from < text.n) {
		const uint8_t *lf = memchr(text.p + from, '\n', text.n - from);

		if (!lf)
			break;
		from = (size_t)(lf - text.p) + 1;
		if (from >= 2 && text.p[from - 2] == '\r')
			return from;
	}
	return text.n;
}

/* Octets of the first field with all lines that continue it (RFC 5322, 2.2.3). */
static size_t field_length(struct smtp_span text)
{
	size_t n = line_length(text, 0);

	while (n < text.n && smtp_is(text.p[n], SMTP_CC_BLANK))
		n = line_length(text, n);
	return n;
}

static struct smtp_span without_line_end(struct smtp_span text)
{
	if (text.n >= 2 && text.p[text.n - 2] == '\r' && text.p[text.n - 1] == '\n')
		text.n -= 2;
	return text;
}

int smtp_header_next(struct smtp_span *rest, struct smtp_header_field *field)
{
	struct smtp_reader rd;
	struct smtp_header_field found;

	smtp_reader_init(&rd, *rest);
	if (smtp_rd_literal(&rd, "\r\n")) {
		*rest = rd.rest;
		return 0;
	}
	found.raw = smtp_span_slice(*rest, 0, field_length(*rest));
	smtp_reader_init(&rd, found.raw);
	found.name = smtp_rd_while(&rd, SMTP_CC_FTEXT);
	smtp_rd_while(&rd, SMTP_CC_BLANK); /* obsolete syntax (RFC 5322, 4.5) */
	if (found.name.n == 0 || !smtp_rd_char(&rd, ':'))
		return 0;
	found.value = without_line_end(rd.rest);
	*field = found;
	*rest = smtp_span_slice(*rest, found.raw.n, SIZE_MAX);
	return 1;
}

bool smtp_header_find(struct smtp_span content, const char *name, struct smtp_header_field *field)
{
	struct smtp_header_field candidate;

	while (smtp_header_next(&content, &candidate) == 1) {
		if (!smtp_span_is_nocase(candidate.name, name))
			continue;
		*field = candidate;
		return true;
	}
	return false;
}

size_t smtp_header_count(struct smtp_span content, const char *name)
{
	struct smtp_header_field field;
	size_t count = 0;

	while (smtp_header_next(&content, &field) == 1)
		count += smtp_span_is_nocase(field.name, name);
	return count;
}
