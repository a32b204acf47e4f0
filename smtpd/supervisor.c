/* SPDX-License-Identifier: ISC */
/* supervisor.c - starts the children and keeps them: one that dies is started again, sooner the first
 * time than the tenth. It does no work of its own that could block or fail.
 */
#include "smtpd/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "smtpd/keeper/keeper.h"
#include "smtpd/log.h"
#include "smtpd/mail/mail.h"
#include "smtpd/privileges.h"
#include "smtpd/ready.h"
#include "smtpd/sockets.h"

enum { LOOPS_MAX = 64, BACKOFF_FIRST_MS = 20, BACKOFF_MAX_MS = 10000, STEADY_MS = 10000,
       STOP_MS = 45000, PROBLEM_MAX = 1024 };

enum child_name { KEEPER, MAIL, CHILDREN };

struct child {
	pid_t pid; /* 0: not running */
	int fd;    /* our end of the socketpair; -1: none */
	int64_t started_ms, restart_at_ms; /* restart_at 0: none is due */
	unsigned backoff_ms;
};

struct supervisor {
	struct config *config;
	struct sockets sockets;
	struct child children[CHILDREN];
	sigset_t old_mask;
	int signal_fd;
	unsigned loops;
	bool stopping, failed; /* failed: a child did not end well */
	int64_t stop_at_ms; /* then children are killed */
	char problem[PROBLEM_MAX];
};

static const char *const child_names[CHILDREN] = { "keeper", "mail" };

static int64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- Children ---- */

/** What a child has of its parent: nothing but its own end and the sockets it needs. Signals for the whole
 *  group are the supervisor's affair. */
static void child_prepare(struct supervisor *s, enum child_name name)
{
	size_t i;

	(void)prctl(PR_SET_NAME, child_names[name]);
	for (i = 0; i < CHILDREN; i++)
		if (s->children[i].fd >= 0)
			(void)close(s->children[i].fd);
	(void)close(s->signal_fd);
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
	log_setup(s->config->log_format, s->config->log_level, child_names[name]);
}

static int child_run(struct supervisor *s, enum child_name name, int fd)
{
	const struct mail_start start = {
		.config = s->config,
		.listeners = s->sockets.listeners,
		.loops = s->loops,
		.control_fd = s->sockets.control_fd,
		.supervisor_fd = fd,
	};

	child_prepare(s, name);
	if (name == KEEPER) {
		sockets_close_listeners(&s->sockets);
		(void)close(s->sockets.control_fd);
		return keeper_process(s->config, s->sockets.keeper_fd, fd);
	}
	(void)close(s->sockets.keeper_fd);
	return mail_process(&start);
}

static int child_start(struct supervisor *s, enum child_name name)
{
	struct child *c = &s->children[name];
	int fds[2];

	c->restart_at_ms = 0;
	c->started_ms = now_ms();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
		return SMTP_EIO;
	c->pid = fork();
	if (c->pid == 0) {
		(void)close(fds[0]);
		exit(child_run(s, name, fds[1]));
	}
	(void)close(fds[1]);
	if (c->pid < 0) {
		c->pid = 0;
		(void)close(fds[0]);
		return SMTP_ENOMEM;
	}
	c->fd = fds[0];
	return 0;
}

static void child_close(struct child *c)
{
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
}

static void child_tell(const struct child *c, const char *word)
{
	if (c->fd >= 0 && send(c->fd, word, strlen(word), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_event(LOG_LEVEL_WARN, "smtpd.fail", LOG_STR("reason", strerror(errno)));
}

/** A child that lived for a while is started again at once; one that keeps dying, ever later. */
static void child_died(struct supervisor *s, enum child_name name, int status)
{
	struct child *c = &s->children[name];

	c->pid = 0;
	child_close(c);
	if (s->stopping && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	if (s->stopping) {
		s->failed = true;
		log_event(LOG_LEVEL_ERROR, "smtpd.fail", LOG_STR("reason", "a child did not end well"),
			  LOG_STR("child", child_names[name]),
			  LOG_INT("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0));
		return;
	}
	if (now_ms() - c->started_ms > STEADY_MS)
		c->backoff_ms = 0;
	c->restart_at_ms = now_ms() + c->backoff_ms;
	log_event(LOG_LEVEL_ERROR, name == KEEPER ? "keeper.restart" : "mail.restart",
		  LOG_INT("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0),
		  LOG_INT("status", WIFEXITED(status) ? WEXITSTATUS(status) : 0),
		  LOG_INT("delay_ms", c->backoff_ms));
	c->backoff_ms = c->backoff_ms == 0 ? BACKOFF_FIRST_MS : 2 * c->backoff_ms;
	if (c->backoff_ms > BACKOFF_MAX_MS)
		c->backoff_ms = BACKOFF_MAX_MS;
}

static void reap(struct supervisor *s)
{
	int status;
	pid_t pid;
	int i;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (i = 0; i < CHILDREN; i++)
			if (s->children[i].pid == pid)
				child_died(s, (enum child_name)i, status);
}

static void restart_due(struct supervisor *s)
{
	int i;

	for (i = 0; i < CHILDREN; i++) {
		struct child *c = &s->children[i];

		if (c->restart_at_ms == 0 || c->restart_at_ms > now_ms())
			continue;
		if (child_start(s, (enum child_name)i) != 0)
			c->restart_at_ms = now_ms() + BACKOFF_MAX_MS;
	}
}

/* ---- Signals and words ---- */

/** Mail ends first: until then it may have to ask the keeper. */
static void begin_stop(struct supervisor *s)
{
	if (s->stopping)
		return;
	s->stopping = true;
	s->stop_at_ms = now_ms() + STOP_MS;
	log_event(LOG_LEVEL_INFO, "smtpd.stop", LOG_INT("pid", getpid()));
	sockets_close_listeners(&s->sockets); /* or the kernel would go on taking connections */
	child_tell(&s->children[MAIL], "stop\n");
}

static void log_config_errors(const struct config_errors *errors)
{
	size_t i;

	for (i = 0; i < errors->count; i++)
		log_event(LOG_LEVEL_ERROR, "config.reload", LOG_STR("result", "kept the old one"),
			  LOG_STR("reason", errors->lines[i]));
}

/** All that the keeper uses of the settings that may change while it runs: it has no need to read the
 *  file again. */
static void tell_log_settings(const struct supervisor *s)
{
	char word[LOG_WORD_MAX];

	log_settings_format(word, sizeof word, s->config->log_format, s->config->log_level);
	child_tell(&s->children[KEEPER], word);
}

static void reload(struct supervisor *s)
{
	struct config_errors errors = { .count = 0 };
	struct config *config;
	const char *fixed;
	int err = config_load(s->config->file, &config, &errors);

	log_config_errors(&errors);
	config_errors_release(&errors);
	if (err != 0)
		return;
	fixed = config_fixed_difference(s->config, config);
	if (fixed != NULL) {
		log_event(LOG_LEVEL_ERROR, "config.reload", LOG_STR("result", "kept the old one"),
			  LOG_STR("setting", fixed),
			  LOG_STR("reason", "a change of it needs a restart"));
		config_free(config);
		return;
	}
	config_free(s->config);
	s->config = config;
	log_setup(config->log_format, config->log_level, "smtpd");
	child_tell(&s->children[MAIL], "reload\n");
	tell_log_settings(s);
}

static void signalled(struct supervisor *s)
{
	struct signalfd_siginfo info;

	if (read(s->signal_fd, &info, sizeof info) != (ssize_t)sizeof info)
		return;
	switch (info.ssi_signo) {
	case SIGCHLD:
		reap(s);
		break;
	case SIGHUP:
		reload(s);
		break;
	default:
		begin_stop(s);
	}
}

/** The mail process passes on what came by the control socket; any child says how its start went. */
static void child_spoke(struct supervisor *s, struct child *c)
{
	char text[PROBLEM_MAX];
	ssize_t n = recv(c->fd, text, sizeof text - 1, MSG_DONTWAIT);

	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			child_close(c);
		return;
	}
	text[n] = '\0';
	if (strncmp(text, "fail ", 5) == 0) {
		text[strcspn(text, "\n")] = '\0';
		log_event(LOG_LEVEL_ERROR, "smtpd.fail", LOG_STR("reason", text + 5));
	} else if (strstr(text, "stop\n") != NULL) {
		begin_stop(s);
	} else if (strstr(text, "reload\n") != NULL) {
		reload(s);
	}
}

static int poll_timeout(const struct supervisor *s)
{
	int64_t at = s->stopping ? s->stop_at_ms : 0, wait;
	int i;

	for (i = 0; i < CHILDREN; i++) {
		int64_t due = s->children[i].restart_at_ms;

		if (due != 0 && (at == 0 || due < at))
			at = due;
	}
	if (at == 0)
		return -1;
	wait = at - now_ms();
	return wait < 0 ? 0 : (int)wait;
}

static void stop_further(struct supervisor *s)
{
	int i;

	if (s->children[MAIL].pid == 0)
		child_tell(&s->children[KEEPER], "stop\n");
	if (now_ms() < s->stop_at_ms)
		return;
	for (i = 0; i < CHILDREN; i++)
		if (s->children[i].pid != 0)
			(void)kill(s->children[i].pid, SIGKILL);
	s->stop_at_ms = now_ms() + STOP_MS;
}

static bool is_over(const struct supervisor *s)
{
	return s->stopping && s->children[KEEPER].pid == 0 && s->children[MAIL].pid == 0;
}

static void watch(struct supervisor *s)
{
	while (!is_over(s)) {
		struct pollfd p[1 + CHILDREN] = { { s->signal_fd, POLLIN, 0 } };
		int i;

		for (i = 0; i < CHILDREN; i++)
			p[1 + i] = (struct pollfd){ s->children[i].fd, POLLIN, 0 };
		if (poll(p, 1 + CHILDREN, poll_timeout(s)) < 0 && errno != EINTR)
			break;
		for (i = 0; i < CHILDREN; i++)
			if (p[1 + i].revents != 0)
				child_spoke(s, &s->children[i]);
		if (p[0].revents != 0)
			signalled(s);
		if (s->stopping)
			stop_further(s);
		else
			restart_due(s);
	}
}

/* ---- Start and end ---- */

static int open_signals(struct supervisor *s)
{
	sigset_t mask;

	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigaddset(&mask, SIGINT);
	(void)sigaddset(&mask, SIGHUP);
	(void)sigaddset(&mask, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &mask, &s->old_mask) != 0)
		return SMTP_EIO;
	s->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signal_fd < 0 ? SMTP_EIO : 0;
}

/** Sessions, relays and 300 folders take a descriptor each; the usual soft limit of 1024 is for programs that
 *  use select(). */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

/** The first start of a child: what it finds wrong ends us all. */
static int start_first(struct supervisor *s, enum child_name name)
{
	char problem[PROBLEM_MAX];
	int err = child_start(s, name);

	if (err != 0) {
		(void)snprintf(s->problem, sizeof s->problem, "%s: %s", child_names[name],
			       smtp_error_str(err));
		return err;
	}
	if (ready_wait(s->children[name].fd, problem, sizeof problem))
		return 0;
	(void)snprintf(s->problem, sizeof s->problem, "%s",
		       problem[0] != '\0' ? problem : "a child process ended at its start");
	return SMTP_EIO;
}

static int start(struct supervisor *s)
{
	int err = open_signals(s);

	raise_descriptor_limit();
	if (err == 0)
		err = sockets_lock(&s->sockets, s->config, s->problem);
	if (err == 0)
		err = sockets_open_listeners(&s->sockets, s->config, s->loops, s->problem);
	if (err == 0)
		err = privileges_drop(s->config, s->problem);
	if (err == 0)
		err = privileges_check_data(s->config, s->problem);
	if (err == 0)
		err = sockets_open_local(&s->sockets, s->config, s->problem);
	if (err == 0)
		err = start_first(s, KEEPER);
	if (err == 0)
		err = start_first(s, MAIL);
	return err;
}

/** A child whose start failed ends by itself, since our end of its socketpair closes. */
static void give_up(struct supervisor *s)
{
	int i;

	for (i = 0; i < CHILDREN; i++) {
		child_close(&s->children[i]);
		if (s->children[i].pid != 0)
			(void)waitpid(s->children[i].pid, NULL, 0);
	}
}

int supervise(struct config *config)
{
	struct supervisor *s = calloc(1, sizeof *s);
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	bool failed;
	int err;

	if (s == NULL)
		return 1;
	s->config = config;
	s->loops = cores < 1 ? 1 : cores > LOOPS_MAX ? LOOPS_MAX : (unsigned)cores;
	s->children[KEEPER].fd = s->children[MAIL].fd = -1;
	sockets_init(&s->sockets);
	s->signal_fd = -1;
	log_setup(config->log_format, config->log_level, "smtpd");
	err = start(s);
	if (err == 0) {
		log_event(LOG_LEVEL_INFO, "smtpd.start",
			  LOG_STR("version", smtp_library_version()), LOG_INT("pid", getpid()),
			  LOG_STR("hostname", config->hostname));
		if (geteuid() == 0)
			log_event(LOG_LEVEL_WARN, "smtpd.root",
				  LOG_STR("reason", "user is empty, so it runs as root: for "
						    "private tests only"));
		watch(s);
	} else {
		(void)fprintf(stderr, "smtpd: %s\n",
			      s->problem[0] != '\0' ? s->problem : smtp_error_str(err));
		give_up(s);
	}
	sockets_close(&s->sockets, s->config);
	if (s->signal_fd >= 0)
		(void)close(s->signal_fd);
	config_free(s->config);
	failed = err != 0 || s->failed;
	free(s);
	return failed ? 1 : 0;
}
