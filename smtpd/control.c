/* SPDX-License-Identifier: ISC */
/* control.c - serves the control socket: reads one request a connection, runs its action, answers. */
#include "smtpd/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <smtp/spool.h>
#include "libsmtp/core/span.h"
#include "libsmtp/net/listener.h"

enum { CONTROL_CLIENTS_MAX = 16, CONTROL_TIMEOUT_MS = 5000 };

struct client {
	struct control *control;
	struct smtp_io *io;
	struct smtp_timer *timer;
	struct client *next, **link;
	int fd;
	size_t n;
	char request[CONTROL_REQUEST_MAX];
};

struct control {
	struct smtp_loop *loop;
	struct smtp_listener *listener;
	struct control_actions actions;
	struct client *clients;
	unsigned client_count;
};

static void client_free(struct client *c)
{
	*c->link = c->next;
	if (c->next != NULL)
		c->next->link = c->link;
	c->control->client_count--;
	smtp_io_free(c->io);
	smtp_timer_free(c->timer);
	(void)close(c->fd);
	free(c);
}

/* ---- Requests ---- */

static int run_status(struct control *ctl, const char *id, struct smtp_buf *out)
{
	(void)id;
	return ctl->actions.status(out, ctl->actions.user);
}

static int run_reload(struct control *ctl, const char *id, struct smtp_buf *out)
{
	(void)id;
	return ctl->actions.reload(out, ctl->actions.user);
}

static int run_stop(struct control *ctl, const char *id, struct smtp_buf *out)
{
	(void)id;
	(void)out;
	return ctl->actions.stop(ctl->actions.user);
}

static int run_queue_retry(struct control *ctl, const char *id, struct smtp_buf *out)
{
	(void)out;
	return ctl->actions.queue_retry(id, ctl->actions.user);
}

static int run_queue_remove(struct control *ctl, const char *id, struct smtp_buf *out)
{
	(void)out;
	return ctl->actions.queue_remove(id, ctl->actions.user);
}

enum id_rule { NO_ID, ID_OPTIONAL, ID_REQUIRED };

static const struct request {
	const char *words;
	enum id_rule id;
	int (*run)(struct control *, const char *id, struct smtp_buf *out);
} requests[] = {
	{ "status", NO_ID, run_status },
	{ "reload", NO_ID, run_reload },
	{ "stop", NO_ID, run_stop },
	{ "queue retry", ID_OPTIONAL, run_queue_retry },
	{ "queue remove", ID_REQUIRED, run_queue_remove },
};

/** Does the line begin with these words? *id is what stands behind them, NULL if nothing. */
static bool matches(const struct request *r, const char *line, const char **id)
{
	size_t n = strlen(r->words);

	if (strncmp(line, r->words, n) != 0 || (line[n] != '\0' && line[n] != ' '))
		return false;
	*id = line[n] == ' ' ? line + n + 1 : NULL;
	return true;
}

static bool id_fits(const struct request *r, const char *id)
{
	if (id == NULL)
		return r->id != ID_REQUIRED;
	return r->id != NO_ID && smtp_queue_id_is_valid(id);
}

static int run_request(struct control *ctl, const char *line, struct smtp_buf *out)
{
	const char *id;
	size_t i;

	for (i = 0; i < sizeof requests / sizeof *requests; i++)
		if (matches(&requests[i], line, &id))
			return id_fits(&requests[i], id) ? requests[i].run(ctl, id, out) :
							   SMTP_EINVAL;
	return SMTP_ENOTSUP;
}

/** "ok" and the lines; or "error" and what the action said of it, or the error's own text. */
static int format_reply(struct smtp_buf *reply, int error, const struct smtp_buf *lines)
{
	int err = smtp_buf_append_text(reply, error == 0 ? "ok\n" : "error ");

	if (err == 0 && error != 0 && lines->n == 0)
		err = smtp_buf_append_text(reply, smtp_error_str(error));
	if (err == 0)
		err = smtp_buf_append_span(reply, smtp_buf_span(lines));
	return err == 0 && error != 0 ? smtp_buf_append_text(reply, "\n") : err;
}

static void send_reply(const struct client *c, int error, const struct smtp_buf *lines)
{
	struct smtp_buf reply;

	smtp_buf_init(&reply, CONTROL_REPLY_MAX + 256);
	if (format_reply(&reply, error, lines) == 0) {
		/* It fits into the socket's buffer; a client that is gone needs no answer. */
		ssize_t sent = send(c->fd, reply.p, reply.n, MSG_DONTWAIT | MSG_NOSIGNAL);

		(void)sent;
	}
	smtp_buf_release(&reply);
}

static void answer(struct client *c)
{
	struct smtp_buf lines;
	int err;

	smtp_buf_init(&lines, CONTROL_REPLY_MAX);
	err = run_request(c->control, c->request, &lines);
	send_reply(c, err, &lines);
	smtp_buf_release(&lines);
	client_free(c);
}

/* ---- Connections ---- */

static void client_readable(void *user, unsigned events)
{
	struct client *c = user;
	ssize_t n = recv(c->fd, c->request + c->n, sizeof c->request - 1 - c->n, MSG_DONTWAIT);
	char *end;

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_free(c);
		return;
	}
	c->n += (size_t)n;
	end = memchr(c->request, '\n', c->n);
	if (end != NULL) {
		*end = '\0';
		answer(c);
	} else if (c->n == sizeof c->request - 1) {
		client_free(c);
	}
}

static void client_timeout(void *user)
{
	client_free(user);
}

static void client_new(struct control *ctl, int fd)
{
	struct client *c = calloc(1, sizeof *c);

	if (c == NULL) {
		(void)close(fd);
		return;
	}
	c->control = ctl;
	c->fd = fd;
	c->next = ctl->clients;
	c->link = &ctl->clients;
	if (c->next != NULL)
		c->next->link = &c->next;
	ctl->clients = c;
	ctl->client_count++;
	if (smtp_io_new(&c->io, ctl->loop, fd, client_readable, c) != 0 ||
	    smtp_timer_new(&c->timer, ctl->loop, client_timeout, c) != 0 ||
	    smtp_io_watch(c->io, SMTP_IO_READ) != 0) {
		client_free(c);
		return;
	}
	smtp_timer_set(c->timer, smtp_loop_now_ms(ctl->loop) + CONTROL_TIMEOUT_MS);
}

static void accepted(void *user, int fd, const struct smtp_socket_address *peer)
{
	struct control *ctl = user;

	(void)peer;
	if (ctl->client_count >= CONTROL_CLIENTS_MAX)
		(void)close(fd);
	else
		client_new(ctl, fd);
}

int control_new(struct control **out, struct smtp_loop *loop, int listen_fd,
		const struct control_actions *actions)
{
	struct control *ctl = calloc(1, sizeof *ctl);
	int err;

	if (ctl == NULL)
		return SMTP_ENOMEM;
	ctl->loop = loop;
	ctl->actions = *actions;
	err = smtp_listener_new(&ctl->listener, loop, listen_fd, accepted, ctl);
	if (err != 0) {
		control_free(ctl);
		return err;
	}
	*out = ctl;
	return 0;
}

void control_free(struct control *ctl)
{
	if (ctl == NULL)
		return;
	while (ctl->clients != NULL)
		client_free(ctl->clients);
	smtp_listener_free(ctl->listener);
	free(ctl);
}
