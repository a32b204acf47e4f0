/* SPDX-License-Identifier: ISC */
/* Base64: strict, so each text that decodes is the only text of its octets; the message of PLAIN
 * the same.
 */
#include "fuzz/fuzz.h"

#include "libsmtp/core/base64.h"
#include "libsmtp/core/sasl.h"

static void check_plain(struct smtp_span message)
{
	struct smtp_sasl_login login;
	struct smtp_buf again;

	if (smtp_sasl_plain_parse(&login, message))
		return;
	need(login.authentication_id.n > 0);
	smtp_buf_init(&again, message.n);
	need(smtp_sasl_plain_format(&again, &login) == 0);
	need(smtp_span_equal(smtp_buf_span(&again), message));
	smtp_buf_release(&again);
}

static void check_decode(struct smtp_span text)
{
	struct smtp_buf octets, again;

	smtp_buf_init(&octets, text.n);
	smtp_buf_init(&again, text.n);
	if (smtp_base64_decode(&octets, text) == 0) {
		need(smtp_base64_encode(&again, smtp_buf_span(&octets)) == 0);
		need(smtp_span_equal(smtp_buf_span(&again), text));
		check_plain(smtp_buf_span(&octets));
	} else {
		need(octets.n == 0);
	}
	smtp_buf_release(&octets);
	smtp_buf_release(&again);
}

static void check_encode(struct smtp_span octets)
{
	struct smtp_buf text, again;

	smtp_buf_init(&text, octets.n * 2 + 4);
	smtp_buf_init(&again, octets.n);
	need(smtp_base64_encode(&text, octets) == 0);
	need(smtp_base64_decode(&again, smtp_buf_span(&text)) == 0);
	need(smtp_span_equal(smtp_buf_span(&again), octets));
	smtp_buf_release(&text);
	smtp_buf_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_span input = { data, size };

	check_decode(input);
	check_encode(input);
	check_plain(input);
	return 0;
}
