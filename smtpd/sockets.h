/* SPDX-License-Identifier: ISC */
/* sockets.h - every socket that must exist before privileges are dropped or children forked: the
 * listeners of the configuration, the control socket, the keeper's.
 */
#ifndef SMTPD_SOCKETS_H
#define SMTPD_SOCKETS_H

#include "config/config.h"
#include "smtpd/mail/mail.h"

enum { SOCKETS_PER_LISTENER_MAX = 128 };

struct sockets {
	int listener_fds[CONFIG_LISTENERS_MAX][SOCKETS_PER_LISTENER_MAX];
	struct mail_listener listeners[CONFIG_LISTENERS_MAX];
	size_t listener_count;
	int control_fd, keeper_fd, lock_fd; /* -1 until opened */
};

enum { SOCKETS_PROBLEM_MAX = 512 };

void sockets_init(struct sockets *);
/** Binds each listener `loops` times over (SO_REUSEPORT). 0, or an error and one line about it. */
SMTP_MUST_USE int sockets_open_listeners(struct sockets *, const struct config *, unsigned loops,
					 char problem[SOCKETS_PROBLEM_MAX]);
/** Takes the lock in data_dir that keeps a second daemon off; children hold it too. Waits some seconds for
 *  those of a daemon that was killed. The first of all: they still hold its ports. */
SMTP_MUST_USE int sockets_lock(struct sockets *, const struct config *,
			       char problem[SOCKETS_PROBLEM_MAX]);
/** The unix sockets in data_dir; with the lock held, what is there is of a dead daemon and is replaced. */
SMTP_MUST_USE int sockets_open_local(struct sockets *, const struct config *,
				     char problem[SOCKETS_PROBLEM_MAX]);
/** For a child that serves none of them. */
void sockets_close_listeners(struct sockets *);
/** Closes all; removes those in data_dir that it has opened. */
void sockets_close(struct sockets *, const struct config *config);

#endif
