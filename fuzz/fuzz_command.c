/* SPDX-License-Identifier: ISC */
/* Command lines: the same lines however their octets arrive, bounded memory, and verbs of letters
 * only; no command from a line with a bare CR or LF.
 */
#include "fuzz/fuzz.h"

#include "libsmtp/core/command.h"
#include "libsmtp/core/line.h"
#include "libsmtp/core/syntax.h"

enum { LINE_MAX_OCTETS = 64 };

static void check_command(struct smtp_span line)
{
	struct smtp_command command;
	int err = smtp_command_parse(&command, line);

	if (err == SMTP_ESYNTAX)
		return;
	need(command.verb.n > 0 && smtp_span_all(command.verb, SMTP_CC_ALPHA));
	need((err != 0) == smtp_span_has(command.argument, SMTP_CC_CONTROL));
	need(command.argument.n == 0 || (!smtp_is(command.argument.p[0], SMTP_CC_BLANK) &&
		!smtp_is(command.argument.p[command.argument.n - 1], SMTP_CC_BLANK)));
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
	return 0;
}
