/* SPDX-License-Identifier: ISC */
/* peer.h - what the parts of the keeper share: the process, one connection of the mail process, and the
 * cache of good logins.
 */
#ifndef SMTPD_KEEPER_PEER_H
#define SMTPD_KEEPER_PEER_H

#include <smtp/accounts.h>
#include "libsmtp/core/buf.h"
#include "libsmtp/net/workers.h"
#include "smtpd/keeper/protocol.h"

enum {
	KEEPER_OUTBOX_MAX = 16 << 20,
	KEEPER_PASSWORDS_WAITING_MAX = 256, /* beyond: SMTP_EBUSY, which becomes 454 4.7.0 */
	KEEPER_SIGNATURES_WAITING_MAX = 4096
};

struct keeper {
	struct smtp_loop *loop;
	struct smtp_listener *listener;
	struct smtp_io *supervisor_io;
	struct smtp_accounts *accounts;
	struct smtp_workers *password_workers; /* argon2id takes a core and 64 MiB: one for each core */
	struct smtp_workers *sign_workers;
	struct login_cache *logins;
	struct keeper_peer *peers;
	unsigned passwords_waiting, signatures_waiting;
	int listen_fd, supervisor_fd;
	char problem[512];
	uint8_t input[KEEPER_MESSAGE_MAX];
};

/** One connection. Counted: work under way holds it, while the connection may be lost (io NULL). */
struct keeper_peer {
	struct keeper *keeper;
	struct smtp_io *io;
	struct keeper_peer *next, **link;
	unsigned references;
	int fd;
	struct smtp_buf outbox; /* answers that the socket did not take yet */
};

/** Sends an answer, or forgets it if the connection is lost. */
void keeper_peer_send(struct keeper_peer *peer, struct smtp_span message);
void keeper_peer_unref(struct keeper_peer *peer);

/** questions.c: answers one, now or later. Takes `fd` over unless it is -1. SMTP_EPROTO ends the
 *  connection. */
SMTP_MUST_USE int keeper_question(struct keeper_peer *peer, struct smtp_span message, int fd);

/** login_cache.c: recent good logins, so that a client that comes back costs no argon2id. It holds keyed
 *  hashes of account, password and stored hash, never a password; a new password misses. */
struct login_cache;
SMTP_MUST_USE int login_cache_new(struct login_cache **out);
void login_cache_free(struct login_cache *);
bool login_cache_has(struct login_cache *, struct smtp_span account, struct smtp_span password,
		     const char *stored_hash, uint64_t now_ms);
void login_cache_add(struct login_cache *, struct smtp_span account, struct smtp_span password,
		     const char *stored_hash, uint64_t now_ms);

#endif
