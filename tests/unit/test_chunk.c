/* SPDX-License-Identifier: ISC */
/* The argument of BDAT: a size, and the one mark there is. */
#include "libsmtp/core/chunk.h"
#include "libsmtp/core/span.h"

#include "tests/unit/testing.h"

static const struct {
	const char *name, *in;
	int err;
	uint64_t size;
	bool last;
} rows[] = {
	{ "size", "10", 0, 10, false },
	{ "nothing in it", "0", 0, 0, false },
	{ "last", "10 LAST", 0, 10, true },
	{ "last in any case", "10 lAsT", 0, 10, true },
	{ "more blanks", "10   LAST", 0, 10, true },
	{ "leading zeroes", "000000000000000000000000000010", 0, 10, false },
	{ "all of 64 bits", "18446744073709551615 LAST", 0, UINT64_MAX, true },
	{ "one more", "18446744073709551616 LAST", SMTP_EPROTO, 0, false },
	{ "many more", "99999999999999999999999999999999999999", SMTP_EPROTO, 0, false },
	{ "nothing", "", SMTP_EPROTO, 0, false },
	{ "mark alone", "LAST", SMTP_EPROTO, 0, false },
	{ "negative", "-1", SMTP_EPROTO, 0, false },
	{ "plus", "+1", SMTP_EPROTO, 0, false },
	{ "mark attached", "10LAST", SMTP_EPROTO, 0, false },
	{ "fraction", "1.5", SMTP_EPROTO, 0, false },
	{ "hexadecimal", "0x10", SMTP_EPROTO, 0, false },
	{ "two sizes", "10 20", SMTP_ESYNTAX, 10, false },
	{ "other word", "10 LAS", SMTP_ESYNTAX, 10, false },
	{ "longer word", "10 LASTX", SMTP_ESYNTAX, 10, false },
	{ "word behind the mark", "10 LAST x", SMTP_ESYNTAX, 10, false },
	{ "mark twice", "10 LAST LAST", SMTP_ESYNTAX, 10, false },
	{ "tab", "10\tLAST", SMTP_ESYNTAX, 10, false },
	{ "control octet", "10 \1", SMTP_ESYNTAX, 10, false },
	{ "octet beyond ASCII", "10 \xc3\x84", SMTP_ESYNTAX, 10, false },
};

START_TEST(argument)
{
	size_t n = strlen(rows[_i].in);
	uint8_t *copy = guarded(rows[_i].in, n);
	struct smtp_chunk chunk = { 1, true };
	int err = smtp_chunk_parse(&chunk, smtp_span_make(copy, n));

	ck_assert_msg(err == rows[_i].err, "%s: %d", rows[_i].name, err);
	ck_assert_msg(err == SMTP_EPROTO || chunk.size == rows[_i].size, "%s: size", rows[_i].name);
	ck_assert_msg(chunk.last == rows[_i].last, "%s: last", rows[_i].name);
	guarded_free(copy, n);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("chunk");
	TCase *tc = tcase_create("chunk");

	tcase_add_loop_test(tc, argument, 0, ROWS(rows));
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
