/* SPDX-License-Identifier: ISC */
/* sasl_external.c - EXTERNAL (RFC 4422, appendix A) on both ends: who the client is shows from its TLS
 * certificate, the message only says whom it wants to act for.
 */
#include "libsmtp/core/sasl.h"
#include "libsmtp/core/syntax.h"

int smtp_external_step(struct smtp_sasl_server *x, struct smtp_span message)
{
	int err;

	if (!message.p)
		return SMTP_SASL_CHALLENGE;
	x->round++;
	if (message.n > SMTP_SASL_FIELD_MAX || !smtp_utf8_is_valid(message) ||
	    smtp_span_has(message, SMTP_CC_CONTROL))
		return SMTP_SASL_MALFORMED;
	err = smtp_buf_append_span(&x->second, message);
	if (!err)
		err = smtp_buf_append_span(&x->first, x->identity);
	x->login.authentication_id = smtp_buf_span(&x->first);
	x->login.authorization_id = smtp_buf_span(&x->second);
	return err ? err : SMTP_SASL_DECIDE;
}

int smtp_external_respond(struct smtp_sasl_client *x, struct smtp_span challenge,
			  struct smtp_buf *out)
{
	if (x->round > 0 || challenge.n > 0)
		return SMTP_EPROTO;
	return smtp_buf_append_span(out, x->login.authorization_id);
}
