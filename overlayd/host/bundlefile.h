/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files of a signed policy: CONFIG/cluster.pub, whose bundles count, and STATE/bundle, the one
 * in force.
 *
 * With a cluster key a node is in signed mode: once a bundle is in force, the policy's files are no
 * more than what the signer makes the next one from. Until the first one comes, the files count as
 * without a key. A bundle that was kept and cannot be verified any more, or a cluster key that
 * cannot be read at start, leave the node without a policy (policyload.h): nobody knows then who
 * may come in.
 *
 * Which key signed the kept one, it says itself (bundle_kept): the cluster's key may have changed
 * since cluster.pub was written. A cluster.pub that the admin replaced leaves the bundle in force
 * where it is, and only bundles of the new key follow it.
 *
 * A cluster.pub that is removed or damaged while the daemon runs changes nothing until it is
 * started again: the key that was read goes on to count.
 */
#ifndef OVERLAYD_HOST_BUNDLEFILE_H
#define OVERLAYD_HOST_BUNDLEFILE_H

#include "policy/bundle.h"
#include <stddef.h>

struct world;
struct engine_effect;

/* CONFIG/cluster.pub. -ENOENT: there is none, err is empty; else why it is none, in a sentence. */
int bundlefile_key(const char *config_dir, struct minisign_public *out, char *err, size_t err_size);
/*
 * At start and at each reload: a key that is new is told to the engine, and where no bundle is in
 * force, the one that was kept. 0: there may or may not be a key, and a bundle in force; else one
 * sentence in err: what is in force stays, if anything is.
 */
int bundlefile_begin(struct world *world, char *err, size_t err_size);
/* ENGINE_FX_BUNDLE_STORE */
void bundlefile_store(struct world *world, const struct engine_effect *fx);
/* For --guard, without an engine: the policy of the kept bundle. 0 or a negative errno. */
int bundlefile_policy(const char *config_dir, const char *state_dir, struct policy **out);

#endif
