/* SPDX-License-Identifier: ISC */
/* One event loop: libevent for readiness and timers, and a list of calls from other threads.
 * Responsible for waking up once for many calls and for timers that are cheap to push back.
 * Knows nothing of connections; the scratch memory is only lent out.
 */
#include "libsmtp/net/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { SCRATCH_BYTES = 65536 };

/* Apart from the loop, so that smtp_loop_now_ms() can fill it in for a const loop. */
struct loop_clock {
	uint64_t now_ms;
	bool is_read; /* in this round */
};

struct smtp_loop {
	struct event_base *base;
	struct event wake; /* the eventfd */
	int wake_fd;
	_Atomic(struct smtp_loop_call *) calls; /* newest first */
	atomic_bool stopping;
	atomic_uintptr_t thread; /* that is in smtp_loop_run(); 0: none */
	struct loop_clock *clock;
	bool broken; /* the wait itself failed */
	uint8_t scratch[SCRATCH_BYTES];
};

static uint64_t clock_ms(void)
{
	struct timespec ts = { 0 };

	if (clock_gettime(CLOCK_MONOTONIC, &ts) != 0)
		return 0;
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static bool on_own_thread(struct smtp_loop *loop)
{
	return atomic_load_explicit(&loop->thread, memory_order_relaxed) ==
	       (uintptr_t)pthread_self();
}

/* The eventfd only ends the wait; the calls themselves run at the end of each round. */
static void on_wake(evutil_socket_t fd, short what, void *user)
{
	struct smtp_loop *loop = user;
	uint64_t count;

	(void)what;
	if (read((int)fd, &count, sizeof count) < 0 && errno != EAGAIN && errno != EINTR)
		loop->broken = true;
}

static void write_wake(struct smtp_loop *loop)
{
	uint64_t one = 1;

	/* EAGAIN: the counter is full, so the loop will wake up anyway. */
	while (write(loop->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
		;
}

static struct event_base *new_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (!config)
		return NULL;
	/* Only the loop's own thread touches the base. */
	if (event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0)
		base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

int smtp_loop_new(struct smtp_loop **out)
{
	struct smtp_loop *loop = calloc(1, sizeof *loop);

	if (!loop)
		return SMTP_ENOMEM;
	atomic_init(&loop->calls, NULL);
	atomic_init(&loop->stopping, false);
	atomic_init(&loop->thread, 0);
	loop->clock = calloc(1, sizeof *loop->clock);
	loop->base = new_base();
	loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!loop->clock || !loop->base || loop->wake_fd < 0 ||
	    event_assign(&loop->wake, loop->base, loop->wake_fd, EV_READ | EV_PERSIST, on_wake,
			 loop) != 0 ||
	    event_add(&loop->wake, NULL) != 0) {
		smtp_loop_free(loop);
		return SMTP_ENOMEM;
	}
	*out = loop;
	return 0;
}

/* The calls that were posted before now, oldest first. Returns whether there were any. */
static bool run_calls(struct smtp_loop *loop)
{
	struct smtp_loop_call *newest = atomic_exchange_explicit(&loop->calls, NULL,
								 memory_order_acquire);
	struct smtp_loop_call *oldest = NULL;

	if (!newest)
		return false;
	while (newest) {
		struct smtp_loop_call *next = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest) {
		struct smtp_loop_call *call = oldest;

		oldest = call->next; /* the call may free itself */
		call->fn(call);
	}
	return true;
}

void smtp_loop_free(struct smtp_loop *loop)
{
	if (!loop)
		return;
	/* Whoever posted a call counts on it being run: it frees what it is part of. */
	while (run_calls(loop))
		;
	if (loop->wake.ev_base)
		(void)event_del(&loop->wake);
	if (loop->base)
		event_base_free(loop->base);
	if (loop->wake_fd >= 0)
		(void)close(loop->wake_fd);
	free(loop->clock);
	free(loop);
}

/* One wait and all that it brought, then the calls. */
static int run_round(struct smtp_loop *loop)
{
	bool has_calls = atomic_load_explicit(&loop->calls, memory_order_relaxed) != NULL;

	loop->clock->is_read = false;
	if (event_base_loop(loop->base, EVLOOP_ONCE | (has_calls ? EVLOOP_NONBLOCK : 0)) < 0 ||
	    loop->broken)
		return SMTP_EIO;
	(void)run_calls(loop);
	return 0;
}

int smtp_loop_run(struct smtp_loop *loop)
{
	uintptr_t nobody = 0;
	int err = 0;

	if (!atomic_compare_exchange_strong(&loop->thread, &nobody, (uintptr_t)pthread_self()))
		return SMTP_ESTATE;
	while (!err && !atomic_exchange_explicit(&loop->stopping, false, memory_order_acquire))
		err = run_round(loop);
	atomic_store(&loop->thread, 0);
	loop->clock->is_read = false;
	return err;
}

void smtp_loop_stop(struct smtp_loop *loop)
{
	atomic_store_explicit(&loop->stopping, true, memory_order_release);
	if (!on_own_thread(loop))
		write_wake(loop);
}

uint64_t smtp_loop_now_ms(const struct smtp_loop *loop)
{
	struct loop_clock *clock = loop->clock;

	if (!clock->is_read) {
		clock->now_ms = clock_ms();
		clock->is_read = atomic_load_explicit(&loop->thread, memory_order_relaxed) != 0;
	}
	return clock->now_ms;
}

struct event_base *smtp_loop_event_base(struct smtp_loop *loop)
{
	return loop->base;
}

uint8_t *smtp_loop_scratch(struct smtp_loop *loop, size_t *cap)
{
	*cap = sizeof loop->scratch;
	return loop->scratch;
}

/* Whoever finds the list empty wakes the loop; others come along. On its own thread the loop is
 * awake and looks at the list before it waits again. */
void smtp_loop_post(struct smtp_loop *loop, struct smtp_loop_call *call)
{
	struct smtp_loop_call *head = atomic_load_explicit(&loop->calls, memory_order_relaxed);

	do {
		call->next = head;
	} while (!atomic_compare_exchange_weak_explicit(&loop->calls, &head, call,
							memory_order_release,
							memory_order_relaxed));
	if (!head && !on_own_thread(loop))
		write_wake(loop);
}

/* --- timers ---------------------------------------------------------------------------------- */

struct smtp_timer {
	struct event event;
	struct smtp_loop *loop;
	void (*fn)(void *user);
	void *user;
	uint64_t at_ms;    /* when it is due; UINT64_MAX: not at all */
	uint64_t armed_ms; /* when libevent will call; UINT64_MAX: never */
};

static void arm(struct smtp_timer *timer)
{
	uint64_t now_ms = smtp_loop_now_ms(timer->loop);
	uint64_t wait_ms = timer->at_ms > now_ms ? timer->at_ms - now_ms : 0;
	const uint64_t year_ms = UINT64_C(31536000000);
	struct timeval tv;

	if (wait_ms > year_ms) /* disarmed, or far beyond: it fires early and arms itself again */
		wait_ms = year_ms;
	tv.tv_sec = (time_t)(wait_ms / 1000);
	tv.tv_usec = (suseconds_t)(wait_ms % 1000 * 1000);
	/* Only for lack of memory. A loop whose timers are lost must not go on. */
	if (event_add(&timer->event, &tv) != 0) {
		timer->loop->broken = true;
		return;
	}
	timer->armed_ms = now_ms + wait_ms;
}

static void on_timer(evutil_socket_t fd, short what, void *user)
{
	struct smtp_timer *timer = user;

	(void)fd;
	(void)what;
	timer->armed_ms = UINT64_MAX;
	if (timer->at_ms > smtp_loop_now_ms(timer->loop)) {
		arm(timer);
		return;
	}
	timer->at_ms = UINT64_MAX;
	timer->fn(timer->user);
}

int smtp_timer_new(struct smtp_timer **out, struct smtp_loop *loop, void (*fn)(void *user),
		   void *user)
{
	struct smtp_timer *timer = calloc(1, sizeof *timer);

	if (!timer)
		return SMTP_ENOMEM;
	timer->loop = loop;
	timer->fn = fn;
	timer->user = user;
	timer->at_ms = UINT64_MAX;
	timer->armed_ms = UINT64_MAX;
	if (event_assign(&timer->event, loop->base, -1, 0, on_timer, timer) != 0) {
		free(timer);
		return SMTP_ENOMEM;
	}
	*out = timer;
	return 0;
}

void smtp_timer_set(struct smtp_timer *timer, uint64_t at_ms)
{
	timer->at_ms = at_ms;
	if (at_ms < timer->armed_ms)
		arm(timer);
}

void smtp_timer_free(struct smtp_timer *timer)
{
	if (!timer)
		return;
	(void)event_del(&timer->event);
	free(timer);
}

/* --- descriptors ----------------------------------------------------------------------------- */

struct smtp_io {
	struct event event;
	struct smtp_loop *loop;
	void (*fn)(void *user, unsigned events);
	void *user;
	int fd;
	unsigned watched; /* set of enum smtp_io_events */
	unsigned woken;   /* by smtp_io_wake(), not yet told */
};

static void on_ready(evutil_socket_t fd, short what, void *user)
{
	struct smtp_io *io = user;
	unsigned events = 0;

	(void)fd;
	if (what & EV_READ)
		events |= SMTP_IO_READ;
	if (what & EV_WRITE)
		events |= SMTP_IO_WRITE;
	events |= io->woken;
	io->woken = 0;
	io->fn(io->user, events);
}

static short event_bits(unsigned events)
{
	return (short)((events & SMTP_IO_READ ? EV_READ : 0) |
		       (events & SMTP_IO_WRITE ? EV_WRITE : 0));
}

int smtp_io_new(struct smtp_io **out, struct smtp_loop *loop, int fd,
		void (*fn)(void *user, unsigned events), void *user)
{
	struct smtp_io *io;

	if (fd < 0)
		return SMTP_EINVAL;
	io = calloc(1, sizeof *io);
	if (!io)
		return SMTP_ENOMEM;
	io->loop = loop;
	io->fn = fn;
	io->user = user;
	io->fd = fd;
	if (event_assign(&io->event, loop->base, fd, EV_PERSIST, on_ready, io) != 0) {
		free(io);
		return SMTP_ENOMEM;
	}
	*out = io;
	return 0;
}

int smtp_io_watch(struct smtp_io *io, unsigned events)
{
	short what = (short)(EV_PERSIST | event_bits(events));

	if (events == io->watched)
		return 0;
	if (event_del(&io->event) != 0)
		return SMTP_EIO;
	io->watched = 0;
	if (event_assign(&io->event, io->loop->base, io->fd, what, on_ready, io) != 0)
		return SMTP_EINVAL;
	if (events && event_add(&io->event, NULL) != 0)
		return errno == ENOMEM ? SMTP_ENOMEM : SMTP_EIO;
	io->watched = events;
	if (io->woken) /* event_del() took that back */
		event_active(&io->event, event_bits(io->woken), 0);
	return 0;
}

void smtp_io_wake(struct smtp_io *io, unsigned events)
{
	io->woken |= events;
	event_active(&io->event, event_bits(events), 0);
}

void smtp_io_free(struct smtp_io *io)
{
	if (!io)
		return;
	(void)event_del(&io->event);
	free(io);
}
