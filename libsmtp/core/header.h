/* SPDX-License-Identifier: ISC */
/* header.h - walks the header section of content field by field (RFC 5322, 2.2 and 3.6), streamed or
 * whole. It finds names and counts; it does not decode values.
 */
#ifndef SMTP_CORE_HEADER_H
#define SMTP_CORE_HEADER_H

#include <smtp/base.h>

struct smtp_header_field {
	struct smtp_span name;  /* without the colon and blanks before it */
	struct smtp_span value; /* with folds, without the last CRLF */
	struct smtp_span raw;   /* the whole field with its CRLF */
};

/** Takes the next field off the head of *rest (content with CRLF line ends). Returns 1 and a field,
 *  0 at the end of the header section (an empty line, which is taken; the first line that is no
 *  field, which is left; or the end of the text). */
int smtp_header_next(struct smtp_span *rest, struct smtp_header_field *field);
/** The first field of that name, in any case; false: there is none. */
bool smtp_header_find(struct smtp_span content, const char *name, struct smtp_header_field *field);
/** Counts fields of that name in the header section. */
size_t smtp_header_count(struct smtp_span content, const char *name);

#endif
