/* SPDX-License-Identifier: ISC */
/* client_login.h - what a client conn keeps for the login of its sessions: copies of names and secrets,
 * which are wiped, and what TLS gives to it.
 */
#ifndef SMTP_NET_CLIENT_LOGIN_H
#define SMTP_NET_CLIENT_LOGIN_H

#include <smtp/client_session.h>

#include "libsmtp/net/conn.h"

/** Copies the texts of the login; release() is due also after SMTP_ENOMEM. Without a table of
 *  cryptography the one of OpenSSL is taken. */
SMTP_MUST_USE int smtp_client_login_copy(struct smtp_client_session_options *out,
					 const struct smtp_client_session_options *in);
void smtp_client_login_release(struct smtp_client_session_options *options);
/** TLS has begun on `conn`: tells the session. */
SMTP_MUST_USE int smtp_client_login_tls_started(struct smtp_client_session *session,
						const struct smtp_conn *conn,
						const char *description, uint64_t now_ms);

#endif
