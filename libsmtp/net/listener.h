/* SPDX-License-Identifier: ISC */
/* listener.h - sockets that listen: opening them, also for passing on to another process, and accepting
 * on a loop.
 */
#ifndef SMTP_NET_LISTENER_H
#define SMTP_NET_LISTENER_H

#include <sys/types.h>
#include "libsmtp/net/loop.h"
#include "libsmtp/net/socket_address.h"

enum { SMTP_LISTENER_PROBLEM_MAX = 256 };

/** Opens `each` sockets (SO_REUSEPORT: the kernel spreads connections over them) for each family of
 *  `address`: "127.0.0.1:25", "[::1]:25", "*:25" (IPv4 and, where the system has it, IPv6). Port 0 picks
 *  one, the same for all. They listen, do not block and are closed on exec.
 *  @fds    receives them, to be closed by the caller: those of one family, then of the other.
 *  @count  room in fds (2 * each suffices), then how many there are; unchanged on error, as *port.
 *  @port   may be NULL.   @problem  receives one line on error.
 *  SMTP_EINVAL, SMTP_EACCESS, SMTP_EBUSY (the port is taken), SMTP_EIO. */
SMTP_MUST_USE int smtp_listener_open(const char *address, unsigned each, int *fds, size_t *count,
				     uint16_t *port, char problem[SMTP_LISTENER_PROBLEM_MAX]);

#define SMTP_UNIX_PREFIX "unix:"

/** A unix socket in the file system, so that it can be removed by who made it. */
struct smtp_unix_socket {
	char *path; /* NULL: none */
	dev_t device;
	ino_t inode;
};

/** Opens one that listens. A socket at that path that refuses connections is removed first. Errors as
 *  above; SMTP_EBUSY also for a file that is none. */
SMTP_MUST_USE int smtp_unix_socket_open(struct smtp_unix_socket *, const char *path, unsigned mode,
					int *fd, char problem[SMTP_LISTENER_PROBLEM_MAX]);
/** Removes the file, if it is still this one. */
void smtp_unix_socket_close(struct smtp_unix_socket *);

/** Accepts on a socket that listens. A burst is bounded, so that the sessions of the loop get their turn;
 *  when descriptors or memory run out it pauses for a moment and leaves the rest in the backlog. */
struct smtp_listener;

/** `accepted` gets each connection (non-blocking, close-on-exec), which is then its own; `peer` is borrowed.
 *  @fd  taken over, closed with the listener; on error it stays the caller's. */
SMTP_MUST_USE int smtp_listener_new(struct smtp_listener **out, struct smtp_loop *, int fd,
				    void (*accepted)(void *user, int fd,
						     const struct smtp_socket_address *peer),
				    void *user);
/** Not from within `accepted`. NULL is fine. */
void smtp_listener_free(struct smtp_listener *);

#endif
