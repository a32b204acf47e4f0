/* SPDX-License-Identifier: ISC */
/* What smtpctl and smtpc share: finding commands, reading options, nearest words, tables, JSON,
 * secrets from files and commands. The terminal is not tried here.
 */
#include "tests/unit/testing.h"

#include "cli/command.h"
#include "cli/nearest.h"
#include "cli/output.h"
#include "cli/secret.h"

#include <smtp/base.h>
#include <stdio.h>

struct values {
	bool verbose;
	const char *from;
	struct cli_list to;
	const char *ran;
	int argc;
	const char *first;
};

static const struct cli_option options[] = {
	{ "verbose", 'v', CLI_FLAG, offsetof(struct values, verbose), NULL, "say more" },
	{ "from", 0, CLI_TEXT, offsetof(struct values, from), "ADDRESS", "the sender" },
	{ "to", 't', CLI_LIST, offsetof(struct values, to), "ADDRESS", "a recipient" },
	{ 0 },
};

static int run_it(const struct cli_command *self, int argc, char **argv, void *user)
{
	struct values *v = user;
	int at = cli_options_read(self, argc, argv, v);

	if (at < 0)
		return CLI_USAGE;
	v->ran = self->name;
	v->argc = argc - at;
	v->first = argc > at ? argv[at] : NULL;
	return CLI_DONE;
}

static const struct cli_command commands[] = {
	{ "send", "--from A", "sends", "send it", options, run_it },
	{ "help", "URL", "asks the server", NULL, NULL, run_it },
	{ "dns", "DOMAIN", "prints records", NULL, NULL, run_it },
	{ "dns check", "DOMAIN", "checks records", NULL, NULL, run_it },
	{ "account add", "ADDRESS", "adds", NULL, options, run_it },
	{ "account list", "", "lists", NULL, NULL, run_it },
};

static const struct cli_option no_options[] = { { 0 } };

static const struct cli_program program = {
	"prog", "does things", "Some notes.", no_options, commands, sizeof commands / sizeof *commands,
};

enum { ARGS_MAX = 8 };

/* Runs with standard error and output going to a file, whose text is returned. */
static int run_captured(const char *const *args, struct values *v, char *text, size_t cap)
{
	static char *argv[ARGS_MAX + 2]; /* static: the values point into it until the test ends */
	int argc = 1, status;
	FILE *file = tmpfile();
	int old_out = dup(1), old_err = dup(2);
	size_t n;

	ck_assert_ptr_nonnull(file);
	argv[0] = strdup("prog");
	for (; args[argc - 1]; argc++)
		argv[argc] = strdup(args[argc - 1]);
	memset(v, 0, sizeof *v);
	fflush(stdout);
	ck_assert(dup2(fileno(file), 1) == 1 && dup2(fileno(file), 2) == 2);
	status = cli_main(&program, argc, argv, v, v);
	fflush(stdout);
	ck_assert(dup2(old_out, 1) == 1 && dup2(old_err, 2) == 2);
	close(old_out);
	close(old_err);
	rewind(file);
	n = fread(text, 1, cap - 1, file);
	text[n] = '\0';
	fclose(file);
	return status;
}

static const struct {
	const char *name;
	const char *args[ARGS_MAX];
	int status;
	const char *ran;   /* NULL: nothing */
	const char *first; /* operand */
	const char *says;  /* part of the output */
} rows[] = {
	{ "plain", { "send", "x" }, 0, "send", "x", "" },
	{ "option before and behind", { "send", "-v", "x", "--from=a@b" }, 0, "send", "x", "" },
	{ "after --", { "send", "--", "--from" }, 0, "send", "--from", "" },
	{ "two words", { "dns", "check", "a.b" }, 0, "dns check", "a.b", "" },
	{ "one word of them", { "dns", "a.b" }, 0, "dns", "a.b", "" },
	{ "family alone", { "account" }, 2, NULL, NULL, "account list" },
	{ "family, wrong word", { "account", "ad" }, 2, NULL, NULL, "did you mean \"account add\"" },
	{ "unknown near", { "sned" }, 2, NULL, NULL, "did you mean \"send\"" },
	{ "unknown far", { "frobnicate" }, 2, NULL, NULL, "\"prog help\" lists" },
	{ "nothing", { NULL }, 2, NULL, NULL, "Commands:" },
	{ "help", { "help" }, 0, NULL, NULL, "account add" },
	{ "help of one", { "help", "send" }, 0, NULL, NULL, "--from ADDRESS" },
	{ "help of a family", { "help", "account" }, 0, NULL, NULL, "account list" },
	{ "help of nothing known", { "help", "sen" }, 2, NULL, NULL, "did you mean \"send\"" },
	{ "own help", { "help", "smtp://x" }, 0, "help", "smtp://x", "" },
	{ "help of own help", { "help", "--help" }, 0, NULL, NULL, "asks the server" },
	{ "--help", { "--help" }, 0, NULL, NULL, "Some notes." },
	{ "command --help", { "send", "--bogus", "--help" }, 0, NULL, NULL, "Example:" },
	{ "family --help", { "account", "--help" }, 0, NULL, NULL, "account add" },
	{ "--version", { "--version" }, 0, NULL, NULL, "prog " },
	{ "unknown option near", { "send", "--form", "a" }, 2, NULL, NULL, "did you mean --from?" },
	{ "unknown option far", { "send", "--zzz" }, 2, NULL, NULL, "unknown option --zzz" },
	{ "unknown letter", { "send", "-q" }, 2, NULL, NULL, "unknown option -q" },
	{ "unknown before command", { "--bogus", "send" }, 2, NULL, NULL, "unknown option --bogus" },
	{ "value missing", { "send", "--from" }, 2, NULL, NULL, "--from needs a value: ADDRESS" },
	{ "twice", { "send", "--from", "a", "--from", "b" }, 2, NULL, NULL, "given twice" },
	{ "flag with value", { "send", "--verbose=1" }, 2, NULL, NULL, "--verbose" },
	{ "no such option here", { "dns", "--from", "a" }, 2, NULL, NULL, "usage: " },
};

START_TEST(command_line)
{
	struct values v;
	char text[8192];
	int status = run_captured(rows[_i].args, &v, text, sizeof text);

	ck_assert_msg(status == rows[_i].status, "%s: %d: %s", rows[_i].name, status, text);
	ck_assert_msg(strstr(text, rows[_i].says), "%s: %s", rows[_i].name, text);
	ck_assert_pstr_eq(v.ran, rows[_i].ran);
	ck_assert_pstr_eq(v.first, rows[_i].first);
}
END_TEST

START_TEST(option_values)
{
	static const char *const args[] = { "send", "-t", "a", "--to", "b", "-vtc", "--from", "d",
					    NULL };
	struct values v;
	char text[1024];

	ck_assert_int_eq(run_captured(args, &v, text, sizeof text), 0);
	ck_assert(v.verbose);
	ck_assert_str_eq(v.from, "d");
	ck_assert_uint_eq(v.to.count, 3);
	ck_assert_str_eq(v.to.values[0], "a");
	ck_assert_str_eq(v.to.values[1], "b");
	ck_assert_str_eq(v.to.values[2], "c");
	cli_list_release(&v.to);
	ck_assert_uint_eq(v.to.count, 0);
}
END_TEST

/* --- nearest word --- */

static const char *const words[] = { "send", "verify", "expand", "probe", "ab", NULL };

static const char *word_at(const void *list, size_t i)
{
	return ((const char *const *)list)[i];
}

static const struct {
	const char *word, *near;
} nearest_rows[] = {
	{ "send", "send" },   { "sedn", "send" }, { "verfy", "verify" }, { "expnad", "expand" },
	{ "prob", "probe" },  { "", NULL },       { "xyz", NULL },       { "zz", NULL },
	{ "ba", "ab" },
	{ "eexpandd", "expand" },
	{ "a-word-that-is-far-longer-than-any-of-the-words-we-know", NULL },
};

START_TEST(nearest_word)
{
	ck_assert_pstr_eq(cli_nearest(nearest_rows[_i].word, word_at, words), nearest_rows[_i].near);
}
END_TEST

/* --- output --- */

static char *printed(void (*print)(FILE *out))
{
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	ck_assert_ptr_nonnull(out);
	print(out);
	fclose(out);
	return text;
}

static void print_json(FILE *out)
{
	struct cli_json json;

	cli_json_init(&json, out);
	cli_json_object(&json, NULL);
	cli_json_text(&json, "a\"b", "\\ \n \x1b \xc3\xa4 \xff\xc3");
	cli_json_array(&json, "list");
	cli_json_uint(&json, NULL, UINT64_MAX);
	cli_json_int(&json, NULL, -5);
	cli_json_bool(&json, NULL, true);
	cli_json_text(&json, NULL, NULL);
	cli_json_array_end(&json);
	cli_json_object(&json, "empty");
	cli_json_object_end(&json);
	cli_json_span(&json, "nul", (struct smtp_span){ (const uint8_t *)"\0x", 2 });
	cli_json_object_end(&json);
}

START_TEST(json_escapes)
{
	char *text = printed(print_json);

	ck_assert_str_eq(text, "{\n"
			       "  \"a\\\"b\": \"\\\\ \\n \\u001b \xc3\xa4 \\\\xff\\\\xc3\",\n"
			       "  \"list\": [\n    18446744073709551615,\n    -5,\n    true,\n"
			       "    null\n  ],\n"
			       "  \"empty\": {},\n"
			       "  \"nul\": \"\\u0000x\"\n}\n");
	free(text);
}
END_TEST

static void print_unsafe(FILE *out)
{
	cli_print_safe(out, smtp_span_of("a\x1b[1m\xc2\x9b" "b\xc3\xa4\xff\n"));
}

START_TEST(terminal_is_safe)
{
	char *text = printed(print_unsafe);

	ck_assert_str_eq(text, "a\\x1b[1m\\xc2\\x9bb\xc3\xa4\\xff\\x0a");
	free(text);
}
END_TEST

static const struct cli_column columns[] = {
	{ "NAME", "name", false }, { "SIZE", "size", true }, { "STATE", "state", false },
};

static struct cli_table *some_table(void)
{
	static const char *const first[] = { "a", "12345", "on" };
	static const char *const second[] = { "l\xc3\xa4nger", NULL, "off" };
	struct cli_table *table = cli_table_new(columns, 3);

	cli_table_row(table, first);
	cli_table_row(table, second);
	ck_assert_uint_eq(cli_table_count(table), 2);
	return table;
}

static void print_table(FILE *out)
{
	struct cli_table *table = some_table();

	ck_assert_int_eq(cli_table_print(table, out, false), 0);
	cli_table_free(table);
}

static void print_table_json(FILE *out)
{
	struct cli_table *table = some_table();

	ck_assert_int_eq(cli_table_print(table, out, true), 0);
	cli_table_free(table);
}

START_TEST(table_aligned)
{
	char *text = printed(print_table);

	ck_assert_str_eq(text, "NAME     SIZE  STATE\n"
			       "a       12345  on\n"
			       "l\xc3\xa4nger         off\n");
	free(text);
}
END_TEST

START_TEST(table_as_json)
{
	char *text = printed(print_table_json);

	ck_assert_str_eq(text, "[\n"
			       "  {\n    \"name\": \"a\",\n    \"size\": 12345,\n"
			       "    \"state\": \"on\"\n  },\n"
			       "  {\n    \"name\": \"l\xc3\xa4nger\",\n    \"size\": null,\n"
			       "    \"state\": \"off\"\n  }\n]\n");
	free(text);
}
END_TEST

/* --- secrets --- */

static const struct {
	const char *name, *content;
	size_t n;
	const char *secret; /* NULL: refused */
} secret_rows[] = {
	{ "no line end", "s3cret", 6, "s3cret" },
	{ "LF", "s3cret\n", 7, "s3cret" },
	{ "CRLF", "s3cret\r\n", 8, "s3cret" },
	{ "first line only", "one\ntwo\n", 8, "one" },
	{ "blanks stay", " a b \n", 6, " a b " },
	{ "empty file", "", 0, NULL },
	{ "empty line", "\nx", 2, NULL },
	{ "NUL", "a\0b\n", 4, NULL },
	{ "bare CR", "a\rb\n", 4, NULL },
};

static void quiet(void)
{
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
}

START_TEST(secret_of_file)
{
	char path[] = "/tmp/test_cli_XXXXXX";
	int fd = mkstemp(path);
	struct cli_secret secret;
	struct cli_secret_source source = { .file = path };
	int err;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, secret_rows[_i].content, secret_rows[_i].n),
			 (ssize_t)secret_rows[_i].n);
	close(fd);
	quiet();
	err = cli_secret_read(&secret, &source);
	unlink(path);
	if (secret_rows[_i].secret) {
		ck_assert_int_eq(err, 0);
		ck_assert_str_eq(secret.text, secret_rows[_i].secret);
		ck_assert_uint_eq(secret.n, strlen(secret_rows[_i].secret));
		cli_secret_wipe(&secret);
	} else {
		ck_assert_int_eq(err, -1);
	}
	for (size_t i = 0; i < sizeof secret.text; i++)
		ck_assert_int_eq(secret.text[i], 0);
}
END_TEST

static const struct {
	const char *command, *secret;
} command_rows[] = {
	{ "echo hunter2", "hunter2" },
	{ "printf 'a b\\nc\\n'", "a b" },
	{ "echo no; exit 3", NULL },
	{ "true", NULL },
	{ "head -c 8193 /dev/zero | tr '\\0' x", NULL },
};

START_TEST(secret_of_command)
{
	struct cli_secret secret;
	struct cli_secret_source source = { .command = command_rows[_i].command };
	int err;

	quiet();
	err = cli_secret_read(&secret, &source);
	ck_assert_int_eq(err, command_rows[_i].secret ? 0 : -1);
	ck_assert_str_eq(secret.text, command_rows[_i].secret ? command_rows[_i].secret : "");
}
END_TEST

START_TEST(secret_missing_file)
{
	struct cli_secret secret;
	struct cli_secret_source source = { .file = "/nonexistent/secret" };

	quiet();
	ck_assert_int_eq(cli_secret_read(&secret, &source), -1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli");
	TCase *tc = tcase_create("cli");

	tcase_add_loop_test(tc, command_line, 0, ROWS(rows));
	tcase_add_test(tc, option_values);
	tcase_add_loop_test(tc, nearest_word, 0, ROWS(nearest_rows));
	tcase_add_test(tc, json_escapes);
	tcase_add_test(tc, terminal_is_safe);
	tcase_add_test(tc, table_aligned);
	tcase_add_test(tc, table_as_json);
	tcase_add_loop_test(tc, secret_of_file, 0, ROWS(secret_rows));
	tcase_add_loop_test(tc, secret_of_command, 0, ROWS(command_rows));
	tcase_add_test(tc, secret_missing_file);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
