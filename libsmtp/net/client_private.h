/* SPDX-License-Identifier: ISC */
/* client_private.h - the inside of the blocking client, shared by client.c (life, running), client_calls.c
 * (commands), client_send.c (messages), client_connect.c (to a session that is set up), client_mx.c,
 * client_events.c and client_options.c. Nobody else includes it.
 */
#ifndef SMTP_NET_CLIENT_PRIVATE_H
#define SMTP_NET_CLIENT_PRIVATE_H

#include <smtp/client.h>
#include "libsmtp/net/client_conn.h"

enum { CLIENT_WHERE_MAX = SMTP_DOMAIN_MAX + 16, CLIENT_PROBLEM_MAX = 1024 };

/* A reply that outlives its session. */
struct client_reply {
	struct client_reply *next;
	struct smtp_reply reply; /* borrows from `text` */
	uint8_t text[];
};

/* What the call under way waits for. */
enum client_call {
	CLIENT_CALL_NONE,
	CLIENT_CALL_LOOK_UP,
	CLIENT_CALL_CONNECT,
	CLIENT_CALL_SEND,
	CLIENT_CALL_COMMAND,
	CLIENT_CALL_STARTTLS,
	CLIENT_CALL_AUTH,
	CLIENT_CALL_QUIT
};

/* Where to connect and how; made of a URL or of the options. */
struct client_target {
	enum smtp_client_tls tls;
	bool lmtp;
	bool check; /* the certificate matters */
	char host[SMTP_DOMAIN_MAX + 1]; /* "": there is none */
	char user[SMTP_URL_USER_MAX + 1];
};

struct smtp_client {
	struct smtp_client_options options; /* its texts are ours */
	char where[CLIENT_WHERE_MAX]; /* "mail.example.com:587" */
	struct smtp_loop *loop;
	struct smtp_timer *timer; /* of the whole call ... */
	uint64_t deadline_ms;     /* ... which may run the loop more than once */
	int cancel_fd;            /* readable: cancelled, for good */
	struct smtp_io *cancel_io;
	struct smtp_client_conn *conn; /* NULL: there is none, or no more */

	enum client_call call;
	int result;     /* of the call, when it is done */
	bool ended;     /* no session any more; the conn is freed when the loop has returned */
	struct smtp_client_result *results;
	bool *settled;  /* beside them */
	size_t result_count;

	struct client_reply *replies; /* of this call */
	struct client_reply *greeting;
	struct smtp_reply last;
	struct smtp_extensions extensions;
	char peer[SMTP_SOCKET_ADDRESS_TEXT_MAX];
	char tls[SMTP_TLS_DESCRIPTION_MAX];
	bool trusts_tls; /* the certificate is checked, or the caller wants it so */
	char problem[CLIENT_PROBLEM_MAX];
};

/* client.c */

/** Lets the session begin and runs the loop until the call is done: 0, or how the session ended. */
SMTP_MUST_USE int smtp_client_run(struct smtp_client *c, enum client_call call);
/** A call begins: what the last one lent out is over, its time runs. */
void smtp_client_forget(struct smtp_client *c);
/** forget(), and SMTP_ECLOSED with a problem when there is no connection. */
SMTP_MUST_USE int smtp_client_begin(struct smtp_client *c);
/** The session refused the work, and is as it was: says so, returns the error. */
int smtp_client_refuse(struct smtp_client *c, int error, const char *what);

/* client_events.c */

extern const struct smtp_client_session_handler smtp_client_events;
void smtp_client_on_timer(void *user);
void smtp_client_on_cancel(void *user, unsigned events);
void smtp_client_replies_free(struct client_reply *list);

/** The call under way is over with this result. */
void smtp_client_done(struct smtp_client *c, int result);

/* client_connect.c */

/** Every open() begins so: SMTP_ESTATE when it is open. */
SMTP_MUST_USE int smtp_client_open_begin(struct smtp_client *c);
/** Puts "host: problem", returns the error. */
int smtp_client_say(struct smtp_client *c, int error, const char *problem);
void smtp_client_set_where(struct smtp_client *c, const char *host, uint16_t port);
/** Connects to the addresses, or over the socket, of `o`. */
SMTP_MUST_USE int smtp_client_open_with(struct smtp_client *c, const struct client_target *target,
					struct smtp_client_conn_options *o);

/* client_options.c */

/** A shorter struct of an older caller leaves the rest at its defaults. Texts are copied. */
SMTP_MUST_USE int smtp_client_options_copy(struct smtp_client_options *out,
					   const struct smtp_client_options *in);
void smtp_client_options_release(struct smtp_client_options *options);

#endif
