/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The report as people read it. */
#include "policy/policy.h"

#include <stdlib.h>
#include <string.h>

void policy_report_init(struct policy_report *report)
{
	*report = (struct policy_report){0};
}

void policy_report_clear(struct policy_report *report)
{
	if (!report)
		return;
	for (size_t i = 0; i < report->n_faults; i++) {
		free(report->faults[i].message);
		free(report->faults[i].source);
	}
	for (size_t i = 0; i < report->n_files; i++)
		free(report->files[i]);
	free(report->faults);
	free(report->files);
	policy_report_init(report);
}

/* A space for each character before the column, but tabs stay tabs, so the caret stands right. */
static void caret_print(const struct policy_fault *fault, FILE *out, bool colour)
{
	const char *c = fault->source;

	fputs("      | ", out);
	for (uint32_t column = 1; column < fault->where.column; column++) {
		fputc(*c == '\t' ? '\t' : ' ', out);
		if (*c)
			c++;
		while (((unsigned char)*c & 0xc0) == 0x80)
			c++;
	}
	fputs(colour ? "\033[1;32m^\033[0m\n" : "^\n", out);
}

static void fault_print(const struct policy_fault *fault, FILE *out, bool colour)
{
	bool error = fault->severity == POLICY_ERROR;
	const char *paint = !colour ? "" : error ? "\033[1;31m" : "\033[1;35m";
	const char *bold = colour ? "\033[1m" : "", *plain = colour ? "\033[0m" : "";

	fprintf(out, "%s%s:", bold, fault->where.file);
	if (fault->where.line)
		fprintf(out, "%u:%u:", fault->where.line, fault->where.column);
	fprintf(out, "%s %s%s:%s %s\n", plain, paint, error ? "error" : "warning", plain,
	        fault->message);
	if (!fault->where.line || !*fault->source)
		return;
	fprintf(out, "%5u | %s\n", fault->where.line, fault->source);
	caret_print(fault, out, colour);
}

void policy_report_print(const struct policy_report *report, FILE *out, bool colour)
{
	size_t found = report->n_errors + report->n_warnings;

	for (size_t i = 0; i < report->n_faults; i++)
		fault_print(&report->faults[i], out, colour);
	if (found > report->n_faults)
		fprintf(out, "and %zu more\n", found - report->n_faults);
}
