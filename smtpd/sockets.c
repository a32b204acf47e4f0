/* SPDX-License-Identifier: ISC */
/* sockets.c - opens and closes what smtpd listens on, and holds the lock that keeps a second daemon off
 * the same data.
 */
#include "smtpd/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "libsmtp/net/listener.h"

enum { BACKLOG = 1024, LOCK_TRIES = 100, LOCK_WAIT_NS = 50 * 1000 * 1000 };

int sockets_open_listeners(struct sockets *s, const struct config *config, unsigned loops,
			   char problem[SOCKETS_PROBLEM_MAX])
{
	char why[SMTP_LISTENER_PROBLEM_MAX];
	size_t i;

	for (i = 0; i < config->listener_count; i++) {
		size_t count = SOCKETS_PER_LISTENER_MAX;
		int err = smtp_listener_open(config->listeners[i].address, loops,
					     s->listener_fds[i], &count, NULL, why);

		if (err != 0) {
			(void)snprintf(problem, SOCKETS_PROBLEM_MAX, "listen: %s%s", why,
				       err == SMTP_EACCESS ? " (ports below 1024 take root, or "
							     "CAP_NET_BIND_SERVICE)" :
							     "");
			return err;
		}
		s->listeners[i] = (struct mail_listener){ s->listener_fds[i], count };
		s->listener_count = i + 1;
	}
	return 0;
}

/** A file that root makes here before privileges are dropped belongs to the owner of the folder. */
static int make_lock(const char *path, const char *folder)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno == EEXIST ? open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW) : -1;
	if (geteuid() == 0 &&
	    (stat(folder, &st) != 0 || fchown(fd, st.st_uid, st.st_gid) != 0)) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

int sockets_lock(struct sockets *s, const struct config *config,
		 char problem[SOCKETS_PROBLEM_MAX])
{
	const struct timespec wait = { 0, LOCK_WAIT_NS };
	char *path;
	int tries, err = config_data_path(config, "smtpd.lock", &path);

	if (err != 0)
		return err;
	s->lock_fd = make_lock(path, config->data_dir);
	free(path);
	if (s->lock_fd < 0) {
		(void)snprintf(problem, SOCKETS_PROBLEM_MAX, "data_dir %s: %s%s", config->data_dir,
			       strerror(errno),
			       errno == ENOENT ? " (smtpctl setup makes it)" : "");
		return SMTP_EACCESS;
	}
	for (tries = 0; tries < LOCK_TRIES; tries++) {
		if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		(void)nanosleep(&wait, NULL);
	}
	(void)snprintf(problem, SOCKETS_PROBLEM_MAX,
		       "data_dir %s: another smtpd works there (smtpctl stop ends it)",
		       config->data_dir);
	return SMTP_EBUSY;
}

static int local_address(const struct config *config, const char *name, struct sockaddr_un *out,
			 char *problem)
{
	char *path;
	int err = config_data_path(config, name, &path);

	if (err != 0)
		return err;
	memset(out, 0, sizeof *out);
	out->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof out->sun_path) {
		(void)snprintf(problem, SOCKETS_PROBLEM_MAX,
			       "data_dir %s: the path is too long for a unix socket",
			       config->data_dir);
		err = SMTP_ETOOLONG;
	} else {
		memcpy(out->sun_path, path, strlen(path) + 1);
	}
	free(path);
	return err;
}

/** The lock is held, so a socket of that name is a dead one. */
static int open_local(const struct config *config, const char *name, int type, int *out,
		      char *problem)
{
	struct sockaddr_un address;
	mode_t mask;
	int fd, bound, err = local_address(config, name, &address, problem);

	if (err != 0)
		return err;
	(void)unlink(address.sun_path);
	fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	mask = umask(0177);
	bound = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof address);
	(void)umask(mask);
	if (bound != 0 || listen(fd, BACKLOG) != 0) {
		(void)snprintf(problem, SOCKETS_PROBLEM_MAX, "%s: %s", address.sun_path,
			       strerror(errno));
		if (fd >= 0)
			(void)close(fd);
		return SMTP_EACCESS;
	}
	*out = fd;
	return 0;
}

int sockets_open_local(struct sockets *s, const struct config *config,
		       char problem[SOCKETS_PROBLEM_MAX])
{
	int err = open_local(config, CONFIG_CONTROL_SOCKET, SOCK_STREAM, &s->control_fd, problem);

	if (err == 0)
		err = open_local(config, CONFIG_KEEPER_SOCKET, SOCK_SEQPACKET, &s->keeper_fd,
				 problem);
	return err;
}

void sockets_close_listeners(struct sockets *s)
{
	size_t i, k;

	for (i = 0; i < s->listener_count; i++)
		for (k = 0; k < s->listeners[i].fd_count; k++)
			(void)close(s->listener_fds[i][k]);
	s->listener_count = 0;
}

static void close_local(int *fd, const struct config *config, const char *name)
{
	struct sockaddr_un address;
	char problem[SOCKETS_PROBLEM_MAX];

	if (*fd < 0)
		return;
	(void)close(*fd);
	*fd = -1;
	if (local_address(config, name, &address, problem) == 0)
		(void)unlink(address.sun_path);
}

void sockets_close(struct sockets *s, const struct config *config)
{
	sockets_close_listeners(s);
	close_local(&s->control_fd, config, CONFIG_CONTROL_SOCKET);
	close_local(&s->keeper_fd, config, CONFIG_KEEPER_SOCKET);
	if (s->lock_fd >= 0)
		(void)close(s->lock_fd);
	s->lock_fd = -1;
}

void sockets_init(struct sockets *s)
{
	s->listener_count = 0;
	s->control_fd = s->keeper_fd = s->lock_fd = -1;
}
