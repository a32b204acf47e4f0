/* SPDX-License-Identifier: ISC */
/* client.c - the life of the blocking client: each call gives the session its work and runs a private
 * loop until that is done, or the whole is cancelled.
 */
#include "libsmtp/net/client_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* --- running --------------------------------------------------------------------------------- */

int smtp_client_run(struct smtp_client *c, enum client_call call)
{
	int err = smtp_io_watch(c->cancel_io, SMTP_IO_READ);

	c->call = call;
	c->result = 0;
	c->ended = false;
	if (call != CLIENT_CALL_QUIT)
		smtp_timer_set(c->timer, c->deadline_ms);
	if (!err && c->conn && call != CLIENT_CALL_CONNECT)
		smtp_client_conn_push(c->conn);
	while (!err && c->call != CLIENT_CALL_NONE)
		err = smtp_loop_run(c->loop);
	smtp_timer_set(c->timer, UINT64_MAX);
	if (err || c->ended) {
		smtp_client_conn_free(c->conn);
		c->conn = NULL;
	}
	c->call = CLIENT_CALL_NONE;
	return err ? err : c->result;
}

/* Every call begins here. */
void smtp_client_forget(struct smtp_client *c)
{
	smtp_client_replies_free(c->replies);
	c->replies = NULL;
	c->last = (struct smtp_reply){ .code = 0 };
	c->deadline_ms = UINT64_MAX;
	if (c->options.timeout_ms > 0)
		c->deadline_ms = smtp_loop_now_ms(c->loop) + c->options.timeout_ms;
	c->problem[0] = '\0';
}

int smtp_client_begin(struct smtp_client *c)
{
	smtp_client_forget(c);
	if (c->conn)
		return 0;
	(void)snprintf(c->problem, sizeof c->problem, "%s: the connection is over", c->where);
	return SMTP_ECLOSED;
}

int smtp_client_refuse(struct smtp_client *c, int error, const char *what)
{
	(void)snprintf(c->problem, sizeof c->problem, "%s: %s: %s", c->where, what,
		       smtp_error_str(error));
	return error;
}

/* --- life ------------------------------------------------------------------------------------ */

static int client_init(struct smtp_client *c, const struct smtp_client_options *options)
{
	int err = smtp_client_options_copy(&c->options, options);

	if (!err)
		err = smtp_loop_new(&c->loop);
	if (!err)
		err = smtp_timer_new(&c->timer, c->loop, smtp_client_on_timer, c);
	if (err)
		return err;
	c->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->cancel_fd < 0)
		return errno == ENOMEM ? SMTP_ENOMEM : SMTP_EIO;
	return smtp_io_new(&c->cancel_io, c->loop, c->cancel_fd, smtp_client_on_cancel, c);
}

int smtp_client_new(struct smtp_client **out, const struct smtp_client_options *options)
{
	struct smtp_client *c;
	int err;

	if (!out)
		return SMTP_EINVAL;
	c = calloc(1, sizeof *c);
	if (!c)
		return SMTP_ENOMEM;
	c->cancel_fd = -1;
	err = client_init(c, options);
	if (err)
		smtp_client_free(c);
	else
		*out = c;
	return err;
}

int smtp_client_connect(struct smtp_client **out, const char *url,
			const struct smtp_client_options *options)
{
	int err = url ? smtp_client_new(out, options) : SMTP_EINVAL;

	return err ? err : smtp_client_open(*out, url);
}

void smtp_client_quit(struct smtp_client *c)
{
	if (!c || !c->conn)
		return;
	smtp_client_forget(c);
	smtp_client_session_quit(smtp_client_conn_session(c->conn));
	/* Nothing depends on how it ends: the conn is freed in any case. */
	(void)!smtp_client_run(c, CLIENT_CALL_QUIT);
	smtp_client_conn_free(c->conn);
	c->conn = NULL;
}

void smtp_client_free(struct smtp_client *c)
{
	if (!c)
		return;
	smtp_client_quit(c);
	smtp_io_free(c->cancel_io);
	if (c->cancel_fd >= 0)
		(void)close(c->cancel_fd);
	smtp_timer_free(c->timer);
	smtp_loop_free(c->loop);
	smtp_client_replies_free(c->replies);
	smtp_client_replies_free(c->greeting);
	smtp_client_options_release(&c->options);
	free(c);
}

void smtp_client_cancel(struct smtp_client *c)
{
	const uint64_t one = 1;
	int kept = errno;

	/* It fails only when it was said very often already. */
	(void)!write(c->cancel_fd, &one, sizeof one);
	errno = kept;
}

/* --- questions -------------------------------------------------------------------------------- */

const struct smtp_extensions *smtp_client_extensions(const struct smtp_client *c)
{
	return &c->extensions;
}

bool smtp_client_has_extension(const struct smtp_client *c, const char *keyword,
			       struct smtp_span *params)
{
	return c->conn && smtp_client_session_has_extension(smtp_client_conn_session(c->conn), keyword,
							    params);
}

struct smtp_reply smtp_client_greeting(const struct smtp_client *c)
{
	return c->greeting ? c->greeting->reply : (struct smtp_reply){ .code = 0 };
}

struct smtp_reply smtp_client_last_reply(const struct smtp_client *c)
{
	return c->last;
}

const char *smtp_client_tls_description(const struct smtp_client *c)
{
	return c->tls;
}

const char *smtp_client_peer(const struct smtp_client *c)
{
	return c->peer;
}

const char *smtp_client_problem(const struct smtp_client *c)
{
	return c->problem;
}
