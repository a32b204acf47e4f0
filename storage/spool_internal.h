/* SPDX-License-Identifier: ISC */
/* spool_internal.h - what the parts of the file spool share: the open spool, where a message lies,
 * reading its end. Within the storage only.
 */
#ifndef SMTP_STORAGE_SPOOL_INTERNAL_H
#define SMTP_STORAGE_SPOOL_INTERNAL_H

#include <smtp/spool.h>

#include "storage/spool_format.h"
#include "storage/sys.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
	SPOOL_DIRS = 256,       /* queue/00 to queue/ff */
	SPOOL_ID_TEXT = 18,     /* 11 digits of time, 7 of chance, base 32 */
	SPOOL_STATE_NAME = SMTP_QUEUE_ID_MAX + sizeof ".state",
	SPOOL_TAIL_BYTES = 8192, /* read at once: holds most envelopes */
	SPOOL_POOL_MAX = 4096   /* empty files that are kept */
};

/* Names of the empty files in free/. In use after a sweep: the process that sweeps is the one that
 * runs the queue, and only it may count on what lies there. */
struct spool_pool {
	pthread_mutex_t lock;
	bool in_use;
	size_t count;
	char names[SPOOL_POOL_MAX][SPOOL_ID_TEXT + 1];
};

/* Nothing but the clock and the pool changes after opening: any thread may use it. The directories
 * stay open, so that nothing walks a path again. */
struct smtp_spool {
	int root_fd, queue_fd, bounce_fd, corrupt_fd, free_fd;
	int dir_fds[SPOOL_DIRS]; /* -1: not there (opened read-only) */
	bool read_only;
	struct storage_owner owner;
	_Atomic uint64_t last_us; /* of the ids given so far */
	struct spool_pool pool;
};

/** A new queue id. SMTP_EIO: the system gives no random numbers. */
SMTP_MUST_USE int spool_make_id(struct smtp_spool *spool, char out[SMTP_QUEUE_ID_MAX + 1]);
/** The directory of the queue an id belongs to; the id is valid. */
unsigned spool_dir_of(const char *id);
/** Its descriptor, -1 if it does not exist. */
int spool_dir_fd(const struct smtp_spool *spool, const char *id);
void spool_state_name(const char *id, char out[SPOOL_STATE_NAME]);

/** A message that has been opened: its descriptor and what its trailer says. */
struct spool_message {
	int fd;
	int dir_fd; /* where it was found: of the queue or bounce/; borrowed */
	struct spool_trailer trailer;
};

/** Opens the complete message of that name in `dir_fd`. With `entry` not NULL its envelope is
 *  loaded too. SMTP_ENOTFOUND also for a file that was never finished. On error nothing is open. */
SMTP_MUST_USE int spool_message_open(int dir_fd, const char *id, struct spool_message *out,
				     struct smtp_queue_entry **entry);
/** The same, in the queue or else among the dead letters. */
SMTP_MUST_USE int spool_message_find(const struct smtp_spool *spool, const char *id,
				     struct spool_message *out, struct smtp_queue_entry **entry);

/** Applies ID.state in `dir_fd`, if there is one, to the entry. */
SMTP_MUST_USE int spool_state_read(int dir_fd, const char *id, struct smtp_queue_entry *entry);

/** Begins to use free/ with what lies there. */
SMTP_MUST_USE int spool_pool_open(struct smtp_spool *spool);
/** Gives an empty file the name of a message: a descriptor, or SMTP_ENOTFOUND if there is none. */
SMTP_MUST_USE int spool_pool_take(struct smtp_spool *spool, const char *id);
/** Takes the file of a message; on error it may still be there, and is to be removed. */
SMTP_MUST_USE int spool_pool_give(struct smtp_spool *spool, int dir_fd, const char *id);

/** Calls `each` with every name in a directory but . and .., until it returns non-zero. */
SMTP_MUST_USE int spool_each_name(int dir_fd, int (*each)(const char *name, void *user),
				  void *user);
/** Moves a file to corrupt/, under another name if that one is taken there. */
SMTP_MUST_USE int spool_move_to_corrupt(const struct smtp_spool *spool, int dir_fd,
					const char *name);

#endif
