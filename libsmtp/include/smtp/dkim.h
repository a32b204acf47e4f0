/* SPDX-License-Identifier: ISC */
/* dkim.h - DKIM signatures (RFC 6376): making keys, signing. relaxed/relaxed, rsa-sha256, no l=.
 * Threads: any; each call is on its own. Blocking: some milliseconds of CPU.
 */
#ifndef SMTP_DKIM_H
#define SMTP_DKIM_H

#include <smtp/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SMTP_DKIM_FIELDS_MAX = 1000 };

struct smtp_dkim_signing {
	const char *domain;
	const char *selector;
	const char *private_pem;
	int64_t time_s;        /* t= */
	struct smtp_span added_fields; /* header fields that will stand on top of the content; CRLF each */
	int fd;                /* content, read with pread() from offset 0; borrowed */
	uint64_t content_bytes;
};

/** Signs. @out receives the whole DKIM-Signature field with its CRLF, malloc()ed, freed with free().
 *  SMTP_EINVAL: key unusable; SMTP_ESYNTAX: the message has no From field, more than
 *  SMTP_DKIM_FIELDS_MAX fields, or bare CR or LF; SMTP_EIO; SMTP_ENOMEM. */
SMTP_API SMTP_MUST_USE int smtp_dkim_sign(const struct smtp_dkim_signing *signing, char **out);

/** Makes a key. @private_pem and @public_base64 are malloc()ed; wipe the former with sodium_memzero or
 *  smtp_dkim_key_release() when done. `algorithm` is "rsa" (2048 bits). */
SMTP_API SMTP_MUST_USE int smtp_dkim_key_make(const char *algorithm, char **private_pem,
					      char **public_base64);

/** The text of the TXT record at SELECTOR._domainkey.DOMAIN, malloc()ed: "v=DKIM1; k=rsa; p=...". */
SMTP_API SMTP_MUST_USE int smtp_dkim_record(const char *algorithm, const char *public_base64,
					    char **out);

#ifdef __cplusplus
}
#endif
#endif
