/* SPDX-License-Identifier: ISC */
/* middleware.c - the struct itself: making one, and reading one of another version. */
#include "libsmtp/core/middleware.h"

#include <string.h>

#include "libsmtp/core/server_session_private.h"

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

static bool handler_is_valid(const struct smtp_server_session_handler *handler)
{
	return handler && handler->size >= sizeof(handler->size) &&
	       server_tail_is_zero(handler, sizeof(*handler), handler->size);
}

int smtp_middleware_copy(struct smtp_middleware *out, const struct smtp_middleware *given)
{
	const size_t least = offsetof(struct smtp_middleware, user);
	const size_t known = sizeof(*out);

	if (!given || given->size < least || !server_tail_is_zero(given, known, given->size) ||
	    !handler_is_valid(given->handler))
		return SMTP_EINVAL;
	*out = smtp_middleware_of(NULL, NULL, NULL);
	memcpy(out, given, given->size < known ? given->size : known);
	out->size = known;
	return 0;
}
