/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/ctl.h"

static int run_diff(struct ctl *ctl, int argc, char **argv)
{
	struct policy *old = NULL, *new_policy = NULL;
	json_t *rows = NULL;
	int rc = CTL_FAILED;

	ctl_arguments(ctl, argc, argv, 1, 2);
	old = ctl_policy(ctl, argv[optind], &rc);
	if (!old)
		goto out;
	new_policy = ctl_policy(ctl, argc - optind > 1 ? argv[optind + 1] : ctl->config, &rc);
	if (!new_policy)
		goto out;
	rows = ctl_changes(old, new_policy);
	if (!rows) {
		ctl_error(ctl, "out of memory");
		goto out;
	}
	rc = json_array_size(rows) ? CTL_NO : CTL_OK;
	if (ctl->json)
		ctl_print_json(json_pack("{s:b, s:O}", "changed", rc == CTL_NO, "rows", rows));
	else if (rc == CTL_OK)
		puts("no difference");
	else
		ctl_print_changes(ctl, rows, stdout);
out:
	json_decref(rows);
	policy_unref(old);
	policy_unref(new_policy);
	return rc;
}

const struct ctl_command ctl_cmd_diff = {
        .name = "diff",
        .args = "OLD [NEW]",
        .summary = "what a policy would admit, evict, open and close against another",
        .help = "OLD and NEW are directories as for check; NEW defaults to --config.\n"
                "Exit code 0: no difference; 1: they differ; 5: one of them cannot be used.\n",
        .run = run_diff,
};
