/* SPDX-License-Identifier: ISC */
/* test_keeper.c - the keeper in a thread, asked by its client over a real socket: look-ups, logins,
 * signatures, what is damaged, and its end while a question waits.
 */
#include <fcntl.h>
#include <pthread.h>
#include <smtp/accounts.h>
#include <smtp/dkim.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libsmtp/core/span.h"
#include "smtpd/keeper/client.h"
#include "smtpd/keeper/keeper.h"
#include "smtpd/keeper/protocol.h"
#include "smtpd/log.h"
#include "smtpd/ready.h"
#include "tests/unit/testing.h"

static struct {
	char folder[64], socket_path[96];
	struct config config;
	int listen_fd, supervisor[2];
	pthread_t thread;
	struct smtp_loop *loop;
	struct keeper_client *client;
	int answers;
} world;

static void path_in(char *out, size_t cap, const char *name)
{
	(void)snprintf(out, cap, "%s/%s", world.folder, name);
}

/* ---- A store with two domains ---- */

static void add_key(struct smtp_accounts *a)
{
	struct smtp_dkim_key key = { .domain = "example.test", .selector = "s1",
				     .algorithm = "rsa", .active = true };

	ck_assert_int_eq(smtp_dkim_key_make("rsa", &key.private_pem, &key.public_base64), 0);
	ck_assert_int_eq(smtp_accounts_dkim_key_add(a, &key), 0);
	smtp_dkim_key_release(&key);
}

static void make_store(void)
{
	const char *const targets[] = { "alice@example.test", "far@remote.test" };
	char hash[SMTP_PASSWORD_HASH_MAX], file[96];
	struct smtp_accounts *a;

	path_in(file, sizeof file, CONFIG_ACCOUNTS_FILE);
	ck_assert_int_eq(smtp_accounts_open(&a, file, SMTP_ACCOUNTS_CREATE), 0);
	ck_assert_int_eq(smtp_password_hash(smtp_span_of("secret"), hash), 0);
	ck_assert_int_eq(smtp_accounts_domain_add(a, "example.test"), 0);
	ck_assert_int_eq(smtp_accounts_domain_add(a, "nokey.test"), 0);
	ck_assert_int_eq(smtp_accounts_account_add(a, "alice@example.test", "", hash), 0);
	ck_assert_int_eq(smtp_accounts_account_add(a, "off@example.test", "", hash), 0);
	ck_assert_int_eq(smtp_accounts_account_set_disabled(a, "off@example.test", true), 0);
	ck_assert_int_eq(smtp_accounts_alias_add(a, "sales@example.test", targets, 2), 0);
	add_key(a);
	smtp_accounts_close(a);
}

/* ---- The keeper ---- */

static void *run_keeper(void *unused)
{
	(void)unused;
	(void)keeper_process(&world.config, world.listen_fd, world.supervisor[1]);
	(void)close(world.supervisor[1]);
	return NULL;
}

static void listen_here(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	path_in(world.socket_path, sizeof world.socket_path, "keeper.sock");
	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", world.socket_path);
	world.listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(bind(world.listen_fd, (struct sockaddr *)&address, sizeof address), 0);
	ck_assert_int_eq(listen(world.listen_fd, 16), 0);
}

static void start_keeper(void)
{
	char problem[256];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, world.supervisor), 0);
	ck_assert_int_eq(pthread_create(&world.thread, NULL, run_keeper, NULL), 0);
	ck_assert_msg(ready_wait(world.supervisor[0], problem, sizeof problem), "%s", problem);
}

static void stop_keeper(void)
{
	(void)close(world.supervisor[0]);
	ck_assert_int_eq(pthread_join(world.thread, NULL), 0);
}

static void set_up(void)
{
	(void)snprintf(world.folder, sizeof world.folder, "/tmp/test_keeper.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(world.folder));
	world.config.data_dir = world.folder;
	log_setup(LOG_FORMAT_LOGFMT, LOG_LEVEL_ERROR, "test");
	make_store();
	listen_here();
	start_keeper();
	ck_assert_int_eq(smtp_loop_new(&world.loop), 0);
	ck_assert_int_eq(keeper_client_new(&world.client, world.loop, world.socket_path), 0);
}

static void tear_down(void)
{
	char command[96];

	keeper_client_free(world.client);
	smtp_loop_free(world.loop);
	stop_keeper();
	(void)snprintf(command, sizeof command, "rm -r %s", world.folder);
	ck_assert_int_eq(system(command), 0);
}

/* ---- Look-ups ---- */

static struct smtp_mailbox mailbox_of(const char *text)
{
	struct smtp_mailbox m;

	ck_assert_int_eq(smtp_mailbox_parse(&m, smtp_span_of(text), 0), 0);
	return m;
}

static const struct {
	const char *address;
	enum smtp_resolve_kind kind;
	const char *targets[2];
} resolves[] = {
	{ "alice@example.test", SMTP_RESOLVE_LOCAL, { "alice@example.test" } },
	{ "ALICE+x@Example.Test", SMTP_RESOLVE_LOCAL, { "alice@example.test" } },
	{ "sales@example.test", SMTP_RESOLVE_LOCAL, { "alice@example.test", "far@remote.test" } },
	{ "nobody@example.test", SMTP_RESOLVE_UNKNOWN, { NULL } },
	{ "off@example.test", SMTP_RESOLVE_DISABLED, { NULL } },
	{ "a@remote.test", SMTP_RESOLVE_FOREIGN, { NULL } },
};

static bool has_target(const struct keeper_resolve_answer *a, const char *target)
{
	for (size_t i = 0; i < a->target_count; i++)
		if (strcmp(a->targets[i], target) == 0)
			return true;
	return false;
}

static void resolved(void *user, const struct keeper_resolve_answer *a)
{
	int row = *(int *)user;
	size_t wanted = 0;

	ck_assert_int_eq(a->error, 0);
	ck_assert_int_eq(a->kind, resolves[row].kind);
	for (; wanted < 2 && resolves[row].targets[wanted] != NULL; wanted++)
		ck_assert(has_target(a, resolves[row].targets[wanted]));
	if (a->kind == SMTP_RESOLVE_LOCAL)
		ck_assert_uint_eq(a->target_count, wanted);
	smtp_loop_stop(world.loop);
}

START_TEST(resolve)
{
	const struct smtp_mailbox m = mailbox_of(resolves[_i].address);

	ck_assert_int_eq(keeper_resolve(world.client, &m, resolved, &_i), 0);
	ck_assert_int_eq(smtp_loop_run(world.loop), 0);
}
END_TEST

static void counted(void *user, const struct keeper_resolve_answer *a)
{
	ck_assert_int_eq(a->error, 0);
	if (++world.answers == *(int *)user)
		smtp_loop_stop(world.loop);
}

START_TEST(thousands_at_once)
{
	const struct smtp_mailbox m = mailbox_of("sales@example.test");
	int all = 5000;

	for (int i = 0; i < all; i++)
		ck_assert_int_eq(keeper_resolve(world.client, &m, counted, &all), 0);
	ck_assert_int_eq(smtp_loop_run(world.loop), 0);
	ck_assert_int_eq(world.answers, all);
}
END_TEST

static void reached(void *user, const struct keeper_reaches_answer *a)
{
	ck_assert_int_eq(a->error, 0);
	*(bool *)user = a->reaches;
	smtp_loop_stop(world.loop);
}

static bool reaches(const char *address, const char *account)
{
	const struct smtp_mailbox m = mailbox_of(address);
	bool yes = false;

	ck_assert_int_eq(keeper_reaches(world.client, &m, account, reached, &yes), 0);
	ck_assert_int_eq(smtp_loop_run(world.loop), 0);
	return yes;
}

START_TEST(who_may_send_as_whom)
{
	ck_assert(reaches("alice@example.test", "alice@example.test"));
	ck_assert(reaches("sales@example.test", "alice@example.test"));
	ck_assert(!reaches("off@example.test", "alice@example.test"));
	ck_assert(!reaches("a@remote.test", "alice@example.test"));
}
END_TEST

/* ---- Logins ---- */

static const struct {
	const char *name, *password;
	bool accepted;
} logins[] = {
	{ "alice@example.test", "secret", true },  { "ALICE@EXAMPLE.TEST", "secret", true },
	{ "alice@example.test", "Secret", false }, { "alice@example.test", "", false },
	{ "nobody@example.test", "secret", false }, { "off@example.test", "secret", false },
	{ "alice", "secret", false },		   { "", "secret", false },
};

static void logged_in(void *user, const struct keeper_auth_answer *a)
{
	ck_assert_int_eq(a->error, 0);
	ck_assert_int_eq(a->accepted, logins[*(int *)user].accepted);
	if (a->accepted)
		ck_assert_str_eq(a->account, "alice@example.test");
	smtp_loop_stop(world.loop);
}

/* The second time the cache answers, with the same result. */
START_TEST(login)
{
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(keeper_auth(world.client, smtp_span_of(logins[_i].name),
					     smtp_span_of(logins[_i].password), logged_in, &_i),
				 0);
		ck_assert_int_eq(smtp_loop_run(world.loop), 0);
	}
}
END_TEST

static void refused_login(void *user, const struct keeper_auth_answer *a)
{
	(void)user;
	ck_assert_int_eq(a->error, 0);
	ck_assert(!a->accepted);
	smtp_loop_stop(world.loop);
}

START_TEST(a_good_login_opens_nothing_else)
{
	int good = 0;

	ck_assert_int_eq(keeper_auth(world.client, smtp_span_of("alice@example.test"),
				     smtp_span_of("secret"), logged_in, &good),
			 0);
	ck_assert_int_eq(smtp_loop_run(world.loop), 0);
	ck_assert_int_eq(keeper_auth(world.client, smtp_span_of("alice@example.test"),
				     smtp_span_of("Secret"), refused_login, NULL),
			 0);
	ck_assert_int_eq(smtp_loop_run(world.loop), 0);
	ck_assert_int_eq(keeper_auth(world.client, smtp_span_of("off@example.test"),
				     smtp_span_of("secret"), refused_login, NULL),
			 0);
	ck_assert_int_eq(smtp_loop_run(world.loop), 0);
}
END_TEST

/* ---- Signatures ---- */

struct signature_wanted {
	int error;
	char field[4096];
};

static void was_signed(void *user, const struct keeper_sign_answer *a)
{
	struct signature_wanted *w = user;

	w->error = a->error;
	(void)snprintf(w->field, sizeof w->field, "%s", a->field != NULL ? a->field : "");
	smtp_loop_stop(world.loop);
}

static struct signature_wanted sign(const char *domain, const char *content)
{
	struct signature_wanted w = { 1, "" };
	size_t n = strlen(content);
	int fd = memfd_create("content", MFD_CLOEXEC);

	ck_assert_int_eq((int)write(fd, content, n), (int)n);
	ck_assert_int_eq(keeper_sign(world.client, domain, smtp_span_of("X-Added: 1\r\n"), fd, n,
				     was_signed, &w),
			 0);
	ck_assert_int_eq(smtp_loop_run(world.loop), 0);
	(void)close(fd);
	return w;
}

START_TEST(signature)
{
	struct signature_wanted w = sign("example.test", "From: <a@example.test>\r\n\r\nx\r\n");

	ck_assert_int_eq(w.error, 0);
	ck_assert_ptr_nonnull(strstr(w.field, "DKIM-Signature:"));
	ck_assert_ptr_nonnull(strstr(w.field, "d=example.test"));
	ck_assert_int_eq(sign("nokey.test", "From: <a@b.test>\r\n\r\nx\r\n").error, SMTP_ENOTFOUND);
	ck_assert_int_eq(sign("example.test", "Subject: x\r\n\r\nx\r\n").error, SMTP_ESYNTAX);
}
END_TEST

/* ---- What goes wrong ---- */

static void failed_busy(void *user, const struct keeper_auth_answer *a)
{
	*(int *)user = a->error;
	smtp_loop_stop(world.loop);
}

/* The keeper's thread can't be stopped in the midst, so a socket that nobody serves stands for it. */
START_TEST(keeper_that_dies_answers_busy)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0), accepted, error = 0;
	struct keeper_client *client;

	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s/dead.sock", world.folder);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	ck_assert_int_eq(listen(fd, 4), 0);
	ck_assert_int_eq(keeper_client_new(&client, world.loop, address.sun_path), 0);
	ck_assert_int_eq(keeper_auth(client, smtp_span_of("a"), smtp_span_of("b"), failed_busy,
				     &error),
			 0);
	accepted = accept(fd, NULL, NULL);
	(void)close(accepted);
	ck_assert_int_eq(smtp_loop_run(world.loop), 0);
	ck_assert_int_eq(error, SMTP_EBUSY);
	(void)close(fd);
	/* Nobody listens any more: that is told at once, and no callback comes. */
	ck_assert_int_eq(keeper_auth(client, smtp_span_of("a"), smtp_span_of("b"), failed_busy,
				     &error),
			 SMTP_EBUSY);
	keeper_client_free(client);
}
END_TEST

static const struct {
	const char *name;
	uint8_t octets[40];
	size_t n;
} nonsense[] = {
	{ "short", { 1 }, 1 },
	{ "type 0", { 0 }, 12 },
	{ "unknown type", { 0, 0, 0, 0, 9 }, 12 },
	{ "no fields", { 0, 0, 0, 0, KEEPER_RESOLVE }, 12 },
	{ "field over the end", { 0, 0, 0, 0, KEEPER_RESOLVE, 0, 0, 0, 0, 0, 0, 0, 255 }, 16 },
	{ "last field over the end",
	  { 0, 0, 0, 0, KEEPER_RESOLVE, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 'a', 2, 0, 0, 0, 'b' }, 22 },
	{ "huge field", { 0, 0, 0, 0, KEEPER_AUTH, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255 }, 16 },
	{ "signature without descriptor", { 0, 0, 0, 0, KEEPER_SIGN }, 24 },
};

/** It closes that connection and goes on with the others. */
START_TEST(nonsense_ends_one_connection)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0), row = 0;
	const struct smtp_mailbox m = mailbox_of(resolves[0].address);
	char byte;

	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", world.socket_path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	ck_assert_int_eq((int)send(fd, nonsense[_i].octets, nonsense[_i].n, 0),
			 (int)nonsense[_i].n);
	ck_assert_msg(recv(fd, &byte, 1, 0) == 0, "%s", nonsense[_i].name);
	(void)close(fd);
	ck_assert_int_eq(keeper_resolve(world.client, &m, resolved, &row), 0);
	ck_assert_int_eq(smtp_loop_run(world.loop), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("keeper");
	TCase *tc = tcase_create("keeper");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, resolve, 0, ROWS(resolves));
	tcase_add_test(tc, thousands_at_once);
	tcase_add_test(tc, who_may_send_as_whom);
	tcase_add_loop_test(tc, login, 0, ROWS(logins));
	tcase_add_test(tc, a_good_login_opens_nothing_else);
	tcase_add_test(tc, signature);
	tcase_add_test(tc, keeper_that_dies_answers_busy);
	tcase_add_loop_test(tc, nonsense_ends_one_connection, 0, ROWS(nonsense));
	suite_add_tcase(s, tc);
	return tests_run(s);
}
