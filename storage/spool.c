/* SPDX-License-Identifier: ISC */
/* The open spool: its directories, its queue ids, what is in it. One file a message; the parts are
 * spool_write.c (until it is durable), spool_read.c, spool_state.c (what became of it),
 * spool_sweep.c and spool_pool.c; spool_format.h says what the files look like.
 */
#include "storage/spool_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* ---- Queue ids: microseconds, then chance, in digits that sort as they count ---- */

static const char id_digits[] = "0123456789abcdefghijklmnopqrstuv";

enum { ID_TIME = 11 };

static void put_digits(char *out, size_t n, uint64_t number)
{
	while (n-- > 0) {
		out[n] = id_digits[number & 31];
		number >>= 5;
	}
}

/* The time, but later than any given out before: no two ids of a process are alike, also when the
 * clock is set back. */
static uint64_t next_us(struct smtp_spool *spool)
{
	uint64_t last = atomic_load(&spool->last_us), now;
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts); /* can't fail with this clock */
	now = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
	do {
		if (now <= last)
			now = last + 1;
	} while (!atomic_compare_exchange_weak(&spool->last_us, &last, now));
	return now;
}

/* 35 bits of chance tell apart what several processes make in the same microsecond. They also keep
 * a sender from guessing the id, and so from sending content that ends like a finished file. */
int spool_make_id(struct smtp_spool *spool, char out[SMTP_QUEUE_ID_MAX + 1])
{
	uint64_t chance;

	if (getrandom(&chance, sizeof chance, 0) != (ssize_t)sizeof chance)
		return SMTP_EIO;
	put_digits(out, ID_TIME, next_us(spool));
	put_digits(out + ID_TIME, SPOOL_ID_TEXT - ID_TIME, chance);
	out[SPOOL_ID_TEXT] = '\0';
	return 0;
}

bool smtp_queue_id_is_valid(const char *id)
{
	if (!id || strlen(id) != SPOOL_ID_TEXT)
		return false;
	return strspn(id, id_digits) == SPOOL_ID_TEXT;
}

static unsigned digit_value(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a') + 10;
}

unsigned spool_dir_of(const char *id)
{
	const char *end = id + SPOOL_ID_TEXT;

	return (digit_value(end[-2]) << 5 | digit_value(end[-1])) % SPOOL_DIRS;
}

int spool_dir_fd(const struct smtp_spool *spool, const char *id)
{
	return spool->dir_fds[spool_dir_of(id)];
}

void spool_state_name(const char *id, char out[SPOOL_STATE_NAME])
{
	memcpy(out, id, SPOOL_ID_TEXT);
	memcpy(out + SPOOL_ID_TEXT, ".state", sizeof ".state");
}

/* ---- Opening ---- */

static int open_dir(const struct smtp_spool *spool, int parent_fd, const char *name, int *fd,
		    bool *made)
{
	int err = spool->read_only ? SMTP_EEXISTS : storage_mkdir(parent_fd, name, 0700);

	if (err && err != SMTP_EEXISTS)
		return err;
	*made |= !err;
	*fd = storage_openat(parent_fd, name, O_RDONLY | O_DIRECTORY, 0);
	if (*fd >= 0)
		return spool->read_only ? 0 : storage_give(*fd, &spool->owner);
	err = *fd;
	*fd = -1;
	return err == SMTP_ENOTFOUND && spool->read_only ? 0 : err;
}

static int open_queue(struct smtp_spool *spool)
{
	bool made = false;

	if (spool->queue_fd < 0)
		return 0;
	for (unsigned i = 0; i < SPOOL_DIRS; i++) {
		char name[3] = { "0123456789abcdef"[i >> 4], "0123456789abcdef"[i & 15], '\0' };
		int err = open_dir(spool, spool->queue_fd, name, &spool->dir_fds[i], &made);

		if (err)
			return err;
	}
	return made ? storage_sync(spool->queue_fd) : 0;
}

/* A spool that was just made belongs to whom the directory around it belongs; its name has to
 * survive there. */
static int adopt_root(struct smtp_spool *spool)
{
	int err, parent = storage_openat(spool->root_fd, "..", O_RDONLY | O_DIRECTORY, 0);

	if (parent < 0)
		return parent;
	err = storage_owner_of(parent, &spool->owner);
	if (!err)
		err = storage_give(spool->root_fd, &spool->owner);
	if (!err)
		err = storage_sync(parent);
	(void)close(parent);
	return err;
}

static int open_root(struct smtp_spool *spool, const char *directory)
{
	int err = spool->read_only ? SMTP_EEXISTS : storage_mkdir(AT_FDCWD, directory, 0700);

	if (err && err != SMTP_EEXISTS)
		return err;
	spool->root_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (spool->root_fd < 0)
		return storage_error(errno);
	return err ? storage_owner_of(spool->root_fd, &spool->owner) : adopt_root(spool);
}

static int open_all(struct smtp_spool *spool, const char *directory)
{
	bool made = false;
	int err;

	if ((err = open_root(spool, directory)) ||
	    (err = open_dir(spool, spool->root_fd, "queue", &spool->queue_fd, &made)) ||
	    (err = open_dir(spool, spool->root_fd, "bounce", &spool->bounce_fd, &made)) ||
	    (err = open_dir(spool, spool->root_fd, "corrupt", &spool->corrupt_fd, &made)) ||
	    (err = open_dir(spool, spool->root_fd, "free", &spool->free_fd, &made)) ||
	    (err = open_queue(spool)))
		return err;
	return made ? storage_sync(spool->root_fd) : 0;
}

int smtp_spool_open(struct smtp_spool **out, const char *directory, bool read_only)
{
	struct smtp_spool *spool = calloc(1, sizeof *spool);
	int err;

	if (!spool)
		return SMTP_ENOMEM;
	if (pthread_mutex_init(&spool->pool.lock, NULL) != 0) {
		free(spool);
		return SMTP_ENOMEM;
	}
	spool->read_only = read_only;
	spool->root_fd = spool->queue_fd = -1;
	spool->bounce_fd = spool->corrupt_fd = spool->free_fd = -1;
	for (int i = 0; i < SPOOL_DIRS; i++)
		spool->dir_fds[i] = -1;
	err = open_all(spool, directory);
	if (err)
		smtp_spool_close(spool);
	else
		*out = spool;
	return err;
}

/* Nothing was written through these descriptors: closing them can't lose anything. */
static void close_dir(int fd)
{
	if (fd >= 0)
		(void)close(fd);
}

void smtp_spool_close(struct smtp_spool *spool)
{
	if (!spool)
		return;
	for (int i = 0; i < SPOOL_DIRS; i++)
		close_dir(spool->dir_fds[i]);
	close_dir(spool->free_fd);
	close_dir(spool->corrupt_fd);
	close_dir(spool->bounce_fd);
	close_dir(spool->queue_fd);
	close_dir(spool->root_fd);
	(void)pthread_mutex_destroy(&spool->pool.lock);
	free(spool);
}

/* ---- Lists ---- */

int spool_each_name(int dir_fd, int (*each)(const char *name, void *user), void *user)
{
	int err = 0, fd = storage_openat(dir_fd, ".", O_RDONLY | O_DIRECTORY, 0);
	struct dirent *d;
	DIR *dir;

	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	if (!dir) {
		err = storage_error(errno);
		(void)close(fd);
		return err;
	}
	while (!err) {
		errno = 0;
		d = readdir(dir);
		if (!d) {
			err = errno ? storage_error(errno) : 0;
			break;
		}
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			err = each(d->d_name, user);
	}
	(void)closedir(dir);
	return err;
}

struct listing {
	int (*each)(const char *id, void *user);
	void *user;
};

static int list_name(const char *name, void *user)
{
	const struct listing *l = user;

	return smtp_queue_id_is_valid(name) ? l->each(name, l->user) : 0;
}

int smtp_spool_list(struct smtp_spool *spool, int (*each)(const char *id, void *user), void *user)
{
	struct listing l = { each, user };
	int err = 0;

	for (int i = 0; i < SPOOL_DIRS && !err; i++)
		if (spool->dir_fds[i] >= 0)
			err = spool_each_name(spool->dir_fds[i], list_name, &l);
	return err;
}

int smtp_spool_list_dead(struct smtp_spool *spool, int (*each)(const char *id, void *user),
			 void *user)
{
	struct listing l = { each, user };

	return spool->bounce_fd < 0 ? 0 : spool_each_name(spool->bounce_fd, list_name, &l);
}
