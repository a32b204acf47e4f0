/* SPDX-License-Identifier: ISC */
/* SCRAM-SHA-256: the exchange of RFC 7677, both ends against one another, and messages that are wrong in
 * one place each.
 */
#include "libsmtp/core/sasl_scram.h"
#include "libsmtp/core/base64.h"
#include "libsmtp/core/span.h"

#include "tests/unit/testing.h"

static struct smtp_span span_of(const char *text)
{
	return smtp_span_of(text);
}

static const struct smtp_scram_channel no_channel = { .plus_offered = false };
static const struct smtp_scram_channel bound = {
	.exporter = { (const uint8_t *)"0123456789abcdef0123456789abcdef", 32 },
	.server_end_point = { (const uint8_t *)"fedcba9876543210fedcba9876543210", 32 },
	.plus_offered = true,
};

#define USER_NONCE "rOprNGfwEbeRWgbNEkqO"
#define SERVER_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define SERVER_FIRST "r=" USER_NONCE SERVER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define WITHOUT_PROOF "c=biws,r=" USER_NONCE SERVER_NONCE
#define PROOF "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define VERIFIER "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

/* The keys of "pencil" under the salt of RFC 7677. */
static struct smtp_scram_keys keys_of(const char *password, const char *salt, uint32_t iterations)
{
	const struct smtp_crypto *c = smtp_crypto_openssl();
	struct smtp_scram_keys keys = { .iterations = iterations };
	uint8_t salted[32], key[32];
	struct smtp_buf octets;

	smtp_buf_init(&octets, sizeof(keys.salt));
	ck_assert_int_eq(smtp_base64_decode(&octets, span_of(salt)), 0);
	memcpy(keys.salt, octets.p, octets.n);
	keys.salt_n = octets.n;
	ck_assert_int_eq(c->pbkdf2_sha256(NULL, span_of(password), smtp_buf_span(&octets), iterations,
					  salted), 0);
	smtp_buf_release(&octets);
	ck_assert_int_eq(c->hmac_sha256(NULL, smtp_span_make(salted, 32), span_of("Client Key"), key), 0);
	ck_assert_int_eq(c->sha256(NULL, smtp_span_make(key, 32), keys.stored_key), 0);
	ck_assert_int_eq(c->hmac_sha256(NULL, smtp_span_make(salted, 32), span_of("Server Key"),
					keys.server_key), 0);
	return keys;
}

/* One end of an exchange and what it said last. */
struct end {
	struct smtp_scram x;
	struct smtp_buf out;
	struct smtp_buf name;
	struct smtp_buf other;
};

static void end_init(struct end *e)
{
	smtp_scram_init(&e->x);
	smtp_buf_init(&e->out, 8192);
	smtp_buf_init(&e->name, 1024);
	smtp_buf_init(&e->other, 1024);
}

static void end_release(struct end *e)
{
	smtp_scram_wipe(&e->x);
	smtp_buf_wipe(&e->out);
	smtp_buf_wipe(&e->name);
	smtp_buf_wipe(&e->other);
}

static const char *said(struct end *e)
{
	static char text[8193];

	memcpy(text, e->out.p, e->out.n);
	text[e->out.n] = '\0';
	smtp_buf_clear(&e->out);
	return text;
}

START_TEST(rfc7677_client)
{
	const struct smtp_crypto *c = smtp_crypto_openssl();
	struct end e;

	end_init(&e);
	ck_assert_int_eq(smtp_scram_client_first(&e.x, false, &no_channel, span_of("user"), span_of(""),
						 span_of(USER_NONCE), &e.out), 0);
	ck_assert_str_eq(said(&e), "n,,n=user,r=" USER_NONCE);
	ck_assert_int_eq(smtp_scram_client_final(&e.x, c, span_of("pencil"), span_of(SERVER_FIRST),
						 &e.out), 0);
	ck_assert_str_eq(said(&e), WITHOUT_PROOF ",p=" PROOF);
	ck_assert_int_eq(smtp_scram_client_check(&e.x, span_of(VERIFIER)), 0);
	ck_assert_int_eq(smtp_scram_client_check(&e.x, span_of(VERIFIER ",x=y")), 0);
	ck_assert_int_eq(smtp_scram_client_check(&e.x, span_of("")), SMTP_EAUTH);
	ck_assert_int_eq(smtp_scram_client_check(&e.x, span_of("e=other-error")), SMTP_EAUTH);
	ck_assert_int_eq(smtp_scram_client_check(&e.x, span_of("v=" PROOF)), SMTP_EAUTH);
	end_release(&e);
}
END_TEST

static int server_round(struct end *e, const struct smtp_scram_keys *keys, const char *final)
{
	int err;

	end_init(e);
	err = smtp_scram_server_first(&e->x, false, &no_channel, span_of("n,,n=user,r=" USER_NONCE),
				      &e->name, &e->other);
	ck_assert_int_eq(err, 0);
	ck_assert(smtp_span_is(smtp_buf_span(&e->name), "user"));
	ck_assert_int_eq(smtp_scram_server_challenge(&e->x, keys, span_of(SERVER_NONCE), &e->out), 0);
	ck_assert_str_eq(said(e), SERVER_FIRST);
	return smtp_scram_server_check(&e->x, smtp_crypto_openssl(), keys, span_of(final));
}

START_TEST(rfc7677_server)
{
	struct smtp_scram_keys keys = keys_of("pencil", "W22ZaJ0SNY7soEsUEjb6gQ==", 4096);
	struct end e;

	ck_assert_int_eq(server_round(&e, &keys, WITHOUT_PROOF ",p=" PROOF), 0);
	ck_assert_int_eq(smtp_scram_server_final(&e.x, &e.out), 0);
	ck_assert_str_eq(said(&e), VERIFIER);
	end_release(&e);
}
END_TEST

static const struct {
	const char *name, *message;
	int err;
} finals[] = {
	{ "other proof", WITHOUT_PROOF ",p=eHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", SMTP_EAUTH },
	{ "server's own signature", WITHOUT_PROOF ",p=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
	  SMTP_EAUTH },
	{ "nonce of the client only", "c=biws,r=" USER_NONCE ",p=" PROOF, SMTP_EAUTH },
	{ "nonce longer", "c=biws,r=" USER_NONCE SERVER_NONCE "x,p=" PROOF, SMTP_EAUTH },
	{ "binding of y", "c=eSws,r=" USER_NONCE SERVER_NONCE ",p=" PROOF, SMTP_EAUTH },
	{ "empty binding", "c=,r=" USER_NONCE SERVER_NONCE ",p=" PROOF, SMTP_EAUTH },
	{ "extension changes the message", WITHOUT_PROOF ",x=1,p=" PROOF, SMTP_EAUTH },
	{ "short proof", WITHOUT_PROOF ",p=dHzb", SMTP_ESYNTAX },
	{ "long proof", WITHOUT_PROOF ",p=" PROOF PROOF, SMTP_ESYNTAX },
	{ "proof of 33 octets", WITHOUT_PROOF ",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
	  SMTP_ESYNTAX },
	{ "no base64", WITHOUT_PROOF ",p=????", SMTP_ESYNTAX },
	{ "empty proof", WITHOUT_PROOF ",p=", SMTP_ESYNTAX },
	{ "no proof", WITHOUT_PROOF, SMTP_ESYNTAX },
	{ "proof first", "p=" PROOF "," WITHOUT_PROOF, SMTP_ESYNTAX },
	{ "something behind", WITHOUT_PROOF ",p=" PROOF ",x=1", SMTP_ESYNTAX },
	{ "no binding", "r=" USER_NONCE SERVER_NONCE ",p=" PROOF, SMTP_ESYNTAX },
	{ "odd extension", WITHOUT_PROOF ",1=x,p=" PROOF, SMTP_ESYNTAX },
	{ "empty extension", WITHOUT_PROOF ",x=,p=" PROOF, SMTP_ESYNTAX },
	{ "nothing", "", SMTP_ESYNTAX },
	{ "comma", ",", SMTP_ESYNTAX },
};

START_TEST(final_rows)
{
	struct smtp_scram_keys keys = keys_of("pencil", "W22ZaJ0SNY7soEsUEjb6gQ==", 4096);
	struct end e;

	ck_assert_msg(server_round(&e, &keys, finals[_i].message) == finals[_i].err, "%s",
		      finals[_i].name);
	end_release(&e);
}
END_TEST

/* A right proof by one who has the keys of the client, over a message with another nonce. */
START_TEST(proof_of_another_nonce)
{
	static const char without[] = "c=biws,r=" USER_NONCE "other";
	static const char message[] = "n=user,r=" USER_NONCE "," SERVER_FIRST ",c=biws,r=" USER_NONCE "other";
	struct smtp_scram_keys keys = keys_of("pencil", "W22ZaJ0SNY7soEsUEjb6gQ==", 4096);
	const struct smtp_crypto *c = smtp_crypto_openssl();
	uint8_t salted[32], key[32], proof[32];
	struct smtp_buf final;
	struct end e;

	smtp_buf_init(&final, 512);
	ck_assert_int_eq(c->pbkdf2_sha256(NULL, span_of("pencil"), smtp_span_make(keys.salt, keys.salt_n),
					  4096, salted), 0);
	ck_assert_int_eq(c->hmac_sha256(NULL, smtp_span_make(salted, 32), span_of("Client Key"), key), 0);
	ck_assert_int_eq(c->hmac_sha256(NULL, smtp_span_make(keys.stored_key, 32), span_of(message),
					proof), 0);
	for (size_t i = 0; i < 32; i++)
		proof[i] ^= key[i];
	ck_assert_int_eq(smtp_buf_append_text(&final, without), 0);
	ck_assert_int_eq(smtp_buf_append_text(&final, ",p="), 0);
	ck_assert_int_eq(smtp_base64_encode(&final, smtp_span_make(proof, 32)), 0);
	ck_assert_int_eq(smtp_buf_append(&final, "", 1), 0);
	ck_assert_int_eq(server_round(&e, &keys, (const char *)final.p), SMTP_EAUTH);
	end_release(&e);
	smtp_buf_release(&final);
}
END_TEST

START_TEST(every_octet_is_compared)
{
	uint8_t a[32] = { 0 }, b[32] = { 0 };

	ck_assert(smtp_octets_equal(a, b, 32));
	for (size_t i = 0; i < 32; i++) {
		b[i] = 0x80;
		ck_assert_msg(!smtp_octets_equal(a, b, 32), "%zu", i);
		b[i] = 0;
	}
}
END_TEST

enum { PLUS = 1, BOUND = 2 };

static const struct {
	const char *name, *message;
	unsigned how;
	int err;
	const char *user, *other;
} firsts[] = {
	{ "usual", "n,,n=bob,r=abc", 0, 0, "bob", "" },
	{ "authorization", "n,a=al,n=bob,r=abc", 0, 0, "bob", "al" },
	{ "escapes", "n,a=a=3Db,n=b=2Cb=3D2C,r=abc", 0, 0, "b,b=2C", "a=b" },
	{ "could bind, no offer seen nor made", "y,,n=bob,r=abc", 0, 0, "bob", "" },
	{ "extension", "n,,n=bob,r=abc,x=1,y=2", 0, 0, "bob", "" },
	{ "UTF-8", "n,,n=b\xc3\xb6" "b,r=abc", 0, 0, "b\xc3\xb6" "b", "" },
	{ "no binding wanted though offered", "n,,n=bob,r=abc", BOUND, 0, "bob", "" },
	{ "exporter", "p=tls-exporter,,n=bob,r=abc", PLUS | BOUND, 0, "bob", "" },
	{ "end point", "p=tls-server-end-point,a=al,n=bob,r=abc", PLUS | BOUND, 0, "bob", "al" },
	{ "downgrade: the offer was taken out", "y,,n=bob,r=abc", BOUND, SMTP_EAUTH, NULL, NULL },
	{ "PLUS without binding: n", "n,,n=bob,r=abc", PLUS | BOUND, SMTP_EAUTH, NULL, NULL },
	{ "PLUS without binding: y", "y,,n=bob,r=abc", PLUS | BOUND, SMTP_EAUTH, NULL, NULL },
	{ "binding without PLUS", "p=tls-exporter,,n=bob,r=abc", BOUND, SMTP_EAUTH, NULL, NULL },
	{ "binding that is not there", "p=tls-exporter,,n=bob,r=abc", PLUS, SMTP_EAUTH, NULL, NULL },
	{ "unknown binding", "p=tls-unique,,n=bob,r=abc", PLUS | BOUND, SMTP_EAUTH, NULL, NULL },
	{ "empty binding", "p=,,n=bob,r=abc", PLUS | BOUND, SMTP_EAUTH, NULL, NULL },
	{ "no flag", ",,n=bob,r=abc", 0, SMTP_ESYNTAX, NULL, NULL },
	{ "unknown flag", "x,,n=bob,r=abc", 0, SMTP_ESYNTAX, NULL, NULL },
	{ "flag and more", "nn,,n=bob,r=abc", 0, SMTP_ESYNTAX, NULL, NULL },
	{ "one comma", "n,n=bob,r=abc", 0, SMTP_ESYNTAX, NULL, NULL },
	{ "empty authorization", "n,a=,n=bob,r=abc", 0, SMTP_ESYNTAX, NULL, NULL },
	{ "no user", "n,,n=,r=abc", 0, SMTP_ESYNTAX, NULL, NULL },
	{ "no user at all", "n,,r=abc", 0, SMTP_ESYNTAX, NULL, NULL },
	{ "mandatory extension", "n,,m=1,n=bob,r=abc", 0, SMTP_ESYNTAX, NULL, NULL },
	{ "bare equals", "n,,n=b=b,r=abc", 0, SMTP_ESYNTAX, NULL, NULL },
	{ "equals at the end", "n,,n=bob=,r=abc", 0, SMTP_ESYNTAX, NULL, NULL },
	{ "control in the name", "n,,n=b\x01" "b,r=abc", 0, SMTP_ESYNTAX, NULL, NULL },
	{ "no UTF-8", "n,,n=b\xff" "b,r=abc", 0, SMTP_ESYNTAX, NULL, NULL },
	{ "no nonce", "n,,n=bob,r=", 0, SMTP_ESYNTAX, NULL, NULL },
	{ "blank in the nonce", "n,,n=bob,r=a c", 0, SMTP_ESYNTAX, NULL, NULL },
	{ "no nonce at all", "n,,n=bob", 0, SMTP_ESYNTAX, NULL, NULL },
	{ "comma at the end", "n,,n=bob,r=abc,", 0, SMTP_ESYNTAX, NULL, NULL },
	{ "nothing", "", 0, SMTP_ESYNTAX, NULL, NULL },
};

START_TEST(first_rows)
{
	const struct smtp_scram_channel *channel = firsts[_i].how & BOUND ? &bound : &no_channel;
	size_t n = strlen(firsts[_i].message);
	uint8_t *message = guarded(firsts[_i].message, n);
	struct end e;
	int err;

	end_init(&e);
	err = smtp_scram_server_first(&e.x, firsts[_i].how & PLUS, channel,
				      smtp_span_make(message, n), &e.name, &e.other);
	ck_assert_msg(err == firsts[_i].err, "%s: %d", firsts[_i].name, err);
	if (!err) {
		ck_assert_msg(smtp_span_is(smtp_buf_span(&e.name), firsts[_i].user), "%s",
			      firsts[_i].name);
		ck_assert_msg(smtp_span_is(smtp_buf_span(&e.other), firsts[_i].other), "%s",
			      firsts[_i].name);
	}
	end_release(&e);
	guarded_free(message, n);
}
END_TEST

#define R "r=" USER_NONCE SERVER_NONCE

static const struct {
	const char *name, *message;
	int err;
} challenges[] = {
	{ "usual", R ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", 0 },
	{ "extension", R ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,x=1", 0 },
	{ "too few rounds", R ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4095", SMTP_EPROTO },
	{ "too many rounds", R ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=10000001", SMTP_EPROTO },
	{ "no number", R ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=", SMTP_EPROTO },
	{ "negative", R ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=-4096", SMTP_EPROTO },
	{ "overflows", R ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=18446744073709555712", SMTP_EPROTO },
	{ "other nonce", "r=xOprNGfwEbeRWgbNEkqOabc,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", SMTP_EPROTO },
	{ "nothing added", "r=" USER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", SMTP_EPROTO },
	{ "shorter nonce", "r=rOpr,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", SMTP_EPROTO },
	{ "no salt", R ",s=,i=4096", SMTP_EPROTO },
	{ "salt is no base64", R ",s=?,i=4096", SMTP_EPROTO },
	{ "mandatory extension", "m=x," R ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", SMTP_EPROTO },
	{ "error", "e=unknown-user", SMTP_EPROTO },
	{ "nothing", "", SMTP_EPROTO },
};

START_TEST(challenge_rows)
{
	struct end e;
	int err;

	end_init(&e);
	ck_assert_int_eq(smtp_scram_client_first(&e.x, false, &no_channel, span_of("user"), span_of(""),
						 span_of(USER_NONCE), &e.out), 0);
	err = smtp_scram_client_final(&e.x, smtp_crypto_openssl(), span_of("pencil"),
				      span_of(challenges[_i].message), &e.out);
	ck_assert_msg(err == challenges[_i].err, "%s: %d", challenges[_i].name, err);
	end_release(&e);
}
END_TEST

/* What the client says, by what there is to bind to: c= must fit on the server, p= be right. */
static const struct {
	const char *name;
	bool plus;
	struct smtp_scram_channel channel;
	const char *header;
} both[] = {
	{ "nothing to bind to", false, { .plus_offered = false }, "n,a=al=2C,n=us=3Der,r=cn" },
	{ "nothing to bind to, offered", false, { .plus_offered = true }, "n,a=al=2C,n=us=3Der,r=cn" },
	{ "not offered", false, { { (const uint8_t *)"abc", 3 }, { NULL, 0 }, false },
	  "y,a=al=2C,n=us=3Der,r=cn" },
	{ "offered, not used", false, { { (const uint8_t *)"abc", 3 }, { NULL, 0 }, true },
	  "n,a=al=2C,n=us=3Der,r=cn" },
	{ "exporter", true, { { (const uint8_t *)"ab\0", 3 }, { (const uint8_t *)"x", 1 }, true },
	  "p=tls-exporter,a=al=2C,n=us=3Der,r=cn" },
	{ "end point", true, { { NULL, 0 }, { (const uint8_t *)"x,y", 3 }, true },
	  "p=tls-server-end-point,a=al=2C,n=us=3Der,r=cn" },
};

static int play(struct end *client, struct end *server, bool plus,
		const struct smtp_scram_channel *at_client, const struct smtp_scram_channel *at_server,
		const char *header)
{
	const struct smtp_crypto *c = smtp_crypto_openssl();
	struct smtp_scram_keys keys;
	int err;

	ck_assert_int_eq(smtp_scram_keys_make(&keys, c, span_of("pencil"), 4096), 0);
	ck_assert_int_eq(smtp_scram_client_first(&client->x, plus, at_client, span_of("us=er"),
						 span_of("al,"), span_of("cn"), &client->out), 0);
	ck_assert_msg(smtp_span_is(smtp_buf_span(&client->out), header), "%s", header);
	err = smtp_scram_server_first(&server->x, plus, at_server, smtp_buf_span(&client->out),
				      &server->name, &server->other);
	if (err)
		return err;
	ck_assert(smtp_span_is(smtp_buf_span(&server->name), "us=er"));
	ck_assert(smtp_span_is(smtp_buf_span(&server->other), "al,"));
	smtp_buf_clear(&client->out);
	ck_assert_int_eq(smtp_scram_server_challenge(&server->x, &keys, span_of("sn"), &server->out), 0);
	ck_assert_int_eq(smtp_scram_client_final(&client->x, c, span_of("pencil"),
						 smtp_buf_span(&server->out), &client->out), 0);
	err = smtp_scram_server_check(&server->x, c, &keys, smtp_buf_span(&client->out));
	if (err)
		return err;
	smtp_buf_clear(&server->out);
	ck_assert_int_eq(smtp_scram_server_final(&server->x, &server->out), 0);
	return smtp_scram_client_check(&client->x, smtp_buf_span(&server->out));
}

START_TEST(both_ends)
{
	const struct smtp_scram_channel *channel = &both[_i].channel;
	struct end client, server;

	end_init(&client);
	end_init(&server);
	ck_assert_int_eq(play(&client, &server, both[_i].plus, channel, channel, both[_i].header), 0);
	end_release(&client);
	end_release(&server);
}
END_TEST

/* Somebody in the middle has another TLS channel on each side. */
START_TEST(other_channel)
{
	struct smtp_scram_channel theirs = bound;
	struct end client, server;

	theirs.exporter = span_of("another one");
	end_init(&client);
	end_init(&server);
	ck_assert_int_eq(play(&client, &server, true, &bound, &theirs,
			      "p=tls-exporter,a=al=2C,n=us=3Der,r=cn"), SMTP_EAUTH);
	end_release(&client);
	end_release(&server);
}
END_TEST

START_TEST(keys)
{
	const struct smtp_crypto *c = smtp_crypto_openssl();
	struct smtp_scram_keys a, b;

	ck_assert_int_eq(smtp_scram_keys_make(&a, c, span_of("pencil"), 0), 0);
	ck_assert_int_eq(smtp_scram_keys_make(&b, c, span_of("pencil"), 4096), 0);
	ck_assert_uint_eq(a.iterations, 100000);
	ck_assert_uint_eq(a.salt_n, 16);
	ck_assert(memcmp(a.salt, b.salt, 16) != 0);
	ck_assert_int_eq(smtp_scram_keys_make(&a, c, span_of("pencil"), 4095), SMTP_EINVAL);
	ck_assert_int_eq(smtp_scram_keys_make(&a, c, span_of("pencil"), 10000001), SMTP_EINVAL);
	ck_assert_int_eq(smtp_scram_keys_make(&a, c, span_of(""), 0), SMTP_EINVAL);
	ck_assert_int_eq(smtp_scram_keys_make(&a, c, span_of("pen\ncil"), 0), SMTP_EINVAL);
	ck_assert_int_eq(smtp_scram_keys_make(&a, c, span_of("pen\xc3"), 0), SMTP_EINVAL);
	ck_assert_int_eq(smtp_scram_keys_make(&a, NULL, span_of("pencil"), 0), SMTP_EINVAL);
}
END_TEST

START_TEST(names_of_the_client)
{
	struct end e;

	end_init(&e);
	ck_assert_int_eq(smtp_scram_client_first(&e.x, false, &no_channel, span_of("a\tb"), span_of(""),
						 span_of("x"), &e.out), SMTP_EINVAL);
	ck_assert_int_eq(smtp_scram_client_first(&e.x, false, &no_channel, span_of("ab"),
						 span_of("\xff"), span_of("x"), &e.out), SMTP_EINVAL);
	ck_assert_int_eq(smtp_scram_client_first(&e.x, true, &no_channel, span_of("ab"), span_of(""),
						 span_of("x"), &e.out), SMTP_ENOTSUP);
	end_release(&e);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sasl_scram");
	TCase *tc = tcase_create("messages");

	tcase_add_test(tc, rfc7677_client);
	tcase_add_test(tc, rfc7677_server);
	tcase_add_loop_test(tc, final_rows, 0, ROWS(finals));
	tcase_add_test(tc, proof_of_another_nonce);
	tcase_add_test(tc, every_octet_is_compared);
	tcase_add_loop_test(tc, first_rows, 0, ROWS(firsts));
	tcase_add_loop_test(tc, challenge_rows, 0, ROWS(challenges));
	tcase_add_loop_test(tc, both_ends, 0, ROWS(both));
	tcase_add_test(tc, other_channel);
	tcase_add_test(tc, keys);
	tcase_add_test(tc, names_of_the_client);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
