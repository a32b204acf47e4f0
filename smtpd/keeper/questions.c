/* SPDX-License-Identifier: ISC */
/* questions.c - answers each question: look-ups at once from the store, passwords and signatures on
 * workers. What goes wrong in the store is logged here and answered as an error: never a wrong answer.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <smtp/dkim.h>
#include "libsmtp/core/span.h"
#include "smtpd/keeper/peer.h"
#include "smtpd/log.h"

/* ---- Answers ---- */

static int begin_answer(struct smtp_buf *out, uint32_t id, uint16_t type, int error, uint32_t value)
{
	const struct keeper_header h = {
		.id = id, .type = type, .error = (int16_t)error, .value = value
	};

	smtp_buf_init(out, KEEPER_MESSAGE_MAX);
	return keeper_put_header(out, &h);
}

/** Sends an answer of at most one field. */
static void answer(struct keeper_peer *peer, const struct keeper_header *question, int error,
		   uint32_t value, const char *field)
{
	struct smtp_buf out;
	int err = begin_answer(&out, question->id, question->type, error, value);

	if (err == 0 && field != NULL)
		err = keeper_put(&out, smtp_span_of(field));
	if (err == 0)
		keeper_peer_send(peer, smtp_buf_span(&out));
	smtp_buf_release(&out);
}

static void log_store(const struct keeper_peer *peer, int error)
{
	log_event(LOG_LEVEL_ERROR, "accounts.fail", LOG_STR("reason", smtp_error_str(error)),
		  LOG_STR("detail", smtp_accounts_problem(peer->keeper->accounts)));
}

static int take_mailbox(struct smtp_span *rest, struct smtp_mailbox *out)
{
	struct smtp_span local_part, domain;

	if (keeper_take(rest, &local_part) != 0 || keeper_take(rest, &domain) != 0 ||
	    smtp_span_copy(local_part, out->local_part, sizeof out->local_part) != 0 ||
	    smtp_span_copy(domain, out->domain, sizeof out->domain) != 0)
		return SMTP_EPROTO;
	return 0;
}

/* ---- Look-ups ---- */

static void send_resolved(struct keeper_peer *peer, const struct keeper_header *h,
			  const struct smtp_resolve *r)
{
	struct smtp_buf out;
	size_t i;
	int err = begin_answer(&out, h->id, h->type, 0, (uint32_t)r->kind);

	for (i = 0; err == 0 && i < r->target_count; i++)
		err = keeper_put(&out, smtp_span_of(r->targets[i]));
	if (err == 0)
		keeper_peer_send(peer, smtp_buf_span(&out));
	else
		answer(peer, h, err, 0, NULL);
	smtp_buf_release(&out);
}

static int question_resolve(struct keeper_peer *peer, const struct keeper_header *h,
			    struct smtp_span rest, int *fd)
{
	struct smtp_resolve r = { .target_count = 0 };
	struct smtp_mailbox mailbox;
	int err = take_mailbox(&rest, &mailbox);

	(void)fd;
	if (err != 0)
		return err;
	err = smtp_accounts_resolve(peer->keeper->accounts, &mailbox, &r);
	if (err == 0) {
		send_resolved(peer, h, &r);
	} else {
		log_store(peer, err);
		answer(peer, h, err, 0, NULL);
	}
	smtp_resolve_release(&r);
	return 0;
}

static int question_reaches(struct keeper_peer *peer, const struct keeper_header *h,
			    struct smtp_span rest, int *fd)
{
	char account[SMTP_MAILBOX_TEXT_MAX + 1];
	struct smtp_mailbox mailbox;
	struct smtp_span field;
	bool reaches = false;
	int err = take_mailbox(&rest, &mailbox);

	(void)fd;
	if (err != 0 || keeper_take(&rest, &field) != 0 ||
	    smtp_span_copy(field, account, sizeof account) != 0)
		return SMTP_EPROTO;
	err = smtp_accounts_reaches(peer->keeper->accounts, &mailbox, account, &reaches);
	if (err != 0)
		log_store(peer, err);
	answer(peer, h, err, reaches ? 1 : 0, NULL);
	return 0;
}

/* ---- Passwords ---- */

struct password_check {
	struct smtp_work work;
	struct keeper_peer *peer;
	struct keeper_header header;
	struct smtp_login login;
	bool known, matches;
	size_t name_n, password_n;
	uint8_t secret[]; /* name, then password */
};

static struct smtp_span check_name(const struct password_check *c)
{
	return smtp_span_make(c->secret, c->name_n);
}

static struct smtp_span check_password(const struct password_check *c)
{
	return smtp_span_make(c->secret + c->name_n, c->password_n);
}

static void check_free(struct password_check *c)
{
	keeper_peer_unref(c->peer);
	sodium_memzero(c, sizeof *c + c->name_n + c->password_n);
	free(c);
}

static void check_answer(struct password_check *c)
{
	bool accepted = c->known && c->matches && !c->login.disabled;

	answer(c->peer, &c->header, 0, accepted ? 1 : 0, accepted ? c->login.account : NULL);
}

/** A name that is not known costs as much as a wrong password. */
static void check_run(struct smtp_work *work)
{
	struct password_check *c = (struct password_check *)work;

	c->matches = smtp_password_matches(check_password(c),
					   c->known ? c->login.password_hash : NULL);
}

static void check_done(struct smtp_work *work)
{
	struct password_check *c = (struct password_check *)work;
	struct keeper *k = c->peer->keeper;

	k->passwords_waiting--;
	if (c->known && c->matches)
		login_cache_add(k->logins, check_name(c), check_password(c),
				c->login.password_hash, smtp_loop_now_ms(k->loop));
	check_answer(c);
	check_free(c);
}

static struct password_check *check_new(struct keeper_peer *peer, const struct keeper_header *h,
					struct smtp_span name, struct smtp_span password)
{
	struct password_check *c = calloc(1, sizeof *c + name.n + password.n);

	if (c == NULL)
		return NULL;
	c->work.run = check_run;
	c->work.done = check_done;
	c->work.loop = peer->keeper->loop;
	c->peer = peer;
	peer->references++;
	c->header = *h;
	c->name_n = name.n;
	c->password_n = password.n;
	if (name.n > 0)
		memcpy(c->secret, name.p, name.n);
	if (password.n > 0)
		memcpy(c->secret + name.n, password.p, password.n);
	return c;
}

/** Looks the login up; then the cache answers, or a worker. */
static void check_begin(struct password_check *c)
{
	struct keeper *k = c->peer->keeper;
	int err = smtp_accounts_login(k->accounts, check_name(c), &c->login);

	if (err != 0 && err != SMTP_ENOTFOUND && err != SMTP_EINVAL) {
		log_store(c->peer, err);
		answer(c->peer, &c->header, err, 0, NULL);
		check_free(c);
		return;
	}
	c->known = err == 0;
	if (c->known && login_cache_has(k->logins, check_name(c), check_password(c),
					c->login.password_hash, smtp_loop_now_ms(k->loop))) {
		c->matches = true;
		check_answer(c);
		check_free(c);
		return;
	}
	k->passwords_waiting++;
	smtp_workers_submit(k->password_workers, &c->work);
}

static int question_auth(struct keeper_peer *peer, const struct keeper_header *h,
			 struct smtp_span rest, int *fd)
{
	struct smtp_span name, password;
	struct password_check *c;

	(void)fd;
	if (keeper_take(&rest, &name) != 0 || keeper_take(&rest, &password) != 0)
		return SMTP_EPROTO;
	if (password.n > SMTP_PASSWORD_MAX || name.n > SMTP_MAILBOX_TEXT_MAX) {
		answer(peer, h, 0, 0, NULL);
		return 0;
	}
	if (peer->keeper->passwords_waiting >= KEEPER_PASSWORDS_WAITING_MAX ||
	    (c = check_new(peer, h, name, password)) == NULL)
		answer(peer, h, SMTP_EBUSY, 0, NULL);
	else
		check_begin(c);
	return 0;
}

/* ---- Signatures ---- */

struct signature {
	struct smtp_work work;
	struct keeper_peer *peer;
	struct keeper_header header;
	struct smtp_dkim_key key;
	struct smtp_dkim_signing signing;
	struct smtp_buf added;
	int fd;
	int error;
	char *field;
};

static void signature_free(struct signature *s)
{
	keeper_peer_unref(s->peer);
	smtp_dkim_key_release(&s->key);
	smtp_buf_release(&s->added);
	if (s->fd >= 0)
		(void)close(s->fd);
	free(s->field);
	free(s);
}

static void signature_run(struct smtp_work *work)
{
	struct signature *s = (struct signature *)work;

	s->error = smtp_dkim_sign(&s->signing, &s->field);
}

static void signature_done(struct smtp_work *work)
{
	struct signature *s = (struct signature *)work;

	s->peer->keeper->signatures_waiting--;
	if (s->error != 0)
		log_event(LOG_LEVEL_WARN, "dkim.fail", LOG_STR("domain", s->key.domain),
			  LOG_STR("selector", s->key.selector),
			  LOG_STR("reason", smtp_error_str(s->error)));
	answer(s->peer, &s->header, s->error, 0, s->error == 0 ? s->field : NULL);
	signature_free(s);
}

static int signature_prepare(struct signature *s, struct smtp_span domain, struct smtp_span added,
			     struct smtp_span bytes)
{
	char name[SMTP_DOMAIN_MAX + 1];
	int err = smtp_span_copy(domain, name, sizeof name);

	if (err == 0)
		err = smtp_buf_append_span(&s->added, added);
	if (err == 0)
		err = smtp_accounts_dkim_key(s->peer->keeper->accounts, name, &s->key);
	if (err != 0)
		return err;
	memcpy(&s->signing.content_bytes, bytes.p, sizeof s->signing.content_bytes);
	s->signing.domain = s->key.domain;
	s->signing.selector = s->key.selector;
	s->signing.private_pem = s->key.private_pem;
	s->signing.time_s = time(NULL);
	s->signing.added_fields = smtp_buf_span(&s->added);
	s->signing.fd = s->fd;
	return 0;
}

static void signature_begin(struct signature *s, struct smtp_span domain, struct smtp_span added,
			    struct smtp_span bytes)
{
	int err = signature_prepare(s, domain, added, bytes);

	if (err == 0) {
		s->peer->keeper->signatures_waiting++;
		smtp_workers_submit(s->peer->keeper->sign_workers, &s->work);
		return;
	}
	if (err != SMTP_ENOTFOUND)
		log_store(s->peer, err);
	answer(s->peer, &s->header, err, 0, NULL);
	signature_free(s);
}

static struct signature *signature_new(struct keeper_peer *peer, const struct keeper_header *h,
				       int fd)
{
	struct signature *s = calloc(1, sizeof *s);

	if (s == NULL)
		return NULL;
	s->work.run = signature_run;
	s->work.done = signature_done;
	s->work.loop = peer->keeper->loop;
	s->peer = peer;
	peer->references++;
	s->header = *h;
	s->fd = fd;
	smtp_buf_init(&s->added, KEEPER_MESSAGE_MAX);
	return s;
}

static int question_sign(struct keeper_peer *peer, const struct keeper_header *h,
			 struct smtp_span rest, int *fd)
{
	struct smtp_span domain, added, bytes;
	struct signature *s;

	if (*fd < 0 || keeper_take(&rest, &domain) != 0 || keeper_take(&rest, &added) != 0 ||
	    keeper_take(&rest, &bytes) != 0 || bytes.n != sizeof(uint64_t))
		return SMTP_EPROTO;
	if (peer->keeper->signatures_waiting >= KEEPER_SIGNATURES_WAITING_MAX ||
	    (s = signature_new(peer, h, *fd)) == NULL) {
		answer(peer, h, SMTP_EBUSY, 0, NULL);
		return 0;
	}
	*fd = -1; /* the signature's now */
	signature_begin(s, domain, added, bytes);
	return 0;
}

/* ---- Which question ---- */

int keeper_question(struct keeper_peer *peer, struct smtp_span message, int fd)
{
	static int (*const questions[])(struct keeper_peer *, const struct keeper_header *,
					struct smtp_span, int *fd) = {
		[KEEPER_RESOLVE] = question_resolve,
		[KEEPER_AUTH] = question_auth,
		[KEEPER_REACHES] = question_reaches,
		[KEEPER_SIGN] = question_sign,
	};
	struct keeper_header h;
	int err = keeper_take_header(&message, &h);

	if (err == 0 && (h.type == 0 || h.type >= sizeof questions / sizeof *questions))
		err = SMTP_EPROTO;
	if (err == 0)
		err = questions[h.type](peer, &h, message, &fd);
	if (fd >= 0)
		(void)close(fd);
	return err;
}
