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

/* A first line, octet by octet: what stands behind it is left for others to read. Returns what is wrong,
 * NULL if nothing is. */
static const char *read_line(struct cli_secret *out, int fd)
{
	char c;

	for (;;) {
		ssize_t n = read(fd, &c, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return strerror(errno);
		if (n == 0 || c == '\n')
			break;
		if (out->n == CLI_SECRET_MAX)
			return "the password is longer than 1024 octets";
		out->text[out->n++] = c;
	}
	if (out->n > 0 && out->text[out->n - 1] == '\r')
		out->n--;
	out->text[out->n] = '\0';
	if (out->n == 0)
		return "the password is empty";
	if (memchr(out->text, '\0', out->n) || memchr(out->text, '\r', out->n))
		return "the password holds a control octet";
	return NULL;
}

static int say(const char *where, const char *problem)
{
	if (problem)
		cli_error("%s: %s", where, problem);
	return problem ? -1 : 0;
}

static int read_file(struct cli_secret *out, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *problem;

	if (fd < 0)
		return say(path, strerror(errno));
	problem = read_line(out, fd);
	(void)close(fd); /* only read */
	return say(path, problem);
}

static int read_command(struct cli_secret *out, const char *command)
{
	FILE *pipe = popen(command, "re");
	const char *problem;
	int status;

	if (!pipe)
		return say("password command", strerror(errno));
	problem = read_line(out, fileno(pipe));
	status = pclose(pipe);
	/* One that prints more than a line may have ended by SIGPIPE. */
	if (status < 0 || (WIFEXITED(status) && WEXITSTATUS(status) != 0)) {
		cli_error("the password command failed: %s", command);
		return -1;
	}
	return say("password command", problem);
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
		err = say("standard input", read_line(out, STDIN_FILENO));
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
