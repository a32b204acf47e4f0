/* SPDX-License-Identifier: ISC */
/* server_options.c - options and functions of the server session, of this version or another, and the
 * defaults.
 */
#include <string.h>

#include "libsmtp/core/server_session_private.h"
#include "libsmtp/core/sized.h"

static const struct smtp_server_session_options defaults = SMTP_SERVER_SESSION_OPTIONS_INIT;

void smtp_server_session_options_init(struct smtp_server_session_options *options)
{
	*options = defaults;
}

int server_options_copy(struct smtp_server_session_options *out,
			const struct smtp_server_session_options *options)
{
	static const uint64_t zero[sizeof(out->reserved) / sizeof(*out->reserved)];
	const size_t least = offsetof(struct smtp_server_session_options, extensions);

	*out = defaults;
	if (smtp_sized_copy(out, sizeof(*out), options, least) != 0 ||
	    memcmp(out->reserved, zero, sizeof(zero)) != 0)
		return SMTP_EINVAL;
	if (!server_custom_is_valid(out) || (out->xclient_network_count > 0 && !out->xclient_networks))
		return SMTP_EINVAL;
	if (out->max_recipients < 100)
		out->max_recipients = 100; /* RFC 5321, 4.5.3.1.8 */
	if (out->require_tls)
		out->auth_needs_tls = true; /* a login is no exception */
	return 0;
}

bool server_handler_has(const struct smtp_server_session_handler *handler, size_t member)
{
	void (*function)(void) = NULL;

	if (handler->size < member + sizeof(function))
		return false;
	memcpy(&function, (const uint8_t *)handler + member, sizeof(function));
	return function != NULL;
}

const char *smtp_disconnect_reason_str(enum smtp_disconnect_reason reason)
{
	static const char *const names[] = {
		[SMTP_DISCONNECT_QUIT] = "quit",
		[SMTP_DISCONNECT_PEER_CLOSED] = "peer-closed",
		[SMTP_DISCONNECT_TIMEOUT] = "timeout",
		[SMTP_DISCONNECT_ERRORS] = "errors",
		[SMTP_DISCONNECT_PROTOCOL] = "protocol",
		[SMTP_DISCONNECT_REFUSED] = "refused",
		[SMTP_DISCONNECT_SHUTDOWN] = "shutdown",
		[SMTP_DISCONNECT_TLS] = "tls",
		[SMTP_DISCONNECT_IO] = "io",
	};

	if ((size_t)reason >= sizeof(names) / sizeof(*names))
		return "unknown";
	return names[reason];
}
