/* SPDX-License-Identifier: ISC */
/* Sends one message: client URL FROM TO <content. Its content goes out as it comes from standard input. */
#include <smtp/smtp.h>
#include <stdio.h>

static int read_stdin(void *user, uint8_t *out, size_t cap, size_t *n)
{
	(void)user;
	*n = fread(out, 1, cap, stdin);
	return ferror(stdin) ? SMTP_EIO : 0;
}

int main(int argc, char **argv)
{
	struct smtp_client_transaction txn = SMTP_CLIENT_TRANSACTION_INIT;
	struct smtp_client_result result = { .accepted = false };
	struct smtp_client *client = NULL;
	struct smtp_path from, to;
	int err = SMTP_EINVAL;

	if (argc != 4 || smtp_mailbox_parse(&from.mailbox, smtp_span_of(argv[2]), 0) ||
	    smtp_mailbox_parse(&to.mailbox, smtp_span_of(argv[3]), 0)) {
		fprintf(stderr, "usage: client URL FROM TO <content\n");
		return 2;
	}
	txn.reverse_path = &from;
	txn.forward_paths = &to;
	txn.forward_path_count = 1;
	txn.content.read = read_stdin;
	err = smtp_client_connect(&client, argv[1], NULL);
	if (!err)
		err = smtp_client_send(client, &txn, &result);
	if (err)
		fprintf(stderr, "%s\n", client ? smtp_client_problem(client) : smtp_error_str(err));
	else
		printf("%u %.*s\n", result.reply.code, (int)result.reply.text.n,
		       (const char *)result.reply.text.p);
	smtp_client_free(client);
	return result.accepted ? 0 : 1;
}
