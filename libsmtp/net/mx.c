/* SPDX-License-Identifier: ISC */
/* Which MX hosts count, and in what order. Look-ups are in resolver.c. */
#include "libsmtp/net/mx.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* A host that mail can be sent to: the grammar of RFC 5321, and no bare address (RFC 1123, 2.1: the
 * last label of a host name is not a number). */
bool smtp_mx_host_is_valid(const char *name)
{
	struct smtp_span text = smtp_span_of(name);
	const char *dot = strrchr(name, '.');
	const char *last = dot ? dot + 1 : name;

	return smtp_domain_is_valid(text) && strspn(last, "0123456789") < strlen(last);
}

void smtp_mx_keep(struct smtp_mx_answer *mx, uint16_t preference, const char *name)
{
	size_t i = mx->count;

	while (i > 0 && mx->hosts[i - 1].preference > preference)
		i--;
	if (i == SMTP_MX_MAX)
		return;
	if (mx->count < SMTP_MX_MAX)
		mx->count++;
	memmove(&mx->hosts[i + 1], &mx->hosts[i], (mx->count - i - 1) * sizeof mx->hosts[0]);
	mx->hosts[i].preference = preference;
	(void)snprintf(mx->hosts[i].name, sizeof mx->hosts[i].name, "%s", name);
}

static void swap_mx(struct smtp_mx_host *a, struct smtp_mx_host *b)
{
	struct smtp_mx_host kept = *a;

	*a = *b;
	*b = kept;
}

void smtp_mx_shuffle_equal(struct smtp_mx_answer *mx)
{
	for (size_t begin = 0, end; begin < mx->count; begin = end) {
		for (end = begin + 1; end < mx->count; end++)
			if (mx->hosts[end].preference != mx->hosts[begin].preference)
				break;
		for (size_t n = end - begin; n > 1; n--)
			swap_mx(&mx->hosts[begin + n - 1],
				&mx->hosts[begin + randombytes_uniform((uint32_t)n)]);
	}
}
