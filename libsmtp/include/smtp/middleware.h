/* SPDX-License-Identifier: ISC */
/* middleware.h - checks and other parts that are put in front of a server's own handler.
 * A middleware is a set of phase functions, the pointer they are given, and how they are to be run.
 * Those of a session are asked in the order they were added, the first refusal ends the phase; what a
 * middleware knows of one session hangs from its slot, smtp_server_session_slot().
 * Threads: one middleware serves many sessions at the same time, so what its `user` points to needs
 *          a lock or must not change. For one session its functions run one after another.
 */
#ifndef SMTP_MIDDLEWARE_H
#define SMTP_MIDDLEWARE_H

#include <smtp/base.h>
#include <smtp/server_session.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Copied by whoever it is given to. */
struct smtp_middleware {
	size_t size;      /* sizeof(struct smtp_middleware) */
	const char *name; /* for logs and messages, such as "require_tls"; borrowed; may be NULL */
	/* Borrowed: lives until the server, or the session, was freed. */
	const struct smtp_server_session_handler *handler;
	void *user; /* given to the functions of `handler` */
	/* Its functions that give a verdict may take long: they are run on a worker thread, and nothing
	 * else happens in the session until they return. `reset`, `disconnect` and `trace` run where
	 * those of other middleware run and must not block. */
	bool blocking;
	/* Called with `user` when the server it was given to is freed, after its last session has ended;
	 * may be NULL. A session that it is given to alone does not call it. */
	void (*release)(void *user);
};

/** A struct with these members; for C++, and for what is shorter so. `user` may be NULL. */
SMTP_API struct smtp_middleware
smtp_middleware_of(const char *name, const struct smtp_server_session_handler *handler, void *user);

#ifdef __cplusplus
}
#endif
#endif
