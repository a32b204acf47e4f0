/* SPDX-License-Identifier: ISC */
/* The client session against a scripted server in memory. Each row is a dialogue: "C: " lines must be
 * what the client says, "S: " lines are what the server says, "S~ " the same without CRLF, "TLS" is
 * a handshake, "CLOSE" the end of the connection. Each row is played whole, byte by byte and with
 * the server's octets cut in two at every position; lines and events must be the same.
 */
#include <stdio.h>

#include <smtp/client_session.h>

#include "testing.h"

enum { LOG_MAX = 8192, SENT_MAX = 1 << 20 };

/* What the owner of the session wants of it. */
struct want {
	enum smtp_client_tls tls; /* 0: none */
	const char *user, *password;
	unsigned mechanism;
	bool auth_without_tls;
	bool no_pipelining;
	unsigned mails;  /* one behind the other */
	size_t recipients;
	const char *content;
	uint64_t content_bytes;
	bool body_8bitmime;
	bool null_sender;
	size_t read_size;   /* octets given at once; 0: all */
	int read_error;     /* after the content, instead of its end */
	const char *command, *second_command;
	bool stay; /* no QUIT */
	bool quit_at_once;
};

struct row {
	const char *name;
	struct want want;
	const char *script;
	const char *log;
};

struct play {
	const struct want *want;
	struct smtp_client_session *session;
	const char *name;
	char log[LOG_MAX];
	size_t log_n;
	uint8_t sent[SENT_MAX]; /* by the client, not yet looked at by the server */
	size_t sent_n;
	unsigned mails_left;
	unsigned commands_left;
	size_t content_at;
	unsigned ended; /* calls of failed and finished */
	size_t chunk;   /* octets of output taken at once; 0: all */
	size_t cut;     /* position of the server's octets at which a piece ends; 0: none */
	size_t fed;     /* octets of the server so far */
	uint64_t now;
	bool closed;
};

static struct play play;

static const char *const secrets[] = {
	"s3cret", "czNjcmV0", "AGpvZQBzM2NyZXQ=", "AGpvZQBz",
};

/* --- the owner ------------------------------------------------------------------------------- */

static void note(struct play *p, const char *text)
{
	size_t n = strlen(text);

	ck_assert_uint_lt(p->log_n + n + 1, LOG_MAX);
	memcpy(p->log + p->log_n, text, n);
	p->log_n += n;
	p->log[p->log_n] = '\0';
}

static void note_reply(struct play *p, const char *event, enum smtp_client_step step, long index,
		       const struct smtp_reply *reply)
{
	char text[512];
	char enhanced[32] = "";

	if (!reply) {
		snprintf(text, sizeof(text), "%s %s\n", event, smtp_client_step_str(step));
		note(p, text);
		return;
	}
	if (reply->enhanced.class_)
		snprintf(enhanced, sizeof(enhanced), " %u.%u.%u", reply->enhanced.class_,
			 reply->enhanced.subject, reply->enhanced.detail);
	snprintf(text, sizeof(text), "%s %s", event, smtp_client_step_str(step));
	note(p, text);
	if (index >= 0) {
		snprintf(text, sizeof(text), " %ld", index);
		note(p, text);
	}
	snprintf(text, sizeof(text), " %u%s %.*s\n", reply->code, enhanced, (int)reply->text.n,
		 reply->text.n ? (const char *)reply->text.p : "");
	note(p, text);
}

static int read_content(void *user, uint8_t *out, size_t cap, size_t *n)
{
	struct play *p = user;
	const char *content = p->want->content ? p->want->content : "Hello\r\n";
	size_t left = strlen(content) - p->content_at;

	*n = p->want->read_size && p->want->read_size < cap ? p->want->read_size : cap;
	if (*n > left)
		*n = left;
	if (*n == 0)
		return p->want->read_error;
	memcpy(out, content + p->content_at, *n);
	p->content_at += *n;
	return 0;
}

static struct smtp_path path_of(const char *text)
{
	struct smtp_path path;
	size_t used;

	ck_assert_int_eq(smtp_path_parse(&path, smtp_span_of(text), 0, &used), 0);
	return path;
}

static int send_mail(struct play *p)
{
	struct smtp_client_transaction txn = SMTP_CLIENT_TRANSACTION_INIT;
	struct smtp_path from = path_of(p->want->null_sender ? "<>" : "<a@b.org>");
	size_t count = p->want->recipients ? p->want->recipients : 1;
	struct smtp_path *to = calloc(count, sizeof(*to));
	int err;

	ck_assert_ptr_nonnull(to);
	for (size_t i = 0; i < count; i++) {
		char text[64];

		snprintf(text, sizeof(text), "<r%zu@x.org>", i);
		to[i] = path_of(text);
	}
	txn.reverse_path = &from;
	txn.forward_paths = to;
	txn.forward_path_count = count;
	txn.content_bytes = p->want->content_bytes;
	txn.body_8bitmime = p->want->body_8bitmime;
	txn.content = (struct smtp_client_content){ read_content, p };
	p->content_at = 0;
	err = smtp_client_session_mail(p->session, &txn);
	free(to);
	return err;
}

static void next_work(struct play *p)
{
	const char *command = p->commands_left == 2 ? p->want->command : p->want->second_command;

	if (p->mails_left > 0) {
		p->mails_left--;
		ck_assert_int_eq(send_mail(p), 0);
		ck_assert_int_eq(send_mail(p), SMTP_ESTATE);
	} else if (p->commands_left > 0 && command) {
		p->commands_left--;
		ck_assert_int_eq(smtp_client_session_command(p->session, smtp_span_of(command)),
				 0);
	} else if (!p->want->stay) {
		smtp_client_session_quit(p->session);
	}
}

static void on_ready(struct smtp_client_session *s, void *user)
{
	struct play *p = user;

	ck_assert_uint_eq(p->ended, 0);
	ck_assert(!p->want->user || smtp_client_session_has_tls(s) ||
		  p->want->auth_without_tls);
	note(p, "ready\n");
	next_work(p);
}

static void on_reply(struct smtp_client_session *s, enum smtp_client_step step, size_t index,
		     const struct smtp_reply *reply, void *user)
{
	struct play *p = user;

	(void)s;
	ck_assert_uint_eq(p->ended, 0);
	if (step == SMTP_STEP_RCPT)
		note_reply(p, "reply", step, (long)index, reply);
	else if (step == SMTP_STEP_AUTH || step >= SMTP_STEP_MAIL)
		note_reply(p, "reply", step, -1, reply);
	if (step == SMTP_STEP_COMMAND)
		next_work(p);
}

static void on_done(struct smtp_client_session *s, enum smtp_client_step step,
		    const struct smtp_reply *final, void *user)
{
	struct play *p = user;

	(void)s;
	ck_assert_uint_eq(p->ended, 0);
	note_reply(p, "done", step, -1, final);
	if (smtp_client_session_wants(s) & SMTP_WANTS_CLOSE)
		ck_assert_int_eq(send_mail(p), SMTP_ESTATE);
	else
		next_work(p);
}

static void on_failed(struct smtp_client_session *s, int error, enum smtp_client_step step,
		      const struct smtp_reply *reply, void *user)
{
	struct play *p = user;
	char text[64];

	(void)s;
	ck_assert_uint_eq(p->ended++, 0);
	snprintf(text, sizeof(text), "failed %d", error);
	note_reply(p, text, step, -1, reply);
}

static void on_finished(struct smtp_client_session *s, void *user)
{
	struct play *p = user;

	(void)s;
	ck_assert_uint_eq(p->ended++, 0);
	note(p, "finished\n");
}

static void on_trace(struct smtp_client_session *s, bool from_server, struct smtp_span line,
		     void *user)
{
	struct play *p = user;

	(void)s;
	(void)from_server;
	for (size_t i = 0; i < sizeof(secrets) / sizeof(*secrets); i++)
		ck_assert_msg(!line.n || !memmem(line.p, line.n, secrets[i], strlen(secrets[i])),
			      "%s: a secret in the trace: %.*s", p->name, (int)line.n,
			      (const char *)line.p);
	for (size_t i = 0; i < line.n; i++)
		ck_assert_msg(line.p[i] >= ' ' && line.p[i] != 127, "%s: control", p->name);
}

static const struct smtp_client_session_handler handler = {
	.size = sizeof(handler),
	.ready = on_ready,
	.reply = on_reply,
	.transaction_done = on_done,
	.failed = on_failed,
	.finished = on_finished,
	.trace = on_trace,
};

/* --- the driver ------------------------------------------------------------------------------ */

static struct smtp_client_session_options options_of(const struct want *want)
{
	struct smtp_client_session_options options = SMTP_CLIENT_SESSION_OPTIONS_INIT;

	options.helo_name = "me.example";
	options.tls = want->tls;
	options.user = want->user;
	options.password = want->password;
	options.mechanism = want->mechanism;
	options.auth_without_tls = want->auth_without_tls;
	options.pipelining = !want->no_pipelining;
	return options;
}

static void begin(struct play *p, const struct row *row, size_t chunk, size_t cut)
{
	struct smtp_client_session_options options = options_of(&row->want);

	memset(p, 0, sizeof(*p));
	p->want = &row->want;
	p->name = row->name;
	p->mails_left = row->want.mails;
	p->commands_left = row->want.second_command ? 2 : row->want.command ? 2 : 0;
	p->chunk = chunk;
	p->cut = cut;
	ck_assert_int_eq(smtp_client_session_new(&p->session, &options, &handler, p), 0);
	ck_assert_uint_eq(smtp_client_session_wants(p->session), 0);
	if (row->want.tls == SMTP_CLIENT_TLS_IMPLICIT)
		ck_assert_int_eq(smtp_client_session_tls_started(p->session, "TLSv1.3", 0), 0);
	smtp_client_session_start(p->session, p->now);
	if (row->want.quit_at_once)
		smtp_client_session_quit(p->session);
}

static void pump(struct play *p)
{
	while (smtp_client_session_wants(p->session) & SMTP_WANTS_WRITE) {
		struct smtp_span out = smtp_client_session_output(p->session, p->now);
		size_t n = p->chunk && p->chunk < out.n ? p->chunk : out.n;

		ck_assert_uint_le(out.n, 20480);
		ck_assert_uint_lt(p->sent_n + n, SENT_MAX);
		if (n > 0)
			memcpy(p->sent + p->sent_n, out.p, n);
		p->sent_n += n;
		smtp_client_session_sent(p->session, n, p->now);
	}
}

static void feed_piece(struct play *p, const uint8_t *octets, size_t n)
{
	uint8_t *copy = guarded(octets, n);
	size_t taken = 0;

	/* What it returns shows in `failed` and in wants(). */
	if (smtp_client_session_feed(p->session, copy, n, p->now, &taken) == 0)
		ck_assert_uint_eq(taken, n);
	guarded_free(copy, n);
	p->fed += n;
}

/* Whole, octet by octet, or cut at one position of all that the server says. */
static void feed(struct play *p, const uint8_t *octets, size_t n)
{
	if (p->chunk) {
		for (size_t i = 0; i < n; i += p->chunk)
			feed_piece(p, octets + i, n - i < p->chunk ? n - i : p->chunk);
	} else if (p->cut > p->fed && p->cut < p->fed + n) {
		size_t first = p->cut - p->fed;

		feed_piece(p, octets, first);
		feed_piece(p, octets + first, n - first);
	} else {
		feed_piece(p, octets, n);
	}
	pump(p);
}

/* --- the server ------------------------------------------------------------------------------ */

static void expect_line(struct play *p, const char *line, size_t n)
{
	const uint8_t *end = memmem(p->sent, p->sent_n, "\r\n", 2);
	size_t len = end ? (size_t)(end - p->sent) : 0;

	ck_assert_msg(end != NULL, "%s: client says nothing, not \"%.*s\"; events:\n%s", p->name,
		      (int)n, line, p->log);
	ck_assert_msg(len == n && memcmp(p->sent, line, n) == 0,
		      "%s: client says \"%.*s\", not \"%.*s\"", p->name, (int)len,
		      (const char *)p->sent, (int)n, line);
	p->sent_n -= len + 2;
	memmove(p->sent, p->sent + len + 2, p->sent_n);
}

struct piece {
	uint8_t octets[70000];
	size_t n;
};

static void flush_piece(struct play *p, struct piece *piece)
{
	if (piece->n > 0)
		feed(p, piece->octets, piece->n);
	piece->n = 0;
}

static void say(struct piece *piece, const char *line, size_t n, bool crlf)
{
	ck_assert_uint_lt(piece->n + n + 2, sizeof(piece->octets));
	memcpy(piece->octets + piece->n, line, n);
	piece->n += n;
	if (crlf) {
		memcpy(piece->octets + piece->n, "\r\n", 2);
		piece->n += 2;
	}
}

static void act(struct play *p, struct piece *piece, const char *line, size_t n)
{
	if (n >= 3 && memcmp(line, "S: ", 3) == 0) {
		say(piece, line + 3, n - 3, true);
		return;
	}
	if (n >= 3 && memcmp(line, "S~ ", 3) == 0) {
		say(piece, line + 3, n - 3, false);
		return;
	}
	flush_piece(p, piece);
	if (n >= 3 && memcmp(line, "C: ", 3) == 0) {
		expect_line(p, line + 3, n - 3);
	} else if (n == 3 && memcmp(line, "TLS", 3) == 0) {
		ck_assert_uint_eq(smtp_client_session_wants(p->session), SMTP_WANTS_TLS);
		ck_assert_int_eq(smtp_client_session_tls_started(p->session, "TLSv1.3", p->now),
				 0);
		pump(p);
	} else {
		ck_assert_msg(n == 5 && memcmp(line, "CLOSE", 5) == 0, "%s: script", p->name);
		smtp_client_session_peer_closed(p->session);
		p->closed = true;
	}
}

static void run(struct play *p, const struct row *row, size_t chunk, size_t cut)
{
	static struct piece piece;
	const char *at = row->script;

	piece.n = 0;
	begin(p, row, chunk, cut);
	pump(p);
	while (*at) {
		const char *end = strchr(at, '\n');

		act(p, &piece, at, (size_t)(end - at));
		at = end + 1;
	}
	flush_piece(p, &piece);
	ck_assert_msg(p->sent_n == 0, "%s: client also says: %.*s", p->name, (int)p->sent_n,
		      (const char *)p->sent);
	ck_assert_msg(strcmp(p->log, row->log) == 0, "%s: events\n%snot\n%s", p->name, p->log,
		      row->log);
	if (p->ended) {
		size_t taken;

		ck_assert_uint_eq(smtp_client_session_wants(p->session), SMTP_WANTS_CLOSE);
		ck_assert_uint_eq(smtp_client_session_deadline(p->session), UINT64_MAX);
		smtp_client_session_fail(p->session, SMTP_EIO);
		smtp_client_session_peer_closed(p->session);
		smtp_client_session_tick(p->session, UINT64_MAX);
		(void)!smtp_client_session_feed(p->session, "250 ok\r\n", 8, p->now, &taken);
		ck_assert_int_eq(send_mail(p), SMTP_ESTATE);
	}
	smtp_client_session_free(p->session);
}

static void run_every_way(const struct row *row)
{
	size_t octets;

	run(&play, row, 0, 0);
	octets = play.fed;
	run(&play, row, 1, 0);
	run(&play, row, 7, 0);
	for (size_t cut = 1; cut < octets; cut++)
		run(&play, row, 0, cut);
}

#define HELLO "S: 220 hi\nC: EHLO me.example\n"
#define PLAIN_EHLO HELLO "S: 250 hi\n"
#define PIPE_EHLO HELLO "S: 250-hi\nS: 250 PIPELINING\n"
#define BYE "C: QUIT\nS: 221 2.0.0 bye\n"
#define BYE_LOG "reply QUIT 221 2.0.0 bye\nfinished\n"

#include "client_session_rows.h"

START_TEST(dialogue)
{
	run_every_way(&rows[_i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client_session");
	TCase *tc = tcase_create("dialogues");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, dialogue, 0, ROWS(rows));
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
