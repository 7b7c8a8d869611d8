/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "ctl/ctl.h"

static json_t *answer(const struct policy *policy, const struct policy_report *report)
{
	json_t *value = json_pack("{s:b, s:I, s:I, s:o}", "ok", policy != NULL, "errors",
	        (json_int_t)report->n_errors, "warnings", (json_int_t)report->n_warnings, "faults",
	        ctl_report_json(report));

	if (policy)
		json_object_update_new(value,
		        json_pack("{s:s, s:I, s:I, s:I, s:I}", "cluster", policy->cluster, "serial",
		                (json_int_t)policy->serial, "peers", (json_int_t)policy->n_peers,
		                "allows", (json_int_t)policy->n_allows, "tests",
		                (json_int_t)policy->n_tests));
	return value;
}

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

static int run_check(struct ctl *ctl, int argc, char **argv)
{
	struct policy_report report;
	struct policy *policy = NULL;
	const char *dir = ctl->config;
	int rc;

	if (ctl_arguments(ctl, argc, argv, 0, 1))
		dir = argv[optind];
	else
		dir = ctl->config;
	policy_report_init(&report);
	rc = policy_load(dir, &policy, &report);
	if (ctl->json)
		ctl_print_json(answer(policy, &report));
	else
		policy_report_print(&report, stderr, ctl_colour(ctl, stderr));
	if (!ctl->json && policy)
		printf("%s: good: cluster %s, serial %llu, %zu peer%s, %zu allow%s, %zu test%s "
		       "passed, "
		       "%zu warning%s\n",
		        dir, policy->cluster, (unsigned long long)policy->serial, policy->n_peers,
		        plural(policy->n_peers), policy->n_allows, plural(policy->n_allows),
		        policy->n_tests, plural(policy->n_tests), report.n_warnings,
		        plural(report.n_warnings));
	else if (!ctl->json)
		printf("%s: refused: %zu error%s, %zu warning%s\n", dir, report.n_errors,
		        plural(report.n_errors), report.n_warnings, plural(report.n_warnings));
	policy_report_clear(&report);
	policy_unref(policy);
	if (rc == -EACCES || rc == -EPERM)
		return CTL_PERMISSION;
	return rc == 0 ? CTL_OK : rc == -EINVAL ? CTL_NO : CTL_FAILED;
}

const struct ctl_command ctl_cmd_check = {
        .name = "check",
        .args = "[DIR]",
        .summary = "check a policy and run its tests; needs no daemon",
        .help = "DIR holds policy.yaml and peers.d/; default: --config. Every fault found is told "
                "as\n"
                "file:line:column. Exit code 1: the policy has errors; warnings alone are no "
                "error.\n",
        .run = run_check,
};
