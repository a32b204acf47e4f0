/* SPDX-License-Identifier: ISC */
/* client_auth.c - the AUTH step of a client session (RFC 4954): chooses the mechanism, carries the
 * messages of the exchange (sasl.h). Decides whether a secret may be sent at all; keeps it and what is
 * made of it out of the trace.
 */
#include "libsmtp/core/client_session_private.h"

#include <string.h>

#include "libsmtp/core/base64.h"
#include "libsmtp/core/command.h"
#include "libsmtp/core/extension.h"
#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

enum {
	SECRET_MAX = SMTP_AUTH_LINE_MAX,
	ECHO_PROBE = 8,
	SHOWN_MAX = 64
};

static int keep_text(struct smtp_buf *out, const char *text)
{
	int err = text ? smtp_buf_append_text(out, text) : 0;

	return err == SMTP_ETOOLONG ? SMTP_EINVAL : err;
}

int smtp_client_login_init(struct client_login *login,
			   const struct smtp_client_session_options *options)
{
	int err;

	smtp_buf_init(&login->user, SMTP_SASL_FIELD_MAX);
	smtp_buf_init(&login->password, SMTP_SASL_FIELD_MAX);
	smtp_buf_init(&login->token, SMTP_SASL_TOKEN_MAX);
	smtp_buf_init(&login->other, SMTP_SASL_FIELD_MAX);
	smtp_buf_init(&login->secret, SECRET_MAX);
	smtp_sasl_client_init(&login->exchange);
	login->has_password = options->password != NULL;
	err = keep_text(&login->user, options->user);
	if (!err)
		err = keep_text(&login->password, options->password);
	if (!err)
		err = keep_text(&login->token, options->token);
	return err ? err : keep_text(&login->other, options->authorization_id);
}

void smtp_client_login_wipe(struct client_login *login)
{
	smtp_buf_wipe(&login->user);
	smtp_buf_wipe(&login->password);
	smtp_buf_wipe(&login->token);
	smtp_buf_wipe(&login->other);
	smtp_buf_wipe(&login->secret);
	smtp_sasl_client_wipe(&login->exchange);
}

/* --- which mechanism ------------------------------------------------------------------------- */

static bool is_asked_for(const struct smtp_client_session *s, unsigned mechanism)
{
	return s->options.mechanism == mechanism;
}

/* A password or token in clear, and the weak hash of one, go over TLS only. */
static bool is_safe(const struct smtp_client_session *s, const struct smtp_sasl_rules *r)
{
	if (s->has_tls || s->options.auth_without_tls)
		return true;
	return !(r->traits & SMTP_SASL_CLEAR_TEXT) &&
	       (!(r->traits & SMTP_SASL_NEEDS_MD5) || is_asked_for(s, r->mechanism));
}

static bool has_what_it_needs(const struct smtp_client_session *s, const struct smtp_sasl_rules *r)
{
	const struct client_login *login = &s->login;

	if ((r->traits & SMTP_SASL_NEEDS_CRYPTO) &&
	    !smtp_crypto_is_complete(s->options.crypto, r->traits & SMTP_SASL_NEEDS_MD5))
		return false;
	if ((r->traits & SMTP_SASL_NEEDS_BINDING) &&
	    (!s->has_tls || s->channel.exporter_n + s->channel.end_point_n == 0))
		return false;
	if (r->traits & SMTP_SASL_NEEDS_IDENTITY)
		return is_asked_for(s, r->mechanism) ||
		       (s->options.auth_external && !login->has_password && login->token.n == 0);
	if (r->traits & SMTP_SASL_NEEDS_TOKEN)
		return login->token.n > 0 &&
		       (login->user.n > 0 || r->mechanism == SMTP_MECHANISM_OAUTHBEARER);
	return login->user.n > 0 && login->has_password;
}

static bool is_usable(const struct smtp_client_session *s, const struct smtp_sasl_rules *r)
{
	unsigned wanted = s->options.mechanism ? s->options.mechanism : SMTP_MECHANISMS_ALL;

	return (r->mechanism & wanted & s->extensions.mechanisms) && is_safe(s, r) &&
	       has_what_it_needs(s, r);
}

/* The first of the table with, or without, this trait. */
static const struct smtp_sasl_rules *find_usable(const struct smtp_client_session *s, unsigned trait)
{
	const struct smtp_sasl_rules *r;

	for (size_t i = 0; (r = smtp_sasl_rules_at(i)); i++)
		if ((trait == 0 || (r->traits & trait)) && is_usable(s, r))
			return r;
	return NULL;
}

/* A token that was given is meant to be used. In clear text even a weak hash is better than the
 * password; under TLS the server had better not store it in clear for that. */
static const struct smtp_sasl_rules *choose_mechanism(const struct smtp_client_session *s)
{
	const struct smtp_sasl_rules *best = find_usable(s, SMTP_SASL_NEEDS_TOKEN);
	const struct smtp_sasl_rules *hashed;

	if (!best)
		best = find_usable(s, 0);
	if (!best || s->has_tls || !(best->traits & SMTP_SASL_CLEAR_TEXT))
		return best;
	hashed = find_usable(s, SMTP_SASL_NEEDS_MD5);
	return hashed ? hashed : best;
}

static void fill_exchange(struct smtp_client_session *s, const struct smtp_sasl_rules *rules)
{
	struct smtp_sasl_client *x = &s->login.exchange;

	x->rules = rules;
	x->crypto = s->options.crypto;
	x->login = (struct smtp_sasl_login){
		.authorization_id = smtp_buf_span(&s->login.other),
		.authentication_id = smtp_buf_span(&s->login.user),
		.password = smtp_buf_span(&s->login.password),
		.token = smtp_buf_span(&s->login.token),
	};
	if (!s->has_tls)
		return;
	x->channel.exporter = smtp_span_make(s->channel.exporter, s->channel.exporter_n);
	x->channel.server_end_point = smtp_span_make(s->channel.end_point, s->channel.end_point_n);
	x->channel.plus_offered = s->extensions.mechanisms & SMTP_MECHANISM_SCRAM_SHA_256_PLUS;
}

void smtp_client_auth_begin(struct smtp_client_session *s)
{
	bool needed = s->login.user.n + s->login.token.n > 0 ||
		      is_asked_for(s, SMTP_MECHANISM_EXTERNAL);
	const struct smtp_sasl_rules *rules = s->extensions.auth ? choose_mechanism(s) : NULL;

	if (rules) {
		fill_exchange(s, rules);
		smtp_client_go_to(s, SMTP_STEP_AUTH);
	} else if (!needed) {
		smtp_client_set_up(s);
	} else if (!s->has_tls && !s->options.auth_without_tls) {
		smtp_client_give_up(s, SMTP_ETLS, SMTP_STEP_AUTH, NULL);
	} else {
		smtp_client_give_up(s, SMTP_ENOTSUP, SMTP_STEP_AUTH, NULL);
	}
}

void smtp_client_auth_on_demand(struct smtp_client_session *s)
{
	s->job = CLIENT_JOB_NONE;
	s->state = CLIENT_BUSY;
	smtp_client_auth_begin(s);
}

int smtp_client_session_authenticate(struct smtp_client_session *s, const char *user,
				     const char *password)
{
	struct smtp_client_session_options login = { .user = user, .password = password };
	int err;

	if (!s || !user || user[0] == '\0' || !password)
		return SMTP_EINVAL;
	if (!smtp_client_session_is_idle(s))
		return SMTP_ESTATE;
	smtp_client_login_wipe(&s->login);
	err = smtp_client_login_init(&s->login, &login);
	if (err)
		smtp_client_login_wipe(&s->login);
	else
		s->job = CLIENT_JOB_AUTH;
	return err;
}

/* --- send ------------------------------------------------------------------------------------ */

/* The next message of the exchange, as base64 in login->secret. */
static int make_response(struct client_login *login, struct smtp_span challenge)
{
	struct smtp_buf message;
	int err;

	smtp_buf_init(&message, SMTP_SASL_MESSAGE_MAX);
	err = smtp_sasl_client_respond(&login->exchange, challenge, &message);
	smtp_buf_wipe(&login->secret);
	if (!err)
		err = smtp_base64_encode(&login->secret, smtp_buf_span(&message));
	smtp_buf_wipe(&message);
	return err;
}

/* "AUTH NAME ***", "AUTH NAME", or "***" without a name. */
static int make_shown(struct smtp_buf *out, const char *name, bool secret)
{
	int err = *name ? smtp_buf_append_text(out, "AUTH ") : 0;

	if (!err)
		err = smtp_buf_append_text(out, name);
	if (!err && secret)
		err = smtp_buf_append_text(out, *name ? " ***" : "***");
	return err ? err : smtp_buf_append(out, "", 1);
}

static int put_response(struct smtp_client_session *s, const char *name, struct smtp_span response)
{
	bool both = *name && response.n > 0;
	const struct smtp_span parts[] = { smtp_span_of(*name ? "AUTH " : ""), smtp_span_of(name),
					   smtp_span_of(both ? " " : ""), response };
	struct smtp_buf shown;
	int err;

	smtp_buf_init(&shown, SHOWN_MAX);
	err = make_shown(&shown, name, response.n > 0);
	if (!err)
		err = smtp_client_put(s, parts, 4, (const char *)shown.p);
	smtp_buf_release(&shown);
	return err;
}

/* The initial response goes with the command unless the line gets too long (RFC 4954, 4): then it waits
 * for the server to ask. An empty one is "=". */
static int send_command(struct smtp_client_session *s)
{
	struct client_login *login = &s->login;
	const struct smtp_sasl_rules *rules = login->exchange.rules;
	struct smtp_span none = { NULL, 0 };
	struct smtp_span initial;
	int err = make_response(login, none);

	if (err)
		return err;
	if (rules->traits & SMTP_SASL_SERVER_FIRST)
		return put_response(s, rules->name, none);
	login->initial_due = true;
	initial = login->secret.n > 0 ? smtp_buf_span(&login->secret) : smtp_span_of("=");
	if (sizeof("AUTH  \r\n") - 1 + strlen(rules->name) + initial.n > SMTP_COMMAND_LINE_MAX)
		initial = none;
	return put_response(s, rules->name, initial);
}

int smtp_client_auth_send(struct smtp_client_session *s, size_t index)
{
	struct client_login *login = &s->login;
	struct smtp_span cancel = smtp_span_of("*");

	(void)index;
	if (login->round++ == 0)
		return send_command(s);
	if (login->cancelled)
		return smtp_client_put(s, &cancel, 1, NULL);
	return put_response(s, "", smtp_buf_span(&login->secret));
}

/* --- reply ----------------------------------------------------------------------------------- */

static int read_challenge(const struct client_login *login, struct smtp_span text,
			  struct smtp_buf *out)
{
	int err = smtp_base64_decode(out, smtp_span_trim(text));

	if (err == SMTP_ESYNTAX || err == SMTP_ETOOLONG)
		err = login->exchange.rules->traits & SMTP_SASL_LENIENT ? 0 : SMTP_EPROTO;
	return err;
}

/* A server that asks for the initial response has not seen it, so it is sent (again). */
static bool is_asked_again(struct client_login *login, struct smtp_span challenge)
{
	bool again = login->initial_due &&
		     (challenge.n == 0 || (login->exchange.rules->traits & SMTP_SASL_LENIENT));

	login->initial_due = false;
	return again;
}

static void take_challenge(struct smtp_client_session *s, const struct smtp_reply *reply)
{
	struct smtp_buf challenge;
	int err;

	smtp_buf_init(&challenge, SMTP_SASL_MESSAGE_MAX);
	err = read_challenge(&s->login, reply->text, &challenge);
	if (!err && !is_asked_again(&s->login, smtp_buf_span(&challenge)))
		err = make_response(&s->login, smtp_buf_span(&challenge));
	smtp_buf_release(&challenge);
	s->login.cancelled = err == SMTP_EPROTO || err == SMTP_EAUTH;
	if (err && !s->login.cancelled)
		smtp_client_end(s, err, SMTP_STEP_AUTH, NULL);
	else
		smtp_client_go_to(s, SMTP_STEP_AUTH);
}

void smtp_client_auth_reply(struct smtp_client_session *s, size_t index,
			    const struct smtp_reply *reply)
{
	(void)index;
	smtp_buf_wipe(&s->out); /* it is empty, but the password was in it */
	if (smtp_reply_is_positive(reply) && !s->login.cancelled && !s->login.exchange.unproven)
		smtp_client_set_up(s);
	else if (reply->code == 334 && !s->login.cancelled)
		take_challenge(s, reply);
	else if (smtp_reply_is_transient(reply) || smtp_reply_is_permanent(reply))
		smtp_client_give_up(s, SMTP_EAUTH, SMTP_STEP_AUTH, reply);
	else
		smtp_client_end(s, SMTP_EPROTO, SMTP_STEP_AUTH, reply);
}

/* --- echoes ---------------------------------------------------------------------------------- */

static bool is_word_part(struct smtp_span text, size_t at)
{
	return at < text.n && smtp_is(text.p[at], SMTP_CC_LET_DIG);
}

/* A short one stands in many words by chance; as a word of its own it does not. */
static bool holds_word(struct smtp_span text, struct smtp_span word)
{
	for (size_t at = 0; at + word.n <= text.n; at++)
		if (memcmp(text.p + at, word.p, word.n) == 0 &&
		    !is_word_part(text, at + word.n) && (at == 0 || !is_word_part(text, at - 1)))
			return true;
	return false;
}

/* Is there any run of it in the text? An echo may begin or end anywhere. */
static bool holds(struct smtp_span text, struct smtp_span secret)
{
	if (secret.n == 0)
		return false;
	if (secret.n < ECHO_PROBE)
		return holds_word(text, secret);
	for (size_t at = 0; at + ECHO_PROBE <= secret.n; at++)
		if (memmem(text.p, text.n, secret.p + at, ECHO_PROBE))
			return true;
	return false;
}

static struct smtp_span behind_last_blank(struct smtp_span line)
{
	size_t at = line.n;

	while (at > 0 && line.p[at - 1] != ' ')
		at--;
	return smtp_span_slice(line, at, line.n);
}

/* A challenge of SCRAM has our nonce in it: that is no echo of a secret, and its text is needed. */
static bool echoes_login(const struct client_login *login, const struct smtp_reply *reply)
{
	const struct smtp_sasl_rules *rules = login->exchange.rules;
	bool needed = reply->code == 334 && rules && !(rules->traits & SMTP_SASL_CLEAR_TEXT);
	struct smtp_span password = smtp_buf_span(&login->password);

	return (!needed && holds(reply->text, smtp_buf_span(&login->secret))) ||
	       ((!needed || password.n >= ECHO_PROBE) && holds(reply->text, password)) ||
	       holds(reply->text, smtp_buf_span(&login->token));
}

/* Some servers repeat the line they did not understand, or what was in it. */
void smtp_client_auth_mask(const struct smtp_client_session *s, struct smtp_reply *reply)
{
	bool echo = false;

	if (reply->text.n == 0)
		return;
	if (s->reply_at.step == SMTP_STEP_AUTH)
		echo = echoes_login(&s->login, reply);
	else if (s->reply_at.step == SMTP_STEP_COMMAND && s->command_secret)
		echo = holds(reply->text, behind_last_blank(smtp_buf_span(&s->command)));
	if (echo)
		reply->text = smtp_span_of("***");
}
