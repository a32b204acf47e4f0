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
	RESULT_TEXT_MAX = 400,  /* of the reply for one recipient, as the session keeps it */
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
	struct smtp_reply *each; /* of single recipients, their texts behind them; NULL: none */
	size_t each_count;
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
	free(slot->each);
	slot->each = NULL;
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
		else if (slot->each)
			server_conn_answer_each(c, slot->question, slot->each, slot->each_count);
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

/* *out is the ticket's slot, and the caller's to fill and to post; NULL: nobody waits any more. */
static int claim(struct smtp_ticket ticket, struct server_slot **out)
{
	uint64_t open = ticket.serial * 2;
	struct server_slot *slot;

	*out = NULL;
	if (!ticket.server || ticket.loop >= ticket.server->loop_count)
		return SMTP_EINVAL;
	if (ticket.serial == 0)
		return SMTP_ENOMEM;
	slot = slot_of(ticket);
	if (!slot)
		return SMTP_EINVAL;
	if (atomic_compare_exchange_strong(&slot->state, &open, open | ANSWERED))
		*out = slot;
	return 0;
}

static void post(struct server_slot *slot)
{
	slot->call.fn = on_answer;
	smtp_loop_post(slot->loop->loop, &slot->call);
}

static int answer(struct smtp_ticket ticket, const struct smtp_reply *reply, bool drops)
{
	struct server_slot *slot;
	int err = reply && !is_verdict(reply) ? SMTP_EINVAL : claim(ticket, &slot);

	if (err || !slot)
		return err;
	fill(slot, reply);
	slot->drops = drops;
	post(slot);
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

/* --- one answer for each recipient -------------------------------------------------------------- */

static size_t brief_length(const struct smtp_reply *reply)
{
	return reply->text.n < RESULT_TEXT_MAX ? reply->text.n : RESULT_TEXT_MAX;
}

/* In one block, the texts behind the array. */
static struct smtp_reply *copy_each(const struct smtp_reply *replies, size_t count)
{
	size_t room = (count ? count : 1) * sizeof *replies;
	struct smtp_reply *each;
	uint8_t *text;

	for (size_t i = 0; i < count; i++)
		room += brief_length(&replies[i]);
	each = malloc(room);
	if (!each)
		return NULL;
	text = (uint8_t *)(each + count);
	for (size_t i = 0; i < count; i++) {
		size_t n = brief_length(&replies[i]);

		each[i] = replies[i];
		each[i].text = (struct smtp_span){ text, n };
		if (n > 0)
			memcpy(text, replies[i].text.p, n);
		text += n;
	}
	return each;
}

static bool are_results(const struct smtp_reply *replies, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (replies[i].code != 0 && (!is_verdict(&replies[i]) || replies[i].code == 421))
			return false;
	return true;
}

int smtp_server_answer_recipients(struct smtp_ticket ticket, const struct smtp_reply *replies,
				  size_t count)
{
	struct server_slot *slot;
	struct smtp_reply *each;
	int err;

	if (count > SMTP_ANSWER_RECIPIENTS_MAX || !are_results(replies, count))
		return SMTP_EINVAL;
	each = copy_each(replies, count);
	if (!each)
		return SMTP_ENOMEM;
	err = claim(ticket, &slot);
	if (err || !slot) {
		free(each);
		return err;
	}
	slot->drops = false;
	slot->each = each;
	slot->each_count = count;
	post(slot);
	return 0;
}
