/* SPDX-License-Identifier: ISC */
/* client_auth.c - the AUTH step of a client session (RFC 4954): PLAIN with an initial response, LOGIN.
 * Decides whether a password may be sent at all; keeps it and what is made of it out of the trace.
 */
#include "libsmtp/core/client_session_private.h"

#include <string.h>

#include "libsmtp/core/base64.h"
#include "libsmtp/core/command.h"
#include "libsmtp/core/extension.h"
#include "libsmtp/core/sasl.h"
#include "libsmtp/core/span.h"

enum {
	SECRET_MAX = 4096, /* base64 of three fields */
	ECHO_PROBE = 8
};

int smtp_client_login_init(struct client_login *login, const char *user, const char *password)
{
	int err;

	smtp_buf_init(&login->user, SMTP_SASL_FIELD_MAX);
	smtp_buf_init(&login->password, SMTP_SASL_FIELD_MAX);
	smtp_buf_init(&login->secret, SECRET_MAX);
	if (!user)
		return 0;
	err = smtp_buf_append_text(&login->user, user);
	if (!err)
		err = smtp_buf_append_text(&login->password, password);
	return err == SMTP_ETOOLONG ? SMTP_EINVAL : err;
}

void smtp_client_login_wipe(struct client_login *login)
{
	smtp_buf_wipe(&login->user);
	smtp_buf_wipe(&login->password);
	smtp_buf_wipe(&login->secret);
}

static unsigned choose_mechanism(const struct smtp_client_session *s)
{
	unsigned usable = s->extensions.mechanisms;

	if (s->options.mechanism != 0)
		usable &= s->options.mechanism;
	return usable & SMTP_MECHANISM_PLAIN ? SMTP_MECHANISM_PLAIN : usable & SMTP_MECHANISM_LOGIN;
}

void smtp_client_auth_begin(struct smtp_client_session *s)
{
	if (s->login.user.n == 0) {
		smtp_client_set_up(s);
		return;
	}
	if (!s->has_tls && !s->options.auth_without_tls) {
		smtp_client_give_up(s, SMTP_ETLS, SMTP_STEP_AUTH, NULL);
		return;
	}
	s->login.mechanism = s->extensions.auth ? choose_mechanism(s) : 0;
	if (s->login.mechanism == 0)
		smtp_client_give_up(s, SMTP_ENOTSUP, SMTP_STEP_AUTH, NULL);
	else
		smtp_client_go_to(s, SMTP_STEP_AUTH);
}

/* --- send ------------------------------------------------------------------------------------ */

static int set_secret(struct client_login *login, struct smtp_span octets)
{
	smtp_buf_wipe(&login->secret);
	return smtp_base64_encode(&login->secret, octets);
}

static int make_plain(struct client_login *login)
{
	const struct smtp_sasl_login values = {
		.authentication_id = smtp_buf_span(&login->user),
		.password = smtp_buf_span(&login->password),
	};
	struct smtp_buf message;
	int err;

	smtp_buf_init(&message, SECRET_MAX);
	err = smtp_sasl_plain_format(&message, &values);
	if (!err)
		err = set_secret(login, smtp_buf_span(&message));
	smtp_buf_wipe(&message);
	return err;
}

static int put_secret(struct smtp_client_session *s, const char *before, const char *shown)
{
	const struct smtp_span parts[] = { smtp_span_of(before), smtp_buf_span(&s->login.secret) };

	return smtp_client_put(s, parts, 2, shown);
}

static int put_text(struct smtp_client_session *s, const char *text)
{
	struct smtp_span line = smtp_span_of(text);

	return smtp_client_put(s, &line, 1, NULL);
}

/* The initial response goes with the command unless the line gets too long (RFC 4954, 4); a server
 * that asks nevertheless is given it once more. */
static int plain_send(struct smtp_client_session *s, unsigned round)
{
	int err = make_plain(&s->login);

	if (err)
		return err;
	if (round > 0)
		return put_secret(s, "", "***");
	if (sizeof("AUTH PLAIN \r\n") - 1 + s->login.secret.n > SMTP_COMMAND_LINE_MAX)
		return put_text(s, "AUTH PLAIN");
	return put_secret(s, "AUTH PLAIN ", "AUTH PLAIN ***");
}

static int login_send(struct smtp_client_session *s, unsigned round)
{
	int err;

	if (round == 0)
		return put_text(s, "AUTH LOGIN");
	err = set_secret(&s->login, smtp_buf_span(round == 1 ? &s->login.user :
								&s->login.password));
	return err ? err : put_secret(s, "", "***");
}

int smtp_client_auth_send(struct smtp_client_session *s, size_t index)
{
	bool plain = s->login.mechanism == SMTP_MECHANISM_PLAIN;
	unsigned round = s->login.round++;

	(void)index;
	if (round >= (plain ? 2U : 3U)) {
		s->login.cancelled = true;
		return put_text(s, "*");
	}
	return plain ? plain_send(s, round) : login_send(s, round);
}

/* --- reply ----------------------------------------------------------------------------------- */

void smtp_client_auth_reply(struct smtp_client_session *s, size_t index,
			    const struct smtp_reply *reply)
{
	(void)index;
	smtp_buf_wipe(&s->out); /* it is empty, but the password was in it */
	if (smtp_reply_is_positive(reply) && !s->login.cancelled)
		smtp_client_set_up(s);
	else if (reply->code == 334 && !s->login.cancelled)
		smtp_client_go_to(s, SMTP_STEP_AUTH);
	else if (smtp_reply_is_transient(reply) || smtp_reply_is_permanent(reply))
		smtp_client_give_up(s, SMTP_EAUTH, SMTP_STEP_AUTH, reply);
	else
		smtp_client_end(s, SMTP_EPROTO, SMTP_STEP_AUTH, reply);
}

/* The first octets are looked for, since an echo may be cut. */
static bool holds(struct smtp_span text, struct smtp_span secret)
{
	struct smtp_span probe = smtp_span_slice(secret, 0, ECHO_PROBE);

	return probe.n > 0 && text.n >= probe.n &&
	       memmem(text.p, text.n, probe.p, probe.n) != NULL;
}

static struct smtp_span behind_last_blank(struct smtp_span line)
{
	size_t at = line.n;

	while (at > 0 && line.p[at - 1] != ' ')
		at--;
	return smtp_span_slice(line, at, line.n);
}

/* Some servers repeat the line they did not understand. */
void smtp_client_auth_mask(const struct smtp_client_session *s, struct smtp_reply *reply)
{
	struct smtp_span secret = { 0 };

	if (s->reply_at.step == SMTP_STEP_AUTH)
		secret = smtp_buf_span(&s->login.secret);
	else if (s->reply_at.step == SMTP_STEP_COMMAND && s->command_secret)
		secret = behind_last_blank(smtp_buf_span(&s->command));
	if (holds(reply->text, secret))
		reply->text = smtp_span_of("***");
}
