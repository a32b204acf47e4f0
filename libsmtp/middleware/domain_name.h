/* SPDX-License-Identifier: ISC */
/* domain_name.h - domains in the one form in which they compare: A-labels in lower case (RFC 5891). */
#ifndef SMTP_MIDDLEWARE_DOMAIN_NAME_H
#define SMTP_MIDDLEWARE_DOMAIN_NAME_H

#include <smtp/address.h>

/** Address literals and ASCII names only change case. SMTP_EINVAL: no domain name by IDNA, or longer than
 *  SMTP_DOMAIN_MAX; SMTP_ENOMEM. *out is then unchanged. */
SMTP_MUST_USE int domain_name_fold(char out[SMTP_DOMAIN_MAX + 1], const char *domain);

#endif
