/* SPDX-License-Identifier: ISC */
/* mime.h - the encodings that a composed message is made of: base64 and quoted-printable bodies (RFC
 * 2045), encoded words (RFC 2047), parameters (RFC 2231). All append to one buffer; the first error
 * stays and stops what follows, so it is asked for once, at the end.
 */
#ifndef SMTPC_MIME_H
#define SMTPC_MIME_H

#include "libsmtp/core/buf.h"

struct mime_writer {
	struct smtp_buf *buf;
	int err;
};

enum mime_encoding { MIME_7BIT, MIME_QUOTED_PRINTABLE, MIME_BASE64 };

void mime_put(struct mime_writer *w, const char *text);
void mime_put_span(struct mime_writer *w, struct smtp_span octets);

/** The encoding that suits a text: as it is when it may stay so, else whichever gets shorter. */
enum mime_encoding mime_choose(struct smtp_span text);
/** "7bit", "quoted-printable", "base64". */
const char *mime_encoding_name(enum mime_encoding encoding);
/** Writes the body of a text part, line ends as CRLF, the last one too. */
void mime_text_body(struct mime_writer *w, struct smtp_span text, enum mime_encoding encoding);
/** Writes base64 in lines of 76. */
void mime_base64_body(struct mime_writer *w, struct smtp_span octets);

/** Writes the field `name` with free text in UTF-8 without line ends: folded, and in encoded words where
 *  it is not plain ASCII. */
void mime_unstructured_field(struct mime_writer *w, const char *name, struct smtp_span text);
/** Writes "; name=value" on a line of its own, in the form of RFC 2231 when it has to be. */
void mime_parameter(struct mime_writer *w, const char *name, struct smtp_span value);

#endif
