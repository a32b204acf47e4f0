/* SPDX-License-Identifier: ISC */
/* fuzz_server_session.c - a whole server session. Five octets choose options and where the rest, the
 * client's octets, is cut. Fed whole and in pieces it must say the same; its replies are well formed,
 * its memory is bounded, its events come in order, and its trace hides what AUTH sends.
 */
#include <stdlib.h>
#include <string.h>

#include <smtp/server_session.h>

#include "libsmtp/core/server_session_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

enum { HEAD = 5, INPUT_MAX = 1 << 16, MEMORY_MAX = 1 << 18 };

struct run {
	const uint8_t *head;
	uint8_t *out;
	size_t out_n, out_cap;
	bool in_transaction, challenged, closed;
	unsigned disconnects;
	uint64_t content;
	uint64_t now_ms;
};

/* --- the handler: the first letter of an address decides, pending is decided by the head -------- */

static enum smtp_verdict decide(struct smtp_server_session *s, const struct run *run,
				unsigned phase, char letter)
{
	struct smtp_reply refusal = smtp_reply_of(550, "5.7.1", "no\nwith two\rlines \x01");
	struct smtp_reply closing = smtp_reply_of(421, NULL, "closing");

	if (letter == 'n')
		MUST(smtp_server_session_reply(s, &refusal) == 0);
	else if (letter == 'q')
		MUST(smtp_server_session_reply(s, &closing) == 0);
	else if (run->head[1] & 1u << phase)
		return SMTP_PENDING;
	return letter == 'n' || letter == 'q' ? SMTP_REPLIED : SMTP_ACCEPT;
}

static void must_be_text(struct smtp_span text)
{
	for (size_t i = 0; i < text.n; i++)
		MUST(text.p[i] >= 0x20 && text.p[i] != 0x7f);
}

static enum smtp_verdict on_helo(struct smtp_server_session *s, struct smtp_span name, bool extended,
				 void *user)
{
	(void)extended;
	MUST(name.n > 0 && name.n <= SMTP_DOMAIN_MAX);
	must_be_text(name);
	return decide(s, user, 0, (char)name.p[0]);
}

static enum smtp_verdict on_auth(struct smtp_server_session *s,
				 const struct smtp_auth_request *request, void *user)
{
	bool named = request->authentication_id.n > 0;

	MUST(named || strcmp(request->mechanism, "OAUTHBEARER") == 0);
	MUST(!named || !memchr(request->authentication_id.p, 0, request->authentication_id.n));
	MUST(!request->proven || (request->password.n == 0 && request->token.n == 0));
	/* nobody here knows what the keys and secrets are made of */
	MUST(!request->proven || strcmp(request->mechanism, "EXTERNAL") == 0);
	return decide(s, user, 1, named ? (char)request->authentication_id.p[0] : 'a');
}

static enum smtp_verdict on_auth_lookup(struct smtp_server_session *s,
					const struct smtp_auth_request *request, void *user)
{
	struct smtp_scram_keys keys = { .salt_n = 16, .iterations = 4096, .stored_key = { 1 } };

	MUST(request->authentication_id.n > 0 && !request->proven);
	if (request->authentication_id.p[0] % 2) {
		MUST(smtp_server_session_set_scram_keys(s, &keys) == 0);
		MUST(smtp_server_session_set_shared_secret(s, smtp_span_of("not to be guessed")) == 0);
	}
	return decide(s, user, 1, (char)request->authentication_id.p[0]);
}

static int no_random(void *user, uint8_t *out, size_t n)
{
	(void)user;
	memset(out, 0, n);
	return 0;
}

/* The same input must lead to the same session. */
static const struct smtp_crypto *repeatable_crypto(void)
{
	static struct smtp_crypto table;

	table = *smtp_crypto_openssl();
	table.random = no_random;
	return &table;
}

static void must_be_params(const struct smtp_custom_param *params, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		MUST(strcmp(params[i].keyword, "X-OWN") == 0);
		must_be_text(params[i].value);
	}
}

static enum smtp_verdict on_mail(struct smtp_server_session *s,
				 const struct smtp_mail_request *request, void *user)
{
	struct run *run = user;
	char letter = request->reverse_path->mailbox.local_part[0];
	enum smtp_verdict verdict;

	MUST(!run->in_transaction);
	must_be_text(request->auth);
	must_be_text(request->envid);
	must_be_params(request->params, request->param_count);
	verdict = decide(s, run, 2, letter);
	run->in_transaction = verdict != SMTP_REPLIED;
	return verdict;
}

static enum smtp_verdict on_rcpt(struct smtp_server_session *s, const struct smtp_rcpt_request *request,
				 void *user)
{
	struct run *run = user;

	MUST(run->in_transaction);
	MUST(!smtp_path_is_null(request->forward_path));
	must_be_text(request->orcpt_type);
	must_be_text(request->orcpt_address);
	must_be_params(request->params, request->param_count);
	return decide(s, run, 3, request->forward_path->mailbox.local_part[0]);
}

static enum smtp_verdict on_data(struct smtp_server_session *s, void *user)
{
	struct run *run = user;

	MUST(run->in_transaction && smtp_server_session_recipient_count(s) > 0);
	run->content = 0;
	return decide(s, run, 4, 0);
}

static enum smtp_verdict on_content(struct smtp_server_session *s, struct smtp_span octets,
				    void *user)
{
	struct run *run = user;

	MUST(run->in_transaction && octets.n > 0);
	run->content += octets.n;
	MUST(run->content == smtp_server_session_content_bytes(s));
	return decide(s, run, 5, 0);
}

/* Every other recipient, if it is to be; one too many is no recipient. */
static void set_results(struct smtp_server_session *s, const struct run *run)
{
	struct smtp_reply full = smtp_reply_of(452, "4.2.2", "mailbox\rfull\nno");
	size_t recipients = smtp_server_session_recipient_count(s);

	MUST(recipients > 0);
	MUST(smtp_server_session_recipient_reply(s, recipients, &full) == SMTP_EINVAL);
	for (size_t i = 0; (run->head[4] & 8) && i < recipients; i += 2)
		MUST(smtp_server_session_recipient_reply(s, i, &full) == 0);
}

static enum smtp_verdict on_end(struct smtp_server_session *s, void *user)
{
	struct run *run = user;

	MUST(run->in_transaction);
	run->in_transaction = false;
	set_results(s, run);
	return decide(s, run, 6, 0);
}

static enum smtp_verdict on_vrfy(struct smtp_server_session *s,
				 const struct smtp_vrfy_request *request, void *user)
{
	MUST(request->text.n > 0);
	return decide(s, user, 7, (char)request->text.p[0]);
}

static enum smtp_verdict on_command(struct smtp_server_session *s,
				    const struct smtp_command_request *request, void *user)
{
	MUST(strcmp(request->verb, "XOWN") == 0);
	must_be_text(request->argument);
	return decide(s, user, 7, request->argument.n ? (char)request->argument.p[0] : 0);
}

static void on_reset(struct smtp_server_session *s, void *user)
{
	struct run *run = user;

	(void)s;
	MUST(run->in_transaction && !run->closed);
	run->in_transaction = false;
}

static void on_disconnect(struct smtp_server_session *s, enum smtp_disconnect_reason reason,
			  void *user)
{
	struct run *run = user;

	(void)s;
	(void)reason;
	MUST(!run->in_transaction);
	run->closed = true;
	run->disconnects++;
}

static bool begins_with_auth(struct smtp_span line)
{
	size_t at = 0;

	while (at < line.n && (line.p[at] == ' ' || line.p[at] == '\t'))
		at++;
	return smtp_span_is_nocase(smtp_span_slice(line, at, 4), "AUTH");
}

/* "AUTH", maybe the name of a mechanism there is, "***". */
static bool is_hidden_auth(struct smtp_span line)
{
	struct smtp_span name;

	if (line.n < 8 || !smtp_span_is(smtp_span_slice(line, 0, 5), "AUTH ") ||
	    !smtp_span_is(smtp_span_slice(line, line.n - 3, 3), "***"))
		return false;
	name = smtp_span_slice(line, 5, line.n - 8);
	return name.n == 0 || (name.p[name.n - 1] == ' ' &&
			       smtp_mechanism_of(smtp_span_slice(name, 0, name.n - 1)) != 0);
}

/* Of a line of AUTH only the mechanism is seen; what answers a challenge is never seen. */
static void on_trace(struct smtp_server_session *s, bool from_client, struct smtp_span line,
		     void *user)
{
	struct run *run = user;

	(void)s;
	MUST(!run->closed);
	if (!from_client) {
		run->challenged = line.n >= 4 && memcmp(line.p, "334 ", 4) == 0;
		return;
	}
	if (run->challenged)
		MUST(smtp_span_is(line, "***"));
	if (begins_with_auth(line))
		MUST(is_hidden_auth(line));
	run->challenged = false;
}

static const struct smtp_server_session_handler handler = {
	.size = sizeof(handler), .helo = on_helo, .auth = on_auth, .auth_lookup = on_auth_lookup,
	.mail = on_mail, .rcpt = on_rcpt,
	.data = on_data, .content = on_content, .end = on_end, .vrfy = on_vrfy, .expn = on_vrfy,
	.command = on_command,
	.reset = on_reset,
	.disconnect = on_disconnect, .trace = on_trace,
};

/* --- one session -------------------------------------------------------------------------------- */

static const char *const own[] = { "X-OWN", NULL };
static const char *const own_verbs[] = { "XOWN", NULL };
static const struct smtp_network anybody = { .bits = 0 };
static const struct smtp_custom_extension custom = { .size = sizeof(custom), .keyword = "X-OWN",
						     .mail_keywords = own, .rcpt_keywords = own,
						     .verbs = own_verbs };
static const struct smtp_custom_extension *const customs[] = { &custom };

static struct smtp_server_session *begin(struct run *run)
{
	struct smtp_server_session_options options = SMTP_SERVER_SESSION_OPTIONS_INIT;
	struct smtp_server_session *s = NULL;
	unsigned bits = run->head[0];

	options.hostname = "mx.example.org";
	options.offer_starttls = (bits & 1) != 0;
	options.tls_active = (bits & 2) != 0;
	options.auth_enabled = (bits & 4) != 0;
	options.auth_needs_tls = (bits & 8) != 0;
	options.require_auth = (bits & 16) != 0;
	options.require_tls = (bits & 32) != 0;
	options.bare_newline = bits & 64 ? SMTP_BARE_NEWLINE_REPAIR : SMTP_BARE_NEWLINE_REFUSE;
	options.max_message_bytes = bits & 128 ? 40 : 4000;
	options.max_swallow_bytes = 60;
	options.max_line_bytes = 100;
	options.max_errors = run->head[2] ? run->head[2] : 1000;
	options.max_auth_failures = 3;
	options.crypto = run->head[4] & 8 ? repeatable_crypto() : NULL;
	options.mechanisms = run->head[4] & 8 ? SMTP_MECHANISMS_ALL : SMTP_MECHANISMS_DEFAULT;
	options.scram_fake_key[0] = 1;
	options.lmtp = (run->head[4] & 1) != 0;
	options.extensions |= run->head[4] & 2 ? SMTP_SERVER_CHUNKING : 0;
	options.extensions |= run->head[4] & 4 ? SMTP_SERVER_BINARYMIME : 0;
	if (run->head[3] & 2) {
		options.extensions |= SMTP_SERVER_SMTPUTF8 | SMTP_SERVER_DSN |
				      SMTP_SERVER_REQUIRETLS | SMTP_SERVER_LIMITS;
		options.custom_extensions = customs;
		options.custom_extension_count = 1;
		options.xclient_networks = &anybody;
		options.xclient_network_count = 1;
	}
	MUST(smtp_server_session_new(&s, &options, &handler, run) == 0);
	MUST(smtp_server_session_set_peer(s, "192.0.2.1", 25) == 0);
	MUST(smtp_server_session_start(s, 0) == 0);
	return s;
}

static void check_memory(const struct smtp_server_session *s)
{
	const struct smtp_sasl_server *x = s->auth.exchange;
	size_t exchange = x ? sizeof(*x) + x->first.cap + x->second.cap + x->challenge.cap : 0;

	MUST(s->out.cap + s->line.buf.cap + s->args.held.cap + exchange +
		     s->content.refusal.text.cap + s->run.reply.text.cap <
	     MEMORY_MAX);
}

/* Lets time go by. A delay that a late verdict brought begins when the session hears the time. */
static void wait_out(struct run *run, struct smtp_server_session *s)
{
	for (unsigned i = 0; smtp_server_session_wants(s) == 0; i++) {
		uint64_t deadline = smtp_server_session_deadline(s);

		MUST(i < 2 && deadline >= run->now_ms && deadline - run->now_ms <= 5000);
		MUST(smtp_server_session_output(s).n == 0);
		run->now_ms = deadline;
		smtp_server_session_tick(s, run->now_ms);
	}
}

/* Takes what is said, and gives the verdicts that are owed. */
static void serve(struct run *run, struct smtp_server_session *s)
{
	struct smtp_span out;

	while (smtp_server_session_wants(s) & SMTP_WANTS_VERDICT)
		MUST(smtp_server_session_reply(s, NULL) == 0);
	wait_out(run, s);
	check_memory(s);
	out = smtp_server_session_output(s);
	if (run->out_n + out.n > run->out_cap) {
		run->out_cap = (run->out_n + out.n) * 2;
		run->out = realloc(run->out, run->out_cap);
		MUST(run->out);
	}
	if (out.n > 0)
		memcpy(run->out + run->out_n, out.p, out.n);
	run->out_n += out.n;
	smtp_server_session_sent(s, out.n);
}

/* From a block of its own size, gone afterwards. */
static void feed(struct run *run, struct smtp_server_session *s, const uint8_t *p, size_t n)
{
	while (n > 0 && !(smtp_server_session_wants(s) & SMTP_WANTS_CLOSE)) {
		size_t taken = 0;
		uint8_t *copy = malloc(n);
		int err;

		MUST(copy);
		memcpy(copy, p, n);
		err = smtp_server_session_feed(s, copy, n, run->now_ms, &taken);
		memset(copy, '#', n);
		free(copy);
		MUST(taken <= n && (err == 0 || err == SMTP_EPROTO));
		MUST(taken > 0 || smtp_server_session_wants(s) != SMTP_WANTS_READ);
		p += taken;
		n -= taken;
		serve(run, s);
	}
}

static void finish(struct run *run, struct smtp_server_session *s)
{
	static const char after_tls[] = "MAIL FROM:<a@b.example>\r\nEHLO tls\r\nQUIT\r\n";

	if (smtp_server_session_wants(s) == SMTP_WANTS_TLS) {
		MUST(smtp_server_session_tls_started(s, "TLSv1.3") == 0);
		MUST(smtp_server_session_account(s) == NULL);
		feed(run, s, (const uint8_t *)after_tls, sizeof(after_tls) - 1);
	} else if (run->head[3] & 1) {
		smtp_server_session_peer_closed(s);
		serve(run, s);
	} else {
		/* twice: behind a late verdict the first one only starts the timer */
		smtp_server_session_tick(s, UINT64_C(1) << 40);
		smtp_server_session_tick(s, UINT64_C(1) << 41);
		serve(run, s);
	}
	MUST(smtp_server_session_wants(s) & SMTP_WANTS_CLOSE);
	smtp_server_session_free(s);
	MUST(run->disconnects == 1);
}

static void check_output(const struct run *run)
{
	size_t start = 0;

	for (size_t i = 0; i < run->out_n; i++) {
		const uint8_t *line = run->out + start;

		if (run->out[i] != '\n') {
			MUST(run->out[i] >= 0x20 || run->out[i] == '\r');
			MUST(run->out[i] != '\r' || (i + 1 < run->out_n && run->out[i + 1] == '\n'));
			continue;
		}
		MUST(i > start + 4 && i + 1 - start <= SMTP_REPLY_LINE_MAX && run->out[i - 1] == '\r');
		MUST(line[0] >= '2' && line[0] <= '5' && line[1] >= '0' && line[1] <= '9');
		MUST(line[2] >= '0' && line[2] <= '9' && (line[3] == ' ' || line[3] == '-'));
		start = i + 1;
	}
	MUST(start == run->out_n);
}

/* `piece` 0: whole. */
static struct run play(const uint8_t *head, const uint8_t *p, size_t n, size_t piece)
{
	struct run run = { .head = head };
	struct smtp_server_session *s = begin(&run);

	serve(&run, s);
	for (size_t at = 0; at < n; at += piece ? piece : n)
		feed(&run, s, p + at, piece && n - at > piece ? piece : n - at);
	finish(&run, s);
	check_output(&run);
	return run;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run whole, pieces;

	if (size < HEAD || size > INPUT_MAX)
		return 0;
	whole = play(data, data + HEAD, size - HEAD, 0);
	pieces = play(data, data + HEAD, size - HEAD, 1 + data[3] / 2);
	MUST(whole.out_n == pieces.out_n);
	MUST(whole.out_n == 0 || memcmp(whole.out, pieces.out, whole.out_n) == 0);
	free(whole.out);
	free(pieces.out);
	return 0;
}
