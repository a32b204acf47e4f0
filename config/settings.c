/* SPDX-License-Identifier: ISC */
/* settings.c - the table of settings and the assignment of each kind. */
#include "config/settings.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <smtp/network.h>
#include <smtp/url.h>
#include "cli/nearest.h"
#include "libsmtp/core/span.h"

static const char *const log_formats[] = { "logfmt", "json", NULL };
static const char *const log_levels[] = { "debug", "info", "warn", "error", NULL };
static const char *const roles[] = { "mx", "submission", "submissions", NULL };

#define FIELD(name) offsetof(struct config, name)
#define DAY UINT64_C(86400000)

const struct setting settings[] = {
	{ "hostname", SETTING_HOSTNAME, FIELD(hostname), NULL, 0, 0, NULL,
	  "name of this server in greetings and trace fields; the machine's own by default" },
	{ "data_dir", SETTING_PATH, FIELD(data_dir), "/var/lib/smtpd", 0, 0, NULL,
	  "folder of accounts.db, the spool and the control socket" },
	{ "user", SETTING_TEXT, FIELD(user), "smtpd", 0, 0, NULL,
	  "system user to become after binding ports; ignored unless started as root" },
	{ "tls.certificate", SETTING_PATH, FIELD(tls_certificate), "", 0, 0, NULL,
	  "certificate chain, PEM" },
	{ "tls.key", SETTING_PATH, FIELD(tls_key), "", 0, 0, NULL, "private key, PEM" },
	{ "tls.key_passphrase_file", SETTING_PATH, FIELD(tls_key_passphrase_file), "", 0, 0, NULL,
	  "file whose first line opens the private key" },
	{ "listen", SETTING_LISTENERS, FIELD(listeners), NULL, 0, 0, roles,
	  "addresses and roles: mx, submission (STARTTLS), submissions (TLS at once); with "
	  "proxy_protocol: [networks], of proxies whose PROXY headers are required and believed" },
	{ "delivery.maildir", SETTING_PATTERN, FIELD(maildir),
	  "/var/mail/{domain}/{local_part}", 0, 0, NULL, "Maildir of each account" },
	{ "relay.default", SETTING_NEXT_HOP, FIELD(relay_default), "mx", 0, 0, NULL,
	  "where mail for other domains goes: mx, mx://DOMAIN (by the MX of that), or the URL of a relay" },
	{ "relay.password_file", SETTING_PATH, FIELD(relay_password_file), "", 0, 0, NULL,
	  "file whose first line is the password for relays whose URL names a user" },
	{ "relay.routes", SETTING_ROUTES, FIELD(routes), NULL, 0, 0, NULL,
	  "where mail for each of these domains goes, as in relay.default" },
	{ "queue.retry", SETTING_DURATIONS, FIELD(queue_retry_ms), NULL, 1000, 30 * DAY, NULL,
	  "waits between attempts; the last one is repeated" },
	{ "queue.lifetime", SETTING_DURATION, FIELD(queue_lifetime_ms), "5d", 1000, 365 * DAY,
	  NULL, "how long delivery is tried before the sender gets a report" },
	{ "queue.delay_notice", SETTING_DURATION, FIELD(queue_delay_notice_ms), "4h", 0,
	  365 * DAY, NULL, "when the sender is told that mail is delayed; 0 for never" },
	{ "limits.message_size", SETTING_BYTES, FIELD(max_message_bytes), "50MiB", 65536,
	  UINT64_C(1) << 40, NULL, "largest message" },
	{ "limits.recipients", SETTING_NUMBER, FIELD(max_recipients), "1000", 100, 10000, NULL,
	  "recipients of one message" },
	{ "limits.connections", SETTING_NUMBER, FIELD(max_connections), "2000", 1, 1000000, NULL,
	  "sessions at once" },
	{ "limits.connections_per_ip", SETTING_NUMBER, FIELD(max_connections_per_ip), "50", 0,
	  1000000, NULL, "sessions at once from one IPv4 address or IPv6 /64; 0 for no limit" },
	{ "limits.auth_failures", SETTING_NUMBER, FIELD(max_auth_failures), "3", 1, 100, NULL,
	  "failed logins of one session before it is closed" },
	{ "timeouts.command", SETTING_DURATION, FIELD(command_timeout_ms), "5m", 1000, DAY, NULL,
	  "wait for the next command" },
	{ "timeouts.content", SETTING_DURATION, FIELD(content_timeout_ms), "10m", 1000, DAY, NULL,
	  "wait for more of a message" },
	{ "timeouts.handshake", SETTING_DURATION, FIELD(handshake_timeout_ms), "30s", 1000, DAY,
	  NULL, "time for a TLS handshake" },
	{ "dns.resolver", SETTING_RESOLVER, FIELD(dns_resolver), "system", 0, 0, NULL,
	  "system, recursive, or the ADDRESS@PORT of a DNS server" },
	{ "dns.trust_anchor", SETTING_PATH, FIELD(dns_trust_anchor), "", 0, 0, NULL,
	  "file with the keys that DNSSEC starts from" },
	{ "log.format", SETTING_CHOICE, FIELD(log_format), "logfmt", 0, 0, log_formats,
	  "logfmt or json" },
	{ "log.level", SETTING_CHOICE, FIELD(log_level), "info", 0, 0, log_levels,
	  "debug, info, warn or error" },
};

const size_t setting_count = sizeof settings / sizeof *settings;

const struct setting *setting_find(const char *path)
{
	size_t i;

	for (i = 0; i < setting_count; i++)
		if (strcmp(settings[i].path, path) == 0)
			return &settings[i];
	return NULL;
}

bool setting_is_section(const char *path)
{
	size_t i, n = strlen(path);

	for (i = 0; i < setting_count; i++)
		if (strncmp(settings[i].path, path, n) == 0 && settings[i].path[n] == '.')
			return true;
	return false;
}

static const char *const sections[] = { "tls", "delivery", "relay", "queue",
					"limits", "timeouts", "dns", "log" };

/** Settings, then sections. */
static const char *path_at(const void *table, size_t i)
{
	(void)table;
	if (i < setting_count)
		return settings[i].path;
	i -= setting_count;
	return i < sizeof sections / sizeof *sections ? sections[i] : NULL;
}

const char *setting_nearest(const char *path)
{
	return cli_nearest(path, path_at, settings);
}

const char *config_role_str(enum config_role role)
{
	return roles[role];
}

/* ---- Assignment ---- */

static int wrong(char problem[SETTING_PROBLEM_MAX], const char *text, const char *expected)
{
	(void)snprintf(problem, SETTING_PROBLEM_MAX, "\"%.80s\" is not %s", text, expected);
	return SMTP_EINVAL;
}

static int set_text(struct config *c, const struct setting *s, const char *text)
{
	char **field = (char **)(void *)((char *)c + s->offset);
	char *copy = strdup(text);

	if (copy == NULL)
		return SMTP_ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

static int set_path(struct config *c, const struct setting *s, const char *text,
		    const char *folder)
{
	char *path;
	int err;

	if (text[0] == '/' || text[0] == '\0')
		return set_text(c, s, text);
	if (asprintf(&path, "%s/%s", folder, text) < 0)
		return SMTP_ENOMEM;
	err = set_text(c, s, path);
	free(path);
	return err;
}

static int set_pattern(struct config *c, const struct setting *s, const char *text,
		       const char *folder, char problem[SETTING_PROBLEM_MAX])
{
	if (strstr(text, "{domain}") == NULL || strstr(text, "{local_part}") == NULL)
		return wrong(problem, text,
			     "a path with {domain} and {local_part}: accounts would share it");
	return set_path(c, s, text, folder);
}

/** The range in the units in which it is written. */
static int out_of_range(char problem[SETTING_PROBLEM_MAX], const struct setting *s, const char *text)
{
	void (*const format)(uint64_t, char[VALUE_TEXT_MAX]) =
		s->kind == SETTING_DURATION ? value_duration_format :
		s->kind == SETTING_BYTES    ? value_bytes_format :
					      value_number_format;
	char min[VALUE_TEXT_MAX], max[VALUE_TEXT_MAX];

	format(s->min, min);
	format(s->max, max);
	(void)snprintf(problem, SETTING_PROBLEM_MAX, "\"%.80s\" is out of range, %s to %s", text, min,
		       max);
	return SMTP_EINVAL;
}

static int set_number(struct config *c, const struct setting *s, const char *text,
		      char problem[SETTING_PROBLEM_MAX])
{
	uint64_t value = 0;
	int err = s->kind == SETTING_DURATION ? value_duration(text, &value) :
		  s->kind == SETTING_BYTES    ? value_bytes(text, &value) :
						smtp_span_uint(smtp_span_of(text), &value);

	if (err != 0)
		return wrong(problem, text,
			     s->kind == SETTING_DURATION ? "a duration such as 30s, 5m, 4h or 5d" :
			     s->kind == SETTING_BYTES	 ? "a size such as 512KiB or 50MiB" :
							   "a whole number");
	if (value < s->min || value > s->max)
		return out_of_range(problem, s, text);
	if (s->kind == SETTING_NUMBER)
		*(uint32_t *)(void *)((char *)c + s->offset) = (uint32_t)value;
	else
		*(uint64_t *)(void *)((char *)c + s->offset) = value;
	return 0;
}

static int choice_of(const char *const *choices, const char *text)
{
	int i;

	for (i = 0; choices[i] != NULL; i++)
		if (strcmp(choices[i], text) == 0)
			return i;
	return -1;
}

static int set_choice(struct config *c, const struct setting *s, const char *text,
		      char problem[SETTING_PROBLEM_MAX])
{
	int choice = choice_of(s->choices, text);

	if (choice < 0)
		return wrong(problem, text, s->help);
	*(int *)(void *)((char *)c + s->offset) = choice;
	return 0;
}

/** What queue/route.c can relay by. */
static int check_next_hop(const char *text, char problem[SETTING_PROBLEM_MAX])
{
	struct smtp_url url;
	const char *why = "not a URL";

	if (strcmp(text, "mx") == 0)
		return 0;
	if (smtp_url_parse(&url, smtp_span_of(text), &why) != 0) {
		(void)snprintf(problem, SETTING_PROBLEM_MAX,
			       "\"%.80s\": %s (such as smtp+starttls://user@relay.example.org:587)",
			       text, why);
		return SMTP_EINVAL;
	}
	if (url.scheme == SMTP_URL_LMTP_UNIX || url.scheme == SMTP_URL_LMTP)
		return wrong(problem, text, "mx, or an mx, smtp, smtps or smtp+starttls URL");
	return 0;
}

int setting_assign(struct config *c, const struct setting *s, const char *text, const char *folder,
		   char problem[SETTING_PROBLEM_MAX])
{
	switch (s->kind) {
	case SETTING_TEXT:
		return set_text(c, s, text);
	case SETTING_HOSTNAME:
		if (!smtp_domain_is_valid(smtp_span_of(text)))
			return wrong(problem, text, "a host name");
		return set_text(c, s, text);
	case SETTING_PATH:
		return set_path(c, s, text, folder);
	case SETTING_PATTERN:
		return set_pattern(c, s, text, folder, problem);
	case SETTING_BYTES:
	case SETTING_DURATION:
	case SETTING_NUMBER:
		return set_number(c, s, text, problem);
	case SETTING_CHOICE:
		return set_choice(c, s, text, problem);
	case SETTING_NEXT_HOP:
		if (check_next_hop(text, problem) != 0)
			return SMTP_EINVAL;
		return set_text(c, s, text);
	case SETTING_RESOLVER:
		if (!value_is_resolver(text))
			return wrong(problem, text, "system, recursive or ADDRESS@PORT");
		return set_text(c, s, text);
	case SETTING_DURATIONS:
	case SETTING_LISTENERS:
	case SETTING_ROUTES:
		break;
	}
	return wrong(problem, text, "a list");
}

int setting_add_duration(struct config *c, const struct setting *s, const char *text,
			 char problem[SETTING_PROBLEM_MAX])
{
	uint64_t ms;

	if (value_duration(text, &ms) != 0 || ms < s->min || ms > s->max)
		return wrong(problem, text, "a duration from 1s to 30d");
	if (c->queue_retry_count == CONFIG_RETRY_MAX)
		return wrong(problem, text, "needed: there are too many");
	c->queue_retry_ms[c->queue_retry_count++] = ms;
	return 0;
}

static bool has_listener(const struct config *c, const char *address)
{
	size_t i;

	for (i = 0; i < c->listener_count; i++)
		if (strcmp(c->listeners[i].address, address) == 0)
			return true;
	return false;
}

int setting_read_role(const char *text, enum config_role *out, char problem[SETTING_PROBLEM_MAX])
{
	int choice = choice_of(roles, text);

	if (choice < 0)
		return wrong(problem, text, "a role: mx, submission or submissions");
	*out = (enum config_role)choice;
	return 0;
}

int setting_add_listener(struct config *c, const char *address, enum config_role role,
			 char problem[SETTING_PROBLEM_MAX])
{
	char *copy;

	if (!value_is_listen_address(address))
		return wrong(problem, address, "an address with a port, such as \"*:25\"");
	if (has_listener(c, address))
		return wrong(problem, address, "possible: it is there twice");
	if (c->listener_count == CONFIG_LISTENERS_MAX)
		return wrong(problem, address, "possible: there are too many listeners");
	copy = strdup(address);
	if (copy == NULL)
		return SMTP_ENOMEM;
	c->listeners[c->listener_count].address = copy;
	c->listeners[c->listener_count++].role = role;
	return 0;
}

int setting_set_proxies(struct config *c, const char *networks, char problem[SETTING_PROBLEM_MAX])
{
	struct smtp_network parsed[CONFIG_NETWORKS_MAX];
	size_t count = 0;

	if (smtp_networks_parse(parsed, CONFIG_NETWORKS_MAX, &count, networks) != 0 || count == 0)
		return wrong(problem, networks, "a list of networks, such as [192.0.2.0/24]");
	c->listeners[c->listener_count - 1].proxies = strdup(networks);
	return c->listeners[c->listener_count - 1].proxies != NULL ? 0 : SMTP_ENOMEM;
}

static bool has_route(const struct config *c, const char *domain)
{
	size_t i;

	for (i = 0; i < c->route_count; i++)
		if (smtp_span_is_nocase(smtp_span_of(domain), c->routes[i].domain))
			return true;
	return false;
}

int setting_add_route(struct config *c, const char *domain, const char *url,
		      char problem[SETTING_PROBLEM_MAX])
{
	struct config_route *r = &c->routes[c->route_count];
	char *p;

	if (!smtp_domain_is_valid(smtp_span_of(domain)))
		return wrong(problem, domain, "a domain");
	if (check_next_hop(url, problem) != 0)
		return SMTP_EINVAL;
	if (c->route_count == CONFIG_ROUTES_MAX || has_route(c, domain))
		return wrong(problem, domain, "possible: there twice, or too many routes");
	r->domain = strdup(domain);
	r->url = strdup(url);
	if (r->domain == NULL || r->url == NULL) {
		free(r->domain);
		free(r->url);
		return SMTP_ENOMEM;
	}
	for (p = r->domain; *p != '\0'; p++)
		*p = (char)smtp_ascii_lower((uint8_t)*p);
	c->route_count++;
	return 0;
}

int settings_default(struct config *c)
{
	char problem[SETTING_PROBLEM_MAX];
	size_t i;
	int err = 0;

	for (i = 0; err == 0 && i < setting_count; i++)
		if (settings[i].fallback != NULL)
			err = setting_assign(c, &settings[i], settings[i].fallback, "", problem);
	return err;
}
