/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The firewall, as the engine sees it: a policy and the engine's classes become a ruleset of
 * firewall/, effects become commits, and what another program does to our table is told.
 */
#ifndef OVERLAYD_HOST_FWADAPT_H
#define OVERLAYD_HOST_FWADAPT_H

#include "engine/engine.h"
#include "firewall/firewall.h"

struct world;
struct fwadapt;

int fwadapt_new(struct world *world, struct fwadapt **out, char *err, size_t err_size);
/* The table stays. */
void fwadapt_free(struct fwadapt *fa);
/* Tells the engine whether a table of an earlier run is there. */
void fwadapt_start(struct fwadapt *fa);
/* There is no policy at all: the table of an earlier run lets nobody in any more. */
void fwadapt_shut(struct fwadapt *fa);
/* ENGINE_FX_FW_BASE, _FW_ADMIT, _FW_REVOKE, _FW_UNDERLAY, _KILL_SOCKETS */
void fwadapt_run(struct fwadapt *fa, const struct engine_effect *fx);
/*
 * This node is no member and asks to be one: the cluster's addresses are shut but for JOIN_PORT,
 * which only we may ask, from `own` (family 0: it is not known yet). NULL: no more. It stays through
 * what the engine wants meanwhile; as a member it counts no more. Also from within an effect.
 */
struct fwadapt_guest {
	struct policy_prefix overlay6;
	struct policy_addr own;
};
int fwadapt_guest(
        struct fwadapt *fa, const struct fwadapt_guest *guest, char *err, size_t err_size);
struct fw *fwadapt_fw(const struct fwadapt *fa);
/* A table of ours is in the kernel, whoever made it. */
bool fwadapt_table_is_there(struct fw *fw);

/* ---- fwrules.c: from a policy to a ruleset --------------------------------------------------- */

/* "c" and 16 hex digits of what the class allows: the same set has the same name in every
 * policy, so that an unrelated change leaves its chain and counters alone. */
#define FWRULES_CLASS_MAX 24
void fwrules_class_name(
        const struct policy *policy, const uint64_t *bits, char buf[FWRULES_CLASS_MAX]);

struct fwrules_world {
	const char *device; /* NULL: none */
	bool secpath, traps;
};
/* All but peers and their endpoints. base->policy may be NULL. */
/* Adds what a guest needs to the ruleset of a node that is no member. */
int fwrules_guest(struct fw_ruleset *rs, const struct fwadapt_guest *guest,
        const struct fwrules_world *world);
int fwrules_make(const struct engine_fw_base *base, const struct fwrules_world *world,
        struct fw_ruleset **out, char *err, size_t err_size);
void fwrules_addr(const struct policy_addr *in, struct fw_addr *out);

#endif
