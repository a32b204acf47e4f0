/* SPDX-License-Identifier: ISC */
/* attempt.c - one attempt of one message: load it, ask the keeper about each recipient that is due,
 * hand the deliveries out in groups of one next hop. What comes of it is settled in settle.c.
 */
#include "smtpd/queue/internal.h"

#include <stdlib.h>
#include <string.h>

#include "libsmtp/core/span.h"
#include "smtpd/log.h"
#include "smtpd/queue/relay.h"
#include "smtpd/queue/report.h"

#define ATTEMPT_OF(w) ((struct attempt *)(void *)((char *)(w)-offsetof(struct attempt, work)))

enum { DUE_TOLERANCE_MS = 1000 }; /* recipients due within it go along */

/* ---- begin and end ---- */

static void load_run(struct smtp_work *work)
{
	struct attempt *a = ATTEMPT_OF(work);

	a->error = smtp_spool_load(a->queue->spool, a->item->id, &a->entry);
	if (a->error == SMTP_ECORRUPT && smtp_spool_set_aside(a->queue->spool, a->item->id) != 0)
		a->error = SMTP_EIO;
}

static void load_done(struct smtp_work *work);

void attempt_submit(struct attempt *a, struct smtp_work *work)
{
	a->busy++;
	work->loop = a->queue->loop;
	smtp_workers_submit(a->queue->workers, work);
}

bool attempt_returns(struct attempt *a)
{
	struct queue *q = a->queue;

	a->busy--;
	if (!q->closing)
		return true;
	if (a->busy == 0)
		attempt_free(a);
	queue_release(q);
	return false;
}

int attempt_begin(struct queue *q, struct queue_item *item)
{
	struct attempt *a = calloc(1, sizeof *a);

	if (!a)
		return SMTP_ENOMEM;
	a->queue = q;
	a->item = item;
	a->deliveries_end = &a->deliveries;
	a->begun_ms = queue_wall_ms();
	a->preparing = true;
	a->next = q->attempts;
	a->link = &q->attempts;
	if (a->next)
		a->next->link = &a->next;
	q->attempts = a;
	q->attempt_count++;
	q->preparing_count++;
	a->work = (struct smtp_work){ .run = load_run, .done = load_done };
	attempt_submit(a, &a->work);
	return 0;
}

static void free_deliveries(struct attempt *a)
{
	while (a->deliveries) {
		struct delivery *d = a->deliveries;

		a->deliveries = d->next;
		outcome_release(&d->outcome);
		free(d->maildir);
		free(d);
	}
}

void attempt_free(struct attempt *a)
{
	attempt_is_prepared(a);
	attempt_is_relayed(a);
	*a->link = a->next;
	if (a->next)
		a->next->link = a->link;
	a->queue->attempt_count--;
	while (a->transactions) {
		struct relay_transaction *txn = a->transactions;

		a->transactions = txn->sibling;
		relay_transaction_free(txn);
	}
	free_deliveries(a);
	report_free(a->report);
	free(a->settlements);
	free(a->outcomes);
	free(a->early_outcomes);
	smtp_queue_entry_free(a->entry);
	free(a);
}

void attempt_end(struct attempt *a, int64_t due_ms)
{
	struct queue *q = a->queue;
	struct queue_item *item = a->item;
	bool finished = a->finished;

	item->forced = item->forced || (a->forced && a->crowded_ms != 0);
	attempt_free(a);
	if (finished) {
		scheduler_remove(&q->scheduler, item);
	} else {
		scheduler_put_back(&q->scheduler, item, item->again ? queue_wall_ms() : due_ms);
		item->again = false;
	}
	queue_pump(q);
}

void attempt_is_prepared(struct attempt *a)
{
	struct queue *q = a->queue;

	if (!a->preparing)
		return;
	if (queue_is_full(q) && !q->closing) /* there is room for another, from the loop */
		smtp_timer_set(q->timer, smtp_loop_now_ms(q->loop));
	a->preparing = false;
	q->preparing_count--;
	a->relaying = true;
	q->relaying_count++;
}

void attempt_is_relayed(struct attempt *a)
{
	if (!a->relaying)
		return;
	a->relaying = false;
	a->queue->relaying_count--;
}

/* Nothing was tried, for reasons of our own: soon again, and nothing is recorded. */
static void attempt_postpone(struct attempt *a)
{
	if (!a->queue->draining)
		log_event(LOG_LEVEL_WARN, "queue.hold", LOG_STR("queue_id", a->item->id),
			  LOG_STR("reason", a->keeper_failed ? "the keeper does not answer" :
							       "out of memory"));
	attempt_end(a, queue_wall_ms() + a->queue->hiccup_ms);
}

/* ---- deliveries ---- */

static struct delivery *delivery_add(struct attempt *a, size_t recipient)
{
	struct delivery *d = calloc(1, sizeof *d);

	if (!d)
		return NULL;
	d->attempt = a;
	d->recipient = recipient;
	*a->deliveries_end = d;
	a->deliveries_end = &d->next;
	a->delivery_count++;
	if (!a->unresolved)
		a->unresolved = d;
	return d;
}

static void delivery_set_address(struct delivery *d, const char *address)
{
	bool is_ascii = true;

	if (smtp_mailbox_parse(&d->mailbox, smtp_span_of(address), 0) == 0)
		return;
	for (const char *p = address; *p; p++)
		if ((unsigned char)*p > 127)
			is_ascii = false;
	outcome_set(&d->outcome, OUTCOME_PERMANENT, NULL,
		    is_ascii ? "5.1.3 not an address" : "5.6.7 internationalised addresses can't be sent to");
}

/* Deliveries for what is due now. Returns false when memory fails. */
static bool make_deliveries(struct attempt *a)
{
	const struct smtp_queue_entry *e = a->entry;
	bool forced = a->item->forced;

	for (size_t i = 0; i < e->recipient_count; i++) {
		const struct smtp_queue_recipient *r = &e->recipients[i];
		struct delivery *d;

		if (r->state != SMTP_RECIPIENT_QUEUED)
			continue;
		if (!forced && r->next_attempt_ms > a->begun_ms + DUE_TOLERANCE_MS)
			continue;
		d = delivery_add(a, i);
		if (!d)
			return false;
		delivery_set_address(d, r->address);
	}
	return true;
}

/* ---- where to: the keeper knows ---- */

static void dispatch(struct attempt *a);
static void resolve_more(struct attempt *a);

static bool is_own_address(const struct delivery *d, const char *target)
{
	char text[SMTP_MAILBOX_TEXT_MAX + 1];

	(void)smtp_mailbox_format(&d->mailbox, text, sizeof text);
	return smtp_span_is_nocase(smtp_span_of(text), target);
}

static bool has_it(const struct attempt *a, const struct delivery *d)
{
	const char *targets = a->entry->recipients[d->recipient].targets;
	char text[SMTP_MAILBOX_TEXT_MAX + 1];
	size_t n = smtp_mailbox_format(&d->mailbox, text, sizeof text);

	for (const char *end; targets && (end = strchr(targets, '\n')) != NULL; targets = end + 1)
		if ((size_t)(end - targets) == n && memcmp(targets, text, n) == 0)
			return true;
	return false;
}

/* The address became an alias: the first target takes its place, the others are added; all are looked
 * up again. */
static void follow_alias(struct delivery *d, const struct keeper_resolve_answer *answer)
{
	struct attempt *a = d->attempt;

	if (d->depth >= SMTP_ALIAS_DEPTH_MAX || answer->target_count == 0) {
		outcome_set(&d->outcome, OUTCOME_TRANSIENT, NULL, "4.3.5 the alias leads nowhere");
		return;
	}
	for (size_t i = 0; i < answer->target_count; i++) {
		struct delivery *target = delivery_add(a, d->recipient);

		if (!target) {
			a->keeper_failed = true;
			return;
		}
		target->depth = d->depth + 1;
		delivery_set_address(target, answer->targets[i]);
		if (target->outcome.kind == OUTCOME_NONE && has_it(a, target)) {
			target->place = PLACE_ALIAS; /* nothing to do for it */
			outcome_set(&target->outcome, OUTCOME_DELIVERED, NULL, NULL);
		}
	}
	d->place = PLACE_ALIAS; /* the targets stand for it */
	outcome_set(&d->outcome, OUTCOME_DELIVERED, NULL, NULL);
}

static void place_here(struct delivery *d, const struct keeper_resolve_answer *answer)
{
	if (answer->target_count != 1 || !is_own_address(d, answer->targets[0])) {
		follow_alias(d, answer);
		return;
	}
	if (local_prepare(d->attempt, d, answer->targets[0]) == 0)
		d->place = PLACE_HERE;
}

static void on_resolved(void *user, const struct keeper_resolve_answer *answer)
{
	struct delivery *d = user;
	struct attempt *a = d->attempt;

	a->resolving--;
	if (answer->error != 0) {
		a->keeper_failed = true;
	} else if (answer->kind == SMTP_RESOLVE_FOREIGN) {
		d->place = PLACE_ELSEWHERE;
	} else if (answer->kind == SMTP_RESOLVE_UNKNOWN) {
		outcome_set(&d->outcome, OUTCOME_PERMANENT, NULL, "5.1.1 no such mailbox here");
	} else if (answer->kind == SMTP_RESOLVE_DISABLED) {
		outcome_set(&d->outcome, OUTCOME_PERMANENT, NULL, "5.2.1 the mailbox takes no mail now");
	} else {
		place_here(d, answer);
	}
	resolve_more(a);
}

static void resolve_more(struct attempt *a)
{
	while (a->unresolved && a->resolving < QUEUE_RESOLVE_MAX && !a->keeper_failed) {
		struct delivery *d = a->unresolved;

		if (d->outcome.kind == OUTCOME_NONE) {
			int err = keeper_resolve(a->queue->keeper, &d->mailbox, on_resolved, d);

			if (err != 0 && a->resolving > 0)
				return; /* it is busy, with us: go on at the next answer */
			a->keeper_failed = err != 0;
			a->resolving += err == 0;
		}
		a->unresolved = d->next;
	}
	if (a->resolving > 0)
		return;
	if (a->keeper_failed || a->queue->draining)
		attempt_postpone(a);
	else
		dispatch(a);
}

/* ---- groups ---- */

struct sorted {
	struct delivery *delivery;
	const char *rule;
};

static int compare_text(const char *a, const char *b)
{
	while (*a && smtp_ascii_lower((uint8_t)*a) == smtp_ascii_lower((uint8_t)*b))
		a++, b++;
	return (int)smtp_ascii_lower((uint8_t)*a) - (int)smtp_ascii_lower((uint8_t)*b);
}

static int compare_next_hops(const void *left, const void *right)
{
	const struct sorted *a = left, *b = right;
	int order = strcmp(a->rule, b->rule);

	if (order != 0 || strcmp(a->rule, "mx") != 0)
		return order;
	return compare_text(a->delivery->mailbox.domain, b->delivery->mailbox.domain);
}

static void fail_group(const struct sorted *rows, size_t count, const char *why)
{
	for (size_t i = 0; i < count; i++)
		outcome_set(&rows[i].delivery->outcome, OUTCOME_TRANSIENT, NULL, why);
}

/* Rows of one next hop, at most RELAY_RECIPIENTS_MAX, become one transaction. */
static void submit_group(struct attempt *a, const struct sorted *rows, size_t count)
{
	struct delivery *deliveries[RELAY_RECIPIENTS_MAX];
	struct relay_transaction *txn;
	struct route route;

	if (route_parse(&route, rows[0].rule, rows[0].delivery->mailbox.domain) != 0) {
		fail_group(rows, count, "4.3.5 the configured route can't be used");
		return;
	}
	for (size_t i = 0; i < count; i++)
		deliveries[i] = rows[i].delivery;
	txn = relay_transaction_new(a, deliveries, count);
	if (!txn)
		return; /* without outcome: soon again */
	txn->sibling = a->transactions;
	a->transactions = txn;
	a->groups++;
	relay_submit(a->queue->relay, txn, &route);
}

static void relay_groups(struct attempt *a, size_t count)
{
	struct sorted *rows = calloc(count, sizeof *rows);
	size_t n = 0, from = 0;

	if (!rows)
		return;
	for (struct delivery *d = a->deliveries; d; d = d->next)
		if (d->place == PLACE_ELSEWHERE)
			rows[n++] = (struct sorted){ d, route_rule(a->queue->config, d->mailbox.domain) };
	qsort(rows, n, sizeof *rows, compare_next_hops);
	for (size_t i = 1; i <= n; i++) {
		if (i < n && i - from < RELAY_RECIPIENTS_MAX &&
		    compare_next_hops(&rows[from], &rows[i]) == 0)
			continue;
		submit_group(a, rows + from, i - from);
		from = i;
	}
	free(rows);
}

static void dispatch(struct attempt *a)
{
	size_t here = 0, elsewhere = 0;

	for (const struct delivery *d = a->deliveries; d; d = d->next) {
		here += d->place == PLACE_HERE;
		elsewhere += d->place == PLACE_ELSEWHERE;
	}
	a->groups = 1; /* until all are handed out */
	a->local_only = elsewhere == 0;
	if (here > 0) {
		a->groups++;
		local_begin(a);
	} else {
		attempt_is_prepared(a);
	}
	if (elsewhere > 0)
		relay_groups(a, elsewhere);
	attempt_group_done(a);
}

void attempt_group_done(struct attempt *a)
{
	if (--a->groups > 0)
		attempt_settle_early(a);
	else if (a->early_busy)
		a->settle_waits = true;
	else
		attempt_settle(a);
}

/* ---- the entry is there ---- */

static int64_t next_due_ms(const struct smtp_queue_entry *e)
{
	int64_t due = INT64_MAX;

	for (size_t i = 0; i < e->recipient_count; i++)
		if (e->recipients[i].state == SMTP_RECIPIENT_QUEUED && e->recipients[i].next_attempt_ms < due)
			due = e->recipients[i].next_attempt_ms;
	return due;
}

static void load_failed(struct attempt *a)
{
	const char *id = a->item->id;

	if (a->error == SMTP_ENOTFOUND) { /* delivered while the spool was being listed */
		a->finished = true;
		attempt_end(a, 0);
		return;
	}
	log_event(LOG_LEVEL_ERROR, "queue.hold", LOG_STR("queue_id", id),
		  LOG_STR("reason", a->error == SMTP_ECORRUPT ? "the file is damaged: moved to corrupt/" :
								smtp_error_str(a->error)));
	if (a->error == SMTP_ECORRUPT)
		a->finished = true;
	attempt_end(a, queue_wall_ms() + QUEUE_CLOCK_MS);
}

static void load_done(struct smtp_work *work)
{
	struct attempt *a = ATTEMPT_OF(work);
	int64_t due;

	if (!attempt_returns(a))
		return;
	if (a->error != 0) {
		load_failed(a);
		return;
	}
	if (a->queue->draining || !make_deliveries(a)) {
		attempt_postpone(a);
		return;
	}
	a->forced = a->item->forced;
	a->item->forced = false;
	due = next_due_ms(a->entry);
	if (a->delivery_count == 0 && due < INT64_MAX)
		attempt_end(a, due); /* the spool was read at the start: nothing is due yet */
	else if (a->delivery_count == 0)
		attempt_settle(a); /* all done, only the removal was missed */
	else
		resolve_more(a);
}
