/* SPDX-License-Identifier: ISC */
/* compose.c - decides what a message consists of and in which order: fields, alternative texts,
 * attachments. How octets are encoded is in mime.c.
 */
#include "smtpc/compose.h"

#include <string.h>

#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"
#include "libsmtp/core/trace.h"
#include "smtpc/mime.h"

enum {
	NAME_MAX_OCTETS = 255, /* of an attachment */
	OFFSET_MAX_MIN = 24 * 60,
	RANDOM_TEXT = 2 * COMPOSE_RANDOM_SIZE
};

/* One message that is being made. */
struct composer {
	struct mime_writer w;
	const struct compose_message *message;
	char random[RANDOM_TEXT + 1]; /* in hexadecimal digits */
};

/* --- checks ---------------------------------------------------------------------------------- */

static int wrong(const char **problem, int err, const char *text)
{
	*problem = text;
	return err;
}

static const struct {
	const char *ending, *type;
} types[] = {
	{ "csv", "text/csv" },
	{ "gif", "image/gif" },
	{ "gz", "application/gzip" },
	{ "htm", "text/html" },
	{ "html", "text/html" },
	{ "ics", "text/calendar" },
	{ "jpeg", "image/jpeg" },
	{ "jpg", "image/jpeg" },
	{ "json", "application/json" },
	{ "log", "text/plain" },
	{ "mp3", "audio/mpeg" },
	{ "mp4", "video/mp4" },
	{ "odt", "application/vnd.oasis.opendocument.text" },
	{ "pdf", "application/pdf" },
	{ "png", "image/png" },
	{ "svg", "image/svg+xml" },
	{ "txt", "text/plain" },
	{ "vcf", "text/vcard" },
	{ "webp", "image/webp" },
	{ "xml", "application/xml" },
	{ "zip", "application/zip" },
};

static const char *type_of_name(struct smtp_span name)
{
	size_t dot = name.n;

	while (dot > 0 && name.p[dot - 1] != '.')
		dot--;
	for (size_t i = 0; dot > 0 && i < sizeof(types) / sizeof(*types); i++)
		if (smtp_span_is_nocase(smtp_span_slice(name, dot, name.n), types[i].ending))
			return types[i].type;
	return "application/octet-stream";
}

/* What stands behind the last slash or backslash, whatever system the name comes from. */
static struct smtp_span base_name(const char *name)
{
	struct smtp_span text = smtp_span_of(name);
	size_t at = text.n;

	while (at > 0 && text.p[at - 1] != '/' && text.p[at - 1] != '\\')
		at--;
	return smtp_span_slice(text, at, text.n);
}

/* token of RFC 2045, 5.1, without what would be of use to nobody in a type */
static bool is_token(struct smtp_span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (!smtp_is(text.p[i], SMTP_CC_LET_DIG) && !memchr("!#$&^_.+-", text.p[i], 9))
			return false;
	return text.n > 0;
}

/* type "/" subtype; not those that have parts of their own, which must not be base64 (5.2, 6.4). */
static bool is_type(const char *type)
{
	struct smtp_span text = smtp_span_of(type);
	const uint8_t *slash = text.n > 0 ? memchr(text.p, '/', text.n) : NULL;
	size_t at = slash ? (size_t)(slash - text.p) : text.n;
	struct smtp_span major = smtp_span_slice(text, 0, at);

	return text.n <= 127 && is_token(major) && is_token(smtp_span_slice(text, at + 1, text.n)) &&
	       !smtp_span_is_nocase(major, "multipart") && !smtp_span_is_nocase(major, "message");
}

static int check_attachment(const struct compose_attachment *a, const char **problem)
{
	if (!a->name || strlen(a->name) > 4096)
		return wrong(problem, SMTP_EINVAL, "an attachment without a usable name");
	if (!smtp_utf8_is_valid(smtp_span_of(a->name)))
		return wrong(problem, SMTP_ESYNTAX, "the name of an attachment is not UTF-8");
	if (base_name(a->name).n > NAME_MAX_OCTETS)
		return wrong(problem, SMTP_EINVAL, "the name of an attachment is too long");
	if (a->type && !is_type(a->type))
		return wrong(problem, SMTP_EINVAL, "the type of an attachment is wrong");
	return 0;
}

/* Read back as it would be: nothing but an ASCII address gets into a field. */
static bool is_address(const struct smtp_mailbox *mailbox)
{
	char text[SMTP_MAILBOX_TEXT_MAX + 1];
	struct smtp_mailbox read;
	size_t n;

	if (!memchr(mailbox->local_part, '\0', sizeof(mailbox->local_part)) ||
	    !memchr(mailbox->domain, '\0', sizeof(mailbox->domain)))
		return false;
	n = smtp_mailbox_format(mailbox, text, sizeof(text));
	return n < sizeof(text) && smtp_mailbox_parse(&read, smtp_span_make(text, n),
						       SMTP_ADDRESS_UTF8) == 0;
}

static bool are_addresses(const struct smtp_mailbox *mailboxes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!is_address(&mailboxes[i]))
			return false;
	return true;
}

static bool is_domain(const char *domain)
{
	struct smtp_span text = smtp_span_of(domain);

	return smtp_domain_is_valid(text) || smtp_address_literal_is_valid(text);
}

static int check_fields(const struct compose_message *m, const char **problem)
{
	struct smtp_span subject = smtp_span_of(m->subject);

	if (!m->from || !are_addresses(m->from, 1) || !are_addresses(m->to, m->to_count) ||
	    !are_addresses(m->cc, m->cc_count))
		return wrong(problem, SMTP_EINVAL, "an address that can't stand in a field");
	if (subject.n > 0 && (memchr(subject.p, '\r', subject.n) || memchr(subject.p, '\n', subject.n)))
		return wrong(problem, SMTP_EINVAL, "a line break in the subject");
	if (!smtp_utf8_is_valid(subject))
		return wrong(problem, SMTP_ESYNTAX, "the subject is not UTF-8");
	if (!is_domain(m->id_domain))
		return wrong(problem, SMTP_EINVAL, "no domain for the Message-ID");
	if (m->utc_offset_min <= -OFFSET_MAX_MIN || m->utc_offset_min >= OFFSET_MAX_MIN)
		return wrong(problem, SMTP_EINVAL, "no such time zone");
	return 0;
}

static int check_parts(const struct compose_message *m, const char **problem)
{
	int err = 0;

	if (!m->has_text && !m->has_html && m->attachment_count == 0)
		return wrong(problem, SMTP_EINVAL, "nothing to send");
	if (m->has_text && !smtp_utf8_is_valid(m->text))
		return wrong(problem, SMTP_ESYNTAX, "the text is not UTF-8");
	if (m->has_html && !smtp_utf8_is_valid(m->html))
		return wrong(problem, SMTP_ESYNTAX, "the HTML text is not UTF-8");
	if (m->attachment_count > COMPOSE_ATTACHMENTS_MAX)
		return wrong(problem, SMTP_ETOOLONG, "too many attachments");
	for (size_t i = 0; i < m->attachment_count && !err; i++)
		err = check_attachment(&m->attachments[i], problem);
	return err;
}

/* --- fields ---------------------------------------------------------------------------------- */

/* "To: a@b.org,<CRLF> c@d.org": an address a line, so that no line gets long. */
static void put_addresses(struct composer *c, const char *name, const struct smtp_mailbox *mailboxes,
			  size_t count)
{
	char text[SMTP_MAILBOX_TEXT_MAX + 1];

	if (count == 0)
		return;
	mime_put(&c->w, name);
	mime_put(&c->w, ": ");
	for (size_t i = 0; i < count; i++) {
		size_t n = smtp_mailbox_format(&mailboxes[i], text, sizeof(text));

		mime_put(&c->w, i > 0 ? ",\r\n " : "");
		mime_put_span(&c->w, smtp_span_make(text, n));
	}
	mime_put(&c->w, "\r\n");
}

/* The date of RFC 5322, 3.3: local time, and how far it is from UTC. */
static void put_date(struct composer *c)
{
	int offset = c->message->utc_offset_min;
	unsigned minutes = (unsigned)(offset < 0 ? -offset : offset);
	unsigned digits = minutes / 60 * 100 + minutes % 60;
	char date[SMTP_DATE_MAX];
	size_t n = smtp_date_format(c->message->date_s + (int64_t)offset * 60, date);

	date[n - 5] = offset < 0 ? '-' : '+';
	for (size_t i = 1; i <= 4; i++, digits /= 10)
		date[n - i] = (char)('0' + digits % 10);
	mime_put(&c->w, "Date: ");
	mime_put_span(&c->w, smtp_span_make(date, n));
	mime_put(&c->w, "\r\n");
}

static void put_message_id(struct composer *c)
{
	mime_put(&c->w, "Message-ID: <");
	mime_put(&c->w, c->random);
	mime_put(&c->w, "@");
	mime_put(&c->w, c->message->id_domain);
	mime_put(&c->w, ">\r\n");
}

static void put_fields(struct composer *c)
{
	const struct compose_message *m = c->message;

	put_date(c);
	put_addresses(c, "From", m->from, 1);
	put_addresses(c, "To", m->to, m->to_count);
	put_addresses(c, "Cc", m->cc, m->cc_count);
	if (m->subject)
		mime_unstructured_field(&c->w, "Subject", smtp_span_of(m->subject));
	put_message_id(c);
	mime_put(&c->w, "MIME-Version: 1.0\r\n");
}

/* --- parts ----------------------------------------------------------------------------------- */

/* "=_" can stand in no encoded body, and the rest can't be foreseen. `level` tells nested ones apart. */
static void put_boundary(struct composer *c, const char *level)
{
	mime_put(&c->w, "=_");
	mime_put(&c->w, level);
	mime_put(&c->w, c->random);
}

static void put_multipart(struct composer *c, const char *subtype, const char *level)
{
	mime_put(&c->w, "Content-Type: multipart/");
	mime_put(&c->w, subtype);
	mime_put(&c->w, ";\r\n boundary=\"");
	put_boundary(c, level);
	mime_put(&c->w, "\"\r\n");
}

/* The line end before it is its own (RFC 2046, 5.1.1), the part keeps all of its line ends. */
static void put_delimiter(struct composer *c, const char *level, bool last)
{
	mime_put(&c->w, "\r\n--");
	put_boundary(c, level);
	mime_put(&c->w, last ? "--\r\n" : "\r\n");
}

static void put_text(struct composer *c, const char *subtype, struct smtp_span text)
{
	enum mime_encoding encoding = mime_choose(text);

	mime_put(&c->w, "Content-Type: text/");
	mime_put(&c->w, subtype);
	mime_put(&c->w, "; charset=utf-8\r\nContent-Transfer-Encoding: ");
	mime_put(&c->w, mime_encoding_name(encoding));
	mime_put(&c->w, "\r\n\r\n");
	mime_text_body(&c->w, text, encoding);
}

/* The better form comes last (RFC 2046, 5.1.4). */
static void put_texts(struct composer *c)
{
	const struct compose_message *m = c->message;

	if (m->has_text && m->has_html) {
		put_multipart(c, "alternative", "a");
		put_delimiter(c, "a", false);
		put_text(c, "plain", m->text);
		put_delimiter(c, "a", false);
		put_text(c, "html", m->html);
		put_delimiter(c, "a", true);
	} else if (m->has_text) {
		put_text(c, "plain", m->text);
	} else if (m->has_html) {
		put_text(c, "html", m->html);
	}
}

/* Without control octets, which no file system of a receiver should be handed. */
static void put_filename(struct composer *c, const char *name)
{
	struct smtp_span from = base_name(name);
	uint8_t kept[NAME_MAX_OCTETS];
	size_t n = 0;

	for (size_t i = 0; i < from.n && n < sizeof(kept); i++)
		if (!smtp_is(from.p[i], SMTP_CC_CONTROL))
			kept[n++] = from.p[i];
	mime_parameter(&c->w, "filename",
		       n > 0 ? smtp_span_make(kept, n) : smtp_span_of("attachment"));
}

static void put_attachment(struct composer *c, const struct compose_attachment *a)
{
	mime_put(&c->w, "Content-Type: ");
	mime_put(&c->w, a->type ? a->type : type_of_name(base_name(a->name)));
	mime_put(&c->w, "\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment");
	put_filename(c, a->name);
	mime_put(&c->w, "\r\n\r\n");
	mime_base64_body(&c->w, a->octets);
}

static void put_parts(struct composer *c)
{
	const struct compose_message *m = c->message;

	if (m->attachment_count == 0) {
		put_texts(c);
		return;
	}
	put_multipart(c, "mixed", "m");
	if (m->has_text || m->has_html) {
		put_delimiter(c, "m", false);
		put_texts(c);
	}
	for (size_t i = 0; i < m->attachment_count; i++) {
		put_delimiter(c, "m", false);
		put_attachment(c, &m->attachments[i]);
	}
	put_delimiter(c, "m", true);
}

static void make_random_text(struct composer *c)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < COMPOSE_RANDOM_SIZE; i++) {
		c->random[2 * i] = digits[c->message->random[i] >> 4];
		c->random[2 * i + 1] = digits[c->message->random[i] & 15];
	}
	c->random[RANDOM_TEXT] = '\0';
}

int compose_message(struct smtp_buf *out, const struct compose_message *message,
		    const char **problem)
{
	struct composer c = { .w = { .buf = out }, .message = message };
	size_t begin = out->n;
	int err = check_fields(message, problem);

	if (!err)
		err = check_parts(message, problem);
	if (err)
		return err;
	make_random_text(&c);
	put_fields(&c);
	put_parts(&c);
	if (c.w.err) {
		out->n = begin;
		*problem = c.w.err == SMTP_ETOOLONG ? "the message gets too large" : "out of memory";
	}
	return c.w.err;
}
