/* SPDX-License-Identifier: ISC */
/* dnsbl.h - the parts of block lists apart from sessions: names, answers, and asking DNS. */
#ifndef SMTP_MIDDLEWARE_DNSBL_H
#define SMTP_MIDDLEWARE_DNSBL_H

#include <smtp/address.h>
#include <smtp/middleware.h>
#include <smtp/network.h>

enum { DNSBL_NAME_MAX = SMTP_DOMAIN_MAX + 1, SMTP_DNSBL_TEXT_MAX = 600 };

/** "2.0.0.127.zone", or the 32 digits of IPv6 likewise (RFC 5782, 2.1 and 2.4). */
void dnsbl_name(const struct smtp_network *peer, const char *zone, char out[DNSBL_NAME_MAX]);
bool dnsbl_is_listing(const uint8_t address[4]);

/** Asks DNS, by the C library: waits some seconds at most. `server` is "127.0.0.1@5353" or NULL: as the
 *  system does. 0, SMTP_ENOTFOUND, SMTP_ERESOLVE. */
SMTP_MUST_USE int dnsbl_lookup(void *server, const char *name, struct smtp_dnsbl_listing *out);
bool dnsbl_server_is_valid(const char *server);

#endif
