/* SPDX-License-Identifier: ISC */
/* smtpc - sends messages and asks SMTP servers, from a shell or a script. Here is the table of its
 * commands; each family has a file of its own.
 */
#include "smtpc/smtpc.h"

static const struct cli_command commands[] = {
	{ "send", "--server URL --from ADDRESS --to ADDRESS...",
	  "Sends a message made of text, HTML and attachments, or one that is ready.",
	  "smtpc send --server smtp+starttls://mail.example.org --user bob \\\n"
	  "      --from bob@example.org --to ann@example.net --subject Hello --text letter.txt\n"
	  "  smtpc send --server smtp://127.0.0.1:2525 --from a@x.org --to b@x.org --raw - <mail.eml",
	  send_options, send_run },
	{ "probe", "URL", "Shows what a server offers: extensions, TLS, certificate, ways to log in.",
	  "smtpc probe smtps://mail.example.org", probe_options, probe_run },
	{ "verify", "URL ADDRESS", "Asks a server whether an address is known (VRFY).",
	  "smtpc verify smtp://mail.example.org ann", query_options, verify_run },
	{ "expand", "URL LIST", "Asks a server for the members of a list (EXPN).",
	  "smtpc expand smtp://mail.example.org staff", query_options, expand_run },
	{ "help", "URL [TOPIC]", "Asks a server for its help text (HELP).",
	  "smtpc help smtp://mail.example.org MAIL", query_options, help_run },
	{ "command", "URL LINE...", "Sends command lines as they are and shows the replies.",
	  "smtpc command smtp://mail.example.org NOOP 'VRFY ann'", query_options, command_run },
};

static const struct cli_option no_options[] = { { 0 } };

static const struct cli_program program = {
	.name = "smtpc",
	.summary = "sends messages and asks SMTP servers",
	.notes = "URL is smtp://HOST[:25], smtps://HOST[:465], smtp+starttls://HOST[:587],\n"
		 "lmtp://HOST[:24], lmtp+unix:/PATH or mx://DOMAIN.\n"
		 "Exit status: 0 accepted, 1 refused, at least in part, 2 wrong call, 75 try again later.",
	.options = no_options,
	.commands = commands,
	.command_count = sizeof commands / sizeof *commands,
};

int main(int argc, char **argv)
{
	return cli_main(&program, argc, argv, NULL, NULL);
}
