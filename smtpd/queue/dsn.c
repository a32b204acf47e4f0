/* SPDX-License-Identifier: ISC */
/* dsn.c - the text of a report (RFC 3464; RFC 6522, 3). Texts that came from peers are reduced to
 * printable ASCII here and folded at blanks: none can begin a line or a part of its own.
 */
#include "smtpd/queue/dsn.h"

#include <stdio.h>
#include <string.h>

#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"
#include "libsmtp/core/trace.h"
#include "smtpd/queue/outcome.h"

enum { FOLD_AT = 72 };

bool dsn_is_8bit(const struct dsn *dsn)
{
	return smtp_span_has(dsn->headers, SMTP_CC_UTF8);
}

/* ---- small writers: the first error stays ---- */

struct writer {
	struct smtp_buf *out;
	int error;
};

static void put(struct writer *w, const char *text)
{
	if (w->error == 0)
		w->error = smtp_buf_append_text(w->out, text);
}

static void put_octet(struct writer *w, char c)
{
	if (w->error == 0)
		w->error = smtp_buf_append(w->out, &c, 1);
}

static void put_safe(struct writer *w, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put_octet(w, text[i] >= ' ' && text[i] < 127 ? text[i] : '?');
}

static void put_date(struct writer *w, int64_t time_ms)
{
	char date[SMTP_DATE_MAX];

	(void)smtp_date_format(time_ms / 1000, date);
	put(w, date);
}

/* How much of the text goes on this line: up to a blank, or all when there is none. */
static size_t line_length(const char *text, size_t room)
{
	size_t n = strlen(text), at = room;

	if (n <= room)
		return n;
	while (at > 0 && text[at] != ' ')
		at--;
	if (at > 0)
		return at;
	for (at = room; text[at] && text[at] != ' '; at++)
		;
	return at;
}

/* A text over as many lines as it needs; `begin` stands at the head of each but the first. */
static void put_folded(struct writer *w, const char *begin, const char *text, size_t column)
{
	while (*text) {
		size_t room = column < FOLD_AT - 10 ? FOLD_AT - column : 10;
		size_t n = line_length(text, room);

		put_safe(w, text, n);
		for (text += n; *text == ' '; text++)
			;
		put(w, "\r\n");
		if (*text)
			put(w, begin);
		column = strlen(begin);
	}
}

static void put_field(struct writer *w, const char *name, const char *type, const char *value)
{
	put(w, name);
	put(w, ": ");
	put(w, type);
	put_folded(w, "  ", value, strlen(name) + 2 + strlen(type));
}

static void put_date_field(struct writer *w, const char *name, int64_t time_ms)
{
	put(w, name);
	put(w, ": ");
	put_date(w, time_ms);
	put(w, "\r\n");
}

/* ---- parts ---- */

static void put_header(struct writer *w, const struct dsn *dsn, const char *boundary)
{
	put(w, "From: Mail delivery <postmaster@");
	put_safe(w, dsn->from_domain, strlen(dsn->from_domain));
	put(w, ">\r\nTo: <");
	put_safe(w, dsn->to, strlen(dsn->to));
	put(w, dsn->action == DSN_FAILED ? ">\r\nSubject: Your message could not be delivered\r\n" :
					   ">\r\nSubject: Your message is delayed\r\n");
	put_date_field(w, "Date", dsn->now_ms);
	put(w, "Message-ID: <");
	put(w, dsn->id);
	put(w, "@");
	put_safe(w, dsn->hostname, strlen(dsn->hostname));
	put(w, ">\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
	       "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"");
	put(w, boundary);
	put(w, "\"\r\n");
	if (dsn_is_8bit(dsn))
		put(w, "Content-Transfer-Encoding: 8bit\r\n");
	put(w, "\r\n");
}

static void put_boundary(struct writer *w, const char *boundary, const char *end)
{
	put(w, "\r\n--");
	put(w, boundary);
	put(w, end);
	put(w, "\r\n");
}

static void put_text_recipient(struct writer *w, const struct dsn_recipient *r)
{
	put(w, "\r\n<");
	put_safe(w, r->original, strlen(r->original));
	put(w, ">\r\n");
	if (r->host[0]) {
		bool said = outcome_text_is_reply(r->diagnostic);

		put(w, said ? "    The server " : "    Trouble with the server ");
		put_safe(w, r->host, strlen(r->host));
		put(w, said ? " said:\r\n" : ":\r\n");
	}
	if (r->diagnostic[0]) {
		put(w, "    ");
		put_folded(w, "    ", r->diagnostic, 4);
	}
}

static void put_text(struct writer *w, const struct dsn *dsn)
{
	put(w, "Content-Type: text/plain; charset=us-ascii\r\n\r\nThis is the mail server ");
	put_safe(w, dsn->hostname, strlen(dsn->hostname));
	put(w, ".\r\n\r\n");
	if (dsn->action == DSN_FAILED) {
		put(w, "Your message could not be delivered to the addresses below, and will not be\r\n"
		       "tried again. What went wrong stands behind each address.\r\n");
	} else {
		put(w, "Your message could not be delivered yet to the addresses below. There is\r\n"
		       "nothing you have to do: it will be tried again until\r\n");
		put_date(w, dsn->until_ms);
		put(w, ".\r\n");
	}
	for (size_t i = 0; i < dsn->recipient_count; i++)
		put_text_recipient(w, &dsn->recipients[i]);
	put(w, "\r\nThe header of your message is attached.\r\n");
}

static void put_status_recipient(struct writer *w, const struct dsn *dsn, const struct dsn_recipient *r)
{
	bool said = outcome_text_is_reply(r->diagnostic);

	put(w, "\r\n");
	put_field(w, "Original-Recipient", "rfc822; ", r->original);
	put_field(w, "Final-Recipient", "rfc822; ", r->address);
	put_field(w, "Action", "", dsn->action == DSN_FAILED ? "failed" : "delayed");
	put_field(w, "Status", "", r->status);
	if (r->host[0])
		put_field(w, "Remote-MTA", "dns; ", r->host);
	if (r->diagnostic[0])
		put_field(w, "Diagnostic-Code", said ? "smtp; " : "x-smtpd; ", r->diagnostic);
	if (r->last_attempt_ms > 0)
		put_date_field(w, "Last-Attempt-Date", r->last_attempt_ms);
	if (dsn->action == DSN_DELAYED)
		put_date_field(w, "Will-Retry-Until", dsn->until_ms);
}

static void put_status(struct writer *w, const struct dsn *dsn)
{
	put(w, "Content-Type: message/delivery-status\r\n\r\n");
	put_field(w, "Reporting-MTA", "dns; ", dsn->hostname);
	put_field(w, "X-Queue-ID", "", dsn->message_id);
	put_date_field(w, "Arrival-Date", dsn->arrival_ms);
	for (size_t i = 0; i < dsn->recipient_count; i++)
		put_status_recipient(w, dsn, &dsn->recipients[i]);
}

static void put_original(struct writer *w, const struct dsn *dsn)
{
	put(w, "Content-Type: text/rfc822-headers\r\n");
	if (dsn_is_8bit(dsn))
		put(w, "Content-Transfer-Encoding: 8bit\r\n");
	put(w, "\r\n");
	if (w->error == 0)
		w->error = smtp_buf_append_span(w->out, dsn->headers);
}

int dsn_compose(struct smtp_buf *out, const struct dsn *dsn)
{
	struct writer w = { out, 0 };
	char boundary[64];

	(void)snprintf(boundary, sizeof boundary, "report-%016llx", (unsigned long long)dsn->boundary);
	put_header(&w, dsn, boundary);
	put(&w, "This is a report on mail in parts as of RFC 6522.\r\n");
	put_boundary(&w, boundary, "");
	put_text(&w, dsn);
	put_boundary(&w, boundary, "");
	put_status(&w, dsn);
	put_boundary(&w, boundary, "");
	put_original(&w, dsn);
	put_boundary(&w, boundary, "--");
	return w.error;
}
