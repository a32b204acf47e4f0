/* SPDX-License-Identifier: ISC */
/* middleware.c - what the ready-made middleware has in common. Each one has a file of its own. */
#include "libsmtp/middleware/middleware_private.h"

#include <stdlib.h>
#include <string.h>

void middleware_fill(struct smtp_middleware *out, const char *name,
		     const struct smtp_server_session_handler *handler, void *user,
		     void (*release)(void *user))
{
	*out = smtp_middleware_of(name, handler, user);
	out->release = release;
}

void smtp_middleware_release(struct smtp_middleware *middleware)
{
	if (middleware->release)
		middleware->release(middleware->user);
	middleware->release = NULL;
}

char *middleware_text_copy(const char *text)
{
	size_t n = strlen(text) + 1;
	char *copy = malloc(n);

	return copy ? memcpy(copy, text, n) : NULL;
}

void middleware_slot_free(void **slot)
{
	if (!slot)
		return;
	free(*slot);
	*slot = NULL;
}

enum smtp_verdict middleware_refuse(struct smtp_server_session *session, unsigned code,
				    const char *enhanced, const char *text)
{
	struct smtp_reply reply = smtp_reply_of(code, enhanced, text);

	/* It can't fail: the code is good, and no phase is answered twice. A verdict without its reply
	 * would be answered 451. */
	int err = smtp_server_session_reply(session, &reply);

	(void)err;
	return SMTP_REPLIED;
}

/* --- gates ------------------------------------------------------------------------------------ */

static enum smtp_verdict pass(struct smtp_server_session *session, void *user)
{
	const struct middleware_gate *gate = user;

	return gate->check(session, gate->user);
}

static enum smtp_verdict on_mail(struct smtp_server_session *session,
				 const struct smtp_mail_request *request, void *user)
{
	(void)request;
	return pass(session, user);
}

static enum smtp_verdict on_rcpt(struct smtp_server_session *session,
				 const struct smtp_rcpt_request *request, void *user)
{
	(void)request;
	return pass(session, user);
}

static const struct smtp_server_session_handler gates[] = {
	[SMTP_AT_CONNECT] = { .size = sizeof *gates, .connect = pass },
	[SMTP_AT_MAIL] = { .size = sizeof *gates, .mail = on_mail },
	[SMTP_AT_RCPT] = { .size = sizeof *gates, .rcpt = on_rcpt },
	[SMTP_AT_DATA] = { .size = sizeof *gates, .data = pass },
};

const struct smtp_server_session_handler *middleware_gate_handler(enum smtp_middleware_place at)
{
	return (size_t)at < sizeof gates / sizeof *gates ? &gates[at] : NULL;
}
