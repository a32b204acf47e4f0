/* SPDX-License-Identifier: ISC */
/* smtpc send: checks addresses and options, sends the content, tells what became of each recipient. The
 * content itself is made in content.c.
 */
#include "smtpc/connection.h"
#include "smtpc/content.h"
#include "smtpc/report.h"
#include "smtpc/smtpc.h"

#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"
#include "libsmtp/net/idn.h"

#include <stdlib.h>
#include <string.h>

struct send_values {
	struct connection_options connection;
	struct content_sources content;
	const char *server;
	const char *from;
	struct cli_list to, cc, bcc;
	const char *notify, *ret, *envid;
	bool require_tls;
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
	{ "notify", 0, CLI_TEXT, offsetof(struct send_values, notify), "WHEN",
	  "reports wanted: never, or some of success,failure,delay" },
	{ "ret", 0, CLI_TEXT, offsetof(struct send_values, ret), "WHAT",
	  "what a report of failure gives back: full or headers" },
	{ "envid", 0, CLI_TEXT, offsetof(struct send_values, envid), "TEXT",
	  "what reports shall call this message by" },
	{ "require-tls", 0, CLI_FLAG, offsetof(struct send_values, require_tls), NULL,
	  "TLS on the whole way (REQUIRETLS), or no delivery" },
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
	err = smtp_mailbox_parse(out, span, SMTP_ADDRESS_UTF8);
	if (!err) {
		/* As A-labels every server and reader knows it; what has none stays as it is. */
		if (smtp_span_has(smtp_span_of(out->domain), SMTP_CC_UTF8))
			(void)!smtp_idn_to_ascii(out->domain, out->domain);
		return CLI_DONE;
	}
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

/* Does the header section of a composed message hold addresses that are not ASCII? */
static bool has_utf8_address(const struct envelope *e)
{
	bool found = smtp_span_has(smtp_span_of(e->from.mailbox.local_part), SMTP_CC_UTF8) ||
		     smtp_span_has(smtp_span_of(e->from.mailbox.domain), SMTP_CC_UTF8);

	for (size_t i = 0; i < e->to_count + e->cc_count && !found; i++)
		found = smtp_span_has(smtp_span_of(e->mailboxes[i].local_part), SMTP_CC_UTF8) ||
			smtp_span_has(smtp_span_of(e->mailboxes[i].domain), SMTP_CC_UTF8);
	return found;
}

/* --- reports of delivery ----------------------------------------------------------------------- */

struct wishes {
	struct smtp_client_recipient recipient; /* the same for each */
	enum smtp_dsn_return ret;
};

static int read_notify(const struct cli_command *self, const char *text, unsigned *out)
{
	static const struct {
		const char *word;
		unsigned bit;
	} words[] = {
		{ "never", SMTP_DSN_NOTIFY_NEVER },
		{ "success", SMTP_DSN_NOTIFY_SUCCESS },
		{ "failure", SMTP_DSN_NOTIFY_FAILURE },
		{ "delay", SMTP_DSN_NOTIFY_DELAY },
	};
	struct smtp_span rest = smtp_span_of(text);

	while (rest.n > 0) {
		const uint8_t *comma = memchr(rest.p, ',', rest.n);
		size_t n = comma ? (size_t)(comma - rest.p) : rest.n;
		unsigned bit = 0;

		for (size_t i = 0; i < sizeof words / sizeof *words; i++)
			if (smtp_span_is_nocase(smtp_span_slice(rest, 0, n), words[i].word))
				bit = words[i].bit;
		*out |= bit;
		rest = smtp_span_slice(rest, n + (comma != NULL), rest.n);
		if (bit == 0 || (comma && rest.n == 0)) {
			*out = 0;
			break;
		}
	}
	if (*out != 0 && (!(*out & SMTP_DSN_NOTIFY_NEVER) || *out == SMTP_DSN_NOTIFY_NEVER))
		return CLI_DONE;
	return cli_usage_error(self, "--notify %s: never, or some of success,failure,delay", text);
}

static int read_wishes(const struct cli_command *self, const struct send_values *v, struct wishes *w)
{
	memset(w, 0, sizeof *w);
	if (v->ret && strcmp(v->ret, "full") == 0)
		w->ret = SMTP_DSN_RETURN_FULL;
	else if (v->ret && (strcmp(v->ret, "headers") == 0 || strcmp(v->ret, "hdrs") == 0))
		w->ret = SMTP_DSN_RETURN_HEADERS;
	else if (v->ret)
		return cli_usage_error(self, "--ret %s: full or headers", v->ret);
	return v->notify ? read_notify(self, v->notify, &w->recipient.notify) : CLI_DONE;
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

/* All that the command line says of one message. */
struct job {
	const struct send_values *values;
	const struct envelope *envelope;
	struct wishes wishes;
	struct content content;
};

static void fill_transaction(struct smtp_client_transaction *txn, struct job *job,
			     struct smtp_client_recipient *recipients)
{
	const struct envelope *e = job->envelope;

	txn->reverse_path = &e->from;
	txn->forward_paths = e->to;
	txn->forward_path_count = e->count;
	for (size_t i = 0; i < e->count; i++)
		recipients[i] = job->wishes.recipient;
	txn->recipients = recipients;
	txn->ret = job->wishes.ret;
	txn->envid = job->values->envid;
	txn->require_tls = job->values->require_tls;
	txn->smtputf8 = !job->values->content.raw && has_utf8_address(e);
	txn->content = content_source(&job->content);
	/* What can be read once only may hold anything. */
	txn->body = txn->content.rewind ? SMTP_BODY_7BIT : SMTP_BODY_8BITMIME;
}

static void warn_without_dsn(const struct smtp_client *client, const struct send_values *v)
{
	if ((v->notify || v->ret || v->envid) && !smtp_client_extensions(client)->dsn)
		cli_error("%s does not offer DSN: --notify, --ret and --envid are left out",
			  smtp_client_peer(client));
}

static int transmit(struct smtp_client *client, struct job *job)
{
	const struct envelope *e = job->envelope;
	struct smtp_client_result *results = calloc(e->count, sizeof *results);
	struct smtp_client_recipient *recipients = calloc(e->count, sizeof *recipients);
	struct smtp_client_transaction txn = SMTP_CLIENT_TRANSACTION_INIT;
	int err, status = CLI_TEMPORARY;

	if (!results || !recipients) {
		cli_error("%s", smtp_error_str(SMTP_ENOMEM));
		goto out;
	}
	fill_transaction(&txn, job, recipients);
	warn_without_dsn(client, job->values);
	err = smtp_client_send(client, &txn, results);
	if (err)
		cli_error("%s", smtp_client_problem(client));
	status = status_of(results, e->count);
	if (err == SMTP_EINVAL || err == SMTP_ETOOLONG)
		status = CLI_USAGE; /* nothing was sent */
	else if (job->values->connection.json)
		report_json(e, results, client);
	else
		report_text(e, results);
out:
	free(results);
	free(recipients);
	return status;
}

static int send_it(const struct cli_command *self, const struct send_values *v,
		   const struct envelope *e)
{
	struct job job = { .values = v, .envelope = e, .content = { .fd = -1 } };
	struct connection connection;
	struct smtp_client *client = NULL;
	int status = read_wishes(self, v, &job.wishes);

	if (status == CLI_DONE)
		status = content_make(&job.content, &v->content, &e->from.mailbox, e->mailboxes,
				      e->to_count, e->mailboxes + e->to_count, e->cc_count);
	if (status == CLI_DONE)
		status = connection_to(&client, &connection, self, v->server, &v->connection);
	if (status == CLI_DONE)
		status = transmit(client, &job);
	smtp_client_free(client);
	content_release(&job.content);
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
