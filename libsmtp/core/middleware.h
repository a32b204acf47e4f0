/* SPDX-License-Identifier: ISC */
/* middleware.h - middleware as it is given, of this version or another, to middleware as it is kept. */
#ifndef SMTP_CORE_MIDDLEWARE_H
#define SMTP_CORE_MIDDLEWARE_H

#include <smtp/middleware.h>

/** SMTP_EINVAL: no functions, or a struct of an unknown version. */
SMTP_MUST_USE int smtp_middleware_copy(struct smtp_middleware *out,
				       const struct smtp_middleware *given);

#endif
