/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/edit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/overlay.h"

/*
 * Does the daemon run as that node, and has it others to tell? It would cut its own tunnels with
 * the bundle, and nobody would hear of it.
 */
static bool is_own(struct ctl *ctl, const char *name)
{
	struct overlay *overlay;
	json_t *status = NULL;
	char *text = NULL;
	bool own = false;

	if (overlay_connect(&overlay, ctl->socket, 5000) == 0 &&
	        overlay_request(overlay, "status", NULL, &text, 5000) == 0)
		status = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	overlay_close(overlay);
	free(text);
	own = strcmp(ctl_string(json_object_get(status, "node"), "name", ""), name) == 0 &&
	      json_array_size(json_object_get(status, "peers")) > 0;
	json_decref(status);
	return own;
}

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
	if (edit.sign && is_own(ctl, argv[optind])) {
		ctl_error(ctl,
		        "%s is this node: once revoked it can tell nobody, so run this on another "
		        "node, or sign with --socket none and load what comes of it there",
		        argv[optind]);
		return edit_end(&edit, -EINVAL, "");
	}
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
