/* SPDX-License-Identifier: ISC */
/* client_mx.c - the blocking client's way to a mail domain: look-ups of its MX and their addresses, one
 * host after the other until one lets us in.
 */
#include "libsmtp/net/client_private.h"
#include "libsmtp/net/mx.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SMTP_PORT = 25 };

/* One question at a time, and its answer. */
struct look_up {
	struct smtp_client *client;
	struct smtp_resolver *resolver;
	struct smtp_mx_answer mx;
	struct smtp_host_answer host;
	char problem[SMTP_RESOLVER_PROBLEM_MAX];
};

static void got_mx(void *user, const struct smtp_mx_answer *answer)
{
	struct look_up *l = user;

	l->mx = *answer;
	(void)snprintf(l->problem, sizeof l->problem, "%s", answer->problem);
	smtp_client_done(l->client, 0);
}

static void got_host(void *user, const struct smtp_host_answer *answer)
{
	struct look_up *l = user;

	l->host = *answer;
	(void)snprintf(l->problem, sizeof l->problem, "%s", answer->problem);
	smtp_client_done(l->client, 0);
}

/* Runs until the answer is there, or the call is over. */
static int wait_for(struct look_up *l, struct smtp_dns_query *query)
{
	int err = smtp_client_run(l->client, CLIENT_CALL_LOOK_UP);

	if (err)
		smtp_dns_query_cancel(query);
	return err;
}

/* What the domain says of itself; without MX it stands for its own host (RFC 5321, 5.1). */
static int find_hosts(struct look_up *l, const char *domain)
{
	struct smtp_dns_query *query = NULL;
	int err = smtp_resolver_mx(l->resolver, domain, got_mx, l, &query);

	if (!err)
		err = wait_for(l, query);
	if (err)
		return l->client->problem[0] != '\0' ?
			       err : smtp_client_say(l->client, err, smtp_error_str(err));
	switch (l->mx.status) {
	case SMTP_DNS_OK:
		return 0;
	case SMTP_DNS_NO_DATA:
		smtp_mx_keep(&l->mx, 0, domain);
		return 0;
	case SMTP_DNS_NULL_MX:
		return smtp_client_say(l->client, SMTP_EREFUSED, "the domain takes no mail");
	case SMTP_DNS_NO_NAME:
		return smtp_client_say(l->client, SMTP_ERESOLVE, "there is no domain of that name");
	case SMTP_DNS_TEMPORARY:
		break;
	}
	return smtp_client_say(l->client, SMTP_ERESOLVE, l->problem);
}

static int find_addresses(struct look_up *l, const char *host, uint16_t port)
{
	struct smtp_dns_query *query = NULL;
	int err = smtp_resolver_host(l->resolver, host, got_host, l, &query);

	if (!err)
		err = wait_for(l, query);
	if (err)
		return l->client->problem[0] != '\0' ?
			       err : smtp_client_say(l->client, err, smtp_error_str(err));
	if (l->host.status != SMTP_DNS_OK)
		return smtp_client_say(l->client, SMTP_ERESOLVE,
				       l->problem[0] != '\0' ? l->problem :
								"the host has no address");
	for (size_t i = 0; i < l->host.count; i++)
		smtp_socket_address_set_port(&l->host.addresses[i], port);
	return 0;
}

static int try_host(struct look_up *l, const char *host, uint16_t port)
{
	struct client_target target = { .tls = SMTP_CLIENT_TLS_OPPORTUNISTIC };
	struct smtp_client_conn_options o = { .addresses = l->host.addresses };
	int err;

	smtp_client_set_where(l->client, host, port);
	l->client->problem[0] = '\0';
	err = find_addresses(l, host, port);
	if (err)
		return err;
	(void)snprintf(target.host, sizeof target.host, "%s", host);
	o.address_count = l->host.count;
	return smtp_client_open_with(l->client, &target, &o);
}

/* Another host can't help against these. */
static bool is_final(int error)
{
	return error == 0 || error == SMTP_ECANCELED || error == SMTP_EINVAL ||
	       error == SMTP_ENOMEM || error == SMTP_EACCESS;
}

static int try_hosts(struct look_up *l, uint16_t port)
{
	int err = SMTP_ERESOLVE;

	for (size_t i = 0; i < l->mx.count; i++) {
		err = try_host(l, l->mx.hosts[i].name, port);
		if (is_final(err))
			break;
	}
	return err;
}

static int open_domain(struct look_up *l, const char *domain, uint16_t port)
{
	const struct smtp_resolver_options options = { .server = l->client->options.resolver ?
							       l->client->options.resolver : "system" };
	int err = smtp_resolver_new(&l->resolver, l->client->loop, &options, l->problem);

	if (err)
		return smtp_client_say(l->client, err, l->problem);
	err = find_hosts(l, domain);
	if (!err)
		err = try_hosts(l, port);
	smtp_resolver_free(l->resolver);
	return err;
}

int smtp_client_open_mx(struct smtp_client *c, const char *domain, uint16_t port)
{
	struct look_up *l;
	int err = c && domain ? smtp_client_open_begin(c) : SMTP_EINVAL;

	if (err)
		return err;
	(void)snprintf(c->where, sizeof c->where, "%.255s", domain);
	if (!smtp_domain_is_valid(smtp_span_of(domain)))
		return smtp_client_say(c, SMTP_EINVAL, "this is no domain");
	if (c->options.user || c->options.token)
		return smtp_client_say(c, SMTP_EINVAL, "there is no login at the hosts of a domain");
	l = calloc(1, sizeof *l);
	if (!l)
		return smtp_client_say(c, SMTP_ENOMEM, smtp_error_str(SMTP_ENOMEM));
	l->client = c;
	err = open_domain(l, domain, port ? port : SMTP_PORT);
	free(l);
	return err;
}
