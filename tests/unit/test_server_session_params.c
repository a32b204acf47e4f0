/* SPDX-License-Identifier: ISC */
/* Parameters of MAIL and RCPT as handlers see them, also later than the input they came with; custom
 * extensions; what VRFY makes of answers that are no UTF-8.
 */
#include "tests/unit/server_probe.h"

#include "libsmtp/core/span.h"

/* --- custom extensions ------------------------------------------------------------------------ */

static const char *const mail_names[] = { "X-PRIO", "X-TAG", NULL };
static const char *const rcpt_names[] = { "X-BOX", NULL };
static const struct smtp_custom_extension own = {
	.size = sizeof(own), .keyword = "X-OWN", .argument = "1 2", .mail_keywords = mail_names,
	.rcpt_keywords = rcpt_names,
};

static char seen[1024];

static void see(const char *what, struct smtp_span value)
{
	size_t n = strlen(seen);

	snprintf(seen + n, sizeof(seen) - n, "%s%s%s%.*s", n ? " " : "", what, value.p ? "=" : "",
		 (int)value.n, value.p ? (const char *)value.p : "");
}

static void see_all(const struct smtp_custom_param *params, size_t count)
{
	for (size_t i = 0; i < count; i++)
		see(params[i].keyword, params[i].value);
}

static enum smtp_verdict see_mail(struct smtp_server_session *s,
				  const struct smtp_mail_request *request, void *user)
{
	(void)s;
	see("mail", smtp_span_of(request->reverse_path->mailbox.local_part));
	see("envid", request->envid);
	see_all(request->params, request->param_count);
	return user ? SMTP_PENDING : SMTP_ACCEPT;
}

static enum smtp_verdict see_rcpt(struct smtp_server_session *s,
				  const struct smtp_rcpt_request *request, void *user)
{
	(void)s;
	see("rcpt", smtp_span_of(request->forward_path->mailbox.local_part));
	see("orcpt", request->orcpt_address);
	see_all(request->params, request->param_count);
	return user ? SMTP_PENDING : SMTP_ACCEPT;
}

static const struct smtp_server_session_handler seer = { .size = sizeof(seer), .mail = see_mail,
							 .rcpt = see_rcpt };

static struct smtp_server_session *session_of(const struct smtp_custom_extension *const *customs,
					      size_t count, bool pending)
{
	struct smtp_server_session_options options = options_of_tests();
	struct smtp_middleware second = smtp_middleware_of("second", &seer, NULL);
	struct smtp_server_session *s = NULL;

	options.extensions |= SMTP_SERVER_DSN | SMTP_SERVER_SMTPUTF8;
	options.custom_extensions = customs;
	options.custom_extension_count = count;
	seen[0] = '\0';
	ck_assert_int_eq(smtp_server_session_new(&s, &options, &seer, pending ? &seen : NULL), 0);
	if (pending)
		ck_assert_int_eq(smtp_server_session_use(s, &second), 0);
	ck_assert_int_eq(smtp_server_session_start(s, 1000), 0);
	return s;
}

START_TEST(custom_parameters)
{
	const struct smtp_custom_extension *const customs[] = { &own };
	struct smtp_server_session *s = session_of(customs, 1, false);

	ck_assert_uint_gt(feed(s, EHLO), 0);
	ck_assert_ptr_nonnull(strstr(output(s), "\r\n250-X-OWN 1 2\r\n"));
	say(s, "MAIL FROM:<a@x.example> x-tag=T+41 X-Prio SIZE=7\r\n", "250");
	say(s, "RCPT TO:<b@x.example> X-BOX=in\r\n", "250");
	ck_assert_str_eq(seen, "mail=a envid X-TAG=T+41 X-PRIO rcpt=b orcpt X-BOX=in");
	say(s, "RCPT TO:<b@x.example> X-BOX=\r\n", "501");
	say(s, "RCPT TO:<b@x.example> X-BOX X-BOX\r\n", "501");
	say(s, "RCPT TO:<b@x.example> X-TAG=1\r\n", "555");
	say(s, "RSET\r\nMAIL FROM:<a@x.example> X-BOX=1\r\n", "250 555");
	smtp_server_session_free(s);
}
END_TEST

START_TEST(values_in_utf8)
{
	const struct smtp_custom_extension *const customs[] = { &own };
	struct smtp_server_session *s = session_of(customs, 1, false);

	say(s, EHLO "MAIL FROM:<a@x.example> X-TAG=\xc3\xb6\r\n", "220 250 501");
	say(s, "MAIL FROM:<a@x.example> X-TAG=\xc3 SMTPUTF8\r\n", "501");
	say(s, "MAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example> X-BOX=\xc3\xb6\r\nRSET\r\n",
	    "250 501 250");
	seen[0] = '\0';
	say(s, "MAIL FROM:<a@x.example> X-TAG=\xc3\xb6 SMTPUTF8\r\n", "250");
	say(s, "RCPT TO:<b@x.example> X-BOX=\xc3\xb6\r\n", "250");
	ck_assert_str_eq(seen, "mail=a envid X-TAG=\xc3\xb6 rcpt=b orcpt X-BOX=\xc3\xb6");
	smtp_server_session_free(s);
}
END_TEST

START_TEST(not_after_helo)
{
	const struct smtp_custom_extension *const customs[] = { &own };
	struct smtp_server_session *s = session_of(customs, 1, false);

	say(s, "HELO client.example.com\r\nMAIL FROM:<a@x.example> X-TAG=1\r\n", "220 250 555");
	smtp_server_session_free(s);
}
END_TEST

/* The second handler is asked when the input, and what it lay in, is gone. */
START_TEST(values_outlive_the_input)
{
	const struct smtp_custom_extension *const customs[] = { &own };
	struct smtp_server_session *s = session_of(customs, 1, true);

	say(s, EHLO, "220 250");
	(void)feed(s, "MAIL FROM:<a@x.example> ENVID=e+20f X-TAG=tag\r\n");
	seen[0] = '\0';
	answer(s, 0);
	ck_assert_str_eq(seen, "mail=a envid=e f X-TAG=tag");
	ck_assert_str_eq(codes(output(s)), "250");
	(void)feed(s, "RCPT TO:<b@x.example> ORCPT=rfc822;o+2B@x.example X-BOX=in\r\n");
	seen[0] = '\0';
	answer(s, 0);
	ck_assert_str_eq(seen, "rcpt=b orcpt=o+@x.example X-BOX=in");
	smtp_server_session_free(s);
}
END_TEST

static const char *const size_names[] = { "size", NULL };
static const char *const orcpt_names[] = { "ORCPT", NULL };
static const char *const bad_names[] = { "X_TAG", NULL };
static const char *const empty_names[] = { "", NULL };
static const char *const twice_names[] = { "X-A", "x-a", NULL };
static const char *const many_names[] = { "A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8", "A9",
					  "B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", NULL };

#define EXTENSION .size = sizeof(struct smtp_custom_extension)

static const struct {
	const char *name;
	struct smtp_custom_extension first, second;
	size_t count;
	int err;
} custom_rows[] = {
	{ "none", { EXTENSION }, { EXTENSION }, 0, 0 },
	{ "a parameter alone", { EXTENSION, .mail_keywords = mail_names }, { EXTENSION }, 2, 0 },
	{ "the same parameter of MAIL and of RCPT", { EXTENSION, .mail_keywords = mail_names },
	  { EXTENSION, .rcpt_keywords = mail_names }, 2, 0 },
	{ "of another version", { .size = 8 }, { EXTENSION }, 1, SMTP_EINVAL },
	{ "a keyword of ours", { EXTENSION, .keyword = "starttls" }, { EXTENSION }, 1, SMTP_EINVAL },
	{ "a keyword that is off", { EXTENSION, .keyword = "DSN" }, { EXTENSION }, 1, SMTP_EINVAL },
	{ "a keyword with a blank", { EXTENSION, .keyword = "X Y" }, { EXTENSION }, 1, SMTP_EINVAL },
	{ "a keyword with a line end", { EXTENSION, .keyword = "X\r\n" }, { EXTENSION }, 1, SMTP_EINVAL },
	{ "no keyword", { EXTENSION, .keyword = "" }, { EXTENSION }, 1, SMTP_EINVAL },
	{ "a long keyword", { EXTENSION, .keyword = "X23456789012345678901234567890123" },
	  { EXTENSION }, 1, SMTP_EINVAL },
	{ "the same keyword", { EXTENSION, .keyword = "X" }, { EXTENSION, .keyword = "x" }, 2, SMTP_EINVAL },
	{ "an argument without keyword", { EXTENSION, .argument = "1" }, { EXTENSION }, 1, SMTP_EINVAL },
	{ "an empty argument", { EXTENSION, .keyword = "X", .argument = "" }, { EXTENSION }, 1, SMTP_EINVAL },
	{ "a line end in the argument", { EXTENSION, .keyword = "X", .argument = "1\n" }, { EXTENSION }, 1,
	  SMTP_EINVAL },
	{ "a parameter of MAIL of ours", { EXTENSION, .mail_keywords = size_names }, { EXTENSION }, 1,
	  SMTP_EINVAL },
	{ "one that is of MAIL only", { EXTENSION, .rcpt_keywords = size_names }, { EXTENSION }, 1, 0 },
	{ "a parameter of RCPT of ours", { EXTENSION, .rcpt_keywords = orcpt_names }, { EXTENSION }, 1,
	  SMTP_EINVAL },
	{ "a bad name", { EXTENSION, .mail_keywords = bad_names }, { EXTENSION }, 1, SMTP_EINVAL },
	{ "an empty name", { EXTENSION, .mail_keywords = empty_names }, { EXTENSION }, 1, SMTP_EINVAL },
	{ "a name twice", { EXTENSION, .rcpt_keywords = twice_names }, { EXTENSION }, 1, SMTP_EINVAL },
	{ "a name in two", { EXTENSION, .rcpt_keywords = rcpt_names },
	  { EXTENSION, .rcpt_keywords = rcpt_names }, 2, SMTP_EINVAL },
	{ "too many names", { EXTENSION, .mail_keywords = many_names }, { EXTENSION }, 1, SMTP_EINVAL },
};

START_TEST(custom_extensions)
{
	const struct smtp_custom_extension *const customs[] = { &custom_rows[_i].first,
								&custom_rows[_i].second };
	struct smtp_server_session_options options = options_of_tests();
	struct smtp_server_session *s = NULL;

	options.custom_extensions = customs;
	options.custom_extension_count = custom_rows[_i].count;
	ck_assert_msg(smtp_server_session_new(&s, &options, NULL, NULL) == custom_rows[_i].err, "%s",
		      custom_rows[_i].name);
	smtp_server_session_free(s);
}
END_TEST

START_TEST(lists_that_are_none)
{
	const struct smtp_custom_extension *customs[9];
	struct smtp_custom_extension extension = { EXTENSION };
	struct smtp_server_session_options options = options_of_tests();
	struct smtp_server_session *s = NULL;

	for (size_t i = 0; i < 9; i++)
		customs[i] = &extension;
	options.custom_extension_count = 1;
	ck_assert_int_eq(smtp_server_session_new(&s, &options, NULL, NULL), SMTP_EINVAL);
	options.custom_extensions = customs;
	options.custom_extension_count = 9;
	ck_assert_int_eq(smtp_server_session_new(&s, &options, NULL, NULL), SMTP_EINVAL);
	options.custom_extension_count = 8;
	customs[7] = NULL;
	ck_assert_int_eq(smtp_server_session_new(&s, &options, NULL, NULL), SMTP_EINVAL);
}
END_TEST

/* --- VRFY ------------------------------------------------------------------------------------- */

static enum smtp_verdict answer_vrfy(struct smtp_server_session *s,
				     const struct smtp_vrfy_request *request, void *user)
{
	struct smtp_reply reply = smtp_reply_of(request->text.p[0] == 'n' ? 550 : 250, NULL, user);

	ck_assert_int_eq(smtp_server_session_reply(s, &reply), 0);
	return SMTP_REPLIED;
}

static const struct {
	const char *command, *text, *reply;
} vrfy_rows[] = {
	{ "VRFY bob SMTPUTF8\r\n", "<b\xc3\xb6@x.example>", "250 2.0.0 <b\xc3\xb6@x.example>\r\n" },
	{ "VRFY bob\r\n", "<b\xc3\xb6@x.example>", "252 2.6.8 " },
	{ "VRFY bob SMTPUTF8\r\n", "<b\xff@x.example>", "252 2.0.0 " },
	{ "VRFY bob\r\n", "<b\xff@x.example>", "252 2.0.0 " },
	{ "VRFY none\r\n", "b\xc3\xb6", "550 5.6.8 " },
	{ "VRFY none SMTPUTF8\r\n", "b\xff", "550 5.0.0 b?\r\n" },
	{ "VRFY none SMTPUTF8\r\n", "b\xc3\xb6", "550 5.0.0 b\xc3\xb6\r\n" },
	{ "EXPN bob\r\n", "<b\xc3\xb6@x.example>", "252 2.6.8 " },
	{ "EXPN none SMTPUTF8\r\n", "b\xc3\xb6", "550 5.0.0 b\xc3\xb6\r\n" },
};

START_TEST(vrfy_in_utf8)
{
	static const struct smtp_server_session_handler h = { .size = sizeof(h), .vrfy = answer_vrfy,
							      .expn = answer_vrfy };
	struct smtp_server_session_options options = options_of_tests();
	struct smtp_server_session *s = NULL;
	char text[64];

	snprintf(text, sizeof(text), "%s", vrfy_rows[_i].text);
	options.extensions |= SMTP_SERVER_SMTPUTF8;
	ck_assert_int_eq(smtp_server_session_new(&s, &options, &h, text), 0);
	ck_assert_int_eq(smtp_server_session_start(s, 1000), 0);
	say(s, EHLO, "220 250");
	(void)feed(s, vrfy_rows[_i].command);
	ck_assert_int_eq(strncmp(output(s), vrfy_rows[_i].reply, strlen(vrfy_rows[_i].reply)), 0);
	smtp_server_session_free(s);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("server_session_params");
	TCase *tc = tcase_create("params");

	tcase_add_test(tc, custom_parameters);
	tcase_add_test(tc, values_in_utf8);
	tcase_add_test(tc, not_after_helo);
	tcase_add_test(tc, values_outlive_the_input);
	tcase_add_loop_test(tc, custom_extensions, 0, ROWS(custom_rows));
	tcase_add_test(tc, lists_that_are_none);
	tcase_add_loop_test(tc, vrfy_in_utf8, 0, ROWS(vrfy_rows));
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
