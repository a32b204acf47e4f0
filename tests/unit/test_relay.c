/* SPDX-License-Identifier: ISC */
/* From the queue to other hosts: scripted servers on loopback, a fake resolver. */
#include "smtpd/queue/relay_session.h"
#include "tests/unit/queue_world.h"
#include "tests/unit/scripted_server.h"
#include "tests/unit/certificate.h"
#include "tests/unit/queue_server.h"
#include "storage/sys.h"

#include <errno.h>

/* ---- the fake resolver ---- */

struct fake_name {
	const char *name;
	enum smtp_dns_status mx, host;
	const char *mx_hosts[4]; /* preference 10, 20, ... */
	const char *addresses[3];
};

static const struct fake_name names[] = {
	{ "two.test", 0, SMTP_DNS_NO_DATA, { "m1.test", "m2.test" }, { NULL } },
	{ "dead.test", 0, SMTP_DNS_NO_DATA, { "m1.test", "m9.test" }, { NULL } },
	{ "implicit.test", SMTP_DNS_NO_DATA, 0, { NULL }, { "127.0.0.1" } },
	{ "null.test", SMTP_DNS_NULL_MX, SMTP_DNS_NO_DATA, { NULL }, { NULL } },
	{ "down.test", SMTP_DNS_TEMPORARY, SMTP_DNS_TEMPORARY, { NULL }, { NULL } },
	{ "loops.test", 0, SMTP_DNS_NO_DATA, { "mail.here.test", "m1.test" }, { NULL } },
	{ "noaddr.test", 0, SMTP_DNS_NO_DATA, { "gone.test" }, { NULL } },
	{ "m1.test", SMTP_DNS_NO_DATA, 0, { NULL }, { "127.0.0.1" } },
	{ "m2.test", SMTP_DNS_NO_DATA, 0, { NULL }, { "127.0.0.2" } },
	{ "m9.test", SMTP_DNS_NO_DATA, 0, { NULL }, { "127.0.0.9" } }, /* nobody listens there */
	{ "127.0.0.1", SMTP_DNS_NO_DATA, 0, { NULL }, { "127.0.0.1" } },
};

struct smtp_dns_query {
	struct smtp_loop_call call;
	const char *name;
	bool cancelled, is_mx;
	void (*mx)(void *user, const struct smtp_mx_answer *);
	void (*host)(void *user, const struct smtp_host_answer *);
	void *user;
	char text[SMTP_DOMAIN_MAX + 1];
};

static const struct fake_name *find_name(const char *name)
{
	static const struct fake_name gone = { "", SMTP_DNS_NO_NAME, SMTP_DNS_NO_NAME, { NULL }, { NULL } };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(names[i].name, name) == 0)
			return &names[i];
	return &gone;
}

static void answer_query(struct smtp_loop_call *call)
{
	struct smtp_dns_query *q = (struct smtp_dns_query *)(void *)call;
	const struct fake_name *name = find_name(q->text);
	static struct smtp_mx_answer mx;
	static struct smtp_host_answer host;

	mx = (struct smtp_mx_answer){ .status = name->mx, .problem = "SERVFAIL" };
	host = (struct smtp_host_answer){ .status = name->host, .problem = "SERVFAIL" };
	for (; mx.count < 4 && name->mx_hosts[mx.count]; mx.count++) {
		mx.hosts[mx.count].preference = (uint16_t)(10 * mx.count + 10);
		(void)snprintf(mx.hosts[mx.count].name, sizeof mx.hosts[0].name, "%s",
			       name->mx_hosts[mx.count]);
	}
	for (; host.count < 3 && name->addresses[host.count]; host.count++) {
		struct smtp_socket_address *a = &host.addresses[host.count];

		a->length = sizeof a->u.in;
		a->u.in.sin_family = AF_INET;
		ck_assert_int_eq(inet_pton(AF_INET, name->addresses[host.count], &a->u.in.sin_addr), 1);
	}
	if (!q->cancelled && q->is_mx)
		q->mx(q->user, &mx);
	else if (!q->cancelled)
		q->host(q->user, &host);
	free(q);
}

static struct smtp_dns_query *ask(const char *name, void *user, struct smtp_dns_query **query)
{
	struct smtp_dns_query *q = calloc(1, sizeof *q);

	ck_assert_ptr_nonnull(q);
	(void)snprintf(q->text, sizeof q->text, "%s", name);
	q->user = user;
	q->call.fn = answer_query;
	*query = q;
	smtp_loop_post(world.loop, &q->call);
	return q;
}

/* Once: all workers of the world are busy from the next look-up of a host on, until let_go(). */
static struct hold {
	struct smtp_work work[3];
	pthread_mutex_t lock;
	pthread_cond_t free;
	bool wanted, begun, ended;
} hold = { .lock = PTHREAD_MUTEX_INITIALIZER, .free = PTHREAD_COND_INITIALIZER };

static void hold_run(struct smtp_work *work)
{
	(void)work;
	(void)pthread_mutex_lock(&hold.lock);
	while (!hold.ended)
		(void)pthread_cond_wait(&hold.free, &hold.lock);
	(void)pthread_mutex_unlock(&hold.lock);
}

static void hold_done(struct smtp_work *work)
{
	(void)work;
}

static void hold_workers(void)
{
	hold.wanted = false;
	hold.begun = true;
	for (size_t i = 0; i < sizeof hold.work / sizeof *hold.work; i++) {
		hold.work[i] = (struct smtp_work){ .run = hold_run, .done = hold_done, .loop = world.loop };
		smtp_workers_submit(world.workers, &hold.work[i]);
	}
}

static void let_go(void)
{
	(void)pthread_mutex_lock(&hold.lock);
	hold.ended = true;
	(void)pthread_cond_broadcast(&hold.free);
	(void)pthread_mutex_unlock(&hold.lock);
}

int smtp_resolver_new(struct smtp_resolver **out, struct smtp_loop *loop,
		      const struct smtp_resolver_options *options, char problem[SMTP_RESOLVER_PROBLEM_MAX])
{
	(void)loop;
	(void)options;
	(void)problem;
	*out = NULL;
	return 0;
}

void smtp_resolver_free(struct smtp_resolver *resolver)
{
	(void)resolver;
}

int smtp_resolver_mx(struct smtp_resolver *resolver, const char *domain,
		     void (*done)(void *user, const struct smtp_mx_answer *), void *user,
		     struct smtp_dns_query **query)
{
	struct smtp_dns_query *q = ask(domain, user, query);

	(void)resolver;
	q->is_mx = true;
	q->mx = done;
	return 0;
}

int smtp_resolver_host(struct smtp_resolver *resolver, const char *host,
		       void (*done)(void *user, const struct smtp_host_answer *), void *user,
		       struct smtp_dns_query **query)
{
	(void)resolver;
	ask(host, user, query)->host = done;
	if (hold.wanted)
		hold_workers();
	return 0;
}

void smtp_dns_query_cancel(struct smtp_dns_query *query)
{
	query->cancelled = true;
}

/* ---- set up ---- */

static struct server *servers[2]; /* 127.0.0.1 and 127.0.0.2, one port */

static void start(const struct script_row *first, const struct script_row *second)
{
	servers[0] = server_start("127.0.0.1", 0, first);
	for (int i = 0; second && i < 50; i++) {
		servers[1] = server_start("127.0.0.2", servers[0]->port, second);
		if (servers[1])
			break;
		server_stop(servers[0]);
		servers[0] = server_start("127.0.0.1", 0, first);
	}
	ck_assert(!second || servers[1]);
	world.queue->relay->mx_port = (uint16_t)servers[0]->port;
}

static void start_url(const char *scheme, const struct script_row *script)
{
	servers[0] = server_start("127.0.0.1", 0, script);
	(void)snprintf(world.relay_default, sizeof world.relay_default, "%s127.0.0.1:%u", scheme,
		       servers[0]->port);
}

static void teardown(void)
{
	world_teardown();
	for (size_t i = 0; i < 2; i++) {
		server_stop(servers[i]);
		servers[i] = NULL;
	}
}

static bool is_settled(void)
{
	return world_events("delivery.done") + world_events("delivery.defer") +
		       world_events("delivery.fail") > 0 && world_is_quiet();
}

static bool is_held(void)
{
	return world_events("queue.hold") > 0 && world_is_quiet();
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		n++;
	return n;
}

static const struct script_row friendly[] = { { NULL, NULL, 0 } };

/* ---- one transaction ---- */

START_TEST(message_goes_out_whole)
{
	const char *text;

	start_url("smtp://", friendly);
	(void)world_mail(&(struct mail){ .from = "a@here.test", .to = { "x@one.test", "y@two.test" },
					 .content = "Subject: x\r\n\r\n.dot\r\nend\r\n" });
	ck_assert(world_waits(world_is_empty));
	world_settles();
	ck_assert_uint_eq(world_events("delivery.done"), 2);
	ck_assert_ptr_nonnull(strstr(world_event_text("delivery.done"), "|reply=250 2.0.0 taken|"));
	ck_assert_ptr_nonnull(strstr(world_event_text("delivery.done"), "|host=127.0.0.1|peer=127.0.0.1:"));
	ck_assert_uint_eq(world_spooled(), 0);
	text = server_text(servers[0]);
	ck_assert_ptr_nonnull(strstr(text, "EHLO mail.here.test\nMAIL FROM:<a@here.test>"));
	ck_assert_ptr_nonnull(strstr(text, "\nRCPT TO:<x@one.test>\nRCPT TO:<y@two.test>\nDATA\n"
				     "Received: by test\nSubject: x\n\n..dot\nend\n.\n"));
	/* one next hop, one transaction */
	ck_assert_uint_eq(server_count(servers[0], &servers[0]->messages), 1);
}
END_TEST

static bool has_two_events(void)
{
	return world.event_count >= 2 && world_is_quiet();
}

/* What one server's script does to one message. */
static const struct {
	const char *name;
	struct script_row script[4];
	const char *event, *text; /* in the last such event */
	size_t reports;
	const char *status;
} outcomes[] = {
	{ "4yz to MAIL", { { "MAIL", "451 4.3.0 later", 0 } },
	  "delivery.defer", "reply=451 4.3.0 later|", 0, NULL },
	{ "4yz to RCPT", { { "RCPT", "450 4.2.1 later", 0 } },
	  "delivery.defer", "reply=450 4.2.1 later|", 0, NULL },
	{ "4yz to DATA", { { "DATA", "451 no", 0 } }, "delivery.defer", "reply=451 no|", 0, NULL },
	{ "4yz at the end", { { ".", "452 4.3.1 full", 0 } },
	  "delivery.defer", "reply=452 4.3.1", 0, NULL },
	{ "too many recipients", { { "RCPT", "552 too many", 0 } },
	  "delivery.defer", "reply=552 ", 0, NULL },
	{ "mailbox full", { { "RCPT", "552 5.2.2 full", 0 } },
	  "delivery.fail", "reply=552 ", 1, "5.2.2" },
	{ "5yz to MAIL", { { "MAIL", "550 5.7.1 no", 0 } },
	  "delivery.fail", "reply=550 5.7.1 no|", 1, "5.7.1" },
	{ "5yz to RCPT", { { "RCPT", "550 5.1.1 who", 0 } },
	  "delivery.fail", "reply=550 5.1.1 who|", 1, "5.1.1" },
	{ "5yz to DATA", { { "DATA", "554 no", 0 } },
	  "delivery.fail", "reply=554 no|", 1, "5.0.0" },
	{ "5yz at the end", { { ".", "554 5.6.0 bad", 0 } },
	  "delivery.fail", "reply=554 5.6.0 bad|", 1, "5.6.0" },
	{ "421 greeting", { { "", "421 4.3.2 busy", 0 } },
	  "delivery.defer", "reply=421 ", 0, NULL },
	{ "5yz greeting", { { "", "554 5.7.1 no", 0 } },
	  "delivery.fail", "reply=554 ", 1, "5.7.1" },
	{ "5yz to EHLO and HELO", { { "EHLO", "550 no", 0 }, { "HELO", "550 no", 0 } },
	  "delivery.fail",
	  "reply=550 no|", 1, "5.0.0" },
	{ "421 to RCPT", { { "RCPT", "421 4.3.2 bye", 0 } },
	  "delivery.defer", "reply=421 ", 0, NULL },
	{ "lost at once", { { "", "CLOSE", 0 } }, "delivery.defer", "reason=4.", 0, NULL },
	{ "lost at MAIL", { { "MAIL", "CLOSE", 0 } }, "delivery.defer", "reason=4.4.2 ", 0, NULL },
	{ "silence at the end", { { ".", "CLOSE", 0 } },
	  "delivery.defer", "reason=4.4.2 ", 0, NULL },
	{ "no sense", { { "MAIL", "hello", 0 } }, "delivery.defer", "reason=4.5.0 ", 0, NULL },
	{ "too large", { { "EHLO", "250-x\r\n250 SIZE 20", 0 }, { "MAIL", "250 ok", 0 } },
	  "delivery.fail",
	  "5.3.4", 1, "5.3.4" },
	{ "HELO only", { { "EHLO", "502 what", 0 } }, "delivery.done", "reply=250 ", 0, NULL },
	{ "TLS fails, clear goes", { { "EHLO", "250-x\r\n250 STARTTLS", 0 },
				     { "STARTTLS", "220 go\r\nthis is no TLS at all", 0 } },
	  "delivery.done", "reply=250 ", 0, NULL },
	{ "TLS refused", { { "EHLO", "250-x\r\n250 STARTTLS", 0 }, { "STARTTLS", "454 4.7.0 no", 0 } }
	  ,
	  "delivery.done", "reply=250 ", 0, NULL },
};

START_TEST(outcome)
{
	const char *text;

	start_url("smtp://", outcomes[_i].script);
	(void)world_mail(&(struct mail){ .from = "alice@here.test", .to = { "x@one.test" } });
	ck_assert_msg(world_waits(is_settled), "%s", outcomes[_i].name);
	if (outcomes[_i].reports > 0)
		ck_assert(world_waits(has_two_events) && world_waits(world_is_quiet));
	world_settles();
	text = world_event_text(outcomes[_i].event);
	ck_assert_msg(strstr(text, outcomes[_i].text), "%s: %s", outcomes[_i].name, text);
	ck_assert_msg(world_maildir_count("alice") == outcomes[_i].reports, "%s", outcomes[_i].name);
	ck_assert_uint_eq(world_spooled(), strcmp(outcomes[_i].event, "delivery.defer") == 0);
	if (outcomes[_i].status) {
		char status[32];

		(void)snprintf(status, sizeof status, "Status: %s\n", outcomes[_i].status);
		text = world_maildir_text("alice");
		ck_assert_msg(strstr(text, status), "%s: %s", outcomes[_i].name, text);
	}
}
END_TEST

START_TEST(recipients_are_settled_one_by_one)
{
	static const struct script_row script[] = { { "RCPT TO:<bad", "550 5.1.1 who", 0 },
						    { "RCPT TO:<slow", "450 4.2.0 later", 0 },
						    { NULL, NULL, 0 } };
	struct smtp_queue_entry *entry;
	char id[SMTP_QUEUE_ID_MAX + 1];

	start_url("smtp://", script);
	(void)snprintf(id, sizeof id, "%s", world_mail(&(struct mail){
		.from = "alice@here.test", .to = { "good@one.test", "bad@one.test", "slow@one.test",
						   "bob@here.test" } }));
	ck_assert(world_waits(is_settled));
	world_settles();
	ck_assert_uint_eq(world_events("delivery.done"), 3); /* and the report */
	ck_assert_uint_eq(world_events("delivery.fail"), 1);
	ck_assert_uint_eq(world_events("delivery.defer"), 1);
	ck_assert_uint_eq(world_maildir_count("alice"), 1);
	ck_assert_uint_eq(world_maildir_count("bob"), 1);
	ck_assert_int_eq(smtp_spool_load(world.spool, id, &entry), 0);
	ck_assert_int_eq(entry->recipients[0].state, SMTP_RECIPIENT_DELIVERED);
	ck_assert_int_eq(entry->recipients[1].state, SMTP_RECIPIENT_BOUNCED);
	ck_assert_int_eq(entry->recipients[2].state, SMTP_RECIPIENT_QUEUED);
	ck_assert_str_eq(entry->recipients[2].last_reply, "450 4.2.0 later");
	ck_assert_str_eq(entry->recipients[2].last_host, "127.0.0.1");
	ck_assert_int_eq(entry->recipients[3].state, SMTP_RECIPIENT_DELIVERED);
	smtp_queue_entry_free(entry);
}
END_TEST

static bool server_waits(void)
{
	return server_count(servers[0], &servers[0]->waiting) > 0;
}

static char waiting_id[SMTP_QUEUE_ID_MAX + 1];

static bool bob_is_recorded(void)
{
	struct smtp_queue_entry *entry;
	bool done;

	ck_assert_int_eq(smtp_spool_load(world.spool, waiting_id, &entry), 0);
	done = entry->recipients[1].state == SMTP_RECIPIENT_DELIVERED;
	smtp_queue_entry_free(entry);
	return done;
}

/* A slow host holds neither the record of what is delivered nor other mail. */
START_TEST(slow_host_holds_nothing_else)
{
	static const struct script_row script[] = { { ".", "WAIT", 0 }, { NULL, NULL, 0 } };

	start_url("smtp://", script);
	(void)snprintf(waiting_id, sizeof waiting_id, "%s", world_mail(&(struct mail){
		.from = "a@b.test", .to = { "x@one.test", "bob@here.test" } }));
	ck_assert(world_waits(server_waits));
	ck_assert(world_waits(bob_is_recorded));
	for (int i = 0; i < 60; i++)
		(void)world_mail(&(struct mail){ .from = "a@b.test", .to = { "carol@here.test" } });
	while (world_maildir_count("carol") < 60)
		ck_assert(world_waits(server_waits));
	server_release(servers[0]);
	ck_assert(world_waits(world_is_empty));
	ck_assert_uint_eq(world_maildir_count("bob"), 1);
	ck_assert_uint_eq(server_count(servers[0], &servers[0]->messages), 1);
}
END_TEST

static bool target_is_recorded(void)
{
	struct smtp_queue_entry *entry;
	bool done;

	ck_assert_int_eq(smtp_spool_load(world.spool, waiting_id, &entry), 0);
	done = entry->recipients[0].targets && strcmp(entry->recipients[0].targets, "y@m2.test\n") == 0;
	smtp_queue_entry_free(entry);
	return done;
}

/* The address became an alias of two, and the host of one is slow: what the other host took is recorded
 * meanwhile, so it is not sent there again after a crash. */
START_TEST(target_is_recorded_before_its_alias_is_done)
{
	static const struct script_row script[] = { { ".", "WAIT", 0 }, { NULL, NULL, 0 } };
	static const struct fake_address addresses[] = {
		{ "team@here.test", SMTP_RESOLVE_LOCAL, { "x@m1.test", "y@m2.test" } },
		{ NULL, 0, { NULL } },
	};

	world.addresses = addresses;
	start(script, friendly);
	(void)snprintf(waiting_id, sizeof waiting_id, "%s", world_mail(&(struct mail){
		.from = "a@b.test", .to = { "team@here.test" } }));
	ck_assert(world_waits(server_waits));
	ck_assert(world_waits(target_is_recorded));
	world_restart();
	world.queue->relay->mx_port = (uint16_t)servers[0]->port;
	server_release(servers[0]);
	ck_assert(world_waits(world_is_empty));
	ck_assert_uint_eq(server_count(servers[1], &servers[1]->messages), 1);
}
END_TEST

/* ---- hosts ---- */

static const struct {
	const char *name, *to;
	struct script_row first[2], second[2];
	const char *event, *text;
} hops[] = {
	{ "best host", "x@two.test", { { NULL, NULL, 0 } }, { { NULL, NULL, 0 } }, "delivery.done",
	  "host=m1.test|" },
	{ "first refuses", "x@two.test", { { "", "554 no", 0 } }, { { NULL, NULL, 0 } }, "delivery.done",
	  "host=m2.test|" },
	{ "first is busy", "x@two.test", { { "", "421 busy", 0 } }, { { NULL, NULL, 0 } }, "delivery.done",
	  "host=m2.test|" },
	{ "both refuse", "x@two.test", { { "", "554 no", 0 } }, { { "", "550 never", 0 } },
	  "delivery.fail", "reply=550 never|" },
	{ "one is busy", "x@two.test", { { "", "421 busy", 0 } }, { { "", "550 never", 0 } },
	  "delivery.defer", "reply=421 busy|" },
	{ "one is not there", "x@dead.test", { { "", "554 no", 0 } }, { { NULL, NULL, 0 } },
	  "delivery.defer", "reason=4.4.1 " },
	{ "implicit MX", "x@implicit.test", { { NULL, NULL, 0 } }, { { NULL, NULL, 0 } }, "delivery.done",
	  "host=implicit.test|" },
	{ "null MX", "x@null.test", { { NULL, NULL, 0 } }, { { NULL, NULL, 0 } }, "delivery.fail",
	  "reason=5.1.10 " },
	{ "no domain", "x@none.test", { { NULL, NULL, 0 } }, { { NULL, NULL, 0 } }, "delivery.fail",
	  "reason=5.1.2 " },
	{ "DNS is down", "x@down.test", { { NULL, NULL, 0 } }, { { NULL, NULL, 0 } }, "delivery.defer",
	  "reason=4.4.3 " },
	{ "loop", "x@loops.test", { { NULL, NULL, 0 } }, { { NULL, NULL, 0 } }, "delivery.fail",
	  "reason=5.4.6 " },
	{ "MX without address", "x@noaddr.test", { { NULL, NULL, 0 } }, { { NULL, NULL, 0 } },
	  "delivery.fail", "reason=5.4.4 " },
};

START_TEST(next_hop)
{
	const char *text;

	start(hops[_i].first, hops[_i].second);
	(void)world_mail(&(struct mail){ .from = "alice@here.test", .to = { hops[_i].to } });
	ck_assert_msg(world_waits(is_settled), "%s", hops[_i].name);
	world_settles();
	text = world_event_text(hops[_i].event);
	if (strcmp(hops[_i].event, "delivery.fail") != 0)
		ck_assert_uint_eq(world_events("delivery.fail"), 0);
	ck_assert_msg(strstr(text, hops[_i].text), "%s: %s", hops[_i].name, text);
}
END_TEST

START_TEST(routes_of_the_configuration)
{
	char domain[] = "routed.test", url[64];

	start(friendly, NULL);
	(void)snprintf(url, sizeof url, "smtp://127.0.0.1:%u", servers[0]->port);
	world.config.routes[0] = (struct config_route){ domain, url };
	world.config.route_count = 1;
	(void)world_mail(&(struct mail){ .from = "a@here.test", .to = { "x@routed.test", "y@none.test" } });
	ck_assert(world_waits(is_settled));
	world_settles();
	ck_assert_uint_eq(count(server_text(servers[0]), "RCPT TO:<x@routed.test>"), 1);
	ck_assert_ptr_nonnull(strstr(world_event_text("delivery.fail"), "to=y@none.test"));
}
END_TEST

/* ---- TLS and logins that have to be ---- */

static void write_password(void)
{
	FILE *f;

	(void)snprintf(world.password_file, sizeof world.password_file, "%s/secret", world.directory);
	f = fopen(world.password_file, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_gt(fputs("hush\n", f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static const struct { const char *scheme, *text; } required[] = {
	{ "smtp+starttls://", "reason=4.7.5 " },
	{ "smtp://joe@", "reason=4.7.5 " },
	{ "smtps://", "reason=4." },
};

START_TEST(nothing_is_sent_in_clear)
{
	write_password();
	queue_set_config(world.queue, &world.config);
	start_url(required[_i].scheme, friendly);
	(void)world_mail(&(struct mail){ .from = "a@here.test", .to = { "x@one.test" } });
	ck_assert(world_waits(is_settled));
	ck_assert_msg(strstr(world_event_text("delivery.defer"), required[_i].text), "%s",
		      world_event_text("delivery.defer"));
	ck_assert_uint_eq(count(server_text(servers[0]), "MAIL"), 0);
	ck_assert_uint_eq(count(server_text(servers[0]), "AUTH"), 0);
}
END_TEST

/* "joe" and "hush", after TLS with a certificate that is trusted, or is not. */
static const struct {
	const char *name, *script;
	bool is_trusted;
	const char *event, *text;
} logins[] = {
	{ "taken", "S 220 x\nC EHLO\nS 250-x\nS 250 STARTTLS\nC STARTTLS\nS 220 go\nT\nC EHLO\nS 250-x\n"
		   "S 250 AUTH PLAIN\nC AUTH PLAIN AGpvZQBodXNo\nS 235 2.7.0 hello\n"
		   "C MAIL FROM:<a@here.test>\n"
		   "S 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nD\nS 250 2.0.0 taken\n"
		   "W",
	  true, "delivery.done", "reply=250 2.0.0 taken|" },
	{ "refused", "S 220 x\nC EHLO\nS 250-x\nS 250 STARTTLS\nC STARTTLS\nS 220 go\nT\nC EHLO\nS 250-x\n"
		     "S 250 AUTH PLAIN\nC AUTH\nS 535 5.7.8 who\nW", true, "delivery.defer",
	  "reply=535 5.7.8 who|" },
	{ "not trusted", "S 220 x\nC EHLO\nS 250-x\nS 250 STARTTLS\nC STARTTLS\nS 220 go\nT\nW", false,
	  "delivery.defer", "reason=4.7.5 " },
};

START_TEST(login)
{
	const char *scripts[] = { logins[_i].script, NULL };
	struct certificate_files files;
	struct scripted_server *server;

	certificate_make(&files, "IP:127.0.0.1", NULL);
	if (logins[_i].is_trusted)
		ck_assert_int_eq(setenv("SSL_CERT_FILE", files.certificate, 1), 0);
	write_password();
	world_restart();
	server = scripted_server_start(scripts, files.certificate, files.key);
	(void)snprintf(world.relay_default, sizeof world.relay_default, "smtp://joe@127.0.0.1:%u",
		       scripted_server_port(server));
	(void)world_mail(&(struct mail){ .from = "a@here.test", .to = { "x@one.test" } });
	ck_assert_msg(world_waits(is_settled), "%s", logins[_i].name);
	ck_assert_msg(strstr(world_event_text(logins[_i].event), logins[_i].text), "%s: %s",
		      logins[_i].name, world.events[0].text);
	world_restart(); /* closes the connection that is kept for more */
	scripted_server_free(server);
	certificate_remove(&files);
}
END_TEST

START_TEST(login_without_password_waits)
{
	start_url("smtp://joe@", friendly);
	(void)world_mail(&(struct mail){ .from = "a@here.test", .to = { "x@one.test" } });
	ck_assert(world_waits(is_settled));
	ck_assert_ptr_nonnull(strstr(world_event_text("delivery.defer"), "4.3.5 relay.password_file"));
	ck_assert_uint_eq(server_count(servers[0], &servers[0]->connections), 0);
}
END_TEST

static const char *const large[] = { "x@one.test", "bob@here.test" };

static _Atomic unsigned seen_calls;

static int fail_open(enum storage_call call)
{
	if (call != STORAGE_OPEN)
		return 0;
	seen_calls++;
	return EIO;
}

static void break_disk(void)
{
	seen_calls = 0;
	atomic_store(&storage_fault, fail_open);
}

static bool files_failed(void)
{
	return seen_calls > 0;
}

static bool is_held_and_alone(void)
{
	return hold.begun && world.queue->relay->session_count == 0;
}

enum { TARPIT_MESSAGES = QUEUE_ATTEMPTS_MAX + 60 };

START_TEST(damaged_content_is_not_sent)
{
	char id[SMTP_QUEUE_ID_MAX + 1];

	start_url("smtp://", friendly);
	(void)snprintf(id, sizeof id, "%s", world_spool(&(struct mail){ .from = "a@here.test",
									.to = { "x@one.test" } }));
	world_damage(id, 12, SEEK_SET);
	queue_accepted(world.queue, id);
	ck_assert(world_waits(is_held));
	ck_assert_uint_eq(world_files("spool/corrupt"), 1);
	ck_assert_uint_eq(queue_count(world.queue).messages, 0);
	ck_assert_uint_eq(server_count(servers[0], &servers[0]->messages), 0);
}
END_TEST

/* Too large to be looked at before it is sent whole. */
START_TEST(damaged_large_content_is_not_sent)
{
	static char content[400001];
	char id[SMTP_QUEUE_ID_MAX + 1];

	start_url("smtp://", friendly);
	for (size_t i = 0; i < 400000; i++)
		content[i] = i % 80 == 78 ? '\r' : i % 80 == 79 ? '\n' : 'x';
	(void)snprintf(id, sizeof id, "%s", world_spool(&(struct mail){
		.from = "a@here.test", .to = { large[_i] }, .content = content }));
	world_damage(id, 390000, SEEK_SET);
	queue_accepted(world.queue, id);
	ck_assert(world_waits(is_held));
	ck_assert_uint_eq(world_files("spool/corrupt"), 1);
	ck_assert_uint_eq(queue_count(world.queue).messages, 0);
	ck_assert_uint_eq(server_count(servers[0], &servers[0]->messages), 0);
	ck_assert_uint_eq(world_maildir_count("bob"), 0);
	ck_assert_uint_eq(world_events("queue.hold"), 1);
}
END_TEST

/* A disk that can't be read now: the mail is tried by the schedule, not every few seconds for ever. */
START_TEST(unreadable_content_waits_its_time)
{
	struct smtp_queue_entry *entry;
	char id[SMTP_QUEUE_ID_MAX + 1];

	start_url("smtp://", friendly);
	world.queue->hiccup_ms = 100;
	world_settles(); /* the listing of the start is over: what fails is the attempt */
	world.on_question = break_disk;
	(void)snprintf(id, sizeof id, "%s", world_mail(&(struct mail){ .from = "a@here.test",
								       .to = { large[_i] } }));
	ck_assert(world_waits(files_failed));
	atomic_store(&storage_fault, NULL);
	ck_assert(world_waits(is_settled));
	ck_assert_uint_eq(world_events("delivery.defer"), 1);
	ck_assert_ptr_nonnull(strstr(world_event_text("delivery.defer"), "reason=4.3.0 "));
	ck_assert_int_eq(smtp_spool_load(world.spool, id, &entry), 0);
	ck_assert_int_eq(entry->recipients[0].attempts, 1);
	smtp_queue_entry_free(entry);
}
END_TEST

static int fill_disk(enum storage_call call)
{
	seen_calls += call == STORAGE_WRITE;
	return call == STORAGE_WRITE ? ENOSPC : 0;
}

static bool writes_failed_often(void)
{
	return seen_calls >= 5;
}

/* What came of it can't be written down: the attempt waits until it can, sends nothing twice, and says so
 * once, however often it tries. */
START_TEST(stuck_attempt_is_told_once)
{
	static const struct script_row script[] = { { "RCPT", "450 4.2.0 later", 0 }, { NULL, NULL, 0 } };

	start_url("smtp://", script);
	world.queue->hiccup_ms = 20;
	(void)snprintf(waiting_id, sizeof waiting_id, "%s", world_spool(&(struct mail){
		.from = "a@here.test", .to = { "x@one.test" } }));
	seen_calls = 0;
	atomic_store(&storage_fault, fill_disk);
	queue_accepted(world.queue, waiting_id);
	ck_assert(world_waits(writes_failed_often));
	ck_assert_uint_eq(world_events("queue.hold"), 1);
	ck_assert_uint_eq(world_events("delivery.defer"), 0);
	atomic_store(&storage_fault, NULL);
	ck_assert(world_waits(is_settled));
	ck_assert_uint_eq(world_events("queue.hold"), 1);
	ck_assert_uint_eq(world_events("delivery.defer"), 1);
	ck_assert_uint_eq(count(server_text(servers[0]), "RCPT TO"), 1);
}
END_TEST

static int count_syncs(enum storage_call call)
{
	seen_calls += call == STORAGE_SYNC;
	return 0;
}

/* A host that took it would get it twice if the message came back after a loss of power. */
START_TEST(relayed_is_gone_for_good)
{
	char id[SMTP_QUEUE_ID_MAX + 1];

	start_url("smtp://", friendly);
	(void)snprintf(id, sizeof id, "%s", world_spool(&(struct mail){ .from = "a@here.test",
									.to = { "x@one.test" } }));
	seen_calls = 0;
	atomic_store(&storage_fault, count_syncs);
	queue_accepted(world.queue, id);
	ck_assert(world_waits(is_settled));
	atomic_store(&storage_fault, NULL);
	ck_assert_uint_eq(world_events("delivery.done"), 1);
	ck_assert_uint_eq(seen_calls, 1);
}
END_TEST

/* The host goes away between its EHLO reply and the end of loading: an outcome, not an endless loop. */
START_TEST(connection_lost_while_loading)
{
	static const char *const scripts[] = {
		"S 220 x\nC EHLO\nS 250 x\n",
		"S 220 x\nC EHLO\nS 250 x\nC MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nD\n"
		"S 250 2.0.0 taken\nW", NULL };
	struct scripted_server *server = scripted_server_start(scripts, NULL, NULL);

	(void)snprintf(world.relay_default, sizeof world.relay_default, "smtp://127.0.0.1:%u",
		       scripted_server_port(server));
	hold.wanted = true;
	(void)world_mail(&(struct mail){ .from = "a@here.test", .to = { "x@one.test" } });
	ck_assert(world_waits(is_held_and_alone));
	let_go();
	ck_assert(world_waits(is_settled));
	ck_assert_uint_eq(world_events("delivery.defer"), 1);
	ck_assert_uint_eq(world_events("delivery.done"), 0);
	ck_assert_ptr_nonnull(strstr(world_event_text("delivery.defer"), "reason=4.4.2 "));
	world_restart();
	scripted_server_free(server);
}
END_TEST

/* ---- many ---- */

static bool bob_has_mail(void)
{
	return world_maildir_count("bob") > 0;
}

static bool all_are_looked_at(void)
{
	return world.questions >= TARPIT_MESSAGES;
}

/* A host that accepts and never speaks. */
START_TEST(tarpit_holds_up_no_local_mail)
{
	static const struct script_row script[] = { { "", "WAIT", 0 }, { NULL, NULL, 0 } };
	uint64_t begun_ms;

	start_url("smtp://", script);
	for (int i = 0; i < TARPIT_MESSAGES; i++)
		(void)world_mail(&(struct mail){ .from = "a@here.test", .to = { "x@one.test" } });
	(void)world_waits(all_are_looked_at);
	(void)world_mail(&(struct mail){ .from = "a@b.test", .to = { "bob@here.test" } });
	begun_ms = smtp_loop_now_ms(world.loop);
	ck_assert(world_waits(bob_has_mail));
	ck_assert_uint_le(smtp_loop_now_ms(world.loop) - begun_ms, 3000);
	ck_assert_uint_le(world.queue->relay->waiting, RELAY_LINE_MAX);
	ck_assert_uint_eq(world_events("queue.hold"), 0);
	ck_assert_uint_eq(world_spooled(), TARPIT_MESSAGES);
}
END_TEST

/* More than a line holds: what has to come again does, and goes out once. */
START_TEST(crowd_goes_out_in_turns)
{
	enum { CROWD = RELAY_LINE_MAX + 200 };

	start_url("smtp://", friendly);
	for (int i = 0; i < CROWD; i++)
		(void)world_mail(&(struct mail){ .from = "a@here.test", .to = { "x@one.test" } });
	ck_assert(world_waits(world_is_empty) && world_waits(world_is_empty));
	ck_assert_uint_eq(server_count(servers[0], &servers[0]->messages), CROWD);
}
END_TEST

START_TEST(connections_are_used_again)
{
	start_url("smtp://", friendly);
	for (int i = 0; i < 150; i++)
		(void)world_mail(&(struct mail){ .from = "a@here.test", .to = { "x@one.test" } });
	ck_assert(world_waits(world_is_empty) && world_waits(world_is_empty));
	world_settles();
	ck_assert_uint_eq(server_count(servers[0], &servers[0]->messages), 150);
	ck_assert_uint_le(server_count(servers[0], &servers[0]->connections), 60);
	ck_assert_uint_eq(count(server_text(servers[0]), "MAIL FROM"), 150);
}
END_TEST

START_TEST(connection_closed_while_idle)
{
	static const struct script_row script[] = { { "MAIL", "CLOSE", 2 }, { NULL, NULL, 0 } };

	start_url("smtp://", script);
	for (int i = 0; i < 2; i++) {
		(void)world_mail(&(struct mail){ .from = "a@here.test", .to = { "x@one.test" } });
		ck_assert(world_waits(is_settled));
		ck_assert(world_waits(world_is_empty));
	}
	ck_assert_uint_eq(world_events("delivery.done"), 2);
	ck_assert_uint_eq(world_events("delivery.defer"), 0);
	ck_assert_uint_eq(server_count(servers[0], &servers[0]->messages), 2);
	ck_assert_uint_eq(server_count(servers[0], &servers[0]->connections), 2);
}
END_TEST

static bool fifty_are_deferred(void)
{
	return world_events("delivery.defer") >= 50 && world_is_quiet();
}

/* Nobody listens: each of the messages learns it, few connections are tried. */
START_TEST(dead_hop_answers_for_all_that_wait)
{
	unsigned port;
	int fd = server_listen("127.0.0.1", 0, &port);

	ck_assert_int_eq(close(fd), 0);
	(void)snprintf(world.relay_default, sizeof world.relay_default, "smtp://127.0.0.1:%u", port);
	for (int i = 0; i < 50; i++)
		(void)world_mail(&(struct mail){ .from = "a@here.test", .to = { "x@one.test" } });
	ck_assert(world_waits(fifty_are_deferred));
	ck_assert_ptr_nonnull(strstr(world_event_text("delivery.defer"), "reason=4.4.1 "));
	ck_assert_uint_eq(world_spooled(), 50);
}
END_TEST

static bool drained;

static void on_drained(void *user)
{
	(void)user;
	drained = true;
}

static bool is_drained(void)
{
	return drained;
}

START_TEST(drain_waits_for_the_transaction)
{
	static const struct script_row script[] = { { ".", "WAIT", 0 }, { NULL, NULL, 0 } };

	start_url("smtp://", script);
	(void)world_mail(&(struct mail){ .from = "a@b.test", .to = { "x@one.test" } });
	ck_assert(world_waits(server_waits));
	drained = false;
	queue_drain(world.queue, 10000, on_drained, NULL);
	(void)world_mail(&(struct mail){ .from = "a@b.test", .to = { "y@one.test" } });
	ck_assert(world_waits(server_waits));
	ck_assert(!drained);
	server_release(servers[0]);
	ck_assert(world_waits(is_drained));
	ck_assert_uint_eq(world_events("delivery.done"), 1);
	ck_assert_uint_eq(world_spooled(), 1);
}
END_TEST

START_TEST(free_in_the_midst)
{
	static const struct script_row script[] = { { ".", "WAIT", 0 }, { NULL, NULL, 0 } };

	start_url("smtp://", script);
	for (int i = 0; i < 30; i++)
		(void)world_mail(&(struct mail){ .from = "a@b.test", .to = { "x@one.test" } });
	ck_assert(world_waits(server_waits));
	world_restart();
	server_release(servers[0]);
	ck_assert(world_waits(world_is_empty));
	ck_assert_uint_eq(world_spooled(), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("relay");
	TCase *tc = tcase_create("relay");

	tcase_set_timeout(tc, 60);
	tcase_add_unchecked_fixture(tc, world_make, world_unmake);
	tcase_add_checked_fixture(tc, world_setup, teardown);
	tcase_add_test(tc, message_goes_out_whole);
	tcase_add_loop_test(tc, outcome, 0, ROWS(outcomes));
	tcase_add_test(tc, recipients_are_settled_one_by_one);
	tcase_add_test(tc, slow_host_holds_nothing_else);
	tcase_add_test(tc, target_is_recorded_before_its_alias_is_done);
	tcase_add_loop_test(tc, next_hop, 0, ROWS(hops));
	tcase_add_test(tc, routes_of_the_configuration);
	tcase_add_loop_test(tc, nothing_is_sent_in_clear, 0, ROWS(required));
	tcase_add_loop_test(tc, login, 0, ROWS(logins));
	tcase_add_test(tc, damaged_content_is_not_sent);
	tcase_add_loop_test(tc, damaged_large_content_is_not_sent, 0, ROWS(large));
	tcase_add_loop_test(tc, unreadable_content_waits_its_time, 0, ROWS(large));
	tcase_add_test(tc, stuck_attempt_is_told_once);
	tcase_add_test(tc, relayed_is_gone_for_good);
	tcase_add_test(tc, connection_lost_while_loading);
	tcase_add_test(tc, tarpit_holds_up_no_local_mail);
	tcase_add_test(tc, crowd_goes_out_in_turns);
	tcase_add_test(tc, login_without_password_waits);
	tcase_add_test(tc, connections_are_used_again);
	tcase_add_test(tc, connection_closed_while_idle);
	tcase_add_test(tc, dead_hop_answers_for_all_that_wait);
	tcase_add_test(tc, drain_waits_for_the_transaction);
	tcase_add_test(tc, free_in_the_midst);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
