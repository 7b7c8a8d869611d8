/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What approve and revoke have in common: the change is written; now tell, and tell the daemon. */
#include "ctl/edit.h"

#include <errno.h>

void edit_begin(struct ctl *ctl, struct edit *edit)
{
	struct policy_report report;

	*edit = (struct edit){.ctl = ctl};
	policy_report_init(&edit->report);
	/* Only to compare with; policy_edit says what is wrong with it. */
	policy_report_init(&report);
	if (policy_load(ctl->config, &edit->old, &report) < 0)
		edit->old = NULL;
	policy_report_clear(&report);
}

static void tell_files(const struct edit *edit, const char *what, const json_t *rows)
{
	printf("%s: %s, serial %llu\n", edit->ctl->config, what,
	        (unsigned long long)edit->new_policy->serial);
	ctl_print_changes(edit->ctl, rows);
	fflush(stdout);
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

int edit_end(struct edit *edit, int rc, const char *written)
{
	if (rc < 0 || edit->report.n_warnings)
		policy_report_print(&edit->report, stderr, ctl_colour(edit->ctl, stderr));
	if (rc < 0)
		ctl_error(edit->ctl, "nothing was changed");
	if (rc == -EACCES || rc == -EPERM || rc == -EROFS)
		rc = CTL_PERMISSION;
	else
		rc = rc < 0 ? CTL_FAILED : edit_tell(edit, written);
	policy_report_clear(&edit->report);
	policy_unref(edit->old);
	policy_unref(edit->new_policy);
	return rc;
}
