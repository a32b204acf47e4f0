/* SPDX-License-Identifier: ISC */
/* buf.c - owned bytes that grow up to a stated maximum. Growing moves the content by hand and
 * overwrites the old place, since any buffer may come to hold a password.
 */
#include "libsmtp/core/buf.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 64, UINT64_DIGITS = 20 };

void smtp_buf_init(struct smtp_buf *buf, size_t max)
{
	*buf = (struct smtp_buf){ .max = max };
}

void smtp_buf_release(struct smtp_buf *buf)
{
	free(buf->p);
	smtp_buf_init(buf, buf->max);
}

void smtp_buf_clear(struct smtp_buf *buf)
{
	buf->n = 0;
}

void smtp_buf_wipe(struct smtp_buf *buf)
{
	/* The capacity, not the length: what was dropped or cleared lies there still. */
	if (buf->p)
		explicit_bzero(buf->p, buf->cap);
	smtp_buf_release(buf);
}

/* Doubles, so that appending octet by octet stays linear; never over the maximum. */
static size_t next_capacity(const struct smtp_buf *buf, size_t needed)
{
	size_t cap = buf->cap ? buf->cap : FIRST_CAPACITY;

	while (cap < needed)
		cap = cap > SIZE_MAX / 2 ? SIZE_MAX : cap * 2;
	return cap < buf->max ? cap : buf->max;
}

static int grow(struct smtp_buf *buf, size_t needed)
{
	size_t cap = next_capacity(buf, needed);
	uint8_t *p = malloc(cap);

	if (!p)
		return SMTP_ENOMEM;
	if (buf->p) {
		memcpy(p, buf->p, buf->n);
		explicit_bzero(buf->p, buf->cap);
		free(buf->p);
	}
	buf->p = p;
	buf->cap = cap;
	return 0;
}

int smtp_buf_reserve(struct smtp_buf *buf, size_t n)
{
	if (n > buf->max || buf->n > buf->max - n)
		return SMTP_ETOOLONG;
	if (buf->n + n <= buf->cap)
		return 0;
	return grow(buf, buf->n + n);
}

int smtp_buf_append(struct smtp_buf *buf, const void *data, size_t n)
{
	int err = smtp_buf_reserve(buf, n);

	if (err)
		return err;
	if (n > 0)
		memcpy(buf->p + buf->n, data, n);
	buf->n += n;
	return 0;
}

int smtp_buf_append_span(struct smtp_buf *buf, struct smtp_span span)
{
	return smtp_buf_append(buf, span.p, span.n);
}

int smtp_buf_append_text(struct smtp_buf *buf, const char *text)
{
	return smtp_buf_append_span(buf, smtp_span_of(text));
}

int smtp_buf_append_uint(struct smtp_buf *buf, uint64_t number)
{
	char digits[UINT64_DIGITS];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	return smtp_buf_append(buf, digits + at, sizeof(digits) - at);
}

void smtp_buf_drop(struct smtp_buf *buf, size_t n)
{
	if (n >= buf->n) {
		buf->n = 0;
		return;
	}
	memmove(buf->p, buf->p + n, buf->n - n);
	buf->n -= n;
}

struct smtp_span smtp_buf_span(const struct smtp_buf *buf)
{
	return (struct smtp_span){ buf->p, buf->n };
}
