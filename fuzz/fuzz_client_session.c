/* SPDX-License-Identifier: ISC */
/* Whole client sessions against any server. Four octets choose what the client wants, the rest is what
 * the server says, line by line; a line that begins with octet 1, 2, 3 is a timeout, the end of the
 * connection, a failure of the driver. Played with whole lines, then octet by octet: the same must
 * come of it. Checked besides: line ends and length of all that is sent, also in chunks, content as the
 * decoder reads it, one end at most, one result for each transaction and each recipient, bounded
 * memory, no secret in the trace.
 */
#include "libsmtp/core/client_session_private.h"
#include "libsmtp/core/command.h"
#include "fuzz/fuzz.h"

enum { OPTION_OCTETS = 4 };

static const char piece_of_content[] = "Subject: x\r\n\r\n.\n..\r\n.a\rb\n\r\n";
enum { PIECE = sizeof(piece_of_content) - 1, PIECES_MAX = 1300 /* three chunks */ };
static const char secret[] = "AGpvZQBzM2NyZXQ="; /* of joe, s3cret */

struct run {
	struct smtp_client_session *s;
	const uint8_t *options;
	unsigned mails_left;
	unsigned begun, done;
	bool ended;
	bool reading; /* content is on its way */
	size_t content_at;
	bool after_cr;
	size_t line;  /* octets of the line that is being sent */
	char head[32]; /* its begin */
	uint64_t chunk; /* octets that are left of the chunk on its way */
	unsigned recipients, settled; /* of the transaction; a set */
	struct smtp_data_decoder decoder;
	uint64_t hash; /* of all that was sent and told */
	uint64_t now;
};

static void add(struct run *r, const void *octets, size_t n)
{
	const uint8_t *p = octets;

	for (size_t i = 0; i < n; i++)
		r->hash = (r->hash ^ p[i]) * UINT64_C(0x100000001b3);
}

static void add_event(struct run *r, char event, int value, const struct smtp_reply *reply)
{
	need(!r->ended);
	add(r, &event, 1);
	add(r, &value, sizeof(value));
	if (reply) {
		add(r, &reply->code, sizeof(reply->code));
		add(r, reply->text.p, reply->text.n);
	}
}

static size_t content_size(const struct run *r)
{
	return r->options[1] & 32 ? PIECE * PIECES_MAX : PIECE;
}

static int rewind_content(void *user)
{
	struct run *r = user;

	r->content_at = 0;
	r->reading = false;
	return 0;
}

static int to_ascii(const char *domain, char out[SMTP_DOMAIN_MAX + 1])
{
	need(strcmp(domain, "\xc3\xb6.org") == 0);
	memcpy(out, "xn--nda.org", sizeof("xn--nda.org"));
	return 0;
}

static int read_content(void *user, uint8_t *out, size_t cap, size_t *n)
{
	struct run *r = user;
	size_t left = content_size(r) - r->content_at;

	if (!r->reading)
		smtp_data_decoder_init(&r->decoder, 0, false);
	r->reading = true;
	*n = r->options[1] & 16 ? 1000 : r->options[1] % 8 + 1U;
	*n = *n < left ? *n : left;
	need(*n <= cap);
	for (size_t i = 0; i < *n; i++)
		out[i] = (uint8_t)piece_of_content[r->content_at++ % PIECE];
	return *n == 0 && r->options[1] & 64 ? SMTP_EIO : 0;
}

static void work(struct run *r)
{
	static const struct smtp_path from = { { "a", "b.org" } };
	static const struct smtp_path to[] = {
		{ { "r", "x.org" } }, { { "a b", "[127.0.0.1]" } }, { { "postmaster", "" } },
		{ { "r", "\xc3\xb6.org" } }, { { "\xc3\xb6", "x.org" } }, { { "r", "y.org" } },
	};
	static const struct smtp_client_recipient recipients[] = {
		{ SMTP_DSN_NOTIFY_NEVER, NULL },
		{ SMTP_DSN_NOTIFY_SUCCESS | SMTP_DSN_NOTIFY_DELAY, "rfc822;a+b@x.org" },
		{ 0, "utf-8;\xc3\xb6 @x.org" },
	};
	struct smtp_client_transaction txn = SMTP_CLIENT_TRANSACTION_INIT;

	if (r->mails_left == 0) {
		if (r->options[3] & 1)
			(void)!smtp_client_session_command(r->s, smtp_span_of("NOOP"));
		if (!(r->options[3] & 2))
			smtp_client_session_quit(r->s);
		return;
	}
	r->mails_left--;
	txn.reverse_path = &from;
	txn.forward_paths = r->options[2] & 64 ? to + 3 : to;
	txn.forward_path_count = r->options[2] % 3 + 1U;
	txn.content_bytes = r->options[2] & 16 ? content_size(r) : 0;
	txn.body = r->options[2] & 32 ? SMTP_BODY_8BITMIME :
		   r->options[3] & 32 ? SMTP_BODY_BINARYMIME : SMTP_BODY_7BIT;
	txn.content = (struct smtp_client_content){ .read = read_content, .user = r };
	if (r->options[3] & 8)
		txn.content.rewind = rewind_content;
	if (r->options[2] & 128) {
		txn.recipients = recipients;
		txn.ret = SMTP_DSN_RETURN_HEADERS;
		txn.envid = "a+b";
		txn.auth = "a=b@x.org";
		txn.require_tls = r->options[3] & 16;
		txn.smtputf8 = r->options[2] & 64;
	}
	txn.refuse_bare_newlines = r->options[3] & 16 && txn.body != SMTP_BODY_BINARYMIME;
	r->content_at = 0;
	r->reading = false;
	r->recipients = (unsigned)txn.forward_path_count;
	r->settled = 0;
	if (smtp_client_session_mail(r->s, &txn) == 0)
		r->begun++;
}

static void on_ready(struct smtp_client_session *s, void *user)
{
	(void)s;
	add_event(user, 'r', 0, NULL);
	work(user);
}

static void on_reply(struct smtp_client_session *s, enum smtp_client_step step, size_t index,
		     const struct smtp_reply *reply, void *user)
{
	(void)s;
	add_event(user, 'R', (int)step * 1000 + (int)index, reply);
}

static void on_recipient(struct smtp_client_session *s, enum smtp_client_step step, size_t index,
			 const struct smtp_reply *reply, void *user)
{
	struct run *r = user;

	(void)s;
	need(r->done < r->begun && index < r->recipients && !(r->settled & 1U << index));
	r->settled |= 1U << index;
	add_event(r, 't', (int)step * 1000 + (int)index, reply);
}

static void on_done(struct smtp_client_session *s, enum smtp_client_step step,
		    const struct smtp_reply *final, void *user)
{
	struct run *r = user;

	(void)s;
	add_event(r, 'd', (int)step, final);
	need(r->settled == (1U << r->recipients) - 1);
	r->reading = false;
	r->done++;
	work(r);
}

static void on_failed(struct smtp_client_session *s, int error, enum smtp_client_step step,
		      const struct smtp_reply *reply, void *user)
{
	struct run *r = user;

	(void)s;
	need(error < 0);
	add_event(r, 'f', error * 100 + (int)step, reply);
	r->ended = true;
	need(r->done <= r->begun && r->begun <= r->done + 1);
}

static void on_finished(struct smtp_client_session *s, void *user)
{
	struct run *r = user;

	(void)s;
	add_event(r, 'F', 0, NULL);
	r->ended = true;
}

static void on_trace(struct smtp_client_session *s, bool from_server, struct smtp_span line,
		     void *user)
{
	(void)s;
	for (size_t i = 0; i < line.n; i++)
		need(line.p[i] >= ' ' && line.p[i] != 127);
	need(from_server || line.n < sizeof(secret) - 1 ||
	     !memmem(line.p, line.n, secret, sizeof(secret) - 1));
	add(user, line.p, line.n);
}

static const struct smtp_client_session_handler handler = {
	.size = sizeof(handler), .ready = on_ready, .reply = on_reply,
	.transaction_done = on_done, .failed = on_failed, .finished = on_finished,
	.trace = on_trace, .recipient_done = on_recipient,
};

static bool is_binary(const struct run *r)
{
	return r->s->txn.body == SMTP_BODY_BINARYMIME;
}

/* The head of a chunk: "BDAT 13" or "BDAT 13 LAST". No line of the content begins so. */
static void end_line(struct run *r)
{
	size_t n = r->line < sizeof(r->head) ? r->line : sizeof(r->head) - 1;
	struct smtp_span line = smtp_span_make(r->head, n);
	bool last;

	if (!smtp_span_is(smtp_span_slice(line, 0, 5), "BDAT "))
		return;
	line = smtp_span_slice(line, 5, n - 7); /* without its CRLF */
	last = line.n > 5 && smtp_span_is(smtp_span_slice(line, line.n - 5, 5), " LAST");
	need(smtp_span_uint(smtp_span_slice(line, 0, line.n - (last ? 5 : 0)), &r->chunk) == 0);
	need(!last || (r->content_at == content_size(r) && !(r->options[1] & 64)));
}

/* No bare CR or LF, no endless command. */
static void check_lines(struct run *r, struct smtp_span out)
{
	for (size_t i = 0; i < out.n; i++) {
		uint8_t c = out.p[i];

		need(c != 0);
		need(r->after_cr == (c == '\n') || (r->chunk > 0 && is_binary(r)));
		r->after_cr = c == '\r';
		if (r->chunk > 0) {
			r->chunk--;
			need(r->chunk > 0 || is_binary(r) || !r->after_cr);
			r->after_cr = r->after_cr && r->chunk > 0;
			continue;
		}
		if (r->line < sizeof(r->head))
			r->head[r->line] = (char)c;
		r->line++;
		need(r->line < SMTP_COMMAND_LINE_MAX_EXTENDED);
		if (c == '\n') {
			end_line(r);
			r->line = 0;
		}
	}
}

/* What the server would decode is a part of the content, and all of it at the end. */
static void check_content(struct run *r, struct smtp_span out)
{
	while (out.n > 0) {
		size_t taken;
		struct smtp_span run;
		bool end = smtp_data_decoder_feed(&r->decoder, out, &taken, &run) == SMTP_DATA_END;

		out = smtp_span_slice(out, taken, out.n);
		need(!end || (out.n == 0 && r->content_at == content_size(r) &&
			      !(r->options[1] & 64)));
	}
	need(!r->decoder.bare_newline);
}

static void pump(struct run *r)
{
	size_t most = !(r->options[1] & 128) ? SIZE_MAX : r->options[1] & 32 ? 997 : 1;

	while (smtp_client_session_wants(r->s) & SMTP_WANTS_WRITE) {
		struct smtp_span out = smtp_client_session_output(r->s, r->now);

		need(out.n <= CLIENT_OUTPUT_MAX && r->s->out.cap <= CLIENT_OUTPUT_MAX);
		out = smtp_span_slice(out, 0, most);
		add(r, out.p, out.n);
		check_lines(r, out);
		if (r->s->txn.sending && !r->s->txn.chunked)
			check_content(r, out);
		smtp_client_session_sent(r->s, out.n, ++r->now);
	}
	need(r->s->txn.raw.cap <= CLIENT_READ_SIZE);
	need(r->s->parser.text.cap <= SMTP_REPLY_OCTETS_MAX);
	if (smtp_client_session_wants(r->s) & SMTP_WANTS_CLOSE)
		need(r->ended);
}

static void feed(struct run *r, const uint8_t *octets, size_t n)
{
	size_t taken = 0;
	int err = smtp_client_session_feed(r->s, octets, n, ++r->now, &taken);

	need(taken == n);
	need(err == 0 || (err == SMTP_EPROTO && r->ended));
}

static void play_line(struct run *r, const uint8_t *line, size_t n, bool split)
{
	uint64_t deadline = smtp_client_session_deadline(r->s);

	need(deadline == UINT64_MAX || deadline > 0);
	if (line[0] == 1 && deadline != UINT64_MAX) {
		smtp_client_session_tick(r->s, deadline);
	} else if (line[0] == 2) {
		smtp_client_session_peer_closed(r->s);
	} else if (line[0] == 3) {
		smtp_client_session_fail(r->s, SMTP_EIO);
	} else if (split) {
		for (size_t i = 0; i < n; i++)
			feed(r, line + i, 1);
		r->now -= n - 1;
	} else {
		feed(r, line, n);
	}
	if (smtp_client_session_wants(r->s) & SMTP_WANTS_TLS)
		need(smtp_client_session_tls_started(r->s, "TLSv1.3", r->now) == 0);
	pump(r);
}

static int no_random(void *user, uint8_t *out, size_t n)
{
	(void)user;
	memset(out, 0, n);
	return 0;
}

/* One round stands for all, whatever count the server says. */
static int quick_pbkdf2(void *user, struct smtp_span password, struct smtp_span salt,
			uint32_t iterations, uint8_t out[32])
{
	need(iterations >= SMTP_SCRAM_ITERATIONS_MIN && iterations <= SMTP_SCRAM_ITERATIONS_MAX);
	return smtp_crypto_openssl()->hmac_sha256(user, password, salt, out);
}

static const struct smtp_crypto *quick_crypto(void)
{
	static struct smtp_crypto table;

	table = *smtp_crypto_openssl();
	table.random = no_random;
	table.pbkdf2_sha256 = quick_pbkdf2;
	return &table;
}

static struct smtp_client_session *make_session(struct run *r)
{
	struct smtp_client_session_options options = SMTP_CLIENT_SESSION_OPTIONS_INIT;
	uint8_t choice = r->options[0];

	options.helo_name = "me.example";
	options.tls = (enum smtp_client_tls)(choice & 3);
	options.pipelining = !(choice & 4);
	options.user = choice & 8 ? "joe" : NULL;
	options.password = choice & 8 ? "s3cret" : NULL;
	options.auth_without_tls = choice & 16;
	options.mechanism = choice & 32 ? SMTP_MECHANISM_LOGIN : 0;
	options.crypto = r->options[3] & 16 ? quick_crypto() : NULL;
	options.token = r->options[3] & 32 ? "ya29.token" : NULL;
	options.lmtp = choice & 64;
	options.chunking = choice & 128;
	options.domain_to_ascii = r->options[3] & 8 ? to_ascii : NULL;
	need(smtp_client_session_new(&r->s, &options, &handler, r) == 0);
	if (options.tls == SMTP_CLIENT_TLS_IMPLICIT)
		need(smtp_client_session_tls_started(r->s, "TLSv1.3", 0) == 0);
	return r->s;
}

static uint64_t play(const uint8_t *options, const uint8_t *said, size_t n, bool split)
{
	struct run r = { .options = options, .mails_left = options[3] >> 6, .hash = 1 };
	size_t lines = options[3] & 4 ? 3 : 1; /* that come in one piece */

	smtp_client_session_start(make_session(&r), 0);
	while (n > 0) {
		size_t piece = 0;

		for (size_t i = 0; i < lines && piece < n; i++) {
			const uint8_t *lf = memchr(said + piece, '\n', n - piece);

			piece = lf ? (size_t)(lf - said) + 1 : n;
		}
		play_line(&r, said, piece, split);
		said += piece;
		n -= piece;
	}
	smtp_client_session_peer_closed(r.s);
	need(r.ended);
	smtp_client_session_free(r.s);
	return r.hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *said = data + OPTION_OCTETS;

	if (size < OPTION_OCTETS)
		return 0;
	need(play(data, said, size - OPTION_OCTETS, false) ==
	     play(data, said, size - OPTION_OCTETS, true));
	return 0;
}
