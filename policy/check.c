/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What only the whole policy shows: duplicates, paths that cannot be, tests that fail. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/internal.h"

typedef int (*index_compare_fn)(const void *, const void *, void *);

static int by_key(const void *a, const void *b, void *peers)
{
	const struct policy_peer *all = peers;

	return memcmp(&all[*(const uint32_t *)a].key, &all[*(const uint32_t *)b].key,
	        sizeof(struct policy_key));
}

static int by_old_key(const void *a, const void *b, void *peers)
{
	const struct policy_peer *all = peers;

	return memcmp(&all[*(const uint32_t *)a].old_key, &all[*(const uint32_t *)b].old_key,
	        sizeof(struct policy_key));
}

static int by_addr4(const void *a, const void *b, void *peers)
{
	const struct policy_peer *all = peers;

	return memcmp(&all[*(const uint32_t *)a].addr4, &all[*(const uint32_t *)b].addr4,
	        sizeof(struct policy_addr));
}

static int by_addr6(const void *a, const void *b, void *peers)
{
	const struct policy_peer *all = peers;

	return memcmp(&all[*(const uint32_t *)a].addr6, &all[*(const uint32_t *)b].addr6,
	        sizeof(struct policy_addr));
}

static const uint32_t *index_make(struct pol_ctx *ctx, index_compare_fn compare)
{
	uint32_t *index = pol_array(&ctx->keep, ctx->n_peers, sizeof(*index));

	for (uint32_t i = 0; i < ctx->n_peers; i++)
		index[i] = i;
	if (ctx->n_peers)
		qsort_r(index, ctx->n_peers, sizeof(*index), compare,
		        (void *)(uintptr_t)ctx->policy->peers);
	return index;
}

/* Does a stand before b in the files? */
static bool where_before(
        const struct pol_ctx *ctx, const struct policy_where *a, const struct policy_where *b)
{
	if (a->file != b->file) { /* policy.yaml first, the others by name */
		if (a->file == ctx->sources[0].name || b->file == ctx->sources[0].name)
			return a->file == ctx->sources[0].name;
		return strcmp(a->file, b->file) < 0;
	}
	return a->line != b->line ? a->line < b->line : a->column < b->column;
}

static void duplicate_fault(
        struct pol_ctx *ctx, uint32_t a, uint32_t b, const char *what, const char *mend)
{
	const struct policy_peer *x = &ctx->policy->peers[a], *y = &ctx->policy->peers[b];

	if (where_before(ctx, &y->where, &x->where)) {
		const struct policy_peer *swap = x;

		x = y;
		y = swap;
	}
	pol_error(ctx, y->where, "%s has the %s of %s (%s:%u): %s", y->name, what, x->name,
	        x->where.file, x->where.line, mend);
}

static void duplicates_check(struct pol_ctx *ctx)
{
	static const struct policy_key no_key;
	const struct policy_peer *peers = ctx->policy->peers;
	const uint32_t *key = ctx->full->by_key, *addr4 = ctx->full->by_addr4,
	               *addr6 = ctx->full->by_addr6;

	for (size_t i = 1; i < ctx->n_peers; i++) {
		if (memcmp(&peers[key[i]].key, &no_key, sizeof(no_key)) != 0 &&
		        by_key(&key[i - 1], &key[i], (void *)(uintptr_t)peers) == 0)
			duplicate_fault(ctx, key[i - 1], key[i], "key",
			        "a node is its key, so delete one of them");
		if ((peers[addr6[i - 1]].addr6_given || peers[addr6[i]].addr6_given) &&
		        by_addr6(&addr6[i - 1], &addr6[i], (void *)(uintptr_t)peers) == 0)
			duplicate_fault(ctx, addr6[i - 1], addr6[i], "IPv6 address",
			        "delete the address6 of one of them");
		if (peers[addr4[i]].addr4.family &&
		        by_addr4(&addr4[i - 1], &addr4[i], (void *)(uintptr_t)peers) == 0)
			duplicate_fault(
			        ctx, addr4[i - 1], addr4[i], "address", "give one of them another");
	}
}

/* An old key is still a key: of nobody else. */
static void old_keys_check(struct pol_ctx *ctx)
{
	static const char mend[] = "a node is its key, so delete one of them";
	const struct policy *policy = ctx->policy;
	const uint32_t *index = NULL;

	for (uint32_t i = 0; i < ctx->n_peers; i++) {
		const struct policy_peer *peer = &policy->peers[i], *other;

		if (!peer->has_old_key)
			continue;
		if (!index)
			index = ctx->full->by_old_key = index_make(ctx, by_old_key);
		other = policy_peer_by_key(policy, &peer->old_key);
		if (other && other != peer)
			duplicate_fault(ctx, (uint32_t)(other - policy->peers), i,
			        "key (here the old one)", mend);
	}
	for (size_t i = 1; index && i < ctx->n_peers; i++)
		if (policy->peers[index[i]].has_old_key &&
		        by_old_key(&index[i - 1], &index[i], (void *)(uintptr_t)policy->peers) == 0)
			duplicate_fault(ctx, index[i - 1], index[i], "old key", mend);
}

/* One tunnel is named peer.failover, so no peer may have such a name. */
static void failover_names_check(struct pol_ctx *ctx, const struct policy_failover *failover)
{
	for (size_t i = 0; i < failover->n_holders; i++) {
		const struct policy_peer *holder = &ctx->policy->peers[failover->holders[i]];
		char name[2 * POLICY_NAME_MAX + 2];
		uint32_t peer;

		snprintf(name, sizeof(name), "%s.%s", holder->name, failover->name);
		peer = pol_names_get(&ctx->peer_names, name);
		if (peer != POL_NONE)
			pol_error(ctx, ctx->policy->peers[peer].where,
			        "the name '%s' is taken by the tunnel for %s of %s (%s:%u): rename "
			        "one",
			        name, failover->name, holder->name, failover->where.file,
			        failover->where.line);
	}
}

static void failovers_check(struct pol_ctx *ctx)
{
	const struct policy *policy = ctx->policy;

	for (size_t i = 0; i < policy->n_failovers; i++) {
		const struct policy_failover *f = &policy->failovers[i];
		const struct policy_peer *peer = policy_peer_by_addr(policy, &f->address);

		failover_names_check(ctx, f);
		if (!f->address.family)
			continue;
		if (peer)
			pol_error(ctx, f->where,
			        "the failover address %s is the address of peer %s (%s:%u): give "
			        "it "
			        "another",
			        f->name, peer->name, peer->where.file, peer->where.line);
		for (size_t j = 0; j < i; j++)
			if (memcmp(&policy->failovers[j].address, &f->address,
			            sizeof(f->address)) == 0)
				pol_error(ctx, f->where,
				        "the failover addresses %s and %s (%s:%u) are the same: "
				        "give "
				        "one another",
				        f->name, policy->failovers[j].name,
				        policy->failovers[j].where.file,
				        policy->failovers[j].where.line);
	}
}

void pol_check_tests(struct pol_ctx *ctx)
{
	const struct policy *policy = ctx->policy;

	for (size_t i = 0; i < policy->n_tests; i++) {
		const struct policy_test *test = &policy->tests[i];
		struct policy_verdict verdict;

		if (policy_explain(policy, &policy->peers[test->from], &policy->peers[test->to],
		            test->proto, test->port, POLICY_ANY_TIME, &verdict) ||
		        verdict.allow == test->expect_allow)
			continue;
		pol_error(ctx, test->where, "this test fails: %s is expected, but: %s",
		        test->expect_allow ? "allow" : "deny", verdict.text);
	}
}

void pol_check(struct pol_ctx *ctx)
{
	if (!ctx->policy->roles) /* not even tables */
		return;
	ctx->full->by_key = index_make(ctx, by_key);
	ctx->full->by_addr4 = index_make(ctx, by_addr4);
	ctx->full->by_addr6 = index_make(ctx, by_addr6);
	duplicates_check(ctx);
	old_keys_check(ctx);
	failovers_check(ctx);
	pol_check_tokens(ctx);
	if (ctx->errors == 0)
		pol_check_paths(ctx);
	if (!ctx->torn)
		pol_check_tests(ctx);
}
