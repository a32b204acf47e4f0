/* SPDX-License-Identifier: ISC */
/* log.c - builds one line an event in a buffer on the stack and writes it at once. Over-long values are
 * cut, never the line's end.
 */
#include "smtpd/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libsmtp/core/syntax.h"

enum { LINE_MAX_BYTES = 4096, VALUE_MAX_BYTES = 1024, ESCAPE_MAX_BYTES = 6,
       END_RESERVE = 4, VALUE_RESERVE = 8, FIELD_RESERVE = 40 };

/* Any thread logs; a reload changes it meanwhile. */
static struct {
	_Atomic(enum config_log_format) format;
	_Atomic(enum config_log_level) level;
	_Atomic(const char *) process; /* static text */
} setup = { LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO, "smtpd" };

struct line {
	char text[LINE_MAX_BYTES];
	size_t n;
	enum config_log_format format; /* of the whole line, whatever happens to the set-up */
};

static const char *const level_names[] = { "debug", "info", "warn", "error" };

void log_setup(enum config_log_format format, enum config_log_level level, const char *process)
{
	atomic_store(&setup.format, format);
	atomic_store(&setup.level, level);
	atomic_store(&setup.process, process);
}

void log_settings_format(char *out, size_t cap, enum config_log_format format,
			 enum config_log_level level)
{
	(void)snprintf(out, cap, "log %u %u\n", (unsigned)format, (unsigned)level);
}

void log_settings_take(const char *text)
{
	unsigned format, level;

	/* Several words may have come at once: the last one counts. */
	for (text = strstr(text, "log "); text; text = strstr(text + 1, "log ")) {
		if (sscanf(text, "log %u %u", &format, &level) != 2)
			continue;
		atomic_store(&setup.format, (enum config_log_format)format);
		atomic_store(&setup.level, (enum config_log_level)level);
	}
}

static size_t room(const struct line *ln, size_t reserve)
{
	size_t used = ln->n + reserve;

	return used < sizeof ln->text ? sizeof ln->text - used : 0;
}

static void put_reserving(struct line *ln, const char *text, size_t n, size_t reserve)
{
	if (n > room(ln, reserve))
		return;
	memcpy(ln->text + ln->n, text, n);
	ln->n += n;
}

/** What belongs to the form of the line: always fits, since values leave room for it. */
static void put(struct line *ln, const char *text, size_t n)
{
	put_reserving(ln, text, n, END_RESERVE);
}

static void put_octets(struct line *ln, const char *text, size_t n)
{
	put_reserving(ln, text, n, VALUE_RESERVE);
}

static void put_text(struct line *ln, const char *text)
{
	put(ln, text, strlen(text));
}

/** Octets that are no printable ASCII or well-formed UTF-8 are escaped; a line break never stands. */
static void put_escaped(struct line *ln, struct smtp_span value, bool utf8)
{
	static const char hex[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < value.n && i < VALUE_MAX_BYTES; i++) {
		uint8_t c = value.p[i];
		char escape[ESCAPE_MAX_BYTES] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
		char plain[2] = { '\\', (char)c };

		if (c == '"' || c == '\\')
			put_octets(ln, plain, 2);
		else if (smtp_is(c, SMTP_CC_CONTROL) || (c >= 0x80 && !utf8))
			put_octets(ln, escape, sizeof escape);
		else
			put_octets(ln, plain + 1, 1);
	}
}

static void put_quoted(struct line *ln, struct smtp_span value)
{
	/* A value that is cut may end in the midst of a UTF-8 sequence: then escape its octets. */
	bool utf8 = value.n <= VALUE_MAX_BYTES && smtp_utf8_is_valid(value);

	put_text(ln, "\"");
	put_escaped(ln, value, utf8);
	put_text(ln, "\"");
}

static bool is_bare(struct smtp_span value)
{
	size_t i;

	for (i = 0; i < value.n; i++)
		if (!smtp_is(value.p[i], SMTP_CC_ESMTP_VALUE) || value.p[i] == '"' ||
		    value.p[i] == '\\')
			return false;
	return value.n > 0 && value.n <= VALUE_MAX_BYTES;
}

static void put_value(struct line *ln, const struct log_field *field)
{
	char number[24];

	if (field->kind == LOG_NUMBER) {
		(void)snprintf(number, sizeof number, "%lld", (long long)field->number);
		put_text(ln, number);
	} else if (ln->format == LOG_FORMAT_LOGFMT && is_bare(field->text)) {
		put_octets(ln, (const char *)field->text.p, field->text.n);
	} else {
		put_quoted(ln, field->text);
	}
}

static void put_field(struct line *ln, const struct log_field *field)
{
	if (field->kind == LOG_TEXT && field->text.p == NULL)
		return;
	if (strlen(field->name) > room(ln, FIELD_RESERVE))
		return;
	put_text(ln, ln->format == LOG_FORMAT_JSON ? ",\"" : " ");
	put_text(ln, field->name);
	put_text(ln, ln->format == LOG_FORMAT_JSON ? "\":" : "=");
	put_value(ln, field);
}

static void put_head(struct line *ln, enum config_log_level level, const char *event)
{
	struct timespec now;
	struct tm utc;
	char date[32];
	char head[192];

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &utc);
	(void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
	(void)snprintf(head, sizeof head,
		       ln->format == LOG_FORMAT_JSON ?
			       "{\"event\":\"%s\",\"time\":\"%s.%03ldZ\",\"level\":\"%s\","
			       "\"process\":\"%s\"" :
			       "event=%s time=%s.%03ldZ level=%s process=%s",
		       event, date, now.tv_nsec / 1000000, level_names[level],
		       atomic_load_explicit(&setup.process, memory_order_relaxed));
	put_text(ln, head);
}

void log_event_fields(enum config_log_level level, const char *event, const struct log_field *fields,
		      size_t count)
{
	struct line ln;
	size_t i;
	ssize_t written;

	if (level < atomic_load_explicit(&setup.level, memory_order_relaxed))
		return;
	ln.n = 0;
	ln.format = atomic_load_explicit(&setup.format, memory_order_relaxed);
	put_head(&ln, level, event);
	for (i = 0; i < count; i++)
		put_field(&ln, &fields[i]);
	if (ln.format == LOG_FORMAT_JSON)
		ln.text[ln.n++] = '}';
	ln.text[ln.n++] = '\n';
	/* Nobody could be told that the log can't be written. */
	written = write(STDERR_FILENO, ln.text, ln.n);
	(void)written;
}
