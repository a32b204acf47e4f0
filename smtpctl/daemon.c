/* SPDX-License-Identifier: ISC */
/* daemon.c - smtpctl status, reload, stop: what concerns the running smtpd as a whole. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/output.h"
#include "libsmtp/core/span.h"
#include "smtpctl/smtpctl.h"

enum { STOP_WAIT_S = 70 };

static int ask(const struct cli_command *self, int argc, char **argv, const struct smtpctl *ctl,
	       const char *request, struct smtp_buf *lines)
{
	char problem[CTL_PROBLEM_MAX] = "";
	struct config *config;
	int first = cli_options_read(self, argc, argv, NULL), err;

	smtp_buf_init(lines, 0);
	if (first < 0)
		return CLI_USAGE;
	if (argc != first)
		return cli_usage_error(self, "no argument is wanted");
	config = ctl_config(ctl);
	if (config == NULL)
		return CLI_REFUSED;
	err = ctl_ask(config, request, lines, problem);
	config_free(config);
	if (err != 0)
		cli_error("%s", problem);
	return err == 0 ? CLI_DONE : CLI_REFUSED;
}

/** Takes one line off *rest: "name value". */
static bool next_line(struct smtp_span *rest, struct smtp_span *name, struct smtp_span *value)
{
	const uint8_t *end = rest->n > 0 ? memchr(rest->p, '\n', rest->n) : NULL;
	const uint8_t *blank;
	struct smtp_span line;

	if (end == NULL)
		return false;
	line = smtp_span_slice(*rest, 0, (size_t)(end - rest->p));
	*rest = smtp_span_slice(*rest, line.n + 1, rest->n);
	blank = line.n > 0 ? memchr(line.p, ' ', line.n) : NULL;
	*name = blank != NULL ? smtp_span_slice(line, 0, (size_t)(blank - line.p)) : line;
	*value = smtp_span_slice(line, name->n + 1, line.n);
	return true;
}

static void print_status(struct smtp_span lines)
{
	struct smtp_span name, value;

	while (next_line(&lines, &name, &value)) {
		(void)printf("%-10.*s ", (int)name.n, (const char *)name.p);
		cli_print_safe(stdout, value);
		(void)printf("\n");
	}
}

static void print_status_json(struct smtp_span lines)
{
	struct smtp_span all = lines, name, value;
	struct cli_json json;
	char key[32];
	uint64_t number;

	cli_json_init(&json, stdout);
	cli_json_object(&json, NULL);
	while (next_line(&lines, &name, &value)) {
		if (smtp_span_is(name, "listen") || smtp_span_copy(name, key, sizeof key) != 0)
			continue;
		if (smtp_span_uint(value, &number) == 0)
			cli_json_uint(&json, key, number);
		else
			cli_json_span(&json, key, value);
	}
	cli_json_array(&json, "listen");
	while (next_line(&all, &name, &value))
		if (smtp_span_is(name, "listen"))
			cli_json_span(&json, NULL, value);
	cli_json_array_end(&json);
	cli_json_object_end(&json);
}

int ctl_status(const struct cli_command *self, int argc, char **argv, void *user)
{
	const struct smtpctl *ctl = user;
	struct smtp_buf lines;
	int status = ask(self, argc, argv, ctl, "status", &lines);

	if (status == CLI_DONE && ctl->json)
		print_status_json(smtp_buf_span(&lines));
	else if (status == CLI_DONE)
		print_status(smtp_buf_span(&lines));
	smtp_buf_release(&lines);
	return cli_finish_output(status);
}

/** A wrong configuration is told here, where somebody reads it; the daemon would only log it. */
int ctl_reload(const struct cli_command *self, int argc, char **argv, void *user)
{
	struct smtp_buf lines;
	int status = ask(self, argc, argv, user, "reload", &lines);

	smtp_buf_release(&lines);
	return status;
}

static bool is_process(pid_t pid)
{
	return kill(pid, 0) == 0 || errno == EPERM;
}

static pid_t pid_of(struct smtp_span lines)
{
	struct smtp_span name, value;
	uint64_t pid;

	while (next_line(&lines, &name, &value))
		if (smtp_span_is(name, "pid") && smtp_span_uint(value, &pid) == 0 && pid > 1)
			return (pid_t)pid;
	return 0;
}

/** The daemon removes its socket as its last act; one that was killed meanwhile leaves it behind. */
static int wait_for_end(const struct smtpctl *ctl, pid_t pid)
{
	const struct timespec pause = { 0, 50 * 1000 * 1000 };
	struct config *config = ctl_config(ctl);
	time_t until = time(NULL) + STOP_WAIT_S;
	char *path = NULL;
	int status = CLI_REFUSED;

	if (config != NULL && config_data_path(config, CONFIG_CONTROL_SOCKET, &path) == 0) {
		while (access(path, F_OK) == 0 && is_process(pid) && time(NULL) <= until)
			(void)nanosleep(&pause, NULL);
		if (time(NULL) <= until)
			status = CLI_DONE;
		else
			cli_error("smtpd (process %ld) still runs", (long)pid);
	}
	free(path);
	config_free(config);
	return status;
}

int ctl_stop(const struct cli_command *self, int argc, char **argv, void *user)
{
	struct smtp_buf lines;
	int status = ask(self, argc, argv, user, "status", &lines);
	pid_t pid = status == CLI_DONE ? pid_of(smtp_buf_span(&lines)) : 0;

	smtp_buf_release(&lines);
	if (status != CLI_DONE)
		return status;
	status = ask(self, argc, argv, user, "stop", &lines);
	smtp_buf_release(&lines);
	return status == CLI_DONE ? wait_for_end(user, pid) : status;
}
