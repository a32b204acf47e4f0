/* SPDX-License-Identifier: ISC */
/* reply_parser.h - reads replies of a server, one line or many (RFC 5321, 4.2 and 4.2.1). Bounded:
 * SMTP_REPLY_LINES_MAX lines and SMTP_REPLY_OCTETS_MAX octets; what is over is left out of the text.
 */
#ifndef SMTP_CORE_REPLY_PARSER_H
#define SMTP_CORE_REPLY_PARSER_H

#include <smtp/reply.h>
#include "libsmtp/core/line.h"

enum {
	SMTP_REPLY_LINES_MAX = 128,
	SMTP_REPLY_OCTETS_MAX = 16384,
	SMTP_REPLY_LINES_HARD_MAX = 12000 /* after this many the peer is broken: SMTP_EPROTO */
};

struct smtp_reply_parser {
	struct smtp_line line;
	struct smtp_buf text; /* lines so far, divided by LF */
	unsigned code;
	unsigned lines;
	struct smtp_enhanced_code enhanced;
};

void smtp_reply_parser_init(struct smtp_reply_parser *rp);
void smtp_reply_parser_release(struct smtp_reply_parser *rp);
/** Takes octets up to the end of the next reply. Returns 1 with *reply set (it borrows from the
 *  parser until the next call), 0 when more is needed, SMTP_EPROTO for what is no reply, SMTP_ENOMEM.
 *  The enhanced code is taken from the text only when its class fits the code. A bare LF ends a line
 *  too (servers in use send it). */
SMTP_MUST_USE int smtp_reply_parser_feed(struct smtp_reply_parser *rp, struct smtp_span input,
					 size_t *taken, struct smtp_reply *reply);

#endif
