/* SPDX-License-Identifier: ISC */
/* transcript_policy.c - a handler whose answers are written in the head of a transcript. Without a
 * rule it accepts; AUTH only the logins named there.
 */
#include "tests/unit/transcript_policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum phase { CONNECT, HELO, LOOKUP, AUTH, MAIL, RCPT, DATA, CONTENT, END, VRFY, EXPN, HELP, RESULT, PHASES };

static const struct {
	const char *name;
	bool has_key;
} phases[PHASES] = {
	[CONNECT] = { "connect", false }, [HELO] = { "helo", true },	   [AUTH] = { "login", true },
	[LOOKUP] = { "lookup", true },
	[MAIL] = { "mail", true },	  [RCPT] = { "rcpt", true },	   [DATA] = { "data", false },
	[CONTENT] = { "content", false }, [END] = { "end", false },	   [VRFY] = { "vrfy", true },
	[EXPN] = { "expn", true },	  [HELP] = { "help", false },
	[RESULT] = { "result", true },
};

_Thread_local bool policy_allocates;

void *policy_realloc(void *p, size_t n)
{
	void *grown;

	policy_allocates = true;
	grown = realloc(p, n);
	policy_allocates = false;
	if (!grown)
		abort();
	return grown;
}

/* --- the head ------------------------------------------------------------------------------- */

enum option_kind { KIND_BOOL, KIND_U32, KIND_U64, KIND_UNSIGNED, KIND_BARE };

#define OPTION(name, kind) { #name, offsetof(struct smtp_server_session_options, name), kind }

static const struct {
	const char *name;
	size_t at;
	enum option_kind kind;
} option_names[] = {
	OPTION(extensions, KIND_UNSIGNED),
	OPTION(offer_starttls, KIND_BOOL),
	OPTION(tls_active, KIND_BOOL),
	OPTION(auth_enabled, KIND_BOOL),
	OPTION(auth_needs_tls, KIND_BOOL),
	OPTION(auth_other_identity, KIND_BOOL),
	OPTION(require_tls, KIND_BOOL),
	OPTION(require_auth, KIND_BOOL),
	OPTION(bare_newline, KIND_BARE),
	OPTION(max_message_bytes, KIND_U64),
	OPTION(max_swallow_bytes, KIND_U64),
	OPTION(max_line_bytes, KIND_U32),
	OPTION(max_recipients, KIND_U32),
	OPTION(max_errors, KIND_U32),
	OPTION(max_auth_failures, KIND_U32),
	OPTION(max_transactions, KIND_U32),
	OPTION(command_timeout_ms, KIND_U32),
	OPTION(content_timeout_ms, KIND_U32),
	OPTION(min_content_rate, KIND_U32),
	OPTION(error_delay_max_ms, KIND_U32),
	OPTION(lmtp, KIND_BOOL),
};

/* Nonces and salts are the same in each run: what random octets make is all 'A' in base64. */
static int no_random(void *user, uint8_t *out, size_t n)
{
	(void)user;
	memset(out, 0, n);
	return 0;
}

static const struct smtp_crypto *repeatable_crypto(void)
{
	static struct smtp_crypto table;

	table = *smtp_crypto_openssl();
	table.random = no_random;
	return &table;
}

void policy_init(struct policy *policy)
{
	*policy = (struct policy){ .options = SMTP_SERVER_SESSION_OPTIONS_INIT };
	snprintf(policy->hostname, sizeof(policy->hostname), "mx.example.org");
	policy->options.auth_needs_tls = false;
	policy->options.error_delay_max_ms = 0;
	policy->options.mechanisms = SMTP_MECHANISM_PLAIN | SMTP_MECHANISM_LOGIN;
	policy->options.crypto = repeatable_crypto();
	policy->options.scram_fake_key[0] = 1;
	policy->options.scram_iterations = 4096;
}

static void set_option(struct smtp_server_session_options *options, size_t at,
		       enum option_kind kind, const char *value)
{
	char *field = (char *)options + at;
	unsigned long long number = strtoull(value, NULL, 10);

	switch (kind) {
	case KIND_BOOL:
		*(bool *)field = strcmp(value, "true") == 0;
		break;
	case KIND_U32:
		*(uint32_t *)(void *)field = (uint32_t)number;
		break;
	case KIND_U64:
		*(uint64_t *)(void *)field = number;
		break;
	case KIND_UNSIGNED:
		*(unsigned *)(void *)field = (unsigned)number;
		break;
	case KIND_BARE:
		options->bare_newline = strcmp(value, "repair") == 0 ? SMTP_BARE_NEWLINE_REPAIR :
								       SMTP_BARE_NEWLINE_REFUSE;
		break;
	}
}

static bool read_option(struct policy *policy, const char *text)
{
	char name[64], value[POLICY_TEXT_MAX];

	if (sscanf(text, "%63s %399s", name, value) != 2)
		return false;
	if (strcmp(name, "hostname") == 0) {
		snprintf(policy->hostname, sizeof(policy->hostname), "%s", value);
		return true;
	}
	for (size_t i = 0; i < sizeof(option_names) / sizeof(*option_names); i++) {
		if (strcmp(name, option_names[i].name) != 0)
			continue;
		set_option(&policy->options, option_names[i].at, option_names[i].kind, value);
		return true;
	}
	return false;
}

static bool read_extension(struct policy *policy, const char *text)
{
	static const struct {
		const char *name;
		unsigned bit;
	} names[] = {
		{ "PIPELINING", SMTP_SERVER_PIPELINING },
		{ "SIZE", SMTP_SERVER_SIZE },
		{ "8BITMIME", SMTP_SERVER_8BITMIME },
		{ "ENHANCEDSTATUSCODES", SMTP_SERVER_ENHANCEDSTATUSCODES },
		{ "CHUNKING", SMTP_SERVER_CHUNKING },
		{ "BINARYMIME", SMTP_SERVER_BINARYMIME },
		{ "SMTPUTF8", SMTP_SERVER_SMTPUTF8 },
		{ "DSN", SMTP_SERVER_DSN },
		{ "REQUIRETLS", SMTP_SERVER_REQUIRETLS },
		{ "LIMITS", SMTP_SERVER_LIMITS },
		{ "VRFY", SMTP_SERVER_VRFY },
		{ "EXPN", SMTP_SERVER_EXPN },
		{ "HELP", SMTP_SERVER_HELP },
	};
	char name[64], value[8];

	if (sscanf(text, "%63s %7s", name, value) != 2)
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(name, names[i].name) != 0)
			continue;
		policy->options.extensions &= ~names[i].bit;
		if (strcmp(value, "on") == 0)
			policy->options.extensions |= names[i].bit;
		return true;
	}
	return false;
}

static bool read_rule(struct policy *policy, unsigned phase, const char *text)
{
	struct policy_rule *rule = &policy->rules[policy->rule_count];
	int n = 0;

	if (policy->rule_count == POLICY_RULES_MAX)
		return false;
	rule->phase = phase;
	policy->has_expn |= phase == EXPN;
	if (phases[phase].has_key && sscanf(text, "%399s %n", rule->key, &n) != 1)
		return false;
	text += n;
	if (sscanf(text, "%u %11s %n", &rule->code, rule->enhanced, &n) != 2)
		return false;
	snprintf(rule->text, sizeof(rule->text), "%.399s", text + n);
	for (char *c = rule->text; (c = strstr(c, "\\n")) != NULL;) {
		*c = '\n';
		memmove(c + 1, c + 2, strlen(c + 2) + 1);
	}
	policy->rule_count++;
	return true;
}

static bool read_mechanisms(struct policy *policy, char *text)
{
	policy->options.mechanisms = 0;
	for (char *name = strtok_r(text, " ", &text); name; name = strtok_r(NULL, " ", &text)) {
		unsigned mechanism = smtp_mechanism_of(smtp_span_of(name));

		if (!mechanism)
			return false;
		policy->options.mechanisms |= mechanism;
	}
	return policy->options.mechanisms != 0;
}

static bool read_login(struct policy *policy, const char *text)
{
	size_t i = policy->login_count;

	if (i == 4 || sscanf(text, "%399s %399s", policy->logins[i][0], policy->logins[i][1]) != 2)
		return false;
	policy->login_count++;
	return true;
}

static bool read_trusted(struct policy *policy, const char *text)
{
	policy->options.xclient_networks = policy->trusted;
	return smtp_networks_parse(policy->trusted, 4, &policy->options.xclient_network_count, text) ==
	       0;
}

static bool read_pending(struct policy *policy, const char *text)
{
	for (unsigned i = 0; i < PHASES; i++)
		if (strcmp(text, phases[i].name) == 0)
			policy->pending |= 1u << i;
	return policy->pending != 0;
}

bool policy_read(struct policy *policy, char *text)
{
	char *rest = strchr(text, ' ');

	if (!rest)
		return false;
	*rest++ = '\0';
	if (strcmp(text, "option") == 0)
		return read_option(policy, rest);
	if (strcmp(text, "extension") == 0)
		return read_extension(policy, rest);
	if (strcmp(text, "xclient") == 0)
		return read_trusted(policy, rest);
	if (strcmp(text, "channel") == 0)
		return sscanf(rest, "%63s", policy->channel) == 1;
	if (strcmp(text, "certificate") == 0)
		return sscanf(rest, "%63s", policy->certificate) == 1;
	if (strcmp(text, "auth") == 0)
		return read_login(policy, rest);
	if (strcmp(text, "mechanisms") == 0)
		return read_mechanisms(policy, rest);
	if (strcmp(text, "pending") == 0)
		return read_pending(policy, rest);
	if (strcmp(text, "secret") == 0 && policy->secret_count < 4) {
		snprintf(policy->secrets[policy->secret_count++], POLICY_TEXT_MAX, "%s", rest);
		return true;
	}
	for (unsigned i = 0; i < PHASES; i++)
		if (strcmp(text, phases[i].name) == 0)
			return read_rule(policy, i, rest);
	return false;
}

/* --- the handler ---------------------------------------------------------------------------- */

static const struct policy_rule *find_rule(const struct policy *policy, unsigned phase,
					   struct smtp_span key)
{
	for (size_t i = 0; i < policy->rule_count; i++) {
		const struct policy_rule *rule = &policy->rules[i];

		if (rule->phase == phase && (!phases[phase].has_key ||
					     (strlen(rule->key) == key.n &&
					      memcmp(rule->key, key.p, key.n) == 0)))
			return rule;
	}
	return NULL;
}

static void give(struct scene *scene, struct smtp_server_session *s, const struct policy_rule *rule)
{
	int err;

	if (rule)
		scene->reply = smtp_reply_of(rule->code, rule->enhanced, rule->text);
	err = smtp_server_session_reply(s, rule ? &scene->reply : NULL);
	if (err != 0 && err != SMTP_ENOMEM)
		abort();
}

static enum smtp_verdict decide(struct scene *scene, struct smtp_server_session *s, unsigned phase,
				const struct policy_rule *rule)
{
	if (scene->policy->pending & 1u << phase) {
		scene->verdict = rule;
		if (scene->on_pending)
			scene->on_pending(scene, s);
		return SMTP_PENDING;
	}
	if (!rule)
		return SMTP_ACCEPT;
	give(scene, s, rule);
	return SMTP_REPLIED;
}

static enum smtp_verdict decide_by(struct scene *scene, struct smtp_server_session *s,
				   unsigned phase, struct smtp_span key)
{
	return decide(scene, s, phase, find_rule(scene->policy, phase, key));
}

void scene_answer(struct scene *scene, struct smtp_server_session *s)
{
	give(scene, s, scene->verdict);
}

static struct smtp_span no_key(void)
{
	return (struct smtp_span){ NULL, 0 };
}

static enum smtp_verdict on_connect(struct smtp_server_session *s, void *user)
{
	((struct scene *)user)->begun++;
	return decide_by(user, s, CONNECT, no_key());
}

static enum smtp_verdict on_helo(struct smtp_server_session *s, struct smtp_span name, bool extended,
				 void *user)
{
	(void)extended;
	return decide_by(user, s, HELO, name);
}

static bool span_is(struct smtp_span span, const char *text)
{
	return span.n == strlen(text) && memcmp(span.p, text, span.n) == 0;
}

static const char *password_of(const struct policy *policy, struct smtp_span user)
{
	for (size_t i = 0; i < policy->login_count; i++)
		if (span_is(user, policy->logins[i][0]))
			return policy->logins[i][1];
	return NULL;
}

/* Made once for each password: that takes thousands of rounds. */
static const struct smtp_scram_keys *keys_of(const char *password)
{
	static char made_of[POLICY_TEXT_MAX];
	static struct smtp_scram_keys keys;

	if (strcmp(made_of, password) == 0)
		return &keys;
	if (smtp_scram_keys_make(&keys, repeatable_crypto(), smtp_span_of(password), 4096) != 0)
		abort();
	snprintf(made_of, sizeof(made_of), "%s", password);
	return &keys;
}

static enum smtp_verdict on_auth_lookup(struct smtp_server_session *s,
					const struct smtp_auth_request *request, void *user)
{
	struct scene *scene = user;
	const char *password = password_of(scene->policy, request->authentication_id);
	int err = 0;

	if (password && strcmp(request->mechanism, "CRAM-MD5") == 0)
		err = smtp_server_session_set_shared_secret(s, smtp_span_of(password));
	else if (password)
		err = smtp_server_session_set_scram_keys(s, keys_of(password));
	if (err && err != SMTP_ENOMEM)
		abort();
	return decide_by(scene, s, LOOKUP, request->authentication_id);
}

/* A token is a password of sorts. */
static bool is_login(const struct smtp_auth_request *request, const char *const login[2])
{
	return span_is(request->token.n > 0 ? request->token : request->password, login[1]) &&
	       span_is(request->authentication_id, login[0]);
}

static enum smtp_verdict on_auth(struct smtp_server_session *s,
				 const struct smtp_auth_request *request, void *user)
{
	static const struct policy_rule wrong = { AUTH, "", 535, "5.7.8", "authentication failed" };
	struct scene *scene = user;
	const struct policy *policy = scene->policy;
	const struct policy_rule *rule = find_rule(policy, AUTH, request->authentication_id);

	for (size_t i = 0; i < policy->login_count && !rule; i++) {
		const char *const login[] = { policy->logins[i][0], policy->logins[i][1] };

		if (is_login(request, login))
			return decide(scene, s, AUTH, NULL);
	}
	if (request->proven && !rule)
		return decide(scene, s, AUTH, NULL);
	return decide(scene, s, AUTH, rule ? rule : &wrong);
}

static void add_path(struct scene *scene, const struct smtp_path *path)
{
	size_t n = strlen(scene->envelope);
	char text[SMTP_MAILBOX_TEXT_MAX + 1];

	smtp_mailbox_format(&path->mailbox, text, sizeof(text));
	snprintf(scene->envelope + n, sizeof(scene->envelope) - n, "%s<%s>", n ? " " : "", text);
}

static enum smtp_verdict decide_path(struct scene *scene, struct smtp_server_session *s,
				     unsigned phase, const struct smtp_path *path)
{
	char text[SMTP_MAILBOX_TEXT_MAX + 1];
	const struct policy_rule *rule;

	smtp_mailbox_format(&path->mailbox, text, sizeof(text));
	rule = find_rule(scene->policy, phase, smtp_span_of(*text ? text : "<>"));
	if (!rule || rule->code < 400)
		add_path(scene, path);
	return decide(scene, s, phase, rule);
}

/* " name=value" behind what there is; without a value just the name, nothing without a name. */
static void add_param(struct scene *scene, const char *name, struct smtp_span value)
{
	size_t n = strlen(scene->params);

	if (!name)
		return;
	snprintf(scene->params + n, sizeof(scene->params) - n, "%s%s%s%.*s", n ? " " : "", name,
		 value.p ? "=" : "", (int)value.n, value.p ? (const char *)value.p : "");
}

static void add_given(struct scene *scene, const char *name, struct smtp_span value)
{
	if (value.p)
		add_param(scene, name, value);
}

static void add_mail_params(struct scene *scene, const struct smtp_mail_request *request)
{
	static const char *const bodies[] = { NULL, "8BITMIME", "BINARYMIME" };
	static const char *const returns[] = { NULL, "FULL", "HDRS" };
	char size[32];

	scene->params[0] = '\0';
	snprintf(size, sizeof(size), "SIZE=%llu", (unsigned long long)request->size_bytes);
	add_param(scene, request->size_bytes ? size : NULL, no_key());
	add_param(scene, bodies[request->body], no_key());
	add_param(scene, request->smtputf8 ? "SMTPUTF8" : NULL, no_key());
	add_param(scene, request->requiretls ? "REQUIRETLS" : NULL, no_key());
	add_param(scene, returns[request->ret], no_key());
	add_given(scene, "ENVID", request->envid);
	add_given(scene, "AUTH", request->auth);
}

static void add_rcpt_params(struct scene *scene, const struct smtp_rcpt_request *request)
{
	static const char *const names[] = { "NEVER", "SUCCESS", "FAILURE", "DELAY" };

	scene->params[0] = '\0';
	for (size_t i = 0; i < 4; i++)
		add_param(scene, request->notify & 1u << i ? names[i] : NULL, no_key());
	add_given(scene, "TYPE", request->orcpt_type);
	add_given(scene, "ORCPT", request->orcpt_address);
}

static enum smtp_verdict on_mail(struct smtp_server_session *s,
				 const struct smtp_mail_request *request, void *user)
{
	struct scene *scene = user;

	scene->envelope[0] = '\0';
	add_mail_params(scene, request);
	return decide_path(scene, s, MAIL, request->reverse_path);
}

static enum smtp_verdict on_rcpt(struct smtp_server_session *s,
				 const struct smtp_rcpt_request *request, void *user)
{
	add_rcpt_params(user, request);
	return decide_path(user, s, RCPT, request->forward_path);
}

static enum smtp_verdict on_data(struct smtp_server_session *s, void *user)
{
	struct scene *scene = user;

	scene->content_n = 0;
	return decide_by(scene, s, DATA, no_key());
}

static enum smtp_verdict on_content(struct smtp_server_session *s, struct smtp_span octets,
				    void *user)
{
	struct scene *scene = user;

	scene->content = policy_realloc(scene->content, scene->content_n + octets.n);
	memcpy(scene->content + scene->content_n, octets.p, octets.n);
	scene->content_n += octets.n;
	return decide_by(scene, s, CONTENT, no_key());
}

/* What is said of single recipients, by index; in an SMTP session it has to be harmless. */
/* False: memory ran out. */
static bool give_results(const struct policy *policy, struct smtp_server_session *s)
{
	for (size_t i = 0; i < policy->rule_count; i++) {
		const struct policy_rule *rule = &policy->rules[i];
		struct smtp_reply reply = smtp_reply_of(rule->code, rule->enhanced, rule->text);
		size_t index = strtoul(rule->key, NULL, 10);
		int err = 0;

		if (rule->phase == RESULT && index < smtp_server_session_recipient_count(s))
			err = smtp_server_session_recipient_reply(s, index, &reply);
		if (err == SMTP_ENOMEM)
			return false;
		if (err != 0)
			abort();
	}
	return true;
}

static enum smtp_verdict on_end(struct smtp_server_session *s, void *user)
{
	struct scene *scene = user;
	static const struct policy_rule later = { END, "", 451, "4.3.0", "out of memory" };
	const struct policy_rule *rule = find_rule(scene->policy, END, no_key());

	if (!give_results(scene->policy, s))
		rule = &later;
	if (!rule || rule->code < 400)
		scene->messages++;
	return decide(scene, s, END, rule);
}

static enum smtp_verdict on_vrfy(struct smtp_server_session *s,
				 const struct smtp_vrfy_request *request, void *user)
{
	return decide_by(user, s, VRFY, request->text);
}

static enum smtp_verdict on_expn(struct smtp_server_session *s,
				 const struct smtp_vrfy_request *request, void *user)
{
	return decide_by(user, s, EXPN, request->text);
}

static enum smtp_verdict on_help(struct smtp_server_session *s, struct smtp_span topic, void *user)
{
	(void)topic;
	return decide_by(user, s, HELP, no_key());
}

static void on_reset(struct smtp_server_session *s, void *user)
{
	struct scene *scene = user;

	(void)s;
	scene->resets++;
}

static void on_disconnect(struct smtp_server_session *s, enum smtp_disconnect_reason reason,
			  void *user)
{
	struct scene *scene = user;

	(void)s;
	scene->disconnects++;
	scene->reason = reason;
}

static void on_trace(struct smtp_server_session *s, bool from_client, struct smtp_span line,
		     void *user)
{
	struct scene *scene = user;

	(void)s;
	(void)from_client;
	for (size_t i = 0; i < scene->policy->secret_count; i++) {
		const char *secret = scene->policy->secrets[i];

		if (line.n > 0 && memmem(line.p, line.n, secret, strlen(secret)))
			scene->leaked = true;
	}
}

/* --- one run -------------------------------------------------------------------------------- */

void scene_init(struct scene *scene, const struct policy *policy)
{
	*scene = (struct scene){ .policy = policy };
	scene->handler = (struct smtp_server_session_handler){
		.size = sizeof(scene->handler), .connect = on_connect, .helo = on_helo,
		.auth = on_auth, .auth_lookup = on_auth_lookup, .mail = on_mail,
		.rcpt = on_rcpt, .data = on_data,
		.content = on_content, .end = on_end, .vrfy = on_vrfy, .help = on_help,
		.reset = on_reset, .disconnect = on_disconnect, .trace = on_trace,
	};
	if (policy->has_expn)
		scene->handler.expn = on_expn;
}

void scene_release(struct scene *scene)
{
	free(scene->content);
}

bool scene_start_tls(const struct scene *scene, struct smtp_server_session *s)
{
	const struct policy *policy = scene->policy;
	struct smtp_tls_channel channel = { .size = sizeof(channel) };

	channel.exporter = smtp_span_of(policy->channel);
	channel.client_identity = policy->certificate;
	return smtp_server_session_set_tls_channel(s, &channel) == 0;
}

struct smtp_server_session *scene_session(struct scene *scene)
{
	struct smtp_server_session_options options = scene->policy->options;
	struct smtp_server_session *s = NULL;

	options.hostname = scene->policy->hostname;
	if (smtp_server_session_new(&s, &options, &scene->handler, scene) != 0)
		return NULL;
	if ((options.tls_active && !scene_start_tls(scene, s)) ||
	    smtp_server_session_set_peer(s, "127.0.0.1", 40000) != 0) { /* as over a socket */
		smtp_server_session_free(s);
		return NULL;
	}
	return s;
}

static const char *check_number(const char *name, unsigned is, const char *expected)
{
	static char text[64];

	if (strtoul(expected, NULL, 10) == is)
		return NULL;
	snprintf(text, sizeof(text), "%s is %u", name, is);
	return text;
}

static const char *check_text(const char *name, const char *is, const char *expected)
{
	static char text[1200];

	if (strcmp(is, expected) == 0)
		return NULL;
	snprintf(text, sizeof(text), "%s is \"%s\"", name, is);
	return text;
}

static const char *check_peer(struct smtp_server_session *s, const char *expected)
{
	char text[400];

	snprintf(text, sizeof(text), "%s %u to %s %u name %s", smtp_server_session_peer_address(s),
		 smtp_server_session_peer_port(s), smtp_server_session_local_address(s),
		 smtp_server_session_local_port(s), smtp_server_session_peer_name(s));
	return check_text("peer", text, expected);
}

const char *scene_check(const struct scene *scene, struct smtp_server_session *s, const char *text,
			size_t n)
{
	const char *value = strchr(text, ' ');
	size_t word = value ? (size_t)(value - text) : strlen(text);

	value = value ? value + 1 : "";
	if (strcmp(text, "closed") == 0)
		return smtp_server_session_wants(s) == SMTP_WANTS_CLOSE ? NULL : "not closed";
	if (strcmp(text, "open") == 0)
		return smtp_server_session_wants(s) & SMTP_WANTS_READ ? NULL : "not open";
	if (strcmp(text, "held") == 0)
		return smtp_server_session_wants(s) == 0 ? NULL : "not held";
	if (strncmp(text, "messages ", word + 1) == 0)
		return check_number("messages", scene->messages, value);
	if (strncmp(text, "resets ", word + 1) == 0)
		return check_number("resets", scene->resets, value);
	if (strncmp(text, "envelope ", word + 1) == 0)
		return check_text("envelope", scene->envelope, value);
	if (strncmp(text, "params", word) == 0)
		return check_text("params", scene->params, value);
	if (strncmp(text, "peer ", word + 1) == 0)
		return check_peer(s, value);
	if (strncmp(text, "helo ", word + 1) == 0)
		return check_text("helo", smtp_server_session_helo_name(s), value);
	if (strncmp(text, "protocol ", word + 1) == 0)
		return check_text("protocol", smtp_server_session_protocol(s), value);
	if (strncmp(text, "account ", word + 1) == 0)
		return check_text("account", smtp_server_session_account(s) ?: "", value);
	if (strncmp(text, "disconnect ", word + 1) == 0)
		return check_text("disconnect", smtp_disconnect_reason_str(scene->reason), value);
	if (strncmp(text, "content ", word + 1) == 0)
		return scene->content_n == n - word - 1 &&
				       (scene->content_n == 0 ||
					memcmp(scene->content, value, scene->content_n) == 0) ?
			       NULL :
			       "other content";
	return "no such check";
}
