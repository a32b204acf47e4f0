/* SPDX-License-Identifier: ISC */
/* output.h - what commands print: aligned tables for people, JSON for programs. Octets that are not
 * UTF-8, and control octets, are escaped: neither a terminal nor a JSON reader is upset by them.
 */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <smtp/base.h>

#include <stdio.h>

/** Prints text with control octets as \xHH, and octets that are not UTF-8 too. */
void cli_print_safe(FILE *out, struct smtp_span text);
/** Flushes standard output: `status`, or CLI_REFUSED with a message when that failed. */
int cli_finish_output(int status);

/** JSON as it is written; commas, indentation and escapes are done here. `key` is NULL inside arrays and
 *  at the top. Octets that are not UTF-8 become the four characters \xHH. */
enum { CLI_JSON_DEPTH_MAX = 16 };
struct cli_json {
	FILE *out;
	unsigned depth;
	bool has_items[CLI_JSON_DEPTH_MAX];
};
void cli_json_init(struct cli_json *json, FILE *out);
void cli_json_object(struct cli_json *json, const char *key);
void cli_json_object_end(struct cli_json *json);
void cli_json_array(struct cli_json *json, const char *key);
void cli_json_array_end(struct cli_json *json);
void cli_json_text(struct cli_json *json, const char *key, const char *text); /* NULL: null */
void cli_json_span(struct cli_json *json, const char *key, struct smtp_span text);
void cli_json_uint(struct cli_json *json, const char *key, uint64_t number);
void cli_json_int(struct cli_json *json, const char *key, int64_t number);
void cli_json_bool(struct cli_json *json, const char *key, bool value);

/** Rows of cells, printed with aligned columns and a head, or as a JSON array of objects. */
struct cli_column {
	const char *title; /* "QUEUE ID" */
	const char *key;   /* "queue_id" */
	bool is_number;    /* right-aligned; not quoted in JSON; an empty cell is null */
};
struct cli_table;

/** `columns` must outlive the table. NULL without memory; cli_table_row() remembers a failure and
 *  cli_table_print() returns it. */
struct cli_table *cli_table_new(const struct cli_column *columns, size_t count);
void cli_table_free(struct cli_table *table);
/** Copies one cell for each column; NULL is an empty one. A NULL table is fine, here and below. */
void cli_table_row(struct cli_table *table, const char *const *cells);
size_t cli_table_count(const struct cli_table *table);
/** 0, or SMTP_ENOMEM after saying so. Without rows people get nothing, JSON readers []. */
int cli_table_print(const struct cli_table *table, FILE *out, bool json);

#endif
