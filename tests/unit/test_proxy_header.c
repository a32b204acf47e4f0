/* SPDX-License-Identifier: ISC */
/* PROXY headers of both versions: each row whole, octet by octet, and cut at each place. */
#include "libsmtp/core/proxy_header.h"

#include <stdio.h>

#include "libsmtp/core/span.h"
#include "tests/unit/testing.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define BYTES(text) text, sizeof(text) - 1
#define FROM_TO4 "\xc0\0\x02\x01\xc6\x33\x64\x02" "\xdc\x04\0\x19" /* 192.0.2.1 56324, 198.51.100.2 25 */
#define ADDRESS6 "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0" /* 2001:db8::, but its last octet */
#define FROM_TO6 ADDRESS6 "\x01" ADDRESS6 "\x02" "\0\x01\xff\xff"
#define X9 "xxxxxxxxx"
#define X90 X9 X9 X9 X9 X9 X9 X9 X9 X9 X9
#define Z18 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define Z216 Z18 Z18 Z18 Z18 Z18 Z18 Z18 Z18 Z18 Z18 Z18 Z18
#define V4TEXT "192.0.2.1 56324 198.51.100.2 25"

static const struct {
	const char *name;
	const char *in;
	size_t n;
	enum smtp_proxy_result result;
	const char *out; /* "" without addresses */
} rows[] = {
	{ "TCP4", BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 56324 25\r\n"), SMTP_PROXY_DONE, V4TEXT },
	{ "TCP6", BYTES("PROXY TCP6 2001:db8::1 2001:DB8::2 1 65535\r\n"), SMTP_PROXY_DONE,
	  "2001:db8::1 1 2001:db8::2 65535" },
	{ "port 0", BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 0 25\r\n"), SMTP_PROXY_DONE,
	  "192.0.2.1 0 198.51.100.2 25" },
	{ "mapped", BYTES("PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 25\r\n"), SMTP_PROXY_DONE,
	  "192.0.2.1 1 2001:db8::2 25" },
	{ "longest TCP6", BYTES("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
				"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe 65535 65535\r\n"),
	  SMTP_PROXY_DONE,
	  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
	  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe 65535" },
	{ "unknown", BYTES("PROXY UNKNOWN\r\n"), SMTP_PROXY_DONE, "" },
	{ "unknown, more", BYTES("PROXY UNKNOWN a b  c\r\n"), SMTP_PROXY_DONE, "" },
	{ "107 octets", BYTES("PROXY UNKNOWN " X90 "x\r\n"), SMTP_PROXY_DONE, "" },
	{ "108 octets", BYTES("PROXY UNKNOWN " X90 "xx\r\n"), SMTP_PROXY_INVALID, "" },
	{ "no CR", BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 56324 25\n"), SMTP_PROXY_INVALID, "" },
	{ "no LF", BYTES("PROXY UNKNOWN\rx"), SMTP_PROXY_INVALID, "" },
	{ "CR CR", BYTES("PROXY UNKNOWN\r\r\n"), SMTP_PROXY_INVALID, "" },
	{ "NUL", BYTES("PROXY UNKNOWN \0\r\n"), SMTP_PROXY_INVALID, "" },
	{ "lower case", BYTES("proxy TCP4 192.0.2.1 198.51.100.2 56324 25\r\n"), SMTP_PROXY_INVALID,
	  "" },
	{ "a command", BYTES("EHLO x\r\n"), SMTP_PROXY_INVALID, "" },
	{ "family", BYTES("PROXY TCP5 192.0.2.1 198.51.100.2 1 25\r\n"), SMTP_PROXY_INVALID, "" },
	{ "UDP4", BYTES("PROXY UDP4 192.0.2.1 198.51.100.2 1 25\r\n"), SMTP_PROXY_INVALID, "" },
	{ "nothing", BYTES("PROXY \r\n"), SMTP_PROXY_INVALID, "" },
	{ "four fields", BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n"), SMTP_PROXY_INVALID, "" },
	{ "six fields", BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 1 25 3\r\n"), SMTP_PROXY_INVALID,
	  "" },
	{ "two blanks", BYTES("PROXY TCP4  192.0.2.1 198.51.100.2 1 25\r\n"), SMTP_PROXY_INVALID, "" },
	{ "a tab", BYTES("PROXY TCP4\t192.0.2.1 198.51.100.2 1 25\r\n"), SMTP_PROXY_INVALID, "" },
	{ "blank at the end", BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 1 25 \r\n"),
	  SMTP_PROXY_INVALID, "" },
	{ "large port", BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 65536 25\r\n"), SMTP_PROXY_INVALID,
	  "" },
	{ "zero before port", BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 1 025\r\n"),
	  SMTP_PROXY_INVALID, "" },
	{ "sign of port", BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 +1 25\r\n"), SMTP_PROXY_INVALID,
	  "" },
	{ "short address", BYTES("PROXY TCP4 192.0.2 198.51.100.2 1 25\r\n"), SMTP_PROXY_INVALID, "" },
	{ "number 256", BYTES("PROXY TCP4 192.0.2.256 198.51.100.2 1 25\r\n"), SMTP_PROXY_INVALID,
	  "" },
	{ "prefix length", BYTES("PROXY TCP4 192.0.2.1/32 198.51.100.2 1 25\r\n"),
	  SMTP_PROXY_INVALID, "" },
	{ "brackets", BYTES("PROXY TCP6 [2001:db8::1] 2001:db8::2 1 25\r\n"), SMTP_PROXY_INVALID, "" },
	{ "a name", BYTES("PROXY TCP4 a.example 198.51.100.2 1 25\r\n"), SMTP_PROXY_INVALID, "" },
	{ "v6 as TCP4", BYTES("PROXY TCP4 2001:db8::1 2001:db8::2 1 25\r\n"), SMTP_PROXY_INVALID, "" },
	{ "v4 as TCP6", BYTES("PROXY TCP6 192.0.2.1 198.51.100.2 1 25\r\n"), SMTP_PROXY_INVALID, "" },

	{ "2: TCP4", BYTES(SIGNATURE "\x21\x11\0\x0c" FROM_TO4), SMTP_PROXY_DONE, V4TEXT },
	{ "2: TCP6", BYTES(SIGNATURE "\x21\x21\0\x24" FROM_TO6), SMTP_PROXY_DONE,
	  "2001:db8::1 1 2001:db8::2 65535" },
	{ "2: extra values", BYTES(SIGNATURE "\x21\x11\0\x13" FROM_TO4 "\x01\0\x04h2c!"),
	  SMTP_PROXY_DONE, V4TEXT },
	{ "2: unix", BYTES(SIGNATURE "\x21\x31\0\xd8" Z216), SMTP_PROXY_DONE, "" },
	{ "2: local", BYTES(SIGNATURE "\x20\0\0\0"), SMTP_PROXY_DONE, "" },
	{ "2: local, addresses", BYTES(SIGNATURE "\x20\x11\0\x0c" FROM_TO4), SMTP_PROXY_DONE, "" },
	{ "2: local, any family", BYTES(SIGNATURE "\x20\xff\0\x01x"), SMTP_PROXY_DONE, "" },
	{ "2: unspecified", BYTES(SIGNATURE "\x21\0\0\0"), SMTP_PROXY_DONE, "" },
	{ "2: unspecified, more", BYTES(SIGNATURE "\x21\0\0\x02xx"), SMTP_PROXY_DONE, "" },
	{ "2: length 4097", BYTES(SIGNATURE "\x21\x11\x10\x01"), SMTP_PROXY_INVALID, "" },
	{ "2: length 4096", BYTES(SIGNATURE "\x21\x11\x10\0"), SMTP_PROXY_MORE, "" },
	{ "2: short for TCP4", BYTES(SIGNATURE "\x21\x11\0\x0b"), SMTP_PROXY_INVALID, "" },
	{ "2: short for TCP6", BYTES(SIGNATURE "\x21\x21\0\x23"), SMTP_PROXY_INVALID, "" },
	{ "2: short for unix", BYTES(SIGNATURE "\x21\x31\0\xd7"), SMTP_PROXY_INVALID, "" },
	{ "2: UDP4", BYTES(SIGNATURE "\x21\x12\0\x0c"), SMTP_PROXY_INVALID, "" },
	{ "2: UDP6", BYTES(SIGNATURE "\x21\x22\0\x24"), SMTP_PROXY_INVALID, "" },
	{ "2: unix datagram", BYTES(SIGNATURE "\x21\x32\0\xd8"), SMTP_PROXY_INVALID, "" },
	{ "2: family 4", BYTES(SIGNATURE "\x21\x41\0\0"), SMTP_PROXY_INVALID, "" },
	{ "2: version 1", BYTES(SIGNATURE "\x11\x11\0\x0c"), SMTP_PROXY_INVALID, "" },
	{ "2: command 2", BYTES(SIGNATURE "\x22\x11\0\x0c"), SMTP_PROXY_INVALID, "" },
	{ "2: signature", BYTES("\r\n\r\n\0\r\nQUIT\r"), SMTP_PROXY_INVALID, "" },
	{ "2: only CRLF", BYTES("\r\nEHLO x\r\n"), SMTP_PROXY_INVALID, "" },
};

static void print(const struct smtp_proxy_header *h, char *out, size_t cap)
{
	char source[SMTP_ADDRESS_TEXT_MAX];
	char destination[SMTP_ADDRESS_TEXT_MAX];

	out[0] = '\0';
	if (!h->has_addresses)
		return;
	smtp_network_format(&h->source, source);
	smtp_network_format(&h->destination, destination);
	snprintf(out, cap, "%s %u %s %u", source, h->source_port, destination, h->destination_port);
}

/* Feeds `piece` octets at a time, the first time `first`, each from a block of its own size. */
static void check(int row, const char *in, size_t n, size_t first, size_t piece)
{
	struct smtp_proxy_header h;
	enum smtp_proxy_result result = SMTP_PROXY_MORE;
	size_t at = 0;
	size_t used = 0;
	char text[2 * SMTP_ADDRESS_TEXT_MAX + 16];

	smtp_proxy_header_init(&h);
	while (at < n && result == SMTP_PROXY_MORE) {
		size_t want = at == 0 ? first : piece;
		size_t len = n - at < want ? n - at : want;
		char *copy = malloc(len);

		ck_assert_ptr_nonnull(copy);
		memcpy(copy, in + at, len);
		result = smtp_proxy_header_feed(&h, smtp_span_make(copy, len), &used);
		free(copy);
		at += used;
	}
	ck_assert_msg(result == rows[row].result, "%s: %d", rows[row].name, (int)result);
	if (result == SMTP_PROXY_DONE) {
		ck_assert_msg(at == rows[row].n, "%s: %zu octets", rows[row].name, at);
		print(&h, text, sizeof(text));
		ck_assert_msg(strcmp(text, rows[row].out) == 0, "%s: %s", rows[row].name, text);
	}
}

START_TEST(headers)
{
	char in[512];
	size_t n = rows[_i].n;

	ck_assert_uint_le(n + 6, sizeof(in));
	memcpy(in, rows[_i].in, n);
	memcpy(in + n, "NOOP\r\n", 6); /* is not taken */
	check(_i, in, n, n, n);
	check(_i, in, rows[_i].result == SMTP_PROXY_MORE ? n : n + 6, n + 6, 1);
	for (size_t cut = 1; cut < n; cut++)
		check(_i, in, n, cut, n);
	check(_i, in, n, 1, 1);
}
END_TEST

/* All 4096 octets of extra values are read off. */
START_TEST(longest)
{
	static char in[16 + SMTP_PROXY_V2_MAX] = SIGNATURE "\x21\x11\x10\0" FROM_TO4;
	struct smtp_proxy_header h;
	size_t used;

	smtp_proxy_header_init(&h);
	ck_assert_int_eq(smtp_proxy_header_feed(&h, smtp_span_make(in, sizeof(in) - 1), &used),
			 SMTP_PROXY_MORE);
	ck_assert_uint_eq(used, sizeof(in) - 1);
	ck_assert_int_eq(smtp_proxy_header_feed(&h, smtp_span_make("ab", 2), &used),
			 SMTP_PROXY_DONE);
	ck_assert_uint_eq(used, 1);
	ck_assert_uint_eq(h.source_port, 56324);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proxy_header");
	TCase *tc = tcase_create("proxy_header");

	tcase_add_loop_test(tc, headers, 0, ROWS(rows));
	tcase_add_test(tc, longest);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
