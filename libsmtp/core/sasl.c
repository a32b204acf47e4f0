/* SPDX-License-Identifier: ISC */
/* sasl.c - the message of PLAIN (RFC 4616). It borrows and never copies a password on its own. */
#include "libsmtp/core/sasl.h"

#include <string.h>

/* The octets before the next NUL, which is taken too; false: there is no NUL. */
static bool take_field(struct smtp_span *rest, struct smtp_span *field)
{
	const uint8_t *nul = rest->n > 0 ? memchr(rest->p, '\0', rest->n) : NULL;

	if (!nul)
		return false;
	*field = (struct smtp_span){ rest->p, (size_t)(nul - rest->p) };
	rest->p += field->n + 1;
	rest->n -= field->n + 1;
	return true;
}

static bool is_too_long(const struct smtp_sasl_login *login)
{
	return login->authorization_id.n > SMTP_SASL_FIELD_MAX ||
	       login->authentication_id.n > SMTP_SASL_FIELD_MAX ||
	       login->password.n > SMTP_SASL_FIELD_MAX;
}

/* message = [authzid] UTF8NUL authcid UTF8NUL passwd */
int smtp_sasl_plain_parse(struct smtp_sasl_login *out, struct smtp_span message)
{
	struct smtp_sasl_login login;
	struct smtp_span surplus;

	if (!take_field(&message, &login.authorization_id) ||
	    !take_field(&message, &login.authentication_id))
		return SMTP_ESYNTAX;
	login.password = message;
	if (take_field(&message, &surplus) || login.authentication_id.n == 0)
		return SMTP_ESYNTAX;
	if (is_too_long(&login))
		return SMTP_ETOOLONG;
	*out = login;
	return 0;
}

static bool has_nul(struct smtp_span field)
{
	return field.n > 0 && memchr(field.p, '\0', field.n);
}

int smtp_sasl_plain_format(struct smtp_buf *out, const struct smtp_sasl_login *login)
{
	size_t start = out->n;
	int err;

	if (has_nul(login->authorization_id) || has_nul(login->authentication_id) ||
	    has_nul(login->password) || login->authentication_id.n == 0)
		return SMTP_EINVAL;
	if (is_too_long(login))
		return SMTP_ETOOLONG;
	err = smtp_buf_append_span(out, login->authorization_id);
	if (!err)
		err = smtp_buf_append(out, "", 1);
	if (!err)
		err = smtp_buf_append_span(out, login->authentication_id);
	if (!err)
		err = smtp_buf_append(out, "", 1);
	if (!err)
		err = smtp_buf_append_span(out, login->password);
	if (err)
		out->n = start;
	return err;
}
