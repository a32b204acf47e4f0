/* SPDX-License-Identifier: ISC */
/* relay_session.h - what relay.c (next hops and their lines) and relay_session.c (one session with one of
 * their hosts) know of each other.
 */
#ifndef SMTPD_QUEUE_RELAY_SESSION_H
#define SMTPD_QUEUE_RELAY_SESSION_H

#include "libsmtp/net/client_conn.h"
#include "smtpd/queue/relay.h"

enum { RELAY_BUCKETS = 256 };

/** A next hop with mail for it; gone when its line and its sessions are. */
struct next_hop {
	struct next_hop *next; /* in its bucket */
	struct relay *relay;
	struct route route;
	struct relay_transaction *first, **end; /* the line */
	size_t waiting;
	int64_t crowd_until_ms; /* what found the line full has a time up to then */
	uint64_t moved_ms;      /* when a host last answered a transaction; of the loop */
	size_t loading;   /* transactions of its sessions that are with a worker */
	struct relay_session *sessions;
	size_t session_count, opening, limit;
	size_t bucket;
};

struct relay {
	struct queue *queue;
	struct smtp_resolver *resolver;
	struct relay_retired *retired; /* resolvers of older configurations */
	char *dns_resolver, *dns_trust_anchor;
	struct smtp_tls_context *tls_any, *tls_checked;
	char *password;                /* for routes with a login; NULL: none */
	struct next_hop *buckets[RELAY_BUCKETS];
	size_t session_count;
	size_t waiting;                /* in all lines */
	bool saturated;                /* a line waits for a session with another next hop to end */
	uint16_t mx_port;              /* 25, but for tests */
};

enum relay_session_state {
	SESSION_OPENING,
	SESSION_IDLE,
	SESSION_LOADING,
	SESSION_SENDING,
	SESSION_QUITTING
};

struct relay_session {
	struct relay_session *next; /* of the next hop */
	struct next_hop *next_hop;
	enum relay_session_state state;
	struct smtp_client_conn *client;
	struct smtp_dns_query *query;
	struct smtp_timer *idle_timer;
	struct relay_transaction *txn;
	unsigned messages, tries;
	bool in_clear; /* TLS failed with this address: without it */
	struct route_hosts hosts;
	size_t host, address;
	struct smtp_host_answer addresses;
	struct outcome failure; /* of the hosts tried so far; permanent only if it was so for all */
};

/** Begins one more session with the next hop. */
SMTP_MUST_USE int relay_session_open(struct next_hop *);
/** Takes the next transaction of the line, or goes idle, or quits. For an idle or new session. */
void relay_session_serve(struct relay_session *);
/** The content of its transaction was loaded. */
void relay_session_loaded(struct relay_session *);
/** Ends it with QUIT if it is idle, at once if it isn't open yet. */
void relay_session_quit(struct relay_session *);
/** At once. A transaction at hand is left to the caller. */
void relay_session_free(struct relay_session *);

/* relay.c, for relay_session.c: */

/** The first transaction of the line, NULL if none; it is no longer in the line. */
struct relay_transaction *next_hop_take(struct next_hop *);
/** Its content comes from a worker, then relay_session_loaded() is called. */
void relay_transaction_load(struct relay_transaction *);
/** The outcomes are there. The transaction may be gone after that. */
void relay_transaction_done(struct relay_transaction *);
/** Back to the head of the line. */
void relay_transaction_requeue(struct relay_transaction *, struct next_hop *);
/** A session is gone: `failure` (NULL: none) says why it never opened. */
void next_hop_session_gone(struct next_hop *, const struct outcome *failure);

#endif
