/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <time.h>

#include "ctl/ctl.h"
#include "ctl/table.h"

static void row_add(struct table *table, const json_t *row, int64_t now)
{
	char age[16], count[24];
	int64_t when = ctl_integer(row, "time", -1);

	snprintf(count, sizeof(count), "%" PRId64, ctl_integer(row, "count", 1));
	table_cell(table, TABLE_PLAIN,
	        when < 0 ? "-" : ctl_duration(now > when ? now - when : 0, age));
	table_cell(table, TABLE_PLAIN, count);
	table_cell(table, TABLE_PLAIN, ctl_string(row, "peer", "(stranger)"));
	table_cell(table, TABLE_PLAIN, ctl_string(row, "from", "-"));
	table_cell(table, TABLE_PLAIN, ctl_string(row, "to", "-"));
	table_cell(table, TABLE_PLAIN, ctl_string(row, "port", "-"));
	table_cell(table, TABLE_PLAIN, ctl_string(row, "why", ""));
}

static void tell(const struct ctl *ctl, const json_t *answer)
{
	static const char *const heads[] = {">AGO", ">TIMES", "PEER", "FROM", "TO", "PORT", "WHY"};
	const json_t *rows = json_object_get(answer, "denied"), *row;
	struct table *table = table_new(heads, 7);
	int64_t now = time(NULL);
	size_t i;

	json_array_foreach(rows, i, row) {
		row_add(table, row, now);
	}
	table_print(table, stdout, ctl_colour(ctl, stdout), table_terminal(stdout));
	table_free(table);
	printf("%s%" PRId64 " packets denied", json_array_size(rows) ? "\n" : "",
	        ctl_integer(answer, "total", 0));
	if (ctl_integer(answer, "since", 0)) {
		char age[16];

		printf(" in %s", ctl_duration(now - ctl_integer(answer, "since", 0), age));
	}
	putchar('\n');
}

static int run_denied(struct ctl *ctl, int argc, char **argv)
{
	ctl_arguments(ctl, argc, argv, 0, 0);
	return ctl_show(ctl, "denied", tell);
}

const struct ctl_command ctl_cmd_denied = {
        .name = "denied",
        .args = "",
        .summary = "what the firewall refused lately",
        .help = "The newest first. Packets are logged at a bounded rate; the total counts all of "
                "them.\n"
                "Why a pair of peers may not: overlayctl explain FROM TO PORT\n",
        .run = run_denied,
};
