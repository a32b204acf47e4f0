/* SPDX-License-Identifier: ISC */
/* sessions.h - what the parts of incoming mail share: the process, one session, its transaction. Who may
 * send what to whom is decided in policy.c and authors.c, a message becomes durable in commit.c.
 */
#ifndef SMTPD_MAIL_SESSIONS_H
#define SMTPD_MAIL_SESSIONS_H

#include <stdatomic.h>
#include <smtp/server.h>
#include <smtp/spool.h>
#include "config/config.h"
#include "libsmtp/net/workers.h"
#include "smtpd/keeper/client.h"
#include "smtpd/queue/queue.h"

enum { MAIL_LOOPS_MAX = 64, MAIL_RECEIVED_MAX = 100 };

/** One for the process. Immutable while sessions run, but for `config`. */
struct mail_process {
	_Atomic(const struct config *) config; /* replaced at reload; old ones live until exit */
	struct smtp_server *server;
	struct smtp_spool *spool;
	struct smtp_workers *workers;
	struct queue *queue;
	struct keeper_client *keepers[MAIL_LOOPS_MAX]; /* one for each loop of the server */
	/* Writes, commits and discards that may outlive their session: the process ends after them. */
	atomic_uint in_flight;
};

/** `user` of a listener. */
struct mail_listener_role {
	struct mail_process *process;
	enum config_role role;
};

/** What a transaction has gathered; reset by transaction_reset(), owned by the session until a commit
 *  takes it over. */
struct mail_transaction {
	char reverse_path[SMTP_MAILBOX_TEXT_MAX + 1];
	struct smtp_spool_recipient *recipients; /* both texts of each are owned */
	size_t recipient_count, recipient_cap;
	struct smtp_spool_file *file;
	struct smtp_loop *loop; /* of the session; set with the file */
	uint64_t begun_ms;      /* DATA, by the clock of the loop */
	uint8_t last[2];        /* octets of the content so far */
	bool body_8bitmime;
	char author_domain[SMTP_DOMAIN_MAX + 1]; /* a submission's: of the first address in From */
};

/** One session, in the slot of the handler. */
struct mail_session {
	struct mail_process *process;
	enum config_role role;
	struct keeper_client *keeper;
	struct smtp_server_session *server_session;
	struct smtp_ticket ticket;
	struct mail_transaction txn;
	struct mail_question *question; /* under way at the keeper; NULL: none */
	struct mail_write *write;       /* content on its way to disk; NULL: none */
	struct mail_authors *authors;   /* asked about at the end of data; NULL: none */
	struct mail_commit *commit;     /* the message that is being stored; NULL: none */
	uint32_t accepted;              /* messages */
	bool tls_logged;
};

/** Logs a connection that had no session; `user`: the roles of the listeners. */
void mail_log_refused(const struct smtp_server_refusal *, void *user);

extern const struct smtp_server_session_handler mail_mx_handler;
extern const struct smtp_server_session_handler mail_submission_handler;

/* policy.c: the phases auth, mail, rcpt */
enum smtp_verdict mail_decide_auth(struct mail_session *, const struct smtp_auth_request *);
enum smtp_verdict mail_decide_mail(struct mail_session *, const struct smtp_mail_request *);
enum smtp_verdict mail_decide_rcpt(struct mail_session *, const struct smtp_rcpt_request *);
/** The session ends while the keeper still works on its question. */
void mail_question_orphan(struct mail_session *);

/* transaction.c: gathering content */
enum smtp_verdict mail_transaction_data(struct mail_session *);
enum smtp_verdict mail_transaction_content(struct mail_session *, struct smtp_span octets);
/** What can't be written is refused for now. */
enum smtp_verdict mail_refuse_write(struct mail_session *, int error);
/** Content that came in chunks may end anywhere; what is stored ends with CRLF, or is empty, as relay,
 *  signature and Maildir expect. Again: nothing more. Blocks when smtp_spool_write_blocks(). */
SMTP_MUST_USE int mail_transaction_end_line(struct mail_transaction *);
SMTP_MUST_USE int mail_transaction_add(struct mail_transaction *, const char *address,
				       const char *original);
/** Takes back what was added beyond the first `count` recipients. */
void mail_transaction_truncate(struct mail_transaction *, size_t count);
/** Frees everything; the spool file is thrown away. */
void mail_transaction_reset(struct mail_process *, struct mail_transaction *);
/** Throws a spool file away without blocking the loop. */
void mail_file_discard(struct mail_process *, struct smtp_loop *, struct smtp_spool_file *);
void mail_write_orphan(struct mail_session *);

/* authors.c: who wrote a submission */
/** At the end of data. SMTP_ACCEPT: all authors are the login's. After SMTP_PENDING the message is either
 *  refused or given to mail_commit_authorized(). */
enum smtp_verdict mail_decide_authors(struct mail_session *);
/** The session ends while the keeper is asked about its authors. */
void mail_authors_orphan(struct mail_session *);

/* commit.c: the end of data: fields on top, signature, stable storage, then the reply */
enum smtp_verdict mail_commit(struct mail_session *);
/** Goes on once the authors are known to be the login's. */
void mail_commit_authorized(struct mail_session *);
/** The session ends meanwhile; the message does not. */
void mail_commit_orphan(struct mail_session *);

/** Answers the phase that waits. */
enum smtp_verdict mail_refuse(struct mail_session *, unsigned code, const char *enhanced,
			      const char *text);
struct smtp_loop *mail_session_loop(const struct mail_session *);

#endif
