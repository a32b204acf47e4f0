/* SPDX-License-Identifier: ISC */
/* sys.h - the system calls of the storage, as functions that finish what they begin, answer with
 * errors of the library, and can be made to fail by a test. It knows nothing of spools or Maildirs.
 */
#ifndef SMTP_STORAGE_SYS_H
#define SMTP_STORAGE_SYS_H

#include <smtp/base.h>

#include <stdatomic.h>
#include <sys/types.h>
#include <sys/uio.h>

enum storage_call {
	STORAGE_OPEN,
	STORAGE_READ,
	STORAGE_WRITE,
	STORAGE_SYNC,
	STORAGE_RENAME,
	STORAGE_LINK,
	STORAGE_UNLINK,
	STORAGE_MKDIR,
	STORAGE_CLOSE,
	STORAGE_CALLS
};

/* A fault hook may answer this for STORAGE_WRITE: half is written, then the disk is full. */
enum { STORAGE_HALF = -1 };

/** For tests only, NULL otherwise: asked before each call; 0 lets it happen, an errno value makes
 *  it fail. */
extern int (*_Atomic storage_fault)(enum storage_call call);

/** The error of the library for a value of errno. */
int storage_error(int errno_value);

/** A descriptor >= 0 or an error. Close-on-exec and no symbolic link at the end, always. */
SMTP_MUST_USE int storage_openat(int dir_fd, const char *name, int flags, mode_t mode);
/** Writes all of it, in one call when the system lets it; `iov` is used up. */
SMTP_MUST_USE int storage_writev(int fd, struct iovec *iov, int count);
SMTP_MUST_USE int storage_write(int fd, struct smtp_span octets);
/** Reads `n` octets, fewer only at the end of the file; *got says how many. */
SMTP_MUST_USE int storage_pread(int fd, void *out, size_t n, uint64_t offset, size_t *got);
/** The file with all that is needed to find it but its name, which is its directory's. */
SMTP_MUST_USE int storage_sync(int fd);
/** SMTP_EEXISTS when there is a `to`: nothing is ever replaced. */
SMTP_MUST_USE int storage_rename(int from_dir, const char *from, int to_dir, const char *to);
SMTP_MUST_USE int storage_unlink(int dir_fd, const char *name);
SMTP_MUST_USE int storage_mkdir(int dir_fd, const char *name, mode_t mode);
SMTP_MUST_USE int storage_close(int fd);

/** Whose the files in a directory have to be: when root works in the directory of another user,
 *  what it makes there must be the other's. */
struct storage_owner {
	bool differs; /* from who we are: give away what is made */
	uid_t uid;
	gid_t gid;
};
SMTP_MUST_USE int storage_owner_of(int dir_fd, struct storage_owner *out);
SMTP_MUST_USE int storage_give(int fd, const struct storage_owner *owner);

#endif
