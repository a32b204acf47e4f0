/* SPDX-License-Identifier: ISC */
/* extension.c - reads the reply to EHLO: one table of keywords. What is done with an offer is the
 * client session's business.
 */
#include "libsmtp/core/extension.h"

#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

/* Octets up to the next one of `end`, which is taken too; what is left without one. */
static struct smtp_span take_until(struct smtp_span *rest, uint8_t end)
{
	struct smtp_span part = { rest->p, 0 };

	while (part.n < rest->n && part.p[part.n] != end)
		part.n++;
	*rest = smtp_span_slice(*rest, part.n + 1, SIZE_MAX);
	return part;
}

static void read_size(struct smtp_extensions *out, struct smtp_span argument)
{
	out->size = true;
	/* A number that can't be understood is as good as none told. */
	if (smtp_span_uint(take_until(&argument, ' '), &out->size_limit))
		out->size_limit = 0;
}

static void read_auth(struct smtp_extensions *out, struct smtp_span argument)
{
	out->auth = true;
	while (argument.n > 0)
		out->mechanisms |= smtp_mechanism_of(take_until(&argument, ' '));
}

/* LIMITS SP name=number ... (RFC 9422, 3); what can't be understood is as good as not told. */
static void read_limits(struct smtp_extensions *out, struct smtp_span argument)
{
	const struct {
		const char *name;
		uint64_t *limit;
	} limits[] = {
		{ "MAILMAX", &out->mail_max },
		{ "RCPTMAX", &out->rcpt_max },
		{ "RCPTDOMAINMAX", &out->rcpt_domain_max },
	};

	while (argument.n > 0) {
		struct smtp_span value = take_until(&argument, ' ');
		struct smtp_span name = take_until(&value, '=');

		for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++)
			if (smtp_span_is_nocase(name, limits[i].name) &&
			    smtp_span_uint(value, limits[i].limit))
				*limits[i].limit = 0;
	}
}

static void read_flag(struct smtp_extensions *out, struct smtp_span keyword)
{
	const struct {
		const char *keyword;
		bool *flag;
	} flags[] = {
		{ "PIPELINING", &out->pipelining },
		{ "8BITMIME", &out->eightbitmime },
		{ "STARTTLS", &out->starttls },
		{ "ENHANCEDSTATUSCODES", &out->enhancedstatuscodes },
		{ "CHUNKING", &out->chunking },
		{ "DSN", &out->dsn },
		{ "SMTPUTF8", &out->smtputf8 },
		{ "BINARYMIME", &out->binarymime },
		{ "REQUIRETLS", &out->requiretls },
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		if (smtp_span_is_nocase(keyword, flags[i].keyword))
			*flags[i].flag = true;
}

/* ehlo-line = ehlo-keyword *( SP ehlo-param ); "AUTH=" is the form of servers before RFC 2554. */
static void read_line(struct smtp_extensions *out, struct smtp_span line)
{
	struct smtp_reader rd;
	struct smtp_span keyword;

	smtp_reader_init(&rd, smtp_span_trim(line));
	keyword = smtp_rd_while(&rd, SMTP_CC_LET_DIG | SMTP_CC_HYPHEN);
	if (smtp_rd_char(&rd, '=') ? !smtp_span_is_nocase(keyword, "AUTH")
				   : !smtp_rd_end(&rd) && smtp_rd_peek(&rd) != ' ')
		return;
	if (smtp_span_is_nocase(keyword, "SIZE"))
		read_size(out, smtp_span_trim(rd.rest));
	else if (smtp_span_is_nocase(keyword, "AUTH"))
		read_auth(out, smtp_span_trim(rd.rest));
	else if (smtp_span_is_nocase(keyword, "LIMITS"))
		read_limits(out, smtp_span_trim(rd.rest));
	else
		read_flag(out, keyword);
}

void smtp_extensions_parse(struct smtp_extensions *out, struct smtp_span text)
{
	*out = (struct smtp_extensions){ .extended = true };
	take_until(&text, '\n');
	while (text.n > 0)
		read_line(out, take_until(&text, '\n'));
}

bool smtp_extension_find(struct smtp_span text, const char *keyword, struct smtp_span *params)
{
	take_until(&text, '\n');
	while (text.n > 0) {
		struct smtp_span line = smtp_span_trim(take_until(&text, '\n'));
		struct smtp_span name = take_until(&line, ' ');

		if (smtp_span_is_nocase(name, keyword)) {
			*params = smtp_span_trim(line);
			return true;
		}
	}
	return false;
}
