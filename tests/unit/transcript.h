/* SPDX-License-Identifier: ISC */
/* transcript.h - plays a golden transcript (tests/transcripts/README.md) into a server session in
 * memory, its client octets whole or cut somewhere, and compares what the session answers.
 */
#ifndef TESTS_UNIT_TRANSCRIPT_H
#define TESTS_UNIT_TRANSCRIPT_H

#include <stdbool.h>
#include <stddef.h>

struct transcript;

/* How the octets of the client are fed: anything else is a position to cut at. */
#define TRANSCRIPT_WHOLE ((size_t)-1)
#define TRANSCRIPT_OCTETS ((size_t)-2)

/** Reads a transcript; NULL: *problem says why, valid until the next call. Free it. */
struct transcript *transcript_load(const char *path, const char **problem);
void transcript_free(struct transcript *t);
/** Octets that the client sends in all. */
size_t transcript_octets(const struct transcript *t);
/** Plays it. NULL: all was as written; else what was not, valid until the next call. */
const char *transcript_play(const struct transcript *t, size_t cut);

/* How the session of the last play ended, whatever it said. */
struct transcript_end {
	unsigned begun; /* sessions whose connect phase ran, which XCLIENT runs again */
	unsigned disconnects;
	bool leaked; /* a secret was traced */
};

struct transcript_end transcript_last_end(void);

#endif
