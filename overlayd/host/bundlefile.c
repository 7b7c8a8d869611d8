/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/bundlefile.h"

#include "client/paths.h"
#include "host/guestsfile.h"
#include "host/store.h"
#include "host/world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int bundlefile_key(const char *config_dir, struct minisign_public *out, char *err, size_t err_size)
{
	char why[MINISIGN_ERROR_MAX] = "";
	char *text = NULL;
	size_t len;
	int ret;

	err[0] = 0;
	ret = state_read(config_dir, OVERLAY_CLUSTER_PUB, MINISIGN_TEXT_MAX, &text, &len);
	if (ret == -ENOENT)
		return ret;
	if (!ret)
		ret = minisign_public_parse(text, len, out, why, sizeof(why));
	free(text);
	if (ret)
		snprintf(err, err_size,
		        "%s/" OVERLAY_CLUSTER_PUB ": the cluster key cannot be read: %s; bring the "
		        "signer's file here again",
		        config_dir, why[0] ? why : strerror(-ret));
	return ret;
}

static bool bundle_in_force(const struct world *world)
{
	struct engine_bundle_view view;

	engine_bundle_look(world->engine, &view);
	return view.head.serial != 0;
}

static int kept_tell(struct world *world, char *err, size_t err_size)
{
	struct engine_event ev = {.type = ENGINE_EV_BUNDLE};
	const char *dir = world->options.state_dir;
	struct engine_bundle_view view = {0};
	char *file = NULL;
	size_t len;
	int ret = state_read(dir, STATE_BUNDLE, BUNDLE_KEPT_MAX, &file, &len);

	if (ret == -ENOENT)
		return 0;
	if (!ret) {
		ev.bundle.source = ENGINE_BUNDLE_KEPT;
		ev.bundle.file = file;
		ev.bundle.len = len;
		world_event(world, &ev);
		free(file);
		if (bundle_in_force(world))
			return 0;
		engine_bundle_look(world->engine, &view);
		ret = view.verdict_error ? view.verdict_error : -EINVAL;
	}
	snprintf(err, err_size,
	        "%s/" STATE_BUNDLE ": the signed bundle that was kept cannot be used: %s; load the "
	        "one in force: `overlayctl bundle > FILE` on another node, `overlayctl load FILE` "
	        "here",
	        dir,
	        view.verdict_text && view.verdict_text[0] ? view.verdict_text : strerror(-ret));
	return ret;
}

/* A key that was there and is gone, or one that is new. */
static int key_take(struct world *world, char *err, size_t err_size)
{
	struct engine_event ev = {.type = ENGINE_EV_CLUSTER_KEY};
	char id[17];
	int ret = bundlefile_key(world->options.config_dir, &ev.cluster_key, err, err_size);

	if (ret == -ENOENT) {
		if (world->has_cluster_key && !world->cluster_key_gone)
			log_warning("%s/" OVERLAY_CLUSTER_PUB " is gone: its key goes on to count "
			            "until overlayd is started again; then the policy's files do",
			        world->options.config_dir);
		world->cluster_key_gone = world->has_cluster_key;
		return 0;
	}
	if (ret)
		return ret;
	world->cluster_key_gone = false;
	if (world->has_cluster_key && minisign_public_same(&world->cluster_key, &ev.cluster_key))
		return 0;
	minisign_id_print(&ev.cluster_key, id);
	log_notice("bundles that cluster key %s signed count here%s", id,
	        world->has_cluster_key ? ", and no longer the key before it" : "");
	world->cluster_key = ev.cluster_key;
	world->has_cluster_key = true;
	world_event(world, &ev);
	return 0;
}

int bundlefile_begin(struct world *world, char *err, size_t err_size)
{
	char path[4096];
	int ret = key_take(world, err, err_size);

	if (!ret && world->has_cluster_key && !bundle_in_force(world)) {
		guestsfile_begin(world);
		ret = kept_tell(world, err, err_size);
	}
	snprintf(path, sizeof(path), "%s/" STATE_BUNDLE, world->options.state_dir);
	if (!ret && !world->has_cluster_key && !access(path, F_OK))
		log_warning("%s is a signed bundle, but there is no %s/" OVERLAY_CLUSTER_PUB
		            ": the policy's files count",
		        path, world->options.config_dir);
	return ret;
}

static void on_stored(void *user, uint64_t id, int error)
{
	char text[ENGINE_TEXT_MAX] = "";
	struct world *world = user;

	if (error)
		snprintf(text, sizeof(text), "%s/" STATE_BUNDLE ": %s", world->options.state_dir,
		        error == -ECANCELED ? "a later one came" : strerror(-error));
	world_result(world, id, error, text);
}

void bundlefile_store(struct world *world, const struct engine_effect *fx)
{
	size_t line = strlen(fx->bundle.line), len = line + fx->bundle.len;
	char *copy = malloc(len + 1);

	if (copy) {
		memcpy(copy, fx->bundle.line, line);
		memcpy(copy + line, fx->bundle.file, fx->bundle.len);
	}
	store_write_then(world->store, STATE_BUNDLE, copy, len, on_stored, world, fx->id);
}

int bundlefile_policy(const char *config_dir, const char *state_dir, struct policy **out)
{
	struct minisign_public key, signer;
	struct bundle_trust trust;
	struct policy_report report;
	char err[512], *kept = NULL;
	const char *file;
	size_t len = 0;
	int ret = bundlefile_key(config_dir, &key, err, sizeof(err));

	if (!ret)
		ret = state_read(state_dir, STATE_BUNDLE, BUNDLE_KEPT_MAX, &kept, &len);
	if (ret)
		return ret;
	bundle_trust_begin(&trust, &key);
	policy_report_init(&report);
	ret = bundle_kept(&trust, kept, len, &signer, &file, &len, err, sizeof(err));
	if (!ret)
		ret = bundle_open(file, len, &signer, NULL, out, &report);
	policy_report_clear(&report);
	free(kept);
	return ret;
}
