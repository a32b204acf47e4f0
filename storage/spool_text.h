/* SPDX-License-Identifier: ISC */
/* spool_text.h - numbers and texts as the lines of spool files hold them. Within the storage only. */
#ifndef SMTP_STORAGE_SPOOL_TEXT_H
#define SMTP_STORAGE_SPOOL_TEXT_H

#include "libsmtp/core/buf.h"

/** Writes 16 digits, no NUL. */
void spool_put_hex(char *out, uint64_t number);
/** 1 to 16 digits, the whole span, lower case. */
bool spool_get_hex(struct smtp_span text, uint64_t *out);
/** Controls, DEL and backslash, and blanks unless `blanks`, become \xHH: no line can be forged. */
SMTP_MUST_USE int spool_put_escaped(struct smtp_buf *out, struct smtp_span text, bool blanks);
/** The reverse; the old text in *out is freed. SMTP_ECORRUPT, SMTP_ENOMEM. */
SMTP_MUST_USE int spool_get_escaped(struct smtp_span text, char **out);

#endif
