/* SPDX-License-Identifier: ISC */
/* route.c - rules of the configuration and answers of the DNS, turned into hosts or into the reason why
 * there are none. No I/O: relay.c asks, this decides (RFC 5321, 5.1; RFC 7505).
 */
#include "smtpd/queue/route.h"

#include <stdio.h>
#include <string.h>

#include "libsmtp/core/span.h"

const char *route_rule(const struct config *config, const char *domain)
{
	for (size_t i = 0; i < config->route_count; i++)
		if (smtp_span_is_nocase(smtp_span_of(domain), config->routes[i].domain))
			return config->routes[i].url;
	return config->relay_default && config->relay_default[0] ? config->relay_default : "mx";
}

static int set_key(struct route *r, const char *prefix, const char *text)
{
	int n = snprintf(r->key, sizeof r->key, "%s%s", prefix, text);

	if (n < 0 || (size_t)n >= sizeof r->key)
		return SMTP_ETOOLONG;
	for (char *p = r->key; *p; p++)
		*p = r->is_mx ? (char)smtp_ascii_lower((uint8_t)*p) : *p;
	return 0;
}

static int set_mx(struct route *r, const char *domain)
{
	r->is_mx = true;
	r->url.port = ROUTE_SMTP_PORT;
	r->url.scheme = SMTP_URL_MX;
	if (smtp_span_copy(smtp_span_of(domain), r->url.host, sizeof r->url.host) != 0)
		return SMTP_ETOOLONG;
	return set_key(r, r->is_given ? "mx://" : "mx:", r->url.host);
}

int route_parse(struct route *out, const char *rule, const char *domain)
{
	int err;

	*out = (struct route){ 0 };
	if (strcmp(rule, "mx") == 0)
		return set_mx(out, domain);
	err = smtp_url_parse(&out->url, smtp_span_of(rule), NULL);
	if (err != 0)
		return err;
	out->is_given = true;
	if (out->url.scheme == SMTP_URL_LMTP_UNIX || out->url.scheme == SMTP_URL_LMTP)
		return SMTP_ENOTSUP;
	if (out->url.scheme == SMTP_URL_MX) {
		char of[SMTP_DOMAIN_MAX + 1];

		memcpy(of, out->url.host, sizeof of);
		return set_mx(out, of);
	}
	return set_key(out, "", rule);
}

/* ---- hosts ---- */

static void say(struct outcome *why, enum outcome_kind kind, const char *format, const char *what,
		const char *problem)
{
	char text[OUTCOME_TEXT_MAX + 1];
	int n = snprintf(text, sizeof text, "%s%s%s%s", format, what, problem[0] ? ": " : "", problem);

	outcome_set(why, kind, NULL, n > 0 ? text : format);
}

void route_failure_of_operator(struct outcome *why)
{
	if (why->kind != OUTCOME_PERMANENT)
		return;
	why->kind = OUTCOME_TRANSIENT;
	if (why->reply && why->reply[0] == '5')
		why->reply[0] = '4';
}

static bool add_host(struct route_hosts *out, const char *name)
{
	if (out->count == SMTP_MX_MAX)
		return false;
	return smtp_span_copy(smtp_span_of(name), out->names[out->count], sizeof out->names[0]) == 0 &&
	       ++out->count > 0;
}

/* A dot at the end and letter case do not make another name. */
static bool is_same_host(const char *a, const char *b)
{
	struct smtp_span x = smtp_span_of(a), y = smtp_span_of(b);

	if (x.n > 0 && x.p[x.n - 1] == '.')
		x.n--;
	if (y.n > 0 && y.p[y.n - 1] == '.')
		y.n--;
	return smtp_span_equal_nocase(x, y);
}

/* Hosts that are no better than ourselves would send the mail back to us. */
static bool hosts_before_own(struct route_hosts *out, const struct smtp_mx_answer *mx,
			     const char *domain, const char *own_name, struct outcome *why)
{
	uint32_t limit = UINT32_MAX;

	for (size_t i = 0; i < mx->count; i++)
		if (is_same_host(mx->hosts[i].name, own_name) && mx->hosts[i].preference < limit)
			limit = mx->hosts[i].preference;
	for (size_t i = 0; i < mx->count; i++)
		if (mx->hosts[i].preference < limit && !add_host(out, mx->hosts[i].name))
			break;
	if (out->count == 0)
		say(why, OUTCOME_PERMANENT, "5.4.6 mail would loop: this host is the mail exchanger of ",
		    domain, "");
	return out->count > 0;
}

bool route_hosts_from_mx(struct route_hosts *out, const struct smtp_mx_answer *mx, const char *domain,
			 const char *own_name, struct outcome *why)
{
	out->count = 0;
	out->implicit = false;
	switch (mx->status) {
	case SMTP_DNS_OK:
		if (mx->count > 0)
			return hosts_before_own(out, mx, domain, own_name, why);
		break;
	case SMTP_DNS_NO_DATA:
		break;
	case SMTP_DNS_NO_NAME:
		say(why, OUTCOME_PERMANENT, "5.1.2 no such domain: ", domain, "");
		return false;
	case SMTP_DNS_NULL_MX:
		say(why, OUTCOME_PERMANENT, "5.1.10 the domain takes no mail (null MX): ", domain, "");
		return false;
	case SMTP_DNS_TEMPORARY:
		say(why, OUTCOME_TRANSIENT, "4.4.3 look-up of mail exchangers failed for ", domain,
		    mx->problem ? mx->problem : "");
		return false;
	}
	out->implicit = true;
	return add_host(out, domain);
}

void route_host_problem(struct outcome *out, const struct smtp_host_answer *answer, const char *host,
			bool is_mx, bool implicit)
{
	enum outcome_kind final = is_mx ? OUTCOME_PERMANENT : OUTCOME_TRANSIENT;

	switch (answer->status) {
	case SMTP_DNS_NO_NAME:
		if (is_mx && implicit)
			say(out, final, "5.1.2 no such domain: ", host, "");
		else
			say(out, final, is_mx ? "5.4.4 no such host: " : "4.4.4 no such host: ", host, "");
		break;
	case SMTP_DNS_OK:
	case SMTP_DNS_NO_DATA:
	case SMTP_DNS_NULL_MX:
		say(out, final, is_mx ? "5.4.4 the host has no address: " :
					"4.4.4 the host has no address: ", host, "");
		break;
	case SMTP_DNS_TEMPORARY:
		say(out, OUTCOME_TRANSIENT, "4.4.3 look-up of the address failed for ", host,
		    answer->problem ? answer->problem : "");
		break;
	}
}
