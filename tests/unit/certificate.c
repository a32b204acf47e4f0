/* SPDX-License-Identifier: ISC */
/* Certificates made on the spot, for tests of TLS. */
#include "tests/unit/certificate.h"

#include <check.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static X509 *self_signed(EVP_PKEY *key, const char *names)
{
	X509 *certificate = X509_new();
	X509_NAME *subject = X509_NAME_new();
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);

	ck_assert(certificate && subject && extension);
	ck_assert_int_eq(X509_set_version(certificate, X509_VERSION_3), 1);
	ck_assert_int_eq(ASN1_INTEGER_set(X509_get_serialNumber(certificate), (long)getpid()), 1);
	ck_assert_ptr_nonnull(X509_gmtime_adj(X509_getm_notBefore(certificate), -3600));
	ck_assert_ptr_nonnull(X509_gmtime_adj(X509_getm_notAfter(certificate), 86400));
	ck_assert_int_eq(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
						    (const unsigned char *)"test", -1, -1, 0),
			 1);
	ck_assert_int_eq(X509_set_subject_name(certificate, subject), 1);
	ck_assert_int_eq(X509_set_issuer_name(certificate, subject), 1);
	ck_assert_int_eq(X509_set_pubkey(certificate, key), 1);
	ck_assert_int_eq(X509_add_ext(certificate, extension, -1), 1);
	ck_assert_int_gt(X509_sign(certificate, key, EVP_sha256()), 0);
	X509_EXTENSION_free(extension);
	X509_NAME_free(subject);
	return certificate;
}

void certificate_renew(const struct certificate_files *files, const char *names,
		       const char *passphrase)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate;
	FILE *fp;
	char word[64] = "";

	ck_assert_ptr_nonnull(key);
	certificate = self_signed(key, names);
	fp = fopen(files->certificate, "we");
	ck_assert_ptr_nonnull(fp);
	ck_assert_int_eq(PEM_write_X509(fp, certificate), 1);
	ck_assert_int_eq(fclose(fp), 0);
	fp = fopen(files->key, "we");
	ck_assert_ptr_nonnull(fp);
	if (passphrase)
		(void)snprintf(word, sizeof word, "%s", passphrase);
	ck_assert_int_eq(PEM_write_PrivateKey(fp, key, passphrase ? EVP_aes_256_cbc() : NULL, NULL,
					      0, NULL, passphrase ? word : NULL),
			 1);
	ck_assert_int_eq(fclose(fp), 0);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

void certificate_make(struct certificate_files *out, const char *names, const char *passphrase)
{
	(void)snprintf(out->directory, sizeof out->directory, "/tmp/smtp-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(out->directory));
	(void)snprintf(out->certificate, sizeof out->certificate, "%.200s/cert.pem",
		       out->directory);
	(void)snprintf(out->key, sizeof out->key, "%.200s/key.pem", out->directory);
	certificate_renew(out, names, passphrase);
}

void certificate_remove(const struct certificate_files *files)
{
	(void)unlink(files->certificate);
	(void)unlink(files->key);
	(void)rmdir(files->directory);
}
