/* SPDX-License-Identifier: ISC */
/* server_auth.c - AUTH (RFC 4954) on the server: which mechanisms can be used, the exchange of lines
 * around an exchange of messages (sasl.h), the questions to the handlers. Secrets lie in buffers that
 * are wiped.
 */
#include <stdlib.h>

#include "libsmtp/core/base64.h"
#include "libsmtp/core/server_session_private.h"
#include "libsmtp/core/syntax.h"

/* --- which mechanisms ------------------------------------------------------------------------ */

static bool has_binding(const struct smtp_server_session *s)
{
	return s->tls && s->channel && s->channel->exporter_n + s->channel->end_point_n > 0;
}

static bool has_identity(const struct smtp_server_session *s)
{
	return s->tls && *smtp_server_session_client_identity(s) != '\0';
}

/* Could it be used with, or without, TLS? */
static bool is_usable(const struct smtp_server_session *s, const struct smtp_sasl_rules *r, bool tls)
{
	size_t member = r->traits & SMTP_SASL_NEEDS_LOOKUP ?
				offsetof(struct smtp_server_session_handler, auth_lookup) :
				offsetof(struct smtp_server_session_handler, auth);

	if (!s->options.auth_enabled || !(s->options.mechanisms & r->mechanism) ||
	    !server_any_handler_has(s, member))
		return false;
	if (!tls && (s->options.require_tls ||
		     ((r->traits & SMTP_SASL_CLEAR_TEXT) && s->options.auth_needs_tls)))
		return false;
	if ((r->traits & SMTP_SASL_NEEDS_CRYPTO) &&
	    !smtp_crypto_is_complete(s->options.crypto, r->traits & SMTP_SASL_NEEDS_MD5))
		return false;
	if ((r->traits & SMTP_SASL_NEEDS_BINDING) && !has_binding(s))
		return false;
	return !(r->traits & SMTP_SASL_NEEDS_IDENTITY) || has_identity(s);
}

static bool any_is_usable(const struct smtp_server_session *s, bool tls)
{
	const struct smtp_sasl_rules *r;

	for (size_t i = 0; (r = smtp_sasl_rules_at(i)); i++)
		if (is_usable(s, r, tls))
			return true;
	return false;
}

bool server_auth_is_usable(const struct smtp_server_session *s)
{
	return any_is_usable(s, s->tls);
}

int server_auth_append(const struct smtp_server_session *s, struct smtp_buf *out)
{
	const struct smtp_sasl_rules *r;
	int err;

	if (s->account || !any_is_usable(s, s->tls))
		return 0;
	err = smtp_buf_append_text(out, "\nAUTH");
	for (size_t i = 0; (r = smtp_sasl_rules_at(i)) && !err; i++) {
		if (!is_usable(s, r, s->tls))
			continue;
		err = smtp_buf_append_text(out, " ");
		if (!err)
			err = smtp_buf_append_text(out, r->name);
	}
	return err;
}

/* --- life ------------------------------------------------------------------------------------ */

void server_auth_wipe(struct smtp_server_session *s)
{
	if (s->auth.exchange)
		smtp_sasl_server_wipe(s->auth.exchange);
	free(s->auth.exchange);
	free(s->auth.account);
	server_held_reply_release(&s->auth.answer);
	s->auth = (struct server_auth){ .exchange = NULL };
	smtp_buf_init(&s->auth.answer.text, SERVER_REPLY_TEXT_MAX);
}

/* The exchange is over; the session is where it was before AUTH. */
static void leave(struct smtp_server_session *s)
{
	server_auth_wipe(s);
	if (s->state == SERVER_AUTH)
		server_session_set_state(s, SERVER_READY);
}

/* --- the end of an exchange ------------------------------------------------------------------ */

static void count_failure(struct smtp_server_session *s)
{
	struct smtp_reply bye = smtp_reply_of(421, "4.7.0", "too many failed logins, closing");

	if (s->state == SERVER_CLOSED)
		return;
	if (++s->auth_failures >= s->options.max_auth_failures)
		server_session_shut(s, SMTP_DISCONNECT_ERRORS, &bye);
	server_error_delay(s, s->auth_failures);
}

/* With the reply of the handler that refused, if one did. */
static void refuse_login(struct smtp_server_session *s, const struct smtp_reply *given)
{
	leave(s);
	if (given)
		server_phase_answer(s, false, given, 0, NULL, NULL);
	else
		server_reply(s, 535, "5.7.8", "authentication failed");
	if (!given || !smtp_reply_is_transient(given))
		count_failure(s);
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

static void accept_login(struct smtp_server_session *s, const struct smtp_reply *given)
{
	struct smtp_reply done = smtp_reply_of(235, "2.7.0", "authenticated");

	if (!adopt_account(s))
		return;
	if (given)
		done.text = given->text;
	leave(s);
	server_reply_send(s, &done);
}

/* The handler's answer was kept for now. */
static void finish(struct smtp_server_session *s, bool accepted)
{
	struct server_held_reply held = s->auth.answer;
	struct smtp_reply given = server_held_reply_view(&held);

	s->auth.answer = (struct server_held_reply){ .code = 0 };
	smtp_buf_init(&s->auth.answer.text, SERVER_REPLY_TEXT_MAX);
	if (accepted)
		accept_login(s, given.code ? &given : NULL);
	else
		refuse_login(s, given.code ? &given : NULL);
	server_held_reply_release(&held);
}

/* Whoever breaks off after a refusal has failed all the same. */
static void abort_exchange(struct smtp_server_session *s, unsigned code, const char *enhanced,
			   const char *text)
{
	if (s->auth.exchange->refused) {
		finish(s, false);
		return;
	}
	leave(s);
	server_reply_error(s, code, enhanced, text);
}

/* --- the exchange ---------------------------------------------------------------------------- */

static void send_challenge(struct smtp_server_session *s)
{
	struct smtp_reply reply = smtp_reply_of(334, NULL, "");
	struct smtp_buf text;
	int err;

	smtp_buf_init(&text, SMTP_AUTH_LINE_MAX);
	err = smtp_base64_encode(&text, smtp_buf_span(&s->auth.exchange->challenge));
	reply.text = smtp_buf_span(&text);
	if (err) {
		server_session_fail(s, err);
	} else {
		server_reply_send_plain(s, &reply);
		server_session_set_state(s, SERVER_AUTH);
	}
	smtp_buf_wipe(&text);
}

static bool has_nul(struct smtp_span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] == '\0')
			return true;
	return false;
}

static bool is_well_formed(const struct smtp_sasl_login *login)
{
	return login->authentication_id.n <= SMTP_SASL_FIELD_MAX &&
	       !has_nul(login->authentication_id) && login->password.n <= SMTP_SASL_FIELD_MAX &&
	       login->authorization_id.n <= SMTP_SASL_FIELD_MAX && !has_nul(login->authorization_id);
}

static void ask(struct smtp_server_session *s, enum server_phase phase)
{
	const struct smtp_sasl_server *x = s->auth.exchange;
	const struct smtp_sasl_login *login = &x->login;
	struct smtp_span other = login->authorization_id;
	unsigned proving = SMTP_SASL_NEEDS_LOOKUP | SMTP_SASL_NEEDS_IDENTITY;

	if (!is_well_formed(login)) {
		abort_exchange(s, 501, "5.5.2", "a field of the login is too long or malformed");
		return;
	}
	if (smtp_span_equal(other, login->authentication_id))
		other.n = 0;
	if (other.n > 0 && !s->options.auth_other_identity) {
		refuse_login(s, NULL);
		return;
	}
	s->auth.request = (struct smtp_auth_request){
		.mechanism = x->rules->name,
		.authorization_id = other,
		.authentication_id = login->authentication_id,
		.password = login->password,
		.token = login->token,
		.proven = phase == SERVER_PHASE_AUTH && (x->rules->traits & proving),
	};
	server_phase_begin(s, phase);
}

/* `next`: an enum smtp_sasl_next or an error. */
static void go_on(struct smtp_server_session *s, int next)
{
	switch (next) {
	case SMTP_SASL_CHALLENGE:
		send_challenge(s);
		break;
	case SMTP_SASL_LOOKUP:
		ask(s, SERVER_PHASE_AUTH_LOOKUP);
		break;
	case SMTP_SASL_DECIDE:
		ask(s, SERVER_PHASE_AUTH);
		break;
	case SMTP_SASL_DONE:
	case SMTP_SASL_WRONG:
		finish(s, next == SMTP_SASL_DONE);
		break;
	case SMTP_SASL_MALFORMED:
		abort_exchange(s, 501, "5.5.2", "malformed response");
		break;
	case SMTP_ENOMEM:
		server_session_fail(s, next);
		break;
	default:
		abort_exchange(s, 454, "4.7.0", "authentication is not possible now");
		break;
	}
}

void server_auth_lookup_proceed(struct smtp_server_session *s, bool accepted,
				const struct smtp_reply *given)
{
	struct smtp_sasl_server *x = s->auth.exchange;

	if (!accepted && smtp_reply_is_transient(given)) {
		refuse_login(s, given);
		return;
	}
	x->keys_known = x->keys_known && accepted;
	x->secret_known = x->secret_known && accepted;
	go_on(s, smtp_sasl_server_looked_up(x));
}

void server_auth_proceed(struct smtp_server_session *s, bool accepted,
			 const struct smtp_reply *given)
{
	if (accepted && s->auth.request.authentication_id.n == 0 && !s->auth.account)
		accepted = false; /* nobody said who it is */
	if (!accepted && given && smtp_reply_is_transient(given)) {
		refuse_login(s, given);
		return;
	}
	if (given && (given->code >= 400) != accepted)
		server_hold_reply(&s->auth.answer, given);
	go_on(s, smtp_sasl_server_decided(s->auth.exchange, accepted));
}

static void take_response(struct smtp_server_session *s, struct smtp_span base64)
{
	struct smtp_buf message;
	struct smtp_span octets;
	int err;

	smtp_buf_init(&message, SMTP_AUTH_LINE_MAX);
	err = smtp_base64_decode(&message, base64);
	octets = message.n > 0 ? smtp_buf_span(&message) : smtp_span_make("", 0);
	if (err == SMTP_ESYNTAX)
		abort_exchange(s, 501, "5.5.2", "malformed base64");
	else
		go_on(s, err ? err : smtp_sasl_server_step(s->auth.exchange, octets));
	smtp_buf_wipe(&message);
}

static bool make_exchange(struct smtp_server_session *s, const struct smtp_sasl_rules *rules)
{
	struct smtp_sasl_server *x = malloc(sizeof(*x));
	const struct smtp_sasl_rules *plus = smtp_sasl_rules_of(SMTP_MECHANISM_SCRAM_SHA_256_PLUS);
	uint32_t iterations = s->options.scram_iterations;

	server_auth_wipe(s);
	if (!x) {
		server_session_fail(s, SMTP_ENOMEM);
		return false;
	}
	smtp_sasl_server_init(x);
	x->rules = rules;
	x->crypto = s->options.crypto;
	if (s->channel) {
		x->channel.exporter = smtp_span_make(s->channel->exporter, s->channel->exporter_n);
		x->channel.server_end_point =
			smtp_span_make(s->channel->end_point, s->channel->end_point_n);
	}
	x->channel.plus_offered = is_usable(s, plus, s->tls);
	x->identity = smtp_span_of(s->client_identity);
	x->hostname = s->hostname;
	x->fake_key = s->options.scram_fake_key;
	x->fake_iterations = iterations ? iterations : SMTP_SCRAM_ITERATIONS_DEFAULT;
	s->auth.exchange = x;
	return true;
}

static void begin_exchange(struct smtp_server_session *s, const struct smtp_sasl_rules *rules,
			   struct smtp_span initial)
{
	if (!make_exchange(s, rules))
		return;
	server_session_set_state(s, SERVER_AUTH);
	if (smtp_span_is(initial, "="))
		initial.n = 0;
	if (initial.p)
		take_response(s, initial);
	else
		go_on(s, smtp_sasl_server_step(s->auth.exchange, smtp_span_make(NULL, 0)));
}

/* --- lines ----------------------------------------------------------------------------------- */

static bool may_begin(struct smtp_server_session *s)
{
	bool usable = any_is_usable(s, s->tls);

	if (!usable && any_is_usable(s, true) && s->options.offer_starttls)
		server_reply_error(s, 530, "5.7.0", "issue STARTTLS first");
	else if (!usable)
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

static struct smtp_span word_at(struct smtp_span text, size_t at)
{
	size_t end = at;

	while (end < text.n && !smtp_is(text.p[end], SMTP_CC_BLANK))
		end++;
	return smtp_span_slice(text, at, end - at);
}

void server_auth_run(struct smtp_server_session *s, struct smtp_span argument)
{
	struct smtp_span name = word_at(argument, 0);
	const struct smtp_sasl_rules *rules = smtp_sasl_rules_of(smtp_mechanism_of(name));
	struct smtp_span initial = { NULL, 0 };
	size_t at = name.n;

	while (at < argument.n && smtp_is(argument.p[at], SMTP_CC_BLANK))
		at++;
	if (at < argument.n)
		initial = word_at(argument, at);
	if (!may_begin(s))
		return;
	if (name.n == 0 || at + initial.n < argument.n)
		server_reply_error(s, 501, "5.5.4", "syntax: AUTH mechanism [initial-response]");
	else if (!rules || !is_usable(s, rules, true))
		server_reply_error(s, 504, "5.5.4", "mechanism not supported");
	else if (!is_usable(s, rules, s->tls) && s->options.offer_starttls)
		server_reply_error(s, 530, "5.7.0", "issue STARTTLS first");
	else if (!is_usable(s, rules, s->tls))
		server_reply_error(s, 504, "5.5.4", "mechanism not supported without TLS");
	else if (initial.p && (rules->traits & SMTP_SASL_SERVER_FIRST) &&
		 !(rules->traits & SMTP_SASL_LENIENT))
		server_reply_error(s, 501, "5.7.0", "this mechanism has no initial response");
	else
		begin_exchange(s, rules, initial);
}

void server_auth_line(struct smtp_server_session *s, struct smtp_span line)
{
	server_secret_trace(s);
	if (smtp_span_is(line, "*"))
		abort_exchange(s, 501, "5.7.0", "authentication cancelled");
	else
		take_response(s, line);
}

void server_auth_line_too_long(struct smtp_server_session *s)
{
	server_secret_trace(s);
	abort_exchange(s, 500, "5.5.6", "the line is too long");
}
