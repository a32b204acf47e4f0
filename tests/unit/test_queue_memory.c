/* SPDX-License-Identifier: ISC */
/* The n-th allocation fails while the queue delivers, relays and reports, for each n until all went
 * without: no mail is lost, none is delivered twice. Left out under sanitizers, which bring a malloc of
 * their own.
 */
#include "tests/unit/testing.h"

#define FAILING_MALLOC_IS_ALL
#define MALLOC_TRUSTS_LIBRARIES true
#include "tests/unit/failing_malloc.h"

#if HAS_FAILING_MALLOC

/* The texts of the queue; libc's own would call malloc from outside. */
char *strndup(const char *text, size_t max)
{
	size_t n = strnlen(text, max);
	char *copy = lacks_memory(__builtin_return_address(0)) ? NULL : __libc_malloc(n + 1);

	if (copy) {
		memcpy(copy, text, n);
		copy[n] = '\0';
	}
	return copy;
}

#define SERVER_THREAD_BEGINS (malloc_is_spared = true)
#define WORLD_CALLOC __libc_calloc
#define WORLD_RUNS(is_so) (malloc_is_spared = !(is_so))
#include "tests/unit/queue_server.h"
#include "tests/unit/queue_world.h"

static const struct fake_address addresses[] = {
	{ "alias@here.test", SMTP_RESOLVE_LOCAL, { "bob@here.test", "carol@here.test" } },
	{ "nobody@here.test", SMTP_RESOLVE_UNKNOWN, { NULL } },
	{ NULL, 0, { NULL } },
};

static const struct script_row script[] = { { "RCPT TO:<bad", "550 5.1.1 who", 0 }, { NULL, NULL, 0 } };
static const struct script_row forgets[] = { { NULL, NULL, 0 } };

/* Nothing has to wait for its hour, and what was forgotten for lack of memory is found in the spool, as
 * it is at a start. */
static bool is_over(void)
{
	settle_stuck(world.queue);
	ck_assert_int_eq(queue_retry(world.queue, NULL), 0);
	if (!world.queue->listing && world_is_empty() && world_spooled() > 0)
		ck_assert_int_eq(queue_start(world.queue), 0);
	return world_is_empty() && world_spooled() == 0;
}

static const struct {
	const char *name;
	struct mail mail;
	const struct script_row *script;
	size_t bob, carol, alice, sent;
} cases[] = {
	{ "one mailbox", { .from = "a@b.test", .to = { "bob@here.test" } }, NULL, 1, 0, 0, 0 },
	{ "alias", { .from = "a@b.test", .to = { "alias@here.test", "bob@here.test" } }, NULL, 2, 1, 0, 0 },
	{ "report", { .from = "alice@here.test", .to = { "nobody@here.test", "carol@here.test" } }, NULL, 0,
	  1, 1, 0 },
	{ "relay", { .from = "a@b.test", .to = { "x@one.test", "y@two.test" } }, forgets, 0, 0, 0, 1 },
	{ "all of it", { .from = "alice@here.test", .to = { "x@one.test", "bad@one.test", "bob@here.test" } },
	  script, 1, 0, 1, 1 },
};

/* How often mail for x@one.test went out whole. */
static size_t sent(struct server *server)
{
	const char *text = server ? server_text(server) : "";
	size_t n = 0;

	for (; (text = strstr(text, "\nHello\n.\n")) != NULL; text++)
		n++;
	return n;
}

/* True when no allocation failed any more. */
static bool run_with_failure(int row, unsigned n, struct server *server)
{
	size_t before = sent(server);
	bool reached;

	world_sweep();
	world.event_count = 0;
	world.queue->hiccup_ms = 20;
	atomic_store(&malloc_fails_after, n);
	if (row == 0) {
		(void)world_spool(&cases[row].mail);
		ck_assert_int_eq(queue_start(world.queue), 0);
	} else {
		(void)world_mail(&cases[row].mail);
	}
	ck_assert_msg(world_waits(is_over), "%s: not over when allocation %u fails", cases[row].name, n);
	reached = atomic_exchange(&malloc_fails_after, 0) == 0;
	ck_assert_msg(world_maildir_count("bob") == cases[row].bob, "%s, %u: bob has %zu", cases[row].name,
		      n, world_maildir_count("bob"));
	ck_assert_msg(world_maildir_count("carol") == cases[row].carol, "%s, %u: carol", cases[row].name, n);
	ck_assert_msg(world_maildir_count("alice") == cases[row].alice, "%s, %u: alice has %zu",
		      cases[row].name, n, world_maildir_count("alice"));
	ck_assert_uint_eq(world_dead(), 0);
	ck_assert_msg(sent(server) - before == cases[row].sent, "%s, %u: sent %zu times", cases[row].name, n,
		      sent(server) - before);
	return !reached;
}

START_TEST(each_allocation_fails_once)
{
	struct server *server = NULL;
	unsigned n = 1;

	malloc_is_spared = true;
	world.addresses = addresses;
	world.signature = "DKIM-Signature: v=1\r\n";
	if (cases[_i].script) {
		server = server_start("127.0.0.1", 0, cases[_i].script);
		(void)snprintf(world.relay_default, sizeof world.relay_default, "smtp://127.0.0.1:%u",
			       server->port);
	}
	world_settles();
	while (!run_with_failure(_i, n, server))
		ck_assert_uint_lt(++n, 1000);
	if (getenv("WORLD_LOG"))
		(void)fprintf(stderr, "%s: %u allocations\n", cases[_i].name, n - 1);
	ck_assert_uint_gt(n, 10); /* otherwise nothing was tried */
	world_close();
	server_stop(server);
	world_setup();
}
END_TEST

/* What was accepted and can't be begun for lack of memory stays in the spool, and the log says so. */
START_TEST(forgotten_arrival_is_told)
{
	const char *id;

	malloc_is_spared = true;
	world_settles();
	id = world_spool(&(struct mail){ .from = "a@b.test", .to = { "bob@here.test" } });
	atomic_store(&malloc_fails_after, 1);
	malloc_is_spared = false;
	queue_accepted(world.queue, id);
	malloc_is_spared = true;
	ck_assert_uint_eq(atomic_load(&malloc_fails_after), 0);
	ck_assert_uint_eq(world_events("queue.hold"), 1);
	ck_assert_ptr_nonnull(strstr(world_event_text("queue.hold"), id));
	ck_assert(world_waits(is_over));
	ck_assert_uint_eq(world_maildir_count("bob"), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("queue without memory");
	TCase *tc = tcase_create("queue without memory");

	tcase_set_timeout(tc, 90);
	tcase_add_unchecked_fixture(tc, world_make, world_unmake);
	tcase_add_checked_fixture(tc, world_setup, world_teardown);
	tcase_add_loop_test(tc, each_allocation_fails_once, 0, ROWS(cases));
	tcase_add_test(tc, forgotten_arrival_is_told);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
#endif
