/* SPDX-License-Identifier: ISC */
/* tls_self_signed.c - makes a key and a certificate that signs itself. */
#include "libsmtp/net/tls_self_signed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

enum { VALID_DAYS = 3650, NAMES_MAX = 512 };

static bool add_extension(X509 *cert, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;
	bool ok;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, cert, cert, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	if (extension == NULL)
		return false;
	ok = X509_add_ext(cert, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return ok;
}

static bool set_serial(X509 *cert)
{
	uint64_t serial = 0;

	return RAND_bytes((unsigned char *)&serial, sizeof serial) == 1 &&
	       ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1) == 1;
}

static bool set_names(X509 *cert, const char *hostname, bool local)
{
	char names[NAMES_MAX];
	X509_NAME *name = X509_get_subject_name(cert);

	(void)snprintf(names, sizeof names, "DNS:%s%s", hostname,
		       local ? ",DNS:localhost,IP:127.0.0.1,IP:::1" : "");
	/* A common name holds 64 octets at most; longer names stand among the alternative ones alone. */
	if (strlen(hostname) <= 64 &&
	    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)hostname, -1,
				       -1, 0) != 1)
		return false;
	return X509_set_issuer_name(cert, name) == 1 &&
	       add_extension(cert, NID_subject_alt_name, names) &&
	       add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
}

static X509 *make_certificate(EVP_PKEY *key, const char *hostname, bool local)
{
	X509 *cert = X509_new();

	if (cert != NULL && X509_set_version(cert, 2) == 1 && set_serial(cert) &&
	    X509_gmtime_adj(X509_getm_notBefore(cert), -3600) != NULL &&
	    X509_gmtime_adj(X509_getm_notAfter(cert), VALID_DAYS * 86400L) != NULL &&
	    X509_set_pubkey(cert, key) == 1 && set_names(cert, hostname, local) &&
	    X509_sign(cert, key, EVP_sha256()) != 0)
		return cert;
	X509_free(cert);
	return NULL;
}

static int say(char problem[SMTP_TLS_PROBLEM_MAX], const char *file, int number)
{
	(void)snprintf(problem, SMTP_TLS_PROBLEM_MAX, "%s: %s", file, strerror(number));
	return number == EEXIST ? SMTP_EEXISTS : number == EACCES ? SMTP_EACCESS : SMTP_EIO;
}

static FILE *create(const char *file, mode_t mode)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;

	if (fd >= 0 && f == NULL)
		(void)close(fd);
	return f;
}

/** Writes a PEM file, and takes it away again if that fails half-way. */
static int write_pem(const char *file, mode_t mode, EVP_PKEY *key, X509 *cert,
		     char problem[SMTP_TLS_PROBLEM_MAX])
{
	FILE *f = create(file, mode);
	bool ok;

	if (f == NULL)
		return say(problem, file, errno);
	ok = cert != NULL ? PEM_write_X509(f, cert) == 1 :
			    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1;
	ok = fflush(f) == 0 && fsync(fileno(f)) == 0 && ok;
	if (fclose(f) == 0 && ok)
		return 0;
	(void)unlink(file);
	return say(problem, file, EIO);
}

int smtp_tls_self_signed_make(const char *hostname, bool local, const char *certificate_file,
			      const char *key_file, char problem[SMTP_TLS_PROBLEM_MAX])
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = key != NULL ? make_certificate(key, hostname, local) : NULL;
	int err = SMTP_ETLS;

	(void)snprintf(problem, SMTP_TLS_PROBLEM_MAX, "no certificate could be made for %.180s",
		       hostname);
	if (cert != NULL)
		err = write_pem(key_file, 0640, key, NULL, problem);
	if (err == 0) {
		err = write_pem(certificate_file, 0644, NULL, cert, problem);
		if (err != 0)
			(void)unlink(key_file);
	}
	X509_free(cert);
	EVP_PKEY_free(key);
	return err;
}
