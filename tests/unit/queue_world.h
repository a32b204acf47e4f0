/* SPDX-License-Identifier: ISC */
/* A queue with a real spool, real Maildirs, real loop and workers in a folder of its own; the keeper and
 * the log are fakes, defined here. For the tests of the queue, one program each. Times are in ms.
 */
#ifndef TESTS_UNIT_QUEUE_WORLD_H
#define TESTS_UNIT_QUEUE_WORLD_H

#include <dirent.h>
#include <ftw.h>
#include <glob.h>
#include <stdio.h>
#include <sys/stat.h>

#include "smtpd/log.h"
#include "smtpd/queue/internal.h"
#include "tests/unit/testing.h"

/* A test of failing allocations leaves out those of the test itself: it is told when the queue runs. */
#ifndef WORLD_CALLOC
#define WORLD_CALLOC calloc
#define WORLD_RUNS(is_so) ((void)(is_so))
#endif

enum { WORLD_PATIENCE_MS = 20000, WORLD_EVENTS_MAX = 200 };

struct fake_address {
	const char *address;
	enum smtp_resolve_kind kind;
	const char *targets[3];
};

struct world_event {
	char name[32], text[2000];
};

static struct world {
	char directory[64];
	struct smtp_loop *loop;
	struct smtp_workers *workers;
	struct smtp_spool *spool;
	struct queue *queue;
	struct config config;
	char maildir[128], hostname[32], relay_default[128], dns[32], password_file[128];
	const struct fake_address *addresses; /* others: *@here.test local as they are, else foreign */
	int keeper_error;
	unsigned questions, signatures;
	void (*on_question)(void); /* to the keeper, before the answer */
	bool closing; /* open questions get no answer */
	const char *signature;
	struct world_event events[WORLD_EVENTS_MAX];
	size_t event_count;
} world;

/* ---- the fake log ---- */

void log_event_fields(enum config_log_level level, const char *event, const struct log_field *fields,
		      size_t field_count)
{
	struct world_event *e = &world.events[world.event_count];

	(void)level;
	if (world.event_count == WORLD_EVENTS_MAX)
		return;
	world.event_count++;
	(void)snprintf(e->name, sizeof e->name, "%s", event);
	e->text[0] = '\0';
	for (size_t i = 0; i < field_count; i++) {
		size_t n = strlen(e->text);

		if (fields[i].kind == LOG_TEXT && fields[i].text.p)
			(void)snprintf(e->text + n, sizeof e->text - n, "%s=%.*s|", fields[i].name,
				       (int)fields[i].text.n, (const char *)fields[i].text.p);
	}
	if (getenv("WORLD_LOG"))
		(void)fprintf(stderr, "%s %s\n", e->name, e->text);
}

static inline size_t world_events(const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < world.event_count; i++)
		n += strcmp(world.events[i].name, name) == 0;
	return n;
}

static inline const char *world_event_text(const char *name)
{
	for (size_t i = world.event_count; i > 0; i--)
		if (strcmp(world.events[i - 1].name, name) == 0)
			return world.events[i - 1].text;
	return "";
}

/* ---- the fake keeper ---- */

struct question {
	struct smtp_loop_call call;
	char address[SMTP_MAILBOX_TEXT_MAX + 1];
	void (*resolved)(void *user, const struct keeper_resolve_answer *);
	void (*is_signed)(void *user, const struct keeper_sign_answer *);
	void *user;
};

static inline void answer_resolve(struct smtp_loop_call *call)
{
	struct question *q = (struct question *)(void *)call;
	const char *self = q->address;
	bool here = strstr(self, "@here.test") != NULL;
	struct keeper_resolve_answer answer = { .error = world.keeper_error,
						.kind = here ? SMTP_RESOLVE_LOCAL : SMTP_RESOLVE_FOREIGN,
						.targets = &self, .target_count = here };

	for (const struct fake_address *a = world.addresses; a && a->address; a++) {
		if (strcmp(a->address, q->address) != 0)
			continue;
		answer.kind = a->kind;
		answer.targets = a->targets;
		for (answer.target_count = 0; answer.target_count < 3; answer.target_count++)
			if (!a->targets[answer.target_count])
				break;
	}
	if (world.on_question)
		world.on_question();
	if (!world.closing)
		q->resolved(q->user, &answer);
	free(q);
}

int keeper_resolve(struct keeper_client *client, const struct smtp_mailbox *mailbox,
		   void (*done)(void *user, const struct keeper_resolve_answer *), void *user)
{
	struct question *q = WORLD_CALLOC(1, sizeof *q);

	(void)client;
	if (!q)
		return SMTP_ENOMEM;
	world.questions++;
	(void)smtp_mailbox_format(mailbox, q->address, sizeof q->address);
	q->resolved = done;
	q->user = user;
	q->call.fn = answer_resolve;
	smtp_loop_post(world.loop, &q->call);
	return 0;
}

static inline void answer_sign(struct smtp_loop_call *call)
{
	struct question *q = (struct question *)(void *)call;
	struct keeper_sign_answer answer = { .error = world.signature ? 0 : SMTP_ENOTFOUND,
					     .field = world.signature };

	if (!world.closing)
		q->is_signed(q->user, &answer);
	free(q);
}

int keeper_sign(struct keeper_client *client, const char *domain, struct smtp_span added_fields, int fd,
		uint64_t content_bytes, void (*done)(void *user, const struct keeper_sign_answer *),
		void *user)
{
	struct question *q = WORLD_CALLOC(1, sizeof *q);

	(void)client;
	(void)added_fields;
	WORLD_RUNS(false);
	ck_assert_ptr_nonnull(q);
	ck_assert_str_eq(domain, "here.test");
	ck_assert_int_ge(fd, 0);
	ck_assert_uint_gt(content_bytes, 100);
	WORLD_RUNS(true);
	world.signatures++;
	q->is_signed = done;
	q->user = user;
	q->call.fn = answer_sign;
	smtp_loop_post(world.loop, &q->call);
	return 0;
}

/* ---- set up and tear down ---- */

/* The folder is made once for the program, which takes longer than most tests: a spool has many parts.
 * Each test begins without files in it and without Maildirs. */
static char world_directory[64];

static inline int remove_path(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline int remove_file(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)ftw;
	return flag == FTW_F || !S_ISDIR(st->st_mode) ? remove(path) : 0;
}

static inline void world_sweep(void)
{
	char mail[128];

	ck_assert_int_eq(nftw(world_directory, remove_file, 20, FTW_PHYS), 0);
	(void)snprintf(mail, sizeof mail, "%s/mail", world_directory);
	if (access(mail, F_OK) == 0)
		ck_assert_int_eq(nftw(mail, remove_path, 20, FTW_DEPTH | FTW_PHYS), 0);
}

static inline void world_make(void)
{
	(void)snprintf(world_directory, sizeof world_directory, "%s/test-queue-XXXXXX", tests_tmp());
	ck_assert_ptr_nonnull(mkdtemp(world_directory));
}

static inline void world_unmake(void)
{
	ck_assert_int_eq(nftw(world_directory, remove_path, 20, FTW_DEPTH | FTW_PHYS), 0);
}

static inline void world_start_queue(void)
{
	struct queue_options options = { .loop = world.loop, .workers = world.workers,
					 .spool = world.spool, .keeper = NULL, .config = &world.config };

	ck_assert_int_eq(queue_new(&world.queue, &options), 0);
	ck_assert_int_eq(queue_start(world.queue), 0);
}

static inline void world_open(void)
{
	char path[128];

	ck_assert_int_eq(smtp_loop_new(&world.loop), 0);
	ck_assert_int_eq(smtp_workers_new(&world.workers, 3), 0);
	(void)snprintf(path, sizeof path, "%s/spool", world.directory);
	ck_assert_int_eq(smtp_spool_open(&world.spool, path, false), 0);
}

static inline void world_setup(void)
{
	memset(&world, 0, sizeof world);
	(void)snprintf(world.directory, sizeof world.directory, "%s", world_directory);
	world_sweep();
	(void)snprintf(world.maildir, sizeof world.maildir, "%s/mail/{domain}/{local_part}",
		       world.directory);
	(void)snprintf(world.hostname, sizeof world.hostname, "mail.here.test");
	(void)snprintf(world.relay_default, sizeof world.relay_default, "mx");
	(void)snprintf(world.dns, sizeof world.dns, "127.0.0.1@1");
	world.config = (struct config){ .hostname = world.hostname, .maildir = world.maildir,
					.relay_default = world.relay_default,
					.relay_password_file = world.password_file,
					.queue_retry_ms = { 3600000 }, .queue_retry_count = 1,
					.queue_lifetime_ms = 432000000, .handshake_timeout_ms = 5000,
					.dns_resolver = world.dns };
	world_open();
	world_start_queue();
}

static inline void world_close(void)
{
	world.closing = true;
	smtp_workers_free(world.workers);
	queue_free(world.queue);
	smtp_spool_close(world.spool);
	smtp_loop_free(world.loop);
}

static inline void world_teardown(void)
{
	world_close();
}

/* As after a restart; what is in memory only is lost. */
static inline void world_restart(void)
{
	world_close();
	world.event_count = 0;
	world.closing = false;
	world_open();
	world_start_queue();
}

/* ---- mail comes in ---- */

struct mail {
	const char *from;
	const char *to[4];
	const char *content; /* NULL: a short one */
	const char *origin;  /* NULL: "submission" for senders of here.test, else "mx" */
	const char *original; /* of the first recipient */
	int64_t age_ms;
};

static inline void on_mail_committed(void *user, int error)
{
	*(int *)user = error;
}

/* Into the spool only. */
static inline const char *world_spool(const struct mail *mail)
{
	static char id[SMTP_QUEUE_ID_MAX + 1];
	struct smtp_spool_recipient to[4] = { { 0 } };
	struct smtp_spool_envelope envelope = { .reverse_path = mail->from, .recipients = to,
						.origin = strstr(mail->from, "@here.test") ? "submission" :
											     "mx",
						.arrival_ms = queue_wall_ms() - mail->age_ms };
	struct smtp_spool_file *file;
	int error = 1;

	if (mail->origin)
		envelope.origin = mail->origin;
	for (; envelope.recipient_count < 4 && mail->to[envelope.recipient_count];
	     envelope.recipient_count++)
		to[envelope.recipient_count].address = mail->to[envelope.recipient_count];
	to[0].original = mail->original;
	ck_assert_int_eq(smtp_spool_begin(world.spool, &file), 0);
	(void)snprintf(id, sizeof id, "%s", smtp_spool_file_id(file));
	ck_assert_int_eq(smtp_spool_write(file, smtp_span_of(mail->content ? mail->content :
			 "Subject: test\r\nFrom: a@b.test\r\n\r\nHello\r\n")), 0);
	smtp_spool_commit(file, &envelope, smtp_span_of("Received: by test\r\n"),
			  (struct smtp_spool_done){ on_mail_committed, &error });
	ck_assert_int_eq(error, 0);
	return id;
}

static inline const char *world_mail(const struct mail *mail)
{
	const char *id = world_spool(mail);

	queue_accepted(world.queue, id);
	return id;
}

/* Overwrites some octets of its file. */
static inline void world_damage(const char *id, long offset, int whence)
{
	char path[256];
	glob_t found;
	FILE *f;

	(void)snprintf(path, sizeof path, "%s/spool/queue/*/%s", world.directory, id);
	ck_assert_int_eq(glob(path, 0, NULL, &found), 0);
	f = fopen(found.gl_pathv[0], "r+");
	ck_assert_ptr_nonnull(f);
	globfree(&found);
	ck_assert_int_eq(fseek(f, offset, whence), 0);
	ck_assert_int_ge(fputs("##########", f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

/* ---- time passes ---- */

struct wait {
	bool (*until)(void);
	struct smtp_timer *timer;
	uint64_t end_ms;
	bool met;
};

static inline void on_wait(void *user)
{
	struct wait *w = user;
	uint64_t now_ms = smtp_loop_now_ms(world.loop);

	WORLD_RUNS(false);
	w->met = w->until();
	WORLD_RUNS(true);
	if (w->met || now_ms > w->end_ms)
		smtp_loop_stop(world.loop);
	else
		smtp_timer_set(w->timer, now_ms + 3);
}

static inline bool world_waits(bool (*until)(void))
{
	struct wait w = { .until = until, .end_ms = smtp_loop_now_ms(world.loop) + WORLD_PATIENCE_MS };
	int err;

	ck_assert_int_eq(smtp_timer_new(&w.timer, world.loop, on_wait, &w), 0);
	smtp_timer_set(w.timer, 0);
	WORLD_RUNS(true);
	err = smtp_loop_run(world.loop);
	WORLD_RUNS(false);
	ck_assert_int_eq(err, 0);
	smtp_timer_free(w.timer);
	return w.met;
}

/* No message is being worked on, none is due. */
static inline bool world_is_quiet(void)
{
	struct queue_counts counts = queue_count(world.queue);

	return !world.queue->listing && counts.active == 0 && counts.messages == counts.deferred;
}

static inline bool world_is_empty(void)
{
	return !world.queue->listing && queue_count(world.queue).messages == 0;
}

/* One round, so that what was posted arrives, then until all is quiet. */
static inline void world_settles(void)
{
	ck_assert_msg(world_waits(world_is_quiet), "the queue does not come to rest");
}

/* ---- what is to be seen ---- */

static inline size_t world_files(const char *part)
{
	char path[256];
	struct dirent *e;
	size_t n = 0;
	DIR *dir;

	(void)snprintf(path, sizeof path, "%s/%s", world.directory, part);
	dir = opendir(path);
	if (!dir)
		return 0;
	while ((e = readdir(dir)) != NULL)
		n += e->d_name[0] != '.';
	ck_assert_int_eq(closedir(dir), 0);
	return n;
}

static inline size_t world_maildir_count(const char *who)
{
	char part[128];

	(void)snprintf(part, sizeof part, "mail/here.test/%s/new", who);
	return world_files(part);
}

/* The one message of a Maildir. */
static inline const char *world_maildir_text(const char *who)
{
	static char text[400000];
	char path[256], file[600] = "";
	struct dirent *e;
	FILE *f;
	DIR *dir;

	(void)snprintf(path, sizeof path, "%s/mail/here.test/%s/new", world.directory, who);
	dir = opendir(path);
	ck_assert_msg(dir, "no Maildir of %s", who);
	while ((e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.')
			(void)snprintf(file, sizeof file, "%s/%s", path, e->d_name);
	ck_assert_int_eq(closedir(dir), 0);
	f = fopen(file, "r");
	ck_assert_msg(f, "no mail for %s", who);
	text[fread(text, 1, sizeof text - 1, f)] = '\0';
	ck_assert_int_eq(fclose(f), 0);
	return text;
}

static inline int count_one(const char *id, void *user)
{
	(void)id;
	++*(size_t *)user;
	return 0;
}

static inline size_t world_spooled(void)
{
	size_t n = 0;

	ck_assert_int_eq(smtp_spool_list(world.spool, count_one, &n), 0);
	return n;
}

static inline size_t world_dead(void)
{
	size_t n = 0;

	ck_assert_int_eq(smtp_spool_list_dead(world.spool, count_one, &n), 0);
	return n;
}

#endif
