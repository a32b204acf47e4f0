/* SPDX-License-Identifier: ISC */
/* domain_name.c - folds domains for comparing. What IDNA says is asked of net/idn.c. */
#include "libsmtp/middleware/domain_name.h"

#include <string.h>

#include "libsmtp/core/span.h"
#include "libsmtp/net/idn.h"

static bool is_ascii(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text > 127)
			return false;
	return true;
}

static int fold(char out[SMTP_DOMAIN_MAX + 1], const char *ascii)
{
	size_t n = strlen(ascii);

	if (n > SMTP_DOMAIN_MAX)
		return SMTP_EINVAL;
	for (size_t i = 0; i <= n; i++)
		out[i] = (char)smtp_ascii_lower((uint8_t)ascii[i]);
	return 0;
}

int domain_name_fold(char out[SMTP_DOMAIN_MAX + 1], const char *domain)
{
	char labels[SMTP_DOMAIN_MAX + 1];
	int err;

	if (is_ascii(domain))
		return fold(out, domain);
	err = smtp_idn_to_ascii(domain, labels);
	if (err)
		return err == SMTP_ENOMEM ? err : SMTP_EINVAL;
	return fold(out, labels);
}
