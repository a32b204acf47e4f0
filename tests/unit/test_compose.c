/* SPDX-License-Identifier: ISC */
/* Composed messages: the octets for each kind of subject, text, attachment and structure, and what
 * holds for every message: 7-bit, CRLF, bounded lines. Read by a parser that is not ours in the
 * system tests.
 */
#include <stdio.h>

#include <smtp/base.h>

#include "libsmtp/core/span.h"
#include "smtpc/compose.h"
#include "smtpc/mime.h"
#include "testing.h"

enum { ROOM = 1 << 20 };

static const struct smtp_mailbox joe = { "joe", "example.org" };
static const struct smtp_mailbox others[] = {
	{ "ann", "example.net" }, { "a b", "example.net" }, { "bob", "[127.0.0.1]" },
};

#define RANDOM_HEX "00112233445566778899aabbccddeeff0123"

static struct compose_message basic(void)
{
	static const uint8_t random[COMPOSE_RANDOM_SIZE] = {
		0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99,
		0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x01, 0x23,
	};
	struct compose_message m = {
		.from = &joe, .to = others, .to_count = 1, .date_s = 1795176000,
		.id_domain = "mail.example.org", .has_text = true,
		.text = smtp_span_of("Hello\n"),
	};

	memcpy(m.random, random, sizeof(random));
	return m;
}

/* What every message must be. */
static void check_form(const struct smtp_buf *out)
{
	size_t line = 0;

	ck_assert_uint_gt(out->n, 2);
	ck_assert_mem_eq(out->p + out->n - 2, "\r\n", 2);
	for (size_t i = 0; i < out->n; i++) {
		bool before_lf = i + 1 < out->n && out->p[i + 1] == '\n';

		if (out->p[i] == 0 || out->p[i] > 126 || (out->p[i] == '\r') != before_lf)
			ck_abort_msg("octet %d at %zu", out->p[i], i);
		line = out->p[i] == '\n' ? 0 : line + 1;
		if (line > COMPOSE_LINE_MAX + 1)
			ck_abort_msg("a line of %zu octets", line);
	}
}

static char *composed(const struct compose_message *m)
{
	const char *problem = NULL;
	struct smtp_buf out;
	char *text;

	smtp_buf_init(&out, ROOM);
	ck_assert_msg(compose_message(&out, m, &problem) == 0, "%s", problem);
	check_form(&out);
	text = malloc(out.n + 1);
	ck_assert_ptr_nonnull(text);
	memcpy(text, out.p, out.n);
	text[out.n] = '\0';
	smtp_buf_release(&out);
	return text;
}

#define HEAD                                                                                       \
	"Date: Fri, 20 Nov 2026 12:00:00 +0000\r\nFrom: joe@example.org\r\nTo: ann@example.net\r\n"
#define ID "Message-ID: <" RANDOM_HEX "@mail.example.org>\r\nMIME-Version: 1.0\r\n"

START_TEST(plain_message)
{
	struct compose_message m = basic();
	char *text;

	m.subject = "Greetings";
	text = composed(&m);
	ck_assert_str_eq(text, HEAD "Subject: Greetings\r\n" ID
			 "Content-Type: text/plain; charset=utf-8\r\n"
			 "Content-Transfer-Encoding: 7bit\r\n\r\nHello\r\n");
	free(text);
}
END_TEST

START_TEST(several_addresses)
{
	struct compose_message m = basic();
	char *text;

	m.to_count = 2;
	m.cc = others + 1;
	m.cc_count = 2;
	text = composed(&m);
	ck_assert_ptr_nonnull(strstr(text, "To: ann@example.net,\r\n \"a b\"@example.net\r\n"
					   "Cc: \"a b\"@example.net,\r\n bob@[127.0.0.1]\r\n"));
	ck_assert_ptr_null(strstr(text, "Subject"));
	free(text);
	m.to_count = m.cc_count = 0;
	text = composed(&m);
	ck_assert_ptr_null(strstr(text, "To:"));
	ck_assert_ptr_null(strstr(text, "Cc:"));
	free(text);
}
END_TEST

static const struct {
	int offset;
	const char *date;
} dates[] = {
	{ 60, "Date: Fri, 20 Nov 2026 13:00:00 +0100\r\n" },
	{ -210, "Date: Fri, 20 Nov 2026 08:30:00 -0330\r\n" },
	{ 845, "Date: Sat, 21 Nov 2026 02:05:00 +1405\r\n" },
	{ 0, "Date: Fri, 20 Nov 2026 12:00:00 +0000\r\n" },
};

START_TEST(date)
{
	struct compose_message m = basic();
	char *text;

	m.utc_offset_min = dates[_i].offset;
	text = composed(&m);
	ck_assert_int_eq(strncmp(text, dates[_i].date, strlen(dates[_i].date)), 0);
	free(text);
}
END_TEST

#define FIFTY "12345678 12345678 12345678 12345678 12345678 12345"
#define UMLAUTS10 "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"

static const struct {
	const char *name, *subject, *field;
} subjects[] = {
	{ "empty", "", "Subject:\r\n" },
	{ "blanks inside", "a  b c", "Subject: a  b c\r\n" },
	{ "up to the fold", FIFTY " 12345678 123456789", "Subject: " FIFTY " 12345678 123456789\r\n" },
	{ "folded", FIFTY " 12345678 1234567890",
	  "Subject: " FIFTY " 12345678\r\n 1234567890\r\n" },
	{ "blank at the end", "a ", "Subject: =?UTF-8?B?YSA=?=\r\n" },
	{ "blank at the begin", " a", "Subject: =?UTF-8?B?IGE=?=\r\n" },
	{ "tab", "a\tb", "Subject: =?UTF-8?B?YQli?=\r\n" },
	{ "escape", "a\x1b[0m", "Subject: =?UTF-8?B?YRtbMG0=?=\r\n" },
	{ "looks like an encoded word", "=?x", "Subject: =?UTF-8?B?PT94?=\r\n" },
	{ "equals signs", "1+1=2?", "Subject: 1+1=2?\r\n" },
	{ "umlaut", "\xc3\xa4", "Subject: =?UTF-8?B?w6Q=?=\r\n" },
	{ "characters are not cut", UMLAUTS10 UMLAUTS10,
	  "Subject: =?UTF-8?B?w6TDpMOkw6TDpMOkw6TDpMOkw6TDpMOkw6TDpMOkw6TDpMOkw6Q=?=\r\n"
	  " =?UTF-8?B?w6Q=?=\r\n" },
	{ "a run too long to fold", "1234567890123456789012345678901234567890123456789012345678901",
	  "Subject: =?UTF-8?B?MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5?=\r\n"
	  " =?UTF-8?B?MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMQ==?=\r\n" },
};

START_TEST(subject)
{
	struct compose_message m = basic();
	char *text;

	m.subject = subjects[_i].subject;
	text = composed(&m);
	ck_assert_msg(strstr(text, subjects[_i].field) != NULL, "%s: %s", subjects[_i].name, text);
	free(text);
}
END_TEST

#define SEVENTY "1234567890123456789012345678901234567890123456789012345678901234567890"

static const struct {
	const char *name, *text, *encoding, *body;
} texts[] = {
	{ "empty", "", "7bit", "" },
	{ "no last line end", "a\nb", "7bit", "a\r\nb\r\n" },
	{ "CRLF and LF", "a\r\n\nb\r\n", "7bit", "a\r\n\r\nb\r\n" },
	{ "dots and From", ".\n..\nFrom me\n", "7bit", ".\r\n..\r\nFrom me\r\n" },
	{ "tab", "a\tb \n", "7bit", "a\tb \r\n" },
	{ "umlaut", "Gr\xc3\xbc\xc3\x9f" "e, viele davon und mehr = ?\n", "quoted-printable",
	  "Gr=C3=BC=C3=9Fe, viele davon und mehr =3D ?\r\n" },
	{ "blank at the end of a line", "viele gute Gr\xc3\xbc" "sse \nan alle\t\n ", "quoted-printable",
	  "viele gute Gr=C3=BCsse=20\r\nan alle=09\r\n=20\r\n" },
	{ "CR alone", "eine Zeile\rnoch eine\n", "quoted-printable",
	  "eine Zeile=0Dnoch eine\r\n" },
	{ "75 and 76 in a line", SEVENTY "\x01" "23\n" SEVENTY "\x01" "234\n", "quoted-printable",
	  SEVENTY "=0123\r\n" SEVENTY "=0123=\r\n4\r\n" },
	{ "three octets are not cut", "123" SEVENTY "\x01\n", "quoted-printable",
	  "123" SEVENTY "=\r\n=01\r\n" },
	{ "just 75", "12" SEVENTY "\x01\n", "quoted-printable", "12" SEVENTY "=01\r\n" },
	{ "mostly not ASCII", UMLAUTS10 "\n", "base64", "w6TDpMOkw6TDpMOkw6TDpMOkw6QNCg==\r\n" },
	{ "base64 of LF", "\xc3\xa4\n\xc3\xb6\r\n", "base64", "w6QNCsO2DQo=\r\n" },
};

START_TEST(text)
{
	struct compose_message m = basic();
	char expected[512];
	char *out;

	m.text = smtp_span_of(texts[_i].text);
	out = composed(&m);
	snprintf(expected, sizeof(expected), "Content-Transfer-Encoding: %s\r\n\r\n%s",
		 texts[_i].encoding, texts[_i].body);
	ck_assert_msg(strstr(out, expected) &&
			      strcmp(strstr(out, "\r\n\r\n") + 4, texts[_i].body) == 0,
		      "%s: %s", texts[_i].name, out);
	free(out);
}
END_TEST

START_TEST(long_lines)
{
	struct compose_message m = basic();
	static char line[1100];
	char *out;

	memset(line, 'x', 998);
	m.text = smtp_span_make(line, 998);
	out = composed(&m);
	ck_assert_ptr_nonnull(strstr(out, ": 7bit\r\n"));
	free(out);
	memset(line, 'x', 999);
	m.text = smtp_span_make(line, 999);
	out = composed(&m);
	ck_assert_ptr_nonnull(strstr(out, ": quoted-printable\r\n"));
	free(out);
	memset(line, 0, sizeof(line));
	m.text = smtp_span_make(line, sizeof(line));
	out = composed(&m);
	ck_assert_ptr_nonnull(strstr(out, ": base64\r\n"));
	free(out);
}
END_TEST

#define M "=_m" RANDOM_HEX
#define A "=_a" RANDOM_HEX
#define PLAIN                                                                                      \
	"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\nHello\r\n"
#define HTML                                                                                       \
	"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n<p>\r\n"
#define ALTERNATIVE                                                                                \
	"Content-Type: multipart/alternative;\r\n boundary=\"" A "\"\r\n"                          \
	"\r\n--" A "\r\n" PLAIN "\r\n--" A "\r\n" HTML "\r\n--" A "--\r\n"
#define FILES                                                                                      \
	"\r\n--" M "\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n"         \
	"Content-Disposition: attachment;\r\n filename=\"a.txt\"\r\n\r\nYQ==\r\n"                  \
	"\r\n--" M "\r\nContent-Type: x/y\r\nContent-Transfer-Encoding: base64\r\n"                \
	"Content-Disposition: attachment;\r\n filename=\"empty\"\r\n\r\n"                          \
	"\r\n--" M "--\r\n"
#define MIXED "Content-Type: multipart/mixed;\r\n boundary=\"" M "\"\r\n"

static const struct {
	const char *name;
	bool text, html, files;
	const char *body;
} structures[] = {
	{ "text", true, false, false, PLAIN },
	{ "html", false, true, false, HTML },
	{ "both", true, true, false, ALTERNATIVE },
	{ "files", false, false, true, MIXED FILES },
	{ "text and files", true, false, true, MIXED "\r\n--" M "\r\n" PLAIN FILES },
	{ "all", true, true, true, MIXED "\r\n--" M "\r\n" ALTERNATIVE FILES },
};

START_TEST(structure)
{
	const struct compose_attachment files[] = {
		{ "/tmp/dir/a.txt", NULL, smtp_span_of("a") },
		{ "C:\\empty", "x/y", { NULL, 0 } },
	};
	struct compose_message m = basic();
	char *out;

	m.has_text = structures[_i].text;
	m.has_html = structures[_i].html;
	m.html = smtp_span_of("<p>");
	m.attachments = files;
	m.attachment_count = structures[_i].files ? 2 : 0;
	out = composed(&m);
	ck_assert_str_eq(strstr(out, "Content-Type"), structures[_i].body);
	free(out);
}
END_TEST

#define TENX "1234567890"

static const struct {
	const char *name, *type, *fields;
} attachments[] = {
	{ "a.PDF", NULL, "Content-Type: application/pdf\r\n" },
	{ "a.tar.gz", NULL, "Content-Type: application/gzip\r\n" },
	{ "pdf", NULL, "Content-Type: application/octet-stream\r\n" },
	{ "a.", NULL, "Content-Type: application/octet-stream\r\n" },
	{ "a.pdf", "image/x-Y.z+w", "Content-Type: image/x-Y.z+w\r\n" },
	{ "a \"b\\\".txt", NULL, "attachment;\r\n filename=\"\\\".txt\"\r\n" },
	{ "a \"b\".txt", NULL, "attachment;\r\n filename=\"a \\\"b\\\".txt\"\r\n" },
	{ "a\r\nX: y\x7f.txt", NULL, "attachment;\r\n filename=\"aX: y.txt\"\r\n" },
	{ "dir/", NULL, "attachment;\r\n filename=\"attachment\"\r\n" },
	{ "", NULL, "attachment;\r\n filename=\"attachment\"\r\n" },
	{ "\xc3\xa4 %.txt", NULL, "attachment;\r\n filename*=UTF-8''%C3%A4%20%25.txt\r\n" },
	{ UMLAUTS10 "a.txt", NULL,
	  "attachment;\r\n filename*0*=UTF-8''%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4"
	  "%C3%A4;\r\n filename*1*=a.txt\r\n" },
	{ "a" UMLAUTS10 ".txt", NULL,
	  "attachment;\r\n filename*0*=UTF-8''a%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4"
	  "%C3%A4;\r\n filename*1*=.txt\r\n" },
	{ TENX TENX TENX TENX TENX TENX "a", NULL,
	  "attachment;\r\n filename*0*=UTF-8''" TENX TENX TENX TENX TENX "12345678;\r\n"
	  " filename*1*=90a\r\n" },
};

START_TEST(attachment)
{
	struct compose_attachment a = { attachments[_i].name, attachments[_i].type,
					smtp_span_of("x") };
	struct compose_message m = basic();
	char *out;

	m.attachments = &a;
	m.attachment_count = 1;
	out = composed(&m);
	ck_assert_msg(strstr(out, attachments[_i].fields) != NULL, "%s", out);
	free(out);
}
END_TEST

START_TEST(parameter)
{
	struct smtp_buf out;
	struct mime_writer w = { &out, 0 };

	smtp_buf_init(&out, ROOM);
	mime_parameter(&w, "x", smtp_span_of("a\\b\"c"));
	ck_assert_int_eq(w.err, 0);
	ck_assert(smtp_span_is(smtp_buf_span(&out), ";\r\n x=\"a\\\\b\\\"c\""));
	smtp_buf_release(&out);
}
END_TEST

/* Lines of 76, nothing behind them, and all of it. */
START_TEST(large_attachment)
{
	static uint8_t octets[100000];
	struct compose_attachment a = { "a.bin", NULL, { octets, sizeof(octets) } };
	struct compose_message m = basic();
	char *out, *at;
	size_t n = 0;

	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (uint8_t)(i * 7 + i / 256);
	m.has_text = false;
	m.attachments = &a;
	m.attachment_count = 1;
	out = composed(&m);
	at = strstr(out, "a.bin\"\r\n\r\n") + 10;
	for (; strncmp(at, "\r\n--", 4) != 0; at += 2) {
		size_t line = strcspn(at, "\r");

		ck_assert_uint_gt(line, 0);
		ck_assert_uint_le(line, 76);
		n += line;
		at += line;
	}
	ck_assert_uint_eq(n, (sizeof(octets) + 2) / 3 * 4);
	free(out);
}
END_TEST

/* --- what is refused ------------------------------------------------------------------------- */

enum fault {
	NOTHING, SUBJECT_BREAK, SUBJECT_CR, SUBJECT_BYTES, TEXT_BYTES, HTML_BYTES, NO_FROM, BAD_FROM,
	BAD_TO, BAD_CC, NO_DOMAIN, BAD_DOMAIN, BAD_ZONE, BAD_WEST, NO_NAME, NAME_BYTES, LONG_NAME, BAD_TYPE,
	TYPE_BREAK, NO_MAJOR, MULTIPART, MESSAGE, MANY
};

static const struct {
	enum fault fault;
	int err;
} faults[] = {
	{ NOTHING, SMTP_EINVAL },	{ SUBJECT_BREAK, SMTP_EINVAL },
	{ SUBJECT_CR, SMTP_EINVAL },	{ SUBJECT_BYTES, SMTP_ESYNTAX },
	{ TEXT_BYTES, SMTP_ESYNTAX },	{ HTML_BYTES, SMTP_ESYNTAX },
	{ NO_FROM, SMTP_EINVAL },	{ BAD_FROM, SMTP_EINVAL },
	{ BAD_TO, SMTP_EINVAL },	{ BAD_CC, SMTP_EINVAL },
	{ NO_DOMAIN, SMTP_EINVAL },	{ BAD_DOMAIN, SMTP_EINVAL },
	{ BAD_ZONE, SMTP_EINVAL },	{ NO_NAME, SMTP_EINVAL },
	{ BAD_WEST, SMTP_EINVAL },	{ NO_MAJOR, SMTP_EINVAL },
	{ NAME_BYTES, SMTP_ESYNTAX },	{ LONG_NAME, SMTP_EINVAL },
	{ BAD_TYPE, SMTP_EINVAL },	{ TYPE_BREAK, SMTP_EINVAL },
	{ MULTIPART, SMTP_EINVAL },	{ MESSAGE, SMTP_EINVAL },
	{ MANY, SMTP_ETOOLONG },
};

static void break_fields(struct compose_message *m, enum fault fault)
{
	static const struct smtp_mailbox bad = { "a\r\nX: y", "x.org" };
	static const struct smtp_mailbox foreign = { "\xe4", "x.org" };

	m->has_text = fault != NOTHING;
	m->subject = fault == SUBJECT_BREAK ? "a\nb" : fault == SUBJECT_CR ? "a\rb" :
		     fault == SUBJECT_BYTES ? "a\xff" : "a";
	if (fault == TEXT_BYTES)
		m->text = smtp_span_of("\xc3");
	m->has_html = fault == HTML_BYTES;
	m->html = smtp_span_of("\xc3");
	m->from = fault == NO_FROM ? NULL : fault == BAD_FROM ? &foreign : &joe;
	if (fault == BAD_TO)
		m->to = &bad;
	m->cc = &bad;
	m->cc_count = fault == BAD_CC;
	if (fault == NO_DOMAIN || fault == BAD_DOMAIN)
		m->id_domain = fault == NO_DOMAIN ? NULL : "a b";
	m->utc_offset_min = fault == BAD_ZONE ? 1440 : fault == BAD_WEST ? -1440 : 0;
}

static void break_attachment(struct compose_attachment *a, enum fault fault)
{
	static char endless[300];

	memset(endless, 'a', 256);
	*a = (struct compose_attachment){ .name = "a" };
	if (fault == NO_NAME || fault == NAME_BYTES || fault == LONG_NAME)
		a->name = fault == NO_NAME ? NULL : fault == NAME_BYTES ? "\xff" : endless;
	if (fault == BAD_TYPE || fault == TYPE_BREAK)
		a->type = fault == BAD_TYPE ? "text" : "a/b\r\nX: y";
	if (fault == NO_MAJOR)
		a->type = "/pdf";
	if (fault == MULTIPART || fault == MESSAGE)
		a->type = fault == MULTIPART ? "Multipart/mixed" : "message/rfc822";
}

START_TEST(refused)
{
	enum fault fault = faults[_i].fault;
	struct compose_attachment many[COMPOSE_ATTACHMENTS_MAX + 1];
	struct compose_message m = basic();
	const char *problem = NULL;
	struct smtp_buf out;

	smtp_buf_init(&out, ROOM);
	ck_assert_int_eq(smtp_buf_append_text(&out, "before"), 0);
	break_fields(&m, fault);
	for (size_t i = 0; i < COMPOSE_ATTACHMENTS_MAX + 1; i++)
		break_attachment(&many[i], fault);
	m.attachments = many;
	m.attachment_count = fault == MANY ? COMPOSE_ATTACHMENTS_MAX + 1 : fault >= NO_NAME;
	ck_assert_int_eq(compose_message(&out, &m, &problem), faults[_i].err);
	ck_assert_ptr_nonnull(problem);
	ck_assert_uint_eq(out.n, 6);
	smtp_buf_release(&out);
}
END_TEST

/* Whatever the bound is, the message is whole or not there. */
START_TEST(too_large)
{
	struct compose_attachment a = { "a.bin", NULL, smtp_span_of("0123456789") };
	struct compose_message m = basic();
	char *whole;
	size_t n;

	m.subject = "\xc3\xa4";
	m.has_html = true;
	m.html = smtp_span_of(UMLAUTS10);
	m.attachments = &a;
	m.attachment_count = 1;
	whole = composed(&m);
	n = strlen(whole);
	for (size_t max = 0; max <= n; max++) {
		const char *problem = NULL;
		struct smtp_buf out;
		int err;

		smtp_buf_init(&out, max);
		err = compose_message(&out, &m, &problem);
		if (err != (max < n ? SMTP_ETOOLONG : 0) || out.n != (max < n ? 0 : n))
			ck_abort_msg("%d with %zu of %zu", err, max, n);
		smtp_buf_release(&out);
	}
	free(whole);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("compose");
	TCase *tc = tcase_create("compose");

	tcase_add_test(tc, plain_message);
	tcase_add_test(tc, several_addresses);
	tcase_add_loop_test(tc, date, 0, ROWS(dates));
	tcase_add_loop_test(tc, subject, 0, ROWS(subjects));
	tcase_add_loop_test(tc, text, 0, ROWS(texts));
	tcase_add_test(tc, long_lines);
	tcase_add_loop_test(tc, structure, 0, ROWS(structures));
	tcase_add_loop_test(tc, attachment, 0, ROWS(attachments));
	tcase_add_test(tc, parameter);
	tcase_add_test(tc, large_attachment);
	tcase_add_loop_test(tc, refused, 0, ROWS(faults));
	tcase_add_test(tc, too_large);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
