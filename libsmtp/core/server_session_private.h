/* SPDX-License-Identifier: ISC */
/* server_session_private.h - what the files of the server session share: its struct, and who does
 * what. server_session.c: life, input, output, time; server_getters.c: questions. server_phases.c: the
 * chain of handlers. server_reply.c, server_results.c: replies going out. server_peer.c: who is at the
 * other end. All others: the commands, each check -> decide (a phase) -> proceed.
 */
#ifndef SMTP_CORE_SERVER_SESSION_PRIVATE_H
#define SMTP_CORE_SERVER_SESSION_PRIVATE_H

#include <smtp/server_session.h>

#include "libsmtp/core/buf.h"
#include "libsmtp/core/chunk.h"
#include "libsmtp/core/command.h"
#include "libsmtp/core/data.h"
#include "libsmtp/core/line.h"
#include "libsmtp/core/sasl.h"
#include "libsmtp/core/span.h"

enum {
	SERVER_HANDLERS_MAX = 16,
	SERVER_OUTPUT_PAUSE = 32768,    /* above this no input is taken until the peer has read */
	SERVER_OUTPUT_MAX = 65536,
	SERVER_REPLY_TEXT_MAX = 3000,   /* of one reply; the rest is cut off */
	SERVER_REPLY_LINES_MAX = 100,   /* likewise */
	SERVER_RESULT_TEXT_MAX = 400,   /* of the reply for one recipient */
	SERVER_CONTENT_RUN_MAX = 65536, /* octets of content handed to a handler at once */
	SERVER_LINGER_MS = 30000,       /* for the peer to read the last reply */
	SERVER_TLS_DESCRIPTION_MAX = 80,
	SERVER_FIELDS_MAX = 65536
};

/* Beside those of enum smtp_server_extension: what other options and the connection decide. */
enum {
	SERVER_EXTENSION_STARTTLS = 1 << 28,
	SERVER_EXTENSION_AUTH = 1 << 29,
	SERVER_EXTENSION_XCLIENT = 1 << 30,
	SERVER_EXTENSION_NONE = 1 << 25, /* never */
	SERVER_EXTENSION_SMTP = 1 << 26, /* the protocol itself */
	SERVER_EXTENSION_LMTP = 1 << 27
};

enum server_state {
	SERVER_NEW,     /* before start() */
	SERVER_CONNECT, /* the connect phase; no greeting yet */
	SERVER_GREETED, /* no HELO or EHLO yet */
	SERVER_READY,
	SERVER_MAIL,    /* a transaction without recipients */
	SERVER_RCPT,    /* a transaction with recipients */
	SERVER_AUTH,    /* the next line is a SASL response */
	SERVER_CONTENT, /* from 354 to the reply after the end of data */
	SERVER_BDAT,    /* between two chunks of a message */
	SERVER_CHUNK,   /* in a chunk, up to the reply to it */
	SERVER_TLS,     /* from the 220 of STARTTLS to the end of the handshake */
	SERVER_CLOSED,
	SERVER_STATES
};

enum server_phase {
	SERVER_PHASE_NONE,
	SERVER_PHASE_CONNECT,
	SERVER_PHASE_HELO,
	SERVER_PHASE_AUTH_LOOKUP,
	SERVER_PHASE_AUTH,
	SERVER_PHASE_MAIL,
	SERVER_PHASE_RCPT,
	SERVER_PHASE_DATA,
	SERVER_PHASE_BDAT, /* the first chunk: handlers are asked as for DATA */
	SERVER_PHASE_CONTENT,
	SERVER_PHASE_END,
	SERVER_PHASE_VRFY,
	SERVER_PHASE_EXPN,
	SERVER_PHASE_HELP,
	SERVER_PHASE_COMMAND, /* a verb of a custom extension */
	SERVER_PHASES
};

/* A reply that is kept for later; code 0: none. */
struct server_held_reply {
	unsigned code;
	struct smtp_enhanced_code enhanced;
	struct smtp_buf text;
};

struct server_handler {
	const struct smtp_server_session_handler *functions;
	void *user;
	void *slot;
	bool blocking; /* asked through call() only */
};

/* How far the function of a blocking handler is. */
enum server_call { SERVER_CALL_NONE, SERVER_CALL_DUE, SERVER_CALL_MADE };

/* One walk along the handlers. */
struct server_phase_run {
	enum server_phase phase;
	size_t next;   /* the handler that is asked now or next */
	bool calling;  /* its function is on the stack */
	bool waiting;  /* it said PENDING, or is to be called by the driver */
	enum server_call call;
	enum smtp_verdict verdict; /* of the call that was made */
	bool answered; /* it gave its answer with smtp_server_session_reply() */
	bool asked;    /* some handler of this phase said more than NEXT */
	bool refused;
	struct server_held_reply reply;
};

/* What the functions of a phase are asked about; held while one of them is pending. */
struct server_phase_args {
	struct smtp_span span; /* name, text, topic or content */
	struct smtp_buf held;  /* where it lies while the input it came with is gone; values of params */
	struct smtp_path path;
	union {
		struct smtp_mail_request mail;
		struct smtp_rcpt_request rcpt;
		const char *verb; /* of a custom extension */
	};
	struct smtp_custom_param *custom; /* of MAIL or RCPT; room for SMTP_PARAMS_MAX, NULL: none */
	size_t custom_count;
	bool smtputf8; /* of VRFY and EXPN */
	bool extended;
};

/* All that ends with a transaction; server_transaction_forget() resets it whole. */
struct server_transaction {
	uint32_t entered; /* set of handlers that accepted MAIL: they are owed `reset` */
	uint32_t recipients;
	bool recipient_refused;
	bool smtputf8;
	struct smtp_buf *fields; /* to be put above the content; NULL: none. server_fields.c */
	bool binary;            /* BODY=BINARYMIME: no DATA, and no rules on lines */
};

/* What is said of each recipient after the end of data (LMTP). */
struct server_results {
	uint32_t recipients;               /* accepted when content began */
	struct server_held_reply *replies; /* so many; code 0: the common one. NULL: none differs */
};

/* The chunk that comes in, or came last. */
struct server_chunk {
	struct smtp_chunk head;
	uint64_t left;
	bool skipped;           /* read off unseen: it was refused before its first octet */
	bool fault;             /* ... and counts as an error of the client */
	enum server_state back; /* ... after which the session is where it was */
};

/* All that ends with the end of data; server_content_release() resets it whole. */
struct server_content {
	struct smtp_data_decoder decoder;
	struct server_results results;
	struct server_chunk chunk;
	bool chunked;         /* BDAT */
	bool binary;          /* the decoder only counts */
	uint64_t received;    /* by BDAT, the last chunk in full */
	bool ended;           /* for BDAT: the chunk, not the message */
	bool refused;         /* the rest is read off, no handler sees it */
	bool close_after;     /* ... and the session ends with the refusal */
	enum smtp_disconnect_reason close_reason;
	uint64_t refused_at;  /* octets of content when it was refused */
	uint64_t started_ms;
	uint64_t octet_ms;    /* when the last octet came */
	struct server_held_reply refusal; /* none: the decoder knows what is wrong */
};

/* One SASL exchange; server_auth_wipe() resets it whole. */
struct server_auth {
	struct smtp_sasl_server *exchange; /* NULL: there is none */
	struct smtp_auth_request request;
	struct server_held_reply answer;   /* of `auth`, for the end of the exchange */
	char *account;                     /* canonical form, from the handler */
};

/* The two ends of the connection; an address of "" is none. */
struct server_end {
	char address[SMTP_ADDRESS_TEXT_MAX];
	uint16_t port;
};

/* XCLIENT: what a trusted peer said of the client it speaks for. */
struct server_xclient {
	bool trusted;   /* the peer; found out at the start */
	bool has_proto, extended;
	char *helo_name; /* stands for that of HELO or EHLO; NULL: nothing was said */
};

struct server_closing {
	bool wanted;
	enum smtp_disconnect_reason reason;
	struct server_held_reply reply;
};

struct smtp_server_session {
	enum server_state state;
	int error; /* every later feed() answers this */
	struct smtp_server_session_options options; /* hostname: ours */
	char *hostname;
	char *helo_name;
	char *account;
	char *tls_description;
	struct server_end peer;
	struct server_end local;
	char *peer_name; /* NULL: not known */
	struct server_xclient xclient;
	char *client_identity; /* of its certificate */
	struct smtp_channel *channel; /* NULL: none */
	void *driver;
	void *user; /* of the application */
	bool extended;  /* EHLO, not HELO */
	bool tls;
	bool eof;       /* the peer sends no more */
	bool in_hook;   /* trace, reset or disconnect is on the stack */
	bool rearm;     /* a verdict or TLS came without the time: timers start at the next call */
	bool auth_seen; /* what looks like no command may be a secret that went astray */
	uint32_t errors;
	uint32_t auth_failures;
	uint32_t transactions;
	uint64_t now_ms;
	uint64_t wait_since_ms; /* since when the next command, or the handshake, is awaited */
	uint64_t hold_until_ms; /* until then no input is taken and no output given; 0: no hold */
	struct server_handler *handlers;
	size_t handler_count;
	uint64_t questions; /* put to handlers so far */
	size_t current; /* the handler whose function is, or last was, on the stack */
	struct smtp_line line;
	uint8_t line_head[5]; /* the first octets of the line that comes in */
	uint8_t line_head_n;
	struct smtp_buf out;
	struct server_phase_run run;
	struct server_phase_args args;
	struct server_transaction txn;
	struct server_content content;
	struct server_auth auth;
	struct server_closing closing;
};

/* --- server_session.c: life and death ------------------------------------------------------- */

/** The only place that assigns the state. An impossible transition closes the session. */
void server_session_set_state(struct smtp_server_session *s, enum server_state next);
/** Ends the session now: reply (may be NULL), `reset` and `disconnect` if due. Again: nothing. */
void server_session_shut(struct smtp_server_session *s, enum smtp_disconnect_reason reason,
			 const struct smtp_reply *reply);
/** Ends the session because of an error of ours; feed() answers it from now on. */
void server_session_fail(struct smtp_server_session *s, int error);
/** Holds the output back for that long, unless the session is about to end anyway. */
void server_session_hold(struct smtp_server_session *s, uint32_t delay_ms);
/** HELO or EHLO is over, or TLS has begun: what was known of the client before is forgotten. */
void server_session_forget_client(struct smtp_server_session *s);
/** A copy on the heap, NUL-terminated; NULL: out of memory. */
char *server_text_copy(struct smtp_span text);

/* --- server_options.c ----------------------------------------------------------------------- */

/** Fills *out from options of another version of the struct. SMTP_EINVAL. */
SMTP_MUST_USE int server_options_copy(struct smtp_server_session_options *out,
				      const struct smtp_server_session_options *options);
/** server_custom.c: may the custom extensions stand beside all others? */
bool server_custom_is_valid(const struct smtp_server_session_options *options);
/** Does the handler, maybe of an older version, have the function at this offset? */
bool server_handler_has(const struct smtp_server_session_handler *handler, size_t member);

/* --- server_reply.c ------------------------------------------------------------------------- */

/** Sends a reply; the enhanced code as HELO or EHLO agreed, completed if the reply has none. */
void server_reply_send(struct smtp_server_session *s, const struct smtp_reply *reply);
/** Sends a reply that never bears an enhanced code: greeting, HELO, EHLO, 3yz. */
void server_reply_send_plain(struct smtp_server_session *s, const struct smtp_reply *reply);
void server_reply(struct smtp_server_session *s, unsigned code, const char *enhanced,
		  const char *text);
/** The same for what counts as a protocol error; too many of them end the session. */
void server_reply_error(struct smtp_server_session *s, unsigned code, const char *enhanced,
			const char *text);
/** Counts an error that was answered otherwise. */
void server_error_count(struct smtp_server_session *s);
/** Holds back the reply to the nth fault of a kind: the more there were, the longer. */
void server_error_delay(struct smtp_server_session *s, uint32_t nth);
void server_hold_reply(struct server_held_reply *held, const struct smtp_reply *reply);
struct smtp_reply server_held_reply_view(const struct server_held_reply *held);
void server_held_reply_release(struct server_held_reply *held);
void server_trace(struct smtp_server_session *s, bool from_client, struct smtp_span line);

/* --- server_phases.c ------------------------------------------------------------------------ */

/** Frees what was kept to be asked about. */
void server_args_release(struct smtp_server_session *s);
/** Does any handler have the function at this offset? */
bool server_any_handler_has(const struct smtp_server_session *s, size_t member);
/** Asks the handlers about s->args; the proceed function of the phase runs now or later. */
void server_phase_begin(struct smtp_server_session *s, enum server_phase phase);
/** Takes the answer of the handler that is asked, or was, and goes on with the next. SMTP_EINVAL,
 *  SMTP_ESTATE (it had answered). */
SMTP_MUST_USE int server_phase_reply(struct smtp_server_session *s, const struct smtp_reply *reply);
/** The verdict that is pending is not waited for any longer: a temporary refusal. */
void server_phase_overdue(struct smtp_server_session *s);
/** Makes the call that is due. */
void server_phase_call(struct smtp_server_session *s);
/** Goes on with the verdict of the call that was made. */
void server_phase_called(struct smtp_server_session *s);
void server_phase_abandon(struct smtp_server_session *s);
/** Answers by the verdict: the refusal (421 also ends the session), or the handler's reply if it
 *  gave one, or this. */
void server_phase_answer(struct smtp_server_session *s, bool accepted,
			 const struct smtp_reply *given, unsigned code, const char *enhanced,
			 const char *text);
/** Calls `reset` of each handler in the set. */
void server_hooks_reset(struct smtp_server_session *s, uint32_t handlers);
void server_hooks_disconnect(struct smtp_server_session *s, enum smtp_disconnect_reason reason);

/* The last step of each phase: `given` is the handler's reply, NULL if there was none. */
typedef void server_proceed(struct smtp_server_session *s, bool accepted,
			    const struct smtp_reply *given);
server_proceed server_connect_proceed, server_helo_proceed, server_vrfy_proceed,
	server_expn_proceed, server_help_proceed, server_auth_lookup_proceed, server_auth_proceed,
	server_mail_proceed, server_rcpt_proceed,
	server_command_proceed, server_data_proceed, server_bdat_proceed,
	server_content_proceed, server_end_proceed;

/* --- commands ------------------------------------------------------------------------------- */

/* server_ehlo.c */
bool server_starttls_is_usable(const struct smtp_server_session *s);
/** Is it switched on, and can it be used as things stand? */
bool server_extension_is_usable(const struct smtp_server_session *s, unsigned extension);
/** Is it a keyword that the library itself may announce? */
bool server_keyword_is_built_in(struct smtp_span keyword);
void server_helo_run(struct smtp_server_session *s, struct smtp_span argument);
void server_ehlo_run(struct smtp_server_session *s, struct smtp_span argument);
void server_lhlo_run(struct smtp_server_session *s, struct smtp_span argument);

/** Runs one command line, or answers why not. */
void server_command_run(struct smtp_server_session *s, struct smtp_span line);
void server_command_too_long(struct smtp_server_session *s);
/* server_trace.c: traces a line of the client, what may be secret in it replaced. `known`: it is a
 * command; a line within AUTH, or one that is too long, shows nothing. */
void server_command_trace(struct smtp_server_session *s, struct smtp_span line, bool known);
void server_secret_trace(struct smtp_server_session *s);

void server_mail_run(struct smtp_server_session *s, struct smtp_span argument);
void server_rcpt_run(struct smtp_server_session *s, struct smtp_span argument);
/** Reads the parameters into s->args.mail or .rcpt, or answers what is wrong with them. */
bool server_mail_params_take(struct smtp_server_session *s, struct smtp_span text);
bool server_rcpt_params_take(struct smtp_server_session *s, struct smtp_span text);
bool server_param_is_built_in(bool mail, struct smtp_span keyword);
/** At the start: is the peer trusted to speak for others? */
void server_xclient_init(struct smtp_server_session *s);
void server_xclient_release(struct smtp_server_session *s);
void server_xclient_run(struct smtp_server_session *s, struct smtp_span argument);
/** The verb as a custom extension spells it; NULL: none has it. */
const char *server_custom_verb(const struct smtp_server_session *s, struct smtp_span name);
bool server_verb_is_built_in(struct smtp_span name);
void server_vrfy_run(struct smtp_server_session *s, struct smtp_span argument);
void server_expn_run(struct smtp_server_session *s, struct smtp_span argument);
void server_data_run(struct smtp_server_session *s, struct smtp_span argument);
bool server_transaction_is_open(const struct smtp_server_session *s);
/** Ends the transaction, if there is one; `reset` is called unless it was completed. */
void server_transaction_end(struct smtp_server_session *s, bool completed);
/** Calls `reset` where it is owed; nothing is known of the transaction afterwards. */
void server_transaction_forget(struct smtp_server_session *s);
/** Forgets the fields that handlers added. */
void server_fields_release(struct smtp_server_session *s);

/** Content is to come in the transaction: by DATA, or in chunks. */
void server_content_begin(struct smtp_server_session *s, bool chunked);
/** Takes octets of content; returns how many. */
size_t server_content_take(struct smtp_server_session *s, struct smtp_span input);
/** The content will not be accepted: this is said after its end. */
void server_content_refuse(struct smtp_server_session *s, const struct smtp_reply *reply);
/** What will be said of it; the text is borrowed from the session. */
struct smtp_reply server_content_refusal(const struct smtp_server_session *s);
/** Octets that may still be read off before the session is closed instead. */
uint64_t server_content_swallow_left(const struct smtp_server_session *s);
/** A run of content has been decoded: on to the handlers, or away with it. */
void server_content_run(struct smtp_server_session *s, struct smtp_span run);
/** All content has come: the refusal, or the end phase. */
void server_content_finish(struct smtp_server_session *s);
bool server_content_is_unacceptable(const struct smtp_server_session *s);
/** From here on no handler sees content; their transaction is over. */
void server_content_stop(struct smtp_server_session *s);
void server_content_release(struct smtp_server_session *s);
/** Instant at which content has been too slow on the whole; UINT64_MAX: never. */
uint64_t server_content_slowest(const struct smtp_server_session *s);
/** The same, or of silence in the midst of it. */
uint64_t server_content_deadline(const struct smtp_server_session *s);

/** BDAT. `refusal`: what the rules on commands say against it; code 0: nothing. */
void server_bdat_run(struct smtp_server_session *s, struct smtp_span argument,
		     const struct smtp_reply *refusal);
/** A line that can't be understood: if it may be BDAT, nobody knows what the octets behind it are, and
 *  the session ends with this reply. False: it is none. */
bool server_bdat_is_lost(struct smtp_server_session *s, struct smtp_span head, const char *text);
/** Takes octets of a chunk; returns how many. */
size_t server_chunk_take(struct smtp_server_session *s, struct smtp_span input);
/** The chunk has come in full: its reply, or the end of the message. */
void server_chunk_end(struct smtp_server_session *s);

/** The reply after the end of data: this one, or with LMTP one for each recipient, this one where none
 *  was set. Releases *results. */
void server_results_answer(struct smtp_server_session *s, struct server_results *results,
			   const struct smtp_reply *common);
/** None differs any more. */
void server_results_clear(struct server_results *results);

/** What AUTH keeps for the life of a session. SMTP_EINVAL, or an error of `crypto`. */
SMTP_MUST_USE int server_auth_init(struct smtp_server_session *s);
void server_auth_release(struct smtp_server_session *s);
/** With any mechanism, now? */
bool server_auth_is_usable(const struct smtp_server_session *s);
/** Appends the line of AUTH to the text of an EHLO reply, if there is any mechanism to offer. */
SMTP_MUST_USE int server_auth_append(const struct smtp_server_session *s, struct smtp_buf *out);
void server_auth_run(struct smtp_server_session *s, struct smtp_span argument);
/** A line of the client within the exchange. */
void server_auth_line(struct smtp_server_session *s, struct smtp_span line);
void server_auth_line_too_long(struct smtp_server_session *s);
void server_auth_wipe(struct smtp_server_session *s);

#endif
