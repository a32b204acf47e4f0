/* SPDX-License-Identifier: ISC */
/* queue.h - mail going on: takes committed messages, decides next hops, delivers, retries, reports. All
 * of it runs on one loop of its own; disk work goes to the worker pool. Route and policy are worked out
 * at each attempt, never stored.
 */
#ifndef SMTPD_QUEUE_QUEUE_H
#define SMTPD_QUEUE_QUEUE_H

#include <smtp/spool.h>
#include "config/config.h"
#include "libsmtp/net/loop.h"
#include "libsmtp/net/workers.h"
#include "smtpd/keeper/client.h"

struct queue;

struct queue_options {
	struct smtp_loop *loop;
	struct smtp_workers *workers;
	struct smtp_spool *spool;
	struct keeper_client *keeper; /* of the same loop */
	const struct config *config;  /* must live until queue_set_config() or queue_free() */
};

SMTP_MUST_USE int queue_new(struct queue **out, const struct queue_options *options);
/** After the loop has ended, before it is freed; what workers still have of it goes with the loop. */
void queue_free(struct queue *);

/* In the loop's thread: */

/** Loads what is in the spool; deliveries begin. */
SMTP_MUST_USE int queue_start(struct queue *);
/** Begins no attempt any more; `done` is called when the last one under way has ended (or soon after
 *  `deadline_ms`). */
void queue_drain(struct queue *, uint32_t deadline_ms, void (*done)(void *user), void *user);
void queue_set_config(struct queue *, const struct config *config);

/** From any thread: a message was committed to the spool. If memory fails it is found at the next
 *  start, which is logged. */
void queue_accepted(struct queue *, const char *id);

/* Administration, in the loop's thread. SMTP_ENOTFOUND. */
/** `id` NULL: all. */
SMTP_MUST_USE int queue_retry(struct queue *, const char *id);
/** Removes dead letters too. SMTP_EBUSY while an attempt is under way. */
SMTP_MUST_USE int queue_remove(struct queue *, const char *id);

struct queue_counts {
	size_t messages, active, deferred;
};
struct queue_counts queue_count(const struct queue *);

#endif
