/* SPDX-License-Identifier: ISC */
/* A DNS server in a thread of the test, on a UDP port of 127.0.0.1: it answers with what a table of
 * records says and counts how often it was asked. Test code only.
 */
#ifndef TESTS_UNIT_DNS_RESPONDER_H
#define TESTS_UNIT_DNS_RESPONDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dns_record {
	const char *name; /* lower case, without the last dot */
	uint16_t type;    /* 0: a rule for all types of the name */
	uint16_t preference;
	const char *data; /* a name, an address, a text; "" is the root */
};

/* Data of records of type 0. */
#define DNS_SILENCE "silence"
#define DNS_SERVFAIL "servfail"
#define DNS_GARBAGE "garbage"

struct dns_responder;

/** Answers from `records`, which end with a name of NULL and outlive the responder. A name that has no
 *  record is NXDOMAIN, one that has only others is without data. */
struct dns_responder *dns_responder_start(const struct dns_record *records);
/** "127.0.0.1@PORT". */
const char *dns_responder_server(const struct dns_responder *responder);
unsigned dns_responder_asked(const struct dns_responder *responder);
void dns_responder_stop(struct dns_responder *responder);

#endif
