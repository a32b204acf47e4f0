/* SPDX-License-Identifier: ISC */
/* keeper.h - the keeper process: the only one that opens accounts.db and private DKIM keys. It answers
 * look-ups, checks passwords and signs, asked over a unix socket (protocol.h).
 */
#ifndef SMTPD_KEEPER_KEEPER_H
#define SMTPD_KEEPER_KEEPER_H

#include "config/config.h"

/** Runs until the supervisor's end of `supervisor_fd` closes or says "stop"; returns the exit status.
 *  `listen_fd` is the keeper's socket, listening; taken over. */
int keeper_process(const struct config *config, int listen_fd, int supervisor_fd);

#endif
