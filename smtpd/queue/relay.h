/* SPDX-License-Identifier: ISC */
/* relay.h - delivery to other hosts: jobs wait in line for their next hop, connections serve the line.
 * A connection takes its job only when it is ready for one.
 */
#ifndef SMTPD_QUEUE_RELAY_H
#define SMTPD_QUEUE_RELAY_H

#include "smtpd/queue/internal.h"
#include "smtpd/queue/route.h"

enum {
	RELAY_JOB_RECIPIENTS_MAX = 100, /* every server takes as many (RFC 5321, 4.5.3.1.8) */
	RELAY_LINE_MAX = 500,           /* jobs in the line of one next hop: what is behind it waits */
	RELAY_LINES_MAX = 4000,         /* in all lines; in the queue, out of memory */
	RELAY_CROWD_MS = 1000,          /* it waits that long at least, */
	RELAY_CROWD_STEP_MS = 1,        /* and one by one: that much more each when the line moves, */
	RELAY_CROWD_SLOW_MS = 20,       /* or that much when it does not: looking again costs a load */
	RELAY_CROWD_MAX_MS = 600000,
	RELAY_HOP_CONNECTIONS_MAX = 20,
	RELAY_CONNECTIONS_MAX = 200,
	RELAY_MESSAGES_MAX = 100,       /* on one connection */
	RELAY_TRIES_MAX = 10,           /* addresses tried for one connection */
	RELAY_IDLE_MS = 1000,           /* a connection waits that long for one more message */
	RELAY_PRELOAD_MAX = 262144,     /* content up to this size is sent from memory */
	RELAY_CONNECT_TIMEOUT_MS = 30000
};

struct hop;
struct relay_conn;

/** One transaction to be: recipients of one message that have the same next hop. */
struct relay_job {
	struct smtp_work work;
	struct relay_job *next;    /* in its hop's line */
	struct relay_job *sibling; /* of the attempt */
	struct relay *relay;
	struct hop *hop;           /* while its content is loaded */
	struct relay_conn *conn;   /* that serves it */
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
/** Begins no transaction any more: jobs in line end without outcome. */
void relay_drain(struct relay *);

/** One job for `count` deliveries; freed with relay_job_free(). NULL: no memory. */
struct relay_job *relay_job_new(struct attempt *, struct delivery **deliveries, size_t count);
void relay_job_free(struct relay_job *);
/** Puts a job in line. When its outcomes are there, attempt_group_done() is called, once; perhaps from
 *  within. When the line is full it ends without outcome, and attempt->crowded_ms says when to try. */
void relay_submit(struct relay *, struct relay_job *, const struct route *);

#endif
