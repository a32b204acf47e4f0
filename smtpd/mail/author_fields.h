/* SPDX-License-Identifier: ISC */
/* author_fields.h - who a message says has written it: the addresses of From and Sender (RFC 5322, 3.6.2;
 * RFC 6854).
 */
#ifndef SMTPD_MAIL_AUTHOR_FIELDS_H
#define SMTPD_MAIL_AUTHOR_FIELDS_H

#include <smtp/address.h>

enum { MAIL_AUTHORS_MAX = 50 };

/** Why a message is refused, as a reply; static. */
struct mail_fault {
	unsigned code;
	const char *enhanced, *text;
};

struct mail_author_list {
	size_t from_count, count; /* those of From, then the one of Sender if there is one */
	struct smtp_mailbox list[MAIL_AUTHORS_MAX + 1];
};

/** Reads the addresses out of `head`, the begin of the content; `is_whole`: it is all of the content.
 *  NULL when *out is filled, otherwise the fault: no From or two, two Senders, fields that can't be read,
 *  a line in the header section that is no field, a bare CR or LF or the like there, no end of it in
 *  `head`. */
const struct mail_fault *mail_author_list_read(struct mail_author_list *out, struct smtp_span head,
					       bool is_whole);

#endif
