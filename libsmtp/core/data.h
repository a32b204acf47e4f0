/* SPDX-License-Identifier: ISC */
/* data.h - content, both ways (RFC 5321, 4.5.2): the decoder finds <CRLF>.<CRLF> and takes stuffed
 * dots away, the encoder puts them in. Streams: memory does not grow with content. Only a true
 * CRLF.CRLF ever ends content, also when bare newlines are repaired. Content in chunks (RFC 3030) has
 * no dots and no end of its own, and meets the same rules on line ends.
 */
#ifndef SMTP_CORE_DATA_H
#define SMTP_CORE_DATA_H

#include <smtp/base.h>

struct smtp_data_decoder {
	uint8_t state;      /* automaton; 0 is the begin of a line */
	bool repair;        /* a bare CR or LF is made CRLF; a dot behind it counts as stuffed */
	bool chunked;       /* dots mean nothing, and the end is told by finish() */
	bool bare_newline;  /* a CR or LF stood alone: unless repaired, content has to be refused */
	bool line_too_long; /* a line over max_line octets, its CRLF not counted */
	uint32_t max_line;  /* 0: no limit */
	uint64_t line;      /* octets of the current line */
	uint64_t octets;    /* content so far: unstuffed, CRLF counts two */
};

enum smtp_data_result {
	SMTP_DATA_MORE,  /* a run of content was given, or nothing; feed on */
	SMTP_DATA_END    /* the end of data was taken; what is behind it was left */
};

void smtp_data_decoder_init(struct smtp_data_decoder *dd, uint32_t max_line, bool repair);
/** Takes a part of `input`: *taken octets. *content is a run to pass on: it borrows from `input` or
 *  from static memory, and may be empty. Call until *taken covers the input or the end came. The
 *  content passed on ends with CRLF, the one before the dot, or is empty. Nothing is passed on
 *  together with SMTP_DATA_END. Runs at memchr speed. */
enum smtp_data_result smtp_data_decoder_feed(struct smtp_data_decoder *dd, struct smtp_span input,
					     size_t *taken, struct smtp_span *content);

/** For content that comes in chunks: feed() then never says END; a CRLF may lie in two chunks. */
void smtp_data_decoder_init_chunked(struct smtp_data_decoder *dd, uint32_t max_line, bool repair);
/** The last chunk has been fed: judges a CR at its end, and a last line without an end. Returns what is
 *  still to be passed on, from static memory. Again: nothing more. */
struct smtp_span smtp_data_decoder_finish(struct smtp_data_decoder *dd);

struct smtp_data_encoder {
	uint8_t state;
	bool keep_dots; /* for BDAT: line ends are mended, dots stay, and no dot ends it */
	bool repaired; /* a bare CR or LF was made CRLF */
};

void smtp_data_encoder_init(struct smtp_data_encoder *de);
/** Writes at most `cap` octets of encoded content and takes at most all of `input`: doubles a dot at
 *  the begin of a line; makes a bare CR or LF a CRLF. Returns octets written; *taken tells the rest.
 *  With a cap of at least 2 each call makes progress. */
size_t smtp_data_encoder_feed(struct smtp_data_encoder *de, struct smtp_span input, size_t *taken,
			      uint8_t *out, size_t cap);
/** Writes what ends the data: CRLF first unless the content ended with one, then .CRLF. cap >= 8;
 *  returns octets written. */
size_t smtp_data_encoder_end(struct smtp_data_encoder *de, uint8_t *out, size_t cap);

#endif
