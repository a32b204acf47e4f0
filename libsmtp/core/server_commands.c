/* SPDX-License-Identifier: ISC */
/* server_commands.c - from a line of the client to a command: the table of commands with what each
 * may follow and needs, and the commands that belong to no transaction. The table is enforced in one
 * place; a command that runs has passed it.
 */
#include "libsmtp/core/server_session_private.h"

/* --- STARTTLS ------------------------------------------------------------------------------- */

static void run_starttls(struct smtp_server_session *s, struct smtp_span argument)
{
	(void)argument;
	if (s->tls) {
		server_reply_error(s, 503, "5.5.1", "TLS is active already");
	} else if (!server_starttls_is_usable(s)) {
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

/* The header of the PROXY protocol: the driver takes it where it is believed, so this one is not. */
static void run_proxy(struct smtp_server_session *s, struct smtp_span argument)
{
	struct smtp_reply reply = smtp_reply_of(550, "5.7.0", "no PROXY header is taken from you");

	(void)argument;
	if (s->state == SERVER_GREETED && s->errors == 0)
		server_session_shut(s, SMTP_DISCONNECT_PROTOCOL, &reply);
	else
		server_reply_error(s, 503, "5.5.1", "PROXY may only come first");
}

static void run_quit(struct smtp_server_session *s, struct smtp_span argument)
{
	struct smtp_reply bye = smtp_reply_of(221, "2.0.0", "bye");

	(void)argument;
	server_session_shut(s, SMTP_DISCONNECT_QUIT, &bye);
}

static void run_help(struct smtp_server_session *s, struct smtp_span argument)
{
	if (!server_extension_is_usable(s, SMTP_SERVER_HELP)) {
		server_reply_error(s, 502, "5.5.1", "HELP is not offered");
		return;
	}
	s->args.span = argument;
	server_phase_begin(s, SERVER_PHASE_HELP);
}

static void run_custom(struct smtp_server_session *s, struct smtp_span argument)
{
	s->args.span = argument;
	server_phase_begin(s, SERVER_PHASE_COMMAND);
}

void server_command_proceed(struct smtp_server_session *s, bool accepted,
			    const struct smtp_reply *given)
{
	server_phase_answer(s, accepted, given, 250, "2.0.0", "ok");
}

/* --- the table ------------------------------------------------------------------------------ */

enum {
	IN_GREETED = 1 << SERVER_GREETED,
	IN_READY = 1 << SERVER_READY,
	IN_MAIL = 1 << SERVER_MAIL,
	IN_RCPT = 1 << SERVER_RCPT,
	IN_BDAT = 1 << SERVER_BDAT,
	IN_TRANSACTION = IN_MAIL | IN_RCPT,
	IN_ENVELOPE = IN_READY | IN_TRANSACTION,
	IN_ANY = IN_GREETED | IN_ENVELOPE | IN_BDAT
};

enum { NO_ARGUMENT = 1 << 0, NEEDS_TLS = 1 << 1, NEEDS_AUTH = 1 << 2, TAKES_CHUNK = 1 << 3 };

static const struct verb {
	const char *name;
	unsigned extension; /* that brings it; 0: always there */
	unsigned allowed;  /* states */
	unsigned needs;    /* TLS and AUTH where the options require them */
	size_t max;        /* octets of the line with CRLF (RFC 5321, 4.5.3.1.4) */
	void (*run)(struct smtp_server_session *s, struct smtp_span argument);
	const char *order; /* what is said out of order */
} verbs[] = {
	{ "HELO", SERVER_EXTENSION_SMTP, IN_ANY, 0, SMTP_COMMAND_LINE_MAX, server_helo_run, "" },
	{ "EHLO", SERVER_EXTENSION_SMTP, IN_ANY, 0, SMTP_COMMAND_LINE_MAX, server_ehlo_run, "" },
	{ "LHLO", SERVER_EXTENSION_LMTP, IN_ANY, 0, SMTP_COMMAND_LINE_MAX, server_lhlo_run, "" },
	{ "MAIL", 0, IN_READY, NEEDS_TLS | NEEDS_AUTH, SMTP_COMMAND_LINE_MAX_EXTENDED,
	  server_mail_run, "a transaction is open already" },
	{ "RCPT", 0, IN_TRANSACTION, NEEDS_TLS | NEEDS_AUTH, SMTP_COMMAND_LINE_MAX_EXTENDED,
	  server_rcpt_run, "send MAIL first" },
	{ "DATA", 0, IN_TRANSACTION, NEEDS_TLS | NEEDS_AUTH | NO_ARGUMENT, SMTP_COMMAND_LINE_MAX,
	  server_data_run, "send MAIL and RCPT first" },
	{ "BDAT", SMTP_SERVER_CHUNKING, IN_TRANSACTION | IN_BDAT,
	  NEEDS_TLS | NEEDS_AUTH | TAKES_CHUNK, SMTP_COMMAND_LINE_MAX, NULL, "send MAIL and RCPT first" },
	{ "RSET", 0, IN_ANY, NO_ARGUMENT, SMTP_COMMAND_LINE_MAX, run_rset, "" },
	{ "NOOP", 0, IN_ANY, 0, SMTP_COMMAND_LINE_MAX, run_noop, "" },
	{ "QUIT", 0, IN_ANY, NO_ARGUMENT, SMTP_COMMAND_LINE_MAX, run_quit, "" },
	{ "VRFY", SMTP_SERVER_VRFY, IN_ANY, NEEDS_TLS | NEEDS_AUTH, SMTP_COMMAND_LINE_MAX,
	  server_vrfy_run, "" },
	{ "EXPN", SMTP_SERVER_EXPN, IN_ANY, NEEDS_TLS | NEEDS_AUTH, SMTP_COMMAND_LINE_MAX,
	  server_expn_run, "" },
	{ "HELP", SMTP_SERVER_HELP, IN_ANY, 0, SMTP_COMMAND_LINE_MAX, run_help, "" },
	{ "STARTTLS", SERVER_EXTENSION_STARTTLS, IN_GREETED | IN_ENVELOPE, NO_ARGUMENT,
	  SMTP_COMMAND_LINE_MAX, run_starttls, "" },
	{ "AUTH", SERVER_EXTENSION_AUTH, IN_ANY, 0, SMTP_AUTH_LINE_MAX, server_auth_run, "" },
	{ "XCLIENT", SERVER_EXTENSION_XCLIENT, IN_ANY, 0, SMTP_COMMAND_LINE_MAX_EXTENDED,
	  server_xclient_run, "" },
	{ "PROXY", SERVER_EXTENSION_NONE, IN_ANY, 0, SMTP_COMMAND_LINE_MAX, run_proxy, "" },
};

/* Those of custom extensions. */
static const struct verb custom_verb = { "", 0, IN_ENVELOPE, NEEDS_TLS | NEEDS_AUTH,
					 SMTP_COMMAND_LINE_MAX_EXTENDED, run_custom,
					 "not in the midst of a message" };

static const struct verb *verb_find(struct smtp_span name)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		if (smtp_span_is_nocase(name, verbs[i].name))
			return &verbs[i];
	return NULL;
}

bool server_verb_is_built_in(struct smtp_span name)
{
	return verb_find(name) != NULL;
}

/* --- HELP ----------------------------------------------------------------------------------- */

static bool verb_is_usable(const struct smtp_server_session *s, const struct verb *verb)
{
	if (verb->extension && !server_extension_is_usable(s, verb->extension))
		return false;
	if (verb->run == server_auth_run)
		return !s->account;
	return (!(verb->needs & NEEDS_TLS) || s->tls || !s->options.require_tls) &&
	       (!(verb->needs & NEEDS_AUTH) || s->account || !s->options.require_auth);
}

static int append_verb(struct smtp_buf *out, const char *name)
{
	int err = smtp_buf_append_text(out, " ");

	return err ? err : smtp_buf_append_text(out, name);
}

static int append_custom_verbs(const struct smtp_server_session *s, struct smtp_buf *out)
{
	int err = 0;

	for (size_t i = 0; i < s->options.custom_extension_count; i++) {
		const char *const *names = s->options.custom_extensions[i]->verbs;

		for (size_t k = 0; !err && names && names[k]; k++)
			err = append_verb(out, names[k]);
	}
	return err;
}

/* What can be used as things stand, whatever comes first of it. */
static int append_verbs(const struct smtp_server_session *s, struct smtp_buf *out)
{
	int err = smtp_buf_append_text(out, "commands:");

	for (size_t i = 0; !err && i < sizeof(verbs) / sizeof(*verbs); i++)
		if (verb_is_usable(s, &verbs[i]))
			err = append_verb(out, verbs[i].name);
	if (!err && verb_is_usable(s, &custom_verb))
		err = append_custom_verbs(s, out);
	return err;
}

void server_help_proceed(struct smtp_server_session *s, bool accepted,
			 const struct smtp_reply *given)
{
	struct smtp_reply list = smtp_reply_of(214, "2.0.0", "");
	struct smtp_buf text;

	if (given) {
		server_phase_answer(s, accepted, given, 0, NULL, NULL);
		return;
	}
	smtp_buf_init(&text, SERVER_REPLY_TEXT_MAX);
	if (append_verbs(s, &text) != SMTP_ENOMEM) { /* what is too much is left out */
		list.text = smtp_buf_span(&text);
		server_reply_send(s, &list);
	} else {
		server_reply(s, 451, "4.3.0", "out of memory, try again later");
	}
	smtp_buf_release(&text);
}

/* --- what may run ----------------------------------------------------------------------------- */

/* The first thing that is wrong decides; code 0: nothing is. */
static struct smtp_reply verb_refusal(const struct smtp_server_session *s, const struct verb *verb,
				      struct smtp_span argument)
{
	unsigned here = 1u << s->state;

	if ((verb->needs & NO_ARGUMENT) && argument.n > 0)
		return smtp_reply_of(501, "5.5.4", "this command takes no argument");
	if (s->state == SERVER_GREETED && !(verb->allowed & here))
		return smtp_reply_of(503, "5.5.1",
				     s->options.lmtp ? "send LHLO first" : "send HELO or EHLO first");
	if ((verb->needs & NEEDS_TLS) && s->options.require_tls && !s->tls)
		return smtp_reply_of(530, "5.7.0", "issue STARTTLS first");
	if ((verb->needs & NEEDS_AUTH) && s->options.require_auth && !s->account)
		return smtp_reply_of(530, "5.7.0", "authentication required");
	if (verb->allowed & here)
		return (struct smtp_reply){ .code = 0 };
	return smtp_reply_of(503, "5.5.1",
			     here & IN_BDAT ? "the message is on its way already" : verb->order);
}

static void verb_run(struct smtp_server_session *s, const struct verb *verb,
		     struct smtp_span argument)
{
	struct smtp_reply refusal = verb_refusal(s, verb, argument);

	if ((verb->needs & TAKES_CHUNK) && !server_extension_is_usable(s, SMTP_SERVER_CHUNKING)) {
		server_reply_error(s, 502, "5.5.1", "BDAT is not offered");
	} else if (verb->needs & TAKES_CHUNK) {
		server_bdat_run(s, argument, &refusal);
	} else if (refusal.code) {
		server_reply_send(s, &refusal);
		server_error_count(s);
	} else {
		verb->run(s, argument);
	}
}

/* --- lines ---------------------------------------------------------------------------------- */

static void answer_no_command(struct smtp_server_session *s, struct smtp_span line)
{
	bool bare = false;

	for (size_t i = 0; i < line.n; i++)
		bare = bare || line.p[i] == '\r' || line.p[i] == '\n';
	if (server_bdat_is_lost(s, line, "a bare CR or LF in the line, closing"))
		return;
	server_reply_error(s, 500, "5.5.2",
			   bare ? "a bare CR or LF in the line" : "syntax error, no command");
}

static void answer_too_long(struct smtp_server_session *s, struct smtp_span head)
{
	if (server_bdat_is_lost(s, head, "the line is too long, closing"))
		return;
	server_reply_error(s, 500,
			   smtp_span_is_nocase(smtp_span_slice(head, 0, 5), "AUTH ") ? "5.5.6" :
										       "5.5.2",
			   "the line is too long");
}

void server_command_run(struct smtp_server_session *s, struct smtp_span line)
{
	struct smtp_command command = { { NULL, 0 }, { NULL, 0 } };
	int err = smtp_command_parse(&command, line);
	const struct verb *verb = verb_find(command.verb);
	const char *custom = verb ? NULL : server_custom_verb(s, command.verb);

	if (custom) {
		verb = &custom_verb;
		s->args.verb = custom;
	}
	server_command_trace(s, line, verb != NULL);
	if (err == SMTP_ESYNTAX)
		answer_no_command(s, line);
	else if (!verb)
		server_reply_error(s, 500, "5.5.1", "command not known");
	else if (err && !(verb->needs & TAKES_CHUNK))
		server_reply_error(s, 501, "5.5.2", "a control character in the argument");
	else if (line.n + 2 > verb->max)
		answer_too_long(s, line);
	else
		verb_run(s, verb, command.argument);
}

void server_command_too_long(struct smtp_server_session *s)
{
	server_secret_trace(s);
	answer_too_long(s, smtp_span_make(s->line_head, s->line_head_n));
}
