/* SPDX-License-Identifier: ISC */
/* trace.c - writes the Received field and dates. Takes the time as an argument and knows no time
 * zone but UTC; which field goes where is decided by whoever stores content.
 */
#include "libsmtp/core/trace.h"

#include <string.h>

#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

/* --- date-time of RFC 5322, 3.3 --------------------------------------------------------------- */

enum { DAY_S = 86400 };

static const int64_t last_second = INT64_C(253402300799); /* of the year 9999 */

struct date {
	unsigned year, month, day; /* month and day from 1 */
};

/* Counts in years that begin in March, so that the leap day is the last one; 400 years have 146097
 * days. `days` are since 1970-01-01. */
static struct date date_of(unsigned days)
{
	unsigned since = days + 719468; /* 0000-03-01 */
	unsigned era = since / 146097;
	unsigned of_era = since % 146097;
	unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
	unsigned month = (5 * of_year + 2) / 153;
	struct date date = { .day = of_year - (153 * month + 2) / 5 + 1 };

	date.month = month < 10 ? month + 3 : month - 9;
	date.year = year + era * 400 + (date.month <= 2);
	return date;
}

static char *put_text(char *out, const char *text, size_t n)
{
	memcpy(out, text, n);
	return out + n;
}

/* `digits` decimal digits with leading zeros, then `end`. */
static char *put_digits(char *out, unsigned number, unsigned digits, char end)
{
	for (unsigned i = digits; i > 0; i--, number /= 10)
		out[i - 1] = (char)('0' + number % 10);
	out[digits] = end;
	return out + digits + 1;
}

size_t smtp_date_format(int64_t time_s, char out[SMTP_DATE_MAX])
{
	static const char weekdays[] = "Thu, Fri, Sat, Sun, Mon, Tue, Wed, ";
	static const char months[] = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec ";
	static const char zone[] = "+0000";
	int64_t time = time_s < 0 ? 0 : time_s > last_second ? last_second : time_s;
	unsigned days = (unsigned)(time / DAY_S), second = (unsigned)(time % DAY_S);
	struct date date = date_of(days);
	char *p = put_text(out, weekdays + (size_t)5 * (days % 7), 5);

	p = put_digits(p, date.day, 2, ' ');
	p = put_text(p, months + (size_t)4 * (date.month - 1), 4);
	p = put_digits(p, date.year, 4, ' ');
	p = put_digits(p, second / 3600, 2, ':');
	p = put_digits(p, second / 60 % 60, 2, ':');
	p = put_digits(p, second % 60, 2, ' ');
	p = put_text(p, zone, sizeof(zone));
	return (size_t)(p - out) - 1;
}

/* --- Received --------------------------------------------------------------------------------- */

/* Text in its place: what is neither of the classes nor of `others` becomes '?', so that it can end
 * neither an atom, a comment, nor a line. */
static int put_safe(struct smtp_buf *out, const char *text, unsigned mask, const char *others,
		    size_t max)
{
	struct smtp_span safe = smtp_span_slice(smtp_span_of(text), 0, max);
	int err = smtp_buf_reserve(out, safe.n);

	if (err)
		return err;
	for (size_t i = 0; i < safe.n; i++) {
		bool harmless = smtp_is(safe.p[i], mask) || strchr(others, safe.p[i]);

		out->p[out->n++] = harmless ? safe.p[i] : (uint8_t)'?';
	}
	return 0;
}

/* A name: of a host, an address, a protocol, a queue id. */
static int put_name(struct smtp_buf *out, const char *before, const char *name, const char *behind)
{
	int err = smtp_buf_append_text(out, before);

	if (!err)
		err = put_safe(out, name, SMTP_CC_LET_DIG, "-._:[]", SMTP_DOMAIN_MAX);
	return err ? err : smtp_buf_append_text(out, behind);
}

/* "from" Extended-Domain; TCP-info = address-literal / ( Domain FWS address-literal ) */
static int put_from(struct smtp_buf *out, const struct smtp_received *received)
{
	const char *peer = received->peer_address;
	int err = put_name(out, " from ", received->helo_name, "");

	if (!err && peer)
		err = smtp_buf_append_text(out, " (");
	if (!err && peer && received->peer_name && received->peer_name[0] != '\0')
		err = put_name(out, "", received->peer_name, " ");
	if (!err && peer)
		err = put_name(out, strchr(peer, ':') ? "[IPv6:" : "[", peer, "])");
	return err ? err : smtp_buf_append_text(out, "\r\n\t");
}

static int put_tls(struct smtp_buf *out, const char *tls)
{
	int err = smtp_buf_append_text(out, "\r\n\t(");

	if (!err)
		err = put_safe(out, tls, SMTP_CC_LET_DIG, "-._:,/=+ ", SMTP_DOMAIN_MAX);
	return err ? err : smtp_buf_append_text(out, ")");
}

static int put_for(struct smtp_buf *out, const struct smtp_mailbox *mailbox)
{
	char text[SMTP_MAILBOX_TEXT_MAX + 1];
	size_t n = smtp_mailbox_format(mailbox, text, sizeof(text));
	int err;

	smtp_text_make_safe((uint8_t *)text, n);
	err = smtp_buf_append_text(out, "\r\n\tfor <");
	if (!err)
		err = smtp_buf_append(out, text, n);
	return err ? err : smtp_buf_append_text(out, ">");
}

/* Time-stamp-line = "Received:" FWS Stamp CRLF;
 * Stamp = From-domain By-domain Opt-info [CFWS] ";" FWS date-time    (RFC 5321, 4.4) */
static int put_received(struct smtp_buf *out, const struct smtp_received *received)
{
	char date[SMTP_DATE_MAX];
	int err = smtp_buf_append_text(out, "Received:");

	if (!err && received->helo_name && received->helo_name[0] != '\0')
		err = put_from(out, received);
	else if (!err)
		err = smtp_buf_append_text(out, " ");
	if (!err)
		err = put_name(out, "by ", received->by_hostname, "");
	if (!err)
		err = put_name(out, " with ", received->protocol, "");
	if (!err)
		err = put_name(out, " id ", received->id, "");
	if (!err && received->tls)
		err = put_tls(out, received->tls);
	if (!err && received->for_mailbox)
		err = put_for(out, received->for_mailbox);
	if (err)
		return err;
	smtp_date_format(received->time_s, date);
	err = smtp_buf_append_text(out, ";\r\n\t");
	if (!err)
		err = smtp_buf_append_text(out, date);
	return err ? err : smtp_buf_append_text(out, "\r\n");
}

int smtp_received_format(struct smtp_buf *out, const struct smtp_received *received)
{
	size_t start = out->n;
	int err = put_received(out, received);

	if (err)
		out->n = start;
	return err;
}
