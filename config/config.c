/* SPDX-License-Identifier: ISC */
/* config.c - the settings once read: the paths that follow from them, and their end. */
#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libsmtp/core/buf.h"
#include "libsmtp/core/span.h"

enum { PATH_BYTES_MAX = 4096 };

void config_free(struct config *c)
{
	size_t i;

	if (c == NULL)
		return;
	for (i = 0; i < c->listener_count; i++) {
		free(c->listeners[i].address);
		free(c->listeners[i].proxies);
	}
	for (i = 0; i < c->route_count; i++) {
		free(c->routes[i].domain);
		free(c->routes[i].url);
	}
	free(c->file);
	free(c->hostname);
	free(c->data_dir);
	free(c->user);
	free(c->tls_certificate);
	free(c->tls_key);
	free(c->tls_key_passphrase_file);
	free(c->maildir);
	free(c->relay_default);
	free(c->relay_password_file);
	free(c->dns_resolver);
	free(c->dns_trust_anchor);
	free(c);
}

static bool same_text(const char *a, const char *b)
{
	return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

static bool same_listeners(const struct config *a, const struct config *b)
{
	size_t i;

	if (a->listener_count != b->listener_count)
		return false;
	for (i = 0; i < a->listener_count; i++)
		if (strcmp(a->listeners[i].address, b->listeners[i].address) != 0 ||
		    a->listeners[i].role != b->listeners[i].role ||
		    !same_text(a->listeners[i].proxies, b->listeners[i].proxies))
			return false;
	return true;
}

const char *config_fixed_difference(const struct config *old, const struct config *changed)
{
	if (!same_listeners(old, changed))
		return "listen";
	if (strcmp(old->data_dir, changed->data_dir) != 0)
		return "data_dir";
	if (strcmp(old->user, changed->user) != 0)
		return "user";
	if ((old->tls_certificate[0] == '\0') != (changed->tls_certificate[0] == '\0'))
		return "tls";
	if (old->max_connections != changed->max_connections)
		return "limits.connections";
	if (old->max_connections_per_ip != changed->max_connections_per_ip)
		return "limits.connections_per_ip";
	if (old->handshake_timeout_ms != changed->handshake_timeout_ms)
		return "timeouts.handshake";
	return NULL;
}

int config_data_path(const struct config *c, const char *name, char **out)
{
	return asprintf(out, "%s/%s", c->data_dir, name) < 0 ? SMTP_ENOMEM : 0;
}

/** A part of an address that becomes one component of a path. */
static bool is_component(struct smtp_span part)
{
	return part.n > 0 && memchr(part.p, '/', part.n) == NULL &&
	       memchr(part.p, '\0', part.n) == NULL && !smtp_span_is(part, ".") &&
	       !smtp_span_is(part, "..");
}

static int append_pattern(struct smtp_buf *path, const char *pattern, struct smtp_span local_part,
			  struct smtp_span domain)
{
	struct smtp_reader rd;
	int err = 0;

	smtp_reader_init(&rd, smtp_span_of(pattern));
	while (err == 0 && !smtp_rd_end(&rd)) {
		if (smtp_rd_literal(&rd, "{domain}")) {
			err = smtp_buf_append_span(path, domain);
		} else if (smtp_rd_literal(&rd, "{local_part}")) {
			err = smtp_buf_append_span(path, local_part);
		} else {
			uint8_t c = (uint8_t)smtp_rd_next(&rd);

			err = smtp_buf_append(path, &c, 1);
		}
	}
	return err;
}

int config_maildir(const struct config *c, const char *account, char **out)
{
	const char *at = strrchr(account, '@');
	struct smtp_span local_part, domain;
	struct smtp_buf path;
	int err;

	if (at == NULL)
		return SMTP_EINVAL;
	local_part = smtp_span_make(account, (size_t)(at - account));
	domain = smtp_span_of(at + 1);
	if (!is_component(local_part) || !is_component(domain))
		return SMTP_EINVAL;
	smtp_buf_init(&path, PATH_BYTES_MAX);
	err = append_pattern(&path, c->maildir, local_part, domain);
	if (err == 0)
		err = smtp_buf_append(&path, "", 1);
	if (err != 0) {
		smtp_buf_release(&path);
		return err;
	}
	*out = (char *)path.p;
	return 0;
}
