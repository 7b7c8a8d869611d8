/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses that change, in signed mode. The bundle that says so goes to that node inside the very
 * tunnel that it ends, so the end is put off for a moment: a peer's until it says that it has the
 * bundle, until its session ends, or READDRESS_US; our own until all with whom a session is up say
 * so, or READDRESS_OWN_US. Meanwhile it has its old address, which claims.c gives to nobody else, and what
 * the new policy allows. Only for this: another key, or no place in the policy, ends it at once.
 */
#include "engine/internal.h"

#include <stdio.h>
#include <string.h>

#define READDRESS_US 2000000
#define READDRESS_OWN_US 500000
#define READDRESS_OWN_MIN_US 100000 /* what was said last is to leave this node */

static bool is_only_address(const struct engine *e, const struct peer *p)
{
	return e->is_signed && p->claimed && p->desired && !p->cut && p->fw == FW_YES &&
	       p->self_epoch == e->self_epoch && !memcmp(&p->key, &p->want->key, sizeof(p->key));
}

bool readdress_waits(struct engine *e, struct peer *p)
{
	if (!is_only_address(e, p) || IMPAIRED(IMPAIR_READDRESS_AT_ONCE))
		return false;
	if (!p->readdress_us) {
		p->readdress_us = e->now.mono_us + READDRESS_US;
		e->n_readdress++;
	}
	if (IMPAIRED(IMPAIR_READDRESS_NEVER))
		return true;
	if (e->now.mono_us >= p->readdress_us || !cluster_is_behind(e->cluster, p->name))
		return false;
	peer_wake(p, p->readdress_us);
	return true;
}

void readdress_over(struct engine *e, struct peer *p)
{
	e->n_readdress -= p->readdress_us != 0;
	p->readdress_us = 0;
}

/* Something was heard of a session: of whom, the cluster's machine knows. */
void readdress_heard(struct engine *e)
{
	for (size_t i = 0; e->n_readdress && i < e->n_peers; i++)
		if (e->peers[i]->readdress_us)
			peer_dirty(e, e->peers[i]);
}

/* ---- our own ---- */

static bool self_moves(const struct engine *e)
{
	return e->self && e->is_signed && e->self_name[0] && !strcmp(e->self_name, e->self->name) &&
	       !memcmp(&e->self_key, &e->self->key, sizeof(e->self_key)) &&
	       !(addr_equal(&e->self_addr4, &e->self->addr4) &&
	               addr_equal(&e->self_addr6, &e->self->addr6));
}

static bool self_waits(const struct engine *e)
{
	int64_t begun = e->self_readdress_us;

	if (IMPAIRED(IMPAIR_READDRESS_AT_ONCE) || !cluster_has_sessions(e->cluster))
		return false;
	return e->now.mono_us < begun + READDRESS_OWN_MIN_US ||
	       (e->now.mono_us < begun + READDRESS_OWN_US && cluster_is_behind(e->cluster, NULL));
}

/* e->self, as found in the policy, becomes a copy with our old addresses for as long as we wait. */
void readdress_self(struct engine *e)
{
	if (!self_moves(e)) {
		e->self_readdress_us = 0;
	} else {
		if (!e->self_readdress_us)
			e->self_readdress_us = e->now.mono_us;
		if (self_waits(e)) {
			e->self_copy = *e->self;
			e->self_copy.addr4 = e->self_addr4;
			e->self_copy.addr6 = e->self_addr6;
			e->self = &e->self_copy;
			return;
		}
		e->self_readdress_us = 0;
	}
	if (!e->self)
		return;
	snprintf(e->self_name, sizeof(e->self_name), "%s", e->self->name);
	e->self_addr4 = e->self->addr4;
	e->self_addr6 = e->self->addr6;
}

void readdress_self_step(struct engine *e)
{
	if (e->self_readdress_us && !self_waits(e))
		peers_take_policy(e);
}

int64_t readdress_wakeup(const struct engine *e)
{
	int64_t begun = e->self_readdress_us;

	if (!begun)
		return ENGINE_NEVER;
	return begun + (e->now.mono_us < begun + READDRESS_OWN_MIN_US ? READDRESS_OWN_MIN_US
	                                                              : READDRESS_OWN_US);
}
