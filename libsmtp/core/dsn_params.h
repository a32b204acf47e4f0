/* SPDX-License-Identifier: ISC */
/* dsn_params.h - the values of RET, ENVID, NOTIFY and ORCPT (RFC 3461, 4; RFC 6533, 3), read strictly.
 * SMTP_ESYNTAX, SMTP_ETOOLONG: the value is bad; SMTP_ENOMEM. Outputs are then unchanged.
 */
#ifndef SMTP_CORE_DSN_PARAMS_H
#define SMTP_CORE_DSN_PARAMS_H

#include <smtp/envelope.h>

#include "libsmtp/core/buf.h"

SMTP_MUST_USE int smtp_dsn_return_parse(enum smtp_dsn_return *out, struct smtp_span value);
SMTP_MUST_USE int smtp_dsn_notify_parse(unsigned *out, struct smtp_span value);
/** Appends what ENVID carries, which is printable ASCII. */
SMTP_MUST_USE int smtp_dsn_envid_decode(struct smtp_buf *out, struct smtp_span value);
/** Appends the type of ORCPT, *type_n octets, and the decoded address behind it: printable ASCII, or
 *  UTF-8 with the type "utf-8". `utf8`: such an address may stand there as it is (RFC 6531). */
SMTP_MUST_USE int smtp_dsn_orcpt_decode(struct smtp_buf *out, struct smtp_span value, bool utf8,
					size_t *type_n);

#endif
