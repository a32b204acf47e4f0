/* SPDX-License-Identifier: ISC */
/* server_vrfy.c - VRFY and EXPN (RFC 5321, 3.5; RFC 6531, 3.7.4.2): what is asked, and that an answer
 * holds UTF-8 only where the client can take it. What exists is known to the handlers alone.
 */
#include "libsmtp/core/server_session_private.h"
#include "libsmtp/core/syntax.h"

/* --- the question --------------------------------------------------------------------------- */

/* The two commands differ in what they are called. */
struct query {
	const char *syntax;
	const char *off;
	enum smtp_server_extension extension;
	enum server_phase phase;
};

static const struct query vrfy = { "syntax: VRFY address", "VRFY is not offered", SMTP_SERVER_VRFY,
				   SERVER_PHASE_VRFY };
static const struct query expn = { "syntax: EXPN list", "EXPN is not offered", SMTP_SERVER_EXPN,
				   SERVER_PHASE_EXPN };

/* The last word, if there is another one before it. */
static struct smtp_span last_word(struct smtp_span text)
{
	size_t start = text.n;

	while (start > 0 && !smtp_is(text.p[start - 1], SMTP_CC_BLANK))
		start--;
	return smtp_span_slice(text, start, start > 0 ? SIZE_MAX : 0);
}

enum parameter { NO_PARAMETER, SMTPUTF8_PARAMETER, BAD_PARAMETER };

/* Takes SMTPUTF8 off the end. Names are passed on as written, so nothing else is a parameter. */
static enum parameter take_parameter(struct smtp_span *text)
{
	struct smtp_span word = last_word(*text);
	struct smtp_reader rd;

	smtp_reader_init(&rd, word);
	if (!smtp_rd_literal(&rd, "SMTPUTF8") ||
	    (!smtp_rd_end(&rd) && smtp_rd_peek(&rd) != '='))
		return NO_PARAMETER;
	if (!smtp_rd_end(&rd))
		return BAD_PARAMETER;
	*text = smtp_span_trim(smtp_span_slice(*text, 0, text->n - word.n));
	return SMTPUTF8_PARAMETER;
}

static void ask(struct smtp_server_session *s, struct smtp_span text, const struct query *query)
{
	enum parameter parameter = take_parameter(&text);
	bool utf8 = smtp_span_has(text, SMTP_CC_UTF8);

	s->args.smtputf8 = parameter == SMTPUTF8_PARAMETER;
	if (parameter != NO_PARAMETER &&
	    (!s->extended || !server_extension_is_usable(s, SMTP_SERVER_SMTPUTF8))) {
		server_reply_error(s, 555, "5.5.4", "unsupported parameter");
	} else if (parameter == BAD_PARAMETER) {
		server_reply_error(s, 501, "5.5.4", "SMTPUTF8 takes no value");
	} else if (utf8 && !smtp_utf8_is_valid(text)) {
		server_reply_error(s, 501, "5.5.4", "the argument is not UTF-8");
	} else if (utf8 && !s->args.smtputf8) {
		server_reply_error(s, 553, "5.6.7", "a name beyond ASCII needs SMTPUTF8");
	} else {
		s->args.span = text;
		server_phase_begin(s, query->phase);
	}
}

static void run(struct smtp_server_session *s, struct smtp_span argument, const struct query *query)
{
	if (!server_extension_is_usable(s, query->extension))
		server_reply_error(s, 502, "5.5.1", query->off);
	else if (argument.n == 0)
		server_reply_error(s, 501, "5.5.4", query->syntax);
	else
		ask(s, argument, query);
}

void server_vrfy_run(struct smtp_server_session *s, struct smtp_span argument)
{
	run(s, argument, &vrfy);
}

void server_expn_run(struct smtp_server_session *s, struct smtp_span argument)
{
	run(s, argument, &expn);
}

/* --- the answer ----------------------------------------------------------------------------- */

/* Codes of RFC 5321, 3.5.3, and X.6.8 of RFC 6531, 3.7.4.2. */
static void answer(struct smtp_server_session *s, bool accepted, const struct smtp_reply *given,
		   const char *unknown)
{
	bool utf8 = given && smtp_span_has(given->text, SMTP_CC_UTF8);

	if (utf8 && accepted && !smtp_utf8_is_valid(given->text))
		server_reply(s, 252, "2.0.0", unknown);
	else if (utf8 && accepted && !s->args.smtputf8)
		server_reply(s, 252, "2.6.8", "the answer needs UTF-8, ask with SMTPUTF8");
	else if (utf8 && !s->args.smtputf8 && given->code / 100 == 5)
		server_reply(s, given->code, "5.6.8", "no; the answer needs UTF-8, ask with SMTPUTF8");
	else
		server_phase_answer(s, accepted, given, 252, "2.0.0", unknown);
}

void server_vrfy_proceed(struct smtp_server_session *s, bool accepted,
			 const struct smtp_reply *given)
{
	answer(s, accepted, given, "cannot verify, but will take mail and try to deliver it");
}

void server_expn_proceed(struct smtp_server_session *s, bool accepted,
			 const struct smtp_reply *given)
{
	answer(s, accepted, given, "cannot expand, but will take mail");
}
