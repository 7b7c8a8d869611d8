/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/edit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/guests.h"

/*
 * Does the daemon run as that node, and has it others to tell? It would cut its own tunnels with
 * the bundle, and nobody would hear of it.
 */
static bool is_own(struct ctl *ctl, const char *name)
{
	json_t *status = ctl_ask_quietly(ctl, "status");
	bool own = strcmp(ctl_string(json_object_get(status, "node"), "name", ""), name) == 0 &&
	           json_array_size(json_object_get(status, "peers")) > 0;

	json_decref(status);
	return own;
}

static int own_refuse(struct edit *edit, const char *name)
{
	ctl_error(edit->ctl,
	        "%s is this node: once revoked it can tell nobody, so run this on another "
	        "node, or sign with --socket none and load what comes of it there",
	        name);
	return edit_end(edit, -EINVAL, "");
}

/* asked: a daemon has told who the guests are, and it is none. */
static int peer_revoke(struct edit *edit, const char *name, bool asked, int argc, char **argv)
{
	char written[128];
	bool guests;
	int rc = edit_begin(edit, name, argc, argv);

	if (rc)
		return rc;
	if (edit->sign && is_own(edit->ctl, name))
		return own_refuse(edit, name);
	guests = edit->old && edit->old->n_tokens && !asked;
	rc = policy_edit_revoke(edit->ctl->config, name, &edit->new_policy, &edit->report);
	if (rc == -ENOENT && guests)
		ctl_error(edit->ctl,
		        "if %s is a guest of a token: only a daemon knows guests, and none answers "
		        "here; run this on a member, or write its key's fingerprint into `except` "
		        "of "
		        "its token, then `overlayctl sign`",
		        name);
	snprintf(written, sizeof(written), "%s is revoked", name);
	return edit_end(edit, rc, written);
}

/* The files do not name it: its token is not to let that key in, from now on. */
static int guest_revoke(
        struct edit *edit, const json_t *guest, const json_t *token, int argc, char **argv)
{
	const char *name = ctl_string(guest, "name", "?"), *by = ctl_string(token, "name", "?");
	char written[256];
	int rc = edit_begin_token(edit, by, argc, argv);

	if (rc)
		return rc;
	if (is_own(edit->ctl, name))
		return own_refuse(edit, name);
	rc = policy_edit_token_except(edit->ctl->config, by, ctl_string(guest, "fingerprint", ""),
	        &edit->new_policy, &edit->report);
	snprintf(written, sizeof(written), "%s is revoked, a guest of token %s", name, by);
	ctl_clean(written);
	return edit_end(edit, rc, written);
}

/* Do the policy's files name it? True also when they cannot be read: policy_edit says why. */
static bool in_files(struct ctl *ctl, const char *name)
{
	struct policy_report report;
	struct policy *policy;
	bool in = true;

	policy_report_init(&report);
	if (policy_load(ctl->config, &policy, &report) >= 0) {
		in = policy_peer_by_name(policy, name) != NULL;
		policy_unref(policy);
	}
	policy_report_clear(&report);
	return in;
}

static int run_revoke(struct ctl *ctl, int argc, char **argv)
{
	const json_t *guest, *token = NULL;
	const char *name;
	struct edit edit;
	json_t *tokens;
	int option, rc;

	edit_init(ctl, &edit);
	while ((option = ctl_option(ctl, argc, argv)) != -1)
		if (edit_option(&edit, option) < 0)
			return CTL_USAGE;
	if (argc - optind != 1)
		return ctl_usage(ctl, "one NAME is needed");
	name = argv[optind];
	tokens = in_files(ctl, name) ? NULL : guests_ask(ctl);
	guest = guests_by_name(tokens, name, &token);
	if (guest)
		rc = guest_revoke(&edit, guest, token, argc, argv);
	else
		rc = peer_revoke(&edit, name, tokens, argc, argv);
	json_decref(tokens);
	return rc;
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
        "too, or they go on trusting that key.\n"
        "A guest (overlayctl token list) is not in those files: its key is written into its "
        "token's `except`.\n"
        "That key is out for good; a token whose ticket may be in wrong hands: overlayctl token "
        "revoke.\n",
        .options = options,
        .run = run_revoke,
};
