/* SPDX-License-Identifier: ISC */
/* The spool when something fails, at every system call in turn: a call that reports an error has
 * left nothing half, and after a crash anywhere what was promised is there, once and whole.
 */
#include <smtp/spool.h>

#include "tests/unit/storage_fixture.h"
#include "tests/unit/testing.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

static struct smtp_spool *spool;

/* What a child that ends anywhere has told so far. */
static struct {
	char id[SMTP_QUEUE_ID_MAX + 1];
	bool done;
} *told;

static void setup(void)
{
	fixture_enter();
	ck_assert_int_eq(smtp_spool_open(&spool, fixture_path("spool"), false), 0);
	told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(told, MAP_FAILED);
}

static void teardown(void)
{
	ck_assert_int_eq(munmap(told, sizeof *told), 0);
	smtp_spool_close(spool);
	fixture_leave();
}

static const struct smtp_spool_recipient recipients[] = {
	{ "bob@example.test", NULL },
	{ "carol@example.test", NULL },
};

static const struct smtp_spool_envelope envelope = {
	.reverse_path = "alice@example.org", .recipients = recipients, .recipient_count = 2,
	.arrival_ms = 1, .origin = "mx",
};

static void on_done(void *user, int err)
{
	*(int *)user = err;
}

static uint8_t content[2 * SMTP_SPOOL_GATHER_BYTES];

/* How a message comes about: small, large, or with a descriptor asked for before the commit. */
static const struct way {
	const char *name;
	size_t bytes;
	bool early_fd;
} ways[] = {
	{ "small", 5000, false },
	{ "small, signed", 5000, true },
	{ "large", sizeof content, false },
};

static int write_piece(struct smtp_spool_file *file, size_t at, size_t left)
{
	struct smtp_span piece = { content + at, left < 50000 ? left : 50000 };

	return smtp_spool_write(file, piece);
}

static int put(const struct way *way, char id[SMTP_QUEUE_ID_MAX + 1])
{
	struct smtp_spool_file *file;
	uint64_t bytes;
	int fd, done = 1, err = smtp_spool_begin(spool, &file);

	if (err)
		return err;
	(void)snprintf(id, SMTP_QUEUE_ID_MAX + 1, "%s", smtp_spool_file_id(file));
	for (size_t at = 0; at < way->bytes && !err; at += 50000)
		err = write_piece(file, at, way->bytes - at);
	if (!err && way->early_fd)
		err = smtp_spool_content_fd(file, &fd, &bytes);
	if (err) {
		smtp_spool_abort(file);
		return err;
	}
	smtp_spool_commit(file, &envelope, smtp_span_of("Received: x\r\n"),
			  (struct smtp_spool_done){ on_done, &done });
	ck_assert_int_ne(done, 1); /* exactly once, before it returns */
	return done;
}

static int count_id(const char *id, void *user)
{
	(void)id;
	++*(int *)user;
	return 0;
}

static int queued(void)
{
	int n = 0;

	ck_assert_int_eq(smtp_spool_list(spool, count_id, &n), 0);
	return n;
}

static struct smtp_spool_swept sweep(void)
{
	struct smtp_spool_swept result;

	ck_assert_int_eq(smtp_spool_sweep(spool, &result, NULL, NULL), 0);
	return result;
}

/* Loads it and reads all of it. */
static void check_whole(const char *id, size_t bytes)
{
	struct smtp_spool_reader *reader;
	struct smtp_queue_entry *e;
	uint8_t out[8192];
	size_t n = 1, total = 0;

	ck_assert_int_eq(smtp_spool_load(spool, id, &e), 0);
	ck_assert_uint_eq(e->content_bytes, bytes);
	ck_assert_uint_eq(e->recipient_count, 2);
	smtp_queue_entry_free(e);
	ck_assert_int_eq(smtp_spool_reader_open(spool, id, &reader), 0);
	for (; n > 0; total += n)
		ck_assert_int_eq(smtp_spool_reader_read(reader, out, sizeof out, &n), 0);
	ck_assert_uint_eq(total, bytes + 13);
	smtp_spool_reader_close(reader);
}

/* ---- Commit ---- */

static const struct {
	const char *name;
	enum fixture_fault what;
	unsigned calls;
	int errno_value, err;
} faults[] = {
	{ "input or output", FIXTURE_FAIL, FIXTURE_ALL_CALLS, EIO, SMTP_EIO },
	{ "disk full", FIXTURE_FAIL, FIXTURE_ALL_CALLS, ENOSPC, SMTP_ENOSPC },
	{ "over quota", FIXTURE_FAIL, FIXTURE_ALL_CALLS, EDQUOT, SMTP_ENOSPC },
	{ "half a write", FIXTURE_HALF, 1 << STORAGE_WRITE, 0, SMTP_ENOSPC },
	{ "sync", FIXTURE_FAIL, 1 << STORAGE_SYNC, EIO, SMTP_EIO },
	{ "read-only", FIXTURE_FAIL, FIXTURE_ALL_CALLS, EROFS, SMTP_EACCESS },
};

static void fail_each_call(const struct way *way, int row, bool pooled)
{
	char id[SMTP_QUEUE_ID_MAX + 1];
	bool met = true;

	for (int n = 1; met; n++) {
		int err;

		if (pooled) { /* there is a file to be used again */
			ck_assert_int_eq(put(way, id), 0);
			ck_assert_int_eq(smtp_spool_remove(spool, id, true), 0);
		}
		fixture_fault(faults[row].what, faults[row].calls, n, faults[row].errno_value);
		err = put(way, id);
		met = fixture_fault_clear();
		if (err || !met || !pooled) /* without the used one there is a new one */
			ck_assert_msg(err == (met ? faults[row].err : 0), "%s, %s, call %d: %d",
				      way->name, faults[row].name, n, err);
		ck_assert_int_eq(queued(), !err);
		if (!err) {
			check_whole(id, way->bytes);
			ck_assert_int_eq(smtp_spool_remove(spool, id, true), 0);
		}
	}
}

START_TEST(failed_commit_leaves_nothing)
{
	for (int w = 0; w < ROWS(ways); w++)
		fail_each_call(&ways[w], _i, false);
	(void)sweep(); /* from here on files are used again */
	for (int w = 0; w < ROWS(ways); w++)
		fail_each_call(&ways[w], _i, true);
}
END_TEST

/* When the file can't even be removed, it is at least no message any more. */
static int fail_sync_and_unlink(enum storage_call call)
{
	return call == STORAGE_SYNC || call == STORAGE_UNLINK ? EIO : 0;
}

START_TEST(failed_commit_that_cannot_be_removed)
{
	char id[SMTP_QUEUE_ID_MAX + 1];
	struct smtp_queue_entry *e;

	storage_fault = fail_sync_and_unlink;
	ck_assert_int_eq(put(&ways[_i], id), SMTP_EIO);
	storage_fault = NULL;
	ck_assert_int_eq(smtp_spool_load(spool, id, &e), SMTP_ENOTFOUND);
	ck_assert_uint_eq(sweep().unfinished, 1);
	ck_assert_int_eq(queued(), 0);
}
END_TEST

static int put_and_tell(void *way)
{
	char id[SMTP_QUEUE_ID_MAX + 1];
	int err = put(way, id);

	if (err)
		return 1;
	memcpy(told->id, id, sizeof id);
	told->done = true; /* the 250 */
	return 0;
}

START_TEST(crash_in_commit)
{
	const struct way *way = &ways[_i];
	bool crashed = true;
	int left = 0;

	for (int n = 1; crashed; n++) {
		int status, before = left;

		memset(told, 0, sizeof *told);
		fixture_fault(FIXTURE_CRASH, FIXTURE_ALL_CALLS, n, 0);
		status = fixture_child(put_and_tell, (void *)(uintptr_t)way);
		(void)fixture_fault_clear();
		crashed = status == FIXTURE_CRASHED;
		ck_assert_int_eq(status, crashed ? FIXTURE_CRASHED : 0);
		ck_assert_uint_eq(sweep().corrupt, 0);
		left = queued();
		if (told->done)
			check_whole(told->id, way->bytes);
		ck_assert_int_ge(left, before + told->done);
		ck_assert_int_le(left, before + 1);
	}
	ck_assert(told->done);
}
END_TEST

static int check_one(const char *id, void *user)
{
	check_whole(id, *(const size_t *)user);
	return 0;
}

/* Not only the named message: whatever the queue shows can be delivered. */
START_TEST(crash_leaves_whole_messages)
{
	for (int n = 1; n < 20; n++) {
		fixture_fault(FIXTURE_CRASH, FIXTURE_ALL_CALLS, n, 0);
		(void)fixture_child(put_and_tell, (void *)(uintptr_t)&ways[_i]);
		(void)fixture_fault_clear();
	}
	(void)sweep();
	ck_assert_int_gt(queued(), 0);
	ck_assert_int_eq(smtp_spool_list(spool, check_one, (void *)(uintptr_t)&ways[_i].bytes), 0);
}
END_TEST

/* ---- What is synced before it is promised ---- */

static char calls[64];

static int note_call(enum storage_call call)
{
	static const char letters[STORAGE_CALLS] = {
		[STORAGE_OPEN] = 'o', [STORAGE_READ] = 'r',   [STORAGE_WRITE] = 'w',
		[STORAGE_SYNC] = 's', [STORAGE_RENAME] = 'n', [STORAGE_LINK] = 'l',
		[STORAGE_UNLINK] = 'u', [STORAGE_MKDIR] = 'm', [STORAGE_CLOSE] = 'c',
	};

	calls[strlen(calls)] = letters[call];
	return 0;
}

static const char *calls_since(void)
{
	static char copy[sizeof calls];

	memcpy(copy, calls, sizeof copy);
	memset(calls, 0, sizeof calls);
	return copy;
}

/* The order of calls is the promise: nothing but a loss of power would show a missing sync. */
START_TEST(promises_are_synced)
{
	char id[SMTP_QUEUE_ID_MAX + 1];
	const struct smtp_spool_outcome late = { 1, SMTP_RECIPIENT_QUEUED, 5, 9, "451", NULL };

	storage_fault = note_call;
	ck_assert_int_eq(put(&ways[0], id), 0);
	ck_assert_str_eq(calls_since(), "owss"); /* file, then folder */
	ck_assert_int_eq(smtp_spool_record(spool, id, &late, 1), 0);
	ck_assert_str_eq(calls_since(), "ooowc"); /* deferred: not worth a sync */
	ck_assert_int_eq(smtp_spool_record(spool, id, &late, 1), 0);
	ck_assert_str_eq(calls_since(), "owc");
	ck_assert_int_eq(smtp_spool_record(spool, id, &(struct smtp_spool_outcome){
							      0, SMTP_RECIPIENT_DELIVERED, 5, 0,
							      "250 ok", NULL },
					   1),
			 0);
	ck_assert_str_eq(calls_since(), "owssc"); /* also the folder: the file may be new */
	ck_assert_int_eq(smtp_spool_record_delay_notice(spool, id, 1), 0);
	ck_assert_str_eq(calls_since(), "owssc");
	ck_assert_int_eq(smtp_spool_remove(spool, id, true), 0);
	ck_assert_str_eq(calls_since(), "usu"); /* the state only when the message is surely gone */
	ck_assert_int_eq(put(&ways[1], id), 0);
	ck_assert_str_eq(calls_since(), "owwss");
	ck_assert_int_eq(smtp_spool_bury(spool, id), 0);
	ck_assert_str_eq(calls_since(), "nnss");
	ck_assert_int_eq(put(&ways[2], id), 0);
	(void)calls_since();
	ck_assert_int_eq(smtp_spool_set_aside(spool, id), 0);
	ck_assert_str_eq(calls_since(), "nnss");
	storage_fault = NULL;
	(void)sweep(); /* from here on files are used again */
	ck_assert_int_eq(put(&ways[0], id), 0);
	storage_fault = note_call;
	ck_assert_int_eq(smtp_spool_remove(spool, id, true), 0);
	ck_assert_str_eq(calls_since(), "ons"); /* emptied, moved to free/ */
	ck_assert_int_eq(put(&ways[0], id), 0);
	(void)calls_since();
	ck_assert_int_eq(smtp_spool_remove(spool, id, false), 0);
	ck_assert_str_eq(calls_since(), "on"); /* left to the file system */
	ck_assert_int_eq(put(&ways[0], id), 0);
	ck_assert_str_eq(calls_since(), "nowss");
	storage_fault = NULL;
}
END_TEST

/* ---- Outcomes ---- */

static const struct smtp_spool_outcome delivered = { 0, SMTP_RECIPIENT_DELIVERED, 5, 0, "250 ok",
						     "mx.example" };
static const struct smtp_spool_outcome deferred = { 1, SMTP_RECIPIENT_QUEUED, 5, 9, "451 later",
						    NULL };

static int record_and_tell(void *id)
{
	if (smtp_spool_record(spool, id, &deferred, 1) != 0 ||
	    smtp_spool_record(spool, id, &delivered, 1) != 0)
		return 1;
	told->done = true;
	return 0;
}

START_TEST(failed_record_is_reported)
{
	char id[SMTP_QUEUE_ID_MAX + 1];
	bool met = true;

	ck_assert_int_eq(put(&ways[0], id), 0);
	for (int n = 1; met; n++) {
		struct smtp_queue_entry *e;
		int err;

		fixture_fault(faults[_i].what, faults[_i].calls, n, faults[_i].errno_value);
		err = smtp_spool_record(spool, id, &delivered, 1);
		met = fixture_fault_clear();
		ck_assert_int_eq(err, met ? faults[_i].err : 0);
		ck_assert_int_eq(smtp_spool_load(spool, id, &e), 0);
		ck_assert_int_eq(e->recipients[1].state, SMTP_RECIPIENT_QUEUED);
		if (!met)
			ck_assert_int_eq(e->recipients[0].state, SMTP_RECIPIENT_DELIVERED);
		smtp_queue_entry_free(e);
	}
}
END_TEST

START_TEST(crash_in_record)
{
	bool crashed = true;

	for (int n = 1; crashed; n++) {
		char id[SMTP_QUEUE_ID_MAX + 1];
		struct smtp_queue_entry *e;

		ck_assert_int_eq(put(&ways[0], id), 0);
		memset(told, 0, sizeof *told);
		fixture_fault(FIXTURE_CRASH, FIXTURE_ALL_CALLS, n, 0);
		crashed = fixture_child(record_and_tell, id) == FIXTURE_CRASHED;
		(void)fixture_fault_clear();
		ck_assert_uint_eq(sweep().corrupt, 0);
		ck_assert_int_eq(smtp_spool_load(spool, id, &e), 0);
		if (told->done)
			ck_assert_int_eq(e->recipients[0].state, SMTP_RECIPIENT_DELIVERED);
		ck_assert_uint_le(e->recipients[1].attempts, 1);
		smtp_queue_entry_free(e);
	}
	ck_assert(told->done);
}
END_TEST

/* ---- Leaving the queue ---- */

static int remove_it(const char *id)
{
	return smtp_spool_remove(spool, id, true);
}

static int bury_it(const char *id)
{
	return smtp_spool_bury(spool, id);
}

static int set_it_aside(const char *id)
{
	return smtp_spool_set_aside(spool, id);
}

static const struct leaving {
	const char *name, *folder; /* where it is afterwards */
	int (*leave)(const char *id);
} leavings[] = {
	{ "removed", NULL, remove_it },
	{ "buried", "bounce", bury_it },
	{ "set aside", "corrupt", set_it_aside },
};

static char leaving_id[SMTP_QUEUE_ID_MAX + 1];

static int leave_and_tell(void *user)
{
	const struct leaving *l = user;

	if (l->leave(leaving_id) != 0)
		return 1;
	told->done = true;
	return 0;
}

static bool is_in_folder(const struct leaving *l)
{
	return l->folder && fixture_exists(fixture_path("spool/%s/%s", l->folder, leaving_id));
}

/* At every moment the message is in one place or, removed, in none; the sweep takes its state there. */
START_TEST(crash_in_leaving)
{
	const struct leaving *l = &leavings[_i];
	bool crashed = true;

	for (int n = 1; crashed; n++) {
		struct smtp_queue_entry *e;

		ck_assert_int_eq(put(&ways[0], leaving_id), 0);
		ck_assert_int_eq(smtp_spool_record(spool, leaving_id, &delivered, 1), 0);
		memset(told, 0, sizeof *told);
		fixture_fault(FIXTURE_CRASH, FIXTURE_ALL_CALLS, n, 0);
		crashed = fixture_child(leave_and_tell, (void *)(uintptr_t)l) == FIXTURE_CRASHED;
		(void)fixture_fault_clear();
		ck_assert_uint_eq(sweep().corrupt, 0);
		if (told->done || queued() == 0) {
			ck_assert_int_eq(queued(), 0);
			ck_assert_int_eq(is_in_folder(l), l->folder != NULL);
			ck_assert_int_eq(fixture_count(fixture_path("spool/queue")), 0);
			continue;
		}
		ck_assert(!is_in_folder(l));
		ck_assert_int_eq(smtp_spool_load(spool, leaving_id, &e), 0);
		ck_assert_int_eq(e->recipients[0].state, SMTP_RECIPIENT_DELIVERED);
		smtp_queue_entry_free(e);
		ck_assert_int_eq(l->leave(leaving_id), 0);
	}
	ck_assert(told->done);
}
END_TEST

START_TEST(failed_leaving_loses_nothing)
{
	const struct leaving *l = &leavings[_i];
	bool met = true;

	for (int n = 1; met; n++) {
		int err;

		ck_assert_int_eq(put(&ways[0], leaving_id), 0);
		ck_assert_int_eq(smtp_spool_record(spool, leaving_id, &delivered, 1), 0);
		fixture_fault(FIXTURE_FAIL, FIXTURE_ALL_CALLS, n, EIO);
		err = l->leave(leaving_id);
		met = fixture_fault_clear();
		if (l->folder || !met) /* one that can't be used again is removed */
			ck_assert_int_eq(err, met ? SMTP_EIO : 0);
		(void)sweep();
		ck_assert(err || queued() == 0);
		if (l->folder)
			ck_assert_int_eq(is_in_folder(l) + queued(), 1);
		if (queued() > 0)
			ck_assert_int_eq(smtp_spool_remove(spool, leaving_id, true), 0);
	}
}
END_TEST

/* ---- Opening and sweeping ---- */

START_TEST(failed_open_opens_nothing)
{
	bool met = true;

	for (int n = 1; met; n += n < 20 ? 1 : 37) {
		struct smtp_spool *other = NULL;
		int err;

		fixture_fault(FIXTURE_FAIL, FIXTURE_ALL_CALLS, n, EIO);
		err = smtp_spool_open(&other, fixture_path("other"), false);
		met = fixture_fault_clear();
		ck_assert_int_eq(err, met ? SMTP_EIO : 0);
		ck_assert_int_eq(other != NULL, !met);
		smtp_spool_close(other);
	}
}
END_TEST

START_TEST(sweep_with_faults_loses_nothing)
{
	char id[SMTP_QUEUE_ID_MAX + 1];
	bool met = true;

	ck_assert_int_eq(put(&ways[0], id), 0);
	for (int n = 1; met; n++) {
		struct smtp_spool_swept result;
		int err;

		fixture_fault(FIXTURE_FAIL, 1 << STORAGE_OPEN, n, EMFILE);
		err = smtp_spool_sweep(spool, &result, NULL, NULL);
		met = fixture_fault_clear();
		ck_assert_int_eq(err, met ? SMTP_EBUSY : 0);
		ck_assert_uint_eq(result.corrupt, 0);
		check_whole(id, ways[0].bytes);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("spool_faults");
	TCase *tc = tcase_create("spool_faults");

	memset(content, 'x', sizeof content);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, failed_commit_leaves_nothing, 0, ROWS(faults));
	tcase_add_loop_test(tc, failed_commit_that_cannot_be_removed, 0, ROWS(ways));
	tcase_add_loop_test(tc, crash_in_commit, 0, ROWS(ways));
	tcase_add_loop_test(tc, crash_leaves_whole_messages, 0, ROWS(ways));
	tcase_add_test(tc, promises_are_synced);
	tcase_add_loop_test(tc, failed_record_is_reported, 0, ROWS(faults));
	tcase_add_test(tc, crash_in_record);
	tcase_add_loop_test(tc, crash_in_leaving, 0, ROWS(leavings));
	tcase_add_loop_test(tc, failed_leaving_loses_nothing, 0, ROWS(leavings));
	tcase_add_test(tc, failed_open_opens_nothing);
	tcase_add_test(tc, sweep_with_faults_loses_nothing);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
