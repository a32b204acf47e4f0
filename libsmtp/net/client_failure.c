/* SPDX-License-Identifier: ISC */
/* How an attempt at one address ended. What is tried next is decided in client_conn.c. */
#include "libsmtp/net/client_failure.h"
#include "libsmtp/core/span.h"

#include <stdio.h>
#include <string.h>

enum { REPLY_TEXT_MAX = 16384, ENHANCED_TEXT_MAX = 24, LINE_MAX_SHOWN = 255 };

void smtp_client_failure_set(struct smtp_client_failure *f, int error, enum smtp_client_step step,
			     const struct smtp_reply *reply)
{
	f->known = true;
	f->error = error;
	f->step = step;
	f->has_reply = reply != NULL;
	smtp_buf_init(&f->text, REPLY_TEXT_MAX);
	if (!reply)
		return;
	f->reply = *reply;
	/* Without memory the code still says what happened. */
	if (smtp_buf_append_span(&f->text, reply->text) != 0)
		f->reply.text = smtp_span_make(NULL, 0);
	else
		f->reply.text = smtp_buf_span(&f->text);
}

void smtp_client_failure_release(struct smtp_client_failure *f)
{
	smtp_buf_release(&f->text);
	*f = (struct smtp_client_failure){ .known = false };
}

/* The first line of the reply's text. */
static struct smtp_span first_line(const struct smtp_reply *reply)
{
	struct smtp_span text = reply->text;
	const uint8_t *lf = text.n > 0 ? memchr(text.p, '\n', text.n) : NULL;

	text = smtp_span_slice(text, 0, lf ? (size_t)(lf - text.p) : text.n);
	return smtp_span_slice(text, 0, LINE_MAX_SHOWN);
}

static void describe_reply(struct smtp_client_failure *f)
{
	const struct smtp_enhanced_code *e = &f->reply.enhanced;
	char enhanced[ENHANCED_TEXT_MAX] = "", line[LINE_MAX_SHOWN + 1];

	if (e->class_ != 0)
		(void)snprintf(enhanced, sizeof enhanced, " %u.%u.%u", e->class_, e->subject,
			       e->detail);
	/* The parser of replies has made control octets harmless. */
	if (smtp_span_copy(first_line(&f->reply), line, sizeof line) != 0)
		line[0] = '\0';
	(void)snprintf(f->problem, sizeof f->problem, "%s was answered %u%s %s",
		       smtp_client_step_str(f->step), f->reply.code, enhanced, line);
}

static const struct {
	int error;
	enum smtp_client_step step;
	const char *text;
} known_failures[] = {
	{ SMTP_ETLS, SMTP_STEP_STARTTLS, "the server does not offer STARTTLS" },
	{ SMTP_ETLS, SMTP_STEP_AUTH, "no password is sent without TLS" },
	{ SMTP_ENOTSUP, SMTP_STEP_AUTH, "the server does not offer a way to log in that is known" },
	{ SMTP_EPROTO, SMTP_STEP_STARTTLS, "octets in clear behind the start of TLS" },
	{ SMTP_EPROTO, SMTP_STEP_GREETING, "the greeting is not that of an SMTP server" },
};

static void describe_error(struct smtp_client_failure *f)
{
	size_t count = sizeof known_failures / sizeof *known_failures;

	for (size_t i = 0; i < count; i++) {
		if (known_failures[i].error != f->error || known_failures[i].step != f->step)
			continue;
		(void)snprintf(f->problem, sizeof f->problem, "%s", known_failures[i].text);
		return;
	}
	(void)snprintf(f->problem, sizeof f->problem, "%s (at %s)", smtp_error_str(f->error),
		       smtp_client_step_str(f->step));
}

void smtp_client_failure_describe(struct smtp_client_failure *f, const char *peer, const char *said)
{
	(void)snprintf(f->peer, sizeof f->peer, "%s", peer);
	if (said[0] != '\0')
		(void)snprintf(f->problem, sizeof f->problem, "%s", said);
	else if (f->has_reply)
		describe_reply(f);
	else
		describe_error(f);
}

bool smtp_client_failure_is_permanent(const struct smtp_client_failure *f)
{
	return f->has_reply && smtp_reply_is_permanent(&f->reply);
}

bool smtp_client_failure_is_of_address(const struct smtp_client_failure *f)
{
	return f->step == SMTP_STEP_CONNECT || f->step == SMTP_STEP_GREETING ||
	       f->step == SMTP_STEP_EHLO || f->step == SMTP_STEP_HELO;
}
