/* SPDX-License-Identifier: ISC */
/* network.h - IP networks as values, from text such as "192.0.2.0/24", and whether an address is in one. */
#ifndef SMTP_NET_NETWORK_H
#define SMTP_NET_NETWORK_H

#include <smtp/base.h>

/** IPv4 stands in its IPv4-mapped form, so that ::ffff:192.0.2.1 and 192.0.2.1 are one. */
struct smtp_network {
	uint8_t octets[16];
	uint8_t bits; /* of the prefix, 0 to 128 */
};

/** "192.0.2.1", "192.0.2.0/24", "2001:db8::/32"; brackets are allowed around the address. SMTP_ESYNTAX,
 *  also for octets beyond the prefix; *out is then unchanged. */
SMTP_MUST_USE int smtp_network_parse(struct smtp_network *out, const char *text);
/** Is `inner`, often a single address, whole in `outer`? */
bool smtp_network_contains(const struct smtp_network *outer, const struct smtp_network *inner);
/** Cuts the prefix: what is beyond it becomes zero. Longer ones are left as they are. */
void smtp_network_cut(struct smtp_network *, unsigned bits);
bool smtp_network_is_ipv4(const struct smtp_network *);

#endif
