/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policy's files, as several subcommands use them. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "client/paths.h"
#include "ctl/ctl.h"
#include "ctl/table.h"

struct policy *ctl_policy(struct ctl *ctl, const char *dir, int *exit_code)
{
	struct policy_report report;
	struct policy *policy = NULL;
	int rc;

	policy_report_init(&report);
	rc = policy_load(dir, &policy, &report);
	if (rc < 0) {
		policy_report_print(&report, stderr, ctl_colour(ctl, stderr));
		ctl_error(ctl, "%s: this policy cannot be used", dir);
		*exit_code = rc == -EACCES || rc == -EPERM ? CTL_PERMISSION : CTL_FAILED;
	}
	policy_report_clear(&report);
	return policy;
}

json_t *ctl_report_json(const struct policy_report *report)
{
	json_t *faults = json_array();

	for (size_t i = 0; i < report->n_faults; i++) {
		const struct policy_fault *fault = &report->faults[i];

		/* %s+*: a source line that is not UTF-8 cannot be JSON; the place still can. */
		json_array_append_new(faults,
		        json_pack("{s:s, s:s?, s:I, s:I, s:s*, s:s*}", "severity",
		                fault->severity == POLICY_ERROR ? "error" : "warning", "file",
		                fault->where.file, "line", (json_int_t)fault->where.line, "column",
		                (json_int_t)fault->where.column, "message", fault->message,
		                "source", fault->source));
	}
	return faults;
}

json_t *ctl_changes(const struct policy *old, const struct policy *new_policy)
{
	struct policy_diff diff = {0};
	json_t *rows;

	if (policy_diff(old, new_policy, &diff) < 0)
		return NULL;
	rows = json_array();
	for (size_t i = 0; i < diff.n_rows; i++)
		json_array_append_new(
		        rows, json_pack("{s:s, s:s, s:s}", "change",
		                      policy_change_name(diff.rows[i].change), "subject",
		                      diff.rows[i].subject, "text", diff.rows[i].text));
	policy_diff_clear(&diff);
	return rows;
}

static enum table_colour change_colour(const char *change)
{
	if (!strcmp(change, "admitted") || !strcmp(change, "opened"))
		return TABLE_GREEN;
	if (!strcmp(change, "evicted") || !strcmp(change, "closed"))
		return TABLE_RED;
	return TABLE_YELLOW;
}

void ctl_print_changes(const struct ctl *ctl, const json_t *rows, FILE *out)
{
	static const char *const heads[] = {"CHANGE", "WHAT", "HOW"};
	struct table *table = table_new(heads, 3);
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row) {
		const char *change = ctl_string(row, "change", "?");

		table_cell(table, change_colour(change), change);
		table_cell(table, TABLE_PLAIN, ctl_string(row, "subject", ""));
		table_cell(table, TABLE_PLAIN, ctl_string(row, "text", ""));
	}
	table_print(table, out, ctl_colour(ctl, out), table_terminal(out));
	table_free(table);
}

const char *ctl_key_path(const struct ctl *ctl, char *buf, size_t size)
{
	snprintf(buf, size, "%s/" OVERLAY_NODE_KEY, ctl->state);
	return buf;
}
