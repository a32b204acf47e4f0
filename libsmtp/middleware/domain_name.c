/* SPDX-License-Identifier: ISC */
/* domain_name.c - the adapter of libidn2 for comparing domains. */
#include "libsmtp/middleware/domain_name.h"

#include <idn2.h>
#include <string.h>

#include "libsmtp/core/span.h"

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
	uint8_t *labels = NULL;
	int err;

	if (is_ascii(domain))
		return fold(out, domain);
	err = idn2_lookup_u8((const uint8_t *)domain, &labels,
			     IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (err != IDN2_OK)
		return err == IDN2_MALLOC ? SMTP_ENOMEM : SMTP_EINVAL;
	err = fold(out, (const char *)labels);
	idn2_free(labels);
	return err;
}
