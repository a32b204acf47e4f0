/* SPDX-License-Identifier: ISC */
/* AUTH with both ends face to face: each mechanism, right and wrong; what is offered; what is chosen;
 * what happens when somebody stands in between.
 */
#include "libsmtp/core/base64.h"
#include "tests/unit/auth_world.h"
#include "tests/unit/testing.h"

#define PLAIN SMTP_MECHANISM_PLAIN
#define LOGIN SMTP_MECHANISM_LOGIN
#define CRAM SMTP_MECHANISM_CRAM_MD5
#define SCRAM SMTP_MECHANISM_SCRAM_SHA_256
#define PLUS SMTP_MECHANISM_SCRAM_SHA_256_PLUS
#define XOAUTH2 SMTP_MECHANISM_XOAUTH2
#define BEARER SMTP_MECHANISM_OAUTHBEARER
#define EXTERNAL SMTP_MECHANISM_EXTERNAL

static const unsigned all[] = { PLAIN, LOGIN, CRAM, SCRAM, PLUS, XOAUTH2, BEARER, EXTERNAL };

static struct auth_world w;

static void play(void)
{
	ck_assert_int_eq(auth_world_begin(&w), 0);
	auth_world_run(&w);
}

static const char *account(void)
{
	const char *name = smtp_server_session_account(w.server);

	return name ? name : "";
}

static void expect_login(unsigned mechanism)
{
	ck_assert_msg(w.ready && w.error == 0, "%s", w.shown);
	ck_assert_str_eq(w.mechanism, smtp_mechanism_name(mechanism));
	ck_assert_str_eq(account(), mechanism == EXTERNAL ? AUTH_IDENTITY : AUTH_USER);
	ck_assert_uint_eq(w.last_code, 235);
	auth_world_end(&w);
}

static void expect_failure(int error)
{
	ck_assert_msg(!w.ready && w.error == error, "%s", w.shown);
	ck_assert_str_eq(account(), "");
	auth_world_end(&w);
}

/* --- each mechanism ---------------------------------------------------------------------------- */

START_TEST(each_succeeds)
{
	auth_world_init(&w, true);
	auth_world_log_in_by(&w, all[_i]);
	play();
	expect_login(all[_i]);
}
END_TEST

START_TEST(each_succeeds_later)
{
	auth_world_init(&w, true);
	auth_world_log_in_by(&w, all[_i]);
	w.pending = true;
	play();
	expect_login(all[_i]);
}
END_TEST

static void spoil(unsigned mechanism)
{
	if (mechanism & (XOAUTH2 | BEARER))
		w.client_options.token = AUTH_TOKEN "x";
	else if (mechanism == EXTERNAL)
		w.channel.client_identity = "mallory@example.com";
	else
		w.client_options.password = AUTH_PASSWORD "x";
}

START_TEST(each_fails)
{
	auth_world_init(&w, true);
	auth_world_log_in_by(&w, all[_i]);
	spoil(all[_i]);
	play();
	ck_assert_uint_eq(w.last_code, 535);
	expect_failure(SMTP_EAUTH);
}
END_TEST

START_TEST(each_fails_later)
{
	auth_world_init(&w, true);
	auth_world_log_in_by(&w, all[_i]);
	spoil(all[_i]);
	w.pending = true;
	play();
	ck_assert_uint_eq(w.last_code, 535);
	expect_failure(SMTP_EAUTH);
}
END_TEST

/* With a right proof too. */
START_TEST(each_refused)
{
	auth_world_init(&w, true);
	auth_world_log_in_by(&w, all[_i]);
	w.refused_user = all[_i] == EXTERNAL ? AUTH_IDENTITY : AUTH_USER;
	play();
	ck_assert_uint_eq(w.decisions, 1);
	expect_failure(SMTP_EAUTH);
}
END_TEST

/* 454: the store does not answer, be it asked for keys or for the decision; nobody counts it. */
START_TEST(each_temporary)
{
	auth_world_init(&w, true);
	auth_world_log_in_by(&w, all[_i]);
	w.server_options.max_auth_failures = 1;
	w.answer_code = 454;
	play();
	ck_assert_uint_eq(w.last_code, 454);
	ck_assert_ptr_null(strstr(w.shown, "server> 421"));
	expect_failure(SMTP_EAUTH);
}
END_TEST

START_TEST(each_unknown_user)
{
	if (all[_i] & (XOAUTH2 | BEARER | EXTERNAL))
		return;
	for (size_t n = 7; n <= 8; n++) { /* the look-up accepts, or refuses */
		auth_world_init(&w, true);
		auth_world_log_in_by(&w, all[_i]);
		w.client_options.user = n == 7 ? "nobody7" : "nobody08";
		play();
		ck_assert_msg(w.last_code == 535, "%s", w.shown);
		ck_assert_uint_eq(w.decisions, all[_i] & (PLAIN | LOGIN) ? 1 : 0);
		expect_failure(SMTP_EAUTH);
	}
}
END_TEST

/* --- what is offered --------------------------------------------------------------------------- */

enum { TLS = 1, NO_CRYPTO = 2, CLEAR = 4, NO_CHANNEL = 8, NO_CERTIFICATE = 16 };

static const struct {
	const char *name;
	unsigned mechanisms, how;
	const char *line; /* NULL: there is none */
} offers[] = {
	{ "all, TLS", SMTP_MECHANISMS_ALL, TLS,
	  "AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 EXTERNAL OAUTHBEARER XOAUTH2 PLAIN LOGIN CRAM-MD5" },
	{ "all, clear", SMTP_MECHANISMS_ALL, 0, "AUTH SCRAM-SHA-256 CRAM-MD5" },
	{ "all, clear allowed", SMTP_MECHANISMS_ALL, CLEAR,
	  "AUTH SCRAM-SHA-256 OAUTHBEARER XOAUTH2 PLAIN LOGIN CRAM-MD5" },
	{ "default, TLS", SMTP_MECHANISMS_DEFAULT, TLS,
	  "AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN" },
	{ "no channel", SMTP_MECHANISMS_ALL, TLS | NO_CHANNEL,
	  "AUTH SCRAM-SHA-256 OAUTHBEARER XOAUTH2 PLAIN LOGIN CRAM-MD5" },
	{ "no certificate", SMTP_MECHANISMS_ALL, TLS | NO_CERTIFICATE,
	  "AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 OAUTHBEARER XOAUTH2 PLAIN LOGIN CRAM-MD5" },
	{ "no cryptography", SMTP_MECHANISMS_ALL, TLS | NO_CRYPTO,
	  "AUTH EXTERNAL OAUTHBEARER XOAUTH2 PLAIN LOGIN" },
	{ "one", XOAUTH2, TLS, "AUTH XOAUTH2" },
	{ "one that needs TLS", PLAIN, 0, NULL },
	{ "none", 0, TLS, NULL },
};

static void init_as(unsigned how, unsigned mechanisms)
{
	auth_world_init(&w, how & TLS);
	w.server_options.mechanisms = mechanisms;
	w.server_options.auth_needs_tls = !(how & CLEAR);
	if (how & NO_CRYPTO)
		w.server_options.crypto = NULL;
	if (how & NO_CERTIFICATE)
		w.channel.client_identity = NULL;
	if (how & NO_CHANNEL)
		w.channel = (struct smtp_tls_channel){ .size = sizeof(w.channel) };
}

START_TEST(offer_rows)
{
	const char *auth;

	init_as(offers[_i].how, offers[_i].mechanisms);
	play();
	ck_assert_msg(w.ready, "%s", w.shown);
	auth = strstr(w.shown, "\nclient< 250-AUTH");
	if (!auth)
		auth = strstr(w.shown, "\nclient< 250 AUTH");
	ck_assert_msg(!auth == !offers[_i].line, "%s: %s", offers[_i].name, w.shown);
	if (auth) {
		auth += strlen("\nclient< 250-");
		ck_assert_msg(strncmp(auth, offers[_i].line, strlen(offers[_i].line)) == 0 &&
				      auth[strlen(offers[_i].line)] == '\n',
			      "%s: %s", offers[_i].name, w.shown);
	}
	auth_world_end(&w);
}
END_TEST

/* What is not offered is not taken either. */
static const struct {
	const char *name;
	unsigned mechanisms, how;
	const char *command, *answer;
} commands[] = {
	{ "switched off", PLAIN, TLS, "AUTH SCRAM-SHA-256", "504 5.5.4" },
	{ "no certificate", SMTP_MECHANISMS_ALL, TLS | NO_CERTIFICATE, "AUTH EXTERNAL =", "504 5.5.4" },
	{ "no channel", SMTP_MECHANISMS_ALL, TLS | NO_CHANNEL, "AUTH SCRAM-SHA-256-PLUS", "504 5.5.4" },
	{ "clear", SMTP_MECHANISMS_ALL, 0, "AUTH PLAIN AHVzZXIAcGVuY2ls", "504 5.5.4" },
	{ "clear token", SMTP_MECHANISMS_ALL, 0, "AUTH OAUTHBEARER", "504 5.5.4" },
	{ "no cryptography", SMTP_MECHANISMS_ALL, TLS | NO_CRYPTO, "AUTH CRAM-MD5", "504 5.5.4" },
	{ "initial response to CRAM-MD5", SMTP_MECHANISMS_ALL, TLS, "AUTH CRAM-MD5 dXNlcg==",
	  "501 5.7.0" },
	{ "empty one too", SMTP_MECHANISMS_ALL, TLS, "AUTH CRAM-MD5 =", "501 5.7.0" },
	{ "any case", SMTP_MECHANISMS_ALL, TLS, "auth scram-sha-256", "334 " },
	{ "cut off", SMTP_MECHANISMS_ALL, TLS, "AUTH SCRAM-SHA-25", "504 5.5.4" },
	{ "SCRAM of nothing", SMTP_MECHANISMS_ALL, TLS, "AUTH SCRAM-SHA-256 =", "501 5.5.2" },
	{ "OAUTHBEARER of nothing", SMTP_MECHANISMS_ALL, TLS, "AUTH OAUTHBEARER =", "501 5.5.2" },
	{ "XOAUTH2 of nothing", SMTP_MECHANISMS_ALL, TLS, "AUTH XOAUTH2 =", "501 5.5.2" },
	{ "EXTERNAL as somebody else", SMTP_MECHANISMS_ALL, TLS, "AUTH EXTERNAL Ym9i", "535 5.7.8" },
	{ "EXTERNAL as oneself", SMTP_MECHANISMS_ALL, TLS, "AUTH EXTERNAL am9lQGV4YW1wbGUuY29t",
	  "235 2.7.0" },
	{ "EXTERNAL with a NUL", SMTP_MECHANISMS_ALL, TLS, "AUTH EXTERNAL am9lAA==", "501 5.5.2" },
};

static const char *say(const char *line)
{
	static char text[1024];
	char octets[512];
	size_t taken = 0;
	struct smtp_span out;
	int n = snprintf(octets, sizeof(octets), "%s\r\n", line);

	ck_assert_int_eq(smtp_server_session_feed(w.server, octets, (size_t)n, 0, &taken), 0);
	out = smtp_server_session_output(w.server);
	snprintf(text, sizeof(text), "%.*s", (int)out.n, out.n ? (const char *)out.p : "");
	smtp_server_session_sent(w.server, out.n);
	return text;
}

START_TEST(command_rows)
{
	const char *answer;

	init_as(commands[_i].how, commands[_i].mechanisms);
	play();
	answer = say(commands[_i].command);
	ck_assert_msg(strncmp(answer, commands[_i].answer, strlen(commands[_i].answer)) == 0, "%s: %s",
		      commands[_i].name, answer);
	auth_world_end(&w);
}
END_TEST

/* --- what is chosen ---------------------------------------------------------------------------- */

enum { PASSWORD = 32, TOKEN = 64, CERTIFICATE = 128, FORCED = 256, NO_USER = 512 };

static const struct {
	const char *name;
	unsigned offered, how, wanted, chosen;
	int error;
} choices[] = {
	{ "strongest", SMTP_MECHANISMS_ALL, TLS | PASSWORD, 0, PLUS, 0 },
	{ "no channel", SMTP_MECHANISMS_ALL, TLS | NO_CHANNEL | PASSWORD, 0, SCRAM, 0 },
	{ "PLUS alone, no channel", PLUS, TLS | NO_CHANNEL | PASSWORD, 0, 0, SMTP_ENOTSUP },
	{ "PLAIN before LOGIN and CRAM-MD5", PLAIN | LOGIN | CRAM, TLS | PASSWORD, 0, PLAIN, 0 },
	{ "LOGIN before CRAM-MD5", LOGIN | CRAM, TLS | PASSWORD, 0, LOGIN, 0 },
	{ "CRAM-MD5 alone", CRAM, TLS | PASSWORD, 0, CRAM, 0 },
	{ "token", SMTP_MECHANISMS_ALL, TLS | TOKEN, 0, BEARER, 0 },
	{ "token, XOAUTH2", XOAUTH2 | PLAIN, TLS | TOKEN, 0, XOAUTH2, 0 },
	{ "token and password", SMTP_MECHANISMS_ALL, TLS | TOKEN | PASSWORD, 0, BEARER, 0 },
	{ "token not taken, password", PLAIN, TLS | TOKEN | PASSWORD, 0, PLAIN, 0 },
	{ "token not taken", PLAIN | SCRAM, TLS | TOKEN, 0, 0, SMTP_ENOTSUP },
	{ "token without user", XOAUTH2, TLS | TOKEN | NO_USER, 0, 0, SMTP_ENOTSUP },
	{ "certificate", SMTP_MECHANISMS_ALL, TLS | CERTIFICATE | NO_USER, 0, EXTERNAL, 0 },
	{ "certificate and password", SMTP_MECHANISMS_ALL, TLS | CERTIFICATE | PASSWORD, 0, PLUS, 0 },
	{ "certificate, EXTERNAL asked for", SMTP_MECHANISMS_ALL, TLS | CERTIFICATE | PASSWORD, EXTERNAL,
	  EXTERNAL, 0 },
	{ "certificate not wanted", PLAIN, TLS | CERTIFICATE | NO_USER, 0, 0, 0 },
	{ "EXTERNAL asked for, not offered", PLAIN, TLS | NO_USER, EXTERNAL, 0, SMTP_ENOTSUP },
	{ "asked for", SMTP_MECHANISMS_ALL, TLS | PASSWORD, LOGIN, LOGIN, 0 },
	{ "asked for, not offered", PLAIN | SCRAM, TLS | PASSWORD, LOGIN, 0, SMTP_ENOTSUP },
	{ "clear: SCRAM", SMTP_MECHANISMS_ALL, CLEAR | PASSWORD, 0, SCRAM, 0 },
	{ "clear: no PLAIN", PLAIN | LOGIN, CLEAR | PASSWORD, 0, 0, SMTP_ETLS },
	{ "clear: no PLAIN though asked for", PLAIN, CLEAR | PASSWORD, PLAIN, 0, SMTP_ETLS },
	{ "clear: no CRAM-MD5 by itself", CRAM | PLAIN, CLEAR | PASSWORD, 0, 0, SMTP_ETLS },
	{ "clear: CRAM-MD5 asked for", CRAM | PLAIN, CLEAR | PASSWORD, CRAM, CRAM, 0 },
	{ "clear: no token", SMTP_MECHANISMS_ALL, CLEAR | TOKEN, 0, 0, SMTP_ETLS },
	{ "forced: SCRAM all the same", SMTP_MECHANISMS_ALL, CLEAR | PASSWORD | FORCED, 0, SCRAM, 0 },
	{ "forced: CRAM-MD5 before PLAIN", CRAM | PLAIN, CLEAR | PASSWORD | FORCED, 0, CRAM, 0 },
	{ "forced: PLAIN", PLAIN | LOGIN, CLEAR | PASSWORD | FORCED, 0, PLAIN, 0 },
	{ "forced: token", XOAUTH2, CLEAR | TOKEN | FORCED, 0, XOAUTH2, 0 },
	{ "nothing offered", 0, TLS | PASSWORD, 0, 0, SMTP_ENOTSUP },
	{ "nobody", SMTP_MECHANISMS_ALL, TLS | NO_USER, 0, 0, 0 },
};

START_TEST(choice_rows)
{
	unsigned how = choices[_i].how;

	init_as(how, choices[_i].offered);
	w.client_options.user = how & NO_USER ? NULL : AUTH_USER;
	w.client_options.password = how & PASSWORD ? AUTH_PASSWORD : NULL;
	w.client_options.token = how & TOKEN ? AUTH_TOKEN : NULL;
	w.client_options.auth_external = how & CERTIFICATE;
	w.client_options.auth_without_tls = how & FORCED;
	w.client_options.mechanism = choices[_i].wanted;
	play();
	ck_assert_msg(w.error == choices[_i].error, "%s: %s", choices[_i].name, w.shown);
	ck_assert_str_eq(w.mechanism,
			 choices[_i].chosen ? smtp_mechanism_name(choices[_i].chosen) : "");
	auth_world_end(&w);
}
END_TEST

START_TEST(without_cryptography_no_scram)
{
	auth_world_init(&w, true);
	auth_world_log_in_by(&w, 0);
	w.client_options.crypto = NULL;
	play();
	expect_login(PLAIN);
}
END_TEST

/* --- somebody in between ----------------------------------------------------------------------- */

START_TEST(other_channel)
{
	auth_world_init(&w, true);
	auth_world_log_in_by(&w, PLUS);
	w.other_channel = true;
	play();
	expect_failure(SMTP_EAUTH);
}
END_TEST

static void cut_out(char *text, size_t *n, const char *what)
{
	char *at = memmem(text, *n, what, strlen(what));

	if (!at)
		return;
	*n -= strlen(what);
	memmove(at, at + strlen(what), *n - (size_t)(at - text));
}

static void without_plus(struct auth_world *world, char *text, size_t *n)
{
	(void)world;
	cut_out(text, n, " SCRAM-SHA-256-PLUS");
}

START_TEST(offer_taken_out)
{
	auth_world_init(&w, true);
	auth_world_log_in_by(&w, 0);
	w.between = without_plus;
	play();
	ck_assert_uint_eq(w.lookups, 0);
	expect_failure(SMTP_EAUTH);
}
END_TEST

/* A server that knows StoredKey but not ServerKey: it could have been stolen from a log. */
START_TEST(server_without_its_key)
{
	auth_world_init(&w, true);
	auth_world_log_in_by(&w, PLUS);
	w.keys.server_key[31] ^= 1;
	play();
	ck_assert_ptr_nonnull(strstr(w.shown, "client> *"));
	expect_failure(SMTP_EAUTH);
}
END_TEST

/* What a false server says to the messages of the client, one after another. */
static const char *const *lines_of_server;

static void speak_instead(struct auth_world *world, char *text, size_t *n)
{
	if (!strstr(world->shown, "client> AUTH"))
		return;
	*n = (size_t)snprintf(text, 1024, "%s\r\n", *lines_of_server ? *lines_of_server : "221 bye");
	if (*lines_of_server)
		lines_of_server++;
}

static const struct {
	const char *name;
	unsigned mechanism;
	const char *lines[4];
	int error; /* 0: logged in */
	const char *shown;
} servers[] = {
	{ "SCRAM: success at once", SCRAM, { "235 ok" }, SMTP_EPROTO, NULL },
	{ "SCRAM: success without signature", SCRAM, { "334", "235 ok" }, SMTP_EPROTO, NULL },
	{ "SCRAM: no base64", SCRAM, { "334 ???", "501 ok" }, SMTP_EAUTH, "client> *" },
	{ "SCRAM: other nonce", SCRAM, { "334 cj1hYmMscz1BQUFBLGk9NDA5Ng==", "501 ok" }, SMTP_EAUTH,
	  "client> *" },
	{ "SCRAM: success after the cancelling", SCRAM, { "334 ???", "235 ok" }, SMTP_EPROTO,
	  "client> *" },
	{ "CRAM-MD5: no challenge", CRAM, { "334", "501 ok" }, SMTP_EAUTH, "client> *" },
	{ "CRAM-MD5: no base64", CRAM, { "334 <abc@def>", "501 ok" }, SMTP_EAUTH, "client> *" },
	{ "CRAM-MD5: two challenges", CRAM, { "334 PGFAYj4=", "334 PGFAYj4=", "501 ok" }, SMTP_EAUTH,
	  "client> *" },
	{ "PLAIN: asked for", PLAIN, { "334", "235 ok" }, 0, NULL },
	{ "PLAIN: asked for in words", PLAIN, { "334 go ahead", "235 ok" }, 0, NULL },
	{ "PLAIN: asked for twice", PLAIN, { "334", "334", "501 ok" }, SMTP_EAUTH, "client> *" },
	{ "LOGIN: asked in words", LOGIN, { "334 Username:", "334 Password:", "235 ok" }, 0, NULL },
	{ "LOGIN: asked without words", LOGIN, { "334", "334", "235 ok" }, 0, NULL },
	{ "LOGIN: thrice", LOGIN, { "334", "334", "334", "501 ok" }, SMTP_EAUTH, "client> *" },
	{ "EXTERNAL: asked for", EXTERNAL, { "334", "235 ok" }, 0, NULL },
	{ "EXTERNAL: a question", EXTERNAL, { "334 d2hvPw==", "501 ok" }, SMTP_EAUTH, "client> *" },
	{ "XOAUTH2: asked for", XOAUTH2, { "334", "235 ok" }, 0, NULL },
	{ "XOAUTH2: refused", XOAUTH2, { "334 eyJzdGF0dXMiOiI0MDAifQ==", "535 no" }, SMTP_EAUTH, NULL },
	{ "XOAUTH2: refused thrice", XOAUTH2, { "334 e30=", "334 e30=", "501 no" }, SMTP_EAUTH,
	  "client> *" },
	{ "OAUTHBEARER: refused", BEARER, { "334 eyJzdGF0dXMiOiI0MDAifQ==", "535 no" }, SMTP_EAUTH, NULL },
	{ "too weak", PLAIN, { "534 5.7.9 too weak" }, SMTP_EAUTH, NULL },
	{ "later", PLAIN, { "454 4.7.0 later" }, SMTP_EAUTH, NULL },
	{ "closes", SCRAM, { "421 4.7.0 bye" }, SMTP_EREFUSED, NULL },
	{ "nonsense", PLAIN, { "354 go ahead" }, SMTP_EPROTO, NULL },
};

START_TEST(server_rows)
{
	auth_world_init(&w, true);
	auth_world_log_in_by(&w, servers[_i].mechanism);
	w.between = speak_instead;
	lines_of_server = servers[_i].lines;
	play();
	ck_assert_msg(w.error == servers[_i].error, "%s: %s", servers[_i].name, w.shown);
	ck_assert_msg(w.ready == (servers[_i].error == 0), "%s: %s", servers[_i].name, w.shown);
	if (servers[_i].shown)
		ck_assert_msg(strstr(w.shown, servers[_i].shown), "%s: %s", servers[_i].name, w.shown);
	auth_world_end(&w);
}
END_TEST

/* --- the rest ---------------------------------------------------------------------------------- */

/* Line by line until one of the server's SCRAM challenges; its salt and count. */
static void first_challenge(const char *user, char out[512])
{
	char line[256];
	const char *answer;
	struct smtp_buf base64;

	smtp_buf_init(&base64, 256);
	snprintf(line, sizeof(line), "n,,n=%s,r=abcdef", user);
	ck_assert_int_eq(smtp_base64_encode(&base64, smtp_span_of(line)), 0);
	auth_world_init(&w, true);
	play();
	snprintf(line, sizeof(line), "AUTH SCRAM-SHA-256 %.*s", (int)base64.n,
		 (const char *)base64.p);
	smtp_buf_release(&base64);
	answer = say(line);
	ck_assert_msg(strncmp(answer, "334 ", 4) == 0, "%s", answer);
	snprintf(out, 512, "%s", answer + 4);
	auth_world_end(&w);
}

START_TEST(unknown_users_have_a_salt)
{
	char known[512], unknown[512], again[512], other[512];

	first_challenge(AUTH_USER, known);
	first_challenge("nobody", unknown);
	first_challenge("nobody", again);
	first_challenge("nobodx", other);
	ck_assert_str_eq(unknown, again);
	ck_assert_str_ne(unknown, other);
	ck_assert_uint_eq(strlen(known), strlen(unknown));
}
END_TEST

/* Of randomness, not of the process, the clock and the host: nothing of one tells the next. */
START_TEST(challenge_is_new)
{
	char first[512], second[512];

	init_as(TLS, CRAM);
	play();
	snprintf(first, sizeof(first), "%s", say("AUTH CRAM-MD5"));
	ck_assert(strncmp(first, "334 ", 4) == 0 && strlen(first) > 30);
	ck_assert(strncmp(say("*"), "501 5.7.0", 9) == 0);
	snprintf(second, sizeof(second), "%s", say("AUTH CRAM-MD5"));
	ck_assert_str_ne(first, second);
	auth_world_end(&w);
}
END_TEST

/* The command line may have 512 octets; a token is longer. */
START_TEST(long_initial_response)
{
	static char token[4000];

	auth_world_init(&w, true);
	auth_world_log_in_by(&w, BEARER);
	memset(token, 'x', sizeof(token) - 1);
	w.client_options.token = token;
	w.refused_user = NULL;
	play();
	ck_assert_ptr_nonnull(strstr(w.shown, "client> AUTH OAUTHBEARER\n"));
	ck_assert_str_eq(w.mechanism, "OAUTHBEARER");
	expect_failure(SMTP_EAUTH);
}
END_TEST

START_TEST(token_error)
{
	auth_world_init(&w, true);
	auth_world_log_in_by(&w, XOAUTH2);
	w.client_options.token = "other";
	w.token_error = "{\"status\":\"expired\"}";
	play();
	ck_assert_ptr_nonnull(strstr(w.shown, "client< 334 eyJzdGF0dXMiOiJleHBpcmVkIn0="));
	expect_failure(SMTP_EAUTH);
}
END_TEST

START_TEST(token_without_user)
{
	auth_world_init(&w, true);
	auth_world_log_in_by(&w, BEARER);
	w.client_options.user = NULL;
	play();
	ck_assert(w.ready);
	ck_assert_str_eq(account(), "by-token");
	auth_world_end(&w);
}
END_TEST

START_TEST(token_of_nobody)
{
	auth_world_init(&w, true);
	auth_world_log_in_by(&w, BEARER);
	w.client_options.user = NULL;
	w.token_names_nobody = true;
	play();
	expect_failure(SMTP_EAUTH);
}
END_TEST

START_TEST(lookup_refuses_after_all)
{
	static const unsigned mechanisms[] = { CRAM, SCRAM, PLUS };

	auth_world_init(&w, true);
	auth_world_log_in_by(&w, mechanisms[_i]);
	w.lookup_refuses = true;
	play();
	ck_assert_uint_eq(w.last_code, 535);
	ck_assert_uint_eq(w.decisions, 0);
	expect_failure(SMTP_EAUTH);
}
END_TEST

/* With STARTTLS at hand only what TLS makes possible is 530. */
START_TEST(before_starttls)
{
	init_as(0, SMTP_MECHANISMS_ALL);
	w.server_options.offer_starttls = true;
	play();
	ck_assert(strncmp(say("AUTH PLAIN"), "530 5.7.0", 9) == 0);
	ck_assert(strncmp(say("AUTH XOAUTH2"), "530 5.7.0", 9) == 0);
	ck_assert(strncmp(say("AUTH SCRAM-SHA-256-PLUS"), "504 5.5.4", 9) == 0);
	ck_assert(strncmp(say("AUTH EXTERNAL"), "504 5.5.4", 9) == 0);
	ck_assert(strncmp(say("AUTH SCRAM-SHA-256"), "334", 3) == 0);
	auth_world_end(&w);
}
END_TEST

static const struct {
	const char *name, *mechanism, *message, *answer;
} tokens[] = {
	{ "right", "XOAUTH2", "user=user\1auth=Bearer " AUTH_TOKEN "\1\1", "235" },
	{ "any case", "XOAUTH2", "USER=user\1AUTH=bearer " AUTH_TOKEN "\1\1", "235" },
	{ "other keys", "XOAUTH2", "user=user\1x=y\1auth=Bearer " AUTH_TOKEN "\1z=\1\1", "235" },
	{ "something behind", "XOAUTH2", "user=user\1auth=Bearer " AUTH_TOKEN "\1\1x", "501" },
	{ "end cut off", "XOAUTH2", "user=user\1auth=Bearer " AUTH_TOKEN "\1", "501" },
	{ "no user", "XOAUTH2", "auth=Bearer " AUTH_TOKEN "\1\1", "501" },
	{ "empty user", "XOAUTH2", "user=\1auth=Bearer " AUTH_TOKEN "\1\1", "501" },
	{ "no token", "XOAUTH2", "user=user\1auth=Bearer \1\1", "501" },
	{ "blank in the token", "XOAUTH2", "user=user\1auth=Bearer a b\1\1", "501" },
	{ "another kind", "XOAUTH2", "user=user\1auth=Basic " AUTH_TOKEN "\1\1", "501" },
	{ "two tokens", "XOAUTH2",
	  "user=user\1auth=Bearer x\1auth=Bearer " AUTH_TOKEN "\1\1", "501" },
	{ "wrong", "XOAUTH2", "user=user\1auth=Bearer x\1\1", "334" },
	{ "right", "OAUTHBEARER", "n,a=user,\1auth=Bearer " AUTH_TOKEN "\1\1", "235" },
	{ "could bind", "OAUTHBEARER", "y,a=user,\1auth=Bearer " AUTH_TOKEN "\1\1", "235" },
	{ "nobody named", "OAUTHBEARER", "n,,\1host=x\1port=1\1auth=Bearer " AUTH_TOKEN "\1\1", "235" },
	{ "bound", "OAUTHBEARER", "p=tls-exporter,,\1auth=Bearer " AUTH_TOKEN "\1\1", "501" },
	{ "empty name", "OAUTHBEARER", "n,a=,\1auth=Bearer " AUTH_TOKEN "\1\1", "235" },
	{ "odd header", "OAUTHBEARER", "n,b=user,\1auth=Bearer " AUTH_TOKEN "\1\1", "501" },
	{ "bare equals", "OAUTHBEARER", "n,a=us=er,\1auth=Bearer " AUTH_TOKEN "\1\1", "501" },
	{ "no header", "OAUTHBEARER", "auth=Bearer " AUTH_TOKEN "\1\1", "501" },
	{ "something behind", "OAUTHBEARER", "n,,\1auth=Bearer " AUTH_TOKEN "\1\1\1", "501" },
	{ "the client's own refusal", "OAUTHBEARER", "\1", "501" },
};

START_TEST(token_rows)
{
	char line[512];
	const char *answer;
	struct smtp_buf base64;

	smtp_buf_init(&base64, 256);
	ck_assert_int_eq(smtp_base64_encode(&base64, smtp_span_of(tokens[_i].message)), 0);
	snprintf(line, sizeof(line), "AUTH %s %.*s", tokens[_i].mechanism, (int)base64.n,
		 (const char *)base64.p);
	smtp_buf_release(&base64);
	auth_world_init(&w, true);
	play();
	answer = say(line);
	ck_assert_msg(strncmp(answer, tokens[_i].answer, 3) == 0, "%s %s: %s", tokens[_i].mechanism,
		      tokens[_i].name, answer);
	auth_world_end(&w);
}
END_TEST

/* For PLAIN, SCRAM and EXTERNAL. */
START_TEST(acting_for_another)
{
	static const unsigned mechanisms[] = { PLAIN, SCRAM, PLUS, EXTERNAL };

	for (int allowed = 0; allowed < 2; allowed++) {
		auth_world_init(&w, true);
		auth_world_log_in_by(&w, mechanisms[_i]);
		w.client_options.authorization_id = "boss";
		w.server_options.auth_other_identity = allowed;
		play();
		ck_assert_int_eq(w.ready, allowed);
		ck_assert_uint_eq(w.decisions, (unsigned)allowed);
		auth_world_end(&w);
	}
}
END_TEST

START_TEST(setters_out_of_place)
{
	auth_world_init(&w, true);
	play();
	ck_assert_int_eq(smtp_server_session_set_scram_keys(w.server, &w.keys), SMTP_ESTATE);
	ck_assert_int_eq(smtp_server_session_set_shared_secret(w.server, smtp_span_of("x")),
			 SMTP_ESTATE);
	ck_assert_int_eq(smtp_server_session_set_token_error(w.server, "{}"), SMTP_ESTATE);
	ck_assert_int_eq(smtp_server_session_set_tls_channel(w.server, &w.channel), SMTP_ESTATE);
	ck_assert_int_eq(smtp_client_session_set_tls_channel(w.client, &w.channel), SMTP_ESTATE);
	w.keys.salt_n = 0;
	ck_assert_int_eq(smtp_server_session_set_scram_keys(w.server, &w.keys), SMTP_EINVAL);
	w.keys.salt_n = 16;
	w.keys.iterations = 4095;
	ck_assert_int_eq(smtp_server_session_set_scram_keys(w.server, &w.keys), SMTP_EINVAL);
	ck_assert_int_eq(smtp_server_session_set_shared_secret(w.server, smtp_span_of("")), SMTP_EINVAL);
	ck_assert_str_eq(smtp_server_session_client_identity(w.server), AUTH_IDENTITY);
	auth_world_end(&w);
}
END_TEST

/* A handler that says NEXT to all has not checked a password. */
static enum smtp_verdict no_opinion(struct smtp_server_session *s, const struct smtp_auth_request *r,
				    void *user)
{
	(void)s;
	(void)r;
	(void)user;
	return SMTP_NEXT;
}

START_TEST(nobody_checks)
{
	static const struct smtp_server_session_handler handler = {
		.size = sizeof(handler), .auth = no_opinion,
	};
	size_t taken;

	auth_world_init(&w, true);
	ck_assert_int_eq(smtp_server_session_new(&w.server, &w.server_options, &handler, &w), 0);
	ck_assert_int_eq(smtp_server_session_start(w.server, 0), 0);
	ck_assert_int_eq(smtp_server_session_feed(w.server, "EHLO x\r\n", 8, 0, &taken), 0);
	smtp_server_session_sent(w.server, 10000);
	ck_assert_str_eq(account(), "");
	ck_assert(strncmp(say("AUTH PLAIN AHVzZXIAcGVuY2ls"), "535 5.7.8", 9) == 0);
	ck_assert_str_eq(account(), "");
	smtp_server_session_free(w.server);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("auth");
	TCase *tc = tcase_create("auth");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, each_succeeds, 0, ROWS(all));
	tcase_add_loop_test(tc, each_succeeds_later, 0, ROWS(all));
	tcase_add_loop_test(tc, each_fails, 0, ROWS(all));
	tcase_add_loop_test(tc, each_fails_later, 0, ROWS(all));
	tcase_add_loop_test(tc, each_refused, 0, ROWS(all));
	tcase_add_loop_test(tc, each_temporary, 0, ROWS(all));
	tcase_add_loop_test(tc, each_unknown_user, 0, ROWS(all));
	tcase_add_loop_test(tc, offer_rows, 0, ROWS(offers));
	tcase_add_loop_test(tc, command_rows, 0, ROWS(commands));
	tcase_add_loop_test(tc, choice_rows, 0, ROWS(choices));
	tcase_add_test(tc, without_cryptography_no_scram);
	tcase_add_test(tc, other_channel);
	tcase_add_test(tc, offer_taken_out);
	tcase_add_test(tc, server_without_its_key);
	tcase_add_loop_test(tc, server_rows, 0, ROWS(servers));
	tcase_add_test(tc, unknown_users_have_a_salt);
	tcase_add_test(tc, challenge_is_new);
	tcase_add_test(tc, long_initial_response);
	tcase_add_test(tc, token_error);
	tcase_add_test(tc, token_without_user);
	tcase_add_test(tc, token_of_nobody);
	tcase_add_loop_test(tc, lookup_refuses_after_all, 0, 3);
	tcase_add_test(tc, before_starttls);
	tcase_add_loop_test(tc, token_rows, 0, ROWS(tokens));
	tcase_add_loop_test(tc, acting_for_another, 0, 4);
	tcase_add_test(tc, setters_out_of_place);
	tcase_add_test(tc, nobody_checks);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
