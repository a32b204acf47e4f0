/* SPDX-License-Identifier: ISC */
/* scheduler.h - which messages there are and which is due next: a heap by time and a table by queue id,
 * in memory only. It knows nothing of what an attempt is.
 */
#ifndef SMTPD_QUEUE_SCHEDULER_H
#define SMTPD_QUEUE_SCHEDULER_H

#include <smtp/spool.h>

struct queue_item {
	int64_t due_ms;          /* since 1970; equal ones go by id, that is by arrival */
	size_t place;            /* in the heap */
	struct queue_item *next; /* in its bucket */
	bool active;             /* taken: an attempt is under way, it is not in the heap */
	bool forced;             /* try all recipients, due or not */
	bool again;              /* asked for while active: due at once when put back */
	char id[SMTP_QUEUE_ID_MAX + 1];
};

struct scheduler {
	struct queue_item **heap;
	size_t waiting, cap; /* in the heap; there is always room for all items */
	struct queue_item **buckets;
	size_t bucket_count, item_count;
};

void scheduler_init(struct scheduler *);
void scheduler_release(struct scheduler *);
/** SMTP_EEXISTS, SMTP_ENOMEM, SMTP_EINVAL (no queue id). */
SMTP_MUST_USE int scheduler_add(struct scheduler *, const char *id, int64_t due_ms);
struct queue_item *scheduler_find(const struct scheduler *, const char *id);
/** Takes the first item that is due at now_ms, NULL if none. It is active until put back or removed. */
struct queue_item *scheduler_take(struct scheduler *, int64_t now_ms);
/** Never fails. */
void scheduler_put_back(struct scheduler *, struct queue_item *, int64_t due_ms);
/** Changes when a waiting item is due. */
void scheduler_move(struct scheduler *, struct queue_item *, int64_t due_ms);
/** Forgets the item and frees it. */
void scheduler_remove(struct scheduler *, struct queue_item *);
/** When the first waiting item is due; INT64_MAX: none waits. */
int64_t scheduler_next_ms(const struct scheduler *);
/** Calls `each` for every item; it may move, but not add or remove. */
void scheduler_each(struct scheduler *, void (*each)(struct queue_item *, void *user), void *user);

#endif
