/* SPDX-License-Identifier: ISC */
/* dns_message.h - reads the answer section of DNS messages (RFC 1035, 4.1), bounded: names by their
 * length, compression by pointing backwards only, records by the octets that are there. It asks
 * nothing and knows no server.
 */
#ifndef SMTP_NET_DNS_MESSAGE_H
#define SMTP_NET_DNS_MESSAGE_H

#include <smtp/base.h>

enum {
	SMTP_DNS_TYPE_A = 1,
	SMTP_DNS_TYPE_CNAME = 5,
	SMTP_DNS_TYPE_MX = 15,
	SMTP_DNS_TYPE_AAAA = 28,
	SMTP_DNS_CLASS_IN = 1,
	SMTP_DNS_CODE_NO_NAME = 3
};

/* A name of 255 octets as text, each octet escaped as \DDD at worst. */
enum { SMTP_DNS_NAME_TEXT_MAX = 1020 };

/** Walks the records of one type, following aliases from the name that was asked for. */
struct smtp_dns_reader {
	struct smtp_span message;
	size_t at;
	unsigned code;    /* 0, or why there is no answer (RCODE) */
	unsigned records; /* of the answer section, not yet read */
	uint16_t type;
	char owner[SMTP_DNS_NAME_TEXT_MAX + 1]; /* the name asked for, or where its aliases led */
};

struct smtp_dns_record {
	struct smtp_span data; /* borrows from the message */
	size_t at;             /* of data in the message, for names in it */
};

/** Reads a name at *at as text without the last dot ("" is the root), in lower case, octets other than
 *  letters, digits, '-' and '_' as \DDD; moves *at behind it. SMTP_ESYNTAX. */
SMTP_MUST_USE int smtp_dns_name_read(struct smtp_span message, size_t *at,
				     char out[SMTP_DNS_NAME_TEXT_MAX + 1]);
/** Reads header and question. SMTP_ESYNTAX. */
SMTP_MUST_USE int smtp_dns_reader_init(struct smtp_dns_reader *rd, struct smtp_span message,
				       uint16_t type);
/** The next record of the type that belongs to the name: 1, 0 at the end, SMTP_ESYNTAX. */
SMTP_MUST_USE int smtp_dns_reader_next(struct smtp_dns_reader *rd, struct smtp_dns_record *record);
/** Preference and exchange of an MX record. SMTP_ESYNTAX. */
SMTP_MUST_USE int smtp_dns_mx_read(const struct smtp_dns_reader *rd,
				   const struct smtp_dns_record *record, uint16_t *preference,
				   char exchange[SMTP_DNS_NAME_TEXT_MAX + 1]);

#endif
