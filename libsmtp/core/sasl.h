/* SPDX-License-Identifier: ISC */
/* sasl.h - SASL mechanisms as exchanges of messages, without base64 and without I/O. PLAIN (RFC
 * 4616) and LOGIN; the password itself is checked by the handler of the session.
 */
#ifndef SMTP_CORE_SASL_H
#define SMTP_CORE_SASL_H

#include "libsmtp/core/buf.h"

enum { SMTP_SASL_FIELD_MAX = 1024 };

/** What a login consists of. Every span borrows from the exchange that made it. */
struct smtp_sasl_login {
	struct smtp_span authorization_id; /* empty: same as authentication_id */
	struct smtp_span authentication_id;
	struct smtp_span password;
};

/** Splits the message of PLAIN at its exactly two NULs; empty authentication id: SMTP_ESYNTAX. A
 *  field over SMTP_SASL_FIELD_MAX: SMTP_ETOOLONG. */
SMTP_MUST_USE int smtp_sasl_plain_parse(struct smtp_sasl_login *out, struct smtp_span message);
/** Appends the message. SMTP_EINVAL: a NUL in a field, or no authentication id. */
SMTP_MUST_USE int smtp_sasl_plain_format(struct smtp_buf *out, const struct smtp_sasl_login *login);

#endif
