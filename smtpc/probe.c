/* SPDX-License-Identifier: ISC */
/* smtpc probe: connects and shows what the server offers. A certificate that is refused is told, then
 * the probe goes on without checking it; so it does in clear where TLS is not there.
 */
#include "smtpc/connection.h"
#include "smtpc/report.h"
#include "smtpc/smtpc.h"

#include "libsmtp/core/buf.h"
#include "libsmtp/core/span.h"

#include <string.h>

enum { EHLO_MAX = 16384, URL_MAX = 2 * (SMTP_URL_USER_MAX + SMTP_DOMAIN_MAX) };

struct probe_values {
	struct connection_options connection;
};

const struct cli_option probe_options[] = {
	CONNECTION_OPTIONS(struct probe_values, connection),
	{ 0 },
};

struct probe {
	struct connection_options options;
	struct smtp_url url;
	char url_text[URL_MAX];     /* as it is tried: with STARTTLS required at first */
	char tls_problem[512];      /* why TLS, or the certificate, was refused; "" */
	bool checked;               /* the certificate was, and is good */
	bool offers_starttls;       /* in the first EHLO reply */
	struct smtp_buf ehlo;       /* lines of the last EHLO reply without their codes, divided by LF */
	bool in_ehlo;
	struct smtp_client *client;
};

/* --- watching the dialogue ------------------------------------------------------------------- */

static void watch_line(bool from_server, struct smtp_span line, void *user)
{
	struct probe *p = user;
	struct smtp_span text;

	if (!from_server) {
		p->in_ehlo = smtp_span_is_nocase(smtp_span_slice(line, 1, 4), "HLO ");
		if (p->in_ehlo)
			smtp_buf_clear(&p->ehlo);
		return;
	}
	if (!p->in_ehlo || line.n < 4 || line.p[0] != '2')
		return;
	text = smtp_span_slice(line, 4, line.n);
	p->offers_starttls = p->offers_starttls || smtp_span_is_nocase(text, "STARTTLS");
	/* A reply that is too long is shown as far as it goes. */
	if ((p->ehlo.n > 0 && smtp_buf_append_text(&p->ehlo, "\n") != 0) ||
	    smtp_buf_append_span(&p->ehlo, text) != 0)
		p->in_ehlo = false;
}

/* --- connecting ------------------------------------------------------------------------------ */

static void set_url(struct probe *p, const char *scheme)
{
	bool six = strchr(p->url.host, ':') != NULL;

	(void)snprintf(p->url_text, sizeof p->url_text, "%s://%s%s%s:%u", scheme, six ? "[" : "",
		       p->url.host, six ? "]" : "", p->url.port);
}

/* One try; the client is kept when it worked. */
static int try_it(struct probe *p, struct connection *c, bool quiet, int *status)
{
	int err;

	smtp_client_free(p->client);
	p->client = NULL;
	p->offers_starttls = p->in_ehlo = false;
	smtp_buf_clear(&p->ehlo);
	err = smtp_client_connect(&p->client, p->url_text, &c->client);
	*status = err ? connection_status(p->client, err) : CLI_DONE;
	if (err && !quiet)
		cli_error("%s", p->client ? smtp_client_problem(p->client) : smtp_error_str(err));
	return err;
}

static void note_tls_problem(struct probe *p)
{
	const char *problem = p->client ? smtp_client_problem(p->client) : "";
	const char *host_end = strstr(problem, ": ");

	if (p->tls_problem[0] == '\0')
		(void)snprintf(p->tls_problem, sizeof p->tls_problem, "%s",
			       host_end ? host_end + 2 : problem);
}

/* There TLS is left to chance. */
static int connect_as_said(struct probe *p, struct connection *c)
{
	int status;

	(void)try_it(p, c, false, &status);
	return status;
}

/* With the certificate checked, then with any, then, where the URL allows it, in clear. */
static int connect_somehow(struct probe *p, struct connection *c)
{
	bool optional = p->url.scheme == SMTP_URL_SMTP;
	bool insecure = c->client.insecure;
	int status, err;

	if (p->url.scheme == SMTP_URL_LMTP || p->url.scheme == SMTP_URL_LMTP_UNIX ||
	    p->url.scheme == SMTP_URL_MX)
		return connect_as_said(p, c);
	set_url(p, p->url.scheme == SMTP_URL_SMTPS ? "smtps" : "smtp+starttls");
	err = try_it(p, c, true, &status);
	p->checked = !err && !insecure;
	if (err == SMTP_ETLS)
		note_tls_problem(p);
	if (err == SMTP_ETLS && !insecure && (p->offers_starttls ||
					      p->url.scheme == SMTP_URL_SMTPS)) {
		c->client.insecure = true;
		c->client.user = NULL; /* no password to a server that is not known */
		err = try_it(p, c, true, &status);
	}
	if (err == SMTP_ETLS && optional) {
		c->client.insecure = true;
		c->client.user = NULL;
		set_url(p, "smtp");
		err = try_it(p, c, true, &status);
	}
	if (err)
		cli_error("%s", p->client ? smtp_client_problem(p->client) : smtp_error_str(err));
	return status;
}

/* --- report ---------------------------------------------------------------------------------- */

static struct smtp_span take_line(struct smtp_span *text)
{
	const uint8_t *lf = text->n > 0 ? memchr(text->p, '\n', text->n) : NULL;
	size_t n = lf ? (size_t)(lf - text->p) : text->n;
	struct smtp_span line = smtp_span_slice(*text, 0, n);

	*text = smtp_span_slice(*text, lf ? n + 1 : n, text->n);
	return line;
}

/* All lines but the first, which is the server's name. */
static struct smtp_span keywords(const struct probe *p)
{
	struct smtp_span rest = smtp_buf_span(&p->ehlo);

	(void)take_line(&rest);
	return rest;
}

static const char *certificate_text(const struct probe *p, const char *tls)
{
	if (tls[0] == '\0')
		return p->tls_problem[0] != '\0' ? p->tls_problem : "none: there is no TLS";
	if (p->tls_problem[0] != '\0')
		return p->tls_problem;
	return p->checked ? "good: trusted, valid, and of that name" : "not checked";
}

static const char *login_text(const struct smtp_extensions *e)
{
	static char line[128]; /* holds them all */
	size_t n = 0;

	if (!e->auth)
		return "none offered";
	*line = '\0';
	for (unsigned m = 1; m <= SMTP_MECHANISMS_ALL; m <<= 1)
		if (e->mechanisms & m)
			n += (size_t)snprintf(line + n, sizeof line - n, "%s%s", n > 0 ? " " : "",
					      smtp_mechanism_name(m));
	return n > 0 ? line : "none that is known here";
}

static void print_text(const struct probe *p)
{
	const char *tls = smtp_client_tls_description(p->client);
	struct smtp_reply greeting = smtp_client_greeting(p->client);
	struct smtp_span rest = keywords(p);
	const char *label = "Extensions:   ";

	printf("Server:       %s\nGreeting:     ", smtp_client_peer(p->client));
	report_reply_line(stdout, &greeting);
	printf("\nTLS:          %s%s\n", tls[0] != '\0' ? tls : "none",
	       tls[0] != '\0' && p->url.scheme != SMTP_URL_SMTPS ? " (STARTTLS)" : "");
	printf("Certificate:  ");
	cli_print_safe(stdout, smtp_span_of(certificate_text(p, tls)));
	printf("\nLogin:        %s\n", login_text(smtp_client_extensions(p->client)));
	if (rest.n == 0)
		printf("%snone\n", label);
	while (rest.n > 0) {
		printf("%s", label);
		cli_print_safe(stdout, take_line(&rest));
		printf("\n");
		label = "              ";
	}
}

static void print_json(const struct probe *p)
{
	const char *tls = smtp_client_tls_description(p->client);
	const struct smtp_extensions *e = smtp_client_extensions(p->client);
	struct smtp_reply greeting = smtp_client_greeting(p->client);
	struct smtp_span rest = keywords(p);
	struct cli_json json;

	cli_json_init(&json, stdout);
	cli_json_object(&json, NULL);
	cli_json_text(&json, "peer", smtp_client_peer(p->client));
	cli_json_object(&json, "greeting");
	report_reply_json(&json, &greeting);
	cli_json_object_end(&json);
	cli_json_bool(&json, "esmtp", e->extended);
	cli_json_array(&json, "extensions");
	while (rest.n > 0)
		cli_json_span(&json, NULL, take_line(&rest));
	cli_json_array_end(&json);
	cli_json_text(&json, "tls", tls[0] != '\0' ? tls : NULL);
	cli_json_bool(&json, "certificate_checked", p->checked);
	cli_json_text(&json, "tls_problem", p->tls_problem[0] != '\0' ? p->tls_problem : NULL);
	cli_json_array(&json, "auth");
	for (unsigned m = 1; m <= SMTP_MECHANISMS_ALL; m <<= 1)
		if (e->mechanisms & m)
			cli_json_text(&json, NULL, smtp_mechanism_name(m));
	cli_json_array_end(&json);
	cli_json_object_end(&json);
}

/* --- the command ----------------------------------------------------------------------------- */

/* A certificate that a URL asks to be checked, and that is refused, is a refusal. */
static int run_probe(const struct cli_command *self, const char *url, struct probe *p)
{
	struct connection c;
	int status = connection_prepare(&c, self, url, &p->options);

	if (status == CLI_DONE && smtp_url_parse(&p->url, smtp_span_of(url), NULL) != 0)
		status = CLI_USAGE;
	if (status == CLI_DONE) {
		(void)snprintf(p->url_text, sizeof p->url_text, "%s", url);
		c.watch.line = watch_line;
		c.watch.user = p;
		if (!c.client.user && p->url.user[0] != '\0')
			c.client.user = p->url.user;
		status = connect_somehow(p, &c);
	}
	connection_release(&c);
	if (status == CLI_DONE) {
		if (p->options.json)
			print_json(p);
		else
			print_text(p);
		if (p->tls_problem[0] != '\0' && p->url.scheme != SMTP_URL_SMTP)
			status = CLI_REFUSED;
	}
	smtp_client_free(p->client); /* before `c`, which the dialogue goes through, is gone */
	return status;
}

int probe_run(const struct cli_command *self, int argc, char **argv, void *user)
{
	struct probe_values values;
	struct probe probe;
	int at, status;

	(void)user;
	memset(&values, 0, sizeof values);
	memset(&probe, 0, sizeof probe);
	at = cli_options_read(self, argc, argv, &values);
	if (at < 0)
		return CLI_USAGE;
	if (argc - at != 1)
		return cli_usage_error(self, argc == at ? "a URL is missing" : "one URL is enough");
	probe.options = values.connection;
	smtp_buf_init(&probe.ehlo, EHLO_MAX);
	status = run_probe(self, argv[at], &probe);
	smtp_buf_release(&probe.ehlo);
	return status;
}
