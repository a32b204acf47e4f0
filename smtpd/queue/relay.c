/* SPDX-License-Identifier: ISC */
/* relay.c - next hops, the lines of jobs before them, and how many connections serve them. First come,
 * first served; a hop that can't be reached gives its reason to all that wait for it.
 */
#include "smtpd/queue/relay_conn.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/log.h"

enum { RELAY_PASSWORD_MAX = 1024 };

/* ---- jobs ---- */

struct relay_job *relay_job_new(struct attempt *a, struct delivery **deliveries, size_t count)
{
	struct relay_job *job = calloc(1, sizeof *job);

	if (!job)
		return NULL;
	job->deliveries = calloc(count, sizeof *job->deliveries);
	if (!job->deliveries) {
		free(job);
		return NULL;
	}
	memcpy(job->deliveries, deliveries, count * sizeof *deliveries);
	job->count = count;
	job->attempt = a;
	job->relay = a->queue->relay;
	return job;
}

static void job_release_content(struct relay_job *job)
{
	if (job->reader)
		smtp_spool_reader_close(job->reader);
	job->reader = NULL;
	free(job->content);
	job->content = NULL;
	job->content_bytes = job->read = 0;
}

void relay_job_free(struct relay_job *job)
{
	if (!job)
		return;
	job_release_content(job);
	free(job->deliveries);
	free(job);
}

void relay_job_done(struct relay_job *job)
{
	job_release_content(job);
	job->conn = NULL;
	attempt_group_done(job->attempt);
}

/* ---- content, on a worker ---- */

static int preload(struct relay_job *job)
{
	size_t n;

	job->content = malloc((size_t)job->total_bytes + 1);
	if (!job->content)
		return SMTP_ENOMEM;
	do {
		int err = smtp_spool_reader_read(job->reader, job->content + job->content_bytes,
						 (size_t)job->total_bytes + 1 - job->content_bytes, &n);
		if (err != 0)
			return err;
		job->content_bytes += n;
	} while (n > 0 && job->content_bytes <= job->total_bytes);
	return job->content_bytes == job->total_bytes ? 0 : SMTP_EIO;
}

/* The loop will read it then, from the cache of the system. */
static int read_once(struct relay_job *job)
{
	uint8_t octets[65536];
	size_t n;
	int err;

	do {
		err = smtp_spool_reader_read(job->reader, octets, sizeof octets, &n);
	} while (err == 0 && n > 0);
	smtp_spool_reader_rewind(job->reader);
	return err;
}

static void load_run(struct smtp_work *work)
{
	struct relay_job *job = (struct relay_job *)(void *)work;

	job->error = smtp_spool_reader_open(job->attempt->queue->spool, job->attempt->item->id,
					    &job->reader);
	if (job->error != 0)
		return;
	job->total_bytes = smtp_spool_reader_bytes(job->reader);
	job->error = job->total_bytes <= RELAY_PRELOAD_MAX ? preload(job) : read_once(job);
}

/* ---- lines ---- */

static void hop_append(struct hop *hop, struct relay_job *job)
{
	job->next = NULL;
	*hop->end = job;
	hop->end = &job->next;
	hop->waiting++;
	hop->relay->waiting++;
}

struct relay_job *hop_take(struct hop *hop)
{
	struct relay_job *job = hop->first;

	if (!job)
		return NULL;
	hop->first = job->next;
	if (!hop->first)
		hop->end = &hop->first;
	hop->waiting--;
	hop->relay->waiting--;
	return job;
}

static size_t bucket_of(const char *key)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (; *key; key++)
		h = (h ^ (uint8_t)*key) * 16777619u;
	return h % RELAY_BUCKETS;
}

static struct hop *hop_find(struct relay *relay, const struct route *route)
{
	size_t bucket = bucket_of(route->key);
	struct hop *hop = relay->buckets[bucket];

	while (hop && strcmp(hop->route.key, route->key) != 0)
		hop = hop->next;
	if (hop)
		return hop;
	hop = calloc(1, sizeof *hop);
	if (!hop)
		return NULL;
	hop->relay = relay;
	hop->route = *route;
	hop->end = &hop->first;
	hop->limit = RELAY_HOP_CONNECTIONS_MAX;
	hop->bucket = bucket;
	hop->next = relay->buckets[bucket];
	relay->buckets[bucket] = hop;
	return hop;
}

/* False when it is gone. */
static bool hop_keep(struct hop *hop)
{
	struct hop **at = &hop->relay->buckets[hop->bucket];

	if (hop->first || hop->conns || hop->loading > 0)
		return true;
	while (*at != hop)
		at = &(*at)->next;
	*at = hop->next;
	free(hop);
	return false;
}

/* All that wait get the same outcome; NULL: none. */
static void hop_fail(struct hop *hop, const struct outcome *why)
{
	struct relay_job *job;

	while ((job = hop_take(hop)) != NULL) {
		for (size_t i = 0; why && i < job->count; i++)
			outcome_copy(&job->deliveries[i]->outcome, why);
		relay_job_done(job);
	}
}

static struct relay_conn *idle_conn(struct hop *hop)
{
	struct relay_conn *conn = hop->conns;

	while (conn && conn->state != CONN_IDLE)
		conn = conn->next;
	return conn;
}

static bool may_open(const struct hop *hop)
{
	return hop->waiting > hop->opening && hop->conn_count < hop->limit &&
	       !hop->relay->queue->draining;
}

/* Serves the line with what there is, opens what there may be. False when the hop is gone. */
static bool hop_pump(struct hop *hop)
{
	struct relay *relay = hop->relay;
	struct relay_conn *conn;

	while (hop->first && (conn = idle_conn(hop)) != NULL)
		relay_conn_serve(conn);
	while (may_open(hop)) {
		if (relay->conn_count >= RELAY_CONNECTIONS_MAX) {
			relay->saturated = true;
			break;
		}
		if (relay_conn_open(hop) != 0) {
			if (hop->conn_count == 0)
				hop_fail(hop, NULL); /* no memory: soon again */
			break;
		}
	}
	return hop_keep(hop);
}

static void pump_all(struct relay *relay)
{
	relay->saturated = false;
	for (size_t i = 0; i < RELAY_BUCKETS; i++) {
		struct hop *next;

		for (struct hop *hop = relay->buckets[i]; hop; hop = next) {
			next = hop->next;
			(void)hop_pump(hop);
		}
	}
}

void hop_conn_gone(struct hop *hop, const struct outcome *failure)
{
	struct relay *relay = hop->relay;

	if (failure) {
		hop->limit = hop->conn_count > 0 ? hop->conn_count : 1;
		if (hop->conn_count == 0)
			hop_fail(hop, failure);
	}
	(void)hop_pump(hop);
	if (relay->saturated)
		pump_all(relay);
}

void relay_job_requeue(struct relay_job *job, struct hop *hop)
{
	job_release_content(job);
	job->conn = NULL;
	job->requeued = true;
	if (hop->relay->queue->draining) {
		relay_job_done(job);
		return;
	}
	job->next = hop->first;
	if (!hop->first)
		hop->end = &job->next;
	hop->first = job;
	hop->waiting++;
	hop->relay->waiting++;
}

static void load_done(struct smtp_work *work)
{
	struct relay_job *job = (struct relay_job *)(void *)work;
	struct hop *hop = job->hop;

	if (!attempt_returns(job->attempt))
		return;
	if (job->conn) {
		hop->loading--;
		relay_conn_loaded(job->conn);
		return;
	}
	if (job->deliveries[0]->outcome.kind == OUTCOME_NONE) /* the connection was lost meanwhile */
		relay_job_requeue(job, hop);
	else
		relay_job_done(job);
	hop->loading--; /* held it until here */
	(void)hop_pump(hop);
}

void relay_job_load(struct relay_job *job)
{
	job->hop = job->conn->hop;
	job->hop->loading++;
	job->work = (struct smtp_work){ .run = load_run, .done = load_done };
	attempt_submit(job->attempt, &job->work);
}

static bool is_crowded(const struct hop *hop)
{
	return hop->waiting >= RELAY_LINE_MAX || (hop->waiting > 0 && hop->relay->waiting >= RELAY_LINES_MAX);
}

/* A time of its own for each message that finds the line full: however many there are, they take
 * turns, and what they cost the rest of the queue is bounded. */
static int64_t crowd_slot(struct hop *hop)
{
	int64_t now_ms = queue_wall_ms(), first = now_ms + RELAY_CROWD_MS;
	bool moves = hop->moved_ms + 2 * RELAY_CROWD_MS > smtp_loop_now_ms(hop->relay->queue->loop);

	if (hop->crowd_until_ms < first || hop->crowd_until_ms > now_ms + RELAY_CROWD_MAX_MS)
		hop->crowd_until_ms = first;
	hop->crowd_until_ms += moves ? RELAY_CROWD_STEP_MS : RELAY_CROWD_SLOW_MS;
	return hop->crowd_until_ms;
}

void relay_submit(struct relay *relay, struct relay_job *job, const struct route *route)
{
	struct hop *hop = relay->queue->draining ? NULL : hop_find(relay, route);

	if (hop && is_crowded(hop))
		job->attempt->crowded_ms = crowd_slot(hop);
	if (!hop || is_crowded(hop)) {
		relay_job_done(job);
		return;
	}
	hop_append(hop, job);
	(void)hop_pump(hop);
}

void relay_drain(struct relay *relay)
{
	for (size_t i = 0; i < RELAY_BUCKETS; i++) {
		struct hop *next;

		for (struct hop *hop = relay->buckets[i]; hop; hop = next) {
			struct relay_conn *conn_next;

			next = hop->next;
			hop_fail(hop, NULL);
			hop->loading++; /* holds it while its connections go */
			for (struct relay_conn *conn = hop->conns; conn; conn = conn_next) {
				conn_next = conn->next;
				relay_conn_quit(conn);
			}
			hop->loading--;
			(void)hop_keep(hop);
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

static void free_hops(struct relay *relay)
{
	for (size_t i = 0; i < RELAY_BUCKETS; i++) {
		while (relay->buckets[i]) {
			struct hop *hop = relay->buckets[i];

			while (hop->conns)
				relay_conn_free(hop->conns);
			relay->buckets[i] = hop->next;
			free(hop);
		}
	}
}

void relay_free(struct relay *relay)
{
	if (!relay)
		return;
	free_hops(relay);
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
