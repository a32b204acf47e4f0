/* SPDX-License-Identifier: ISC */
/* The blocking client's way from a URL to a session that is set up: names, trust, the decision on TLS.
 * The session itself is run by client_conn.c, the calls after that are in client.c.
 */
#include "libsmtp/net/client_address.h"
#include "libsmtp/net/client_private.h"

#include <stdio.h>
#include <string.h>

static const char *user_of(const struct smtp_client *c)
{
	if (c->options.user)
		return c->options.user;
	return c->url.user[0] != '\0' ? c->url.user : NULL;
}

/* Takes the URL apart and says what can not be done with it. */
static int read_url(struct smtp_client *c, const char *url)
{
	const char *problem = NULL;
	bool six;
	int err = smtp_url_parse(&c->url, smtp_span_of(url), &problem);

	if (!err && (c->url.scheme == SMTP_URL_LMTP_UNIX || c->url.scheme == SMTP_URL_MX)) {
		problem = "the client can not use this kind of URL; smtp, smtps and smtp+starttls "
			  "are known";
		err = SMTP_ENOTSUP;
	}
	if (err) {
		(void)snprintf(c->problem, sizeof c->problem, "%.300s: %s", url,
			       problem ? problem : smtp_error_str(err));
		return err;
	}
	six = strchr(c->url.host, ':') != NULL;
	(void)snprintf(c->where, sizeof c->where, "%s%s%s:%u", six ? "[" : "", c->url.host,
		       six ? "]" : "", c->url.port);
	if (user_of(c) && !c->options.password && !c->options.token) {
		(void)snprintf(c->problem, sizeof c->problem, "%s: the user %.300s needs a password",
			       c->where, user_of(c));
		return SMTP_EINVAL;
	}
	return 0;
}

/* Where the URL leaves the choice, a certificate is looked at only when a password depends on it. */
static bool checks_certificate(const struct smtp_client *c)
{
	if (c->options.insecure)
		return false;
	return c->url.scheme != SMTP_URL_SMTP || user_of(c) || c->options.token;
}

static enum smtp_client_tls tls_of(const struct smtp_client *c)
{
	if (c->url.scheme == SMTP_URL_SMTPS)
		return SMTP_CLIENT_TLS_IMPLICIT;
	return c->url.scheme == SMTP_URL_SMTP ? SMTP_CLIENT_TLS_OPPORTUNISTIC :
						SMTP_CLIENT_TLS_REQUIRED;
}

static int make_tls_context(struct smtp_client *c, struct smtp_tls_context **out)
{
	char problem[SMTP_TLS_PROBLEM_MAX] = "";
	int err = smtp_tls_client_context_new(out, checks_certificate(c), c->options.ca_file,
					      problem);

	if (err)
		(void)snprintf(c->problem, sizeof c->problem, "%s",
			       problem[0] != '\0' ? problem : smtp_error_str(err));
	return err;
}

static int try_with(struct smtp_client *c, struct smtp_client_conn_options *o)
{
	int err = smtp_client_conn_new(&c->conn, c->loop, o, &smtp_client_events, c);

	if (err) {
		(void)snprintf(c->problem, sizeof c->problem, "%s: %s", c->where,
			       smtp_error_str(err));
		return err;
	}
	return smtp_client_run(c, CLIENT_CALL_CONNECT);
}

/* A server whose TLS does not work gets mail in clear where TLS was only a chance to be taken; never a
 * password. */
static int try_addresses(struct smtp_client *c, struct smtp_client_conn_options *o)
{
	int err = try_with(c, o);

	if (err != SMTP_ETLS || o->session.tls != SMTP_CLIENT_TLS_OPPORTUNISTIC || o->session.user)
		return err;
	c->problem[0] = '\0';
	o->session.tls = SMTP_CLIENT_TLS_NONE;
	return try_with(c, o);
}

int smtp_client_open(struct smtp_client *c, const char *url)
{
	struct smtp_socket_address addresses[SMTP_CLIENT_ADDRESSES_MAX];
	struct smtp_client_conn_options o = { .addresses = addresses,
					      .connect_timeout_ms = c->options.connect_timeout_ms };
	char own_name[SMTP_DOMAIN_MAX + 1];
	const char *problem = NULL;
	int err = read_url(c, url);

	if (err)
		return err;
	err = smtp_client_look_up(c->url.host, c->url.port, addresses, &o.address_count, &problem);
	if (err) {
		(void)snprintf(c->problem, sizeof c->problem, "%s: %s", c->where, problem);
		return err;
	}
	err = make_tls_context(c, &o.tls);
	if (err)
		return err;
	smtp_client_session_options_init(&o.session);
	o.session.helo_name = c->options.helo_name;
	if (!o.session.helo_name) {
		smtp_client_own_name(&addresses[0], own_name);
		o.session.helo_name = own_name;
	}
	o.tls_name = c->url.host;
	o.session.tls = tls_of(c);
	o.session.user = user_of(c);
	o.session.password = o.session.user ? c->options.password : NULL;
	o.session.token = c->options.token;
	o.session.mechanism = c->options.mechanism;
	o.session.auth_without_tls = c->options.auth_without_tls;
	err = try_addresses(c, &o);
	smtp_tls_context_unref(o.tls);
	return err;
}
