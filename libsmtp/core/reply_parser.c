/* SPDX-License-Identifier: ISC */
/* reply_parser.c - reads replies of a server octet by octet, keeps a bounded and harmless text.
 * What a reply means for the session is decided elsewhere.
 */
#include "libsmtp/core/reply_parser.h"

#include <string.h>

#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

enum { CODE_DIGITS = 3, HEAD = CODE_DIGITS + 1 };

void smtp_reply_parser_init(struct smtp_reply_parser *rp)
{
	*rp = (struct smtp_reply_parser){ 0 };
	smtp_buf_init(&rp->text, SMTP_REPLY_OCTETS_MAX);
}

void smtp_reply_parser_release(struct smtp_reply_parser *rp)
{
	smtp_buf_release(&rp->text);
	smtp_reply_parser_init(rp);
}

static void begin_reply(struct smtp_reply_parser *rp)
{
	struct smtp_buf text = rp->text;

	*rp = (struct smtp_reply_parser){ .text = text };
	smtp_buf_clear(&rp->text);
}

/* The octet behind the code: "-", a blank, or the end of the line. Returns octets taken: a line end
 * is left to read_text(). */
static int read_separator(struct smtp_reply_parser *rp, uint8_t c)
{
	bool bare = c == '\r' || c == '\n';

	if (!bare && c != '-' && c != ' ')
		return SMTP_EPROTO;
	if (rp->lines > 0 && rp->line_code != rp->code)
		return SMTP_EPROTO;
	rp->code = rp->line_code;
	rp->last = c != '-';
	rp->column++;
	return bare ? 0 : 1;
}

/* Reply-code = %x32-35 2DIGIT, then the separator. Returns octets taken. */
static int read_head(struct smtp_reply_parser *rp, uint8_t c)
{
	if (rp->column == CODE_DIGITS)
		return read_separator(rp, c);
	if (!smtp_is(c, SMTP_CC_DIGIT) || (rp->column == 0 && (c < '2' || c > '5')))
		return SMTP_EPROTO;
	rp->line_code = rp->line_code * 10 + (unsigned)(c - '0');
	rp->column++;
	return 1;
}

/* Appends as much as there is room for; the rest is left out. */
static int keep_text(struct smtp_reply_parser *rp, struct smtp_span part)
{
	size_t room = rp->text.max - rp->text.n;

	if (rp->lines >= SMTP_REPLY_LINES_MAX)
		return 0;
	return smtp_buf_append_span(&rp->text, smtp_span_slice(part, 0, room));
}

/* Takes the enhanced code off the head of the line just read; the first of a reply counts. */
static void take_enhanced_code(struct smtp_reply_parser *rp)
{
	struct smtp_span line = smtp_span_slice(smtp_buf_span(&rp->text), rp->line_start, SIZE_MAX);
	struct smtp_enhanced_code enhanced;
	size_t used;

	if (smtp_enhanced_code_parse(&enhanced, line, &used) || enhanced.class_ != rp->code / 100)
		return;
	if (rp->enhanced.class_ == 0)
		rp->enhanced = enhanced;
	if (used < line.n)
		used++;
	memmove(rp->text.p + rp->line_start, rp->text.p + rp->line_start + used, line.n - used);
	rp->text.n -= used;
}

static void finish_line(struct smtp_reply_parser *rp)
{
	while (rp->text.n > rp->line_start && rp->text.p[rp->text.n - 1] == '\r')
		rp->text.n--;
	if (rp->text.n > rp->line_start) {
		take_enhanced_code(rp);
		smtp_text_make_safe(rp->text.p + rp->line_start, rp->text.n - rp->line_start);
	}
}

static int begin_line(struct smtp_reply_parser *rp)
{
	int err = keep_text(rp, smtp_span_of("\n"));

	rp->line_start = rp->text.n;
	rp->column = 0;
	rp->line_code = 0;
	return err;
}

static int end_of_line(struct smtp_reply_parser *rp, struct smtp_reply *reply)
{
	finish_line(rp);
	if (++rp->lines > SMTP_REPLY_LINES_HARD_MAX)
		return SMTP_EPROTO;
	if (!rp->last)
		return begin_line(rp);
	rp->given = true;
	*reply = (struct smtp_reply){ rp->code, rp->enhanced, smtp_buf_span(&rp->text) };
	return 1;
}

/* Text up to the end of the line or of the input; *n says how many octets were taken. */
static int read_text(struct smtp_reply_parser *rp, struct smtp_span input, size_t *n,
		     struct smtp_reply *reply)
{
	const uint8_t *lf = memchr(input.p, '\n', input.n);
	int err;

	*n = lf ? (size_t)(lf - input.p) : input.n;
	err = keep_text(rp, smtp_span_slice(input, 0, *n));
	if (err || !lf)
		return err;
	++*n;
	return end_of_line(rp, reply);
}

/* As much of a line as there is. Returns like smtp_reply_parser_feed(). */
static int read_part(struct smtp_reply_parser *rp, struct smtp_span input, size_t *n,
		     struct smtp_reply *reply)
{
	int taken;

	if (rp->column == HEAD)
		return read_text(rp, input, n, reply);
	taken = read_head(rp, input.p[0]);
	*n = taken > 0 ? (size_t)taken : 0;
	return taken < 0 ? taken : 0;
}

int smtp_reply_parser_feed(struct smtp_reply_parser *rp, struct smtp_span input, size_t *taken,
			   struct smtp_reply *reply)
{
	int result = 0;

	if (rp->given)
		begin_reply(rp);
	*taken = 0;
	while (*taken < input.n && result == 0) {
		size_t n = 0;

		result = read_part(rp, smtp_span_slice(input, *taken, SIZE_MAX), &n, reply);
		*taken += n;
		rp->octets += n;
		if (result == 0 && rp->octets > SMTP_REPLY_OCTETS_HARD_MAX)
			result = SMTP_EPROTO;
	}
	return result;
}
