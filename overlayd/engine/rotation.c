/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys that change. A policy may name a peer's old key beside its key: until `old_until` both
 * count. charon gets a second connection with the old one's identity, so that either end may still
 * be of yesterday; an SA of an old key is built anew and ends when the new one is up. Once a peer
 * was seen on the new keys, its old one counts no more, however far its time.
 *
 * The same with our own: we hold two keys for a while (ENGINE_EV_NEXT_KEY) and use the one that the
 * policy names as ours, from the moment on that it does.
 */
#include "engine/internal.h"

#include <string.h>

static bool key_equal(const struct policy_key *a, const struct policy_key *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* ---- ours ---- */

void rotation_other_key(struct engine *e, const struct policy_key *key)
{
	if ((e->has_other_key && key_equal(&e->other_key, key)) ||
	        (e->have_key && key_equal(&e->own_key, key)))
		return;
	e->other_key = *key;
	e->has_other_key = true;
	e->key_loaded = false; /* both */
	peers_take_policy(e);
}

static void own_key_choose(struct engine *e)
{
	struct policy_key key = e->own_key;

	if (!e->has_other_key || policy_peer_by_key(e->policy, &e->own_key))
		return;
	if (!policy_peer_by_key(e->policy, &e->other_key) &&
	        (policy_peer_by_old_key(e->policy, &e->own_key) ||
	                !policy_peer_by_old_key(e->policy, &e->other_key)))
		return;
	e->own_key = e->other_key;
	e->other_key = key;
}

/* The SAs that were built so far are those of the old key. */
static void own_key_changed(struct engine *e)
{
	char fingerprint[POLICY_FINGERPRINT_LEN];

	for (struct sa *sa = e->sa_head; sa; sa = sa->all_next)
		sa->own_old |= sa->ids_good;
	policy_key_fingerprint(&e->own_key, fingerprint);
	notice(e, ENGINE_NOTICE, ENGINE_N_OWN_KEY, NULL,
	        "This node's new key %s is in force; the tunnels are built anew with it.",
	        fingerprint);
}

bool rotation_self(struct engine *e)
{
	struct policy_key before = e->self_key;
	uint64_t h = DIGEST_START;
	bool same;

	own_key_choose(e);
	e->self = policy_peer_by_key(e->policy, &e->own_key);
	if (!e->self) /* our next key is lost: until old_until this one will do */
		e->self = policy_peer_by_old_key(e->policy, &e->own_key);
	if (!e->self)
		return false;
	h = digest_addr(
	        digest_addr(digest_str(h, e->self->name), &e->self->addr4), &e->self->addr6);
	same = h == e->self_digest;
	e->self_digest = h;
	e->self_key = e->own_key;
	peer_remote_id(&e->own_key, e->self->name, e->self_id);
	if (!same || key_equal(&before, &e->own_key))
		return !same;
	if (!e->self->has_old_key || !key_equal(&e->self->old_key, &before) ||
	        !key_equal(&e->self->key, &e->own_key))
		return true;
	own_key_changed(e);
	return false;
}

void rotation_judge_self(struct engine *e)
{
	const struct policy_peer *self = e->self;
	bool counts = self && self->has_old_key && clock_wall_s(e) < self->old_until;

	e->self_old_us = counts ? clock_mono_of(e, self->old_until) : ENGINE_NEVER;
	if (self && !key_equal(&self->key, &e->own_key)) {
		e->self_active &= counts;
		counts = false;
	}
	e->self_old = counts && e->has_other_key && key_equal(&e->other_key, &self->old_key);
	if (e->self_old)
		peer_remote_id(&e->other_key, self->name, e->self_old_id);
	if (e->told_self_old && !e->self_old) {
		notice(e, ENGINE_NOTICE, ENGINE_N_OWN_KEY, NULL,
		        "This node's old key counts no more.");
		cluster_key_moved(e->cluster);
	}
	e->told_self_old = e->self_old;
}

/* ---- the peers' ---- */

static bool old_counts(const struct engine *e, const struct peer *p)
{
	return p->want && p->want->has_old_key && !p->moved && clock_wall_s(e) < p->want->old_until;
}

bool rotation_ids(const struct engine *e, const struct peer *p, struct sa *sa, const char *local_id,
        const char *remote_id)
{
	char id[ENGINE_ID_MAX];

	sa->peer_old = sa->own_old = false;
	if (strcmp(local_id, e->self_id)) {
		if (!e->self_old || p->moved || strcmp(local_id, e->self_old_id))
			return false;
		sa->own_old = true;
	}
	peer_remote_id(p->claimed ? &p->key : &p->want->key, p->name, id);
	if (!strcmp(remote_id, id))
		return true;
	if (!old_counts(e, p))
		return false;
	peer_remote_id(&p->want->old_key, p->name, id);
	sa->peer_old = true;
	return !strcmp(remote_id, id);
}

/* The policy says that this peer has another key now, and which one it had: it is the same one. */
static void adopt(struct peer *p)
{
	const struct policy_peer *w = p->want;

	if (!p->claimed || !w || !w->has_old_key || key_equal(&p->key, &w->key) ||
	        !key_equal(&p->key, &w->old_key) || !addr_equal(&p->addr4, &w->addr4) ||
	        !addr_equal(&p->addr6, &w->addr6))
		return;
	p->key = w->key;
	for (struct sa *sa = p->sas; sa; sa = sa->next)
		sa->peer_old |= sa->ids_good;
}

/* It is up with the new keys, and nothing is left of the old. */
static bool has_moved(const struct peer *p)
{
	bool up = false;

	for (const struct sa *sa = p->sas; sa; sa = sa->next) {
		if (sa->gone)
			continue;
		if (sa->ids_known && sa_is_old(sa))
			return false;
		up |= sa_up(sa);
	}
	return up;
}

static uint64_t keys_digest(const struct engine *e, const struct peer *p)
{
	uint64_t h = digest_bytes(DIGEST_START, &e->own_key, sizeof(e->own_key));

	h = digest_u64(digest_bytes(h, &p->want->key, sizeof(p->want->key)), p->want->has_old_key);
	h = digest_bytes(h, &p->want->old_key, sizeof(p->want->old_key));
	return digest_u64(h, e->self_old) | 1;
}

/* What was built with a key that counts no more is at its end; if it was the peer's, so are its
 * packets, at once: the firewall cannot tell by which SA they come. */
static void worthless(struct peer *p)
{
	for (struct sa *sa = p->sas; sa; sa = sa->next) {
		if (!sa->ids_good)
			continue;
		if ((sa->peer_old && !p->peer_old) || (sa->own_old && !p->own_old))
			sa->ids_good = false;
		p->cut |= sa->peer_old && !p->peer_old && !sa->gone && p->claimed;
	}
}

void rotation_judge(struct engine *e, struct peer *p)
{
	uint64_t keys = 0;

	adopt(p);
	p->peer_old = p->want && p->want->has_old_key && clock_wall_s(e) < p->want->old_until;
	p->own_old = p->want && e->self_old;
	if (p->peer_old || p->own_old)
		keys = keys_digest(e, p);
	if (keys != p->rotation) {
		p->rotation = keys;
		p->moved = false;
		p->move_us = e->now.mono_us;
	}
	if (keys && !p->moved && has_moved(p))
		p->moved = true;
	p->peer_old &= !p->moved;
	p->own_old &= !p->moved;
	p->old_mono_us = p->old_wall_s = ENGINE_NEVER;
	if (p->peer_old) {
		p->old_wall_s = p->want->old_until;
		p->old_mono_us = clock_mono_of(e, p->old_wall_s);
		peer_wake(p, p->old_mono_us);
	}
	p->old_key = p->peer_old ? p->want->old_key : p->want ? p->want->key : p->key;
	worthless(p);
}
