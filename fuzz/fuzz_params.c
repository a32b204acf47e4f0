/* SPDX-License-Identifier: ISC */
/* Command lines: the same lines however they arrive; parameters print and read back as the same;
 * xtext decodes to what encodes to the same octets.
 */
#include "fuzz/fuzz.h"

#include "libsmtp/core/command.h"
#include "libsmtp/core/line.h"
#include "libsmtp/core/syntax.h"
#include "libsmtp/core/xtext.h"

enum { LINE_MAX_OCTETS = 64 };

static void print_params(struct smtp_buf *out, const struct smtp_params *params)
{
	for (size_t i = 0; i < params->count; i++) {
		need(smtp_buf_append_text(out, " ") == 0);
		need(smtp_buf_append_span(out, params->items[i].keyword) == 0);
		if (!params->items[i].value.p)
			continue;
		need(smtp_buf_append_text(out, "=") == 0);
		need(smtp_buf_append_span(out, params->items[i].value) == 0);
	}
}

static void check_params(struct smtp_span text)
{
	struct smtp_params params, again;
	struct smtp_buf printed;

	if (smtp_params_parse(&params, text))
		return;
	smtp_buf_init(&printed, text.n + 1);
	print_params(&printed, &params);
	need(smtp_params_parse(&again, smtp_buf_span(&printed)) == 0);
	need(again.count == params.count);
	for (size_t i = 0; i < params.count; i++) {
		need(smtp_span_equal(params.items[i].keyword, again.items[i].keyword));
		need(smtp_span_equal(params.items[i].value, again.items[i].value));
	}
	smtp_buf_release(&printed);
}

static void check_xtext(struct smtp_span text)
{
	struct smtp_buf octets, encoded, again;

	smtp_buf_init(&octets, text.n);
	smtp_buf_init(&encoded, 3 * text.n);
	smtp_buf_init(&again, 3 * text.n);
	if (smtp_xtext_decode(&octets, text) == 0) {
		need(smtp_xtext_encode(&encoded, smtp_buf_span(&octets)) == 0);
		need(smtp_xtext_decode(&again, smtp_buf_span(&encoded)) == 0);
		need(smtp_span_equal(smtp_buf_span(&octets), smtp_buf_span(&again)));
	} else {
		need(octets.n == 0);
	}
	smtp_buf_release(&octets);
	smtp_buf_release(&encoded);
	smtp_buf_release(&again);
}

static void check_command(struct smtp_span line)
{
	struct smtp_command command;
	struct smtp_path path;
	struct smtp_span rest;
	int err = smtp_command_parse(&command, line);

	if (err == SMTP_ESYNTAX)
		return;
	need(command.verb.n > 0 && smtp_span_all(command.verb, SMTP_CC_ALPHA));
	need((err != 0) == smtp_span_has(command.argument, SMTP_CC_CONTROL));
	if (smtp_path_argument_parse(&path, command.argument, "FROM:", 0, &rest) == 0)
		check_params(rest);
}

/* Lines and "!" for those too long, one behind the other. */
static void gather(struct smtp_buf *out, struct smtp_span input, uint8_t pace)
{
	struct smtp_line ln;

	smtp_line_init(&ln, LINE_MAX_OCTETS);
	for (size_t at = 0; at < input.n;) {
		struct smtp_span piece = smtp_span_slice(input, at,
							 next_piece(at, input.n - at, pace));
		struct smtp_span line;
		size_t taken;
		enum smtp_line_result result = smtp_line_feed(&ln, piece, &taken, &line);

		need(taken > 0 && taken <= piece.n);
		need(line.n + 2 <= LINE_MAX_OCTETS && ln.buf.cap <= LINE_MAX_OCTETS);
		if (result == SMTP_LINE_READY) {
			need(smtp_buf_append_span(out, line) == 0);
			check_command(line);
		}
		if (result != SMTP_LINE_MORE)
			need(smtp_buf_append_text(out, result == SMTP_LINE_READY ? "|" : "!") == 0);
		at += taken;
	}
	smtp_line_release(&ln);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_span input = { data, size };
	uint8_t pace = take_choice(&input);
	struct smtp_buf whole, pieces;

	smtp_buf_init(&whole, 2 * size + 2);
	smtp_buf_init(&pieces, 2 * size + 2);
	gather(&whole, input, 0);
	gather(&pieces, input, pace);
	need(smtp_span_equal(smtp_buf_span(&whole), smtp_buf_span(&pieces)));
	smtp_buf_release(&whole);
	smtp_buf_release(&pieces);
	check_command(input);
	check_params(input);
	check_xtext(input);
	return 0;
}
