/* SPDX-License-Identifier: ISC */
/* A pool of threads for what blocks. Work waits in one list under a mutex: it costs a system call
 * or a computation anyway. Results go back through smtp_loop_post().
 */
#include "libsmtp/net/workers.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

enum { THREADS_MAX = 64 };

struct smtp_workers {
	pthread_mutex_t lock;
	pthread_cond_t some; /* work came, or the end */
	struct smtp_work *first;
	struct smtp_work **last;
	bool ending;
	unsigned threads;
	pthread_t thread[THREADS_MAX];
};

static void run_done(struct smtp_loop_call *call)
{
	struct smtp_work *work = (struct smtp_work *)(void *)((char *)call -
							      offsetof(struct smtp_work, call));

	work->done(work);
}

/* The oldest work; NULL once the pool ends and nothing is left. */
static struct smtp_work *take(struct smtp_workers *pool)
{
	struct smtp_work *work;

	(void)pthread_mutex_lock(&pool->lock);
	while (!pool->first && !pool->ending)
		(void)pthread_cond_wait(&pool->some, &pool->lock);
	work = pool->first;
	if (work) {
		pool->first = work->next;
		if (!pool->first)
			pool->last = &pool->first;
	}
	(void)pthread_mutex_unlock(&pool->lock);
	return work;
}

static void *work_on(void *user)
{
	struct smtp_workers *pool = user;
	struct smtp_work *work;

	while ((work = take(pool)) != NULL) {
		work->run(work);
		work->call.fn = run_done;
		smtp_loop_post(work->loop, &work->call);
	}
	return NULL;
}

/* The application's signals are not for these threads. */
static int start_threads(struct smtp_workers *pool, unsigned threads)
{
	sigset_t all;
	sigset_t before;
	int err = 0;

	(void)sigfillset(&all);
	if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
		return SMTP_EINVAL;
	while (!err && pool->threads < threads) {
		if (pthread_create(&pool->thread[pool->threads], NULL, work_on, pool) != 0)
			err = SMTP_ENOMEM;
		else
			pool->threads++;
	}
	if (pthread_sigmask(SIG_SETMASK, &before, NULL) != 0)
		err = SMTP_EINVAL;
	return err;
}

int smtp_workers_new(struct smtp_workers **out, unsigned threads)
{
	struct smtp_workers *pool;
	int err;

	if (threads < 1 || threads > THREADS_MAX)
		return SMTP_EINVAL;
	pool = calloc(1, sizeof *pool);
	if (!pool)
		return SMTP_ENOMEM;
	pool->last = &pool->first;
	if (pthread_mutex_init(&pool->lock, NULL) != 0) {
		free(pool);
		return SMTP_ENOMEM;
	}
	if (pthread_cond_init(&pool->some, NULL) != 0) {
		(void)pthread_mutex_destroy(&pool->lock);
		free(pool);
		return SMTP_ENOMEM;
	}
	err = start_threads(pool, threads);
	if (err) {
		smtp_workers_free(pool);
		return err;
	}
	*out = pool;
	return 0;
}

void smtp_workers_free(struct smtp_workers *pool)
{
	if (!pool)
		return;
	(void)pthread_mutex_lock(&pool->lock);
	pool->ending = true;
	(void)pthread_cond_broadcast(&pool->some);
	(void)pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->threads; i++)
		(void)pthread_join(pool->thread[i], NULL);
	(void)pthread_cond_destroy(&pool->some);
	(void)pthread_mutex_destroy(&pool->lock);
	free(pool);
}

void smtp_workers_submit(struct smtp_workers *pool, struct smtp_work *work)
{
	work->next = NULL;
	(void)pthread_mutex_lock(&pool->lock);
	*pool->last = work;
	pool->last = &work->next;
	(void)pthread_cond_signal(&pool->some);
	(void)pthread_mutex_unlock(&pool->lock);
}
