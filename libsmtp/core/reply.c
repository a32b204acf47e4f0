/* SPDX-License-Identifier: ISC */
/* reply.c - replies as values and their wire text. Every reply that is sent passes
 * smtp_reply_format(), so nothing from a peer or a callback can begin a line of its own.
 */
#include <smtp/reply.h>

#include <string.h>

#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

enum {
	CODE_MIN = 200,
	CODE_MAX = 599,
	PREFIX_MAX = 4 + 1 + 1 + 5 + 1 + 5 + 1, /* "250-2.65535.65535 " */
};

/* 1*3DIGIT */
static bool read_number(struct smtp_reader *rd, uint16_t *out)
{
	struct smtp_span digits = smtp_rd_while(rd, SMTP_CC_DIGIT);
	uint64_t number;

	if (digits.n > 3 || smtp_span_uint(digits, &number))
		return false;
	*out = (uint16_t)number;
	return true;
}

/* status-code = ("2" / "4" / "5") "." 1*3DIGIT "." 1*3DIGIT (RFC 3463, 2); a blank or the end of
 * the line has to follow, so that an IPv4 address at the head of a text is not taken for one. */
int smtp_enhanced_code_parse(struct smtp_enhanced_code *out, struct smtp_span text, size_t *used)
{
	struct smtp_enhanced_code enhanced;
	struct smtp_reader rd;
	int class_;

	*used = 0;
	smtp_reader_init(&rd, text);
	class_ = smtp_rd_next(&rd);
	if ((class_ != '2' && class_ != '4' && class_ != '5') || !smtp_rd_char(&rd, '.') ||
	    !read_number(&rd, &enhanced.subject) || !smtp_rd_char(&rd, '.') ||
	    !read_number(&rd, &enhanced.detail))
		return SMTP_ESYNTAX;
	if (!smtp_rd_end(&rd) &&
	    !smtp_is((uint8_t)smtp_rd_peek(&rd), SMTP_CC_BLANK | SMTP_CC_CONTROL))
		return SMTP_ESYNTAX;
	enhanced.class_ = (uint8_t)(class_ - '0');
	*out = enhanced;
	*used = text.n - rd.rest.n;
	return 0;
}

struct smtp_reply smtp_reply_of(unsigned code, const char *enhanced, const char *text)
{
	struct smtp_reply reply = { .code = code, .text = smtp_span_of(text) };
	struct smtp_span status = smtp_span_of(enhanced);
	size_t used;

	if (smtp_enhanced_code_parse(&reply.enhanced, status, &used) || used != status.n)
		reply.enhanced = (struct smtp_enhanced_code){ 0 };
	return reply;
}

bool smtp_reply_is_positive(const struct smtp_reply *reply)
{
	return reply->code / 100 == 2;
}

bool smtp_reply_is_transient(const struct smtp_reply *reply)
{
	return reply->code / 100 == 4;
}

bool smtp_reply_is_permanent(const struct smtp_reply *reply)
{
	return reply->code / 100 == 5;
}

/* --- wire text -------------------------------------------------------------------------------- */

static size_t put_number(char *out, unsigned number)
{
	char digits[10];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	memcpy(out, digits + at, sizeof(digits) - at);
	return sizeof(digits) - at;
}

/* "250-2.1.0 " into `out` of PREFIX_MAX octets; the separator is at [3]. */
static size_t put_prefix(char *out, const struct smtp_reply *reply, bool with_enhanced)
{
	size_t n = put_number(out, reply->code);

	out[n++] = '-';
	if (!with_enhanced || reply->enhanced.class_ != reply->code / 100)
		return n;
	n += put_number(out + n, reply->enhanced.class_);
	out[n++] = '.';
	n += put_number(out + n, reply->enhanced.subject);
	out[n++] = '.';
	n += put_number(out + n, reply->enhanced.detail);
	out[n++] = ' ';
	return n;
}

/* How much of `text` goes into one line of `room` octets: all up to LF, else up to the last blank,
 * else as much as fits without cutting a UTF-8 sequence in two. */
static size_t line_length(struct smtp_span text, size_t room)
{
	const uint8_t *lf = text.n > 0 ? memchr(text.p, '\n', text.n) : NULL;
	size_t n = lf ? (size_t)(lf - text.p) : text.n;

	if (n <= room)
		return n;
	for (n = room; n > room / 2; n--)
		if (text.p[n] == ' ')
			return n;
	for (n = room; n > room - 3 && (text.p[n] & 0xc0) == 0x80; n--)
		;
	return (text.p[n] & 0xc0) == 0x80 ? room : n;
}

struct wire {
	char *p;
	size_t n, cap;
};

static bool put_line(struct wire *out, struct smtp_span prefix, struct smtp_span text)
{
	/* The blank behind an enhanced code does not stand at a line end. */
	size_t head = text.n == 0 && prefix.n > 4 ? prefix.n - 1 : prefix.n;

	if (out->cap - out->n < head + text.n + 2)
		return false;
	memcpy(out->p + out->n, prefix.p, head);
	out->n += head;
	if (text.n > 0) {
		memcpy(out->p + out->n, text.p, text.n);
		smtp_text_make_safe((uint8_t *)out->p + out->n, text.n);
		out->n += text.n;
	}
	out->p[out->n++] = '\r';
	out->p[out->n++] = '\n';
	return true;
}

/* Drops what was written, and the LF or the blank at which it was cut. */
static struct smtp_span behind_line(struct smtp_span text, size_t n)
{
	if (n < text.n && (text.p[n] == '\n' || text.p[n] == ' '))
		n++;
	return smtp_span_slice(text, n, SIZE_MAX);
}

size_t smtp_reply_format(const struct smtp_reply *reply, bool with_enhanced, char *out, size_t cap)
{
	char prefix[PREFIX_MAX];
	struct wire wire = { out, 0, cap };
	struct smtp_span text = reply->text;
	size_t head, n;
	bool last;

	if (reply->code < CODE_MIN || reply->code > CODE_MAX)
		return 0;
	head = put_prefix(prefix, reply, with_enhanced);
	do {
		n = line_length(text, SMTP_REPLY_LINE_MAX - 2 - head);
		last = n == text.n;
		prefix[3] = last ? ' ' : '-';
		if (!put_line(&wire, smtp_span_make(prefix, head), smtp_span_slice(text, 0, n)))
			return 0;
		text = behind_line(text, n);
	} while (!last);
	return wire.n;
}
