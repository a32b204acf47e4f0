/* SPDX-License-Identifier: ISC */
/* Sends one message, header section and all, from standard input: client URL FROM TO <message */
#include <smtp/smtp.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	static char message[65536];
	const char *to = argc == 4 ? argv[3] : NULL;
	struct smtp_client_result result = { .accepted = false };
	struct smtp_client *client = NULL;

	if (!to || fread(message, 1, sizeof message - 1, stdin) == 0 || !feof(stdin))
		return fprintf(stderr, "usage: client URL FROM TO <message, 64 KiB at most\n") > 0 ? 2 : 1;
	if (smtp_client_connect(&client, argv[1], NULL) == 0 &&
	    smtp_client_send_text(client, argv[2], &to, 1, message, &result) == 0)
		printf("%u %.*s\n", result.reply.code, (int)result.reply.text.n,
		       (const char *)result.reply.text.p);
	else
		fprintf(stderr, "%s\n", client ? smtp_client_problem(client) : "out of memory");
	smtp_client_free(client);
	return result.accepted ? 0 : 1;
}
