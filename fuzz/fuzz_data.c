/* SPDX-License-Identifier: ISC */
/* The content of DATA: decoded the same however it arrives; encoded it has no bare CR or LF and no
 * lone dot but the last, and decodes to itself.
 */
#include "fuzz/fuzz.h"

#include "libsmtp/core/buf.h"
#include "libsmtp/core/data.h"

struct decoded {
	struct smtp_buf content;
	size_t taken;
	bool end;
	struct smtp_data_decoder dd;
};

static void decode(struct decoded *d, struct smtp_span input, uint8_t pace, bool repair)
{
	smtp_buf_init(&d->content, 2 * input.n + 2);
	smtp_data_decoder_init(&d->dd, 100, repair);
	d->end = false;
	for (d->taken = 0; d->taken < input.n && !d->end;) {
		size_t n = next_piece(d->taken, input.n - d->taken, pace);
		struct smtp_span content;
		size_t taken;

		d->end = smtp_data_decoder_feed(&d->dd, smtp_span_slice(input, d->taken, n), &taken,
						&content) == SMTP_DATA_END;
		need(taken <= n && (taken > 0 || content.n > 0) && (!d->end || content.n == 0));
		need(smtp_buf_append_span(&d->content, content) == 0);
		d->taken += taken;
	}
	need(d->dd.octets == d->content.n);
}

static void check_decoder(struct smtp_span input, uint8_t pace, bool repair)
{
	struct decoded whole, pieces;

	decode(&whole, input, 0, repair);
	decode(&pieces, input, pace, repair);
	need(whole.end == pieces.end && whole.taken == pieces.taken);
	need(whole.dd.bare_newline == pieces.dd.bare_newline);
	need(!whole.end || whole.dd.line_too_long == pieces.dd.line_too_long);
	need(smtp_span_equal(smtp_buf_span(&whole.content), smtp_buf_span(&pieces.content)));
	if (whole.end) {
		need(whole.taken >= 3 && memcmp(input.p + whole.taken - 3, ".\r\n", 3) == 0);
		need(whole.taken == 3 || memcmp(input.p + whole.taken - 5, "\r\n", 2) == 0);
		need(has_only_crlf(whole.content.p, whole.content.n) ==
		     (repair || !whole.dd.bare_newline));
	}
	smtp_buf_release(&whole.content);
	smtp_buf_release(&pieces.content);
}

static bool encode(struct smtp_buf *out, struct smtp_span input, uint8_t pace)
{
	struct smtp_data_encoder de;
	uint8_t end[8];

	smtp_data_encoder_init(&de);
	for (size_t at = 0; at < input.n;) {
		size_t n = next_piece(at, input.n - at, pace);
		size_t cap = pace == 0 ? 2 * n + 2 : 2u + pace % 16u;
		size_t taken, written;

		need(smtp_buf_reserve(out, cap) == 0);
		written = smtp_data_encoder_feed(&de, smtp_span_slice(input, at, n), &taken,
						 out->p + out->n, cap);
		need(written <= cap && taken <= n && (taken > 0 || written > 0));
		out->n += written;
		at += taken;
	}
	need(smtp_buf_append(out, end, smtp_data_encoder_end(&de, end, sizeof(end))) == 0);
	return de.repaired;
}

static void check_encoder(struct smtp_span input, uint8_t pace)
{
	struct smtp_buf whole, pieces;
	struct decoded back;
	bool repaired;

	smtp_buf_init(&whole, 8 * input.n + 64);
	smtp_buf_init(&pieces, 8 * input.n + 64);
	repaired = encode(&whole, input, 0);
	need(encode(&pieces, input, pace) == repaired);
	need(smtp_span_equal(smtp_buf_span(&whole), smtp_buf_span(&pieces)));
	need(has_only_crlf(whole.p, whole.n));
	need(repaired == !has_only_crlf(input.p, input.n));
	decode(&back, smtp_buf_span(&whole), pace, false);
	need(back.end && back.taken == whole.n && !back.dd.bare_newline);
	if (!repaired) {
		need(back.content.n - input.n <= 2);
		need(input.n == 0 || memcmp(back.content.p, input.p, input.n) == 0);
	}
	smtp_buf_release(&back.content);
	smtp_buf_release(&whole);
	smtp_buf_release(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_span input = { data, size };
	uint8_t pace = take_choice(&input);

	check_decoder(input, pace, false);
	check_decoder(input, pace, true);
	check_encoder(input, pace);
	return 0;
}
