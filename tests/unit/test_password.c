/* SPDX-License-Identifier: ISC */
/* Password hashes: they match what they were made of and nothing else, and whether there is an
 * account does not show in the time it takes.
 */
#include <smtp/accounts.h>

#include "tests/unit/testing.h"

#include <time.h>

static struct smtp_span span(const void *p, size_t n)
{
	return (struct smtp_span){ p, n };
}

START_TEST(hash_matches_its_password)
{
	char hash[SMTP_PASSWORD_HASH_MAX], again[SMTP_PASSWORD_HASH_MAX];

	ck_assert_int_eq(smtp_password_hash(smtp_span_of("correct horse"), hash), 0);
	ck_assert_int_eq(strncmp(hash, "$argon2id$v=19$m=65536,t=2,p=1$", 31), 0);
	ck_assert(smtp_password_matches(smtp_span_of("correct horse"), hash));
	ck_assert(!smtp_password_matches(smtp_span_of("correct horsf"), hash));
	ck_assert(!smtp_password_matches(smtp_span_of("correct hors"), hash));
	ck_assert(!smtp_password_matches(span("correct horse", 14), hash));
	ck_assert(!smtp_password_matches(smtp_span_of(""), hash));
	ck_assert_int_eq(smtp_password_hash(smtp_span_of("correct horse"), again), 0);
	ck_assert_str_ne(hash, again);
}
END_TEST

START_TEST(octets_of_any_kind)
{
	static uint8_t longest[SMTP_PASSWORD_MAX + 1];
	char hash[SMTP_PASSWORD_HASH_MAX];

	memset(longest, 0xff, sizeof longest);
	longest[3] = '\0';
	ck_assert_int_eq(smtp_password_hash(span(longest, SMTP_PASSWORD_MAX), hash), 0);
	ck_assert(smtp_password_matches(span(longest, SMTP_PASSWORD_MAX), hash));
	ck_assert(!smtp_password_matches(span(longest, SMTP_PASSWORD_MAX + 1), hash));
	ck_assert(!smtp_password_matches(span(longest, 3), hash));
	ck_assert_int_eq(smtp_password_hash(span(longest, SMTP_PASSWORD_MAX + 1), hash),
			 SMTP_EINVAL);
	ck_assert_int_eq(smtp_password_hash(smtp_span_of(""), hash), SMTP_EINVAL);
}
END_TEST

static const char *const bad_hashes[] = { NULL, "", "x", "$argon2id$", "secret", "$1$ab$cd" };

START_TEST(bad_hash_matches_nothing)
{
	ck_assert(!smtp_password_matches(smtp_span_of("secret"), bad_hashes[_i]));
	ck_assert(!smtp_password_matches(smtp_span_of(""), bad_hashes[_i]));
}
END_TEST

static double cpu_seconds(const char *hash)
{
	struct timespec from, to;

	ck_assert_int_eq(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from), 0);
	ck_assert(!smtp_password_matches(smtp_span_of("wrong"), hash));
	ck_assert_int_eq(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to), 0);
	return (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
}

static double least(double a, double b)
{
	return a < b ? a : b;
}

/* Processor time, the least of some tries: other programs don't disturb it much. */
START_TEST(no_account_takes_as_long_as_a_wrong_password)
{
	char hash[SMTP_PASSWORD_HASH_MAX];
	double known = 1e9, unknown = 1e9;

	ck_assert_int_eq(smtp_password_hash(smtp_span_of("right"), hash), 0);
	for (int i = 0; i < 5; i++) {
		known = least(known, cpu_seconds(hash));
		unknown = least(unknown, cpu_seconds(i % 2 ? NULL : ""));
	}
	ck_assert_double_gt(unknown, known / 2);
	ck_assert_double_lt(unknown, known * 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("password");
	TCase *tc = tcase_create("password");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, hash_matches_its_password);
	tcase_add_test(tc, octets_of_any_kind);
	tcase_add_loop_test(tc, bad_hash_matches_nothing, 0, ROWS(bad_hashes));
	tcase_add_test(tc, no_account_takes_as_long_as_a_wrong_password);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
