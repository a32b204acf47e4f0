/* SPDX-License-Identifier: ISC */
/* Delivery into a Maildir: tmp, sync, rename to new, sync. The name in new/ is made of what names
 * the delivery, so that one repeated after a crash finds itself done. See maildir_text.c for what
 * is written; no flags, quotas or reading here.
 */
#include "libsmtp/core/span.h"
#include "storage/maildir_text.h"
#include "storage/sys.h"

#include <smtp/maildir.h>

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
	PIECE_BYTES = 32768,
	PATH_BYTES = 4096,
	UNIQUE_BYTES = 64,
	HOST_BYTES = 100,
	NAME_BYTES = 24 + 4 * (UNIQUE_BYTES + HOST_BYTES),
	TMP_BYTES = NAME_BYTES + 20
};

/* The Maildir while one message is put into it. */
struct delivery {
	int dir_fd, tmp_fd, new_fd;
	int fd;
	char name[NAME_BYTES];
	char tmp_name[TMP_BYTES];
	struct maildir_text text;
	uint8_t in[PIECE_BYTES];
	uint8_t out[PIECE_BYTES + MAILDIR_HELD + 1];
};

/* ---- Names ---- */

/* As is the custom of Maildirs, / and : become \057 and \072. */
static size_t put_clean(char *out, const char *text, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; text[i] && i < max; i++) {
		uint8_t c = (uint8_t)text[i];

		if (c > ' ' && c != 0x7f && c != '/' && c != ':' && c != '\\') {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '\\';
		out[n++] = (char)('0' + (c >> 6));
		out[n++] = (char)('0' + (c >> 3 & 7));
		out[n++] = (char)('0' + (c & 7));
	}
	out[n] = '\0';
	return n;
}

static int make_names(struct delivery *d, const struct smtp_maildir_message *m)
{
	char unique[4 * UNIQUE_BYTES + 1], host[4 * HOST_BYTES + 1];
	uint64_t chance;

	if (!*m->unique || strlen(m->unique) > UNIQUE_BYTES || m->arrival_ms < 0)
		return SMTP_EINVAL;
	if (getrandom(&chance, sizeof chance, 0) != (ssize_t)sizeof chance)
		return SMTP_EIO;
	(void)put_clean(unique, m->unique, UNIQUE_BYTES);
	(void)put_clean(host, m->hostname, HOST_BYTES);
	(void)snprintf(d->name, sizeof d->name, "%lld.%s.%s", (long long)(m->arrival_ms / 1000),
		       unique, host);
	if (strlen(d->name) > NAME_MAX - 20)
		return SMTP_ETOOLONG;
	(void)snprintf(d->tmp_name, sizeof d->tmp_name, "%s.%016llx", d->name,
		       (unsigned long long)chance);
	return 0;
}

/* ---- The folders ---- */

static int open_folder(int at, const char *name)
{
	return storage_openat(at, name, O_RDONLY | O_DIRECTORY, 0);
}

static void close_folder(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd); /* nothing was written through it */
	*fd = -1;
}

/* Makes a folder with a name that survives, and gives it to the owner of the one around it. */
static int make_folder(int parent_fd, const char *name, int *fd)
{
	struct storage_owner owner;
	int err = storage_mkdir(parent_fd, name, 0700);
	bool made = !err;

	if (err && err != SMTP_EEXISTS)
		return err;
	*fd = open_folder(parent_fd, name);
	if (*fd < 0 || !made)
		return *fd < 0 ? *fd : 0;
	if ((err = storage_owner_of(parent_fd, &owner)) || (err = storage_give(*fd, &owner)) ||
	    (err = storage_sync(parent_fd)))
		close_folder(fd);
	return err;
}

/* Every folder of the path in turn, so that each that is new is synced in the one above. Links are
 * followed above the last. */
static int make_path(const char *directory, int *fd)
{
	char path[PATH_BYTES], *name = path, *slash;
	int at, next = -1, err = 0;

	if (smtp_span_copy(smtp_span_of(directory), path, sizeof path) != 0)
		return SMTP_ETOOLONG;
	at = open(*path == '/' ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return SMTP_EIO;
	for (; !err && *name; name = slash) {
		slash = strchrnul(name, '/');
		if (*slash)
			*slash++ = '\0';
		if (!*name)
			continue;
		next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (next < 0)
			err = make_folder(at, name, &next);
		close_folder(&at);
		at = next;
	}
	*fd = at;
	return err;
}

static int open_folders(struct delivery *d, const char *directory)
{
	d->dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->dir_fd < 0)
		return SMTP_ENOTFOUND;
	d->tmp_fd = open_folder(d->dir_fd, "tmp");
	if (d->tmp_fd < 0)
		return d->tmp_fd;
	d->new_fd = open_folder(d->dir_fd, "new");
	return d->new_fd < 0 ? d->new_fd : 0;
}

static void close_folders(struct delivery *d)
{
	close_folder(&d->new_fd);
	close_folder(&d->tmp_fd);
	close_folder(&d->dir_fd);
}

/* cur first and new last: a Maildir with new/ has all three, which is what is looked for above. */
static int make_folders(struct delivery *d, const char *directory)
{
	int cur_fd = -1, err = make_path(directory, &d->dir_fd);

	if (!err)
		err = make_folder(d->dir_fd, "cur", &cur_fd);
	close_folder(&cur_fd);
	if (!err)
		err = make_folder(d->dir_fd, "tmp", &d->tmp_fd);
	if (!err)
		err = make_folder(d->dir_fd, "new", &d->new_fd);
	return err;
}

/* ---- One message ---- */

static int write_top(struct delivery *d, struct smtp_span top)
{
	struct maildir_text text = { .in_body = true };
	int err = 0;

	for (size_t at = 0; at < top.n && !err; at += PIECE_BYTES) {
		size_t n = maildir_text_add(&text, smtp_span_slice(top, at, PIECE_BYTES), d->out);

		err = storage_write(d->fd, smtp_span_make(d->out, n));
	}
	return err;
}

static int write_content(struct delivery *d, const struct smtp_maildir_message *m)
{
	size_t n = 0;
	int err;

	do {
		size_t made;

		if ((err = m->read(m->user, d->in, sizeof d->in, &n)))
			return err;
		made = n > 0 ? maildir_text_add(&d->text, smtp_span_make(d->in, n), d->out)
			     : maildir_text_end(&d->text, d->out);
		err = storage_write(d->fd, smtp_span_make(d->out, made));
	} while (!err && n > 0);
	return err;
}

static int write_message(struct delivery *d, const struct smtp_maildir_message *m)
{
	struct storage_owner owner;
	int err = storage_owner_of(d->tmp_fd, &owner);

	if (err)
		return err;
	d->fd = storage_openat(d->tmp_fd, d->tmp_name, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (d->fd < 0)
		return d->fd;
	if (!(err = storage_give(d->fd, &owner)) && !(err = write_top(d, m->top)) &&
	    !(err = write_content(d, m)))
		err = storage_sync(d->fd);
	(void)close(d->fd); /* synced or given up: it has nothing more to tell */
	return err;
}

/* A name that is there already was put there by an earlier delivery of the same message, which may
 * have ended before its sync: then this one makes it last. */
static int publish(struct delivery *d)
{
	int err = storage_rename(d->tmp_fd, d->tmp_name, d->new_fd, d->name);
	bool done_before = err == SMTP_EEXISTS;

	if (done_before)
		err = storage_unlink(d->tmp_fd, d->tmp_name);
	if (!err)
		err = storage_sync(d->new_fd);
	if (err && !done_before)
		(void)unlinkat(d->new_fd, d->name, 0); /* the caller hears of the first error */
	return err;
}

static int deliver(struct delivery *d, const struct smtp_maildir_message *m)
{
	int err = open_folders(d, m->directory);

	if (err == SMTP_ENOTFOUND) {
		close_folders(d);
		err = make_folders(d, m->directory);
	}
	if (!err)
		err = write_message(d, m);
	if (!err)
		err = publish(d);
	if (err && d->tmp_fd >= 0)
		(void)unlinkat(d->tmp_fd, d->tmp_name, 0); /* nobody reads tmp/ */
	close_folders(d);
	return err;
}

/* The interface knows three errors of the system; a folder that is gone again is one of input and
 * output. Whatever the reader of the content said is passed on. */
static int as_promised(int err)
{
	return err == SMTP_ENOTFOUND || err == SMTP_EEXISTS || err == SMTP_EBUSY ? SMTP_EIO : err;
}

int smtp_maildir_deliver(const struct smtp_maildir_message *message)
{
	struct delivery *d;
	int err;

	if (!message->directory || !*message->directory || !message->hostname ||
	    !message->unique || !message->read)
		return SMTP_EINVAL;
	d = calloc(1, sizeof *d);
	if (!d)
		return SMTP_ENOMEM;
	d->dir_fd = d->tmp_fd = d->new_fd = d->fd = -1;
	err = make_names(d, message);
	if (!err)
		err = as_promised(deliver(d, message));
	free(d);
	return err;
}
