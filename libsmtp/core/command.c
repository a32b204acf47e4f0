/* SPDX-License-Identifier: ISC */
/* command.c - cuts the line of a client into verb and argument, and the arguments of MAIL and RCPT
 * into path and parameters. Pure syntax: which verbs and keywords exist is decided elsewhere.
 */
#include "libsmtp/core/command.h"

#include <string.h>

#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

static bool has_line_end(struct smtp_span text)
{
	return text.n > 0 && (memchr(text.p, '\r', text.n) || memchr(text.p, '\n', text.n));
}

/* command = verb [ SP argument ] (RFC 5321, 4.1.1); a tab does for the blank. */
int smtp_command_parse(struct smtp_command *out, struct smtp_span line)
{
	struct smtp_reader rd;
	struct smtp_command command;

	if (has_line_end(line))
		return SMTP_ESYNTAX;
	smtp_reader_init(&rd, line);
	command.verb = smtp_rd_while(&rd, SMTP_CC_ALPHA);
	if (command.verb.n == 0)
		return SMTP_ESYNTAX;
	command.argument = smtp_span_trim(rd.rest);
	if (!smtp_rd_end(&rd) && !smtp_is(rd.rest.p[0], SMTP_CC_BLANK | SMTP_CC_CONTROL))
		return SMTP_ESYNTAX;
	*out = command;
	return smtp_span_has(command.argument, SMTP_CC_CONTROL) ? SMTP_EINVAL : 0;
}

const struct smtp_param *smtp_params_find(const struct smtp_params *params, const char *keyword)
{
	for (size_t i = 0; i < params->count; i++)
		if (smtp_span_is_nocase(params->items[i].keyword, keyword))
			return &params->items[i];
	return NULL;
}

static bool has_keyword(const struct smtp_params *params, struct smtp_span keyword)
{
	for (size_t i = 0; i < params->count; i++)
		if (smtp_span_equal_nocase(params->items[i].keyword, keyword))
			return true;
	return false;
}

/* esmtp-param = esmtp-keyword ["=" esmtp-value]
 * esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")          (RFC 5321, 4.1.2) */
static int read_param(struct smtp_reader *rd, unsigned value_class, struct smtp_param *param)
{
	*param = (struct smtp_param){ .keyword = smtp_rd_while(rd, SMTP_CC_LET_DIG |
									   SMTP_CC_HYPHEN) };
	if (param->keyword.n == 0 || param->keyword.p[0] == '-')
		return SMTP_ESYNTAX;
	if (smtp_rd_char(rd, '=')) {
		param->value = smtp_rd_while(rd, value_class);
		if (param->value.n == 0 || !smtp_utf8_is_valid(param->value))
			return SMTP_ESYNTAX;
	}
	return smtp_rd_end(rd) || smtp_rd_peek(rd) == ' ' ? 0 : SMTP_ESYNTAX;
}

static void skip_spaces(struct smtp_reader *rd)
{
	while (smtp_rd_char(rd, ' '))
		;
}

int smtp_params_parse(struct smtp_params *out, struct smtp_span text, bool utf8)
{
	unsigned value_class = SMTP_CC_ESMTP_VALUE | (utf8 ? SMTP_CC_UTF8 : 0);
	struct smtp_reader rd;

	out->count = 0;
	smtp_reader_init(&rd, text);
	for (skip_spaces(&rd); !smtp_rd_end(&rd); skip_spaces(&rd)) {
		struct smtp_param param;
		int err = read_param(&rd, value_class, &param);

		if (err)
			return err;
		if (has_keyword(out, param.keyword))
			return SMTP_ESYNTAX;
		if (out->count == SMTP_PARAMS_MAX)
			return SMTP_ETOOLONG;
		out->items[out->count++] = param;
	}
	return 0;
}

int smtp_path_argument_parse(struct smtp_path *out, struct smtp_span argument, const char *prefix,
			     unsigned flags, struct smtp_span *rest)
{
	struct smtp_reader rd;
	size_t used;
	int err;

	smtp_reader_init(&rd, argument);
	if (!smtp_rd_literal(&rd, prefix))
		return SMTP_EPROTO;
	smtp_rd_char(&rd, ' '); /* not in the grammar, but clients in use send it */
	err = smtp_path_parse(out, rd.rest, flags, &used);
	if (err)
		return err;
	rd.rest = smtp_span_slice(rd.rest, used, SIZE_MAX);
	if (!smtp_rd_end(&rd) && smtp_rd_peek(&rd) != ' ')
		return SMTP_ESYNTAX;
	*rest = smtp_span_trim(rd.rest);
	return 0;
}
