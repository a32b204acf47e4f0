/* SPDX-License-Identifier: ISC */
/* authors.c - a submission may name as its authors only those whose mail reaches its login: every address
 * in From and Sender is asked of the keeper at the end of data, as the reverse-path was at MAIL. What
 * can't be read for certain is refused: others may read it otherwise, above a signature of ours.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libsmtp/core/address_list.h"
#include "libsmtp/core/header.h"
#include "libsmtp/core/span.h"
#include "smtpd/log.h"
#include "smtpd/mail/sessions.h"

enum { AUTHORS_MAX = 50 };

/** The authors of one message while the keeper is asked about them, one after another. It outlives a
 *  session that ends meanwhile: `session` is NULL then. */
struct mail_authors {
	struct mail_process *process;
	struct mail_session *session;
	size_t from_count, count; /* those of From, then the one of Sender */
	size_t at;
	struct smtp_mailbox list[AUTHORS_MAX + 1];
};

/* ---- What the header section says ---- */

struct fault {
	unsigned code;
	const char *enhanced, *text;
};

static const struct fault too_large = { 552, "5.3.4", "The header section is larger than 64 KiB" };
static const struct fault no_field = { 554, "5.6.0", "The header section has a line that is no field" };
static const struct fault bare_line_end = { 554, "5.6.0", "The header section has a bare CR or LF" };
static const struct fault not_one_from = { 554, "5.6.0",
					   "A message has exactly one From field (RFC 5322, 3.6)" };
static const struct fault two_senders = { 554, "5.6.0",
					  "A message has at most one Sender field (RFC 5322, 3.6)" };
static const struct fault bad_from = { 554, "5.6.0",
				       "From is to be a list of 1 to 50 addresses (RFC 5322, 3.4)" };
static const struct fault bad_sender = { 554, "5.6.0", "Sender is to be one address (RFC 5322, 3.6.2)" };

struct author_fields {
	struct smtp_span from, sender;
	size_t from_count, sender_count;
};

/** Such a line end begins a new line for some readers, and so a field that is not checked here. */
static bool has_bare_line_end(struct smtp_span text)
{
	size_t i;

	for (i = 0; i < text.n; i++) {
		if (text.p[i] == '\r' && i + 1 < text.n && text.p[i + 1] == '\n')
			i++;
		else if (text.p[i] == '\r' || text.p[i] == '\n')
			return true;
	}
	return false;
}

static void take_field(struct author_fields *f, const struct smtp_header_field *field)
{
	if (smtp_span_is_nocase(field->name, "From")) {
		f->from = field->value;
		f->from_count++;
	} else if (smtp_span_is_nocase(field->name, "Sender")) {
		f->sender = field->value;
		f->sender_count++;
	}
}

/** Walks the whole header section. `is_whole`: there is no content behind `head`. */
static const struct fault *find_fields(struct smtp_span head, bool is_whole, struct author_fields *f)
{
	struct smtp_header_field field;
	size_t before = head.n;

	while (head.n > 0 && smtp_header_next(&head, &field) == 1) {
		before = head.n;
		if (has_bare_line_end(field.raw))
			return &bare_line_end;
		take_field(f, &field);
	}
	if (head.n < before) /* the empty line behind the header section */
		return NULL;
	if (head.n > 0 && (is_whole || memchr(head.p, '\n', head.n) != NULL))
		return &no_field;
	return is_whole ? NULL : &too_large;
}

static const struct fault *read_authors(struct mail_authors *a, struct smtp_span head, bool is_whole)
{
	struct author_fields f = { .from_count = 0 };
	const struct fault *fault = find_fields(head, is_whole, &f);
	size_t senders = 0;

	if (fault != NULL)
		return fault;
	if (f.from_count != 1)
		return &not_one_from;
	if (f.sender_count > 1)
		return &two_senders;
	if (smtp_address_list_parse(f.from, a->list, AUTHORS_MAX, &a->from_count) != 0 ||
	    a->from_count == 0)
		return &bad_from;
	if (f.sender_count == 1 &&
	    (smtp_address_list_parse(f.sender, a->list + a->from_count, 1, &senders) != 0 ||
	     senders == 0))
		return &bad_sender;
	a->count = a->from_count + senders;
	return NULL;
}

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

	while (a->at < a->count && is_reverse_path(s, &a->list[a->at]))
		a->at++;
	if (a->at == a->count)
		return SMTP_ACCEPT;
	if (keeper_reaches(s->keeper, &a->list[a->at],
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
		answer_foreign(s, &a->list[a->at], a->at < a->from_count ? "From" : "Sender");
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
	bool is_whole = head.n >= smtp_server_session_content_bytes(s->server_session);
	struct mail_authors *a = authors_new(s);
	const struct fault *fault;
	enum smtp_verdict verdict = SMTP_REPLIED;

	if (a == NULL)
		return mail_refuse(s, 451, "4.3.0", "Out of memory, try again later");
	fault = read_authors(a, head, is_whole);
	if (fault == NULL) {
		(void)snprintf(s->txn.author_domain, sizeof s->txn.author_domain, "%s",
			       a->list[0].domain);
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
