/* SPDX-License-Identifier: ISC */
/* server_conn_private.h - one connection of the server, as its files see it. server_accept.c and
 * server_proxy.c: the beginning. server_conn.c: driving the session. server_about.c: what handlers may ask.
 */
#ifndef SMTP_NET_SERVER_CONN_PRIVATE_H
#define SMTP_NET_SERVER_CONN_PRIVATE_H

#include <netinet/in.h>
#include "libsmtp/net/server_internal.h"

enum conn_state {
	CONN_PROXY,     /* waits for the PROXY header; no conn yet */
	CONN_TLS_FIRST, /* the handshake before the greeting; no session yet */
	CONN_SESSION,
	CONN_STARTTLS,  /* the handshake within a session */
	CONN_LINGERING  /* the session is over; the peer may still read */
};

/* One end of the connection; "" and 0 for what is no IP address. */
struct server_end {
	uint16_t port;
	char address[INET6_ADDRSTRLEN];
};

struct server_proxy;

struct server_conn {
	struct server_loop *loop;
	struct server_listener *listener;
	struct server_settings *settings;
	struct server_proxy *proxy; /* in CONN_PROXY */
	struct smtp_conn *conn;
	struct smtp_server_session *session;
	struct smtp_timer *timer;
	struct server_conn *next; /* in the loop's list */
	struct server_conn **prev;
	uint64_t id;
	struct server_peer_key peer;
	bool counted; /* by the limits, for `peer` */
	enum conn_state state;
	bool begun;    /* the session has had an octet */
	bool blocked;  /* the socket takes no more for now */
	bool starved;  /* the session left octets with the conn */
	bool closing;  /* it was told to end because the server stops */
	bool working;  /* a worker has the session: nothing here may touch it */
	bool peer_closed; /* while working */
	bool lost;        /* while working: the conn is dead or gone */
	enum smtp_disconnect_reason lost_reason;
	struct smtp_work work;
	struct smtp_loop_call *kept_call; /* an answer that came while working */
	struct server_slot *slot; /* for an answer from elsewhere; NULL: none is reserved */
	uint64_t unanswerable;    /* the question for which there was no memory for one */
	struct server_end remote, local;
	struct smtp_tls_details *tls; /* NULL: no TLS */
	char trace_id[SERVER_TRACE_ID_BYTES + 1];
};

extern const struct smtp_conn_events server_conn_events;

void server_end_note(struct server_end *, const struct smtp_socket_address *);
/** Tells the application that there will be no session. */
void server_conn_refused(const struct server_conn *, enum smtp_refusal reason, const char *detail);
/** Says why, as far as that can be said, closes the descriptor and tells the application. */
void server_refuse_full(struct server_listener *, int fd, const struct server_end *remote,
			enum server_admission why);
/** Goes on with a socket on which what comes next is the client's: TLS, or the session. */
void server_conn_open(struct server_conn *, int fd);
/** Waits for the PROXY header, then opens. Takes over the descriptor. */
void server_proxy_begin(struct server_conn *, int fd);
void server_proxy_free(struct server_proxy *);

/** Puts it among those of its loop. */
void server_conn_add(struct server_conn *);
/** Makes the session and lets it begin; `tls` describes the TLS that is there already, or is NULL. */
void server_conn_begin(struct server_conn *, const char *tls);
void server_conn_set_timer(struct server_conn *, uint32_t ms);
void server_conn_free(struct server_conn *);
void server_conn_on_timer(void *user);
/** Sees to it that the question of now can be answered from elsewhere; false: out of memory. */
bool server_slot_reserve(struct server_conn *);
void server_slot_release(struct server_conn *);
/** The two halves of a blocking call, for struct smtp_work. */
void server_conn_work(struct smtp_work *);
void server_conn_worked(struct smtp_work *);

#endif
