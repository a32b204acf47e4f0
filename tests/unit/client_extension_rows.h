/* SPDX-License-Identifier: ISC */
/* Dialogues of a client session with the extensions of SMTP and with LMTP, as those of
 * client_session_rows.h.
 */
#ifndef TESTS_UNIT_CLIENT_EXTENSION_ROWS_H
#define TESTS_UNIT_CLIENT_EXTENSION_ROWS_H

#include "client_session_rows.h"

#define OFFER(keyword) HELLO "S: 250-hi\nS: 250 " keyword "\n"
#define MAIL_TO_R0 "C: MAIL FROM:<a@b.org>\nS: 250 ok\nC: RCPT TO:<r0@x.org>\nS: 250 ok\n"
#define REST "C: DATA\nS: 354 go\nC: Hello\nC: .\nS: 250 ok\n"
#define REST_LOG "reply DATA 354 go\nreply end of data 250 ok\ndone end of data 250 ok\n"
#define RCPT_REST "S: 250 ok\nC: RCPT TO:<r0@x.org>\nS: 250 ok\n" REST

#define CHUNKS HELLO "S: 250-hi\nS: 250-PIPELINING\nS: 250 CHUNKING\n"
#define ENVELOPE_LOG "ready\nreply MAIL 250 ok\nreply RCPT 0 250 ok\n"
#define LMTP_HELLO "S: 220 hi\nC: LHLO me.example\nS: 250-hi\nS: 250 PIPELINING\n"
#define LMTP_TO_3 \
	"C: MAIL FROM:<a@b.org>\nC: RCPT TO:<r0@x.org>\nC: RCPT TO:<r1@x.org>\n" \
	"C: RCPT TO:<r2@x.org>\n"

#define JO_UMLAUT "j\xc3\xb6@x.org"
#define BOOKS "b\xc3\xbc" "cher.example"

static const struct row extension_rows[] = {
	/* --- CHUNKING, RFC 3030 -------------------------------------------------------------- */
	{ "one chunk, pipelined with the envelope",
	  { .mails = 1, .chunking = true, .content_bytes = 7 },
	  CHUNKS "C: MAIL FROM:<a@b.org>\nC: RCPT TO:<r0@x.org>\nC: BDAT 7 LAST\nC: Hello\n"
	  "S: 250 ok\nS: 250 ok\nS: 250 ok\n" BYE,
	  ENVELOPE_LOG "reply end of data 250 ok\ndone end of data 250 ok\n" BYE_LOG },
	{ "of unknown size: waits for a recipient", { .mails = 1, .chunking = true },
	  CHUNKS "C: MAIL FROM:<a@b.org>\nC: RCPT TO:<r0@x.org>\nS: 250 ok\nS: 250 ok\n"
	  "C: BDAT 7 LAST\nC: Hello\nS: 250 ok\n" BYE,
	  ENVELOPE_LOG "reply end of data 250 ok\ndone end of data 250 ok\n" BYE_LOG },
	{ "of unknown size: nobody gets it", { .mails = 1, .chunking = true },
	  CHUNKS "C: MAIL FROM:<a@b.org>\nC: RCPT TO:<r0@x.org>\nS: 250 ok\nS: 550 no\n"
	  "C: RSET\nS: 250 ok\n" BYE,
	  "ready\nreply MAIL 250 ok\nreply RCPT 0 550 no\nreply RSET 250 ok\n"
	  "done RCPT 0 \n" BYE_LOG },
	{ "one chunk, nobody gets it", { .mails = 2, .chunking = true, .content_bytes = 7 },
	  CHUNKS "C: MAIL FROM:<a@b.org>\nC: RCPT TO:<r0@x.org>\nC: BDAT 7 LAST\nC: Hello\n"
	  "S: 250 ok\nS: 550 no\nS: 503 who\nC: RSET\nS: 250 ok\n"
	  "C: MAIL FROM:<a@b.org>\nC: RCPT TO:<r0@x.org>\nC: BDAT 7 LAST\nC: Hello\n"
	  "S: 250 ok\nS: 250 ok\nS: 250 ok\n" BYE,
	  "ready\nreply MAIL 250 ok\nreply RCPT 0 550 no\nreply RSET 250 ok\ndone RCPT 0 \n"
	  "reply MAIL 250 ok\nreply RCPT 0 250 ok\n"
	  "reply end of data 250 ok\ndone end of data 250 ok\n" BYE_LOG },
	{ "one chunk, MAIL refused", { .mails = 1, .chunking = true, .content_bytes = 7 },
	  CHUNKS "C: MAIL FROM:<a@b.org>\nC: RCPT TO:<r0@x.org>\nC: BDAT 7 LAST\nC: Hello\n"
	  "S: 451 no\nS: 503 no\nS: 503 no\n" BYE,
	  "ready\nreply MAIL 451 no\ndone MAIL 451 no\n" BYE_LOG },
	{ "chunks without pipelining", { .mails = 1, .chunking = true, .content_bytes = 7 },
	  OFFER("CHUNKING") MAIL_TO_R0 "C: BDAT 7 LAST\nC: Hello\nS: 250 ok\n" BYE,
	  ENVELOPE_LOG "reply end of data 250 ok\ndone end of data 250 ok\n" BYE_LOG },
	{ "CHUNKING not wanted", { .mails = 1 }, OFFER("CHUNKING") MAIL_TO_R0 REST BYE,
	  ENVELOPE_LOG REST_LOG BYE_LOG },
	{ "CHUNKING not offered", { .mails = 1, .chunking = true },
	  OFFER("SIZE") MAIL_TO_R0 REST BYE, ENVELOPE_LOG REST_LOG BYE_LOG },
	{ "dots and line ends in a chunk",
	  { .mails = 1, .chunking = true, .content = ".\n..\r\nb\r.\rc", .read_size = 1 },
	  OFFER("CHUNKING") MAIL_TO_R0 "C: BDAT 16 LAST\nC: .\nC: ..\nC: b\nC: .\nC: c\n"
	  "S: 250 ok\n" BYE,
	  ENVELOPE_LOG "reply end of data 250 ok\ndone end of data 250 ok\n" BYE_LOG },
	{ "no content, one empty chunk", { .mails = 1, .chunking = true, .content = "" },
	  OFFER("CHUNKING") MAIL_TO_R0 "C: BDAT 0 LAST\nS: 250 ok\n" BYE,
	  ENVELOPE_LOG "reply end of data 250 ok\ndone end of data 250 ok\n" BYE_LOG },
	{ "last chunk refused", { .mails = 1, .chunking = true },
	  OFFER("CHUNKING") MAIL_TO_R0 "C: BDAT 7 LAST\nC: Hello\nS: 552 5.3.4 no\n"
	  "C: RSET\nS: 250 ok\n" BYE,
	  ENVELOPE_LOG "reply end of data 552 5.3.4 no\nreply RSET 250 ok\n"
	  "done end of data 552 5.3.4 no\n" BYE_LOG },
	{ "chunk answered 354", { .mails = 1, .chunking = true },
	  OFFER("CHUNKING") MAIL_TO_R0 "C: BDAT 7 LAST\nC: Hello\nS: 354 go\n",
	  ENVELOPE_LOG "reply end of data 354 go\nfailed -4 end of data 354 go\n" },
	{ "chunk answered 421", { .mails = 1, .chunking = true },
	  OFFER("CHUNKING") MAIL_TO_R0 "C: BDAT 7 LAST\nC: Hello\nS: 421 no\n",
	  ENVELOPE_LOG "reply end of data 421 no\nfailed -22 end of data 421 no\n" },
	{ "closed behind the last chunk", { .mails = 1, .chunking = true },
	  OFFER("CHUNKING") MAIL_TO_R0 "C: BDAT 7 LAST\nC: Hello\nCLOSE\n",
	  ENVELOPE_LOG "failed -8 end of data\n" },
	{ "content that fails sends no chunk", { .mails = 1, .chunking = true, .read_error = -42 },
	  OFFER("CHUNKING") MAIL_TO_R0, ENVELOPE_LOG "failed -42 content\n" },
	{ "BDAT not known: once more with DATA",
	  { .mails = 2, .chunking = true, .rewinds = true, .to = "<r0@x.org> <r1@x.org>",
	    .results = true },
	  CHUNKS "C: MAIL FROM:<a@b.org>\nC: RCPT TO:<r0@x.org>\nC: RCPT TO:<r1@x.org>\n"
	  "S: 250 ok\nS: 550 no\nS: 250 ok\nC: BDAT 7 LAST\nC: Hello\nS: 502 what\n"
	  "C: RSET\nS: 250 ok\nC: MAIL FROM:<a@b.org>\nC: RCPT TO:<r1@x.org>\nC: DATA\n"
	  "S: 250 ok\nS: 250 ok\nS: 354 go\nC: Hello\nC: .\nS: 250 ok\n"
	  "C: MAIL FROM:<a@b.org>\nC: RCPT TO:<r0@x.org>\nC: RCPT TO:<r1@x.org>\nC: DATA\n"
	  "S: 550 5.1.8 no\nS: 503 no\nS: 503 no\nS: 503 no\n" BYE,
	  "ready\nreply MAIL 250 ok\nreply RCPT 0 550 no\nresult RCPT 0 550 no\n"
	  "reply RCPT 1 250 ok\n"
	  "reply end of data 502 what\nreply RSET 250 ok\nreply MAIL 250 ok\n"
	  "reply RCPT 1 250 ok\nreply DATA 354 go\nreply end of data 250 ok\n"
	  "result end of data 1 250 ok\ndone end of data 250 ok\n"
	  "reply MAIL 550 5.1.8 no\nresult MAIL 0 550 5.1.8 no\nresult MAIL 1 550 5.1.8 no\n"
	  "done MAIL 550 5.1.8 no\n" BYE_LOG },
	{ "BDAT not known, content can't be had again",
	  { .mails = 1, .chunking = true, .rewind_fails = true },
	  CHUNKS "C: MAIL FROM:<a@b.org>\nC: RCPT TO:<r0@x.org>\nS: 250 ok\nS: 250 ok\n"
	  "C: BDAT 7 LAST\nC: Hello\nS: 500 what\nC: RSET\nS: 250 ok\n" BYE,
	  ENVELOPE_LOG "reply end of data 500 what\nreply RSET 250 ok\n"
	  "done end of data 500 what\n" BYE_LOG },
	{ "BDAT not known, no way back", { .mails = 1, .chunking = true },
	  OFFER("CHUNKING") MAIL_TO_R0 "C: BDAT 7 LAST\nC: Hello\nS: 502 what\n"
	  "C: RSET\nS: 250 ok\n" BYE,
	  ENVELOPE_LOG "reply end of data 502 what\nreply RSET 250 ok\n"
	  "done end of data 502 what\n" BYE_LOG },

	/* --- BINARYMIME ---------------------------------------------------------------------- */
	{ "binary body",
	  { .mails = 1, .chunking = true, .binarymime = true, .content = "a\nb\r.\n", .read_size = 2 },
	  HELLO "S: 250-hi\nS: 250-BINARYMIME\nS: 250 CHUNKING\n"
	  "C: MAIL FROM:<a@b.org> BODY=BINARYMIME\nS: 250 ok\nC: RCPT TO:<r0@x.org>\nS: 250 ok\n"
	  "C: BDAT 6 LAST\nRAW a\\nb\\r.\\n\nS: 250 ok\n" BYE,
	  ENVELOPE_LOG "reply end of data 250 ok\ndone end of data 250 ok\n" BYE_LOG },
	{ "binary body, BINARYMIME not offered", { .mails = 1, .chunking = true, .binarymime = true },
	  OFFER("CHUNKING") BYE,
	  "ready\ndone MAIL 554 5.6.3 BINARYMIME is not supported by the server\n" BYE_LOG },
	{ "binary body, CHUNKING not offered", { .mails = 1, .chunking = true, .binarymime = true },
	  OFFER("BINARYMIME") BYE,
	  "ready\ndone MAIL 554 5.6.3 BINARYMIME is not supported by the server\n" BYE_LOG },

	/* --- bare line ends ------------------------------------------------------------------ */
	{ "bare LF refused", { .mails = 1, .refuse_newlines = true, .content = "a\r\nb\nc\r\n" },
	  DATAED "S: 354 go\n", DATAED_LOG "failed -5 content\n" },
	{ "bare CR refused", { .mails = 1, .refuse_newlines = true, .content = "a\rc\r\n" },
	  DATAED "S: 354 go\n", DATAED_LOG "failed -5 content\n" },
	{ "CR at the end refused", { .mails = 1, .refuse_newlines = true, .content = "a\r" },
	  DATAED "S: 354 go\n", DATAED_LOG "failed -5 content\n" },
	{ "good line ends, no last one", { .mails = 1, .refuse_newlines = true, .content = "Hello" },
	  SENT "S: 250 ok\n" BYE, TAKEN_LOG BYE_LOG },
	{ "bare LF refused, no chunk leaves",
	  { .mails = 1, .chunking = true, .refuse_newlines = true, .content = "a\n" },
	  OFFER("CHUNKING") MAIL_TO_R0, ENVELOPE_LOG "failed -5 content\n" },

	/* --- parameters ---------------------------------------------------------------------- */
	{ "8BITMIME", { .mails = 1, .body_8bitmime = true },
	  OFFER("8BITMIME") "C: MAIL FROM:<a@b.org> BODY=8BITMIME\n" RCPT_REST BYE,
	  ENVELOPE_LOG REST_LOG BYE_LOG },
	{ "DSN", { .mails = 1, .ret = SMTP_DSN_RETURN_HEADERS, .envid = "a+b=c d",
		   .notify = SMTP_DSN_NOTIFY_SUCCESS | SMTP_DSN_NOTIFY_DELAY,
		   .orcpt = "rfc822;\"a+b\"@x.org" },
	  OFFER("DSN") "C: MAIL FROM:<a@b.org> RET=HDRS ENVID=a+2Bb+3Dc+20d\nS: 250 ok\n"
	  "C: RCPT TO:<r0@x.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;\"a+2Bb\"@x.org\nS: 250 ok\n"
	  REST BYE, ENVELOPE_LOG REST_LOG BYE_LOG },
	{ "DSN, never", { .mails = 1, .ret = SMTP_DSN_RETURN_FULL,
			  .notify = SMTP_DSN_NOTIFY_NEVER },
	  OFFER("DSN") "C: MAIL FROM:<a@b.org> RET=FULL\nS: 250 ok\n"
	  "C: RCPT TO:<r0@x.org> NOTIFY=NEVER\nS: 250 ok\n" REST BYE,
	  ENVELOPE_LOG REST_LOG BYE_LOG },
	{ "DSN, an address in UTF-8", { .mails = 1, .notify = SMTP_DSN_NOTIFY_FAILURE,
					.orcpt = "utf-8;j\xc3\xb6 +@\xf0\x9f\x98\x80.org" },
	  OFFER("DSN") "C: MAIL FROM:<a@b.org>\nS: 250 ok\n"
	  "C: RCPT TO:<r0@x.org> NOTIFY=FAILURE ORCPT=utf-8;j\\x{F6}\\x{20}\\x{2B}@\\x{1F600}.org\n"
	  "S: 250 ok\n" REST BYE, ENVELOPE_LOG REST_LOG BYE_LOG },
	{ "DSN not offered", { .mails = 1, .ret = SMTP_DSN_RETURN_FULL, .envid = "x",
			       .notify = SMTP_DSN_NOTIFY_NEVER, .orcpt = "rfc822;a@b.org" },
	  OFFER("SIZE") MAIL_TO_R0 REST BYE, ENVELOPE_LOG REST_LOG BYE_LOG },
	{ "AUTH of the submitter", { .mails = 1, .auth = "j=o@x.org" },
	  OFFER("AUTH PLAIN") "C: MAIL FROM:<a@b.org> AUTH=j+3Do@x.org\n" RCPT_REST BYE,
	  ENVELOPE_LOG REST_LOG BYE_LOG },
	{ "AUTH of nobody", { .mails = 1, .auth = "<>" },
	  OFFER("AUTH PLAIN") "C: MAIL FROM:<a@b.org> AUTH=<>\n" RCPT_REST BYE,
	  ENVELOPE_LOG REST_LOG BYE_LOG },
	{ "AUTH not offered", { .mails = 1, .auth = "<>" },
	  OFFER("SIZE") MAIL_TO_R0 REST BYE, ENVELOPE_LOG REST_LOG BYE_LOG },
	{ "REQUIRETLS", { .mails = 1, .tls = SMTP_CLIENT_TLS_IMPLICIT, .require_tls = true },
	  OFFER("REQUIRETLS") "C: MAIL FROM:<a@b.org> REQUIRETLS\n" RCPT_REST BYE,
	  ENVELOPE_LOG REST_LOG BYE_LOG },
	{ "REQUIRETLS without TLS", { .mails = 1, .require_tls = true }, OFFER("REQUIRETLS") BYE,
	  "ready\ndone MAIL 550 5.7.30 REQUIRETLS is not supported by the server\n" BYE_LOG },
	{ "REQUIRETLS not offered",
	  { .mails = 1, .tls = SMTP_CLIENT_TLS_IMPLICIT, .require_tls = true }, OFFER("SIZE") BYE,
	  "ready\ndone MAIL 550 5.7.30 REQUIRETLS is not supported by the server\n" BYE_LOG },

	/* --- SMTPUTF8, RFC 6531 -------------------------------------------------------------- */
	{ "SMTPUTF8 not needed", { .mails = 1 }, OFFER("SMTPUTF8") MAIL_TO_R0 REST BYE,
	  ENVELOPE_LOG REST_LOG BYE_LOG },
	{ "SMTPUTF8 for a recipient", { .mails = 1, .to = "<r0@x.org> <" JO_UMLAUT ">" },
	  HELLO "S: 250-hi\nS: 250-8BITMIME\nS: 250 SMTPUTF8\n"
	  "C: MAIL FROM:<a@b.org> BODY=8BITMIME SMTPUTF8\nS: 250 ok\n"
	  "C: RCPT TO:<r0@x.org>\nS: 250 ok\nC: RCPT TO:<" JO_UMLAUT ">\nS: 250 ok\n" REST BYE,
	  ENVELOPE_LOG "reply RCPT 1 250 ok\n" REST_LOG BYE_LOG },
	{ "SMTPUTF8 for the sender", { .mails = 1, .from = "<" JO_UMLAUT ">" },
	  OFFER("SMTPUTF8") "C: MAIL FROM:<" JO_UMLAUT "> SMTPUTF8\n" RCPT_REST BYE,
	  ENVELOPE_LOG REST_LOG BYE_LOG },
	{ "SMTPUTF8 for the content", { .mails = 1, .smtputf8 = true },
	  OFFER("SMTPUTF8") "C: MAIL FROM:<a@b.org> SMTPUTF8\n" RCPT_REST BYE,
	  ENVELOPE_LOG REST_LOG BYE_LOG },
	{ "SMTPUTF8 for a domain without A-labels", { .mails = 1, .from = "<a@" BOOKS ">" },
	  OFFER("SMTPUTF8") "C: MAIL FROM:<a@" BOOKS "> SMTPUTF8\n" RCPT_REST BYE,
	  ENVELOPE_LOG REST_LOG BYE_LOG },
	{ "A-labels do without SMTPUTF8",
	  { .mails = 1, .from = "<a@" BOOKS ">", .to = "<b@" BOOKS ">", .to_ascii = true },
	  OFFER("SMTPUTF8") "C: MAIL FROM:<a@xn--bcher-kva.example>\nS: 250 ok\n"
	  "C: RCPT TO:<b@xn--bcher-kva.example>\nS: 250 ok\n" REST BYE,
	  ENVELOPE_LOG REST_LOG BYE_LOG },
	{ "A-labels to a server without SMTPUTF8",
	  { .mails = 1, .from = "<a@" BOOKS ">", .to = "<b@" BOOKS ">", .to_ascii = true },
	  OFFER("SIZE") "C: MAIL FROM:<a@xn--bcher-kva.example>\nS: 250 ok\n"
	  "C: RCPT TO:<b@xn--bcher-kva.example>\nS: 250 ok\n" REST BYE,
	  ENVELOPE_LOG REST_LOG BYE_LOG },
	{ "recipients who need SMTPUTF8 to a server without it",
	  { .mails = 1, .to = "<" JO_UMLAUT "> <r0@x.org> <a@" BOOKS ">", .results = true },
	  PIPE_EHLO "C: MAIL FROM:<a@b.org>\nC: RCPT TO:<r0@x.org>\nC: DATA\nS: 250 ok\n"
	  "S: 250 ok\nS: 354 go\nC: Hello\nC: .\nS: 250 ok\n" BYE,
	  "ready\n"
	  "reply RCPT 0 553 5.6.7 the address needs SMTPUTF8, which the server does not offer\n"
	  "result RCPT 0 553 5.6.7 the address needs SMTPUTF8, which the server does not offer\n"
	  "reply RCPT 2 553 5.6.7 the address needs SMTPUTF8, which the server does not offer\n"
	  "result RCPT 2 553 5.6.7 the address needs SMTPUTF8, which the server does not offer\n"
	  "reply MAIL 250 ok\nreply RCPT 1 250 ok\nreply DATA 354 go\nreply end of data 250 ok\n"
	  "result end of data 1 250 ok\ndone end of data 250 ok\n" BYE_LOG },
	{ "nobody can be sent to without SMTPUTF8", { .mails = 2, .to = "<" JO_UMLAUT ">" },
	  PLAIN_EHLO BYE,
	  "ready\n"
	  "reply RCPT 0 553 5.6.7 the address needs SMTPUTF8, which the server does not offer\n"
	  "done RCPT 0 \n"
	  "reply RCPT 0 553 5.6.7 the address needs SMTPUTF8, which the server does not offer\n"
	  "done RCPT 0 \n" BYE_LOG },
	{ "a sender who needs SMTPUTF8 to a server without it",
	  { .mails = 1, .from = "<" JO_UMLAUT ">", .results = true }, PLAIN_EHLO BYE,
	  "ready\n"
	  "result MAIL 0 550 5.6.7 the sender needs SMTPUTF8, which the server does not offer\n"
	  "done MAIL 550 5.6.7 the sender needs SMTPUTF8, which the server does not offer\n"
	  BYE_LOG },
	{ "content that needs SMTPUTF8 to a server without it", { .mails = 1, .smtputf8 = true },
	  PLAIN_EHLO BYE,
	  "ready\ndone MAIL 550 5.6.7 the message needs SMTPUTF8, which the server does not offer\n"
	  BYE_LOG },

	/* --- LIMITS, RFC 9422 ---------------------------------------------------------------- */
	{ "RCPTMAX", { .mails = 1, .to = "<r0@x.org> <r1@x.org> <r2@x.org>" },
	  OFFER("LIMITS FOO=1 rcptmax=2") MAIL_TO_R0 "C: RCPT TO:<r1@x.org>\nS: 250 ok\n" REST BYE,
	  "ready\nreply RCPT 2 452 4.5.3 more recipients than the server takes at once\n"
	  "reply MAIL 250 ok\nreply RCPT 0 250 ok\nreply RCPT 1 250 ok\n" REST_LOG BYE_LOG },
	{ "RCPTDOMAINMAX", { .mails = 1, .to = "<r0@x.org> <r1@y.org> <r1@X.org>" },
	  OFFER("LIMITS RCPTDOMAINMAX=1") MAIL_TO_R0 "C: RCPT TO:<r1@X.org>\nS: 250 ok\n" REST BYE,
	  "ready\nreply RCPT 1 452 4.5.3 more recipients than the server takes at once\n"
	  "reply MAIL 250 ok\nreply RCPT 0 250 ok\nreply RCPT 2 250 ok\n" REST_LOG BYE_LOG },
	{ "MAILMAX", { .mails = 2 }, OFFER("LIMITS MAILMAX=1") MAIL_TO_R0 REST BYE,
	  ENVELOPE_LOG REST_LOG
	  "done MAIL 452 4.5.3 more messages than the server takes in one session\n" BYE_LOG },
	{ "limits that are none", { .mails = 2, .to = "<r0@x.org> <r1@x.org>" },
	  OFFER("LIMITS MAILMAX= RCPTMAX=x RCPTDOMAINMAX=0") MAIL_TO_R0
	  "C: RCPT TO:<r1@x.org>\nS: 250 ok\n" REST "C: MAIL FROM:<a@b.org>\nS: 451 no\n" BYE,
	  ENVELOPE_LOG "reply RCPT 1 250 ok\n" REST_LOG
	  "reply MAIL 451 no\ndone MAIL 451 no\n" BYE_LOG },

	/* --- STARTTLS on demand -------------------------------------------------------------- */
	{ "STARTTLS on demand", { .starttls = true, .mails = 1 },
	  OFFER("STARTTLS") "C: STARTTLS\nS: 220 go\nTLS\nC: EHLO me.example\nS: 250 hi\n" NEXT BYE,
	  "ready\nreply STARTTLS 220 go\nready\n" NEXT_LOG BYE_LOG },
	{ "STARTTLS on demand, refused", { .starttls = true, .stay = true },
	  OFFER("STARTTLS") "C: STARTTLS\nS: 454 4.7.0 no\n",
	  "ready\nreply STARTTLS 454 4.7.0 no\n" },
	{ "STARTTLS on demand, octets behind it", { .starttls = true },
	  OFFER("STARTTLS") "C: STARTTLS\nS: 220 go\nS: 250 ok\n",
	  "ready\nreply STARTTLS 220 go\nfailed -4 STARTTLS\n" },

	/* --- LMTP, RFC 2033 ------------------------------------------------------------------ */
	{ "LMTP, a reply for each", { .lmtp = true, .mails = 1, .recipients = 3, .results = true },
	  LMTP_HELLO LMTP_TO_3 "S: 250 ok\nS: 250 ok\nS: 550 no\nS: 250 ok\nC: DATA\nS: 354 go\n"
	  "C: Hello\nC: .\nS: 250 2.1.5 zero\nS: 452 4.2.2 two\n" BYE,
	  "ready\nreply MAIL 250 ok\nreply RCPT 0 250 ok\nreply RCPT 1 550 no\n"
	  "result RCPT 1 550 no\nreply RCPT 2 250 ok\nreply DATA 354 go\n"
	  "reply end of data 0 250 2.1.5 zero\nresult end of data 0 250 2.1.5 zero\n"
	  "reply end of data 2 452 4.2.2 two\nresult end of data 2 452 4.2.2 two\n"
	  "done end of data 452 4.2.2 two\n" BYE_LOG },
	{ "LMTP, the first is refused", { .lmtp = true, .mails = 2, .recipients = 3, .results = true },
	  LMTP_HELLO LMTP_TO_3 "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nC: DATA\nS: 354 go\n"
	  "C: Hello\nC: .\nS: 552 no\nS: 250 yes\nS: 250 yes\n"
	  LMTP_TO_3 "S: 451 no\nS: 503 no\nS: 503 no\nS: 503 no\n" BYE,
	  "ready\nreply MAIL 250 ok\nreply RCPT 0 250 ok\nreply RCPT 1 250 ok\n"
	  "reply RCPT 2 250 ok\nreply DATA 354 go\n"
	  "reply end of data 0 552 no\nresult end of data 0 552 no\n"
	  "reply end of data 1 250 yes\nresult end of data 1 250 yes\n"
	  "reply end of data 2 250 yes\nresult end of data 2 250 yes\n"
	  "done end of data 552 no\n"
	  "reply MAIL 451 no\nresult MAIL 0 451 no\nresult MAIL 1 451 no\nresult MAIL 2 451 no\n"
	  "done MAIL 451 no\n" BYE_LOG },
	{ "LMTP, lost between two replies",
	  { .lmtp = true, .mails = 1, .recipients = 3, .results = true },
	  LMTP_HELLO LMTP_TO_3 "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nC: DATA\nS: 354 go\n"
	  "C: Hello\nC: .\nS: 250 yes\nCLOSE\n",
	  "ready\nreply MAIL 250 ok\nreply RCPT 0 250 ok\nreply RCPT 1 250 ok\n"
	  "reply RCPT 2 250 ok\nreply DATA 354 go\n"
	  "reply end of data 0 250 yes\nresult end of data 0 250 yes\nfailed -8 end of data\n" },
	{ "LMTP, nobody gets it", { .lmtp = true, .mails = 1, .recipients = 3 },
	  LMTP_HELLO LMTP_TO_3 "S: 250 ok\nS: 550 no\nS: 550 no\nS: 550 no\nC: RSET\nS: 250 ok\n" BYE,
	  "ready\nreply MAIL 250 ok\nreply RCPT 0 550 no\nreply RCPT 1 550 no\n"
	  "reply RCPT 2 550 no\nreply RSET 250 ok\ndone RCPT 0 \n" BYE_LOG },
	{ "LMTP, DATA refused", { .lmtp = true, .mails = 1, .results = true },
	  LMTP_HELLO "C: MAIL FROM:<a@b.org>\nC: RCPT TO:<r0@x.org>\nS: 250 ok\nS: 250 ok\nC: DATA\n"
	  "S: 451 no\nC: RSET\nS: 250 ok\n" BYE,
	  ENVELOPE_LOG "reply DATA 451 no\nreply RSET 250 ok\nresult DATA 0 451 no\n"
	  "done DATA 451 no\n" BYE_LOG },
	{ "LMTP, in a chunk", { .lmtp = true, .mails = 1, .recipients = 3, .chunking = true,
				.content_bytes = 7, .results = true },
	  "S: 220 hi\nC: LHLO me.example\nS: 250-hi\nS: 250-CHUNKING\nS: 250 PIPELINING\n"
	  LMTP_TO_3 "S: 250 ok\nS: 550 no\nS: 250 ok\nS: 250 ok\nC: BDAT 7 LAST\nC: Hello\n"
	  "S: 250 yes\nS: 250 yes\n" BYE,
	  "ready\nreply MAIL 250 ok\nreply RCPT 0 550 no\nresult RCPT 0 550 no\n"
	  "reply RCPT 1 250 ok\nreply RCPT 2 250 ok\n"
	  "reply end of data 1 250 yes\nresult end of data 1 250 yes\n"
	  "reply end of data 2 250 yes\nresult end of data 2 250 yes\n"
	  "done end of data 250 yes\n" BYE_LOG },
	{ "LMTP, BDAT not known", { .lmtp = true, .mails = 1, .recipients = 2, .chunking = true,
				    .rewinds = true, .results = true },
	  "S: 220 hi\nC: LHLO me.example\nS: 250-hi\nS: 250-CHUNKING\nS: 250 PIPELINING\n"
	  "C: MAIL FROM:<a@b.org>\nC: RCPT TO:<r0@x.org>\nC: RCPT TO:<r1@x.org>\nS: 250 ok\n"
	  "S: 250 ok\nS: 250 ok\nC: BDAT 7 LAST\nC: Hello\nS: 500 what\nC: RSET\nS: 250 ok\n"
	  "C: MAIL FROM:<a@b.org>\nC: RCPT TO:<r0@x.org>\nC: RCPT TO:<r1@x.org>\nS: 250 ok\n"
	  "S: 250 ok\nS: 250 ok\nC: DATA\nS: 354 go\nC: Hello\nC: .\nS: 250 yes\nS: 552 no\n" BYE,
	  ENVELOPE_LOG "reply RCPT 1 250 ok\nreply end of data 0 500 what\nreply RSET 250 ok\n"
	  "reply MAIL 250 ok\nreply RCPT 0 250 ok\nreply RCPT 1 250 ok\nreply DATA 354 go\n"
	  "reply end of data 0 250 yes\nresult end of data 0 250 yes\n"
	  "reply end of data 1 552 no\nresult end of data 1 552 no\n"
	  "done end of data 552 no\n" BYE_LOG },
	{ "LMTP, one reply too many", { .lmtp = true, .mails = 1, .stay = true },
	  LMTP_HELLO "C: MAIL FROM:<a@b.org>\nC: RCPT TO:<r0@x.org>\nS: 250 ok\nS: 250 ok\nC: DATA\n"
	  "S: 354 go\nC: Hello\nC: .\nS: 250 yes\nS: 250 yes\n",
	  ENVELOPE_LOG "reply DATA 354 go\nreply end of data 0 250 yes\n"
	  "done end of data 250 yes\nfailed -4 command 250 yes\n" },
	{ "LMTP, no HELO", { .lmtp = true }, "S: 220 hi\nC: LHLO me.example\nS: 500 no\nC: QUIT\n",
	  "failed -22 EHLO 500 no\n" },
};

#endif
