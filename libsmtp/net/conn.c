/* SPDX-License-Identifier: ISC */
/* One stream socket on a loop, clear or TLS. Responsible for reading into the loop's scratch memory,
 * keeping what was not taken, half-closes and the polite end. Output is not kept here: whoever
 * writes holds it until it is gone.
 */
#include "libsmtp/net/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "libsmtp/core/buf.h"

enum { KEPT_MAX = 65536 }; /* as much as one read can bring */

struct smtp_conn {
	struct smtp_loop *loop;
	struct smtp_io *io;
	const struct smtp_conn_events *events;
	void *user;
	struct smtp_tls_stream *tls;
	struct smtp_buf kept;  /* octets that were not taken */
	bool *gone;            /* told when the conn is freed from within a callback */
	const char *problem;   /* NULL: none, or that of `tls` */
	int fd;
	unsigned handshake_events; /* what the handshake waits for */
	bool handshaking;
	bool in_received;
	bool resumed;          /* smtp_conn_resume() was called from within `received` */
	bool paused;           /* readable, but there are kept octets */
	bool eof;
	bool eof_told;
	bool lingering;        /* our half is closed */
	bool dead;             /* `failed` was called */
	bool write_waits;      /* a write was short */
	bool write_needs_read; /* TLS: it goes on when something was read */
	bool read_needs_write; /* TLS */
};

/* --- calling out ----------------------------------------------------------------------------- */

/* Each callback may free the conn; these pairs tell. They nest: `drained` may lead to `received`. */
struct call_guard {
	bool gone;
	bool *outer;
};

static void call_begin(struct smtp_conn *conn, struct call_guard *guard)
{
	guard->gone = false;
	guard->outer = conn->gone;
	conn->gone = &guard->gone;
}

/* Is the conn still there? */
static bool call_end(struct smtp_conn *conn, struct call_guard *guard)
{
	if (!guard->gone) {
		conn->gone = guard->outer;
		return true;
	}
	if (guard->outer)
		*guard->outer = true;
	return false;
}

static void fail(struct smtp_conn *conn, int error, const char *problem)
{
	if (conn->dead)
		return;
	conn->dead = true;
	conn->problem = problem;
	smtp_io_free(conn->io); /* nothing follows */
	conn->io = NULL;
	conn->events->failed(conn->user, error, problem);
}

static int error_of(int number)
{
	return number == EPIPE || number == ECONNRESET ? SMTP_ECLOSED : SMTP_EIO;
}

static void fail_errno(struct smtp_conn *conn, int number)
{
	fail(conn, error_of(number), strerrordesc_np(number));
}

static unsigned wanted_events(const struct smtp_conn *conn)
{
	unsigned events = 0;

	if (conn->dead)
		return 0;
	if (conn->lingering)
		return conn->eof ? 0 : SMTP_IO_READ;
	if (conn->handshaking)
		return conn->handshake_events;
	if (!conn->eof && !conn->paused)
		events |= SMTP_IO_READ;
	if ((conn->write_waits && !conn->write_needs_read) || conn->read_needs_write)
		events |= SMTP_IO_WRITE;
	return events;
}

/* False: the conn has failed, and is gone perhaps. */
static bool watch(struct smtp_conn *conn)
{
	int err = smtp_io_watch(conn->io, wanted_events(conn));

	if (err)
		fail(conn, err, smtp_error_str(err));
	return err == 0;
}

static bool tell_drained(struct smtp_conn *conn)
{
	struct call_guard guard;

	conn->write_waits = false;
	conn->write_needs_read = false;
	call_begin(conn, &guard);
	conn->events->drained(conn->user);
	return call_end(conn, &guard);
}

static void tell_eof(struct smtp_conn *conn)
{
	conn->eof_told = true;
	conn->events->peer_closed(conn->user);
}

/* --- reading --------------------------------------------------------------------------------- */

/* Hands octets over once. False: the conn is gone, or is not to be read further. */
static bool hand_over(struct smtp_conn *conn, const uint8_t *octets, size_t n, size_t *taken)
{
	struct call_guard guard;

	conn->in_received = true;
	conn->resumed = false;
	call_begin(conn, &guard);
	*taken = conn->events->received(conn->user, octets, n);
	if (!call_end(conn, &guard))
		return false;
	conn->in_received = false;
	if (conn->dead || conn->lingering)
		return false;
	if (conn->handshaking && *taken < n) {
		fail(conn, SMTP_EPROTO, "octets in clear behind the start of TLS");
		return false;
	}
	return true;
}

static bool offer_kept(struct smtp_conn *conn)
{
	size_t taken = 0;

	while (conn->kept.n > 0) {
		if (!hand_over(conn, conn->kept.p, conn->kept.n, &taken))
			return false;
		smtp_buf_drop(&conn->kept, taken);
		if (!conn->resumed)
			break;
	}
	if (conn->kept.n == 0)
		smtp_buf_release(&conn->kept);
	return true;
}

static bool deliver(struct smtp_conn *conn, const uint8_t *octets, size_t n)
{
	size_t taken = 0;

	if (!hand_over(conn, octets, n, &taken))
		return false;
	if (taken == n)
		return true;
	if (smtp_buf_append(&conn->kept, octets + taken, n - taken) != 0) {
		fail(conn, SMTP_ENOMEM, smtp_error_str(SMTP_ENOMEM));
		return false;
	}
	return !conn->resumed || offer_kept(conn);
}

/* After reading, or after kept octets were taken. */
static void go_on_reading(struct smtp_conn *conn)
{
	if (conn->kept.n == 0) {
		conn->paused = false;
		if (conn->eof && !conn->eof_told) {
			if (watch(conn))
				tell_eof(conn);
			return;
		}
		if (conn->tls && !conn->eof && !conn->handshaking &&
		    smtp_tls_has_pending(conn->tls))
			smtp_io_wake(conn->io, SMTP_IO_READ);
	}
	(void)watch(conn);
}

static void read_clear(struct smtp_conn *conn)
{
	size_t cap;
	uint8_t *scratch = smtp_loop_scratch(conn->loop, &cap);
	ssize_t n = recv(conn->fd, scratch, cap, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n < 0) {
		fail_errno(conn, errno);
		return;
	}
	if (n == 0)
		conn->eof = true;
	else if (!deliver(conn, scratch, (size_t)n))
		return;
	go_on_reading(conn);
}

/* All records that are there, so that what was sent together is answered together. */
static enum smtp_tls_result read_records(struct smtp_conn *conn, uint8_t *out, size_t cap,
					 size_t *total)
{
	enum smtp_tls_result result = SMTP_TLS_DONE;

	*total = 0;
	while (*total < cap) {
		size_t n;

		result = smtp_tls_read(conn->tls, out + *total, cap - *total, &n);
		if (result != SMTP_TLS_DONE)
			break;
		*total += n;
		if (!smtp_tls_has_pending(conn->tls))
			break;
	}
	return result;
}

static void read_tls(struct smtp_conn *conn)
{
	size_t cap;
	uint8_t *scratch = smtp_loop_scratch(conn->loop, &cap);
	size_t n;
	enum smtp_tls_result result = read_records(conn, scratch, cap, &n);

	conn->read_needs_write = result == SMTP_TLS_WANTS_WRITE;
	conn->eof = conn->eof || result == SMTP_TLS_CLOSED;
	if (n > 0 && !deliver(conn, scratch, n))
		return;
	if (result == SMTP_TLS_FAILED) {
		fail(conn, SMTP_ETLS, smtp_tls_problem(conn->tls));
		return;
	}
	if (conn->write_needs_read && !tell_drained(conn))
		return;
	if (!conn->dead && !conn->lingering)
		go_on_reading(conn);
}

/* --- TLS begins, the end --------------------------------------------------------------------- */

static void continue_handshake(struct smtp_conn *conn)
{
	char description[SMTP_TLS_DESCRIPTION_MAX];
	struct call_guard guard;

	switch (smtp_tls_handshake(conn->tls)) {
	case SMTP_TLS_DONE:
		break;
	case SMTP_TLS_WANTS_READ:
		conn->handshake_events = SMTP_IO_READ;
		(void)watch(conn);
		return;
	case SMTP_TLS_WANTS_WRITE:
		conn->handshake_events = SMTP_IO_WRITE;
		(void)watch(conn);
		return;
	default:
		fail(conn, SMTP_ETLS, smtp_tls_problem(conn->tls));
		return;
	}
	conn->handshaking = false;
	smtp_tls_describe(conn->tls, description);
	call_begin(conn, &guard);
	conn->events->tls_started(conn->user, description);
	if (call_end(conn, &guard) && !conn->dead && !conn->lingering)
		go_on_reading(conn);
}

/* Until the peer has closed too, what it sends is thrown away: closing earlier with octets unread
 * would make a reset of it, and that can take our last reply from the peer's hands. */
static void discard(struct smtp_conn *conn)
{
	size_t cap;
	uint8_t *scratch = smtp_loop_scratch(conn->loop, &cap);
	ssize_t n = conn->eof ? 0 : recv(conn->fd, scratch, cap, MSG_DONTWAIT);

	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)))
		return;
	if (n < 0) {
		fail_errno(conn, errno);
		return;
	}
	conn->eof = true;
	if (watch(conn))
		tell_eof(conn);
}

static void on_io(void *user, unsigned events)
{
	struct smtp_conn *conn = user;

	if (conn->dead)
		return;
	if (conn->lingering) {
		discard(conn);
		return;
	}
	if (conn->handshaking) {
		continue_handshake(conn);
		return;
	}
	if (events & SMTP_IO_WRITE) {
		if (conn->read_needs_write)
			events |= SMTP_IO_READ;
		if (conn->write_waits && !conn->write_needs_read && !tell_drained(conn))
			return;
		if (conn->dead || conn->lingering || conn->handshaking)
			return;
	}
	if ((events & SMTP_IO_READ) && !conn->eof) {
		conn->paused = conn->kept.n > 0;
		if (!conn->paused) {
			if (conn->tls)
				read_tls(conn);
			else
				read_clear(conn);
			return;
		}
	}
	(void)watch(conn);
}

/* --- what others call ------------------------------------------------------------------------ */

int smtp_conn_new(struct smtp_conn **out, struct smtp_loop *loop, int fd,
		  const struct smtp_conn_events *events, void *user)
{
	struct smtp_conn *conn = calloc(1, sizeof *conn);
	int on = 1;
	int err;

	if (!conn)
		return SMTP_ENOMEM;
	conn->loop = loop;
	conn->events = events;
	conn->user = user;
	conn->fd = -1; /* the caller's until nothing can fail */
	smtp_buf_init(&conn->kept, KEPT_MAX);
	err = smtp_io_new(&conn->io, loop, fd, on_io, conn);
	if (!err)
		err = smtp_io_watch(conn->io, SMTP_IO_READ);
	if (err) {
		smtp_conn_free(conn);
		return err;
	}
	conn->fd = fd;
	/* A unix socket knows no delay in the first place. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	*out = conn;
	return 0;
}

void smtp_conn_free(struct smtp_conn *conn)
{
	if (!conn)
		return;
	if (conn->gone)
		*conn->gone = true;
	smtp_io_free(conn->io);
	smtp_tls_stream_free(conn->tls);
	smtp_buf_release(&conn->kept);
	if (conn->fd >= 0)
		(void)close(conn->fd);
	free(conn);
}

int smtp_conn_start_tls(struct smtp_conn *conn, struct smtp_tls_context *context, bool server,
			const char *name)
{
	int err;

	if (conn->tls || conn->dead || conn->lingering)
		return SMTP_ESTATE;
	if (conn->kept.n > 0 && !conn->in_received)
		return SMTP_EPROTO;
	err = smtp_tls_stream_new(&conn->tls, context, conn->fd, server ? NULL : name);
	if (err)
		return err;
	conn->handshaking = true;
	conn->handshake_events = SMTP_IO_READ;
	conn->paused = false;
	/* Not from within this call: the caller is not ready for `failed` here. */
	smtp_io_wake(conn->io, SMTP_IO_READ | SMTP_IO_WRITE);
	return smtp_io_watch(conn->io, wanted_events(conn));
}

static int write_clear(struct smtp_conn *conn, const uint8_t *octets, size_t count, size_t *n)
{
	while (*n < count) {
		ssize_t sent = send(conn->fd, octets + *n, count - *n,
				    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent >= 0) {
			*n += (size_t)sent;
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			return 0;
		} else if (errno != EINTR) {
			conn->problem = strerrordesc_np(errno);
			return error_of(errno);
		}
	}
	return 0;
}

static int write_tls(struct smtp_conn *conn, const uint8_t *octets, size_t count, size_t *n)
{
	while (*n < count) {
		size_t written;

		switch (smtp_tls_write(conn->tls, octets + *n, count - *n, &written)) {
		case SMTP_TLS_DONE:
			*n += written;
			break;
		case SMTP_TLS_WANTS_READ:
			conn->write_needs_read = true;
			return 0;
		case SMTP_TLS_WANTS_WRITE:
			return 0;
		default:
			return SMTP_ECLOSED;
		}
	}
	return 0;
}

int smtp_conn_write(struct smtp_conn *conn, const void *octets, size_t count, size_t *n)
{
	int err;

	*n = 0;
	if (conn->dead || conn->lingering)
		return SMTP_ECLOSED;
	if (conn->handshaking)
		return SMTP_ESTATE;
	conn->write_needs_read = false;
	err = conn->tls ? write_tls(conn, octets, count, n) : write_clear(conn, octets, count, n);
	if (err)
		return err;
	conn->write_waits = *n < count;
	return smtp_io_watch(conn->io, wanted_events(conn));
}

void smtp_conn_resume(struct smtp_conn *conn)
{
	if (conn->dead || conn->lingering || conn->handshaking)
		return;
	if (conn->in_received) {
		conn->resumed = true;
		return;
	}
	if (conn->kept.n > 0 && offer_kept(conn))
		go_on_reading(conn);
}

void smtp_conn_shutdown(struct smtp_conn *conn)
{
	if (conn->dead || conn->lingering)
		return;
	if (conn->tls && !conn->handshaking)
		smtp_tls_shutdown(conn->tls);
	conn->lingering = true;
	if (!conn->in_received)
		smtp_buf_release(&conn->kept);
	(void)shutdown(conn->fd, SHUT_WR); /* not connected any more: the next read tells */
	if (smtp_io_watch(conn->io, wanted_events(conn)) != 0)
		conn->eof = true; /* nothing would be told of the socket any more */
	if (conn->eof)
		smtp_io_wake(conn->io, SMTP_IO_READ);
}

void smtp_conn_tls_details(const struct smtp_conn *conn, struct smtp_tls_details *out)
{
	smtp_tls_details(conn->tls, out);
}

const char *smtp_conn_problem(const struct smtp_conn *conn)
{
	if (conn->problem)
		return conn->problem;
	return conn->tls ? smtp_tls_problem(conn->tls) : "";
}

int smtp_conn_fd(const struct smtp_conn *conn)
{
	return conn->fd;
}

void smtp_conn_tls_channel(const struct smtp_conn *conn, struct smtp_tls_channel_store *store,
			   struct smtp_tls_channel *out)
{
	smtp_tls_channel(conn->tls, store, out);
}
