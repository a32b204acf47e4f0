/* SPDX-License-Identifier: ISC */
/* client_address.h - what the blocking client asks the system for before it connects: the addresses of a
 * host, and what to call itself.
 */
#ifndef SMTP_NET_CLIENT_ADDRESS_H
#define SMTP_NET_CLIENT_ADDRESS_H

#include <smtp/address.h>
#include "libsmtp/net/socket_address.h"

enum { SMTP_CLIENT_ADDRESSES_MAX = 32 };

/** All addresses of the host, in the system's order; blocks. `host` may be an address. SMTP_ERESOLVE
 *  with *problem set to a static text. */
SMTP_MUST_USE int smtp_client_look_up(const char *host, uint16_t port,
				      struct smtp_socket_address out[SMTP_CLIENT_ADDRESSES_MAX],
				      size_t *count, const char **problem);
/** The machine's full name, or the address it would use towards `peer` as a literal. */
void smtp_client_own_name(const struct smtp_socket_address *peer, char out[SMTP_DOMAIN_MAX + 1]);

#endif
