/* SPDX-License-Identifier: ISC */
/* Reading messages back: their end first (trailer, envelope), then their state, then the message as
 * it goes out. Everything is checked against the sums of the trailer, content while it streams.
 */
#include "libsmtp/core/span.h"
#include "storage/spool_internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- The end of a file ---- */

/* `tail` is the end of the file and may hold the envelope; a longer one is read for itself. */
static int load_envelope(const struct spool_message *m, uint64_t file_bytes, struct smtp_span tail,
			 const char *id, struct smtp_queue_entry **entry)
{
	const struct spool_trailer *t = &m->trailer;
	uint64_t end = file_bytes - SPOOL_TRAILER_BYTES;
	struct smtp_span text;
	uint8_t *long_text = NULL;
	size_t got = (size_t)t->envelope_bytes;
	int err = 0;

	if (tail.n - SPOOL_TRAILER_BYTES >= got) {
		text = smtp_span_slice(tail, tail.n - SPOOL_TRAILER_BYTES - got, got);
	} else {
		long_text = malloc(got);
		if (!long_text)
			return SMTP_ENOMEM;
		err = storage_pread(m->fd, long_text, got, end - t->envelope_bytes, &got);
		text = smtp_span_make(long_text, got);
	}
	if (!err && (text.n != t->envelope_bytes || !spool_trailer_matches(t, text)))
		err = SMTP_ECORRUPT;
	if (!err)
		err = spool_envelope_parse(text, entry);
	if (!err && !smtp_span_is(smtp_span_of((*entry)->id), id)) {
		smtp_queue_entry_free(*entry);
		err = SMTP_ECORRUPT;
	}
	free(long_text);
	return err;
}

static int load_end(struct spool_message *m, const char *id, struct smtp_queue_entry **entry)
{
	uint8_t tail[SPOOL_TAIL_BYTES];
	struct stat st;
	uint64_t bytes;
	size_t n, got;
	int err;

	if (fstat(m->fd, &st) != 0)
		return SMTP_EIO;
	if (!S_ISREG(st.st_mode))
		return SMTP_ECORRUPT;
	bytes = (uint64_t)st.st_size;
	n = bytes < sizeof tail ? (size_t)bytes : sizeof tail;
	if (!entry && n > SPOOL_TRAILER_BYTES)
		n = SPOOL_TRAILER_BYTES;
	if ((err = storage_pread(m->fd, tail, n, bytes - n, &got)))
		return err;
	if ((err = spool_trailer_parse(smtp_span_make(tail, got), bytes, &m->trailer)))
		return err;
	return entry ? load_envelope(m, bytes, smtp_span_make(tail, got), id, entry) : 0;
}

int spool_message_open(int dir_fd, const char *id, struct spool_message *out,
		       struct smtp_queue_entry **entry)
{
	struct spool_message m = { .dir_fd = dir_fd };
	int err;

	if (dir_fd < 0)
		return SMTP_ENOTFOUND;
	m.fd = storage_openat(dir_fd, id, O_RDONLY | O_NONBLOCK, 0);
	if (m.fd < 0)
		return m.fd;
	err = load_end(&m, id, entry);
	if (err)
		(void)close(m.fd);
	else
		*out = m;
	return err;
}

int spool_message_find(const struct smtp_spool *spool, const char *id, struct spool_message *out,
		       struct smtp_queue_entry **entry)
{
	int err;

	if (!smtp_queue_id_is_valid(id))
		return SMTP_ENOTFOUND;
	err = spool_message_open(spool_dir_fd(spool, id), id, out, entry);
	if (err == SMTP_ENOTFOUND)
		err = spool_message_open(spool->bounce_fd, id, out, entry);
	return err;
}

int smtp_spool_load(struct smtp_spool *spool, const char *id, struct smtp_queue_entry **out)
{
	struct smtp_queue_entry *entry = NULL;
	struct spool_message m;
	int err = spool_message_find(spool, id, &m, &entry);

	if (err)
		return err;
	(void)close(m.fd);
	entry->content_bytes = m.trailer.content_bytes;
	entry->added_bytes = m.trailer.added_bytes;
	err = spool_state_read(m.dir_fd, id, entry);
	if (err)
		smtp_queue_entry_free(entry);
	else
		*out = entry;
	return err;
}

/* ---- The message as it goes out: added fields, then content ---- */

struct smtp_spool_reader {
	struct spool_message message;
	uint64_t at;  /* octets given so far */
	uint64_t sum; /* of those of the part being read */
};

int smtp_spool_reader_open(struct smtp_spool *spool, const char *id,
			   struct smtp_spool_reader **out)
{
	struct smtp_spool_reader *reader = calloc(1, sizeof *reader);
	int err;

	if (!reader)
		return SMTP_ENOMEM;
	err = spool_message_find(spool, id, &reader->message, NULL);
	if (err) {
		free(reader);
		return err;
	}
	smtp_spool_reader_rewind(reader);
	*out = reader;
	return 0;
}

/* Reads from one part of the file and, at its end, compares the sum before the last octets are
 * given: damaged mail is never taken for whole. `at` counts within the part. */
static int read_part(struct smtp_spool_reader *r, uint64_t file_offset, uint64_t at,
		     uint64_t part_bytes, uint64_t part_sum, uint8_t *out, size_t *n)
{
	uint64_t left = part_bytes - at;
	size_t want = *n < left ? *n : (size_t)left;
	int err = storage_pread(r->message.fd, out, want, file_offset + at, n);

	if (err)
		return err;
	r->sum = spool_sum(r->sum, smtp_span_make(out, *n));
	if (*n < want || (want == left && r->sum != part_sum))
		return SMTP_ECORRUPT;
	r->at += want;
	if (want == left)
		r->sum = spool_sum_start;
	return 0;
}

int smtp_spool_reader_read(void *reader, uint8_t *out, size_t cap, size_t *n)
{
	struct smtp_spool_reader *r = reader;
	const struct spool_trailer *t = &r->message.trailer;
	int err = 0;

	*n = cap;
	if (r->at < t->added_bytes)
		err = read_part(r, t->content_bytes, r->at, t->added_bytes, t->added_sum, out, n);
	else if (r->at < smtp_spool_reader_bytes(r))
		err = read_part(r, 0, r->at - t->added_bytes, t->content_bytes, t->content_sum,
				out, n);
	else
		*n = 0;
	if (err)
		*n = 0;
	return err;
}

void smtp_spool_reader_rewind(struct smtp_spool_reader *reader)
{
	reader->at = 0;
	reader->sum = spool_sum_start;
}

uint64_t smtp_spool_reader_bytes(const struct smtp_spool_reader *reader)
{
	return reader->message.trailer.content_bytes + reader->message.trailer.added_bytes;
}

void smtp_spool_reader_close(struct smtp_spool_reader *reader)
{
	if (!reader)
		return;
	(void)close(reader->message.fd);
	free(reader);
}
