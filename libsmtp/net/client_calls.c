/* SPDX-License-Identifier: ISC */
/* client_calls.c - the commands of the blocking client: raw lines, VRFY, EXPN, HELP, NOOP, RSET, STARTTLS,
 * AUTH.
 */
#include "libsmtp/core/buf.h"
#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"
#include "libsmtp/net/client_private.h"

#include <string.h>

enum { LINE_MAX_OCTETS = 4096 };

static int run_command(struct smtp_client *c, struct smtp_span line, struct smtp_reply *reply)
{
	int err = smtp_client_begin(c);

	if (err)
		return err;
	err = smtp_client_session_command(smtp_client_conn_session(c->conn), line);
	if (err)
		return smtp_client_refuse(c, err, "command");
	err = smtp_client_run(c, CLIENT_CALL_COMMAND);
	if (!err)
		*reply = c->last;
	return err;
}

int smtp_client_command(struct smtp_client *c, const char *line, struct smtp_reply *reply)
{
	return run_command(c, smtp_span_of(line), reply);
}

/* "VERB", "VERB argument", "VERB argument tail" */
static int run_verb(struct smtp_client *c, const char *verb, const char *argument, const char *tail,
		    struct smtp_reply *reply)
{
	const char *const parts[] = { verb, argument && argument[0] != '\0' ? " " : "", argument, tail };
	struct smtp_buf line;
	int err = 0;

	smtp_buf_init(&line, LINE_MAX_OCTETS);
	for (size_t i = 0; i < sizeof parts / sizeof *parts && !err; i++)
		err = smtp_buf_append_span(&line, smtp_span_of(parts[i]));
	if (err)
		err = smtp_client_refuse(c, err, verb);
	else
		err = run_command(c, smtp_buf_span(&line), reply);
	smtp_buf_release(&line);
	return err;
}

/* RFC 6531, 3.7.4.2: the parameter stands behind the name, and only when it is needed. */
static int ask(struct smtp_client *c, const char *verb, const char *text, struct smtp_reply *reply)
{
	bool utf8 = smtp_span_has(smtp_span_of(text), SMTP_CC_UTF8);

	if (utf8 && c->conn && !c->extensions.smtputf8) {
		smtp_client_forget(c);
		return smtp_client_refuse(c, SMTP_ENOTSUP, "SMTPUTF8");
	}
	return run_verb(c, verb, text, utf8 ? " SMTPUTF8" : "", reply);
}

int smtp_client_verify(struct smtp_client *c, const char *text, struct smtp_reply *reply)
{
	return ask(c, "VRFY", text, reply);
}

int smtp_client_expand(struct smtp_client *c, const char *list, struct smtp_reply *reply)
{
	return ask(c, "EXPN", list, reply);
}

int smtp_client_help(struct smtp_client *c, const char *topic, struct smtp_reply *reply)
{
	return run_verb(c, "HELP", topic, "", reply);
}

int smtp_client_noop(struct smtp_client *c, const char *text, struct smtp_reply *reply)
{
	return run_verb(c, "NOOP", text, "", reply);
}

int smtp_client_reset(struct smtp_client *c, struct smtp_reply *reply)
{
	return run_verb(c, "RSET", NULL, "", reply);
}

int smtp_client_starttls(struct smtp_client *c, struct smtp_reply *reply)
{
	int err = smtp_client_begin(c);

	if (err)
		return err;
	err = smtp_client_session_starttls(smtp_client_conn_session(c->conn));
	if (err)
		return smtp_client_refuse(c, err, "STARTTLS");
	err = smtp_client_run(c, CLIENT_CALL_STARTTLS);
	if (!err)
		*reply = c->last;
	return err;
}

int smtp_client_authenticate(struct smtp_client *c, const char *user, const char *password)
{
	int err = smtp_client_begin(c);

	if (err)
		return err;
	if (c->tls[0] != '\0' && !c->trusts_tls)
		return smtp_client_say(c, SMTP_ETLS, "no password goes to a server whose certificate "
						     "was not checked");
	err = smtp_client_session_authenticate(smtp_client_conn_session(c->conn), user, password);
	return err ? smtp_client_refuse(c, err, "AUTH") : smtp_client_run(c, CLIENT_CALL_AUTH);
}
