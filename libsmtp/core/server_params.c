/* SPDX-License-Identifier: ISC */
/* server_params.c - the parameters of MAIL and RCPT as tables: which extension brings each, and how its
 * value is read into the request that handlers see. Values are kept in s->args.held.
 */
#include <stdlib.h>

#include <smtp/address.h>

#include "libsmtp/core/dsn_params.h"
#include "libsmtp/core/server_session_private.h"
#include "libsmtp/core/syntax.h"
#include "libsmtp/core/xtext.h"

/* Each reads one value; 0, SMTP_ENOMEM, or another error: it is bad. */
typedef int take_param(struct smtp_server_session *s, struct smtp_span value);

struct param_rule {
	const char *keyword;
	unsigned extension; /* that brings it; enum smtp_server_extension */
	take_param *take;
};

/* What was appended to s->args.held since it had `start` octets; s->args.held does not grow any more. */
static struct smtp_span held_since(const struct smtp_server_session *s, size_t start)
{
	return smtp_span_slice(smtp_buf_span(&s->args.held), start, SIZE_MAX);
}

/* --- MAIL ----------------------------------------------------------------------------------- */

static int take_size(struct smtp_server_session *s, struct smtp_span value)
{
	return smtp_span_uint(value, &s->args.mail.size_bytes);
}

static int take_body(struct smtp_server_session *s, struct smtp_span value)
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
		if (!smtp_span_is_nocase(value, kinds[i].name) ||
		    !server_extension_is_usable(s, kinds[i].extension))
			continue;
		s->args.mail.body = kinds[i].kind;
		return 0;
	}
	return SMTP_ESYNTAX;
}

/* RFC 4954, 5: an address in xtext, or <>. What a client says that has not logged in is not
 * trusted: it counts as <>. */
static int take_auth(struct smtp_server_session *s, struct smtp_span value)
{
	unsigned flags = server_extension_is_usable(s, SMTP_SERVER_SMTPUTF8) ? SMTP_ADDRESS_UTF8 : 0;
	struct smtp_mailbox mailbox;
	size_t start = s->args.held.n;
	int err = smtp_xtext_decode(&s->args.held, value);

	if (err)
		return err;
	s->args.mail.auth = held_since(s, start);
	if (!smtp_span_is(s->args.mail.auth, "<>"))
		err = smtp_mailbox_parse(&mailbox, s->args.mail.auth, flags);
	if (!err && !s->account)
		s->args.mail.auth = smtp_span_of("<>");
	return err;
}

static int take_smtputf8(struct smtp_server_session *s, struct smtp_span value)
{
	s->args.mail.smtputf8 = true;
	return value.p ? SMTP_ESYNTAX : 0;
}

static int take_requiretls(struct smtp_server_session *s, struct smtp_span value)
{
	s->args.mail.requiretls = true;
	return value.p ? SMTP_ESYNTAX : 0;
}

static int take_ret(struct smtp_server_session *s, struct smtp_span value)
{
	return smtp_dsn_return_parse(&s->args.mail.ret, value);
}

static int take_envid(struct smtp_server_session *s, struct smtp_span value)
{
	size_t start = s->args.held.n;
	int err = smtp_dsn_envid_decode(&s->args.held, value);

	if (!err)
		s->args.mail.envid = held_since(s, start);
	return err;
}

static const struct param_rule mail_params[] = {
	{ "SIZE", SMTP_SERVER_SIZE, take_size },
	{ "BODY", SMTP_SERVER_8BITMIME, take_body },
	{ "AUTH", SERVER_EXTENSION_AUTH, take_auth },
	{ "SMTPUTF8", SMTP_SERVER_SMTPUTF8, take_smtputf8 },
	{ "RET", SMTP_SERVER_DSN, take_ret },
	{ "ENVID", SMTP_SERVER_DSN, take_envid },
	{ "REQUIRETLS", SMTP_SERVER_REQUIRETLS, take_requiretls },
	{ NULL, 0, NULL },
};

/* --- RCPT ----------------------------------------------------------------------------------- */

static int take_notify(struct smtp_server_session *s, struct smtp_span value)
{
	return smtp_dsn_notify_parse(&s->args.rcpt.notify, value);
}

static int take_orcpt(struct smtp_server_session *s, struct smtp_span value)
{
	size_t start = s->args.held.n, type_n;
	int err = smtp_dsn_orcpt_decode(&s->args.held, value, s->txn.smtputf8, &type_n);

	if (err)
		return err;
	s->args.rcpt.orcpt_type = smtp_span_slice(held_since(s, start), 0, type_n);
	s->args.rcpt.orcpt_address = held_since(s, start + type_n);
	return 0;
}

static const struct param_rule rcpt_params[] = {
	{ "NOTIFY", SMTP_SERVER_DSN, take_notify },
	{ "ORCPT", SMTP_SERVER_DSN, take_orcpt },
	{ NULL, 0, NULL },
};

/* --- custom extensions ---------------------------------------------------------------------- */

static const char *custom_keyword(const char *const *keywords, struct smtp_span keyword)
{
	for (size_t i = 0; keywords && keywords[i]; i++)
		if (smtp_span_is_nocase(keyword, keywords[i]))
			return keywords[i];
	return NULL;
}

static const char *find_custom(const struct smtp_server_session *s, bool mail,
			       struct smtp_span keyword)
{
	const char *found = NULL;

	for (size_t i = 0; i < s->options.custom_extension_count && !found; i++) {
		const struct smtp_custom_extension *e = s->options.custom_extensions[i];

		found = custom_keyword(mail ? e->mail_keywords : e->rcpt_keywords, keyword);
	}
	return found;
}

/* The values lie in s->args.held, as all others. There can't be more than there were parameters. */
static int take_custom(struct smtp_server_session *s, const char *keyword, struct smtp_span value)
{
	struct smtp_custom_param *param;
	size_t start = s->args.held.n;
	int err = smtp_buf_append_span(&s->args.held, value);

	if (!err && !s->args.custom) {
		s->args.custom = calloc(SMTP_PARAMS_MAX, sizeof(*s->args.custom));
		err = s->args.custom ? 0 : SMTP_ENOMEM;
	}
	if (err)
		return err;
	param = &s->args.custom[s->args.custom_count];
	*param = (struct smtp_custom_param){ .keyword = keyword };
	if (value.p)
		param->value = held_since(s, start);
	s->args.custom_count++;
	return 0;
}

/* --- all of a command ----------------------------------------------------------------------- */

static const struct param_rule *find_rule(const struct smtp_server_session *s,
					  const struct param_rule *rules, struct smtp_span keyword)
{
	for (; rules->keyword; rules++)
		if (smtp_span_is_nocase(keyword, rules->keyword))
			return server_extension_is_usable(s, rules->extension) ? rules : NULL;
	return NULL;
}

/* SMTP_ENOTSUP: nobody brings such a parameter. */
static int take_one(struct smtp_server_session *s, bool mail, const struct smtp_param *param)
{
	const struct param_rule *rule = find_rule(s, mail ? mail_params : rcpt_params, param->keyword);
	const char *custom;

	if (rule)
		return rule->take(s, param->value);
	custom = find_custom(s, mail, param->keyword);
	return custom ? take_custom(s, custom, param->value) : SMTP_ENOTSUP;
}

static bool answer_params(struct smtp_server_session *s, int err)
{
	if (err == SMTP_ENOMEM)
		server_reply(s, 451, "4.3.0", "out of memory, try again later");
	else if (err == SMTP_ENOTSUP)
		server_reply_error(s, 555, "5.5.4", "unsupported parameter");
	else if (err)
		server_reply_error(s, 501, "5.5.4", "bad parameters");
	return err == 0;
}

static bool take_all(struct smtp_server_session *s, bool mail, struct smtp_span text, bool utf8)
{
	struct smtp_params params;
	int err = smtp_params_parse(&params, text, utf8);

	server_args_release(s);
	if (!err && params.count > 0 && !s->extended)
		err = SMTP_ENOTSUP;
	if (!err && params.count > 0) /* all of them fit, so that spans into it stay good */
		err = smtp_buf_reserve(&s->args.held, text.n);
	for (size_t i = 0; !err && i < params.count; i++)
		err = take_one(s, mail, &params.items[i]);
	return answer_params(s, err);
}

bool server_mail_params_take(struct smtp_server_session *s, struct smtp_span text)
{
	struct smtp_mail_request *mail = &s->args.mail;

	*mail = (struct smtp_mail_request){ .reverse_path = &s->args.path };
	if (!take_all(s, true, text, server_extension_is_usable(s, SMTP_SERVER_SMTPUTF8)))
		return false;
	/* Which of the parameters comes first is the client's choice, so this is known only now. */
	if (!mail->smtputf8 && (smtp_span_has(text, SMTP_CC_UTF8) ||
				smtp_span_has(mail->auth, SMTP_CC_UTF8)))
		return answer_params(s, SMTP_ESYNTAX);
	mail->params = s->args.custom;
	mail->param_count = s->args.custom_count;
	return true;
}

bool server_rcpt_params_take(struct smtp_server_session *s, struct smtp_span text)
{
	struct smtp_rcpt_request *rcpt = &s->args.rcpt;

	*rcpt = (struct smtp_rcpt_request){ .forward_path = &s->args.path };
	if (!take_all(s, false, text, s->txn.smtputf8))
		return false;
	rcpt->params = s->args.custom;
	rcpt->param_count = s->args.custom_count;
	return true;
}

bool server_param_is_built_in(bool mail, struct smtp_span keyword)
{
	for (const struct param_rule *rule = mail ? mail_params : rcpt_params; rule->keyword; rule++)
		if (smtp_span_is_nocase(keyword, rule->keyword))
			return true;
	return false;
}
