/* SPDX-License-Identifier: ISC */
/* envelope.h - what the parameters of MAIL and RCPT say of a message, for both ends of a session: the
 * kind of its body (RFC 6152, RFC 3030) and the reports its sender wants (RFC 3461).
 * Values: no pointers, no functions.
 */
#ifndef SMTP_ENVELOPE_H
#define SMTP_ENVELOPE_H

#include <smtp/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The BODY parameter of MAIL. */
enum smtp_body_kind {
	SMTP_BODY_7BIT, /* also when there was none */
	SMTP_BODY_8BITMIME,
	SMTP_BODY_BINARYMIME /* lines of any length, any octets; only by BDAT */
};

/** The RET parameter of MAIL: how much of the message a report of failure returns (RFC 3461, 4.3). */
enum smtp_dsn_return { SMTP_DSN_RETURN_DEFAULT, SMTP_DSN_RETURN_FULL, SMTP_DSN_RETURN_HEADERS };

/** The NOTIFY parameter of RCPT: a set; 0 when there was none (RFC 3461, 4.1). */
enum smtp_dsn_notify {
	SMTP_DSN_NOTIFY_NEVER = 1 << 0, /* stands alone */
	SMTP_DSN_NOTIFY_SUCCESS = 1 << 1,
	SMTP_DSN_NOTIFY_FAILURE = 1 << 2,
	SMTP_DSN_NOTIFY_DELAY = 1 << 3
};

enum {
	SMTP_ENVID_MAX = 100, /* octets of ENVID in xtext (RFC 3461, 4) */
	SMTP_ORCPT_MAX = 500  /* octets of ORCPT with its type, in xtext */
};

#ifdef __cplusplus
}
#endif
#endif
