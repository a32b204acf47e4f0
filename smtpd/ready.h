/* SPDX-License-Identifier: ISC */
/* ready.h - how a child tells the supervisor that it serves, or why it can't: one line on the socketpair
 * between them.
 */
#ifndef SMTPD_READY_H
#define SMTPD_READY_H

#include <stdbool.h>
#include <stddef.h>

/** In the child: "ready", or "fail PROBLEM". */
void ready_tell(int supervisor_fd, const char *problem);
/** In the supervisor: waits for that line, however long it takes (a large spool), but for a TERM or INT
 *  that is pending. True: ready; else `problem` tells why, "" when the child just ended. */
bool ready_wait(int child_fd, char *problem, size_t cap);

#endif
