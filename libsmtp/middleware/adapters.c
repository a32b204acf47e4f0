/* SPDX-License-Identifier: ISC */
/* adapters.c - middleware of a single function of the application. */
#include <stdlib.h>

#include "libsmtp/middleware/middleware_private.h"

struct adapter {
	union {
		enum smtp_verdict (*plain)(struct smtp_server_session *, void *user);
		enum smtp_verdict (*helo)(struct smtp_server_session *, struct smtp_span name,
					  bool extended, void *user);
		enum smtp_verdict (*auth)(struct smtp_server_session *,
					  const struct smtp_auth_request *, void *user);
		enum smtp_verdict (*mail)(struct smtp_server_session *,
					  const struct smtp_mail_request *, void *user);
		enum smtp_verdict (*rcpt)(struct smtp_server_session *,
					  const struct smtp_rcpt_request *, void *user);
	} check;
	void *user;
};

/* --- phase functions -------------------------------------------------------------------------- */

static enum smtp_verdict on_plain(struct smtp_server_session *session, void *user)
{
	const struct adapter *adapter = user;

	return adapter->check.plain(session, adapter->user);
}

static enum smtp_verdict on_helo(struct smtp_server_session *session, struct smtp_span name,
				 bool extended, void *user)
{
	const struct adapter *adapter = user;

	return adapter->check.helo(session, name, extended, adapter->user);
}

static enum smtp_verdict on_auth(struct smtp_server_session *session,
				 const struct smtp_auth_request *request, void *user)
{
	const struct adapter *adapter = user;

	return adapter->check.auth(session, request, adapter->user);
}

static enum smtp_verdict on_mail(struct smtp_server_session *session,
				 const struct smtp_mail_request *request, void *user)
{
	const struct adapter *adapter = user;

	return adapter->check.mail(session, request, adapter->user);
}

static enum smtp_verdict on_rcpt(struct smtp_server_session *session,
				 const struct smtp_rcpt_request *request, void *user)
{
	const struct adapter *adapter = user;

	return adapter->check.rcpt(session, request, adapter->user);
}

/* --- constructors ----------------------------------------------------------------------------- */

static int make(struct smtp_middleware *out, const char *name,
		const struct smtp_server_session_handler *handler, const struct adapter *adapter)
{
	struct adapter *copy;

	if (!out || !adapter->check.plain)
		return SMTP_EINVAL;
	copy = malloc(sizeof *copy);
	if (!copy)
		return SMTP_ENOMEM;
	*copy = *adapter;
	middleware_fill(out, name, handler, copy, free);
	return 0;
}

int smtp_middleware_connect(struct smtp_middleware *out,
			    enum smtp_verdict (*check)(struct smtp_server_session *, void *user),
			    void *user)
{
	static const struct smtp_server_session_handler handler = { .size = sizeof handler,
								    .connect = on_plain };
	struct adapter adapter = { .check.plain = check, .user = user };

	return make(out, "connect", &handler, &adapter);
}

int smtp_middleware_helo(struct smtp_middleware *out,
			 enum smtp_verdict (*check)(struct smtp_server_session *,
						    struct smtp_span name, bool extended,
						    void *user),
			 void *user)
{
	static const struct smtp_server_session_handler handler = { .size = sizeof handler,
								    .helo = on_helo };
	struct adapter adapter = { .check.helo = check, .user = user };

	return make(out, "helo", &handler, &adapter);
}

int smtp_middleware_auth(struct smtp_middleware *out,
			 enum smtp_verdict (*check)(struct smtp_server_session *,
						    const struct smtp_auth_request *, void *user),
			 void *user)
{
	static const struct smtp_server_session_handler handler = { .size = sizeof handler,
								    .auth = on_auth };
	struct adapter adapter = { .check.auth = check, .user = user };

	return make(out, "auth", &handler, &adapter);
}

int smtp_middleware_mail(struct smtp_middleware *out,
			 enum smtp_verdict (*check)(struct smtp_server_session *,
						    const struct smtp_mail_request *, void *user),
			 void *user)
{
	static const struct smtp_server_session_handler handler = { .size = sizeof handler,
								    .mail = on_mail };
	struct adapter adapter = { .check.mail = check, .user = user };

	return make(out, "mail", &handler, &adapter);
}

int smtp_middleware_rcpt(struct smtp_middleware *out,
			 enum smtp_verdict (*check)(struct smtp_server_session *,
						    const struct smtp_rcpt_request *, void *user),
			 void *user)
{
	static const struct smtp_server_session_handler handler = { .size = sizeof handler,
								    .rcpt = on_rcpt };
	struct adapter adapter = { .check.rcpt = check, .user = user };

	return make(out, "rcpt", &handler, &adapter);
}

int smtp_middleware_data(struct smtp_middleware *out,
			 enum smtp_verdict (*check)(struct smtp_server_session *, void *user),
			 void *user)
{
	static const struct smtp_server_session_handler handler = { .size = sizeof handler,
								    .data = on_plain };
	struct adapter adapter = { .check.plain = check, .user = user };

	return make(out, "data", &handler, &adapter);
}

int smtp_middleware_end(struct smtp_middleware *out,
			enum smtp_verdict (*check)(struct smtp_server_session *, void *user),
			void *user)
{
	static const struct smtp_server_session_handler handler = { .size = sizeof handler,
								    .end = on_plain };
	struct adapter adapter = { .check.plain = check, .user = user };

	return make(out, "end", &handler, &adapter);
}
