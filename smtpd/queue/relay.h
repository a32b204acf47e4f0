/* SPDX-License-Identifier: ISC */
/* relay.h - delivery to other hosts: transactions wait in line for their next hop, sessions serve the
 * line. A session takes its transaction only when it is ready for one.
 */
#ifndef SMTPD_QUEUE_RELAY_H
#define SMTPD_QUEUE_RELAY_H

#include "smtpd/queue/internal.h"
#include "smtpd/queue/route.h"

enum {
	RELAY_RECIPIENTS_MAX = 100, /* every server takes as many (RFC 5321, 4.5.3.1.8) */
	RELAY_LINE_MAX = 500,           /* in the line of one next hop: what is behind it waits */
	RELAY_LINES_MAX = 4000,         /* in all lines; in the queue, out of memory */
	RELAY_CROWD_MS = 1000,          /* it waits that long at least, */
	RELAY_CROWD_STEP_MS = 1,        /* and one by one: that much more each when the line moves, */
	RELAY_CROWD_SLOW_MS = 20,       /* or that much when it does not: looking again costs a load */
	RELAY_CROWD_MAX_MS = 600000,
	RELAY_NEXT_HOP_SESSIONS_MAX = 20,
	RELAY_SESSIONS_MAX = 200,
	RELAY_MESSAGES_MAX = 100,       /* on one connection */
	RELAY_TRIES_MAX = 10,           /* addresses tried for one connection */
	RELAY_IDLE_MS = 1000,           /* a connection waits that long for one more message */
	RELAY_PRELOAD_MAX = 262144,     /* content up to this size is sent from memory */
	RELAY_CONNECT_TIMEOUT_MS = 30000
};

struct next_hop;
struct relay_session;

/** One transaction to be: recipients of one message that have the same next hop. */
struct relay_transaction {
	struct smtp_work work;
	struct relay_transaction *next;    /* in its next hop's line */
	struct relay_transaction *sibling; /* of the attempt */
	struct relay *relay;
	struct next_hop *next_hop;           /* while its content is loaded */
	struct relay_session *session;   /* that serves it */
	struct attempt *attempt;
	struct delivery **deliveries; /* their outcomes are the results */
	size_t count;
	bool requeued;
	struct smtp_spool_reader *reader;
	uint8_t *content;          /* preloaded; NULL: read from `reader` */
	size_t content_bytes, read;
	uint64_t total_bytes;
	int error;
};

SMTP_MUST_USE int relay_new(struct relay **out, struct queue *);
void relay_free(struct relay *);
void relay_set_config(struct relay *);
/** Begins no transaction any more: transactions in line end without outcome. */
void relay_drain(struct relay *);

/** One transaction for `count` deliveries; freed with relay_transaction_free(). NULL: no memory. */
struct relay_transaction *relay_transaction_new(struct attempt *, struct delivery **deliveries,
						size_t count);
void relay_transaction_free(struct relay_transaction *);
/** Puts a transaction in line. When its outcomes are there, attempt_group_done() is called, once; perhaps
 *  from within. When the line is full it ends without outcome, and attempt->crowded_ms says when to try. */
void relay_submit(struct relay *, struct relay_transaction *, const struct route *);

#endif
