/* SPDX-License-Identifier: ISC */
/* secret.h - where programs take passwords from: standard input, a file, a command, the terminal. Never
 * from the command line or the environment, which others can see.
 */
#ifndef CLI_SECRET_H
#define CLI_SECRET_H

#include <stdbool.h>
#include <stddef.h>

enum { CLI_SECRET_MAX = 8192 }; /* tokens are longer than passwords */

/** NUL-terminated, not empty, without line breaks. Wipe it after use. */
struct cli_secret {
	char text[CLI_SECRET_MAX + 1];
	size_t n;
};

/** The first one that is set counts; none: the terminal is asked. */
struct cli_secret_source {
	bool from_stdin;     /* its first line */
	const char *file;    /* its first line */
	const char *command; /* run by sh; the first line it prints */
	const char *prompt;  /* "Password for bob@example.org: "; NULL: do not ask */
	bool confirm;        /* ask twice: for a new password */
	const char *hint;    /* "use --password-file": said when there is no terminal to ask; may be NULL */
};

/** Reads the secret. 0, or -1 after saying on standard error what is wrong; `out` is then wiped. */
int cli_secret_read(struct cli_secret *out, const struct cli_secret_source *source);
void cli_secret_wipe(struct cli_secret *secret);

/** Asks on the terminal without echo; 0 or -1 as above. */
int cli_prompt_secret(struct cli_secret *out, const char *prompt, const char *hint);
/** Asks a question on the terminal that must be answered "yes"; false without a terminal. */
bool cli_confirm(const char *question);

#endif
