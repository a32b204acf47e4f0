/* SPDX-License-Identifier: ISC */
/* login_cache.c - recent good logins as keyed hashes in a small table; the key is of this process alone. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/keeper/peer.h"

enum { ENTRIES = 1024, DIGEST_BYTES = 32, LIFETIME_MS = 60000 };

struct login_cache {
	uint8_t key[crypto_generichash_KEYBYTES];
	struct {
		uint8_t digest[DIGEST_BYTES];
		uint64_t until_ms; /* 0: empty */
	} entries[ENTRIES];
};

int login_cache_new(struct login_cache **out)
{
	struct login_cache *c;

	if (sodium_init() < 0)
		return SMTP_ENOMEM;
	c = calloc(1, sizeof *c);
	if (c == NULL)
		return SMTP_ENOMEM;
	randombytes_buf(c->key, sizeof c->key);
	*out = c;
	return 0;
}

void login_cache_free(struct login_cache *c)
{
	if (c == NULL)
		return;
	sodium_memzero(c, sizeof *c);
	free(c);
}

static void add_part(crypto_generichash_state *state, const void *p, size_t n)
{
	uint64_t length = n;

	(void)crypto_generichash_update(state, (const uint8_t *)&length, sizeof length);
	(void)crypto_generichash_update(state, p, n);
}

static void digest_of(const struct login_cache *c, struct smtp_span account,
		      struct smtp_span password, const char *stored_hash,
		      uint8_t out[DIGEST_BYTES])
{
	crypto_generichash_state state;

	(void)crypto_generichash_init(&state, c->key, sizeof c->key, DIGEST_BYTES);
	add_part(&state, account.p, account.n);
	add_part(&state, password.p, password.n);
	add_part(&state, stored_hash, strlen(stored_hash));
	(void)crypto_generichash_final(&state, out, DIGEST_BYTES);
	sodium_memzero(&state, sizeof state);
}

static size_t place_of(const uint8_t digest[DIGEST_BYTES])
{
	return (digest[0] | (size_t)digest[1] << 8) % ENTRIES;
}

bool login_cache_has(struct login_cache *c, struct smtp_span account, struct smtp_span password,
		     const char *stored_hash, uint64_t now_ms)
{
	uint8_t digest[DIGEST_BYTES];
	size_t place;

	digest_of(c, account, password, stored_hash, digest);
	place = place_of(digest);
	return c->entries[place].until_ms > now_ms &&
	       sodium_memcmp(c->entries[place].digest, digest, DIGEST_BYTES) == 0;
}

void login_cache_add(struct login_cache *c, struct smtp_span account, struct smtp_span password,
		     const char *stored_hash, uint64_t now_ms)
{
	uint8_t digest[DIGEST_BYTES];
	size_t place;

	digest_of(c, account, password, stored_hash, digest);
	place = place_of(digest);
	memcpy(c->entries[place].digest, digest, DIGEST_BYTES);
	c->entries[place].until_ms = now_ms + LIFETIME_MS;
}
