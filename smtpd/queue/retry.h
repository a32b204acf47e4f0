/* SPDX-License-Identifier: ISC */
/* retry.h - when to try again, when to give up, when to tell the sender of a delay. Pure arithmetic on
 * the settings; times are milliseconds since 1970.
 */
#ifndef SMTPD_QUEUE_RETRY_H
#define SMTPD_QUEUE_RETRY_H

#include <smtp/spool.h>
#include "config/config.h"

/** The next attempt of a recipient after one that was transient. `attempts` counts those made, this one
 *  included. The last interval is repeated; the last attempt is at the end of the lifetime. */
int64_t retry_next_ms(const struct config *, unsigned attempts, int64_t now_ms, int64_t arrival_ms);
/** Is a message given up if it can't be delivered now? */
bool retry_is_over(const struct config *, int64_t now_ms, int64_t arrival_ms);
/** Is it time to tell the sender that the message waits? Once, and not for reports. */
bool retry_notice_is_due(const struct config *, const struct smtp_queue_entry *, int64_t now_ms);
/** The end of the lifetime. */
int64_t retry_until_ms(const struct config *, int64_t arrival_ms);

#endif
