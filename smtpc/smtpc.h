/* SPDX-License-Identifier: ISC */
/* smtpc.h - the commands of smtpc, for the table in main.c. */
#ifndef SMTPC_SMTPC_H
#define SMTPC_SMTPC_H

#include "cli/command.h"

extern const struct cli_option send_options[], query_options[], probe_options[];

int send_run(const struct cli_command *self, int argc, char **argv, void *user);
int probe_run(const struct cli_command *self, int argc, char **argv, void *user);
int verify_run(const struct cli_command *self, int argc, char **argv, void *user);
int expand_run(const struct cli_command *self, int argc, char **argv, void *user);
int help_run(const struct cli_command *self, int argc, char **argv, void *user);
int command_run(const struct cli_command *self, int argc, char **argv, void *user);

#endif
