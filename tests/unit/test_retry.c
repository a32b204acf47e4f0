/* SPDX-License-Identifier: ISC */
/* The retry schedule: intervals in order, the last repeated, the last attempt at the end of lifetime. */
#include "smtpd/queue/retry.h"
#include "tests/unit/testing.h"

enum { MINUTE = 60000 };
#define ARRIVAL INT64_C(1000000)

static struct config config = {
	.queue_retry_ms = { 5 * MINUTE, 15 * MINUTE, 60 * MINUTE }, .queue_retry_count = 3,
	.queue_lifetime_ms = 300 * MINUTE, .queue_delay_notice_ms = 100 * MINUTE };

static const struct { const char *name; unsigned attempts; int64_t age, next_age; } schedule[] = {
	{ "first failure", 1, 0, 5 * MINUTE },
	{ "second", 2, 5 * MINUTE, 20 * MINUTE },
	{ "third", 3, 20 * MINUTE, 80 * MINUTE },
	{ "last interval again", 9, 80 * MINUTE, 140 * MINUTE },
	{ "not past the lifetime", 9, 250 * MINUTE, 300 * MINUTE },
	{ "forced after the lifetime", 9, 310 * MINUTE, 370 * MINUTE },
	{ "none counted", 0, 0, 5 * MINUTE },
	{ "clock set back", 1, -50 * MINUTE, -45 * MINUTE },
};

START_TEST(next_attempt)
{
	int64_t got = retry_next_ms(&config, schedule[_i].attempts, ARRIVAL + schedule[_i].age, ARRIVAL);

	ck_assert_msg(got == ARRIVAL + schedule[_i].next_age, "%s: %lld", schedule[_i].name,
		      (long long)(got - ARRIVAL));
}
END_TEST

START_TEST(no_schedule_and_huge_spans)
{
	struct config none = { .queue_lifetime_ms = UINT64_MAX };

	ck_assert_int_eq(retry_next_ms(&none, 1, ARRIVAL, ARRIVAL), ARRIVAL + 15 * MINUTE);
	ck_assert(!retry_is_over(&none, ARRIVAL + 1, ARRIVAL));
}
END_TEST

START_TEST(lifetime)
{
	ck_assert(!retry_is_over(&config, ARRIVAL + 300 * MINUTE - 1, ARRIVAL));
	ck_assert(retry_is_over(&config, ARRIVAL + 300 * MINUTE, ARRIVAL));
	ck_assert_int_eq(retry_until_ms(&config, ARRIVAL), ARRIVAL + 300 * MINUTE);
}
END_TEST

static char sender[] = "a@example.org", null_sender[] = "";
static const struct { const char *name; char *from; bool sent; int64_t age; uint64_t after; bool want; }
notices[] = {
	{ "too early", sender, false, 99 * MINUTE, 100 * MINUTE, false },
	{ "due", sender, false, 100 * MINUTE, 100 * MINUTE, true },
	{ "only once", sender, true, 200 * MINUTE, 100 * MINUTE, false },
	{ "none for reports", null_sender, false, 200 * MINUTE, 100 * MINUTE, false },
	{ "switched off", sender, false, 200 * MINUTE, 0, false },
};

START_TEST(delay_notice)
{
	struct smtp_queue_entry entry = { .reverse_path = notices[_i].from, .arrival_ms = ARRIVAL,
					  .delay_notice_sent = notices[_i].sent };
	struct config c = config;

	c.queue_delay_notice_ms = notices[_i].after;
	ck_assert_msg(retry_notice_is_due(&c, &entry, ARRIVAL + notices[_i].age) == notices[_i].want, "%s",
		      notices[_i].name);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("retry");
	TCase *tc = tcase_create("retry");

	tcase_add_loop_test(tc, next_attempt, 0, ROWS(schedule));
	tcase_add_test(tc, no_schedule_and_huge_spans);
	tcase_add_test(tc, lifetime);
	tcase_add_loop_test(tc, delay_notice, 0, ROWS(notices));
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
