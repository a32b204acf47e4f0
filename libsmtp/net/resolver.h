/* SPDX-License-Identifier: ISC */
/* resolver.h - DNS on a loop, through libunbound: MX, A and AAAA with a deadline on each look-up. One
 * resolver for one loop; made after fork.
 */
#ifndef SMTP_NET_RESOLVER_H
#define SMTP_NET_RESOLVER_H

#include <smtp/address.h>
#include "libsmtp/net/loop.h"
#include "libsmtp/net/socket_address.h"

struct smtp_resolver;

enum { SMTP_MX_MAX = 32, SMTP_HOST_ADDRESSES_MAX = 32, SMTP_RESOLVER_PROBLEM_MAX = 256 };

struct smtp_resolver_options {
	const char *server;       /* "system", "recursive" or "127.0.0.1@5353" */
	const char *trust_anchor; /* file; NULL: none */
	uint32_t timeout_ms;      /* for each look-up; default when 0: 30000 */
};

/** `problem` receives one line on failure. */
SMTP_MUST_USE int smtp_resolver_new(struct smtp_resolver **out, struct smtp_loop *,
				    const struct smtp_resolver_options *,
				    char problem[SMTP_RESOLVER_PROBLEM_MAX]);
/** Look-ups under way are cancelled: their callbacks do not come any more. */
void smtp_resolver_free(struct smtp_resolver *);

enum smtp_dns_status {
	SMTP_DNS_OK,
	SMTP_DNS_NO_DATA,   /* the name is there, without such a record */
	SMTP_DNS_NO_NAME,   /* NXDOMAIN: permanent */
	SMTP_DNS_TEMPORARY, /* SERVFAIL, timeout, bogus */
	SMTP_DNS_NULL_MX    /* RFC 7505: the domain takes no mail */
};

struct smtp_mx_host {
	uint16_t preference;
	char name[SMTP_DOMAIN_MAX + 1];
};

struct smtp_mx_answer {
	enum smtp_dns_status status;
	const char *problem; /* one line for TEMPORARY, else "" */
	size_t count;        /* by preference, equal ones shuffled; no MX: count 0, NO_DATA */
	struct smtp_mx_host hosts[SMTP_MX_MAX];
};

struct smtp_host_answer {
	enum smtp_dns_status status;
	const char *problem;
	size_t count; /* IPv6 first, then IPv4; port 0 */
	struct smtp_socket_address addresses[SMTP_HOST_ADDRESSES_MAX];
};

struct smtp_dns_query; /* under way */

/** Starts a look-up; the callback comes later, once, from the loop, never from within the call. The
 *  answer is borrowed until the callback returns. A host that is an address or an address literal needs
 *  no DNS but answers the same way. */
SMTP_MUST_USE int smtp_resolver_mx(struct smtp_resolver *, const char *domain,
				   void (*done)(void *user, const struct smtp_mx_answer *),
				   void *user, struct smtp_dns_query **query);
SMTP_MUST_USE int smtp_resolver_host(struct smtp_resolver *, const char *host,
				     void (*done)(void *user, const struct smtp_host_answer *),
				     void *user, struct smtp_dns_query **query);
/** The callback will not come. */
void smtp_dns_query_cancel(struct smtp_dns_query *);

#endif
