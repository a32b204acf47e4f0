/* SPDX-License-Identifier: ISC */
/* Spans, the reader over them, the character classes against their definitions in the RFCs,
 * UTF-8.
 */
#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

#include "tests/unit/testing.h"

START_TEST(comparing)
{
	ck_assert(smtp_span_is(smtp_span_of("abc"), "abc"));
	ck_assert(!smtp_span_is(smtp_span_of("abc"), "ab"));
	ck_assert(!smtp_span_is(smtp_span_of("abc"), "abC"));
	ck_assert(smtp_span_is_nocase(smtp_span_of("aBc"), "AbC"));
	ck_assert(!smtp_span_is_nocase(smtp_span_of("@[`{"), "`{@["));
	ck_assert(!smtp_span_is_nocase(smtp_span_of("\344"), "\304"));
	ck_assert(smtp_span_is(smtp_span_of(NULL), ""));
	ck_assert(smtp_span_equal(smtp_span_make("a\0b", 3), smtp_span_make("a\0b", 3)));
	ck_assert(!smtp_span_equal(smtp_span_make("a\0b", 3), smtp_span_make("a\0c", 3)));
}
END_TEST

START_TEST(slicing)
{
	struct smtp_span text = smtp_span_of("abcdef");

	ck_assert(smtp_span_is(smtp_span_slice(text, 0, SIZE_MAX), "abcdef"));
	ck_assert(smtp_span_is(smtp_span_slice(text, 2, 2), "cd"));
	ck_assert(smtp_span_is(smtp_span_slice(text, 5, 9), "f"));
	ck_assert_uint_eq(smtp_span_slice(text, 6, 1).n, 0);
	ck_assert_uint_eq(smtp_span_slice(text, SIZE_MAX, SIZE_MAX).n, 0);
	ck_assert(smtp_span_is(smtp_span_trim(smtp_span_of(" \t a b\t ")), "a b"));
	ck_assert(smtp_span_is(smtp_span_trim(smtp_span_of(" \t ")), ""));
	ck_assert(smtp_span_is(smtp_span_trim(smtp_span_of("")), ""));
	ck_assert(smtp_span_is(smtp_span_trim(smtp_span_of("\na\r")), "\na\r"));
}
END_TEST

START_TEST(copying)
{
	char out[4] = "xyz";

	ck_assert_int_eq(smtp_span_copy(smtp_span_of("abcd"), out, sizeof(out)), SMTP_ETOOLONG);
	ck_assert_int_eq(smtp_span_copy(smtp_span_make("a\0", 2), out, sizeof(out)), SMTP_ESYNTAX);
	ck_assert_str_eq(out, "xyz");
	ck_assert_int_eq(smtp_span_copy(smtp_span_of("abc"), out, sizeof(out)), 0);
	ck_assert_str_eq(out, "abc");
	ck_assert_int_eq(smtp_span_copy(smtp_span_of(NULL), out, sizeof(out)), 0);
	ck_assert_str_eq(out, "");
	ck_assert_int_eq(smtp_span_copy(smtp_span_of(""), out, 0), SMTP_ETOOLONG);
}
END_TEST

static const struct {
	const char *in;
	int err;
	uint64_t value;
} numbers[] = {
	{ "0", 0, 0 }, { "007", 0, 7 }, { "18446744073709551615", 0, UINT64_MAX },
	{ "18446744073709551616", SMTP_ETOOLONG, 0 },
	{ "99999999999999999999999", SMTP_ETOOLONG, 0 },
	{ "", SMTP_ESYNTAX, 0 }, { "-1", SMTP_ESYNTAX, 0 }, { "+1", SMTP_ESYNTAX, 0 },
	{ " 1", SMTP_ESYNTAX, 0 }, { "1 ", SMTP_ESYNTAX, 0 }, { "1a", SMTP_ESYNTAX, 0 },
	{ "99999999999999999999999x", SMTP_ESYNTAX, 0 },
};

START_TEST(number_rows)
{
	uint64_t value = 5;

	ck_assert_msg(smtp_span_uint(smtp_span_of(numbers[_i].in), &value) == numbers[_i].err, "%s",
		      numbers[_i].in);
	ck_assert_uint_eq(value, numbers[_i].err ? 5 : numbers[_i].value);
}
END_TEST

START_TEST(reader)
{
	struct smtp_reader rd;
	uint8_t *text = guarded("ab12 c", 6);

	smtp_reader_init(&rd, smtp_span_make(text, 6));
	ck_assert(!smtp_rd_char(&rd, 'b'));
	ck_assert(smtp_rd_literal(&rd, "AB"));
	ck_assert(!smtp_rd_literal(&rd, "12 cd"));
	ck_assert_int_eq(smtp_rd_peek(&rd), '1');
	ck_assert(smtp_span_is(smtp_rd_while(&rd, SMTP_CC_DIGIT), "12"));
	ck_assert_uint_eq(smtp_rd_while(&rd, SMTP_CC_DIGIT).n, 0);
	ck_assert_int_eq(smtp_rd_next(&rd), ' ');
	ck_assert(smtp_rd_char(&rd, 'c'));
	ck_assert(smtp_rd_end(&rd));
	ck_assert(!smtp_rd_char(&rd, 'c'));
	ck_assert(!smtp_rd_literal(&rd, "c"));
	ck_assert(smtp_rd_literal(&rd, ""));
	ck_assert_int_eq(smtp_rd_peek(&rd), -1);
	ck_assert_int_eq(smtp_rd_next(&rd), -1);
	ck_assert_uint_eq(smtp_rd_while(&rd, ~0u).n, 0);
	guarded_free(text, 6);
	smtp_reader_init(&rd, smtp_span_make(NULL, 0));
	ck_assert(smtp_rd_end(&rd));
	ck_assert_uint_eq(smtp_rd_while(&rd, ~0u).n, 0);
}
END_TEST

/* --- classes: inclusive ranges, as the RFCs write them ---------------------------------------- */

static const struct {
	unsigned mask;
	uint8_t ranges[24]; /* pairs; 0, 0 at the end unless the first */
} classes[] = {
	{ SMTP_CC_ALPHA, { 'A', 'Z', 'a', 'z' } },
	{ SMTP_CC_DIGIT, { '0', '9' } },
	{ SMTP_CC_LET_DIG, { 'A', 'Z', 'a', 'z', '0', '9' } },
	{ SMTP_CC_ATEXT, { 'A', 'Z', 'a', 'z', '0', '9', '!', '!', '#', '\'', '*', '+', '-', '-',
			   '/', '/', '=', '=', '?', '?', '^', '`', '{', '~' } },
	{ SMTP_CC_QTEXT, { 32, 33, 35, 91, 93, 126 } },
	{ SMTP_CC_DCONTENT, { 33, 90, 94, 126 } },
	{ SMTP_CC_ESMTP_VALUE, { 33, 60, 62, 126 } },
	{ SMTP_CC_XCHAR, { 33, 42, 44, 60, 62, 126 } },
	{ SMTP_CC_HEX, { '0', '9', 'A', 'F', 'a', 'f' } },
	{ SMTP_CC_BASE64, { 'A', 'Z', 'a', 'z', '0', '9', '+', '+', '/', '/' } },
	{ SMTP_CC_CONTROL, { 0, 31, 127, 127 } },
	{ SMTP_CC_UTF8, { 128, 255 } },
	{ SMTP_CC_HYPHEN, { '-', '-' } },
	{ SMTP_CC_BLANK, { ' ', ' ', '\t', '\t' } },
	{ SMTP_CC_FTEXT, { 33, 57, 59, 126 } },
};

static bool in_ranges(const uint8_t *ranges, unsigned c)
{
	for (size_t i = 0; i < sizeof(classes->ranges) && (i == 0 || ranges[i + 1]); i += 2)
		if (c >= ranges[i] && c <= ranges[i + 1])
			return true;
	return false;
}

START_TEST(class_rows)
{
	for (unsigned c = 0; c < 256; c++)
		ck_assert_msg(smtp_is((uint8_t)c, classes[_i].mask) ==
				      in_ranges(classes[_i].ranges, c), "octet %u", c);
}
END_TEST

START_TEST(has_and_all)
{
	ck_assert(smtp_span_has(smtp_span_of("ab1"), SMTP_CC_DIGIT));
	ck_assert(!smtp_span_has(smtp_span_of("abc"), SMTP_CC_DIGIT));
	ck_assert(!smtp_span_has(smtp_span_of(""), ~0u));
	ck_assert(smtp_span_all(smtp_span_of("123"), SMTP_CC_DIGIT));
	ck_assert(!smtp_span_all(smtp_span_of("12a"), SMTP_CC_DIGIT));
	ck_assert(smtp_span_all(smtp_span_of(""), 0));
	for (unsigned c = 0; c < 256; c++)
		ck_assert_uint_eq(smtp_ascii_lower((uint8_t)c), c >= 'A' && c <= 'Z' ? c + 32 : c);
}
END_TEST

/* --- UTF-8 ------------------------------------------------------------------------------------ */

/* Encodes a code point without asking whether it may be encoded. */
static size_t encode(uint32_t point, size_t n, uint8_t *out)
{
	static const uint8_t heads[] = { 0, 0, 0xc0, 0xe0, 0xf0 };

	for (size_t i = n - 1; i > 0; i--, point >>= 6)
		out[i] = (uint8_t)(0x80 | (point & 0x3f));
	out[0] = (uint8_t)(n == 1 ? point : heads[n] | point);
	return n;
}

/* Every code point in each length that can hold it: right only in its shortest. */
START_TEST(every_code_point)
{
	static const uint32_t limits[] = { 0, 0x80, 0x800, 0x10000, 0x200000 };

	for (uint32_t point = 0; point < 0x200000; point++) {
		for (size_t n = 1; n <= 4; n++) {
			uint8_t text[4];
			bool valid = point < limits[n] && point >= limits[n - 1] &&
				     point < 0x110000 && (point < 0xd800 || point > 0xdfff);
			size_t got;

			if (point >= limits[n])
				continue;
			encode(point, n, text);
			got = smtp_utf8_sequence(smtp_span_make(text, n));
			if (got != (valid ? n : 0))
				ck_abort_msg("U+%04X in %zu: %zu", point, n, got);
			if (n > 1 && smtp_utf8_sequence(smtp_span_make(text, n - 1)) != 0)
				ck_abort_msg("U+%04X cut", point);
		}
	}
}
END_TEST

static const struct {
	const char *in, *out;
	bool valid;
} texts[] = {
	{ "", "", true },
	{ "abc", "abc", true },
	{ "a\tb\r\nc\033\177", "a b??c??", true },
	{ "\303\266\342\202\254\360\237\230\200", "\303\266\342\202\254\360\237\230\200", true },
	{ "\302\200\302\237\302\240", "????\302\240", true },
	{ "\200", "?", false },
	{ "a\303", "a?", false },
	{ "\303\303\266", "?\303\266", false },
	{ "\355\240\200", "???", false },
	{ "\300\200", "??", false },
	{ "\342\202", "??", false },
	{ "\377\376", "??", false },
};

START_TEST(text_rows)
{
	size_t n = strlen(texts[_i].in);
	uint8_t *copy = guarded(texts[_i].in, n);

	ck_assert(smtp_utf8_is_valid(smtp_span_make(copy, n)) == texts[_i].valid);
	smtp_text_make_safe(copy, n);
	ck_assert_mem_eq(copy, texts[_i].out, n);
	ck_assert_uint_eq(strlen(texts[_i].out), n);
	guarded_free(copy, n);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("span");
	TCase *tc = tcase_create("span");

	tcase_add_test(tc, comparing);
	tcase_add_test(tc, slicing);
	tcase_add_test(tc, copying);
	tcase_add_loop_test(tc, number_rows, 0, ROWS(numbers));
	tcase_add_test(tc, reader);
	tcase_add_loop_test(tc, class_rows, 0, ROWS(classes));
	tcase_add_test(tc, has_and_all);
	tcase_add_test(tc, every_code_point);
	tcase_add_loop_test(tc, text_rows, 0, ROWS(texts));
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
