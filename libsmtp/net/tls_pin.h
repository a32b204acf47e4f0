/* SPDX-License-Identifier: ISC */
/* tls_pin.h - is the key of a certificate the one that was pinned? For tls.c alone. */
#ifndef SMTP_NET_TLS_PIN_H
#define SMTP_NET_TLS_PIN_H

#include <openssl/x509.h>
#include "libsmtp/net/tls.h"

/** False also without a certificate. */
bool smtp_tls_pin_matches(const uint8_t pin[SMTP_TLS_PIN_SIZE], X509 *certificate);

#endif
