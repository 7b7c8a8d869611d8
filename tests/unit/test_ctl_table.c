/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables, and the small words for people. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <locale.h>
#include <cmocka.h>

#include "ctl/ctl.h"
#include "ctl/table.h"

static const char *const heads[] = {"NAME", ">SIZE", "NEVER", "WHY"};

static void expect(struct table *table, bool colour, size_t columns, const char *want)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_int_equal(table_print(table, out, colour, columns), 0);
	fclose(out);
	assert_string_equal(text, want);
	free(text);
	table_free(table);
}

static struct table *rows(size_t n, const char *const *cells)
{
	struct table *table = table_new(heads, 4);

	for (size_t i = 0; i < n; i++)
		table_cell(table, TABLE_PLAIN, cells[i]);
	return table;
}

static void test_columns(void **state)
{
	static const char *const cells[] = {"a", "1", "", "", "longer", "12345", "", "because",
	        /* é is one cell, 日本 four, the combining accent none */
	        "\xc3\xa9", "22", "", "x", "\xe6\x97\xa5\xe6\x9c\xac", "3", "", "y", "e\xcc\x81",
	        "4", "", "z"};

	(void)state;
	expect(rows(20, cells), false, 0,
	        "NAME     SIZE  WHY\n"
	        "a           1\n"
	        "longer  12345  because\n"
	        "\xc3\xa9          22  x\n"
	        "\xe6\x97\xa5\xe6\x9c\xac        3  y\n"
	        "e\xcc\x81           4  z\n");
	expect(rows(0, cells), false, 0, "");
}

static void test_wrap(void **state)
{
	static const char *const cells[] = {"n", "1", "", "one two three four five six seven eight",
	        "m", "2", "", "aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd"};

	(void)state;
	expect(rows(8, cells), false, 40,
	        "NAME  SIZE  WHY\n"
	        "n        1  one two three four five six\n"
	        "            seven eight\n"
	        "m        2  aaaaaaaaaabbbbbbbbbbcccccccc\n"
	        "            ccdddddddddd\n");
	/* Too narrow to be worth it; the terminal will do it. */
	expect(rows(4, cells), false, 20,
	        "NAME  SIZE  WHY\n"
	        "n        1  one two three four five six seven eight\n");
}

static void test_colour(void **state)
{
	struct table *table = table_new(heads, 4);

	(void)state;
	table_cell(table, TABLE_RED, "bad");
	for (int i = 0; i < 3; i++)
		table_cell(table, TABLE_RED, "");
	expect(table, true, 0, "\033[2mNAME\033[0m\n\033[31mbad\033[0m\n");
}

/* Texts of others do not move the terminal's cursor. */
static void test_clean(void **state)
{
	static const char *const cells[] = {"\033[2Jx\n", "1", "", "a\tb\x7f\xc2\x9b[2Jc"};
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	expect(rows(4, cells), false, 0, "NAME    SIZE  WHY\n?[2Jx?     1  a?b???[2Jc\n");
	ctl_print_text(out, "a\033b\n\tc\r\n");
	fclose(out);
	assert_string_equal(text, "a?b\n\tc?\n");
	free(text);
}

static void test_numbers(void **state)
{
	char buf[16];

	(void)state;
	assert_string_equal(ctl_bytes(-1, buf), "-");
	assert_string_equal(ctl_bytes(0, buf), "0 B");
	assert_string_equal(ctl_bytes(1023, buf), "1023 B");
	assert_string_equal(ctl_bytes(1024, buf), "1.0 KiB");
	assert_string_equal(ctl_bytes(10189, buf), "10 KiB");
	assert_string_equal(ctl_bytes(1023 * 1024, buf), "1.0 MiB");
	assert_string_equal(ctl_bytes(1500000000, buf), "1.4 GiB");
	assert_string_equal(ctl_bytes(INT64_MAX, buf), "8.0 EiB");
	assert_string_equal(ctl_duration(-1, buf), "-");
	assert_string_equal(ctl_duration(0, buf), "0s");
	assert_string_equal(ctl_duration(59, buf), "59s");
	assert_string_equal(ctl_duration(60, buf), "1m00s");
	assert_string_equal(ctl_duration(7265, buf), "2h01m");
	assert_string_equal(ctl_duration(86400 * 9 + 3600, buf), "9d01h");
	assert_string_equal(ctl_duration(INT64_MAX, buf), "ages");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_columns),
	        cmocka_unit_test(test_wrap),
	        cmocka_unit_test(test_colour),
	        cmocka_unit_test(test_clean),
	        cmocka_unit_test(test_numbers),
	};

	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests_name("ctl_table", tests, NULL, NULL);
}
