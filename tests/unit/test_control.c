/* SPDX-License-Identifier: ISC */
/* test_control.c - the control socket: requests in their forms, answers, clients that misbehave. */
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "smtpd/control.h"
#include "tests/unit/testing.h"

#define ID "1j0mjbaq79plj47nfp"

static struct {
	char path[64], folder[48], called[64];
	struct smtp_loop *loop;
	struct control *control;
	pthread_t thread;
	int fd;
} world;

static int act(const char *name, const char *id)
{
	(void)snprintf(world.called, sizeof world.called, "%s%s%s", name, id != NULL ? " " : "",
		       id != NULL ? id : "");
	return 0;
}

static int act_status(struct smtp_buf *lines, void *user)
{
	(void)user;
	return act("status", NULL) == 0 ? smtp_buf_append_text(lines, "pid 7\n") : SMTP_ENOMEM;
}

/** The second one is refused, with a reason. */
static int act_reload(struct smtp_buf *lines, void *user)
{
	(void)user;
	if (world.called[0] == '\0')
		return act("reload", NULL);
	return smtp_buf_append_text(lines, "listen: needs a restart") == 0 ? SMTP_ESTATE :
									     SMTP_ENOMEM;
}

static int act_stop(void *user)
{
	(void)user;
	return SMTP_EIO; /* stands for an action that fails */
}

static int act_retry(const char *id, void *user)
{
	(void)user;
	return act("retry", id != NULL ? id : "all");
}

static int act_remove(const char *id, void *user)
{
	(void)user;
	return act("remove", id);
}

static void *run_loop(void *unused)
{
	(void)unused;
	ck_assert_int_eq(smtp_loop_run(world.loop), 0);
	return NULL;
}

static void set_up(void)
{
	const struct control_actions actions = { act_status, act_reload, act_stop,
						 act_retry,  act_remove, NULL };
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)snprintf(world.folder, sizeof world.folder, "/tmp/test_control.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(world.folder));
	(void)snprintf(world.path, sizeof world.path, "%s/s", world.folder);
	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", world.path);
	world.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(bind(world.fd, (struct sockaddr *)&address, sizeof address), 0);
	ck_assert_int_eq(listen(world.fd, 64), 0);
	ck_assert_int_eq(smtp_loop_new(&world.loop), 0);
	ck_assert_int_eq(control_new(&world.control, world.loop, world.fd, &actions), 0);
	ck_assert_int_eq(pthread_create(&world.thread, NULL, run_loop, NULL), 0);
}

static void tear_down(void)
{
	smtp_loop_stop(world.loop);
	ck_assert_int_eq(pthread_join(world.thread, NULL), 0);
	control_free(world.control);
	smtp_loop_free(world.loop);
	(void)unlink(world.path);
	(void)rmdir(world.folder);
}

static int open_client(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", world.path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

/** All that is answered until the daemon closes. */
static void read_answer(int fd, char *out, size_t cap)
{
	size_t n = 0;
	ssize_t got;

	while ((got = read(fd, out + n, cap - 1 - n)) > 0)
		n += (size_t)got;
	out[n] = '\0';
	(void)close(fd);
}

static const struct {
	const char *request, *answer, *called;
} rows[] = {
	{ "status\n", "ok\npid 7\n", "status" },
	{ "reload\n", "ok\n", "reload" },
	{ "stop\n", "error input or output error\n", "" },
	{ "queue retry\n", "ok\n", "retry all" },
	{ "queue retry " ID "\n", "ok\n", "retry " ID },
	{ "queue remove " ID "\n", "ok\n", "remove " ID },
	{ "queue remove\n", "error invalid argument\n", "" },
	{ "queue remove ../../etc/passwd\n", "error invalid argument\n", "" },
	{ "queue remove " ID " x\n", "error invalid argument\n", "" },
	{ "status now\n", "error invalid argument\n", "" },
	{ "statuss\n", "error not supported by the peer\n", "" },
	{ "\n", "error not supported by the peer\n", "" },
};

START_TEST(request)
{
	char answer[256];
	int fd = open_client();

	for (const char *p = rows[_i].request; *p != '\0'; p++)
		ck_assert_int_eq((int)write(fd, p, 1), 1);
	read_answer(fd, answer, sizeof answer);
	ck_assert_str_eq(answer, rows[_i].answer);
	ck_assert_str_eq(world.called, rows[_i].called);
}
END_TEST

START_TEST(reason_of_a_refusal)
{
	char answer[64];

	for (int i = 0; i < 2; i++) {
		int fd = open_client();

		ck_assert_int_eq((int)write(fd, "reload\n", 7), 7);
		read_answer(fd, answer, sizeof answer);
	}
	ck_assert_str_eq(answer, "error listen: needs a restart\n");
}
END_TEST

START_TEST(endless_line_is_cut)
{
	char text[CONTROL_REQUEST_MAX + 100], answer[64];
	int fd = open_client();

	memset(text, 'a', sizeof text);
	(void)send(fd, text, sizeof text, MSG_NOSIGNAL);
	read_answer(fd, answer, sizeof answer);
	ck_assert_str_eq(answer, "");
}
END_TEST

/* Sixteen that say nothing do not keep others away for long: they are sent off after five seconds. */
START_TEST(silent_clients_are_sent_off)
{
	char answer[64];
	int silent[16], fd;

	for (int i = 0; i < 16; i++)
		silent[i] = open_client();
	fd = open_client();
	read_answer(fd, answer, sizeof answer); /* the seventeenth is closed at once */
	ck_assert_str_eq(answer, "");
	for (int i = 0; i < 16; i++)
		read_answer(silent[i], answer, sizeof answer);
	fd = open_client();
	ck_assert_int_eq((int)write(fd, "status\n", 7), 7);
	read_answer(fd, answer, sizeof answer);
	ck_assert_str_eq(answer, "ok\npid 7\n");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("control");
	TCase *tc = tcase_create("control");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, request, 0, ROWS(rows));
	tcase_add_test(tc, reason_of_a_refusal);
	tcase_add_test(tc, endless_line_is_cut);
	tcase_add_test(tc, silent_clients_are_sent_off);
	suite_add_tcase(s, tc);
	return tests_run(s);
}
