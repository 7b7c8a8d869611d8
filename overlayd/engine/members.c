/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Members: one record for each peer of the policy of whom there is something to remember. */
#include "engine/cluster_internal.h"

#include <stdio.h>
#include <string.h>

struct member *member_find(const struct cluster *c, const char *name)
{
	struct map_node *n = map_find(&c->members, digest_str(DIGEST_START, name));

	for (; n; n = map_next_same(n))
		if (!strcmp(((struct member *)n)->name, name))
			return (struct member *)n;
	return NULL;
}

struct member *member_get(struct cluster *c, const char *name)
{
	struct member *m = member_find(c, name);
	const struct policy_peer *peer;

	if (m || !c->policy || !c->self)
		return m;
	peer = policy_peer_by_name(c->policy, name);
	if (!peer || peer == c->self)
		return NULL;
	m = cl_alloc(c, sizeof(*m));
	if (!m)
		return NULL;
	if (map_add(&c->members, &m->node, digest_str(DIGEST_START, name))) {
		c->oom = true;
		cl_free(c, m, sizeof(*m));
		return NULL;
	}
	snprintf(m->name, sizeof(m->name), "%s", name);
	m->peer = peer;
	m->key = peer->key;
	m->seed = policy_is_seed(c->policy, peer);
	m->applied.kind = SESSION_APPLIED;
	m->links.kind = SESSION_LINKS;
	m->applied.m = m->links.m = m;
	m->prev = c->member_tail;
	if (m->prev)
		m->prev->next = m;
	else
		c->member_head = m;
	c->member_tail = m;
	return m;
}

void member_drop(struct cluster *c, struct member *m)
{
	while (m->sessions)
		sess_close(c, m->sessions, true);
	notes_forget(c, m);
	statement_forget(c, &m->applied);
	where_forget(c, m);
	voucher_forget(c, m);
	for (size_t i = 0; i < c->n_seeds; i++)
		if (c->seeds[i] == m)
			c->seeds[i] = c->seeds[--c->n_seeds];
	map_remove(&c->members, &m->node);
	*(m->prev ? &m->prev->next : &c->member_head) = m->next;
	*(m->next ? &m->next->prev : &c->member_tail) = m->prev;
	if (m->text)
		cl_free(c, m->text, strlen(m->text) + 1);
	cl_free(c, m, sizeof(*m));
}

static bool seed_add(struct cluster *c, struct member *m)
{
	if (!m)
		return false;
	if (c->n_seeds == c->cap_seeds) {
		size_t cap = c->cap_seeds ? c->cap_seeds * 2 : 4;
		struct member **v = cl_alloc(c, cap * sizeof(struct member *));

		if (!v)
			return false;
		if (c->n_seeds)
			memcpy(v, c->seeds, c->n_seeds * sizeof(struct member *));
		cl_free(c, c->seeds, c->cap_seeds * sizeof(struct member *));
		c->seeds = v;
		c->cap_seeds = cap;
	}
	c->seeds[c->n_seeds++] = m;
	return true;
}

void members_seeds(struct cluster *c)
{
	c->n_seeds = 0;
	c->seeds_short = true;
	for (size_t i = 0; c->self && i < c->policy->n_peers; i++) {
		const struct policy_peer *peer = &c->policy->peers[i];

		if (peer != c->self && policy_is_seed(c->policy, peer) &&
		        !seed_add(c, member_get(c, peer->name)))
			return;
	}
	c->seeds_short = false;
}

/* Its key, or the one that it had until now: see rotation.c. */
static bool is_same(const struct member *m, const struct policy_peer *peer)
{
	return !memcmp(&peer->key, &m->key, sizeof(m->key)) ||
	       (peer->has_old_key && !memcmp(&peer->old_key, &m->key, sizeof(m->key)));
}

/* A name that has another key now is another node: nothing of the old one counts for it. */
void cluster_members(struct cluster *c, const struct policy *policy, const struct policy_peer *self)
{
	const struct policy *old = c->policy;
	struct member *next;

	c->policy = policy ? policy_ref(policy) : NULL;
	c->self = policy ? self : NULL;
	c->self_seed = c->self && !c->incomplete && policy_is_seed(policy, c->self);
	for (struct member *m = c->member_head; m; m = next) {
		const struct policy_peer *peer =
		        c->self ? policy_peer_by_name(policy, m->name) : NULL;

		next = m->next;
		if (!peer || peer == c->self || !is_same(m, peer)) {
			member_drop(c, m);
			continue;
		}
		if (memcmp(&m->key, &peer->key, sizeof(m->key)) != 0)
			voucher_forget(c, m); /* it was approved */
		m->peer = peer;
		m->key = peer->key;
		m->seed = policy_is_seed(policy, peer);
	}
	members_seeds(c);
	calls_members(c);
	where_members(c);
	policy_unref(old);
}

void cluster_complete(struct cluster *c, bool complete)
{
	c->incomplete = !complete;
	c->self_seed = c->self && complete && policy_is_seed(c->policy, c->self);
	calls_members(c);
}

void cluster_peer(struct cluster *c, const char *name, enum cluster_reach reach)
{
	struct member *m = reach == CLUSTER_GONE ? member_find(c, name) : member_get(c, name);

	if (!m || m->reach == reach)
		return;
	m->reach = reach;
	if (reach == CLUSTER_GONE)
		while (m->sessions)
			sess_close(c, m->sessions, true);
	m->woke = false;
	if (reach == CLUSTER_AWAKE)
		notes_woke(c, m);
	m->dial_at = 0; /* whatever was in the way may be gone */
	m->dial_fails = 0;
	if (m->seed)
		c->dial_due = c->now.mono_us;
}

/*
 * IPv6 first: that address follows from the key, so it is the same in every policy. What did not
 * answer is tried by the other.
 */
bool member_addrs(const struct cluster *c, const struct member *m, struct policy_addr *addr,
        struct policy_addr *from)
{
	bool v4 = c->self->addr4.family && m->peer->addr4.family;
	bool v6 = c->self->addr6.family && m->peer->addr6.family && (!v4 || m->dial_fails % 2 == 0);

	*addr = v6 ? m->peer->addr6 : m->peer->addr4;
	*from = v6 ? c->self->addr6 : c->self->addr4;
	return addr->family && from->family;
}

bool member_may_tell(struct cluster *c, struct member *m)
{
	if (m->told_us && c->now.mono_us < m->told_us + TELL_GAP_US)
		return false;
	m->told_us = c->now.mono_us;
	return true;
}

/* Faults wear off when there was no trouble for an hour. */
void member_strike(struct cluster *c, struct member *m, unsigned n)
{
	if (m->deaf_until && c->now.mono_us > m->deaf_until + SHUN_FORGET_US)
		m->shuns = m->strikes = 0;
	if (m->strikes + n < STRIKES) {
		m->strikes += (uint8_t)n;
		return;
	}
	m->strikes = 0;
	m->shuns += m->shuns < 30;
	m->deaf_until = c->now.mono_us + cl_backoff(c, m->shuns, SHUN_MIN_US, SHUN_MAX_US);
	if (m->unasked_until < m->deaf_until)
		m->unasked_until = m->deaf_until;
	if (c->want_scan_at > m->unasked_until)
		c->want_scan_at = m->unasked_until;
}
