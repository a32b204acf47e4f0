/* SPDX-License-Identifier: ISC */
/* What the fuzz targets share: an oracle that stops the run, and bytes of the input that choose how
 * the rest of it is cut.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libsmtp/core/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** What must hold for every input. */
static inline void need(bool truth)
{
	if (!truth)
		abort();
}

/** Takes one octet off the head of the input as a choice; 0 when there is none. */
static inline uint8_t take_choice(struct smtp_span *input)
{
	uint8_t choice = 0;

	if (input->n > 0) {
		choice = input->p[0];
		*input = smtp_span_slice(*input, 1, SIZE_MAX);
	}
	return choice;
}

/** Length of the next piece, from 1 to all that is left. `pace` 0: all at once; else each piece has
 *  another length, at most `pace`. */
static inline size_t next_piece(size_t at, size_t left, uint8_t pace)
{
	size_t n = pace == 0 ? left : 1 + at * 7 % pace;

	return n < left ? n : left;
}

/** Is every CR and LF part of a CRLF? */
static inline bool has_only_crlf(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((p[i] == '\r' && (i + 1 == n || p[i + 1] != '\n')) ||
		    (p[i] == '\n' && (i == 0 || p[i - 1] != '\r')))
			return false;
	return true;
}

#endif
