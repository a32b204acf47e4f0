/* SPDX-License-Identifier: ISC */
/* scheduler.c - a binary heap of pointers and a hash table with chains. Both grow when an item is added,
 * so that nothing else here can fail.
 */
#include "smtpd/queue/scheduler.h"

#include <stdlib.h>
#include <string.h>

enum { SCHEDULER_FIRST_CAP = 64 };

void scheduler_init(struct scheduler *s)
{
	*s = (struct scheduler){ 0 };
}

void scheduler_release(struct scheduler *s)
{
	for (size_t i = 0; i < s->bucket_count; i++) {
		struct queue_item *item = s->buckets[i];

		while (item) {
			struct queue_item *next = item->next;

			free(item);
			item = next;
		}
	}
	free(s->buckets);
	free(s->heap);
	scheduler_init(s);
}

/* ---- heap ---- */

static bool is_before(const struct queue_item *a, const struct queue_item *b)
{
	if (a->due_ms != b->due_ms)
		return a->due_ms < b->due_ms;
	return strcmp(a->id, b->id) < 0;
}

static void place(struct scheduler *s, struct queue_item *item, size_t at)
{
	s->heap[at] = item;
	item->place = at;
}

static void sift_up(struct scheduler *s, struct queue_item *item, size_t at)
{
	while (at > 0 && is_before(item, s->heap[(at - 1) / 2])) {
		place(s, s->heap[(at - 1) / 2], at);
		at = (at - 1) / 2;
	}
	place(s, item, at);
}

static void sift_down(struct scheduler *s, struct queue_item *item, size_t at)
{
	for (size_t child = 2 * at + 1; child < s->waiting; child = 2 * at + 1) {
		if (child + 1 < s->waiting && is_before(s->heap[child + 1], s->heap[child]))
			child++;
		if (!is_before(s->heap[child], item))
			break;
		place(s, s->heap[child], at);
		at = child;
	}
	place(s, item, at);
}

static void heap_insert(struct scheduler *s, struct queue_item *item)
{
	s->waiting++;
	sift_up(s, item, s->waiting - 1);
}

static void heap_take(struct scheduler *s, struct queue_item *item)
{
	size_t at = item->place;
	struct queue_item *last = s->heap[--s->waiting];

	if (last == item)
		return;
	sift_up(s, last, at);
	sift_down(s, last, last->place);
}

static int heap_reserve(struct scheduler *s, size_t count)
{
	size_t cap = s->cap ? s->cap * 2 : SCHEDULER_FIRST_CAP;
	struct queue_item **heap;

	if (count <= s->cap)
		return 0;
	heap = realloc(s->heap, cap * sizeof *heap);
	if (!heap)
		return SMTP_ENOMEM;
	s->heap = heap;
	s->cap = cap;
	return 0;
}

/* ---- table ---- */

static size_t bucket_of(const char *id, size_t bucket_count)
{
	uint64_t h = 14695981039346656037u; /* FNV-1a */

	for (; *id; id++)
		h = (h ^ (uint8_t)*id) * 1099511628211u;
	return (size_t)(h ^ h >> 32) & (bucket_count - 1);
}

static void table_insert(struct scheduler *s, struct queue_item *item)
{
	size_t at = bucket_of(item->id, s->bucket_count);

	item->next = s->buckets[at];
	s->buckets[at] = item;
}

/* Without memory the table stays small and slow, which is no error unless there is none at all. */
static int table_grow(struct scheduler *s)
{
	size_t old_count = s->bucket_count;
	size_t count = old_count ? old_count * 2 : SCHEDULER_FIRST_CAP;
	struct queue_item **old = s->buckets, **buckets;

	if (s->item_count < old_count)
		return 0;
	buckets = calloc(count, sizeof *buckets);
	if (!buckets)
		return old_count > 0 ? 0 : SMTP_ENOMEM;
	s->buckets = buckets;
	s->bucket_count = count;
	for (size_t i = 0; i < old_count; i++) {
		for (struct queue_item *item = old[i], *next; item; item = next) {
			next = item->next;
			table_insert(s, item);
		}
	}
	free(old);
	return 0;
}

static void table_take(struct scheduler *s, struct queue_item *item)
{
	struct queue_item **at = &s->buckets[bucket_of(item->id, s->bucket_count)];

	while (*at != item)
		at = &(*at)->next;
	*at = item->next;
}

struct queue_item *scheduler_find(const struct scheduler *s, const char *id)
{
	struct queue_item *item = NULL;

	if (s->bucket_count > 0)
		item = s->buckets[bucket_of(id, s->bucket_count)];
	while (item && strcmp(item->id, id) != 0)
		item = item->next;
	return item;
}

/* ---- both ---- */

int scheduler_add(struct scheduler *s, const char *id, int64_t due_ms)
{
	struct queue_item *item;
	size_t n = strlen(id);

	if (n > SMTP_QUEUE_ID_MAX)
		return SMTP_EINVAL;
	if (scheduler_find(s, id))
		return SMTP_EEXISTS;
	if (heap_reserve(s, s->item_count + 1) != 0 || table_grow(s) != 0)
		return SMTP_ENOMEM;
	item = calloc(1, sizeof *item);
	if (!item)
		return SMTP_ENOMEM;
	memcpy(item->id, id, n + 1);
	item->due_ms = due_ms;
	s->item_count++;
	table_insert(s, item);
	heap_insert(s, item);
	return 0;
}

struct queue_item *scheduler_take(struct scheduler *s, int64_t now_ms)
{
	struct queue_item *item = s->waiting > 0 ? s->heap[0] : NULL;

	if (!item || item->due_ms > now_ms)
		return NULL;
	heap_take(s, item);
	item->active = true;
	return item;
}

void scheduler_put_back(struct scheduler *s, struct queue_item *item, int64_t due_ms)
{
	item->active = false;
	item->due_ms = due_ms;
	heap_insert(s, item);
}

void scheduler_move(struct scheduler *s, struct queue_item *item, int64_t due_ms)
{
	if (item->active)
		return;
	heap_take(s, item);
	scheduler_put_back(s, item, due_ms);
}

void scheduler_remove(struct scheduler *s, struct queue_item *item)
{
	if (!item->active)
		heap_take(s, item);
	table_take(s, item);
	s->item_count--;
	free(item);
}

int64_t scheduler_next_ms(const struct scheduler *s)
{
	return s->waiting > 0 ? s->heap[0]->due_ms : INT64_MAX;
}

void scheduler_each(struct scheduler *s, void (*each)(struct queue_item *, void *user), void *user)
{
	for (size_t i = 0; i < s->bucket_count; i++)
		for (struct queue_item *item = s->buckets[i]; item; item = item->next)
			each(item, user);
}
