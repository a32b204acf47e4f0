/* SPDX-License-Identifier: ISC */
/* Walking a header section: folds, its end, and what is no field. */
#include "libsmtp/core/header.h"
#include "libsmtp/core/span.h"

#include "tests/unit/testing.h"

/* Fields come out as "name=value;" each, what is left behind "|". */
static const struct {
	const char *name, *in, *out;
} rows[] = {
	{ "nothing", "", "|" },
	{ "one", "A: b\r\n\r\nbody", "A= b;|body" },
	{ "two", "A: b\r\nC: d\r\n\r\nbody", "A= b;C= d;|body" },
	{ "empty value", "A:\r\n\r\n", "A=;|" },
	{ "no blank", "A:b\r\n\r\n", "A=b;|" },
	{ "folded", "A: b\r\n c\r\n\td\r\nE: f\r\n\r\n", "A= b\r\n c\r\n\td;E= f;|" },
	{ "fold of blanks only", "A: b\r\n \r\nE: f\r\n\r\n", "A= b\r\n ;E= f;|" },
	{ "colon in value", "A: b: c\r\n\r\n", "A= b: c;|" },
	{ "blank before colon", "A \t: b\r\n\r\n", "A= b;|" },
	{ "no body", "A: b\r\n", "A= b;|" },
	{ "no line end", "A: b", "A= b;|" },
	{ "only CR at the end", "A: b\r", "A= b\r;|" },
	{ "empty section", "\r\nA: b\r\n", "|A: b\r\n" },
	{ "no field", "A: b\r\nhello\r\nC: d\r\n", "A= b;|hello\r\nC: d\r\n" },
	{ "blank in name", "A b: c\r\n", "|A b: c\r\n" },
	{ "no name", ": c\r\n", "|: c\r\n" },
	{ "fold first", " A: b\r\n", "| A: b\r\n" },
	{ "control in name", "A\001: b\r\n", "|A\001: b\r\n" },
	{ "bare LF divides nothing", "A: b\nC: d\r\n\r\n", "A= b\nC: d;|" },
	{ "bare LF LF ends nothing", "A: b\n\nC: d\r\nE: f\r\n\r\nx", "A= b\n\nC: d;E= f;|x" },
	{ "bare LF at the end", "A: b\n", "A= b\n;|" },
	{ "bare LF first", "\nA: b\r\n", "|\nA: b\r\n" },
	{ "CR in a line", "A: \rb\r\r\nC: d\r\n", "A= \rb\r;C= d;|" },
	{ "UTF-8 value", "A: \303\266\r\n\r\n", "A= \303\266;|" },
};

static size_t add(char *out, size_t n, struct smtp_span span, const char *behind)
{
	if (span.n > 0)
		memcpy(out + n, span.p, span.n);
	n += span.n;
	memcpy(out + n, behind, strlen(behind) + 1);
	return n + strlen(behind);
}

START_TEST(walk_rows)
{
	size_t size = strlen(rows[_i].in), n = 0, raw = 0;
	uint8_t *copy = guarded(rows[_i].in, size);
	struct smtp_span rest = smtp_span_make(copy, size);
	struct smtp_header_field field;
	char out[128];

	while (smtp_header_next(&rest, &field) == 1) {
		ck_assert_ptr_eq(field.raw.p, copy + raw);
		raw += field.raw.n;
		n = add(out, n, field.name, "=");
		n = add(out, n, field.value, ";");
	}
	n = add(out, n, smtp_span_of(""), "|");
	add(out, n, rest, "");
	ck_assert_msg(strcmp(out, rows[_i].out) == 0, "%s: %s", rows[_i].name, out);
	guarded_free(copy, size);
}
END_TEST

START_TEST(find_and_count)
{
	struct smtp_span content = smtp_span_of("Received: a\r\nSubject: x\r\nreceived: b\r\n"
						"Subject2: y\r\n\r\nReceived: c\r\n");
	struct smtp_header_field field;

	ck_assert_uint_eq(smtp_header_count(content, "RECEIVED"), 2);
	ck_assert_uint_eq(smtp_header_count(content, "Sub"), 0);
	ck_assert(smtp_header_find(content, "subject", &field));
	ck_assert(smtp_span_is(field.value, " x"));
	ck_assert(smtp_span_is(field.raw, "Subject: x\r\n"));
	ck_assert(!smtp_header_find(content, "To", &field));
	ck_assert(!smtp_header_find(smtp_span_of(NULL), "To", &field));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("header");
	TCase *tc = tcase_create("header");

	tcase_add_loop_test(tc, walk_rows, 0, ROWS(rows));
	tcase_add_test(tc, find_and_count);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
