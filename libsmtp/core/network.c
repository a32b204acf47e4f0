/* SPDX-License-Identifier: ISC */
/* network.c - IP addresses and networks from text, to text, and compared. No sockets, no names. */
#include <smtp/network.h>

#include <string.h>

#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

enum { IP_OCTETS = 16, ALL_BITS = 128, V4_AT = 12, V4_BITS = 96, NO_GAP = 99 };

static const uint8_t v4_head[V4_AT] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

bool smtp_network_is_ipv4(const struct smtp_network *network)
{
	return network->bits >= V4_BITS && memcmp(network->octets, v4_head, V4_AT) == 0;
}

/* --- from text ------------------------------------------------------------------------------ */

/* Without the leading zeros that some take for octal. */
static bool read_v4(struct smtp_span text, uint8_t out[4])
{
	struct smtp_reader rd;
	uint8_t octets[4];

	smtp_reader_init(&rd, text);
	for (size_t i = 0; i < 4; i++) {
		struct smtp_span digits;
		uint64_t value;

		if (i > 0 && !smtp_rd_char(&rd, '.'))
			return false;
		digits = smtp_rd_while(&rd, SMTP_CC_DIGIT);
		if (digits.n > 3 || (digits.n > 1 && digits.p[0] == '0') ||
		    smtp_span_uint(digits, &value) || value > UINT8_MAX)
			return false;
		octets[i] = (uint8_t)value;
	}
	if (!smtp_rd_end(&rd))
		return false;
	memcpy(out, octets, sizeof(octets));
	return true;
}

static uint8_t hex_value(uint8_t c)
{
	return (uint8_t)(c <= '9' ? c - '0' : smtp_ascii_lower(c) - 'a' + 10);
}

/* 1*4HEXDIG */
static bool read_group(struct smtp_reader *rd, uint8_t out[2])
{
	struct smtp_span digits = smtp_rd_while(rd, SMTP_CC_HEX);
	unsigned value = 0;

	if (digits.n == 0 || digits.n > 4)
		return false;
	for (size_t i = 0; i < digits.n; i++)
		value = value << 4 | hex_value(digits.p[i]);
	out[0] = (uint8_t)(value >> 8);
	out[1] = (uint8_t)value;
	return true;
}

/* The groups behind one another, however many; *gap is where "::" stood. Returns octets, or NO_GAP
 * for a fault. IPv4 may be the end. */
static size_t read_groups(struct smtp_reader *rd, uint8_t octets[IP_OCTETS], size_t *gap)
{
	size_t n = 0;

	while (!smtp_rd_end(rd)) {
		if (n <= V4_AT && read_v4(rd->rest, octets + n))
			return n + 4;
		if (n == IP_OCTETS || !read_group(rd, octets + n))
			return NO_GAP;
		n += 2;
		if (smtp_rd_end(rd))
			return n;
		if (!smtp_rd_char(rd, ':') || smtp_rd_end(rd))
			return NO_GAP;
		if (!smtp_rd_char(rd, ':'))
			continue;
		if (*gap != NO_GAP)
			return NO_GAP;
		*gap = n;
	}
	return n;
}

static bool read_v6(struct smtp_span text, uint8_t out[IP_OCTETS])
{
	uint8_t octets[IP_OCTETS] = { 0 };
	struct smtp_reader rd;
	size_t gap = NO_GAP, n;

	smtp_reader_init(&rd, text);
	if (smtp_rd_literal(&rd, "::"))
		gap = 0;
	n = read_groups(&rd, octets, &gap);
	if (gap == NO_GAP ? n != IP_OCTETS : n > IP_OCTETS - 2)
		return false;
	memset(out, 0, IP_OCTETS);
	if (gap == NO_GAP)
		gap = n;
	memcpy(out, octets, gap);
	memcpy(out + IP_OCTETS - (n - gap), octets + gap, n - gap);
	return true;
}

static struct smtp_span without_brackets(struct smtp_span text)
{
	if (text.n >= 2 && text.p[0] == '[' && text.p[text.n - 1] == ']')
		return smtp_span_slice(text, 1, text.n - 2);
	return text;
}

static bool read_address(struct smtp_span text, uint8_t out[IP_OCTETS])
{
	struct smtp_reader rd;

	smtp_reader_init(&rd, without_brackets(text));
	if (read_v4(rd.rest, out + V4_AT)) {
		memcpy(out, v4_head, V4_AT);
		return true;
	}
	smtp_rd_literal(&rd, "IPv6:");
	return read_v6(rd.rest, out);
}

/* Behind "/"; IPv4 counts from 0 to 32. */
static bool read_prefix(struct smtp_span digits, unsigned before, uint8_t *bits)
{
	uint64_t value;

	if (digits.n > 3 || smtp_span_uint(digits, &value) || value > ALL_BITS - before)
		return false;
	*bits = (uint8_t)(value + before);
	return true;
}

static bool is_cut(const struct smtp_network *network)
{
	struct smtp_network cut = *network;

	smtp_network_cut(&cut, network->bits);
	return memcmp(cut.octets, network->octets, IP_OCTETS) == 0;
}

/* address [ "/" bits ]; "::ffff:192.0.2.0/120" counts as it is written */
static int parse_network(struct smtp_network *out, struct smtp_span text)
{
	struct smtp_network network = { .bits = ALL_BITS };
	size_t n = 0;
	unsigned before;

	while (n < text.n && text.p[n] != '/')
		n++;
	if (!read_address(smtp_span_slice(text, 0, n), network.octets))
		return SMTP_ESYNTAX;
	before = memchr(text.p, ':', n) ? 0 : V4_BITS;
	if (n < text.n &&
	    !read_prefix(smtp_span_slice(text, n + 1, SIZE_MAX), before, &network.bits))
		return SMTP_ESYNTAX;
	if (!is_cut(&network))
		return SMTP_ESYNTAX;
	*out = network;
	return 0;
}

int smtp_network_parse(struct smtp_network *out, const char *text)
{
	return parse_network(out, smtp_span_of(text));
}

static bool is_divider(uint8_t c)
{
	return c == ',' || smtp_is(c, SMTP_CC_BLANK);
}

int smtp_networks_parse(struct smtp_network *out, size_t max, size_t *count, const char *list)
{
	struct smtp_span text = smtp_span_of(list);
	size_t found = 0, at = 0;

	while (at < text.n) {
		size_t end = at;
		int err;

		while (end < text.n && !is_divider(text.p[end]))
			end++;
		if (end == at) {
			at++;
			continue;
		}
		if (found == max)
			return SMTP_ETOOLONG;
		err = parse_network(&out[found], smtp_span_slice(text, at, end - at));
		if (err)
			return err;
		found++;
		at = end;
	}
	*count = found;
	return 0;
}

/* --- compared ------------------------------------------------------------------------------- */

void smtp_network_cut(struct smtp_network *network, unsigned bits)
{
	if (network->bits > bits)
		network->bits = (uint8_t)bits;
	for (unsigned i = 0; i < IP_OCTETS; i++) {
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
	return memcmp(cut.octets, outer->octets, IP_OCTETS) == 0;
}

bool smtp_networks_contain(const struct smtp_network *networks, size_t count,
			   const struct smtp_network *inner)
{
	for (size_t i = 0; i < count; i++)
		if (smtp_network_contains(&networks[i], inner))
			return true;
	return false;
}

/* --- to text -------------------------------------------------------------------------------- */

static size_t put_decimal(char *out, unsigned value)
{
	size_t n = 0;

	if (value >= 100)
		out[n++] = (char)('0' + value / 100);
	if (value >= 10)
		out[n++] = (char)('0' + value / 10 % 10);
	out[n++] = (char)('0' + value % 10);
	return n;
}

static size_t format_v4(const uint8_t octets[4], char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < 4; i++) {
		if (i > 0)
			out[n++] = '.';
		n += put_decimal(out + n, octets[i]);
	}
	return n;
}

static unsigned group_at(const struct smtp_network *ip, size_t i)
{
	return (unsigned)ip->octets[2 * i] << 8 | ip->octets[2 * i + 1];
}

static size_t put_group(char *out, unsigned value)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;

	for (int shift = 12; shift >= 0; shift -= 4)
		if (n > 0 || shift == 0 || value >> shift)
			out[n++] = digits[value >> shift & 15];
	return n;
}

/* The first of the longest runs of zero groups, two at least (RFC 5952, 4.2). */
static size_t longest_zeros(const struct smtp_network *ip, size_t *length)
{
	size_t at = NO_GAP, run = 0;

	*length = 1;
	for (size_t i = 0; i < 8; i++) {
		run = group_at(ip, i) == 0 ? run + 1 : 0;
		if (run > *length) {
			*length = run;
			at = i + 1 - run;
		}
	}
	return at;
}

size_t smtp_network_format(const struct smtp_network *ip, char out[SMTP_ADDRESS_TEXT_MAX])
{
	size_t length, gap, n = 0;

	if (smtp_network_is_ipv4(ip)) {
		n = format_v4(ip->octets + V4_AT, out);
		out[n] = '\0';
		return n;
	}
	gap = longest_zeros(ip, &length);
	for (size_t i = 0; i < 8; i++) {
		if (i == gap) {
			out[n++] = ':';
			i += length - 1;
			if (i == 7)
				out[n++] = ':';
			continue;
		}
		if (i > 0)
			out[n++] = ':';
		n += put_group(out + n, group_at(ip, i));
	}
	out[n] = '\0';
	return n;
}
