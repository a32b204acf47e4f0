/* SPDX-License-Identifier: ISC */
/* control_client.c - one request to the running daemon over its control socket. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "libsmtp/core/span.h"
#include "smtpctl/smtpctl.h"

enum { REPLY_MAX = 65536, TIMEOUT_S = 30 };

static int open_socket(const struct config *config, char problem[CTL_PROBLEM_MAX])
{
	const struct timeval timeout = { TIMEOUT_S, 0 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int n = snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", config->data_dir,
			 CONFIG_CONTROL_SOCKET);
	int fd;

	if (n < 0 || (size_t)n >= sizeof address.sun_path) {
		(void)snprintf(problem, CTL_PROBLEM_MAX, "data_dir is too long for a socket");
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) != 0 ||
	    connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
		(void)snprintf(problem, CTL_PROBLEM_MAX, "%.120s: %.40s%s", address.sun_path,
			       errno == ENOENT || errno == ECONNREFUSED ? "smtpd does not run" :
									  strerror(errno),
			       errno == EACCES ? " (run smtpctl as root or as the user of smtpd)" :
						 "");
		if (fd >= 0)
			(void)close(fd);
		return -1;
	}
	return fd;
}

static int read_all(int fd, struct smtp_buf *out)
{
	char part[4096];
	ssize_t n;

	while ((n = recv(fd, part, sizeof part, 0)) > 0)
		if (smtp_buf_append(out, part, (size_t)n) != 0)
			return SMTP_ETOOLONG;
	return n == 0 ? 0 : SMTP_EIO;
}

/** "ok" and lines, or "error TEXT". */
static int take_verdict(struct smtp_buf *lines, char problem[CTL_PROBLEM_MAX])
{
	struct smtp_span all = smtp_buf_span(lines);
	const uint8_t *end = all.n > 0 ? memchr(all.p, '\n', all.n) : NULL;
	struct smtp_span head;

	if (end == NULL) {
		(void)snprintf(problem, CTL_PROBLEM_MAX, "smtpd gave no answer");
		return SMTP_EIO;
	}
	head = smtp_span_slice(all, 0, (size_t)(end - all.p));
	if (!smtp_span_is(head, "ok")) {
		(void)snprintf(problem, CTL_PROBLEM_MAX, "%.*s",
			       (int)(head.n > 6 && head.n < 200 ? head.n - 6 : 0),
			       (const char *)head.p + (head.n > 6 ? 6 : 0));
		return SMTP_EREFUSED;
	}
	smtp_buf_drop(lines, head.n + 1);
	return 0;
}

int ctl_ask(const struct config *config, const char *request, struct smtp_buf *lines,
	    char problem[CTL_PROBLEM_MAX])
{
	char line[256];
	int n = snprintf(line, sizeof line, "%s\n", request);
	int fd = open_socket(config, problem), err = 0;

	smtp_buf_init(lines, REPLY_MAX);
	if (fd < 0)
		return SMTP_ENOTFOUND;
	if (send(fd, line, (size_t)n, MSG_NOSIGNAL) != (ssize_t)n || read_all(fd, lines) != 0) {
		(void)snprintf(problem, CTL_PROBLEM_MAX, "smtpd gave no answer: %s",
			       strerror(errno));
		err = SMTP_EIO;
	}
	(void)close(fd);
	return err == 0 ? take_verdict(lines, problem) : err;
}
