/* SPDX-License-Identifier: ISC */
/* vrfy.c - the text of replies to VRFY and EXPN (RFC 5321, 3.5.1): names and mailboxes, one on a line.
 * Who exists is not known here.
 */
#include <smtp/vrfy.h>

#include <string.h>

#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

struct text {
	char *p;
	size_t n, cap;
	bool utf8;      /* may hold it */
	bool withheld;  /* a mailbox that would need it was left out */
};

static int put(struct text *out, const void *p, size_t n)
{
	if (n > out->cap - out->n)
		return SMTP_ETOOLONG;
	if (n > 0)
		memcpy(out->p + out->n, p, n);
	out->n += n;
	return 0;
}

static int put_span(struct text *out, struct smtp_span span)
{
	return put(out, span.p, span.n);
}

/* display-name = phrase (RFC 5322, 3.4): atoms stand as they are, all else between quotes. */
static int put_quoted(struct text *out, struct smtp_span name)
{
	int err = put(out, "\"", 1);

	for (size_t i = 0; !err && i < name.n; i++) {
		if (name.p[i] == '"' || name.p[i] == '\\')
			err = put(out, "\\", 1);
		if (!err)
			err = put(out, name.p + i, 1);
	}
	return err ? err : put(out, "\"", 1);
}

static bool is_phrase(struct smtp_span name)
{
	return smtp_span_all(name, SMTP_CC_ATEXT | SMTP_CC_BLANK | SMTP_CC_UTF8);
}

static int put_name(struct text *out, const char *full_name)
{
	struct smtp_span name = smtp_span_trim(smtp_span_of(full_name));
	size_t start = out->n;
	int err;

	if (name.n == 0 || (!out->utf8 && smtp_span_has(name, SMTP_CC_UTF8)))
		return 0;
	err = is_phrase(name) ? put_span(out, name) : put_quoted(out, name);
	if (err)
		return err;
	smtp_text_make_safe((uint8_t *)out->p + start, out->n - start);
	return put(out, " ", 1);
}

static int put_mailbox(struct text *out, const struct smtp_mailbox *mailbox)
{
	char text[SMTP_MAILBOX_TEXT_MAX + 1];
	struct smtp_mailbox parsed;
	struct smtp_span span;
	int err;

	if (!mailbox || mailbox->local_part[0] == '\0')
		return SMTP_EINVAL;
	span = smtp_span_make(text, smtp_mailbox_format(mailbox, text, sizeof(text)));
	if (span.n >= sizeof(text) || smtp_mailbox_parse(&parsed, span, SMTP_ADDRESS_UTF8))
		return SMTP_EINVAL;
	out->withheld |= !out->utf8 && smtp_span_has(span, SMTP_CC_UTF8);
	err = put(out, "<", 1);
	if (!err)
		err = put_span(out, span);
	return err ? err : put(out, ">", 1);
}

static int put_entry(struct text *out, const struct smtp_vrfy_entry *entry)
{
	int err = out->n > 0 ? put(out, "\n", 1) : 0;

	if (!err)
		err = put_name(out, entry->full_name);
	return err ? err : put_mailbox(out, entry->mailbox);
}

static int put_entries(struct text *out, const struct smtp_vrfy_entry *entries, size_t count)
{
	int err = 0;

	for (size_t i = 0; !err && i < count; i++)
		err = put_entry(out, &entries[i]);
	return err;
}

static struct smtp_reply reply_of(const struct text *text, unsigned code, const char *enhanced)
{
	struct smtp_reply reply = smtp_reply_of(code, enhanced, "");

	if (text->withheld)
		return smtp_reply_of(252, "2.6.8", "the answer needs UTF-8, ask with SMTPUTF8");
	reply.text = smtp_span_make(text->p, text->n);
	return reply;
}

int smtp_vrfy_reply(struct smtp_reply *out, char *text, size_t cap,
		    const struct smtp_vrfy_entry *entries, size_t count, bool smtputf8)
{
	static const char ambiguous[] = "ambiguous, it could be";
	struct text wire = { text, 0, cap, smtputf8, false };
	int err = count > 1 ? put(&wire, ambiguous, sizeof(ambiguous) - 1) : 0;

	if (!err)
		err = put_entries(&wire, entries, count);
	if (err)
		return err;
	if (count == 0)
		*out = smtp_reply_of(550, "5.1.1", "no such user");
	else if (count == 1)
		*out = reply_of(&wire, 250, "2.1.5");
	else
		*out = reply_of(&wire, 553, "5.1.4");
	return 0;
}

int smtp_expn_reply(struct smtp_reply *out, char *text, size_t cap,
		    const struct smtp_vrfy_entry *entries, size_t count, bool smtputf8)
{
	struct text wire = { text, 0, cap, smtputf8, false };
	int err = put_entries(&wire, entries, count);

	if (err)
		return err;
	*out = count == 0 ? smtp_reply_of(550, "5.1.1", "no such list") :
			    reply_of(&wire, 250, "2.1.5");
	return 0;
}

int smtp_vrfy_reply_forward(struct smtp_reply *out, char *text, size_t cap,
			    const struct smtp_mailbox *mailbox, bool smtputf8)
{
	static const char moved[] = "user not local; will forward to ";
	struct text wire = { text, 0, cap, smtputf8, false };
	int err = put(&wire, moved, sizeof(moved) - 1);

	if (!err)
		err = put_mailbox(&wire, mailbox);
	if (err)
		return err;
	*out = reply_of(&wire, 251, "2.1.5");
	return 0;
}
