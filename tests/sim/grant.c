/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/grant.h"

#include <string.h>

const struct policy_token *grant_token(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->n_tokens; i++)
		if (!strcmp(p->tokens[i].name, name))
			return &p->tokens[i];
	return NULL;
}

const struct policy_peer *grant_peer(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->n_peers; i++)
		if (!strcmp(p->peers[i].name, name))
			return &p->peers[i];
	return NULL;
}

bool grant_has_role(const struct policy *p, const struct policy_peer *pp, const char *role)
{
	for (size_t i = 0; i < pp->n_roles; i++)
		if (!strcmp(p->roles[pp->roles[i]], role))
			return true;
	return false;
}

bool grant_same_addr(const struct policy_addr *a, const struct policy_addr *b)
{
	return a->family == b->family && !memcmp(a->bytes, b->bytes, a->family == 2 ? 4 : 16);
}

static uint32_t bits_of(const struct policy_addr *a)
{
	return (uint32_t)a->bytes[0] << 24 | (uint32_t)a->bytes[1] << 16 |
	       (uint32_t)a->bytes[2] << 8 | a->bytes[3];
}

static bool in_range(const struct policy_token *t, const struct policy_addr *a)
{
	uint32_t mask = t->range.len ? ~0U << (32 - t->range.len) : 0;

	return a->family == 2 && (bits_of(a) & mask) == (bits_of(&t->range.addr) & mask);
}

static bool is_excepted(const struct policy_token *t, const struct policy_key *k)
{
	uint8_t digest[32];

	policy_key_digest(k, digest);
	for (size_t i = 0; i < t->n_except; i++)
		if (!memcmp(t->except[i], digest, sizeof(digest)))
			return true;
	return false;
}

/* A seed that changes its key keeps its word for a while. */
static bool is_key_of(const struct policy_peer *pp, const struct policy_key *k)
{
	return !memcmp(&pp->key, k, sizeof(*k)) ||
	       (pp->has_old_key && !memcmp(&pp->old_key, k, sizeof(*k)));
}

bool grant_holds(const struct policy *p, const struct grant *g)
{
	const struct policy_token *t = grant_token(p, g->a.token);
	const struct policy_peer *seed = grant_peer(p, g->a.seed);

	return t && seed && !strcmp(g->a.cluster, p->cluster) &&
	       !memcmp(&t->key, &g->token_key, sizeof(t->key)) && is_key_of(seed, &g->seed_key) &&
	       grant_has_role(p, seed, POLICY_ROLE_SEED) && g->a.number >= 1 &&
	       g->a.number <= t->count && in_range(t, &g->a.addr4) && !is_excepted(t, &g->a.key);
}

bool grant_fits(const struct policy *p, const struct policy_peer *pp, const struct grant *g)
{
	return !memcmp(&g->a.key, &pp->key, sizeof(pp->key)) && !strcmp(g->a.name, pp->name) &&
	       grant_same_addr(&g->a.addr4, &pp->addr4) && grant_holds(p, g);
}

bool grant_is_all(
        const struct policy *all, const struct policy_peer *pp, const struct policy_token *t)
{
	return pp->token < all->n_tokens && !strcmp(all->tokens[pp->token].name, t->name) &&
	       pp->n_roles == t->n_roles &&
	       !memcmp(pp->roles, t->roles, t->n_roles * sizeof(*t->roles)) &&
	       pp->site == t->site && pp->has_until && pp->until == t->until && !pp->n_endpoints &&
	       !pp->has_old_key && !pp->hours;
}
