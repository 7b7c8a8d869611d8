/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/edit.h"
#include "policy/policy_edit.h"

static int run_revoke(struct ctl *ctl, int argc, char **argv)
{
	struct edit edit;
	char written[128];
	int rc;

	ctl_arguments(ctl, argc, argv, 1, 1);
	edit_begin(ctl, &edit);
	rc = policy_edit_revoke(ctl->config, argv[optind], &edit.new_policy, &edit.report);
	snprintf(written, sizeof(written), "%s is revoked", argv[optind]);
	return edit_end(&edit, rc, written);
}

const struct ctl_command ctl_cmd_revoke = {
        .name = "revoke",
        .args = "NAME",
        .summary = "take a node out again, with all it has open, and tell the daemon",
        .help = "Removes the peer from the policy's files and raises the serial. The policy of "
                "other nodes\n"
                "is not changed: bring it there too, or they go on trusting that key.\n",
        .run = run_revoke,
};
