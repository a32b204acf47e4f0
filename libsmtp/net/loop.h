/* SPDX-License-Identifier: ISC */
/* loop.h - one event loop in one thread: descriptors, timers, and calls handed over from other threads.
 * The adapter of libevent: nothing above sees its types, but for resolver.c through
 * smtp_loop_event_base(). Everything but smtp_loop_post() and smtp_loop_stop() belongs to the loop's
 * own thread (or to anybody before the loop runs).
 */
#ifndef SMTP_NET_LOOP_H
#define SMTP_NET_LOOP_H

#include <smtp/base.h>

struct smtp_loop;

SMTP_MUST_USE int smtp_loop_new(struct smtp_loop **out);
/** Runs the calls that are still posted, then frees the loop. Its timers and descriptors must have been
 *  freed before. NULL is fine. */
void smtp_loop_free(struct smtp_loop *);
/** Runs until smtp_loop_stop(). */
SMTP_MUST_USE int smtp_loop_run(struct smtp_loop *);
/** From any thread: the loop returns from run() after the events at hand. */
void smtp_loop_stop(struct smtp_loop *);
/** Milliseconds of a clock that never runs backwards; read once for each round of the loop. */
uint64_t smtp_loop_now_ms(const struct smtp_loop *);
struct event_base *smtp_loop_event_base(struct smtp_loop *);
/** Memory to read into, one for all that stand on the loop: its content is good until the callback
 *  that read into it returns. */
uint8_t *smtp_loop_scratch(struct smtp_loop *, size_t *cap);

/** A call to be made in the loop's thread; part of the caller's own object, in use until `fn` runs.
 *  smtp_loop_post() from any thread never fails and takes no memory; calls run in order. */
struct smtp_loop_call {
	void (*fn)(struct smtp_loop_call *);
	struct smtp_loop_call *next; /* of the loop */
};
void smtp_loop_post(struct smtp_loop *, struct smtp_loop_call *call);

/** A timer, one shot. */
struct smtp_timer;
SMTP_MUST_USE int smtp_timer_new(struct smtp_timer **out, struct smtp_loop *,
				 void (*fn)(void *user), void *user);
/** Arms it (again) for an instant of smtp_loop_now_ms(); UINT64_MAX disarms. Setting the same or a
 *  later instant often is cheap: the timer may fire early inside and arm itself again. */
void smtp_timer_set(struct smtp_timer *, uint64_t at_ms);
void smtp_timer_free(struct smtp_timer *);

/** Readiness of a descriptor. The descriptor stays the caller's. */
enum smtp_io_events { SMTP_IO_READ = 1, SMTP_IO_WRITE = 2 };
struct smtp_io;
SMTP_MUST_USE int smtp_io_new(struct smtp_io **out, struct smtp_loop *, int fd,
			      void (*fn)(void *user, unsigned events), void *user);
/** Sets what is watched for; 0 is nothing. Level-triggered, no system call when nothing changes. */
SMTP_MUST_USE int smtp_io_watch(struct smtp_io *, unsigned events);
/** Has its function called soon with these events, whether or not the descriptor is ready. */
void smtp_io_wake(struct smtp_io *, unsigned events);
void smtp_io_free(struct smtp_io *);

#endif
