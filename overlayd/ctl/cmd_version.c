/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/wire.h"
#include "ctl/ctl.h"

static json_t *mine(void)
{
	return json_pack("{s:s, s:{s:i, s:i}}", "version", OVERLAYD_VERSION, "protocol", "lowest",
	        WIRE_VERSION_LOWEST, "highest", WIRE_VERSION_HIGHEST);
}

static int run_version(struct ctl *ctl, int argc, char **argv)
{
	json_t *daemon = NULL;
	int rc;

	ctl_arguments(ctl, argc, argv, 0, 0);
	if (!ctl->json)
		puts("overlayctl " OVERLAYD_VERSION);
	fflush(stdout);
	rc = ctl_ask(ctl, "version", NULL, &daemon);
	if (ctl->json) {
		ctl_print_json(json_pack("{s:o, s:o}", "overlayctl", mine(), "overlayd",
		        daemon ? daemon : json_null()));
		return rc;
	}
	if (!rc) {
		fputs("overlayd   ", stdout);
		ctl_print_text(stdout, ctl_string(daemon, "version", "?"));
		putchar('\n');
		json_decref(daemon);
	}
	return rc;
}

const struct ctl_command ctl_cmd_version = {
        .name = "version",
        .args = "",
        .summary = "the versions of this program and of the daemon",
        .help = "",
        .run = run_version,
};
