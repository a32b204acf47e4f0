/* SPDX-License-Identifier: ISC */
/* transcript_policy.h - the head of a transcript: options of the session and what its handler says;
 * and one run of that handler, which records what it is told.
 */
#ifndef TESTS_UNIT_TRANSCRIPT_POLICY_H
#define TESTS_UNIT_TRANSCRIPT_POLICY_H

#include <smtp/server_session.h>

enum { POLICY_RULES_MAX = 32, POLICY_TEXT_MAX = 400 };

struct policy_rule {
	unsigned phase;
	char key[POLICY_TEXT_MAX]; /* of that phase; empty: whatever comes */
	unsigned code;
	char enhanced[12];
	char text[POLICY_TEXT_MAX];
};

struct policy {
	struct smtp_server_session_options options;
	char hostname[POLICY_TEXT_MAX];
	struct policy_rule rules[POLICY_RULES_MAX];
	size_t rule_count;
	unsigned pending; /* set of phases */
	struct smtp_network trusted[4]; /* to say XCLIENT */
	bool has_expn;    /* some rule is about EXPN */
	char logins[4][2][POLICY_TEXT_MAX];
	size_t login_count;
	char channel[64];     /* what TLS gives to bind to, in memory; "": nothing */
	char certificate[64]; /* whom the client's names, in memory; "": nobody */
	char secrets[4][POLICY_TEXT_MAX];
	size_t secret_count;
};

/** True while the test itself allocates: where memory fails on purpose, that is left out. */
extern _Thread_local bool policy_allocates;
/** realloc() for the test itself; what can't be had ends it. */
void *policy_realloc(void *p, size_t n);

void policy_init(struct policy *policy);
/** One line of the head; false: not understood. Changes `text`. */
bool policy_read(struct policy *policy, char *text);

struct scene {
	const struct policy *policy;
	struct smtp_server_session_handler handler;
	/* NULL, or told that a phase says PENDING; it may answer from another thread. */
	void (*on_pending)(struct scene *, struct smtp_server_session *);
	const struct policy_rule *verdict; /* of the pending phase; NULL: accept */
	struct smtp_reply reply;           /* what it makes of that */
	char *content;                     /* of the message that comes in, or the last */
	size_t content_n;
	char envelope[1024];               /* <from> <to> <to> ... */
	char params[700]; /* of the last MAIL or RCPT */
	unsigned begun, messages, resets, disconnects;
	enum smtp_disconnect_reason reason;
	bool leaked;
};

void scene_init(struct scene *scene, const struct policy *policy);
void scene_release(struct scene *scene);
/** NULL: the options are bad. */
struct smtp_server_session *scene_session(struct scene *scene);
/** Before TLS begins: what there is to bind to. False: it was not taken. */
bool scene_start_tls(const struct scene *scene, struct smtp_server_session *s);
/** Answers the phase that is pending. */
void scene_answer(struct scene *scene, struct smtp_server_session *s);
/** A line with '?'. NULL: it holds; else what is the case, valid until the next call. */
const char *scene_check(const struct scene *scene, struct smtp_server_session *s, const char *text,
			size_t n);

#endif
