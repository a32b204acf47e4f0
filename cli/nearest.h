/* SPDX-License-Identifier: ISC */
/* nearest.h - which known word was meant by one that is not known. */
#ifndef CLI_NEAREST_H
#define CLI_NEAREST_H

#include <stddef.h>

/** Of words, the i-th of which `word_at` returns (NULL ends them), the nearest to `word` if it is near
 *  enough to be what was meant; else NULL. */
const char *cli_nearest(const char *word, const char *(*word_at)(const void *words, size_t i),
			const void *words);

#endif
