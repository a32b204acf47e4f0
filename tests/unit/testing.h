/* SPDX-License-Identifier: ISC */
/* Helpers that every unit test may use: running a suite, and input that ends at an
 * inaccessible page so that a read past its end is a fault at once. Test code only:
 * what can't be set up ends the test.
 */
#ifndef TESTS_UNIT_TESTING_H
#define TESTS_UNIT_TESTING_H

#include <check.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Rows of a table, as the int that tcase_add_loop_test() wants. */
#define ROWS(table) ((int)(sizeof(table) / sizeof *(table)))

/** Runs `suite`, prints libcheck's summary and frees all. Returns the exit status for main().
 *  CK_FORK, CK_RUN_CASE and the other variables of libcheck work as usual. */
static inline int tests_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/** Where tests put their temporary folders: in memory where there is such a place, for a unit test
 *  that syncs a thousand files has nothing to learn from the disk. */
static inline const char *tests_tmp(void)
{
	return access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp";
}

/* Pages that hold `n` bytes at their end, and one page behind them that can't be touched. */
static inline size_t guarded_room(size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (n + page - 1) / page * page;
}

/** A copy of `n` bytes whose last byte is the last readable one: reading further faults.
 *  Free it with guarded_free() and the same `n`. n == 0 gives a pointer that can't be read. */
static inline void *guarded(const void *bytes, size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t room = guarded_room(n);
	uint8_t *base = mmap(NULL, room + page, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(base, MAP_FAILED);
	ck_assert_int_eq(mprotect(base + room, page, PROT_NONE), 0);
	if (n > 0)
		memcpy(base + room - n, bytes, n);
	return base + room - n;
}

static inline void guarded_free(void *copy, size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t room = guarded_room(n);

	if (copy)
		ck_assert_int_eq(munmap((uint8_t *)copy + n - room, room + page), 0);
}

/** Feeds `n` bytes to something incremental in every way that matters: whole, byte by byte,
 *  then cut in two at each position. `begin` makes a fresh object, `feed` gets each piece in
 *  guarded memory, `end` compares the result, so it must be the same each time. */
struct split_feed {
	void (*begin)(void *user);
	void (*feed)(void *user, const uint8_t *piece, size_t n);
	void (*end)(void *user);
};

static inline void split_feed_piece(const struct split_feed *f, void *user, const uint8_t *p,
				    size_t n)
{
	uint8_t *copy = guarded(p, n);

	f->feed(user, copy, n);
	guarded_free(copy, n);
}

static inline void split_feed_run(const struct split_feed *f, void *user, const void *bytes,
				  size_t n)
{
	const uint8_t *p = bytes;

	f->begin(user);
	split_feed_piece(f, user, p, n);
	f->end(user);

	f->begin(user);
	for (size_t i = 0; i < n; i++)
		split_feed_piece(f, user, p + i, 1);
	f->end(user);

	for (size_t cut = 1; cut < n; cut++) {
		f->begin(user);
		split_feed_piece(f, user, p, cut);
		split_feed_piece(f, user, p + cut, n - cut);
		f->end(user);
	}
}

#endif
