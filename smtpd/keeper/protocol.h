/* SPDX-License-Identifier: ISC */
/* protocol.h - the messages between mail process and keeper: one datagram of a sequenced-packet unix
 * socket each, a header and fields with their lengths. Both ends are of one build, so numbers are in the
 * machine's order. What comes in is checked like anything else from outside.
 */
#ifndef SMTPD_KEEPER_PROTOCOL_H
#define SMTPD_KEEPER_PROTOCOL_H

#include <smtp/base.h>
#include "libsmtp/core/buf.h"

enum keeper_type {
	KEEPER_RESOLVE = 1, /* local part, domain -> kind; target... */
	KEEPER_AUTH,        /* name, password -> 1 accepted; account */
	KEEPER_REACHES,     /* local part, domain, account -> 1 reaches */
	KEEPER_SIGN         /* domain, added fields, content bytes + descriptor -> field */
};

enum { KEEPER_MESSAGE_MAX = 65536, KEEPER_FIELDS_MAX = 4 };

struct keeper_header {
	uint32_t id;
	uint16_t type;
	int16_t error;  /* answers: 0 or a negative enum smtp_error */
	uint32_t value; /* answers: kind, yes or no */
};

/** Begins a message in an empty buffer. */
SMTP_MUST_USE int keeper_put_header(struct smtp_buf *message, const struct keeper_header *header);
SMTP_MUST_USE int keeper_put(struct smtp_buf *message, struct smtp_span field);
/** Both take from the head of *rest; SMTP_EPROTO when there is less than that. */
SMTP_MUST_USE int keeper_take_header(struct smtp_span *rest, struct keeper_header *out);
SMTP_MUST_USE int keeper_take(struct smtp_span *rest, struct smtp_span *field);

/** Sends one message, with a descriptor unless fd is -1. 0, SMTP_EBUSY when the socket is full,
 *  SMTP_ECLOSED. */
SMTP_MUST_USE int keeper_send(int socket_fd, struct smtp_span message, int fd);
/** Receives one message into `out` of KEEPER_MESSAGE_MAX octets; *fd is -1 or a descriptor that the caller
 *  closes. 0, SMTP_EBUSY when there is none now, SMTP_ECLOSED, SMTP_EPROTO. */
SMTP_MUST_USE int keeper_receive(int socket_fd, uint8_t *out, size_t *n, int *fd);

#endif
