/* SPDX-License-Identifier: ISC */
/* The account store as a file: opening, migrating, statements, transactions, what SQLite's errors
 * mean. What is asked of it is in accounts_resolve.c, accounts_admin.c and accounts_list.c.
 */
#include "schema_sql.h"
#include "libsmtp/core/span.h"
#include "storage/accounts_internal.h"
#include "storage/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Step n takes the schema from version n to n + 1. */
static const char *const migrations[] = { schema_sql };

enum {
	SCHEMA_VERSION = sizeof migrations / sizeof *migrations,
	BUSY_TIMEOUT_MS = 5000
};

/* ---- Errors ---- */

int accounts_problem(struct smtp_accounts *a, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(a->problem, sizeof a->problem, format, args);
	va_end(args);
	return err;
}

const char *smtp_accounts_problem(const struct smtp_accounts *accounts)
{
	return accounts->problem;
}

static int error_of(int code)
{
	static const struct {
		int code, err;
	} map[] = {
		{ SQLITE_BUSY, SMTP_EBUSY },	   { SQLITE_LOCKED, SMTP_EBUSY },
		{ SQLITE_CORRUPT, SMTP_ECORRUPT }, { SQLITE_NOTADB, SMTP_ECORRUPT },
		{ SQLITE_SCHEMA, SMTP_ECORRUPT },  { SQLITE_READONLY, SMTP_EACCESS },
		{ SQLITE_CANTOPEN, SMTP_EACCESS }, { SQLITE_PERM, SMTP_EACCESS },
		{ SQLITE_AUTH, SMTP_EACCESS },	   { SQLITE_FULL, SMTP_ENOSPC },
		{ SQLITE_NOMEM, SMTP_ENOMEM },	   { SQLITE_CONSTRAINT, SMTP_EEXISTS },
		{ SQLITE_ERROR, SMTP_ECORRUPT }, /* our statements are right: the schema is not */
	};

	for (size_t i = 0; i < sizeof map / sizeof *map; i++)
		if (map[i].code == (code & 0xff))
			return map[i].err;
	return SMTP_EIO;
}

static int failed(struct smtp_accounts *a)
{
	return accounts_problem(a, error_of(sqlite3_errcode(a->db)), "%s", sqlite3_errmsg(a->db));
}

int64_t accounts_now_s(void)
{
	return (int64_t)time(NULL);
}

/* ---- Statements ---- */

static const char *const look_ups[ACCOUNTS_STATEMENTS] = {
	[ACCOUNTS_DOMAIN] = "SELECT id, is_primary, name, catch_all FROM domain WHERE name = ?1",
	[ACCOUNTS_PRIMARY] =
		"SELECT id, is_primary, name, catch_all FROM domain WHERE is_primary = 1",
	[ACCOUNTS_ACCOUNT] = "SELECT state, password_hash FROM account"
			     " WHERE domain_id = ?1 AND local_part = ?2",
	[ACCOUNTS_FIRST_ACCOUNT] = "SELECT local_part FROM account"
				   " WHERE domain_id = ?1 AND state <> 'disabled'"
				   " ORDER BY id LIMIT 1",
	[ACCOUNTS_TARGETS] = "SELECT target FROM alias"
			     " WHERE domain_id = ?1 AND local_part = ?2 ORDER BY target",
	[ACCOUNTS_DKIM_KEY] = "SELECT selector, algorithm, private_pem, public_base64"
			      " FROM dkim_key WHERE domain_id = ?1 AND is_active = 1",
};

static int bind(struct smtp_accounts *a, sqlite3_stmt *stmt, const char *types, va_list args)
{
	for (int i = 0; types[i]; i++) {
		int code;

		if (types[i] == 'i')
			code = sqlite3_bind_int64(stmt, i + 1, va_arg(args, int64_t));
		else
			code = sqlite3_bind_text(stmt, i + 1, va_arg(args, const char *), -1,
						 SQLITE_TRANSIENT);
		if (code != SQLITE_OK)
			return failed(a);
	}
	return 0;
}

static int prepare(struct smtp_accounts *a, sqlite3_stmt **out, const char *sql, unsigned flags)
{
	if (sqlite3_prepare_v3(a->db, sql, -1, flags, out, NULL) != SQLITE_OK)
		return failed(a);
	return 0;
}

int accounts_look_up(struct smtp_accounts *a, sqlite3_stmt **out, enum accounts_statement which,
		     const char *types, ...)
{
	va_list args;
	int err = 0;

	*out = NULL;
	if (!a->kept[which])
		err = prepare(a, &a->kept[which], look_ups[which], SQLITE_PREPARE_PERSISTENT);
	if (err)
		return err;
	*out = a->kept[which];
	va_start(args, types);
	err = bind(a, *out, types, args);
	va_end(args);
	return err;
}

static int query(struct smtp_accounts *a, sqlite3_stmt **out, const char *sql, const char *types,
		 va_list args)
{
	int err = prepare(a, out, sql, 0);

	return err ? err : bind(a, *out, types, args);
}

int accounts_query(struct smtp_accounts *a, sqlite3_stmt **out, const char *sql, const char *types,
		   ...)
{
	va_list args;
	int err;

	*out = NULL;
	va_start(args, types);
	err = query(a, out, sql, types, args);
	va_end(args);
	return err;
}

int accounts_step(struct smtp_accounts *a, sqlite3_stmt *stmt)
{
	switch (sqlite3_step(stmt)) {
	case SQLITE_ROW:
		return 1;
	case SQLITE_DONE:
		return 0;
	default:
		return failed(a);
	}
}

/* What these return is the error of the step before, which has been reported. */
void accounts_end(struct smtp_accounts *a, sqlite3_stmt *stmt)
{
	for (int i = 0; i < ACCOUNTS_STATEMENTS; i++) {
		if (stmt && a->kept[i] == stmt) {
			(void)sqlite3_reset(stmt);
			(void)sqlite3_clear_bindings(stmt);
			return;
		}
	}
	(void)sqlite3_finalize(stmt);
}

int accounts_execute(struct smtp_accounts *a, int *changes, const char *sql, const char *types, ...)
{
	sqlite3_stmt *stmt = NULL;
	va_list args;
	int err;

	va_start(args, types);
	err = query(a, &stmt, sql, types, args);
	va_end(args);
	if (!err)
		err = accounts_step(a, stmt);
	accounts_end(a, stmt);
	if (!err && changes)
		*changes = sqlite3_changes(a->db);
	return err > 0 ? 0 : err;
}

const char *accounts_column(sqlite3_stmt *stmt, int column)
{
	const unsigned char *text = sqlite3_column_text(stmt, column);

	return text ? (const char *)text : "";
}

static int run(struct smtp_accounts *a, const char *sql)
{
	return sqlite3_exec(a->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : failed(a);
}

int accounts_begin(struct smtp_accounts *a)
{
	a->problem[0] = '\0';
	return run(a, "BEGIN IMMEDIATE");
}

int accounts_finish(struct smtp_accounts *a, int err)
{
	if (!err)
		err = run(a, "COMMIT");
	if (err && sqlite3_get_autocommit(a->db) == 0)
		(void)sqlite3_exec(a->db, "ROLLBACK", NULL, NULL, NULL); /* err says what failed */
	return err;
}

/* ---- Opening ---- */

/* The file is made here and not by SQLite, so that nobody else can read it even for a moment, and
 * so that it belongs to the owner of its folder when root makes it. SQLite gives its companions
 * (-wal, -shm) the mode and the owner of the file. */
static int create_file(const char *file)
{
	const char *slash = strrchr(file, '/');
	struct storage_owner owner;
	char folder[4096] = ".";
	int dir_fd, fd, err;

	if (slash &&
	    smtp_span_copy(smtp_span_slice(smtp_span_of(file), 0, (size_t)(slash - file) + 1),
			   folder, sizeof folder) != 0)
		return SMTP_ETOOLONG;
	dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return storage_error(errno);
	err = storage_owner_of(dir_fd, &owner);
	fd = err ? err : storage_openat(dir_fd, slash ? slash + 1 : file,
					O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd >= 0) {
		err = storage_give(fd, &owner);
		if (!err)
			err = storage_sync(dir_fd);
		(void)close(fd); /* nothing was written through it */
	}
	(void)close(dir_fd);
	return fd == SMTP_EEXISTS ? 0 : fd < 0 ? fd : err;
}

static int number(struct smtp_accounts *a, const char *pragma, int64_t *out)
{
	sqlite3_stmt *stmt = NULL;
	int err = accounts_query(a, &stmt, pragma, "");

	if (!err)
		err = accounts_step(a, stmt);
	if (err > 0)
		*out = sqlite3_column_int64(stmt, 0);
	else if (!err)
		err = SMTP_ECORRUPT;
	accounts_end(a, stmt);
	return err > 0 ? 0 : err;
}

static int migrate_from(struct smtp_accounts *a, int64_t version)
{
	char pragma[64];
	int err = 0;

	for (; version < SCHEMA_VERSION && !err; version++)
		err = run(a, migrations[version]);
	(void)snprintf(pragma, sizeof pragma, "PRAGMA user_version = %d", SCHEMA_VERSION);
	return err ? err : run(a, pragma);
}

/* Another process may migrate at the same time, so the version counts only inside. */
static int migrate(struct smtp_accounts *a)
{
	int64_t version = 0;
	int err = accounts_begin(a);

	if (err)
		return err;
	err = number(a, "PRAGMA user_version", &version);
	if (!err && version < SCHEMA_VERSION)
		err = migrate_from(a, version);
	return accounts_finish(a, err);
}

static int check_version(struct smtp_accounts *a, bool read_only)
{
	int64_t version = 0, tables = 0;
	int err = number(a, "PRAGMA user_version", &version);

	if (!err)
		err = number(a, "SELECT count(*) FROM sqlite_schema", &tables);
	if (err)
		return err;
	if (version > SCHEMA_VERSION)
		return accounts_problem(a, SMTP_EVERSION,
					"made by a newer version (schema %lld, known is %d)",
					(long long)version, SCHEMA_VERSION);
	if (version < 0 || (version == 0 && tables > 0))
		return accounts_problem(a, SMTP_ECORRUPT, "not an account store");
	if (read_only && version < SCHEMA_VERSION)
		return accounts_problem(a, SMTP_EVERSION, "of an older version");
	return 0;
}

static int configure(struct smtp_accounts *a, bool read_only)
{
	static const char settings[] = "PRAGMA foreign_keys = ON;"
				       "PRAGMA synchronous = FULL;"
				       "PRAGMA secure_delete = ON;"
				       "PRAGMA trusted_schema = OFF;";
	int err;

	if (sqlite3_busy_timeout(a->db, BUSY_TIMEOUT_MS) != SQLITE_OK ||
	    sqlite3_db_config(a->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL) != SQLITE_OK)
		return failed(a);
	err = run(a, settings);
	if (!err)
		err = check_version(a, read_only); /* before anything in the file is changed */
	if (err || read_only)
		return err ? err : run(a, "PRAGMA query_only = ON");
	err = run(a, "PRAGMA journal_mode = WAL");
	return err ? err : migrate(a);
}

/* Readers too want to write: a file in WAL mode has an index of its own. */
static int open_file(struct smtp_accounts *a, const char *file, enum smtp_accounts_open mode)
{
	int code, err;

	if (mode == SMTP_ACCOUNTS_CREATE && (err = create_file(file)))
		return accounts_problem(a, err, "%s can't be created", file);
	if (access(file, F_OK) != 0)
		return accounts_problem(a, storage_error(errno), "%s: %s", file,
					smtp_error_str(storage_error(errno)));
	if (mode != SMTP_ACCOUNTS_READ && access(file, W_OK) != 0)
		return accounts_problem(a, SMTP_EACCESS, "%s can't be written", file);
	code = sqlite3_open_v2(file, &a->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (code != SQLITE_OK)
		return a->db ? failed(a) : SMTP_ENOMEM;
	(void)sqlite3_extended_result_codes(a->db, 1);
	return configure(a, mode == SMTP_ACCOUNTS_READ);
}

int smtp_accounts_open(struct smtp_accounts **out, const char *file, enum smtp_accounts_open mode)
{
	struct smtp_accounts *a = calloc(1, sizeof *a);
	int err;

	if (!a)
		return SMTP_ENOMEM;
	err = open_file(a, file, mode);
	if (err)
		smtp_accounts_close(a);
	else
		*out = a;
	return err;
}

void smtp_accounts_close(struct smtp_accounts *a)
{
	if (!a)
		return;
	for (int i = 0; i < ACCOUNTS_STATEMENTS; i++)
		(void)sqlite3_finalize(a->kept[i]);
	(void)sqlite3_close(a->db); /* can only fail with open statements */
	free(a);
}
