/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "ctl/ctl.h"

static void tell(const struct ctl *ctl, const json_t *answer)
{
	ctl_print_text(stderr, ctl_string(answer, "warnings", ""));
	printf("overlayd: serial %lld is in force%s\n", (long long)ctl_integer(answer, "serial", 0),
	        json_is_true(json_object_get(answer, "changed")) ? "" : ", nothing changed");
	ctl_print_changes(ctl, json_object_get(answer, "rows"), stdout);
}

static int run_reload(struct ctl *ctl, int argc, char **argv)
{
	ctl_arguments(ctl, argc, argv, 0, 0);
	return ctl_show(ctl, "reload", tell);
}

/*
 * The daemon may have noticed the new files by itself before it is asked: then it says that
 * nothing changed. What matters here is the serial that is in force.
 */
int ctl_apply(struct ctl *ctl, json_t **answer)
{
	struct overlay *overlay;
	int rc = overlay_connect(&overlay, ctl->socket, 5000);

	*answer = NULL;
	if (rc == -ENOENT || rc == -ECONNREFUSED) {
		if (!ctl->json)
			puts("overlayd does not run here: it will read this when it starts");
		rc = CTL_OK;
	} else if (rc < 0) {
		ctl_error(ctl, "written, but overlayd was not told: %s", overlay_error(overlay));
		rc = ctl_exit_of(rc);
	} else {
		rc = ctl_request(ctl, overlay, "reload", NULL, answer);
		if (!rc && !ctl->json)
			printf("overlayd: serial %lld is in force\n",
			        (long long)ctl_integer(*answer, "serial", 0));
	}
	overlay_close(overlay);
	return rc;
}

const struct ctl_command ctl_cmd_reload = {
        .name = "reload",
        .args = "",
        .summary = "let the daemon read the policy again, and tell what changed",
        .help = "Answers when the new policy is in force. One with errors changes nothing: they "
                "are\n"
                "printed, the old one stays, exit code 5.\n",
        .run = run_reload,
};
