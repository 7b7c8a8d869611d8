/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose address is it? An overlay address belongs to one peer until the last trace of that peer is
 * confirmed to be gone; SAs that another key built for it block it as well. Only a free address is
 * admitted, so packets are never taken for those of another key.
 */
#include "engine/internal.h"

#include <string.h>

#define SA_CLAIMS_MAX 32U

static uint64_t addr_hash(const struct policy_addr *a)
{
	return digest_addr(DIGEST_START, a);
}

static struct claim *claim_find(const struct engine *e, const struct policy_addr *a)
{
	struct map_node *n = map_find(&e->claims, addr_hash(a));

	for (; n; n = map_next_same(n))
		if (addr_equal(&((struct claim *)n)->addr, a))
			return (struct claim *)n;
	return NULL;
}

static struct claim *claim_get(struct engine *e, const struct policy_addr *a)
{
	struct claim *c = claim_find(e, a);

	if (c)
		return c;
	c = mem_alloc(e, sizeof(*c));
	if (!c)
		return NULL;
	c->addr = *a;
	if (map_add(&e->claims, &c->node, addr_hash(a))) {
		mem_free(e, c, sizeof(*c));
		e->oom = true;
		return NULL;
	}
	return c;
}

/* Whoever may be waiting for the address looks again. */
static void claim_wake(struct engine *e, const struct policy_addr *a)
{
	const struct policy_peer *pp = e->policy ? policy_peer_by_addr(e->policy, a) : NULL;
	struct peer *p = pp ? peer_find(e, pp->name, strlen(pp->name)) : NULL;
	struct claim *c = claim_find(e, a);

	if (p)
		peer_dirty(e, p);
	if (c && c->owner)
		peer_dirty(e, c->owner);
}

static void claim_put(struct engine *e, struct claim *c)
{
	struct policy_addr a = c->addr;

	if (!c->owner && !c->blockers) {
		map_remove(&e->claims, &c->node);
		mem_free(e, c, sizeof(*c));
	}
	claim_wake(e, &a);
}

static bool is_free_for(const struct engine *e, const struct policy_addr *a, const struct peer *p)
{
	const struct claim *c = a->family ? claim_find(e, a) : NULL;

	return !c || !c->owner || c->owner == p;
}

static bool claim_own(struct engine *e, const struct policy_addr *a, struct peer *p)
{
	struct claim *c;

	if (!a->family)
		return true;
	c = claim_get(e, a);
	if (c)
		c->owner = p;
	return c != NULL;
}

/* Claims both addresses of its policy entry for p; false: another still holds one. */
bool claim_take(struct engine *e, struct peer *p)
{
	if (p->claimed)
		return true;
	if (!IMPAIRED(IMPAIR_ADMIT_BEFORE_GONE) &&
	        (!is_free_for(e, &p->want->addr4, p) || !is_free_for(e, &p->want->addr6, p)))
		return false;
	p->claimed = true;
	p->cleared = p->cut = false;
	p->key = p->want->key;
	p->addr4 = p->want->addr4;
	p->addr6 = p->want->addr6;
	p->self_epoch = e->self_epoch;
	if (claim_own(e, &p->addr4, p) && claim_own(e, &p->addr6, p))
		return true;
	claim_release(e, p);
	return false;
}

static void claim_disown(struct engine *e, const struct policy_addr *a, const struct peer *p)
{
	struct claim *c = a->family ? claim_find(e, a) : NULL;

	if (c && c->owner == p) {
		c->owner = NULL;
		claim_put(e, c);
	}
}

void claim_release(struct engine *e, struct peer *p)
{
	if (!p->claimed)
		return;
	p->claimed = false;
	p->cleared = false;
	claim_disown(e, &p->addr4, p);
	claim_disown(e, &p->addr6, p);
}

bool claim_blocked(const struct engine *e, const struct peer *p)
{
	const struct claim *c4 = p->addr4.family ? claim_find(e, &p->addr4) : NULL;
	const struct claim *c6 = p->addr6.family ? claim_find(e, &p->addr6) : NULL;

	if (IMPAIRED(IMPAIR_ADMIT_BEFORE_GONE))
		return false;
	return e->cuts_all || (c4 && c4->blockers) || (c6 && c6->blockers);
}

static bool sa_has_claim(const struct sa *sa, const struct policy_addr *a)
{
	for (size_t i = 0; i < sa->n_claims; i++)
		if (addr_equal(&sa->claims[i], a))
			return true;
	return false;
}

void claim_everything(struct engine *e, struct sa *sa)
{
	if (sa->claims_all)
		return;
	sa->claims_all = true;
	e->claims_all++;
}

void claim_cut_all(struct engine *e, struct sa *sa)
{
	claim_everything(e, sa);
	if (sa->cuts_all)
		return;
	sa->cuts_all = true;
	if (e->cuts_all++ == 0)
		peers_dirty_all(e);
}

void claim_add_sa(struct engine *e, struct sa *sa, const struct policy_addr *a)
{
	struct policy_addr *v;
	struct claim *c;

	if (sa_has_claim(sa, a))
		return;
	if (sa->n_claims >= SA_CLAIMS_MAX) {
		claim_everything(e, sa);
		return;
	}
	v = mem_alloc(e, (sa->n_claims + 1) * sizeof(*v));
	c = v ? claim_get(e, a) : NULL;
	if (!c) {
		mem_free(e, v, (sa->n_claims + 1) * sizeof(*v));
		claim_everything(e, sa); /* no memory to say which: all of them */
		return;
	}
	if (sa->claims)
		memcpy(v, sa->claims, sa->n_claims * sizeof(*v));
	mem_free(e, sa->claims, sa->n_claims * sizeof(*v));
	v[sa->n_claims++] = *a;
	sa->claims = v;
	c->blockers++;
	claim_wake(e, a);
}

bool claim_block(struct engine *e, const struct policy_addr *a)
{
	struct claim *c = claim_get(e, a);

	if (!c)
		return false;
	c->blockers++;
	claim_wake(e, a);
	return true;
}

void claim_unblock(struct engine *e, const struct policy_addr *a)
{
	struct claim *c = a->family ? claim_find(e, a) : NULL;

	if (!c || !c->blockers)
		return;
	c->blockers--;
	claim_put(e, c);
}

static bool is_host(const struct policy_prefix *x)
{
	return x->len == (x->addr.family == 2 /* AF_INET */ ? 32 : 128);
}

/* Right key, other selectors: what the policy gives that peer does it no harm. */
static bool is_its_own(const struct peer *p, const struct policy_addr *a)
{
	if (!p)
		return false;
	if (p->claimed)
		return addr_equal(a, &p->addr4) || addr_equal(a, &p->addr6);
	return p->want && (addr_equal(a, &p->want->addr4) || addr_equal(a, &p->want->addr6));
}

/* An SA with a wrong identity was seen: the addresses of its children are not free. */
void claim_by_sa(struct engine *e, struct sa *sa, const struct engine_sa_row *row)
{
	bool odd = row->truncated;

	for (size_t i = 0; i < row->n_children && i < ENGINE_CHILDREN_MAX; i++) {
		const struct engine_child_row *c = &row->children[i];

		odd |= c->odd_ts;
		for (size_t j = 0; j < c->n_remote_ts && j < ENGINE_TS_MAX; j++) {
			if (sa->fault == SA_SELECTORS &&
			        is_its_own(sa->peer, &c->remote_ts[j].addr))
				continue;
			if (is_host(&c->remote_ts[j]))
				claim_add_sa(e, sa, &c->remote_ts[j].addr);
			else
				odd = true;
		}
	}
	if (odd)
		claim_everything(e, sa);
}

void claim_drop_sa(struct engine *e, struct sa *sa)
{
	for (size_t i = 0; i < sa->n_claims; i++) {
		struct claim *c = claim_find(e, &sa->claims[i]);

		if (c && c->blockers) {
			c->blockers--;
			claim_put(e, c);
		}
	}
	mem_free(e, sa->claims, sa->n_claims * sizeof(*sa->claims));
	sa->claims = NULL;
	sa->n_claims = 0;
	if (sa->cuts_all) {
		sa->cuts_all = false;
		e->cuts_all--;
	}
	if (sa->claims_all) {
		sa->claims_all = false;
		if (--e->claims_all == 0)
			peers_dirty_all(e);
	}
}

void claims_free(struct engine *e)
{
	for (size_t i = 0; i < e->claims.n_slots; i++) {
		while (e->claims.slots[i]) {
			struct claim *c = (struct claim *)e->claims.slots[i];

			map_remove(&e->claims, &c->node);
			mem_free(e, c, sizeof(*c));
		}
	}
	map_clear(&e->claims);
}
