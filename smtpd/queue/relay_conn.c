/* SPDX-License-Identifier: ISC */
/* relay_conn.c - one connection to a next hop: finds its hosts and addresses, tries them in order, and
 * when one is ready takes job after job from the line. What replies mean for recipients is decided here.
 */
#include "smtpd/queue/relay_conn.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void next_address(struct relay_conn *conn);
static void next_host(struct relay_conn *conn);

/* ---- begin and end ---- */

void relay_conn_free(struct relay_conn *conn)
{
	struct hop *hop = conn->hop;
	struct relay_conn **at = &hop->conns;

	while (*at != conn)
		at = &(*at)->next;
	*at = conn->next;
	hop->conn_count--;
	hop->relay->conn_count--;
	hop->opening -= conn->state == CONN_OPENING;
	if (conn->query)
		smtp_dns_query_cancel(conn->query);
	smtp_client_conn_free(conn->client);
	smtp_timer_free(conn->idle_timer);
	outcome_release(&conn->failure);
	free(conn);
}

/* Frees it and tells the hop. */
static void conn_end(struct relay_conn *conn)
{
	struct hop *hop = conn->hop;

	relay_conn_free(conn);
	hop_conn_gone(hop, NULL);
}

/* No host of the hop could be used. */
static void give_up(struct relay_conn *conn)
{
	struct hop *hop = conn->hop;
	struct outcome failure = conn->failure;

	conn->failure = (struct outcome){ 0 };
	if (failure.kind == OUTCOME_NONE)
		outcome_set(&failure, OUTCOME_TRANSIENT, NULL, "4.4.1 no host of the domain could be tried");
	relay_conn_free(conn);
	hop_conn_gone(hop, &failure);
	outcome_release(&failure);
}

static void set_state(struct relay_conn *conn, enum relay_conn_state state)
{
	if (conn->state == CONN_OPENING && state != CONN_OPENING)
		conn->hop->opening--;
	conn->state = state;
}

void relay_conn_quit(struct relay_conn *conn)
{
	if (conn->state == CONN_OPENING) {
		conn_end(conn);
	} else if (conn->state == CONN_IDLE) {
		set_state(conn, CONN_QUITTING);
		smtp_client_session_quit(smtp_client_conn_session(conn->client));
		smtp_client_conn_push(conn->client);
	}
}

static void on_idle_timer(void *user)
{
	relay_conn_quit(user);
}

/* ---- why a host could not be used ---- */

/* Permanent only while every host so far said so: one that might take the mail later outweighs them. */
static void note_failure(struct relay_conn *conn, struct outcome *why)
{
	bool keep = conn->failure.kind == OUTCOME_TRANSIENT && why->kind == OUTCOME_PERMANENT;

	if (!keep)
		outcome_copy(&conn->failure, why);
	outcome_release(why);
}

static const char *host_name(const struct relay_conn *conn)
{
	return conn->host < conn->hosts.count ? conn->hosts.names[conn->host] : NULL;
}

static const char *code_of(int error)
{
	switch (error) {
	case SMTP_ETLS:
		return "4.7.5";
	case SMTP_EAUTH:
		return "4.7.8";
	case SMTP_ECONNECT:
		return "4.4.1";
	case SMTP_EPROTO:
	case SMTP_ENOTSUP:
		return "4.5.0";
	default:
		return "4.4.2";
	}
}

/* What ended a session, in one line. A host's own words come first when there are any. */
static void explain_end(const struct relay_conn *conn, struct outcome *out, int error,
			enum smtp_client_step step, const struct smtp_reply *reply)
{
	const char *problem = smtp_client_conn_problem(conn->client);
	char text[OUTCOME_TEXT_MAX + 1];

	if (reply && reply->code != 0) {
		outcome_set_reply(out, host_name(conn), reply);
		if (out->kind == OUTCOME_DELIVERED)
			out->kind = OUTCOME_TRANSIENT;
	} else {
		(void)snprintf(text, sizeof text, "%s %s (%s)%s%s", code_of(error), smtp_error_str(error),
			       smtp_client_step_str(step), problem[0] ? ": " : "", problem);
		outcome_set(out, OUTCOME_TRANSIENT, host_name(conn), text);
	}
	outcome_set_peer(out, smtp_client_conn_peer(conn->client));
}

static void note_text(struct relay_conn *conn, const char *text)
{
	struct outcome why = { 0 };

	outcome_set(&why, OUTCOME_TRANSIENT, host_name(conn), text);
	note_failure(conn, &why);
}

/* ---- transactions ---- */

/* Too many recipients is "try the rest later", though servers say it as 552 (RFC 5321, 4.5.3.1.10). */
static bool is_too_many(const struct smtp_reply *reply)
{
	const struct smtp_enhanced_code *e = &reply->enhanced;

	return reply->code == 552 && (e->class_ == 0 || (e->subject == 5 && e->detail == 3));
}

static void on_reply(struct smtp_client_session *session, enum smtp_client_step step, size_t index,
		     const struct smtp_reply *reply, void *user)
{
	struct relay_conn *conn = user;
	struct outcome *o;

	(void)session;
	if (step != SMTP_STEP_RCPT || !conn->job || index >= conn->job->count ||
	    smtp_reply_is_positive(reply))
		return;
	o = &conn->job->deliveries[index]->outcome;
	outcome_set_reply(o, host_name(conn), reply);
	if (is_too_many(reply))
		o->kind = OUTCOME_TRANSIENT;
	outcome_set_peer(o, smtp_client_conn_peer(conn->client));
}

/* Gives the recipients that have none yet their outcome, and the job back. */
static void end_job(struct relay_conn *conn, const struct outcome *why)
{
	struct relay_job *job = conn->job;

	conn->job = NULL;
	for (size_t i = 0; i < job->count; i++)
		if (job->deliveries[i]->outcome.kind == OUTCOME_NONE)
			outcome_copy(&job->deliveries[i]->outcome, why);
	relay_job_done(job);
}

static void on_transaction_done(struct smtp_client_session *session, enum smtp_client_step step,
				const struct smtp_reply *final, void *user)
{
	struct relay_conn *conn = user;
	struct outcome why = { 0 };

	(void)session;
	if (!conn->job)
		return;
	outcome_set_reply(&why, host_name(conn), final);
	if (why.kind == OUTCOME_DELIVERED && step != SMTP_STEP_END)
		why.kind = OUTCOME_TRANSIENT;
	outcome_set_peer(&why, smtp_client_conn_peer(conn->client));
	conn->messages++;
	conn->hop->moved_ms = smtp_loop_now_ms(conn->hop->relay->queue->loop);
	end_job(conn, &why);
	outcome_release(&why);
	relay_conn_serve(conn);
}

static int read_content(void *user, uint8_t *out, size_t cap, size_t *n)
{
	struct relay_job *job = user;
	size_t left = job->content_bytes - job->read;

	if (!job->content) {
		job->error = smtp_spool_reader_read(job->reader, out, cap, n);
		return job->error;
	}
	*n = left < cap ? left : cap;
	memcpy(out, job->content + job->read, *n);
	job->read += *n;
	return 0;
}

static int begin_transaction(struct relay_conn *conn)
{
	struct relay_job *job = conn->job;
	const struct smtp_queue_entry *e = job->attempt->entry;
	struct smtp_path reverse_path = { 0 };
	struct smtp_client_transaction txn = SMTP_CLIENT_TRANSACTION_INIT;
	struct smtp_path *forward_paths;
	int err;

	if (e->reverse_path[0] &&
	    smtp_mailbox_parse(&reverse_path.mailbox, smtp_span_of(e->reverse_path), 0) != 0)
		return SMTP_EINVAL;
	forward_paths = calloc(job->count, sizeof *forward_paths);
	if (!forward_paths)
		return SMTP_ENOMEM;
	for (size_t i = 0; i < job->count; i++)
		forward_paths[i].mailbox = job->deliveries[i]->mailbox;
	txn.reverse_path = &reverse_path;
	txn.forward_paths = forward_paths;
	txn.forward_path_count = job->count;
	txn.content_bytes = job->total_bytes;
	txn.body = e->body_8bitmime ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT;
	txn.content = (struct smtp_client_content){ .read = read_content, .user = job };
	err = smtp_client_session_mail(smtp_client_conn_session(conn->client), &txn);
	free(forward_paths);
	return err;
}

void relay_conn_loaded(struct relay_conn *conn)
{
	struct outcome why = { 0 };
	int err = conn->job->error;

	if (err == SMTP_ECORRUPT)
		conn->job->attempt->is_corrupt = true;
	else if (err != 0 && err != SMTP_ENOMEM)
		outcome_set(&why, OUTCOME_TRANSIENT, NULL, "4.3.0 the message can't be read now");
	if (err == 0) {
		set_state(conn, CONN_SENDING);
		err = begin_transaction(conn);
	}
	if (err == 0) {
		smtp_client_conn_push(conn->client);
		return;
	}
	if (conn->state == CONN_SENDING && (err == SMTP_EINVAL || err == SMTP_ESYNTAX))
		outcome_set(&why, OUTCOME_PERMANENT, NULL, "5.1.7 the addresses can't be sent");
	end_job(conn, &why); /* else without outcome: soon again */
	outcome_release(&why);
	relay_conn_serve(conn);
}

/* A job that came back because its used connection was closed under it has but one more try, which a new
 * connection is to get: some servers take one message on each. */
static bool is_spent(const struct relay_conn *conn)
{
	const struct relay_job *next = conn->hop->first;

	return conn->messages >= RELAY_MESSAGES_MAX || conn->hop->relay->queue->draining ||
	       (conn->messages > 0 && next && next->requeued);
}

void relay_conn_serve(struct relay_conn *conn)
{
	struct hop *hop = conn->hop;
	struct queue *q = hop->relay->queue;
	bool spent = is_spent(conn);

	set_state(conn, CONN_IDLE);
	conn->job = spent ? NULL : hop_take(hop);
	if (conn->job) {
		set_state(conn, CONN_LOADING);
		smtp_timer_set(conn->idle_timer, UINT64_MAX);
		conn->job->conn = conn;
		relay_job_load(conn->job);
	} else if (spent) {
		relay_conn_quit(conn);
	} else {
		smtp_timer_set(conn->idle_timer, smtp_loop_now_ms(q->loop) + RELAY_IDLE_MS);
	}
}

/* ---- the session begins and ends ---- */

static void on_ready(struct smtp_client_session *session, void *user)
{
	struct relay_conn *conn = user;

	(void)session;
	if (conn->hop->limit < RELAY_HOP_CONNECTIONS_MAX)
		conn->hop->limit++; /* it was lowered when one could not be opened */
	outcome_release(&conn->failure);
	relay_conn_serve(conn);
}

static void on_finished(struct smtp_client_session *session, void *user)
{
	(void)session;
	conn_end(user);
}

static bool is_tls_failure(int error, enum smtp_client_step step)
{
	return error == SMTP_ETLS || step == SMTP_STEP_TLS || step == SMTP_STEP_STARTTLS;
}

static bool needs_tls(const struct relay_conn *conn)
{
	const struct smtp_url *url = &conn->hop->route.url;

	return url->scheme == SMTP_URL_SMTPS || url->scheme == SMTP_URL_SMTP_STARTTLS || url->user[0];
}

/* Before any job: another address, another host; the same one in clear when only TLS failed. */
static void opening_failed(struct relay_conn *conn, int error, enum smtp_client_step step,
			   const struct smtp_reply *reply)
{
	bool is_refusal = step == SMTP_STEP_GREETING || step == SMTP_STEP_EHLO || step == SMTP_STEP_HELO;
	bool in_clear = !conn->in_clear && !needs_tls(conn) && is_tls_failure(error, step);
	struct outcome why = { 0 };

	explain_end(conn, &why, error, step, reply);
	if (why.kind == OUTCOME_PERMANENT && !is_refusal)
		why.kind = OUTCOME_TRANSIENT; /* a refused login is the operator's affair */
	smtp_client_conn_free(conn->client);
	conn->client = NULL;
	if (in_clear) {
		outcome_release(&why);
		conn->in_clear = true;
	} else {
		note_failure(conn, &why);
		conn->in_clear = false;
		conn->address++;
	}
	next_address(conn);
}

/* A server may close a connection that it finds idle just when it gets a job: another try, once. */
static bool is_stale(const struct relay_conn *conn, enum smtp_client_step step)
{
	return conn->messages > 0 && !conn->job->requeued && step <= SMTP_STEP_MAIL;
}

/* The content of its job is with a worker still: relay.c gives the job back, in line or with the outcome
 * that is set here. */
static void loading_failed(struct relay_conn *conn, int error, enum smtp_client_step step,
			   const struct smtp_reply *reply)
{
	struct relay_job *job = conn->job;
	struct outcome why = { 0 };

	if (!is_stale(conn, SMTP_STEP_MAIL)) {
		explain_end(conn, &why, error, step, reply);
		why.kind = OUTCOME_TRANSIENT;
		for (size_t i = 0; i < job->count; i++)
			outcome_copy(&job->deliveries[i]->outcome, &why);
		outcome_release(&why);
	}
	job->conn = NULL;
	conn->job = NULL;
}

static void sending_failed(struct relay_conn *conn, int error, enum smtp_client_step step,
			   const struct smtp_reply *reply)
{
	struct relay_job *job = conn->job;
	struct outcome why = { 0 };

	if (is_stale(conn, step)) {
		for (size_t i = 0; i < job->count; i++)
			outcome_release(&job->deliveries[i]->outcome);
		conn->job = NULL;
		relay_job_requeue(job, conn->hop);
		return;
	}
	if (job->error == SMTP_ECORRUPT)
		job->attempt->is_corrupt = true;
	explain_end(conn, &why, error, step, reply);
	why.kind = OUTCOME_TRANSIENT; /* also after the end of data: silence means try again */
	end_job(conn, &why);
	outcome_release(&why);
}

static void on_failed(struct smtp_client_session *session, int error, enum smtp_client_step step,
		      const struct smtp_reply *reply, void *user)
{
	struct relay_conn *conn = user;

	(void)session;
	if (conn->state == CONN_OPENING) {
		opening_failed(conn, error, step, reply);
		return;
	}
	if (conn->state == CONN_LOADING)
		loading_failed(conn, error, step, reply);
	else if (conn->state == CONN_SENDING)
		sending_failed(conn, error, step, reply);
	conn_end(conn);
}

static const struct smtp_client_session_handler handler = {
	.size = sizeof handler,
	.ready = on_ready,
	.reply = on_reply,
	.transaction_done = on_transaction_done,
	.failed = on_failed,
	.finished = on_finished,
};

/* ---- one address ---- */

static enum smtp_client_tls tls_mode(const struct relay_conn *conn)
{
	if (conn->hop->route.url.scheme == SMTP_URL_SMTPS)
		return SMTP_CLIENT_TLS_IMPLICIT;
	if (needs_tls(conn))
		return SMTP_CLIENT_TLS_REQUIRED;
	return conn->in_clear ? SMTP_CLIENT_TLS_NONE : SMTP_CLIENT_TLS_OPPORTUNISTIC;
}

static int connect_to(struct relay_conn *conn, const struct smtp_socket_address *address)
{
	const struct relay *relay = conn->hop->relay;
	const struct config *config = relay->queue->config;
	const struct smtp_url *url = &conn->hop->route.url;
	struct smtp_client_conn_options options = {
		.addresses = address, .address_count = 1,
		.tls = needs_tls(conn) ? relay->tls_checked : relay->tls_any,
		.tls_name = host_name(conn),
		.session = SMTP_CLIENT_SESSION_OPTIONS_INIT,
		.connect_timeout_ms = RELAY_CONNECT_TIMEOUT_MS,
		.handshake_timeout_ms = (uint32_t)config->handshake_timeout_ms };

	options.session.helo_name = config->hostname;
	options.session.tls = tls_mode(conn);
	if (url->user[0]) {
		options.session.user = url->user;
		options.session.password = relay->password;
	}
	return smtp_client_conn_new(&conn->client, relay->queue->loop, &options, &handler, conn);
}

static void set_port(struct smtp_socket_address *address, uint16_t port)
{
	if (address->u.any.sa_family == AF_INET6)
		address->u.in6.sin6_port = htons(port);
	else
		address->u.in.sin_port = htons(port);
}

static void next_address(struct relay_conn *conn)
{
	const struct hop *hop = conn->hop;
	struct smtp_socket_address address;

	if (conn->address >= conn->addresses.count) {
		conn->host++;
		next_host(conn);
		return;
	}
	if (hop->route.url.user[0] && !hop->relay->password)
		note_text(conn, "4.3.5 relay.password_file gives no password for the login");
	if (conn->tries++ >= RELAY_TRIES_MAX || (hop->route.url.user[0] && !hop->relay->password)) {
		give_up(conn);
		return;
	}
	address = conn->addresses.addresses[conn->address];
	set_port(&address, hop->route.is_mx ? hop->relay->mx_port : hop->route.url.port);
	if (connect_to(conn, &address) != 0) {
		note_text(conn, "4.3.0 no connection could be set up");
		give_up(conn);
	}
}

/* ---- hosts ---- */

static void on_host(void *user, const struct smtp_host_answer *answer)
{
	struct relay_conn *conn = user;
	struct outcome why = { 0 };

	conn->query = NULL;
	conn->address = 0;
	conn->in_clear = false;
	if (answer->status == SMTP_DNS_OK && answer->count > 0) {
		conn->addresses = *answer;
		conn->addresses.problem = NULL;
	} else {
		conn->addresses.count = 0;
		route_host_problem(&why, answer, conn->hosts.names[conn->host], conn->hop->route.is_mx,
				   conn->hosts.implicit);
		note_failure(conn, &why);
	}
	next_address(conn);
}

static void next_host(struct relay_conn *conn)
{
	if (conn->host >= conn->hosts.count) {
		give_up(conn);
		return;
	}
	if (smtp_resolver_host(conn->hop->relay->resolver, conn->hosts.names[conn->host], on_host, conn,
			       &conn->query) != 0) {
		note_text(conn, "4.4.3 the look-up could not be made");
		give_up(conn);
	}
}

static void on_mx(void *user, const struct smtp_mx_answer *answer)
{
	struct relay_conn *conn = user;
	const struct hop *hop = conn->hop;

	conn->query = NULL;
	if (route_hosts_from_mx(&conn->hosts, answer, hop->route.url.host,
				hop->relay->queue->config->hostname, &conn->failure))
		next_host(conn);
	else
		give_up(conn);
}

/* The route itself names the host: a URL, or an address literal instead of a domain. */
static int look_up_host(struct relay_conn *conn)
{
	conn->hosts.count = 1;
	conn->hosts.implicit = true;
	memcpy(conn->hosts.names[0], conn->hop->route.url.host, sizeof conn->hosts.names[0]);
	return smtp_resolver_host(conn->hop->relay->resolver, conn->hosts.names[0], on_host, conn,
				  &conn->query);
}

int relay_conn_open(struct hop *hop)
{
	struct relay *relay = hop->relay;
	struct relay_conn *conn = calloc(1, sizeof *conn);
	int err;

	if (!conn)
		return SMTP_ENOMEM;
	conn->hop = hop;
	conn->next = hop->conns;
	hop->conns = conn;
	hop->conn_count++;
	hop->opening++;
	relay->conn_count++;
	err = smtp_timer_new(&conn->idle_timer, relay->queue->loop, on_idle_timer, conn);
	if (err == 0 && hop->route.is_mx && hop->route.url.host[0] != '[')
		err = smtp_resolver_mx(relay->resolver, hop->route.url.host, on_mx, conn, &conn->query);
	else if (err == 0)
		err = look_up_host(conn);
	if (err != 0)
		relay_conn_free(conn);
	return err;
}
