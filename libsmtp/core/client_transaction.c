/* SPDX-License-Identifier: ISC */
/* client_transaction.c - one transaction of a client session: MAIL, RCPT, DATA, content, end of data, and
 * RSET where the server would else be left half-way. Decides when the outcome is known and told.
 */
#include "libsmtp/core/client_session_private.h"

#include <stdlib.h>
#include <string.h>

#include "libsmtp/core/span.h"

/* --- what was asked for ---------------------------------------------------------------------- */

/* "<local-part@domain>"; returns its length. */
static size_t format_path(const struct smtp_path *path, char out[SMTP_MAILBOX_TEXT_MAX + 3])
{
	const char *bare = "<postmaster>";
	size_t n;

	if (smtp_path_is_bare_postmaster(path)) {
		memcpy(out, bare, strlen(bare) + 1);
		return strlen(bare);
	}
	out[0] = '<';
	n = smtp_mailbox_format(&path->mailbox, out + 1, SMTP_MAILBOX_TEXT_MAX + 1);
	if (n > SMTP_MAILBOX_TEXT_MAX)
		n = 0;
	out[n + 1] = '>';
	out[n + 2] = '\0';
	return n + 2;
}

/* What is sent is read back: it must be the path that was meant, all of it in ASCII. */
static bool is_sendable(const struct smtp_path *path)
{
	const struct smtp_mailbox *mailbox = &path->mailbox;
	char text[SMTP_MAILBOX_TEXT_MAX + 3];
	struct smtp_path read;
	size_t used;
	size_t n;

	if (!memchr(mailbox->local_part, '\0', sizeof(mailbox->local_part)) ||
	    !memchr(mailbox->domain, '\0', sizeof(mailbox->domain)))
		return false;
	n = format_path(path, text);
	return smtp_path_parse(&read, smtp_span_make(text, n), 0, &used) == 0 &&
	       strcmp(read.mailbox.local_part, mailbox->local_part) == 0 &&
	       strcmp(read.mailbox.domain, mailbox->domain) == 0;
}

static int check_transaction(const struct smtp_client_transaction *in)
{
	if (!in->reverse_path || !in->forward_paths || in->forward_path_count == 0 ||
	    !in->content.read)
		return SMTP_EINVAL;
	if (!is_sendable(in->reverse_path) || smtp_path_is_bare_postmaster(in->reverse_path))
		return SMTP_EINVAL;
	for (size_t i = 0; i < in->forward_path_count; i++)
		if (!is_sendable(&in->forward_paths[i]) ||
		    smtp_path_is_null(&in->forward_paths[i]))
			return SMTP_EINVAL;
	return 0;
}

int smtp_client_transaction_copy(struct client_transaction *out,
				 const struct smtp_client_transaction *in)
{
	struct smtp_client_transaction all = SMTP_CLIENT_TRANSACTION_INIT;
	struct smtp_path *paths;
	int err = smtp_client_copy_sized(&all, sizeof(all), in);

	if (!err)
		err = check_transaction(&all);
	if (err)
		return err;
	paths = calloc(all.forward_path_count, sizeof(*paths));
	if (!paths)
		return SMTP_ENOMEM;
	memcpy(paths, all.forward_paths, all.forward_path_count * sizeof(*paths));
	*out = (struct client_transaction){
		.reverse_path = *all.reverse_path,
		.forward_paths = paths,
		.count = all.forward_path_count,
		.content_bytes = all.content_bytes,
		.body_8bitmime = all.body_8bitmime,
		.content = all.content,
	};
	smtp_buf_init(&out->raw, CLIENT_READ_SIZE);
	smtp_buf_init(&out->outcome.text, SMTP_REPLY_OCTETS_MAX);
	smtp_data_encoder_init(&out->encoder);
	return 0;
}

void smtp_client_transaction_release(struct client_transaction *txn)
{
	free(txn->forward_paths);
	smtp_buf_release(&txn->raw);
	smtp_buf_release(&txn->outcome.text);
	*txn = (struct client_transaction){ 0 };
}

/* --- outcome --------------------------------------------------------------------------------- */

/* The first one counts. When memory ends the text is lost, the code is not. */
static void set_outcome(struct client_transaction *txn, enum smtp_client_step step,
			const struct smtp_reply *reply)
{
	struct client_outcome *outcome = &txn->outcome;

	if (outcome->known)
		return;
	outcome->known = true;
	outcome->step = step;
	outcome->reply = *reply;
	if (smtp_buf_append_span(&outcome->text, reply->text))
		smtp_buf_clear(&outcome->text);
	outcome->reply.text = smtp_buf_span(&outcome->text);
}

void smtp_client_transaction_report(struct smtp_client_session *s)
{
	struct client_outcome outcome = s->txn.outcome;

	/* It leaves the transaction before the call, which may begin another one. */
	s->txn.outcome = (struct client_outcome){ 0 };
	smtp_client_transaction_release(&s->txn);
	s->job = CLIENT_JOB_NONE;
	if (s->handler.transaction_done)
		s->handler.transaction_done(s, outcome.step, &outcome.reply, s->user);
	smtp_buf_release(&outcome.text);
}

void smtp_client_transaction_check(struct smtp_client_session *s)
{
	if (smtp_client_is_over(s) || s->job != CLIENT_JOB_MAIL || !s->txn.outcome.known ||
	    s->outstanding > 0 || s->txn.content_due)
		return;
	if (s->txn.open) {
		smtp_client_go_to(s, SMTP_STEP_RSET);
		return;
	}
	smtp_client_become_idle(s);
	smtp_client_transaction_report(s);
}

bool smtp_client_transaction_is_echo(const struct smtp_client_session *s,
				     enum smtp_client_step step)
{
	return s->job == CLIENT_JOB_MAIL && s->txn.outcome.known &&
	       (step == SMTP_STEP_RCPT || step == SMTP_STEP_DATA || step == SMTP_STEP_END);
}

static bool is_refusal(const struct smtp_reply *reply)
{
	return smtp_reply_is_transient(reply) || smtp_reply_is_permanent(reply);
}

static void break_off(struct smtp_client_session *s, enum smtp_client_step step,
		      const struct smtp_reply *reply)
{
	smtp_client_end(s, SMTP_EPROTO, step, reply);
}

/* --- MAIL ------------------------------------------------------------------------------------ */

void smtp_client_transaction_begin(struct smtp_client_session *s)
{
	uint64_t limit = s->extensions.size ? s->extensions.size_limit : 0;
	struct smtp_reply too_large = smtp_reply_of(552, "5.3.4",
						    "message larger than the server takes");

	smtp_client_go_to(s, SMTP_STEP_MAIL);
	if (limit > 0 && s->txn.content_bytes > limit) {
		set_outcome(&s->txn, SMTP_STEP_MAIL, &too_large);
		smtp_client_transaction_check(s);
	}
}

/* mail = "MAIL FROM:" Reverse-path [SP Mail-parameters] CRLF (RFC 5321, 4.1.1.2); SIZE is of RFC 1870,
 * BODY of RFC 6152. */
int smtp_client_mail_send(struct smtp_client_session *s, size_t index)
{
	char path[SMTP_MAILBOX_TEXT_MAX + 3];
	struct smtp_buf line;
	struct smtp_span span;
	int err;

	(void)index;
	smtp_buf_init(&line, CLIENT_OUTPUT_MAX);
	err = smtp_buf_append_text(&line, "MAIL FROM:");
	if (!err)
		err = smtp_buf_append(&line, path, format_path(&s->txn.reverse_path, path));
	if (!err && s->extensions.size && s->txn.content_bytes > 0) {
		err = smtp_buf_append_text(&line, " SIZE=");
		if (!err)
			err = smtp_buf_append_uint(&line, s->txn.content_bytes);
	}
	if (!err && s->extensions.eightbitmime && s->txn.body_8bitmime)
		err = smtp_buf_append_text(&line, " BODY=8BITMIME");
	span = smtp_buf_span(&line);
	if (!err)
		err = smtp_client_put(s, &span, 1, NULL);
	smtp_buf_release(&line);
	return err;
}

void smtp_client_mail_reply(struct smtp_client_session *s, size_t index,
			    const struct smtp_reply *reply)
{
	(void)index;
	if (smtp_reply_is_positive(reply))
		s->txn.open = true;
	else if (is_refusal(reply))
		set_outcome(&s->txn, SMTP_STEP_MAIL, reply);
	else
		break_off(s, SMTP_STEP_MAIL, reply);
}

/* --- RCPT ------------------------------------------------------------------------------------ */

int smtp_client_rcpt_send(struct smtp_client_session *s, size_t index)
{
	char path[SMTP_MAILBOX_TEXT_MAX + 3];
	struct smtp_span parts[2] = { smtp_span_of("RCPT TO:") };

	parts[1] = smtp_span_make(path, format_path(&s->txn.forward_paths[index], path));
	return smtp_client_put(s, parts, 2, NULL);
}

void smtp_client_rcpt_reply(struct smtp_client_session *s, size_t index,
			    const struct smtp_reply *reply)
{
	const struct smtp_reply none = { 0 };

	if (smtp_reply_is_positive(reply))
		s->txn.accepted++;
	else if (!is_refusal(reply))
		break_off(s, SMTP_STEP_RCPT, reply);
	else if (index + 1 == s->txn.count && s->txn.accepted == 0)
		set_outcome(&s->txn, SMTP_STEP_RCPT, &none);
}

/* --- DATA ------------------------------------------------------------------------------------ */

static int put_text(struct smtp_client_session *s, const char *text)
{
	struct smtp_span line = smtp_span_of(text);

	return smtp_client_put(s, &line, 1, NULL);
}

int smtp_client_data_send(struct smtp_client_session *s, size_t index)
{
	(void)index;
	return put_text(s, "DATA");
}

/* A 354 is answered with the end of data even when nobody is there to get the message: DATA was
 * pipelined, and the server waits for it (RFC 2920, 3.1). */
void smtp_client_data_reply(struct smtp_client_session *s, size_t index,
			    const struct smtp_reply *reply)
{
	(void)index;
	if (reply->code == 354)
		s->txn.content_due = true;
	else if (is_refusal(reply))
		set_outcome(&s->txn, SMTP_STEP_DATA, reply);
	else
		break_off(s, SMTP_STEP_DATA, reply);
}

/* --- content and its end --------------------------------------------------------------------- */

int smtp_client_end_send(struct smtp_client_session *s, size_t index)
{
	(void)index;
	if (s->txn.outcome.known)
		return put_text(s, ".");
	s->txn.sending = true;
	s->outstanding++;
	return 0;
}

static int read_content(struct smtp_client_session *s)
{
	struct smtp_client_content content = s->txn.content;
	size_t n = 0;
	int err = smtp_buf_reserve(&s->txn.raw, CLIENT_READ_SIZE);

	if (err)
		return err;
	err = content.read(content.user, s->txn.raw.p, CLIENT_READ_SIZE, &n);
	if (smtp_client_is_over(s))
		return SMTP_ECANCELED; /* the source itself ended the session */
	if (err < 0)
		return err;
	if (n > CLIENT_READ_SIZE)
		return SMTP_EINVAL;
	s->txn.raw.n = n;
	s->txn.complete = n == 0;
	return 0;
}

static size_t output_room(const struct smtp_client_session *s)
{
	return s->out.n < CLIENT_OUTPUT_FULL ? CLIENT_OUTPUT_FULL - s->out.n : 0;
}

/* Returns false when the room is too small for the next octet. */
static bool encode_content(struct smtp_client_session *s)
{
	size_t taken = 0;
	size_t written = smtp_data_encoder_feed(&s->txn.encoder, smtp_buf_span(&s->txn.raw), &taken,
						s->out.p + s->out.n, output_room(s));

	s->out.n += written;
	smtp_buf_drop(&s->txn.raw, taken);
	return written > 0 || taken > 0;
}

int smtp_client_content_pull(struct smtp_client_session *s)
{
	int err = smtp_buf_reserve(&s->out, CLIENT_OUTPUT_MAX - s->out.n);

	while (!err && !s->txn.complete && output_room(s) > 0) {
		if (s->txn.raw.n == 0)
			err = read_content(s);
		else if (!encode_content(s))
			break;
	}
	if (!err && s->txn.complete)
		s->out.n += smtp_data_encoder_end(&s->txn.encoder, s->out.p + s->out.n,
						  CLIENT_OUTPUT_MAX - s->out.n);
	return err;
}

void smtp_client_end_reply(struct smtp_client_session *s, size_t index,
			   const struct smtp_reply *reply)
{
	(void)index;
	s->txn.open = false;
	s->txn.content_due = false;
	if (smtp_reply_is_positive(reply) || is_refusal(reply))
		set_outcome(&s->txn, SMTP_STEP_END, reply);
	else
		break_off(s, SMTP_STEP_END, reply);
}

/* --- RSET ------------------------------------------------------------------------------------ */

int smtp_client_rset_send(struct smtp_client_session *s, size_t index)
{
	(void)index;
	return put_text(s, "RSET");
}

/* A server that can't forget a transaction is of no further use; what came of it is told all the same. */
void smtp_client_rset_reply(struct smtp_client_session *s, size_t index,
			    const struct smtp_reply *reply)
{
	(void)index;
	s->txn.open = false;
	if (is_refusal(reply))
		smtp_client_give_up(s, SMTP_EREFUSED, SMTP_STEP_RSET, reply);
	else if (!smtp_reply_is_positive(reply))
		break_off(s, SMTP_STEP_RSET, reply);
}
