/* SPDX-License-Identifier: ISC */
/* Base64, strict: the vectors of RFC 4648, everything that must be refused, and round trips. */
#include "libsmtp/core/base64.h"
#include "libsmtp/core/span.h"

#include "tests/unit/testing.h"

static const struct {
	const char *octets, *text;
} vectors[] = {
	{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
	{ "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" }, { "\377\376\375", "//79" },
	{ "\373\357\276", "++++" },
};

START_TEST(vector_rows)
{
	size_t n = strlen(vectors[_i].text), m = strlen(vectors[_i].octets);
	uint8_t *text = guarded(vectors[_i].text, n), *octets = guarded(vectors[_i].octets, m);
	struct smtp_buf out;

	smtp_buf_init(&out, 64);
	ck_assert_int_eq(smtp_base64_decode(&out, smtp_span_make(text, n)), 0);
	ck_assert(smtp_span_is(smtp_buf_span(&out), vectors[_i].octets));
	smtp_buf_clear(&out);
	ck_assert_int_eq(smtp_base64_encode(&out, smtp_span_make(octets, m)), 0);
	ck_assert(smtp_span_is(smtp_buf_span(&out), vectors[_i].text));
	smtp_buf_release(&out);
	guarded_free(text, n);
	guarded_free(octets, m);
}
END_TEST

static const char *const refused[] = {
	"Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "=", "==", "===", "====", "=Zg=", "Z===",
	"Zg==Zg==", "Zm 9v", " Zm9v", "Zm9v ", "Zm9v\r\n",
	"Zm-_", "Zm9\303", "Z=g=", "Zm9v=", "Zm9v====", "*",
};

START_TEST(refused_rows)
{
	size_t n = strlen(refused[_i]);
	uint8_t *text = guarded(refused[_i], n);
	struct smtp_buf out;

	smtp_buf_init(&out, 64);
	ck_assert_int_eq(smtp_buf_append_text(&out, "before"), 0);
	ck_assert_msg(smtp_base64_decode(&out, smtp_span_make(text, n)) == SMTP_ESYNTAX, "%s",
		      refused[_i]);
	ck_assert(smtp_span_is(smtp_buf_span(&out), "before"));
	smtp_buf_release(&out);
	guarded_free(text, n);
}
END_TEST

START_TEST(round_trip)
{
	uint8_t octets[259];

	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (uint8_t)(i * 37 + 11);
	for (size_t n = 0; n <= sizeof(octets); n++) {
		struct smtp_buf text, back;

		smtp_buf_init(&text, (n + 2) / 3 * 4);
		smtp_buf_init(&back, n);
		ck_assert_int_eq(smtp_base64_encode(&text, smtp_span_make(octets, n)), 0);
		ck_assert_int_eq(smtp_base64_decode(&back, smtp_buf_span(&text)), 0);
		ck_assert(smtp_span_equal(smtp_buf_span(&back), smtp_span_make(octets, n)));
		smtp_buf_release(&text);
		smtp_buf_release(&back);
	}
}
END_TEST

START_TEST(bounds)
{
	struct smtp_buf out;

	smtp_buf_init(&out, 3);
	ck_assert_int_eq(smtp_base64_encode(&out, smtp_span_of("a")), SMTP_ETOOLONG);
	ck_assert_int_eq(smtp_base64_decode(&out, smtp_span_of("Zm9vYg==")), SMTP_ETOOLONG);
	ck_assert_int_eq(smtp_base64_decode(&out, smtp_span_of("Zm9v")), 0);
	ck_assert_int_eq(smtp_base64_encode(&out, smtp_span_make("", SIZE_MAX)), SMTP_ETOOLONG);
	smtp_buf_release(&out);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("base64");
	TCase *tc = tcase_create("base64");

	tcase_add_loop_test(tc, vector_rows, 0, ROWS(vectors));
	tcase_add_loop_test(tc, refused_rows, 0, ROWS(refused));
	tcase_add_test(tc, round_trip);
	tcase_add_test(tc, bounds);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
