/* SPDX-License-Identifier: ISC */
/* content.h - what smtpc send sends: files and standard input read whole, bounded; a message made of them
 * or taken as it is.
 */
#ifndef SMTPC_CONTENT_H
#define SMTPC_CONTENT_H

#include <smtp/client.h>
#include "cli/command.h"
#include "libsmtp/core/buf.h"

enum { CONTENT_MAX = 128 << 20 };

/** Where the content comes from; "-" is standard input. */
struct content_sources {
	const char *subject;
	const char *text;
	const char *html;
	struct cli_list attachments;
	const char *raw;
};

/** Is there any content at all, and nothing that excludes another? Else says so: CLI_USAGE. */
int content_check(const struct cli_command *command, const struct content_sources *sources);
/** Reads or makes the content. 0, or an exit status after saying what is wrong. */
int content_make(struct smtp_buf *out, const struct content_sources *sources,
		 const struct smtp_mailbox *from, const struct smtp_mailbox *to, size_t to_count,
		 const struct smtp_mailbox *cc, size_t cc_count);
/** Appends a whole file; 0 or -1 after saying what is wrong. */
int content_read_file(struct smtp_buf *out, const char *path);

#endif
