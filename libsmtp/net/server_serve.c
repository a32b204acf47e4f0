/* SPDX-License-Identifier: ISC */
/* server_serve.c - a whole server in one call, on the public functions that larger programs use. */
#include <smtp/server.h>

#include <stdio.h>

int smtp_server_serve(const char *address, const struct smtp_server_session_handler *handler,
		      void *user, char *problem, size_t cap)
{
	struct smtp_listener_options listener = SMTP_LISTENER_OPTIONS_INIT;
	struct smtp_server *server = NULL;
	int err = smtp_server_new(&server, NULL);

	listener.address = address;
	listener.handler = handler;
	listener.user = user;
	if (!err)
		err = smtp_server_listen(server, &listener, NULL);
	if (!err)
		err = smtp_server_run(server);
	if (err && problem && cap > 0) {
		const char *more = server ? smtp_server_problem(server) : "";

		(void)snprintf(problem, cap, "%s", *more ? more : smtp_error_str(err));
	}
	smtp_server_free(server);
	return err;
}
