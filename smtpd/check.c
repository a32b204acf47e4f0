/* SPDX-License-Identifier: ISC */
/* check.c - tells before a start or a reload what would go wrong outside the configuration file: the
 * user, data_dir, the certificate. Ports are left out: a running smtpd has them.
 */
#include "smtpd/check.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libsmtp/net/tls.h"
#include "smtpd/privileges.h"

int check_read_passphrase(const struct config *config, char out[PASSPHRASE_MAX])
{
	const char *path = config->tls_key_passphrase_file;
	ssize_t n;
	int fd;

	out[0] = '\0';
	if (path[0] == '\0')
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, out, PASSPHRASE_MAX - 1) : -1; /* stdio would keep a copy */
	if (fd >= 0)
		(void)close(fd);
	out[n > 0 ? n : 0] = '\0';
	out[strcspn(out, "\r\n")] = '\0';
	return n < 0 ? SMTP_EACCESS : 0;
}

static int check_certificate(const struct config *config, char problem[CHECK_PROBLEM_MAX])
{
	char passphrase[PASSPHRASE_MAX], why[SMTP_TLS_PROBLEM_MAX] = "";
	struct smtp_tls_context *tls = NULL;
	int err;

	if (config->tls_certificate[0] == '\0')
		return 0;
	err = check_read_passphrase(config, passphrase);
	if (err != 0)
		(void)snprintf(why, sizeof why, "%.200s: %s", config->tls_key_passphrase_file,
			       smtp_error_str(err));
	else
		err = smtp_tls_server_context_new(&tls, config->tls_certificate, config->tls_key,
						  passphrase[0] != '\0' ? passphrase : NULL, why);
	explicit_bzero(passphrase, sizeof passphrase);
	if (err == 0)
		smtp_tls_context_unref(tls);
	else
		(void)snprintf(problem, CHECK_PROBLEM_MAX, "%s", why);
	return err;
}

int check_surroundings(const struct config *config, char problem[CHECK_PROBLEM_MAX])
{
	char why[PRIVILEGES_PROBLEM_MAX] = "";
	int err;

	if (geteuid() != 0 && config->user[0] != '\0')
		return 0;
	err = privileges_drop(config, why);
	if (err == 0)
		err = privileges_check_data(config, why);
	if (err != 0)
		(void)snprintf(problem, CHECK_PROBLEM_MAX, "%s", why);
	return err != 0 ? err : check_certificate(config, problem);
}
