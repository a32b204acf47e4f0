/* SPDX-License-Identifier: ISC */
/* mx.h - the list of MX hosts of a domain: which names count, in what order. */
#ifndef SMTP_NET_MX_H
#define SMTP_NET_MX_H

#include "libsmtp/net/resolver.h"

/** May mail go to a host of that name? A host name, and no bare address. */
bool smtp_mx_host_is_valid(const char *name);
/** Puts a host in its place by preference, behind those of the same; of more than SMTP_MX_MAX the
 *  least preferred are left out. The name has at most SMTP_DOMAIN_MAX octets. */
void smtp_mx_keep(struct smtp_mx_answer *mx, uint16_t preference, const char *name);
/** Hosts of equal preference take turns (RFC 5321, 5.1). */
void smtp_mx_shuffle_equal(struct smtp_mx_answer *mx);

#endif
