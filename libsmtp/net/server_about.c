/* SPDX-License-Identifier: ISC */
/* What handlers may ask about a session of a server beyond what the session itself knows. */
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
