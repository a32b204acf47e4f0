/* SPDX-License-Identifier: ISC */
/* server_commands.c - from a line of the client to a command: the table of commands with what each
 * may follow and needs, and the commands that belong to no transaction. The table is enforced in one
 * place; a command that runs has passed it.
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
	err = append_own_line(s, &text, given, "ESMTP");
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

static void begin_helo(struct smtp_server_session *s, struct smtp_span argument, bool extended)
{
	struct smtp_reply refusal = smtp_reply_of(501, NULL, "syntax: HELO or EHLO your-host-name");

	if (!is_client_name(argument)) {
		server_reply_send_plain(s, &refusal);
		server_error_count(s);
		return;
	}
	s->args.span = argument;
	s->args.extended = extended;
	server_phase_begin(s, SERVER_PHASE_HELO);
}

static void run_helo(struct smtp_server_session *s, struct smtp_span argument)
{
	begin_helo(s, argument, false);
}

static void run_ehlo(struct smtp_server_session *s, struct smtp_span argument)
{
	begin_helo(s, argument, true);
}

static int append_size(struct smtp_server_session *s, struct smtp_buf *out)
{
	int err = smtp_buf_append_text(out, "\nSIZE ");

	return err ? err : smtp_buf_append_uint(out, s->options.max_message_bytes);
}

static bool starttls_is_usable(const struct smtp_server_session *s)
{
	return s->options.offer_starttls && !s->tls;
}

static int append_extensions(struct smtp_server_session *s, struct smtp_buf *out)
{
	unsigned offered = s->options.extensions;
	int err = 0;

	if (offered & SMTP_SERVER_PIPELINING)
		err = smtp_buf_append_text(out, "\nPIPELINING");
	if (!err && (offered & SMTP_SERVER_SIZE))
		err = append_size(s, out);
	if (!err && (offered & SMTP_SERVER_8BITMIME))
		err = smtp_buf_append_text(out, "\n8BITMIME");
	if (!err && (offered & SMTP_SERVER_ENHANCEDSTATUSCODES))
		err = smtp_buf_append_text(out, "\nENHANCEDSTATUSCODES");
	if (!err && starttls_is_usable(s))
		err = smtp_buf_append_text(out, "\nSTARTTLS");
	if (!err && server_auth_is_usable(s) && !s->account)
		err = smtp_buf_append_text(out, "\nAUTH PLAIN LOGIN");
	return err;
}

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

/* --- STARTTLS ------------------------------------------------------------------------------- */

static void run_starttls(struct smtp_server_session *s, struct smtp_span argument)
{
	(void)argument;
	if (s->tls) {
		server_reply_error(s, 503, "5.5.1", "TLS is active already");
	} else if (!starttls_is_usable(s)) {
		server_reply_error(s, 502, "5.5.1", "STARTTLS is not offered");
	} else if (!s->extended) {
		server_reply_error(s, 503, "5.5.1", "send EHLO first");
	} else {
		server_reply(s, 220, "2.0.0", "ready to start TLS");
		server_session_set_state(s, SERVER_TLS);
	}
}

/* --- small ones ----------------------------------------------------------------------------- */

static void run_rset(struct smtp_server_session *s, struct smtp_span argument)
{
	(void)argument;
	server_transaction_end(s, false);
	server_reply(s, 250, "2.0.0", "ok");
}

static void run_noop(struct smtp_server_session *s, struct smtp_span argument)
{
	(void)argument;
	server_reply(s, 250, "2.0.0", "ok");
}

static void run_quit(struct smtp_server_session *s, struct smtp_span argument)
{
	struct smtp_reply bye = smtp_reply_of(221, "2.0.0", "bye");

	(void)argument;
	server_session_shut(s, SMTP_DISCONNECT_QUIT, &bye);
}

static void run_vrfy(struct smtp_server_session *s, struct smtp_span argument)
{
	if (argument.n == 0) {
		server_reply_error(s, 501, "5.5.4", "syntax: VRFY address");
		return;
	}
	s->args.span = argument;
	server_phase_begin(s, SERVER_PHASE_VRFY);
}

void server_vrfy_proceed(struct smtp_server_session *s, bool accepted,
			 const struct smtp_reply *given)
{
	server_phase_answer(s, accepted, given, 252, "2.0.0",
			    "cannot verify, but will take mail and try to deliver it");
}

static void run_expn(struct smtp_server_session *s, struct smtp_span argument)
{
	(void)argument;
	server_reply_error(s, 502, "5.5.1", "EXPN is not offered");
}

static void run_help(struct smtp_server_session *s, struct smtp_span argument)
{
	s->args.span = argument;
	server_phase_begin(s, SERVER_PHASE_HELP);
}

void server_help_proceed(struct smtp_server_session *s, bool accepted,
			 const struct smtp_reply *given)
{
	server_phase_answer(s, accepted, given, 214, "2.0.0",
			    "commands: HELO EHLO STARTTLS AUTH MAIL RCPT DATA RSET NOOP VRFY HELP QUIT");
}

/* --- the table ------------------------------------------------------------------------------ */

enum {
	IN_GREETED = 1 << SERVER_GREETED,
	IN_READY = 1 << SERVER_READY,
	IN_MAIL = 1 << SERVER_MAIL,
	IN_RCPT = 1 << SERVER_RCPT,
	IN_TRANSACTION = IN_MAIL | IN_RCPT,
	IN_SESSION = IN_READY | IN_TRANSACTION,
	IN_ANY = IN_GREETED | IN_SESSION
};

enum { NO_ARGUMENT = 1 << 0, NEEDS_TLS = 1 << 1, NEEDS_AUTH = 1 << 2 };

static const struct verb {
	const char *name;
	unsigned allowed;  /* states */
	unsigned needs;    /* TLS and AUTH where the options require them */
	size_t max;        /* octets of the line with CRLF (RFC 5321, 4.5.3.1.4) */
	void (*run)(struct smtp_server_session *s, struct smtp_span argument);
	const char *order; /* what is said out of order */
} verbs[] = {
	{ "HELO", IN_ANY, 0, SMTP_COMMAND_LINE_MAX, run_helo, "" },
	{ "EHLO", IN_ANY, 0, SMTP_COMMAND_LINE_MAX, run_ehlo, "" },
	{ "MAIL", IN_READY, NEEDS_TLS | NEEDS_AUTH, SMTP_COMMAND_LINE_MAX_EXTENDED, server_mail_run,
	  "a transaction is open already" },
	{ "RCPT", IN_TRANSACTION, NEEDS_TLS | NEEDS_AUTH, SMTP_COMMAND_LINE_MAX_EXTENDED,
	  server_rcpt_run, "send MAIL first" },
	{ "DATA", IN_TRANSACTION, NEEDS_TLS | NEEDS_AUTH | NO_ARGUMENT, SMTP_COMMAND_LINE_MAX,
	  server_data_run, "send MAIL and RCPT first" },
	{ "RSET", IN_ANY, NO_ARGUMENT, SMTP_COMMAND_LINE_MAX, run_rset, "" },
	{ "NOOP", IN_ANY, 0, SMTP_COMMAND_LINE_MAX, run_noop, "" },
	{ "QUIT", IN_ANY, NO_ARGUMENT, SMTP_COMMAND_LINE_MAX, run_quit, "" },
	{ "VRFY", IN_ANY, NEEDS_TLS | NEEDS_AUTH, SMTP_COMMAND_LINE_MAX, run_vrfy, "" },
	{ "EXPN", IN_ANY, NEEDS_TLS | NEEDS_AUTH, SMTP_COMMAND_LINE_MAX, run_expn, "" },
	{ "HELP", IN_ANY, 0, SMTP_COMMAND_LINE_MAX, run_help, "" },
	{ "STARTTLS", IN_ANY, NO_ARGUMENT, SMTP_COMMAND_LINE_MAX, run_starttls, "" },
	{ "AUTH", IN_ANY, 0, SMTP_AUTH_LINE_MAX, server_auth_run, "" },
};

static const struct verb *verb_find(struct smtp_span name)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		if (smtp_span_is_nocase(name, verbs[i].name))
			return &verbs[i];
	return NULL;
}

/* The first thing that is wrong decides; true: nothing is. */
static bool verb_may_run(struct smtp_server_session *s, const struct verb *verb,
			 struct smtp_span argument)
{
	unsigned here = 1u << s->state;

	if ((verb->needs & NO_ARGUMENT) && argument.n > 0)
		server_reply_error(s, 501, "5.5.4", "this command takes no argument");
	else if (s->state == SERVER_GREETED && !(verb->allowed & here))
		server_reply_error(s, 503, "5.5.1", "send HELO or EHLO first");
	else if ((verb->needs & NEEDS_TLS) && s->options.require_tls && !s->tls)
		server_reply_error(s, 530, "5.7.0", "issue STARTTLS first");
	else if ((verb->needs & NEEDS_AUTH) && s->options.require_auth && !s->account)
		server_reply_error(s, 530, "5.7.0", "authentication required");
	else if (!(verb->allowed & here))
		server_reply_error(s, 503, "5.5.1", verb->order);
	else
		return true;
	return false;
}

/* --- lines ---------------------------------------------------------------------------------- */

static void answer_no_command(struct smtp_server_session *s, struct smtp_span line)
{
	bool bare = false;

	for (size_t i = 0; i < line.n; i++)
		bare = bare || line.p[i] == '\r' || line.p[i] == '\n';
	server_reply_error(s, 500, "5.5.2",
			   bare ? "a bare CR or LF in the line" : "syntax error, no command");
}

void server_command_run(struct smtp_server_session *s, struct smtp_span line)
{
	struct smtp_command command = { { NULL, 0 }, { NULL, 0 } };
	int err = smtp_command_parse(&command, line);
	const struct verb *verb = verb_find(command.verb);

	server_command_trace(s, line, verb != NULL);
	if (err == SMTP_ESYNTAX)
		answer_no_command(s, line);
	else if (!verb)
		server_reply_error(s, 500, "5.5.1", "command not known");
	else if (err)
		server_reply_error(s, 501, "5.5.2", "a control character in the argument");
	else if (line.n + 2 > verb->max)
		server_reply_error(s, 500, "5.5.2", "the line is too long");
	else if (verb_may_run(s, verb, command.argument))
		verb->run(s, command.argument);
}

void server_command_too_long(struct smtp_server_session *s)
{
	struct smtp_span head = smtp_span_make(s->line_head, s->line_head_n);

	if (smtp_span_is_nocase(head, "AUTH "))
		server_reply_error(s, 500, "5.5.6", "the line is too long");
	else
		server_reply_error(s, 500, "5.5.2", "the line is too long");
}
