/* SPDX-License-Identifier: ISC */
/* connection.h - what all commands of smtpc have in common: the options of a connection, opening it,
 * the dialogue on standard error, exit statuses.
 */
#ifndef SMTPC_CONNECTION_H
#define SMTPC_CONNECTION_H

#include <smtp/client.h>
#include "cli/command.h"

struct connection_options {
	const char *user;
	const char *password_file;
	const char *password_command;
	const char *mechanism;
	const char *ca_file;
	const char *client_cert, *client_key, *client_key_password_file;
	const char *pin;
	const char *helo_name;
	const char *resolver;
	bool insecure;
	bool verbose;
	bool json;
};

/** Rows of an option table, for a struct that holds the options as `member`. */
#define CONNECTION_OPTION(type, member, field) (offsetof(type, member) + \
						offsetof(struct connection_options, field))
#define CONNECTION_OPTIONS(type, member)                                                           \
	{ "user", 'u', CLI_TEXT, CONNECTION_OPTION(type, member, user), "NAME",                    \
	  "log in under this name; the password is asked for unless" },                            \
	{ "password-file", 0, CLI_TEXT, CONNECTION_OPTION(type, member, password_file), "FILE",    \
	  "... it is the first line of this file" },                                               \
	{ "password-command", 0, CLI_TEXT, CONNECTION_OPTION(type, member, password_command),      \
	  "COMMAND", "... or what this command prints" },                                          \
	{ "auth", 0, CLI_TEXT, CONNECTION_OPTION(type, member, mechanism), "MECHANISM",            \
	  "PLAIN, XOAUTH2 (the password is a token) ...; by default the best offered" },           \
	{ "ca-file", 0, CLI_TEXT, CONNECTION_OPTION(type, member, ca_file), "FILE",                \
	  "trust these certificates (PEM), not the system's" },                                    \
	{ "insecure", 0, CLI_FLAG, CONNECTION_OPTION(type, member, insecure), NULL,                \
	  "take any certificate: anybody may listen" },                                            \
	{ "pin", 0, CLI_TEXT, CONNECTION_OPTION(type, member, pin), "SHA256",                      \
	  "trust the server by the hash of its public key alone, hexadecimal or base64" },         \
	{ "client-cert", 0, CLI_TEXT, CONNECTION_OPTION(type, member, client_cert), "FILE",        \
	  "show this certificate (PEM) to a server that asks for one" },                           \
	{ "client-key", 0, CLI_TEXT, CONNECTION_OPTION(type, member, client_key), "FILE",          \
	  "... whose key is this (PEM)" },                                                         \
	{ "client-key-password-file", 0, CLI_TEXT,                                                 \
	  CONNECTION_OPTION(type, member, client_key_password_file), "FILE",                       \
	  "... and the password of that the first line of this file" },                            \
	{ "helo-name", 0, CLI_TEXT, CONNECTION_OPTION(type, member, helo_name), "NAME",            \
	  "name given in EHLO; by default this machine's" },                                       \
	{ "resolver", 0, CLI_TEXT, CONNECTION_OPTION(type, member, resolver), "ADDRESS@PORT",      \
	  "whom to ask about mx://DOMAIN; by default the system's" },                              \
	{ "verbose", 'v', CLI_FLAG, CONNECTION_OPTION(type, member, verbose), NULL,                \
	  "show the dialogue on standard error, without secrets" },                                \
	{ "json", 0, CLI_FLAG, CONNECTION_OPTION(type, member, json), NULL,                        \
	  "print the result as JSON" }

/** Sees every line of the dialogue, besides -v. */
struct connection_watch {
	void (*line)(bool from_server, struct smtp_span line, void *user);
	void *user;
};

/** Makes client options out of those of the command line and reads the password. 0, else an exit status
 *  after saying what is wrong. Release them in any case. */
struct connection {
	struct smtp_client_options client;
	const struct connection_options *options;
	struct connection_watch watch;
	char *password; /* wiped on release */
	char *key_password;
};
int connection_prepare(struct connection *connection, const struct cli_command *command,
		       const char *url, const struct connection_options *options);
void connection_release(struct connection *connection);

/** Connects; on failure says why (unless `quiet`) and returns the exit status. *out is freed with
 *  smtp_client_free() in both cases. */
int connection_open(struct smtp_client **out, const char *url, struct connection *connection,
		    bool quiet);
/** prepare and open in one; *out is NULL on failure. `connection` must outlive the client, since the
 *  dialogue goes through it; its password is wiped already. */
int connection_to(struct smtp_client **out, struct connection *connection,
		  const struct cli_command *command, const char *url,
		  const struct connection_options *options);

/** Exit status for an error of the client: what may be better later is CLI_TEMPORARY. */
int connection_status(const struct smtp_client *client, int error);
/** Exit status for a reply. */
int reply_status(const struct smtp_reply *reply);

#endif
