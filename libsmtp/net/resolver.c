/* SPDX-License-Identifier: ISC */
/* MX and address look-ups on a loop: the adapter of libunbound, which resolves, validates and caches.
 * Each look-up has its own deadline here, since a dead server keeps libunbound busy for long. Reading
 * of the answers is in dns_message.c, the addresses of next hops are tried in client_conn.c.
 */
#include "libsmtp/net/resolver.h"
#include "libsmtp/core/span.h"
#include "libsmtp/net/dns_message.h"
#include "libsmtp/net/mx.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unbound-event.h>
#include <unbound.h>
#include <unistd.h>

enum { TIMEOUT_MS = 30000, LOOKUPS_MAX = 2, ADDRESSES_EACH = SMTP_HOST_ADDRESSES_MAX / LOOKUPS_MAX };

enum { CODE_OK = 0, CODE_SERVFAIL = 2, CODE_REFUSED = 5, SECURE_BOGUS = 1 };

struct smtp_resolver {
	struct smtp_loop *loop;
	struct ub_ctx *dns;
	/* With the hosts file, for addresses only: a domain that stands in it keeps its MX records. NULL
	 * unless the system's resolver is used. */
	struct ub_ctx *hosts;
	uint32_t timeout_ms;
	struct smtp_dns_query *queries;
};

/* One question to libunbound. */
struct lookup {
	struct smtp_dns_query *query;
	struct ub_ctx *ctx;
	uint16_t type;
	int id;
	bool pending;
	enum smtp_dns_status status;
	struct smtp_socket_address addresses[ADDRESSES_EACH];
	size_t address_count;
};

struct smtp_dns_query {
	struct smtp_resolver *resolver;
	struct smtp_dns_query *next, **at;
	struct smtp_timer *timer; /* the deadline, then the instant to call back */
	bool answered;
	struct lookup lookups[LOOKUPS_MAX]; /* MX alone, or AAAA and A */
	size_t lookup_count;
	void (*mx_done)(void *user, const struct smtp_mx_answer *answer);
	void (*host_done)(void *user, const struct smtp_host_answer *answer);
	void *user;
	char name[SMTP_DOMAIN_MAX + 1];
	char problem[SMTP_RESOLVER_PROBLEM_MAX];
	struct smtp_mx_answer mx;
};

/* --- set-up ---------------------------------------------------------------------------------- */

struct option {
	const char *name, *value;
};

/* A server on this machine is asked like any other, and one that was dead is tried again soon. */
static const struct option common_options[] = {
	{ "do-not-query-localhost:", "no" },
	{ "infra-host-ttl:", "60" },
	{ "infra-keep-probing:", "yes" },
};

/* A server that was chosen knows best about the names that libunbound would answer by itself (RFC
 * 6761); only localhost is never asked for. */
static const struct option forward_options[] = {
	{ "unblock-lan-zones:", "yes" },
	{ "local-zone:", "test. transparent" },
	{ "local-zone:", "invalid. transparent" },
	{ "local-zone:", "home.arpa. transparent" },
	{ "local-zone:", "localhost. transparent" },
	{ "local-data:", "localhost. A 127.0.0.1" },
	{ "local-data:", "localhost. AAAA ::1" },
};

static int set_options(struct ub_ctx *ctx, const struct option *options, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int err = ub_ctx_set_option(ctx, options[i].name, options[i].value);

		if (err != UB_NOERROR)
			return err;
	}
	return UB_NOERROR;
}

static int set_server(struct ub_ctx *ctx, const char *server)
{
	int err;

	if (strcmp(server, "recursive") == 0)
		return UB_NOERROR;
	err = set_options(ctx, forward_options, sizeof forward_options / sizeof *forward_options);
	if (err != UB_NOERROR)
		return err;
	if (strcmp(server, "system") != 0)
		return ub_ctx_set_fwd(ctx, server);
	err = ub_ctx_resolvconf(ctx, NULL);
	/* Without that file the C library asks the machine itself, and so do we. */
	return err == UB_READFILE ? ub_ctx_set_fwd(ctx, "127.0.0.1") : err;
}

static int set_up(struct ub_ctx *ctx, const struct smtp_resolver_options *o, char *problem)
{
	int err = ub_ctx_debugout(ctx, NULL); /* the library prints nothing */

	if (err == UB_NOERROR)
		err = set_options(ctx, common_options,
				  sizeof common_options / sizeof *common_options);
	if (err == UB_NOERROR)
		err = set_server(ctx, o->server);
	if (err != UB_NOERROR) {
		(void)snprintf(problem, SMTP_RESOLVER_PROBLEM_MAX,
			       "DNS server \"%.100s\": neither \"system\", \"recursive\" nor an "
			       "address such as 127.0.0.1@53 (%s)", o->server, ub_strerror(err));
		return SMTP_EINVAL;
	}
	if (o->trust_anchor && access(o->trust_anchor, R_OK) != 0) {
		(void)snprintf(problem, SMTP_RESOLVER_PROBLEM_MAX, "%.150s: %s", o->trust_anchor,
			       strerror(errno));
		return SMTP_EACCESS;
	}
	if (o->trust_anchor)
		err = ub_ctx_add_ta_file(ctx, o->trust_anchor);
	/* Removing what is not there makes libunbound read all of its settings now, not at the first
	 * look-up, when it would be too late to complain. */
	if (err == UB_NOERROR)
		err = ub_ctx_data_remove(ctx, "nothing.invalid.");
	if (err == UB_NOERROR)
		return 0;
	(void)snprintf(problem, SMTP_RESOLVER_PROBLEM_MAX, "resolver: %s%s%.100s", ub_strerror(err),
		       o->trust_anchor ? "; trust anchor " : "",
		       o->trust_anchor ? o->trust_anchor : "");
	return err == UB_NOMEM ? SMTP_ENOMEM : SMTP_EINVAL;
}

static int context_new(struct ub_ctx **out, struct smtp_loop *loop,
		       const struct smtp_resolver_options *o, bool hosts, char *problem)
{
	struct ub_ctx *ctx = ub_ctx_create_event(smtp_loop_event_base(loop));
	int err;

	if (!ctx) {
		(void)snprintf(problem, SMTP_RESOLVER_PROBLEM_MAX, "resolver: %s", strerror(errno));
		return SMTP_ENOMEM;
	}
	/* A missing hosts file is an empty one. */
	if (hosts && ub_ctx_hosts(ctx, NULL) == UB_NOMEM)
		err = SMTP_ENOMEM;
	else
		err = set_up(ctx, o, problem);
	if (err) {
		ub_ctx_delete(ctx);
		return err;
	}
	*out = ctx;
	return 0;
}

int smtp_resolver_new(struct smtp_resolver **out, struct smtp_loop *loop,
		      const struct smtp_resolver_options *o,
		      char problem[SMTP_RESOLVER_PROBLEM_MAX])
{
	struct smtp_resolver *r;
	int err;

	problem[0] = '\0';
	if (!o->server || sodium_init() < 0)
		return SMTP_EINVAL;
	r = calloc(1, sizeof *r);
	if (!r)
		return SMTP_ENOMEM;
	r->loop = loop;
	r->timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : TIMEOUT_MS;
	err = context_new(&r->dns, loop, o, false, problem);
	if (!err && strcmp(o->server, "system") == 0)
		err = context_new(&r->hosts, loop, o, true, problem);
	if (err) {
		smtp_resolver_free(r);
		return err;
	}
	*out = r;
	return 0;
}

void smtp_resolver_free(struct smtp_resolver *r)
{
	if (!r)
		return;
	while (r->queries)
		smtp_dns_query_cancel(r->queries);
	ub_ctx_delete(r->hosts);
	ub_ctx_delete(r->dns);
	free(r);
}

/* --- what came back -------------------------------------------------------------------------- */

static enum smtp_dns_status read_mx(struct lookup *l, struct smtp_dns_reader *rd)
{
	struct smtp_dns_query *q = l->query;
	char exchange[SMTP_DNS_NAME_TEXT_MAX + 1];
	struct smtp_dns_record record;
	size_t records = 0, roots = 0;
	uint16_t preference;
	int found;

	while ((found = smtp_dns_reader_next(rd, &record)) == 1) {
		if (smtp_dns_mx_read(rd, &record, &preference, exchange) != 0)
			return SMTP_DNS_TEMPORARY;
		records++;
		roots += exchange[0] == '\0';
		if (smtp_mx_host_is_valid(exchange))
			smtp_mx_keep(&q->mx, preference, exchange);
	}
	if (found < 0)
		return SMTP_DNS_TEMPORARY;
	if (records == 0)
		return SMTP_DNS_NO_DATA;
	if (roots == records)
		return SMTP_DNS_NULL_MX;
	if (q->mx.count > 0)
		return SMTP_DNS_OK;
	/* Not "no MX": then mail would go to the host itself, against RFC 5321, 5.1. */
	(void)snprintf(q->problem, sizeof q->problem, "%.100s: no MX record names a valid host",
		       q->name);
	return SMTP_DNS_TEMPORARY;
}

static enum smtp_dns_status read_addresses(struct lookup *l, struct smtp_dns_reader *rd)
{
	int family = l->type == SMTP_DNS_TYPE_AAAA ? AF_INET6 : AF_INET;
	size_t size = family == AF_INET6 ? sizeof(struct in6_addr) : sizeof(struct in_addr);
	struct smtp_dns_record record;
	int found;

	while ((found = smtp_dns_reader_next(rd, &record)) == 1) {
		if (record.data.n != size)
			return SMTP_DNS_TEMPORARY;
		if (l->address_count < ADDRESSES_EACH)
			smtp_socket_address_set(&l->addresses[l->address_count++], family, record.data.p);
	}
	if (found < 0)
		return SMTP_DNS_TEMPORARY;
	return l->address_count > 0 ? SMTP_DNS_OK : SMTP_DNS_NO_DATA;
}

static void say(struct lookup *l, const char *what)
{
	const char *type = l->type == SMTP_DNS_TYPE_MX ? "MX" :
			   l->type == SMTP_DNS_TYPE_AAAA ? "AAAA" : "A";

	(void)snprintf(l->query->problem, sizeof l->query->problem, "DNS, %.100s %s: %.100s",
		       l->query->name, type, what);
}

static enum smtp_dns_status refuse(struct lookup *l, int code)
{
	char text[40];

	(void)snprintf(text, sizeof text, "the server answered with code %d", code);
	say(l, code == CODE_SERVFAIL ? "the server failed (SERVFAIL)" :
	       code == CODE_REFUSED ? "the server refused (REFUSED)" : text);
	return SMTP_DNS_TEMPORARY;
}

/* libunbound tells a code of its own when it has no message, else the code is in there. */
static enum smtp_dns_status read_answer(struct lookup *l, struct smtp_span message)
{
	enum smtp_dns_status status = SMTP_DNS_TEMPORARY;
	struct smtp_dns_reader rd;

	if (smtp_dns_reader_init(&rd, message, l->type) == 0) {
		if (rd.code == SMTP_DNS_CODE_NO_NAME)
			return SMTP_DNS_NO_NAME;
		if (rd.code != CODE_OK)
			return refuse(l, (int)rd.code);
		status = l->type == SMTP_DNS_TYPE_MX ? read_mx(l, &rd) : read_addresses(l, &rd);
	}
	if (status == SMTP_DNS_TEMPORARY && l->query->problem[0] == '\0')
		say(l, "the answer can not be read");
	return status;
}

static void end_lookup(struct lookup *l, enum smtp_dns_status status)
{
	struct smtp_dns_query *q = l->query;

	l->pending = false;
	l->status = status;
	for (size_t i = 0; i < q->lookup_count; i++)
		if (q->lookups[i].pending)
			return;
	q->answered = true;
	smtp_timer_set(q->timer, smtp_loop_now_ms(q->resolver->loop));
}

/* May run within ub_resolve_event(), when the answer is in the cache: the callback of the look-up
 * waits for the timer. */
static void answered(void *user, int rcode, void *packet, int n, int secure, char *why_bogus,
		     int was_ratelimited)
{
	struct lookup *l = user;
	enum smtp_dns_status status = SMTP_DNS_TEMPORARY;

	(void)was_ratelimited;
	if (secure == SECURE_BOGUS)
		say(l, why_bogus ? why_bogus : "DNSSEC validation failed");
	else if (rcode == SMTP_DNS_CODE_NO_NAME)
		status = SMTP_DNS_NO_NAME;
	else if (rcode != CODE_OK || !packet || n < 0)
		status = refuse(l, rcode);
	else
		status = read_answer(l, smtp_span_make(packet, (size_t)n));
	end_lookup(l, status);
}

/* --- the answer to the caller ---------------------------------------------------------------- */

static void unlink_query(struct smtp_dns_query *q)
{
	if (!q->at)
		return;
	*q->at = q->next;
	if (q->next)
		q->next->at = q->at;
	q->at = NULL;
}

static void query_free(struct smtp_dns_query *q)
{
	unlink_query(q);
	smtp_timer_free(q->timer);
	free(q);
}

static void stop_lookups(struct smtp_dns_query *q)
{
	for (size_t i = 0; i < q->lookup_count; i++) {
		struct lookup *l = &q->lookups[i];

		if (!l->pending)
			continue;
		l->pending = false;
		l->status = SMTP_DNS_TEMPORARY;
		say(l, "no answer in time");
		/* Unknown only to a look-up that has ended, and those are not pending. */
		(void)ub_cancel(l->ctx, l->id);
	}
}

static void finish_mx(struct smtp_dns_query *q)
{
	q->mx.status = q->lookups[0].status;
	if (q->mx.status != SMTP_DNS_OK)
		q->mx.count = 0;
	q->mx.problem = q->mx.status == SMTP_DNS_TEMPORARY ? q->problem : "";
	smtp_mx_shuffle_equal(&q->mx);
	q->mx_done(q->user, &q->mx);
}

/* One family suffices; none at all is permanent only when both answers say so. */
static enum smtp_dns_status host_status(const struct smtp_dns_query *q)
{
	bool seen[SMTP_DNS_NULL_MX + 1] = { false };

	for (size_t i = 0; i < q->lookup_count; i++)
		seen[q->lookups[i].status] = true;
	if (seen[SMTP_DNS_OK])
		return SMTP_DNS_OK;
	if (seen[SMTP_DNS_TEMPORARY])
		return SMTP_DNS_TEMPORARY;
	return seen[SMTP_DNS_NO_DATA] ? SMTP_DNS_NO_DATA : SMTP_DNS_NO_NAME;
}

static void finish_host(struct smtp_dns_query *q)
{
	struct smtp_host_answer host = { .status = host_status(q), .problem = "" };

	if (host.status == SMTP_DNS_TEMPORARY)
		host.problem = q->problem;
	for (size_t i = 0; i < q->lookup_count; i++)
		for (size_t k = 0; k < q->lookups[i].address_count; k++)
			host.addresses[host.count++] = q->lookups[i].addresses[k];
	q->host_done(q->user, &host);
}

static void on_timer(void *user)
{
	struct smtp_dns_query *q = user;

	if (!q->answered)
		stop_lookups(q);
	/* Out of the list first: the callback may free the resolver. */
	unlink_query(q);
	if (q->mx_done)
		finish_mx(q);
	else
		finish_host(q);
	query_free(q);
}

/* --- questions ------------------------------------------------------------------------------- */

static int query_new(struct smtp_dns_query **out, struct smtp_resolver *r, const char *name,
		     void *user)
{
	struct smtp_dns_query *q;
	int err;

	if (strlen(name) > SMTP_DOMAIN_MAX)
		return SMTP_ETOOLONG;
	q = calloc(1, sizeof *q);
	if (!q)
		return SMTP_ENOMEM;
	err = smtp_timer_new(&q->timer, r->loop, on_timer, q);
	if (err) {
		free(q);
		return err;
	}
	q->resolver = r;
	q->user = user;
	(void)snprintf(q->name, sizeof q->name, "%s", name);
	q->next = r->queries;
	if (q->next)
		q->next->at = &q->next;
	q->at = &r->queries;
	r->queries = q;
	*out = q;
	return 0;
}

static void answer_without_dns(struct smtp_dns_query *q, enum smtp_dns_status status)
{
	q->lookups[0].status = status;
	q->lookup_count = 1;
	q->answered = true;
	smtp_timer_set(q->timer, smtp_loop_now_ms(q->resolver->loop));
}

/* A name that can not be asked for is one that does not exist. */
static void ask(struct lookup *l)
{
	int id = 0;
	int err = ub_resolve_event(l->ctx, l->query->name, l->type, SMTP_DNS_CLASS_IN, l, answered,
				   &id);

	if (err == UB_NOERROR) {
		l->id = id;
		return;
	}
	if (err != UB_SYNTAX)
		say(l, ub_strerror(err));
	end_lookup(l, err == UB_SYNTAX ? SMTP_DNS_NO_NAME : SMTP_DNS_TEMPORARY);
}

/* The deadline stands before the first question, whose answer may replace it at once. */
static void ask_all(struct smtp_dns_query *q, struct ub_ctx *ctx, const uint16_t *types, size_t n)
{
	struct smtp_resolver *r = q->resolver;

	smtp_timer_set(q->timer, smtp_loop_now_ms(r->loop) + r->timeout_ms);
	q->lookup_count = n;
	for (size_t i = 0; i < n; i++) {
		q->lookups[i].query = q;
		q->lookups[i].ctx = ctx;
		q->lookups[i].type = types[i];
		q->lookups[i].pending = true;
	}
	for (size_t i = 0; i < n; i++)
		ask(&q->lookups[i]);
}

int smtp_resolver_mx(struct smtp_resolver *r, const char *domain,
		     void (*done)(void *user, const struct smtp_mx_answer *), void *user,
		     struct smtp_dns_query **query)
{
	static const uint16_t types[] = { SMTP_DNS_TYPE_MX };
	struct smtp_socket_address ignored;
	struct smtp_dns_query *q;
	int err = query_new(&q, r, domain, user);

	if (err)
		return err;
	q->mx_done = done;
	if (smtp_socket_address_parse(&ignored, domain)) {
		smtp_mx_keep(&q->mx, 0, domain);
		answer_without_dns(q, SMTP_DNS_OK);
	} else {
		ask_all(q, r->dns, types, sizeof types / sizeof *types);
	}
	*query = q;
	return 0;
}

int smtp_resolver_host(struct smtp_resolver *r, const char *host,
		       void (*done)(void *user, const struct smtp_host_answer *), void *user,
		       struct smtp_dns_query **query)
{
	static const uint16_t types[] = { SMTP_DNS_TYPE_AAAA, SMTP_DNS_TYPE_A };
	struct smtp_dns_query *q;
	int err = query_new(&q, r, host, user);

	if (err)
		return err;
	q->host_done = done;
	if (smtp_socket_address_parse(&q->lookups[0].addresses[0], host)) {
		q->lookups[0].address_count = 1;
		answer_without_dns(q, SMTP_DNS_OK);
	} else {
		ask_all(q, r->hosts ? r->hosts : r->dns, types, sizeof types / sizeof *types);
	}
	*query = q;
	return 0;
}

void smtp_dns_query_cancel(struct smtp_dns_query *q)
{
	if (!q)
		return;
	stop_lookups(q);
	query_free(q);
}
