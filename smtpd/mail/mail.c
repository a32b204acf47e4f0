/* SPDX-License-Identifier: ISC */
/* mail.c - the mail process: puts server, spool, workers and queue together, runs them, reloads, and
 * takes them apart again. The main thread is the first loop of the server; the queue, the control socket
 * and the word of the supervisor live on a loop of their own.
 */
#include "smtpd/mail/mail.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libsmtp/net/server_private.h"
#include "smtpd/check.h"
#include "smtpd/control.h"
#include "smtpd/log.h"
#include "smtpd/mail/sessions.h"
#include "smtpd/ready.h"

enum { WORKER_THREADS = 16, DRAIN_MS = 30000, ORPHAN_MS = 500 };

/** Settings that were in force once. Sessions may still read them, so they live until the end. */
struct old_config {
	struct config *config;
	struct old_config *next;
};

struct mail_main {
	struct mail_process process;
	struct mail_listener_role roles[CONFIG_LISTENERS_MAX];
	const struct mail_start *start;
	struct smtp_loop *queue_loop;
	struct keeper_client *queue_keeper;
	struct control *control;
	struct smtp_io *supervisor_io;
	struct smtp_loop_call drain_call;
	pthread_t queue_thread;
	bool queue_thread_runs;
	bool stopping; /* written and read on the queue's loop, and after it */
	uint32_t drain_ms;
	struct old_config *configs;
	char problem[512];
};

/* ---- Settings of the sessions ---- */

static void session_options(const struct config *config, enum config_role role,
			    struct smtp_server_session_options *o)
{
	o->hostname = config->hostname;
	o->auth_enabled = role != ROLE_MX;
	o->require_tls = role != ROLE_MX;
	o->require_auth = role != ROLE_MX;
	o->max_message_bytes = config->max_message_bytes;
	o->max_swallow_bytes = config->max_message_bytes;
	o->max_recipients = config->max_recipients;
	o->max_auth_failures = config->max_auth_failures;
	o->command_timeout_ms = (uint32_t)config->command_timeout_ms;
	o->content_timeout_ms = (uint32_t)config->content_timeout_ms;
}

static int listen_one(struct mail_main *m, size_t i, const char *passphrase)
{
	const struct config *config = m->start->config;
	enum config_role role = config->listeners[i].role;
	struct smtp_listener_options o = SMTP_LISTENER_OPTIONS_INIT;

	m->roles[i] = (struct mail_listener_role){ &m->process, role };
	o.address = config->listeners[i].address;
	o.fds = m->start->listeners[i].fds;
	o.fd_count = m->start->listeners[i].fd_count;
	o.implicit_tls = role == ROLE_SUBMISSIONS;
	if (config->tls_certificate[0] != '\0') {
		o.certificate_file = config->tls_certificate;
		o.key_file = config->tls_key;
		o.key_passphrase = passphrase;
	}
	session_options(config, role, &o.session);
	o.handler = role == ROLE_MX ? &mail_mx_handler : &mail_submission_handler;
	o.user = &m->roles[i];
	return smtp_server_listen(m->process.server, &o, NULL);
}

/* ---- Reload ---- */

static int keep_config(struct mail_main *m, struct config *config)
{
	struct old_config *o = calloc(1, sizeof *o);

	if (o == NULL)
		return SMTP_ENOMEM;
	o->config = config;
	o->next = m->configs;
	m->configs = o;
	return 0;
}

static void update_sessions(struct mail_main *m, const struct config *config)
{
	size_t i;
	int err;

	for (i = 0; i < m->start->config->listener_count; i++) {
		struct smtp_server_session_options o = SMTP_SERVER_SESSION_OPTIONS_INIT;

		session_options(config, m->roles[i].role, &o);
		err = smtp_server_set_session_options(m->process.server, i, &o);
		if (err != 0)
			log_event(LOG_LEVEL_ERROR, "config.reload",
				  LOG_STR("reason", smtp_error_str(err)));
	}
}

static int use_certificate(struct mail_main *m, const struct config *config, char *problem,
			   size_t cap)
{
	char passphrase[PASSPHRASE_MAX];
	int err = check_read_passphrase(config, passphrase);

	if (err != 0)
		(void)snprintf(problem, cap, "%s: %s", config->tls_key_passphrase_file,
			       smtp_error_str(err));
	else
		err = smtp_server_set_certificate(m->process.server, config->tls_certificate,
						  config->tls_key,
						  passphrase[0] != '\0' ? passphrase : NULL,
						  problem, cap);
	explicit_bzero(passphrase, sizeof passphrase);
	return err;
}

static void reload_certificates(struct mail_main *m, const struct config *config)
{
	char problem[512] = "";

	if (config->tls_certificate[0] == '\0')
		return;
	if (use_certificate(m, config, problem, sizeof problem) == 0)
		log_event(LOG_LEVEL_INFO, "cert.reload", LOG_STR("result", "done"));
	else
		log_event(LOG_LEVEL_ERROR, "cert.reload", LOG_STR("result", "kept the old one"),
			  LOG_STR("reason", problem));
}

/** The supervisor has checked the file and logged what is wrong with it; here it is read once more. */
static void reload(struct mail_main *m)
{
	struct config_errors errors = { .count = 0 };
	struct config *config;
	int err = config_load(m->start->config->file, &config, &errors);

	config_errors_release(&errors);
	if (err == 0 && keep_config(m, config) != 0) {
		config_free(config);
		err = SMTP_ENOMEM;
	}
	if (err != 0) {
		log_event(LOG_LEVEL_ERROR, "config.reload", LOG_STR("result", "kept the old one"),
			  LOG_STR("reason", smtp_error_str(err)));
		return;
	}
	log_setup(config->log_format, config->log_level, "mail");
	atomic_store(&m->process.config, config);
	queue_set_config(m->process.queue, config);
	update_sessions(m, config);
	log_event(LOG_LEVEL_INFO, "config.reload", LOG_STR("result", "done"));
	reload_certificates(m, config);
}

/* ---- Words of the supervisor, actions of the control socket: all on the queue's loop ---- */

static void stop(struct mail_main *m, uint32_t deadline_ms)
{
	if (m->stopping)
		return;
	m->stopping = true;
	m->drain_ms = deadline_ms;
	smtp_server_shutdown(m->process.server, deadline_ms);
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
		reload(m);
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

static int act_reload(void *user)
{
	return tell_supervisor(user, "reload\n");
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

	queue_drain(m->process.queue, m->drain_ms, drained, m);
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
	struct smtp_spool_sweep sweep;
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
	return fail(m, smtp_server_new(&m->process.server, &o), "server");
}

static int open_listeners(struct mail_main *m)
{
	char passphrase[PASSPHRASE_MAX];
	size_t i;
	int err = check_read_passphrase(m->start->config, passphrase);

	if (err != 0)
		(void)fail(m, err, m->start->config->tls_key_passphrase_file);
	for (i = 0; err == 0 && i < m->start->config->listener_count; i++) {
		err = listen_one(m, i, passphrase[0] != '\0' ? passphrase : NULL);
		if (err != 0)
			(void)snprintf(m->problem, sizeof m->problem, "%s",
				       smtp_server_problem(m->process.server));
	}
	explicit_bzero(passphrase, sizeof passphrase);
	return fail(m, err, "listen");
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
		.workers = m->process.workers,
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

static int set_up(struct mail_main *m)
{
	int err = open_spool(m);

	if (err == 0)
		err = fail(m, smtp_workers_new(&m->process.workers, WORKER_THREADS), "workers");
	if (err == 0)
		err = fail(m, smtp_loop_new(&m->queue_loop), "loop");
	if (err == 0)
		err = open_server(m);
	if (err == 0)
		err = open_keepers(m);
	if (err == 0)
		err = open_queue(m);
	if (err == 0)
		err = open_listeners(m);
	if (err == 0)
		err = open_control(m);
	return err;
}

/** The queue's loop, which also hears the supervisor, runs from here until the server has ended. */
static int serve(struct mail_main *m)
{
	int err;

	if (pthread_create(&m->queue_thread, NULL, queue_thread, m) != 0)
		return fail(m, SMTP_ENOMEM, "queue thread");
	m->queue_thread_runs = true;
	err = fail(m, smtp_server_run(m->process.server), "server");
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
	queue_free(m->process.queue);
	keeper_client_free(m->queue_keeper);
	for (i = 0; i < MAIL_LOOPS_MAX; i++)
		keeper_client_free(m->process.keepers[i]);
	smtp_server_free(m->process.server);
	smtp_loop_free(m->queue_loop);
	smtp_spool_close(m->process.spool);
	while (m->configs != NULL) {
		struct old_config *o = m->configs;

		m->configs = o->next;
		config_free(o->config);
		free(o);
	}
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
	tear_down(m);
	free(m);
	return err == 0 ? 0 : 1;
}
