/* SPDX-License-Identifier: ISC */
/* server_results.c - the replies after the end of data: with LMTP one for each recipient that was
 * accepted, in the order of the RCPT commands (RFC 2033, 4.2 and 4.3), else one for all of them.
 */
#include <stdlib.h>

#include "libsmtp/core/server_session_private.h"

void server_results_clear(struct server_results *results)
{
	for (uint32_t i = 0; results->replies && i < results->recipients; i++)
		server_held_reply_release(&results->replies[i]);
	free(results->replies);
	results->replies = NULL;
}

static bool results_prepare(struct server_results *results)
{
	if (results->replies)
		return true;
	results->replies = calloc(results->recipients, sizeof(*results->replies));
	for (uint32_t i = 0; results->replies && i < results->recipients; i++)
		smtp_buf_init(&results->replies[i].text, SERVER_RESULT_TEXT_MAX);
	return results->replies != NULL;
}

static bool is_result(const struct smtp_reply *reply)
{
	unsigned class_ = reply->code / 100;

	return (class_ == 2 || class_ == 4 || class_ == 5) && reply->code != 421;
}

/* One line only: that bounds what the replies of many take on their way out. */
static struct smtp_reply one_line(const struct smtp_reply *reply)
{
	struct smtp_reply line = *reply;

	line.text = smtp_span_slice(line.text, 0, SERVER_RESULT_TEXT_MAX);
	for (size_t i = 0; i < line.text.n; i++)
		if (line.text.p[i] == '\n')
			line.text.n = i;
	return line;
}

int smtp_server_session_recipient_reply(struct smtp_server_session *s, size_t index,
					const struct smtp_reply *reply)
{
	struct server_results *results = &s->content.results;
	struct smtp_reply line;

	if (s->run.phase != SERVER_PHASE_END || s->in_hook)
		return SMTP_ESTATE;
	if (index >= results->recipients || (reply && !is_result(reply)))
		return SMTP_EINVAL;
	if (!s->options.lmtp || (!reply && !results->replies))
		return 0;
	if (!results_prepare(results))
		return SMTP_ENOMEM;
	server_held_reply_release(&results->replies[index]);
	if (reply) {
		line = one_line(reply);
		server_hold_reply(&results->replies[index], &line);
	}
	return 0;
}

void server_results_answer(struct smtp_server_session *s, struct server_results *results,
			   const struct smtp_reply *common)
{
	uint32_t replies = s->options.lmtp && results->recipients > 0 ? results->recipients : 1;
	struct smtp_reply reply;

	/* the pause of the input holds for what was there before; these have to fit behind it */
	s->out.max = SERVER_OUTPUT_MAX + (size_t)replies * 2 * SERVER_RESULT_TEXT_MAX;
	for (uint32_t i = 0; i < replies; i++) {
		reply = replies > 1 ? one_line(common) : *common;
		if (results->replies && results->replies[i].code)
			reply = server_held_reply_view(&results->replies[i]);
		server_reply_send(s, &reply);
	}
	server_results_clear(results);
}
