/* SPDX-License-Identifier: ISC */
/* URLs of servers: each scheme, its port, users with escapes, and a reason for each refusal. */
#include <smtp/url.h>

#include "libsmtp/core/span.h"

#include "tests/unit/testing.h"

#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X300 X50 X50 X50 X50 X50 X50

static const struct {
	const char *in;
	enum smtp_url_scheme scheme;
	const char *user, *host;
	uint16_t port;
} good[] = {
	{ "smtp://mail.example.org", SMTP_URL_SMTP, "", "mail.example.org", 25 },
	{ "smtp://mail.example.org:2525", SMTP_URL_SMTP, "", "mail.example.org", 2525 },
	{ "smtp://mail.example.org/", SMTP_URL_SMTP, "", "mail.example.org", 25 },
	{ "SMTPS://mail.example.org", SMTP_URL_SMTPS, "", "mail.example.org", 465 },
	{ "smtp+starttls://bob@mail.example.org", SMTP_URL_SMTP_STARTTLS, "bob", "mail.example.org",
	  587 },
	{ "smtps://bob%40example.org@mail.example.org:1/", SMTP_URL_SMTPS, "bob@example.org",
	  "mail.example.org", 1 },
	{ "smtps://b%C3%B6b@x", SMTP_URL_SMTPS, "b\303\266b", "x", 465 },
	{ "smtps://%39%3F%6f%F0%9f%98%80@x", SMTP_URL_SMTPS, "9?o\360\237\230\200", "x", 465 },
	{ "smtps://a%3ab+c=d@x", SMTP_URL_SMTPS, "a:b+c=d", "x", 465 },
	{ "smtp://127.0.0.1:65535", SMTP_URL_SMTP, "", "127.0.0.1", 65535 },
	{ "smtp://[::1]", SMTP_URL_SMTP, "", "::1", 25 },
	{ "smtp://bob@[2001:db8::1]:26", SMTP_URL_SMTP, "bob", "2001:db8::1", 26 },
	{ "lmtp://[::1]", SMTP_URL_LMTP, "", "::1", 24 },
	{ "lmtp://mail.example.org:2424", SMTP_URL_LMTP, "", "mail.example.org", 2424 },
	{ "lmtp+unix:/run/dovecot/lmtp", SMTP_URL_LMTP_UNIX, "", "/run/dovecot/lmtp", 0 },
	{ "lmtp+unix:///run/dovecot/lmtp", SMTP_URL_LMTP_UNIX, "", "/run/dovecot/lmtp", 0 },
	{ "lmtp+unix:/a b%20@:", SMTP_URL_LMTP_UNIX, "", "/a b%20@:", 0 },
	{ "mx://example.org", SMTP_URL_MX, "", "example.org", 0 },
	{ "smtp://" "bob@x", SMTP_URL_SMTP, "bob", "x", 25 },
};

static int parse(struct smtp_url *url, const char *text, const char **problem)
{
	size_t n = strlen(text);
	uint8_t *copy = guarded(text, n);
	int err = smtp_url_parse(url, smtp_span_make(copy, n), problem);

	guarded_free(copy, n);
	return err;
}

START_TEST(good_rows)
{
	struct smtp_url url;
	const char *problem = NULL;

	ck_assert_msg(parse(&url, good[_i].in, &problem) == 0, "%s: %s", good[_i].in, problem);
	ck_assert_ptr_null(problem);
	ck_assert_int_eq(url.scheme, good[_i].scheme);
	ck_assert_str_eq(url.user, good[_i].user);
	ck_assert_str_eq(url.host, good[_i].host);
	ck_assert_uint_eq(url.port, good[_i].port);
}
END_TEST

static const struct {
	const char *in;
	int err;
	const char *problem; /* some of the text */
} bad[] = {
	{ "", SMTP_ENOTSUP, "begin with" },
	{ "mail.example.org", SMTP_ENOTSUP, "begin with" },
	{ "http://x", SMTP_ENOTSUP, "begin with" },
	{ "smtp:x", SMTP_ENOTSUP, "begin with" },
	{ " smtp://x", SMTP_ENOTSUP, "begin with" },
	{ "smtp://", SMTP_ESYNTAX, "missing" },
	{ "smtp://:25", SMTP_ESYNTAX, "missing" },
	{ "smtp:///x", SMTP_ESYNTAX, "missing" },
	{ "smtp://x:", SMTP_ESYNTAX, "port" },
	{ "smtp://x:0", SMTP_ESYNTAX, "port" },
	{ "smtp://x:65536", SMTP_ESYNTAX, "port" },
	{ "smtp://x:99999999999999999999999", SMTP_ESYNTAX, "port" },
	{ "smtp://x:-1", SMTP_ESYNTAX, "port" },
	{ "smtp://x:25x", SMTP_ESYNTAX, "behind" },
	{ "smtp://x/y", SMTP_ESYNTAX, "behind" },
	{ "smtp://x?y", SMTP_ESYNTAX, "host name" },
	{ "smtp://x_y", SMTP_ESYNTAX, "host name" },
	{ "smtp://x y", SMTP_ESYNTAX, "host name" },
	{ "smtp://x\r\ny", SMTP_ESYNTAX, "host name" },
	{ "smtp://@x", SMTP_ESYNTAX, "before the '@'" },
	{ "smtp://bob:secret@x", SMTP_ESYNTAX, "password" },
	{ "smtp://a@b@x", SMTP_ESYNTAX, "escape" },
	{ "smtp://a b@x", SMTP_ESYNTAX, "escape" },
	{ "smtp://a%4@x", SMTP_ESYNTAX, "escape" },
	{ "smtp://a%@x", SMTP_ESYNTAX, "escape" },
	{ "smtp://a%zz@x", SMTP_ESYNTAX, "escape" },
	{ "smtp://a%00@x", SMTP_ESYNTAX, "escape" },
	{ "smtp://a%0d%0a@x", SMTP_ESYNTAX, "escape" },
	{ "smtp://\303\266@x", SMTP_ESYNTAX, "escape" },
	{ "smtp://%C3@x", SMTP_ESYNTAX, "UTF-8" },
	{ "smtp://" X300 X50 "@x", SMTP_ESYNTAX, "too long" },
	{ "smtp://" X300, SMTP_ESYNTAX, "host name" },
	{ "smtp://[::1", SMTP_ESYNTAX, "closed" },
	{ "smtp://[]", SMTP_ESYNTAX, "IPv6" },
	{ "smtp://[192.0.2.1]", SMTP_ESYNTAX, "IPv6" },
	{ "smtp://[" X300 "]", SMTP_ESYNTAX, "IPv6" },
	{ "smtp://[::1]x", SMTP_ESYNTAX, "behind" },
	{ "lmtp+unix:", SMTP_ESYNTAX, "path" },
	{ "lmtp+unix:/", SMTP_ESYNTAX, "path" },
	{ "lmtp+unix:run", SMTP_ESYNTAX, "path" },
	{ "lmtp+unix://run", SMTP_ESYNTAX, "path" },
	{ "lmtp+unix:/a\nb", SMTP_ESYNTAX, "control" },
	{ "lmtp+unix:/" X300, SMTP_ESYNTAX, "too long" },
	{ "mx://", SMTP_ESYNTAX, "missing" },
	{ "mx://bob@x", SMTP_ESYNTAX, "user" },
	{ "mx://x:25", SMTP_ESYNTAX, "port" },
	{ "mx://[::1]", SMTP_ESYNTAX, "host name" },
};

START_TEST(bad_rows)
{
	struct smtp_url url, untouched;
	const char *problem = NULL;

	memset(&url, 7, sizeof(url));
	memset(&untouched, 7, sizeof(untouched));
	ck_assert_msg(parse(&url, bad[_i].in, &problem) == bad[_i].err, "%s", bad[_i].in);
	ck_assert_msg(problem && strstr(problem, bad[_i].problem), "%s: %s", bad[_i].in, problem);
	ck_assert_mem_eq(&url, &untouched, sizeof(url));
	ck_assert_int_eq(parse(&url, bad[_i].in, NULL), bad[_i].err);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("url");
	TCase *tc = tcase_create("url");

	tcase_add_loop_test(tc, good_rows, 0, ROWS(good));
	tcase_add_loop_test(tc, bad_rows, 0, ROWS(bad));
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
