/* SPDX-License-Identifier: ISC */
/* report.h - brings a report (dsn.h) on its way: composed and committed on workers, signed by the keeper.
 */
#ifndef SMTPD_QUEUE_REPORT_H
#define SMTPD_QUEUE_REPORT_H

#include "smtpd/queue/dsn.h"
#include "smtpd/queue/internal.h"

struct report;

/** Reports to the sender of the attempt's message what its settlements say: those that failed, or those
 *  that are delayed. `done` is called once, later, with 0 when the report is in the spool. */
SMTP_MUST_USE int report_begin(struct attempt *, enum dsn_action action,
			       void (*done)(struct attempt *, int error));
void report_free(struct report *);

#endif
