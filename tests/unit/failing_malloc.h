/* SPDX-License-Identifier: ISC */
/* failing_malloc.h - for one test program: its malloc, of which a thread may ask that it fails. Not under
 * sanitizers, which bring a malloc of their own: HAS_FAILING_MALLOC says whether it is there.
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

__attribute__((unused)) static _Thread_local bool malloc_fails; /* in this thread, every time */

#if HAS_FAILING_MALLOC
static atomic_uint malloc_fails_after; /* in any thread, at the n-th from now; 0: never */
static _Thread_local bool malloc_is_spared; /* in this thread that one counts not */
static atomic_bool malloc_failed;

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t count, size_t n);
void *__libc_realloc(void *p, size_t n);

static bool lacks_memory(void)
{
	unsigned left = atomic_load(&malloc_fails_after);

	if (malloc_fails)
		return true;
	while (left > 0 && !malloc_is_spared) {
		if (!atomic_compare_exchange_weak(&malloc_fails_after, &left, left - 1))
			continue;
		if (left == 1)
			atomic_store(&malloc_failed, true);
		return left == 1;
	}
	return false;
}

void *malloc(size_t n)
{
	return lacks_memory() ? NULL : __libc_malloc(n);
}

void *calloc(size_t count, size_t n)
{
	return lacks_memory() ? NULL : __libc_calloc(count, n);
}

void *realloc(void *p, size_t n)
{
	return lacks_memory() ? NULL : __libc_realloc(p, n);
}
#endif

#endif
