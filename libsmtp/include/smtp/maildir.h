/* SPDX-License-Identifier: ISC */
/* maildir.h - final delivery into a Maildir: tmp, fsync, rename to new, directory sync.
 * Threads: any. Blocking: waits for the disk.
 */
#ifndef SMTP_MAILDIR_H
#define SMTP_MAILDIR_H

#include <smtp/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct smtp_maildir_message {
	const char *directory;  /* of the Maildir; it, cur, new and tmp are made when missing (0700) */
	const char *hostname;   /* for the unique name; / and : are replaced */
	const char *unique;     /* names this delivery, such as queue id and recipient number */
	int64_t arrival_ms;     /* since 1970: the first part of the name */
	struct smtp_span top;   /* fields on top: Return-Path, Delivered-To, Received; CRLF each */
	/** The content, read to its end: fits smtp_spool_reader_read(). Line ends become LF. */
	int (*read)(void *user, uint8_t *out, size_t cap, size_t *n);
	void *user;
};

/** Delivers one message. A second call with the same arrival, unique and hostname finds the message
 *  that the first put in place (a crash came between) and does nothing more. 0, SMTP_ENOSPC, SMTP_EIO,
 *  SMTP_EACCESS. On error nothing is visible in new/. */
SMTP_API SMTP_MUST_USE int smtp_maildir_deliver(const struct smtp_maildir_message *message);

#ifdef __cplusplus
}
#endif
#endif
