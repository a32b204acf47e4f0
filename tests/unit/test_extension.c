/* SPDX-License-Identifier: ISC */
/* What an EHLO reply offers. */
#include "libsmtp/core/extension.h"
#include "libsmtp/core/span.h"

#include "tests/unit/testing.h"

enum {
	PIPELINING = 1 << 0,
	SIZE = 1 << 1,
	EIGHTBIT = 1 << 2,
	STARTTLS = 1 << 3,
	AUTH = 1 << 4,
	CODES = 1 << 5,
	CHUNKING = 1 << 6,
	DSN = 1 << 7,
	UTF8 = 1 << 8,
	PLAIN = SMTP_MECHANISM_PLAIN,
	LOGIN = SMTP_MECHANISM_LOGIN
};

static const struct {
	const char *name, *in;
	unsigned flags;
	uint64_t size;
	unsigned mechanisms;
} rows[] = {
	{ "nothing", "", 0, 0, 0 },
	{ "greeting only", "x.org", 0, 0, 0 },
	{ "greeting is no keyword", "STARTTLS", 0, 0, 0 },
	{ "all", "x.org hello\nPIPELINING\nSIZE 1000\n8BITMIME\nSTARTTLS\nAUTH PLAIN LOGIN\n"
		 "ENHANCEDSTATUSCODES\nCHUNKING\nDSN\nSMTPUTF8", 0x1ff, 1000, PLAIN | LOGIN },
	{ "any case", "x\npipelining\nStartTls\nauth plain",
	  PIPELINING | STARTTLS | AUTH, 0, PLAIN },
	{ "size without number", "x\nSIZE", SIZE, 0, 0 },
	{ "size zero", "x\nSIZE 0", SIZE, 0, 0 },
	{ "size overflows", "x\nSIZE 99999999999999999999", SIZE, 0, 0 },
	{ "size is no number", "x\nSIZE many", SIZE, 0, 0 },
	{ "size and more", "x\nSIZE  77 x", SIZE, 77, 0 },
	{ "unknown mechanisms", "x\nAUTH NTLM DIGEST-MD5", AUTH, 0, 0 },
	{ "some known", "x\nAUTH NTLM  LOGIN  GSSAPI", AUTH, 0, LOGIN },
	{ "two lines", "x\nAUTH LOGIN\nAUTH=PLAIN NTLM", AUTH, 0, PLAIN | LOGIN },
	{ "prefix of a mechanism", "x\nAUTH PLAI PLAINX XLOGIN", AUTH, 0, 0 },
	{ "longer keyword", "x\nSTARTTLSX\nXDSN\nDSN-X", 0, 0, 0 },
	{ "equals elsewhere", "x\nSIZE=1000\nDSN=1", 0, 0, 0 },
	{ "text behind keyword", "x\nDSN RET\nPIPELINING ", DSN | PIPELINING, 0, 0 },
	{ "odd lines", "x\n\n \n=\n?\n250\nDSN\n", DSN, 0, 0 },
	{ "blank before", "x\n DSN", DSN, 0, 0 },
};

static unsigned flags_of(const struct smtp_extensions *e)
{
	return (e->pipelining ? PIPELINING : 0u) | (e->size ? SIZE : 0u) |
	       (e->eightbitmime ? EIGHTBIT : 0u) | (e->starttls ? STARTTLS : 0u) |
	       (e->auth ? AUTH : 0u) | (e->enhancedstatuscodes ? CODES : 0u) |
	       (e->chunking ? CHUNKING : 0u) | (e->dsn ? DSN : 0u) | (e->smtputf8 ? UTF8 : 0u);
}

START_TEST(ehlo_rows)
{
	size_t n = strlen(rows[_i].in);
	uint8_t *copy = guarded(rows[_i].in, n);
	struct smtp_extensions e;

	memset(&e, 1, sizeof(e));
	smtp_extensions_parse(&e, smtp_span_make(copy, n));
	ck_assert(e.extended);
	ck_assert_msg(flags_of(&e) == rows[_i].flags, "%s: %x", rows[_i].name, flags_of(&e));
	ck_assert_msg(e.size_limit == rows[_i].size, "%s: size", rows[_i].name);
	ck_assert_msg(e.mechanisms == rows[_i].mechanisms, "%s: mechanisms", rows[_i].name);
	guarded_free(copy, n);
}
END_TEST

START_TEST(mechanisms)
{
	ck_assert_uint_eq(smtp_mechanism_of(smtp_span_of("plain")), PLAIN);
	ck_assert_uint_eq(smtp_mechanism_of(smtp_span_of("LOGIN")), LOGIN);
	ck_assert_uint_eq(smtp_mechanism_of(smtp_span_of("")), 0);
	ck_assert_str_eq(smtp_mechanism_name(PLAIN), "PLAIN");
	ck_assert_str_eq(smtp_mechanism_name(LOGIN), "LOGIN");
	ck_assert_ptr_null(smtp_mechanism_name(PLAIN | LOGIN));
	ck_assert_ptr_null(smtp_mechanism_name(0));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("extension");
	TCase *tc = tcase_create("extension");

	tcase_add_loop_test(tc, ehlo_rows, 0, ROWS(rows));
	tcase_add_test(tc, mechanisms);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
