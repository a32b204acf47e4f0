/* SPDX-License-Identifier: ISC */
/* middleware.h - checks and other parts that are put in front of a server's own handler.
 * A middleware is a set of phase functions, the pointer they are given, and how they are to be run.
 * Those of a session are asked in the order they were added, the first refusal ends the phase; what a
 * middleware knows of one session hangs from its slot, smtp_server_session_slot().
 * Threads: one middleware serves many sessions at the same time, so what its `user` points to needs
 *          a lock or must not change. For one session its functions run one after another.
 */
#ifndef SMTP_MIDDLEWARE_H
#define SMTP_MIDDLEWARE_H

#include <smtp/base.h>
#include <smtp/server_session.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Copied by whoever it is given to. */
struct smtp_middleware {
	size_t size;      /* sizeof(struct smtp_middleware) */
	const char *name; /* for logs and messages, such as "require_tls"; borrowed; may be NULL */
	/* Borrowed: lives until the server, or the session, was freed. */
	const struct smtp_server_session_handler *handler;
	void *user; /* given to the functions of `handler` */
	/* Its functions that give a verdict may take long: they are run on a worker thread, and nothing
	 * else happens in the session until they return. `reset`, `disconnect` and `trace` run where
	 * those of other middleware run and must not block. */
	bool blocking;
	/* Called with `user` when the server it was given to is freed, after its last session has ended;
	 * may be NULL. A session that it is given to alone does not call it. */
	void (*release)(void *user);
};

/** A struct with these members; for C++, and for what is shorter so. `user` may be NULL. */
SMTP_API struct smtp_middleware
smtp_middleware_of(const char *name, const struct smtp_server_session_handler *handler, void *user);

/* --- ready-made ------------------------------------------------------------------------------- */

/* Each constructor fills *out, to be given to smtp_server_use(), which sees to its release; what is not
 * given to a server is released with smtp_middleware_release(). Arguments are copied. On error *out is
 * unchanged: SMTP_EINVAL, SMTP_ENOMEM. None of them makes a recipient acceptable that no handler
 * accepts, but for the list of recipient domains. What goes by the peer's address lets those pass that
 * have none (unix sockets). Once filled they may be used by any number of threads. */

/** Calls the release function, once; for what no server has taken. */
SMTP_API void smtp_middleware_release(struct smtp_middleware *middleware);

/** Where a check stands. */
enum smtp_middleware_place {
	SMTP_AT_CONNECT, /* before the greeting */
	SMTP_AT_MAIL,
	SMTP_AT_RCPT,
	SMTP_AT_DATA /* before 354, or before the first BDAT */
};

/** Refuses with 530 5.7.0 at that place as long as there is no TLS. SMTP_EINVAL for SMTP_AT_CONNECT. */
SMTP_API SMTP_MUST_USE int smtp_middleware_require_tls(struct smtp_middleware *out,
						       enum smtp_middleware_place at);
/** The same for a login (RFC 4954, 6). */
SMTP_API SMTP_MUST_USE int smtp_middleware_require_auth(struct smtp_middleware *out,
							enum smtp_middleware_place at);

/** A token bucket for each peer, IPv4 by address, IPv6 by /64: `burst` at once, then `per_minute`. */
struct smtp_rate_limit_options {
	size_t size;
	uint32_t per_minute; /* at least 1 */
	uint32_t burst;      /* at least 1 */
	uint32_t max_peers;  /* whose state is kept, 24 octets each; beyond: the least busy is forgotten */
	enum smtp_middleware_place at; /* what costs a token; a message with 3 recipients: 3 at RCPT */
};

#define SMTP_RATE_LIMIT_OPTIONS_INIT                                                               \
	{                                                                                          \
		.size = sizeof(struct smtp_rate_limit_options), .per_minute = 60, .burst = 20,     \
		.max_peers = 65536, .at = SMTP_AT_MAIL                                             \
	}

/** The same as SMTP_RATE_LIMIT_OPTIONS_INIT, for C++. */
SMTP_API void smtp_rate_limit_options_init(struct smtp_rate_limit_options *options);

/** Refuses with 450 4.7.1 (421 4.7.1 at connect) when the bucket is empty. `options` NULL: the defaults.
 *  The clock is that of the sessions. SMTP_EIO: no random octets. */
SMTP_API SMTP_MUST_USE int
smtp_middleware_rate_limit(struct smtp_middleware *out,
			   const struct smtp_rate_limit_options *options);

/** Networks such as "192.0.2.0/24", "2001:db8::/32" or single addresses; NULL ends a list. */
struct smtp_connection_check_options {
	size_t size;
	const char *const *allow; /* NULL: everybody who is not denied */
	const char *const *deny;  /* NULL: nobody */
	const char *text;         /* of the refusal; NULL: a usual one */
};

#define SMTP_CONNECTION_CHECK_OPTIONS_INIT { .size = sizeof(struct smtp_connection_check_options) }

/** The same as SMTP_CONNECTION_CHECK_OPTIONS_INIT, for C++. */
SMTP_API void smtp_connection_check_options_init(struct smtp_connection_check_options *options);

/** Refuses with 554 5.7.1 instead of a greeting who is denied, or not allowed where there is such a list. A
 *  peer in both is decided by the smaller network, and denied if they are the same. SMTP_EINVAL also for
 *  what is no network. */
SMTP_API SMTP_MUST_USE int
smtp_middleware_connection_check(struct smtp_middleware *out,
				 const struct smtp_connection_check_options *options);

struct smtp_recipient_domains_options {
	size_t size;
	/* NULL ends the list. "example.org" is that domain alone, ".example.org" all below it; an address
	 * literal stands with its brackets. In any case, as U-labels or as A-labels. */
	const char *const *domains;
	bool accounts_may_relay; /* who has logged in may send anywhere */
};

#define SMTP_RECIPIENT_DOMAINS_OPTIONS_INIT { .size = sizeof(struct smtp_recipient_domains_options) }

/** The same as SMTP_RECIPIENT_DOMAINS_OPTIONS_INIT, for C++. */
SMTP_API void smtp_recipient_domains_options_init(struct smtp_recipient_domains_options *options);

/** Accepts recipients in these domains, and <postmaster>; refuses others with 550 5.7.1, and with 550 5.1.2
 *  what is no domain name by IDNA. SMTP_EINVAL also for a domain of the list that is none. */
SMTP_API SMTP_MUST_USE int
smtp_middleware_recipient_domains(struct smtp_middleware *out,
				  const struct smtp_recipient_domains_options *options);

/** Greylisting: the first RCPT of a network (IPv4 /24, IPv6 /64), reverse-path and recipient is put off with
 *  450 4.7.1; who tries again after `delay_s` is let pass, for as long as it comes back within `keep_s`. */
struct smtp_greylist_options {
	size_t size;
	uint32_t delay_s;     /* at least 1 */
	uint32_t keep_s;      /* more than delay_s */
	uint32_t max_entries; /* 24 octets each; beyond: the one that was not seen for longest is forgotten */
	/* Where it is kept from one run to the next, written every five minutes and on release, read at the
	 * start; one that can't be read counts as empty. NULL: memory only. */
	const char *file;
};

#define SMTP_GREYLIST_OPTIONS_INIT                                                                 \
	{                                                                                          \
		.size = sizeof(struct smtp_greylist_options), .delay_s = 300, .keep_s = 86400,     \
		.max_entries = 100000                                                              \
	}

/** The same as SMTP_GREYLIST_OPTIONS_INIT, for C++. */
SMTP_API void smtp_greylist_options_init(struct smtp_greylist_options *options);

/** Put it behind what refuses for good. Who has logged in, and peers without an address, pass. With a file
 *  its functions are run on worker threads. `options` NULL: the defaults. SMTP_EIO: no random octets. */
SMTP_API SMTP_MUST_USE int smtp_middleware_greylist(struct smtp_middleware *out,
						    const struct smtp_greylist_options *options);

/** What a DNS block list says of an address. */
struct smtp_dnsbl_listing {
	/* Its A record: what is not in 127.0.0.0/8, or is in 127.255.255.0/24, is no listing. */
	uint8_t address[4];
	char text[256];     /* its TXT record, NUL-terminated; "" if there is none */
};

struct smtp_dnsbl_options {
	size_t size;
	const char *const *zones; /* such as "bl.example.org"; asked in this order; NULL ends the list */
	/** Looks one name up, such as "2.0.0.127.bl.example.org"; may block, on several threads at once.
	 *  0 and *out filled, SMTP_ENOTFOUND, or another error: then that zone is passed over. NULL: DNS, by
	 *  the resolver of the C library. */
	int (*lookup)(void *user, const char *name, struct smtp_dnsbl_listing *out);
	void *user;
	const char *server; /* without `lookup`: "192.0.2.53@53" instead of the system's; NULL: that */
};

#define SMTP_DNSBL_OPTIONS_INIT { .size = sizeof(struct smtp_dnsbl_options) }

/** The same as SMTP_DNSBL_OPTIONS_INIT, for C++. */
SMTP_API void smtp_dnsbl_options_init(struct smtp_dnsbl_options *options);

/** Refuses at RCPT with 554 5.7.1 and the text of the list whose peer is listed (RFC 5782); not who has
 *  logged in, nor mail to <postmaster>. The peer is looked up once a session, on a worker thread; a list that
 *  does not answer lists nobody. SMTP_EINVAL also for a zone that is no domain name. */
SMTP_API SMTP_MUST_USE int smtp_middleware_dnsbl(struct smtp_middleware *out,
						 const struct smtp_dnsbl_options *options);

/** Adds a Received field (RFC 5321, 4.4) to each message at DATA, with the trace id of the session and, for a
 *  single recipient, its address. It is found in smtp_server_session_fields(): whoever takes the content
 *  puts that above it. `hostname` is that of this machine. */
SMTP_API SMTP_MUST_USE int smtp_middleware_received(struct smtp_middleware *out,
						    const char *hostname);

/* A function of your own for one phase; arguments and verdicts are those of smtp_server_session_handler.
 * `user` is passed on untouched. */

SMTP_API SMTP_MUST_USE int
smtp_middleware_connect(struct smtp_middleware *out,
			enum smtp_verdict (*check)(struct smtp_server_session *, void *user),
			void *user);
SMTP_API SMTP_MUST_USE int
smtp_middleware_helo(struct smtp_middleware *out,
		     enum smtp_verdict (*check)(struct smtp_server_session *,
						struct smtp_span name, bool extended, void *user),
		     void *user);
SMTP_API SMTP_MUST_USE int
smtp_middleware_auth(struct smtp_middleware *out,
		     enum smtp_verdict (*check)(struct smtp_server_session *,
						const struct smtp_auth_request *, void *user),
		     void *user);
SMTP_API SMTP_MUST_USE int
smtp_middleware_mail(struct smtp_middleware *out,
		     enum smtp_verdict (*check)(struct smtp_server_session *,
						const struct smtp_mail_request *, void *user),
		     void *user);
SMTP_API SMTP_MUST_USE int
smtp_middleware_rcpt(struct smtp_middleware *out,
		     enum smtp_verdict (*check)(struct smtp_server_session *,
						const struct smtp_rcpt_request *, void *user),
		     void *user);
SMTP_API SMTP_MUST_USE int
smtp_middleware_data(struct smtp_middleware *out,
		     enum smtp_verdict (*check)(struct smtp_server_session *, void *user),
		     void *user);
SMTP_API SMTP_MUST_USE int
smtp_middleware_end(struct smtp_middleware *out,
		    enum smtp_verdict (*check)(struct smtp_server_session *, void *user),
		    void *user);

#ifdef __cplusplus
}
#endif
#endif
