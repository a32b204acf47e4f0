/* SPDX-License-Identifier: ISC */
/* maildir_text.h - turns content as it was received into what a Maildir holds: LF line ends, no
 * Return-Path field but our own. Streaming, without I/O: it says what to write, not where.
 */
#ifndef SMTP_STORAGE_MAILDIR_TEXT_H
#define SMTP_STORAGE_MAILDIR_TEXT_H

#include <smtp/base.h>

enum { MAILDIR_HELD = 64 };

/* Zero it to begin with a header section; {.in_body = true} takes no fields away. */
struct maildir_text {
	bool in_body;
	bool in_line;   /* past the first octet of a line */
	bool dropping;  /* in a field that is left out, with its folded lines */
	bool held_cr;   /* what follows a CR decides whether it is part of a line end */
	size_t held;    /* octets of a name that may yet turn out to be Return-Path */
	uint8_t name[MAILDIR_HELD];
};

/** The most octets one call can write for `n` octets of input. */
size_t maildir_text_room(size_t n);
/** Converts a piece; `out` has room for maildir_text_room(). Returns the octets written. */
size_t maildir_text_add(struct maildir_text *text, struct smtp_span piece, uint8_t *out);
/** What was still held back at the end of the content; room as for an empty piece. */
size_t maildir_text_end(struct maildir_text *text, uint8_t *out);

#endif
