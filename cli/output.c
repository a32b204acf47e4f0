/* SPDX-License-Identifier: ISC */
/* Tables for people and JSON for programs. What is in them is the commands' matter. */
#include "cli/output.h"
#include "cli/command.h"
#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { UTF8_MAX = 4 };

/* Octets of the well-formed UTF-8 character at the head; 0: it is none. */
static size_t character_length(struct smtp_span text)
{
	for (size_t n = 1; n <= UTF8_MAX && n <= text.n; n++)
		if (smtp_utf8_is_valid(smtp_span_slice(text, 0, n)))
			return n;
	return 0;
}

/* U+0080 to U+009F: a terminal may take them for commands. */
static bool is_c1(struct smtp_span text)
{
	return text.n >= 2 && text.p[0] == 0xc2 && text.p[1] < 0xa0;
}

void cli_print_safe(FILE *out, struct smtp_span text)
{
	while (text.n > 0) {
		size_t n = character_length(text);

		if (n == 0 || smtp_is(text.p[0], SMTP_CC_CONTROL) || is_c1(text)) {
			(void)fprintf(out, "\\x%02x", text.p[0]);
			n = 1;
		} else {
			(void)fwrite(text.p, 1, n, out);
		}
		text = smtp_span_slice(text, n, text.n);
	}
}

int cli_finish_output(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	cli_error("standard output: %s", strerror(errno));
	return status == CLI_DONE ? CLI_REFUSED : status;
}

/* --- JSON ------------------------------------------------------------------------------------ */

void cli_json_init(struct cli_json *json, FILE *out)
{
	memset(json, 0, sizeof *json);
	json->out = out;
}

static void json_quoted(FILE *out, struct smtp_span text)
{
	(void)fputc('"', out);
	while (text.n > 0) {
		size_t n = character_length(text);
		uint8_t c = text.p[0];

		if (n == 0)
			(void)fprintf(out, "\\\\x%02x", c);
		else if (c == '"' || c == '\\')
			(void)fprintf(out, "\\%c", c);
		else if (c == '\n')
			(void)fputs("\\n", out);
		else if (smtp_is(c, SMTP_CC_CONTROL))
			(void)fprintf(out, "\\u%04x", c);
		else
			(void)fwrite(text.p, 1, n, out);
		text = smtp_span_slice(text, n > 0 ? n : 1, text.n);
	}
	(void)fputc('"', out);
}

static void json_newline(struct cli_json *json)
{
	(void)fprintf(json->out, "\n%*s", (int)json->depth * 2, "");
}

/* What stands before a value: comma, new line, key. */
static void json_begin(struct cli_json *json, const char *key)
{
	if (json->depth > 0) {
		if (json->has_items[json->depth - 1])
			(void)fputc(',', json->out);
		json->has_items[json->depth - 1] = true;
		json_newline(json);
	}
	if (key) {
		json_quoted(json->out, smtp_span_of(key));
		(void)fputs(": ", json->out);
	}
}

static void json_open(struct cli_json *json, const char *key, char bracket)
{
	json_begin(json, key);
	(void)fputc(bracket, json->out);
	if (json->depth >= CLI_JSON_DEPTH_MAX)
		abort(); /* a fault of the program: depth does not depend on input */
	json->has_items[json->depth++] = false;
}

static void json_close(struct cli_json *json, char bracket)
{
	bool has_items = json->has_items[--json->depth];

	if (has_items)
		json_newline(json);
	(void)fputc(bracket, json->out);
	if (json->depth == 0)
		(void)fputc('\n', json->out);
}

void cli_json_object(struct cli_json *json, const char *key)
{
	json_open(json, key, '{');
}

void cli_json_object_end(struct cli_json *json)
{
	json_close(json, '}');
}

void cli_json_array(struct cli_json *json, const char *key)
{
	json_open(json, key, '[');
}

void cli_json_array_end(struct cli_json *json)
{
	json_close(json, ']');
}

void cli_json_text(struct cli_json *json, const char *key, const char *text)
{
	json_begin(json, key);
	if (text)
		json_quoted(json->out, smtp_span_of(text));
	else
		(void)fputs("null", json->out);
}

void cli_json_span(struct cli_json *json, const char *key, struct smtp_span text)
{
	json_begin(json, key);
	json_quoted(json->out, text);
}

void cli_json_uint(struct cli_json *json, const char *key, uint64_t number)
{
	json_begin(json, key);
	(void)fprintf(json->out, "%" PRIu64, number);
}

void cli_json_int(struct cli_json *json, const char *key, int64_t number)
{
	json_begin(json, key);
	(void)fprintf(json->out, "%" PRId64, number);
}

void cli_json_bool(struct cli_json *json, const char *key, bool value)
{
	json_begin(json, key);
	(void)fputs(value ? "true" : "false", json->out);
}
