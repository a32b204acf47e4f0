/* SPDX-License-Identifier: ISC */
/* client_session.h - the client end of one SMTP session (RFC 5321), without I/O: bytes and time in,
 * bytes and events out.
 * Threads: objects are independent; one object, one thread at a time. No hidden globals.
 * Units:   *_ms milliseconds. now_ms comes from any clock that never runs backwards.
 * Errors:  0 is success, else a negative enum smtp_error. What the server answers is a value.
 *
 * Driving it: start() when connected; then as in server_session.h with wants(), feed(), output(),
 * sent(), deadline(), tick(), tls_started(), peer_closed(). Work is given with mail(), command(),
 * quit() - at once or from within `ready`, `transaction_done` and the `reply` to a raw command - and
 * runs in that order. It begins with the next output(), so look at wants() after giving it; output() may
 * turn out empty then. Handlers must not call feed(), output(), sent(), tick() or free().
 */
#ifndef SMTP_CLIENT_SESSION_H
#define SMTP_CLIENT_SESSION_H

#include <smtp/address.h>
#include <smtp/base.h>
#include <smtp/envelope.h>
#include <smtp/reply.h>
#include <smtp/sasl.h>
#include <smtp/server_session.h> /* enum smtp_wants */

#ifdef __cplusplus
extern "C" {
#endif

struct smtp_client_session;

/** What the server's EHLO reply offers. All false after HELO. */
struct smtp_extensions {
	bool extended; /* EHLO was answered 250 */
	bool pipelining, size, eightbitmime, starttls, auth, enhancedstatuscodes, chunking, dsn, smtputf8;
	uint64_t size_limit; /* 0: none told */
	unsigned mechanisms; /* set of enum smtp_mechanism */
	bool binarymime, requiretls;
	/* LIMITS (RFC 9422); 0: none told. */
	uint64_t mail_max;        /* transactions of one session */
	uint64_t rcpt_max;        /* recipients of one transaction */
	uint64_t rcpt_domain_max; /* different domains of these */
};

enum smtp_client_tls {
	SMTP_CLIENT_TLS_NONE,
	SMTP_CLIENT_TLS_IMPLICIT,      /* the driver runs the handshake before start() */
	SMTP_CLIENT_TLS_OPPORTUNISTIC, /* STARTTLS when offered */
	SMTP_CLIENT_TLS_REQUIRED       /* STARTTLS or SMTP_ETLS */
};

struct smtp_client_session_options {
	size_t size;
	const char *helo_name;     /* copied; a domain or an address literal */
	enum smtp_client_tls tls;
	const char *user;          /* copied; NULL: no AUTH */
	const char *password;      /* copied, wiped after use */
	/* One of enum smtp_mechanism, or 0 for the best that the server offers: with a token OAUTHBEARER,
	 * XOAUTH2; else, or if it takes neither, SCRAM-SHA-256-PLUS, SCRAM-SHA-256, EXTERNAL, PLAIN, LOGIN,
	 * CRAM-MD5. Without TLS only SCRAM, unless auth_without_tls is set: then CRAM-MD5 before PLAIN. */
	unsigned mechanism;
	bool auth_without_tls;     /* allow a password or token in clear text: never by default */
	bool pipelining;           /* use it when offered */
	/* All times: 0 is none. */
	uint32_t greeting_timeout_ms; /* RFC 5321, 4.5.3.2.1 */
	uint32_t command_timeout_ms;  /* EHLO, AUTH, MAIL, RCPT and others (4.5.3.2.2, .3) */
	uint32_t data_timeout_ms;     /* DATA, until 354 (4.5.3.2.4) */
	uint32_t block_timeout_ms;    /* sending of content makes no progress (4.5.3.2.5) */
	uint32_t end_timeout_ms;      /* after the end of data (4.5.3.2.6) */
	uint32_t quit_timeout_ms;     /* waiting for the answer to QUIT; nothing depends on it */
	bool lmtp;     /* RFC 2033: LHLO, a final reply for each recipient */
	bool chunking; /* send content with BDAT when CHUNKING is offered (RFC 3030) */
	/* Writes a domain with U-labels in A-labels (RFC 5891), at most 255 octets and a NUL; not 0: it can't
	 * be done. For servers without SMTPUTF8. NULL: it is never done. */
	int (*domain_to_ascii)(const char *domain, char out[SMTP_DOMAIN_MAX + 1]);
	const char *token;            /* copied, wiped after use: an OAuth 2.0 access token */
	const char *authorization_id; /* copied: whom to act for; NULL: the user. Not with LOGIN, CRAM-MD5
				       * and tokens */
	bool auth_external;           /* the TLS client certificate is a login: EXTERNAL, if offered and
				       * there is neither password nor token */
	const struct smtp_crypto *crypto; /* must outlive the session; NULL: no SCRAM, no CRAM-MD5 */
};

#define SMTP_CLIENT_SESSION_OPTIONS_INIT                                                           \
	{                                                                                          \
		.size = sizeof(struct smtp_client_session_options),                                \
		.tls = SMTP_CLIENT_TLS_OPPORTUNISTIC, .pipelining = true, .chunking = true,        \
		.greeting_timeout_ms = 300000, .command_timeout_ms = 300000,                       \
		.data_timeout_ms = 120000, .block_timeout_ms = 180000, .end_timeout_ms = 600000,   \
		.quit_timeout_ms = 2000                                                            \
	}

/** The same as SMTP_CLIENT_SESSION_OPTIONS_INIT, for C++. */
SMTP_API void smtp_client_session_options_init(struct smtp_client_session_options *options);

/** Where in the session a reply belongs. */
enum smtp_client_step {
	SMTP_STEP_CONNECT, /* before the greeting; only in errors */
	SMTP_STEP_GREETING,
	SMTP_STEP_EHLO,
	SMTP_STEP_HELO,
	SMTP_STEP_STARTTLS,
	SMTP_STEP_TLS, /* the handshake; only in errors */
	SMTP_STEP_AUTH,
	SMTP_STEP_MAIL,
	SMTP_STEP_RCPT, /* index counts the forward-paths from 0 */
	SMTP_STEP_DATA,
	SMTP_STEP_BDAT,    /* a chunk that is not the last; index counts them */
	SMTP_STEP_CONTENT, /* only in errors */
	SMTP_STEP_END,     /* the answer to the end of data, or to the last chunk; LMTP: index tells
			    * the recipient */
	SMTP_STEP_RSET,
	SMTP_STEP_COMMAND,
	SMTP_STEP_QUIT
};

/** "MAIL", "RCPT", "end of data" ...: static. */
SMTP_API const char *smtp_client_step_str(enum smtp_client_step step);

/** Gives content: at most `cap` octets into `out`, *n = 0 at the end. Line ends may be any; they are
 *  sent as CRLF, dots are stuffed by the session. A negative return cuts the connection, so that
 *  nothing half is taken for whole. */
struct smtp_client_content {
	int (*read)(void *user, uint8_t *out, size_t cap, size_t *n);
	void *user;
	/** Begins anew, so that read() gives the same once more; not 0: it can't be done. NULL: never. Asked
	 *  for when a server that offers CHUNKING does not know BDAT (500, 502): the message is then sent
	 *  again with DATA, and without it refused. */
	int (*rewind)(void *user);
};

/** Content in memory: the octets are borrowed and not changed. `state` is the caller's and lives as
 *  long as the content. */
struct smtp_memory_content {
	struct smtp_span octets;
	size_t at;
};
SMTP_API struct smtp_client_content smtp_client_content_of(struct smtp_memory_content *state,
							struct smtp_span octets);

/** What goes along with one RCPT, when the server offers DSN. */
struct smtp_client_recipient {
	unsigned notify;   /* set of enum smtp_dsn_notify; 0: nothing said */
	const char *orcpt; /* "rfc822;bob@example.org", not encoded; NULL: nothing said */
};

/** One transaction. Everything but the content is copied; the content source must live until
 *  transaction_done or failed.
 *
 *  What the server does not offer: SIZE, BODY=8BITMIME, the parameters of DSN and AUTH are left out, as
 *  smtp_client_session_extensions() tells. Others are needed, and without them nothing is sent; results
 *  are made up: 550 5.7.30 for `require_tls`, 554 5.6.3 for a binary body, 550 5.6.7 (553 5.6.7 for
 *  a recipient) where UTF-8 is needed; 552 5.3.4 for a message that is too large. SMTPUTF8 is needed
 *  by a local part that is not ASCII, by a domain that `domain_to_ascii` can't write in A-labels, and
 *  when `smtputf8` says so. Recipients over the server's LIMITS get 452 4.5.3, for another transaction;
 *  so does a whole transaction over MAILMAX, for another session.
 *
 *  Content is sent with BDAT when the server offers CHUNKING, in chunks of up to 16 KiB; a message whose
 *  `content_bytes` says that it fits into one leaves together with MAIL and RCPT, any other when a
 *  recipient was accepted. Else it is sent with DATA. */
struct smtp_client_transaction {
	size_t size;
	const struct smtp_path *reverse_path;
	const struct smtp_path *forward_paths;
	size_t forward_path_count; /* at least 1 */
	uint64_t content_bytes;    /* for the SIZE parameter; 0: unknown */
	enum smtp_body_kind body;  /* 8BITMIME: content has octets over 127; BINARYMIME: it is sent as it
				    * is, lines or not (RFC 3030, 3) */
	struct smtp_client_content content;
	bool smtputf8;             /* its header section is internationalized (RFC 6532) */
	bool require_tls;          /* REQUIRETLS (RFC 8689) */
	bool refuse_bare_newlines; /* a bare CR or LF in content cuts the connection, SMTP_ESYNTAX */
	enum smtp_dsn_return ret;
	const char *envid;         /* ENVID: printable ASCII; NULL: none */
	const char *auth;          /* MAIL AUTH=: a mailbox, or "<>" (RFC 4954, 5); NULL: none */
	const struct smtp_client_recipient *recipients; /* one for each forward-path; NULL: nothing said */
};

#define SMTP_CLIENT_TRANSACTION_INIT { .size = sizeof(struct smtp_client_transaction) }

/** The same as SMTP_CLIENT_TRANSACTION_INIT, for C++. */
SMTP_API void smtp_client_transaction_init(struct smtp_client_transaction *txn);

struct smtp_client_session_handler {
	size_t size;
	/** Greeting, EHLO, TLS and AUTH are done: the session takes transactions. */
	void (*ready)(struct smtp_client_session *, void *user);
	/** Every reply as it comes; `reply` is borrowed until return. Left out is what only repeats a
	 *  refusal: after a refused MAIL the answers to RCPT and DATA that were pipelined behind it, so that
	 *  each recipient has one result: a refusal of its RCPT, else that of transaction_done. */
	void (*reply)(struct smtp_client_session *, enum smtp_client_step step, size_t index,
		      const struct smtp_reply *reply, void *user);
	/** The transaction is over. Recipients whose RCPT was positive have `final` as their result: the
	 *  answer to the end of data, or what ended it earlier (MAIL or DATA refused, or a reply of code 0
	 *  when every RCPT was refused). `step` says which. With LMTP each recipient has a result of its
	 *  own, told by recipient_done; `final` is then the first that is not positive, else the last.
	 *  The session then takes the next transaction. */
	void (*transaction_done)(struct smtp_client_session *, enum smtp_client_step step,
				 const struct smtp_reply *final, void *user);
	/** The session ended before its work was done; called at most once, nothing follows. (WRITE may be
	 *  wanted besides CLOSE: a QUIT that need not be answered, nor sent.) `reply` may be
	 *  NULL: the server's answer that caused it (a 4yz or 5yz greeting, a 421, a refused AUTH). Content
	 *  that had been sent without an answer (step END) may or may not have been taken: send it again. */
	void (*failed)(struct smtp_client_session *, int error, enum smtp_client_step step,
		       const struct smtp_reply *reply, void *user);
	/** QUIT was answered or is over; nothing follows. */
	void (*finished)(struct smtp_client_session *, void *user);
	/** Each line sent or received, without CRLF, secrets replaced by "***", content left out. */
	void (*trace)(struct smtp_client_session *, bool from_server, struct smtp_span line, void *user);
	/** What became of one recipient, once for each before transaction_done: a refusal of its RCPT as
	 *  soon as it comes, else the answer to the end of data (with LMTP its own), or what ended the
	 *  transaction earlier. `reply` may have code 0: every RCPT was refused. A session that fails
	 *  leaves out those who have no result yet. */
	void (*recipient_done)(struct smtp_client_session *, enum smtp_client_step step, size_t index,
			       const struct smtp_reply *reply, void *user);
};

/** Creates a session; @out is freed with smtp_client_session_free(), unchanged on error. @options is
 *  borrowed until return, @handler must outlive the session. SMTP_EINVAL, SMTP_ENOMEM. */
SMTP_API SMTP_MUST_USE int
smtp_client_session_new(struct smtp_client_session **out,
			const struct smtp_client_session_options *options,
			const struct smtp_client_session_handler *handler, void *user);
/** The connection stands (and TLS, if implicit: then `tls_started` was called before). */
SMTP_API void smtp_client_session_start(struct smtp_client_session *, uint64_t now_ms);
SMTP_API SMTP_MUST_USE int smtp_client_session_feed(struct smtp_client_session *, const void *octets,
						    size_t n, uint64_t now_ms, size_t *taken);
SMTP_API unsigned smtp_client_session_wants(const struct smtp_client_session *);
/** Octets to send; pulls content when it is the turn of content. Valid until the next call. */
SMTP_API struct smtp_span smtp_client_session_output(struct smtp_client_session *, uint64_t now_ms);
SMTP_API void smtp_client_session_sent(struct smtp_client_session *, size_t n, uint64_t now_ms);
SMTP_API uint64_t smtp_client_session_deadline(const struct smtp_client_session *);
SMTP_API void smtp_client_session_tick(struct smtp_client_session *, uint64_t now_ms);
/** The handshake that WANTS_TLS asked for is done; EHLO is said anew, all before is forgotten. */
SMTP_API SMTP_MUST_USE int smtp_client_session_tls_started(struct smtp_client_session *,
							   const char *description, uint64_t now_ms);
/** What the TLS connection gives to AUTH (SCRAM-SHA-256-PLUS); before tls_started(), copied. Without it
 *  there is no -PLUS. SMTP_ESTATE, SMTP_EINVAL. */
SMTP_API SMTP_MUST_USE int
smtp_client_session_set_tls_channel(struct smtp_client_session *,
				    const struct smtp_tls_channel *channel);
/** The driver failed (connection lost, TLS refused): `failed` is called unless the session is over. */
SMTP_API void smtp_client_session_fail(struct smtp_client_session *, int error);
/** The peer closed: `failed` with SMTP_ECLOSED, or `finished` after QUIT. */
SMTP_API void smtp_client_session_peer_closed(struct smtp_client_session *);
SMTP_API void smtp_client_session_free(struct smtp_client_session *);

/** Begins a transaction: now if the session is ready, else as soon as it is. SMTP_ESTATE while another
 *  one is under way or after quit(); SMTP_EINVAL for an empty or wrong one. Addresses are checked
 *  against the grammar. A size over the server's limit is refused without sending: transaction_done
 *  with step MAIL and a made-up 552 5.3.4. */
SMTP_API SMTP_MUST_USE int smtp_client_session_mail(struct smtp_client_session *,
						    const struct smtp_client_transaction *txn);
/** Sends one command line without CRLF; `reply` is called with SMTP_STEP_COMMAND. SMTP_EINVAL for
 *  control octets, for what begins with no verb, and for DATA, BDAT and STARTTLS, behind which octets
 *  mean something else; SMTP_ETOOLONG over 2046 octets. Same times as mail(), and from within the
 *  `reply` to another raw command. After a 221 `finished` follows. */
SMTP_API SMTP_MUST_USE int smtp_client_session_command(struct smtp_client_session *,
						       struct smtp_span line);
/** Asks for TLS now, when the session is set up in clear text; same times as mail(). SMTP_ENOTSUP: not
 *  offered; SMTP_ESTATE. A refusal is told by `reply`, and the session goes on. Else WANTS_TLS follows,
 *  EHLO, and `ready` once more; a login that was made before counts no longer (RFC 3207, 4.2). */
SMTP_API SMTP_MUST_USE int smtp_client_session_starttls(struct smtp_client_session *);
/** Logs in now, when the session is set up without: after starttls(), or to decide by what is offered. The
 *  texts are copied, and wiped after use; `mechanism` and the rest are as in the options. `ready`
 *  follows, or `failed`, as at the begin. Whether the certificate was checked is known to the driver
 *  alone: over TLS the login goes to whoever is there. SMTP_ESTATE, SMTP_EINVAL, SMTP_ENOMEM. */
SMTP_API SMTP_MUST_USE int smtp_client_session_authenticate(struct smtp_client_session *,
							    const char *user, const char *password);
/** Says QUIT when what is under way is done. Again: no effect. */
SMTP_API void smtp_client_session_quit(struct smtp_client_session *);

/** What the server offered; valid while the session lives. */
SMTP_API const struct smtp_extensions *
smtp_client_session_extensions(const struct smtp_client_session *);
/** Does the last EHLO reply have this keyword, in any case? *params (may be NULL) receives what stands
 *  behind it; borrowed until the next EHLO. For extensions that the library does not know. */
SMTP_API bool smtp_client_session_has_extension(const struct smtp_client_session *,
						const char *keyword, struct smtp_span *params);
SMTP_API bool smtp_client_session_has_tls(const struct smtp_client_session *);
/** Is it idle: set up, with nothing under way, open for mail() and command()? */
SMTP_API bool smtp_client_session_is_idle(const struct smtp_client_session *);

#ifdef __cplusplus
}
#endif
#endif
