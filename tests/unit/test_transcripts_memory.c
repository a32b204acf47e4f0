/* SPDX-License-Identifier: ISC */
/* test_transcripts_memory.c - every golden transcript again, with the n-th allocation of the session
 * failing, for each n until it gets by without: the session says 4yz or ends, nothing leaks, and the
 * handler is told of the end. Left out under sanitizers, which bring a malloc of their own.
 */
#include <glob.h>
#include <stdio.h>

#include "tests/unit/testing.h"
#include "tests/unit/transcript.h"
#include "tests/unit/transcript_policy.h"

#define FAILING_MALLOC_IS_ALL
#define MALLOC_MAY_NOT_FAIL policy_allocates
#define MALLOC_TRUSTS_LIBRARIES true
#include "tests/unit/failing_malloc.h"

#if HAS_FAILING_MALLOC

/* --- the transcripts --- */

/* Long ones say the same over and over. */
enum { OCTETS_MAX = 8000, ALLOCATIONS_MAX = 2000 };

static glob_t files;

/* Something else came than was expected: is it what lack of memory may look like? The words behind a
 * code may be missing. What was checked behind a failure may be otherwise too. */
static bool is_answered(const char *problem)
{
	const char *got = strstr(problem, "got \"");
	const char *expected = strstr(problem, "expected \"");
	const char *more = strstr(problem, "not expected: \"");

	if (got)
		return got[5] == '4' || got[5] == '5' || got[5] == expected[10];
	return !more || more[15] == '4' || more[15] == '5' || more[15] == '2';
}

static const char *play(const struct transcript *t, unsigned n)
{
	const char *problem;

	malloc_watch(n);
	problem = transcript_play(t, TRANSCRIPT_WHOLE);
	(void)malloc_unwatch();
	return problem;
}

static void expect_clean(const char *path, unsigned n, const char *problem)
{
	struct transcript_end end = transcript_last_end();

	ck_assert_msg(malloc_live == 0, "%s, %u: %ld blocks are left", path, n, malloc_live);
	ck_assert_msg(end.disconnects == (end.begun > 0), "%s, %u: %u ends", path, n, end.disconnects);
	ck_assert_msg(!end.leaked, "%s, %u: a secret was traced", path, n);
	ck_assert_msg(!problem || is_answered(problem), "%u: %s", n, problem ? problem : "");
}

START_TEST(each_allocation_fails)
{
	const char *path = files.gl_pathv[_i], *problem;
	struct transcript *t = transcript_load(path, &problem);
	unsigned n = 0;

	ck_assert_msg(t != NULL, "%s", problem ? problem : "");
	if (transcript_octets(t) <= OCTETS_MAX) {
		problem = play(t, 0); /* what libraries keep of a first time is there now */
		ck_assert_msg(!problem, "%s", problem ? problem : "");
		do {
			problem = play(t, ++n);
			expect_clean(path, n, problem);
		} while (malloc_failed && n < ALLOCATIONS_MAX);
		ck_assert_msg(!malloc_failed && !problem, "%s: %s", path, problem ? problem : "endless");
		ck_assert_uint_gt(n, 2); /* otherwise nothing was tried */
	}
	transcript_free(t);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("transcripts without memory");
	TCase *tc = tcase_create("transcripts without memory");
	const char *top = getenv("TOP"), *name = getenv("TRANSCRIPT");
	char pattern[512];

	snprintf(pattern, sizeof(pattern), "%s/tests/transcripts/%s.txt", top ? top : ".",
		 name ? name : "*");
	if (glob(pattern, 0, NULL, &files) != 0) {
		fprintf(stderr, "no transcripts at %s\n", pattern);
		return EXIT_FAILURE;
	}
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, each_allocation_fails, 0, (int)files.gl_pathc);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
#endif
