/* SPDX-License-Identifier: ISC */
/* span.c - questions about borrowed bytes, and a reader over them that moves forward or fails.
 * Never allocates, never depends on the locale.
 */
#include "libsmtp/core/span.h"

#include <string.h>

#include "libsmtp/core/syntax.h"

struct smtp_span smtp_span_of(const char *text)
{
	return (struct smtp_span){ (const uint8_t *)text, text ? strlen(text) : 0 };
}

struct smtp_span smtp_span_make(const void *p, size_t n)
{
	return (struct smtp_span){ p, n };
}

bool smtp_span_equal(struct smtp_span a, struct smtp_span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

uint8_t smtp_ascii_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

bool smtp_span_equal_nocase(struct smtp_span a, struct smtp_span b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (smtp_ascii_lower(a.p[i]) != smtp_ascii_lower(b.p[i]))
			return false;
	return true;
}

bool smtp_span_is(struct smtp_span a, const char *text)
{
	return smtp_span_equal(a, smtp_span_of(text));
}

bool smtp_span_is_nocase(struct smtp_span a, const char *text)
{
	return smtp_span_equal_nocase(a, smtp_span_of(text));
}

struct smtp_span smtp_span_slice(struct smtp_span span, size_t from, size_t n)
{
	if (from >= span.n)
		return (struct smtp_span){ NULL, 0 };
	if (n > span.n - from)
		n = span.n - from;
	return (struct smtp_span){ span.p + from, n };
}

struct smtp_span smtp_span_trim(struct smtp_span span)
{
	size_t from = 0;
	size_t end = span.n;

	while (from < end && smtp_is(span.p[from], SMTP_CC_BLANK))
		from++;
	while (end > from && smtp_is(span.p[end - 1], SMTP_CC_BLANK))
		end--;
	return smtp_span_slice(span, from, end - from);
}

int smtp_span_copy(struct smtp_span span, char *out, size_t cap)
{
	if (span.n >= cap)
		return SMTP_ETOOLONG;
	if (span.n > 0 && memchr(span.p, '\0', span.n))
		return SMTP_ESYNTAX;
	if (span.n > 0)
		memcpy(out, span.p, span.n);
	out[span.n] = '\0';
	return 0;
}

int smtp_span_uint(struct smtp_span span, uint64_t *out)
{
	uint64_t number = 0;
	bool overflow = false;

	if (span.n == 0)
		return SMTP_ESYNTAX;
	for (size_t i = 0; i < span.n; i++) {
		uint64_t digit = (uint64_t)span.p[i] - '0';

		if (!smtp_is(span.p[i], SMTP_CC_DIGIT))
			return SMTP_ESYNTAX;
		overflow = overflow || number > (UINT64_MAX - digit) / 10;
		number = number * 10 + digit;
	}
	if (overflow)
		return SMTP_ETOOLONG;
	*out = number;
	return 0;
}

void smtp_reader_init(struct smtp_reader *rd, struct smtp_span text)
{
	rd->rest = text;
}

bool smtp_rd_end(const struct smtp_reader *rd)
{
	return rd->rest.n == 0;
}

static void skip(struct smtp_reader *rd, size_t n)
{
	rd->rest.p += n;
	rd->rest.n -= n;
}

bool smtp_rd_char(struct smtp_reader *rd, char c)
{
	if (smtp_rd_peek(rd) != (uint8_t)c)
		return false;
	skip(rd, 1);
	return true;
}

bool smtp_rd_literal(struct smtp_reader *rd, const char *text)
{
	struct smtp_span literal = smtp_span_of(text);

	if (rd->rest.n < literal.n ||
	    !smtp_span_equal_nocase(smtp_span_make(rd->rest.p, literal.n), literal))
		return false;
	if (literal.n > 0)
		skip(rd, literal.n);
	return true;
}

struct smtp_span smtp_rd_while(struct smtp_reader *rd, unsigned char_class)
{
	struct smtp_span run = { rd->rest.p, 0 };

	while (run.n < rd->rest.n && smtp_is(rd->rest.p[run.n], char_class))
		run.n++;
	if (run.n > 0)
		skip(rd, run.n);
	return run;
}

int smtp_rd_peek(const struct smtp_reader *rd)
{
	return rd->rest.n > 0 ? rd->rest.p[0] : -1;
}

int smtp_rd_next(struct smtp_reader *rd)
{
	int c = smtp_rd_peek(rd);

	if (c >= 0)
		skip(rd, 1);
	return c;
}
