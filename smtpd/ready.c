/* SPDX-License-Identifier: ISC */
/* ready.c - the line by which a child reports how its start went. */
#include "smtpd/ready.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 1024, LOOK_MS = 200 };

void ready_tell(int supervisor_fd, const char *problem)
{
	char line[LINE_BYTES];
	int n = problem == NULL ? snprintf(line, sizeof line, "ready\n") :
				  snprintf(line, sizeof line, "fail %.900s\n", problem);
	ssize_t written = write(supervisor_fd, line, (size_t)n);

	(void)written; /* a supervisor that is gone shows at the next read */
}

/** The supervisor blocks its signals: what has come shows as pending. */
static bool is_to_stop(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 &&
	       (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

/** Reads up to a line end; false when the child ended or we are to stop. */
static bool read_line(int fd, char *line, size_t cap)
{
	size_t n = 0;

	while (n + 1 < cap && !is_to_stop()) {
		struct pollfd p = { fd, POLLIN, 0 };
		ssize_t got;

		if (poll(&p, 1, LOOK_MS) <= 0)
			continue;
		got = read(fd, line + n, 1);
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got <= 0)
			return false;
		if (line[n] == '\n') {
			line[n] = '\0';
			return true;
		}
		n++;
	}
	return false;
}

bool ready_wait(int child_fd, char *problem, size_t cap)
{
	char line[LINE_BYTES];

	problem[0] = '\0';
	if (!read_line(child_fd, line, sizeof line))
		return false;
	if (strcmp(line, "ready") == 0)
		return true;
	(void)snprintf(problem, cap, "%s",
		       strncmp(line, "fail ", 5) == 0 ? line + 5 : "unexpected word from a child");
	return false;
}
