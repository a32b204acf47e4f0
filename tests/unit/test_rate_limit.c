/* SPDX-License-Identifier: ISC */
/* The table of token buckets: bounded memory under a flood of addresses, and several threads. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "libsmtp/middleware/rate_limit.h"
#include "tests/unit/testing.h"

static struct rate_limit *limit_of(uint32_t per_minute, uint32_t burst, uint32_t max_peers)
{
	struct smtp_rate_limit_options options = SMTP_RATE_LIMIT_OPTIONS_INIT;
	struct rate_limit *limit = NULL;

	options.per_minute = per_minute;
	options.burst = burst;
	options.max_peers = max_peers;
	ck_assert_int_eq(rate_limit_new(&limit, &options), 0);
	return limit;
}

static struct smtp_network peer_of(unsigned number)
{
	struct smtp_network peer;
	char text[32];

	(void)snprintf(text, sizeof text, "10.%u.%u.%u", number >> 16 & 255, number >> 8 & 255,
		       number & 255);
	ck_assert_int_eq(smtp_network_parse(&peer, text), 0);
	return peer;
}

/* Far more peers than there is room for: everybody new is served, memory does not grow (it is all taken
 * at the start), and who had used up its tokens is remembered while others were idle for long. */
START_TEST(flood)
{
	struct rate_limit *limit = limit_of(1, 5, 512);
	struct smtp_network bad;
	unsigned served = 0, remembered = 0;

	ck_assert_int_eq(smtp_network_parse(&bad, "192.0.2.1"), 0);
	for (unsigned i = 0; i < 20000; i++) {
		struct smtp_network peer = peer_of(i);

		while (i % 50 == 0 && rate_limit_take(limit, &bad, 1000 + i))
			;
		served += rate_limit_take(limit, &peer, 1000 + i);
		remembered += i % 50 == 0 && !rate_limit_take(limit, &bad, 1000 + i);
	}
	ck_assert_uint_eq(served, 20000);
	ck_assert_uint_eq(remembered, 400);
	rate_limit_free(limit);
}
END_TEST

/* The extremes neither overflow nor stick. */
START_TEST(extremes)
{
	struct rate_limit *limit = limit_of(60000000, UINT32_MAX, 1);
	struct smtp_network peer = peer_of(1);
	struct smtp_network v6;

	for (int i = 0; i < 1000; i++)
		ck_assert(rate_limit_take(limit, &peer, 0));
	ck_assert(rate_limit_take(limit, &peer, UINT64_C(1) << 53));
	rate_limit_free(limit);
	limit = limit_of(1, UINT32_MAX, 1);
	ck_assert(rate_limit_take(limit, &peer, UINT64_C(1) << 53));
	rate_limit_free(limit);
	limit = limit_of(1, 1, 1);
	ck_assert_int_eq(smtp_network_parse(&v6, "2001:db8::1"), 0);
	ck_assert(rate_limit_take(limit, &v6, 0));
	ck_assert(!rate_limit_take(limit, &v6, 59999));
	ck_assert(rate_limit_take(limit, &v6, 60000));
	rate_limit_free(limit);
}
END_TEST

/* Clocks of loops differ by a little: a step back is no gain and no harm. */
START_TEST(step_back)
{
	struct rate_limit *limit = limit_of(1, 2, 1);
	struct smtp_network peer = peer_of(1);

	ck_assert(rate_limit_take(limit, &peer, 100000));
	ck_assert(!rate_limit_take(limit, &peer, 99990));
	ck_assert(rate_limit_take(limit, &peer, 100000));
	ck_assert(!rate_limit_take(limit, &peer, 100000));
	rate_limit_free(limit);
}
END_TEST

enum { THREADS = 4, TURNS = 20000, PEERS = 100, BURST = 37 };

struct work {
	struct rate_limit *limit;
	atomic_uint *taken;
};

static void *take_many(void *user)
{
	struct work *work = user;

	for (unsigned i = 0; i < TURNS; i++) {
		struct smtp_network peer = peer_of(i % PEERS);

		if (rate_limit_take(work->limit, &peer, 1000))
			atomic_fetch_add(&work->taken[i % PEERS], 1);
	}
	return NULL;
}

/* No token is given twice and none is lost, however many threads ask. */
START_TEST(threads)
{
	struct rate_limit *limit = limit_of(1, BURST, 65536);
	static atomic_uint taken[PEERS];
	struct work work = { limit, taken };
	pthread_t ids[THREADS];

	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&ids[i], NULL, take_many, &work), 0);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(ids[i], NULL), 0);
	for (int i = 0; i < PEERS; i++)
		ck_assert_uint_eq(atomic_load(&taken[i]), BURST);
	rate_limit_free(limit);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("rate_limit");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, flood);
	tcase_add_test(tc, extremes);
	tcase_add_test(tc, step_back);
	tcase_add_test(tc, threads);
	suite_add_tcase(s, tc);
	return tests_run(s);
}
