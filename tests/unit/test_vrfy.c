/* SPDX-License-Identifier: ISC */
/* Replies to VRFY and EXPN that are made of names and mailboxes. */
#include <smtp/vrfy.h>

#include "libsmtp/core/span.h"

#include "tests/unit/testing.h"

enum { VRFY, EXPN };

static const struct {
	const char *name;
	int command;
	bool smtputf8;
	const char *names[3];     /* full names, "" for none */
	const char *mailboxes[3]; /* up to a NULL */
	unsigned code;
	unsigned detail[2];
	const char *text;
} rows[] = {
	{ "none", VRFY, false, { 0 }, { 0 }, 550, { 1, 1 }, "no such user" },
	{ "no list", EXPN, false, { 0 }, { 0 }, 550, { 1, 1 }, "no such list" },
	{ "one", VRFY, false, { "" }, { "bob@example.org" }, 250, { 1, 5 }, "<bob@example.org>" },
	{ "with a name", VRFY, false, { " Bob B. " }, { "bob@example.org" }, 250, { 1, 5 },
	  "\"Bob B.\" <bob@example.org>" },
	{ "a phrase", VRFY, false, { "Bob Brown" }, { "bob@example.org" }, 250, { 1, 5 },
	  "Bob Brown <bob@example.org>" },
	{ "a name to quote", VRFY, false, { "\"B\" <x>\\" }, { "bob@example.org" }, 250, { 1, 5 },
	  "\"\\\"B\\\" <x>\\\\\" <bob@example.org>" },
	{ "a forged line", VRFY, false, { "Bob\r\n250 x" }, { "bob@example.org" }, 250, { 1, 5 },
	  "\"Bob??250 x\" <bob@example.org>" },
	{ "a quoted local part", VRFY, false, { "" }, { "b b@example.org" }, 250, { 1, 5 },
	  "<\"b b\"@example.org>" },
	{ "two", VRFY, false, { "", "Bob" }, { "b@a.example", "b@b.example" }, 553, { 1, 4 },
	  "ambiguous, it could be\n<b@a.example>\nBob <b@b.example>" },
	{ "a list", EXPN, false, { "Ann", "", "" }, { "a@x.example", "b@x.example" }, 250, { 1, 5 },
	  "Ann <a@x.example>\n<b@x.example>" },
	{ "a list of one", EXPN, false, { "" }, { "a@x.example" }, 250, { 1, 5 }, "<a@x.example>" },
	{ "UTF-8 is asked for", VRFY, true, { "Bj\xc3\xb6rn" }, { "bj\xc3\xb6rn@x.example" }, 250,
	  { 1, 5 }, "Bj\xc3\xb6rn <bj\xc3\xb6rn@x.example>" },
	{ "a name that can't be said", VRFY, false, { "Bj\xc3\xb6rn" }, { "b@x.example" }, 250,
	  { 1, 5 }, "<b@x.example>" },
	{ "a mailbox that can't", VRFY, false, { "B" }, { "bj\xc3\xb6rn@x.example" }, 252, { 6, 8 },
	  "the answer needs UTF-8, ask with SMTPUTF8" },
	{ "one of a list that can't", EXPN, false, { "", "" },
	  { "a@x.example", "bj\xc3\xb6rn@x.example" }, 252, { 6, 8 },
	  "the answer needs UTF-8, ask with SMTPUTF8" },
	{ "the first of a list that can't", EXPN, false, { "", "" },
	  { "bj\xc3\xb6rn@x.example", "a@x.example" }, 252, { 6, 8 },
	  "the answer needs UTF-8, ask with SMTPUTF8" },
	{ "a name that is no UTF-8", VRFY, true, { "B\xff" }, { "b@x.example" }, 250, { 1, 5 },
	  "B? <b@x.example>" },
};

static struct smtp_mailbox mailbox_of(const char *text)
{
	const char *at = strrchr(text, '@');
	struct smtp_mailbox mailbox = { 0 };

	memcpy(mailbox.local_part, text, (size_t)(at - text));
	memcpy(mailbox.domain, at + 1, strlen(at + 1));
	return mailbox;
}

static int reply_to(int row, struct smtp_reply *out, char *text, size_t cap)
{
	struct smtp_mailbox mailboxes[3];
	struct smtp_vrfy_entry entries[3];
	size_t n = 0;

	for (; n < 3 && rows[row].mailboxes[n]; n++) {
		mailboxes[n] = mailbox_of(rows[row].mailboxes[n]);
		entries[n] = (struct smtp_vrfy_entry){ rows[row].names[n], &mailboxes[n] };
	}
	return rows[row].command == VRFY ?
		       smtp_vrfy_reply(out, text, cap, entries, n, rows[row].smtputf8) :
		       smtp_expn_reply(out, text, cap, entries, n, rows[row].smtputf8);
}

START_TEST(replies)
{
	struct smtp_reply reply;
	char text[400];

	ck_assert_int_eq(reply_to(_i, &reply, text, sizeof(text)), 0);
	ck_assert_uint_eq(reply.code, rows[_i].code);
	ck_assert_uint_eq(reply.enhanced.subject, rows[_i].detail[0]);
	ck_assert_uint_eq(reply.enhanced.detail, rows[_i].detail[1]);
	ck_assert_msg(smtp_span_is(reply.text, rows[_i].text), "%s: %.*s", rows[_i].name,
		      (int)reply.text.n, (const char *)reply.text.p);
}
END_TEST

/* What fits is written whole; a smaller place is told, and nothing behind it is touched. */
START_TEST(small_places)
{
	struct smtp_reply reply;
	char text[400];

	for (size_t cap = 0; cap < sizeof(text); cap++) {
		int err;

		memset(text, '#', sizeof(text));
		err = reply_to(_i, &reply, text, cap);
		ck_assert(err == 0 || err == SMTP_ETOOLONG);
		for (size_t i = cap; i < sizeof(text); i++)
			ck_assert_int_eq(text[i], '#');
	}
	ck_assert_int_eq(reply_to(_i, &reply, text, sizeof(text)), 0);
}
END_TEST

START_TEST(forwarding)
{
	struct smtp_mailbox bob = mailbox_of("bob@new.example");
	struct smtp_mailbox bjorn = mailbox_of("bj\xc3\xb6rn@new.example");
	struct smtp_reply reply;
	char text[100];

	ck_assert_int_eq(smtp_vrfy_reply_forward(&reply, text, sizeof(text), &bob, false), 0);
	ck_assert_uint_eq(reply.code, 251);
	ck_assert(smtp_span_is(reply.text, "user not local; will forward to <bob@new.example>"));
	ck_assert_int_eq(smtp_vrfy_reply_forward(&reply, text, sizeof(text), &bjorn, false), 0);
	ck_assert_uint_eq(reply.code, 252);
	ck_assert_int_eq(smtp_vrfy_reply_forward(&reply, text, sizeof(text), &bjorn, true), 0);
	ck_assert_uint_eq(reply.code, 251);
	ck_assert_int_eq(smtp_vrfy_reply_forward(&reply, text, 40, &bob, true), SMTP_ETOOLONG);
}
END_TEST

START_TEST(what_is_no_mailbox)
{
	struct smtp_mailbox wrong[] = { mailbox_of("@example.org"), mailbox_of("bob@"),
					mailbox_of("b\nb@example.org"),
					mailbox_of("b\xff@example.org"),
					mailbox_of("bob@exa mple.org") };
	struct smtp_vrfy_entry entry = { NULL, NULL };
	struct smtp_reply reply = smtp_reply_of(200, NULL, "as it was");
	char text[100];

	ck_assert_int_eq(smtp_vrfy_reply(&reply, text, sizeof(text), &entry, 1, true), SMTP_EINVAL);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		entry.mailbox = &wrong[i];
		ck_assert_int_eq(smtp_vrfy_reply(&reply, text, sizeof(text), &entry, 1, true),
				 SMTP_EINVAL);
		ck_assert_int_eq(smtp_vrfy_reply_forward(&reply, text, sizeof(text), &wrong[i], true),
				 SMTP_EINVAL);
	}
	ck_assert_uint_eq(reply.code, 200);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vrfy");
	TCase *tc = tcase_create("vrfy");

	tcase_add_loop_test(tc, replies, 0, ROWS(rows));
	tcase_add_loop_test(tc, small_places, 0, ROWS(rows));
	tcase_add_test(tc, forwarding);
	tcase_add_test(tc, what_is_no_mailbox);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
