/* SPDX-License-Identifier: ISC */
/* socket_address.h - addresses of sockets as values, from octets and text and to text; connecting to
 * one, and what went wrong in words.
 */
#ifndef SMTP_NET_SOCKET_ADDRESS_H
#define SMTP_NET_SOCKET_ADDRESS_H

#include <netinet/in.h>
#include <smtp/base.h>
#include <sys/socket.h>
#include <sys/un.h>

struct smtp_socket_address {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
		struct sockaddr_storage storage;
	} u;
	socklen_t length;
};

enum { SMTP_SOCKET_ADDRESS_TEXT_MAX = 128 };
/** "192.0.2.1:25", "[2001:db8::1]:25", "/run/lmtp"; "" for what has no text. */
void smtp_socket_address_format(const struct smtp_socket_address *,
				char out[SMTP_SOCKET_ADDRESS_TEXT_MAX]);
/** From the 4 octets of AF_INET or the 16 of AF_INET6; port 0. */
void smtp_socket_address_set(struct smtp_socket_address *, int family, const void *octets);
void smtp_socket_address_set_port(struct smtp_socket_address *, uint16_t port);
/** The socket of that path; SMTP_ETOOLONG. */
SMTP_MUST_USE int smtp_socket_address_set_path(struct smtp_socket_address *, const char *path);
/** An address, with or without the brackets and the tag of an address literal (RFC 5321, 4.1.3);
 *  port 0. False, and unchanged, for what is none. */
bool smtp_socket_address_parse(struct smtp_socket_address *, const char *text);

/** A non-blocking stream socket that is connecting (or connected) to the address. Returns 0 or an errno;
 *  *fd may be set on failure too, and is then to be closed as well. */
int smtp_socket_connect(const struct smtp_socket_address *, int *fd);
enum { SMTP_SOCKET_PROBLEM_MAX = 80 };
/** "connection refused" for an errno. */
void smtp_socket_problem(int number, char out[SMTP_SOCKET_PROBLEM_MAX]);

#endif
