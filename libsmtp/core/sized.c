/* SPDX-License-Identifier: ISC */
/* sized.c - structs that begin with their size. */
#include "libsmtp/core/sized.h"

#include <string.h>

static size_t size_of(const void *given)
{
	size_t size;

	memcpy(&size, given, sizeof(size));
	return size;
}

bool smtp_sized_is_readable(const void *given, size_t known, size_t least)
{
	const uint8_t *octets = given;
	size_t size = given ? size_of(given) : 0;

	if (size < sizeof(size) || size < least)
		return false;
	for (size_t i = known; i < size; i++)
		if (octets[i] != 0)
			return false;
	return true;
}

int smtp_sized_copy(void *out, size_t known, const void *given, size_t least)
{
	size_t size;

	if (!smtp_sized_is_readable(given, known, least))
		return SMTP_EINVAL;
	size = size_of(given);
	memcpy(out, given, size < known ? size : known);
	memcpy(out, &known, sizeof(known));
	return 0;
}
