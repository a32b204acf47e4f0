/* SPDX-License-Identifier: ISC */
/* How many messages a second the spool makes durable, and what reading them back costs. Writes into
 * a folder below the one given (default .), so that another disk can be tried. Not a test.
 */
#include <smtp/spool.h>

#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE_BYTES = 4096, MESSAGES = 4000, THREADS_MAX = 20 };

static struct smtp_spool *spool;
static uint8_t content[MESSAGE_BYTES];
static char (*ids)[SMTP_QUEUE_ID_MAX + 1];
static atomic_int next, failures;

static void done(void *user, int err)
{
	*(int *)user = err;
}

static int commit_one(int i)
{
	const struct smtp_spool_recipient recipient = { "bob@example.test", NULL };
	const struct smtp_spool_envelope envelope = {
		.reverse_path = "alice@example.test", .recipients = &recipient,
		.recipient_count = 1, .arrival_ms = 1700000000000, .origin = "mx",
		.peer_address = "127.0.0.1", .helo_name = "localhost",
	};
	struct smtp_spool_file *file;
	int err = smtp_spool_begin(spool, &file);

	if (err)
		return err;
	(void)snprintf(ids[i], sizeof *ids, "%s", smtp_spool_file_id(file));
	err = smtp_spool_write(file, (struct smtp_span){ content, sizeof content });
	if (err) {
		smtp_spool_abort(file);
		return err;
	}
	smtp_spool_commit(file, &envelope, smtp_span_of("Received: by example.test\r\n"),
			  (struct smtp_spool_done){ done, &err });
	return err;
}

static int load_one(int i)
{
	struct smtp_queue_entry *entry;
	int err = smtp_spool_load(spool, ids[i], &entry);

	if (!err)
		smtp_queue_entry_free(entry);
	return err;
}

static int read_one(int i)
{
	struct smtp_spool_reader *reader;
	uint8_t out[2 * MESSAGE_BYTES];
	size_t n = 1;
	int err = smtp_spool_reader_open(spool, ids[i], &reader);

	if (err)
		return err;
	while (!err && n > 0)
		err = smtp_spool_reader_read(reader, out, sizeof out, &n);
	smtp_spool_reader_close(reader);
	return err;
}

static int record_one(int i)
{
	const struct smtp_spool_outcome outcome = { 0, SMTP_RECIPIENT_QUEUED, 1, 2, "451 later",
						    "mx.example" };

	return smtp_spool_record(spool, ids[i], &outcome, 1);
}

static int remove_one(int i)
{
	return smtp_spool_remove(spool, ids[i], true);
}

static const struct step {
	const char *name;
	int (*run)(int i);
} steps[] = {
	{ "commit", commit_one },
	{ "load", load_one },
	{ "read", read_one },
	{ "record a deferral", record_one },
	{ "remove", remove_one },
};

static void *work(void *step)
{
	const struct step *s = step;
	int i;

	while ((i = atomic_fetch_add(&next, 1)) < MESSAGES)
		if (s->run(i) != 0)
			(void)atomic_fetch_add(&failures, 1);
	return NULL;
}

static double now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int measure(const struct step *step, int threads)
{
	pthread_t thread[THREADS_MAX];
	double begin = now(), seconds;
	int started = 0;

	atomic_store(&next, 0);
	while (started < threads &&
	       pthread_create(&thread[started], NULL, work, (void *)(uintptr_t)step) == 0)
		started++;
	for (int i = 0; i < started; i++)
		(void)pthread_join(thread[i], NULL);
	seconds = now() - begin;
	printf("spool: %-18s %2d threads %8.0f a second %8.1f us each\n", step->name, started,
	       MESSAGES / seconds, seconds * 1e6 / MESSAGES);
	return started == threads && atomic_load(&failures) == 0 ? 0 : -1;
}

static int unlink_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

int main(int argc, char **argv)
{
	static const int threads[] = { 1, 8, THREADS_MAX };
	struct smtp_spool_swept swept;
	char folder[4096];
	int err;

	(void)snprintf(folder, sizeof folder, "%s/bench-spool-XXXXXX", argc > 1 ? argv[1] : ".");
	ids = calloc(MESSAGES, sizeof *ids);
	if (!ids || !mkdtemp(folder)) {
		perror(folder);
		return EXIT_FAILURE;
	}
	memset(content, 'x', sizeof content);
	err = smtp_spool_open(&spool, folder, false);
	if (!err)
		err = smtp_spool_sweep(spool, &swept, NULL, NULL); /* as smtpd does */
	for (size_t t = 0; t < sizeof threads / sizeof *threads && !err; t++)
		for (size_t s = 0; s < sizeof steps / sizeof *steps && !err; s++)
			err = measure(&steps[s], threads[t]);
	if (err)
		fprintf(stderr, "spool: %s\n", smtp_error_str(err));
	smtp_spool_close(spool);
	(void)nftw(folder, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
	free(ids);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
