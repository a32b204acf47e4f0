/* SPDX-License-Identifier: ISC */
/* tls_self_signed.h - a certificate made on the spot, for a first start and for tests: nobody vouches for
 * it. Part of the adapter of OpenSSL.
 */
#ifndef SMTP_NET_TLS_SELF_SIGNED_H
#define SMTP_NET_TLS_SELF_SIGNED_H

#include <smtp/base.h>
#include "libsmtp/net/tls.h"

/** Makes an EC P-256 key and a certificate for `hostname`, and for localhost with its addresses if `local`,
 *  valid for ten years. Writes two new PEM files (0644 and 0640): SMTP_EEXISTS if either is there. */
SMTP_MUST_USE int smtp_tls_self_signed_make(const char *hostname, bool local,
					    const char *certificate_file, const char *key_file,
					    char problem[SMTP_TLS_PROBLEM_MAX]);

#endif
