/* SPDX-License-Identifier: ISC */
/* dsn.h - composes a delivery status notification (RFC 3461, 3464, 6522): a text for people, the same
 * for programs, the header section of the message that it is about. No I/O.
 */
#ifndef SMTPD_QUEUE_DSN_H
#define SMTPD_QUEUE_DSN_H

#include "libsmtp/core/buf.h"

enum dsn_action { DSN_FAILED, DSN_DELAYED };

enum {
	DSN_HEADERS_MAX = 65536,
	DSN_MAX = 32 * 1024 * 1024 /* as many recipients as an envelope has, with the longest texts */
};

struct dsn_recipient {
	const char *address;    /* as it may be told to the sender */
	const char *original;   /* as the sender gave it */
	const char *status;     /* "5.1.1" */
	const char *diagnostic; /* what the host said, or a reason of our own; "" if none */
	const char *host;       /* who said it; "" if none */
	int64_t last_attempt_ms;
};

struct dsn {
	enum dsn_action action;
	const char *id;           /* queue id of the report itself */
	const char *hostname;
	const char *from_domain;  /* postmaster@ it is the author */
	const char *to;           /* reverse-path of the message */
	const char *message_id;   /* queue id of the message */
	uint64_t boundary;        /* random */
	int64_t now_ms, arrival_ms, until_ms; /* until_ms: the end of its lifetime */
	const struct dsn_recipient *recipients;
	size_t recipient_count;
	struct smtp_span headers; /* the message's own, CRLF line ends, at most DSN_HEADERS_MAX */
};

/** Appends the whole report, CRLF line ends. SMTP_ENOMEM, SMTP_ETOOLONG. */
SMTP_MUST_USE int dsn_compose(struct smtp_buf *out, const struct dsn *);
/** Must the report be sent as 8-bit content? */
bool dsn_is_8bit(const struct dsn *);

#endif
