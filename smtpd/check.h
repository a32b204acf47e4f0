/* SPDX-License-Identifier: ISC */
/* check.h - what smtpd -n looks at beside the settings, and the passphrase of the key. */
#ifndef SMTPD_CHECK_H
#define SMTPD_CHECK_H

#include "config/config.h"

enum { CHECK_PROBLEM_MAX = 512, PASSPHRASE_MAX = 1024 };

/** Reads the passphrase of the certificate's key; "" when there is none. SMTP_EACCESS. Wipe it. */
SMTP_MUST_USE int check_read_passphrase(const struct config *, char out[PASSPHRASE_MAX]);
/** User, data_dir and certificate as a start would find them. Gives up root for good. Somebody who could
 *  not start this smtpd can't look there: 0 then. */
SMTP_MUST_USE int check_surroundings(const struct config *, char problem[CHECK_PROBLEM_MAX]);

#endif
