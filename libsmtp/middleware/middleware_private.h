/* SPDX-License-Identifier: ISC */
/* middleware_private.h - what the ready-made middleware has in common: how one is filled in, how it
 * refuses, and the gate that stands at MAIL, RCPT or DATA.
 */
#ifndef SMTP_MIDDLEWARE_PRIVATE_H
#define SMTP_MIDDLEWARE_PRIVATE_H

#include <smtp/middleware.h>
#include <smtp/server.h>

#include "libsmtp/core/sized.h"

/** Fills *out; `user` is freed by `release`. */
void middleware_fill(struct smtp_middleware *out, const char *name,
		     const struct smtp_server_session_handler *handler, void *user,
		     void (*release)(void *user));
/** On the heap; NULL: out of memory. */
char *middleware_text_copy(const char *text);
/** Frees what the slot of a session holds, at its disconnect. NULL (there is no slot) is fine. */
void middleware_slot_free(void **slot);
/** Answers the phase with a refusal. */
enum smtp_verdict middleware_refuse(struct smtp_server_session *, unsigned code,
				    const char *enhanced, const char *text);

/** Something that a session must be, checked when it comes to a certain command. */
struct middleware_gate {
	/** NEXT lets it pass, anything else is the verdict. */
	enum smtp_verdict (*check)(struct smtp_server_session *, void *user);
	void *user; /* of check */
};
/** The functions for a gate at that command; their `user` is the struct middleware_gate. NULL: there is
 *  no such place. */
const struct smtp_server_session_handler *middleware_gate_handler(enum smtp_middleware_place at);

#endif
