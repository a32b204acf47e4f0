/* SPDX-License-Identifier: ISC */
/* PROXY headers: fed in pieces they mean the same as whole, nothing behind the end is taken, lengths
 * stay within their bounds, and what is understood is understood again when it is printed.
 */
#include "fuzz/fuzz.h"

#include <stdio.h>

#include "libsmtp/core/proxy_header.h"

static enum smtp_proxy_result parse(struct smtp_proxy_header *h, struct smtp_span input, uint8_t pace,
				    size_t *used)
{
	enum smtp_proxy_result result = SMTP_PROXY_MORE;

	smtp_proxy_header_init(h);
	*used = 0;
	while (*used < input.n && result == SMTP_PROXY_MORE) {
		size_t n = next_piece(*used, input.n - *used, pace);
		size_t taken;

		result = smtp_proxy_header_feed(h, smtp_span_slice(input, *used, n), &taken);
		need(taken <= n && (result != SMTP_PROXY_MORE || taken == n));
		*used += taken;
	}
	return result;
}

static void same(const struct smtp_proxy_header *a, const struct smtp_proxy_header *b)
{
	need(a->has_addresses == b->has_addresses);
	need(a->source_port == b->source_port && a->destination_port == b->destination_port);
	need(memcmp(&a->source, &b->source, sizeof(a->source)) == 0);
	need(memcmp(&a->destination, &b->destination, sizeof(a->destination)) == 0);
}

/* As version 1, which can say all that was understood. */
static void print_and_parse(const struct smtp_proxy_header *h)
{
	bool v4 = smtp_network_is_ipv4(&h->source);
	char source[SMTP_ADDRESS_TEXT_MAX];
	char destination[SMTP_ADDRESS_TEXT_MAX];
	char line[SMTP_PROXY_V1_MAX + 1];
	struct smtp_proxy_header again;
	size_t used;
	int n;

	smtp_network_format(&h->source, source);
	smtp_network_format(&h->destination, destination);
	if (v4 != smtp_network_is_ipv4(&h->destination))
		return; /* IPv4 in IPv6 on one side only */
	n = snprintf(line, sizeof(line), "PROXY TCP%c %s %s %u %u\r\n", v4 ? '4' : '6', source,
		     destination, h->source_port, h->destination_port);
	need(n > 0 && n < (int)sizeof(line));
	need(parse(&again, smtp_span_make(line, (size_t)n), 0, &used) == SMTP_PROXY_DONE);
	same(h, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_span input = { data, size };
	uint8_t pace = take_choice(&input);
	struct smtp_proxy_header whole, pieces;
	size_t used, used_in_pieces;
	enum smtp_proxy_result result = parse(&whole, input, 0, &used);

	need(parse(&pieces, input, pace, &used_in_pieces) == result && used == used_in_pieces);
	if (result != SMTP_PROXY_DONE) {
		need(used <= 16 + SMTP_PROXY_V2_MAX);
		return 0;
	}
	same(&whole, &pieces);
	need(used >= 15 && used <= 16 + SMTP_PROXY_V2_MAX);
	need(input.p[0] != 'P' || used <= SMTP_PROXY_V1_MAX);
	if (whole.has_addresses) {
		need(whole.source.bits == 128 && whole.destination.bits == 128);
		print_and_parse(&whole);
	}
	return 0;
}
