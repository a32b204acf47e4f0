/* SPDX-License-Identifier: ISC */
/* server.h - a listening SMTP server: loops, TLS, limits, timeouts, graceful stop. Create, use, listen,
 * run, shut down.
 * Threads: handlers run on the loop threads, several at once for different sessions; those of one
 *          session always on the same one. A handler must not block: it says PENDING, and the answer
 *          comes by smtp_server_answer() from any thread. Or it is declared to be blocking: then its
 *          functions run on worker threads. Set up before run(); what may be called while it runs says
 *          so.
 * Errors:  0 or a negative enum smtp_error; smtp_server_problem() tells more in one line.
 */
#ifndef SMTP_SERVER_H
#define SMTP_SERVER_H

#include <smtp/base.h>
#include <smtp/middleware.h>
#include <smtp/server_session.h>

#ifdef __cplusplus
extern "C" {
#endif

struct smtp_server;

/** Why a connection was ended before it had a session. */
enum smtp_refusal {
	SMTP_REFUSAL_CONNECTIONS,        /* over max_connections */
	SMTP_REFUSAL_CONNECTIONS_PER_IP, /* over max_connections_per_ip */
	SMTP_REFUSAL_TLS,                /* the handshake before the greeting failed */
	SMTP_REFUSAL_PROXY,              /* no valid PROXY header from a trusted proxy */
	SMTP_REFUSAL_TIMEOUT,            /* of the handshake, or of the PROXY header */
	SMTP_REFUSAL_MEMORY
};

/** A short name such as "tls", static. */
SMTP_API const char *smtp_refusal_str(enum smtp_refusal reason);

/** Valid during the call that it is given to. */
struct smtp_server_refusal {
	enum smtp_refusal reason;
	size_t listener;          /* in the order of listen(), from 0 */
	const char *peer_address; /* as of smtp_server_session_peer_address() */
	uint16_t peer_port;
	const char *detail; /* one line more, such as what OpenSSL says; may be "" */
};

struct smtp_server_options {
	size_t size;
	unsigned loops;                  /* loop threads; 0: one for each core */
	uint32_t max_connections;        /* beyond: 421 4.3.2 and close */
	uint32_t max_connections_per_ip; /* IPv4 /32, IPv6 /64; beyond: 421 4.7.0 and close; 0: no limit */
	uint32_t handshake_timeout_ms;
	unsigned workers; /* threads for what is blocking, 1 to 64; started only if something is */
	/* Told of each connection that ends without a session, in the thread of its loop; NULL: nobody.
	 * Those with one end in the `disconnect` of its handlers. */
	void (*refused)(const struct smtp_server_refusal *, void *user);
	void *refused_user;
};

#define SMTP_SERVER_OPTIONS_INIT                                                                   \
	{                                                                                          \
		.size = sizeof(struct smtp_server_options), .max_connections = 2000,               \
		.max_connections_per_ip = 50, .handshake_timeout_ms = 30000, .workers = 4          \
	}

/** The same as SMTP_SERVER_OPTIONS_INIT, for C++. */
SMTP_API void smtp_server_options_init(struct smtp_server_options *options);

/** `options` NULL: the defaults. SMTP_EINVAL, SMTP_ENOMEM, SMTP_EIO. */
SMTP_API SMTP_MUST_USE int smtp_server_new(struct smtp_server **out,
					   const struct smtp_server_options *options);
/** Not while run() or wait() is in it. One that was started is shut down at once. NULL is fine. */
SMTP_API void smtp_server_free(struct smtp_server *);
/** One line about the last error of set-up; "" if none. Borrowed until the next call. */
SMTP_API const char *smtp_server_problem(const struct smtp_server *);

/** A certificate with its chain, and its key: PEM in files, or as text in memory. */
struct smtp_certificate {
	const char *certificate_file;
	const char *key_file;
	const char *key_passphrase; /* NULL: none */
	const char *certificate_pem; /* if there is no file */
	const char *key_pem;
};

/** One address to listen on. Everything is copied but `handler`, `session.crypto` and the custom extensions
 *  themselves, which must outlive the server. `session.hostname` NULL: the machine's name, if that is a
 *  domain, else "localhost". */
struct smtp_listener_options {
	size_t size;
	/* "127.0.0.1:2525", "[::1]:25", "*:25" (both families); port 0 picks one. "unix:/path": a socket in
	 * the file system; one that nobody listens on any more is replaced, any other file is not. It is
	 * removed when the server is freed. */
	const char *address;
	/* Instead: sockets that listen already, spread over the loops; taken over on success. */
	const int *fds;
	size_t fd_count;
	bool implicit_tls;              /* TLS before the greeting (RFC 8314) */
	const char *certificate_file;   /* PEM; without any certificate there is no TLS here */
	const char *key_file;
	const char *key_passphrase;     /* NULL: none */
	struct smtp_server_session_options session; /* offer_starttls, tls_active are set by the server */
	const struct smtp_server_session_handler *handler; /* runs after those of smtp_server_use() */
	void *user;
	bool blocking; /* functions of `handler` that give a verdict run on worker threads */
	/* Networks such as "192.0.2.0/24 2001:db8::1", divided by blanks or commas, at most 256; NULL or "":
	 * none. A connection from there has to begin with a PROXY header, version 1 or 2, which is waited
	 * for within handshake_timeout_ms, before TLS, and whose addresses replace those of the connection;
	 * without a valid one it is closed. From anywhere else such a header ends the session. */
	const char *proxy_networks;
	unsigned unix_mode; /* permissions of the file of a unix socket; 0: 0600 */
	const char *certificate_pem; /* instead of certificate_file and key_file: text in memory */
	const char *key_pem;
	/* Further ones, 64 in all: a client that asks for a name (SNI) is shown the first certificate that
	 * has it, else the first of all. */
	const struct smtp_certificate *certificates;
	size_t certificate_count;
	/* Authorities of client certificates, PEM in a file or in memory; with them a client is asked for
	 * one. One that they have signed is told by smtp_server_session_client_identity() and allows AUTH
	 * EXTERNAL; without such a one the session goes on without, or the handshake fails if required. */
	const char *client_ca_file;
	const char *client_ca_pem;
	bool require_client_certificate;
};

#define SMTP_LISTENER_OPTIONS_INIT                                                                 \
	{                                                                                          \
		.size = sizeof(struct smtp_listener_options),                                      \
		.session = SMTP_SERVER_SESSION_OPTIONS_INIT                                        \
	}

/** The same as SMTP_LISTENER_OPTIONS_INIT, for C++. */
SMTP_API void smtp_listener_options_init(struct smtp_listener_options *options);

/** Adds a middleware for the sessions of all listeners, at most 15; order is kept. The struct is copied;
 *  from success on its `release` is called by smtp_server_free(). A blocking function that never returns
 *  keeps run() from returning. SMTP_EINVAL, SMTP_ESTATE (it runs), SMTP_ETOOLONG (too many). */
SMTP_API SMTP_MUST_USE int smtp_server_use(struct smtp_server *,
					   const struct smtp_middleware *middleware);
/** Binds and listens at once: SMTP_EACCESS, SMTP_EBUSY (in use), SMTP_EINVAL, SMTP_ETLS, SMTP_ESTATE (it
 *  runs), SMTP_ECLOSED (it was shut down). *port (may be NULL) receives the port. */
SMTP_API SMTP_MUST_USE int smtp_server_listen(struct smtp_server *,
					      const struct smtp_listener_options *options,
					      uint16_t *port);
/** Serves until shutdown has ended it. The caller's thread becomes one of the loops. Once: SMTP_ESTATE
 *  while it runs, SMTP_ECLOSED from shutdown() on. */
SMTP_API SMTP_MUST_USE int smtp_server_run(struct smtp_server *);
/** The same in threads of its own; they block all signals. Returns when they run. */
SMTP_API SMTP_MUST_USE int smtp_server_start(struct smtp_server *);
/** Waits for the end that a shutdown brings; again: the same result. One thread at a time. SMTP_ESTATE if
 *  it was not started. */
SMTP_API int smtp_server_wait(struct smtp_server *);
/** All in one call, for small programs: a server with default options and one listener in clear at
 *  `address`, that greets with the machine's name, until it is killed. Returns only when that can't be
 *  had; `problem` (may be NULL) receives one line then. */
SMTP_API SMTP_MUST_USE int smtp_server_serve(const char *address,
					     const struct smtp_server_session_handler *handler,
					     void *user, char *problem, size_t cap);
/** From any thread or handler: stops accepting, lets each session end its transaction (421 4.3.2 then),
 *  closes what is left after `deadline_ms`; run() then returns, when the last blocking function has. 0:
 *  closes at once. May be called again: the later deadline holds. Before run(): it can't run any more. */
SMTP_API void smtp_server_shutdown(struct smtp_server *, uint32_t deadline_ms);
/** From any thread while it runs: reads the files of certificates and authorities again and uses them for
 *  new handshakes. On error nothing changes; `problem` (may be NULL) receives one line. */
SMTP_API SMTP_MUST_USE int smtp_server_reload_tls(struct smtp_server *, char *problem, size_t cap);
/** The same with other files for the first certificate of every listener that has one.
 *  `key_passphrase` may be NULL. */
SMTP_API SMTP_MUST_USE int smtp_server_set_certificate(struct smtp_server *,
						       const char *certificate_file,
						       const char *key_file,
						       const char *key_passphrase, char *problem,
						       size_t cap);
/** From any thread while it runs: options for the sessions to come of the n-th listener, counted from 0 in
 *  the order of listen(). What the server sets itself (TLS) keeps its value. SMTP_EINVAL, SMTP_ENOMEM. */
SMTP_API SMTP_MUST_USE int
smtp_server_set_session_options(struct smtp_server *, size_t listener,
				const struct smtp_server_session_options *options);
/** Sessions now open; any thread. */
SMTP_API uint32_t smtp_server_session_count(const struct smtp_server *);

/** Names a question to a session's handler for an answer that comes later, from anywhere. A value; may be
 *  copied. */
struct smtp_ticket {
	struct smtp_server *server;
	uint64_t serial;
	uint32_t slot;
	uint32_t loop;
};

/** In each phase function that says PENDING, before it does: a ticket is good for one answer to the
 *  question it was taken in. Without memory for it the session is answered 451 instead of waiting. */
SMTP_API struct smtp_ticket smtp_server_ticket(struct smtp_server_session *);
/** Answers a phase that said PENDING, as smtp_server_session_reply() does, from any thread; `reply` is
 *  copied (up to 64 KiB of text; when memory is short, cut at 128 octets). Nothing happens and 0 is
 *  returned when nobody waits for it any more: it was answered, took longer than `verdict_timeout_ms`,
 *  or the session is gone. SMTP_EINVAL for another code; SMTP_ENOMEM if there was none for the ticket. */
SMTP_API int smtp_server_answer(struct smtp_ticket ticket, const struct smtp_reply *reply);
enum { SMTP_ANSWER_RECIPIENTS_MAX = 100000 };

/** For the `end` phase of LMTP: accepts the message, replies[i] being what is said of the i-th recipient
 *  that was accepted, as smtp_server_session_recipient_reply() takes it; code 0, and no entry: the usual
 *  reply. In another phase or with SMTP it only accepts. From any thread; copied. SMTP_EINVAL for another
 *  code, SMTP_ENOMEM: nothing was answered; else as smtp_server_answer(). */
SMTP_API int smtp_server_answer_recipients(struct smtp_ticket ticket, const struct smtp_reply *replies,
					   size_t count);
/** Instead of an answer: the connection is closed at once, nothing more is sent, not even replies that
 *  wait; `disconnect` is told SMTP_DISCONNECT_REFUSED. Errors as of answer(). */
SMTP_API int smtp_server_drop(struct smtp_ticket ticket);

/* About a session of a server; valid in its handlers. */

/** A short unique name of the session for logs, letters and digits. */
SMTP_API const char *smtp_server_session_trace_id(const struct smtp_server_session *);
/** About the TLS of a session; texts are "" when there is nothing. */
struct smtp_session_tls {
	size_t size;
	const char *version;     /* "TLSv1.3" */
	const char *cipher;      /* "TLS_AES_256_GCM_SHA384" */
	const char *server_name; /* that the client asked for (SNI) */
	/* Of the certificate that the client showed, trusted or not: its subject (RFC 2253, cut at 511
	 * octets) and its SHA-256, 64 hexadecimal digits. */
	const char *client_subject;
	const char *client_fingerprint;
	bool client_is_verified; /* it comes from an authority of the listener */
};
/** Fills *out up to out->size, which the caller sets; pointers live as long as the session. SMTP_ESTATE:
 *  there is no TLS; SMTP_EINVAL: another size than any version of the struct. */
SMTP_API SMTP_MUST_USE int smtp_server_session_tls(const struct smtp_server_session *,
						   struct smtp_session_tls *out);
/** The index of the loop that runs it, from 0. */
SMTP_API unsigned smtp_server_session_loop(const struct smtp_server_session *);

#ifdef __cplusplus
}
#endif
#endif
