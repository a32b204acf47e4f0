/* SPDX-License-Identifier: ISC */
/* queue.c - the queue as a whole: start, new messages, what is due, administration, drain. What happens
 * to one message is in attempt.c, when it happens again in retry.c.
 */
#include "smtpd/queue/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "smtpd/log.h"
#include "smtpd/queue/relay.h"

int64_t queue_wall_ms(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_REALTIME, &now) != 0)
		return 0;
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- what is due ---- */

bool queue_is_full(const struct queue *q)
{
	return q->preparing_count >= QUEUE_PREPARING_MAX ||
	       q->attempt_count - q->relaying_count >= QUEUE_ATTEMPTS_MAX;
}

static void arm(struct queue *q, int64_t now_ms)
{
	int64_t next = scheduler_next_ms(&q->scheduler);
	int64_t wait = next > now_ms ? next - now_ms : 0;

	if (next == INT64_MAX || q->draining || queue_is_full(q)) {
		smtp_timer_set(q->timer, UINT64_MAX);
		return;
	}
	if (wait > QUEUE_CLOCK_MS)
		wait = QUEUE_CLOCK_MS;
	smtp_timer_set(q->timer, smtp_loop_now_ms(q->loop) + (uint64_t)wait);
}

void queue_pump(struct queue *q)
{
	int64_t now_ms = queue_wall_ms();
	struct queue_item *item;

	while (!q->draining && !queue_is_full(q)) {
		item = scheduler_take(&q->scheduler, now_ms);
		if (!item)
			break;
		if (attempt_begin(q, item) != 0) {
			scheduler_put_back(&q->scheduler, item, now_ms + q->hiccup_ms);
			break;
		}
	}
	if (q->draining && q->attempt_count == 0 && q->drained) {
		void (*drained)(void *user) = q->drained;

		q->drained = NULL;
		smtp_timer_set(q->drain_timer, UINT64_MAX);
		drained(q->drained_user);
		return;
	}
	arm(q, now_ms);
}

static void on_timer(void *user)
{
	queue_pump(user);
}

/* ---- messages come in ---- */

int queue_add(struct queue *q, const char *id)
{
	int err = scheduler_add(&q->scheduler, id, queue_wall_ms());

	return err == SMTP_EEXISTS ? 0 : err;
}

struct arrival {
	struct smtp_loop_call call;
	struct queue *queue;
	char id[SMTP_QUEUE_ID_MAX + 1];
};

static void tell_forgotten(const char *id)
{
	log_event(LOG_LEVEL_WARN, "queue.hold", LOG_STR("queue_id", id),
		  LOG_STR("reason", "out of memory; it is found again at the next start"));
}

static void on_arrival(struct smtp_loop_call *call)
{
	struct arrival *arrival = (struct arrival *)(void *)((char *)call - offsetof(struct arrival, call));
	struct queue *q = arrival->queue;

	(void)atomic_fetch_sub(&q->arrivals, 1);
	if (q->closing) {
		free(arrival);
		queue_release(q);
		return;
	}
	if (queue_add(q, arrival->id) != 0)
		tell_forgotten(arrival->id);
	free(arrival);
	queue_pump(q);
}

void queue_accepted(struct queue *q, const char *id)
{
	struct arrival *arrival;
	size_t n = strlen(id);

	if (n > SMTP_QUEUE_ID_MAX)
		return;
	arrival = calloc(1, sizeof *arrival);
	if (!arrival) {
		tell_forgotten(id);
		return;
	}
	memcpy(arrival->id, id, n);
	arrival->queue = q;
	arrival->call.fn = on_arrival;
	(void)atomic_fetch_add(&q->arrivals, 1);
	smtp_loop_post(q->loop, &arrival->call);
}

/* ---- start: the spool is listed on a worker ---- */

struct queue_listing {
	struct smtp_work work;
	struct queue *queue;
	struct smtp_timer *timer;
	bool busy;
	int error;
	char (*ids)[SMTP_QUEUE_ID_MAX + 1];
	size_t count, cap;
};

static int list_one(const char *id, void *user)
{
	struct queue_listing *l = user;
	size_t cap = l->cap ? 2 * l->cap : 1024;
	size_t n = strlen(id);

	if (n > SMTP_QUEUE_ID_MAX)
		return 0;
	if (l->count == l->cap) {
		void *ids = realloc(l->ids, cap * sizeof *l->ids);

		if (!ids)
			return SMTP_ENOMEM;
		l->ids = ids;
		l->cap = cap;
	}
	memcpy(l->ids[l->count++], id, n + 1);
	return 0;
}

static void list_run(struct smtp_work *work)
{
	struct queue_listing *l = (struct queue_listing *)(void *)work;

	l->count = 0;
	l->error = smtp_spool_list(l->queue->spool, list_one, l);
}

static void listing_free(struct queue_listing *l)
{
	if (!l)
		return;
	smtp_timer_free(l->timer);
	free(l->ids);
	free(l);
}

/* What could not be listed or kept is listed again a little later; the rest begins. */
static void list_done(struct smtp_work *work)
{
	struct queue_listing *l = (struct queue_listing *)(void *)work;
	struct queue *q = l->queue;
	int err = l->error;

	l->busy = false;
	if (q->closing) {
		queue_release(q);
		return;
	}
	for (size_t i = 0; i < l->count; i++)
		if (queue_add(q, l->ids[i]) != 0)
			err = SMTP_ENOMEM;
	if (err == 0) {
		q->listing = NULL;
		listing_free(l);
	} else {
		log_event(LOG_LEVEL_ERROR, "queue.hold", LOG_STR("reason", smtp_error_str(err)));
		smtp_timer_set(l->timer, smtp_loop_now_ms(q->loop) + q->hiccup_ms);
	}
	queue_pump(q);
}

static void list_again(void *user)
{
	struct queue_listing *l = user;

	l->busy = true;
	smtp_workers_submit(l->queue->workers, &l->work);
}

int queue_start(struct queue *q)
{
	struct queue_listing *l;
	int err;

	if (q->listing)
		return SMTP_ESTATE;
	l = calloc(1, sizeof *l);
	if (!l)
		return SMTP_ENOMEM;
	l->queue = q;
	l->work = (struct smtp_work){ .run = list_run, .done = list_done, .loop = q->loop };
	err = smtp_timer_new(&l->timer, q->loop, list_again, l);
	if (err != 0) {
		free(l);
		return err;
	}
	q->listing = l;
	list_again(l);
	return 0;
}

/* ---- life of the queue ---- */

static void on_drain_deadline(void *user)
{
	struct queue *q = user;
	void (*drained)(void *user) = q->drained;

	q->drained = NULL;
	if (drained)
		drained(q->drained_user);
}

int queue_new(struct queue **out, const struct queue_options *options)
{
	struct queue *q = calloc(1, sizeof *q);
	int err;

	if (!q)
		return SMTP_ENOMEM;
	q->loop = options->loop;
	q->workers = options->workers;
	q->spool = options->spool;
	q->keeper = options->keeper;
	q->config = options->config;
	q->hiccup_ms = QUEUE_HICCUP_MS;
	scheduler_init(&q->scheduler);
	err = smtp_timer_new(&q->timer, q->loop, on_timer, q);
	if (err == 0)
		err = smtp_timer_new(&q->drain_timer, q->loop, on_drain_deadline, q);
	if (err == 0)
		err = smtp_timer_new(&q->stuck_timer, q->loop, settle_stuck, q);
	if (err == 0)
		err = relay_new(&q->relay, q);
	if (err != 0) {
		queue_free(q);
		return err;
	}
	*out = q;
	return 0;
}

/* What workers still have comes back by the loop, at the latest when that is freed. */
void queue_release(struct queue *q)
{
	if (q->attempts || atomic_load(&q->arrivals) > 0 || (q->listing && q->listing->busy))
		return;
	if (q->listing)
		free(q->listing->ids);
	free(q->listing);
	scheduler_release(&q->scheduler);
	free(q);
}

void queue_free(struct queue *q)
{
	struct attempt *next;

	if (!q)
		return;
	q->closing = true;
	relay_free(q->relay);
	q->relay = NULL;
	for (struct attempt *a = q->attempts; a; a = next) {
		next = a->next;
		if (a->busy == 0)
			attempt_free(a);
	}
	if (q->listing) {
		smtp_timer_free(q->listing->timer);
		q->listing->timer = NULL;
	}
	smtp_timer_free(q->timer);
	smtp_timer_free(q->drain_timer);
	smtp_timer_free(q->stuck_timer);
	queue_release(q);
}

void queue_drain(struct queue *q, uint32_t deadline_ms, void (*done)(void *user), void *user)
{
	q->draining = true;
	relay_drain(q->relay);
	q->drained = done; /* from the loop, not from within this call */
	q->drained_user = user;
	smtp_timer_set(q->timer, UINT64_MAX);
	smtp_timer_set(q->drain_timer,
		       smtp_loop_now_ms(q->loop) + (q->attempt_count > 0 ? deadline_ms : 0));
}

void queue_set_config(struct queue *q, const struct config *config)
{
	q->config = config;
	relay_set_config(q->relay);
}

/* ---- administration ---- */

static void retry_item(struct queue_item *item, void *user)
{
	struct queue *q = user;

	item->forced = true;
	if (item->active)
		item->again = true;
	else
		scheduler_move(&q->scheduler, item, queue_wall_ms());
}

int queue_retry(struct queue *q, const char *id)
{
	struct queue_item *item;

	if (!id) {
		scheduler_each(&q->scheduler, retry_item, q);
	} else {
		item = scheduler_find(&q->scheduler, id);
		if (!item)
			return SMTP_ENOTFOUND;
		retry_item(item, q);
	}
	queue_pump(q);
	return 0;
}

/* Unlinks right here in the loop: the operator wants to know how it went, and it is rare. */
static int remove_item(struct queue *q, struct queue_item *item)
{
	int err;

	if (item->active)
		return SMTP_EBUSY;
	err = smtp_spool_remove(q->spool, item->id, true);
	if (err != 0 && err != SMTP_ENOTFOUND)
		return err;
	scheduler_remove(&q->scheduler, item);
	return 0;
}

static int is_id(const char *id, void *wanted)
{
	return strcmp(id, wanted) == 0;
}

/* Only what lies in bounce/: another unknown id may be a message that just comes in. */
static int remove_dead(struct queue *q, const char *id)
{
	char wanted[SMTP_QUEUE_ID_MAX + 1];
	int found;

	(void)snprintf(wanted, sizeof wanted, "%s", id);
	found = smtp_spool_list_dead(q->spool, is_id, wanted);
	if (found < 0)
		return found;
	return found ? smtp_spool_remove(q->spool, id, true) : SMTP_ENOTFOUND;
}

int queue_remove(struct queue *q, const char *id)
{
	struct queue_item *item = scheduler_find(&q->scheduler, id);

	return item ? remove_item(q, item) : remove_dead(q, id);
}

struct queue_counts queue_count(const struct queue *q)
{
	struct queue_counts counts = { .messages = q->scheduler.item_count,
				       .active = q->attempt_count };
	int64_t now_ms = queue_wall_ms();

	for (size_t i = 0; i < q->scheduler.waiting; i++)
		if (q->scheduler.heap[i]->due_ms > now_ms)
			counts.deferred++;
	return counts;
}
