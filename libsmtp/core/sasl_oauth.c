/* SPDX-License-Identifier: ISC */
/* sasl_oauth.c - a bearer token as login, in its two spellings: OAUTHBEARER (RFC 7628) and XOAUTH2. The
 * application checks the token; a refused one is told in JSON, which the client answers before the end.
 */
#include "libsmtp/core/sasl.h"
#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

/* --- common ---------------------------------------------------------------------------------- */

/* b64token and more: what a header field of HTTP could bear (RFC 6750, 2.1). */
static bool is_token(struct smtp_span token)
{
	for (size_t i = 0; i < token.n; i++)
		if (token.p[i] <= ' ' || token.p[i] > '~')
			return false;
	return token.n > 0 && token.n <= SMTP_SASL_TOKEN_MAX;
}

static bool is_name(struct smtp_span name)
{
	return name.n <= SMTP_SASL_FIELD_MAX && smtp_utf8_is_valid(name) &&
	       !smtp_span_has(name, SMTP_CC_CONTROL);
}

/* Octets up to ^A, which is taken too; false: there is none. */
static bool take_pair(struct smtp_reader *rd, struct smtp_span *pair)
{
	*pair = smtp_span_make(rd->rest.p, 0);
	while (pair->n < rd->rest.n && rd->rest.p[pair->n] != '\1')
		pair->n++;
	if (pair->n == rd->rest.n)
		return false;
	rd->rest = smtp_span_slice(rd->rest, pair->n + 1, SIZE_MAX);
	return true;
}

/* *(key "=" value ^A) ^A, nothing behind it; of the keys only auth matters, once. */
static bool take_pairs(struct smtp_reader *rd, struct smtp_span *token)
{
	struct smtp_span pair = { 0 };

	while (take_pair(rd, &pair)) {
		struct smtp_reader value;

		if (pair.n == 0)
			return smtp_rd_end(rd) && is_token(*token);
		smtp_reader_init(&value, pair);
		if (!smtp_rd_literal(&value, "auth="))
			continue;
		if (token->n > 0 || !smtp_rd_literal(&value, "Bearer "))
			return false;
		while (smtp_rd_char(&value, ' '))
			;
		*token = value.rest;
	}
	return false;
}

static int keep(struct smtp_sasl_server *x, struct smtp_span name, struct smtp_span token)
{
	int err = smtp_buf_append_span(&x->first, name);

	if (!err)
		err = smtp_buf_append_span(&x->second, token);
	x->login.authentication_id = smtp_buf_span(&x->first);
	x->login.token = smtp_buf_span(&x->second);
	return err ? err : SMTP_SASL_DECIDE;
}

/* The end of a refused login: ^A (RFC 7628, 3.2.3) or nothing, or anything: it fails all the same. */
static int take_first(struct smtp_sasl_server *x, struct smtp_span message,
		      int (*read)(struct smtp_sasl_server *x, struct smtp_span message))
{
	if (!message.p)
		return SMTP_SASL_CHALLENGE;
	if (x->round++ == 0)
		return read(x, message);
	return SMTP_SASL_WRONG;
}

int smtp_oauth_decided(struct smtp_sasl_server *x, bool accepted)
{
	int err;

	if (accepted)
		return SMTP_SASL_DONE;
	if (x->token_error.n > 0)
		err = smtp_buf_append_span(&x->challenge, smtp_buf_span(&x->token_error));
	else
		err = smtp_buf_append_text(&x->challenge, "{\"status\":\"invalid_token\"}");
	return err ? err : SMTP_SASL_CHALLENGE;
}

static int append_auth(struct smtp_sasl_client *x, struct smtp_buf *out)
{
	int err = smtp_buf_append_text(out, "\1auth=Bearer ");

	if (!err)
		err = smtp_buf_append_span(out, x->login.token);
	return err ? err : smtp_buf_append_text(out, "\1\1");
}

static bool can_be_sent(const struct smtp_sasl_client *x)
{
	return is_token(x->login.token) && is_name(x->login.authentication_id);
}

/* --- XOAUTH2: "user=" name ^A "auth=Bearer " token ^A ^A --------------------------------------- */

static int read_xoauth2(struct smtp_sasl_server *x, struct smtp_span message)
{
	struct smtp_span user = { 0 };
	struct smtp_span token = { 0 };
	struct smtp_reader rd;

	smtp_reader_init(&rd, message);
	if (!smtp_rd_literal(&rd, "user=") || !take_pair(&rd, &user) || user.n == 0 ||
	    !is_name(user) || !take_pairs(&rd, &token))
		return SMTP_SASL_MALFORMED;
	return keep(x, user, token);
}

int smtp_xoauth2_step(struct smtp_sasl_server *x, struct smtp_span message)
{
	return take_first(x, message, read_xoauth2);
}

int smtp_xoauth2_respond(struct smtp_sasl_client *x, struct smtp_span challenge,
			 struct smtp_buf *out)
{
	int err;

	(void)challenge;
	if (x->round > 0) /* an error: nothing in return, to hear the reply to it */
		return x->round == 1 ? 0 : SMTP_EPROTO;
	if (!can_be_sent(x) || x->login.authentication_id.n == 0)
		return SMTP_EINVAL;
	err = smtp_buf_append_text(out, "user=");
	if (!err)
		err = smtp_buf_append_span(out, x->login.authentication_id);
	return err ? err : append_auth(x, out);
}

/* --- OAUTHBEARER: gs2-header ^A *(key "=" value ^A) ^A ------------------------------------------ */

static int read_oauthbearer(struct smtp_sasl_server *x, struct smtp_span message)
{
	struct smtp_span header = { 0 };
	struct smtp_span token = { 0 };
	struct smtp_reader rd;
	int err;

	smtp_reader_init(&rd, message);
	/* "n" or "y": it binds to nothing */
	if ((!smtp_rd_char(&rd, 'n') && !smtp_rd_char(&rd, 'y')) || !smtp_rd_char(&rd, ',') ||
	    !take_pair(&rd, &header) || header.n == 0 || header.p[header.n - 1] != ',' ||
	    !take_pairs(&rd, &token))
		return SMTP_SASL_MALFORMED;
	smtp_reader_init(&rd, smtp_span_slice(header, 0, header.n - 1));
	if (!smtp_rd_end(&rd) && !smtp_rd_literal(&rd, "a="))
		return SMTP_SASL_MALFORMED;
	err = rd.rest.n > 0 ? smtp_saslname_decode(&x->first, rd.rest) : 0;
	if (err == SMTP_ESYNTAX || x->first.n > SMTP_SASL_FIELD_MAX)
		return SMTP_SASL_MALFORMED;
	return err ? err : keep(x, smtp_span_make(NULL, 0), token);
}

int smtp_oauthbearer_step(struct smtp_sasl_server *x, struct smtp_span message)
{
	return take_first(x, message, read_oauthbearer);
}

int smtp_oauthbearer_respond(struct smtp_sasl_client *x, struct smtp_span challenge,
			     struct smtp_buf *out)
{
	struct smtp_span name = x->login.authentication_id;
	int err;

	(void)challenge;
	if (x->round > 0) /* an error (RFC 7628, 3.2.3) */
		return x->round == 1 ? smtp_buf_append_text(out, "\1") : SMTP_EPROTO;
	if (!can_be_sent(x))
		return SMTP_EINVAL;
	err = smtp_buf_append_text(out, name.n > 0 ? "n,a=" : "n,");
	if (!err)
		err = smtp_saslname_encode(out, name);
	if (!err)
		err = smtp_buf_append_text(out, ",");
	return err ? err : append_auth(x, out);
}
