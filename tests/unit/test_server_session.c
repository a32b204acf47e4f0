/* SPDX-License-Identifier: ISC */
/* test_server_session.c - the interface of the server session: options, the chain of handlers,
 * verdicts at once and late, closing, timers, getters, what may be called when. What is said on
 * the wire is in tests/transcripts.
 */
#include <smtp/server_session.h>

#include <stdio.h>

#include "libsmtp/core/server_session_private.h"
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

static char events[8192]; /* of all probes */

static void note(const struct probe *probe, const char *what, const void *p, size_t n)
{
	size_t at = strlen(events);

	snprintf(events + at, sizeof(events) - at, "%s%c.%s%s%.*s", at ? " " : "", probe->name, what,
		 n ? ":" : "", (int)n, n ? (const char *)p : "");
}

static enum smtp_verdict decide(struct smtp_server_session *s, struct probe *probe, int phase)
{
	struct smtp_reply reply = smtp_reply_of(probe->code[phase], NULL, "said so");

	if (probe->within)
		probe->within(s, probe);
	if (probe->code[phase])
		ck_assert_int_eq(smtp_server_session_reply(s, &reply), 0);
	return probe->verdict[phase];
}

static enum smtp_verdict on_connect(struct smtp_server_session *s, void *user)
{
	note(user, "connect", NULL, 0);
	return decide(s, user, CONNECT);
}

static enum smtp_verdict on_helo(struct smtp_server_session *s, struct smtp_span name, bool extended,
				 void *user)
{
	note(user, extended ? "ehlo" : "helo", name.p, name.n);
	return decide(s, user, HELO);
}

static enum smtp_verdict on_auth(struct smtp_server_session *s,
				 const struct smtp_auth_request *request, void *user)
{
	note(user, request->mechanism, request->authentication_id.p, request->authentication_id.n);
	note(user, "password", request->password.p, request->password.n);
	return decide(s, user, AUTH);
}

static enum smtp_verdict on_mail(struct smtp_server_session *s,
				 const struct smtp_mail_request *request, void *user)
{
	const char *local_part = request->reverse_path->mailbox.local_part;

	note(user, request->body_8bitmime ? "mail8" : "mail", local_part, strlen(local_part));
	note(user, "param", request->auth.p, request->auth.n);
	return decide(s, user, MAIL);
}

static enum smtp_verdict on_rcpt(struct smtp_server_session *s, const struct smtp_path *path,
				 void *user)
{
	note(user, "rcpt", path->mailbox.local_part, strlen(path->mailbox.local_part));
	return decide(s, user, RCPT);
}

static enum smtp_verdict on_data(struct smtp_server_session *s, void *user)
{
	note(user, "data", NULL, 0);
	return decide(s, user, DATA);
}

static enum smtp_verdict on_content(struct smtp_server_session *s, struct smtp_span octets,
				    void *user)
{
	note(user, "content", octets.p, octets.n > 40 ? 40 : octets.n);
	return decide(s, user, CONTENT);
}

static enum smtp_verdict on_end(struct smtp_server_session *s, void *user)
{
	note(user, "end", NULL, 0);
	return decide(s, user, END);
}

static enum smtp_verdict on_vrfy(struct smtp_server_session *s, struct smtp_span text, void *user)
{
	note(user, "vrfy", text.p, text.n);
	return decide(s, user, VRFY);
}

static enum smtp_verdict on_help(struct smtp_server_session *s, struct smtp_span topic, void *user)
{
	note(user, "help", topic.p, topic.n);
	return decide(s, user, HELP);
}

static void on_reset(struct smtp_server_session *s, void *user)
{
	(void)s;
	note(user, "reset", NULL, 0);
}

static void on_disconnect(struct smtp_server_session *s, enum smtp_disconnect_reason reason,
			  void *user)
{
	struct probe *probe = user;

	(void)s;
	probe->reason = reason;
	note(probe, "disconnect", NULL, 0);
}

static struct probe probe_of(char name)
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

static struct smtp_server_session_options options_of_tests(void)
{
	struct smtp_server_session_options options = SMTP_SERVER_SESSION_OPTIONS_INIT;

	options.hostname = "mx.example.org";
	options.offer_starttls = true;
	options.auth_enabled = true;
	options.auth_needs_tls = false;
	return options;
}

static struct smtp_server_session *session_with(struct probe *a, struct probe *b)
{
	struct smtp_server_session_options options = options_of_tests();
	struct smtp_server_session *s = NULL;

	events[0] = '\0';
	ck_assert_int_eq(smtp_server_session_new(&s, &options, a ? &a->functions : NULL, a), 0);
	if (b)
		ck_assert_int_eq(smtp_server_session_use(s, &b->functions, b), 0);
	return s;
}

static struct smtp_server_session *started(struct probe *a, struct probe *b)
{
	struct smtp_server_session *s = session_with(a, b);

	ck_assert_int_eq(smtp_server_session_start(s, 1000), 0);
	return s;
}

/* Feeds from a block that is gone afterwards; returns what was taken. */
static size_t feed(struct smtp_server_session *s, const char *text)
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
static const char *output(struct smtp_server_session *s)
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
static const char *codes(const char *text)
{
	static char list[1024];
	size_t n = 0;

	for (const char *line = text; *line; line = strchr(line, '\n') + 1)
		if (line[3] == ' ' && n < sizeof(list) - 5)
			n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%.3s", n ? " " : "", line);
	list[n] = '\0';
	return list;
}

static void say(struct smtp_server_session *s, const char *text, const char *expected)
{
	ck_assert_uint_eq(feed(s, text), strlen(text));
	ck_assert_str_eq(codes(output(s)), expected);
}

#define EHLO "EHLO client.example.com\r\n"
#define ENVELOPE "MAIL FROM:<alice@example.com>\r\nRCPT TO:<bob@example.org>\r\n"
#define PLAIN "AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n" /* alice, secret */

static void forget_events(void)
{
	events[0] = '\0';
}

static void answer(struct smtp_server_session *s, unsigned code)
{
	struct smtp_reply reply = smtp_reply_of(code, NULL, "said late");

	ck_assert_uint_ne(smtp_server_session_wants(s) & SMTP_WANTS_VERDICT, 0);
	ck_assert_int_eq(smtp_server_session_reply(s, code ? &reply : NULL), 0);
}

/* --- creating --------------------------------------------------------------------------------- */

START_TEST(options_size)
{
	struct {
		struct smtp_server_session_options known;
		char unknown[16];
	} longer = { .known = options_of_tests() };
	struct smtp_server_session *s = NULL;

	longer.known.size = sizeof(longer);
	ck_assert_int_eq(smtp_server_session_new(&s, &longer.known, NULL, NULL), 0);
	smtp_server_session_free(s);
	s = NULL;
	longer.unknown[15] = 1;
	ck_assert_int_eq(smtp_server_session_new(&s, &longer.known, NULL, NULL), SMTP_EINVAL);
	longer.known.size = 0;
	ck_assert_int_eq(smtp_server_session_new(&s, &longer.known, NULL, NULL), SMTP_EINVAL);
	longer.known.size = sizeof(size_t);
	ck_assert_int_eq(smtp_server_session_new(&s, &longer.known, NULL, NULL), SMTP_EINVAL);
	ck_assert_ptr_null(s);
}
END_TEST

START_TEST(options_of_an_older_version)
{
	struct smtp_server_session_options options = options_of_tests();
	struct smtp_server_session *s = NULL;

	options.size = offsetof(struct smtp_server_session_options, max_message_bytes);
	options.max_message_bytes = 1;
	options.max_errors = 0;
	ck_assert_int_eq(smtp_server_session_new(&s, &options, NULL, NULL), 0);
	ck_assert_uint_eq(s->options.max_message_bytes, UINT64_C(50) << 20);
	ck_assert_uint_eq(s->options.max_errors, 10);
	ck_assert(s->options.offer_starttls);
	smtp_server_session_free(s);
}
END_TEST

START_TEST(options_defaults)
{
	struct smtp_server_session_options macro = SMTP_SERVER_SESSION_OPTIONS_INIT;
	struct smtp_server_session_options function;

	smtp_server_session_options_init(&function);
	ck_assert_uint_eq(function.size, macro.size);
	ck_assert_uint_eq(function.max_message_bytes, macro.max_message_bytes);
	ck_assert_uint_eq(function.max_recipients, 1000);
	ck_assert_uint_eq(function.command_timeout_ms, 300000);
	ck_assert(function.auth_needs_tls);
}
END_TEST

START_TEST(options_at_least_100_recipients)
{
	struct smtp_server_session_options options = options_of_tests();
	struct smtp_server_session *s = NULL;

	options.max_recipients = 5;
	ck_assert_int_eq(smtp_server_session_new(&s, &options, NULL, NULL), 0);
	ck_assert_uint_eq(s->options.max_recipients, 100);
	smtp_server_session_free(s);
}
END_TEST

static const struct {
	const char *hostname;
	int err;
} hostnames[] = {
	{ "mx.example.org", 0 }, { "[192.0.2.1]", 0 }, { "localhost", 0 },
	{ NULL, SMTP_EINVAL },	 { "", SMTP_EINVAL },  { "a b", SMTP_EINVAL },
	{ "mx\r\nQUIT", SMTP_EINVAL },
};

START_TEST(hostname)
{
	struct smtp_server_session_options options = options_of_tests();
	struct smtp_server_session *s = NULL;

	options.hostname = hostnames[_i].hostname;
	ck_assert_int_eq(smtp_server_session_new(&s, &options, NULL, NULL), hostnames[_i].err);
	smtp_server_session_free(s);
}
END_TEST

START_TEST(handler_size)
{
	struct probe a = probe_of('A');
	struct smtp_server_session_options options = options_of_tests();
	struct smtp_server_session *s = NULL;

	a.functions.size = 1;
	ck_assert_int_eq(smtp_server_session_new(&s, &options, &a.functions, &a), SMTP_EINVAL);
	a.functions.size = sizeof(a.functions) + 8;
	memset(a.verdict, 0xff, sizeof(a.verdict));
	/* of an older version, which ends with `helo` */
	a.functions.size = offsetof(struct smtp_server_session_handler, auth);
	memset(a.verdict, 0, sizeof(a.verdict));
	s = started(&a, NULL);
	say(s, EHLO ENVELOPE, "220 250 250 550");
	smtp_server_session_free(s);
	ck_assert_str_eq(events, "A.connect A.ehlo:client.example.com");
}
END_TEST

START_TEST(no_handler_is_no_open_relay)
{
	struct smtp_server_session *s = started(NULL, NULL);

	say(s, EHLO ENVELOPE "DATA\r\nVRFY bob\r\nHELP\r\n" PLAIN, "220 250 250 550 554 252 214 503");
	smtp_server_session_free(s);
}
END_TEST

START_TEST(sixteen_handlers)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = session_with(&a, NULL);

	for (int i = 1; i < 16; i++)
		ck_assert_int_eq(smtp_server_session_use(s, &a.functions, &a), 0);
	ck_assert_int_eq(smtp_server_session_use(s, &a.functions, &a), SMTP_ETOOLONG);
	ck_assert_int_eq(smtp_server_session_start(s, 0), 0);
	ck_assert_int_eq(smtp_server_session_use(s, &a.functions, &a), SMTP_ESTATE);
	ck_assert_int_eq(smtp_server_session_start(s, 0), SMTP_ESTATE);
	ck_assert_uint_eq(strlen(events), 16 * strlen("A.connect ") - 1);
	forget_events();
	smtp_server_session_free(s);
	ck_assert_uint_eq(strlen(events), 16 * strlen("A.disconnect ") - 1);
}
END_TEST

START_TEST(free_is_silent_before_start)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = session_with(&a, NULL);
	size_t taken;

	ck_assert_uint_eq(smtp_server_session_wants(s), 0);
	ck_assert_uint_eq(smtp_server_session_deadline(s), UINT64_MAX);
	ck_assert_int_eq(smtp_server_session_feed(s, "x", 1, 0, &taken), SMTP_ESTATE);
	smtp_server_session_free(s);
	smtp_server_session_free(NULL);
	ck_assert_str_eq(events, "");
}
END_TEST

/* --- verdicts --------------------------------------------------------------------------------- */

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

START_TEST(accepted_at_once)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);

	feed(s, steps[_i].before);
	output(s);
	say(s, steps[_i].line, steps[_i].usual);
	smtp_server_session_free(s);
}
END_TEST

START_TEST(refused_at_once)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.code[steps[_i].phase] = 450;
	a.verdict[steps[_i].phase] = SMTP_REPLIED;
	s = started(&a, NULL);
	feed(s, steps[_i].before);
	output(s);
	say(s, steps[_i].line, "450");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_READ);
	smtp_server_session_free(s);
}
END_TEST

/* A verdict of the handler that contradicts its reply() counts for less than the reply. */
START_TEST(reply_outweighs_the_verdict)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.code[steps[_i].phase] = 550;
	a.verdict[steps[_i].phase] = _i % 2 ? SMTP_ACCEPT : SMTP_PENDING;
	s = started(&a, NULL);
	feed(s, steps[_i].before);
	output(s);
	say(s, steps[_i].line, "550");
	smtp_server_session_free(s);
}
END_TEST

START_TEST(accepted_late)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;
	char line[256];

	a.verdict[steps[_i].phase] = SMTP_PENDING;
	s = started(&a, NULL);
	feed(s, steps[_i].before);
	output(s);
	snprintf(line, sizeof(line), "%sNOOP\r\n", steps[_i].line);
	ck_assert_uint_le(feed(s, line), strlen(line) - 6);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_VERDICT);
	ck_assert_uint_eq(smtp_server_session_deadline(s), UINT64_MAX);
	ck_assert_uint_eq(feed(s, "NOOP\r\n"), 0);
	answer(s, 0);
	if (steps[_i].phase == CONTENT) {
		feed(s, ".\r\n");
		while (smtp_server_session_wants(s) & SMTP_WANTS_VERDICT)
			answer(s, 0);
	}
	ck_assert_str_eq(codes(output(s)), steps[_i].usual);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_READ);
	smtp_server_session_free(s);
}
END_TEST

START_TEST(refused_late)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.verdict[steps[_i].phase] = SMTP_PENDING;
	s = started(&a, NULL);
	feed(s, steps[_i].before);
	output(s);
	feed(s, steps[_i].line);
	answer(s, 550);
	if (steps[_i].phase == CONTENT)
		feed(s, ".\r\n");
	ck_assert_str_eq(codes(output(s)), "550");
	smtp_server_session_free(s);
}
END_TEST

START_TEST(ended_by_421)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.verdict[steps[_i].phase] = SMTP_REPLIED;
	a.code[steps[_i].phase] = 421;
	s = started(&a, NULL);
	feed(s, steps[_i].before);
	output(s);
	feed(s, steps[_i].line);
	ck_assert_str_eq(codes(output(s)), "421");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	ck_assert_int_eq(a.reason, SMTP_DISCONNECT_REFUSED);
	ck_assert_uint_eq(feed(s, "NOOP\r\n"), 0);
	smtp_server_session_free(s);
}
END_TEST

/* Replied without a reply is a fault of the handler, and must not let anything in. */
START_TEST(replied_without_reply)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.verdict[steps[_i].phase] = _i % 2 ? SMTP_REPLIED : (enum smtp_verdict)77;
	s = started(&a, NULL);
	feed(s, steps[_i].before);
	output(s);
	say(s, steps[_i].line, "451");
	smtp_server_session_free(s);
}
END_TEST

START_TEST(connect_verdicts)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.verdict[CONNECT] = SMTP_PENDING;
	s = started(&a, NULL);
	ck_assert_uint_eq(feed(s, EHLO), 0);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_VERDICT);
	answer(s, 554);
	ck_assert_str_eq(output(s), "554 said late\r\n");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	ck_assert_str_eq(events, "A.connect A.disconnect");
	smtp_server_session_free(s);
	ck_assert_str_eq(events, "A.connect A.disconnect");
}
END_TEST

START_TEST(reply_misused)
{
	struct probe a = probe_of('A');
	struct smtp_reply ok = smtp_reply_of(250, NULL, "x");
	struct smtp_reply odd = smtp_reply_of(354, NULL, "x");
	struct smtp_server_session *s;

	a.verdict[MAIL] = SMTP_PENDING;
	s = started(&a, NULL);
	ck_assert_int_eq(smtp_server_session_reply(s, &ok), SMTP_ESTATE);
	feed(s, EHLO "MAIL FROM:<alice@example.com>\r\n");
	ck_assert_int_eq(smtp_server_session_reply(s, &odd), SMTP_EINVAL);
	odd.code = 600;
	ck_assert_int_eq(smtp_server_session_reply(s, &odd), SMTP_EINVAL);
	ck_assert_uint_ne(smtp_server_session_wants(s) & SMTP_WANTS_VERDICT, 0);
	ck_assert_int_eq(smtp_server_session_reply(s, &ok), 0);
	ck_assert_int_eq(smtp_server_session_reply(s, &ok), SMTP_ESTATE);
	smtp_server_session_free(s);
}
END_TEST

static void reply_twice(struct smtp_server_session *s, struct probe *probe)
{
	struct smtp_reply refuse = smtp_reply_of(550, NULL, "no");
	struct smtp_reply accept = smtp_reply_of(250, NULL, "yes");

	if (smtp_server_session_reply(s, &refuse) == 0)
		probe->result = smtp_server_session_reply(s, &accept);
}

START_TEST(the_first_reply_counts)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);

	feed(s, EHLO);
	output(s);
	a.within = reply_twice;
	say(s, "MAIL FROM:<alice@example.com>\r\n", "550");
	ck_assert_int_eq(a.result, SMTP_ESTATE);
	smtp_server_session_free(s);
}
END_TEST

static void feed_within(struct smtp_server_session *s, struct probe *probe)
{
	size_t taken;

	probe->result = smtp_server_session_feed(s, "QUIT\r\n", 6, 1000, &taken);
	smtp_server_session_tick(s, UINT64_MAX - 1);
}

START_TEST(no_feed_from_within)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);

	a.within = feed_within;
	say(s, EHLO, "220 250");
	ck_assert_int_eq(a.result, SMTP_ESTATE);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_READ);
	smtp_server_session_free(s);
}
END_TEST

/* --- the chain -------------------------------------------------------------------------------- */

START_TEST(chain_in_order)
{
	struct probe a = probe_of('A'), b = probe_of('B');
	struct smtp_server_session *s = started(&a, &b);

	say(s, EHLO ENVELOPE "DATA\r\nhi\r\n.\r\nQUIT\r\n", "220 250 250 250 354 250 221");
	smtp_server_session_free(s);
	ck_assert_str_eq(events, "A.connect B.connect A.ehlo:client.example.com "
				 "B.ehlo:client.example.com A.mail:alice A.param B.mail:alice B.param "
				 "A.rcpt:bob B.rcpt:bob A.data B.data A.content:hi\r\n "
				 "B.content:hi\r\n A.end B.end A.disconnect B.disconnect");
}
END_TEST

/* While the first is pending the input is gone; the second must be asked about the same. */
START_TEST(chain_pending_keeps_arguments)
{
	struct probe a = probe_of('A'), b = probe_of('B');
	static const char input[] = EHLO "VRFY one\r\nHELP two\r\n" PLAIN
		"MAIL FROM:<alice@example.com> BODY=8BITMIME AUTH=x+2By@example.com\r\n"
		"RCPT TO:<bob@example.org>\r\nDATA\r\nhello\r\n.\r\n";
	struct smtp_server_session *s;
	size_t done = 0;

	for (int i = 0; i < PHASES; i++)
		a.verdict[i] = b.verdict[i] = SMTP_PENDING;
	s = started(&a, &b);
	do {
		while (smtp_server_session_wants(s) & SMTP_WANTS_VERDICT)
			answer(s, 0);
		done += feed(s, input + done);
	} while (done < strlen(input));
	while (smtp_server_session_wants(s) & SMTP_WANTS_VERDICT)
		answer(s, 0);
	ck_assert_str_eq(codes(output(s)), "220 250 252 214 235 250 250 354 250");
	smtp_server_session_free(s);
	ck_assert_str_eq(events,
			 "A.connect B.connect A.ehlo:client.example.com B.ehlo:client.example.com "
			 "A.vrfy:one B.vrfy:one A.help:two B.help:two A.PLAIN:alice A.password:secret "
			 "B.PLAIN:alice B.password:secret A.mail8:alice A.param:x+y@example.com "
			 "B.mail8:alice B.param:x+y@example.com A.rcpt:bob B.rcpt:bob A.data B.data "
			 "A.content:hello\r\n B.content:hello\r\n A.end B.end A.disconnect "
			 "B.disconnect");
}
END_TEST

START_TEST(chain_first_refusal_ends_it)
{
	struct probe a = probe_of('A'), b = probe_of('B');
	struct smtp_server_session *s;

	a.verdict[steps[_i].phase] = SMTP_PENDING;
	s = started(&a, &b);
	feed(s, steps[_i].before);
	output(s);
	forget_events();
	feed(s, steps[_i].line);
	answer(s, 550);
	ck_assert_ptr_null(strstr(events, steps[_i].phase == AUTH ? "B.PLAIN" : "B.ehlo"));
	ck_assert_ptr_null(strstr(events, "B.mail"));
	ck_assert_ptr_null(strstr(events, "B.rcpt"));
	ck_assert_ptr_null(strstr(events, "B.data"));
	ck_assert_ptr_null(strstr(events, "B.end"));
	if (steps[_i].phase == CONTENT)
		ck_assert_ptr_null(strstr(events, "B.content"));
	smtp_server_session_free(s);
}
END_TEST

/* A has accepted MAIL, B refuses it: A has to be told, B has nothing to forget. */
START_TEST(chain_reset_where_due)
{
	struct probe a = probe_of('A'), b = probe_of('B');
	struct smtp_server_session *s = started(&a, &b);

	b.code[MAIL] = 550;
	feed(s, EHLO);
	output(s);
	forget_events();
	say(s, "MAIL FROM:<alice@example.com>\r\nRSET\r\n", "550 250");
	ck_assert_str_eq(events, "A.mail:alice A.param B.mail:alice B.param A.reset");
	b.code[MAIL] = 0;
	forget_events();
	say(s, "MAIL FROM:<alice@example.com>\r\nRSET\r\nRSET\r\n", "250 250 250");
	ck_assert_str_eq(events, "A.mail:alice A.param B.mail:alice B.param A.reset B.reset");
	smtp_server_session_free(s);
}
END_TEST

START_TEST(chain_last_text_is_said)
{
	struct probe a = probe_of('A'), b = probe_of('B');
	struct smtp_server_session *s = started(&a, &b);

	feed(s, EHLO "MAIL FROM:<alice@example.com>\r\n");
	output(s);
	a.code[RCPT] = 251;
	feed(s, "RCPT TO:<bob@example.org>\r\n");
	ck_assert_str_eq(output(s), "251 2.0.0 said so\r\n");
	smtp_server_session_free(s);
}
END_TEST

/* --- reset, disconnect ------------------------------------------------------------------------ */

START_TEST(free_tells_reset_and_disconnect)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);

	feed(s, EHLO ENVELOPE "DATA\r\nx");
	forget_events();
	smtp_server_session_free(s);
	ck_assert_str_eq(events, "A.reset A.disconnect");
	ck_assert_int_eq(a.reason, SMTP_DISCONNECT_IO);
}
END_TEST

START_TEST(free_while_pending)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.verdict[steps[_i].phase] = SMTP_PENDING;
	s = started(&a, NULL);
	feed(s, steps[_i].before);
	feed(s, steps[_i].line);
	forget_events();
	smtp_server_session_free(s);
	ck_assert_ptr_nonnull(strstr(events, "A.disconnect"));
	if (steps[_i].phase >= RCPT && steps[_i].phase <= END)
		ck_assert_str_eq(events, "A.reset A.disconnect");
}
END_TEST

START_TEST(peer_closed_while_pending)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.verdict[END] = SMTP_PENDING;
	s = started(&a, NULL);
	feed(s, EHLO ENVELOPE "DATA\r\nx\r\n.\r\n");
	output(s);
	smtp_server_session_peer_closed(s);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_VERDICT);
	answer(s, 250);
	ck_assert_str_eq(codes(output(s)), "250");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	ck_assert_int_eq(a.reason, SMTP_DISCONNECT_PEER_CLOSED);
	smtp_server_session_free(s);
	ck_assert_ptr_null(strstr(events, "reset"));
}
END_TEST

/* --- close() ---------------------------------------------------------------------------------- */

static void close_now(struct smtp_server_session *s)
{
	struct smtp_reply reply = smtp_reply_of(421, "4.3.2", "shutting down");

	smtp_server_session_close(s, SMTP_DISCONNECT_SHUTDOWN, &reply);
}

START_TEST(close_idle)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);

	feed(s, EHLO ENVELOPE);
	output(s);
	forget_events();
	close_now(s);
	close_now(s);
	ck_assert_str_eq(output(s), "421 4.3.2 shutting down\r\n");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	ck_assert_int_eq(a.reason, SMTP_DISCONNECT_SHUTDOWN);
	smtp_server_session_free(s);
	ck_assert_str_eq(events, "A.reset A.disconnect");
}
END_TEST

START_TEST(close_without_reply)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);

	feed(s, EHLO ENVELOPE "DATA\r\nx");
	output(s);
	smtp_server_session_close(s, SMTP_DISCONNECT_IO, NULL);
	ck_assert_str_eq(output(s), "");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	ck_assert_int_eq(a.reason, SMTP_DISCONNECT_IO);
	smtp_server_session_free(s);
}
END_TEST

START_TEST(close_before_start)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = session_with(&a, NULL);

	close_now(s);
	ck_assert_str_eq(output(s), "421 shutting down\r\n");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	ck_assert_int_eq(smtp_server_session_start(s, 0), SMTP_ESTATE);
	smtp_server_session_free(s);
	ck_assert_str_eq(events, "");
}
END_TEST

/* The verdict that is awaited may be about a message that is stored already: it is still said. */
START_TEST(close_while_pending)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.verdict[END] = SMTP_PENDING;
	s = started(&a, NULL);
	feed(s, EHLO ENVELOPE "DATA\r\nx\r\n.\r\n");
	output(s);
	close_now(s);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_VERDICT);
	answer(s, 0);
	ck_assert_str_eq(codes(output(s)), "250 421");
	ck_assert_int_eq(a.reason, SMTP_DISCONNECT_SHUTDOWN);
	smtp_server_session_free(s);
}
END_TEST

START_TEST(close_in_content)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);

	feed(s, EHLO ENVELOPE "DATA\r\nx\r\n");
	output(s);
	forget_events();
	close_now(s);
	ck_assert_str_eq(output(s), "");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_READ);
	feed(s, "y\r\n.\r\nQUIT\r\n");
	ck_assert_str_eq(codes(output(s)), "421");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	ck_assert_int_eq(a.reason, SMTP_DISCONNECT_SHUTDOWN);
	ck_assert_str_eq(events, "A.reset A.disconnect");
	smtp_server_session_free(s);
}
END_TEST

static void close_within(struct smtp_server_session *s, struct probe *probe)
{
	(void)probe;
	close_now(s);
}

START_TEST(close_from_within)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);

	feed(s, steps[_i].before);
	output(s);
	a.within = close_within;
	feed(s, steps[_i].line);
	ck_assert_msg(strstr(output(s), "421 ") != NULL || steps[_i].phase == DATA, "%s",
		      steps[_i].name);
	feed(s, "x\r\n.\r\n"); /* after 354 the end of data has to come first */
	output(s);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	ck_assert_int_eq(a.reason, SMTP_DISCONNECT_SHUTDOWN);
	smtp_server_session_free(s);
}
END_TEST

START_TEST(close_in_connect)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.within = close_within;
	s = started(&a, NULL);
	ck_assert_str_eq(output(s), "421 shutting down\r\n");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	smtp_server_session_free(s);
	ck_assert_str_eq(events, "A.connect A.disconnect");
}
END_TEST

START_TEST(close_in_tls)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);
	struct smtp_reply reply = smtp_reply_of(421, NULL, "x");

	feed(s, EHLO "STARTTLS\r\n");
	output(s);
	smtp_server_session_close(s, SMTP_DISCONNECT_TLS, &reply);
	ck_assert_str_eq(output(s), "");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	ck_assert_int_eq(a.reason, SMTP_DISCONNECT_TLS);
	smtp_server_session_free(s);
}
END_TEST

/* --- TLS -------------------------------------------------------------------------------------- */

START_TEST(tls_wanted_when_flushed)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);
	char longer[200];

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	feed(s, EHLO);
	ck_assert_int_eq(smtp_server_session_tls_started(s, "x"), SMTP_ESTATE);
	feed(s, "STARTTLS\r\n");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_WRITE);
	output(s);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_TLS);
	ck_assert_int_eq(smtp_server_session_tls_started(s, longer), 0);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_READ);
	ck_assert_uint_eq(strlen(smtp_server_session_tls_description(s)), 80);
	ck_assert_str_eq(smtp_server_session_helo_name(s), "");
	ck_assert(smtp_server_session_has_tls(s));
	smtp_server_session_free(s);
}
END_TEST

START_TEST(tls_error_stays)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);
	size_t taken = 0;

	feed(s, EHLO);
	ck_assert_int_eq(smtp_server_session_feed(s, "STARTTLS\r\nNOOP\r\n", 16, 1000, &taken),
			 SMTP_EPROTO);
	ck_assert_uint_eq(taken, 16);
	ck_assert_int_eq(smtp_server_session_feed(s, "x", 1, 1000, &taken), SMTP_EPROTO);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_WRITE | SMTP_WANTS_CLOSE);
	ck_assert_int_eq(smtp_server_session_tls_started(s, "x"), SMTP_ESTATE);
	ck_assert_int_eq(a.reason, SMTP_DISCONNECT_PROTOCOL);
	smtp_server_session_free(s);
}
END_TEST

START_TEST(tls_before_the_greeting)
{
	struct smtp_server_session *s = session_with(NULL, NULL);

	ck_assert_int_eq(smtp_server_session_tls_started(s, "TLSv1.3"), 0);
	ck_assert_int_eq(smtp_server_session_start(s, 0), 0);
	say(s, EHLO, "220 250");
	ck_assert_str_eq(smtp_server_session_protocol(s), "ESMTPS");
	ck_assert_str_eq(smtp_server_session_tls_description(s), "TLSv1.3");
	smtp_server_session_free(s);
}
END_TEST

/* --- back-pressure, memory -------------------------------------------------------------------- */

/* The peer sends and never reads. */
START_TEST(output_is_bounded)
{
	struct smtp_server_session *s = started(NULL, NULL);
	size_t taken = 1, sent = 0;

	for (int i = 0; i < 100000 && taken > 0; i++)
		taken = feed(s, "NOOP\r\n");
	ck_assert_uint_eq(taken, 0);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_WRITE);
	ck_assert_uint_le(s->out.cap, SERVER_OUTPUT_MAX);
	while (smtp_server_session_output(s).n > 0) {
		smtp_server_session_sent(s, 1000);
		sent++;
	}
	ck_assert_uint_ge(sent, 30);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_READ);
	ck_assert_uint_eq(feed(s, "NOOP\r\n"), 6);
	smtp_server_session_free(s);
}
END_TEST

static void no_buffers(const struct smtp_server_session *s)
{
	ck_assert_uint_eq(s->out.cap + s->line.buf.cap + s->args.held.cap + s->auth.first.cap +
				  s->auth.password.cap + s->run.reply.text.cap +
				  s->content.refusal.text.cap + s->closing.reply.text.cap,
			  0);
}

START_TEST(idle_holds_no_buffers)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	for (int i = 0; i < PHASES; i++)
		a.verdict[i] = SMTP_PENDING;
	s = started(&a, NULL);
	ck_assert_uint_lt(sizeof(*s) + 16 * sizeof(*s->handlers), 2048);
	answer(s, 0);
	output(s);
	no_buffers(s);
	for (size_t i = 0; i < sizeof(EHLO) - 1; i++)
		feed(s, (char[]){ EHLO[i], '\0' });
	answer(s, 0);
	output(s);
	no_buffers(s);
	feed(s, PLAIN);
	answer(s, 454);
	feed(s, "MAIL FROM:<alice@example.com> AUTH=<>\r\n");
	answer(s, 0);
	feed(s, "RCPT TO:<bob@example.org>\r\n");
	answer(s, 0);
	output(s);
	no_buffers(s);
	smtp_server_session_free(s);
}
END_TEST

/* --- time ------------------------------------------------------------------------------------- */

START_TEST(timer_rests_while_pending)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;
	size_t taken;

	a.verdict[VRFY] = SMTP_PENDING;
	s = started(&a, NULL);
	ck_assert_uint_eq(smtp_server_session_deadline(s), 301000);
	feed(s, EHLO "VRFY x\r\n");
	ck_assert_uint_eq(smtp_server_session_deadline(s), UINT64_MAX);
	smtp_server_session_tick(s, 900000);
	answer(s, 0);
	ck_assert_uint_le(smtp_server_session_deadline(s), 900000);
	smtp_server_session_tick(s, 900000);
	ck_assert_uint_eq(smtp_server_session_deadline(s), 1200000);
	feed(s, "");
	ck_assert_int_eq(smtp_server_session_feed(s, "NOOP\r\n", 6, 950000, &taken), 0);
	ck_assert_uint_eq(smtp_server_session_deadline(s), 1250000);
	output(s);
	smtp_server_session_tick(s, 1250000);
	ck_assert_str_eq(codes(output(s)), "421");
	ck_assert_int_eq(a.reason, SMTP_DISCONNECT_TIMEOUT);
	smtp_server_session_free(s);
}
END_TEST

/* What the handler takes is not the client's slowness. */
START_TEST(content_time_rests_while_pending)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;
	size_t taken;

	a.verdict[CONTENT] = SMTP_PENDING;
	s = started(&a, NULL);
	feed(s, EHLO ENVELOPE "DATA\r\n");
	ck_assert_int_eq(smtp_server_session_feed(s, "x\r\n", 3, 2000, &taken), 0);
	answer(s, 0);
	ck_assert_int_eq(smtp_server_session_feed(s, "", 0, 5002000, &taken), 0);
	ck_assert_uint_ge(smtp_server_session_deadline(s), 5002000 + 599000);
	ck_assert_uint_le(smtp_server_session_deadline(s), 5002000 + 600000);
	smtp_server_session_free(s);
}
END_TEST

/* Closed, and the peer does not read the last reply: in the end it is dropped. */
START_TEST(linger_is_bounded)
{
	struct smtp_server_session *s = started(NULL, NULL);

	feed(s, "QUIT\r\n");
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_WRITE | SMTP_WANTS_CLOSE);
	ck_assert_uint_eq(smtp_server_session_deadline(s), 31000);
	smtp_server_session_tick(s, 31000);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_CLOSE);
	ck_assert_uint_eq(smtp_server_session_deadline(s), UINT64_MAX);
	smtp_server_session_free(s);
}
END_TEST

/* --- getters ---------------------------------------------------------------------------------- */

static void set_account(struct smtp_server_session *s, struct probe *probe)
{
	probe->result = smtp_server_session_set_account(s, "alice@example.org");
}

START_TEST(getters)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s = started(&a, NULL);
	int connection;

	ck_assert_ptr_null(smtp_server_session_driver(s));
	smtp_server_session_set_driver(s, &connection);
	ck_assert_ptr_eq(smtp_server_session_driver(s), &connection);
	ck_assert_str_eq(smtp_server_session_helo_name(s), "");
	ck_assert_str_eq(smtp_server_session_protocol(s), "SMTP");
	ck_assert_str_eq(smtp_server_session_tls_description(s), "");
	ck_assert_ptr_null(smtp_server_session_account(s));
	feed(s, EHLO);
	ck_assert_str_eq(smtp_server_session_helo_name(s), "client.example.com");
	ck_assert_str_eq(smtp_server_session_protocol(s), "ESMTP");
	ck_assert_int_eq(smtp_server_session_set_account(s, "x"), SMTP_ESTATE);
	a.within = set_account;
	feed(s, PLAIN);
	ck_assert_int_eq(a.result, 0);
	a.within = NULL;
	ck_assert_str_eq(smtp_server_session_account(s), "alice@example.org");
	ck_assert_str_eq(smtp_server_session_protocol(s), "ESMTPA");
	feed(s, ENVELOPE "RCPT TO:<carol@example.org>\r\nDATA\r\n..x\r\ny");
	ck_assert_uint_eq(smtp_server_session_recipient_count(s), 2);
	ck_assert_uint_eq(smtp_server_session_content_bytes(s), 5);
	feed(s, "\r\n.\r\n");
	ck_assert_uint_eq(smtp_server_session_recipient_count(s), 0);
	smtp_server_session_free(s);
}
END_TEST

START_TEST(account_while_pending)
{
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.verdict[AUTH] = SMTP_PENDING;
	s = started(&a, NULL);
	feed(s, EHLO PLAIN);
	ck_assert_int_eq(smtp_server_session_set_account(s, ""), SMTP_EINVAL);
	ck_assert_int_eq(smtp_server_session_set_account(s, "one"), 0);
	ck_assert_int_eq(smtp_server_session_set_account(s, "two"), 0);
	ck_assert_ptr_null(smtp_server_session_account(s));
	answer(s, 535);
	ck_assert_ptr_null(smtp_server_session_account(s));
	feed(s, PLAIN);
	answer(s, 0);
	ck_assert_str_eq(smtp_server_session_account(s), "alice");
	smtp_server_session_free(s);
}
END_TEST

static void count_in_slot(struct smtp_server_session *s, struct probe *probe)
{
	void **slot = smtp_server_session_slot(s, &probe->functions);

	ck_assert_ptr_nonnull(slot);
	*slot = (char *)*slot + (probe->name == 'A' ? 1 : 100);
}

START_TEST(slots)
{
	struct probe a = probe_of('A'), b = probe_of('B'), other = probe_of('C');
	struct smtp_server_session *s;

	a.within = b.within = count_in_slot;
	s = started(&a, &b);
	feed(s, EHLO);
	ck_assert_ptr_eq(*smtp_server_session_slot(s, &a.functions), (char *)NULL + 2);
	ck_assert_ptr_eq(*smtp_server_session_slot(s, &b.functions), (char *)NULL + 200);
	ck_assert_ptr_null(smtp_server_session_slot(s, &other.functions));
	smtp_server_session_free(s);
}
END_TEST

START_TEST(reasons_have_names)
{
	for (int i = SMTP_DISCONNECT_QUIT; i <= SMTP_DISCONNECT_IO; i++)
		ck_assert_str_ne(smtp_disconnect_reason_str((enum smtp_disconnect_reason)i), "unknown");
	ck_assert_str_eq(smtp_disconnect_reason_str((enum smtp_disconnect_reason)99), "unknown");
}
END_TEST

/* A handler may go too far with its text. */
START_TEST(reply_text_is_bounded)
{
	struct probe a = probe_of('A');
	static char text[20000];
	struct smtp_reply reply;
	struct smtp_server_session *s;
	const char *out;

	memset(text, _i ? '\n' : 'x', sizeof(text) - 1);
	reply = smtp_reply_of(250, NULL, text);
	a.verdict[VRFY] = SMTP_PENDING;
	s = started(&a, NULL);
	feed(s, EHLO "VRFY x\r\n");
	output(s);
	ck_assert_int_eq(smtp_server_session_reply(s, &reply), 0);
	out = output(s);
	ck_assert_str_eq(codes(out), "250");
	ck_assert_uint_lt(strlen(out), 6000);
	ck_assert_uint_eq(smtp_server_session_wants(s), SMTP_WANTS_READ);
	smtp_server_session_free(s);
}
END_TEST

/* --- trace ------------------------------------------------------------------------------------ */

static void on_trace(struct smtp_server_session *s, bool from_client, struct smtp_span line,
		     void *user)
{
	struct smtp_reply reply = smtp_reply_of(250, NULL, "x");

	(void)user;
	ck_assert_int_eq(smtp_server_session_reply(s, &reply), SMTP_ESTATE);
	snprintf(events + strlen(events), sizeof(events) - strlen(events), "%c %.*s\n",
		 from_client ? 'C' : 'S', (int)line.n, (const char *)line.p);
}

START_TEST(trace)
{
	struct smtp_server_session_handler functions = { .size = sizeof(functions),
							 .auth = on_auth,
							 .trace = on_trace };
	struct probe a = probe_of('A');
	struct smtp_server_session *s;

	a.functions = functions;
	s = started(&a, NULL);
	feed(s, "HELO x\r\nEHLO x\r\nAUTH LOGIN\r\n");
	ck_assert_str_eq(events, "S 220 mx.example.org ESMTP\nC HELO x\nS 250 mx.example.org\n"
				 "C EHLO x\nS 250-mx.example.org\nS 250-PIPELINING\n"
				 "S 250-SIZE 52428800\nS 250-8BITMIME\nS 250-ENHANCEDSTATUSCODES\n"
				 "S 250-STARTTLS\nS 250 AUTH PLAIN LOGIN\nC AUTH LOGIN ***\n"
				 "S 334 VXNlcm5hbWU6\n");
	forget_events();
	feed(s, "YWxpY2U=\r\n*\r\nNOOP\r\n");
	ck_assert_str_eq(events, "C ***\nS 334 UGFzc3dvcmQ6\nC ***\n"
				 "S 501 5.7.0 authentication cancelled\nC NOOP\nS 250 2.0.0 ok\n");
	smtp_server_session_free(s);
}
END_TEST

/* --- the suite -------------------------------------------------------------------------------- */

static void add_all(TCase *tc)
{
	tcase_add_test(tc, options_size);
	tcase_add_test(tc, options_of_an_older_version);
	tcase_add_test(tc, options_defaults);
	tcase_add_test(tc, options_at_least_100_recipients);
	tcase_add_loop_test(tc, hostname, 0, ROWS(hostnames));
	tcase_add_test(tc, handler_size);
	tcase_add_test(tc, no_handler_is_no_open_relay);
	tcase_add_test(tc, sixteen_handlers);
	tcase_add_test(tc, free_is_silent_before_start);
	tcase_add_loop_test(tc, accepted_at_once, 0, ROWS(steps));
	tcase_add_loop_test(tc, refused_at_once, 0, ROWS(steps));
	tcase_add_loop_test(tc, reply_outweighs_the_verdict, 0, ROWS(steps));
	tcase_add_loop_test(tc, accepted_late, 0, ROWS(steps));
	tcase_add_loop_test(tc, refused_late, 0, ROWS(steps));
	tcase_add_loop_test(tc, ended_by_421, 0, ROWS(steps));
	tcase_add_loop_test(tc, replied_without_reply, 0, ROWS(steps));
	tcase_add_test(tc, connect_verdicts);
	tcase_add_test(tc, reply_misused);
	tcase_add_test(tc, the_first_reply_counts);
	tcase_add_test(tc, no_feed_from_within);
	tcase_add_test(tc, chain_in_order);
	tcase_add_test(tc, chain_pending_keeps_arguments);
	tcase_add_loop_test(tc, chain_first_refusal_ends_it, 0, ROWS(steps));
	tcase_add_test(tc, chain_reset_where_due);
	tcase_add_test(tc, chain_last_text_is_said);
	tcase_add_test(tc, free_tells_reset_and_disconnect);
	tcase_add_loop_test(tc, free_while_pending, 0, ROWS(steps));
	tcase_add_test(tc, peer_closed_while_pending);
	tcase_add_test(tc, close_idle);
	tcase_add_test(tc, close_without_reply);
	tcase_add_test(tc, close_before_start);
	tcase_add_test(tc, close_while_pending);
	tcase_add_test(tc, close_in_content);
	tcase_add_loop_test(tc, close_from_within, 0, ROWS(steps));
	tcase_add_test(tc, close_in_connect);
	tcase_add_test(tc, close_in_tls);
	tcase_add_test(tc, tls_wanted_when_flushed);
	tcase_add_test(tc, tls_error_stays);
	tcase_add_test(tc, tls_before_the_greeting);
	tcase_add_test(tc, output_is_bounded);
	tcase_add_test(tc, idle_holds_no_buffers);
	tcase_add_test(tc, timer_rests_while_pending);
	tcase_add_test(tc, content_time_rests_while_pending);
	tcase_add_test(tc, linger_is_bounded);
	tcase_add_test(tc, getters);
	tcase_add_test(tc, account_while_pending);
	tcase_add_test(tc, slots);
	tcase_add_test(tc, reasons_have_names);
	tcase_add_loop_test(tc, reply_text_is_bounded, 0, 2);
	tcase_add_test(tc, trace);
}

int main(void)
{
	Suite *suite = suite_create("server_session");
	TCase *tc = tcase_create("server_session");

	add_all(tc);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
