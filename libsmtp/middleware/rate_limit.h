/* SPDX-License-Identifier: ISC */
/* rate_limit.h - the token buckets themselves, apart from sessions, for tests in simulated time. */
#ifndef SMTP_MIDDLEWARE_RATE_LIMIT_H
#define SMTP_MIDDLEWARE_RATE_LIMIT_H

#include <smtp/middleware.h>
#include <smtp/network.h>

struct rate_limit;

/** @options of this version, checked by the caller. SMTP_ENOMEM, SMTP_EIO. */
SMTP_MUST_USE int rate_limit_new(struct rate_limit **out,
				 const struct smtp_rate_limit_options *options);
/** Takes a token of the peer; false: there is none. Any thread. */
bool rate_limit_take(struct rate_limit *, const struct smtp_network *peer, uint64_t now_ms);
void rate_limit_free(struct rate_limit *);

#endif
