/* SPDX-License-Identifier: ISC */
/* The message of PLAIN: exactly two NULs, nothing empty that must not be. */
#include "libsmtp/core/sasl.h"
#include "libsmtp/core/span.h"

#include "tests/unit/testing.h"

static const struct {
	const char *name, *message;
	size_t n;
	int err;
	const char *authorization, *authentication, *password;
} rows[] = {
	{ "usual", "\0bob\0secret", 11, 0, "", "bob", "secret" },
	{ "with authorization", "al\0bob\0secret", 13, 0, "al", "bob", "secret" },
	{ "no password", "\0bob\0", 5, 0, "", "bob", "" },
	{ "blanks count", "\0 b \0 s ", 8, 0, "", " b ", " s " },
	{ "empty", "", 0, SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "no NUL", "bob", 3, SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "one NUL", "bob\0secret", 10, SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "three NULs", "\0bob\0sec\0ret", 12, SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "NUL at the end", "\0bob\0secret\0", 12, SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "no authentication id", "bob\0\0secret", 11, SMTP_ESYNTAX, NULL, NULL, NULL },
	{ "NULs only", "\0\0", 2, SMTP_ESYNTAX, NULL, NULL, NULL },
};

START_TEST(plain_rows)
{
	uint8_t *message = guarded(rows[_i].message, rows[_i].n);
	struct smtp_sasl_login login;
	struct smtp_buf out;

	memset(&login, 0xee, sizeof(login)); /* the stack may hold anything */
	ck_assert_msg(smtp_sasl_plain_parse(&login, smtp_span_make(message, rows[_i].n)) ==
			      rows[_i].err, "%s", rows[_i].name);
	if (!rows[_i].err) {
		ck_assert(smtp_span_is(login.authorization_id, rows[_i].authorization));
		ck_assert(smtp_span_is(login.authentication_id, rows[_i].authentication));
		ck_assert(smtp_span_is(login.password, rows[_i].password));
		ck_assert_uint_eq(login.token.n, 0);
		smtp_buf_init(&out, 64);
		ck_assert_int_eq(smtp_sasl_plain_format(&out, &login), 0);
		ck_assert(smtp_span_equal(smtp_buf_span(&out),
					  smtp_span_make(rows[_i].message, rows[_i].n)));
		smtp_buf_wipe(&out);
	}
	guarded_free(message, rows[_i].n);
}
END_TEST

static const struct {
	const char *name;
	struct smtp_span authorization, authentication, password;
	size_t max;
	int err;
} formats[] = {
	{ "NUL in authorization", { (const uint8_t *)"\0", 1 }, { (const uint8_t *)"b", 1 },
	  { (const uint8_t *)"s", 1 }, 64, SMTP_EINVAL },
	{ "NUL in authentication", { NULL, 0 }, { (const uint8_t *)"b\0", 2 },
	  { (const uint8_t *)"s", 1 }, 64, SMTP_EINVAL },
	{ "NUL in password", { NULL, 0 }, { (const uint8_t *)"b", 1 },
	  { (const uint8_t *)"\0s", 2 }, 64, SMTP_EINVAL },
	{ "no authentication", { NULL, 0 }, { NULL, 0 }, { (const uint8_t *)"s", 1 }, 64,
	  SMTP_EINVAL },
	{ "no room at all", { NULL, 0 }, { (const uint8_t *)"b", 1 }, { (const uint8_t *)"s", 1 },
	  1, SMTP_ETOOLONG },
	{ "no room for the password", { NULL, 0 }, { (const uint8_t *)"b", 1 },
	  { (const uint8_t *)"secret", 6 }, 5, SMTP_ETOOLONG },
};

START_TEST(format_rows)
{
	struct smtp_sasl_login login = { .authorization_id = formats[_i].authorization,
					 .authentication_id = formats[_i].authentication,
					 .password = formats[_i].password };
	struct smtp_buf out;

	smtp_buf_init(&out, formats[_i].max);
	ck_assert_int_eq(smtp_buf_append_text(&out, "x"), 0);
	ck_assert_msg(smtp_sasl_plain_format(&out, &login) == formats[_i].err, "%s",
		      formats[_i].name);
	ck_assert(smtp_span_is(smtp_buf_span(&out), "x"));
	smtp_buf_release(&out);
}
END_TEST

START_TEST(field_limit)
{
	uint8_t message[SMTP_SASL_FIELD_MAX + 8];
	struct smtp_sasl_login login;

	memset(message, 'x', sizeof(message));
	memcpy(message, "\0b\0", 3);
	ck_assert_int_eq(smtp_sasl_plain_parse(&login, smtp_span_make(message, 3 + 1024)), 0);
	ck_assert_int_eq(smtp_sasl_plain_parse(&login, smtp_span_make(message, 3 + 1025)),
			 SMTP_ETOOLONG);
}
END_TEST

/* Each of the three fields, one octet over. */
START_TEST(format_limit)
{
	uint8_t text[SMTP_SASL_FIELD_MAX + 1];
	struct smtp_span x = { text, 1 }, over = { text, sizeof(text) };
	struct smtp_span none = { NULL, 0 };
	struct smtp_sasl_login logins[] = { { over, x, x, none }, { x, over, x, none },
					    { x, x, over, none } };
	struct smtp_buf out;

	memset(text, 'x', sizeof(text));
	smtp_buf_init(&out, 8192);
	for (size_t i = 0; i < 3; i++) {
		struct smtp_span *fields[] = { &logins[i].authorization_id,
					       &logins[i].authentication_id, &logins[i].password };

		ck_assert_int_eq(smtp_sasl_plain_format(&out, &logins[i]), SMTP_ETOOLONG);
		fields[i]->n--;
		ck_assert_int_eq(smtp_sasl_plain_format(&out, &logins[i]), 0);
	}
	smtp_buf_release(&out);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sasl");
	TCase *tc = tcase_create("sasl");

	tcase_add_loop_test(tc, plain_rows, 0, ROWS(rows));
	tcase_add_loop_test(tc, format_rows, 0, ROWS(formats));
	tcase_add_test(tc, field_limit);
	tcase_add_test(tc, format_limit);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
