/* SPDX-License-Identifier: ISC */
/* tls_certificate.c - what is read from a certificate for SASL: the hash that a login is bound to, and
 * whom it names. Whether it is to be trusted is decided in the handshake.
 */
#include "libsmtp/net/tls_certificate.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <string.h>

/* EdDSA signs without a hash of its own: then nothing is defined. */
static const EVP_MD *hash_of_signature(X509 *certificate)
{
	int hash = NID_undef;

	if (X509_get_signature_info(certificate, &hash, NULL, NULL, NULL) != 1)
		return NULL;
	if (hash == NID_md5 || hash == NID_sha1 || hash == NID_md5_sha1)
		return EVP_sha256();
	return EVP_get_digestbynid(hash);
}

size_t smtp_tls_certificate_hash(X509 *certificate, uint8_t out[64])
{
	uint8_t hash[EVP_MAX_MD_SIZE];
	const EVP_MD *md = hash_of_signature(certificate);
	unsigned n = 0;

	if (!md || X509_digest(certificate, md, hash, &n) != 1 || n > 64)
		n = 0;
	memcpy(out, hash, n);
	ERR_clear_error();
	return n;
}

/* A name with control characters or a NUL in it is a trick. */
static void copy_name(const ASN1_STRING *name, char *out, size_t cap)
{
	unsigned char *text = NULL;
	int n = name ? ASN1_STRING_to_UTF8(&text, name) : -1;
	int good = n > 0 && (size_t)n < cap;

	for (int i = 0; good && i < n; i++)
		good = text[i] >= ' ' && text[i] != 0x7f;
	if (good) {
		memcpy(out, text, (size_t)n);
		out[n] = '\0';
	}
	OPENSSL_free(text);
}

/* Is there one? The first counts; one that is a trick is not replaced by something else. */
static int copy_mail_address(X509 *certificate, char *out, size_t cap)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	int found = 0;

	for (int i = 0; !found && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		found = name->type == GEN_EMAIL;
		if (found)
			copy_name(name->d.rfc822Name, out, cap);
	}
	GENERAL_NAMES_free(names);
	return found;
}

void smtp_tls_certificate_identity(X509 *certificate, char *out, size_t cap)
{
	const X509_NAME *subject = X509_get_subject_name(certificate);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

	*out = '\0';
	if (!copy_mail_address(certificate, out, cap) && at >= 0)
		copy_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), out, cap);
	ERR_clear_error();
}
