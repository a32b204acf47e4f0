/* SPDX-License-Identifier: ISC */
/* Chunks where a transcript does not reach: how much memory a long one takes, what waits while a verdict
 * is pending, what close() and time do in the midst, and that octets of chunks are never traced.
 */
#include <smtp/server_session.h>

#include "libsmtp/core/server_session_private.h"

#include "tests/unit/testing.h"

struct scene {
	struct smtp_server_session *s;
	uint64_t now_ms;
	bool pending;   /* content says PENDING */
	uint64_t octets;
	unsigned runs, messages, resets, secrets;
	enum smtp_disconnect_reason reason;
	char last[128]; /* the last line that was said */
};

static enum smtp_verdict on_rcpt(struct smtp_server_session *s,
				 const struct smtp_rcpt_request *request, void *user)
{
	(void)s;
	(void)request;
	(void)user;
	return SMTP_ACCEPT;
}

static enum smtp_verdict on_content(struct smtp_server_session *s, struct smtp_span octets,
				    void *user)
{
	struct scene *scene = user;

	(void)s;
	scene->octets += octets.n;
	scene->runs++;
	return scene->pending ? SMTP_PENDING : SMTP_ACCEPT;
}

static enum smtp_verdict on_end(struct smtp_server_session *s, void *user)
{
	struct scene *scene = user;

	(void)s;
	scene->messages++;
	return SMTP_ACCEPT;
}

static void on_reset(struct smtp_server_session *s, void *user)
{
	struct scene *scene = user;

	(void)s;
	scene->resets++;
}

static void on_disconnect(struct smtp_server_session *s, enum smtp_disconnect_reason reason,
			  void *user)
{
	struct scene *scene = user;

	(void)s;
	scene->reason = reason;
}

static void on_trace(struct smtp_server_session *s, bool from_client, struct smtp_span line,
		     void *user)
{
	struct scene *scene = user;
	size_t n = line.n < sizeof(scene->last) ? line.n : sizeof(scene->last) - 1;

	(void)s;
	scene->secrets += line.n > 0 && memmem(line.p, line.n, "xx", 2) != NULL;
	if (from_client)
		return;
	memcpy(scene->last, line.p, n);
	scene->last[n] = '\0';
}

static const struct smtp_server_session_handler handler = {
	.size = sizeof(handler), .rcpt = on_rcpt, .content = on_content, .end = on_end,
	.reset = on_reset, .disconnect = on_disconnect, .trace = on_trace,
};

static size_t offer(struct scene *scene, const void *octets, size_t n)
{
	size_t taken = 0;

	ck_assert_int_eq(smtp_server_session_feed(scene->s, octets, n, scene->now_ms, &taken), 0);
	smtp_server_session_sent(scene->s, smtp_server_session_output(scene->s).n);
	return taken;
}

static void feed(struct scene *scene, const char *text)
{
	ck_assert_uint_eq(offer(scene, text, strlen(text)), strlen(text));
}

static void begin(struct scene *scene, uint32_t verdict_timeout_ms)
{
	struct smtp_server_session_options options = SMTP_SERVER_SESSION_OPTIONS_INIT;

	options.hostname = "mx.example.org";
	options.extensions |= SMTP_SERVER_CHUNKING | SMTP_SERVER_BINARYMIME;
	options.max_message_bytes = UINT64_C(1) << 40;
	options.verdict_timeout_ms = verdict_timeout_ms;
	*scene = (struct scene){ .now_ms = 1000 };
	ck_assert_int_eq(smtp_server_session_new(&scene->s, &options, &handler, scene), 0);
	ck_assert_int_eq(smtp_server_session_start(scene->s, scene->now_ms), 0);
	feed(scene, "EHLO a.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n");
}

static size_t memory(const struct smtp_server_session *s)
{
	return s->out.cap + s->line.buf.cap + s->args.held.cap + s->run.reply.text.cap;
}

/* --- memory ------------------------------------------------------------------------------------- */

/* 200 MB in one chunk, wanted and not. */
START_TEST(long_chunk)
{
	enum { PIECE = 100000, PIECES = 2000 };
	struct scene scene;
	uint8_t *piece = malloc(PIECE);

	ck_assert(piece != NULL);
	memset(piece, 'x', PIECE);
	for (size_t i = 98; i < PIECE; i += 100)
		memcpy(piece + i, "\r\n", 2);
	begin(&scene, 0);
	if (_i == 1)
		feed(&scene, "BDAT 3 BAD\r\nxxx");
	feed(&scene, "BDAT 200000000 LAST\r\n");
	for (int i = 0; i < PIECES; i++) {
		ck_assert_uint_eq(offer(&scene, piece, PIECE), PIECE);
		ck_assert_uint_lt(memory(scene.s), 4096);
	}
	ck_assert_uint_eq(scene.octets, _i == 1 ? 0 : 200000000);
	ck_assert_uint_eq(scene.messages, _i == 1 ? 0 : 1);
	ck_assert_uint_eq(scene.secrets, 0);
	feed(&scene, "NOOP\r\n");
	ck_assert_str_eq(scene.last, "250 2.0.0 ok");
	smtp_server_session_free(scene.s);
	free(piece);
}
END_TEST

/* Empty chunks by the thousand, none read by the client: input stops before output grows. */
START_TEST(client_that_never_reads)
{
	static char wire[20000 * 8];
	struct scene scene;
	size_t taken = 0;

	for (size_t i = 0; i < sizeof(wire); i += 8)
		memcpy(wire + i, "BDAT 0\r\n", 8);
	begin(&scene, 0);
	ck_assert_int_eq(smtp_server_session_feed(scene.s, wire, sizeof(wire), 1000, &taken), 0);
	ck_assert_uint_lt(taken, sizeof(wire));
	ck_assert_uint_eq(smtp_server_session_wants(scene.s), SMTP_WANTS_WRITE);
	ck_assert_uint_lt(smtp_server_session_output(scene.s).n, 40000);
	smtp_server_session_sent(scene.s, smtp_server_session_output(scene.s).n);
	ck_assert_uint_eq(smtp_server_session_wants(scene.s), SMTP_WANTS_READ);
	smtp_server_session_free(scene.s);
}
END_TEST

/* --- verdicts that come later -------------------------------------------------------------------- */

START_TEST(pending_stops_reading)
{
	struct scene scene;
	size_t left;

	begin(&scene, 0);
	scene.pending = true;
	feed(&scene, "BDAT 6\r\nxx");
	ck_assert_uint_eq(smtp_server_session_wants(scene.s), SMTP_WANTS_VERDICT);
	ck_assert_uint_eq(offer(&scene, "xxxxNOOP\r\n", 10), 0);
	scene.now_ms += 900000; /* of no concern to the client's time */
	ck_assert_uint_eq(smtp_server_session_deadline(scene.s), UINT64_MAX);
	ck_assert_int_eq(smtp_server_session_reply(scene.s, NULL), 0);
	smtp_server_session_tick(scene.s, scene.now_ms);
	ck_assert_uint_eq(smtp_server_session_wants(scene.s), SMTP_WANTS_READ);
	left = offer(&scene, "xxxxNOOP\r\n", 10);
	ck_assert_uint_eq(left, 4);
	ck_assert_int_eq(smtp_server_session_reply(scene.s, NULL), 0);
	ck_assert_str_eq(scene.last, "250 2.0.0 6 octets received");
	feed(&scene, "NOOP\r\n");
	ck_assert_str_eq(scene.last, "250 2.0.0 ok");
	ck_assert_uint_eq(scene.octets, 6);
	smtp_server_session_free(scene.s);
}
END_TEST

/* Refused while it was pending: what is left of the chunk is read off. */
START_TEST(pending_refused)
{
	struct smtp_reply spam = smtp_reply_of(554, "5.7.1", "spam");
	struct scene scene;

	begin(&scene, 0);
	scene.pending = true;
	feed(&scene, "BDAT 6 LAST\r\nxx");
	ck_assert_int_eq(smtp_server_session_reply(scene.s, &spam), 0);
	ck_assert_uint_eq(scene.resets, 1);
	feed(&scene, "QUIT");
	ck_assert_str_eq(scene.last, "554 5.7.1 spam");
	ck_assert(!smtp_server_session_in_transaction(scene.s));
	feed(&scene, "NOOP\r\n");
	ck_assert_str_eq(scene.last, "250 2.0.0 ok");
	ck_assert_uint_eq(scene.octets, 2);
	smtp_server_session_free(scene.s);
}
END_TEST

/* Nobody decides in time: the message is refused for now, and what is left of it read off. */
START_TEST(verdict_is_overdue)
{
	struct scene scene;

	begin(&scene, 300000);
	scene.pending = true;
	feed(&scene, _i == 0 ? "BDAT 6\r\nxx" : "BDAT 6 LAST\r\nxx");
	ck_assert_uint_eq(smtp_server_session_deadline(scene.s), scene.now_ms + 300000);
	scene.now_ms += 300000;
	smtp_server_session_tick(scene.s, scene.now_ms);
	ck_assert_uint_eq(scene.resets, 1);
	feed(&scene, "QUIT");
	ck_assert_int_eq(strncmp(scene.last, "451 4.3.0", 9), 0);
	if (_i == 0)
		feed(&scene, "BDAT 4 LAST\r\nQUIT");
	ck_assert_int_eq(strncmp(scene.last, "451 4.3.0", 9), 0);
	feed(&scene, "MAIL FROM:<>\r\n");
	ck_assert_str_eq(scene.last, "250 2.1.0 sender ok");
	ck_assert_uint_eq(scene.octets, 2);
	smtp_server_session_free(scene.s);
}
END_TEST

/* --- close --------------------------------------------------------------------------------------- */

/* In a chunk the reply waits for its end, between two it does not; each ends the transaction. */
static const struct {
	const char *name, *before, *after;
	bool at_once;
} closings[] = {
	{ "in a chunk", "BDAT 6\r\nxx", "QUIT", false },
	{ "in the last chunk", "BDAT 6 LAST\r\nxx", "QUIT", false },
	{ "between two", "BDAT 2\r\nxx", "", true },
	{ "in one that is read off", "BDAT 6 BAD\r\nxx", "QUIT", false },
	{ "after one that was read off", "BDAT 2 BAD\r\nxx", "", true },
};

START_TEST(closing)
{
	struct smtp_reply bye = smtp_reply_of(421, "4.3.2", "going down");
	struct scene scene;

	begin(&scene, 0);
	feed(&scene, closings[_i].before);
	smtp_server_session_close(scene.s, SMTP_DISCONNECT_SHUTDOWN, &bye);
	ck_assert_msg(!!(smtp_server_session_wants(scene.s) & SMTP_WANTS_CLOSE) ==
			      closings[_i].at_once, "%s", closings[_i].name);
	feed(&scene, closings[_i].after);
	ck_assert_uint_eq(smtp_server_session_wants(scene.s), SMTP_WANTS_CLOSE);
	ck_assert_str_eq(scene.last, "421 4.3.2 going down");
	ck_assert_int_eq(scene.reason, SMTP_DISCONNECT_SHUTDOWN);
	ck_assert_uint_eq(scene.resets, 1);
	ck_assert_uint_eq(scene.messages, 0);
	smtp_server_session_free(scene.s);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("server_bdat");
	TCase *tc = tcase_create("server_bdat");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, long_chunk, 0, 2);
	tcase_add_test(tc, client_that_never_reads);
	tcase_add_test(tc, pending_stops_reading);
	tcase_add_test(tc, pending_refused);
	tcase_add_loop_test(tc, verdict_is_overdue, 0, 2);
	tcase_add_loop_test(tc, closing, 0, ROWS(closings));
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
