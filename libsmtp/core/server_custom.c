/* SPDX-License-Identifier: ISC */
/* server_custom.c - extensions that an application brings: whether their names may stand beside those of
 * the library. What their parameters and verbs do is the application's.
 */
#include "libsmtp/core/server_session_private.h"
#include "libsmtp/core/syntax.h"

enum { EXTENSIONS_MAX = 8, NAMES_MAX = 16, NAME_MAX = 32, ARGUMENT_MAX = 200 };

/* ehlo-keyword, esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-") (RFC 5321, 4.1.1.1, 4.1.2) */
static bool is_keyword(struct smtp_span name)
{
	return name.n > 0 && name.n <= NAME_MAX && name.p[0] != '-' &&
	       smtp_span_all(name, SMTP_CC_LET_DIG | SMTP_CC_HYPHEN);
}

static bool is_argument(struct smtp_span text)
{
	return text.n > 0 && text.n <= ARGUMENT_MAX &&
	       smtp_span_all(text, SMTP_CC_ESMTP_VALUE | SMTP_CC_QTEXT | SMTP_CC_DCONTENT);
}

/* --- lists of names: parameters of MAIL, of RCPT, verbs --------------------------------------- */

enum list { LIST_MAIL, LIST_RCPT, LIST_VERBS };

static const char *const *list_of(const struct smtp_custom_extension *e, enum list list)
{
	if (list == LIST_VERBS)
		return e->verbs;
	return list == LIST_MAIL ? e->mail_keywords : e->rcpt_keywords;
}

/* Or of a form that it could not have. */
static bool is_built_in(enum list list, struct smtp_span name)
{
	if (list == LIST_VERBS)
		return !smtp_span_all(name, SMTP_CC_ALPHA) || server_verb_is_built_in(name);
	return server_param_is_built_in(list == LIST_MAIL, name);
}

/* How often the name stands in a list of any extension. */
static size_t count_name(const struct smtp_server_session_options *o, enum list list,
			 struct smtp_span name)
{
	size_t count = 0;

	for (size_t i = 0; i < o->custom_extension_count; i++) {
		const char *const *names = list_of(o->custom_extensions[i], list);

		for (size_t k = 0; names && names[k]; k++)
			count += smtp_span_is_nocase(name, names[k]);
	}
	return count;
}

static bool list_is_valid(const struct smtp_server_session_options *o,
			  const struct smtp_custom_extension *e, enum list list)
{
	const char *const *names = list_of(e, list);

	for (size_t i = 0; names && names[i]; i++) {
		struct smtp_span name = smtp_span_of(names[i]);

		if (i == NAMES_MAX || !is_keyword(name) || is_built_in(list, name) ||
		    count_name(o, list, name) > 1)
			return false;
	}
	return true;
}

/* --- one extension ---------------------------------------------------------------------------- */

static bool keyword_is_valid(const struct smtp_server_session_options *o,
			     const struct smtp_custom_extension *e)
{
	struct smtp_span name = smtp_span_of(e->keyword);
	size_t count = 0;

	if (!e->keyword)
		return !e->argument;
	for (size_t i = 0; i < o->custom_extension_count; i++)
		count += smtp_span_is_nocase(smtp_span_of(o->custom_extensions[i]->keyword),
					     e->keyword);
	return count == 1 && is_keyword(name) && !server_keyword_is_built_in(name) &&
	       (!e->argument || is_argument(smtp_span_of(e->argument)));
}

bool server_custom_is_valid(const struct smtp_server_session_options *o)
{
	if (o->custom_extension_count > EXTENSIONS_MAX ||
	    (o->custom_extension_count > 0 && !o->custom_extensions))
		return false;
	for (size_t i = 0; i < o->custom_extension_count; i++)
		if (!o->custom_extensions[i] ||
		    o->custom_extensions[i]->size != sizeof(struct smtp_custom_extension))
			return false;
	for (size_t i = 0; i < o->custom_extension_count; i++) {
		const struct smtp_custom_extension *e = o->custom_extensions[i];

		if (!keyword_is_valid(o, e) || !list_is_valid(o, e, LIST_MAIL) ||
		    !list_is_valid(o, e, LIST_RCPT) || !list_is_valid(o, e, LIST_VERBS))
			return false;
	}
	return true;
}

const char *server_custom_verb(const struct smtp_server_session *s, struct smtp_span name)
{
	for (size_t i = 0; i < s->options.custom_extension_count; i++) {
		const char *const *verbs = s->options.custom_extensions[i]->verbs;

		for (size_t k = 0; verbs && verbs[k]; k++)
			if (smtp_span_is_nocase(name, verbs[k]))
				return verbs[k];
	}
	return NULL;
}
