/* SPDX-License-Identifier: ISC */
/* Any octets as an answer of a DNS server; the first one chooses the type that is looked for. */
#include "libsmtp/net/dns_message.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t types[] = { SMTP_DNS_TYPE_MX, SMTP_DNS_TYPE_A, SMTP_DNS_TYPE_AAAA,
					  SMTP_DNS_TYPE_CNAME };
	char exchange[SMTP_DNS_NAME_TEXT_MAX + 1];
	struct smtp_dns_record record;
	struct smtp_dns_reader rd;
	uint16_t preference;
	size_t before;

	if (size < 1 || smtp_dns_reader_init(&rd, (struct smtp_span){ data + 1, size - 1 },
					     types[data[0] & 3]) != 0)
		return 0;
	for (before = rd.at; smtp_dns_reader_next(&rd, &record) == 1; before = rd.at) {
		/* It moves forward, and what it hands out lies within the message. */
		if (rd.at <= before || rd.at > size - 1 || record.at + record.data.n > size - 1)
			abort();
		if (smtp_dns_mx_read(&rd, &record, &preference, exchange) == 0 &&
		    strlen(exchange) > SMTP_DNS_NAME_TEXT_MAX)
			abort();
	}
	return 0;
}
