/* SPDX-License-Identifier: ISC */
/* setup.c - smtpctl setup: everything for a first start. Safe to repeat: it makes what is missing, says
 * what it found, and overwrites nothing.
 */
#include <sodium.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/output.h"
#include "libsmtp/core/span.h"
#include "libsmtp/net/tls_self_signed.h"
#include "smtpctl/setup_files.h"
#include "smtpctl/smtpctl.h"

enum { PASSWORD_OCTETS = 15, PASSWORD_TEXT = 64, PORT_BASE_MAX = 64000 };

struct setup_values {
	const char *hostname, *dir, *port_base;
};

const struct cli_option ctl_setup_options[] = {
	{ "hostname", 0, CLI_TEXT, offsetof(struct setup_values, hostname), "HOST",
	  "name of this mail server (default mail.DOMAIN)" },
	{ "dir", 0, CLI_TEXT, offsetof(struct setup_values, dir), "DIR",
	  "a private instance below DIR, on loopback; needs no root" },
	{ "port-base", 0, CLI_TEXT, offsetof(struct setup_values, port_base), "N",
	  "listen on N+25, N+465, N+587" },
	{ NULL, 0, CLI_FLAG, 0, NULL, NULL },
};

/* ---- The store ---- */

static struct smtp_accounts *open_store(const struct setup *s, const struct config *config)
{
	struct smtp_accounts *accounts = NULL;
	char *path = NULL;
	int err = config_data_path(config, CONFIG_ACCOUNTS_FILE, &path);
	bool there = path != NULL && access(path, F_OK) == 0;

	if (err == 0)
		err = smtp_accounts_open(&accounts, path, SMTP_ACCOUNTS_CREATE);
	if (err == 0)
		setup_say(there, path);
	else
		cli_error("%s: %s", path != NULL ? path : s->data_dir, smtp_error_str(err));
	free(path);
	return accounts;
}

/** Readable aloud and typeable: letters and digits that are not mixed up, in groups. */
static void make_password(char out[PASSWORD_TEXT])
{
	static const char letters[] = "abcdefghjkmnpqrstuvwxyz23456789";
	size_t i, n = 0;

	for (i = 0; i < PASSWORD_OCTETS; i++) {
		if (i > 0 && i % 5 == 0)
			out[n++] = '-';
		out[n++] = letters[randombytes_uniform(sizeof letters - 1)];
	}
	out[n] = '\0';
}

static int add_postmaster(struct smtp_accounts *accounts, const char *domain)
{
	char address[SMTP_MAILBOX_TEXT_MAX + 1], password[PASSWORD_TEXT];
	int err;

	(void)snprintf(address, sizeof address, "postmaster@%s", domain);
	make_password(password);
	err = ctl_account_store(accounts, address, "Postmaster", smtp_span_of(password));
	if (err == 0)
		(void)printf("  made   account %s, password (shown once): %s\n", address, password);
	sodium_memzero(password, sizeof password);
	if (err == SMTP_EEXISTS) {
		(void)printf("  found  account %s\n", address);
		err = 0;
	}
	return ctl_result(accounts, address, err);
}

static int add_domain(struct smtp_accounts *accounts, const char *domain)
{
	int err = smtp_accounts_domain_add(accounts, domain);

	if (err == 0)
		(void)printf("  made   domain %s\n", domain);
	if (err == SMTP_EEXISTS) {
		(void)printf("  found  domain %s\n", domain);
		err = 0;
	}
	return ctl_result(accounts, domain, err);
}

static int add_key(struct smtp_accounts *accounts, const char *domain)
{
	struct smtp_dkim_key key;
	int err = smtp_accounts_dkim_key(accounts, domain, &key);

	if (err == 0) {
		(void)printf("  found  DKIM key %s of %s\n", key.selector, domain);
		smtp_dkim_key_release(&key);
		return CLI_DONE;
	}
	if (err == SMTP_ENOTFOUND)
		err = ctl_dkim_make(accounts, domain, "s1");
	if (err == 0)
		(void)printf("  made   DKIM key s1 of %s (RSA, 2048 bits)\n", domain);
	return ctl_result(accounts, domain, err);
}

/* ---- What is left to do ---- */

/** The file that is there counts, and it may name another host than the command line. */
static int print_records(struct smtp_accounts *accounts, const struct setup *s,
			 const struct config *config)
{
	if (s->hostname_given && strcmp(s->hostname, config->hostname) != 0)
		(void)printf("\nThe host name in %s is %s and stays so: change it there.\n",
			     s->config_file, config->hostname);
	(void)printf("\nPut into DNS (and the address of %s, forward and reverse):\n\n",
		     config->hostname);
	return ctl_print_records(accounts, s->domain, config->hostname);
}

static void print_next(const struct setup *s)
{
	const char *option = s->is_private ? " -c " : "";
	const char *file = s->is_private ? s->config_file : "";

	(void)printf("\nNext:\n  smtpctl%s%s account add alice@%s\n  smtpd%s%s\n", option, file,
		     s->domain, option, file);
}

/* ---- All of it ---- */

static int fill_store(const struct setup *s)
{
	const struct smtpctl ctl = { s->config_file, false };
	struct config *config = ctl_config(&ctl);
	struct smtp_accounts *accounts = config != NULL ? open_store(s, config) : NULL;
	int status = CLI_REFUSED;

	if (accounts != NULL) {
		status = add_domain(accounts, s->domain);
		if (status == CLI_DONE)
			status = add_postmaster(accounts, s->domain);
		if (status == CLI_DONE)
			status = add_key(accounts, s->domain);
		if (status == CLI_DONE)
			status = print_records(accounts, s, config);
		if (status == CLI_DONE)
			print_next(s);
	}
	smtp_accounts_close(accounts);
	config_free(config);
	return status;
}

static int read_values(const struct cli_command *self, const struct setup_values *v,
		       const char *domain, struct setup *s)
{
	uint64_t base = 0;

	if (!smtp_domain_is_valid(smtp_span_of(domain)) || strchr(domain, '.') == NULL)
		return cli_usage_error(self, "%s: is not a domain such as example.com", domain);
	(void)snprintf(s->domain, sizeof s->domain, "%s", domain);
	s->hostname_given = v->hostname != NULL;
	if (v->hostname != NULL)
		(void)snprintf(s->hostname, sizeof s->hostname, "%.255s", v->hostname);
	else
		(void)snprintf(s->hostname, sizeof s->hostname, "mail.%.250s", domain);
	if (!smtp_domain_is_valid(smtp_span_of(s->hostname)))
		return cli_usage_error(self, "%s: is not a host name", s->hostname);
	if (v->port_base != NULL && (smtp_span_uint(smtp_span_of(v->port_base), &base) != 0 ||
				     base > PORT_BASE_MAX))
		return cli_usage_error(self, "%s: is no port base, 0 to 64000", v->port_base);
	s->port_base = (unsigned)base;
	return CLI_DONE;
}

int ctl_setup(const struct cli_command *self, int argc, char **argv, void *user)
{
	const struct smtpctl *ctl = user;
	struct setup_values v = { NULL, NULL, NULL };
	struct setup *s;
	int first = cli_options_read(self, argc, argv, &v), status;

	if (first < 0)
		return CLI_USAGE;
	if (argc - first != 1)
		return cli_usage_error(self, "one domain is wanted");
	s = calloc(1, sizeof *s);
	if (s == NULL) {
		cli_error("out of memory");
		return CLI_REFUSED;
	}
	status = read_values(self, &v, argv[first], s);
	if (status == CLI_DONE) {
		(void)printf("Setting up mail for %s:\n", s->domain);
		status = setup_paths(s, v.dir, ctl->config_file);
	}
	if (status == CLI_DONE)
		status = setup_files(s);
	if (status == CLI_DONE)
		status = fill_store(s);
	free(s);
	return cli_finish_output(status);
}
