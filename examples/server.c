/* SPDX-License-Identifier: ISC */
/* A server that takes any mail on 127.0.0.1:2525, or another address, and prints it. */
#include <smtp/smtp.h>
#include <stdio.h>

static enum smtp_verdict on_rcpt(struct smtp_server_session *session,
				 const struct smtp_rcpt_request *request, void *user)
{
	const struct smtp_mailbox *to = &request->forward_path->mailbox;

	fprintf(user, "--- %s sends to %s@%s\n", smtp_server_session_peer_address(session),
		to->local_part, to->domain);
	return SMTP_ACCEPT;
}

static enum smtp_verdict on_content(struct smtp_server_session *session, struct smtp_span octets,
				    void *user)
{
	(void)session;
	fwrite(octets.p, 1, octets.n, user);
	return SMTP_ACCEPT;
}

int main(int argc, char **argv)
{
	const struct smtp_server_session_handler handler = {
		.size = sizeof handler, .rcpt = on_rcpt, .content = on_content
	};
	const char *address = argc > 1 ? argv[1] : "127.0.0.1:2525";
	char problem[200];

	if (smtp_server_serve(address, &handler, stdout, problem, sizeof problem) != 0)
		fprintf(stderr, "%s\n", problem);
	return 1;
}
