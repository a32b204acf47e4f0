/* SPDX-License-Identifier: ISC */
/* The client session against a scripted server in memory. Each dialogue of client_session_rows.h is
 * played whole, byte by byte, in sevens and with the server's octets cut in two at every position;
 * lines and events must be the same. Then times, early replies, wrong calls.
 */
#include <stdio.h>

#include <smtp/client_session.h>

#include "client_session_rows.h"
#include "client_extension_rows.h"
#include "testing.h"

/* Cheaper than ck_assert(), which notes each place it comes by. */
#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			ck_abort_msg("%s: %s", play.name, #condition);                             \
	} while (0)

enum { LOG_MAX = 8192, SENT_MAX = 1 << 20 };

struct play {
	const struct want *want;
	struct smtp_client_session *session;
	const char *name;
	char log[LOG_MAX];
	size_t log_n;
	uint8_t *sent; /* by the client, not yet looked at by the server */
	size_t sent_n;
	unsigned mails_left;
	unsigned commands_left;
	bool starttls_due;
	size_t content_at;
	unsigned ended; /* calls of failed and finished */
	size_t chunk;   /* octets of output taken at once; 0: all */
	size_t cut;     /* position of the server's octets at which a piece ends; 0: none */
	size_t fed;     /* octets of the server so far */
	uint64_t now;
	bool closed;
};

static struct play play;
static uint8_t sent[SENT_MAX];

static const char *const secrets[] = {
	"s3cret", "czNjcmV0", "AGpvZQBzM2NyZXQ=", "AGpvZQBz",
};

/* --- the owner ------------------------------------------------------------------------------- */

static void note(struct play *p, const char *text)
{
	size_t n = strlen(text);

	MUST(p->log_n + n + 1 < LOG_MAX);
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

	ck_assert_int_eq(smtp_path_parse(&path, smtp_span_of(text), SMTP_ADDRESS_UTF8, &used), 0);
	return path;
}

static int rewind_content(void *user)
{
	struct play *p = user;

	p->content_at = 0;
	return p->want->rewind_fails ? SMTP_EIO : 0;
}

static int send_mail(struct play *p)
{
	struct smtp_client_transaction txn = SMTP_CLIENT_TRANSACTION_INIT;
	size_t count = p->want->recipients ? p->want->recipients : WANT_PATHS_MAX;
	struct smtp_path from, *to = calloc(count, sizeof(*to));
	struct smtp_client_recipient *recipients = calloc(count, sizeof(*recipients));
	int err;

	MUST(to && recipients);
	fill_transaction(&txn, p->want, &from, to, recipients);
	txn.content = (struct smtp_client_content){ .read = read_content, .user = p };
	if (p->want->rewinds || p->want->rewind_fails)
		txn.content.rewind = rewind_content;
	p->content_at = 0;
	err = smtp_client_session_mail(p->session, &txn);
	free(to);
	free(recipients);
	return err;
}

static void next_work(struct play *p)
{
	const char *command = p->commands_left == 2 ? p->want->command : p->want->second_command;

	if (p->starttls_due) {
		p->starttls_due = false;
		ck_assert_int_eq(smtp_client_session_starttls(p->session), 0);
		ck_assert_int_eq(smtp_client_session_starttls(p->session), SMTP_ESTATE);
	} else if (p->mails_left > 0) {
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

	MUST(p->ended == 0);
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
	MUST(p->ended == 0);
	if (step == SMTP_STEP_RCPT || step == SMTP_STEP_BDAT ||
	    (step == SMTP_STEP_END && p->want->lmtp))
		note_reply(p, "reply", step, (long)index, reply);
	else if (step == SMTP_STEP_AUTH || step >= SMTP_STEP_MAIL)
		note_reply(p, "reply", step, -1, reply);
	if (step == SMTP_STEP_COMMAND)
		next_work(p);
	if (step == SMTP_STEP_STARTTLS && p->want->starttls)
		note_reply(p, "reply", step, -1, reply);
}

static void on_recipient(struct smtp_client_session *s, enum smtp_client_step step, size_t index,
			 const struct smtp_reply *reply, void *user)
{
	struct play *p = user;

	(void)s;
	MUST(p->ended == 0);
	if (p->want->results)
		note_reply(p, "result", step, (long)index, reply);
}

static void on_done(struct smtp_client_session *s, enum smtp_client_step step,
		    const struct smtp_reply *final, void *user)
{
	struct play *p = user;

	(void)s;
	MUST(p->ended == 0);
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
	MUST(p->ended++ == 0);
	snprintf(text, sizeof(text), "failed %d", error);
	note_reply(p, text, step, -1, reply);
}

static void on_finished(struct smtp_client_session *s, void *user)
{
	struct play *p = user;

	(void)s;
	MUST(p->ended++ == 0);
	note(p, "finished\n");
}

static void on_trace(struct smtp_client_session *s, bool from_server, struct smtp_span line,
		     void *user)
{
	(void)s;
	(void)user;
	(void)from_server;
	for (size_t i = 0; i < sizeof(secrets) / sizeof(*secrets); i++)
		MUST(!line.n || !memmem(line.p, line.n, secrets[i], strlen(secrets[i])));
	for (size_t i = 0; i < line.n; i++)
		MUST(line.p[i] >= ' ' && line.p[i] != 127);
}

static const struct smtp_client_session_handler handler = {
	.size = sizeof(handler),
	.ready = on_ready,
	.reply = on_reply,
	.transaction_done = on_done,
	.failed = on_failed,
	.finished = on_finished,
	.trace = on_trace,
	.recipient_done = on_recipient,
};

/* --- the driver ------------------------------------------------------------------------------ */

static void begin(struct play *p, const struct row *row, size_t chunk, size_t cut)
{
	struct smtp_client_session_options options = options_of(&row->want);

	memset(p, 0, sizeof(*p));
	p->sent = sent;
	p->want = &row->want;
	p->name = row->name;
	p->mails_left = row->want.mails;
	p->starttls_due = row->want.starttls;
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

		MUST(out.n <= 20480);
		MUST(p->sent_n + n < SENT_MAX);
		if (n > 0)
			memcpy(p->sent + p->sent_n, out.p, n);
		p->sent_n += n;
		smtp_client_session_sent(p->session, n, p->now);
	}
}

static void feed_piece(struct play *p, const uint8_t *octets, size_t n)
{
	/* A guard page for each of the many cuts would cost most of the time. */
	uint8_t *copy = p->cut ? malloc(n) : guarded(octets, n);
	size_t taken = 0;

	MUST(copy);
	memcpy(copy, octets, n);

	/* What it returns shows in `failed` and in wants(). */
	if (smtp_client_session_feed(p->session, copy, n, p->now, &taken) == 0)
		MUST(taken == n);
	if (p->cut)
		free(copy);
	else
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

	if (!end)
		ck_abort_msg("%s: client says nothing, not \"%.*s\"; events:\n%s", p->name, (int)n,
			     line, p->log);
	if (len != n || memcmp(p->sent, line, n) != 0)
		ck_abort_msg("%s: client says \"%.*s\", not \"%.*s\"", p->name, (int)len,
			     (const char *)p->sent, (int)n, line);
	p->sent_n -= len + 2;
	memmove(p->sent, p->sent + len + 2, p->sent_n);
}

/* Octets that need not be lines, with \r and \n as escapes. */
static void expect_raw(struct play *p, const char *text, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++, at++) {
		char c = text[i];

		if (c == '\\') {
			i++;
			c = text[i] == 'r' ? '\r' : '\n';
		}
		MUST(at < p->sent_n && p->sent[at] == (uint8_t)c);
	}
	p->sent_n -= at;
	memmove(p->sent, p->sent + at, p->sent_n);
}

struct piece {
	uint8_t octets[70000];
	size_t n;
};

/* The server speaks when it has read all that the client says, so that running ahead shows. */
static void flush_piece(struct play *p, struct piece *piece)
{
	if (piece->n > 0 && p->sent_n > 0)
		ck_abort_msg("%s: client runs ahead: %.*s", p->name, (int)p->sent_n,
			     (const char *)p->sent);
	if (piece->n > 0)
		feed(p, piece->octets, piece->n);
	piece->n = 0;
}

static void say(struct piece *piece, const char *line, size_t n, bool crlf)
{
	MUST(piece->n + n + 2 < sizeof(piece->octets));
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
	} else if (n >= 4 && memcmp(line, "RAW ", 4) == 0) {
		expect_raw(p, line + 4, n - 4);
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


START_TEST(dialogue)
{
	run_every_way(&rows[_i]);
}
END_TEST

START_TEST(extension)
{
	run_every_way(&extension_rows[_i]);
}
END_TEST

/* --- time ------------------------------------------------------------------------------------ */

/* Says what `script` says, then waits: the deadline must come `after` ms behind the last event. */
static const struct {
	const char *name;
	struct want want;
	const char *script;
	uint64_t after;
	const char *log; /* of the tick only */
} waits[] = {
	{ "greeting", { 0 }, "", 1000, "failed -7 greeting\n" },
	{ "half a greeting", { 0 }, "S~ 220 h\n", 1000, "failed -7 greeting\n" },
	{ "EHLO", { 0 }, HELLO, 2000, "failed -7 EHLO\n" },
	{ "EHLO, half a reply", { 0 }, HELLO "S: 250-hi\nS~ 250\n", 2000, "failed -7 EHLO\n" },
	{ "STARTTLS", { .tls = SMTP_CLIENT_TLS_REQUIRED },
	  HELLO "S: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\n", 2000, "failed -7 STARTTLS\n" },
	{ "handshake", { .tls = SMTP_CLIENT_TLS_REQUIRED },
	  HELLO "S: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n", 2000,
	  "failed -7 TLS handshake\n" },
	{ "AUTH", { JOE, .auth_without_tls = true },
	  HELLO "S: 250-hi\nS: 250 AUTH LOGIN\nC: AUTH LOGIN\n", 2000, "failed -7 AUTH\n" },
	{ "MAIL", { .mails = 1 }, MAILED, 2000, "failed -7 MAIL\n" },
	{ "RCPT", { .mails = 1 }, RCPTED, 2000, "failed -7 RCPT\n" },
	{ "DATA", { .mails = 1 }, DATAED, 3000, "failed -7 DATA\n" },
	{ "group, second reply", { .mails = 1, .recipients = 2 }, GROUP "S: 250 ok\n", 2000,
	  "failed -7 RCPT\n" },
	{ "group, last reply", { .mails = 1, .recipients = 2 },
	  GROUP "S: 250 ok\nS: 250 ok\nS: 250 ok\n", 3000, "failed -7 DATA\n" },
	{ "end of data", { .mails = 1 }, SENT, 5000, "failed -7 end of data\n" },
	{ "RSET", { .mails = 1 }, DATAED "S: 550 no\nC: RSET\n", 2000,
	  "done DATA 550 no\nfailed -7 RSET\n" },
	{ "command", { .command = "NOOP" }, PLAIN_EHLO "C: NOOP\n", 2000, "failed -7 command\n" },
	{ "QUIT", { 0 }, PLAIN_EHLO "C: QUIT\n", 6000, "finished\n" },
	{ "idle", { .stay = true }, PLAIN_EHLO, 0, "" },
};

static struct smtp_client_session_options short_times(const struct want *want)
{
	struct smtp_client_session_options options = options_of(want);

	options.greeting_timeout_ms = 1000;
	options.command_timeout_ms = 2000;
	options.data_timeout_ms = 3000;
	options.block_timeout_ms = 4000;
	options.end_timeout_ms = 5000;
	options.quit_timeout_ms = 6000;
	return options;
}

static void begin_timed(struct play *p, const struct row *row)
{
	struct smtp_client_session_options options = short_times(&row->want);

	begin(p, row, 0, 0);
	smtp_client_session_free(p->session);
	ck_assert_int_eq(smtp_client_session_new(&p->session, &options, &handler, p), 0);
	p->now = 500;
	smtp_client_session_start(p->session, p->now);
}

static void play_script(struct play *p, const char *at)
{
	static struct piece piece;

	piece.n = 0;
	pump(p);
	while (*at) {
		const char *end = strchr(at, '\n');

		/* Each line 7 ms behind the former, the reply counts as the last event. */
		if (at[0] == 'S' && at[1] == ':')
			p->now += 7;
		act(p, &piece, at, (size_t)(end - at));
		flush_piece(p, &piece);
		at = end + 1;
	}
}

START_TEST(timeout)
{
	const struct row row = { waits[_i].name, waits[_i].want, waits[_i].script, NULL };
	uint64_t deadline;

	begin_timed(&play, &row);
	play_script(&play, row.script);
	deadline = smtp_client_session_deadline(play.session);
	if (waits[_i].after == 0) {
		ck_assert_uint_eq(deadline, UINT64_MAX);
	} else {
		/* Half a reply is no reply: a server that dribbles gains no time. */
		bool half = strstr(waits[_i].name, "half") && strstr(row.script, "S: 250-hi");

		ck_assert_uint_eq(deadline, play.now + waits[_i].after - (half ? 7 : 0));
	}
	play.log_n = 0;
	play.log[0] = '\0';
	smtp_client_session_tick(play.session, deadline - 1);
	ck_assert_str_eq(play.log, "");
	smtp_client_session_tick(play.session, deadline);
	ck_assert_str_eq(play.log, waits[_i].log);
	smtp_client_session_free(play.session);
}
END_TEST

/* Work that is given long after the last event must not be late already. */
START_TEST(idle_starts_no_clock)
{
	const struct row row = { "idle", { .stay = true }, NULL, NULL };

	begin_timed(&play, &row);
	play_script(&play, PLAIN_EHLO);
	ck_assert(smtp_client_session_is_idle(play.session));
	play.now += 1000000;
	ck_assert_int_eq(send_mail(&play), 0);
	ck_assert(!smtp_client_session_is_idle(play.session));
	smtp_client_session_tick(play.session, play.now);
	ck_assert_uint_eq(play.ended, 0);
	pump(&play);
	ck_assert_uint_eq(smtp_client_session_deadline(play.session), play.now + 2000);
	smtp_client_session_free(play.session);
}
END_TEST

/* A QUIT for politeness does not keep the driver. */
START_TEST(polite_quit_has_a_deadline)
{
	const struct row row = { "quit", { 0 }, NULL, NULL };
	size_t taken;

	begin_timed(&play, &row);
	ck_assert_int_eq(smtp_client_session_feed(play.session, "554 no\r\n", 8, 600, &taken), 0);
	ck_assert_uint_eq(smtp_client_session_wants(play.session),
			  SMTP_WANTS_WRITE | SMTP_WANTS_CLOSE);
	ck_assert_uint_eq(smtp_client_session_deadline(play.session), 6600);
	smtp_client_session_tick(play.session, 6600);
	ck_assert_uint_eq(smtp_client_session_wants(play.session), SMTP_WANTS_CLOSE);
	ck_assert_uint_eq(smtp_client_session_deadline(play.session), UINT64_MAX);
	ck_assert_uint_eq(play.ended, 1);
	smtp_client_session_free(play.session);
}
END_TEST

/* --- content on its way ---------------------------------------------------------------------- */

/* Comes to the middle of content: 354 was said, some of the first output has left. */
static void begin_content(struct play *p, const struct row *row)
{
	struct smtp_span out;
	size_t taken;

	begin_timed(p, row);
	play_script(p, DATAED);
	ck_assert_int_eq(smtp_client_session_feed(p->session, "354 go\r\n", 8, p->now, &taken), 0);
	out = smtp_client_session_output(p->session, p->now);
	ck_assert_uint_ge(out.n, 10);
	p->now += 100;
	smtp_client_session_sent(p->session, 4, p->now);
	ck_assert(smtp_client_session_wants(p->session) & SMTP_WANTS_WRITE);
}

static const struct {
	const char *name, *said, *log;
} early[] = {
	{ "421", "421 4.3.2 bye\r\n", "reply DATA 354 go\nfailed -22 content 421 4.3.2 bye\n" },
	{ "552", "552 too much\r\n", "reply DATA 354 go\nfailed -4 content 552 too much\n" },
	{ "250", "250 ok\r\n", "reply DATA 354 go\nfailed -4 content 250 ok\n" },
	{ "close", NULL, "reply DATA 354 go\nfailed -8 content\n" },
};

/* After it nothing more leaves, above all not the end of data. */
START_TEST(early_end_in_content)
{
	const struct row row = { "early", { .mails = 1 }, NULL, NULL };
	size_t taken;

	begin_content(&play, &row);
	if (early[_i].said)
		(void)!smtp_client_session_feed(play.session, early[_i].said,
						strlen(early[_i].said), play.now, &taken);
	else
		smtp_client_session_peer_closed(play.session);
	ck_assert_msg(strstr(play.log, early[_i].log) != NULL, "%s", play.log);
	ck_assert_uint_eq(smtp_client_session_wants(play.session), SMTP_WANTS_CLOSE);
	ck_assert_uint_eq(smtp_client_session_output(play.session, play.now).n, 0);
	smtp_client_session_free(play.session);
}
END_TEST

START_TEST(content_that_gets_stuck)
{
	const struct row row = { "stuck", { .mails = 1 }, NULL, NULL };

	begin_content(&play, &row);
	ck_assert_uint_eq(smtp_client_session_deadline(play.session), play.now + 4000);
	play.now += 3999;
	smtp_client_session_sent(play.session, 1, play.now);
	ck_assert_uint_eq(smtp_client_session_deadline(play.session), play.now + 4000);
	smtp_client_session_tick(play.session, play.now + 4000);
	ck_assert_ptr_nonnull(strstr(play.log, "failed -7 content\n"));
	ck_assert_uint_eq(smtp_client_session_output(play.session, play.now).n, 0);
	smtp_client_session_free(play.session);
}
END_TEST

/* A large message: never more than a bounded part of it in memory, and it arrives whole. */
START_TEST(large_content)
{
	static char content[60000];
	const struct want want = { .mails = 1, .content = content, .read_size = (size_t)_i };
	const struct row row = { "large", want, NULL, NULL };
	size_t at = 0, taken;
	size_t n;

	for (size_t i = 0; i + 1 < sizeof(content); i++)
		content[i] = i % 71 == 69 ? '\r' : i % 71 == 70 ? '\n' : i % 71 == 0 ? '.' : 'x';
	content[sizeof(content) - 3] = '\r';
	content[sizeof(content) - 2] = '\n';
	begin(&play, &row, 0, 0);
	play_script(&play, DATAED);
	feed(&play, (const uint8_t *)"354 go\r\n", 8);
	n = play.sent_n;
	ck_assert_uint_gt(n, sizeof(content));
	for (size_t i = 0; i < n && at + 1 < sizeof(content); i++) {
		if (play.sent[i] == '.' && (i == 0 || play.sent[i - 1] == '\n'))
			i++;
		MUST(play.sent[i] == (uint8_t)content[at]);
		at++;
	}
	ck_assert_mem_eq(play.sent + n - 5, "\r\n.\r\n", 5);
	ck_assert_int_eq(smtp_client_session_feed(play.session, "250 ok\r\n", 8, 0, &taken), 0);
	ck_assert_ptr_nonnull(strstr(play.log, "done end of data 250 ok\n"));
	smtp_client_session_free(play.session);
}
END_TEST

/* Takes one chunk off what was sent; appends its octets. Returns true if it was the last. */
static bool take_chunk(struct play *p, char *content, size_t *n)
{
	unsigned long size;
	char last[8] = "";
	const uint8_t *end = memmem(p->sent, p->sent_n, "\r\n", 2);
	size_t head;

	MUST(end);
	head = (size_t)(end - p->sent) + 2;
	MUST(sscanf((const char *)p->sent, "BDAT %lu%7[ LAST]", &size, last) >= 1);
	MUST(size <= 16384 && p->sent_n >= head + size);
	memcpy(content + *n, p->sent + head, size);
	*n += size;
	p->sent_n -= head + size;
	memmove(p->sent, p->sent + head + size, p->sent_n);
	return strcmp(last, " LAST") == 0;
}

static void fill_lines(char *content, size_t size)
{
	for (size_t i = 0; i + 1 < size; i++)
		content[i] = i % 71 == 69 ? '\r' : i % 71 == 70 ? '\n' : i % 71 == 0 ? '.' : 'x';
	content[size - 3] = '\r';
	content[size - 2] = '\n';
}

/* Chunk follows chunk without a wait; each has its answer, and the whole arrives. */
START_TEST(large_content_in_chunks)
{
	static char content[60000], taken[70000];
	const struct want want = { .mails = 1, .content = content, .read_size = (size_t)_i,
				   .chunking = true };
	const struct row row = { "chunks", want, NULL, NULL };
	size_t n = 0, chunks = 1;

	fill_lines(content, sizeof(content));
	begin(&play, &row, _i == 0 ? 0 : 7, 0);
	play_script(&play, CHUNKS "C: MAIL FROM:<a@b.org>\nC: RCPT TO:<r0@x.org>\nS: 250 ok\n");
	ck_assert_uint_eq(play.sent_n, 0);
	play_script(&play, "S: 250 ok\n");
	while (!take_chunk(&play, taken, &n))
		chunks++;
	ck_assert_uint_eq(play.sent_n, 0);
	ck_assert_uint_eq(chunks, 4);
	ck_assert_uint_eq(n, sizeof(content) - 1);
	ck_assert_mem_eq(taken, content, n);
	play_script(&play, "S: 250 0\nS: 250 1\nS: 250 2\n");
	ck_assert_ptr_nonnull(strstr(play.log, "reply BDAT 2 250 2\n"));
	ck_assert_ptr_null(strstr(play.log, "done"));
	play_script(&play, "S: 250 taken\nC: QUIT\n");
	ck_assert_ptr_nonnull(strstr(play.log, "done end of data 250 taken\n"));
	smtp_client_session_free(play.session);
}
END_TEST

/* The chunk on its way is sent to its end, for the server counts octets; then nothing but RSET. */
START_TEST(chunk_refused_in_the_midst)
{
	static char content[60000];
	const struct want want = { .mails = 2, .content = content, .chunking = true };
	const struct row row = { "refused", want, NULL, NULL };
	char taken[16384];
	struct smtp_span out;
	size_t n = 0;

	fill_lines(content, sizeof(content));
	begin(&play, &row, 0, 0);
	play_script(&play, CHUNKS "C: MAIL FROM:<a@b.org>\nC: RCPT TO:<r0@x.org>\nS: 250 ok\n");
	feed_piece(&play, (const uint8_t *)"250 ok\r\n", 8);
	for (int i = 0; i < 2; i++) {
		/* All of the first chunk, then a part of the second. */
		out = smtp_client_session_output(play.session, play.now);
		n = i == 0 ? out.n : 100;
		memcpy(play.sent + play.sent_n, out.p, n);
		play.sent_n += n;
		smtp_client_session_sent(play.session, n, play.now);
	}
	feed_piece(&play, (const uint8_t *)"552 5.3.4 no\r\n", 14);
	pump(&play);
	n = 0;
	ck_assert(!take_chunk(&play, taken, &n));
	n = 0;
	ck_assert(!take_chunk(&play, taken, &n));
	ck_assert_uint_eq(play.sent_n, 0);
	ck_assert_ptr_null(strstr(play.log, "done"));
	play_script(&play, "S: 503 no\nC: RSET\nS: 250 ok\nC: MAIL FROM:<a@b.org>\n");
	ck_assert_ptr_nonnull(strstr(play.log, "reply BDAT 0 552 5.3.4 no\nreply RSET 250 ok\n"
					       "done BDAT 552 5.3.4 no\n"));
	smtp_client_session_free(play.session);
}
END_TEST

/* Many recipients: the group leaves in parts of bounded size, and each gets its answer. */
START_TEST(many_recipients)
{
	enum { MANY = 3000 };
	const struct row row = { "many", { .mails = 1, .recipients = MANY }, NULL, NULL };
	char expected[64];
	const uint8_t *at;

	begin(&play, &row, 0, 0);
	play_script(&play, PIPE_EHLO "C: MAIL FROM:<a@b.org>\n");
	feed(&play, (const uint8_t *)"250 ok\r\n", 8);
	at = play.sent;
	for (int i = 0; i < MANY; i++) {
		snprintf(expected, sizeof(expected), "RCPT TO:<r%d@x.org>\r\n", i);
		MUST(memcmp(at, expected, strlen(expected)) == 0);
		at += strlen(expected);
		play.log_n = 0;
		feed(&play, (const uint8_t *)(i % 2 ? "250 ok\r\n" : "550 no\r\n"), 8);
		snprintf(expected, sizeof(expected), "reply RCPT %d %d", i, i % 2 ? 250 : 550);
		MUST(strstr(play.log, expected));
	}
	ck_assert_mem_eq(at, "DATA\r\n", 6);
	ck_assert_ptr_eq(at + 6, play.sent + play.sent_n);
	smtp_client_session_free(play.session);
}
END_TEST

/* After a refused MAIL the rest of the group stays at home. */
START_TEST(refused_group_is_cut_short)
{
	const struct row row = { "cut", { .mails = 1, .recipients = 3000 }, NULL, NULL };
	struct smtp_span out;

	begin(&play, &row, 0, 0);
	play_script(&play, HELLO);
	(void)!smtp_client_session_feed(play.session, "250-a\r\n250 PIPELINING\r\n", 23, 0,
					&(size_t){ 0 });
	out = smtp_client_session_output(play.session, 0);
	ck_assert_uint_lt(out.n, 17000);
	memcpy(sent, out.p, play.sent_n = out.n);
	smtp_client_session_sent(play.session, out.n, 0);
	feed_piece(&play, (const uint8_t *)"550 no\r\n", 8);
	pump(&play);
	ck_assert_uint_eq(play.sent_n, out.n);
	for (size_t i = 0; i < play.sent_n; i++) {
		if (sent[i] != '\n' || i + 1 == play.sent_n)
			continue;
		MUST(!strstr(play.log, "done"));
		feed_piece(&play, (const uint8_t *)"503 no\r\n", 8);
	}
	ck_assert_str_eq(play.log, "ready\nreply MAIL 550 no\ndone MAIL 550 no\n");
	smtp_client_session_free(play.session);
}
END_TEST

/* A command that has not left the output can't be answered. */
START_TEST(answers_to_what_was_not_sent)
{
	const struct row row = { "unsent", { .mails = 1 }, NULL, NULL };
	size_t taken;

	begin(&play, &row, 0, 0);
	play_script(&play, HELLO);
	(void)!smtp_client_session_feed(play.session, "250-a\r\n250 PIPELINING\r\n", 23, 0, &taken);
	(void)smtp_client_session_output(play.session, 0);
	smtp_client_session_sent(play.session, strlen("MAIL FROM:<a@b.org>\r\nRCPT TO"), 0);
	ck_assert_int_eq(smtp_client_session_feed(play.session, "250 a\r\n250 b\r\n", 14, 0, &taken),
			 SMTP_EPROTO);
	ck_assert_str_eq(play.log, "ready\nreply MAIL 250 a\nfailed -4 RCPT 250 b\n");
	smtp_client_session_free(play.session);
}
END_TEST

/* --- calls ----------------------------------------------------------------------------------- */

static int try_options(const struct smtp_client_session_options *options)
{
	struct smtp_client_session *s = NULL;
	int err = smtp_client_session_new(&s, options, &handler, &play);

	ck_assert(err ? s == NULL : s != NULL);
	smtp_client_session_free(s);
	return err;
}

START_TEST(options)
{
	struct {
		struct smtp_client_session_options known;
		uint64_t tail;
	} longer = { .known = SMTP_CLIENT_SESSION_OPTIONS_INIT };
	struct smtp_client_session_options o;
	char word[1100];

	memset(word, 'a', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	smtp_client_session_options_init(&o);
	ck_assert_int_eq(try_options(&o), SMTP_EINVAL);
	o.helo_name = "a b";
	ck_assert_int_eq(try_options(&o), SMTP_EINVAL);
	o.helo_name = "a\r\nMAIL";
	ck_assert_int_eq(try_options(&o), SMTP_EINVAL);
	o.helo_name = word;
	ck_assert_int_eq(try_options(&o), SMTP_EINVAL);
	o.helo_name = "[127.0.0.1]";
	ck_assert_int_eq(try_options(&o), 0);
	o.user = "joe";
	ck_assert_int_eq(try_options(&o), SMTP_EINVAL);
	o.password = word;
	ck_assert_int_eq(try_options(&o), SMTP_EINVAL);
	o.password = "";
	ck_assert_int_eq(try_options(&o), 0);
	o.user = "";
	ck_assert_int_eq(try_options(&o), SMTP_EINVAL);
	o.user = NULL;
	o.mechanism = SMTP_MECHANISM_PLAIN | SMTP_MECHANISM_LOGIN;
	ck_assert_int_eq(try_options(&o), SMTP_EINVAL);
	o.mechanism = 0;
	o.tls = (enum smtp_client_tls)17;
	ck_assert_int_eq(try_options(&o), SMTP_EINVAL);
	o.tls = SMTP_CLIENT_TLS_NONE;
	o.size = 4;
	ck_assert_int_eq(try_options(&o), SMTP_EINVAL);
	o.size = offsetof(struct smtp_client_session_options, tls);
	o.tls = (enum smtp_client_tls)17; /* behind the end: not looked at */
	ck_assert_int_eq(try_options(&o), 0);
	longer.known.helo_name = "me.example";
	longer.known.size = sizeof(longer);
	ck_assert_int_eq(try_options(&longer.known), 0);
	longer.tail = 1;
	ck_assert_int_eq(try_options(&longer.known), SMTP_EINVAL);
}
END_TEST

/* A password of such a length does not fit into one command line (RFC 4954, 4). */
START_TEST(long_password)
{
	static char password[601];
	const struct want want = { .user = "joe", .password = password, .auth_without_tls = true };
	const struct row row = { "long password", want, NULL, NULL };

	memset(password, 'p', sizeof(password) - 1);
	begin(&play, &row, 0, 0);
	play_script(&play, HELLO "S: 250-hi\nS: 250 AUTH PLAIN\nC: AUTH PLAIN\nS: 334 \n");
	ck_assert_uint_eq(play.sent_n, (1 + 3 + 1 + 600 + 2) / 3 * 4 + 2);
	ck_assert_mem_eq(play.sent, "AGpvZQBwcHBw", 12);
	smtp_client_session_free(play.session);
}
END_TEST

static const struct smtp_path sender = { .mailbox = { "a", "b.org" } };

static const struct {
	const char *name;
	struct smtp_mailbox mailbox;
	const char *line; /* NULL: refused */
} forward_paths[] = {
	{ "plain", { "joe", "x.org" }, "RCPT TO:<joe@x.org>\r\n" },
	{ "quoted", { "a b", "x.org" }, "RCPT TO:<\"a b\"@x.org>\r\n" },
	{ "literal", { "joe", "[127.0.0.1]" }, "RCPT TO:<joe@[127.0.0.1]>\r\n" },
	{ "bare postmaster", { "postmaster", "" }, "RCPT TO:<postmaster>\r\n" },
	{ "null", { "", "" }, NULL },
	{ "no domain", { "joe", "" }, NULL },
	{ "empty local part", { "", "x.org" }, "RCPT TO:<\"\"@x.org>\r\n" },
	{ "local part not UTF-8", { "j\xf6", "x.org" }, NULL },
	{ "domain not UTF-8", { "joe", "x\xf6.org" }, NULL },
	{ "line end in the local part", { "a\r\nDATA", "x.org" }, NULL },
	{ "line end in the domain", { "a", "x.org>\r\nDATA" }, NULL },
	{ "bracket in the domain", { "a", "x.org> SIZE=1" }, NULL },
};

START_TEST(forward_path)
{
	struct smtp_path path = { forward_paths[_i].mailbox };
	struct smtp_client_transaction txn = SMTP_CLIENT_TRANSACTION_INIT;
	const struct row row = { "path", { .stay = true }, NULL, NULL };
	const char *line = forward_paths[_i].line;

	begin(&play, &row, 0, 0);
	play_script(&play, PIPE_EHLO);
	txn.reverse_path = &sender;
	txn.forward_paths = &path;
	txn.forward_path_count = 1;
	txn.content.read = read_content;
	ck_assert_int_eq(smtp_client_session_mail(play.session, &txn), line ? 0 : SMTP_EINVAL);
	pump(&play);
	if (line)
		ck_assert_ptr_nonnull(memmem(play.sent, play.sent_n, line, strlen(line)));
	else
		ck_assert_uint_eq(play.sent_n, 0);
	smtp_client_session_free(play.session);
}
END_TEST

START_TEST(wrong_transactions)
{
	struct smtp_path path = sender, unended = sender, bare = { { "postmaster", "" } };
	struct smtp_client_transaction txn = SMTP_CLIENT_TRANSACTION_INIT;
	const struct row row = { "wrong", { .stay = true }, NULL, NULL };

	begin(&play, &row, 0, 0);
	play_script(&play, PLAIN_EHLO);
	memset(unended.mailbox.domain, 'a', sizeof(unended.mailbox.domain));
	ck_assert_int_eq(smtp_client_session_mail(play.session, NULL), SMTP_EINVAL);
	ck_assert_int_eq(smtp_client_session_mail(play.session, &txn), SMTP_EINVAL);
	txn.reverse_path = &path;
	ck_assert_int_eq(smtp_client_session_mail(play.session, &txn), SMTP_EINVAL);
	txn.forward_paths = &path;
	ck_assert_int_eq(smtp_client_session_mail(play.session, &txn), SMTP_EINVAL);
	txn.forward_path_count = 1;
	ck_assert_int_eq(smtp_client_session_mail(play.session, &txn), SMTP_EINVAL);
	txn.content.read = read_content;
	txn.reverse_path = &bare;
	ck_assert_int_eq(smtp_client_session_mail(play.session, &txn), SMTP_EINVAL);
	txn.reverse_path = &unended;
	ck_assert_int_eq(smtp_client_session_mail(play.session, &txn), SMTP_EINVAL);
	txn.reverse_path = &path;
	txn.size = 3;
	ck_assert_int_eq(smtp_client_session_mail(play.session, &txn), SMTP_EINVAL);
	txn.size = sizeof(txn);
	ck_assert(smtp_client_session_is_idle(play.session));
	smtp_client_session_quit(play.session);
	ck_assert(!smtp_client_session_is_idle(play.session));
	ck_assert_int_eq(smtp_client_session_mail(play.session, &txn), SMTP_ESTATE);
	ck_assert_int_eq(smtp_client_session_command(play.session, smtp_span_of("NOOP")),
			 SMTP_ESTATE);
	smtp_client_session_free(play.session);
}
END_TEST

static const struct {
	const char *line;
	int err;
} commands[] = {
	{ "NOOP", 0 },
	{ "VRFY joe", 0 },
	{ "", SMTP_EINVAL },
	{ " NOOP", SMTP_EINVAL },
	{ "NOOP\r\nQUIT", SMTP_EINVAL },
	{ "NOOP\n", SMTP_EINVAL },
	{ "NOOP\x1b", SMTP_EINVAL },
	{ "data", SMTP_EINVAL },
	{ "DATA ", SMTP_EINVAL },
	{ "BDAT 5 LAST", SMTP_EINVAL },
	{ "StartTLS", SMTP_EINVAL },
};

START_TEST(raw_commands)
{
	const struct row row = { "raw", { .stay = true }, NULL, NULL };
	static const char nul[] = "NOOP\0x";
	static char endless[2048];

	begin(&play, &row, 0, 0);
	play_script(&play, PLAIN_EHLO);
	memset(endless, 'A', sizeof(endless));
	ck_assert_int_eq(smtp_client_session_command(
				 play.session, (struct smtp_span){ (const uint8_t *)nul, 6 }),
			 SMTP_EINVAL);
	ck_assert_int_eq(smtp_client_session_command(play.session,
						     (struct smtp_span){ (uint8_t *)endless,
									 2047 }),
			 SMTP_ETOOLONG);
	ck_assert_int_eq(smtp_client_session_command(play.session,
						     smtp_span_of(commands[_i].line)),
			 commands[_i].err);
	pump(&play);
	ck_assert_uint_eq(play.sent_n, commands[_i].err ? 0 : strlen(commands[_i].line) + 2);
	smtp_client_session_free(play.session);
}
END_TEST

START_TEST(raw_challenge)
{
	const struct row row = { "challenge", { .stay = true }, NULL, NULL };

	begin(&play, &row, 0, 0);
	play_script(&play, PLAIN_EHLO);
	ck_assert_int_eq(smtp_client_session_command(play.session, smtp_span_of("AUTH PLAIN")), 0);
	pump(&play);
	play_script(&play, "C: AUTH PLAIN\nS: 334 \n");
	ck_assert_int_eq(smtp_client_session_command(play.session, smtp_span_of("a\r\nb")),
			 SMTP_EINVAL);
	ck_assert_int_eq(smtp_client_session_command(play.session, smtp_span_of("=")), 0);
	pump(&play);
	play_script(&play, "C: =\nS: 501 no\n");
	ck_assert_int_eq(smtp_client_session_command(play.session, smtp_span_of("=")), SMTP_EINVAL);
	smtp_client_session_free(play.session);
}
END_TEST

/* The driver's failures come with the step they belong to, and once. */
START_TEST(driver_fails)
{
	const struct row plain = { "driver", { 0 }, NULL, NULL };
	const struct row tls = { "driver", { .tls = SMTP_CLIENT_TLS_REQUIRED }, NULL, NULL };
	struct smtp_client_session_options o = options_of(&plain.want);

	begin(&play, &plain, 0, 0);
	smtp_client_session_free(play.session);
	ck_assert_int_eq(smtp_client_session_new(&play.session, &o, &handler, &play), 0);
	smtp_client_session_fail(play.session, SMTP_ECONNECT);
	ck_assert_str_eq(play.log, "failed -13 connect\n");
	smtp_client_session_start(play.session, 0);
	ck_assert_uint_eq(smtp_client_session_wants(play.session), SMTP_WANTS_CLOSE);
	smtp_client_session_free(play.session);

	begin(&play, &tls, 0, 0);
	play_script(&play, HELLO "S: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n");
	smtp_client_session_fail(play.session, SMTP_ETLS);
	ck_assert_str_eq(play.log, "failed -11 TLS handshake\n");
	ck_assert_int_eq(smtp_client_session_tls_started(play.session, "", 0), SMTP_ESTATE);
	smtp_client_session_free(play.session);

	begin(&play, &plain, 0, 0);
	play_script(&play, PLAIN_EHLO "C: QUIT\n");
	smtp_client_session_fail(play.session, SMTP_EIO);
	ck_assert_str_eq(play.log, "ready\nfinished\n");
	smtp_client_session_free(play.session);
}
END_TEST

START_TEST(implicit_tls_is_not_forgotten)
{
	const struct row row = { "implicit", { 0 }, NULL, NULL };
	struct smtp_client_session_options o = options_of(&row.want);
	size_t taken;

	begin(&play, &row, 0, 0);
	smtp_client_session_free(play.session);
	o.tls = SMTP_CLIENT_TLS_IMPLICIT;
	ck_assert_int_eq(smtp_client_session_new(&play.session, &o, &handler, &play), 0);
	ck_assert_int_eq(smtp_client_session_feed(play.session, "220 hi\r\n", 8, 0, &taken),
			 SMTP_ESTATE);
	smtp_client_session_start(play.session, 0);
	ck_assert_str_eq(play.log, "failed -11 TLS handshake\n");
	smtp_client_session_free(play.session);
}
END_TEST

/* Transactions may be given before there is a connection. */
START_TEST(work_before_start)
{
	const struct row row = { "before", { 0 }, NULL, NULL };
	struct smtp_client_session_options o = options_of(&row.want);

	begin(&play, &row, 0, 0);
	smtp_client_session_free(play.session);
	ck_assert_int_eq(smtp_client_session_new(&play.session, &o, &handler, &play), 0);
	ck_assert_int_eq(send_mail(&play), 0);
	smtp_client_session_quit(play.session);
	smtp_client_session_start(play.session, 0);
	play_script(&play, PLAIN_EHLO NEXT BYE);
	ck_assert_str_eq(play.log, "ready\n" NEXT_LOG BYE_LOG);
	smtp_client_session_free(play.session);
}
END_TEST

START_TEST(step_names)
{
	for (int i = SMTP_STEP_CONNECT; i <= SMTP_STEP_QUIT; i++)
		ck_assert_ptr_nonnull(smtp_client_step_str((enum smtp_client_step)i));
	ck_assert_str_eq(smtp_client_step_str(SMTP_STEP_END), "end of data");
	ck_assert_str_eq(smtp_client_step_str((enum smtp_client_step)99), "unknown");
}
END_TEST

/* --- misbehaving handlers -------------------------------------------------------------------- */

static void fail_in_reply(struct smtp_client_session *s, enum smtp_client_step step, size_t index,
			  const struct smtp_reply *reply, void *user)
{
	(void)step;
	(void)index;
	(void)reply;
	(void)user;
	smtp_client_session_fail(s, SMTP_ECANCELED);
}

START_TEST(handler_ends_the_session)
{
	struct smtp_client_session_handler own = { .size = sizeof(own), .reply = fail_in_reply,
						   .failed = on_failed };
	const struct row row = { "own", { 0 }, NULL, NULL };
	struct smtp_client_session_options o = options_of(&row.want);
	size_t taken;

	begin(&play, &row, 0, 0);
	smtp_client_session_free(play.session);
	ck_assert_int_eq(smtp_client_session_new(&play.session, &o, &own, &play), 0);
	smtp_client_session_start(play.session, 0);
	ck_assert_int_eq(smtp_client_session_feed(play.session, "220 a\r\n250 b\r\n", 14, 0, &taken),
			 0);
	ck_assert_str_eq(play.log, "failed -21 EHLO\n");
	ck_assert_uint_eq(smtp_client_session_wants(play.session), SMTP_WANTS_CLOSE);
	smtp_client_session_free(play.session);
}
END_TEST

static int read_too_much(void *user, uint8_t *out, size_t cap, size_t *n)
{
	(void)user;
	(void)out;
	*n = cap + 1;
	return 0;
}

static int read_and_fail(void *user, uint8_t *out, size_t cap, size_t *n)
{
	struct play *p = user;

	(void)out;
	(void)cap;
	smtp_client_session_fail(p->session, SMTP_ECANCELED);
	*n = 0;
	return 0;
}

static const struct {
	int (*read)(void *user, uint8_t *out, size_t cap, size_t *n);
	const char *log;
} sources[] = {
	{ read_too_much, DATAED_LOG "failed -1 content\n" },
	{ read_and_fail, DATAED_LOG "failed -21 content\n" },
};

START_TEST(wrong_source)
{
	struct smtp_client_transaction txn = SMTP_CLIENT_TRANSACTION_INIT;
	struct smtp_path from = path_of("<a@b.org>"), to = path_of("<r0@x.org>");
	const struct row row = { "source", { .stay = true }, NULL, NULL };

	begin(&play, &row, 0, 0);
	txn.reverse_path = &from;
	txn.forward_paths = &to;
	txn.forward_path_count = 1;
	txn.content = (struct smtp_client_content){ .read = sources[_i].read, .user = &play };
	ck_assert_int_eq(smtp_client_session_mail(play.session, &txn), 0);
	play_script(&play, DATAED "S: 354 go\n");
	ck_assert_str_eq(play.log, sources[_i].log);
	ck_assert_uint_eq(play.sent_n, 0);
	smtp_client_session_free(play.session);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client_session");
	TCase *tc = tcase_create("dialogues");
	TCase *calls = tcase_create("calls");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, extension, 0, ROWS(extension_rows));
	tcase_add_loop_test(tc, dialogue, 0, ROWS(rows));
	suite_add_tcase(suite, tc);
	tcase_set_timeout(calls, 60);
	tcase_add_loop_test(calls, timeout, 0, ROWS(waits));
	tcase_add_test(calls, idle_starts_no_clock);
	tcase_add_test(calls, polite_quit_has_a_deadline);
	tcase_add_loop_test(calls, early_end_in_content, 0, ROWS(early));
	tcase_add_test(calls, content_that_gets_stuck);
	tcase_add_loop_test(calls, large_content_in_chunks, 0, 3);
	tcase_add_test(calls, chunk_refused_in_the_midst);
	tcase_add_loop_test(calls, large_content, 0, 3);
	tcase_add_test(calls, many_recipients);
	tcase_add_test(calls, refused_group_is_cut_short);
	tcase_add_test(calls, answers_to_what_was_not_sent);
	tcase_add_test(calls, raw_challenge);
	tcase_add_test(calls, options);
	tcase_add_test(calls, long_password);
	tcase_add_loop_test(calls, forward_path, 0, ROWS(forward_paths));
	tcase_add_test(calls, wrong_transactions);
	tcase_add_loop_test(calls, raw_commands, 0, ROWS(commands));
	tcase_add_test(calls, driver_fails);
	tcase_add_test(calls, implicit_tls_is_not_forgotten);
	tcase_add_test(calls, work_before_start);
	tcase_add_test(calls, step_names);
	tcase_add_test(calls, handler_ends_the_session);
	tcase_add_loop_test(calls, wrong_source, 0, ROWS(sources));
	suite_add_tcase(suite, calls);
	return tests_run(suite);
}
