/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nodes that change their keys: the policy names the new one, and for some minutes the old one
 * beside it. A node holds both, and signs its statements with the old one for as long as that
 * counts; what a seed's old key signed for guests, it signs anew. In such a swarm clocks are right.
 */
#include "tests/simcluster/swarm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t wall(const struct world *w)
{
	return EPOCH_S + w->core.now / US;
}

static bool same(const struct policy_key *a, const struct policy_key *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* One that changes its key, or whose old one is over. */
void keys_change(struct world *w)
{
	struct node *n =
	        &w->nodes[rnd_below(w, (uint64_t)(chance(w, 0.5) ? w->n_seeds : w->n_nodes))];

	if (!w->rotates)
		return;
	for (int i = 0; i < w->n_nodes; i++)
		if (w->nodes[i].has_old && wall(w) > w->nodes[i].old_until + 60)
			w->nodes[i].has_old = false;
	if (n->has_old || !w->in[n->index] || w->core.calm || !chance(w, 0.3))
		return;
	sign_key_free(n->old_secret);
	n->old_key = n->key;
	n->old_secret = n->secret;
	n->has_old = true;
	n->old_until = wall(w) + 120 + (int64_t)rnd_below(w, 240);
	n->secret = sign_key(w, &n->key);
	say(w, n, "its key is to change");
	links_review(w, n);
}

void keys_print(const struct node *n, FILE *f)
{
	time_t until = (time_t)n->old_until;
	char key[96], text[64];
	struct tm tm;

	if (!n->has_old)
		return;
	policy_key_print(&n->old_key, key, sizeof(key));
	gmtime_r(&until, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	fprintf(f, ", old_key: \"%s\", old_until: %s", key, text);
}

/* By the clock, at both ends. */
static void over(struct world *w, struct node *n, void *data)
{
	(void)data;
	if (!n->cl || !n->self || !n->self->has_old_key || wall(w) < n->self->old_until)
		return;
	n->changes++;
	node_begin(w, n);
	cluster_key_moved(n->cl);
	node_end(w, n);
	links_review(w, n);
}

void keys_taken_over(struct world *w, struct node *n)
{
	if (!n->self || !n->self->has_old_key || wall(w) >= n->self->old_until ||
	        (n->over_at == n->self->old_until && n->over_epoch == n->epoch))
		return;
	n->over_at = n->self->old_until;
	n->over_epoch = n->epoch;
	at(w, (n->self->old_until - EPOCH_S) * US + 1, n, over, NULL);
}

/* Of a node that its own policy does not name: any that it has. */
static bool offers(const struct world *w, const struct node *n, const struct policy_key *key)
{
	return n->self ? keys_counts(w, n->self, key) && keys_holds(n, key) : keys_holds(n, key);
}

bool keys_prove(const struct world *w, const struct policy_peer *pp, const struct node *n)
{
	return offers(w, n, &pp->key) ||
	       (pp->has_old_key && wall(w) < pp->old_until && offers(w, n, &pp->old_key));
}

bool keys_holds(const struct node *n, const struct policy_key *key)
{
	return same(key, &n->key) || (n->old_secret && same(key, &n->old_key));
}

void *keys_secret(const struct node *n, const struct policy_key *key)
{
	return n->old_secret && same(key, &n->old_key) ? n->old_secret : n->secret;
}

/* What it signs its statements with, by its own policy. */
const struct policy_key *keys_signing(const struct world *w, const struct node *n)
{
	if (!n->self || !n->old_secret)
		return &n->key;
	if (n->self->has_old_key && wall(w) < n->self->old_until)
		return keys_holds(n, &n->self->old_key) ? &n->self->old_key : &n->key;
	return keys_holds(n, &n->self->key) ? &n->self->key : &n->key;
}

bool keys_counts(const struct world *w, const struct policy_peer *pp, const struct policy_key *key)
{
	return same(&pp->key, key) ||
	       (pp->has_old_key && same(&pp->old_key, key) && wall(w) < pp->old_until);
}

/* ---- guests, anew ---- */

struct anew {
	uint64_t epoch, id;
	uint8_t by_seed[64];
};

static void anew(struct world *w, struct node *n, void *data)
{
	const struct anew *a = data;

	if (!n->cl || n->epoch != a->epoch)
		return;
	node_begin(w, n);
	if (!cluster_signed(n->cl, a->id, a->by_seed))
		broken(w, "cluster.h", "%s: it does not know what it wanted signed", n->name);
	node_end(w, n);
}

void keys_resign(struct world *w, struct node *n, const struct engine_effect *fx)
{
	static const char label[] = "overlayd admission v1\n";
	struct anew a = {.epoch = n->epoch, .id = fx->id};
	uint8_t record[POLICY_ADMISSION_MAX];
	size_t len = fx->admit.len - strlen(label);
	struct policy_admission adm;

	sign_words(keys_secret(n, &fx->admit.by), fx->admit.words, fx->admit.len, a.by_seed);
	memcpy(record, fx->admit.words + strlen(label), len);
	memcpy(record + len, a.by_seed, sizeof(a.by_seed));
	if (policy_admission_parse(record, len + sizeof(a.by_seed), &adm) ||
	        strcmp(adm.seed, n->name))
		broken(w, "design 8", "%s: it signs anew what is not its guest", n->name);
	else
		guest_anew(w, &adm, &fx->admit.by, n);
	w->n_anew++;
	at(w, w->core.now + rnd_us(w, 100, 20000), n, anew, dup_mem(&a, sizeof(a)));
}
