/* SPDX-License-Identifier: ISC */
/* Delivery into a Maildir: what is written, that it is whole or not there, that it is there once. */
#include <smtp/maildir.h>

#include "storage/maildir_text.h"
#include "tests/unit/storage_fixture.h"
#include "tests/unit/testing.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

/* ---- Text ---- */

static const struct {
	const char *name, *in, *out;
} texts[] = {
	{ "empty", "", "" },
	{ "line ends", "A: b\r\n\r\nx\r\n", "A: b\n\nx\n" },
	{ "bare CR stays", "A: b\r\n\r\na\rb\r\r\nc\r", "A: b\n\na\rb\r\nc\r" },
	{ "bare LF stays", "A: b\n\nx\n", "A: b\n\nx\n" },
	{ "no body", "A: b\r\n", "A: b\n" },
	{ "no line end", "A: b", "A: b" },
	{ "forged first", "Return-Path: <a>\r\nA: b\r\n\r\n", "A: b\n\n" },
	{ "forged last", "A: b\r\nReturn-Path: <a>\r\n\r\nx\r\n", "A: b\n\nx\n" },
	{ "forged twice", "return-path: a\r\nA: b\r\nRETURN-PATH: c\r\n\r\n", "A: b\n\n" },
	{ "forged and folded", "Return-Path:\r\n <a\r\n\tb>\r\nA: b\r\n\r\n", "A: b\n\n" },
	{ "forged with blanks", "Return-Path \t : a\r\nA: b\r\n\r\n", "A: b\n\n" },
	{ "forged at the end", "A: b\r\nReturn-Path: x", "A: b\n" },
	{ "forged, never closed", "A: b\r\nReturn-Path:\r\n x\r\n", "A: b\n" },
	{ "other names", "Return-Pat: a\r\nReturn-Paths: b\r\nXReturn-Path: c\r\n\r\n",
	  "Return-Pat: a\nReturn-Paths: b\nXReturn-Path: c\n\n" },
	{ "name cut off", "Return-Pa", "Return-Pa" },
	{ "name without colon", "Return-Path\r\nReturn-Path x: y\r\n",
	  "Return-Path\nReturn-Path x: y\n" },
	{ "folded line that looks so", "A: b\r\n Return-Path: c\r\n\r\n",
	  "A: b\n Return-Path: c\n\n" },
	{ "in the body", "A: b\r\n\r\nReturn-Path: x\r\n", "A: b\n\nReturn-Path: x\n" },
	{ "body at once", "\r\nReturn-Path: x\r\n", "\nReturn-Path: x\n" },
	{ "bare CR is no line end", "A: b\rReturn-Path: c\r\n\r\n",
	  "A: b\rReturn-Path: c\n\n" },
	{ "blanks beyond the limit",
	  "Return-Path                                                                  : x\r\n",
	  "Return-Path                                                                  : x\n" },
};

struct text_case {
	struct maildir_text text;
	const char *expected, *name;
	uint8_t out[512];
	size_t n;
};

static void text_begin(void *user)
{
	struct text_case *c = user;

	memset(&c->text, 0, sizeof c->text);
	c->n = 0;
}

static void text_feed(void *user, const uint8_t *piece, size_t n)
{
	struct text_case *c = user;
	size_t made;

	ck_assert_uint_le(c->n + maildir_text_room(n), sizeof c->out);
	made = maildir_text_add(&c->text, (struct smtp_span){ piece, n }, c->out + c->n);
	ck_assert_uint_le(made, maildir_text_room(n));
	c->n += made;
}

static void text_end(void *user)
{
	struct text_case *c = user;

	c->n += maildir_text_end(&c->text, c->out + c->n);
	c->out[c->n] = '\0';
	ck_assert_msg(strcmp((const char *)c->out, c->expected) == 0, "%s: got \"%s\"", c->name,
		      (const char *)c->out);
}

START_TEST(text_is_converted)
{
	const struct split_feed feed = { text_begin, text_feed, text_end };
	struct text_case c = { .expected = texts[_i].out, .name = texts[_i].name };

	split_feed_run(&feed, &c, texts[_i].in, strlen(texts[_i].in));
}
END_TEST

/* ---- Delivery ---- */

struct source {
	const char *text;
	size_t n, at, piece;
	int err; /* instead of the end */
};

static int read_source(void *user, uint8_t *out, size_t cap, size_t *n)
{
	struct source *s = user;
	size_t left = s->n - s->at, want = cap < s->piece ? cap : s->piece;

	*n = left < want ? left : want;
	memcpy(out, s->text + s->at, *n);
	s->at += *n;
	return *n == 0 ? s->err : 0;
}

static const char message_text[] = "Return-Path: <eve@example.net>\r\nFrom: a\r\n\r\nx\r\n";
static const char top_text[] = "Return-Path: <alice@example.org>\r\nDelivered-To: bob\r\n";
static const char expected_text[] =
	"Return-Path: <alice@example.org>\nDelivered-To: bob\nFrom: a\n\nx\n";
static const char name_in_new[] = "new/1700000000.01abc-0.mail.example.test";

static int deliver(const char *directory, struct source *source, const char *unique)
{
	struct smtp_maildir_message m = {
		.directory = directory, .hostname = "mail.example.test", .unique = unique,
		.arrival_ms = 1700000000999, .top = smtp_span_of(top_text),
		.read = read_source, .user = source,
	};

	return smtp_maildir_deliver(&m);
}

static int deliver_plain(void *user)
{
	struct source s = { message_text, sizeof message_text - 1, 0, 5, 0 };

	return deliver(user, &s, "01abc-0") == 0 ? 0 : 1;
}

static const char *maildir(void)
{
	static char path[FIXTURE_PATH];

	(void)snprintf(path, sizeof path, "%s", fixture_path("mail/example.test/bob"));
	return path;
}

static const char *in_maildir(const char *name)
{
	return fixture_path("mail/example.test/bob/%s", name);
}

static void check_file(void)
{
	size_t n;
	uint8_t *bytes = fixture_read(in_maildir(name_in_new), &n);

	ck_assert_str_eq((const char *)bytes, expected_text);
	free(bytes);
}

START_TEST(message_is_delivered_once)
{
	struct stat st;

	for (int i = 0; i < 3; i++) { /* the second and third time nothing more happens */
		struct source s = { message_text, sizeof message_text - 1, 0, 1000, 0 };

		ck_assert_int_eq(deliver(maildir(), &s, "01abc-0"), 0);
		ck_assert_int_eq(fixture_count(maildir()), 1);
		check_file();
	}
	ck_assert_int_eq(stat(in_maildir(name_in_new), &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(stat(in_maildir("tmp"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	ck_assert_int_eq(stat(fixture_path("mail"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	ck_assert(fixture_exists(in_maildir("cur")));
}
END_TEST

START_TEST(missing_folders_are_made)
{
	static const char *const missing[] = { "new", "tmp", "cur" };

	ck_assert_int_eq(deliver_plain((void *)(uintptr_t)maildir()), 0);
	for (size_t i = 0; i < 3; i++) {
		struct source s = { message_text, sizeof message_text - 1, 0, 1000, 0 };
		char unique[8] = { 'u', (char)('0' + i), '\0' };

		if (i == 0)
			ck_assert_int_eq(unlink(in_maildir(name_in_new)), 0);
		ck_assert_int_eq(rmdir(in_maildir(missing[i])), 0);
		ck_assert_int_eq(deliver(maildir(), &s, unique), 0);
	}
}
END_TEST

START_TEST(large_message_is_whole)
{
	enum { BYTES = 300000 };
	char *text = malloc(BYTES);
	struct source s = { text, BYTES, 0, 7777, 0 };
	size_t n, top = 0;
	uint8_t *bytes;

	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < BYTES; i++)
		text[i] = i < 2 ? "\r\n"[i] : (char)('a' + i % 26);
	ck_assert_int_eq(deliver(maildir(), &s, "01abc-0"), 0);
	bytes = fixture_read(in_maildir(name_in_new), &n);
	for (size_t i = 0; top_text[i]; i++)
		top += top_text[i] != '\r';
	ck_assert_uint_eq(n, top + BYTES - 1);
	ck_assert_mem_eq(bytes + top + 1, text + 2, BYTES - 2);
	free(bytes);
	free(text);
}
END_TEST

START_TEST(failed_source_leaves_nothing)
{
	struct source s = { message_text, sizeof message_text - 1, 0, 10, SMTP_ECORRUPT };

	ck_assert_int_eq(deliver(maildir(), &s, "01abc-0"), SMTP_ECORRUPT);
	ck_assert_int_eq(fixture_count(maildir()), 0);
}
END_TEST

START_TEST(names_are_made_safe)
{
	struct source s = { "x", 1, 0, 10, 0 };
	struct smtp_maildir_message m = { .directory = maildir(), .hostname = "../a:b/c d\n",
					  .unique = "../x:2,S", .arrival_ms = 5000,
					  .read = read_source, .user = &s };

	ck_assert_int_eq(smtp_maildir_deliver(&m), 0);
	ck_assert(fixture_exists(
		in_maildir("new/5...\\057x\\0722,S...\\057a\\072b\\057c\\040d\\012")));
}
END_TEST

static char endless[300];
static const struct {
	const char *name, *directory, *hostname, *unique;
	int64_t arrival_ms;
	int err;
} bad_messages[] = {
	{ "no directory", NULL, "h", "u", 1, SMTP_EINVAL },
	{ "empty directory", "", "h", "u", 1, SMTP_EINVAL },
	{ "no host name", "x", NULL, "u", 1, SMTP_EINVAL },
	{ "not unique", "x", "h", NULL, 1, SMTP_EINVAL },
	{ "empty unique", "x", "h", "", 1, SMTP_EINVAL },
	{ "endless unique", "x", "h", endless, 1, SMTP_EINVAL },
	{ "before 1970", "x", "h", "u", -1, SMTP_EINVAL },
	{ "not a folder", "/dev/null", "h", "u", 1, SMTP_EIO },
	{ "below a file", "/dev/null/x", "h", "u", 1, SMTP_EIO },
};

START_TEST(bad_message_is_refused)
{
	struct source s = { "x", 1, 0, 10, 0 };
	struct smtp_maildir_message m = {
		.directory = bad_messages[_i].directory, .hostname = bad_messages[_i].hostname,
		.unique = bad_messages[_i].unique, .arrival_ms = bad_messages[_i].arrival_ms,
		.read = read_source, .user = &s,
	};

	memset(endless, 'u', sizeof endless - 1);
	ck_assert_msg(smtp_maildir_deliver(&m) == bad_messages[_i].err, "%s",
		      bad_messages[_i].name);
}
END_TEST

/* ---- Faults ---- */

static const struct {
	const char *name;
	int errno_value, err;
} errors[] = {
	{ "input or output", EIO, SMTP_EIO },
	{ "disk full", ENOSPC, SMTP_ENOSPC },
	{ "over quota", EDQUOT, SMTP_ENOSPC },
	{ "not allowed", EACCES, SMTP_EACCESS },
};

/* Whatever fails, first in an empty place and then in a Maildir: an error means that nothing is in
 * new/, and the next try succeeds. */
START_TEST(every_call_may_fail)
{
	bool met = true;

	for (int n = 1; met; n++) {
		struct source s = { message_text, sizeof message_text - 1, 0, 10, 0 };
		int err;

		fixture_fault(FIXTURE_FAIL, FIXTURE_ALL_CALLS, n, errors[_i].errno_value);
		err = deliver(maildir(), &s, "01abc-0");
		met = fixture_fault_clear();
		ck_assert_msg(err == (met ? errors[_i].err : 0), "%s, call %d: %d",
			      errors[_i].name, n, err);
		ck_assert_int_eq(fixture_exists(in_maildir(name_in_new)), !met);
		if (met && fixture_exists(in_maildir("tmp")))
			ck_assert_int_eq(fixture_count(in_maildir("tmp")), 0);
	}
	check_file();
	ck_assert_int_eq(fixture_count(maildir()), 1);
}
END_TEST

START_TEST(half_written_is_not_delivered)
{
	for (int n = 1;; n++) {
		struct source s = { message_text, sizeof message_text - 1, 0, 10, 0 };
		int err;

		fixture_fault(FIXTURE_HALF, 1 << STORAGE_WRITE, n, 0);
		err = deliver(maildir(), &s, "01abc-0");
		if (!fixture_fault_clear())
			break;
		ck_assert_int_eq(err, SMTP_ENOSPC);
		ck_assert_int_eq(fixture_count(maildir()), 0);
	}
	check_file();
}
END_TEST

/* A crash at every call, then the delivery again: it is there once and whole. */
START_TEST(crash_and_delivery_again)
{
	bool crashed = true;

	for (int n = 1; crashed; n++) {
		int status;

		fixture_fault(FIXTURE_CRASH, FIXTURE_ALL_CALLS, n, 0);
		status = fixture_child(deliver_plain, (void *)(uintptr_t)maildir());
		(void)fixture_fault_clear();
		crashed = status == FIXTURE_CRASHED;
		ck_assert_int_eq(status, crashed ? FIXTURE_CRASHED : 0);
		if (fixture_exists(in_maildir(name_in_new)))
			check_file();
		ck_assert_int_eq(deliver_plain((void *)(uintptr_t)maildir()), 0);
		check_file();
		ck_assert_int_eq(fixture_count(in_maildir("new")), 1);
		ck_assert_int_eq(unlink(in_maildir(name_in_new)), 0);
	}
}
END_TEST

static char calls[64];

static int note_call(enum storage_call call)
{
	if (call == STORAGE_SYNC || call == STORAGE_RENAME)
		calls[strlen(calls)] = call == STORAGE_SYNC ? 's' : 'n';
	return 0;
}

/* The order of calls is the promise: nothing but a loss of power would show a missing sync. */
START_TEST(syncs_are_in_order)
{
	for (int i = 0; i < 2; i++) {
		memset(calls, 0, sizeof calls);
		storage_fault = note_call;
		ck_assert_int_eq(deliver_plain((void *)(uintptr_t)maildir()), 0);
		storage_fault = NULL;
		/* Each new folder in the one above, the file, its name; again the second time. */
		ck_assert_str_eq(calls, i == 0 ? "ssssss"
						 "sns" : "sns");
	}
}
END_TEST

/* A file system that knows no RENAME_NOREPLACE. */
START_TEST(without_noreplace)
{
	for (int i = 0; i < 2; i++) {
		struct source s = { message_text, sizeof message_text - 1, 0, 10, 0 };

		fixture_fault(FIXTURE_FAIL, 1 << STORAGE_RENAME, 1, EINVAL);
		ck_assert_int_eq(deliver(maildir(), &s, "01abc-0"), 0);
		ck_assert(fixture_fault_clear());
		check_file();
		ck_assert_int_eq(fixture_count(maildir()), 1);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("maildir");
	TCase *tc = tcase_create("maildir");

	tcase_add_checked_fixture(tc, fixture_enter, fixture_leave);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, text_is_converted, 0, ROWS(texts));
	tcase_add_test(tc, message_is_delivered_once);
	tcase_add_test(tc, missing_folders_are_made);
	tcase_add_test(tc, large_message_is_whole);
	tcase_add_test(tc, failed_source_leaves_nothing);
	tcase_add_test(tc, names_are_made_safe);
	tcase_add_loop_test(tc, bad_message_is_refused, 0, ROWS(bad_messages));
	tcase_add_loop_test(tc, every_call_may_fail, 0, ROWS(errors));
	tcase_add_test(tc, half_written_is_not_delivered);
	tcase_add_test(tc, crash_and_delivery_again);
	tcase_add_test(tc, syncs_are_in_order);
	tcase_add_test(tc, without_noreplace);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
