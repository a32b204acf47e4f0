/* SPDX-License-Identifier: ISC */
/* require_auth.c - no mail without a login. Who may log in is decided elsewhere. */
#include "libsmtp/middleware/middleware_private.h"

static enum smtp_verdict check(struct smtp_server_session *session, void *user)
{
	(void)user;
	if (smtp_server_session_account(session))
		return SMTP_NEXT;
	return middleware_refuse(session, 530, "5.7.0", "authentication is required");
}

int smtp_middleware_require_auth(struct smtp_middleware *out, enum smtp_middleware_place at)
{
	static struct middleware_gate gate = { .check = check };
	const struct smtp_server_session_handler *handler = middleware_gate_handler(at);

	if (!out || !handler || at == SMTP_AT_CONNECT)
		return SMTP_EINVAL;
	middleware_fill(out, "require_auth", handler, &gate, NULL);
	return 0;
}
