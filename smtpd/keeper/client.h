/* SPDX-License-Identifier: ISC */
/* client.h - asks the keeper from a loop of the mail process: each question has one answer, by callback
 * in the loop's thread, at the latest when its deadline comes. One client for one loop. While there is
 * no keeper, every question is answered SMTP_EBUSY, or SMTP_ETIMEDOUT after 3 s: callers turn both into 451.
 */
#ifndef SMTPD_KEEPER_CLIENT_H
#define SMTPD_KEEPER_CLIENT_H

#include <smtp/accounts.h>
#include "libsmtp/net/loop.h"

struct keeper_client;

/** Connects to the keeper's socket, again and again when it goes away. */
SMTP_MUST_USE int keeper_client_new(struct keeper_client **out, struct smtp_loop *,
				    const char *socket_path);
/** Open questions are dropped without an answer. */
void keeper_client_free(struct keeper_client *);

/** `error` is 0 or what went wrong: SMTP_EBUSY (no keeper, too many waiting), SMTP_ETIMEDOUT, SMTP_EIO. */
struct keeper_resolve_answer {
	int error;
	enum smtp_resolve_kind kind;
	const char *const *targets; /* borrowed until the callback returns */
	size_t target_count;
};
struct keeper_auth_answer {
	int error;
	bool accepted;
	const char *account; /* canonical address when accepted */
};
struct keeper_reaches_answer {
	int error;
	bool reaches;
};
struct keeper_sign_answer {
	int error;         /* SMTP_ENOTFOUND: the domain has no key, send unsigned; SMTP_ESYNTAX: the
			    * message can't be signed */
	const char *field; /* DKIM-Signature with CRLF when error is 0 */
};

/** Each returns 0 and will call `done` once, later; or SMTP_ENOMEM, SMTP_EBUSY, SMTP_EINVAL and won't. */
SMTP_MUST_USE int keeper_resolve(struct keeper_client *, const struct smtp_mailbox *mailbox,
				 void (*done)(void *user, const struct keeper_resolve_answer *),
				 void *user);
/** The password is copied and wiped when sent. */
SMTP_MUST_USE int keeper_auth(struct keeper_client *, struct smtp_span name,
			      struct smtp_span password,
			      void (*done)(void *user, const struct keeper_auth_answer *), void *user);
/** May `account` send as `address`? */
SMTP_MUST_USE int keeper_reaches(struct keeper_client *, const struct smtp_mailbox *address,
				 const char *account,
				 void (*done)(void *user, const struct keeper_reaches_answer *),
				 void *user);
/** Signs for the active key of `domain`: `added_fields` + the content behind `fd` (read by the keeper at
 *  offset 0 with pread; the descriptor is passed on, and stays the caller's). */
SMTP_MUST_USE int keeper_sign(struct keeper_client *, const char *domain,
			      struct smtp_span added_fields, int fd, uint64_t content_bytes,
			      void (*done)(void *user, const struct keeper_sign_answer *), void *user);

#endif
