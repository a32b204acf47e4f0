/* SPDX-License-Identifier: ISC */
/* conn.h - one stream socket on a loop, clear or TLS, as octets in and out: what the drivers of both
 * session ends stand on. It holds no buffers while idle.
 */
#ifndef SMTP_NET_CONN_H
#define SMTP_NET_CONN_H

#include "libsmtp/net/loop.h"
#include "libsmtp/net/tls.h"

struct smtp_conn;

/** Called in the loop's thread. The conn may be freed from within any of them. */
struct smtp_conn_events {
	/** Octets came. Returns how many were taken; fewer: the rest is kept and offered again after
	 *  smtp_conn_resume(), and the socket is not read until then. */
	size_t (*received)(void *user, const uint8_t *octets, size_t n);
	/** All that was given to send() is on its way (in the socket's buffer). */
	void (*drained)(void *user);
	/** The TLS handshake is done; `description` as of smtp_tls_describe(). */
	void (*tls_started)(void *user, const char *description);
	/** The peer closed its half after the last octet was taken; nothing more is received. */
	void (*peer_closed)(void *user);
	/** Broken: reset, TLS failure. `problem` is one line, borrowed. Nothing follows. */
	void (*failed)(void *user, int error, const char *problem);
};

/** Takes over a connected or connecting socket: closed with the conn; on error it stays the caller's.
 *  TCP_NODELAY is set here. */
SMTP_MUST_USE int smtp_conn_new(struct smtp_conn **out, struct smtp_loop *, int fd,
				const struct smtp_conn_events *, void *user);
/** Closes at once. */
void smtp_conn_free(struct smtp_conn *);
/** Begins a TLS handshake, also from within `received`; octets that came before and are not taken are an
 *  error (SMTP_EPROTO here, or `failed` after `received` has returned). */
SMTP_MUST_USE int smtp_conn_start_tls(struct smtp_conn *, struct smtp_tls_context *, bool server,
				      const char *name);
/** Writes at once what the socket takes and returns that in *n (may be 0): when less than all, `drained`
 *  will say when to go on, with the rest of them first. The octets need not live after the call.
 *  SMTP_ECLOSED, SMTP_EIO: the conn can only be freed. */
SMTP_MUST_USE int smtp_conn_write(struct smtp_conn *, const void *octets, size_t count, size_t *n);
/** Offers kept octets again, at once (after `received` has returned if called in it), and reads on. */
void smtp_conn_resume(struct smtp_conn *);
/** Closes politely: close_notify, then shutdown of the sending half; free it when peer_closed (again, if
 *  it had come before) or failed comes or a short time is over. What is received is thrown away. */
void smtp_conn_shutdown(struct smtp_conn *);
/** After the handshake. */
void smtp_conn_tls_details(const struct smtp_conn *, struct smtp_tls_details *out);
/** Why the last call failed, one line; static or borrowed until the next call. */
const char *smtp_conn_problem(const struct smtp_conn *);
/** From `tls_started` on: see smtp_tls_channel(). */
void smtp_conn_tls_channel(const struct smtp_conn *, struct smtp_tls_channel_store *store,
			   struct smtp_tls_channel *out);
int smtp_conn_fd(const struct smtp_conn *);

#endif
