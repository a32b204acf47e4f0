/* SPDX-License-Identifier: ISC */
/* The blocking client: each call gives the session its work and runs a private loop until that is done.
 * How a session is set up is in client_connect.c.
 */
#include "libsmtp/core/buf.h"
#include "libsmtp/core/span.h"
#include "libsmtp/net/client_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_OCTETS = 4096 };

/* --- replies that are kept ------------------------------------------------------------------- */

static void replies_free(struct client_reply *list)
{
	while (list) {
		struct client_reply *next = list->next;

		free(list);
		list = next;
	}
}

/* Without memory for its text a reply is its code alone. */
static struct client_reply *reply_copy(const struct smtp_reply *reply)
{
	struct client_reply *kept = malloc(sizeof *kept + reply->text.n);

	if (!kept)
		return NULL;
	kept->next = NULL;
	kept->reply = *reply;
	if (reply->text.n > 0)
		memcpy(kept->text, reply->text.p, reply->text.n);
	kept->reply.text = smtp_span_make(kept->text, reply->text.n);
	return kept;
}

/* Until the next call. */
static struct smtp_reply keep(struct smtp_client *c, const struct smtp_reply *reply)
{
	struct client_reply *kept = reply_copy(reply);
	struct smtp_reply bare = { .code = reply->code, .enhanced = reply->enhanced };

	if (!kept)
		return bare;
	kept->next = c->replies;
	c->replies = kept;
	return kept->reply;
}

/* --- events ---------------------------------------------------------------------------------- */

/* What comes behind the end of a call, such as a lost connection, does not change its result. */
static void done(struct smtp_client *c, int result)
{
	if (c->call == CLIENT_CALL_NONE)
		return;
	c->call = CLIENT_CALL_NONE;
	c->result = result;
	smtp_loop_stop(c->loop);
}

static void note_conn(struct smtp_client *c)
{
	(void)snprintf(c->peer, sizeof c->peer, "%s", smtp_client_conn_peer(c->conn));
	(void)snprintf(c->tls, sizeof c->tls, "%s", smtp_client_conn_tls(c->conn));
}

static void on_ready(struct smtp_client_session *s, void *user)
{
	struct smtp_client *c = user;

	c->extensions = *smtp_client_session_extensions(s);
	note_conn(c);
	done(c, 0);
}

static void settle(struct smtp_client *c, size_t index, bool accepted, enum smtp_client_step step,
		   struct smtp_reply reply)
{
	if (index < c->result_count)
		c->results[index] = (struct smtp_client_result){ .accepted = accepted,
								 .step = step,
								 .reply = reply };
}

static void on_reply(struct smtp_client_session *s, enum smtp_client_step step, size_t index,
		     const struct smtp_reply *reply, void *user)
{
	struct smtp_client *c = user;

	(void)s;
	c->last = keep(c, reply);
	if (step == SMTP_STEP_GREETING) {
		replies_free(c->greeting);
		c->greeting = reply_copy(reply);
	} else if (step == SMTP_STEP_RCPT) {
		settle(c, index, smtp_reply_is_positive(reply), step, c->last);
	} else if (step == SMTP_STEP_COMMAND && c->call == CLIENT_CALL_COMMAND) {
		done(c, 0);
	}
}

/* Whose RCPT was refused has an answer of its own; what became of the message is the others'. */
static void settle_rest(struct smtp_client *c, enum smtp_client_step step,
			const struct smtp_reply *final, bool accepted)
{
	struct smtp_reply kept = final ? keep(c, final) : (struct smtp_reply){ .code = 0 };

	for (size_t i = 0; i < c->result_count; i++) {
		const struct smtp_client_result *r = &c->results[i];

		if (r->accepted || r->reply.code == 0)
			settle(c, i, accepted, step, kept);
	}
}

static void on_transaction_done(struct smtp_client_session *s, enum smtp_client_step step,
				const struct smtp_reply *final, void *user)
{
	struct smtp_client *c = user;

	(void)s;
	settle_rest(c, step, final, step == SMTP_STEP_END && smtp_reply_is_positive(final));
	if (c->call == CLIENT_CALL_SEND)
		done(c, 0);
}

static void on_failed(struct smtp_client_session *s, int error, enum smtp_client_step step,
		      const struct smtp_reply *reply, void *user)
{
	struct smtp_client *c = user;

	(void)s;
	c->ended = true;
	if (c->call == CLIENT_CALL_NONE)
		return;
	note_conn(c);
	if (reply)
		c->last = keep(c, reply);
	if (c->call == CLIENT_CALL_SEND)
		settle_rest(c, step, reply, false);
	(void)snprintf(c->problem, sizeof c->problem, "%s: %s", c->where,
		       smtp_client_conn_problem(c->conn));
	done(c, error);
}

static void on_finished(struct smtp_client_session *s, void *user)
{
	struct smtp_client *c = user;

	(void)s;
	c->ended = true;
	done(c, SMTP_ECLOSED);
}

static void on_trace(struct smtp_client_session *s, bool from_server, struct smtp_span line,
		     void *user)
{
	struct smtp_client *c = user;

	(void)s;
	if (c->options.trace)
		c->options.trace(from_server, line, c->options.trace_user);
}

const struct smtp_client_session_handler smtp_client_events = {
	.size = sizeof smtp_client_events,
	.ready = on_ready,
	.reply = on_reply,
	.transaction_done = on_transaction_done,
	.failed = on_failed,
	.finished = on_finished,
	.trace = on_trace,
};

static void on_timer(void *user)
{
	struct smtp_client *c = user;

	c->ended = true;
	note_conn(c);
	if (c->call == CLIENT_CALL_SEND)
		settle_rest(c, SMTP_STEP_END, NULL, false);
	(void)snprintf(c->problem, sizeof c->problem, "%s: not done after %u ms", c->where,
		       c->options.timeout_ms);
	done(c, SMTP_ETIMEDOUT);
}

/* --- running --------------------------------------------------------------------------------- */

int smtp_client_run(struct smtp_client *c, enum client_call call)
{
	int err = 0;

	c->call = call;
	c->result = 0;
	c->ended = false;
	if (c->options.timeout_ms > 0 && call != CLIENT_CALL_QUIT)
		smtp_timer_set(c->timer, smtp_loop_now_ms(c->loop) + c->options.timeout_ms);
	if (call != CLIENT_CALL_CONNECT)
		smtp_client_conn_push(c->conn);
	while (!err && c->call != CLIENT_CALL_NONE)
		err = smtp_loop_run(c->loop);
	smtp_timer_set(c->timer, UINT64_MAX);
	if (err || c->ended) {
		smtp_client_conn_free(c->conn);
		c->conn = NULL;
	}
	return err ? err : c->result;
}

/* Every call but connect begins here: what the last one lent out is over. */
static int begin_call(struct smtp_client *c)
{
	replies_free(c->replies);
	c->replies = NULL;
	c->last = (struct smtp_reply){ .code = 0 };
	c->problem[0] = '\0';
	if (c->conn)
		return 0;
	(void)snprintf(c->problem, sizeof c->problem, "%s: the connection is over", c->where);
	return SMTP_ECLOSED;
}

/* The session refused the work: it is as it was. */
static int refuse_work(struct smtp_client *c, int error, const char *what)
{
	(void)snprintf(c->problem, sizeof c->problem, "%s: %s: %s", c->where, what,
		       smtp_error_str(error));
	return error;
}

/* --- public ---------------------------------------------------------------------------------- */

void smtp_client_options_init(struct smtp_client_options *options)
{
	*options = (struct smtp_client_options)SMTP_CLIENT_OPTIONS_INIT;
}

/* A shorter struct of an older caller leaves the rest at its defaults. */
static int copy_options(struct smtp_client_options *out, const struct smtp_client_options *in)
{
	smtp_client_options_init(out);
	if (!in)
		return 0;
	if (in->size < sizeof in->size || in->size > sizeof *out)
		return SMTP_EINVAL;
	memcpy(out, in, in->size);
	return 0;
}

int smtp_client_connect(struct smtp_client **out, const char *url,
			const struct smtp_client_options *options)
{
	struct smtp_client *c;
	int err;

	if (!out || !url)
		return SMTP_EINVAL;
	c = calloc(1, sizeof *c);
	if (!c)
		return SMTP_ENOMEM;
	err = smtp_loop_new(&c->loop);
	if (!err)
		err = smtp_timer_new(&c->timer, c->loop, on_timer, c);
	if (err) {
		smtp_client_free(c);
		return err;
	}
	*out = c;
	err = copy_options(&c->options, options);
	if (err)
		(void)snprintf(c->problem, sizeof c->problem, "options: %s", smtp_error_str(err));
	else
		err = smtp_client_open(c, url);
	c->options.password = c->options.user = c->options.helo_name = c->options.ca_file = NULL;
	c->options.token = NULL;
	return err;
}

void smtp_client_free(struct smtp_client *c)
{
	if (!c)
		return;
	if (c->conn) {
		smtp_client_session_quit(smtp_client_conn_session(c->conn));
		/* Nothing depends on how it ends: the conn is freed in any case. */
		if (smtp_client_run(c, CLIENT_CALL_QUIT) == 0)
			smtp_client_conn_free(c->conn);
		c->conn = NULL;
	}
	smtp_client_conn_free(c->conn);
	smtp_timer_free(c->timer);
	smtp_loop_free(c->loop);
	replies_free(c->replies);
	replies_free(c->greeting);
	free(c);
}

int smtp_client_send(struct smtp_client *c, const struct smtp_client_transaction *txn,
		     struct smtp_client_result *results)
{
	int err = begin_call(c);

	if (err)
		return err;
	if (!txn || !results)
		return refuse_work(c, SMTP_EINVAL, "message");
	err = smtp_client_session_mail(smtp_client_conn_session(c->conn), txn);
	if (err)
		return refuse_work(c, err, "message");
	memset(results, 0, txn->forward_path_count * sizeof *results);
	c->results = results;
	c->result_count = txn->forward_path_count;
	err = smtp_client_run(c, CLIENT_CALL_SEND);
	c->results = NULL;
	c->result_count = 0;
	return err;
}

static int run_command(struct smtp_client *c, struct smtp_span line, struct smtp_reply *reply)
{
	int err = begin_call(c);

	if (err)
		return err;
	err = smtp_client_session_command(smtp_client_conn_session(c->conn), line);
	if (err)
		return refuse_work(c, err, "command");
	err = smtp_client_run(c, CLIENT_CALL_COMMAND);
	if (!err)
		*reply = c->last;
	return err;
}

int smtp_client_command(struct smtp_client *c, const char *line, struct smtp_reply *reply)
{
	return run_command(c, smtp_span_of(line), reply);
}

static int run_verb(struct smtp_client *c, const char *verb, const char *argument,
		    struct smtp_reply *reply)
{
	struct smtp_buf line;
	int err;

	smtp_buf_init(&line, LINE_MAX_OCTETS);
	err = smtp_buf_append_text(&line, verb);
	if (!err && argument && argument[0] != '\0')
		err = smtp_buf_append_text(&line, " ");
	if (!err && argument)
		err = smtp_buf_append_text(&line, argument);
	if (err)
		err = refuse_work(c, err, verb);
	else
		err = run_command(c, smtp_buf_span(&line), reply);
	smtp_buf_release(&line);
	return err;
}

int smtp_client_verify(struct smtp_client *c, const char *text, struct smtp_reply *reply)
{
	return run_verb(c, "VRFY", text, reply);
}

int smtp_client_expand(struct smtp_client *c, const char *list, struct smtp_reply *reply)
{
	return run_verb(c, "EXPN", list, reply);
}

int smtp_client_help(struct smtp_client *c, const char *topic, struct smtp_reply *reply)
{
	return run_verb(c, "HELP", topic, reply);
}

const struct smtp_extensions *smtp_client_extensions(const struct smtp_client *c)
{
	return &c->extensions;
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
