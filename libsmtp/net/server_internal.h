/* SPDX-License-Identifier: ISC */
/* server_internal.h - what the files of the server share. server.c: set-up and running.
 * server_listen.c, server_tls.c: listeners, their settings and certificates. server_accept.c,
 * server_proxy.c, server_conn.c, server_about.c: one connection and its session. server_answer.c:
 * verdicts from other threads. server_limits.c: counts. server_shutdown.c: the end.
 */
#ifndef SMTP_NET_SERVER_INTERNAL_H
#define SMTP_NET_SERVER_INTERNAL_H

#include <netinet/in.h>
#include <pthread.h>
#include <smtp/middleware.h>
#include <smtp/network.h>
#include <smtp/server.h>
#include <stdatomic.h>
#include "libsmtp/net/conn.h"
#include "libsmtp/net/listener.h"
#include "libsmtp/net/loop.h"
#include "libsmtp/net/server_private.h"
#include "libsmtp/net/tls.h"
#include "libsmtp/net/workers.h"

enum {
	SERVER_LOOPS_MAX = 64,
	SERVER_WORKERS_MAX = 64,
	SERVER_USES_MAX = 15, /* a session has 16 handlers; one is the listener's */
	SERVER_PROBLEM_MAX = 512,
	SERVER_NETWORKS_MAX = 256,
	SERVER_CERTIFICATES_MAX = 64, /* of one listener */
	SERVER_CHUNKS_MAX = 20, /* of slots for answers: 64 million */
	SERVER_TRACE_ID_BYTES = 12
};

/* --- server_limits.c -------------------------------------------------------------------------- */

/* Whom a connection counts for: an IPv4 address, an IPv6 /64, or nobody (unix sockets). */
struct server_peer_key {
	uint64_t prefix;
	uint8_t family; /* 4, 6, or 0: not counted */
};

struct server_limits;

enum server_admission { SERVER_ADMITTED, SERVER_FULL, SERVER_PEER_FULL };

int server_limits_new(struct server_limits **out, const struct smtp_server_options *);
void server_limits_free(struct server_limits *);
struct server_peer_key server_peer_key_of(const struct smtp_socket_address *);
/** Counts a connection in, unless it is refused. Any thread. */
enum server_admission server_limits_enter(struct server_limits *, struct server_peer_key);
void server_limits_leave(struct server_limits *, struct server_peer_key);

/* --- server_listen.c -------------------------------------------------------------------------- */

/* What new connections get; immutable and counted, replaced whole when something changes. */
struct server_settings {
	atomic_uint refs;
	struct smtp_server_session_options session; /* what it points to is ours: */
	char *hostname;
	struct smtp_network *networks;
	const struct smtp_custom_extension **extensions;
	struct smtp_tls_context *tls; /* NULL: none */
};

enum server_text {
	SERVER_CERTIFICATE_FILE,
	SERVER_KEY_FILE,
	SERVER_PASSPHRASE,
	SERVER_CERTIFICATE_PEM,
	SERVER_KEY_PEM,
	SERVER_TEXTS
};

/* One certificate as it was given; wiped when it is freed. */
struct server_pair {
	char *texts[SERVER_TEXTS]; /* NULL: not given */
};

struct server_certificates {
	struct server_pair *pairs;
	size_t count; /* 0: no TLS */
	char *client_ca_file;
	char *client_ca_pem;
	bool require_client_certificate;
};

struct server_listener {
	struct smtp_server *server;
	struct server_listener *next;
	pthread_mutex_t lock;             /* held to exchange or to take `settings`, no longer */
	struct server_settings *settings;
	struct server_certificates certificates; /* changed by set_certificate() only */
	bool implicit_tls;
	size_t index; /* in the order of listen() */
	struct smtp_unix_socket unix_socket;
	struct smtp_network *proxies; /* who may send a PROXY header */
	size_t proxy_count;
	struct smtp_middleware last; /* the application's own; handler NULL: none */
};

/** The settings of now; given back with server_settings_unref(). Any thread. */
struct server_settings *server_listener_settings(struct server_listener *);
/** New settings for a listener. SMTP_EINVAL, SMTP_ENOMEM. */
int server_settings_new(struct server_settings **out, const struct server_listener *listener,
			const struct smtp_server_session_options *options,
			struct smtp_tls_context *tls);
/** Puts them in the place of the old ones. */
void server_listener_exchange(struct server_listener *, struct server_settings *);
/** Is that a proxy whose header is believed, and waited for? */
bool server_listener_trusts(const struct server_listener *, const struct smtp_socket_address *peer);
void server_settings_unref(struct server_settings *);
void server_listeners_free(struct smtp_server *);

/* --- server_tls.c ----------------------------------------------------------------------------- */

int server_certificates_copy(struct server_certificates *out, const struct smtp_listener_options *);
void server_certificates_release(struct server_certificates *);
/** *tls NULL: there are none. */
int server_certificates_load(const struct server_certificates *, struct smtp_tls_context **tls,
			     char problem[SMTP_TLS_PROBLEM_MAX]);

/* --- the server ------------------------------------------------------------------------------- */

struct server_conn;
struct server_slot;

/* One accepting socket on one loop. */
struct server_socket {
	struct server_loop *loop;
	struct server_listener *listener;
	struct smtp_listener *accepting;
	struct server_socket *next;
};

/* All of it belongs to the loop's thread but what says otherwise. */
struct server_loop {
	struct smtp_server *server;
	struct smtp_loop *loop;
	unsigned index;
	struct server_socket *sockets;
	size_t conn_count;
	struct server_conn *conns;  /* all, in a list */
	uint64_t last_id;
	struct server_slot *free_slots; /* for answers from other threads */
	struct server_slot *chunks[SERVER_CHUNKS_MAX];
	unsigned chunk_count;
	uint64_t last_serial;
	struct smtp_timer *deadline; /* of the shutdown */
	bool stopping;
	bool freed; /* calls that are still posted find nothing to do */
	struct smtp_loop_call stop_call;
	atomic_bool stop_posted; /* any thread */
	pthread_t thread;
	bool has_thread;
	int result; /* of smtp_loop_run(), read after the thread has ended */
};

struct smtp_server {
	struct smtp_server_options options;
	unsigned loop_count;
	struct server_loop *loops;
	struct server_listener *listeners; /* in the order of listen(); set before run() */
	struct smtp_middleware uses[SERVER_USES_MAX];
	size_t use_count;
	bool blocks;                  /* some middleware is blocking */
	struct smtp_workers *workers; /* for that; NULL: not running, or there is none */
	struct server_limits *limits;
	pthread_mutex_t changes; /* held while settings or certificates of listeners are replaced */
	bool has_changes;        /* the mutex is there */
	atomic_uint sessions;
	atomic_uint_least32_t stop_after_ms;
	uint8_t scram_fake_key[32];
	uint64_t id_seed; /* random, so that trace ids differ from run to run */
	atomic_bool ran;
	atomic_bool closed; /* shut down, or to be */
	bool started;       /* by smtp_server_start() */
	int result;         /* of the loops */
	char problem[SERVER_PROBLEM_MAX];
};

/** Can it still be set up and run? Else SMTP_ECLOSED or SMTP_ESTATE. */
int server_check_open(struct smtp_server *);
/** Notes a line for smtp_server_problem(); returns `error`. */
int server_fail(struct smtp_server *, int error, const char *where, const char *what);

/* --- server_accept.c, server_conn.c ----------------------------------------------------------- */

/** For smtp_listener_new(); `user` is the struct server_socket. */
void server_conn_accepted(void *user, int fd, const struct smtp_socket_address *peer);
/** Gives the verdict a session waits for, if it is still this one, and goes on with it. */
void server_conn_answer(struct server_conn *, uint64_t question, const struct smtp_reply *reply);
/** An acceptance, with what is said of single recipients (code 0: the usual). */
void server_conn_answer_each(struct server_conn *, uint64_t question, const struct smtp_reply *each,
			     size_t count);
/** Ends the connection; nothing more is sent. */
void server_conn_drop(struct server_conn *);
/** True: a worker has the session; the call is posted again when it is done. */
bool server_conn_keeps(struct server_conn *, struct smtp_loop_call *call);
/** The loop is stopping: ends the session, or lets it end its transaction. */
void server_conn_stop(struct server_conn *);
/** Ends it now, whatever it is at. */
void server_conn_abort(struct server_conn *);
struct server_conn *server_conn_next(const struct server_conn *);

/* --- server_answer.c -------------------------------------------------------------------------- */

void server_slots_free(struct server_loop *);

/* --- server_shutdown.c ------------------------------------------------------------------------ */

/** The call of a shutdown, in the loop's thread. */
void server_loop_on_stop(struct smtp_loop_call *);
void server_loop_close_sockets(struct server_loop *);
/** Ends all connections now; one that a worker has ends when that is done. */
void server_loop_abort_all(struct server_loop *);
/** The loop ends when it is stopping and has no connection any more. */
void server_loop_check_end(struct server_loop *);

#endif
