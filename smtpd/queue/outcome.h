/* SPDX-License-Identifier: ISC */
/* outcome.h - what became of one recipient in one attempt: a value that route, relay and local delivery
 * fill in and settle.c turns into records, log lines and reports.
 */
#ifndef SMTPD_QUEUE_OUTCOME_H
#define SMTPD_QUEUE_OUTCOME_H

#include <smtp/reply.h>

enum outcome_kind {
	OUTCOME_NONE, /* not tried, or by no fault of mail: nothing is recorded, it is tried again soon */
	OUTCOME_DELIVERED,
	OUTCOME_TRANSIENT,
	OUTCOME_PERMANENT
};

enum { OUTCOME_TEXT_MAX = 500, OUTCOME_STATUS_MAX = 16 };

/** Texts are owned and may be NULL, also when memory failed. */
struct outcome {
	enum outcome_kind kind;
	char *reply; /* "550 5.1.1 no such user" from a host, "5.1.2 no such domain" from ourselves */
	char *host;  /* name of the host that said it */
	char *peer;  /* its address */
};

/** Replaces what was there. `host` and `peer` may be NULL. */
void outcome_set(struct outcome *, enum outcome_kind kind, const char *host, const char *reply);
void outcome_set_peer(struct outcome *, const char *peer);
/** Kind and text of what a host answered; anything but 2yz and 5yz is transient. */
void outcome_set_reply(struct outcome *, const char *host, const struct smtp_reply *reply);
void outcome_copy(struct outcome *, const struct outcome *from);
void outcome_release(struct outcome *);
/** Never NULL. */
const char *outcome_reply(const struct outcome *);
/** Did a host say it, with a reply code? */
bool outcome_text_is_reply(const char *text);
/** The enhanced code of a text, "5.0.0" or "4.0.0" when it has none. */
void outcome_status(const char *text, bool permanent, char out[OUTCOME_STATUS_MAX]);
/** The worse of two for one recipient that has several addresses: transient, permanent, delivered. */
const struct outcome *outcome_worse(const struct outcome *a, const struct outcome *b);

#endif
