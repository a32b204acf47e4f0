/* SPDX-License-Identifier: ISC */
/* The blocking client's way from a URL, a host, an address or a socket to a session that is set up:
 * names, trust, the decision on TLS. The session itself is run by client_conn.c.
 */
#include "libsmtp/net/client_address.h"
#include "libsmtp/net/client_private.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *user_of(const struct smtp_client *c, const struct client_target *target)
{
	if (c->options.user)
		return c->options.user;
	return target->user[0] != '\0' ? target->user : NULL;
}

int smtp_client_say(struct smtp_client *c, int error, const char *problem)
{
	(void)snprintf(c->problem, sizeof c->problem, "%s%s%s", c->where,
		       c->where[0] != '\0' ? ": " : "", problem);
	return error;
}

void smtp_client_set_where(struct smtp_client *c, const char *host, uint16_t port)
{
	bool six = strchr(host, ':') != NULL;

	(void)snprintf(c->where, sizeof c->where, "%s%s%s:%u", six ? "[" : "", host, six ? "]" : "",
		       port);
}

/* --- TLS -------------------------------------------------------------------------------------- */

static const char *tls_name_of(const struct smtp_client *c, const struct client_target *target)
{
	if (c->options.server_name)
		return c->options.server_name;
	return target->host[0] != '\0' ? target->host : NULL;
}

/* Where TLS is left to chance, a certificate is looked at only when a password depends on it; where there
 * is none, it comes when the caller asks for it, and so it counts. A pinned key is enough by itself. */
static bool checks_certificate(const struct smtp_client *c, const struct client_target *target)
{
	if (c->options.insecure || (c->options.pinned_key && !c->options.ca_file))
		return false;
	return target->check || target->tls == SMTP_CLIENT_TLS_NONE || c->options.pinned_key ||
	       c->options.token || user_of(c, target);
}

static int set_pin(struct smtp_client *c, struct smtp_tls_context *context)
{
	uint8_t pin[SMTP_TLS_PIN_SIZE];
	int err = smtp_tls_pin_parse(pin, c->options.pinned_key);

	if (err)
		return smtp_client_say(c, SMTP_EINVAL,
				       "the pinned key is no SHA-256 in hexadecimal or base64");
	smtp_tls_client_context_set_pin(context, pin);
	return 0;
}

static int make_tls_context(struct smtp_client *c, const struct client_target *target,
			    struct smtp_tls_context **out)
{
	const struct smtp_client_options *o = &c->options;
	char problem[SMTP_TLS_PROBLEM_MAX] = "";
	bool verify = checks_certificate(c, target);
	int err;

	c->trusts_tls = verify || c->options.pinned_key || c->options.insecure;
	if (verify && target->tls != SMTP_CLIENT_TLS_NONE && !tls_name_of(c, target))
		return smtp_client_say(c, SMTP_EINVAL,
				       "the certificate can't be checked without a server name");
	err = smtp_tls_client_context_new(out, verify, o->ca_file, problem);
	if (!err && (o->certificate_file || o->key_file)) {
		err = o->certificate_file && o->key_file ?
			      smtp_tls_client_context_set_certificate(*out, o->certificate_file,
								      o->key_file,
								      o->key_passphrase, problem) :
			      SMTP_EINVAL;
		if (err == SMTP_EINVAL)
			(void)snprintf(problem, sizeof problem, "a certificate and its key go together");
	}
	if (err)
		(void)snprintf(c->problem, sizeof c->problem, "%s",
			       problem[0] != '\0' ? problem : smtp_error_str(err));
	return err || !o->pinned_key ? err : set_pin(c, *out);
}

/* --- one attempt ------------------------------------------------------------------------------- */

static int try_with(struct smtp_client *c, struct smtp_client_conn_options *o)
{
	int err = smtp_client_conn_new(&c->conn, c->loop, o, &smtp_client_events, c);

	return err ? smtp_client_say(c, err, smtp_error_str(err)) :
		     smtp_client_run(c, CLIENT_CALL_CONNECT);
}

/* A server whose TLS does not work gets mail in clear where TLS was only a chance to be taken; never a
 * password, and never when a certain key was asked for. */
static int try_addresses(struct smtp_client *c, struct smtp_client_conn_options *o)
{
	int err = try_with(c, o);

	if (err != SMTP_ETLS || o->session.tls != SMTP_CLIENT_TLS_OPPORTUNISTIC || o->session.user ||
	    o->session.token || c->options.pinned_key || o->has_fd)
		return err;
	c->problem[0] = '\0';
	o->session.tls = SMTP_CLIENT_TLS_NONE;
	return try_with(c, o);
}

static void set_times(struct smtp_client_session_options *s, const struct smtp_client_options *o)
{
	const struct {
		uint32_t *time;
		uint32_t wanted;
	} times[] = {
		{ &s->greeting_timeout_ms, o->greeting_timeout_ms },
		{ &s->command_timeout_ms, o->command_timeout_ms },
		{ &s->data_timeout_ms, o->data_timeout_ms },
		{ &s->block_timeout_ms, o->block_timeout_ms },
		{ &s->end_timeout_ms, o->end_timeout_ms },
		{ &s->quit_timeout_ms, o->quit_timeout_ms },
	};

	for (size_t i = 0; i < sizeof times / sizeof *times; i++)
		if (times[i].wanted > 0)
			*times[i].time = times[i].wanted;
}

static void set_session(struct smtp_client *c, const struct client_target *target,
			struct smtp_client_session_options *s)
{
	smtp_client_session_options_init(s);
	s->helo_name = c->options.helo_name;
	s->tls = target->tls;
	s->lmtp = target->lmtp;
	s->pipelining = !c->options.no_pipelining;
	s->chunking = !c->options.no_chunking;
	s->user = user_of(c, target);
	s->password = s->user ? c->options.password : NULL;
	s->token = c->options.token;
	s->auth_external = c->options.certificate_file && !s->password && !s->token;
	s->mechanism = c->options.mechanism;
	s->auth_without_tls = c->options.auth_without_tls;
	set_times(s, &c->options);
}

/* A pinned key asks for TLS by itself. */
static void check_pin(struct smtp_client *c, struct smtp_client_conn_options *o)
{
	if (c->options.pinned_key && o->session.tls == SMTP_CLIENT_TLS_OPPORTUNISTIC)
		o->session.tls = SMTP_CLIENT_TLS_REQUIRED;
}

int smtp_client_open_with(struct smtp_client *c, const struct client_target *target,
		     struct smtp_client_conn_options *o)
{
	char own_name[SMTP_DOMAIN_MAX + 1];
	int err = make_tls_context(c, target, &o->tls);

	if (err) {
		smtp_tls_context_unref(o->tls);
		if (o->has_fd)
			(void)close(o->fd);
		return err;
	}
	set_session(c, target, &o->session);
	check_pin(c, o);
	if (!o->session.helo_name) {
		smtp_client_own_name(o->address_count > 0 ? &o->addresses[0] : NULL, own_name);
		o->session.helo_name = own_name;
	}
	o->tls_name = tls_name_of(c, target);
	o->connect_timeout_ms = c->options.connect_timeout_ms;
	o->handshake_timeout_ms = c->options.handshake_timeout_ms;
	err = try_addresses(c, o);
	smtp_tls_context_unref(o->tls);
	return err;
}

/* Every open() begins here. */
static int begin(struct smtp_client *c, const struct client_target *target)
{
	if (user_of(c, target) && !c->options.password && !c->options.token &&
	    c->options.mechanism != SMTP_MECHANISM_EXTERNAL) {
		(void)snprintf(c->problem, sizeof c->problem, "%s: the user %.300s needs a password",
			       c->where, user_of(c, target));
		return SMTP_EINVAL;
	}
	return 0;
}

int smtp_client_open_begin(struct smtp_client *c)
{
	if (c->conn)
		return SMTP_ESTATE;
	smtp_client_forget(c);
	smtp_client_replies_free(c->greeting);
	c->greeting = NULL;
	c->peer[0] = c->tls[0] = c->where[0] = '\0';
	c->extensions = (struct smtp_extensions){ .extended = false };
	return 0;
}

static struct client_target target_of_options(const struct smtp_client *c)
{
	return (struct client_target){
		.tls = c->options.tls,
		.lmtp = c->options.lmtp,
		.check = c->options.tls == SMTP_CLIENT_TLS_IMPLICIT ||
			 c->options.tls == SMTP_CLIENT_TLS_REQUIRED,
	};
}

static int open_named(struct smtp_client *c, const struct client_target *target, uint16_t port)
{
	struct smtp_socket_address addresses[SMTP_CLIENT_ADDRESSES_MAX];
	struct smtp_client_conn_options o = { .addresses = addresses };
	const char *problem = NULL;
	int err = begin(c, target);

	if (err)
		return err;
	err = smtp_client_look_up(target->host, port, addresses, &o.address_count, &problem);
	return err ? smtp_client_say(c, err, problem) : smtp_client_open_with(c, target, &o);
}

static int open_one(struct smtp_client *c, const struct client_target *target,
		    const struct smtp_socket_address *address)
{
	struct smtp_client_conn_options o = { .addresses = address, .address_count = 1 };
	int err = begin(c, target);

	return err ? err : smtp_client_open_with(c, target, &o);
}

static int open_path(struct smtp_client *c, const struct client_target *target, const char *path)
{
	struct smtp_socket_address address;
	int err = smtp_socket_address_set_path(&address, path);

	(void)snprintf(c->where, sizeof c->where, "%s", path);
	return err ? smtp_client_say(c, err, "the path of the socket is too long") :
		     open_one(c, target, &address);
}

/* --- public ------------------------------------------------------------------------------------ */

/* How each kind of URL is connected to. */
static const struct {
	enum smtp_client_tls tls;
	bool lmtp, check;
} schemes[] = {
	[SMTP_URL_SMTP] = { .tls = SMTP_CLIENT_TLS_OPPORTUNISTIC },
	[SMTP_URL_SMTPS] = { .tls = SMTP_CLIENT_TLS_IMPLICIT, .check = true },
	[SMTP_URL_SMTP_STARTTLS] = { .tls = SMTP_CLIENT_TLS_REQUIRED, .check = true },
	[SMTP_URL_LMTP] = { .tls = SMTP_CLIENT_TLS_OPPORTUNISTIC, .lmtp = true },
	[SMTP_URL_LMTP_UNIX] = { .tls = SMTP_CLIENT_TLS_NONE, .lmtp = true },
	[SMTP_URL_MX] = { .tls = SMTP_CLIENT_TLS_OPPORTUNISTIC },
};

static int read_url(struct smtp_client *c, struct smtp_url *url, const char *text)
{
	const char *problem = NULL;
	int err = smtp_url_parse(url, smtp_span_of(text), &problem);

	if (err)
		(void)snprintf(c->problem, sizeof c->problem, "%.300s: %s", text,
			       problem ? problem : smtp_error_str(err));
	return err;
}

int smtp_client_open(struct smtp_client *c, const char *url)
{
	struct client_target target = { .tls = SMTP_CLIENT_TLS_NONE };
	struct smtp_url parsed;
	int err = c && url ? smtp_client_open_begin(c) : SMTP_EINVAL;

	if (!err)
		err = read_url(c, &parsed, url);
	if (err)
		return err;
	target.tls = schemes[parsed.scheme].tls;
	target.lmtp = schemes[parsed.scheme].lmtp;
	target.check = schemes[parsed.scheme].check;
	memcpy(target.user, parsed.user, sizeof target.user);
	if (parsed.scheme == SMTP_URL_LMTP_UNIX)
		return open_path(c, &target, parsed.host);
	if (parsed.scheme == SMTP_URL_MX)
		return smtp_client_open_mx(c, parsed.host, 0);
	memcpy(target.host, parsed.host, sizeof target.host);
	smtp_client_set_where(c, parsed.host, parsed.port);
	return open_named(c, &target, parsed.port);
}

int smtp_client_open_host(struct smtp_client *c, const char *host, uint16_t port)
{
	struct client_target target;
	int err = c && host ? smtp_client_open_begin(c) : SMTP_EINVAL;

	if (err)
		return err;
	target = target_of_options(c);
	if (host[0] == '\0' || strlen(host) >= sizeof target.host || port == 0)
		return smtp_client_say(c, SMTP_EINVAL, "no host, or no port");
	memcpy(target.host, host, strlen(host) + 1);
	smtp_client_set_where(c, host, port);
	return open_named(c, &target, port);
}

int smtp_client_open_address(struct smtp_client *c, const struct sockaddr *address, size_t length)
{
	struct client_target target;
	struct smtp_socket_address one;
	int err = c && address ? smtp_client_open_begin(c) : SMTP_EINVAL;

	if (err)
		return err;
	if (length < sizeof address->sa_family || length > sizeof one.u)
		return smtp_client_say(c, SMTP_EINVAL, "the address is none");
	memset(&one, 0, sizeof one);
	memcpy(&one.u, address, length);
	one.length = (socklen_t)length;
	target = target_of_options(c);
	smtp_socket_address_format(&one, c->where);
	return open_one(c, &target, &one);
}

int smtp_client_open_unix(struct smtp_client *c, const char *path)
{
	struct client_target target;
	int err = c && path ? smtp_client_open_begin(c) : SMTP_EINVAL;

	if (err)
		return err;
	target = target_of_options(c);
	return open_path(c, &target, path);
}

int smtp_client_open_fd(struct smtp_client *c, int fd)
{
	struct smtp_client_conn_options o = { .has_fd = true, .fd = fd };
	struct client_target target;
	int err = c && fd >= 0 ? smtp_client_open_begin(c) : SMTP_EINVAL;

	if (!err) {
		target = target_of_options(c);
		(void)snprintf(c->where, sizeof c->where, "descriptor %d", fd);
		err = begin(c, &target);
	}
	if (err) {
		if (fd >= 0)
			(void)close(fd);
		return err;
	}
	return smtp_client_open_with(c, &target, &o);
}
