/* SPDX-License-Identifier: ISC */
/* data.c - the one automaton that finds the end of DATA and judges line ends, in chunks too, and its
 * counterpart that stuffs dots. Both jump from line end to line end; what lies between is neither
 * looked at twice nor copied here.
 */
#include "libsmtp/core/data.h"

#include <string.h>

enum decoder_state {
	LINE_BEGIN,     /* behind a CRLF, or at the start */
	REPAIRED_BEGIN, /* behind a repaired bare newline: a dot is taken away, yet ends nothing */
	IN_LINE,
	CR_SEEN,        /* the CR has been passed on */
	DOT_SEEN,       /* at LINE_BEGIN; the dot is dropped whatever comes */
	DOT_CR_SEEN     /* the CR is held back: it is content unless LF follows */
};

static const uint8_t crlf[] = { '\r', '\n' };

/* --- a CR or LF, eight octets at a time ------------------------------------------------------- */

#define EACH_OCTET(c) (UINT64_C(0x0101010101010101) * (c))

/* High bits mark the octets of `word` that equal `c`; above the lowest mark some may be false. */
static inline uint64_t mark(uint64_t word, uint8_t c)
{
	uint64_t x = word ^ EACH_OCTET(c);

	return (x - EACH_OCTET(0x01)) & ~x & EACH_OCTET(0x80);
}

/* Index of the first CR or LF at or behind `at`; `n` if there is none. */
static size_t find_newline(const uint8_t *p, size_t at, size_t n)
{
	uint64_t word;

	while (n - at >= sizeof(word)) {
		memcpy(&word, p + at, sizeof(word));
		if (mark(word, '\r') | mark(word, '\n'))
			break;
		at += sizeof(word);
	}
	while (at < n && p[at] != '\r' && p[at] != '\n')
		at++;
	return at;
}

/* --- decoder ---------------------------------------------------------------------------------- */

/* One call of feed: the run of content is in.p[from] to in.p[at]. */
struct run {
	struct smtp_span in;
	size_t from, at;
	struct smtp_span given; /* from static memory, instead of the run */
};

void smtp_data_decoder_init(struct smtp_data_decoder *dd, uint32_t max_line, bool repair)
{
	*dd = (struct smtp_data_decoder){ .max_line = max_line, .repair = repair };
}

void smtp_data_decoder_init_chunked(struct smtp_data_decoder *dd, uint32_t max_line, bool repair)
{
	smtp_data_decoder_init(dd, max_line, repair);
	dd->chunked = true;
	dd->state = IN_LINE;
}

/* In chunks a dot at the begin of a line is content like any other. */
static void begin_line(struct smtp_data_decoder *dd, enum decoder_state state)
{
	dd->state = dd->chunked ? (uint8_t)IN_LINE : (uint8_t)state;
}

static void count(struct smtp_data_decoder *dd, size_t n)
{
	dd->line += n;
	dd->octets += n;
}

/* The line ends behind what has been counted, its CRLF included. */
static void end_line(struct smtp_data_decoder *dd)
{
	if (dd->max_line > 0 && dd->line > (uint64_t)dd->max_line + sizeof(crlf))
		dd->line_too_long = true;
	dd->line = 0;
}

/* Passes on what is not in the input. Only called while the run is empty. */
static void give(struct smtp_data_decoder *dd, struct run *run, const uint8_t *p, size_t n)
{
	run->given = (struct smtp_span){ p, n };
	count(dd, n);
}

/* At a CR or LF inside a line; false: the run has to be passed on first. */
static bool take_newline(struct smtp_data_decoder *dd, struct run *run)
{
	if (run->in.p[run->at] == '\r') {
		dd->state = CR_SEEN;
	} else if (!dd->repair) {
		dd->bare_newline = true;
	} else {
		if (run->at > run->from)
			return false;
		dd->bare_newline = true;
		give(dd, run, crlf, sizeof(crlf));
		end_line(dd);
		begin_line(dd, REPAIRED_BEGIN);
		run->from = ++run->at;
		return true;
	}
	count(dd, 1);
	run->at++;
	return true;
}

static bool step_in_line(struct smtp_data_decoder *dd, struct run *run)
{
	size_t newline = find_newline(run->in.p, run->at, run->in.n);

	count(dd, newline - run->at);
	run->at = newline;
	return newline == run->in.n || take_newline(dd, run);
}

static bool step_line_begin(struct smtp_data_decoder *dd, struct run *run)
{
	if (run->in.p[run->at] != '.') {
		dd->state = IN_LINE;
		return true;
	}
	if (run->at > run->from)
		return false;
	dd->state = dd->state == LINE_BEGIN ? DOT_SEEN : IN_LINE;
	run->from = ++run->at;
	return true;
}

static bool step_cr_seen(struct smtp_data_decoder *dd, struct run *run)
{
	if (run->in.p[run->at] == '\n') {
		count(dd, 1);
		run->at++;
		end_line(dd);
		begin_line(dd, LINE_BEGIN);
		return true;
	}
	if (dd->repair) {
		if (run->at > run->from)
			return false;
		give(dd, run, crlf + 1, 1);
		end_line(dd);
	}
	dd->bare_newline = true;
	begin_line(dd, dd->repair ? REPAIRED_BEGIN : IN_LINE);
	return true;
}

/* The run is empty here: it was passed on before the dot. */
static bool step_dot_seen(struct smtp_data_decoder *dd, struct run *run)
{
	if (run->in.p[run->at] != '\r') {
		dd->state = IN_LINE;
		return true;
	}
	dd->state = DOT_CR_SEEN;
	run->from = ++run->at;
	return true;
}

/* No LF followed: the CR that was held back is content, and stands alone. */
static void release_cr(struct smtp_data_decoder *dd, struct run *run)
{
	give(dd, run, crlf, 1);
	dd->state = CR_SEEN;
}

static bool step(struct smtp_data_decoder *dd, struct run *run)
{
	switch ((enum decoder_state)dd->state) {
	case LINE_BEGIN:
	case REPAIRED_BEGIN:
		return step_line_begin(dd, run);
	case IN_LINE:
		return step_in_line(dd, run);
	case CR_SEEN:
		return step_cr_seen(dd, run);
	case DOT_SEEN:
		return step_dot_seen(dd, run);
	case DOT_CR_SEEN:
		release_cr(dd, run);
		return true;
	}
	return false;
}

enum smtp_data_result smtp_data_decoder_feed(struct smtp_data_decoder *dd, struct smtp_span input,
					     size_t *taken, struct smtp_span *content)
{
	struct run run = { .in = input };

	while (run.at < input.n && run.given.n == 0) {
		if (dd->state == DOT_CR_SEEN && input.p[run.at] == '\n') {
			*taken = run.at + 1;
			*content = (struct smtp_span){ NULL, 0 };
			return SMTP_DATA_END;
		}
		if (!step(dd, &run))
			break;
	}
	*taken = run.at;
	*content = run.given;
	if (run.at > run.from)
		*content = (struct smtp_span){ input.p + run.from, run.at - run.from };
	return SMTP_DATA_MORE;
}

struct smtp_span smtp_data_decoder_finish(struct smtp_data_decoder *dd)
{
	struct run run = { .in = { NULL, 0 } };
	bool cr_seen = dd->state == CR_SEEN;

	dd->state = IN_LINE;
	if (cr_seen)
		dd->bare_newline = true;
	if (cr_seen && dd->repair) {
		give(dd, &run, crlf + 1, 1);
		end_line(dd);
	}
	if (dd->max_line > 0 && dd->line > dd->max_line)
		dd->line_too_long = true;
	return run.given;
}

/* --- encoder ---------------------------------------------------------------------------------- */

void smtp_data_encoder_init(struct smtp_data_encoder *de)
{
	*de = (struct smtp_data_encoder){ .state = LINE_BEGIN };
}

struct output {
	uint8_t *p;
	size_t n, cap;
};

static bool put(struct output *out, const void *octets, size_t n)
{
	if (out->cap - out->n < n)
		return false;
	memcpy(out->p + out->n, octets, n);
	out->n += n;
	return true;
}

/* A line end becomes CRLF when it is complete; one that is no CRLF counts as repaired. */
static bool put_line_end(struct smtp_data_encoder *de, struct output *out, bool bare)
{
	if (!put(out, crlf, sizeof(crlf)))
		return false;
	de->repaired = de->repaired || bare;
	de->state = LINE_BEGIN;
	return true;
}

/* Text up to the next line end; a CR is held back until it is known what follows it. */
static bool encode_in_line(struct smtp_data_encoder *de, struct smtp_span input, size_t *at,
			   struct output *out)
{
	size_t end = find_newline(input.p, *at, input.n);
	size_t n = end - *at;

	if (n > out->cap - out->n)
		n = out->cap - out->n;
	if (!put(out, input.p + *at, n))
		return false;
	*at += n;
	if (*at < end)
		return false;
	if (end == input.n)
		return true;
	if (input.p[end] == '\r')
		de->state = CR_SEEN;
	else if (!put_line_end(de, out, true))
		return false;
	*at = end + 1;
	return true;
}

static bool encode_step(struct smtp_data_encoder *de, struct smtp_span input, size_t *at,
			struct output *out)
{
	bool crlf_seen;

	switch (de->state) {
	case LINE_BEGIN:
		if (input.p[*at] == '.' && !de->keep_dots) {
			if (!put(out, "..", 2))
				return false;
			++*at;
		}
		de->state = IN_LINE;
		return true;
	case CR_SEEN:
		crlf_seen = input.p[*at] == '\n';
		if (!put_line_end(de, out, !crlf_seen))
			return false;
		*at += crlf_seen;
		return true;
	default:
		return encode_in_line(de, input, at, out);
	}
}

size_t smtp_data_encoder_feed(struct smtp_data_encoder *de, struct smtp_span input, size_t *taken,
			      uint8_t *out, size_t cap)
{
	struct output output = { out, 0, cap };
	size_t at = 0;

	while (at < input.n && encode_step(de, input, &at, &output))
		;
	*taken = at;
	return output.n;
}

size_t smtp_data_encoder_end(struct smtp_data_encoder *de, uint8_t *out, size_t cap)
{
	struct output output = { out, 0, cap };

	if (cap < 8)
		return 0;
	if (de->state != LINE_BEGIN && !put_line_end(de, &output, de->state == CR_SEEN))
		return 0;
	if (de->keep_dots)
		return output.n;
	return put(&output, ".\r\n", 3) ? output.n : 0;
}
