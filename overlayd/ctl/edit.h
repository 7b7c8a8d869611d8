/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What approve and revoke have in common. */
#ifndef OVERLAYD_CTL_EDIT_H
#define OVERLAYD_CTL_EDIT_H

#include "ctl/ctl.h"

struct edit {
	struct ctl *ctl;
	struct policy *old; /* NULL when it has faults */
	struct policy *new_policy;
	struct policy_report report;
};

void edit_begin(struct ctl *ctl, struct edit *edit);
/*
 * rc: what policy_edit_*() said. Prints the report, or what changed (written: "node18 is
 * approved"); tells the daemon; lets go of all. Returns the exit code.
 */
int edit_end(struct edit *edit, int rc, const char *written);

#endif
