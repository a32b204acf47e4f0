/* SPDX-License-Identifier: ISC */
/* recorder_private.h - what the files of the recorder share. recorder.c: its server. recorder_store.c:
 * messages, rules, trace. recorder_phases.c: its sessions. recorder_client.c: helpers.
 */
#ifndef SMTP_RECORDER_PRIVATE_H
#define SMTP_RECORDER_PRIVATE_H

#include <pthread.h>
#include <smtp/recorder.h>
#include <smtp/sasl.h>
#include <smtp/server.h>

#include "libsmtp/core/buf.h"

enum {
	RECORDER_PROBLEM_MAX = 512,
	RECORDER_PATH_MAX = 4096,
	RECORDER_TRACE_MAX = 1 << 20,
	RECORDER_WORKERS = 32 /* sessions that a delay may hold at the same time */
};

/* --- recorder_store.c ------------------------------------------------------------------------- */

/* One that comes in, and then one that is kept; `view` is filled in at the end. */
struct recorder_message {
	struct smtp_recorded_message view;
	struct smtp_path *paths;
	char **commands; /* NUL-terminated, one for each path */
	size_t path_count;
	char *mail_command;
	char *session_texts; /* one behind another */
	struct smtp_buf content;
	struct smtp_buf fields;
};

struct recorder_message *recorder_message_new(void);
void recorder_message_free(struct recorder_message *);
SMTP_MUST_USE int recorder_message_add_path(struct recorder_message *, const struct smtp_path *path,
					    const char *command);
/** Forgets paths from that number on: their RCPT was refused by somebody else. */
void recorder_message_cut_paths(struct recorder_message *, size_t count);
/** Fills in `view` from the message and its session. */
SMTP_MUST_USE int recorder_message_finish(struct recorder_message *,
					  const struct smtp_server_session *);

struct recorder_rule {
	struct recorder_rule *next;
	struct smtp_recorder_rule rule; /* texts: ours */
	uint32_t seen;
	char texts[]; /* address, enhanced, text */
};

struct recorder_store {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a message came, or delays are to end; by the monotonic clock */
	struct recorder_message **messages;
	size_t count, cap;
	size_t max;
	struct recorder_rule *rules;
	struct recorder_rule *retired; /* of before a reset: sessions may still look at their texts */
	struct smtp_buf trace;
	bool hurry; /* delays end at once */
};

SMTP_MUST_USE int recorder_store_init(struct recorder_store *, size_t max);
void recorder_store_release(struct recorder_store *);
/** Takes the message over on success. SMTP_ETOOLONG: there are enough. */
SMTP_MUST_USE int recorder_store_add(struct recorder_store *, struct recorder_message *);
void recorder_store_trace(struct recorder_store *, bool from_client, struct smtp_span line);
/** Something came to a phase: is there a rule? *out borrows its texts for good. `address` may be NULL;
 *  at the end of a message it is that of one recipient of LMTP. `octets` are those of content. */
bool recorder_store_rule(struct recorder_store *, enum smtp_recorder_phase phase,
			 const char *address, uint64_t octets, struct smtp_recorder_rule *out);
void recorder_store_delay(struct recorder_store *, uint32_t ms);
void recorder_store_hurry(struct recorder_store *);

/* --- the recorder ----------------------------------------------------------------------------- */

struct smtp_recorder {
	struct recorder_store store;
	struct smtp_recorder_options options; /* texts: ours */
	char *address, *user, *password, *hostname;
	struct smtp_scram_keys scram; /* of the password, if there is a user */
	char directory[RECORDER_PATH_MAX]; /* of the certificate made here; "": none */
	char certificate[RECORDER_PATH_MAX];
	char key[RECORDER_PATH_MAX];
	char *pem;
	char host[SMTP_ADDRESS_TEXT_MAX];
	char url[SMTP_ADDRESS_TEXT_MAX + 32];
	uint16_t port;
	struct smtp_server *server;
	bool runs;
	char problem[RECORDER_PROBLEM_MAX];
};

/** Notes a line for smtp_recorder_problem(); returns `error`. */
int recorder_fail(struct smtp_recorder *, int error, const char *where, const char *what);

/* --- recorder_phases.c ------------------------------------------------------------------------ */

/** `user` is the recorder. The first has the last word about recipients, the second leaves it to others. */
extern const struct smtp_server_session_handler recorder_handler, recorder_onlooker;

#endif
