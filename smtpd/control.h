/* SPDX-License-Identifier: ISC */
/* control.h - the control socket of the running daemon: one line of words in, "ok" or "error TEXT" and
 * lines of "name value" out, then close. smtpctl talks to it. Who may connect is decided by the mode of
 * the socket and its folder.
 *
 *   status | reload | stop | queue retry [ID] | queue remove ID
 */
#ifndef SMTPD_CONTROL_H
#define SMTPD_CONTROL_H

#include "libsmtp/core/buf.h"
#include "libsmtp/net/loop.h"

enum { CONTROL_REQUEST_MAX = 512, CONTROL_REPLY_MAX = 16384 };

/** What the daemon does for each request; called in the loop's thread. */
struct control_actions {
	int (*status)(struct smtp_buf *lines, void *user);
	int (*reload)(struct smtp_buf *lines, void *user); /* on error the lines tell why */
	int (*stop)(void *user);
	int (*queue_retry)(const char *id, void *user); /* id NULL: all */
	int (*queue_remove)(const char *id, void *user);
	void *user;
};

struct control;

/** Serves a listening socket, which is taken over unless this fails. `actions` is copied. */
SMTP_MUST_USE int control_new(struct control **out, struct smtp_loop *, int listen_fd,
			      const struct control_actions *actions);
void control_free(struct control *);

#endif
