/* SPDX-License-Identifier: ISC */
/* mail.h - the mail process: sessions come in, the queue sends on. Entered after fork, with privileges
 * dropped and sockets bound; it never opens accounts.db or a private DKIM key.
 */
#ifndef SMTPD_MAIL_MAIL_H
#define SMTPD_MAIL_MAIL_H

#include "config/config.h"

/** Sockets that listen already for one entry of config.listeners: one for each loop. */
struct mail_listener {
	const int *fds;
	size_t fd_count;
};

struct mail_start {
	const struct config *config;
	const struct mail_listener *listeners; /* config->listener_count of them */
	unsigned loops;
	int control_fd;   /* unix socket that listens for smtpctl */
	int supervisor_fd; /* end of a socketpair: "reload\n", "stop\n" come in; EOF: the supervisor died */
};

/** Runs until told to stop; returns the exit status. */
int mail_process(const struct mail_start *start);

#endif
