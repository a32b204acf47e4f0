/* SPDX-License-Identifier: ISC */
/* setup_files.h - the files, folders and system user of a first set-up. */
#ifndef SMTPCTL_SETUP_FILES_H
#define SMTPCTL_SETUP_FILES_H

#include <limits.h>
#include <stdbool.h>
#include <smtp/address.h>
#include <sys/types.h>

struct setup {
	char domain[SMTP_DOMAIN_MAX + 1], hostname[SMTP_DOMAIN_MAX + 1];
	unsigned port_base;
	bool hostname_given;
	bool is_private; /* below one folder, on loopback */
	char config_file[PATH_MAX], data_dir[PATH_MAX], mail_dir[PATH_MAX];
	char certificate[PATH_MAX], key[PATH_MAX];
	char user[64]; /* who runs smtpd; "" : whoever starts it */
	uid_t uid;     /* owner of what is made, when we are root */
	gid_t gid;
};

/** Decides where everything goes and who owns it. `dir` NULL: the system's places, which take root.
 *  Returns an exit status after saying what is wrong. */
int setup_paths(struct setup *s, const char *dir, const char *config_file);
/** Makes folders, certificate and configuration as far as they are missing. */
int setup_files(const struct setup *s);
/** "  made   X" or "  found  X". */
void setup_say(bool found, const char *what);

#endif
