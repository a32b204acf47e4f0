/* SPDX-License-Identifier: ISC */
/* reader.c - reads smtpd.yaml by libyaml: walks the document along the table of settings and gathers
 * every error with its place, so that one run shows them all.
 */
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "config/settings.h"
#include "libsmtp/core/span.h"

enum { PATH_TEXT_MAX = 256, FILE_BYTES_MAX = 1 << 20, SEEN_MAX = 64 };

struct reading {
	struct config *config;
	struct config_errors *errors;
	const char *file;
	char *folder;
	yaml_document_t *document;
	const char *seen[SEEN_MAX]; /* settings that were given, for duplicates */
	size_t seen_count;
	bool no_memory;
};

/* ---- Errors ---- */

__attribute__((format(printf, 3, 4))) static void add_error(struct reading *r, yaml_mark_t mark,
							     const char *format, ...)
{
	char text[SETTING_PROBLEM_MAX + PATH_TEXT_MAX + 64];
	va_list args;
	char *line;

	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (r->errors->count == CONFIG_ERRORS_MAX)
		return;
	if (asprintf(&line, "%s:%zu:%zu: %s", r->file, mark.line + 1, mark.column + 1, text) < 0)
		r->no_memory = true;
	else
		r->errors->lines[r->errors->count++] = line;
}

static void add_result(struct reading *r, const yaml_node_t *node, const char *path, int err,
		       const char *problem)
{
	if (err == SMTP_ENOMEM)
		r->no_memory = true;
	else if (err != 0)
		add_error(r, node->start_mark, "%s: %s", path, problem);
}

void config_errors_release(struct config_errors *errors)
{
	while (errors->count > 0)
		free(errors->lines[--errors->count]);
}

/* ---- Values ---- */

/** The text of a scalar; NULL and an error if the node is none. NUL can't stand in it. */
static const char *scalar(struct reading *r, const yaml_node_t *node, const char *path)
{
	if (node->type != YAML_SCALAR_NODE) {
		add_error(r, node->start_mark, "%s: a single value is wanted here", path);
		return NULL;
	}
	if (strlen((const char *)node->data.scalar.value) != node->data.scalar.length) {
		add_error(r, node->start_mark, "%s: a NUL octet is not possible here", path);
		return NULL;
	}
	return (const char *)node->data.scalar.value;
}

static void read_scalar(struct reading *r, const struct setting *s, const yaml_node_t *node)
{
	char problem[SETTING_PROBLEM_MAX] = "";
	const char *text = scalar(r, node, s->path);

	if (text != NULL)
		add_result(r, node, s->path,
			   setting_assign(r->config, s, text, r->folder, problem), problem);
}

static void read_durations(struct reading *r, const struct setting *s, const yaml_node_t *node)
{
	yaml_node_item_t *item;
	char problem[SETTING_PROBLEM_MAX] = "";

	if (node->type != YAML_SEQUENCE_NODE ||
	    node->data.sequence.items.start == node->data.sequence.items.top) {
		add_error(r, node->start_mark, "%s: a list such as [5m, 15m, 1h] is wanted here",
			  s->path);
		return;
	}
	for (item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++) {
		const yaml_node_t *value = yaml_document_get_node(r->document, *item);
		const char *text = scalar(r, value, s->path);

		if (text != NULL)
			add_result(r, value, s->path,
				   setting_add_duration(r->config, s, text, problem), problem);
	}
}

enum { PROXIES_MAX = 2048 };

struct listener_texts {
	const char *address, *role;
	char proxies[PROXIES_MAX]; /* divided by blanks */
};

static void read_proxies(struct reading *r, const yaml_node_t *node, struct listener_texts *out)
{
	yaml_node_item_t *item;
	size_t n = 0;

	if (node->type != YAML_SEQUENCE_NODE || out->proxies[0] != '\0' ||
	    node->data.sequence.items.start == node->data.sequence.items.top) {
		add_error(r, node->start_mark,
			  "listen: proxy_protocol: a list such as [192.0.2.0/24] is wanted here, once");
		return;
	}
	for (item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++) {
		const yaml_node_t *value = yaml_document_get_node(r->document, *item);
		const char *text = scalar(r, value, "listen: proxy_protocol");
		int len = text == NULL ? 0 : snprintf(out->proxies + n, PROXIES_MAX - n, "%s ", text);

		if (len < 0 || (size_t)len >= PROXIES_MAX - n) {
			add_error(r, value->start_mark, "listen: proxy_protocol: the list is too long");
			out->proxies[0] = '\0';
			return;
		}
		n += (size_t)len;
	}
}

static void read_listener_pair(struct reading *r, const yaml_node_pair_t *pair,
			       struct listener_texts *out)
{
	const yaml_node_t *key = yaml_document_get_node(r->document, pair->key);
	const yaml_node_t *value = yaml_document_get_node(r->document, pair->value);
	const char *name = scalar(r, key, "listen");
	const char *text;
	const char **at;

	if (name != NULL && strcmp(name, "proxy_protocol") == 0) {
		read_proxies(r, value, out);
		return;
	}
	text = scalar(r, value, "listen");
	if (name == NULL || text == NULL)
		return;
	at = strcmp(name, "address") == 0 ? &out->address :
	     strcmp(name, "role") == 0	  ? &out->role :
					    NULL;
	if (at == NULL)
		add_error(r, key->start_mark, "listen: unknown name \"%.60s\" (address, role and "
			  "proxy_protocol are known)", name);
	else if (*at != NULL)
		add_error(r, key->start_mark, "listen: %s is there twice", name);
	else
		*at = text;
}

/** Both texts are looked at, whatever is wrong with the first. */
static void add_listener(struct reading *r, const yaml_node_t *node,
			 const struct listener_texts *texts)
{
	char problem[SETTING_PROBLEM_MAX] = "";
	enum config_role role = ROLE_MX;
	int err;

	add_result(r, node, "listen", setting_read_role(texts->role, &role, problem), problem);
	err = setting_add_listener(r->config, texts->address, role, problem);
	add_result(r, node, "listen", err, problem);
	if (err == 0 && texts->proxies[0] != '\0')
		add_result(r, node, "listen: proxy_protocol",
			   setting_set_proxies(r->config, texts->proxies, problem), problem);
}

static void read_listener(struct reading *r, const yaml_node_t *node)
{
	struct listener_texts texts = { .address = NULL };
	yaml_node_pair_t *pair;

	if (node->type == YAML_MAPPING_NODE)
		for (pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
		     pair++)
			read_listener_pair(r, pair, &texts);
	if (texts.address == NULL || texts.role == NULL)
		add_error(r, node->start_mark,
			  "listen: each entry is { address: \"*:25\", role: mx }");
	else
		add_listener(r, node, &texts);
}

static void read_listeners(struct reading *r, const yaml_node_t *node)
{
	yaml_node_item_t *item;

	if (node->type != YAML_SEQUENCE_NODE ||
	    node->data.sequence.items.start == node->data.sequence.items.top) {
		add_error(r, node->start_mark,
			  "listen: a list of { address: \"*:25\", role: mx } is wanted here");
		return;
	}
	for (item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++)
		read_listener(r, yaml_document_get_node(r->document, *item));
}

static void read_routes(struct reading *r, const yaml_node_t *node)
{
	char problem[SETTING_PROBLEM_MAX] = "";
	yaml_node_pair_t *pair;

	if (node->type != YAML_MAPPING_NODE) {
		add_error(r, node->start_mark,
			  "relay.routes: pairs such as example.net: \"smtp://10.0.0.5:25\" are "
			  "wanted here");
		return;
	}
	for (pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml_document_get_node(r->document, pair->key);
		const char *domain = scalar(r, key, "relay.routes");
		const char *url = scalar(r, yaml_document_get_node(r->document, pair->value),
					 "relay.routes");

		if (domain != NULL && url != NULL)
			add_result(r, key, "relay.routes",
				   setting_add_route(r->config, domain, url, problem), problem);
	}
}

/* ---- The walk ---- */

static bool is_seen(struct reading *r, const struct setting *s)
{
	size_t i;

	for (i = 0; i < r->seen_count; i++)
		if (r->seen[i] == s->path)
			return true;
	if (r->seen_count < SEEN_MAX)
		r->seen[r->seen_count++] = s->path;
	return false;
}

static void read_setting(struct reading *r, const struct setting *s, const yaml_node_t *key,
			 const yaml_node_t *value)
{
	if (is_seen(r, s)) {
		add_error(r, key->start_mark, "%s: is there twice", s->path);
		return;
	}
	switch (s->kind) {
	case SETTING_DURATIONS:
		read_durations(r, s, value);
		break;
	case SETTING_LISTENERS:
		read_listeners(r, value);
		break;
	case SETTING_ROUTES:
		read_routes(r, value);
		break;
	default:
		read_scalar(r, s, value);
	}
}

static void add_unknown(struct reading *r, const yaml_node_t *key, const char *path)
{
	const char *nearest = setting_nearest(path);

	if (nearest != NULL)
		add_error(r, key->start_mark, "%s: unknown setting (did you mean %s?)", path,
			  nearest);
	else
		add_error(r, key->start_mark, "%s: unknown setting", path);
}

static void read_mapping(struct reading *r, const yaml_node_t *node, const char *prefix);

static void read_pair(struct reading *r, const yaml_node_t *key, const yaml_node_t *value,
		      const char *prefix)
{
	char path[PATH_TEXT_MAX];
	const char *name = scalar(r, key, prefix[0] != '\0' ? prefix : "settings");
	const struct setting *s;

	if (name == NULL)
		return;
	(void)snprintf(path, sizeof path, "%.120s%s%.120s", prefix, prefix[0] != '\0' ? "." : "",
		       name);
	s = setting_find(path);
	if (s != NULL)
		read_setting(r, s, key, value);
	else if (setting_is_section(path))
		read_mapping(r, value, path);
	else
		add_unknown(r, key, path);
}

/** Recursion ends with the depth of the table's sections, not with that of the document. */
static void read_mapping(struct reading *r, const yaml_node_t *node, const char *prefix)
{
	yaml_node_pair_t *pair;

	if (node->type != YAML_MAPPING_NODE) {
		add_error(r, node->start_mark, "%s: settings of the form name: value are wanted",
			  prefix[0] != '\0' ? prefix : "file");
		return;
	}
	for (pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++)
		read_pair(r, yaml_document_get_node(r->document, pair->key),
			  yaml_document_get_node(r->document, pair->value), prefix);
}

/* ---- What goes together ---- */

static int default_listeners(struct config *c)
{
	char problem[SETTING_PROBLEM_MAX];
	int err = setting_add_listener(c, "*:25", ROLE_MX, problem);

	if (err == 0 && c->tls_certificate[0] != '\0')
		err = setting_add_listener(c, "*:465", ROLE_SUBMISSIONS, problem);
	if (err == 0 && c->tls_certificate[0] != '\0')
		err = setting_add_listener(c, "*:587", ROLE_SUBMISSION, problem);
	return err;
}

static int default_retry(struct config *c)
{
	static const char *const waits[] = { "5m", "15m", "30m", "1h", "2h", "4h" };
	char problem[SETTING_PROBLEM_MAX];
	size_t i;
	int err = 0;

	for (i = 0; err == 0 && i < sizeof waits / sizeof *waits; i++)
		err = setting_add_duration(c, setting_find("queue.retry"), waits[i], problem);
	return err;
}

static int default_hostname(struct config *c)
{
	struct addrinfo hints = { .ai_flags = AI_CANONNAME }, *found = NULL;
	char name[256] = "";
	int err = 0;

	if (gethostname(name, sizeof name - 1) != 0)
		return SMTP_EINVAL;
	if (strchr(name, '.') == NULL && getaddrinfo(name, NULL, &hints, &found) == 0 &&
	    found->ai_canonname != NULL)
		(void)snprintf(name, sizeof name, "%s", found->ai_canonname);
	if (found != NULL)
		freeaddrinfo(found);
	if (!smtp_domain_is_valid(smtp_span_of(name)))
		return SMTP_EINVAL;
	c->hostname = strdup(name);
	if (c->hostname == NULL)
		err = SMTP_ENOMEM;
	return err;
}

static bool url_has_user(const char *text)
{
	struct smtp_url url;

	return smtp_url_parse(&url, smtp_span_of(text), NULL) == 0 && url.user[0] != '\0';
}

static void check_relay_password(struct reading *r, yaml_mark_t mark)
{
	const struct config *c = r->config;
	bool user = url_has_user(c->relay_default);
	size_t i;

	for (i = 0; i < c->route_count; i++)
		user = user || url_has_user(c->routes[i].url);
	if (user && c->relay_password_file[0] == '\0')
		add_error(r, mark,
			  "relay.password_file: is needed, since the URL of a relay names a user");
}

static void check_tls(struct reading *r, yaml_mark_t mark)
{
	const struct config *c = r->config;
	bool certificate = c->tls_certificate[0] != '\0';
	size_t i;

	if (certificate != (c->tls_key[0] != '\0'))
		add_error(r, mark, "tls: certificate and key are needed together");
	for (i = 0; i < c->listener_count; i++)
		if (c->listeners[i].role != ROLE_MX && !certificate) {
			add_error(r, mark,
				  "tls.certificate: is needed, since %s takes passwords (role %s)",
				  c->listeners[i].address, config_role_str(c->listeners[i].role));
			return;
		}
}

static void complete(struct reading *r, yaml_mark_t mark)
{
	struct config *c = r->config;
	int err = c->queue_retry_count == 0 ? default_retry(c) : 0;

	if (err == 0 && c->listener_count == 0)
		err = default_listeners(c);
	if (err == 0 && c->hostname == NULL && r->errors->count == 0) {
		err = default_hostname(c);
		if (err == SMTP_EINVAL)
			add_error(r, mark,
				  "hostname: is needed, since the machine's own name is no domain "
				  "name (such as mail.example.com)");
	}
	if (err == SMTP_ENOMEM)
		r->no_memory = true;
	check_tls(r, mark);
	check_relay_password(r, mark);
}

/* ---- The file ---- */

static void add_yaml_error(struct reading *r, const yaml_parser_t *parser)
{
	yaml_mark_t mark = parser->problem_mark;

	add_error(r, mark, "%s", parser->problem != NULL ? parser->problem : "not YAML");
}

/** Behind a "---" other settings would stand unread. */
static void read_end(struct reading *r, yaml_parser_t *parser)
{
	yaml_document_t document;
	const yaml_node_t *root;

	if (!yaml_parser_load(parser, &document)) {
		add_yaml_error(r, parser);
		return;
	}
	root = yaml_document_get_root_node(&document);
	if (root != NULL)
		add_error(r, root->start_mark, "a second document: all settings belong into one");
	yaml_document_delete(&document);
}

static void read_document(struct reading *r, yaml_parser_t *parser)
{
	yaml_document_t document;
	yaml_node_t *root;
	yaml_mark_t begin = { 0, 0, 0 };

	if (!yaml_parser_load(parser, &document)) {
		add_yaml_error(r, parser);
		return;
	}
	r->document = &document;
	root = yaml_document_get_root_node(&document);
	if (root == NULL) {
		add_error(r, begin, "the file is empty (smtpctl setup writes a first one)");
	} else {
		read_mapping(r, root, "");
		complete(r, root->start_mark);
	}
	yaml_document_delete(&document);
	if (root != NULL)
		read_end(r, parser);
}

static int folder_of(const char *file, char **out)
{
	char *real = realpath(file, NULL);
	char *slash = real != NULL ? strrchr(real, '/') : NULL;

	if (slash == NULL) {
		free(real);
		return SMTP_ENOMEM;
	}
	*slash = '\0';
	*out = real;
	return 0;
}

static int read_file(struct reading *r, FILE *f)
{
	yaml_parser_t parser;
	int err = folder_of(r->file, &r->folder);

	if (err != 0 || !yaml_parser_initialize(&parser))
		return SMTP_ENOMEM;
	yaml_parser_set_input_file(&parser, f);
	read_document(r, &parser);
	yaml_parser_delete(&parser);
	free(r->folder);
	if (r->no_memory)
		return SMTP_ENOMEM;
	return r->errors->count == 0 ? 0 : SMTP_EINVAL;
}

/** A file that cannot be read: one error without a place. */
static int add_file_error(struct reading *r, const char *why)
{
	char *line;

	if (asprintf(&line, "%s: %s", r->file, why) < 0)
		return SMTP_ENOMEM;
	r->errors->lines[r->errors->count++] = line;
	return SMTP_EINVAL;
}

static int load(struct reading *r)
{
	FILE *f = fopen(r->file, "re");
	struct stat st;
	int err;

	if (f == NULL)
		return add_file_error(r, errno == ENOENT ? "there is no such file (smtpctl setup "
							   "writes one, -c names another)" :
							   strerror(errno));
	if (fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode))
		err = add_file_error(r, "is not a regular file");
	else if (st.st_size > FILE_BYTES_MAX)
		err = add_file_error(r, "is larger than 1 MiB");
	else
		err = read_file(r, f);
	(void)fclose(f);
	return err;
}

int config_load(const char *file, struct config **out, struct config_errors *errors)
{
	struct reading r = { .file = file, .errors = errors };
	int err;

	errors->count = 0;
	r.config = calloc(1, sizeof *r.config);
	if (r.config == NULL)
		return SMTP_ENOMEM;
	r.config->file = realpath(file, NULL);
	if (r.config->file == NULL)
		r.config->file = strdup(file);
	err = r.config->file == NULL ? SMTP_ENOMEM : settings_default(r.config);
	if (err == 0)
		err = load(&r);
	if (err != 0) {
		config_free(r.config);
		return err;
	}
	*out = r.config;
	return 0;
}
