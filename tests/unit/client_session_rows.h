/* SPDX-License-Identifier: ISC */
/* The dialogues of test_client_session.c, which explains them. Not a header for anybody else. */

static const struct row rows[] = {
	{ "nothing to do", { 0 }, PLAIN_EHLO BYE, "ready\n" BYE_LOG },
	{ "one message, step by step", { .mails = 1 },
	  PLAIN_EHLO
	  "C: MAIL FROM:<a@b.org>\nS: 250 2.1.0 ok\n"
	  "C: RCPT TO:<r0@x.org>\nS: 250 2.1.5 ok\n"
	  "C: DATA\nS: 354 go\n"
	  "C: Hello\nC: .\nS: 250 2.0.0 queued\n" BYE,
	  "ready\nreply MAIL 250 2.1.0 ok\nreply RCPT 0 250 2.1.5 ok\nreply DATA 354 go\n"
	  "reply end of data 250 2.0.0 queued\ndone end of data 250 2.0.0 queued\n" BYE_LOG },
	{ "one message, pipelined", { .mails = 1, .recipients = 3 },
	  PIPE_EHLO
	  "C: MAIL FROM:<a@b.org>\nC: RCPT TO:<r0@x.org>\nC: RCPT TO:<r1@x.org>\n"
	  "C: RCPT TO:<r2@x.org>\nC: DATA\n"
	  "S: 250 ok\nS: 250 ok\nS: 550 5.1.1 no\nS: 251 forward\nS: 354 go\n"
	  "C: Hello\nC: .\nS: 250 queued\n" BYE,
	  "ready\nreply MAIL 250 ok\nreply RCPT 0 250 ok\nreply RCPT 1 550 5.1.1 no\n"
	  "reply RCPT 2 251 forward\nreply DATA 354 go\n"
	  "reply end of data 250 queued\ndone end of data 250 queued\n" BYE_LOG },
};
