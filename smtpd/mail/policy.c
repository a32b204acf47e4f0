/* SPDX-License-Identifier: ISC */
/* policy.c - who may log in, send as whom, and reach whom: the decisions at AUTH, MAIL and RCPT. The
 * keeper knows the accounts; here its answers become replies. For mail from other hosts (mx) only
 * hosted domains are reached; submission needs a login, which session options enforce.
 */
#include <stdio.h>
#include <stdlib.h>

#include "libsmtp/core/span.h"
#include "smtpd/log.h"
#include "smtpd/mail/sessions.h"

/** One question at the keeper. It outlives a session that ends meanwhile: `session` is NULL then. */
struct mail_question {
	struct mail_session *session;
	struct smtp_mailbox mailbox; /* asked about */
	const char *mechanism;
};

static struct mail_question *question_new(struct mail_session *s)
{
	struct mail_question *q = calloc(1, sizeof *q);

	if (q != NULL) {
		q->session = s;
		s->question = q;
	}
	return q;
}

/** Ends a question; returns the session that asked, NULL if it is gone. */
static struct mail_session *question_end(struct mail_question *q)
{
	struct mail_session *s = q->session;

	if (s != NULL)
		s->question = NULL;
	free(q);
	return s;
}

void mail_question_orphan(struct mail_session *s)
{
	if (s->question != NULL)
		s->question->session = NULL;
	s->question = NULL;
}

static enum smtp_verdict unavailable(struct mail_session *s)
{
	return mail_refuse(s, 451, "4.3.0", "Temporarily unavailable, try again later");
}

/** Asked: the verdict is pending. Not asked: the question is over and the client may try again. */
static enum smtp_verdict asked(struct mail_session *s, struct mail_question *q, int error)
{
	if (error == 0)
		return SMTP_PENDING;
	(void)question_end(q);
	return unavailable(s);
}

static void log_refusal(const struct mail_session *s, const char *to, const struct smtp_reply *reply)
{
	char line[SMTP_REPLY_LINE_MAX * 2];
	size_t n = smtp_reply_format(reply, true, line, sizeof line);

	while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
		n--;
	log_event(LOG_LEVEL_INFO, "mail.refuse",
		  LOG_STR("session", smtp_server_session_trace_id(s->server_session)),
		  LOG_STR("peer", smtp_server_session_peer_address(s->server_session)),
		  LOG_STR("account", smtp_server_session_account(s->server_session)),
		  LOG_STR("from", s->txn.reverse_path), LOG_STR("to", to),
		  LOG_SPAN("reply", smtp_span_make(line, n)));
}

static void answer(struct mail_session *s, unsigned code, const char *enhanced, const char *text)
{
	struct smtp_reply reply = smtp_reply_of(code, enhanced, text);

	(void)smtp_server_answer(s->ticket, &reply);
}

static void answer_refused(struct mail_session *s, const struct smtp_mailbox *to, unsigned code,
			   const char *enhanced, const char *text)
{
	char address[SMTP_MAILBOX_TEXT_MAX + 1];
	struct smtp_reply reply = smtp_reply_of(code, enhanced, text);

	(void)smtp_mailbox_format(to, address, sizeof address);
	log_refusal(s, address, &reply);
	(void)smtp_server_answer(s->ticket, &reply);
}

/* ---- AUTH ---- */

static void log_auth(const struct mail_session *s, const char *event, struct smtp_span account,
		     const char *mechanism, const char *reason)
{
	log_event(LOG_LEVEL_INFO, event,
		  LOG_STR("session", smtp_server_session_trace_id(s->server_session)),
		  LOG_STR("peer", smtp_server_session_peer_address(s->server_session)),
		  LOG_SPAN("account", account), LOG_STR("mechanism", mechanism),
		  LOG_STR("reason", reason));
}

static void auth_answered(void *user, const struct keeper_auth_answer *a)
{
	struct mail_question *q = user;
	const char *mechanism = q->mechanism;
	struct mail_session *s = question_end(q);

	if (s == NULL)
		return;
	if (a->error != 0) {
		log_auth(s, "auth.fail", smtp_span_of(NULL), mechanism, smtp_error_str(a->error));
		answer(s, 454, "4.7.0", "Logins can't be checked now, try again later");
		return;
	}
	if (!a->accepted) {
		log_auth(s, "auth.fail", smtp_span_of(NULL), mechanism, "wrong name or password");
		answer(s, 535, "5.7.8", "Wrong user name or password");
		return;
	}
	if (smtp_server_session_set_account(s->server_session, a->account) != 0) {
		answer(s, 454, "4.7.0", "Out of memory, try again later");
		return;
	}
	log_auth(s, "auth.ok", smtp_span_of(a->account), mechanism, NULL);
	(void)smtp_server_answer(s->ticket, NULL);
}

enum smtp_verdict mail_decide_auth(struct mail_session *s, const struct smtp_auth_request *request)
{
	struct mail_question *q;

	/* Acting for somebody else takes a grant, and there are none yet. */
	if (request->authorization_id.n > 0 &&
	    !smtp_span_equal_nocase(request->authorization_id, request->authentication_id)) {
		log_auth(s, "auth.fail", request->authentication_id, request->mechanism,
			 "another authorization identity");
		return mail_refuse(s, 535, "5.7.8", "Wrong user name or password");
	}
	q = question_new(s);
	if (q == NULL)
		return mail_refuse(s, 454, "4.7.0", "Out of memory, try again later");
	q->mechanism = request->mechanism;
	if (keeper_auth(s->keeper, request->authentication_id, request->password, auth_answered,
			q) == 0)
		return SMTP_PENDING;
	(void)question_end(q);
	return mail_refuse(s, 454, "4.7.0", "Logins can't be checked now, try again later");
}

/* ---- MAIL ---- */

static void mail_answered(void *user, const struct keeper_reaches_answer *a)
{
	struct mail_question *q = user;
	struct smtp_mailbox mailbox = q->mailbox;
	struct mail_session *s = question_end(q);
	char address[SMTP_MAILBOX_TEXT_MAX + 1];
	char text[SMTP_MAILBOX_TEXT_MAX + 80];
	struct smtp_reply reply;

	if (s == NULL)
		return;
	if (a->error != 0) {
		answer(s, 451, "4.3.0", "Temporarily unavailable, try again later");
		return;
	}
	if (a->reaches) {
		(void)smtp_server_answer(s->ticket, NULL);
		return;
	}
	(void)smtp_mailbox_format(&mailbox, address, sizeof address);
	(void)snprintf(text, sizeof text, "<%s> is not an address of your account", address);
	reply = smtp_reply_of(550, "5.7.1", text);
	log_refusal(s, NULL, &reply);
	(void)smtp_server_answer(s->ticket, &reply);
}

enum smtp_verdict mail_decide_mail(struct mail_session *s, const struct smtp_mail_request *request)
{
	const struct smtp_path *path = request->reverse_path;
	struct mail_question *q;

	mail_transaction_reset(s->process, &s->txn);
	s->txn.body_8bitmime = request->body == SMTP_BODY_8BITMIME;
	(void)smtp_mailbox_format(&path->mailbox, s->txn.reverse_path, sizeof s->txn.reverse_path);
	if (smtp_path_is_bare_postmaster(path))
		return mail_refuse(s, 553, "5.1.7", "The sender needs a domain");
	if (s->role == ROLE_MX || smtp_path_is_null(path))
		return SMTP_ACCEPT;
	q = question_new(s);
	if (q == NULL)
		return unavailable(s);
	q->mailbox = path->mailbox;
	return asked(s, q,
		     keeper_reaches(s->keeper, &path->mailbox,
				    smtp_server_session_account(s->server_session), mail_answered,
				    q));
}

/* ---- RCPT ---- */

/** Adds all that the address leads to, or nothing. */
static int add_targets(struct mail_session *s, const struct smtp_mailbox *mailbox,
		       const struct keeper_resolve_answer *a)
{
	char original[SMTP_MAILBOX_TEXT_MAX + 1];
	size_t i, before = s->txn.recipient_count;
	int err = 0;

	(void)smtp_mailbox_format(mailbox, original, sizeof original);
	if (a->kind == SMTP_RESOLVE_FOREIGN)
		return mail_transaction_add(&s->txn, original, original);
	for (i = 0; i < a->target_count && err == 0; i++)
		err = mail_transaction_add(&s->txn, a->targets[i], original);
	if (err != 0)
		mail_transaction_truncate(&s->txn, before);
	return err;
}

static void accept_recipient(struct mail_session *s, const struct smtp_mailbox *mailbox,
			     const struct keeper_resolve_answer *a)
{
	int err = add_targets(s, mailbox, a);

	if (err == 0)
		(void)smtp_server_answer(s->ticket, NULL);
	else if (err == SMTP_ETOOLONG)
		answer_refused(s, mailbox, 452, "4.5.3", "Too many recipients");
	else
		answer_refused(s, mailbox, 451, "4.3.0", "Out of memory, try again later");
}

static void rcpt_answered(void *user, const struct keeper_resolve_answer *a)
{
	struct mail_question *q = user;
	struct smtp_mailbox mailbox = q->mailbox;
	struct mail_session *s = question_end(q);

	if (s == NULL)
		return;
	if (a->error == SMTP_ETOOLONG)
		answer_refused(s, &mailbox, 550, "5.3.5", "This alias leads to too many addresses");
	else if (a->error != 0)
		answer_refused(s, &mailbox, 451, "4.3.0", "Temporarily unavailable, try again later");
	else if (a->kind == SMTP_RESOLVE_FOREIGN && s->role == ROLE_MX)
		answer_refused(s, &mailbox, 550, "5.7.1", "Relaying denied");
	else if (a->kind == SMTP_RESOLVE_UNKNOWN)
		answer_refused(s, &mailbox, 550, "5.1.1", "No such user here");
	else if (a->kind == SMTP_RESOLVE_DISABLED)
		answer_refused(s, &mailbox, 550, "5.2.1", "This mailbox takes no mail now");
	else
		accept_recipient(s, &mailbox, a);
}

enum smtp_verdict mail_decide_rcpt(struct mail_session *s, const struct smtp_rcpt_request *request)
{
	struct mail_question *q = question_new(s);

	if (q == NULL)
		return unavailable(s);
	q->mailbox = request->forward_path->mailbox;
	return asked(s, q, keeper_resolve(s->keeper, &q->mailbox, rcpt_answered, q));
}
