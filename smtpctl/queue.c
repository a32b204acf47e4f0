/* SPDX-License-Identifier: ISC */
/* queue.c - smtpctl queue: list, show, cat read the spool itself, so they work without a daemon too;
 * retry and remove go to the daemon when there is one.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <smtp/spool.h>
#include "cli/output.h"
#include "smtpctl/smtpctl.h"

struct retry_values {
	bool all;
};

const struct cli_option ctl_queue_retry_options[] = {
	{ "all", 0, CLI_FLAG, offsetof(struct retry_values, all), NULL, "every message" },
	{ NULL, 0, CLI_FLAG, 0, NULL, NULL },
};

static struct smtp_spool *open_spool(const struct config *config, bool read_only)
{
	struct smtp_spool *spool = NULL;
	char *path = NULL;
	int err = config_data_path(config, CONFIG_SPOOL_DIRECTORY, &path);

	if (err == 0)
		err = smtp_spool_open(&spool, path, read_only);
	if (err != 0)
		cli_error("%s: %s%s", path != NULL ? path : "spool", smtp_error_str(err),
			  err == SMTP_EACCESS ? " (run smtpctl as root or as the user of smtpd)" :
						"");
	free(path);
	return spool;
}

/* ---- list ---- */

static const struct cli_column columns[] = {
	{ "QUEUE ID", "queue_id", false }, { "STATE", "state", false },
	{ "ARRIVED", "arrived", false },   { "NEXT TRY", "next_attempt", false },
	{ "SIZE", "size", true },	   { "FROM", "from", false },
	{ "TO", "to", false },		   { "LAST REPLY", "reply", false },
};

struct listing {
	struct smtp_spool *spool;
	struct cli_table *table;
	bool dead, json;
};

static const char *const recipient_states[] = { "queued", "delivered", "bounced", "removed" };

static const char *state_of(const struct smtp_queue_recipient *r, bool dead)
{
	if (dead)
		return "dead";
	if (r->state == SMTP_RECIPIENT_QUEUED && r->attempts > 0)
		return "deferred";
	return recipient_states[r->state];
}

static void add_recipient(const struct listing *l, const struct smtp_queue_entry *e,
			  const struct smtp_queue_recipient *r)
{
	char arrived[CTL_TIME_MAX], next[CTL_TIME_MAX], size[24];
	const char *const cells[] = { e->id, state_of(r, l->dead),
				      arrived, next,
				      size, e->reverse_path[0] != '\0' ? e->reverse_path : "<>",
				      r->address, r->last_reply };

	ctl_time(e->arrival_ms / 1000, l->json, arrived);
	ctl_time(l->dead ? 0 : r->next_attempt_ms / 1000, l->json, next);
	(void)snprintf(size, sizeof size, "%llu", (unsigned long long)e->content_bytes);
	cli_table_row(l->table, cells);
}

/** A message that leaves the queue meanwhile is simply not listed. */
static int add_entry(const char *id, void *user)
{
	struct listing *l = user;
	enum smtp_recipient_state wanted = l->dead ? SMTP_RECIPIENT_BOUNCED : SMTP_RECIPIENT_QUEUED;
	struct smtp_queue_entry *e;
	size_t i;

	if (smtp_spool_load(l->spool, id, &e) != 0)
		return 0;
	for (i = 0; i < e->recipient_count; i++)
		if (e->recipients[i].state == wanted)
			add_recipient(l, e, &e->recipients[i]);
	smtp_queue_entry_free(e);
	return 0;
}

static int list(struct smtp_spool *spool, bool json)
{
	struct listing l = { spool, cli_table_new(columns, sizeof columns / sizeof *columns),
			     false, json };
	int err = smtp_spool_list(spool, add_entry, &l), status;

	l.dead = true;
	if (err == 0)
		err = smtp_spool_list_dead(spool, add_entry, &l);
	status = ctl_result(NULL, "queue list", err);
	if (status == CLI_DONE && !json && cli_table_count(l.table) == 0)
		(void)printf("The queue is empty.\n");
	else if (status == CLI_DONE && cli_table_print(l.table, stdout, json) != 0)
		status = CLI_REFUSED;
	cli_table_free(l.table);
	return status;
}

/* ---- show ---- */

static void print_field(const char *name, const char *value)
{
	if (value[0] == '\0')
		return;
	(void)printf("%-9s ", name);
	cli_print_safe(stdout, smtp_span_of(value));
	(void)printf("\n");
}

static void print_recipient(const struct smtp_queue_recipient *r)
{
	char time[CTL_TIME_MAX];

	(void)printf("\n");
	print_field("to", r->address);
	if (strcmp(r->original, r->address) != 0)
		print_field("original", r->original);
	print_field("state", state_of(r, false));
	(void)printf("%-9s %u\n", "attempts", r->attempts);
	ctl_time(r->last_attempt_ms / 1000, false, time);
	print_field("last", time);
	ctl_time(r->next_attempt_ms / 1000, false, time);
	if (r->state == SMTP_RECIPIENT_QUEUED)
		print_field("next", time);
	print_field("host", r->last_host);
	print_field("reply", r->last_reply);
}

static void print_entry(const struct smtp_queue_entry *e)
{
	char time[CTL_TIME_MAX];
	size_t i;

	print_field("id", e->id);
	print_field("from", e->reverse_path[0] != '\0' ? e->reverse_path : "<>");
	ctl_time(e->arrival_ms / 1000, false, time);
	print_field("arrived", time);
	(void)printf("%-9s %llu\n", "size", (unsigned long long)e->content_bytes);
	print_field("origin", e->origin);
	print_field("account", e->account);
	print_field("peer", e->peer_address);
	for (i = 0; i < e->recipient_count; i++)
		print_recipient(&e->recipients[i]);
}

static void json_recipient(struct cli_json *json, const struct smtp_queue_recipient *r)
{
	cli_json_object(json, NULL);
	cli_json_text(json, "to", r->address);
	cli_json_text(json, "original", r->original);
	cli_json_text(json, "state", state_of(r, false));
	cli_json_uint(json, "attempts", r->attempts);
	cli_json_int(json, "last_attempt_ms", r->last_attempt_ms);
	cli_json_int(json, "next_attempt_ms", r->next_attempt_ms);
	cli_json_text(json, "host", r->last_host);
	cli_json_text(json, "reply", r->last_reply);
	cli_json_object_end(json);
}

static void json_entry(const struct smtp_queue_entry *e)
{
	struct cli_json json;
	size_t i;

	cli_json_init(&json, stdout);
	cli_json_object(&json, NULL);
	cli_json_text(&json, "queue_id", e->id);
	cli_json_text(&json, "from", e->reverse_path);
	cli_json_int(&json, "arrival_ms", e->arrival_ms);
	cli_json_uint(&json, "size", e->content_bytes);
	cli_json_text(&json, "origin", e->origin);
	cli_json_text(&json, "account", e->account);
	cli_json_text(&json, "peer", e->peer_address);
	cli_json_array(&json, "recipients");
	for (i = 0; i < e->recipient_count; i++)
		json_recipient(&json, &e->recipients[i]);
	cli_json_array_end(&json);
	cli_json_object_end(&json);
}

static int show(struct smtp_spool *spool, const char *id, bool json)
{
	struct smtp_queue_entry *e;
	int err = smtp_spool_load(spool, id, &e);

	if (err != 0)
		return ctl_result(NULL, id, err);
	if (json)
		json_entry(e);
	else
		print_entry(e);
	smtp_queue_entry_free(e);
	return CLI_DONE;
}

/* ---- cat ---- */

static int cat(struct smtp_spool *spool, const char *id)
{
	struct smtp_spool_reader *reader;
	uint8_t part[65536];
	size_t n;
	int err = smtp_spool_reader_open(spool, id, &reader);

	if (err != 0)
		return ctl_result(NULL, id, err);
	do {
		err = smtp_spool_reader_read(reader, part, sizeof part, &n);
		if (err == 0 && n > 0 && fwrite(part, 1, n, stdout) != n)
			break; /* cli_finish_output() tells */
	} while (err == 0 && n > 0);
	smtp_spool_reader_close(reader);
	return ctl_result(NULL, id, err);
}

/* ---- What reads ---- */

/** Opens the spool for one of the three; `id` is wanted but for the list. */
static int read_spool(const struct cli_command *self, int argc, char **argv,
		      const struct smtpctl *ctl, bool id_wanted,
		      int (*run)(struct smtp_spool *, const char *id, bool json))
{
	struct config *config;
	struct smtp_spool *spool;
	int first = cli_options_read(self, argc, argv, NULL), status = CLI_REFUSED;

	if (first < 0)
		return CLI_USAGE;
	if (argc - first != (id_wanted ? 1 : 0))
		return cli_usage_error(self, id_wanted ? "one queue id is wanted" :
							 "no argument is wanted");
	if (id_wanted && !smtp_queue_id_is_valid(argv[first]))
		return cli_usage_error(self, "%s: is no queue id (see smtpctl queue list)",
				       argv[first]);
	config = ctl_config(ctl);
	spool = config != NULL ? open_spool(config, true) : NULL;
	if (spool != NULL) {
		status = run(spool, id_wanted ? argv[first] : NULL, ctl->json);
		smtp_spool_close(spool);
	}
	config_free(config);
	return cli_finish_output(status);
}

static int run_list(struct smtp_spool *spool, const char *id, bool json)
{
	(void)id;
	return list(spool, json);
}

static int run_cat(struct smtp_spool *spool, const char *id, bool json)
{
	(void)json;
	return cat(spool, id);
}

int ctl_queue_list(const struct cli_command *self, int argc, char **argv, void *user)
{
	return read_spool(self, argc, argv, user, false, run_list);
}

int ctl_queue_show(const struct cli_command *self, int argc, char **argv, void *user)
{
	return read_spool(self, argc, argv, user, true, show);
}

int ctl_queue_cat(const struct cli_command *self, int argc, char **argv, void *user)
{
	return read_spool(self, argc, argv, user, true, run_cat);
}

/* ---- What changes ---- */

/** Asks the daemon; SMTP_ENOTFOUND and nothing said when there is none. */
static int ask(const struct config *config, const char *words, const char *id)
{
	char request[128], problem[CTL_PROBLEM_MAX] = "";
	struct smtp_buf lines;
	int err;

	(void)snprintf(request, sizeof request, "%s%s%s", words, id != NULL ? " " : "",
		       id != NULL ? id : "");
	err = ctl_ask(config, request, &lines, problem);
	smtp_buf_release(&lines);
	if (err != 0 && err != SMTP_ENOTFOUND)
		cli_error("%s%s%s", id != NULL ? id : "", id != NULL ? ": " : "", problem);
	return err;
}

/** Without a daemon every message is tried at its next start anyway. */
int ctl_queue_retry(const struct cli_command *self, int argc, char **argv, void *user)
{
	struct retry_values v = { false };
	struct config *config;
	int first = cli_options_read(self, argc, argv, &v), err;

	if (first < 0)
		return CLI_USAGE;
	if (argc - first != (v.all ? 0 : 1))
		return cli_usage_error(self, "one queue id or --all is wanted");
	if (!v.all && !smtp_queue_id_is_valid(argv[first]))
		return cli_usage_error(self, "%s: is no queue id (see smtpctl queue list)",
				       argv[first]);
	config = ctl_config(user);
	if (config == NULL)
		return CLI_REFUSED;
	err = ask(config, "queue retry", v.all ? NULL : argv[first]);
	config_free(config);
	if (err == SMTP_ENOTFOUND)
		cli_error("smtpd does not run; it tries everything that is due when it starts");
	return err == 0 ? CLI_DONE : CLI_REFUSED;
}

static int remove_from_spool(const struct config *config, const char *id)
{
	struct smtp_spool *spool = open_spool(config, false);
	int status;

	if (spool == NULL)
		return CLI_REFUSED;
	status = ctl_result(NULL, id, smtp_spool_remove(spool, id, true));
	smtp_spool_close(spool);
	return status;
}

int ctl_queue_remove(const struct cli_command *self, int argc, char **argv, void *user)
{
	struct config *config;
	int first = cli_options_read(self, argc, argv, NULL), err, status;

	if (first < 0)
		return CLI_USAGE;
	if (argc - first != 1)
		return cli_usage_error(self, "one queue id is wanted");
	if (!smtp_queue_id_is_valid(argv[first]))
		return cli_usage_error(self, "%s: is no queue id (see smtpctl queue list)",
				       argv[first]);
	config = ctl_config(user);
	if (config == NULL)
		return CLI_REFUSED;
	err = ask(config, "queue remove", argv[first]);
	status = err == SMTP_ENOTFOUND ? remove_from_spool(config, argv[first]) :
		 err == 0	       ? CLI_DONE :
					 CLI_REFUSED;
	config_free(config);
	return status;
}
