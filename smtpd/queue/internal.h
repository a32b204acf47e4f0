/* SPDX-License-Identifier: ISC */
/* internal.h - what the files of the queue share: the queue itself, one attempt of one message and the
 * deliveries it is made of. All of it belongs to the loop's thread; while a step of an attempt runs on
 * a worker, the loop leaves that attempt alone.
 */
#ifndef SMTPD_QUEUE_INTERNAL_H
#define SMTPD_QUEUE_INTERNAL_H

#include <stdatomic.h>

#include "smtpd/queue/outcome.h"
#include "smtpd/queue/queue.h"
#include "smtpd/queue/scheduler.h"

enum {
	QUEUE_PREPARING_MAX = 32,  /* attempts that load, look up, deliver here */
	QUEUE_ATTEMPTS_MAX = 2000, /* without those that wait for other hosts; relay.h bounds these */
	QUEUE_RESOLVE_MAX = 50,    /* questions of one attempt to the keeper at a time */
	QUEUE_HICCUP_MS = 5000,    /* to try again what failed through no fault of the mail */
	QUEUE_CLOCK_MS = 60000     /* longest sleep: the wall clock may be set */
};

struct attempt;
struct relay;
struct relay_transaction;

struct queue {
	struct smtp_loop *loop;
	struct smtp_workers *workers;
	struct smtp_spool *spool;
	struct keeper_client *keeper;
	const struct config *config;
	struct scheduler scheduler;
	struct smtp_timer *timer;       /* next item is due */
	struct attempt *stuck;          /* can't be recorded now: tried again by stuck_timer */
	struct smtp_timer *stuck_timer;
	struct smtp_timer *drain_timer;
	struct attempt *attempts;       /* under way */
	size_t attempt_count;
	size_t preparing_count;         /* of them: load, look up, deliver here */
	size_t relaying_count;          /* of them: wait for other hosts only */
	struct relay *relay;
	struct queue_listing *listing;  /* of the spool, at the start */
	uint32_t hiccup_ms;             /* QUEUE_HICCUP_MS, but in tests */
	atomic_size_t arrivals;         /* posted by queue_accepted(), not yet here */
	bool draining;
	bool closing;                   /* freed when the last work of its attempts is back */
	void (*drained)(void *user);
	void *drained_user;
};

/** Milliseconds since 1970. */
int64_t queue_wall_ms(void);
/** Adds a message to try at once; what is known already is no error. In the loop's thread. */
SMTP_MUST_USE int queue_add(struct queue *, const char *id);
/** Begins what is due and can begin; arms the timer. */
void queue_pump(struct queue *);
/** Has it as many attempts under way as it may? */
bool queue_is_full(const struct queue *);
/** When closing: frees the queue if nothing refers to it any more. */
void queue_release(struct queue *);

/** Of local.c, when Delivered-To names the mailbox already. */
extern const char local_loop_text[];

enum delivery_place { PLACE_UNKNOWN, PLACE_HERE, PLACE_ELSEWHERE, PLACE_ALIAS };

/** One address to reach for one recipient. A recipient has several when its address turned into an
 *  alias since the message came. */
struct delivery {
	struct delivery *next;
	struct attempt *attempt;
	size_t recipient;            /* index in the entry */
	unsigned depth;              /* aliases followed */
	enum delivery_place place;
	struct smtp_mailbox mailbox;
	char *maildir;               /* for PLACE_HERE */
	bool early;                  /* recorded, or tried to be, before the attempt as a whole is */
	bool recorded;               /* the target of an alias, on disk */
	struct outcome outcome;      /* NONE: not settled */
};

/** What an attempt means for one recipient. */
struct settlement {
	const struct outcome *outcome; /* the worst of its deliveries; NULL: not part of the attempt */
	enum smtp_recipient_state state;
	bool touched;                  /* to be recorded */
	bool failed;                   /* a report is due, and with it the recipient is done */
	bool silent;                   /* failed, and nobody is told: it is buried */
	bool expired;                  /* failed because time is over */
	int64_t next_ms;               /* when QUEUED */
};

struct attempt {
	struct queue *queue;
	struct queue_item *item;
	struct attempt *next, **link; /* in queue->attempts */
	struct attempt *next_stuck;
	struct smtp_work work;        /* one step at a time */
	struct smtp_work local_work;  /* local.c, beside relays */
	struct smtp_work early_work;  /* settle.c */
	unsigned busy;                /* pieces of work that are with workers */
	int error;                    /* of the last step */
	int local_error;              /* of reading the message in local.c */
	int local_removed;            /* 1: local.c delivered all and removed the message */
	int64_t begun_ms;
	bool preparing, relaying;     /* counted in queue->preparing_count, queue->relaying_count */
	bool sticks;                  /* it was logged that it can't be recorded */
	int64_t crowded_ms;           /* the line of a next hop was full: again then; 0: none was */
	bool keeper_failed;
	bool forced;                  /* all recipients, due or not */
	bool is_corrupt;              /* the content is not what was accepted: to corrupt/ with it */
	bool finished;                /* removed or buried: nothing is left of the message */
	bool local_only, local_busy;  /* no relay; local.c is at work */
	bool early_busy, settle_waits;
	bool failures_reported, delay_reported, logged;
	struct smtp_queue_entry *entry;
	struct delivery *deliveries, **deliveries_end, *unresolved;
	size_t delivery_count, resolving;
	size_t groups;                /* deliveries here, transactions of the relay */
	struct relay_transaction *transactions;
	struct settlement *settlements; /* one for each recipient of the entry */
	struct smtp_spool_outcome *outcomes, *early_outcomes;
	size_t outcome_count, early_count;
	bool note_delay, is_done, is_dead; /* what to record besides; is_dead: it goes to bounce/ */
	struct report *report;
	char hostname[SMTP_DOMAIN_MAX + 1];
};

/* attempt.c */
SMTP_MUST_USE int attempt_begin(struct queue *, struct queue_item *item);
/** Ends an attempt; its item waits until due_ms, or is forgotten when nothing is left of it. */
void attempt_end(struct attempt *, int64_t due_ms);
/** Without another look at its item: the queue goes away. */
void attempt_free(struct attempt *);
/** All work of an attempt goes to the workers by this, and every `done` begins with attempt_returns():
 *  false means that the queue is closing, the attempt gone, and there is nothing more to do. */
void attempt_submit(struct attempt *, struct smtp_work *work);
SMTP_MUST_USE bool attempt_returns(struct attempt *);
/** A group of deliveries (here, one transaction of the relay) has its outcomes. */
void attempt_group_done(struct attempt *);
/** All that is left to wait for are other hosts: it counts against neither bound of the queue. */
void attempt_is_prepared(struct attempt *);
/** The other hosts have answered, or were never asked. */
void attempt_is_relayed(struct attempt *);

/* local.c: all deliveries PLACE_HERE of the attempt. */
void local_begin(struct attempt *);
SMTP_MUST_USE int local_prepare(struct attempt *, struct delivery *, const char *account);

/* settle.c */
void attempt_settle(struct attempt *);
/** Records what was delivered while other groups are under way. */
void attempt_settle_early(struct attempt *);
/** Is nothing left to do for the message, all deliveries of the attempt being delivered? */
bool attempt_delivers_all(const struct attempt *);
/** Delivered before to the mailbox where it is to go, and from outside: nobody is told of it, for the
 *  sender of a made up loop is made up too. */
bool settle_is_silent(const struct smtp_queue_entry *, const char *reply);
void settle_stuck(void *queue);

#endif
