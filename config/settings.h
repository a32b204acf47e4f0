/* SPDX-License-Identifier: ISC */
/* settings.h - the one table of settings: path, type, default, range and help of each, and how a text
 * becomes a value. What reads files is in reader.c.
 */
#ifndef CONFIG_SETTINGS_H
#define CONFIG_SETTINGS_H

#include "config/config.h"

enum setting_kind {
	SETTING_TEXT,
	SETTING_HOSTNAME,
	SETTING_PATH,      /* made absolute against the folder of the file */
	SETTING_PATTERN,   /* a path with {domain} and {local_part} */
	SETTING_BYTES,     /* 50MiB */
	SETTING_DURATION,  /* 5m, kept in ms */
	SETTING_NUMBER,    /* 32 bits */
	SETTING_CHOICE,
	SETTING_NEXT_HOP,  /* mx or a URL */
	SETTING_RESOLVER,  /* system, recursive or ADDRESS@PORT */
	SETTING_DURATIONS, /* a list */
	SETTING_LISTENERS, /* a list of {address, role} */
	SETTING_ROUTES     /* a mapping of domain to URL */
};

struct setting {
	const char *path; /* "tls.certificate" */
	enum setting_kind kind;
	size_t offset;        /* in struct config */
	const char *fallback; /* as text; NULL: computed or required */
	uint64_t min, max;
	const char *const *choices; /* NULL-terminated, in the order of their enum */
	const char *help;
};

enum { SETTING_PROBLEM_MAX = 320, VALUE_TEXT_MAX = 24 };

extern const struct setting settings[];
extern const size_t setting_count;

const struct setting *setting_find(const char *path);
/** Does any setting lie below this path, as tls.key below tls? */
bool setting_is_section(const char *path);
/** The known setting or section whose path is nearest to what was written; NULL if none is near. */
const char *setting_nearest(const char *path);

/** Sets one scalar. SMTP_EINVAL and what is wrong with it in `problem`; SMTP_ENOMEM. `folder` is that of
 *  the file. */
SMTP_MUST_USE int setting_assign(struct config *, const struct setting *, const char *text,
				 const char *folder, char problem[SETTING_PROBLEM_MAX]);
SMTP_MUST_USE int setting_add_duration(struct config *, const struct setting *, const char *text,
				       char problem[SETTING_PROBLEM_MAX]);
SMTP_MUST_USE int setting_read_role(const char *text, enum config_role *out,
				    char problem[SETTING_PROBLEM_MAX]);
/** Networks of proxies, divided by blanks, for the listener that was added last. */
SMTP_MUST_USE int setting_set_proxies(struct config *, const char *networks,
				      char problem[SETTING_PROBLEM_MAX]);
SMTP_MUST_USE int setting_add_listener(struct config *, const char *address, enum config_role role,
				       char problem[SETTING_PROBLEM_MAX]);
SMTP_MUST_USE int setting_add_route(struct config *, const char *domain, const char *url,
				    char problem[SETTING_PROBLEM_MAX]);
/** Sets all that has a fallback. */
SMTP_MUST_USE int settings_default(struct config *);

/* values.c: texts to values; SMTP_EINVAL for another form, SMTP_ETOOLONG out of 64 bits. */
SMTP_MUST_USE int value_duration(const char *text, uint64_t *ms);
SMTP_MUST_USE int value_bytes(const char *text, uint64_t *bytes);
/** The other way round, in the largest unit without a fraction: "1d" for 86400000. */
void value_duration_format(uint64_t ms, char out[VALUE_TEXT_MAX]);
void value_bytes_format(uint64_t bytes, char out[VALUE_TEXT_MAX]);
void value_number_format(uint64_t number, char out[VALUE_TEXT_MAX]);
/** "*:25", "192.0.2.1:25", "[::1]:25": is it an address to listen on? */
bool value_is_listen_address(const char *text);
bool value_is_resolver(const char *text);

#endif
