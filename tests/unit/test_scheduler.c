/* SPDX-License-Identifier: ISC */
/* The queue in memory: what is due comes in order, what is taken comes back, ids are found. */
#include "smtpd/queue/scheduler.h"
#include "tests/unit/testing.h"

#include <stdio.h>

static const char *name_of(unsigned n)
{
	static char id[SMTP_QUEUE_ID_MAX + 1];

	(void)snprintf(id, sizeof id, "Q%06u", n);
	return id;
}

START_TEST(due_items_come_by_time_then_id)
{
	static const struct { const char *id; int64_t due; } in[] = {
		{ "C", 20 }, { "A", 30 }, { "D", 10 }, { "B", 20 }, { "E", 40 },
	};
	static const char *const want[] = { "D", "B", "C", "A" };
	struct scheduler s;

	scheduler_init(&s);
	for (size_t i = 0; i < sizeof in / sizeof *in; i++)
		ck_assert_int_eq(scheduler_add(&s, in[i].id, in[i].due), 0);
	ck_assert_int_eq(scheduler_next_ms(&s), 10);
	for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
		struct queue_item *item = scheduler_take(&s, 30);

		ck_assert_ptr_nonnull(item);
		ck_assert_str_eq(item->id, want[i]);
		ck_assert(item->active);
	}
	ck_assert_ptr_null(scheduler_take(&s, 39));
	ck_assert_int_eq(scheduler_next_ms(&s), 40);
	scheduler_release(&s);
}
END_TEST

START_TEST(ids_are_kept_once)
{
	struct scheduler s;

	scheduler_init(&s);
	ck_assert_ptr_null(scheduler_find(&s, "A"));
	ck_assert_int_eq(scheduler_add(&s, "A", 1), 0);
	ck_assert_int_eq(scheduler_add(&s, "A", 2), SMTP_EEXISTS);
	ck_assert_int_eq(scheduler_add(&s, "A234567890123456789012345", 2), SMTP_EINVAL);
	ck_assert_uint_eq(s.item_count, 1);
	ck_assert_ptr_eq(scheduler_find(&s, "A"), scheduler_take(&s, 1));
	ck_assert_int_eq(scheduler_add(&s, "A", 2), SMTP_EEXISTS); /* also while active */
	scheduler_release(&s);
}
END_TEST

START_TEST(taken_items_come_back_or_go)
{
	struct queue_item *a, *b;
	struct scheduler s;

	scheduler_init(&s);
	ck_assert_int_eq(scheduler_add(&s, "A", 1), 0);
	ck_assert_int_eq(scheduler_add(&s, "B", 2), 0);
	a = scheduler_take(&s, 5);
	b = scheduler_take(&s, 5);
	ck_assert_int_eq(scheduler_next_ms(&s), INT64_MAX);
	scheduler_move(&s, a, 0); /* active: no effect */
	ck_assert_int_eq(scheduler_next_ms(&s), INT64_MAX);
	scheduler_put_back(&s, a, 100);
	scheduler_remove(&s, b);
	ck_assert_ptr_null(scheduler_find(&s, "B"));
	ck_assert(!a->active);
	ck_assert_int_eq(scheduler_next_ms(&s), 100);
	scheduler_move(&s, a, 50);
	ck_assert_int_eq(scheduler_next_ms(&s), 50);
	scheduler_remove(&s, a);
	ck_assert_uint_eq(s.item_count, 0);
	ck_assert_uint_eq(s.waiting, 0);
	scheduler_release(&s);
}
END_TEST

/* Many items, added, moved and removed in a scrambled order, against the plain truth. */
START_TEST(heap_and_table_hold_under_load)
{
	enum { N = 5000 };
	static int64_t due[N]; /* -1: removed */
	struct scheduler s;
	int64_t last = -1;
	uint32_t random = 12345;
	size_t left = 0;

	scheduler_init(&s);
	for (unsigned i = 0; i < N; i++) {
		random = random * 1664525u + 1013904223u;
		due[i] = random >> 20;
		ck_assert_int_eq(scheduler_add(&s, name_of(i), due[i]), 0);
	}
	for (unsigned i = 0; i < N; i++) {
		struct queue_item *item = scheduler_find(&s, name_of(i));

		random = random * 1664525u + 1013904223u;
		ck_assert_ptr_nonnull(item);
		if (random % 3 == 0) {
			scheduler_remove(&s, item);
			due[i] = -1;
			continue;
		}
		due[i] = random % 3 == 1 ? (int64_t)(random >> 20) : due[i];
		scheduler_move(&s, item, due[i]);
	}
	for (unsigned i = 0; i < N; i++) {
		left += due[i] >= 0;
		ck_assert(!scheduler_find(&s, name_of(i)) == (due[i] < 0));
	}
	ck_assert_uint_eq(s.item_count, left);
	for (struct queue_item *item; (item = scheduler_take(&s, INT64_MAX - 1)) != NULL; left--) {
		ck_assert_int_ge(item->due_ms, last);
		last = item->due_ms;
		ck_assert_int_eq(item->due_ms, due[strtoul(item->id + 1, NULL, 10)]);
	}
	ck_assert_uint_eq(left, 0);
	scheduler_release(&s);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("scheduler");
	TCase *tc = tcase_create("scheduler");

	tcase_add_test(tc, due_items_come_by_time_then_id);
	tcase_add_test(tc, ids_are_kept_once);
	tcase_add_test(tc, taken_items_come_back_or_go);
	tcase_add_test(tc, heap_and_table_hold_under_load);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
