/* SPDX-License-Identifier: ISC */
/* supervisor.h - the parent: binds, drops privileges, starts keeper and mail, restarts what dies, and
 * turns signals into words for its children.
 */
#ifndef SMTPD_SUPERVISOR_H
#define SMTPD_SUPERVISOR_H

#include "config/config.h"

/** Runs until a TERM or INT; takes `config` over. Returns the exit status. */
int supervise(struct config *config);

#endif
