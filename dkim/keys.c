/* SPDX-License-Identifier: ISC */
/* Keys for signing: made with OpenSSL, as the texts that the account store and the DNS hold. */
#include <smtp/dkim.h>

#include "libsmtp/core/buf.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { RSA_BITS = 2048, RECORD_MAX = 16384 };

static int export_private(EVP_PKEY *key, char **out)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *text;
	long n;
	int err = SMTP_ENOMEM;

	if (!bio || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
		goto out;
	n = BIO_get_mem_data(bio, &data);
	text = n > 0 ? malloc((size_t)n + 1) : NULL;
	if (text) {
		memcpy(text, data, (size_t)n);
		text[n] = '\0';
		*out = text;
		err = 0;
	}
	if (n > 0)
		sodium_memzero(data, (size_t)n);
out:
	(void)BIO_free(bio);
	return err;
}

static int export_public(EVP_PKEY *key, char **out)
{
	unsigned char *der = NULL;
	int n = i2d_PUBKEY(key, &der), err = SMTP_ENOMEM;
	char *text;

	if (n <= 0)
		return SMTP_ENOMEM;
	text = malloc((size_t)n * 4 / 3 + 5);
	if (text && EVP_EncodeBlock((unsigned char *)text, der, n) > 0) {
		*out = text;
		err = 0;
	} else {
		free(text);
	}
	OPENSSL_free(der);
	return err;
}

int smtp_dkim_key_make(const char *algorithm, char **private_pem, char **public_base64)
{
	char *private_text = NULL, *public_text = NULL;
	EVP_PKEY *key;
	int err;

	if (!algorithm || strcmp(algorithm, "rsa") != 0)
		return SMTP_EINVAL;
	key = EVP_RSA_gen(RSA_BITS);
	if (!key)
		return SMTP_ENOMEM;
	err = export_private(key, &private_text);
	if (!err)
		err = export_public(key, &public_text);
	EVP_PKEY_free(key);
	if (err) {
		if (private_text)
			sodium_memzero(private_text, strlen(private_text));
		free(private_text);
		return err;
	}
	*private_pem = private_text;
	*public_base64 = public_text;
	return 0;
}

int smtp_dkim_record(const char *algorithm, const char *public_base64, char **out)
{
	struct smtp_buf buf;
	int err;

	if (!algorithm || !public_base64 ||
	    (strcmp(algorithm, "rsa") != 0 && strcmp(algorithm, "ed25519") != 0))
		return SMTP_EINVAL;
	smtp_buf_init(&buf, RECORD_MAX);
	if ((err = smtp_buf_append_text(&buf, "v=DKIM1; k=")) ||
	    (err = smtp_buf_append_text(&buf, algorithm)) ||
	    (err = smtp_buf_append_text(&buf, "; p=")) ||
	    (err = smtp_buf_append(&buf, public_base64, strlen(public_base64) + 1)))
		smtp_buf_release(&buf);
	else
		*out = (char *)buf.p;
	return err;
}
