/* SPDX-License-Identifier: ISC */
/* server_client.h - for tests of the listening server: a client that says lines and expects replies.
 * What goes wrong fails the test.
 */
#ifndef TESTS_UNIT_SERVER_CLIENT_H
#define TESTS_UNIT_SERVER_CLIENT_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CLIENT_LINE_MAX = 2048, CLIENT_WAIT_S = 20 };

struct client {
	int fd;
	SSL_CTX *context;
	SSL *ssl;
	bool may_be_cut; /* a reset is as an end */
	char in[CLIENT_LINE_MAX];
	size_t in_n;
};

uint64_t now_ms(void);
/** Looks until it is so; the limit is only there for a test that fails. */
void wait_for(bool (*is_so)(void));
/** `host`: an address as text. */
void client_connect_to(struct client *, const char *host, uint16_t port);
/** The same from an address of this host. */
void client_connect_from(struct client *, const char *from, const char *host, uint16_t port);
void client_close(struct client *);
bool client_start_tls(struct client *);
void client_write(struct client *, const char *text, size_t n);
void client_say(struct client *, const char *text);
/** One read. 0: the server has closed. */
size_t client_fill(struct client *);
/** The next line without CRLF; false at the end of the connection. */
bool client_line(struct client *, char line[CLIENT_LINE_MAX]);
/** The last line of the next reply begins so. */
void client_expect(struct client *, const char *begin);
void client_expect_end(struct client *);
void client_talk(struct client *, const char *command, const char *begin);

#endif
