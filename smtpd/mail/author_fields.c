/* SPDX-License-Identifier: ISC */
/* author_fields.c - From and Sender out of a header section. What can't be read for certain is a fault:
 * others may read it otherwise, and it would stand above a signature of ours. No I/O.
 */
#include "smtpd/mail/author_fields.h"

#include <string.h>

#include "libsmtp/core/address_list.h"
#include "libsmtp/core/header.h"
#include "libsmtp/core/span.h"

enum { TOO_LARGE, NO_FIELD, FALSE_LINE_END, NOT_ONE_FROM, TWO_SENDERS, BAD_FROM, BAD_SENDER };

static const struct mail_fault faults[] = {
	[TOO_LARGE] = { 552, "5.3.4", "The header section is larger than 64 KiB" },
	[NO_FIELD] = { 554, "5.6.0", "The header section has a line that is no field" },
	[FALSE_LINE_END] = { 554, "5.6.0", "The header section has a bare CR or LF, NUL, VT or FF" },
	[NOT_ONE_FROM] = { 554, "5.6.0", "A message has exactly one From field (RFC 5322, 3.6)" },
	[TWO_SENDERS] = { 554, "5.6.0", "A message has at most one Sender field (RFC 5322, 3.6)" },
	[BAD_FROM] = { 554, "5.6.0", "From is to be a list of 1 to 50 addresses (RFC 5322, 3.4)" },
	[BAD_SENDER] = { 554, "5.6.0", "Sender is to be one address (RFC 5322, 3.6.2)" },
};

struct author_fields {
	struct smtp_span from, sender;
	size_t from_count, sender_count;
};

/** Ends a line, or the text, for some readers though not for RFC 5322: what stands behind would be a field
 *  to them that is not checked here. FS to RS: Python's splitlines(). */
static bool is_false_line_end(uint8_t c)
{
	return c == '\r' || c == '\n' || c == '\0' || c == '\v' || c == '\f' ||
	       (c >= 0x1c && c <= 0x1e);
}

static bool has_false_line_end(struct smtp_span text)
{
	size_t i;

	for (i = 0; i < text.n; i++) {
		if (text.p[i] == '\r' && i + 1 < text.n && text.p[i + 1] == '\n')
			i++;
		else if (is_false_line_end(text.p[i]))
			return true;
	}
	return false;
}

static void take_field(struct author_fields *f, const struct smtp_header_field *field)
{
	if (smtp_span_is_nocase(field->name, "From")) {
		f->from = field->value;
		f->from_count++;
	} else if (smtp_span_is_nocase(field->name, "Sender")) {
		f->sender = field->value;
		f->sender_count++;
	}
}

/** Walks the header section to its end. */
static const struct mail_fault *find_fields(struct smtp_span head, bool is_whole,
					    struct author_fields *f)
{
	struct smtp_header_field field;
	size_t before = head.n;

	while (head.n > 0 && smtp_header_next(&head, &field) == 1) {
		before = head.n;
		if (has_false_line_end(field.raw))
			return &faults[FALSE_LINE_END];
		take_field(f, &field);
	}
	if (head.n < before) /* the empty line behind the header section */
		return NULL;
	if (head.n > 0 && (is_whole || memchr(head.p, '\n', head.n) != NULL))
		return &faults[NO_FIELD];
	return is_whole ? NULL : &faults[TOO_LARGE];
}

const struct mail_fault *mail_author_list_read(struct mail_author_list *out, struct smtp_span head,
					       bool is_whole)
{
	struct author_fields f = { .from_count = 0 };
	const struct mail_fault *fault = find_fields(head, is_whole, &f);
	size_t senders = 0;

	if (fault != NULL)
		return fault;
	if (f.from_count != 1)
		return &faults[NOT_ONE_FROM];
	if (f.sender_count > 1)
		return &faults[TWO_SENDERS];
	if (smtp_address_list_parse(f.from, out->list, MAIL_AUTHORS_MAX, &out->from_count) != 0 ||
	    out->from_count == 0)
		return &faults[BAD_FROM];
	if (f.sender_count == 1 &&
	    (smtp_address_list_parse(f.sender, out->list + out->from_count, 1, &senders) != 0 ||
	     senders == 0))
		return &faults[BAD_SENDER];
	out->count = out->from_count + senders;
	return NULL;
}
