/* SPDX-License-Identifier: ISC */
/* client.c - the mail process's end: numbers its questions, keeps them until their answer or their time
 * has come, and connects when there is something to ask.
 */
#include "smtpd/keeper/client.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libsmtp/core/span.h"
#include "smtpd/keeper/protocol.h"

enum { QUESTIONS_MAX = 8192, LOOKUP_TIMEOUT_MS = 10000, AUTH_TIMEOUT_MS = 30000,
       FIRST_TIMEOUT_MS = 3000, TICK_MS = 500,
       ANSWERS_A_TURN = 64, BUCKETS = 256 };

union callback {
	void (*resolve)(void *user, const struct keeper_resolve_answer *);
	void (*auth)(void *user, const struct keeper_auth_answer *);
	void (*reaches)(void *user, const struct keeper_reaches_answer *);
	void (*sign)(void *user, const struct keeper_sign_answer *);
};

struct question {
	struct question *next; /* in its bucket */
	struct question *outbox_next;
	uint32_t id;
	uint16_t type;
	uint64_t deadline_ms;
	union callback done;
	void *user;
	struct smtp_buf message; /* empty once it is sent */
	int fd;
};

struct keeper_client {
	struct smtp_loop *loop;
	struct smtp_io *io; /* NULL: not connected */
	struct smtp_timer *timer;
	char *path;
	int fd;
	uint32_t next_id;
	bool has_answered; /* on this connection: until then it may be a socket without a keeper */
	size_t question_count;
	struct question *buckets[BUCKETS];
	struct question *outbox, **outbox_end; /* not sent yet, oldest first */
	uint8_t input[KEEPER_MESSAGE_MAX];
};

/* ---- Questions ---- */

static void question_free(struct question *q)
{
	smtp_buf_wipe(&q->message);
	free(q);
}

static struct question **question_place(struct keeper_client *k, uint32_t id)
{
	struct question **p = &k->buckets[id % BUCKETS];

	while (*p != NULL && (*p)->id != id)
		p = &(*p)->next;
	return p;
}

static void outbox_remove(struct keeper_client *k, const struct question *q)
{
	struct question **p = &k->outbox;

	while (*p != NULL && *p != q)
		p = &(*p)->outbox_next;
	if (*p == NULL)
		return;
	*p = q->outbox_next;
	if (k->outbox_end == &q->outbox_next)
		k->outbox_end = p;
}

/** Takes it out of the tables; the caller answers and frees it. */
static void question_take(struct keeper_client *k, struct question *q)
{
	*question_place(k, q->id) = q->next;
	if (q->message.n > 0)
		outbox_remove(k, q);
	k->question_count--;
}

static void answer_error(struct question *q, int error)
{
	const struct keeper_resolve_answer resolve = { .error = error };
	const struct keeper_auth_answer auth = { .error = error };
	const struct keeper_reaches_answer reaches = { .error = error };
	const struct keeper_sign_answer sign = { .error = error };

	switch (q->type) {
	case KEEPER_RESOLVE:
		q->done.resolve(q->user, &resolve);
		break;
	case KEEPER_AUTH:
		q->done.auth(q->user, &auth);
		break;
	case KEEPER_REACHES:
		q->done.reaches(q->user, &reaches);
		break;
	default:
		q->done.sign(q->user, &sign);
	}
}

/** Ends every question whose time is over at `deadline_ms`. A callback may ask anew: not touched. */
static void end_questions(struct keeper_client *k, uint64_t deadline_ms, int error)
{
	struct question *ended = NULL, *q;
	size_t i;

	for (i = 0; i < BUCKETS; i++) {
		struct question **p = &k->buckets[i];

		while ((q = *p) != NULL) {
			if (q->deadline_ms > deadline_ms) {
				p = &q->next;
				continue;
			}
			question_take(k, q);
			q->next = ended;
			ended = q;
		}
	}
	while ((q = ended) != NULL) {
		ended = q->next;
		answer_error(q, error);
		question_free(q);
	}
}

/* ---- Connection ---- */

static void disconnect(struct keeper_client *k)
{
	if (k->io == NULL)
		return;
	smtp_io_free(k->io);
	k->io = NULL;
	(void)close(k->fd);
	k->fd = -1;
	k->has_answered = false;
}

static void lost(struct keeper_client *k)
{
	disconnect(k);
	end_questions(k, UINT64_MAX, SMTP_EBUSY);
}

static void watch(struct keeper_client *k)
{
	unsigned events = SMTP_IO_READ | (k->outbox != NULL ? SMTP_IO_WRITE : 0);

	if (k->io != NULL && smtp_io_watch(k->io, events) != 0)
		lost(k);
}

/** Sends what waits, as far as the socket takes it. */
static int flush(struct keeper_client *k)
{
	struct question *q;
	int err = 0;

	while (err == 0 && (q = k->outbox) != NULL) {
		err = keeper_send(k->fd, smtp_buf_span(&q->message), q->fd);
		if (err != 0)
			break;
		k->outbox = q->outbox_next;
		if (k->outbox == NULL)
			k->outbox_end = &k->outbox;
		smtp_buf_wipe(&q->message);
	}
	return err == SMTP_EBUSY ? 0 : err;
}

static void receive(struct keeper_client *k);

static void ready(void *user, unsigned events)
{
	struct keeper_client *k = user;

	if ((events & SMTP_IO_WRITE) != 0) {
		if (flush(k) != 0) {
			lost(k);
			return;
		}
		watch(k);
	}
	if ((events & SMTP_IO_READ) != 0)
		receive(k);
}

static int open_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof address.sun_path)
		return -1;
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

static int connect_to_keeper(struct keeper_client *k)
{
	if (k->io != NULL)
		return 0;
	k->fd = open_socket(k->path);
	if (k->fd < 0)
		return SMTP_EBUSY;
	if (smtp_io_new(&k->io, k->loop, k->fd, ready, k) != 0) {
		(void)close(k->fd);
		k->io = NULL;
		return SMTP_ENOMEM;
	}
	if (smtp_io_watch(k->io, SMTP_IO_READ) != 0) {
		disconnect(k);
		return SMTP_ENOMEM;
	}
	return 0;
}

/* ---- Answers ---- */

static size_t count_fields(struct smtp_span rest)
{
	struct smtp_span field;
	size_t n = 0;

	while (n < SMTP_RESOLVE_TARGETS_MAX && rest.n > 0 && keeper_take(&rest, &field) == 0)
		n++;
	return n;
}

static void answer_resolve(const struct question *q, const struct keeper_header *h,
			  struct smtp_span rest)
{
	static const size_t target_max = SMTP_MAILBOX_TEXT_MAX + 1;
	struct keeper_resolve_answer a = { .error = h->error,
					   .kind = (enum smtp_resolve_kind)h->value };
	const char *targets[SMTP_RESOLVE_TARGETS_MAX];
	char *texts = calloc(count_fields(rest) + 1, target_max);
	struct smtp_span field;

	if (texts == NULL)
		a.error = SMTP_ENOMEM;
	while (a.error == 0 && rest.n > 0) {
		char *text = texts + a.target_count * target_max;

		if (a.target_count == SMTP_RESOLVE_TARGETS_MAX ||
		    keeper_take(&rest, &field) != 0 ||
		    smtp_span_copy(field, text, target_max) != 0)
			a.error = SMTP_EPROTO;
		else
			targets[a.target_count++] = text;
	}
	a.targets = targets;
	q->done.resolve(q->user, &a);
	free(texts);
}

static void answer_auth(const struct question *q, const struct keeper_header *h,
		       struct smtp_span rest)
{
	char account[SMTP_MAILBOX_TEXT_MAX + 1] = "";
	struct keeper_auth_answer a = { h->error, h->value == 1, account };
	struct smtp_span field;

	if (a.accepted && (keeper_take(&rest, &field) != 0 ||
			   smtp_span_copy(field, account, sizeof account) != 0))
		a = (struct keeper_auth_answer){ .error = SMTP_EPROTO };
	q->done.auth(q->user, &a);
}

static void answer_reaches(const struct question *q, const struct keeper_header *h,
			  struct smtp_span rest)
{
	const struct keeper_reaches_answer a = { h->error, h->value == 1 };

	(void)rest;
	q->done.reaches(q->user, &a);
}

static void answer_sign(const struct question *q, const struct keeper_header *h,
		       struct smtp_span rest)
{
	struct keeper_sign_answer a = { h->error, NULL };
	struct smtp_span field;
	char *text = NULL;

	if (a.error == 0 && keeper_take(&rest, &field) != 0)
		a.error = SMTP_EPROTO;
	if (a.error == 0 && (text = strndup((const char *)field.p, field.n)) == NULL)
		a.error = SMTP_ENOMEM;
	a.field = text;
	q->done.sign(q->user, &a);
	free(text);
}

static int answered(struct keeper_client *k, struct smtp_span message)
{
	static void (*const answers[])(const struct question *, const struct keeper_header *,
				      struct smtp_span) = {
		[KEEPER_RESOLVE] = answer_resolve,
		[KEEPER_AUTH] = answer_auth,
		[KEEPER_REACHES] = answer_reaches,
		[KEEPER_SIGN] = answer_sign,
	};
	struct keeper_header h;
	struct question *q;
	int err = keeper_take_header(&message, &h);

	if (err != 0)
		return err;
	q = *question_place(k, h.id);
	if (q == NULL)
		return 0; /* its time was over */
	if (q->type != h.type)
		return SMTP_EPROTO;
	question_take(k, q);
	k->has_answered = true;
	answers[q->type](q, &h, message);
	question_free(q);
	return 0;
}

static void receive(struct keeper_client *k)
{
	unsigned turn;

	for (turn = 0; turn < ANSWERS_A_TURN && k->io != NULL; turn++) {
		size_t n;
		int fd;
		int err = keeper_receive(k->fd, k->input, &n, &fd);

		if (fd >= 0)
			(void)close(fd);
		if (err == SMTP_EBUSY)
			return;
		if (err == 0)
			err = answered(k, smtp_span_make(k->input, n));
		if (err != 0)
			lost(k);
	}
}

static void tick(void *user)
{
	struct keeper_client *k = user;
	uint64_t now = smtp_loop_now_ms(k->loop);

	end_questions(k, now, SMTP_ETIMEDOUT);
	smtp_timer_set(k->timer, k->question_count > 0 ? now + TICK_MS : UINT64_MAX);
}

/* ---- Life ---- */

int keeper_client_new(struct keeper_client **out, struct smtp_loop *loop, const char *socket_path)
{
	struct keeper_client *k = calloc(1, sizeof *k);

	if (k == NULL)
		return SMTP_ENOMEM;
	k->loop = loop;
	k->fd = -1;
	k->outbox_end = &k->outbox;
	k->path = strdup(socket_path);
	if (k->path == NULL || smtp_timer_new(&k->timer, loop, tick, k) != 0) {
		keeper_client_free(k);
		return SMTP_ENOMEM;
	}
	*out = k;
	return 0;
}

void keeper_client_free(struct keeper_client *k)
{
	size_t i;

	if (k == NULL)
		return;
	disconnect(k);
	for (i = 0; i < BUCKETS; i++)
		while (k->buckets[i] != NULL) {
			struct question *q = k->buckets[i];

			k->buckets[i] = q->next;
			question_free(q);
		}
	smtp_timer_free(k->timer);
	free(k->path);
	free(k);
}

/* ---- Asking ---- */

static struct question *question_new(struct keeper_client *k, enum keeper_type type, int fd,
				     void *user)
{
	struct question *q;
	struct keeper_header header = { .type = (uint16_t)type };

	if (k->question_count >= QUESTIONS_MAX || (q = calloc(1, sizeof *q)) == NULL)
		return NULL;
	do {
		q->id = k->next_id++;
	} while (*question_place(k, q->id) != NULL);
	header.id = q->id;
	q->type = (uint16_t)type;
	q->fd = fd;
	q->user = user;
	q->deadline_ms = smtp_loop_now_ms(k->loop) + (!k->has_answered	  ? FIRST_TIMEOUT_MS :
						      type == KEEPER_AUTH ? AUTH_TIMEOUT_MS :
									    LOOKUP_TIMEOUT_MS);
	smtp_buf_init(&q->message, KEEPER_MESSAGE_MAX);
	if (keeper_put_header(&q->message, &header) != 0) {
		question_free(q);
		return NULL;
	}
	return q;
}

static void enter(struct keeper_client *k, struct question *q)
{
	struct question **bucket = &k->buckets[q->id % BUCKETS];

	q->next = *bucket;
	*bucket = q;
	*k->outbox_end = q;
	k->outbox_end = &q->outbox_next;
	if (k->question_count++ == 0)
		smtp_timer_set(k->timer, smtp_loop_now_ms(k->loop) + TICK_MS);
}

/** Sends a question, or takes it back: then its callback does not come. */
static int ask(struct keeper_client *k, struct question *q, const struct smtp_span *fields,
	       size_t count)
{
	size_t i;
	int err = 0;

	for (i = 0; err == 0 && i < count; i++)
		err = keeper_put(&q->message, fields[i]);
	if (err == 0)
		err = connect_to_keeper(k);
	if (err != 0) {
		question_free(q);
		return err;
	}
	enter(k, q);
	if (flush(k) != 0) {
		/* Others that wait are told by the loop, which sees the end of the connection too. */
		question_take(k, q);
		question_free(q);
		return SMTP_EBUSY;
	}
	if (k->outbox != NULL)
		watch(k);
	return 0;
}

int keeper_resolve(struct keeper_client *k, const struct smtp_mailbox *mailbox,
		   void (*done)(void *user, const struct keeper_resolve_answer *), void *user)
{
	const struct smtp_span fields[] = { smtp_span_of(mailbox->local_part),
					    smtp_span_of(mailbox->domain) };
	struct question *q = question_new(k, KEEPER_RESOLVE, -1, user);

	if (q == NULL)
		return SMTP_EBUSY;
	q->done.resolve = done;
	return ask(k, q, fields, 2);
}

int keeper_auth(struct keeper_client *k, struct smtp_span name, struct smtp_span password,
		void (*done)(void *user, const struct keeper_auth_answer *), void *user)
{
	const struct smtp_span fields[] = { name, password };
	struct question *q = question_new(k, KEEPER_AUTH, -1, user);

	if (q == NULL)
		return SMTP_EBUSY;
	q->done.auth = done;
	/* Room at once: a buffer that grows would leave copies of the password behind. */
	if (smtp_buf_reserve(&q->message, name.n + password.n + 16) != 0) {
		question_free(q);
		return SMTP_ENOMEM;
	}
	return ask(k, q, fields, 2);
}

int keeper_reaches(struct keeper_client *k, const struct smtp_mailbox *address,
		   const char *account,
		   void (*done)(void *user, const struct keeper_reaches_answer *), void *user)
{
	const struct smtp_span fields[] = { smtp_span_of(address->local_part),
					    smtp_span_of(address->domain), smtp_span_of(account) };
	struct question *q = question_new(k, KEEPER_REACHES, -1, user);

	if (q == NULL)
		return SMTP_EBUSY;
	q->done.reaches = done;
	return ask(k, q, fields, 3);
}

int keeper_sign(struct keeper_client *k, const char *domain, struct smtp_span added_fields, int fd,
		uint64_t content_bytes,
		void (*done)(void *user, const struct keeper_sign_answer *), void *user)
{
	const struct smtp_span fields[] = { smtp_span_of(domain), added_fields,
					    smtp_span_make(&content_bytes, sizeof content_bytes) };
	struct question *q = question_new(k, KEEPER_SIGN, fd, user);

	if (q == NULL)
		return SMTP_EBUSY;
	q->done.sign = done;
	return ask(k, q, fields, 3);
}
