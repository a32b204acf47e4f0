/* SPDX-License-Identifier: ISC */
/* received.c - a Received field for each message that is let in (RFC 5321, 4.4). The field itself is
 * written by core/trace.c; the content gets it from whoever stores or forwards that.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libsmtp/core/trace.h"
#include "libsmtp/middleware/middleware_private.h"

enum { FIELD_MAX = 4096 };

/* What is remembered of a session: the recipient that was offered when none had been accepted yet. If
 * there is just one at the end, it is this one. */
struct candidate {
	struct smtp_mailbox mailbox;
};

static const struct smtp_server_session_handler handler;

static struct candidate *candidate_of(struct smtp_server_session *session)
{
	void **slot = smtp_server_session_slot(session, &handler);

	if (slot && !*slot)
		*slot = calloc(1, sizeof(struct candidate));
	return slot ? *slot : NULL;
}

static enum smtp_verdict out_of_memory(struct smtp_server_session *session)
{
	return middleware_refuse(session, 451, "4.3.0", "out of memory, try again later");
}

static enum smtp_verdict on_rcpt(struct smtp_server_session *session,
				 const struct smtp_rcpt_request *request, void *user)
{
	struct candidate *candidate = candidate_of(session);

	(void)user;
	if (!candidate)
		return out_of_memory(session);
	if (smtp_server_session_recipient_count(session) == 0)
		candidate->mailbox = request->forward_path->mailbox;
	return SMTP_NEXT;
}

/* <postmaster> has no domain that could stand in the field. */
static const struct smtp_mailbox *for_mailbox(struct smtp_server_session *session)
{
	const struct candidate *candidate = candidate_of(session);

	if (!candidate || smtp_server_session_recipient_count(session) != 1 ||
	    candidate->mailbox.domain[0] == '\0')
		return NULL;
	return &candidate->mailbox;
}

static int add_field(struct smtp_server_session *session, const char *hostname)
{
	const char *peer = smtp_server_session_peer_address(session);
	const char *tls = smtp_server_session_tls_description(session);
	struct smtp_received received = {
		.helo_name = smtp_server_session_helo_name(session),
		.peer_address = peer[0] ? peer : NULL,
		.by_hostname = hostname,
		.protocol = smtp_server_session_protocol(session),
		.id = smtp_server_session_trace_id(session),
		.for_mailbox = for_mailbox(session),
		.tls = tls[0] ? tls : NULL,
		.time_s = time(NULL),
		.peer_name = smtp_server_session_peer_name(session),
	};
	struct smtp_buf field;
	int err;

	smtp_buf_init(&field, FIELD_MAX);
	err = smtp_received_format(&field, &received);
	if (!err)
		err = smtp_server_session_add_field(session, smtp_buf_span(&field));
	smtp_buf_release(&field);
	return err;
}

static enum smtp_verdict on_data(struct smtp_server_session *session, void *user)
{
	int err = add_field(session, user);

	if (err == SMTP_ETOOLONG)
		return middleware_refuse(session, 451, "4.3.0", "too many header fields to add");
	return err ? out_of_memory(session) : SMTP_NEXT;
}

static void on_disconnect(struct smtp_server_session *session, enum smtp_disconnect_reason reason,
			  void *user)
{
	(void)reason;
	(void)user;
	middleware_slot_free(smtp_server_session_slot(session, &handler));
}

static const struct smtp_server_session_handler handler = {
	.size = sizeof handler,
	.rcpt = on_rcpt,
	.data = on_data,
	.disconnect = on_disconnect,
};

int smtp_middleware_received(struct smtp_middleware *out, const char *hostname)
{
	char *copy;

	if (!out || !hostname || !hostname[0])
		return SMTP_EINVAL;
	copy = middleware_text_copy(hostname);
	if (!copy)
		return SMTP_ENOMEM;
	middleware_fill(out, "received", &handler, copy, free);
	return 0;
}
