/* SPDX-License-Identifier: ISC */
/* The PROXY protocol before real connections: who is believed, what the session then knows, that nothing
 * is said before, and that TLS may follow in the same packet. And who is told of those without a session.
 */
#include <errno.h>
#include <pthread.h>
#include <smtp/server.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include "tests/unit/certificate.h"
#include "tests/unit/server_client.h"
#include "tests/unit/testing.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V1 "PROXY TCP4 192.0.2.7 198.51.100.2 56324 25\r\n"
#define V2 SIGNATURE "\x21\x11\0\x13" "\xc0\0\x02\x07\xc6\x33\x64\x02" "\xdc\x04\0\x19" "\x01\0\x04h2c!"
#define V2_LOCAL SIGNATURE "\x20\0\0\0"
#define BYTES(text) text, sizeof(text) - 1

static struct smtp_server *server;
static struct smtp_server_options options;
static struct smtp_listener_options listener;
static struct certificate_files files;
static pthread_t server_thread;
static uint16_t port;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char ends[256];    /* of the last session */
static char refusals[512]; /* all of them */
static atomic_int connects, last_reason;

static enum smtp_verdict on_connect(struct smtp_server_session *s, void *user)
{
	(void)user;
	(void)pthread_mutex_lock(&lock);
	snprintf(ends, sizeof(ends), "%s %d > %s %d", smtp_server_session_peer_address(s),
		 smtp_server_session_peer_port(s) == 56324, smtp_server_session_local_address(s),
		 smtp_server_session_local_port(s) == 25);
	(void)pthread_mutex_unlock(&lock);
	atomic_fetch_add(&connects, 1);
	return SMTP_ACCEPT;
}

static void on_disconnect(struct smtp_server_session *s, enum smtp_disconnect_reason reason,
			  void *user)
{
	(void)s;
	(void)user;
	atomic_store(&last_reason, (int)reason);
}

static const struct smtp_server_session_handler handler = { .size = sizeof(handler),
							    .connect = on_connect,
							    .disconnect = on_disconnect };

static void on_refused(const struct smtp_server_refusal *refusal, void *user)
{
	size_t n;

	ck_assert_ptr_eq(user, refusals);
	ck_assert_uint_eq(refusal->listener, 0);
	ck_assert_uint_ne(refusal->peer_port, 0);
	(void)pthread_mutex_lock(&lock);
	n = strlen(refusals);
	snprintf(refusals + n, sizeof(refusals) - n, "%s %s\n", refusal->peer_address,
		 smtp_refusal_str(refusal->reason));
	(void)pthread_mutex_unlock(&lock);
}

static const char *copy_of(const char *text)
{
	static char copy[sizeof(refusals)];

	(void)pthread_mutex_lock(&lock);
	snprintf(copy, sizeof(copy), "%s", text);
	(void)pthread_mutex_unlock(&lock);
	return copy;
}

static void set_up(void)
{
	smtp_server_options_init(&options);
	options.loops = 2;
	options.refused = on_refused;
	options.refused_user = refusals;
	listener = (struct smtp_listener_options)SMTP_LISTENER_OPTIONS_INIT;
	listener.address = "127.0.0.1:0";
	listener.session.hostname = "mail.example.com";
	listener.handler = &handler;
	listener.proxy_networks = "127.0.0.0/9, 2001:db8::/32"; /* 127.128.0.0 and up are strangers */
	certificate_make(&files, "DNS:localhost", NULL);
}

static void *run_server(void *user)
{
	(void)user;
	ck_assert_int_eq(smtp_server_run(server), 0);
	return NULL;
}

static void serve(void)
{
	ck_assert_int_eq(smtp_server_new(&server, &options), 0);
	ck_assert_msg(smtp_server_listen(server, &listener, &port) == 0, "%s",
		      smtp_server_problem(server));
	ck_assert_int_eq(pthread_create(&server_thread, NULL, run_server, NULL), 0);
}

static void tear_down(void)
{
	if (server) {
		smtp_server_shutdown(server, 0);
		ck_assert_int_eq(pthread_join(server_thread, NULL), 0);
		smtp_server_free(server);
	}
	certificate_remove(&files);
}

static void client_connect(struct client *c)
{
	client_connect_to(c, "127.0.0.1", port);
}

static bool something_was_refused(void)
{
	return *copy_of(refusals) != '\0';
}

static bool a_session_began(void)
{
	return atomic_load(&connects) > 0;
}

static bool no_session_is_left(void)
{
	return smtp_server_session_count(server) == 0;
}

static const struct {
	const char *name;
	const char *header;
	size_t n;
	const char *ends;
} headers[] = {
	{ "version 1", BYTES(V1), "192.0.2.7 1 > 198.51.100.2 1" },
	{ "version 2", BYTES(V2), "192.0.2.7 1 > 198.51.100.2 1" },
	{ "IPv6", BYTES("PROXY TCP6 2001:db8::7 2001:db8::2 56324 25\r\n"),
	  "2001:db8::7 1 > 2001:db8::2 1" },
	{ "unknown", BYTES("PROXY UNKNOWN\r\n"), "127.0.0.1 0 > 127.0.0.1 0" },
	{ "local", BYTES(V2_LOCAL), "127.0.0.1 0 > 127.0.0.1 0" },
};
enum { HEADERS = sizeof(headers) / sizeof(*headers) };

/* The dialogue begins in the same packet, or the header comes octet by octet; there is no greeting
 * before. */
START_TEST(header_is_taken)
{
	struct client c;

	serve();
	client_connect(&c);
	if (_i < HEADERS) {
		char all[256];

		memcpy(all, headers[_i].header, headers[_i].n);
		memcpy(all + headers[_i].n, "NOOP\r\n", 6);
		client_write(&c, all, headers[_i].n + 6);
	} else {
		for (size_t i = 0; i < headers[_i - HEADERS].n; i++) {
			ck_assert(!a_session_began());
			client_write(&c, headers[_i - HEADERS].header + i, 1);
		}
		client_say(&c, "NOOP\r\n");
	}
	client_expect(&c, "220 mail.example.com");
	client_expect(&c, "250");
	ck_assert_str_eq(copy_of(ends), headers[_i % HEADERS].ends);
	client_close(&c);
}
END_TEST

/* An empty line behind the header is the client's mistake, not another header. */
START_TEST(empty_line_behind_the_header)
{
	struct client c;

	serve();
	client_connect(&c);
	client_say(&c, V1);
	client_expect(&c, "220");
	client_talk(&c, "\r\n", "500");
	client_talk(&c, "NOOP\r\n", "250");
	client_close(&c);
}
END_TEST

/* The octets of TLS stay in the socket for it. */
START_TEST(tls_follows_in_the_same_packet)
{
	struct client c;
	BIO *hello = BIO_new(BIO_s_mem());
	BIO *nothing = BIO_new(BIO_s_mem());
	char all[8192];
	int n;

	listener.implicit_tls = true;
	listener.certificate_file = files.certificate;
	listener.key_file = files.key;
	serve();
	client_connect(&c);
	c.context = SSL_CTX_new(TLS_client_method());
	c.ssl = SSL_new(c.context);
	SSL_set_bio(c.ssl, nothing, hello);
	ck_assert_int_eq(SSL_connect(c.ssl), -1); /* has written its first flight */
	memcpy(all, headers[_i].header, headers[_i].n);
	n = BIO_read(hello, all + headers[_i].n, (int)(sizeof(all) - headers[_i].n));
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(send(c.fd, all, headers[_i].n + (size_t)n, MSG_NOSIGNAL),
			 (ssize_t)headers[_i].n + n);
	ck_assert_int_eq(SSL_set_fd(c.ssl, c.fd), 1);
	ck_assert_int_eq(SSL_connect(c.ssl), 1);
	client_expect(&c, "220 mail.example.com");
	ck_assert_str_eq(copy_of(ends), headers[_i].ends);
	client_close(&c);
}
END_TEST

/* Without a word; octets that nobody took make a reset of it. */
static void expect_gone(struct client *c)
{
	char octet;
	ssize_t n = recv(c->fd, &octet, 1, 0);

	ck_assert_msg(n == 0 || (n < 0 && errno == ECONNRESET), "%zd, %s", n, strerror(errno));
}

static const struct {
	const char *name;
	const char *octets;
	size_t n;
} invalid[] = {
	{ "a client", BYTES("EHLO client.example\r\n") },
	{ "version 1", BYTES("PROXY TCP4 192.0.2.7 198.51.100.2 56324\r\n") },
	{ "a datagram", BYTES(SIGNATURE "\x21\x12\0\x0c") },
};

START_TEST(invalid_header_closes_without_a_reply)
{
	struct client c;

	serve();
	client_connect(&c);
	client_write(&c, invalid[_i].octets, invalid[_i].n);
	expect_gone(&c);
	client_close(&c);
	wait_for(something_was_refused);
	ck_assert_str_eq(copy_of(refusals), "127.0.0.1 proxy\n");
	ck_assert(!a_session_began());
}
END_TEST

START_TEST(half_a_header)
{
	struct client c;

	options.handshake_timeout_ms = _i ? 30 : 30000;
	serve();
	client_connect(&c);
	client_write(&c, V1, 20);
	if (_i == 0)
		ck_assert_int_eq(shutdown(c.fd, SHUT_WR), 0);
	expect_gone(&c);
	client_close(&c);
	wait_for(something_was_refused);
	ck_assert_str_eq(copy_of(refusals), _i ? "127.0.0.1 timeout\n" : "127.0.0.1 proxy\n");
}
END_TEST

static void connect_as_stranger(struct client *c)
{
	client_connect_from(c, "127.200.0.1", "127.0.0.1", port);
}

START_TEST(stranger_is_greeted_at_once)
{
	struct client c;

	serve();
	connect_as_stranger(&c);
	client_expect(&c, "220 mail.example.com");
	ck_assert_str_eq(copy_of(ends), "127.200.0.1 0 > 127.0.0.1 0");
	client_talk(&c, "NOOP\r\n", "250");
	client_close(&c);
}
END_TEST

START_TEST(header_of_a_stranger_ends_the_session)
{
	struct client c;

	serve();
	connect_as_stranger(&c);
	client_expect(&c, "220 mail.example.com");
	client_write(&c, headers[_i].header, headers[_i].n);
	if (headers[_i].header[0] == 'P')
		client_expect(&c, "550");
	client_expect_end(&c);
	client_close(&c);
	wait_for(no_session_is_left);
	ck_assert_int_eq(atomic_load(&last_reason), SMTP_DISCONNECT_PROTOCOL);
	ck_assert_str_eq(copy_of(ends), "127.200.0.1 0 > 127.0.0.1 0");
}
END_TEST

/* Nobody is trusted; a client may still begin with empty lines. */
START_TEST(header_where_none_is_taken)
{
	struct client c;

	listener.proxy_networks = NULL;
	serve();
	client_connect(&c);
	client_expect(&c, "220 mail.example.com");
	client_talk(&c, "\r\n", "500");
	client_close(&c);
	client_connect(&c);
	client_expect(&c, "220 mail.example.com");
	client_write(&c, headers[_i].header, headers[_i].n);
	if (headers[_i].header[0] == 'P')
		client_expect(&c, "550");
	client_expect_end(&c);
	client_close(&c);
	wait_for(no_session_is_left);
	ck_assert_int_eq(atomic_load(&last_reason), SMTP_DISCONNECT_PROTOCOL);
}
END_TEST

/* The proxy itself is not counted, its clients are. */
START_TEST(limits_are_those_of_the_client)
{
	struct client first, second, third;

	options.max_connections_per_ip = 1;
	serve();
	client_connect(&first);
	client_say(&first, V1);
	client_expect(&first, "220");
	client_connect(&second);
	client_say(&second, V1);
	client_expect(&second, "421 4.7.0 mail.example.com too many connections from your network");
	client_expect_end(&second);
	client_connect(&third);
	client_say(&third, "PROXY TCP4 192.0.2.8 198.51.100.2 56324 25\r\n");
	client_expect(&third, "220");
	client_close(&first);
	client_close(&second);
	client_close(&third);
	wait_for(something_was_refused);
	ck_assert_str_eq(copy_of(refusals), "192.0.2.7 connections-per-ip\n");
}
END_TEST

static void *stop(void *user)
{
	(void)user;
	smtp_server_shutdown(server, CLIENT_WAIT_S * 1000);
	return NULL;
}

START_TEST(shutdown_does_not_wait_for_a_header)
{
	struct client c;
	pthread_t thread;

	serve();
	client_connect(&c);
	client_write(&c, V1, 10);
	ck_assert_int_eq(pthread_create(&thread, NULL, stop, NULL), 0);
	expect_gone(&c);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	client_close(&c);
}
END_TEST

START_TEST(networks_are_checked)
{
	static const char *const wrong[] = { "192.0.2.1/33", "mail.example.com", "192.0.2.1/24" };

	listener.proxy_networks = wrong[_i];
	ck_assert_int_eq(smtp_server_new(&server, &options), 0);
	ck_assert_int_eq(smtp_server_listen(server, &listener, &port), SMTP_EINVAL);
	ck_assert_msg(strncmp(smtp_server_problem(server), "proxy_networks", 14) == 0, "%s",
		      smtp_server_problem(server));
	smtp_server_free(server);
	server = NULL;
}
END_TEST

/* --- those without a session ------------------------------------------------------------------ */

START_TEST(failed_handshake_is_told)
{
	struct client c;

	listener.proxy_networks = NULL;
	listener.implicit_tls = true;
	listener.certificate_file = files.certificate;
	listener.key_file = files.key;
	options.handshake_timeout_ms = _i ? 30 : 30000;
	serve();
	client_connect(&c);
	if (_i == 0)
		client_say(&c, "EHLO client.example\r\n");
	wait_for(something_was_refused);
	ck_assert_str_eq(copy_of(refusals), _i ? "127.0.0.1 timeout\n" : "127.0.0.1 tls\n");
	client_close(&c);
	ck_assert(!a_session_began());
}
END_TEST

START_TEST(full_server_is_told)
{
	struct client first, second;

	listener.proxy_networks = NULL;
	options.max_connections = 1;
	serve();
	client_connect(&first);
	client_expect(&first, "220");
	client_connect(&second);
	client_expect(&second, "421 4.3.2 mail.example.com too many connections");
	client_expect_end(&second);
	wait_for(something_was_refused);
	ck_assert_str_eq(copy_of(refusals), "127.0.0.1 connections\n");
	client_close(&first);
	client_close(&second);
}
END_TEST

START_TEST(refusals_have_names)
{
	for (int i = SMTP_REFUSAL_CONNECTIONS; i <= SMTP_REFUSAL_MEMORY; i++)
		ck_assert_str_ne(smtp_refusal_str((enum smtp_refusal)i), "unknown");
	ck_assert_str_eq(smtp_refusal_str((enum smtp_refusal)99), "unknown");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("server_proxy");
	TCase *tc = tcase_create("server_proxy");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, header_is_taken, 0, 2 * HEADERS);
	tcase_add_test(tc, empty_line_behind_the_header);
	tcase_add_loop_test(tc, tls_follows_in_the_same_packet, 0, HEADERS);
	tcase_add_loop_test(tc, invalid_header_closes_without_a_reply, 0, ROWS(invalid));
	tcase_add_loop_test(tc, half_a_header, 0, 2);
	tcase_add_test(tc, stranger_is_greeted_at_once);
	tcase_add_loop_test(tc, header_of_a_stranger_ends_the_session, 0, HEADERS);
	tcase_add_loop_test(tc, header_where_none_is_taken, 0, HEADERS);
	tcase_add_test(tc, limits_are_those_of_the_client);
	tcase_add_test(tc, shutdown_does_not_wait_for_a_header);
	tcase_add_loop_test(tc, networks_are_checked, 0, 3);
	tcase_add_loop_test(tc, failed_handshake_is_told, 0, 2);
	tcase_add_test(tc, full_server_is_told);
	tcase_add_test(tc, refusals_have_names);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
