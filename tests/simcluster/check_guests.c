/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rules about guests, by what the bundles say and by who really signed what; nothing here asks
 * the machine or policy_admission_check(). Rules 2 and 3: at every moment, whoever is in force at a
 * node without being written in its bundle was let in by an admission that this bundle grants, with
 * what the token grants and no more. A token lets in at most its count by each seed. And in the end
 * all honest nodes have the same guests, among them all whom an honest seed let in.
 */
#include "tests/simcluster/swarm.h"

#include <string.h>

#define SPREAD_US (120 * US) /* what an honest node knows, all know after that */

static const struct issued *let_in_by(
        const struct world *w, const struct policy *p, const struct policy_peer *pp)
{
	for (size_t i = 0; i < w->n_issued; i++)
		if (grant_fits(p, pp, &w->issued[i].grant))
			return &w->issued[i];
	return NULL;
}

static void check_taken(
        struct world *w, const struct node *n, const struct policy *p, const struct policy_peer *pp)
{
	for (size_t i = 0; i < p->n_peers; i++) {
		const struct policy_peer *o = &p->peers[i];

		if (!strcmp(o->name, pp->name) || !memcmp(&o->key, &pp->key, sizeof(o->key)) ||
		        grant_same_addr(&o->addr4, &pp->addr4) ||
		        grant_same_addr(&o->addr6, &pp->addr6))
			broken(w, "rule 2", "%s: the guest %s has what is %s's", n->name, pp->name,
			        o->name);
	}
}

static void check_guest(
        struct world *w, struct node *n, const struct policy *p, const struct policy_peer *pp)
{
	const struct issued *is = let_in_by(w, p, pp);
	const struct policy_token *t;

	if (!is) {
		broken(w, "rules 2 and 3",
		        "%s: the guest %s (10.%u.%u.%u) is in force, and serial %llu grants it not",
		        n->name, pp->name, pp->addr4.bytes[1], pp->addr4.bytes[2],
		        pp->addr4.bytes[3], (unsigned long long)p->serial);
		return;
	}
	t = grant_token(p, is->grant.a.token);
	if (!grant_is_all(n->policy, pp, t))
		broken(w, "rule 2", "%s: the guest %s has more than its token %s grants", n->name,
		        pp->name, t->name);
	if (p->n_peers < 200 || rnd_below(w, 16) == 0)
		check_taken(w, n, p, pp);
}

/* Can this guest be there by that seed only? */
static bool only_by(const struct world *w, const struct policy *p, const struct policy_peer *pp,
        const char *seed)
{
	bool any = false;

	for (size_t i = 0; i < w->n_issued; i++) {
		const struct issued *is = &w->issued[i];

		if (!grant_fits(p, pp, &is->grant))
			continue;
		if (strcmp(is->grant.a.seed, seed))
			return false;
		any = true;
	}
	return any;
}

/* By each seed at most `count`, whatever it and others lie. */
static void check_counts(struct world *w, const struct node *n, const struct policy *p)
{
	for (size_t t = 0; t < p->n_tokens; t++) {
		size_t all = 0, seeds = 0;

		for (size_t s = 0; s < p->n_peers; s++) {
			size_t guests = 0;

			if (!grant_has_role(p, &p->peers[s], "seed"))
				continue;
			for (size_t i = 0; i < n->policy->n_peers; i++) {
				const struct policy_peer *pp = &n->policy->peers[i];

				if (!pp->guest || pp->token != t)
					continue;
				all += !seeds;
				guests += only_by(w, p, pp, p->peers[s].name);
			}
			seeds++;
			if (guests > p->tokens[t].count)
				broken(w, "design 8", "%s: seed %s let in %zu by token %s, not %u",
				        n->name, p->peers[s].name, guests, p->tokens[t].name,
				        p->tokens[t].count);
		}
		if (all > p->tokens[t].count * seeds)
			broken(w, "design 8", "%s: token %s let in %zu, %zu seeds could %u each",
			        n->name, p->tokens[t].name, all, seeds, p->tokens[t].count);
	}
}

static void check_unique(struct world *w, const struct node *n, const struct policy_peer *pp)
{
	const struct policy_peer *o = pp + 1, *end = n->policy->peers + n->policy->n_peers;

	for (; o < end; o++)
		if (o->guest &&
		        (!strcmp(o->name, pp->name) || grant_same_addr(&o->addr4, &pp->addr4) ||
		                !memcmp(&o->key, &pp->key, sizeof(o->key))))
			broken(w, "rule 2", "%s: the guests %s and %s have the same", n->name,
			        pp->name, o->name);
}

void check_guests(struct world *w, struct node *n)
{
	const struct policy *p = n->force >= 0 ? w->bundles[n->force].policy : NULL;
	size_t written = 0, guests = 0;

	if (!n->policy ||
	        (n->policy == n->seen_policy && !memcmp(n->policy->digest, n->seen_digest, 32)))
		return;
	n->seen_policy = n->policy;
	memcpy(n->seen_digest, n->policy->digest, 32);
	n->changed_at = w->core.now;
	for (size_t i = 0; i < n->policy->n_peers && !w->core.rule; i++) {
		const struct policy_peer *pp = &n->policy->peers[i];

		written += !pp->guest;
		if (!pp->guest)
			continue;
		guests++;
		if (!p)
			broken(w, "rule 2", "%s: a guest, and no bundle is in force", n->name);
		else
			check_guest(w, n, p, pp);
		check_unique(w, n, pp);
	}
	if (p && written != p->n_peers)
		broken(w, "rule 3", "%s: %zu written peers of %zu are in force", n->name, written,
		        p->n_peers);
	if (p && guests && !w->core.rule)
		check_counts(w, n, p);
	n->changes += guests > n->n_guests ? guests - n->n_guests : n->n_guests - guests;
	n->n_guests = guests;
}

/* By the keys of now. */
static bool is_issued(const struct world *w, const struct policy_admission *a, const struct node *n)
{
	for (size_t i = 0; i < w->n_issued; i++)
		if (!memcmp(w->issued[i].grant.a.by_seed, a->by_seed, sizeof(a->by_seed)) &&
		        grant_holds(w->bundles[n->force].policy, &w->issued[i].grant))
			return keys_counts(w, grant_peer(w->bundles[n->force].policy, a->seed),
			        &w->issued[i].grant.seed_key);
	return false;
}

/* Rule 9: what its disk has, by the bundle that its disk has. */
void check_guests_kept(struct world *w, struct node *n)
{
	size_t cap = n->kept.len / 2 + 1, count = 0;
	struct policy_admission *all = need(calloc(cap, sizeof(*all)));
	const struct policy_admission **v = need(calloc(cap, sizeof(struct policy_admission *)));
	const uint8_t *at = n->kept.data, *end = at + n->kept.len;
	struct policy *expected = NULL;

	for (; at && end - at > 2; at += 2 + ((size_t)at[0] << 8 | at[1])) {
		if (policy_admission_parse(at + 2, (size_t)at[0] << 8 | at[1], &all[count]))
			broken(w, "rule 9", "%s: what it keeps of guests cannot be read", n->name);
		if (is_issued(w, &all[count], n)) {
			v[count] = &all[count];
			count++;
		}
	}
	if (policy_with_guests(w->bundles[n->force].policy, v, count, NULL, &expected))
		abort();
	if (memcmp(n->policy->digest, expected->digest, 32))
		broken(w, "rule 9", "%s: after a start it has other guests than were kept",
		        n->name);
	policy_unref(expected);
	free(all);
	free(v);
}

/* Nobody is blamed for what it could not know. */
void check_notice(struct world *w, struct node *n, const struct engine_notice *notice)
{
	const struct node *o = notice->peer ? node_by_name(w, notice->peer) : NULL;

	if (notice->code == ENGINE_N_JOIN_REFUSED && o && !o->evil)
		broken(w, "rule 8", "%s blames %s: %s", n->name, o->name, notice->text);
}

/* ---- the end ---- */

static bool in_force(const struct node *n, const struct issued *is)
{
	for (size_t i = 0; i < n->policy->n_peers; i++)
		if (!memcmp(&n->policy->peers[i].key, &is->grant.a.key, sizeof(is->grant.a.key)))
			return true;
	return false;
}

/* Nobody else ever got something of that. */
static bool is_alone(const struct world *w, const struct issued *is)
{
	for (size_t i = 0; i < w->n_issued; i++) {
		const struct policy_admission *a = &w->issued[i].grant.a;

		if (memcmp(&a->key, &is->grant.a.key, sizeof(a->key)) &&
		        (!strcmp(a->name, is->grant.a.name) ||
		                grant_same_addr(&a->addr4, &is->grant.a.addr4) ||
		                (!strcmp(a->token, is->grant.a.token) &&
		                        !strcmp(a->seed, is->grant.a.seed) &&
		                        a->number == is->grant.a.number)))
			return false;
	}
	return true;
}

static bool is_free(const struct policy *p, const struct issued *is)
{
	for (size_t i = 0; i < p->n_peers; i++)
		if (!strcmp(p->peers[i].name, is->grant.a.name) ||
		        grant_same_addr(&p->peers[i].addr4, &is->grant.a.addr4))
			return false;
	return true;
}

/* By every bundle that can have come after the one by which it was let in: who lets a guest go has
 * forgotten it. */
static bool always_held(const struct world *w, const struct issued *is)
{
	for (size_t i = 0; i < w->n_bundles; i++)
		if (w->bundles[i].genuine && w->bundles[i].head.serial >= is->serial &&
		        !grant_holds(w->bundles[i].policy, &is->grant))
			return false;
	return true;
}

static void settled_all(struct world *w, struct node *n)
{
	const struct policy *p = w->bundles[w->final].policy;

	for (size_t i = 0; i < w->n_issued; i++) {
		const struct issued *is = &w->issued[i];

		if (is->honest && !is->fragile && is->at < w->core.end - LATE_US &&
		        always_held(w, is) && is_alone(w, is) && is_free(p, is) && !in_force(n, is))
			broken(w, "settling",
			        "%s: at the end the guest %s, let in by %s, is not in force",
			        n->name, is->grant.a.name, is->grant.a.seed);
	}
}

/* Where nobody lies and all hear each other, a token lets in its count, and not one more. */
static void settled_count(struct world *w, const struct node *n)
{
	const struct policy *p = w->bundles[w->final].policy;
	const struct policy_token *t = p->n_tokens ? &p->tokens[p->n_tokens - 1] : NULL;
	size_t guests = 0, wanted;

	if (!t || w->n_evil)
		return;
	for (size_t i = 0; i < n->policy->n_peers; i++)
		guests +=
		        n->policy->peers[i].guest && n->policy->peers[i].token + 1U == p->n_tokens;
	wanted = (size_t)w->n_last < t->count ? (size_t)w->n_last : t->count;
	if (guests != wanted)
		broken(w, "design 8",
		        "%s: of the %d that came with token %s %zu were let in, not %zu", n->name,
		        w->n_last, t->name, guests, wanted);
}

void check_guests_settled(struct world *w)
{
	const struct node *first = NULL;
	bool honest_seed = false;

	for (int s = 0; s < w->n_seeds; s++)
		honest_seed |= !w->nodes[s].evil;
	for (int i = 0; i < w->n_nodes && honest_seed && !w->core.rule; i++) {
		struct node *n = &w->nodes[i];

		if (n->evil || n->force != w->final)
			continue;
		if (!first)
			first = n;
		if (memcmp(n->policy->digest, first->policy->digest, 32))
			broken(w, "settling",
			        "%s and %s have the same bundle at the end, and other guests",
			        first->name, n->name);
		if (n->changed_at > w->core.end - LATE_US + SPREAD_US)
			broken(w, "settling", "%s: its guests changed %lld s before the end",
			        n->name, (long long)((w->core.end - n->changed_at) / US));
		settled_all(w, n);
		settled_count(w, n);
	}
}
