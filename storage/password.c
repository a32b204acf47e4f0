/* SPDX-License-Identifier: ISC */
/* Passwords: argon2id through libsodium, in the text form that Dovecot reads too. No store here. */
#include <smtp/accounts.h>

#include <assert.h>
#include <sodium.h>

/* A hash of nothing anybody can type: compared with when there is no account, so that this takes
 * as long as a wrong password. The salt and the sum are made up. */
static const char nobody[] =
	"$argon2id$v=19$m=65536,t=2,p=1$bm9ib2R5aXNhdGhvbWUhIQ"
	"$c29tZXN1bXRoYXRub3Bhc3N3b3JkaGFzZm9yc3VyZSE";

int smtp_password_hash(struct smtp_span password, char out[SMTP_PASSWORD_HASH_MAX])
{
	static_assert(SMTP_PASSWORD_HASH_MAX >= crypto_pwhash_STRBYTES, "hash fits");

	if (password.n == 0 || password.n > SMTP_PASSWORD_MAX)
		return SMTP_EINVAL;
	if (sodium_init() < 0 ||
	    crypto_pwhash_str_alg(out, (const char *)password.p, password.n,
				  crypto_pwhash_OPSLIMIT_INTERACTIVE,
				  crypto_pwhash_MEMLIMIT_INTERACTIVE,
				  crypto_pwhash_ALG_ARGON2ID13) != 0) {
		sodium_memzero(out, SMTP_PASSWORD_HASH_MAX);
		return SMTP_ENOMEM;
	}
	return 0;
}

bool smtp_password_matches(struct smtp_span password, const char *hash)
{
	bool exists = hash && *hash;
	size_t n = password.n <= SMTP_PASSWORD_MAX ? password.n : SMTP_PASSWORD_MAX;
	const char *text = n > 0 ? (const char *)password.p : "";
	bool same;

	if (sodium_init() < 0)
		return false;
	same = crypto_pwhash_str_verify(exists ? hash : nobody, text, n) == 0;
	return same && exists && n > 0 && n == password.n;
}
