/* SPDX-License-Identifier: ISC */
/* extension.h - the service extensions that this library knows, and the reader of an EHLO reply
 * (RFC 5321, 4.1.1.1). Keywords match in any case; unknown ones are passed over.
 */
#ifndef SMTP_CORE_EXTENSION_H
#define SMTP_CORE_EXTENSION_H

#include <smtp/client_session.h>

/** Reads the text of a positive EHLO reply (lines divided by LF; the first is the greeting). */
void smtp_extensions_parse(struct smtp_extensions *out, struct smtp_span text);
/** Looks for a keyword in such a text, in any case; *params receives what stands behind it. */
bool smtp_extension_find(struct smtp_span text, const char *keyword, struct smtp_span *params);

#endif
