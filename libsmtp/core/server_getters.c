/* SPDX-License-Identifier: ISC */
/* server_getters.c - what handlers and drivers may ask of a server session. Nothing changes here but
 * the pointers that they keep in it.
 */
#include "libsmtp/core/server_session_private.h"

const char *smtp_server_session_helo_name(const struct smtp_server_session *s)
{
	return s->helo_name ? s->helo_name : "";
}

const char *smtp_server_session_protocol(const struct smtp_server_session *s)
{
	static const char *const names[][4] = {
		{ "ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA" },
		{ "LMTP", "LMTPS", "LMTPA", "LMTPSA" },
		{ "UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA" }, /* RFC 6531, 4.3 */
		{ "UTF8LMTP", "UTF8LMTPS", "UTF8LMTPA", "UTF8LMTPSA" },
	};
	unsigned kind = (s->options.lmtp ? 1u : 0u) + (s->txn.smtputf8 ? 2u : 0u);
	bool extended = s->xclient.has_proto ? s->xclient.extended : s->extended;

	if (!extended && !s->options.lmtp)
		return "SMTP"; /* RFC 3848 has no name for HELO with TLS */
	return names[kind][(s->tls ? 1 : 0) + (s->account ? 2 : 0)];
}

bool smtp_server_session_has_tls(const struct smtp_server_session *s)
{
	return s->tls;
}

const char *smtp_server_session_tls_description(const struct smtp_server_session *s)
{
	return s->tls_description ? s->tls_description : "";
}

const char *smtp_server_session_account(const struct smtp_server_session *s)
{
	return s->account;
}

uint64_t smtp_server_session_now_ms(const struct smtp_server_session *s)
{
	return s->now_ms;
}

uint64_t smtp_server_session_question(const struct smtp_server_session *s)
{
	return s->questions;
}

bool smtp_server_session_in_transaction(const struct smtp_server_session *s)
{
	return server_transaction_is_open(s);
}

size_t smtp_server_session_recipient_count(const struct smtp_server_session *s)
{
	return s->txn.recipients;
}

uint64_t smtp_server_session_content_bytes(const struct smtp_server_session *s)
{
	return s->content.decoder.octets;
}

void smtp_server_session_set_driver(struct smtp_server_session *s, void *driver)
{
	s->driver = driver;
}

void smtp_server_session_set_user(struct smtp_server_session *s, void *user)
{
	s->user = user;
}

void *smtp_server_session_user(const struct smtp_server_session *s)
{
	return s->user;
}

void *smtp_server_session_driver(const struct smtp_server_session *s)
{
	return s->driver;
}

void **smtp_server_session_slot(struct smtp_server_session *s,
				const struct smtp_server_session_handler *handler)
{
	size_t i = s->run.waiting ? s->run.next : s->current;

	if (i < s->handler_count && s->handlers[i].functions == handler)
		return &s->handlers[i].slot;
	for (i = 0; i < s->handler_count; i++)
		if (s->handlers[i].functions == handler)
			return &s->handlers[i].slot;
	return NULL;
}
