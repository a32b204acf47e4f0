/* SPDX-License-Identifier: ISC */
/* mime.c - encodings of bodies, fields and parameters for the composer. What a message consists of is
 * decided in compose.c.
 */
#include "smtpc/mime.h"

#include <string.h>

#include "libsmtp/core/base64.h"
#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

enum {
	BODY_LINE = 76,          /* RFC 2045, 6.7 and 6.8 */
	BASE64_LINE_OCTETS = 57, /* that give 76 */
	TEXT_LINE = 998,         /* RFC 5322, 2.1.1 */
	FOLD_AT = 78,
	WORD_OCTETS = 39,        /* of an encoded word, so that "Subject: " fits before it (RFC 2047, 2) */
	WORD_PLAIN_MAX = 60,     /* a longer run without blank can't be folded as it is */
	PARAMETER_PLAIN_MAX = 60,
	PARAMETER_PART = 60
};

void mime_put_span(struct mime_writer *w, struct smtp_span octets)
{
	if (!w->err)
		w->err = smtp_buf_append_span(w->buf, octets);
}

void mime_put(struct mime_writer *w, const char *text)
{
	mime_put_span(w, smtp_span_of(text));
}

static void put_char(struct mime_writer *w, uint8_t c)
{
	mime_put_span(w, (struct smtp_span){ &c, 1 });
}

static void put_hex(struct mime_writer *w, char mark, uint8_t c)
{
	static const char digits[] = "0123456789ABCDEF";
	const uint8_t text[] = { (uint8_t)mark, (uint8_t)digits[c >> 4], (uint8_t)digits[c & 15] };

	mime_put_span(w, (struct smtp_span){ text, sizeof(text) });
}

/* --- text bodies ----------------------------------------------------------------------------- */

/* Octets of the line end at `at`: 2 for CRLF, 1 for LF, else 0. */
static size_t line_end(struct smtp_span text, size_t at)
{
	if (at < text.n && text.p[at] == '\n')
		return 1;
	return at + 1 < text.n && text.p[at] == '\r' && text.p[at + 1] == '\n' ? 2 : 0;
}

static bool is_plain(uint8_t c)
{
	return c == '\t' || (c >= ' ' && c < 127);
}

enum mime_encoding mime_choose(struct smtp_span text)
{
	size_t special = 0, line = 0, longest = 0;

	for (size_t i = 0; i < text.n;) {
		size_t end = line_end(text, i);

		special += !end && !is_plain(text.p[i]);
		line = end ? 0 : line + 1;
		longest = line > longest ? line : longest;
		i += end ? end : 1;
	}
	if (special == 0 && longest <= TEXT_LINE)
		return MIME_7BIT;
	/* Quoted-printable adds two octets for each special one, base64 a third of all. */
	return special < text.n / 6 + 1 ? MIME_QUOTED_PRINTABLE : MIME_BASE64;
}

const char *mime_encoding_name(enum mime_encoding encoding)
{
	static const char *const names[] = { "7bit", "quoted-printable", "base64" };

	return names[encoding];
}

/* Line by line; `put_line` writes one without its end. */
static void each_line(struct mime_writer *w, struct smtp_span text,
		      void (*put_line)(struct mime_writer *, struct smtp_span))
{
	size_t from = 0;

	for (size_t i = 0; i < text.n && !w->err;) {
		size_t end = line_end(text, i);

		if (end) {
			put_line(w, smtp_span_slice(text, from, i - from));
			mime_put(w, "\r\n");
			from = i + end;
		}
		i += end ? end : 1;
	}
	if (from < text.n) {
		put_line(w, smtp_span_slice(text, from, text.n));
		mime_put(w, "\r\n");
	}
}

/* RFC 2045, 6.7: "=" and what is not printable as =XX, a blank at the end of the line too; no line over 76
 * with the "=" of a soft break. */
static void put_quoted_line(struct mime_writer *w, struct smtp_span line)
{
	size_t column = 0;

	for (size_t i = 0; i < line.n; i++) {
		uint8_t c = line.p[i];
		bool last = i + 1 == line.n;
		bool quote = !is_plain(c) || c == '=' || (last && (c == ' ' || c == '\t'));
		size_t width = quote ? 3 : 1;

		if (column + width > BODY_LINE - 1) {
			mime_put(w, "=\r\n");
			column = 0;
		}
		if (quote)
			put_hex(w, '=', c);
		else
			put_char(w, c);
		column += width;
	}
}

/* RFC 2045, 6.8: line ends of text are CRLF before it is encoded. */
static void put_base64_text(struct mime_writer *w, struct smtp_span text)
{
	struct smtp_buf canonical;
	struct mime_writer inner = { &canonical, w->err };

	smtp_buf_init(&canonical, w->buf->max);
	each_line(&inner, text, mime_put_span);
	w->err = inner.err;
	mime_base64_body(w, smtp_buf_span(&canonical));
	smtp_buf_release(&canonical);
}

void mime_text_body(struct mime_writer *w, struct smtp_span text, enum mime_encoding encoding)
{
	if (encoding == MIME_BASE64)
		put_base64_text(w, text);
	else
		each_line(w, text, encoding == MIME_7BIT ? mime_put_span : put_quoted_line);
}

static void put_base64(struct mime_writer *w, struct smtp_span octets)
{
	if (!w->err)
		w->err = smtp_base64_encode(w->buf, octets);
}

void mime_base64_body(struct mime_writer *w, struct smtp_span octets)
{
	for (size_t at = 0; at < octets.n && !w->err; at += BASE64_LINE_OCTETS) {
		put_base64(w, smtp_span_slice(octets, at, BASE64_LINE_OCTETS));
		mime_put(w, "\r\n");
	}
}

/* --- fields ---------------------------------------------------------------------------------- */

/* The longest part from `at` of at most `most` octets that does not cut a character. */
static struct smtp_span whole_characters(struct smtp_span text, size_t at, size_t most)
{
	size_t n = text.n - at;

	if (n > most)
		for (n = most; n > 1 && (text.p[at + n] & 0xc0) == 0x80; n--)
			;
	return smtp_span_slice(text, at, n);
}

static void put_encoded_words(struct mime_writer *w, struct smtp_span text)
{
	for (size_t at = 0; at < text.n;) {
		struct smtp_span word = whole_characters(text, at, WORD_OCTETS);

		mime_put(w, at > 0 ? "\r\n =?UTF-8?B?" : " =?UTF-8?B?");
		put_base64(w, word);
		mime_put(w, "?=");
		at += word.n;
	}
}

/* Octets up to the next blank behind the blanks at `at`. */
static size_t word_with_blanks(struct smtp_span text, size_t at)
{
	size_t n = 0;

	while (at + n < text.n && text.p[at + n] == ' ')
		n++;
	while (at + n < text.n && text.p[at + n] != ' ')
		n++;
	return n;
}

/* Can it stand as it is? Blanks at the ends would be lost, "=?" taken for an encoded word. */
static bool is_plain_field(struct smtp_span text)
{
	if (text.n > 0 && (text.p[0] == ' ' || text.p[text.n - 1] == ' '))
		return false;
	for (size_t i = 0; i < text.n; i++)
		if (!is_plain(text.p[i]) || text.p[i] == '\t' ||
		    (text.p[i] == '=' && i + 1 < text.n && text.p[i + 1] == '?'))
			return false;
	for (size_t at = 0; at < text.n; at += word_with_blanks(text, at))
		if (word_with_blanks(text, at) > WORD_PLAIN_MAX)
			return false;
	return true;
}

static void put_folded(struct mime_writer *w, struct smtp_span text, size_t column)
{
	for (size_t at = 0; at < text.n;) {
		struct smtp_span word = smtp_span_slice(text, at, word_with_blanks(text, at));

		if (at == 0) {
			mime_put(w, " ");
			column++;
		} else if (column + word.n > FOLD_AT) {
			mime_put(w, "\r\n");
			column = 0;
		}
		mime_put_span(w, word);
		column += word.n;
		at += word.n;
	}
}

void mime_unstructured_field(struct mime_writer *w, const char *name, struct smtp_span text)
{
	mime_put(w, name);
	mime_put(w, ":");
	if (is_plain_field(text))
		put_folded(w, text, strlen(name) + 1);
	else
		put_encoded_words(w, text);
	mime_put(w, "\r\n");
}

/* --- parameters ------------------------------------------------------------------------------ */

static bool is_plain_parameter(struct smtp_span value)
{
	if (value.n > PARAMETER_PLAIN_MAX)
		return false;
	for (size_t i = 0; i < value.n; i++)
		if (!is_plain(value.p[i]) || value.p[i] == '\t')
			return false;
	return true;
}

static void put_quoted_string(struct mime_writer *w, struct smtp_span value)
{
	mime_put(w, "\"");
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] == '"' || value.p[i] == '\\')
			mime_put(w, "\\");
		put_char(w, value.p[i]);
	}
	mime_put(w, "\"");
}

static bool is_attribute_char(uint8_t c)
{
	return smtp_is(c, SMTP_CC_LET_DIG) || c == '.' || c == '_' || c == '-';
}

/* As much as gives PARAMETER_PART octets, and a few more rather than cut a character. */
static size_t put_extended_part(struct mime_writer *w, struct smtp_span value, size_t at)
{
	size_t i = at, column = 0;

	while (i < value.n &&
	       (column + 3 <= PARAMETER_PART || (value.p[i] & 0xc0) == 0x80)) {
		bool plain = is_attribute_char(value.p[i]);

		if (plain)
			put_char(w, value.p[i]);
		else
			put_hex(w, '%', value.p[i]);
		column += plain ? 1 : 3;
		i++;
	}
	return i - at;
}

static size_t extended_length(struct smtp_span value)
{
	size_t n = 0;

	for (size_t i = 0; i < value.n; i++)
		n += is_attribute_char(value.p[i]) ? 1 : 3;
	return n;
}

/* RFC 2231, 4.1: name*0*=UTF-8''..., name*1*=..., or name*= when one part will do. */
static void put_extended(struct mime_writer *w, const char *name, struct smtp_span value)
{
	bool one = extended_length(value) <= PARAMETER_PART - 3;
	uint64_t part = 0;

	for (size_t at = 0; at < value.n && !w->err; part++) {
		mime_put(w, ";\r\n ");
		mime_put(w, name);
		mime_put(w, "*");
		if (!one && !w->err)
			w->err = smtp_buf_append_uint(w->buf, part);
		mime_put(w, one ? "=" : "*=");
		mime_put(w, part == 0 ? "UTF-8''" : "");
		at += put_extended_part(w, value, at);
	}
}

void mime_parameter(struct mime_writer *w, const char *name, struct smtp_span value)
{
	if (!is_plain_parameter(value)) {
		put_extended(w, name, value);
		return;
	}
	mime_put(w, ";\r\n ");
	mime_put(w, name);
	mime_put(w, "=");
	put_quoted_string(w, value);
}
