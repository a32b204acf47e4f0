/* SPDX-License-Identifier: ISC */
/* The life of a server beside its sessions: threads of its own, errors of its order, unix sockets, and an
 * allocation that fails anywhere in its set-up.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <smtp/middleware.h>
#include <smtp/server.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "libsmtp/core/span.h"
#include "tests/unit/failing_malloc.h"
#include "tests/unit/server_client.h"
#include "tests/unit/testing.h"

static struct smtp_server *server;
static struct smtp_listener_options listener;
static uint16_t port;
static char folder[64];
static char path[96]; /* of a unix socket */
static char address[112];

static enum smtp_verdict on_rcpt(struct smtp_server_session *s,
				 const struct smtp_rcpt_request *request, void *user)
{
	(void)s;
	(void)request;
	(void)user;
	return SMTP_ACCEPT;
}

static const struct smtp_server_session_handler handler = { .size = sizeof(handler),
							    .rcpt = on_rcpt };

static void set_up(void)
{
	struct smtp_server_options options = SMTP_SERVER_OPTIONS_INIT;

	options.loops = 2;
	options.max_connections_per_ip = 0;
	listener = (struct smtp_listener_options)SMTP_LISTENER_OPTIONS_INIT;
	listener.address = "127.0.0.1:0";
	listener.session.hostname = "mail.example.com";
	listener.handler = &handler;
	snprintf(folder, sizeof(folder), "/tmp/test_server_life.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/socket", folder);
	snprintf(address, sizeof(address), "unix:%s", path);
	ck_assert_int_eq(smtp_server_new(&server, &options), 0);
}

static void tear_down(void)
{
	smtp_server_free(server);
	(void)unlink(path);
	ck_assert_int_eq(rmdir(folder), 0);
}

static void listen_here(void)
{
	ck_assert_msg(smtp_server_listen(server, &listener, &port) == 0, "%s",
		      smtp_server_problem(server));
}

static void send_one(struct client *c)
{
	client_expect(c, "220 mail.example.com");
	client_talk(c, "EHLO client.example\r\n", "250");
	client_talk(c, "MAIL FROM:<>\r\n", "250");
	client_talk(c, "RCPT TO:<x@example.com>\r\n", "250");
	client_talk(c, "DATA\r\n", "354");
	client_talk(c, "hello\r\n.\r\n", "250");
}

/* --- threads of its own ------------------------------------------------------------------------ */

START_TEST(started_and_waited_for)
{
	struct client c;

	listen_here();
	ck_assert_int_eq(smtp_server_wait(server), SMTP_ESTATE);
	ck_assert_int_eq(smtp_server_start(server), 0);
	ck_assert_int_eq(smtp_server_start(server), SMTP_ESTATE);
	ck_assert_int_eq(smtp_server_run(server), SMTP_ESTATE);
	client_connect_to(&c, "127.0.0.1", port);
	send_one(&c);
	smtp_server_shutdown(server, CLIENT_WAIT_S * 1000);
	client_expect(&c, "421 4.3.2");
	client_close(&c);
	ck_assert_int_eq(smtp_server_wait(server), 0);
	ck_assert_int_eq(smtp_server_wait(server), 0);
	smtp_server_shutdown(server, 0);
}
END_TEST

START_TEST(started_and_freed)
{
	struct client c;

	listen_here();
	ck_assert_int_eq(smtp_server_start(server), 0);
	client_connect_to(&c, "127.0.0.1", port);
	client_expect(&c, "220");
	smtp_server_free(server);
	server = NULL;
	client_expect(&c, "421 4.3.2");
	client_expect_end(&c);
	client_close(&c);
}
END_TEST

/* --- the order of things ----------------------------------------------------------------------- */

START_TEST(nothing_goes_after_the_end)
{
	struct smtp_middleware m = smtp_middleware_of("m", &handler, NULL);

	listen_here();
	if (_i) {
		ck_assert_int_eq(smtp_server_start(server), 0);
		smtp_server_shutdown(server, 0);
		ck_assert_int_eq(smtp_server_wait(server), 0);
	} else {
		smtp_server_shutdown(server, 0);
	}
	ck_assert_int_eq(smtp_server_listen(server, &listener, &port), SMTP_ECLOSED);
	ck_assert_int_eq(smtp_server_use(server, &m), SMTP_ECLOSED);
	ck_assert_int_eq(smtp_server_run(server), SMTP_ECLOSED);
	ck_assert_int_eq(smtp_server_start(server), SMTP_ECLOSED);
	ck_assert_str_eq(smtp_server_problem(server), "the server was shut down");
}
END_TEST

START_TEST(set_up_ends_with_running)
{
	struct smtp_middleware m = smtp_middleware_of("m", &handler, NULL);

	listen_here();
	ck_assert_int_eq(smtp_server_start(server), 0);
	ck_assert_int_eq(smtp_server_listen(server, &listener, &port), SMTP_ESTATE);
	ck_assert_int_eq(smtp_server_use(server, &m), SMTP_ESTATE);
}
END_TEST

START_TEST(bind_errors_come_at_once)
{
	char taken[32];

	listen_here();
	snprintf(taken, sizeof(taken), "127.0.0.1:%u", port);
	listener.address = taken;
	ck_assert_int_eq(smtp_server_listen(server, &listener, NULL), SMTP_EBUSY);
	ck_assert_ptr_nonnull(strstr(smtp_server_problem(server), taken));
	listener.address = "192.0.2.1:0"; /* of nobody */
	ck_assert_int_eq(smtp_server_listen(server, &listener, NULL), SMTP_EINVAL);
	listener.address = "nonsense";
	ck_assert_int_eq(smtp_server_listen(server, &listener, NULL), SMTP_EINVAL);
	ck_assert_ptr_nonnull(strstr(smtp_server_problem(server), "nonsense"));
}
END_TEST

START_TEST(options_of_other_versions)
{
	struct {
		struct smtp_server_options known;
		char unknown[8];
	} newer = { SMTP_SERVER_OPTIONS_INIT, { 0 } };
	struct smtp_server *one = NULL;

	newer.known.loops = 1;
	newer.known.size = sizeof(newer);
	ck_assert_int_eq(smtp_server_new(&one, &newer.known), 0);
	smtp_server_free(one);
	newer.unknown[7] = 1;
	ck_assert_int_eq(smtp_server_new(&one, &newer.known), SMTP_EINVAL);
	newer.known.size = offsetof(struct smtp_server_options, workers);
	newer.known.workers = 0; /* not looked at */
	ck_assert_int_eq(smtp_server_new(&one, &newer.known), 0);
	smtp_server_free(one);
	newer.known.size = sizeof(newer.known);
	ck_assert_int_eq(smtp_server_new(&one, &newer.known), SMTP_EINVAL);
}
END_TEST

START_TEST(listener_options_of_other_versions)
{
	struct {
		struct smtp_listener_options known;
		char unknown[8];
	} newer = { listener, { 0 } };

	newer.known.size = sizeof(newer);
	ck_assert_int_eq(smtp_server_listen(server, &newer.known, &port), 0);
	newer.unknown[0] = 1;
	ck_assert_int_eq(smtp_server_listen(server, &newer.known, &port), SMTP_EINVAL);
	newer.known.size = offsetof(struct smtp_listener_options, blocking);
	newer.known.proxy_networks = "nonsense"; /* not looked at */
	ck_assert_int_eq(smtp_server_listen(server, &newer.known, &port), 0);
	newer.known.session.size--;
	ck_assert_int_eq(smtp_server_listen(server, &newer.known, &port), SMTP_EINVAL);
	newer.known.address = NULL;
	newer.known.session.size++;
	ck_assert_int_eq(smtp_server_listen(server, &newer.known, &port), SMTP_EINVAL);
}
END_TEST

/* That it serves is tried with examples/server.c. */
START_TEST(all_in_one_call)
{
	char problem[200] = "";

	ck_assert_int_eq(smtp_server_serve("192.0.2.1:25", &handler, NULL, problem, sizeof(problem)),
			 SMTP_EINVAL);
	ck_assert_ptr_nonnull(strstr(problem, "192.0.2.1:25"));
	ck_assert_int_eq(smtp_server_serve("nowhere", &handler, NULL, NULL, 0), SMTP_EINVAL);
}
END_TEST

START_TEST(at_most_fifteen_middlewares)
{
	struct smtp_middleware m = smtp_middleware_of("m", &handler, NULL);

	for (int i = 0; i < 15; i++)
		ck_assert_int_eq(smtp_server_use(server, &m), 0);
	ck_assert_int_eq(smtp_server_use(server, &m), SMTP_ETOOLONG);
	ck_assert_int_eq(smtp_server_use(server, NULL), SMTP_EINVAL);
}
END_TEST

START_TEST(hostname_of_the_machine)
{
	char name[256] = "";
	char greeting[300];
	struct client c;

	ck_assert_int_eq(gethostname(name, sizeof(name) - 1), 0);
	listener.session.hostname = NULL;
	listen_here();
	ck_assert_int_eq(smtp_server_start(server), 0);
	client_connect_to(&c, "127.0.0.1", port);
	snprintf(greeting, sizeof(greeting), "220 %s ",
		 smtp_domain_is_valid(smtp_span_of(name)) ? name : "localhost");
	client_expect(&c, greeting);
	client_close(&c);
}
END_TEST

/* What the options point to is copied: it may be gone when a session begins. */
START_TEST(options_are_copied)
{
	struct smtp_network *networks = calloc(1, sizeof(*networks));
	char *hostname = strdup("mail.example.com");
	struct client c;

	ck_assert(networks && hostname);
	ck_assert_int_eq(smtp_network_parse(networks, "127.0.0.1"), 0);
	listener.session.xclient_networks = networks;
	listener.session.xclient_network_count = 1;
	listener.session.hostname = hostname;
	listen_here();
	memset(networks, 0xff, sizeof(*networks));
	free(networks);
	memset(hostname, 'x', 4);
	free(hostname);
	ck_assert_int_eq(smtp_server_start(server), 0);
	client_connect_to(&c, "127.0.0.1", port);
	client_expect(&c, "220 mail.example.com");
	client_talk(&c, "EHLO client.example\r\n", "250");
	client_talk(&c, "XCLIENT ADDR=192.0.2.1\r\n", "220");
	client_close(&c);
}
END_TEST

/* An idle session: its conn, timer and all, beside what TCP takes in the kernel. */
START_TEST(idle_sessions_are_small)
{
	enum { IDLE = 200, MOST = 8192 };
	static struct client clients[IDLE + 1];
	struct mallinfo2 before = mallinfo2(), after;
	size_t each;

	listen_here();
	ck_assert_int_eq(smtp_server_start(server), 0);
	for (int i = 0; i <= IDLE; i++) {
		if (i == 1)
			before = mallinfo2();
		client_connect_from(&clients[i], i % 2 ? "127.0.0.2" : "127.0.0.3", "127.0.0.1", port);
		client_expect(&clients[i], "220");
		client_talk(&clients[i], "EHLO client.example\r\n", "250");
	}
	after = mallinfo2();
	each = (after.uordblks - before.uordblks) / IDLE;
	ck_assert_msg(after.uordblks - before.uordblks < (size_t)IDLE * MOST, "%zu octets each", each);
	for (int i = 0; i <= IDLE; i++)
		client_close(&clients[i]);
}
END_TEST

/* --- unix sockets ----------------------------------------------------------------------------- */

static void unix_address(struct sockaddr_un *un)
{
	*un = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(un->sun_path, path, strlen(path) + 1);
}

static void unix_connect(struct client *c)
{
	struct sockaddr_un un;

	unix_address(&un);
	*c = (struct client){ .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	ck_assert_int_eq(connect(c->fd, (struct sockaddr *)&un, sizeof(un)), 0);
}

START_TEST(unix_socket)
{
	struct client c;
	struct stat st;

	listener.address = address;
	listener.unix_mode = _i ? 0660 : 0;
	listen_here();
	ck_assert_uint_eq(port, 0);
	ck_assert_int_eq(lstat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, _i ? 0660 : 0600);
	ck_assert_int_eq(smtp_server_start(server), 0);
	unix_connect(&c);
	send_one(&c);
	client_close(&c);
	smtp_server_free(server);
	server = NULL;
	ck_assert_int_eq(lstat(path, &st), -1); /* the server takes its file along */
}
END_TEST

static int unix_socket_bound(bool listens)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un un;

	unix_address(&un);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	ck_assert_int_eq(listens ? listen(fd, 1) : 0, 0);
	return fd;
}

START_TEST(unix_socket_that_was_left_behind)
{
	struct client c;

	(void)close(unix_socket_bound(true));
	listener.address = address;
	listen_here();
	ck_assert_int_eq(smtp_server_start(server), 0);
	unix_connect(&c);
	client_expect(&c, "220");
	client_close(&c);
}
END_TEST

START_TEST(unix_socket_in_use)
{
	int fd = unix_socket_bound(true);
	struct stat st;

	listener.address = address;
	ck_assert_int_eq(smtp_server_listen(server, &listener, NULL), SMTP_EBUSY);
	ck_assert_ptr_nonnull(strstr(smtp_server_problem(server), path));
	ck_assert_int_eq(lstat(path, &st), 0);
	(void)close(fd);
}
END_TEST

START_TEST(file_that_is_no_socket_stays)
{
	FILE *fp = fopen(path, "we");
	struct stat st;

	ck_assert_ptr_nonnull(fp);
	ck_assert_int_eq(fclose(fp), 0);
	listener.address = address;
	ck_assert_int_eq(smtp_server_listen(server, &listener, NULL), SMTP_EBUSY);
	ck_assert_int_eq(lstat(path, &st), 0);
}
END_TEST

/* Another server has taken the place: its file is not ours to remove. */
START_TEST(file_of_a_successor_stays)
{
	struct stat st;
	char old[128];
	int fd;

	listener.address = address;
	listen_here();
	snprintf(old, sizeof(old), "%s.old", path);
	ck_assert_int_eq(rename(path, old), 0);
	fd = unix_socket_bound(true);
	smtp_server_free(server);
	server = NULL;
	ck_assert_int_eq(lstat(path, &st), 0);
	ck_assert_int_eq(unlink(old), 0);
	(void)close(fd);
}
END_TEST

START_TEST(unix_paths_that_can_not_be)
{
	static const struct {
		const char *address;
		int err;
	} rows[] = {
		{ "unix:relative", SMTP_EINVAL },
		{ "unix:", SMTP_EINVAL },
		{ "unix:/no/such/folder/here", SMTP_EACCESS },
		{ "unix:/0123456789012345678901234567890123456789012345678901234567890123456789"
		  "0123456789012345678901234567890123456", SMTP_EINVAL },
	};

	listener.address = rows[_i].address;
	ck_assert_int_eq(smtp_server_listen(server, &listener, NULL), rows[_i].err);
	ck_assert_str_ne(smtp_server_problem(server), "");
}
END_TEST

/* --- memory ----------------------------------------------------------------------------------- */

#if HAS_FAILING_MALLOC
static int released;

static void on_release(void *user)
{
	(void)user;
	released++;
}

/* Sets up and serves one message; 0, or the error that the lack of memory led to. */
static int live_once(unsigned nth)
{
	struct smtp_server_options options = SMTP_SERVER_OPTIONS_INIT;
	struct smtp_middleware m = smtp_middleware_of("m", &handler, NULL);
	struct smtp_server *other = NULL;
	int err;

	options.loops = 1;
	m.release = on_release;
	m.blocking = true;
	released = 0;
	atomic_store(&malloc_failed, false);
	atomic_store(&malloc_fails_after, nth);
	err = smtp_server_new(&other, &options);
	if (!err) {
		err = smtp_server_use(other, &m);
		if (!err)
			err = smtp_server_listen(other, &listener, &port);
		if (!err)
			err = smtp_server_start(other);
		atomic_store(&malloc_fails_after, 0);
		smtp_server_free(other);
		ck_assert_int_eq(released, 1);
	}
	atomic_store(&malloc_fails_after, 0);
	return err;
}

START_TEST(each_allocation_of_the_set_up_fails)
{
	unsigned n = 1;
	int err;

	for (;; n++) {
		err = live_once(n);
		if (!atomic_load(&malloc_failed))
			break;
		ck_assert_msg(err == 0 || err == SMTP_ENOMEM || err == SMTP_EIO, "n = %u: %d", n, err);
	}
	ck_assert_int_eq(err, 0);
	ck_assert_uint_gt(n, 10);
}
END_TEST

static bool no_session_is_left(void)
{
	return smtp_server_session_count(server) == 0;
}

#define HEADER "PROXY TCP4 192.0.2.1 198.51.100.1 1 25\r\n"

/* In any thread, the n-th from the start of a dialogue: that session may end, the server goes on. Also
 * behind a proxy, and with functions that run on workers. */
START_TEST(each_allocation_of_a_session_fails)
{
	static const char all[] = HEADER "EHLO client.example\r\nMAIL FROM:<>\r\n"
				  "RCPT TO:<x@example.com>\r\nDATA\r\nhello\r\n.\r\nQUIT\r\n";
	const char *dialogue = _i == 1 ? all : all + sizeof(HEADER) - 1;
	struct smtp_middleware m = smtp_middleware_of("m", &handler, NULL);
	char octets[4096];
	bool failed = true;
	struct client c;

	m.blocking = true;
	if (_i == 2)
		ck_assert_int_eq(smtp_server_use(server, &m), 0);
	if (_i == 1)
		listener.proxy_networks = "127.0.0.1";
	listen_here();
	ck_assert_int_eq(smtp_server_start(server), 0);
	malloc_is_spared = true; /* of the test itself */
	for (unsigned n = 1; failed; n++) {
		atomic_store(&malloc_failed, false);
		atomic_store(&malloc_fails_after, n);
		client_connect_to(&c, "127.0.0.1", port);
		(void)!send(c.fd, dialogue, strlen(dialogue), MSG_NOSIGNAL);
		while (recv(c.fd, octets, sizeof(octets), 0) > 0)
			;
		atomic_store(&malloc_fails_after, 0);
		failed = atomic_load(&malloc_failed);
		client_close(&c);
		wait_for(no_session_is_left);
	}
	client_connect_to(&c, "127.0.0.1", port);
	if (_i == 1)
		client_say(&c, HEADER);
	send_one(&c);
	client_close(&c);
}
END_TEST
#endif

int main(void)
{
	Suite *suite = suite_create("server_life");
	TCase *tc = tcase_create("server_life");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, started_and_waited_for);
	tcase_add_test(tc, started_and_freed);
	tcase_add_loop_test(tc, nothing_goes_after_the_end, 0, 2);
	tcase_add_test(tc, set_up_ends_with_running);
	tcase_add_test(tc, bind_errors_come_at_once);
	tcase_add_test(tc, options_of_other_versions);
	tcase_add_test(tc, listener_options_of_other_versions);

	tcase_add_test(tc, all_in_one_call);
	tcase_add_test(tc, at_most_fifteen_middlewares);
	tcase_add_test(tc, hostname_of_the_machine);
	tcase_add_test(tc, options_are_copied);
	tcase_add_test(tc, idle_sessions_are_small);
	tcase_add_loop_test(tc, unix_socket, 0, 2);
	tcase_add_test(tc, unix_socket_that_was_left_behind);
	tcase_add_test(tc, unix_socket_in_use);
	tcase_add_test(tc, file_that_is_no_socket_stays);
	tcase_add_test(tc, file_of_a_successor_stays);
	tcase_add_loop_test(tc, unix_paths_that_can_not_be, 0, 4);
#if HAS_FAILING_MALLOC
	tcase_add_test(tc, each_allocation_of_the_set_up_fails);
	tcase_add_loop_test(tc, each_allocation_of_a_session_fails, 0, 3);
#endif
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
