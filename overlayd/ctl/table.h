/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * table: columns for people. Widths are counted in terminal cells of UTF-8 text, not bytes; there
 * are no trailing spaces; a long text in the last column is wrapped beneath itself where the
 * output is a terminal. A failed allocation is remembered and shows in table_print().
 */
#ifndef OVERLAYD_CTL_TABLE_H
#define OVERLAYD_CTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum table_colour { TABLE_PLAIN, TABLE_GREEN, TABLE_YELLOW, TABLE_RED, TABLE_DIM };

struct table;

/* heads: one word per column, borrowed; a leading '>' aligns the column to the right. */
struct table *table_new(const char *const *heads, size_t n_columns);
void table_free(struct table *table);

/* The next cell, row by row; text is copied and cleaned of control characters. */
void table_cell(struct table *table, enum table_colour colour, const char *text);

/* A column that is empty in all rows is left out, and so is a table without rows. columns: cells of
 * a line; 0: do not wrap. */
int table_print(const struct table *table, FILE *out, bool colour, size_t columns);

/* Print a text that begins at `indent` cells; what does not fit into `columns` goes beneath it. */
void table_wrap(FILE *out, const char *text, size_t indent, size_t columns);

/* How wide is this stream's terminal? 0 when it is none. */
size_t table_terminal(FILE *out);
/* Cells that a UTF-8 text takes. */
size_t table_width(const char *text);
const char *table_colour_code(enum table_colour colour);

#endif
