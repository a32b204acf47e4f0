/* SPDX-License-Identifier: ISC */
/* transaction.c - what one transaction gathers: recipients, and content on its way into the spool. Short
 * content stays in memory on the loop; what touches the disk goes through a worker.
 */
#include <stdlib.h>
#include <string.h>

#include "smtpd/log.h"
#include "smtpd/mail/sessions.h"

/* ---- Recipients ---- */

static bool has_recipient(const struct mail_transaction *txn, const char *address)
{
	size_t i;

	for (i = 0; i < txn->recipient_count; i++)
		if (strcmp(txn->recipients[i].address, address) == 0)
			return true;
	return false;
}

static int grow_recipients(struct mail_transaction *txn)
{
	size_t cap = txn->recipient_cap == 0 ? 4 : 2 * txn->recipient_cap;
	struct smtp_spool_recipient *p;

	if (txn->recipient_count < txn->recipient_cap)
		return 0;
	p = realloc(txn->recipients, cap * sizeof *p);
	if (p == NULL)
		return SMTP_ENOMEM;
	txn->recipients = p;
	txn->recipient_cap = cap;
	return 0;
}

int mail_transaction_add(struct mail_transaction *txn, const char *address, const char *original)
{
	char *a, *o;

	if (has_recipient(txn, address))
		return 0;
	if (txn->recipient_count >= SMTP_SPOOL_RECIPIENTS_MAX)
		return SMTP_ETOOLONG;
	if (grow_recipients(txn) != 0)
		return SMTP_ENOMEM;
	a = strdup(address);
	o = strdup(original);
	if (a == NULL || o == NULL) {
		free(a);
		free(o);
		return SMTP_ENOMEM;
	}
	txn->recipients[txn->recipient_count].address = a;
	txn->recipients[txn->recipient_count].original = o;
	txn->recipient_count++;
	return 0;
}

/* ---- The spool file ---- */

/** Throws a file away on a worker. */
struct discard {
	struct smtp_work work;
	struct mail_process *process;
	struct smtp_spool_file *file;
};

static void discard_run(struct smtp_work *work)
{
	smtp_spool_abort(((struct discard *)work)->file);
}

static void discard_done(struct smtp_work *work)
{
	struct discard *d = (struct discard *)work;

	atomic_fetch_sub(&d->process->in_flight, 1);
	free(d);
}

void mail_file_discard(struct mail_process *process, struct smtp_loop *loop,
		       struct smtp_spool_file *file)
{
	struct discard *d;

	if (file == NULL)
		return;
	d = smtp_spool_write_blocks(file, 0) ? calloc(1, sizeof *d) : NULL;
	if (d == NULL) { /* nothing on the disk, or no memory to ask a worker */
		smtp_spool_abort(file);
		return;
	}
	d->work.run = discard_run;
	d->work.done = discard_done;
	d->work.loop = loop;
	d->process = process;
	d->file = file;
	atomic_fetch_add(&process->in_flight, 1);
	smtp_workers_submit(process->workers, &d->work);
}

void mail_transaction_truncate(struct mail_transaction *txn, size_t count)
{
	while (txn->recipient_count > count) {
		struct smtp_spool_recipient *r = &txn->recipients[--txn->recipient_count];

		free((void *)(uintptr_t)r->address);
		free((void *)(uintptr_t)r->original);
	}
}

void mail_transaction_reset(struct mail_process *process, struct mail_transaction *txn)
{
	mail_transaction_truncate(txn, 0);
	free(txn->recipients);
	mail_file_discard(process, txn->loop, txn->file);
	memset(txn, 0, sizeof *txn);
}

enum smtp_verdict mail_transaction_data(struct mail_session *s)
{
	s->txn.loop = mail_session_loop(s);
	s->txn.begun_ms = smtp_loop_now_ms(s->txn.loop);
	if (smtp_spool_begin(s->process->spool, &s->txn.file) != 0)
		return mail_refuse(s, 451, "4.3.0", "Out of memory, try again later");
	return SMTP_ACCEPT;
}

/* ---- Content that goes to the disk ---- */

/** A run of content on a worker. It holds the file meanwhile, so that a session may end. */
struct mail_write {
	struct smtp_work work;
	struct mail_process *process;
	struct mail_session *session; /* NULL: gone, throw the file away */
	struct smtp_spool_file *file;
	int error;
	size_t n;
	uint8_t octets[];
};

enum smtp_verdict mail_refuse_write(struct mail_session *s, int error)
{
	if (error == SMTP_ENOSPC)
		return mail_refuse(s, 452, "4.3.1", "The disk is full, try again later");
	return mail_refuse(s, 451, "4.3.0", "The message can't be stored now, try again later");
}

static void write_run(struct smtp_work *work)
{
	struct mail_write *w = (struct mail_write *)work;

	w->error = smtp_spool_write(w->file, (struct smtp_span){ w->octets, w->n });
}

static void write_done(struct smtp_work *work)
{
	struct mail_write *w = (struct mail_write *)work;
	struct mail_session *s = w->session;
	struct smtp_reply full = smtp_reply_of(452, "4.3.1", "The disk is full, try again later");
	struct smtp_reply other = smtp_reply_of(451, "4.3.0",
						"The message can't be stored now, try again later");

	if (s == NULL) {
		mail_file_discard(w->process, work->loop, w->file);
	} else {
		s->write = NULL;
		s->txn.file = w->file;
		if (w->error == 0)
			(void)smtp_server_answer(s->ticket, NULL);
		else
			(void)smtp_server_answer(s->ticket,
						 w->error == SMTP_ENOSPC ? &full : &other);
	}
	atomic_fetch_sub(&w->process->in_flight, 1);
	free(w);
}

void mail_write_orphan(struct mail_session *s)
{
	if (s->write == NULL)
		return;
	s->write->session = NULL;
	s->write = NULL;
	s->txn.file = NULL; /* the write owns it now */
}

static enum smtp_verdict write_on_worker(struct mail_session *s, struct smtp_span octets)
{
	struct mail_write *w = malloc(sizeof *w + octets.n);

	if (w == NULL)
		return mail_refuse_write(s, SMTP_ENOMEM);
	memset(w, 0, sizeof *w);
	w->work.run = write_run;
	w->work.done = write_done;
	w->work.loop = s->txn.loop;
	w->process = s->process;
	w->session = s;
	w->file = s->txn.file;
	w->n = octets.n;
	memcpy(w->octets, octets.p, octets.n);
	s->write = w;
	atomic_fetch_add(&w->process->in_flight, 1);
	smtp_workers_submit(s->process->workers, &w->work);
	return SMTP_PENDING;
}

static void remember_last(struct mail_transaction *txn, struct smtp_span octets)
{
	txn->last[0] = octets.n > 1 ? octets.p[octets.n - 2] : txn->last[1];
	txn->last[1] = octets.p[octets.n - 1];
}

int mail_transaction_end_line(struct mail_transaction *txn)
{
	static const uint8_t crlf[2] = { '\r', '\n' };
	bool empty = txn->last[1] == '\0' && smtp_spool_content_head(txn->file).n == 0;

	if (empty || memcmp(txn->last, crlf, sizeof crlf) == 0)
		return 0;
	memcpy(txn->last, crlf, sizeof crlf);
	return smtp_spool_write(txn->file, (struct smtp_span){ crlf, sizeof crlf });
}

enum smtp_verdict mail_transaction_content(struct mail_session *s, struct smtp_span octets)
{
	int err;

	if (octets.n == 0)
		return SMTP_ACCEPT;
	remember_last(&s->txn, octets);
	if (smtp_spool_write_blocks(s->txn.file, octets.n))
		return write_on_worker(s, octets);
	err = smtp_spool_write(s->txn.file, octets);
	return err == 0 ? SMTP_ACCEPT : mail_refuse_write(s, err);
}
