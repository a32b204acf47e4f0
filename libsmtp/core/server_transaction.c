/* SPDX-License-Identifier: ISC */
/* server_transaction.c - the envelope of a transaction: MAIL, RCPT and DATA up to 354 (RFC 5321,
 * 3.3 and 4.1.1.2 to .4), and the end of a transaction however it comes. Content follows in
 * server_content.c.
 */
#include <smtp/address.h>

#include "libsmtp/core/server_session_private.h"
#include "libsmtp/core/syntax.h"
#include "libsmtp/core/xtext.h"

/* --- life ----------------------------------------------------------------------------------- */

void server_transaction_forget(struct smtp_server_session *s)
{
	uint32_t entered = s->txn.entered;

	smtp_buf_release(&s->txn.fields);
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

/* An address that only SMTPUTF8 would allow is told from one that is wrong anyway. */
static void answer_bad_path(struct smtp_server_session *s, struct smtp_span argument,
			    const struct path_rules *rules)
{
	struct smtp_path path;
	struct smtp_span rest;

	if (smtp_span_has(argument, SMTP_CC_UTF8) &&
	    smtp_path_argument_parse(&path, argument, rules->prefix, SMTP_ADDRESS_UTF8, &rest) == 0)
		server_reply_error(s, rules->utf8_code, "5.6.7",
				   "an address beyond ASCII is not supported");
	else
		server_reply_error(s, 501, rules->bad_path, "bad address syntax");
}

static bool parse_path(struct smtp_server_session *s, struct smtp_span argument,
		       const struct path_rules *rules, struct smtp_span *rest)
{
	int err = smtp_path_argument_parse(&s->args.path, argument, rules->prefix, 0, rest);

	if (err == SMTP_EPROTO)
		server_reply_error(s, 501, "5.5.4", rules->syntax);
	else if (err)
		answer_bad_path(s, argument, rules);
	return err == 0;
}

static bool parse_params(struct smtp_server_session *s, struct smtp_span text,
			 struct smtp_params *params)
{
	if (smtp_params_parse(params, text) == 0)
		return true;
	server_reply_error(s, 501, "5.5.4", "bad parameters");
	return false;
}

/* --- MAIL ----------------------------------------------------------------------------------- */

/* Each reads one parameter; false: its value is bad. */

static bool take_size(struct smtp_server_session *s, struct smtp_span value)
{
	return smtp_span_uint(value, &s->args.mail.size_bytes) == 0;
}

static bool take_body(struct smtp_server_session *s, struct smtp_span value)
{
	static const struct {
		const char *name;
		enum smtp_body_kind kind;
		enum smtp_server_extension extension;
	} kinds[] = {
		{ "7BIT", SMTP_BODY_7BIT, SMTP_SERVER_8BITMIME },
		{ "8BITMIME", SMTP_BODY_8BITMIME, SMTP_SERVER_8BITMIME },
		{ "BINARYMIME", SMTP_BODY_BINARYMIME, SMTP_SERVER_BINARYMIME },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (!smtp_span_is_nocase(value, kinds[i].name))
			continue;
		s->args.mail.body = kinds[i].kind;
		return server_extension_is_usable(s, kinds[i].extension);
	}
	return false;
}

/* RFC 4954, 5: an address in xtext, or <>. */
static bool take_auth(struct smtp_server_session *s, struct smtp_span value)
{
	struct smtp_mailbox mailbox;
	int err = smtp_xtext_decode(&s->args.held, value);

	if (err == SMTP_ENOMEM)
		server_session_fail(s, err);
	if (err)
		return false;
	s->args.mail.auth = smtp_buf_span(&s->args.held);
	return smtp_span_is(s->args.mail.auth, "<>") ||
	       smtp_mailbox_parse(&mailbox, s->args.mail.auth, 0) == 0;
}

static bool take_known(struct smtp_server_session *s, const struct smtp_param *param, bool *ok)
{
	unsigned offered = s->options.extensions;

	if ((offered & SMTP_SERVER_SIZE) && smtp_span_is_nocase(param->keyword, "SIZE"))
		*ok = take_size(s, param->value);
	else if ((offered & SMTP_SERVER_8BITMIME) && smtp_span_is_nocase(param->keyword, "BODY"))
		*ok = take_body(s, param->value);
	else if (server_auth_is_usable(s) && smtp_span_is_nocase(param->keyword, "AUTH"))
		*ok = take_auth(s, param->value);
	else
		return false;
	return true;
}

static bool take_mail_params(struct smtp_server_session *s, const struct smtp_params *params)
{
	s->args.mail = (struct smtp_mail_request){ .reverse_path = &s->args.path };
	for (size_t i = 0; i < params->count; i++) {
		bool ok = false;

		if (!s->extended || !take_known(s, &params->items[i], &ok)) {
			server_reply_error(s, 555, "5.5.4", "unsupported parameter");
			return false;
		}
		if (!ok) {
			server_reply_error(s, 501, "5.5.4", "bad value of a parameter");
			return false;
		}
	}
	return true;
}

static bool size_fits(struct smtp_server_session *s)
{
	uint64_t max = s->options.max_message_bytes;

	if (max == 0 || s->args.mail.size_bytes <= max)
		return true;
	server_reply(s, 552, "5.3.4", "the message is larger than allowed");
	return false;
}

static void forget_args(struct smtp_server_session *s)
{
	smtp_buf_release(&s->args.held);
	s->args.span = smtp_span_make(NULL, 0);
}

void server_mail_run(struct smtp_server_session *s, struct smtp_span argument)
{
	struct smtp_reply bye = smtp_reply_of(421, "4.7.0", "too many transactions, closing");
	struct smtp_params params;
	struct smtp_span rest;

	if (s->transactions >= s->options.max_transactions) {
		server_session_shut(s, SMTP_DISCONNECT_ERRORS, &bye);
		return;
	}
	if (parse_path(s, argument, &mail_rules, &rest) && parse_params(s, rest, &params) &&
	    take_mail_params(s, &params) && size_fits(s))
		server_phase_begin(s, SERVER_PHASE_MAIL);
	else
		forget_args(s);
}

void server_mail_proceed(struct smtp_server_session *s, bool accepted,
			 const struct smtp_reply *given)
{
	if (accepted) {
		s->transactions++;
		s->txn.binary = s->args.mail.body == SMTP_BODY_BINARYMIME;
		server_session_set_state(s, SERVER_MAIL);
	} else {
		server_transaction_forget(s); /* handlers before the one that refused */
	}
	server_phase_answer(s, accepted, given, 250, "2.1.0", "sender ok");
}

/* --- RCPT ----------------------------------------------------------------------------------- */

void server_rcpt_run(struct smtp_server_session *s, struct smtp_span argument)
{
	struct smtp_params params;
	struct smtp_span rest;

	if (!parse_path(s, argument, &rcpt_rules, &rest) || !parse_params(s, rest, &params))
		return;
	if (smtp_path_is_null(&s->args.path))
		server_reply_error(s, 501, "5.1.3", "a recipient can't be empty");
	else if (params.count > 0)
		server_reply_error(s, 555, "5.5.4", "unsupported parameter");
	else if (s->txn.recipients >= s->options.max_recipients)
		server_reply(s, 452, "4.5.3", "too many recipients");
	else {
		s->args.rcpt = (struct smtp_rcpt_request){ .forward_path = &s->args.path };
		server_phase_begin(s, SERVER_PHASE_RCPT);
	}
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
