/* SPDX-License-Identifier: ISC */
/* See message.h. */
#include "dkim/message.h"

#include "libsmtp/core/header.h"
#include "libsmtp/core/span.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int read_at(int fd, void *out, size_t n, uint64_t offset)
{
	for (size_t done = 0; done < n;) {
		ssize_t r = pread(fd, (char *)out + done, n - done, (off_t)(offset + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return SMTP_EIO; /* also a file that is shorter than it should be */
		done += (size_t)r;
	}
	return 0;
}

/* CR and LF only together; lines may go on in the next piece, but not after the last. `text` is not
 * empty. */
static bool lines_are_whole(struct smtp_span text, bool last)
{
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '\n' && (i == 0 || text.p[i - 1] != '\r'))
			return false;
		if (text.p[i] == '\r' && (i + 1 == text.n || text.p[i + 1] != '\n'))
			return false;
	}
	return !last || text.p[text.n - 1] == '\n';
}

/* ---- Header section ---- */

/* Where the header section ends and where the body begins; without an empty line all is header. */
static int find_body(struct smtp_span head, bool is_all, size_t *header_bytes, size_t *body_at)
{
	const uint8_t *empty;

	if (head.n >= 2 && memcmp(head.p, "\r\n", 2) == 0) {
		*header_bytes = 0;
		*body_at = 2;
		return 0;
	}
	empty = head.n ? memmem(head.p, head.n, "\r\n\r\n", 4) : NULL;
	if (!empty && !is_all)
		return SMTP_ESYNTAX;
	*header_bytes = empty ? (size_t)(empty - head.p) + 2 : head.n;
	*body_at = empty ? *header_bytes + 2 : head.n;
	return 0;
}

struct tally {
	size_t fields, from;
};

static bool is_from(struct smtp_span field)
{
	static const char name[] = "from";
	size_t n = sizeof name - 1;

	if (!smtp_span_is_nocase(smtp_span_slice(field, 0, n), name))
		return false;
	while (n < field.n && (field.p[n] == ' ' || field.p[n] == '\t'))
		n++;
	return n < field.n && field.p[n] == ':';
}

static int count_field(struct smtp_span field, void *user)
{
	struct tally *tally = user;

	tally->from += is_from(field);
	return ++tally->fields <= SMTP_DKIM_FIELDS_MAX ? 0 : SMTP_ESYNTAX;
}

int dkim_message_fields(const struct dkim_message *m,
			int (*each)(struct smtp_span field, void *user), void *user)
{
	struct smtp_span rest = smtp_buf_span(&m->header);
	struct smtp_header_field field;
	int err = 0;

	while (!err && smtp_header_next(&rest, &field) == 1)
		err = each(smtp_span_slice(field.raw, 0, field.raw.n - 2), user);
	return !err && rest.n > 0 ? SMTP_ESYNTAX : err;
}

static int check_header(const struct dkim_message *m)
{
	struct smtp_span header = smtp_buf_span(&m->header);
	struct tally tally = { 0, 0 };
	int err;

	if (header.n == 0 || !lines_are_whole(header, true) || memchr(header.p, '\0', header.n))
		return SMTP_ESYNTAX;
	err = dkim_message_fields(m, count_field, &tally);
	return !err && tally.from != 1 ? SMTP_ESYNTAX : err;
}

/* Reads the beginning of the content, then keeps what of it is header. */
static int load_header(struct dkim_message *m, uint64_t content_bytes)
{
	size_t added = m->header.n, room = m->header.max - added;
	size_t n = content_bytes < room ? (size_t)content_bytes : room;
	size_t header_bytes, body_at;
	int err = smtp_buf_reserve(&m->header, n);

	if (!err && n > 0)
		err = read_at(m->fd, m->header.p + added, n, 0);
	if (!err)
		err = find_body(smtp_span_make(n ? m->header.p + added : NULL, n),
				n == content_bytes, &header_bytes, &body_at);
	if (err)
		return err;
	m->header.n = added + header_bytes;
	m->body_at = body_at;
	m->end = content_bytes;
	return check_header(m);
}

int dkim_message_open(struct dkim_message *m, int fd, uint64_t content_bytes,
		      struct smtp_span added_fields)
{
	int err;

	if (content_bytes > INT64_MAX - DKIM_PIECE_BYTES)
		return SMTP_EINVAL;
	m->fd = fd;
	smtp_buf_init(&m->header, DKIM_HEADER_MAX);
	err = smtp_buf_append_span(&m->header, added_fields);
	if (!err)
		err = load_header(m, content_bytes);
	if (err)
		dkim_message_close(m);
	return err == SMTP_ETOOLONG ? SMTP_ESYNTAX : err;
}

void dkim_message_close(struct dkim_message *m)
{
	smtp_buf_release(&m->header);
}

/* ---- Body ---- */

/* A piece that ends in CR is cut before it: the next begins with the pair. */
static int body_piece(const struct dkim_message *m, uint64_t at, uint8_t *piece, size_t *n)
{
	uint64_t left = m->end - at;
	size_t want = left < DKIM_PIECE_BYTES ? (size_t)left : DKIM_PIECE_BYTES;
	int err = read_at(m->fd, piece, want, at);

	*n = want;
	if (!err && want > 1 && want < left && piece[want - 1] == '\r')
		--*n;
	return err;
}

int dkim_message_body(const struct dkim_message *m, int (*each)(struct smtp_span piece, void *user),
		      void *user)
{
	uint8_t *piece = malloc(DKIM_PIECE_BYTES);
	uint64_t at = m->body_at;
	size_t n = 0;
	int err = piece ? 0 : SMTP_ENOMEM;

	while (!err && at < m->end) {
		err = body_piece(m, at, piece, &n);
		if (!err && !lines_are_whole(smtp_span_make(piece, n), at + n == m->end))
			err = SMTP_ESYNTAX;
		if (!err)
			err = each(smtp_span_make(piece, n), user);
		at += n;
	}
	free(piece);
	return err;
}
