/* SPDX-License-Identifier: ISC */
/* smtpc send: checks addresses and options, sends the content, tells what became of each recipient. The
 * content itself is made in content.c.
 */
#include "smtpc/connection.h"
#include "smtpc/content.h"
#include "smtpc/report.h"
#include "smtpc/smtpc.h"

#include "libsmtp/core/span.h"

#include <stdlib.h>
#include <string.h>

struct send_values {
	struct connection_options connection;
	struct content_sources content;
	const char *server;
	const char *from;
	struct cli_list to, cc, bcc;
};

const struct cli_option send_options[] = {
	{ "server", 's', CLI_TEXT, offsetof(struct send_values, server), "URL",
	  "where to send it: smtp+starttls://mail.example.org" },
	{ "from", 'f', CLI_TEXT, offsetof(struct send_values, from), "ADDRESS",
	  "the sender; <> for none, as reports of failures have it" },
	{ "to", 't', CLI_LIST, offsetof(struct send_values, to), "ADDRESS",
	  "a recipient; may be given again" },
	{ "cc", 0, CLI_LIST, offsetof(struct send_values, cc), "ADDRESS",
	  "a recipient of a copy; may be given again" },
	{ "bcc", 0, CLI_LIST, offsetof(struct send_values, bcc), "ADDRESS",
	  "a recipient whom the others do not see; may be given again" },
	{ "subject", 0, CLI_TEXT, offsetof(struct send_values, content.subject), "TEXT",
	  "what it is about" },
	{ "text", 0, CLI_TEXT, offsetof(struct send_values, content.text), "FILE",
	  "the text, UTF-8; - is standard input" },
	{ "html", 0, CLI_TEXT, offsetof(struct send_values, content.html), "FILE",
	  "the same as HTML; - is standard input" },
	{ "attach", 'a', CLI_LIST, offsetof(struct send_values, content.attachments), "FILE",
	  "a file that goes along; may be given again" },
	{ "raw", 0, CLI_TEXT, offsetof(struct send_values, content.raw), "FILE",
	  "a whole message with its header, sent as it is; - is standard input" },
	CONNECTION_OPTIONS(struct send_values, connection),
	{ 0 },
};

/* --- addresses ------------------------------------------------------------------------------- */

/* The envelope; To, Cc and Bcc in this order. */
struct envelope {
	struct smtp_path from;
	struct smtp_path *to;
	struct smtp_mailbox *mailboxes; /* the same, for the header section */
	size_t to_count, cc_count, count;
};

static void envelope_release(struct envelope *e)
{
	free(e->to);
	free(e->mailboxes);
}

static int read_address(const struct cli_command *self, const char *option, const char *text,
			struct smtp_mailbox *out)
{
	struct smtp_span span = smtp_span_trim(smtp_span_of(text));
	int err;

	/* <bob@example.org> is as good. */
	if (span.n >= 2 && span.p[0] == '<' && span.p[span.n - 1] == '>')
		span = smtp_span_slice(span, 1, span.n - 2);
	err = smtp_mailbox_parse(out, span, 0);
	if (!err)
		return CLI_DONE;
	return cli_usage_error(self, "--%s \"%s\" is not an address such as bob@example.org%s", option,
			       text, err == SMTP_ETOOLONG ? ": it is too long" :
				     memchr(span.p, '@', span.n) ? "" : ": there is no @ in it");
}

static int read_list(const struct cli_command *self, const char *option, const struct cli_list *list,
		     struct envelope *e)
{
	for (size_t i = 0; i < list->count; i++) {
		struct smtp_mailbox *mailbox = &e->mailboxes[e->count];
		int status = read_address(self, option, list->values[i], mailbox);

		if (status != CLI_DONE)
			return status;
		e->to[e->count++].mailbox = *mailbox;
	}
	return CLI_DONE;
}

static int read_envelope(const struct cli_command *self, const struct send_values *v,
			 struct envelope *e)
{
	size_t count = v->to.count + v->cc.count + v->bcc.count;
	int status = CLI_DONE;

	memset(e, 0, sizeof *e);
	if (!v->from)
		return cli_usage_error(self, "no sender: add --from ADDRESS");
	if (count == 0)
		return cli_usage_error(self, "no recipient: add --to ADDRESS");
	e->to = calloc(count, sizeof *e->to);
	e->mailboxes = calloc(count, sizeof *e->mailboxes);
	if (!e->to || !e->mailboxes) {
		cli_error("%s", smtp_error_str(SMTP_ENOMEM));
		return CLI_TEMPORARY;
	}
	if (strcmp(v->from, "<>") != 0)
		status = read_address(self, "from", v->from, &e->from.mailbox);
	if (status == CLI_DONE)
		status = read_list(self, "to", &v->to, e);
	e->to_count = e->count;
	if (status == CLI_DONE)
		status = read_list(self, "cc", &v->cc, e);
	e->cc_count = e->count - e->to_count;
	return status == CLI_DONE ? read_list(self, "bcc", &v->bcc, e) : status;
}

/* --- results --------------------------------------------------------------------------------- */

static const char *address_of(const struct envelope *e, size_t i,
			      char text[SMTP_MAILBOX_TEXT_MAX + 1])
{
	(void)smtp_mailbox_format(&e->mailboxes[i], text, SMTP_MAILBOX_TEXT_MAX + 1);
	return text;
}

static void report_text(const struct envelope *e, const struct smtp_client_result *results)
{
	char address[SMTP_MAILBOX_TEXT_MAX + 1];

	for (size_t i = 0; i < e->count; i++) {
		const struct smtp_client_result *r = &results[i];
		FILE *out = r->accepted ? stdout : stderr;

		cli_print_safe(out, smtp_span_of(address_of(e, i, address)));
		(void)fputs(r->accepted ? ": accepted: " : ": refused: ", out);
		if (!r->accepted)
			(void)fprintf(out, "%s: ", smtp_client_step_str(r->step));
		if (r->reply.code != 0)
			report_reply_line(out, &r->reply);
		else
			(void)fputs("no answer", out);
		(void)fputc('\n', out);
	}
}

static void report_json(const struct envelope *e, const struct smtp_client_result *results,
			const struct smtp_client *client)
{
	char address[SMTP_MAILBOX_TEXT_MAX + 1];
	struct cli_json json;

	cli_json_init(&json, stdout);
	cli_json_object(&json, NULL);
	cli_json_text(&json, "peer", smtp_client_peer(client));
	cli_json_text(&json, "tls", smtp_client_tls_description(client)[0] != '\0' ?
				   smtp_client_tls_description(client) : NULL);
	cli_json_text(&json, "problem", smtp_client_problem(client)[0] != '\0' ?
				       smtp_client_problem(client) : NULL);
	cli_json_array(&json, "recipients");
	for (size_t i = 0; i < e->count; i++) {
		cli_json_object(&json, NULL);
		cli_json_text(&json, "address", address_of(e, i, address));
		cli_json_bool(&json, "accepted", results[i].accepted);
		cli_json_text(&json, "step", smtp_client_step_str(results[i].step));
		report_reply_json(&json, &results[i].reply);
		cli_json_object_end(&json);
	}
	cli_json_array_end(&json);
	cli_json_object_end(&json);
}

/* Worth another try only when nothing was accepted and nothing refused for good: else those who have
 * it would get it twice. */
static int status_of(const struct smtp_client_result *results, size_t count)
{
	size_t accepted = 0, permanent = 0;

	for (size_t i = 0; i < count; i++) {
		accepted += results[i].accepted;
		permanent += smtp_reply_is_permanent(&results[i].reply);
	}
	if (accepted == count)
		return CLI_DONE;
	return accepted == 0 && permanent == 0 ? CLI_TEMPORARY : CLI_REFUSED;
}

/* --- sending --------------------------------------------------------------------------------- */

struct content_reader {
	struct smtp_span rest;
};

static int read_content(void *user, uint8_t *out, size_t cap, size_t *n)
{
	struct content_reader *reader = user;
	struct smtp_span part = smtp_span_slice(reader->rest, 0, cap);

	if (part.n > 0)
		memcpy(out, part.p, part.n);
	reader->rest = smtp_span_slice(reader->rest, part.n, reader->rest.n);
	*n = part.n;
	return 0;
}

static bool has_8bit(struct smtp_span content)
{
	for (size_t i = 0; i < content.n; i++)
		if (content.p[i] > 127)
			return true;
	return false;
}

static int transmit(struct smtp_client *client, const struct envelope *e, struct smtp_span content,
		    bool json)
{
	struct smtp_client_result *results = calloc(e->count, sizeof *results);
	struct content_reader reader = { content };
	struct smtp_client_transaction txn = SMTP_CLIENT_TRANSACTION_INIT;
	int err, status;

	if (!results) {
		cli_error("%s", smtp_error_str(SMTP_ENOMEM));
		return CLI_TEMPORARY;
	}
	txn.reverse_path = &e->from;
	txn.forward_paths = e->to;
	txn.forward_path_count = e->count;
	txn.content_bytes = content.n;
	txn.body = has_8bit(content) ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT;
	txn.content = (struct smtp_client_content){ .read = read_content, .user = &reader };
	err = smtp_client_send(client, &txn, results);
	if (err)
		cli_error("%s", smtp_client_problem(client));
	status = status_of(results, e->count);
	if (err == SMTP_EINVAL || err == SMTP_ETOOLONG)
		status = CLI_USAGE; /* nothing was sent */
	else if (json)
		report_json(e, results, client);
	else
		report_text(e, results);
	free(results);
	return status;
}

static int send_it(const struct cli_command *self, const struct send_values *v,
		   const struct envelope *e)
{
	struct connection connection;
	struct smtp_client *client = NULL;
	struct smtp_buf content;
	int status;

	smtp_buf_init(&content, CONTENT_MAX);
	status = content_make(&content, &v->content, &e->from.mailbox, e->mailboxes, e->to_count,
			      e->mailboxes + e->to_count, e->cc_count);
	if (status == CLI_DONE)
		status = connection_to(&client, &connection, self, v->server, &v->connection);
	if (status == CLI_DONE)
		status = transmit(client, e, smtp_buf_span(&content), v->connection.json);
	smtp_client_free(client);
	smtp_buf_release(&content);
	return status;
}

int send_run(const struct cli_command *self, int argc, char **argv, void *user)
{
	struct send_values v;
	struct envelope e = { .count = 0 };
	int at, status = CLI_USAGE;

	(void)user;
	memset(&v, 0, sizeof v);
	at = cli_options_read(self, argc, argv, &v);
	if (at >= 0 && at < argc)
		status = cli_usage_error(self, "\"%s\" is one argument too many; a recipient is given "
					 "as --to %s", argv[at], argv[at]);
	else if (at >= 0 && !v.server)
		status = cli_usage_error(self, "no server: add --server URL, for example --server "
					 "smtp+starttls://mail.example.org");
	else if (at >= 0)
		status = read_envelope(self, &v, &e);
	if (status == CLI_DONE && smtp_path_is_null(&e.from) && !v.content.raw)
		status = cli_usage_error(self, "--from <> goes with --raw only: who else would the "
					 "message be from?");
	if (status == CLI_DONE)
		status = content_check(self, &v.content);
	if (status == CLI_DONE)
		status = send_it(self, &v, &e);
	envelope_release(&e);
	cli_list_release(&v.to);
	cli_list_release(&v.cc);
	cli_list_release(&v.bcc);
	cli_list_release(&v.content.attachments);
	return status;
}
