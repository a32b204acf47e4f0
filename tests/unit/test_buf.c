/* SPDX-License-Identifier: ISC */
/* Buffers: never over their maximum, unchanged when appending fails. */
#include "libsmtp/core/buf.h"
#include "libsmtp/core/span.h"

#include "tests/unit/testing.h"

START_TEST(append)
{
	struct smtp_buf buf;

	smtp_buf_init(&buf, 64);
	ck_assert_ptr_null(buf.p);
	ck_assert_int_eq(smtp_buf_append(&buf, NULL, 0), 0);
	ck_assert_int_eq(smtp_buf_append_text(&buf, "abc"), 0);
	ck_assert_int_eq(smtp_buf_append_span(&buf, smtp_span_make("d\0e", 3)), 0);
	ck_assert_int_eq(smtp_buf_append_uint(&buf, 0), 0);
	ck_assert_int_eq(smtp_buf_append_uint(&buf, UINT64_MAX), 0);
	ck_assert(smtp_span_equal(smtp_buf_span(&buf),
				  smtp_span_make("abcd\0e018446744073709551615", 27)));
	smtp_buf_clear(&buf);
	ck_assert_uint_eq(smtp_buf_span(&buf).n, 0);
	ck_assert_ptr_nonnull(buf.p);
	smtp_buf_release(&buf);
	ck_assert_ptr_null(buf.p);
	ck_assert_uint_eq(buf.max, 64);
}
END_TEST

/* Octet by octet up to each maximum, and one more. */
START_TEST(maximum)
{
	for (size_t max = 0; max < 300; max++) {
		struct smtp_buf buf;

		smtp_buf_init(&buf, max);
		for (size_t i = 0; i < max; i++)
			ck_assert_int_eq(smtp_buf_append(&buf, "x", 1), 0);
		ck_assert_int_eq(smtp_buf_append(&buf, "y", 1), SMTP_ETOOLONG);
		ck_assert_int_eq(smtp_buf_reserve(&buf, SIZE_MAX), SMTP_ETOOLONG);
		ck_assert_uint_eq(buf.n, max);
		ck_assert_uint_le(buf.cap, max);
		for (size_t i = 0; i < max; i++)
			ck_assert_uint_eq(buf.p[i], 'x');
		smtp_buf_release(&buf);
	}
}
END_TEST

/* AddressSanitizer would end the test instead of letting malloc() fail. */
const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

START_TEST(out_of_memory)
{
	struct smtp_buf buf;

	smtp_buf_init(&buf, SIZE_MAX);
	ck_assert_int_eq(smtp_buf_append_text(&buf, "abc"), 0);
	ck_assert_int_eq(smtp_buf_reserve(&buf, SIZE_MAX - 3), SMTP_ENOMEM);
	ck_assert(smtp_span_is(smtp_buf_span(&buf), "abc"));
	ck_assert_int_eq(smtp_buf_reserve(&buf, SIZE_MAX - 2), SMTP_ETOOLONG);
	smtp_buf_release(&buf);
}
END_TEST

static const struct {
	size_t n;
	const char *left;
} drops[] = { { 0, "abcdef" }, { 1, "bcdef" }, { 5, "f" }, { 6, "" }, { 7, "" }, { SIZE_MAX, "" } };

START_TEST(drop)
{
	struct smtp_buf buf;

	smtp_buf_init(&buf, 64);
	smtp_buf_drop(&buf, 1);
	ck_assert_int_eq(smtp_buf_append_text(&buf, "abcdef"), 0);
	smtp_buf_drop(&buf, drops[_i].n);
	ck_assert(smtp_span_is(smtp_buf_span(&buf), drops[_i].left));
	smtp_buf_release(&buf);
}
END_TEST

START_TEST(reserve)
{
	struct smtp_buf buf;

	smtp_buf_init(&buf, 1000);
	ck_assert_int_eq(smtp_buf_append_text(&buf, "abc"), 0);
	ck_assert_int_eq(smtp_buf_reserve(&buf, 700), 0);
	ck_assert_uint_ge(buf.cap, 703);
	memset(buf.p + buf.n, 'x', 700);
	ck_assert_uint_eq(buf.n, 3);
	smtp_buf_wipe(&buf);
	ck_assert_ptr_null(buf.p);
	smtp_buf_wipe(&buf);
}
END_TEST

START_TEST(error_texts)
{
#define ERROR_ROW(name, value, text) { SMTP_##name, value, text },
	static const struct {
		int error, value;
		const char *text;
	} errors[] = { SMTP_ERROR_MAP(ERROR_ROW) };

	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
		ck_assert_int_eq(errors[i].error, errors[i].value);
		ck_assert_str_eq(smtp_error_str(errors[i].error), errors[i].text);
	}
	ck_assert_str_eq(smtp_error_str(0), "success");
	ck_assert_str_eq(smtp_error_str(-999), "unknown error");
	ck_assert_str_eq(smtp_library_version(), LIBSMTP_VERSION);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("buf");
	TCase *tc = tcase_create("buf");

	tcase_add_test(tc, append);
	tcase_add_test(tc, maximum);
	tcase_add_test(tc, out_of_memory);
	tcase_add_loop_test(tc, drop, 0, ROWS(drops));
	tcase_add_test(tc, reserve);
	tcase_add_test(tc, error_texts);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
