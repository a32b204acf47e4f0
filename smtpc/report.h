/* SPDX-License-Identifier: ISC */
/* report.h - prints replies, for people as the server gave them, for programs as JSON. */
#ifndef SMTPC_REPORT_H
#define SMTPC_REPORT_H

#include <smtp/reply.h>
#include "cli/output.h"

enum { ENHANCED_TEXT_MAX = 24 };

/** "5.1.1", or "" when there is none. */
const char *enhanced_text(const struct smtp_enhanced_code *code, char out[ENHANCED_TEXT_MAX]);
/** One line for each of the reply: "250-first", "250 last". */
void report_reply(FILE *out, const struct smtp_reply *reply);
/** "550 5.1.1 no such user", lines joined by blanks. */
void report_reply_line(FILE *out, const struct smtp_reply *reply);
/** Members "code", "enhanced" and "lines" of the object at hand; null and none for no reply. */
void report_reply_json(struct cli_json *json, const struct smtp_reply *reply);

#endif
