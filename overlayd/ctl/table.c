/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/table.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "ctl/ctl.h"

#define GAP 2U         /* cells between columns */
#define WRAP_LEAST 24U /* a narrower last column is not worth wrapping */

struct cell {
	char *text;
	enum table_colour colour;
};

struct table {
	const char *const *heads;
	size_t n_columns;
	struct cell *cells;
	size_t n_cells;
	bool failed;
};

struct table *table_new(const char *const *heads, size_t n_columns)
{
	struct table *table = calloc(1, sizeof(*table));

	if (table)
		*table = (struct table){.heads = heads, .n_columns = n_columns};
	return table;
}

void table_free(struct table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->n_cells; i++)
		free(table->cells[i].text);
	free(table->cells);
	free(table);
}

void table_cell(struct table *table, enum table_colour colour, const char *text)
{
	struct cell *cells;
	char *copy;

	if (!table || table->failed)
		return;
	copy = strdup(text);
	/* Grow at powers of two. */
	if (!(table->n_cells & (table->n_cells - 1))) {
		cells = reallocarray(
		        table->cells, table->n_cells ? table->n_cells * 2 : 1, sizeof(*cells));
		if (cells)
			table->cells = cells;
		else
			table->failed = true;
	}
	if (!copy || table->failed) {
		free(copy);
		table->failed = true;
		return;
	}
	ctl_clean(copy);
	table->cells[table->n_cells++] = (struct cell){copy, colour};
}

/* One character: its bytes, and the cells it takes. Broken UTF-8 counts a cell per byte. */
static size_t char_next(const char *text, size_t *cells)
{
	mbstate_t state = {0};
	wchar_t wide;
	size_t len = mbrtowc(&wide, text, MB_CUR_MAX, &state);
	int width;

	*cells = 1;
	if (!len || len == (size_t)-1 || len == (size_t)-2)
		return *text ? 1 : 0;
	width = wcwidth(wide);
	*cells = width < 0 ? 1 : (size_t)width;
	return len;
}

size_t table_width(const char *text)
{
	size_t width = 0, cells, len;

	for (; (len = char_next(text, &cells)); text += len)
		width += cells;
	return width;
}

size_t table_terminal(FILE *out)
{
	struct winsize size;

	if (!isatty(fileno(out)) || ioctl(fileno(out), TIOCGWINSZ, &size) < 0)
		return 0;
	return size.ws_col;
}

const char *table_colour_code(enum table_colour colour)
{
	switch (colour) {
	case TABLE_PLAIN:
		return "";
	case TABLE_GREEN:
		return "\033[32m";
	case TABLE_YELLOW:
		return "\033[33m";
	case TABLE_RED:
		return "\033[31m";
	case TABLE_DIM:
		return "\033[2m";
	}
	return "";
}

static bool right_aligned(const struct table *table, size_t column)
{
	return table->heads[column][0] == '>';
}

static const char *head_of(const struct table *table, size_t column)
{
	return table->heads[column] + right_aligned(table, column);
}

static const struct cell *cell_at(const struct table *table, size_t row, size_t column)
{
	return &table->cells[row * table->n_columns + column];
}

/* 0: nothing in it, leave it out. */
static size_t column_width(const struct table *table, size_t column)
{
	size_t widest = 0;

	for (size_t row = 0; row < table->n_cells / table->n_columns; row++) {
		size_t width = table_width(cell_at(table, row, column)->text);

		widest = width > widest ? width : widest;
	}
	if (widest && widest < table_width(head_of(table, column)))
		widest = table_width(head_of(table, column));
	return widest;
}

/* Bytes of text that fit into `room` cells, cut at a space where there is one. */
static size_t line_fit(const char *text, size_t room)
{
	size_t used = 0, at = 0, space = 0, cells, len;

	while ((len = char_next(text + at, &cells))) {
		if (used + cells > room)
			return space ? space : at ? at : len;
		if (text[at] == ' ' && at)
			space = at;
		used += cells;
		at += len;
	}
	return at;
}

void table_wrap(FILE *out, const char *text, size_t indent, size_t columns)
{
	size_t room = columns > indent ? columns - indent : 0;

	if (room < WRAP_LEAST) {
		fputs(text, out);
		return;
	}
	for (bool first = true; *text; first = false) {
		size_t len = line_fit(text, room);

		if (!first)
			fprintf(out, "\n%*s", (int)indent, "");
		fwrite(text, 1, len, out);
		text += len;
		text += strspn(text, " ");
	}
}

struct printer {
	const struct table *table;
	FILE *out;
	bool colour;
	size_t columns;
	size_t last; /* the last column that is shown */
	const size_t *widths;
	size_t owed; /* spaces, printed only if something follows */
	size_t at;   /* cells of the line so far, owed ones included */
};

static void print_cell(struct printer *p, size_t column, enum table_colour colour, const char *text)
{
	size_t width = p->widths[column], mine = table_width(text);
	bool right = right_aligned(p->table, column);

	if (!width)
		return;
	if (right)
		p->owed += width - mine;
	if (mine) {
		fprintf(p->out, "%*s%s", (int)p->owed, "",
		        p->colour ? table_colour_code(colour) : "");
		p->owed = 0;
		if (column == p->last && !right)
			table_wrap(p->out, text, p->at, p->columns);
		else
			fputs(text, p->out);
		if (p->colour && colour != TABLE_PLAIN)
			fputs("\033[0m", p->out);
	}
	p->owed += (right ? 0 : width - mine) + GAP;
	p->at += width + GAP;
}

static void line_end(struct printer *p)
{
	fputc('\n', p->out);
	p->owed = p->at = 0;
}

int table_print(const struct table *table, FILE *out, bool colour, size_t columns)
{
	struct printer p = {.table = table, .out = out, .colour = colour, .columns = columns};
	size_t *widths;

	if (!table || table->failed)
		return -ENOMEM;
	if (!table->n_cells)
		return 0;
	widths = calloc(table->n_columns, sizeof(*widths));
	if (!widths)
		return -ENOMEM;
	p.widths = widths;
	for (size_t i = 0; i < table->n_columns; i++) {
		widths[i] = column_width(table, i);
		if (widths[i])
			p.last = i;
	}
	for (size_t i = 0; i < table->n_columns; i++)
		print_cell(&p, i, TABLE_DIM, head_of(table, i));
	line_end(&p);
	for (size_t row = 0; row < table->n_cells / table->n_columns; row++) {
		for (size_t i = 0; i < table->n_columns; i++) {
			const struct cell *cell = cell_at(table, row, i);

			print_cell(&p, i, cell->colour, cell->text);
		}
		line_end(&p);
	}
	free(widths);
	return 0;
}
