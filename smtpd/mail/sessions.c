/* SPDX-License-Identifier: ISC */
/* sessions.c - the handlers of smtpd's listeners: begin and end of a session, and the way from each
 * phase to the part that decides it.
 */
#include "smtpd/mail/sessions.h"

#include <stdlib.h>

#include "libsmtp/net/server_private.h"
#include "smtpd/log.h"

static struct mail_session *session_of(struct smtp_server_session *ss,
				       const struct smtp_server_session_handler *handler)
{
	void **slot = smtp_server_session_slot(ss, handler);

	return slot != NULL ? *slot : NULL;
}

static const struct smtp_server_session_handler *handler_of(const struct mail_listener_role *role)
{
	return role->role == ROLE_MX ? &mail_mx_handler : &mail_submission_handler;
}

static struct mail_session *session_for(struct smtp_server_session *ss, void *user)
{
	return session_of(ss, handler_of(user));
}

/* In a phase that may say PENDING: what answers it later does so by this ticket. */
static struct mail_session *asked_session(struct smtp_server_session *ss, void *user)
{
	struct mail_session *s = session_for(ss, user);

	if (s != NULL)
		s->ticket = smtp_server_ticket(ss);
	return s;
}

struct smtp_loop *mail_session_loop(const struct mail_session *s)
{
	return smtp_server_loop(s->process->server, s->ticket.loop);
}

enum smtp_verdict mail_refuse(struct mail_session *s, unsigned code, const char *enhanced,
			      const char *text)
{
	struct smtp_reply reply = smtp_reply_of(code, enhanced, text);

	(void)smtp_server_session_reply(s->server_session, &reply);
	return SMTP_REPLIED;
}

static enum smtp_verdict on_connect(struct smtp_server_session *ss, void *user)
{
	const struct mail_listener_role *role = user;
	void **slot = smtp_server_session_slot(ss, handler_of(role));
	struct mail_session *s = calloc(1, sizeof *s);
	struct smtp_reply busy = smtp_reply_of(421, "4.3.0", "Out of memory, try again later");

	log_event(LOG_LEVEL_INFO, "session.open",
		  LOG_STR("session", smtp_server_session_trace_id(ss)),
		  LOG_STR("peer", smtp_server_session_peer_address(ss)),
		  LOG_STR("role", config_role_str(role->role)));
	if (s == NULL) {
		(void)smtp_server_session_reply(ss, &busy);
		return SMTP_REPLIED;
	}
	s->process = role->process;
	s->role = role->role;
	s->server_session = ss;
	s->ticket = smtp_server_ticket(ss);
	s->keeper = role->process->keepers[smtp_server_session_loop(ss)];
	*slot = s;
	return SMTP_ACCEPT;
}

static void log_tls(const struct mail_session *s)
{
	if (smtp_server_session_has_tls(s->server_session))
		log_event(LOG_LEVEL_INFO, "tls.start",
			  LOG_STR("session", smtp_server_session_trace_id(s->server_session)),
			  LOG_STR("tls", smtp_server_session_tls_description(s->server_session)));
}

static enum smtp_verdict on_helo(struct smtp_server_session *ss, struct smtp_span name,
				 bool extended, void *user)
{
	struct mail_session *s = asked_session(ss, user);

	(void)name;
	(void)extended;
	if (s != NULL && !s->tls_logged && smtp_server_session_has_tls(ss)) {
		s->tls_logged = true;
		log_tls(s);
	}
	return SMTP_ACCEPT;
}

static enum smtp_verdict on_auth(struct smtp_server_session *ss,
				 const struct smtp_auth_request *request, void *user)
{
	return mail_decide_auth(asked_session(ss, user), request);
}

static enum smtp_verdict on_mail(struct smtp_server_session *ss,
				 const struct smtp_mail_request *request, void *user)
{
	return mail_decide_mail(asked_session(ss, user), request);
}

static enum smtp_verdict on_rcpt(struct smtp_server_session *ss,
				 const struct smtp_rcpt_request *request, void *user)
{
	return mail_decide_rcpt(asked_session(ss, user), request);
}

static enum smtp_verdict on_data(struct smtp_server_session *ss, void *user)
{
	return mail_transaction_data(asked_session(ss, user));
}

static enum smtp_verdict on_content(struct smtp_server_session *ss, struct smtp_span octets,
				    void *user)
{
	return mail_transaction_content(asked_session(ss, user), octets);
}

static enum smtp_verdict on_end(struct smtp_server_session *ss, void *user)
{
	return mail_commit(asked_session(ss, user));
}

static void on_reset(struct smtp_server_session *ss, void *user)
{
	struct mail_session *s = session_for(ss, user);

	if (s == NULL)
		return;
	mail_write_orphan(s);
	mail_transaction_reset(s->process, &s->txn);
}

static void on_disconnect(struct smtp_server_session *ss, enum smtp_disconnect_reason reason,
			  void *user)
{
	struct mail_session *s = session_for(ss, user);

	log_event(LOG_LEVEL_INFO, "session.close",
		  LOG_STR("session", smtp_server_session_trace_id(ss)),
		  LOG_STR("peer", smtp_server_session_peer_address(ss)),
		  LOG_STR("account", smtp_server_session_account(ss)),
		  LOG_INT("messages", s != NULL ? s->accepted : 0),
		  LOG_STR("reason", smtp_disconnect_reason_str(reason)));
	if (s == NULL)
		return;
	mail_question_orphan(s);
	mail_authors_orphan(s);
	mail_commit_orphan(s);
	mail_write_orphan(s);
	mail_transaction_reset(s->process, &s->txn);
	*smtp_server_session_slot(ss, handler_of(user)) = NULL;
	free(s);
}

void mail_log_refused(const struct smtp_server_refusal *refusal, void *user)
{
	const struct mail_listener_role *roles = user;

	log_event(LOG_LEVEL_INFO, "session.refuse", LOG_STR("peer", refusal->peer_address),
		  LOG_STR("role", config_role_str(roles[refusal->listener].role)),
		  LOG_STR("reason", smtp_refusal_str(refusal->reason)),
		  LOG_STR("detail", refusal->detail));
}

#define COMMON_PHASES                                                                              \
	.size = sizeof(struct smtp_server_session_handler), .connect = on_connect,                 \
	.helo = on_helo, .mail = on_mail, .rcpt = on_rcpt, .data = on_data,                        \
	.content = on_content, .end = on_end, .reset = on_reset, .disconnect = on_disconnect

const struct smtp_server_session_handler mail_mx_handler = { COMMON_PHASES };

const struct smtp_server_session_handler mail_submission_handler = {
	COMMON_PHASES,
	.auth = on_auth,
};
