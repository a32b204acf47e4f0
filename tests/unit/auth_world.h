/* SPDX-License-Identifier: ISC */
/* auth_world.h - a server session and a client session face to face in memory, for tests and the fuzzer
 * of AUTH: who may log in, a channel of TLS that is only said to be there, randomness that repeats, and
 * all that either end shows to anybody in one text.
 */
#ifndef TESTS_UNIT_AUTH_WORLD_H
#define TESTS_UNIT_AUTH_WORLD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <smtp/client_session.h>
#include <smtp/sasl.h>
#include <smtp/server_session.h>

#define AUTH_USER "user"
#define AUTH_PASSWORD "pencil case 42"
#define AUTH_TOKEN "ya29.vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg"
#define AUTH_IDENTITY "joe@example.com"

struct auth_world {
	/* Set before begin(). */
	struct smtp_server_session_options server_options;
	struct smtp_client_session_options client_options;
	struct smtp_scram_keys keys;     /* of AUTH_USER */
	struct smtp_tls_channel channel; /* of both ends, unless `other_channel` is set */
	bool other_channel;              /* somebody stands between them */
	bool pending;                    /* every question is answered later */
	const char *refused_user;        /* proven or not, he may not log in */
	const char *token_error;
	bool lookup_refuses; /* though it has given what it knows */
	bool token_names_nobody;
	unsigned answer_code;            /* 0: as the handlers find */
	/* What goes from the server to the client, to be changed on its way. */
	void (*between)(struct auth_world *w, char *text, size_t *n);

	struct smtp_server_session *server;
	struct smtp_client_session *client;
	uint64_t random;
	unsigned lookups, decisions;
	bool accept; /* the answer to what is pending */
	char mechanism[32]; /* that the server decided about last */
	bool ready;
	int error;
	unsigned last_code;
	char shown[65536]; /* traces of both ends, replies to both, texts of errors */
	size_t shown_n;
};

/* --- cryptography that repeats ----------------------------------------------------------------- */

static inline int auth_random(void *user, uint8_t *out, size_t n)
{
	struct auth_world *w = user;

	for (size_t i = 0; i < n; i++) {
		w->random = w->random * UINT64_C(6364136223846793005) + 1442695040888963407;
		out[i] = (uint8_t)(w->random >> 56);
	}
	return 0;
}

/* The table belongs to the world, so it must not move. */
static inline const struct smtp_crypto *auth_crypto(struct auth_world *w)
{
	static struct smtp_crypto table;

	table = *smtp_crypto_openssl();
	table.user = w;
	table.random = auth_random;
	return &table;
}

/* --- what is seen ------------------------------------------------------------------------------ */

static inline void auth_show(struct auth_world *w, const char *who, struct smtp_span text)
{
	size_t room = sizeof(w->shown) - w->shown_n;
	int n = snprintf(w->shown + w->shown_n, room, "%s%.*s\n", who, (int)text.n,
			 text.n ? (const char *)text.p : "");

	if (n < 0 || (size_t)n >= room)
		abort();
	w->shown_n += (size_t)n;
}

static inline void auth_server_trace(struct smtp_server_session *s, bool from_client,
				     struct smtp_span line, void *user)
{
	(void)s;
	auth_show(user, from_client ? "server< " : "server> ", line);
}

static inline void auth_client_trace(struct smtp_client_session *s, bool from_server,
				     struct smtp_span line, void *user)
{
	(void)s;
	auth_show(user, from_server ? "client< " : "client> ", line);
}

/* --- the server's handler ---------------------------------------------------------------------- */

static inline bool auth_span_is(struct smtp_span span, const char *text)
{
	return span.n == strlen(text) && memcmp(span.p, text, span.n) == 0;
}

static inline enum smtp_verdict auth_verdict(struct auth_world *w, struct smtp_server_session *s,
					     bool accept)
{
	struct smtp_reply no = smtp_reply_of(535, "5.7.8", "authentication failed");

	if (w->answer_code) {
		no.code = w->answer_code;
		no.enhanced.class_ = (uint8_t)(no.code / 100);
		accept = false;
	}
	w->accept = accept;
	if (w->pending)
		return SMTP_PENDING;
	if (accept)
		return SMTP_ACCEPT;
	if (smtp_server_session_reply(s, &no) != 0)
		abort();
	return SMTP_REPLIED;
}

static inline enum smtp_verdict auth_on_lookup(struct smtp_server_session *s,
					       const struct smtp_auth_request *request, void *user)
{
	struct auth_world *w = user;
	int err = 0;

	w->lookups++;
	if (!auth_span_is(request->authentication_id, AUTH_USER))
		return auth_verdict(w, s, request->authentication_id.n % 2 == 0);
	if (strcmp(request->mechanism, "CRAM-MD5") == 0)
		err = smtp_server_session_set_shared_secret(s, smtp_span_of(AUTH_PASSWORD));
	else
		err = smtp_server_session_set_scram_keys(s, &w->keys);
	return auth_verdict(w, s, err == 0 && !w->lookup_refuses);
}

static inline enum smtp_verdict auth_on_auth(struct smtp_server_session *s,
					     const struct smtp_auth_request *r, void *user)
{
	struct auth_world *w = user;
	bool right = false;

	w->decisions++;
	snprintf(w->mechanism, sizeof(w->mechanism), "%s", r->mechanism);
	if (r->proven)
		right = auth_span_is(r->authentication_id, AUTH_USER) ||
			auth_span_is(r->authentication_id, AUTH_IDENTITY);
	else if (r->token.n > 0)
		right = auth_span_is(r->token, AUTH_TOKEN);
	else
		right = auth_span_is(r->authentication_id, AUTH_USER) &&
			auth_span_is(r->password, AUTH_PASSWORD);
	if (w->refused_user && auth_span_is(r->authentication_id, w->refused_user))
		right = false;
	if (right && r->authentication_id.n == 0 && !w->token_names_nobody &&
	    smtp_server_session_set_account(s, "by-token") != 0)
		right = false;
	if (!right && r->token.n > 0 && w->token_error) /* without memory: the usual one */
		(void)!smtp_server_session_set_token_error(s, w->token_error);
	return auth_verdict(w, s, right);
}

static const struct smtp_server_session_handler auth_server_handler = {
	.size = sizeof(auth_server_handler),
	.auth = auth_on_auth,
	.auth_lookup = auth_on_lookup,
	.trace = auth_server_trace,
};

/* --- the client's handler ---------------------------------------------------------------------- */

static inline void auth_on_ready(struct smtp_client_session *s, void *user)
{
	struct auth_world *w = user;

	(void)s;
	w->ready = true;
}

static inline void auth_on_reply(struct smtp_client_session *s, enum smtp_client_step step,
				 size_t index, const struct smtp_reply *reply, void *user)
{
	struct auth_world *w = user;

	(void)s;
	(void)step;
	(void)index;
	w->last_code = reply->code;
	auth_show(w, "reply ", reply->text);
}

static inline void auth_on_failed(struct smtp_client_session *s, int error,
				  enum smtp_client_step step, const struct smtp_reply *reply,
				  void *user)
{
	struct auth_world *w = user;

	(void)s;
	w->error = error;
	auth_show(w, "failed ", smtp_span_of(smtp_error_str(error)));
	auth_show(w, "step ", smtp_span_of(smtp_client_step_str(step)));
	if (reply)
		auth_show(w, "because ", reply->text);
}

static const struct smtp_client_session_handler auth_client_handler = {
	.size = sizeof(auth_client_handler),
	.ready = auth_on_ready,
	.reply = auth_on_reply,
	.failed = auth_on_failed,
	.trace = auth_client_trace,
};

/* --- life -------------------------------------------------------------------------------------- */

static inline void auth_world_init(struct auth_world *w, bool tls)
{
	static const uint8_t octets[32] = "a channel that nobody else is in";
	static struct smtp_scram_keys keys;

	memset(w, 0, sizeof(*w));
	if (keys.iterations == 0 &&
	    smtp_scram_keys_make(&keys, auth_crypto(w), smtp_span_of(AUTH_PASSWORD), 4096) != 0)
		abort();
	w->keys = keys;
	smtp_server_session_options_init(&w->server_options);
	w->server_options.hostname = "mx.example.org";
	w->server_options.auth_enabled = true;
	w->server_options.tls_active = tls;
	w->server_options.mechanisms = SMTP_MECHANISMS_ALL;
	w->server_options.crypto = auth_crypto(w);
	w->server_options.scram_fake_key[0] = 1;
	w->server_options.scram_iterations = 4096;
	w->server_options.error_delay_max_ms = 0;
	smtp_client_session_options_init(&w->client_options);
	w->client_options.helo_name = "client.example.com";
	w->client_options.tls = tls ? SMTP_CLIENT_TLS_IMPLICIT : SMTP_CLIENT_TLS_NONE;
	w->client_options.crypto = auth_crypto(w);
	w->channel = (struct smtp_tls_channel){ .size = sizeof(w->channel) };
	if (tls) {
		w->channel.exporter = (struct smtp_span){ octets, sizeof(octets) };
		w->channel.server_end_point = (struct smtp_span){ octets, 20 };
		w->channel.client_identity = AUTH_IDENTITY;
	}
}

/* Gives the client what this mechanism needs. */
static inline void auth_world_log_in_by(struct auth_world *w, unsigned mechanism)
{
	w->client_options.mechanism = mechanism;
	w->client_options.user = mechanism == SMTP_MECHANISM_EXTERNAL ? NULL : AUTH_USER;
	if (mechanism & (SMTP_MECHANISM_XOAUTH2 | SMTP_MECHANISM_OAUTHBEARER))
		w->client_options.token = AUTH_TOKEN;
	else if (mechanism != SMTP_MECHANISM_EXTERNAL)
		w->client_options.password = AUTH_PASSWORD;
}

static inline int auth_world_begin(struct auth_world *w)
{
	struct smtp_tls_channel theirs = w->channel;
	bool tls = w->server_options.tls_active;
	int err = smtp_server_session_new(&w->server, &w->server_options, &auth_server_handler, w);

	if (w->other_channel)
		theirs.exporter = smtp_span_of("another channel");
	if (!err)
		err = smtp_client_session_new(&w->client, &w->client_options, &auth_client_handler, w);
	if (!err && tls)
		err = smtp_server_session_set_tls_channel(w->server, &w->channel);
	if (!err && tls)
		err = smtp_client_session_set_tls_channel(w->client, &theirs);
	if (!err && tls)
		err = smtp_client_session_tls_started(w->client, "TLSv1.3", 0);
	if (!err)
		err = smtp_server_session_start(w->server, 0);
	if (!err)
		smtp_client_session_start(w->client, 0);
	return err;
}

static inline void auth_world_answer(struct auth_world *w)
{
	struct smtp_reply no = smtp_reply_of(w->answer_code ? w->answer_code : 535, NULL, "no");

	if (smtp_server_session_wants(w->server) & SMTP_WANTS_VERDICT &&
	    smtp_server_session_reply(w->server, w->accept ? NULL : &no) != 0)
		abort();
}

/* One way; true: octets went. */
static inline bool auth_world_to_server(struct auth_world *w)
{
	struct smtp_span out = smtp_client_session_output(w->client, 0);
	size_t taken = 0;

	if (out.n == 0 || !(smtp_server_session_wants(w->server) & SMTP_WANTS_READ))
		return false;
	(void)!smtp_server_session_feed(w->server, out.p, out.n, 0, &taken);
	smtp_client_session_sent(w->client, taken, 0);
	return taken > 0;
}

static inline bool auth_world_to_client(struct auth_world *w)
{
	struct smtp_span out = smtp_server_session_output(w->server);
	static char text[70000];
	size_t n = out.n, taken = 0;

	if (n == 0 || !(smtp_client_session_wants(w->client) & SMTP_WANTS_READ))
		return false;
	memcpy(text, out.p, n);
	smtp_server_session_sent(w->server, n);
	if (w->between)
		w->between(w, text, &n);
	(void)!smtp_client_session_feed(w->client, text, n, 0, &taken);
	return true;
}

/* Until both ends have nothing to say. */
static inline void auth_world_run(struct auth_world *w)
{
	bool more = true;

	while (more) {
		auth_world_answer(w);
		more = auth_world_to_client(w);
		more = auth_world_to_server(w) || more;
		more = more || (smtp_server_session_wants(w->server) & SMTP_WANTS_VERDICT);
	}
}

static inline void auth_world_end(struct auth_world *w)
{
	smtp_client_session_free(w->client);
	smtp_server_session_free(w->server);
	w->client = NULL;
	w->server = NULL;
}

#endif
