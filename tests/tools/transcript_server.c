/* SPDX-License-Identifier: ISC */
/* transcript_server.c - a real server whose handler says what the head of a transcript tells it to:
 * transcript_server FILE [CERTIFICATE KEY [CLIENT_CA]]. Prints its port, then takes questions on
 * standard input, "check LENGTH" and so many octets, or "end", and answers each with a line. It ends
 * with its input.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <smtp/smtp.h>

#include "libsmtp/net/loop.h"
#include "libsmtp/net/server_private.h"
#include "tests/unit/transcript_policy.h"

enum { LINE_MAX_OCTETS = 16384, ANSWER_DELAY_NS = 2000000 };

/* All but the server and the pipe belongs to the loop. */
struct world {
	struct smtp_server *server;
	struct policy policy;
	struct scene scene;
	struct smtp_server_session_handler handler;
	struct smtp_server_session *session; /* the one that is open; NULL: none */
	char account[POLICY_TEXT_MAX];       /* of the one that has ended */
	int answers[2];                      /* a pipe of struct answer */
};

/* What a phase that is pending will be told by another thread. */
struct answer {
	struct smtp_ticket ticket;
	const struct policy_rule *rule;
};

static void fail(const char *what)
{
	fprintf(stderr, "transcript_server: %s\n", what);
	exit(1);
}

/* ---- The handler: that of the scene, and who the session is ---- */

static struct world world;

static enum smtp_verdict on_connect(struct smtp_server_session *s, void *user)
{
	world.session = s;
	return world.scene.handler.connect(s, user);
}

static void on_disconnect(struct smtp_server_session *s, enum smtp_disconnect_reason reason, void *user)
{
	const char *account = smtp_server_session_account(s);

	snprintf(world.account, sizeof(world.account), "%s", account ? account : "");
	world.scene.handler.disconnect(s, reason, user);
	world.session = NULL;
}

static void on_pending(struct scene *scene, struct smtp_server_session *s)
{
	const struct answer a = { smtp_server_ticket(s), scene->verdict };

	if (write(world.answers[1], &a, sizeof(a)) != (ssize_t)sizeof(a))
		fail("an answer can't be passed on");
}

/* Later, from a thread of its own, as the worker of a real server would. */
static void *give_answers(void *user)
{
	struct timespec delay = { 0, ANSWER_DELAY_NS };
	struct answer a;

	while (read(world.answers[0], &a, sizeof(a)) == (ssize_t)sizeof(a)) {
		struct smtp_reply reply = { 0 };

		(void)nanosleep(&delay, NULL);
		if (a.rule)
			reply = smtp_reply_of(a.rule->code, a.rule->enhanced, a.rule->text);
		if (smtp_server_answer(a.ticket, a.rule ? &reply : NULL) != 0)
			fail("an answer is not taken");
	}
	return user;
}

/* ---- Questions ---- */

struct question {
	struct smtp_loop_call call;
	size_t n;
	char text[]; /* empty: the end */
};

static const char *check_end(void)
{
	if (world.scene.disconnects != 1)
		return "the handler was not told once that the session ended";
	return world.scene.leaked ? "a secret was traced" : NULL;
}

static const char *check(const struct question *q)
{
	if (q->n == 0)
		return check_end();
	if (!world.session && strncmp(q->text, "account ", 8) == 0)
		return strcmp(q->text + 8, world.account) == 0 ? NULL : "another account";
	if (!world.session &&
	    (strncmp(q->text, "protocol ", 9) == 0 || strcmp(q->text, "open") == 0))
		return "the session is gone";
	return scene_check(&world.scene, world.session, q->text, q->n);
}

static void begin_scene(void)
{
	scene_init(&world.scene, &world.policy);
	world.scene.on_pending = on_pending;
	world.account[0] = '\0';
}

static void answer_question(struct smtp_loop_call *call)
{
	struct question *q = (struct question *)(void *)call;
	const char *problem = check(q);

	printf("%s\n", problem ? problem : "ok");
	fflush(stdout);
	if (q->n == 0 && !problem) { /* the next session is the first again */
		scene_release(&world.scene);
		begin_scene();
	}
	free(q);
}

static void ask(size_t n)
{
	struct question *q = calloc(1, sizeof(*q) + n + 1);

	if (!q || fread(q->text, 1, n, stdin) != n)
		fail("a question is not whole");
	q->n = n;
	q->call.fn = answer_question;
	smtp_loop_post(smtp_server_loop(world.server, 0), &q->call);
}

static void *take_questions(void *user)
{
	char line[64];

	while (fgets(line, sizeof(line), stdin))
		ask(strncmp(line, "check ", 6) == 0 ? strtoul(line + 6, NULL, 10) : 0);
	smtp_server_shutdown(world.server, 0);
	return user;
}

/* ---- Set-up ---- */

/* Up to the first step. */
static void read_head(const char *path)
{
	static char line[LINE_MAX_OCTETS];
	FILE *file = fopen(path, "r");

	if (!file)
		fail("the transcript can't be opened");
	policy_init(&world.policy);
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (*line == '\0' || *line == '#')
			continue;
		if (strchr("CS@!?", *line))
			break;
		if (!policy_read(&world.policy, line))
			fail(line);
	}
	fclose(file);
}

static void set_up(const char *certificate, const char *key, const char *client_ca)
{
	struct smtp_server_options options = SMTP_SERVER_OPTIONS_INIT;
	struct smtp_listener_options listener = SMTP_LISTENER_OPTIONS_INIT;
	uint16_t port;

	begin_scene();
	world.handler = world.scene.handler;
	world.handler.connect = on_connect;
	world.handler.disconnect = on_disconnect;
	options.loops = 1;
	listener.address = "127.0.0.1:0";
	listener.session = world.policy.options;
	listener.session.hostname = world.policy.hostname;
	listener.implicit_tls = world.policy.options.tls_active;
	listener.certificate_file = certificate;
	listener.key_file = key;
	listener.client_ca_file = client_ca;
	listener.handler = &world.handler;
	listener.user = &world.scene;
	if (smtp_server_new(&world.server, &options) != 0)
		fail("no server");
	if (smtp_server_listen(world.server, &listener, &port) != 0)
		fail(smtp_server_problem(world.server));
	printf("%u\n", (unsigned)port);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	pthread_t questions, answers;
	int err;

	if (argc != 2 && argc != 4 && argc != 5)
		fail("usage: transcript_server FILE [CERTIFICATE KEY [CLIENT_CA]]");
	read_head(argv[1]);
	if (pipe(world.answers) != 0)
		fail("no pipe");
	set_up(argc > 2 ? argv[2] : NULL, argc > 2 ? argv[3] : NULL, argc > 4 ? argv[4] : NULL);
	if (pthread_create(&answers, NULL, give_answers, NULL) != 0)
		fail("no thread");
	if (pthread_create(&questions, NULL, take_questions, NULL) != 0)
		fail("no thread");
	err = smtp_server_run(world.server);
	(void)close(world.answers[1]);
	(void)pthread_join(answers, NULL);
	(void)pthread_join(questions, NULL);
	(void)close(world.answers[0]);
	smtp_server_free(world.server);
	scene_release(&world.scene);
	return err == 0 ? 0 : 1;
}
