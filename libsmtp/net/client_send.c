/* SPDX-License-Identifier: ISC */
/* client_send.c - messages of the blocking client: content is looked through when it can be read twice,
 * then sent, in several transactions if the server takes few recipients at once.
 */
#include "libsmtp/core/data.h"
#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"
#include "libsmtp/net/client_private.h"
#include "libsmtp/core/sized.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PART_SIZE = 16384 };

/* --- content from a descriptor ---------------------------------------------------------------- */

static int fd_read(void *user, uint8_t *out, size_t cap, size_t *n)
{
	const struct smtp_fd_content *state = user;
	ssize_t got;

	do {
		got = read(state->fd, out, cap);
	} while (got < 0 && errno == EINTR);
	*n = got > 0 ? (size_t)got : 0;
	return got < 0 ? SMTP_EIO : 0;
}

static int fd_rewind(void *user)
{
	const struct smtp_fd_content *state = user;

	return lseek(state->fd, (off_t)state->begin, SEEK_SET) < 0 ? SMTP_EIO : 0;
}

struct smtp_client_content smtp_client_content_of_fd(struct smtp_fd_content *state, int fd)
{
	*state = (struct smtp_fd_content){ .fd = fd, .begin = lseek(fd, 0, SEEK_CUR) };
	return (struct smtp_client_content){ fd_read, state, state->begin < 0 ? NULL : fd_rewind };
}

/* --- looked through --------------------------------------------------------------------------- */

/* What one pass over the content finds out. */
struct finding {
	uint64_t octets; /* as sent, without the dots */
	bool has_8bit;
	bool has_bare_newline;
};

/* Goes through the encoder that mends line ends, so that what is counted is what is sent. */
static void look_at(struct finding *f, struct smtp_data_encoder *encoder, struct smtp_span part)
{
	uint8_t out[PART_SIZE];

	f->has_8bit = f->has_8bit || smtp_span_has(part, SMTP_CC_UTF8);
	while (part.n > 0) {
		size_t taken = 0;

		f->octets += smtp_data_encoder_feed(encoder, part, &taken, out, sizeof out);
		part = smtp_span_slice(part, taken, part.n);
	}
}

static int look_through(struct finding *f, const struct smtp_client_content *content)
{
	struct smtp_data_encoder encoder;
	uint8_t part[PART_SIZE], end[8];
	size_t n = 0;
	int err;

	*f = (struct finding){ .octets = 0 };
	smtp_data_encoder_init(&encoder);
	encoder.keep_dots = true;
	do {
		err = content->read(content->user, part, sizeof part, &n);
		if (err < 0 || n > sizeof part)
			return err < 0 ? err : SMTP_EINVAL;
		look_at(f, &encoder, smtp_span_make(part, n));
	} while (n > 0);
	f->octets += smtp_data_encoder_end(&encoder, end, sizeof end);
	f->has_bare_newline = encoder.repaired;
	return content->rewind(content->user) == 0 ? 0 : SMTP_EIO;
}

/* SIZE and BODY unless they are told. */
static int find_out(struct smtp_client_transaction *txn)
{
	struct finding f;
	int err;

	if (!txn->content.rewind || !txn->content.read || txn->body == SMTP_BODY_BINARYMIME)
		return 0;
	err = look_through(&f, &txn->content);
	if (err)
		return err;
	if (txn->refuse_bare_newlines && f.has_bare_newline)
		return SMTP_ESYNTAX;
	if (txn->content_bytes == 0)
		txn->content_bytes = f.octets;
	if (txn->body == SMTP_BODY_7BIT && f.has_8bit)
		txn->body = SMTP_BODY_8BITMIME;
	return 0;
}

/* --- progress --------------------------------------------------------------------------------- */

/* Stands between the session and the content of the caller. */
struct counted {
	const struct smtp_client_options *options;
	struct smtp_client_content content;
	uint64_t octets;
};

static int counted_read(void *user, uint8_t *out, size_t cap, size_t *n)
{
	struct counted *counted = user;
	int err = counted->content.read(counted->content.user, out, cap, n);

	if (err < 0)
		return err;
	counted->octets += *n;
	counted->options->progress(counted->octets, counted->options->progress_user);
	return err;
}

static int counted_rewind(void *user)
{
	struct counted *counted = user;

	counted->octets = 0;
	return counted->content.rewind(counted->content.user);
}

static void count(struct counted *counted, const struct smtp_client *c,
		  struct smtp_client_transaction *txn)
{
	*counted = (struct counted){ .options = &c->options, .content = txn->content };
	if (c->options.progress && txn->content.read)
		txn->content = (struct smtp_client_content){
			counted_read, counted, txn->content.rewind ? counted_rewind : NULL };
}

/* --- sending ---------------------------------------------------------------------------------- */

static int send_once(struct smtp_client *c, const struct smtp_client_transaction *txn,
		     struct smtp_client_result *results, bool *settled)
{
	int err = smtp_client_session_mail(smtp_client_conn_session(c->conn), txn);

	if (err)
		return smtp_client_refuse(c, err, "message");
	c->results = results;
	c->settled = settled;
	c->result_count = txn->forward_path_count;
	err = smtp_client_run(c, CLIENT_CALL_SEND);
	c->results = NULL;
	c->settled = NULL;
	c->result_count = 0;
	return err;
}

/* RCPTMAX of RFC 9422: the next recipients get the message in the next transaction. */
static int send_parts(struct smtp_client *c, struct smtp_client_transaction *txn,
		      struct smtp_client_result *results, bool *settled)
{
	size_t count = txn->forward_path_count, at = 0;
	uint64_t most = c->extensions.rcpt_max;
	int err = 0;

	if (most == 0 || most >= count || !txn->content.rewind)
		return send_once(c, txn, results, settled);
	while (at < count && !err) {
		size_t n = count - at < most ? count - at : (size_t)most;

		txn->forward_path_count = n;
		err = c->conn ? send_once(c, txn, results + at, settled + at) :
				smtp_client_refuse(c, SMTP_ECLOSED, "message");
		at += n;
		txn->forward_paths += n;
		txn->recipients = txn->recipients ? txn->recipients + n : NULL;
		if (!err && at < count && txn->content.rewind(txn->content.user) != 0)
			err = smtp_client_refuse(c, SMTP_EIO, "message");
	}
	return err;
}

static int copy_transaction(struct smtp_client_transaction *out,
			    const struct smtp_client_transaction *in)
{
	smtp_client_transaction_init(out);
	if (smtp_sized_copy(out, sizeof *out, in, offsetof(struct smtp_client_transaction, body)) != 0)
		return SMTP_EINVAL;
	return out->forward_path_count > 0 && out->forward_paths ? 0 : SMTP_EINVAL;
}

int smtp_client_send(struct smtp_client *c, const struct smtp_client_transaction *txn,
		     struct smtp_client_result *results)
{
	struct smtp_client_transaction all;
	struct counted counted;
	bool *settled;
	int err = smtp_client_begin(c);

	if (err)
		return err;
	err = txn && results ? copy_transaction(&all, txn) : SMTP_EINVAL;
	if (!err)
		err = find_out(&all);
	if (err)
		return smtp_client_refuse(c, err, "message");
	settled = calloc(all.forward_path_count, sizeof *settled);
	if (!settled)
		return smtp_client_refuse(c, SMTP_ENOMEM, "message");
	memset(results, 0, all.forward_path_count * sizeof *results);
	count(&counted, c, &all);
	err = send_parts(c, &all, results, settled);
	free(settled);
	return err;
}

/* --- from texts -------------------------------------------------------------------------------- */

static int read_sender(struct smtp_path *out, const char *from)
{
	*out = (struct smtp_path){ .mailbox = { .local_part = "" } };
	if (from[0] == '\0' || strcmp(from, "<>") == 0)
		return 0;
	return smtp_mailbox_parse(&out->mailbox, smtp_span_of(from), SMTP_ADDRESS_UTF8);
}

int smtp_client_send_text(struct smtp_client *c, const char *from, const char *const *to,
			  size_t to_count, const char *message, struct smtp_client_result *results)
{
	struct smtp_client_transaction txn = SMTP_CLIENT_TRANSACTION_INIT;
	struct smtp_memory_content content;
	struct smtp_path sender, *paths;
	int err = smtp_client_begin(c);

	if (err)
		return err;
	if (!from || !to || to_count == 0 || !message)
		return smtp_client_refuse(c, SMTP_EINVAL, "message");
	paths = calloc(to_count, sizeof *paths);
	err = paths ? read_sender(&sender, from) : SMTP_ENOMEM;
	for (size_t i = 0; i < to_count && !err; i++)
		err = smtp_mailbox_parse(&paths[i].mailbox, smtp_span_of(to[i]), SMTP_ADDRESS_UTF8);
	if (err)
		(void)smtp_client_refuse(c, err, "addresses");
	txn.reverse_path = &sender;
	txn.forward_paths = paths;
	txn.forward_path_count = to_count;
	txn.content = smtp_client_content_of(&content, smtp_span_of(message));
	if (!err)
		err = smtp_client_send(c, &txn, results);
	free(paths);
	return err;
}
