/* SPDX-License-Identifier: ISC */
/* middleware.c - the struct itself: making one, and reading one of another version. */
#include "libsmtp/core/middleware.h"

#include "libsmtp/core/sized.h"

struct smtp_middleware smtp_middleware_of(const char *name,
					  const struct smtp_server_session_handler *handler,
					  void *user)
{
	return (struct smtp_middleware){
		.size = sizeof(struct smtp_middleware),
		.name = name,
		.handler = handler,
		.user = user,
	};
}

int smtp_middleware_copy(struct smtp_middleware *out, const struct smtp_middleware *given)
{
	struct smtp_middleware copy = smtp_middleware_of(NULL, NULL, NULL);

	if (smtp_sized_copy(&copy, sizeof(copy), given, offsetof(struct smtp_middleware, user)) != 0 ||
	    !smtp_sized_is_readable(copy.handler, sizeof(*copy.handler), 0))
		return SMTP_EINVAL;
	*out = copy;
	return 0;
}
