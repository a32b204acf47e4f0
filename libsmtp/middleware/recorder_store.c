/* SPDX-License-Identifier: ISC */
/* recorder_store.c - what a recorder keeps: messages, rules, the trace, under one lock. A message that is
 * kept does not change any more, so readers look at it without the lock.
 */
#include "libsmtp/middleware/recorder_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libsmtp/middleware/middleware_private.h"

/* --- a message -------------------------------------------------------------------------------- */

struct recorder_message *recorder_message_new(void)
{
	struct recorder_message *m = calloc(1, sizeof *m);

	if (m) {
		smtp_buf_init(&m->content, SIZE_MAX / 2);
		smtp_buf_init(&m->fields, SIZE_MAX / 2);
	}
	return m;
}

void recorder_message_cut_paths(struct recorder_message *m, size_t count)
{
	while (m->path_count > count)
		free(m->commands[--m->path_count]);
}

void recorder_message_free(struct recorder_message *m)
{
	if (!m)
		return;
	recorder_message_cut_paths(m, 0);
	free(m->paths);
	free(m->commands);
	free(m->mail_command);
	free(m->session_texts);
	smtp_buf_release(&m->content);
	smtp_buf_release(&m->fields);
	free(m);
}

int recorder_message_add_path(struct recorder_message *m, const struct smtp_path *path,
			      const char *command)
{
	size_t n = m->path_count;
	struct smtp_path *paths = realloc(m->paths, (n + 1) * sizeof *paths);
	char **commands;

	if (!paths)
		return SMTP_ENOMEM;
	m->paths = paths;
	commands = realloc(m->commands, (n + 1) * sizeof *commands);
	if (!commands)
		return SMTP_ENOMEM;
	m->commands = commands;
	commands[n] = middleware_text_copy(command);
	if (!commands[n])
		return SMTP_ENOMEM;
	paths[n] = *path;
	m->path_count++;
	return 0;
}

/* Copies of the texts that end with the session, in one block. */
static int copy_texts(struct recorder_message *m, const struct smtp_server_session *s)
{
	const char *account = smtp_server_session_account(s);
	const struct {
		const char **to;
		const char *from;
	} texts[] = {
		{ &m->view.helo_name, smtp_server_session_helo_name(s) },
		{ &m->view.tls, smtp_server_session_tls_description(s) },
		{ &m->view.account, account ? account : "" },
		{ &m->view.peer_address, smtp_server_session_peer_address(s) },
	};
	size_t n = 0;

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		n += strlen(texts[i].from) + 1;
	m->session_texts = malloc(n);
	if (!m->session_texts)
		return SMTP_ENOMEM;
	n = 0;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		size_t length = strlen(texts[i].from) + 1;

		*texts[i].to = memcpy(m->session_texts + n, texts[i].from, length);
		n += length;
	}
	return 0;
}

int recorder_message_finish(struct recorder_message *m, const struct smtp_server_session *s)
{
	int err = smtp_buf_append_span(&m->fields, smtp_server_session_fields(s));

	if (!err)
		err = copy_texts(m, s);
	if (err)
		return err;
	m->view.forward_paths = m->paths;
	m->view.forward_path_count = m->path_count;
	m->view.mail_command = m->mail_command;
	m->view.rcpt_commands = (const char *const *)m->commands;
	m->view.fields = smtp_buf_span(&m->fields);
	m->view.content = smtp_buf_span(&m->content);
	m->view.protocol = smtp_server_session_protocol(s);
	m->view.peer_port = smtp_server_session_peer_port(s);
	return 0;
}

/* --- the store -------------------------------------------------------------------------------- */

int recorder_store_init(struct recorder_store *store, size_t max)
{
	pthread_condattr_t attributes;
	bool ok;

	store->max = max;
	smtp_buf_init(&store->trace, RECORDER_TRACE_MAX);
	if (pthread_condattr_init(&attributes) != 0)
		return SMTP_ENOMEM;
	ok = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
	     pthread_cond_init(&store->changed, &attributes) == 0;
	(void)pthread_condattr_destroy(&attributes);
	if (!ok)
		return SMTP_ENOMEM;
	if (pthread_mutex_init(&store->lock, NULL) == 0)
		return 0;
	(void)pthread_cond_destroy(&store->changed);
	return SMTP_ENOMEM;
}

static void clear(struct recorder_store *store)
{
	while (store->count > 0)
		recorder_message_free(store->messages[--store->count]);
	while (store->rules) {
		struct recorder_rule *rule = store->rules;

		store->rules = rule->next;
		rule->next = store->retired;
		store->retired = rule;
	}
	smtp_buf_clear(&store->trace);
}

void recorder_store_release(struct recorder_store *store)
{
	clear(store);
	while (store->retired) {
		struct recorder_rule *rule = store->retired;

		store->retired = rule->next;
		free(rule);
	}
	free(store->messages);
	smtp_buf_release(&store->trace);
	(void)pthread_cond_destroy(&store->changed);
	(void)pthread_mutex_destroy(&store->lock);
}

static bool has_room(struct recorder_store *store)
{
	size_t cap = store->cap ? store->cap * 2 : 16;
	struct recorder_message **grown;

	if (store->count < store->cap)
		return true;
	grown = realloc(store->messages, cap * sizeof *grown);
	if (!grown)
		return false;
	store->messages = grown;
	store->cap = cap;
	return true;
}

int recorder_store_add(struct recorder_store *store, struct recorder_message *m)
{
	int err = 0;

	(void)pthread_mutex_lock(&store->lock);
	if (store->count >= store->max)
		err = SMTP_ETOOLONG;
	else if (!has_room(store))
		err = SMTP_ENOMEM;
	else
		store->messages[store->count++] = m;
	(void)pthread_cond_broadcast(&store->changed);
	(void)pthread_mutex_unlock(&store->lock);
	return err;
}

/* Without room a line is left out whole: what was reserved is there for the parts. */
void recorder_store_trace(struct recorder_store *store, bool from_client, struct smtp_span line)
{
	int err;

	(void)pthread_mutex_lock(&store->lock);
	err = smtp_buf_reserve(&store->trace, line.n + 4);
	if (!err)
		err = smtp_buf_append_text(&store->trace, from_client ? "C: " : "S: ");
	if (!err)
		err = smtp_buf_append_span(&store->trace, line);
	if (!err)
		err = smtp_buf_append_text(&store->trace, "\n");
	(void)err;
	(void)pthread_mutex_unlock(&store->lock);
}

/* --- rules ------------------------------------------------------------------------------------ */

static bool fits(const struct smtp_recorder_rule *rule, enum smtp_recorder_phase phase,
		 const char *address, uint64_t octets)
{
	if (rule->phase != phase || octets < rule->after_bytes)
		return false;
	if (phase == SMTP_RECORDER_END && address && !rule->address)
		return false; /* it holds for the message, and was asked for before */
	return !rule->address || (address && strcmp(rule->address, address) == 0);
}

bool recorder_store_rule(struct recorder_store *store, enum smtp_recorder_phase phase,
			 const char *address, uint64_t octets, struct smtp_recorder_rule *out)
{
	bool found = false;

	(void)pthread_mutex_lock(&store->lock);
	for (struct recorder_rule *r = store->rules; r && !found; r = r->next) {
		uint64_t last = (uint64_t)r->rule.skip + r->rule.times;

		if (!fits(&r->rule, phase, address, octets) ||
		    (r->rule.times > 0 && r->seen >= last))
			continue;
		found = r->seen >= r->rule.skip;
		if (r->seen < UINT32_MAX)
			r->seen++;
		if (found)
			*out = r->rule;
	}
	(void)pthread_mutex_unlock(&store->lock);
	return found;
}

static size_t text_size(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

static const char *keep_text(char **at, const char *text)
{
	size_t n = text_size(text);
	char *copy = *at;

	if (!text)
		return NULL;
	memcpy(copy, text, n);
	*at += n;
	return copy;
}

static struct recorder_rule *rule_copy(const struct smtp_recorder_rule *rule)
{
	size_t n = text_size(rule->address) + text_size(rule->enhanced) + text_size(rule->text);
	struct recorder_rule *copy = calloc(1, sizeof *copy + n);
	char *at;

	if (!copy)
		return NULL;
	at = copy->texts;
	copy->rule = *rule;
	copy->rule.address = keep_text(&at, rule->address);
	copy->rule.enhanced = keep_text(&at, rule->enhanced);
	copy->rule.text = keep_text(&at, rule->text);
	return copy;
}

static bool rule_is_valid(const struct smtp_recorder_rule *rule)
{
	unsigned class = rule->code / 100;

	if ((unsigned)rule->phase > SMTP_RECORDER_END)
		return false;
	if (rule->code == 0)
		return true;
	return class == 4 || class == 5 || (class == 2 && rule->phase != SMTP_RECORDER_CONTENT);
}

void smtp_recorder_rule_init(struct smtp_recorder_rule *rule)
{
	*rule = (struct smtp_recorder_rule)SMTP_RECORDER_RULE_INIT;
}

int smtp_recorder_add_rule(struct smtp_recorder *r, const struct smtp_recorder_rule *given)
{
	struct smtp_recorder_rule rule = SMTP_RECORDER_RULE_INIT;
	struct recorder_rule *copy;
	struct recorder_rule **end;

	if (!given || smtp_sized_copy(&rule, sizeof rule, given, 0) != 0 ||
	    !rule_is_valid(&rule))
		return recorder_fail(r, SMTP_EINVAL, "rule", "a phase or a code that can't be");
	copy = rule_copy(&rule);
	if (!copy)
		return SMTP_ENOMEM;
	(void)pthread_mutex_lock(&r->store.lock);
	for (end = &r->store.rules; *end; end = &(*end)->next)
		;
	*end = copy;
	(void)pthread_mutex_unlock(&r->store.lock);
	return 0;
}

/* --- waiting ---------------------------------------------------------------------------------- */

static struct timespec after(uint32_t ms)
{
	struct timespec t = { 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

void recorder_store_delay(struct recorder_store *store, uint32_t ms)
{
	struct timespec until = after(ms);
	int rc = 0;

	(void)pthread_mutex_lock(&store->lock);
	while (!store->hurry && rc == 0)
		rc = pthread_cond_timedwait(&store->changed, &store->lock, &until);
	(void)pthread_mutex_unlock(&store->lock);
}

void recorder_store_hurry(struct recorder_store *store)
{
	(void)pthread_mutex_lock(&store->lock);
	store->hurry = true;
	(void)pthread_cond_broadcast(&store->changed);
	(void)pthread_mutex_unlock(&store->lock);
}

int smtp_recorder_wait(struct smtp_recorder *r, size_t n, uint32_t timeout_ms)
{
	struct timespec until = after(timeout_ms);
	int rc = 0;
	bool there;

	(void)pthread_mutex_lock(&r->store.lock);
	while (r->store.count < n && rc == 0)
		rc = pthread_cond_timedwait(&r->store.changed, &r->store.lock, &until);
	there = r->store.count >= n;
	(void)pthread_mutex_unlock(&r->store.lock);
	return there ? 0 : SMTP_ETIMEDOUT;
}

/* --- looking at it ---------------------------------------------------------------------------- */

/* The lock is part of what a reader may not see as constant. */
static pthread_mutex_t *lock_of(const struct smtp_recorder *r)
{
	return (pthread_mutex_t *)(uintptr_t)&r->store.lock;
}

size_t smtp_recorder_count(const struct smtp_recorder *r)
{
	size_t count;

	(void)pthread_mutex_lock(lock_of(r));
	count = r->store.count;
	(void)pthread_mutex_unlock(lock_of(r));
	return count;
}

const struct smtp_recorded_message *smtp_recorder_message(const struct smtp_recorder *r, size_t i)
{
	const struct smtp_recorded_message *message;

	(void)pthread_mutex_lock(lock_of(r));
	message = i < r->store.count ? &r->store.messages[i]->view : NULL;
	(void)pthread_mutex_unlock(lock_of(r));
	return message;
}

size_t smtp_recorder_trace(const struct smtp_recorder *r, char *out, size_t cap)
{
	size_t n;
	size_t copied;

	(void)pthread_mutex_lock(lock_of(r));
	n = r->store.trace.n;
	copied = cap == 0 ? 0 : n < cap ? n : cap - 1;
	if (copied > 0)
		memcpy(out, r->store.trace.p, copied);
	(void)pthread_mutex_unlock(lock_of(r));
	if (cap > 0)
		out[copied] = '\0';
	return n;
}

void smtp_recorder_reset(struct smtp_recorder *r)
{
	(void)pthread_mutex_lock(&r->store.lock);
	clear(&r->store);
	(void)pthread_mutex_unlock(&r->store.lock);
}
