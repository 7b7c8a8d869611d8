/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Newcomers with a token, and the seeds that let them in: what the engine and the hosts of both do
 * (engine/join.h), without the join SA between. A newcomer asks one seed after the other until one
 * says MEMBER and what it gives is good. A seed says so only when its disk has the admission.
 */
#include "tests/simcluster/swarm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STORED_US (20 * US) /* a newcomer waits so long */
#define DOUBT_US (30 * US)  /* by then it should be connected with all seeds */

struct wish {
	struct policy_admission a; /* as far as the token goes */
	int node;                  /* -1: none of the swarm's */
	int tries;
};

struct promise { /* of a seed that waits for its disk */
	struct wish wish;
	uint64_t epoch;
	int64_t until;
};

struct reply {
	struct wish wish;
	struct policy_admission a;
	size_t len;
	char file[];
};

static event_fn asks;

/* ---- what is known to be signed ---- */

void guest_issued(struct world *w, const struct policy_admission *a,
        const struct policy_key *token_key, const struct policy_key *seed_key,
        const struct node *seed)
{
	struct issued *is;

	if (w->n_issued == w->cap_issued) {
		w->cap_issued = w->cap_issued ? 2 * w->cap_issued : 64;
		w->issued = need(realloc(w->issued, w->cap_issued * sizeof(*w->issued)));
	}
	is = &w->issued[w->n_issued++];
	*is = (struct issued){.grant = {*a, *token_key, *seed_key}, .at = w->core.now};
	if (seed->force >= 0)
		is->serial = w->bundles[seed->force].head.serial;
	trace_str(w, a->name);
}

static struct issued *issued_find(struct world *w, const struct policy_admission *a)
{
	for (size_t i = 0; i < w->n_issued; i++)
		if (!memcmp(&w->issued[i].grant.a, a, sizeof(*a)))
			return &w->issued[i];
	return NULL;
}

/* Its token's signature is the same; whoever was told of the one has the guest with the other. */
void guest_anew(struct world *w, const struct policy_admission *a,
        const struct policy_key *seed_key, const struct node *seed)
{
	for (size_t i = 0; i < w->n_issued; i++) {
		const struct issued *is = &w->issued[i];
		struct policy_key token_key = is->grant.token_key;

		if (memcmp(is->grant.a.by_token, a->by_token, sizeof(a->by_token)) ||
		        is->grant.a.number != a->number || strcmp(is->grant.a.seed, a->seed))
			continue;
		guest_issued(w, a, &token_key, seed_key, seed);
		return;
	}
	broken(w, "design 8", "%s: it signs anew for %s, who was never let in", seed->name,
	        a->name);
}

void guests_free(struct world *w)
{
	free(w->issued);
	for (int i = 0; i < w->n_nodes; i++)
		free(w->nodes[i].kept.data);
}

/* ---- the disk ---- */

void guests_store(struct world *w, struct node *n, const struct engine_effect *fx)
{
	struct on_disk *k = need(calloc(1, sizeof(*k)));

	k->data = dup_mem(fx->admissions.data, fx->admissions.len);
	k->len = fx->admissions.len;
	node_store(w, n, fx->id, -1, k);
}

static bool disk_has(const struct node *n, const struct policy_key *key)
{
	return n->kept.len && memmem(n->kept.data, n->kept.len, key->raw, sizeof(key->raw));
}

void guests_lost(struct world *w, const struct node *s)
{
	for (size_t i = 0; i < w->n_issued; i++)
		w->issued[i].fragile |= !strcmp(w->issued[i].grant.a.seed, s->name);
}

/* As it was kept; or somebody was at the disk. */
void guests_start(struct world *w, struct node *n)
{
	struct on_disk *k = &n->kept;
	bool whole = !trouble(w, 0.05);
	size_t len = k->len;
	uint8_t *data;

	if (!k->len)
		return;
	data = dup_mem(k->data, k->len);
	for (int i = 0; i < 3 && !whole; i++)
		data[rnd_below(w, len)] ^= (uint8_t)(1 + rnd_below(w, 255));
	if (!whole && chance(w, 0.3))
		len = rnd_below(w, len);
	cluster_admissions(n->cl, data, len);
	free(data);
	n->kept_whole = whole;
	if (!whole)
		guests_lost(w, n);
}

/* ---- the seed ---- */

static bool is_serving(const struct node *s)
{
	return s->cl && s->self && policy_is_seed(s->policy, s->self);
}

static void answered(struct world *w, struct node *g, void *data);

static void member(
        struct world *w, struct node *s, const struct wish *wish, const struct policy_admission *a)
{
	struct node *g = wish->node >= 0 ? &w->nodes[wish->node] : s;
	const char *file = NULL;
	size_t len = 0;
	struct reply *r;

	if (cluster_file(s->cl, &file, &len))
		return;
	r = need(calloc(1, sizeof(*r) + len));
	r->wish = *wish;
	r->a = *a;
	r->len = len;
	memcpy(r->file, file, len);
	say(w, s, "MEMBER: %s by %s, number %u", a->name, a->token, a->number);
	if (trouble(w, 0.1)) {
		at(w, w->core.now + rnd_us(w, US, 20 * US), g, asks, dup_mem(wish, sizeof(*wish)));
		free(r);
	} else {
		at(w, w->core.now + rnd_us(w, 1000, US), g, answered, r);
	}
}

void guest_member(struct world *w, struct node *s, const struct policy_admission *a)
{
	const struct node *g = node_by_name(w, a->name);
	struct wish wish = {.a = *a, .node = g ? g->index : -1, .tries = 4};

	member(w, s, &wish, a);
}

/* The disk has it: now the newcomer is told. */
static void promised(struct world *w, struct node *s, void *data)
{
	struct promise *p = data;
	const struct policy_admission *a;

	if (!s->cl || s->epoch != p->epoch || w->core.now > p->until) {
		at(w, w->core.now + rnd_us(w, US, 10 * US), s, asks,
		        dup_mem(&p->wish, sizeof(p->wish)));
		return;
	}
	a = cluster_admission_of(s->cl, &p->wish.a.key);
	if (a && cluster_admission_stored(s->cl, &p->wish.a.key)) {
		struct issued *is = issued_find(w, a);

		if (!disk_has(s, &a->key))
			broken(w, "rule 9",
			        "%s: says that %s's admission is on disk, and it is not", s->name,
			        a->name);
		if (is)
			is->honest = !s->evil;
		member(w, s, &p->wish, a);
		return;
	}
	if (a || policy_peer_by_key(s->policy, &p->wish.a.key))
		at(w, w->core.now + 50000, s, promised, dup_mem(p, sizeof(*p)));
	else /* a bundle came between, or somebody goes before it */
		at(w, w->core.now + rnd_us(w, US, 10 * US), s, asks,
		        dup_mem(&p->wish, sizeof(p->wish)));
}

static size_t guests_of(const struct node *s, const char *token)
{
	size_t n = 0;

	for (size_t i = 0; i < s->policy->n_peers; i++)
		n += s->policy->peers[i].guest &&
		     !strcmp(s->policy->tokens[s->policy->peers[i].token].name, token);
	return n;
}

/* What the seed's engine does with a request that a token vouches for. False: refused. */
static bool admit(struct world *w, struct node *s, const struct wish *wish)
{
	const struct policy_token *t = policy_token_by_name(s->policy, wish->a.token);
	struct policy_admission a = wish->a;
	uint8_t words[POLICY_ADMISSION_WORDS_MAX];
	size_t known, used;
	int ret;

	if (!t || policy_token_excepts(t, &a.key))
		return false;
	if (policy_key_verify(&t->key, words, policy_admission_words_token(&a, words), a.by_token))
		return false; /* another token of that name */
	known = guests_of(s, t->name);
	used = cluster_admissions_used(s->cl, t->name);
	if (used < known + t->n_except)
		broken(w, "design 8", "%s: %zu guests of %s are in force, %zu used", s->name, known,
		        t->name, used);
	a.number = used < t->count ? cluster_admission_number(s->cl, t->name) : 0;
	if (!a.number || policy_admission_address(s->policy, t, &a.key, &a.addr4))
		return false;
	memcpy(a.seed, s->name, sizeof(s->name));
	sign_words(keys_secret(s, &s->self->key), words, policy_admission_words_seed(&a, words),
	        a.by_seed);
	guest_issued(w, &a, &t->key, &s->self->key, s);
	node_begin(w, s);
	ret = cluster_admit(s->cl, &a, true);
	node_end(w, s);
	if (ret)
		w->n_issued--; /* nobody ever saw it */
	w->n_let_in += !ret;
	say(w, s, "admits %s (%s, number %u): %d", a.name, a.token, a.number, ret);
	if (!ret && known >= t->count)
		broken(w, "design 8", "%s: it lets %s in, and knows of %zu of %u", s->name, a.name,
		        known, t->count);
	return !ret;
}

static void asked(struct world *w, struct node *s, void *data)
{
	struct wish *wish = data;
	struct promise p = {*wish, s->epoch, w->core.now + STORED_US};
	const struct policy_peer *pp;

	if (!is_serving(s) || trouble(w, 0.1)) {
		asks(w, s, data);
		return;
	}
	if (s->evil & EVIL_ADMIT && liars_admit(w, s, &wish->a)) {
		asks(w, s, data);
		return;
	}
	say(w, s, "is asked by %s, token %s", wish->a.name, wish->a.token);
	pp = policy_peer_by_key(s->policy, &wish->a.key);
	if (pp ? pp->guest : admit(w, s, wish))
		promised(w, s, &p);
	else
		asks(w, s, data);
}

/* ---- the newcomer ---- */

/* One seed after the other; not for ever. */
static void asks(struct world *w, struct node *n, void *data)
{
	struct wish *wish = data;
	struct node *s;
	(void)n;

	if (wish->tries-- <= 0)
		return;
	s = &w->nodes[((unsigned)wish->tries + wish->a.key.raw[0]) % (unsigned)w->n_seeds];
	at(w, w->core.now + rnd_us(w, US, 12 * US), s, asked, dup_mem(wish, sizeof(*wish)));
}

/* A seed that tells nobody: the ticket is given again, as not all are connected. */
static void doubts(struct world *w, struct node *g, void *data)
{
	for (int s = 0; s < w->n_seeds && g->cl && g->self; s++) {
		const struct link *l = link_find(w, g, &w->nodes[s]);

		if (l && l->told[link_side(l, g)] == CLUSTER_GONE) {
			asks(w, g, data);
			return;
		}
	}
}

static void answered(struct world *w, struct node *g, void *data)
{
	struct reply *r = data;
	int ret;

	if (r->wish.node < 0)
		return; /* somebody outside the swarm has what it wanted */
	if (!g->cl) {
		asks(w, g, &r->wish);
		return;
	}
	node_begin(w, g);
	cluster_bundle(g->cl, ENGINE_BUNDLE_ADMIN, r->file, r->len);
	ret = cluster_admit(g->cl, &r->a, false);
	node_end(w, g);
	say(w, g, "hears MEMBER of %s: %d", r->a.seed, ret);
	if (ret || !g->self)
		asks(w, g, &r->wish);
	else
		at(w, w->core.now + DOUBT_US, g, doubts, dup_mem(&r->wish, sizeof(r->wish)));
}

void guest_wish(struct world *w, int node, int token, struct policy_admission *a)
{
	const struct token *t = &w->tokens[token];
	uint8_t words[POLICY_ADMISSION_WORDS_MAX];

	memset(a, 0, sizeof(*a));
	strcpy(a->cluster, "swarm");
	memcpy(a->token, t->name, sizeof(t->name));
	if (node >= 0) {
		memcpy(a->name, w->nodes[node].name, sizeof(w->nodes[node].name));
		a->key = w->nodes[node].key;
	} else {
		snprintf(a->name, sizeof(a->name), "x%05d", (int)rnd_below(w, 100000));
		for (int i = 0; i < 32; i++)
			a->key.raw[i] = (uint8_t)rnd(w);
	}
	sign_words(t->secret, words, policy_admission_words_token(a, words), a->by_token);
}

void guest_asks(struct world *w, int node, int token)
{
	struct wish wish = {.node = node, .tries = w->core.calm ? 24 : 8};

	guest_wish(w, node, token, &wish.a);
	w->n_asks++;
	asks(w, NULL, &wish);
}
