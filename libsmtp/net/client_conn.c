/* SPDX-License-Identifier: ISC */
/* client_conn.c - the life of a connection that drives a client session: options, begin, end, questions.
 * What happens on it is in client_attempt.c.
 */
#include "libsmtp/net/client_conn_private.h"
#include "libsmtp/net/client_login.h"
#include "libsmtp/net/idn.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	ADDRESSES_MAX = 64,
	CONNECT_TIMEOUT_MS = 30000,
	HANDSHAKE_TIMEOUT_MS = 30000
};

void smtp_client_conn_destroy(struct smtp_client_conn *c)
{
	if (c->timer)
		smtp_client_attempt_release(c);
	if (c->given_fd >= 0)
		(void)close(c->given_fd);
	smtp_timer_free(c->timer);
	smtp_client_failure_release(&c->ended);
	smtp_client_failure_release(&c->first_transient);
	smtp_tls_context_unref(c->tls);
	smtp_client_login_release(&c->options);
	free((void *)(uintptr_t)c->options.helo_name);
	free(c->tls_name);
	free(c->addresses);
	free(c);
}

static bool copy_text(const char **out, const char *text)
{
	*out = text ? strdup(text) : NULL;
	return !text || *out;
}

static int copy_options(struct smtp_client_conn *c, const struct smtp_client_conn_options *o)
{
	const char *tls_name;
	bool good;

	c->options = o->session;
	good = copy_text(&c->options.helo_name, o->session.helo_name);
	good = smtp_client_login_copy(&c->options, &o->session) == 0 && good;
	good = copy_text(&tls_name, o->tls_name) && good;
	c->tls_name = (char *)(uintptr_t)tls_name;
	c->addresses = calloc(o->address_count + 1, sizeof *c->addresses);
	if (!good || !c->addresses)
		return SMTP_ENOMEM;
	if (o->address_count > 0)
		memcpy(c->addresses, o->addresses, o->address_count * sizeof *c->addresses);
	c->address_count = o->address_count;
	if (!c->options.domain_to_ascii)
		c->options.domain_to_ascii = smtp_idn_to_ascii;
	if (o->tls)
		c->tls = smtp_tls_context_ref(o->tls);
	else if (c->options.tls == SMTP_CLIENT_TLS_OPPORTUNISTIC)
		c->options.tls = SMTP_CLIENT_TLS_NONE;
	c->connect_timeout_ms = o->connect_timeout_ms ? o->connect_timeout_ms : CONNECT_TIMEOUT_MS;
	c->handshake_timeout_ms = o->handshake_timeout_ms ? o->handshake_timeout_ms :
							    HANDSHAKE_TIMEOUT_MS;
	return 0;
}

/* Wrong options are told by the caller's new(), not by its first event. */
static int check_options(const struct smtp_client_conn_options *o)
{
	struct smtp_client_session *trial = NULL;
	int err;

	if (o->address_count > ADDRESSES_MAX || (o->address_count == 0) != o->has_fd ||
	    o->session.size != sizeof o->session)
		return SMTP_EINVAL;
	if (!o->tls && (o->session.tls == SMTP_CLIENT_TLS_IMPLICIT ||
			o->session.tls == SMTP_CLIENT_TLS_REQUIRED))
		return SMTP_EINVAL;
	err = smtp_client_session_new(&trial, &o->session, &smtp_client_attempt_events, NULL);
	smtp_client_session_free(trial);
	return err;
}

int smtp_client_conn_new(struct smtp_client_conn **out, struct smtp_loop *loop,
			 const struct smtp_client_conn_options *o,
			 const struct smtp_client_session_handler *handler, void *user)
{
	struct smtp_client_conn *c;
	int err = check_options(o);

	c = err ? NULL : calloc(1, sizeof *c);
	if (!c) {
		if (o->has_fd)
			(void)close(o->fd);
		return err ? err : SMTP_ENOMEM;
	}
	c->given_fd = o->has_fd ? o->fd : -1;
	c->loop = loop;
	c->handler = handler;
	c->user = user;
	c->fd = -1;
	err = copy_options(c, o);
	if (!err)
		err = smtp_timer_new(&c->timer, loop, smtp_client_attempt_timer, c);
	if (err) {
		smtp_client_conn_destroy(c);
		return err;
	}
	smtp_timer_set(c->timer, smtp_loop_now_ms(loop));
	*out = c;
	return 0;
}

void smtp_client_conn_free(struct smtp_client_conn *c)
{
	if (!c)
		return;
	c->free_asked = true;
	if (c->depth == 0)
		smtp_client_conn_destroy(c);
}

struct smtp_client_session *smtp_client_conn_session(struct smtp_client_conn *c)
{
	return c->phase == PHASE_TALK || c->phase == PHASE_OVER ? c->session : NULL;
}

void smtp_client_conn_push(struct smtp_client_conn *c)
{
	smtp_client_attempt_push(c);
}

const char *smtp_client_conn_peer(const struct smtp_client_conn *c)
{
	return c->peer;
}

const char *smtp_client_conn_tls(const struct smtp_client_conn *c)
{
	return c->tls_description;
}

const char *smtp_client_conn_problem(const struct smtp_client_conn *c)
{
	return c->problem;
}
