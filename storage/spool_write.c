/* SPDX-License-Identifier: ISC */
/* One message on its way to the disk: gathered in memory while it is small, then content, added
 * fields, envelope and trailer in one write, synced with its name. Until the trailer is whole
 * the message was never accepted; every failure takes the file away again.
 */
#include "libsmtp/core/span.h"
#include "storage/spool_internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { HEAD_BYTES = 65536, ENVELOPE_ROOM = 1024 };

struct smtp_spool_file {
	struct smtp_spool *spool;
	char id[SMTP_QUEUE_ID_MAX + 1];
	struct smtp_buf head; /* all of the content, or what of it stays in memory */
	int fd;               /* -1: nothing on the disk yet */
	uint64_t content_bytes;
	uint64_t content_sum;
	int error;            /* of a write: the message can only be thrown away */
};

int smtp_spool_begin(struct smtp_spool *spool, struct smtp_spool_file **out)
{
	struct smtp_spool_file *file;
	int err;

	if (spool->read_only)
		return SMTP_ESTATE;
	file = calloc(1, sizeof *file);
	if (!file)
		return SMTP_ENOMEM;
	err = spool_make_id(spool, file->id);
	if (err) {
		free(file);
		return err;
	}
	file->spool = spool;
	file->fd = -1;
	file->content_sum = spool_sum_start;
	smtp_buf_init(&file->head, SMTP_SPOOL_GATHER_BYTES);
	*out = file;
	return 0;
}

const char *smtp_spool_file_id(const struct smtp_spool_file *file)
{
	return file->id;
}

static void free_file(struct smtp_spool_file *file)
{
	smtp_buf_release(&file->head);
	free(file);
}

/* Takes the file away; when its name can't be removed, then at least what makes it a message. The
 * caller hears of the first error, not of those here. */
static void discard(struct smtp_spool_file *file)
{
	int dir_fd = spool_dir_fd(file->spool, file->id);

	if (file->fd < 0)
		return;
	if (storage_unlink(dir_fd, file->id) != 0 && ftruncate(file->fd, 0) == 0)
		(void)fsync(file->fd);
	(void)close(file->fd);
	file->fd = -1;
}

static int create(struct smtp_spool_file *file)
{
	int fd = spool_pool_take(file->spool, file->id);

	if (fd == SMTP_ENOTFOUND)
		fd = storage_openat(spool_dir_fd(file->spool, file->id), file->id,
				    O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return fd;
	file->fd = fd;
	return storage_give(fd, &file->spool->owner);
}

static bool is_in_memory(const struct smtp_spool_file *file)
{
	return file->head.n == file->content_bytes;
}

/* ---- Content ---- */

static int to_disk(struct smtp_spool_file *file)
{
	int err = create(file);

	return err ? err : storage_write(file->fd, smtp_buf_span(&file->head));
}

/* As much as may be gathered goes to memory, what is over goes behind it on the disk. */
static int add(struct smtp_spool_file *file, struct smtp_span octets)
{
	size_t room = file->fd < 0 ? SMTP_SPOOL_GATHER_BYTES - file->head.n : 0;
	struct smtp_span kept = smtp_span_slice(octets, 0, room);
	struct smtp_span rest = smtp_span_slice(octets, kept.n, octets.n);
	int err = smtp_buf_append_span(&file->head, kept);

	if (!err && rest.n > 0 && file->fd < 0)
		err = to_disk(file);
	if (!err && rest.n > 0)
		err = storage_write(file->fd, rest);
	return err;
}

int smtp_spool_write(struct smtp_spool_file *file, struct smtp_span octets)
{
	if (file->error)
		return file->error;
	file->error = add(file, octets);
	if (file->error)
		return file->error;
	file->content_bytes += octets.n;
	file->content_sum = spool_sum(file->content_sum, octets);
	return 0;
}

bool smtp_spool_write_blocks(const struct smtp_spool_file *file, size_t n)
{
	return file->fd >= 0 || n > SMTP_SPOOL_GATHER_BYTES - file->head.n;
}

struct smtp_span smtp_spool_content(const struct smtp_spool_file *file)
{
	return is_in_memory(file) ? smtp_buf_span(&file->head) : smtp_span_make(NULL, 0);
}

struct smtp_span smtp_spool_content_head(const struct smtp_spool_file *file)
{
	return smtp_span_slice(smtp_buf_span(&file->head), 0, HEAD_BYTES);
}

int smtp_spool_content_fd(struct smtp_spool_file *file, int *fd, uint64_t *bytes)
{
	if (!file->error && file->fd < 0)
		file->error = to_disk(file);
	if (file->error)
		return file->error;
	*fd = file->fd;
	*bytes = file->content_bytes;
	return 0;
}

/* ---- Commit ---- */

static int write_rest(struct smtp_spool_file *file, struct smtp_span added, struct smtp_buf *end)
{
	struct smtp_span content = smtp_buf_span(&file->head);
	struct iovec pieces[] = {
		{ .iov_base = (void *)(uintptr_t)content.p, .iov_len = content.n },
		{ .iov_base = (void *)(uintptr_t)added.p, .iov_len = added.n },
		{ .iov_base = end->p, .iov_len = end->n },
	};
	int err = 0;

	if (file->fd >= 0)
		return storage_writev(file->fd, pieces + 1, 2);
	err = create(file);
	return err ? err : storage_writev(file->fd, pieces, 3);
}

/* The envelope and the trailer behind it. */
static int make_end(const struct smtp_spool_file *file, const struct smtp_spool_envelope *envelope,
		    struct smtp_span added, struct smtp_buf *end)
{
	struct spool_trailer trailer = {
		.content_bytes = file->content_bytes,
		.added_bytes = added.n,
		.content_sum = file->content_sum,
		.added_sum = spool_sum(spool_sum_start, added),
	};
	char text[SPOOL_TRAILER_BYTES + 1];
	int err = added.n > SPOOL_ADDED_MAX ? SMTP_ETOOLONG : smtp_buf_reserve(end, ENVELOPE_ROOM);

	if (!err)
		err = spool_envelope_format(end, file->id, envelope);
	if (err)
		return err;
	trailer.envelope_bytes = end->n;
	spool_trailer_format(&trailer, smtp_buf_span(end), text);
	return smtp_buf_append(end, text, SPOOL_TRAILER_BYTES);
}

static int commit(struct smtp_spool_file *file, const struct smtp_spool_envelope *envelope,
		  struct smtp_span added)
{
	struct smtp_buf end;
	int err = file->error;

	smtp_buf_init(&end, SPOOL_ENVELOPE_MAX);
	if (!err)
		err = make_end(file, envelope, added, &end);
	if (!err)
		err = write_rest(file, added, &end);
	if (!err)
		err = storage_sync(file->fd);
	if (!err)
		err = storage_sync(spool_dir_fd(file->spool, file->id));
	smtp_buf_release(&end);
	return err;
}

void smtp_spool_commit(struct smtp_spool_file *file, const struct smtp_spool_envelope *envelope,
		       struct smtp_span added_fields, struct smtp_spool_done done)
{
	int err = commit(file, envelope, added_fields);

	if (err) {
		discard(file);
	} else {
		(void)close(file->fd); /* both are synced: it has nothing more to tell */
		file->fd = -1;
	}
	free_file(file);
	done.done(done.user, err);
}

void smtp_spool_abort(struct smtp_spool_file *file)
{
	if (!file)
		return;
	discard(file);
	free_file(file);
}
