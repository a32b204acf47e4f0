/* SPDX-License-Identifier: ISC */
/* reply.h - replies as values: code, enhanced code, text (RFC 5321, 4.2; RFC 3463; RFC 2034).
 * A reply borrows its text; whoever hands one out says how long that lives.
 */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include <smtp/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	SMTP_REPLY_LINE_MAX = 512 /* octets with CRLF, of each line that we send (4.5.3.1.5) */
};

/** class.subject.detail of RFC 3463; all zero: there is none. */
struct smtp_enhanced_code {
	uint8_t class_; /* 2, 4 or 5 */
	uint16_t subject;
	uint16_t detail;
};

/** One reply. Lines of `text` are divided by LF; there is no LF at the end. */
struct smtp_reply {
	unsigned code; /* 200 to 599; 0: no reply */
	struct smtp_enhanced_code enhanced;
	struct smtp_span text; /* without code and enhanced code */
};

/** Makes a reply of literal parts: smtp_reply_of(550, "5.1.1", "no such user"). `enhanced` may be
 *  NULL; an ill-formed one counts as none. Borrows `text`. */
SMTP_API struct smtp_reply smtp_reply_of(unsigned code, const char *enhanced, const char *text);

/** The first digit as a question: 2yz, 4yz, 5yz (3yz is neither). */
SMTP_API bool smtp_reply_is_positive(const struct smtp_reply *reply);
SMTP_API bool smtp_reply_is_transient(const struct smtp_reply *reply);
SMTP_API bool smtp_reply_is_permanent(const struct smtp_reply *reply);

/** Reads "5.1.1" at the head of `text`; *used receives its length (0 and SMTP_ESYNTAX if none). */
SMTP_API SMTP_MUST_USE int smtp_enhanced_code_parse(struct smtp_enhanced_code *out,
						    struct smtp_span text, size_t *used);

/** Writes the reply as wire text, each line at most SMTP_REPLY_LINE_MAX octets with CRLF: a longer
 *  one is wrapped, at a blank where there is one. Control octets in `text` and what is no UTF-8 become
 *  '?', a tab a blank. The enhanced code stands in each line; it is left out without `with_enhanced`
 *  and when its class does not fit the code. Returns the length, or 0 when it does not fit into `cap`
 *  (4096 suffices for a text of 3000 octets in few lines) or the code is not in 200 to 599. */
SMTP_API size_t smtp_reply_format(const struct smtp_reply *reply, bool with_enhanced, char *out,
				  size_t cap);

#ifdef __cplusplus
}
#endif
#endif
