/* SPDX-License-Identifier: ISC */
/* server_xclient.c - XCLIENT, by which a trusted peer says for whom it speaks (XCLIENT_README of
 * Postfix): who is trusted, what is read, and how the session begins anew for that client.
 */
#include <stdlib.h>

#include <smtp/address.h>

#include "libsmtp/core/server_session_private.h"
#include "libsmtp/core/syntax.h"

enum { VALUE_MAX = SMTP_DOMAIN_MAX };

/* What one command says. Nothing of it holds before all of it was read. */
struct xclient {
	struct server_end peer, local;
	bool has_port, has_proto, extended;
	bool names_peer, names_helo, names_login; /* also to forget them */
	char *name, *helo, *login;
};

static void xclient_release(struct xclient *x)
{
	free(x->name);
	free(x->helo);
	free(x->login);
}

/* --- trust ---------------------------------------------------------------------------------- */

void server_xclient_init(struct smtp_server_session *s)
{
	const struct smtp_server_session_options *o = &s->options;
	struct smtp_network peer;

	s->xclient.trusted = smtp_network_parse(&peer, s->peer.address) == 0 &&
			     smtp_networks_contain(o->xclient_networks, o->xclient_network_count,
						   &peer);
}

void server_xclient_release(struct smtp_server_session *s)
{
	free(s->xclient.helo_name);
	s->xclient.helo_name = NULL;
}

/* --- values --------------------------------------------------------------------------------- */

static int hex_value(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = smtp_ascii_lower((uint8_t)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* xtext, more leniently than in parameters: digits in any case, and all else stands for itself. */
static int decode(struct smtp_span text, char out[VALUE_MAX + 1])
{
	struct smtp_reader rd;
	size_t n = 0;

	smtp_reader_init(&rd, text);
	while (!smtp_rd_end(&rd)) {
		int c = smtp_rd_next(&rd);

		if (c == '+') {
			int high = smtp_rd_end(&rd) ? -1 : hex_value(smtp_rd_next(&rd));
			int low = smtp_rd_end(&rd) ? -1 : hex_value(smtp_rd_next(&rd));

			if (high < 0 || low < 0)
				return SMTP_ESYNTAX;
			c = high << 4 | low;
		}
		if (n == VALUE_MAX || smtp_is((uint8_t)c, SMTP_CC_CONTROL))
			return SMTP_ESYNTAX;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return n > 0 && smtp_utf8_is_valid(smtp_span_make(out, n)) ? 0 : SMTP_ESYNTAX;
}

static bool is_unavailable(struct smtp_span value)
{
	return smtp_span_is_nocase(value, "[UNAVAILABLE]") ||
	       smtp_span_is_nocase(value, "[TEMPUNAVAIL]");
}

/* --- attributes: `text` is NULL for a value that is not available ------------------------------ */

static int take_text(char **out, bool *named, const char *text)
{
	*named = true;
	free(*out);
	*out = NULL;
	if (!text)
		return 0;
	*out = server_text_copy(smtp_span_of(text));
	return *out ? 0 : SMTP_ENOMEM;
}

/* What stays unknown is as it was: an address that is none would pass for a local one. */
static int take_address(struct server_end *end, const char *text)
{
	struct smtp_network ip;

	if (!text)
		return 0;
	if (smtp_network_parse(&ip, text) || ip.bits != 128)
		return SMTP_ESYNTAX;
	smtp_network_format(&ip, end->address);
	return 0;
}

static int take_port(struct server_end *end, const char *text)
{
	uint64_t port;

	if (!text)
		return 0;
	if (smtp_span_uint(smtp_span_of(text), &port) || port > UINT16_MAX)
		return SMTP_ESYNTAX;
	end->port = (uint16_t)port;
	return 0;
}

static int take_addr(struct xclient *x, const char *text)
{
	return take_address(&x->peer, text);
}

static int take_destaddr(struct xclient *x, const char *text)
{
	return take_address(&x->local, text);
}

static int take_peer_port(struct xclient *x, const char *text)
{
	x->has_port = text != NULL;
	return take_port(&x->peer, text);
}

static int take_destport(struct xclient *x, const char *text)
{
	return take_port(&x->local, text);
}

static int take_name(struct xclient *x, const char *text)
{
	return take_text(&x->name, &x->names_peer, text);
}

static int take_helo(struct xclient *x, const char *text)
{
	return take_text(&x->helo, &x->names_helo, text);
}

static int take_login(struct xclient *x, const char *text)
{
	return take_text(&x->login, &x->names_login, text);
}

static int take_proto(struct xclient *x, const char *text)
{
	struct smtp_span proto = smtp_span_of(text);

	x->extended = smtp_span_is_nocase(proto, "ESMTP");
	x->has_proto = text != NULL;
	return !text || x->extended || smtp_span_is_nocase(proto, "SMTP") ? 0 : SMTP_ESYNTAX;
}

static const struct {
	const char *name;
	int (*take)(struct xclient *x, const char *text);
} attributes[] = {
	{ "ADDR", take_addr },	 { "NAME", take_name },	      { "PORT", take_peer_port },
	{ "PROTO", take_proto }, { "HELO", take_helo },	      { "LOGIN", take_login },
	{ "DESTADDR", take_destaddr }, { "DESTPORT", take_destport },
};

static int take_attribute(struct xclient *x, struct smtp_span name, struct smtp_span value)
{
	char text[VALUE_MAX + 1];

	for (size_t i = 0; i < sizeof(attributes) / sizeof(*attributes); i++) {
		if (!smtp_span_is_nocase(name, attributes[i].name))
			continue;
		if (is_unavailable(value))
			return attributes[i].take(x, NULL);
		return decode(value, text) ? SMTP_ESYNTAX : attributes[i].take(x, text);
	}
	return SMTP_ESYNTAX;
}

/* xclient-command = "XCLIENT" 1*( SP attribute-name "=" attribute-value ); the first "=" divides. */
static int parse(struct xclient *x, struct smtp_span text)
{
	size_t at = 0;
	int err = 0;

	while (!err && at < text.n) {
		size_t end = at, equals;

		while (end < text.n && !smtp_is(text.p[end], SMTP_CC_BLANK))
			end++;
		for (equals = at; equals < end && text.p[equals] != '=';)
			equals++;
		if (end == at)
			end++;
		else if (equals == end)
			err = SMTP_ESYNTAX;
		else
			err = take_attribute(x, smtp_span_slice(text, at, equals - at),
					     smtp_span_slice(text, equals + 1, end - equals - 1));
		at = end;
	}
	return err;
}

/* --- what follows --------------------------------------------------------------------------- */

static void move_text(char **to, char **from)
{
	free(*to);
	*to = *from;
	*from = NULL;
}

/* All that was known goes, TLS excepted: the next to speak is another client. */
static void apply(struct smtp_server_session *s, struct xclient *x)
{
	bool moved = !smtp_span_is(smtp_span_of(x->peer.address), s->peer.address);

	if (moved && !x->has_port)
		x->peer.port = 0; /* was of another address */
	server_session_forget_client(s);
	s->peer = x->peer;
	s->local = x->local;
	if (x->names_peer || moved)
		move_text(&s->peer_name, &x->name);
	if (x->names_helo)
		move_text(&s->xclient.helo_name, &x->helo);
	if (x->names_login)
		move_text(&s->account, &x->login);
	if (x->has_proto) {
		s->xclient.has_proto = true;
		s->xclient.extended = x->extended;
	}
	server_session_set_state(s, SERVER_CONNECT);
	server_phase_begin(s, SERVER_PHASE_CONNECT);
}

static void answer_untrusted(struct smtp_server_session *s)
{
	struct smtp_reply reply = smtp_reply_of(550, "5.7.0", "XCLIENT is not for you, closing");

	server_session_shut(s, SMTP_DISCONNECT_PROTOCOL, &reply);
}

void server_xclient_run(struct smtp_server_session *s, struct smtp_span argument)
{
	struct xclient x = { .peer = s->peer, .local = s->local };
	int err;

	if (!s->xclient.trusted) {
		answer_untrusted(s);
	} else if (s->state != SERVER_GREETED && s->state != SERVER_READY) {
		server_reply_error(s, 503, "5.5.1", "not within a transaction");
	} else if (argument.n == 0) {
		server_reply_error(s, 501, "5.5.4", "syntax: XCLIENT attribute=value ...");
	} else {
		err = parse(&x, argument);
		if (err == SMTP_ENOMEM)
			server_reply(s, 451, "4.3.0", "out of memory, try again later");
		else if (err)
			server_reply_error(s, 501, "5.5.4", "bad attribute");
		else
			apply(s, &x);
	}
	xclient_release(&x);
}
