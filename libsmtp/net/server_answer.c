/* SPDX-License-Identifier: ISC */
/* Verdicts that come later, from any thread. A question that may be answered so has a slot of its loop,
 * reserved with its ticket: answering takes no memory that it could lack. A slot is never freed before
 * the loop is and each use of it has a serial number, so a ticket that is out of date hits nothing.
 */
#include <stdlib.h>
#include <string.h>
#include "libsmtp/net/server_conn_private.h"

enum {
	ANSWER_TEXT_MAX = 65536,
	ANSWER_BRIEF_MAX = 128, /* what is left of a text when there is no memory for it */
	FIRST_CHUNK = 64,       /* slots; each further chunk has twice as many */
	ANSWERED = 1            /* bit of `state` */
};

struct server_slot {
	struct smtp_loop_call call; /* first: it is what comes back */
	struct server_loop *loop;
	struct server_slot *next_free;
	struct server_conn *conn; /* NULL: nobody waits any more */
	uint64_t question;
	uint32_t index;
	/* serial * 2, + ANSWERED from then on; 0: free. Who sets that bit owns what follows until the call
	 * arrives. */
	atomic_uint_least64_t state;
	bool accepts; /* there is no reply */
	bool drops;   /* nor a verdict: the connection ends */
	struct smtp_reply reply;
	uint8_t *text;
	uint8_t brief[ANSWER_BRIEF_MAX];
};

/* --- slots, in the loop's thread -------------------------------------------------------------- */

static bool add_chunk(struct server_loop *loop)
{
	size_t count = (size_t)FIRST_CHUNK << loop->chunk_count;
	struct server_slot *chunk;

	if (loop->chunk_count == SERVER_CHUNKS_MAX)
		return false;
	chunk = calloc(count, sizeof *chunk);
	if (!chunk)
		return false;
	for (size_t i = count; i-- > 0;) {
		chunk[i].loop = loop;
		chunk[i].index = (uint32_t)(count - FIRST_CHUNK + i);
		atomic_init(&chunk[i].state, 0);
		chunk[i].next_free = loop->free_slots;
		loop->free_slots = &chunk[i];
	}
	loop->chunks[loop->chunk_count++] = chunk;
	return true;
}

static void give_back(struct server_slot *slot)
{
	free(slot->text);
	slot->text = NULL;
	slot->conn = NULL;
	slot->next_free = slot->loop->free_slots;
	slot->loop->free_slots = slot;
}

void server_slot_release(struct server_conn *c)
{
	struct server_slot *slot = c->slot;
	uint64_t open;

	if (!slot)
		return;
	c->slot = NULL;
	open = atomic_load_explicit(&slot->state, memory_order_relaxed) & ~(uint64_t)ANSWERED;
	if (atomic_compare_exchange_strong(&slot->state, &open, 0))
		give_back(slot);
	else
		slot->conn = NULL; /* it is on its way, and comes back when it arrives */
}

bool server_slot_reserve(struct server_conn *c)
{
	struct server_loop *loop = c->loop;
	uint64_t question = smtp_server_session_question(c->session);
	struct server_slot *slot;

	if (c->slot && c->slot->question == question)
		return true;
	server_slot_release(c);
	if (!loop->free_slots && !add_chunk(loop)) {
		c->unanswerable = question;
		return false;
	}
	slot = loop->free_slots;
	loop->free_slots = slot->next_free;
	slot->conn = c;
	slot->question = question;
	atomic_store_explicit(&slot->state, ++loop->last_serial * 2, memory_order_release);
	c->slot = slot;
	return true;
}

void server_slots_free(struct server_loop *loop)
{
	while (loop->chunk_count > 0)
		free(loop->chunks[--loop->chunk_count]);
}

/* A worker that has the session finds the slot that was reserved for it. */
struct smtp_ticket smtp_server_ticket(struct smtp_server_session *session)
{
	struct server_conn *c = smtp_server_session_driver(session);
	struct smtp_ticket ticket = { 0 };

	if (!c)
		return ticket;
	ticket.server = c->loop->server;
	ticket.loop = c->loop->index;
	if (c->working ? c->slot != NULL : server_slot_reserve(c)) {
		ticket.slot = c->slot->index;
		ticket.serial = atomic_load_explicit(&c->slot->state, memory_order_relaxed) / 2;
	}
	return ticket;
}

static void on_answer(struct smtp_loop_call *call)
{
	struct server_slot *slot = (struct server_slot *)(void *)call;
	struct server_conn *c = slot->conn;

	if (c && server_conn_keeps(c, call))
		return;
	if (c) {
		c->slot = NULL;
		slot->conn = NULL;
		if (slot->drops)
			server_conn_drop(c);
		else
			server_conn_answer(c, slot->question, slot->accepts ? NULL : &slot->reply);
	}
	atomic_store_explicit(&slot->state, 0, memory_order_relaxed);
	give_back(slot);
}

/* --- answering, in any thread ----------------------------------------------------------------- */

static struct server_slot *slot_of(struct smtp_ticket ticket)
{
	const struct server_loop *loop = &ticket.server->loops[ticket.loop];
	size_t first = 0;

	for (unsigned i = 0; i < SERVER_CHUNKS_MAX; i++) {
		size_t count = (size_t)FIRST_CHUNK << i;

		if (ticket.slot - first < count)
			return &loop->chunks[i][ticket.slot - first];
		first += count;
	}
	return NULL;
}

static void fill(struct server_slot *slot, const struct smtp_reply *reply)
{
	struct smtp_span text;

	slot->accepts = !reply;
	if (!reply)
		return;
	slot->reply = *reply;
	text = reply->text;
	if (text.n > sizeof slot->brief) {
		slot->text = malloc(text.n);
		if (!slot->text)
			text.n = sizeof slot->brief;
	}
	slot->reply.text.p = slot->text ? slot->text : slot->brief;
	slot->reply.text.n = text.n;
	if (text.n > 0)
		memcpy(slot->text ? slot->text : slot->brief, text.p, text.n);
}

static bool is_verdict(const struct smtp_reply *reply)
{
	unsigned class = reply->code / 100;

	return reply->text.n <= ANSWER_TEXT_MAX && (class == 2 || class == 4 || class == 5);
}

static int answer(struct smtp_ticket ticket, const struct smtp_reply *reply, bool drops)
{
	uint64_t open = ticket.serial * 2;
	struct server_slot *slot;

	if (!ticket.server || ticket.loop >= ticket.server->loop_count ||
	    (reply && !is_verdict(reply)))
		return SMTP_EINVAL;
	if (ticket.serial == 0)
		return SMTP_ENOMEM;
	slot = slot_of(ticket);
	if (!slot)
		return SMTP_EINVAL;
	if (!atomic_compare_exchange_strong(&slot->state, &open, open | ANSWERED))
		return 0;
	fill(slot, reply);
	slot->drops = drops;
	slot->call.fn = on_answer;
	smtp_loop_post(slot->loop->loop, &slot->call);
	return 0;
}

int smtp_server_answer(struct smtp_ticket ticket, const struct smtp_reply *reply)
{
	return answer(ticket, reply, false);
}

int smtp_server_drop(struct smtp_ticket ticket)
{
	return answer(ticket, NULL, true);
}
