/* SPDX-License-Identifier: ISC */
/* client_work.c - what the owner of a client session asks of it: transactions, raw commands, QUIT, and
 * the questions about its state. Nothing is sent here; that begins with the next output.
 */
#include "libsmtp/core/client_session_private.h"

#include "libsmtp/core/command.h"
#include "libsmtp/core/extension.h"
#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

static bool takes_work(const struct smtp_client_session *s)
{
	return !smtp_client_is_over(s) && s->job == CLIENT_JOB_NONE && !s->quit_asked;
}

int smtp_client_session_mail(struct smtp_client_session *s,
			     const struct smtp_client_transaction *txn)
{
	int err;

	if (!s || !txn)
		return SMTP_EINVAL;
	if (!takes_work(s))
		return SMTP_ESTATE;
	err = smtp_client_transaction_copy(&s->txn, txn);
	if (!err)
		s->job = CLIENT_JOB_MAIL;
	return err;
}

/* A raw line that changes what the octets behind it mean would take the session out of step. */
static int check_command(const struct smtp_client_session *s, struct smtp_span line,
			 struct smtp_span *verb)
{
	struct smtp_command command;

	*verb = (struct smtp_span){ 0 };
	if (line.n > SMTP_COMMAND_LINE_MAX_EXTENDED - 2)
		return SMTP_ETOOLONG;
	if (smtp_span_has(line, SMTP_CC_CONTROL))
		return SMTP_EINVAL;
	if (s->challenged)
		return 0;
	if (smtp_command_parse(&command, line))
		return SMTP_EINVAL;
	*verb = command.verb;
	return smtp_span_is_nocase(*verb, "DATA") || smtp_span_is_nocase(*verb, "BDAT") ||
			       smtp_span_is_nocase(*verb, "STARTTLS") ?
		       SMTP_EINVAL : 0;
}

int smtp_client_session_command(struct smtp_client_session *s, struct smtp_span line)
{
	struct smtp_span verb;
	int err;

	if (!s)
		return SMTP_EINVAL;
	if (!takes_work(s))
		return SMTP_ESTATE;
	err = check_command(s, line, &verb);
	if (!err)
		err = smtp_buf_append_span(&s->command, line);
	if (err)
		return err;
	s->command_secret = s->challenged || smtp_span_is_nocase(verb, "AUTH");
	s->challenged = false;
	s->job = CLIENT_JOB_COMMAND;
	return 0;
}

int smtp_client_session_starttls(struct smtp_client_session *s)
{
	if (!s)
		return SMTP_EINVAL;
	if (!smtp_client_session_is_idle(s) || s->has_tls)
		return SMTP_ESTATE;
	if (!s->extensions.starttls)
		return SMTP_ENOTSUP;
	s->job = CLIENT_JOB_STARTTLS;
	return 0;
}

void smtp_client_session_quit(struct smtp_client_session *s)
{
	s->quit_asked = true;
}

const struct smtp_extensions *smtp_client_session_extensions(const struct smtp_client_session *s)
{
	return &s->extensions;
}

bool smtp_client_session_has_extension(const struct smtp_client_session *s, const char *keyword,
				       struct smtp_span *params)
{
	struct smtp_span found;

	if (!s->extensions.extended ||
	    !smtp_extension_find(smtp_buf_span(&s->ehlo_text), keyword, &found))
		return false;
	if (params)
		*params = found;
	return true;
}

bool smtp_client_session_has_tls(const struct smtp_client_session *s)
{
	return s->has_tls;
}

bool smtp_client_session_is_idle(const struct smtp_client_session *s)
{
	return s->state == CLIENT_IDLE && takes_work(s);
}
