/* SPDX-License-Identifier: ISC */
/* Dialogues of a client session, for its tests: "C: " lines must be what the client says, "S: " lines are
 * what the server says, "S~ " the same without CRLF, "TLS" is a handshake, "CLOSE" the end of the
 * connection. `log` is what the owner is told.
 */
#ifndef TESTS_UNIT_CLIENT_SESSION_ROWS_H
#define TESTS_UNIT_CLIENT_SESSION_ROWS_H

#include <check.h>
#include <smtp/client_session.h>
#include <stdio.h>
#include <string.h>

/* What the owner of the session wants of it. */
struct want {
	enum smtp_client_tls tls; /* 0: none */
	const char *user, *password;
	unsigned mechanism;
	bool auth_without_tls;
	bool no_pipelining;
	unsigned mails;  /* one behind the other */
	size_t recipients;
	const char *content;
	uint64_t content_bytes;
	bool body_8bitmime;
	bool null_sender;
	size_t read_size;   /* octets given at once; 0: all */
	int read_error;     /* after the content, instead of its end */
	const char *command, *second_command;
	bool stay; /* no QUIT */
	bool quit_at_once;

	const char *from, *to; /* paths, divided by blanks; NULL: <a@b.org>, <r0@x.org> ... */
	bool chunking;
	bool lmtp;
	bool binarymime, smtputf8, require_tls, refuse_newlines;
	bool to_ascii; /* knows the A-labels of b\u00fccher.example */
	bool rewinds, rewind_fails;
	enum smtp_dsn_return ret;
	const char *envid, *auth;
	unsigned notify;
	const char *orcpt;
	bool starttls; /* on demand, before anything else */
	bool results;  /* note recipient_done */
};

struct row {
	const char *name;
	struct want want;
	const char *script;
	const char *log;
};

static int to_ascii(const char *domain, char out[SMTP_DOMAIN_MAX + 1])
{
	if (strcmp(domain, "b\xc3\xbc" "cher.example") != 0)
		return SMTP_ESYNTAX;
	memcpy(out, "xn--bcher-kva.example", sizeof("xn--bcher-kva.example"));
	return 0;
}

enum { WANT_PATHS_MAX = 8 };

static struct smtp_path want_path(const char *text, size_t n)
{
	struct smtp_path path = { 0 };
	size_t used;

	ck_assert_int_eq(smtp_path_parse(&path, (struct smtp_span){ (const uint8_t *)text, n },
					 SMTP_ADDRESS_UTF8, &used), 0);
	return path;
}

/* Room for want->recipients, or WANT_PATHS_MAX. Returns how many there are. */
static size_t fill_paths(struct smtp_path *to, const struct want *want)
{
	size_t count = want->recipients ? want->recipients : 1;
	const char *text = want->to;

	for (size_t i = 0; i < count && !text; i++) {
		char path[64];

		to[i] = want_path(path, (size_t)snprintf(path, sizeof(path), "<r%zu@x.org>", i));
	}
	for (count = text ? 0 : count; text && *text; count++) {
		size_t n = strcspn(text, " ");

		to[count] = want_path(text, n);
		text += n + (text[n] == ' ');
	}
	return count;
}

/* All but the content. */
static void fill_transaction(struct smtp_client_transaction *txn, const struct want *want,
			     struct smtp_path *from, struct smtp_path *to,
			     struct smtp_client_recipient *recipients)
{
	const char *sender = want->null_sender ? "<>" : want->from ? want->from : "<a@b.org>";

	*from = want_path(sender, strlen(sender));
	txn->reverse_path = from;
	txn->forward_paths = to;
	txn->forward_path_count = fill_paths(to, want);
	for (size_t i = 0; i < txn->forward_path_count; i++)
		recipients[i] = (struct smtp_client_recipient){ want->notify, want->orcpt };
	txn->recipients = recipients;
	txn->content_bytes = want->content_bytes;
	txn->body = want->binarymime ? SMTP_BODY_BINARYMIME :
		    want->body_8bitmime ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT;
	txn->smtputf8 = want->smtputf8;
	txn->require_tls = want->require_tls;
	txn->refuse_bare_newlines = want->refuse_newlines;
	txn->ret = want->ret;
	txn->envid = want->envid;
	txn->auth = want->auth;
}

static struct smtp_client_session_options options_of(const struct want *want)
{
	struct smtp_client_session_options options = SMTP_CLIENT_SESSION_OPTIONS_INIT;

	options.helo_name = "me.example";
	options.tls = want->tls;
	options.user = want->user;
	options.password = want->password;
	options.mechanism = want->mechanism;
	options.auth_without_tls = want->auth_without_tls;
	options.pipelining = !want->no_pipelining;
	options.chunking = want->chunking;
	options.lmtp = want->lmtp;
	if (want->to_ascii)
		options.domain_to_ascii = to_ascii;
	return options;
}


#define HELLO "S: 220 hi\nC: EHLO me.example\n"
#define PLAIN_EHLO HELLO "S: 250 hi\n"
#define PIPE_EHLO HELLO "S: 250-hi\nS: 250 PIPELINING\n"
#define BYE "C: QUIT\nS: 221 2.0.0 bye\n"
#define BYE_LOG "reply QUIT 221 2.0.0 bye\nfinished\n"
#define STARTED HELLO "S: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nTLS\nC: EHLO me.example\n"

/* Up to the reply to MAIL, RCPT, DATA, each step on its own. */
#define MAILED PLAIN_EHLO "C: MAIL FROM:<a@b.org>\n"
#define RCPTED MAILED "S: 250 ok\nC: RCPT TO:<r0@x.org>\n"
#define DATAED RCPTED "S: 250 ok\nC: DATA\n"
#define SENT DATAED "S: 354 go\nC: Hello\nC: .\n"
#define MAILED_LOG "ready\nreply MAIL 250 ok\n"
#define RCPTED_LOG MAILED_LOG "reply RCPT 0 250 ok\n"
#define DATAED_LOG RCPTED_LOG "reply DATA 354 go\n"
#define TAKEN_LOG DATAED_LOG "reply end of data 250 ok\ndone end of data 250 ok\n"
#define NEXT \
	"C: MAIL FROM:<a@b.org>\nS: 250 ok\nC: RCPT TO:<r0@x.org>\nS: 250 ok\nC: DATA\n" \
	"S: 354 go\nC: Hello\nC: .\nS: 250 ok\n"
#define NEXT_LOG \
	"reply MAIL 250 ok\nreply RCPT 0 250 ok\nreply DATA 354 go\n" \
	"reply end of data 250 ok\ndone end of data 250 ok\n"

/* The same of two recipients in one group. */
#define GROUP PIPE_EHLO "C: MAIL FROM:<a@b.org>\nC: RCPT TO:<r0@x.org>\nC: RCPT TO:<r1@x.org>\nC: DATA\n"

#define JOE .user = "joe", .password = "s3cret"

static const struct row rows[] = {
	/* --- greeting ------------------------------------------------------------------------ */
	{ "nothing to do", { 0 }, PLAIN_EHLO BYE, "ready\n" BYE_LOG },
	{ "quit before the greeting", { .quit_at_once = true, .stay = true }, PLAIN_EHLO BYE,
	  "ready\n" BYE_LOG },
	{ "greeting of many lines", { 0 },
	  "S: 220-hi\nS: 220-how\nS: 220 are you\nC: EHLO me.example\nS: 250 hi\n" BYE,
	  "ready\n" BYE_LOG },
	{ "greeting without text", { 0 }, "S: 220\nC: EHLO me.example\nS: 250\n" BYE,
	  "ready\n" BYE_LOG },
	{ "greeting 554", { .mails = 1 }, "S: 554 no service\nC: QUIT\n",
	  "failed -22 greeting 554 no service\n" },
	{ "greeting 450", { .mails = 1 }, "S: 450 later\nC: QUIT\n",
	  "failed -22 greeting 450 later\n" },
	{ "greeting 421", { .mails = 1 }, "S: 421 4.3.2 down\n",
	  "failed -22 greeting 421 4.3.2 down\n" },
	{ "greeting 354", { 0 }, "S: 354 go\n", "failed -4 greeting 354 go\n" },
	{ "greeting of another protocol", { 0 }, "S: SSH-2.0-x\n", "failed -4 greeting\n" },
	{ "greeting with a wrong code", { 0 }, "S: 120 hi\n", "failed -4 greeting\n" },
	{ "greeting with changing codes", { 0 }, "S: 220-hi\nS: 250 hi\n", "failed -4 greeting\n" },
	{ "closed before the greeting", { 0 }, "CLOSE\n", "failed -8 greeting\n" },
	{ "closed within the greeting", { 0 }, "S~ 220 h\nCLOSE\n", "failed -8 greeting\n" },
	{ "greeting, then ahead of EHLO", { 0 }, "S: 220 hi\nS: 250 hi\n",
	  "failed -4 EHLO 250 hi\n" },
	{ "greeting, then 421", { 0 }, "S: 220 hi\nS: 421 bye\n", "failed -22 EHLO 421 bye\n" },

	/* --- EHLO, HELO ---------------------------------------------------------------------- */
	{ "HELO after 500", { 0 }, HELLO "S: 500 what\nC: HELO me.example\nS: 250 hi\n" BYE,
	  "ready\n" BYE_LOG },
	{ "HELO after 502", { .mails = 1 },
	  HELLO "S: 502 what\nC: HELO me.example\nS: 250 hi\n" NEXT BYE,
	  "ready\n" NEXT_LOG BYE_LOG },
	{ "HELO after 504", { 0 }, HELLO "S: 504 what\nC: HELO me.example\nS: 250 hi\n" BYE,
	  "ready\n" BYE_LOG },
	{ "HELO after 550", { 0 }, HELLO "S: 550 what\nC: HELO me.example\nS: 250 hi\n" BYE,
	  "ready\n" BYE_LOG },
	{ "HELO refused too", { 0 }, HELLO "S: 550 no\nC: HELO me.example\nS: 550 5.7.1 no\nC: QUIT\n",
	  "failed -22 HELO 550 5.7.1 no\n" },
	{ "HELO 354", { 0 }, HELLO "S: 550 no\nC: HELO me.example\nS: 354 go\n",
	  "failed -4 HELO 354 go\n" },
	{ "EHLO 451", { 0 }, HELLO "S: 451 later\nC: QUIT\n", "failed -22 EHLO 451 later\n" },
	{ "EHLO 421", { 0 }, HELLO "S: 421 later\n", "failed -22 EHLO 421 later\n" },
	{ "EHLO 334", { 0 }, HELLO "S: 334 later\n", "failed -4 EHLO 334 later\n" },
	{ "closed after EHLO", { 0 }, HELLO "CLOSE\n", "failed -8 EHLO\n" },
	{ "HELO offers nothing", { .tls = SMTP_CLIENT_TLS_REQUIRED },
	  HELLO "S: 500 no\nC: HELO me.example\nS: 250-hi\nS: 250 STARTTLS\nC: QUIT\n",
	  "failed -11 STARTTLS\n" },
	{ "keywords in any case", { .mails = 1, .content_bytes = 7, .body_8bitmime = true },
	  HELLO "S: 250-hi\nS: 250-PipeLining\nS: 250-size 100\nS: 250 8bitMIME\n"
	  "C: MAIL FROM:<a@b.org> SIZE=7 BODY=8BITMIME\nC: RCPT TO:<r0@x.org>\nC: DATA\n"
	  "S: 250 ok\nS: 250 ok\nS: 354 go\nC: Hello\nC: .\nS: 250 ok\n" BYE,
	  "ready\n" NEXT_LOG BYE_LOG },
	{ "pipelining offered, not wanted", { .mails = 1, .no_pipelining = true },
	  PIPE_EHLO NEXT BYE, "ready\n" NEXT_LOG BYE_LOG },

	/* --- STARTTLS ------------------------------------------------------------------------ */
	{ "implicit TLS", { .tls = SMTP_CLIENT_TLS_IMPLICIT },
	  HELLO "S: 250-hi\nS: 250 STARTTLS\n" BYE, "ready\n" BYE_LOG },
	{ "TLS required", { .tls = SMTP_CLIENT_TLS_REQUIRED }, STARTED "S: 250 hi\n" BYE,
	  "ready\n" BYE_LOG },
	{ "TLS when offered", { .tls = SMTP_CLIENT_TLS_OPPORTUNISTIC },
	  STARTED "S: 250-hi\nS: 250 STARTTLS\n" BYE, "ready\n" BYE_LOG },
	{ "TLS when offered, not offered", { .tls = SMTP_CLIENT_TLS_OPPORTUNISTIC },
	  PLAIN_EHLO BYE, "ready\n" BYE_LOG },
	{ "TLS when offered, refused", { .tls = SMTP_CLIENT_TLS_OPPORTUNISTIC, .mails = 1 },
	  HELLO "S: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 no\n" NEXT BYE,
	  "ready\n" NEXT_LOG BYE_LOG },
	{ "TLS required, not offered", { .tls = SMTP_CLIENT_TLS_REQUIRED, .mails = 1 },
	  PLAIN_EHLO "C: QUIT\n", "failed -11 STARTTLS\n" },
	{ "TLS required, refused", { .tls = SMTP_CLIENT_TLS_REQUIRED, .mails = 1 },
	  HELLO "S: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 4.7.0 no\nC: QUIT\n",
	  "failed -11 STARTTLS 454 4.7.0 no\n" },
	{ "TLS not wanted", { 0 }, HELLO "S: 250-hi\nS: 250 STARTTLS\n" BYE, "ready\n" BYE_LOG },
	{ "STARTTLS 334", { .tls = SMTP_CLIENT_TLS_OPPORTUNISTIC },
	  HELLO "S: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\nS: 334 no\n",
	  "failed -4 STARTTLS 334 no\n" },
	{ "STARTTLS 421", { .tls = SMTP_CLIENT_TLS_OPPORTUNISTIC },
	  HELLO "S: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\nS: 421 no\n",
	  "failed -22 STARTTLS 421 no\n" },
	{ "injected behind the 220", { .tls = SMTP_CLIENT_TLS_REQUIRED },
	  HELLO "S: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nS: 250 mine\n",
	  "failed -4 STARTTLS\n" },
	{ "half a line injected", { .tls = SMTP_CLIENT_TLS_OPPORTUNISTIC },
	  HELLO "S: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nS~ 2\n",
	  "failed -4 STARTTLS\n" },
	{ "220 ahead of STARTTLS", { .tls = SMTP_CLIENT_TLS_REQUIRED },
	  HELLO "S: 250-hi\nS: 250 STARTTLS\nS: 220 go\n", "failed -4 STARTTLS 220 go\n" },
	{ "offers are forgotten with TLS",
	  { .tls = SMTP_CLIENT_TLS_REQUIRED, .mails = 1, .content_bytes = 7 },
	  HELLO "S: 250-hi\nS: 250-PIPELINING\nS: 250-SIZE 5\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n"
	  "TLS\nC: EHLO me.example\nS: 250 hi\n" NEXT BYE, "ready\n" NEXT_LOG BYE_LOG },
	{ "closed in the handshake", { .tls = SMTP_CLIENT_TLS_REQUIRED },
	  HELLO "S: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nCLOSE\n",
	  "failed -8 TLS handshake\n" },

	/* --- AUTH ---------------------------------------------------------------------------- */
	{ "PLAIN", { .tls = SMTP_CLIENT_TLS_REQUIRED, JOE },
	  STARTED "S: 250-hi\nS: 250 AUTH LOGIN PLAIN\nC: AUTH PLAIN AGpvZQBzM2NyZXQ=\n"
	  "S: 235 2.7.0 hello\n" BYE, "reply AUTH 235 2.7.0 hello\nready\n" BYE_LOG },
	{ "PLAIN asked for again", { .tls = SMTP_CLIENT_TLS_REQUIRED, JOE },
	  STARTED "S: 250-hi\nS: 250 auth plain\nC: AUTH PLAIN AGpvZQBzM2NyZXQ=\nS: 334\n"
	  "C: AGpvZQBzM2NyZXQ=\nS: 235 hello\n" BYE,
	  "reply AUTH 334 \nreply AUTH 235 hello\nready\n" BYE_LOG },
	{ "PLAIN asked for without end", { .tls = SMTP_CLIENT_TLS_REQUIRED, JOE },
	  STARTED "S: 250-hi\nS: 250 AUTH PLAIN\nC: AUTH PLAIN AGpvZQBzM2NyZXQ=\nS: 334 a\n"
	  "C: AGpvZQBzM2NyZXQ=\nS: 334 b\nC: *\nS: 501 c\nC: QUIT\n",
	  "reply AUTH 334 a\nreply AUTH 334 b\nreply AUTH 501 c\nfailed -14 AUTH 501 c\n" },
	{ "334 to the cancellation", { .tls = SMTP_CLIENT_TLS_REQUIRED, JOE },
	  STARTED "S: 250-hi\nS: 250 AUTH PLAIN\nC: AUTH PLAIN AGpvZQBzM2NyZXQ=\nS: 334 a\n"
	  "C: AGpvZQBzM2NyZXQ=\nS: 334 b\nC: *\nS: 334 c\n",
	  "reply AUTH 334 a\nreply AUTH 334 b\nreply AUTH 334 c\nfailed -4 AUTH 334 c\n" },
	{ "235 to the cancellation", { .tls = SMTP_CLIENT_TLS_REQUIRED, JOE },
	  STARTED "S: 250-hi\nS: 250 AUTH PLAIN\nC: AUTH PLAIN AGpvZQBzM2NyZXQ=\nS: 334 a\n"
	  "C: AGpvZQBzM2NyZXQ=\nS: 334 b\nC: *\nS: 235 c\n",
	  "reply AUTH 334 a\nreply AUTH 334 b\nreply AUTH 235 c\nfailed -4 AUTH 235 c\n" },
	{ "LOGIN", { .tls = SMTP_CLIENT_TLS_REQUIRED, JOE },
	  STARTED "S: 250-hi\nS: 250 AUTH CRAM-MD5 LOGIN\nC: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\n"
	  "C: am9l\nS: 334 UGFzc3dvcmQ6\nC: czNjcmV0\nS: 235 hello\n" BYE,
	  "reply AUTH 334 VXNlcm5hbWU6\nreply AUTH 334 UGFzc3dvcmQ6\nreply AUTH 235 hello\n"
	  "ready\n" BYE_LOG },
	{ "LOGIN chosen", { .tls = SMTP_CLIENT_TLS_REQUIRED, JOE, .mechanism = SMTP_MECHANISM_LOGIN },
	  STARTED "S: 250-hi\nS: 250 AUTH PLAIN LOGIN\nC: AUTH LOGIN\nS: 334 a\n"
	  "C: am9l\nS: 334 b\nC: czNjcmV0\nS: 235 hello\n" BYE,
	  "reply AUTH 334 a\nreply AUTH 334 b\nreply AUTH 235 hello\nready\n" BYE_LOG },
	{ "LOGIN asks for more", { .tls = SMTP_CLIENT_TLS_REQUIRED, JOE },
	  STARTED "S: 250-hi\nS: 250 AUTH LOGIN\nC: AUTH LOGIN\nS: 334 a\nC: am9l\nS: 334 b\n"
	  "C: czNjcmV0\nS: 334 c\nC: *\nS: 535 no\nC: QUIT\n",
	  "reply AUTH 334 a\nreply AUTH 334 b\nreply AUTH 334 c\nreply AUTH 535 no\n"
	  "failed -14 AUTH 535 no\n" },
	{ "login refused", { .tls = SMTP_CLIENT_TLS_REQUIRED, JOE, .mails = 1 },
	  STARTED "S: 250-hi\nS: 250 AUTH PLAIN\nC: AUTH PLAIN AGpvZQBzM2NyZXQ=\n"
	  "S: 535 5.7.8 wrong\nC: QUIT\n",
	  "reply AUTH 535 5.7.8 wrong\nfailed -14 AUTH 535 5.7.8 wrong\n" },
	{ "login not possible now", { .tls = SMTP_CLIENT_TLS_REQUIRED, JOE, .mails = 1 },
	  STARTED "S: 250-hi\nS: 250 AUTH PLAIN\nC: AUTH PLAIN AGpvZQBzM2NyZXQ=\n"
	  "S: 454 4.7.0 later\nC: QUIT\n",
	  "reply AUTH 454 4.7.0 later\nfailed -14 AUTH 454 4.7.0 later\n" },
	{ "421 to AUTH", { .tls = SMTP_CLIENT_TLS_REQUIRED, JOE },
	  STARTED "S: 250-hi\nS: 250 AUTH PLAIN\nC: AUTH PLAIN AGpvZQBzM2NyZXQ=\nS: 421 no\n",
	  "reply AUTH 421 no\nfailed -22 AUTH 421 no\n" },
	{ "closed in AUTH", { .tls = SMTP_CLIENT_TLS_REQUIRED, JOE },
	  STARTED "S: 250-hi\nS: 250 AUTH PLAIN\nC: AUTH PLAIN AGpvZQBzM2NyZXQ=\nCLOSE\n",
	  "failed -8 AUTH\n" },
	{ "nonsense to AUTH", { .tls = SMTP_CLIENT_TLS_REQUIRED, JOE },
	  STARTED "S: 250-hi\nS: 250 AUTH PLAIN\nC: AUTH PLAIN AGpvZQBzM2NyZXQ=\nS: 354 a\n",
	  "reply AUTH 354 a\nfailed -4 AUTH 354 a\n" },
	{ "secret repeated by the server", { .tls = SMTP_CLIENT_TLS_REQUIRED, JOE },
	  STARTED "S: 250-hi\nS: 250 AUTH PLAIN\nC: AUTH PLAIN AGpvZQBzM2NyZXQ=\n"
	  "S: 500 5.5.2 what is AUTH PLAIN AGpvZQBzM2NyZXQ=\nC: QUIT\n",
	  "reply AUTH 500 5.5.2 ***\nfailed -14 AUTH 500 5.5.2 ***\n" },
	{ "part of a secret repeated", { .tls = SMTP_CLIENT_TLS_REQUIRED, JOE },
	  STARTED "S: 250-hi\nS: 250 AUTH PLAIN\nC: AUTH PLAIN AGpvZQBzM2NyZXQ=\n"
	  "S: 500-what is\nS: 500 AUTH PLAIN AGpvZQBzM...\nC: QUIT\n",
	  "reply AUTH 500 ***\nfailed -14 AUTH 500 ***\n" },
	{ "AUTH not offered", { .tls = SMTP_CLIENT_TLS_REQUIRED, JOE, .mails = 1 },
	  STARTED "S: 250 hi\nC: QUIT\n", "failed -15 AUTH\n" },
	{ "AUTH offered before TLS only", { .tls = SMTP_CLIENT_TLS_REQUIRED, JOE },
	  HELLO "S: 250-hi\nS: 250-AUTH PLAIN\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nTLS\n"
	  "C: EHLO me.example\nS: 250 hi\nC: QUIT\n", "failed -15 AUTH\n" },
	{ "AUTH offered before TLS, then HELO", { .tls = SMTP_CLIENT_TLS_REQUIRED, JOE },
	  HELLO "S: 250-hi\nS: 250-AUTH PLAIN\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nTLS\n"
	  "C: EHLO me.example\nS: 502 no\nC: HELO me.example\nS: 250 hi\nC: QUIT\n",
	  "failed -15 AUTH\n" },
	{ "no mechanism in common", { .tls = SMTP_CLIENT_TLS_REQUIRED, JOE },
	  STARTED "S: 250-hi\nS: 250 AUTH CRAM-MD5\nC: QUIT\n", "failed -15 AUTH\n" },
	{ "chosen mechanism not offered",
	  { .tls = SMTP_CLIENT_TLS_REQUIRED, JOE, .mechanism = SMTP_MECHANISM_LOGIN },
	  STARTED "S: 250-hi\nS: 250 AUTH PLAIN\nC: QUIT\n", "failed -15 AUTH\n" },
	{ "no password in clear", { JOE }, HELLO "S: 250-hi\nS: 250 AUTH PLAIN LOGIN\nC: QUIT\n",
	  "failed -11 AUTH\n" },
	{ "no password when TLS was refused", { .tls = SMTP_CLIENT_TLS_OPPORTUNISTIC, JOE },
	  HELLO "S: 250-hi\nS: 250-AUTH PLAIN\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 no\nC: QUIT\n",
	  "failed -11 AUTH\n" },
	{ "password in clear when allowed", { JOE, .auth_without_tls = true },
	  HELLO "S: 250-hi\nS: 250 AUTH PLAIN\nC: AUTH PLAIN AGpvZQBzM2NyZXQ=\nS: 235 ok\n" BYE,
	  "reply AUTH 235 ok\nready\n" BYE_LOG },
	{ "user, but only HELO", { JOE, .auth_without_tls = true },
	  HELLO "S: 502 no\nC: HELO me.example\nS: 250 hi\nC: QUIT\n", "failed -15 AUTH\n" },

	/* --- transactions -------------------------------------------------------------------- */
	{ "one message, step by step", { .mails = 1 }, PLAIN_EHLO NEXT BYE,
	  "ready\n" NEXT_LOG BYE_LOG },
	{ "one message, pipelined", { .mails = 1, .recipients = 3 },
	  PIPE_EHLO
	  "C: MAIL FROM:<a@b.org>\nC: RCPT TO:<r0@x.org>\nC: RCPT TO:<r1@x.org>\n"
	  "C: RCPT TO:<r2@x.org>\nC: DATA\n"
	  "S: 250 ok\nS: 250 ok\nS: 550 5.1.1 no\nS: 251 forward\nS: 354 go\n"
	  "C: Hello\nC: .\nS: 250-queued\nS: 250 as 1\n" BYE,
	  "ready\nreply MAIL 250 ok\nreply RCPT 0 250 ok\nreply RCPT 1 550 5.1.1 no\n"
	  "reply RCPT 2 251 forward\nreply DATA 354 go\n"
	  "reply end of data 250 queued\nas 1\ndone end of data 250 queued\nas 1\n" BYE_LOG },
	{ "some recipients refused", { .mails = 1, .recipients = 3 },
	  MAILED "S: 250 ok\nC: RCPT TO:<r0@x.org>\nS: 450 4.2.0 later\nC: RCPT TO:<r1@x.org>\n"
	  "S: 250 ok\nC: RCPT TO:<r2@x.org>\nS: 550 no\nC: DATA\nS: 354 go\nC: Hello\nC: .\n"
	  "S: 250 ok\n" BYE,
	  MAILED_LOG "reply RCPT 0 450 4.2.0 later\nreply RCPT 1 250 ok\nreply RCPT 2 550 no\n"
	  "reply DATA 354 go\nreply end of data 250 ok\ndone end of data 250 ok\n" BYE_LOG },
	{ "null reverse-path", { .mails = 1, .null_sender = true },
	  PLAIN_EHLO "C: MAIL FROM:<>\nS: 250 ok\nC: RCPT TO:<r0@x.org>\nS: 250 ok\nC: DATA\n"
	  "S: 354 go\nC: Hello\nC: .\nS: 250 ok\n" BYE, TAKEN_LOG BYE_LOG },
	{ "three messages", { .mails = 3 }, PLAIN_EHLO NEXT NEXT NEXT BYE,
	  "ready\n" NEXT_LOG NEXT_LOG NEXT_LOG BYE_LOG },
	{ "8-bit to a server without 8BITMIME", { .mails = 1, .body_8bitmime = true,
						  .content = "\xc3\xa4\r\n" },
	  DATAED "S: 354 go\nC: \xc3\xa4\nC: .\nS: 250 ok\n" BYE, TAKEN_LOG BYE_LOG },
	{ "SIZE not known", { .mails = 1 }, HELLO "S: 250-hi\nS: 250 SIZE 5\n" NEXT BYE,
	  "ready\n" NEXT_LOG BYE_LOG },
	{ "SIZE without limit", { .mails = 1, .content_bytes = 999999 },
	  HELLO "S: 250-hi\nS: 250 SIZE\nC: MAIL FROM:<a@b.org> SIZE=999999\nS: 552 5.3.4 no\n" BYE,
	  "ready\nreply MAIL 552 5.3.4 no\ndone MAIL 552 5.3.4 no\n" BYE_LOG },
	{ "over the server's SIZE", { .mails = 2, .content_bytes = 101 },
	  HELLO "S: 250-hi\nS: 250 SIZE 100\n" BYE,
	  "ready\ndone MAIL 552 5.3.4 message larger than the server takes\n"
	  "done MAIL 552 5.3.4 message larger than the server takes\n" BYE_LOG },
	{ "just the server's SIZE", { .mails = 1, .content_bytes = 100 },
	  HELLO "S: 250-hi\nS: 250 SIZE 100\nC: MAIL FROM:<a@b.org> SIZE=100\nS: 250 ok\n"
	  "C: RCPT TO:<r0@x.org>\nS: 250 ok\nC: DATA\nS: 354 go\nC: Hello\nC: .\nS: 250 ok\n" BYE,
	  TAKEN_LOG BYE_LOG },

	/* --- content ------------------------------------------------------------------------- */
	{ "dots", { .mails = 1, .content = ".\r\n..\r\na.\r\n.b\r\n", .read_size = 1 },
	  DATAED "S: 354 go\nC: ..\nC: ...\nC: a.\nC: ..b\nC: .\nS: 250 ok\n" BYE,
	  TAKEN_LOG BYE_LOG },
	{ "other line ends", { .mails = 1, .content = "a\n.\nb\r.\rc", .read_size = 2 },
	  DATAED "S: 354 go\nC: a\nC: ..\nC: b\nC: ..\nC: c\nC: .\nS: 250 ok\n" BYE,
	  TAKEN_LOG BYE_LOG },
	{ "no content", { .mails = 1, .content = "" },
	  DATAED "S: 354 go\nC: .\nS: 250 ok\n" BYE, TAKEN_LOG BYE_LOG },
	{ "unreadable content", { .mails = 1, .content = "", .read_error = SMTP_EIO },
	  DATAED "S: 354 go\n", DATAED_LOG "failed -9 content\n" },
	{ "content that ends in an error", { .mails = 2, .read_error = -42 },
	  DATAED "S: 354 go\n", DATAED_LOG "failed -42 content\n" },

	/* --- refusals ------------------------------------------------------------------------ */
	{ "MAIL refused", { .mails = 2 },
	  MAILED "S: 451 4.3.0 later\n" NEXT BYE,
	  "ready\nreply MAIL 451 4.3.0 later\ndone MAIL 451 4.3.0 later\n" NEXT_LOG BYE_LOG },
	{ "MAIL refused, pipelined", { .mails = 1, .recipients = 2 },
	  GROUP "S: 451 4.3.0 later\nS: 503 MAIL first\nS: 503 MAIL first\nS: 503 RCPT first\n" BYE,
	  "ready\nreply MAIL 451 4.3.0 later\ndone MAIL 451 4.3.0 later\n" BYE_LOG },
	{ "MAIL refused, yet 354", { .mails = 1, .recipients = 2 },
	  GROUP "S: 550 no\nS: 503 no\nS: 503 no\nS: 354 go\nC: .\nS: 554 no\n" BYE,
	  "ready\nreply MAIL 550 no\ndone MAIL 550 no\n" BYE_LOG },
	{ "MAIL refused, all else taken", { .mails = 1, .recipients = 2 },
	  GROUP "S: 550 no\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: .\nS: 250 ok\n" BYE,
	  "ready\nreply MAIL 550 no\ndone MAIL 550 no\n" BYE_LOG },
	{ "every RCPT refused", { .mails = 2, .recipients = 2 },
	  MAILED "S: 250 ok\nC: RCPT TO:<r0@x.org>\nS: 550 no\nC: RCPT TO:<r1@x.org>\nS: 451 later\n"
	  "C: RSET\nS: 250 forgotten\n"
	  "C: MAIL FROM:<a@b.org>\nS: 552 no\n" BYE,
	  MAILED_LOG "reply RCPT 0 550 no\nreply RCPT 1 451 later\nreply RSET 250 forgotten\n"
	  "done RCPT 0 \nreply MAIL 552 no\ndone MAIL 552 no\n" BYE_LOG },
	{ "every RCPT refused, pipelined", { .mails = 1, .recipients = 2 },
	  GROUP "S: 250 ok\nS: 550 no\nS: 550 no\nS: 554 no recipients\nC: RSET\nS: 250 ok\n" BYE,
	  MAILED_LOG "reply RCPT 0 550 no\nreply RCPT 1 550 no\nreply RSET 250 ok\ndone RCPT 0 \n"
	  BYE_LOG },
	{ "every RCPT refused, yet 354", { .mails = 1, .recipients = 2 },
	  GROUP "S: 250 ok\nS: 550 no\nS: 550 no\nS: 354 go\nC: .\nS: 250 ok\n" BYE,
	  MAILED_LOG "reply RCPT 0 550 no\nreply RCPT 1 550 no\ndone RCPT 0 \n" BYE_LOG },
	{ "lone dot refused", { .mails = 1, .recipients = 2 },
	  GROUP "S: 250 ok\nS: 550 no\nS: 550 no\nS: 354 go\nC: .\nS: 554 no\n" BYE,
	  MAILED_LOG "reply RCPT 0 550 no\nreply RCPT 1 550 no\ndone RCPT 0 \n" BYE_LOG },
	{ "DATA refused", { .mails = 2 },
	  DATAED "S: 451 4.3.0 later\nC: RSET\nS: 250 ok\n" NEXT BYE,
	  RCPTED_LOG "reply DATA 451 4.3.0 later\nreply RSET 250 ok\ndone DATA 451 4.3.0 later\n"
	  NEXT_LOG BYE_LOG },
	{ "DATA refused, pipelined", { .mails = 1, .recipients = 2 },
	  GROUP "S: 250 ok\nS: 250 ok\nS: 550 no\nS: 554 no\nC: RSET\nS: 250 ok\n" BYE,
	  RCPTED_LOG "reply RCPT 1 550 no\nreply DATA 554 no\nreply RSET 250 ok\ndone DATA 554 no\n"
	  BYE_LOG },
	{ "end of data refused", { .mails = 2 },
	  SENT "S: 554 5.7.1 spam\n" NEXT BYE,
	  DATAED_LOG "reply end of data 554 5.7.1 spam\ndone end of data 554 5.7.1 spam\n" NEXT_LOG
	  BYE_LOG },
	{ "end of data put off", { .mails = 1 },
	  SENT "S: 451 4.3.0 later\n" BYE,
	  DATAED_LOG "reply end of data 451 4.3.0 later\ndone end of data 451 4.3.0 later\n" BYE_LOG },
	{ "RSET refused", { .mails = 2 },
	  DATAED "S: 451 later\nC: RSET\nS: 500 what\nC: QUIT\n",
	  RCPTED_LOG "reply DATA 451 later\nreply RSET 500 what\ndone DATA 451 later\n"
	  "failed -22 RSET 500 what\n" },
	{ "RSET 334", { .mails = 2 },
	  DATAED "S: 451 later\nC: RSET\nS: 334 what\n",
	  RCPTED_LOG "reply DATA 451 later\nreply RSET 334 what\ndone DATA 451 later\n"
	  "failed -4 RSET 334 what\n" },
	{ "closed instead of RSET", { .mails = 2 },
	  DATAED "S: 451 later\nC: RSET\nCLOSE\n",
	  RCPTED_LOG "reply DATA 451 later\ndone DATA 451 later\nfailed -8 RSET\n" },

	/* --- the end of the connection ------------------------------------------------------- */
	{ "421 to MAIL", { .mails = 1 }, MAILED "S: 421 4.3.2 bye\n",
	  "ready\nreply MAIL 421 4.3.2 bye\nfailed -22 MAIL 421 4.3.2 bye\n" },
	{ "421 to RCPT", { .mails = 1 }, RCPTED "S: 421 bye\n",
	  MAILED_LOG "reply RCPT 0 421 bye\nfailed -22 RCPT 421 bye\n" },
	{ "421 to DATA", { .mails = 1 }, DATAED "S: 421 bye\n",
	  RCPTED_LOG "reply DATA 421 bye\nfailed -22 DATA 421 bye\n" },
	{ "421 to the end of data", { .mails = 1 }, SENT "S: 421 bye\n",
	  DATAED_LOG "reply end of data 421 bye\nfailed -22 end of data 421 bye\n" },
	{ "421 within a group", { .mails = 1, .recipients = 2 },
	  GROUP "S: 250 ok\nS: 550 no\nS: 421 bye\nS: 421 bye\n",
	  MAILED_LOG "reply RCPT 0 550 no\nreply RCPT 1 421 bye\nfailed -22 RCPT 421 bye\n" },
	{ "421 behind a refused MAIL", { .mails = 2, .recipients = 2 },
	  GROUP "S: 550 no\nS: 421 bye\n",
	  "ready\nreply MAIL 550 no\ndone MAIL 550 no\nfailed -22 RCPT 421 bye\n" },
	{ "closed behind a refused MAIL", { .mails = 2, .recipients = 2 },
	  GROUP "S: 550 no\nCLOSE\n",
	  "ready\nreply MAIL 550 no\ndone MAIL 550 no\nfailed -8 RCPT\n" },
	{ "closed after MAIL", { .mails = 1 }, MAILED "CLOSE\n", "ready\nfailed -8 MAIL\n" },
	{ "closed after RCPT", { .mails = 1 }, RCPTED "S~ 25\nCLOSE\n", MAILED_LOG "failed -8 RCPT\n" },
	{ "closed after DATA", { .mails = 1 }, DATAED "CLOSE\n", RCPTED_LOG "failed -8 DATA\n" },
	{ "closed after the end of data", { .mails = 1 }, SENT "S~ 250 o\nCLOSE\n",
	  DATAED_LOG "failed -8 end of data\n" },
	{ "421 when idle", { .mails = 1, .stay = true }, SENT "S: 250 ok\nS: 421 4.4.2 idle\n",
	  TAKEN_LOG "failed -22 command 421 4.4.2 idle\n" },
	{ "250 when idle", { .mails = 1, .stay = true }, SENT "S: 250 ok\nS: 250 ok\n",
	  TAKEN_LOG "failed -4 command 250 ok\n" },
	{ "closed when idle", { .mails = 1, .stay = true }, SENT "S: 250 ok\nCLOSE\n",
	  TAKEN_LOG "failed -8 command\n" },
	{ "421 ahead of the next MAIL", { .mails = 2 }, SENT "S: 250 ok\nS: 421 4.4.2 idle\n",
	  TAKEN_LOG "failed -22 MAIL 421 4.4.2 idle\n" },

	/* --- nonsense ------------------------------------------------------------------------ */
	{ "334 to MAIL", { .mails = 1 }, MAILED "S: 334 what\n",
	  "ready\nreply MAIL 334 what\nfailed -4 MAIL 334 what\n" },
	{ "354 to RCPT", { .mails = 1 }, RCPTED "S: 354 what\n",
	  MAILED_LOG "reply RCPT 0 354 what\nfailed -4 RCPT 354 what\n" },
	{ "250 to DATA", { .mails = 1 }, DATAED "S: 250 what\n",
	  RCPTED_LOG "reply DATA 250 what\nfailed -4 DATA 250 what\n" },
	{ "354 to the end of data", { .mails = 1 }, SENT "S: 354 what\n",
	  DATAED_LOG "reply end of data 354 what\nfailed -4 end of data 354 what\n" },
	{ "no reply at all", { .mails = 1 }, SENT "S: okay\n", DATAED_LOG "failed -4 end of data\n" },
	{ "reply ahead of RCPT", { .mails = 1 }, MAILED "S: 250 ok\nS: 250 ok\n",
	  MAILED_LOG "failed -4 RCPT 250 ok\n" },
	{ "one reply too many in a group", { .mails = 1, .recipients = 2 },
	  GROUP "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nS: 250 queued\n",
	  RCPTED_LOG "reply RCPT 1 250 ok\nreply DATA 354 go\nfailed -4 end of data 250 queued\n" },

	/* --- raw commands, QUIT -------------------------------------------------------------- */
	{ "raw command", { .command = "VRFY  joe" }, PLAIN_EHLO "C: VRFY  joe\nS: 252 perhaps\n" BYE,
	  "ready\nreply command 252 perhaps\n" BYE_LOG },
	{ "two raw commands and a message", { .command = "noop", .second_command = "HELP", .mails = 1 },
	  PLAIN_EHLO NEXT "C: noop\nS: 250 ok\nC: HELP\nS: 214-a\nS: 214 b\n" BYE,
	  "ready\n" NEXT_LOG "reply command 250 ok\nreply command 214 a\nb\n" BYE_LOG },
	{ "raw command refused", { .command = "EXPN list" },
	  PLAIN_EHLO "C: EXPN list\nS: 502 5.5.1 no\n" BYE,
	  "ready\nreply command 502 5.5.1 no\n" BYE_LOG },
	{ "raw command 421", { .command = "NOOP" }, PLAIN_EHLO "C: NOOP\nS: 421 bye\n",
	  "ready\nreply command 421 bye\nfailed -22 command 421 bye\n" },
	{ "raw command, closed", { .command = "NOOP" }, PLAIN_EHLO "C: NOOP\nCLOSE\n",
	  "ready\nfailed -8 command\n" },
	{ "raw command 354", { .command = "TURN", .stay = true }, PLAIN_EHLO "C: TURN\nS: 354 go\n",
	  "ready\nreply command 354 go\nfailed -4 command 354 go\n" },
	{ "raw QUIT", { .command = "QUIT", .stay = true }, PLAIN_EHLO "C: QUIT\nS: 221 bye\n",
	  "ready\nreply command 221 bye\nfinished\n" },
	{ "raw AUTH", { .command = "auth PLAIN AGpvZQBzM2NyZXQ=" },
	  PLAIN_EHLO "C: auth PLAIN AGpvZQBzM2NyZXQ=\nS: 500 what is AGpvZQBzM2NyZXQ=\n" BYE,
	  "ready\nreply command 500 ***\n" BYE_LOG },
	{ "raw AUTH in steps", { .command = "AUTH PLAIN", .second_command = "AGpvZQBzM2NyZXQ=" },
	  PLAIN_EHLO "C: AUTH PLAIN\nS: 334 \nC: AGpvZQBzM2NyZXQ=\nS: 235 ok\n" BYE,
	  "ready\nreply command 334 \nreply command 235 ok\n" BYE_LOG },
	{ "QUIT, closed", { 0 }, PLAIN_EHLO "C: QUIT\nCLOSE\n", "ready\nfinished\n" },
	{ "QUIT refused", { 0 }, PLAIN_EHLO "C: QUIT\nS: 500 what\n",
	  "ready\nreply QUIT 500 what\nfinished\n" },
	{ "QUIT 421", { 0 }, PLAIN_EHLO "C: QUIT\nS: 421 what\n",
	  "ready\nreply QUIT 421 what\nfinished\n" },
};

#endif
