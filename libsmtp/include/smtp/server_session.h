/* SPDX-License-Identifier: ISC */
/* server_session.h - the server end of one SMTP session (RFC 5321), without I/O: bytes and time in,
 * bytes and events out.
 * Threads: objects are independent; one object, one thread at a time. No hidden globals.
 * Units:   *_ms milliseconds, *_bytes octets. now_ms comes from any clock that never runs backwards.
 * Errors:  0 is success, else a negative enum smtp_error. After SMTP_EPROTO or SMTP_ENOMEM from
 *          feed() the session only wants CLOSE.
 *
 * Driving it: start(); then while wants() says so: READ -> feed() what came; WRITE -> send output(),
 * report with sent(); TLS -> run the handshake as server, then tls_started(); VERDICT -> wait for the
 * handler's answer; CALL -> call(), on a thread that may block, then called(); CLOSE (with nothing left
 * to write) -> close the connection and free(); nothing ->
 * a reply is held back: neither read nor write until deadline(). Call tick() when deadline() has come.
 * When the peer closes, call peer_closed().
 */
#ifndef SMTP_SERVER_SESSION_H
#define SMTP_SERVER_SESSION_H

#include <smtp/address.h>
#include <smtp/base.h>
#include <smtp/envelope.h>
#include <smtp/network.h>
#include <smtp/reply.h>
#include <smtp/sasl.h>

#ifdef __cplusplus
extern "C" {
#endif

struct smtp_server_session;
struct smtp_middleware; /* <smtp/middleware.h> */

/** What wants() answers: a set. */
enum smtp_wants {
	SMTP_WANTS_READ = 1 << 0,
	SMTP_WANTS_WRITE = 1 << 1,
	SMTP_WANTS_TLS = 1 << 2,     /* output is flushed: run the TLS handshake now */
	SMTP_WANTS_VERDICT = 1 << 3, /* a handler said PENDING */
	SMTP_WANTS_CLOSE = 1 << 4,   /* close once nothing is left to write */
	SMTP_WANTS_CALL = 1 << 5     /* a function that may block is due */
};

/** Extensions and commands that may be switched for a session; announced only when usable. Those that
 *  bind the application to something are not among the defaults. */
enum smtp_server_extension {
	SMTP_SERVER_PIPELINING = 1 << 0,          /* RFC 2920 */
	SMTP_SERVER_SIZE = 1 << 1,                /* RFC 1870 */
	SMTP_SERVER_8BITMIME = 1 << 2,            /* RFC 6152 */
	SMTP_SERVER_ENHANCEDSTATUSCODES = 1 << 3, /* RFC 2034 */
	SMTP_SERVER_CHUNKING = 1 << 4,            /* RFC 3030 */
	SMTP_SERVER_BINARYMIME = 1 << 5,          /* RFC 3030; only with CHUNKING */
	SMTP_SERVER_SMTPUTF8 = 1 << 6,            /* RFC 6531: handlers take addresses in UTF-8 */
	SMTP_SERVER_DSN = 1 << 7,                 /* RFC 3461: handlers keep RET, ENVID, NOTIFY, ORCPT */
	SMTP_SERVER_REQUIRETLS = 1 << 8,          /* RFC 8689: mail goes on by verified TLS; only under TLS */
	SMTP_SERVER_LIMITS = 1 << 9,              /* RFC 9422 */
	SMTP_SERVER_VRFY = 1 << 10,               /* off: 502 */
	SMTP_SERVER_EXPN = 1 << 11,               /* needs a handler with `expn`; else 502 */
	SMTP_SERVER_HELP = 1 << 12,               /* off: 502 */
	SMTP_SERVER_EXTENSIONS_DEFAULT = SMTP_SERVER_PIPELINING | SMTP_SERVER_SIZE |
					 SMTP_SERVER_8BITMIME | SMTP_SERVER_ENHANCEDSTATUSCODES |
					 SMTP_SERVER_VRFY | SMTP_SERVER_EXPN | SMTP_SERVER_HELP
};

/** What to do with a bare CR or LF in content. */
enum smtp_bare_newline {
	SMTP_BARE_NEWLINE_REFUSE, /* 554 5.6.0 after the end of data */
	SMTP_BARE_NEWLINE_REPAIR  /* each becomes CRLF, before dots are handled */
};

/** An extension that the application brings. All pointers are borrowed as long as sessions use them. */
struct smtp_custom_extension {
	size_t size;                      /* sizeof(struct smtp_custom_extension) */
	const char *keyword;              /* in the answer to EHLO; NULL: nothing is announced */
	const char *argument;             /* behind the keyword, printable ASCII; NULL: none */
	const char *const *mail_keywords; /* parameters of MAIL, up to a NULL; NULL: none */
	const char *const *rcpt_keywords; /* parameters of RCPT */
	/* Commands, of letters. They may be said behind HELO or EHLO, under the conditions of MAIL (TLS,
	 * login), and within a transaction; a handler with `command` runs them. */
	const char *const *verbs;
};

struct smtp_server_session_options {
	size_t size;              /* set by the initialiser; lets fields be added later */
	const char *hostname;     /* copied; in the greeting and in EHLO */
	unsigned extensions;      /* set of enum smtp_server_extension */
	bool offer_starttls;      /* the driver can run a TLS handshake */
	bool tls_active;          /* TLS was there before the first octet (port 465) */
	bool auth_enabled;        /* AUTH is offered, with those of `mechanisms` that can be used */
	bool auth_needs_tls;      /* without TLS PLAIN, LOGIN, XOAUTH2, OAUTHBEARER are neither offered
				   * nor taken; no mechanism is, with require_tls */
	bool require_tls;         /* MAIL without TLS: 530 5.7.0 */
	bool require_auth;        /* MAIL without AUTH: 530 5.7.0 */
	enum smtp_bare_newline bare_newline;
	uint64_t max_message_bytes;    /* announced and enforced alike; 0: no limit */
	uint64_t max_swallow_bytes;    /* read off beyond max_message_bytes before the session is closed */
	uint32_t max_line_bytes;       /* of content; longer ones: 554 5.6.0 */
	uint32_t max_recipients;       /* at least 100 (4.5.3.1.8); beyond: 452 4.5.3 */
	uint32_t max_errors;           /* protocol errors, then 421 4.7.0 and close */
	uint32_t max_auth_failures;    /* then 421 4.7.0 and close */
	uint32_t max_transactions;     /* then 421 4.7.0 and close */
	uint32_t command_timeout_ms;   /* 4.5.3.2.7; then 421 4.4.2 and close */
	uint32_t content_timeout_ms;   /* from 354 to the end of data with no octet in between */
	uint32_t min_content_rate;     /* octets a second, averaged over content; 0: no floor */
	bool auth_other_identity; /* an authorization id other than the login: `auth` decides; else 535 */
	/* The reply to the second protocol error, and to the second failed login, is held back 100 ms,
	 * and each later one longer: 250 ms, 500 ms, 1 s, 2 s, 5 s; never longer than this. 0: at once. */
	uint32_t error_delay_max_ms;
	/* LMTP (RFC 2033): LHLO greets, and after the end of data there is one reply for each recipient that
	 * was accepted, in order; PIPELINING and ENHANCEDSTATUSCODES are always on. Not for port 25. */
	bool lmtp;
	/* How long a PENDING verdict may take; then it is 451 4.3.0 (connect: 421 4.3.0 and close, AUTH: 454
	 * 4.7.0). 0: for ever. */
	uint32_t verdict_timeout_ms;
	/* Set of enum smtp_mechanism. Offered are those of them that can be used: PLAIN, LOGIN, XOAUTH2,
	 * OAUTHBEARER need a handler with `auth` (and TLS, see auth_needs_tls); SCRAM and CRAM-MD5 one with
	 * `auth_lookup`, and `crypto`; -PLUS also a channel to bind to, EXTERNAL a verified certificate of
	 * the client, and `auth` (smtp_server_session_set_tls_channel()). */
	unsigned mechanisms;
	/* Must outlive the session; NULL: no SCRAM, no CRAM-MD5 (with smtp_server: OpenSSL's). */
	const struct smtp_crypto *crypto;
	/* A user without keys is shown a salt made of this key and the name, so that he can't be told from
	 * others. Secret, random, the same for all sessions and better for all restarts. All zero: random,
	 * for the session alone (with smtp_server: for the server). */
	uint8_t scram_fake_key[32];
	uint32_t scram_iterations; /* what such a user is shown: as your other users have. 0: 100,000 */
	/* Borrowed. No keyword may be one of the library's or of another one: SMTP_EINVAL. At most 8. */
	const struct smtp_custom_extension *const *custom_extensions;
	size_t custom_extension_count;
	/* Peers that may say XCLIENT: whose address and name it is, and who has logged in. Borrowed. NULL and
	 * 0: nobody. To anybody else it is 550 5.7.0 and the end of the session. */
	const struct smtp_network *xclient_networks;
	size_t xclient_network_count;
	/* All zero. Other structs hold this one, so that it must not become longer: new fields come here. */
	uint64_t reserved[8];
};

#define SMTP_SERVER_SESSION_OPTIONS_INIT                                                           \
	{                                                                                          \
		.size = sizeof(struct smtp_server_session_options),                                \
		.extensions = SMTP_SERVER_EXTENSIONS_DEFAULT, .auth_needs_tls = true,              \
		.max_message_bytes = UINT64_C(50) << 20, .max_swallow_bytes = UINT64_C(50) << 20,  \
		.max_line_bytes = 65536, .max_recipients = 1000, .max_errors = 10,                 \
		.max_auth_failures = 3, .max_transactions = 10000, .command_timeout_ms = 300000,   \
		.content_timeout_ms = 600000, .min_content_rate = 50, .error_delay_max_ms = 5000,  \
		.verdict_timeout_ms = 300000,                                                      \
		.mechanisms = SMTP_MECHANISMS_DEFAULT                                              \
	}

/** The same as SMTP_SERVER_SESSION_OPTIONS_INIT, for C++. */
SMTP_API void smtp_server_session_options_init(struct smtp_server_session_options *options);

/** What a phase function answers. */
enum smtp_verdict {
	SMTP_ACCEPT,  /* go on; the usual positive reply unless smtp_server_session_reply() gave one */
	SMTP_REPLIED, /* smtp_server_session_reply() was called: a 4yz or 5yz refuses, a 2yz accepts */
	SMTP_PENDING, /* smtp_server_session_reply() will be called later */
	SMTP_NEXT     /* no objection, and no opinion: as ACCEPT, but a recipient that nobody accepts, and
		       * of whom some handler says NEXT at most, is refused as if there were no handler; so is
		       * a login whose password or token nobody says to be right */
};

/** Why a session ended. */
enum smtp_disconnect_reason {
	SMTP_DISCONNECT_QUIT,        /* the client said QUIT */
	SMTP_DISCONNECT_PEER_CLOSED, /* the client closed without QUIT */
	SMTP_DISCONNECT_TIMEOUT,
	SMTP_DISCONNECT_ERRORS,   /* too many errors or failed logins */
	SMTP_DISCONNECT_PROTOCOL, /* such as octets sent along with STARTTLS */
	SMTP_DISCONNECT_REFUSED,  /* a handler ended it with 421 or 554 at connect */
	SMTP_DISCONNECT_SHUTDOWN, /* the server stops */
	SMTP_DISCONNECT_TLS,      /* the handshake failed */
	SMTP_DISCONNECT_IO        /* the driver lost the connection, or memory ran out */
};

/** A short name such as "quit" or "timeout", static. */
SMTP_API const char *smtp_disconnect_reason_str(enum smtp_disconnect_reason reason);

/** A parameter of MAIL or RCPT that a custom extension brings. */
struct smtp_custom_param {
	const char *keyword;    /* as the extension spells it */
	struct smtp_span value; /* as sent; p is NULL when there was no "=" */
};

/** MAIL FROM. Everything is borrowed until the phase function returns. */
struct smtp_mail_request {
	const struct smtp_path *reverse_path;
	uint64_t size_bytes;         /* SIZE; 0: not given */
	enum smtp_body_kind body;    /* BODY */
	bool smtputf8;               /* the addresses and the header may be UTF-8 (RFC 6531) */
	bool requiretls;             /* RFC 8689 */
	enum smtp_dsn_return ret;    /* RET */
	struct smtp_span envid;      /* ENVID, decoded, printable ASCII; p is NULL if there was none */
	struct smtp_span auth;       /* AUTH, decoded, a mailbox or "<>"; p is NULL if there was none */
	const struct smtp_custom_param *params;
	size_t param_count;
};

/** RCPT TO. Everything is borrowed until the phase function returns. */
struct smtp_rcpt_request {
	const struct smtp_path *forward_path;
	unsigned notify;                /* set of enum smtp_dsn_notify; 0: none was given */
	struct smtp_span orcpt_type;    /* ORCPT, such as "rfc822"; p is NULL if there was none */
	struct smtp_span orcpt_address; /* decoded: printable ASCII, UTF-8 with the type "utf-8" */
	const struct smtp_custom_param *params;
	size_t param_count;
};

/** VRFY or EXPN. Borrowed until the phase function returns. */
struct smtp_vrfy_request {
	struct smtp_span text; /* a user name, a mailbox, or a list, as sent */
	bool smtputf8;         /* the answer may hold UTF-8 (RFC 6531, 3.7.4.2) */
};

/** A login. Borrowed until return and wiped then: a handler that says PENDING copies what it needs and
 *  wipes its copy. */
struct smtp_auth_request {
	const char *mechanism; /* "PLAIN", "SCRAM-SHA-256"...; static */
	struct smtp_span authorization_id; /* empty: the same as authentication_id */
	/* Who logs in. XOAUTH2, OAUTHBEARER: whom the client says to be; check that the token is his.
	 * OAUTHBEARER: may be empty, then smtp_server_session_set_account() must tell.
	 * EXTERNAL: the client_identity of the certificate. */
	struct smtp_span authentication_id;
	struct smtp_span password; /* PLAIN, LOGIN: to be checked by `auth` */
	struct smtp_span token;    /* XOAUTH2, OAUTHBEARER: to be checked by `auth` */
	/* SCRAM, CRAM-MD5: the client has proven that it knows the password; EXTERNAL: its certificate was
	 * verified. `auth` only says whether this user may log in. */
	bool proven;
};

/** A command that a custom extension brings. Borrowed until the phase function returns. */
struct smtp_command_request {
	const char *verb; /* as the extension spells it */
	struct smtp_span argument; /* as sent, without blanks around it and controls; may be empty */
};

/** Functions of the application, one for each phase; NULL members take the default: accept, but
 *  `rcpt` refuses with 550 5.7.1 (an empty program is no open relay), AUTH and EXPN are then not
 *  offered, `vrfy` answers 252, `help` a list of commands. Several handlers run in order; the first refusal
 *  ends the phase. A phase function may call smtp_server_session_reply(), _close() and the getters on
 *  its session; it must not call feed(), tick(), sent() or free(). One that can't go on ends its session,
 *  and only that: with a reply 421, or with _close() in any of them. */
struct smtp_server_session_handler {
	size_t size; /* sizeof(struct smtp_server_session_handler) */
	/** Before the greeting. A refusal is sent instead of it and ends the session. Again when a peer
	 *  that is trusted said XCLIENT: the session begins anew for another client. */
	enum smtp_verdict (*connect)(struct smtp_server_session *, void *user);
	/** HELO, EHLO or LHLO; `name` as the client sent it, syntax checked; after XCLIENT with HELO the one
	 *  told there, of which no more is sure than that it holds no control octets. */
	enum smtp_verdict (*helo)(struct smtp_server_session *, struct smtp_span name, bool extended,
				  void *user);
	/** A login. Accept, or refuse with 535 5.7.8 (or 454 4.7.0 when it can't be checked now). */
	enum smtp_verdict (*auth)(struct smtp_server_session *, const struct smtp_auth_request *,
				  void *user);
	enum smtp_verdict (*mail)(struct smtp_server_session *, const struct smtp_mail_request *,
				  void *user);
	enum smtp_verdict (*rcpt)(struct smtp_server_session *, const struct smtp_rcpt_request *,
				  void *user);
	/** DATA, before 354, or the first BDAT of a message. A refusal of BDAT holds for the message. */
	enum smtp_verdict (*data)(struct smtp_server_session *, void *user);
	/** A run of content. PENDING stops reading until smtp_server_session_reply(). A refusal holds for
	 *  the message: the rest is read off, and it is the reply after the end of data, or to each chunk
	 *  from this one on. What came by DATA is empty or ends with CRLF; what came by BDAT ends as it
	 *  was sent, and with BODY=BINARYMIME it is any octets. */
	enum smtp_verdict (*content)(struct smtp_server_session *, struct smtp_span octets, void *user);
	/** The end of data. 250 is sent for ACCEPT: only say so when the message is on stable storage. To
	 *  show its queue id, reply (or answer the ticket) with a 250 2.0.0 that has it in its text.
	 *  With LMTP and several recipients each gets the first line of the reply, at most 400 octets;
	 *  see also smtp_server_session_recipient_reply(). */
	enum smtp_verdict (*end)(struct smtp_server_session *, void *user);
	enum smtp_verdict (*vrfy)(struct smtp_server_session *, const struct smtp_vrfy_request *,
				  void *user);
	enum smtp_verdict (*expn)(struct smtp_server_session *, const struct smtp_vrfy_request *,
				  void *user);
	enum smtp_verdict (*help)(struct smtp_server_session *, struct smtp_span topic, void *user);
	/** The transaction is over without having been accepted, or another begins anew: forget it. Called
	 *  whenever `mail` had accepted and `end` did not; also before disconnect. No verdict. */
	void (*reset)(struct smtp_server_session *, void *user);
	/** Exactly once for each session whose connect phase had begun; from free() at the latest. */
	void (*disconnect)(struct smtp_server_session *, enum smtp_disconnect_reason, void *user);
	/** Each command and reply line, without CRLF, secrets of AUTH replaced by "***"; of a line that is no
	 *  command at most its first word, since it may be a secret that went astray. */
	void (*trace)(struct smtp_server_session *, bool from_client, struct smtp_span line, void *user);
	/** SCRAM and CRAM-MD5 ask what is stored about authentication_id: give it with
	 *  smtp_server_session_set_scram_keys() or _set_shared_secret(), then accept. An unknown user:
	 *  accept without giving anything, or refuse with 5yz: the exchange goes on and fails at its end, so
	 *  that nobody learns who exists. A 4yz is told at once. After a right proof `auth` is asked. The
	 *  keys are given on the thread that runs the session, before the answer; a function that has to
	 *  wait for them is one for a blocking middleware. */
	enum smtp_verdict (*auth_lookup)(struct smtp_server_session *,
					 const struct smtp_auth_request *, void *user);
	/** A verb of a custom extension: accept (250 2.0.0 unless there is a reply), or refuse. A handler
	 *  that does not know the verb says NEXT; when all do, it is 502. */
	enum smtp_verdict (*command)(struct smtp_server_session *,
				     const struct smtp_command_request *, void *user);
};

/** Creates a session before its greeting.
 *  @out      receives the session; freed with smtp_server_session_free(). Unchanged on error.
 *  @options  borrowed until return.
 *  @handler  borrowed; must outlive the session. @user is passed back untouched.
 *  Returns 0, SMTP_EINVAL (size unknown, hostname not a domain or literal), SMTP_ENOMEM. */
SMTP_API SMTP_MUST_USE int
smtp_server_session_new(struct smtp_server_session **out,
			const struct smtp_server_session_options *options,
			const struct smtp_server_session_handler *handler, void *user);
/** Appends another set of functions behind those there are, before start(). The struct is copied, its
 *  `release` is not called. SMTP_EINVAL, SMTP_ESTATE, SMTP_ENOMEM; more than 16: SMTP_ETOOLONG. */
SMTP_API SMTP_MUST_USE int smtp_server_session_use(struct smtp_server_session *,
						   const struct smtp_middleware *middleware);
/** Who is at the other end: "192.0.2.1" or "2001:db8::1", and the port; "" and 0: no IP address, as for
 *  a unix socket. The driver says so before start(), else SMTP_ESTATE; XCLIENT may change it later.
 *  SMTP_EINVAL for what is no address. */
SMTP_API SMTP_MUST_USE int smtp_server_session_set_peer(struct smtp_server_session *,
							const char *address, uint16_t port);
/** The same about this end of the connection. */
SMTP_API SMTP_MUST_USE int smtp_server_session_set_local(struct smtp_server_session *,
							 const char *address, uint16_t port);
/** The host name of the peer, such as the one found by reverse DNS, in the connect phase or before.
 *  Copied, made safe for a header; NULL or "": not known. Errors: SMTP_ETOOLONG (over 255 octets),
 *  SMTP_ENOMEM. */
SMTP_API SMTP_MUST_USE int smtp_server_session_set_peer_name(struct smtp_server_session *,
							     const char *name);
/** Runs the connect phase and prepares the greeting. Once. */
SMTP_API SMTP_MUST_USE int smtp_server_session_start(struct smtp_server_session *, uint64_t now_ms);
/** Offers received octets; *taken says how many were used. Fewer than n while a verdict is pending or
 *  TLS or CLOSE is wanted, or while a reply is held back: keep the rest, stop reading, offer it again
 *  later - after an answered verdict call it again even with n == 0 being all there is. Octets behind
 *  an accepted STARTTLS are SMTP_EPROTO: they could have been injected. */
SMTP_API SMTP_MUST_USE int smtp_server_session_feed(struct smtp_server_session *, const void *octets,
						    size_t n, uint64_t now_ms, size_t *taken);
/** A set of enum smtp_wants. 0: the replies of this batch are held back because of errors, for this
 *  session alone, until tick() or feed() comes with the time of deadline() or later; peer_closed() and
 *  close() release them at once. */
SMTP_API unsigned smtp_server_session_wants(const struct smtp_server_session *);
/** Octets to send, n == 0 if none; valid until the next call on this session. All replies of what was
 *  fed together are in it: one write. */
SMTP_API struct smtp_span smtp_server_session_output(const struct smtp_server_session *);
SMTP_API void smtp_server_session_sent(struct smtp_server_session *, size_t n);
/** Instant by which tick() must be called; UINT64_MAX if no timer runs. */
SMTP_API uint64_t smtp_server_session_deadline(const struct smtp_server_session *);
SMTP_API void smtp_server_session_tick(struct smtp_server_session *, uint64_t now_ms);
/** The handshake that WANTS_TLS asked for is done. `description`, such as "TLSv1.3
 *  TLS_AES_256_GCM_SHA384", is copied (cut at 80 octets). All that was known before is forgotten. */
SMTP_API SMTP_MUST_USE int smtp_server_session_tls_started(struct smtp_server_session *,
							   const char *description);
/** Runs the function that WANTS_CALL stands for, on the thread it is called from. Until it has returned
 *  nobody else calls anything on this session; the function itself may, as any phase function. A driver
 *  that has only one thread calls it there. SMTP_ESTATE if none is due. */
SMTP_API SMTP_MUST_USE int smtp_server_session_call(struct smtp_server_session *);
/** After call(): goes on with what the function said. SMTP_ESTATE if call() was not called. */
SMTP_API SMTP_MUST_USE int smtp_server_session_called(struct smtp_server_session *, uint64_t now_ms);
/** What the TLS connection gives to AUTH: before tls_started(), or before start() with tls_active.
 *  Copied. Without it there is neither SCRAM-SHA-256-PLUS nor EXTERNAL. SMTP_ESTATE, SMTP_EINVAL,
 *  SMTP_ENOMEM. */
SMTP_API SMTP_MUST_USE int
smtp_server_session_set_tls_channel(struct smtp_server_session *,
				    const struct smtp_tls_channel *channel);
/** The peer closed its sending half. What was taken before is still answered; then CLOSE is wanted. A
 *  driver that still holds octets feeds them first and calls this when they are taken. */
SMTP_API void smtp_server_session_peer_closed(struct smtp_server_session *);
/** Ends the session: `reply` (NULL: none) is sent at the next point where a reply may stand, then
 *  CLOSE is wanted. `content` that is on its way is not accepted. */
SMTP_API void smtp_server_session_close(struct smtp_server_session *,
					enum smtp_disconnect_reason reason,
					const struct smtp_reply *reply);
/** Frees the session; NULL is fine. Calls reset and disconnect if they are due. */
SMTP_API void smtp_server_session_free(struct smtp_server_session *);

/** The answer of the phase function that runs or said PENDING: NULL accepts with the usual reply, a
 *  2yz accepts with this one, a 4yz or 5yz refuses, 421 also ends the session. Copied. SMTP_ESTATE if
 *  no phase waits, SMTP_EINVAL for another code. After a PENDING one, look at wants() and feed() again. */
SMTP_API int smtp_server_session_reply(struct smtp_server_session *, const struct smtp_reply *reply);
/** The number of the question to a handler that runs, pends, or was the last one; they count up. Whoever
 *  answers later keeps it and compares: after `verdict_timeout_ms` another question may be pending. */
SMTP_API uint64_t smtp_server_session_question(const struct smtp_server_session *);

/** With LMTP: what is said of one recipient after the end of data instead of the verdict of the `end`
 *  phase. Allowed in that phase, from within `end` or while it is pending. A phase that refuses refuses
 *  all, whatever was set. With SMTP there is one reply for all: then this is checked and forgotten.
 *  @index  of the recipient among those that were accepted, from 0, in the order of RCPT.
 *  @reply  2yz, 4yz or 5yz but 421; of its text the first line is copied, at most 400 octets. NULL: as
 *          the verdict.
 *  Returns 0, SMTP_EINVAL (no such recipient, another code), SMTP_ESTATE, SMTP_ENOMEM. */
SMTP_API SMTP_MUST_USE int smtp_server_session_recipient_reply(struct smtp_server_session *,
							       size_t index,
							       const struct smtp_reply *reply);

/* Getters: pointers are borrowed, valid until the next call that feeds the session. */

/** "192.0.2.1", "2001:db8::1"; "" if it has none or nobody said. After PROXY or XCLIENT those of the
 *  client that the peer speaks for. */
SMTP_API const char *smtp_server_session_peer_address(const struct smtp_server_session *);
SMTP_API uint16_t smtp_server_session_peer_port(const struct smtp_server_session *);
/** As told to set_peer_name(), or by XCLIENT; "" if not known. */
SMTP_API const char *smtp_server_session_peer_name(const struct smtp_server_session *);
SMTP_API const char *smtp_server_session_local_address(const struct smtp_server_session *);
SMTP_API uint16_t smtp_server_session_local_port(const struct smtp_server_session *);
/** The name of HELO or EHLO; "" before it. */
SMTP_API const char *smtp_server_session_helo_name(const struct smtp_server_session *);
/** "SMTP", "ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA"; "LMTP" and its kin (RFC 3848); in a transaction with
 *  SMTPUTF8 "UTF8SMTP" and so on (RFC 6531, 4.3). Static. */
SMTP_API const char *smtp_server_session_protocol(const struct smtp_server_session *);
SMTP_API bool smtp_server_session_has_tls(const struct smtp_server_session *);
/** As told to tls_started(); "" without TLS. */
SMTP_API const char *smtp_server_session_tls_description(const struct smtp_server_session *);
/** The authentication id of the successful login; NULL if there was none. */
SMTP_API const char *smtp_server_session_account(const struct smtp_server_session *);
/** Replaces it by its canonical form; allowed from within `auth` or while that is pending. Copied. */
SMTP_API SMTP_MUST_USE int smtp_server_session_set_account(struct smtp_server_session *,
							   const char *account);
/** What SCRAM needs of the user; allowed from within `auth_lookup` or while that is pending. Copied, and
 *  wiped after the exchange. SMTP_ESTATE, SMTP_EINVAL (no salt, or iterations out of bounds). */
SMTP_API SMTP_MUST_USE int smtp_server_session_set_scram_keys(struct smtp_server_session *,
							      const struct smtp_scram_keys *keys);
/** What CRAM-MD5 needs of the user, its password in clear; likewise. At most 1024 octets: SMTP_EINVAL.
 *  SMTP_ESTATE, SMTP_ENOMEM. */
SMTP_API SMTP_MUST_USE int smtp_server_session_set_shared_secret(struct smtp_server_session *,
								 struct smtp_span secret);
/** JSON that tells the client why its token is refused (RFC 7628, 3.2.2); allowed from within `auth` or
 *  while that is pending, used when it refuses. Else {"status":"invalid_token"}. Copied, at most 1024
 *  octets: SMTP_EINVAL. SMTP_ESTATE, SMTP_ENOMEM. */
SMTP_API SMTP_MUST_USE int smtp_server_session_set_token_error(struct smtp_server_session *,
							       const char *json);
/** As the driver told smtp_server_session_set_tls_channel(): whom the client's certificate names; "" if
 *  none was verified. */
SMTP_API const char *smtp_server_session_client_identity(const struct smtp_server_session *);
/** From the acceptance of MAIL to the reply after the end of data, or whatever else ends it. */
SMTP_API bool smtp_server_session_in_transaction(const struct smtp_server_session *);
/** Recipients accepted in this transaction. */
SMTP_API size_t smtp_server_session_recipient_count(const struct smtp_server_session *);
/** Octets of content so far, as `SIZE` counts them. */
SMTP_API uint64_t smtp_server_session_content_bytes(const struct smtp_server_session *);
/** The time of the last call that told one. */
SMTP_API uint64_t smtp_server_session_now_ms(const struct smtp_server_session *);
/** Adds a header field to the message on its way: "Name: body" CRLF, folded or not, in 65536 octets for
 *  all together. Newer fields stand on top of older ones. From the mail phase to the end of the
 *  transaction; whoever stores or forwards the content puts smtp_server_session_fields() above it.
 *  SMTP_ESTATE, SMTP_ESYNTAX, SMTP_ETOOLONG, SMTP_ENOMEM. */
SMTP_API SMTP_MUST_USE int smtp_server_session_add_field(struct smtp_server_session *,
							 struct smtp_span field);
/** What was added, n == 0 if nothing; valid until more is added or the transaction ends. */
SMTP_API struct smtp_span smtp_server_session_fields(const struct smtp_server_session *);
/** A pointer of the application, the same for all handlers of the session; NULL at first. Never freed
 *  here: in `disconnect` at the latest. What one handler alone keeps belongs into its slot. */
SMTP_API void smtp_server_session_set_user(struct smtp_server_session *, void *user);
SMTP_API void *smtp_server_session_user(const struct smtp_server_session *);
/** A pointer of the driver (the connection); NULL at first. Never freed here. */
SMTP_API void smtp_server_session_set_driver(struct smtp_server_session *, void *driver);
SMTP_API void *smtp_server_session_driver(const struct smtp_server_session *);
/** A slot of the handler whose phase function runs (each handler has its own for each session). */
SMTP_API void **smtp_server_session_slot(struct smtp_server_session *,
					 const struct smtp_server_session_handler *handler);

#ifdef __cplusplus
}
#endif
#endif
