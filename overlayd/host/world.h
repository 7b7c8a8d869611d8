/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The world around the engine.
 *
 * The adapters (charon.c, fwadapt.c, dataplane.c, names.c, policyload.c) turn what happens outside
 * into engine events and carry the engine's effects out; world.c is the loop between them:
 *
 *	world_event()	an adapter tells, the engine steps, its effects are carried out in order
 *	world_result()	how an effect ended. It is put into a queue and told when the effects that
 *			are being carried out are done, so that the engine is never entered twice
 *
 * All of it runs in one thread and one sd-event loop; nothing here waits for the network. Reads of
 * the kernel (netlink) are answered by the kernel at once. One clock: CLOCK_BOOTTIME in us.
 */
#ifndef OVERLAYD_HOST_WORLD_H
#define OVERLAYD_HOST_WORLD_H

#include "control/control.h"
#include "engine/engine.h"
#include "host/log.h"
#include "host/plane.h"
#include "host/state.h"

#include <systemd/sd-event.h>

struct world_options {
	const char *config_dir;
	const char *state_dir;
	const char *run_dir;
	const char *vici_path;
	const char *group; /* owns the admin socket */
	enum plane_wish plane;
	uint32_t idle_s; /* without traffic: a tunnel on demand ends */
};

#define WORLD_IDLE_S 600

struct charon;
struct fwadapt;
struct dataplane;
struct names;
struct watch;
struct clockset;
struct ops;
struct store;
struct hostsfile;
struct sessions;
struct join;

enum world_files {
	WORLD_FILES_NONE,   /* there is no policy.yaml; a node with a bundle needs none */
	WORLD_FILES_BROKEN, /* they do not check */
	WORLD_FILES_READ,
};

struct world {
	struct world_options options;
	sd_event *event;
	struct engine *engine;
	struct state_clock clock;
	uint8_t public_key[32]; /* of node.key */
	bool has_next_key;
	uint8_t next_key[32]; /* of node.key.next: ownkeys.c */
	bool voucher_due;     /* there is news of policy or keys */
	int64_t started_s;    /* wall clock */

	struct charon *charon;
	struct fwadapt *firewall;
	struct dataplane *dataplane;
	struct names *names;
	struct sessions *sessions;
	struct join *join;
	struct watch *watch;
	struct clockset *clockset;
	struct control *control;
	struct ops *ops;
	struct store *store;
	struct hostsfile *hostsfile;

	/* the cluster's key, and the bundle in force: bundlefile.c */
	bool has_cluster_key;
	bool cluster_key_gone; /* its file was removed */
	struct minisign_public cluster_key;
	char *cluster_error; /* why cluster.pub or the kept bundle cannot be used; or NULL */

	/* the policy files as they were last read */
	enum world_files files;
	uint8_t files_digest[32];         /* WORLD_FILES_READ: of the policy in them */
	const struct policy *policy_told; /* the one in force, as far as told: a reference */
	size_t n_policy_peers;            /* of the one in force */
	int64_t policy_loaded_s;          /* when the one in force was read */
	char *policy_error;    /* report of the files that were refused; NULL: they are in force */
	bool policy_last_good; /* the one in force is the kept copy, not the files */

	/* world.c's own */
	sd_event_source *tick;
	sd_event_source *trim;
	int64_t tick_at; /* what the timer is set to */
	struct world_result *results;
	size_t n_results, results_cap, results_at;
	unsigned int untrimmed; /* steps since memory was given back */
	int64_t stepped_us;     /* the last step */
	bool running;           /* the engine or its effects are at work */
	bool broken;            /* out of memory in a step: try again at the next wakeup */
};

int64_t world_now_us(void); /* CLOCK_BOOTTIME */

/* Takes options (strings borrowed for life) and the loop. world_start() opens everything in order;
 * on failure err has one sentence and world_free() takes back what was opened. */
int world_new(struct world **out, const struct world_options *options, char *err, size_t err_size);
int world_start(struct world *world, char *err, size_t err_size);
/* Leaves tunnels, routes and the firewall's table as they are: nothing leaks, nothing drops. */
void world_free(struct world *world);

/* Fills in ev->now. Never from within an effect. */
void world_event(struct world *world, struct engine_event *ev);
/* How effect `id` ended; text may be NULL, it is copied. */
void world_result(struct world *world, uint64_t id, int error, const char *text);

/* Much memory was used for a moment: give it back once it is quiet. */
void world_trim_soon(struct world *world);

/* --flush: everything of ours is taken away: SAs, connections, routes, addresses, table. */
int world_flush(const struct world_options *options, char *err, size_t err_size);
/* --guard: the boot guard, if there is no table of ours yet. */
int world_guard(const struct world_options *options, char *err, size_t err_size);

#endif
