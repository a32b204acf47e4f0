/* SPDX-License-Identifier: ISC */
/* Certificates, keys and trust from PEM, in files or in memory, and what is wrong with them in one line.
 * Part of the adapter of OpenSSL.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include "libsmtp/net/tls_private.h"

/* A text of ours, never a question at the terminal. */
static int passphrase_of(char *out, int cap, int writing, void *user)
{
	const char *passphrase = user;
	size_t n = passphrase ? strlen(passphrase) : 0;

	(void)writing;
	if (n == 0 || cap < 0 || n > (size_t)cap)
		return -1;
	memcpy(out, passphrase, n);
	return (int)n;
}

static const char *name_of(const struct smtp_tls_pem *pem, const char *what)
{
	return pem->file ? pem->file : what;
}

/* What the file system says is told apart from what is in the file. */
static int open_pem(BIO **out, const struct smtp_tls_pem *pem, char problem[SMTP_TLS_PROBLEM_MAX])
{
	FILE *fp;

	if (!pem->file) {
		*out = BIO_new_mem_buf(pem->text, -1);
		return *out ? 0 : SMTP_ENOMEM;
	}
	fp = fopen(pem->file, "re");
	if (!fp) {
		smtp_tls_say(problem, pem->file, strerrordesc_np(errno));
		return SMTP_EACCESS;
	}
	*out = BIO_new_fp(fp, BIO_CLOSE);
	if (!*out) {
		(void)fclose(fp);
		return SMTP_ENOMEM;
	}
	return 0;
}

/* --- certificates ----------------------------------------------------------------------------- */

static bool is_at_end(void)
{
	return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
}

/* All that follow the first; false: one is damaged, or can't be used. */
static bool load_chain(SSL_CTX *ssl, BIO *bio)
{
	X509 *next;

	(void)SSL_CTX_clear_chain_certs(ssl);
	while ((next = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		if (SSL_CTX_add0_chain_cert(ssl, next) != 1) {
			X509_free(next);
			return false;
		}
	}
	return is_at_end();
}

static int load_certificate(SSL_CTX *ssl, const struct smtp_tls_pem *pem,
			    char problem[SMTP_TLS_PROBLEM_MAX])
{
	const char *name = name_of(pem, "the certificate");
	BIO *bio = NULL;
	X509 *certificate;
	int err = open_pem(&bio, pem, problem);

	if (err)
		return err;
	ERR_clear_error();
	certificate = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
	if (!certificate && is_at_end())
		smtp_tls_say(problem, name, "holds no PEM certificate");
	else if (!certificate || SSL_CTX_use_certificate(ssl, certificate) != 1 ||
		 !load_chain(ssl, bio))
		smtp_tls_say(problem, name, smtp_tls_error_reason());
	ERR_clear_error();
	X509_free(certificate);
	(void)BIO_free(bio);
	return *problem ? SMTP_ETLS : 0;
}

/* --- keys ------------------------------------------------------------------------------------- */

/* OpenSSL's own reasons do not tell these apart: looks at what kind of key the file holds. */
static const char *key_problem(BIO *bio, const char *passphrase)
{
	bool found = false;
	bool encrypted = false;
	char *name;
	char *header;
	unsigned char *octets;
	long n;

	ERR_clear_error();
	if (BIO_seek(bio, 0) < 0)
		return "can't be read";
	while (!found && PEM_read_bio(bio, &name, &header, &octets, &n) == 1) {
		found = strstr(name, "PRIVATE KEY") != NULL;
		encrypted = strstr(name, "ENCRYPTED") || strstr(header, "ENCRYPTED");
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_clear_free(octets, (size_t)n);
	}
	ERR_clear_error();
	if (!found)
		return "holds no PEM private key";
	if (!encrypted)
		return "is damaged";
	return passphrase ? "wrong passphrase" : "needs a passphrase";
}

static int load_key(SSL_CTX *ssl, const struct smtp_tls_pem *pem, const char *passphrase,
		    char problem[SMTP_TLS_PROBLEM_MAX])
{
	union {
		const char *in;
		void *out;
	} user = { .in = passphrase };
	BIO *bio = NULL;
	EVP_PKEY *key;
	int err = open_pem(&bio, pem, problem);

	if (err)
		return err;
	ERR_clear_error();
	key = PEM_read_bio_PrivateKey(bio, NULL, passphrase_of, user.out);
	if (!key)
		smtp_tls_say(problem, name_of(pem, "the key"), key_problem(bio, passphrase));
	(void)BIO_free(bio);
	if (!key)
		return SMTP_ETLS;
	if (SSL_CTX_use_PrivateKey(ssl, key) != 1)
		err = SMTP_ETLS;
	EVP_PKEY_free(key);
	return err;
}

int smtp_tls_load_pair(SSL_CTX *ssl, const struct smtp_tls_pair *pair,
		       char problem[SMTP_TLS_PROBLEM_MAX])
{
	int err = load_certificate(ssl, &pair->certificate, problem);

	if (err)
		return err;
	err = load_key(ssl, &pair->key, pair->passphrase, problem);
	/* SSL_CTX_use_PrivateKey() refuses a key of another kind without a word about it. */
	if ((err && !*problem) || (!err && SSL_CTX_check_private_key(ssl) != 1)) {
		(void)snprintf(problem, SMTP_TLS_PROBLEM_MAX, "%s: does not match %s",
			       name_of(&pair->key, "the key"),
			       name_of(&pair->certificate, "the certificate"));
		err = SMTP_ETLS;
	}
	ERR_clear_error();
	return err;
}

/* --- trust ------------------------------------------------------------------------------------ */

int smtp_tls_load_trust(SSL_CTX *ssl, const struct smtp_tls_pem *pem, bool name_them,
			char problem[SMTP_TLS_PROBLEM_MAX])
{
	const char *name = name_of(pem, "the certificates of authorities");
	X509_STORE *store = SSL_CTX_get_cert_store(ssl);
	BIO *bio = NULL;
	X509 *authority;
	size_t count = 0;
	bool good = true;
	int err = open_pem(&bio, pem, problem);

	if (err)
		return err;
	ERR_clear_error();
	while (good && (authority = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)) != NULL) {
		good = X509_STORE_add_cert(store, authority) == 1 &&
		       (!name_them || SSL_CTX_add_client_CA(ssl, authority) == 1);
		X509_free(authority);
		count++;
	}
	if (!good || (count > 0 && !is_at_end()))
		smtp_tls_say(problem, name, smtp_tls_error_reason());
	else if (count == 0)
		smtp_tls_say(problem, name, "holds no PEM certificates");
	ERR_clear_error();
	(void)BIO_free(bio);
	return *problem ? SMTP_ETLS : 0;
}
