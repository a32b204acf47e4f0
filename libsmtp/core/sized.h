/* SPDX-License-Identifier: ISC */
/* sized.h - structs of callers that begin with their size, so that fields can be added at their end: how
 * one of an older or a newer version is read.
 */
#ifndef SMTP_CORE_SIZED_H
#define SMTP_CORE_SIZED_H

#include <smtp/base.h>

/** Can a struct, of which `known` octets have a meaning here, be read? It has `least` octets, and behind
 *  those that are known only zeroes. NULL can't. */
bool smtp_sized_is_readable(const void *given, size_t known, size_t least);
/** Copies what is known of it into `out`, which holds the defaults, and sets the size there. SMTP_EINVAL if
 *  it can't be read: *out is unchanged. */
SMTP_MUST_USE int smtp_sized_copy(void *out, size_t known, const void *given, size_t least);

#endif
