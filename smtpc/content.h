/* SPDX-License-Identifier: ISC */
/* content.h - what smtpc send sends: a message made of files and standard input, which are read whole,
 * bounded; or one that is taken as it is, and read while it is sent.
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
/** The content: in memory, or a descriptor. Release it in any case. */
struct content {
	struct smtp_buf message;
	int fd; /* -1: in memory */
	struct smtp_memory_content memory;
	struct smtp_fd_content file;
};
/** Opens or makes the content. 0, or an exit status after saying what is wrong. */
int content_make(struct content *out, const struct content_sources *sources,
		 const struct smtp_mailbox *from, const struct smtp_mailbox *to, size_t to_count,
		 const struct smtp_mailbox *cc, size_t cc_count);
void content_release(struct content *content);
/** For the client; `content` must outlive its use. */
struct smtp_client_content content_source(struct content *content);

#endif
