/* SPDX-License-Identifier: ISC */
/* url.c - names of servers (RFC 3986, 3, as far as it concerns mail). Knows the schemes and their
 * ports; connects to nothing.
 */
#include <smtp/url.h>

#include <string.h>

#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

static const struct scheme {
	const char *prefix;
	enum smtp_url_scheme scheme;
	uint16_t port;
	bool has_authority; /* [user@]host[:port] */
} schemes[] = {
	{ "smtp://", SMTP_URL_SMTP, 25, true },
	{ "smtps://", SMTP_URL_SMTPS, 465, true },
	{ "smtp+starttls://", SMTP_URL_SMTP_STARTTLS, 587, true },
	{ "lmtp://", SMTP_URL_LMTP, 24, true },
	{ "lmtp+unix:", SMTP_URL_LMTP_UNIX, 0, false },
	{ "mx://", SMTP_URL_MX, 0, true },
};

static int fault(const char **problem, const char *text)
{
	*problem = text;
	return SMTP_ESYNTAX;
}

static const struct scheme *read_scheme(struct smtp_reader *rd)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++)
		if (smtp_rd_literal(rd, schemes[i].prefix))
			return &schemes[i];
	return NULL;
}

/* --- userinfo "@" ----------------------------------------------------------------------------- */

static int hex_value(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = c < 0 ? c : smtp_ascii_lower((uint8_t)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Behind the "%": the octet of two hexadecimal digits, -1 if they are none. */
static int read_escape(struct smtp_reader *rd)
{
	int high = hex_value(smtp_rd_next(rd));
	int low = hex_value(smtp_rd_next(rd));

	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* unreserved / pct-encoded / sub-delims; -1 for anything else. */
static int read_user_octet(struct smtp_reader *rd)
{
	int c = smtp_rd_next(rd);

	if (c == '%')
		return read_escape(rd);
	return smtp_is((uint8_t)c, SMTP_CC_LET_DIG) || memchr("-._~!$&'()*+,;=", c, 15) ? c : -1;
}

static int read_user(struct smtp_url *url, struct smtp_span text, const char **problem)
{
	struct smtp_reader rd;
	size_t n = 0;

	if (text.n == 0)
		return fault(problem, "nothing stands before the '@'");
	if (memchr(text.p, ':', text.n))
		return fault(problem, "a password does not belong into a URL");
	for (smtp_reader_init(&rd, text); !smtp_rd_end(&rd);) {
		int c = read_user_octet(&rd);

		if (c < 0 || smtp_is((uint8_t)c, SMTP_CC_CONTROL))
			return fault(problem, "the user has a bad escape, or needs one");
		if (n == SMTP_URL_USER_MAX)
			return fault(problem, "the user is too long");
		url->user[n++] = (char)c;
	}
	url->user[n] = '\0';
	if (!smtp_utf8_is_valid(smtp_span_of(url->user)))
		return fault(problem, "the user is not UTF-8");
	return 0;
}

/* The last "@" divides: one in the user must be escaped, and is then found by read_user(). */
static int take_user(struct smtp_url *url, struct smtp_reader *rd, const char **problem)
{
	size_t at = rd->rest.n;
	int err;

	while (at > 0 && rd->rest.p[at - 1] != '@')
		at--;
	if (at == 0)
		return 0;
	if (url->scheme == SMTP_URL_MX)
		return fault(problem, "mx:// takes no user");
	err = read_user(url, smtp_span_slice(rd->rest, 0, at - 1), problem);
	rd->rest = smtp_span_slice(rd->rest, at, SIZE_MAX);
	return err;
}

/* --- host [ ":" port ] ------------------------------------------------------------------------ */

/* "[" IPv6 "]", checked as the address literal that it would be in a mailbox. */
static int take_ipv6(struct smtp_url *url, struct smtp_reader *rd, const char **problem)
{
	char literal[64] = "[IPv6:";
	const uint8_t *close = memchr(rd->rest.p, ']', rd->rest.n);
	struct smtp_span address;
	size_t head = strlen(literal);

	if (!close)
		return fault(problem, "the '[' is not closed");
	address = smtp_span_slice(rd->rest, 1, (size_t)(close - rd->rest.p) - 1);
	rd->rest = smtp_span_slice(rd->rest, address.n + 2, SIZE_MAX);
	if (address.n + 2 > sizeof(literal) - head)
		return fault(problem, "no IPv6 address stands in '[]'");
	memcpy(literal + head, address.p, address.n);
	literal[head + address.n] = ']';
	if (!smtp_address_literal_is_valid(smtp_span_make(literal, head + address.n + 1)))
		return fault(problem, "no IPv6 address stands in '[]'");
	return smtp_span_copy(address, url->host, sizeof(url->host));
}

static int take_host(struct smtp_url *url, struct smtp_reader *rd, const char **problem)
{
	struct smtp_span host = rd->rest;

	if (smtp_rd_peek(rd) == '[' && url->scheme != SMTP_URL_MX)
		return take_ipv6(url, rd, problem);
	while (!smtp_rd_end(rd) && smtp_rd_peek(rd) != ':' && smtp_rd_peek(rd) != '/')
		smtp_rd_next(rd);
	host.n -= rd->rest.n;
	if (host.n == 0)
		return fault(problem, "the host is missing");
	if (!smtp_domain_is_valid(host))
		return fault(problem, "the host is no host name");
	return smtp_span_copy(host, url->host, sizeof(url->host));
}

static int take_port(struct smtp_url *url, struct smtp_reader *rd, const char **problem)
{
	uint64_t port;

	if (!smtp_rd_char(rd, ':'))
		return 0;
	if (url->scheme == SMTP_URL_MX)
		return fault(problem, "mx:// takes no port");
	if (smtp_span_uint(smtp_rd_while(rd, SMTP_CC_DIGIT), &port) || port == 0 ||
	    port > UINT16_MAX)
		return fault(problem, "the port is no number from 1 to 65535");
	url->port = (uint16_t)port;
	return 0;
}

static int read_authority(struct smtp_url *url, struct smtp_reader *rd, const char **problem)
{
	int err = take_user(url, rd, problem);

	if (!err)
		err = take_host(url, rd, problem);
	if (!err)
		err = take_port(url, rd, problem);
	if (err)
		return err;
	smtp_rd_char(rd, '/');
	return smtp_rd_end(rd) ? 0 : fault(problem, "something stands behind host and port");
}

/* An absolute path as it is, without escapes; "//" before it is the empty authority, and no other
 * authority has a meaning. */
static int read_socket_path(struct smtp_url *url, struct smtp_reader *rd, const char **problem)
{
	smtp_rd_literal(rd, "//");
	if (smtp_rd_peek(rd) != '/' || rd->rest.n == 1)
		return fault(problem, "the path of the socket must begin with '/'");
	if (smtp_span_has(rd->rest, SMTP_CC_CONTROL))
		return fault(problem, "the path of the socket has a control character");
	if (smtp_span_copy(rd->rest, url->host, sizeof(url->host)))
		return fault(problem, "the path of the socket is too long");
	return 0;
}

int smtp_url_parse(struct smtp_url *out, struct smtp_span text, const char **problem)
{
	struct smtp_url url = { 0 };
	struct smtp_reader rd;
	const struct scheme *scheme;
	const char *ignored;
	int err;

	problem = problem ? problem : &ignored;
	smtp_reader_init(&rd, text);
	scheme = read_scheme(&rd);
	if (!scheme) {
		*problem = "the URL must begin with smtp://, smtps://, smtp+starttls://, "
			   "lmtp://, lmtp+unix:/ or mx://";
		return SMTP_ENOTSUP;
	}
	url.scheme = scheme->scheme;
	url.port = scheme->port;
	err = scheme->has_authority ? read_authority(&url, &rd, problem)
				    : read_socket_path(&url, &rd, problem);
	if (!err)
		*out = url;
	return err;
}
