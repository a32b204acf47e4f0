/* SPDX-License-Identifier: ISC */
/* settings.c - what the settings mean for the server and its sessions, at the start and at a reload. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/check.h"
#include "smtpd/log.h"
#include "smtpd/mail/process.h"

/* ---- Settings of the sessions ---- */

static void session_options(const struct config *config, enum config_role role,
			    struct smtp_server_session_options *o)
{
	o->hostname = config->hostname;
	o->extensions |= SMTP_SERVER_CHUNKING;
	o->auth_enabled = role != ROLE_MX;
	o->require_tls = role != ROLE_MX;
	o->require_auth = role != ROLE_MX;
	o->max_message_bytes = config->max_message_bytes;
	o->max_swallow_bytes = config->max_message_bytes;
	o->max_recipients = config->max_recipients;
	o->max_auth_failures = config->max_auth_failures;
	o->command_timeout_ms = (uint32_t)config->command_timeout_ms;
	o->content_timeout_ms = (uint32_t)config->content_timeout_ms;
	o->verdict_timeout_ms = 0; /* what the handlers ask has deadlines of its own */
}

static int listen_one(struct mail_main *m, size_t i, const char *passphrase)
{
	const struct config *config = m->start->config;
	enum config_role role = config->listeners[i].role;
	struct smtp_listener_options o = SMTP_LISTENER_OPTIONS_INIT;

	m->roles[i] = (struct mail_listener_role){ &m->process, role };
	o.address = config->listeners[i].address;
	o.fds = m->start->listeners[i].fds;
	o.fd_count = m->start->listeners[i].fd_count;
	o.implicit_tls = role == ROLE_SUBMISSIONS;
	o.proxy_networks = config->listeners[i].proxies;
	if (config->tls_certificate[0] != '\0') {
		o.certificate_file = config->tls_certificate;
		o.key_file = config->tls_key;
		o.key_passphrase = passphrase;
	}
	session_options(config, role, &o.session);
	o.handler = role == ROLE_MX ? &mail_mx_handler : &mail_submission_handler;
	o.user = &m->roles[i];
	return smtp_server_listen(m->process.server, &o, NULL);
}

int mail_listen(struct mail_main *m)
{
	char passphrase[PASSPHRASE_MAX];
	size_t i;
	int err = check_read_passphrase(m->start->config, passphrase);

	if (err != 0)
		(void)snprintf(m->problem, sizeof m->problem, "%s: %s",
			       m->start->config->tls_key_passphrase_file, smtp_error_str(err));
	for (i = 0; err == 0 && i < m->start->config->listener_count; i++) {
		err = listen_one(m, i, passphrase[0] != '\0' ? passphrase : NULL);
		if (err != 0)
			(void)snprintf(m->problem, sizeof m->problem, "%s",
				       smtp_server_problem(m->process.server));
	}
	explicit_bzero(passphrase, sizeof passphrase);
	return err;
}

/* ---- Reload ---- */

static int keep_config(struct mail_main *m, struct config *config)
{
	struct old_config *o = calloc(1, sizeof *o);

	if (o == NULL)
		return SMTP_ENOMEM;
	o->config = config;
	o->next = m->configs;
	m->configs = o;
	return 0;
}

static void update_sessions(struct mail_main *m, const struct config *config)
{
	size_t i;
	int err;

	for (i = 0; i < m->start->config->listener_count; i++) {
		struct smtp_server_session_options o = SMTP_SERVER_SESSION_OPTIONS_INIT;

		session_options(config, m->roles[i].role, &o);
		err = smtp_server_set_session_options(m->process.server, i, &o);
		if (err != 0)
			log_event(LOG_LEVEL_ERROR, "config.reload",
				  LOG_STR("reason", smtp_error_str(err)));
	}
}

static int use_certificate(struct mail_main *m, const struct config *config, char *problem,
			   size_t cap)
{
	char passphrase[PASSPHRASE_MAX];
	int err = check_read_passphrase(config, passphrase);

	if (err != 0)
		(void)snprintf(problem, cap, "%s: %s", config->tls_key_passphrase_file,
			       smtp_error_str(err));
	else
		err = smtp_server_set_certificate(m->process.server, config->tls_certificate,
						  config->tls_key,
						  passphrase[0] != '\0' ? passphrase : NULL,
						  problem, cap);
	explicit_bzero(passphrase, sizeof passphrase);
	return err;
}

static void reload_certificates(struct mail_main *m, const struct config *config)
{
	char problem[512] = "";

	if (config->tls_certificate[0] == '\0')
		return;
	if (use_certificate(m, config, problem, sizeof problem) == 0)
		log_event(LOG_LEVEL_INFO, "cert.reload", LOG_STR("result", "done"));
	else
		log_event(LOG_LEVEL_ERROR, "cert.reload", LOG_STR("result", "kept the old one"),
			  LOG_STR("reason", problem));
}

/** The supervisor has checked the file and logged what is wrong with it; here it is read once more. */
void mail_reload(struct mail_main *m)
{
	struct config_errors errors = { .count = 0 };
	struct config *config;
	int err = config_load(m->start->config->file, &config, &errors);

	config_errors_release(&errors);
	if (err == 0 && keep_config(m, config) != 0) {
		config_free(config);
		err = SMTP_ENOMEM;
	}
	if (err != 0) {
		log_event(LOG_LEVEL_ERROR, "config.reload", LOG_STR("result", "kept the old one"),
			  LOG_STR("reason", smtp_error_str(err)));
		return;
	}
	log_setup(config->log_format, config->log_level, "mail");
	atomic_store(&m->process.config, config);
	queue_set_config(m->process.queue, config);
	update_sessions(m, config);
	log_event(LOG_LEVEL_INFO, "config.reload", LOG_STR("result", "done"));
	reload_certificates(m, config);
}

void mail_free_configs(struct mail_main *m)
{
	while (m->configs != NULL) {
		struct old_config *o = m->configs;

		m->configs = o->next;
		config_free(o->config);
		free(o);
	}
}
