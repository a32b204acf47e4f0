/* SPDX-License-Identifier: ISC */
/* Answers of DNS servers, octet by octet: names, compression, aliases, records; each message also cut
 * off at every length, and with every octet changed.
 */
#include "tests/unit/testing.h"

#include "libsmtp/net/dns_message.h"

#include <stdio.h>

/* One question for "a.test" (type MX), then records. */
#define HEAD(answers) "\x12\x34\x81\x80\0\x01\0" answers "\0\0\0\0"
#define QUESTION "\x01" "a\x04test\0\0\x0f\0\x01"
#define OWNER "\xc0\x0c" /* a.test */
#define TTL "\0\0\x0e\x10"
#define MX(preference, n, name) OWNER "\0\x0f\0\x01" TTL "\0" n preference name

#define BYTES(text) text, sizeof(text) - 1

/* --- names --- */

static const struct {
	const char *name, *message;
	size_t n, from;
	const char *text; /* NULL: refused */
	size_t behind;
} name_rows[] = {
	{ "root", BYTES("\0"), 0, "", 1 },
	{ "two labels", BYTES("\x01" "A\x03Org\0"), 0, "a.org", 7 },
	{ "escapes", BYTES("\x04" "a.\0\xff\0"), 0, "a\\046\\000\\255", 6 },
	{ "hyphen, underscore", BYTES("\x04_-a1\0"), 0, "_-a1", 6 },
	{ "pointer", BYTES("\x03org\0\x01" "a\xc0\0"), 5, "a.org", 9 },
	{ "pointer to pointer", BYTES("\x01z\0\xc0\0\xc0\x03"), 5, "z", 7 },
	{ "pointer to itself", BYTES("\xc0\0"), 0, NULL, 0 },
	{ "pointer forward", BYTES("\xc0\x02\0"), 0, NULL, 0 },
	{ "pointer into its own label", BYTES("\x01" "a\xc0\0"), 0, NULL, 0 },
	{ "loop of two", BYTES("\x01" "a\xc0\x04\x01" "b\xc0\0"), 4, NULL, 0 },
	{ "pointer cut off", BYTES("\0\xc0"), 1, NULL, 0 },
	{ "label cut off", BYTES("\x03" "ab"), 0, NULL, 0 },
	{ "no end", BYTES("\x02" "ab"), 0, NULL, 0 },
	{ "label type 0x40", BYTES("\x41" "a\0"), 0, NULL, 0 },
	{ "label type 0x80", BYTES("\x81" "a\0"), 0, NULL, 0 },
	{ "beyond the message", BYTES("\0"), 1, NULL, 0 },
};

START_TEST(name)
{
	size_t n = name_rows[_i].n, at = name_rows[_i].from;
	uint8_t *copy = guarded(name_rows[_i].message, n);
	char text[SMTP_DNS_NAME_TEXT_MAX + 1];
	int err = smtp_dns_name_read((struct smtp_span){ copy, n }, &at, text);

	if (name_rows[_i].text) {
		ck_assert_int_eq(err, 0);
		ck_assert_str_eq(text, name_rows[_i].text);
		ck_assert_uint_eq(at, name_rows[_i].behind);
	} else {
		ck_assert_int_eq(err, SMTP_ESYNTAX);
		ck_assert_uint_eq(at, name_rows[_i].from);
	}
	guarded_free(copy, n);
}
END_TEST

/* 127 labels of one octet make 255 with the root: as long as a name may be. */
START_TEST(name_longest)
{
	uint8_t octets[2 * 128 + 1];
	char text[SMTP_DNS_NAME_TEXT_MAX + 1];
	size_t at = 0;

	for (size_t i = 0; i < 128; i++) {
		octets[2 * i] = 1;
		octets[2 * i + 1] = '.';
	}
	octets[2 * 127] = 0;
	ck_assert_int_eq(smtp_dns_name_read((struct smtp_span){ octets, 255 }, &at, text), 0);
	ck_assert_uint_eq(at, 255);
	ck_assert_uint_eq(strlen(text), 127 * 4 + 126);
	octets[2 * 127] = 1;
	octets[2 * 128] = 0;
	at = 0;
	ck_assert_int_eq(smtp_dns_name_read((struct smtp_span){ octets, 257 }, &at, text),
			 SMTP_ESYNTAX);
}
END_TEST

/* --- answers --- */

static const struct {
	const char *name, *message;
	size_t n;
	const char *found; /* "preference name;" for each; "!" at the end: then it could not be read */
} rows[] = {
	{ "no records", BYTES(HEAD("\0") QUESTION), "" },
	{ "two", BYTES(HEAD("\x02") QUESTION MX("\0\x0a", "\x08", "\x02" "m1\x01" "b\0")
		       MX("\x01\0", "\x07", "\x02m2\xc0\x0e")), "10 m1.b;256 m2.test;" },
	{ "null MX", BYTES(HEAD("\x01") QUESTION MX("\0\0", "\x03", "\0")), "0 ;" },
	{ "alias first", BYTES(HEAD("\x02") QUESTION
		OWNER "\0\x05\0\x01" TTL "\0\x04\x01" "b\xc0\x0e"
		"\x01" "b\xc0\x0e\0\x0f\0\x01" TTL "\0\x05\0\x01\x01x\0"), "1 x;" },
	{ "other owner", BYTES(HEAD("\x01") QUESTION
		"\x01" "b\xc0\x0e\0\x0f\0\x01" TTL "\0\x05\0\x01\x01x\0"), "" },
	{ "other case", BYTES(HEAD("\x01") QUESTION
		"\x01" "A\x04TEST\0\0\x0f\0\x01" TTL "\0\x05\0\x01\x01x\0"), "1 x;" },
	{ "other type between", BYTES(HEAD("\x02") QUESTION
		OWNER "\0\x01\0\x01" TTL "\0\x04\x7f\0\0\x01" MX("\0\x05", "\x05", "\x01m\0")),
	  "5 m;" },
	{ "other class", BYTES(HEAD("\x01") QUESTION
		OWNER "\0\x0f\0\x03" TTL "\0\x05\0\x01\x01x\0"), "!" },
	{ "record missing", BYTES(HEAD("\x02") QUESTION MX("\0\x0a", "\x05", "\x01m\0")),
	  "10 m;!" },
	{ "data longer than told", BYTES(HEAD("\x01") QUESTION MX("\0\x0a", "\x04", "\x01m\0")),
	  "!" },
	{ "data shorter than told", BYTES(HEAD("\x01") QUESTION MX("\0\x0a", "\x06", "\x01m\0z")),
	  "!" },
	{ "data beyond the message", BYTES(HEAD("\x01") QUESTION MX("\0\x0a", "\x7f", "\x01m\0")),
	  "!" },
	{ "one octet of data", BYTES(HEAD("\x01") QUESTION
		OWNER "\0\x0f\0\x01" TTL "\0\x01\0"), "!" },
	{ "no question", BYTES("\x12\x34\x81\x80\0\0\0\0\0\0\0\0"), "!" },
	{ "two questions", BYTES("\x12\x34\x81\x80\0\x02\0\0\0\0\0\0" QUESTION), "!" },
	{ "header cut off", BYTES("\x12\x34\x81\x80\0\x01\0"), "!" },
	{ "nothing", BYTES(""), "!" },
};

/* As `found` in the table. */
static void read_all(const uint8_t *message, size_t n, char *out, size_t cap)
{
	struct smtp_dns_reader rd;
	struct smtp_dns_record record;
	char exchange[SMTP_DNS_NAME_TEXT_MAX + 1];
	size_t used = 0;
	uint16_t preference;
	int got = smtp_dns_reader_init(&rd, (struct smtp_span){ message, n }, SMTP_DNS_TYPE_MX);

	out[0] = '\0';
	if (got == 0)
		while ((got = smtp_dns_reader_next(&rd, &record)) == 1) {
			got = smtp_dns_mx_read(&rd, &record, &preference, exchange);
			if (got != 0)
				break;
			used += (size_t)snprintf(out + used, cap - used, "%u %s;", preference,
						 exchange);
			ck_assert_uint_lt(used, cap);
		}
	if (got < 0)
		(void)snprintf(out + used, cap - used, "!");
}

START_TEST(answer)
{
	uint8_t *copy = guarded(rows[_i].message, rows[_i].n);
	char found[4096];

	read_all(copy, rows[_i].n, found, sizeof found);
	ck_assert_msg(strcmp(found, rows[_i].found) == 0, "%s: %s", rows[_i].name, found);
	guarded_free(copy, rows[_i].n);
}
END_TEST

/* Whatever is cut off or changed: nothing is read that is not there. */
START_TEST(answer_damaged)
{
	size_t n = rows[_i].n;
	char found[8192];

	for (size_t cut = 0; cut < n; cut++) {
		uint8_t *copy = guarded(rows[_i].message, cut);

		read_all(copy, cut, found, sizeof found);
		/* Who says how many records there are is not believed. */
		if (cut >= 12 && rows[_i].message[7] != 0)
			ck_assert_ptr_nonnull(strchr(found, '!'));
		guarded_free(copy, cut);
	}
	for (size_t at = 0; at < n; at++) {
		uint8_t *copy = guarded(rows[_i].message, n);

		for (int value = 0; value < 256; value++) {
			copy[at] = (uint8_t)value;
			read_all(copy, n, found, sizeof found);
		}
		guarded_free(copy, n);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dns_message");
	TCase *tc = tcase_create("dns_message");

	tcase_add_loop_test(tc, name, 0, ROWS(name_rows));
	tcase_add_test(tc, name_longest);
	tcase_add_loop_test(tc, answer, 0, ROWS(rows));
	tcase_add_loop_test(tc, answer_damaged, 0, ROWS(rows));
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
