/* SPDX-License-Identifier: ISC */
/* test_server_session_memory.c - the n-th allocation of a server session fails, for each n until a
 * session gets by without: nothing leaks, every event comes once and in order, nothing is accepted
 * that was refused. Left out under sanitizers, which bring a malloc of their own.
 */
#include <smtp/middleware.h>
#include <smtp/server_session.h>

#define FAILING_MALLOC_IS_ALL
#include "tests/unit/failing_malloc.h"
#include "tests/unit/testing.h"

#if HAS_FAILING_MALLOC

/* --- a session with all that allocates -------------------------------------------------------- */

struct told {
	bool in_transaction;
	unsigned connects, disconnects, messages;
};

static enum smtp_verdict on_connect(struct smtp_server_session *s, void *user)
{
	struct told *told = user;

	(void)s;
	told->connects++;
	return SMTP_ACCEPT;
}

static enum smtp_verdict on_helo(struct smtp_server_session *s, struct smtp_span name, bool extended,
				 void *user)
{
	(void)s;
	(void)name;
	(void)extended;
	(void)user;
	return SMTP_PENDING;
}

static enum smtp_verdict on_auth(struct smtp_server_session *s,
				 const struct smtp_auth_request *request, void *user)
{
	(void)request;
	(void)user;
	return smtp_server_session_set_account(s, "canonical") == 0 ? SMTP_PENDING : SMTP_ACCEPT;
}

static enum smtp_verdict on_mail(struct smtp_server_session *s,
				 const struct smtp_mail_request *request, void *user)
{
	struct told *told = user;

	(void)s;
	(void)request;
	told->in_transaction = true;
	return SMTP_PENDING;
}

static enum smtp_verdict on_rcpt(struct smtp_server_session *s,
				 const struct smtp_rcpt_request *request, void *user)
{
	struct smtp_reply refusal = smtp_reply_of(550, "5.1.1", "no such user");

	(void)user;
	if (request->forward_path->mailbox.local_part[0] != 'n')
		return SMTP_ACCEPT;
	MUST(smtp_server_session_reply(s, &refusal) == 0);
	return SMTP_REPLIED;
}

static enum smtp_verdict on_content(struct smtp_server_session *s, struct smtp_span octets,
				    void *user)
{
	(void)s;
	(void)octets;
	(void)user;
	return SMTP_PENDING;
}

static enum smtp_verdict on_end(struct smtp_server_session *s, void *user)
{
	struct smtp_reply full = smtp_reply_of(452, "4.2.2", "mailbox full");
	struct smtp_reply trouble = smtp_reply_of(451, "4.3.0", "out of memory");
	struct told *told = user;

	if (smtp_server_session_recipient_reply(s, 0, &full) != 0) {
		MUST(malloc_failed && smtp_server_session_reply(s, &trouble) == 0);
		return SMTP_REPLIED;
	}
	told->in_transaction = false;
	told->messages++;
	return SMTP_ACCEPT;
}

static enum smtp_verdict on_command(struct smtp_server_session *s,
				    const struct smtp_command_request *request, void *user)
{
	(void)s;
	(void)request;
	(void)user;
	return SMTP_PENDING;
}

static void on_reset(struct smtp_server_session *s, void *user)
{
	struct told *told = user;

	(void)s;
	MUST(told->in_transaction);
	told->in_transaction = false;
}

static void on_disconnect(struct smtp_server_session *s, enum smtp_disconnect_reason reason,
			  void *user)
{
	struct told *told = user;

	(void)s;
	(void)reason;
	told->disconnects++;
}

static void on_trace(struct smtp_server_session *s, bool from_client, struct smtp_span line,
		     void *user)
{
	(void)s;
	(void)from_client;
	(void)line;
	(void)user;
}

static const struct smtp_server_session_handler handler = {
	.size = sizeof(handler), .connect = on_connect, .helo = on_helo, .auth = on_auth,
	.mail = on_mail, .rcpt = on_rcpt, .content = on_content, .end = on_end, .reset = on_reset,
	.disconnect = on_disconnect, .trace = on_trace, .command = on_command,
};

static const char *const own[] = { "X-OWN", NULL };
static const char *const own_verbs[] = { "XOWN", NULL };
static const struct smtp_custom_extension custom = { .size = sizeof(custom), .keyword = "X-OWN",
						     .mail_keywords = own, .rcpt_keywords = own,
						     .verbs = own_verbs };
static const struct smtp_custom_extension *const customs[] = { &custom };

static const struct {
	bool lmtp;
	const char *input;
} talks[] = {
	{ false,
	  "EHLO client.example.com\r\nAUTH LOGIN\r\nYWxpY2U=\r\nc2VjcmV0\r\n"
	  "MAIL FROM:<alice@example.com> AUTH=a+2Bb@c.example\r\nRCPT TO:<nobody@example.org>\r\n"
	  "RCPT TO:<bob@example.org>\r\nDATA\r\nx\r\n.\r\nMAIL FROM:<>\r\nSTARTTLS\r\n" },
	{ true,
	  "LHLO client.example.com\r\nBDAT 4\r\nRSETMAIL FROM:<alice@example.com>\r\n"
	  "RCPT TO:<bob@example.org>\r\nRCPT TO:<carol@example.org>\r\nBDAT 3\r\nx\r\n"
	  "BDAT 0\r\nBDAT 4 LAST\r\ny\r\n\rMAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\n"
	  "BDAT 3\r\nx\r\nBDAT 60\r\nNOOP\r\n" },
	{ false,
	  "EHLO client.example.com\r\nMAIL FROM:<> SMTPUTF8 RET=HDRS ENVID=QQ X-OWN=1\r\n"
	  "RCPT TO:<bob@example.org> NOTIFY=DELAY ORCPT=utf-8;b\\x{F6}b@example.org X-OWN\r\n"
	  "VRFY bob SMTPUTF8\r\nEXPN bob\r\nDATA\r\nx\r\n.\r\n" },
	{ false,
	  "XCLIENT ADDR=192.0.2.1 NAME=a.example HELO=b.example LOGIN=carol LOGIN=dave\r\n"
	  "EHLO client.example.com\r\nXOWN a\r\nHELP\r\nXCLIENT NAME=[UNAVAILABLE]\r\n"
	  "EHLO client.example.com\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\n"
	  "DATA\r\nx\r\n.\r\n" },
};

static void talk(struct smtp_server_session *s, const char *input)
{
	size_t i = 0;

	while (input[i] != '\0' && !(smtp_server_session_wants(s) & SMTP_WANTS_CLOSE)) {
		size_t taken;
		int err = smtp_server_session_feed(s, input + i, 1, 0, &taken);

		MUST(err == 0 || err == SMTP_ENOMEM);
		i += taken;
		while (smtp_server_session_wants(s) & SMTP_WANTS_VERDICT)
			MUST(smtp_server_session_reply(s, NULL) == 0);
		smtp_server_session_sent(s, smtp_server_session_output(s).n);
	}
	if (smtp_server_session_wants(s) == SMTP_WANTS_TLS)
		(void)!smtp_server_session_tls_started(s, "TLSv1.3");
}

static const struct smtp_network anybody = { .bits = 0 };

/* Returns whether an allocation failed on the way. */
static bool run(unsigned nth, int which)
{
	struct smtp_server_session_options options = SMTP_SERVER_SESSION_OPTIONS_INIT;
	struct told told[2] = { { false, 0, 0, 0 }, { false, 0, 0, 0 } };
	struct smtp_middleware second = smtp_middleware_of("second", &handler, &told[1]);
	struct smtp_server_session *s = NULL;
	long live;
	int err;

	options.hostname = "mx.example.org";
	options.offer_starttls = options.auth_enabled = true;
	options.auth_needs_tls = false;
	options.lmtp = talks[which].lmtp;
	options.extensions |= SMTP_SERVER_CHUNKING;
	options.bare_newline = SMTP_BARE_NEWLINE_REPAIR;
	options.max_message_bytes = 50;
	options.error_delay_max_ms = 0;
	options.extensions |= SMTP_SERVER_DSN | SMTP_SERVER_SMTPUTF8;
	options.custom_extensions = customs;
	options.custom_extension_count = 1;
	options.xclient_networks = &anybody;
	options.xclient_network_count = 1;
	malloc_watch(nth);
	err = smtp_server_session_new(&s, &options, &handler, &told[0]);
	if (!err)
		err = smtp_server_session_use(s, &second);
	if (!err)
		err = smtp_server_session_set_peer(s, "192.0.2.1", 25);
	if (!err)
		err = smtp_server_session_start(s, 0);
	if (!err)
		talk(s, talks[which].input);
	smtp_server_session_free(s);
	live = malloc_unwatch();
	ck_assert(err == 0 || (err == SMTP_ENOMEM && malloc_failed));
	ck_assert_msg(live == 0, "n = %u: %ld blocks leak", nth, live);
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_eq(told[i].disconnects, told[0].connects > 0);
		ck_assert(!told[i].in_transaction);
		ck_assert(malloc_failed || told[i].messages == 1);
	}
	return malloc_failed;
}

START_TEST(each_allocation_fails)
{
	unsigned n = 1;

	while (run(n, _i))
		n++;
	ck_assert_uint_gt(n, 15);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("server_session_memory");
	TCase *tc = tcase_create("server_session_memory");

	tcase_add_loop_test(tc, each_allocation_fails, 0, ROWS(talks));
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
#endif
