/* SPDX-License-Identifier: ISC */
/* error.c - the texts of errors and the version of the library. It holds no state: what went wrong
 * travels as a return value.
 */
#include <smtp/base.h>

#define ERROR_CASE(name, value, text)                                                              \
	case SMTP_##name:                                                                          \
		return text;

const char *smtp_error_str(int error)
{
	switch (error) {
	case SMTP_OK:
		return "success";
	SMTP_ERROR_MAP(ERROR_CASE)
	default:
		return "unknown error";
	}
}

const char *smtp_library_version(void)
{
	return LIBSMTP_VERSION;
}
