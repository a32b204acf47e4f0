/* SPDX-License-Identifier: ISC */
/* test_transcripts.c - plays every file of tests/transcripts into a server session: whole, octet by
 * octet, and cut at each position, always with the same result. TRANSCRIPT=name plays one alone.
 */
#include <glob.h>
#include <stdio.h>

#include "tests/unit/testing.h"
#include "tests/unit/transcript.h"

/* A transcript that sends more than this is cut at some positions only. */
enum { CUTS_MAX = 4000 };

static glob_t files;

static void play(const struct transcript *t, size_t cut)
{
	const char *problem = transcript_play(t, cut);

	ck_assert_msg(!problem, "cut %zd: %s", (ssize_t)cut, problem ? problem : "");
}

START_TEST(transcript)
{
	const char *problem;
	struct transcript *t = transcript_load(files.gl_pathv[_i], &problem);
	size_t n, step;

	ck_assert_msg(t != NULL, "%s", problem ? problem : "");
	n = transcript_octets(t);
	step = n / CUTS_MAX + 1;
	play(t, TRANSCRIPT_WHOLE);
	play(t, TRANSCRIPT_OCTETS);
	for (size_t cut = 1; cut < n; cut += step)
		play(t, cut);
	transcript_free(t);
}
END_TEST

static const char *folder(void)
{
	const char *top = getenv("TOP");
	static char pattern[512];
	const char *name = getenv("TRANSCRIPT");

	snprintf(pattern, sizeof(pattern), "%s/tests/transcripts/%s.txt", top ? top : ".",
		 name ? name : "*");
	return pattern;
}

int main(void)
{
	Suite *suite = suite_create("transcripts");
	TCase *tc = tcase_create("transcripts");

	if (glob(folder(), 0, NULL, &files) != 0) {
		fprintf(stderr, "no transcripts at %s\n", folder());
		return EXIT_FAILURE;
	}
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, transcript, 0, (int)files.gl_pathc);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
