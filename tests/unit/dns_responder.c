/* SPDX-License-Identifier: ISC */
/* A DNS server for tests: hand-made answers from a table. It knows A, AAAA, CNAME and MX, and serves
 * over TCP too when an answer is too large for a datagram.
 */
#include "tests/unit/dns_responder.h"

#include <arpa/inet.h>
#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGE_MAX = 65535, UDP_MAX = 1200, NAME_MAX_TEXT = 256, HEADER = 12 };
enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_SOA = 6, TYPE_MX = 15, TYPE_TXT = 16, TYPE_AAAA = 28 };

struct dns_responder {
	const struct dns_record *records;
	int udp, tcp, stop[2];
	pthread_t thread;
	atomic_uint asked;
	char server[40];
};

struct message {
	uint8_t octets[MESSAGE_MAX];
	size_t n;
};

static void put(struct message *m, const void *octets, size_t n)
{
	ck_assert_uint_le(m->n + n, sizeof m->octets);
	memcpy(m->octets + m->n, octets, n);
	m->n += n;
}

static void put_u16(struct message *m, unsigned value)
{
	uint8_t octets[] = { (uint8_t)(value >> 8), (uint8_t)value };

	put(m, octets, 2);
}

static void put_name(struct message *m, const char *name)
{
	while (*name) {
		uint8_t n = (uint8_t)strcspn(name, ".");

		put(m, &n, 1);
		put(m, name, n);
		name += n + (name[n] == '.');
	}
	put(m, "", 1);
}

/* Lower case; returns the octets taken. */
static size_t get_name(const uint8_t *p, size_t n, char *out)
{
	size_t at = 0, used = 0;

	while (at < n && p[at] != 0) {
		size_t length = p[at++];

		ck_assert(length < 64 && at + length < n && used + length + 2 < NAME_MAX_TEXT);
		if (used > 0)
			out[used++] = '.';
		for (size_t i = 0; i < length; i++, at++)
			out[used++] = (char)(p[at] >= 'A' && p[at] <= 'Z' ? p[at] + 32 : p[at]);
	}
	out[used] = '\0';
	return at + 1;
}

static void put_record(struct message *m, const struct dns_record *r)
{
	uint8_t address[16];
	size_t length_at;

	put_name(m, r->name);
	put_u16(m, r->type);
	put_u16(m, 1);
	put(m, "\0\0\0\x3c", 4);
	length_at = m->n;
	put_u16(m, 0);
	if (r->type == TYPE_MX)
		put_u16(m, r->preference);
	if (r->type == TYPE_MX || r->type == TYPE_CNAME) {
		put_name(m, r->data);
	} else if (r->type == TYPE_TXT) { /* strings of at most 100 octets */
		for (const char *text = r->data; *text; text += strnlen(text, 100)) {
			put(m, &(uint8_t){ (uint8_t)strnlen(text, 100) }, 1);
			put(m, text, strnlen(text, 100));
		}
	} else {
		bool six = r->type == TYPE_AAAA;

		ck_assert_int_eq(inet_pton(six ? AF_INET6 : AF_INET, r->data, address), 1);
		put(m, address, six ? 16 : 4);
	}
	m->octets[length_at] = (uint8_t)((m->n - length_at - 2) >> 8);
	m->octets[length_at + 1] = (uint8_t)(m->n - length_at - 2);
}

/* The rule for the name, if it has one. */
static const char *rule_of(const struct dns_responder *d, const char *name)
{
	for (const struct dns_record *r = d->records; r->name; r++)
		if (r->type == 0 && strcmp(r->name, name) == 0)
			return r->data;
	return "";
}

/* Records of the name and, behind an alias, of its target. Returns their number; *known tells whether
 * the last name is there at all. */
static unsigned put_answers(const struct dns_responder *d, struct message *m, const char *name,
			    unsigned type, bool *known)
{
	unsigned count = 0;

	*known = false;
	for (const struct dns_record *r = d->records; r->name; r++) {
		if (strcmp(r->name, name) != 0)
			continue;
		*known = true;
		if (r->type != type && r->type != TYPE_CNAME)
			continue;
		put_record(m, r);
		count++;
		if (r->type == TYPE_CNAME && type != TYPE_CNAME)
			return count + put_answers(d, m, r->data, type, known);
	}
	return count;
}

/* An SOA of the root, so that a negative answer is believed. */
static void put_soa(struct message *m)
{
	put(m, "\0\0\x06\0\x01\0\0\0\x3c\0\x16\0\0\0\0\0\x01\0\0\0\x3c\0\0\0\x3c\0\0\0\x3c\0\0\0\x3c",
	    33);
}

/* False: no answer at all. */
static bool answer(struct dns_responder *d, const uint8_t *query, size_t n, struct message *m,
		   size_t max)
{
	char name[NAME_MAX_TEXT];
	size_t question;
	unsigned type, count = 0, rcode = 0;
	const char *rule;
	bool known = true;

	ck_assert_uint_gt(n, HEADER);
	atomic_fetch_add(&d->asked, 1);
	question = get_name(query + HEADER, n - HEADER, name) + 4;
	type = (unsigned)query[HEADER + question - 4] << 8 | query[HEADER + question - 3];
	rule = rule_of(d, name);
	if (strcmp(rule, DNS_SILENCE) == 0)
		return false;
	m->n = 0;
	put(m, query, HEADER + question);
	if (strcmp(rule, DNS_GARBAGE) == 0)
		put(m, "\xff\xff\xff", count = 3);
	else if (strcmp(rule, DNS_SERVFAIL) == 0)
		rcode = 2;
	else
		count = put_answers(d, m, name, type, &known);
	rcode = known ? rcode : 3;
	memcpy(m->octets + 2, "\x85\x80\0\x01\0\0\0\0\0\0", 10);
	m->octets[3] = (uint8_t)(0x80 | rcode);
	m->octets[6] = (uint8_t)(count >> 8);
	m->octets[7] = (uint8_t)count;
	if (count == 0 && rcode != 2 && rule[0] == '\0') {
		put_soa(m);
		m->octets[9] = 1;
	}
	if (m->n > max) {
		m->n = HEADER + question;
		m->octets[2] |= 0x02;
		memset(m->octets + 6, 0, 6);
	}
	return true;
}

static void serve_udp(struct dns_responder *d, struct message *m)
{
	uint8_t query[4096];
	struct sockaddr_in peer;
	socklen_t peer_n = sizeof peer;
	ssize_t n = recvfrom(d->udp, query, sizeof query, 0, (struct sockaddr *)&peer, &peer_n);

	if (n > 0 && answer(d, query, (size_t)n, m, UDP_MAX))
		ck_assert_int_eq(sendto(d->udp, m->octets, m->n, 0, (struct sockaddr *)&peer,
					peer_n), (ssize_t)m->n);
}

static void serve_tcp(struct dns_responder *d, struct message *m)
{
	int fd = accept(d->tcp, NULL, NULL);
	uint8_t length[2], query[4096];
	size_t n;

	ck_assert_int_ge(fd, 0);
	if (recv(fd, length, 2, MSG_WAITALL) == 2) {
		n = (size_t)(length[0] << 8 | length[1]);
		ck_assert_uint_le(n, sizeof query);
		if (recv(fd, query, n, MSG_WAITALL) == (ssize_t)n &&
		    answer(d, query, n, m, MESSAGE_MAX)) {
			length[0] = (uint8_t)(m->n >> 8);
			length[1] = (uint8_t)m->n;
			ck_assert_int_eq(send(fd, length, 2, MSG_NOSIGNAL | MSG_MORE), 2);
			ck_assert_int_eq(send(fd, m->octets, m->n, MSG_NOSIGNAL), (ssize_t)m->n);
		}
	}
	close(fd);
}

static void *serve(void *user)
{
	struct dns_responder *d = user;
	struct message *m = malloc(sizeof *m);

	ck_assert_ptr_nonnull(m);
	for (;;) {
		struct pollfd fds[] = { { .fd = d->udp, .events = POLLIN },
					{ .fd = d->tcp, .events = POLLIN },
					{ .fd = d->stop[0], .events = POLLIN } };

		ck_assert_int_gt(poll(fds, 3, -1), 0);
		if (fds[2].revents)
			break;
		if (fds[0].revents)
			serve_udp(d, m);
		if (fds[1].revents)
			serve_tcp(d, m);
	}
	free(m);
	return NULL;
}

/* The same port for both; another one is tried if TCP has it in use. */
static bool open_sockets(struct dns_responder *d)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof a;

	d->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	d->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert(d->udp >= 0 && d->tcp >= 0);
	ck_assert_int_eq(bind(d->udp, (struct sockaddr *)&a, sizeof a), 0);
	ck_assert_int_eq(getsockname(d->udp, (struct sockaddr *)&a, &n), 0);
	if (bind(d->tcp, (struct sockaddr *)&a, sizeof a) != 0 || listen(d->tcp, 16) != 0) {
		close(d->udp);
		close(d->tcp);
		return false;
	}
	snprintf(d->server, sizeof d->server, "127.0.0.1@%u", ntohs(a.sin_port));
	return true;
}

struct dns_responder *dns_responder_start(const struct dns_record *records)
{
	struct dns_responder *d = calloc(1, sizeof *d);

	ck_assert_ptr_nonnull(d);
	d->records = records;
	while (!open_sockets(d))
		continue;
	ck_assert_int_eq(pipe(d->stop), 0);
	ck_assert_int_eq(pthread_create(&d->thread, NULL, serve, d), 0);
	return d;
}

const char *dns_responder_server(const struct dns_responder *d)
{
	return d->server;
}

unsigned dns_responder_asked(const struct dns_responder *d)
{
	return atomic_load(&d->asked);
}

void dns_responder_stop(struct dns_responder *d)
{
	close(d->stop[1]);
	ck_assert_int_eq(pthread_join(d->thread, NULL), 0);
	close(d->stop[0]);
	close(d->udp);
	close(d->tcp);
	free(d);
}
