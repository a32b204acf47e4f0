/* SPDX-License-Identifier: ISC */
/* An SMTP server in a thread of the test that says and expects what a script tells it. Test code only. */
#ifndef TESTS_UNIT_SCRIPTED_SERVER_H
#define TESTS_UNIT_SCRIPTED_SERVER_H

#include <stdbool.h>
#include <stdint.h>

struct scripted_server;

/** One script for each connection, in order; `scripts` ends with NULL. Their lines:
 *    S TEXT   says TEXT and CRLF (several in a row go out in one write)
 *    C TEXT   expects a line that begins with TEXT
 *    D        expects content up to the lone dot; it is kept
 *    T        runs a TLS handshake (which may fail: the connection is then over)
 *    H        takes whatever comes next (the beginning of a handshake), and no part of it
 *    W        waits until the client closes
 *  At its end the connection is closed. With `certificate` and `key` of certificate.h for T; else NULL. */
struct scripted_server *scripted_server_start(const char *const *scripts, const char *certificate,
					      const char *key);
/** The same on a unix socket of that path, which is removed when the server is freed. */
struct scripted_server *scripted_server_start_unix(const char *const *scripts, const char *path);
/** Did a client show a certificate in a handshake that went well? */
bool scripted_server_saw_certificate(const struct scripted_server *server);
uint16_t scripted_server_port(const struct scripted_server *server);
/** Waits for the end of the scripts; what was wrong, "" if nothing. Lives until the server is freed. */
const char *scripted_server_end(struct scripted_server *server);
/** Content of the last D, CRLF line ends, dots as they came. */
const char *scripted_server_content(const struct scripted_server *server);
void scripted_server_free(struct scripted_server *server);

#endif
