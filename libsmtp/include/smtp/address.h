/* SPDX-License-Identifier: ISC */
/* address.h - mailboxes, paths, domains and address literals (RFC 5321, 4.1.2 and 4.1.3).
 * Values: structs without pointers; copy them freely. Limits are those of RFC 5321, 4.5.3.1.
 * Errors: SMTP_ESYNTAX for a grammar fault, SMTP_ETOOLONG over a limit; outputs are then unchanged.
 */
#ifndef SMTP_ADDRESS_H
#define SMTP_ADDRESS_H

#include <smtp/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	SMTP_LOCAL_PART_MAX = 64, /* octets, unquoted (4.5.3.1.1) */
	SMTP_DOMAIN_MAX = 255,    /* octets (4.5.3.1.2) */
	SMTP_PATH_MAX = 256,      /* octets with <> (4.5.3.1.3) */
	SMTP_MAILBOX_TEXT_MAX = 2 * SMTP_LOCAL_PART_MAX + 2 + 1 + SMTP_DOMAIN_MAX
};

/** local-part@domain. The local part is kept without its quotes ("bob" and bob are one) and never
 *  holds control octets; the domain is kept as written, an address literal with its brackets. */
struct smtp_mailbox {
	char local_part[SMTP_LOCAL_PART_MAX + 1];
	char domain[SMTP_DOMAIN_MAX + 1];
};

/** The argument of MAIL or RCPT without its <>. Both parts empty: the null reverse-path. Domain
 *  empty: <postmaster>, kept in lower case. A source route has been dropped. */
struct smtp_path {
	struct smtp_mailbox mailbox;
};

enum smtp_address_flags {
	SMTP_ADDRESS_UTF8 = 1 /* allow UTF-8 in local part and domain (RFC 6531) */
};

/** Parses a whole `local-part@domain` or `local-part@[literal]`, nothing before or behind it. */
SMTP_API SMTP_MUST_USE int smtp_mailbox_parse(struct smtp_mailbox *out, struct smtp_span text,
					      unsigned flags);

/** Parses a path at the head of `text`: <>, <mailbox>, <@a,@b:mailbox>, <postmaster>.
 *  @used receives the octets up to and with the closing '>'. */
SMTP_API SMTP_MUST_USE int smtp_path_parse(struct smtp_path *out, struct smtp_span text,
					   unsigned flags, size_t *used);

/** Is this the null reverse-path `<>`? */
SMTP_API bool smtp_path_is_null(const struct smtp_path *path);

/** Is this `<postmaster>` without a domain? */
SMTP_API bool smtp_path_is_bare_postmaster(const struct smtp_path *path);

/** Writes the mailbox as text, the local part quoted when the grammar asks for it, NUL-terminated.
 *  @cap of at least SMTP_MAILBOX_TEXT_MAX + 1 always suffices. Returns the length without the NUL;
 *  when that is >= cap, nothing but an empty string was written. An empty mailbox gives "". */
SMTP_API size_t smtp_mailbox_format(const struct smtp_mailbox *mailbox, char *out, size_t cap);

/** Are the two the same mailbox? Domains compare without case, local parts exactly. */
SMTP_API bool smtp_mailbox_equal(const struct smtp_mailbox *a, const struct smtp_mailbox *b);

/** Is this a Domain of RFC 5321, 4.1.2 (host name labels of letters, digits and hyphens)? */
SMTP_API bool smtp_domain_is_valid(struct smtp_span text);

/** Is this an address literal with its brackets: [192.0.2.1] or [IPv6:2001:db8::1]? */
SMTP_API bool smtp_address_literal_is_valid(struct smtp_span text);

#ifdef __cplusplus
}
#endif
#endif
