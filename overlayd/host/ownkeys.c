/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/ownkeys.h"

#include "client/nodekey.h"
#include "client/paths.h"
#include "host/world.h"
#include "policy/voucher.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *key_path(const struct world *world, const char *name, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%s", world->options.state_dir, name);
	return path;
}

static void fingerprint_of(const uint8_t public_key[32], char fingerprint[POLICY_FINGERPRINT_LEN])
{
	struct policy_key key;

	memcpy(key.raw, public_key, sizeof(key.raw));
	policy_key_fingerprint(&key, fingerprint);
}

/* A damaged one is of no use, and no reason not to run. */
static bool next_load(struct world *world)
{
	char path[PATH_MAX], err[512], fingerprint[POLICY_FINGERPRINT_LEN];
	uint8_t key[32];
	int ret = nodekey_load(key_path(world, OVERLAY_NODE_KEY_NEXT, path), key, err, sizeof(err));

	if (ret && ret != -ENOENT)
		log_warning("%s; it is not used", err);
	if (ret || (world->has_next_key && !memcmp(key, world->next_key, sizeof(key))) ||
	        !memcmp(key, world->public_key, sizeof(key)))
		return false;
	memcpy(world->next_key, key, sizeof(key));
	world->has_next_key = true;
	fingerprint_of(key, fingerprint);
	log_notice("this node's next key is %s: it is used as soon as the policy names it",
	        fingerprint);
	return true;
}

int ownkeys_load(struct world *world, char *err, size_t err_size)
{
	char path[PATH_MAX], fingerprint[POLICY_FINGERPRINT_LEN];
	bool made = false;
	int ret = nodekey_ensure(
	        key_path(world, OVERLAY_NODE_KEY, path), world->public_key, &made, err, err_size);

	if (ret)
		return ret;
	fingerprint_of(world->public_key, fingerprint);
	log_info("this node's key is %s%s", fingerprint, made ? " (made now)" : "");
	next_load(world);
	return 0;
}

static void next_tell(struct world *world)
{
	struct engine_event ev = {.type = ENGINE_EV_NEXT_KEY};

	memcpy(ev.own_key.raw, world->next_key, sizeof(ev.own_key.raw));
	world_event(world, &ev);
}

void ownkeys_tell(struct world *world)
{
	struct engine_event ev = {.type = ENGINE_EV_OWN_KEY};

	memcpy(ev.own_key.raw, world->public_key, sizeof(ev.own_key.raw));
	world_event(world, &ev);
	if (world->has_next_key)
		next_tell(world);
}

/* It may be gone, too: `overlayctl rotate --cancel`. */
void ownkeys_look(struct world *world)
{
	char path[PATH_MAX];

	if (next_load(world))
		next_tell(world);
	else if (world->has_next_key &&
	         access(key_path(world, OVERLAY_NODE_KEY_NEXT, path), F_OK) && errno == ENOENT)
		world->has_next_key = false;
	ownkeys_voucher(world);
}

static int sign(const struct world *world, const struct policy_voucher *voucher,
        const struct policy_key *key, uint8_t signature[64])
{
	uint8_t words[POLICY_VOUCHER_WORDS_MAX];
	char err[512], *pem;
	int ret = ownkeys_pem(world, key->raw, &pem, err, sizeof(err));

	if (ret) {
		log_warning("%s: this node's wish to change its key cannot be told", err);
		return ret;
	}
	ret = nodekey_sign(pem, words, policy_voucher_words(voucher, words), signature);
	nodekey_pem_free(pem);
	return ret;
}

/* The policy names the present key as ours, and there is a next one. */
static bool voucher_make(const struct world *world, char line[POLICY_VOUCHER_LINE_MAX])
{
	struct policy_voucher voucher = {0};
	struct engine_view view;

	engine_look(world->engine, &view);
	if (!world->has_next_key || !view.policy || !view.self ||
	        memcmp(view.self->key.raw, world->public_key, sizeof(world->public_key)) != 0)
		return false;
	snprintf(voucher.cluster, sizeof(voucher.cluster), "%s", view.policy->cluster);
	snprintf(voucher.name, sizeof(voucher.name), "%s", view.self->name);
	memcpy(voucher.old_key.raw, world->public_key, sizeof(voucher.old_key.raw));
	memcpy(voucher.key.raw, world->next_key, sizeof(voucher.key.raw));
	if (sign(world, &voucher, &voucher.old_key, voucher.by_old) ||
	        sign(world, &voucher, &voucher.key, voucher.by_new))
		return false;
	policy_voucher_print(&voucher, line);
	return true;
}

void ownkeys_voucher(struct world *world)
{
	struct engine_event ev = {.type = ENGINE_EV_VOUCHER};
	char line[POLICY_VOUCHER_LINE_MAX] = "";

	world->voucher_due = false;
	(void)voucher_make(world, line);
	ev.voucher.line = line;
	ev.voucher.len = strlen(line);
	world_event(world, &ev);
}

void ownkeys_settle(struct world *world)
{
	char path[PATH_MAX], next[PATH_MAX], err[512];
	struct engine_view view;

	if (!world->has_next_key)
		return;
	engine_look(world->engine, &view);
	if (!view.self || view.own_old ||
	        memcmp(view.own_key.raw, world->next_key, sizeof(world->next_key)) != 0)
		return;
	if (nodekey_replace(key_path(world, OVERLAY_NODE_KEY_NEXT, next),
	            key_path(world, OVERLAY_NODE_KEY, path), err, sizeof(err))) {
		log_error("%s: this node's new key is in force, but not in its place", err);
		return;
	}
	memcpy(world->public_key, world->next_key, sizeof(world->public_key));
	world->has_next_key = false;
	log_notice("%s holds this node's new key; the old one is gone", path);
}

void ownkeys_signing(const struct world *world, uint8_t public_key[32])
{
	struct engine_view view;
	const uint8_t *key = world->public_key;

	if (world->has_next_key) {
		engine_look(world->engine, &view);
		if (!view.own_old &&
		        !memcmp(view.own_key.raw, world->next_key, sizeof(world->next_key)))
			key = world->next_key;
	}
	memcpy(public_key, key, 32);
}

int ownkeys_pem(const struct world *world, const uint8_t public_key[32], char **pem, char *err,
        size_t err_size)
{
	static const char *const names[] = {OVERLAY_NODE_KEY, OVERLAY_NODE_KEY_NEXT};
	char path[PATH_MAX];
	uint8_t found[32];
	int ret;

	for (size_t i = 0; i < 2; i++) {
		ret = nodekey_load_pem(key_path(world, names[i], path), pem, found, err, err_size);
		if (ret && (i == 0 || ret != -ENOENT))
			return ret;
		if (!ret && !memcmp(found, public_key, sizeof(found)))
			return 0;
		if (!ret)
			nodekey_pem_free(*pem);
	}
	snprintf(err, err_size,
	        "the node's key file was replaced while overlayd runs: restart overlayd");
	return -ESTALE;
}
