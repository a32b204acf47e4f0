/* SPDX-License-Identifier: ISC */
/* test_config.c - smtpd.yaml: values, defaults, errors with their places, paths. */
#include <stdio.h>
#include <unistd.h>

#include "config/settings.h"
#include "tests/unit/testing.h"

static char folder[64];
static char file[96];

static void make_folder(void)
{
	(void)snprintf(folder, sizeof folder, "/tmp/test_config.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(file, sizeof file, "%s/smtpd.yaml", folder);
}

static void remove_folder(void)
{
	(void)unlink(file);
	(void)rmdir(folder);
}

static int load(const char *text, struct config **out, struct config_errors *errors)
{
	FILE *f = fopen(file, "w");

	ck_assert_ptr_nonnull(f);
	(void)fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
	return config_load(file, out, errors);
}

#define HEAD "hostname: mail.example.com\n"
#define TLS "tls: { certificate: c.pem, key: k.pem }\n"

START_TEST(defaults)
{
	struct config_errors errors;
	struct config *c = NULL;

	ck_assert_int_eq(load(HEAD, &c, &errors), 0);
	ck_assert_str_eq(c->hostname, "mail.example.com");
	ck_assert_str_eq(c->data_dir, "/var/lib/smtpd");
	ck_assert_uint_eq(c->listener_count, 1); /* no certificate: no submission */
	ck_assert_str_eq(c->listeners[0].address, "*:25");
	ck_assert_uint_eq(c->queue_retry_count, 6);
	ck_assert_uint_eq(c->queue_retry_ms[5], 4 * 3600000);
	ck_assert_uint_eq(c->queue_lifetime_ms, UINT64_C(5) * 86400000);
	ck_assert_uint_eq(c->max_message_bytes, UINT64_C(50) << 20);
	ck_assert_str_eq(c->dns_resolver, "system");
	config_free(c);
}
END_TEST

START_TEST(next_hops)
{
	static const char text[] = HEAD "relay:\n  default: mx://relay.example\n"
		"  routes: { a.example: mx, b.example: \"mx://c.example\" }\n";
	struct config_errors errors;
	struct config *c = NULL;

	ck_assert_int_eq(load(text, &c, &errors), 0);
	ck_assert_str_eq(c->relay_default, "mx://relay.example");
	ck_assert_str_eq(c->routes[0].url, "mx");
	ck_assert_str_eq(c->routes[1].url, "mx://c.example");
	config_free(c);
}
END_TEST

START_TEST(everything)
{
	static const char text[] = HEAD TLS
		"data_dir: data\nuser: mail\n"
		"listen:\n - { address: \"*:25\", role: mx }\n"
		" - { address: \"[::1]:465\", role: submissions, proxy_protocol: [10.0.0.0/8, \"::1\"] }\n"
		"delivery: { maildir: \"m/{domain}/{local_part}\" }\n"
		"relay:\n  default: smtps://u@relay.example.org\n  password_file: secret\n"
		"  routes: { Example.NET: \"smtp://10.0.0.5:25\" }\n"
		"queue: { retry: [1m, 2h], lifetime: 1d, delay_notice: 0 }\n"
		"limits: { message_size: 1MiB, recipients: 200, connections_per_ip: 0 }\n"
		"timeouts: { command: 30s }\ndns: { resolver: 127.0.0.1@5353 }\n"
		"log: { format: json, level: debug }\n";
	struct config_errors errors;
	struct config *c = NULL;
	char expected[160];

	ck_assert_int_eq(load(text, &c, &errors), 0);
	(void)snprintf(expected, sizeof expected, "%s/data", folder);
	ck_assert_str_eq(c->data_dir, expected);
	ck_assert_int_eq(c->listeners[1].role, ROLE_SUBMISSIONS);
	ck_assert_ptr_null(c->listeners[0].proxies);
	ck_assert_str_eq(c->listeners[1].proxies, "10.0.0.0/8 ::1 ");
	ck_assert_str_eq(c->routes[0].domain, "example.net");
	ck_assert_str_eq(c->routes[0].url, "smtp://10.0.0.5:25");
	ck_assert_uint_eq(c->queue_retry_count, 2);
	ck_assert_uint_eq(c->queue_retry_ms[1], 7200000);
	ck_assert_uint_eq(c->queue_delay_notice_ms, 0);
	ck_assert_uint_eq(c->max_recipients, 200);
	ck_assert_uint_eq(c->max_connections_per_ip, 0);
	ck_assert_int_eq(c->log_format, LOG_FORMAT_JSON);
	ck_assert_int_eq(c->log_level, LOG_LEVEL_DEBUG);
	config_free(c);
}
END_TEST

static const struct {
	const char *name, *text, *place, *says;
} wrong[] = {
	{ "unknown", HEAD "hostnam: x\n", ":2:1:",
	  "hostnam: unknown setting (did you mean hostname?)" },
	{ "unknown below", HEAD "limits:\n  recipient: 5\n", ":3:3:",
	  "did you mean limits.recipients?" },
	{ "no number", HEAD "limits: { recipients: many }\n", ":2:23:",
	  "\"many\" is not a whole number" },
	{ "too small", HEAD "limits: { recipients: 5 }\n", ":2:23:",
	  "out of range, 100 to 10000" },
	{ "too short", HEAD "timeouts: { command: 0 }\n", ":2:22:", "out of range, 1s to 1d" },
	{ "too long", HEAD "queue: { lifetime: 400d }\n", ":2:20:", "out of range, 1s to 365d" },
	{ "no size", HEAD "limits: { message_size: 0 }\n", ":2:25:", "out of range, 64KiB to " },
	{ "negative", HEAD "limits: { connections: -1 }\n", ":2:24:",
	  "is not a whole number" },
	{ "overflow", HEAD "limits: { message_size: 99999999999999999999GiB }\n", ":2:25:",
	  "is not a size" },
	{ "duration", HEAD "queue: { lifetime: 5 }\n", ":2:20:",
	  "such as 30s, 5m, 4h or 5d" },
	{ "retry", HEAD "queue: { retry: 5m }\n", ":2:17:",
	  "a list such as" },
	{ "role", HEAD "listen: [ { address: \"*:25\", role: mta } ]\n", ":2:11:",
	  "mx, submission or submissions" },
	{ "address", HEAD "listen: [ { address: \"25\", role: mx } ]\n", ":2:11:",
	  "an address with a port" },
	{ "address twice",
	  HEAD "listen:\n - { address: \"*:25\", role: mx }\n - { address: \"*:25\", role: mx }\n",
	  ":4:4:", "twice" },
	{ "address and address", HEAD "listen: [ { address: \"*:25\", address: \"*:26\", role: mx } ]\n",
	  ":2:30:", "address is there twice" },
	{ "listen key", HEAD "listen: [ { adress: \"*:25\", role: mx } ]\n", ":2:13:",
	  "unknown name \"adress\"" },
	{ "proxies", HEAD "listen: [ { address: \"*:25\", role: mx, proxy_protocol: 10.0.0.1 } ]\n",
	  ":2:56:", "a list such as" },
	{ "no proxies", HEAD "listen: [ { address: \"*:25\", role: mx, proxy_protocol: [] } ]\n",
	  ":2:56:", "a list such as" },
	{ "proxy", HEAD "listen: [ { address: \"*:25\", role: mx, proxy_protocol: [10.0.0.1/8] } ]\n",
	  ":2:11:", "a list of networks" },
	{ "proxies twice", HEAD "listen: [ { address: \"*:25\", role: mx, proxy_protocol: [\"::1\"], "
				"proxy_protocol: [\"::1\"] } ]\n", ":2:81:", "once" },
	{ "twice", HEAD HEAD, ":2:1:", "is there twice" },
	{ "relay", HEAD "relay: { default: http://x }\n", ":2:19:",
	  "http://x" },
	{ "relay by MX of none", HEAD "relay: { default: \"mx://\" }\n", ":2:19:",
	  "the host is missing" },
	{ "relay by MX with port", HEAD "relay: { default: \"mx://x.example:25\" }\n", ":2:19:",
	  "mx:// takes no port" },
	{ "relay by LMTP", HEAD "relay: { default: \"lmtp+unix:/run/x\" }\n", ":2:19:",
	  "mx, or an mx, smtp, smtps or smtp+starttls URL" },
	{ "route", HEAD "relay: { routes: { a.example: \"lmtp+unix:/run/x\" } }\n", ":2:20:",
	  "mx, or an mx, smtp" },
	{ "password", HEAD "relay: { default: smtps://u@x.example }\n", ":1:1:",
	  "password_file: is needed" },
	{ "key", HEAD "tls: { certificate: c.pem }\n", ":1:1:",
	  "certificate and key are needed together" },
	{ "submission", HEAD "listen: [ { address: \"*:587\", role: submission } ]\n", ":1:1:",
	  "tls.certificate: is needed" },
	{ "maildir", HEAD "delivery: { maildir: /var/mail }\n", ":2:22:",
	  "{local_part}" },
	{ "hostname", "hostname: \"a b\"\n", ":1:11:", "is not a host name" },
	{ "resolver", HEAD "dns: { resolver: dns.example }\n", ":2:18:",
	  "ADDRESS@PORT" },
	{ "level", HEAD "log: { level: loud }\n", ":2:15:",
	  "debug, info, warn or error" },
	{ "second document", HEAD "---\n" HEAD, ":3:1:", "a second document" },
	{ "second document, not yaml", HEAD "---\na: [\n", ":4:1:", "" },
	{ "not yaml", HEAD "a: [\n", ":3:1:",
	  "" },
	{ "mapping", "- a\n", ":1:1:", "name: value" },
	{ "empty", "", ":1:1:", "the file is empty" },
	{ "section", HEAD "tls: yes\n", ":2:6:",
	  "tls: settings of the form" },
	{ "scalar", HEAD "data_dir: [a]\n", ":2:11:",
	  "a single value" },
	{ "nul", HEAD "data_dir: \"a\\0b\"\n", ":2:11:",
	  "NUL" },
};

START_TEST(error)
{
	struct config_errors errors;
	struct config *c = NULL;
	char place[160];

	ck_assert_msg(load(wrong[_i].text, &c, &errors) == SMTP_EINVAL, "%s", wrong[_i].name);
	ck_assert_ptr_null(c);
	ck_assert_uint_ge(errors.count, 1);
	(void)snprintf(place, sizeof place, "%s%s ", file, wrong[_i].place);
	ck_assert_msg(strncmp(errors.lines[0], place, strlen(place)) == 0, "%s: %s", wrong[_i].name,
		      errors.lines[0]);
	ck_assert_msg(strstr(errors.lines[0], wrong[_i].says) != NULL, "%s: %s", wrong[_i].name,
		      errors.lines[0]);
	config_errors_release(&errors);
}
END_TEST

START_TEST(all_errors_at_once)
{
	struct config_errors errors;
	struct config *c = NULL;

	ck_assert_int_eq(load("hostname: \"-\"\nuserr: x\nlog: { level: x, format: y }\n", &c,
			      &errors), SMTP_EINVAL);
	ck_assert_uint_eq(errors.count, 4);
	config_errors_release(&errors);
	ck_assert_int_eq(load("listen: [ { address: x, role: y, z: 1 } ]\n", &c, &errors), SMTP_EINVAL);
	ck_assert_uint_eq(errors.count, 3);
	config_errors_release(&errors);
}
END_TEST

START_TEST(no_file)
{
	struct config_errors errors;
	struct config *c = NULL;

	ck_assert_int_eq(config_load("/nonexistent/smtpd.yaml", &c, &errors), SMTP_EINVAL);
	ck_assert_ptr_nonnull(strstr(errors.lines[0], "there is no such file"));
	config_errors_release(&errors);
}
END_TEST

static const struct {
	const char *account, *path;
} maildirs[] = {
	{ "alice@example.com", "/m/example.com/alice" },
	{ "a.b+c@example.com", "/m/example.com/a.b+c" },
	{ "..@example.com", NULL },
	{ "../x@example.com", NULL },
	{ "a/b@example.com", NULL },
	{ "a@..", NULL },
	{ "@example.com", NULL },
	{ "alice", NULL },
};

START_TEST(maildir)
{
	struct config_errors errors;
	struct config *c = NULL;
	char *path = NULL;

	ck_assert_int_eq(load(HEAD "delivery: { maildir: \"/m/{domain}/{local_part}\" }\n", &c,
			      &errors), 0);
	if (maildirs[_i].path == NULL) {
		ck_assert_int_eq(config_maildir(c, maildirs[_i].account, &path), SMTP_EINVAL);
	} else {
		ck_assert_int_eq(config_maildir(c, maildirs[_i].account, &path), 0);
		ck_assert_str_eq(path, maildirs[_i].path);
	}
	free(path);
	config_free(c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("config");
	TCase *tc = tcase_create("config");

	tcase_add_checked_fixture(tc, make_folder, remove_folder);
	tcase_add_test(tc, defaults);
	tcase_add_test(tc, next_hops);
	tcase_add_test(tc, everything);
	tcase_add_loop_test(tc, error, 0, ROWS(wrong));
	tcase_add_test(tc, all_errors_at_once);
	tcase_add_test(tc, no_file);
	tcase_add_loop_test(tc, maildir, 0, ROWS(maildirs));
	suite_add_tcase(s, tc);
	return tests_run(s);
}
