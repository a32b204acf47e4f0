/* SPDX-License-Identifier: ISC */
/* The lines of ID.state: a check sum, a word, its values. Each line is written between two line
 * ends, so that one torn by a crash stays alone; reading passes over whatever does not add up,
 * which at worst repeats an attempt.
 */
#include "libsmtp/core/span.h"
#include "storage/spool_format.h"
#include "storage/spool_text.h"

#include <stdlib.h>
#include <string.h>

static const char *const state_names[] = {
	[SMTP_RECIPIENT_QUEUED] = "queued",
	[SMTP_RECIPIENT_DELIVERED] = "delivered",
	[SMTP_RECIPIENT_BOUNCED] = "bounced",
	[SMTP_RECIPIENT_REMOVED] = "removed",
};

enum { STATES = sizeof state_names / sizeof *state_names };

/* ---- Writing ---- */

static int put_word(struct smtp_buf *out, const char *word)
{
	int err = smtp_buf_append_text(out, word);

	return err ? err : smtp_buf_append_text(out, " ");
}

static int put_number(struct smtp_buf *out, int64_t number)
{
	int err = smtp_buf_append_uint(out, number > 0 ? (uint64_t)number : 0);

	return err ? err : smtp_buf_append_text(out, " ");
}

/* An empty text is written as a hyphen: every column has something in it. */
static int put_text(struct smtp_buf *out, const char *text, bool blanks)
{
	struct smtp_span span = smtp_span_of(text && *text ? text : "-");

	return spool_put_escaped(out, smtp_span_slice(span, 0, SPOOL_REPLY_MAX), blanks);
}

static int put_outcome(struct smtp_buf *line, const struct smtp_spool_outcome *o)
{
	int err;

	if ((err = put_word(line, "recipient")) || (err = put_number(line, (int64_t)o->recipient)) ||
	    (err = put_word(line, state_names[o->state])) || (err = put_number(line, o->time_ms)) ||
	    (err = put_number(line, o->next_attempt_ms)) ||
	    (err = put_text(line, o->host, false)) || (err = smtp_buf_append_text(line, " ")))
		return err;
	return put_text(line, o->reply, true);
}

static int put_line(struct smtp_buf *out, const struct smtp_buf *line)
{
	char sum[SPOOL_SUM_TEXT + 2] = "\n";
	int err;

	spool_put_hex(sum + 1, spool_sum(spool_sum_start, smtp_buf_span(line)));
	sum[SPOOL_SUM_TEXT + 1] = ' ';
	if ((err = smtp_buf_append(out, sum, sizeof sum)) ||
	    (err = smtp_buf_append_span(out, smtp_buf_span(line))))
		return err;
	return smtp_buf_append_text(out, "\n");
}

int spool_outcome_format(struct smtp_buf *out, const struct smtp_spool_outcome *outcome)
{
	struct smtp_buf line;
	int err;

	if (outcome->recipient >= SMTP_SPOOL_RECIPIENTS_MAX || (unsigned)outcome->state >= STATES)
		return SMTP_EINVAL;
	smtp_buf_init(&line, SPOOL_LINE_MAX);
	err = put_outcome(&line, outcome);
	if (!err)
		err = put_line(out, &line);
	smtp_buf_release(&line);
	return err;
}

int spool_target_format(struct smtp_buf *out, size_t recipient, const char *address)
{
	struct smtp_buf line;
	int err;

	if (recipient >= SMTP_SPOOL_RECIPIENTS_MAX)
		return SMTP_EINVAL;
	smtp_buf_init(&line, SPOOL_LINE_MAX);
	err = put_word(&line, "target");
	if (!err)
		err = put_number(&line, (int64_t)recipient);
	if (!err)
		err = put_text(&line, address, true);
	if (!err)
		err = put_line(out, &line);
	smtp_buf_release(&line);
	return err;
}

int spool_delay_notice_format(struct smtp_buf *out, int64_t time_ms)
{
	struct smtp_buf line;
	int err;

	smtp_buf_init(&line, SPOOL_LINE_MAX);
	err = put_word(&line, "delay-notice");
	if (!err)
		err = put_number(&line, time_ms);
	if (!err)
		err = put_line(out, &line);
	smtp_buf_release(&line);
	return err;
}

/* ---- Reading ---- */

/* Takes the octets up to the next blank, and the blank. */
static struct smtp_span take_word(struct smtp_span *rest)
{
	const uint8_t *blank = rest->n ? memchr(rest->p, ' ', rest->n) : NULL;
	size_t n = blank ? (size_t)(blank - rest->p) : rest->n;
	struct smtp_span word = smtp_span_slice(*rest, 0, n);

	*rest = smtp_span_slice(*rest, blank ? n + 1 : n, rest->n);
	return word;
}

static bool take_number(struct smtp_span *rest, uint64_t max, uint64_t *out)
{
	return smtp_span_uint(take_word(rest), out) == 0 && *out <= max;
}

static bool take_state(struct smtp_span *rest, enum smtp_recipient_state *out)
{
	struct smtp_span word = take_word(rest);

	for (int i = 0; i < STATES; i++) {
		if (smtp_span_is(word, state_names[i])) {
			*out = (enum smtp_recipient_state)i;
			return true;
		}
	}
	return false;
}

static int replace_text(char **text, struct smtp_span value)
{
	return spool_get_escaped(smtp_span_is(value, "-") ? smtp_span_of("") : value, text);
}

static int apply_outcome(struct smtp_queue_entry *e, struct smtp_span rest)
{
	uint64_t index, time_ms, next_ms;
	enum smtp_recipient_state state;
	struct smtp_queue_recipient *r;
	struct smtp_span host;
	int err;

	if (!take_number(&rest, SMTP_SPOOL_RECIPIENTS_MAX, &index) || index >= e->recipient_count ||
	    !take_state(&rest, &state) || !take_number(&rest, INT64_MAX, &time_ms) ||
	    !take_number(&rest, INT64_MAX, &next_ms))
		return 0;
	r = &e->recipients[index];
	if (r->state != SMTP_RECIPIENT_QUEUED)
		return 0; /* settled is settled */
	host = take_word(&rest);
	if ((err = replace_text(&r->last_host, host)) || (err = replace_text(&r->last_reply, rest)))
		return err == SMTP_ENOMEM ? err : 0;
	r->state = state;
	r->last_attempt_ms = (int64_t)time_ms;
	r->next_attempt_ms = (int64_t)next_ms;
	if (state != SMTP_RECIPIENT_REMOVED)
		r->attempts++;
	return 0;
}

static int apply_target(struct smtp_queue_entry *e, struct smtp_span rest)
{
	struct smtp_queue_recipient *r;
	char *address = NULL, *targets; /* what was there would be freed */
	size_t old, n;
	uint64_t index;
	int err;

	if (!take_number(&rest, SMTP_SPOOL_RECIPIENTS_MAX, &index) || index >= e->recipient_count)
		return 0;
	err = spool_get_escaped(rest, &address);
	if (err)
		return err == SMTP_ENOMEM ? err : 0;
	r = &e->recipients[index];
	old = r->targets ? strlen(r->targets) : 0;
	n = strlen(address);
	targets = realloc(r->targets, old + n + sizeof "\n");
	if (targets) {
		memcpy(targets + old, address, n);
		memcpy(targets + old + n, "\n", sizeof "\n");
		r->targets = targets;
	}
	free(address);
	return targets ? 0 : SMTP_ENOMEM;
}

int spool_state_apply(struct smtp_queue_entry *entry, struct smtp_span line)
{
	struct smtp_span rest = line, word;
	uint64_t sum;

	if (!spool_get_hex(take_word(&rest), &sum) || sum != spool_sum(spool_sum_start, rest))
		return 0;
	word = take_word(&rest);
	if (smtp_span_is(word, "recipient"))
		return apply_outcome(entry, rest);
	if (smtp_span_is(word, "target"))
		return apply_target(entry, rest);
	if (smtp_span_is(word, "delay-notice"))
		entry->delay_notice_sent = true;
	return 0;
}
