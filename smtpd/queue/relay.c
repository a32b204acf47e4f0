/* SPDX-License-Identifier: ISC */
/* relay.c - next hops, the lines of transactions before them, and how many sessions serve them. First
 * come, first served; a next hop that can't be reached gives its reason to all that wait for it.
 */
#include "smtpd/queue/relay_session.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/log.h"

enum { RELAY_PASSWORD_MAX = 1024 };

/* ---- transactions ---- */

struct relay_transaction *relay_transaction_new(struct attempt *a, struct delivery **deliveries,
						size_t count)
{
	struct relay_transaction *txn = calloc(1, sizeof *txn);

	if (!txn)
		return NULL;
	txn->deliveries = calloc(count, sizeof *txn->deliveries);
	if (!txn->deliveries) {
		free(txn);
		return NULL;
	}
	memcpy(txn->deliveries, deliveries, count * sizeof *deliveries);
	txn->count = count;
	txn->attempt = a;
	txn->relay = a->queue->relay;
	return txn;
}

static void release_content(struct relay_transaction *txn)
{
	if (txn->reader)
		smtp_spool_reader_close(txn->reader);
	txn->reader = NULL;
	free(txn->content);
	txn->content = NULL;
	txn->content_bytes = txn->read = 0;
}

void relay_transaction_free(struct relay_transaction *txn)
{
	if (!txn)
		return;
	release_content(txn);
	free(txn->deliveries);
	free(txn);
}

void relay_transaction_done(struct relay_transaction *txn)
{
	release_content(txn);
	txn->session = NULL;
	attempt_group_done(txn->attempt);
}

/* ---- content, on a worker ---- */

static int preload(struct relay_transaction *txn)
{
	size_t n;

	txn->content = malloc((size_t)txn->total_bytes + 1);
	if (!txn->content)
		return SMTP_ENOMEM;
	do {
		int err = smtp_spool_reader_read(txn->reader, txn->content + txn->content_bytes,
						 (size_t)txn->total_bytes + 1 - txn->content_bytes, &n);
		if (err != 0)
			return err;
		txn->content_bytes += n;
	} while (n > 0 && txn->content_bytes <= txn->total_bytes);
	return txn->content_bytes == txn->total_bytes ? 0 : SMTP_EIO;
}

/* The loop will read it then, from the cache of the system. */
static int read_once(struct relay_transaction *txn)
{
	uint8_t octets[65536];
	size_t n;
	int err;

	do {
		err = smtp_spool_reader_read(txn->reader, octets, sizeof octets, &n);
	} while (err == 0 && n > 0);
	smtp_spool_reader_rewind(txn->reader);
	return err;
}

static void load_run(struct smtp_work *work)
{
	struct relay_transaction *txn = (struct relay_transaction *)(void *)work;

	txn->error = smtp_spool_reader_open(txn->attempt->queue->spool, txn->attempt->item->id,
					    &txn->reader);
	if (txn->error != 0)
		return;
	txn->total_bytes = smtp_spool_reader_bytes(txn->reader);
	txn->error = txn->total_bytes <= RELAY_PRELOAD_MAX ? preload(txn) : read_once(txn);
}

/* ---- lines ---- */

static void next_hop_append(struct next_hop *next_hop, struct relay_transaction *txn)
{
	txn->next = NULL;
	*next_hop->end = txn;
	next_hop->end = &txn->next;
	next_hop->waiting++;
	next_hop->relay->waiting++;
}

struct relay_transaction *next_hop_take(struct next_hop *next_hop)
{
	struct relay_transaction *txn = next_hop->first;

	if (!txn)
		return NULL;
	next_hop->first = txn->next;
	if (!next_hop->first)
		next_hop->end = &next_hop->first;
	next_hop->waiting--;
	next_hop->relay->waiting--;
	return txn;
}

static size_t bucket_of(const char *key)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (; *key; key++)
		h = (h ^ (uint8_t)*key) * 16777619u;
	return h % RELAY_BUCKETS;
}

static struct next_hop *next_hop_find(struct relay *relay, const struct route *route)
{
	size_t bucket = bucket_of(route->key);
	struct next_hop *next_hop = relay->buckets[bucket];

	while (next_hop && strcmp(next_hop->route.key, route->key) != 0)
		next_hop = next_hop->next;
	if (next_hop)
		return next_hop;
	next_hop = calloc(1, sizeof *next_hop);
	if (!next_hop)
		return NULL;
	next_hop->relay = relay;
	next_hop->route = *route;
	next_hop->end = &next_hop->first;
	next_hop->limit = RELAY_NEXT_HOP_SESSIONS_MAX;
	next_hop->bucket = bucket;
	next_hop->next = relay->buckets[bucket];
	relay->buckets[bucket] = next_hop;
	return next_hop;
}

/* False when it is gone. */
static bool next_hop_keep(struct next_hop *next_hop)
{
	struct next_hop **at = &next_hop->relay->buckets[next_hop->bucket];

	if (next_hop->first || next_hop->sessions || next_hop->loading > 0)
		return true;
	while (*at != next_hop)
		at = &(*at)->next;
	*at = next_hop->next;
	free(next_hop);
	return false;
}

/* All that wait get the same outcome; NULL: none. */
static void next_hop_fail(struct next_hop *next_hop, const struct outcome *why)
{
	struct relay_transaction *txn;

	while ((txn = next_hop_take(next_hop)) != NULL) {
		for (size_t i = 0; why && i < txn->count; i++)
			outcome_copy(&txn->deliveries[i]->outcome, why);
		relay_transaction_done(txn);
	}
}

static struct relay_session *idle_session(struct next_hop *next_hop)
{
	struct relay_session *session = next_hop->sessions;

	while (session && session->state != SESSION_IDLE)
		session = session->next;
	return session;
}

static bool may_open(const struct next_hop *next_hop)
{
	return next_hop->waiting > next_hop->opening && next_hop->session_count < next_hop->limit &&
	       !next_hop->relay->queue->draining;
}

/* Serves the line with what there is, opens what there may be. False when the next hop is gone. */
static bool next_hop_pump(struct next_hop *next_hop)
{
	struct relay *relay = next_hop->relay;
	struct relay_session *session;

	next_hop->loading++; /* holds it: a session that ends at once comes back here */
	while (next_hop->first && (session = idle_session(next_hop)) != NULL)
		relay_session_serve(session);
	while (may_open(next_hop)) {
		if (relay->session_count >= RELAY_SESSIONS_MAX) {
			relay->saturated = true;
			break;
		}
		if (relay_session_open(next_hop) != 0) {
			if (next_hop->session_count == 0)
				next_hop_fail(next_hop, NULL); /* no memory: soon again */
			break;
		}
	}
	next_hop->loading--;
	return next_hop_keep(next_hop);
}

static void pump_all(struct relay *relay)
{
	relay->saturated = false;
	for (size_t i = 0; i < RELAY_BUCKETS; i++) {
		struct next_hop *next;

		for (struct next_hop *next_hop = relay->buckets[i]; next_hop; next_hop = next) {
			next = next_hop->next;
			(void)next_hop_pump(next_hop);
		}
	}
}

void next_hop_session_gone(struct next_hop *next_hop, const struct outcome *failure)
{
	struct relay *relay = next_hop->relay;

	if (failure) {
		next_hop->limit = next_hop->session_count > 0 ? next_hop->session_count : 1;
		if (next_hop->session_count == 0)
			next_hop_fail(next_hop, failure);
	}
	(void)next_hop_pump(next_hop);
	if (relay->saturated)
		pump_all(relay);
}

void relay_transaction_requeue(struct relay_transaction *txn, struct next_hop *next_hop)
{
	release_content(txn);
	txn->session = NULL;
	txn->requeued = true;
	if (next_hop->relay->queue->draining) {
		relay_transaction_done(txn);
		return;
	}
	txn->next = next_hop->first;
	if (!next_hop->first)
		next_hop->end = &txn->next;
	next_hop->first = txn;
	next_hop->waiting++;
	next_hop->relay->waiting++;
}

static void load_done(struct smtp_work *work)
{
	struct relay_transaction *txn = (struct relay_transaction *)(void *)work;
	struct next_hop *next_hop = txn->next_hop;

	if (!attempt_returns(txn->attempt))
		return;
	if (txn->session) {
		next_hop->loading--;
		relay_session_loaded(txn->session);
		return;
	}
	if (txn->deliveries[0]->outcome.kind == OUTCOME_NONE) /* the connection was lost meanwhile */
		relay_transaction_requeue(txn, next_hop);
	else
		relay_transaction_done(txn);
	next_hop->loading--; /* held it until here */
	(void)next_hop_pump(next_hop);
}

void relay_transaction_load(struct relay_transaction *txn)
{
	txn->next_hop = txn->session->next_hop;
	txn->next_hop->loading++;
	txn->work = (struct smtp_work){ .run = load_run, .done = load_done };
	attempt_submit(txn->attempt, &txn->work);
}

static bool is_crowded(const struct next_hop *next_hop)
{
	return next_hop->waiting >= RELAY_LINE_MAX ||
	       (next_hop->waiting > 0 && next_hop->relay->waiting >= RELAY_LINES_MAX);
}

/* A time of its own for each message that finds the line full: however many there are, they take
 * turns, and what they cost the rest of the queue is bounded. */
static int64_t crowd_slot(struct next_hop *next_hop)
{
	int64_t now_ms = queue_wall_ms(), first = now_ms + RELAY_CROWD_MS;
	bool moves = next_hop->moved_ms + 2 * RELAY_CROWD_MS >
		     smtp_loop_now_ms(next_hop->relay->queue->loop);

	if (next_hop->crowd_until_ms < first ||
	    next_hop->crowd_until_ms > now_ms + RELAY_CROWD_MAX_MS)
		next_hop->crowd_until_ms = first;
	next_hop->crowd_until_ms += moves ? RELAY_CROWD_STEP_MS : RELAY_CROWD_SLOW_MS;
	return next_hop->crowd_until_ms;
}

void relay_submit(struct relay *relay, struct relay_transaction *txn, const struct route *route)
{
	struct next_hop *next_hop = relay->queue->draining ? NULL : next_hop_find(relay, route);

	if (next_hop && is_crowded(next_hop))
		txn->attempt->crowded_ms = crowd_slot(next_hop);
	if (!next_hop || is_crowded(next_hop)) {
		relay_transaction_done(txn);
		return;
	}
	next_hop_append(next_hop, txn);
	(void)next_hop_pump(next_hop);
}

static void quit_sessions(struct next_hop *next_hop)
{
	struct relay_session *following;

	for (struct relay_session *session = next_hop->sessions; session; session = following) {
		following = session->next;
		relay_session_quit(session);
	}
}

void relay_drain(struct relay *relay)
{
	for (size_t i = 0; i < RELAY_BUCKETS; i++) {
		struct next_hop *next;

		for (struct next_hop *next_hop = relay->buckets[i]; next_hop; next_hop = next) {
			next = next_hop->next;
			next_hop_fail(next_hop, NULL);
			next_hop->loading++; /* holds it while its sessions go */
			quit_sessions(next_hop);
			next_hop->loading--;
			(void)next_hop_keep(next_hop);
		}
	}
}

/* ---- configuration ---- */

struct relay_retired {
	struct relay_retired *next;
	struct smtp_resolver *resolver;
};

static void forget_password(struct relay *relay)
{
	if (relay->password)
		sodium_memzero(relay->password, RELAY_PASSWORD_MAX + 1);
	free(relay->password);
	relay->password = NULL;
}

/* The first line of the file. */
static void read_password(struct relay *relay, const char *file)
{
	ssize_t n = -1;
	int fd;

	forget_password(relay);
	if (!file || !file[0])
		return;
	relay->password = calloc(1, RELAY_PASSWORD_MAX + 1);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (relay->password && fd >= 0)
		n = read(fd, relay->password, RELAY_PASSWORD_MAX);
	if (fd >= 0 && close(fd) != 0)
		n = -1;
	if (n <= 0) {
		log_event(LOG_LEVEL_ERROR, "relay.password", LOG_STR("reason", "can't be read"),
			  LOG_STR("file", file));
		forget_password(relay);
		return;
	}
	relay->password[strcspn(relay->password, "\r\n")] = '\0';
}

static int replace_text(char **to, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return SMTP_ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

static int open_resolver(struct relay *relay, const struct config *config)
{
	struct smtp_resolver_options options = { .server = config->dns_resolver };
	struct relay_retired *old = calloc(1, sizeof *old);
	char problem[SMTP_RESOLVER_PROBLEM_MAX] = "";
	struct smtp_resolver *resolver;
	int err;

	if (!old)
		return SMTP_ENOMEM;
	if (config->dns_trust_anchor && config->dns_trust_anchor[0])
		options.trust_anchor = config->dns_trust_anchor;
	err = smtp_resolver_new(&resolver, relay->queue->loop, &options, problem);
	if (err != 0) {
		log_event(LOG_LEVEL_ERROR, "config.reload", LOG_STR("reason", problem));
		free(old);
		return err;
	}
	old->resolver = relay->resolver; /* look-ups under way end with it */
	old->next = relay->retired;
	relay->retired = old;
	relay->resolver = resolver;
	err = replace_text(&relay->dns_resolver, config->dns_resolver);
	if (err == 0)
		err = replace_text(&relay->dns_trust_anchor,
				   options.trust_anchor ? options.trust_anchor : "");
	return err;
}

static bool has_same_dns(const struct relay *relay, const struct config *config)
{
	const char *anchor = config->dns_trust_anchor ? config->dns_trust_anchor : "";

	return relay->dns_resolver && relay->dns_trust_anchor &&
	       strcmp(relay->dns_resolver, config->dns_resolver) == 0 &&
	       strcmp(relay->dns_trust_anchor, anchor) == 0;
}

void relay_set_config(struct relay *relay)
{
	const struct config *config = relay->queue->config;

	read_password(relay, config->relay_password_file);
	if (!has_same_dns(relay, config) && open_resolver(relay, config) != 0)
		log_event(LOG_LEVEL_ERROR, "config.reload",
			  LOG_STR("reason", "the resolver stays as it was"));
}

static int open_tls(struct relay *relay)
{
	char problem[SMTP_TLS_PROBLEM_MAX] = "";
	int err = smtp_tls_client_context_new(&relay->tls_any, false, NULL, problem);

	if (err == 0)
		err = smtp_tls_client_context_new(&relay->tls_checked, true, NULL, problem);
	if (err != 0)
		log_event(LOG_LEVEL_ERROR, "tls.start", LOG_STR("reason", problem));
	return err;
}

int relay_new(struct relay **out, struct queue *q)
{
	struct relay *relay = calloc(1, sizeof *relay);
	int err;

	if (!relay)
		return SMTP_ENOMEM;
	relay->queue = q;
	relay->mx_port = ROUTE_SMTP_PORT;
	err = open_tls(relay);
	if (err == 0)
		err = open_resolver(relay, q->config);
	if (err != 0) {
		relay_free(relay);
		return err;
	}
	read_password(relay, q->config->relay_password_file);
	*out = relay;
	return 0;
}

static void free_next_hops(struct relay *relay)
{
	for (size_t i = 0; i < RELAY_BUCKETS; i++) {
		while (relay->buckets[i]) {
			struct next_hop *next_hop = relay->buckets[i];

			while (next_hop->sessions)
				relay_session_free(next_hop->sessions);
			relay->buckets[i] = next_hop->next;
			free(next_hop);
		}
	}
}

void relay_free(struct relay *relay)
{
	if (!relay)
		return;
	free_next_hops(relay);
	smtp_resolver_free(relay->resolver);
	while (relay->retired) {
		struct relay_retired *old = relay->retired;

		relay->retired = old->next;
		smtp_resolver_free(old->resolver);
		free(old);
	}
	smtp_tls_context_unref(relay->tls_any);
	smtp_tls_context_unref(relay->tls_checked);
	forget_password(relay);
	free(relay->dns_resolver);
	free(relay->dns_trust_anchor);
	free(relay);
}
