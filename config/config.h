/* SPDX-License-Identifier: ISC */
/* config.h - the settings of smtpd.yaml as one immutable struct, read once. smtpd and smtpctl share it.
 * One table in settings.c (path, type, default, range, help) feeds the reader, `smtpd -n` and the tests.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <smtp/base.h>
#include <smtp/url.h>

#define CONFIG_DEFAULT_FILE "/etc/smtpd/smtpd.yaml"

enum { CONFIG_LISTENERS_MAX = 32, CONFIG_ROUTES_MAX = 256, CONFIG_RETRY_MAX = 32,
       CONFIG_NETWORKS_MAX = 256, CONFIG_ERRORS_MAX = 50 };

enum config_role { ROLE_MX, ROLE_SUBMISSION, ROLE_SUBMISSIONS };
enum config_log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };
enum config_log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

struct config_listener {
	char *address; /* "*:25" */
	enum config_role role;
	char *proxies; /* networks of those that send a PROXY header, divided by blanks; NULL: none */
};

struct config_route {
	char *domain; /* lower case; "*" is not one: that is relay.default */
	char *url;    /* as written, checked */
};

struct config {
	char *file;      /* it was read from here */
	char *hostname;
	char *data_dir;  /* absolute, or relative to the file's folder and made absolute */
	char *user;      /* "" : none */
	char *tls_certificate, *tls_key, *tls_key_passphrase_file; /* "" : none */
	struct config_listener listeners[CONFIG_LISTENERS_MAX];
	size_t listener_count;
	char *maildir;   /* with {domain} and {local_part} */
	char *relay_default; /* "mx" or a URL */
	char *relay_password_file; /* "" : none */
	struct config_route routes[CONFIG_ROUTES_MAX];
	size_t route_count;
	uint64_t queue_retry_ms[CONFIG_RETRY_MAX];
	size_t queue_retry_count;
	uint64_t queue_lifetime_ms, queue_delay_notice_ms; /* delay_notice 0: none */
	uint64_t max_message_bytes;
	uint32_t max_recipients, max_connections, max_connections_per_ip, max_auth_failures;
	uint64_t command_timeout_ms, content_timeout_ms, handshake_timeout_ms;
	char *dns_resolver, *dns_trust_anchor; /* trust_anchor "" : none */
	enum config_log_format log_format;
	enum config_log_level log_level;
};

/** What is wrong, all of it: lines "FILE:LINE:COLUMN: setting: what is wrong (what to do)". */
struct config_errors {
	char *lines[CONFIG_ERRORS_MAX];
	size_t count;
};

/** Reads and checks a file. 0 and *out, or SMTP_EINVAL with errors told, SMTP_ENOMEM. Relative paths
 *  are meant relative to the folder of the file. Certificates are not opened here. */
SMTP_MUST_USE int config_load(const char *file, struct config **out, struct config_errors *errors);
void config_free(struct config *);
void config_errors_release(struct config_errors *);
const char *config_role_str(enum config_role role);
/** The Maildir of an account "local@domain" after the pattern; malloc()ed. Parts that would lead out of
 *  their folder ("..", "/") are refused: SMTP_EINVAL. */
SMTP_MUST_USE int config_maildir(const struct config *, const char *account, char **out);
/** The first setting in which two configurations differ although it is fixed when smtpd has started (sockets
 *  are bound, privileges dropped); NULL: none. */
const char *config_fixed_difference(const struct config *old, const struct config *changed);
/** Paths below data_dir; malloc()ed. */
SMTP_MUST_USE int config_data_path(const struct config *, const char *name, char **out);

#define CONFIG_ACCOUNTS_FILE "accounts.db"
#define CONFIG_SPOOL_DIRECTORY "spool"
#define CONFIG_CONTROL_SOCKET "control.sock"
#define CONFIG_KEEPER_SOCKET "keeper.sock"

#endif
