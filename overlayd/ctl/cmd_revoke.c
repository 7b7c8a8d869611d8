/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/edit.h"

static int run_revoke(struct ctl *ctl, int argc, char **argv)
{
	struct edit edit;
	char written[128];
	int option, rc;

	edit_init(ctl, &edit);
	while ((option = ctl_option(ctl, argc, argv)) != -1)
		if (edit_option(&edit, option) < 0)
			return CTL_USAGE;
	if (argc - optind != 1)
		return ctl_usage(ctl, "one NAME is needed");
	rc = edit_begin(&edit, argv[optind], argc, argv);
	if (rc)
		return rc;
	rc = policy_edit_revoke(ctl->config, argv[optind], &edit.new_policy, &edit.report);
	snprintf(written, sizeof(written), "%s is revoked", argv[optind]);
	return edit_end(&edit, rc, written);
}

static const struct option options[] = {EDIT_OPTIONS, {0}};

const struct ctl_command ctl_cmd_revoke = {
        .name = "revoke",
        .args = "NAME [OPTION...]",
        .summary = "take a node out again, with all it has open, and tell the daemon",
        .help = EDIT_HELP
        "Removes the peer from the policy's files and raises the serial. With a key it is "
        "signed,\n"
        "and goes to all members. Without, the policy of other nodes is not changed: bring "
        "it there\n"
        "too, or they go on trusting that key.\n",
        .options = options,
        .run = run_revoke,
};
