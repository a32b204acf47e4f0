/* SPDX-License-Identifier: ISC */
/* A gateway: checks in front, then each message goes on to a submission server while it comes in.
 *
 * Each session has an upstream connection of its own. RCPT is asked there with a raw command, so that the
 * client hears the upstream's answer; at DATA the transaction begins anew with the recipients that were
 * taken. From then on a thread sends what the session's functions hand it, run by run: neither end gets
 * ahead of the other, no more than one run is in memory. When the client is lost, the upstream connection
 * is cut within the message, which is then not taken; when the upstream is lost, the client hears 451.
 */
#include <getopt.h>
#include <smtp/smtp.h>
#include <unistd.h>
#include "common.h"

enum { RECIPIENTS_MAX = 100, DOMAINS_MAX = 100, LINE_MAX_HERE = 1200, FIELDS_MAX = 65536 };

static struct {
	const char *listen, *upstream, *hostname, *ca_file;
	const char *domains[DOMAINS_MAX + 1];
	size_t domain_count;
	uint32_t per_minute;
	struct smtp_client_options client;
	char user[256], password[1024];
} settings = { .listen = "127.0.0.1:2525", .hostname = "localhost", .per_minute = 60 };

enum progress { IDLE, STARTED, WANTS, FED, ENDED, ABORTED, DONE };

/* One session. While the thread runs, `lock` guards what both look at. */
struct relay {
	struct smtp_client *client; /* NULL: not connected */
	struct smtp_path from, to[RECIPIENTS_MAX];
	size_t count;
	enum smtp_body_kind body;
	uint64_t size_bytes;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum progress progress;
	struct smtp_span run; /* what is to be sent next: fields on top, then content */
	uint8_t fields[FIELDS_MAX];
	size_t fields_n;
	unsigned code;        /* the upstream's answer in the end */
	struct smtp_enhanced_code enhanced;
	char text[LINE_MAX_HERE];
};

static const struct smtp_server_session_handler handler;

/* --- both sides ------------------------------------------------------------------------------- */

/* STARTED -> WANTS -> FED -> WANTS ... -> ENDED -> DONE, or ABORTED -> DONE; DONE also from anywhere. */
static void set_progress(struct relay *r, enum progress to)
{
	if (r->progress != DONE && (r->progress != ABORTED || to == DONE))
		r->progress = to;
	(void)pthread_cond_broadcast(&r->changed);
}

/* Sets where it is, unless that is IDLE, and waits until it is neither `a` nor `b`. */
static enum progress wait_while(struct relay *r, enum progress to, enum progress a, enum progress b)
{
	enum progress now;

	(void)pthread_mutex_lock(&r->lock);
	if (to != IDLE)
		set_progress(r, to);
	while (r->progress == a || r->progress == b)
		(void)pthread_cond_wait(&r->changed, &r->lock);
	now = r->progress;
	(void)pthread_mutex_unlock(&r->lock);
	return now;
}

/* --- the upstream side, in its thread --------------------------------------------------------- */

static int read_content(void *user, uint8_t *out, size_t cap, size_t *n)
{
	struct relay *r = user;
	enum progress now = FED;

	if (r->run.n == 0)
		now = wait_while(r, WANTS, WANTS, WANTS);
	if (now == ABORTED)
		return SMTP_ECANCELED; /* cuts the connection: nothing half is taken for whole */
	*n = r->run.n < cap ? r->run.n : cap;
	if (*n > 0)
		memcpy(out, r->run.p, *n);
	r->run.p += *n;
	r->run.n -= *n;
	return 0;
}

static void keep_answer(struct relay *r, const struct smtp_reply *reply)
{
	r->code = reply->code;
	r->enhanced = reply->enhanced;
	(void)snprintf(r->text, sizeof r->text, "%.*s", (int)reply->text.n,
		       reply->text.p ? (const char *)reply->text.p : "");
}

/* One answer for all: that of the first recipient that was not taken, so that nobody is forgotten. */
static void *send_upstream(void *user)
{
	struct relay *r = user;
	struct smtp_client_transaction txn = SMTP_CLIENT_TRANSACTION_INIT;
	struct smtp_client_result *results = calloc(r->count, sizeof *results);
	size_t i = 0;
	int err = SMTP_ENOMEM;

	txn.reverse_path = &r->from;
	txn.forward_paths = r->to;
	txn.forward_path_count = r->count;
	txn.body = r->body;
	txn.content_bytes = r->size_bytes > 0 ? r->size_bytes + r->fields_n : 0;
	txn.content.read = read_content;
	txn.content.user = r;
	r->code = 0;
	if (results)
		err = smtp_client_send(r->client, &txn, results);
	if (!err) {
		while (i + 1 < r->count && results[i].accepted)
			i++;
		keep_answer(r, &results[i].reply);
	}
	free(results);
	(void)pthread_mutex_lock(&r->lock);
	set_progress(r, DONE);
	(void)pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* --- the client's side: functions that may block ---------------------------------------------- */

static enum smtp_verdict say(struct smtp_server_session *session, unsigned code, const char *enhanced,
			     const char *text)
{
	struct smtp_reply reply = smtp_reply_of(code, enhanced, text);

	return smtp_server_session_reply(session, &reply) == 0 ? SMTP_REPLIED : SMTP_ACCEPT;
}

static enum smtp_verdict unavailable(struct smtp_server_session *session)
{
	return say(session, 451, "4.4.1", "the next server can't be reached, try again later");
}

/* The upstream's answer as ours; what ends its session does not end this one. */
static enum smtp_verdict pass_on(struct smtp_server_session *session, const struct smtp_reply *reply)
{
	struct smtp_reply ours = *reply;

	if (ours.code == 0 || ours.code == 421)
		return unavailable(session);
	return smtp_server_session_reply(session, &ours) == 0 ? SMTP_REPLIED : unavailable(session);
}

static struct relay **relay_of(struct smtp_server_session *session)
{
	return (struct relay **)(void *)smtp_server_session_slot(session, &handler);
}

static struct relay *relay_new(void)
{
	struct relay *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	(void)pthread_mutex_init(&r->lock, NULL);
	(void)pthread_cond_init(&r->changed, NULL);
	return r;
}

static void hang_up(struct relay *r)
{
	smtp_client_free(r->client);
	r->client = NULL;
}

/* Says one line upstream; false: the connection is lost. */
static bool ask(struct relay *r, const char *line, struct smtp_reply *reply)
{
	if (smtp_client_command(r->client, line, reply) == 0 && reply->code != 421)
		return true;
	hang_up(r);
	return false;
}

static bool ask_mail(struct relay *r, struct smtp_reply *reply)
{
	char address[SMTP_MAILBOX_TEXT_MAX + 1], line[LINE_MAX_HERE];

	(void)smtp_mailbox_format(&r->from.mailbox, address, sizeof address);
	(void)snprintf(line, sizeof line, "MAIL FROM:<%s>", address);
	return ask(r, line, reply);
}

static enum smtp_verdict on_mail(struct smtp_server_session *session,
				 const struct smtp_mail_request *request, void *user)
{
	struct relay **slot = relay_of(session);
	struct relay *r;
	struct smtp_reply reply;

	(void)user;
	if (!*slot)
		*slot = relay_new();
	r = *slot;
	if (!r)
		return say(session, 451, "4.3.0", "out of memory");
	r->from = *request->reverse_path;
	r->body = request->body;
	r->size_bytes = request->size_bytes;
	r->count = 0;
	r->progress = IDLE;
	if (r->client && ask(r, "RSET", &reply) && ask_mail(r, &reply))
		return pass_on(session, &reply);
	hang_up(r); /* the old connection may have ended meanwhile */
	if (smtp_client_connect(&r->client, settings.upstream, &settings.client) != 0) {
		fprintf(stderr, "%s\n", r->client ? smtp_client_problem(r->client) : "no memory");
		hang_up(r);
		return unavailable(session);
	}
	return ask_mail(r, &reply) ? pass_on(session, &reply) : unavailable(session);
}

static enum smtp_verdict on_rcpt(struct smtp_server_session *session,
				 const struct smtp_rcpt_request *request, void *user)
{
	struct relay *r = *relay_of(session);
	char address[SMTP_MAILBOX_TEXT_MAX + 1], line[LINE_MAX_HERE];
	struct smtp_reply reply;

	(void)user;
	if (r->count == RECIPIENTS_MAX)
		return say(session, 452, "4.5.3", "too many recipients");
	if (smtp_path_is_bare_postmaster(request->forward_path))
		return say(session, 550, "5.1.1", "there is no postmaster without a domain");
	(void)smtp_mailbox_format(&request->forward_path->mailbox, address, sizeof address);
	(void)snprintf(line, sizeof line, "RCPT TO:<%s>", address);
	if (!r->client || !ask(r, line, &reply))
		return unavailable(session);
	if (smtp_reply_is_positive(&reply))
		r->to[r->count++] = *request->forward_path;
	return pass_on(session, &reply);
}

static void join(struct relay *r)
{
	(void)pthread_join(r->thread, NULL);
	r->progress = IDLE;
	r->run.n = 0;
	if (r->code == 0)
		hang_up(r);
}

/* 354 is said only when the upstream has said it. */
static enum smtp_verdict on_data(struct smtp_server_session *session, void *user)
{
	struct relay *r = *relay_of(session);
	struct smtp_span fields = smtp_server_session_fields(session);
	struct smtp_reply reply;

	(void)user;
	if (!r->client || !ask(r, "RSET", &reply) || fields.n > sizeof r->fields)
		return unavailable(session);
	if (fields.n > 0)
		memcpy(r->fields, fields.p, fields.n);
	r->fields_n = fields.n;
	r->run = (struct smtp_span){ r->fields, 0 };
	r->progress = STARTED;
	if (pthread_create(&r->thread, NULL, send_upstream, r) != 0) {
		r->progress = IDLE;
		return say(session, 451, "4.3.0", "no thread can be started");
	}
	if (wait_while(r, IDLE, STARTED, STARTED) == WANTS) {
		r->run.n = fields.n;
		if (fields.n == 0 || wait_while(r, FED, FED, FED) == WANTS)
			return SMTP_ACCEPT;
	}
	join(r);
	reply = (struct smtp_reply){ r->code, r->enhanced, smtp_span_of(r->text) };
	return reply.code >= 400 ? pass_on(session, &reply) : unavailable(session);
}

/* Returns when the upstream has taken the run and wants the next. */
static enum smtp_verdict on_content(struct smtp_server_session *session, struct smtp_span octets,
				    void *user)
{
	struct relay *r = *relay_of(session);

	(void)user;
	r->run = octets;
	if (octets.n == 0 || wait_while(r, FED, FED, FED) == WANTS)
		return SMTP_ACCEPT;
	join(r);
	return unavailable(session);
}

static enum smtp_verdict on_end(struct smtp_server_session *session, void *user)
{
	struct relay *r = *relay_of(session);
	struct smtp_reply reply;

	(void)user;
	(void)wait_while(r, ENDED, ENDED, ENDED);
	join(r);
	reply = (struct smtp_reply){ r->code, r->enhanced, smtp_span_of(r->text) };
	return pass_on(session, &reply);
}

/* The transaction is over without its end: the client is lost, or content was refused. The thread waits for
 * content then, and must not get the end of a message that has none. */
static void on_reset(struct smtp_server_session *session, void *user)
{
	struct relay *r = *relay_of(session);

	(void)user;
	if (!r || r->progress == IDLE)
		return;
	(void)wait_while(r, ABORTED, ABORTED, ABORTED);
	join(r);
}

/* QUIT waits for its answer: not on the server's own thread. */
static void *relay_free(void *user)
{
	struct relay *r = user;

	hang_up(r);
	(void)pthread_cond_destroy(&r->changed);
	(void)pthread_mutex_destroy(&r->lock);
	free(r);
	return NULL;
}

static void on_disconnect(struct smtp_server_session *session, enum smtp_disconnect_reason reason,
			  void *user)
{
	struct relay **slot = relay_of(session);
	pthread_t thread;

	(void)reason;
	(void)user;
	if (*slot && pthread_create(&thread, NULL, relay_free, *slot) == 0)
		(void)pthread_detach(thread);
	else if (*slot)
		(void)relay_free(*slot);
	*slot = NULL;
}

static const struct smtp_server_session_handler handler = {
	.size = sizeof handler, .mail = on_mail, .rcpt = on_rcpt, .data = on_data,
	.content = on_content, .end = on_end, .reset = on_reset, .disconnect = on_disconnect
};

/* --- the program ------------------------------------------------------------------------------ */

static int add_checks(struct smtp_server *server)
{
	struct smtp_rate_limit_options rate = SMTP_RATE_LIMIT_OPTIONS_INIT;
	struct smtp_recipient_domains_options domains = SMTP_RECIPIENT_DOMAINS_OPTIONS_INIT;
	struct smtp_middleware m;
	int err;

	rate.per_minute = settings.per_minute;
	domains.domains = settings.domains;
	err = smtp_middleware_rate_limit(&m, &rate);
	if (!err)
		err = smtp_server_use(server, &m);
	if (!err)
		err = smtp_middleware_recipient_domains(&m, &domains);
	if (!err)
		err = smtp_server_use(server, &m);
	if (!err)
		err = smtp_middleware_received(&m, settings.hostname);
	return err ? err : smtp_server_use(server, &m);
}

static void *run(void *user)
{
	if (smtp_server_run(user) != 0)
		fprintf(stderr, "%s\n", smtp_server_problem(user));
	(void)kill(getpid(), SIGTERM);
	return NULL;
}

static int serve(struct smtp_server *server)
{
	struct smtp_listener_options listener = SMTP_LISTENER_OPTIONS_INIT;
	sigset_t signals = block_end_signals();
	pthread_t thread;
	uint16_t port;
	int err = add_checks(server);

	listener.address = settings.listen;
	listener.session.hostname = settings.hostname;
	listener.handler = &handler;
	listener.blocking = true;
	listener.session.extensions = SMTP_SERVER_PIPELINING | SMTP_SERVER_SIZE |
				      SMTP_SERVER_8BITMIME | SMTP_SERVER_CHUNKING |
				      SMTP_SERVER_ENHANCEDSTATUSCODES;
	if (!err)
		err = smtp_server_listen(server, &listener, &port);
	if (err || pthread_create(&thread, NULL, run, server) != 0)
		return err ? err : SMTP_ENOMEM;
	printf("port %u\n", port);
	(void)fflush(stdout);
	wait_for_end(&signals);
	smtp_server_shutdown(server, 10000);
	(void)pthread_join(thread, NULL);
	return 0;
}

static int usage(void)
{
	fprintf(stderr,
		"usage: gateway --upstream URL --domain NAME... [--listen ADDRESS:PORT] [--hostname NAME]\n"
		"       [--user NAME --password-file FILE] [--ca-file FILE] [--per-minute MESSAGES]\n");
	return 2;
}

static int set(int option, char *value)
{
	switch (option) {
	case 'l':
		settings.listen = value;
		return 0;
	case 'u':
		settings.upstream = value;
		return 0;
	case 'n':
		settings.hostname = value;
		return 0;
	case 'c':
		settings.client.ca_file = value;
		return 0;
	case 'U':
		settings.client.user = value;
		return 0;
	case 'p':
		settings.client.password = settings.password;
		return read_secret(value, settings.password, sizeof settings.password) ? 0 : 2;
	case 'm':
		settings.per_minute = (uint32_t)strtoul(value, NULL, 10);
		return 0;
	case 'd':
		if (settings.domain_count < DOMAINS_MAX)
			settings.domains[settings.domain_count++] = value;
		return 0;
	default:
		return usage();
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "upstream", required_argument, NULL, 'u' },
		{ "hostname", required_argument, NULL, 'n' },
		{ "ca-file", required_argument, NULL, 'c' },
		{ "user", required_argument, NULL, 'U' },
		{ "password-file", required_argument, NULL, 'p' },
		{ "per-minute", required_argument, NULL, 'm' },
		{ "domain", required_argument, NULL, 'd' },
		{ NULL, 0, NULL, 0 },
	};
	struct smtp_server_options server_options = SMTP_SERVER_OPTIONS_INIT;
	struct smtp_server *server = NULL;
	int c, err = 0;

	smtp_client_options_init(&settings.client);
	while (!err && (c = getopt_long(argc, argv, "", options, NULL)) != -1)
		err = set(c, optarg);
	settings.client.helo_name = settings.hostname;
	if (err || optind != argc || !settings.upstream || settings.domain_count == 0)
		return err ? err : usage();
	server_options.workers = 64; /* a session keeps one while its upstream is slow */
	err = smtp_server_new(&server, &server_options);
	if (!err)
		err = serve(server);
	if (err)
		fprintf(stderr, "%s: %s\n", smtp_error_str(err),
			server ? smtp_server_problem(server) : "");
	smtp_server_free(server);
	return err != 0;
}
