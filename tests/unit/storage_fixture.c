/* SPDX-License-Identifier: ISC */
/* See storage_fixture.h. Test code only: what can't be set up ends the test. */
#include "tests/unit/storage_fixture.h"
#include "tests/unit/testing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char folder[64];

void fixture_enter(void)
{
	(void)snprintf(folder, sizeof folder, "%s/smtp-storage-XXXXXX", tests_tmp());
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

void fixture_leave(void)
{
	(void)fixture_fault_clear();
	ck_assert_int_eq(nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

const char *fixture_path(const char *format, ...)
{
	static char paths[8][FIXTURE_PATH];
	static int turn;
	char *path = paths[turn++ % 8];
	int n = snprintf(path, FIXTURE_PATH, "%s/", folder);
	va_list args;

	va_start(args, format);
	(void)vsnprintf(path + n, (size_t)(FIXTURE_PATH - n), format, args);
	va_end(args);
	return path;
}

static int counted;

static int count_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)path;
	(void)st;
	(void)ftw;
	counted += kind != FTW_D;
	return 0;
}

int fixture_count(const char *path)
{
	counted = 0;
	ck_assert_int_eq(nftw(path, count_one, 16, FTW_PHYS), 0);
	return counted;
}

bool fixture_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

uint8_t *fixture_read(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	struct stat st;
	uint8_t *bytes;

	ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
	ck_assert_int_eq(fstat(fileno(f), &st), 0);
	*n = (size_t)st.st_size;
	bytes = malloc(*n + 1);
	ck_assert_ptr_nonnull(bytes);
	ck_assert_uint_eq(fread(bytes, 1, *n, f), *n);
	bytes[*n] = '\0';
	ck_assert_int_eq(fclose(f), 0);
	return bytes;
}

void fixture_write(const char *path, const void *bytes, size_t n)
{
	FILE *f = fopen(path, "wb");

	ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
	ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
	ck_assert_int_eq(fclose(f), 0);
}

/* ---- Faults ---- */

static struct {
	enum fixture_fault what;
	unsigned calls;
	int left;
	int errno_value;
	bool met;
} armed;

static int meet(enum storage_call call)
{
	if (!(armed.calls & 1u << call) || armed.left == 0 || --armed.left > 0)
		return 0;
	armed.met = true;
	if (armed.what == FIXTURE_CRASH)
		_exit(FIXTURE_CRASHED);
	if (armed.what == FIXTURE_HALF)
		return call == STORAGE_WRITE ? STORAGE_HALF : ENOSPC;
	return armed.errno_value;
}

void fixture_fault(enum fixture_fault what, unsigned calls, int n, int errno_value)
{
	armed.what = what;
	armed.calls = calls;
	armed.left = n;
	armed.errno_value = errno_value;
	armed.met = false;
	storage_fault = meet;
}

bool fixture_fault_clear(void)
{
	storage_fault = NULL;
	return armed.met;
}

int fixture_child(int (*work)(void *user), void *user)
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(work(user));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status), "the child ended with status %#x", (unsigned)status);
	return WEXITSTATUS(status);
}
