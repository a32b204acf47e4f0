/* SPDX-License-Identifier: ISC */
/* client_conn.h - drives a smtp_client_session over a socket on a loop: tries the given addresses in
 * turn, runs TLS, moves octets, keeps the deadlines. smtpd's relay and the blocking client share it.
 */
#ifndef SMTP_NET_CLIENT_CONN_H
#define SMTP_NET_CLIENT_CONN_H

#include <smtp/client_session.h>
#include "libsmtp/net/loop.h"
#include "libsmtp/net/socket_address.h"
#include "libsmtp/net/tls.h"

struct smtp_client_conn;

struct smtp_client_conn_options {
	const struct smtp_socket_address *addresses; /* copied; tried in this order */
	size_t address_count;
	bool has_fd; /* no address, but this connected socket: taken over, also when new() fails */
	int fd;
	struct smtp_tls_context *tls; /* NULL: no TLS possible; a reference is taken */
	const char *tls_name;         /* for SNI and the check; copied; NULL: nothing to check */
	struct smtp_client_session_options session; /* .tls says how TLS is used */
	uint32_t connect_timeout_ms;   /* for each address */
	uint32_t handshake_timeout_ms;
};

/** Events of the session come as they do from smtp_client_session, with the session to call. On `failed`
 *  the conn is over. Addresses that cannot be reached, and a greeting that refuses, lead to the next
 *  address before `failed` is called. Free the conn from any event or later. */
SMTP_MUST_USE int smtp_client_conn_new(struct smtp_client_conn **out, struct smtp_loop *,
				       const struct smtp_client_conn_options *,
				       const struct smtp_client_session_handler *handler, void *user);
void smtp_client_conn_free(struct smtp_client_conn *);
/** The session of the address at hand; NULL while connecting. Call push() after giving it work outside
 *  of its own events. */
struct smtp_client_session *smtp_client_conn_session(struct smtp_client_conn *);
void smtp_client_conn_push(struct smtp_client_conn *);
/** Whom it talks to or tried last, "192.0.2.1:25"; TLS as of smtp_tls_describe(), "" in clear; one line
 *  on what failed ("connection refused", "certificate has expired"), "" if nothing. Borrowed. */
const char *smtp_client_conn_peer(const struct smtp_client_conn *);
const char *smtp_client_conn_tls(const struct smtp_client_conn *);
const char *smtp_client_conn_problem(const struct smtp_client_conn *);

#endif
