/* SPDX-License-Identifier: ISC */
/* local.c - final delivery into Maildirs (RFC 5321, 4.4): Return-Path and Delivered-To on top, forged
 * Return-Path fields taken out, loops found by Delivered-To. All Maildirs of one message are done by one
 * piece of work; when nothing else is left of the message it is removed in the same step.
 */
#include "smtpd/queue/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <smtp/maildir.h>
#include "libsmtp/core/header.h"
#include "libsmtp/core/span.h"

enum {
	LOCAL_HEAD_MAX = 262144, /* the header section is looked at in so much of the message */
	LOCAL_TOP_MAX = 2048
};

const char local_loop_text[] = "5.4.6 mail loops: it was delivered to this mailbox before";

#define ATTEMPT_OF(w) ((struct attempt *)(void *)((char *)(w)-offsetof(struct attempt, local_work)))

int local_prepare(struct attempt *a, struct delivery *d, const char *account)
{
	int err = config_maildir(a->queue->config, account, &d->maildir);

	if (err == SMTP_EINVAL)
		outcome_set(&d->outcome, OUTCOME_TRANSIENT, NULL,
			    "4.3.5 the address makes no path of a mailbox");
	return err;
}

/* ---- the message ---- */

struct message {
	struct smtp_spool_reader *reader;
	uint8_t *head;
	size_t head_bytes;  /* without what was taken out */
	size_t head_read;   /* as it stands in the spool */
	bool is_whole;      /* the head is all of it */
	size_t at;          /* where the current delivery reads in the head */
};

static int read_full(struct smtp_spool_reader *reader, uint8_t *out, size_t cap, size_t *got)
{
	size_t n;
	int err;

	for (*got = 0; *got < cap; *got += n) {
		err = smtp_spool_reader_read(reader, out + *got, cap - *got, &n);
		if (err != 0)
			return err;
		if (n == 0)
			break;
	}
	return 0;
}

/* Takes Return-Path fields out of the head, in place. A field cut off by the end of the head stays. */
static void drop_return_paths(struct message *m)
{
	struct smtp_span rest = { m->head, m->head_bytes };
	struct smtp_header_field field;
	size_t kept = 0, seen = 0;

	while (smtp_header_next(&rest, &field) == 1) {
		size_t begin = (size_t)(field.raw.p - m->head);
		bool is_cut = begin + field.raw.n == m->head_bytes && !m->is_whole;

		seen = begin + field.raw.n;
		if (!is_cut && smtp_span_is_nocase(field.name, "Return-Path"))
			continue;
		if (kept != begin)
			memmove(m->head + kept, m->head + begin, field.raw.n);
		kept += field.raw.n;
	}
	if (kept == seen)
		return;
	memmove(m->head + kept, m->head + seen, m->head_bytes - seen);
	m->head_bytes -= seen - kept;
}

static int message_open(struct message *m, struct smtp_spool *spool, const char *id)
{
	uint64_t bytes;
	size_t cap;
	int err = smtp_spool_reader_open(spool, id, &m->reader);

	if (err != 0)
		return err;
	bytes = smtp_spool_reader_bytes(m->reader);
	cap = bytes < LOCAL_HEAD_MAX ? (size_t)bytes : LOCAL_HEAD_MAX;
	m->head = malloc(cap ? cap : 1);
	if (!m->head)
		return SMTP_ENOMEM;
	err = read_full(m->reader, m->head, cap, &m->head_read);
	if (err != 0)
		return err;
	if (m->head_read < cap)
		return SMTP_EIO;
	m->is_whole = m->head_read == bytes;
	m->head_bytes = m->head_read;
	drop_return_paths(m);
	return 0;
}

static void message_close(struct message *m)
{
	smtp_spool_reader_close(m->reader);
	free(m->head);
}

/* From the beginning again, for the next Maildir. */
static int message_rewind(struct message *m)
{
	size_t n;
	int err;

	m->at = 0;
	if (m->is_whole)
		return 0;
	smtp_spool_reader_rewind(m->reader);
	for (size_t left = m->head_read; left > 0; left -= n) {
		uint8_t skipped[16384];

		err = smtp_spool_reader_read(m->reader, skipped,
					     left < sizeof skipped ? left : sizeof skipped, &n);
		if (err != 0 || n == 0)
			return err != 0 ? err : SMTP_EIO;
	}
	return 0;
}

static int message_read(void *user, uint8_t *out, size_t cap, size_t *n)
{
	struct message *m = user;
	size_t left = m->head_bytes - m->at;

	if (left == 0 && !m->is_whole)
		return smtp_spool_reader_read(m->reader, out, cap, n);
	*n = left < cap ? left : cap;
	memcpy(out, m->head + m->at, *n);
	m->at += *n;
	return 0;
}

/* ---- one Maildir ---- */

static bool was_delivered_to(const struct message *m, const char *address)
{
	struct smtp_span rest = { m->head, m->head_bytes };
	struct smtp_header_field field;

	while (smtp_header_next(&rest, &field) == 1)
		if (smtp_span_is_nocase(field.name, "Delivered-To") &&
		    smtp_span_is_nocase(smtp_span_trim(field.value), address))
			return true;
	return false;
}

static void explain(struct outcome *o, int err)
{
	if (err == 0)
		outcome_set(o, OUTCOME_DELIVERED, NULL, "2.0.0 delivered to the mailbox");
	else if (err == SMTP_ENOSPC)
		outcome_set(o, OUTCOME_TRANSIENT, NULL, "4.3.1 no space left for the mailbox");
	else if (err == SMTP_EACCESS)
		outcome_set(o, OUTCOME_TRANSIENT, NULL, "4.3.0 no permission to write the mailbox");
	else
		outcome_set(o, OUTCOME_TRANSIENT, NULL, "4.3.0 the mailbox can't be written");
}

static int deliver(const struct attempt *a, struct delivery *d, struct message *m)
{
	char address[SMTP_MAILBOX_TEXT_MAX + 1], top[LOCAL_TOP_MAX], unique[SMTP_QUEUE_ID_MAX + 24];
	struct smtp_maildir_message maildir = { .directory = d->maildir, .hostname = a->hostname,
						.unique = unique, .arrival_ms = a->entry->arrival_ms,
						.read = message_read, .user = m };
	int n, err;

	(void)smtp_mailbox_format(&d->mailbox, address, sizeof address);
	if (was_delivered_to(m, address)) {
		outcome_set(&d->outcome, OUTCOME_PERMANENT, NULL, local_loop_text);
		return 0;
	}
	(void)snprintf(unique, sizeof unique, "%s.%zu", a->entry->id, d->recipient);
	n = snprintf(top, sizeof top, "Return-Path: <%s>\r\nDelivered-To: %s\r\n",
		     a->entry->reverse_path, address);
	err = n < 0 || (size_t)n >= sizeof top ? SMTP_ETOOLONG : message_rewind(m);
	if (err == 0) {
		maildir.top = (struct smtp_span){ (const uint8_t *)top, (size_t)n };
		err = smtp_maildir_deliver(&maildir);
	}
	if (err == SMTP_ECORRUPT)
		return err;
	explain(&d->outcome, err);
	return 0;
}

/* ---- all of them, on a worker ---- */

/* It is there and can't be read: tried again by the schedule, until its lifetime ends. */
static void defer_unread(struct attempt *a)
{
	for (struct delivery *d = a->deliveries; d; d = d->next)
		if (d->place == PLACE_HERE && d->outcome.kind == OUTCOME_NONE)
			outcome_set(&d->outcome, OUTCOME_TRANSIENT, NULL,
				    "4.3.0 the message can't be read now");
}

static void local_run(struct smtp_work *work)
{
	struct attempt *a = ATTEMPT_OF(work);
	struct message message = { 0 };
	int err = message_open(&message, a->queue->spool, a->item->id);

	for (struct delivery *d = a->deliveries; d && err == 0; d = d->next)
		if (d->place == PLACE_HERE)
			err = deliver(a, d, &message);
	message_close(&message);
	a->local_error = err;
	if (err != 0 && err != SMTP_ECORRUPT && err != SMTP_ENOMEM)
		defer_unread(a);
	if (err == 0 && a->local_only && attempt_delivers_all(a))
		a->local_removed =
			smtp_spool_remove(a->queue->spool, a->item->id, false) == 0;
}

static void local_done(struct smtp_work *work)
{
	struct attempt *a = ATTEMPT_OF(work);

	if (!attempt_returns(a))
		return;
	a->local_busy = false;
	a->finished = a->local_removed == 1;
	a->is_corrupt = a->is_corrupt || a->local_error == SMTP_ECORRUPT;
	attempt_is_prepared(a);
	attempt_group_done(a);
}

void local_begin(struct attempt *a)
{
	(void)snprintf(a->hostname, sizeof a->hostname, "%s", a->queue->config->hostname);
	a->local_busy = true;
	a->local_work = (struct smtp_work){ .run = local_run, .done = local_done };
	attempt_submit(a, &a->local_work);
}
