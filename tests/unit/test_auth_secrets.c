/* SPDX-License-Identifier: ISC */
/* No secret of a login is in anything that either end shows: traces, replies, texts of errors. Lines of
 * AUTH in every spacing, cut everywhere, in the wrong place; servers that repeat what they were told.
 */
#include "libsmtp/core/base64.h"
#include "tests/unit/auth_world.h"
#include "tests/unit/testing.h"

enum { RUN = 10 }; /* octets of a secret that count as a leak */

#define PASSWORD64 "cGVuY2lsIGNhc2UgNDI="                  /* the password */
#define PLAIN64 "AHVzZXIAcGVuY2lsIGNhc2UgNDI="             /* \0user\0password */
#define USER64 "dXNlcg=="

static struct auth_world w;
static char bearer64[512], xoauth64[512], token64[512];

static void encode(char out[512], const char *text)
{
	struct smtp_buf base64;

	smtp_buf_init(&base64, 511);
	ck_assert_int_eq(smtp_base64_encode(&base64, smtp_span_of(text)), 0);
	snprintf(out, 512, "%.*s", (int)base64.n, (const char *)base64.p);
	smtp_buf_release(&base64);
}

static void make_tokens(void)
{
	encode(bearer64, "n,a=user,\1auth=Bearer " AUTH_TOKEN "\1\1");
	encode(xoauth64, "user=user\1auth=Bearer " AUTH_TOKEN "\1\1");
	encode(token64, AUTH_TOKEN);
}

/* Any run of the secret counts. */
static const char *find_run(const char *secret)
{
	size_t n = strlen(secret);

	for (size_t i = 0; i + RUN <= n; i++)
		if (memmem(w.shown, w.shown_n, secret + i, RUN))
			return secret + i;
	return NULL;
}

static void expect_silence(const char *what)
{
	/* What is common to all, as "user=user", is no secret. */
	const char *const secrets[] = { AUTH_PASSWORD, AUTH_TOKEN, PASSWORD64, PLAIN64, token64,
					bearer64 + 32, xoauth64 + 32 };

	for (size_t i = 0; i < sizeof(secrets) / sizeof(*secrets); i++) {
		const char *run = find_run(secrets[i]);

		ck_assert_msg(!run, "%s: \"%.*s\" is in:\n%.*s", what, RUN, run, (int)w.shown_n, w.shown);
	}
}

/* --- the server -------------------------------------------------------------------------------- */

/* %M the mechanism, %m the same in lower case, %R its message, %P the password in base64, %C in clear,
 * %0 a NUL, %L a run that makes the line too long. */
static const char *const templates[] = {
	"AUTH %M %R\r\n",
	"auth %m %R\r\n",
	"AuTh\t%M\t%R\r\n",
	"  AUTH   %M   %R  \r\n",
	"\tAUTH\t\t%M %R\t\r\n",
	"AUTH %M\r\n%R\r\n",
	"AUTH %M\r\n %R \r\n",
	"AUTH %M =\r\n%R\r\n",
	"AUTH %M *\r\n%R\r\n",
	"AUTH %M\r\n*\r\n%R\r\n",
	"AUTH %M ???\r\n%R\r\n%P\r\n",
	"AUTH %M %R more\r\n",
	"AUTH %M more %R\r\n",
	"AUTH %R\r\n",
	"AUTH %M%R\r\n",
	"AUTH%M %R\r\n",
	"AUTH%M%R\r\n",
	"AUTH:%M %R\r\n",
	"AUTH=%M %R\r\n",
	"AUTH-%M %R\r\n",
	"AUT %M %R\r\n%R\r\n",
	"XAUTH %M %R\r\n",
	"AUTHENTICATE %M %R\r\n",
	"A AUTH %M %R\r\n",
	"AUTH NTLM %R\r\n%R\r\n%P\r\n",
	"AUTH\r\n%M %R\r\n%R\r\n%P\r\n",
	"AUTH %M %R\r\nAUTH %M %R\r\nNOOP\r\n",
	"MAIL FROM:<a@b.example>\r\nAUTH %M %R\r\n%P\r\n",
	"STARTTLS\r\nAUTH %M %R\r\n",
	"AUTH LOGIN\r\n" USER64 "\r\n%P\r\n%P\r\nNOOP\r\n",
	"AUTH LOGIN " USER64 "\r\n%P\r\n",
	"AUTH LOGIN\r\nuser\r\n%C\r\n",
	"AUTH LOGIN user %C\r\n",
	"AUTH PLAIN user %C\r\n",
	"AUTH %C\r\n",
	"PASS %C\r\n",
	"LOGIN user %C\r\n",
	"AUTH %M %R\nNOOP\r\n",
	"NOOP\nAUTH %M %R\r\n",
	"NOOP\rAUTH %M %R\r\n",
	"EHLO x\nAUTH %M\n%R\nMAIL FROM:<>\r\n",
	"AUTH%0%M %R\r\n",
	"AUTH %M %0%R\r\n",
	"AUTH %M %R%0\r\n",
	"%0AUTH %M %R\r\n",
	"AUTH %M %R%L\r\n%R\r\n%P\r\n",
	"AUTH %M %L%R\r\n%P\r\n",
	"AUTH %M\r\n%R%L\r\n%P\r\n",
	"AUTH %M\r\n%L%R\r\n%R\r\n",
	"X%L AUTH %M %R\r\n%R\r\n",
	"AUTH %M %R",
	"AUTH %M\r\n%R",
};

static const char *const mechanisms[] = { "PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER", "CRAM-MD5",
					  "SCRAM-SHA-256" };

static const char *message_of(const char *mechanism)
{
	if (strcmp(mechanism, "XOAUTH2") == 0)
		return xoauth64;
	if (strcmp(mechanism, "OAUTHBEARER") == 0)
		return bearer64;
	return strcmp(mechanism, "LOGIN") == 0 ? PASSWORD64 : PLAIN64;
}

static void append(char **at, const char *text)
{
	size_t n = strlen(text);

	memcpy(*at, text, n);
	*at += n;
}

static size_t fill_in(char *out, const char *template, const char *mechanism)
{
	char *at = out;

	for (const char *t = template; *t; t++) {
		if (*t != '%') {
			*at++ = *t;
			continue;
		}
		switch (*++t) {
		case 'M': append(&at, mechanism); break;
		case 'm':
			for (const char *c = mechanism; *c; c++)
				*at++ = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
			break;
		case 'R': append(&at, message_of(mechanism)); break;
		case 'P': append(&at, PASSWORD64); break;
		case 'C': append(&at, AUTH_PASSWORD); break;
		case '0': *at++ = '\0'; break;
		default: memset(at, 'A', 13000); at += 13000; break;
		}
	}
	return (size_t)(at - out);
}

static void read_server(void)
{
	struct smtp_span out = smtp_server_session_output(w.server);

	auth_show(&w, "server: ", out);
	smtp_server_session_sent(w.server, out.n);
}

static void offer(const char *octets, size_t n)
{
	size_t taken = 0;
	char *copy = guarded(octets, n);

	(void)!smtp_server_session_feed(w.server, copy, n, 0, &taken);
	guarded_free(copy, n);
	read_server();
}

/* Cut in two there, or at every octet. */
static void feed_cut(const char *octets, size_t n, size_t cut)
{
	size_t step = cut == 0 ? 1 : n;

	if (cut > 0 && cut < n) {
		offer(octets, cut);
		offer(octets + cut, n - cut);
		return;
	}
	for (size_t i = 0; i < n; i += step)
		offer(octets + i, step);
}

enum { HELLO = 1, TLS = 2 };

static void play_server(const char *template, const char *mechanism, unsigned how, size_t cut)
{
	static char octets[80000];
	size_t n = fill_in(octets, template, mechanism);

	auth_world_init(&w, how & TLS);
	w.server_options.max_errors = 1000;
	w.server_options.offer_starttls = !(how & TLS);
	ck_assert_int_eq(smtp_server_session_new(&w.server, &w.server_options, &auth_server_handler, &w),
			 0);
	ck_assert_int_eq(smtp_server_session_start(w.server, 0), 0);
	if (how & HELLO)
		offer("EHLO client.example.com\r\n", 25);
	feed_cut(octets, n, n > 4000 && cut == 0 ? n / 2 : cut);
	smtp_server_session_peer_closed(w.server);
	read_server();
	smtp_server_session_free(w.server);
	expect_silence(template);
}

START_TEST(server_shows_nothing)
{
	make_tokens();
	for (size_t m = 0; m < sizeof(mechanisms) / sizeof(*mechanisms); m++)
		for (unsigned how = 0; how < 4; how++)
			for (size_t cut = 0; cut < 40; cut++)
				play_server(templates[_i], mechanisms[m], how, cut);
}
END_TEST

/* The trace is of use all the same. */
START_TEST(server_shows_the_rest)
{
	make_tokens();
	play_server("AUTH PLAIN " PLAIN64 "\r\nNOOP x\r\nFROB %P\r\nVRFY joe\r\n", "PLAIN",
		    HELLO | TLS, 9999);
	ck_assert_ptr_nonnull(strstr(w.shown, "server< EHLO client.example.com\n"));
	ck_assert_ptr_nonnull(strstr(w.shown, "server< AUTH PLAIN ***\n"));
	ck_assert_ptr_nonnull(strstr(w.shown, "server< NOOP x\n"));
	ck_assert_ptr_nonnull(strstr(w.shown, "server< VRFY joe\n"));
	ck_assert_ptr_nonnull(strstr(w.shown, "server> 235"));
	play_server("FROB x y\r\n", "PLAIN", HELLO | TLS, 9999);
	ck_assert_ptr_nonnull(strstr(w.shown, "server< FROB ***\n"));
}
END_TEST

/* --- the client -------------------------------------------------------------------------------- */

static const unsigned client_mechanisms[] = {
	SMTP_MECHANISM_PLAIN, SMTP_MECHANISM_LOGIN, SMTP_MECHANISM_CRAM_MD5, SMTP_MECHANISM_SCRAM_SHA_256,
	SMTP_MECHANISM_XOAUTH2, SMTP_MECHANISM_OAUTHBEARER,
};

static unsigned echo_code;
static size_t echo_from;
static unsigned echo_round, rounds;

/* What the client said last, or what it had in mind, comes back from some place on. */
static void echo(struct auth_world *world, char *text, size_t *n)
{
	const char *const secrets[] = { PLAIN64, PASSWORD64, AUTH_PASSWORD, AUTH_TOKEN, bearer64, xoauth64 };

	if (!strstr(world->shown, "client> AUTH") || rounds++ < echo_round)
		return;
	*n = 0;
	for (size_t i = 0; i < sizeof(secrets) / sizeof(*secrets); i++) {
		size_t from = echo_from < strlen(secrets[i]) ? echo_from : 0;

		*n += (size_t)snprintf(text + *n, 2000, "%u%cwrong: %s!\r\n", echo_code,
				       i + 1 < sizeof(secrets) / sizeof(*secrets) ? '-' : ' ',
				       secrets[i] + from);
	}
}

START_TEST(client_shows_nothing)
{
	static const unsigned codes[] = { 235, 334, 454, 501, 535, 421, 354 };

	make_tokens();
	for (size_t c = 0; c < sizeof(codes) / sizeof(*codes); c++)
		for (echo_from = 0; echo_from < 12; echo_from++)
			for (echo_round = 0; echo_round < 3; echo_round++) {
				auth_world_init(&w, true);
				auth_world_log_in_by(&w, client_mechanisms[_i]);
				w.client_options.token = AUTH_TOKEN;
				w.client_options.password = AUTH_PASSWORD;
				w.between = echo;
				echo_code = codes[c];
				rounds = 0;
				ck_assert_int_eq(auth_world_begin(&w), 0);
				auth_world_run(&w);
				auth_world_end(&w);
				expect_silence("an echo");
			}
}
END_TEST

/* And without an echo, in whatever way it goes. */
START_TEST(both_show_nothing)
{
	make_tokens();
	for (unsigned how = 0; how < 8; how++) {
		auth_world_init(&w, true);
		auth_world_log_in_by(&w, client_mechanisms[_i]);
		w.pending = how & 1;
		w.refused_user = how & 2 ? AUTH_USER : NULL;
		w.answer_code = how & 4 ? 454 : 0;
		ck_assert_int_eq(auth_world_begin(&w), 0);
		auth_world_run(&w);
		auth_world_end(&w);
		expect_silence("a login");
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("auth_secrets");
	TCase *tc = tcase_create("secrets");

	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, server_shows_nothing, 0, ROWS(templates));
	tcase_add_test(tc, server_shows_the_rest);
	tcase_add_loop_test(tc, client_shows_nothing, 0, ROWS(client_mechanisms));
	tcase_add_loop_test(tc, both_show_nothing, 0, ROWS(client_mechanisms));
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
