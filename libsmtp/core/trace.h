/* SPDX-License-Identifier: ISC */
/* trace.h - the Received field (RFC 5321, 4.4; RFC 3848) and dates of RFC 5322, 3.3. */
#ifndef SMTP_CORE_TRACE_H
#define SMTP_CORE_TRACE_H

#include "libsmtp/core/buf.h"
#include <smtp/address.h>

enum { SMTP_DATE_MAX = 40 };

struct smtp_received {
	const char *helo_name;    /* as the client said it; made safe here */
	const char *peer_address; /* "192.0.2.1" or "2001:db8::1"; NULL: local */
	const char *by_hostname;
	const char *protocol;     /* SMTP ESMTP ESMTPS ESMTPA ESMTPSA ... */
	const char *id;           /* queue id */
	const struct smtp_mailbox *for_mailbox; /* NULL: left out (more than one recipient) */
	const char *tls;          /* "TLSv1.3 TLS_AES_256_GCM_SHA384"; NULL: none; as a comment */
	int64_t time_s;           /* seconds since 1970, UTC */
	const char *peer_name;    /* found by its address; NULL or "": not known; made safe here */
};

/** Appends the whole field, folded, with its CRLF. A hostile helo_name cannot leave its place. */
SMTP_MUST_USE int smtp_received_format(struct smtp_buf *out, const struct smtp_received *received);
/** "Fri, 20 Nov 2026 12:00:00 +0000", always UTC; NUL-terminated; returns the length. */
size_t smtp_date_format(int64_t time_s, char out[SMTP_DATE_MAX]);

#endif
