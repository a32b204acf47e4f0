/* SPDX-License-Identifier: ISC */
/* proxy_header.c - the PROXY header. Version 1:
 *   "PROXY" SP ("TCP4" / "TCP6") SP source SP destination SP port SP port CRLF / "PROXY UNKNOWN" ... CRLF
 * Version 2: signature, version and command, family and transport, length (two octets), addresses and
 * ports in network order, then extra values, which are read off and ignored.
 */
#include "libsmtp/core/proxy_header.h"

#include <string.h>

#include "libsmtp/core/span.h"

enum { V2_FIXED = 16, V2_LOCAL = 0x20, V2_PROXY = 0x21 };

static const uint8_t signature[12] = { '\r', '\n', '\r', '\n', 0,   '\r',
				       '\n', 'Q',  'U',  'I',  'T', '\n' };

void smtp_proxy_header_init(struct smtp_proxy_header *header)
{
	*header = (struct smtp_proxy_header){ .has_addresses = false };
}

/* --- version 1 -------------------------------------------------------------------------------- */

/* The text up to the next blank; at the end of the line, all that is left. */
static struct smtp_span next_word(struct smtp_span *rest)
{
	const uint8_t *blank = rest->n > 0 ? memchr(rest->p, ' ', rest->n) : NULL;
	size_t n = blank ? (size_t)(blank - rest->p) : rest->n;
	struct smtp_span word = smtp_span_make(rest->p, n);

	*rest = smtp_span_slice(*rest, n + (blank ? 1 : 0), rest->n);
	return word;
}

/* Only what the address itself is made of: neither brackets nor a prefix length. */
static bool parse_address(struct smtp_network *out, struct smtp_span word, bool v6)
{
	const char *allowed = v6 ? "0123456789abcdefABCDEF:." : "0123456789.";
	char text[SMTP_ADDRESS_TEXT_MAX];

	if (word.n == 0 || smtp_span_copy(word, text, sizeof text) != 0 ||
	    strspn(text, allowed) != word.n || (v6 && !memchr(word.p, ':', word.n)))
		return false;
	return smtp_network_parse(out, text) == 0;
}

static bool parse_port(uint16_t *out, struct smtp_span word)
{
	uint64_t number;

	if (word.n == 0 || (word.n > 1 && word.p[0] == '0') || smtp_span_uint(word, &number) != 0 ||
	    number > 65535)
		return false;
	*out = (uint16_t)number;
	return true;
}

static enum smtp_proxy_result parse_v1(struct smtp_proxy_header *h)
{
	struct smtp_span rest = smtp_span_make(h->kept, h->kept_n - 2);
	struct smtp_span family;
	bool v6;

	if (!smtp_span_is(next_word(&rest), "PROXY"))
		return SMTP_PROXY_INVALID;
	family = next_word(&rest);
	if (smtp_span_is(family, "UNKNOWN"))
		return SMTP_PROXY_DONE; /* what follows is to be ignored */
	v6 = smtp_span_is(family, "TCP6");
	if ((!v6 && !smtp_span_is(family, "TCP4")) ||
	    !parse_address(&h->source, next_word(&rest), v6) ||
	    !parse_address(&h->destination, next_word(&rest), v6) ||
	    !parse_port(&h->source_port, next_word(&rest)) ||
	    !parse_port(&h->destination_port, rest))
		return SMTP_PROXY_INVALID;
	h->has_addresses = true;
	return SMTP_PROXY_DONE;
}

/* A CR or LF anywhere but in the CRLF at the end, and a line that can't be one, are found at once. */
static enum smtp_proxy_result take_v1(struct smtp_proxy_header *h, uint8_t octet)
{
	static const char begin[] = "PROXY ";
	bool after_cr = h->kept_n > 0 && h->kept[h->kept_n - 1] == '\r';

	if (h->kept_n < sizeof begin - 1 && octet != (uint8_t)begin[h->kept_n])
		return SMTP_PROXY_INVALID;
	if (after_cr != (octet == '\n') || octet == '\0')
		return SMTP_PROXY_INVALID;
	h->kept[h->kept_n++] = octet;
	if (octet == '\n')
		return parse_v1(h);
	return h->kept_n < SMTP_PROXY_V1_MAX ? SMTP_PROXY_MORE : SMTP_PROXY_INVALID;
}

/* --- version 2 -------------------------------------------------------------------------------- */

/* Family and transport: how many octets the two addresses with their ports have. */
static const struct {
	uint8_t octet;
	uint8_t address; /* octets of one; 0: the connection's own addresses hold */
	uint8_t block;
} families[] = {
	{ 0x00, 0, 0 },    /* unspecified */
	{ 0x11, 4, 12 },   /* TCP over IPv4 */
	{ 0x21, 16, 36 },  /* TCP over IPv6 */
	{ 0x31, 0, 216 },  /* a unix stream */
};

static size_t length_of(const struct smtp_proxy_header *h)
{
	return (size_t)h->kept[14] << 8 | h->kept[15];
}

static uint16_t port_at(const uint8_t *octets)
{
	return (uint16_t)(octets[0] << 8 | octets[1]);
}

static struct smtp_network address_at(const uint8_t *octets, size_t n)
{
	struct smtp_network address = { .bits = 128 };

	if (n == 4)
		address.octets[10] = address.octets[11] = 0xff;
	memcpy(address.octets + 16 - n, octets, n);
	return address;
}

/* The first 16 octets are there. */
static bool fixed_is_valid(const struct smtp_proxy_header *h)
{
	uint8_t command = h->kept[12];

	if ((command != V2_LOCAL && command != V2_PROXY) || length_of(h) > SMTP_PROXY_V2_MAX)
		return false;
	if (command == V2_LOCAL)
		return true; /* whatever the family is */
	for (size_t i = 0; i < sizeof families / sizeof *families; i++)
		if (families[i].octet == h->kept[13])
			return length_of(h) >= families[i].block;
	return false; /* datagrams too */
}

static void read_addresses(struct smtp_proxy_header *h)
{
	const uint8_t *at = h->kept + V2_FIXED;
	size_t n = 0;

	if (h->kept[12] == V2_LOCAL)
		return;
	for (size_t i = 0; i < sizeof families / sizeof *families; i++)
		if (families[i].octet == h->kept[13])
			n = families[i].address;
	if (n == 0)
		return;
	h->has_addresses = true;
	h->source = address_at(at, n);
	h->destination = address_at(at + n, n);
	h->source_port = port_at(at + 2 * n);
	h->destination_port = port_at(at + 2 * n + 2);
}

static enum smtp_proxy_result take_v2(struct smtp_proxy_header *h, uint8_t octet)
{
	if (h->taken < sizeof signature && octet != signature[h->taken])
		return SMTP_PROXY_INVALID;
	h->taken++;
	if (h->kept_n < sizeof h->kept)
		h->kept[h->kept_n++] = octet;
	if (h->taken < V2_FIXED)
		return SMTP_PROXY_MORE;
	if (h->taken == V2_FIXED && !fixed_is_valid(h))
		return SMTP_PROXY_INVALID;
	if (h->taken < V2_FIXED + length_of(h))
		return SMTP_PROXY_MORE;
	read_addresses(h);
	return SMTP_PROXY_DONE;
}

enum smtp_proxy_result smtp_proxy_header_feed(struct smtp_proxy_header *h, struct smtp_span input,
					      size_t *used)
{
	enum smtp_proxy_result result = SMTP_PROXY_MORE;

	for (*used = 0; *used < input.n && result == SMTP_PROXY_MORE; ++*used) {
		uint8_t octet = input.p[*used];
		uint8_t first = h->kept_n > 0 ? h->kept[0] : octet;

		result = first == signature[0] ? take_v2(h, octet) : take_v1(h, octet);
	}
	return result;
}
