/* SPDX-License-Identifier: ISC */
/* Reads the answer section of DNS messages. The resolver hands over what came from the network, so
 * nothing here trusts a length or a pointer.
 */
#include "libsmtp/net/dns_message.h"
#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

#include <string.h>

enum { HEADER_SIZE = 12, LABEL_MAX = 63, NAME_MAX_OCTETS = 255, POINTER_BITS = 0xc0 };

static int read_u8(struct smtp_span message, size_t *at, uint8_t *out)
{
	if (*at >= message.n)
		return SMTP_ESYNTAX;
	*out = message.p[(*at)++];
	return 0;
}

static int read_u16(struct smtp_span message, size_t *at, uint16_t *out)
{
	uint8_t high, low;

	if (read_u8(message, at, &high) != 0 || read_u8(message, at, &low) != 0)
		return SMTP_ESYNTAX;
	*out = (uint16_t)(high << 8 | low);
	return 0;
}

static size_t write_octet(char *out, size_t n, uint8_t c)
{
	if (smtp_is(c, SMTP_CC_LET_DIG) || c == '-' || c == '_') {
		out[n++] = (char)smtp_ascii_lower(c);
		return n;
	}
	out[n++] = '\\';
	out[n++] = (char)('0' + c / 100);
	out[n++] = (char)('0' + c / 10 % 10);
	out[n++] = (char)('0' + c % 10);
	return n;
}

/* A label is appended to `out`; *octets counts the name as it is on the wire. */
static int read_label(struct smtp_span message, size_t *at, uint8_t length, char *out, size_t *n,
		      size_t *octets)
{
	if (length > LABEL_MAX || length > message.n - *at)
		return SMTP_ESYNTAX;
	*octets += (size_t)length + 1;
	if (*octets >= NAME_MAX_OCTETS)
		return SMTP_ESYNTAX;
	if (*n > 0)
		out[(*n)++] = '.';
	for (uint8_t i = 0; i < length; i++)
		*n = write_octet(out, *n, message.p[(*at)++]);
	return 0;
}

/* Every pointer must lead to before the part of the name that holds it: that ends in any case. */
int smtp_dns_name_read(struct smtp_span message, size_t *at, char out[SMTP_DNS_NAME_TEXT_MAX + 1])
{
	size_t from = *at, begin = *at, behind = 0, n = 0, octets = 0;
	uint8_t length, low;

	for (;;) {
		if (read_u8(message, &from, &length) != 0)
			return SMTP_ESYNTAX;
		if ((length & POINTER_BITS) == POINTER_BITS) {
			if (read_u8(message, &from, &low) != 0)
				return SMTP_ESYNTAX;
			if (behind == 0)
				behind = from;
			from = (size_t)(length & ~POINTER_BITS) << 8 | low;
			if (from >= begin)
				return SMTP_ESYNTAX;
			begin = from;
		} else if (length == 0) {
			break;
		} else if (read_label(message, &from, length, out, &n, &octets) != 0) {
			return SMTP_ESYNTAX;
		}
	}
	out[n] = '\0';
	*at = behind != 0 ? behind : from;
	return 0;
}

int smtp_dns_reader_init(struct smtp_dns_reader *rd, struct smtp_span message, uint16_t type)
{
	uint16_t questions, answers, question_type, question_class;

	memset(rd, 0, sizeof *rd);
	rd->message = message;
	rd->type = type;
	rd->at = 4; /* behind id and flags */
	if (message.n < HEADER_SIZE || read_u16(message, &rd->at, &questions) != 0 ||
	    read_u16(message, &rd->at, &answers) != 0 || questions != 1)
		return SMTP_ESYNTAX;
	rd->at = HEADER_SIZE;
	if (smtp_dns_name_read(message, &rd->at, rd->owner) != 0 ||
	    read_u16(message, &rd->at, &question_type) != 0 ||
	    read_u16(message, &rd->at, &question_class) != 0)
		return SMTP_ESYNTAX;
	rd->records = answers;
	rd->code = message.p[3] & 0x0f;
	return 0;
}

/* One record of any type; its owner goes to `owner`. */
static int read_record(struct smtp_dns_reader *rd, char *owner, uint16_t *type,
		       struct smtp_dns_record *record)
{
	uint16_t class, length;

	if (smtp_dns_name_read(rd->message, &rd->at, owner) != 0 ||
	    read_u16(rd->message, &rd->at, type) != 0 ||
	    read_u16(rd->message, &rd->at, &class) != 0)
		return SMTP_ESYNTAX;
	rd->at += 4; /* time to live */
	if (class != SMTP_DNS_CLASS_IN || read_u16(rd->message, &rd->at, &length) != 0 ||
	    length > rd->message.n - rd->at)
		return SMTP_ESYNTAX;
	record->at = rd->at;
	record->data = smtp_span_slice(rd->message, rd->at, length);
	rd->at += length;
	return 0;
}

static int follow_alias(struct smtp_dns_reader *rd, const struct smtp_dns_record *record)
{
	size_t at = record->at;

	if (smtp_dns_name_read(rd->message, &at, rd->owner) != 0 ||
	    at != record->at + record->data.n)
		return SMTP_ESYNTAX;
	return 0;
}

int smtp_dns_reader_next(struct smtp_dns_reader *rd, struct smtp_dns_record *record)
{
	char owner[SMTP_DNS_NAME_TEXT_MAX + 1];
	uint16_t type;

	while (rd->records > 0) {
		rd->records--;
		if (read_record(rd, owner, &type, record) != 0)
			return SMTP_ESYNTAX;
		if (strcmp(owner, rd->owner) != 0)
			continue;
		if (type == rd->type)
			return 1;
		if (type == SMTP_DNS_TYPE_CNAME && follow_alias(rd, record) != 0)
			return SMTP_ESYNTAX;
	}
	return 0;
}

int smtp_dns_mx_read(const struct smtp_dns_reader *rd, const struct smtp_dns_record *record,
		     uint16_t *preference, char exchange[SMTP_DNS_NAME_TEXT_MAX + 1])
{
	size_t at = record->at;

	if (read_u16(rd->message, &at, preference) != 0 ||
	    smtp_dns_name_read(rd->message, &at, exchange) != 0 ||
	    at != record->at + record->data.n)
		return SMTP_ESYNTAX;
	return 0;
}
