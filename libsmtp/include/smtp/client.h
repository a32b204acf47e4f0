/* SPDX-License-Identifier: ISC */
/* client.h - the blocking client: connect, send, ask, quit. For programs and scripts that send now and
 * then; what runs on an event loop drives smtp_client_session itself.
 * Threads: one struct smtp_client, one thread at a time; smtp_client_cancel() alone from any.
 * Errors:  a negative enum smtp_error when there was no conversation or it broke; what the server
 *          answered is a value. smtp_client_problem() tells more in one line, for people.
 */
#ifndef SMTP_CLIENT_H
#define SMTP_CLIENT_H

#include <smtp/address.h>
#include <smtp/base.h>
#include <smtp/client_session.h>
#include <smtp/reply.h>
#include <smtp/url.h>

#ifdef __cplusplus
extern "C" {
#endif

struct smtp_client;

struct sockaddr;

/** All texts are copied by new(). */
struct smtp_client_options {
	size_t size;
	const char *helo_name;    /* NULL: the machine's name, or its address as a literal */
	const char *user;         /* NULL: that of the URL, if any */
	const char *password;     /* a user needs this or a token; wiped when the client is freed */
	unsigned mechanism;       /* enum smtp_mechanism; 0: the best (see client_session.h) */
	bool insecure;            /* take any certificate */
	bool auth_without_tls;
	const char *ca_file;      /* PEM; NULL: the system's */
	uint32_t connect_timeout_ms; /* for each address */
	uint32_t timeout_ms;         /* for the whole of each call below; 0: none but those of the steps */
	void (*trace)(bool from_server, struct smtp_span line, void *user); /* secrets are masked */
	void *trace_user;
	const char *token;        /* an OAuth 2.0 access token, for OAUTHBEARER and XOAUTH2 */
	/** Octets of content that were given to the session so far; called after each part. */
	void (*progress)(uint64_t octets, void *user);
	void *progress_user;
	/* Where no URL says it: smtp_client_open_host() and the like. */
	enum smtp_client_tls tls;
	bool lmtp;
	const char *server_name;      /* for SNI and in the certificate; NULL: the host */
	const char *certificate_file; /* PEM, shown when the server asks for one; without password and token
				       * it is a login too, where the server offers EXTERNAL */
	const char *key_file;
	const char *key_passphrase;
	/** SHA-256 of the SubjectPublicKeyInfo that the server must have: 64 hexadecimal digits or base64,
	 *  "sha256//" may stand before it. It is all that is checked, unless there is a `ca_file`; and
	 *  nothing is sent in clear when TLS does not work. */
	const char *pinned_key;
	bool no_pipelining, no_chunking; /* do without these extensions */
	const char *resolver; /* whom to ask for MX: "192.0.2.53@53", "recursive"; NULL: the system's */
	/* Times of single steps; 0: as in SMTP_CLIENT_SESSION_OPTIONS_INIT. */
	uint32_t handshake_timeout_ms;
	uint32_t greeting_timeout_ms, command_timeout_ms, data_timeout_ms, block_timeout_ms,
		end_timeout_ms, quit_timeout_ms;
};

#define SMTP_CLIENT_OPTIONS_INIT                                                                   \
	{                                                                                          \
		.size = sizeof(struct smtp_client_options), .connect_timeout_ms = 30000,           \
		.tls = SMTP_CLIENT_TLS_OPPORTUNISTIC                                               \
	}

/** The same as SMTP_CLIENT_OPTIONS_INIT, for C++. */
SMTP_API void smtp_client_options_init(struct smtp_client_options *options);

/** Creates a client that is not connected; @out is freed with smtp_client_free(), unchanged on error.
 *  @options may be NULL. SMTP_EINVAL, SMTP_ENOMEM. */
SMTP_API SMTP_MUST_USE int smtp_client_new(struct smtp_client **out,
					   const struct smtp_client_options *options);

/** Connects and sets up the session: every address of the host in turn, greeting, EHLO, TLS, AUTH.
 *  smtp:// uses STARTTLS when offered, and goes on in clear when TLS does not work; it looks at the
 *  certificate only when there is a user, whose password must not go to anybody. smtps:// and
 *  smtp+starttls:// require TLS and check the certificate. lmtp:// is as smtp://, in LMTP;
 *  lmtp+unix:/path is a socket of this machine; mx:// is smtp_client_open_mx(). SMTP_ESTATE: it is
 *  connected already; after smtp_client_quit() or a lost connection it can be opened again.
 *  SMTP_ERESOLVE, SMTP_ECONNECT, SMTP_ETLS, SMTP_EAUTH, SMTP_EREFUSED, SMTP_ETIMEDOUT, SMTP_EINVAL... */
SMTP_API SMTP_MUST_USE int smtp_client_open(struct smtp_client *, const char *url);
/** The same to a host (name or address), to one address, to a unix socket, or over a connected stream
 *  socket, which is taken over in any case. `tls`, `lmtp` and `server_name` of the options say how; the
 *  certificate is checked as with URLs when TLS is implicit or required, or there is a user. A server
 *  name must be given then if there is no host. */
SMTP_API SMTP_MUST_USE int smtp_client_open_host(struct smtp_client *, const char *host,
						 uint16_t port);
SMTP_API SMTP_MUST_USE int smtp_client_open_address(struct smtp_client *,
						    const struct sockaddr *address, size_t length);
SMTP_API SMTP_MUST_USE int smtp_client_open_unix(struct smtp_client *, const char *path);
SMTP_API SMTP_MUST_USE int smtp_client_open_fd(struct smtp_client *, int fd);

/** To the hosts that the MX records of a domain name, the preferred ones first, else to the domain's
 *  own address; the first that lets us in counts (RFC 5321, 5.1). STARTTLS is used when offered; there is
 *  no login. `port` 0 is 25. SMTP_EREFUSED for a null MX (RFC 7505), SMTP_EINVAL with a user. */
SMTP_API SMTP_MUST_USE int smtp_client_open_mx(struct smtp_client *, const char *domain,
					       uint16_t port);

/** new() and open() in one: @out is set on failure too unless memory ran out or the options are wrong,
 *  so that problem() and last_reply() can be read. */
SMTP_API SMTP_MUST_USE int smtp_client_connect(struct smtp_client **out, const char *url,
					       const struct smtp_client_options *options);
/** Says QUIT, waits shortly, closes. The client can be opened again. */
SMTP_API void smtp_client_quit(struct smtp_client *);
/** quit() and free. NULL is fine. */
SMTP_API void smtp_client_free(struct smtp_client *);
/** Ends the call under way, and any later one, with SMTP_ECANCELED; the connection is closed without
 *  QUIT. From any thread, and from a signal handler; the client must not be freed meanwhile. A look-up of
 *  a host name by the C library is not cut short: the call ends when it is over. */
SMTP_API void smtp_client_cancel(struct smtp_client *);

/** What became of one recipient. `reply` is owned by the client until its next call. */
struct smtp_client_result {
	bool accepted; /* the server took the message for this recipient */
	enum smtp_client_step step; /* whose answer it is */
	struct smtp_reply reply;
};

/** Sends one message; again and again on one connection. `results` has room for forward_path_count of
 *  them, in that order. 0: the conversation went well, look at the results.
 *  Content that can be read again (`rewind`) is looked through first: SIZE and BODY=8BITMIME are found
 *  out unless they are told, a bare CR or LF that is to be refused is SMTP_ESYNTAX before anything is
 *  sent, and recipients over the server's RCPTMAX get the message in further transactions. */
SMTP_API SMTP_MUST_USE int smtp_client_send(struct smtp_client *,
					    const struct smtp_client_transaction *txn,
					    struct smtp_client_result *results);
/** The same from texts: a message (header section, blank line, body; line ends may be LF) to some
 *  addresses. `from` may be "" or "<>". SMTP_ESYNTAX: an address is none. */
SMTP_API SMTP_MUST_USE int smtp_client_send_text(struct smtp_client *, const char *from,
						 const char *const *to, size_t to_count,
						 const char *message,
						 struct smtp_client_result *results);
/** Content from a descriptor, from where it stands up to its end; it stays the caller's. Read again if
 *  it can be sought in. `state` lives as long as the content. */
struct smtp_fd_content {
	int fd;
	int64_t begin; /* -1: no way back */
};
SMTP_API struct smtp_client_content smtp_client_content_of_fd(struct smtp_fd_content *state, int fd);

/** One command line, or "VRFY " and "EXPN " with an argument, HELP and NOOP with an optional one, RSET.
 *  An argument of VRFY or EXPN that is not ASCII goes with SMTPUTF8 (RFC 6531, 3.7.4.2), and is
 *  SMTP_ENOTSUP without. *reply is borrowed until the next call. */
SMTP_API SMTP_MUST_USE int smtp_client_command(struct smtp_client *, const char *line,
					       struct smtp_reply *reply);
SMTP_API SMTP_MUST_USE int smtp_client_verify(struct smtp_client *, const char *text,
					      struct smtp_reply *reply);
SMTP_API SMTP_MUST_USE int smtp_client_expand(struct smtp_client *, const char *list,
					      struct smtp_reply *reply);
SMTP_API SMTP_MUST_USE int smtp_client_help(struct smtp_client *, const char *topic,
					    struct smtp_reply *reply);
SMTP_API SMTP_MUST_USE int smtp_client_noop(struct smtp_client *, const char *text,
					    struct smtp_reply *reply);
SMTP_API SMTP_MUST_USE int smtp_client_reset(struct smtp_client *, struct smtp_reply *reply);
/** Asks for TLS now. A refusal is a value: the session goes on in clear. The certificate is checked if
 *  `tls` of the options is NONE, or as open() says. SMTP_ENOTSUP: not offered; SMTP_ESTATE: there is
 *  TLS; SMTP_ETLS: it failed, and the connection is over. */
SMTP_API SMTP_MUST_USE int smtp_client_starttls(struct smtp_client *, struct smtp_reply *reply);

/** Logs in now, with the best mechanism or that of the options; after starttls() for example. A refusal
 *  is SMTP_EAUTH, and the connection is over, as when it happens in open(). SMTP_ETLS, and it is as it
 *  was: the certificate was not looked at, since open() knew of no user and left TLS to chance. */
SMTP_API SMTP_MUST_USE int smtp_client_authenticate(struct smtp_client *, const char *user,
						    const char *password);

/** What the server offered last; SMTP's own keywords and others. */
SMTP_API const struct smtp_extensions *smtp_client_extensions(const struct smtp_client *);
SMTP_API bool smtp_client_has_extension(const struct smtp_client *, const char *keyword,
					struct smtp_span *params);
/** The greeting and the last reply that came; code 0 if none. Borrowed until the next call. */
SMTP_API struct smtp_reply smtp_client_greeting(const struct smtp_client *);
SMTP_API struct smtp_reply smtp_client_last_reply(const struct smtp_client *);
/** "TLSv1.3 TLS_AES_256_GCM_SHA384"; "" in clear. */
SMTP_API const char *smtp_client_tls_description(const struct smtp_client *);
/** "192.0.2.1:25" or "/run/lmtp": whom it talks to; "" before. */
SMTP_API const char *smtp_client_peer(const struct smtp_client *);
/** One line on what went wrong last, "" if nothing did. Borrowed until the next call. */
SMTP_API const char *smtp_client_problem(const struct smtp_client *);

#ifdef __cplusplus
}
#endif
#endif
