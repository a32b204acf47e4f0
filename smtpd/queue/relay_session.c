/* SPDX-License-Identifier: ISC */
/* relay_session.c - one session with a next hop: finds its hosts and addresses, tries them in order, and
 * when one is ready takes transaction after transaction from the line. What replies mean for recipients
 * is decided here.
 */
#include "smtpd/queue/relay_session.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void next_address(struct relay_session *session);
static void next_host(struct relay_session *session);

/* ---- begin and end ---- */

void relay_session_free(struct relay_session *session)
{
	struct next_hop *next_hop = session->next_hop;
	struct relay_session **at = &next_hop->sessions;

	while (*at != session)
		at = &(*at)->next;
	*at = session->next;
	next_hop->session_count--;
	next_hop->relay->session_count--;
	next_hop->opening -= session->state == SESSION_OPENING;
	if (session->query)
		smtp_dns_query_cancel(session->query);
	smtp_client_conn_free(session->client);
	smtp_timer_free(session->idle_timer);
	outcome_release(&session->failure);
	free(session);
}

/* Frees it and tells the next hop. */
static void end_session(struct relay_session *session)
{
	struct next_hop *next_hop = session->next_hop;

	relay_session_free(session);
	next_hop_session_gone(next_hop, NULL);
}

/* No host of the next hop could be used. */
static void give_up(struct relay_session *session)
{
	struct next_hop *next_hop = session->next_hop;
	struct outcome failure = session->failure;

	session->failure = (struct outcome){ 0 };
	if (failure.kind == OUTCOME_NONE)
		outcome_set(&failure, OUTCOME_TRANSIENT, NULL, "4.4.1 no host of the domain could be tried");
	relay_session_free(session);
	next_hop_session_gone(next_hop, &failure);
	outcome_release(&failure);
}

static void set_state(struct relay_session *session, enum relay_session_state state)
{
	if (session->state == SESSION_OPENING && state != SESSION_OPENING)
		session->next_hop->opening--;
	session->state = state;
}

void relay_session_quit(struct relay_session *session)
{
	if (session->state == SESSION_OPENING) {
		end_session(session);
	} else if (session->state == SESSION_IDLE) {
		set_state(session, SESSION_QUITTING);
		smtp_client_session_quit(smtp_client_conn_session(session->client));
		smtp_client_conn_push(session->client);
	}
}

static void on_idle_timer(void *user)
{
	relay_session_quit(user);
}

/* ---- why a host could not be used ---- */

/* Permanent only while every host so far said so: one that might take the mail later outweighs them. */
static void note_failure(struct relay_session *session, struct outcome *why)
{
	bool keep = session->failure.kind == OUTCOME_TRANSIENT && why->kind == OUTCOME_PERMANENT;

	if (!keep)
		outcome_copy(&session->failure, why);
	outcome_release(why);
}

static const char *host_name(const struct relay_session *session)
{
	return session->host < session->hosts.count ? session->hosts.names[session->host] : NULL;
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
static void explain_end(const struct relay_session *session, struct outcome *out, int error,
			enum smtp_client_step step, const struct smtp_reply *reply)
{
	const char *problem = smtp_client_conn_problem(session->client);
	char text[OUTCOME_TEXT_MAX + 1];

	if (reply && reply->code != 0) {
		outcome_set_reply(out, host_name(session), reply);
		if (out->kind == OUTCOME_DELIVERED)
			out->kind = OUTCOME_TRANSIENT;
	} else {
		(void)snprintf(text, sizeof text, "%s %s (%s)%s%s", code_of(error), smtp_error_str(error),
			       smtp_client_step_str(step), problem[0] ? ": " : "", problem);
		outcome_set(out, OUTCOME_TRANSIENT, host_name(session), text);
	}
	outcome_set_peer(out, smtp_client_conn_peer(session->client));
}

static void note_text(struct relay_session *session, const char *text)
{
	struct outcome why = { 0 };

	outcome_set(&why, OUTCOME_TRANSIENT, host_name(session), text);
	note_failure(session, &why);
}

/* ---- transactions ---- */

/* Too many recipients is "try the rest later", though servers say it as 552 (RFC 5321, 4.5.3.1.10). */
static bool is_too_many(const struct smtp_reply *reply)
{
	const struct smtp_enhanced_code *e = &reply->enhanced;

	return reply->code == 552 && (e->class_ == 0 || (e->subject == 5 && e->detail == 3));
}

static void on_reply(struct smtp_client_session *client, enum smtp_client_step step, size_t index,
		     const struct smtp_reply *reply, void *user)
{
	struct relay_session *session = user;
	struct outcome *o;

	(void)client;
	if (step != SMTP_STEP_RCPT || !session->txn || index >= session->txn->count ||
	    smtp_reply_is_positive(reply))
		return;
	o = &session->txn->deliveries[index]->outcome;
	outcome_set_reply(o, host_name(session), reply);
	if (is_too_many(reply))
		o->kind = OUTCOME_TRANSIENT;
	outcome_set_peer(o, smtp_client_conn_peer(session->client));
}

/* Gives the recipients that have none yet their outcome, and the transaction back. */
static void end_transaction(struct relay_session *session, const struct outcome *why)
{
	struct relay_transaction *txn = session->txn;

	session->txn = NULL;
	for (size_t i = 0; i < txn->count; i++)
		if (txn->deliveries[i]->outcome.kind == OUTCOME_NONE)
			outcome_copy(&txn->deliveries[i]->outcome, why);
	relay_transaction_done(txn);
}

static void on_transaction_done(struct smtp_client_session *client, enum smtp_client_step step,
				const struct smtp_reply *final, void *user)
{
	struct relay_session *session = user;
	struct outcome why = { 0 };

	(void)client;
	if (!session->txn)
		return;
	outcome_set_reply(&why, host_name(session), final);
	if (why.kind == OUTCOME_DELIVERED && step != SMTP_STEP_END)
		why.kind = OUTCOME_TRANSIENT;
	outcome_set_peer(&why, smtp_client_conn_peer(session->client));
	session->messages++;
	session->next_hop->moved_ms = smtp_loop_now_ms(session->next_hop->relay->queue->loop);
	end_transaction(session, &why);
	outcome_release(&why);
	relay_session_serve(session);
}

static int read_content(void *user, uint8_t *out, size_t cap, size_t *n)
{
	struct relay_transaction *txn = user;
	size_t left = txn->content_bytes - txn->read;

	if (!txn->content) {
		txn->error = smtp_spool_reader_read(txn->reader, out, cap, n);
		return txn->error;
	}
	*n = left < cap ? left : cap;
	memcpy(out, txn->content + txn->read, *n);
	txn->read += *n;
	return 0;
}

static int rewind_content(void *user)
{
	struct relay_transaction *txn = user;

	if (!txn->content)
		smtp_spool_reader_rewind(txn->reader);
	txn->read = 0;
	return 0;
}

static int begin_transaction(struct relay_session *session)
{
	struct relay_transaction *txn = session->txn;
	const struct smtp_queue_entry *e = txn->attempt->entry;
	struct smtp_path reverse_path = { 0 };
	struct smtp_client_transaction offer = SMTP_CLIENT_TRANSACTION_INIT;
	struct smtp_path *forward_paths;
	int err;

	if (e->reverse_path[0] &&
	    smtp_mailbox_parse(&reverse_path.mailbox, smtp_span_of(e->reverse_path), 0) != 0)
		return SMTP_EINVAL;
	forward_paths = calloc(txn->count, sizeof *forward_paths);
	if (!forward_paths)
		return SMTP_ENOMEM;
	for (size_t i = 0; i < txn->count; i++)
		forward_paths[i].mailbox = txn->deliveries[i]->mailbox;
	offer.reverse_path = &reverse_path;
	offer.forward_paths = forward_paths;
	offer.forward_path_count = txn->count;
	offer.content_bytes = txn->total_bytes;
	offer.body = e->body_8bitmime ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT;
	offer.content = (struct smtp_client_content){ read_content, txn, rewind_content };
	err = smtp_client_session_mail(smtp_client_conn_session(session->client), &offer);
	free(forward_paths);
	return err;
}

void relay_session_loaded(struct relay_session *session)
{
	struct outcome why = { 0 };
	int err = session->txn->error;

	if (err == SMTP_ECORRUPT)
		session->txn->attempt->is_corrupt = true;
	else if (err != 0 && err != SMTP_ENOMEM)
		outcome_set(&why, OUTCOME_TRANSIENT, NULL, "4.3.0 the message can't be read now");
	if (err == 0) {
		set_state(session, SESSION_SENDING);
		err = begin_transaction(session);
	}
	if (err == 0) {
		smtp_client_conn_push(session->client);
		return;
	}
	if (session->state == SESSION_SENDING && (err == SMTP_EINVAL || err == SMTP_ESYNTAX))
		outcome_set(&why, OUTCOME_PERMANENT, NULL, "5.1.7 the addresses can't be sent");
	end_transaction(session, &why); /* else without outcome: soon again */
	outcome_release(&why);
	relay_session_serve(session);
}

/* Our own limit, or the server's MAILMAX (RFC 9422). */
static uint64_t messages_max(const struct relay_session *session)
{
	struct smtp_client_session *client = smtp_client_conn_session(session->client);
	uint64_t max = smtp_client_session_extensions(client)->mail_max;

	return max > 0 && max < RELAY_MESSAGES_MAX ? max : RELAY_MESSAGES_MAX;
}

/* A transaction that came back because its used connection was closed under it has but one more try,
 * which a new connection is to get: some servers take one message on each. */
static bool is_spent(const struct relay_session *session)
{
	const struct relay_transaction *next = session->next_hop->first;

	return session->messages >= messages_max(session) ||
	       session->next_hop->relay->queue->draining ||
	       (session->messages > 0 && next && next->requeued);
}

void relay_session_serve(struct relay_session *session)
{
	struct next_hop *next_hop = session->next_hop;
	struct queue *q = next_hop->relay->queue;
	bool spent = is_spent(session);

	set_state(session, SESSION_IDLE);
	session->txn = spent ? NULL : next_hop_take(next_hop);
	if (session->txn) {
		set_state(session, SESSION_LOADING);
		smtp_timer_set(session->idle_timer, UINT64_MAX);
		session->txn->session = session;
		relay_transaction_load(session->txn);
	} else if (spent) {
		relay_session_quit(session);
	} else {
		smtp_timer_set(session->idle_timer, smtp_loop_now_ms(q->loop) + RELAY_IDLE_MS);
	}
}

/* ---- the session begins and ends ---- */

static void on_ready(struct smtp_client_session *client, void *user)
{
	struct relay_session *session = user;

	(void)client;
	if (session->next_hop->limit < RELAY_NEXT_HOP_SESSIONS_MAX)
		session->next_hop->limit++; /* it was lowered when one could not be opened */
	outcome_release(&session->failure);
	relay_session_serve(session);
}

static void on_finished(struct smtp_client_session *client, void *user)
{
	(void)client;
	end_session(user);
}

static bool is_tls_failure(int error, enum smtp_client_step step)
{
	return error == SMTP_ETLS || step == SMTP_STEP_TLS || step == SMTP_STEP_STARTTLS;
}

static bool needs_tls(const struct relay_session *session)
{
	const struct smtp_url *url = &session->next_hop->route.url;

	return url->scheme == SMTP_URL_SMTPS || url->scheme == SMTP_URL_SMTP_STARTTLS || url->user[0];
}

/* Before any transaction: another address, another host; the same one in clear when only TLS failed. */
static void opening_failed(struct relay_session *session, int error, enum smtp_client_step step,
			   const struct smtp_reply *reply)
{
	bool is_refusal = step == SMTP_STEP_GREETING || step == SMTP_STEP_EHLO || step == SMTP_STEP_HELO;
	bool in_clear = !session->in_clear && !needs_tls(session) && is_tls_failure(error, step);
	struct outcome why = { 0 };

	explain_end(session, &why, error, step, reply);
	if (why.kind == OUTCOME_PERMANENT && !is_refusal)
		why.kind = OUTCOME_TRANSIENT; /* a refused login is the operator's affair */
	smtp_client_conn_free(session->client);
	session->client = NULL;
	if (in_clear) {
		outcome_release(&why);
		session->in_clear = true;
	} else {
		note_failure(session, &why);
		session->in_clear = false;
		session->address++;
	}
	next_address(session);
}

/* A server may close a connection that it finds idle just when it gets a transaction: once more then. */
static bool is_stale(const struct relay_session *session, enum smtp_client_step step)
{
	return session->messages > 0 && !session->txn->requeued && step <= SMTP_STEP_MAIL;
}

/* The content of its transaction is with a worker still: relay.c gives the transaction back, in line or
 * with the outcome that is set here. */
static void loading_failed(struct relay_session *session, int error, enum smtp_client_step step,
			   const struct smtp_reply *reply)
{
	struct relay_transaction *txn = session->txn;
	struct outcome why = { 0 };

	if (!is_stale(session, SMTP_STEP_MAIL)) {
		explain_end(session, &why, error, step, reply);
		why.kind = OUTCOME_TRANSIENT;
		for (size_t i = 0; i < txn->count; i++)
			outcome_copy(&txn->deliveries[i]->outcome, &why);
		outcome_release(&why);
	}
	txn->session = NULL;
	session->txn = NULL;
}

static void sending_failed(struct relay_session *session, int error, enum smtp_client_step step,
			   const struct smtp_reply *reply)
{
	struct relay_transaction *txn = session->txn;
	struct outcome why = { 0 };

	if (is_stale(session, step)) {
		for (size_t i = 0; i < txn->count; i++)
			outcome_release(&txn->deliveries[i]->outcome);
		session->txn = NULL;
		relay_transaction_requeue(txn, session->next_hop);
		return;
	}
	if (txn->error == SMTP_ECORRUPT)
		txn->attempt->is_corrupt = true;
	explain_end(session, &why, error, step, reply);
	why.kind = OUTCOME_TRANSIENT; /* also after the end of data: silence means try again */
	end_transaction(session, &why);
	outcome_release(&why);
}

static void on_failed(struct smtp_client_session *client, int error, enum smtp_client_step step,
		      const struct smtp_reply *reply, void *user)
{
	struct relay_session *session = user;

	(void)client;
	if (session->state == SESSION_OPENING) {
		opening_failed(session, error, step, reply);
		return;
	}
	if (session->state == SESSION_LOADING)
		loading_failed(session, error, step, reply);
	else if (session->state == SESSION_SENDING)
		sending_failed(session, error, step, reply);
	end_session(session);
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

static enum smtp_client_tls tls_mode(const struct relay_session *session)
{
	if (session->next_hop->route.url.scheme == SMTP_URL_SMTPS)
		return SMTP_CLIENT_TLS_IMPLICIT;
	if (needs_tls(session))
		return SMTP_CLIENT_TLS_REQUIRED;
	return session->in_clear ? SMTP_CLIENT_TLS_NONE : SMTP_CLIENT_TLS_OPPORTUNISTIC;
}

static int connect_to(struct relay_session *session, const struct smtp_socket_address *address)
{
	const struct relay *relay = session->next_hop->relay;
	const struct config *config = relay->queue->config;
	const struct smtp_url *url = &session->next_hop->route.url;
	struct smtp_client_conn_options options = {
		.addresses = address, .address_count = 1,
		.tls = needs_tls(session) ? relay->tls_checked : relay->tls_any,
		.tls_name = host_name(session),
		.session = SMTP_CLIENT_SESSION_OPTIONS_INIT,
		.connect_timeout_ms = RELAY_CONNECT_TIMEOUT_MS,
		.handshake_timeout_ms = (uint32_t)config->handshake_timeout_ms };

	options.session.helo_name = config->hostname;
	options.session.tls = tls_mode(session);
	if (url->user[0]) {
		options.session.user = url->user;
		options.session.password = relay->password;
	}
	return smtp_client_conn_new(&session->client, relay->queue->loop, &options, &handler, session);
}

static void set_port(struct smtp_socket_address *address, uint16_t port)
{
	if (address->u.any.sa_family == AF_INET6)
		address->u.in6.sin6_port = htons(port);
	else
		address->u.in.sin_port = htons(port);
}

static void next_address(struct relay_session *session)
{
	const struct next_hop *next_hop = session->next_hop;
	struct smtp_socket_address address;

	if (session->address >= session->addresses.count) {
		session->host++;
		next_host(session);
		return;
	}
	if (next_hop->route.url.user[0] && !next_hop->relay->password)
		note_text(session, "4.3.5 relay.password_file gives no password for the login");
	if (session->tries++ >= RELAY_TRIES_MAX ||
	    (next_hop->route.url.user[0] && !next_hop->relay->password)) {
		give_up(session);
		return;
	}
	address = session->addresses.addresses[session->address];
	set_port(&address, next_hop->route.is_mx ? next_hop->relay->mx_port : next_hop->route.url.port);
	if (connect_to(session, &address) != 0) {
		note_text(session, "4.3.0 no connection could be set up");
		give_up(session);
	}
}

/* ---- hosts ---- */

static void on_host(void *user, const struct smtp_host_answer *answer)
{
	struct relay_session *session = user;
	const struct route *route = &session->next_hop->route;
	struct outcome why = { 0 };

	session->query = NULL;
	session->address = 0;
	session->in_clear = false;
	if (answer->status == SMTP_DNS_OK && answer->count > 0) {
		session->addresses = *answer;
		session->addresses.problem = NULL;
	} else {
		session->addresses.count = 0;
		route_host_problem(&why, answer, host_name(session),
				   route->is_mx && !route->is_given, session->hosts.implicit);
		note_failure(session, &why);
	}
	next_address(session);
}

static void next_host(struct relay_session *session)
{
	if (session->host >= session->hosts.count) {
		give_up(session);
		return;
	}
	if (smtp_resolver_host(session->next_hop->relay->resolver, host_name(session), on_host,
			       session, &session->query) != 0) {
		note_text(session, "4.4.3 the look-up could not be made");
		give_up(session);
	}
}

static void on_mx(void *user, const struct smtp_mx_answer *answer)
{
	struct relay_session *session = user;
	const struct next_hop *next_hop = session->next_hop;

	session->query = NULL;
	if (route_hosts_from_mx(&session->hosts, answer, next_hop->route.url.host,
				next_hop->relay->queue->config->hostname, &session->failure)) {
		next_host(session);
		return;
	}
	if (next_hop->route.is_given)
		route_failure_of_operator(&session->failure);
	give_up(session);
}

/* The route itself names the host: a URL, or an address literal instead of a domain. */
static int look_up_host(struct relay_session *session)
{
	const struct next_hop *next_hop = session->next_hop;

	session->hosts.count = 1;
	session->hosts.implicit = true;
	memcpy(session->hosts.names[0], next_hop->route.url.host, sizeof session->hosts.names[0]);
	return smtp_resolver_host(next_hop->relay->resolver, session->hosts.names[0], on_host,
				  session, &session->query);
}

int relay_session_open(struct next_hop *next_hop)
{
	struct relay *relay = next_hop->relay;
	struct relay_session *session = calloc(1, sizeof *session);
	int err;

	if (!session)
		return SMTP_ENOMEM;
	session->next_hop = next_hop;
	session->next = next_hop->sessions;
	next_hop->sessions = session;
	next_hop->session_count++;
	next_hop->opening++;
	relay->session_count++;
	err = smtp_timer_new(&session->idle_timer, relay->queue->loop, on_idle_timer, session);
	if (err == 0 && next_hop->route.is_mx && next_hop->route.url.host[0] != '[')
		err = smtp_resolver_mx(relay->resolver, next_hop->route.url.host, on_mx, session,
				       &session->query);
	else if (err == 0)
		err = look_up_host(session);
	if (err != 0)
		relay_session_free(session);
	return err;
}
