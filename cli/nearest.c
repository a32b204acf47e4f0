/* SPDX-License-Identifier: ISC */
/* nearest.c - "did you mean": the distance between two words. */
#include "cli/nearest.h"

#include <string.h>

enum { DISTANCE_WORD_MAX = 40 };

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Edits from one word to the other, two letters that changed places counting as one (optimal string
 * alignment). */
static unsigned distance(const char *a, size_t an, const char *b, size_t bn)
{
	unsigned rows[3][DISTANCE_WORD_MAX + 1];
	unsigned *two = rows[0], *one = rows[1], *now = rows[2];

	for (size_t j = 0; j <= bn; j++)
		one[j] = (unsigned)j;
	for (size_t i = 1; i <= an; i++) {
		unsigned *oldest = two;

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= bn; j++) {
			now[j] = least(one[j] + 1, now[j - 1] + 1,
				       one[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    two[j - 2] + 1 < now[j])
				now[j] = two[j - 2] + 1;
		}
		two = one;
		one = now;
		now = oldest;
	}
	return one[bn];
}

const char *cli_nearest(const char *word, const char *(*word_at)(const void *words, size_t i),
			const void *words)
{
	size_t n = strlen(word);
	unsigned best = (unsigned)n / 3 + 1;
	const char *near = NULL;
	const char *known;

	for (size_t i = 0; n <= DISTANCE_WORD_MAX && (known = word_at(words, i)) != NULL; i++) {
		size_t kn = strlen(known);
		unsigned d;

		if (kn > DISTANCE_WORD_MAX)
			continue;
		d = distance(word, n, known, kn);
		if (d <= best && d < kn) {
			near = d < best || !near ? known : near;
			best = d;
		}
	}
	return near;
}
