/* SPDX-License-Identifier: ISC */
/* store.c - opens what commands work on, and says in one line what went wrong with it. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "smtpctl/smtpctl.h"

struct config *ctl_config(const struct smtpctl *ctl)
{
	const char *file = ctl->config_file != NULL ? ctl->config_file : CONFIG_DEFAULT_FILE;
	struct config_errors errors = { .count = 0 };
	struct config *config = NULL;
	int err = config_load(file, &config, &errors);
	size_t i;

	for (i = 0; i < errors.count; i++)
		cli_error("%s", errors.lines[i]);
	if (err != 0 && errors.count == 0)
		cli_error("%s: %s", file, smtp_error_str(err));
	config_errors_release(&errors);
	return err == 0 ? config : NULL;
}

struct smtp_accounts *ctl_accounts(const struct smtpctl *ctl, enum smtp_accounts_open mode)
{
	struct config *config = ctl_config(ctl);
	struct smtp_accounts *accounts = NULL;
	char *path = NULL;
	int err;

	if (config == NULL)
		return NULL;
	err = config_data_path(config, CONFIG_ACCOUNTS_FILE, &path);
	if (err == 0)
		err = smtp_accounts_open(&accounts, path, mode);
	if (err != 0)
		cli_error("%s: %s%s", path != NULL ? path : config->data_dir, smtp_error_str(err),
			  err == SMTP_ENOTFOUND ? " (smtpctl setup makes it)" :
			  err == SMTP_EACCESS	? " (run smtpctl as root or as the user of smtpd)" :
						  "");
	free(path);
	config_free(config);
	return err == 0 ? accounts : NULL;
}

int ctl_result(const struct smtp_accounts *accounts, const char *what, int error)
{
	const char *more = accounts != NULL ? smtp_accounts_problem(accounts) : "";

	if (error == 0)
		return CLI_DONE;
	if (more[0] != '\0')
		cli_error("%s", more);
	else
		cli_error("%s: %s", what, smtp_error_str(error));
	return CLI_REFUSED;
}

void ctl_time(int64_t seconds, bool json, char out[CTL_TIME_MAX])
{
	time_t t = (time_t)seconds;
	struct tm tm;

	out[0] = '\0';
	if (seconds != 0 && (json ? gmtime_r(&t, &tm) : localtime_r(&t, &tm)) != NULL)
		(void)strftime(out, CTL_TIME_MAX, json ? "%Y-%m-%dT%H:%M:%SZ" : "%Y-%m-%d %H:%M:%S",
			       &tm);
}
