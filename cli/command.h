/* SPDX-License-Identifier: ISC */
/* command.h - sub-commands and their options as tables: one table finds the command, reads its options,
 * prints its help and suggests what was meant. For programs; messages go to standard error.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

enum cli_exit { CLI_DONE = 0, CLI_REFUSED = 1, CLI_USAGE = 2, CLI_TEMPORARY = 75 };

/** Values of an option that may be given more than once; points into argv. Zeroed, it is empty. */
enum { CLI_LIST_MAX = 1000 };
struct cli_list {
	const char **values;
	size_t count;
};
void cli_list_release(struct cli_list *list);

enum cli_option_kind {
	CLI_FLAG, /* bool */
	CLI_TEXT, /* const char *, given at most once */
	CLI_LIST  /* struct cli_list */
};

/** One option: where its value goes is an offset into the struct given to cli_options_read(). */
struct cli_option {
	const char *name; /* without "--" */
	char letter;      /* 'v' for -v; 0: none */
	enum cli_option_kind kind;
	size_t offset;
	const char *argument; /* "FILE"; NULL for a flag */
	const char *help;     /* one line */
};

/** A sub-command; a name may be of two words ("account add"). */
struct cli_command {
	const char *name;
	const char *synopsis; /* what follows the name: "URL ADDRESS" */
	const char *help;     /* one line */
	const char *example;  /* whole command lines, divided by LF; NULL: none */
	const struct cli_option *options; /* ends with a name of NULL; NULL: none */
	/** argv[0] is the last word of the name. Returns the exit status. */
	int (*run)(const struct cli_command *self, int argc, char **argv, void *user);
};

struct cli_program {
	const char *name;
	const char *summary;              /* one line */
	const char *notes;                /* under the list of commands; NULL: none */
	const struct cli_option *options; /* before the command; as above */
	const struct cli_command *commands;
	size_t command_count;
};

/** Reads the program's own options into `values`, finds the command, runs it with `user`. Knows "help",
 *  "help COMMAND", "--help" at any place and "--version". Returns the exit status. */
int cli_main(const struct cli_program *program, int argc, char **argv, void *values, void *user);

/** Reads the options of a command out of argv wherever they stand, up to "--". Returns the index in argv
 *  of the first operand, or -1 after saying what is wrong (then return CLI_USAGE). */
int cli_options_read(const struct cli_command *command, int argc, char **argv, void *values);

/** Says what is wrong with how a command was called, then how it is called; returns CLI_USAGE. */
int cli_usage_error(const struct cli_command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/** "PROGRAM: text" on standard error; control octets are escaped. */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
