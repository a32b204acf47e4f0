/* SPDX-License-Identifier: ISC */
/* network.h - IP addresses and networks as values, without sockets and names: who is trusted to speak
 * for others (XCLIENT, PROXY), who connects, who is counted together.
 * Values: structs without pointers; copy them freely. Threads: everything here is pure.
 * Errors:  SMTP_ESYNTAX, SMTP_ETOOLONG; outputs are then unchanged.
 */
#ifndef SMTP_NETWORK_H
#define SMTP_NETWORK_H

#include <smtp/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SMTP_ADDRESS_TEXT_MAX = 46 }; /* octets of the longest IP address as text, with its NUL */

/** IPv4 stands in its IPv4-mapped form (RFC 4291, 2.5.5.2), so that ::ffff:192.0.2.1 and 192.0.2.1 are
 *  one. A single address has 128 bits. */
struct smtp_network {
	uint8_t octets[16];
	uint8_t bits; /* of the prefix, 0 to 128; those behind it are zero */
};

/** "192.0.2.1", "192.0.2.0/24", "2001:db8::/32"; around the address there may be brackets, before IPv6
 *  "IPv6:". SMTP_ESYNTAX, also for bits behind the prefix. */
SMTP_API SMTP_MUST_USE int smtp_network_parse(struct smtp_network *out, const char *text);
/** Reads networks divided by blanks or commas into `out`, which has room for `max` of them; *count
 *  receives their number. SMTP_ESYNTAX, SMTP_ETOOLONG (there are more): *count is unchanged. */
SMTP_API SMTP_MUST_USE int smtp_networks_parse(struct smtp_network *out, size_t max, size_t *count,
					       const char *text);
/** Writes the address without its prefix length: "192.0.2.1", "2001:db8::1" (RFC 5952),
 *  NUL-terminated. Returns the length. */
SMTP_API size_t smtp_network_format(const struct smtp_network *, char out[SMTP_ADDRESS_TEXT_MAX]);
/** Is `inner`, often a single address, whole in `outer`? */
SMTP_API bool smtp_network_contains(const struct smtp_network *outer,
				    const struct smtp_network *inner);
/** Is it whole in any of `count` networks? */
SMTP_API bool smtp_networks_contain(const struct smtp_network *networks, size_t count,
				    const struct smtp_network *inner);
/** Cuts the prefix: what is beyond it becomes zero. Longer ones are left as they are. */
SMTP_API void smtp_network_cut(struct smtp_network *, unsigned bits);
SMTP_API bool smtp_network_is_ipv4(const struct smtp_network *);

#ifdef __cplusplus
}
#endif
#endif
