/* SPDX-License-Identifier: ISC */
/* span.h - questions about borrowed bytes, and a reader that moves forward or fails. ASCII only;
 * nothing here depends on the locale.
 */
#ifndef SMTP_CORE_SPAN_H
#define SMTP_CORE_SPAN_H

#include <smtp/base.h>

struct smtp_span smtp_span_make(const void *p, size_t n);
bool smtp_span_equal(struct smtp_span a, struct smtp_span b);
bool smtp_span_equal_nocase(struct smtp_span a, struct smtp_span b);
bool smtp_span_is(struct smtp_span a, const char *text);        /* exact */
bool smtp_span_is_nocase(struct smtp_span a, const char *text); /* ASCII letters in any case */
/** Part of a span from `from`, at most `n` octets; clipped, never out of bounds. */
struct smtp_span smtp_span_slice(struct smtp_span span, size_t from, size_t n);
struct smtp_span smtp_span_trim(struct smtp_span span); /* blanks and tabs off both ends */
uint8_t smtp_ascii_lower(uint8_t c);
/** Copies into a NUL-terminated array; SMTP_ETOOLONG and unchanged if it does not fit. NULs inside
 *  are SMTP_ESYNTAX. */
SMTP_MUST_USE int smtp_span_copy(struct smtp_span span, char *out, size_t cap);
/** Unsigned decimal, the whole span, no sign; SMTP_ESYNTAX or SMTP_ETOOLONG on overflow. */
SMTP_MUST_USE int smtp_span_uint(struct smtp_span span, uint64_t *out);

struct smtp_reader {
	struct smtp_span rest;
};

void smtp_reader_init(struct smtp_reader *rd, struct smtp_span text);
bool smtp_rd_end(const struct smtp_reader *rd);
bool smtp_rd_char(struct smtp_reader *rd, char c);                  /* exactly this octet */
bool smtp_rd_literal(struct smtp_reader *rd, const char *text);     /* without case */
/** The longest run of octets in the character class (syntax.h); may be empty. */
struct smtp_span smtp_rd_while(struct smtp_reader *rd, unsigned char_class);
/** Next octet without moving, -1 at the end. */
int smtp_rd_peek(const struct smtp_reader *rd);
int smtp_rd_next(struct smtp_reader *rd);

#endif
