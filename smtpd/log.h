/* SPDX-License-Identifier: ISC */
/* log.h - events as single lines on standard error, logfmt or JSON. Any thread, any process: a line is
 * one write(). Values from peers are quoted and escaped; they cannot begin a line or forge a field.
 */
#ifndef SMTPD_LOG_H
#define SMTPD_LOG_H

#include "config/config.h"

/** Before threads start, and after each fork. */
void log_setup(enum config_log_format format, enum config_log_level level, const char *process);

enum { LOG_WORD_MAX = 64 };
/** The settings as a line of text, for a process that runs already. */
void log_settings_format(char *out, size_t cap, enum config_log_format format,
			 enum config_log_level level);
/** Takes over the settings if such a line is in `text`. */
void log_settings_take(const char *text);

enum log_field_kind { LOG_TEXT, LOG_NUMBER };
struct log_field {
	const char *name;
	enum log_field_kind kind;
	struct smtp_span text;
	int64_t number;
};

/** Fields for log_event(): LOG_STR("peer", address), LOG_INT("delay_ms", n), LOG_SPAN(...). A NULL text
 *  leaves the field out. */
#define LOG_STR(name, value) ((struct log_field){ (name), LOG_TEXT, smtp_span_of(value), 0 })
#define LOG_SPAN(name, value) ((struct log_field){ (name), LOG_TEXT, (value), 0 })
#define LOG_INT(name, value) ((struct log_field){ (name), LOG_NUMBER, { NULL, 0 }, (value) })

void log_event_fields(enum config_log_level level, const char *event, const struct log_field *fields,
		      size_t count);
/** log_event(LOG_LEVEL_INFO, "mail.accept", LOG_STR("queue_id", id), LOG_INT("size", n)); */
#define log_event(level, event, ...)                                                               \
	log_event_fields((level), (event), (const struct log_field[]){ __VA_ARGS__ },              \
			 sizeof((const struct log_field[]){ __VA_ARGS__ }) /                       \
				 sizeof(struct log_field))

#endif
