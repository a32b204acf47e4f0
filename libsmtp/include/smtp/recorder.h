/* SPDX-License-Identifier: ISC */
/* recorder.h - a mail server for tests: it listens on a free port of loopback, keeps what it gets, answers as
 * it is told, and is waited for. Not for production: everything stays in memory, any login is good.
 * Prepare it with new(), change what is to be changed, start(), let the program under test send to url(),
 * wait(), look at the messages, free().
 * Threads: what tells of messages, wait(), rule() and reset() from any thread, also while it runs; the
 *          rest from one thread at a time.
 * Errors:  0 or a negative enum smtp_error; smtp_recorder_problem() tells more in one line.
 */
#ifndef SMTP_RECORDER_H
#define SMTP_RECORDER_H

#include <smtp/address.h>
#include <smtp/base.h>
#include <smtp/client.h>
#include <smtp/middleware.h>
#include <smtp/server_session.h>

#ifdef __cplusplus
extern "C" {
#endif

struct smtp_recorder;

enum smtp_recorder_tls {
	SMTP_RECORDER_PLAIN,
	SMTP_RECORDER_STARTTLS, /* offered, not required */
	SMTP_RECORDER_TLS       /* before the greeting */
};

struct smtp_recorder_options {
	size_t size;
	const char *address;          /* NULL: "127.0.0.1:0" */
	enum smtp_recorder_tls tls;
	const char *certificate_file; /* PEM; NULL: one for localhost and both loopback addresses is made */
	const char *key_file;
	const char *user;             /* NULL: any login is good; else this one only, by any mechanism */
	const char *password;         /* set with `user`; it counts as a token too */
	uint32_t max_messages;        /* kept; beyond: 452 4.3.1 */
	/* Of its sessions: extensions, limits, `lmtp` ... hostname NULL: "recorder.test". */
	struct smtp_server_session_options session;
};

/** Everything is offered: AUTH also in clear, content of any size up to 64 MiB. */
SMTP_API void smtp_recorder_options_init(struct smtp_recorder_options *options);

/** Prepares a recorder; makes the certificate if one is needed. `options` NULL: as init() sets them. @out is
 *  freed with smtp_recorder_free(). SMTP_EINVAL, SMTP_ENOMEM, SMTP_EIO, SMTP_ETLS. */
SMTP_API SMTP_MUST_USE int smtp_recorder_new(struct smtp_recorder **out,
					     const struct smtp_recorder_options *options);
/** Puts a middleware before it, as smtp_server_use(); before start(). */
SMTP_API SMTP_MUST_USE int smtp_recorder_use(struct smtp_recorder *,
					     const struct smtp_middleware *middleware);
/** Listens, and serves in a thread of its own. Once. SMTP_ESTATE, SMTP_EBUSY, SMTP_EINVAL, SMTP_ETLS ... */
SMTP_API SMTP_MUST_USE int smtp_recorder_start(struct smtp_recorder *);
/** Lets sessions end for `deadline_ms`, then drops them; delays of rules end at once. Messages stay.
 *  0, or why the server had stopped before. Again: nothing. */
SMTP_API int smtp_recorder_stop(struct smtp_recorder *, uint32_t deadline_ms);
/** Stops with a deadline of 5 s, removes the certificate it made, frees all messages. NULL is fine. */
SMTP_API void smtp_recorder_free(struct smtp_recorder *);

/* Where it is; valid from start() to free(). */

SMTP_API const char *smtp_recorder_host(const struct smtp_recorder *); /* "127.0.0.1", "::1" */
SMTP_API uint16_t smtp_recorder_port(const struct smtp_recorder *);
/** For smtp_client_connect(): "smtp://127.0.0.1:4025", "smtp+starttls://", "smtps://", "lmtp://". */
SMTP_API const char *smtp_recorder_url(const struct smtp_recorder *);
/** What a client trusts: the PEM file with the certificate, and its text; "" without TLS. From new() on. */
SMTP_API const char *smtp_recorder_ca_file(const struct smtp_recorder *);
SMTP_API const char *smtp_recorder_ca_pem(const struct smtp_recorder *);
/** One line on the last failure of set-up or of a helper below; "" if none. */
SMTP_API const char *smtp_recorder_problem(const struct smtp_recorder *);

/* --- what it got ------------------------------------------------------------------------------ */

/** One message that was accepted. It does not change; it lives until reset() or free(). */
struct smtp_recorded_message {
	struct smtp_path reverse_path;
	const struct smtp_path *forward_paths;
	size_t forward_path_count;
	const char *mail_command;         /* the line as it came, with its parameters */
	const char *const *rcpt_commands; /* likewise, one for each forward-path */
	struct smtp_span fields;          /* smtp_server_session_fields() */
	struct smtp_span content;         /* without the dots of transparency */
	const char *helo_name;
	const char *protocol; /* "ESMTPS" ... */
	const char *tls;      /* as of smtp_server_session_tls_description(); "" in clear */
	const char *account;  /* "" without a login */
	const char *peer_address;
	uint16_t peer_port;
};

SMTP_API size_t smtp_recorder_count(const struct smtp_recorder *);
/** The i-th message from 0, in the order in which they were accepted; NULL: there is none. */
SMTP_API const struct smtp_recorded_message *smtp_recorder_message(const struct smtp_recorder *,
								   size_t i);
/** Waits until there are `n` messages. SMTP_ETIMEDOUT. */
SMTP_API SMTP_MUST_USE int smtp_recorder_wait(struct smtp_recorder *, size_t n,
					      uint32_t timeout_ms);
/** All lines of all sessions in order, "C: " or "S: " in front, LF behind, secrets masked, 1 MiB at most; as
 *  snprintf(): cut to `cap` with its NUL, returns the whole length. */
SMTP_API size_t smtp_recorder_trace(const struct smtp_recorder *, char *out, size_t cap);
/** Frees the messages, forgets trace and rules. What message() gave out is gone. */
SMTP_API void smtp_recorder_reset(struct smtp_recorder *);

/* --- what it answers -------------------------------------------------------------------------- */

enum smtp_recorder_phase {
	SMTP_RECORDER_CONNECT,
	SMTP_RECORDER_HELO,
	SMTP_RECORDER_AUTH,
	SMTP_RECORDER_MAIL,
	SMTP_RECORDER_RCPT,
	SMTP_RECORDER_DATA,    /* before 354 */
	SMTP_RECORDER_CONTENT, /* as content comes */
	SMTP_RECORDER_END      /* after the end of data */
};

/** When something comes to `phase`, the first rule that fits is followed: wait, then cut, or answer. */
struct smtp_recorder_rule {
	size_t size;
	enum smtp_recorder_phase phase;
	const char *address;  /* MAIL, RCPT, and END with LMTP: only for this address; NULL: any */
	uint64_t after_bytes; /* CONTENT: when so much of a message has come; once a message */
	uint32_t skip;        /* it fits, but lets so many pass first */
	uint32_t times;       /* then it holds so many times; 0: for ever */
	uint32_t delay_ms;
	bool cut;             /* the connection is closed without an answer */
	unsigned code;        /* 2yz, 4yz, 5yz; 0: the usual answer. CONTENT: 4yz, 5yz, said at the end */
	const char *enhanced; /* "5.7.1"; NULL: none */
	const char *text;     /* NULL: "as told" */
};

#define SMTP_RECORDER_RULE_INIT { .size = sizeof(struct smtp_recorder_rule) }

/** The same as SMTP_RECORDER_RULE_INIT, for C++. */
SMTP_API void smtp_recorder_rule_init(struct smtp_recorder_rule *rule);

/** Adds a rule, which is copied. SMTP_EINVAL, SMTP_ENOMEM. */
SMTP_API SMTP_MUST_USE int smtp_recorder_add_rule(struct smtp_recorder *,
					      const struct smtp_recorder_rule *rule);

/* --- one-call helpers ------------------------------------------------------------------------- */

/** A client that is connected to it, trusts its certificate, and has logged in if there is a `user`; to be
 *  freed with smtp_client_free(), also on failure unless it is NULL. */
SMTP_API SMTP_MUST_USE int smtp_recorder_connect(struct smtp_recorder *,
						 struct smtp_client **out);
/** Sends one message to it. 0 if it was accepted; SMTP_EREFUSED if not: problem() has the reply. */
SMTP_API SMTP_MUST_USE int smtp_recorder_send(struct smtp_recorder *, const char *from,
					      const char *to, const char *content);
/** Connects and says one line. 0 if the answer has that code, else SMTP_EREFUSED: problem() has it. */
SMTP_API SMTP_MUST_USE int smtp_recorder_command(struct smtp_recorder *, const char *line,
						 unsigned expected_code);
/** The recorder as middleware of another server, which has the last word: rules are followed, and messages
 *  kept that have come to `end` there. Valid until free(), which must come after that server's. */
SMTP_API struct smtp_middleware smtp_recorder_middleware(struct smtp_recorder *);

#ifdef __cplusplus
}
#endif
#endif
