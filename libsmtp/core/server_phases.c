/* SPDX-License-Identifier: ISC */
/* server_phases.c - asks the handlers of a server session, one after another, whether a step may be
 * taken: ACCEPT goes on, PENDING waits for smtp_server_session_reply(), a refusal ends the phase.
 * What follows from the outcome is the proceed function beside each command.
 */
#include <stdlib.h>

#include "libsmtp/core/server_session_private.h"

/* --- how each phase asks -------------------------------------------------------------------- */

static enum smtp_verdict ask_connect(struct smtp_server_session *s, const struct server_handler *h)
{
	return h->functions->connect(s, h->user);
}

static enum smtp_verdict ask_helo(struct smtp_server_session *s, const struct server_handler *h)
{
	return h->functions->helo(s, s->args.span, s->args.extended, h->user);
}

static enum smtp_verdict ask_auth(struct smtp_server_session *s, const struct server_handler *h)
{
	return h->functions->auth(s, &s->auth.request, h->user);
}

static enum smtp_verdict ask_auth_lookup(struct smtp_server_session *s,
					 const struct server_handler *h)
{
	return h->functions->auth_lookup(s, &s->auth.request, h->user);
}

static enum smtp_verdict ask_mail(struct smtp_server_session *s, const struct server_handler *h)
{
	return h->functions->mail(s, &s->args.mail, h->user);
}

static enum smtp_verdict ask_rcpt(struct smtp_server_session *s, const struct server_handler *h)
{
	return h->functions->rcpt(s, &s->args.rcpt, h->user);
}

static enum smtp_verdict ask_data(struct smtp_server_session *s, const struct server_handler *h)
{
	return h->functions->data(s, h->user);
}

static enum smtp_verdict ask_content(struct smtp_server_session *s, const struct server_handler *h)
{
	return h->functions->content(s, s->args.span, h->user);
}

static enum smtp_verdict ask_end(struct smtp_server_session *s, const struct server_handler *h)
{
	return h->functions->end(s, h->user);
}

static enum smtp_verdict ask_vrfy(struct smtp_server_session *s, const struct server_handler *h)
{
	struct smtp_vrfy_request request = { s->args.span, s->args.smtputf8 };

	return h->functions->vrfy(s, &request, h->user);
}

static enum smtp_verdict ask_expn(struct smtp_server_session *s, const struct server_handler *h)
{
	struct smtp_vrfy_request request = { s->args.span, s->args.smtputf8 };

	return h->functions->expn(s, &request, h->user);
}

static enum smtp_verdict ask_help(struct smtp_server_session *s, const struct server_handler *h)
{
	return h->functions->help(s, s->args.span, h->user);
}

static enum smtp_verdict ask_command(struct smtp_server_session *s, const struct server_handler *h)
{
	struct smtp_command_request request = { s->args.verb, s->args.span };

	return h->functions->command(s, &request, h->user);
}

#define MEMBER(name) offsetof(struct smtp_server_session_handler, name)

static const struct phase_rule {
	size_t member; /* of struct smtp_server_session_handler */
	enum smtp_verdict (*ask)(struct smtp_server_session *s, const struct server_handler *h);
	server_proceed *proceed;
} phases[SERVER_PHASES] = {
	[SERVER_PHASE_CONNECT] = { MEMBER(connect), ask_connect, server_connect_proceed },
	[SERVER_PHASE_HELO] = { MEMBER(helo), ask_helo, server_helo_proceed },
	[SERVER_PHASE_AUTH_LOOKUP] = { MEMBER(auth_lookup), ask_auth_lookup,
				       server_auth_lookup_proceed },
	[SERVER_PHASE_AUTH] = { MEMBER(auth), ask_auth, server_auth_proceed },
	[SERVER_PHASE_MAIL] = { MEMBER(mail), ask_mail, server_mail_proceed },
	[SERVER_PHASE_RCPT] = { MEMBER(rcpt), ask_rcpt, server_rcpt_proceed },
	[SERVER_PHASE_DATA] = { MEMBER(data), ask_data, server_data_proceed },
	[SERVER_PHASE_BDAT] = { MEMBER(data), ask_data, server_bdat_proceed },
	[SERVER_PHASE_CONTENT] = { MEMBER(content), ask_content, server_content_proceed },
	[SERVER_PHASE_END] = { MEMBER(end), ask_end, server_end_proceed },
	[SERVER_PHASE_VRFY] = { MEMBER(vrfy), ask_vrfy, server_vrfy_proceed },
	[SERVER_PHASE_EXPN] = { MEMBER(expn), ask_expn, server_expn_proceed },
	[SERVER_PHASE_HELP] = { MEMBER(help), ask_help, server_help_proceed },
	[SERVER_PHASE_COMMAND] = { MEMBER(command), ask_command, server_command_proceed },
};

/* --- the walk ------------------------------------------------------------------------------- */

static void refuse(struct server_phase_run *run, unsigned code, const char *enhanced,
		   const char *text)
{
	struct smtp_reply reply = smtp_reply_of(code, enhanced, text);

	run->refused = true;
	server_hold_reply(&run->reply, &reply);
}

static bool handler_has_from(const struct smtp_server_session *s, size_t first, size_t member)
{
	for (size_t i = first; i < s->handler_count; i++)
		if (server_handler_has(s->handlers[i].functions, member))
			return true;
	return false;
}

bool server_any_handler_has(const struct smtp_server_session *s, size_t member)
{
	return handler_has_from(s, 0, member);
}

/* The input that the arguments lie in goes away while a verdict is pending. Only handlers after
 * the pending one look at them again. */
static void hold_args(struct smtp_server_session *s)
{
	struct server_phase_args *args = &s->args;
	bool needed = s->run.phase == SERVER_PHASE_HELO || s->run.call == SERVER_CALL_DUE ||
		      handler_has_from(s, s->run.next + 1, phases[s->run.phase].member);

	if (!args->span.p || args->span.p == args->held.p)
		return;
	if (!needed) {
		args->span.n = 0;
		args->span.p = (const uint8_t *)"";
		return;
	}
	smtp_buf_clear(&args->held);
	if (smtp_buf_append_span(&args->held, args->span) != 0)
		server_session_fail(s, SMTP_ENOMEM);
	else
		args->span = smtp_buf_span(&args->held);
}

static enum smtp_verdict call(struct smtp_server_session *s)
{
	struct server_phase_run *run = &s->run;
	enum smtp_verdict verdict;

	run->calling = true;
	s->current = run->next;
	verdict = phases[run->phase].ask(s, &s->handlers[run->next]);
	run->calling = false;
	return verdict;
}

static void take_verdict(struct smtp_server_session *s, enum smtp_verdict verdict)
{
	struct server_phase_run *run = &s->run;

	run->asked = run->asked || run->answered || verdict != SMTP_NEXT;
	if (run->answered || verdict == SMTP_ACCEPT || verdict == SMTP_NEXT)
		return;
	if (verdict == SMTP_PENDING) {
		run->waiting = true;
		hold_args(s);
	} else {
		refuse(run, 451, "4.3.0", "internal error, try again later");
	}
}

static void ask_one(struct smtp_server_session *s)
{
	struct server_phase_run *run = &s->run;

	s->questions++;
	run->answered = false;
	if (!s->handlers[run->next].blocking) {
		take_verdict(s, call(s));
		return;
	}
	run->call = SERVER_CALL_DUE;
	run->waiting = true;
	hold_args(s);
}

void server_args_release(struct smtp_server_session *s)
{
	smtp_buf_release(&s->args.held);
	s->args.span = smtp_span_make(NULL, 0);
	free(s->args.custom);
	s->args.custom = NULL;
	s->args.custom_count = 0;
}

static void phase_end(struct smtp_server_session *s)
{
	server_proceed *proceed = phases[s->run.phase].proceed;
	struct server_held_reply held = s->run.reply;
	struct smtp_reply given = server_held_reply_view(&held);
	bool accepted = !s->run.refused;

	/* proceed() may begin another phase */
	s->run = (struct server_phase_run){ .phase = SERVER_PHASE_NONE };
	smtp_buf_init(&s->run.reply.text, SERVER_REPLY_TEXT_MAX);
	proceed(s, accepted, given.code ? &given : NULL);
	server_held_reply_release(&held);
	if (s->run.phase == SERVER_PHASE_NONE) {
		server_args_release(s);
	}
}

static void phase_walk(struct smtp_server_session *s)
{
	struct server_phase_run *run = &s->run;

	for (; run->next < s->handler_count; run->next++) {
		if (server_handler_has(s->handlers[run->next].functions, phases[run->phase].member))
			ask_one(s);
		if (run->waiting || run->phase == SERVER_PHASE_NONE)
			return;
		if (run->refused)
			break;
		if (run->phase == SERVER_PHASE_MAIL)
			s->txn.entered |= UINT32_C(1) << run->next;
	}
	if (run->phase == SERVER_PHASE_AUTH && !run->asked && !s->auth.request.proven)
		refuse(run, 535, "5.7.8", "authentication failed"); /* nobody has checked it */
	if (run->phase == SERVER_PHASE_RCPT && !run->asked)
		refuse(run, 550, "5.7.1", "relaying denied");
	if (run->phase == SERVER_PHASE_COMMAND && !run->asked)
		refuse(run, 502, "5.5.1", "this command is not implemented");
	phase_end(s);
}

void server_phase_begin(struct smtp_server_session *s, enum server_phase phase)
{
	if (s->state == SERVER_CLOSED)
		return;
	s->run.phase = phase;
	s->run.next = 0;
	phase_walk(s);
}

void server_phase_abandon(struct smtp_server_session *s)
{
	server_held_reply_release(&s->run.reply);
	server_args_release(s);
	s->run.phase = SERVER_PHASE_NONE;
	s->run.waiting = false;
	s->run.call = SERVER_CALL_NONE;
}

/* The handler that was waited for has answered. */
static void phase_go_on(struct smtp_server_session *s)
{
	struct server_phase_run *run = &s->run;

	run->waiting = false;
	if (run->refused) {
		phase_end(s);
		return;
	}
	if (run->phase == SERVER_PHASE_MAIL)
		s->txn.entered |= UINT32_C(1) << run->next;
	run->next++;
	phase_walk(s);
}

static bool is_verdict(const struct smtp_reply *reply)
{
	return reply->code / 100 == 2 || reply->code / 100 == 4 || reply->code / 100 == 5;
}

int server_phase_reply(struct smtp_server_session *s, const struct smtp_reply *reply)
{
	struct server_phase_run *run = &s->run;

	if (reply && !is_verdict(reply))
		return SMTP_EINVAL;
	if (run->calling && run->answered)
		return SMTP_ESTATE;
	run->answered = true;
	if (reply) {
		server_hold_reply(&run->reply, reply);
		run->refused = reply->code >= 400;
	}
	if (!run->calling)
		phase_go_on(s);
	return 0;
}

void server_phase_overdue(struct smtp_server_session *s)
{
	struct smtp_reply reply = smtp_reply_of(451, "4.3.0", "no answer in time, try again later");

	if (s->run.phase == SERVER_PHASE_CONNECT)
		reply.code = 421;
	if (s->run.phase == SERVER_PHASE_AUTH || s->run.phase == SERVER_PHASE_AUTH_LOOKUP)
		reply = smtp_reply_of(454, "4.7.0", "no answer in time, try again later");
	if (server_phase_reply(s, &reply) != 0)
		server_session_fail(s, SMTP_ESTATE);
}

void server_phase_call(struct smtp_server_session *s)
{
	s->run.verdict = call(s);
	s->run.call = SERVER_CALL_MADE;
}

void server_phase_called(struct smtp_server_session *s)
{
	s->run.call = SERVER_CALL_NONE;
	s->run.waiting = false;
	take_verdict(s, s->run.verdict);
	if (!s->run.waiting)
		phase_go_on(s);
}

void server_phase_answer(struct smtp_server_session *s, bool accepted,
			 const struct smtp_reply *given, unsigned code, const char *enhanced,
			 const char *text)
{
	if (!accepted && given->code == 421)
		server_session_shut(s, SMTP_DISCONNECT_REFUSED, given);
	else if (given)
		server_reply_send(s, given);
	else
		server_reply(s, code, enhanced, text);
}

/* --- events without a verdict --------------------------------------------------------------- */

void server_hooks_reset(struct smtp_server_session *s, uint32_t handlers)
{
	s->in_hook = true;
	for (size_t i = 0; i < s->handler_count; i++) {
		const struct server_handler *h = &s->handlers[i];

		if (!(handlers & UINT32_C(1) << i) || !server_handler_has(h->functions, MEMBER(reset)))
			continue;
		s->current = i;
		h->functions->reset(s, h->user);
	}
	s->in_hook = false;
}

void server_hooks_disconnect(struct smtp_server_session *s, enum smtp_disconnect_reason reason)
{
	s->in_hook = true;
	for (size_t i = 0; i < s->handler_count; i++) {
		const struct server_handler *h = &s->handlers[i];

		if (!server_handler_has(h->functions, MEMBER(disconnect)))
			continue;
		s->current = i;
		h->functions->disconnect(s, reason, h->user);
	}
	s->in_hook = false;
}
