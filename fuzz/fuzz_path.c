/* SPDX-License-Identifier: ISC */
/* Paths, mailboxes, domains, literals, networks: what is taken prints and reads back as the same, holds
 * no control octet, and is not complete before its last octet; a literal is an address for both readers.
 */
#include "fuzz/fuzz.h"

#include <smtp/address.h>
#include <smtp/network.h>

#include "libsmtp/core/syntax.h"

static void check_mailbox(const struct smtp_mailbox *mailbox, unsigned flags)
{
	char text[SMTP_MAILBOX_TEXT_MAX + 1];
	size_t n = smtp_mailbox_format(mailbox, text, sizeof(text));
	struct smtp_mailbox again;

	need(n < sizeof(text) && n == strlen(text));
	need(!smtp_span_has(smtp_span_of(text), SMTP_CC_CONTROL));
	need(flags || !smtp_span_has(smtp_span_of(text), SMTP_CC_UTF8));
	if (mailbox->domain[0] == '\0')
		return; /* null, or postmaster: not a mailbox */
	need(smtp_mailbox_parse(&again, smtp_span_make(text, n), flags) == 0);
	need(smtp_mailbox_equal(mailbox, &again));
}

/* The text ends with a NUL, so one inside is its end. */
static void check_network(struct smtp_span input)
{
	char copy[64], text[SMTP_ADDRESS_TEXT_MAX];
	struct smtp_network network, again;
	bool literal = smtp_address_literal_is_valid(input);

	if (smtp_span_copy(input, copy, sizeof(copy)))
		return;
	if (smtp_network_parse(&network, copy)) {
		need(!literal);
		return;
	}
	need(network.bits <= 128 && (!literal || network.bits == 128));
	need(smtp_network_format(&network, text) == strlen(text) && strlen(text) < sizeof(text));
	need(smtp_network_parse(&again, text) == 0);
	need(memcmp(network.octets, again.octets, sizeof(network.octets)) == 0);
	need(smtp_network_contains(&network, &again));
	smtp_network_cut(&again, network.bits);
	need(smtp_network_contains(&again, &network));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_span input = { data, size };
	unsigned flags = take_choice(&input) & SMTP_ADDRESS_UTF8;
	struct smtp_path path, other;
	struct smtp_mailbox mailbox;
	size_t used = 0, unused;

	if (smtp_path_parse(&path, input, flags, &used) == 0) {
		need(used >= 2 && used <= input.n && input.p[used - 1] == '>');
		need(smtp_path_parse(&other, smtp_span_slice(input, 0, used - 1), flags,
				     &unused) != 0);
		need(smtp_path_is_null(&path) == (used == 2));
		check_mailbox(&path.mailbox, flags);
	}
	if (smtp_mailbox_parse(&mailbox, input, flags) == 0)
		check_mailbox(&mailbox, flags);
	check_network(input);
	need(!smtp_domain_is_valid(input) || !smtp_address_literal_is_valid(input));
	return 0;
}
