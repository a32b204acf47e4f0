/* SPDX-License-Identifier: ISC */
/* Greylisting in made-up time: who may pass, what is forgotten, what a file keeps. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsmtp/middleware/greylist.h"
#include "tests/unit/server_probe.h"

static struct smtp_mailbox mailbox(const char *text)
{
	struct smtp_mailbox m = { "", "" };

	if (*text)
		ck_assert_int_eq(smtp_mailbox_parse(&m, smtp_span_of(text), 0), 0);
	return m;
}

static uint32_t wait_s;

static bool passes(struct greylist *g, const char *peer, const char *from, const char *to, int64_t now_s)
{
	struct smtp_mailbox f = mailbox(from), t = mailbox(to);
	struct smtp_network network;

	ck_assert_int_eq(smtp_network_parse(&network, peer), 0);
	wait_s = 0;
	return greylist_passes(g, &network, &f, &t, now_s, &wait_s);
}

static struct greylist *list(uint32_t max_entries, const char *file)
{
	struct smtp_greylist_options options = SMTP_GREYLIST_OPTIONS_INIT;
	struct greylist *g = NULL;

	options.max_entries = max_entries;
	options.file = file;
	ck_assert_int_eq(greylist_new(&g, &options), 0);
	return g;
}

enum { BEGIN = 1700000000 };

static const struct {
	const char *peer, *from, *to;
	int64_t at; /* since the begin */
	uint32_t wait_s; /* 0: it passes */
} rows[] = { /* 300 s, kept for a day */
	{ "192.0.2.1", "a@b.example", "c@d.example", 0, 300 },
	{ "192.0.2.1", "a@b.example", "c@d.example", 10, 290 },
	{ "192.0.2.1", "a@b.example", "e@d.example", 299, 300 }, /* another recipient */
	{ "192.0.2.1", "a@b.example", "c@d.example", 299, 1 },
	{ "192.0.2.1", "a@b.example", "c@d.example", 300, 0 },
	{ "192.0.2.77", "a@b.example", "c@d.example", 301, 0 },  /* its neighbour */
	{ "192.0.3.1", "a@b.example", "c@d.example", 301, 300 }, /* another network */
	{ "192.0.2.1", "A@B.example", "C@D.EXAMPLE", 302, 0 },
	{ "192.0.2.1", "", "c@d.example", 302, 300 },            /* another sender */
	{ "192.0.2.1", "a@b.example", "c@d.example", 302 + 86400, 0 },
	{ "192.0.2.1", "a@b.example", "c@d.example", 302 + 2 * 86400 + 1, 300 }, /* forgotten */
	{ "192.0.2.1", "a@b.example", "c@d.example", 100, 300 }, /* the clock was set back */
	{ "2001:db8::1", "a@b.example", "c@d.example", 400, 300 },
	{ "2001:db8::ffff:1", "a@b.example", "c@d.example", 700, 0 },
	{ "2001:db8:0:1::1", "a@b.example", "c@d.example", 700, 300 },
};

START_TEST(in_time)
{
	struct greylist *g = list(1000, NULL);

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		bool ok = passes(g, rows[i].peer, rows[i].from, rows[i].to, BEGIN + rows[i].at);

		ck_assert_msg(ok == (rows[i].wait_s == 0) && wait_s == rows[i].wait_s, "row %zu: %u",
			      i, wait_s);
	}
	greylist_free(g);
}
END_TEST

/* Far more than there is room for: who comes again soon is remembered. */
START_TEST(flood)
{
	struct greylist *g = list(512, NULL);
	char from[64];

	for (unsigned i = 0; i < 5000; i++) {
		(void)snprintf(from, sizeof from, "u%u@b.example", i);
		ck_assert(!passes(g, "192.0.2.1", from, "c@d.example", BEGIN + i));
		ck_assert(passes(g, "198.51.100.1", "a@b.example", "c@d.example", BEGIN + i) ==
			  (i >= 300));
	}
	greylist_free(g);
}
END_TEST

static char directory[] = "/tmp/smtp-greylist-XXXXXX";
static char file[64];

static void make_directory(void)
{
	(void)snprintf(directory, sizeof directory, "/tmp/smtp-greylist-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	(void)snprintf(file, sizeof file, "%s/list", directory);
}

static void remove_directory(void)
{
	(void)unlink(file);
	ck_assert_int_eq(rmdir(directory), 0); /* nothing else is left there */
}

START_TEST(kept_in_a_file)
{
	struct greylist *g = list(100, file);
	struct stat st;

	ck_assert(!passes(g, "192.0.2.1", "a@b.example", "c@d.example", BEGIN));
	greylist_free(g);
	ck_assert_int_eq(stat(file, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	g = list(100, file);
	ck_assert(passes(g, "192.0.2.1", "a@b.example", "c@d.example", BEGIN + 300));
	greylist_free(g);
	g = list(8, file); /* another size */
	ck_assert(passes(g, "192.0.2.1", "a@b.example", "c@d.example", BEGIN + 301));
	ck_assert(!passes(g, "192.0.2.1", "x@b.example", "c@d.example", BEGIN + 301));
	greylist_free(g);
}
END_TEST

START_TEST(saved_now_and_then)
{
	struct greylist *g = list(100, file), *other;

	ck_assert(!passes(g, "192.0.2.1", "a@b.example", "c@d.example", BEGIN));
	ck_assert(!passes(g, "192.0.2.1", "e@b.example", "c@d.example", BEGIN + 1));
	other = list(100, file); /* as after a crash */
	ck_assert(passes(other, "192.0.2.1", "a@b.example", "c@d.example", BEGIN + 300));
	ck_assert(!passes(other, "192.0.2.1", "e@b.example", "c@d.example", BEGIN + 301));
	ck_assert(passes(g, "192.0.2.1", "e@b.example", "c@d.example", BEGIN + 301));
	greylist_free(other);
	greylist_free(g);
}
END_TEST

static const struct {
	const char *text;
	size_t n;
} damaged[] = { { "", 0 }, { "smtp greylist 2\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 60 },
		{ "smtp greylist 1\nshort", 21 }, { "nonsense", 8 } };

START_TEST(damaged_file)
{
	FILE *f = fopen(file, "w");
	struct greylist *g;

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(damaged[_i].text, 1, damaged[_i].n, f), damaged[_i].n);
	ck_assert_int_eq(fclose(f), 0);
	g = list(100, file);
	ck_assert(!passes(g, "192.0.2.1", "a@b.example", "c@d.example", BEGIN));
	ck_assert(passes(g, "192.0.2.1", "a@b.example", "c@d.example", BEGIN + 300));
	greylist_free(g);
}
END_TEST

START_TEST(file_that_cannot_be)
{
	struct greylist *g = list(100, "/nonexistent/list");

	ck_assert(!passes(g, "192.0.2.1", "a@b.example", "c@d.example", BEGIN));
	ck_assert(passes(g, "192.0.2.1", "a@b.example", "c@d.example", BEGIN + 300));
	greylist_free(g);
}
END_TEST

/* --- sessions --------------------------------------------------------------------------------- */

static const char *said(struct smtp_server_session *s, const char *text)
{
	ck_assert_uint_eq(feed(s, text), strlen(text));
	return output(s);
}

START_TEST(sessions)
{
	struct smtp_server_session_options options = options_of_tests();
	struct probe a = probe_of('a');
	struct smtp_middleware m, tail = smtp_middleware_of("probe", &a.functions, &a);
	const char *const peers[] = { "192.0.2.1", "", "192.0.2.1" };

	events[0] = '\0';
	ck_assert_int_eq(smtp_middleware_greylist(&m, NULL), 0);
	ck_assert(!m.blocking);
	for (int i = 0; i < 3; i++) {
		struct smtp_server_session *s = NULL;

		ck_assert_int_eq(smtp_server_session_new(&s, &options, NULL, NULL), 0);
		if (*peers[i])
			ck_assert_int_eq(smtp_server_session_set_peer(s, peers[i], 1), 0);
		ck_assert_int_eq(smtp_server_session_use(s, &m), 0);
		ck_assert_int_eq(smtp_server_session_use(s, &tail), 0);
		ck_assert_int_eq(smtp_server_session_start(s, 1000), 0);
		(void)output(s);
		if (i == 2)
			say(s, EHLO PLAIN "MAIL FROM:<>\r\n", "250 235 250");
		else
			say(s, EHLO "MAIL FROM:<>\r\n", "250 250");
		ck_assert_int_eq(strncmp(said(s, "RCPT TO:<bob@example.org>\r\n"),
					 i == 0 ? "450 4.7.1 greylisted, try again in 300 s" : "250", 3),
				 0);
		smtp_server_session_free(s);
	}
	smtp_middleware_release(&m);
}
END_TEST

static const struct smtp_greylist_options bad_options[] = {
	{ .size = sizeof *bad_options, .delay_s = 0, .keep_s = 9, .max_entries = 9 },
	{ .size = sizeof *bad_options, .delay_s = 9, .keep_s = 9, .max_entries = 9 },
	{ .size = sizeof *bad_options, .delay_s = 1, .keep_s = 9, .max_entries = 0 },
	{ .size = sizeof *bad_options, .delay_s = 1, .keep_s = 9, .max_entries = 1u << 25 },
	{ .size = 1, .delay_s = 1, .keep_s = 9, .max_entries = 9 },
};

START_TEST(bad)
{
	struct smtp_greylist_options defaults;
	struct smtp_middleware m;

	ck_assert_int_eq(smtp_middleware_greylist(&m, &bad_options[_i]), SMTP_EINVAL);
	smtp_greylist_options_init(&defaults);
	ck_assert_uint_eq(defaults.max_entries, 100000);
	ck_assert_int_eq(smtp_middleware_greylist(NULL, &defaults), SMTP_EINVAL);
}
END_TEST

static atomic_uint clock_s;

/* Each reads the clock and then goes on, so they come a little out of order. */
static void *try_many(void *user)
{
	char from[64];

	for (unsigned i = 0; i < 2000; i++) {
		struct smtp_network peer;
		struct smtp_mailbox f, t = { "c", "d.example" };
		uint32_t wait;
		unsigned now = 300 + atomic_fetch_add(&clock_s, 1) / 100;

		(void)snprintf(from, sizeof from, "u%u@b.example", i % 50);
		f = mailbox(from);
		ck_assert_int_eq(smtp_network_parse(&peer, "192.0.2.1"), 0);
		ck_assert(greylist_passes(user, &peer, &f, &t, BEGIN + now, &wait));
	}
	return NULL;
}

START_TEST(threads)
{
	struct greylist *g = list(1000, file);
	pthread_t ids[3];

	for (int i = 0; i < 50; i++) { /* all begin at the same time */
		char from[64];

		(void)snprintf(from, sizeof from, "u%d@b.example", i);
		(void)passes(g, "192.0.2.1", from, "c@d.example", BEGIN);
	}
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&ids[i], NULL, try_many, g), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_join(ids[i], NULL), 0);
	greylist_free(g);
}
END_TEST

#define add_rows(tc, test, table)                                                                  \
	tcase_add_loop_test(tc, test, 0, (int)(sizeof(table) / sizeof *(table)))

int main(void)
{
	Suite *s = suite_create("greylist");
	TCase *tc = tcase_create("all"), *files = tcase_create("files");

	tcase_add_test(tc, in_time);
	tcase_add_test(tc, flood);
	tcase_add_test(tc, sessions);
	add_rows(tc, bad, bad_options);
	tcase_add_test(tc, file_that_cannot_be);
	tcase_add_checked_fixture(files, make_directory, remove_directory);
	tcase_add_test(files, kept_in_a_file);
	tcase_add_test(files, saved_now_and_then);
	add_rows(files, damaged_file, damaged);
	tcase_add_test(files, threads);
	suite_add_tcase(s, tc);
	suite_add_tcase(s, files);
	return tests_run(s);
}
