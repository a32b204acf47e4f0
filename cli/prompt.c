/* SPDX-License-Identifier: ISC */
/* Questions on the terminal, for secrets without echo. A signal that comes meanwhile is acted on after
 * the terminal is as it was.
 */
#include "cli/command.h"
#include "cli/secret.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static const int caught[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };
enum { CAUGHT_COUNT = sizeof caught / sizeof *caught };

static volatile sig_atomic_t signal_seen;

static void note_signal(int number)
{
	signal_seen = number;
}

struct signals {
	struct sigaction actions[CAUGHT_COUNT];
	sigset_t mask;
};

/* They stay blocked but while we wait: one that came just before would else end no wait. */
static void catch_signals(struct signals *old)
{
	struct sigaction action = { .sa_handler = note_signal };
	sigset_t set;

	signal_seen = 0;
	(void)sigemptyset(&set);
	for (size_t i = 0; i < CAUGHT_COUNT; i++)
		(void)sigaddset(&set, caught[i]);
	(void)sigemptyset(&action.sa_mask);
	(void)sigprocmask(SIG_BLOCK, &set, &old->mask);
	for (size_t i = 0; i < CAUGHT_COUNT; i++)
		(void)sigaction(caught[i], &action, &old->actions[i]);
}

static void release_signals(const struct signals *old)
{
	for (size_t i = 0; i < CAUGHT_COUNT; i++)
		(void)sigaction(caught[i], &old->actions[i], NULL);
	if (signal_seen)
		(void)raise(signal_seen);
	(void)sigprocmask(SIG_SETMASK, &old->mask, NULL);
}

/* False when a signal came instead of a line. */
static bool wait_for_line(int fd, const sigset_t *mask)
{
	struct pollfd waited = { .fd = fd, .events = POLLIN };

	return ppoll(&waited, 1, NULL, mask) == 1;
}

/* A line of the terminal; false when there is none, or it is too long. */
static bool read_answer(int fd, char *out, size_t cap, size_t *length)
{
	size_t n = 0;
	char c;

	for (;;) {
		if (read(fd, &c, 1) != 1)
			return false;
		if (c == '\n')
			break;
		if (n + 1 == cap)
			return false;
		out[n++] = c;
	}
	out[n] = '\0';
	*length = n;
	return n > 0;
}

static bool write_text(int fd, const char *text)
{
	return write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static bool ask_without_echo(int tty, const char *prompt, struct cli_secret *out)
{
	struct signals signals;
	struct termios old, quiet;
	bool good;

	if (tcgetattr(tty, &old) != 0)
		return false;
	quiet = old;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	catch_signals(&signals);
	good = tcsetattr(tty, TCSAFLUSH, &quiet) == 0 && write_text(tty, prompt) &&
	       wait_for_line(tty, &signals.mask) && read_answer(tty, out->text, sizeof out->text, &out->n);
	(void)tcsetattr(tty, TCSAFLUSH, &old);
	(void)write_text(tty, "\n");
	release_signals(&signals);
	return good;
}

int cli_prompt_secret(struct cli_secret *out, const char *prompt, const char *hint)
{
	int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	bool good;

	if (tty < 0) {
		cli_error("no password, and no terminal to ask for it%s%s", hint ? "; " : "",
			  hint ? hint : "");
		return -1;
	}
	out->n = 0;
	good = ask_without_echo(tty, prompt, out);
	(void)close(tty);
	if (good)
		return 0;
	cli_secret_wipe(out);
	cli_error("no password was given");
	return -1;
}

bool cli_confirm(const char *question)
{
	int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	char answer[8];
	size_t n;
	bool yes;

	if (tty < 0)
		return false;
	yes = write_text(tty, question) && write_text(tty, " [yes/no] ") &&
	      read_answer(tty, answer, sizeof answer, &n) && strcmp(answer, "yes") == 0;
	(void)close(tty);
	return yes;
}
