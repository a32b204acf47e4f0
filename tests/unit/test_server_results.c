/* SPDX-License-Identifier: ISC */
/* The replies after the end of data that a handler sets for single recipients: when it may, which ones,
 * and that as many and as long as can be still fit.
 */
#include <smtp/server_session.h>

#include "tests/unit/testing.h"

enum { MANY = 1000 };

struct scene {
	bool lmtp;
	bool pending;
	unsigned tried; /* calls of `end` */
	void (*at_end)(struct smtp_server_session *s);
	struct smtp_server_session *s;
	char out[MANY * 600];
	size_t n;
};

static enum smtp_verdict on_rcpt(struct smtp_server_session *s,
				 const struct smtp_rcpt_request *request, void *user)
{
	struct smtp_reply reply = smtp_reply_of(250, "2.1.5", "ok");

	(void)request;
	(void)user;
	ck_assert_int_eq(smtp_server_session_recipient_reply(s, 0, &reply), SMTP_ESTATE);
	return SMTP_ACCEPT;
}

static enum smtp_verdict on_end(struct smtp_server_session *s, void *user)
{
	struct scene *scene = user;

	scene->tried++;
	if (scene->pending)
		return SMTP_PENDING;
	if (scene->at_end)
		scene->at_end(s);
	return SMTP_ACCEPT;
}

static const struct smtp_server_session_handler handler = {
	.size = sizeof(handler), .rcpt = on_rcpt, .end = on_end,
};

static void begin(struct scene *scene)
{
	struct smtp_server_session_options options = SMTP_SERVER_SESSION_OPTIONS_INIT;

	options.hostname = "mx.example.org";
	options.lmtp = scene->lmtp;
	ck_assert_int_eq(smtp_server_session_new(&scene->s, &options, &handler, scene), 0);
	ck_assert_int_eq(smtp_server_session_start(scene->s, 0), 0);
}

/* What is said goes to scene->out. */
static void feed(struct scene *scene, const char *text)
{
	size_t n = strlen(text), taken = 0;
	struct smtp_span out;

	ck_assert_int_eq(smtp_server_session_feed(scene->s, text, n, 0, &taken), 0);
	ck_assert_uint_eq(taken, n);
	out = smtp_server_session_output(scene->s);
	ck_assert_uint_lt(scene->n + out.n, sizeof(scene->out));
	if (out.n > 0)
		memcpy(scene->out + scene->n, out.p, out.n);
	scene->n += out.n;
	scene->out[scene->n] = '\0';
	smtp_server_session_sent(scene->s, out.n);
}

/* Up to the end of data; then only what is said to it is in scene->out. */
static void send_message(struct scene *scene, unsigned recipients)
{
	feed(scene, scene->lmtp ? "LHLO a.example\r\n" : "EHLO a.example\r\n");
	feed(scene, "MAIL FROM:<a@b.example>\r\n");
	for (unsigned i = 0; i < recipients; i++)
		feed(scene, "RCPT TO:<c@d.example>\r\n");
	feed(scene, "DATA\r\n");
	scene->n = 0;
	feed(scene, ".\r\n");
}

static unsigned lines(const struct scene *scene)
{
	unsigned count = 0;

	for (size_t i = 0; i < scene->n; i++)
		count += scene->out[i] == '\n';
	return count;
}

/* --- what may be set ---------------------------------------------------------------------------- */

static void set_wrong(struct smtp_server_session *s)
{
	static const unsigned codes[] = { 0, 99, 199, 354, 421, 600 };
	struct smtp_reply reply = smtp_reply_of(250, "2.1.5", "ok");

	ck_assert_int_eq(smtp_server_session_recipient_reply(s, 2, &reply), SMTP_EINVAL);
	ck_assert_int_eq(smtp_server_session_recipient_reply(s, SIZE_MAX, &reply), SMTP_EINVAL);
	ck_assert_int_eq(smtp_server_session_recipient_reply(s, 2, NULL), SMTP_EINVAL);
	for (int i = 0; i < ROWS(codes); i++) {
		reply.code = codes[i];
		ck_assert_int_eq(smtp_server_session_recipient_reply(s, 0, &reply), SMTP_EINVAL);
	}
	ck_assert_int_eq(smtp_server_session_recipient_reply(s, 1, NULL), 0);
}

static void set_and_clear(struct smtp_server_session *s)
{
	struct smtp_reply first = smtp_reply_of(550, "5.1.1", "first");
	struct smtp_reply second = smtp_reply_of(450, "4.2.0", "second\nand more");

	ck_assert_int_eq(smtp_server_session_recipient_reply(s, 0, &first), 0);
	ck_assert_int_eq(smtp_server_session_recipient_reply(s, 0, NULL), 0);
	ck_assert_int_eq(smtp_server_session_recipient_reply(s, 1, &first), 0);
	ck_assert_int_eq(smtp_server_session_recipient_reply(s, 1, &second), 0);
}

static const struct {
	const char *name;
	bool lmtp;
	void (*at_end)(struct smtp_server_session *s);
	const char *out;
} rows[] = {
	{ "nothing that may be set", true, set_wrong,
	  "250 2.0.0 message accepted\r\n250 2.0.0 message accepted\r\n" },
	{ "set and cleared, set twice", true, set_and_clear,
	  "250 2.0.0 message accepted\r\n450 4.2.0 second\r\n" },
	{ "checked in SMTP too", false, set_wrong, "250 2.0.0 message accepted\r\n" },
	{ "forgotten in SMTP", false, set_and_clear, "250 2.0.0 message accepted\r\n" },
};

START_TEST(setting)
{
	static struct scene scene;

	scene = (struct scene){ .lmtp = rows[_i].lmtp, .at_end = rows[_i].at_end };
	begin(&scene);
	send_message(&scene, 2);
	ck_assert_msg(strcmp(scene.out, rows[_i].out) == 0, "%s: %s", rows[_i].name, scene.out);
	ck_assert_int_eq(smtp_server_session_recipient_reply(scene.s, 0, NULL), SMTP_ESTATE);
	smtp_server_session_free(scene.s);
}
END_TEST

START_TEST(setting_while_pending)
{
	static struct scene scene;
	struct smtp_reply full = smtp_reply_of(452, "4.2.2", "full");

	scene = (struct scene){ .lmtp = true, .pending = true };
	begin(&scene);
	send_message(&scene, 2);
	ck_assert_uint_eq(scene.n, 0);
	ck_assert_int_eq(smtp_server_session_recipient_reply(scene.s, 1, &full), 0);
	ck_assert_int_eq(smtp_server_session_reply(scene.s, NULL), 0);
	feed(&scene, "");
	ck_assert_str_eq(scene.out, "250 2.0.0 message accepted\r\n452 4.2.2 full\r\n");
	smtp_server_session_free(scene.s);
}
END_TEST

/* Results that were set go with a session that ends before they are said. */
START_TEST(session_ends)
{
	static struct scene scene;
	struct smtp_reply full = smtp_reply_of(452, "4.2.2", "full");

	scene = (struct scene){ .lmtp = true, .pending = true };
	begin(&scene);
	send_message(&scene, 2);
	ck_assert_int_eq(smtp_server_session_recipient_reply(scene.s, 1, &full), 0);
	smtp_server_session_free(scene.s);
}
END_TEST

/* --- many --------------------------------------------------------------------------------------- */

static char long_text[3000];

static void fill_long_text(char separator)
{
	memset(long_text, 'x', sizeof(long_text) - 1);
	for (size_t i = 29; i < sizeof(long_text) - 1; i += 30)
		long_text[i] = separator;
}

static void set_all(struct smtp_server_session *s)
{
	struct smtp_reply reply = smtp_reply_of(550, "5.2.0", long_text);

	for (size_t i = 0; i < MANY; i++)
		ck_assert_int_eq(smtp_server_session_recipient_reply(s, i, &reply), 0);
}

static void refuse_all(struct smtp_server_session *s)
{
	struct smtp_reply reply = smtp_reply_of(451, "4.3.0", long_text);

	ck_assert_int_eq(smtp_server_session_reply(s, &reply), 0);
}

START_TEST(many_recipients)
{
	static struct scene scene;

	fill_long_text(_i & 1 ? '\n' : ' ');
	scene = (struct scene){ .lmtp = true, .at_end = _i & 2 ? refuse_all : set_all };
	begin(&scene);
	send_message(&scene, MANY);
	ck_assert_uint_eq(lines(&scene), MANY);
	ck_assert(smtp_server_session_wants(scene.s) == SMTP_WANTS_READ);
	scene.n = 0;
	feed(&scene, "NOOP\r\n");
	ck_assert_str_eq(scene.out, "250 2.0.0 ok\r\n");
	smtp_server_session_free(scene.s);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("server_results");
	TCase *tc = tcase_create("server_results");

	tcase_add_loop_test(tc, setting, 0, ROWS(rows));
	tcase_add_test(tc, setting_while_pending);
	tcase_add_test(tc, session_ends);
	tcase_add_loop_test(tc, many_recipients, 0, 4);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
