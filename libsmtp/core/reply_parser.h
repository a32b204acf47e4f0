/* SPDX-License-Identifier: ISC */
/* reply_parser.h - reads replies of a server, one line or many (RFC 5321, 4.2 and 4.2.1). Bounded:
 * SMTP_REPLY_LINES_MAX lines and SMTP_REPLY_OCTETS_MAX octets; what is over is left out of the text.
 */
#ifndef SMTP_CORE_REPLY_PARSER_H
#define SMTP_CORE_REPLY_PARSER_H

#include <smtp/reply.h>
#include "libsmtp/core/buf.h"

enum {
	SMTP_REPLY_LINES_MAX = 128,
	SMTP_REPLY_OCTETS_MAX = 16384,
	/* After so much in one reply the peer is broken: SMTP_EPROTO. */
	SMTP_REPLY_LINES_HARD_MAX = 12000,
	SMTP_REPLY_OCTETS_HARD_MAX = 4 << 20
};

struct smtp_reply_parser {
	struct smtp_buf text; /* lines so far, divided by LF */
	uint8_t column;       /* octets of code and separator read in this line, at most 4 */
	bool last;            /* this line is the last one of the reply */
	bool given;           /* a reply was handed out; the next call begins a new one */
	unsigned line_code;   /* digits of this line so far */
	unsigned code;
	size_t line_start;    /* of this line in text */
	size_t octets;
	unsigned lines;
	struct smtp_enhanced_code enhanced;
};

void smtp_reply_parser_init(struct smtp_reply_parser *rp);
void smtp_reply_parser_release(struct smtp_reply_parser *rp);
/** Takes octets up to the end of the next reply. Returns 1 with *reply set (it borrows from the
 *  parser until the next call), 0 when more is needed, SMTP_EPROTO for what is no reply, SMTP_ENOMEM.
 *  The enhanced code is taken from the text only when its class fits the code. A bare LF ends a line
 *  too (servers in use send it). The text has been made safe (smtp_text_make_safe()); a line end in it
 *  is only ever the LF that divides lines. After an error the parser is of no further use. */
SMTP_MUST_USE int smtp_reply_parser_feed(struct smtp_reply_parser *rp, struct smtp_span input,
					 size_t *taken, struct smtp_reply *reply);

#endif
