/* SPDX-License-Identifier: ISC */
/* server_auth_given.c - what AUTH on the server is given from outside: the TLS channel by the driver,
 * keys, secrets and names by the handlers that are asked. The exchange is in server_auth.c.
 */
#include <stdlib.h>
#include <string.h>

#include "libsmtp/core/server_session_private.h"

/* --- for the session -------------------------------------------------------------------------- */

int server_auth_init(struct smtp_server_session *s)
{
	struct smtp_server_session_options *o = &s->options;
	static const uint8_t none[sizeof(s->options.scram_fake_key)];

	if (o->crypto && !smtp_crypto_is_complete(o->crypto, false))
		return SMTP_EINVAL;
	if (!o->crypto || memcmp(o->scram_fake_key, none, sizeof(none)) != 0)
		return 0;
	return o->crypto->random(o->crypto->user, o->scram_fake_key, sizeof(o->scram_fake_key));
}

void server_auth_release(struct smtp_server_session *s)
{
	free(s->channel);
	free(s->client_identity);
	explicit_bzero(s->options.scram_fake_key, sizeof(s->options.scram_fake_key));
}

int smtp_server_session_set_tls_channel(struct smtp_server_session *s,
					const struct smtp_tls_channel *channel)
{
	const char *name = channel ? channel->client_identity : NULL;
	struct smtp_channel copy;
	char *identity;
	int err;

	if ((s->state != SERVER_TLS && s->state != SERVER_NEW) || s->run.calling ||
	    s->in_hook)
		return SMTP_ESTATE;
	err = smtp_channel_copy(&copy, channel);
	if (err)
		return err;
	identity = server_text_copy(smtp_span_of(name));
	if (!s->channel)
		s->channel = malloc(sizeof(*s->channel));
	if (!identity || !s->channel) {
		free(identity);
		return SMTP_ENOMEM;
	}
	*s->channel = copy;
	free(s->client_identity);
	s->client_identity = identity;
	return 0;
}

const char *smtp_server_session_client_identity(const struct smtp_server_session *s)
{
	return s->client_identity ? s->client_identity : "";
}

/* --- for an exchange, by its handlers ---------------------------------------------------------- */

static bool is_asking(const struct smtp_server_session *s, enum server_phase phase)
{
	return s->run.phase == phase && !s->in_hook;
}

int smtp_server_session_set_account(struct smtp_server_session *s, const char *account)
{
	char *copy;

	if (!account || *account == '\0')
		return SMTP_EINVAL;
	if (!is_asking(s, SERVER_PHASE_AUTH) && !is_asking(s, SERVER_PHASE_AUTH_LOOKUP))
		return SMTP_ESTATE;
	copy = server_text_copy(smtp_span_of(account));
	if (!copy)
		return SMTP_ENOMEM;
	free(s->auth.account);
	s->auth.account = copy;
	return 0;
}

int smtp_server_session_set_scram_keys(struct smtp_server_session *s,
				       const struct smtp_scram_keys *keys)
{
	if (!keys || keys->salt_n == 0 || keys->salt_n > sizeof(keys->salt) ||
	    keys->iterations < SMTP_SCRAM_ITERATIONS_MIN ||
	    keys->iterations > SMTP_SCRAM_ITERATIONS_MAX)
		return SMTP_EINVAL;
	if (!is_asking(s, SERVER_PHASE_AUTH_LOOKUP))
		return SMTP_ESTATE;
	s->auth.exchange->keys = *keys;
	s->auth.exchange->keys_known = true;
	return 0;
}

int smtp_server_session_set_shared_secret(struct smtp_server_session *s, struct smtp_span secret)
{
	struct smtp_sasl_server *x = s->auth.exchange;
	int err;

	if (secret.n == 0 || secret.n > SMTP_SASL_FIELD_MAX)
		return SMTP_EINVAL;
	if (!is_asking(s, SERVER_PHASE_AUTH_LOOKUP))
		return SMTP_ESTATE;
	smtp_buf_wipe(&x->secret);
	err = smtp_buf_append_span(&x->secret, secret);
	x->secret_known = err == 0;
	return err;
}

int smtp_server_session_set_token_error(struct smtp_server_session *s, const char *json)
{
	struct smtp_span text = smtp_span_of(json);

	if (text.n == 0 || text.n > SMTP_SASL_FIELD_MAX)
		return SMTP_EINVAL;
	if (!is_asking(s, SERVER_PHASE_AUTH))
		return SMTP_ESTATE;
	smtp_buf_clear(&s->auth.exchange->token_error);
	return smtp_buf_append_span(&s->auth.exchange->token_error, text);
}
