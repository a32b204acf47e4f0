/* SPDX-License-Identifier: ISC */
/* Connections over socket pairs, in clear and with TLS: octets kept when not taken, short writes,
 * half-close, the polite end, TLS begun in the middle, freeing from within a callback.
 */
#include "tests/unit/testing.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include "libsmtp/net/conn.h"
#include "tests/unit/certificate.h"

enum { BIG = 8 << 20, TEXT_MAX = 4096 };

/* One end, with a record of what happened to it. */
struct end {
	struct smtp_conn *conn;
	uint8_t got[TEXT_MAX];
	size_t got_n;
	size_t total;      /* octets received, also those beyond `got` */
	size_t take;       /* at most so many at a time */
	size_t sent;       /* of BIG octets */
	bool sending;
	bool peer_closed;
	bool failed;
	bool tls;
	bool free_in_received;
	bool resume_in_received;
	bool tls_in_received;
	int error;
	char problem[256];
};

static struct smtp_loop *loop;
static struct end left;
static struct end right;
static int pair[2];
static uint8_t *big;
static struct certificate_files files;
static struct smtp_tls_context *server_tls;
static struct smtp_tls_context *client_tls;

static size_t on_received(void *user, const uint8_t *octets, size_t n)
{
	struct end *end = user;
	size_t taken = n < end->take ? n : end->take;
	bool same = true;

	for (size_t i = 0; i < taken; i++) {
		if (end->got_n < sizeof end->got)
			end->got[end->got_n++] = octets[i];
		same = same && octets[i] == (uint8_t)((end->total + i) * 7);
	}
	ck_assert(same || !end->sending); /* not per octet: each assertion is a system call */
	end->total += taken;
	smtp_loop_stop(loop);
	if (end->free_in_received) {
		smtp_conn_free(end->conn);
		end->conn = NULL;
		return 0;
	}
	if (end->resume_in_received && taken > 0)
		smtp_conn_resume(end->conn);
	if (end->tls_in_received) {
		end->tls_in_received = false;
		ck_assert_int_eq(smtp_conn_start_tls(end->conn, server_tls, true, NULL), 0);
	}
	return taken;
}

static void send_big(struct end *end)
{
	size_t n;

	ck_assert_int_eq(smtp_conn_write(end->conn, big + end->sent, BIG - end->sent, &n), 0);
	end->sent += n;
}

static void on_drained(void *user)
{
	struct end *end = user;

	if (end->sent < BIG)
		send_big(end);
}

static void on_tls_started(void *user, const char *description)
{
	struct end *end = user;

	end->tls = true;
	ck_assert_str_eq(description, "TLSv1.3 TLS_AES_256_GCM_SHA384");
	smtp_loop_stop(loop);
}

static void on_peer_closed(void *user)
{
	struct end *end = user;

	ck_assert(!end->peer_closed);
	end->peer_closed = true;
	smtp_loop_stop(loop);
}

static void on_failed(void *user, int error, const char *problem)
{
	struct end *end = user;

	ck_assert(!end->failed);
	end->failed = true;
	end->error = error;
	(void)snprintf(end->problem, sizeof end->problem, "%s", problem);
	smtp_loop_stop(loop);
}

static const struct smtp_conn_events events = {
	.received = on_received,
	.drained = on_drained,
	.tls_started = on_tls_started,
	.peer_closed = on_peer_closed,
	.failed = on_failed,
};

static void set_up(void)
{
	char problem[SMTP_TLS_PROBLEM_MAX];

	ck_assert_int_eq(smtp_loop_new(&loop), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	left = (struct end){ .take = SIZE_MAX };
	right = (struct end){ .take = SIZE_MAX };
	ck_assert_int_eq(smtp_conn_new(&left.conn, loop, pair[0], &events, &left), 0);
	certificate_make(&files, "DNS:localhost,IP:127.0.0.1", NULL);
	ck_assert_int_eq(smtp_tls_server_context_new(&server_tls, files.certificate, files.key,
						     NULL, problem),
			 0);
	ck_assert_int_eq(smtp_tls_client_context_new(&client_tls, true, files.certificate,
						     problem),
			 0);
	big = malloc(BIG);
	ck_assert_ptr_nonnull(big);
	for (size_t i = 0; i < BIG; i++)
		big[i] = (uint8_t)(i * 7);
}

static void tear_down(void)
{
	smtp_conn_free(left.conn);
	smtp_conn_free(right.conn);
	if (pair[1] >= 0)
		(void)close(pair[1]);
	smtp_tls_context_unref(server_tls);
	smtp_tls_context_unref(client_tls);
	certificate_remove(&files);
	smtp_loop_free(loop);
	free(big);
}

/* The other end becomes a conn too. */
static void join_right(void)
{
	ck_assert_int_eq(smtp_conn_new(&right.conn, loop, pair[1], &events, &right), 0);
	pair[1] = -1;
}

static void run_until(const bool *flag)
{
	while (!*flag)
		ck_assert_int_eq(smtp_loop_run(loop), 0);
}

static void run_until_total(const struct end *end, size_t total)
{
	while (end->total < total)
		ck_assert_int_eq(smtp_loop_run(loop), 0);
}

static void say(const char *text)
{
	ck_assert_int_eq((int)write(pair[1], text, strlen(text)), (int)strlen(text));
}

static void start_both(void)
{
	join_right();
	ck_assert_int_eq(smtp_conn_start_tls(left.conn, server_tls, true, NULL), 0);
	ck_assert_int_eq(smtp_conn_start_tls(right.conn, client_tls, false, "localhost"), 0);
	run_until(&left.tls);
	run_until(&right.tls);
}

START_TEST(octets_not_taken_are_offered_again)
{
	left.take = 3;
	say("abcdefgh");
	run_until_total(&left, 3);
	say("ij");
	smtp_conn_resume(left.conn);
	ck_assert_uint_eq(left.total, 6);
	smtp_conn_resume(left.conn);
	ck_assert_uint_eq(left.total, 8);
	run_until_total(&left, 10);
	ck_assert_mem_eq(left.got, "abcdefghij", 10);
}
END_TEST

START_TEST(resumed_from_within_received)
{
	left.take = 1;
	left.resume_in_received = true;
	say("abcdefgh");
	run_until_total(&left, 8);
	ck_assert_mem_eq(left.got, "abcdefgh", 8);
}
END_TEST

START_TEST(peer_closed_comes_after_the_last_octet)
{
	left.take = 4;
	say("abcdefgh");
	ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0);
	run_until_total(&left, 4);
	ck_assert(!left.peer_closed);
	smtp_conn_resume(left.conn);
	ck_assert_uint_eq(left.total, 8);
	run_until(&left.peer_closed);
}
END_TEST

START_TEST(half_closed_peer_is_still_answered)
{
	char got[8];
	size_t n;

	ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0);
	run_until(&left.peer_closed);
	ck_assert_int_eq(smtp_conn_write(left.conn, "hello", 5, &n), 0);
	ck_assert_uint_eq(n, 5);
	ck_assert_int_eq((int)read(pair[1], got, sizeof got), 5);
}
END_TEST

START_TEST(freed_from_within_received)
{
	left.free_in_received = true;
	say("abc");
	while (left.conn)
		ck_assert_int_eq(smtp_loop_run(loop), 0);
}
END_TEST

START_TEST(write_to_a_closed_peer_raises_no_signal)
{
	size_t n;

	ck_assert(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
	ck_assert_int_eq(close(pair[1]), 0);
	pair[1] = -1;
	ck_assert_int_eq(smtp_conn_write(left.conn, "hello", 5, &n), SMTP_ECLOSED);
	ck_assert_str_eq(smtp_conn_problem(left.conn), "Broken pipe");
}
END_TEST

/* In clear and, as row 1, over TLS. */
START_TEST(big_transfer_with_short_writes)
{
	if (_i == 1)
		start_both();
	else
		join_right();
	right.sending = true; /* compares */
	send_big(&left);
	ck_assert_uint_lt(left.sent, BIG);
	run_until_total(&right, BIG);
	ck_assert_uint_eq(left.sent, BIG);
}
END_TEST

START_TEST(both_ways_and_a_polite_end_over_tls)
{
	size_t n;

	start_both();
	ck_assert_int_eq(smtp_conn_write(left.conn, "hello", 5, &n), 0);
	ck_assert_int_eq(smtp_conn_write(right.conn, "world!", 6, &n), 0);
	run_until_total(&left, 6);
	run_until_total(&right, 5);
	ck_assert_mem_eq(left.got, "world!", 6);
	smtp_conn_shutdown(left.conn);
	run_until(&right.peer_closed);
	ck_assert(!left.peer_closed);
	right.peer_closed = false;
	smtp_conn_shutdown(right.conn);
	run_until(&left.peer_closed);
	run_until(&right.peer_closed); /* again: it may be freed now */
	ck_assert(!left.failed);
}
END_TEST

START_TEST(kept_octets_over_tls)
{
	size_t n;

	start_both();
	left.take = 2;
	ck_assert_int_eq(smtp_conn_write(right.conn, "abc", 3, &n), 0);
	ck_assert_int_eq(smtp_conn_write(right.conn, "def", 3, &n), 0);
	run_until_total(&left, 2);
	ck_assert_int_eq(smtp_conn_write(right.conn, "gh", 2, &n), 0);
	left.take = SIZE_MAX;
	smtp_conn_resume(left.conn);
	run_until_total(&left, 8);
	ck_assert_mem_eq(left.got, "abcdefgh", 8);
}
END_TEST

/* One read is 64 KiB; what OpenSSL has read beyond that shows in no readiness of the socket. Records of
 * this length leave less than a header in its buffer of 16709 octets, so that it reads on. */
START_TEST(rest_that_is_already_decrypted)
{
	enum { RECORDS = 300, RECORD = 235 };
	int room = 1 << 20;

	ck_assert_int_eq(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
	start_both();
	for (int i = 0; i < RECORDS; i++) {
		size_t n;

		ck_assert_int_eq(smtp_conn_write(right.conn, big, RECORD, &n), 0);
		ck_assert_uint_eq(n, RECORD);
	}
	run_until_total(&left, RECORDS * RECORD);
}
END_TEST

START_TEST(tls_started_from_within_received)
{
	left.tls_in_received = true;
	say("STARTTLS\r\n");
	run_until_total(&left, 10);
	join_right();
	ck_assert_int_eq(smtp_conn_start_tls(right.conn, client_tls, false, "localhost"), 0);
	run_until(&left.tls);
	run_until(&right.tls);
}
END_TEST

START_TEST(octets_behind_the_start_of_tls_fail)
{
	left.tls_in_received = true;
	left.take = 10;
	say("STARTTLS\r\nEHLO x\r\n");
	run_until(&left.failed);
	ck_assert_int_eq(left.error, SMTP_EPROTO);
	ck_assert(!left.tls);
}
END_TEST

START_TEST(start_of_tls_with_kept_octets_is_refused)
{
	left.take = 1;
	say("ab");
	run_until_total(&left, 1);
	ck_assert_int_eq(smtp_conn_start_tls(left.conn, server_tls, true, NULL), SMTP_EPROTO);
}
END_TEST

START_TEST(handshake_with_nonsense_fails)
{
	ck_assert_int_eq(smtp_conn_start_tls(left.conn, server_tls, true, NULL), 0);
	say("EHLO client.example\r\n");
	run_until(&left.failed);
	ck_assert_int_eq(left.error, SMTP_ETLS);
	ck_assert_str_eq(left.problem, "wrong version number");
}
END_TEST

START_TEST(handshake_with_a_peer_that_closes_fails)
{
	ck_assert_int_eq(smtp_conn_start_tls(left.conn, server_tls, true, NULL), 0);
	ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0);
	run_until(&left.failed);
	ck_assert_int_eq(left.error, SMTP_ETLS);
}
END_TEST

START_TEST(polite_end_discards_and_waits)
{
	char got[8];
	size_t n;

	ck_assert_int_eq(smtp_conn_write(left.conn, "421", 3, &n), 0);
	smtp_conn_shutdown(left.conn);
	say("more of it");
	ck_assert_int_eq((int)read(pair[1], got, sizeof got), 3);
	ck_assert_int_eq((int)read(pair[1], got, sizeof got), 0);
	ck_assert_int_eq(smtp_conn_write(left.conn, "x", 1, &n), SMTP_ECLOSED);
	ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0);
	run_until(&left.peer_closed);
	ck_assert_uint_eq(left.total, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("conn");
	TCase *tc = tcase_create("conn");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, octets_not_taken_are_offered_again);
	tcase_add_test(tc, resumed_from_within_received);
	tcase_add_test(tc, peer_closed_comes_after_the_last_octet);
	tcase_add_test(tc, half_closed_peer_is_still_answered);
	tcase_add_test(tc, freed_from_within_received);
	tcase_add_test(tc, write_to_a_closed_peer_raises_no_signal);
	tcase_add_loop_test(tc, big_transfer_with_short_writes, 0, 2);
	tcase_add_test(tc, both_ways_and_a_polite_end_over_tls);
	tcase_add_test(tc, kept_octets_over_tls);
	tcase_add_test(tc, rest_that_is_already_decrypted);
	tcase_add_test(tc, tls_started_from_within_received);
	tcase_add_test(tc, octets_behind_the_start_of_tls_fail);
	tcase_add_test(tc, start_of_tls_with_kept_octets_is_refused);
	tcase_add_test(tc, handshake_with_nonsense_fails);
	tcase_add_test(tc, handshake_with_a_peer_that_closes_fails);
	tcase_add_test(tc, polite_end_discards_and_waits);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
