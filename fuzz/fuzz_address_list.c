/* SPDX-License-Identifier: ISC */
/* Address fields: every mailbox that is read is a valid one, and the list of them, printed plainly or
 * with display names, folds and comments around each, reads back as the same.
 */
#include "fuzz/fuzz.h"

#include <string.h>

#include "libsmtp/core/address_list.h"
#include "libsmtp/core/buf.h"
#include "libsmtp/core/syntax.h"

enum { ADDRESSES_MAX = 8, TEXT_MAX = ADDRESSES_MAX * (SMTP_MAILBOX_TEXT_MAX + 64) };

static const char *const before[] = { "<", "\"(\\\"@,\" <", "A. b\r\n\t(x(\\)) y) < (z)", "g:<" };
static const char *const behind[] = { ">", "> ", "\r\n > (\" <)", ">;" };

static void append(struct smtp_buf *out, const char *text)
{
	need(smtp_buf_append_text(out, text) == 0);
}

static void print(struct smtp_buf *out, const struct smtp_mailbox *list, size_t count, unsigned style)
{
	char text[SMTP_MAILBOX_TEXT_MAX + 1];

	for (size_t i = 0; i < count; i++) {
		need(smtp_mailbox_format(&list[i], text, sizeof text) < sizeof text);
		append(out, i > 0 ? "," : " ");
		append(out, before[style]);
		append(out, text);
		append(out, behind[style]);
	}
}

static void check_mailbox(const struct smtp_mailbox *m)
{
	char text[SMTP_MAILBOX_TEXT_MAX + 1];
	size_t n = smtp_mailbox_format(m, text, sizeof text);
	struct smtp_mailbox again;

	need(n > 0 && !smtp_span_has(smtp_span_of(text), SMTP_CC_CONTROL));
	need(strpbrk(m->local_part, "@<>") == NULL);
	need(smtp_mailbox_parse(&again, smtp_span_make(text, n), SMTP_ADDRESS_UTF8) == 0);
	need(smtp_mailbox_equal(m, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_mailbox list[ADDRESSES_MAX], again[ADDRESSES_MAX];
	struct smtp_span input = { data, size };
	unsigned style = take_choice(&input) % 4;
	size_t count = 0, others = 0;
	struct smtp_buf text;

	if (smtp_address_list_parse(input, list, ADDRESSES_MAX, &count) != 0)
		return 0;
	need(count <= ADDRESSES_MAX && has_only_crlf(input.p, input.n));
	for (size_t i = 0; i < count; i++)
		check_mailbox(&list[i]);
	if (count == 0)
		return 0;
	need(smtp_address_list_parse(input, again, count - 1, &others) == SMTP_ETOOLONG);
	smtp_buf_init(&text, TEXT_MAX);
	print(&text, list, count, style);
	need(smtp_address_list_parse(smtp_buf_span(&text), again, ADDRESSES_MAX, &others) == 0);
	need(others == count);
	for (size_t i = 0; i < count; i++)
		need(smtp_mailbox_equal(&list[i], &again[i]));
	smtp_buf_release(&text);
	return 0;
}
