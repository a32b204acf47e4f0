/* SPDX-License-Identifier: ISC */
/* client_transaction.c - one transaction of a client session as a whole: what was asked for, its
 * beginning and outcome, the results of recipients. What is said on the way is in client_envelope.c and
 * client_content.c.
 */
#include "libsmtp/core/client_session_private.h"

#include <stdlib.h>
#include <string.h>

#include "libsmtp/core/sized.h"
#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

/* --- what was asked for ---------------------------------------------------------------------- */

void smtp_client_transaction_init(struct smtp_client_transaction *txn)
{
	*txn = (struct smtp_client_transaction)SMTP_CLIENT_TRANSACTION_INIT;
}

static size_t xtext_length(struct smtp_span text)
{
	size_t n = text.n;

	for (size_t i = 0; i < text.n; i++)
		n += smtp_is(text.p[i], SMTP_CC_XCHAR) ? 0 : 2;
	return n;
}

/* xtext escapes anything, but what is decoded must be printable (RFC 3461, 4.4). */
static bool is_envid(const char *envid)
{
	struct smtp_span text = smtp_span_of(envid);

	return !envid || (text.n > 0 && xtext_length(text) <= SMTP_ENVID_MAX &&
			  !smtp_span_has(text, SMTP_CC_CONTROL | SMTP_CC_UTF8));
}

static bool is_auth(const char *auth)
{
	struct smtp_mailbox mailbox;

	return !auth || strcmp(auth, "<>") == 0 ||
	       smtp_mailbox_parse(&mailbox, smtp_span_of(auth), SMTP_ADDRESS_UTF8) == 0;
}

static bool is_recipient(const struct smtp_client_recipient *recipient)
{
	unsigned known = SMTP_DSN_NOTIFY_NEVER | SMTP_DSN_NOTIFY_SUCCESS | SMTP_DSN_NOTIFY_FAILURE |
			 SMTP_DSN_NOTIFY_DELAY;

	return (recipient->notify & ~known) == 0 &&
	       (!(recipient->notify & SMTP_DSN_NOTIFY_NEVER) ||
		recipient->notify == SMTP_DSN_NOTIFY_NEVER);
}

static int check_transaction(const struct smtp_client_transaction *in)
{
	if (!in->reverse_path || !in->forward_paths || in->forward_path_count == 0 ||
	    !in->content.read)
		return SMTP_EINVAL;
	if (!smtp_client_path_is_sendable(in->reverse_path) ||
	    smtp_path_is_bare_postmaster(in->reverse_path))
		return SMTP_EINVAL;
	if (in->ret > SMTP_DSN_RETURN_HEADERS || in->body > SMTP_BODY_BINARYMIME ||
	    !is_envid(in->envid) || !is_auth(in->auth) ||
	    (in->body == SMTP_BODY_BINARYMIME && in->refuse_bare_newlines))
		return SMTP_EINVAL;
	for (size_t i = 0; i < in->forward_path_count; i++)
		if (!smtp_client_path_is_sendable(&in->forward_paths[i]) ||
		    smtp_path_is_null(&in->forward_paths[i]) ||
		    (in->recipients && !is_recipient(&in->recipients[i])))
			return SMTP_EINVAL;
	return 0;
}

static int copy_text(char **out, const char *text)
{
	size_t size = text ? strlen(text) + 1 : 0;

	*out = text ? malloc(size) : NULL;
	if (*out)
		memcpy(*out, text, size);
	return text && !*out ? SMTP_ENOMEM : 0;
}

static int copy_recipients(struct client_transaction *out, const struct smtp_client_transaction *in)
{
	int err = 0;

	out->recipients = calloc(in->forward_path_count, sizeof(*out->recipients));
	if (!out->recipients)
		return SMTP_ENOMEM;
	out->count = in->forward_path_count;
	for (size_t i = 0; i < out->count && !err; i++) {
		struct client_recipient *to = &out->recipients[i];

		to->path = in->forward_paths[i];
		smtp_buf_init(&to->orcpt, SMTP_ORCPT_MAX);
		if (!in->recipients)
			continue;
		to->notify = in->recipients[i].notify;
		if (in->recipients[i].orcpt)
			err = smtp_client_orcpt_encode(&to->orcpt, in->recipients[i].orcpt);
	}
	return err;
}

int smtp_client_transaction_copy(struct client_transaction *out,
				 const struct smtp_client_transaction *in)
{
	struct smtp_client_transaction all = SMTP_CLIENT_TRANSACTION_INIT;
	int err = smtp_sized_copy(&all, sizeof(all), in, 0);

	if (!err)
		err = check_transaction(&all);
	if (err)
		return err;
	*out = (struct client_transaction){
		.reverse_path = *all.reverse_path,
		.content_bytes = all.content_bytes,
		.body = all.body,
		.smtputf8 = all.smtputf8,
		.require_tls = all.require_tls,
		.refuse_bare_newlines = all.refuse_bare_newlines,
		.ret = all.ret,
		.content = all.content,
	};
	smtp_buf_init(&out->raw, CLIENT_READ_SIZE);
	smtp_buf_init(&out->outcome.text, SMTP_REPLY_OCTETS_MAX);
	err = copy_recipients(out, &all);
	if (!err)
		err = copy_text(&out->envid, all.envid);
	if (!err)
		err = copy_text(&out->auth, all.auth);
	if (err)
		smtp_client_transaction_release(out);
	return err;
}

void smtp_client_transaction_release(struct client_transaction *txn)
{
	for (size_t i = 0; i < txn->count; i++)
		smtp_buf_release(&txn->recipients[i].orcpt);
	free(txn->recipients);
	free(txn->envid);
	free(txn->auth);
	smtp_buf_release(&txn->raw);
	smtp_buf_release(&txn->outcome.text);
	*txn = (struct client_transaction){ 0 };
}

size_t smtp_client_recipient_find(const struct client_transaction *txn, size_t index,
				  enum client_recipient_state state)
{
	while (index < txn->count && txn->recipients[index].state != state)
		index++;
	return index;
}

/* --- outcome --------------------------------------------------------------------------------- */

/* When memory ends the text is lost, the code is not. */
void smtp_client_transaction_set_outcome(struct client_transaction *txn, enum smtp_client_step step,
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

static void settle(struct smtp_client_session *s, struct client_recipient *recipient, size_t index,
		   enum smtp_client_step step, const struct smtp_reply *reply)
{
	if (recipient->state == CLIENT_RECIPIENT_SETTLED)
		return;
	recipient->state = CLIENT_RECIPIENT_SETTLED;
	if (s->handler.recipient_done)
		s->handler.recipient_done(s, step, index, reply, s->user);
}

void smtp_client_transaction_settle(struct smtp_client_session *s, size_t index,
				    enum smtp_client_step step, const struct smtp_reply *reply)
{
	settle(s, &s->txn.recipients[index], index, step, reply);
}

void smtp_client_transaction_report(struct smtp_client_session *s)
{
	struct client_transaction txn = s->txn;
	const struct client_outcome *outcome = &txn.outcome;

	/* It leaves the session before the calls, which may begin another one. */
	s->txn = (struct client_transaction){ 0 };
	s->job = CLIENT_JOB_NONE;
	for (size_t i = 0; i < txn.count; i++)
		settle(s, &txn.recipients[i], i, outcome->step, &outcome->reply);
	if (s->handler.transaction_done)
		s->handler.transaction_done(s, outcome->step, &outcome->reply, s->user);
	smtp_client_transaction_release(&txn);
}

bool smtp_client_transaction_is_echo(const struct smtp_client_session *s,
				     enum smtp_client_step step)
{
	return s->job == CLIENT_JOB_MAIL && s->txn.outcome.known &&
	       (step == SMTP_STEP_RCPT || step == SMTP_STEP_DATA || step == SMTP_STEP_BDAT ||
		step == SMTP_STEP_END);
}

/* --- begin and end --------------------------------------------------------------------------- */

static void go_to_mail(struct smtp_client_session *s)
{
	smtp_buf_clear(&s->txn.raw);
	smtp_data_encoder_init(&s->txn.encoder);
	s->txn.encoder.keep_dots = s->txn.chunked;
	s->txn.complete = false;
	smtp_client_go_to(s, SMTP_STEP_MAIL);
}

void smtp_client_transaction_begin(struct smtp_client_session *s)
{
	s->mails++;
	s->txn.chunked = s->options.chunking && s->extensions.chunking;
	go_to_mail(s);
	smtp_client_envelope_prepare(s);
	smtp_client_transaction_check(s);
}

/* The server offered CHUNKING and does not know BDAT: the same once more with DATA. Whose RCPT was
 * refused keeps that as the result. */
static bool begin_again(struct smtp_client_session *s)
{
	struct client_transaction *txn = &s->txn;

	if (!txn->again || txn->content.rewind(txn->content.user) != 0)
		return false;
	txn->again = txn->chunked = s->extensions.chunking = false;
	txn->accepted = 0;
	for (size_t i = 0; i < txn->count; i++)
		if (txn->recipients[i].state == CLIENT_RECIPIENT_ACCEPTED)
			txn->recipients[i].state = CLIENT_RECIPIENT_DUE;
	smtp_buf_release(&txn->outcome.text);
	txn->outcome = (struct client_outcome){ .known = false };
	smtp_buf_init(&txn->outcome.text, SMTP_REPLY_OCTETS_MAX);
	go_to_mail(s);
	return true;
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
	if (begin_again(s))
		return;
	smtp_client_become_idle(s);
	smtp_client_transaction_report(s);
}

/* --- content in memory ------------------------------------------------------------------------ */

static int memory_read(void *user, uint8_t *out, size_t cap, size_t *n)
{
	struct smtp_memory_content *state = user;
	struct smtp_span part = smtp_span_slice(state->octets, state->at, cap);

	if (part.n > 0)
		memcpy(out, part.p, part.n);
	state->at += part.n;
	*n = part.n;
	return 0;
}

static int memory_rewind(void *user)
{
	struct smtp_memory_content *state = user;

	state->at = 0;
	return 0;
}

struct smtp_client_content smtp_client_content_of(struct smtp_memory_content *state,
					       struct smtp_span octets)
{
	*state = (struct smtp_memory_content){ .octets = octets };
	return (struct smtp_client_content){ memory_read, state, memory_rewind };
}
