/* SPDX-License-Identifier: ISC */
/* The certificates of listeners: kept as they were given, loaded at the start and again while the server
 * runs. What is in them is the matter of tls*.c.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "libsmtp/net/server_internal.h"

/* --- as they were given ------------------------------------------------------------------------ */

static bool copy_text(char **out, const char *text)
{
	*out = text ? strdup(text) : NULL;
	return !text || *out;
}

static int pair_copy(struct server_pair *out, const struct smtp_certificate *given)
{
	const char *const texts[SERVER_TEXTS] = {
		[SERVER_CERTIFICATE_FILE] = given->certificate_file,
		[SERVER_KEY_FILE] = given->key_file,
		[SERVER_PASSPHRASE] = given->key_passphrase,
		[SERVER_CERTIFICATE_PEM] = given->certificate_pem,
		[SERVER_KEY_PEM] = given->key_pem,
	};

	for (size_t i = 0; i < SERVER_TEXTS; i++)
		if (!copy_text(&out->texts[i], texts[i]))
			return SMTP_ENOMEM;
	return 0;
}

static void pair_release(struct server_pair *pair)
{
	for (size_t i = 0; i < SERVER_TEXTS; i++) {
		if (pair->texts[i])
			sodium_memzero(pair->texts[i], strlen(pair->texts[i]));
		free(pair->texts[i]);
		pair->texts[i] = NULL;
	}
}

int server_certificates_copy(struct server_certificates *out,
			     const struct smtp_listener_options *options)
{
	const struct smtp_certificate first = {
		.certificate_file = options->certificate_file,
		.key_file = options->key_file,
		.key_passphrase = options->key_passphrase,
		.certificate_pem = options->certificate_pem,
		.key_pem = options->key_pem,
	};
	size_t own = first.certificate_file || first.certificate_pem ? 1 : 0;
	size_t count = own + options->certificate_count;
	int err = 0;

	if (count > SERVER_CERTIFICATES_MAX)
		return SMTP_ETOOLONG;
	out->require_client_certificate = options->require_client_certificate;
	if (count == 0)
		return options->require_client_certificate ? SMTP_EINVAL : 0;
	out->pairs = calloc(count, sizeof *out->pairs);
	if (!out->pairs || !copy_text(&out->client_ca_file, options->client_ca_file) ||
	    !copy_text(&out->client_ca_pem, options->client_ca_pem))
		return SMTP_ENOMEM;
	out->count = count;
	if (own)
		err = pair_copy(&out->pairs[0], &first);
	for (size_t i = own; i < count && !err; i++)
		err = pair_copy(&out->pairs[i], &options->certificates[i - own]);
	return err;
}

void server_certificates_release(struct server_certificates *certificates)
{
	for (size_t i = 0; i < certificates->count; i++)
		pair_release(&certificates->pairs[i]);
	free(certificates->pairs);
	free(certificates->client_ca_file);
	free(certificates->client_ca_pem);
	*certificates = (struct server_certificates){ .count = 0 };
}

/* --- loading ---------------------------------------------------------------------------------- */

int server_certificates_load(const struct server_certificates *given, struct smtp_tls_context **tls,
			     char problem[SMTP_TLS_PROBLEM_MAX])
{
	struct smtp_tls_pair pairs[SERVER_CERTIFICATES_MAX];
	const struct smtp_tls_server server = {
		.pairs = pairs,
		.count = given->count,
		.client_ca = { given->client_ca_file, given->client_ca_pem },
		.require_client_certificate = given->require_client_certificate,
	};

	*tls = NULL;
	*problem = '\0';
	if (given->count == 0)
		return 0;
	for (size_t i = 0; i < given->count; i++) {
		char *const *texts = given->pairs[i].texts;

		pairs[i] = (struct smtp_tls_pair){
			.certificate = { texts[SERVER_CERTIFICATE_FILE],
					 texts[SERVER_CERTIFICATE_PEM] },
			.key = { texts[SERVER_KEY_FILE], texts[SERVER_KEY_PEM] },
			.passphrase = texts[SERVER_PASSPHRASE],
		};
	}
	return smtp_tls_server_context_make(tls, &server, problem);
}

static int reload_one(struct server_listener *listener, struct server_settings **out,
		      char problem[SMTP_TLS_PROBLEM_MAX])
{
	struct server_settings *now = server_listener_settings(listener);
	struct smtp_tls_context *tls;
	int err = server_certificates_load(&listener->certificates, &tls, problem);

	if (!err)
		err = server_settings_new(out, listener, &now->session, tls);
	smtp_tls_context_unref(tls);
	server_settings_unref(now);
	return err;
}

static size_t listener_count(const struct smtp_server *server)
{
	size_t count = 0;

	for (const struct server_listener *l = server->listeners; l; l = l->next)
		count++;
	return count;
}

/* All are made before the first one is used: it goes well for every listener or for none. */
static int reload(struct smtp_server *server, char *problem, size_t cap)
{
	struct server_settings **made = calloc(listener_count(server) + 1,
					       sizeof(struct server_settings *));
	char why[SMTP_TLS_PROBLEM_MAX] = "";
	size_t n = 0;
	int err = made ? 0 : SMTP_ENOMEM;

	for (struct server_listener *l = server->listeners; l && !err; l = l->next) {
		err = reload_one(l, &made[n], why);
		n += err == 0;
	}
	if (!err) {
		n = 0;
		for (struct server_listener *l = server->listeners; l; l = l->next)
			server_listener_exchange(l, made[n++]);
	} else {
		while (n > 0)
			server_settings_unref(made[--n]);
	}
	free(made);
	if (problem && cap > 0)
		(void)snprintf(problem, cap, "%s", err && !*why ? smtp_error_str(err) : why);
	return err;
}

int smtp_server_reload_tls(struct smtp_server *server, char *problem, size_t cap)
{
	int err;

	(void)pthread_mutex_lock(&server->changes);
	err = reload(server, problem, cap);
	(void)pthread_mutex_unlock(&server->changes);
	return err;
}

/* A listener that began without TLS stays so: its sessions were promised that. */
static void swap_first(struct smtp_server *server, struct server_pair *pairs)
{
	for (struct server_listener *l = server->listeners; l; l = l->next, pairs++) {
		struct server_pair old;

		if (l->certificates.count == 0)
			continue;
		old = l->certificates.pairs[0];
		l->certificates.pairs[0] = *pairs;
		*pairs = old;
	}
}

int smtp_server_set_certificate(struct smtp_server *server, const char *certificate_file,
				const char *key_file, const char *key_passphrase, char *problem,
				size_t cap)
{
	const struct smtp_certificate given = {
		.certificate_file = certificate_file,
		.key_file = key_file,
		.key_passphrase = key_passphrase,
	};
	size_t count = listener_count(server);
	struct server_pair *pairs;
	int err = 0;

	if (problem && cap > 0)
		*problem = '\0';
	if (!certificate_file || !key_file)
		return SMTP_EINVAL;
	pairs = calloc(count + 1, sizeof *pairs);
	if (!pairs)
		return SMTP_ENOMEM;
	for (size_t i = 0; i < count && !err; i++)
		err = pair_copy(&pairs[i], &given);
	if (!err) {
		(void)pthread_mutex_lock(&server->changes);
		swap_first(server, pairs);
		err = reload(server, problem, cap);
		if (err)
			swap_first(server, pairs);
		(void)pthread_mutex_unlock(&server->changes);
	}
	for (size_t i = 0; i < count; i++)
		pair_release(&pairs[i]);
	free(pairs);
	return err;
}
