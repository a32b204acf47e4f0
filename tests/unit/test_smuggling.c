/* SPDX-License-Identifier: ISC */
/* Every sequence of CR, LF and dot in the content of a whole session, cut at every octet: a message ends
 * with CRLF.CRLF and with nothing else, and what is in a chunk ends nothing at all.
 */
#include <stdio.h>

#include <smtp/server_session.h>

#include "tests/unit/testing.h"

enum { LONGEST = 7, ROOM = 256 };

/* Tests that run very often: a ck_assert writes to a pipe each time. */
#define NEED(condition, in)                                                                        \
	do {                                                                                       \
		if (!(condition))                                                                  \
			ck_abort_msg("%s: %s", #condition, shown(in));                             \
	} while (0)

static const char *shown(const char *in)
{
	static char text[ROOM];
	size_t i;

	for (i = 0; in[i] && i < sizeof(text) - 1; i++)
		text[i] = in[i] == '\r' ? 'R' : in[i] == '\n' ? 'N' : in[i];
	text[i] = '\0';
	return text;
}

/* --- what a handler is told ------------------------------------------------------------------- */

struct told {
	unsigned messages, resets, vrfys;
	char content[ROOM];
	size_t n;
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
	struct told *told = user;

	(void)s;
	if (told->n + octets.n > sizeof(told->content))
		abort();
	memcpy(told->content + told->n, octets.p, octets.n);
	told->n += octets.n;
	return SMTP_ACCEPT;
}

static enum smtp_verdict on_end(struct smtp_server_session *s, void *user)
{
	struct told *told = user;

	(void)s;
	told->messages++;
	return SMTP_ACCEPT;
}

static enum smtp_verdict on_vrfy(struct smtp_server_session *s,
				 const struct smtp_vrfy_request *request, void *user)
{
	struct told *told = user;

	(void)s;
	(void)request;
	told->vrfys++;
	return SMTP_ACCEPT;
}

static void on_reset(struct smtp_server_session *s, void *user)
{
	struct told *told = user;

	(void)s;
	told->resets++;
}

static const struct smtp_server_session_handler handler = {
	.size = sizeof(handler), .rcpt = on_rcpt, .content = on_content, .end = on_end,
	.vrfy = on_vrfy, .reset = on_reset,
};

/* --- a session -------------------------------------------------------------------------------- */

static struct smtp_server_session *begin(struct told *told, bool repair)
{
	struct smtp_server_session_options options = SMTP_SERVER_SESSION_OPTIONS_INIT;
	struct smtp_server_session *s = NULL;

	*told = (struct told){ .messages = 0 };
	options.hostname = "mx.example.org";
	options.extensions |= SMTP_SERVER_CHUNKING;
	options.bare_newline = repair ? SMTP_BARE_NEWLINE_REPAIR : SMTP_BARE_NEWLINE_REFUSE;
	if (smtp_server_session_new(&s, &options, &handler, told) != 0 ||
	    smtp_server_session_start(s, 0) != 0)
		abort();
	return s;
}

static void feed(struct smtp_server_session *s, const char *octets, size_t n)
{
	size_t taken = 0;

	if (smtp_server_session_feed(s, octets, n, 0, &taken) != 0 || taken != n)
		ck_abort_msg("feed");
}

static void feed_text(struct smtp_server_session *s, const char *text)
{
	feed(s, text, strlen(text));
}

/* `cut` 0: octet by octet. */
static void feed_cut(struct smtp_server_session *s, const char *octets, size_t n, size_t cut)
{
	if (cut > 0) {
		feed(s, octets, cut);
		feed(s, octets + cut, n - cut);
		return;
	}
	for (size_t i = 0; i < n; i++)
		feed(s, octets + i, 1);
}

/* Are these the last octets of the output? */
static bool ends_with(const struct smtp_server_session *s, const char *reply)
{
	struct smtp_span out = smtp_server_session_output(s);
	size_t n = strlen(reply);

	return out.n >= n && memcmp(out.p + out.n - n, reply, n) == 0;
}

/* --- what is right, in the plainest way ------------------------------------------------------- */

static bool has_bare(const char *in)
{
	for (size_t i = 0; in[i]; i++)
		if ((in[i] == '\r' && in[i + 1] != '\n') ||
		    (in[i] == '\n' && (i == 0 || in[i - 1] != '\r')))
			return true;
	return false;
}

static void repaired(char *out, const char *in)
{
	for (; *in; in++) {
		if (*in != '\r' && *in != '\n') {
			*out++ = *in;
			continue;
		}
		in += in[0] == '\r' && in[1] == '\n';
		*out++ = '\r';
		*out++ = '\n';
	}
	*out = '\0';
}

/* --- DATA ------------------------------------------------------------------------------------- */

static const char envelope[] = "EHLO a.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n";

/* After the sequence content goes on, with a command in it, up to an end that is one. */
static void check_data(const char *in, size_t cut, bool repair)
{
	struct told told;
	struct smtp_server_session *s = begin(&told, repair);
	const char *end = strstr(in, "\r\n.\r\n");
	size_t n = end ? (size_t)(end - in) + 5 : strlen(in);
	bool refused;

	feed_text(s, envelope);
	feed_text(s, "DATA\r\n");
	feed_cut(s, in, n, cut <= n ? cut : n);
	NEED(smtp_server_session_in_transaction(s) == !end, in);
	if (!end)
		feed_text(s, "b\r\nVRFY smuggled\r\n.\r\n");
	refused = told.messages == 0;
	NEED(told.messages + told.resets == 1 && told.vrfys == 0, in);
	NEED(ends_with(s, refused ? "554 5.6.0 bare CR or LF in the message\r\n" :
				    "250 2.0.0 message accepted\r\n"), in);
	NEED(!refused || !repair, in);
	NEED(end || repair || refused == (has_bare(in) || in[strlen(in) - 1] == '\r'), in);
	smtp_server_session_free(s);
}

/* --- BDAT ------------------------------------------------------------------------------------- */

/* The sequence in two chunks, cut there, and a command behind them. */
static void check_chunks(const char *in, size_t cut, bool repair)
{
	struct told told;
	struct smtp_server_session *s = begin(&told, repair);
	size_t n = strlen(in);
	char text[ROOM], want[ROOM];

	snprintf(text, sizeof(text), "%sBDAT %zu\r\n%.*sBDAT %zu LAST\r\n%sVRFY x\r\n", envelope, cut,
		 (int)cut, in, n - cut, in + cut);
	feed_cut(s, text, strlen(text), cut ? strlen(envelope) + cut : 0);
	NEED(told.vrfys == 1 && told.messages + told.resets == 1, in);
	NEED(told.messages == (repair || !has_bare(in)), in);
	repaired(want, in);
	if (told.messages == 1)
		NEED(told.n == strlen(want) && memcmp(told.content, want, told.n) == 0, in);
	smtp_server_session_free(s);
}

/* --- all sequences ---------------------------------------------------------------------------- */

typedef void check(const char *in, size_t cut, bool repair);

static void each_sequence(check *run, bool repair)
{
	static const char octets[] = { '\r', '\n', '.' };
	char in[LONGEST + 2] = "a";

	for (size_t n = 0, count = 1; n <= LONGEST; n++, count *= 3) {
		for (size_t number = 0; number < count; number++) {
			for (size_t i = 0, rest = number; i < n; i++, rest /= 3)
				in[1 + i] = octets[rest % 3];
			in[1 + n] = '\0';
			for (size_t cut = 0; cut <= n + 1; cut++)
				run(in, cut, repair);
		}
	}
}

START_TEST(data)
{
	each_sequence(check_data, _i == 1);
}
END_TEST

START_TEST(chunks)
{
	each_sequence(check_chunks, _i == 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("smuggling");
	TCase *tc = tcase_create("smuggling");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, data, 0, 2);
	tcase_add_loop_test(tc, chunks, 0, 2);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
