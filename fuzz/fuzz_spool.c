/* SPDX-License-Identifier: ISC */
/* What a spool file may hold when a disk or somebody has been at it: the end of a file, an envelope,
 * lines of a state file. What is read is written again, and read again the same.
 */
#include "fuzz/fuzz.h"

#include "libsmtp/core/span.h"
#include "storage/spool_format.h"
#include "storage/spool_text.h"

/* As the reader goes about it: trailer, then the envelope it speaks of. */
static void check_file(struct smtp_span file)
{
	struct smtp_queue_entry *entry = NULL;
	struct spool_trailer trailer;
	struct smtp_span envelope;
	char text[SPOOL_TRAILER_BYTES + 1];

	if (spool_trailer_parse(file, file.n, &trailer))
		return;
	need(trailer.content_bytes + trailer.added_bytes + trailer.envelope_bytes ==
	     file.n - SPOOL_TRAILER_BYTES);
	envelope = smtp_span_slice(file, (size_t)(trailer.content_bytes + trailer.added_bytes),
				   (size_t)trailer.envelope_bytes);
	if (!spool_trailer_matches(&trailer, envelope))
		return;
	spool_trailer_format(&trailer, envelope, text);
	need(smtp_span_is(smtp_span_slice(file, file.n - SPOOL_TRAILER_BYTES, file.n), text));
	if (spool_envelope_parse(envelope, &entry) == 0)
		smtp_queue_entry_free(entry);
}

static void check_same(const struct smtp_queue_entry *a, const struct smtp_queue_entry *b)
{
	need(strcmp(a->id, b->id) == 0);
	need(strcmp(a->reverse_path, b->reverse_path) == 0);
	need(strcmp(a->origin, b->origin) == 0);
	need(strcmp(a->account, b->account) == 0);
	need(strcmp(a->peer_address, b->peer_address) == 0);
	need(strcmp(a->helo_name, b->helo_name) == 0);
	need(a->body_8bitmime == b->body_8bitmime);
	need(a->arrival_ms == b->arrival_ms);
	need(a->recipient_count == b->recipient_count);
	for (size_t i = 0; i < a->recipient_count; i++) {
		need(strcmp(a->recipients[i].address, b->recipients[i].address) == 0);
		need(strcmp(a->recipients[i].original, b->recipients[i].original) == 0);
	}
}

static int format_again(const struct smtp_queue_entry *e, struct smtp_buf *out)
{
	struct smtp_spool_recipient *r = calloc(e->recipient_count, sizeof *r);
	struct smtp_spool_envelope envelope = {
		.reverse_path = e->reverse_path,
		.recipients = r,
		.recipient_count = e->recipient_count,
		.arrival_ms = e->arrival_ms,
		.origin = e->origin,
		.account = e->account,
		.peer_address = e->peer_address,
		.helo_name = e->helo_name,
		.body_8bitmime = e->body_8bitmime,
	};
	int err;

	need(r != NULL);
	for (size_t i = 0; i < e->recipient_count; i++) {
		r[i].address = e->recipients[i].address;
		r[i].original = e->recipients[i].original;
	}
	err = spool_envelope_format(out, e->id, &envelope);
	free(r);
	return err;
}

static void check_envelope(struct smtp_span text)
{
	struct smtp_queue_entry *entry = NULL, *again = NULL;
	struct smtp_buf buf;

	if (spool_envelope_parse(text, &entry))
		return;
	smtp_buf_init(&buf, SPOOL_ENVELOPE_MAX);
	if (format_again(entry, &buf) == 0) { /* else a value was longer than we would write */
		need(spool_envelope_parse(smtp_buf_span(&buf), &again) == 0);
		check_same(entry, again);
		smtp_queue_entry_free(again);
	}
	smtp_buf_release(&buf);
	smtp_queue_entry_free(entry);
}

/* A line as it stands, and one with the sum it should have. */
static void apply_line(struct smtp_queue_entry *entry, struct smtp_span line)
{
	struct smtp_buf buf;
	char sum[SPOOL_SUM_TEXT];

	need(spool_state_apply(entry, line) == 0);
	spool_put_hex(sum, spool_sum(spool_sum_start, line));
	smtp_buf_init(&buf, line.n + SPOOL_SUM_TEXT + 1);
	need(smtp_buf_append(&buf, sum, sizeof sum) == 0);
	need(smtp_buf_append_text(&buf, " ") == 0);
	need(smtp_buf_append_span(&buf, line) == 0);
	need(spool_state_apply(entry, smtp_buf_span(&buf)) == 0);
	smtp_buf_release(&buf);
}

static void check_state(struct smtp_span text)
{
	static const char envelope[] = "id 01h0000000abcdefgh\narrival 1\norigin mx\nfrom \n"
				       "to a@b\nto c@d\n";
	struct smtp_queue_entry *entry = NULL;

	need(spool_envelope_parse(smtp_span_of(envelope), &entry) == 0);
	while (text.n > 0) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		size_t n = end ? (size_t)(end - text.p) : text.n;

		apply_line(entry, smtp_span_slice(text, 0, n));
		text = smtp_span_slice(text, end ? n + 1 : n, text.n);
	}
	need(entry->recipient_count == 2);
	for (size_t i = 0; i < 2; i++)
		need(entry->recipients[i].last_reply && entry->recipients[i].last_host);
	smtp_queue_entry_free(entry);
}

/* Any text becomes one word or line, and comes back. */
static void check_escapes(struct smtp_span octets)
{
	const uint8_t *nul = octets.n ? memchr(octets.p, '\0', octets.n) : NULL;
	struct smtp_span text = smtp_span_slice(octets, 0, nul ? (size_t)(nul - octets.p) : octets.n);

	for (int blanks = 0; blanks < 2; blanks++) {
		struct smtp_buf buf;
		char *again = NULL;

		smtp_buf_init(&buf, 4 * text.n);
		need(spool_put_escaped(&buf, text, blanks) == 0);
		for (size_t i = 0; i < buf.n; i++)
			need(buf.p[i] >= (blanks ? ' ' : '!') && buf.p[i] != 0x7f);
		need(spool_get_escaped(smtp_buf_span(&buf), &again) == 0);
		need(smtp_span_is(text, again));
		free(again);
		smtp_buf_release(&buf);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_span input = { data, size };

	check_file(input);
	check_envelope(input);
	check_state(input);
	check_escapes(input);
	return 0;
}
