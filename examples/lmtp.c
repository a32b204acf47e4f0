/* SPDX-License-Identifier: ISC */
/* An LMTP server that delivers into Maildirs: lmtp [-a ADDRESS:PORT] [-n HOSTNAME] FOLDER
 * FOLDER/NAME is the Maildir of NAME@anything; who has no folder there is no user. Each recipient has a
 * result of its own (RFC 2033). Its functions wait for the disk, so they are declared to be blocking.
 */
#include <smtp/smtp.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "common.h"

enum { RECIPIENTS_MAX = 100, PATH_MAX_HERE = 4096 };

struct delivery {
	struct smtp_path from;
	char names[RECIPIENTS_MAX][SMTP_LOCAL_PART_MAX + 1];
	size_t count;
	unsigned number; /* of messages in this session */
	FILE *content;   /* without a name on the disk */
};

static const struct smtp_server_session_handler handler;
static const char *folder, *hostname = "localhost";

static enum smtp_verdict say(struct smtp_server_session *session, unsigned code, const char *enhanced,
			     const char *text)
{
	struct smtp_reply reply = smtp_reply_of(code, enhanced, text);

	return smtp_server_session_reply(session, &reply) == 0 ? SMTP_REPLIED : SMTP_ACCEPT;
}

static struct delivery **delivery_of(struct smtp_server_session *session)
{
	return (struct delivery **)(void *)smtp_server_session_slot(session, &handler);
}

static enum smtp_verdict on_mail(struct smtp_server_session *session,
				 const struct smtp_mail_request *request, void *user)
{
	struct delivery **d = delivery_of(session);

	(void)user;
	if (!*d)
		*d = calloc(1, sizeof **d);
	if (!*d)
		return say(session, 451, "4.3.0", "out of memory");
	(*d)->from = *request->reverse_path;
	(*d)->count = 0;
	(*d)->number++;
	return SMTP_ACCEPT;
}

static int maildir_of(const char *name, char out[PATH_MAX_HERE])
{
	int n = snprintf(out, PATH_MAX_HERE, "%s/%s", folder, name);

	return n > 0 && n < PATH_MAX_HERE && name[0] && name[0] != '.' && !strchr(name, '/');
}

static enum smtp_verdict on_rcpt(struct smtp_server_session *session,
				 const struct smtp_rcpt_request *request, void *user)
{
	struct delivery *d = *delivery_of(session);
	const char *name = request->forward_path->mailbox.local_part;
	char path[PATH_MAX_HERE];
	struct stat st;

	(void)user;
	if (!maildir_of(name, path) || stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
		return say(session, 550, "5.1.1", "no such user here");
	if (d->count == RECIPIENTS_MAX)
		return say(session, 452, "4.5.3", "too many recipients");
	(void)snprintf(d->names[d->count++], sizeof *d->names, "%s", name);
	return SMTP_ACCEPT;
}

static enum smtp_verdict on_content(struct smtp_server_session *session, struct smtp_span octets,
				    void *user)
{
	struct delivery *d = *delivery_of(session);

	(void)user;
	if (!d->content)
		d->content = tmpfile();
	if (!d->content || fwrite(octets.p, 1, octets.n, d->content) != octets.n)
		return say(session, 452, "4.3.1", "no space for the message");
	return SMTP_ACCEPT;
}

static int read_content(void *user, uint8_t *out, size_t cap, size_t *n)
{
	struct delivery *d = user;

	*n = d->content ? fread(out, 1, cap, d->content) : 0;
	return d->content && ferror(d->content) ? SMTP_EIO : 0;
}

static int deliver(struct smtp_server_session *session, struct delivery *d, size_t i)
{
	char path[PATH_MAX_HERE], unique[64], top[1024], from[SMTP_MAILBOX_TEXT_MAX + 1];
	struct smtp_maildir_message message = { .directory = path, .hostname = hostname,
						.unique = unique, .read = read_content, .user = d };
	struct timespec now = { 0 };

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)smtp_mailbox_format(&d->from.mailbox, from, sizeof from);
	(void)snprintf(unique, sizeof unique, "%s.%u.%zu", smtp_server_session_trace_id(session),
		       d->number, i);
	(void)snprintf(top, sizeof top, "Return-Path: <%s>\r\n", from);
	message.arrival_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	message.top = smtp_span_of(top);
	if (!maildir_of(d->names[i], path) || (d->content && fflush(d->content) != 0))
		return SMTP_EIO;
	if (d->content)
		rewind(d->content);
	return smtp_maildir_deliver(&message);
}

static void forget(struct delivery *d)
{
	if (d && d->content)
		(void)fclose(d->content);
	if (d)
		d->content = NULL;
}

static enum smtp_verdict on_end(struct smtp_server_session *session, void *user)
{
	struct smtp_reply full = smtp_reply_of(452, "4.3.1", "no space left");
	struct smtp_reply later = smtp_reply_of(451, "4.2.0", "the mailbox can't be written");
	struct delivery *d = *delivery_of(session);
	int err = 0;

	(void)user;
	for (size_t i = 0; i < d->count && !err; i++) {
		int failed = deliver(session, d, i);

		if (failed)
			err = smtp_server_session_recipient_reply(
				session, i, failed == SMTP_ENOSPC ? &full : &later);
	}
	forget(d);
	return err ? say(session, 451, "4.3.0", "out of memory") : SMTP_ACCEPT;
}

static void on_reset(struct smtp_server_session *session, void *user)
{
	(void)user;
	forget(*delivery_of(session));
}

static void on_disconnect(struct smtp_server_session *session, enum smtp_disconnect_reason reason,
			  void *user)
{
	struct delivery **d = delivery_of(session);

	(void)reason;
	(void)user;
	forget(*d);
	free(*d);
	*d = NULL;
}

static const struct smtp_server_session_handler handler = {
	.size = sizeof handler, .mail = on_mail, .rcpt = on_rcpt, .content = on_content, .end = on_end,
	.reset = on_reset, .disconnect = on_disconnect
};

static void *run(void *user)
{
	if (smtp_server_run(user) != 0)
		fprintf(stderr, "%s\n", smtp_server_problem(user));
	(void)kill(getpid(), SIGTERM);
	return NULL;
}

static int serve(struct smtp_server *server, const char *address)
{
	struct smtp_listener_options listener = SMTP_LISTENER_OPTIONS_INIT;
	sigset_t signals = block_end_signals();
	pthread_t thread;
	uint16_t port;
	int err;

	listener.address = address;
	listener.session.hostname = hostname;
	listener.session.lmtp = true;
	listener.handler = &handler;
	listener.blocking = true;
	err = smtp_server_listen(server, &listener, &port);
	if (err || pthread_create(&thread, NULL, run, server) != 0)
		return err ? err : SMTP_ENOMEM;
	printf("port %u\n", port);
	(void)fflush(stdout);
	wait_for_end(&signals);
	smtp_server_shutdown(server, 5000);
	(void)pthread_join(thread, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	const char *address = "127.0.0.1:2424";
	struct smtp_server *server = NULL;
	int c, err;

	while ((c = getopt(argc, argv, "a:n:")) != -1) {
		if (c == 'a')
			address = optarg;
		else if (c == 'n')
			hostname = optarg;
		else
			argc = 0;
	}
	if (optind + 1 != argc) {
		fprintf(stderr, "usage: lmtp [-a ADDRESS:PORT] [-n HOSTNAME] FOLDER\n");
		return 2;
	}
	folder = argv[optind];
	err = smtp_server_new(&server, NULL);
	if (!err)
		err = serve(server, address);
	if (err)
		fprintf(stderr, "%s: %s\n", smtp_error_str(err),
			server ? smtp_server_problem(server) : "");
	smtp_server_free(server);
	return err != 0;
}
