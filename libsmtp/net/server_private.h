/* SPDX-License-Identifier: ISC */
/* server_private.h - what smtpd knows of a server beyond <smtp/server.h>: the loops it runs on, so that
 * other descriptors and timers can stand on them.
 */
#ifndef SMTP_NET_SERVER_PRIVATE_H
#define SMTP_NET_SERVER_PRIVATE_H

#include <smtp/server.h>
#include "libsmtp/net/loop.h"

/** Valid from smtp_server_new() to smtp_server_free(); run only by smtp_server_run(). What the caller puts
 *  on a loop is freed before the server is. Index from 0, as of smtp_server_session_loop(). */
struct smtp_loop *smtp_server_loop(struct smtp_server *, unsigned index);
unsigned smtp_server_loop_count(const struct smtp_server *);

#endif
