/* SPDX-License-Identifier: ISC */
/* verify, expand, help, command: one question, or a few lines, and the server's replies. */
#include "smtpc/connection.h"
#include "smtpc/report.h"
#include "smtpc/smtpc.h"

#include <string.h>

struct query_values {
	struct connection_options connection;
};

const struct cli_option query_options[] = {
	CONNECTION_OPTIONS(struct query_values, connection),
	{ 0 },
};

/* Reads options and operands; `at` receives the index of the first operand, the URL. */
static int read_arguments(const struct cli_command *self, int argc, char **argv, int least, int most,
			  struct query_values *values, int *at)
{
	memset(values, 0, sizeof *values);
	*at = cli_options_read(self, argc, argv, values);
	if (*at < 0)
		return CLI_USAGE;
	if (argc - *at < least)
		return cli_usage_error(self, argc == *at ? "a URL is missing" :
							   "an argument is missing");
	if (argc - *at > most)
		return cli_usage_error(self, "\"%s\" is one argument too many", argv[*at + most]);
	return CLI_DONE;
}

static void print_reply(const struct smtp_reply *reply, bool json)
{
	struct cli_json j;

	if (!json) {
		report_reply(stdout, reply);
		return;
	}
	cli_json_init(&j, stdout);
	cli_json_object(&j, NULL);
	report_reply_json(&j, reply);
	cli_json_object_end(&j);
}

/* One question: connects, asks, prints, leaves. */
static int ask(const struct cli_command *self, int argc, char **argv, int least,
	       int (*question)(struct smtp_client *, const char *, struct smtp_reply *))
{
	struct query_values values;
	struct connection connection;
	struct smtp_client *client;
	struct smtp_reply reply;
	int at, err;
	int status = read_arguments(self, argc, argv, least, 2, &values, &at);

	if (status == CLI_DONE)
		status = connection_to(&client, &connection, self, argv[at],
				       &values.connection);
	if (status != CLI_DONE)
		return status;
	err = question(client, argc - at > 1 ? argv[at + 1] : NULL, &reply);
	if (err) {
		cli_error("%s", smtp_client_problem(client));
		status = connection_status(client, err);
	} else {
		print_reply(&reply, values.connection.json);
		status = reply_status(&reply);
	}
	smtp_client_free(client);
	return status;
}

int verify_run(const struct cli_command *self, int argc, char **argv, void *user)
{
	(void)user;
	return ask(self, argc, argv, 2, smtp_client_verify);
}

int expand_run(const struct cli_command *self, int argc, char **argv, void *user)
{
	(void)user;
	return ask(self, argc, argv, 2, smtp_client_expand);
}

int help_run(const struct cli_command *self, int argc, char **argv, void *user)
{
	(void)user;
	return ask(self, argc, argv, 1, smtp_client_help);
}

/* --- command --------------------------------------------------------------------------------- */

/* The worst counts: refused for good, then for now. */
static int worse(int a, int b)
{
	if (a == CLI_DONE || b == CLI_REFUSED)
		return b;
	return a;
}

static int run_lines(struct smtp_client *client, char **lines, int count, struct cli_json *json)
{
	int status = CLI_DONE;

	for (int i = 0; i < count; i++) {
		struct smtp_reply reply;
		int err = smtp_client_command(client, lines[i], &reply);

		if (err) {
			cli_error("%s: %s", lines[i], smtp_client_problem(client));
			return worse(status, connection_status(client, err));
		}
		if (json) {
			cli_json_object(json, NULL);
			cli_json_text(json, "line", lines[i]);
			report_reply_json(json, &reply);
			cli_json_object_end(json);
		} else {
			report_reply(stdout, &reply);
		}
		status = worse(status, reply_status(&reply));
	}
	return status;
}

int command_run(const struct cli_command *self, int argc, char **argv, void *user)
{
	struct query_values values;
	struct connection connection;
	struct smtp_client *client;
	struct cli_json json;
	int at;
	int status = read_arguments(self, argc, argv, 2, argc, &values, &at);

	(void)user;
	if (status == CLI_DONE)
		status = connection_to(&client, &connection, self, argv[at],
				       &values.connection);
	if (status != CLI_DONE)
		return status;
	if (values.connection.json) {
		cli_json_init(&json, stdout);
		cli_json_array(&json, NULL);
	}
	status = run_lines(client, argv + at + 1, argc - at - 1,
			   values.connection.json ? &json : NULL);
	if (values.connection.json)
		cli_json_array_end(&json);
	smtp_client_free(client);
	return status;
}
