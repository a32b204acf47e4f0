/* SPDX-License-Identifier: ISC */
/* settle.c - the end of an attempt: outcomes of deliveries become states of recipients, reports go to the
 * sender first, then the states are recorded or the finished message is removed. What can't be written
 * down now (full disk, no memory) keeps the attempt until it can: nothing is delivered twice for it.
 */
#include "smtpd/queue/internal.h"

#include <stdlib.h>
#include <string.h>

#include "smtpd/log.h"
#include "smtpd/queue/report.h"
#include "smtpd/queue/retry.h"

bool settle_is_silent(const struct smtp_queue_entry *e, const char *reply)
{
	return e->reverse_path[0] == '\0' ||
	       (strcmp(e->origin, "mx") == 0 && strcmp(reply, local_loop_text) == 0);
}

/* ---- outcomes to states ---- */

static void settle_recipient(struct attempt *a, size_t recipient, int64_t now_ms)
{
	const struct queue *q = a->queue;
	struct settlement *s = &a->settlements[recipient];
	enum outcome_kind kind = s->outcome ? s->outcome->kind : OUTCOME_NONE;
	int64_t arrival_ms = a->entry->arrival_ms;

	s->touched = kind != OUTCOME_NONE;
	s->state = kind == OUTCOME_DELIVERED ? SMTP_RECIPIENT_DELIVERED : SMTP_RECIPIENT_QUEUED;
	s->next_ms = retry_next_ms(q->config, a->entry->recipients[recipient].attempts + 1, now_ms,
				   arrival_ms);
	s->expired = kind == OUTCOME_TRANSIENT && retry_is_over(q->config, now_ms, arrival_ms);
	s->failed = kind == OUTCOME_PERMANENT || s->expired;
	s->silent = s->failed && settle_is_silent(a->entry, outcome_reply(s->outcome));
}

/* Idempotent: called again when the rest of settling could not be done. */
static int settle_all(struct attempt *a)
{
	size_t count = a->entry->recipient_count;
	int64_t now_ms = queue_wall_ms();

	if (a->settlements)
		return 0;
	a->settlements = calloc(count ? count : 1, sizeof *a->settlements);
	a->outcomes = calloc(count ? count : 1, sizeof *a->outcomes);
	if (!a->settlements || !a->outcomes) {
		free(a->settlements);
		free(a->outcomes);
		a->settlements = NULL;
		a->outcomes = NULL;
		return SMTP_ENOMEM;
	}
	for (const struct delivery *d = a->deliveries; d; d = d->next) {
		struct settlement *s = &a->settlements[d->recipient];

		s->outcome = s->outcome ? outcome_worse(s->outcome, &d->outcome) : &d->outcome;
	}
	for (size_t i = 0; i < count; i++)
		settle_recipient(a, i, now_ms);
	return 0;
}

bool attempt_delivers_all(const struct attempt *a)
{
	const struct smtp_queue_entry *e = a->entry;
	size_t queued = 0, covered = 0;

	for (size_t i = 0; i < e->recipient_count; i++) {
		queued += e->recipients[i].state == SMTP_RECIPIENT_QUEUED;
		if (e->recipients[i].state == SMTP_RECIPIENT_BOUNCED &&
		    settle_is_silent(e, e->recipients[i].last_reply))
			return false; /* a dead letter */
	}
	for (const struct delivery *d = a->deliveries; d; d = d->next) {
		if (d->outcome.kind != OUTCOME_DELIVERED)
			return false;
		covered += d->depth == 0;
	}
	return covered == queued;
}

/* ---- log ---- */

static void log_delivery(const struct attempt *a, const char *to, const struct settlement *s)
{
	const char *text = outcome_reply(s->outcome);
	bool said = outcome_text_is_reply(text);
	const char *event = s->failed ? "delivery.fail" :
			    s->state == SMTP_RECIPIENT_DELIVERED ? "delivery.done" : "delivery.defer";

	log_event(s->failed ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, event, LOG_STR("queue_id", a->item->id),
		  LOG_STR("from", a->entry->reverse_path), LOG_STR("to", to),
		  LOG_STR("host", s->outcome->host), LOG_STR("peer", s->outcome->peer),
		  LOG_STR("reply", said ? text : NULL),
		  LOG_INT("delay_ms", queue_wall_ms() - a->entry->arrival_ms),
		  LOG_STR("reason", s->expired ? "4.4.7 not delivered in its lifetime" :
				    said || !text[0] ? NULL : text));
}

/* Recipients that were to be tried and could not, through no fault of the mail. */
static bool has_untried(const struct attempt *a)
{
	for (size_t i = 0; i < a->entry->recipient_count; i++)
		if (a->settlements[i].outcome && !a->settlements[i].touched)
			return true;
	return false;
}

static void log_all(struct attempt *a)
{
	if (a->logged)
		return;
	a->logged = true;
	for (size_t i = 0; i < a->entry->recipient_count; i++)
		if (a->settlements[i].touched)
			log_delivery(a, a->entry->recipients[i].address, &a->settlements[i]);
	if (has_untried(a) && !a->is_corrupt && a->crowded_ms == 0 && !a->queue->draining)
		log_event(LOG_LEVEL_WARN, "queue.hold", LOG_STR("queue_id", a->item->id),
			  LOG_STR("reason", a->local_error ? smtp_error_str(a->local_error) :
							     "could not be tried now"));
	if (a->is_corrupt && !a->is_done)
		log_event(LOG_LEVEL_ERROR, "queue.hold", LOG_STR("queue_id", a->item->id),
			  LOG_STR("reason", "the content is damaged: moved to corrupt/"));
	if (a->is_dead)
		log_event(LOG_LEVEL_WARN, "bounce.dead", LOG_STR("queue_id", a->item->id),
			  LOG_STR("from", a->entry->reverse_path),
			  LOG_STR("reason", a->entry->reverse_path[0] == '\0' ?
				  "a report, or mail without a sender, can't be delivered" :
				  "a loop from outside: nobody is told"));
}

/* ---- what can't be written down now ---- */

static void stick(struct attempt *a, int error)
{
	struct queue *q = a->queue;

	if (!a->sticks)
		log_event(LOG_LEVEL_ERROR, "queue.hold", LOG_STR("queue_id", a->item->id),
			  LOG_STR("reason", smtp_error_str(error)));
	a->sticks = true;
	a->next_stuck = q->stuck;
	q->stuck = a;
	smtp_timer_set(q->stuck_timer, smtp_loop_now_ms(q->loop) + q->hiccup_ms);
}

void settle_stuck(void *queue)
{
	struct queue *q = queue;
	struct attempt *a = q->stuck;

	q->stuck = NULL;
	while (a) {
		struct attempt *next = a->next_stuck;

		attempt_settle(a);
		a = next;
	}
}

/* ---- records ---- */

static void collect_outcomes(struct attempt *a)
{
	const struct smtp_queue_entry *e = a->entry;
	int64_t now_ms = queue_wall_ms();
	bool any_silent = false;

	a->outcome_count = 0;
	a->is_done = true;
	for (size_t i = 0; i < e->recipient_count; i++) {
		const struct settlement *s = &a->settlements[i];
		enum smtp_recipient_state state = s->touched ? s->state : e->recipients[i].state;

		a->is_done = a->is_done && state != SMTP_RECIPIENT_QUEUED;
		any_silent = any_silent || (state == SMTP_RECIPIENT_BOUNCED &&
					    (s->touched ? s->silent :
					     settle_is_silent(e, e->recipients[i].last_reply)));
		if (!s->touched || e->recipients[i].state != SMTP_RECIPIENT_QUEUED)
			continue; /* not tried, or recorded early */
		a->outcomes[a->outcome_count++] = (struct smtp_spool_outcome){
			.recipient = i, .state = s->state, .time_ms = now_ms,
			.next_attempt_ms = s->state == SMTP_RECIPIENT_QUEUED ? s->next_ms : 0,
			.reply = outcome_reply(s->outcome), .host = s->outcome->host };
	}
	a->is_dead = a->is_done && any_silent;
}

#define ATTEMPT_OF(w) ((struct attempt *)(void *)((char *)(w)-offsetof(struct attempt, work)))

static int record_target(struct attempt *a, struct delivery *d)
{
	char text[SMTP_MAILBOX_TEXT_MAX + 1];
	int err;

	(void)smtp_mailbox_format(&d->mailbox, text, sizeof text);
	err = smtp_spool_record_target(a->queue->spool, a->item->id, d->recipient, text);
	d->recorded = err == 0;
	return err;
}

/* What an alias reached while the recipient that stands for it has to wait for the rest. */
static int record_targets(struct attempt *a)
{
	int err = 0;

	for (struct delivery *d = a->deliveries; d && err == 0; d = d->next) {
		const struct settlement *s = &a->settlements[d->recipient];

		if (d->depth > 0 && d->place != PLACE_ALIAS && !d->recorded &&
		    d->outcome.kind == OUTCOME_DELIVERED &&
		    (!s->touched || s->state == SMTP_RECIPIENT_QUEUED))
			err = record_target(a, d);
	}
	return err;
}

static int record(struct attempt *a)
{
	struct smtp_spool *spool = a->queue->spool;
	const char *id = a->item->id;
	int err = record_targets(a);

	if (err == 0 && a->outcome_count > 0)
		err = smtp_spool_record(spool, id, a->outcomes, a->outcome_count);
	if (err == 0 && a->note_delay)
		err = smtp_spool_record_delay_notice(spool, id, queue_wall_ms());
	if (err == 0 && a->is_dead)
		err = smtp_spool_bury(spool, id);
	else if (err == 0 && a->is_corrupt && !a->is_done)
		err = smtp_spool_set_aside(spool, id);
	return err;
}

/* A Maildir knows what it has, another host or the sender of a report does not: should the message come
 * back after a loss of power, they would get it twice. */
static bool leaves_no_trace(const struct attempt *a)
{
	for (const struct delivery *d = a->deliveries; d; d = d->next)
		if (d->place != PLACE_HERE && d->place != PLACE_ALIAS)
			return true;
	for (size_t i = 0; i < a->entry->recipient_count; i++)
		if (a->settlements[i].failed)
			return true;
	return false;
}

/* A message that is done is removed without a record: one step on the disk, not three. */
static void record_run(struct smtp_work *work)
{
	struct attempt *a = ATTEMPT_OF(work);

	a->error = SMTP_EIO;
	if (a->is_done && !a->is_dead)
		a->error = smtp_spool_remove(a->queue->spool, a->item->id,
					     leaves_no_trace(a));
	if (a->error == SMTP_ENOTFOUND)
		a->error = 0;
	if (a->error != 0)
		a->error = record(a);
}

static int64_t next_due_ms(const struct attempt *a)
{
	const struct smtp_queue_entry *e = a->entry;
	int64_t due = INT64_MAX;

	for (size_t i = 0; i < e->recipient_count; i++) {
		const struct settlement *s = &a->settlements[i];
		int64_t next = e->recipients[i].next_attempt_ms;

		if (e->recipients[i].state != SMTP_RECIPIENT_QUEUED ||
		    (s->touched && s->state != SMTP_RECIPIENT_QUEUED))
			continue;
		if (s->touched)
			next = s->next_ms;
		else if (s->outcome && a->crowded_ms != 0)
			next = a->crowded_ms;
		else if (s->outcome)
			next = queue_wall_ms() + a->queue->hiccup_ms; /* through no fault of the mail */
		due = next < due ? next : due;
	}
	return due < INT64_MAX ? due : queue_wall_ms() + a->queue->hiccup_ms;
}

static void record_done(struct smtp_work *work)
{
	struct attempt *a = ATTEMPT_OF(work);

	if (!attempt_returns(a))
		return;
	if (a->is_dead && a->error == SMTP_ENOTFOUND) { /* begun again after it was buried */
		a->error = 0;
		a->logged = true;
	}
	if (a->error != 0) {
		stick(a, a->error);
		return;
	}
	log_all(a);
	a->finished = a->is_done || a->is_corrupt;
	attempt_end(a, next_due_ms(a));
}

/* ---- reports, then records ---- */

static void settle_on(struct attempt *a);

/* A report that could not be written: the recipients stay in the queue, to fail again later. */
static void defer_failures(struct attempt *a)
{
	for (size_t i = 0; i < a->entry->recipient_count; i++)
		a->settlements[i].failed = false;
}

static void failures_reported(struct attempt *a, int error)
{
	a->failures_reported = true;
	if (error != 0)
		defer_failures(a);
	settle_on(a);
}

static void delay_reported(struct attempt *a, int error)
{
	a->delay_reported = true;
	a->note_delay = error == 0;
	settle_on(a);
}

static void count_kinds(const struct attempt *a, size_t *failed, size_t *deferred)
{
	*failed = 0;
	*deferred = 0;
	for (size_t i = 0; i < a->entry->recipient_count; i++) {
		const struct settlement *s = &a->settlements[i];

		*failed += s->failed && !s->silent;
		*deferred += s->touched && !s->failed && s->state == SMTP_RECIPIENT_QUEUED;
	}
}

/* The report is in the spool, or none is due: the failed recipients are done. */
static void close_failures(struct attempt *a)
{
	for (size_t i = 0; i < a->entry->recipient_count; i++)
		if (a->settlements[i].failed)
			a->settlements[i].state = SMTP_RECIPIENT_BOUNCED;
}

static void settle_on(struct attempt *a)
{
	size_t failed, deferred;

	count_kinds(a, &failed, &deferred);
	if (failed > 0 && !a->failures_reported) {
		if (report_begin(a, DSN_FAILED, failures_reported) == 0)
			return;
		failures_reported(a, SMTP_ENOMEM);
		return;
	}
	if (deferred > 0 && !a->delay_reported &&
	    retry_notice_is_due(a->queue->config, a->entry, queue_wall_ms())) {
		if (report_begin(a, DSN_DELAYED, delay_reported) == 0)
			return;
		delay_reported(a, SMTP_ENOMEM);
		return;
	}
	close_failures(a);
	collect_outcomes(a);
	a->work.run = record_run;
	a->work.done = record_done;
	attempt_submit(a, &a->work);
}

void attempt_settle(struct attempt *a)
{
	int err = settle_all(a);

	attempt_is_prepared(a);
	attempt_is_relayed(a);
	if (err != 0) {
		stick(a, err);
		return;
	}
	if (a->finished) { /* by local delivery, in one step */
		log_all(a);
		attempt_end(a, 0);
		return;
	}
	settle_on(a);
}

/* ---- what was delivered while other groups are under way ---- */

#define EARLY_ATTEMPT_OF(w) ((struct attempt *)(void *)((char *)(w)-offsetof(struct attempt, early_work)))

/* What can't be recorded now is at the end of the attempt. */
static void early_run(struct smtp_work *work)
{
	struct attempt *a = EARLY_ATTEMPT_OF(work);
	int err = 0;

	if (a->early_count > 0)
		err = smtp_spool_record(a->queue->spool, a->item->id, a->early_outcomes, a->early_count);
	if (err != 0)
		a->early_count = 0;
	for (struct delivery *d = a->deliveries; d && err == 0; d = d->next)
		if (d->early && d->depth > 0 && !d->recorded)
			err = record_target(a, d);
}

static void early_done(struct smtp_work *work)
{
	struct attempt *a = EARLY_ATTEMPT_OF(work);

	if (!attempt_returns(a))
		return;
	for (size_t i = 0; i < a->early_count; i++)
		a->entry->recipients[a->early_outcomes[i].recipient].state = SMTP_RECIPIENT_DELIVERED;
	a->early_busy = false;
	if (a->settle_waits)
		attempt_settle(a);
	else
		attempt_settle_early(a); /* what came while this was being written */
}

/* A recipient that is one delivery, and that one is done; or one target of an alias, when another host has
 * it: a Maildir would know it again. */
static bool is_early(const struct attempt *a, const struct delivery *d)
{
	return d->place != PLACE_ALIAS && (d->depth == 0 || d->place == PLACE_ELSEWHERE) &&
	       !(a->local_busy && d->place == PLACE_HERE) &&
	       d->outcome.kind == OUTCOME_DELIVERED && !d->early;
}

void attempt_settle_early(struct attempt *a)
{
	size_t count = 0;

	if (a->early_busy || a->local_only)
		return;
	for (const struct delivery *d = a->deliveries; d; d = d->next)
		count += is_early(a, d);
	if (count == 0)
		return;
	free(a->early_outcomes);
	a->early_outcomes = calloc(count, sizeof *a->early_outcomes);
	a->early_count = 0;
	if (!a->early_outcomes)
		return;
	for (struct delivery *d = a->deliveries; d; d = d->next) {
		if (!is_early(a, d))
			continue;
		d->early = true;
		if (d->depth > 0)
			continue;
		a->early_outcomes[a->early_count++] = (struct smtp_spool_outcome){
			.recipient = d->recipient, .state = SMTP_RECIPIENT_DELIVERED,
			.time_ms = queue_wall_ms(), .reply = outcome_reply(&d->outcome),
			.host = d->outcome.host };
	}
	a->early_busy = true;
	a->early_work = (struct smtp_work){ .run = early_run, .done = early_done };
	attempt_submit(a, &a->early_work);
}
