/* SPDX-License-Identifier: ISC */
/* The authors in a header section: which fields count, where the section ends, what refuses a message. */
#include "smtpd/mail/author_fields.h"

#include <stdio.h>

#include "libsmtp/core/span.h"
#include "tests/unit/testing.h"

#define JUNK "5.6.0 The header section has a line"
#define BARE "5.6.0 The header section has a bare"
#define LARGE "5.3.4 The header section is larger"
#define NOT_ONE "5.6.0 A message has exactly one From"
#define BAD_FROM "5.6.0 From is to be"
#define BAD_SENDER "5.6.0 Sender is to be"
#define SENDERS "5.6.0 A message has at most"

#define TEN "a@x,a@x,a@x,a@x,a@x,a@x,a@x,a@x,a@x,a@x"
#define FORTY TEN "," TEN "," TEN "," TEN

/* `more`: there is content behind it; "~" stands for NUL. Authors come out as "from from /sender". */
static const struct {
	const char *name, *head;
	bool more;
	const char *says; /* authors, or part of the fault */
} rows[] = {
	{ "one", "From: a@x\r\n\r\nbody", false, "a@x" },
	{ "any case", "FROM: a@x\r\n\r\n", false, "a@x" },
	{ "blank before the colon", "From \t: a@x\r\n\r\n", false, "a@x" },
	{ "no body", "From: a@x\r\n", false, "a@x" },
	{ "no line end", "From: a@x", false, "a@x" },
	{ "several and Sender", "Sender: s@x\r\nFrom: a@x, g: b@x;\r\n\r\n", false, "a@x b@x /s@x" },
	{ "names that begin so", "From: a@x\r\nFrom2: b@x\r\nX-From: c@x\r\nFro: d@x\r\n\r\n", false, "a@x" },
	{ "Resent fields", "From: a@x\r\nResent-From: b@x\r\nReply-To: c@x\r\n\r\n", false, "a@x" },
	{ "in the body", "From: a@x\r\n\r\nFrom: b@x\r\nSender: ?\r\n", false, "a@x" },
	{ "in a fold", "From: a@x\r\nSubject: x\r\n From: b@x\r\n\r\n", false, "a@x" },
	{ "more behind", "From: a@x\r\n\r\nbody", true, "a@x" },
	{ "junk in the body", "From: a@x\r\n\r\nbo\rdy\nno field", true, "a@x" },
	{ "fifty", "From: " FORTY "," TEN "\r\n\r\n", false,
	  "a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x "
	  "a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x a@x "
	  "a@x a@x" },
	{ "fifty-one", "From: " FORTY "," TEN ",a@x\r\n\r\n", false, BAD_FROM },

	{ "nothing", "", false, NOT_ONE },
	{ "no header section", "\r\nFrom: a@x\r\n", false, NOT_ONE },
	{ "no From", "Sender: a@x\r\n\r\n", false, NOT_ONE },
	{ "two", "From: a@x\r\nfrom: a@x\r\n\r\n", false, NOT_ONE },
	{ "two Senders", "From: a@x\r\nSender: a@x\r\nSENDER: a@x\r\n\r\n", false, SENDERS },
	{ "empty From", "From:\r\n\r\n", false, BAD_FROM },
	{ "empty group", "From: g:;\r\n\r\n", false, BAD_FROM },
	{ "two in Sender", "From: a@x\r\nSender: a@x, b@x\r\n\r\n", false, BAD_SENDER },
	{ "group in Sender", "From: a@x\r\nSender: g: a@x;\r\n\r\n", false, "a@x /a@x" },
	{ "empty group in Sender", "From: a@x\r\nSender: g:;\r\n\r\n", false, BAD_SENDER },

	{ "no field", "From: a@x\r\njunk\r\n\r\n", false, JUNK },
	{ "no field, last", "From: a@x\r\njunk", false, JUNK },
	{ "no field, more behind", "From: a@x\r\njunk\r\n", true, JUNK },
	{ "mbox line", "From a@x\r\nFrom: a@x\r\n\r\n", false, JUNK },
	{ "byte order mark", "\357\273\277From: b@x\r\nFrom: a@x\r\n\r\n", false, JUNK },
	{ "fold first", " From: b@x\r\nFrom: a@x\r\n\r\n", false, JUNK },
	{ "bare LF", "Subject: x\nFrom: b@x\r\nFrom: a@x\r\n\r\n", false, BARE },
	{ "bare CR", "Subject: x\rFrom: b@x\r\nFrom: a@x\r\n\r\n", false, BARE },
	{ "CR CR LF", "From: a@x\r\r\n\r\n", false, BARE },
	{ "LF LF", "From: a@x\r\nSubject: x\n\nFrom: b@x\r\n\r\n", false, BARE },
	{ "NUL", "Subject: x~From: b@x\r\nFrom: a@x\r\n\r\n", false, BARE },
	{ "VT", "Subject: x\vFrom: b@x\r\nFrom: a@x\r\n\r\n", false, BARE },
	{ "FF", "From: a@x\r\nSubject: \fFrom: b@x\r\n\r\n", false, BARE },
	{ "FS", "From: a@x\r\nSubject: \034From: b@x\r\n\r\n", false, BARE },
	{ "RS", "From: a@x\r\nSubject: \036From: b@x\r\n\r\n", false, BARE },
	{ "tab and escape", "From: a@x\r\nSubject: \t\033$B\033(B\r\n\r\n", false, "a@x" },
	{ "NUL in the body", "From: a@x\r\n\r\n~From: b@x\r\n", false, "a@x" },
	{ "CR last", "From: a@x\r", false, BARE },

	{ "cut in From", "From: a@x", true, LARGE },
	{ "cut behind From", "From: a@x\r\n", true, LARGE },
	{ "cut in the empty line", "From: a@x\r\n\r", true, LARGE },
	{ "cut in a name", "From: a@x\r\nSubj", true, LARGE },
	{ "all beyond", "", true, LARGE },
};

static void print(char *out, size_t cap, const struct mail_author_list *authors)
{
	char text[SMTP_MAILBOX_TEXT_MAX + 1];
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < authors->count; i++) {
		(void)smtp_mailbox_format(&authors->list[i], text, sizeof text);
		n += (size_t)snprintf(out + n, cap - n, "%s%s%s", i > 0 ? " " : "",
				      i < authors->from_count ? "" : "/", text);
		ck_assert_uint_lt(n, cap);
	}
}

static uint8_t *with_nul(const char *head, size_t size)
{
	uint8_t *copy = guarded(head, size);

	for (size_t i = 0; i < size; i++)
		if (copy[i] == '~')
			copy[i] = '\0';
	return copy;
}

START_TEST(read_rows)
{
	size_t size = strlen(rows[_i].head);
	uint8_t *copy = with_nul(rows[_i].head, size);
	struct mail_author_list authors;
	const struct mail_fault *fault =
		mail_author_list_read(&authors, smtp_span_make(copy, size), !rows[_i].more);
	char got[256];

	if (fault != NULL) {
		(void)snprintf(got, sizeof got, "%s %s", fault->enhanced, fault->text);
		got[strlen(got) < strlen(rows[_i].says) ? strlen(got) : strlen(rows[_i].says)] = '\0';
		ck_assert_uint_eq(fault->code, fault->enhanced[2] == '3' ? 552 : 554);
	} else {
		print(got, sizeof got, &authors);
	}
	ck_assert_msg(strcmp(got, rows[_i].says) == 0, "%s: %s", rows[_i].name, got);
	guarded_free(copy, size);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("author_fields");
	TCase *tc = tcase_create("author_fields");

	tcase_add_loop_test(tc, read_rows, 0, ROWS(rows));
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
