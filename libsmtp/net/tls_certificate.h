/* SPDX-License-Identifier: ISC */
/* tls_certificate.h - what is read from a certificate for SASL: the hash that a login is bound to, and
 * whom it names. For tls.c.
 */
#ifndef SMTP_NET_TLS_CERTIFICATE_H
#define SMTP_NET_TLS_CERTIFICATE_H

#include <openssl/x509.h>
#include <stddef.h>
#include <stdint.h>

/** tls-server-end-point (RFC 5929, 4.1): the hash of the certificate by the hash function of its
 *  signature, SHA-256 instead of MD5 and SHA-1. Returns its length, 0 where that is not defined. */
size_t smtp_tls_certificate_hash(X509 *certificate, uint8_t out[64]);
/** The first mail address of the subject's alternative names, else the common name; "" if there is
 *  neither, or it is no printable text that fits into `cap`. */
void smtp_tls_certificate_identity(X509 *certificate, char *out, size_t cap);

#endif
