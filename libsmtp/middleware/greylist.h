/* SPDX-License-Identifier: ISC */
/* greylist.h - the table of a greylist, apart from sessions, for tests in simulated time. */
#ifndef SMTP_MIDDLEWARE_GREYLIST_H
#define SMTP_MIDDLEWARE_GREYLIST_H

#include <smtp/address.h>
#include <smtp/middleware.h>
#include <smtp/network.h>

struct greylist;

/** @options of this version, checked by the caller; `file` is read. SMTP_ENOMEM, SMTP_EIO. */
SMTP_MUST_USE int greylist_new(struct greylist **out, const struct smtp_greylist_options *options);
/** May this one pass at that time (seconds since 1970)? If not, *wait_s says how long it has to wait. Any
 *  thread. Writes the file when it is time to. */
bool greylist_passes(struct greylist *, const struct smtp_network *peer,
		     const struct smtp_mailbox *from, const struct smtp_mailbox *to, int64_t now_s,
		     uint32_t *wait_s);
/** Writes the file, if there is one. */
void greylist_free(struct greylist *);

#endif
