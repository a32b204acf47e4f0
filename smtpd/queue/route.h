/* SPDX-License-Identifier: ISC */
/* route.h - the next hop of a domain: which rule of the configuration holds, which hosts that means.
 * Worked out at each attempt, never stored.
 */
#ifndef SMTPD_QUEUE_ROUTE_H
#define SMTPD_QUEUE_ROUTE_H

#include <smtp/url.h>
#include "config/config.h"
#include "libsmtp/net/resolver.h"
#include "smtpd/queue/outcome.h"

enum { ROUTE_KEY_MAX = 1024, ROUTE_SMTP_PORT = 25 };

struct route {
	bool is_mx;
	bool is_given;                /* by a URL: what is wrong with it is the operator's affair */
	struct smtp_url url;          /* .host is the domain when is_mx */
	char key[ROUTE_KEY_MAX];      /* equal keys are one next hop */
};

/** The rule for a domain: a URL of relay.routes or relay.default, or "mx". Borrowed from the
 *  configuration. */
const char *route_rule(const struct config *, const char *domain);
/** SMTP_ENOTSUP for a scheme that mail can't be relayed by, SMTP_ESYNTAX, SMTP_ETOOLONG. */
SMTP_MUST_USE int route_parse(struct route *out, const char *rule, const char *domain);

struct route_hosts {
	size_t count;
	bool implicit; /* no MX: the domain itself */
	char names[SMTP_MX_MAX][SMTP_DOMAIN_MAX + 1];
};

/** Makes a failure transient: the mail waits until the operator has mended his route. */
void route_failure_of_operator(struct outcome *why);
/** Hosts of an MX route from the answer of the DNS, best first. False: there are none to try, *why says
 *  what that means for the mail. `own_name` among them ends the list (RFC 5321, 5.1). */
bool route_hosts_from_mx(struct route_hosts *out, const struct smtp_mx_answer *, const char *domain,
			 const char *own_name, struct outcome *why);
/** What it means that a host has no address. `is_mx`: the domain's own DNS says so; a host by the URL
 *  of a route never fails mail. */
void route_host_problem(struct outcome *out, const struct smtp_host_answer *, const char *host,
			bool is_mx, bool implicit);

#endif
