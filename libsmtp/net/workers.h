/* SPDX-License-Identifier: ISC */
/* workers.h - a pool of threads for what blocks: disk writes, syncs, hashing. */
#ifndef SMTP_NET_WORKERS_H
#define SMTP_NET_WORKERS_H

#include "libsmtp/net/loop.h"

struct smtp_workers;

/** A piece of work, part of the caller's own object; in use until `done` was called. */
struct smtp_work {
	void (*run)(struct smtp_work *);  /* on a worker thread */
	void (*done)(struct smtp_work *); /* in the loop's thread */
	struct smtp_loop *loop;
	struct smtp_loop_call call; /* of the pool */
	struct smtp_work *next;     /* of the pool */
};

SMTP_MUST_USE int smtp_workers_new(struct smtp_workers **out, unsigned threads);
/** Waits for the work at hand, runs what is still queued, then ends the threads. Their `done` calls are
 *  posted: the loops must still exist (they need not run any more). */
void smtp_workers_free(struct smtp_workers *);
/** From any thread; never fails, takes no memory. First come, first served. */
void smtp_workers_submit(struct smtp_workers *, struct smtp_work *work);

#endif
