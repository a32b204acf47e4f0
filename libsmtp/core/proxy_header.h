/* SPDX-License-Identifier: ISC */
/* proxy_header.h - the header of the PROXY protocol, versions 1 and 2, as a proxy puts it before the
 * octets of its client: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
 * Pure and incremental. Whether the proxy may be believed is decided elsewhere.
 */
#ifndef SMTP_CORE_PROXY_HEADER_H
#define SMTP_CORE_PROXY_HEADER_H

#include <smtp/network.h>

enum {
	SMTP_PROXY_V1_MAX = 107,  /* octets of a line with its CRLF (2.1) */
	SMTP_PROXY_V2_MAX = 4096, /* behind the first 16: addresses and what is appended to them (2.2) */
	SMTP_PROXY_KEPT_MAX = 108
};

enum smtp_proxy_result {
	SMTP_PROXY_MORE,
	SMTP_PROXY_DONE,
	SMTP_PROXY_INVALID /* nothing that follows means anything */
};

struct smtp_proxy_header {
	/* The result. Without addresses those of the connection hold: a connection of the proxy itself
	 * (LOCAL), a client without IP (UNKNOWN, UNSPEC, a unix socket). */
	bool has_addresses;
	struct smtp_network source, destination;
	uint16_t source_port, destination_port;
	/* of the parser */
	size_t taken; /* octets so far, with those that are not kept */
	size_t kept_n;
	uint8_t kept[SMTP_PROXY_KEPT_MAX];
};

void smtp_proxy_header_init(struct smtp_proxy_header *);
/** Takes octets up to the end of the header, no further; *used says how many. Not to be called again
 *  after DONE or INVALID. */
enum smtp_proxy_result smtp_proxy_header_feed(struct smtp_proxy_header *, struct smtp_span input,
					      size_t *used);

#endif
