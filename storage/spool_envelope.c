/* SPDX-License-Identifier: ISC */
/* The envelope of a spool file: lines of a key, a blank and an escaped value. Written in the order
 * of the table; read in any, but `orig` belongs to the `to` above it.
 */
#include "libsmtp/core/span.h"
#include "storage/spool_format.h"
#include "storage/spool_text.h"

#include <stdlib.h>
#include <string.h>

/* ---- Writing ---- */

static int put_line(struct smtp_buf *out, const char *key, const char *value)
{
	struct smtp_span text = smtp_span_of(value);
	int err;

	if (text.n > SPOOL_VALUE_MAX)
		return SMTP_ETOOLONG;
	if ((err = smtp_buf_append_text(out, key)) || (err = smtp_buf_append_text(out, " ")) ||
	    (err = spool_put_escaped(out, text, true)))
		return err;
	return smtp_buf_append_text(out, "\n");
}

static int put_if_any(struct smtp_buf *out, const char *key, const char *value)
{
	return value && *value ? put_line(out, key, value) : 0;
}

static int put_recipient(struct smtp_buf *out, const struct smtp_spool_recipient *r)
{
	int err;

	if (!r->address || !*r->address)
		return SMTP_EINVAL;
	err = put_line(out, "to", r->address);
	if (!err && r->original && strcmp(r->original, r->address) != 0)
		err = put_line(out, "orig", r->original);
	return err;
}

static int put_arrival(struct smtp_buf *out, int64_t arrival_ms)
{
	int err = smtp_buf_append_text(out, "arrival ");

	if (!err)
		err = smtp_buf_append_uint(out, (uint64_t)arrival_ms);
	return err ? err : smtp_buf_append_text(out, "\n");
}

int spool_envelope_format(struct smtp_buf *out, const char *id, const struct smtp_spool_envelope *e)
{
	int err;

	if (!e->reverse_path || !e->origin || !*e->origin || e->arrival_ms < 0 ||
	    e->recipient_count == 0 || e->recipient_count > SMTP_SPOOL_RECIPIENTS_MAX)
		return SMTP_EINVAL;
	if ((err = put_line(out, "id", id)) || (err = put_arrival(out, e->arrival_ms)) ||
	    (err = put_line(out, "origin", e->origin)) ||
	    (err = put_if_any(out, "account", e->account)) ||
	    (err = put_if_any(out, "peer", e->peer_address)) ||
	    (err = put_if_any(out, "helo", e->helo_name)) ||
	    (err = put_if_any(out, "body", e->body_8bitmime ? "8bitmime" : NULL)) ||
	    (err = put_line(out, "from", e->reverse_path)))
		return err;
	for (size_t i = 0; i < e->recipient_count; i++)
		if ((err = put_recipient(out, &e->recipients[i])))
			return err;
	return 0;
}

/* ---- Reading ---- */

static int get_id(struct smtp_queue_entry *e, struct smtp_span value)
{
	if (e->id[0] || smtp_span_copy(value, e->id, sizeof e->id) != 0 ||
	    !smtp_queue_id_is_valid(e->id))
		return SMTP_ECORRUPT;
	return 0;
}

static int get_arrival(struct smtp_queue_entry *e, struct smtp_span value)
{
	uint64_t ms;

	if (smtp_span_uint(value, &ms) != 0 || ms > INT64_MAX)
		return SMTP_ECORRUPT;
	e->arrival_ms = (int64_t)ms;
	return 0;
}

static int get_body(struct smtp_queue_entry *e, struct smtp_span value)
{
	if (!smtp_span_is(value, "8bitmime"))
		return SMTP_ECORRUPT;
	e->body_8bitmime = true;
	return 0;
}

static struct smtp_queue_recipient *last_recipient(struct smtp_queue_entry *e)
{
	return e->recipient_count > 0 ? &e->recipients[e->recipient_count - 1] : NULL;
}

/* Room for one more: doubled at each power of two, so that no capacity has to be kept. */
static int grow(struct smtp_queue_entry *e)
{
	size_t n = e->recipient_count;
	void *more;

	if (n >= SMTP_SPOOL_RECIPIENTS_MAX)
		return SMTP_ECORRUPT;
	if (n & (n - 1))
		return 0;
	more = realloc(e->recipients, (n ? 2 * n : 1) * sizeof *e->recipients);
	if (!more)
		return SMTP_ENOMEM;
	e->recipients = more;
	return 0;
}

static int get_to(struct smtp_queue_entry *e, struct smtp_span value)
{
	struct smtp_queue_recipient *r;
	int err = value.n == 0 ? SMTP_ECORRUPT : grow(e);

	if (err)
		return err;
	r = &e->recipients[e->recipient_count++];
	memset(r, 0, sizeof *r);
	return spool_get_escaped(value, &r->address);
}

static int get_orig(struct smtp_queue_entry *e, struct smtp_span value)
{
	struct smtp_queue_recipient *r = last_recipient(e);

	return r && !r->original ? spool_get_escaped(value, &r->original) : SMTP_ECORRUPT;
}

static int get_text(char **text, struct smtp_span value)
{
	return *text ? SMTP_ECORRUPT : spool_get_escaped(value, text);
}

static int get_origin(struct smtp_queue_entry *e, struct smtp_span value)
{
	return get_text(&e->origin, value);
}

static int get_account(struct smtp_queue_entry *e, struct smtp_span value)
{
	return get_text(&e->account, value);
}

static int get_peer(struct smtp_queue_entry *e, struct smtp_span value)
{
	return get_text(&e->peer_address, value);
}

static int get_helo(struct smtp_queue_entry *e, struct smtp_span value)
{
	return get_text(&e->helo_name, value);
}

static int get_from(struct smtp_queue_entry *e, struct smtp_span value)
{
	return get_text(&e->reverse_path, value);
}

static const struct {
	const char *key;
	int (*get)(struct smtp_queue_entry *e, struct smtp_span value);
} keys[] = {
	{ "id", get_id },	{ "arrival", get_arrival }, { "origin", get_origin },
	{ "account", get_account }, { "peer", get_peer },   { "helo", get_helo },
	{ "body", get_body },	{ "from", get_from },	    { "to", get_to },
	{ "orig", get_orig },
};

static int get_line(struct smtp_queue_entry *e, struct smtp_span line)
{
	const uint8_t *blank = line.n ? memchr(line.p, ' ', line.n) : NULL;
	size_t n;

	if (!blank)
		return SMTP_ECORRUPT;
	n = (size_t)(blank - line.p);
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (smtp_span_is(smtp_span_slice(line, 0, n), keys[i].key))
			return keys[i].get(e, smtp_span_slice(line, n + 1, line.n));
	return SMTP_ECORRUPT;
}

static int get_lines(struct smtp_queue_entry *e, struct smtp_span text)
{
	while (text.n > 0) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		size_t n;
		int err;

		if (!end)
			return SMTP_ECORRUPT;
		n = (size_t)(end - text.p);
		if ((err = get_line(e, smtp_span_slice(text, 0, n))))
			return err;
		text = smtp_span_slice(text, n + 1, text.n);
	}
	return 0;
}

static int default_text(char **text, const char *value)
{
	if (!*text)
		*text = strdup(value);
	return *text ? 0 : SMTP_ENOMEM;
}

static int complete_recipient(struct smtp_queue_recipient *r)
{
	int err;

	if ((err = default_text(&r->original, r->address)) ||
	    (err = default_text(&r->last_reply, "")))
		return err;
	return default_text(&r->last_host, "");
}

/* What has to be there is there; what may be missing becomes "". */
static int complete(struct smtp_queue_entry *e)
{
	int err;

	if (!e->id[0] || !e->origin || !e->reverse_path || e->recipient_count == 0)
		return SMTP_ECORRUPT;
	if ((err = default_text(&e->account, "")) || (err = default_text(&e->peer_address, "")) ||
	    (err = default_text(&e->helo_name, "")))
		return err;
	for (size_t i = 0; i < e->recipient_count; i++)
		if ((err = complete_recipient(&e->recipients[i])))
			return err;
	return 0;
}

int spool_envelope_parse(struct smtp_span text, struct smtp_queue_entry **out)
{
	struct smtp_queue_entry *e = calloc(1, sizeof *e);
	int err;

	if (!e)
		return SMTP_ENOMEM;
	err = get_lines(e, text);
	if (!err)
		err = complete(e);
	if (err)
		smtp_queue_entry_free(e);
	else
		*out = e;
	return err;
}

void smtp_queue_entry_free(struct smtp_queue_entry *e)
{
	if (!e)
		return;
	for (size_t i = 0; i < e->recipient_count; i++) {
		free(e->recipients[i].address);
		free(e->recipients[i].original);
		free(e->recipients[i].last_reply);
		free(e->recipients[i].last_host);
		free(e->recipients[i].targets);
	}
	free(e->recipients);
	free(e->reverse_path);
	free(e->origin);
	free(e->account);
	free(e->peer_address);
	free(e->helo_name);
	free(e);
}
