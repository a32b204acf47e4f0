/* SPDX-License-Identifier: ISC */
/* Rows of cells, gathered, then printed with aligned columns or as JSON. */
#include "cli/command.h"
#include "cli/output.h"

#include <stdlib.h>
#include <string.h>

struct cli_table {
	const struct cli_column *columns;
	size_t column_count;
	char **cells; /* row by row */
	size_t row_count;
	bool failed;
};

struct cli_table *cli_table_new(const struct cli_column *columns, size_t count)
{
	struct cli_table *table = calloc(1, sizeof *table);

	if (!table)
		return NULL;
	table->columns = columns;
	table->column_count = count;
	return table;
}

void cli_table_free(struct cli_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->row_count * table->column_count; i++)
		free(table->cells[i]);
	free(table->cells);
	free(table);
}

void cli_table_row(struct cli_table *table, const char *const *cells)
{
	size_t n, used;
	char **grown;

	if (!table || table->failed)
		return;
	n = table->column_count;
	used = table->row_count * n;
	grown = reallocarray(table->cells, table->row_count + 1, n * sizeof *grown);
	if (!grown) {
		table->failed = true;
		return;
	}
	table->cells = grown;
	for (size_t i = 0; i < n; i++) {
		grown[used + i] = strdup(cells[i] ? cells[i] : "");
		table->failed = table->failed || !grown[used + i];
	}
	table->row_count++;
}

size_t cli_table_count(const struct cli_table *table)
{
	return table ? table->row_count : 0;
}

/* Columns that text takes on a terminal, as far as one for each character tells. What is escaped when
 * printed takes four; cells are short, so a little raggedness there does no harm. */
static int width_of(const char *text)
{
	int n = 0;

	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static int column_width(const struct cli_table *table, size_t column)
{
	int width = width_of(table->columns[column].title);

	for (size_t row = 0; row < table->row_count; row++) {
		int n = width_of(table->cells[row * table->column_count + column]);

		width = n > width ? n : width;
	}
	return width;
}

/* The last column gets no blanks behind it. */
static void print_cell(FILE *out, const struct cli_table *table, size_t column, int width,
		       const char *text)
{
	int blanks = width - width_of(text);
	bool right = table->columns[column].is_number;

	if (right)
		(void)fprintf(out, "%*s", blanks, "");
	cli_print_safe(out, smtp_span_of(text));
	if (column + 1 == table->column_count)
		(void)fputc('\n', out);
	else
		(void)fprintf(out, "%*s", right ? 2 : blanks + 2, "");
}

static int print_aligned(const struct cli_table *table, FILE *out)
{
	size_t n = table->column_count;
	int *widths;

	if (table->row_count == 0)
		return 0;
	widths = calloc(n, sizeof *widths);
	if (!widths)
		return SMTP_ENOMEM;
	for (size_t i = 0; i < n; i++)
		widths[i] = column_width(table, i);
	for (size_t i = 0; i < n; i++)
		print_cell(out, table, i, widths[i], table->columns[i].title);
	for (size_t i = 0; i < table->row_count * n; i++)
		print_cell(out, table, i % n, widths[i % n], table->cells[i]);
	free(widths);
	return 0;
}

static void print_json_cell(struct cli_json *json, const struct cli_column *column, const char *text)
{
	if (!column->is_number)
		cli_json_text(json, column->key, text);
	else if (text[0] == '\0')
		cli_json_text(json, column->key, NULL);
	else
		cli_json_int(json, column->key, strtoll(text, NULL, 10));
}

static void print_json(const struct cli_table *table, FILE *out)
{
	struct cli_json json;

	cli_json_init(&json, out);
	cli_json_array(&json, NULL);
	for (size_t row = 0; row < table->row_count; row++) {
		cli_json_object(&json, NULL);
		for (size_t i = 0; i < table->column_count; i++)
			print_json_cell(&json, &table->columns[i],
					table->cells[row * table->column_count + i]);
		cli_json_object_end(&json);
	}
	cli_json_array_end(&json);
}

int cli_table_print(const struct cli_table *table, FILE *out, bool json)
{
	int err = !table || table->failed ? SMTP_ENOMEM : 0;

	if (!err && json)
		print_json(table, out);
	else if (!err)
		err = print_aligned(table, out);
	if (err)
		cli_error("%s", smtp_error_str(err));
	return err;
}
