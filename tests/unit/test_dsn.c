/* SPDX-License-Identifier: ISC */
/* What a report says, and that nothing from outside can add lines or parts to it. */
#include "libsmtp/core/header.h"
#include "libsmtp/core/span.h"
#include "smtpd/queue/dsn.h"
#include "tests/unit/testing.h"

static struct dsn_recipient recipients[2];
static struct dsn dsn;
static struct smtp_buf out;

static void setup(void)
{
	recipients[0] = (struct dsn_recipient){
		.address = "bob@example.net", .original = "\"bob b\"@example.net", .status = "5.1.1",
		.diagnostic = "550 5.1.1 no such user", .host = "mx.example.net",
		.last_attempt_ms = 1790000000000 };
	recipients[1] = (struct dsn_recipient){ .address = "c@gone.test", .original = "c@gone.test",
						.status = "5.1.2", .diagnostic = "5.1.2 no such domain",
						.host = "" };
	dsn = (struct dsn){ .action = DSN_FAILED, .id = "NEWID", .hostname = "mail.example.test",
			    .from_domain = "example.test", .to = "alice@example.test",
			    .message_id = "OLDID", .boundary = 0x1234, .now_ms = 1790000100000,
			    .arrival_ms = 1789999000000, .until_ms = 1790400000000,
			    .recipients = recipients, .recipient_count = 2,
			    .headers = smtp_span_of("Subject: hello\r\nFrom: a@b.test\r\n") };
	smtp_buf_init(&out, DSN_MAX);
}

static void teardown(void)
{
	smtp_buf_release(&out);
}

/* The report as a string; CRLF shown as LF. */
static const char *compose(void)
{
	static char text[200000];
	size_t n = 0;

	ck_assert_int_eq(dsn_compose(&out, &dsn), 0);
	ck_assert_uint_lt(out.n, sizeof text);
	for (size_t i = 0; i < out.n; i++) {
		if (out.p[i] == '\r')
			ck_assert_msg(i + 1 < out.n && out.p[i + 1] == '\n', "bare CR at %zu", i);
		else if (out.p[i] == '\n')
			ck_assert_msg(i > 0 && out.p[i - 1] == '\r', "bare LF at %zu", i);
		if (out.p[i] != '\r')
			text[n++] = (char)out.p[i];
	}
	text[n] = '\0';
	return text;
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		n++;
	return n;
}

static const char *const said[] = {
	"From: Mail delivery <postmaster@example.test>\n",
	"To: <alice@example.test>\n",
	"Auto-Submitted: auto-replied\n",
	"Message-ID: <NEWID@mail.example.test>\n",
	"Date: Mon, 21 Sep 2026 14:15:00 +0000\n",
	"Content-Type: multipart/report; report-type=delivery-status;\n",
	"boundary=\"report-0000000000001234\"\n",
	"Content-Type: message/delivery-status\n\nReporting-MTA: dns; mail.example.test\n",
	("Original-Recipient: rfc822; \"bob b\"@example.net\nFinal-Recipient: rfc822; bob@example.net\n"
	"Action: failed\nStatus: 5.1.1\nRemote-MTA: dns; mx.example.net\n"
	"Diagnostic-Code: smtp; 550 5.1.1 no such user\nLast-Attempt-Date: "),
	("Final-Recipient: rfc822; c@gone.test\nAction: failed\nStatus: 5.1.2\n"
	"Diagnostic-Code: x-smtpd; 5.1.2 no such domain\n"),
	"Content-Type: text/rfc822-headers\n\nSubject: hello\nFrom: a@b.test\n",
	"The server mx.example.net said:\n    550 5.1.1 no such user\n",
};

START_TEST(says)
{
	const char *text = compose();

	ck_assert_msg(strstr(text, said[_i]), "%s\nis not in\n%s", said[_i], text);
}
END_TEST

/* Our own words are not put into a server's mouth. */
START_TEST(trouble_is_not_an_answer)
{
	const char *text;

	recipients[0].diagnostic = "4.4.2 the connection was lost (DATA)";
	text = compose();
	ck_assert_ptr_null(strstr(text, " said:"));
	ck_assert_ptr_nonnull(strstr(text, "Trouble with the server mx.example.net:\n    4.4.2 the"));
}
END_TEST

START_TEST(has_three_parts)
{
	const char *text = compose();

	ck_assert_uint_eq(count(text, "\n--report-0000000000001234\n"), 3);
	ck_assert_uint_eq(count(text, "\n--report-0000000000001234--\n"), 1);
	ck_assert_uint_eq(count(text, "Return-Path"), 0);
	ck_assert(!dsn_is_8bit(&dsn));
	ck_assert_ptr_null(strstr(text, "8bit"));
}
END_TEST

START_TEST(delay)
{
	const char *text;

	dsn.action = DSN_DELAYED;
	text = compose();
	ck_assert_ptr_nonnull(strstr(text, "Action: delayed\n"));
	ck_assert_ptr_nonnull(strstr(text, "Will-Retry-Until: "));
	ck_assert_ptr_nonnull(strstr(text, "is delayed\n"));
	ck_assert_ptr_null(strstr(text, "Action: failed"));
}
END_TEST

START_TEST(headers_with_octets_over_127)
{
	dsn.headers = smtp_span_of("Subject: gr\xc3\xbc\xc3\x9f\r\n");
	ck_assert(dsn_is_8bit(&dsn));
	ck_assert_uint_eq(count(compose(), "Content-Transfer-Encoding: 8bit\n"), 2);
}
END_TEST

static const struct { const char *name, *text; } hostile[] = {
	{ "line break", "550 a\r\nX-Evil: 1\r\n\r\n--report-0000000000001234--" },
	{ "controls", "550 \033[2J\001\177" },
	{ "8-bit", "550 \xff\xfe\xc3\xbc" },
};

START_TEST(hostile_texts)
{
	const char *text;

	recipients[0].diagnostic = hostile[_i].text;
	recipients[0].host = hostile[_i].text;
	text = compose();
	ck_assert_msg(!strstr(text, "\nX-Evil"), "%s", hostile[_i].name);
	ck_assert_uint_eq(count(text, "\n--report-0000000000001234"), 4);
	for (; *text; text++)
		ck_assert_msg((*text >= ' ' && *text < 127) || *text == '\n' || *text == '\t', "%s",
			      hostile[_i].name);
}
END_TEST

START_TEST(long_texts_are_folded)
{
	static char words[501], solid[501];
	const char *text;

	for (size_t i = 0; i < 500; i++) {
		words[i] = i % 10 == 9 ? ' ' : 'w';
		solid[i] = 's';
	}
	recipients[0].diagnostic = words;
	recipients[1].diagnostic = solid;
	text = compose();
	for (const char *end; (end = strchr(text, '\n')) != NULL; text = end + 1) {
		if (!memchr(text, 's', 1) && !strstr(text, "sssss"))
			ck_assert_int_le(end - text, 78);
		ck_assert_int_le(end - text, 600);
	}
}
END_TEST

START_TEST(memory_is_bounded)
{
	struct smtp_buf small;

	smtp_buf_init(&small, 1000);
	ck_assert_int_eq(dsn_compose(&small, &dsn), SMTP_ETOOLONG);
	smtp_buf_release(&small);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dsn");
	TCase *tc = tcase_create("dsn");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, says, 0, ROWS(said));
	tcase_add_test(tc, trouble_is_not_an_answer);
	tcase_add_test(tc, has_three_parts);
	tcase_add_test(tc, delay);
	tcase_add_test(tc, headers_with_octets_over_127);
	tcase_add_loop_test(tc, hostile_texts, 0, ROWS(hostile));
	tcase_add_test(tc, long_texts_are_folded);
	tcase_add_test(tc, memory_is_bounded);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
