/* SPDX-License-Identifier: ISC */
/* spool.h - durable storage of mail on its way: the promise behind every 250. One interface; the
 * first backend keeps one file for each message (docs/STORAGE.md has the format and the state table).
 * Threads: a spool may be used from any number of threads; one smtp_spool_file by one at a time.
 * Blocking: every function may wait for the disk. Call them from worker threads.
 * Errors:  SMTP_ENOSPC for a full disk or quota, SMTP_EIO for others, SMTP_ENOTFOUND, SMTP_ECORRUPT.
 */
#ifndef SMTP_SPOOL_H
#define SMTP_SPOOL_H

#include <smtp/address.h>
#include <smtp/base.h>
#include <smtp/reply.h>

#ifdef __cplusplus
extern "C" {
#endif

struct smtp_spool;      /* an open spool */
struct smtp_spool_file; /* a message being written */

enum {
	SMTP_QUEUE_ID_MAX = 24,      /* letters and digits; sorts by time of arrival */
	SMTP_SPOOL_RECIPIENTS_MAX = 10000,
	SMTP_SPOOL_GATHER_BYTES = 131072 /* smaller content is kept in memory until commit */
};

/** Opens the spool below `directory`, creating what is missing (queue/HH, bounce, corrupt, free; mode 0700)
 *  unless `read_only`. @out is closed with smtp_spool_close(); unchanged on error. */
SMTP_API SMTP_MUST_USE int smtp_spool_open(struct smtp_spool **out, const char *directory,
					   bool read_only);
SMTP_API void smtp_spool_close(struct smtp_spool *);

/* ---- Writing one message ---- */

/** Who sends it to whom, as it came in. Pointers are borrowed until the call returns. */
struct smtp_spool_recipient {
	const char *address;  /* final mailbox after aliases, as text */
	const char *original; /* as the client gave it; NULL: the same */
};

struct smtp_spool_envelope {
	const char *reverse_path;  /* as text; "" is the null reverse-path */
	const struct smtp_spool_recipient *recipients;
	size_t recipient_count;
	int64_t arrival_ms;        /* since 1970 */
	const char *origin;        /* "mx", "submission", "local", "dsn": why it may leave as it may */
	const char *account;       /* login; NULL: none */
	const char *peer_address;  /* NULL: none */
	const char *helo_name;     /* NULL: none */
	bool body_8bitmime;
};

/** Begins a message and gives it a queue id. Nothing is on the disk yet. */
SMTP_API SMTP_MUST_USE int smtp_spool_begin(struct smtp_spool *, struct smtp_spool_file **out);
/** The queue id: NUL-terminated, borrowed from the file. */
SMTP_API const char *smtp_spool_file_id(const struct smtp_spool_file *);
/** Appends content: CRLF line ends, also of the last line, dots unstuffed. Past SMTP_SPOOL_GATHER_BYTES
 *  it goes to disk, so call it on a worker when smtp_spool_write_blocks(). */
SMTP_API SMTP_MUST_USE int smtp_spool_write(struct smtp_spool_file *, struct smtp_span octets);
/** Would appending `n` octets touch the disk? */
SMTP_API bool smtp_spool_write_blocks(const struct smtp_spool_file *, size_t n);
/** The content so far when it is all in memory; {NULL, 0} once it has gone to disk. Borrowed. */
SMTP_API struct smtp_span smtp_spool_content(const struct smtp_spool_file *);
/** A descriptor from which the content can be read at offset 0 with pread(); writes gathered content
 *  out if need be. Borrowed. @bytes receives the length of the content. */
SMTP_API SMTP_MUST_USE int smtp_spool_content_fd(struct smtp_spool_file *, int *fd, uint64_t *bytes);
/** The first octets of the content (at most 64 KiB): enough for most header sections. Borrowed. */
SMTP_API struct smtp_span smtp_spool_content_head(const struct smtp_spool_file *);

/** Called exactly once for a commit: from within it or later from another thread. */
struct smtp_spool_done {
	void (*done)(void *user, int error);
	void *user;
};

/** Makes the message durable: content, `added_fields` (header fields that stand on top of the content,
 *  with CRLF each; may be empty) and envelope, synced with their directory entry. Consumes `file`,
 *  whatever comes; on error nothing of the message is left. All borrowed until `done` is called. */
SMTP_API void smtp_spool_commit(struct smtp_spool_file *file, const struct smtp_spool_envelope *,
				struct smtp_span added_fields, struct smtp_spool_done done);
/** Throws the message away. NULL is fine. */
SMTP_API void smtp_spool_abort(struct smtp_spool_file *file);

/* ---- Reading ---- */

enum smtp_recipient_state {
	SMTP_RECIPIENT_QUEUED,    /* never tried, or deferred */
	SMTP_RECIPIENT_DELIVERED,
	SMTP_RECIPIENT_BOUNCED,   /* failed; its report is in the spool, or none is due */
	SMTP_RECIPIENT_REMOVED    /* by the operator */
};

struct smtp_queue_recipient {
	char *address;
	char *original;         /* never NULL */
	enum smtp_recipient_state state;
	unsigned attempts;
	int64_t last_attempt_ms; /* 0: none */
	int64_t next_attempt_ms; /* 0: at once */
	char *last_reply;        /* "550 5.1.1 no such user" or a local reason; "" if none */
	char *last_host;         /* who said it; "" if none */
	char *targets;           /* that smtp_spool_record_target() told, LF behind each; NULL: none */
};

struct smtp_queue_entry {
	char id[SMTP_QUEUE_ID_MAX + 1];
	char *reverse_path;
	char *origin;
	char *account;      /* "" if none */
	char *peer_address; /* "" if none */
	char *helo_name;    /* "" if none */
	bool body_8bitmime;
	bool delay_notice_sent;
	int64_t arrival_ms;
	uint64_t content_bytes;
	uint64_t added_bytes;
	struct smtp_queue_recipient *recipients;
	size_t recipient_count;
};

/** Loads one entry of the queue or of bounce/ with all that was recorded since. SMTP_ENOTFOUND (also
 *  for a message still being written), SMTP_ECORRUPT, SMTP_EVERSION.
 *  @out is freed with smtp_queue_entry_free(). */
SMTP_API SMTP_MUST_USE int smtp_spool_load(struct smtp_spool *, const char *id,
					   struct smtp_queue_entry **out);
SMTP_API void smtp_queue_entry_free(struct smtp_queue_entry *);

/** Calls `each` for every complete entry of the queue (any order) until it returns non-zero, which is
 *  then returned. */
SMTP_API SMTP_MUST_USE int smtp_spool_list(struct smtp_spool *,
					   int (*each)(const char *id, void *user), void *user);
/** The same for the dead letters in bounce/. */
SMTP_API SMTP_MUST_USE int smtp_spool_list_dead(struct smtp_spool *,
						int (*each)(const char *id, void *user), void *user);

/** What a sweep found. */
struct smtp_spool_swept {
	size_t unfinished; /* never accepted, removed */
	size_t corrupt;    /* moved to corrupt/ */
	size_t orphans;    /* state files without a message, removed */
};
/** At the start, before anything else writes, by the one process that runs the queue: removes what was
 *  never accepted, sets aside what can't be read. `report` (may be NULL) is told each file that was
 *  moved. From then on files of finished messages are kept, emptied, for new ones. */
SMTP_API SMTP_MUST_USE int smtp_spool_sweep(struct smtp_spool *, struct smtp_spool_swept *result,
					    void (*report)(const char *file, const char *reason,
							   void *user),
					    void *user);
/** Moves an entry to corrupt/. */
SMTP_API SMTP_MUST_USE int smtp_spool_set_aside(struct smtp_spool *, const char *id);

/** Reads the message as it goes out: added fields, then content. Also finds dead letters. */
struct smtp_spool_reader;
SMTP_API SMTP_MUST_USE int smtp_spool_reader_open(struct smtp_spool *, const char *id,
						  struct smtp_spool_reader **out);
/** At most `cap` octets; *n is 0 at the end. SMTP_ECORRUPT, in place of the last octets, for a message
 *  that is not what was written. Fits struct smtp_client_content. */
SMTP_API SMTP_MUST_USE int smtp_spool_reader_read(void *reader, uint8_t *out, size_t cap, size_t *n);
SMTP_API void smtp_spool_reader_rewind(struct smtp_spool_reader *);
SMTP_API uint64_t smtp_spool_reader_bytes(const struct smtp_spool_reader *);
SMTP_API void smtp_spool_reader_close(struct smtp_spool_reader *);

/* ---- Outcomes ---- */

struct smtp_spool_outcome {
	size_t recipient; /* index in the entry */
	enum smtp_recipient_state state; /* QUEUED: deferred */
	int64_t time_ms;
	int64_t next_attempt_ms; /* for QUEUED */
	const char *reply;       /* made safe when written */
	const char *host;        /* NULL: none */
};

/** Records what became of recipients, in one append. When any is no longer QUEUED it is synced
 *  before the call returns. When this leaves no recipient QUEUED, smtp_spool_remove() alone does and is
 *  cheaper. Once a recipient is settled, further outcomes don't change it. */
SMTP_API SMTP_MUST_USE int smtp_spool_record(struct smtp_spool *, const char *id,
					     const struct smtp_spool_outcome *outcomes, size_t count);
/** Records, synced, that `address` has the message: one of several that a recipient which is still QUEUED
 *  turned out to stand for. */
SMTP_API SMTP_MUST_USE int smtp_spool_record_target(struct smtp_spool *, const char *id, size_t recipient,
						    const char *address);
/** Records that a delay notice was sent. */
SMTP_API SMTP_MUST_USE int smtp_spool_record_delay_notice(struct smtp_spool *, const char *id,
							  int64_t time_ms);
/** Removes an entry, or a dead letter, and its state. It is gone for good when the call returns, if it is
 *  `durable` or something was recorded of it; else it may come back after a loss of power, which does no
 *  harm where it went to Maildirs only (docs/STORAGE.md). SMTP_ENOTFOUND if there is none. */
SMTP_API SMTP_MUST_USE int smtp_spool_remove(struct smtp_spool *, const char *id, bool durable);
/** Moves an entry to bounce/: a report that could not be delivered. */
SMTP_API SMTP_MUST_USE int smtp_spool_bury(struct smtp_spool *, const char *id);

/** Is that text a queue id by its form? (Before it becomes part of a path.) */
SMTP_API bool smtp_queue_id_is_valid(const char *id);

#ifdef __cplusplus
}
#endif
#endif
