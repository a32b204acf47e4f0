/* SPDX-License-Identifier: ISC */
/* setup_files.c - makes the folders, the certificate and the first smtpd.yaml, with right owners and
 * modes; never overwrites.
 */
#include "smtpctl/setup_files.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/command.h"
#include "config/config.h"
#include "libsmtp/net/tls_self_signed.h"

#define SYSTEM_USER "smtpd"

void setup_say(bool found, const char *what)
{
	(void)printf("  %s  %s\n", found ? "found" : "made ", what);
}

/* ---- Who ---- */

static int run_useradd(void)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		(void)execlp("useradd", "useradd", "--system", "--user-group", "--no-create-home",
			     "--shell", "/usr/sbin/nologin", SYSTEM_USER, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static int use_user(struct setup *s, const char *name)
{
	const struct passwd *pw = getpwnam(name);

	if (pw == NULL)
		return CLI_REFUSED;
	(void)snprintf(s->user, sizeof s->user, "%s", name);
	s->uid = pw->pw_uid;
	s->gid = pw->pw_gid;
	return CLI_DONE;
}

static int system_user(struct setup *s)
{
	if (geteuid() != 0) {
		cli_error("setting up the system's own instance takes root; a private one does not: "
			  "--dir DIR");
		return CLI_REFUSED;
	}
	if (use_user(s, SYSTEM_USER) == CLI_DONE) {
		setup_say(true, "system user " SYSTEM_USER);
		return CLI_DONE;
	}
	if (run_useradd() != 0 || use_user(s, SYSTEM_USER) != CLI_DONE) {
		cli_error("the system user %s could not be made by useradd", SYSTEM_USER);
		return CLI_REFUSED;
	}
	setup_say(false, "system user " SYSTEM_USER);
	return CLI_DONE;
}

/** May everybody pass through all the folders that lead there? */
static bool is_reachable(const char *path)
{
	char part[PATH_MAX];
	struct stat st;
	char *slash;

	(void)snprintf(part, sizeof part, "%s", path);
	while ((slash = strrchr(part, '/')) != NULL && slash != part) {
		if (stat(part, &st) == 0 && (st.st_mode & S_IXOTH) == 0)
			return false;
		*slash = '\0';
	}
	return true;
}

/** Root's private instance runs as nobody where he can get to it, else as root, since nobody else could
 *  (a folder in root's home, say). */
static void private_user(struct setup *s, const char *dir)
{
	s->uid = geteuid();
	s->gid = getegid();
	if (geteuid() == 0 && is_reachable(dir))
		(void)use_user(s, "nobody");
}

/* ---- Where ---- */

static int join(char out[PATH_MAX], const char *dir, const char *name)
{
	int n = snprintf(out, PATH_MAX, "%s/%s", dir, name);

	if (n > 0 && n < PATH_MAX)
		return CLI_DONE;
	cli_error("%s: the path is too long", dir);
	return CLI_REFUSED;
}

static int make_folder(const struct setup *s, const char *path, mode_t mode, bool owned)
{
	bool there = mkdir(path, mode) != 0;

	if (there && errno != EEXIST) {
		cli_error("%s: %s", path, strerror(errno));
		return CLI_REFUSED;
	}
	if (!there && owned && geteuid() == 0 && chown(path, s->uid, s->gid) != 0) {
		cli_error("%s: %s", path, strerror(errno));
		return CLI_REFUSED;
	}
	setup_say(there, path);
	return CLI_DONE;
}

static int private_paths(struct setup *s, const char *dir)
{
	char real[PATH_MAX];

	if (mkdir(dir, 0755) != 0 && errno != EEXIST) {
		cli_error("%s: %s", dir, strerror(errno));
		return CLI_REFUSED;
	}
	if (realpath(dir, real) == NULL) {
		cli_error("%s: %s", dir, strerror(errno));
		return CLI_REFUSED;
	}
	s->is_private = true;
	private_user(s, real);
	if (join(s->config_file, real, "smtpd.yaml") != CLI_DONE ||
	    join(s->data_dir, real, "data") != CLI_DONE ||
	    join(s->mail_dir, real, "mail") != CLI_DONE ||
	    join(s->certificate, real, "certificate.pem") != CLI_DONE ||
	    join(s->key, real, "key.pem") != CLI_DONE)
		return CLI_REFUSED;
	return CLI_DONE;
}

static int system_paths(struct setup *s, const char *config_file)
{
	int status = system_user(s);

	(void)snprintf(s->config_file, sizeof s->config_file, "%s",
		       config_file != NULL ? config_file : CONFIG_DEFAULT_FILE);
	(void)snprintf(s->data_dir, sizeof s->data_dir, "/var/lib/smtpd");
	(void)snprintf(s->mail_dir, sizeof s->mail_dir, "/var/mail/smtpd");
	(void)snprintf(s->certificate, sizeof s->certificate, "/etc/smtpd/certificate.pem");
	(void)snprintf(s->key, sizeof s->key, "/etc/smtpd/key.pem");
	if (status == CLI_DONE)
		status = make_folder(s, "/etc/smtpd", 0755, false);
	return status;
}

int setup_paths(struct setup *s, const char *dir, const char *config_file)
{
	return dir != NULL ? private_paths(s, dir) : system_paths(s, config_file);
}

/* ---- Files ---- */

static int make_certificate(const struct setup *s)
{
	char problem[SMTP_TLS_PROBLEM_MAX] = "";
	int err;

	if (access(s->certificate, F_OK) == 0) {
		setup_say(true, s->certificate);
		return CLI_DONE;
	}
	err = smtp_tls_self_signed_make(s->hostname, s->is_private, s->certificate, s->key, problem);
	if (err == 0 && geteuid() == 0 && chown(s->key, (uid_t)-1, s->gid) != 0) {
		(void)snprintf(problem, sizeof problem, "%.200s: %s", s->key, strerror(errno));
		err = SMTP_EIO;
	}
	if (err != 0) {
		cli_error("%s", problem);
		return CLI_REFUSED;
	}
	setup_say(false, s->certificate);
	(void)printf("         (signed by itself: replace it and %s by those of a certificate "
		     "authority)\n",
		     s->key);
	return CLI_DONE;
}

static void write_config(const struct setup *s, FILE *f)
{
	const char *host = s->is_private ? "127.0.0.1" : "*";

	(void)fprintf(f,
		      "# smtpd.yaml - settings of smtpd. Domains, accounts, aliases and keys are in\n"
		      "# data_dir and managed by smtpctl. Check this file with: smtpd -n -c FILE\n"
		      "hostname: %s\n"
		      "data_dir: %s\n"
		      "user: \"%s\"%s\n"
		      "tls:\n"
		      "  certificate: %s\n"
		      "  key: %s\n"
		      "listen:\n"
		      "  - { address: \"%s:%u\", role: mx }           # mail from other servers\n"
		      "  - { address: \"%s:%u\", role: submissions }  # TLS at once, then login\n"
		      "  - { address: \"%s:%u\", role: submission }   # STARTTLS, then login\n"
		      "delivery:\n"
		      "  maildir: %s/{domain}/{local_part}\n"
		      "relay:\n"
		      "  default: mx      # or the URL of a relay: smtp+starttls://user@relay.example.org\n",
		      s->hostname, s->data_dir, s->user,
		      s->user[0] == '\0' ? "                         # whoever starts it" : "",
		      s->certificate, s->key, host, s->port_base + 25, host, s->port_base + 465,
		      host, s->port_base + 587, s->mail_dir);
}

static int make_config(const struct setup *s)
{
	int fd = open(s->config_file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	FILE *f;

	if (fd < 0 && errno == EEXIST) {
		setup_say(true, s->config_file);
		return CLI_DONE;
	}
	f = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (f == NULL) {
		cli_error("%s: %s", s->config_file, strerror(errno));
		return CLI_REFUSED;
	}
	write_config(s, f);
	if (fflush(f) != 0 || fsync(fd) != 0 || fclose(f) != 0) {
		cli_error("%s: %s", s->config_file, strerror(errno));
		(void)unlink(s->config_file);
		return CLI_REFUSED;
	}
	setup_say(false, s->config_file);
	return CLI_DONE;
}

int setup_files(const struct setup *s)
{
	int status = make_folder(s, s->data_dir, 0700, true);

	if (status == CLI_DONE)
		status = make_folder(s, s->mail_dir, 0700, true);
	if (status == CLI_DONE)
		status = make_certificate(s);
	if (status == CLI_DONE)
		status = make_config(s);
	return status;
}
