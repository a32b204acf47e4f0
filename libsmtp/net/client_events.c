/* SPDX-License-Identifier: ISC */
/* client_events.c - what the session, the timer and smtp_client_cancel() tell the blocking client, and
 * the replies that are kept of it.
 */
#include "libsmtp/core/span.h"
#include "libsmtp/net/client_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- replies that are kept ------------------------------------------------------------------- */

void smtp_client_replies_free(struct client_reply *list)
{
	while (list) {
		struct client_reply *next = list->next;

		free(list);
		list = next;
	}
}

/* Without memory for its text a reply is its code alone. */
static struct client_reply *reply_copy(const struct smtp_reply *reply)
{
	struct client_reply *kept = malloc(sizeof *kept + reply->text.n);

	if (!kept)
		return NULL;
	kept->next = NULL;
	kept->reply = *reply;
	if (reply->text.n > 0)
		memcpy(kept->text, reply->text.p, reply->text.n);
	kept->reply.text = smtp_span_make(kept->text, reply->text.n);
	return kept;
}

/* Until the next call. */
static struct smtp_reply keep(struct smtp_client *c, const struct smtp_reply *reply)
{
	struct client_reply *kept = reply_copy(reply);
	struct smtp_reply bare = { .code = reply->code, .enhanced = reply->enhanced };

	if (!kept)
		return bare;
	kept->next = c->replies;
	c->replies = kept;
	return kept->reply;
}

/* --- events ---------------------------------------------------------------------------------- */

/* What comes behind the end of a call, such as a lost connection, does not change its result. */
void smtp_client_done(struct smtp_client *c, int result)
{
	if (c->call == CLIENT_CALL_NONE)
		return;
	c->call = CLIENT_CALL_NONE;
	c->result = result;
	smtp_loop_stop(c->loop);
}

static void note_conn(struct smtp_client *c)
{
	if (!c->conn)
		return;
	(void)snprintf(c->peer, sizeof c->peer, "%s", smtp_client_conn_peer(c->conn));
	(void)snprintf(c->tls, sizeof c->tls, "%s", smtp_client_conn_tls(c->conn));
}

static void on_ready(struct smtp_client_session *s, void *user)
{
	struct smtp_client *c = user;

	c->extensions = *smtp_client_session_extensions(s);
	note_conn(c);
	smtp_client_done(c, 0);
}

static void settle(struct smtp_client *c, size_t index, enum smtp_client_step step,
		   const struct smtp_reply *reply)
{
	if (index >= c->result_count)
		return;
	c->settled[index] = true;
	c->results[index] = (struct smtp_client_result){
		.accepted = step == SMTP_STEP_END && reply && smtp_reply_is_positive(reply),
		.step = step,
	};
	if (reply && reply->code != 0)
		c->results[index].reply = keep(c, reply);
}

static void on_reply(struct smtp_client_session *s, enum smtp_client_step step, size_t index,
		     const struct smtp_reply *reply, void *user)
{
	struct smtp_client *c = user;

	(void)s;
	(void)index;
	c->last = keep(c, reply);
	if (step == SMTP_STEP_GREETING) {
		smtp_client_replies_free(c->greeting);
		c->greeting = reply_copy(reply);
	} else if ((step == SMTP_STEP_COMMAND && c->call == CLIENT_CALL_COMMAND) ||
		   (step == SMTP_STEP_STARTTLS && c->call == CLIENT_CALL_STARTTLS &&
		    !smtp_reply_is_positive(reply))) {
		smtp_client_done(c, 0);
	}
}

static void on_recipient(struct smtp_client_session *s, enum smtp_client_step step, size_t index,
			 const struct smtp_reply *reply, void *user)
{
	(void)s;
	settle(user, index, step, reply);
}

/* The others' results stay as they are. */
static void settle_rest(struct smtp_client *c, enum smtp_client_step step,
			const struct smtp_reply *reply)
{
	for (size_t i = 0; i < c->result_count; i++)
		if (!c->settled[i])
			settle(c, i, step, reply);
}

static void on_transaction_done(struct smtp_client_session *s, enum smtp_client_step step,
				const struct smtp_reply *final, void *user)
{
	struct smtp_client *c = user;

	(void)s;
	(void)step;
	(void)final; /* recipient_done told it to each */
	if (c->call == CLIENT_CALL_SEND)
		smtp_client_done(c, 0);
}

static void on_failed(struct smtp_client_session *s, int error, enum smtp_client_step step,
		      const struct smtp_reply *reply, void *user)
{
	struct smtp_client *c = user;

	(void)s;
	c->ended = true;
	if (c->call == CLIENT_CALL_NONE)
		return;
	note_conn(c);
	if (reply)
		c->last = keep(c, reply);
	if (c->call == CLIENT_CALL_SEND)
		settle_rest(c, step, reply && smtp_reply_is_positive(reply) ? NULL : reply);
	(void)snprintf(c->problem, sizeof c->problem, "%s: %s", c->where,
		       smtp_client_conn_problem(c->conn));
	smtp_client_done(c, error);
}

static void on_finished(struct smtp_client_session *s, void *user)
{
	struct smtp_client *c = user;

	(void)s;
	c->ended = true;
	smtp_client_done(c, SMTP_ECLOSED);
}

static void on_trace(struct smtp_client_session *s, bool from_server, struct smtp_span line,
		     void *user)
{
	struct smtp_client *c = user;

	(void)s;
	if (c->options.trace)
		c->options.trace(from_server, line, c->options.trace_user);
}

const struct smtp_client_session_handler smtp_client_events = {
	.size = sizeof smtp_client_events,
	.ready = on_ready,
	.reply = on_reply,
	.transaction_done = on_transaction_done,
	.failed = on_failed,
	.finished = on_finished,
	.trace = on_trace,
	.recipient_done = on_recipient,
};

/* Ends the call from our side: there is no session any more. */
static void break_off(struct smtp_client *c, int error)
{
	c->ended = true;
	note_conn(c);
	if (c->call == CLIENT_CALL_SEND)
		settle_rest(c, SMTP_STEP_END, NULL);
	smtp_client_done(c, error);
}

void smtp_client_on_timer(void *user)
{
	struct smtp_client *c = user;

	(void)snprintf(c->problem, sizeof c->problem, "%s: not done after %u ms", c->where,
		       c->options.timeout_ms);
	break_off(c, SMTP_ETIMEDOUT);
}

void smtp_client_on_cancel(void *user, unsigned events)
{
	struct smtp_client *c = user;

	(void)events;
	if (c->call == CLIENT_CALL_NONE)
		return;
	(void)snprintf(c->problem, sizeof c->problem, "%s: cancelled", c->where);
	break_off(c, SMTP_ECANCELED);
}
