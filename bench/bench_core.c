/* SPDX-License-Identifier: ISC */
/* How fast the core is in memory where bench_session.c does not look: octets of content a second through
 * the client's encoder, and through a server session by BDAT. Each figure is the best of some runs.
 * Not a test.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <smtp/server_session.h>

#include "libsmtp/core/data.h"

enum { RUNS = 5, VOLUME = 128 << 20, LINE = 78, PIECE = 65536 };

static void must(bool truth)
{
	if (!truth) {
		fputs("bench_core: broken\n", stderr);
		exit(1);
	}
}

static double now_s(void)
{
	struct timespec ts;

	must(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Lines of 76 letters, and CRLF.CRLF behind them. */
static uint8_t *make_message(size_t n)
{
	uint8_t *p = malloc(n + 5);

	must(p != NULL);
	memset(p, 'x', n);
	for (size_t i = LINE - 2; i + 1 < n; i += LINE)
		memcpy(p + i, "\r\n", 2);
	memcpy(p + n - 2, "\r\n.\r\n", 5);
	return p;
}

/* --- the encoder -------------------------------------------------------------------------------- */

static void encode(const uint8_t *p, size_t n)
{
	static uint8_t out[PIECE];
	struct smtp_data_encoder de;
	size_t taken;

	smtp_data_encoder_init(&de);
	for (size_t at = 0; at < n; at += taken)
		must(smtp_data_encoder_feed(&de, (struct smtp_span){ p + at, n - at }, &taken, out,
					    sizeof(out)) > 0);
	must(!de.repaired);
}

/* --- a session ---------------------------------------------------------------------------------- */

static uint64_t seen;

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
	(void)s;
	(void)user;
	seen += octets.n;
	return SMTP_ACCEPT;
}

static const struct smtp_server_session_handler handler = {
	.size = sizeof(handler), .rcpt = on_rcpt, .content = on_content,
};

static struct smtp_server_session *session;

static void feed(const void *octets, size_t n)
{
	const uint8_t *p = octets;

	while (n > 0) {
		size_t taken = 0;

		must(smtp_server_session_feed(session, p, n < PIECE ? n : PIECE, 0, &taken) == 0);
		smtp_server_session_sent(session, smtp_server_session_output(session).n);
		p += taken;
		n -= taken;
	}
}

static void feed_text(const char *text)
{
	feed(text, strlen(text));
}

static void begin_session(void)
{
	struct smtp_server_session_options options = SMTP_SERVER_SESSION_OPTIONS_INIT;

	options.hostname = "mx.example.org";
	options.max_transactions = UINT32_MAX;
	options.extensions |= SMTP_SERVER_CHUNKING;
	must(smtp_server_session_new(&session, &options, &handler, NULL) == 0);
	must(smtp_server_session_start(session, 0) == 0);
	feed_text("EHLO client.example.com\r\n");
}

static void by_bdat(const uint8_t *p, size_t n)
{
	char text[128];

	(void)snprintf(text, sizeof(text), "MAIL FROM:<alice@example.com>\r\n"
		       "RCPT TO:<bob@example.org>\r\nBDAT %zu LAST\r\n", n);
	feed_text(text);
	feed(p, n);
}

/* --- figures ------------------------------------------------------------------------------------ */

static void measure_content(const char *name, void (*run)(const uint8_t *p, size_t n), size_t n)
{
	uint8_t *message = make_message(n);
	double best = 1e9;

	for (int i = 0; i < RUNS; i++) {
		double begin = now_s();

		for (size_t at = 0; at < VOLUME; at += n)
			run(message, n);
		if (now_s() - begin < best)
			best = now_s() - begin;
	}
	printf("%-34s %8.0f MB/s\n", name, VOLUME / best / 1e6);
	free(message);
}

int main(void)
{
	static const size_t sizes[] = { 4096, 1 << 20 };
	static const char *const labels[] = { "4 KiB", "1 MiB" };
	char name[64];

	begin_session();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		(void)snprintf(name, sizeof(name), "DATA encoder, %s", labels[i]);
		measure_content(name, encode, sizes[i]);
		(void)snprintf(name, sizeof(name), "session, message by BDAT, %s", labels[i]);
		measure_content(name, by_bdat, sizes[i]);
	}
	must(seen > 0);
	smtp_server_session_free(session);
	return 0;
}
