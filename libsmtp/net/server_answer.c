/* SPDX-License-Identifier: ISC */
/* Verdicts that come later, from any thread: copied, posted to the session's loop, given there if the
 * session is still the same. Posted also on the loop's own thread: the caller may be inside of a phase
 * function, or not be ready for what the answer sets off; it costs no system call there.
 */
#include <stdlib.h>
#include <string.h>
#include "libsmtp/net/server_internal.h"

enum { ANSWER_TEXT_MAX = 65536 };

struct answer {
	struct smtp_loop_call call; /* first: it is what comes back */
	struct server_loop *loop;
	uint64_t session;
	bool accepts; /* there is no reply */
	struct smtp_reply reply;
	uint8_t text[];
};

static void on_answer(struct smtp_loop_call *call)
{
	struct answer *answer = (struct answer *)(void *)call;
	struct server_conn *c = server_conn_find(answer->loop, answer->session);

	if (c && server_conn_keeps(c, call))
		return;
	if (c)
		server_conn_answer(c, answer->accepts ? NULL : &answer->reply);
	free(answer);
}

int smtp_server_answer(struct smtp_ticket ticket, const struct smtp_reply *reply)
{
	size_t n = reply ? reply->text.n : 0;
	struct answer *answer;

	if (!ticket.server || ticket.loop >= ticket.server->loop_count || n > ANSWER_TEXT_MAX)
		return SMTP_EINVAL;
	answer = calloc(1, sizeof *answer + n);
	if (!answer)
		return SMTP_ENOMEM;
	answer->call.fn = on_answer;
	answer->loop = &ticket.server->loops[ticket.loop];
	answer->session = ticket.session;
	answer->accepts = !reply;
	if (reply) {
		answer->reply = *reply;
		if (n > 0)
			memcpy(answer->text, reply->text.p, n);
		answer->reply.text.p = answer->text;
	}
	smtp_loop_post(answer->loop->loop, &answer->call);
	return 0;
}
