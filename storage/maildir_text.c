/* SPDX-License-Identifier: ISC */
/* See maildir_text.h. Octets pass through three steps: line ends, fields to leave out, output. */
#include "libsmtp/core/span.h"
#include "storage/maildir_text.h"

#include <string.h>

static const char return_path[] = "return-path";

enum { RETURN_PATH = sizeof return_path - 1 };

struct sink {
	uint8_t *p;
	size_t n;
};

static void put(struct sink *out, uint8_t c)
{
	out->p[out->n++] = c;
}

static void release_held(struct maildir_text *t, struct sink *out)
{
	memcpy(out->p + out->n, t->name, t->held);
	out->n += t->held;
	t->held = 0;
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* Does the line so far, with this octet, still look like the name of the field? Blanks before the
 * colon are obsolete syntax that readers take (RFC 5322, 4.5). */
static bool may_be_return_path(const struct maildir_text *t, uint8_t c)
{
	if (t->held == MAILDIR_HELD)
		return false;
	return t->held < RETURN_PATH ? smtp_ascii_lower(c) == return_path[t->held] : is_blank(c);
}

static void first_of_line(struct maildir_text *t, uint8_t c)
{
	t->in_line = true;
	if (c == '\n')
		t->in_body = true;
	if (!is_blank(c))
		t->dropping = false; /* a blank would fold the field before */
}

/* One octet of a header section, line ends already converted. */
static void add_to_header(struct maildir_text *t, uint8_t c, struct sink *out)
{
	bool first = !t->in_line;

	if (first)
		first_of_line(t, c);
	if (!t->dropping && (first || t->held > 0)) {
		if (may_be_return_path(t, c)) {
			t->name[t->held++] = c;
			return;
		}
		if (t->held >= RETURN_PATH && c == ':') {
			t->held = 0;
			t->dropping = true;
		} else {
			release_held(t, out);
		}
	}
	if (c == '\n')
		t->in_line = false;
	if (!t->dropping)
		put(out, c);
}

static void add_octet(struct maildir_text *t, uint8_t c, struct sink *out)
{
	if (t->in_body)
		put(out, c);
	else
		add_to_header(t, c, out);
}

size_t maildir_text_room(size_t n)
{
	return n + MAILDIR_HELD + 1;
}

size_t maildir_text_add(struct maildir_text *text, struct smtp_span piece, uint8_t *out)
{
	struct sink sink = { out, 0 };

	for (size_t i = 0; i < piece.n; i++) {
		uint8_t c = piece.p[i];

		if (text->held_cr && c != '\n')
			add_octet(text, '\r', &sink);
		text->held_cr = c == '\r';
		if (c != '\r')
			add_octet(text, c, &sink);
	}
	return sink.n;
}

size_t maildir_text_end(struct maildir_text *text, uint8_t *out)
{
	struct sink sink = { out, 0 };

	if (text->held_cr)
		add_octet(text, '\r', &sink);
	text->held_cr = false;
	release_held(text, &sink);
	return sink.n;
}
