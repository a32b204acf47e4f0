/* SPDX-License-Identifier: ISC */
/* Replies on standard output. The text is a stranger's: nothing of it reaches the terminal unescaped. */
#include "smtpc/report.h"
#include "libsmtp/core/span.h"

#include <string.h>

const char *enhanced_text(const struct smtp_enhanced_code *code, char out[ENHANCED_TEXT_MAX])
{
	out[0] = '\0';
	if (code->class_ != 0)
		(void)snprintf(out, ENHANCED_TEXT_MAX, "%u.%u.%u", code->class_, code->subject,
			       code->detail);
	return out;
}

/* Takes the first line off the text. */
static struct smtp_span next_line(struct smtp_span *text)
{
	const uint8_t *lf = text->n > 0 ? memchr(text->p, '\n', text->n) : NULL;
	size_t n = lf ? (size_t)(lf - text->p) : text->n;
	struct smtp_span line = smtp_span_slice(*text, 0, n);

	*text = smtp_span_slice(*text, lf ? n + 1 : n, text->n);
	return line;
}

void report_reply(FILE *out, const struct smtp_reply *reply)
{
	struct smtp_span rest = reply->text;
	char enhanced[ENHANCED_TEXT_MAX];

	(void)enhanced_text(&reply->enhanced, enhanced);
	do {
		struct smtp_span line = next_line(&rest);

		(void)fprintf(out, "%u%c%s%s", reply->code, rest.n > 0 ? '-' : ' ', enhanced,
			      enhanced[0] != '\0' && line.n > 0 ? " " : "");
		cli_print_safe(out, line);
		(void)fputc('\n', out);
	} while (rest.n > 0);
}

void report_reply_line(FILE *out, const struct smtp_reply *reply)
{
	struct smtp_span rest = reply->text;
	char enhanced[ENHANCED_TEXT_MAX];

	(void)fprintf(out, "%u", reply->code);
	if (enhanced_text(&reply->enhanced, enhanced)[0] != '\0')
		(void)fprintf(out, " %s", enhanced);
	while (rest.n > 0) {
		(void)fputc(' ', out);
		cli_print_safe(out, next_line(&rest));
	}
}

void report_reply_json(struct cli_json *json, const struct smtp_reply *reply)
{
	struct smtp_span rest = reply->text;
	char enhanced[ENHANCED_TEXT_MAX];

	if (reply->code != 0)
		cli_json_uint(json, "code", reply->code);
	else
		cli_json_text(json, "code", NULL);
	cli_json_text(json, "enhanced", enhanced_text(&reply->enhanced, enhanced)[0] != '\0' ?
					enhanced : NULL);
	cli_json_array(json, "lines");
	while (rest.n > 0)
		cli_json_span(json, NULL, next_line(&rest));
	cli_json_array_end(json);
}
