/* SPDX-License-Identifier: ISC */
/* url.h - names of servers: smtp://host[:25], smtps://host[:465], smtp+starttls://host[:587],
 * lmtp://host[:24], lmtp+unix:/path, mx://domain; with user@ before the host where a login is wanted
 * (RFC 3986 escapes).
 */
#ifndef SMTP_URL_H
#define SMTP_URL_H

#include <smtp/address.h>
#include <smtp/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum smtp_url_scheme {
	SMTP_URL_SMTP,          /* clear text; STARTTLS is used when offered */
	SMTP_URL_SMTPS,         /* TLS from the first octet */
	SMTP_URL_SMTP_STARTTLS, /* STARTTLS is required */
	SMTP_URL_LMTP_UNIX,     /* host is the path of a socket */
	SMTP_URL_MX,            /* host is a domain whose MX hosts are meant */
	SMTP_URL_LMTP           /* LMTP over TCP; STARTTLS is used when offered (RFC 2033) */
};

enum { SMTP_URL_USER_MAX = 320 };

struct smtp_url {
	enum smtp_url_scheme scheme;
	char user[SMTP_URL_USER_MAX + 1]; /* decoded; empty: none. A password in an URL is an error. */
	char host[SMTP_DOMAIN_MAX + 1];   /* IPv6 without its brackets */
	uint16_t port;                    /* the scheme's own when the URL has none; 0 for a path or mx */
};

/** Parses a URL. SMTP_ESYNTAX, or SMTP_ENOTSUP for another scheme; *problem (may be NULL) receives a
 *  static text that tells what is wrong with it. */
SMTP_API SMTP_MUST_USE int smtp_url_parse(struct smtp_url *out, struct smtp_span text,
					  const char **problem);

#ifdef __cplusplus
}
#endif
#endif
