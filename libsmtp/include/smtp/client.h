/* SPDX-License-Identifier: ISC */
/* client.h - the blocking client: connect to a URL, send, ask, quit. For programs and scripts that send
 * now and then; what runs on an event loop drives smtp_client_session itself.
 * Threads: one struct smtp_client, one thread at a time.
 * Errors:  a negative enum smtp_error when there was no conversation or it broke; what the server
 *          answered is a value. smtp_client_problem() tells more in one line, for people.
 */
#ifndef SMTP_CLIENT_H
#define SMTP_CLIENT_H

#include <smtp/address.h>
#include <smtp/base.h>
#include <smtp/client_session.h>
#include <smtp/reply.h>
#include <smtp/url.h>

#ifdef __cplusplus
extern "C" {
#endif

struct smtp_client;

struct smtp_client_options {
	size_t size;
	const char *helo_name;    /* NULL: the machine's name, or its address as a literal */
	const char *user;         /* NULL: that of the URL, if any */
	const char *password;     /* a user needs this or a token */
	unsigned mechanism;       /* enum smtp_mechanism; 0: the best (see client_session.h) */
	bool insecure;            /* take any certificate */
	bool auth_without_tls;
	const char *ca_file;      /* NULL: the system's */
	uint32_t connect_timeout_ms; /* for each address */
	uint32_t timeout_ms;         /* for the whole of each call below; 0: none but those of the steps */
	void (*trace)(bool from_server, struct smtp_span line, void *user); /* secrets are masked */
	void *trace_user;
	const char *token;        /* an OAuth 2.0 access token, for OAUTHBEARER and XOAUTH2 */
};

#define SMTP_CLIENT_OPTIONS_INIT                                                                   \
	{ .size = sizeof(struct smtp_client_options), .connect_timeout_ms = 30000 }

/** The same as SMTP_CLIENT_OPTIONS_INIT, for C++. */
SMTP_API void smtp_client_options_init(struct smtp_client_options *options);

/** Connects and sets up the session: every address of the host in turn, greeting, EHLO, TLS, AUTH.
 *  smtp:// uses STARTTLS when offered, and goes on in clear when TLS does not work; it looks at the
 *  certificate only when there is a user, whose password must not go to anybody. smtps:// and
 *  smtp+starttls:// require TLS and check the certificate. Other schemes are SMTP_ENOTSUP. @out is freed
 *  with smtp_client_free(), and is set on failure too unless memory ran out, so that problem() and
 *  last_reply() can be read.
 *  SMTP_ERESOLVE, SMTP_ECONNECT, SMTP_ETLS, SMTP_EAUTH, SMTP_EREFUSED, SMTP_ETIMEDOUT, SMTP_EINVAL... */
SMTP_API SMTP_MUST_USE int smtp_client_connect(struct smtp_client **out, const char *url,
					       const struct smtp_client_options *options);
/** Says QUIT, waits shortly, closes, frees. NULL is fine. */
SMTP_API void smtp_client_free(struct smtp_client *);

/** What became of one recipient. `reply` is owned by the client until its next call. */
struct smtp_client_result {
	bool accepted; /* the server took the message for this recipient */
	enum smtp_client_step step; /* whose answer it is */
	struct smtp_reply reply;
};

/** Sends one message. `results` has room for forward_path_count of them, in that order.
 *  0: the conversation went well, look at the results. */
SMTP_API SMTP_MUST_USE int smtp_client_send(struct smtp_client *,
					    const struct smtp_client_transaction *txn,
					    struct smtp_client_result *results);
/** One command line, or "VRFY " and "EXPN " with an argument, HELP with an optional one. *reply is
 *  borrowed until the next call. */
SMTP_API SMTP_MUST_USE int smtp_client_command(struct smtp_client *, const char *line,
					       struct smtp_reply *reply);
SMTP_API SMTP_MUST_USE int smtp_client_verify(struct smtp_client *, const char *text,
					      struct smtp_reply *reply);
SMTP_API SMTP_MUST_USE int smtp_client_expand(struct smtp_client *, const char *list,
					      struct smtp_reply *reply);
SMTP_API SMTP_MUST_USE int smtp_client_help(struct smtp_client *, const char *topic,
					    struct smtp_reply *reply);

SMTP_API const struct smtp_extensions *smtp_client_extensions(const struct smtp_client *);
/** The greeting and the last reply that came; code 0 if none. Borrowed until the next call. */
SMTP_API struct smtp_reply smtp_client_greeting(const struct smtp_client *);
SMTP_API struct smtp_reply smtp_client_last_reply(const struct smtp_client *);
/** "TLSv1.3 TLS_AES_256_GCM_SHA384"; "" in clear. */
SMTP_API const char *smtp_client_tls_description(const struct smtp_client *);
/** "192.0.2.1:25": whom it talks to; "" before. */
SMTP_API const char *smtp_client_peer(const struct smtp_client *);
/** One line on what went wrong last, "" if nothing did. Borrowed until the next call. */
SMTP_API const char *smtp_client_problem(const struct smtp_client *);

#ifdef __cplusplus
}
#endif
#endif
