/* SPDX-License-Identifier: ISC */
/* address_list.h - the mailboxes that a From, Sender or other address field names (RFC 5322, 3.4 and 4.4;
 * groups: RFC 6854; UTF-8: RFC 6532). Strict: what can be read in two ways is an error, so that whoever
 * decides by these mailboxes decides by the ones that others will see.
 */
#ifndef SMTP_CORE_ADDRESS_LIST_H
#define SMTP_CORE_ADDRESS_LIST_H

#include <smtp/address.h>

enum { SMTP_COMMENT_DEPTH_MAX = 16 };

/** Reads a whole field value (folds as they came, without the last CRLF): mailboxes with or without a
 *  display name, and groups, divided by commas. Display names and comments are checked and dropped; blanks
 *  and comments around the dots of an address too. Obsolete routes are refused, and so are local parts
 *  with "@", "<", ">" or "=?" in them, although quotes would allow them; folds in comments; and folds
 *  between quotes when there is an "@" in any comment or quoted string.
 *  @out    room for `max` mailboxes, in the order of the field; each passes smtp_mailbox_parse().
 *  @count  0 when there are only empty groups.
 *  Returns 0, SMTP_ESYNTAX, SMTP_ETOOLONG (more than `max` mailboxes, a part over its limit, comments
 *  nested deeper than SMTP_COMMENT_DEPTH_MAX). On error *count is unchanged and `out` undefined. */
SMTP_MUST_USE int smtp_address_list_parse(struct smtp_span value, struct smtp_mailbox *out, size_t max,
					  size_t *count);

#endif
