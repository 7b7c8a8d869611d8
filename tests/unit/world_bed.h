/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The whole daemon but charon, in a process of a test: directories of its own, and its loop. */
#ifndef OVERLAYD_TESTS_WORLD_BED_H
#define OVERLAYD_TESTS_WORLD_BED_H

#include "client/paths.h"
#include "host/names.h"
#include "host/ops.h"
#include "host/policyload.h"
#include "host/store.h"
#include "host/world.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64], config_dir[96], state_dir[96], run_dir[96], vici_path[96];

static inline int run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static inline int run(const char *fmt, ...)
{
	char command[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(command, sizeof(command), fmt, args);
	va_end(args);
	return system(command);
}

static inline int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/ovl-world-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(config_dir, sizeof(config_dir), "%s/etc", dir);
	snprintf(state_dir, sizeof(state_dir), "%s/state", dir);
	snprintf(run_dir, sizeof(run_dir), "%s/run", dir);
	snprintf(vici_path, sizeof(vici_path), "%s/charon.vici", dir);
	return mkdir(config_dir, 0755);
}

static inline int teardown(void **state)
{
	(void)state;
	(void)run("nft delete table inet overlayd 2>/dev/null");
	return run("rm -rf %s", dir);
}

static const char policy_text[] =
        "cluster: hpc\nserial: %d\noverlay: 10.77.0.0/16\nsites: { hq: {} }\n"
        "allow: [ { from: head, to: head, service: ssh } ]\n"
        "peers:\n"
        "  a: { key: \"ssh-ed25519 "
        "AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f a\", "
        "address: 10.77.0.1, site: hq, endpoints: [192.0.2.10], roles: [head] }\n";

static inline void files_write(int serial)
{
	char path[160];
	FILE *out;

	snprintf(path, sizeof(path), "%s/policy.yaml", config_dir);
	out = fopen(path, "w");
	assert_non_null(out);
	fprintf(out, policy_text, serial);
	assert_int_equal(fclose(out), 0);
}

static inline void files_break(void)
{
	assert_int_equal(run("echo 'cluster: [' >%s/policy.yaml", config_dir), 0);
}

static inline struct world *world_up(void)
{
	struct world_options options = {.config_dir = config_dir,
	        .state_dir = state_dir,
	        .run_dir = run_dir,
	        .vici_path = vici_path,
	        .group = ""};
	struct world *world;
	char err[512];

	if (world_new(&world, &options, err, sizeof(err)))
		fail_msg("%s", err);
	if (world_start(world, err, sizeof(err)))
		fail_msg("%s", err);
	return world;
}

/* Runs the loop until it holds; a minute is more than any of it needs. */
#define until(world, cond)                                                                         \
	do {                                                                                       \
		int64_t end = world_now_us() + 60000000;                                           \
		while (!(cond)) {                                                                  \
			assert_true(world_now_us() < end);                                         \
			assert_true(sd_event_run((world)->event, 100000) >= 0);                    \
		}                                                                                  \
	} while (0)

static inline uint64_t serial_in_force(const struct world *world)
{
	struct engine_view view;

	engine_look(world->engine, &view);
	return view.policy ? view.policy->serial : 0;
}

#endif
