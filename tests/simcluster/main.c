/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * simcluster [--seed S] [--seeds N] [--nodes N] [--minutes M] [--impair NAME] [--impairments]
 *            [--verbose]		the rules; without --nodes each seed has its own number
 * simcluster --scale [--nodes LARGEST] [--json]	messages and bytes for one approval
 *
 * Exit status: 0 all rules held, 1 one was broken, 2 bad arguments. --impairments runs one machine
 * after the other that is broken on purpose, and fails if one of them is not caught.
 */
#include "tests/simcluster/impair.h"
#include "tests/simcluster/swarm.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SETTLE_US (460 * US)
#define NODES_MAX 20000

struct options {
	uint64_t seed, seeds;
	int nodes;
	double minutes;
	bool verbose;
	const char *impair;
};

const char *node_name(const struct node *n)
{
	return n->name;
}

void swarm_init(struct world *w, uint64_t seed, int nodes)
{
	memset(w, 0, sizeof(*w));
	core_init(&w->core, seed);
	w->final = -1;
	w->n_nodes = nodes ? nodes : 4 + (int)rnd_below(w, chance(w, 0.2) ? 60 : 20);
	w->n_seeds = 1 + (int)rnd_below(w, w->n_nodes > 8 ? 4 : 2);
	w->nodes = need(calloc((size_t)w->n_nodes, sizeof(*w->nodes)));
	w->in = need(calloc((size_t)w->n_nodes, sizeof(*w->in)));
	for (int i = 0; i < w->n_nodes; i++) {
		struct node *n = &w->nodes[i];

		n->index = i;
		snprintf(n->name, sizeof(n->name), "n%05d", i);
		n->seed = i < w->n_seeds;
		n->disk = n->force = -1;
		w->in[i] = true;
		sign_new_key(w, n);
	}
}

void swarm_free(struct world *w)
{
	struct sess *s;

	core_free(&w->core);
	HASH_CLEAR(hh, w->ends);
	while ((s = w->sessions)) {
		w->sessions = s->next;
		free(s);
	}
	for (int i = 0; i < w->n_nodes; i++) {
		struct node *n = &w->nodes[i];

		cluster_free(n->cl);
		policy_unref(n->policy);
		sign_free(n);
		free(n->links);
		free(n->said);
	}
	guests_free(w);
	blobs_free(w);
	memo_free(w->memo);
	admin_end(w);
	free(w->nodes);
	free(w->links);
	free(w->overheard);
}

static bool run_one(const struct options *o, uint64_t seed, struct world *w)
{
	bool ok;

	swarm_init(w, seed, o->nodes);
	w->core.verbose = o->verbose;
	w->core.end = (int64_t)(o->minutes * 60 * (double)US) + SETTLE_US;
	w->core.quiet = w->core.end - SETTLE_US;
	evil_choose(w);
	links_make(w);
	admin_start(w);
	trouble_start(w);
	ok = core_run(w, w->core.end, NULL);
	if (ok) {
		check_settled(w);
		check_guests_settled(w);
		ok = !w->core.rule;
	}
	trace(w, w->core.rng);
	swarm_free(w);
	return ok;
}

static void report(const struct options *o, const struct world *w)
{
	printf("seed %llu, step %llu, %.3f s: %s broken: %s\n"
	       "replay: build/tests/simcluster --seed %llu --nodes %d --minutes %g%s%s --verbose\n",
	        (unsigned long long)w->core.seed, (unsigned long long)w->core.steps,
	        (double)w->core.now / US, w->core.rule, w->core.what,
	        (unsigned long long)w->core.seed, o->nodes, o->minutes,
	        o->impair ? " --impair " : "", o->impair ? o->impair : "");
}

struct sums {
	uint64_t nodes, steps, bundles, restarts, kept, by_hand, forks, withheld, refused, trace;
	uint64_t asks, let_in, lies;
	int64_t slowest_us;
	size_t memory;
};

static void sum_up(struct sums *t, const struct world *w)
{
	t->nodes += (uint64_t)w->n_nodes;
	t->steps += w->core.steps;
	t->bundles += w->n_bundles;
	t->restarts += w->n_restarts;
	t->kept += w->n_kept;
	t->by_hand += w->n_by_hand;
	t->forks += w->n_fork_told;
	t->withheld += w->n_withheld_told;
	t->refused += w->n_refused_told;
	t->asks += w->n_asks;
	t->let_in += w->n_let_in;
	t->lies += w->n_lies;
	t->trace = t->trace * 31 + w->core.trace;
	if (w->slowest_us > t->slowest_us)
		t->slowest_us = w->slowest_us;
	if (w->memory_max > t->memory)
		t->memory = w->memory_max;
}

static int run_seeds(const struct options *o)
{
	static struct world w;
	struct sums t = {0};
	clock_t from = clock();
	uint64_t last = 0;

	for (uint64_t s = 0; s < o->seeds; s++) {
		if (!run_one(o, o->seed + s, &w)) {
			report(o, &w);
			return 1;
		}
		sum_up(&t, &w);
		last = w.core.trace;
	}
	if (!run_one(o, o->seed + o->seeds - 1, &w) || w.core.trace != last) {
		printf("seed %llu does not replay: trace %016llx, then %016llx\n",
		        (unsigned long long)w.core.seed, (unsigned long long)last,
		        (unsigned long long)w.core.trace);
		return 1;
	}
	printf("%llu seeds from %llu, %llu nodes in all, %g min each: all rules held; %llu steps, "
	       "%.1f s of CPU\n%llu bundles, %llu starts (%llu from a kept disk), %llu given by "
	       "hand; told: %llu forks, %llu withheld, %llu refused; slowest to settle %.1f s, "
	       "largest machine %zu bytes\n%llu of %llu that asked with a token were let in, %llu "
	       "admissions were lies; trace %016llx\n",
	        (unsigned long long)o->seeds, (unsigned long long)o->seed,
	        (unsigned long long)t.nodes, o->minutes, (unsigned long long)t.steps,
	        (double)(clock() - from) / CLOCKS_PER_SEC, (unsigned long long)t.bundles,
	        (unsigned long long)t.restarts, (unsigned long long)t.kept,
	        (unsigned long long)t.by_hand, (unsigned long long)t.forks,
	        (unsigned long long)t.withheld, (unsigned long long)t.refused,
	        (double)t.slowest_us / US, t.memory, (unsigned long long)t.let_in,
	        (unsigned long long)t.asks, (unsigned long long)t.lies,
	        (unsigned long long)t.trace);
	return 0;
}

static int impair_unknown(const char *name)
{
	fprintf(stderr, "simcluster: no impairment is called '%s'; there are:", name);
	for (size_t i = 0; impair_name(i); i++)
		fprintf(stderr, " %s", impair_name(i));
	fprintf(stderr, "\n");
	return 2;
}

/* Each must be caught by some seed. */
static int run_impairments(struct options *o)
{
	static struct world w;
	int missed = 0;

	for (size_t i = 0; impair_name(i); i++) {
		uint64_t s;

		impair(impair_name(i));
		for (s = 0; s < o->seeds; s++)
			if (!run_one(o, o->seed + s, &w))
				break;
		impair(NULL);
		missed += s == o->seeds;
		if (s == o->seeds)
			printf("%-18s NOT CAUGHT by %llu seeds\n", impair_name(i),
			        (unsigned long long)o->seeds);
		else
			printf("%-18s caught at seed %llu by %s: %s\n", impair_name(i),
			        (unsigned long long)(o->seed + s), w.core.rule, w.core.what);
	}
	return missed ? 1 : 0;
}

static int usage(void)
{
	fprintf(stderr,
	        "usage: simcluster [--seed S] [--seeds N] [--nodes 3..%d] [--minutes M] "
	        "[--impair NAME] [--impairments] [--verbose]\n"
	        "       simcluster --scale [--nodes LARGEST] [--json]\n",
	        NODES_MAX);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"seed", 1, NULL, 's'}, {"seeds", 1, NULL, 'S'},
	        {"nodes", 1, NULL, 'n'}, {"minutes", 1, NULL, 'm'}, {"impair", 1, NULL, 'i'},
	        {"impairments", 0, NULL, 'I'}, {"scale", 0, NULL, 'c'}, {"json", 0, NULL, 'j'},
	        {"verbose", 0, NULL, 'v'}, {NULL, 0, NULL, 0}};
	struct options o = {.seed = 1, .seeds = 1, .minutes = 10};
	bool all = false, scale = false, json = false;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 's')
			o.seed = strtoull(optarg, NULL, 0);
		else if (c == 'S')
			o.seeds = strtoull(optarg, NULL, 0);
		else if (c == 'n')
			o.nodes = atoi(optarg);
		else if (c == 'm')
			o.minutes = atof(optarg);
		else if (c == 'v')
			o.verbose = true;
		else if (c == 'i')
			o.impair = optarg;
		else if (c == 'I')
			all = true;
		else if (c == 'c')
			scale = true;
		else if (c == 'j')
			json = true;
		else
			return usage();
	}
	if (optind < argc || o.minutes <= 0 || o.minutes > 100000 ||
	        (o.nodes && (o.nodes < 3 || o.nodes > NODES_MAX)))
		return usage();
	if (o.impair && !impair(o.impair))
		return impair_unknown(o.impair);
	if (scale)
		return scale_run(o.seed, o.nodes ? o.nodes : 10000, json);
	return all ? run_impairments(&o) : run_seeds(&o);
}
