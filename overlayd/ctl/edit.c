/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all that edit the policy have in common: the change is written; now sign, and tell the daemon. */
#include "ctl/edit.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/paths.h"

void edit_init(struct ctl *ctl, struct edit *edit)
{
	*edit = (struct edit){.ctl = ctl, .wait = -1, .signer = {.lock = -1}};
	policy_report_init(&edit->report);
}

int edit_option(struct edit *edit, int option)
{
	switch (option) {
	case 'K':
		edit->options.key = optarg;
		return 0;
	case 'P':
		edit->ctl->passphrase_file = optarg;
		return 0;
	case 'W':
		edit->wait = load_wait_parse(optarg);
		if (edit->wait >= 0)
			return 0;
		(void)ctl_usage(edit->ctl, "--wait takes a number of seconds");
		return -2;
	}
	return -1;
}

static void edit_clear(struct edit *edit)
{
	signer_close(&edit->signer);
	policy_undo_clear(&edit->undo);
	policy_report_clear(&edit->report);
	policy_unref(edit->old);
	policy_unref(edit->new_policy);
	json_decref(edit->more);
}

/* The key is elsewhere: what to run there. */
static int tell_elsewhere(struct edit *edit, int argc, char **argv)
{
	ctl_error(edit->ctl,
	        "%s/" OVERLAY_CLUSTER_KEY
	        ": the cluster's secret key is not on this machine; nothing was changed. Name it "
	        "with --key, or run this where it is, and load what comes of it here:",
	        edit->ctl->config);
	fputs("  overlayctl --config DIR", stderr);
	for (int i = 0; i < argc; i++)
		fprintf(stderr, strpbrk(argv[i], " \t\"$*?;&|<>()") ? " '%s'" : " %s", argv[i]);
	fputs(" --key FILE\n  overlayctl load DIR/" SIGNER_BUNDLE "\n", stderr);
	return CTL_FAILED;
}

/* What an edit of this peer, or token, may change. */
static int undo_take(struct edit *edit, const char *peer, const char *token)
{
	const char *dir = edit->ctl->config;
	int ret = token ? policy_undo_take_token(&edit->undo, dir, edit->old, token)
	                : policy_undo_take(&edit->undo, dir, edit->old, peer);

	if (ret)
		ctl_error(edit->ctl, "%s: its files cannot be read", dir);
	return ret ? CTL_FAILED : CTL_OK;
}

static int sign_begin(struct edit *edit, int argc, char **argv)
{
	struct ctl *ctl = edit->ctl;
	char key[PATH_MAX];

	snprintf(key, sizeof(key), "%s/" OVERLAY_CLUSTER_KEY, ctl->config);
	if (!edit->options.key && access(key, F_OK) && errno == ENOENT)
		return tell_elsewhere(edit, argc, argv);
	return signer_open(&edit->signer, ctl, ctl->config, &edit->options);
}

/* As they are once no other signer is at work. Only to compare with: policy_edit says what is wrong. */
static void old_load(struct edit *edit)
{
	struct policy_report report;

	policy_report_init(&report);
	if (policy_load(edit->ctl->config, &edit->old, &report) < 0)
		edit->old = NULL;
	policy_report_clear(&report);
}

static int begin(struct edit *edit, const char *peer, const char *token, int argc, char **argv)
{
	int rc = CTL_OK;

	edit->sign = signer_wanted(edit->ctl->config);
	if (edit->sign)
		rc = sign_begin(edit, argc, argv);
	if (!rc)
		old_load(edit);
	if (!rc && edit->sign && edit->old)
		rc = signer_check_serial(&edit->signer, edit->old);
	if (!rc && edit->sign && edit->old)
		rc = undo_take(edit, peer, token);
	if (rc)
		edit_clear(edit);
	return rc;
}

int edit_begin(struct edit *edit, const char *name, int argc, char **argv)
{
	return begin(edit, name, NULL, argc, argv);
}

int edit_begin_token(struct edit *edit, const char *name, int argc, char **argv)
{
	return begin(edit, NULL, name, argc, argv);
}

/* ---- without a key */

static void tell_files(const struct edit *edit, const char *what, const json_t *rows)
{
	FILE *out = ctl_out(edit->ctl);

	fprintf(out, "%s: %s, serial %llu\n", edit->ctl->config, what,
	        (unsigned long long)edit->new_policy->serial);
	ctl_print_changes(edit->ctl, rows, out);
	fflush(out);
}

/* written: what was done, for people ("node18 is approved"). */
static int edit_tell(struct edit *edit, const char *written)
{
	json_t *rows = ctl_changes(edit->old, edit->new_policy), *daemon = NULL;
	int rc;

	if (!edit->ctl->json)
		tell_files(edit, written, rows);
	rc = ctl_apply(edit->ctl, &daemon);
	if (edit->ctl->json)
		ctl_print_json(json_pack("{s:I, s:O?, s:O?}", "serial",
		        (json_int_t)edit->new_policy->serial, "rows", rows, "overlayd", daemon));
	json_decref(rows);
	json_decref(daemon);
	return rc;
}

/* ---- with a key */

/* Nothing half done: the files are as they were. */
static void take_back(const struct edit *edit)
{
	int ret = policy_undo_run(&edit->undo);

	if (ret)
		ctl_error(edit->ctl,
		        "%s: the files could not be put back (%s): undo the change by "
		        "hand",
		        edit->ctl->config, strerror(-ret));
	else
		ctl_error(edit->ctl, "%s: nothing was changed", edit->ctl->config);
}

static json_t *answer_make(const struct edit *edit, json_t *rows, json_t *daemon, json_t *members)
{
	json_t *answer =
	        json_pack("{s:I, s:O?, s:O?, s:O?}", "serial", (json_int_t)edit->new_policy->serial,
	                "rows", rows, "overlayd", daemon, "members", members);

	if (edit->more)
		json_object_update(answer, edit->more);
	return answer;
}

static int edit_sign(struct edit *edit, const char *written)
{
	const struct policy *before = edit->signer.policy ? edit->signer.policy : edit->old;
	json_t *rows, *daemon = NULL, *members = NULL;
	char *file = NULL;
	size_t len;
	int rc = signer_make(&edit->signer, edit->new_policy, &file, &len);

	rows = ctl_changes(before, edit->new_policy);
	if (!rc && !edit->ctl->json)
		tell_files(edit, written, rows);
	if (!rc)
		rc = load_or_keep(edit->ctl, edit->ctl->config, file, len, &daemon);
	free(file);
	if (rc && rc != CTL_UNREACHABLE)
		take_back(edit);
	if (!rc && daemon && !edit->ctl->json)
		fprintf(ctl_out(edit->ctl), "overlayd: serial %lld is in force\n",
		        (long long)ctl_integer(daemon, "serial", 0));
	fflush(stdout);
	if (!rc && daemon && edit->wait >= 0)
		rc = load_wait(edit->ctl, edit->new_policy->serial, edit->wait, &members);
	if (edit->ctl->json &&
	        (rc == CTL_OK || rc == CTL_NO || (rc == CTL_UNREACHABLE && edit->more)))
		ctl_print_json(answer_make(edit, rows, daemon, members));
	json_decref(rows);
	json_decref(daemon);
	json_decref(members);
	return rc;
}

int edit_drop(struct edit *edit, int rc)
{
	edit_clear(edit);
	return rc;
}

int edit_refuse(struct edit *edit)
{
	take_back(edit);
	edit_clear(edit);
	return CTL_FAILED;
}

int edit_end(struct edit *edit, int rc, const char *written)
{
	if (rc < 0 || edit->report.n_warnings)
		policy_report_print(&edit->report, stderr, ctl_colour(edit->ctl, stderr));
	if (rc < 0)
		ctl_error(edit->ctl, "nothing was changed");
	if (rc == -EACCES || rc == -EPERM || rc == -EROFS)
		rc = CTL_PERMISSION;
	else if (rc < 0)
		rc = CTL_FAILED;
	else
		rc = edit->sign ? edit_sign(edit, written) : edit_tell(edit, written);
	edit_clear(edit);
	return rc;
}
