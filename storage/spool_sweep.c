/* SPDX-License-Identifier: ISC */
/* Tidying the queue at the start, before anything else writes: what was never accepted goes, what
 * can't be read is set aside, nothing that was accepted is ever removed.
 */
#include "libsmtp/core/span.h"
#include "storage/spool_internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct sweep {
	struct smtp_spool *spool;
	struct smtp_spool_swept *result;
	void (*report)(const char *file, const char *reason, void *user);
	void *user;
	unsigned dir;
	int dir_fd;
};

static int set_aside(struct sweep *s, const char *name, const char *reason)
{
	int err = spool_move_to_corrupt(s->spool, s->dir_fd, name);

	if (err)
		return err;
	s->result->corrupt++;
	if (s->report)
		s->report(name, reason, s->user);
	return 0;
}

static bool exists_in(int dir_fd, const char *name)
{
	return faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Work on it had begun: this one was accepted, whatever became of its trailer. Unless it is empty:
 * then the work was done, and the file on its way to free/. */
static bool was_accepted(const struct sweep *s, const char *id)
{
	char state[SPOOL_STATE_NAME];
	struct stat st;

	spool_state_name(id, state);
	return exists_in(s->dir_fd, state) &&
	       !(fstatat(s->dir_fd, id, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size == 0);
}

/* It follows its message. */
static int set_aside_state(struct sweep *s, const char *id)
{
	char state[SPOOL_STATE_NAME];
	int err;

	spool_state_name(id, state);
	err = spool_move_to_corrupt(s->spool, s->dir_fd, state);
	return err == SMTP_ENOTFOUND ? 0 : err;
}

static int unlink_state(struct sweep *s, const char *id)
{
	char state[SPOOL_STATE_NAME];
	int err;

	spool_state_name(id, state);
	err = storage_unlink(s->dir_fd, state);
	return err == SMTP_ENOTFOUND ? 0 : err;
}

static int sweep_bad_message(struct sweep *s, const char *id, int reason)
{
	int err;

	if (reason == SMTP_ENOTFOUND && !was_accepted(s, id)) {
		err = storage_unlink(s->dir_fd, id);
		s->result->unfinished += !err;
		return err ? err : unlink_state(s, id);
	}
	if (reason == SMTP_EVERSION) {
		if (s->report)
			s->report(id, "written by a newer version, left in place", s->user);
		return 0;
	}
	err = set_aside(s, id, reason == SMTP_ENOTFOUND ? "its end is missing"
							: smtp_error_str(reason));
	return err ? err : set_aside_state(s, id);
}

static int sweep_message(struct sweep *s, const char *id)
{
	struct smtp_queue_entry *entry = NULL;
	struct spool_message m;
	int err = spool_message_open(s->dir_fd, id, &m, &entry);

	if (err == SMTP_ENOMEM || err == SMTP_EBUSY)
		return err; /* says nothing about the file */
	if (err)
		return sweep_bad_message(s, id, err);
	(void)close(m.fd);
	smtp_queue_entry_free(entry);
	return 0;
}

/* A crash came between the message and its state: the state follows it to bounce/, or goes. */
static int sweep_state(struct sweep *s, const char *name, const char *id)
{
	int err, bounce_fd = s->spool->bounce_fd;

	if (exists_in(s->dir_fd, id))
		return 0;
	if (exists_in(bounce_fd, id) && !exists_in(bounce_fd, name))
		return storage_rename(s->dir_fd, name, bounce_fd, name);
	err = storage_unlink(s->dir_fd, name);
	s->result->orphans += !err;
	return err == SMTP_ENOTFOUND ? 0 : err; /* it went with its message, and was listed before */
}

static bool belongs_here(const struct sweep *s, const char *id)
{
	return smtp_queue_id_is_valid(id) && spool_dir_of(id) == s->dir;
}

static int sweep_name(const char *name, void *user)
{
	struct sweep *s = user;
	char id[SMTP_QUEUE_ID_MAX + 1], state[SPOOL_STATE_NAME];

	if (belongs_here(s, name))
		return sweep_message(s, name);
	if (smtp_span_copy(smtp_span_slice(smtp_span_of(name), 0, SPOOL_ID_TEXT), id, sizeof id) ==
		    0 &&
	    belongs_here(s, id)) {
		spool_state_name(id, state);
		if (strcmp(name, state) == 0)
			return sweep_state(s, name, id);
	}
	return set_aside(s, name, "not a name of the spool");
}

int smtp_spool_sweep(struct smtp_spool *spool, struct smtp_spool_swept *result,
		     void (*report)(const char *file, const char *reason, void *user), void *user)
{
	struct sweep s = { .spool = spool, .result = result, .report = report, .user = user };
	int err = 0;

	memset(result, 0, sizeof *result);
	if (spool->read_only)
		return SMTP_ESTATE;
	for (unsigned i = 0; i < SPOOL_DIRS && !err; i++) {
		s.dir = i;
		s.dir_fd = spool->dir_fds[i];
		err = spool_each_name(s.dir_fd, sweep_name, &s);
	}
	return err ? err : spool_pool_open(spool);
}
