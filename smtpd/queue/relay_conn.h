/* SPDX-License-Identifier: ISC */
/* relay_conn.h - what relay.c (next hops and their lines) and relay_conn.c (one connection to one of
 * their hosts) know of each other.
 */
#ifndef SMTPD_QUEUE_RELAY_CONN_H
#define SMTPD_QUEUE_RELAY_CONN_H

#include "libsmtp/net/client_conn.h"
#include "smtpd/queue/relay.h"

enum { RELAY_BUCKETS = 256 };

/** A next hop with mail for it; gone when its line and its connections are. */
struct hop {
	struct hop *next; /* in its bucket */
	struct relay *relay;
	struct route route;
	struct relay_job *first, **end; /* the line */
	size_t waiting;
	int64_t crowd_until_ms; /* what found the line full has a time up to then */
	uint64_t moved_ms;      /* when a host last answered a transaction; of the loop */
	size_t loading;   /* jobs of its connections that are with a worker */
	struct relay_conn *conns;
	size_t conn_count, opening, limit;
	size_t bucket;
};

struct relay {
	struct queue *queue;
	struct smtp_resolver *resolver;
	struct relay_retired *retired; /* resolvers of older configurations */
	char *dns_resolver, *dns_trust_anchor;
	struct smtp_tls_context *tls_any, *tls_checked;
	char *password;                /* for routes with a login; NULL: none */
	struct hop *buckets[RELAY_BUCKETS];
	size_t conn_count;
	size_t waiting;                /* in all lines */
	bool saturated;                /* a line waits for a connection of another hop to end */
	uint16_t mx_port;              /* 25, but for tests */
};

enum relay_conn_state { CONN_OPENING, CONN_IDLE, CONN_LOADING, CONN_SENDING, CONN_QUITTING };

struct relay_conn {
	struct relay_conn *next; /* of the hop */
	struct hop *hop;
	enum relay_conn_state state;
	struct smtp_client_conn *client;
	struct smtp_dns_query *query;
	struct smtp_timer *idle_timer;
	struct relay_job *job;
	unsigned messages, tries;
	bool in_clear; /* TLS failed with this address: without it */
	struct route_hosts hosts;
	size_t host, address;
	struct smtp_host_answer addresses;
	struct outcome failure; /* of the hosts tried so far; permanent only if it was so for all */
};

/** Begins to open one more connection for the hop. */
SMTP_MUST_USE int relay_conn_open(struct hop *);
/** Takes the next job of the line, or goes idle, or quits. For an idle or new connection. */
void relay_conn_serve(struct relay_conn *);
/** The content of its job was loaded. */
void relay_conn_loaded(struct relay_conn *);
/** Ends it with QUIT if it is idle, at once if it isn't open yet. */
void relay_conn_quit(struct relay_conn *);
/** At once. A job at hand is left to the caller. */
void relay_conn_free(struct relay_conn *);

/* relay.c, for relay_conn.c: */

/** The first job of the line, NULL if none; it is no longer in the line. */
struct relay_job *hop_take(struct hop *);
/** Its content comes from a worker, then relay_conn_loaded() is called. */
void relay_job_load(struct relay_job *);
/** The outcomes are there. The job may be gone after that. */
void relay_job_done(struct relay_job *);
/** Back to the head of the line. */
void relay_job_requeue(struct relay_job *, struct hop *);
/** A connection is gone: `failure` (NULL: none) says why it never opened. */
void hop_conn_gone(struct hop *, const struct outcome *failure);

#endif
