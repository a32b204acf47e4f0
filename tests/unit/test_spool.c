/* SPDX-License-Identifier: ISC */
/* The file spool: what is committed comes back whole, what fails or is cut short leaves nothing,
 * what is damaged is noticed. Faults and crashes are in test_spool_faults.c.
 */
#include <smtp/spool.h>

#include "storage/spool_internal.h"
#include "tests/unit/storage_fixture.h"
#include "tests/unit/testing.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

static struct smtp_spool *spool;

static void setup(void)
{
	fixture_enter();
	ck_assert_int_eq(smtp_spool_open(&spool, fixture_path("spool"), false), 0);
}

static void teardown(void)
{
	smtp_spool_close(spool);
	fixture_leave();
}

static struct smtp_span span(const void *p, size_t n)
{
	return (struct smtp_span){ p, n };
}

static const struct smtp_spool_recipient two_recipients[] = {
	{ "bob@example.test", NULL },
	{ "carol@example.net", "list@example.test" },
};

static const struct smtp_spool_envelope plain = {
	.reverse_path = "alice@example.org",
	.recipients = two_recipients,
	.recipient_count = 2,
	.arrival_ms = 1700000000123,
	.origin = "mx",
	.account = NULL,
	.peer_address = "192.0.2.1",
	.helo_name = "mail.example.org",
	.body_8bitmime = true,
};

static void on_done(void *user, int err)
{
	*(int *)user = err;
}

static int commit(struct smtp_spool_file *file, const struct smtp_spool_envelope *e,
		  const char *added)
{
	int err = 1;

	smtp_spool_commit(file, e, smtp_span_of(added),
			  (struct smtp_spool_done){ on_done, &err });
	ck_assert_int_ne(err, 1);
	return err;
}

/* Commits `content` and gives its id. */
static const char *put(const char *content)
{
	static char id[SMTP_QUEUE_ID_MAX + 1];
	struct smtp_spool_file *file;

	ck_assert_int_eq(smtp_spool_begin(spool, &file), 0);
	(void)snprintf(id, sizeof id, "%s", smtp_spool_file_id(file));
	ck_assert_int_eq(smtp_spool_write(file, smtp_span_of(content)), 0);
	ck_assert_int_eq(commit(file, &plain, "Received: x\r\n"), 0);
	return id;
}

static const char *file_of(const char *id)
{
	return fixture_path("spool/queue/%02x/%s", spool_dir_of(id), id);
}

/* ---- Round trip ---- */

static const struct {
	const char *name;
	size_t bytes, chunk;
	const char *added;
	bool early_fd; /* asks for the descriptor before the commit */
} trips[] = {
	{ "empty", 0, 1, "", false },
	{ "empty with fields", 0, 1, "A: b\r\n", true },
	{ "one octet", 1, 1, "A: b\r\n", false },
	{ "small", 4096, 1000, "A: b\r\nC: d\r\n", false },
	{ "small, signed", 4096, 1000, "DKIM-Signature: d\r\n", true },
	{ "to the brim", SMTP_SPOOL_GATHER_BYTES, 8192, "A: b\r\n", false },
	{ "one over", SMTP_SPOOL_GATHER_BYTES + 1, 8192, "A: b\r\n", false },
	{ "large", 1 << 20, 16000, "A: b\r\n", false },
	{ "large, signed", 1 << 20, 16000, "A: b\r\n", true },
	{ "large at once", 1 << 20, 1 << 20, "", false },
};

static uint8_t *pattern(size_t n)
{
	uint8_t *p = malloc(n + 1);

	ck_assert_ptr_nonnull(p);
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 7 + (i >> 8));
	return p;
}

static void check_reader(const char *id, const char *added, const uint8_t *content, size_t n)
{
	struct smtp_spool_reader *reader;
	size_t total = strlen(added) + n, at, got;
	uint8_t *out = malloc(total + 1000);

	ck_assert_ptr_nonnull(out);
	ck_assert_int_eq(smtp_spool_reader_open(spool, id, &reader), 0);
	ck_assert_uint_eq(smtp_spool_reader_bytes(reader), total);
	for (int pass = 0; pass < 2; pass++) {
		for (at = 0;; at += got) {
			ck_assert_int_eq(smtp_spool_reader_read(reader, out + at, 1000, &got), 0);
			if (got == 0)
				break;
		}
		ck_assert_uint_eq(at, total);
		ck_assert_mem_eq(out, added, strlen(added));
		ck_assert_mem_eq(out + strlen(added), content, n);
		smtp_spool_reader_rewind(reader);
	}
	smtp_spool_reader_close(reader);
	free(out);
}

static void check_fd(struct smtp_spool_file *file, const uint8_t *content, size_t n)
{
	uint8_t *out = malloc(n + 1);
	uint64_t bytes;
	int fd;

	ck_assert_ptr_nonnull(out);
	ck_assert_int_eq(smtp_spool_content_fd(file, &fd, &bytes), 0);
	ck_assert_uint_eq(bytes, n);
	ck_assert_int_eq(pread(fd, out, n + 1, 0), (ssize_t)n);
	ck_assert_mem_eq(out, content, n);
	free(out);
}

START_TEST(round_trip)
{
	size_t n = trips[_i].bytes, head;
	uint8_t *content = pattern(n);
	struct smtp_spool_file *file;
	struct smtp_queue_entry *e;
	char id[SMTP_QUEUE_ID_MAX + 1];

	ck_assert_int_eq(smtp_spool_begin(spool, &file), 0);
	(void)snprintf(id, sizeof id, "%s", smtp_spool_file_id(file));
	for (size_t at = 0; at < n; at += trips[_i].chunk) {
		size_t piece = n - at < trips[_i].chunk ? n - at : trips[_i].chunk;
		bool blocks = at + piece > SMTP_SPOOL_GATHER_BYTES;

		ck_assert_int_eq(smtp_spool_write_blocks(file, piece), blocks);
		ck_assert_int_eq(smtp_spool_write(file, span(content + at, piece)), 0);
	}
	ck_assert_uint_eq(smtp_spool_content(file).n, n <= SMTP_SPOOL_GATHER_BYTES ? n : 0);
	head = n < 65536 ? n : 65536;
	ck_assert_uint_eq(smtp_spool_content_head(file).n, head);
	if (head > 0)
		ck_assert_mem_eq(smtp_spool_content_head(file).p, content, head);
	if (trips[_i].early_fd)
		check_fd(file, content, n);
	ck_assert_int_eq(commit(file, &plain, trips[_i].added), 0);

	ck_assert_int_eq(smtp_spool_load(spool, id, &e), 0);
	ck_assert_str_eq(e->id, id);
	ck_assert_uint_eq(e->content_bytes, n);
	ck_assert_uint_eq(e->added_bytes, strlen(trips[_i].added));
	smtp_queue_entry_free(e);
	check_reader(id, trips[_i].added, content, n);
	free(content);
}
END_TEST

START_TEST(envelope_comes_back)
{
	struct smtp_queue_entry *e;

	ck_assert_int_eq(smtp_spool_load(spool, put("x\r\n"), &e), 0);
	ck_assert_str_eq(e->reverse_path, "alice@example.org");
	ck_assert_str_eq(e->origin, "mx");
	ck_assert_str_eq(e->account, "");
	ck_assert_str_eq(e->peer_address, "192.0.2.1");
	ck_assert_str_eq(e->helo_name, "mail.example.org");
	ck_assert(e->body_8bitmime);
	ck_assert(!e->delay_notice_sent);
	ck_assert_int_eq(e->arrival_ms, 1700000000123);
	ck_assert_uint_eq(e->recipient_count, 2);
	ck_assert_str_eq(e->recipients[0].address, "bob@example.test");
	ck_assert_str_eq(e->recipients[0].original, "bob@example.test");
	ck_assert_str_eq(e->recipients[1].address, "carol@example.net");
	ck_assert_str_eq(e->recipients[1].original, "list@example.test");
	ck_assert_int_eq(e->recipients[1].state, SMTP_RECIPIENT_QUEUED);
	ck_assert_str_eq(e->recipients[1].last_reply, "");
	ck_assert_str_eq(e->recipients[1].last_host, "");
	smtp_queue_entry_free(e);
}
END_TEST

/* Texts that try to be more than a text. */
static const char *const odd_texts[] = {
	"a\nto eve@example.test", "a\r\nfrom <>", "\\x0a", "\\", "\\\\x", "a b  c ", " ",
	"\x01\x1f\x7f", "\xc3\xbc@example.test", "\xff\xfe", "\"quo ted\"@example.test",
	"trailer 0000000000000000 smtp-spool 01\n",
};

START_TEST(texts_are_kept_as_they_are)
{
	const char *text = odd_texts[_i];
	struct smtp_spool_recipient r[] = { { text, "orig" }, { "b@example.test", text } };
	struct smtp_spool_envelope odd = { .reverse_path = text, .recipients = r,
					   .recipient_count = 2, .arrival_ms = 1,
					   .origin = text, .account = text,
					   .peer_address = text, .helo_name = text };
	struct smtp_spool_outcome outcome = { .recipient = 1, .reply = text, .host = text };
	struct smtp_spool_file *file;
	struct smtp_queue_entry *e;
	char id[SMTP_QUEUE_ID_MAX + 1];

	ck_assert_int_eq(smtp_spool_begin(spool, &file), 0);
	(void)snprintf(id, sizeof id, "%s", smtp_spool_file_id(file));
	ck_assert_int_eq(commit(file, &odd, ""), 0);
	ck_assert_int_eq(smtp_spool_record(spool, id, &outcome, 1), 0);
	ck_assert_int_eq(smtp_spool_load(spool, id, &e), 0);
	ck_assert_str_eq(e->reverse_path, text);
	ck_assert_str_eq(e->origin, text);
	ck_assert_str_eq(e->account, text);
	ck_assert_str_eq(e->peer_address, text);
	ck_assert_str_eq(e->helo_name, text);
	ck_assert_uint_eq(e->recipient_count, 2);
	ck_assert_str_eq(e->recipients[0].address, text);
	ck_assert_str_eq(e->recipients[0].original, "orig");
	ck_assert_str_eq(e->recipients[1].original, text);
	ck_assert_str_eq(e->recipients[1].last_reply, text);
	ck_assert_str_eq(e->recipients[1].last_host, text);
	smtp_queue_entry_free(e);
}
END_TEST

static char long_text[SPOOL_VALUE_MAX + 2];
static const struct smtp_spool_recipient one_recipient[] = { { "b@example.test", NULL } };
static const struct smtp_spool_recipient no_address[] = { { NULL, NULL } };
static const struct {
	const char *name;
	struct smtp_spool_envelope envelope;
	int err;
} bad_envelopes[] = {
	{ "no recipient", { .reverse_path = "", .origin = "mx" }, SMTP_EINVAL },
	{ "too many recipients",
	  { .reverse_path = "", .origin = "mx", .recipients = one_recipient,
	    .recipient_count = SMTP_SPOOL_RECIPIENTS_MAX + 1 },
	  SMTP_EINVAL },
	{ "no origin",
	  { .reverse_path = "", .recipients = one_recipient, .recipient_count = 1 },
	  SMTP_EINVAL },
	{ "no reverse-path",
	  { .origin = "mx", .recipients = one_recipient, .recipient_count = 1 },
	  SMTP_EINVAL },
	{ "no address",
	  { .reverse_path = "", .origin = "mx", .recipients = no_address, .recipient_count = 1 },
	  SMTP_EINVAL },
	{ "before 1970",
	  { .reverse_path = "", .origin = "mx", .recipients = one_recipient,
	    .recipient_count = 1, .arrival_ms = -1 },
	  SMTP_EINVAL },
	{ "endless text",
	  { .reverse_path = long_text, .origin = "mx", .recipients = one_recipient,
	    .recipient_count = 1 },
	  SMTP_ETOOLONG },
};

START_TEST(bad_envelope_is_refused)
{
	struct smtp_spool_file *file;

	memset(long_text, 'a', sizeof long_text - 1);
	for (int early = 0; early < 2; early++) {
		uint64_t bytes;
		int fd;

		ck_assert_int_eq(smtp_spool_begin(spool, &file), 0);
		if (early)
			ck_assert_int_eq(smtp_spool_content_fd(file, &fd, &bytes), 0);
		ck_assert_msg(commit(file, &bad_envelopes[_i].envelope, "") ==
				      bad_envelopes[_i].err,
			      "%s", bad_envelopes[_i].name);
		ck_assert_int_eq(fixture_count(fixture_path("spool")), 0);
	}
}
END_TEST

START_TEST(many_recipients)
{
	static struct smtp_spool_recipient r[SMTP_SPOOL_RECIPIENTS_MAX];
	static char names[SMTP_SPOOL_RECIPIENTS_MAX][32];
	struct smtp_spool_envelope many = plain;
	struct smtp_spool_file *file;
	struct smtp_queue_entry *e;
	char id[SMTP_QUEUE_ID_MAX + 1];

	for (int i = 0; i < SMTP_SPOOL_RECIPIENTS_MAX; i++) {
		(void)snprintf(names[i], sizeof names[i], "u%d@example.test", i);
		r[i].address = names[i];
	}
	many.recipients = r;
	many.recipient_count = SMTP_SPOOL_RECIPIENTS_MAX;
	ck_assert_int_eq(smtp_spool_begin(spool, &file), 0);
	(void)snprintf(id, sizeof id, "%s", smtp_spool_file_id(file));
	ck_assert_int_eq(commit(file, &many, ""), 0);
	ck_assert_int_eq(smtp_spool_load(spool, id, &e), 0);
	ck_assert_uint_eq(e->recipient_count, SMTP_SPOOL_RECIPIENTS_MAX);
	for (int i = 0; i < SMTP_SPOOL_RECIPIENTS_MAX; i++)
		ck_assert_str_eq(e->recipients[i].address, names[i]);
	smtp_queue_entry_free(e);
}
END_TEST

/* ---- Ids ---- */

START_TEST(ids_sort_and_differ)
{
	char last[SMTP_QUEUE_ID_MAX + 1] = "", id[SMTP_QUEUE_ID_MAX + 1];

	for (int i = 0; i < 10000; i++) {
		ck_assert_int_eq(spool_make_id(spool, id), 0);
		ck_assert(smtp_queue_id_is_valid(id));
		ck_assert_msg(strcmp(last, id) < 0, "%s then %s", last, id);
		(void)snprintf(last, sizeof last, "%s", id);
	}
}
END_TEST

/* Also when the clock is set back. */
START_TEST(ids_never_go_back)
{
	char today[SMTP_QUEUE_ID_MAX + 1], before[SMTP_QUEUE_ID_MAX + 1];
	char after[SMTP_QUEUE_ID_MAX + 1];

	ck_assert_int_eq(spool_make_id(spool, today), 0);
	spool->last_us = (uint64_t)10000000000 * 1000000; /* in the year 2286 */
	ck_assert_int_eq(spool_make_id(spool, before), 0);
	ck_assert_int_eq(spool_make_id(spool, after), 0);
	ck_assert_int_lt(strcmp(before, after), 0);
	ck_assert_int_lt(strncmp(today, before, 4), 0);
	ck_assert_int_lt(strncmp(today, after, 4), 0);
	ck_assert_int_ne(strncmp(before, after, SPOOL_ID_TEXT - 7), 0);
}
END_TEST

static const char *const bad_ids[] = {
	"", "..", "../../../etc/passwd", "01j0123456789abcde/", "01j0123456789abcdE",
	"01j0123456789abcd", "01j0123456789abcdef", "01j0123456789abcd.", "01j0123456789abcdz",
};

START_TEST(bad_ids_are_not_found)
{
	struct smtp_spool_outcome outcome = { .reply = "" };
	struct smtp_spool_reader *reader;
	struct smtp_queue_entry *e;
	const char *id = bad_ids[_i];

	ck_assert(!smtp_queue_id_is_valid(id));
	ck_assert_int_eq(smtp_spool_load(spool, id, &e), SMTP_ENOTFOUND);
	ck_assert_int_eq(smtp_spool_reader_open(spool, id, &reader), SMTP_ENOTFOUND);
	ck_assert_int_eq(smtp_spool_record(spool, id, &outcome, 1), SMTP_ENOTFOUND);
	ck_assert_int_eq(smtp_spool_remove(spool, id, true), SMTP_ENOTFOUND);
	ck_assert_int_eq(smtp_spool_bury(spool, id), SMTP_ENOTFOUND);
	ck_assert_int_eq(smtp_spool_set_aside(spool, id), SMTP_ENOTFOUND);
}
END_TEST

START_TEST(unknown_id_is_not_found)
{
	struct smtp_spool_outcome outcome = { .reply = "", .state = SMTP_RECIPIENT_DELIVERED };
	struct smtp_spool_reader *reader;
	struct smtp_queue_entry *e;
	char id[SMTP_QUEUE_ID_MAX + 1];

	ck_assert_int_eq(spool_make_id(spool, id), 0);
	ck_assert_int_eq(smtp_spool_load(spool, id, &e), SMTP_ENOTFOUND);
	ck_assert_int_eq(smtp_spool_reader_open(spool, id, &reader), SMTP_ENOTFOUND);
	ck_assert_int_eq(smtp_spool_record(spool, id, &outcome, 1), SMTP_ENOTFOUND);
	ck_assert_int_eq(smtp_spool_record_delay_notice(spool, id, 1), SMTP_ENOTFOUND);
	ck_assert_int_eq(smtp_spool_remove(spool, id, true), SMTP_ENOTFOUND);
	ck_assert_int_eq(smtp_spool_bury(spool, id), SMTP_ENOTFOUND);
	ck_assert_int_eq(smtp_spool_set_aside(spool, id), SMTP_ENOTFOUND);
	ck_assert_int_eq(fixture_count(fixture_path("spool")), 0);
}
END_TEST

/* ---- Nothing is left of what was not accepted ---- */

START_TEST(refused_message_never_touches_the_disk)
{
	struct smtp_spool_file *file;
	uint8_t *content = pattern(SMTP_SPOOL_GATHER_BYTES);

	ck_assert_int_eq(smtp_spool_begin(spool, &file), 0);
	ck_assert_int_eq(smtp_spool_write(file, span(content, SMTP_SPOOL_GATHER_BYTES)), 0);
	ck_assert_int_eq(fixture_count(fixture_path("spool")), 0);
	smtp_spool_abort(file);
	ck_assert_int_eq(fixture_count(fixture_path("spool")), 0);
	free(content);
	smtp_spool_abort(NULL);
}
END_TEST

START_TEST(aborted_large_message_is_gone)
{
	struct smtp_spool_file *file;
	uint8_t *content = pattern(SMTP_SPOOL_GATHER_BYTES + 1);
	struct smtp_queue_entry *e;

	ck_assert_int_eq(smtp_spool_begin(spool, &file), 0);
	ck_assert_int_eq(smtp_spool_write(file, span(content, SMTP_SPOOL_GATHER_BYTES + 1)), 0);
	ck_assert_int_eq(fixture_count(fixture_path("spool")), 1);
	ck_assert_int_eq(smtp_spool_load(spool, smtp_spool_file_id(file), &e), SMTP_ENOTFOUND);
	smtp_spool_abort(file);
	ck_assert_int_eq(fixture_count(fixture_path("spool")), 0);
	free(content);
}
END_TEST

/* ---- Outcomes ---- */

static const struct smtp_queue_recipient *load_recipient(const char *id, size_t index,
							 struct smtp_queue_entry **e)
{
	ck_assert_int_eq(smtp_spool_load(spool, id, e), 0);
	return &(*e)->recipients[index];
}

START_TEST(outcomes_add_up)
{
	const char *id = put("x\r\n");
	const struct smtp_spool_outcome first[] = {
		{ 0, SMTP_RECIPIENT_QUEUED, 1000, 2000, "451 4.2.0 later", "mx1" },
		{ 1, SMTP_RECIPIENT_DELIVERED, 1001, 0, "250 ok", NULL },
	};
	const struct smtp_spool_outcome second[] = {
		{ 0, SMTP_RECIPIENT_BOUNCED, 3000, 0, "550 5.1.1 no", "mx2" },
		{ 1, SMTP_RECIPIENT_QUEUED, 3000, 9000, "not any more", "mx2" },
	};
	const struct smtp_queue_recipient *r;
	struct smtp_queue_entry *e;

	ck_assert_int_eq(smtp_spool_record(spool, id, first, 2), 0);
	r = load_recipient(id, 0, &e);
	ck_assert_int_eq(r->state, SMTP_RECIPIENT_QUEUED);
	ck_assert_uint_eq(r->attempts, 1);
	ck_assert_int_eq(r->last_attempt_ms, 1000);
	ck_assert_int_eq(r->next_attempt_ms, 2000);
	ck_assert_str_eq(r->last_reply, "451 4.2.0 later");
	ck_assert_str_eq(r->last_host, "mx1");
	ck_assert_int_eq(e->recipients[1].state, SMTP_RECIPIENT_DELIVERED);
	ck_assert_str_eq(e->recipients[1].last_host, "");
	smtp_queue_entry_free(e);

	ck_assert_int_eq(smtp_spool_record(spool, id, second, 2), 0);
	r = load_recipient(id, 0, &e);
	ck_assert_int_eq(r->state, SMTP_RECIPIENT_BOUNCED);
	ck_assert_uint_eq(r->attempts, 2);
	ck_assert_str_eq(r->last_host, "mx2");
	ck_assert_int_eq(e->recipients[1].state, SMTP_RECIPIENT_DELIVERED);
	ck_assert_str_eq(e->recipients[1].last_reply, "250 ok");
	ck_assert(!e->delay_notice_sent);
	smtp_queue_entry_free(e);

	ck_assert_int_eq(smtp_spool_record_delay_notice(spool, id, 4000), 0);
	(void)load_recipient(id, 0, &e);
	ck_assert(e->delay_notice_sent);
	smtp_queue_entry_free(e);
	ck_assert_int_eq(smtp_spool_record(spool, id, first, 0), SMTP_EINVAL);
}
END_TEST

/* Every beginning of the state file is a state the message once had, or nearly had. */
START_TEST(torn_state_is_read_to_its_last_whole_line)
{
	const char *id = put("x\r\n"), *path = fixture_path("%s.state", "x");
	const struct smtp_spool_outcome later = { 0, SMTP_RECIPIENT_QUEUED, 5, 6, "451 x", "mx" };
	const struct smtp_spool_outcome done = { 0, SMTP_RECIPIENT_DELIVERED, 7, 0, "250 x", "mx" };
	struct smtp_queue_entry *e;
	uint8_t *whole;
	size_t n, one;

	path = fixture_path("spool/queue/%02x/%s.state", spool_dir_of(id), id);
	ck_assert_int_eq(smtp_spool_record(spool, id, &later, 1), 0);
	free(fixture_read(path, &one));
	ck_assert_int_eq(smtp_spool_record(spool, id, &later, 1), 0);
	whole = fixture_read(path, &n);
	ck_assert_uint_eq(n, 2 * one);
	for (size_t cut = 0; cut <= n; cut++) {
		unsigned expected = cut < one ? 0 : cut < n ? 1 : 2;

		fixture_write(path, whole, cut);
		ck_assert_int_eq(smtp_spool_load(spool, id, &e), 0);
		ck_assert_uint_eq(e->recipients[0].attempts, expected);
		ck_assert_int_eq(e->recipients[0].state, SMTP_RECIPIENT_QUEUED);
		smtp_queue_entry_free(e);
		/* What is written after the torn line is not lost with it. */
		ck_assert_int_eq(smtp_spool_record(spool, id, &done, 1), 0);
		ck_assert_int_eq(smtp_spool_load(spool, id, &e), 0);
		ck_assert_int_eq(e->recipients[0].state, SMTP_RECIPIENT_DELIVERED);
		smtp_queue_entry_free(e);
	}
	free(whole);
}
END_TEST

static const char *const odd_states[] = {
	"", "\n\n\n", "no sum here\n", "0123456789abcdef recipient 0 delivered 1 0 - -\n",
	"\xff\xfe\n\0\n", "recipient 0 delivered 1 0 - -\n",
};

START_TEST(odd_state_lines_are_passed_over)
{
	const char *id = put("x\r\n");
	const struct smtp_spool_outcome done = { 1, SMTP_RECIPIENT_DELIVERED, 7, 0, "250 x", "mx" };
	struct smtp_queue_entry *e;

	fixture_write(fixture_path("spool/queue/%02x/%s.state", spool_dir_of(id), id),
		      odd_states[_i], strlen(odd_states[_i]));
	ck_assert_int_eq(smtp_spool_record(spool, id, &done, 1), 0);
	ck_assert_int_eq(smtp_spool_load(spool, id, &e), 0);
	ck_assert_int_eq(e->recipients[0].state, SMTP_RECIPIENT_QUEUED);
	ck_assert_int_eq(e->recipients[1].state, SMTP_RECIPIENT_DELIVERED);
	smtp_queue_entry_free(e);
}
END_TEST

/* Longer than any buffer: ten thousand attempts, with a line without end in the middle. */
START_TEST(long_history_is_read)
{
	const char *id = put("x\r\n");
	static struct smtp_spool_outcome many[5000];
	const char *path = fixture_path("spool/queue/%02x/%s.state", spool_dir_of(id), id);
	struct smtp_queue_entry *e;
	FILE *f;

	for (int i = 0; i < 5000; i++)
		many[i] = (struct smtp_spool_outcome){ .recipient = (size_t)i % 2, .time_ms = i,
						       .reply = "451 later" };
	ck_assert_int_eq(smtp_spool_record(spool, id, many, 5000), 0);
	f = fopen(path, "ab");
	ck_assert_ptr_nonnull(f);
	for (int i = 0; i < 100000; i++)
		ck_assert_int_ne(fputc('x', f), EOF);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(smtp_spool_record(spool, id, many, 5000), 0);
	ck_assert_int_eq(smtp_spool_load(spool, id, &e), 0);
	ck_assert_uint_eq(e->recipients[0].attempts, 5000);
	ck_assert_uint_eq(e->recipients[1].attempts, 5000);
	smtp_queue_entry_free(e);
}
END_TEST

/* ---- Leaving the queue ---- */

static int count_id(const char *id, void *user)
{
	ck_assert(smtp_queue_id_is_valid(id));
	++*(int *)user;
	return 0;
}

static int queued(void)
{
	int n = 0;

	ck_assert_int_eq(smtp_spool_list(spool, count_id, &n), 0);
	return n;
}

static int dead(void)
{
	int n = 0;

	ck_assert_int_eq(smtp_spool_list_dead(spool, count_id, &n), 0);
	return n;
}

static void record_one(const char *id)
{
	struct smtp_spool_outcome o = { .recipient = 0, .reply = "451 later" };

	ck_assert_int_eq(smtp_spool_record(spool, id, &o, 1), 0);
}

START_TEST(removed_is_gone)
{
	const char *id = put("x\r\n");

	record_one(id);
	ck_assert_int_eq(queued(), 1);
	ck_assert_int_eq(smtp_spool_remove(spool, id, true), 0);
	ck_assert_int_eq(queued(), 0);
	ck_assert_int_eq(fixture_count(fixture_path("spool")), 0);
	ck_assert_int_eq(smtp_spool_remove(spool, id, true), SMTP_ENOTFOUND);
}
END_TEST

START_TEST(buried_is_a_dead_letter)
{
	const char *id = put("x\r\n");
	struct smtp_queue_entry *e;

	record_one(id);
	ck_assert_int_eq(smtp_spool_bury(spool, id), 0);
	ck_assert_int_eq(queued(), 0);
	ck_assert_int_eq(dead(), 1);
	ck_assert_int_eq(smtp_spool_load(spool, id, &e), 0);
	ck_assert_uint_eq(e->recipients[0].attempts, 1);
	smtp_queue_entry_free(e);
	check_reader(id, "Received: x\r\n", (const uint8_t *)"x\r\n", 3);
	ck_assert_int_eq(smtp_spool_remove(spool, id, true), 0);
	ck_assert_int_eq(dead(), 0);
	ck_assert_int_eq(fixture_count(fixture_path("spool")), 0);
}
END_TEST

START_TEST(set_aside_goes_to_corrupt)
{
	const char *id = put("x\r\n");

	record_one(id);
	fixture_write(fixture_path("spool/corrupt/%s", id), "older", 5);
	ck_assert_int_eq(smtp_spool_set_aside(spool, id), 0);
	ck_assert_int_eq(queued(), 0);
	ck_assert_int_eq(fixture_count(fixture_path("spool/corrupt")), 3);
	ck_assert(fixture_exists(fixture_path("spool/corrupt/%s.1", id)));
	ck_assert(fixture_exists(fixture_path("spool/corrupt/%s.state", id)));
}
END_TEST

static int stop_at_once(const char *id, void *user)
{
	(void)id;
	++*(int *)user;
	return 42;
}

START_TEST(list_stops_when_told)
{
	int n = 0;

	(void)put("x\r\n");
	(void)put("y\r\n");
	ck_assert_int_eq(queued(), 2);
	ck_assert_int_eq(smtp_spool_list(spool, stop_at_once, &n), 42);
	ck_assert_int_eq(n, 1);
}
END_TEST

/* ---- Damage ---- */

/* A flipped bit anywhere in the file is noticed, by load or by the reader. */
START_TEST(damage_is_noticed)
{
	static char content[600];
	const char *path, *id;
	uint8_t *whole;
	size_t n;

	memset(content, 'a', sizeof content - 1);
	id = put(content);
	path = file_of(id);
	whole = fixture_read(path, &n);
	for (size_t i = 0; i < n; i++) {
		struct smtp_queue_entry *e = NULL;
		struct smtp_spool_reader *reader = NULL;
		uint8_t out[4096];
		size_t got = 1;
		int load, err;

		whole[i] ^= 4;
		fixture_write(path, whole, n);
		whole[i] ^= 4;
		load = smtp_spool_load(spool, id, &e);
		smtp_queue_entry_free(e);
		err = smtp_spool_reader_open(spool, id, &reader);
		while (!err && got > 0)
			err = smtp_spool_reader_read(reader, out, sizeof out, &got);
		smtp_spool_reader_close(reader);
		ck_assert_msg(load || err, "octet %zu of %zu", i, n);
	}
	free(whole);
}
END_TEST

/* Cut off anywhere it is unfinished; with more behind it, it is not what was written. */
START_TEST(cut_file_is_unfinished)
{
	const char *id = put("From: a\r\n\r\nx\r\n"), *path = file_of(id);
	struct smtp_queue_entry *e;
	uint8_t *whole;
	size_t n;

	whole = fixture_read(path, &n);
	for (size_t cut = 0; cut < n; cut++) {
		fixture_write(path, whole, cut);
		ck_assert_int_eq(smtp_spool_load(spool, id, &e), SMTP_ENOTFOUND);
	}
	fixture_write(path, whole, n + 1);
	ck_assert_int_eq(smtp_spool_load(spool, id, &e), SMTP_ENOTFOUND);
	fixture_write(path, whole + 1, n - 1);
	ck_assert_int_eq(smtp_spool_load(spool, id, &e), SMTP_ECORRUPT);
	free(whole);
}
END_TEST

/* Content that looks like a finished file does not become one when its end is missing: the name in
 * its envelope is not its own. */
START_TEST(forged_end_is_not_accepted)
{
	const char *id = put("x\r\n");
	char other[SMTP_QUEUE_ID_MAX + 1];
	struct smtp_queue_entry *e;
	uint8_t *whole;
	size_t n;

	whole = fixture_read(file_of(id), &n);
	ck_assert_int_eq(spool_make_id(spool, other), 0);
	fixture_write(file_of(other), whole, n);
	ck_assert_int_eq(smtp_spool_load(spool, other, &e), SMTP_ECORRUPT);
	free(whole);
}
END_TEST

/* ---- Sweep ---- */

enum fate { KEPT, UNFINISHED, CORRUPT, ORPHAN };

static const struct {
	const char *name, *file; /* %s: a queue id that belongs into that folder */
	const char *bytes;       /* NULL: the message */
	size_t cut;              /* octets left off its end */
	bool with_state;
	enum fate fate;
} odd_files[] = {
	{ "whole", "%s", NULL, 0, false, KEPT },
	{ "whole with state", "%s", NULL, 0, true, KEPT },
	{ "no octet", "%s", "", 0, false, UNFINISHED },
	{ "content only", "%s", "From: a\r\n\r\n", 0, false, UNFINISHED },
	{ "trailer torn", "%s", NULL, 1, false, UNFINISHED },
	{ "trailer torn, but in delivery", "%s", NULL, 1, true, CORRUPT },
	{ "emptied after delivery", "%s", "", 0, true, UNFINISHED },
	{ "trailer of nothing", "%s", "trailer 0 smtp-spool 01\n", 0, false, CORRUPT },
	{ "newer", "%s", "anything smtp-spool 02\n", 0, false, KEPT },
	{ "odd name", "core", "x", 0, false, CORRUPT },
	{ "hidden", ".nfs0001", "x", 0, false, CORRUPT },
	{ "state of nothing", "%s.state", "x", 0, false, ORPHAN },
	{ "odd state", "%s.stats", "x", 0, false, CORRUPT },
	{ "state of what has no name", "0.state", "x", 0, false, CORRUPT },
};

static void on_report(const char *file, const char *reason, void *user)
{
	ck_assert_ptr_nonnull(file);
	ck_assert_ptr_nonnull(reason);
	++*(int *)user;
}

START_TEST(sweep_tidies)
{
	struct smtp_spool_swept result;
	char id[SMTP_QUEUE_ID_MAX + 1], name[64];
	uint8_t *whole;
	size_t n, taken;
	int reports = 0;
	enum fate fate = odd_files[_i].fate;

	(void)snprintf(id, sizeof id, "%s", put("x\r\n"));
	whole = fixture_read(file_of(id), &n);
	ck_assert_int_eq(unlink(file_of(id)), 0);
	taken = strcspn(odd_files[_i].file, "%");
	(void)snprintf(name, sizeof name, "%.*s%s%s", (int)taken, odd_files[_i].file,
		       odd_files[_i].file[taken] ? id : "",
		       odd_files[_i].file[taken] ? odd_files[_i].file + taken + 2 : "");
	if (odd_files[_i].bytes)
		fixture_write(fixture_path("spool/queue/%02x/%s", spool_dir_of(id), name),
			      odd_files[_i].bytes, strlen(odd_files[_i].bytes));
	else
		fixture_write(file_of(id), whole, n - odd_files[_i].cut);
	if (odd_files[_i].with_state)
		fixture_write(fixture_path("spool/queue/%02x/%s.state", spool_dir_of(id), id),
			      "x", 1);
	ck_assert_int_eq(smtp_spool_sweep(spool, &result, on_report, &reports), 0);
	ck_assert_msg(result.unfinished == (fate == UNFINISHED), "%s", odd_files[_i].name);
	ck_assert_msg(result.corrupt == (fate == CORRUPT), "%s", odd_files[_i].name);
	ck_assert_msg(result.orphans == (fate == ORPHAN), "%s", odd_files[_i].name);
	ck_assert_int_ge(reports, fate == CORRUPT);
	ck_assert_msg(fixture_exists(fixture_path("spool/corrupt/%s", name)) == (fate == CORRUPT),
		      "%s", odd_files[_i].name);
	ck_assert_msg(fixture_exists(fixture_path("spool/queue/%02x/%s", spool_dir_of(id),
						  name)) == (fate == KEPT),
		      "%s", odd_files[_i].name);
	if (odd_files[_i].with_state)
		ck_assert_int_eq(fixture_exists(fixture_path("spool/corrupt/%s.state", id)),
				 fate == CORRUPT);
	free(whole);
}
END_TEST

START_TEST(sweep_knows_the_folder)
{
	const char *id = put("x\r\n");
	struct smtp_spool_swept result;
	const char *wrong = fixture_path("spool/queue/%02x/%s", spool_dir_of(id) ^ 1, id);

	ck_assert_int_eq(rename(file_of(id), wrong), 0);
	ck_assert_int_eq(mkdir(fixture_path("spool/queue/00/folder"), 0700), 0);
	ck_assert_int_eq(symlink("/etc/passwd", file_of(id)), 0);
	ck_assert_int_eq(smtp_spool_sweep(spool, &result, NULL, NULL), 0);
	ck_assert_uint_eq(result.corrupt, 3);
	ck_assert_int_eq(queued(), 0);
}
END_TEST

START_TEST(sweep_takes_the_state_to_the_dead_letter)
{
	const char *id = put("x\r\n");

	record_one(id);
	ck_assert_int_eq(rename(file_of(id), fixture_path("spool/bounce/%s", id)), 0);
	ck_assert_int_eq(smtp_spool_sweep(spool, &(struct smtp_spool_swept){ 0 }, NULL, NULL), 0);
	ck_assert(fixture_exists(fixture_path("spool/bounce/%s.state", id)));
	ck_assert_int_eq(fixture_count(fixture_path("spool/queue")), 0);
}
END_TEST

/* ---- Files used again ---- */

/* After a sweep the files of finished messages are emptied and used again, a long one for a short
 * message too, and by whoever opens the spool next. */
START_TEST(files_are_used_again)
{
	static char long_content[300000];
	struct smtp_spool_swept result;
	struct stat before, after;
	const char *id;

	memset(long_content, 'a', sizeof long_content - 1);
	ck_assert_int_eq(smtp_spool_sweep(spool, &result, NULL, NULL), 0);
	id = put(long_content);
	ck_assert_int_eq(stat(file_of(id), &before), 0);
	ck_assert_int_eq(smtp_spool_remove(spool, id, true), 0);
	ck_assert_int_eq(fixture_count(fixture_path("spool/queue")), 0);
	ck_assert_int_eq(fixture_count(fixture_path("spool/free")), 1);
	ck_assert_int_eq(stat(fixture_path("spool/free/%s", id), &after), 0);
	ck_assert_int_eq(after.st_size, 0);

	smtp_spool_close(spool);
	ck_assert_int_eq(smtp_spool_open(&spool, fixture_path("spool"), false), 0);
	ck_assert_int_eq(smtp_spool_sweep(spool, &result, NULL, NULL), 0);
	id = put("x\r\n");
	ck_assert_int_eq(stat(file_of(id), &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
	ck_assert_int_eq(fixture_count(fixture_path("spool/free")), 0);
	check_reader(id, "Received: x\r\n", (const uint8_t *)"x\r\n", 3);
}
END_TEST

/* Without a sweep (a tool beside the server) nothing is kept. */
START_TEST(only_who_sweeps_keeps_files)
{
	ck_assert_int_eq(smtp_spool_remove(spool, put("x\r\n"), true), 0);
	ck_assert_int_eq(fixture_count(fixture_path("spool/free")), 0);
}
END_TEST

/* What lies in free/ and is not empty is no file of ours to empty. */
START_TEST(full_file_in_free_is_not_used)
{
	struct smtp_spool_swept result;
	const char *id = put("x\r\n");
	struct stat st;

	ck_assert_int_eq(link(file_of(id), fixture_path("spool/free/%s", id)), 0);
	fixture_write(fixture_path("spool/free/odd"), "", 0);
	ck_assert_int_eq(smtp_spool_sweep(spool, &result, NULL, NULL), 0);
	ck_assert_int_eq(fixture_count(fixture_path("spool/free")), 0);
	ck_assert_int_eq(fixture_count(fixture_path("spool/corrupt")), 2);
	check_reader(id, "Received: x\r\n", (const uint8_t *)"x\r\n", 3);
	/* Nor one that something else refers to when it is to be emptied. */
	ck_assert_int_eq(smtp_spool_remove(spool, id, true), 0);
	ck_assert_int_eq(fixture_count(fixture_path("spool/free")), 0);
	ck_assert_int_eq(stat(fixture_path("spool/corrupt/%s", id), &st), 0);
	ck_assert_int_gt(st.st_size, 0);
}
END_TEST

/* ---- Opening ---- */

START_TEST(reopened_spool_has_it_all)
{
	const char *id = put("x\r\n");
	struct smtp_spool *other;
	struct smtp_spool_file *file;
	struct smtp_queue_entry *e;
	struct smtp_spool_swept result;

	record_one(id);
	ck_assert_int_eq(smtp_spool_open(&other, fixture_path("spool"), true), 0);
	ck_assert_int_eq(smtp_spool_load(other, id, &e), 0);
	smtp_queue_entry_free(e);
	ck_assert_int_eq(smtp_spool_begin(other, &file), SMTP_ESTATE);
	ck_assert_int_eq(smtp_spool_remove(other, id, true), SMTP_ESTATE);
	ck_assert_int_eq(smtp_spool_bury(other, id), SMTP_ESTATE);
	ck_assert_int_eq(smtp_spool_set_aside(other, id), SMTP_ESTATE);
	ck_assert_int_eq(smtp_spool_record_delay_notice(other, id, 1), SMTP_ESTATE);
	ck_assert_int_eq(smtp_spool_sweep(other, &result, NULL, NULL), SMTP_ESTATE);
	smtp_spool_close(other);
}
END_TEST

START_TEST(read_only_makes_nothing)
{
	struct smtp_spool *other;
	int n = 0;

	ck_assert_int_eq(smtp_spool_open(&other, fixture_path("none"), true), SMTP_ENOTFOUND);
	ck_assert_int_eq(mkdir(fixture_path("empty"), 0700), 0);
	ck_assert_int_eq(smtp_spool_open(&other, fixture_path("empty"), true), 0);
	ck_assert_int_eq(smtp_spool_list(other, count_id, &n), 0);
	ck_assert_int_eq(smtp_spool_list_dead(other, count_id, &n), 0);
	ck_assert_int_eq(n, 0);
	smtp_spool_close(other);
	ck_assert_int_eq(rmdir(fixture_path("empty")), 0);
	smtp_spool_close(NULL);
}
END_TEST

/* What root makes in another's data directory has to be the other's. */
START_TEST(files_belong_to_the_owner_of_the_folder)
{
	enum { NOBODY = 65534 };
	struct smtp_spool *outer = spool;
	struct stat st;
	const char *id;

	if (geteuid() != 0) {
		printf("ok 1 # SKIP files_belong_to_the_owner_of_the_folder: needs root\n");
		return;
	}
	ck_assert_int_eq(mkdir(fixture_path("data"), 0755), 0);
	ck_assert_int_eq(chown(fixture_path("data"), NOBODY, NOBODY), 0);
	ck_assert_int_eq(smtp_spool_open(&spool, fixture_path("data/spool"), false), 0);
	id = put("x\r\n");
	record_one(id);
	ck_assert_int_eq(stat(fixture_path("data/spool/queue/00"), &st), 0);
	ck_assert_uint_eq(st.st_uid, NOBODY);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	ck_assert_int_eq(stat(fixture_path("data/spool/queue/%02x/%s", spool_dir_of(id), id), &st),
			 0);
	ck_assert_uint_eq(st.st_uid, NOBODY);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(stat(fixture_path("data/spool/queue/%02x/%s.state", spool_dir_of(id), id),
			      &st),
			 0);
	ck_assert_uint_eq(st.st_gid, NOBODY);
	smtp_spool_close(spool);
	spool = outer;
}
END_TEST

/* ---- Threads ---- */

enum { THREADS = 4, EACH = 50 };

static void *work(void *unused)
{
	struct smtp_spool_file *file;

	(void)unused;
	for (int i = 0; i < EACH; i++) {
		int err = smtp_spool_begin(spool, &file);

		if (!err)
			err = smtp_spool_write(file, smtp_span_of("From: a\r\n\r\nx\r\n"));
		if (err || commit(file, &plain, "A: b\r\n") != 0)
			return &spool;
	}
	return NULL;
}

START_TEST(threads_commit_side_by_side)
{
	pthread_t threads[THREADS];
	void *failed;

	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, work, NULL), 0);
	for (int i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
		ck_assert_ptr_null(failed);
	}
	ck_assert_int_eq(queued(), THREADS * EACH);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("spool");
	TCase *tc = tcase_create("spool");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, round_trip, 0, ROWS(trips));
	tcase_add_test(tc, envelope_comes_back);
	tcase_add_loop_test(tc, texts_are_kept_as_they_are, 0, ROWS(odd_texts));
	tcase_add_loop_test(tc, bad_envelope_is_refused, 0, ROWS(bad_envelopes));
	tcase_add_test(tc, many_recipients);
	tcase_add_test(tc, ids_sort_and_differ);
	tcase_add_test(tc, ids_never_go_back);
	tcase_add_loop_test(tc, bad_ids_are_not_found, 0, ROWS(bad_ids));
	tcase_add_test(tc, unknown_id_is_not_found);
	tcase_add_test(tc, refused_message_never_touches_the_disk);
	tcase_add_test(tc, aborted_large_message_is_gone);
	tcase_add_test(tc, outcomes_add_up);
	tcase_add_test(tc, torn_state_is_read_to_its_last_whole_line);
	tcase_add_loop_test(tc, odd_state_lines_are_passed_over, 0, ROWS(odd_states));
	tcase_add_test(tc, long_history_is_read);
	tcase_add_test(tc, removed_is_gone);
	tcase_add_test(tc, buried_is_a_dead_letter);
	tcase_add_test(tc, set_aside_goes_to_corrupt);
	tcase_add_test(tc, list_stops_when_told);
	tcase_add_test(tc, damage_is_noticed);
	tcase_add_test(tc, cut_file_is_unfinished);
	tcase_add_test(tc, forged_end_is_not_accepted);
	tcase_add_loop_test(tc, sweep_tidies, 0, ROWS(odd_files));
	tcase_add_test(tc, sweep_knows_the_folder);
	tcase_add_test(tc, sweep_takes_the_state_to_the_dead_letter);
	tcase_add_test(tc, files_are_used_again);
	tcase_add_test(tc, only_who_sweeps_keeps_files);
	tcase_add_test(tc, full_file_in_free_is_not_used);
	tcase_add_test(tc, reopened_spool_has_it_all);
	tcase_add_test(tc, read_only_makes_nothing);
	tcase_add_test(tc, files_belong_to_the_owner_of_the_folder);
	tcase_add_test(tc, threads_commit_side_by_side);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
