/* SPDX-License-Identifier: ISC */
/* keeper.c - the keeper process: takes connections of the mail process, reads their questions, has each
 * answered by questions.c, and sends what they say.
 */
#include "smtpd/keeper/keeper.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsmtp/core/span.h"
#include "libsmtp/net/listener.h"
#include "smtpd/keeper/peer.h"
#include "smtpd/log.h"
#include "smtpd/ready.h"

enum { QUESTIONS_A_TURN = 64 };

/* ---- Peers ---- */

static void peer_close(struct keeper_peer *p)
{
	if (p->io == NULL)
		return;
	smtp_io_free(p->io);
	p->io = NULL;
	(void)close(p->fd);
	smtp_buf_release(&p->outbox);
}

void keeper_peer_unref(struct keeper_peer *p)
{
	if (--p->references > 0)
		return;
	peer_close(p);
	free(p);
}

static void peer_lost(struct keeper_peer *p)
{
	if (p->io == NULL)
		return;
	peer_close(p);
	*p->link = p->next;
	if (p->next != NULL)
		p->next->link = p->link;
	keeper_peer_unref(p);
}

/** Sends kept answers: each stands behind its length in the outbox. */
static int flush(struct keeper_peer *p)
{
	uint32_t n;
	int err = 0;

	while (err == 0 && p->outbox.n > sizeof n) {
		struct smtp_span all = smtp_buf_span(&p->outbox);

		memcpy(&n, all.p, sizeof n);
		err = keeper_send(p->fd, smtp_span_slice(all, sizeof n, n), -1);
		if (err == 0)
			smtp_buf_drop(&p->outbox, sizeof n + n);
	}
	return err == SMTP_EBUSY ? 0 : err;
}

static int keep(struct keeper_peer *p, struct smtp_span message)
{
	uint32_t n = (uint32_t)message.n;

	if (smtp_buf_append(&p->outbox, &n, sizeof n) != 0)
		return SMTP_ENOMEM;
	return smtp_buf_append_span(&p->outbox, message);
}

void keeper_peer_send(struct keeper_peer *p, struct smtp_span message)
{
	int err = SMTP_EBUSY;

	if (p->io == NULL)
		return;
	if (p->outbox.n == 0)
		err = keeper_send(p->fd, message, -1);
	if (err == SMTP_EBUSY)
		err = keep(p, message);
	if (err == 0 && p->outbox.n > 0)
		err = smtp_io_watch(p->io, SMTP_IO_READ | SMTP_IO_WRITE);
	if (err != 0)
		peer_lost(p);
}

static void peer_receive(struct keeper_peer *p)
{
	unsigned turn;

	for (turn = 0; turn < QUESTIONS_A_TURN && p->io != NULL; turn++) {
		size_t n = 0;
		int fd;
		int err = keeper_receive(p->fd, p->keeper->input, &n, &fd);

		if (err == SMTP_EBUSY)
			return;
		if (err == 0)
			err = keeper_question(p, smtp_span_make(p->keeper->input, n), fd);
		explicit_bzero(p->keeper->input, n); /* it may have been a password */
		if (err != 0)
			peer_lost(p);
	}
}

static void peer_ready(void *user, unsigned events)
{
	struct keeper_peer *p = user;
	int err = 0;

	p->references++;
	if ((events & SMTP_IO_WRITE) != 0) {
		err = flush(p);
		if (err == 0 && p->outbox.n == 0)
			err = smtp_io_watch(p->io, SMTP_IO_READ);
		if (err != 0)
			peer_lost(p);
	}
	if (p->io != NULL && (events & SMTP_IO_READ) != 0)
		peer_receive(p);
	keeper_peer_unref(p);
}

static void peer_new(struct keeper *k, int fd)
{
	struct keeper_peer *p = calloc(1, sizeof *p);

	if (p == NULL || smtp_io_new(&p->io, k->loop, fd, peer_ready, p) != 0) {
		free(p);
		(void)close(fd);
		return;
	}
	p->keeper = k;
	p->fd = fd;
	p->references = 1;
	smtp_buf_init(&p->outbox, KEEPER_OUTBOX_MAX);
	p->next = k->peers;
	p->link = &k->peers;
	if (p->next != NULL)
		p->next->link = &p->next;
	k->peers = p;
	if (smtp_io_watch(p->io, SMTP_IO_READ) != 0)
		peer_lost(p);
}

static void accepted(void *user, int fd, const struct smtp_socket_address *peer)
{
	(void)peer;
	peer_new(user, fd);
}

/* ---- The process ---- */

static void supervisor_readable(void *user, unsigned events)
{
	struct keeper *k = user;
	char text[64];
	ssize_t n = read(k->supervisor_fd, text, sizeof text - 1);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	text[n > 0 ? n : 0] = '\0';
	log_settings_take(text);
	if (n <= 0 || strstr(text, "stop\n") != NULL)
		smtp_loop_stop(k->loop);
}

static int open_store(struct keeper *k, const struct config *config)
{
	char *path = NULL;
	int err = config_data_path(config, CONFIG_ACCOUNTS_FILE, &path);

	if (err == 0)
		err = smtp_accounts_open(&k->accounts, path, SMTP_ACCOUNTS_WRITE);
	if (err != 0 && path != NULL)
		(void)snprintf(k->problem, sizeof k->problem, "%s: %s%s", path,
			       smtp_error_str(err),
			       err == SMTP_ENOTFOUND ? " (smtpctl setup makes it)" : "");
	free(path);
	return err;
}

static int open_loop(struct keeper *k)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned threads = cores > 0 ? (unsigned)cores : 1;
	int err = smtp_loop_new(&k->loop);

	if (err == 0)
		err = smtp_workers_new(&k->password_workers, threads);
	if (err == 0)
		err = smtp_workers_new(&k->sign_workers, threads);
	if (err == 0)
		err = smtp_listener_new(&k->listener, k->loop, k->listen_fd, accepted, k);
	if (err == 0)
		err = smtp_io_new(&k->supervisor_io, k->loop, k->supervisor_fd,
				  supervisor_readable, k);
	if (err == 0)
		err = smtp_io_watch(k->supervisor_io, SMTP_IO_READ);
	return err;
}

static void tear_down(struct keeper *k)
{
	/* The work at hand ends first; its results are not sent any more. */
	smtp_workers_free(k->password_workers);
	smtp_workers_free(k->sign_workers);
	while (k->peers != NULL)
		peer_lost(k->peers);
	smtp_listener_free(k->listener);
	smtp_io_free(k->supervisor_io);
	smtp_loop_free(k->loop);
	smtp_accounts_close(k->accounts);
	login_cache_free(k->logins);
}

int keeper_process(const struct config *config, int listen_fd, int supervisor_fd)
{
	struct keeper *k = calloc(1, sizeof *k);
	int err;

	if (k == NULL)
		return 1;
	k->listen_fd = listen_fd;
	k->supervisor_fd = supervisor_fd;
	err = open_store(k, config);
	if (err == 0)
		err = open_loop(k);
	if (err == 0)
		err = login_cache_new(&k->logins);
	if (err != 0 && k->problem[0] == '\0')
		(void)snprintf(k->problem, sizeof k->problem, "keeper: %s", smtp_error_str(err));
	ready_tell(supervisor_fd, err == 0 ? NULL : k->problem);
	if (err == 0)
		err = smtp_loop_run(k->loop);
	tear_down(k);
	free(k);
	return err == 0 ? 0 : 1;
}
