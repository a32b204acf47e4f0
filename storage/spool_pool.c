/* SPDX-License-Identifier: ISC */
/* Files of finished messages, emptied and kept in free/ to become new ones: some file systems take
 * far longer to make a file than to rename one, the longer the more were removed lately. A file
 * in free/ is always empty, so nothing of an old message can show up in a new one.
 */
#include "storage/spool_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static bool push(struct spool_pool *pool, const char *name)
{
	bool room;

	(void)pthread_mutex_lock(&pool->lock);
	room = pool->in_use && pool->count < SPOOL_POOL_MAX;
	if (room)
		(void)snprintf(pool->names[pool->count++], sizeof *pool->names, "%s", name);
	(void)pthread_mutex_unlock(&pool->lock);
	return room;
}

static bool pop(struct spool_pool *pool, char name[SMTP_QUEUE_ID_MAX + 1])
{
	bool any;

	(void)pthread_mutex_lock(&pool->lock);
	any = pool->count > 0;
	if (any)
		(void)snprintf(name, SMTP_QUEUE_ID_MAX + 1, "%s", pool->names[--pool->count]);
	(void)pthread_mutex_unlock(&pool->lock);
	return any;
}

static bool has_room(struct spool_pool *pool)
{
	bool room;

	(void)pthread_mutex_lock(&pool->lock);
	room = pool->in_use && pool->count < SPOOL_POOL_MAX;
	(void)pthread_mutex_unlock(&pool->lock);
	return room;
}

/* A plain file that nobody else has a name for, of at most that size. */
static bool is_ours(int fd, off_t size_max)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 &&
	       st.st_size <= size_max;
}

int spool_pool_take(struct smtp_spool *spool, const char *id)
{
	char name[SMTP_QUEUE_ID_MAX + 1];
	int err, fd, dir_fd = spool_dir_fd(spool, id);

	if (!pop(&spool->pool, name) || storage_rename(spool->free_fd, name, dir_fd, id) != 0)
		return SMTP_ENOTFOUND; /* a new one then */
	fd = storage_openat(dir_fd, id, O_RDWR, 0);
	if (fd >= 0 && is_ours(fd, 0))
		return fd;
	if (fd >= 0)
		(void)close(fd); /* nothing was written through it */
	err = storage_unlink(dir_fd, id);
	return err ? err : SMTP_ENOTFOUND;
}

static int empty(int dir_fd, const char *id)
{
	int err, fd = storage_openat(dir_fd, id, O_WRONLY, 0);

	if (fd < 0)
		return fd;
	err = is_ours(fd, INT64_MAX) && ftruncate(fd, 0) == 0 ? 0 : SMTP_EIO;
	(void)close(fd); /* whether it is empty on the disk too does not matter */
	return err;
}

int spool_pool_give(struct smtp_spool *spool, int dir_fd, const char *id)
{
	int err;

	if (!has_room(&spool->pool))
		return SMTP_EBUSY;
	err = empty(dir_fd, id);
	if (!err)
		err = storage_rename(dir_fd, id, spool->free_fd, id);
	if (!err && !push(&spool->pool, id))
		err = storage_unlink(spool->free_fd, id); /* others were quicker */
	return err;
}

/* What is not empty may be a message whose two names a loss of power has left: not for us. */
static int adopt(const char *name, void *user)
{
	struct smtp_spool *spool = user;
	int fd = storage_openat(spool->free_fd, name, O_RDONLY | O_NONBLOCK, 0);
	bool good;

	if (fd < 0)
		return fd == SMTP_ENOMEM || fd == SMTP_EBUSY ? fd : 0;
	good = smtp_queue_id_is_valid(name) && is_ours(fd, 0);
	(void)close(fd); /* nothing was written through it */
	if (!good)
		return spool_move_to_corrupt(spool, spool->free_fd, name);
	return push(&spool->pool, name) ? 0 : storage_unlink(spool->free_fd, name);
}

int spool_pool_open(struct smtp_spool *spool)
{
	(void)pthread_mutex_lock(&spool->pool.lock);
	spool->pool.in_use = true;
	spool->pool.count = 0;
	(void)pthread_mutex_unlock(&spool->pool.lock);
	return spool_each_name(spool->free_fd, adopt, spool);
}
