/* SPDX-License-Identifier: ISC */
/* server_trace.c - shows what a client sends to the trace functions, without what may be a secret. A
 * password can stand in lines that are no AUTH command too: mistyped, cut wrong, sent after a refusal.
 */
#include "libsmtp/core/extension.h"
#include "libsmtp/core/server_session_private.h"
#include "libsmtp/core/syntax.h"

enum { VERB_SHOWN_MAX = 12, SHOWN_MAX = 64 };

static struct smtp_span take_word(struct smtp_span *rest)
{
	size_t from = 0, n = 0;
	struct smtp_span word;

	while (from < rest->n && smtp_is(rest->p[from], SMTP_CC_BLANK))
		from++;
	while (from + n < rest->n && !smtp_is(rest->p[from + n], SMTP_CC_BLANK))
		n++;
	word = smtp_span_slice(*rest, from, n);
	*rest = smtp_span_slice(*rest, from + n, SIZE_MAX);
	return word;
}

/* `word` and, if there was more, "***". Without memory nothing is shown. */
static void trace_head(struct smtp_server_session *s, const char *verb, struct smtp_span word, bool more)
{
	struct smtp_buf text;

	smtp_buf_init(&text, SHOWN_MAX);
	if (smtp_buf_append_text(&text, verb) == 0 && smtp_buf_append_span(&text, word) == 0 &&
	    smtp_buf_append_text(&text, more && text.n > 0 && word.n > 0 ? " ***" : "") == 0 &&
	    smtp_buf_append_text(&text, more && word.n == 0 ? "***" : "") == 0)
		server_trace(s, true, smtp_buf_span(&text));
	smtp_buf_release(&text);
}

static void trace_auth(struct smtp_server_session *s, struct smtp_span rest)
{
	const char *mechanism = smtp_mechanism_name(smtp_mechanism_of(take_word(&rest)));

	s->auth_seen = true;
	trace_head(s, "AUTH ", smtp_span_of(mechanism), true);
}

/* At most a word that looks like a verb. */
static void trace_unknown(struct smtp_server_session *s, struct smtp_span line)
{
	struct smtp_span word = take_word(&line);

	if (s->auth_seen || word.n > VERB_SHOWN_MAX || !smtp_span_all(word, SMTP_CC_LET_DIG))
		server_secret_trace(s);
	else
		trace_head(s, "", word, line.n > 0);
}

static bool has_control(struct smtp_span line)
{
	for (size_t i = 0; i < line.n; i++)
		if (smtp_is(line.p[i], SMTP_CC_CONTROL) && line.p[i] != '\t')
			return true;
	return false;
}

/* A line with a bare CR or LF may be several, AUTH among them. */
void server_command_trace(struct smtp_server_session *s, struct smtp_span line, bool known)
{
	struct smtp_span rest = line;
	struct smtp_span word = take_word(&rest);

	if (smtp_span_is_nocase(word, "AUTH"))
		trace_auth(s, rest);
	else if (has_control(line) || smtp_span_is_nocase(smtp_span_slice(word, 0, 4), "AUTH"))
		server_secret_trace(s);
	else if (known)
		server_trace(s, true, line);
	else
		trace_unknown(s, line);
}

/* What follows may be more of it. */
void server_secret_trace(struct smtp_server_session *s)
{
	s->auth_seen = true;
	server_trace(s, true, smtp_span_of("***"));
}
