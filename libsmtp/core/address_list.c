/* SPDX-License-Identifier: ISC */
/* address_list.c - reads address fields of a header section, forward only, in constant memory. Which
 * octets an address may be made of is left to smtp_mailbox_parse(); here it is cut out.
 */
#include "libsmtp/core/address_list.h"

#include <string.h>

#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

struct list {
	struct smtp_reader rd;
	struct smtp_mailbox *out;
	size_t count, max;
	bool has_fold_in_quotes;
};

/** Octets that are taken together from several runs. One too many is kept in mind, not refused: a
 *  display name may be longer than any address. */
struct gathered {
	char text[SMTP_DOMAIN_MAX + 1];
	size_t n;
	bool is_too_long, has_fold_in_quotes;
};

static void gather(struct gathered *g, struct smtp_span run)
{
	if (run.n > SMTP_DOMAIN_MAX - g->n)
		g->is_too_long = true;
	else if (run.n > 0)
		memcpy(g->text + g->n, run.p, run.n);
	if (!g->is_too_long)
		g->n += run.n;
	g->text[g->n] = '\0';
}

/* --- CFWS = (1*([FWS] comment) [FWS]) / FWS --------------------------------------------------- */

/* FWS = [*WSP CRLF] 1*WSP, or nothing. A line of blanks only (obs-FWS) ends the header section for
 * some readers, so it is refused. */
static int skip_fold(struct smtp_reader *rd)
{
	(void)smtp_rd_while(rd, SMTP_CC_BLANK);
	if (!smtp_rd_literal(rd, "\r\n"))
		return 0;
	if (smtp_rd_while(rd, SMTP_CC_BLANK).n == 0 || smtp_rd_end(rd) || smtp_rd_peek(rd) == '\r')
		return SMTP_ESYNTAX;
	return 0;
}

/* quoted-pair = "\" (VCHAR / WSP); ASCII only */
static int read_quoted_pair(struct smtp_reader *rd, struct smtp_span *out)
{
	*out = smtp_span_slice(rd->rest, 0, 1);
	if (smtp_rd_end(rd) || (smtp_is(out->p[0], SMTP_CC_CONTROL | SMTP_CC_UTF8) &&
				out->p[0] != '\t'))
		return SMTP_ESYNTAX;
	(void)smtp_rd_next(rd);
	return 0;
}

/* What stands in a comment between its parentheses: one octet, blank or pair. A fold ends the comment for
 * some readers (Python's email.utils is one), and what follows is an address to them: refused. */
static int skip_ccontent(struct smtp_reader *rd)
{
	struct smtp_span pair;
	int c = smtp_rd_peek(rd);

	if (c < 0 || (smtp_is((uint8_t)c, SMTP_CC_CONTROL) && c != '\t'))
		return SMTP_ESYNTAX;
	(void)smtp_rd_next(rd);
	return c == '\\' ? read_quoted_pair(rd, &pair) : 0;
}

/* comment = "(" *([FWS] (ctext / quoted-pair / comment)) [FWS] ")" */
static int skip_comment(struct smtp_reader *rd)
{
	unsigned depth = 0;
	int err = 0;

	do {
		if (smtp_rd_char(rd, '('))
			err = ++depth > SMTP_COMMENT_DEPTH_MAX ? SMTP_ETOOLONG : 0;
		else if (smtp_rd_char(rd, ')'))
			depth--;
		else
			err = skip_ccontent(rd);
	} while (err == 0 && depth > 0);
	return err;
}

static int skip_cfws(struct smtp_reader *rd)
{
	int err = skip_fold(rd);

	while (err == 0 && smtp_rd_peek(rd) == '(') {
		err = skip_comment(rd);
		if (err == 0)
			err = skip_fold(rd);
	}
	return err;
}

/* --- Words ------------------------------------------------------------------------------------ */

/* The blanks behind a line end in a quoted string. */
static int read_fold(struct smtp_reader *rd, struct smtp_span *blanks)
{
	struct smtp_span begin = rd->rest;
	int err = skip_fold(rd);

	if (err != 0 || begin.n == rd->rest.n)
		return SMTP_ESYNTAX;
	*blanks = smtp_span_slice(begin, 2, begin.n - rd->rest.n - 2);
	return 0;
}

/* Behind the opening quote: *([FWS] (qtext / quoted-pair)) [FWS] DQUOTE. A fold is not part of it, the
 * blanks behind it are. */
static int read_quoted_string(struct smtp_reader *rd, struct gathered *out)
{
	while (!smtp_rd_char(rd, '"')) {
		struct smtp_span run = smtp_rd_while(rd, SMTP_CC_QTEXT | SMTP_CC_BLANK |
								 SMTP_CC_UTF8);
		int err = 0;

		if (run.n == 0 && smtp_rd_peek(rd) == '\r') {
			err = read_fold(rd, &run);
			out->has_fold_in_quotes = true;
		} else if (run.n == 0) {
			err = smtp_rd_char(rd, '\\') ? read_quoted_pair(rd, &run) : SMTP_ESYNTAX;
		}
		if (err != 0)
			return err;
		gather(out, run);
	}
	return 0;
}

static int read_atom(struct smtp_reader *rd, struct gathered *out)
{
	struct smtp_span atom = smtp_rd_while(rd, SMTP_CC_ATEXT | SMTP_CC_UTF8);

	gather(out, atom);
	return atom.n > 0 ? 0 : SMTP_ESYNTAX;
}

/** The words at the head of an address, which are a display name or a local part: what follows tells. */
struct words {
	struct gathered text; /* as a local part */
	bool begins_with_word, ends_with_word;
	bool is_local_part; /* one dot between any two words */
};

/* The next word or dot; at anything else *end is set. */
static int read_word_or_dot(struct smtp_reader *rd, struct words *w, bool *end)
{
	bool is_dot = smtp_rd_char(rd, '.');
	int c = smtp_rd_peek(rd);

	*end = !is_dot && c != '"' &&
	       (c < 0 || !smtp_is((uint8_t)c, SMTP_CC_ATEXT | SMTP_CC_UTF8));
	if (*end)
		return 0;
	w->is_local_part &= is_dot == w->ends_with_word;
	w->ends_with_word = !is_dot;
	if (is_dot)
		gather(&w->text, smtp_span_of("."));
	else if (!smtp_rd_char(rd, '"'))
		return read_atom(rd, &w->text);
	return is_dot ? 0 : read_quoted_string(rd, &w->text);
}

/* word = atom / quoted-string; obs-phrase = word *(word / "." / CFWS);
 * obs-local-part = word *("." word) */
static int read_words(struct smtp_reader *rd, struct words *w)
{
	bool end = false;
	int err;

	memset(w, 0, sizeof *w);
	w->is_local_part = true;
	w->begins_with_word = smtp_rd_peek(rd) != '.';
	do {
		err = read_word_or_dot(rd, w, &end);
		if (err == 0 && !end)
			err = skip_cfws(rd);
	} while (err == 0 && !end);
	w->begins_with_word &= w->ends_with_word || w->text.n > 0;
	w->is_local_part &= w->ends_with_word;
	return err;
}

static int read_list_words(struct list *l, struct words *w)
{
	int err = read_words(&l->rd, w);

	l->has_fold_in_quotes |= w->text.has_fold_in_quotes;
	return err;
}

/* --- addr-spec = local-part "@" domain -------------------------------------------------------- */

/* domain-literal, without the blanks that RFC 5322 lets stand in it */
static int read_literal(struct smtp_reader *rd, struct gathered *out)
{
	struct smtp_span text = smtp_rd_while(rd, SMTP_CC_DCONTENT);

	if (!smtp_rd_char(rd, ']'))
		return SMTP_ESYNTAX;
	gather(out, smtp_span_of("["));
	gather(out, text);
	gather(out, smtp_span_of("]"));
	return skip_cfws(rd);
}

/* obs-domain = atom *("." atom), or a domain-literal; CFWS around each is skipped */
static int read_domain(struct smtp_reader *rd, struct gathered *out)
{
	int err = skip_cfws(rd);

	if (err == 0 && smtp_rd_char(rd, '['))
		return read_literal(rd, out);
	while (err == 0) {
		err = read_atom(rd, out);
		if (err == 0)
			err = skip_cfws(rd);
		if (err != 0 || !smtp_rd_char(rd, '.'))
			break;
		gather(out, smtp_span_of("."));
		err = skip_cfws(rd);
	}
	return err;
}

/* An encoded word has no place in an address (RFC 2047, 5): some would show what it decodes to. And
 * between quotes there may stand what looks like another address to who searches for one. */
static bool looks_like_another(const char *local_part)
{
	return strstr(local_part, "=?") != NULL || strpbrk(local_part, "@<>") != NULL;
}

/* Both parts go through the one parser of mailboxes, which knows what may be in them. */
static int check_mailbox(const struct gathered *local_part, const struct gathered *domain,
			 struct smtp_mailbox *out)
{
	char text[SMTP_MAILBOX_TEXT_MAX + 1];
	struct smtp_mailbox m = { .domain = "" };

	if (local_part->is_too_long || local_part->n > SMTP_LOCAL_PART_MAX || domain->is_too_long)
		return SMTP_ETOOLONG;
	if (looks_like_another(local_part->text))
		return SMTP_ESYNTAX;
	memcpy(m.local_part, local_part->text, local_part->n + 1);
	memcpy(m.domain, domain->text, domain->n + 1);
	(void)smtp_mailbox_format(&m, text, sizeof text);
	return smtp_mailbox_parse(out, smtp_span_of(text), SMTP_ADDRESS_UTF8);
}

/* Behind the "@". */
static int read_mailbox_domain(struct list *l, const struct words *local_part)
{
	struct gathered domain = { .n = 0 };
	int err;

	if (!local_part->is_local_part)
		return SMTP_ESYNTAX;
	err = read_domain(&l->rd, &domain);
	if (err != 0)
		return err;
	if (l->count == l->max)
		return SMTP_ETOOLONG;
	err = check_mailbox(&local_part->text, &domain, &l->out[l->count]);
	if (err == 0)
		l->count++;
	return err;
}

/* --- angle-addr = [CFWS] "<" addr-spec ">" [CFWS] --------------------------------------------- */

/* Behind the "<". An obsolete route, "@a.org,@b.org:", is none of it: readers differ in what they make of
 * that, and nobody writes it any more. */
static int read_angle_addr(struct list *l)
{
	struct words local_part;
	int err = skip_cfws(&l->rd);

	if (err == 0)
		err = read_list_words(l, &local_part);
	if (err == 0)
		err = smtp_rd_char(&l->rd, '@') ? read_mailbox_domain(l, &local_part) : SMTP_ESYNTAX;
	if (err == 0)
		err = smtp_rd_char(&l->rd, '>') ? skip_cfws(&l->rd) : SMTP_ESYNTAX;
	return err;
}

/* --- address-list = address *("," address); address = mailbox / group ------------------------- */

static int read_addresses(struct list *l, bool groups_allowed);

/* Behind the ":". group = display-name ":" [mailbox-list / CFWS] ";" [CFWS] */
static int read_group(struct list *l)
{
	int err = skip_cfws(&l->rd);

	if (err == 0 && smtp_rd_peek(&l->rd) != ';')
		err = read_addresses(l, false);
	if (err == 0)
		err = smtp_rd_char(&l->rd, ';') ? skip_cfws(&l->rd) : SMTP_ESYNTAX;
	return err;
}

static int read_address(struct list *l, bool groups_allowed)
{
	struct words words;
	int err = skip_cfws(&l->rd);

	if (err == 0 && smtp_rd_char(&l->rd, '<'))
		return read_angle_addr(l);
	if (err == 0)
		err = read_list_words(l, &words);
	if (err != 0)
		return err;
	if (smtp_rd_char(&l->rd, '@'))
		return read_mailbox_domain(l, &words);
	if (words.begins_with_word && smtp_rd_char(&l->rd, '<'))
		return read_angle_addr(l);
	if (words.begins_with_word && groups_allowed && smtp_rd_char(&l->rd, ':'))
		return read_group(l);
	return SMTP_ESYNTAX;
}

static int read_addresses(struct list *l, bool groups_allowed)
{
	int err;

	do {
		err = read_address(l, groups_allowed);
	} while (err == 0 && smtp_rd_char(&l->rd, ','));
	return err;
}

/* More "@" than addresses: the others stand in comments or between quotes. */
static bool has_other_at(struct smtp_span value, size_t addresses)
{
	size_t i, n = 0;

	for (i = 0; i < value.n; i++)
		n += value.p[i] == '@';
	return n > addresses;
}

/* Between quotes a fold is harmless to all but those to whom it ends the quoted string: they take what is
 * quoted from there on for plain, and the other way round. */
static bool is_ambiguous(const struct list *l, struct smtp_span value)
{
	return l->has_fold_in_quotes && has_other_at(value, l->count);
}

int smtp_address_list_parse(struct smtp_span value, struct smtp_mailbox *out, size_t max,
			    size_t *count)
{
	struct list l = { .out = out, .count = 0, .max = max };
	int err;

	smtp_reader_init(&l.rd, value);
	if (!smtp_utf8_is_valid(value))
		return SMTP_ESYNTAX;
	err = read_addresses(&l, true);
	if (err == 0 && (!smtp_rd_end(&l.rd) || is_ambiguous(&l, value)))
		err = SMTP_ESYNTAX;
	if (err == 0)
		*count = l.count;
	return err;
}
