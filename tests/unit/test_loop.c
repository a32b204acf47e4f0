/* SPDX-License-Identifier: ISC */
/* The loop: calls from other threads in order and without loss, timers that are pushed back,
 * readiness, stopping.
 */
#include "tests/unit/testing.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include "libsmtp/net/loop.h"

static struct smtp_loop *loop;

static void set_up(void)
{
	ck_assert_int_eq(smtp_loop_new(&loop), 0);
}

static void tear_down(void)
{
	smtp_loop_free(loop);
	loop = NULL;
}

/* --- calls ----------------------------------------------------------------------------------- */

enum { PRODUCERS = 4, CALLS = 5000 };

struct counted_call {
	struct smtp_loop_call call;
	int producer;
	int number;
};

static struct counted_call calls[PRODUCERS][CALLS];
static int next_number[PRODUCERS];
static int calls_seen;

static void count_call(struct smtp_loop_call *call)
{
	struct counted_call *counted = (struct counted_call *)(void *)call;

	ck_assert_int_eq(counted->number, next_number[counted->producer]);
	next_number[counted->producer]++;
	if (++calls_seen == PRODUCERS * CALLS)
		smtp_loop_stop(loop);
}

static void *produce(void *user)
{
	int producer = *(int *)user;

	for (int i = 0; i < CALLS; i++) {
		calls[producer][i] = (struct counted_call){
			.call.fn = count_call, .producer = producer, .number = i
		};
		smtp_loop_post(loop, &calls[producer][i].call);
	}
	return NULL;
}

START_TEST(calls_of_each_thread_run_in_order)
{
	pthread_t threads[PRODUCERS];
	int numbers[PRODUCERS];

	for (int i = 0; i < PRODUCERS; i++) {
		numbers[i] = i;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, produce, &numbers[i]), 0);
	}
	ck_assert_int_eq(smtp_loop_run(loop), 0);
	for (int i = 0; i < PRODUCERS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_int_eq(calls_seen, PRODUCERS * CALLS);
}
END_TEST

struct chain {
	struct smtp_loop_call call;
	int left;
};

static void post_again(struct smtp_loop_call *call)
{
	struct chain *chain = (struct chain *)(void *)call;

	if (--chain->left == 0)
		smtp_loop_stop(loop);
	else
		smtp_loop_post(loop, call);
}

START_TEST(call_posts_itself_again)
{
	struct chain chain = { .call.fn = post_again, .left = 1000 };

	smtp_loop_post(loop, &chain.call);
	ck_assert_int_eq(smtp_loop_run(loop), 0);
	ck_assert_int_eq(chain.left, 0);
}
END_TEST

static void free_call(struct smtp_loop_call *call)
{
	calls_seen++;
	free(call);
}

START_TEST(calls_left_over_run_when_the_loop_is_freed)
{
	for (int i = 0; i < 3; i++) {
		struct smtp_loop_call *call = calloc(1, sizeof *call);

		ck_assert_ptr_nonnull(call);
		call->fn = free_call;
		smtp_loop_post(loop, call);
	}
	smtp_loop_free(loop);
	loop = NULL;
	ck_assert_int_eq(calls_seen, 3);
}
END_TEST

static void *stop_it(void *user)
{
	(void)user;
	smtp_loop_stop(loop);
	return NULL;
}

START_TEST(stop_from_another_thread)
{
	for (int i = 0; i < 50; i++) {
		pthread_t thread;

		ck_assert_int_eq(pthread_create(&thread, NULL, stop_it, NULL), 0);
		ck_assert_int_eq(smtp_loop_run(loop), 0);
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
	}
}
END_TEST

START_TEST(stop_before_run)
{
	smtp_loop_stop(loop);
	ck_assert_int_eq(smtp_loop_run(loop), 0);
}
END_TEST

/* --- timers ---------------------------------------------------------------------------------- */

static int fired;

static void on_fire(void *user)
{
	fired++;
	if (user)
		*(uint64_t *)user = smtp_loop_now_ms(loop);
	smtp_loop_stop(loop);
}

START_TEST(timer_is_pushed_back)
{
	uint64_t begin = smtp_loop_now_ms(loop);
	uint64_t fired_at = 0;
	struct smtp_timer *timer;

	ck_assert_int_eq(smtp_timer_new(&timer, loop, on_fire, &fired_at), 0);
	smtp_timer_set(timer, begin + 5);
	for (uint64_t i = 6; i <= 40; i++)
		smtp_timer_set(timer, begin + i);
	ck_assert_int_eq(smtp_loop_run(loop), 0);
	ck_assert_int_eq(fired, 1);
	ck_assert_uint_ge(fired_at, begin + 40);
	smtp_timer_free(timer);
}
END_TEST

START_TEST(timer_is_brought_forward)
{
	uint64_t begin = smtp_loop_now_ms(loop);
	uint64_t fired_at = 0;
	struct smtp_timer *timer;

	ck_assert_int_eq(smtp_timer_new(&timer, loop, on_fire, &fired_at), 0);
	smtp_timer_set(timer, begin + 3600000);
	smtp_timer_set(timer, begin + 5);
	ck_assert_int_eq(smtp_loop_run(loop), 0);
	ck_assert_uint_ge(fired_at, begin + 5);
	ck_assert_uint_lt(fired_at, begin + 60000);
	smtp_timer_free(timer);
}
END_TEST

START_TEST(disarmed_timer_does_not_fire)
{
	uint64_t begin = smtp_loop_now_ms(loop);
	struct smtp_timer *timer;
	struct smtp_timer *other;

	ck_assert_int_eq(smtp_timer_new(&timer, loop, on_fire, NULL), 0);
	ck_assert_int_eq(smtp_timer_new(&other, loop, on_fire, NULL), 0);
	smtp_timer_set(timer, begin + 5);
	smtp_timer_set(timer, UINT64_MAX);
	smtp_timer_set(other, begin + 30);
	ck_assert_int_eq(smtp_loop_run(loop), 0);
	ck_assert_int_eq(fired, 1);
	smtp_timer_set(timer, 0); /* long past: at once */
	ck_assert_int_eq(smtp_loop_run(loop), 0);
	ck_assert_int_eq(fired, 2);
	smtp_timer_free(timer);
	smtp_timer_free(other);
}
END_TEST

/* --- readiness ------------------------------------------------------------------------------- */

struct ready {
	struct smtp_io *io;
	unsigned events;
	int count;
	bool free_it;
};

static void on_ready(void *user, unsigned events)
{
	struct ready *ready = user;

	ready->events |= events;
	ready->count++;
	if (ready->free_it) {
		smtp_io_free(ready->io);
		ready->io = NULL;
	}
	smtp_loop_stop(loop);
}

START_TEST(io_tells_readiness)
{
	struct ready ready = { 0 };
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	ck_assert_int_eq(smtp_io_new(&ready.io, loop, pair[0], on_ready, &ready), 0);
	ck_assert_int_eq(smtp_io_watch(ready.io, SMTP_IO_WRITE), 0);
	ck_assert_int_eq(smtp_loop_run(loop), 0);
	ck_assert_uint_eq(ready.events, SMTP_IO_WRITE);

	ready.events = 0;
	ck_assert_int_eq(smtp_io_watch(ready.io, SMTP_IO_READ), 0);
	ck_assert_int_eq((int)write(pair[1], "x", 1), 1);
	ck_assert_int_eq(smtp_loop_run(loop), 0);
	ck_assert_uint_eq(ready.events, SMTP_IO_READ);

	ready.free_it = true; /* from within its own function */
	ck_assert_int_eq(smtp_loop_run(loop), 0);
	ck_assert_ptr_null(ready.io);
	ck_assert_int_eq(ready.count, 3);
	ck_assert_int_eq(close(pair[0]), 0);
	ck_assert_int_eq(close(pair[1]), 0);
}
END_TEST

START_TEST(wake_outlives_a_change_of_watching)
{
	struct ready ready = { 0 };
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	ck_assert_int_eq(smtp_io_new(&ready.io, loop, pair[0], on_ready, &ready), 0);
	smtp_io_wake(ready.io, SMTP_IO_READ);
	ck_assert_int_eq(smtp_io_watch(ready.io, SMTP_IO_READ), 0);
	ck_assert_int_eq(smtp_io_watch(ready.io, 0), 0);
	ck_assert_int_eq(smtp_loop_run(loop), 0);
	ck_assert_uint_eq(ready.events, SMTP_IO_READ);
	ck_assert_int_eq(ready.count, 1);
	smtp_io_free(ready.io);
	ck_assert_int_eq(close(pair[0]), 0);
	ck_assert_int_eq(close(pair[1]), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("loop");
	TCase *tc = tcase_create("loop");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, calls_of_each_thread_run_in_order);
	tcase_add_test(tc, call_posts_itself_again);
	tcase_add_test(tc, calls_left_over_run_when_the_loop_is_freed);
	tcase_add_test(tc, stop_from_another_thread);
	tcase_add_test(tc, stop_before_run);
	tcase_add_test(tc, timer_is_pushed_back);
	tcase_add_test(tc, timer_is_brought_forward);
	tcase_add_test(tc, disarmed_timer_does_not_fire);
	tcase_add_test(tc, io_tells_readiness);
	tcase_add_test(tc, wake_outlives_a_change_of_watching);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
