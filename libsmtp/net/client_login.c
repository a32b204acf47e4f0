/* SPDX-License-Identifier: ISC */
/* client_login.c - names and secrets of the login that a client conn keeps for its sessions, and what
 * its TLS connection gives to AUTH.
 */
#include "libsmtp/net/client_login.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static bool copy(const char **out, const char *text)
{
	*out = text ? strdup(text) : NULL;
	return !text || *out;
}

int smtp_client_login_copy(struct smtp_client_session_options *out,
			   const struct smtp_client_session_options *in)
{
	bool good = copy(&out->user, in->user);

	good = copy(&out->password, in->password) && good;
	good = copy(&out->token, in->token) && good;
	good = copy(&out->authorization_id, in->authorization_id) && good;
	out->crypto = in->crypto ? in->crypto : smtp_crypto_openssl();
	return good ? 0 : SMTP_ENOMEM;
}

static void release(const char **text)
{
	void *copied = (void *)(uintptr_t)*text;

	if (copied)
		sodium_memzero(copied, strlen(*text));
	free(copied);
	*text = NULL;
}

void smtp_client_login_release(struct smtp_client_session_options *options)
{
	release(&options->user);
	release(&options->password);
	release(&options->token);
	release(&options->authorization_id);
}

int smtp_client_login_tls_started(struct smtp_client_session *session, const struct smtp_conn *conn,
				  const char *description, uint64_t now_ms)
{
	struct smtp_tls_channel_store store;
	struct smtp_tls_channel channel;
	int err;

	smtp_conn_tls_channel(conn, &store, &channel);
	err = smtp_client_session_set_tls_channel(session, &channel);
	sodium_memzero(&store, sizeof store);
	return err ? err : smtp_client_session_tls_started(session, description, now_ms);
}
