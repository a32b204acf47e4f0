/* SPDX-License-Identifier: ISC */
/* The pool: every piece of work runs once on another thread and is done in its loop's thread; what
 * is queued when the pool ends still runs.
 */
#include "tests/unit/testing.h"
#include <pthread.h>
#include <stdatomic.h>
#include "libsmtp/net/workers.h"

enum { PIECES = 2000 };

struct piece {
	struct smtp_work work;
	pthread_t ran_on;
	int runs;
	int dones;
};

static struct smtp_loop *loop;
static struct smtp_workers *pool;
static struct piece pieces[PIECES];
static int done_count;
static atomic_int run_count;

static void run_piece(struct smtp_work *work)
{
	struct piece *piece = (struct piece *)(void *)work;

	piece->ran_on = pthread_self();
	piece->runs++;
	atomic_fetch_add(&run_count, 1);
}

static void piece_done(struct smtp_work *work)
{
	struct piece *piece = (struct piece *)(void *)work;

	ck_assert_int_eq(piece->runs, 1);
	ck_assert(!pthread_equal(piece->ran_on, pthread_self()));
	piece->dones++;
	if (++done_count == PIECES)
		smtp_loop_stop(loop);
}

static void submit_all(void)
{
	for (int i = 0; i < PIECES; i++) {
		pieces[i].work = (struct smtp_work){ .run = run_piece, .done = piece_done,
						     .loop = loop };
		smtp_workers_submit(pool, &pieces[i].work);
	}
}

START_TEST(each_piece_runs_once)
{
	ck_assert_int_eq(smtp_loop_new(&loop), 0);
	ck_assert_int_eq(smtp_workers_new(&pool, 3), 0);
	submit_all();
	ck_assert_int_eq(smtp_loop_run(loop), 0);
	for (int i = 0; i < PIECES; i++)
		ck_assert_int_eq(pieces[i].dones, 1);
	smtp_workers_free(pool);
	smtp_loop_free(loop);
}
END_TEST

START_TEST(queued_work_runs_when_the_pool_ends)
{
	ck_assert_int_eq(smtp_loop_new(&loop), 0);
	ck_assert_int_eq(smtp_workers_new(&pool, 1), 0);
	submit_all();
	smtp_workers_free(pool);
	ck_assert_int_eq(atomic_load(&run_count), PIECES);
	ck_assert_int_eq(done_count, 0); /* they are posted; the loop does not run */
	smtp_loop_free(loop);
	ck_assert_int_eq(done_count, PIECES);
}
END_TEST

START_TEST(wrong_sizes)
{
	ck_assert_int_eq(smtp_workers_new(&pool, 0), SMTP_EINVAL);
	ck_assert_int_eq(smtp_workers_new(&pool, 1000), SMTP_EINVAL);
	smtp_workers_free(NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("workers");
	TCase *tc = tcase_create("workers");

	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, each_piece_runs_once);
	tcase_add_test(tc, queued_work_runs_when_the_pool_ends);
	tcase_add_test(tc, wrong_sizes);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
