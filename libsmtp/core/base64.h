/* SPDX-License-Identifier: ISC */
/* base64.h - strict base64 (RFC 4648, 4): no line breaks, padding required, no loose bits. */
#ifndef SMTP_CORE_BASE64_H
#define SMTP_CORE_BASE64_H

#include "libsmtp/core/buf.h"

/** Appends the decoded octets. SMTP_ESYNTAX leaves `out` as it was. */
SMTP_MUST_USE int smtp_base64_decode(struct smtp_buf *out, struct smtp_span text);
SMTP_MUST_USE int smtp_base64_encode(struct smtp_buf *out, struct smtp_span octets);

#endif
