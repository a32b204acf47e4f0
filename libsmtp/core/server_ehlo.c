/* SPDX-License-Identifier: ISC */
/* server_ehlo.c - what the server says of itself: the greeting, and the answer to HELO and EHLO with
 * the extensions that can be used as things stand. What an extension then does is elsewhere.
 */
#include <stdlib.h>

#include <smtp/address.h>

#include "libsmtp/core/server_session_private.h"
#include "libsmtp/core/syntax.h"

/* --- greeting ------------------------------------------------------------------------------- */

/* "220 host ESMTP", "250 host": one line that begins with our name (RFC 5321, 4.2). */
static int append_own_line(struct smtp_server_session *s, struct smtp_buf *out,
			   const struct smtp_reply *given, const char *text)
{
	struct smtp_span tail = given ? given->text : smtp_span_of(text);
	int err = smtp_buf_append_text(out, s->hostname);

	for (size_t i = 0; i < tail.n; i++)
		if (tail.p[i] == '\n')
			tail.n = i;
	if (!err && tail.n > 0)
		err = smtp_buf_append_text(out, " ");
	return err ? err : smtp_buf_append_span(out, smtp_span_slice(tail, 0, 200));
}

/* Sends `code` with the lines of `text`, or fails if they could not be put together. */
static void send_lines(struct smtp_server_session *s, unsigned code, struct smtp_buf *text, int err)
{
	struct smtp_reply reply = smtp_reply_of(code, NULL, "");

	reply.text = smtp_buf_span(text);
	if (err)
		server_session_fail(s, err);
	else
		server_reply_send_plain(s, &reply);
	smtp_buf_release(text);
}

void server_connect_proceed(struct smtp_server_session *s, bool accepted,
			    const struct smtp_reply *given)
{
	struct smtp_buf text;
	int err;

	if (!accepted) {
		server_session_shut(s, SMTP_DISCONNECT_REFUSED, given);
		return;
	}
	if (s->closing.wanted)
		return; /* its reply comes instead of the greeting */
	smtp_buf_init(&text, SERVER_REPLY_TEXT_MAX);
	err = append_own_line(s, &text, given, s->options.lmtp ? "LMTP" : "ESMTP");
	send_lines(s, 220, &text, err);
	server_session_set_state(s, SERVER_GREETED);
}

/* --- HELO, EHLO ----------------------------------------------------------------------------- */

/* What clients call themselves: a domain or an address literal by RFC 5321, 4.1.1.1; underscores
 * and names without dots are seen too often to be refused. */
static bool is_client_name(struct smtp_span name)
{
	if (name.n == 0 || name.n > SMTP_DOMAIN_MAX)
		return false;
	if (name.p[0] == '[')
		return smtp_address_literal_is_valid(name);
	for (size_t i = 0; i < name.n; i++) {
		uint8_t c = name.p[i];

		if (!smtp_is(c, SMTP_CC_LET_DIG) && c != '-' && c != '.' && c != '_' && c != ':')
			return false;
	}
	return true;
}

static void refuse_helo(struct smtp_server_session *s, unsigned code, const char *text)
{
	struct smtp_reply refusal = smtp_reply_of(code, NULL, text);

	server_reply_send_plain(s, &refusal);
	server_error_count(s);
}

static void begin_helo(struct smtp_server_session *s, struct smtp_span argument, bool extended,
		       bool lmtp)
{
	if (lmtp != s->options.lmtp) {
		refuse_helo(s, 500, lmtp ? "this is SMTP, send EHLO" : "this is LMTP, send LHLO");
	} else if (!is_client_name(argument)) {
		refuse_helo(s, 501, lmtp ? "syntax: LHLO your-host-name" :
					   "syntax: HELO or EHLO your-host-name");
	} else {
		s->args.span = s->xclient.helo_name ? smtp_span_of(s->xclient.helo_name) : argument;
		s->args.extended = extended;
		server_phase_begin(s, SERVER_PHASE_HELO);
	}
}

void server_helo_run(struct smtp_server_session *s, struct smtp_span argument)
{
	begin_helo(s, argument, false, false);
}

void server_ehlo_run(struct smtp_server_session *s, struct smtp_span argument)
{
	begin_helo(s, argument, true, false);
}

void server_lhlo_run(struct smtp_server_session *s, struct smtp_span argument)
{
	begin_helo(s, argument, true, true);
}

/* --- extensions ----------------------------------------------------------------------------- */

bool server_starttls_is_usable(const struct smtp_server_session *s)
{
	return s->options.offer_starttls && !s->tls;
}

bool server_extension_is_usable(const struct smtp_server_session *s, unsigned extension)
{
	unsigned on = s->options.extensions;

	switch (extension) {
	case SERVER_EXTENSION_STARTTLS:
		return server_starttls_is_usable(s);
	case SERVER_EXTENSION_NONE:
		return false;
	case SERVER_EXTENSION_SMTP:
		return !s->options.lmtp;
	case SERVER_EXTENSION_LMTP:
		return s->options.lmtp;
	case SERVER_EXTENSION_XCLIENT:
		return s->xclient.trusted;
	case SERVER_EXTENSION_AUTH:
		return server_auth_is_usable(s);
	case SMTP_SERVER_BINARYMIME:
		return (on & extension) && (on & SMTP_SERVER_CHUNKING);
	case SMTP_SERVER_SMTPUTF8: /* RFC 6531, 3.1, item 8: never without 8BITMIME */
		return (on & extension) && (on & SMTP_SERVER_8BITMIME);
	case SMTP_SERVER_REQUIRETLS:
		return (on & extension) && s->tls;
	case SMTP_SERVER_EXPN:
		return (on & extension) &&
		       server_any_handler_has(s, offsetof(struct smtp_server_session_handler, expn));
	default:
		return (on & extension) != 0;
	}
}

static int append_size(const struct smtp_server_session *s, struct smtp_buf *out)
{
	int err = smtp_buf_append_text(out, " ");

	return err ? err : smtp_buf_append_uint(out, s->options.max_message_bytes);
}

/* RFC 9422, 4: what is enforced anyway. */
static int append_limits(const struct smtp_server_session *s, struct smtp_buf *out)
{
	int err = smtp_buf_append_text(out, " MAILMAX=");

	if (!err)
		err = smtp_buf_append_uint(out, s->options.max_transactions);
	if (!err)
		err = smtp_buf_append_text(out, " RCPTMAX=");
	return err ? err : smtp_buf_append_uint(out, s->options.max_recipients);
}

static int append_attributes(const struct smtp_server_session *s, struct smtp_buf *out)
{
	(void)s;
	return smtp_buf_append_text(out, " NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT");
}

/* In the order in which they are announced. */
static const struct keyword {
	unsigned extension;
	const char *line;
	int (*argument)(const struct smtp_server_session *s, struct smtp_buf *out);
} keywords[] = {
	{ SMTP_SERVER_PIPELINING, "\nPIPELINING", NULL },
	{ SMTP_SERVER_SIZE, "\nSIZE", append_size },
	{ SMTP_SERVER_8BITMIME, "\n8BITMIME", NULL },
	{ SMTP_SERVER_ENHANCEDSTATUSCODES, "\nENHANCEDSTATUSCODES", NULL },
	{ SMTP_SERVER_CHUNKING, "\nCHUNKING", NULL },
	{ SMTP_SERVER_BINARYMIME, "\nBINARYMIME", NULL },
	{ SMTP_SERVER_SMTPUTF8, "\nSMTPUTF8", NULL },
	{ SMTP_SERVER_DSN, "\nDSN", NULL },
	{ SMTP_SERVER_REQUIRETLS, "\nREQUIRETLS", NULL },
	{ SMTP_SERVER_LIMITS, "\nLIMITS", append_limits },
	{ SMTP_SERVER_EXPN, "\nEXPN", NULL },
	{ SERVER_EXTENSION_XCLIENT, "\nXCLIENT", append_attributes },
};

bool server_keyword_is_built_in(struct smtp_span keyword)
{
	static const char *const others[] = { "STARTTLS", "AUTH" };

	for (size_t i = 0; i < sizeof(keywords) / sizeof(*keywords); i++)
		if (smtp_span_is_nocase(keyword, keywords[i].line + 1))
			return true;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (smtp_span_is_nocase(keyword, others[i]))
			return true;
	return false;
}

static int append_custom(const struct smtp_custom_extension *extension, struct smtp_buf *out)
{
	int err = 0;

	if (extension->keyword)
		err = smtp_buf_append_text(out, "\n");
	if (!err && extension->keyword)
		err = smtp_buf_append_text(out, extension->keyword);
	if (!err && extension->argument)
		err = smtp_buf_append_text(out, " ");
	if (!err && extension->argument)
		err = smtp_buf_append_text(out, extension->argument);
	return err;
}

static int append_extensions(const struct smtp_server_session *s, struct smtp_buf *out)
{
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(keywords) / sizeof(*keywords); i++) {
		const struct keyword *keyword = &keywords[i];

		if (!server_extension_is_usable(s, keyword->extension))
			continue;
		err = smtp_buf_append_text(out, keyword->line);
		if (!err && keyword->argument)
			err = keyword->argument(s, out);
	}
	for (size_t i = 0; !err && i < s->options.custom_extension_count; i++)
		err = append_custom(s->options.custom_extensions[i], out);
	if (!err && server_starttls_is_usable(s))
		err = smtp_buf_append_text(out, "\nSTARTTLS");
	return err ? err : server_auth_append(s, out);
}

/* --- the answer ----------------------------------------------------------------------------- */

static bool remember_client(struct smtp_server_session *s)
{
	char *name = server_text_copy(s->args.span);

	if (!name) {
		server_session_fail(s, SMTP_ENOMEM);
		return false;
	}
	server_transaction_end(s, false); /* RFC 5321, 4.1.4 */
	free(s->helo_name);
	s->helo_name = name;
	s->extended = s->args.extended;
	server_session_set_state(s, SERVER_READY);
	return true;
}

void server_helo_proceed(struct smtp_server_session *s, bool accepted,
			 const struct smtp_reply *given)
{
	struct smtp_buf text;
	int err;

	if (!accepted && given->code == 421) {
		server_session_shut(s, SMTP_DISCONNECT_REFUSED, given);
		return;
	}
	if (!accepted) {
		server_reply_send_plain(s, given);
		return;
	}
	if (!remember_client(s))
		return;
	smtp_buf_init(&text, SERVER_REPLY_TEXT_MAX);
	err = append_own_line(s, &text, given, "");
	if (!err && s->extended)
		err = append_extensions(s, &text);
	send_lines(s, 250, &text, err);
}
