/* SPDX-License-Identifier: ISC */
/* A server that takes any mail on 127.0.0.1:2525, or another address, and prints it. */
#include <smtp/smtp.h>
#include <stdio.h>

static enum smtp_verdict on_rcpt(struct smtp_server_session *session,
				 const struct smtp_rcpt_request *request, void *user)
{
	const struct smtp_mailbox *to = &request->forward_path->mailbox;

	(void)user;
	printf("--- %s sends to %s@%s\n", smtp_server_session_peer_address(session),
	       to->local_part, to->domain);
	return SMTP_ACCEPT;
}

static enum smtp_verdict on_content(struct smtp_server_session *session, struct smtp_span octets,
				    void *user)
{
	(void)session;
	(void)user;
	fwrite(octets.p, 1, octets.n, stdout);
	return SMTP_ACCEPT;
}

int main(int argc, char **argv)
{
	const struct smtp_server_session_handler handler = {
		.size = sizeof handler, .rcpt = on_rcpt, .content = on_content
	};
	struct smtp_listener_options listener = SMTP_LISTENER_OPTIONS_INIT;
	struct smtp_server *server = NULL;
	int err = smtp_server_new(&server, NULL);

	listener.address = argc > 1 ? argv[1] : "127.0.0.1:2525";
	listener.session.hostname = "localhost";
	listener.handler = &handler;
	if (!err)
		err = smtp_server_listen(server, &listener, NULL);
	if (!err)
		err = smtp_server_run(server);
	fprintf(stderr, "%s: %s\n", smtp_error_str(err), server ? smtp_server_problem(server) : "");
	smtp_server_free(server);
	return err != 0;
}
