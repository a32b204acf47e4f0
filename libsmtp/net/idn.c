/* SPDX-License-Identifier: ISC */
/* idn.c - the adapter of libidn2 for sending. Names of other use, such as with '_', come out as well:
 * whoever sends them checks them.
 */
#include "libsmtp/net/idn.h"

#include <idn2.h>
#include <string.h>

static int error_of(int code)
{
	if (code == IDN2_MALLOC)
		return SMTP_ENOMEM;
	return code == IDN2_TOO_BIG_DOMAIN || code == IDN2_TOO_BIG_LABEL ? SMTP_ETOOLONG :
									   SMTP_ESYNTAX;
}

int smtp_idn_to_ascii(const char *domain, char out[SMTP_DOMAIN_MAX + 1])
{
	uint8_t *labels = NULL;
	int code = idn2_lookup_u8((const uint8_t *)domain, &labels,
				  IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	size_t n;

	if (code != IDN2_OK)
		return error_of(code);
	n = strlen((const char *)labels);
	if (n <= SMTP_DOMAIN_MAX)
		memcpy(out, labels, n + 1);
	idn2_free(labels);
	return n <= SMTP_DOMAIN_MAX ? 0 : SMTP_ETOOLONG;
}
