/* SPDX-License-Identifier: ISC */
/* vrfy.h - replies to VRFY and EXPN (RFC 5321, 3.5), made of names and mailboxes.
 * Threads: everything here is pure.
 * Errors:  SMTP_EINVAL (a mailbox is none, or empty), SMTP_ETOOLONG; *out is then unchanged.
 */
#ifndef SMTP_VRFY_H
#define SMTP_VRFY_H

#include <smtp/address.h>
#include <smtp/reply.h>

#ifdef __cplusplus
extern "C" {
#endif

/** One of those that are found. Borrowed. */
struct smtp_vrfy_entry {
	const char *full_name; /* NULL: none; UTF-8, made safe and quoted where it has to be */
	const struct smtp_mailbox *mailbox;
};

/* All write the text of the reply into `text`, which *out borrows; 400 octets for each entry always
 * suffice with names of up to 50 octets. Without `smtputf8` (of the request) full names that are not
 * ASCII are left out, and a mailbox that is not ASCII makes the reply 252 2.6.8. */

/** VRFY: none 550 5.1.1, one "250 2.1.5 Full Name <mailbox>", more than one 553 5.1.4 and their list. */
SMTP_API SMTP_MUST_USE int smtp_vrfy_reply(struct smtp_reply *out, char *text, size_t cap,
					   const struct smtp_vrfy_entry *entries, size_t count,
					   bool smtputf8);
/** EXPN: none 550 5.1.1, else 250 2.1.5 and a line for each member. */
SMTP_API SMTP_MUST_USE int smtp_expn_reply(struct smtp_reply *out, char *text, size_t cap,
					   const struct smtp_vrfy_entry *entries, size_t count,
					   bool smtputf8);
/** 251 2.1.5: the user has moved, and mail will be forwarded there. */
SMTP_API SMTP_MUST_USE int smtp_vrfy_reply_forward(struct smtp_reply *out, char *text, size_t cap,
						   const struct smtp_mailbox *mailbox,
						   bool smtputf8);

#ifdef __cplusplus
}
#endif
#endif
