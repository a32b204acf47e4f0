/* SPDX-License-Identifier: ISC */
/* help.h - help texts printed from the tables of command.h. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "cli/command.h"

#include <stdio.h>

void cli_help_program(const struct cli_program *program, FILE *out);
/** The commands whose names begin with that word. */
void cli_help_family(const struct cli_program *program, const char *word, FILE *out);
void cli_help_command(const char *program, const struct cli_command *command, FILE *out);
/** Is the word the first of two in the name of a command? */
bool cli_is_family(const struct cli_program *program, const char *word);

#endif
