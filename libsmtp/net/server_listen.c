/* SPDX-License-Identifier: ISC */
/* Listeners of a server: what each one was told, the settings its new connections get, and changes of
 * those while the server runs. Accepting itself is listener.c.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "libsmtp/core/sized.h"
#include "libsmtp/net/server_internal.h"

/* --- settings --------------------------------------------------------------------------------- */

void smtp_listener_options_init(struct smtp_listener_options *options)
{
	*options = (struct smtp_listener_options)SMTP_LISTENER_OPTIONS_INIT;
}

/* Whether a session would take these options; how a struct of another size is read is its matter. */
static int check_session_options(const struct smtp_server_session_options *options)
{
	struct smtp_server_session *session;
	int err = smtp_server_session_new(&session, options, NULL, NULL);

	if (!err)
		smtp_server_session_free(session);
	return err;
}

/* A key for salts that nobody gave is the server's: kept when options change while it runs. */
static void fill_auth(struct smtp_server_session_options *session,
		      const struct smtp_server *server)
{
	static const uint8_t none[sizeof session->scram_fake_key];

	if (!session->crypto)
		session->crypto = smtp_crypto_openssl();
	if (memcmp(session->scram_fake_key, none, sizeof none) == 0)
		memcpy(session->scram_fake_key, server->scram_fake_key, sizeof none);
}

/* What the options only point to. */
static int copy_pointed(struct server_settings *settings)
{
	struct smtp_server_session_options *session = &settings->session;
	size_t networks = session->xclient_network_count;
	size_t extensions = session->custom_extension_count;

	settings->hostname = strdup(session->hostname);
	settings->networks = calloc(networks + 1, sizeof *settings->networks);
	settings->extensions = calloc(extensions + 1, sizeof *settings->extensions);
	if (!settings->hostname || !settings->networks || !settings->extensions)
		return SMTP_ENOMEM;
	for (size_t i = 0; i < networks; i++)
		settings->networks[i] = session->xclient_networks[i];
	for (size_t i = 0; i < extensions; i++)
		settings->extensions[i] = session->custom_extensions[i];
	session->hostname = settings->hostname;
	session->xclient_networks = networks > 0 ? settings->networks : NULL;
	session->custom_extensions = extensions > 0 ? settings->extensions : NULL;
	return 0;
}

/* The machine's own name; what is no domain is of no use to others. */
static void find_hostname(char out[SMTP_DOMAIN_MAX + 1])
{
	if (gethostname(out, SMTP_DOMAIN_MAX) != 0)
		out[0] = '\0';
	out[SMTP_DOMAIN_MAX] = '\0';
	if (!smtp_domain_is_valid((struct smtp_span){ (const uint8_t *)out, strlen(out) }))
		memcpy(out, "localhost", sizeof "localhost");
}

int server_settings_new(struct server_settings **out, const struct server_listener *listener,
			const struct smtp_server_session_options *options,
			struct smtp_tls_context *tls)
{
	struct server_settings *settings = calloc(1, sizeof *settings);
	char hostname[SMTP_DOMAIN_MAX + 1];
	int err;

	if (!settings)
		return SMTP_ENOMEM;
	atomic_init(&settings->refs, 1);
	smtp_server_session_options_init(&settings->session);
	err = smtp_sized_copy(&settings->session, sizeof settings->session, options, 0);
	if (!err && !settings->session.hostname) {
		find_hostname(hostname);
		settings->session.hostname = hostname;
	}
	if (!err)
		err = check_session_options(&settings->session);
	if (!err)
		err = copy_pointed(settings);
	if (err) {
		server_settings_unref(settings);
		return err;
	}
	fill_auth(&settings->session, listener->server);
	settings->session.offer_starttls = tls && !listener->implicit_tls;
	settings->session.tls_active = listener->implicit_tls;
	settings->tls = smtp_tls_context_ref(tls);
	*out = settings;
	return 0;
}

void server_settings_unref(struct server_settings *settings)
{
	if (!settings ||
	    atomic_fetch_sub_explicit(&settings->refs, 1, memory_order_acq_rel) != 1)
		return;
	smtp_tls_context_unref(settings->tls);
	free(settings->hostname);
	free(settings->networks);
	free(settings->extensions);
	free(settings);
}

struct server_settings *server_listener_settings(struct server_listener *listener)
{
	struct server_settings *settings;

	(void)pthread_mutex_lock(&listener->lock);
	settings = listener->settings;
	(void)atomic_fetch_add_explicit(&settings->refs, 1, memory_order_relaxed);
	(void)pthread_mutex_unlock(&listener->lock);
	return settings;
}

void server_listener_exchange(struct server_listener *listener, struct server_settings *settings)
{
	struct server_settings *old;

	(void)pthread_mutex_lock(&listener->lock);
	old = listener->settings;
	listener->settings = settings;
	(void)pthread_mutex_unlock(&listener->lock);
	server_settings_unref(old);
}

int smtp_server_set_session_options(struct smtp_server *server, size_t index,
				    const struct smtp_server_session_options *options)
{
	struct server_listener *listener = server->listeners;
	struct server_settings *now;
	struct server_settings *settings;
	int err;

	while (listener && index-- > 0)
		listener = listener->next;
	if (!listener)
		return SMTP_EINVAL;
	(void)pthread_mutex_lock(&server->changes);
	now = server_listener_settings(listener);
	err = server_settings_new(&settings, listener, options, now->tls);
	server_settings_unref(now);
	if (!err)
		server_listener_exchange(listener, settings);
	(void)pthread_mutex_unlock(&server->changes);
	return err;
}

/* --- setting up ------------------------------------------------------------------------------- */

static void listener_free(struct server_listener *listener)
{
	if (!listener)
		return;
	server_certificates_release(&listener->certificates);
	free(listener->proxies);
	smtp_unix_socket_close(&listener->unix_socket);
	server_settings_unref(listener->settings);
	(void)pthread_mutex_destroy(&listener->lock);
	free(listener);
}

void server_listeners_free(struct smtp_server *server)
{
	while (server->listeners) {
		struct server_listener *listener = server->listeners;

		server->listeners = listener->next;
		listener_free(listener);
	}
}

bool server_listener_trusts(const struct server_listener *listener,
			    const struct smtp_socket_address *peer)
{
	struct smtp_network ip = { .bits = 128 };

	if (peer->u.any.sa_family == AF_INET) {
		ip.octets[10] = ip.octets[11] = 0xff;
		memcpy(ip.octets + 12, &peer->u.in.sin_addr, 4);
	} else if (peer->u.any.sa_family == AF_INET6) {
		memcpy(ip.octets, &peer->u.in6.sin6_addr, 16);
	} else {
		return false;
	}
	return smtp_networks_contain(listener->proxies, listener->proxy_count, &ip);
}

static int set_proxies(struct server_listener *listener, const char *text)
{
	struct smtp_network networks[SERVER_NETWORKS_MAX];
	size_t count = 0;
	int err = text ? smtp_networks_parse(networks, SERVER_NETWORKS_MAX, &count, text) : 0;

	if (err || count == 0)
		return err;
	listener->proxies = calloc(count, sizeof *listener->proxies);
	if (!listener->proxies)
		return SMTP_ENOMEM;
	memcpy(listener->proxies, networks, count * sizeof *networks);
	listener->proxy_count = count;
	return 0;
}

static int listener_new(struct server_listener **out, struct smtp_server *server,
			const struct smtp_listener_options *options)
{
	struct server_listener *listener = calloc(1, sizeof *listener);

	if (!listener)
		return SMTP_ENOMEM;
	if (pthread_mutex_init(&listener->lock, NULL) != 0) {
		free(listener);
		return SMTP_ENOMEM;
	}
	listener->server = server;
	listener->implicit_tls = options->implicit_tls;
	listener->last = smtp_middleware_of(NULL, options->handler, options->user);
	listener->last.blocking = options->blocking;
	*out = listener;
	return 0;
}

static int set_up(struct server_listener *listener, const struct smtp_listener_options *options)
{
	struct smtp_server *server = listener->server;
	char problem[SMTP_TLS_PROBLEM_MAX];
	struct smtp_tls_context *tls;
	int err = set_proxies(listener, options->proxy_networks);

	if (err)
		return server_fail(server, err == SMTP_ENOMEM ? err : SMTP_EINVAL, "proxy_networks",
				   smtp_error_str(err));
	err = server_certificates_copy(&listener->certificates, options);
	if (err)
		return server_fail(server, err, "certificates", smtp_error_str(err));
	err = server_certificates_load(&listener->certificates, &tls, problem);
	if (err)
		return server_fail(server, err, "", problem);
	if (listener->implicit_tls && !tls)
		return server_fail(server, SMTP_EINVAL, "", "TLS from the start needs a certificate");
	err = server_settings_new(&listener->settings, listener, &options->session, tls);
	smtp_tls_context_unref(tls);
	if (err)
		return server_fail(server, err, "options of the session",
				   err == SMTP_EINVAL ? "no valid host name, or of another version" :
							smtp_error_str(err));
	return 0;
}

/* --- sockets ---------------------------------------------------------------------------------- */

static int add_socket(struct server_loop *loop, struct server_listener *listener, int fd)
{
	struct server_socket *sock = calloc(1, sizeof *sock);
	int err;

	if (!sock)
		return SMTP_ENOMEM;
	sock->loop = loop;
	sock->listener = listener;
	err = smtp_listener_new(&sock->accepting, loop->loop, fd, server_conn_accepted, sock);
	if (err) {
		free(sock);
		return err;
	}
	sock->next = loop->sockets;
	loop->sockets = sock;
	return 0;
}

/* Takes back what add_socket() did for this listener; the descriptors are closed. */
static void remove_sockets(struct smtp_server *server, const struct server_listener *listener)
{
	for (unsigned i = 0; i < server->loop_count; i++) {
		struct server_socket **place = &server->loops[i].sockets;

		while (*place) {
			struct server_socket *sock = *place;

			if (sock->listener != listener) {
				place = &sock->next;
				continue;
			}
			*place = sock->next;
			smtp_listener_free(sock->accepting);
			free(sock);
		}
	}
}

/* One socket for each loop, or one for all of them when there are fewer. */
static int spread(struct server_listener *listener, const int *fds, size_t count)
{
	struct smtp_server *server = listener->server;
	size_t rounds = count < server->loop_count ? server->loop_count : 1;
	int err = 0;

	for (size_t i = 0; i < count * rounds && !err; i++) {
		size_t loop = rounds > 1 ? i / count : i % server->loop_count;
		/* A copy: on failure all of them are closed and the caller still has his. */
		int fd = fcntl(fds[i % count], F_DUPFD_CLOEXEC, 3);

		if (fd < 0)
			return SMTP_EIO;
		err = add_socket(&server->loops[loop], listener, fd);
		if (err)
			(void)close(fd);
	}
	return err;
}

static int check_fds(const struct smtp_listener_options *options)
{
	for (size_t i = 0; i < options->fd_count; i++) {
		int listens = 0;
		socklen_t n = sizeof listens;
		int flags = fcntl(options->fds[i], F_GETFL);

		if (getsockopt(options->fds[i], SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) != 0 ||
		    !listens || flags < 0 ||
		    fcntl(options->fds[i], F_SETFL, flags | O_NONBLOCK) != 0)
			return SMTP_EINVAL;
	}
	return 0;
}

static void close_all(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		(void)close(fds[i]);
}

static int attach_fds(struct server_listener *listener, const struct smtp_listener_options *options,
		      uint16_t *port)
{
	struct smtp_socket_address bound = { .length = sizeof bound.u };
	int err = check_fds(options);

	if (err)
		return server_fail(listener->server, err, "", "a descriptor that does not listen");
	if (port) {
		*port = 0; /* unix sockets have none */
		if (getsockname(options->fds[0], &bound.u.any, &bound.length) == 0 &&
		    (bound.u.any.sa_family == AF_INET || bound.u.any.sa_family == AF_INET6))
			*port = ntohs(bound.u.in.sin_port); /* at the same place in both */
	}
	err = spread(listener, options->fds, options->fd_count);
	if (err)
		return server_fail(listener->server, err, "", smtp_error_str(err));
	close_all(options->fds, options->fd_count);
	return 0;
}

static int attach_address(struct server_listener *listener, const char *address,
			  unsigned unix_mode, uint16_t *port)
{
	struct smtp_server *server = listener->server;
	char problem[SMTP_LISTENER_PROBLEM_MAX];
	int fds[2 * SERVER_LOOPS_MAX];
	size_t count = sizeof fds / sizeof *fds;
	int err;

	if (strncmp(address, SMTP_UNIX_PREFIX, sizeof SMTP_UNIX_PREFIX - 1) == 0) {
		count = 1;
		if (port)
			*port = 0;
		err = smtp_unix_socket_open(&listener->unix_socket,
					    address + sizeof SMTP_UNIX_PREFIX - 1, unix_mode, fds,
					    problem);
	} else {
		err = smtp_listener_open(address, server->loop_count, fds, &count, port, problem);
	}

	if (err)
		return server_fail(server, err, "", problem);
	err = spread(listener, fds, count);
	close_all(fds, count);
	return err ? server_fail(server, err, address, smtp_error_str(err)) : 0;
}

static int copy_options(struct smtp_listener_options *out, const struct smtp_listener_options *given)
{
	const size_t least = offsetof(struct smtp_listener_options, blocking);
	smtp_listener_options_init(out);
	if (smtp_sized_copy(out, sizeof *out, given, least) != 0 ||
	    out->session.size != sizeof out->session)
		return SMTP_EINVAL;
	return out->address || out->fd_count > 0 ? 0 : SMTP_EINVAL;
}

static int attach(struct server_listener *listener, const struct smtp_listener_options *options,
		  uint16_t *port)
{
	int err = set_up(listener, options);

	if (err)
		return err;
	if (options->fd_count > 0)
		return attach_fds(listener, options, port);
	return attach_address(listener, options->address,
			      options->unix_mode ? options->unix_mode : 0600, port);
}

int smtp_server_listen(struct smtp_server *server, const struct smtp_listener_options *given,
		       uint16_t *port)
{
	struct server_listener **last = &server->listeners;
	struct server_listener *listener;
	struct smtp_listener_options options;
	int err = server_check_open(server);

	if (err)
		return err;
	if (copy_options(&options, given) != 0)
		return server_fail(server, SMTP_EINVAL, "",
				   "no address to listen on, or options of another version");
	err = listener_new(&listener, server, &options);
	if (err)
		return server_fail(server, err, "", smtp_error_str(err));
	err = attach(listener, &options, port);
	if (err) {
		remove_sockets(server, listener);
		listener_free(listener);
		return err;
	}
	server->blocks = server->blocks || options.blocking;
	while (*last) {
		last = &(*last)->next;
		listener->index++;
	}
	*last = listener;
	return 0;
}
