/* SPDX-License-Identifier: ISC */
/* See sys.h. */
#include "storage/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int (*_Atomic storage_fault)(enum storage_call call);

int storage_error(int errno_value)
{
	static const struct {
		int from, to;
	} map[] = {
		{ ENOSPC, SMTP_ENOSPC },   { EDQUOT, SMTP_ENOSPC },  { ENOENT, SMTP_ENOTFOUND },
		{ EEXIST, SMTP_EEXISTS },  { EACCES, SMTP_EACCESS }, { EPERM, SMTP_EACCESS },
		{ EROFS, SMTP_EACCESS },   { ENOMEM, SMTP_ENOMEM },  { ENAMETOOLONG, SMTP_ETOOLONG },
		{ EMFILE, SMTP_EBUSY },    { ENFILE, SMTP_EBUSY },
	};

	for (size_t i = 0; i < sizeof map / sizeof *map; i++)
		if (map[i].from == errno_value)
			return map[i].to;
	return SMTP_EIO;
}

static int fault(enum storage_call call)
{
	int (*hook)(enum storage_call) = atomic_load_explicit(&storage_fault, memory_order_relaxed);

	return hook ? hook(call) : 0;
}

/* Turns what a call returned into 0 or an error. */
static int result(int returned)
{
	return returned < 0 ? storage_error(errno) : 0;
}

int storage_openat(int dir_fd, const char *name, int flags, mode_t mode)
{
	int bad = fault(STORAGE_OPEN);
	int fd;

	if (bad)
		return storage_error(bad);
	do
		fd = openat(dir_fd, name, flags | O_CLOEXEC | O_NOFOLLOW, mode);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? storage_error(errno) : fd;
}

/* Steps over `n` octets that have been written; returns the first piece with something left. */
static int iov_advance(struct iovec *iov, int first, int count, size_t n)
{
	while (first < count && n >= iov[first].iov_len)
		n -= iov[first++].iov_len;
	if (first < count) {
		iov[first].iov_base = (char *)iov[first].iov_base + n;
		iov[first].iov_len -= n;
	}
	return first;
}

static int write_half(int fd, const struct iovec *iov, int count)
{
	for (int i = 0; i < count; i++)
		if (write(fd, iov[i].iov_base, iov[i].iov_len / 2) < 0)
			return storage_error(errno);
	return SMTP_ENOSPC;
}

int storage_writev(int fd, struct iovec *iov, int count)
{
	int first = iov_advance(iov, 0, count, 0);

	while (first < count) {
		int bad = fault(STORAGE_WRITE);
		ssize_t n;

		if (bad)
			return bad == STORAGE_HALF ? write_half(fd, iov + first, count - first)
						   : storage_error(bad);
		n = writev(fd, iov + first, count - first);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return storage_error(errno);
		first = iov_advance(iov, first, count, (size_t)n);
	}
	return 0;
}

int storage_write(int fd, struct smtp_span octets)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)octets.p, .iov_len = octets.n };

	return storage_writev(fd, &iov, 1);
}

int storage_pread(int fd, void *out, size_t n, uint64_t offset, size_t *got)
{
	size_t done = 0;
	int bad = fault(STORAGE_READ);

	*got = 0;
	if (bad)
		return storage_error(bad);
	if (offset > INT64_MAX - n)
		return SMTP_EINVAL;
	while (done < n) {
		ssize_t r = pread(fd, (char *)out + done, n - done, (off_t)(offset + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return storage_error(errno);
		if (r == 0)
			break;
		done += (size_t)r;
	}
	*got = done;
	return 0;
}

int storage_sync(int fd)
{
	int bad = fault(STORAGE_SYNC);

	/* Never tried again: after a failed sync the system has forgotten which pages were bad. */
	return bad ? storage_error(bad) : result(fsync(fd));
}

/* For file systems without RENAME_NOREPLACE (NFS). Not atomic: a crash may leave both names of
 * the one file, and whoever calls again gets SMTP_EEXISTS. */
static int rename_by_link(int from_dir, const char *from, int to_dir, const char *to)
{
	int bad = fault(STORAGE_LINK);

	if (bad)
		return storage_error(bad);
	if (linkat(from_dir, from, to_dir, to, 0) != 0)
		return storage_error(errno);
	return storage_unlink(from_dir, from);
}

int storage_rename(int from_dir, const char *from, int to_dir, const char *to)
{
	int bad = fault(STORAGE_RENAME);

	if (bad && bad != EINVAL)
		return storage_error(bad);
	if (!bad && renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (bad || errno == EINVAL || errno == ENOSYS)
		return rename_by_link(from_dir, from, to_dir, to);
	return storage_error(errno);
}

int storage_unlink(int dir_fd, const char *name)
{
	int bad = fault(STORAGE_UNLINK);

	return bad ? storage_error(bad) : result(unlinkat(dir_fd, name, 0));
}

int storage_mkdir(int dir_fd, const char *name, mode_t mode)
{
	int bad = fault(STORAGE_MKDIR);

	return bad ? storage_error(bad) : result(mkdirat(dir_fd, name, mode));
}

int storage_close(int fd)
{
	int bad = fault(STORAGE_CLOSE);
	int err = result(close(fd));

	return bad ? storage_error(bad) : err;
}

int storage_owner_of(int dir_fd, struct storage_owner *out)
{
	struct stat st;

	if (fstat(dir_fd, &st) != 0)
		return storage_error(errno);
	out->uid = st.st_uid;
	out->gid = st.st_gid;
	out->differs = geteuid() == 0 && st.st_uid != 0;
	return 0;
}

int storage_give(int fd, const struct storage_owner *owner)
{
	return owner->differs ? result(fchown(fd, owner->uid, owner->gid)) : 0;
}
