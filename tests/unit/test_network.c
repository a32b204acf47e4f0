/* SPDX-License-Identifier: ISC */
/* IP networks: their syntax, and what is in them. */
#include <smtp/network.h>

#include "tests/unit/testing.h"

static const struct {
	const char *text;
	int err;
	unsigned bits;
} syntax_rows[] = {
	{ "192.0.2.1", 0, 128 },
	{ "192.0.2.0/24", 0, 120 },
	{ "0.0.0.0/0", 0, 96 },
	{ "192.0.2.1/32", 0, 128 },
	{ "::/0", 0, 0 },
	{ "2001:db8::/32", 0, 32 },
	{ "[2001:db8::1]", 0, 128 },
	{ "[::1]/128", 0, 128 },
	{ "::ffff:192.0.2.0/120", 0, 120 },
	{ "192.0.2.1/24", SMTP_ESYNTAX, 0 },
	{ "192.0.2.0/33", SMTP_ESYNTAX, 0 },
	{ "::/129", SMTP_ESYNTAX, 0 },
	{ "192.0.2.0/", SMTP_ESYNTAX, 0 },
	{ "192.0.2.0/-1", SMTP_ESYNTAX, 0 },
	{ "192.0.2.0/8x", SMTP_ESYNTAX, 0 },
	{ "192.0.2.0/0024", SMTP_ESYNTAX, 0 },
	{ "192.0.2/24", SMTP_ESYNTAX, 0 },
	{ "2001:db8::/31/2", SMTP_ESYNTAX, 0 },
	{ "host.example", SMTP_ESYNTAX, 0 },
	{ "", SMTP_ESYNTAX, 0 },
	{ "/8", SMTP_ESYNTAX, 0 },
	{ "1111111111111111111111111111111111111111111111111111111111111111111111", SMTP_ESYNTAX, 0 },
};

START_TEST(syntax)
{
	struct smtp_network network = { .bits = 77 };

	ck_assert_int_eq(smtp_network_parse(&network, syntax_rows[_i].text), syntax_rows[_i].err);
	ck_assert_uint_eq(network.bits, syntax_rows[_i].err ? 77 : syntax_rows[_i].bits);
}
END_TEST

static const struct {
	const char *outer, *inner;
	bool contains;
} rows[] = {
	{ "192.0.2.0/24", "192.0.2.255", true },
	{ "192.0.2.0/24", "192.0.3.0", false },
	{ "192.0.2.0/25", "192.0.2.127", true },
	{ "192.0.2.0/25", "192.0.2.128", false },
	{ "192.0.2.0/24", "192.0.2.0/25", true },
	{ "192.0.2.0/25", "192.0.2.0/24", false },
	{ "192.0.2.1", "192.0.2.1", true },
	{ "192.0.2.1", "192.0.2.2", false },
	{ "0.0.0.0/0", "203.0.113.9", true },
	{ "0.0.0.0/0", "2001:db8::1", false },
	{ "::/0", "192.0.2.1", true },
	{ "192.0.2.0/24", "::ffff:192.0.2.9", true },
	{ "2001:db8::/33", "2001:db8:7fff::1", true },
	{ "2001:db8::/33", "2001:db8:8000::1", false },
	{ "::1", "::1", true },
};

START_TEST(contains)
{
	struct smtp_network outer, inner;

	ck_assert_int_eq(smtp_network_parse(&outer, rows[_i].outer), 0);
	ck_assert_int_eq(smtp_network_parse(&inner, rows[_i].inner), 0);
	ck_assert(smtp_network_contains(&outer, &inner) == rows[_i].contains);
}
END_TEST

START_TEST(families)
{
	struct smtp_network network;

	ck_assert_int_eq(smtp_network_parse(&network, "10.1.2.3"), 0);
	ck_assert(smtp_network_is_ipv4(&network));
	ck_assert_int_eq(smtp_network_parse(&network, "2001:db8:1:2:3:4:5:6"), 0);
	ck_assert(!smtp_network_is_ipv4(&network));
	smtp_network_cut(&network, 64);
	ck_assert_uint_eq(network.bits, 64);
	ck_assert_uint_eq(network.octets[7], 2);
	ck_assert_uint_eq(network.octets[9], 0);
	ck_assert_int_eq(smtp_network_parse(&network, "::/0"), 0);
	ck_assert(!smtp_network_is_ipv4(&network));
}
END_TEST

static const struct {
	const char *in, *out; /* out NULL: refused */
} addresses[] = {
	{ "192.0.2.1", "192.0.2.1" },
	{ "0.0.0.0", "0.0.0.0" },
	{ "255.255.255.255", "255.255.255.255" },
	{ "::", "::" },
	{ "::1", "::1" },
	{ "1::", "1::" },
	{ "2001:DB8::1", "2001:db8::1" },
	{ "IPv6:2001:db8::1", "2001:db8::1" },
	{ "ipv6:2001:db8::1", "2001:db8::1" },
	{ "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1" }, /* RFC 5952, 4.2.3 */
	{ "2001:0:0:1:0:0:0:1", "2001:0:0:1::1" },
	{ "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1" }, /* RFC 5952, 4.2.2 */
	{ "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8" },
	{ "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0" },
	{ "::ffff:192.0.2.1", "192.0.2.1" },
	{ "::ffff:c000:201", "192.0.2.1" },
	{ "64:ff9b::192.0.2.33", "64:ff9b::c000:221" },
	{ "1:2:3:4:5:6:192.0.2.1", "1:2:3:4:5:6:c000:201" },
	{ "[192.0.2.1]", "192.0.2.1" },
	{ "[IPv6:2001:db8::1]", "2001:db8::1" },
	{ "", NULL },
	{ "192.0.2", NULL },
	{ "192.0.2.1.", NULL },
	{ "192.0.2.1 ", NULL },
	{ "192.0.2.256", NULL },
	{ "192.0.2.01", NULL },
	{ "192.0.2.+1", NULL },
	{ "192.0.2.1000", NULL },
	{ "IPv6:192.0.2.1", NULL },
	{ "[192.0.2.1", NULL },
	{ "[]", NULL },
	{ ":", NULL },
	{ ":::", NULL },
	{ "1:", NULL },
	{ ":1", NULL },
	{ "1::2::3", NULL },
	{ "12345::", NULL },
	{ "1:2:3:4:5:6:7", NULL },
	{ "1:2:3:4:5:6:7:8:9", NULL },
	{ "1:2:3:4::5:6:7:8", NULL }, /* "::" stands for one group at least */
	{ "1:2:3:4:5:6:7:192.0.2.1", NULL },
	{ "192.0.2.1::", NULL },
	{ "::g", NULL },
	{ "fe80::1%eth0", NULL },
};

START_TEST(address_rows)
{
	size_t n = strlen(addresses[_i].in) + 1;
	char *in = guarded(addresses[_i].in, n);
	char out[SMTP_ADDRESS_TEXT_MAX];
	struct smtp_network ip;
	int err = smtp_network_parse(&ip, in);

	ck_assert_msg((err == 0) == (addresses[_i].out != NULL), "%s", addresses[_i].in);
	if (err == 0) {
		ck_assert_uint_eq(smtp_network_format(&ip, out), strlen(addresses[_i].out));
		ck_assert_str_eq(out, addresses[_i].out);
		ck_assert_int_eq(smtp_network_is_ipv4(&ip), strchr(out, ':') == NULL);
	}
	guarded_free(in, n);
}
END_TEST

START_TEST(the_longest_text)
{
	static const char text[] = "1111:2222:3333:4444:5555:6666:7777:8888";
	char out[SMTP_ADDRESS_TEXT_MAX];
	struct smtp_network ip;

	ck_assert_int_eq(smtp_network_parse(&ip, text), 0);
	ck_assert_uint_eq(smtp_network_format(&ip, out), sizeof(text) - 1);
	ck_assert_str_eq(out, text);
}
END_TEST

START_TEST(lists)
{
	struct smtp_network list[2], ip;
	size_t count = 9;

	ck_assert_int_eq(smtp_networks_parse(list, 2, &count, " 10.0.0.0/8, ::1\t"), 0);
	ck_assert_uint_eq(count, 2);
	ck_assert_int_eq(smtp_network_parse(&ip, "::1"), 0);
	ck_assert(smtp_networks_contain(list, 2, &ip));
	ck_assert(!smtp_networks_contain(list, 1, &ip));
	ck_assert(!smtp_networks_contain(list, 0, &ip));
	ck_assert_int_eq(smtp_networks_parse(list, 2, &count, ""), 0);
	ck_assert_uint_eq(count, 0);
	ck_assert_int_eq(smtp_networks_parse(list, 2, &count, "::1 ::2 ::3"), SMTP_ETOOLONG);
	ck_assert_int_eq(smtp_networks_parse(list, 2, &count, "::1;::2"), SMTP_ESYNTAX);
	ck_assert_uint_eq(count, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("network");
	TCase *tc = tcase_create("all");

	tcase_add_loop_test(tc, syntax, 0, (int)(sizeof syntax_rows / sizeof *syntax_rows));
	tcase_add_loop_test(tc, contains, 0, (int)(sizeof rows / sizeof *rows));
	tcase_add_test(tc, families);
	tcase_add_loop_test(tc, address_rows, 0, ROWS(addresses));
	tcase_add_test(tc, the_longest_text);
	tcase_add_test(tc, lists);
	suite_add_tcase(s, tc);
	return tests_run(s);
}
