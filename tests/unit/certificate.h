/* SPDX-License-Identifier: ISC */
/* Certificates made on the spot, for tests of TLS. What can't be made ends the test. */
#ifndef TESTS_UNIT_CERTIFICATE_H
#define TESTS_UNIT_CERTIFICATE_H

enum { TEST_PATH_MAX = 256 };

struct certificate_files {
	char directory[TEST_PATH_MAX];
	char certificate[TEST_PATH_MAX];
	char key[TEST_PATH_MAX];
};

/** A self-signed certificate for `names` ("DNS:localhost,IP:127.0.0.1") and its P-256 key, in a new
 *  directory under /tmp. The key is encrypted if there is a `passphrase`. */
void certificate_make(struct certificate_files *out, const char *names, const char *passphrase);
/** Another certificate and key over the same files. */
void certificate_renew(const struct certificate_files *files, const char *names,
		       const char *passphrase);
/** Removes files and directory. */
void certificate_remove(const struct certificate_files *files);

#endif
