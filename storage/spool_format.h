/* SPDX-License-Identifier: ISC */
/* spool_format.h - what the files of the spool look like (docs/STORAGE.md): trailer, envelope and
 * lines of the state file, written and parsed. Pure: bytes in, values out; no file is touched here.
 */
#ifndef SMTP_STORAGE_SPOOL_FORMAT_H
#define SMTP_STORAGE_SPOOL_FORMAT_H

#include <smtp/spool.h>

#include "libsmtp/core/buf.h"

enum {
	SPOOL_VALUE_MAX = 1024,      /* octets of one text of the envelope */
	SPOOL_REPLY_MAX = 1000,      /* octets of a reply that are kept */
	SPOOL_LINE_MAX = 8192,       /* octets of a line, all of them escaped */
	SPOOL_ENVELOPE_MAX = 1 << 26,
	SPOOL_ADDED_MAX = 1 << 24
};

/* ---- Check sums: FNV-1a, 64 bits; it shall find damage, not forgery ---- */

enum { SPOOL_SUM_TEXT = 16 }; /* hexadecimal digits */

static const uint64_t spool_sum_start = 0xcbf29ce484222325u;
uint64_t spool_sum(uint64_t sum, struct smtp_span octets);

/* ---- Trailer ---- */

struct spool_trailer {
	uint64_t content_bytes, added_bytes, envelope_bytes;
	uint64_t content_sum, added_sum;
	uint64_t envelope_sum; /* of the envelope and of what stands before it in the trailer */
};

#define SPOOL_MAGIC " smtp-spool 01\n"
enum { SPOOL_TRAILER_BYTES = 7 + 3 * (16 + 1) + 3 * (16 + 1) + sizeof SPOOL_MAGIC - 1 };

/** Fills in envelope_sum too. */
void spool_trailer_format(struct spool_trailer *trailer, struct smtp_span envelope,
			  char out[SPOOL_TRAILER_BYTES + 1]);
/** `tail` holds the last octets of a file of `file_bytes`. SMTP_ENOTFOUND: no trailer, so the file
 *  was never finished; SMTP_EVERSION; SMTP_ECORRUPT: what it says can't be. */
SMTP_MUST_USE int spool_trailer_parse(struct smtp_span tail, uint64_t file_bytes,
				      struct spool_trailer *out);
/** Is that the envelope the trailer was written for? */
bool spool_trailer_matches(const struct spool_trailer *trailer, struct smtp_span envelope);

/* ---- Envelope ---- */

/** SMTP_EINVAL, SMTP_ETOOLONG: not an envelope that could be kept. */
SMTP_MUST_USE int spool_envelope_format(struct smtp_buf *out, const char *id,
					const struct smtp_spool_envelope *envelope);
/** SMTP_ECORRUPT, SMTP_ENOMEM. @out is freed with smtp_queue_entry_free(). */
SMTP_MUST_USE int spool_envelope_parse(struct smtp_span text, struct smtp_queue_entry **out);

/* ---- State file ---- */

SMTP_MUST_USE int spool_target_format(struct smtp_buf *out, size_t recipient, const char *address);
SMTP_MUST_USE int spool_outcome_format(struct smtp_buf *out,
				       const struct smtp_spool_outcome *outcome);
SMTP_MUST_USE int spool_delay_notice_format(struct smtp_buf *out, int64_t time_ms);
/** Applies one line, without its line end, to the entry; what is no whole line is passed over. */
SMTP_MUST_USE int spool_state_apply(struct smtp_queue_entry *entry, struct smtp_span line);

#endif
