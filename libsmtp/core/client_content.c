/* SPDX-License-Identifier: ISC */
/* client_content.c - the content of a transaction on its way: DATA with dots stuffed, or chunks with
 * BDAT (RFC 3030), the answers to its end, and RSET where the server would else be left half-way.
 */
#include "libsmtp/core/client_session_private.h"

#include <string.h>

#include "libsmtp/core/span.h"

enum { CHUNK_HEAD_MAX = 40 };

static void break_off(struct smtp_client_session *s, enum smtp_client_step step,
		      const struct smtp_reply *reply)
{
	smtp_client_end(s, SMTP_EPROTO, step, reply);
}

static int put_text(struct smtp_client_session *s, const char *text)
{
	struct smtp_span line = smtp_span_of(text);

	return smtp_client_put(s, &line, 1, NULL);
}

/* --- DATA ------------------------------------------------------------------------------------ */

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
	else if (client_is_refusal(reply))
		smtp_client_transaction_set_outcome(&s->txn, SMTP_STEP_DATA, reply);
	else
		break_off(s, SMTP_STEP_DATA, reply);
}

int smtp_client_end_send(struct smtp_client_session *s, size_t index)
{
	(void)index;
	if (s->txn.outcome.known)
		return put_text(s, ".");
	s->txn.sending = true;
	s->outstanding++;
	return 0;
}

/* --- content --------------------------------------------------------------------------------- */

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

static size_t copy_binary(struct smtp_client_session *s, size_t *taken)
{
	size_t n = s->txn.raw.n < output_room(s) ? s->txn.raw.n : output_room(s);

	memcpy(s->out.p + s->out.n, s->txn.raw.p, n);
	*taken = n;
	return n;
}

/* Returns false when the room is too small for the next octet. */
static bool encode_content(struct smtp_client_session *s)
{
	size_t taken = 0;
	size_t written;

	if (s->txn.body == SMTP_BODY_BINARYMIME)
		written = copy_binary(s, &taken);
	else
		written = smtp_data_encoder_feed(&s->txn.encoder, smtp_buf_span(&s->txn.raw),
						 &taken, s->out.p + s->out.n, output_room(s));
	s->out.n += written;
	smtp_buf_drop(&s->txn.raw, taken);
	return written > 0 || taken > 0;
}

/* Octets that were repaired lie in the output already: the session ends before they leave. */
static int check_newlines(const struct smtp_client_session *s)
{
	return s->txn.refuse_bare_newlines && s->txn.encoder.repaired ? SMTP_ESYNTAX : 0;
}

int smtp_client_content_pull(struct smtp_client_session *s)
{
	int err = smtp_buf_reserve(&s->out, CLIENT_OUTPUT_MAX - s->out.n);

	while (!err && !s->txn.complete && output_room(s) > 0) {
		if (s->txn.raw.n == 0)
			err = read_content(s);
		else if (!encode_content(s))
			break;
		if (!err)
			err = check_newlines(s);
	}
	if (!err && s->txn.complete && s->txn.body != SMTP_BODY_BINARYMIME) {
		s->out.n += smtp_data_encoder_end(&s->txn.encoder, s->out.p + s->out.n,
						  CLIENT_OUTPUT_MAX - s->out.n);
		err = check_newlines(s);
	}
	return err;
}

/* --- BDAT ------------------------------------------------------------------------------------ */

/* The server does not know the command that it offered: its transaction is as it was. */
static bool is_unknown_command(const struct smtp_reply *reply)
{
	return reply->code == 500 || reply->code == 502;
}

/* bdat-cmd = "BDAT" SP chunk-size [ SP end-marker ] CR LF (RFC 3030, 2) */
static int format_head(struct smtp_buf *head, size_t octets, bool last)
{
	int err;

	smtp_buf_init(head, CHUNK_HEAD_MAX);
	err = smtp_buf_append_text(head, "BDAT ");
	if (!err)
		err = smtp_buf_append_uint(head, octets);
	if (!err && last)
		err = smtp_buf_append_text(head, " LAST");
	return err;
}

/* Puts the head before the octets of the chunk, which are all of the output. */
static int put_head(struct smtp_client_session *s)
{
	struct smtp_buf head;
	int err = format_head(&head, s->out.n, s->txn.complete);

	if (!err)
		err = smtp_buf_reserve(&s->out, head.n + 2);
	if (!err) {
		smtp_client_trace_sent(s, smtp_buf_span(&head));
		memmove(s->out.p + head.n + 2, s->out.p, s->out.n);
		memcpy(s->out.p, head.p, head.n);
		memcpy(s->out.p + head.n, "\r\n", 2);
		s->out.n += head.n + 2;
	}
	smtp_buf_release(&head);
	return err;
}

/* A message that is known to fit into one chunk goes with the envelope, any other waits for somebody
 * to get it; then chunk follows chunk. With LMTP each is answered first, so that the number of answers
 * to the last one is known. */
bool smtp_client_chunk_joins_group(const struct smtp_client_session *s, size_t index)
{
	if (s->options.lmtp)
		return false;
	return index > 0 ||
	       (s->txn.content_bytes > 0 && s->txn.content_bytes <= CLIENT_OUTPUT_FULL);
}

/* The output is empty, so that the end of the chunk is the end of the output. */
int smtp_client_bdat_send(struct smtp_client_session *s, size_t index)
{
	int err = smtp_client_content_pull(s);

	if (smtp_client_is_over(s))
		return 0;
	if (!err)
		err = put_head(s);
	if (err) {
		/* None of it leaves; told as what it is, not as the server's or ours. */
		smtp_client_end(s, err, SMTP_STEP_CONTENT, NULL);
		return 0;
	}
	s->txn.last_chunk = index;
	s->txn.sending = true;
	s->outstanding++;
	return 0;
}

static void refuse_chunk(struct smtp_client_session *s, size_t index, enum smtp_client_step step,
			 const struct smtp_reply *reply)
{
	s->txn.again = index == 0 && is_unknown_command(reply) && s->txn.content.rewind &&
		       s->txn.body != SMTP_BODY_BINARYMIME;
	smtp_client_transaction_set_outcome(&s->txn, step, reply);
}

void smtp_client_bdat_reply(struct smtp_client_session *s, size_t index,
			    const struct smtp_reply *reply)
{
	if (s->txn.outcome.known || smtp_reply_is_positive(reply))
		return;
	if (client_is_refusal(reply))
		refuse_chunk(s, index, SMTP_STEP_BDAT, reply);
	else
		break_off(s, SMTP_STEP_BDAT, reply);
}

/* --- the end --------------------------------------------------------------------------------- */

bool smtp_client_end_has_more(const struct smtp_client_session *s, struct client_cursor at,
			      const struct smtp_reply *reply)
{
	if (!s->options.lmtp || at.step != SMTP_STEP_END || s->txn.outcome.known ||
	    (s->txn.chunked && is_unknown_command(reply)))
		return false; /* a command that is not known is answered once */
	return smtp_client_recipient_find(&s->txn, at.index + 1, CLIENT_RECIPIENT_ACCEPTED) <
		       s->txn.count;
}

/* One answer of several: the outcome of the whole is the first that is not positive, else the last. */
static void settle_one(struct smtp_client_session *s, size_t index, const struct smtp_reply *reply)
{
	struct client_outcome *outcome = &s->txn.outcome;
	struct client_cursor at = { SMTP_STEP_END, index };
	bool more = smtp_client_end_has_more(s, at, reply);

	smtp_client_transaction_settle(s, index, SMTP_STEP_END, reply);
	if (smtp_client_is_over(s))
		return;
	if (outcome->reply.code == 0 && (!more || !smtp_reply_is_positive(reply)))
		smtp_client_transaction_set_outcome(&s->txn, SMTP_STEP_END, reply);
	outcome->known = !more;
}

void smtp_client_end_reply(struct smtp_client_session *s, size_t index,
			   const struct smtp_reply *reply)
{
	/* What a server thinks of a transaction whose last chunk it refused is best left to RSET. */
	if (!s->txn.chunked || smtp_reply_is_positive(reply))
		s->txn.open = false;
	s->txn.content_due = false;
	if (!smtp_reply_is_positive(reply) && !client_is_refusal(reply))
		break_off(s, SMTP_STEP_END, reply);
	else if (s->options.lmtp && !s->txn.outcome.known &&
		 !(s->txn.chunked && is_unknown_command(reply)))
		settle_one(s, index, reply);
	else if (s->txn.chunked && !s->txn.outcome.known && client_is_refusal(reply))
		refuse_chunk(s, s->txn.last_chunk, SMTP_STEP_END, reply);
	else
		smtp_client_transaction_set_outcome(&s->txn, SMTP_STEP_END, reply);
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
	if (client_is_refusal(reply))
		smtp_client_give_up(s, SMTP_EREFUSED, SMTP_STEP_RSET, reply);
	else if (!smtp_reply_is_positive(reply))
		break_off(s, SMTP_STEP_RSET, reply);
}
