/* SPDX-License-Identifier: ISC */
/* Reads the parts of a message and has them composed. The form of a message is compose.c's matter, the
 * sending send.c's.
 */
#include "smtpc/content.h"
#include "smtpc/compose.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { READ_SIZE = 65536 };

static bool is_stdin(const char *path)
{
	return path && strcmp(path, "-") == 0;
}

int content_check(const struct cli_command *command, const struct content_sources *s)
{
	bool parts = s->text || s->html || s->attachments.count > 0;
	size_t from_stdin = (size_t)is_stdin(s->text) + is_stdin(s->html) + is_stdin(s->raw);

	for (size_t i = 0; i < s->attachments.count; i++)
		if (is_stdin(s->attachments.values[i]))
			return cli_usage_error(command, "--attach -: an attachment needs a file, for "
					       "its name");
	if (s->raw && (parts || s->subject))
		return cli_usage_error(command, "--raw is a whole message: it excludes --subject, "
				       "--text, --html and --attach");
	if (!s->raw && !parts)
		return cli_usage_error(command, "nothing to send: add --text, --html, --attach or "
				       "--raw (a file, or - for standard input)");
	if (from_stdin > 1)
		return cli_usage_error(command, "only one of --text and --html can be standard input");
	if (s->attachments.count > COMPOSE_ATTACHMENTS_MAX)
		return cli_usage_error(command, "more than %d attachments", COMPOSE_ATTACHMENTS_MAX);
	return CLI_DONE;
}

static int read_all(struct smtp_buf *out, int fd, const char *name)
{
	for (;;) {
		int err = smtp_buf_reserve(out, READ_SIZE);
		ssize_t n;

		if (err) {
			cli_error("%s: %s", name, err == SMTP_ETOOLONG ? "more than 128 MiB" :
							  smtp_error_str(err));
			return -1;
		}
		n = read(fd, out->p + out->n, READ_SIZE);
		if (n == 0)
			return 0;
		if (n > 0) {
			out->n += (size_t)n;
		} else if (errno != EINTR) {
			cli_error("%s: %s", name, strerror(errno));
			return -1;
		}
	}
}

static int open_file(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) != 0 || S_ISDIR(st.st_mode)) {
		cli_error("%s: %s", path, strerror(fd < 0 || !S_ISDIR(st.st_mode) ? errno : EISDIR));
		if (fd >= 0)
			(void)close(fd); /* only read */
		return -1;
	}
	return fd;
}

static int read_file(struct smtp_buf *out, const char *path)
{
	int fd, err;

	if (is_stdin(path))
		return read_all(out, STDIN_FILENO, "standard input");
	fd = open_file(path);
	if (fd < 0)
		return -1;
	err = read_all(out, fd, path);
	(void)close(fd); /* only read */
	return err;
}

/* --- a message of parts ---------------------------------------------------------------------- */

/* All that was read for a message. */
struct parts {
	struct smtp_buf text, html;
	struct smtp_buf files[COMPOSE_ATTACHMENTS_MAX];
	struct compose_attachment attachments[COMPOSE_ATTACHMENTS_MAX];
	size_t count;
};

static void parts_free(struct parts *p)
{
	if (!p)
		return;
	smtp_buf_release(&p->text);
	smtp_buf_release(&p->html);
	for (size_t i = 0; i < p->count; i++)
		smtp_buf_release(&p->files[i]);
	free(p);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int parts_read(struct parts *p, const struct content_sources *s)
{
	smtp_buf_init(&p->text, CONTENT_MAX);
	smtp_buf_init(&p->html, CONTENT_MAX);
	if ((s->text && read_file(&p->text, s->text) != 0) ||
	    (s->html && read_file(&p->html, s->html) != 0))
		return -1;
	for (size_t i = 0; i < s->attachments.count; i++) {
		const char *path = s->attachments.values[i];

		smtp_buf_init(&p->files[i], CONTENT_MAX);
		p->count++;
		if (read_file(&p->files[i], path) != 0)
			return -1;
		p->attachments[i].name = base_name(path);
		p->attachments[i].octets = smtp_buf_span(&p->files[i]);
	}
	return 0;
}

static void set_origin(struct compose_message *m)
{
	time_t now = time(NULL);
	struct tm local;

	m->date_s = (int64_t)now;
	if (localtime_r(&now, &local))
		m->utc_offset_min = (int)(local.tm_gmtoff / 60);
	randombytes_buf(m->random, sizeof m->random);
	m->id_domain = m->from->domain;
}

static int compose(struct smtp_buf *out, struct compose_message *m, const struct content_sources *s,
		   const struct parts *p)
{
	const char *problem = NULL;
	int err;

	m->subject = s->subject;
	m->has_text = s->text != NULL;
	m->text = smtp_buf_span(&p->text);
	m->has_html = s->html != NULL;
	m->html = smtp_buf_span(&p->html);
	m->attachments = p->attachments;
	m->attachment_count = p->count;
	set_origin(m);
	err = compose_message(out, m, &problem);
	if (!err)
		return CLI_DONE;
	cli_error("the message: %s", problem ? problem : smtp_error_str(err));
	return err == SMTP_ENOMEM ? CLI_TEMPORARY : CLI_USAGE;
}

int content_make(struct content *out, const struct content_sources *s,
		 const struct smtp_mailbox *from, const struct smtp_mailbox *to, size_t to_count,
		 const struct smtp_mailbox *cc, size_t cc_count)
{
	struct compose_message m = { .from = from, .to = to, .to_count = to_count, .cc = cc,
				     .cc_count = cc_count };
	struct parts *p;
	int status = CLI_USAGE;

	*out = (struct content){ .fd = -1 };
	smtp_buf_init(&out->message, CONTENT_MAX);
	if (s->raw) {
		out->fd = is_stdin(s->raw) ? STDIN_FILENO : open_file(s->raw);
		return out->fd >= 0 ? CLI_DONE : CLI_USAGE;
	}
	p = calloc(1, sizeof *p);
	if (!p) {
		cli_error("%s", smtp_error_str(SMTP_ENOMEM));
		return CLI_TEMPORARY;
	}
	if (sodium_init() >= 0 && parts_read(p, s) == 0)
		status = compose(&out->message, &m, s, p);
	parts_free(p);
	return status;
}

struct smtp_client_content content_source(struct content *content)
{
	if (content->fd >= 0)
		return smtp_client_content_of_fd(&content->file, content->fd);
	return smtp_client_content_of(&content->memory, smtp_buf_span(&content->message));
}

void content_release(struct content *content)
{
	smtp_buf_release(&content->message);
	if (content->fd > STDERR_FILENO)
		(void)close(content->fd); /* only read */
	content->fd = -1;
}
