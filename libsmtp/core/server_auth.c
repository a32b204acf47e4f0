/* SPDX-License-Identifier: ISC */
/* server_auth.c - AUTH (RFC 4954) with PLAIN (RFC 4616) and LOGIN: the exchange of lines. Whether a
 * password is right is decided by the handlers. Secrets lie in buffers that are wiped, and what is
 * traced goes through server_command_trace().
 */
#include <stdlib.h>

#include "libsmtp/core/base64.h"
#include "libsmtp/core/extension.h"
#include "libsmtp/core/sasl.h"
#include "libsmtp/core/server_session_private.h"
#include "libsmtp/core/syntax.h"

/* --- trace ---------------------------------------------------------------------------------- */

static struct smtp_span word_at(struct smtp_span text, size_t at)
{
	size_t end = at;

	while (end < text.n && !smtp_is(text.p[end], SMTP_CC_BLANK))
		end++;
	return smtp_span_slice(text, at, end - at);
}

static size_t skip_blanks(struct smtp_span text, size_t at)
{
	while (at < text.n && smtp_is(text.p[at], SMTP_CC_BLANK))
		at++;
	return at;
}

static void trace_auth(struct smtp_server_session *s, struct smtp_span line)
{
	size_t at = skip_blanks(line, skip_blanks(line, 0) + 4);
	const char *mechanism = smtp_mechanism_name(smtp_mechanism_of(word_at(line, at)));
	struct smtp_buf text;

	smtp_buf_init(&text, 64);
	s->auth_seen = true;
	if (smtp_buf_append_text(&text, "AUTH ") == 0 &&
	    smtp_buf_append_text(&text, mechanism ? mechanism : "") == 0 &&
	    smtp_buf_append_text(&text, mechanism ? " ***" : "***") == 0)
		server_trace(s, true, smtp_buf_span(&text));
	smtp_buf_release(&text);
}

/* After an AUTH that was refused a client may go on with its password: what is no command then
 * stays hidden too. */
void server_command_trace(struct smtp_server_session *s, struct smtp_span line, bool known)
{
	struct smtp_span rest = smtp_span_slice(line, skip_blanks(line, 0), line.n);

	if (smtp_span_is_nocase(smtp_span_slice(rest, 0, 4), "AUTH"))
		trace_auth(s, line);
	else if (!known && s->auth_seen)
		server_trace(s, true, smtp_span_of("***"));
	else
		server_trace(s, true, line);
}

/* --- life ----------------------------------------------------------------------------------- */

/* With TLS or without. */
static bool is_served(const struct smtp_server_session *s)
{
	size_t member = offsetof(struct smtp_server_session_handler, auth);

	for (size_t i = 0; s->options.auth_enabled && i < s->handler_count; i++)
		if (server_handler_has(s->handlers[i].functions, member))
			return true;
	return false;
}

bool server_auth_is_usable(const struct smtp_server_session *s)
{
	return is_served(s) && (s->tls || !s->options.auth_needs_tls);
}

void server_auth_wipe(struct smtp_server_session *s)
{
	smtp_buf_wipe(&s->auth.first);
	smtp_buf_wipe(&s->auth.password);
	free(s->auth.account);
	s->auth = (struct server_auth){ .mechanism = 0 };
	smtp_buf_init(&s->auth.first, SMTP_AUTH_LINE_MAX);
	smtp_buf_init(&s->auth.password, SMTP_AUTH_LINE_MAX);
}

/* The exchange is over; the session is where it was before AUTH. */
static void leave(struct smtp_server_session *s)
{
	server_auth_wipe(s);
	if (s->state == SERVER_AUTH)
		server_session_set_state(s, SERVER_READY);
}

static void abort_exchange(struct smtp_server_session *s, unsigned code, const char *enhanced,
			   const char *text)
{
	leave(s);
	server_reply_error(s, code, enhanced, text);
}

/* --- the decision --------------------------------------------------------------------------- */

static void count_failure(struct smtp_server_session *s)
{
	struct smtp_reply bye = smtp_reply_of(421, "4.7.0", "too many failed logins, closing");

	if (s->state == SERVER_CLOSED)
		return;
	if (++s->auth_failures >= s->options.max_auth_failures)
		server_session_shut(s, SMTP_DISCONNECT_ERRORS, &bye);
	server_error_delay(s, s->auth_failures);
}

static void refuse_login(struct smtp_server_session *s)
{
	leave(s);
	server_reply(s, 535, "5.7.8", "authentication failed");
	count_failure(s);
}

static bool has_nul(struct smtp_span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] == '\0')
			return true;
	return false;
}

static void decide(struct smtp_server_session *s, const struct smtp_sasl_login *login)
{
	struct smtp_span other = login->authorization_id;

	if (login->authentication_id.n > SMTP_SASL_FIELD_MAX || has_nul(login->authentication_id) ||
	    login->password.n > SMTP_SASL_FIELD_MAX || other.n > SMTP_SASL_FIELD_MAX) {
		abort_exchange(s, 501, "5.5.2", "a field of the login is too long or malformed");
		return;
	}
	if (smtp_span_equal(other, login->authentication_id))
		other.n = 0;
	if (other.n > 0 && !s->options.auth_other_identity) {
		refuse_login(s);
		return;
	}
	s->auth.request = (struct smtp_auth_request){
		.mechanism = smtp_mechanism_name(s->auth.mechanism),
		.authorization_id = other,
		.authentication_id = login->authentication_id,
		.password = login->password,
	};
	server_phase_begin(s, SERVER_PHASE_AUTH);
}

static bool adopt_account(struct smtp_server_session *s)
{
	char *account = s->auth.account;

	s->auth.account = NULL;
	if (!account)
		account = server_text_copy(s->auth.request.authentication_id);
	if (!account) {
		server_session_fail(s, SMTP_ENOMEM);
		return false;
	}
	free(s->account);
	s->account = account;
	return true;
}

void server_auth_proceed(struct smtp_server_session *s, bool accepted,
			 const struct smtp_reply *given)
{
	struct smtp_reply done = smtp_reply_of(235, "2.7.0", "authenticated");

	if (accepted && !adopt_account(s))
		return;
	leave(s);
	if (accepted && given)
		done.text = given->text;
	if (accepted) {
		server_reply_send(s, &done);
		return;
	}
	server_phase_answer(s, false, given, 0, NULL, NULL);
	if (smtp_reply_is_permanent(given))
		count_failure(s);
}

int smtp_server_session_set_account(struct smtp_server_session *s, const char *account)
{
	char *copy;

	if (!account || *account == '\0')
		return SMTP_EINVAL;
	if (s->run.phase != SERVER_PHASE_AUTH || s->in_hook)
		return SMTP_ESTATE;
	copy = server_text_copy(smtp_span_of(account));
	if (!copy)
		return SMTP_ENOMEM;
	free(s->auth.account);
	s->auth.account = copy;
	return 0;
}

/* --- the exchange --------------------------------------------------------------------------- */

static void challenge(struct smtp_server_session *s, const char *base64)
{
	server_reply(s, 334, NULL, base64);
	server_session_set_state(s, SERVER_AUTH);
}

static void step_plain(struct smtp_server_session *s)
{
	struct smtp_sasl_login login;

	if (smtp_sasl_plain_parse(&login, smtp_buf_span(&s->auth.first)) != 0)
		abort_exchange(s, 501, "5.5.2", "malformed PLAIN response");
	else
		decide(s, &login);
}

static void step_login(struct smtp_server_session *s, bool password_came)
{
	struct smtp_sasl_login login = {
		.authorization_id = { NULL, 0 },
		.authentication_id = smtp_buf_span(&s->auth.first),
		.password = smtp_buf_span(&s->auth.password),
	};

	if (login.authentication_id.n == 0)
		abort_exchange(s, 501, "5.5.2", "the user name is empty");
	else if (!password_came)
		challenge(s, "UGFzc3dvcmQ6"); /* "Password:" */
	else
		decide(s, &login);
}

static void take_response(struct smtp_server_session *s, struct smtp_span base64)
{
	bool password_came = s->auth.has_first;
	struct smtp_buf *into = password_came ? &s->auth.password : &s->auth.first;
	int err = smtp_base64_decode(into, base64);

	if (err == SMTP_ENOMEM) {
		server_session_fail(s, err);
	} else if (err) {
		abort_exchange(s, 501, "5.5.2", "malformed base64");
	} else if (s->auth.mechanism == SMTP_MECHANISM_PLAIN) {
		step_plain(s);
	} else {
		s->auth.has_first = true;
		step_login(s, password_came);
	}
}

static void begin_exchange(struct smtp_server_session *s, unsigned mechanism,
			   struct smtp_span initial)
{
	server_auth_wipe(s);
	s->auth.mechanism = mechanism;
	server_session_set_state(s, SERVER_AUTH);
	if (smtp_span_is(initial, "="))
		take_response(s, smtp_span_make(NULL, 0));
	else if (initial.n > 0)
		take_response(s, initial);
	else
		challenge(s, mechanism == SMTP_MECHANISM_PLAIN ? "" : "VXNlcm5hbWU6"); /* "Username:" */
}

static bool may_begin(struct smtp_server_session *s)
{
	if (!server_auth_is_usable(s) && is_served(s) && s->options.offer_starttls)
		server_reply_error(s, 530, "5.7.0", "issue STARTTLS first");
	else if (!server_auth_is_usable(s))
		server_reply_error(s, 503, "5.5.1", "AUTH is not offered here");
	else if (!s->extended)
		server_reply_error(s, 503, "5.5.1", "send EHLO first");
	else if (s->account)
		server_reply_error(s, 503, "5.5.1", "authenticated already");
	else if (s->state != SERVER_READY)
		server_reply_error(s, 503, "5.5.1", "not within a transaction");
	else
		return true;
	return false;
}

void server_auth_run(struct smtp_server_session *s, struct smtp_span argument)
{
	struct smtp_span name = word_at(argument, 0);
	size_t at = skip_blanks(argument, name.n);
	struct smtp_span initial = word_at(argument, at);
	unsigned mechanism = smtp_mechanism_of(name);

	if (!may_begin(s))
		return;
	if (name.n == 0 || at + initial.n < argument.n)
		server_reply_error(s, 501, "5.5.4", "syntax: AUTH mechanism [initial-response]");
	else if (mechanism == 0)
		server_reply_error(s, 504, "5.5.4", "mechanism not supported");
	else
		begin_exchange(s, mechanism, initial);
}

void server_auth_line(struct smtp_server_session *s, struct smtp_span line)
{
	server_trace(s, true, smtp_span_of("***"));
	if (smtp_span_is(line, "*"))
		abort_exchange(s, 501, "5.7.0", "authentication cancelled");
	else
		take_response(s, line);
}

void server_auth_line_too_long(struct smtp_server_session *s)
{
	server_trace(s, true, smtp_span_of("***"));
	abort_exchange(s, 500, "5.5.6", "the line is too long");
}
