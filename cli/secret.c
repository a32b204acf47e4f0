/* SPDX-License-Identifier: ISC */
/* Reads secrets from standard input, files and commands; the terminal is in prompt.c. Each is a single
 * line, its line end taken off.
 */
#include "cli/secret.h"
#include "cli/command.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void cli_secret_wipe(struct cli_secret *secret)
{
	sodium_memzero(secret, sizeof *secret);
}

/* Octet by octet: what stands behind the first line is left for others to read. */
static int read_line(struct cli_secret *out, int fd, const char *from)
{
	char c;

	for (;;) {
		ssize_t n = read(fd, &c, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			cli_error("%s: %s", from, strerror(errno));
			return -1;
		}
		if (n == 0 || c == '\n')
			break;
		if (out->n == CLI_SECRET_MAX) {
			cli_error("%s: the password is longer than %d octets", from, CLI_SECRET_MAX);
			return -1;
		}
		out->text[out->n++] = c;
	}
	if (out->n > 0 && out->text[out->n - 1] == '\r')
		out->n--;
	out->text[out->n] = '\0';
	if (out->n == 0) {
		cli_error("%s: the password is empty", from);
		return -1;
	}
	if (memchr(out->text, '\0', out->n) || memchr(out->text, '\r', out->n)) {
		cli_error("%s: the password holds a control octet", from);
		return -1;
	}
	return 0;
}

static int read_file(struct cli_secret *out, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int err;

	if (fd < 0) {
		cli_error("%s: %s", path, strerror(errno));
		return -1;
	}
	err = read_line(out, fd, path);
	(void)close(fd); /* only read */
	return err;
}

static int read_command(struct cli_secret *out, const char *command)
{
	FILE *pipe = popen(command, "re");
	int err, status;

	if (!pipe) {
		cli_error("password command: %s", strerror(errno));
		return -1;
	}
	err = read_line(out, fileno(pipe), "password command");
	status = pclose(pipe);
	/* A command that prints more than a line may have ended by SIGPIPE. */
	if (!err && (status < 0 || (WIFEXITED(status) && WEXITSTATUS(status) != 0))) {
		cli_error("password command failed: %s", command);
		return -1;
	}
	return err;
}

static int read_terminal(struct cli_secret *out, const struct cli_secret_source *source)
{
	struct cli_secret again;
	int err = cli_prompt_secret(out, source->prompt, source->hint);

	if (err || !source->confirm)
		return err;
	err = cli_prompt_secret(&again, "Again: ", source->hint);
	if (!err && strcmp(out->text, again.text) != 0) {
		cli_error("the two passwords differ");
		err = -1;
	}
	cli_secret_wipe(&again);
	return err;
}

int cli_secret_read(struct cli_secret *out, const struct cli_secret_source *source)
{
	int err;

	out->n = 0;
	if (source->from_stdin)
		err = read_line(out, STDIN_FILENO, "standard input");
	else if (source->file)
		err = read_file(out, source->file);
	else if (source->command)
		err = read_command(out, source->command);
	else if (source->prompt)
		err = read_terminal(out, source);
	else
		err = -1;
	if (err)
		cli_secret_wipe(out);
	return err;
}
