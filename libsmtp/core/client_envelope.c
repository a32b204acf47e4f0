/* SPDX-License-Identifier: ISC */
/* client_envelope.c - the envelope of a transaction: MAIL and RCPT with the parameters that the server
 * offers, and what is refused here already because the server could not take it.
 */
#include "libsmtp/core/client_session_private.h"

#include <string.h>

#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"
#include "libsmtp/core/xtext.h"

/* --- paths ----------------------------------------------------------------------------------- */

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

/* What is sent is read back: it must be the path that was meant. */
bool smtp_client_path_is_sendable(const struct smtp_path *path)
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
	return smtp_path_parse(&read, smtp_span_make(text, n), SMTP_ADDRESS_UTF8, &used) == 0 &&
	       strcmp(read.mailbox.local_part, mailbox->local_part) == 0 &&
	       strcmp(read.mailbox.domain, mailbox->domain) == 0;
}

static bool is_ascii(const char *text)
{
	return !smtp_span_has(smtp_span_of(text), SMTP_CC_UTF8);
}

/* Writes the domain in A-labels if it is not ASCII; false if it stays what it is, and that is no
 * ASCII. */
static bool make_domain_ascii(const struct smtp_client_session *s, struct smtp_path *path)
{
	char ascii[SMTP_DOMAIN_MAX + 1];

	if (is_ascii(path->mailbox.domain))
		return true;
	if (!s->options.domain_to_ascii ||
	    s->options.domain_to_ascii(path->mailbox.domain, ascii) != 0 ||
	    !memchr(ascii, '\0', sizeof(ascii)) || !smtp_domain_is_valid(smtp_span_of(ascii)))
		return false;
	memcpy(path->mailbox.domain, ascii, sizeof(ascii));
	return true;
}

static bool make_path_ascii(const struct smtp_client_session *s, struct smtp_path *path)
{
	return is_ascii(path->mailbox.local_part) && make_domain_ascii(s, path);
}

/* --- what the server could not take ---------------------------------------------------------- */

static void refuse_all(struct smtp_client_session *s, unsigned code, const char *enhanced,
		       const char *text)
{
	struct smtp_reply reply = smtp_reply_of(code, enhanced, text);

	smtp_client_transaction_set_outcome(&s->txn, SMTP_STEP_MAIL, &reply);
}

static void refuse_recipient(struct smtp_client_session *s, size_t i, unsigned code,
			     const char *enhanced, const char *text)
{
	struct smtp_reply reply = smtp_reply_of(code, enhanced, text);

	if (smtp_client_is_over(s))
		return;
	if (s->handler.reply)
		s->handler.reply(s, SMTP_STEP_RCPT, i, &reply, s->user);
	if (!smtp_client_is_over(s))
		smtp_client_transaction_settle(s, i, SMTP_STEP_RCPT, &reply);
}

/* Without SMTPUTF8 domains go as A-labels, and what is then no ASCII can't go. With it they go so too
 * as long as nothing else needs the extension, since the next server may not have it. */
static void prepare_utf8(struct smtp_client_session *s)
{
	struct client_transaction *txn = &s->txn;
	bool needed = txn->smtputf8;
	size_t ascii = 0;

	if (needed && s->extensions.smtputf8)
		return;
	if (needed || !make_path_ascii(s, &txn->reverse_path)) {
		if (!s->extensions.smtputf8)
			refuse_all(s, 550, "5.6.7", needed ?
				   "the message needs SMTPUTF8, which the server does not offer" :
				   "the sender needs SMTPUTF8, which the server does not offer");
		txn->smtputf8 = true;
		return;
	}
	while (ascii < txn->count && make_path_ascii(s, &txn->recipients[ascii].path))
		ascii++;
	txn->smtputf8 = ascii < txn->count && s->extensions.smtputf8;
	if (txn->smtputf8)
		return;
	for (size_t i = ascii; i < txn->count; i++)
		if (!make_path_ascii(s, &txn->recipients[i].path))
			refuse_recipient(s, i, 553, "5.6.7", "the address needs SMTPUTF8, which the "
					 "server does not offer");
}

/* Is it the first recipient of its domain, of those who are left? */
static bool is_first_of_domain(const struct client_transaction *txn, size_t index)
{
	struct smtp_span domain = smtp_span_of(txn->recipients[index].path.mailbox.domain);

	for (size_t i = 0; i < index; i++)
		if (txn->recipients[i].state == CLIENT_RECIPIENT_DUE &&
		    smtp_span_is_nocase(domain, txn->recipients[i].path.mailbox.domain))
			return false;
	return true;
}

/* RCPTMAX and RCPTDOMAINMAX of RFC 9422, 4. */
static void prepare_limits(struct smtp_client_session *s)
{
	const struct smtp_extensions *offered = &s->extensions;
	uint64_t recipients = 0, domains = 0;

	for (size_t i = 0; i < s->txn.count; i++) {
		bool new_domain;

		if (smtp_client_is_over(s))
			return;
		if (s->txn.recipients[i].state != CLIENT_RECIPIENT_DUE)
			continue;
		new_domain = offered->rcpt_domain_max > 0 && is_first_of_domain(&s->txn, i);
		if ((offered->rcpt_max > 0 && recipients == offered->rcpt_max) ||
		    (new_domain && domains == offered->rcpt_domain_max)) {
			refuse_recipient(s, i, 452, "4.5.3",
					 "more recipients than the server takes at once");
			continue;
		}
		recipients++;
		domains += new_domain;
	}
}

/* In the order in which a server would find it out. */
static void check_message(struct smtp_client_session *s)
{
	const struct smtp_extensions *offered = &s->extensions;
	const struct client_transaction *txn = &s->txn;

	if (offered->mail_max > 0 && s->mails > offered->mail_max)
		refuse_all(s, 452, "4.5.3", "more messages than the server takes in one session");
	else if (offered->size && offered->size_limit > 0 &&
		 txn->content_bytes > offered->size_limit)
		refuse_all(s, 552, "5.3.4", "message larger than the server takes");
	else if (txn->require_tls && (!s->has_tls || !offered->requiretls))
		refuse_all(s, 550, "5.7.30", "REQUIRETLS is not supported by the server");
	else if (txn->body == SMTP_BODY_BINARYMIME && (!txn->chunked || !offered->binarymime))
		refuse_all(s, 554, "5.6.3", "BINARYMIME is not supported by the server");
}

void smtp_client_envelope_prepare(struct smtp_client_session *s)
{
	const struct smtp_reply none = { 0 };

	check_message(s);
	if (!s->txn.outcome.known)
		prepare_utf8(s);
	if (!s->txn.outcome.known && !smtp_client_is_over(s))
		prepare_limits(s);
	if (smtp_client_is_over(s))
		return;
	if (smtp_client_recipient_find(&s->txn, 0, CLIENT_RECIPIENT_DUE) == s->txn.count)
		smtp_client_transaction_set_outcome(&s->txn, SMTP_STEP_RCPT, &none);
}

/* --- MAIL ------------------------------------------------------------------------------------ */

static int put_line(struct smtp_client_session *s, const struct smtp_buf *line, int err)
{
	struct smtp_span span = smtp_buf_span(line);

	return err ? err : smtp_client_put(s, &span, 1, NULL);
}

static int append_path(struct smtp_buf *line, const struct smtp_path *path)
{
	char text[SMTP_MAILBOX_TEXT_MAX + 3];

	return smtp_buf_append(line, text, format_path(path, text));
}

static int append_xtext(struct smtp_buf *line, const char *keyword, const char *value)
{
	int err = smtp_buf_append_text(line, keyword);

	return err ? err : smtp_xtext_encode(line, smtp_span_of(value));
}

static int append_size(struct smtp_buf *line, uint64_t octets)
{
	int err = smtp_buf_append_text(line, " SIZE=");

	return err ? err : smtp_buf_append_uint(line, octets);
}

/* BODY of RFC 6152 and 3030; SMTPUTF8 content has octets over 127 (RFC 6531, 3.6). */
static int append_body(struct smtp_client_session *s, struct smtp_buf *line)
{
	const struct client_transaction *txn = &s->txn;

	if (txn->body == SMTP_BODY_BINARYMIME)
		return smtp_buf_append_text(line, " BODY=BINARYMIME");
	if ((txn->body == SMTP_BODY_8BITMIME || txn->smtputf8) && s->extensions.eightbitmime)
		return smtp_buf_append_text(line, " BODY=8BITMIME");
	return 0;
}

/* RET and ENVID of RFC 3461, 4.3 and 4.4. */
static int append_dsn(struct smtp_client_session *s, struct smtp_buf *line)
{
	const struct client_transaction *txn = &s->txn;
	int err = 0;

	if (!s->extensions.dsn)
		return 0;
	if (txn->ret != SMTP_DSN_RETURN_DEFAULT)
		err = smtp_buf_append_text(line, txn->ret == SMTP_DSN_RETURN_FULL ? " RET=FULL" :
										  " RET=HDRS");
	return err || !txn->envid ? err : append_xtext(line, " ENVID=", txn->envid);
}

static int append_mail_params(struct smtp_client_session *s, struct smtp_buf *line)
{
	const struct client_transaction *txn = &s->txn;
	int err = 0;

	if (s->extensions.size && txn->content_bytes > 0)
		err = append_size(line, txn->content_bytes);
	if (!err)
		err = append_body(s, line);
	if (!err && txn->smtputf8)
		err = smtp_buf_append_text(line, " SMTPUTF8");
	if (!err)
		err = append_dsn(s, line);
	if (!err && txn->auth && s->extensions.auth)
		err = append_xtext(line, " AUTH=", txn->auth);
	if (!err && txn->require_tls)
		err = smtp_buf_append_text(line, " REQUIRETLS");
	return err;
}

/* mail = "MAIL FROM:" Reverse-path [SP Mail-parameters] CRLF (RFC 5321, 4.1.1.2) */
int smtp_client_mail_send(struct smtp_client_session *s, size_t index)
{
	struct smtp_buf line;
	int err;

	(void)index;
	smtp_buf_init(&line, CLIENT_OUTPUT_MAX);
	err = smtp_buf_append_text(&line, "MAIL FROM:");
	if (!err)
		err = append_path(&line, &s->txn.reverse_path);
	if (!err)
		err = append_mail_params(s, &line);
	err = put_line(s, &line, err);
	smtp_buf_release(&line);
	return err;
}

void smtp_client_mail_reply(struct smtp_client_session *s, size_t index,
			    const struct smtp_reply *reply)
{
	(void)index;
	if (smtp_reply_is_positive(reply))
		s->txn.open = true;
	else if (client_is_refusal(reply))
		smtp_client_transaction_set_outcome(&s->txn, SMTP_STEP_MAIL, reply);
	else
		smtp_client_end(s, SMTP_EPROTO, SMTP_STEP_MAIL, reply);
}

/* --- RCPT ------------------------------------------------------------------------------------ */

/* notify-esmtp-value = "NEVER" / notify-list-element *( "," notify-list-element ) */
static int append_notify(struct smtp_buf *line, unsigned notify)
{
	static const struct {
		unsigned bit;
		const char *word;
	} words[] = {
		{ SMTP_DSN_NOTIFY_NEVER, "NEVER" },
		{ SMTP_DSN_NOTIFY_SUCCESS, "SUCCESS" },
		{ SMTP_DSN_NOTIFY_FAILURE, "FAILURE" },
		{ SMTP_DSN_NOTIFY_DELAY, "DELAY" },
	};
	const char *before = " NOTIFY=";
	int err = 0;

	for (size_t i = 0; i < sizeof(words) / sizeof(*words) && !err; i++) {
		if (!(notify & words[i].bit))
			continue;
		err = smtp_buf_append_text(line, before);
		if (!err)
			err = smtp_buf_append_text(line, words[i].word);
		before = ",";
	}
	return err;
}

/* The code point of the UTF-8 sequence of `n` octets at `p`. */
static uint32_t code_point(const uint8_t *p, size_t n)
{
	uint32_t value = n == 1 ? p[0] : p[0] & (0x7fU >> n);

	for (size_t i = 1; i < n; i++)
		value = value << 6 | (p[i] & 0x3fU);
	return value;
}

static int append_embedded_point(struct smtp_buf *line, uint32_t point)
{
	static const char digits[] = "0123456789ABCDEF";
	unsigned shift = 20;
	int err = smtp_buf_append_text(line, "\\x{");

	while (shift > 4 && point >> shift == 0)
		shift -= 4;
	for (;; shift -= 4) {
		if (!err)
			err = smtp_buf_append(line, digits + (point >> shift & 15), 1);
		if (shift == 0)
			break;
	}
	return err ? err : smtp_buf_append_text(line, "}");
}

/* utf-8-addr-xtext of RFC 6533, 3, which is ASCII: right with SMTPUTF8 and without. */
static int append_utf8_address(struct smtp_buf *line, struct smtp_span address)
{
	int err = 0;

	while (address.n > 0 && !err) {
		size_t n = smtp_utf8_sequence(address);
		bool plain = n == 1 && smtp_is(address.p[0], SMTP_CC_XCHAR) &&
			     address.p[0] != '\\';

		if (n == 0)
			return SMTP_EINVAL;
		err = plain ? smtp_buf_append(line, address.p, 1) :
			      append_embedded_point(line, code_point(address.p, n));
		address = smtp_span_slice(address, n, SIZE_MAX);
	}
	return err;
}

/* original-recipient-address = addr-type ";" xtext; addr-type = atom */
static int read_orcpt(const char *orcpt, struct smtp_span *type, struct smtp_span *address)
{
	struct smtp_reader rd;

	smtp_reader_init(&rd, smtp_span_of(orcpt));
	*type = smtp_rd_while(&rd, SMTP_CC_ATEXT);
	if (type->n == 0 || !smtp_rd_char(&rd, ';') || smtp_rd_end(&rd))
		return SMTP_EINVAL;
	*address = rd.rest;
	return smtp_span_has(*address, SMTP_CC_CONTROL) ? SMTP_EINVAL : 0;
}

int smtp_client_orcpt_encode(struct smtp_buf *out, const char *orcpt)
{
	struct smtp_span type, address;
	int err = read_orcpt(orcpt, &type, &address);

	if (!err)
		err = smtp_buf_append_span(out, type);
	if (!err)
		err = smtp_buf_append_text(out, ";");
	if (!err)
		err = smtp_span_is_nocase(type, "utf-8") ? append_utf8_address(out, address) :
							   smtp_xtext_encode(out, address);
	return err == SMTP_ETOOLONG ? SMTP_EINVAL : err;
}

static int append_rcpt_params(struct smtp_buf *line, const struct client_recipient *recipient)
{
	int err = append_notify(line, recipient->notify);

	if (err || recipient->orcpt.n == 0)
		return err;
	err = smtp_buf_append_text(line, " ORCPT=");
	return err ? err : smtp_buf_append_span(line, smtp_buf_span(&recipient->orcpt));
}

int smtp_client_rcpt_send(struct smtp_client_session *s, size_t index)
{
	const struct client_recipient *recipient = &s->txn.recipients[index];
	struct smtp_buf line;
	int err;

	smtp_buf_init(&line, CLIENT_OUTPUT_MAX);
	err = smtp_buf_append_text(&line, "RCPT TO:");
	if (!err)
		err = append_path(&line, &recipient->path);
	if (!err && s->extensions.dsn)
		err = append_rcpt_params(&line, recipient);
	err = put_line(s, &line, err);
	smtp_buf_release(&line);
	return err;
}

/* Only those who have no result yet were asked for: the last of them is followed by another step. */
static bool is_last_asked(const struct smtp_client_session *s, size_t index)
{
	const struct client_cursor at = { SMTP_STEP_RCPT, index };

	return smtp_client_cursor_next(s, at).step != SMTP_STEP_RCPT;
}

void smtp_client_rcpt_reply(struct smtp_client_session *s, size_t index,
			    const struct smtp_reply *reply)
{
	const struct smtp_reply none = { 0 };
	bool last = is_last_asked(s, index);

	if (smtp_reply_is_positive(reply)) {
		s->txn.accepted++;
		s->txn.recipients[index].state = CLIENT_RECIPIENT_ACCEPTED;
		return;
	}
	if (!client_is_refusal(reply)) {
		smtp_client_end(s, SMTP_EPROTO, SMTP_STEP_RCPT, reply);
		return;
	}
	if (!s->txn.outcome.known)
		smtp_client_transaction_settle(s, index, SMTP_STEP_RCPT, reply);
	if (last && s->txn.accepted == 0 && !smtp_client_is_over(s))
		smtp_client_transaction_set_outcome(&s->txn, SMTP_STEP_RCPT, &none);
}
