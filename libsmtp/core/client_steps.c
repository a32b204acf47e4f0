/* SPDX-License-Identifier: ISC */
/* client_steps.c - the table of the steps that a client session takes, and those of set-up: greeting,
 * EHLO or HELO, STARTTLS, and after them a raw command and QUIT. The cursors are moved elsewhere.
 */
#include "libsmtp/core/client_session_private.h"

#include "libsmtp/core/extension.h"
#include "libsmtp/core/span.h"

/* For steps whose answer is yes or no; 3yz is an answer to neither. */
static void refuse(struct smtp_client_session *s, int error, enum smtp_client_step step,
		   const struct smtp_reply *reply)
{
	if (client_is_refusal(reply))
		smtp_client_give_up(s, error, step, reply);
	else
		smtp_client_end(s, SMTP_EPROTO, step, reply);
}

int smtp_client_put_words(struct smtp_client_session *s, const char *verb, const char *argument)
{
	const struct smtp_span parts[] = { smtp_span_of(verb), smtp_span_of(argument) };

	return smtp_client_put(s, parts, 2, NULL);
}

/* --- greeting, EHLO, HELO -------------------------------------------------------------------- */

static void greeting_reply(struct smtp_client_session *s, size_t index,
			   const struct smtp_reply *reply)
{
	(void)index;
	if (smtp_reply_is_positive(reply))
		smtp_client_go_to(s, SMTP_STEP_EHLO);
	else
		refuse(s, SMTP_EREFUSED, SMTP_STEP_GREETING, reply);
}

/* The peer has named itself: TLS next, if it shall be and is not yet. */
static void after_hello(struct smtp_client_session *s)
{
	bool wanted = s->options.tls == SMTP_CLIENT_TLS_REQUIRED ||
		      s->options.tls == SMTP_CLIENT_TLS_OPPORTUNISTIC;

	if (!s->has_tls && wanted && s->extensions.starttls)
		smtp_client_go_to(s, SMTP_STEP_STARTTLS);
	else if (!s->has_tls && s->options.tls == SMTP_CLIENT_TLS_REQUIRED)
		smtp_client_give_up(s, SMTP_ETLS, SMTP_STEP_STARTTLS, NULL);
	else
		smtp_client_auth_begin(s);
}

static int ehlo_send(struct smtp_client_session *s, size_t index)
{
	(void)index;
	return smtp_client_put_words(s, s->options.lmtp ? "LHLO " : "EHLO ", s->helo_name);
}

/* Without memory for it there is no more than what the library knows itself. */
static void keep_ehlo_text(struct smtp_client_session *s, struct smtp_span text)
{
	smtp_buf_clear(&s->ehlo_text);
	if (smtp_buf_append_span(&s->ehlo_text, text))
		smtp_buf_clear(&s->ehlo_text);
}

/* Servers without EHLO say 500 or 502, others 504 or 550: after any 5yz HELO gets its chance
 * (RFC 5321, 3.2). LMTP knows nothing but LHLO (RFC 2033, 4.1). */
static void ehlo_reply(struct smtp_client_session *s, size_t index, const struct smtp_reply *reply)
{
	(void)index;
	if (smtp_reply_is_permanent(reply) && !s->options.lmtp) {
		smtp_client_go_to(s, SMTP_STEP_HELO);
	} else if (smtp_reply_is_positive(reply)) {
		smtp_extensions_parse(&s->extensions, reply->text);
		s->extensions.extended = true;
		keep_ehlo_text(s, reply->text);
		after_hello(s);
	} else {
		refuse(s, SMTP_EREFUSED, SMTP_STEP_EHLO, reply);
	}
}

static int helo_send(struct smtp_client_session *s, size_t index)
{
	(void)index;
	return smtp_client_put_words(s, "HELO ", s->helo_name);
}

static void helo_reply(struct smtp_client_session *s, size_t index, const struct smtp_reply *reply)
{
	(void)index;
	if (smtp_reply_is_positive(reply))
		after_hello(s);
	else
		refuse(s, SMTP_EREFUSED, SMTP_STEP_HELO, reply);
}

/* --- STARTTLS -------------------------------------------------------------------------------- */

static int starttls_send(struct smtp_client_session *s, size_t index)
{
	(void)index;
	return smtp_client_put_words(s, "STARTTLS", "");
}

static void starttls_reply(struct smtp_client_session *s, size_t index,
			   const struct smtp_reply *reply)
{
	bool on_demand = s->job == CLIENT_JOB_STARTTLS;

	(void)index;
	if (on_demand)
		s->job = CLIENT_JOB_NONE;
	if (smtp_reply_is_positive(reply))
		s->state = CLIENT_TLS_WANTED;
	else if (client_is_refusal(reply) && on_demand)
		smtp_client_become_idle(s);
	else if (client_is_refusal(reply) && s->options.tls == SMTP_CLIENT_TLS_OPPORTUNISTIC)
		smtp_client_auth_begin(s);
	else
		refuse(s, SMTP_ETLS, SMTP_STEP_STARTTLS, reply);
}

void smtp_client_set_up(struct smtp_client_session *s)
{
	enum client_job job = s->job;
	struct smtp_buf command = s->command;

	/* Work that was given before is kept: idle, yet with something to do. */
	smtp_buf_init(&s->command, command.max);
	smtp_client_become_idle(s);
	s->job = job;
	s->command = command;
	smtp_client_login_wipe(&s->login);
	if (s->handler.ready)
		s->handler.ready(s, s->user);
}

/* --- raw command, QUIT ----------------------------------------------------------------------- */

/* "AUTH PLAIN AGpvZQBzZWNyZXQ=" is shown as "AUTH ***". */
static int command_send(struct smtp_client_session *s, size_t index)
{
	struct smtp_span line = smtp_buf_span(&s->command);
	const char *shown = NULL;

	(void)index;
	if (s->command_secret)
		shown = smtp_span_is_nocase(smtp_span_slice(line, 0, 5), "AUTH ") ? "AUTH ***" :
										    "***";
	return smtp_client_put(s, &line, 1, shown);
}

static void command_reply(struct smtp_client_session *s, size_t index,
			  const struct smtp_reply *reply)
{
	(void)index;
	if (reply->code == 221) /* it was QUIT */
		smtp_client_finish(s);
	else if (!smtp_reply_is_positive(reply) && !client_is_refusal(reply) && reply->code != 334)
		smtp_client_end(s, SMTP_EPROTO, SMTP_STEP_COMMAND, reply);
}

static int quit_send(struct smtp_client_session *s, size_t index)
{
	(void)index;
	return smtp_client_put_words(s, "QUIT", "");
}

/* --- the table ------------------------------------------------------------------------------- */

/* The answer to QUIT does not matter; connect, TLS and content are there for their names. */
static const struct client_step steps[] = {
	[SMTP_STEP_CONNECT] = { .name = "connect" },
	[SMTP_STEP_GREETING] = { "greeting", NULL, greeting_reply, SMTP_STEP_EHLO, false },
	[SMTP_STEP_EHLO] = { "EHLO", ehlo_send, ehlo_reply, SMTP_STEP_EHLO, false },
	[SMTP_STEP_HELO] = { "HELO", helo_send, helo_reply, SMTP_STEP_HELO, false },
	[SMTP_STEP_STARTTLS] = { "STARTTLS", starttls_send, starttls_reply, SMTP_STEP_STARTTLS,
				 false },
	[SMTP_STEP_TLS] = { .name = "TLS handshake" },
	[SMTP_STEP_AUTH] = { "AUTH", smtp_client_auth_send, smtp_client_auth_reply, SMTP_STEP_AUTH,
			     false },
	[SMTP_STEP_MAIL] = { "MAIL", smtp_client_mail_send, smtp_client_mail_reply, SMTP_STEP_RCPT,
			     false },
	[SMTP_STEP_RCPT] = { "RCPT", smtp_client_rcpt_send, smtp_client_rcpt_reply, SMTP_STEP_DATA,
			     true },
	[SMTP_STEP_DATA] = { "DATA", smtp_client_data_send, smtp_client_data_reply, SMTP_STEP_END,
			     true },
	[SMTP_STEP_BDAT] = { "BDAT", smtp_client_bdat_send, smtp_client_bdat_reply, SMTP_STEP_BDAT,
			     true },
	[SMTP_STEP_CONTENT] = { .name = "content" },
	[SMTP_STEP_END] = { "end of data", smtp_client_end_send, smtp_client_end_reply,
			    SMTP_STEP_END, false },
	[SMTP_STEP_RSET] = { "RSET", smtp_client_rset_send, smtp_client_rset_reply, SMTP_STEP_RSET,
			     false },
	[SMTP_STEP_COMMAND] = { "command", command_send, command_reply, SMTP_STEP_COMMAND, false },
	[SMTP_STEP_QUIT] = { "QUIT", quit_send, NULL, SMTP_STEP_QUIT, false },
};

const struct client_step *smtp_client_step_of(enum smtp_client_step step)
{
	return &steps[step];
}

const char *smtp_client_step_str(enum smtp_client_step step)
{
	return (size_t)step < sizeof(steps) / sizeof(*steps) ? steps[step].name : "unknown";
}

static struct client_cursor behind_recipients(const struct smtp_client_session *s)
{
	return (struct client_cursor){ .step = s->txn.chunked ? SMTP_STEP_BDAT : SMTP_STEP_DATA };
}

/* Whose result is known already is not asked for; the last chunk is followed by nothing. */
struct client_cursor smtp_client_cursor_next(const struct smtp_client_session *s,
					     struct client_cursor at)
{
	size_t from = at.step == SMTP_STEP_RCPT ? at.index + 1 : 0;
	size_t index;

	switch (at.step) {
	case SMTP_STEP_MAIL:
	case SMTP_STEP_RCPT:
		index = smtp_client_recipient_find(&s->txn, from, CLIENT_RECIPIENT_DUE);
		return index < s->txn.count ? (struct client_cursor){ SMTP_STEP_RCPT, index } :
					      behind_recipients(s);
	case SMTP_STEP_BDAT:
		return (struct client_cursor){ SMTP_STEP_BDAT, at.index + 1 };
	default:
		return (struct client_cursor){ .step = steps[at.step].next };
	}
}
