/* SPDX-License-Identifier: ISC */
/* Look-ups of the blocking client through the C library. The server side never waits like this: it has
 * resolver.c.
 */
#include "libsmtp/net/client_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int smtp_client_look_up(const char *host, uint16_t port,
			struct smtp_socket_address out[SMTP_CLIENT_ADDRESSES_MAX], size_t *count,
			const char **problem)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	size_t n = 0;
	int code = getaddrinfo(host, NULL, &hints, &list);

	if (code != 0) {
		*problem = code == EAI_NONAME || code == EAI_NODATA ?
				   "there is no host of that name" : gai_strerror(code);
		return SMTP_ERESOLVE;
	}
	for (const struct addrinfo *a = list; a && n < SMTP_CLIENT_ADDRESSES_MAX; a = a->ai_next) {
		if (a->ai_addrlen > sizeof out[n].u)
			continue;
		memset(&out[n], 0, sizeof out[n]);
		memcpy(&out[n].u, a->ai_addr, a->ai_addrlen);
		out[n].length = a->ai_addrlen;
		smtp_socket_address_set_port(&out[n], port);
		n++;
	}
	freeaddrinfo(list);
	*count = n;
	*problem = "the host has no address";
	return n > 0 ? 0 : SMTP_ERESOLVE;
}

static bool is_full_name(const char *name)
{
	return strchr(name, '.') && strncmp(name, "localhost.", 10) != 0 &&
	       smtp_domain_is_valid(smtp_span_of(name));
}

static bool own_host_name(char out[SMTP_DOMAIN_MAX + 1])
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
					.ai_flags = AI_CANONNAME };
	struct addrinfo *list = NULL;
	bool found;

	if (gethostname(out, SMTP_DOMAIN_MAX + 1) != 0)
		return false;
	out[SMTP_DOMAIN_MAX] = '\0';
	if (is_full_name(out))
		return true;
	if (getaddrinfo(out, NULL, &hints, &list) != 0)
		return false;
	found = list->ai_canonname && strlen(list->ai_canonname) <= SMTP_DOMAIN_MAX &&
		is_full_name(list->ai_canonname);
	if (found)
		(void)snprintf(out, SMTP_DOMAIN_MAX + 1, "%s", list->ai_canonname);
	freeaddrinfo(list);
	return found;
}

/* A datagram socket that is connected knows its own address; nothing is sent. */
static bool own_address(const struct smtp_socket_address *peer, struct smtp_socket_address *own)
{
	int fd = socket(peer->u.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool good;

	if (fd < 0)
		return false;
	own->length = sizeof own->u;
	good = connect(fd, &peer->u.any, peer->length) == 0 &&
	       getsockname(fd, &own->u.any, &own->length) == 0;
	(void)close(fd);
	return good;
}

void smtp_client_own_name(const struct smtp_socket_address *peer, char out[SMTP_DOMAIN_MAX + 1])
{
	struct smtp_socket_address own;
	char text[INET6_ADDRSTRLEN];

	if (own_host_name(out))
		return;
	(void)snprintf(out, SMTP_DOMAIN_MAX + 1, "[127.0.0.1]");
	if (!peer || !own_address(peer, &own))
		return;
	if (own.u.any.sa_family == AF_INET6 &&
	    inet_ntop(AF_INET6, &own.u.in6.sin6_addr, text, sizeof text))
		(void)snprintf(out, SMTP_DOMAIN_MAX + 1, "[IPv6:%s]", text);
	else if (own.u.any.sa_family == AF_INET &&
		 inet_ntop(AF_INET, &own.u.in.sin_addr, text, sizeof text))
		(void)snprintf(out, SMTP_DOMAIN_MAX + 1, "[%s]", text);
}
