/* SPDX-License-Identifier: ISC */
/* recorder_phases.c - the sessions of a recorder: follows the rules, gathers the message that comes in,
 * gives it to the store at its end. All of it may wait, so it runs on worker threads.
 */
#include <stdlib.h>
#include <string.h>

#include "libsmtp/core/span.h"
#include "libsmtp/middleware/middleware_private.h"
#include "libsmtp/middleware/recorder_private.h"

enum { LINE_MAX_KEPT = 4096 };

struct recorder_session {
	struct recorder_message *message; /* NULL: no transaction */
	bool content_ruled;               /* a rule of content has held for this message */
	char line[LINE_MAX_KEPT];         /* the last one of the client */
};

static struct recorder_session *state_of(struct smtp_server_session *s)
{
	void **slot = smtp_server_session_slot(s, &recorder_handler);

	if (!slot)
		slot = smtp_server_session_slot(s, &recorder_onlooker);
	if (slot && !*slot)
		*slot = calloc(1, sizeof(struct recorder_session));
	return slot ? *slot : NULL;
}

static enum smtp_verdict out_of_memory(struct smtp_server_session *s)
{
	return middleware_refuse(s, 451, "4.3.0", "out of memory, try again later");
}

/* --- rules ------------------------------------------------------------------------------------ */

static struct smtp_reply reply_of(const struct smtp_recorder_rule *rule)
{
	return smtp_reply_of(rule->code, rule->enhanced, rule->text ? rule->text : "as told");
}

/* Without a server there is nothing to drop: the session ends after its answer. */
static enum smtp_verdict cut(struct smtp_server_session *s)
{
	if (smtp_server_drop(smtp_server_ticket(s)) == 0)
		return SMTP_PENDING;
	smtp_server_session_close(s, SMTP_DISCONNECT_REFUSED, NULL);
	return SMTP_ACCEPT;
}

/* Does what a rule says; false: the phase goes on as usual. */
static bool obey(struct smtp_server_session *s, struct smtp_recorder *r,
		 const struct smtp_recorder_rule *rule, enum smtp_verdict *verdict)
{
	if (rule->delay_ms > 0)
		recorder_store_delay(&r->store, rule->delay_ms);
	if (rule->cut) {
		*verdict = cut(s);
		return true;
	}
	if (rule->code > 0) {
		struct smtp_reply reply = reply_of(rule);
		int err = smtp_server_session_reply(s, &reply);

		(void)err; /* the code is a verdict, and none was given before */
		*verdict = SMTP_REPLIED;
	}
	return rule->code >= 400;
}

static bool follow(struct smtp_server_session *s, struct smtp_recorder *r,
		   enum smtp_recorder_phase phase, const char *address, enum smtp_verdict *verdict)
{
	struct smtp_recorder_rule rule;

	return recorder_store_rule(&r->store, phase, address, 0, &rule) &&
	       obey(s, r, &rule, verdict);
}

/* --- before a message ------------------------------------------------------------------------- */

static enum smtp_verdict on_connect(struct smtp_server_session *s, void *user)
{
	enum smtp_verdict verdict = SMTP_NEXT;

	(void)follow(s, user, SMTP_RECORDER_CONNECT, NULL, &verdict);
	return verdict;
}

static enum smtp_verdict on_helo(struct smtp_server_session *s, struct smtp_span name, bool extended,
				 void *user)
{
	enum smtp_verdict verdict = SMTP_NEXT;

	(void)name;
	(void)extended;
	(void)follow(s, user, SMTP_RECORDER_HELO, NULL, &verdict);
	return verdict;
}

/* A token counts as a password. */
static bool is_good_login(const struct smtp_recorder *r, const struct smtp_auth_request *request)
{
	struct smtp_span id = request->authentication_id;

	if (!r->user)
		return true;
	if (id.n > 0 && !smtp_span_is(id, r->user))
		return false;
	return request->proven || (id.n > 0 && smtp_span_is(request->password, r->password)) ||
	       smtp_span_is(request->token, r->password);
}

static enum smtp_verdict on_auth(struct smtp_server_session *s,
				 const struct smtp_auth_request *request, void *user)
{
	struct smtp_recorder *r = user;
	enum smtp_verdict verdict = SMTP_ACCEPT;

	if (follow(s, r, SMTP_RECORDER_AUTH, NULL, &verdict))
		return verdict;
	if (!is_good_login(r, request))
		return middleware_refuse(s, 535, "5.7.8", "wrong user name or password");
	if (request->authentication_id.n == 0 && /* a token alone */
	    smtp_server_session_set_account(s, r->user ? r->user : "somebody") != 0)
		return out_of_memory(s);
	return verdict;
}

/* For mechanisms that prove the password without showing it; they are offered only if there is a user. */
static enum smtp_verdict on_auth_lookup(struct smtp_server_session *s,
					const struct smtp_auth_request *request, void *user)
{
	const struct smtp_recorder *r = user;
	int err;

	if (!r->user || !smtp_span_is(request->authentication_id, r->user))
		return SMTP_ACCEPT;
	if (strcmp(request->mechanism, "CRAM-MD5") == 0)
		err = smtp_server_session_set_shared_secret(s, smtp_span_of(r->password));
	else
		err = smtp_server_session_set_scram_keys(s, &r->scram);
	return err ? out_of_memory(s) : SMTP_ACCEPT;
}

/* --- the envelope ----------------------------------------------------------------------------- */

static void forget(struct recorder_session *state)
{
	recorder_message_free(state->message);
	state->message = NULL;
	state->content_ruled = false;
}

static enum smtp_verdict on_mail(struct smtp_server_session *s,
				 const struct smtp_mail_request *request, void *user)
{
	struct recorder_session *state = state_of(s);
	enum smtp_verdict verdict = SMTP_NEXT;
	char address[SMTP_MAILBOX_TEXT_MAX + 1];

	(void)smtp_mailbox_format(&request->reverse_path->mailbox, address, sizeof address);
	if (follow(s, user, SMTP_RECORDER_MAIL, address, &verdict))
		return verdict;
	if (!state)
		return out_of_memory(s);
	forget(state);
	state->message = recorder_message_new();
	if (state->message)
		state->message->mail_command = middleware_text_copy(state->line);
	if (!state->message || !state->message->mail_command)
		return out_of_memory(s);
	state->message->view.reverse_path = *request->reverse_path;
	return verdict;
}

static enum smtp_verdict take_rcpt(struct smtp_server_session *s,
				   const struct smtp_rcpt_request *request, struct smtp_recorder *r,
				   enum smtp_verdict verdict)
{
	struct recorder_session *state = state_of(s);
	char address[SMTP_MAILBOX_TEXT_MAX + 1];

	(void)smtp_mailbox_format(&request->forward_path->mailbox, address, sizeof address);
	if (follow(s, r, SMTP_RECORDER_RCPT, address, &verdict))
		return verdict;
	if (!state || !state->message)
		return out_of_memory(s);
	recorder_message_cut_paths(state->message, smtp_server_session_recipient_count(s));
	if (recorder_message_add_path(state->message, request->forward_path, state->line) != 0)
		return out_of_memory(s);
	return verdict;
}

static enum smtp_verdict on_rcpt(struct smtp_server_session *s,
				 const struct smtp_rcpt_request *request, void *user)
{
	return take_rcpt(s, request, user, SMTP_ACCEPT);
}

static enum smtp_verdict on_rcpt_onlooking(struct smtp_server_session *s,
					   const struct smtp_rcpt_request *request, void *user)
{
	return take_rcpt(s, request, user, SMTP_NEXT);
}

/* --- content ---------------------------------------------------------------------------------- */

static enum smtp_verdict on_data(struct smtp_server_session *s, void *user)
{
	enum smtp_verdict verdict = SMTP_NEXT;

	(void)follow(s, user, SMTP_RECORDER_DATA, NULL, &verdict);
	return verdict;
}

static enum smtp_verdict on_content(struct smtp_server_session *s, struct smtp_span octets, void *user)
{
	struct recorder_session *state = state_of(s);
	struct smtp_recorder *r = user;
	enum smtp_verdict verdict = SMTP_NEXT;
	struct smtp_recorder_rule rule;
	struct smtp_buf *content;

	if (!state || !state->message)
		return out_of_memory(s);
	content = &state->message->content;
	if (smtp_buf_append_span(content, octets) != 0)
		return middleware_refuse(s, 452, "4.3.1", "out of memory, try again later");
	if (state->content_ruled)
		return verdict;
	state->content_ruled = recorder_store_rule(&r->store, SMTP_RECORDER_CONTENT, NULL, content->n,
						   &rule);
	if (state->content_ruled)
		(void)obey(s, r, &rule, &verdict);
	return verdict;
}

/* RFC 2033, 4.2: each recipient has its own answer. */
static int answer_recipients(struct smtp_server_session *s, struct smtp_recorder *r,
			     const struct recorder_message *m)
{
	char address[SMTP_MAILBOX_TEXT_MAX + 1];
	int err = 0;

	for (size_t i = 0; i < m->path_count && !err; i++) {
		struct smtp_recorder_rule rule;
		struct smtp_reply reply;

		(void)smtp_mailbox_format(&m->paths[i].mailbox, address, sizeof address);
		if (!recorder_store_rule(&r->store, SMTP_RECORDER_END, address, 0, &rule))
			continue;
		reply = reply_of(&rule);
		if (rule.code > 0)
			err = smtp_server_session_recipient_reply(s, i, &reply);
	}
	return err;
}

static enum smtp_verdict keep(struct smtp_server_session *s, struct smtp_recorder *r,
			      struct recorder_session *state, enum smtp_verdict verdict)
{
	int err = recorder_message_finish(state->message, s);

	if (!err)
		err = recorder_store_add(&r->store, state->message);
	if (err == SMTP_ETOOLONG)
		return middleware_refuse(s, 452, "4.3.1", "no more messages are kept");
	if (err)
		return out_of_memory(s);
	state->message = NULL;
	forget(state);
	return verdict;
}

static enum smtp_verdict on_end(struct smtp_server_session *s, void *user)
{
	struct recorder_session *state = state_of(s);
	struct smtp_recorder *r = user;
	enum smtp_verdict verdict = SMTP_NEXT;

	if (!state || !state->message)
		return out_of_memory(s);
	recorder_message_cut_paths(state->message, smtp_server_session_recipient_count(s));
	if (follow(s, r, SMTP_RECORDER_END, NULL, &verdict))
		return verdict;
	if (strncmp(smtp_server_session_protocol(s), "LMTP", 4) == 0 &&
	    answer_recipients(s, r, state->message) != 0)
		return out_of_memory(s);
	return keep(s, r, state, verdict);
}

/* --- events ----------------------------------------------------------------------------------- */

static void on_reset(struct smtp_server_session *s, void *user)
{
	struct recorder_session *state = state_of(s);

	(void)user;
	if (state)
		forget(state);
}

static void free_slot(void **slot)
{
	struct recorder_session *state = slot ? *slot : NULL;

	if (!state)
		return;
	forget(state);
	free(state);
	*slot = NULL;
}

static void on_disconnect(struct smtp_server_session *s, enum smtp_disconnect_reason reason,
			  void *user)
{
	(void)reason;
	(void)user;
	free_slot(smtp_server_session_slot(s, &recorder_handler));
	free_slot(smtp_server_session_slot(s, &recorder_onlooker));
}

static void on_trace(struct smtp_server_session *s, bool from_client, struct smtp_span line, void *user)
{
	struct smtp_recorder *r = user;
	struct recorder_session *state = from_client ? state_of(s) : NULL;

	recorder_store_trace(&r->store, from_client, line);
	if (state && smtp_span_copy(smtp_span_slice(line, 0, LINE_MAX_KEPT - 1), state->line,
				    sizeof state->line) != 0)
		state->line[0] = '\0'; /* it holds a NUL and is no command */
}

const struct smtp_server_session_handler recorder_handler = {
	.size = sizeof recorder_handler,
	.connect = on_connect,
	.helo = on_helo,
	.auth = on_auth,
	.auth_lookup = on_auth_lookup,
	.mail = on_mail,
	.rcpt = on_rcpt,
	.data = on_data,
	.content = on_content,
	.end = on_end,
	.reset = on_reset,
	.disconnect = on_disconnect,
	.trace = on_trace,
};

const struct smtp_server_session_handler recorder_onlooker = {
	.size = sizeof recorder_onlooker,
	.connect = on_connect,
	.helo = on_helo,
	.mail = on_mail,
	.rcpt = on_rcpt_onlooking,
	.data = on_data,
	.content = on_content,
	.end = on_end,
	.reset = on_reset,
	.disconnect = on_disconnect,
	.trace = on_trace,
};
