/* SPDX-License-Identifier: ISC */
/* chunk.h - the argument of BDAT (RFC 3030, 2). The octets that follow it go through the decoder of
 * data.h; what the session makes of them is in server_bdat.c.
 */
#ifndef SMTP_CORE_CHUNK_H
#define SMTP_CORE_CHUNK_H

#include <smtp/base.h>

struct smtp_chunk {
	uint64_t size;
	bool last;
};

/** SMTP_EPROTO: the size can't be read, nor can it be known where the chunk ends. SMTP_ESYNTAX: the
 *  size is set, but what stands behind it is not LAST (any case). */
SMTP_MUST_USE int smtp_chunk_parse(struct smtp_chunk *out, struct smtp_span argument);

#endif
