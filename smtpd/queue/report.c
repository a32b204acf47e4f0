/* SPDX-License-Identifier: ISC */
/* report.c - brings a report on its way: on a worker the head of the message is read and the report
 * written into the spool, the keeper signs it, on a worker it is committed. Only then is it told to the
 * attempt, which marks the recipients (design: the report first, then the mark).
 */
#include "smtpd/queue/report.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "libsmtp/core/header.h"
#include "smtpd/log.h"
#include "smtpd/queue/retry.h"

struct report {
	struct attempt *attempt;
	void (*done)(struct attempt *, int error);
	struct smtp_work work;
	struct smtp_loop_call call;  /* the commit is done */
	unsigned pending;            /* work and call of the commit */
	int error;
	struct dsn dsn;
	struct dsn_recipient *rows;
	char (*statuses)[OUTCOME_STATUS_MAX];
	uint8_t *headers;
	char from_domain[SMTP_DOMAIN_MAX + 1];
	char hostname[SMTP_DOMAIN_MAX + 1];
	struct smtp_spool_file *file; /* NULL once it was given to commit */
	char id[SMTP_QUEUE_ID_MAX + 1];
	int fd;
	uint64_t content_bytes;
	char *signature;
	struct smtp_spool_recipient to;
};

#define REPORT_OF(p, member) ((struct report *)(void *)((char *)(p)-offsetof(struct report, member)))

void report_free(struct report *r)
{
	if (!r)
		return;
	smtp_spool_abort(r->file);
	free(r->rows);
	free(r->statuses);
	free(r->headers);
	free(r->signature);
	free(r);
}

/* ---- what it says ---- */

/* The author has to be of a domain that is hosted here, so that a key signs for it: the sender's own for
 * mail that was submitted, else the one the mail was for. */
static void choose_author(struct report *r)
{
	const struct smtp_queue_entry *e = r->attempt->entry;
	bool from_outside = strcmp(e->origin, "mx") == 0;
	struct smtp_mailbox mailbox;
	const char *address = e->reverse_path;

	for (size_t i = 0; from_outside && i < e->recipient_count; i++) {
		if (r->attempt->settlements[i].touched) {
			address = e->recipients[i].original;
			break;
		}
	}
	if (smtp_mailbox_parse(&mailbox, smtp_span_of(address), 0) == 0 && mailbox.domain[0] != '[')
		memcpy(r->from_domain, mailbox.domain, sizeof mailbox.domain);
	else
		memcpy(r->from_domain, r->hostname, sizeof r->hostname);
}

static bool is_told(const struct report *r, const struct settlement *s)
{
	if (r->dsn.action == DSN_FAILED)
		return s->failed && !s->silent;
	return s->touched && !s->failed && s->state == SMTP_RECIPIENT_QUEUED;
}

/* Where an alias leads is not told to strangers. */
static void add_row(struct report *r, size_t recipient)
{
	const struct smtp_queue_entry *e = r->attempt->entry;
	const struct settlement *s = &r->attempt->settlements[recipient];
	const struct smtp_queue_recipient *to = &e->recipients[recipient];
	bool from_outside = strcmp(e->origin, "mx") == 0;
	char *status = r->statuses[r->dsn.recipient_count];
	const char *text = outcome_reply(s->outcome);

	if (s->expired)
		memcpy(status, "4.4.7", sizeof "4.4.7");
	else
		outcome_status(text, s->failed, status);
	r->rows[r->dsn.recipient_count++] = (struct dsn_recipient){
		.address = from_outside ? to->original : to->address, .original = to->original,
		.status = status, .diagnostic = text,
		.host = s->outcome->host ? s->outcome->host : "",
		.last_attempt_ms = r->attempt->begun_ms };
}

static int fill(struct report *r, enum dsn_action action)
{
	const struct attempt *a = r->attempt;
	const struct config *config = a->queue->config;
	size_t n = strlen(config->hostname);

	r->rows = calloc(a->entry->recipient_count, sizeof *r->rows);
	r->statuses = calloc(a->entry->recipient_count, sizeof *r->statuses);
	if (!r->rows || !r->statuses || n > SMTP_DOMAIN_MAX)
		return SMTP_ENOMEM;
	memcpy(r->hostname, config->hostname, n + 1);
	choose_author(r);
	r->dsn = (struct dsn){ .action = action, .id = r->id, .hostname = r->hostname,
			       .from_domain = r->from_domain, .to = a->entry->reverse_path,
			       .message_id = a->entry->id, .now_ms = queue_wall_ms(),
			       .arrival_ms = a->entry->arrival_ms,
			       .until_ms = retry_until_ms(config, a->entry->arrival_ms),
			       .recipients = r->rows };
	for (size_t i = 0; i < a->entry->recipient_count; i++)
		if (is_told(r, &a->settlements[i]))
			add_row(r, i);
	return 0;
}

/* ---- on a worker: write it ---- */

/* The header section, cut at the end of a line when it is longer than a report shall be. */
static size_t headers_length(const uint8_t *p, size_t n)
{
	struct smtp_span rest = { p, n };
	struct smtp_header_field field;
	size_t length = 0;

	while (smtp_header_next(&rest, &field) == 1)
		length = (size_t)(field.raw.p - p) + field.raw.n;
	while (length > 0 && p[length - 1] != '\n')
		length--;
	return length;
}

static int read_headers(struct report *r)
{
	struct smtp_spool_reader *reader = NULL;
	size_t n, got = 0;
	int err = smtp_spool_reader_open(r->attempt->queue->spool, r->attempt->item->id, &reader);

	r->headers = malloc(DSN_HEADERS_MAX);
	if (err == 0 && !r->headers)
		err = SMTP_ENOMEM;
	while (err == 0 && got < DSN_HEADERS_MAX) {
		err = smtp_spool_reader_read(reader, r->headers + got, DSN_HEADERS_MAX - got, &n);
		if (err != 0 || n == 0)
			break;
		got += n;
	}
	smtp_spool_reader_close(reader);
	if (err == 0)
		r->dsn.headers = (struct smtp_span){ r->headers, headers_length(r->headers, got) };
	return err;
}

static int write_content(struct report *r)
{
	struct smtp_buf content;
	int err;

	smtp_buf_init(&content, DSN_MAX);
	err = dsn_compose(&content, &r->dsn);
	if (err == 0)
		err = smtp_spool_write(r->file, smtp_buf_span(&content));
	if (err == 0)
		err = smtp_spool_content_fd(r->file, &r->fd, &r->content_bytes);
	smtp_buf_release(&content);
	return err;
}

static void write_run(struct smtp_work *work)
{
	struct report *r = REPORT_OF(work, work);
	const char *id;

	if (getrandom(&r->dsn.boundary, sizeof r->dsn.boundary, 0) != (ssize_t)sizeof r->dsn.boundary)
		r->dsn.boundary = (uint64_t)r->dsn.now_ms;
	r->error = read_headers(r);
	if (r->error == 0)
		r->error = smtp_spool_begin(r->attempt->queue->spool, &r->file);
	if (r->error != 0)
		return;
	id = smtp_spool_file_id(r->file);
	memcpy(r->id, id, strnlen(id, SMTP_QUEUE_ID_MAX));
	r->error = write_content(r);
}

/* ---- sign, commit ---- */

static void finish(struct report *r)
{
	struct attempt *a = r->attempt;
	void (*done)(struct attempt *, int error) = r->done;
	int error = r->error;

	if (error == 0) {
		log_event(LOG_LEVEL_INFO, "bounce.sent", LOG_STR("queue_id", a->item->id),
			  LOG_STR("to", a->entry->reverse_path), LOG_STR("dsn", r->id),
			  LOG_STR("reason", r->dsn.action == DSN_FAILED ? "failed" : "delayed"));
		if (queue_add(a->queue, r->id) != 0)
			log_event(LOG_LEVEL_WARN, "queue.hold", LOG_STR("queue_id", r->id),
				  LOG_STR("reason", "out of memory; found again at the next start"));
	} else {
		log_event(LOG_LEVEL_ERROR, "queue.hold", LOG_STR("queue_id", a->item->id),
			  LOG_STR("reason", "the report to the sender can't be written"));
	}
	a->report = NULL;
	report_free(r);
	done(a, error);
}

static void commit_ended(struct report *r)
{
	if (--r->pending == 0)
		finish(r);
}

static void on_commit_call(struct smtp_loop_call *call)
{
	struct report *r = REPORT_OF(call, call);

	if (attempt_returns(r->attempt))
		commit_ended(r);
}

/* From any thread. */
static void on_committed(void *user, int error)
{
	struct report *r = user;

	r->error = error;
	smtp_loop_post(r->attempt->queue->loop, &r->call);
}

static void commit_run(struct smtp_work *work)
{
	struct report *r = REPORT_OF(work, work);
	struct smtp_spool_envelope envelope = {
		.reverse_path = "", .recipients = &r->to, .recipient_count = 1,
		.arrival_ms = r->dsn.now_ms, .origin = "dsn", .body_8bitmime = dsn_is_8bit(&r->dsn) };
	struct smtp_spool_file *file = r->file;

	r->file = NULL;
	smtp_spool_commit(file, &envelope, smtp_span_of(r->signature),
			  (struct smtp_spool_done){ on_committed, r });
}

static void commit_done(struct smtp_work *work)
{
	struct report *r = REPORT_OF(work, work);

	if (attempt_returns(r->attempt))
		commit_ended(r);
}

static void commit(struct report *r)
{
	r->to = (struct smtp_spool_recipient){ .address = r->attempt->entry->reverse_path };
	r->pending = 2;
	r->call.fn = on_commit_call;
	r->work.run = commit_run;
	r->work.done = commit_done;
	r->attempt->busy++; /* for the call */
	attempt_submit(r->attempt, &r->work);
}

/* A report without signature is better than none: any failure to sign is only that. */
static void on_signed(void *user, const struct keeper_sign_answer *answer)
{
	struct report *r = user;

	if (answer->error == 0 && answer->field)
		r->signature = strdup(answer->field);
	commit(r);
}

static void write_done(struct smtp_work *work)
{
	struct report *r = REPORT_OF(work, work);

	if (!attempt_returns(r->attempt))
		return;
	if (r->error != 0)
		finish(r);
	else if (keeper_sign(r->attempt->queue->keeper, r->from_domain, smtp_span_of(NULL), r->fd,
			     r->content_bytes, on_signed, r) != 0)
		commit(r);
}

int report_begin(struct attempt *a, enum dsn_action action, void (*done)(struct attempt *, int error))
{
	struct report *r = calloc(1, sizeof *r);
	int err;

	if (!r)
		return SMTP_ENOMEM;
	r->attempt = a;
	r->done = done;
	err = fill(r, action);
	if (err != 0) {
		report_free(r);
		return err;
	}
	a->report = r;
	r->work = (struct smtp_work){ .run = write_run, .done = write_done };
	attempt_submit(a, &r->work);
	return 0;
}
