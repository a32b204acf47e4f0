/* SPDX-License-Identifier: ISC */
/* command.h - cuts the line of a client into verb and argument, and the arguments of MAIL and RCPT
 * into path and parameters (RFC 5321, 4.1.1 and 4.1.2). Pure syntax: no state, no policy.
 */
#ifndef SMTP_CORE_COMMAND_H
#define SMTP_CORE_COMMAND_H

#include <smtp/address.h>
#include <smtp/base.h>

enum {
	SMTP_COMMAND_LINE_MAX = 512,          /* with CRLF (4.5.3.1.4) */
	SMTP_COMMAND_LINE_MAX_EXTENDED = 2048, /* with the parameters of extensions */
	SMTP_AUTH_LINE_MAX = 12288,            /* RFC 4954, 4 */
	SMTP_PARAMS_MAX = 16                   /* parameters of one command */
};

struct smtp_command {
	struct smtp_span verb;     /* as sent; compare without case */
	struct smtp_span argument; /* without the blanks around it; may be empty */
};

/** Parses one line without its CRLF. SMTP_ESYNTAX (answer 500): no verb of letters, or a bare CR or
 *  LF anywhere in the line. SMTP_EINVAL (answer 501): *out is set, but its argument holds another
 *  control octet. Trailing blanks are dropped. */
SMTP_MUST_USE int smtp_command_parse(struct smtp_command *out, struct smtp_span line);

/** One ESMTP parameter, keyword[=value]. */
struct smtp_param {
	struct smtp_span keyword;
	struct smtp_span value; /* p is NULL when there was no '=' */
};

struct smtp_params {
	struct smtp_param items[SMTP_PARAMS_MAX];
	size_t count;
};

/** Parses "KEYWORD=value KEYWORD ..." (whole span, empty is fine). SMTP_ESYNTAX: grammar, an empty
 *  value, or a keyword twice; SMTP_ETOOLONG: too many. `utf8`: values may hold it (RFC 6531, 3.3).
 *  Borrows `text`. */
SMTP_MUST_USE int smtp_params_parse(struct smtp_params *out, struct smtp_span text, bool utf8);
/** The parameter of that keyword, in any case; NULL: there is none. */
const struct smtp_param *smtp_params_find(const struct smtp_params *params, const char *keyword);

/** Parses the argument of MAIL or RCPT: "FROM:<path> params". `prefix` is "FROM:" or "TO:" and
 *  matches in any case; one blank behind the colon is tolerated. SMTP_EPROTO: the prefix is not
 *  there; SMTP_ESYNTAX, SMTP_ETOOLONG: the path; params are parsed by smtp_params_parse() from *rest. */
SMTP_MUST_USE int smtp_path_argument_parse(struct smtp_path *out, struct smtp_span argument,
					   const char *prefix, unsigned flags,
					   struct smtp_span *rest);

#endif
