/* SPDX-License-Identifier: ISC */
/* address.c - mailboxes, paths, domains and address literals (RFC 5321, 4.1.2 and 4.1.3; RFC 6531).
 * Syntax only: whether a mailbox or a host exists is not asked here.
 */
#include <smtp/address.h>

#include <string.h>

#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

enum { LABEL_MAX = 63, IPV4_PARTS = 4, IPV6_GROUPS = 8 };

/* --- Domain = sub-domain *("." sub-domain); sub-domain = Let-dig [Ldh-str] -------------------- */

static int read_label(struct smtp_reader *rd, unsigned let_dig)
{
	struct smtp_span label = smtp_rd_while(rd, let_dig | SMTP_CC_HYPHEN);

	if (label.n == 0 || label.p[0] == '-' || label.p[label.n - 1] == '-')
		return SMTP_ESYNTAX;
	return label.n > LABEL_MAX ? SMTP_ETOOLONG : 0;
}

/* The longest domain at the head; *domain is set when 0 is returned. */
static int read_domain(struct smtp_reader *rd, unsigned flags, struct smtp_span *domain)
{
	unsigned let_dig = SMTP_CC_LET_DIG | (flags & SMTP_ADDRESS_UTF8 ? SMTP_CC_UTF8 : 0);
	struct smtp_span start = rd->rest;
	int err;

	do {
		err = read_label(rd, let_dig);
	} while (!err && smtp_rd_char(rd, '.'));
	if (err)
		return err;
	*domain = (struct smtp_span){ start.p, start.n - rd->rest.n };
	if (!smtp_utf8_is_valid(*domain))
		return SMTP_ESYNTAX;
	return domain->n > SMTP_DOMAIN_MAX ? SMTP_ETOOLONG : 0;
}

bool smtp_domain_is_valid(struct smtp_span text)
{
	struct smtp_reader rd;
	struct smtp_span domain;

	smtp_reader_init(&rd, text);
	return read_domain(&rd, 0, &domain) == 0 && smtp_rd_end(&rd);
}

/* --- address-literal = "[" ( IPv4-address-literal / IPv6-address-literal ) "]" ---------------- */

/* Snum, without the leading zeros that some take for octal. */
static bool read_snum(struct smtp_reader *rd)
{
	struct smtp_span digits = smtp_rd_while(rd, SMTP_CC_DIGIT);
	uint64_t value;

	if (digits.n > 1 && digits.p[0] == '0')
		return false;
	return smtp_span_uint(digits, &value) == 0 && value <= UINT8_MAX;
}

static bool is_ipv4(struct smtp_span text)
{
	struct smtp_reader rd;

	smtp_reader_init(&rd, text);
	for (int i = 0; i < IPV4_PARTS; i++)
		if ((i > 0 && !smtp_rd_char(&rd, '.')) || !read_snum(&rd))
			return false;
	return smtp_rd_end(&rd);
}

/* What stands on one side of "::", or the whole without one: groups divided by ":"; the last may
 * be IPv4 and counts two. Returns the number of groups, -1 for a fault. */
static int count_groups(struct smtp_span text, bool ipv4_may_end)
{
	struct smtp_reader rd;
	int groups = 0;

	if (text.n == 0)
		return 0;
	smtp_reader_init(&rd, text);
	do {
		struct smtp_span tail = rd.rest;
		struct smtp_span group = smtp_rd_while(&rd, SMTP_CC_HEX);

		if (ipv4_may_end && is_ipv4(tail))
			return groups + 2;
		if (group.n == 0 || group.n > 4)
			return -1;
		groups++;
	} while (smtp_rd_char(&rd, ':'));
	return smtp_rd_end(&rd) ? groups : -1;
}

/* IPv6-full / IPv6-comp / IPv6v4-full / IPv6v4-comp; "::" stands for one group at least. */
static bool is_ipv6(struct smtp_span text)
{
	int before, behind;

	for (size_t i = 0; i + 1 < text.n; i++) {
		if (text.p[i] != ':' || text.p[i + 1] != ':')
			continue;
		before = count_groups(smtp_span_slice(text, 0, i), false);
		behind = count_groups(smtp_span_slice(text, i + 2, SIZE_MAX), true);
		return before >= 0 && behind >= 0 && before + behind < IPV6_GROUPS;
	}
	return count_groups(text, true) == IPV6_GROUPS;
}

bool smtp_address_literal_is_valid(struct smtp_span text)
{
	struct smtp_reader rd;

	if (text.n < 2 || text.p[0] != '[' || text.p[text.n - 1] != ']')
		return false;
	smtp_reader_init(&rd, smtp_span_slice(text, 1, text.n - 2));
	return smtp_rd_literal(&rd, "IPv6:") ? is_ipv6(rd.rest) : is_ipv4(rd.rest);
}

static int read_address_literal(struct smtp_reader *rd, struct smtp_span *literal)
{
	const uint8_t *close = memchr(rd->rest.p, ']', rd->rest.n);

	if (!close)
		return SMTP_ESYNTAX;
	*literal = smtp_span_slice(rd->rest, 0, (size_t)(close - rd->rest.p) + 1);
	if (!smtp_address_literal_is_valid(*literal))
		return SMTP_ESYNTAX;
	rd->rest = smtp_span_slice(rd->rest, literal->n, SIZE_MAX);
	return 0;
}

/* --- Local-part = Dot-string / Quoted-string -------------------------------------------------- */

static int append_local(struct smtp_mailbox *out, size_t *n, struct smtp_span run)
{
	if (run.n > SMTP_LOCAL_PART_MAX - *n)
		return SMTP_ETOOLONG;
	if (run.n > 0)
		memcpy(out->local_part + *n, run.p, run.n);
	*n += run.n;
	return 0;
}

/* Dot-string = Atom *("." Atom) */
static int read_dot_string(struct smtp_reader *rd, unsigned utf8, struct smtp_span *out)
{
	struct smtp_span start = rd->rest;

	do {
		if (smtp_rd_while(rd, SMTP_CC_ATEXT | utf8).n == 0)
			return SMTP_ESYNTAX;
	} while (smtp_rd_char(rd, '.'));
	*out = (struct smtp_span){ start.p, start.n - rd->rest.n };
	return 0;
}

/* quoted-pairSMTP = "\" %d32-126: the octet behind the backslash */
static int read_quoted_pair(struct smtp_reader *rd, struct smtp_span *out)
{
	*out = smtp_span_slice(rd->rest, 0, 1);
	if (smtp_rd_end(rd) || smtp_is(out->p[0], SMTP_CC_CONTROL | SMTP_CC_UTF8))
		return SMTP_ESYNTAX;
	smtp_rd_next(rd);
	return 0;
}

/* Behind the opening quote. Quoted-string = DQUOTE *( qtextSMTP / quoted-pairSMTP ) DQUOTE */
static int read_quoted_string(struct smtp_reader *rd, unsigned utf8, struct smtp_mailbox *out,
			      size_t *n)
{
	while (!smtp_rd_char(rd, '"')) {
		struct smtp_span run = smtp_rd_while(rd, SMTP_CC_QTEXT | utf8);
		int err = 0;

		if (run.n == 0)
			err = smtp_rd_char(rd, '\\') ? read_quoted_pair(rd, &run) : SMTP_ESYNTAX;
		if (!err)
			err = append_local(out, n, run);
		if (err)
			return err;
	}
	return 0;
}

static int read_local_part(struct smtp_reader *rd, unsigned flags, struct smtp_mailbox *out)
{
	unsigned utf8 = flags & SMTP_ADDRESS_UTF8 ? SMTP_CC_UTF8 : 0;
	struct smtp_span run;
	size_t n = 0;
	int err;

	if (smtp_rd_char(rd, '"')) {
		err = read_quoted_string(rd, utf8, out, &n);
	} else {
		err = read_dot_string(rd, utf8, &run);
		if (!err)
			err = append_local(out, &n, run);
	}
	if (err)
		return err;
	out->local_part[n] = '\0';
	return smtp_utf8_is_valid(smtp_span_of(out->local_part)) ? 0 : SMTP_ESYNTAX;
}

/* --- Mailbox = Local-part "@" ( Domain / address-literal ) ------------------------------------ */

static int read_mailbox(struct smtp_reader *rd, unsigned flags, struct smtp_mailbox *out)
{
	struct smtp_span domain;
	int err = read_local_part(rd, flags, out);

	if (err)
		return err;
	if (!smtp_rd_char(rd, '@'))
		return SMTP_ESYNTAX;
	err = smtp_rd_peek(rd) == '[' ? read_address_literal(rd, &domain)
				      : read_domain(rd, flags, &domain);
	return err ? err : smtp_span_copy(domain, out->domain, sizeof(out->domain));
}

int smtp_mailbox_parse(struct smtp_mailbox *out, struct smtp_span text, unsigned flags)
{
	struct smtp_reader rd;
	struct smtp_mailbox mailbox = { 0 };
	int err;

	smtp_reader_init(&rd, text);
	err = read_mailbox(&rd, flags, &mailbox);
	if (err)
		return err;
	if (!smtp_rd_end(&rd))
		return SMTP_ESYNTAX;
	*out = mailbox;
	return 0;
}

/* A-d-l ":" with A-d-l = At-domain *( "," At-domain ): checked, then ignored (RFC 5321, F.2). */
static int skip_source_route(struct smtp_reader *rd, unsigned flags)
{
	struct smtp_span domain;
	int err;

	if (smtp_rd_peek(rd) != '@')
		return 0;
	do {
		if (!smtp_rd_char(rd, '@'))
			return SMTP_ESYNTAX;
		err = read_domain(rd, flags, &domain);
		if (err)
			return err;
	} while (smtp_rd_char(rd, ','));
	return smtp_rd_char(rd, ':') ? 0 : SMTP_ESYNTAX;
}

/* Path = "<" [ A-d-l ":" ] Mailbox ">", or "<>", or "<Postmaster>" */
static int read_path(struct smtp_reader *rd, unsigned flags, struct smtp_path *path)
{
	int err;

	if (!smtp_rd_char(rd, '<'))
		return SMTP_ESYNTAX;
	if (smtp_rd_char(rd, '>'))
		return 0;
	if (smtp_rd_literal(rd, "postmaster>")) {
		memcpy(path->mailbox.local_part, "postmaster", sizeof("postmaster"));
		return 0;
	}
	err = skip_source_route(rd, flags);
	if (!err)
		err = read_mailbox(rd, flags, &path->mailbox);
	if (err)
		return err;
	return smtp_rd_char(rd, '>') ? 0 : SMTP_ESYNTAX;
}

int smtp_path_parse(struct smtp_path *out, struct smtp_span text, unsigned flags, size_t *used)
{
	struct smtp_reader rd;
	struct smtp_path path = { 0 };
	int err;

	smtp_reader_init(&rd, text);
	err = read_path(&rd, flags, &path);
	if (err)
		return err;
	*out = path;
	*used = text.n - rd.rest.n;
	return 0;
}

bool smtp_path_is_null(const struct smtp_path *path)
{
	return path->mailbox.local_part[0] == '\0' && path->mailbox.domain[0] == '\0';
}

bool smtp_path_is_bare_postmaster(const struct smtp_path *path)
{
	return path->mailbox.domain[0] == '\0' &&
	       smtp_span_is(smtp_span_of(path->mailbox.local_part), "postmaster");
}

/* --- text ------------------------------------------------------------------------------------- */

static bool is_dot_string(struct smtp_span text)
{
	struct smtp_reader rd;
	struct smtp_span run;

	smtp_reader_init(&rd, text);
	return read_dot_string(&rd, SMTP_CC_UTF8, &run) == 0 && smtp_rd_end(&rd);
}

/* Into `out` of at least 2 * n + 2 octets. */
static size_t format_local_part(struct smtp_span local, char *out)
{
	size_t n = 0;

	if (is_dot_string(local)) {
		memcpy(out, local.p, local.n);
		return local.n;
	}
	out[n++] = '"';
	for (size_t i = 0; i < local.n; i++) {
		if (local.p[i] == '"' || local.p[i] == '\\')
			out[n++] = '\\';
		out[n++] = (char)local.p[i];
	}
	out[n++] = '"';
	return n;
}

size_t smtp_mailbox_format(const struct smtp_mailbox *mailbox, char *out, size_t cap)
{
	char text[SMTP_MAILBOX_TEXT_MAX];
	struct smtp_span domain = smtp_span_of(mailbox->domain);
	size_t n = 0;

	if (mailbox->local_part[0] != '\0' || domain.n > 0)
		n = format_local_part(smtp_span_of(mailbox->local_part), text);
	if (domain.n > 0) {
		text[n++] = '@';
		memcpy(text + n, domain.p, domain.n);
		n += domain.n;
	}
	if (n < cap)
		memcpy(out, text, n);
	if (cap > 0)
		out[n < cap ? n : 0] = '\0';
	return n;
}

bool smtp_mailbox_equal(const struct smtp_mailbox *a, const struct smtp_mailbox *b)
{
	return smtp_span_is(smtp_span_of(a->local_part), b->local_part) &&
	       smtp_span_is_nocase(smtp_span_of(a->domain), b->domain);
}
