/* SPDX-License-Identifier: ISC */
/* test_auth_memory.c - the n-th allocation of a login fails, for each n until one gets by without, with
 * each mechanism, on both ends at once: nothing leaks, nobody gets in without a proof, each end tells its
 * owner. Left out under sanitizers, which bring a malloc of their own.
 */
#include "tests/unit/auth_world.h"
#define FAILING_MALLOC_IS_ALL
#include "tests/unit/failing_malloc.h"
#include "tests/unit/testing.h"

#if HAS_FAILING_MALLOC

/* --- cryptography that allocates nothing, and is none ------------------------------------------ */

static void mix(uint64_t *state, struct smtp_span octets)
{
	for (size_t i = 0; i < octets.n; i++)
		*state = (*state ^ octets.p[i]) * UINT64_C(1099511628211);
	*state = (*state ^ octets.n) * UINT64_C(1099511628211);
}

static void spread(uint64_t state, uint8_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
		out[i] = (uint8_t)(state >> 56);
	}
}

static int no_sha256(void *user, struct smtp_span data, uint8_t out[32])
{
	uint64_t state = 1;

	(void)user;
	mix(&state, data);
	spread(state, out, 32);
	return 0;
}

static int no_hmac(void *user, struct smtp_span key, struct smtp_span data, uint8_t out[32])
{
	uint64_t state = 2;

	(void)user;
	mix(&state, key);
	mix(&state, data);
	spread(state, out, 32);
	return 0;
}

static int no_hmac_md5(void *user, struct smtp_span key, struct smtp_span data, uint8_t out[16])
{
	uint8_t hash[32];

	(void)no_hmac(user, key, data, hash);
	memcpy(out, hash, 16);
	return 0;
}

static int no_pbkdf2(void *user, struct smtp_span password, struct smtp_span salt, uint32_t iterations,
		     uint8_t out[32])
{
	(void)iterations;
	return no_hmac(user, password, salt, out);
}

static struct auth_world w;

static const struct smtp_crypto *no_crypto(void)
{
	static struct smtp_crypto table;

	table = (struct smtp_crypto){ sizeof(table), &w, auth_random, no_sha256, no_hmac, no_pbkdf2,
				      no_hmac_md5 };
	return &table;
}

/* --- logins ------------------------------------------------------------------------------------ */

static const unsigned all[] = {
	SMTP_MECHANISM_PLAIN, SMTP_MECHANISM_LOGIN, SMTP_MECHANISM_CRAM_MD5, SMTP_MECHANISM_SCRAM_SHA_256,
	SMTP_MECHANISM_SCRAM_SHA_256_PLUS, SMTP_MECHANISM_XOAUTH2, SMTP_MECHANISM_OAUTHBEARER,
	SMTP_MECHANISM_EXTERNAL,
};

enum { PENDING = 1, WRONG = 2, TOKEN_ERROR = 4, WAYS = 8 };

static void set_up(unsigned mechanism, unsigned way)
{
	auth_world_init(&w, true);
	auth_world_log_in_by(&w, mechanism);
	w.server_options.crypto = w.client_options.crypto = no_crypto();
	if (smtp_scram_keys_make(&w.keys, no_crypto(), smtp_span_of(AUTH_PASSWORD), 4096) != 0)
		abort();
	w.pending = way & PENDING;
	w.token_error = way & TOKEN_ERROR ? "{\"status\":\"x\"}" : NULL;
	if (!(way & WRONG))
		return;
	if (w.client_options.token)
		w.client_options.token = "other";
	else if (w.client_options.password)
		w.client_options.password = "other";
	else
		w.channel.client_identity = "mallory";
}

static bool is_in(void)
{
	return w.server && smtp_server_session_account(w.server);
}

/* True: it got by without memory failing. */
static bool play(unsigned mechanism, unsigned way, unsigned n)
{
	bool in, failed;
	long live;
	int err;

	set_up(mechanism, way);
	malloc_watch(n);
	err = auth_world_begin(&w);
	if (!err)
		auth_world_run(&w);
	in = is_in();
	auth_world_end(&w);
	live = malloc_unwatch();
	failed = malloc_failed;
	ck_assert_msg(live == 0, "%ld blocks leaked at %u", live, n);
	ck_assert_msg(!err || (err == SMTP_ENOMEM && failed), "%d at %u", err, n);
	ck_assert_msg(!in || !(way & WRONG), "in at %u:\n%s", n, w.shown);
	if (!failed) {
		ck_assert_msg(in == !(way & WRONG) && w.ready == in, "%s", w.shown);
		return true;
	}
	/* The client knows that it is in, or has been told why not, or is waiting for a server that died. */
	ck_assert_msg(!w.ready || in, "ready but not in at %u:\n%s", n, w.shown);
	return false;
}

START_TEST(each_allocation)
{
	for (unsigned way = 0; way < WAYS; way++) {
		unsigned n = 1;

		while (!play(all[_i], way, n))
			ck_assert_uint_lt(++n, 2000);
		ck_assert_uint_gt(n, 10);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("auth_memory");
	TCase *tc = tcase_create("memory");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, each_allocation, 0, ROWS(all));
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
#endif
