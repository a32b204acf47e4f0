/* SPDX-License-Identifier: ISC */
/* server_probe.h - for tests of the server session's interface: a handler that logs what it is told
 * and answers as it was set, and the client's side of a session in memory.
 */
#ifndef TESTS_UNIT_SERVER_PROBE_H
#define TESTS_UNIT_SERVER_PROBE_H

#include <smtp/middleware.h>
#include <smtp/server_session.h>

#include <stdio.h>

#include "tests/unit/testing.h"

/* --- a handler that logs what it is told and answers as it was set ---------------------------- */

enum { CONNECT, HELO, AUTH, MAIL, RCPT, DATA, CONTENT, END, VRFY, HELP, PHASES };

struct probe {
	char name;
	enum smtp_verdict verdict[PHASES];
	unsigned code[PHASES]; /* given to reply() before the verdict; 0: it is not called */
	void (*within)(struct smtp_server_session *s, struct probe *probe); /* in each phase */
	int result;            /* of what `within` called */
	enum smtp_disconnect_reason reason;
	struct smtp_server_session_handler functions;
};

static char events[8192]; /* of all probes, since the last forget_events() */

static inline void note(const struct probe *probe, const char *what, const void *p, size_t n)
{
	size_t at = strlen(events);

	snprintf(events + at, sizeof(events) - at, "%s%c.%s%s%.*s", at ? " " : "", probe->name, what,
		 n ? ":" : "", (int)n, n ? (const char *)p : "");
}

static inline enum smtp_verdict decide(struct smtp_server_session *s, struct probe *probe, int phase)
{
	struct smtp_reply reply = smtp_reply_of(probe->code[phase], NULL, "said so");

	if (probe->within)
		probe->within(s, probe);
	if (probe->code[phase])
		ck_assert_int_eq(smtp_server_session_reply(s, &reply), 0);
	return probe->verdict[phase];
}

static inline enum smtp_verdict on_connect(struct smtp_server_session *s, void *user)
{
	note(user, "connect", NULL, 0);
	return decide(s, user, CONNECT);
}

static inline enum smtp_verdict on_helo(struct smtp_server_session *s, struct smtp_span name, bool extended,
				 void *user)
{
	note(user, extended ? "ehlo" : "helo", name.p, name.n);
	return decide(s, user, HELO);
}

static inline enum smtp_verdict on_auth(struct smtp_server_session *s,
				 const struct smtp_auth_request *request, void *user)
{
	note(user, request->mechanism, request->authentication_id.p, request->authentication_id.n);
	note(user, "password", request->password.p, request->password.n);
	return decide(s, user, AUTH);
}

static inline enum smtp_verdict on_mail(struct smtp_server_session *s,
				 const struct smtp_mail_request *request, void *user)
{
	const char *local_part = request->reverse_path->mailbox.local_part;

	note(user, request->body == SMTP_BODY_8BITMIME ? "mail8" : "mail", local_part, strlen(local_part));
	note(user, "param", request->auth.p, request->auth.n);
	return decide(s, user, MAIL);
}

static inline enum smtp_verdict on_rcpt(struct smtp_server_session *s,
				 const struct smtp_rcpt_request *request, void *user)
{
	const struct smtp_path *path = request->forward_path;

	note(user, "rcpt", path->mailbox.local_part, strlen(path->mailbox.local_part));
	return decide(s, user, RCPT);
}

static inline enum smtp_verdict on_data(struct smtp_server_session *s, void *user)
{
	note(user, "data", NULL, 0);
	return decide(s, user, DATA);
}

static inline enum smtp_verdict on_content(struct smtp_server_session *s, struct smtp_span octets,
				    void *user)
{
	note(user, "content", octets.p, octets.n > 40 ? 40 : octets.n);
	return decide(s, user, CONTENT);
}

static inline enum smtp_verdict on_end(struct smtp_server_session *s, void *user)
{
	note(user, "end", NULL, 0);
	return decide(s, user, END);
}

static inline enum smtp_verdict on_vrfy(struct smtp_server_session *s,
					 const struct smtp_vrfy_request *request, void *user)
{
	note(user, "vrfy", request->text.p, request->text.n);
	return decide(s, user, VRFY);
}

static inline enum smtp_verdict on_help(struct smtp_server_session *s, struct smtp_span topic, void *user)
{
	note(user, "help", topic.p, topic.n);
	return decide(s, user, HELP);
}

static inline void on_reset(struct smtp_server_session *s, void *user)
{
	(void)s;
	note(user, "reset", NULL, 0);
}

static inline void on_disconnect(struct smtp_server_session *s, enum smtp_disconnect_reason reason,
			  void *user)
{
	struct probe *probe = user;

	(void)s;
	probe->reason = reason;
	note(probe, "disconnect", NULL, 0);
}

static inline struct probe probe_of(char name)
{
	return (struct probe){
		.name = name,
		.functions = {
			.size = sizeof(struct smtp_server_session_handler),
			.connect = on_connect, .helo = on_helo, .auth = on_auth, .mail = on_mail,
			.rcpt = on_rcpt, .data = on_data, .content = on_content, .end = on_end,
			.vrfy = on_vrfy, .help = on_help, .reset = on_reset,
			.disconnect = on_disconnect,
		},
	};
}

/* --- a session and the client's side of it ---------------------------------------------------- */

static inline struct smtp_server_session_options options_of_tests(void)
{
	struct smtp_server_session_options options = SMTP_SERVER_SESSION_OPTIONS_INIT;

	options.hostname = "mx.example.org";
	options.offer_starttls = true;
	options.auth_enabled = true;
	options.auth_needs_tls = false;
	options.error_delay_max_ms = 0;
	return options;
}

static inline int use(struct smtp_server_session *s, struct probe *probe)
{
	struct smtp_middleware m = smtp_middleware_of("probe", &probe->functions, probe);

	return smtp_server_session_use(s, &m);
}

static inline struct smtp_server_session *session_with(struct probe *a, struct probe *b)
{
	struct smtp_server_session_options options = options_of_tests();
	struct smtp_server_session *s = NULL;

	events[0] = '\0';
	ck_assert_int_eq(smtp_server_session_new(&s, &options, a ? &a->functions : NULL, a), 0);
	if (b)
		ck_assert_int_eq(use(s, b), 0);
	return s;
}

static inline struct smtp_server_session *started(struct probe *a, struct probe *b)
{
	struct smtp_server_session *s = session_with(a, b);

	ck_assert_int_eq(smtp_server_session_start(s, 1000), 0);
	return s;
}

/* Feeds from a block that is gone afterwards; returns what was taken. */
static inline size_t feed(struct smtp_server_session *s, const char *text)
{
	size_t n = strlen(text);
	size_t taken = 0;
	char *copy = malloc(n ? n : 1);

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, n);
	ck_assert_int_eq(smtp_server_session_feed(s, copy, n, 1000, &taken), 0);
	memset(copy, '#', n);
	free(copy);
	return taken;
}

/* All output so far; it counts as sent. Valid until the next call. */
static inline const char *output(struct smtp_server_session *s)
{
	static char text[65537];
	struct smtp_span out = smtp_server_session_output(s);

	ck_assert_uint_lt(out.n, sizeof(text));
	if (out.n > 0)
		memcpy(text, out.p, out.n);
	text[out.n] = '\0';
	smtp_server_session_sent(s, out.n);
	ck_assert_uint_eq(smtp_server_session_output(s).n, 0);
	return text;
}

/* The codes of the replies in `text`, such as "250 550". */
static inline const char *codes(const char *text)
{
	static char list[1024];
	size_t n = 0;

	for (const char *line = text; *line; line = strchr(line, '\n') + 1)
		if (line[3] == ' ' && n < sizeof(list) - 5)
			n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%.3s", n ? " " : "", line);
	list[n] = '\0';
	return list;
}

static inline void say(struct smtp_server_session *s, const char *text, const char *expected)
{
	ck_assert_uint_eq(feed(s, text), strlen(text));
	ck_assert_str_eq(codes(output(s)), expected);
}

#define EHLO "EHLO client.example.com\r\n"
#define ENVELOPE "MAIL FROM:<alice@example.com>\r\nRCPT TO:<bob@example.org>\r\n"
#define PLAIN "AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n" /* alice, secret */

static inline void forget_events(void)
{
	events[0] = '\0';
}

static inline void answer(struct smtp_server_session *s, unsigned code)
{
	struct smtp_reply reply = smtp_reply_of(code, NULL, "said late");

	ck_assert_uint_ne(smtp_server_session_wants(s) & SMTP_WANTS_VERDICT, 0);
	ck_assert_int_eq(smtp_server_session_reply(s, code ? &reply : NULL), 0);
}

/* One phase each: what brings it about, then the reply to it accepted and refused. */
static const struct {
	const char *name;
	int phase;
	const char *before; /* accepted */
	const char *line;
	const char *usual;  /* code of acceptance */
} steps[] = {
	{ "helo", HELO, "", EHLO, "250" },
	{ "auth", AUTH, EHLO, PLAIN, "235" },
	{ "mail", MAIL, EHLO, "MAIL FROM:<alice@example.com>\r\n", "250" },
	{ "rcpt", RCPT, EHLO "MAIL FROM:<alice@example.com>\r\n", "RCPT TO:<bob@example.org>\r\n", "250" },
	{ "data", DATA, EHLO ENVELOPE, "DATA\r\n", "354" },
	{ "content", CONTENT, EHLO ENVELOPE "DATA\r\n", "x\r\n.\r\n", "250" },
	{ "end", END, EHLO ENVELOPE "DATA\r\n", "x\r\n.\r\n", "250" },
	{ "vrfy", VRFY, EHLO, "VRFY bob\r\n", "252" },
	{ "help", HELP, EHLO, "HELP me\r\n", "214" },
};

#endif
