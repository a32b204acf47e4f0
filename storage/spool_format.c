/* SPDX-License-Identifier: ISC */
/* Check sums, texts and the trailer of spool files; see spool_format.h. */
#include "storage/spool_format.h"
#include "storage/spool_text.h"

#include <stdlib.h>
#include <string.h>

uint64_t spool_sum(uint64_t sum, struct smtp_span octets)
{
	for (size_t i = 0; i < octets.n; i++)
		sum = (sum ^ octets.p[i]) * 0x100000001b3u;
	return sum;
}

void spool_put_hex(char *out, uint64_t number)
{
	for (int i = 15; i >= 0; i--) {
		out[i] = "0123456789abcdef"[number & 15];
		number >>= 4;
	}
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool spool_get_hex(struct smtp_span text, uint64_t *out)
{
	uint64_t number = 0;

	if (text.n == 0 || text.n > 16)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		int digit = hex_digit(text.p[i]);

		if (digit < 0)
			return false;
		number = number << 4 | (uint64_t)digit;
	}
	*out = number;
	return true;
}

static bool is_plain(uint8_t c, bool blanks)
{
	return c > ' ' ? c != 0x7f && c != '\\' : c == ' ' && blanks;
}

int spool_put_escaped(struct smtp_buf *out, struct smtp_span text, bool blanks)
{
	for (size_t i = 0; i < text.n; i++) {
		char number[16], escape[4] = "\\x";
		int err;

		if (is_plain(text.p[i], blanks)) {
			err = smtp_buf_append(out, text.p + i, 1);
		} else {
			spool_put_hex(number, text.p[i]);
			memcpy(escape + 2, number + 14, 2);
			err = smtp_buf_append(out, escape, sizeof escape);
		}
		if (err)
			return err;
	}
	return 0;
}

int spool_get_escaped(struct smtp_span text, char **out)
{
	char *plain = malloc(text.n + 1);
	size_t n = 0;

	if (!plain)
		return SMTP_ENOMEM;
	for (size_t i = 0; i < text.n; i++) {
		uint64_t c = text.p[i];

		if (c == '\\') {
			if (text.n - i < 4 || text.p[i + 1] != 'x' ||
			    !spool_get_hex((struct smtp_span){ text.p + i + 2, 2 }, &c) || c == 0)
				goto corrupt;
			i += 3;
		} else if (!is_plain(text.p[i], true)) {
			goto corrupt;
		}
		plain[n++] = (char)c;
	}
	plain[n] = '\0';
	free(*out);
	*out = plain;
	return 0;
corrupt:
	free(plain);
	return SMTP_ECORRUPT;
}

/* ---- Trailer: "trailer", three lengths, three check sums, the magic. As text, so that a whole
 * file can be read with a pager; of fixed size, so that it is found from the end. ---- */

enum { TRAILER_NUMBERS = 6, TRAILER_HEAD = 7, TRAILER_COLUMN = 17 };

static uint64_t *trailer_numbers(struct spool_trailer *t, int i)
{
	uint64_t *const numbers[TRAILER_NUMBERS] = {
		&t->content_bytes, &t->added_bytes, &t->envelope_bytes,
		&t->content_sum,   &t->added_sum,   &t->envelope_sum,
	};

	return numbers[i];
}

static uint64_t envelope_sum(struct smtp_span envelope, const char *trailer)
{
	struct smtp_span head = { (const uint8_t *)trailer,
				  TRAILER_HEAD + (TRAILER_NUMBERS - 1) * TRAILER_COLUMN };

	return spool_sum(spool_sum(spool_sum_start, envelope), head);
}

void spool_trailer_format(struct spool_trailer *trailer, struct smtp_span envelope,
			  char out[SPOOL_TRAILER_BYTES + 1])
{
	char *at = out + TRAILER_HEAD;

	memcpy(out, "trailer", TRAILER_HEAD);
	for (int i = 0; i < TRAILER_NUMBERS; i++, at += TRAILER_COLUMN) {
		if (i == TRAILER_NUMBERS - 1)
			trailer->envelope_sum = envelope_sum(envelope, out);
		at[0] = ' ';
		spool_put_hex(at + 1, *trailer_numbers(trailer, i));
	}
	memcpy(at, SPOOL_MAGIC, sizeof SPOOL_MAGIC);
}

/* Everything of the magic but the version: another version may have another trailer before it. */
static int check_magic(struct smtp_span tail)
{
	enum { MAGIC = sizeof SPOOL_MAGIC - 1, NAME = sizeof " smtp-spool " - 1 };
	const uint8_t *magic;

	if (tail.n < MAGIC)
		return SMTP_ENOTFOUND;
	magic = tail.p + tail.n - MAGIC;
	if (memcmp(magic, SPOOL_MAGIC, NAME) != 0 || magic[MAGIC - 1] != '\n')
		return SMTP_ENOTFOUND;
	return memcmp(magic, SPOOL_MAGIC, MAGIC) == 0 ? 0 : SMTP_EVERSION;
}

static bool lengths_fit(const struct spool_trailer *t, uint64_t file_bytes)
{
	uint64_t rest = file_bytes - SPOOL_TRAILER_BYTES;

	if (t->envelope_bytes > SPOOL_ENVELOPE_MAX || t->added_bytes > SPOOL_ADDED_MAX)
		return false;
	return t->content_bytes <= rest &&
	       rest - t->content_bytes == t->added_bytes + t->envelope_bytes;
}

int spool_trailer_parse(struct smtp_span tail, uint64_t file_bytes, struct spool_trailer *out)
{
	struct spool_trailer t;
	const uint8_t *at;
	int err = check_magic(tail);

	if (err)
		return err;
	if (tail.n < SPOOL_TRAILER_BYTES || file_bytes < tail.n)
		return SMTP_ECORRUPT;
	at = tail.p + tail.n - SPOOL_TRAILER_BYTES;
	if (memcmp(at, "trailer", TRAILER_HEAD) != 0)
		return SMTP_ECORRUPT;
	at += TRAILER_HEAD;
	for (int i = 0; i < TRAILER_NUMBERS; i++, at += TRAILER_COLUMN)
		if (at[0] != ' ' || !spool_get_hex((struct smtp_span){ at + 1, 16 },
						   trailer_numbers(&t, i)))
			return SMTP_ECORRUPT;
	if (!lengths_fit(&t, file_bytes))
		return SMTP_ECORRUPT;
	*out = t;
	return 0;
}

bool spool_trailer_matches(const struct spool_trailer *trailer, struct smtp_span envelope)
{
	struct spool_trailer again = *trailer;
	char text[SPOOL_TRAILER_BYTES + 1];

	spool_trailer_format(&again, envelope, text);
	return again.envelope_sum == trailer->envelope_sum;
}
