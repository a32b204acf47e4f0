/* SPDX-License-Identifier: ISC */
/* Opens connections for the commands of smtpc: options, password, dialogue, exit statuses. What is done
 * with a connection is the commands' matter.
 */
#include "smtpc/connection.h"
#include "cli/output.h"
#include "cli/secret.h"

#include <errno.h>
#include <smtp/url.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void show_line(bool from_server, struct smtp_span line, void *user)
{
	const struct connection *c = user;

	if (c->options->verbose) {
		(void)fputs(from_server ? "< " : "> ", stderr);
		cli_print_safe(stderr, line);
		(void)fputc('\n', stderr);
	}
	if (c->watch.line)
		c->watch.line(from_server, line, c->watch.user);
}

static int read_password(struct connection *c, const char *user, const struct smtp_url *url)
{
	char prompt[SMTP_URL_USER_MAX + SMTP_DOMAIN_MAX + 32];
	struct cli_secret_source source = {
		.file = c->options->password_file,
		.command = c->options->password_command,
		.prompt = prompt,
		.hint = "use --password-file or --password-command",
	};
	struct cli_secret secret;

	(void)snprintf(prompt, sizeof prompt, "Password of %.300s at %s: ", user, url->host);
	if (cli_secret_read(&secret, &source) != 0)
		return CLI_USAGE;
	c->password = strdup(secret.text);
	cli_secret_wipe(&secret);
	if (!c->password) {
		cli_error("%s", smtp_error_str(SMTP_ENOMEM));
		return CLI_TEMPORARY;
	}
	if (c->client.mechanism & (SMTP_MECHANISM_XOAUTH2 | SMTP_MECHANISM_OAUTHBEARER))
		c->client.token = c->password;
	else
		c->client.password = c->password;
	return 0;
}

static int read_mechanism(struct connection *c, const struct cli_command *command)
{
	const char *name = c->options->mechanism;

	if (!name)
		return 0;
	c->client.mechanism = smtp_mechanism_of(smtp_span_of(name));
	if (c->client.mechanism == 0)
		return cli_usage_error(command, "--auth %s: known are SCRAM-SHA-256-PLUS, SCRAM-SHA-256, "
				       "PLAIN, LOGIN, CRAM-MD5, XOAUTH2, OAUTHBEARER and EXTERNAL",
				       name);
	return 0;
}

static int check_url(struct smtp_url *out, const struct cli_command *command, const char *url)
{
	const char *problem = NULL;

	if (smtp_url_parse(out, smtp_span_of(url), &problem) != 0)
		return cli_usage_error(command, "%s: %s (a URL is smtp://HOST, smtps://HOST or "
				       "smtp+starttls://HOST)", url,
				       problem ? problem : "not a URL");
	return 0;
}

static int read_key_password(struct connection *c)
{
	struct cli_secret_source source = { .file = c->options->client_key_password_file };
	struct cli_secret secret;

	if (!source.file)
		return 0;
	if (cli_secret_read(&secret, &source) != 0)
		return CLI_USAGE;
	c->key_password = strdup(secret.text);
	cli_secret_wipe(&secret);
	c->client.key_passphrase = c->key_password;
	if (c->key_password)
		return 0;
	cli_error("%s", smtp_error_str(SMTP_ENOMEM));
	return CLI_TEMPORARY;
}

/* What of TLS is not in the URL. */
static int read_trust(struct connection *c, const struct cli_command *command)
{
	const struct connection_options *o = c->options;

	if (o->ca_file && o->insecure)
		return cli_usage_error(command, "--ca-file and --insecure exclude one another");
	if (o->ca_file && access(o->ca_file, R_OK) != 0)
		return cli_usage_error(command, "--ca-file %s: %s", o->ca_file, strerror(errno));
	if (!o->client_cert != !o->client_key)
		return cli_usage_error(command, "--client-cert and --client-key go together");
	if (o->client_key_password_file && !o->client_key)
		return cli_usage_error(command, "--client-key-password-file: there is no --client-key");
	c->client.ca_file = o->ca_file;
	c->client.insecure = o->insecure;
	c->client.pinned_key = o->pin;
	c->client.certificate_file = o->client_cert;
	c->client.key_file = o->client_key;
	return read_key_password(c);
}

int connection_prepare(struct connection *c, const struct cli_command *command, const char *url,
		       const struct connection_options *options)
{
	struct smtp_url parsed;
	const char *user;
	int status;

	memset(c, 0, sizeof *c);
	c->options = options;
	smtp_client_options_init(&c->client);
	c->client.helo_name = options->helo_name;
	c->client.resolver = options->resolver;
	c->client.trace = show_line;
	c->client.trace_user = c;
	status = check_url(&parsed, command, url);
	if (status == 0)
		status = read_trust(c, command);
	if (status == 0)
		status = read_mechanism(c, command);
	if (status != 0)
		return status;
	user = options->user ? options->user : parsed.user;
	if (user[0] == '\0' && (options->password_file || options->password_command))
		return cli_usage_error(command, "a password without a user: add --user NAME");
	c->client.user = options->user;
	if (c->client.mechanism == SMTP_MECHANISM_EXTERNAL)
		return 0; /* the certificate says it all */
	return user[0] != '\0' ? read_password(c, user, &parsed) : 0;
}

static void wipe(char **secret)
{
	if (*secret)
		sodium_memzero(*secret, strlen(*secret));
	free(*secret);
	*secret = NULL;
}

void connection_release(struct connection *c)
{
	wipe(&c->password);
	wipe(&c->key_password);
}

/* The library knows nothing of our options. */
static const char *advice_for(const char *problem)
{
	return strstr(problem, "certificate refused") && !strstr(problem, "pinned") ?
		       " (--ca-file FILE trusts another one, --insecure takes any)" :
		       "";
}

int connection_open(struct smtp_client **out, const char *url, struct connection *c, bool quiet)
{
	int err;

	*out = NULL;
	err = smtp_client_connect(out, url, &c->client);
	if (!err) {
		const char *tls = smtp_client_tls_description(*out);

		if (c->options->verbose)
			(void)fprintf(stderr, "* %s, %s\n", smtp_client_peer(*out),
				      tls[0] != '\0' ? tls : "in clear");
		return CLI_DONE;
	}
	if (!quiet) {
		const char *problem = *out ? smtp_client_problem(*out) : smtp_error_str(err);

		cli_error("%s%s", problem, advice_for(problem));
	}
	return connection_status(*out, err);
}

int connection_to(struct smtp_client **out, struct connection *c,
		  const struct cli_command *command, const char *url,
		  const struct connection_options *options)
{
	int status = connection_prepare(c, command, url, options);

	*out = NULL;
	if (status == 0)
		status = connection_open(out, url, c, false);
	connection_release(c);
	if (status != 0) {
		smtp_client_free(*out);
		*out = NULL;
	}
	return status;
}

int reply_status(const struct smtp_reply *reply)
{
	if (smtp_reply_is_transient(reply))
		return CLI_TEMPORARY;
	return smtp_reply_is_permanent(reply) ? CLI_REFUSED : CLI_DONE;
}

/* A reply that caused the error decides; without one the network did. */
int connection_status(const struct smtp_client *client, int error)
{
	struct smtp_reply last = { .code = 0 };

	switch (error) {
	case SMTP_EINVAL:
	case SMTP_ESYNTAX:
	case SMTP_ETOOLONG:
	case SMTP_EACCESS:
		return CLI_USAGE;
	case SMTP_ENOTSUP:
	case SMTP_ETLS: /* a certificate does not become good by waiting */
		return CLI_REFUSED;
	case SMTP_EREFUSED:
	case SMTP_EAUTH:
		if (client)
			last = smtp_client_last_reply(client);
		return last.code != 0 ? reply_status(&last) : CLI_REFUSED;
	default:
		return CLI_TEMPORARY;
	}
}
