/* SPDX-License-Identifier: ISC */
/* values.c - the texts of single settings as values: durations, sizes, addresses. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "config/settings.h"
#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit duration_units[] = {
	{ "ms", 1 },	     { "s", 1000 },	    { "m", 60000 },
	{ "h", 3600000 },    { "d", 86400000 },	    { "w", 604800000 },
};

static const struct unit size_units[] = {
	{ "", 1 },	     { "B", 1 },	    { "KiB", UINT64_C(1) << 10 },
	{ "MiB", UINT64_C(1) << 20 }, { "GiB", UINT64_C(1) << 30 },
	{ "kB", 1000 },	     { "MB", 1000000 },	    { "GB", 1000000000 },
};

static int value_with_unit(const char *text, const struct unit *units, size_t count, uint64_t *out)
{
	struct smtp_reader rd;
	struct smtp_span digits;
	uint64_t number;
	size_t i;
	int err;

	smtp_reader_init(&rd, smtp_span_of(text));
	digits = smtp_rd_while(&rd, SMTP_CC_DIGIT);
	err = smtp_span_uint(digits, &number);
	if (err != 0)
		return err == SMTP_ETOOLONG ? err : SMTP_EINVAL;
	for (i = 0; i < count; i++) {
		if (!smtp_span_is(rd.rest, units[i].name))
			continue;
		if (number > UINT64_MAX / units[i].factor)
			return SMTP_ETOOLONG;
		*out = number * units[i].factor;
		return 0;
	}
	return SMTP_EINVAL;
}

int value_duration(const char *text, uint64_t *ms)
{
	if (strcmp(text, "0") == 0) {
		*ms = 0;
		return 0;
	}
	return value_with_unit(text, duration_units,
			       sizeof duration_units / sizeof *duration_units, ms);
}

int value_bytes(const char *text, uint64_t *bytes)
{
	return value_with_unit(text, size_units, sizeof size_units / sizeof *size_units, bytes);
}

static void format_with_unit(uint64_t value, const struct unit *units, size_t count,
			     char out[VALUE_TEXT_MAX])
{
	const struct unit *best = &units[0];
	size_t i;

	for (i = 1; i < count && value > 0; i++)
		if (value % units[i].factor == 0 && units[i].factor > best->factor)
			best = &units[i];
	(void)snprintf(out, VALUE_TEXT_MAX, "%llu%s", (unsigned long long)(value / best->factor),
		       value > 0 ? best->name : "");
}

void value_duration_format(uint64_t ms, char out[VALUE_TEXT_MAX])
{
	format_with_unit(ms, duration_units, sizeof duration_units / sizeof *duration_units, out);
}

void value_bytes_format(uint64_t bytes, char out[VALUE_TEXT_MAX])
{
	format_with_unit(bytes, size_units, sizeof size_units / sizeof *size_units, out);
}

void value_number_format(uint64_t number, char out[VALUE_TEXT_MAX])
{
	format_with_unit(number, size_units, 1, out);
}

static bool is_port(const char *text)
{
	uint64_t port;

	return smtp_span_uint(smtp_span_of(text), &port) == 0 && port >= 1 && port <= 65535;
}

static bool is_ip(struct smtp_span text, int family)
{
	char copy[INET6_ADDRSTRLEN];
	struct in6_addr binary;

	return smtp_span_copy(text, copy, sizeof copy) == 0 && inet_pton(family, copy, &binary) == 1;
}

bool value_is_listen_address(const char *text)
{
	const char *colon = strrchr(text, ':');
	struct smtp_span host;

	if (colon == NULL || !is_port(colon + 1))
		return false;
	host = smtp_span_make(text, (size_t)(colon - text));
	if (smtp_span_is(host, "*"))
		return true;
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		return is_ip(smtp_span_slice(host, 1, host.n - 2), AF_INET6);
	return is_ip(host, AF_INET);
}

bool value_is_resolver(const char *text)
{
	const char *at = strchr(text, '@');
	struct smtp_span host;

	if (strcmp(text, "system") == 0 || strcmp(text, "recursive") == 0)
		return true;
	if (at != NULL && !is_port(at + 1))
		return false;
	host = smtp_span_make(text, at != NULL ? (size_t)(at - text) : strlen(text));
	return is_ip(host, AF_INET) || is_ip(host, AF_INET6);
}
