/* SPDX-License-Identifier: ISC */
/* server_fields.c - header fields that handlers add to the message of a transaction. They are only kept
 * here, in the order in which they are to stand; whoever takes the content puts them above it.
 */
#include "libsmtp/core/server_session_private.h"

#include <stdlib.h>
#include <string.h>

/* field = name ":" body CRLF; each CRLF but the last is followed by a blank (RFC 5322, 2.2). */
static bool name_is_valid(struct smtp_span field, size_t *n)
{
	for (*n = 0; *n < field.n && field.p[*n] != ':'; ++*n)
		if (field.p[*n] <= ' ' || field.p[*n] > '~')
			return false;
	return *n > 0 && *n < field.n;
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static bool field_is_valid(struct smtp_span field)
{
	size_t i;

	if (field.n < 3 || !name_is_valid(field, &i))
		return false;
	for (; i < field.n; i++) {
		if (field.p[i] == '\0' || field.p[i] == '\n')
			return false;
		if (field.p[i] != '\r')
			continue;
		if (++i == field.n || field.p[i] != '\n')
			return false;
		if (i + 1 == field.n)
			return true;
		if (!is_blank(field.p[i + 1]))
			return false;
	}
	return false;
}

static bool may_add(const struct smtp_server_session *s)
{
	return s->run.phase == SERVER_PHASE_MAIL || smtp_server_session_in_transaction(s);
}

static struct smtp_buf *fields_of(struct smtp_server_session *s)
{
	if (!s->txn.fields) {
		s->txn.fields = malloc(sizeof *s->txn.fields);
		if (s->txn.fields)
			smtp_buf_init(s->txn.fields, SERVER_FIELDS_MAX);
	}
	return s->txn.fields;
}

void server_fields_release(struct smtp_server_session *s)
{
	if (s->txn.fields)
		smtp_buf_release(s->txn.fields);
	free(s->txn.fields);
	s->txn.fields = NULL;
}

int smtp_server_session_add_field(struct smtp_server_session *s, struct smtp_span field)
{
	struct smtp_buf *fields;
	int err;

	if (!may_add(s))
		return SMTP_ESTATE;
	if (!field_is_valid(field))
		return SMTP_ESYNTAX;
	fields = fields_of(s);
	if (!fields)
		return SMTP_ENOMEM;
	err = smtp_buf_reserve(fields, field.n);
	if (err)
		return err;
	if (fields->n > 0)
		memmove(fields->p + field.n, fields->p, fields->n);
	memcpy(fields->p, field.p, field.n);
	fields->n += field.n;
	return 0;
}

struct smtp_span smtp_server_session_fields(const struct smtp_server_session *s)
{
	return s->txn.fields ? smtp_buf_span(s->txn.fields) : smtp_span_make(NULL, 0);
}
