/* SPDX-License-Identifier: ISC */
/* server_peer.c - who is at the other end of a session, and at this one: what the driver says of the
 * connection. Nothing is looked up here.
 */
#include <stdlib.h>

#include <smtp/address.h>
#include <smtp/network.h>

#include "libsmtp/core/server_session_private.h"
#include "libsmtp/core/syntax.h"

static int end_set(struct server_end *end, const char *address, uint16_t port)
{
	struct server_end set = { .port = port };
	struct smtp_network ip;

	if (!address)
		return SMTP_EINVAL;
	if (address[0] != '\0') {
		if (smtp_network_parse(&ip, address) || ip.bits != 128)
			return SMTP_EINVAL;
		smtp_network_format(&ip, set.address);
	}
	*end = set;
	return 0;
}

int smtp_server_session_set_peer(struct smtp_server_session *s, const char *address, uint16_t port)
{
	return s->state == SERVER_NEW ? end_set(&s->peer, address, port) : SMTP_ESTATE;
}

int smtp_server_session_set_local(struct smtp_server_session *s, const char *address, uint16_t port)
{
	return s->state == SERVER_NEW ? end_set(&s->local, address, port) : SMTP_ESTATE;
}

int smtp_server_session_set_peer_name(struct smtp_server_session *s, const char *name)
{
	struct smtp_span text = smtp_span_of(name);
	char *copy = NULL;

	if (text.n > SMTP_DOMAIN_MAX)
		return SMTP_ETOOLONG;
	if (text.n > 0) {
		copy = server_text_copy(text);
		if (!copy)
			return SMTP_ENOMEM;
		smtp_text_make_safe((uint8_t *)copy, text.n);
	}
	free(s->peer_name);
	s->peer_name = copy;
	return 0;
}

const char *smtp_server_session_peer_address(const struct smtp_server_session *s)
{
	return s->peer.address;
}

uint16_t smtp_server_session_peer_port(const struct smtp_server_session *s)
{
	return s->peer.port;
}

const char *smtp_server_session_peer_name(const struct smtp_server_session *s)
{
	return s->peer_name ? s->peer_name : "";
}

const char *smtp_server_session_local_address(const struct smtp_server_session *s)
{
	return s->local.address;
}

uint16_t smtp_server_session_local_port(const struct smtp_server_session *s)
{
	return s->local.port;
}
