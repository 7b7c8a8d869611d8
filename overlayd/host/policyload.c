/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/policyload.h"

#include "client/paths.h"
#include "host/fwadapt.h"
#include "host/store.h"
#include "host/world.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	int err = files_read(config_dir, out, report);

	*last_good = false;
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

static void put_in_force(struct world *world, const struct policy *policy)
{
	struct engine_event ev = {.type = ENGINE_EV_POLICY, .policy = policy};

	world->n_policy_peers = policy->n_peers;
	world->policy_loaded_s = state_clock_now(&world->clock);
	world_event(world, &ev);
	/* What parsing took goes back to the system. */
	malloc_trim(0);
}

static void error_set(struct world *world, char *report)
{
	free(world->policy_error);
	world->policy_error = report;
}

int policyload_start(struct world *world)
{
	struct policy *policy;
	char *report = NULL;
	bool last_good;
	int err;

	err = policyload_read(
	        world->options.config_dir, world->options.state_dir, &policy, &last_good, &report);
	report_log(err || last_good ? LOG_ERR : LOG_WARNING, report);
	if (err) {
		log_error("no policy is in force and none was kept: no peer is let in and all "
		          "tunnels are ended until %s is mended (`overlayctl check` shows each "
		          "fault)",
		        world->options.config_dir);
		fwadapt_shut(world->firewall);
		error_set(world, report);
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

/* The new policy is good. Takes over nothing. */
static void reload_apply(
        struct world *world, const struct policy *policy, struct policyload_outcome *outcome)
{
	const struct policy *old = in_force(world);
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

int policyload_reload(struct world *world, struct policyload_outcome *outcome)
{
	struct policy *policy;
	char *report = NULL;
	int err = files_read(world->options.config_dir, &policy, &report);

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

void policyload_outcome_clear(struct policyload_outcome *outcome)
{
	free(outcome->report);
	policy_diff_clear(&outcome->diff);
	memset(outcome, 0, sizeof(*outcome));
}
