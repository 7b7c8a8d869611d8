/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/policyload.h"

#include "client/paths.h"
#include "host/bundlefile.h"
#include "host/fwadapt.h"
#include "host/ops.h"
#include "host/store.h"
#include "host/world.h"
#include "policy/guests.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *report_text(const struct policy_report *report)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out;

	if (!report->n_faults)
		return NULL;
	out = open_memstream(&text, &len);
	if (!out)
		return NULL;
	policy_report_print(report, out, false);
	fclose(out);
	return text;
}

/* One line of the journal for each line of the report. */
static void report_log(int priority, const char *text)
{
	const char *line = text;

	while (line && *line) {
		size_t len = strcspn(line, "\n");

		log_print(priority, "%.*s", (int)len, line);
		line += len + (line[len] == '\n');
	}
}

static int files_read(const char *dir, struct policy **out, char **report)
{
	struct policy_report faults;
	int err;

	policy_report_init(&faults);
	err = policy_load(dir, out, &faults);
	*report = report_text(&faults);
	if (err && !*report)
		(void)!asprintf(report, "%s: %s\n", dir, strerror(-err));
	policy_report_clear(&faults);
	return err;
}

static int last_read(const char *state_dir, struct policy **out)
{
	struct policy_report faults;
	/* Its lines are those of the kept copy; policy/ wants the file by this name. */
	struct policy_file file = {.name = OVERLAY_POLICY_FILE};
	char *text = NULL;
	size_t len;
	int err;

	err = state_read(state_dir, STATE_POLICY, POLICY_TOTAL_MAX, &text, &len);
	if (err)
		return err;
	file.data = text;
	file.len = len;
	policy_report_init(&faults);
	err = policy_parse(&file, 1, out, &faults);
	policy_report_clear(&faults);
	free(text);
	return err;
}

int policyload_read(const char *config_dir, const char *state_dir, struct policy **out,
        bool *last_good, char **report)
{
	int err;

	*last_good = false;
	*report = NULL;
	if (state_dir && !bundlefile_policy(config_dir, state_dir, out))
		return 0;
	err = files_read(config_dir, out, report);
	if (!err || !state_dir)
		return err;
	if (last_read(state_dir, out))
		return err;
	*last_good = true;
	return 0;
}

/* After it is in force: a cut does not wait for the disk. Rather no copy than an older one, which
 * might let somebody in again who was taken out. */
static void last_keep(const struct world *world, const struct policy *policy)
{
	store_write(world->store, STATE_POLICY, policy_print(policy), true);
}

static const struct policy *in_force(const struct world *world)
{
	struct engine_view view;

	engine_look(world->engine, &view);
	return view.policy;
}

static bool bundle_in_force(const struct world *world)
{
	struct engine_bundle_view view;

	engine_bundle_look(world->engine, &view);
	return view.head.serial != 0;
}

/* What is in force has changed: what follows from that, whoever brought it. */
static void told_set(struct world *world, const struct policy *policy)
{
	world->n_policy_peers = policy->n_peers;
	/* Guests come and go beside what was loaded. */
	if (policy_written(policy) != policy_written(world->policy_told))
		world->policy_loaded_s = state_clock_now(&world->clock);
	(void)policy_ref(policy);
	policy_unref(world->policy_told);
	world->policy_told = policy;
}

static void put_in_force(struct world *world, const struct policy *policy)
{
	struct engine_event ev = {.type = ENGINE_EV_POLICY, .policy = policy};

	told_set(world, policy);
	world_event(world, &ev);
	/* What parsing took goes back to the system. */
	malloc_trim(0);
}

static void error_set(struct world *world, char *report)
{
	free(world->policy_error);
	world->policy_error = report;
}

/* ---- signed bundles */

void policyload_bundle(struct world *world)
{
	const struct policy *policy = in_force(world);

	if (!policy || policy == world->policy_told || !bundle_in_force(world))
		return;
	ops_bundle_told(world, world->policy_told, policy);
	told_set(world, policy);
	world->policy_last_good = false;
	error_set(world, NULL);
	free(world->cluster_error);
	world->cluster_error = NULL;
	/* The files' last good policy is older than this, and will never count again. */
	store_remove(world->store, STATE_POLICY);
	world_trim_soon(world);
}

bool policyload_files_differ(const struct world *world)
{
	const struct policy *policy = in_force(world);

	return world->files == WORLD_FILES_READ && policy &&
	       memcmp(world->files_digest, policy_written(policy)->digest,
	               sizeof(policy->digest)) != 0;
}

static bool files_there(const struct world *world)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/" OVERLAY_POLICY_FILE, world->options.config_dir);
	return !access(path, F_OK) || errno != ENOENT;
}

static void files_set(struct world *world, int err)
{
	world->files = !err                 ? WORLD_FILES_READ
	               : files_there(world) ? WORLD_FILES_BROKEN
	                                    : WORLD_FILES_NONE;
}

static void files_tell(const struct world *world, char **report)
{
	log_notice("the policy's files in %s differ from the signed bundle in force: sign them "
	           "(overlayctl sign --load), or they change nothing",
	        world->options.config_dir);
	free(*report);
	*report = strdup("policy files differ from the signed bundle in force: overlayctl sign "
	                 "--load\n");
}

/* A bundle is in force: the files are looked at only to tell. */
static void files_look(struct world *world, struct policyload_outcome *outcome)
{
	struct policy *policy;
	char *report = NULL;

	world->files = WORLD_FILES_NONE;
	if (!files_there(world))
		return;
	if (files_read(world->options.config_dir, &policy, &report)) {
		world->files = WORLD_FILES_BROKEN;
		log_warning("the policy's files in %s have faults (`overlayctl check` shows them); "
		            "the signed bundle stays in force",
		        world->options.config_dir);
	} else {
		world->files = WORLD_FILES_READ;
		memcpy(world->files_digest, policy->digest, sizeof(policy->digest));
		policy_unref(policy);
		if (policyload_files_differ(world))
			files_tell(world, &report);
	}
	if (outcome)
		outcome->report = report;
	else
		free(report);
	malloc_trim(0);
}

/* The cluster key and the kept bundle. */
static int cluster_begin(struct world *world)
{
	char why[1024] = "";
	int err = bundlefile_begin(world, why, sizeof(why));

	free(world->cluster_error);
	world->cluster_error = err ? strdup(why) : NULL;
	if (err)
		log_error("%s", why);
	return err;
}

/* ---- start and reload */

static void start_shut(struct world *world, char *report)
{
	fwadapt_shut(world->firewall);
	error_set(world, report);
}

static int files_start(struct world *world)
{
	struct policy *policy;
	char *report = NULL;
	bool last_good = false;
	int err = files_read(world->options.config_dir, &policy, &report);

	files_set(world, err);
	if (err && !last_read(world->options.state_dir, &policy)) {
		last_good = true;
		err = 0;
	}
	if (err && world->files == WORLD_FILES_NONE && !world->has_cluster_key) {
		log_notice("this node is in no cluster, and lets nobody in: overlayctl join "
		           "TICKET, or "
		           "overlayctl init for a new cluster");
		start_shut(world, report);
		return err;
	}
	report_log(err || last_good ? LOG_ERR : LOG_WARNING, report);
	if (err) {
		log_error("no policy is in force and none was kept: no peer is let in and all "
		          "tunnels are ended until %s is mended (`overlayctl check` shows each "
		          "fault)%s",
		        world->options.config_dir,
		        world->has_cluster_key ? ", or a signed bundle is brought: overlayctl load"
		                               : "");
		start_shut(world, report);
		return err;
	}
	world->policy_last_good = last_good;
	if (last_good) {
		log_error("the policy in %s is broken: running on with the last good one (serial "
		          "%llu)",
		        world->options.config_dir, (unsigned long long)policy->serial);
		error_set(world, report);
	}
	put_in_force(world, policy);
	if (!last_good) {
		free(report);
		last_keep(world, policy);
	}
	policy_unref(policy);
	return 0;
}

int policyload_start(struct world *world)
{
	int err = cluster_begin(world);

	if (err) {
		log_error("no policy is in force: no peer is let in and all tunnels are ended "
		          "until that is mended");
		start_shut(world, NULL);
		return err;
	}
	if (!bundle_in_force(world))
		return files_start(world);
	files_look(world, NULL);
	return 0;
}

/* The new policy is good. Takes over nothing. */
static void reload_apply(
        struct world *world, const struct policy *policy, struct policyload_outcome *outcome)
{
	const struct policy *old = policy_written(in_force(world));
	bool changed = !old || memcmp(old->digest, policy->digest, sizeof(old->digest)) != 0;

	if (outcome) {
		outcome->changed = changed;
		if (changed)
			(void)policy_diff(old, policy, &outcome->diff);
	}
	error_set(world, NULL);
	if (!changed && !world->policy_last_good) {
		log_info("policy read again: nothing has changed");
		return;
	}
	world->policy_last_good = false;
	if (changed)
		put_in_force(world, policy);
	last_keep(world, policy);
}

static int files_reload(struct world *world, struct policyload_outcome *outcome)
{
	struct policy *policy;
	char *report = NULL;
	int err = files_read(world->options.config_dir, &policy, &report);

	files_set(world, err);
	report_log(err ? LOG_ERR : LOG_WARNING, report);
	if (outcome)
		outcome->report = report ? strdup(report) : NULL;
	if (err) {
		log_error("the new policy is refused, the old one stays in force");
		error_set(world, report);
		malloc_trim(0);
		return err;
	}
	free(report);
	reload_apply(world, policy, outcome);
	policy_unref(policy);
	malloc_trim(0);
	return 0;
}

int policyload_reload(struct world *world, struct policyload_outcome *outcome)
{
	bool before = bundle_in_force(world);
	const struct policy *old = in_force(world);
	int err;

	if (old)
		(void)policy_ref(old);
	err = cluster_begin(world);
	if (err) {
		if (outcome && world->cluster_error)
			(void)!asprintf(&outcome->report, "%s\n", world->cluster_error);
	} else if (!bundle_in_force(world)) {
		err = files_reload(world, outcome);
	} else {
		/* The key has come, and with it the bundle that was kept. */
		if (outcome && !before) {
			outcome->changed = true;
			(void)policy_diff(old, in_force(world), &outcome->diff);
		}
		files_look(world, outcome);
	}
	policy_unref(old);
	return err;
}

void policyload_outcome_clear(struct policyload_outcome *outcome)
{
	free(outcome->report);
	policy_diff_clear(&outcome->diff);
	memset(outcome, 0, sizeof(*outcome));
}
