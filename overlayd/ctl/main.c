/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "client/paths.h"
#include "ctl/ctl.h"

/* A full disk or a closed pipe must not look like success. */
static int stdout_done(struct ctl *ctl, int code)
{
	if (!fflush(stdout) && !ferror(stdout))
		return code;
	if (errno == EPIPE)
		return code;
	ctl_error(ctl, "cannot write the answer: %s", strerror(errno));
	return CTL_FAILED;
}

int main(int argc, char **argv)
{
	struct ctl ctl = {
	        .config = OVERLAY_CONFIG_DIR,
	        .socket = OVERLAY_SOCKET,
	        .state = OVERLAY_STATE_DIR,
	};
	const char *no_color = getenv("NO_COLOR");
	int first;

	/* Only to know how wide characters are; numbers and messages stay as they are. */
	setlocale(LC_CTYPE, "C.UTF-8");
	ctl.no_colour = no_color && *no_color;
	ctl_global_options(&ctl, argc, argv);
	if (optind >= argc) {
		ctl_help_all(stderr);
		return CTL_USAGE;
	}
	first = optind;
	ctl.command = ctl_command_find(argv[first]);
	if (!ctl.command) {
		ctl_error(&ctl, "there is no command \"%s\"; see: overlayctl help", argv[first]);
		return CTL_USAGE;
	}
	optind = 0; /* glibc: start over, with the subcommand's options */
	return stdout_done(&ctl, ctl.command->run(&ctl, argc - first, argv + first));
}
