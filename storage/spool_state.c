/* SPDX-License-Identifier: ISC */
/* What becomes of a message after it was accepted: outcomes appended to ID.state, removal, the ways
 * to bounce/ and corrupt/. The state table of docs/STORAGE.md is kept here.
 */
#include "libsmtp/core/span.h"
#include "storage/spool_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RECORD_MAX = 1 << 26, READ_BYTES = 16384 };

/* ---- Appending ---- */

/* A state without a message would be an orphan, so the first line asks for the message. */
static int open_state(const struct smtp_spool *spool, const char *id)
{
	int err, fd, dir_fd = spool_dir_fd(spool, id);
	char name[SPOOL_STATE_NAME];

	spool_state_name(id, name);
	fd = storage_openat(dir_fd, name, O_WRONLY | O_APPEND, 0);
	if (fd != SMTP_ENOTFOUND)
		return fd;
	fd = storage_openat(dir_fd, id, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	(void)close(fd); /* nothing was written through it */
	fd = storage_openat(dir_fd, name, O_WRONLY | O_APPEND | O_CREAT, 0600);
	if (fd < 0)
		return fd;
	err = storage_give(fd, &spool->owner);
	if (err)
		(void)close(fd);
	return err ? err : fd;
}

/* One write for each call: what a crash tears is the end of one line (see spool_state_format.c). */
static int append(const struct smtp_spool *spool, const char *id, const struct smtp_buf *lines,
		  bool durable)
{
	int err, closed, fd;

	if (spool->read_only || !smtp_queue_id_is_valid(id))
		return spool->read_only ? SMTP_ESTATE : SMTP_ENOTFOUND;
	fd = open_state(spool, id);
	if (fd < 0)
		return fd;
	err = storage_write(fd, smtp_buf_span(lines));
	if (!err && durable)
		err = storage_sync(fd);
	/* Also when the file is older: a line that needed no sync may have made it. */
	if (!err && durable)
		err = storage_sync(spool_dir_fd(spool, id));
	closed = storage_close(fd);
	return err ? err : closed;
}

int smtp_spool_record(struct smtp_spool *spool, const char *id,
		      const struct smtp_spool_outcome *outcomes, size_t count)
{
	bool durable = false;
	struct smtp_buf lines;
	int err = count > 0 ? 0 : SMTP_EINVAL;

	smtp_buf_init(&lines, RECORD_MAX);
	for (size_t i = 0; i < count && !err; i++) {
		durable |= outcomes[i].state != SMTP_RECIPIENT_QUEUED;
		err = spool_outcome_format(&lines, &outcomes[i]);
	}
	if (!err)
		err = append(spool, id, &lines, durable);
	smtp_buf_release(&lines);
	return err;
}

int smtp_spool_record_target(struct smtp_spool *spool, const char *id, size_t recipient,
			     const char *address)
{
	struct smtp_buf lines;
	int err;

	smtp_buf_init(&lines, SPOOL_LINE_MAX);
	err = spool_target_format(&lines, recipient, address);
	if (!err)
		err = append(spool, id, &lines, true);
	smtp_buf_release(&lines);
	return err;
}

int smtp_spool_record_delay_notice(struct smtp_spool *spool, const char *id, int64_t time_ms)
{
	struct smtp_buf lines;
	int err;

	smtp_buf_init(&lines, SPOOL_LINE_MAX);
	err = spool_delay_notice_format(&lines, time_ms);
	if (!err)
		err = append(spool, id, &lines, true);
	smtp_buf_release(&lines);
	return err;
}

/* ---- Reading it back ---- */

/* Applies the whole lines of `text` and says how many octets they were. */
static int apply_lines(struct smtp_queue_entry *entry, struct smtp_span text, size_t *used)
{
	*used = 0;
	while (text.n > 0) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		size_t n;
		int err;

		if (!end)
			return 0;
		n = (size_t)(end - text.p);
		if ((err = spool_state_apply(entry, smtp_span_slice(text, 0, n))))
			return err;
		*used += n + 1;
		text = smtp_span_slice(text, n + 1, text.n);
	}
	return 0;
}

/* In pieces: a message with many recipients and many attempts has a long history. What fills the
 * piece without a line end was not written by us, and is passed over. */
static int read_lines(int fd, struct smtp_queue_entry *entry)
{
	uint8_t piece[READ_BYTES];
	size_t kept = 0, got, used;
	uint64_t offset = 0;

	for (;;) {
		int err = storage_pread(fd, piece + kept, sizeof piece - kept, offset, &got);

		if (err || got == 0)
			return err;
		offset += got;
		kept += got;
		err = apply_lines(entry, smtp_span_make(piece, kept), &used);
		if (err)
			return err;
		if (used == 0 && kept == sizeof piece)
			used = kept;
		kept -= used;
		memmove(piece, piece + used, kept);
	}
}

int spool_state_read(int dir_fd, const char *id, struct smtp_queue_entry *entry)
{
	char name[SPOOL_STATE_NAME];
	int fd, err;

	spool_state_name(id, name);
	fd = storage_openat(dir_fd, name, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0)
		return fd == SMTP_ENOTFOUND ? 0 : fd;
	err = read_lines(fd, entry);
	(void)close(fd);
	return err;
}

/* ---- Leaving the queue ---- */

static int remove_message(struct smtp_spool *spool, int dir_fd, const char *id)
{
	int err = spool_pool_give(spool, dir_fd, id);

	return err && err != SMTP_ENOTFOUND ? storage_unlink(dir_fd, id) : err;
}

/* With a state, both go in order, synced between: a message that came back without it would be sent
 * again to all. Without one (most messages) there is nothing to keep in order, and unless the caller wants
 * it the sync is left to the file system: what a loss of power brings back is delivered again. */
static int remove_from(struct smtp_spool *spool, int dir_fd, const char *id, bool durable)
{
	char state[SPOOL_STATE_NAME];
	bool has_state;
	int err;

	if (dir_fd < 0)
		return SMTP_ENOTFOUND;
	spool_state_name(id, state);
	has_state = faccessat(dir_fd, state, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	err = remove_message(spool, dir_fd, id);
	if (!err && (has_state || durable))
		err = storage_sync(dir_fd);
	return err || !has_state ? err : storage_unlink(dir_fd, state);
}

int smtp_spool_remove(struct smtp_spool *spool, const char *id, bool durable)
{
	int err;

	if (spool->read_only || !smtp_queue_id_is_valid(id))
		return spool->read_only ? SMTP_ESTATE : SMTP_ENOTFOUND;
	err = remove_from(spool, spool_dir_fd(spool, id), id, durable);
	return err == SMTP_ENOTFOUND ? remove_from(spool, spool->bounce_fd, id, durable) : err;
}

int smtp_spool_bury(struct smtp_spool *spool, const char *id)
{
	char state[SPOOL_STATE_NAME];
	int err, dir_fd;

	if (spool->read_only || !smtp_queue_id_is_valid(id))
		return spool->read_only ? SMTP_ESTATE : SMTP_ENOTFOUND;
	dir_fd = spool_dir_fd(spool, id);
	spool_state_name(id, state);
	if ((err = storage_rename(dir_fd, id, spool->bounce_fd, id)))
		return err;
	err = storage_rename(dir_fd, state, spool->bounce_fd, state);
	if (err && err != SMTP_ENOTFOUND)
		return err;
	err = storage_sync(spool->bounce_fd);
	return err ? err : storage_sync(dir_fd);
}

enum { CORRUPT_NAME = 200, CORRUPT_TRIES = 1000 };

int spool_move_to_corrupt(const struct smtp_spool *spool, int dir_fd, const char *name)
{
	char free_name[CORRUPT_NAME + sizeof ".1000"];
	int err = SMTP_EEXISTS;

	for (int i = 0; i < CORRUPT_TRIES && err == SMTP_EEXISTS; i++) {
		if (i == 0)
			(void)snprintf(free_name, sizeof free_name, "%.200s", name);
		else
			(void)snprintf(free_name, sizeof free_name, "%.200s.%d", name, i);
		err = storage_rename(dir_fd, name, spool->corrupt_fd, free_name);
	}
	return err;
}

int smtp_spool_set_aside(struct smtp_spool *spool, const char *id)
{
	char state[SPOOL_STATE_NAME];
	int err, dir_fd;

	if (spool->read_only || !smtp_queue_id_is_valid(id))
		return spool->read_only ? SMTP_ESTATE : SMTP_ENOTFOUND;
	dir_fd = spool_dir_fd(spool, id);
	spool_state_name(id, state);
	if ((err = spool_move_to_corrupt(spool, dir_fd, id)))
		return err;
	err = spool_move_to_corrupt(spool, dir_fd, state);
	if (err && err != SMTP_ENOTFOUND)
		return err;
	err = storage_sync(spool->corrupt_fd);
	return err ? err : storage_sync(dir_fd);
}
