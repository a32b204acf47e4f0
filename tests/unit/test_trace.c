/* SPDX-License-Identifier: ISC */
/* Dates against the C library's, and the Received field with names that want out of their place. */
#include "libsmtp/core/trace.h"
#include "libsmtp/core/header.h"
#include "libsmtp/core/span.h"

#include <time.h>

#include "tests/unit/testing.h"

static const struct {
	int64_t time_s;
	const char *text;
} dates[] = {
	{ 0, "Thu, 01 Jan 1970 00:00:00 +0000" },
	{ 86399, "Thu, 01 Jan 1970 23:59:59 +0000" },
	{ 951782400, "Tue, 29 Feb 2000 00:00:00 +0000" },
	{ 1795176000, "Fri, 20 Nov 2026 12:00:00 +0000" },
	{ 4107542400, "Mon, 01 Mar 2100 00:00:00 +0000" },
	{ INT64_C(253402300799), "Fri, 31 Dec 9999 23:59:59 +0000" },
	{ INT64_MAX, "Fri, 31 Dec 9999 23:59:59 +0000" },
	{ -1, "Thu, 01 Jan 1970 00:00:00 +0000" },
	{ INT64_MIN, "Thu, 01 Jan 1970 00:00:00 +0000" },
};

START_TEST(date_rows)
{
	char out[SMTP_DATE_MAX];

	ck_assert_uint_eq(smtp_date_format(dates[_i].time_s, out), strlen(dates[_i].text));
	ck_assert_str_eq(out, dates[_i].text);
}
END_TEST

/* Each day of 400 years, at a time that moves on. */
START_TEST(every_day)
{
	for (int64_t time_s = 0; time_s < INT64_C(400) * 366 * 86400; time_s += 86399) {
		char out[SMTP_DATE_MAX], want[64];
		time_t t = (time_t)time_s;
		struct tm tm;

		gmtime_r(&t, &tm);
		strftime(want, sizeof(want), "%a, %d %b %Y %H:%M:%S +0000", &tm);
		smtp_date_format(time_s, out);
		if (strcmp(out, want) != 0)
			ck_abort_msg("%s, not %s", out, want);
	}
}
END_TEST

static const struct smtp_mailbox bob = { "bob", "x.org" };
static const struct smtp_mailbox odd = { "a>b; \"x", "x.org" };

#define TAIL ";\r\n\tFri, 20 Nov 2026 12:00:00 +0000\r\n"

static const struct {
	const char *name;
	struct smtp_received received;
	const char *text;
} rows[] = {
	{ "full",
	  { "mail.example.org", "192.0.2.1", "mx.example.com", "ESMTPS", "4XyZ", &bob,
	    "TLSv1.3 TLS_AES_256_GCM_SHA384", 1795176000, NULL },
	  "Received: from mail.example.org ([192.0.2.1])\r\n"
	  "\tby mx.example.com with ESMTPS id 4XyZ\r\n"
	  "\t(TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n\tfor <bob@x.org>" TAIL },
	{ "several recipients",
	  { "a.org", "2001:db8::1", "b.org", "ESMTP", "4XyZ", NULL, NULL, 1795176000, NULL },
	  "Received: from a.org ([IPv6:2001:db8::1])\r\n\tby b.org with ESMTP id 4XyZ" TAIL },
	{ "a name of the peer",
	  { "a.org", "192.0.2.1", "b.org", "ESMTP", "1", NULL, NULL, 1795176000, "host.a.org" },
	  "Received: from a.org (host.a.org [192.0.2.1])\r\n\tby b.org with ESMTP id 1" TAIL },
	{ "a hostile name of the peer",
	  { "a.org", "2001:db8::1", "b.org", "ESMTP", "1", NULL, NULL, 1795176000, "x])\r\n by (" },
	  "Received: from a.org (x]????by?? [IPv6:2001:db8::1])\r\n\tby b.org with ESMTP id 1" TAIL },
	{ "no name of the peer",
	  { "a.org", "192.0.2.1", "b.org", "ESMTP", "1", NULL, NULL, 1795176000, "" },
	  "Received: from a.org ([192.0.2.1])\r\n\tby b.org with ESMTP id 1" TAIL },
	{ "literal as name",
	  { "[IPv6:2001:db8::1]", "2001:db8::1", "b.org", "SMTP", "1", NULL, NULL, 1795176000, NULL },
	  "Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])\r\n"
	  "\tby b.org with SMTP id 1" TAIL },
	{ "local", { "a.org", NULL, "b.org", "ESMTP", "1", NULL, NULL, 1795176000, NULL },
	  "Received: from a.org\r\n\tby b.org with ESMTP id 1" TAIL },
	{ "no name", { "", "192.0.2.1", "b.org", "ESMTP", "1", NULL, NULL, 1795176000, NULL },
	  "Received: by b.org with ESMTP id 1" TAIL },
	{ "NULL name", { NULL, NULL, "b.org", "ESMTP", "1", NULL, NULL, 1795176000, NULL },
	  "Received: by b.org with ESMTP id 1" TAIL },
	{ "underscore stays", { "a_b", NULL, "b.org", "ESMTP", "1", NULL, NULL, 1795176000, NULL },
	  "Received: from a_b\r\n\tby b.org with ESMTP id 1" TAIL },
	{ "line end in the name",
	  { "a\r\nX: y", "192.0.2.1", "b.org", "ESMTP", "1", NULL, NULL, 1795176000, NULL },
	  "Received: from a??X:?y ([192.0.2.1])\r\n\tby b.org with ESMTP id 1" TAIL },
	{ "clauses in the name",
	  { "a ([203.0.113.9]) by b.org; (", "192.0.2.1", "b.org", "ESMTP", "1", NULL, NULL,
	    1795176000, NULL },
	  "Received: from a??[203.0.113.9]??by?b.org??? ([192.0.2.1])\r\n"
	  "\tby b.org with ESMTP id 1" TAIL },
	{ "eight bits, quotes, backslash",
	  { "\303\266\"\\<@>\001\177", NULL, "b.org", "ESMTP", "1", NULL, NULL, 1795176000, NULL },
	  "Received: from ?????""????\r\n\tby b.org with ESMTP id 1" TAIL },
	{ "comment can't be closed",
	  { "a", NULL, "b.org", "ESMTPS", "1", NULL, "x) by evil (y\\", 1795176000, NULL },
	  "Received: from a\r\n\tby b.org with ESMTPS id 1\r\n\t(x? by evil ?y?)" TAIL },
	{ "quoted recipient", { "a", NULL, "b.org", "ESMTP", "1", &odd, NULL, 1795176000, NULL },
	  "Received: from a\r\n\tby b.org with ESMTP id 1\r\n\tfor <\"a>b; \\\"x\"@x.org>" TAIL },
};

START_TEST(received_rows)
{
	struct smtp_buf out;
	struct smtp_header_field field;
	struct smtp_span text;

	smtp_buf_init(&out, 2048);
	ck_assert_int_eq(smtp_received_format(&out, &rows[_i].received), 0);
	text = smtp_buf_span(&out);
	ck_assert_msg(smtp_span_is(text, rows[_i].text), "%s: %.*s", rows[_i].name, (int)text.n,
		      (const char *)text.p);
	ck_assert_int_eq(smtp_header_next(&text, &field), 1); /* one field, and it is all */
	ck_assert_uint_eq(text.n, 0);
	smtp_buf_release(&out);
}
END_TEST

START_TEST(long_name_and_small_buffer)
{
	struct smtp_received received = rows[0].received;
	char name[2000];
	struct smtp_buf out;
	size_t n;

	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	received.helo_name = name;
	smtp_buf_init(&out, 4096);
	ck_assert_int_eq(smtp_received_format(&out, &received), 0);
	ck_assert_uint_lt(out.n, 600);
	n = out.n;
	smtp_buf_release(&out);
	for (size_t max = 0; max < n; max++) {
		smtp_buf_init(&out, max);
		ck_assert_int_eq(smtp_received_format(&out, &received), SMTP_ETOOLONG);
		ck_assert_uint_eq(out.n, 0);
		smtp_buf_release(&out);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("trace");
	TCase *tc = tcase_create("trace");

	tcase_add_loop_test(tc, date_rows, 0, ROWS(dates));
	tcase_add_test(tc, every_day);
	tcase_add_loop_test(tc, received_rows, 0, ROWS(rows));
	tcase_add_test(tc, long_name_and_small_buffer);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
