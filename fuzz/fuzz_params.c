/* SPDX-License-Identifier: ISC */
/* Parameters of commands: they print and read back as the same; xtext decodes to what encodes to the
 * same octets.
 */
#include "fuzz/fuzz.h"

#include "libsmtp/core/command.h"
#include "libsmtp/core/dsn_params.h"
#include "libsmtp/core/syntax.h"
#include "libsmtp/core/xtext.h"

static void print_params(struct smtp_buf *out, const struct smtp_params *params)
{
	for (size_t i = 0; i < params->count; i++) {
		need(smtp_buf_append_text(out, " ") == 0);
		need(smtp_buf_append_span(out, params->items[i].keyword) == 0);
		if (!params->items[i].value.p)
			continue;
		need(smtp_buf_append_text(out, "=") == 0);
		need(smtp_buf_append_span(out, params->items[i].value) == 0);
	}
}

static void check_params(struct smtp_span text, bool utf8)
{
	struct smtp_params params, again;
	struct smtp_buf printed;

	if (smtp_params_parse(&params, text, utf8))
		return;
	smtp_buf_init(&printed, text.n + 1);
	print_params(&printed, &params);
	need(smtp_params_parse(&again, smtp_buf_span(&printed), utf8) == 0);
	need(again.count == params.count);
	for (size_t i = 0; i < params.count; i++) {
		need(smtp_span_equal(params.items[i].keyword, again.items[i].keyword));
		need(smtp_span_equal(params.items[i].value, again.items[i].value));
	}
	smtp_buf_release(&printed);
}

static void check_xtext(struct smtp_span text)
{
	struct smtp_buf octets, encoded, again;

	smtp_buf_init(&octets, text.n);
	smtp_buf_init(&encoded, 3 * text.n);
	smtp_buf_init(&again, 3 * text.n);
	if (smtp_xtext_decode(&octets, text) == 0) {
		need(smtp_xtext_encode(&encoded, smtp_buf_span(&octets)) == 0);
		need(smtp_xtext_decode(&again, smtp_buf_span(&encoded)) == 0);
		need(smtp_span_equal(smtp_buf_span(&octets), smtp_buf_span(&again)));
	} else {
		need(octets.n == 0);
	}
	smtp_buf_release(&octets);
	smtp_buf_release(&encoded);
	smtp_buf_release(&again);
}

/* What ORCPT and ENVID carry is printable, and never longer than how it was written. */
static void check_dsn(struct smtp_span text, bool utf8)
{
	struct smtp_buf octets;
	size_t type_n;
	unsigned notify;

	smtp_buf_init(&octets, text.n);
	if (smtp_dsn_orcpt_decode(&octets, text, utf8, &type_n) == 0) {
		need(type_n > 0 && type_n < octets.n);
		need(!smtp_span_has(smtp_buf_span(&octets), SMTP_CC_CONTROL));
		need(smtp_utf8_is_valid(smtp_buf_span(&octets)));
	} else {
		need(octets.n == 0);
	}
	smtp_buf_clear(&octets);
	if (smtp_dsn_envid_decode(&octets, text) == 0)
		need(octets.n > 0 && octets.n <= SMTP_ENVID_MAX &&
		     !smtp_span_has(smtp_buf_span(&octets), SMTP_CC_CONTROL | SMTP_CC_UTF8));
	smtp_buf_release(&octets);
	if (smtp_dsn_notify_parse(&notify, text) == 0)
		need(notify > 0 && notify < 16 &&
		     (!(notify & SMTP_DSN_NOTIFY_NEVER) || notify == SMTP_DSN_NOTIFY_NEVER));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_span input = { data, size };
	struct smtp_path path;
	struct smtp_span rest;

	check_params(input, false);
	check_params(input, true);
	check_xtext(input);
	check_dsn(input, false);
	check_dsn(input, true);
	if (smtp_path_argument_parse(&path, input, "FROM:", SMTP_ADDRESS_UTF8, &rest) == 0)
		check_params(rest, true);
	return 0;
}
