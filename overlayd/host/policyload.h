/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the policy's files to the engine.
 *
 * Files that do not check change nothing: the policy in force stays, the report is logged and shown
 * in the status. What was put in force last is kept in the state directory, so that a restart with
 * broken files runs on with it (and says so). If there is none either, nobody knows whom an earlier
 * run let in and why: its table is shut, its connections and SAs are ended (charon_shut.c), until
 * the files are mended.
 *
 * Once a signed bundle is in force (bundlefile.h) none of that counts: the engine puts the next one
 * in force by itself, and the files are read only to tell whether they say the same.
 */
#ifndef OVERLAYD_HOST_POLICYLOAD_H
#define OVERLAYD_HOST_POLICYLOAD_H

#include "policy/policy.h"
#include <stdbool.h>

struct world;

/* What a reload came to; policyload_outcome_clear() it. */
struct policyload_outcome {
	bool changed;
	char *report;            /* errors or warnings as text; NULL: none */
	struct policy_diff diff; /* from the policy before to the one now in force */
};
void policyload_outcome_clear(struct policyload_outcome *outcome);

/* First load: the files, else the last good one. 0, or why the node has no policy at all now. */
int policyload_start(struct world *world);
/* Again. 0, or a negative errno with outcome->report (outcome may be NULL). */
int policyload_reload(struct world *world, struct policyload_outcome *outcome);
/* The engine told of a bundle, or of guests: if another policy is in force now, its bookkeeping. */
void policyload_bundle(struct world *world);
/* A bundle is in force, and the files would say something else. */
bool policyload_files_differ(const struct world *world);
/* For --guard and --check: no engine. report as above. With a state
 * directory the kept bundle counts first, and the last good files' (last_good) at the end. */
int policyload_read(const char *config_dir, const char *state_dir, struct policy **out,
        bool *last_good, char **report);

#endif
