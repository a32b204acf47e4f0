/* SPDX-License-Identifier: ISC */
/* sasl.c - the table of mechanisms and what all exchanges have in common; the message of PLAIN (RFC
 * 4616), and LOGIN. The other mechanisms have files of their own.
 */
#include "libsmtp/core/sasl.h"

#include <string.h>

#include "libsmtp/core/span.h"

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
	struct smtp_sasl_login login = { .token = { NULL, 0 } };
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

/* --- PLAIN ----------------------------------------------------------------------------------- */

int smtp_plain_step(struct smtp_sasl_server *x, struct smtp_span message)
{
	int err;

	if (!message.p)
		return SMTP_SASL_CHALLENGE;
	x->round++;
	err = smtp_buf_append_span(&x->first, message);
	if (err)
		return err;
	return smtp_sasl_plain_parse(&x->login, smtp_buf_span(&x->first)) == 0 ?
		       SMTP_SASL_DECIDE :
		       SMTP_SASL_MALFORMED;
}

int smtp_plain_respond(struct smtp_sasl_client *x, struct smtp_span challenge, struct smtp_buf *out)
{
	(void)challenge; /* some servers have a text for it */
	return x->round > 0 ? SMTP_EPROTO : smtp_sasl_plain_format(out, &x->login);
}

/* --- LOGIN: whatever the server asks, first the name, then the password ------------------------ */

static int login_challenge(struct smtp_sasl_server *x, const char *text)
{
	int err;

	smtp_buf_clear(&x->challenge);
	err = smtp_buf_append_text(&x->challenge, text);
	return err ? err : SMTP_SASL_CHALLENGE;
}

int smtp_login_step(struct smtp_sasl_server *x, struct smtp_span message)
{
	int err;

	if (!message.p)
		return login_challenge(x, "Username:");
	if (x->round++ == 0) {
		err = smtp_buf_append_span(&x->first, message);
		x->login.authentication_id = smtp_buf_span(&x->first);
		if (err)
			return err;
		return message.n > 0 ? login_challenge(x, "Password:") : SMTP_SASL_MALFORMED;
	}
	err = smtp_buf_append_span(&x->second, message);
	x->login.password = smtp_buf_span(&x->second);
	return err ? err : SMTP_SASL_DECIDE;
}

int smtp_login_respond(struct smtp_sasl_client *x, struct smtp_span challenge, struct smtp_buf *out)
{
	(void)challenge;
	if (x->round == 0)
		return 0;
	if (x->round > 2)
		return SMTP_EPROTO;
	return smtp_buf_append_span(out, x->round == 1 ? x->login.authentication_id :
							 x->login.password);
}

/* --- mechanisms ------------------------------------------------------------------------------ */

enum {
	SCRAM_TRAITS = SMTP_SASL_NEEDS_CRYPTO | SMTP_SASL_NEEDS_LOOKUP | SMTP_SASL_NEEDS_PASSWORD,
	PASSWORD_TRAITS = SMTP_SASL_CLEAR_TEXT | SMTP_SASL_NEEDS_PASSWORD | SMTP_SASL_LENIENT,
	TOKEN_TRAITS = SMTP_SASL_CLEAR_TEXT | SMTP_SASL_NEEDS_TOKEN
};

static const struct smtp_sasl_rules rules[] = {
	{ SMTP_MECHANISM_SCRAM_SHA_256_PLUS, "SCRAM-SHA-256-PLUS",
	  SCRAM_TRAITS | SMTP_SASL_NEEDS_BINDING, smtp_scram_step, smtp_scram_looked_up,
	  smtp_scram_decided, smtp_scram_respond },
	{ SMTP_MECHANISM_SCRAM_SHA_256, "SCRAM-SHA-256", SCRAM_TRAITS, smtp_scram_step,
	  smtp_scram_looked_up, smtp_scram_decided, smtp_scram_respond },
	{ SMTP_MECHANISM_EXTERNAL, "EXTERNAL", SMTP_SASL_NEEDS_IDENTITY, smtp_external_step, NULL,
	  NULL, smtp_external_respond },
	{ SMTP_MECHANISM_OAUTHBEARER, "OAUTHBEARER", TOKEN_TRAITS, smtp_oauthbearer_step, NULL,
	  smtp_oauth_decided, smtp_oauthbearer_respond },
	{ SMTP_MECHANISM_XOAUTH2, "XOAUTH2", TOKEN_TRAITS, smtp_xoauth2_step, NULL,
	  smtp_oauth_decided, smtp_xoauth2_respond },
	{ SMTP_MECHANISM_PLAIN, "PLAIN", PASSWORD_TRAITS, smtp_plain_step, NULL, NULL,
	  smtp_plain_respond },
	{ SMTP_MECHANISM_LOGIN, "LOGIN", PASSWORD_TRAITS | SMTP_SASL_SERVER_FIRST, smtp_login_step,
	  NULL, NULL, smtp_login_respond },
	{ SMTP_MECHANISM_CRAM_MD5, "CRAM-MD5",
	  SCRAM_TRAITS | SMTP_SASL_NEEDS_MD5 | SMTP_SASL_SERVER_FIRST, smtp_cram_md5_step,
	  smtp_cram_md5_looked_up, NULL, smtp_cram_md5_respond },
};

enum { RULES = sizeof(rules) / sizeof(*rules) };

const struct smtp_sasl_rules *smtp_sasl_rules_at(size_t index)
{
	return index < RULES ? &rules[index] : NULL;
}

const struct smtp_sasl_rules *smtp_sasl_rules_of(unsigned mechanism)
{
	for (size_t i = 0; i < RULES; i++)
		if (rules[i].mechanism == mechanism)
			return &rules[i];
	return NULL;
}

unsigned smtp_mechanism_of(struct smtp_span name)
{
	for (size_t i = 0; i < RULES; i++)
		if (smtp_span_is_nocase(name, rules[i].name))
			return rules[i].mechanism;
	return 0;
}

const char *smtp_mechanism_name(unsigned mechanism)
{
	const struct smtp_sasl_rules *found = smtp_sasl_rules_of(mechanism);

	return found ? found->name : NULL;
}

bool smtp_crypto_is_complete(const struct smtp_crypto *crypto, bool md5)
{
	size_t needed = md5 ? sizeof(*crypto) : offsetof(struct smtp_crypto, hmac_md5);

	return crypto && crypto->size >= needed && crypto->random && crypto->sha256 &&
	       crypto->hmac_sha256 && crypto->pbkdf2_sha256 && (!md5 || crypto->hmac_md5);
}

int smtp_channel_copy(struct smtp_channel *out, const struct smtp_tls_channel *in)
{
	if (!in || in->size < sizeof(*in) || in->exporter.n > sizeof(out->exporter) ||
	    in->server_end_point.n > sizeof(out->end_point))
		return SMTP_EINVAL;
	*out = (struct smtp_channel){ .exporter_n = in->exporter.n,
				      .end_point_n = in->server_end_point.n };
	if (in->exporter.n > 0)
		memcpy(out->exporter, in->exporter.p, in->exporter.n);
	if (in->server_end_point.n > 0)
		memcpy(out->end_point, in->server_end_point.p, in->server_end_point.n);
	return 0;
}

/* --- exchanges ------------------------------------------------------------------------------- */

void smtp_sasl_server_init(struct smtp_sasl_server *x)
{
	*x = (struct smtp_sasl_server){ .rules = NULL };
	smtp_buf_init(&x->first, SMTP_SASL_MESSAGE_MAX);
	smtp_buf_init(&x->second, SMTP_SASL_MESSAGE_MAX);
	smtp_buf_init(&x->challenge, SMTP_SASL_MESSAGE_MAX);
	smtp_buf_init(&x->secret, SMTP_SASL_FIELD_MAX);
	smtp_buf_init(&x->token_error, SMTP_SASL_FIELD_MAX);
	smtp_scram_init(&x->scram);
}

void smtp_sasl_server_wipe(struct smtp_sasl_server *x)
{
	smtp_buf_wipe(&x->first);
	smtp_buf_wipe(&x->second);
	smtp_buf_wipe(&x->challenge);
	smtp_buf_wipe(&x->secret);
	smtp_buf_release(&x->token_error);
	smtp_scram_wipe(&x->scram);
	explicit_bzero(x, sizeof(*x));
	smtp_sasl_server_init(x);
}

int smtp_sasl_server_step(struct smtp_sasl_server *x, struct smtp_span message)
{
	int next = x->rules->step(x, message);

	return next == SMTP_ETOOLONG ? SMTP_SASL_MALFORMED : next;
}

int smtp_sasl_server_looked_up(struct smtp_sasl_server *x)
{
	return x->rules->looked_up(x);
}

int smtp_sasl_server_decided(struct smtp_sasl_server *x, bool accepted)
{
	x->refused = !accepted;
	if (x->rules->decided)
		return x->rules->decided(x, accepted);
	return accepted ? SMTP_SASL_DONE : SMTP_SASL_WRONG;
}

void smtp_sasl_client_init(struct smtp_sasl_client *x)
{
	*x = (struct smtp_sasl_client){ .rules = NULL };
	smtp_scram_init(&x->scram);
}

void smtp_sasl_client_wipe(struct smtp_sasl_client *x)
{
	smtp_scram_wipe(&x->scram);
	smtp_sasl_client_init(x);
}

int smtp_sasl_client_respond(struct smtp_sasl_client *x, struct smtp_span challenge,
			     struct smtp_buf *out)
{
	int err = x->rules->respond(x, challenge, out);

	x->round++;
	return err;
}
