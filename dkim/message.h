/* SPDX-License-Identifier: ISC */
/* message.h - a message as libopendkim may be given it: header fields one by one and the body in
 * pieces, after everything that library trips over has been refused (bare CR or LF, NUL in the
 * header, no line end at the end, lines that are no field, too many fields).
 */
#ifndef SMTP_DKIM_MESSAGE_H
#define SMTP_DKIM_MESSAGE_H

#include <smtp/dkim.h>

#include "libsmtp/core/buf.h"

enum { DKIM_HEADER_MAX = 262144, DKIM_PIECE_BYTES = 65536 };

struct dkim_message {
	struct smtp_buf header; /* added fields and those of the content, without the empty line */
	int fd;                 /* borrowed */
	uint64_t body_at, end;  /* the body, as offsets in fd */
};

/** Reads the header section and checks it. SMTP_ESYNTAX, SMTP_EIO, SMTP_ENOMEM. */
SMTP_MUST_USE int dkim_message_open(struct dkim_message *m, int fd, uint64_t content_bytes,
				    struct smtp_span added_fields);
void dkim_message_close(struct dkim_message *m);

/** Calls `each` with every field, without its last CRLF; an error of it ends the walk. */
SMTP_MUST_USE int dkim_message_fields(const struct dkim_message *m,
				      int (*each)(struct smtp_span field, void *user), void *user);
/** Calls `each` with the body in pieces that never end between CR and LF, checking it on the way. */
SMTP_MUST_USE int dkim_message_body(const struct dkim_message *m,
				    int (*each)(struct smtp_span piece, void *user), void *user);

#endif
