/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/ctl.h"

static int run_firewall(struct ctl *ctl, int argc, char **argv)
{
	json_t *answer;
	int rc;

	ctl_arguments(ctl, argc, argv, 0, 0);
	rc = ctl_ask(ctl, "firewall", NULL, &answer);
	if (rc)
		return rc;
	if (ctl->json)
		return ctl_print_json(answer);
	ctl_print_text(stdout, ctl_string(answer, "text", ""));
	json_decref(answer);
	return CTL_OK;
}

const struct ctl_command ctl_cmd_firewall = {
        .name = "firewall",
        .args = "",
        .summary = "print the daemon's ruleset as nft text",
        .help = "What the daemon wants in table inet overlayd; compare it with what is there:\n"
                "nft list table inet overlayd\n",
        .run = run_firewall,
};
