/* SPDX-License-Identifier: ISC */
/* xtext.h - the escapes of RFC 3461, 4, in which parameters of MAIL and RCPT carry addresses. */
#ifndef SMTP_CORE_XTEXT_H
#define SMTP_CORE_XTEXT_H

#include "libsmtp/core/buf.h"

/** Appends the decoded octets. Strict: SMTP_ESYNTAX, for lower-case hexadecimal digits as well,
 *  leaves `out` as it was. What is decoded may be any octet; the caller judges it. */
SMTP_MUST_USE int smtp_xtext_decode(struct smtp_buf *out, struct smtp_span text);
SMTP_MUST_USE int smtp_xtext_encode(struct smtp_buf *out, struct smtp_span octets);

#endif
