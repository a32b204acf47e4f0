/* SPDX-License-Identifier: ISC */
/* client_private.h - the inside of the blocking client, shared by client.c (calls) and client_connect.c
 * (from a URL to a session that is set up). Nobody else includes it.
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
	CLIENT_CALL_CONNECT,
	CLIENT_CALL_SEND,
	CLIENT_CALL_COMMAND,
	CLIENT_CALL_QUIT
};

struct smtp_client {
	struct smtp_client_options options; /* its strings are the caller's, for connect only */
	struct smtp_url url;
	char where[CLIENT_WHERE_MAX]; /* "mail.example.com:587" */
	struct smtp_loop *loop;
	struct smtp_timer *timer; /* of the whole call */
	struct smtp_client_conn *conn; /* NULL: there is none, or no more */

	enum client_call call;
	int result;     /* of the call, when it is done */
	bool ended;     /* no session any more; the conn is freed when the loop has returned */
	struct smtp_client_result *results;
	size_t result_count;

	struct client_reply *replies; /* of this call */
	struct client_reply *greeting;
	struct smtp_reply last;
	struct smtp_extensions extensions;
	char peer[SMTP_SOCKET_ADDRESS_TEXT_MAX];
	char tls[SMTP_TLS_DESCRIPTION_MAX];
	char problem[CLIENT_PROBLEM_MAX];
};

extern const struct smtp_client_session_handler smtp_client_events;

/** Lets the session begin and runs the loop until the call is done: 0, or how the session ended. */
SMTP_MUST_USE int smtp_client_run(struct smtp_client *c, enum client_call call);
/** From URL and options to a session that is set up. */
SMTP_MUST_USE int smtp_client_open(struct smtp_client *c, const char *url);

#endif
