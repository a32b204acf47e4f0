/* SPDX-License-Identifier: ISC */
/* The core in memory, without sockets: commands and content that a server session takes in a second, the
 * decoder of content alone, and what an idle session costs. The best of some rounds. Not a test.
 */
#include <smtp/server_session.h>

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libsmtp/core/command.h"
#include "libsmtp/core/data.h"
#include "libsmtp/core/span.h"

enum { ROUNDS = 5, COMMANDS = 300000, BATCH = 300, IDLE_SESSIONS = 1000 };

static const size_t content_total = (size_t)256 << 20;

static double now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void must(int err, const char *what)
{
	if (err == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, smtp_error_str(err));
	exit(EXIT_FAILURE);
}

/* --- a session -------------------------------------------------------------------------------- */

static uint64_t octets_seen;

static enum smtp_verdict on_rcpt(struct smtp_server_session *s, const struct smtp_rcpt_request *request,
				 void *user)
{
	(void)s;
	(void)request;
	(void)user;
	return SMTP_ACCEPT;
}

static enum smtp_verdict on_content(struct smtp_server_session *s, struct smtp_span octets, void *user)
{
	(void)s;
	(void)user;
	octets_seen += octets.n;
	return SMTP_ACCEPT;
}

static struct smtp_server_session *session(void)
{
	static const struct smtp_server_session_handler handler = {
		.size = sizeof handler, .rcpt = on_rcpt, .content = on_content
	};
	struct smtp_server_session_options options = SMTP_SERVER_SESSION_OPTIONS_INIT;
	struct smtp_server_session *s = NULL;

	options.hostname = "mx.example.org";
	options.max_transactions = UINT32_MAX;
	options.max_message_bytes = 0;
	must(smtp_server_session_new(&s, &options, &handler, NULL), "session");
	must(smtp_server_session_start(s, 1), "start");
	return s;
}

static void feed(struct smtp_server_session *s, const char *text, size_t n)
{
	while (n > 0) {
		size_t taken = 0;

		must(smtp_server_session_feed(s, text, n, 2, &taken), "feed");
		smtp_server_session_sent(s, smtp_server_session_output(s).n);
		text += taken;
		n -= taken;
	}
	smtp_server_session_sent(s, smtp_server_session_output(s).n);
}

static void say(struct smtp_server_session *s, const char *text)
{
	feed(s, text, strlen(text));
}

/* --- commands --------------------------------------------------------------------------------- */

static double commands_a_second(const char *group, unsigned in_group)
{
	size_t n = strlen(group), repeats = BATCH / in_group;
	char *batch = malloc(n * repeats);
	double best = 0;

	must(batch ? 0 : SMTP_ENOMEM, "batch");
	for (size_t i = 0; i < repeats; i++)
		memcpy(batch + i * n, group, n);
	for (int round = 0; round < ROUNDS; round++) {
		struct smtp_server_session *s = session();
		double begin, rate;

		say(s, "EHLO client.example.com\r\n");
		begin = now();
		for (int i = 0; i < COMMANDS / BATCH; i++)
			feed(s, batch, n * repeats);
		rate = COMMANDS / (now() - begin);
		best = rate > best ? rate : best;
		smtp_server_session_free(s);
	}
	free(batch);
	return best;
}

static double paths_a_second(void)
{
	struct smtp_span text = smtp_span_of("<somebody.longer@mail.example.org>");
	double best = 0;

	for (int round = 0; round < ROUNDS; round++) {
		struct smtp_path path;
		size_t used;
		double begin = now(), rate;

		for (int i = 0; i < COMMANDS; i++)
			must(smtp_path_parse(&path, text, 0, &used), "path");
		rate = COMMANDS / (now() - begin);
		best = rate > best ? rate : best;
	}
	return best;
}

/* --- content ---------------------------------------------------------------------------------- */

/* Lines of 76 octets, now and then one that begins with a dot. */
static char *content_of(size_t n)
{
	char *content = malloc(n);

	must(content ? 0 : SMTP_ENOMEM, "content");
	for (size_t i = 0; i < n; i++)
		content[i] = i % 78 == 76 ? '\r' : i % 78 == 77 ? '\n' : 'x';
	for (size_t i = 0; i + 1 < n; i += 78 * 20)
		content[i] = content[i + 1] = '.';
	content[n - 2] = '\r';
	content[n - 1] = '\n';
	return content;
}

static double decoded_a_second(size_t n)
{
	char *content = content_of(n);
	size_t times = content_total / n;
	double best = 0;

	for (int round = 0; round < ROUNDS; round++) {
		struct smtp_data_decoder dd;
		double begin = now(), rate;

		smtp_data_decoder_init(&dd, 65536, false);
		for (size_t i = 0; i < times; i++) {
			struct smtp_span rest = smtp_span_make(content, n);

			while (rest.n > 0) {
				struct smtp_span run;
				size_t taken;

				(void)smtp_data_decoder_feed(&dd, rest, &taken, &run);
				octets_seen += run.n;
				rest = smtp_span_slice(rest, taken, rest.n - taken);
			}
		}
		rate = (double)(times * n) / (now() - begin);
		best = rate > best ? rate : best;
	}
	free(content);
	return best;
}

static double messages_octets_a_second(size_t n)
{
	char *content = content_of(n);
	size_t times = content_total / n;
	double best = 0;

	for (int round = 0; round < ROUNDS; round++) {
		struct smtp_server_session *s = session();
		double begin = now(), rate;

		say(s, "EHLO client.example.com\r\n");
		for (size_t i = 0; i < times; i++) {
			say(s, "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n");
			feed(s, content, n);
			say(s, ".\r\n");
		}
		rate = (double)(times * n) / (now() - begin);
		best = rate > best ? rate : best;
		smtp_server_session_free(s);
	}
	free(content);
	return best;
}

/* --- memory ----------------------------------------------------------------------------------- */

/* After EHLO and a first message, waiting for the next. */
static double idle_octets(void)
{
	static struct smtp_server_session *sessions[IDLE_SESSIONS];
	size_t before = mallinfo2().uordblks, after;

	for (size_t i = 0; i < IDLE_SESSIONS; i++) {
		sessions[i] = session();
		say(sessions[i], "EHLO client.example.com\r\nMAIL FROM:<a@b.example>\r\n"
				 "RCPT TO:<c@d.example>\r\nDATA\r\n");
		say(sessions[i], "Subject: x\r\n\r\nx\r\n.\r\n");
	}
	after = mallinfo2().uordblks;
	for (size_t i = 0; i < IDLE_SESSIONS; i++)
		smtp_server_session_free(sessions[i]);
	return (double)(after - before) / IDLE_SESSIONS;
}

int main(void)
{
	printf("session: idle, in memory          %8.0f octets each\n", idle_octets());
	printf("session: NOOP, pipelined          %8.0f thousand a second\n",
	       commands_a_second("NOOP\r\n", 1) / 1e3);
	printf("session: MAIL RCPT RSET           %8.0f thousand commands a second\n",
	       commands_a_second("MAIL FROM:<somebody@mail.example.com> SIZE=4096\r\n"
				 "RCPT TO:<somebody.else@example.org>\r\nRSET\r\n", 3) / 1e3);
	printf("parser:  path                     %8.0f thousand a second\n", paths_a_second() / 1e3);
	printf("decoder: DATA in runs of 4 KiB    %8.0f MB/s\n", decoded_a_second(4096) / 1e6);
	printf("decoder: DATA in runs of 1 MiB    %8.0f MB/s\n", decoded_a_second(1 << 20) / 1e6);
	printf("session: messages of 4 KiB        %8.0f MB/s\n", messages_octets_a_second(4096) / 1e6);
	printf("session: messages of 1 MiB        %8.0f MB/s\n",
	       messages_octets_a_second(1 << 20) / 1e6);
	return EXIT_SUCCESS;
}
