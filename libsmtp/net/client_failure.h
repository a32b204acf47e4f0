/* SPDX-License-Identifier: ISC */
/* client_failure.h - how an attempt at one address ended: kept while others are tried, weighed against
 * theirs, told in one line.
 */
#ifndef SMTP_NET_CLIENT_FAILURE_H
#define SMTP_NET_CLIENT_FAILURE_H

#include <smtp/client_session.h>
#include "libsmtp/core/buf.h"
#include "libsmtp/net/socket_address.h"

enum { SMTP_CLIENT_PROBLEM_MAX = 512 };

/** Zeroed, it is none. */
struct smtp_client_failure {
	bool known;
	int error;
	enum smtp_client_step step;
	bool has_reply;
	struct smtp_reply reply; /* borrows from `text` */
	struct smtp_buf text;
	char problem[SMTP_CLIENT_PROBLEM_MAX];
	char peer[SMTP_SOCKET_ADDRESS_TEXT_MAX];
};

/** `reply` may be NULL; its text is copied. */
void smtp_client_failure_set(struct smtp_client_failure *f, int error, enum smtp_client_step step,
			     const struct smtp_reply *reply);
void smtp_client_failure_release(struct smtp_client_failure *f);
/** Fills in peer and problem: `said`, what the socket or TLS said, else made from the rest. */
void smtp_client_failure_describe(struct smtp_client_failure *f, const char *peer, const char *said);
/** Was it a 5yz reply? */
bool smtp_client_failure_is_permanent(const struct smtp_client_failure *f);
/** May another address of the host do better? Not once the server has let us in. */
bool smtp_client_failure_is_of_address(const struct smtp_client_failure *f);

#endif
