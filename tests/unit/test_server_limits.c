/* SPDX-License-Identifier: ISC */
/* Counting connections: which addresses count together, that the counts are exact with several
 * threads, and that peers without connections are forgotten.
 */
#include "tests/unit/testing.h"
#include <pthread.h>
#include "libsmtp/net/server_internal.h"

static struct server_limits *limits;

static void make(uint32_t all, uint32_t per_peer)
{
	struct smtp_server_options options = SMTP_SERVER_OPTIONS_INIT;

	options.max_connections = all;
	options.max_connections_per_ip = per_peer;
	ck_assert_int_eq(server_limits_new(&limits, &options), 0);
}

static void tear_down(void)
{
	server_limits_free(limits);
}

static struct server_peer_key key(const char *address)
{
	struct smtp_socket_address parsed = { 0 }; /* AF_UNSPEC, like a unix socket */

	if (*address)
		ck_assert_msg(smtp_socket_address_parse(&parsed, address), "%s", address);
	return server_peer_key_of(&parsed);
}

static const struct {
	const char *name, *a, *b;
	bool together;
} rows[] = {
	{ "same IPv4", "192.0.2.1", "192.0.2.1", true },
	{ "other IPv4", "192.0.2.1", "192.0.2.2", false },
	{ "mapped IPv4", "192.0.2.1", "::ffff:192.0.2.1", true },
	{ "other mapped IPv4", "::ffff:192.0.2.1", "::ffff:192.0.2.2", false },
	{ "same /64", "2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true },
	{ "other /64", "2001:db8::1", "2001:db8:0:1::1", false },
	{ "IPv4 in the bits of IPv6", "0.0.0.1", "0:0:0:1::1", false },
	{ "unix sockets", "", "", false },
};

START_TEST(addresses_that_count_together)
{
	make(100, 1);
	ck_assert_int_eq(server_limits_enter(limits, key(rows[_i].a)), SERVER_ADMITTED);
	ck_assert_msg(server_limits_enter(limits, key(rows[_i].b)) ==
			      (rows[_i].together ? SERVER_PEER_FULL : SERVER_ADMITTED),
		      "%s", rows[_i].name);
	server_limits_leave(limits, key(rows[_i].a));
	ck_assert_int_eq(server_limits_enter(limits, key(rows[_i].a)), SERVER_ADMITTED);
}
END_TEST

START_TEST(refused_ones_do_not_count)
{
	make(2, 1);
	ck_assert_int_eq(server_limits_enter(limits, key("192.0.2.1")), SERVER_ADMITTED);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(server_limits_enter(limits, key("192.0.2.1")), SERVER_PEER_FULL);
	ck_assert_int_eq(server_limits_enter(limits, key("192.0.2.2")), SERVER_ADMITTED);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(server_limits_enter(limits, key("192.0.2.3")), SERVER_FULL);
	server_limits_leave(limits, key("192.0.2.1"));
	ck_assert_int_eq(server_limits_enter(limits, key("192.0.2.3")), SERVER_ADMITTED);
}
END_TEST

enum { THREADS = 4, TURNS = 20000, PEERS = 64 };

static void *come_and_go(void *user)
{
	unsigned at = *(unsigned *)user;

	for (unsigned i = 0; i < TURNS; i++) {
		struct server_peer_key peer = { .prefix = (at + i) % PEERS, .family = 6 };

		if (server_limits_enter(limits, peer) == SERVER_ADMITTED)
			server_limits_leave(limits, peer);
	}
	return NULL;
}

START_TEST(counts_are_exact_with_threads)
{
	pthread_t threads[THREADS];
	unsigned numbers[THREADS];

	make(3, 2);
	for (unsigned i = 0; i < THREADS; i++) {
		numbers[i] = i;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, come_and_go, &numbers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(server_limits_enter(limits, (struct server_peer_key){ i, 6 }),
				 SERVER_ADMITTED);
	ck_assert_int_eq(server_limits_enter(limits, key("192.0.2.1")), SERVER_FULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("server_limits");
	TCase *tc = tcase_create("server_limits");

	tcase_add_checked_fixture(tc, NULL, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, addresses_that_count_together, 0, ROWS(rows));
	tcase_add_test(tc, refused_ones_do_not_count);
	tcase_add_test(tc, counts_are_exact_with_threads);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
