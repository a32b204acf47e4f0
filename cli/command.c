/* SPDX-License-Identifier: ISC */
/* Finds the sub-command that a command line names and reads options by their table. What commands do
 * and print is theirs; help texts are in help.c.
 */
#include "cli/command.h"
#include "cli/nearest.h"
#include "cli/help.h"
#include "cli/output.h"

#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPTIONS_MAX = 48, WORD_MAX = 64, HELP_CODE = 1000, VERSION_CODE = 1001, FIRST_CODE = 2000 };

/* --- options --------------------------------------------------------------------------------- */

void cli_list_release(struct cli_list *list)
{
	free(list->values);
	list->values = NULL;
	list->count = 0;
}

static int list_add(struct cli_list *list, const char *value)
{
	const char **grown;

	if (list->count >= CLI_LIST_MAX)
		return -1;
	grown = reallocarray(list->values, list->count + 1, sizeof *grown);
	if (!grown)
		return -1;
	list->values = grown;
	list->values[list->count++] = value;
	return 0;
}

static size_t option_count(const struct cli_option *options)
{
	size_t n = 0;

	while (options && options[n].name && n < OPTIONS_MAX)
		n++;
	return n;
}

/* The tables that getopt_long() reads, made from ours. */
struct getopt_tables {
	struct option longs[OPTIONS_MAX + 3];
	char shorts[2 * OPTIONS_MAX + 4];
};

static void fill_tables(struct getopt_tables *t, const struct cli_option *options, bool operands_end)
{
	size_t n = option_count(options), s = 0;

	memset(t, 0, sizeof *t);
	if (operands_end)
		t->shorts[s++] = '+';
	t->shorts[s++] = ':';
	for (size_t i = 0; i < n; i++) {
		int has_argument = options[i].kind == CLI_FLAG ? no_argument : required_argument;

		t->longs[i] = (struct option){ options[i].name, has_argument, NULL,
					       FIRST_CODE + (int)i };
		if (!options[i].letter)
			continue;
		t->shorts[s++] = options[i].letter;
		if (has_argument)
			t->shorts[s++] = ':';
	}
	t->longs[n] = (struct option){ "help", no_argument, NULL, HELP_CODE };
	if (operands_end)
		t->longs[n + 1] = (struct option){ "version", no_argument, NULL, VERSION_CODE };
}

static const struct cli_option *option_of(const struct cli_option *options, int code)
{
	size_t n = option_count(options);

	if (code >= FIRST_CODE && (size_t)(code - FIRST_CODE) < n)
		return &options[code - FIRST_CODE];
	for (size_t i = 0; i < n; i++)
		if (options[i].letter && options[i].letter == code)
			return &options[i];
	return NULL;
}

/* Returns what is wrong with it, NULL if nothing is. */
static const char *store(const struct cli_option *option, void *values)
{
	void *place = (uint8_t *)values + option->offset;
	const char **text = place;

	switch (option->kind) {
	case CLI_FLAG:
		*(bool *)place = true;
		return NULL;
	case CLI_TEXT:
		if (*text)
			return "was given twice";
		*text = optarg;
		return NULL;
	case CLI_LIST:
		return list_add(place, optarg) == 0 ? NULL : "was given too often";
	}
	return "is of no known kind";
}


static const char *option_name_at(const void *options, size_t i)
{
	return ((const struct cli_option *)options)[i].name;
}

static void unknown_option(const struct cli_option *options, const char *word, char *out, size_t cap)
{
	char name[WORD_MAX];
	const char *near = NULL;

	if (strncmp(word, "--", 2) == 0 && options) {
		(void)snprintf(name, sizeof name, "%.*s", (int)strcspn(word + 2, "="), word + 2);
		near = cli_nearest(name, option_name_at, options);
	}
	(void)snprintf(out, cap, "unknown option %.60s%s%s%s", word, near ? "; did you mean --" : "",
		       near ? near : "", near ? "?" : "");
}

static int wrong_option(const struct cli_option *options, int code, const char *word, char *problem,
			size_t cap)
{
	const struct cli_option *option = option_of(options, optopt);
	char letter[] = { '-', (char)optopt, '\0' };

	if (code == ':' && option)
		(void)snprintf(problem, cap, "--%s needs a value: %s", option->name,
			       option->argument);
	else
		unknown_option(options, optopt > 0 && optopt < HELP_CODE ? letter : word, problem,
			       cap);
	return -1;
}

/* One step of reading: the code of the option, 0 at the end, -1 with `problem` filled. */
static int next_option(const struct cli_option *options, int argc, char **argv,
		       const struct getopt_tables *t, void *values, char *problem, size_t cap)
{
	int code = getopt_long(argc, argv, t->shorts, t->longs, NULL);
	const struct cli_option *option = option_of(options, code);
	const char *wrong;

	if (code == -1)
		return 0;
	if (code == HELP_CODE || code == VERSION_CODE)
		return code;
	if (!option)
		return wrong_option(options, code, argv[optind - 1], problem, cap);
	wrong = store(option, values);
	if (!wrong)
		return code;
	(void)snprintf(problem, cap, "--%s %s", option->name, wrong);
	return -1;
}

int cli_options_read(const struct cli_command *command, int argc, char **argv, void *values)
{
	struct getopt_tables tables;
	char problem[200] = "";
	int code;

	fill_tables(&tables, command->options, false);
	opterr = 0;
	optind = 0; /* makes the C library begin anew */
	while ((code = next_option(command->options, argc, argv, &tables, values, problem,
				   sizeof problem)) > 0)
		continue; /* --help was looked for before the command was run */
	if (code == 0)
		return optind;
	(void)cli_usage_error(command, "%s", problem);
	return -1;
}

/* --- commands -------------------------------------------------------------------------------- */

/* How many words of argv the name takes; 0: it is another command. */
static int words_taken(const char *name, int argc, char **argv)
{
	const char *blank = strchr(name, ' ');
	size_t first = blank ? (size_t)(blank - name) : strlen(name);

	if (argc < 1 || strlen(argv[0]) != first || memcmp(argv[0], name, first) != 0)
		return 0;
	if (!blank)
		return 1;
	return argc >= 2 && strcmp(argv[1], blank + 1) == 0 ? 2 : 0;
}

/* The command with the longest name that fits. */
static const struct cli_command *find_command(const struct cli_program *program, int argc,
					      char **argv, int *words)
{
	const struct cli_command *found = NULL;

	*words = 0;
	for (size_t i = 0; i < program->command_count; i++) {
		int n = words_taken(program->commands[i].name, argc, argv);

		if (n > *words) {
			*words = n;
			found = &program->commands[i];
		}
	}
	return found;
}

bool cli_is_family(const struct cli_program *program, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i < program->command_count; i++) {
		const char *name = program->commands[i].name;

		if (strncmp(name, word, n) == 0 && name[n] == ' ')
			return true;
	}
	return false;
}

static const char *command_at(const void *user, size_t i)
{
	const struct cli_program *program = user;

	return i < program->command_count ? program->commands[i].name : NULL;
}

static int unknown_command(const struct cli_program *program, int argc, char **argv)
{
	char words[2 * WORD_MAX];
	const char *near;

	if (cli_is_family(program, argv[0]) && argc < 2) {
		cli_error("%s: which of these?", argv[0]);
		cli_help_family(program, argv[0], stderr);
		return CLI_USAGE;
	}
	if (cli_is_family(program, argv[0]))
		(void)snprintf(words, sizeof words, "%.60s %.60s", argv[0], argv[1]);
	else
		(void)snprintf(words, sizeof words, "%.60s", argv[0]);
	near = cli_nearest(words, command_at, program);
	if (near)
		cli_error("unknown command \"%s\"; did you mean \"%s\"?", words, near);
	else
		cli_error("unknown command \"%s\"; \"%s help\" lists them", words, program->name);
	return CLI_USAGE;
}

/* "--help" before a "--". */
static bool asks_for_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0)
			return true;
	return false;
}

/* argv[0] is "help". */
static int run_help(const struct cli_program *program, int argc, char **argv)
{
	const struct cli_command *command;
	int words;

	if (argc < 2 || argv[1][0] == '-') {
		cli_help_program(program, stdout);
		return CLI_DONE;
	}
	command = find_command(program, argc - 1, argv + 1, &words);
	if (command)
		cli_help_command(program->name, command, stdout);
	else if (cli_is_family(program, argv[1]))
		cli_help_family(program, argv[1], stdout);
	else
		return unknown_command(program, argc - 1, argv + 1);
	return CLI_DONE;
}

/* A program may have a command "help" of its own, for something with a URL. */
static bool is_own_help(const struct cli_command *command, int argc, char **argv)
{
	return command && (asks_for_help(argc, argv) || (argc >= 2 && strchr(argv[1], ':')));
}

static int run_command(const struct cli_program *program, int argc, char **argv, void *user)
{
	int words;
	const struct cli_command *command = find_command(program, argc, argv, &words);

	if (strcmp(argv[0], "help") == 0 && !is_own_help(command, argc, argv))
		return run_help(program, argc, argv);
	if (!command && asks_for_help(argc, argv) && cli_is_family(program, argv[0])) {
		cli_help_family(program, argv[0], stdout);
		return CLI_DONE;
	}
	if (!command)
		return unknown_command(program, argc, argv);
	argc -= words - 1;
	argv += words - 1;
	if (asks_for_help(argc, argv)) {
		cli_help_command(program->name, command, stdout);
		return CLI_DONE;
	}
	return command->run(command, argc, argv, user);
}

int cli_main(const struct cli_program *program, int argc, char **argv, void *values, void *user)
{
	struct getopt_tables tables;
	char problem[200] = "";
	int code;

	fill_tables(&tables, program->options, true);
	opterr = 0;
	optind = 0;
	while ((code = next_option(program->options, argc, argv, &tables, values, problem,
				   sizeof problem)) > 0) {
		if (code == HELP_CODE)
			cli_help_program(program, stdout);
		else if (code == VERSION_CODE)
			printf("%s %s\n", program->name, smtp_library_version());
		if (code == HELP_CODE || code == VERSION_CODE)
			return cli_finish_output(CLI_DONE);
	}
	if (code < 0) {
		cli_error("%s; \"%s help\" tells more", problem, program->name);
		return CLI_USAGE;
	}
	if (optind >= argc) {
		cli_help_program(program, stderr);
		return CLI_USAGE;
	}
	return cli_finish_output(run_command(program, argc - optind, argv + optind, user));
}
