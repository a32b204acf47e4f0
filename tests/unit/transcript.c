/* SPDX-License-Identifier: ISC */
/* transcript.c - reads golden transcripts and plays them. What the handler of the session answers is
 * in transcript_policy.c. Test code: memory that can't be had ends it.
 */
#include "tests/unit/transcript.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/transcript_policy.h"

enum { LINE_MAX_OCTETS = 16384 };

enum step_kind { STEP_SEND, STEP_EXPECT, STEP_EXPECT_REPLY, STEP_TIME, STEP_CLOSE, STEP_TLS, STEP_CHECK };

struct step {
	enum step_kind kind;
	unsigned line;     /* in the file */
	char *octets;      /* to send, to expect, or the words of a check; NUL-terminated too */
	size_t n;
	unsigned times;
	uint64_t advance_ms;
};

struct transcript {
	struct policy policy;
	struct step *steps;
	size_t step_count;
	char path[256];
};

static char problem_text[2048];
static struct transcript_end last_end;

static const char *problem_at(const char *path, unsigned line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static const char *problem_at(const char *path, unsigned line, const char *format, ...)
{
	int n = snprintf(problem_text, sizeof(problem_text), "%s:%u: ", path, line);
	va_list ap;

	va_start(ap, format);
	vsnprintf(problem_text + n, sizeof(problem_text) - (size_t)n, format, ap);
	va_end(ap);
	return problem_text;
}

/* --- reading -------------------------------------------------------------------------------- */

static int hex(int c)
{
	const char *digits = "0123456789abcdef";
	const char *at = c ? strchr(digits, c | 0x20) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* \r \n \t \0 \\ \xHH in place; returns the length, (size_t)-1 for another escape. */
static size_t unescape(char *text)
{
	static const char from[] = "rnt0\\", to[] = "\r\n\t\0\\";
	char *out = text;

	for (const char *in = text; *in; in++) {
		const char *at;

		if (*in != '\\') {
			*out++ = *in;
		} else if (in[1] == 'x' && hex(in[2]) >= 0 && hex(in[3]) >= 0) {
			*out++ = (char)(hex(in[2]) * 16 + hex(in[3]));
			in += 3;
		} else {
			at = in[1] ? strchr(from, in[1]) : NULL;
			if (!at)
				return (size_t)-1;
			*out++ = to[at - from];
			in++;
		}
	}
	return (size_t)(out - text);
}

static struct step *add_step(struct transcript *t, enum step_kind kind, unsigned line)
{
	struct step *steps = realloc(t->steps, (t->step_count + 1) * sizeof(*steps));

	if (!steps)
		abort();
	t->steps = steps;
	steps[t->step_count] = (struct step){ .kind = kind, .line = line, .times = 1 };
	return &steps[t->step_count++];
}

static char *copy_octets(const char *p, size_t n)
{
	char *copy = malloc(n + 1);

	if (!copy)
		abort();
	memcpy(copy, p, n);
	copy[n] = '\0';
	return copy;
}

/* "text", "*N text": what stands behind C: C- or S: */
static bool read_octets(struct step *step, char *text, const char *end)
{
	size_t n;

	if (*text == '*') {
		step->times = (unsigned)strtoul(text + 1, &text, 10);
		if (*text != ' ' || step->times == 0)
			return false;
	}
	if (*text == ' ')
		text++;
	n = unescape(text);
	if (n == (size_t)-1 || n + strlen(end) >= LINE_MAX_OCTETS)
		return false;
	memcpy(text + n, end, strlen(end) + 1);
	step->n = n + strlen(end);
	step->octets = copy_octets(text, step->n);
	return true;
}

static bool read_time(struct step *step, const char *text)
{
	char *unit;

	if (strncmp(text, "@time +", 7) != 0)
		return false;
	step->advance_ms = strtoull(text + 7, &unit, 10);
	if (strcmp(unit, "s") == 0)
		step->advance_ms *= 1000;
	return strcmp(unit, "s") == 0 || strcmp(unit, "ms") == 0;
}

static bool read_step(struct transcript *t, char *text, unsigned line)
{
	struct step *step;

	if (strncmp(text, "C:", 2) == 0)
		return read_octets(add_step(t, STEP_SEND, line), text + 2, "\r\n");
	if (strncmp(text, "C-", 2) == 0)
		return read_octets(add_step(t, STEP_SEND, line), text + 2, "");
	if (strncmp(text, "S:", 2) == 0)
		return read_octets(add_step(t, STEP_EXPECT, line), text + 2, "");
	if (strncmp(text, "S+", 2) == 0)
		return read_octets(add_step(t, STEP_EXPECT_REPLY, line), text + 2, "");
	if (*text == '@')
		return read_time(add_step(t, STEP_TIME, line), text);
	if (strcmp(text, "!close") == 0)
		return add_step(t, STEP_CLOSE, line) != NULL;
	if (strcmp(text, "!tls") == 0)
		return add_step(t, STEP_TLS, line) != NULL;
	if (*text != '?')
		return t->step_count == 0 && policy_read(&t->policy, text);
	step = add_step(t, STEP_CHECK, line);
	return read_octets(step, text + 1, "");
}

static const char *read_file(struct transcript *t, FILE *file)
{
	static char text[LINE_MAX_OCTETS + 4];

	for (unsigned line = 1; fgets(text, LINE_MAX_OCTETS, file); line++) {
		text[strcspn(text, "\n")] = '\0';
		if (*text == '\0' || *text == '#')
			continue;
		if (!read_step(t, text, line))
			return problem_at(t->path, line, "not understood: %s", text);
	}
	return t->step_count ? NULL : problem_at(t->path, 0, "nothing in it");
}

struct transcript *transcript_load(const char *path, const char **problem)
{
	struct transcript *t = calloc(1, sizeof(*t));
	FILE *file = fopen(path, "r");

	if (!t)
		abort();
	snprintf(t->path, sizeof(t->path), "%s", path);
	policy_init(&t->policy);
	*problem = file ? read_file(t, file) : problem_at(path, 0, "can't be opened");
	if (file)
		fclose(file);
	if (!*problem)
		return t;
	transcript_free(t);
	return NULL;
}

void transcript_free(struct transcript *t)
{
	for (size_t i = 0; t && i < t->step_count; i++)
		free(t->steps[i].octets);
	if (t)
		free(t->steps);
	free(t);
}

size_t transcript_octets(const struct transcript *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->step_count; i++)
		if (t->steps[i].kind == STEP_SEND)
			n += t->steps[i].n * t->steps[i].times;
	return n;
}

/* --- playing -------------------------------------------------------------------------------- */

struct bytes {
	char *p;
	size_t n, room;
};

/* Doubles: under a sanitizer each realloc() moves all, and thousands of lines are one write. */
static void make_room(struct bytes *b, size_t n)
{
	if (b->n + n + 1 <= b->room)
		return;
	b->room = (b->n + n + 1) * 2;
	b->p = policy_realloc(b->p, b->room);
}

static void add_bytes(struct bytes *b, const void *p, size_t n)
{
	make_room(b, n);
	if (n > 0)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = '\0';
}

struct play {
	const struct transcript *t;
	struct scene scene;
	struct smtp_server_session *s;
	uint64_t now_ms;
	size_t cut;
	size_t fed;       /* octets of the client so far */
	struct bytes in;  /* what the session has not taken: it holds a reply back */
	struct bytes out; /* what the session sent and no S: line has matched yet */
};

static void read_output(struct play *p)
{
	struct smtp_span out = smtp_server_session_output(p->s);

	add_bytes(&p->out, out.p, out.n);
	smtp_server_session_sent(p->s, out.n);
}

static void answer_pending(struct play *p)
{
	while (smtp_server_session_wants(p->s) & SMTP_WANTS_VERDICT)
		scene_answer(&p->scene, p->s);
	read_output(p);
}

/* In a heap block of its own, so that a sanitizer sees a step over its end. */
static void offer_input(struct play *p)
{
	unsigned wants = SMTP_WANTS_READ;

	while (p->in.n > 0 && wants && !(wants & SMTP_WANTS_CLOSE)) {
		size_t taken = 0;
		char *copy = policy_realloc(NULL, p->in.n);

		memcpy(copy, p->in.p, p->in.n);
		/* an error shows in what follows: the session only wants to close */
		if (smtp_server_session_feed(p->s, copy, p->in.n, p->now_ms, &taken) != 0)
			taken = p->in.n;
		free(copy);
		p->in.n -= taken;
		memmove(p->in.p, p->in.p + taken, p->in.n);
		if (p->in.n > 0)
			answer_pending(p);
		wants = smtp_server_session_wants(p->s);
	}
	if (wants & SMTP_WANTS_CLOSE)
		p->in.n = 0;
}

static void feed(struct play *p, const char *octets, size_t n)
{
	add_bytes(&p->in, octets, n);
	offer_input(p);
	p->fed += n;
}

static void send_block(struct play *p, const struct bytes *block)
{
	size_t first = block->n;

	if (p->cut == TRANSCRIPT_OCTETS) {
		for (size_t i = 0; i < block->n; i++)
			feed(p, block->p + i, 1);
		return;
	}
	if (p->cut > p->fed && p->cut - p->fed < block->n)
		first = p->cut - p->fed;
	feed(p, block->p, first);
	if (first < block->n)
		feed(p, block->p + first, block->n - first);
}

/* "..." at the end of an expected line stands for any text. */
static bool line_matches(const char *expected, const char *line, size_t n)
{
	size_t m = strlen(expected);

	if (m >= 3 && strcmp(expected + m - 3, "...") == 0)
		return n >= m - 3 && memcmp(expected, line, m - 3) == 0;
	return n == m && memcmp(expected, line, n) == 0;
}

/* Takes one line that came; *last is whether it is the last of its reply. */
static const char *expect_line(struct play *p, const struct step *step, bool *last)
{
	const char *end = p->out.n ? strstr(p->out.p, "\r\n") : NULL;
	size_t n = end ? (size_t)(end - p->out.p) : 0;
	bool matches;

	if (!end)
		return problem_at(p->t->path, step->line, "expected \"%s\", nothing came",
				  step->octets);
	matches = step->kind == STEP_EXPECT ?
			  line_matches(step->octets, p->out.p, n) :
			  n >= step->n && memcmp(p->out.p, step->octets, step->n) == 0;
	if (!matches)
		return problem_at(p->t->path, step->line, "expected \"%s\", got \"%.*s\"",
				  step->octets, (int)n, p->out.p);
	*last = n < 4 || p->out.p[3] != '-';
	memmove(p->out.p, end + 2, p->out.n - n - 2 + 1);
	p->out.n -= n + 2;
	return NULL;
}

static const char *expect(struct play *p, const struct step *step)
{
	const char *problem = NULL;
	unsigned times = 0;
	bool last = false;

	do {
		problem = expect_line(p, step, &last);
		times += !problem && (last || step->kind == STEP_EXPECT);
	} while (times < step->times && !problem);
	return problem;
}

static const char *start_tls(struct play *p, const struct step *step)
{
	if (smtp_server_session_wants(p->s) != SMTP_WANTS_TLS)
		return problem_at(p->t->path, step->line, "the session does not want TLS");
	if (!scene_start_tls(&p->scene, p->s) ||
	    smtp_server_session_tls_started(p->s, "TLSv1.3 TLS_AES_256_GCM_SHA384") != 0)
		return problem_at(p->t->path, step->line, "TLS was not taken");
	return NULL;
}

static const char *run_step(struct play *p, const struct step *step)
{
	const char *problem;

	switch (step->kind) {
	case STEP_EXPECT:
	case STEP_EXPECT_REPLY:
		return expect(p, step);
	case STEP_TIME:
		p->now_ms += step->advance_ms;
		smtp_server_session_tick(p->s, p->now_ms);
		read_output(p);
		offer_input(p);
		break;
	case STEP_CLOSE:
		smtp_server_session_peer_closed(p->s);
		return NULL; /* a verdict that is pending comes behind it */
	case STEP_TLS:
		problem = start_tls(p, step);
		if (problem)
			return problem;
		break;
	default:
		problem = scene_check(&p->scene, p->s, step->octets, step->n);
		return problem ? problem_at(p->t->path, step->line, "%s", problem) : NULL;
	}
	answer_pending(p);
	return NULL;
}

/* Adjacent lines of the client are one write. */
static size_t gather(const struct transcript *t, size_t i, struct bytes *block)
{
	for (; i < t->step_count && t->steps[i].kind == STEP_SEND; i++)
		for (unsigned k = 0; k < t->steps[i].times; k++)
			add_bytes(block, t->steps[i].octets, t->steps[i].n);
	return i;
}

static const char *play_steps(struct play *p)
{
	const struct transcript *t = p->t;
	const char *problem = NULL;
	size_t i = 0;

	while (i < t->step_count && !problem) {
		struct bytes block = { NULL, 0, 0 };
		const struct step *step = &t->steps[i];

		if (step->kind != STEP_CLOSE)
			answer_pending(p);
		if (step->kind != STEP_EXPECT && step->kind != STEP_EXPECT_REPLY && p->out.n > 0)
			return problem_at(t->path, step->line, "not expected: \"%s\"", p->out.p);
		if (step->kind == STEP_SEND) {
			i = gather(t, i, &block);
			send_block(p, &block);
			free(block.p);
		} else {
			problem = run_step(p, step);
			i++;
		}
	}
	if (!problem && p->out.n > 0)
		return problem_at(t->path, 0, "not expected at the end: \"%s\"", p->out.p);
	return problem;
}

const char *transcript_play(const struct transcript *t, size_t cut)
{
	struct play p = { .t = t, .cut = cut, .now_ms = 1000000 };
	const char *problem = NULL;

	scene_init(&p.scene, &t->policy);
	p.s = scene_session(&p.scene);
	if (!p.s)
		problem = problem_at(t->path, 0, "the options were not taken");
	else if (smtp_server_session_start(p.s, p.now_ms) != 0)
		problem = problem_at(t->path, 0, "start() failed");
	if (!problem) {
		answer_pending(&p);
		problem = play_steps(&p);
	}
	smtp_server_session_free(p.s);
	if (!problem && p.scene.disconnects != 1)
		problem = problem_at(t->path, 0, "disconnect came %u times", p.scene.disconnects);
	if (!problem && p.scene.leaked)
		problem = problem_at(t->path, 0, "a secret was traced");
	last_end = (struct transcript_end){ p.scene.begun, p.scene.disconnects, p.scene.leaked };
	scene_release(&p.scene);
	free(p.in.p);
	free(p.out.p);
	return problem;
}

struct transcript_end transcript_last_end(void)
{
	return last_end;
}
