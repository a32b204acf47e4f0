/* SPDX-License-Identifier: ISC */
/* line.h - gathers one line at a time from pieces of input, within a bound (RFC 5321, 2.3.8: only
 * CRLF ends a line). Remembers how far it looked, so that slow senders cost no rescans.
 */
#ifndef SMTP_CORE_LINE_H
#define SMTP_CORE_LINE_H

#include "libsmtp/core/buf.h"

struct smtp_line {
	struct smtp_buf buf; /* the part of a line that came in earlier pieces; empty when idle */
	size_t max;          /* octets with CRLF */
	bool overflow;       /* the line is too long; its rest is being thrown away */
	bool last_cr;        /* the last octet taken was a CR */
	bool given;          /* buf holds a line that was handed out; the next call drops it */
};

enum smtp_line_result {
	SMTP_LINE_MORE,     /* all input taken, no CRLF yet */
	SMTP_LINE_READY,    /* *line is a line without CRLF; valid until the next call */
	SMTP_LINE_TOO_LONG, /* a line over the bound was thrown away up to and with its CRLF */
	SMTP_LINE_ENOMEM
};

void smtp_line_init(struct smtp_line *ln, size_t max);
void smtp_line_release(struct smtp_line *ln);
/** Overwrites what is kept, since it may hold a secret. */
void smtp_line_wipe(struct smtp_line *ln);
/** Takes octets up to and with the next CRLF; *taken says how many. A line that lies whole in
 *  `input` is not copied. Bare CR and LF stay inside the line; the parser refuses them. */
enum smtp_line_result smtp_line_feed(struct smtp_line *ln, struct smtp_span input, size_t *taken,
				     struct smtp_span *line);

#endif
