/* SPDX-License-Identifier: ISC */
/* dnsbl_lookup.c - looks a name up in DNS with the resolver of the C library, whose state is made for each
 * question, so that any thread may ask; answers are read by net/dns_message.c.
 */
#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdlib.h>
#include <string.h>

#include "libsmtp/core/span.h"
#include "libsmtp/middleware/dnsbl.h"
#include "libsmtp/net/dns_message.h"
#include "libsmtp/net/socket_address.h"

enum { ANSWER_MAX = 4096, TYPE_TXT = 16, WAIT_S = 2, TRIES = 2, SERVER_TEXT_MAX = 64, PORT_DNS = 53 };

/* "192.0.2.53@53", "192.0.2.53"; IPv4 alone, as the C library has it. */
static bool parse_server(const char *server, struct sockaddr_in *out)
{
	const char *at = strchr(server, '@');
	struct smtp_span host = smtp_span_make(server, at ? (size_t)(at - server) : strlen(server));
	struct smtp_socket_address address;
	char text[SERVER_TEXT_MAX];
	uint64_t port = PORT_DNS;

	if (smtp_span_copy(host, text, sizeof text) != 0 ||
	    !smtp_socket_address_parse(&address, text) || address.u.any.sa_family != AF_INET)
		return false;
	if (at && (smtp_span_uint(smtp_span_of(at + 1), &port) != 0 || port == 0 || port > 65535))
		return false;
	*out = address.u.in;
	out->sin_port = htons((uint16_t)port);
	return true;
}

bool dnsbl_server_is_valid(const char *server)
{
	struct sockaddr_in address;

	return parse_server(server, &address);
}

/* The octets of an answer; below 0: there is none. */
static int query(struct __res_state *state, const char *name, int type, uint8_t *answer)
{
	return res_nquery(state, name, ns_c_in, type, answer, ANSWER_MAX);
}

/* The first record of the type. */
static bool first_record(struct smtp_span message, uint16_t type, struct smtp_dns_record *record)
{
	struct smtp_dns_reader reader;

	return smtp_dns_reader_init(&reader, message, type) == 0 && reader.code == 0 &&
	       smtp_dns_reader_next(&reader, record) == 1;
}

/* A TXT record is strings with their lengths before them (RFC 1035, 3.3.14). */
static void read_text(struct smtp_span data, char *out, size_t cap)
{
	size_t n = 0;

	while (data.n > 0) {
		struct smtp_span part = smtp_span_slice(data, 1, data.p[0]);

		part = smtp_span_slice(part, 0, cap - 1 - n);
		if (part.n > 0)
			memcpy(out + n, part.p, part.n);
		n += part.n;
		data = smtp_span_slice(data, 1 + (size_t)data.p[0], data.n);
	}
	out[n] = '\0';
}

static int ask(struct __res_state *state, const char *name, struct smtp_dnsbl_listing *out)
{
	uint8_t answer[ANSWER_MAX];
	struct smtp_dns_record record;
	int n = query(state, name, ns_t_a, answer);

	if (n < 0)
		return state->res_h_errno == HOST_NOT_FOUND || state->res_h_errno == NO_DATA ?
			       SMTP_ENOTFOUND :
			       SMTP_ERESOLVE;
	if (n > ANSWER_MAX || !first_record(smtp_span_make(answer, (size_t)n), SMTP_DNS_TYPE_A, &record) ||
	    record.data.n != sizeof out->address)
		return SMTP_ENOTFOUND;
	memcpy(out->address, record.data.p, sizeof out->address);
	n = query(state, name, ns_t_txt, answer);
	if (n > 0 && n <= ANSWER_MAX &&
	    first_record(smtp_span_make(answer, (size_t)n), TYPE_TXT, &record))
		read_text(record.data, out->text, sizeof out->text);
	return 0;
}

int dnsbl_lookup(void *server, const char *name, struct smtp_dnsbl_listing *out)
{
	struct __res_state state;
	int err;

	memset(&state, 0, sizeof state);
	if (res_ninit(&state) != 0)
		return SMTP_ERESOLVE;
	state.retrans = WAIT_S;
	state.retry = TRIES;
	if (server && parse_server(server, &state.nsaddr_list[0]))
		state.nscount = 1;
	err = ask(&state, name, out);
	res_nclose(&state);
	return err;
}
