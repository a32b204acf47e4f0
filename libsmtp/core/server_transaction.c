/* SPDX-License-Identifier: ISC */
/* server_transaction.c - the envelope of a transaction: MAIL, RCPT and DATA up to 354 (RFC 5321,
 * 3.3 and 4.1.1.2 to .4), and the end of a transaction however it comes. Content follows in
 * server_content.c.
 */
#include <smtp/address.h>

#include "libsmtp/core/server_session_private.h"
#include "libsmtp/core/syntax.h"

/* --- life ----------------------------------------------------------------------------------- */

void server_transaction_forget(struct smtp_server_session *s)
{
	uint32_t entered = s->txn.entered;

	server_fields_release(s);
	s->txn = (struct server_transaction){ .entered = 0 };
	if (entered)
		server_hooks_reset(s, entered);
}

bool server_transaction_is_open(const struct smtp_server_session *s)
{
	enum { OPEN = 1 << SERVER_MAIL | 1 << SERVER_RCPT | 1 << SERVER_CONTENT | 1 << SERVER_BDAT };

	return (1 << s->state & OPEN) != 0 ||
	       (s->state == SERVER_CHUNK && (1 << s->content.chunk.back & OPEN) != 0);
}

void server_transaction_end(struct smtp_server_session *s, bool completed)
{
	bool open = server_transaction_is_open(s);

	if (completed)
		s->txn.entered = 0;
	server_transaction_forget(s);
	server_content_release(s);
	if (open)
		server_session_set_state(s, SERVER_READY);
}

/* --- paths ---------------------------------------------------------------------------------- */

/* How the two commands differ in what they say. */
struct path_rules {
	const char *prefix;
	const char *syntax;      /* the prefix is not there */
	const char *bad_path;    /* enhanced code (RFC 3463, 3.2) */
	unsigned utf8_code;      /* RFC 6531, 3.5 */
};

static const struct path_rules mail_rules = { "FROM:", "syntax: MAIL FROM:<address>", "5.1.7", 550 };
static const struct path_rules rcpt_rules = { "TO:", "syntax: RCPT TO:<address>", "5.1.3", 553 };

/* Reads the path at the head of the argument; *rest is what stands behind it. UTF-8 is let through as
 * yet: whether the client may send it is known only when the parameters are. */
static bool parse_path(struct smtp_server_session *s, struct smtp_span argument,
		       const struct path_rules *rules, struct smtp_span *rest)
{
	int err = smtp_path_argument_parse(&s->args.path, argument, rules->prefix,
					   SMTP_ADDRESS_UTF8, rest);

	if (err == SMTP_EPROTO)
		server_reply_error(s, 501, "5.5.4", rules->syntax);
	else if (err)
		server_reply_error(s, 501, rules->bad_path, "bad address syntax");
	return err == 0;
}

/* An address beyond ASCII stands only in a transaction with SMTPUTF8 (RFC 6531, 3.4 and 3.5). */
static bool charset_fits(struct smtp_server_session *s, struct smtp_span argument,
			 struct smtp_span rest, const struct path_rules *rules, bool smtputf8)
{
	struct smtp_span path = smtp_span_slice(argument, 0, argument.n - rest.n);

	if (smtputf8 || !smtp_span_has(path, SMTP_CC_UTF8))
		return true;
	server_reply_error(s, rules->utf8_code, "5.6.7",
			   server_extension_is_usable(s, SMTP_SERVER_SMTPUTF8) ?
				   "an address beyond ASCII needs the parameter SMTPUTF8" :
				   "an address beyond ASCII is not supported");
	return false;
}

/* --- MAIL ----------------------------------------------------------------------------------- */

static bool size_fits(struct smtp_server_session *s)
{
	uint64_t max = s->options.max_message_bytes;

	if (max == 0 || s->args.mail.size_bytes <= max)
		return true;
	server_reply(s, 552, "5.3.4", "the message is larger than allowed");
	return false;
}

void server_mail_run(struct smtp_server_session *s, struct smtp_span argument)
{
	struct smtp_reply bye = smtp_reply_of(421, "4.7.0", "too many transactions, closing");
	struct smtp_span rest;

	if (s->transactions >= s->options.max_transactions) {
		server_session_shut(s, SMTP_DISCONNECT_ERRORS, &bye);
		return;
	}
	if (parse_path(s, argument, &mail_rules, &rest) && server_mail_params_take(s, rest) &&
	    charset_fits(s, argument, rest, &mail_rules, s->args.mail.smtputf8) && size_fits(s))
		server_phase_begin(s, SERVER_PHASE_MAIL);
	else
		server_args_release(s);
}

void server_mail_proceed(struct smtp_server_session *s, bool accepted,
			 const struct smtp_reply *given)
{
	if (accepted) {
		s->transactions++;
		s->txn.binary = s->args.mail.body == SMTP_BODY_BINARYMIME;
		s->txn.smtputf8 = s->args.mail.smtputf8;
		server_session_set_state(s, SERVER_MAIL);
	} else {
		server_transaction_forget(s); /* handlers before the one that refused */
	}
	server_phase_answer(s, accepted, given, 250, "2.1.0", "sender ok");
}

/* --- RCPT ----------------------------------------------------------------------------------- */

/* The limit first: the client has to know it before it mends parameters. */
static bool rcpt_may_come(struct smtp_server_session *s)
{
	if (smtp_path_is_null(&s->args.path))
		server_reply_error(s, 501, "5.1.3", "a recipient can't be empty");
	else if (s->txn.recipients >= s->options.max_recipients)
		server_reply(s, 452, "4.5.3", "too many recipients");
	else
		return true;
	return false;
}

void server_rcpt_run(struct smtp_server_session *s, struct smtp_span argument)
{
	struct smtp_span rest;

	if (parse_path(s, argument, &rcpt_rules, &rest) && rcpt_may_come(s) &&
	    server_rcpt_params_take(s, rest) &&
	    charset_fits(s, argument, rest, &rcpt_rules, s->txn.smtputf8))
		server_phase_begin(s, SERVER_PHASE_RCPT);
	else
		server_args_release(s);
}

void server_rcpt_proceed(struct smtp_server_session *s, bool accepted,
			 const struct smtp_reply *given)
{
	if (accepted) {
		s->txn.recipients++;
		server_session_set_state(s, SERVER_RCPT);
	} else {
		s->txn.recipient_refused = true;
	}
	server_phase_answer(s, accepted, given, 250, "2.1.5", "recipient ok");
}

/* --- DATA ----------------------------------------------------------------------------------- */

void server_data_run(struct smtp_server_session *s, struct smtp_span argument)
{
	(void)argument;
	if (s->txn.binary)
		server_reply_error(s, 503, "5.5.1", "BINARYMIME needs BDAT");
	else if (s->state == SERVER_RCPT)
		server_phase_begin(s, SERVER_PHASE_DATA);
	else if (s->txn.recipient_refused)
		/* no error: a pipelining client can't know */
		server_reply(s, 554, "5.5.1", "no valid recipients");
	else
		server_reply_error(s, 503, "5.5.1", "send RCPT first");
}

void server_data_proceed(struct smtp_server_session *s, bool accepted,
			 const struct smtp_reply *given)
{
	if (!accepted) {
		server_phase_answer(s, false, given, 0, NULL, NULL);
		return;
	}
	server_reply(s, 354, NULL, "go ahead, end with a dot on a line of its own");
	server_session_set_state(s, SERVER_CONTENT);
	server_content_begin(s, false);
}
