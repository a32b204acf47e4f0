/* SPDX-License-Identifier: ISC */
/* Addresses of sockets as values, and the beginning of a connection to one. No look-ups. */
#include "libsmtp/net/socket_address.h"
#include "libsmtp/core/span.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

void smtp_socket_address_format(const struct smtp_socket_address *a,
				char out[SMTP_SOCKET_ADDRESS_TEXT_MAX])
{
	char host[INET6_ADDRSTRLEN];

	if (a->u.any.sa_family == AF_INET6 &&
	    inet_ntop(AF_INET6, &a->u.in6.sin6_addr, host, sizeof host))
		(void)snprintf(out, SMTP_SOCKET_ADDRESS_TEXT_MAX, "[%s]:%u", host,
			       ntohs(a->u.in6.sin6_port));
	else if (a->u.any.sa_family == AF_INET &&
		 inet_ntop(AF_INET, &a->u.in.sin_addr, host, sizeof host))
		(void)snprintf(out, SMTP_SOCKET_ADDRESS_TEXT_MAX, "%s:%u", host,
			       ntohs(a->u.in.sin_port));
	else if (a->u.any.sa_family == AF_UNIX && a->u.un.sun_path[0] == '/')
		(void)snprintf(out, SMTP_SOCKET_ADDRESS_TEXT_MAX, "%s", a->u.un.sun_path);
	else
		out[0] = '\0';
}

void smtp_socket_address_set(struct smtp_socket_address *a, int family, const void *octets)
{
	memset(a, 0, sizeof *a);
	if (family == AF_INET6) {
		a->u.in6.sin6_family = AF_INET6;
		memcpy(&a->u.in6.sin6_addr, octets, sizeof a->u.in6.sin6_addr);
		a->length = sizeof a->u.in6;
	} else {
		a->u.in.sin_family = AF_INET;
		memcpy(&a->u.in.sin_addr, octets, sizeof a->u.in.sin_addr);
		a->length = sizeof a->u.in;
	}
}

void smtp_socket_address_set_port(struct smtp_socket_address *a, uint16_t port)
{
	if (a->u.any.sa_family == AF_INET6)
		a->u.in6.sin6_port = htons(port);
	else
		a->u.in.sin_port = htons(port);
}

int smtp_socket_address_set_path(struct smtp_socket_address *a, const char *path)
{
	size_t n = strlen(path);

	if (n >= sizeof a->u.un.sun_path)
		return SMTP_ETOOLONG;
	memset(a, 0, sizeof *a);
	a->u.un.sun_family = AF_UNIX;
	memcpy(a->u.un.sun_path, path, n + 1);
	a->length = sizeof a->u.un;
	return 0;
}

bool smtp_socket_address_parse(struct smtp_socket_address *a, const char *text)
{
	struct smtp_span span = smtp_span_of(text);
	char bare[INET6_ADDRSTRLEN];
	uint8_t octets[sizeof(struct in6_addr)];

	if (span.n >= 2 && span.p[0] == '[' && span.p[span.n - 1] == ']')
		span = smtp_span_slice(span, 1, span.n - 2);
	if (smtp_span_is_nocase(smtp_span_slice(span, 0, 5), "IPv6:"))
		span = smtp_span_slice(span, 5, span.n - 5);
	if (smtp_span_copy(span, bare, sizeof bare) != 0)
		return false;
	if (inet_pton(AF_INET6, bare, octets) == 1)
		smtp_socket_address_set(a, AF_INET6, octets);
	else if (inet_pton(AF_INET, bare, octets) == 1)
		smtp_socket_address_set(a, AF_INET, octets);
	else
		return false;
	return true;
}

int smtp_socket_connect(const struct smtp_socket_address *a, int *fd)
{
	*fd = socket(a->u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return errno;
	if (connect(*fd, &a->u.any, a->length) != 0 && errno != EINPROGRESS)
		return errno;
	return 0;
}

void smtp_socket_problem(int number, char out[SMTP_SOCKET_PROBLEM_MAX])
{
	const char *text = strerrordesc_np(number);

	(void)snprintf(out, SMTP_SOCKET_PROBLEM_MAX, "%s", text ? text : "unknown error");
	out[0] = (char)smtp_ascii_lower((uint8_t)out[0]);
}
