/* SPDX-License-Identifier: ISC */
/* What handlers may ask about a session of a server beyond what the session itself knows. */
#include <string.h>
#include "libsmtp/net/server_conn_private.h"

static const struct server_conn *conn_of(const struct smtp_server_session *session)
{
	return smtp_server_session_driver(session);
}

const char *smtp_server_session_trace_id(const struct smtp_server_session *session)
{
	const struct server_conn *c = conn_of(session);

	return c ? c->trace_id : "";
}

unsigned smtp_server_session_loop(const struct smtp_server_session *session)
{
	const struct server_conn *c = conn_of(session);

	return c ? c->loop->index : 0;
}

int smtp_server_session_tls(const struct smtp_server_session *session, struct smtp_session_tls *out)
{
	const struct server_conn *c = conn_of(session);
	struct smtp_session_tls tls = { .size = sizeof tls };

	if (!c || !c->tls)
		return SMTP_ESTATE;
	if (out->size < offsetof(struct smtp_session_tls, server_name) || out->size > sizeof tls)
		return SMTP_EINVAL;
	tls.size = out->size;
	tls.version = c->tls->version;
	tls.cipher = c->tls->cipher;
	tls.server_name = c->tls->server_name;
	tls.client_subject = c->tls->client_subject;
	tls.client_fingerprint = c->tls->client_fingerprint;
	tls.client_is_verified = c->tls->client_is_verified;
	memcpy(out, &tls, tls.size);
	return 0;
}
