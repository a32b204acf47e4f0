/* SPDX-License-Identifier: ISC */
/* smtpctl.h - what the families of sub-commands share: the program's own options, the configuration, the
 * account store, the daemon's control socket.
 */
#ifndef SMTPCTL_SMTPCTL_H
#define SMTPCTL_SMTPCTL_H

#include <smtp/accounts.h>
#include "cli/command.h"
#include "config/config.h"
#include "libsmtp/core/buf.h"

/** The program's own options; `user` of every command. */
struct smtpctl {
	const char *config_file; /* NULL: the default */
	bool json;
};

/* ---- store.c ---- */

/** Reads the configuration; NULL after saying what is wrong. */
struct config *ctl_config(const struct smtpctl *ctl);
/** Opens the account store; NULL after saying what is wrong. */
struct smtp_accounts *ctl_accounts(const struct smtpctl *ctl, enum smtp_accounts_open mode);
/** Says how an operation on `what` ended, in one line on standard error unless it went well. Returns the
 *  exit status. */
int ctl_result(const struct smtp_accounts *accounts, const char *what, int error);
/** For people local time, "2026-11-20 12:00:00", for programs "2026-11-20T11:00:00Z"; "" for 0. */
enum { CTL_TIME_MAX = 32 };
void ctl_time(int64_t seconds, bool json, char out[CTL_TIME_MAX]);

/* ---- control_client.c ---- */

/** Asks the running daemon. 0 and *lines (what stands behind "ok"), SMTP_ENOTFOUND when none runs,
 *  another error after it was refused or broke; `problem` then tells more. Release *lines. */
enum { CTL_PROBLEM_MAX = 256 };
SMTP_MUST_USE int ctl_ask(const struct config *config, const char *request, struct smtp_buf *lines,
			  char problem[CTL_PROBLEM_MAX]);

/* ---- The commands, a file for each family ---- */

#define CTL_COMMAND(name) int name(const struct cli_command *, int argc, char **argv, void *user)
CTL_COMMAND(ctl_setup);
CTL_COMMAND(ctl_domain_add);
CTL_COMMAND(ctl_domain_list);
CTL_COMMAND(ctl_domain_show);
CTL_COMMAND(ctl_domain_remove);
CTL_COMMAND(ctl_account_add);
CTL_COMMAND(ctl_account_passwd);
CTL_COMMAND(ctl_account_list);
CTL_COMMAND(ctl_account_show);
CTL_COMMAND(ctl_account_disable);
CTL_COMMAND(ctl_account_enable);
CTL_COMMAND(ctl_account_remove);
CTL_COMMAND(ctl_alias_add);
CTL_COMMAND(ctl_alias_list);
CTL_COMMAND(ctl_alias_remove);
CTL_COMMAND(ctl_dkim_add);
CTL_COMMAND(ctl_dkim_list);
CTL_COMMAND(ctl_dkim_show);
CTL_COMMAND(ctl_queue_list);
CTL_COMMAND(ctl_queue_show);
CTL_COMMAND(ctl_queue_cat);
CTL_COMMAND(ctl_queue_retry);
CTL_COMMAND(ctl_queue_remove);
CTL_COMMAND(ctl_status);
CTL_COMMAND(ctl_reload);
CTL_COMMAND(ctl_stop);

extern const struct cli_option ctl_setup_options[], ctl_domain_add_options[],
	ctl_account_add_options[], ctl_account_passwd_options[], ctl_dkim_add_options[],
	ctl_queue_retry_options[];

/* ---- Shared between families ---- */

/** Makes a DKIM key of a domain with that selector and stores it. 0 or an error. */
SMTP_MUST_USE int ctl_dkim_make(struct smtp_accounts *accounts, const char *domain,
				const char *selector);
/** Prints the DNS record of a key as zone file text. */
int ctl_dkim_print(const char *domain, const char *selector, const char *algorithm,
		   const char *public_base64);
/** Prints the DNS records of a domain whose mail this host takes, as zone file text. Exit status. */
int ctl_print_records(struct smtp_accounts *accounts, const char *domain, const char *hostname);
/** Says on standard error when mail to that address finds nobody: it may be made later, but more often it
 *  is a slip of the pen. 0 or an error. */
SMTP_MUST_USE int ctl_warn_of_unknown(struct smtp_accounts *accounts, const char *target);
/** Stores an account with that password; "" as name is none. 0 or an error. */
SMTP_MUST_USE int ctl_account_store(struct smtp_accounts *accounts, const char *address,
				    const char *name, struct smtp_span password);

#endif
