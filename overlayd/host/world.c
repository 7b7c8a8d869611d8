/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/world.h"

#include "host/bundlefile.h"
#include "host/guestsfile.h"
#include "host/charon.h"
#include "host/clockset.h"
#include "host/dataplane.h"
#include "host/fwadapt.h"
#include "host/hostsfile.h"
#include "host/join.h"
#include "host/names.h"
#include "host/ownkeys.h"
#include "host/ops.h"
#include "host/pathmtu.h"
#include "host/policyload.h"
#include "host/session.h"
#include "host/store.h"
#include "host/watch.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

/* Something that is to be told when the effects that are being carried out are done. */
struct world_result {
	uint64_t id;
	int error;
	char text[ENGINE_TEXT_MAX];
};

int64_t world_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* ---- effects
 * --------------------------------------------------------------------------------------- */

static void effect_run(struct world *world, const struct engine_effect *fx)
{
	switch (fx->type) {
	case ENGINE_FX_LOAD_KEY:
	case ENGINE_FX_LOAD_CONN:
	case ENGINE_FX_UNLOAD_CONN:
	case ENGINE_FX_INITIATE:
	case ENGINE_FX_TERMINATE:
	case ENGINE_FX_PROBE:
	case ENGINE_FX_LIST_SAS:
	case ENGINE_FX_LIST_CONNS:
		charon_run(world->charon, fx);
		return;
	case ENGINE_FX_FW_BASE:
		sessions_base(world->sessions, &fx->fw_base);
		fwadapt_run(world->firewall, fx);
		return;
	case ENGINE_FX_FW_ADMIT:
	case ENGINE_FX_FW_REVOKE:
	case ENGINE_FX_FW_UNDERLAY:
	case ENGINE_FX_KILL_SOCKETS:
		fwadapt_run(world->firewall, fx);
		return;
	case ENGINE_FX_PLANE:
		dataplane_run(world->dataplane, fx);
		return;
	case ENGINE_FX_RESOLVE:
		names_run(world->names, fx);
		return;
	case ENGINE_FX_NOTICE:
		if (fx->notice.code == ENGINE_N_UP)
			dataplane_paths_changed(world->dataplane);
		if (fx->notice.code == ENGINE_N_BUNDLE || fx->notice.code == ENGINE_N_POLICY)
			policyload_bundle(world);
		if (fx->notice.code == ENGINE_N_POLICY || fx->notice.code == ENGINE_N_OWN_KEY)
			ownkeys_settle(world), world->voucher_due = true;
		if (fx->notice.code == ENGINE_N_POLICY)
			hostsfile_changed(world->hostsfile);
		ops_notice(world, &fx->notice);
		return;
	case ENGINE_FX_BUNDLE_STORE:
		bundlefile_store(world, fx);
		return;
	case ENGINE_FX_ADMISSIONS_STORE:
		guestsfile_store(world, fx);
		return;
	case ENGINE_FX_SESSION_OPEN:
	case ENGINE_FX_SESSION_SEND:
	case ENGINE_FX_SESSION_CLOSE:
	case ENGINE_FX_NOTE_SEND:
		sessions_run(world->sessions, fx);
		return;
	case ENGINE_FX_JOIN_SERVE:
	case ENGINE_FX_JOIN_ANSWER:
	case ENGINE_FX_JOIN_ASK:
	case ENGINE_FX_JOIN_STOP:
	case ENGINE_FX_ADMIT_SIGN:
	case ENGINE_FX_CLUSTER_KEY:
	case ENGINE_FX_TICKET_FORGET:
		join_run(world->join, fx);
		return;
	}
}

static void engine_feed(struct world *world, struct engine_event *ev)
{
	struct engine_effects out = {0};
	int err;

	ev->now.mono_us = world_now_us();
	/* As it is set now: the engine never goes back by itself where it must not. */
	ev->now.wall_s = (int64_t)time(NULL);
	(void)state_clock_now(&world->clock);
	world->untrimmed++;
	world->stepped_us = ev->now.mono_us;
	err = engine_step(world->engine, ev, &out);
	if (err)
		log_error("out of memory: the engine will come back to it");
	/* First what is done, then what is said of it. */
	for (size_t i = 0; i < out.n; i++)
		if (out.v[i].type != ENGINE_FX_NOTICE)
			effect_run(world, &out.v[i]);
	for (size_t i = 0; i < out.n; i++)
		if (out.v[i].type == ENGINE_FX_NOTICE)
			effect_run(world, &out.v[i]);
}

static void results_drain(struct world *world)
{
	while (world->results_at < world->n_results) {
		struct world_result result = world->results[world->results_at++];
		struct engine_event ev = {.type = ENGINE_EV_RESULT};

		/* Room at the front is used again as soon as all is told. */
		if (world->results_at == world->n_results)
			world->results_at = world->n_results = 0;
		ev.result.effect_id = result.id;
		ev.result.error = result.error;
		ev.result.text = result.text;
		engine_feed(world, &ev);
	}
}

static void tick_set(struct world *world)
{
	int64_t at = engine_next_wakeup(world->engine);

	if (at == world->tick_at)
		return;
	world->tick_at = at;
	if (at == ENGINE_NEVER) {
		sd_event_source_set_enabled(world->tick, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(world->tick, at > 0 ? (uint64_t)at : 0);
	sd_event_source_set_enabled(world->tick, SD_EVENT_ONESHOT);
}

static void trim_later(struct world *world);

static void world_settle(struct world *world)
{
	results_drain(world);
	world->running = false;
	if (world->voucher_due)
		ownkeys_voucher(world);
	tick_set(world);
	trim_later(world);
	ops_changed(world);
}

void world_event(struct world *world, struct engine_event *ev)
{
	if (!world->engine)
		return;
	if (world->running) {
		/* A bug of ours: an adapter told something from within an effect. */
		log_error("internal error: event %d within an effect is dropped", (int)ev->type);
		return;
	}
	world->running = true;
	engine_feed(world, ev);
	world_settle(world);
}

void world_result(struct world *world, uint64_t id, int error, const char *text)
{
	struct world_result *result;

	if (!world->engine)
		return;
	if (world->n_results == world->results_cap) {
		size_t cap = world->results_cap ? world->results_cap * 2 : 32;
		struct world_result *grown = realloc(world->results, cap * sizeof(*grown));

		if (!grown)
			return; /* the engine's own deadline for the effect will see to it */
		world->results = grown;
		world->results_cap = cap;
	}
	result = &world->results[world->n_results++];
	result->id = id;
	result->error = error;
	snprintf(result->text, sizeof(result->text), "%s", text ? text : "");
	text_sanitise(result->text);
	if (world->running)
		return;
	world->running = true;
	world_settle(world);
}

/*
 * A burst (a thousand peers at start) leaves the heap in shreds. Once it is quiet the free pages go
 * back to the system.
 */
#define TRIM_STEPS 200
#define TRIM_QUIET_US 1000000

static int on_quiet(sd_event_source *source, uint64_t usec, void *user)
{
	struct world *world = user;
	int64_t quiet = world_now_us() - world->stepped_us;

	(void)usec;
	if (quiet < TRIM_QUIET_US) {
		sd_event_source_set_time(
		        source, (uint64_t)(world->stepped_us + TRIM_QUIET_US + 1000));
		return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	}
	world->untrimmed = 0;
	free(world->results);
	world->results = NULL;
	world->results_cap = world->n_results = world->results_at = 0;
	malloc_trim(0);
	return 0;
}

static void trim_later(struct world *world)
{
	int enabled = SD_EVENT_OFF;

	sd_event_source_get_enabled(world->trim, &enabled);
	if (world->untrimmed < TRIM_STEPS || enabled != SD_EVENT_OFF)
		return;
	sd_event_source_set_time(world->trim, (uint64_t)(world_now_us() + TRIM_QUIET_US));
	sd_event_source_set_enabled(world->trim, SD_EVENT_ONESHOT);
}

void world_trim_soon(struct world *world)
{
	world->untrimmed = TRIM_STEPS;
	trim_later(world);
}

static int on_tick(sd_event_source *source, uint64_t usec, void *user)
{
	struct engine_event ev = {.type = ENGINE_EV_TICK};
	struct world *world = user;
	char *clock;

	(void)source, (void)usec;
	world->tick_at = 0;
	world_event(world, &ev);
	clock = state_clock_due(&world->clock);
	if (clock)
		store_write(world->store, STATE_CLOCK, clock, false);
	return 0;
}

static void on_files(void *user)
{
	(void)ops_reload(user);
}

/* ---- begin and end
 * ------------------------------------------------------------------------------------ */

static int engine_make(struct world *world)
{
	/* The MTU is the host's to know: it depends on the plane and the paths. */
	struct engine_config config = {.wall_floor_s = world->clock.floor, .mtu = PATHMTU_MOST};

	if (getrandom(&config.seed, sizeof(config.seed), 0) != sizeof(config.seed))
		config.seed = (uint64_t)world_now_us();
	return engine_new(&world->engine, &config);
}

static int adapters_make(struct world *world, char *err, size_t err_size)
{
	int ret;

	ret = fwadapt_new(world, &world->firewall, err, err_size);
	if (!ret)
		ret = dataplane_new(world, &world->dataplane, err, err_size);
	if (!ret)
		ret = charon_new(world, world->options.vici_path, &world->charon);
	if (!ret)
		ret = names_new(world, &world->names);
	if (!ret)
		ret = sessions_new(world, &world->sessions);
	if (!ret)
		ret = join_new(world, &world->join);
	return ret;
}

int world_new(struct world **out, const struct world_options *options, char *err, size_t err_size)
{
	struct world *world = calloc(1, sizeof(*world));
	int ret;

	err[0] = 0;
	if (!world)
		return -ENOMEM;
	world->options = *options;
	ret = sd_event_default(&world->event);
	if (ret >= 0)
		ret = state_ensure(options->state_dir, err, err_size);
	if (ret >= 0) {
		state_clock_load(&world->clock, options->state_dir);
		world->started_s = state_clock_now(&world->clock);
		ret = ownkeys_load(world, err, err_size);
	}
	if (ret >= 0)
		ret = sd_event_add_time(world->event, &world->tick, CLOCK_BOOTTIME, UINT64_MAX,
		        1000, on_tick, world);
	if (ret >= 0)
		ret = sd_event_add_time(world->event, &world->trim, CLOCK_BOOTTIME, UINT64_MAX,
		        1000000, on_quiet, world);
	if (ret >= 0)
		ret = sd_event_source_set_enabled(world->trim, SD_EVENT_OFF);
	if (ret >= 0)
		ret = store_new(world->event, options->state_dir, &world->store);
	if (ret >= 0)
		ret = engine_make(world);
	if (ret >= 0)
		ret = hostsfile_new(world, &world->hostsfile);
	if (ret >= 0)
		ret = adapters_make(world, err, err_size);
	if (ret >= 0)
		ret = ops_new(world, &world->ops, err, err_size);
	if (ret < 0) {
		if (!err[0])
			snprintf(err, err_size, "cannot start: %s", strerror(-ret));
		world_free(world);
		return ret;
	}
	*out = world;
	return 0;
}

static void on_clock(void *user)
{
	struct engine_event ev = {.type = ENGINE_EV_TICK};

	log_info("the wall clock was set");
	world_event(user, &ev);
}

int world_start(struct world *world, char *err, size_t err_size)
{
	int ret;

	ownkeys_tell(world);
	fwadapt_start(world->firewall);
	dataplane_start(world->dataplane);
	/* Without a policy the guard stands, and we wait for one. */
	(void)policyload_start(world);
	join_begin(world->join);
	ret = watch_new(world->event, world->options.config_dir, on_files, world, &world->watch);
	if (ret)
		log_warning("cannot watch %s (%s): use `overlayctl reload` or SIGHUP after changes",
		        world->options.config_dir, strerror(-ret));
	ret = clockset_new(world->event, on_clock, world, &world->clockset);
	if (ret)
		log_warning("cannot watch the clock (%s): a change counts within half a minute",
		        strerror(-ret));
	ret = ops_start(world->ops, err, err_size);
	if (ret)
		return ret;
	charon_start(world->charon);
	return 0;
}

void world_free(struct world *world)
{
	if (!world)
		return;
	watch_free(world->watch);
	clockset_free(world->clockset);
	ops_free(world->ops);
	join_free(world->join);
	world->join = NULL;
	/* From here on nothing reaches the engine: what is pending is given up, not undone. */
	engine_free(world->engine);
	world->engine = NULL;
	sessions_free(world->sessions);
	names_free(world->names);
	charon_free(world->charon);
	dataplane_free(world->dataplane);
	fwadapt_free(world->firewall);
	sd_event_source_disable_unref(world->tick);
	sd_event_source_disable_unref(world->trim);
	hostsfile_free(world->hostsfile);
	store_free(world->store);
	(void)state_clock_save(&world->clock);
	free(world->policy_error);
	free(world->cluster_error);
	policy_unref(world->policy_told);
	free(world->results);
	sd_event_unref(world->event);
	free(world);
}
