/* SPDX-License-Identifier: ISC */
/* outcome.c - fills in and compares outcomes. Texts of peers are cut and freed of control octets here,
 * once; what shows them escapes for its own format.
 */
#include "smtpd/queue/outcome.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void replace(char **text, const char *with)
{
	char *copy = with ? strndup(with, OUTCOME_TEXT_MAX) : NULL;

	for (char *p = copy; p && *p; p++)
		if ((unsigned char)*p < 32 || *p == 127)
			*p = *p == '\n' || *p == '\t' ? ' ' : '?';
	free(*text);
	*text = copy;
}

void outcome_set(struct outcome *o, enum outcome_kind kind, const char *host, const char *reply)
{
	o->kind = kind;
	replace(&o->reply, reply);
	replace(&o->host, host);
	replace(&o->peer, NULL);
}

void outcome_set_peer(struct outcome *o, const char *peer)
{
	replace(&o->peer, peer);
}

static enum outcome_kind kind_of(const struct smtp_reply *reply)
{
	if (smtp_reply_is_positive(reply))
		return OUTCOME_DELIVERED;
	return smtp_reply_is_permanent(reply) ? OUTCOME_PERMANENT : OUTCOME_TRANSIENT;
}

void outcome_set_reply(struct outcome *o, const char *host, const struct smtp_reply *reply)
{
	char text[OUTCOME_TEXT_MAX + 1];
	char enhanced[32] = "";
	const struct smtp_enhanced_code *e = &reply->enhanced;
	int shown = reply->text.n < OUTCOME_TEXT_MAX ? (int)reply->text.n : OUTCOME_TEXT_MAX;

	if (e->class_ != 0)
		(void)snprintf(enhanced, sizeof enhanced, " %u.%u.%u", e->class_, e->subject, e->detail);
	(void)snprintf(text, sizeof text, "%u%s%s%.*s", reply->code, enhanced, shown > 0 ? " " : "", shown,
		       shown > 0 ? (const char *)reply->text.p : "");
	outcome_set(o, kind_of(reply), host, text);
}

void outcome_copy(struct outcome *o, const struct outcome *from)
{
	outcome_set(o, from->kind, from->host, from->reply);
	outcome_set_peer(o, from->peer);
}

void outcome_release(struct outcome *o)
{
	outcome_set(o, OUTCOME_NONE, NULL, NULL);
}

const char *outcome_reply(const struct outcome *o)
{
	return o->reply ? o->reply : "";
}

bool outcome_text_is_reply(const char *text)
{
	for (int i = 0; i < 3; i++)
		if (text[i] < '0' || text[i] > '9')
			return false;
	return text[3] == ' ' || text[3] == '\0';
}

void outcome_status(const char *text, bool permanent, char out[OUTCOME_STATUS_MAX])
{
	struct smtp_enhanced_code code;
	size_t used;
	size_t skip = outcome_text_is_reply(text) ? 3 : 0;

	if (skip && text[skip] == ' ')
		skip++;
	if (smtp_enhanced_code_parse(&code, smtp_span_of(text + skip), &used) != 0 || code.class_ == 2)
		code = (struct smtp_enhanced_code){ .class_ = permanent ? 5 : 4 };
	(void)snprintf(out, OUTCOME_STATUS_MAX, "%u.%u.%u", code.class_, code.subject, code.detail);
}

static int badness(const struct outcome *o)
{
	static const int of_kind[] = { [OUTCOME_DELIVERED] = 0, [OUTCOME_PERMANENT] = 1,
				       [OUTCOME_TRANSIENT] = 2, [OUTCOME_NONE] = 3 };

	return of_kind[o->kind];
}

const struct outcome *outcome_worse(const struct outcome *a, const struct outcome *b)
{
	return badness(b) > badness(a) ? b : a;
}
