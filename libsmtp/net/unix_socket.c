/* SPDX-License-Identifier: ISC */
/* Unix sockets that listen: their file, who may open it, and what is left of a server that died. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "libsmtp/net/listener.h"

enum { BACKLOG = 4096 };

static int say(char *problem, const char *path, const char *what, int error)
{
	(void)snprintf(problem, SMTP_LISTENER_PROBLEM_MAX, "%.150s: %s", path, what);
	return error;
}

static int say_errno(char *problem, const char *path, int number)
{
	int error = SMTP_EIO;

	if (number == EACCES || number == EPERM || number == ENOENT || number == ENOTDIR ||
	    number == EROFS)
		error = SMTP_EACCESS;
	else if (number == EADDRINUSE)
		error = SMTP_EBUSY;
	else if (number == ENOMEM || number == ENOBUFS)
		error = SMTP_ENOMEM;
	return say(problem, path, strerrordesc_np(number), error);
}

static int new_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Removes the socket that a server left behind; any other file stays. */
static int remove_stale(const struct sockaddr_un *address, char *problem)
{
	struct stat st;
	int fd;
	int number;

	if (lstat(address->sun_path, &st) != 0)
		return errno == ENOENT ? 0 : say_errno(problem, address->sun_path, errno);
	if (!S_ISSOCK(st.st_mode))
		return say(problem, address->sun_path, "is there and is no socket", SMTP_EBUSY);
	fd = new_socket();
	if (fd < 0)
		return say_errno(problem, address->sun_path, errno);
	number = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 ? 0 : errno;
	(void)close(fd);
	if (number != ECONNREFUSED)
		return say(problem, address->sun_path, "somebody listens there already", SMTP_EBUSY);
	if (unlink(address->sun_path) != 0 && errno != ENOENT)
		return say_errno(problem, address->sun_path, errno);
	return 0;
}

/* Nobody can connect before listen(), so the permissions are there in time. */
static int bind_and_listen(struct smtp_unix_socket *unix_socket, int fd,
			   const struct sockaddr_un *address, unsigned mode, char *problem)
{
	struct stat st;

	if (bind(fd, (const struct sockaddr *)address, sizeof *address) != 0)
		return say_errno(problem, address->sun_path, errno);
	if (lstat(address->sun_path, &st) != 0)
		return say_errno(problem, address->sun_path, errno);
	unix_socket->device = st.st_dev;
	unix_socket->inode = st.st_ino;
	if (chmod(address->sun_path, (mode_t)mode) == 0 && listen(fd, BACKLOG) == 0)
		return 0;
	return say_errno(problem, address->sun_path, errno);
}

int smtp_unix_socket_open(struct smtp_unix_socket *out, const char *path, unsigned mode, int *fd,
			  char problem[SMTP_LISTENER_PROBLEM_MAX])
{
	struct smtp_unix_socket unix_socket = { .path = NULL };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	int err;

	*problem = '\0';
	if (path[0] != '/' || n >= sizeof address.sun_path || mode > 0777)
		return say(problem, path, "no absolute path of at most 107 octets, or no permissions",
			   SMTP_EINVAL);
	memcpy(address.sun_path, path, n + 1);
	err = remove_stale(&address, problem);
	if (err)
		return err;
	unix_socket.path = strdup(path);
	if (!unix_socket.path)
		return say_errno(problem, path, ENOMEM);
	*fd = new_socket();
	err = *fd < 0 ? say_errno(problem, path, errno) :
			bind_and_listen(&unix_socket, *fd, &address, mode, problem);
	if (err) {
		if (*fd >= 0)
			(void)close(*fd);
		smtp_unix_socket_close(&unix_socket);
		return err;
	}
	*out = unix_socket;
	return 0;
}

void smtp_unix_socket_close(struct smtp_unix_socket *unix_socket)
{
	struct stat st;

	if (unix_socket->path && lstat(unix_socket->path, &st) == 0 &&
	    st.st_dev == unix_socket->device && st.st_ino == unix_socket->inode)
		(void)unlink(unix_socket->path); /* gone already: as well */
	free(unix_socket->path);
	unix_socket->path = NULL;
}
