/* SPDX-License-Identifier: ISC */
/* The n-th allocation of a client session fails, for each n until a session gets by without, in each
 * dialogue of client_session_rows.h: nothing leaks, it ends once, a transaction has one result at most.
 * Left out under sanitizers, which bring a malloc of their own.
 */
#define FAILING_MALLOC_IS_ALL
#include "failing_malloc.h"
#include "testing.h"

#if HAS_FAILING_MALLOC

#include "client_extension_rows.h"

/* --- the owner ------------------------------------------------------------------------------- */

struct told {
	const struct want *want;
	unsigned mails_left, begun, done, ended;
	size_t content_at;
	int error;
};

static struct told told;

static int give_content(void *user, uint8_t *out, size_t cap, size_t *n)
{
	(void)user;
	*n = told.content_at < 20000 ? cap : 0;
	memset(out, '.', *n);
	told.content_at += *n;
	return *n ? 0 : told.want->read_error;
}

static int rewind_content(void *user)
{
	(void)user;
	told.content_at = 0;
	return 0;
}

static void give_work(struct smtp_client_session *s)
{
	struct smtp_client_transaction txn = SMTP_CLIENT_TRANSACTION_INIT;
	struct smtp_client_recipient recipients[WANT_PATHS_MAX];
	struct smtp_path from, to[WANT_PATHS_MAX];
	int err = SMTP_ESTATE;

	malloc_is_spared = true; /* libcheck's memory is not ours */
	fill_transaction(&txn, told.want, &from, to, recipients);
	malloc_is_spared = false;
	txn.content.read = give_content;
	if (told.want->rewinds)
		txn.content.rewind = rewind_content;
	told.content_at = 0;
	if (told.mails_left > 0) {
		told.mails_left--;
		err = smtp_client_session_mail(s, &txn);
		told.begun += err == 0;
	} else if (told.want->command) {
		err = smtp_client_session_command(s, smtp_span_of(told.want->command));
	}
	if (err)
		smtp_client_session_quit(s);
}

static void tell_ready(struct smtp_client_session *s, void *user)
{
	(void)user;
	MUST(told.ended == 0);
	give_work(s);
}

static void tell_done(struct smtp_client_session *s, enum smtp_client_step step,
		      const struct smtp_reply *final, void *user)
{
	(void)step;
	(void)user;
	MUST(told.ended == 0 && ++told.done == told.begun);
	MUST(final->code == 0 || final->code >= 200);
	give_work(s);
}

static void tell_failed(struct smtp_client_session *s, int error, enum smtp_client_step step,
			const struct smtp_reply *reply, void *user)
{
	(void)s;
	(void)step;
	(void)reply;
	(void)user;
	MUST(told.ended++ == 0);
	told.error = error;
}

static void tell_finished(struct smtp_client_session *s, void *user)
{
	(void)s;
	(void)user;
	MUST(told.ended++ == 0 && told.done == told.begun);
}

static const struct smtp_client_session_handler teller = {
	.size = sizeof(teller), .ready = tell_ready, .transaction_done = tell_done,
	.failed = tell_failed, .finished = tell_finished,
};

/* --- the driver ------------------------------------------------------------------------------ */

static void send_all(struct smtp_client_session *s)
{
	while (smtp_client_session_wants(s) & SMTP_WANTS_WRITE)
		smtp_client_session_sent(s, smtp_client_session_output(s, 0).n, 0);
}

/* The lines of the server, each when the client has said what it has to say. */
static void play_line(struct smtp_client_session *s, const char *line, size_t n)
{
	size_t taken;

	if (n >= 3 && line[0] == 'S') {
		(void)!smtp_client_session_feed(s, line + 3, n - 3, 0, &taken);
		if (line[1] == ':')
			(void)!smtp_client_session_feed(s, "\r\n", 2, 0, &taken);
	} else if (line[0] == 'T' && smtp_client_session_wants(s) == SMTP_WANTS_TLS) {
		MUST(smtp_client_session_tls_started(s, "TLSv1.3", 0) == 0);
	}
	send_all(s);
}

static void play_session(const struct row *row, unsigned n)
{
	struct smtp_client_session_options options = options_of(&row->want);
	struct smtp_client_session *s = NULL;
	int err;

	told = (struct told){ .want = &row->want, .mails_left = row->want.mails };
	malloc_watch(n);
	err = smtp_client_session_new(&s, &options, &teller, NULL);
	MUST(err ? err == SMTP_ENOMEM && !s && malloc_failed : s != NULL);
	if (s) {
		if (options.tls == SMTP_CLIENT_TLS_IMPLICIT)
			MUST(smtp_client_session_tls_started(s, "TLSv1.3", 0) == 0);
		smtp_client_session_start(s, 0);
		for (const char *at = row->script; *at;) {
			const char *end = strchr(at, '\n');

			play_line(s, at, (size_t)(end - at));
			at = end + 1;
		}
		smtp_client_session_peer_closed(s);
		MUST(told.ended == 1);
	}
	MUST(told.error != SMTP_ENOMEM || malloc_failed);
	smtp_client_session_free(s);
	MUST(malloc_unwatch() == 0);
}

START_TEST(without_memory)
{
	unsigned n = 1;

	do {
		play_session(&rows[_i], n++);
	} while (malloc_failed);
	ck_assert_uint_ge(n, 3);
}
END_TEST

START_TEST(extension_without_memory)
{
	unsigned n = 1;

	do {
		play_session(&extension_rows[_i], n++);
	} while (malloc_failed);
	ck_assert_uint_ge(n, 3);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client_session_memory");
	TCase *tc = tcase_create("memory");

	tcase_add_loop_test(tc, without_memory, 0, ROWS(rows));
	tcase_add_loop_test(tc, extension_without_memory, 0, ROWS(extension_rows));
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
#endif
