/* SPDX-License-Identifier: ISC */
/* compose.h - makes a message out of its parts (RFC 5322, 2045 to 2047, 2231): header section, text,
 * HTML, attachments. Octets in, octets out: it opens no file, asks no clock and draws no random numbers.
 */
#ifndef SMTPC_COMPOSE_H
#define SMTPC_COMPOSE_H

#include <smtp/address.h>
#include "libsmtp/core/buf.h"

enum {
	COMPOSE_RANDOM_SIZE = 18,       /* octets for boundaries and Message-ID */
	COMPOSE_LINE_MAX = 998,         /* octets of a line without CRLF (RFC 5322, 2.1.1) */
	COMPOSE_ATTACHMENTS_MAX = 100
};

struct compose_attachment {
	const char *name;        /* as the receiver sees it, UTF-8; path parts and controls are left out */
	const char *type;        /* "application/pdf"; NULL: told from the name's ending, else octet-stream */
	struct smtp_span octets; /* encoded as base64 */
};

/** Everything is borrowed. At least one of text, html and attachments. */
struct compose_message {
	const struct smtp_mailbox *from;
	const struct smtp_mailbox *to; /* the fields To and Cc; Bcc stands nowhere */
	size_t to_count;
	const struct smtp_mailbox *cc;
	size_t cc_count;
	const char *subject; /* UTF-8; NULL: no such field. CR and LF are refused */
	bool has_text, has_html;
	struct smtp_span text; /* UTF-8, line ends LF or CRLF; sent 7-bit, quoted-printable or base64 */
	struct smtp_span html;
	const struct compose_attachment *attachments;
	size_t attachment_count;
	int64_t date_s;         /* seconds since 1970 */
	int utc_offset_min;     /* of the field Date: +60 is +0100 */
	const char *id_domain;  /* right side of Message-ID */
	uint8_t random[COMPOSE_RANDOM_SIZE];
};

/** Appends the message with CRLF line ends, all of it 7-bit but for addresses that are not ASCII. *problem
 *  (static text) tells what is wrong: SMTP_EINVAL (a line break in the subject, nothing to send),
 *  SMTP_ESYNTAX (text or name is not UTF-8), SMTP_ETOOLONG (more than `out` may hold), SMTP_ENOMEM. */
SMTP_MUST_USE int compose_message(struct smtp_buf *out, const struct compose_message *message,
				  const char **problem);

#endif
