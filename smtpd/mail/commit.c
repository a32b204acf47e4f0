/* SPDX-License-Identifier: ISC */
/* commit.c - the end of data: fields on top, the DKIM signature for submissions, stable storage, and only
 * then the 250. Steps run on workers and at the keeper; the session may end meanwhile, and what is
 * durable by then is delivered all the same.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libsmtp/core/buf.h"
#include "libsmtp/core/header.h"
#include "libsmtp/core/span.h"
#include "libsmtp/core/trace.h"
#include "smtpd/log.h"
#include "smtpd/mail/sessions.h"

enum { ADDED_FIELDS_MAX = 16384, MESSAGE_ID_MAX = 400 };

/** One message on its way to stable storage. Owns all it holds. */
struct mail_commit {
	struct smtp_work work;
	struct smtp_loop_call stored_call;
	struct mail_process *process;
	struct mail_session *session; /* NULL: gone */
	struct keeper_client *keeper;
	struct smtp_ticket ticket;
	struct mail_transaction txn;
	struct smtp_buf added;
	char queue_id[SMTP_QUEUE_ID_MAX + 1];
	char session_id[32], peer[64];
	char *account, *helo_name; /* account NULL: none */
	const char *origin;
	int64_t arrival_ms;
	uint64_t content_bytes;
	int error;
	int parts; /* still to come before the commit is over */
	int fd;    /* of the content, for the signature; the spool file's */
};

static int64_t wall_clock_ms(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
		return 0;
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void commit_free(struct mail_commit *c)
{
	if (c->session != NULL)
		c->session->commit = NULL;
	mail_transaction_reset(c->process, &c->txn);
	smtp_buf_release(&c->added);
	atomic_fetch_sub(&c->process->in_flight, 1);
	free(c->account);
	free(c->helo_name);
	free(c);
}

void mail_commit_orphan(struct mail_session *s)
{
	if (s->commit != NULL)
		s->commit->session = NULL;
	s->commit = NULL;
}

/* ---- The end: a reply, a log line, and the queue knows ---- */

static void log_accepted(const struct mail_commit *c)
{
	log_event(LOG_LEVEL_INFO, "mail.accept", LOG_STR("session", c->session_id),
		  LOG_STR("queue_id", c->queue_id), LOG_STR("peer", c->peer),
		  LOG_STR("account", c->account), LOG_STR("from", c->txn.reverse_path),
		  LOG_STR("to", c->txn.recipients[0].address),
		  LOG_INT("recipients", (int64_t)c->txn.recipient_count),
		  LOG_INT("size", (int64_t)c->content_bytes),
		  LOG_INT("delay_ms",
			  (int64_t)(smtp_loop_now_ms(c->txn.loop) - c->txn.begun_ms)));
}

static void log_refused(const struct mail_commit *c, const char *line)
{
	log_event(LOG_LEVEL_WARN, "mail.refuse", LOG_STR("session", c->session_id),
		  LOG_STR("queue_id", c->queue_id), LOG_STR("peer", c->peer),
		  LOG_STR("account", c->account), LOG_STR("from", c->txn.reverse_path),
		  LOG_STR("reply", line), LOG_STR("reason", smtp_error_str(c->error)));
}

static void finish_accepted(struct mail_commit *c)
{
	char text[SMTP_QUEUE_ID_MAX + 32];
	struct smtp_reply reply;

	log_accepted(c);
	queue_accepted(c->process->queue, c->queue_id);
	(void)snprintf(text, sizeof text, "Queued as %s", c->queue_id);
	reply = smtp_reply_of(250, "2.0.0", text);
	(void)smtp_server_answer(c->ticket, &reply);
	if (c->session != NULL)
		c->session->accepted++;
	commit_free(c);
}

static void finish_refused(struct mail_commit *c)
{
	bool full = c->error == SMTP_ENOSPC;
	struct smtp_reply reply =
		full ? smtp_reply_of(452, "4.3.1", "The disk is full, try again later") :
		       smtp_reply_of(451, "4.3.0",
				     "The message can't be stored now, try again later");

	log_refused(c, full ? "452 4.3.1" : "451 4.3.0");
	(void)smtp_server_answer(c->ticket, &reply);
	commit_free(c);
}

/* ---- Storing ---- */

/** Two things end a commit: the word of the spool, maybe from another thread, and the worker's return. Both
 *  come as calls of the loop, in whatever order. */
static void commit_part_done(struct mail_commit *c)
{
	if (--c->parts > 0)
		return;
	if (c->error == 0)
		finish_accepted(c);
	else
		finish_refused(c);
}

static void stored_on_loop(struct smtp_loop_call *call)
{
	struct mail_commit *c =
		(struct mail_commit *)((char *)call - offsetof(struct mail_commit, stored_call));

	commit_part_done(c);
}

static void stored(void *user, int error)
{
	struct mail_commit *c = user;

	c->error = error;
	c->stored_call.fn = stored_on_loop;
	smtp_loop_post(c->txn.loop, &c->stored_call);
}

static void store_run(struct smtp_work *work)
{
	struct mail_commit *c = (struct mail_commit *)work;
	struct smtp_spool_file *file = c->txn.file;
	const struct smtp_spool_envelope envelope = {
		.reverse_path = c->txn.reverse_path,
		.recipients = c->txn.recipients,
		.recipient_count = c->txn.recipient_count,
		.arrival_ms = c->arrival_ms,
		.origin = c->origin,
		.account = c->account,
		.peer_address = c->peer,
		.helo_name = c->helo_name,
		.body_8bitmime = c->txn.body_8bitmime,
	};
	int err = mail_transaction_end_line(&c->txn);

	c->txn.file = NULL;
	if (err != 0) {
		smtp_spool_abort(file);
		stored(c, err);
		return;
	}
	smtp_spool_commit(file, &envelope, smtp_buf_span(&c->added),
			  (struct smtp_spool_done){ stored, c });
}

static void store_done(struct smtp_work *work)
{
	commit_part_done((struct mail_commit *)work);
}

static void store(struct mail_commit *c)
{
	c->parts = 2;
	c->work.run = store_run;
	c->work.done = store_done;
	c->work.loop = c->txn.loop;
	smtp_workers_submit(c->process->workers, &c->work);
}

/* ---- Signing ---- */

static int put_on_top(struct mail_commit *c, const char *field)
{
	struct smtp_buf whole;
	int err;

	smtp_buf_init(&whole, ADDED_FIELDS_MAX);
	err = smtp_buf_append_text(&whole, field);
	if (err == 0)
		err = smtp_buf_append_span(&whole, smtp_buf_span(&c->added));
	if (err != 0) {
		smtp_buf_release(&whole);
		return err;
	}
	smtp_buf_release(&c->added);
	c->added = whole;
	return 0;
}

static void signed_(void *user, const struct keeper_sign_answer *a)
{
	struct mail_commit *c = user;

	c->error = a->error;
	if (a->error == 0)
		c->error = put_on_top(c, a->field);
	else if (a->error == SMTP_ENOTFOUND || a->error == SMTP_ESYNTAX)
		c->error = 0; /* no key, or nothing that could be signed: it goes as it is */
	if (c->error == 0)
		store(c);
	else
		finish_refused(c);
}

static void opened_run(struct smtp_work *work)
{
	struct mail_commit *c = (struct mail_commit *)work;

	c->error = mail_transaction_end_line(&c->txn);
	if (c->error == 0)
		c->error = smtp_spool_content_fd(c->txn.file, &c->fd, &c->content_bytes);
}

static void opened_done(struct smtp_work *work)
{
	struct mail_commit *c = (struct mail_commit *)work;

	if (c->error == 0)
		c->error = keeper_sign(c->keeper, c->txn.author_domain, smtp_buf_span(&c->added),
				       c->fd, c->content_bytes, signed_, c);
	if (c->error != 0)
		finish_refused(c);
}

/** Signed for the domain in From, which is the account's own: the signature is aligned (RFC 7489, 3.1.1).
 *  The keeper reads content through a descriptor, so it has to be in its file first. */
static void sign(struct mail_commit *c)
{
	c->work.run = opened_run;
	c->work.done = opened_done;
	c->work.loop = c->txn.loop;
	smtp_workers_submit(c->process->workers, &c->work);
}

/* ---- Fields on top ---- */

static int add_received(struct mail_commit *c, const struct smtp_server_session *ss,
			const struct config *config)
{
	struct smtp_mailbox only;
	const struct smtp_received received = {
		.helo_name = c->helo_name,
		.peer_address = c->peer[0] != '\0' ? c->peer : NULL,
		.by_hostname = config->hostname,
		.protocol = smtp_server_session_protocol(ss),
		.id = c->queue_id,
		.for_mailbox = smtp_server_session_recipient_count(ss) == 1 &&
					       smtp_mailbox_parse(
						       &only,
						       smtp_span_of(c->txn.recipients[0].original),
						       0) == 0 ?
				       &only :
				       NULL,
		.tls = smtp_server_session_has_tls(ss) ? smtp_server_session_tls_description(ss) :
							 NULL,
		.time_s = c->arrival_ms / 1000,
	};

	return smtp_received_format(&c->added, &received);
}

/** A submission without Date or Message-ID gets them (RFC 6409, 8.2 and 8.3). */
static int add_missing(struct mail_commit *c, struct smtp_span head, const struct config *config)
{
	struct smtp_header_field field;
	char date[SMTP_DATE_MAX];
	char id[MESSAGE_ID_MAX];
	int err = 0;

	if (!smtp_header_find(head, "Message-ID", &field)) {
		(void)snprintf(id, sizeof id, "Message-ID: <%s@%s>\r\n", c->queue_id,
			       config->hostname);
		err = smtp_buf_append_text(&c->added, id);
	}
	if (err == 0 && !smtp_header_find(head, "Date", &field)) {
		(void)smtp_date_format(c->arrival_ms / 1000, date);
		err = smtp_buf_append_text(&c->added, "Date: ");
		if (err == 0)
			err = smtp_buf_append_text(&c->added, date);
		if (err == 0)
			err = smtp_buf_append_text(&c->added, "\r\n");
	}
	return err;
}

/** Content that does not begin with a header field is all body: an empty line keeps it apart. */
static int add_divider(struct mail_commit *c, struct smtp_span head)
{
	struct smtp_header_field field;
	struct smtp_span rest = head;

	if (head.n == 0 || head.p[0] == '\r' || smtp_header_next(&rest, &field) == 1)
		return 0;
	return smtp_buf_append_text(&c->added, "\r\n");
}

static int add_fields(struct mail_commit *c, const struct smtp_server_session *ss,
		      struct smtp_span head)
{
	const struct config *config = atomic_load(&c->process->config);
	int err = add_received(c, ss, config);

	if (err == 0 && c->account != NULL)
		err = add_missing(c, head, config);
	return err == 0 ? add_divider(c, head) : err;
}

/* ---- Begin ---- */

static struct mail_commit *commit_new(struct mail_session *s)
{
	struct mail_commit *c = calloc(1, sizeof *c);
	const char *account = smtp_server_session_account(s->server_session);

	if (c == NULL)
		return NULL;
	smtp_buf_init(&c->added, ADDED_FIELDS_MAX);
	c->process = s->process;
	atomic_fetch_add(&c->process->in_flight, 1);
	c->keeper = s->keeper;
	c->ticket = s->ticket;
	c->txn = s->txn;
	memset(&s->txn, 0, sizeof s->txn);
	c->arrival_ms = wall_clock_ms();
	c->content_bytes = smtp_server_session_content_bytes(s->server_session);
	c->origin = s->role == ROLE_MX ? "mx" : "submission";
	(void)snprintf(c->queue_id, sizeof c->queue_id, "%s", smtp_spool_file_id(c->txn.file));
	(void)snprintf(c->session_id, sizeof c->session_id, "%s",
		       smtp_server_session_trace_id(s->server_session));
	(void)snprintf(c->peer, sizeof c->peer, "%s",
		       smtp_server_session_peer_address(s->server_session));
	c->account = account != NULL ? strdup(account) : NULL;
	c->helo_name = strdup(smtp_server_session_helo_name(s->server_session));
	c->session = s;
	s->commit = c;
	if (c->helo_name == NULL || (account != NULL && c->account == NULL)) {
		commit_free(c);
		return NULL;
	}
	return c;
}

/** Has one of the recipients had this message already? Refused here it is the sender's affair; found out
 *  later it would take a report, to an address that anybody may have made up. */
static bool was_delivered_before(const struct mail_transaction *txn, struct smtp_span head)
{
	struct smtp_header_field field;
	size_t i;

	while (smtp_header_next(&head, &field) == 1) {
		if (!smtp_span_is_nocase(field.name, "Delivered-To"))
			continue;
		for (i = 0; i < txn->recipient_count; i++)
			if (smtp_span_is_nocase(smtp_span_trim(field.value),
						txn->recipients[i].address))
				return true;
	}
	return false;
}

static bool is_in_a_loop(const struct mail_transaction *txn, struct smtp_span head)
{
	return smtp_header_count(head, "Received") > MAIL_RECEIVED_MAX ||
	       was_delivered_before(txn, head);
}

/** From here on the message is the commit's, and the reply too. False: out of memory. */
static bool begin(struct mail_session *s)
{
	struct mail_commit *c = commit_new(s);

	if (c == NULL)
		return false;
	if (add_fields(c, s->server_session, smtp_spool_content_head(c->txn.file)) != 0) {
		commit_free(c);
		return false;
	}
	if (c->account != NULL)
		sign(c);
	else
		store(c);
	return true;
}

void mail_commit_authorized(struct mail_session *s)
{
	struct smtp_reply reply = smtp_reply_of(451, "4.3.0", "Out of memory, try again later");

	if (!begin(s))
		(void)smtp_server_answer(s->ticket, &reply);
}

enum smtp_verdict mail_commit(struct mail_session *s)
{
	enum smtp_verdict verdict = SMTP_ACCEPT;
	int err = 0;

	if (!smtp_spool_write_blocks(s->txn.file, 2)) /* else on a worker, and the head is complete */
		err = mail_transaction_end_line(&s->txn);
	if (err != 0)
		return mail_refuse_write(s, err);
	if (is_in_a_loop(&s->txn, smtp_spool_content_head(s->txn.file)))
		return mail_refuse(s, 554, "5.4.6", "The message is in a loop");
	if (s->role != ROLE_MX)
		verdict = mail_decide_authors(s);
	if (verdict != SMTP_ACCEPT)
		return verdict;
	if (!begin(s))
		return mail_refuse(s, 451, "4.3.0", "Out of memory, try again later");
	return SMTP_PENDING;
}
