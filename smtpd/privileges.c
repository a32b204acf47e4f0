/* SPDX-License-Identifier: ISC */
/* privileges.c - root is only needed for binding; from here on nobody runs as root. */
#include "smtpd/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

__attribute__((format(printf, 3, 4))) static int say(int error, char *problem, const char *format,
						      ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(problem, PRIVILEGES_PROBLEM_MAX, format, args);
	va_end(args);
	return error;
}

static int become(const struct passwd *pw, char *problem)
{
	uid_t back;

	if (initgroups(pw->pw_name, pw->pw_gid) != 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) != 0 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) != 0)
		return say(SMTP_EACCESS, problem, "user %s: %s", pw->pw_name, strerror(errno));
	back = getuid();
	if (back == 0 || setuid(0) == 0)
		return say(SMTP_EACCESS, problem, "user %s: privileges could be regained",
			   pw->pw_name);
	return 0;
}

int privileges_drop(const struct config *c, char problem[PRIVILEGES_PROBLEM_MAX])
{
	const struct passwd *pw;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return say(SMTP_EACCESS, problem, "no_new_privs: %s", strerror(errno));
	if (geteuid() != 0)
		return 0;
	if (c->user[0] == '\0')
		return 0; /* asked for, in a private instance; the log says so */
	pw = getpwnam(c->user);
	if (pw == NULL)
		return say(SMTP_ENOTFOUND, problem,
			   "user: there is no system user \"%s\" (set user in %s, or make one with: "
			   "useradd --system --no-create-home %s)",
			   c->user, c->file, c->user);
	if (pw->pw_uid == 0)
		return say(SMTP_EINVAL, problem, "user: \"%s\" is root, another user is needed",
			   c->user);
	return become(pw, problem);
}

int privileges_check_data(const struct config *c, char problem[PRIVILEGES_PROBLEM_MAX])
{
	struct stat st;

	if (stat(c->data_dir, &st) != 0)
		return say(SMTP_ENOTFOUND, problem, "data_dir %s: %s (smtpctl setup makes it)",
			   c->data_dir, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return say(SMTP_EINVAL, problem, "data_dir %s: is not a folder", c->data_dir);
	if (st.st_uid != geteuid())
		return say(SMTP_EACCESS, problem,
			   "data_dir %s: belongs to user id %u, but smtpd runs as %u (chown it, or "
			   "set user)",
			   c->data_dir, (unsigned)st.st_uid, (unsigned)geteuid());
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return say(SMTP_EACCESS, problem,
			   "data_dir %s: others may write there (chmod go-w)", c->data_dir);
	return 0;
}
