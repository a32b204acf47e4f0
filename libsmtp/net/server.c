/* SPDX-License-Identifier: ISC */
/* The server's life: making it with its loops, adding handlers, running one thread for each loop,
 * freeing it. Listening is server_listen.c, the sessions are server_conn.c.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include "libsmtp/core/middleware.h"
#include "libsmtp/core/sized.h"
#include "libsmtp/net/server_internal.h"

static const struct smtp_server_options defaults = SMTP_SERVER_OPTIONS_INIT;

void smtp_server_options_init(struct smtp_server_options *options)
{
	*options = defaults;
}

int server_fail(struct smtp_server *server, int error, const char *where, const char *what)
{
	(void)snprintf(server->problem, sizeof server->problem, "%s%s%s", where,
		       *where ? ": " : "", what);
	return error;
}

const char *smtp_server_problem(const struct smtp_server *server)
{
	return server->problem;
}

static int copy_options(struct smtp_server_options *out, const struct smtp_server_options *options)
{
	*out = defaults;
	if (!options)
		return 0;
	if (smtp_sized_copy(out, sizeof *out, options, 0) != 0)
		return SMTP_EINVAL;
	return out->loops <= SERVER_LOOPS_MAX && out->max_connections > 0 && out->workers > 0 &&
			       out->workers <= SERVER_WORKERS_MAX ?
		       0 :
		       SMTP_EINVAL;
}

static unsigned cores(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	if (n < 1)
		return 1;
	return n < SERVER_LOOPS_MAX ? (unsigned)n : SERVER_LOOPS_MAX;
}

/* --- making and freeing ----------------------------------------------------------------------- */

static void on_deadline(void *user)
{
	struct server_loop *loop = user;

	server_loop_abort_all(loop);
}

static int loop_init(struct server_loop *loop, struct smtp_server *server, unsigned index)
{
	int err;

	loop->server = server;
	loop->index = index;
	atomic_init(&loop->stop_posted, false);
	loop->stop_call.fn = server_loop_on_stop;
	err = smtp_loop_new(&loop->loop);
	if (!err)
		err = smtp_timer_new(&loop->deadline, loop->loop, on_deadline, loop);
	return err;
}

static void loop_release(struct server_loop *loop)
{
	server_loop_close_sockets(loop);
	server_loop_abort_all(loop);
	smtp_timer_free(loop->deadline);
	loop->freed = true;
	smtp_loop_free(loop->loop); /* what a worker has just given back ends here */
	server_slots_free(loop);
}

static int loops_new(struct smtp_server *server)
{
	unsigned count = server->options.loops ? server->options.loops : cores();

	server->loops = calloc(count, sizeof *server->loops);
	if (!server->loops)
		return SMTP_ENOMEM;
	while (server->loop_count < count) {
		struct server_loop *loop = &server->loops[server->loop_count];
		int err = loop_init(loop, server, server->loop_count);

		server->loop_count++; /* also a half-made one is released */
		if (err)
			return err;
	}
	return 0;
}

static bool fill_random(void *out, size_t n)
{
	return getrandom(out, n, 0) == (ssize_t)n;
}

int smtp_server_new(struct smtp_server **out, const struct smtp_server_options *options)
{
	struct smtp_server *server = calloc(1, sizeof *server);
	int err;

	if (!server)
		return SMTP_ENOMEM;
	atomic_init(&server->sessions, 0);
	atomic_init(&server->stop_after_ms, 0);
	atomic_init(&server->ran, false);
	atomic_init(&server->closed, false);
	err = copy_options(&server->options, options);
	server->has_changes = pthread_mutex_init(&server->changes, NULL) == 0;
	if (!err && !server->has_changes)
		err = SMTP_ENOMEM;
	if (!err && (!fill_random(&server->id_seed, sizeof server->id_seed) ||
		     !fill_random(server->scram_fake_key, sizeof server->scram_fake_key)))
		err = SMTP_EIO;
	if (!err)
		err = server_limits_new(&server->limits, &server->options);
	if (!err)
		err = loops_new(server);
	if (err) {
		smtp_server_free(server);
		return err;
	}
	*out = server;
	return 0;
}

static void join_threads(struct smtp_server *);

void smtp_server_free(struct smtp_server *server)
{
	if (!server)
		return;
	if (server->started) { /* and not waited for, perhaps */
		smtp_server_shutdown(server, 0);
		join_threads(server);
	}
	smtp_workers_free(server->workers);
	for (unsigned i = 0; i < server->loop_count; i++)
		loop_release(&server->loops[i]);
	free(server->loops);
	server_listeners_free(server);
	server_limits_free(server->limits);
	if (server->has_changes)
		(void)pthread_mutex_destroy(&server->changes);
	for (size_t i = 0; i < server->use_count; i++)
		if (server->uses[i].release)
			server->uses[i].release(server->uses[i].user);
	free(server);
}

int smtp_server_use(struct smtp_server *server, const struct smtp_middleware *middleware)
{
	struct smtp_middleware copy;
	int err = server_check_open(server);

	if (err)
		return err;
	if (smtp_middleware_copy(&copy, middleware) != 0)
		return server_fail(server, SMTP_EINVAL, "",
				   "a middleware without functions, or of another version");
	if (server->use_count == SERVER_USES_MAX)
		return server_fail(server, SMTP_ETOOLONG, "", "too many middlewares");
	server->uses[server->use_count++] = copy;
	server->blocks = server->blocks || copy.blocking;
	return 0;
}

/* --- running ---------------------------------------------------------------------------------- */

static void run_loop(struct server_loop *loop)
{
	loop->result = smtp_loop_run(loop->loop);
	/* A loop that can't wait any more takes the others along. */
	if (loop->result)
		smtp_server_shutdown(loop->server, 0);
}

static void *run_thread(void *user)
{
	run_loop(user);
	return NULL;
}

/* The application's signals go to its own threads, of which the caller's may be one. */
static int start_threads(struct smtp_server *server, unsigned first)
{
	sigset_t all;
	sigset_t before;
	int err = 0;

	(void)sigfillset(&all);
	if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
		return SMTP_EINVAL;
	for (unsigned i = first; i < server->loop_count && !err; i++) {
		struct server_loop *loop = &server->loops[i];

		loop->has_thread = pthread_create(&loop->thread, NULL, run_thread, loop) == 0;
		if (!loop->has_thread)
			err = server_fail(server, SMTP_ENOMEM, "", "a thread can't be started");
	}
	if (pthread_sigmask(SIG_SETMASK, &before, NULL) != 0)
		err = SMTP_EINVAL;
	return err;
}

int server_check_open(struct smtp_server *server)
{
	if (atomic_load(&server->closed))
		return server_fail(server, SMTP_ECLOSED, "", "the server was shut down");
	if (atomic_load(&server->ran))
		return server_fail(server, SMTP_ESTATE, "", "the server runs already");
	return 0;
}

/* The loops from `first` on run in threads of their own. */
static int begin(struct smtp_server *server, unsigned first)
{
	int err = server_check_open(server);

	if (err)
		return err;
	if (atomic_exchange(&server->ran, true))
		return server_fail(server, SMTP_ESTATE, "", "the server runs already");
	if (server->blocks)
		err = smtp_workers_new(&server->workers, server->options.workers);
	if (err)
		(void)server_fail(server, err, "worker threads", smtp_error_str(err));
	else
		err = start_threads(server, first);
	if (err)
		smtp_server_shutdown(server, 0);
	return err;
}

static void join_threads(struct smtp_server *server)
{
	for (unsigned i = 0; i < server->loop_count; i++) {
		struct server_loop *loop = &server->loops[i];

		if (loop->has_thread)
			(void)pthread_join(loop->thread, NULL);
		loop->has_thread = false;
		if (loop->result && !server->result)
			server->result = server_fail(server, loop->result, "event loop",
						     smtp_error_str(loop->result));
	}
}

int smtp_server_run(struct smtp_server *server)
{
	int err = begin(server, 1);

	if (err == SMTP_ESTATE || err == SMTP_ECLOSED)
		return err;
	server->result = err;
	run_loop(&server->loops[0]);
	join_threads(server);
	return server->result;
}

int smtp_server_start(struct smtp_server *server)
{
	int err = begin(server, 0);

	if (err == SMTP_ESTATE || err == SMTP_ECLOSED)
		return err;
	server->result = err;
	server->started = true;
	if (err)
		join_threads(server);
	return err;
}

int smtp_server_wait(struct smtp_server *server)
{
	if (!server->started)
		return server_fail(server, SMTP_ESTATE, "", "the server was not started");
	join_threads(server);
	return server->result;
}

uint32_t smtp_server_session_count(const struct smtp_server *server)
{
	return atomic_load_explicit(&server->sessions, memory_order_relaxed);
}

struct smtp_loop *smtp_server_loop(struct smtp_server *server, unsigned index)
{
	return index < server->loop_count ? server->loops[index].loop : NULL;
}

unsigned smtp_server_loop_count(const struct smtp_server *server)
{
	return server->loop_count;
}
