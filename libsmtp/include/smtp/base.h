/* SPDX-License-Identifier: ISC */
/* base.h - what every other header of libsmtp stands on: borrowed bytes, errors, versions.
 * Threads: everything here is pure; call it from any thread.
 * Errors:  functions return 0 or a negative enum smtp_error; smtp_error_str() names it. What a
 *          peer answers is a value (struct smtp_reply), not an error.
 * Structs: one that begins with `size` grows at its end from version to version. Its _INIT macro or _init()
 *          function sets the size, where there is neither the caller: sizeof the struct. A library takes
 *          structs of older versions, and those of newer ones as long as what it does not know is zero.
 */
#ifndef SMTP_BASE_H
#define SMTP_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SMTP_API __attribute__((visibility("default")))
#define SMTP_MUST_USE __attribute__((warn_unused_result))
#else
#define SMTP_API
#define SMTP_MUST_USE
#endif

/** Borrowed bytes: may hold NUL, are never freed, p may be NULL when n is 0. */
struct smtp_span {
	const uint8_t *p;
	size_t n;
};

/** The bytes of a NUL-terminated string, without the NUL. Borrowed; NULL gives the empty span. */
SMTP_API struct smtp_span smtp_span_of(const char *text);

/** All errors, once: name, value, text. */
#define SMTP_ERROR_MAP(X)                                                                          \
	X(EINVAL, -1, "invalid argument")                                                          \
	X(ENOMEM, -2, "out of memory")                                                             \
	X(ESTATE, -3, "not possible in this state")                                                \
	X(EPROTO, -4, "the peer broke the protocol")                                               \
	X(ESYNTAX, -5, "syntax error")                                                             \
	X(ETOOLONG, -6, "longer than its limit")                                                   \
	X(ETIMEDOUT, -7, "timed out")                                                              \
	X(ECLOSED, -8, "the connection was closed")                                                \
	X(EIO, -9, "input or output error")                                                        \
	X(ENOSPC, -10, "no space left on the device")                                              \
	X(ETLS, -11, "TLS failed")                                                                 \
	X(ERESOLVE, -12, "the name could not be resolved")                                         \
	X(ECONNECT, -13, "no address of the host could be reached")                                \
	X(EAUTH, -14, "authentication failed")                                                     \
	X(ENOTSUP, -15, "not supported by the peer")                                               \
	X(ENOTFOUND, -16, "not found")                                                             \
	X(EEXISTS, -17, "exists already")                                                          \
	X(EBUSY, -18, "busy, try again")                                                           \
	X(ECORRUPT, -19, "stored data is damaged")                                                 \
	X(EVERSION, -20, "stored data is of a newer version")                                      \
	X(ECANCELED, -21, "cancelled")                                                             \
	X(EREFUSED, -22, "refused by the peer")                                                    \
	X(EACCESS, -23, "permission denied")

#define SMTP_ERROR_ENUM(name, value, text) SMTP_##name = value,
enum smtp_error { SMTP_OK = 0, SMTP_ERROR_MAP(SMTP_ERROR_ENUM) };
#undef SMTP_ERROR_ENUM

/** A static English text for an error of this library; never NULL, also for unknown values. */
SMTP_API const char *smtp_error_str(int error);

/** The version of the library that runs, such as "0.1.0"; static. */
SMTP_API const char *smtp_library_version(void);

#ifdef __cplusplus
}
#endif
#endif
