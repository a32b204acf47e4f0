/* SPDX-License-Identifier: ISC */
/* process.h - the mail process as a whole, shared by what starts and ends it (mail.c) and what its settings
 * do to the server (settings.c).
 */
#ifndef SMTPD_MAIL_PROCESS_H
#define SMTPD_MAIL_PROCESS_H

#include <pthread.h>
#include "smtpd/control.h"
#include "smtpd/mail/mail.h"
#include "smtpd/mail/sessions.h"

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
	struct smtp_workers *queue_workers;
	struct smtp_loop_call drain_call;
	pthread_t queue_thread;
	bool stopping;      /* written and read on the queue's loop, and after it */
	uint64_t stop_at_ms; /* by the clock of the queue's loop: one deadline for sessions and queue */
	struct old_config *configs;
	char problem[512];
};

/** Listens on all sockets of the start, with certificate and limits. `m->problem` tells what is wrong. */
SMTP_MUST_USE int mail_listen(struct mail_main *m);
/** On the queue's loop: reads the settings again and uses them for sessions to come; on error the old ones
 *  stay, and the log says why. */
void mail_reload(struct mail_main *m);
void mail_free_configs(struct mail_main *m);

#endif
