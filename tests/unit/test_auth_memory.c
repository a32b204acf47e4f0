/* SPDX-License-Identifier: ISC */
/* test_auth_memory.c - the n-th allocation of a login fails, for each n until one gets by without, with
 * each mechanism, on both ends at once: nothing leaks, nobody gets in without a proof, each end tells its
 * owner. Left out under sanitizers, which bring a malloc of their own.
 */
#include "tests/unit/auth_world.h"
#include "tests/unit/testing.h"

#if defined(__has_feature)
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
	HAS_FEATURE(address_sanitizer) || HAS_FEATURE(thread_sanitizer) || \
	HAS_FEATURE(memory_sanitizer) || !defined(__GLIBC__)
int main(void)
{
	return EXIT_SUCCESS;
}
#else

/* --- an allocator that fails once ------------------------------------------------------------ */

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t count, size_t n);
void *__libc_realloc(void *p, size_t n);
void __libc_free(void *p);

static bool armed; /* only while the library runs: libcheck allocates too */
static unsigned until_failure;
static bool failed;
static long live;

static bool fails(void)
{
	if (!armed || until_failure == 0 || --until_failure > 0)
		return false;
	failed = true;
	return true;
}

static void *counted(void *p)
{
	live += armed && p;
	return p;
}

void *malloc(size_t n)
{
	return fails() ? NULL : counted(__libc_malloc(n));
}

void *calloc(size_t count, size_t n)
{
	return fails() ? NULL : counted(__libc_calloc(count, n));
}

void *realloc(void *p, size_t n)
{
	if (fails())
		return NULL;
	return p ? __libc_realloc(p, n) : counted(__libc_malloc(n));
}

void free(void *p)
{
	live -= armed && p;
	__libc_free(p);
}

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
	bool in;
	int err;

	set_up(mechanism, way);
	failed = false;
	live = 0;
	until_failure = n;
	armed = true;
	err = auth_world_begin(&w);
	if (!err)
		auth_world_run(&w);
	in = is_in();
	auth_world_end(&w);
	armed = false;
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
