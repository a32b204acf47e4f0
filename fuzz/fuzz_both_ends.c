/* SPDX-License-Identifier: ISC */
/* A client session that sends one message twice to a server session, SMTP or LMTP, by DATA or in chunks,
 * text or binary, octets handed over in pieces of any size: what was sent arrives, each recipient hears
 * what the server's handler said of it, and both ends stay in step.
 */
#include "fuzz/fuzz.h"

#include <smtp/client_session.h>
#include <smtp/server_session.h>

#include "libsmtp/core/buf.h"

enum {
	RECIPIENTS = 3,
	TRANSACTIONS = 2,
	INPUT_MAX = 1 << 16,
	SHORT_MAX = 2048,
	LONG_PACE = 200
};

/* Bits of the first octet. */
enum {
	WITH_LMTP = 1,
	SERVER_CHUNKS = 2,
	CLIENT_CHUNKS = 4,
	WITH_BINARY = 8,
	PIPELINED = 16,
	SIZE_KNOWN = 32,
	LATE_VERDICTS = 64,
	ONE_REFUSED = 128
};

struct both {
	unsigned bits;
	struct smtp_span message;
	struct smtp_server_session *server;
	struct smtp_client_session *client;
	struct smtp_buf content;    /* as it arrived */
	unsigned arrived;           /* messages */
	unsigned done, results;     /* transactions, and recipients of the last one */
	bool finished;
	struct smtp_memory_content source;
};

/* --- the server's handler ------------------------------------------------------------------- */

static enum smtp_verdict verdict(const struct both *b)
{
	return b->bits & LATE_VERDICTS ? SMTP_PENDING : SMTP_ACCEPT;
}

static enum smtp_verdict on_mail(struct smtp_server_session *s,
				 const struct smtp_mail_request *request, void *user)
{
	struct both *b = user;

	(void)s;
	(void)request;
	smtp_buf_clear(&b->content);
	return verdict(b);
}

static enum smtp_verdict on_rcpt(struct smtp_server_session *s,
				 const struct smtp_rcpt_request *request, void *user)
{
	struct smtp_reply refusal = smtp_reply_of(550, "5.1.1", "refused");
	struct both *b = user;

	if (!(b->bits & ONE_REFUSED) || request->forward_path->mailbox.local_part[0] != '1')
		return verdict(b);
	need(smtp_server_session_reply(s, &refusal) == 0);
	return SMTP_REPLIED;
}

static enum smtp_verdict on_content(struct smtp_server_session *s, struct smtp_span octets,
				    void *user)
{
	struct both *b = user;

	(void)s;
	need(smtp_buf_append_span(&b->content, octets) == 0);
	return verdict(b);
}

/* The last recipient that was accepted has a reply of its own. */
static enum smtp_verdict on_end(struct smtp_server_session *s, void *user)
{
	struct smtp_reply full = smtp_reply_of(452, "4.2.2", "full");
	size_t last = smtp_server_session_recipient_count(s) - 1;
	struct both *b = user;

	need(last + 1 == RECIPIENTS - (b->bits & ONE_REFUSED ? 1u : 0u));
	need(smtp_server_session_recipient_reply(s, last, &full) == 0);
	b->arrived++;
	return verdict(b);
}

static const struct smtp_server_session_handler server_handler = {
	.size = sizeof(server_handler), .mail = on_mail, .rcpt = on_rcpt, .content = on_content,
	.end = on_end,
};

/* --- the client's handler ------------------------------------------------------------------- */

static void send_message(struct both *b)
{
	static const char *const names[RECIPIENTS] = { "0", "1", "2" };
	struct smtp_client_transaction txn = SMTP_CLIENT_TRANSACTION_INIT;
	struct smtp_path from = { .mailbox = { .local_part = "" } }, to[RECIPIENTS] = { 0 };

	for (size_t i = 0; i < RECIPIENTS; i++) {
		memcpy(to[i].mailbox.local_part, names[i], 2);
		memcpy(to[i].mailbox.domain, "b.example", sizeof("b.example"));
	}
	txn.reverse_path = &from;
	txn.forward_paths = to;
	txn.forward_path_count = RECIPIENTS;
	txn.content_bytes = b->bits & SIZE_KNOWN ? b->message.n : 0;
	txn.body = b->bits & WITH_BINARY ? SMTP_BODY_BINARYMIME : SMTP_BODY_8BITMIME;
	txn.content = smtp_client_content_of(&b->source, b->message);
	b->results = 0;
	need(smtp_client_session_mail(b->client, &txn) == 0);
}

static void on_ready(struct smtp_client_session *s, void *user)
{
	(void)s;
	send_message(user);
}

static void on_recipient(struct smtp_client_session *s, enum smtp_client_step step, size_t index,
			 const struct smtp_reply *reply, void *user)
{
	struct both *b = user;
	unsigned want = 250;

	(void)s;
	if (index == 1 && b->bits & ONE_REFUSED)
		want = 550;
	else if (index == RECIPIENTS - 1 && b->bits & WITH_LMTP)
		want = 452;
	need(reply->code == want && (want == 550) == (step == SMTP_STEP_RCPT));
	b->results |= 1u << index;
}

static void on_done(struct smtp_client_session *s, enum smtp_client_step step,
		    const struct smtp_reply *final, void *user)
{
	struct both *b = user;

	need(step == SMTP_STEP_END && final->code == (b->bits & WITH_LMTP ? 452u : 250u));
	need(b->results == (1u << RECIPIENTS) - 1);
	if (++b->done < TRANSACTIONS)
		send_message(b);
	else
		smtp_client_session_quit(s);
}

static void on_failed(struct smtp_client_session *s, int error, enum smtp_client_step step,
		      const struct smtp_reply *reply, void *user)
{
	(void)s;
	(void)error;
	(void)step;
	(void)reply;
	(void)user;
	need(false);
}

static void on_finished(struct smtp_client_session *s, void *user)
{
	struct both *b = user;

	(void)s;
	b->finished = true;
}

static const struct smtp_client_session_handler client_handler = {
	.size = sizeof(client_handler), .ready = on_ready, .transaction_done = on_done,
	.failed = on_failed, .finished = on_finished, .recipient_done = on_recipient,
};

/* --- between the two ------------------------------------------------------------------------ */

static void begin(struct both *b)
{
	struct smtp_server_session_options so = SMTP_SERVER_SESSION_OPTIONS_INIT;
	struct smtp_client_session_options co = SMTP_CLIENT_SESSION_OPTIONS_INIT;

	so.hostname = "mx.example.org";
	so.max_line_bytes = 0;
	so.lmtp = co.lmtp = (b->bits & WITH_LMTP) != 0;
	if (b->bits & (SERVER_CHUNKS | WITH_BINARY))
		so.extensions |= SMTP_SERVER_CHUNKING | SMTP_SERVER_BINARYMIME;
	if (!(b->bits & PIPELINED))
		so.extensions &= ~(unsigned)SMTP_SERVER_PIPELINING;
	co.helo_name = "a.example";
	co.tls = SMTP_CLIENT_TLS_NONE;
	co.chunking = (b->bits & (CLIENT_CHUNKS | WITH_BINARY)) != 0;
	smtp_buf_init(&b->content, SIZE_MAX / 2);
	need(smtp_server_session_new(&b->server, &so, &server_handler, b) == 0);
	need(smtp_client_session_new(&b->client, &co, &client_handler, b) == 0);
	need(smtp_server_session_start(b->server, 0) == 0);
	smtp_client_session_start(b->client, 0);
}

/* Some octets of what one end says to the other; 0: it says nothing that is taken now. */

static size_t to_server(struct both *b, uint8_t pace, size_t step)
{
	struct smtp_span out = smtp_client_session_output(b->client, 0);
	size_t n = out.n > 0 ? next_piece(step, out.n, pace) : 0, taken = 0;

	if (n > 0)
		need(smtp_server_session_feed(b->server, out.p, n, 0, &taken) == 0);
	if (taken > 0)
		smtp_client_session_sent(b->client, taken, 0);
	return taken;
}

static size_t to_client(struct both *b, uint8_t pace, size_t step)
{
	struct smtp_span out = smtp_server_session_output(b->server);
	size_t n = out.n > 0 ? next_piece(step, out.n, pace) : 0, taken = 0;

	if (n > 0)
		need(smtp_client_session_feed(b->client, out.p, n, 0, &taken) == 0);
	smtp_server_session_sent(b->server, taken);
	return taken;
}

static void play(struct both *b, uint8_t pace)
{
	for (size_t step = 0; !b->finished; step++) {
		size_t moved = to_server(b, pace, step) + to_client(b, pace, step);

		while (smtp_server_session_wants(b->server) & SMTP_WANTS_VERDICT) {
			need(smtp_server_session_reply(b->server, NULL) == 0);
			moved++;
		}
		need(moved > 0);
	}
}

/* --- what has to come of it ----------------------------------------------------------------- */

/* Each line end is CRLF; the last line has one, but for chunks it need not. */
static void check_content(const struct both *b)
{
	struct smtp_buf want;
	const uint8_t *p = b->message.p;

	smtp_buf_init(&want, SIZE_MAX / 2);
	for (size_t i = 0; i < b->message.n; i++) {
		bool binary = (b->bits & WITH_BINARY) != 0;

		if (!binary && (p[i] == '\r' || p[i] == '\n')) {
			i += p[i] == '\r' && i + 1 < b->message.n && p[i + 1] == '\n';
			need(smtp_buf_append_text(&want, "\r\n") == 0);
		} else {
			need(smtp_buf_append(&want, p + i, 1) == 0);
		}
	}
	if (b->content.n == want.n + 2)
		need(!(b->bits & WITH_BINARY) && smtp_buf_append_text(&want, "\r\n") == 0);
	need(smtp_span_equal(smtp_buf_span(&want), smtp_buf_span(&b->content)));
	smtp_buf_release(&want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_span input = { data, size };
	struct both b = { .bits = take_choice(&input) };
	uint8_t pace = take_choice(&input);

	if (input.n > INPUT_MAX)
		return 0;
	if (input.n > SHORT_MAX && pace > 0 && pace < LONG_PACE)
		pace = LONG_PACE; /* octet by octet it would take seconds */
	b.message = input;
	begin(&b);
	play(&b, pace);
	need(b.done == TRANSACTIONS && b.arrived == TRANSACTIONS);
	check_content(&b);
	smtp_client_session_free(b.client);
	smtp_server_session_free(b.server);
	smtp_buf_release(&b.content);
	return 0;
}
