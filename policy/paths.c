/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Warnings about peers that should talk but have no way to begin: somebody must have an endpoint.
 * If that is a seed all others call it, and hear from it where each of them is; so only those of
 * different sites behind NAT have no way to each other then.
 * Counted by roles and sites, not by pairs of peers, so that the work does not grow with n^2.
 * A token counts as a peer without endpoints: so are the guests that it may let in.
 */
#include <string.h>

#include "policy/internal.h"

struct bits {
	uint64_t word[4]; /* 256: roles, or sites */
};

_Static_assert(POLICY_ROLES_MAX == 256 && POL_SITES_MAX == 256, "struct bits");

static void bit_set(struct bits *bits, size_t i)
{
	bits->word[i / 64] |= 1ULL << i % 64;
}

static bool bit_get(const struct bits *bits, size_t i)
{
	return bits->word[i / 64] >> i % 64 & 1;
}

static bool bits_meet(const struct bits *a, const struct bits *b)
{
	for (int i = 0; i < 4; i++)
		if (a->word[i] & b->word[i])
			return true;
	return false;
}

static void bits_add(struct bits *to, const struct bits *from)
{
	for (int i = 0; i < 4; i++)
		to->word[i] |= from->word[i];
}

/* Index n_roles stands for "*": everybody. */
struct paths {
	struct bits
	        *nat_sites; /* per role: sites behind NAT where it has peers without endpoints */
	const struct policy_allow **rule; /* per pair of sites: why they should talk */
	struct bits *partners;            /* per role: roles that it talks with, either way */
	bool *with_any;                   /* per role: talks with "*" */
	struct bits held;                 /* roles that some peer has */
	struct bits reachable;            /* roles of peers with endpoints */
	bool any_reachable;
	bool seed_reachable;
	bool any_talks;           /* a rule "*" to "*" */
	struct bits any_partners; /* roles that "*" talks with */
};

static void peer_note(const struct policy *policy, struct paths *p, const struct policy_peer *peer)
{
	bool hidden = policy->sites[peer->site].behind_nat && !peer->n_endpoints;

	if (peer->n_endpoints)
		p->any_reachable = true;
	if (peer->n_endpoints && policy_is_seed(policy, peer))
		p->seed_reachable = true;
	if (hidden)
		bit_set(&p->nat_sites[policy->n_roles], peer->site);
	for (size_t i = 0; i < peer->n_roles; i++) {
		bit_set(&p->held, peer->roles[i]);
		if (peer->n_endpoints)
			bit_set(&p->reachable, peer->roles[i]);
		if (hidden)
			bit_set(&p->nat_sites[peer->roles[i]], peer->site);
	}
}

/* What its guests will be. */
static struct policy_peer guest_of(const struct policy_token *token)
{
	return (struct policy_peer){.name = token->name,
	        .site = token->site,
	        .roles = token->roles,
	        .n_roles = token->n_roles,
	        .guest = true,
	        .where = token->where};
}

static void allow_note(
        const struct policy *policy, struct paths *p, const struct policy_allow *allow)
{
	size_t from = allow->from == POLICY_ANY ? policy->n_roles : allow->from;
	size_t to = allow->to == POLICY_ANY ? policy->n_roles : allow->to;

	for (size_t a = 0; a < policy->n_sites; a++)
		for (size_t b = 0; b < policy->n_sites; b++)
			if (bit_get(&p->nat_sites[from], a) && bit_get(&p->nat_sites[to], b) &&
			        a != b) {
				size_t pair =
				        a < b ? a * policy->n_sites + b : b * policy->n_sites + a;

				if (!p->rule[pair])
					p->rule[pair] = allow;
			}
	if (allow->from == POLICY_ANY && allow->to == POLICY_ANY)
		p->any_talks = true;
	else if (allow->from == POLICY_ANY || allow->to == POLICY_ANY) {
		size_t other = allow->from == POLICY_ANY ? to : from;

		p->with_any[other] = true;
		bit_set(&p->any_partners, other);
	} else {
		bit_set(&p->partners[from], to);
		bit_set(&p->partners[to], from);
	}
}

static void sites_warn(struct pol_ctx *ctx, const struct paths *p)
{
	const struct policy *policy = ctx->policy;

	for (size_t a = 0; a < policy->n_sites; a++)
		for (size_t b = a + 1; b < policy->n_sites; b++) {
			const struct policy_allow *rule = p->rule[a * policy->n_sites + b];

			if (rule)
				pol_warning(ctx, policy->sites[b].where,
				        "the sites %s and %s are both behind NAT and line %u lets "
				        "them "
				        "talk, but peers without endpoints have no path between "
				        "them "
				        "without a gateway: give those of one site endpoints",
				        policy->sites[a].name, policy->sites[b].name,
				        rule->where.line);
		}
}

/* A peer without endpoints needs one partner with some. */
static void peer_warn(struct pol_ctx *ctx, const struct paths *p, const struct policy_peer *peer)
{
	struct bits partners = p->any_partners;
	bool talks = p->any_talks, everybody = talks;

	if (peer->n_endpoints || ctx->n_peers + ctx->n_tokens < 2)
		return;
	for (size_t i = 0; i < peer->n_roles; i++) {
		bits_add(&partners, &p->partners[peer->roles[i]]);
		everybody = everybody || p->with_any[peer->roles[i]];
	}
	talks = talks || everybody || bits_meet(&partners, &p->held);
	if (!talks || (everybody && p->any_reachable) || bits_meet(&partners, &p->reachable))
		return;
	if (peer->guest)
		pol_warning(ctx, peer->where,
		        "guests of the token %s have no endpoints, and neither has any peer that "
		        "they may talk with: no tunnel can begin; give one of those `endpoints`",
		        peer->name);
	else
		pol_warning(ctx, peer->where,
		        "%s has no endpoints, and neither has any peer that it may talk with: no "
		        "tunnel can begin; give one of them `endpoints`",
		        peer->name);
}

void pol_check_paths(struct pol_ctx *ctx)
{
	const struct policy *policy = ctx->policy;
	struct paths p = {0};

	p.nat_sites = pol_array(&ctx->scratch, policy->n_roles + 1, sizeof(*p.nat_sites));
	p.partners = pol_array(&ctx->scratch, policy->n_roles + 1, sizeof(*p.partners));
	p.with_any = pol_alloc(&ctx->scratch, policy->n_roles + 1);
	p.rule = pol_array(&ctx->scratch, policy->n_sites * policy->n_sites,
	        sizeof(const struct policy_allow *));
	for (size_t i = 0; i < policy->n_peers; i++)
		peer_note(policy, &p, &policy->peers[i]);
	for (size_t i = 0; i < policy->n_tokens; i++) {
		struct policy_peer guest = guest_of(&policy->tokens[i]);

		peer_note(policy, &p, &guest);
	}
	for (size_t i = 0; i < policy->n_allows; i++)
		allow_note(policy, &p, &policy->allows[i]);
	sites_warn(ctx, &p);
	if (p.seed_reachable)
		return;
	for (size_t i = 0; i < policy->n_peers; i++)
		peer_warn(ctx, &p, &policy->peers[i]);
	for (size_t i = 0; i < policy->n_tokens; i++) {
		struct policy_peer guest = guest_of(&policy->tokens[i]);

		peer_warn(ctx, &p, &guest);
	}
}
