/* SPDX-License-Identifier: ISC */
/* SASL: a server nobody proves anything to lets nobody in, whatever the client says; a client of SCRAM
 * believes no server that does not know its keys; and of two honest ends neither is content with an
 * exchange in which one octet was changed.
 */
#include "fuzz/fuzz.h"

#include "libsmtp/core/sasl.h"
#include "libsmtp/core/syntax.h"

enum { MECHANISMS = 8, ROUNDS = 6, MESSAGES = 8 };

static const uint8_t exporter[32] = "what both ends of this TLS have";
static const uint8_t fake_key[32] = "what salts of others are made of";

/* --- cryptography: repeats, and is quick -------------------------------------------------------- */

static uint64_t state;

static int make_random(void *user, uint8_t *out, size_t n)
{
	(void)user;
	for (size_t i = 0; i < n; i++) {
		state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
		out[i] = (uint8_t)(state >> 56);
	}
	return 0;
}

/* One round stands for all of them, so that a server's count costs nothing. */
static int quick_pbkdf2(void *user, struct smtp_span password, struct smtp_span salt,
			uint32_t iterations, uint8_t out[32])
{
	const struct smtp_crypto *c = smtp_crypto_openssl();
	uint8_t key[32];
	struct smtp_span count = smtp_span_make(&iterations, sizeof(iterations));
	int err = c->hmac_sha256(user, password, salt, key);

	return err ? err : c->hmac_sha256(user, smtp_span_make(key, 32), count, out);
}

static const struct smtp_crypto *crypto(void)
{
	static struct smtp_crypto table;

	table = *smtp_crypto_openssl();
	table.random = make_random;
	table.pbkdf2_sha256 = quick_pbkdf2;
	return &table;
}

/* --- two ends ---------------------------------------------------------------------------------- */

static const struct smtp_span user = { (const uint8_t *)"user", 4 };
static const struct smtp_span password = { (const uint8_t *)"pencil case", 11 };
static const struct smtp_span token = { (const uint8_t *)"ya29.abcdefghijkl", 17 };
static struct smtp_scram_keys keys;

static struct smtp_scram_channel channel_of(uint8_t choice)
{
	struct smtp_scram_channel channel = { .plus_offered = true };

	channel.exporter = smtp_span_make(exporter, choice & 1 ? 0 : sizeof(exporter));
	channel.server_end_point = smtp_span_make(exporter, 20);
	return channel;
}

static void server_init(struct smtp_sasl_server *x, size_t index, uint8_t choice)
{
	smtp_sasl_server_init(x);
	x->rules = smtp_sasl_rules_at(index);
	x->crypto = crypto();
	x->channel = channel_of(choice);
	x->identity = smtp_span_of("joe@example.com");
	x->hostname = "mx.example.org";
	x->fake_key = fake_key;
	x->fake_iterations = 4096;
}

static void client_init(struct smtp_sasl_client *x, size_t index, uint8_t choice)
{
	smtp_sasl_client_init(x);
	x->rules = smtp_sasl_rules_at(index);
	x->crypto = crypto();
	x->channel = channel_of(choice);
	x->login.authentication_id = user;
	x->login.password = password;
	x->login.token = token;
}

/* As the session and its application would answer. */
static int look_up(struct smtp_sasl_server *x)
{
	bool known = smtp_span_equal(x->login.authentication_id, user);

	need(x->login.authentication_id.n > 0 && smtp_utf8_is_valid(x->login.authentication_id));
	x->keys = keys;
	x->keys_known = known;
	x->secret_known = known;
	smtp_buf_clear(&x->secret);
	need(smtp_buf_append_span(&x->secret, password) == 0);
	return smtp_sasl_server_looked_up(x);
}

static bool is_right(const struct smtp_sasl_server *x)
{
	unsigned proven = SMTP_SASL_NEEDS_LOOKUP | SMTP_SASL_NEEDS_IDENTITY;

	need(x->login.password.n <= SMTP_SASL_MESSAGE_MAX && x->login.token.n <= SMTP_SASL_TOKEN_MAX);
	return (x->rules->traits & proven) || smtp_span_equal(x->login.token, token) ||
	       (smtp_span_equal(x->login.authentication_id, user) &&
		smtp_span_equal(x->login.password, password));
}

/* Until the client is needed again; an outcome that ends the exchange, or CHALLENGE. */
static int step(struct smtp_sasl_server *x, struct smtp_span message)
{
	int next = smtp_sasl_server_step(x, message);

	for (unsigned i = 0; i < 3; i++) {
		if (next == SMTP_SASL_LOOKUP)
			next = look_up(x);
		else if (next == SMTP_SASL_DECIDE)
			next = smtp_sasl_server_decided(x, is_right(x));
	}
	need(next >= 0 && next != SMTP_SASL_LOOKUP && next != SMTP_SASL_DECIDE);
	return next;
}

/* --- one end against the input ------------------------------------------------------------------ */

/* A message: its length in one octet (255: all that is left), then so many octets. */
static struct smtp_span take_message(struct smtp_span *input)
{
	uint8_t n = take_choice(input);
	struct smtp_span message = smtp_span_slice(*input, 0, n == 255 ? SIZE_MAX : n);

	*input = smtp_span_slice(*input, message.n, SIZE_MAX);
	message = smtp_span_slice(message, 0, SMTP_SASL_MESSAGE_MAX);
	return message.p ? message : smtp_span_make("", 0);
}

/* What proves nothing can only get in by knowing the password or the token, which takes no proof. */
static bool may_succeed(const struct smtp_sasl_server *x)
{
	return !(x->rules->traits & SMTP_SASL_NEEDS_LOOKUP);
}

static void fuzz_server(struct smtp_span input, size_t index, uint8_t choice)
{
	struct smtp_sasl_server x;
	int next;

	server_init(&x, index, choice);
	next = choice & 2 ? step(&x, smtp_span_make(NULL, 0)) : SMTP_SASL_CHALLENGE;
	for (unsigned i = 0; i < MESSAGES && next == SMTP_SASL_CHALLENGE; i++) {
		struct smtp_span message = take_message(&input);
		uint8_t *copy = malloc(message.n + 1);

		need(copy != NULL);
		memcpy(copy, message.p, message.n);
		next = step(&x, smtp_span_make(copy, message.n));
		free(copy); /* nothing borrows from it */
	}
	need(next != SMTP_SASL_DONE || may_succeed(&x));
	smtp_sasl_server_wipe(&x);
}

static void fuzz_client(struct smtp_span input, size_t index, uint8_t choice)
{
	struct smtp_sasl_client x;
	struct smtp_buf out;
	int err = 0;

	client_init(&x, index, choice);
	smtp_buf_init(&out, SMTP_SASL_MESSAGE_MAX);
	for (unsigned i = 0; i < MESSAGES && !err; i++) {
		struct smtp_span challenge = i == 0 ? smtp_span_make(NULL, 0) : take_message(&input);

		err = smtp_sasl_client_respond(&x, challenge, &out);
		need(out.n <= SMTP_SASL_MESSAGE_MAX);
		need(!(x.rules->traits & SMTP_SASL_NEEDS_LOOKUP) || x.unproven ||
		     (x.rules->traits & SMTP_SASL_NEEDS_MD5));
		/* the password in clear is for those that show it */
		need((x.rules->traits & SMTP_SASL_CLEAR_TEXT) || out.n < password.n ||
		     !memmem(out.p, out.n, password.p, password.n));
		smtp_buf_clear(&out);
	}
	need(err == 0 || err == SMTP_EPROTO || err == SMTP_EAUTH || err == SMTP_ETOOLONG ||
	     err == SMTP_ENOTSUP);
	smtp_buf_wipe(&out);
	smtp_sasl_client_wipe(&x);
}

/* --- both ends, and one octet changed on its way -------------------------------------------------- */

struct change {
	unsigned message; /* which of both directions; none: it is honest */
	size_t at;
	uint8_t with;
	bool made;
};

static void pass_on(struct smtp_buf *message, struct change *change, unsigned number)
{
	uint8_t old;

	if (number != change->message || message->n == 0)
		return;
	change->at %= message->n;
	old = message->p[change->at];
	message->p[change->at] ^= change->with;
	/* hexadecimal digits may come in any case */
	change->made = smtp_ascii_lower(old) != smtp_ascii_lower(message->p[change->at]);
}

static void fuzz_both(size_t index, uint8_t choice, struct change change)
{
	struct smtp_sasl_server server;
	struct smtp_sasl_client client;
	struct smtp_buf up, down;
	bool first = true;
	int next = SMTP_SASL_CHALLENGE, err = 0;

	server_init(&server, index, choice);
	client_init(&client, index, choice);
	smtp_buf_init(&up, SMTP_SASL_MESSAGE_MAX);
	smtp_buf_init(&down, SMTP_SASL_MESSAGE_MAX);
	for (unsigned i = 0; i < ROUNDS && next == SMTP_SASL_CHALLENGE && !err; i++) {
		bool speaks = !first || !(client.rules->traits & SMTP_SASL_SERVER_FIRST);

		err = smtp_sasl_client_respond(&client, smtp_buf_span(&down), &up);
		if (err)
			break;
		pass_on(&up, &change, 2 * i);
		next = step(&server, speaks ? smtp_span_make(up.n ? (const void *)up.p : "", up.n) :
					      smtp_span_make(NULL, 0));
		first = false;
		smtp_buf_clear(&up);
		smtp_buf_clear(&down);
		if (next != SMTP_SASL_CHALLENGE)
			break;
		need(smtp_buf_append_span(&down, smtp_buf_span(&server.challenge)) == 0);
		pass_on(&down, &change, 2 * i + 1);
	}
	if (!change.made && change.with == 0)
		need(err == 0 && next == SMTP_SASL_DONE && !client.unproven);
	if (change.made && (server.rules->traits & SMTP_SASL_NEEDS_LOOKUP))
		need(err != 0 || next != SMTP_SASL_DONE || client.unproven);
	smtp_buf_wipe(&up);
	smtp_buf_wipe(&down);
	smtp_sasl_server_wipe(&server);
	smtp_sasl_client_wipe(&client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_span input = smtp_span_make(data, size);
	size_t index = take_choice(&input) % MECHANISMS;
	uint8_t choice = take_choice(&input);
	struct change change = { .message = take_choice(&input) % (2 * ROUNDS),
				 .at = take_choice(&input), .with = take_choice(&input) };

	need(smtp_sasl_rules_at(MECHANISMS) == NULL);
	if (keys.iterations == 0)
		need(smtp_scram_keys_make(&keys, crypto(), password, 4096) == 0);
	state = choice;
	fuzz_server(input, index, choice);
	fuzz_client(input, index, choice);
	fuzz_both(index, choice, change);
	return 0;
}
