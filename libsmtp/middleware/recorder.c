/* SPDX-License-Identifier: ISC */
/* recorder.c - a recorder's server: its certificate, its thread, its address. */
#include "libsmtp/middleware/recorder_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libsmtp/middleware/middleware_private.h"
#include "libsmtp/net/tls_self_signed.h"

enum { FREE_DEADLINE_MS = 5000, MESSAGES_DEFAULT = 100000, PEM_MAX = 1 << 20 };

int recorder_fail(struct smtp_recorder *r, int error, const char *where, const char *what)
{
	(void)snprintf(r->problem, sizeof r->problem, "%s%s%s", where, *where ? ": " : "", what);
	return error;
}

const char *smtp_recorder_problem(const struct smtp_recorder *r)
{
	return r->problem;
}

/* --- options ---------------------------------------------------------------------------------- */

void smtp_recorder_options_init(struct smtp_recorder_options *options)
{
	*options = (struct smtp_recorder_options){ .size = sizeof *options,
						   .max_messages = MESSAGES_DEFAULT };
	smtp_server_session_options_init(&options->session);
	options->session.extensions = SMTP_SERVER_EXTENSIONS_DEFAULT | SMTP_SERVER_CHUNKING |
				      SMTP_SERVER_BINARYMIME | SMTP_SERVER_SMTPUTF8 |
				      SMTP_SERVER_DSN | SMTP_SERVER_REQUIRETLS | SMTP_SERVER_LIMITS;
	options->session.auth_enabled = true;
	options->session.auth_needs_tls = false;
	options->session.mechanisms = SMTP_MECHANISMS_ALL;
	options->session.max_message_bytes = UINT64_C(64) << 20;
	options->session.error_delay_max_ms = 0;
}

static int copy_text(char **copy, const char **text)
{
	if (!*text)
		return 0;
	*copy = middleware_text_copy(*text);
	*text = *copy;
	return *copy ? 0 : SMTP_ENOMEM;
}

/* Without a user any login is good: there is nothing that could be proven. */
static int set_login(struct smtp_recorder *r)
{
	if (r->user)
		return smtp_scram_keys_make(&r->scram, smtp_crypto_openssl(),
					    smtp_span_of(r->password), SMTP_SCRAM_ITERATIONS_MIN);
	r->options.session.mechanisms &= SMTP_MECHANISM_PLAIN | SMTP_MECHANISM_LOGIN |
					 SMTP_MECHANISM_XOAUTH2 | SMTP_MECHANISM_OAUTHBEARER;
	return 0;
}

static int copy_options(struct smtp_recorder *r, const struct smtp_recorder_options *given)
{
	struct smtp_recorder_options *o = &r->options;
	int err;

	smtp_recorder_options_init(o);
	if (given && smtp_sized_copy(o, sizeof *o, given, 0) != 0)
		return SMTP_EINVAL;
	if ((unsigned)o->tls > SMTP_RECORDER_TLS || !o->certificate_file != !o->key_file ||
	    !o->user != !o->password)
		return SMTP_EINVAL;
	if (!o->address)
		o->address = "127.0.0.1:0";
	if (!o->session.hostname)
		o->session.hostname = "recorder.test";
	err = copy_text(&r->address, &o->address);
	if (!err)
		err = copy_text(&r->hostname, &o->session.hostname);
	if (!err)
		err = copy_text(&r->user, &o->user);
	if (!err)
		err = copy_text(&r->password, &o->password);
	return err ? err : set_login(r);
}

/* --- the certificate -------------------------------------------------------------------------- */

static int set_path(char out[RECORDER_PATH_MAX], const char *directory, const char *name)
{
	int n = snprintf(out, RECORDER_PATH_MAX, "%s%s", directory, name);

	return n > 0 && n < RECORDER_PATH_MAX ? 0 : SMTP_ETOOLONG;
}

static int make_certificate(struct smtp_recorder *r)
{
	const char *tmp = getenv("TMPDIR");
	char problem[SMTP_TLS_PROBLEM_MAX];
	int err = set_path(r->directory, tmp && *tmp ? tmp : "/tmp", "/smtp-recorder-XXXXXX");

	if (!err && !mkdtemp(r->directory)) {
		err = SMTP_EIO;
	} else if (!err) {
		err = set_path(r->certificate, r->directory, "/certificate.pem");
		if (!err)
			err = set_path(r->key, r->directory, "/key.pem");
		if (!err)
			err = smtp_tls_self_signed_make("localhost", true, r->certificate, r->key,
							problem);
		return err;
	}
	r->directory[0] = '\0';
	return err;
}

static int read_pem(struct smtp_recorder *r)
{
	FILE *f = fopen(r->certificate, "r");
	size_t n;
	int err = 0;

	r->pem = f ? calloc(1, PEM_MAX) : NULL;
	if (!r->pem) {
		err = f ? SMTP_ENOMEM : SMTP_EIO;
	} else {
		n = fread(r->pem, 1, PEM_MAX, f);
		if (n == PEM_MAX || ferror(f))
			err = SMTP_EIO;
	}
	if (f)
		(void)fclose(f); /* it was only read */
	return err;
}

static int find_certificate(struct smtp_recorder *r)
{
	int err;

	if (r->options.tls == SMTP_RECORDER_PLAIN)
		return 0;
	if (r->options.certificate_file) {
		err = set_path(r->certificate, "", r->options.certificate_file);
		if (!err)
			err = set_path(r->key, "", r->options.key_file);
	} else {
		err = make_certificate(r);
	}
	return err ? err : read_pem(r);
}

static void remove_certificate(const struct smtp_recorder *r)
{
	if (!r->directory[0])
		return;
	(void)unlink(r->certificate);
	(void)unlink(r->key);
	(void)rmdir(r->directory);
}

/* --- life ------------------------------------------------------------------------------------- */

static int make_server(struct smtp_recorder *r)
{
	struct smtp_server_options options = SMTP_SERVER_OPTIONS_INIT;

	options.loops = 1;
	options.max_connections_per_ip = 0;
	options.workers = RECORDER_WORKERS;
	return smtp_server_new(&r->server, &options);
}

static int recorder_init(struct smtp_recorder *r, const struct smtp_recorder_options *options)
{
	int err = copy_options(r, options);

	if (!err)
		err = find_certificate(r);
	if (!err)
		err = make_server(r);
	return err;
}

int smtp_recorder_new(struct smtp_recorder **out, const struct smtp_recorder_options *options)
{
	struct smtp_recorder *r = calloc(1, sizeof *r);
	int err;

	if (!r)
		return SMTP_ENOMEM;
	err = recorder_store_init(&r->store, MESSAGES_DEFAULT);
	if (err) {
		free(r);
		return err;
	}
	err = recorder_init(r, options);
	r->store.max = r->options.max_messages;
	if (err)
		smtp_recorder_free(r);
	else
		*out = r;
	return err;
}

int smtp_recorder_use(struct smtp_recorder *r, const struct smtp_middleware *middleware)
{
	int err = smtp_server_use(r->server, middleware);

	return err ? recorder_fail(r, err, "middleware", smtp_server_problem(r->server)) : 0;
}

/* "127.0.0.1:0" without its port, and without brackets. */
static int set_host(struct smtp_recorder *r)
{
	const char *colon = strrchr(r->options.address, ':');
	size_t n = colon ? (size_t)(colon - r->options.address) : 0;
	struct smtp_network network;
	char text[SMTP_ADDRESS_TEXT_MAX + 2];

	if (n == 0 || n >= sizeof text)
		return SMTP_EINVAL;
	memcpy(text, r->options.address, n);
	text[n] = '\0';
	if (smtp_network_parse(&network, text) != 0)
		return SMTP_EINVAL;
	(void)smtp_network_format(&network, r->host);
	return 0;
}

static void set_url(struct smtp_recorder *r)
{
	static const char *const schemes[] = {
		[SMTP_RECORDER_PLAIN] = "smtp",
		[SMTP_RECORDER_STARTTLS] = "smtp+starttls",
		[SMTP_RECORDER_TLS] = "smtps",
	};
	const char *scheme = r->options.session.lmtp ? "lmtp" : schemes[r->options.tls];
	bool v6 = strchr(r->host, ':') != NULL;

	(void)snprintf(r->url, sizeof r->url, "%s://%s%s%s:%u", scheme, v6 ? "[" : "", r->host,
		       v6 ? "]" : "", r->port);
}

static int listen_on(struct smtp_recorder *r)
{
	struct smtp_listener_options listener = SMTP_LISTENER_OPTIONS_INIT;
	int err = set_host(r);

	if (err)
		return recorder_fail(r, err, r->options.address, "no IP address and port");
	listener.address = r->options.address;
	listener.session = r->options.session;
	listener.handler = &recorder_handler;
	listener.user = r;
	listener.blocking = true;
	if (r->options.tls != SMTP_RECORDER_PLAIN) {
		listener.certificate_file = r->certificate;
		listener.key_file = r->key;
		listener.implicit_tls = r->options.tls == SMTP_RECORDER_TLS;
	}
	err = smtp_server_listen(r->server, &listener, &r->port);
	if (err)
		return recorder_fail(r, err, "", smtp_server_problem(r->server));
	set_url(r);
	return 0;
}

int smtp_recorder_start(struct smtp_recorder *r)
{
	int err;

	if (r->port > 0)
		return recorder_fail(r, SMTP_ESTATE, "", "it was started before");
	err = listen_on(r);
	if (err)
		return err;
	err = smtp_server_start(r->server);
	if (err)
		return recorder_fail(r, err, "", smtp_server_problem(r->server));
	r->runs = true;
	return 0;
}

int smtp_recorder_stop(struct smtp_recorder *r, uint32_t deadline_ms)
{
	int err;

	if (!r->runs)
		return 0;
	recorder_store_hurry(&r->store);
	smtp_server_shutdown(r->server, deadline_ms);
	err = smtp_server_wait(r->server);
	r->runs = false;
	return err ? recorder_fail(r, err, "", smtp_server_problem(r->server)) : 0;
}

void smtp_recorder_free(struct smtp_recorder *r)
{
	if (!r)
		return;
	(void)smtp_recorder_stop(r, FREE_DEADLINE_MS);
	smtp_server_free(r->server);
	recorder_store_release(&r->store);
	remove_certificate(r);
	free(r->pem);
	free(r->address);
	free(r->hostname);
	free(r->user);
	if (r->password)
		explicit_bzero(r->password, strlen(r->password));
	free(r->password);
	explicit_bzero(&r->scram, sizeof r->scram);
	free(r);
}

struct smtp_middleware smtp_recorder_middleware(struct smtp_recorder *r)
{
	struct smtp_middleware m = smtp_middleware_of("recorder", &recorder_onlooker, r);

	m.blocking = true;
	return m;
}

/* --- where it is ------------------------------------------------------------------------------ */

const char *smtp_recorder_host(const struct smtp_recorder *r)
{
	return r->host;
}

uint16_t smtp_recorder_port(const struct smtp_recorder *r)
{
	return r->port;
}

const char *smtp_recorder_url(const struct smtp_recorder *r)
{
	return r->url;
}

const char *smtp_recorder_ca_file(const struct smtp_recorder *r)
{
	return r->certificate;
}

const char *smtp_recorder_ca_pem(const struct smtp_recorder *r)
{
	return r->pem ? r->pem : "";
}
