/* SPDX-License-Identifier: ISC */
/* test_log.c - log lines: quoting, escaping, bounds, both formats. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/log.h"
#include "tests/unit/testing.h"

/** What one event writes, caught at the descriptor. */
static char *caught(enum config_log_format format, const struct log_field *fields, size_t count)
{
	static char text[8192];
	int pipe_fds[2], saved = dup(STDERR_FILENO);
	ssize_t n;

	ck_assert_int_eq(pipe(pipe_fds), 0);
	ck_assert_int_ge(dup2(pipe_fds[1], STDERR_FILENO), 0);
	log_setup(format, LOG_LEVEL_INFO, "mail");
	log_event_fields(LOG_LEVEL_INFO, "mail.accept", fields, count);
	ck_assert_int_ge(dup2(saved, STDERR_FILENO), 0);
	close(pipe_fds[1]);
	close(saved);
	n = read(pipe_fds[0], text, sizeof text - 1);
	ck_assert_int_gt((int)n, 0);
	close(pipe_fds[0]);
	text[n] = '\0';
	return text;
}

static const struct {
	const char *name;
	const char *value; /* NULL: a number, -7 */
	const char *logfmt, *json;
} rows[] = {
	{ "bare", "a@b.example", " f=a@b.example\n", ",\"f\":\"a@b.example\"}\n" },
	{ "empty", "", " f=\"\"\n", ",\"f\":\"\"}\n" },
	{ "number", NULL, " f=-7\n", ",\"f\":-7}\n" },
	{ "blank", "a b", " f=\"a b\"\n", ",\"f\":\"a b\"}\n" },
	{ "equals", "a=b", " f=\"a=b\"\n", ",\"f\":\"a=b\"}\n" },
	{ "quote", "a\"b\\", " f=\"a\\\"b\\\\\"\n", ",\"f\":\"a\\\"b\\\\\"}\n" },
	{ "line break", "a\r\nevent=x", " f=\"a\\u000d\\u000aevent=x\"\n",
	  ",\"f\":\"a\\u000d\\u000aevent=x\"}\n" },
	{ "utf-8", "\xc3\xbc", " f=\"\xc3\xbc\"\n", ",\"f\":\"\xc3\xbc\"}\n" },
	{ "no utf-8", "\xc3", " f=\"\\u00c3\"\n", ",\"f\":\"\\u00c3\"}\n" },
};

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

START_TEST(field)
{
	struct log_field f = rows[_i].value != NULL ? LOG_STR("f", rows[_i].value) :
						      LOG_INT("f", -7);
	char *text = caught(LOG_FORMAT_LOGFMT, &f, 1);

	ck_assert_msg(ends_with(text, rows[_i].logfmt), "%s: %s", rows[_i].name, text);
	ck_assert_msg(strncmp(text, "event=mail.accept ", 18) == 0, "%s", text);
	text = caught(LOG_FORMAT_JSON, &f, 1);
	ck_assert_msg(ends_with(text, rows[_i].json), "%s: %s", rows[_i].name, text);
}
END_TEST

START_TEST(null_is_left_out)
{
	struct log_field f = LOG_STR("f", NULL);

	ck_assert_msg(ends_with(caught(LOG_FORMAT_LOGFMT, &f, 1), "process=mail\n"), "left out");
}
END_TEST

START_TEST(long_values_keep_the_line_whole)
{
	struct log_field fields[8];
	char *big = malloc(5000);
	char *text;
	size_t i;

	memset(big, '"', 4999);
	big[4999] = '\0';
	for (i = 0; i < 8; i++)
		fields[i] = LOG_STR("f", big);
	text = caught(LOG_FORMAT_JSON, fields, 8);
	ck_assert_msg(ends_with(text, "\\\"\"}\n"), "%s", text + strlen(text) - 20);
	ck_assert_uint_le(strlen(text), 4096);
	ck_assert(ends_with(text, "}\n"));
	ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
	free(big);
}
END_TEST

/* The first octet of the line of an event, 0 if there is none. */
static int logged(enum config_log_level level)
{
	FILE *f = tmpfile();
	int saved = dup(STDERR_FILENO), c;

	dup2(fileno(f), STDERR_FILENO);
	log_event(level, "x", LOG_INT("n", 1));
	dup2(saved, STDERR_FILENO);
	rewind(f);
	c = fgetc(f);
	fclose(f);
	close(saved);
	return c == EOF ? 0 : c;
}

START_TEST(level_is_a_floor)
{
	log_setup(LOG_FORMAT_LOGFMT, LOG_LEVEL_ERROR, "mail");
	ck_assert_int_eq(logged(LOG_LEVEL_WARN), 0);
	ck_assert_int_eq(logged(LOG_LEVEL_ERROR), 'e');
}
END_TEST

/* Two reloads in a row may reach the keeper in one piece. */
START_TEST(last_of_several_words_counts)
{
	char words[3 * LOG_WORD_MAX] = "stop\n";

	log_setup(LOG_FORMAT_LOGFMT, LOG_LEVEL_ERROR, "keeper");
	log_settings_format(words + 5, LOG_WORD_MAX, LOG_FORMAT_LOGFMT, LOG_LEVEL_ERROR);
	log_settings_format(words + strlen(words), LOG_WORD_MAX, LOG_FORMAT_JSON, LOG_LEVEL_INFO);
	log_settings_take(words);
	ck_assert_int_eq(logged(LOG_LEVEL_DEBUG), 0);
	ck_assert_int_eq(logged(LOG_LEVEL_INFO), '{');
	log_settings_take("log ");
	log_settings_take("");
	ck_assert_int_eq(logged(LOG_LEVEL_INFO), '{');
}
END_TEST

int main(void)
{
	Suite *s = suite_create("log");
	TCase *tc = tcase_create("log");

	tcase_add_loop_test(tc, field, 0, ROWS(rows));
	tcase_add_test(tc, null_is_left_out);
	tcase_add_test(tc, long_values_keep_the_line_whole);
	tcase_add_test(tc, level_is_a_floor);
	tcase_add_test(tc, last_of_several_words_counts);
	suite_add_tcase(s, tc);
	return tests_run(s);
}
