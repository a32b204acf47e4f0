/* SPDX-License-Identifier: ISC */
/* recorder_client.c - one call to send to a recorder, or to say something to it. */
#include <stdio.h>
#include <string.h>

#include "libsmtp/middleware/recorder_private.h"

enum { HELPER_TIMEOUT_MS = 30000 };

int smtp_recorder_connect(struct smtp_recorder *r, struct smtp_client **out)
{
	struct smtp_client_options options = SMTP_CLIENT_OPTIONS_INIT;
	int err;

	*out = NULL;
	options.helo_name = "client.test";
	options.timeout_ms = HELPER_TIMEOUT_MS;
	options.user = r->user;
	options.password = r->password;
	options.auth_without_tls = true; /* it stays on this machine */
	options.ca_file = r->certificate[0] ? r->certificate : NULL;
	err = smtp_client_connect(out, r->url, &options);
	if (err)
		return recorder_fail(r, err, r->url,
				     *out ? smtp_client_problem(*out) : smtp_error_str(err));
	return 0;
}

static int refused(struct smtp_recorder *r, const struct smtp_reply *reply)
{
	(void)snprintf(r->problem, sizeof r->problem, "%u %.*s", reply->code, (int)reply->text.n,
		       (const char *)reply->text.p);
	return SMTP_EREFUSED;
}

struct text {
	const char *rest;
};

static int read_text(void *user, uint8_t *out, size_t cap, size_t *n)
{
	struct text *text = user;

	*n = strnlen(text->rest, cap);
	memcpy(out, text->rest, *n);
	text->rest += *n;
	return 0;
}

static int send_one(struct smtp_recorder *r, struct smtp_client *client,
		    const struct smtp_path paths[2], const char *content)
{
	struct smtp_client_transaction txn = SMTP_CLIENT_TRANSACTION_INIT;
	struct smtp_client_result result = { .accepted = false };
	struct text text = { content };
	int err;

	txn.reverse_path = &paths[0];
	txn.forward_paths = &paths[1];
	txn.forward_path_count = 1;
	txn.content.read = read_text;
	txn.content.user = &text;
	err = smtp_client_send(client, &txn, &result);
	if (err)
		return recorder_fail(r, err, r->url, smtp_client_problem(client));
	return result.accepted ? 0 : refused(r, &result.reply);
}

int smtp_recorder_send(struct smtp_recorder *r, const char *from, const char *to,
		       const char *content)
{
	struct smtp_path paths[2] = { 0 };
	struct smtp_client *client = NULL;
	int err;

	if ((*from && smtp_mailbox_parse(&paths[0].mailbox, smtp_span_of(from), 0) != 0) ||
	    smtp_mailbox_parse(&paths[1].mailbox, smtp_span_of(to), 0) != 0)
		return recorder_fail(r, SMTP_EINVAL, "", "an address is none");
	err = smtp_recorder_connect(r, &client);
	if (!err)
		err = send_one(r, client, paths, content);
	smtp_client_free(client);
	return err;
}

int smtp_recorder_command(struct smtp_recorder *r, const char *line, unsigned expected_code)
{
	struct smtp_client *client = NULL;
	struct smtp_reply reply = { .code = 0 };
	int err = smtp_recorder_connect(r, &client);

	if (!err) {
		err = smtp_client_command(client, line, &reply);
		if (err)
			(void)recorder_fail(r, err, r->url, smtp_client_problem(client));
		else if (reply.code != expected_code)
			err = refused(r, &reply);
	}
	smtp_client_free(client);
	return err;
}
