/* SPDX-License-Identifier: ISC */
/* client_trace.c - shows the dialogue of a client session to its trace function: lines without CRLF.
 * Control octets (by the parser) and secrets have been taken out before.
 */
#include "libsmtp/core/client_session_private.h"

#include <string.h>

#include "libsmtp/core/span.h"

static size_t copy_number(char *out, unsigned number)
{
	char digits[10];
	size_t n = 0;

	do {
		digits[n++] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	for (size_t i = 0; i < n; i++)
		out[i] = digits[n - 1 - i];
	return n;
}

/* "250-" or "550 5.1.1 ": what stands before the text of each line. */
static size_t format_code(char *out, const struct smtp_reply *reply, bool last)
{
	size_t n = copy_number(out, reply->code);

	out[n++] = last ? ' ' : '-';
	if (reply->enhanced.class_ == 0)
		return n;
	n += copy_number(out + n, reply->enhanced.class_);
	out[n++] = '.';
	n += copy_number(out + n, reply->enhanced.subject);
	out[n++] = '.';
	n += copy_number(out + n, reply->enhanced.detail);
	out[n++] = ' ';
	return n;
}

/* Takes the first line off *text. */
static struct smtp_span next_line(struct smtp_span *text)
{
	const uint8_t *lf = text->n > 0 ? memchr(text->p, '\n', text->n) : NULL;
	size_t n = lf ? (size_t)(lf - text->p) : text->n;
	struct smtp_span line = smtp_span_slice(*text, 0, n);

	*text = smtp_span_slice(*text, lf ? n + 1 : n, text->n);
	return line;
}

void smtp_client_trace_reply(struct smtp_client_session *s, const struct smtp_reply *reply)
{
	char shown[SMTP_REPLY_LINE_MAX];
	struct smtp_span rest = reply->text;

	if (!s->handler.trace)
		return;
	do {
		struct smtp_span line = next_line(&rest);
		size_t n = format_code(shown, reply, rest.n == 0);

		line = smtp_span_slice(line, 0, sizeof(shown) - n);
		if (line.n > 0)
			memcpy(shown + n, line.p, line.n);
		n += line.n;
		s->handler.trace(s, true, smtp_span_make(shown, n), s->user);
	} while (rest.n > 0 && !smtp_client_is_over(s));
}

void smtp_client_trace_sent(struct smtp_client_session *s, struct smtp_span line)
{
	if (s->handler.trace)
		s->handler.trace(s, false, line, s->user);
}
