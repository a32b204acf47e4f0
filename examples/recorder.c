/* SPDX-License-Identifier: ISC */
/* Prints each message that is sent to it: recorder [-a ADDRESS:PORT] [-n HOSTNAME] [-t starttls|tls] [-l]
 * Any login is good; passwords are neither kept nor printed. Ends on SIGINT or SIGTERM.
 */
#include <smtp/smtp.h>
#include <stdatomic.h>
#include <unistd.h>
#include "common.h"

static void print_message(const struct smtp_recorded_message *m, size_t number)
{
	char address[SMTP_MAILBOX_TEXT_MAX + 1];

	(void)smtp_mailbox_format(&m->reverse_path.mailbox, address, sizeof address);
	printf("=== %zu: from <%s> by %s, %s%s%s, %s %s\n", number + 1, address, m->peer_address,
	       m->protocol, *m->account ? " as " : "", m->account, m->helo_name, m->tls);
	for (size_t i = 0; i < m->forward_path_count; i++)
		printf("--- %s\n", m->rcpt_commands[i]);
	if (m->content.n > 0)
		(void)fwrite(m->content.p, 1, m->content.n, stdout);
	printf("=== end of %zu\n", number + 1);
	(void)fflush(stdout);
}

struct printer {
	struct smtp_recorder *recorder;
	atomic_bool ending;
};

static void *print_messages(void *user)
{
	struct printer *printer = user;
	size_t printed = 0;

	do {
		if (smtp_recorder_wait(printer->recorder, printed + 1, 200) == 0) {
			print_message(smtp_recorder_message(printer->recorder, printed), printed);
			printed++;
		}
	} while (!atomic_load(&printer->ending) || printed < smtp_recorder_count(printer->recorder));
	return NULL;
}

static int usage(void)
{
	fprintf(stderr, "usage: recorder [-a ADDRESS:PORT] [-n HOSTNAME] [-t starttls|tls] [-l]\n"
			"-l: LMTP. Port 0 picks one.\n");
	return 2;
}

static int read_arguments(int argc, char **argv, struct smtp_recorder_options *options)
{
	int c;

	while ((c = getopt(argc, argv, "a:n:t:l")) != -1) {
		if (c == 'a')
			options->address = optarg;
		else if (c == 'n')
			options->session.hostname = optarg;
		else if (c == 't' && strcmp(optarg, "starttls") == 0)
			options->tls = SMTP_RECORDER_STARTTLS;
		else if (c == 't' && strcmp(optarg, "tls") == 0)
			options->tls = SMTP_RECORDER_TLS;
		else if (c == 'l')
			options->session.lmtp = true;
		else
			return usage();
	}
	return optind == argc ? 0 : usage();
}

int main(int argc, char **argv)
{
	struct smtp_recorder_options options;
	struct printer printer = { .recorder = NULL };
	sigset_t signals = block_end_signals();
	pthread_t thread;
	int err;

	smtp_recorder_options_init(&options);
	options.address = "127.0.0.1:2525";
	err = read_arguments(argc, argv, &options);
	if (err)
		return err;
	err = smtp_recorder_new(&printer.recorder, &options);
	if (!err)
		err = smtp_recorder_start(printer.recorder);
	if (!err && pthread_create(&thread, NULL, print_messages, &printer) == 0) {
		printf("%s %s\n", smtp_recorder_url(printer.recorder),
		       smtp_recorder_ca_file(printer.recorder));
		(void)fflush(stdout);
		wait_for_end(&signals);
		err = smtp_recorder_stop(printer.recorder, 2000);
		atomic_store(&printer.ending, true);
		(void)pthread_join(thread, NULL);
	}
	if (err)
		fprintf(stderr, "%s: %s\n", smtp_error_str(err),
			printer.recorder ? smtp_recorder_problem(printer.recorder) : "");
	smtp_recorder_free(printer.recorder);
	return err != 0;
}
