/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What approve, revoke, ticket --token and token revoke have in common. */
#ifndef OVERLAYD_CTL_EDIT_H
#define OVERLAYD_CTL_EDIT_H

#include "ctl/ctl.h"
#include "ctl/signer.h"
#include "policy/policy_edit.h"

struct edit {
	struct ctl *ctl;
	struct signer_options options;
	int wait;     /* seconds; -1: not */
	json_t *more; /* with --json: what else the answer says; an object that is let go of */

	struct policy *old; /* NULL when it has faults */
	struct policy *new_policy;
	struct policy_report report;
	bool sign; /* the cluster has a key */
	struct signer signer;
	struct policy_undo undo;
};

/* Before the options are taken. */
void edit_init(struct ctl *ctl, struct edit *edit);
/* The options that both take; -1: it is another's; -2: it is wrong, and was told. */
#define EDIT_OPTIONS                                                                               \
	{"key", required_argument, NULL, 'K'}, {"passphrase-file", required_argument, NULL, 'P'},  \
	{                                                                                          \
		"wait", optional_argument, NULL, 'W'                                               \
	}
int edit_option(struct edit *edit, int option);
#define EDIT_HELP                                                                                  \
	"Where the cluster has a key (cluster.pub):\n"                                             \
	"  --wait[=SECONDS] until all members that can be reached have it (10)\n"                  \
	"  --key FILE       the cluster's secret key (CONFIG/cluster.key)\n"                       \
	"  --passphrase-file FILE  its passphrase, one line; \"-\": from stdin\n\n"
/*
 * Before the files are touched; name: the peer. CTL_OK; else edit_end() must not follow, and all
 * is let go of. line: the command, for who has to run it elsewhere.
 */
int edit_begin(struct edit *edit, const char *name, int argc, char **argv);
/* The same where name is a token's. */
int edit_begin_token(struct edit *edit, const char *name, int argc, char **argv);
/* Nothing is edited after all, for the reason told: lets go of all, and returns that exit code. */
int edit_drop(struct edit *edit, int rc);
/* After policy_edit_*() did it: it is not wanted after all. The files are put back, all is let go
 * of; say why before. Returns the exit code. */
int edit_refuse(struct edit *edit);
/*
 * rc: what policy_edit_*() said. Prints the report, or what changed (written: "node18 is
 * approved"); signs, tells the daemon; lets go of all. Where it is refused the files are put back.
 * Returns the exit code.
 */
int edit_end(struct edit *edit, int rc, const char *written);

#endif
