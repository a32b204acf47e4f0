/* SPDX-License-Identifier: ISC */
/* idn.h - the adapter of libidn2 for sending: domains in A-labels. */
#ifndef SMTP_NET_IDN_H
#define SMTP_NET_IDN_H

#include <smtp/address.h>

/** Writes `domain` (UTF-8, U-labels) in A-labels as of RFC 5891. SMTP_ESYNTAX, SMTP_ETOOLONG, SMTP_ENOMEM:
 *  it has none; `out` is unchanged then. */
SMTP_MUST_USE int smtp_idn_to_ascii(const char *domain, char out[SMTP_DOMAIN_MAX + 1]);

#endif
