/* SPDX-License-Identifier: ISC */
/* main.c - smtpd's command line: which configuration, check it or run it. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "smtpd/check.h"
#include "smtpd/supervisor.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const char usage[] =
	"usage: smtpd [-c FILE] [-n]\n"
	"  -c FILE  configuration (default " CONFIG_DEFAULT_FILE ")\n"
	"  -n       check the configuration, user, data_dir and certificate, and exit\n"
	"  -V       print the version and exit\n"
	"smtpd stays in the foreground and logs to standard error. TERM stops it, HUP makes it\n"
	"read its configuration and certificates again. A first configuration: smtpctl setup.\n";

struct arguments {
	const char *file;
	bool check_only;
	bool version;
};

static int read_arguments(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = { { "help", no_argument, NULL, 'h' },
						 { "version", no_argument, NULL, 'V' },
						 { NULL, 0, NULL, 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "c:nhV", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			a->file = optarg;
			break;
		case 'n':
			a->check_only = true;
			break;
		case 'V':
			a->version = true;
			break;
		case 'h':
			(void)fputs(usage, stdout);
			return -1;
		default:
			(void)fputs(usage, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "smtpd: unexpected argument \"%s\"\n%s", argv[optind], usage);
		return EXIT_USAGE;
	}
	return 0;
}

static int print_errors(struct config_errors *errors, int err)
{
	size_t i;

	for (i = 0; i < errors->count; i++)
		(void)fprintf(stderr, "%s\n", errors->lines[i]);
	if (errors->count == 0)
		(void)fprintf(stderr, "smtpd: %s\n", smtp_error_str(err));
	config_errors_release(errors);
	return EXIT_FAILED;
}

static int check(struct config *config, const char *file)
{
	char problem[CHECK_PROBLEM_MAX] = "";
	int err = check_surroundings(config, problem);

	if (err == 0)
		(void)printf("%s: no errors\n", file);
	else
		(void)fprintf(stderr, "smtpd: %s\n", problem);
	config_free(config);
	return err == 0 ? EXIT_DONE : EXIT_FAILED;
}

int main(int argc, char **argv)
{
	struct arguments a = { CONFIG_DEFAULT_FILE, false, false };
	struct config_errors errors = { .count = 0 };
	struct config *config;
	int status = read_arguments(argc, argv, &a);

	if (status != 0)
		return status < 0 ? EXIT_DONE : status;
	if (a.version) {
		(void)printf("smtpd %s\n", smtp_library_version());
		return EXIT_DONE;
	}
	status = config_load(a.file, &config, &errors);
	if (status != 0)
		return print_errors(&errors, status);
	if (a.check_only)
		return check(config, a.file);
	return supervise(config); /* takes it over */
}
