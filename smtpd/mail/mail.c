/* SPDX-License-Identifier: ISC */
/* mail.c - the mail process: puts server, spool, workers and queue together, runs them, reloads, and
 * takes them apart again. The main thread is the first loop of the server; the queue, the control socket
 * and the word of the supervisor live on a loop of their own.
 */
#include "smtpd/mail/mail.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libsmtp/net/server_private.h"
#include "smtpd/log.h"
#include "smtpd/mail/process.h"
#include "smtpd/ready.h"

/* Deliveries have threads of their own: a mailbox on a slow file system holds up no message that
 * comes in. */
enum { WORKER_THREADS = 16, QUEUE_WORKER_THREADS = 12 };
enum { DRAIN_MS = 30000, ORPHAN_MS = 500, LAST_MS = 2000, TURN_MS = 10 };

/* ---- Words of the supervisor, actions of the control socket: all on the queue's loop ---- */

/** A second call can only bring the end nearer. */
static void stop(struct mail_main *m, uint32_t wait_ms)
{
	uint64_t at = smtp_loop_now_ms(m->queue_loop) + wait_ms;

	if (m->stopping && at >= m->stop_at_ms)
		return;
	m->stopping = true;
	m->stop_at_ms = at;
	smtp_server_shutdown(m->process.server, wait_ms);
}

static int tell_supervisor(struct mail_main *m, const char *word)
{
	ssize_t n = write(m->start->supervisor_fd, word, strlen(word));

	return n == (ssize_t)strlen(word) ? 0 : SMTP_EIO;
}

static void supervisor_readable(void *user, unsigned events)
{
	struct mail_main *m = user;
	char text[64];
	ssize_t n = read(m->start->supervisor_fd, text, sizeof text - 1);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	text[n > 0 ? n : 0] = '\0';
	if (strstr(text, "reload\n") != NULL)
		mail_reload(m);
	if (n <= 0) {
		smtp_io_free(m->supervisor_io); /* at its end it stays readable for ever */
		m->supervisor_io = NULL;
		stop(m, ORPHAN_MS);
	} else if (strstr(text, "stop\n") != NULL) {
		stop(m, DRAIN_MS);
	}
}

static int act_status(struct smtp_buf *lines, void *user)
{
	struct mail_main *m = user;
	const struct queue_counts c = queue_count(m->process.queue);
	const struct config *config = atomic_load(&m->process.config);
	char text[512];
	size_t i;
	int err;

	(void)snprintf(text, sizeof text,
		       "version %s\npid %ld\nhostname %s\nsessions %u\nmessages %zu\nactive %zu\n"
		       "deferred %zu\n",
		       smtp_library_version(), (long)getppid(), config->hostname,
		       smtp_server_session_count(m->process.server), c.messages, c.active,
		       c.deferred);
	err = smtp_buf_append_text(lines, text);
	for (i = 0; err == 0 && i < m->start->config->listener_count; i++) {
		(void)snprintf(text, sizeof text, "listen %s %s\n",
			       m->start->config->listeners[i].address,
			       config_role_str(m->roles[i].role));
		err = smtp_buf_append_text(lines, text);
	}
	return err;
}

/** What the supervisor would refuse is told to who asks. */
static int act_reload(struct smtp_buf *lines, void *user)
{
	struct mail_main *m = user;
	struct config_errors errors = { .count = 0 };
	struct config *config = NULL;
	const char *fixed = NULL;
	int err = config_load(m->start->config->file, &config, &errors), told = 0;

	if (err == 0)
		fixed = config_fixed_difference(m->start->config, config);
	if (errors.count > 0)
		told = smtp_buf_append_text(lines, errors.lines[0]);
	else if (fixed != NULL && (told = smtp_buf_append_text(lines, fixed)) == 0)
		told = smtp_buf_append_text(lines, ": a change of it needs a restart");
	if (err == 0 && fixed != NULL)
		err = SMTP_ESTATE;
	config_errors_release(&errors);
	config_free(config);
	if (err == 0)
		err = tell_supervisor(m, "reload\n");
	return err != 0 ? err : told;
}

static int act_stop(void *user)
{
	return tell_supervisor(user, "stop\n");
}

static int act_queue_retry(const char *id, void *user)
{
	return queue_retry(((struct mail_main *)user)->process.queue, id);
}

static int act_queue_remove(const char *id, void *user)
{
	return queue_remove(((struct mail_main *)user)->process.queue, id);
}

/* ---- The queue's thread ---- */

static void drained(void *user)
{
	struct mail_main *m = user;

	smtp_loop_stop(m->queue_loop);
}

static void begin_drain(struct smtp_loop_call *call)
{
	struct mail_main *m =
		(struct mail_main *)((char *)call - offsetof(struct mail_main, drain_call));

	uint64_t now = smtp_loop_now_ms(m->queue_loop);

	queue_drain(m->process.queue, m->stop_at_ms > now ? (uint32_t)(m->stop_at_ms - now) : 0,
		    drained, m);
}

static void *queue_thread(void *user)
{
	struct mail_main *m = user;
	int err = smtp_loop_run(m->queue_loop);

	if (err != 0)
		log_event(LOG_LEVEL_ERROR, "mail.fail", LOG_STR("reason", smtp_error_str(err)));
	return NULL;
}

/* ---- Set-up and end ---- */

static int fail(struct mail_main *m, int err, const char *what)
{
	if (err != 0 && m->problem[0] == '\0')
		(void)snprintf(m->problem, sizeof m->problem, "%s: %s", what, smtp_error_str(err));
	return err;
}

static void report_swept(const char *file, const char *reason, void *user)
{
	(void)user;
	log_event(LOG_LEVEL_WARN, "queue.corrupt", LOG_STR("file", file),
		  LOG_STR("reason", reason));
}

static int open_spool(struct mail_main *m)
{
	struct smtp_spool_swept sweep;
	char *path = NULL;
	int err = config_data_path(m->start->config, CONFIG_SPOOL_DIRECTORY, &path);

	if (err == 0)
		err = smtp_spool_open(&m->process.spool, path, false);
	if (err == 0)
		err = smtp_spool_sweep(m->process.spool, &sweep, report_swept, NULL);
	(void)fail(m, err, path != NULL ? path : "spool");
	free(path);
	if (err == 0 && sweep.unfinished + sweep.corrupt + sweep.orphans > 0)
		log_event(LOG_LEVEL_INFO, "queue.sweep",
			  LOG_INT("unfinished", (int64_t)sweep.unfinished),
			  LOG_INT("corrupt", (int64_t)sweep.corrupt),
			  LOG_INT("orphans", (int64_t)sweep.orphans));
	return err;
}

static int open_server(struct mail_main *m)
{
	const struct config *config = m->start->config;
	struct smtp_server_options o = SMTP_SERVER_OPTIONS_INIT;

	o.loops = m->start->loops;
	o.max_connections = config->max_connections;
	o.max_connections_per_ip = config->max_connections_per_ip;
	o.handshake_timeout_ms = (uint32_t)config->handshake_timeout_ms;
	o.refused = mail_log_refused;
	o.refused_user = m->roles;
	return fail(m, smtp_server_new(&m->process.server, &o), "server");
}

static int open_keepers(struct mail_main *m)
{
	char *path = NULL;
	unsigned i;
	int err = config_data_path(m->start->config, CONFIG_KEEPER_SOCKET, &path);

	for (i = 0; err == 0 && i < smtp_server_loop_count(m->process.server); i++)
		err = keeper_client_new(&m->process.keepers[i],
					smtp_server_loop(m->process.server, i), path);
	if (err == 0)
		err = keeper_client_new(&m->queue_keeper, m->queue_loop, path);
	free(path);
	return fail(m, err, "keeper");
}

static int open_queue(struct mail_main *m)
{
	const struct queue_options o = {
		.loop = m->queue_loop,
		.workers = m->queue_workers,
		.spool = m->process.spool,
		.keeper = m->queue_keeper,
		.config = m->start->config,
	};
	int err = queue_new(&m->process.queue, &o);

	if (err == 0)
		err = queue_start(m->process.queue);
	return fail(m, err, "queue");
}

static int open_control(struct mail_main *m)
{
	const struct control_actions actions = { act_status,	  act_reload,	    act_stop,
						 act_queue_retry, act_queue_remove, m };
	int err = control_new(&m->control, m->queue_loop, m->start->control_fd, &actions);

	if (err == 0)
		err = smtp_io_new(&m->supervisor_io, m->queue_loop, m->start->supervisor_fd,
				  supervisor_readable, m);
	if (err == 0)
		err = smtp_io_watch(m->supervisor_io, SMTP_IO_READ);
	return fail(m, err, "control socket");
}

/** What can be wrong with settings comes first: then nothing on the disk has been touched. */
static int set_up(struct mail_main *m)
{
	int err = open_server(m);

	if (err == 0)
		err = fail(m, mail_listen(m), "listen");
	if (err == 0)
		err = open_spool(m);
	if (err == 0)
		err = fail(m, smtp_workers_new(&m->process.workers, WORKER_THREADS), "workers");
	if (err == 0)
		err = fail(m, smtp_workers_new(&m->queue_workers, QUEUE_WORKER_THREADS), "workers");
	if (err == 0)
		err = fail(m, smtp_loop_new(&m->queue_loop), "loop");
	if (err == 0)
		err = open_keepers(m);
	if (err == 0)
		err = open_queue(m);
	if (err == 0)
		err = open_control(m);
	return err;
}

static void stop_turn(void *user)
{
	smtp_loop_stop(user);
}

/** Runs a loop of the server for a moment, now that the server itself does not run it any more. */
static int run_turn(struct smtp_loop *loop)
{
	struct smtp_timer *timer = NULL;
	int err = smtp_timer_new(&timer, loop, stop_turn, loop);

	if (err == 0) {
		smtp_timer_set(timer, smtp_loop_now_ms(loop) + TURN_MS);
		err = smtp_loop_run(loop);
	}
	smtp_timer_free(timer);
	return err;
}

/** Messages whose clients went away are still on their way to the disk: they may end, as long as there are
 *  workers, keeper and queue to end with. What hangs beyond that ends with the process, never accepted. */
static void finish_in_flight(struct mail_main *m)
{
	unsigned turn, i;
	int err = 0;

	for (turn = 0; turn < LAST_MS / TURN_MS; turn++)
		for (i = 0; i < smtp_server_loop_count(m->process.server); i++) {
			if (atomic_load(&m->process.in_flight) == 0 || err != 0)
				return;
			err = run_turn(smtp_server_loop(m->process.server, i));
		}
}

/** The queue's loop, which also hears the supervisor, runs from here until the server has ended. */
static int serve(struct mail_main *m)
{
	int err;

	if (pthread_create(&m->queue_thread, NULL, queue_thread, m) != 0)
		return fail(m, SMTP_ENOMEM, "queue thread");
	err = smtp_server_run(m->process.server);
	if (err == SMTP_ECLOSED) /* told to stop before it began */
		err = 0;
	err = fail(m, err, "server");
	finish_in_flight(m);
	m->drain_call.fn = begin_drain;
	smtp_loop_post(m->queue_loop, &m->drain_call);
	(void)pthread_join(m->queue_thread, NULL);
	return err;
}

static void tear_down(struct mail_main *m)
{
	unsigned i;

	control_free(m->control);
	smtp_io_free(m->supervisor_io);
	/* Work at hand ends before what it works on goes away. */
	smtp_workers_free(m->process.workers);
	smtp_workers_free(m->queue_workers);
	queue_free(m->process.queue);
	keeper_client_free(m->queue_keeper);
	for (i = 0; i < MAIL_LOOPS_MAX; i++)
		keeper_client_free(m->process.keepers[i]);
	smtp_server_free(m->process.server);
	smtp_loop_free(m->queue_loop);
	smtp_spool_close(m->process.spool);
	mail_free_configs(m);
}

int mail_process(const struct mail_start *start)
{
	struct mail_main *m = calloc(1, sizeof *m);
	int err;

	if (m == NULL)
		return 1;
	m->start = start;
	atomic_init(&m->process.config, start->config);
	err = set_up(m);
	ready_tell(start->supervisor_fd, err == 0 ? NULL : m->problem);
	if (err == 0 && (err = serve(m)) != 0)
		log_event(LOG_LEVEL_ERROR, "mail.fail", LOG_STR("reason", m->problem));
	if (atomic_load(&m->process.in_flight) != 0)
		_exit(err == 0 ? 0 : 1); /* a disk that hangs: nothing can be taken apart under it */
	tear_down(m);
	free(m);
	return err == 0 ? 0 : 1;
}
