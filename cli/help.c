/* SPDX-License-Identifier: ISC */
/* Help and usage errors, from the tables of command.h. */
#include "cli/help.h"
#include "cli/output.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

enum { COLUMN_MAX = 34 };

/* --- errors ---------------------------------------------------------------------------------- */

__attribute__((format(printf, 1, 0)))
static void say(const char *format, va_list args)
{
	char text[1024];

	(void)vsnprintf(text, sizeof text, format, args);
	(void)fprintf(stderr, "%s: ", program_invocation_short_name);
	cli_print_safe(stderr, smtp_span_of(text));
	(void)fputc('\n', stderr);
}

void cli_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
}

int cli_usage_error(const struct cli_command *command, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
	(void)fprintf(stderr, "usage: %s %s%s%s\n       \"%s %s --help\" tells more\n",
		      program_invocation_short_name, command->name,
		      command->synopsis[0] != '\0' ? " " : "", command->synopsis,
		      program_invocation_short_name, command->name);
	return CLI_USAGE;
}

/* --- help ------------------------------------------------------------------------------------ */

/* `left` in a column as wide as `width`, `right` behind it. */
static void print_pair(FILE *out, int width, const char *left, const char *right)
{
	if ((int)strlen(left) > width)
		(void)fprintf(out, "  %s\n  %*s  %s\n", left, width, "", right);
	else
		(void)fprintf(out, "  %-*s  %s\n", width, left, right);
}

static void option_left(const struct cli_option *option, char *out, size_t cap)
{
	char letter[] = { '-', option->letter, ',', ' ', '\0' };

	(void)snprintf(out, cap, "%s--%s%s%s", option->letter ? letter : "", option->name,
		       option->argument ? " " : "", option->argument ? option->argument : "");
}

static void print_options(const struct cli_option *options, FILE *out)
{
	char left[80];
	int width = 0;

	if (!options || !options->name)
		return;
	(void)fputs("\nOptions:\n", out);
	for (const struct cli_option *o = options; o->name; o++) {
		option_left(o, left, sizeof left);
		if ((int)strlen(left) > width && strlen(left) <= COLUMN_MAX)
			width = (int)strlen(left);
	}
	for (const struct cli_option *o = options; o->name; o++) {
		option_left(o, left, sizeof left);
		print_pair(out, width, left, o->help);
	}
}

static void print_commands(const struct cli_program *program, const char *family, FILE *out)
{
	size_t family_n = family ? strlen(family) : 0;
	int width = 0;

	for (size_t i = 0; i < program->command_count; i++) {
		int n = (int)strlen(program->commands[i].name);

		width = n > width ? n : width;
	}
	for (size_t i = 0; i < program->command_count; i++) {
		const struct cli_command *c = &program->commands[i];

		if (!family || (strncmp(c->name, family, family_n) == 0 &&
				(c->name[family_n] == ' ' || c->name[family_n] == '\0')))
			print_pair(out, width, c->name, c->help);
	}
}

void cli_help_program(const struct cli_program *program, FILE *out)
{
	(void)fprintf(out, "%s - %s\n\nUsage: %s%s COMMAND ...\n\nCommands:\n", program->name,
		      program->summary, program->name,
		      program->options && program->options->name ? " [OPTIONS]" : "");
	print_commands(program, NULL, out);
	print_options(program->options, out);
	(void)fprintf(out, "\n\"%s help COMMAND\" or \"%s COMMAND --help\" tells about one of them.\n",
		      program->name, program->name);
	if (program->notes)
		(void)fprintf(out, "\n%s\n", program->notes);
}

void cli_help_family(const struct cli_program *program, const char *word, FILE *out)
{
	print_commands(program, word, out);
}

void cli_help_command(const char *program, const struct cli_command *command, FILE *out)
{
	(void)fprintf(out, "Usage: %s %s %s\n\n%s\n", program, command->name, command->synopsis,
		      command->help);
	print_options(command->options, out);
	if (command->example)
		(void)fprintf(out, "\nExample:\n  %s\n", command->example);
}
