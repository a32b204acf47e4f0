/* SPDX-License-Identifier: ISC */
/* buf.h - owned bytes that grow up to a stated maximum. The only place with pointer arithmetic on
 * growing memory; readers over borrowed bytes are in span.h.
 */
#ifndef SMTP_CORE_BUF_H
#define SMTP_CORE_BUF_H

#include <smtp/base.h>

/** After smtp_buf_init() with nothing appended it holds no memory. */
struct smtp_buf {
	uint8_t *p;
	size_t n;   /* octets held */
	size_t cap; /* octets allocated */
	size_t max; /* octets it may ever hold */
};

void smtp_buf_init(struct smtp_buf *buf, size_t max);
/** Frees the memory; the buffer is empty and usable again. */
void smtp_buf_release(struct smtp_buf *buf);
/** Forgets the content, keeps the memory. */
void smtp_buf_clear(struct smtp_buf *buf);
/** Overwrites the content with zeroes (not optimised away), then releases it. */
void smtp_buf_wipe(struct smtp_buf *buf);

/** Appending fails whole with SMTP_ETOOLONG (over max) or SMTP_ENOMEM; content is then unchanged. */
SMTP_MUST_USE int smtp_buf_append(struct smtp_buf *buf, const void *data, size_t n);
SMTP_MUST_USE int smtp_buf_append_span(struct smtp_buf *buf, struct smtp_span span);
SMTP_MUST_USE int smtp_buf_append_text(struct smtp_buf *buf, const char *text);
SMTP_MUST_USE int smtp_buf_append_uint(struct smtp_buf *buf, uint64_t number);
/** Makes room for `n` more octets behind p + n, to be written by the caller and added to n. */
SMTP_MUST_USE int smtp_buf_reserve(struct smtp_buf *buf, size_t n);
/** Drops `n` octets (at most all) from the head. */
void smtp_buf_drop(struct smtp_buf *buf, size_t n);
/** Borrowed view; valid until the next call that changes the buffer. */
struct smtp_span smtp_buf_span(const struct smtp_buf *buf);

#endif
