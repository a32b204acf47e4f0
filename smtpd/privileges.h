/* SPDX-License-Identifier: ISC */
/* privileges.h - becomes the user of the configuration, and checks that the data belongs to him. */
#ifndef SMTPD_PRIVILEGES_H
#define SMTPD_PRIVILEGES_H

#include "config/config.h"

enum { PRIVILEGES_PROBLEM_MAX = 512 };

/** When started as root: becomes config.user for good, with his groups. Otherwise nothing. */
SMTP_MUST_USE int privileges_drop(const struct config *, char problem[PRIVILEGES_PROBLEM_MAX]);
/** Is data_dir a folder, owned by who we are now, and closed to writes of others? */
SMTP_MUST_USE int privileges_check_data(const struct config *,
					char problem[PRIVILEGES_PROBLEM_MAX]);

#endif
