/* SPDX-License-Identifier: ISC */
/* client_session_private.h - the inside of a client session, shared by client_session.c (life, octets,
 * time, the two cursors), client_steps.c (the table of steps, set-up), client_transaction.c (its parts
 * and outcome), client_envelope.c (MAIL, RCPT), client_content.c (DATA, BDAT, RSET), client_auth.c,
 * client_work.c and client_trace.c. Nobody else includes it.
 */
#ifndef SMTP_CORE_CLIENT_SESSION_PRIVATE_H
#define SMTP_CORE_CLIENT_SESSION_PRIVATE_H

#include <smtp/client_session.h>
#include "libsmtp/core/buf.h"
#include "libsmtp/core/data.h"
#include "libsmtp/core/reply_parser.h"
#include "libsmtp/core/sasl.h"

enum {
	CLIENT_OUTPUT_FULL = 16384, /* no more is put in front of the driver at once */
	CLIENT_OUTPUT_MAX = CLIENT_OUTPUT_FULL + 4096, /* one more command line fits always */
	CLIENT_READ_SIZE = 8192 /* content asked for at once */
};

enum client_state {
	CLIENT_NEW,        /* before start() */
	CLIENT_BUSY,       /* the cursors are on their way */
	CLIENT_TLS_WANTED, /* STARTTLS was answered 220 */
	CLIENT_IDLE,       /* set up, nothing under way */
	CLIENT_FINISHED,
	CLIENT_FAILED
};

enum client_job { CLIENT_JOB_NONE, CLIENT_JOB_MAIL, CLIENT_JOB_COMMAND, CLIENT_JOB_STARTTLS,
		  CLIENT_JOB_AUTH };

/* A place in the list of steps; index counts the repetitions of RCPT and BDAT. */
struct client_cursor {
	enum smtp_client_step step;
	size_t index;
};

/* One step: what is sent, and what its answer leads to. */
struct client_step {
	const char *name;
	/* Puts the command into the output; an error ends the session. NULL: nothing is sent. */
	int (*send)(struct smtp_client_session *s, size_t index);
	/* The answer to it; codes 421 and those of no meaning have been dealt with. */
	void (*reply)(struct smtp_client_session *s, size_t index, const struct smtp_reply *reply);
	enum smtp_client_step next;
	bool joins_group; /* may be sent before the step ahead of it is answered (RFC 2920, 3.1) */
};

/* Was it a no? 3yz is neither yes nor no. */
static inline bool client_is_refusal(const struct smtp_reply *reply)
{
	return smtp_reply_is_transient(reply) || smtp_reply_is_permanent(reply);
}

/* What ended a transaction; kept until all that was sent has been answered. */
struct client_outcome {
	bool known;
	enum smtp_client_step step;
	struct smtp_reply reply; /* text borrows from `text` */
	struct smtp_buf text;
};

enum client_recipient_state {
	CLIENT_RECIPIENT_DUE,
	CLIENT_RECIPIENT_ACCEPTED,
	CLIENT_RECIPIENT_SETTLED /* its result was told */
};

struct client_recipient {
	struct smtp_path path;
	enum client_recipient_state state;
	unsigned notify;
	struct smtp_buf orcpt; /* encoded */
};

/* All of one transaction; released by one function. */
struct client_transaction {
	struct smtp_path reverse_path;
	struct client_recipient *recipients;
	size_t count;
	uint64_t content_bytes;
	enum smtp_body_kind body;
	bool smtputf8; /* asked for, or found to be needed */
	bool require_tls;
	bool refuse_bare_newlines;
	enum smtp_dsn_return ret;
	char *envid;
	char *auth;
	struct smtp_client_content content;
	struct smtp_data_encoder encoder;
	struct smtp_buf raw; /* read, not yet encoded */
	size_t accepted;     /* recipients */
	bool open;           /* MAIL was accepted, so the server holds a transaction */
	bool chunked;        /* BDAT, not DATA */
	bool again;          /* the server does not know BDAT after all: once more with DATA */
	bool sending;        /* a chunk, or the end of data, is not flushed yet */
	bool complete;       /* the end of data is in the output */
	size_t last_chunk;   /* its index, when complete */
	bool content_due;    /* 354 was said: no way out but the end of data */
	struct client_outcome outcome;
};

struct client_login {
	struct smtp_buf user;
	struct smtp_buf password;
	struct smtp_buf token;
	struct smtp_buf other;  /* authorization id */
	struct smtp_buf secret; /* what was sent last, to keep an echo of it out of sight */
	struct smtp_sasl_client exchange;
	unsigned round;   /* lines sent */
	bool has_password;
	bool initial_due; /* the server may still ask for the initial response */
	bool cancelled;
};

struct smtp_client_session {
	struct smtp_client_session_options options; /* its pointers are NULL after new() */
	struct smtp_client_session_handler handler;
	void *user;
	char helo_name[SMTP_DOMAIN_MAX + 1];

	enum client_state state;
	int error;
	struct client_cursor send_at;
	struct client_cursor reply_at;
	size_t outstanding; /* commands in the output or sent, not answered */
	size_t flushed;     /* how many of these have left: only they can be answered */

	struct smtp_buf out;
	struct smtp_reply_parser parser;
	bool timer_runs;
	uint64_t timer_from_ms;

	bool has_tls;
	struct smtp_channel channel;
	struct smtp_extensions extensions;
	struct smtp_buf ehlo_text; /* of the reply to EHLO */
	uint64_t mails; /* transactions begun in this session */
	struct client_login login;

	enum client_job job;
	bool quit_asked;
	struct client_transaction txn;
	struct smtp_buf command;
	bool command_secret;  /* the command at hand is not shown in the trace */
	bool challenged;      /* a raw command was answered 334: the next line may be a secret */
};

/* client_session.c */

bool smtp_client_is_over(const struct smtp_client_session *s);
/** Sets both cursors: only when nothing is outstanding. */
void smtp_client_go_to(struct smtp_client_session *s, enum smtp_client_step step);
/** The work at hand is done; what was asked for meanwhile begins with the next output. */
void smtp_client_become_idle(struct smtp_client_session *s);
/** Ends the session; the first one counts. */
void smtp_client_end(struct smtp_client_session *s, int error, enum smtp_client_step step,
		     const struct smtp_reply *reply);
/** The same, with a QUIT that nobody waits for: the server is sane, only the work is not possible. */
void smtp_client_give_up(struct smtp_client_session *s, int error, enum smtp_client_step step,
			 const struct smtp_reply *reply);
void smtp_client_finish(struct smtp_client_session *s);
/** Puts one command line, made of `parts` and CRLF, into the output; traced as `shown`, or as it is when
 *  that is NULL. */
SMTP_MUST_USE int smtp_client_put(struct smtp_client_session *s, const struct smtp_span *parts,
				  size_t count, const char *shown);

/* client_trace.c */

void smtp_client_trace_reply(struct smtp_client_session *s, const struct smtp_reply *reply);
void smtp_client_trace_sent(struct smtp_client_session *s, struct smtp_span line);

/* client_steps.c */

const struct client_step *smtp_client_step_of(enum smtp_client_step step);
/** The place behind `at`. */
struct client_cursor smtp_client_cursor_next(const struct smtp_client_session *s,
					     struct client_cursor at);
/** Puts "EHLO me.example" and the like. */
SMTP_MUST_USE int smtp_client_put_words(struct smtp_client_session *s, const char *verb,
					const char *argument);
/** The last part of set-up was done. */
void smtp_client_set_up(struct smtp_client_session *s);

/* client_auth.c */

SMTP_MUST_USE int smtp_client_login_init(struct client_login *login,
					 const struct smtp_client_session_options *options);
void smtp_client_login_wipe(struct client_login *login);
/** Begins the AUTH that was asked for later. */
void smtp_client_auth_on_demand(struct smtp_client_session *s);
/** Begins AUTH, or ends the session when it must not or can't be. */
void smtp_client_auth_begin(struct smtp_client_session *s);
int smtp_client_auth_send(struct smtp_client_session *s, size_t index);
void smtp_client_auth_reply(struct smtp_client_session *s, size_t index,
			    const struct smtp_reply *reply);
/** Takes the text out of a reply that repeats what was a secret. */
void smtp_client_auth_mask(const struct smtp_client_session *s, struct smtp_reply *reply);

/* client_transaction.c */

SMTP_MUST_USE int smtp_client_transaction_copy(struct client_transaction *out,
					       const struct smtp_client_transaction *in);
void smtp_client_transaction_release(struct client_transaction *txn);
/** Begins the one that was given to mail(). */
void smtp_client_transaction_begin(struct smtp_client_session *s);
/** What ends the transaction; the first one counts. */
void smtp_client_transaction_set_outcome(struct client_transaction *txn, enum smtp_client_step step,
					 const struct smtp_reply *reply);
/** Tells the result of one recipient, unless it was told. */
void smtp_client_transaction_settle(struct smtp_client_session *s, size_t index,
				    enum smtp_client_step step, const struct smtp_reply *reply);
/** Calls transaction_done and forgets the transaction; the session has its next state already. */
void smtp_client_transaction_report(struct smtp_client_session *s);
/** After each answer: is the outcome known and nothing left to be answered? */
void smtp_client_transaction_check(struct smtp_client_session *s);
/** Is this answer only the echo of a refusal that was told before? Then no recipient is settled by it. */
bool smtp_client_transaction_is_echo(const struct smtp_client_session *s,
				     enum smtp_client_step step);
/** The first recipient from `index` on in that state; `count` if there is none. */
size_t smtp_client_recipient_find(const struct client_transaction *txn, size_t index,
				  enum client_recipient_state state);

/* client_envelope.c */

/** Can the path be sent by anybody? UTF-8 is fine. */
bool smtp_client_path_is_sendable(const struct smtp_path *path);
/** "rfc822;bob@example.org" as the value of ORCPT (RFC 3461, 4.2; RFC 6533, 3). SMTP_EINVAL. */
SMTP_MUST_USE int smtp_client_orcpt_encode(struct smtp_buf *out, const char *orcpt);
/** What is known to fail before anything is sent gets its outcome here: the whole, or recipients. */
void smtp_client_envelope_prepare(struct smtp_client_session *s);
int smtp_client_mail_send(struct smtp_client_session *s, size_t index);
int smtp_client_rcpt_send(struct smtp_client_session *s, size_t index);
void smtp_client_mail_reply(struct smtp_client_session *s, size_t index,
			    const struct smtp_reply *reply);
void smtp_client_rcpt_reply(struct smtp_client_session *s, size_t index,
			    const struct smtp_reply *reply);

/* client_content.c */

/** Encodes content until the output is full or the end of data is in it. Returns an error of the source. */
SMTP_MUST_USE int smtp_client_content_pull(struct smtp_client_session *s);
/** May the next chunk leave before what is ahead of it was answered? */
bool smtp_client_chunk_joins_group(const struct smtp_client_session *s, size_t index);
/** Do more replies belong to the same command? LMTP has one for each accepted recipient. */
bool smtp_client_end_has_more(const struct smtp_client_session *s, struct client_cursor at,
			      const struct smtp_reply *reply);
int smtp_client_data_send(struct smtp_client_session *s, size_t index);
int smtp_client_bdat_send(struct smtp_client_session *s, size_t index);
int smtp_client_end_send(struct smtp_client_session *s, size_t index);
int smtp_client_rset_send(struct smtp_client_session *s, size_t index);
void smtp_client_data_reply(struct smtp_client_session *s, size_t index,
			    const struct smtp_reply *reply);
void smtp_client_bdat_reply(struct smtp_client_session *s, size_t index,
			    const struct smtp_reply *reply);
void smtp_client_end_reply(struct smtp_client_session *s, size_t index,
			   const struct smtp_reply *reply);
void smtp_client_rset_reply(struct smtp_client_session *s, size_t index,
			    const struct smtp_reply *reply);

#endif
