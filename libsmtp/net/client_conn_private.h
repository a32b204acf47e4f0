/* SPDX-License-Identifier: ISC */
/* client_conn_private.h - the inside of a connection that drives a client session, shared by
 * client_conn.c (its life, options) and client_attempt.c (addresses, octets, time). Nobody else includes
 * it.
 */
#ifndef SMTP_NET_CLIENT_CONN_PRIVATE_H
#define SMTP_NET_CLIENT_CONN_PRIVATE_H

#include "libsmtp/net/client_conn.h"
#include "libsmtp/net/client_failure.h"
#include "libsmtp/net/conn.h"

enum phase { PHASE_BEGIN, PHASE_CONNECT, PHASE_TLS, PHASE_TALK, PHASE_OVER };

struct smtp_client_conn {
	struct smtp_loop *loop;
	struct smtp_socket_address *addresses;
	size_t address_count;
	size_t next; /* address to be tried */
	int given_fd; /* instead of one; -1: none, or used */
	struct smtp_tls_context *tls;
	struct smtp_client_session_options options; /* its strings are ours */
	char *tls_name;
	uint32_t connect_timeout_ms;
	uint32_t handshake_timeout_ms;
	const struct smtp_client_session_handler *handler;
	void *user;

	/* The attempt at hand. */
	enum phase phase;
	struct smtp_timer *timer;
	int fd; /* while connecting; -1: none, or the conn's */
	struct smtp_io *io;
	struct smtp_conn *conn;
	struct smtp_client_session *session;
	int write_error; /* no more is written */
	bool goes_on;    /* there is more to write when others have had their turn */
	uint64_t last_words_ms; /* until when it is read, then */
	struct smtp_client_failure ended;

	struct smtp_client_failure first_transient; /* of an earlier address */
	char peer[SMTP_SOCKET_ADDRESS_TEXT_MAX];
	char tls_description[SMTP_TLS_DESCRIPTION_MAX];
	char problem[SMTP_CLIENT_PROBLEM_MAX]; /* of the attempt at hand */
	unsigned depth; /* of entries from the loop: handlers run inside them */
	bool free_asked;
};

/* client_attempt.c */

extern const struct smtp_client_session_handler smtp_client_attempt_events;
/** Of the conn's timer: begins with the first address too. */
void smtp_client_attempt_timer(void *user);
/** Gives back all of the attempt at hand. */
void smtp_client_attempt_release(struct smtp_client_conn *c);
/** Does what the session wants now. */
void smtp_client_attempt_push(struct smtp_client_conn *c);

/* client_conn.c */

void smtp_client_conn_destroy(struct smtp_client_conn *c);

#endif
