/* SPDX-License-Identifier: ISC */
/* failing_malloc.h - for one test program: its malloc, which fails when a thread asks for it or at the
 * n-th time, and counts blocks. Not under sanitizers, which bring a malloc of their own:
 * HAS_FAILING_MALLOC says whether it is there.
 */
#ifndef TESTS_UNIT_FAILING_MALLOC_H
#define TESTS_UNIT_FAILING_MALLOC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#if defined(__has_feature)
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
	HAS_FEATURE(address_sanitizer) || HAS_FEATURE(thread_sanitizer) || \
	HAS_FEATURE(memory_sanitizer) || !defined(__GLIBC__)
#define HAS_FAILING_MALLOC 0
#else
#define HAS_FAILING_MALLOC 1
#endif

/* A program that is about nothing else says FAILING_MALLOC_IS_ALL before it includes this: where memory
 * can't fail, it is left out. */
#if !HAS_FAILING_MALLOC && defined(FAILING_MALLOC_IS_ALL)
int main(void)
{
	return EXIT_SUCCESS;
}
#endif

/* libcheck allocates too: for where the library runs. */
#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

__attribute__((unused)) static _Thread_local bool malloc_fails; /* in this thread, every time */

#if HAS_FAILING_MALLOC
static atomic_uint malloc_fails_after; /* in any thread, at the n-th from now; 0: never */
static _Thread_local bool malloc_is_spared; /* what this thread does is no matter */
static atomic_bool malloc_failed;
static atomic_bool malloc_counts;
static atomic_long malloc_live; /* blocks that came since malloc_watch(), less those that went */

/* Where a program leaves out more, said before this is included: when the n-th is not meant for it, and
 * whether only calls from the program itself matter, not those from libraries. */
#ifndef MALLOC_MAY_NOT_FAIL
#define MALLOC_MAY_NOT_FAIL false
#endif
#ifndef MALLOC_TRUSTS_LIBRARIES
#define MALLOC_TRUSTS_LIBRARIES false
#endif

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t count, size_t n);
void *__libc_realloc(void *p, size_t n);
void __libc_free(void *p);

extern const char __executable_start, etext;

static inline bool malloc_matters(const void *caller)
{
	return !malloc_is_spared &&
	       (!MALLOC_TRUSTS_LIBRARIES || ((uintptr_t)caller >= (uintptr_t)&__executable_start &&
					     (uintptr_t)caller < (uintptr_t)&etext));
}

static bool lacks_memory(const void *caller)
{
	unsigned left = atomic_load(&malloc_fails_after);

	if (malloc_fails)
		return true;
	while (left > 0 && !MALLOC_MAY_NOT_FAIL && malloc_matters(caller)) {
		if (!atomic_compare_exchange_weak(&malloc_fails_after, &left, left - 1))
			continue;
		if (left == 1)
			atomic_store(&malloc_failed, true);
		return left == 1;
	}
	return false;
}

static void count_block(const void *p, long change, const void *caller)
{
	if (p && atomic_load(&malloc_counts) && malloc_matters(caller))
		atomic_fetch_add(&malloc_live, change);
}

void *malloc(size_t n)
{
	const void *caller = __builtin_return_address(0);
	void *p = lacks_memory(caller) ? NULL : __libc_malloc(n);

	count_block(p, 1, caller);
	return p;
}

void *calloc(size_t count, size_t n)
{
	const void *caller = __builtin_return_address(0);
	void *p = lacks_memory(caller) ? NULL : __libc_calloc(count, n);

	count_block(p, 1, caller);
	return p;
}

void *realloc(void *p, size_t n)
{
	const void *caller = __builtin_return_address(0);
	void *grown = lacks_memory(caller) ? NULL : __libc_realloc(p, n);

	if (!p)
		count_block(grown, 1, caller);
	return grown;
}

void free(void *p)
{
	count_block(p, -1, __builtin_return_address(0));
	__libc_free(p);
}

/* From now on blocks are counted, and the n-th allocation fails; 0: none does. */
static inline void malloc_watch(unsigned n)
{
	atomic_store(&malloc_live, 0);
	atomic_store(&malloc_failed, false);
	atomic_store(&malloc_fails_after, n);
	atomic_store(&malloc_counts, true);
}

/* The end of that; returns how many blocks are left. */
static inline long malloc_unwatch(void)
{
	atomic_store(&malloc_counts, false);
	atomic_store(&malloc_fails_after, 0);
	return atomic_load(&malloc_live);
}
#endif

#endif
