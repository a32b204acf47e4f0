/* SPDX-License-Identifier: ISC */
/* line.c - gathers one line at a time from pieces of input. Looks at each octet once and keeps at
 * most the bound; what the line says is the business of others.
 */
#include "libsmtp/core/line.h"

#include <string.h>

void smtp_line_init(struct smtp_line *ln, size_t max)
{
	*ln = (struct smtp_line){ .max = max };
	smtp_buf_init(&ln->buf, max);
}

void smtp_line_release(struct smtp_line *ln)
{
	smtp_buf_release(&ln->buf);
	smtp_line_init(ln, ln->max);
}

void smtp_line_wipe(struct smtp_line *ln)
{
	smtp_buf_wipe(&ln->buf);
	smtp_line_init(ln, ln->max);
}

/* Octets up to and with the CRLF whose LF lies in `input`; 0: there is none. */
static size_t find_end(const struct smtp_line *ln, struct smtp_span input)
{
	size_t at = 0;

	while (at < input.n) {
		const uint8_t *lf = memchr(input.p + at, '\n', input.n - at);
		size_t i;

		if (!lf)
			return 0;
		i = (size_t)(lf - input.p);
		if (i > 0 ? input.p[i - 1] == '\r' : ln->last_cr)
			return i + 1;
		at = i + 1;
	}
	return 0;
}

static enum smtp_line_result keep_part(struct smtp_line *ln, struct smtp_span part)
{
	if (part.n > 0)
		ln->last_cr = part.p[part.n - 1] == '\r';
	if (ln->overflow)
		return SMTP_LINE_MORE;
	switch (smtp_buf_append_span(&ln->buf, part)) {
	case 0:
		return SMTP_LINE_MORE;
	case SMTP_ETOOLONG:
		ln->overflow = true;
		smtp_buf_clear(&ln->buf);
		return SMTP_LINE_MORE;
	default:
		return SMTP_LINE_ENOMEM;
	}
}

static enum smtp_line_result finish(struct smtp_line *ln, struct smtp_span part,
				    struct smtp_span *line)
{
	enum smtp_line_result result = SMTP_LINE_READY;

	if (ln->buf.n > 0 || ln->overflow) {
		result = keep_part(ln, part);
		if (result == SMTP_LINE_ENOMEM)
			return result;
		result = ln->overflow ? SMTP_LINE_TOO_LONG : SMTP_LINE_READY;
		part = smtp_buf_span(&ln->buf);
	} else if (part.n > ln->max) {
		result = SMTP_LINE_TOO_LONG;
	}
	if (result == SMTP_LINE_READY)
		*line = (struct smtp_span){ part.p, part.n - 2 };
	ln->overflow = false;
	ln->last_cr = false;
	ln->given = true;
	return result;
}

enum smtp_line_result smtp_line_feed(struct smtp_line *ln, struct smtp_span input, size_t *taken,
				     struct smtp_span *line)
{
	size_t end;

	if (ln->given)
		smtp_buf_clear(&ln->buf);
	ln->given = false;
	*line = (struct smtp_span){ NULL, 0 };
	end = find_end(ln, input);
	*taken = end ? end : input.n;
	if (end)
		return finish(ln, (struct smtp_span){ input.p, end }, line);
	return keep_part(ln, input);
}
