/* SPDX-License-Identifier: ISC */
/* authors.c - a submission may name as its authors only those whose mail reaches its login: every address
 * in From and Sender is asked of the keeper at the end of data, as the reverse-path was at MAIL. How the
 * fields are read: author_fields.c.
 */
#include <stdio.h>
#include <stdlib.h>

#include "libsmtp/core/span.h"
#include "smtpd/log.h"
#include "smtpd/mail/author_fields.h"
#include "smtpd/mail/sessions.h"

/** The authors of one message while the keeper is asked about them, one after another. It outlives a
 *  session that ends meanwhile: `session` is NULL then. */
struct mail_authors {
	struct mail_process *process;
	struct mail_session *session;
	struct mail_author_list authors;
	size_t at; /* the one that is asked about */
};

/* ---- Refusals ---- */

static void log_refused(const struct mail_session *s, unsigned code, const char *enhanced,
			const char *reason)
{
	char reply[16];

	(void)snprintf(reply, sizeof reply, "%u %s", code, enhanced);
	log_event(LOG_LEVEL_INFO, "mail.refuse",
		  LOG_STR("session", smtp_server_session_trace_id(s->server_session)),
		  LOG_STR("queue_id", smtp_spool_file_id(s->txn.file)),
		  LOG_STR("peer", smtp_server_session_peer_address(s->server_session)),
		  LOG_STR("account", smtp_server_session_account(s->server_session)),
		  LOG_STR("from", s->txn.reverse_path), LOG_STR("reply", reply),
		  LOG_STR("reason", reason));
}

static void answer_refused(const struct mail_session *s, unsigned code, const char *enhanced,
			   const char *text, const char *reason)
{
	struct smtp_reply reply = smtp_reply_of(code, enhanced, text);

	log_refused(s, code, enhanced, reason);
	(void)smtp_server_answer(s->ticket, &reply);
}

static void answer_foreign(const struct mail_session *s, const struct smtp_mailbox *author,
			   const char *field)
{
	char address[SMTP_MAILBOX_TEXT_MAX + 1];
	char text[SMTP_MAILBOX_TEXT_MAX + 80], reason[SMTP_MAILBOX_TEXT_MAX + 80];

	(void)smtp_mailbox_format(author, address, sizeof address);
	(void)snprintf(text, sizeof text, "<%s> in %s is not an address of your account", address,
		       field);
	(void)snprintf(reason, sizeof reason, "%s names %s", field, address);
	answer_refused(s, 550, "5.7.1", text, reason);
}

/* ---- Asking ---- */

static void authors_free(struct mail_authors *a)
{
	if (a->session != NULL)
		a->session->authors = NULL;
	atomic_fetch_sub(&a->process->in_flight, 1);
	free(a);
}

void mail_authors_orphan(struct mail_session *s)
{
	if (s->authors != NULL)
		s->authors->session = NULL;
	s->authors = NULL;
}

/** The reverse-path has been asked about at MAIL. */
static bool is_reverse_path(const struct mail_session *s, const struct smtp_mailbox *author)
{
	char address[SMTP_MAILBOX_TEXT_MAX + 1];

	return smtp_mailbox_format(author, address, sizeof address) > 0 &&
	       smtp_span_is(smtp_span_of(address), s->txn.reverse_path);
}

static void answered(void *user, const struct keeper_reaches_answer *answer);

/** Asks about the next one. SMTP_ACCEPT when there is none left, SMTP_PENDING when one is asked about,
 *  SMTP_REPLIED when nobody can be asked. */
static enum smtp_verdict ask_next(struct mail_authors *a)
{
	const struct mail_session *s = a->session;

	while (a->at < a->authors.count && is_reverse_path(s, &a->authors.list[a->at]))
		a->at++;
	if (a->at == a->authors.count)
		return SMTP_ACCEPT;
	if (keeper_reaches(s->keeper, &a->authors.list[a->at],
			   smtp_server_session_account(s->server_session), answered, a) != 0)
		return SMTP_REPLIED;
	return SMTP_PENDING;
}

static void answer_unavailable(const struct mail_session *s, const char *reason)
{
	answer_refused(s, 451, "4.3.0", "Temporarily unavailable, try again later", reason);
}

static void answered(void *user, const struct keeper_reaches_answer *answer)
{
	struct mail_authors *a = user;
	struct mail_session *s = a->session;
	enum smtp_verdict verdict;

	if (s == NULL) {
		authors_free(a);
		return;
	}
	if (answer->error == 0 && answer->reaches) {
		a->at++;
		verdict = ask_next(a);
		if (verdict == SMTP_PENDING)
			return;
		if (verdict == SMTP_ACCEPT)
			mail_commit_authorized(s);
		else
			answer_unavailable(s, "the keeper can't be asked");
	} else if (answer->error == 0) {
		answer_foreign(s, &a->authors.list[a->at], a->at < a->authors.from_count ? "From" : "Sender");
	} else {
		answer_unavailable(s, smtp_error_str(answer->error));
	}
	authors_free(a);
}

static struct mail_authors *authors_new(struct mail_session *s)
{
	struct mail_authors *a = calloc(1, sizeof *a);

	if (a == NULL)
		return NULL;
	a->process = s->process;
	a->session = s;
	s->authors = a;
	atomic_fetch_add(&s->process->in_flight, 1);
	return a;
}

enum smtp_verdict mail_decide_authors(struct mail_session *s)
{
	struct smtp_span head = smtp_spool_content_head(s->txn.file);
	bool is_whole = head.n == smtp_spool_content(s->txn.file).n; /* none: it is on the disk */
	struct mail_authors *a = authors_new(s);
	const struct mail_fault *fault;
	enum smtp_verdict verdict = SMTP_REPLIED;

	if (a == NULL)
		return mail_refuse(s, 451, "4.3.0", "Out of memory, try again later");
	fault = mail_author_list_read(&a->authors, head, is_whole);
	if (fault == NULL) {
		(void)snprintf(s->txn.author_domain, sizeof s->txn.author_domain, "%s",
			       a->authors.list[0].domain);
		verdict = ask_next(a);
	}
	if (verdict == SMTP_PENDING)
		return SMTP_PENDING;
	authors_free(a);
	if (fault != NULL) {
		log_refused(s, fault->code, fault->enhanced, fault->text);
		return mail_refuse(s, fault->code, fault->enhanced, fault->text);
	}
	if (verdict == SMTP_REPLIED)
		return mail_refuse(s, 451, "4.3.0", "Temporarily unavailable, try again later");
	return verdict;
}
