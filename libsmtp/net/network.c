/* SPDX-License-Identifier: ISC */
/* network.c - IP networks: reading them and comparing them. Names are not looked up. */
#include "libsmtp/net/network.h"

#include <string.h>

#include "libsmtp/core/span.h"
#include "libsmtp/net/socket_address.h"

enum { MAPPED_BITS = 96, ADDRESS_TEXT_MAX = 64 };

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static int parse_address(struct smtp_network *out, struct smtp_span text)
{
	char copy[ADDRESS_TEXT_MAX];
	struct smtp_socket_address address;

	if (smtp_span_copy(text, copy, sizeof copy) != 0 ||
	    !smtp_socket_address_parse(&address, copy))
		return SMTP_ESYNTAX;
	out->bits = 128;
	if (address.u.any.sa_family == AF_INET6) {
		memcpy(out->octets, &address.u.in6.sin6_addr, 16);
		return 0;
	}
	memcpy(out->octets, mapped, sizeof mapped);
	memcpy(out->octets + sizeof mapped, &address.u.in.sin_addr, 4);
	return 0;
}

static bool is_cut(const struct smtp_network *network)
{
	struct smtp_network cut = *network;

	smtp_network_cut(&cut, network->bits);
	return memcmp(cut.octets, network->octets, sizeof cut.octets) == 0;
}

int smtp_network_parse(struct smtp_network *out, const char *text)
{
	const char *slash = strchr(text, '/');
	struct smtp_span address = smtp_span_make(text, slash ? (size_t)(slash - text) :
								strlen(text));
	struct smtp_network network;
	unsigned before;
	uint64_t bits;

	if (parse_address(&network, address) != 0)
		return SMTP_ESYNTAX;
	if (slash) {
		/* "::ffff:192.0.2.0/120" counts as it is written. */
		before = memchr(text, ':', address.n) ? 0 : MAPPED_BITS;
		if (smtp_span_uint(smtp_span_of(slash + 1), &bits) != 0 || bits > 128u - before)
			return SMTP_ESYNTAX;
		network.bits = (uint8_t)(bits + before);
	}
	if (!is_cut(&network))
		return SMTP_ESYNTAX;
	*out = network;
	return 0;
}

void smtp_network_cut(struct smtp_network *network, unsigned bits)
{
	if (network->bits > bits)
		network->bits = (uint8_t)bits;
	for (unsigned i = 0; i < 16; i++) {
		unsigned kept = bits > 8 * i ? bits - 8 * i : 0;

		if (kept < 8)
			network->octets[i] &= (uint8_t)(0xff00u >> kept);
	}
}

bool smtp_network_contains(const struct smtp_network *outer, const struct smtp_network *inner)
{
	struct smtp_network cut = *inner;

	if (inner->bits < outer->bits)
		return false;
	smtp_network_cut(&cut, outer->bits);
	return memcmp(cut.octets, outer->octets, sizeof cut.octets) == 0;
}

bool smtp_network_is_ipv4(const struct smtp_network *network)
{
	return network->bits >= MAPPED_BITS && memcmp(network->octets, mapped, sizeof mapped) == 0;
}
