/* SPDX-License-Identifier: ISC */
/* What the tests of the storage share: a folder that goes away, files in it, and faults: the n-th
 * system call fails, or the process ends there.
 */
#ifndef TESTS_UNIT_STORAGE_FIXTURE_H
#define TESTS_UNIT_STORAGE_FIXTURE_H

#include "storage/sys.h"

enum { FIXTURE_PATH = 512 };

/** Makes a new empty folder and becomes its user: file names below are relative to it. */
void fixture_enter(void);
/** Leaves and removes it. */
void fixture_leave(void);

/** A path below the folder, in static memory of eight turns. */
const char *fixture_path(const char *format, ...) __attribute__((format(printf, 1, 2)));
/** Number of entries of a folder, . and .. not counted; those of folders in it added up. */
int fixture_count(const char *folder);
bool fixture_exists(const char *path);
/** The whole file; free() it. */
uint8_t *fixture_read(const char *path, size_t *n);
void fixture_write(const char *path, const void *bytes, size_t n);

/* ---- Faults ---- */

enum fixture_fault {
	FIXTURE_FAIL,  /* the call fails with an errno value */
	FIXTURE_CRASH, /* the process ends before the call */
	FIXTURE_HALF   /* writes half, then the disk is full; other calls fail with ENOSPC */
};
/** From now on the n-th call (from 1) of the kinds in `calls` (bits 1 << enum storage_call) does so. */
void fixture_fault(enum fixture_fault what, unsigned calls, int n, int errno_value);
/** Ends that; true if the fault was met. */
bool fixture_fault_clear(void);

enum { FIXTURE_ALL_CALLS = (1 << STORAGE_CALLS) - 1, FIXTURE_CRASHED = 77 };

/** Runs `work` in a child. Returns its exit status; FIXTURE_CRASHED if the fault ended it. */
int fixture_child(int (*work)(void *user), void *user);

#endif
