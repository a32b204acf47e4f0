/* SPDX-License-Identifier: ISC */
/* common.h - what the larger examples share: an end on SIGINT and SIGTERM, reading a secret from a file. */
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In the first thread before there are others: these signals then wait for wait_for_end(). */
static inline sigset_t block_end_signals(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGQUIT);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	return set;
}

static inline void wait_for_end(const sigset_t *set)
{
	int number;

	(void)sigwait(set, &number);
}

/* The first line of a file into `out`; false, with a message, if that can't be had. */
static inline int read_secret(const char *path, char *out, int cap)
{
	FILE *f = fopen(path, "r");
	int ok = f && fgets(out, cap, f) && (int)strlen(out) < cap - 1;

	if (f)
		(void)fclose(f);
	if (ok)
		out[strcspn(out, "\r\n")] = '\0';
	else
		fprintf(stderr, "%s: no line of less than %d octets\n", path, cap);
	return ok;
}

#endif
